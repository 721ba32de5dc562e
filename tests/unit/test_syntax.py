"""Reading YAML: what is accepted is read as YAML 1.2 does, what readers dispute is refused with its place."""

import time
from contextlib import suppress
from math import isinf, isnan
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from canaryfleet.errors import Place, Problems
from canaryfleet.syntax import GENERATED, Limits, load, parse, parse_stream

SAME = settings(derandomize=True, deadline=None)


def data(text: str) -> Any:
    read = parse(text.encode(), "a.yaml").data
    assert repr(load(text.encode(), "a.yaml")) == repr(read)
    return read


def findings(text: str | bytes, **limits: int) -> list[tuple[int, int, str]]:
    """Line, column and code of all that is found."""
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(Problems) as caught:
        parse(raw, "a.yaml", limits=Limits(**limits))
    assert all(finding.place.file == "a.yaml" and finding.message for finding in caught.value.findings)
    return [(f.place.line, f.place.column, f.code) for f in caught.value.findings]


def only(text: str) -> Any:
    with pytest.raises(Problems) as caught:
        parse(text.encode(), "a.yaml")
    (finding,) = caught.value.findings
    return finding


# ---- scalars


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("~", None), ("", None), ("Null", None), ("NULL", None),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False), ("FALSE", False),
        ("0", 0), ("1", 1), ("-1", -1), ("12345", 12345), ("9223372036854775807", (1 << 63) - 1),
        ("18446744073709551615", (1 << 64) - 1), ("-9223372036854775808", -(1 << 63)),
        ("0.5", 0.5), ("-1.25", -1.25), ("1.0e-05", 1e-05), ("1.5E+3", 1500.0), ("1.10", 1.1), ("0.0", 0.0),
        ("abc", "abc"), ("1.2.3", "1.2.3"), ("10m", "10m"), ("24Gi", "24Gi"), ("5%", "5%"), ("-1pp", "-1pp"),
        ("v1", "v1"),
        ("-", None), ("--flag", "--flag"), ("12:60", "12:60"), ("sha256:12", "sha256:12"), ("1e", "1e"),
        (".", "."),
        ("on it", "on it"), ("nope", "nope"), ("_1", "_1"), ("0x", "0x"), ("0o8", "0o8"), ("a.b", "a.b"),
        ("2026-11", "2026-11"),
        ("10.0.0.1", "10.0.0.1"), ("host:80", "host:80"), ("+", "+"), ("1 2", "1 2"), ("$(x)", "$(x)"),
        ("infinite", "infinite"),
        ('"on"', "on"), ("'12:30'", "12:30"), ('"1e3"', "1e3"), ("!!str on", "on"), ("!!str 1.10", "1.10"),
        ("! a", "a"),
        ("|\n  on\n", "on\n"), (">-\n  1e3\n", "1e3"), ('"\\x85\\u2028"', "\x85\u2028"), ("😀", "😀"),
    ],
)  # fmt: skip
def test_agreed_scalars(text: str, value: Any) -> None:
    if text == "-":
        assert data("- -") == [[None]]
        return
    read = data(f"key: {text}")["key"]
    assert (read, type(read)) == (value, type(value))
    assert data("- " + text.replace("\n", "\n  ")) == [value]


WORDS = """
y Y n N yes Yes YES yEs no No NO on On ON off Off OFF tRUE nULL = << 12:30:45 12:30 1:1 190:20:30.15
017 08 00 -017 0o17 0O17 1_000 1__0 -_1 1_0.5 1e3 1E3 1e-3 1.0e5 .5 -.5 +1 +1.5 1. -0 0b1 0B11 0x1f
0XFF -0x1 .inf -.inf +.Inf .nan .NaN 2026-11-01 2026-1-1 2026-11-01T10:00:00Z 18446744073709551616
-9223372036854775809 1.0e+999 ._5 1e5_0 99999999999999999999
"""
DISPUTED = [
    *WORDS.split(),
    "2026-11-01 10:00:00",
    "2026-11-01 10:00:00.5 +01:00",
    "9" * 400 + ".0",
    "9" * 900,
]


