"""A release as `make dist` has made it, and what people do with it. Runs in the environment of requirements/release.txt."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from release import build, environment

DIST = build.ROOT / "dist"
PIN = "sha256:" + "ab" * 32
IMAGE = f"ghcr.io/acme/search:1.4.0@{PIN}"
Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_sessionstart() -> None:
    if not list(DIST.glob("*.whl")):
        raise pytest.UsageError("there is no release in dist/: `make dist` makes one and tries it")


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel that is tried."""
    return next(DIST.glob("*.whl"))


@pytest.fixture(scope="session")
def sdist() -> Path:
    """The sdist that is tried."""
    return next(DIST.glob("*.tar.gz"))


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The Python of an environment that has nothing but the wheel and what the lock allows."""
    return environment.installed(tmp_path_factory.mktemp("environment"), wheel)


def person(home: Path, *folders: Path, **more: str) -> dict[str, str]:
    """The environment of somebody who has just come: nothing of this checkout, and of git only a name."""
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text(
        "[user]\n  name = A Person\n  email = person@example.org\n[init]\n  defaultBranch = main\n"
        "[commit]\n  gpgSign = false\n"
    )
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    kept = {key: os.environ[key] for key in ("LANG", "PIP_CERT", "SSL_CERT_FILE") if key in os.environ}
    return kept | {"PATH": path, "HOME": str(home), "PYTHONWARNINGS": "error", **more}


def runner(where: Path, given: Mapping[str, str]) -> Run:
    """Runs a command of a person in a folder; `fine` is the exit code that is expected."""

    def run(*words: str, fine: int = 0, cwd: Path = where) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(words, cwd=cwd, env=dict(given), capture_output=True, text=True, check=False)
        assert done.returncode == fine, f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    return run
