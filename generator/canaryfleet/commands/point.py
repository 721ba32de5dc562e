"""`canaryfleet point`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from canaryfleet.commands import arguments, outcome
from canaryfleet.errors import EXIT_FINDINGS, EXIT_OK, Problems, one_line

if TYPE_CHECKING:
    from canaryfleet.overlay import Pointer


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "point", "Point the next clusters of a wave at a release, by the rules that the bot uses."
    )
    parser.add_argument("app", metavar="APP")
    parser.add_argument("--wave", required=True, help="the wave to move")
    parser.add_argument("--release", metavar="ID", help="default: the candidate")
    parser.add_argument(
        "--verified",
        action="append",
        default=[],
        metavar="CLUSTER",
        help="you have seen it verified on what it has now (or `all`)",
    )
    options = arguments.parse(parser, given)
    from datetime import UTC, datetime

    from canaryfleet import files, output
    from canaryfleet.point import point
    from canaryfleet.render import know

    tree = arguments.tree(options.root, to_write=True)
    known = know(tree, [options.app])
    if outcome.code(known.findings):
        raise Problems(known.findings)
    moved = point(known, options.app, options.wave, options.release, options.verified, datetime.now(UTC))
    files.apply(tree.root, files.Changes(moved.writes, frozenset()))
    if options.output == "json":
        from canaryfleet.models.moved import PointedAt, PointerTo

        pointers = {name: PointerTo(**pointer._asdict()) for name, pointer in moved.pointers.items()}
        told = PointedAt(
            release=moved.release.id, wave=moved.wave, pointers=pointers, reasons=tuple(moved.reasons)
        )
        output.print_model(told)
    else:
        _tell_pointed(moved.release.id, moved.pointers, moved.reasons)
    return EXIT_FINDINGS if moved.reasons else EXIT_OK


def _tell_pointed(release: str, pointers: "dict[str, Pointer]", reasons: Sequence[str]) -> None:
    for reason in reasons:
        print(one_line(f"nothing moved: {reason}"), file=sys.stderr)
    for name, pointer in pointers.items():
        print(
            f"{name} -> {release}"
            + (f" (falls back to {pointer.fallback})" if pointer.fallback else " (nothing to fall back to)")
        )
