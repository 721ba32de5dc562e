"""`canaryfleet report html`."""

import sys

from canaryfleet.commands import arguments, outcome


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "report html",
        "Write one page of the fleet, which needs no network: what runs where, why it stopped, what is next.",
        output=False,
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    parser.add_argument("--to", metavar="FILE", help="write it to a file (default: standard output)")
    arguments.add_timeout(parser)
    parser.add_argument("--snapshot", metavar="FILE", help="judge a recorded file instead of the clusters")
    parser.add_argument(
        "--output",
        choices=("text", "json"),
        default="text",
        help="text: the page; json: what it shows, as schemas/report.schema.json describes it",
    )
    options = arguments.parse(parser, given)
    timeout = arguments.seconds(options.timeout, "--timeout")
    from canaryfleet import output, overview, status

    tree = arguments.tree(options.root)
    source = arguments.source(options.snapshot, tree.root)
    found = status.remember(tree, status.plan(tree, options.apps))
    outcome.show(found.findings, as_json=False)
    as_json = options.output == "json"
    data = overview.written(overview.read(found, tree, source, timeout), as_json=as_json)
    if options.to:
        overview.write(options.to, data)
        print(f"{options.to} is written")
    else:
        sys.stdout.write(output.json_text(data) if as_json else data.decode())
    return outcome.code(found.findings)
