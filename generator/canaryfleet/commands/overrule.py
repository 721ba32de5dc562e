"""`canaryfleet hold`, `resume`, `bar`, `unbar` and `excuse`."""

import sys
from functools import partial
from typing import TYPE_CHECKING

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_OK

if TYPE_CHECKING:
    from argparse import ArgumentParser


DESCRIPTIONS = {
    "hold": "Hold an app, one wave or one cluster: nothing moves forward there.",
    "resume": "End what `hold` began.",
    "bar": "Bar a release and its workload: no cluster is given it.",
    "unbar": "Lift what bars a release, by people or the bot.",
    "excuse": "Let nobody wait for a cluster; it catches up in a last wave.",
}


def _run(command: str, given: list[str]) -> int:
    """Edit promotion.yaml, and leave the rest of its text as people wrote it."""
    options = arguments.parse(_parser(command), given)
    from datetime import UTC, datetime

    from canaryfleet import files, output, overrule

    tree = arguments.tree(options.root, to_write=True)
    if command in ("resume", "unbar") or getattr(options, "end", False):
        changes = overrule.end(tree, command, vars(options))
    else:
        now = datetime.now(UTC)
        changes = overrule.begin(tree, command, vars(options), now)
        if command == "excuse":
            left = overrule.last_witness(tree, options.app, options.cluster, now)
            output.findings_text(left, sys.stderr)
    (path,) = files.apply(tree.root, changes)
    if options.output == "json":
        from canaryfleet.models.moved import Overruled

        output.print_model(Overruled(changed=path))
    else:
        print(f"{path} changed; it is in force once it is on the default branch")
    return EXIT_OK


hold = partial(_run, "hold")
resume = partial(_run, "resume")
bar = partial(_run, "bar")
unbar = partial(_run, "unbar")
excuse = partial(_run, "excuse")


def _parser(command: str) -> "ArgumentParser":
    parser = arguments.parser(command, DESCRIPTIONS[command])
    parser.add_argument("app", metavar="APP")
    if command in ("hold", "resume"):
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--wave", metavar="WAVE", help="only this wave")
        where.add_argument("--cluster", metavar="CLUSTER", help="only the wave of this cluster")
    elif command == "excuse":
        parser.add_argument("cluster", metavar="CLUSTER")
        parser.add_argument("--end", action="store_true", help="wait for it again")
    else:
        parser.add_argument("release", metavar="RELEASE", help="its id, or its version if only one has it")
    if command == "bar":
        parser.add_argument("--alone", action="store_true", help="only this release, not its workload")
    if command in ("hold", "bar", "excuse"):
        parser.add_argument("--why", help="for everybody who meets it (needed)")
        parser.add_argument("--by", metavar="WHO", help="default: user.name of git")
        parser.add_argument(
            "--until", metavar="TIME", help="2h, 3d or 2026-11-20T10:00:00Z; default: until it is ended"
        )
    return parser
