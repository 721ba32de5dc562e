"""What Argo CD's ApplicationSet controller waits for: `canaryfleet serve` asked for every app on every cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.measure import Run
from canaryfleet.applicationset import PATH

TOKEN = "benchmarks-are-no-secret"


class Served(NamedTuple):
    """Seconds to the answer of a commit that nobody has asked for, and of one again; all of the process."""

    first: float
    again: float
    process: Run


def measure(root: Path, sets: int, rounds: int, environment: Mapping[str, str]) -> Served:
    """Start the service on a clone, ask for everything a few times, and end it; SystemExit for another answer."""
    words = [sys.executable, "-m", "canaryfleet", "serve", "--root", str(root), "--listen", "127.0.0.1:0"]
    given = {**environment, "CANARYFLEET_APPLICATIONSET_TOKEN": TOKEN}
    start = time.perf_counter()
    with subprocess.Popen(words, env=given, stderr=subprocess.PIPE, text=True) as service:
        port = int((service.stderr.readline() if service.stderr else "").split()[-1])
        took = [_ask(port, sets) for _ in range(rounds + 1)]
        service.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(service.pid, 0)
        service.returncode = os.waitstatus_to_exitcode(status)
    run = Run(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    return Served(took[0], median(took[1:]), run)


def _ask(port: int, sets: int) -> float:
    start = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", PATH, b"{}", {"Authorization": f"Bearer {TOKEN}"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    found = len(answer.get("output", {}).get("parameters", ()))
    if found != sets:
        raise SystemExit(
            f"the generator was told of {found} Applications, not of {sets}: {answer.get('error')}"
        )
    return time.perf_counter() - start
