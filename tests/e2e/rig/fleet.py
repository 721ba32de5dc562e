"""The fleet that the tests run on: started once, used by many processes."""

import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rig import tools
from rig.calls import Client
from rig.kube import Kube
from rig.metrics import Exporter, query, scraped
from rig.processes import lives
from rig.session import Rig
from rig.waiting import RigError, wait_until

STATE = "CANARYFLEET_E2E_FLEET"
"""The environment variable with the file that says where a fleet is, if not where `make fleet` writes it."""
START_SECONDS = 300.0
CLUSTERS = ("1.10", "1.9", "1.10")
"""Argo Rollouts in each cluster: the newest two minor releases."""


@dataclass(frozen=True)
class Member:
    """One cluster of the fleet, as a test sees it."""

    name: str
    rollouts: str
    kube: Kube
    client: Client


@dataclass(frozen=True)
class Fleet:
    """The running fleet: its clusters, its Prometheus, and where its logs are."""

    pid: int
    logs: Path
    prometheus: str
    targets: Path
    members: tuple[Member, ...]

    def on(self, rollouts: str, who: str) -> Member:
        """A cluster with this release of Argo Rollouts; which one depends on who asks, to spread the work."""
        fitting = [member for member in self.members if member.rollouts == rollouts]
        return fitting[zlib.crc32(who.encode()) % len(fitting)]

    def query(self, expression: str, moment: float | None = None) -> list[float]:
        """The values of an instant query, now or at a moment (`time.time`)."""
        return query(self.prometheus, expression, moment)

    def scrape(self, name: str, exporter: Exporter) -> None:
        """Have Prometheus scrape an exporter from now on, and wait until it has."""
        draft = self.targets / f"{name}.draft"
        draft.write_text(json.dumps([{"targets": [exporter.address]}]))
        draft.replace(self.targets / f"{name}.json")
        scraped(self.prometheus, exporter.address)

    def forget(self, name: str) -> None:
        """End the scraping."""
        (self.targets / f"{name}.json").unlink(missing_ok=True)


def start(rig: Rig) -> Fleet:
    """Start clusters, Prometheus, pilots and Envoys, and write down where they are."""
    clusters = rig.start_clusters(CLUSTERS)
    prometheus = rig.start_prometheus()
    meshes = rig.start_meshes(clusters)
    fleet = Fleet(
        os.getpid(),
        rig.supervisor.logs,
        prometheus.url,
        prometheus.targets,
        tuple(
            Member(cluster.name, cluster.rollouts_version, cluster.kube, mesh.client)
            for cluster, mesh in zip(clusters, meshes, strict=True)
        ),
    )
    path = _note()
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(fleet), indent=2, default=str))
    draft.replace(path)  # whole, for who waits for it
    return fleet


def stopped() -> None:
    """Take the note of this process's fleet away."""
    path = _note()
    if path.exists() and json.loads(path.read_text())["pid"] == os.getpid():
        path.unlink()


def attach() -> Fleet:
    """The fleet that another process started, or starts at this moment for its tests."""
    path = _note()
    if STATE in os.environ:
        wait_until(path.exists, "the fleet is up", START_SECONDS)
    if not path.exists():
        raise RigError("no fleet is up: `make fleet` starts one, `make e2e` one for itself")
    state = json.loads(path.read_text())
    if not lives(state["pid"]):
        raise RigError(f"the fleet of {path} is gone; remove the file, or `make fleet`")
    members = tuple(_member(member) for member in state.pop("members"))
    return Fleet(
        pid=state["pid"],
        logs=Path(state["logs"]),
        prometheus=state["prometheus"],
        targets=Path(state["targets"]),
        members=members,
    )


def refuse_a_second() -> None:
    """Raise if a fleet for a person to play with is up already."""
    path = _note()
    if path.exists() and lives(pid := json.loads(path.read_text())["pid"]):
        raise RigError(f"a fleet is up already (process {pid}, {path})")


def _note() -> Path:
    return Path(os.environ.get(STATE, tools.RUN / "current.json"))


def _member(state: dict[str, Any]) -> Member:
    kube = state["kube"]
    return Member(
        state["name"],
        state["rollouts"],
        Kube(kube["server"], kube["token"], Path(kube["kubeconfig"]), Path(kube["cache"])),
        Client(**state["client"]),
    )
