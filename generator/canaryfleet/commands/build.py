"""`canaryfleet build`."""

from canaryfleet.commands import arguments, outcome
from canaryfleet.errors import EXIT_OK


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    app, cluster, root = _build_words(given)
    from canaryfleet.emit import emit_all
    from canaryfleet.manifests import Builder, overlay_folder

    tree = arguments.tree(root)
    outcome.give(emit_all(Builder(tree.read).build(overlay_folder(app, cluster))))
    return EXIT_OK


def _build_words(given: list[str]) -> tuple[str, str, str | None]:
    """App, cluster and root. The plugin starts this for every application: as it calls it, without argparse."""
    root, words = (given[1], given[2:]) if given[:1] == ["--root"] and given[1:] else (None, given)
    if len(words) == 2 and not any(word.startswith("-") for word in (root or "", *words)):
        return words[0], words[1], root
    parser = arguments.parser(
        "build",
        "Print the final objects of an app on a cluster: what `kustomize build` of its overlay gives.",
        output=False,
    )
    parser.add_argument("app", metavar="APP")
    parser.add_argument("cluster", metavar="CLUSTER")
    options = arguments.parse(parser, given)
    return options.app, options.cluster, options.root
