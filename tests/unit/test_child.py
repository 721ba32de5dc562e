"""What is started ends with the block that asked for it, whenever somebody presses Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from canaryfleet.child import child

PATIENT = ["/bin/sh", "-c", "echo; exec sleep 60"]


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Ctrl-C means what it does in a terminal; a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_ctrl_c_before_anybody_knows_its_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The program runs, and `Popen` has not returned."""
    started = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[call-overload]
            started.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), child(PATIENT, cwd=tmp_path, env={}):
        pytest.fail("nobody may wait for it any more")
    assert [gone(pid) for pid in started] == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_it_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), child(PATIENT, cwd=tmp_path, env={}) as process:
        signal.raise_signal(signal.SIGINT)
    assert gone(process.pid)


def test_who_handles_ctrl_c_otherwise_still_hears_it_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[call-overload]
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    heard = []
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with child([sys.executable, "-c", ""], cwd=tmp_path, env={}) as process:
        assert process.wait(20) == 0
    assert heard == [signal.SIGINT]


def test_its_children_end_with_it(tmp_path: Path) -> None:
    """Of a script around a program, the program: the pipe that both hold ends."""
    script = ["/bin/sh", "-c", "sleep 60 & echo $!; wait"]
    with child(script, cwd=tmp_path, env={}) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        kept = os.dup(process.stdout.fileno())
        assert not gone(grandchild)
    with open(kept, "rb") as output:
        assert output.read() == b""


def test_another_thread_starts_one_too(tmp_path: Path) -> None:
    codes = []

    def run() -> None:
        with child([sys.executable, "-c", "raise SystemExit(7)"], cwd=tmp_path, env={}) as process:
            codes.append(process.wait(20))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert codes == [7]
