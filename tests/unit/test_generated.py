"""The quick reader gives what the careful one gives, or gives up."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canaryfleet import generated, syntax
from canaryfleet.emit import emit, emit_all
from canaryfleet.errors import Problems

# fmt: off
WORDS = st.sampled_from([
    "y", "no", "Null", "~", "1e3", "0o17", "08", "-1", "1.50", "12:30", "5m", "10%", "", "-", "a: b", "a #b", "{}",
    "[]", "|", "|-", "'x'", '"x"', 'say "x"', "back\\slash", "tab\there", "two\nlines", "end\n", "\n begin",
    "a\n\nb\n", "../../x", "---", "# no", "--flag=1", "https://x/y?z", "naïve", "a ", " a", "=", "9" * 19, "9" * 30,
])
PIECES = [
    "a", "b:", " ", "  ", "- ", "-", "\n", "\n", "\n  ", "\n- ", ": ", ":", "|", "|-", "|+", ">", "#", " #", '"', "'",
    "{}", "[]", "[a]", "{a: b}", "&a", "*a", "!t", "1", "1.5", "08", "-1", "true", "yes", "~", "---\n", "...", "\t",
    "é", "\\", "?",
]
UNSURE = [
    "", "\n", "a", "# only a comment\n", "a: b\na: c\n", "a:\n", "a: 1e3\n", "a: b\n---\nc: d\n", "a: |\n   b\n  c\n",
    "a: b\n  c: d\n", "a: [b]\n", "a: 'b'\n", "on: b\n", "a: yes\n", "a: b # c\n", "a: b\r\n", "é: b\n", "a: 08\n",
    "a: " + "9" * 19 + "\n", "a: 1." + "9" * 20 + "\n", "a: |\n\n  b\n", "a: |\n  b\n\n", "- - a\n", "a: &x b\n",
    " a: b\n",
]
# fmt: on
TEXT = WORDS | st.text(max_size=12).filter(lambda text: text != "<<" and carried(text))
SCALARS = TEXT | st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(-1e9, 1e9)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=25,
)
MAPPINGS = st.dictionaries(TEXT, DATA, min_size=1, max_size=5)


def carried(text: str) -> bool:
    """Whether `emit` can write it."""
    try:
        emit(text)
    except ValueError:
        return False
    return True


def quick(data: bytes) -> Any:
    """What the quick reader says; the class itself if it gives up."""
    try:
        return generated.read(data)
    except generated.Unsure:
        return generated.Unsure


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1 is not 1.0, nor True."""
    return repr(one) == repr(other)


@given(MAPPINGS | st.lists(DATA, min_size=1, max_size=5))
@settings(deadline=None)
def test_what_emit_writes_is_read_back_or_given_up(value: Any) -> None:
    found = quick(emit(value).encode())
    assert found is generated.Unsure or same(found, value)
    assert same(generated.load(emit(value).encode(), "x"), value)


@given(st.lists(MAPPINGS, min_size=1, max_size=3))
@settings(deadline=None)
def test_streams(values: list[Any]) -> None:
    assert same(generated.load_stream(emit_all(values).encode(), "x"), values)


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@settings(deadline=None, max_examples=1000)
def test_any_text_is_read_as_with_care_or_given_up(text: str) -> None:
    agree(f"{text}\n".encode())


@given(MAPPINGS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_damaged_text_is_read_as_with_care_or_given_up(value: Any, chance: random.Random) -> None:
    text = list(emit(value))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(text))
        match chance.randrange(3):
            case 0:
                del text[at]
            case 1:
                text.insert(at, chance.choice(PIECES))
            case _:
                text[at] = chance.choice(PIECES)
        if not text:
            return
    agree("".join(text).encode())


def agree(data: bytes) -> None:
    """The quick reader gives up, or gives what both careful readers give."""
    found = quick(data)
    if found is generated.Unsure:
        return
    assert same(found, syntax.load(data, "x"))
    if isinstance(found, dict):
        assert same([found], syntax.parse_stream(data, "x"))


@pytest.mark.parametrize("text", UNSURE)
def test_it_gives_up(text: str) -> None:
    assert quick(text.encode()) is generated.Unsure


def test_the_limits_are_those_of_the_careful_reader() -> None:
    deep = "".join(f"{'  ' * level}a:\n" for level in range(60)) + "  " * 60 + "a: b\n"
    assert quick(deep.encode()) is generated.Unsure
    long = "a:\n" + "- b\n" * 50_000
    assert quick(long.encode()) is generated.Unsure
    assert len(generated.load(long.encode(), "x")["a"]) == 50_000


def test_what_is_wrong_is_said_by_the_careful_reader() -> None:
    with pytest.raises(Problems) as caught:
        generated.load(b"a: b\na: c\n", "x.yaml")
    assert [str(item.place) for item in caught.value.findings] == ["x.yaml:2:1"]


def test_empty_collections_are_not_shared() -> None:
    found = generated.read(b"a: {}\nb: {}\n")
    found["a"]["x"] = 1
    assert found["b"] == {}
