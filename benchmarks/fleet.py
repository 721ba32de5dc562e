"""Makes a fleet to measure on: what people would write, then render, point and commit, as they would.

Every app has two releases. All clusters got the first; the first waves, half of the clusters, have
moved on to the second and fall back to the first. Everything is committed on the default branch.

Run as a program, since the memory that it takes must not be counted for what is measured afterwards:
`python -m benchmarks.fleet FOLDER CLUSTERS APPS`.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

from canaryfleet import files
from canaryfleet.emit import emit
from canaryfleet.models.base import API_VERSION
from canaryfleet.point import point
from canaryfleet.render import know, render

NOW = datetime(2026, 11, 3, 10, tzinfo=UTC)
REGIONS = ("eu-west", "eu-north", "us-east", "us-west", "ap-south")
WAVES = ("pilot", "half", "tenth", "rest")
PROMPT = "You answer questions about {app}. Be brief, name your sources, and say so if you do not know.\n" * 8
COMMITTED = NOW - timedelta(days=3)
FIRST, SECOND = "1.0.0", "1.1.0"


def make(root: Path, clusters: int, apps: int) -> None:
    """A committed repository of `apps` apps on `clusters` clusters in the folder `root`."""
    names = begin(root, clusters, apps)
    release(root, names, FIRST, WAVES)
    release(root, names, SECOND, WAVES[:2])


def begin(root: Path, clusters: int, apps: int) -> list[str]:
    """The same without any release; the names of the apps."""
    names = [f"app-{number:02}" for number in range(apps)]
    write(root, "fleet.yaml", emit(fleet()))
    for number in range(clusters):
        write(root, f"clusters/{cluster_name(number)}.yaml", cluster(number, clusters))
    for app in names:
        write(root, f"specs/{app}/prompts/system.md", PROMPT.format(app=app))
    git(root, "init", "--quiet", "--initial-branch", "main")
    return names


def release(root: Path, apps: list[str], version: str, waves: tuple[str, ...]) -> None:
    """Write specs of a version, render them, and point these waves at the releases."""
    for app in apps:
        write(root, f"specs/{app}/canary.yaml", emit(spec(app, version)))
    tree = files.Tree(root)
    files.apply(root, render(know(tree)).changes)
    commit(root, f"Release {version}")
    known = know(tree)
    for app in apps:
        for wave in waves:
            moved = point(known, app, wave, None, ("all",), NOW)
            if moved.reasons:
                raise SystemExit(f"{app}: {moved.reasons}")
            files.apply(root, files.Changes(moved.writes))
    commit(root, f"Point at {version}")


def write(root: Path, path: str, text: str) -> None:
    """One file that people write."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def commit(root: Path, message: str) -> None:
    """Everything that there is, on the default branch."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)


def git(root: Path, *arguments: str) -> None:
    """Run git with an identity and a time of its own."""
    settings = (
        "user.name=bench",
        "user.email=bench@canaryfleet.invalid",
        "gc.auto=0",
        "commit.gpgsign=false",
    )
    options = [word for setting in settings for word in ("-c", setting)]
    times = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), COMMITTED.isoformat())
    subprocess.run(["git", *options, *arguments], cwd=root, check=True, env=os.environ | times)


def cluster_name(number: int) -> str:
    """Unique, and sorted as the numbers are."""
    return f"{REGIONS[number % len(REGIONS)]}-{number:04}"


def fleet() -> object:
    """The repository's settings."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Fleet",
        "metadata": {"name": "bench"},
        "metrics": {"prometheus": "http://prometheus.istio-system:9090"},
        "labels": {"team": "inference"},
    }


def cluster(number: int, clusters: int) -> str:
    """One cluster as people write it: labels for waves and overrides, a domain, a metric server of its own."""
    name = cluster_name(number)
    region, turn = REGIONS[number % len(REGIONS)], "early" if number < clusters // 2 else "late"
    tier, gpu = "edge" if number % 3 == 0 else "core", "h100" if number % 4 == 0 else "l40s"
    return f"""\
# yaml-language-server: $schema=../schemas/cluster.schema.json
apiVersion: {API_VERSION}
kind: Cluster
metadata:
  name: {name}
  labels: {{region: {region}, tier: {tier}, gpu: {gpu}, turn: {turn}}}
capacity: {10 + number % 7 * 10}
resources: {{nvidia.com/gpu: {8 + number % 7 * 8}}}
variables: {{domain: {name}.acme.example}}
metrics: {{prometheus: "http://thanos-query.{name}.acme.example:9090"}}
access: {{context: {name}}}
uid: {uuid5(NAMESPACE_DNS, name)}
"""


def spec(app: str, version: str) -> object:
    """One app: a model server with analysis, sticky users and four kinds of pods over the fleet."""
    image = sha256(f"{app} {version}".encode()).hexdigest()
    return {
        "apiVersion": API_VERSION,
        "kind": "Canary",
        "metadata": {"name": app, "namespace": "inference"},
        "version": version,
        "workload": {
            "image": f"ghcr.io/acme/{app}:{version}@sha256:{image}",
            "port": 8000,
            "replicas": 6,
            "args": ["--model", "$(MODEL_URI)"],
            "env": {"LOG_LEVEL": "info", "MAX_BATCH": "32"},
            "model": {
                "name": "llama-3.1-8b",
                "version": version,
                "uri": f"s3://models/llama-3.1-8b/{version}",
            },
            "prompts": ["prompts/system.md"],
            "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "24Gi"}},
            "readiness": {"path": "/health"},
            "startup": "5m",
            "drain": "2m",
        },
        "exposure": {
            "hosts": [f"{app}.$(cluster.domain)"],
            "gateways": ["istio-ingress/public"],
            "sticky": {"cookie": f"{app}-session"},
            "steps": [
                {"header": {"x-canary-group": "internal"}, "for": "10m"},
                {"weight": "5%", "for": "10m"},
                {"weight": "25%", "for": "10m"},
                {"weight": "50%", "for": "10m"},
            ],
        },
        "analysis": {"minimumSamples": 300, "metrics": metrics(app)},
        "waves": [
            {"name": "pilot", "clusters": [cluster_name(0)], "minSuccessTime": "1h"},
            {"name": "half", "selector": {"turn": "early"}, "minSuccessTime": "4h"},
            {"name": "tenth", "share": "10%", "spreadOver": "region", "minSuccessTime": "1d"},
            {"name": "rest", "maxFailures": 1},
        ],
        "overrides": [
            {"selector": {"tier": "edge"}, "replicas": 2, "env": {"MAX_BATCH": "16"}},
            {
                "selector": {"gpu": "h100"},
                "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "48Gi"}},
                "env": {"MAX_MODEL_LEN": "32768"},
            },
        ],
    }


def metrics(app: str) -> object:
    """Two presets, and a query of one's own."""
    return [
        {"preset": "istio/error-rate", "promoteBelow": "0.5%", "rollbackAbove": "1%"},
        {
            "preset": "vllm/time-to-first-token",
            "quantile": 0.99,
            "promoteBelow": "200ms",
            "rollbackAbove": "500ms",
        },
        {
            "name": "drift",
            "query": f'max(model_psi{{app="{app}"}})',
            "minimumSamples": 0,
            "promoteBelow": 0.1,
            "rollbackAbove": 0.2,
        },
    ]


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