@pytest.mark.parametrize("text", DISPUTED, ids=lambda text: text[:20])
def test_disputed_scalars_are_refused_with_a_remedy(text: str) -> None:
    finding = only(f"a:\n- {text}\n")
    assert (finding.place, finding.code) == (Place("a.yaml", 2, 3), "CF004")
    assert text == "<<" or f'quote it: "{text}"' in finding.remedy
    assert only(f"{text}: 1\n").code == "CF004"
    assert data(f'"{text}": "{text}"') == {text: text}
    with pytest.raises(Problems):
        load(f"a: {text}".encode(), "a.yaml")


def test_words_come_with_what_they_may_have_meant() -> None:
    assert only("a: on").remedy == 'quote it: "on", or write true'
    assert only("a: No").remedy == 'quote it: "No", or write false'
    assert "date" in only("a: 2026-11-01").message
    assert "merge" in only("a: {<<: {b: c}}").message


@given(st.text(st.characters(codec="ascii", exclude_characters="\n\r"), min_size=1, max_size=9))
@settings(SAME, max_examples=3000)
def test_nothing_is_read_otherwise_than_by_a_yaml_1_1_reader(text: str) -> None:
    """Whatever plain text is accepted, PyYAML's own resolver, which is one of YAML 1.1, agrees."""
    try:
        read = parse(text.encode(), "a.yaml").data
    except Problems:
        return
    assert repr(yaml.load(text, Loader=yaml.CSafeLoader)) == repr(read)


@given(st.from_regex(r"[-+.0-9_eExXoObB:]{1,8}", fullmatch=True))
@settings(SAME, max_examples=3000)
def test_what_looks_like_a_number_is_the_same_for_python_and_go(text: str) -> None:
    try:
        read = parse(f"a: {text}".encode(), "a.yaml").data
    except Problems:
        return
    assert repr(yaml.safe_load(f"a: {text}")) == repr(read)
    assert repr(parse_stream(f"a: {text}".encode(), "s")) == repr([read])


# ---- places


SPEC = """\
# a comment
name: assistant
steps:
- {weight: 5%, for: 10m}
- weight: 25%
  for:
    - deep: ü
      "quoted key": "ä" # and a comment
empty:
"""


def test_places_of_values_and_keys() -> None:
    document = parse(SPEC.encode(), "specs/a.yaml")

    def at(*path: str | int) -> tuple[int, int]:
        place = document.place(path)
        assert place.file == "specs/a.yaml"
        return place.line, place.column

    def key_at(*path: str | int) -> tuple[int, int]:
        return document.key_place(path)[1:]

    assert at() == (2, 1)
    assert at("name") == (2, 7)
    assert key_at("name") == (2, 1)
    assert at("steps") == (4, 1)
    assert key_at("steps") == (3, 1)
    assert at("steps", 0, "for") == (4, 21)
    assert key_at("steps", 0, "for") == (4, 16)
    assert at("steps", 1) == key_at("steps", 1) == (5, 3)
    assert at("steps", 1, "for", 0, "quoted key") == (8, 21)
    assert key_at("steps", 1, "for", 0, "quoted key") == (8, 7)
    assert key_at("empty") == (9, 1)
    assert at("empty")[0] == 9


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("absent",), 2), (("name", "x", "y"), 2), (("steps", 7), 4), (("steps", -1), 4), (("steps", "0"), 4),
        (("steps", 0, "absent"), 4), (("steps", 1, "absent"), 5), ((0,), 2),
        (("steps", 1, "for", 0, 3, 4), 7),
    ],
)  # fmt: skip
def test_an_absent_path_has_the_place_of_its_nearest_ancestor(path: tuple[str | int, ...], line: int) -> None:
    document = parse(SPEC.encode(), "a.yaml")
    assert document.place(path).line == line


def test_the_key_of_an_absent_value_is_the_key_of_its_nearest_ancestor() -> None:
    assert parse(SPEC.encode(), "a.yaml").key_place(("steps", "absent")) == Place("a.yaml", 3, 1)


def test_a_document_is_frozen() -> None:
    with pytest.raises(AttributeError):
        parse(b"a: 1", "a.yaml").data = 2  # type: ignore[misc]


# ---- findings


