"""Plain data to YAML text that every reader takes for the same data.

Block style as kustomize writes it: two spaces, lists at the column of their key, keys in the order
given. A string is left unquoted only if it is on a short list of harmless forms, since readers of
YAML (1.1, 1.2, Go's, Python's) agree about those and about quoted strings, and about little else.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any

from canaryfleet.patterns import later

#: Readers take a longer key on one line for text without a key (the limit is 1,024).
_LONGEST_KEY = 1000

# Harmless unquoted: words (names, paths, images, sentences), quantities with a unit, long options.
_PLAIN = re.compile(
    r"(?:\.\./)*[A-Za-z_/][A-Za-z0-9_./@+=()-]*"
    r"(?:(?:[:,](?=[A-Za-z0-9_/])| (?=[A-Za-z0-9_/(]))[A-Za-z0-9_./@+=()-]*)*"
    r"|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:%|ms|[smh]|[KMGT]i)"
    r"|--[a-z](?:[A-Za-z0-9_./@=-]|[:,](?=[A-Za-z0-9_/]))*"
)
_NOT_TEXT = frozenset(
    ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nil", "none", "nan", "inf", "infinity")
)
_LONGEST_NOT_TEXT = max(map(len, _NOT_TEXT))

# What can't stand in a literal block: other line ends, characters that readers drop or refuse, those
# that hide or reorder text, spaces that end a line, and a beginning that would count as indentation.
_NOT_LITERAL = later(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
    r"|[ \t](?:\n|\Z)|\A[ \t\n]"
)

_INTEGERS = range(-(1 << 63), 1 << 64)


class Unwritable(ValueError):
    """Data that YAML's readers, or Kubernetes, would lose or take for something else."""


def emit(value: Any, *, header: str = "") -> str:
    """`value` (dict, list, tuple, str, int, float, bool, None) as one YAML document.

    `header` becomes comment lines at the top. Raises `Unwritable`, a ValueError, for what readers of YAML can't carry
    or don't agree about: infinite floats, integers of more than 64 bits, lone surrogates, U+FFFE and
    U+FFFF, the controls U+007F to U+009F, keys of more than 1,000 characters, the key `<<`; and
    `TypeError` for keys that aren't text and for other types.
    """
    out: list[str] = []
    if isinstance(value, Mapping) and value:
        _mapping(value, "", "", out)
    elif isinstance(value, (list, tuple)) and value:
        _sequence(value, "", "", out)
    else:
        out.append(_quote(value) if isinstance(value, str) and "\n" in value else _scalar(value, ""))
    out.append("")
    text = "\n".join(out)
    return _comment(header) + text if header else text


def emit_all(documents: Iterable[Any]) -> str:
    """Several documents as one stream, with `---` between them; raises as `emit` does."""
    return "---\n".join(map(emit, documents))


def arrange(value: Mapping[str, Any], *, header: str = "", width: int = 110) -> str:
    """`value` as one YAML document in the shape that people give to what they write and read.

    What fits into `width` columns stands on one line, between brackets, but for lists of several mappings with more
    than two keys: each has a line of its own. `header` and errors as in `emit`.
    """
    out: list[str] = []
    _arranged_mapping(value, "", "", out, width)
    text = "\n".join([*out, ""])
    return _comment(header) + text if header else text


def _arranged_mapping(value: Mapping[str, Any], lead: str, indent: str, out: list[str], width: int) -> None:
    for key, item in value.items():
        head = f"{lead}{_key(key)}:"
        lead = indent
        text = flow(item)
        if not item or not _is_nested(item):
            out.append(f"{head} {_on_lines(item, indent, width) or _scalar(item, indent)}")
        elif len(head) + 1 + len(text) <= width and not _is_a_table(item):
            out.append(f"{head} {text}")
        elif isinstance(item, Mapping):
            out.append(head)
            _arranged_mapping(item, f"{indent}  ", f"{indent}  ", out, width)
        else:
            out.append(head)
            _arranged_items(item, indent, out, width)


