"""What the tests share: a GitOps repository in a folder, driven as the command line drives it."""

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, settings

from canaryfleet import kustomize, lint, overlay, repo
from canaryfleet.digest import canonical_json
from canaryfleet.errors import Finding
from canaryfleet.files import Changes, Tree, apply
from canaryfleet.freeze import Frozen, freeze
from canaryfleet.manifests import Builder, Object, sort_key
from canaryfleet.models.release import Release
from canaryfleet.overlay import Pointer
from canaryfleet.point import Pointing, point
from canaryfleet.render import Known, Rendering, know, render
from canaryfleet.repo import OVERLAYS, overlay_path
from canaryfleet.syntax import parse_stream

NOW = datetime(2026, 11, 3, 10, tzinfo=UTC)  # a Tuesday
TOOLS = {"canaryfleet": "0.0.0", "kustomize": "v0.0.0"}  # in expected files, so that upgrades change none
PROPERTY = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
WRITTEN_BY_PEOPLE = ("fleet.yaml", "clusters")


class Project:
    """A GitOps repository in a folder; every call reads it anew, as a command would."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def copy(self, source: Path, app: str) -> None:
        """Take over a test's files: fleet and clusters to the root, everything else to the app's spec."""
        for item in sorted(source.iterdir()):
            if item.name == "expected":
                continue
            target = self.root / item.name if item.name in WRITTEN_BY_PEOPLE else self.spec(app) / item.name
            if item.is_dir():
                shutil.copytree(item, target, dirs_exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(item, target)

    def deployed(self, app: str, *sources: Path) -> None:
        """The app of these files, rendered, and every cluster points at its release."""
        for source in sources:
            self.copy(source, app)
        self.render()
        self.point_everything(app)

    def spec(self, app: str) -> Path:
        """The folder of an app's spec."""
        return self.root / "specs" / app

    def know(self) -> Known:
        """The repository read and judged, with pinned versions of the tools."""
        known = know(Tree(self.root))
        return known._replace(frozen={app: self._pinned(known, app) for app in known.frozen})

    @staticmethod
    def _pinned(known: Known, app: str) -> Frozen:
        inputs = lint.inputs(known.repository, known.repository.specs[app])
        frozen = freeze(inputs._replace(tools={name: TOOLS[name] for name in inputs.tools})).frozen
        assert frozen is not None
        return frozen

    def findings(self) -> list[Finding]:
        """Everything that is wrong with specs and clusters."""
        return know(Tree(self.root)).findings

    def render(self, settled: Collection[str] = ()) -> Rendering:
        """`canaryfleet render`."""
        rendering = render(self.know(), settled)
        apply(self.root, rendering.changes)
        return rendering

    def point(
        self, app: str, wave: str, id: str | None = None, verified: Collection[str] = ("all",)
    ) -> Pointing:
        """`canaryfleet point`."""
        return self._point(self.know(), app, wave, id, verified)

    def _point(
        self, known: Known, app: str, wave: str, id: str | None, verified: Collection[str]
    ) -> Pointing:
        moved = point(known, app, wave, id, verified, NOW)
        apply(self.root, Changes(moved.writes))
        return moved

    def point_everything(self, app: str) -> Release:
        """Point every wave at the candidate, batch by batch, with everything verified."""
        known = self.know()
        release = known.frozen[app].release
        for wave in release.waves:
            while wave.members and self._point(known, app, wave.name, None, ("all",)).writes:
                pass
        return release

    def generated(self, app: str) -> dict[str, bytes]:
        """Every generated file of an app, by its path below `overlays/<app>/`, and `argocd/` if there is one."""
        home = self.root / OVERLAYS / app
        return _files(home, home) | _files(self.root / "argocd", self.root)

    def overlay(self, app: str, cluster: str) -> bytes:
        """The overlay of one cluster."""
        return (self.root / overlay_path(app, cluster)).read_bytes()

    def pointers(self, app: str) -> Mapping[str, Pointer]:
        """What every cluster points at."""
        return repo.load_app(Tree(self.root), app).pointers

    def distinct(self, app: str) -> Iterator[str]:
        """One cluster for each release, variant and bake: the others differ in live settings alone."""
        loaded = repo.load_app(Tree(self.root), app)
        seen: set[overlay.Target | None] = set()
        for cluster, pointer in loaded.pointers.items():
            release = loaded.releases[pointer.release]
            at = overlay.target(release, cluster, overlay.bakes(release))
            if at not in seen:
                seen.add(at)
                yield cluster

    def built(self, app: str, cluster: str) -> list[Object]:
        """The final objects as canaryfleet builds them."""
        return Builder(Tree(self.root).read).build(self._home(app, cluster))

    def kustomized(self, app: str, cluster: str) -> list[Object]:
        """The final objects as the real kustomize builds them."""
        return kustomized(self.root, self._home(app, cluster))

    @staticmethod
    def _home(app: str, cluster: str) -> str:
        return overlay_path(app, cluster).removesuffix("/kustomization.yaml")


def _files(folder: Path, above: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(above).as_posix(): path.read_bytes() for path in found}


def kustomized(root: Path, folder: str) -> list[Object]:
    """What the real kustomize makes of a folder, sorted."""
    data = kustomize.build(kustomize.find(), root, folder)
    return sorted(parse_stream(data, folder), key=sort_key)


def canonical(objects: Sequence[Object]) -> list[str]:
    """Objects as text that is equal if and only if they are; a list shows which one differs."""
    return [canonical_json(item).decode() for item in objects]


def one(objects: Sequence[Object], kind: str, name: str | None = None) -> Object:
    """The one object of a kind (and name)."""
    found = [item for item in objects if item["kind"] == kind and name in (None, item["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects of kind {kind}"
    return found[0]
