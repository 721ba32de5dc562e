"""One rig: everything that was started together and ends together."""

import atexit
import os
import re
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from rig import tools
from rig.cluster import Cluster, Etcd, NodeSpec
from rig.metrics import Prometheus
from rig.processes import Supervisor, lives
from rig.traffic import Mesh

DEFAULT_NODES = (NodeSpec(),)
KEPT_RUNS = 5
RUN_NAME = re.compile(r"\d{6}-(\d+)")  # time and process id


class Rig:
    """Starts clusters and what belongs to them; use it as a context manager."""

    def __init__(self, directory: Path | None = None) -> None:
        if directory is None:
            forget_old_runs(tools.RUN)
        stamp = f"{time.strftime('%H%M%S')}-{os.getpid()}"
        self.directory = directory or tools.RUN / stamp
        self.directory.mkdir(parents=True, exist_ok=True)
        self.supervisor = Supervisor(self.directory / "logs")
        self.clusters: list[Cluster] = []
        self.meshes: list[Mesh] = []
        self.prometheus: Prometheus | None = None
        self._etcd: Etcd | None = None
        atexit.register(self.close)

    def __enter__(self) -> "Rig":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start_clusters(
        self,
        versions: Sequence[str],
        nodes: Sequence[NodeSpec] = DEFAULT_NODES,
    ) -> list[Cluster]:
        """Start a cluster for each of these releases of Argo Rollouts; they come up side by side."""
        if self._etcd is None:
            self._etcd = Etcd.start(self.supervisor, self.directory)
        started = [
            Cluster.launch(
                self.supervisor,
                self._etcd,
                f"c{number}",
                self.directory / f"c{number}",
                version,
            )
            for number, version in enumerate(versions, len(self.clusters))
        ]
        for cluster in started:
            cluster.begin()
        # Where it takes longest; nothing is started in these threads that would end with them (`Supervisor`).
        with ThreadPoolExecutor() as pool:
            list(pool.map(Cluster.install_crds, started))
        for cluster in started:
            cluster.finish(nodes)
        self.clusters += started
        return started

    def start_prometheus(self) -> Prometheus:
        """Start the one Prometheus of this rig, or return it."""
        if self.prometheus is None:
            self.prometheus = Prometheus.start(self.supervisor, self.directory / "prometheus")
        return self.prometheus

    def start_meshes(self, clusters: Sequence[Cluster]) -> list[Mesh]:
        """Start pilot and Envoys for each of these clusters; they come up side by side."""
        started = [Mesh.launch(self.supervisor, cluster) for cluster in clusters]
        self.meshes += started
        for mesh in started:
            mesh.finish(self.supervisor)
        return started

    def close(self) -> None:
        """End everything; the logs stay, the bulky data goes."""
        atexit.unregister(self.close)
        for mesh in self.meshes:
            mesh.close()
        self.meshes.clear()
        self.supervisor.stop_all()
        for bulk in ("etcd", "prometheus/data"):
            shutil.rmtree(self.directory / bulk, ignore_errors=True)


def forget_old_runs(folder: Path) -> None:
    """Delete what earlier runs have left, but for the last ones, and never a rig's that is up."""
    found = {path: match for path in folder.glob("*") if (match := RUN_NAME.fullmatch(path.name))}
    ended = [path for path, match in found.items() if not lives(int(match[1]))]
    try:
        ended.sort(key=lambda path: path.stat().st_mtime)
    except FileNotFoundError:
        return  # another that starts now is at it
    for path in ended[: -(KEPT_RUNS - 1)]:
        shutil.rmtree(path, ignore_errors=True)
