"""`canaryfleet lint`."""

from canaryfleet.commands import arguments, outcome


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "lint", "Say everything that is wrong with the specs and clusters of a repository."
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    options = arguments.parse(parser, given)
    from canaryfleet.render import know

    known = know(arguments.tree(options.root), options.apps)
    outcome.show(known.findings, options.output == "json")
    if not known.findings and options.output == "text":
        print(
            f"{len(known.repository.specs)} specs and {len(known.repository.clusters)} clusters: nothing is wrong"
        )
    return outcome.code(known.findings)
