"""docs/controller-behaviour.md promises a test for each line: the names are right, and no line is without one."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "controller-behaviour.md").read_text()
NAMED = re.compile(r"`(\w+)::(\w+)`")


def rows() -> list[str]:
    """The lines of the tables, without their heads."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    return [line for line in lines if not line.startswith(("|---", "| what |"))]


def known() -> set[tuple[str, str]]:
    """Files and names of the tests on a fleet."""
    return {
        (path.stem, name)
        for path in (PROJECT / "tests" / "e2e").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }


def test_every_line_names_a_test() -> None:
    assert len(rows()) > 50
    assert [row for row in rows() if not NAMED.search(row.rsplit(" | ", 1)[1])] == []


def test_every_test_that_is_named_exists() -> None:
    assert set(NAMED.findall(PAGE)) - known() == set()
