"""`canaryfleet prune`."""

import sys
from typing import TYPE_CHECKING

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_OK, one_line

if TYPE_CHECKING:
    from canaryfleet.models.moved import PrunedAway
    from canaryfleet.prune import Pruned


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "prune",
        "Take releases and configuration away that nothing needs: no pointer, fallback or branch, and for thirty days.",
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    options = arguments.parse(parser, given)
    from datetime import UTC, datetime

    from canaryfleet import files, output
    from canaryfleet.prune import prune
    from canaryfleet.render import know

    tree = arguments.tree(options.root, to_write=not options.dry_run)
    known = know(tree, options.apps)
    found = prune(known, datetime.now(UTC))
    if not options.dry_run:
        files.apply(tree.root, found.changes)
    output.findings_text(known.findings, sys.stderr)
    if options.output == "json":
        output.print_model(_model(found, written=not options.dry_run))
    else:
        _tell(found, dry=options.dry_run)
    return EXIT_OK


def _model(found: "Pruned", *, written: bool) -> "PrunedAway":
    from canaryfleet.models.moved import PrunedAway

    return PrunedAway(
        releases=dict(found.releases),
        config=dict(found.config),
        files=tuple(sorted(found.changes.deletes)),
        written=written,
    )


def _tell(found: "Pruned", *, dry: bool) -> None:
    for part, by_app in (("releases", found.releases), ("config", found.config)):
        for app, names in by_app.items():
            for name in names:
                print(one_line(f"overlays/{app}/{part}/{name}"))
    number = len(found.changes.deletes)
    print(f"{number} files {'would go' if dry else 'are gone'}")