def test_everything_wrong_is_found_at_once() -> None:
    text = "a: on\nb: !foo 1\nb: 2\n3: {y: 1}\n? [1]\n: {c: 017, c: 1}\n"
    assert findings(text) == [
        (1, 4, "CF004"), (2, 4, "CF008"), (3, 1, "CF003"), (4, 1, "CF009"), (4, 5, "CF004"),
        (5, 3, "CF009"), (6, 7, "CF004"), (6, 12, "CF003"),
    ]  # fmt: skip


def test_a_duplicate_key_names_the_first() -> None:
    finding = only("a: 1\nb: 2\n'a': 3\n")
    assert finding.place == Place("a.yaml", 3, 1)
    assert finding.message == "the key `a` stands already on line 1"


@pytest.mark.parametrize("key", ["1", "1.5", "true", "null", "~", "-3", "[a]", "{a: b}", "? []\n"])
def test_keys_are_text(key: str) -> None:
    assert [code for _, _, code in findings(f"{key}: x" if "?" not in key else f"{key}: x\n")] == ["CF009"]


@pytest.mark.parametrize(
    "tagged",
    [
        "!foo 1", "!!python/object/apply:os.system ['x']", "!!int '3'", "!!binary aGk=", "!!set {a}",
        "!<x> a", "!!map {a: b}",
        "!!str [a]", "! 1", "! '1'", "! true", "&a ! 1", "!!timestamp 2026-11-01",
        "!<tag:yaml.org,2002:python/name:os.system> x",
    ],
)  # fmt: skip
def test_tags_are_refused(tagged: str) -> None:
    assert findings(f"a:\n  - {tagged}\n") == [(2, 5, "CF008")]
    with pytest.raises(Problems):
        load(f"a: {tagged}".encode(), "a.yaml")
    if "! " not in tagged:
        with pytest.raises(Problems):
            parse_stream(f"a: {tagged}".encode(), "s")


def test_a_tagged_key_is_refused_once() -> None:
    assert findings("!foo a: 1\n") == [(1, 1, "CF008")]
    assert data("!!str on: 1") == {"on": 1}


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "null", "~\n"])
def test_an_empty_file(text: str) -> None:
    assert findings(text) == [(0, 0, "CF007")]


def test_two_documents() -> None:
    assert findings("a: on\n---\nb: 1\n---\nc: 1\n") == [(1, 4, "CF004"), (3, 1, "CF007")]
    assert data("---\na: 1\n...\n") == {"a": 1}


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"a: \xff\n", (1, 4)), (b"\xc3\xa4: \xc3\n", (1, 4)), (b"a: 1\nb: \xed\xa0\x80", (2, 4)),
        (b"\xff\xfea\x00", (1, 1)),
        (b"a: b\x00", (1, 5)), (b"\xef\xbb\xbfa: b", (1, 1)), (b"a: \xef\xbb\xbf", (1, 4)),
        (b"a: b\n\xc2\x85c: d", (2, 1)),
        (b"a: \xe2\x80\xa8", (1, 4)), (b"a: \x7f", (1, 4)), (b"a: '\x1b[0m'", (1, 5)),
        (b"# \xe2\x80\xae", (1, 3)),
        (b"a: \xef\xbf\xbe", (1, 4)),
    ],
)  # fmt: skip
def test_characters(raw: bytes, where: tuple[int, int]) -> None:
    assert findings(raw) == [(*where, "CF001")]


def test_every_bad_character_is_found_but_not_thousands() -> None:
    assert findings("a\x01\nb: \x02\n") == [(1, 2, "CF001"), (2, 4, "CF001")]
    assert len(findings("\x00" * 10_000)) == 20
    assert only('a: "\x85"').remedy == 'remove it, or write \\x85 between double quotes: "\\x85"'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: b: c\n", 1, "`:` is not possible"), ("a: 1\n b: 2\n", 2, "`:` is not possible"),
        ("a:\n- b\n c\nd", 5, "`:`"),
        ("a: 'b\n", 2, "inside quotes"), ("a:\n\t- b\n", 2, "can't begin"), ("a: @b\n", 1, "can't begin"),
        ("a: [b\nc: d\n", 2, "`,` or `]`"), ("a: {b\n", 2, "`,` or `}`"), ('a: "\\q"\n', 1, "no such escape"),
        ("a: - b\n", 1, "on a line of its own"), ("- a\nb: c\n", 2, "an item"),
        ("a: 1\n- b\n", 2, "a key was expected"),
        ("a: `b`", 1, "can't begin"), ("a\nb: c\n", 2, "`:`"), ("a: %b", 1, "can't begin"),
        ("%YAML 9.9\n---\na", 1, ""),
        ("a: ]", 1, ""), ("a: |x\n b", 1, ""), ("a: [1, 2]]", 1, ""),
    ],
)  # fmt: skip
def test_syntax_errors_in_plain_words(text: str, line: int, said: str) -> None:
    finding = only(text)
    assert (finding.code, finding.place.line) == ("CF002", line)
    assert said in f"{finding.message} {finding.remedy}"


