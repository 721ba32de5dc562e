"""YAML text to plain data, and every piece of data to its place in the text.

Three readers, one for each kind of text:

- `parse` for what people write: strict, keeps positions, reports everything at once;
- `load` for files that canaryfleet wrote: the same language, without positions;
- `parse_stream` for kustomize's output: several documents, read as Go's YAML library reads them.

YAML 1.1 and 1.2 readers disagree about many unquoted scalars: `on`, `12:30:45`, `017`, `1e3`. A spec
is read by people, by this program and by others, so `parse` and `load` refuse what is not the same to
all of them, and read the rest as the core schema of YAML 1.2 does. Agreed by all, and so accepted:

- null: `null`, `Null`, `NULL`, `~` and nothing at all
- booleans: `true` and `false`, also capitalised or in capitals
- integers: decimal, without a plus sign or leading zeros, of 64 bits at most
- floats: digits, a point, digits, and an exponent that has its sign: `0.5`, `1.0e-05`
"""

import re
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from typing import Any, NamedTuple, cast

from .errors import Finding, Place, Problems, problem
from .patterns import all_later, later

try:
    with all_later():  # PyYAML's reader in Python has 14, which cost a tenth of a command's time
        from yaml._yaml import CParser
except ImportError as error:  # the pure Python parser is 20 times slower, and not bounded in depth
    raise ImportError(
        "canaryfleet needs PyYAML with its C library (libyaml): install the wheel of PyYAML, "
        "or build it with libyaml's headers present"
    ) from error

from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import MappingNode, ScalarNode


class Limits(NamedTuple):
    """How much one file may hold: bytes, nodes (also after its aliases are expanded), levels."""

    size: int = 1 << 20
    nodes: int = 100_000
    depth: int = 64


#: For text that a program wrote: large, but still bounded.
GENERATED = Limits(size=16 << 20, nodes=200_000, depth=64)

#: A finding for each bad line helps to repair a file; a thousand of them only hide the others.
_MOST_CHARACTERS = 20

#: For what people write.
WRITTEN = Limits()

_INT64 = range(-(1 << 63), 1 << 63)
_UINT64 = range(1 << 64)


class Document(NamedTuple):
    """One parsed file: its plain data, and the places of what is in it."""

    file: str
    data: Any
    root: Any

    def place(self, path: tuple[str | int, ...]) -> Place:
        """Where the value at `path` stands, or the nearest of its ancestors that exists."""
        node, _ = self._find(path)
        return _place(self.file, node.start_mark)

    def key_place(self, path: tuple[str | int, ...]) -> Place:
        """Where the key of the value at `path` stands; for an item of a list, the item itself."""
        node, key = self._find(path)
        return _place(self.file, (key or node).start_mark)

    def node(self, path: tuple[str | int, ...]) -> Any:
        """The node of the value at `path`, or of the nearest of its ancestors that exists."""
        return self._find(path)[0]

    def _find(self, path: tuple[str | int, ...]) -> tuple[Any, Any]:
        node, key = self.root, None
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            key, node = found
        return node, key


class Unclear(Problems):
    """Findings about single values; `partial` is the document with those values as text.

    With it a caller goes on to say what else is wrong with the file, and never uses it otherwise.
    """

    def __init__(self, findings: Iterable[Finding], partial: Document) -> None:
        super().__init__(findings)
        self.partial = partial


def parse(data: bytes, file: str, *, limits: Limits = WRITTEN) -> Document:
    """The one document in `data`; `file` is its path in the repository, for the places.

    Raises `Problems` with everything found: CF001 to CF009; `Unclear` if only values are.
    """
    text = _decode(data, file, limits)
    _refuse_characters(text, file)
    composed = _compose(data, file, limits, _core)
    findings = [
        Finding(_place(file, extra.start_mark), "CF007", "a second document begins here",
                "keep one document in a file")
        for extra in composed[1:2]
    ]  # fmt: skip
    if not composed or _is_nothing(composed[0]):
        raise problem(Place(file), "CF007", "the file is empty")
    root = composed[0]
    try:
        return Document(file, _plain(root, _Source(file, text, limits), findings), root)
    except Problems as problems:
        if "*" in text or {finding.code for finding in problems.findings} - {"CF003", "CF004"}:
            raise
        raise Unclear(problems.findings, Document(file, _as_text(root), root)) from None


