"""docs/security.md claims nothing without a test that is there, and its rights are those of the code."""

import re
from pathlib import Path

from canaryfleet.forges import gitea, github

TESTS = Path(__file__).resolve().parents[1]
TEXT = (TESTS.parent / "docs" / "security.md").read_text()


def threats() -> list[list[str]]:
    """The rows of the tables of threats: threat, answer, proof."""
    part = TEXT.partition("\n## Threats\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0].strip() != "threat"]


def test_every_threat_names_its_proof() -> None:
    assert len(threats()) > 30
    assert [row[0] for row in threats() if len(row) != 3 or not re.search(r"`[\w/]+\.py", row[2])] == []


def test_every_proof_is_there() -> None:
    for _, _, proof in threats():
        for file, test in re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", proof):
            assert (TESTS / file).is_file(), file
            assert not test or f"def {test}(" in (TESTS / file).read_text(), f"{file}::{test}"


def test_credentials_have_the_names_that_the_code_asks_for() -> None:
    named = set(re.findall(r"`(CANARYFLEET_G\w+)`", TEXT))
    assert named == {github.TOKENS[0], github.APP_ID, github.APP_KEY, *gitea.TOKENS}
