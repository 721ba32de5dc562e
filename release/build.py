"""Wheel and sdist: a function of the files that Git tracks and the time of the commit, and of nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def version() -> str:
    """The version that is being made."""
    text = (ROOT / "generator/canaryfleet/__init__.py").read_text()
    return text.partition('__version__ = "')[2].partition('"')[0]


def tracked() -> list[str]:
    """The paths that Git tracks and the working tree has, sorted."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    return [path for path in sorted(os.fsdecode(listed).split("\0")) if path and (ROOT / path).is_file()]


def epoch() -> str:
    """The time of the commit, which all files in the archives have: https://reproducible-builds.org/specs/."""
    asked = ["git", "log", "-1", "--format=%ct"]
    return subprocess.run(asked, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def exported(to: Path) -> Path:
    """A copy of the tracked files: what else lies in the checkout, such as an environment, is in no archive."""
    for path in tracked():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, to / path)
    return to


def build(source: Path, to: Path, *kinds: str) -> list[Path]:
    """Make the archives of an exported folder, or of an unpacked sdist. `kinds`: wheel, sdist.

    The build backend is the one of this environment, which requirements/release.txt locks: it writes its version
    into the wheel.
    """
    chosen = [word for kind in kinds for word in ("--target", kind)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": epoch()}
    call = [sys.executable, "-m", "hatchling", "build", "--directory", str(to), *chosen]
    subprocess.run(call, cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL)
    return sorted(to.iterdir())
