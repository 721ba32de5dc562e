"""`canaryfleet reconcile`."""

from canaryfleet.commands import arguments
from canaryfleet.errors import UsageError


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "reconcile",
        "Look at Git, the forge and the clusters; decide; and move the next wave by one pull request an app.",
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="only say what it would do, and why")
    how.add_argument("--watch", action="store_true", help="as a service: again and again, until it is ended")
    parser.add_argument(
        "--every",
        default="1m",
        metavar="TIME",
        help="with --watch: time between runs of an app (default: 1m)",
    )
    parser.add_argument(
        "--listen",
        default=":8080",
        metavar="ADDRESS",
        help="with --watch: where /healthz, /readyz and /metrics answer (default: :8080)",
    )
    parser.add_argument(
        "--lease", action="store_true", help="with --watch, in a cluster: share the apps among replicas"
    )
    arguments.add_timeout(parser)
    arguments.add_clone(parser)
    options = arguments.parse(parser, given)
    if options.watch and options.output == "json":
        raise UsageError("--watch writes a log of JSON lines, and goes with no --output json")
    from canaryfleet import bot

    made = arguments.bot(options)
    if options.watch:
        every = arguments.seconds(options.every, "--every")
        return bot.run_forever(made, options.apps, every=every, listen=options.listen, lease=options.lease)
    return bot.run_once(made, options.apps, dry=options.dry_run, as_json=options.output == "json")
