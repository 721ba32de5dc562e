"""`canaryfleet render`, and `render --check`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from canaryfleet.commands import arguments, outcome
from canaryfleet.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from canaryfleet.check import Proof
    from canaryfleet.files import Tree
    from canaryfleet.models.moved import WaitingSettings
    from canaryfleet.render import Known, Rendering, Waiting


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "render", "Freeze the releases that the specs resolve to, and let live settings follow the inventory."
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; say what in the tree is not what canaryfleet writes",
    )
    parser.add_argument(
        "--at-rest",
        action="append",
        default=[],
        metavar="CLUSTER",
        help="you have seen that its Rollout is at rest, so its live settings need not wait (or `all`)",
    )
    arguments.add_staged(parser)
    options = arguments.parse(parser, given)
    if options.staged and not options.check:
        raise UsageError("--staged needs --check: what is written goes to the working tree")
    from canaryfleet.render import know

    tree = arguments.tree(options.root, to_write=not options.check)
    if options.check:
        with arguments.staged(tree, wanted=options.staged) as seen:
            code = _check(know(seen, options.apps, tree.root), options.output == "json")
        if code and options.staged:
            _tell_not_added(tree)
        return code
    known = know(tree, options.apps)
    return _write_release(tree, known, options)


def _check(known: "Known", as_json: bool) -> int:
    from canaryfleet import output
    from canaryfleet.check import check

    proof = check(known)
    if as_json:
        from canaryfleet.models.moved import Checked

        told = Checked(
            findings=output.found(sorted(proof.findings)),
            waiting=tuple(map(_waiting, proof.waiting)),
            overlays=proof.overlays,
            releases=proof.releases,
        )
        output.print_model(told)
        return outcome.code(proof.findings)
    output.findings_text(proof.findings, sys.stderr)
    _tell_waiting(proof.waiting)
    if not outcome.code(proof.findings):
        print(as_written(proof))
    return outcome.code(proof.findings)


def as_written(proof: "Proof") -> str:
    """What is said where the tree is what canaryfleet writes."""
    from canaryfleet.phrases import count

    return f"{count(proof.overlays, 'overlay')} and {count(proof.releases, 'release')} are what canaryfleet writes"


def _tell_not_added(tree: "Tree") -> None:
    """Who has rendered, and committed without the new folders, would be told to render: all is there, but not added."""
    import os

    from canaryfleet.argocd import FOLDER
    from canaryfleet.phrases import count
    from canaryfleet.repo import OVERLAYS
    from canaryfleet.staged import not_added

    left = not_added(tree.root, os.environ, (OVERLAYS, FOLDER))
    if left:
        shown = count(len(left), "generated file")
        add = " ".join(sorted({path.partition("/")[0] for path in left}))
        print(f"{shown} in the working tree would not be committed: `git add {add}`", file=sys.stderr)


def _write_release(tree: "Tree", known: "Known", options: "Namespace") -> int:
    from canaryfleet import files, output
    from canaryfleet.render import render

    rendering = render(known, options.at_rest)
    changed = files.apply(tree.root, rendering.changes)
    if options.output == "json":
        from canaryfleet.models.moved import Rendered

        told = Rendered(
            changed=tuple(sorted(changed)),
            releases=dict(rendering.made),
            waiting=tuple(map(_waiting, rendering.waiting)),
            findings=output.found(sorted(rendering.findings)),
        )
        output.print_model(told)
        return EXIT_OK
    output.findings_text(rendering.findings, sys.stderr)
    _tell_rendered(known, rendering, changed)
    return EXIT_OK


def _tell_rendered(known: "Known", rendering: "Rendering", changed: Sequence[str]) -> None:
    from canaryfleet.output import table

    rows = []
    for app, frozen in known.frozen.items():
        release = frozen.release
        state = "new" if rendering.made[release.id] else "there already"
        rows.append(
            (
                app,
                release.id,
                state,
                len(release.waves),
                len(release.clusters),
                len(rendering.refreshed.get(app, ())),
            )
        )
    print(table(rows, ("APP", "RELEASE", "STATE", "WAVES", "CLUSTERS", "LIVE SETTINGS REFRESHED")))
    _tell_waiting(rendering.waiting)
    print(f"{len(changed)} files changed")


def _tell_waiting(waiting: "Sequence[Waiting]") -> None:
    """Equal changes of many clusters read as one."""
    clusters: dict[tuple[str, str, str], list[str]] = {}
    for item in waiting:
        clusters.setdefault((item.app, *_difference(item)), []).append(item.cluster)
    for (app, old, new), names in clusters.items():
        where = (
            names[0]
            if len(names) == 1
            else f"{len(names)} clusters ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        )
        print(
            f"{app} on {where}: {old} becomes {new} once the Rollout is at rest (`render --at-rest CLUSTER` says that it is)"
        )


def _difference(item: "Waiting") -> tuple[str, str]:
    names = [
        name for name in item.present._fields if getattr(item.present, name) != getattr(item.wanted, name)
    ]
    shown = [
        ", ".join(f"{name} {getattr(live, name)}" for name in names) for live in (item.present, item.wanted)
    ]
    return shown[0], shown[1]


def _waiting(item: "Waiting") -> "WaitingSettings":
    from canaryfleet.models.moved import WaitingSettings

    present, wanted = item.present._asdict(), item.wanted._asdict()
    return WaitingSettings(app=item.app, cluster=item.cluster, present=present, wanted=wanted)
