"""The status of many clusters: a recorded one, as often as it is wanted, through the interface of sources.

`python -m benchmarks.status make ROOT CLUSTERS` writes a fleet, `read ROOT` prints its status; `simulate
ROOT` prints that of the first app of another one, whose clusters a simulated controller runs. Each
cluster's answers are decoded from bytes when they are asked for, as those of an API server are.
"""

import gc
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.fleet import cluster_name, write
from canaryfleet import status, view
from canaryfleet.emit import emit
from canaryfleet.engines.argo_rollouts.simulate import Event, Script
from canaryfleet.files import Tree
from canaryfleet.manifests import Builder, immutable, overlay_folder
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.observation import Look, Sighting
from canaryfleet.sources import Target, snapshot
from canaryfleet.sources.simulation import Simulation

TESTS = Path(__file__).resolve().parent.parent / "tests"
RECORDING = TESTS / "unit/status/recordings/good-1.10.1.json"
APP = "chat"
sys.path.insert(0, str(TESTS))
from recordings import last  # noqa: E402  (how recordings are read is said once, beside the tests that replay them)

SEEN = "seen.json"
BEFORE = "1.0.0-000000000000"


def make(root: Path, clusters: int) -> None:
    """One app with a release on so many clusters, and a snapshot of them all."""
    recorded = last(RECORDING)
    release, names = recorded["release"], [cluster_name(number) for number in range(clusters)]
    pod = next(iter(release["clusters"].values()))
    release["clusters"] = dict.fromkeys(names, pod)
    release["waves"] = [{**release["waves"][0], "members": names}]
    head = {"apiVersion": API_VERSION}
    write(root, "fleet.yaml", emit({**head, "kind": "Fleet", "metadata": {"name": "bench"}}))
    for id in (release["id"], BEFORE):
        write(root, f"overlays/{APP}/releases/{id}/release.yaml", emit({**release, "id": id}))
    for name in names:
        body = {**head, "kind": "Cluster", "metadata": {"name": name}}
        write(root, f"clusters/{name}.yaml", emit(body))
        write(root, f"overlays/{APP}/clusters/{name}/kustomization.yaml", _overlay(release["id"]))
    targets = status.targets(status.plan(Tree(root)))
    recording = snapshot.Recording()
    for sighting in status.look(Copies(), targets, 1):
        recording.add(sighting)
    recording.write(str(root / SEEN))


def _overlay(release: str) -> str:
    fallback = {"annotations": {"canaryfleet.dev/fallback": BEFORE}}
    return emit({"metadata": {"name": APP, **fallback}, "resources": [f"../../releases/{release}"]})


class Copies:
    """A source that sees the recorded cluster everywhere."""

    def __init__(self) -> None:
        sighting: dict[str, Any] = last(RECORDING)["sightings"][0]
        self._identity, self._look = sighting["identity"], sighting["apps"][0]
        self._raw = json.dumps(self._look["answers"]).encode()
        self._name = f'"{sighting["cluster"]}"'.encode()
        self._times = [datetime.fromisoformat(sighting[name]).astimezone(UTC) for name in ("began", "ended")]

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        """One sighting for each target."""
        began, ended = self._times
        for target in targets:
            name = target.cluster.metadata.name
            answers = msgspec.json.decode(self._raw.replace(self._name, f'"{name}"'.encode()))
            look = Look(app=APP, namespace=self._look["namespace"], answers=answers)
            yield Sighting(
                cluster=name,
                source="simulation",
                began=began,
                ended=ended,
                identity=self._identity,
                apps=(look,),
            )


def simulate(root: str) -> None:
    """Print the status of simulated clusters that were given what Git says three hours ago."""
    tree, now = Tree(root), datetime(2026, 11, 3, 10, tzinfo=UTC)
    found = status.plan(tree, ["app-00"])
    builder = Builder(tree.read, immutable)
    scripts = []
    for app in found.apps.values():
        for name in app.pointers:
            given = Event(now - timedelta(hours=3), "apply", builder.build(overlay_folder(app.name, name)))
            scripts.append(Script(name, app.name, app.namespace, [given], uid=found.clusters[name].uid))
    print(view.text(status.read(found, Simulation(scripts, lambda: now), 10), sys.stdout))


def show(root: str) -> None:
    """Print the status; SystemExit if not everything is verified, since then something else was measured."""
    found = status.read(status.plan(Tree(root)), Copies(), 10)
    print(view.text(found, sys.stdout))
    kinds = {
        row.verdict and row.verdict.kind for app in found.apps for wave in app.waves for row in wave.clusters
    }
    if kinds != {"Verified"}:
        raise SystemExit(f"the verdicts are {kinds}")


if __name__ == "__main__":
    gc.disable()  # as the console script does
    match sys.argv[1:]:
        case ["make", root, clusters]:
            make(Path(root), int(clusters))
        case ["read", root]:
            show(root)
        case ["simulate", root]:
            simulate(root)
