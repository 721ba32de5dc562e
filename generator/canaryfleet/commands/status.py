"""`canaryfleet status`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from canaryfleet.commands import arguments, outcome
from canaryfleet.errors import EXIT_OK, EXIT_VERDICT, UsageError

if TYPE_CHECKING:
    from canaryfleet.files import Tree
    from canaryfleet.models.status import Status
    from canaryfleet.sources import Source
    from canaryfleet.status import Plan


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "status",
        "Say what runs where, by wave: release, verdict, step, weight, and the metric nearest to its threshold.",
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    parser.add_argument("--watch", action="store_true", help="look again and again, until interrupted")
    parser.add_argument(
        "--every", default="5s", metavar="TIME", help="with --watch: time between looks (default: 5s)"
    )
    arguments.add_timeout(parser)
    parser.add_argument("--record", metavar="FILE", help="write what was seen to a file, without secrets")
    parser.add_argument("--snapshot", metavar="FILE", help="judge a recorded file instead of the clusters")
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="end with the worst verdict: 0 Verified, 10 Progressing, 11 Inconclusive, 12 Unknown, 13 Failed",
    )
    options = arguments.parse(parser, given)
    timeout, every = (
        arguments.seconds(options.timeout, "--timeout"),
        arguments.seconds(options.every, "--every"),
    )
    if options.watch and (options.record or options.snapshot or options.output == "json"):
        raise UsageError("--watch shows clusters as they are: it goes with no --record, --snapshot or json")
    from canaryfleet import status

    tree = arguments.tree(options.root)
    source = arguments.source(options.snapshot, tree.root)
    if options.watch:
        return _watch(tree, options.apps, source, timeout, every)
    found = status.remember(tree, status.plan(tree, options.apps))
    outcome.show(found.findings, as_json=False)
    shown = (
        _record(found, source, timeout, options.record)
        if options.record
        else status.read(found, source, timeout)
    )
    _tell_status(shown, options.output == "json")
    return outcome.code(found.findings) or (_worst(shown) if options.exit_code else EXIT_OK)


def _record(found: "Plan", source: "Source", timeout: float, path: str) -> "Status":
    from canaryfleet.sources.snapshot import Recording
    from canaryfleet.status import read

    recording = Recording()
    shown = read(found, source, timeout, recording.add)
    recording.write(path)
    return shown


def _watch(tree: "Tree", apps: Sequence[str], source: "Source", timeout: float, every: float) -> int:
    """Until it is interrupted. The repository is read anew each time: a pull may have moved pointers."""
    import gc
    import time

    from canaryfleet import status
    from canaryfleet.view import Board

    gc.enable()  # unlike every other command, this one lives long
    with Board(sys.stdout) as board:
        while True:
            found = status.remember(tree, status.plan(tree, apps))
            for shown, whole in status.follow(found, source, timeout):
                board.show(shown, whole=whole)
            time.sleep(every)


def _tell_status(status: "Status", as_json: bool) -> None:
    if as_json:
        from canaryfleet.output import print_model

        print_model(status)
        return
    from canaryfleet import view

    print(view.text(status, sys.stdout))


def _worst(status: "Status") -> int:
    from canaryfleet.board import verdicts
    from canaryfleet.verdict import worst

    found = worst(verdicts(status))
    return EXIT_VERDICT[found.kind] if found else EXIT_OK
