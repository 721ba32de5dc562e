"""What `emit` writes is read back as the same data: by PyYAML, by `parse`, and by kustomize (Go)."""

import os
import shutil
import subprocess
import sys
from collections import OrderedDict
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from canaryfleet.emit import emit, emit_all
from canaryfleet.syntax import Limits, load, parse, parse_stream


def words(text: str, between: str | None = None) -> list[str]:
    return text.split(between)


TRICKY = [
    # numbers to somebody
    *words("1e3 1E3 1e-3 .5 5. +1 -1 -0 0 00 08 017 0o17 0O17 0b1 0B1 0x1f 0X1F -0x1f +0o7 1_000 _1 -_1"),
    *words("1_0.5 12:30:45 12:30 1:1 190:20:30.15 2026-11-01 2026-1-1 2026-11-01T10:00:00Z"),
    *words("1.10 1.2.3 1.0e5 6.02E+23 .inf -.inf +.INF .nan .NaN inf NaN Infinity 1e3f 9223372036854775808"),
    *words("18446744073709551616 0x 0o8 - -- --- ... . .. + 1, 1: 1- 0.0.0.0 10.1"),
    "2026-11-01 10:00:00",
    "2026-11-01 10:00:00 +01:00",
    # words to somebody
    *words("y Y n N yes Yes YES no No NO on On ON off OFF oN true True TRUE tRue false null Null NULL"),
    *words("nil none None ~ = << undefined"),
    # indicators
    *words("* & ! | > % @ ` ? : , [ ] { } [] {} # ' \" \\ *a &a !x !!str ?x :x ,x |- >- |+ <<: %YAML --- @a"),
    *words("a: :a a:b a#b #a a,b a:b:c key:value http://x:80/y?z=1#f C:\\x \\n \\u0041 $(x) {{args.x}} ${x}"),
    *words("- a|? x|: |a: b|a #b| #|a : b|--- a|... b|- - a|a b|[a, b]|{a: b}|'a'|\"a\"|it's|say \"x\"", "|"),
    # spaces and lines
    "", " ", "  ", " a", "a ", "\t", "a\tb", "\ta", "a\t", "\n", "\n\n", "a\n", "a\n\n", "\na", "\n\na\n",
    "a\nb", "a\nb\n", "a\nb\n\n\n", "a \nb", "a\n b", " a\nb", "a\n\nb", "a\n \nb", "a\n\tb\n", "\ta\nb",
    "a\nb\t\n",
    "a\r\nb", "a\rb", "\r", "a\r\n", "#a\nb", "- a\n- b\n", "a: b\nc: d\n", "---\na\n...\n", "%a\nb",
    "a\n---\nb\n",
    "a\n# b\n", "|\n  a", "x" * 900, "word " * 300 + "end", "a\n" + "long line " * 100 + "end\n",
    # other characters
    "\x00", "\x07", "\x1b[0m", "a\u2028b", "a\u2029b", "\ufeff", "a\ufeffb", "\xa0",
    "\xa0a\nb", "\xad", "\u200b", "\u200d", "\u202e", "\ufffd", "é", "ß\nü\n", "日本語", "日\n本\n",
    "😀", "👩\u200d👩\u200d👧", "😀\n👩\u200d👧\n", "\U0010ffff", "\U000e0001", "a\u0301", "שלום", "\ue000",
    "\ue000\nb",
]  # fmt: skip

