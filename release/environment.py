"""An environment with nothing in it but canaryfleet and what it needs, as a user has it."""

import subprocess
import sys
from pathlib import Path

from release.build import ROOT


def installed(folder: Path, archive: Path) -> Path:
    """Make one in `folder`, by the locked hashes; the value is its Python. Not even pip is in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip(python, "install", "--require-hashes", "-r", str(ROOT / "requirements/run.txt"))
    pip(python, "install", "--no-index", "--no-deps", str(archive))
    return python


def pip(python: Path, command: str, *words: str) -> None:
    """Run this environment's pip for another one."""
    call = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
    subprocess.run([*call, command, *words], check=True)
