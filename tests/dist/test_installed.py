"""The wheel in an empty environment, far from the checkout, as a person uses it: every warning is an error."""

import json
from pathlib import Path

import pytest
from release import build

from conftest import IMAGE, Run, person, runner

EVERY_MODULE = """
import canaryfleet, importlib, pkgutil
names = [found.name for found in pkgutil.walk_packages(canaryfleet.__path__, "canaryfleet.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(canaryfleet.__file__, len(names))
"""


@pytest.fixture
def run(tmp_path: Path, python: Path) -> Run:
    where = tmp_path / "fleet"
    where.mkdir()
    return runner(where, person(tmp_path / "home", python.parent))


def test_every_module_needs_no_more_than_what_is_installed(run: Run, python: Path) -> None:
    file, _, count = run(str(python), "-W", "error", "-c", EVERY_MODULE).stdout.rpartition(" ")
    assert Path(file).is_relative_to(python.parent.parent)
    assert int(count) > 200


def test_every_command_explains_itself(run: Run) -> None:
    assert run("canaryfleet", "--version").stdout == f"canaryfleet {build.version()}\n"
    overview = run("canaryfleet", "--help").stdout
    commands = [line.split()[0] for line in overview.splitlines() if line.startswith("  ")]
    assert len(commands) > 20
    for command in commands:
        assert run("canaryfleet", command, "--help").stdout


def test_from_an_empty_folder_to_what_argo_cd_applies(run: Run, tmp_path: Path) -> None:
    def canaryfleet(*words: str, fine: int = 0, cwd: Path = tmp_path / "fleet") -> str:
        return run("canaryfleet", *words, fine=fine, cwd=cwd).stdout

    run("git", "init", "-q")
    canaryfleet(
        "init", "search", "--yes", "--image", IMAGE, "--cluster", "eu-1:region=eu", "--cluster", "us-1"
    )
    assert "nothing is wrong" in canaryfleet("lint")
    assert "search" in canaryfleet("render")
    assert "1 release are what canaryfleet writes" in canaryfleet("render", "--check").replace(
        "0 overlays and ", ""
    )
    run("git", "add", "--all")
    run("git", "commit", "-q", "-m", "search")
    assert "pilot" in canaryfleet("plan")
    assert json.loads(canaryfleet("plan", "--output", "json"))
    canaryfleet("point", "search", "--wave", "pilot")
    overlay = tmp_path / "fleet/overlays/search/clusters/eu-1"
    applied = canaryfleet("cmp", "generate", cwd=overlay)
    assert "kind: Rollout" in applied
    assert applied == canaryfleet("build", "search", "eu-1")
    assert canaryfleet("diff", "search")
    assert "istio/error-rate" in canaryfleet("presets")
    assert "CF301" in canaryfleet("explain", "CF301")
    assert canaryfleet("schema", "--check") == ""
    assert "canaryfleet" in canaryfleet("completion", "bash")


def test_a_mistake_is_told_with_its_place(run: Run, tmp_path: Path) -> None:
    run("git", "init", "-q")
    run("canaryfleet", "init", "search", "--yes", "--image", IMAGE, "--cluster", "eu-1")
    spec = tmp_path / "fleet/specs/search/canary.yaml"
    spec.write_text(spec.read_text().replace("promoteBelow", "promoteBellow"))
    told = run("canaryfleet", "lint", fine=1).stderr
    assert told.startswith("specs/search/canary.yaml:11:")
    assert "promoteBelow" in told