#: Characters that kustomize can't carry are refused by `emit`; see `test_what_is_refused`.
CARRIED = st.characters(exclude_categories=["Cs"]).filter(
    lambda c: not "\x7f" <= c <= "\x9f" and c not in "\ufffe\uffff"
)
IN_BLOCKS = st.text(st.sampled_from("ab -:#\n\t'\"|>é😀"), max_size=30)
TEXTS = st.one_of(st.sampled_from(TRICKY), st.text(CARRIED, max_size=20), IN_BLOCKS)
KEYS = TEXTS.filter(lambda key: len(key) < 200 and key != "<<")
INTEGERS = st.integers(-(1 << 63), (1 << 64) - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def trees(*leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lists and dicts in one another, of any text, booleans, null and the leaves given."""
    return st.recursive(
        st.one_of(TEXTS, st.booleans(), st.none(), *leaves),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
        max_leaves=12,
    )


VALUES = trees(INTEGERS, FLOATS)
FUZZ = settings(max_examples=1500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def same(read: Any, written: Any) -> bool:
    """Equal, and of the same types: 1, 1.0 and True are three things."""
    return repr(read) == repr(written)


def check(value: Any) -> None:
    text = emit(value)
    assert same(yaml.safe_load(text), value), text
    assert same(yaml.load(text, Loader=yaml.CSafeLoader), value), text
    if value is not None:
        assert same(load(text.encode(), "a.yaml"), value), text
        assert same(parse(text.encode(), "a.yaml").data, value), text


@pytest.mark.parametrize("text", TRICKY, ids=ascii)
def test_tricky_text_stays_text(text: str) -> None:
    for value in (text, [text], {"a": text}, [[text]], [{"a": text}], {"a": [text, text]}):
        check(value)
    if len(text) < 990 and text != "<<":
        check({text: text})


@FUZZ
@given(VALUES)
def test_any_data_is_read_back(value: Any) -> None:
    check(value)


@settings(FUZZ, max_examples=300)
@given(st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), max_size=4))
def test_a_stream_is_read_back(documents: list[dict[str, Any]]) -> None:
    text = emit_all(documents)
    assert same(list(yaml.safe_load_all(text)), documents), text
    assert same(parse_stream(text.encode(), "stream"), documents), text


@given(VALUES)
@settings(FUZZ, max_examples=200)
def test_writing_is_deterministic_and_a_fixed_point(value: Any) -> None:
    text = emit({"a": value})
    assert emit(load(text.encode(), "a.yaml")) == text


# ---- forms


def test_the_style_is_kustomizes() -> None:
    value = {
        "a": {"b": [{"c": 1, "d": ["x", [], {}]}, "y", [1, [True]]], "e": {}},
        "text": "one\n\ntwo\n",
        "list": ["one\ntwo", {"k": "one\n\n", "l": None}],
        "last": 1e-05,
    }
    assert (
        emit(value, header="Made by canaryfleet.\n\n# as is")
        == """\
# Made by canaryfleet.
#
# as is
a:
  b:
  - c: 1
    d:
    - x
    - []
    - {}
  - "y"
  - - 1
    - - true
  e: {}
text: |
  one

  two
list:
- |-
  one
  two
- k: |+
    one

  l: null
last: 1.0e-05
"""
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-05, "1.0e-05"), (1e16, "1.0e+16"), (1.5e300, "1.5e+300"), (0.1, "0.1"), (-0.0, "-0.0"),
        (100.0, "100.0"),
        (10**19, "10000000000000000000"), (-(1 << 63), "-9223372036854775808"), (True, "true"),
        (None, "null"),
        ("ghcr.io/acme/a:2.4.0@sha256:ab12", "ghcr.io/acme/a:2.4.0@sha256:ab12"), ("10m", "10m"),
        ("24Gi", "24Gi"),
        ("0.5%", "0.5%"), ("--port=80", "--port=80"), ("1e3", '"1e3"'), ("2.4.0", '"2.4.0"'),
        ("a: b", '"a: b"'),
        ("1E", '"1E"'), ("-1", '"-1"'), ("No", '"No"'), ("two words", "two words"), ("it\ts", '"it\\ts"'),
        ("\ufeff", '"\\ufeff"'), ("\u2028", '"\\u2028"'), ("\x1b", '"\\x1b"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("😀", '"😀"'), ("", '""'), ("a\nb", '"a\\nb"'),
    ],
)  # fmt: skip
def test_scalars(value: Any, text: str) -> None:
    assert emit(value) == text + "\n"


@pytest.mark.parametrize(
    "text",
    ["a \nb", "a\nb\t\n", " a\nb", "\na\n", "a\u2028b\nc", "a\u202eb\nc", "a\r\nb\n", "a\ufeff\nb"],
    ids=ascii,
)
def test_a_literal_block_has_nothing_that_an_editor_or_a_reader_would_change(text: str) -> None:
    assert emit({"a": text}).startswith('a: "')
    assert emit({"a": text}).isascii()


@pytest.mark.parametrize(
    "value",
    [
        float("inf"), float("-inf"), float("nan"), 1 << 64, -(1 << 63) - 1, "\ud83d", "a\nb\udc00\n",
        {"\ud83d": 1},
        "\x7f", "\x85", "a\nb\x85", "\x9f", "\ufffe", "\uffff", {"<<": 1}, {"x" * 1001: 1}, {"é\n" * 400: 1},
    ],
    ids=ascii,
)  # fmt: skip
def test_what_is_refused(value: Any) -> None:
    for outer in (value, [value], {"a": value}):
        with pytest.raises(ValueError, match=r"."):
            emit(outer)


@pytest.mark.parametrize("value", [{1: 2}, {True: 1}, {None: 1}, {1, 2}, b"a", object(), 1j])
def test_what_is_not_plain_data_is_a_mistake_of_the_caller(value: Any) -> None:
    for outer in (value, [value], {"a": value}):
        with pytest.raises(TypeError):
            emit(outer)


def test_a_header_must_be_printable() -> None:
    with pytest.raises(ValueError, match="header"):
        emit({}, header="a\rb: injected")


class Colour(StrEnum):
    ON = "on"


def test_relatives_of_plain_types_are_written_as_their_base() -> None:
    class Number(int):
        def __repr__(self) -> str:
            return "Number!"

    value = OrderedDict(
        a=(1, (2,)), b=Colour.ON, c=Number(3), d=OrderedDict(), e=(), f=[OrderedDict(x=1), (1,)]
    )
    text = emit(value)
    assert text == 'a:\n- 1\n- - 2\nb: "on"\nc: 3\nd: {}\ne: []\nf:\n- x: 1\n- - 1\n'


def test_true_and_one_are_different_although_equal() -> None:
    assert emit([1, True, 1.0, 0, False, -0.0]) == "- 1\n- true\n- 1.0\n- 0\n- false\n- -0.0\n"


# ---- Go


def kubectl() -> str:
    beside = str(Path(sys.executable).parent)
    found = os.environ.get("KUBECTL") or shutil.which("kubectl", path=beside) or shutil.which("kubectl")
    if not found:
        pytest.fail("there is no kubectl: it comes with the dependencies")
    return found


def through_kustomize(values: list[Any], folder: Path) -> list[Any]:
    """The values after a passage through kustomize, which reads and writes YAML with Go's library."""
    documents = [
        {"apiVersion": "example.dev/v1", "kind": "Thing", "metadata": {"name": f"t{n}"}, "content": value}
        for n, value in enumerate(values)
    ]
    (folder / "things.yaml").write_bytes(emit_all(documents).encode())
    (folder / "kustomization.yaml").write_text(emit({"resources": ["things.yaml"]}))
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    out = parse_stream(done.stdout, "out", limits=Limits(1 << 26, 1 << 20, 64))
    content = {item["metadata"]["name"]: item["content"] for item in out}
    return [content.pop(f"t{n}") for n in range(len(values))]


def unordered(value: Any) -> Any:
    """A value with its keys sorted, as kustomize writes them."""
    if isinstance(value, dict):
        return {key: unordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [unordered(item) for item in value]
    return value


def changed(values: list[Any], folder: Path) -> list[tuple[Any, Any]]:
    read = through_kustomize(values, folder)
    return [(a, b) for a, b in zip(values, read, strict=True) if not same(unordered(b), unordered(a))]


def test_kustomize_reads_tricky_text_as_the_same_text(tmp_path: Path) -> None:
    values: list[Any] = [{"v": text, "l": [text, [text]]} for text in TRICKY]
    assert (
        changed(values + [{text: "v"} for text in TRICKY if len(text) < 990 and text != "<<"], tmp_path) == []
    )


def gathered(strategy: st.SearchStrategy[Any], number: int) -> list[Any]:
    """Examples of a strategy, always the same, in one list: a process for each would take minutes."""
    found: list[Any] = []

    @settings(FUZZ, max_examples=number, phases=[Phase.generate], database=None)
    @given(strategy)
    def gather(value: Any) -> None:
        found.append(value)

    gather()
    return found


def test_kustomize_reads_any_data_as_the_same_data(tmp_path: Path) -> None:
    parts = FLOATS.filter(lambda number: not number.is_integer())
    values = gathered(trees(INTEGERS, parts), 1000)
    assert changed([{"v": value} for value in values], tmp_path) == []


def test_kustomize_reads_whole_floats_as_the_same_number(tmp_path: Path) -> None:
    # It writes 1.0 as 1, so only the number is the same.
    values = gathered(FLOATS.map(lambda number: float(int(number))), 300)
    read = [item["v"] for item in through_kustomize([{"v": value} for value in values], tmp_path)]
    assert list(map(float, read)) == values