def _arranged_items(items: Iterable[Any], indent: str, out: list[str], width: int) -> None:
    for item in items:
        text = flow(item)
        if isinstance(item, Mapping) and item and (len(indent) + 2 + len(text) > width or _is_a_table(item)):
            _arranged_mapping(item, f"{indent}- ", f"{indent}  ", out, width)
        else:
            out.append(f"{indent}- {text if _is_nested(item) else _scalar(item, indent)}")


def _is_nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple))


def _on_lines(value: Any, indent: str, width: int) -> str:
    """Text with quotes, or too long for a line, as a folded block; empty if it has to be written otherwise."""
    if not isinstance(value, str) or not ('"' in value or len(value) > width) or "  " in value:
        return ""
    if not value.isprintable() or value.strip() != value or value.startswith("#"):
        return ""
    from textwrap import wrap  # for people's files alone

    inner = f"{indent}  "
    lines = wrap(value, max(1, width - len(inner)), break_long_words=False, break_on_hyphens=False)
    return f">-\n{inner}" + f"\n{inner}".join(lines)


def _is_a_table(value: Any) -> bool:
    """Whether it is, or has in it, a list whose items would hide each other on one line, or text full of escapes."""
    if isinstance(value, str):
        return '"' in value or "\n" in value
    if isinstance(value, Mapping):
        return any(map(_is_a_table, value.values()))
    if not _is_nested(value):
        return False
    large = [item for item in value if isinstance(item, Mapping) and len(item) > _SMALL]
    return (len(value) > 1 and bool(large)) or any(map(_is_a_table, value))


_SMALL = 2  # keys of a mapping of which several can be read on one line
_BRACKETS = frozenset(",[]{}")


