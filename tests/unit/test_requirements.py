"""The locked requirements: of every file its hashes, and no address of where it was downloaded."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
# A name, its version, perhaps a condition, and hashes: nothing else is a line of a lock.
ENTRY = re.compile(
    r"[a-z0-9][a-z0-9-]*(\[[a-z0-9,-]+\])?==[^\s;]+( ; [^\\]+?)?( \\\n {4}--hash=sha256:[0-9a-f]{64})+\n"
)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_has_only_names_versions_and_hashes(lock: Path) -> None:
    left = ENTRY.sub("", lock.read_text())
    assert not left, f"{lock.name}: {left.splitlines()[0]}"


def test_every_group_has_its_lock_and_make_lock_renews_it() -> None:
    groups = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"])
    assert groups | {"run"} <= {path.stem for path in LOCKS}
    recipe = (ROOT / "Makefile").read_text().partition("\nlock:\n")[2].partition("\n\n")[0]
    assert [lock.stem for lock in LOCKS if not re.search(rf"\b{lock.stem}\b", recipe)] == []


@pytest.mark.parametrize("shipped", ["run", "github-app", "image"])
def test_what_is_installed_is_what_the_tests_ran_with(shipped: str) -> None:
    ours, tested = (
        set(re.findall(r"^\S+==\S+", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))
        for name in (shipped, "dev")
    )
    assert ours <= tested
