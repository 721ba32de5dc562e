"""Changes of files that people write: entries of a promotion.yaml, and single values. The rest stays, byte for byte.

The new lines are put where they most likely belong, and the result is read again: only a text that says
what the old one did, and the new entries (or without the removed ones), is ever given back.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

from msgspec import to_builtins
from msgspec.structs import replace

from canaryfleet.decode import decode
from canaryfleet.emit import emit
from canaryfleet.errors import Place, Problems, one_line, problem
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.promotion import Bar, Excuse, HoldEntry, Promotion, nothing_said
from canaryfleet.syntax import Document, parse, parse_manifests

CANT = "CF184"
HEADER = """# yaml-language-server: $schema=../../schemas/promotion.schema.json
Bars, holds and excused clusters of the app. People edit it, and the bot adds bars."""
_LINE_END = re.compile(r"\r\n|\n|\r")
_COMMENT = re.compile(r"( *)#[^\r\n]*(?:\r\n|\n|\r|\Z)")
_Insertion = tuple[int, str]  # where in the text, and what
Key = Literal["bars", "holds", "excused"]
Entry = Bar | HoldEntry | Excuse


def add(data: bytes | None, file: str, app: str, entries: Sequence[Entry], key: Key = "bars") -> bytes:
    """The promotion.yaml `data` (None: there is none) with some entries more in one of its lists.

    Raises `Problems`: CF184 there is no place in it where they can be put; others if it can't be read.
    """
    entries = [_plain(entry) for entry in entries]
    if data is None:
        return _new(app, file, entries, key)
    document = parse(data, file)
    before = decode(document, Promotion)
    if not entries:
        return data
    known = getattr(before, key)
    wanted = [replace(before, **{key: both}) for both in ((*known, *entries), (*entries, *known))]
    text = data.decode()
    for at, more in _insertions(document, text, entries, key):
        made = (text[:at] + more + text[at:]).encode()
        if _read(made, file) in wanted:
            return made
    remedy = f"write it as a list of its own lines below `{key}:`, without anchors"
    raise problem(document.place((key,)), CANT, "no entry can be added here", remedy)


def remove(data: bytes, file: str, gone: Sequence[int], key: Key) -> bytes:
    """The promotion.yaml `data` without some entries of one of its lists, by their numbers from 0.

    An entry goes with the comments that stand in it, and the key of a list of lines with its last entry. Raises
    `Problems`: CF184 it is written so that only a person can; others if it can't be read.
    """
    document = parse(data, file)
    before = decode(document, Promotion)
    kept = tuple(entry for number, entry in enumerate(getattr(before, key)) if number not in gone)
    text = data.decode()
    made = _without(document, text, gone, key).encode()
    if _read(made, file) != replace(before, **{key: kept}):
        remedy = f"take it out by hand, or write `{key}` as a list of its own lines, without anchors"
        raise problem(document.place((key,)), CANT, "this entry can't be taken out here", remedy)
    return made


Path = tuple[str | int, ...]


def respell(data: bytes, file: str, changes: Mapping[tuple[int, Path], str]) -> bytes:
    """The YAML `data` with other text at some places, by the number of the document (from 0) and the path in it.

    Quotes stay as they are. Raises `Problems`: CF184 a value is written so that only a person can change it; others if
    the file can't be read.
    """
    documents = parse_manifests(data, file)
    wanted = [deepcopy(document.data) for document in documents]
    pieces: list[tuple[int, int, str]] = []
    for (number, path), value in changes.items():
        node = documents[number].node(path)
        _put(wanted[number], path, value)
        quote = node.style if node.style in ("'", '"') else ""
        pieces.append((node.start_mark.index, node.end_mark.index, f"{quote}{value}{quote}"))
    text = data.decode()
    for start, end, piece in sorted(set(pieces), reverse=True):
        text = text[:start] + piece + text[end:]
    made = text.encode()
    if not _says(made, file, wanted):
        (number, path), value = next(iter(changes.items()))
        place = documents[number].place(path)
        raise problem(place, CANT, "a value here can't be changed", f"write {one_line(value)} yourself")
    return made


def _put(data: Any, path: Path, value: str) -> None:
    for step in path[:-1]:
        data = data[step]
    data[path[-1]] = value


def _says(data: bytes, file: str, wanted: list[Any]) -> bool:
    try:
        return [document.data for document in parse_manifests(data, file)] == wanted
    except Problems:
        return False


def _plain(entry: Entry) -> Entry:
    """The same in characters that every reader of YAML keeps: its reason may quote what clusters say."""
    return replace(entry, by=one_line(entry.by), why=one_line(entry.why))


def _new(app: str, file: str, entries: Sequence[Entry], key: Key) -> bytes:
    metadata = {"name": app}
    body = {"apiVersion": API_VERSION, "kind": "Promotion", "metadata": metadata, key: _data(entries)}
    made = emit(body, header=HEADER).encode()
    wanted = nothing_said(app)
    if _read(made, file) != replace(wanted, **{key: tuple(entries)}):
        raise problem(
            Place(file), CANT, "what would be written says something else", "write the entry by hand"
        )
    return made


def _data(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in to_builtins(entry).items() if value is not None} for entry in entries
    ]


def _read(data: bytes, file: str) -> Promotion | None:
    try:
        return decode(parse(data, file), Promotion)
    except Problems:
        return None


# Where it may go: what doesn't fit is not what was wanted when it is read again


def _insertions(document: Document, text: str, entries: Sequence[Entry], key: Key) -> Iterator[_Insertion]:
    root = document.root
    known = _list(document, key)
    if known is None and root.flow_style:
        yield from _into_flow(root, f"{key}: [{_flow(entries)}]")
    elif known is None:
        yield from _into_lines(root, text, f"{key}:\n" + emit(_data(entries)))
    elif known.flow_style:
        yield from _into_flow(known, _flow(entries))
    else:
        yield from _into_lines(known, text, emit(_data(entries)))


def _list(document: Document, key: Key) -> Any:
    """The node of one of the lists; None if the file does not have it."""
    return next((value for name, value in document.root.value if name.value == key), None)


def _flow(entries: Sequence[Entry]) -> str:
    """Each as `{key: "value", …}`; text between double quotes is in JSON what it is in YAML."""
    items = [
        ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in item.items())
        for item in _data(entries)
    ]
    return ", ".join(f"{{{item}}}" for item in items)


def _without(document: Document, text: str, gone: Sequence[int], key: Key) -> str:
    """The text without some entries; where that is too hard it is found to say something else than it should."""
    known = _list(document, key)
    if known is None:
        return text
    if known.flow_style:
        return _out_of_flow(known, text, gone)
    if len(gone) == len(known.value):
        name = next(name for name, value in document.root.value if value is known)
        return _cut(text, _line(name.start_mark), _ends_of(known, text, name.start_mark.column))
    for number in sorted(gone, reverse=True):
        child = known.value[number]
        start = _line(child.start_mark)
        indent = len(text[start : child.start_mark.index].split("-", 1)[0])
        text = _cut(text, start, _ends_of(child, text, indent))
    return text


def _out_of_flow(node: Any, text: str, gone: Sequence[int]) -> str:
    """Each with the comma after it; those after which nothing stays, with the one before."""
    children = node.value
    last = max((number for number in range(len(children)) if number not in gone), default=-1)
    for number in sorted(gone, reverse=True):
        start, end = children[number].start_mark.index, children[number].end_mark.index
        if number < last:
            end = children[number + 1].start_mark.index
        elif number:
            start = children[number - 1].end_mark.index
        text = text[:start] + text[end:]
    return text


def _cut(text: str, start: int, end: int) -> str:
    """The text without a part; a last line that had no end leaves one that has none."""
    kept = text[:start] + text[end:]
    return kept if end < len(text) or text.endswith(("\n", "\r")) else kept.rstrip("\r\n")


def _ends_of(node: Any, text: str, indent: int) -> int:
    """Where the lines of a node end, with the comments that stand deeper than `indent`."""
    return _after(text, max(_ends(node), default=node.end_mark.index), indent)


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
