"""Which series a PromQL query selects: a scanner of its own, as strict as the queries here are plain."""

import re
from collections.abc import Iterator
from typing import NamedTuple

ARGUMENT = re.compile(r"{{ *args\.([a-z0-9-]+) *}}")
TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:\\.|[^"\\])*")
    |(?P<range>\[[^\]]*\])
    |(?P<labels>\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\))
    |(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<number>[0-9][0-9.a-z]*)
    |(?P<open>\{)
    |(?P<other>[()<>=!~+*/%,^-])""",
    re.VERBOSE,
)
MATCHER = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:\\.|[^"\\])*")\s*(,|$)')
OPERATORS = frozenset({"and", "or", "unless", "bool", "offset"})


class Selector(NamedTuple):
    """A selector of series: the metric's name, and a matcher for each label, as written."""

    metric: str
    matchers: tuple[str, ...]


def filled(query: str) -> str:
    """A query with a time for its window, and the names of the other arguments where their values come."""
    return ARGUMENT.sub(lambda found: "5m" if found[1] == "window" else f"<{found[1]}>", query)


def selectors(query: str) -> list[Selector]:
    """All selectors of a query, also those without labels; raises ValueError for what it can't read."""
    return list(_selectors(filled(query)))


def _selectors(text: str) -> Iterator[Selector]:
    at, name = 0, ""
    while at < len(text):
        token = TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"at {text[at : at + 20]!r} of {text!r}")
        at, kind = token.end(), token.lastgroup
        if kind == "open":
            end = _end(text, at)
            yield Selector(name, tuple(_matchers(text[at:end])))
            at, name = end + 1, ""
        elif kind not in {"space", "labels"}:  # `sum by (pod) (...)`
            if name and token[0] != "(":  # not a function: a metric without labels
                yield Selector(name, ())
            name = token[0] if kind == "word" and token[0] not in OPERATORS else ""
    if name:
        yield Selector(name, ())


def _end(text: str, at: int) -> int:
    """Where the brace closes; none in a string does."""
    while text[at] != "}":
        string = re.compile(r'"(?:\\.|[^"\\])*"').match(text, at)
        at = string.end() if string else at + 1
    return at


def _matchers(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        found = MATCHER.match(text, at)
        if found is None:
            raise ValueError(f"at {text[at : at + 20]!r} of {{{text}}}")
        yield f"{found[1]}{found[2]}{found[3]}"
        at = found.end()
