"""Taking time: of a call in this process, and of a whole process with its memory."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple


class Run(NamedTuple):
    """One run of a process: elapsed and CPU seconds (its children's too), and peak memory in MB."""

    seconds: float
    cpu: float
    memory: float


class Series(NamedTuple):
    """Several runs of the same; what counts is the middle one."""

    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        return median(run.cpu for run in self.runs)

    @property
    def memory(self) -> float:
        return max(run.memory for run in self.runs)


def process(argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Run:
    """Run a command to its end; SystemExit with what it said if it fails.

    The kernel counts the memory of the process that starts it too, so that one has to be small.
    """
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        started = subprocess.Popen(argv, cwd=folder, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(started.pid, 0)
        seconds = time.perf_counter() - start
        started.returncode = os.waitstatus_to_exitcode(status)
        if started.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(argv)} failed:\n{said.read().decode(errors='replace')}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def call(made: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    made()
    return time.perf_counter() - start


def paired(rounds: int, calls: Mapping[str, Callable[[], Run]]) -> dict[str, Series]:
    """Every call once a round, so that a busy moment of the machine meets them all."""
    runs: dict[str, list[Run]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, made in calls.items():
            runs[name].append(made())
    return {name: Series(tuple(found)) for name, found in runs.items()}
