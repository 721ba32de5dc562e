"""What a person or a script reads: findings and tables, as text or JSON."""

import json
import re
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from canaryfleet.errors import COMMANDS, ERROR, Finding, one_line
from canaryfleet.phrases import count

if TYPE_CHECKING:
    from canaryfleet.models.findings import FoundFinding


def findings_text(
    findings: Iterable[Finding], stream: TextIO, left_out: Container[Finding] = frozenset()
) -> None:
    """One finding a line, errors and warnings in the order of their places, and a count of all.

    `left_out`: those that are shown elsewhere.
    """
    shown = sorted(findings)
    for finding in shown:
        if finding not in left_out:
            print(finding, file=stream)
    errors = sum(finding.severity == ERROR for finding in shown)
    if shown:
        print(f"{count(errors, 'error')}, {count(len(shown) - errors, 'warning')}", file=stream)


def finding_data(finding: Finding) -> dict[str, Any]:
    """A finding for `--output json`: file, line and column (from 1), severity, code, message, remedy."""
    return {
        "file": finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "severity": finding.severity,
        "code": finding.code,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def found(findings: Iterable[Finding]) -> "tuple[FoundFinding, ...]":
    """The same as models, in this order."""
    from canaryfleet.models.findings import FoundFinding

    return tuple(FoundFinding(**finding_data(item)) for item in findings)


def print_json(data: Any) -> None:
    """JSON on standard output, keys in order."""
    print(_no_command(json.dumps(data, indent=2, sort_keys=True)))


def print_model(value: Any) -> None:
    """A model as JSON on standard output, in the order of its fields."""
    from msgspec import json as models

    from canaryfleet.models.base import to_json

    print(json_text(models.format(to_json(value), indent=2)))


_ODD = re.compile(r"[^\n -~]")


def json_text(data: bytes) -> str:
    """JSON as a terminal may show it: what is not printable is written by its number, which means the same."""
    said = _ODD.sub(lambda odd: odd[0] if odd[0].isprintable() else json.dumps(odd[0])[1:-1], data.decode())
    return _no_command(said)


def _no_command(said: str) -> str:
    """The same JSON, in which no runner of a CI finds a command (errors.COMMANDS), as in the log of the gate's workflow."""
    for command in COMMANDS:  # a `#` stands in strings alone
        said = said.replace(command, f"#\\u0023{command[2:]}")
    return said


def table(rows: Sequence[Sequence[object]], head: Sequence[str], width: int | None = None) -> str:
    """Columns as wide as their content, without a border; with a width the widest columns are cut to fit.

    Cells are text of others, as names of folders are: each stays one line, and moves no cursor.
    """
    cells = [list(head), *([one_line(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    while width and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return "\n".join(
        "  ".join(_fit(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


NARROWEST = 6  # a column below that says nothing


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"
