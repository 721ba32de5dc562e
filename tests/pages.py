"""The page of a fleet as a parser sees it."""

from html.parser import HTMLParser
from typing import NamedTuple

VOID = {"meta", "input", "br"}


class Element(NamedTuple):
    """An element: its name, its attributes, the names of those that it stands in, and all text in it."""

    name: str
    attributes: dict[str, str | None]
    inside: tuple[str, ...]
    texts: list[str]

    @property
    def text(self) -> str:
        """What it says."""
        return " ".join("".join(self.texts).split())

    def has(self, kind: str) -> bool:
        """True if it has a class."""
        return kind in (self.attributes.get("class") or "").split()


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[Element] = []
        self.found: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute twice in {tag}"
        element = Element(tag, dict(attrs), tuple(item.name for item in self.open), [])
        self.found.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> ends nothing"
        assert self.open[-1].name == tag, f"</{tag}> ends {self.open[-1].name}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def parse(page: str) -> list[Element]:
    """Every element in order. AssertionError if one is not closed where it has to be."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    assert not parser.open, f"{parser.open[-1].name} is not closed"
    return parser.found


def with_class(elements: list[Element], kind: str) -> list[Element]:
    """The elements of a class."""
    return [item for item in elements if item.has(kind)]


def tiles(elements: list[Element]) -> dict[str, list[tuple[str, str]]]:
    """By cluster: the state of each of its tiles, and what its summary says."""
    found: dict[str, list[tuple[str, str]]] = {}
    for at, item in enumerate(elements):
        if item.has("tile"):
            summary = next(one for one in elements[at:] if one.name == "summary")
            found.setdefault(item.attributes["data-name"] or "", []).append(
                (item.attributes["data-state"] or "", summary.text)
            )
    return found
