"""The review of a change as one text: which checks were made, what they say, as much of it as there is room for.

A check that was not made is never shown as one that passed, in no form. Text of others (specs, findings, names) is
escaped by `excerpt` and `markdown`; all markup is ours.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from canaryfleet import excerpt, markdown
from canaryfleet.errors import ERROR, Finding
from canaryfleet.excerpt import Section
from canaryfleet.models.review import State
from canaryfleet.phrases import count

COMMENT = 58_000
"""Characters of the 65,536 that GitHub takes of a comment."""
SUMMARY = 1 << 20
"""Bytes that GitHub takes of a step's summary."""
NEEDED = frozenset({"lint", "render", "difference"})
"""Without these nobody knows what the change is: not made they fail the review."""
MERGED = NEEDED | {"limits"}
"""Of a pull request, where all is committed, also this: else whoever keeps it from being made would pass."""
NAMES = {"notMade": "not made"}
HEADS = {
    "passed": "nothing is wrong",
    "failed": "something is wrong",
    "incomplete": "not everything was checked",
}
LEAST = 16_000
"""Characters that hold every check's line, whatever it says."""
_LINE = 200  # characters of what a check says in the table, before they are escaped


class Check(NamedTuple):
    """One check, or why it was not made. `said`: a sentence; `sections`: what it says at length."""

    name: str
    state: State
    said: str
    findings: Sequence[Finding] = ()
    sections: Sequence[Section] = ()


class About(NamedTuple):
    """What is reviewed. `mark`: a hidden line by which the text is found again; `rest`: Markdown, where all of it is."""

    base: str
    head: str
    at: str
    version: str
    mark: str = ""
    rest: str = "run `canaryfleet review` in a clone"


def passed(checks: Iterable[Check], needed: Collection[str] = NEEDED) -> bool:
    """Whether no check has failed, and all that are needed were made."""
    there = {item.name: item.state for item in checks}
    made = all(there.get(name, "notMade") != "notMade" for name in needed)
    return made and "failed" not in there.values()


def of_findings(name: str, findings: Sequence[Finding], fine: str) -> Check:
    """The check that these findings are of. `fine`: what is said if there are none."""
    errors = sum(item.severity == ERROR for item in findings)
    warnings = len(findings) - errors
    counts = [count(number, word) for number, word in ((errors, "error"), (warnings, "warning")) if number]
    state: State = "failed" if errors else "warned" if warnings else "passed"
    return Check(name, state, ", ".join(counts) or fine, findings, said(findings))


def not_made(name: str, why: str, findings: Sequence[Finding] = ()) -> Check:
    """A check that nobody can make, with the reason."""
    return Check(name, "notMade", why, findings, said(findings))


def said(findings: Sequence[Finding]) -> list[Section]:
    """Findings at length, errors first."""
    worst = sorted(findings, key=lambda item: (item.severity != ERROR, item))
    return [("", [(str(item), ()) for item in worst])] if worst else []


def headline(checks: Sequence[Check]) -> str:
    """What it comes to, in a few words that claim no more than was checked."""
    if any(item.state == "failed" for item in checks):
        return HEADS["failed"]
    if any(item.state == "notMade" for item in checks):
        return HEADS["incomplete"]
    return HEADS["passed"]


def text(about: About, checks: Sequence[Check]) -> str:
    """All of it, for a terminal or a file."""
    lines = [f"{headline(checks)}: {_compared(about)}", ""]
    for item in checks:
        lines.append(f"{item.name}: {NAMES.get(item.state, item.state)}: {item.said}")
        lines += [excerpt.INDENT + line if line else "" for line in excerpt.lines(item.sections)]
    return "\n".join(lines)


def as_markdown(about: About, checks: Sequence[Check], limit: int) -> str:
    """At most `limit` characters: every check's line, and as much of what each says at length as fits.

    What is short is there as a whole; what is long shares the room that is left. `limit`: at least `LEAST`.
    """
    title = f"## canaryfleet: {headline(checks)}"
    head = [*([about.mark] if about.mark else []), title, "\n".join(_table(checks))]
    foot = f"<sub>{markdown.text(_compared(about))}</sub>"
    long = [(_frame(item), excerpt.parts(item.sections)) for item in checks if item.sections]
    fixed = [*head, foot, *(line for frame, _ in long for line in frame)]
    sizes = [_length(parts) for _, parts in long]
    body: list[str] = []
    for ((before, after), parts), share in zip(long, shares(sizes, limit - _length(fixed)), strict=True):
        body += [before, *excerpt.fit(parts, share, about.rest), after]
    return "\n\n".join([*head, *body, foot]) + "\n"


def within(about: About, checks: Sequence[Check], most: int) -> str:
    """The same, in at most so many bytes."""
    limit = most
    while len((made := as_markdown(about, checks, limit)).encode()) > most:
        limit = limit * most // len(made.encode()) - 1
    return made


def _length(lines: Sequence[str]) -> int:
    """Of lines with an empty one after each."""
    return sum(len(line) + 2 for line in lines)


def shares(sizes: Sequence[int], room: int) -> list[int]:
    """How much of the room each gets: what it needs, or else the same as the others that need more than that."""
    found, left = [0] * len(sizes), max(room, 0)
    for done, at in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        found[at] = min(sizes[at], left // (len(sizes) - done))
        left -= found[at]
    return found


def _table(checks: Sequence[Check]) -> list[str]:
    rows = [
        (
            markdown.name(item.name),
            f"**{NAMES.get(item.state, item.state)}**",
            markdown.text(item.said, _LINE),
        )
        for item in checks
    ]
    return markdown.table(("check", "", ""), rows)


def _frame(check: Check) -> tuple[str, str]:
    """What can be folded, open where something is wrong."""
    opened = " open" if check.state in ("failed", "notMade") else ""
    return f"<details{opened}><summary>{markdown.name(check.name)}</summary>", "</details>"


def _compared(about: About) -> str:
    base = about.base[:12] or "nothing"
    return f"{about.head[:12]} compared with {base}, at {about.at}, by canaryfleet {about.version}"


def counted(checks: Iterable[Check]) -> Iterator[str]:
    """How many checks are in which state, for a log."""
    for state, number in sorted(Counter(item.state for item in checks).items()):
        yield f"{number} {NAMES.get(state, state)}"
