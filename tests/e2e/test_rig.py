"""The rig ends what it started, however it is ended itself; it needs no fleet."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rig import Exporter, tools, wait_until
from rig.session import forget_old_runs

HERE = Path(__file__).resolve().parent
# under nohup nobody heeds it
HANGUP = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
ENDINGS = (signal.SIGINT, signal.SIGTERM, *HANGUP, signal.SIGKILL)
LIMIT = 90.0
STARTING = """
import sys, time
from pathlib import Path
from rig.__main__ import _heed_signals
from rig.session import Rig
_heed_signals()
with Rig(Path(sys.argv[1])) as rig:
    for number in range(3):
        rig.supervisor.start(f"program-{number}", ["sleep", "600"])
    print(*(process.pid for process in rig.supervisor.processes), flush=True)
    while True:  # Python heeds a signal that comes just before a sleep only after it
        time.sleep(0.1)
"""
COMPILER = """#!/bin/sh
if [ "$1" = env ]; then echo go1.99.0; exit; fi
sleep 600 &
echo $$ $! > "$PIDS"
wait
"""


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
def test_programs_end_with_the_rig(tmp_path: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", STARTING, str(tmp_path / "run")]
    with subprocess.Popen(
        command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as rig:
        try:
            assert rig.stdout
            programs = [int(pid) for pid in rig.stdout.readline().split()]
            assert len(programs) == 3
            # the kernel is asked for a signal at the rig's death by what becomes the program a moment later
            wait_until(lambda: all(named(pid) == "sleep" for pid in programs), "the programs run", LIMIT)
            rig.send_signal(ending)
            wait_until(lambda: not any(map(lives, programs)), "all programs have ended", LIMIT)
        finally:
            rig.kill()


@pytest.mark.parametrize("ending", ENDINGS[:-1], ids=lambda ending: ending.name)
def test_a_build_that_is_interrupted_leaves_no_compiler_and_nothing_that_looks_built(
    tmp_path: Path, ending: signal.Signals
) -> None:
    go, pids, built = tmp_path / "bin" / "go", tmp_path / "pids", tmp_path / "built"
    go.parent.mkdir()
    go.write_text(COMPILER)
    go.chmod(0o755)
    changed = {
        "PATH": f"{go.parent}:{os.environ['PATH']}",
        "PIDS": str(pids),
        "CANARYFLEET_E2E_BIN": str(built),
    }
    command = [sys.executable, "-m", "rig", "build", "etcd"]
    with subprocess.Popen(command, cwd=HERE, env={**os.environ, **changed}, stderr=subprocess.PIPE) as rig:
        try:
            wait_until(lambda: pids.exists() and pids.read_text(), "it compiles", LIMIT)
            compilers = [int(pid) for pid in pids.read_text().split()]
            assert all(map(lives, compilers))
            rig.send_signal(ending)
            assert rig.wait(LIMIT) == 130
            wait_until(lambda: not any(map(lives, compilers)), "no compiler is left", LIMIT)
        finally:
            rig.kill()
    assert not (built / "etcd").exists()


def test_a_program_of_other_pins_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tools.TOOLS[0]
    pins = tmp_path / "modules" / tool.module
    pins.mkdir(parents=True)
    for name in ("go.mod", "go.sum"):
        (pins / name).write_text("")
    for name, value in (("MODULES", pins.parent), ("BIN", tmp_path), ("OWN_BIN", tmp_path)):
        monkeypatch.setattr(tools, name, value)
    monkeypatch.setattr(tools, "run_family", lambda command, **_: Path(command[-2]).touch())
    assert not tools._built(tool)
    tools.build([tool.name])
    assert tools._built(tool)
    (pins / "go.sum").write_text("other")
    assert not tools._built(tool)
    tools.build([tool.name])
    assert tools._built(tool)


def test_a_program_without_a_note_of_its_pins_is_trusted_only_in_a_folder_of_somebodys_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tools.TOOLS[0]
    (tmp_path / tool.name).touch()
    monkeypatch.setattr(tools, "BIN", tmp_path)
    assert tools._built(tool)
    monkeypatch.setattr(tools, "OWN_BIN", tmp_path)
    assert not tools._built(tool)


def test_the_last_runs_are_kept_and_every_one_that_is_up(tmp_path: Path) -> None:
    gone = 4_194_305  # no process has a higher number than 2 ** 22
    for number in range(8):
        (tmp_path / f"12000{number}-{gone}").mkdir()
        os.utime(tmp_path / f"12000{number}-{gone}", (number, number))
    (tmp_path / f"110000-{os.getpid()}").mkdir()
    os.utime(tmp_path / f"110000-{os.getpid()}", (0, 0))
    (tmp_path / "current.json").touch()
    forget_old_runs(tmp_path)
    found = sorted(path.name for path in tmp_path.iterdir())
    # with the one that begins they are five
    assert found == [
        f"110000-{os.getpid()}",
        *(f"12000{number}-{gone}" for number in (4, 5, 6, 7)),
        "current.json",
    ]


def named(pid: int) -> str:
    """What a process is by now; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for somebody to ask how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_all_series_of_a_scrape_are_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that rests between two buckets would make a quantile of them that nobody measured."""
    with contextlib.closing(Exporter()) as exporter:
        for name in ("first", "second"):
            exporter.grow(name, 1.0)
        before = [float(line.split()[-1]) for line in exporter.text().splitlines()]
        seconds = itertools.count(time.monotonic() + 60, 60)
        monkeypatch.setattr("rig.metrics.time.monotonic", lambda: next(seconds))
        after = [float(line.split()[-1]) for line in exporter.text().splitlines()]
    first, second = (later - earlier for later, earlier in zip(after, before, strict=True))
    assert first == pytest.approx(second)
