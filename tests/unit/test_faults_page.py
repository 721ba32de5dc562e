"""Each line of docs/faults.md names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "| fault |" not in line]


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"`(test_\w+)::(test_\w+)`", PAGE.read_text())
    assert len(named) > 30
    for file, test in named:
        text = (ROOT / "tests" / "unit" / "bot" / f"{file}.py").read_text()
        assert f"def {test}(" in text, f"{file}::{test}"


def test_every_row_names_a_test() -> None:
    assert len(ROWS) > 20
    assert [row for row in ROWS if "`test_" not in row and "`tests/" not in row] == []


def test_every_file_that_is_named_is_there() -> None:
    for path in re.findall(r"`(tests/[\w/]+\.py)`", PAGE.read_text()):
        assert (ROOT / path).exists(), path
    for file in re.findall(r"`(test_\w+)`", PAGE.read_text()):
        assert (ROOT / "tests" / "unit" / "bot" / f"{file}.py").exists(), file