def _as_text(node: Any) -> Any:
    """Plain data in which a value that readers dispute is text, and the last of two keys counts.

    What a merge key brings is there, so that it is not missed once more.
    """
    if node.tag is dict:
        brought = [_as_text(value) for key, value in node.value if _merges(key)]
        merged = {
            name: value for one in reversed(brought) if isinstance(one, dict) for name, value in one.items()
        }
        return merged | {key.value: _as_text(value) for key, value in node.value if not _merges(key)}
    if node.tag is list:
        return [_as_text(item) for item in node.value]
    try:
        return node.value if node.tag is str else node.tag(node.value)
    except _Odd:
        return node.value


def _merges(key: Any) -> bool:
    return key.tag is _ambiguous and key.value == "<<"


def load(data: bytes, file: str, *, limits: Limits = GENERATED) -> Any:
    """The plain data of a file that canaryfleet wrote; reads and refuses what `parse` does."""
    return parse(data, file, limits=limits).data


def parse_stream(data: bytes, file: str, *, limits: Limits = GENERATED) -> list[dict[str, Any]]:
    """The documents of kustomize's output, which must be mappings; empty documents are left out.

    Plain scalars are read as Go does: `1e3` is a number, `on`, `y` and `2026-11-01` are text, an
    integer of more than 64 bits is a float. Keys that aren't text become text, as in Kubernetes.
    Raises `Problems` for what isn't YAML, is too large, has tags or holds something else.
    """
    return [document.data for document in parse_manifests(data, file, limits=limits)]


def parse_manifests(data: bytes, file: str, *, limits: Limits = GENERATED) -> list[Document]:
    """The same of manifests that people have, each document with its places."""
    source = _Source(file, _decode(data, file, limits), limits)
    documents = []
    for root in _compose(data, file, limits, _go):
        if _is_nothing(root):
            continue
        if root.tag is not dict:
            raise problem(_place(file, root.start_mark), "CF002", "this document is not a mapping")
        documents.append(Document(file, _plain_stream(root, source), root))
    return documents


# ---- bytes -> text


def _decode(data: bytes, file: str, limits: Limits) -> str:
    if len(data) > limits.size:
        raise problem(Place(file), "CF005", f"the file has {len(data):,} bytes; {limits.size:,} are allowed")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise problem(
            _text_place(file, before, len(before)),
            "CF001",
            f"the file is not UTF-8: byte 0x{data[error.start]:02x} stands here",
            "save it as UTF-8",
        ) from None


