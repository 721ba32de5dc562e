"""`canaryfleet explain`."""

import os
import re

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_FINDINGS, EXIT_OK, UsageError

CODE = re.compile(r"CF[0-9]{3}")
CODE_FIELDS = (
    "code",
    "title",
    "why",
    "remedy",
    "warns",
    "bad",
    "good",
)  # models/findings.py has their meanings


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "explain",
        "Decide a recorded decision again: is it the same, what decided it, and what would have to change for another? "
        "Or say what a finding's code means.",
    )
    parser.add_argument(
        "record",
        metavar="NUMBER|FILE|HASH|-|CODE",
        help="a pull request of the bot, a file with its text or a record, a record's hash, or standard input; "
        "or a code such as CF301",
    )
    parser.add_argument(
        "--input",
        action="store_true",
        help="print what was decided on, as JSON: change it, and explain it again",
    )
    options = arguments.parse(parser, given)
    if CODE.fullmatch(code := options.record.upper()):
        return _code(code, as_json=options.output == "json")
    if code.startswith("CF") and code.isalnum() and not os.path.exists(options.record):
        raise UsageError(f"{options.record} is no code: {_codes_like(code)}")
    from canaryfleet import explain, output
    from canaryfleet.record import canonical

    loaded = explain.load(options.record, lambda: arguments.tree(options.root))
    if options.input:
        print(output.json_text(canonical(loaded.record)))
        return EXIT_OK
    found = explain.explain(loaded)
    if options.output == "json":
        output.print_model(explain.data(found))
    else:
        print(explain.text(found))
    return EXIT_FINDINGS if found.differences else EXIT_OK


def _codes_like(code: str) -> str:
    """What a code that there is not may be: digits have meanings, so the likeness of text says nothing."""
    from canaryfleet import codes
    from canaryfleet.phrases import some

    same = [name for name in codes.every() if name.startswith(code[:4]) and len(code) >= 4]
    if same:
        return f"there are {some(sorted(same), 12)}"
    return "a code is CF and three digits, such as CF301; docs/codes.md has them all"


def _code(code: str, *, as_json: bool) -> int:
    """What a finding's code means."""
    from canaryfleet import codes

    found = codes.find(code)
    if found is None:
        raise UsageError(f"there is no code {code}: {_codes_like(code)}")
    if as_json:
        from canaryfleet import output

        output.print_json({name: getattr(found, name) for name in CODE_FIELDS})
    else:
        print(codes.text(found))
    return EXIT_OK
