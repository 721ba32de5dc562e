"""Starting programs with a log file each, and ending exactly those again."""

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from rig.waiting import FatalError, RigError

GRACE_SECONDS = 2.0
LARGE = 18 << 30  # bytes
GO_MEMORY = {
    "GOGC": "400" if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") > LARGE else "250",
    "GOMEMLIMIT": "3GiB",
}
"""Programs written in Go collect less often: where memory is there, and processors are not."""
BRIEF_MEMORY = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}
"""Those that are soon over don't collect at all."""
LOG_TAIL_LINES = 15


Argv = Sequence[str | Path]


@dataclass
class Process:
    """One program that the rig started."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.popen.pid

    def check(self) -> None:
        """Raise `FatalError` with the end of the log if the program has exited."""
        code = self.popen.poll()
        if code is not None:
            raise FatalError(f"{self.name} exited with {code}; {self.log} ends:\n{tail(self.log)}")

    def ask_to_stop(self) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()

    def ensure_stopped(self, deadline: float) -> None:
        """Wait for the end, and force it after the deadline."""
        try:
            self.popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def run(
    argv: Argv,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run a program to its end and return what it printed; failure is a `RigError`."""
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**BRIEF_MEMORY, **os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    return _printed(argv, done.returncode, done.stdout, done.stderr)


def run_family(argv: Argv, cwd: Path, env: Mapping[str, str]) -> str:
    """`run` for a program that starts others (compilers): when this is interrupted, all of them end."""
    child: subprocess.Popen[str] | None = None
    try:
        with _later():
            child = subprocess.Popen(
                [*die_with_parent(), *map(str, argv)],
                cwd=cwd,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        stdout, stderr = child.communicate()
    except BaseException:
        if child is not None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
        raise
    return _printed(argv, child.returncode, stdout, stderr)


@contextlib.contextmanager
def _later() -> Iterator[None]:
    """A signal that comes meanwhile is heeded at the end: a child that nobody knows yet would go on for ever."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    known = {number: signal.getsignal(number) for number in numbers}
    heeded = {number: handler for number, handler in known.items() if callable(handler)}
    for number in heeded:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
    if came:
        heeded[signal.Signals(came[0])](came[0], None)


def _printed(argv: Argv, code: int, stdout: str, stderr: str) -> str:
    if code:
        words = " ".join(str(word) for word in argv[:8])
        said = stderr.strip() or stdout.strip()  # `go mod download -json` says it on the latter
        raise RigError(f"{words}: {said[-2000:]}")
    return stdout


class Supervisor:
    """Owns the programs of one rig.

    Each child also gets SIGTERM from the kernel when this process dies without cleaning up. That
    is bound to the starting thread, so start programs from a thread that outlives them.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.processes: list[Process] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        name: str,
        argv: Argv,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a program with its output in `<logs>/<name>.log`."""
        log = self.logs / f"{name}.log"
        command = [*die_with_parent(), *map(str, argv)]
        with log.open("ab") as output:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**GO_MEMORY, **os.environ, **(env or {})},
                start_new_session=True,
            )
        process = Process(name, log, popen)
        self.processes.append(process)
        return process

    def stop(self, process: Process) -> None:
        """End one program early."""
        process.ask_to_stop()
        process.ensure_stopped(time.monotonic() + GRACE_SECONDS)
        self.processes.remove(process)

    def check(self) -> None:
        """Raise if any program has exited by itself."""
        for process in self.processes:
            process.check()

    def stop_all(self) -> None:
        """End all programs within one grace time; what they stored is worth nothing."""
        for process in reversed(self.processes):
            process.ask_to_stop()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in reversed(self.processes):
            process.ensure_stopped(deadline)
        self.processes.clear()


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is somebody else's
    return True


def die_with_parent() -> list[str]:
    """What stands before a command that is to get SIGTERM when this process ends, however it does."""
    setpriv = which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def resources(supervisor: Supervisor) -> str:
    """What each kind of program used, in words: the sum of the peaks is an upper bound of the memory."""
    peaks: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for process in supervisor.processes:
        kind = process.name.partition("-")[2] or process.name
        peaks[kind] = peaks.get(kind, 0) + _peak_megabytes(process.pid)
        seconds[kind] = seconds.get(kind, 0) + _processor_seconds(process.pid)
    children = resource.getrusage(
        resource.RUSAGE_CHILDREN
    )  # of those that have ended: pytest and what it ran
    seconds["tests"] = children.ru_utime + children.ru_stime
    return f"peak memory in MB: {_sum(peaks)}; processor seconds: {_sum(seconds)}"


def _sum(by_kind: Mapping[str, float]) -> str:
    kinds = ", ".join(f"{kind} {number:.0f}" for kind, number in sorted(by_kind.items()))
    return f"{sum(by_kind.values()):.0f} in all ({kinds})"


def _peak_megabytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


def _processor_seconds(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()  # proc(5): utime and stime are fields 14 and 15
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
