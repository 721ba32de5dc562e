"""`render`: what to write so that the tree says what the specs say. It never moves a pointer."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from posixpath import join
from typing import NamedTuple

from canaryfleet import applications, git, lint, overlay, repo
from canaryfleet.emit import emit
from canaryfleet.errors import ERROR, Finding, Place, Problems, problem
from canaryfleet.files import Changes, Tree
from canaryfleet.freeze import Frozen
from canaryfleet.live import Live, Settings
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.release import Candidate, Release
from canaryfleet.pointing import at_rest
from canaryfleet.repo import OVERLAYS, App, Repository
from canaryfleet.stale import Stale
from canaryfleet.stale import stale as overlays_behind

# Of a file that canaryfleet wrote: only what a warning compares with, so not worth reading YAML for a thousand apps.
IMAGE = re.compile(r"""^ *(?:- )?image: ["']?([^\s"']+)""", re.MULTILINE)


class Known(NamedTuple):
    """A repository read and judged: the start of every command that writes or checks."""

    tree: Tree
    repository: Repository
    frozen: dict[str, Frozen]
    findings: list[Finding]
    merged: Mapping[str, str] | None
    """Blob id by path on the default branch; None without Git: then every release counts as frozen."""
    running: Mapping[str, Release]
    """A release of each app that some cluster points at."""
    checked: lint.Checked
    """What judging the specs brought to light, besides `frozen` and `findings`."""


class Waiting(NamedTuple):
    """Live settings of a cluster that wait until its Rollout is at rest."""

    app: str
    cluster: str
    present: Live
    wanted: Live


class Rendering(NamedTuple):
    """What to write, and what to tell."""

    changes: Changes
    made: dict[str, bool]
    """Release id of each app; True if its files are new."""
    refreshed: dict[str, list[str]]
    waiting: list[Waiting]
    findings: list[Finding]


def know(tree: Tree, apps: Iterable[str] = (), clone: str | None = None) -> Known:
    """Read and judge the repository; findings are returned, not raised.

    `clone`: the folder whose Git has the default branch, if it is not the tree's own.
    """
    clone = clone or tree.root
    reading = repo.read(tree, apps)
    branch = reading.repository.fleet.defaultBranch
    merged = git.branch_files(clone, branch, *_immutable(tree, reading.repository))
    previous: dict[str, Release] = {}
    for app in reading.repository.specs:
        try:
            release = _running(tree, app)
        except Problems as problems:
            reading.findings.extend(problems.findings)
            continue
        if release is not None:
            previous[app] = release
    ran = {app: _images(tree, app, release) for app, release in previous.items()}
    checked = lint.check(reading.repository, previous, ran)
    findings = [*reading.findings, *checked.findings]
    return Known(tree, reading.repository, checked.frozen, findings, merged, previous, checked)


def frozen_at(known: Known, commit: str) -> Known:
    """The same, where what a commit has is frozen, instead of what the default branch has now. Raises Problems CF025."""
    folders = _immutable(known.tree, known.repository)
    return known._replace(merged=git.tree_files(known.tree.root, commit, *folders))


def _immutable(tree: Tree, repository: Repository) -> list[str]:
    """The folders of which it matters what the default branch has."""
    apps = sorted({*repository.specs, *tree.list(OVERLAYS)})
    return [join(OVERLAYS, app, part) for app in apps for part in ("config", "releases")]


def _running(tree: Tree, app: str) -> Release | None:
    """Any release that some cluster points at; they all have the same namespace and selector."""
    for committed in repo.each_overlay(tree, app):
        found = overlay.pointer(committed.data)
        if found is not None and tree.exists(join(OVERLAYS, app, "releases", found.release, "release.yaml")):
            return repo.release(tree, app, found.release)
    return None


def _images(tree: Tree, app: str, release: Release) -> frozenset[str]:
    """The images of a release, as its Rollout names them; none of one whose file can't be read."""
    path = join(OVERLAYS, app, "releases", release.id, "rollout.yaml")
    try:
        return frozenset(IMAGE.findall(tree.read(path).decode(errors="replace")))
    except Problems:  # said where the tree is proven
        return frozenset()


def render(known: Known, settled: Collection[str] = ()) -> Rendering:
    """All that is to be written. `settled`: clusters that somebody knows to be at rest ("all" for every one).

    Raises Problems with every error of every file; then nothing is written.
    """
    if any(finding.severity == ERROR for finding in known.findings):
        raise Problems(known.findings)
    writes: dict[str, bytes] = {}
    deletes: set[str] = set()
    made: dict[str, bool] = {}
    refreshed: dict[str, list[str]] = {}
    waiting: list[Waiting] = []
    for name, frozen in known.frozen.items():
        app = repo.load_app(known.tree, name)
        release = frozen.release.id
        new = dict(_release_writes(known, name, frozen))
        made[release] = any(not known.tree.exists(path) for path in new)
        writes |= new
        writes[repo.candidate_path(name)] = candidate(frozen.release)
        deletes |= _superseded(known, app, release)
        for cluster, text in _live_writes(known, app, frozen, settled, waiting):
            writes[repo.overlay_path(name, cluster)] = text.encode()
            refreshed.setdefault(name, []).append(cluster)
    told = applications.changes(known.tree, known.repository, known.frozen, deletes)
    writes |= told.writes
    deletes |= told.deletes
    return Rendering(Changes(writes, frozenset(deletes)), made, refreshed, waiting, known.findings)


def candidate(release: Release) -> bytes:
    """The file that names the release which the spec resolves to."""
    from msgspec import to_builtins

    model = Candidate(
        apiVersion=API_VERSION,
        kind="Candidate",
        metadata=release.metadata,
        release=release.id,
        workload=release.workload,
    )
    return emit(
        to_builtins(model), header="Made by canaryfleet: the release that the spec resolves to."
    ).encode()


def is_frozen(known: Known, path: str) -> bool:
    """True if a generated file is on the default branch, where nothing rewrites it."""
    return known.tree.exists(path) if known.merged is None else path in known.merged


def _release_writes(known: Known, app: str, frozen: Frozen) -> Iterator[tuple[str, bytes]]:
    """The release's files, unless they are frozen: an upgraded tool would make other bytes."""
    home = join(OVERLAYS, app)
    release_yaml = join(home, "releases", frozen.release.id, "release.yaml")
    if is_frozen(known, release_yaml) and not known.tree.exists(release_yaml):
        raise problem(
            Place(release_yaml),
            "CF164",
            "the release is on the default branch and missing here",
            "restore it from Git",
        )
    kept = is_frozen(known, release_yaml)
    for below, data in frozen.files.items():
        path = join(home, below)
        if below.startswith("config/") and is_frozen(known, path):
            continue
        if not (kept and below.startswith("releases/")):
            yield path, data


def _superseded(known: Known, app: App, release: str) -> set[str]:
    """Files of releases that never reached the default branch, and that nothing names any more."""
    if known.merged is None:
        return set()
    home = join(OVERLAYS, app.name, "releases")
    gone = {
        path
        for id in repo.never_had(known.tree, app, release, known.merged)
        for path in known.tree.walk(join(home, id))
    }
    kept_config = {name for item in app.releases.values() for name in item.config} | set(
        known.frozen[app.name].release.config
    )
    for name in known.tree.list(join(OVERLAYS, app.name, "config")):
        path = join(OVERLAYS, app.name, "config", name)
        if name not in kept_config and join(path, "kustomization.yaml") not in known.merged:
            gone |= set(known.tree.walk(path))
    return gone


def everywhere(known: Known) -> set[str]:
    """Apps of which every cluster points at the release that the spec resolves to: it starts no more."""
    found = set()
    for app, frozen in known.frozen.items():
        pointers = (overlay.pointer(item.data) for item in repo.overlays(known.tree, app).values())
        having = [pointer.release == frozen.release.id for pointer in pointers if pointer is not None]
        if all(having) and len(having) >= len(frozen.release.clusters):
            found.add(app)
    return found


# Live settings


def resting(known: Known, app: App) -> set[str]:
    """Clusters of an app that are surely at rest; a candidate that nobody has yet changes nothing.

    Nor does what `render` deletes: else its own check would say after it that others are at rest.
    """
    candidate = known.frozen[app.name].release.id
    waiting = {candidate} - set(app.releases)
    gone = repo.never_had(known.tree, app, candidate, known.merged)
    had = set(repo.release_names(known.tree, app.name)) - waiting - gone
    return at_rest(app.pointers, app.releases, had)


def _live_writes(
    known: Known, app: App, frozen: Frozen, settled: Collection[str], waiting: list[Waiting]
) -> Iterator[tuple[str, str]]:
    """Overlays whose live settings follow the inventory; those that may be under way wait."""
    calm = resting(known, app)
    for cluster, wanted in stale(known, app, frozen):
        if cluster in calm or cluster in settled or "all" in settled:
            yield cluster, wanted.text
        else:
            waiting.append(Waiting(app.name, cluster, wanted.present, wanted.live))


def stale(known: Known, app: App, frozen: Frozen) -> Iterator[tuple[str, Stale]]:
    """Overlays of an app that differ from what the inventory says in their live settings alone. Raises Problems."""
    settings = Settings(known.repository.specs[app.name].model, frozen.bounds, known.repository.fleet)
    return overlays_behind(app, settings, known.repository.clusters)
