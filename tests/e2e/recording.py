"""What was seen of an app, as a recording that unit tests replay."""

import inspect
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from app import App
from rig import read, tools

from recordings import Event, Object, Recording, trimmed, write

KINDS = ("Rollout", "ReplicaSet", "AnalysisRun", "Pod")
SOURCE = "github.com/argoproj/argo-rollouts"


def recording(app: App, scenario: str, what: str = "") -> Recording:
    """All that was seen of an app until now, in the order in which the API server stored it."""
    # All clusters of a rig share one etcd, whose revision is the resource version of every kind.
    history = sorted(
        (seen for seen in app.seen() if seen.object["kind"] in KINDS),
        key=lambda seen: int(seen.object["metadata"]["resourceVersion"]),
    )
    events = tuple(Event(_time(seen.at), seen.event, trimmed(seen.object)) for seen in history)
    source = tools.module_dir(f"controlplane-{app.member.rollouts}", SOURCE)
    releases: dict[str, Object] = {
        release: read(app.overlays / "releases" / release / "release.yaml") for release in app.releases()
    }
    about = {
        "scenario": scenario,
        "what": what,
        "argoRollouts": source.name.rpartition("@v")[2],
        "kubernetes": app.kube.raw_json("/version")["gitVersion"].removeprefix("v"),
        "app": app.name,
        "namespace": app.namespace,
        "cluster": app.cluster,
        "identity": app.kube.raw_json("/api/v1/namespaces/kube-system")["metadata"]["uid"],
        "releases": releases,
        "applied": [{"at": _time(at).isoformat(), "release": release} for at, release in app.applied],
    }
    return Recording(about, events)


def _time(monotonic: float) -> datetime:
    return datetime.fromtimestamp(time.time() - (time.monotonic() - monotonic), UTC)


Record = Callable[[App, str], None]


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """With `--record DIR`, keep what was seen of an app as `<scenario>-<Argo Rollouts>.json`."""
    folder: Path | None = request.config.getoption("--record")

    def keep(app: App, scenario: str) -> None:
        if folder:
            made = recording(app, scenario, inspect.getdoc(request.function) or "")
            write(folder / f"{scenario}-{made.about['argoRollouts']}.json", made)

    return keep
