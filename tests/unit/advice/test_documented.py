"""The examples of the documentation: each triggers its warning, and the one beside it nothing at all."""

from pathlib import Path

import pytest
from examples import changed, found, parts, quiet, write

from canaryfleet import codes
from canaryfleet.errors import WARNING

WARNINGS = [
    code for code in codes.every().values() if code.warns and not code.past
]  # those: tests/cli/test_retagged.py


def test_the_base_is_quiet(tmp_path: Path) -> None:
    write(tmp_path, quiet())
    assert [str(item) for item in found(tmp_path)] == []


@pytest.mark.parametrize("code", WARNINGS, ids=lambda code: code.code)
def test_a_bad_example_is_warned_of(tmp_path: Path, code: codes.Code) -> None:
    write(tmp_path, changed(parts(code.bad)))
    warned = found(tmp_path)
    assert {(item.code, item.severity) for item in warned} == {(code.code, WARNING)}, [*map(str, warned)]
    assert all(item.remedy and item.place.line for item in warned)


@pytest.mark.parametrize("code", WARNINGS, ids=lambda code: code.code)
def test_a_good_example_is_not(tmp_path: Path, code: codes.Code) -> None:
    write(tmp_path, changed(parts(code.good)))
    assert [str(item) for item in found(tmp_path)] == []


@pytest.mark.parametrize("code", WARNINGS, ids=lambda code: code.code)
def test_a_reason_silences_it(tmp_path: Path, code: codes.Code) -> None:
    files = changed(parts(code.bad))
    entry = {"code": code.code, "reason": "we know"}
    for path in [path for path in files if path.endswith("/canary.yaml")]:
        files[path]["lint"] = {"ignore": [entry]}
    write(tmp_path, files)
    expected = {"CF350"} if code.code == "CF351" else set()
    assert {item.code for item in found(tmp_path)} == expected
