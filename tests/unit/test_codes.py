"""Codes are a promise: one meaning each, none that nobody knows, and each with a reason and a remedy."""

import re
from pathlib import Path

import pytest

import canaryfleet
from canaryfleet import codes

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(canaryfleet.__file__).parent
CODES = codes.every()
USED = {code for path in SOURCES.rglob("*.py") for code in re.findall(r'"(CF[0-9]{3})"', path.read_text())}


def test_every_code_that_is_used_has_a_meaning() -> None:
    assert USED - set(CODES) == set()


def test_every_meaning_is_used() -> None:
    assert set(CODES) - USED == set()


def test_no_code_has_two_meanings() -> None:
    assert sum(len(codes.chapter(file)) for file in codes.FILES) == len(CODES)
    assert len({found.title for found in CODES.values()}) == len(CODES)


def test_codes_stand_in_order() -> None:
    assert [list(codes.chapter(file)) for file in codes.FILES] == [
        sorted(codes.chapter(file)) for file in codes.FILES
    ]


@pytest.mark.parametrize("found", CODES.values(), ids=CODES)
def test_every_code_has_a_reason_and_a_remedy(found: codes.Code) -> None:
    assert not found.title.endswith(".")
    assert len(found.why) > 20
    for text in (found.why, found.remedy):
        assert text == text.strip()
        assert text[0] == text[0].upper()
        assert text[-1] in ".`)"


@pytest.mark.parametrize("found", CODES.values(), ids=CODES)
def test_every_warning_has_two_examples_and_nothing_else_has(found: codes.Code) -> None:
    assert bool(found.bad) == bool(found.good) == found.warns
    assert found.bad != found.good or not found.warns


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "codes.md").read_text() == codes.page(), "renew it with: make codes"
