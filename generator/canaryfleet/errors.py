"""What is wrong, where, and what to do: findings, and the exceptions that carry them.

Exit codes are a promise to scripts: 0 fine, 1 findings or bad input, 2 wrong usage,
3 a bug in canaryfleet (with its traceback), 130 interrupted. `status --exit-code` ends with that
of the worst verdict: 0 all Verified, 10 Progressing, 11 Inconclusive, 12 Unknown, 13 Failed.
"""

from collections.abc import Iterable
from typing import NamedTuple

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_BUG = 3
EXIT_INTERRUPTED = 130
EXIT_VERDICT = {"Verified": 0, "Progressing": 10, "Inconclusive": 11, "Unknown": 12, "Failed": 13}

LONGEST = 2000  # characters of a finding as text
COMMANDS = ("##[", "##vso[")  # what runners of GitHub and Azure act on wherever it stands in a line of a log

ERROR = "error"
WARNING = "warning"


class Place(NamedTuple):
    """A position in a file of the repository: path relative to its root, line and column from 1.

    Line 0 means the file as a whole.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Finding(NamedTuple):
    """One thing that is wrong: `code` is stable (codes/ explains each), `remedy` says what to do."""

    place: Place
    code: str
    message: str
    remedy: str = ""
    severity: str = ERROR

    def __str__(self) -> str:
        remedy = f" ({self.remedy})" if self.remedy else ""
        return one_line(f"{self.place}: {self.severity} {self.code}: {self.message}{remedy}")


def one_line(text: str) -> str:
    """Text of others must not become lines or colours of ours: a CI takes lines for commands."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    for command in COMMANDS:
        text = text.replace(command, f"# {command[1:]}")
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "replace").decode()
        for character in text
    )


class Problems(Exception):
    """Bad input: every finding of the run, sorted by place; the command ends with exit 1."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(findings))
        super().__init__("\n".join(map(str, self.findings)))


class UsageError(Exception):
    """The command was called with arguments that make no sense together; exit 2."""


def problem(place: Place, code: str, message: str, remedy: str = "") -> Problems:
    """A `Problems` of one finding."""
    return Problems([Finding(place, code, message, remedy)])


class Issue(NamedTuple):
    """A finding of pure code that knows the place as a path in the data, not yet in a file."""

    path: tuple[str | int, ...]
    code: str
    message: str
    remedy: str = ""
    severity: str = ERROR
