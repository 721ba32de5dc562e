"""`canaryfleet explain`."""

import sys

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_FINDINGS, EXIT_OK


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "explain",
        "Decide a recorded decision again: is it the same, what decided it, and what would have to change for another?",
    )
    parser.add_argument(
        "record",
        metavar="NUMBER|FILE|HASH|-",
        help="a pull request of the bot, a file with its text or a record, a record's hash, or standard input",
    )
    parser.add_argument(
        "--input",
        action="store_true",
        help="print what was decided on, as JSON: change it, and explain it again",
    )
    options = arguments.parse(parser, given)
    from canaryfleet import explain, output
    from canaryfleet.record import canonical

    loaded = explain.load(options.record, lambda: arguments.tree(options.root))
    if options.input:
        sys.stdout.write(canonical(loaded.record).decode() + "\n")
        return EXIT_OK
    found = explain.explain(loaded)
    if options.output == "json":
        output.print_json(explain.data(found))
    else:
        print(explain.text(found))
    return EXIT_FINDINGS if found.differences else EXIT_OK
