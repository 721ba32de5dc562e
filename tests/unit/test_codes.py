"""Codes are a promise: one meaning each, and none that nobody knows."""

import re
from pathlib import Path

import canaryfleet
from canaryfleet.codes import CODES, ENGINE, OWN

SOURCES = Path(canaryfleet.__file__).parent
USED = {
    code
    for path in SOURCES.rglob("*.py")
    if path.name != "codes.py"
    for code in re.findall(r'"(CF[0-9]{3})"', path.read_text())
}


def test_every_code_that_is_used_has_a_meaning() -> None:
    assert USED - set(CODES) == set()


def test_every_meaning_is_used() -> None:
    assert set(CODES) - USED == set()


def test_no_code_has_two_meanings() -> None:
    assert not set(OWN) & set(ENGINE)
    assert len(set(CODES.values())) == len(CODES)