def flow(value: Any) -> str:
    """Data between brackets, on one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{flow(_keyed(key))}: {flow(item)}' for key, item in value.items())}}}"
    if _is_nested(value):
        return f"[{', '.join(map(flow, value))}]"
    if not isinstance(value, str):
        return _scalar(value, "")
    text = _quote(value) if not value.isprintable() else _text(value)
    return _quote(value) if text == value and not _BRACKETS.isdisjoint(value) else text


def _keyed(key: Any) -> str:
    """A key that can be written, as it is."""
    _key(key)
    return str.__str__(key)


def _comment(header: str) -> str:
    if _NOT_LITERAL.search(header.replace("\n", "").strip()):
        raise Unwritable("a header must be printable text")
    lines = (line.rstrip() for line in header.split("\n"))
    return "".join(f"{line}\n" if line.startswith("#") else f"# {line}".rstrip() + "\n" for line in lines)


def _mapping(value: Mapping[Any, Any], lead: str, indent: str, out: list[str]) -> None:
    """Lines of a mapping; `lead` stands before its first key (`- ` in a list), `indent` before others."""
    for key, item in value.items():
        name = _key(key)
        kind = type(item)
        if kind is str:
            out.append(f"{lead}{name}: {_text(item) if item.isprintable() else _lines(item, indent)}")
        elif kind is dict and item:
            out.append(f"{lead}{name}:")
            inner = indent + "  "
            _mapping(item, inner, inner, out)
        elif kind is list and item:
            out.append(f"{lead}{name}:")
            _sequence(item, indent, indent, out)
        else:
            _other(item, f"{lead}{name}:", indent, out)
        lead = indent


def _sequence(value: Iterable[Any], lead: str, indent: str, out: list[str]) -> None:
    inner = indent + "  "
    for item in value:
        kind = type(item)
        if kind is str:
            out.append(f"{lead}- {_text(item) if item.isprintable() else _lines(item, indent)}")
        elif kind is dict and item:
            _mapping(item, f"{lead}- ", inner, out)
        elif kind is list and item:
            _sequence(item, f"{lead}- ", inner, out)
        elif isinstance(item, Mapping) and item:
            _mapping(item, f"{lead}- ", inner, out)
        elif isinstance(item, tuple) and item:
            _sequence(item, f"{lead}- ", inner, out)
        else:
            out.append(f"{lead}- {_scalar(item, indent)}")
        lead = indent


def _other(item: Any, head: str, indent: str, out: list[str]) -> None:
    """A value of a mapping that is neither str, nor a filled dict or list of exactly those types."""
    if isinstance(item, Mapping) and item:
        out.append(head)
        _mapping(item, indent + "  ", indent + "  ", out)
    elif isinstance(item, tuple | list) and item:
        out.append(head)
        _sequence(item, indent, indent, out)
    else:
        out.append(f"{head} {_scalar(item, indent)}")


def _scalar(value: Any, indent: str) -> str:
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    if isinstance(value, str):
        text = str.__str__(value)
        return _text(text) if text.isprintable() else _lines(text, indent)
    if isinstance(value, (Mapping, list, tuple)):
        return "{}" if isinstance(value, Mapping) else "[]"
    for base in (int, float):
        if isinstance(value, base):
            return _WRITERS[base](base(value))
    raise TypeError(f"{type(value).__name__} is not plain data: {value!r:.80}")


def _integer(value: int) -> str:
    if value not in _INTEGERS:
        raise Unwritable(f"an integer of more than 64 bits: {value!r:.80}")
    return str(value)


def _float(value: float) -> str:
    """The shortest digits, in the one form that every reader takes for a float: `1.0e-05`."""
    if not isfinite(value):
        raise Unwritable(f"{value} can't be carried by JSON, and so not by Kubernetes")
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else text


_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda value: "null",
    bool: lambda value: "true" if value else "false",
    int: _integer,
    float: _float,
}


@lru_cache(maxsize=4096)
def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key must be text, not {type(key).__name__}: {key!r:.80}")
    text = _text(str.__str__(key))
    if key == "<<":
        raise Unwritable("a key `<<`: kustomize takes it for a merge, also quoted, and loses it")
    if len(text) > _LONGEST_KEY:
        raise Unwritable(f"a key of more than {_LONGEST_KEY:,} characters: {text[:80]}...")
    return text


@lru_cache(maxsize=4096)
def _text(value: str) -> str:
    """A string on one line: unquoted if that is harmless, else between double quotes."""
    if _PLAIN.fullmatch(value) and not (len(value) <= _LONGEST_NOT_TEXT and value.lower() in _NOT_TEXT):
        return value
    return _quote(value)


def _lines(value: str, indent: str) -> str:
    """A string that may have several lines: a literal block below `indent` if that is safe."""
    body = value.rstrip("\n")
    if (len(body) == len(value) and "\n" not in body) or _NOT_LITERAL.search(value):
        return _quote(value)
    ends = len(value) - len(body)
    sign = "-" if not ends else "" if ends == 1 else "+"
    inner = f"\n{indent}  "
    if "\n\n" not in body:
        return f"|{sign}{inner}{body.replace(chr(10), inner)}" + "\n" * (ends - 1)
    lines = (inner + line if line else "\n" for line in body.split("\n"))
    return f"|{sign}" + "".join(lines) + "\n" * (ends - 1)


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


# Half characters, and what kustomize (5.8) loses however it is written: it refuses the controls above
# ASCII, and silently makes a space of U+0085.
_NOT_CARRIED = later("[\x7f-\x9f\ufffe\uffff\ud800-\udfff]")


def _quote(value: str) -> str:
    if value.isprintable():
        value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    return f'"{"".join(map(_escape, value))}"'


def _escape(character: str) -> str:
    known = _ESCAPES.get(character)
    if known or character.isprintable():
        return known or character
    code = ord(character)
    if _NOT_CARRIED.match(character):
        raise Unwritable(f"Kubernetes can't carry the character U+{code:04X}")
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
