"""`canaryfleet schema`."""

from canaryfleet.commands import arguments, outcome
from canaryfleet.errors import EXIT_OK, Finding


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "schema", "Write the JSON Schemas of specs, clusters and the other files to schemas/.", output=False
    )
    parser.add_argument("--check", action="store_true", help="write nothing; say which are not current")
    options = arguments.parse(parser, given)
    from canaryfleet import files, schema
    from canaryfleet.errors import Place

    tree = arguments.tree(options.root, to_write=not options.check)
    wanted = schema.files()
    if not options.check:
        changed = files.apply(tree.root, files.Changes(wanted, frozenset()))
        print(f"{len(changed)} of {len(wanted)} schemas changed")
        return EXIT_OK
    findings = [
        Finding(Place(path), "CF172", "the schema is not current", "run `canaryfleet schema`")
        for path, data in wanted.items()
        if not tree.exists(path) or tree.read(path) != data
    ]
    outcome.show(findings, as_json=False)
    return outcome.code(findings)
