"""What a spec says that it means: warnings that it ignores, with a reason."""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from canaryfleet import codes
from canaryfleet.errors import WARNING, Issue
from canaryfleet.models.canary import Canary
from canaryfleet.nearest import nearest

USELESS = "CF351"  # never ignored: it is about the ignores


class Heard(NamedTuple):
    """What is still to be said, and the codes that were silenced."""

    issues: list[Issue]
    silenced: frozenset[str]


def hear(spec: Canary, issues: Iterable[Issue]) -> Heard:
    """Without the warnings that the spec ignores. Errors are never among them."""
    ignored = {entry.code for entry in spec.lint.ignore} - {USELESS}
    kept, silenced = [], set()
    for issue in issues:
        if issue.severity == WARNING and issue.code in ignored:
            silenced.add(issue.code)
        else:
            kept.append(issue)
    return Heard(kept, frozenset(silenced))


def impossible(spec: Canary) -> Iterator[Issue]:
    """CF350: ignores of a code that is unknown, no warning, or there twice."""
    seen: set[str] = set()
    for index, entry in enumerate(spec.lint.ignore):
        at, found = ("lint", "ignore", index, "code"), codes.find(entry.code)
        if found is None:
            names = [item.code for item in codes.every().values() if item.warns]
            yield Issue(at, "CF350", f"there is no code {entry.code}", nearest(entry.code, names))
        elif not found.warns or entry.code == USELESS:
            yield Issue(at, "CF350", f"{entry.code} can't be ignored: {found.title}", "mend what it says")
        elif entry.code in seen:
            yield Issue(at, "CF350", f"{entry.code} is ignored already", "keep one entry, with all reasons")
        seen.add(entry.code)


def useless(spec: Canary, silenced: Collection[str], *, all_apps: bool) -> Iterator[Issue]:
    """CF351: ignores that silence nothing. What comes and goes with time, or with apps not looked at, may be due again."""
    for index, entry in enumerate(spec.lint.ignore):
        found = codes.find(entry.code)
        if found is None or not found.warns or entry.code in {USELESS, *silenced}:
            continue
        if not (found.dated or (found.fleet and not all_apps)):
            yield Issue(
                ("lint", "ignore", index),
                USELESS,
                f"nothing is warned of by {entry.code} any more",
                "remove it, or the next such danger is silenced unseen",
                WARNING,
            )
