"""Patterns that wait for their first use are the patterns that they stand for."""

import contextlib
import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet.patterns import all_later, later
from support import PROPERTY

WORDS = r"(?P<first>[a-z]+)-([0-9]+)"


@PROPERTY
@given(st.text(alphabet="ab-12\n", max_size=12))
def test_it_finds_what_the_pattern_finds(text: str) -> None:
    mine, real = later(WORDS), re.compile(WORDS)
    for use in ("search", "match", "fullmatch"):
        found, wanted = getattr(mine, use)(text), getattr(real, use)(text)
        assert (found and found.groups()) == (wanted and wanted.groups())
    assert mine.sub("x", text) == real.sub("x", text)
    assert mine.findall(text) == real.findall(text)
    assert [item.span() for item in mine.finditer(text)] == [item.span() for item in real.finditer(text)]


def test_flags_and_names_are_those_of_the_pattern() -> None:
    assert later("A", re.IGNORECASE).match("a")
    assert later(WORDS).groupindex == {"first": 1}
    assert later("[^\n]").pattern == "[^\n]"
    assert not hasattr(later("a"), "no_such_thing")
    assert copy.copy(later("a+")).fullmatch("aa")


def test_a_mistake_shows_at_the_first_use() -> None:
    wrong = later("(")
    with pytest.raises(re.error):
        wrong.match("")


def test_a_library_is_imported_as_ever_and_all_others_compile_at_once() -> None:
    with contextlib.suppress(ZeroDivisionError), all_later():
        assert not isinstance(re.compile("a"), re.Pattern)
        raise ZeroDivisionError
    assert isinstance(re.compile("a"), re.Pattern)


def test_every_pattern_of_a_model_is_one() -> None:
    """They too are compiled late: a mistake would show only to who writes that field."""
    import json

    from canaryfleet.schema import FILES, schema_of

    found = re.findall(
        r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps([schema_of(model) for model in FILES.values()])
    )
    assert len(found) > 100
    for pattern in found:
        re.compile(json.loads(pattern))
