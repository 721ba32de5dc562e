"""`point`: the overlays that a wave's move writes. Live settings never travel with a pointer."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from canaryfleet import overlay, pointing, repo
from canaryfleet.errors import Place, problem
from canaryfleet.live import Live, Settings, fit, resolve
from canaryfleet.models.release import Release
from canaryfleet.nearest import nearest
from canaryfleet.overlay import Pointer
from canaryfleet.render import Known, present_live
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
    releases = {**app.releases, release.id: release}
    spec = known.repository.specs[name].model
    state = pointing.State(
        release=release,
        releases=releases,
        pointers=app.pointers,
        promotion=repo.promotion(known.tree, name),
        fleet=known.repository.fleet,
        windows={item.name: item for item in spec.waves_of(release.urgency)},
        verified=set(app.pointers) if "all" in verified else verified,
        now=now,
    )
    moved = pointing.move(state, wave)
    writes = {
        repo.overlay_path(name, cluster): _text(known, app, releases, cluster, pointer)
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


def _text(known: Known, app: App, releases: dict[str, Release], cluster: str, pointer: Pointer) -> bytes:
    release = releases[pointer.release]
    at = overlay.target(release, cluster, overlay.bakes(release))
    member = known.repository.clusters.get(cluster)
    if at is None or member is None:
        raise problem(
            Place(f"clusters/{cluster}.yaml"),
            "CF166",
            f"release {release.id} has cluster {cluster}, and the fleet has not",
            "restore its file",
        )
    config = releases[pointer.fallback].config if pointer.fallback else ()
    settings = Settings(
        known.repository.specs[app.name].model, known.frozen[app.name].bounds, known.repository.fleet
    )
    live = _kept(app, cluster, fit(resolve(settings, member), at.shape))
    return overlay.text(app.name, at, pointer.fallback, config, live).encode()


def _kept(app: App, cluster: str, wanted: Live) -> Live:
    """What the overlay carries now; from the inventory only what it had no room for until now."""
    committed = app.overlays.get(cluster)
    if committed is None:
        return wanted
    release = app.releases[app.pointers[cluster].release]
    present = present_live(committed, release)
    if present is None:
        raise problem(
            Place(committed.path), "CF167", "its live settings can't be read", "restore it from Git"
        )
    room = fit(wanted, release.live)._asdict()
    nothing = (None, (), "")
    kept = {
        name: old
        for name, old in present._asdict().items()
        if old not in nothing or room[name] not in nothing
    }
    return wanted._replace(**kept)
