"""What `canaryfleet explain CF123` says of a finding's code."""

import json
from pathlib import Path

import pytest
from driver import run
from jsonschema import Draft202012Validator

from canaryfleet import codes
from canaryfleet.schema import FILES, schema_of


def test_a_code_is_explained(tmp_path: Path) -> None:
    result = run("explain", "CF301", "--root", str(tmp_path))
    assert result.code == 0
    assert result.out.startswith("CF301: weight steps that jump (a warning)\n")
    assert run("explain", "cf301").out == result.out
    assert "{weight: 50%, for: 10m}" in result.out
    assert "lint: {ignore: [{code: CF301, reason: " in result.out


@pytest.mark.parametrize("code", codes.every())
def test_every_code_is_explained_to_scripts(code: str) -> None:
    data = json.loads(run("explain", code, "--output", "json").out)
    Draft202012Validator(schema_of(FILES["code"])).validate(data)
    assert (data["code"], data["remedy"]) == (code, codes.every()[code].remedy)
    assert codes.every()[code].title in codes.text(codes.every()[code])


def test_an_unknown_code_is_a_wrong_word() -> None:
    result = run("explain", "CF300")
    assert result.code == 2
    assert "there is no code CF300: there are CF301, CF302, CF303" in result.err
    assert "a code is CF and three digits" in run("explain", "CF999").err


def test_half_a_code_is_no_record() -> None:
    result = run("explain", "cf30")
    assert result.code == 2
    assert "cf30 is no code: there are CF301, CF302" in result.err
