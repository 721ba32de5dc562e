"""Apps in the history of the default branch: what Git has, as commits that `history.facts` understands."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from canaryfleet import git, history, repo
from canaryfleet.errors import WARNING, Finding, Place, Problems
from canaryfleet.files import Tree
from canaryfleet.git import File, Logged
from canaryfleet.history import Change, Commit, Facts, Record
from canaryfleet.overlay import Pointer, pointer

# What is older is not looked at: without it a release that a cluster had before may look like a new one.
COMMITS, FILES = 5_000, 50_000
LONGEST = 10.0  # seconds for each question: a status that waits for its history is no status
LARGEST = 1 << 20
HERE = Place(repo.OVERLAYS)
_BOTS = re.compile(rf"{repo.OVERLAYS}/([^/]+)/(?:clusters/([^/]+)/kustomization|promotion)\.yaml")


class Past(NamedTuple):
    """Facts by app and cluster, and why some are not known."""

    facts: Mapping[str, Mapping[str, Facts]]
    findings: Sequence[Finding]


def read(tree: Tree, apps: Collection[str], now: datetime) -> Past:
    """What the default branch's history says of some apps. A folder that is no repository has none.

    Nothing is fetched. Without a history there is still a status, so what is wrong is a warning.
    """
    try:
        clone = git.clone(tree.root)
        return _read(tree, clone, apps, now) if clone and apps else Past({}, ())
    except Problems as problems:
        return Past({}, [_unknown(item.message, item.remedy, item.place) for item in problems.findings])


def _read(tree: Tree, clone: git.Clone, apps: Collection[str], now: datetime) -> Past:
    branch = repo.fleet(tree).defaultBranch
    ref = git.default_ref(tree.root, branch)
    if ref is None:
        remedy = "fetch or commit it, or correct `defaultBranch` in fleet.yaml"
        return Past({}, [_unknown(f"nothing is committed on the branch {branch}", remedy)])
    # Pointers, and beside them what else the bot writes.
    paths = [f"{repo.OVERLAYS}/{app}/{name}" for app in apps for name in ("clusters", "promotion.yaml")]
    logged = git.log(tree.root, ref, paths, below=clone.prefix, most=COMMITS, timeout=LONGEST)
    read = [_commit(item) for item in _newest(logged)][::-1]
    blobs = {file.blob for item in read for file in item.overlays.values() if file.blob}
    content = git.blobs(tree.root, blobs, LARGEST, offline=True, timeout=LONGEST)
    pointers = {blob: pointer(data) for blob, data in content.items()}
    found = {app: history.facts(_about(app, read, pointers), now) for app in apps}
    return Past(found, [_shallow()] if clone.shallow else ())


def _newest(logged: Iterator[Logged]) -> Iterator[Logged]:
    files = 0
    for item in logged:
        yield item
        files += len(item.files)
        if files > FILES:
            return


class _Commit(NamedTuple):
    """A commit with its overlays, by app and cluster, and the records that it may have."""

    at: datetime | None
    root: bool
    overlays: Mapping[tuple[str, str], File]
    records: Sequence[Record]


@cache
def _place(path: str) -> tuple[str, str | None] | None:
    """App and cluster of an overlay; the app alone of what else the bot writes; None of everything else."""
    found = _BOTS.fullmatch(path)
    return (found[1], found[2]) if found else None


def _commit(item: Logged) -> _Commit:
    """What people merge for other reasons carries the text of their pull requests, which is no record."""
    places = {path: _place(path) for path in item.files}
    overlays = {(at[0], at[1]): item.files[path] for path, at in places.items() if at and at[1]}
    records = history.records(item.message) if all(places.values()) else ()
    return _Commit(_time(item.at), item.root, overlays, tuple(records))


def _about(app: str, commits: Sequence[_Commit], pointers: Mapping[str, Pointer | None]) -> Iterator[Commit]:
    """The commits, as far as they are about one app."""
    for item in commits:
        changes = {
            cluster: Change(pointers.get(file.blob or ""), file.new and not item.root)
            for (whose, cluster), file in item.overlays.items()
            if whose == app
        }
        yield Commit(item.at, changes, [record for record in item.records if record.app == app])


def _time(seconds: int | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
    except (OverflowError, ValueError, OSError):
        return None


def _shallow() -> Finding:
    what = "the clone is shallow, and what was before its oldest commit is unknown"
    return _unknown(what, "`git fetch --unshallow`; in actions/checkout, `fetch-depth: 0`")


def _unknown(message: str, remedy: str, place: Place = HERE) -> Finding:
    what = f"when pointers moved, and what was proven before, can't be read: {message}"
    return Finding(place, "CF023", what, remedy, WARNING)
