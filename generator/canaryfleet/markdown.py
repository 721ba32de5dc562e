"""Text of others in text of ours: what clusters, specs and people say can't become markup, a mention or a link.

Nothing here knows what a forge is; the rules are those of CommonMark, and of what GitHub, Gitea and Forgejo
make of `@name`, `#12`, `GH-12`, `!12` and addresses. An HTML comment needs a `<`, which never comes through.
"""

import re
from collections.abc import Iterable, Sequence

from canaryfleet.errors import one_line
from canaryfleet.phrases import listed

SENTENCE = 400  # characters
WORD = 100
_MARKUP = re.compile(r"[\\`*_\[\]|~$]")
_FIRST = re.compile(r"^([-+=#]|[0-9]+(?=[.)]))")  # what begins a list or a heading
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._/+:-]|(?<=:)/(?=/)")
# An invisible character between the sign and what follows it, so that nobody is called and nothing is linked.
# The first rule comes first: the character itself is written with a `#`.
_LINKS = (
    (re.compile(r"([#!])(?=[0-9])"), r"\1&#8203;"),
    (re.compile(r"@"), "@&#8203;"),
    (re.compile(r"\b(gh)-(?=[0-9])", re.IGNORECASE), r"\1-&#8203;"),
    (re.compile(r"://"), ":&#8203;//"),
    (re.compile(r"\bwww\.", re.IGNORECASE), "www&#8203;."),
)
# The same in a commit's message, which has no entities and is read as it is: a space that can be seen.
_PLAIN_LINKS = (
    (re.compile(r"(?<!\w)@(?=\w)"), "@ "),
    (re.compile(r"([#!])(?=[0-9])"), r"\1 "),
    (re.compile(r"\b(gh)-(?=[0-9])", re.IGNORECASE), r"\1- "),
    (re.compile(r"://"), ": //"),
)


def clip(text: str, most: int) -> str:
    """At most so many characters of a text, without line ends and what can't be printed."""
    text = " ".join(text[: most + 1].split())
    return one_line(text if len(text) <= most else text[: most - 1] + "…")


def name(text: str) -> str:
    """A name of ours (cluster, app, release): what has no place in one is shown as `?`."""
    return _NOT_IN_NAMES.sub("?", text[:WORD]) or "?"


def names(items: Sequence[str], most: int = 5) -> str:
    """At most so many names, and how many more there are."""
    return listed(map(name, items[:most]), len(items))


def plain(text: str, most: int = SENTENCE) -> str:
    """A sentence for a commit's message: one line, without what a forge would act on."""
    text = clip(text, most)
    for pattern, instead in _PLAIN_LINKS:
        text = pattern.sub(instead, text)
    return text


def text(said: str, most: int = SENTENCE) -> str:
    """A sentence in Markdown that reads as it was written."""
    escaped = clip(said, most).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _MARKUP.sub(r"\\\g<0>", escaped)
    for pattern, instead in _LINKS:
        escaped = pattern.sub(instead, escaped)
    return escaped


def opening(said: str) -> str:
    """A sentence that a line or an item of a list begins with: no list or heading of its own."""
    return _FIRST.sub(r"&#8203;\1", text(said))


def code(said: str, most: int = WORD) -> str:
    """A word in Markdown, as code: nothing in it is markup, and nothing ends it."""
    return f"`{clip(said, most).replace('`', chr(39)).replace('|', '¦').strip() or '?'}`"


def codes(items: Sequence[str], most: int = 5) -> str:
    """At most so many names as code, and how many more there are."""
    return listed((code(name(item)) for item in items[:most]), len(items))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; the cells are Markdown already."""
    rule = "|".join(" --- " for _ in head)
    return [_row(head), f"|{rule}|", *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
