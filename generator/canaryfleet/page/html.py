"""HTML that can't be broken by what it holds: text of others is escaped where it becomes a child or an attribute."""

import html
from collections.abc import Iterable
from typing import TypeAlias

from canaryfleet.errors import one_line

VOID = frozenset({"meta", "input", "path", "rect", "circle", "use", "line", "br"})


class Html(str):
    """Markup of ours. Every other string is text."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"
"""What an element holds: markup, text, nothing, or several of them."""


def escape(text: object) -> Html:
    """Text as markup shows it: on one line, with what can't be seen made visible."""
    return Html(html.escape(one_line(str(text))))


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """An element. `class_` is `class`, `aria_label` is `aria-label`; True: no value; None and False: left out."""
    head = "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Html(f"<{name}{head}>" if name in ("meta", "input", "br") else f"<{name}{head}/>")
    return Html(f"<{name}{head}>{join(children)}</{name}>")


def _attribute(name: str, value: str | int | float | bool) -> str:
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def join(children: Iterable[Child]) -> Html:
    """Several children as one; those that are None are left out."""
    return Html("".join(_child(item) for item in children))


def spaced(children: Iterable[Html | None]) -> Html:
    """The same with a space between them: boxes on a screen, and words for who hears or copies them."""
    return Html(" ".join(item for item in children if item is not None))


def _child(item: Child) -> str:
    if item is None:
        return ""
    if isinstance(item, Html):
        return item
    if isinstance(item, str | int):
        return escape(item)
    return join(item)
