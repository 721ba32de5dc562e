"""As much of a long text as fits: sections of sentences with lines below them, as text, or as Markdown within a limit."""

from collections.abc import Iterator, Sequence

from canaryfleet import markdown
from canaryfleet.errors import one_line
from canaryfleet.phrases import count

Block = tuple[str, tuple[str, ...]]
"""A sentence (none: empty), and the lines that belong to it."""
Section = tuple[str, Sequence[Block]]
"""A title (none: empty), and what stands below it."""

INDENT = "  "


def lines(sections: Sequence[Section]) -> Iterator[str]:
    """All of it as text, for a terminal or a file."""
    for title, blocks in sections:
        yield from ["", one_line(title)] if title else []
        for said, below in blocks:
            yield from [INDENT + one_line(said)] if said else []
            yield from (INDENT * 2 + one_line(line) for line in below)


def parts(sections: Sequence[Section]) -> list[str]:
    """All of it as Markdown, in parts that may be left out: headings, sentences, and fences with a sentence above."""
    return [
        part
        for title, blocks in sections
        for part in (*([f"### {markdown.text(title)}"] if title else []), *(_part(*each) for each in blocks))
    ]


def fit(parts: Sequence[str], room: int, rest: str) -> list[str]:
    """Those parts that `room` characters hold with an empty line after each, the last one cut, and how many are left out.

    `rest`: Markdown that says where the rest is. Nothing where there is no room even for that.
    """
    if sum(len(part) + 2 for part in parts) <= room:
        return list(parts)
    room -= len(_missing(len(parts), rest)) + 2
    if room < 0:
        return []
    made: list[str] = []
    for number, part in enumerate(parts):
        fits = part if len(part) + 2 <= room else _cut(part, room - 2)
        made += [fits] if fits else []
        room -= len(fits) + 2
        if fits != part:
            made.append(_missing(len(parts) - number - 1, rest))
            break
    return made


def _missing(more: int, rest: str) -> str:
    said = f", and {count(more, 'more section')}" if more else ""
    return f"*The rest of this{said}: {rest}.*"


def _part(said: str, below: Sequence[str]) -> str:
    """A sentence, and its lines in a fence that nothing in them can end."""
    if not below:
        return markdown.opening(said)
    body = "\n".join(map(one_line, below))
    fence = "```"
    while fence in body:
        fence += "`"
    head = f"{markdown.opening(said)}\n\n" if said else ""
    return f"{head}{fence}\n{body}\n{fence}"


def _cut(part: str, room: int) -> str:
    """As many lines of a part as there is room for, with the fence closed; empty if that is none."""
    head, _, rest = ("", "", part) if part.startswith("```") else part.partition("\n\n")
    first, *lines = rest.split("\n")
    closing = first
    above = [head, ""] if head else []
    room -= sum(len(line) + 1 for line in above) + 2 * (len(closing) + 1)
    kept: list[str] = []
    for line in lines[:-1]:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([*above, first, *kept, closing]) if kept else ""
