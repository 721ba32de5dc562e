"""The rig ends what it started, however it is ended itself; it needs no fleet."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rig import wait_until

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
    time.sleep(600)
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
            assert all(map(lives, programs))
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


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for somebody to ask how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
