"""Bars added to a promotion.yaml that people edit: their text stays as it is, byte for byte.

The new lines are put where they most likely belong, and the result is read again: only a text that says
what the old one did, and the bars, is ever given back.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from canaryfleet.decode import decode
from canaryfleet.emit import emit
from canaryfleet.errors import Problems, one_line, problem
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.promotion import Bar, Promotion
from canaryfleet.syntax import Document, parse

CANT = "CF184"
HEADER = """# yaml-language-server: $schema=../../schemas/promotion.schema.json
Bars, holds and excused clusters of the app. People edit it, and the bot adds bars."""
_LINE_END = re.compile(r"\r\n|\n|\r")
_COMMENT = re.compile(r"( *)#[^\r\n]*(?:\r\n|\n|\r|\Z)")
_Insertion = tuple[int, str]  # where in the text, and what


def add(data: bytes | None, file: str, app: str, bars: Sequence[Bar]) -> bytes:
    """The promotion.yaml `data` (None: there is none) with some bars more.

    Raises `Problems`: CF184 there is no place in it where they can be put; others if it can't be read.
    """
    bars = [_plain(bar) for bar in bars]
    if data is None:
        return _new(app, bars)
    document = parse(data, file)
    before = decode(document, Promotion)
    if not bars:
        return data
    wanted = [replace(before, bars=both) for both in ((*before.bars, *bars), (*bars, *before.bars))]
    text = data.decode()
    for at, more in _insertions(document, text, bars):
        made = (text[:at] + more + text[at:]).encode()
        if _read(made, file) in wanted:
            return made
    remedy = "write it as a list of its own lines below `bars:`, without anchors"
    raise problem(document.place(("bars",)), CANT, "no bar can be added here", remedy)


def _plain(bar: Bar) -> Bar:
    """The same in characters that every reader of YAML keeps: its reason quotes what clusters say."""
    return replace(bar, by=one_line(bar.by), why=one_line(bar.why))


def _new(app: str, bars: Sequence[Bar]) -> bytes:
    metadata = {"name": app}
    body = {"apiVersion": API_VERSION, "kind": "Promotion", "metadata": metadata, "bars": _data(bars)}
    return emit(body, header=HEADER).encode()


def _data(bars: Sequence[Bar]) -> list[dict[str, Any]]:
    return [{key: value for key, value in to_builtins(bar).items() if value is not None} for bar in bars]


def _read(data: bytes, file: str) -> Promotion | None:
    try:
        return decode(parse(data, file), Promotion)
    except Problems:
        return None


# Where it may go: what doesn't fit is not what was wanted when it is read again


def _insertions(document: Document, text: str, bars: Sequence[Bar]) -> Iterator[_Insertion]:
    root = document.root
    known = next((value for key, value in root.value if key.value == "bars"), None)
    if known is None and root.flow_style:
        yield from _into_flow(root, f"bars: [{_flow(bars)}]")
    elif known is None:
        yield from _into_lines(root, text, "bars:\n" + emit(_data(bars)))
    elif known.flow_style:
        yield from _into_flow(known, _flow(bars))
    else:
        yield from _into_lines(known, text, emit(_data(bars)))


def _flow(bars: Sequence[Bar]) -> str:
    """Each as `{key: "value", …}`; text between double quotes is in JSON what it is in YAML."""
    items = [
        ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in item.items())
        for item in _data(bars)
    ]
    return ", ".join(f"{{{item}}}" for item in items)


def _into_flow(node: Any, more: str) -> Iterator[_Insertion]:
    """Before the bracket that ends it; there may be a comma already."""
    at = node.end_mark.index - 1
    if node.value:
        yield at, f", {more}"
    yield at, more


def _into_lines(node: Any, text: str, more: str) -> Iterator[_Insertion]:
    """After its last line, or before its last key; in a list, before its first dash."""
    first, *_ = children = [child[0] if isinstance(child, tuple) else child for child in node.value]
    line = _line(first.start_mark)
    indent = text[line : first.start_mark.index].split("-", 1)[0]
    found = _LINE_END.search(text)
    end = found[0] if found else "\n"
    lines = "".join(f"{indent}{each}{end}" for each in more.splitlines())
    at = _after(text, max(_ends(node)), len(indent))
    if text[:at].endswith(("\n", "\r")):
        yield at, lines
    else:  # the file's last line has no end, and goes on having none
        yield at, end + lines.removesuffix(end)
    yield _line(children[-1].start_mark) if node.tag is dict else line, lines


def _line(mark: Any) -> int:
    """Where the line of a mark begins."""
    return int(mark.index - mark.column)


def _after(text: str, at: int, indent: int) -> int:
    """Where the line ends in which `at` is, and the comments below it that stand deeper than `indent`."""
    if not text[:at].endswith(("\n", "\r")):
        found = _LINE_END.search(text, at)
        at = found.end() if found else len(text)
    while (comment := _COMMENT.match(text, at)) and len(comment[1]) > indent:
        at = comment.end()
    return at


def _ends(node: Any) -> Iterator[int]:
    """Where the things end that a node is made of: its own end is where the next thing begins."""
    if isinstance(node.value, str) or node.flow_style:
        yield node.end_mark.index
        return
    for child in node.value:
        for part in child if isinstance(child, tuple) else (child,):
            yield from _ends(part)