# ---- limits


INDENTED = "".join(" " * level + "a:\n" for level in range(1400))
NESTED = [
    "[" * 100_000, "[" * 100_000 + "]" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000, INDENTED,
    "[{a: " * 100_000, "- ? " * 100_000, "[? " * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("nested", NESTED, ids=lambda text: ascii(text[:5]))
def test_depth_is_bounded_before_anything_recurses(nested: str) -> None:
    text = nested.encode()
    for read in (parse, load, parse_stream):
        with pytest.raises(Problems) as caught:
            read(text[: 1 << 20], "a.yaml")
        assert caught.value.findings[0].code == "CF005"
        assert caught.value.findings[0].place.line


def test_just_deep_enough() -> None:
    levels = Limits().depth
    assert data("[" * levels + "]" * levels)
    assert findings("[" * (levels + 1) + "]" * (levels + 1)) == [(1, levels, "CF005")]


def test_size_and_number_are_bounded() -> None:
    assert findings("a: " + "x" * 100, size=100) == [(0, 0, "CF005")]
    assert [code for _, _, code in findings("- 1\n" * 100, nodes=100)] == ["CF005"]
    assert parse(b"- 1\n" * 99, "a.yaml", limits=Limits(nodes=100)).data == [1] * 99
    with pytest.raises(Problems):
        parse_stream(b"a: 1\n", "s", limits=Limits(size=4))
    assert Limits().size < GENERATED.size


def test_aliases_are_allowed_and_are_copies() -> None:
    document = parse(b"a: &x {b: 1}\nc: *x\nd: [*x, &y on-call, *y]\n", "a.yaml")
    assert document.data == {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, "on-call", "on-call"]}
    assert document.data["a"] is not document.data["c"]
    assert document.place(("c", "b")) == Place("a.yaml", 1, 11)


def laughs(levels: int, width: int) -> str:
    lines = ["a0: &a0 [" + "x, " * width + "]"]
    lines += [f"a{n}: &a{n} [" + f"*a{n - 1}, " * width + "]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("text", [laughs(9, 9), laughs(60, 9), laughs(1000, 2), laughs(70, 1)])
def test_a_billion_laughs(text: str) -> None:
    began = time.process_time()
    assert [code for _, _, code in findings(text)] == ["CF006"]
    for read in (load, parse_stream):
        with pytest.raises(Problems, match="CF006"):
            read(text.encode(), "a.yaml")
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: &x [*x]", (1, 4)), ("&x {a: *x}", (1, 1)), ("a: &x {b: [{c: *x}]}", (1, 4)),
        ("a: &x {? *x : 1}", (1, 4)),
        ("a: &x [&y [*x, *y]]", (1, 4)),
    ],
)  # fmt: skip
def test_what_contains_itself(text: str, where: tuple[int, int]) -> None:
    assert (*where, "CF006") in findings(text)
    for read in (load, parse_stream):
        with pytest.raises(Problems, match="CF006"):
            read(text.encode(), "a.yaml")


