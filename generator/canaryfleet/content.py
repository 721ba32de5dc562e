"""What a decision changes in the tree: overlays of its moves, bars, and nothing else.

Live settings never travel with a pointer: an overlay keeps those that it carries, and gets from the
inventory only what it had no room for. Going back needs nothing but the tree: what the inventory can't
say then stays as it is.
"""

from collections.abc import Callable
from functools import cache
from posixpath import dirname
from typing import NamedTuple

from msgspec import to_builtins

from canaryfleet import edit, lint, overlay, repo
from canaryfleet.digest import sha256, short
from canaryfleet.emit import emit
from canaryfleet.errors import Place, Problems, problem
from canaryfleet.files import Changes, Tree
from canaryfleet.freeze import freeze
from canaryfleet.live import Live, Settings, kept, resolve, room
from canaryfleet.models.base import API_VERSION, Metadata
from canaryfleet.models.decision import Decision, Move
from canaryfleet.models.release import Done, Release
from canaryfleet.overlay import Pointer
from canaryfleet.repo import Committed
from canaryfleet.stale import present_live

CANT = "CF184"
_DONE_HEAD = "Made by canaryfleet: the message of the commit that wrote this records what proved the release."
Wanted = Callable[[str], Live]
"""What the inventory says of a cluster. Raises `Problems` if it can't be read."""


class Shelf(NamedTuple):
    """Releases of an app, each read when it is asked for, and once."""

    release: Callable[[str], Release]
    bakes: Callable[[str], dict[str, str]]


def shelf(read: Callable[[str], Release]) -> Shelf:
    """The releases that a function reads."""
    release = cache(read)
    return Shelf(release, cache(lambda name: overlay.bakes(release(name))))


def of(tree: Tree, decision: Decision, wanted: Wanted | None = None) -> Changes:
    """The files that a decision writes and deletes in a tree; `wanted`: the inventory, if it is not the tree's.

    Raises `Problems`: CF184 the tree is another than it was decided on, or the decision can't be written;
    and whatever can't be read.
    """
    app = decision.app
    releases = shelf(lambda name: repo.release(tree, app, name))
    lives = wanted or inventory(tree, app)
    writes: dict[str, bytes] = {}
    deletes: set[str] = set()
    for move in decision.moves:
        path = repo.overlay_path(app, move.cluster)
        committed = Committed(path, tree.read(path)) if tree.exists(path) else None
        _same(move, committed, path)
        if move.to is None:
            deletes.update(tree.walk(dirname(path)))
        else:
            back = decision.kind == "Rollback"
            writes[path] = text(
                app, move.cluster, Pointer(move.to, move.fallback), committed, releases, lives, back=back
            )
    if decision.bars:
        path = promotion_path(app)
        data = tree.read(path) if tree.exists(path) else None
        writes[path] = edit.add(data, path, app, decision.bars)
    if decision.kind == "Done":
        path = done_path(app)
        writes[path] = _done(decision, tree.read(path) if tree.exists(path) else b"")
    return Changes(writes, frozenset(deletes))


def promotion_path(app: str) -> str:
    """Where the app's bars and holds stand."""
    return f"{repo.OVERLAYS}/{app}/promotion.yaml"


def done_path(app: str) -> str:
    """What says that a release is done, so that the commit that records its last proofs changes something."""
    return f"{repo.OVERLAYS}/{app}/{repo.DONE}"


def _done(decision: Decision, present: bytes) -> bytes:
    """The release, and a digest of what is recorded of it: a joiner's proof is another commit.

    `present`: what the tree has. It is in the digest too: a person may have squashed the same without the lines that
    count, and the commit that records it has to change something all the same.
    """
    recorded = [[proof.cluster, proof.release, proof.hash] for proof in decision.evidence]
    evidence = short([recorded, sha256(present)])
    said = Done(
        apiVersion=API_VERSION, kind="Done", metadata=Metadata(name=decision.app),
        release=decision.release or "", evidence=evidence,
    )  # fmt: skip
    return emit(to_builtins(said), header=_DONE_HEAD).encode()


def _same(move: Move, committed: Committed | None, path: str) -> None:
    pointer = overlay.pointer(committed.data) if committed else None
    present = pointer.release if pointer else None
    if present != move.from_ or (committed and not pointer):
        said = f"it points at {present or 'nothing'}, and {move.from_ or 'nothing'} was decided on"
        raise problem(Place(path), CANT, said, "decide anew")


def text(
    app: str,
    cluster: str,
    pointer: Pointer,
    committed: Committed | None,
    releases: Shelf,
    wanted: Wanted,
    *,
    back: bool = False,
) -> bytes:
    """The overlay of a cluster with another pointer. `back`: it must work without the inventory.

    Raises `Problems`: CF166 the release does not know the cluster, CF167 its overlay was edited.
    """
    release = releases.release(pointer.release)
    at = overlay.target(release, cluster, releases.bakes(release.id))
    if at is None:
        what = f"release {release.id} has no cluster {cluster}"
        raise problem(Place(repo.overlay_path(app, cluster)), "CF166", what, "it gets the next release")
    config = releases.release(pointer.fallback).config if pointer.fallback else ()
    live = _live(cluster, committed, release, releases, wanted, back=back)
    return overlay.text(app, at, pointer.fallback, config, live).encode()


def _live(
    cluster: str, committed: Committed | None, to: Release, releases: Shelf, wanted: Wanted, *, back: bool
) -> Live:
    """What the overlay carries now; from the inventory only what it had no room for until now."""
    if committed is None:
        return wanted(cluster)
    pointer = overlay.pointer(committed.data)
    present_release = releases.release(pointer.release) if pointer else None
    present = present_live(committed, present_release) if present_release else None
    if present is None and not back:
        raise problem(
            Place(committed.path), "CF167", "its live settings can't be read", "restore it from Git"
        )
    if present is None or present_release is None:
        return wanted(cluster)
    new = room(to.live) - room(present_release.live)
    if not new:
        return present
    try:
        found = wanted(cluster)
    except Problems:
        if not back:
            raise
        found = present._replace(cluster=cluster)
    said = kept(found, present)._asdict()
    return present._replace(**{name: said[name] for name in new})


def inventory(tree: Tree, app: str) -> Wanted:
    """What spec, fleet and clusters of a tree say, read when it is asked for the first time."""

    @cache
    def settings() -> tuple[Settings, repo.Repository]:
        repository, findings = repo.read(tree, [app])
        spec = repository.specs.get(app)
        if spec is None:
            raise Problems(findings)
        outcome = freeze(lint.inputs(repository, spec))
        if outcome.frozen is None:
            raise Problems(lint.located(spec, issue) for issue in outcome.issues)
        return Settings(spec.model, outcome.frozen.bounds, repository.fleet), repository

    def wanted(cluster: str) -> Live:
        known, repository = settings()
        member = repository.clusters.get(cluster)
        if member is None:
            what = f"the fleet has no cluster {cluster}, or its file can't be read"
            raise problem(Place(f"{repo.CLUSTERS}/{cluster}.yaml"), "CF166", what, "restore its file")
        return resolve(known, member)

    return wanted
