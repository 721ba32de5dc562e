"""One side of a comparison: an app as a tree has it, and the final objects that its clusters have of it."""

from collections.abc import Mapping
from functools import cached_property
from posixpath import join
from typing import NamedTuple

from canaryfleet import lint, overlay, repo
from canaryfleet.errors import ERROR, Finding, Problems
from canaryfleet.files import Tree
from canaryfleet.freeze import Frozen, freeze
from canaryfleet.live import Live, Settings, fit, kept, resolve, room
from canaryfleet.manifests import Builder, Object, immutable, overlay_folder
from canaryfleet.models.release import Release
from canaryfleet.overlay import Target
from canaryfleet.repo import OVERLAYS, Committed, Repository, Spec
from canaryfleet.stale import present_live


class Ground(NamedTuple):
    """A tree with everything that people wrote in it; findings are those of the specs that were asked for."""

    tree: Tree
    repository: Repository
    findings: list[Finding]


def ground(tree: Tree, apps: list[str]) -> Ground:
    """Read a tree. Raises Problems if it has no fleet.yaml that can be read."""
    specs = [app for app in apps if tree.exists(join(repo.SPECS, app))]
    if specs:
        return Ground(tree, *repo.read(tree, specs))
    findings: list[Finding] = []
    fleet, clusters = repo.fleet(tree), repo.read_clusters(tree, findings)
    return Ground(tree, Repository(fleet, clusters, {}, {}), findings)


def nothing(tree: Tree, other: Ground) -> Ground:
    """A tree from before there was a fleet, beside one that has one."""
    return Ground(tree, Repository(other.repository.fleet, {}, {}, {}), [])


class Side:
    """One app in one tree."""

    def __init__(self, ground: Ground, app: str) -> None:
        """Raises Problems if an overlay points nowhere."""
        self.ground, self.name, self.tree = ground, app, ground.tree
        self.app = repo.load_app(ground.tree, app)
        self.clusters = ground.repository.clusters
        self.findings: list[Finding] = []
        self.frozen = self._frozen()
        self._made: dict[str, bytes] = {}
        self._present: dict[str, Live | None] = {}
        self._builder = Builder(self._read, immutable)

    @property
    def spec(self) -> Spec | None:
        """The spec, if it is there and can be read."""
        return self.ground.repository.specs.get(self.name)

    def _frozen(self) -> Frozen | None:
        """The release that the spec resolves to, in memory: whether anybody has rendered it makes no difference."""
        if self.spec is None:
            return None
        outcome = freeze(lint.inputs(self.ground.repository, self.spec))
        self.findings += (lint.located(self.spec, issue) for issue in outcome.issues)
        return outcome.frozen

    @cached_property
    def candidate(self) -> Release | None:
        """The release that the spec resolves to, or else the one that the tree names."""
        if self.frozen is not None:
            return self.frozen.release
        id = repo.candidate(self.tree, self.name)
        there = id and self.tree.exists(join(OVERLAYS, self.name, "releases", id, "release.yaml"))
        return repo.release(self.tree, self.name, id) if id and there else None

    def release(self, id: str) -> Release:
        """A release that a pointer names, or the candidate."""
        if self.candidate is not None and self.candidate.id == id:
            return self.candidate
        return self.app.releases[id]

    def target(self, id: str, cluster: str) -> Target | None:
        """What a cluster needs of a release; None if the release does not know it."""
        release = self.release(id)
        if id not in self._bakes:
            self._bakes[id] = overlay.bakes(release)
        return overlay.target(release, cluster, self._bakes[id])

    @cached_property
    def _bakes(self) -> dict[str, Mapping[str, str]]:
        return {}

    # Live settings

    @cached_property
    def _settings(self) -> Settings | None:
        if self.spec is None or self.frozen is None:
            return None
        return Settings(self.spec.model, self.frozen.bounds, self.ground.repository.fleet)

    def wanted(self, cluster: str) -> Live | None:
        """The live settings that the inventory says; None if it doesn't."""
        member = self.clusters.get(cluster)
        if self._settings is None or member is None:
            return None
        present = self.present(cluster)
        live = resolve(self._settings, member)
        return kept(live, present) if present else live

    def present(self, cluster: str) -> Live | None:
        """The live settings that the overlay carries; None if there are none that can be read."""
        committed: Committed | None = self.app.overlays.get(cluster)
        if committed is not None and cluster not in self._present:
            release = self.release(self.app.pointers[cluster].release)
            self._present[cluster] = present_live(committed, release)
        return self._present.get(cluster)

    # Manifests

    def built(self, at: Target, live: Live) -> list[Object]:
        """The final objects of a cluster that has a target: without the configuration of a fallback."""
        folder = overlay_folder(self.name, "-")
        text = overlay.text(self.name, at, None, (), live)
        self._made = {f"{folder}/kustomization.yaml": text.encode()}
        return self._builder.build(folder)

    @cached_property
    def _fresh(self) -> dict[str, bytes]:
        files = self.frozen.files if self.frozen else {}
        return {join(OVERLAYS, self.name, below): data for below, data in files.items()}

    def _read(self, path: str) -> bytes:
        if path in self._made:
            return self._made[path]
        # what is frozen already has its own bytes, whatever this version would make
        if path in self._fresh and not self.tree.exists(path):
            return self._fresh[path]
        return self.tree.read(path)

    def stamps(self, id: str, cluster: str) -> dict[str, str]:
        """What identifies a release and its pods on a cluster, and what all releases call it."""
        release = self.release(id)
        member = release.clusters.get(cluster)
        pods = {member.pod: "<pod>"} if member else {}
        return {release.id: "<release>", release.workload: "<workload>"} | pods


def merged(present: Live, wanted: Live, old: Release, new: Release) -> Live:
    """What a cluster would carry with another release: what it carries, and what only that has room for."""
    more = room(new.live) - room(old.live)
    return present._replace(**{name: value for name, value in wanted._asdict().items() if name in more})


def fitted(live: Live | None, release: Release) -> Live | None:
    """Only what a release has room for."""
    return None if live is None else fit(live, release.live)


def errors(found: list[Finding]) -> None:
    """Raises Problems if any of the findings is an error."""
    if any(item.severity == ERROR for item in found):
        raise Problems(found)
