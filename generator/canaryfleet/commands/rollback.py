"""`canaryfleet rollback`."""

import sys
from typing import TYPE_CHECKING

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_OK, UsageError, one_line

if TYPE_CHECKING:
    from canaryfleet.models.moved import RolledBack
    from canaryfleet.rollback import Way


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "rollback",
        "Take the candidate back: every cluster with its workload goes to its fallback, and it is barred, in the working tree.",
    )
    parser.add_argument("app", metavar="APP")
    parser.add_argument("--why", help="for everybody who meets it (needed)")
    parser.add_argument("--by", metavar="WHO", help="default: user.name of git")
    parser.add_argument("--release", metavar="ID", help="default: the candidate")
    options = arguments.parse(parser, given)
    if not (options.why or "").strip():
        raise UsageError("rollback needs --why: everybody who meets it reads that")
    from datetime import UTC, datetime

    from canaryfleet import files, output
    from canaryfleet.overrule import who
    from canaryfleet.rollback import rollback

    tree = arguments.tree(options.root, to_write=True)
    found = rollback(
        tree, options.app, who(tree, options.by), options.why, datetime.now(UTC), options.release
    )
    changed = files.apply(tree.root, found.changes)
    output.findings_text(found.findings, sys.stderr)
    if options.output == "json":
        output.print_model(_model(found, changed))
    else:
        _tell(found, changed)
    return EXIT_OK


def _model(found: "Way", changed: tuple[str, ...]) -> "RolledBack":
    from canaryfleet.models.moved import RolledBack

    return RolledBack(
        changed=tuple(sorted(changed)),
        moves=found.decision.moves,
        bars=found.decision.bars,
        stays=found.stays,
    )


def _tell(found: "Way", changed: tuple[str, ...]) -> None:
    for move in found.decision.moves:
        print(one_line(f"{move.cluster} -> {move.to}"))
    for bar in found.decision.bars:
        print(f"barred: {'workload ' + bar.workload if bar.workload else f'release {bar.release}'}")
    print(f"{len(changed)} files changed; it is in force once it is on the default branch")
