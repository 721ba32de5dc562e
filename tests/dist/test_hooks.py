"""The hooks by pre-commit itself, which installs them from a clone, on a repository that `init` made."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from release import build, environment

from conftest import IMAGE, Run, person, runner

SPEC = "specs/search/canary.yaml"
CONFIG = """\
repos:
- repo: {address}
  rev: {rev}
  hooks: [{{id: canaryfleet-lint}}, {{id: canaryfleet-render}}, {{id: canaryfleet-schema}}]
"""


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone's worth of what Git tracks here, which pre-commit clones and installs."""
    source = build.exported(tmp_path_factory.mktemp("canaryfleet"))
    run = runner(source, person(tmp_path_factory.mktemp("maintainer")))
    for words in ("init -q", "add --all", "commit -q -m all", "tag v0"):
        run("git", *words.split())
    return source


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where pip finds what is locked, and nothing else: else the build would take what is newest today."""
    wheels = tmp_path_factory.mktemp("wheels")
    lock = build.ROOT / "requirements/release.txt"
    environment.pip(Path(sys.executable), "download", "--require-hashes", "-r", str(lock), "-d", str(wheels))
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, hooks: Path, python: Path, offline: dict[str, str]
) -> tuple[Path, Run]:
    """A new repository with the hooks, and its first commit, which they let pass."""
    home = tmp_path_factory.mktemp("home")
    where = tmp_path_factory.mktemp("work") / "fleet"
    where.mkdir()
    quiet = {"PYTHONWARNINGS": "default", "PRE_COMMIT_COLOR": "never"}
    given = person(home, Path(sys.executable).parent, python.parent, **offline, **quiet)
    run = runner(where, given)
    run("git", "init", "-q")
    run("canaryfleet", "init", "search", "--yes", "--image", IMAGE, "--cluster", "eu-1", "--cluster", "us-1")
    run("canaryfleet", "render")
    (where / ".pre-commit-config.yaml").write_text(CONFIG.format(address=hooks, rev="v0"))
    run("pre-commit", "install")
    run("git", "add", "--all")
    told = run("git", "commit", "-m", "search").stderr
    assert told.count("Passed") == 3, told
    return where, run


@pytest.fixture
def work(fleet: tuple[Path, Run]) -> Callable[..., str]:
    """Runs a command in the repository as its first commit has it; the value is what pre-commit and others say."""
    _, run = fleet
    run("git", "reset", "-q", "--hard")
    run("git", "clean", "-q", "-d", "--force")

    def said(*words: str, fine: int = 0) -> str:
        done = run(*words, fine=fine)
        return done.stdout + done.stderr

    return said


def change(fleet: tuple[Path, Run], old: str, new: str) -> None:
    """Edit the spec."""
    file = fleet[0] / SPEC
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_a_bad_spec_stops_the_commit_with_its_place(
    fleet: tuple[Path, Run], work: Callable[..., str]
) -> None:
    change(fleet, "rollbackAbove: 5%", "rollbackAbove: 0.5%")
    told = work("git", "commit", "-a", "-m", "bad", fine=1)
    assert f"{SPEC}:11:" in told
    assert "canaryfleet lint" in told


def test_a_forgotten_render_stops_it_and_says_what_to_do(
    fleet: tuple[Path, Run], work: Callable[..., str]
) -> None:
    change(fleet, "port: 8080", "port: 8081")
    told = work("git", "commit", "-a", "-m", "port", fine=1)
    assert "(run `canaryfleet render`)" in told
    work("canaryfleet", "render")
    told = work("git", "commit", "-a", "-m", "port", fine=1)
    assert "would not be committed: `git add overlays`" in told
    work("git", "add", "--all")
    assert work("git", "commit", "-m", "port").count("Passed") == 2


def test_other_files_are_nobodys_business(fleet: tuple[Path, Run], work: Callable[..., str]) -> None:
    (fleet[0] / "README.md").write_text("Our fleet\n")
    work("git", "add", "--all")
    assert work("git", "commit", "-m", "readme").count("Skipped") == 3


def test_in_a_pull_request_they_run_on_everything(fleet: tuple[Path, Run], work: Callable[..., str]) -> None:
    assert work("pre-commit", "run", "--all-files").count("Passed") == 3


def test_what_is_offered_is_what_pre_commit_understands() -> None:
    call = [
        sys.executable,
        "-m",
        "pre_commit",
        "validate-manifest",
        str(build.ROOT / ".pre-commit-hooks.yaml"),
    ]
    subprocess.run(call, env=dict(os.environ), check=True)