@pytest.mark.parametrize("text", ["a: *b", "a: &x 1\nb: &x 2\nc: *x\n"])
def test_aliases_without_a_single_anchor(text: str) -> None:
    assert [code for _, _, code in findings(text)] == ["CF006"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * (1 << 20), "{" * (1 << 20), "a: " * 300_000, "- " * 500_000, "!" * (1 << 20), "&" * (1 << 20),
        "*a " * 300_000,
        "'" * (1 << 20), '"\\' * 500_000, "a: |\n" + " " * 1_000_000, "\n" * (1 << 20), " " * (1 << 20),
        "#" * (1 << 20),
        "? " * 500_000, "a: &a b\n" * 100_000, "1" * (1 << 20), "-" * (1 << 20), "1:1" * 300_000,
        "0_" * 500_000,
        "a: " + "1_" * 500_000 + "x", "%TAG " * 200_000, "{a: b, " * 149_000, "[a, " * 200_000,
        "a: '" + "\n" * 1_000_000,
        "a: " + "[" * 60 + "b, " * 300_000, "a: " + "9" * 1_000_000 + "e9", "? a\n" * 200_000,
        ": \n" * 300_000, "a:\n" * 40_000,
        "\t" * (1 << 20), "--- " * 250_000, "---\n" * 250_000, "a: !!str *x" * 90_000, "! " * 500_000,
        "*\n" + "k: v\n" * 9_000,
    ],
    ids=lambda text: ascii(text[:8]),
)  # fmt: skip
def test_hostile_text_costs_little(text: str) -> None:
    began = time.process_time()
    for read in (parse, parse_stream):
        with suppress(Problems):
            read(text.encode()[: 1 << 20], "a.yaml")
    assert time.process_time() - began < 20


@given(st.one_of(st.binary(), st.text("ab:-?[]{}#&*!|>'\"%@` \n\t,1.~<=", max_size=40).map(str.encode)))
@settings(SAME, max_examples=3000)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for read in (parse, load, parse_stream):
        with suppress(Problems):
            read(raw, "a.yaml")


# ---- streams


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("+1", 1), ("017", 15), ("08", 8.0), ("0o17", 15),
        ("0b11", 3), ("0x1f", 31),
        ("-0x1f", -31), ("1_000", 1000), ("-_1", -1), ("1_0.5", 10.5), ("on", "on"), ("yes", "yes"),
        ("y", "y"), ("N", "N"),
        ("12:30:45", "12:30:45"), ("2026-11-01", "2026-11-01"),
        ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z"),
        ("=", "="), ("<<", "<<"), ("~", None), ("Null", None), ("True", True), ("tRUE", "tRUE"), ("0x", "0x"),
        ("0O17", 15),
        ("9223372036854775808", 1 << 63), ("18446744073709551616", 18446744073709551616.0), ("-0", 0),
        ("1e999", "1e999"),
        ("-9223372036854775809", -9223372036854775809.0), ("0o8", "0o8"), ("._5", "._5"), ("1.0e-05", 1e-05),
        ("+08", 8.0),
        ("0" * 100 + "1", 1.0), ("9" * 400, "9" * 400),
    ],
)  # fmt: skip
def test_plain_scalars_as_go_reads_them(text: str, value: Any) -> None:
    ((read,),) = (document.values() for document in parse_stream(f"a: {text}\n".encode(), "s"))
    assert (read, type(read)) == (value, type(value))


def test_infinities_as_go_reads_them() -> None:
    (read,) = parse_stream(b"a: [.inf, -.Inf, +.INF, .nan]", "s")
    assert read["a"][:3] == [float("inf"), float("-inf"), float("inf")]
    assert isinf(read["a"][0])
    assert isnan(read["a"][3])


def test_documents_of_a_stream() -> None:
    assert parse_stream(b"---\na: 1\n---\n---\nb: [x]\n...\n", "s") == [{"a": 1}, {"b": ["x"]}]
    assert parse_stream(b"", "s") == []
    with pytest.raises(Problems, match=r"s:3:1: .* not a mapping"):
        parse_stream(b"a: 1\n---\n- b\n", "s")
    with pytest.raises(Problems, match="CF002"):
        parse_stream(b"a: 'b", "s")


def test_keys_of_a_stream_become_text() -> None:
    assert parse_stream(b"1: {0x1f: a, true: b}\nc: [{2.5: d}]\non: *x\n".replace(b"*x", b"y"), "s") == [
        {"1": {"31": "a", "true": "b"}, "c": [{"2.5": "d"}], "on": "y"}
    ]
    with pytest.raises(Problems, match="CF003"):
        parse_stream(b"1: a\n'1': b\n", "s")
    with pytest.raises(Problems, match="CF009"):
        parse_stream(b"null: a\n", "s")


def test_aliases_in_a_stream() -> None:
    assert parse_stream(b"a: &x [1]\nb: *x\n", "s") == [{"a": [1], "b": [1]}]
