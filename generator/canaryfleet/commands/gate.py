"""`canaryfleet gate`."""

from canaryfleet.commands import arguments


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "gate", "Judge open pull requests by the tree that merging them would produce, and mark their heads."
    )
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="only these pull requests")
    arguments.add_timeout(parser)
    arguments.add_clone(parser)
    options = arguments.parse(parser, given)
    from canaryfleet import bot

    made = arguments.bot(options)
    return bot.run_gate(made, options.numbers, as_json=options.output == "json")