# What YAML forbids, what its versions count differently as line ends (NEL, LS, PS), and what shows a
# reviewer another text than the computer reads (bidirectional overrides).
_UNWANTED = later("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
_LAYOUT = dict.fromkeys(map(ord, "\t\n\r"))


def _refuse_characters(text: str, file: str) -> None:
    if text.translate(_LAYOUT).isprintable():
        return  # all that is unwanted is not printable
    found = []
    for match in _UNWANTED.finditer(text):
        found.append(_character(text, match.start(), file))
        if len(found) == _MOST_CHARACTERS:
            break
    if found:
        raise Problems(found)


def _character(text: str, index: int, file: str) -> Finding:
    place = _text_place(file, text, index)
    if index == 0 and text[0] == "\ufeff":
        return Finding(
            place, "CF001", "the file begins with a byte order mark", "save it as UTF-8 without one"
        )
    code = ord(text[index])
    escape = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return Finding(
        place,
        "CF001",
        f"invisible or control character U+{code:04X}",
        f'remove it, or write {escape} between double quotes: "{escape}"',
    )


def _text_place(file: str, text: str, index: int) -> Place:
    return Place(file, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _place(file: str, mark: Any) -> Place:
    return Place(file, mark.line + 1, mark.column + 1)


# ---- text -> nodes


class _TooMuch(Exception):
    """Raised inside the composer: what there is too much of, and the mark where it begins."""


class _Composer(CParser):
    """The C composer, bounded, with this module's reading of scalars.

    In place of a tag, a node carries the function that makes its value: `str`, `int`, `_null`, ...
    A node with a string for a tag has been given it by the text.
    """

    def __init__(self, data: bytes, limits: Limits, scalar: Callable[[str], Callable[[str], Any]]) -> None:
        super().__init__(data)
        self.scalar = scalar
        self.limits = limits
        self.depth = 0
        self.count = 0

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is ScalarNode:
            return self.scalar(value) if implicit[0] else str
        return dict if kind is MappingNode else list

    def descend_resolver(self, parent: Any, index: Any) -> None:
        # The composer recurses in C: bounded here, before it can exhaust the stack.
        self.depth += 1
        self.count += 1
        if self.depth > self.limits.depth:
            raise _TooMuch(f"more than {self.limits.depth} levels inside one another", parent.start_mark)
        if self.count > self.limits.nodes:
            raise _TooMuch(
                f"more than {self.limits.nodes:,} keys, values and lists", parent and parent.start_mark
            )

    def ascend_resolver(self) -> None:
        self.depth -= 1


def _compose(data: bytes, file: str, limits: Limits, scalar: Callable[[str], Any]) -> list[Any]:
    """The root nodes of all documents; raises `Problems` at the first place that is not YAML."""
    composer = _Composer(data, limits, scalar)
    roots = []
    try:
        while composer.check_node():
            roots.append(composer.get_node())
    except _TooMuch as error:
        message, mark = error.args
        raise problem(_place(file, mark) if mark else Place(file), "CF005", message) from None
    except MarkedYAMLError as error:
        raise Problems([_syntax_finding(error, file)]) from None
    except YAMLError as error:
        raise problem(Place(file), "CF002", f"not YAML: {error}") from None
    return roots


_IN_PLAIN_WORDS = {
    "mapping values are not allowed in this context": (
        "a `:` is not possible here",
        "check the indentation, or quote the text that has the `:`",
    ),
    "did not find expected key": (
        "a key was expected here",
        "check the indentation and the quotes of this line and of the one before",
    ),
    "could not find expected ':'": (
        "a key without its `:`",
        "write `key: value`; text of several lines begins with `|`",
    ),
    "did not find expected '-' indicator": (
        "an item of the list, which begins with `- `, was expected here",
        "check the indentation",
    ),
    "found character that cannot start any token": (
        "this character can't begin a value",
        "indent with spaces, not tabs, and quote text that begins with @, ` or %",
    ),
    "found unexpected end of stream": ("the file ends inside quotes", "close them"),
    "did not find expected ',' or ']'": ("a `,` or `]` was expected here", "close the list"),
    "did not find expected ',' or '}'": ("a `,` or `}` was expected here", "close the mapping"),
    "found unknown escape character": (
        "no such escape between double quotes",
        "write \\\\ for a backslash, or use single quotes",
    ),
    "block sequence entries are not allowed in this context": (
        "an item of a list is not possible here",
        "begin the list on a line of its own",
    ),
    "did not find expected alphabetic or numeric character": (
        "a name must follow `*` or `&`",
        "quote text that begins with them",
    ),
    "did not find expected node content": ("a value was expected here", ""),
    "did not find expected <document start>": (
        "the document has ended before this",
        "check the indentation",
    ),
}


def _syntax_finding(error: MarkedYAMLError, file: str) -> Finding:
    said = str(error.problem or error.context)
    mark = cast(Any, error.problem_mark or error.context_mark)
    place = _place(file, mark) if mark else Place(file)
    if error.context and "duplicate anchor" in error.context:
        return Finding(place, "CF006", "a second anchor of this name", "give each its own name")
    if "undefined alias" in said:
        return Finding(place, "CF006", "an alias of an anchor that doesn't exist before it")
    message, remedy = _IN_PLAIN_WORDS.get(said, (said, ""))
    begun = cast(Any, error.context_mark)
    if begun and error.context and begun.line != mark.line:
        message += f" ({error.context} that begins on line {begun.line + 1})"
    return Finding(place, "CF002", message, remedy)


# ---- plain scalars -> what makes their values


class _Odd(Exception):
    """The quick construction met something that only the careful inspection can explain."""


def _null(_: str) -> None:
    return None


def _bool(value: str) -> bool:
    return value[0] in "tT"


def _ambiguous(value: str) -> Any:
    raise _Odd


_AGREED_WORDS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), _null),
    **dict.fromkeys(("true", "True", "TRUE", "false", "False", "FALSE"), _bool),
}
_DISPUTED_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "=", "<<"))
_LONGEST_WORD = max(map(len, _AGREED_WORDS))

_NUMBER_STARTS = frozenset("+-.0123456789")
_AGREED_INT = re.compile(r"0|-?[1-9][0-9]{0,19}")
_AGREED_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_TIMESTAMP = (
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?))?)?"
)
_DATE = later(_TIMESTAMP)
# A number to any reader of YAML; underscores, which some ignore, are taken out before.
_DISPUTED_NUMBER = later(
    rf"{_FLOAT}"
    r"|[-+]?0[xX][0-9a-fA-F]+|[-+]?0[oO][0-7]+|[-+]?0[bB][01]+"
    r"|[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)"
    r"|[-+]?[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?"
)


def _core(value: str) -> Callable[[str], Any]:
    """What makes the value of a plain scalar; `_ambiguous` if readers of YAML disagree about it."""
    if value[:1] in _NUMBER_STARTS:
        return _core_number(value)
    if len(value) > _LONGEST_WORD:
        return str
    agreed = _AGREED_WORDS.get(value)
    if agreed is not None:
        return agreed
    return _ambiguous if value.lower() in _DISPUTED_WORDS else str


