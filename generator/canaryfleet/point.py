"""`point`: the overlays that a wave's move writes. Live settings never travel with a pointer."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from canaryfleet import pointing, repo
from canaryfleet.content import Shelf, shelf, text
from canaryfleet.errors import Place, problem
from canaryfleet.live import Live, Settings, resolve
from canaryfleet.models.release import Release
from canaryfleet.nearest import nearest
from canaryfleet.outlook import Ground, state_of
from canaryfleet.overlay import Pointer
from canaryfleet.render import Known
from canaryfleet.repo import OVERLAYS, App


class Pointing(NamedTuple):
    """What to write and what it means; with reasons, nothing."""

    release: Release
    wave: str
    writes: dict[str, bytes]
    pointers: dict[str, Pointer]
    reasons: tuple[str, ...]


def point(
    known: Known, name: str, wave: str, id: str | None, verified: Collection[str], now: datetime
) -> Pointing:
    """Point the next clusters of a wave at a release (default: the candidate).

    `verified`: clusters that somebody has seen verified on what they have now ("all" for every one).
    """
    app = repo.load_app(known.tree, name)
    release = repo.release(known.tree, name, id or _candidate(known, name))
    here = known.repository
    ground = Ground(known.tree, here.fleet, here.clusters, None, now, build=False)
    given = set(app.pointers) if "all" in verified else verified
    state = state_of(ground, here.specs[name], release, app)._replace(verified=given, retiring=())
    moved = pointing.move(state, wave)
    known_releases = shelf({**app.releases, release.id: release}.__getitem__)
    writes = {
        repo.overlay_path(name, cluster): _text(known, app, known_releases, cluster, pointer)
        for cluster, pointer in moved.pointers.items()
    }
    return Pointing(release, wave, writes, dict(moved.pointers), moved.reasons)


def _candidate(known: Known, app: str) -> str:
    frozen = known.frozen.get(app)
    if frozen is None:
        raise problem(Place(OVERLAYS), "CF015", f"there is no app {app}", nearest(app, known.frozen))
    id = frozen.release.id
    if not known.tree.exists(f"{OVERLAYS}/{app}/releases/{id}/release.yaml"):
        raise problem(
            known.repository.specs[app].document.place(("version",)),
            "CF170",
            f"release {id} is not rendered",
            "run `canaryfleet render`",
        )
    return id


def _wanted(known: Known, app: str, cluster: str) -> Live:
    settings = Settings(known.repository.specs[app].model, known.frozen[app].bounds, known.repository.fleet)
    return resolve(settings, known.repository.clusters[cluster])


def _text(known: Known, app: App, releases: Shelf, cluster: str, pointer: Pointer) -> bytes:
    if cluster not in known.repository.clusters:
        raise problem(
            Place(f"clusters/{cluster}.yaml"),
            "CF166",
            f"release {pointer.release} has cluster {cluster}, and the fleet has not",
            "restore its file",
        )
    committed = app.overlays.get(cluster)
    return text(app.name, cluster, pointer, committed, releases, lambda name: _wanted(known, app.name, name))
