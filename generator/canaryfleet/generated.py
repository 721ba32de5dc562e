"""Reading back what canaryfleet wrote.

The quick reader knows block style as `emit` writes it and printable ASCII, and nothing else. At the
first line that it is not sure of it gives up, and `syntax`, which is imported only then, reads the
text with care. So it never decides what is wrong, and what it reads it reads as `syntax` does, at a
fourth of the time.
"""

import re
from typing import Any

_PLAIN = (
    r"(?:\.\./)*[A-Za-z_/][A-Za-z0-9_./@+=()-]*"
    r"(?:(?:[:,](?=[A-Za-z0-9_/])| (?=[A-Za-z0-9_/(]))[A-Za-z0-9_./@+=()-]*)*"
    r"|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:%|ms|[smh]|[KMGT]i)?"
    r"|-[1-9][0-9]*"
    r"|--[a-z](?:[A-Za-z0-9_./@=-]|[:,](?=[A-Za-z0-9_/]))*"
)
_QUOTED = r'"(?:[^"\\\n]|\\["\\])*"'
_ESCAPED = re.compile(r'\\(["\\])')
_VALUE = rf"{_PLAIN}|{_QUOTED}|\|-?|\{{\}}|\[\]"
# One row a line: indentation, dash, key, value of the key, value of a list's item. A line of another
# form gives a row without key and value.
_LINE = re.compile(
    rf"^(?:( *)(- )?(?:([A-Za-z_][A-Za-z0-9_./-]*|{_QUOTED}):(?: ({_VALUE}))?|({_VALUE}))$|.*$)", re.MULTILINE
)
_UNSURE = re.compile("[^\n -~]")
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_NUMERIC = re.compile(r"-?[0-9.]+")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,15})\.[0-9]{1,16}")
# Words that are not text to every reader of YAML.
_NOT_TEXT = frozenset(
    ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nil", "none", "nan", "inf", "infinity")
)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
# Well within the limits of `syntax`, so that it is `syntax` that refuses what exceeds them.
_LARGEST = 8 << 20
_MOST_LINES = 40_000
_DEEPEST = 56  # columns: two levels at most in two of them
_END = ("", "", "", "", "")  # after the last line, so that every line has a next one


class Unsure(Exception):
    """This is not certainly what `emit` writes."""


def load(data: bytes, file: str) -> Any:
    """The plain data of a file that canaryfleet wrote; reads and refuses what `syntax.load` does."""
    try:
        return read(data)
    except Unsure:
        from canaryfleet import syntax

        return syntax.load(data, file)


def load_stream(data: bytes, file: str) -> list[dict[str, Any]]:
    """The documents of a file that canaryfleet wrote; reads and refuses what `syntax.parse_stream` does."""
    try:
        return read_stream(data)
    except Unsure:
        from canaryfleet import syntax

        return syntax.parse_stream(data, file)


def read(data: bytes) -> Any:
    """The data of one document, quickly; raises Unsure."""
    return _Reader(_body(data)).document()


def read_stream(data: bytes) -> list[dict[str, Any]]:
    """The mappings of a stream, quickly; raises Unsure."""
    # The lines of a literal block are indented, so this stands only between two documents.
    documents = [_Reader(part).document() for part in _body(data).split("\n---\n")]
    if not all(type(item) is dict for item in documents):
        raise Unsure
    return documents


def _body(data: bytes) -> str:
    """The text between the comments at its top and the end of its last line."""
    text = data.decode("latin-1")
    if not text.endswith("\n") or _UNSURE.search(text):
        raise Unsure
    if len(text) > _LARGEST or text.count("\n") > _MOST_LINES:
        raise Unsure
    start = 0
    while text.startswith("#", start):
        start = text.index("\n", start) + 1
    return text[start:-1]


class _Reader:
    """One document. Every method begins at a line and gives a value with the line after it."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.rows = [*_LINE.findall(text), _END]
        self.known: dict[str, Any] = {}
        self.keys: dict[str, str] = {}

    def document(self) -> Any:
        value, end = self.list(0, "") if self.rows[0][1] else self.mapping(0, "")
        if not value or end != len(self.lines):
            raise Unsure
        return value

    def mapping(self, line: int, indent: str, *, after_dash: bool = False) -> tuple[dict[str, Any], int]:
        """A mapping whose keys stand at `indent`; its first one may stand behind the dash of a list's item."""
        if len(indent) > _DEEPEST:
            raise Unsure
        rows, known, keys = self.rows, self.known, self.keys
        found: dict[str, Any] = {}
        size = 0
        while True:
            at, dash, key, value, _ = rows[line]
            if not key or (not after_dash and (at != indent or dash)):
                break
            after_dash = False
            size += 1
            line += 1
            if value in known:
                item = known[value]
            elif not value:
                item, line = self.below(line, indent)
            elif value[0] == "|":
                item, line = self.literal(line, indent + "  ", value)
            else:
                item = self.scalar(value)
            found[keys[key] if key in keys else self.key(key)] = item
        if len(found) != size:
            raise Unsure
        return found, line

    def below(self, line: int, indent: str) -> tuple[Any, int]:
        """What a key without a value on its line has on the next ones."""
        at, dash, key, *_ = self.rows[line]
        if dash and at == indent:
            return self.list(line, indent)
        if key and not dash and at == indent + "  ":
            return self.mapping(line, at)
        raise Unsure

    def list(self, line: int, indent: str) -> tuple[list[Any], int]:
        """A list whose dashes stand at `indent`."""
        rows, known = self.rows, self.known
        found: list[Any] = []
        while True:
            at, dash, key, _, value = rows[line]
            if not dash or at != indent:
                return found, line
            if key:
                item, line = self.mapping(line, indent + "  ", after_dash=True)
            elif value in known:
                item = known[value]
                line += 1
            elif value and value[0] != "|":
                item = self.scalar(value)
                line += 1
            else:
                raise Unsure
            found.append(item)

    def literal(self, line: int, indent: str, sign: str) -> tuple[str, int]:
        """Text of several lines; the first one fixes the indentation, so it must begin with text."""
        lines, start = self.lines, line
        first = lines[line] if line < len(lines) else ""
        rest = first.removeprefix(indent)
        if rest == first or not rest or rest[0] == " ":
            raise Unsure
        while line < len(lines) and (not lines[line] or lines[line].startswith(indent)):
            line += 1
        if not lines[line - 1].strip():
            raise Unsure
        text = "\n".join([item[len(indent) :] for item in lines[start:line]])
        return (text if sign == "|-" else text + "\n"), line

    def key(self, text: str) -> str:
        """A key, which is always text."""
        name = _unquoted(text) if text[0] == '"' else text
        if name == text and name.lower() in _NOT_TEXT:
            raise Unsure
        self.keys[text] = name
        return name

    def scalar(self, text: str) -> Any:
        """The value that stands on one line."""
        value: Any = text
        if text[0] == '"':
            value = _unquoted(text)
        elif text in ("{}", "[]"):
            return {} if text == "{}" else []  # not remembered: each is another
        elif text in _WORDS:
            value = _WORDS[text]
        elif text.lower() in _NOT_TEXT:
            raise Unsure
        elif _NUMBER.fullmatch(text):
            value = int(text)
        elif _DECIMAL.fullmatch(text):
            value = float(text)
        elif _NUMERIC.fullmatch(text):
            raise Unsure
        self.known[text] = value
        return value


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(r"\1", text[1:-1]) if "\\" in text else text[1:-1]
