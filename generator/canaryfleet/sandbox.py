"""Simulated clusters that follow a repository as Argo CD would: for demonstrations, tests and trials of a spec.

The overlays are the real ones, built in process; the controller under them is the engine's simulation, and the
clock is the caller's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from canaryfleet import repo
from canaryfleet.engines.argo_rollouts.simulate import Behaviour, Event, Script
from canaryfleet.files import Tree
from canaryfleet.manifests import Builder, overlay_folder
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.observation import Sighting
from canaryfleet.models.release import Release
from canaryfleet.overlay import pointer
from canaryfleet.sources import Target
from canaryfleet.sources.simulation import Simulation

Behave = Callable[[Release, str], Behaviour]
"""How the version of a release behaves on a cluster."""


class Sandbox:
    """A fleet, which is at first empty. `behave` is asked once for each release that comes to a cluster."""

    def __init__(self, clock: Callable[[], datetime], behave: Behave) -> None:
        self._clock, self._behave = clock, behave
        self._scripts: dict[tuple[str, str], Script] = {}
        self._synced: dict[tuple[str, str], bytes] = {}

    def fork(self, clock: Callable[[], datetime], behave: Behave) -> "Sandbox":
        """The same fleet as it is now, which goes its own way from here."""
        other = Sandbox(clock, behave)
        other._scripts, other._synced = dict(self._scripts), dict(self._synced)
        return other

    def sync(self, tree: Tree) -> list[tuple[str, str]]:
        """Apply what the overlays of a tree build, where it changed, and delete what is gone; app and cluster."""
        clusters = repo.read_clusters(tree, [])
        wanted = {
            (app, cluster): item.data
            for app in tree.list(repo.OVERLAYS)
            for cluster, item in repo.overlays(tree, app).items()
        }
        changed = [place for place, data in wanted.items() if self._synced.get(place) != data]
        gone = [place for place in self._synced if place not in wanted]
        for place in changed:
            self._apply(tree, clusters, *place)
        for app, cluster in gone:
            self._happens(app, cluster, Event(self._clock(), "delete"))
        self._synced = wanted
        return [*changed, *gone]

    def happens(self, app: str, cluster: str, act: str) -> None:
        """Something that a person or time does to an app: an `Act` of the simulation, now."""
        self._happens(app, cluster, Event(self._clock(), act))  # type: ignore[arg-type]

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        """Read the clusters as they are now: a `Source`."""
        yield from Simulation(self._scripts.values(), self._clock).look(targets, timeout=timeout)

    def _apply(self, tree: Tree, clusters: Mapping[str, Cluster], app: str, cluster: str) -> None:
        objects = tuple(Builder(tree.read).build(overlay_folder(app, cluster)))
        named = pointer(tree.read(repo.overlay_path(app, cluster)))
        if named is None:
            return
        release = repo.release(tree, app, named.release)
        member = clusters.get(cluster)
        empty = Script(cluster, app, release.metadata.namespace, uid=member.uid if member else None)
        script = self._scripts.get((app, cluster), empty)
        pod = release.clusters[cluster].pod
        behaviours = {pod: self._behave(release, cluster), **script.behaviours}
        self._scripts[app, cluster] = script._replace(behaviours=behaviours)
        self._happens(app, cluster, Event(self._clock(), "apply", objects))

    def _happens(self, app: str, cluster: str, event: Event) -> None:
        script = self._scripts[app, cluster]
        self._scripts[app, cluster] = script._replace(events=(*script.events, event))
