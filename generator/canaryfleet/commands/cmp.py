"""`canaryfleet cmp`: what Argo CD's repo-server starts for every application, so without argparse."""

import os
import sys
from typing import TYPE_CHECKING

from canaryfleet.commands import arguments, outcome
from canaryfleet.errors import EXIT_FINDINGS, EXIT_OK, Place, Problems, UsageError, problem

if TYPE_CHECKING:
    from canaryfleet.files import Tree


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code, and never 0 if nothing was printed."""
    actions = {"generate": _generate, "parameters": _parameters, "plugin": _plugin}
    if len(given) != 1 or given[0] not in actions:
        _explain(given)
    try:
        text = actions[given[0]]()
        if not text.strip():
            raise problem(
                Place("."), "CF192", "there is nothing to give to Argo CD, which would prune everything"
            )
        outcome.give(text)
    except Problems as problems:
        print("; ".join(map(str, problems.findings)), file=sys.stderr)
        return EXIT_FINDINGS
    except UsageError as error:
        print(f"canaryfleet: {error}", file=sys.stderr)
        return EXIT_FINDINGS
    except BrokenPipeError:  # what it read is not all
        sys.stdout = None
        return EXIT_FINDINGS
    return EXIT_OK


def _explain(given: list[str]) -> None:
    """Ends with the help that was asked for, or with what is wrong with the words."""
    parser = arguments.parser("cmp", "What Argo CD calls as a config-management plugin.", output=False)
    parser.add_argument(
        "action",
        choices=("generate", "parameters", "plugin"),
        help="print the final objects that the Application asks for, the parameters that it may give, or plugin.yaml",
    )
    arguments.parse(parser, given)
    raise UsageError("the plugin works where Argo CD starts it, and has no options")


def _here() -> "tuple[Tree, str]":
    """The repository around the working folder, and where in it that is."""
    tree = arguments.tree(None)
    path = os.path.relpath(os.path.realpath(os.curdir), tree.root)
    return tree, path.replace(os.sep, "/")


def _generate() -> str:
    from canaryfleet import plugin
    from canaryfleet.emit import emit_all
    from canaryfleet.manifests import Builder, overlay_folder

    tree, path = _here()
    app, cluster = plugin.asked(os.environ, path)
    folder = overlay_folder(app, cluster)
    if not tree.exists(f"{folder}/kustomization.yaml"):
        raise problem(
            Place(folder),
            "CF191",
            f"{app} is not on {cluster}",
            "a promotion or `canaryfleet point` brings it there",
        )
    return emit_all(Builder(tree.read).build(folder))


def _parameters() -> str:
    import json

    from canaryfleet import plugin

    return json.dumps(plugin.announcements(_here()[1]), indent=2) + "\n"


def _plugin() -> str:
    from canaryfleet import plugin
    from canaryfleet.emit import emit

    return emit(plugin.manifest())
