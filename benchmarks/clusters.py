"""Reading many clusters at once, as `status` does, from one program that plays all their API servers.

Each has a connection of its own over TLS, and answers with what a real cluster was recorded to say of
an app: 75 KB. Run as a program it looks once and prints how many seconds that took:
`python -m benchmarks.clusters URL CLUSTERS HANGING LIMIT`.
"""

import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.measure import Run, Series, process

TESTS = Path(__file__).resolve().parent.parent / "tests"
CA = TESTS / "unit/status/tls/ca.pem"
RECORDING = TESTS / "unit/status/recordings/good-1.10.1.json"
LIMIT = 2.0
"""Seconds for each cluster where one hangs; what is measured is what comes on top."""


class Reading(NamedTuple):
    """Processes that read all clusters, and the seconds beyond its limit that one costs that hangs."""

    all: Series
    beyond: float


def measure(clusters: int, rounds: int, folder: Path, environment: Mapping[str, str]) -> Reading:
    """Read so many clusters, a few times; and ten, of which one hangs."""
    with _server() as url:
        runs = [_program(url, clusters, folder, environment) for _ in range(rounds)]
        hanging = [_seconds(url, 1, folder, environment) - LIMIT for _ in range(rounds)]
    return Reading(Series(tuple(runs)), median(hanging))


def _program(url: str, clusters: int, folder: Path, environment: Mapping[str, str]) -> Run:
    return process(_words(url, clusters, 0, 60.0), folder, environment)


def _seconds(url: str, hanging: int, folder: Path, environment: Mapping[str, str]) -> float:
    words = _words(url, 10, hanging, LIMIT)
    return float(subprocess.run(words, cwd=folder, env=environment, capture_output=True, check=True).stdout)


def _words(url: str, clusters: int, hanging: int, limit: float) -> tuple[str, ...]:
    return (sys.executable, "-m", "benchmarks.clusters", url, str(clusters), str(hanging), str(limit))


@contextmanager
def _server() -> Iterator[str]:
    words = (sys.executable, str(TESTS / "fake_api.py"), str(RECORDING))
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield (server.stdout.readline() if server.stdout else "").strip()
        server.communicate()


def look(url: str, clusters: int, hanging: int, limit: float) -> float:
    """Seconds of reading; SystemExit if a cluster is not seen as it should be."""
    from msgspec import convert

    from benchmarks.status import last
    from canaryfleet.engines.argo_rollouts.observe import observe, reads
    from canaryfleet.models.base import API_VERSION
    from canaryfleet.models.cluster import Access, Cluster, ClusterMetadata
    from canaryfleet.models.observation import Subject
    from canaryfleet.sources import Question, Target
    from canaryfleet.sources.kubernetes import Kubernetes

    subject = convert(last(RECORDING)["subject"], Subject)
    question = Question(subject.app, subject.namespace, reads(subject))
    names = [f"cluster-{number}" for number in range(clusters)]
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump(_kubeconfig(url, names, hanging), file)
        file.flush()
        began = time.perf_counter()
        targets = (
            Target(
                Cluster(
                    apiVersion=API_VERSION,
                    kind="Cluster",
                    metadata=ClusterMetadata(name=name),
                    access=Access(context=name),
                ),
                [question],
            )
            for name in names
        )
        seen = 0
        for sighting in Kubernetes(file.name).look(targets, timeout=limit):
            seen += sighting.problem is None and observe(sighting, subject).live is not None
    if seen != clusters - hanging:
        raise SystemExit(f"{seen} of {clusters} clusters were seen")
    return time.perf_counter() - began


def _kubeconfig(url: str, names: list[str], hanging: int) -> object:
    """As people have it: each cluster with its CA, each with a user of its own."""
    ca = base64.b64encode(CA.read_bytes()).decode()
    servers = {name: f"{url}/{'hang' if number < hanging else name}" for number, name in enumerate(names)}
    return {
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": ca}}
            for name, server in servers.items()
        ],
        "users": [{"name": name, "user": {"token": f"token-of-{name}"}} for name in names],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
    }


if __name__ == "__main__":
    print(look(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