def _core_number(value: str) -> Callable[[str], Any]:
    if _AGREED_INT.fullmatch(value):
        return int if int(value) in _INT64 or int(value) in _UINT64 else _ambiguous
    if _AGREED_FLOAT.fullmatch(value):
        return float if isfinite(float(value)) else _ambiguous
    bare = value.replace("_", "")
    if bare[4:5] == "-" and _DATE.fullmatch(bare):
        return _ambiguous
    return _ambiguous if _DISPUTED_NUMBER.fullmatch(bare) else str


_GO_INT = later(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_GO_FLOAT = later(_FLOAT)
_GO_SPECIAL = {
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def _go(value: str) -> Callable[[str], Any]:
    """What makes the value of a plain scalar as Go reads it."""
    if value[:1] in _NUMBER_STARTS:
        return _go_number(value)
    if len(value) > _LONGEST_WORD:
        return str
    return _AGREED_WORDS.get(value, str)


def _go_number(value: str) -> Callable[[str], Any]:
    if value in _GO_SPECIAL:
        return _GO_SPECIAL.__getitem__
    bare = value.replace("_", "") if value[0] != "." else value
    if _GO_INT.fullmatch(bare) and len(bare) < 80 and _fits_go(bare):
        return _go_int
    return _go_float if _GO_FLOAT.fullmatch(bare) and isfinite(_go_float(bare)) else str


def _fits_go(bare: str) -> bool:
    return _go_int(bare) in (_UINT64 if bare[0] not in "+-" else _INT64)


def _go_int(value: str) -> int:
    match = _GO_INT.fullmatch(value.replace("_", ""))
    if match is None:
        raise _Odd
    sign, digits = match.groups()
    number = int(digits, 8) if digits[0] == "0" and digits.isdigit() else int(digits, 0)
    return -number if sign == "-" else number


def _go_float(value: str) -> float:
    return float(value.replace("_", ""))


# ---- nodes -> plain data


class _Source(NamedTuple):
    file: str
    text: str
    limits: Limits


def _is_scalar(node: Any) -> bool:
    return isinstance(node, ScalarNode)


def _is_nothing(root: Any) -> bool:
    return root.tag is _null


def _plain(root: Any, source: _Source, findings: Iterable[Finding] = ()) -> Any:
    """The data of a node tree: quickly if all is well, else the inspection says what isn't."""
    found = list(findings)
    try:
        if "*" in source.text:
            found += _expansion(root, source)
        # `! 1` is text to some readers; the composer shows it as the plain scalar 1.
        if not found and not _LONE_TAG.search(source.text):
            return _build(root)
    except _Odd:
        pass
    found += _inspect(root, source, set())
    if found:
        raise Problems(found)
    return _build(root)


_LONE_TAG = re.compile(r"![ \t\r\n,\]}]")


def _plain_stream(root: Any, source: _Source) -> Any:
    try:
        if "*" not in source.text:
            return _build(root)
    except _Odd:
        pass
    _stringify_keys(root, set())
    return _plain(root, source)


def _build(node: Any) -> Any:
    """Plain data of a node without surprises; raises `_Odd` at the first one that has some."""
    kind = node.tag
    if kind is str:
        return node.value
    if kind is dict:
        result = {}
        for key, value in node.value:
            if key.tag is not str:
                raise _Odd
            result[key.value] = value.value if value.tag is str else _build(value)
        if len(result) != len(node.value):
            raise _Odd
        return result
    if kind is list:
        return [item.value if item.tag is str else _build(item) for item in node.value]
    if type(kind) is str:
        raise _Odd
    return kind(node.value)


def _stringify_keys(node: Any, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if node.tag is list:
        for item in node.value:
            _stringify_keys(item, seen)
    elif node.tag is dict:
        for key, value in node.value:
            if key.tag in (_go_int, _go_float, _bool):
                made = key.tag(key.value)
                key.value = str(made).lower() if isinstance(made, bool) else str(made)
                key.tag = str
            _stringify_keys(value, seen)


# ---- aliases


def _expansion(root: Any, source: _Source) -> list[Finding]:
    """Findings if aliases make the tree endless or too large; its size is added up, not walked."""
    sizes: dict[int, tuple[int, int]] = {}
    try:
        size, depth = _measure(root, sizes)
    except _TooMuch as error:
        return [Finding(_place(source.file, error.args[0]), "CF006", "what stands here contains itself")]
    if size <= source.limits.nodes and depth <= source.limits.depth:
        return []
    message = (
        f"with its aliases expanded the file has {size:,} keys, values and lists, {depth} levels deep; "
        f"{source.limits.nodes:,} and {source.limits.depth} are allowed"
    )
    return [Finding(Place(source.file), "CF006", message, "write it out, with fewer aliases")]


def _measure(node: Any, sizes: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Nodes and levels below `node` with aliases expanded. Anchors come before their aliases, so the
    recursion is no deeper than the text's own levels."""
    if node.tag is not dict and node.tag is not list and not isinstance(node.value, list):
        return 1, 1
    known = sizes.get(id(node))
    if known is not None:
        if not known[0]:
            raise _TooMuch(node.start_mark)
        return known
    sizes[id(node)] = (0, 0)
    size, depth = 0, 0
    for child in _children(node):
        below = _measure(child, sizes)
        size += below[0]
        depth = max(depth, below[1])
    sizes[id(node)] = (size + 1, depth + 1)
    return size + 1, depth + 1


def _children(node: Any) -> Iterator[Any]:
    for child in node.value:
        if isinstance(child, tuple):
            yield from child
        else:
            yield child


def _child(node: Any, step: str | int) -> tuple[Any, Any] | None:
    """The key node (none in a list) and the value node at one step of a path."""
    if node.tag is dict:
        for key, value in node.value:
            if key.value == step:
                return key, value
    elif node.tag is list and isinstance(step, int) and 0 <= step < len(node.value):
        return None, node.value[step]
    return None


# ---- what is wrong, in full


def _inspect(node: Any, source: _Source, seen: set[int]) -> Iterator[Finding]:
    """Every finding in a node tree, each node once. Takes the tag off of `!!str` text on its way."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node.tag, str):
        yield from _tag_findings(node, source)
    if type(node) is MappingNode:
        yield from _key_findings(node, source)
        for _, value in node.value:
            yield from _inspect(value, source, seen)
    elif _is_scalar(node):
        yield from _scalar_findings(node, source)
    else:
        for item in node.value:
            yield from _inspect(item, source, seen)


def _tag_findings(node: Any, source: _Source) -> Iterator[Finding]:
    if node.tag == "tag:yaml.org,2002:str" and _is_scalar(node):
        node.tag = str
        return
    name = node.tag.replace("tag:yaml.org,2002:", "!!")
    yield Finding(
        _place(source.file, node.start_mark), "CF008", f"tags are not allowed: {name}", "remove the tag"
    )


def _scalar_findings(node: Any, source: _Source) -> Iterator[Finding]:
    place = _place(source.file, node.start_mark)
    if node.tag is _ambiguous:
        yield Finding(place, "CF004", *_dispute(node.value))
    elif (
        callable(node.tag)
        and node.tag is not str
        and "!" in source.text[node.start_mark.index : node.end_mark.index]
    ):
        yield Finding(place, "CF008", "tags are not allowed: !", f'remove it, or quote: "{node.value}"')


def _dispute(value: str) -> tuple[str, str]:
    """Message and remedy for a plain scalar about which readers of YAML disagree."""
    quote = f'quote it: "{value}"'
    word = value.lower()
    if value == "<<":
        return "merge keys (`<<`) are not part of YAML 1.2", "write the keys out"
    if word in _DISPUTED_WORDS:
        truth = {"y": "true", "yes": "true", "on": "true", "n": "false", "no": "false", "off": "false"}
        other = f", or write {truth[word]}" if word in truth else ""
        return f"`{value}` is text to some readers of YAML and not to others", quote + other
    if _DATE.fullmatch(value):
        return f"`{value}` is a date to some readers of YAML and text to others", quote
    return (
        f"`{value}` is one number to some readers of YAML, another number or text to others",
        f"{quote}, or write a plain decimal number",
    )


def _key_findings(node: Any, source: _Source) -> Iterator[Finding]:
    first: dict[str, Any] = {}
    for key, _ in node.value:
        if _is_scalar(key) and isinstance(key.tag, str):
            yield from _tag_findings(key, source)
        place = _place(source.file, key.start_mark)
        if not _is_scalar(key):
            yield Finding(place, "CF009", "a list or a mapping can't be a key")
        elif key.tag is _ambiguous:
            yield from _scalar_findings(key, source)
        elif callable(key.tag) and key.tag is not str:
            yield Finding(place, "CF009", f"the key `{key.value}` is not text", f'quote it: "{key.value}"')
        elif key.value in first:
            line = first[key.value].line + 1
            yield Finding(place, "CF003", f"the key `{key.value}` stands already on line {line}")
        else:
            first[key.value] = key.start_mark
