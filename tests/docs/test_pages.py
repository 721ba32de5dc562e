"""Every command in the documentation is run: one shell for each page, in a folder of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import blocks
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = blocks.pages(ROOT)
TIMEOUT = 300  # seconds: a machine that does much else at the time
GITCONFIG = """\
[user]
	name = Ada
	email = ada@acme.example
[init]
	defaultBranch = main
[commit]
	gpgSign = false
[maintenance]
	auto = false
"""
# Each block is a file of its own that has as many lines before it as the page has, so that bash itself names the page's
# line. They are sourced: folder, variables and functions stay, as for somebody who types them.
SESSION = """\
set -Eeuo pipefail
trap 'printf %s "$LINENO" > "$AT"' ERR
for STEP in "$BLOCKS"/*/; do
  echo > "$AT"
  printf %s "$STEP" > "$NOW"
  . "$STEP/$PAGE" > "$STEP/printed" 2>&1 < /dev/null
done
"""


def environment(home: Path) -> dict[str, str]:
    """Nothing of this machine but its programs; whoever asks the network finds nobody."""
    there = [Path(sys.executable).parent, *(shutil.which(name) for name in ("git", "bash", "ssh-keygen"))]
    folders = dict.fromkeys(
        str(Path(each).parent if Path(each).is_file() else each) for each in there if each
    )
    return {
        "PATH": ":".join([*folders, "/usr/local/bin", "/usr/bin", "/bin"]),
        "PYTHONPATH": str(ROOT / "generator"),
        "HOME": str(home),
        "CANARYFLEET": str(ROOT),
        "GIT_CONFIG_NOSYSTEM": "1",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "COLUMNS": "120",
        "TERM": "dumb",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1,::1"),
    }


def script(step: blocks.Step) -> str:
    """What bash runs for a step, on the lines on which the page has it."""
    if not step.file:
        return step.line * "\n" + step.commands
    end = "END_OF_THE_BLOCK"
    return f'{(step.line - 1) * chr(10)}mkdir -p "$(dirname "{step.file}")"; cat > "{step.file}" <<"{end}"\n{step.commands}{end}\n'


def run(page: str, steps: list[blocks.Step], folder: Path) -> str:
    """Run a page's steps in a new folder; what is wrong, as text for people, or nothing."""
    home, parts, name = folder / "home", folder / "blocks", page.replace("/", "-")
    home.mkdir()
    (home / ".gitconfig").write_text(GITCONFIG)
    for number, step in enumerate(steps):
        part = parts / f"{number:03}"
        part.mkdir(parents=True)
        (part / name).write_text(script(step))
    at, now = folder / "at", folder / "now"
    variables = {"BLOCKS": str(parts), "PAGE": name, "AT": str(at), "NOW": str(now)}
    said = folder / "said"
    code = session(home, environment(home) | variables, said)
    for number, step in enumerate(steps):
        printed = parts / f"{number:03}" / "printed"
        if code and printed.parent == Path(now.read_text()):
            line = int(at.read_text().strip() or step.line)
            return failure(page, line, step, printed.read_text() + said.read_text(), f"exit {code}")
        if step.prints is not None and not blocks.same(step.prints, printed.read_text()):
            return failure(
                page, step.line, step, printed.read_text(), f"the page shows:\n{step.prints}and not"
            )
    return ""


def session(home: Path, variables: dict[str, str], said: Path) -> int:
    """Run bash until it ends, and end what it left running; what it says itself is in `said`."""
    with said.open("w") as output:  # no pipe: what runs on in the background would keep it open
        shell = subprocess.Popen(
            ["bash", "-c", SESSION],
            cwd=home,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        return shell.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        said.write_text(f"it took more than {TIMEOUT} s\n")
        return -1
    finally:
        end(shell)


def end(shell: subprocess.Popen[bytes]) -> None:
    """End what a page began and left running."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()


def failure(page: str, line: int, step: blocks.Step, printed: str, wrong: str) -> str:
    """Page and line, the block, and what it printed."""
    return f"{page}:{line}: {wrong}\n--- the block\n{step.commands}--- what it printed\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_works(page: Path, tmp_path: Path) -> None:
    name = str(page.relative_to(ROOT))
    try:
        steps = blocks.steps(page.read_text())
    except blocks.Wrong as wrong:
        pytest.fail(f"{name}:{wrong}", pytrace=False)
    if steps and (failed := run(name, steps, tmp_path)):
        pytest.fail(failed, pytrace=False)
