"""What people decide by hand: hold and resume, bar and unbar, excuse. Each is an entry of promotion.yaml.

One file is edited, the rest of its text stays, and whoever reviews the change reads who, why and until when.
Nothing here asks a cluster or a forge: it works when nothing else does.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec import convert

from canaryfleet import edit, git, pointing, repo, schedule
from canaryfleet.content import promotion_path
from canaryfleet.edit import Entry, Key
from canaryfleet.errors import WARNING, Finding, Place, Problems, UsageError, problem
from canaryfleet.files import Changes, Tree
from canaryfleet.models.base import Instant
from canaryfleet.models.promotion import Bar, Excuse, HoldEntry, nothing_said
from canaryfleet.models.release import Release
from canaryfleet.nearest import nearest
from canaryfleet.quantity import duration

CANT = "CF187"


class Note(NamedTuple):
    """Who overrules, why, from when on, and until when (as promotion.yaml writes instants)."""

    by: str
    why: str
    now: datetime
    until: str | None = None

    @property
    def since(self) -> str:
        return schedule.written(self.now)


def hold(tree: Tree, app: str, note: Note, wave: str | None = None, cluster: str | None = None) -> Changes:
    """Hold the app, or one wave or cluster of it, from now on.

    Raises `Problems`: CF015 there is no such app, CF187 no such wave or cluster, or it is held already; CF184 and
    others if promotion.yaml can't be read or edited.
    """
    desk = _Desk(tree, app)
    desk.check_wave(wave)
    desk.check_cluster(cluster)
    for entry in desk.promotion.holds:
        if (entry.wave, entry.cluster) == (wave, cluster) and schedule.lasts(entry.until, note.now):
            raise desk.refused(
                f"{_where(wave, cluster)} is held since {entry.since} by {entry.by}: {entry.why}"
            )
    made = HoldEntry(wave=wave, cluster=cluster, by=note.by, since=note.since, until=note.until, why=note.why)
    return desk.add("holds", made)


def resume(tree: Tree, app: str, wave: str | None = None, cluster: str | None = None) -> Changes:
    """End the holds of the app, or those of one wave or cluster. Raises `Problems`: CF187 there is none, and as `hold`."""
    desk = _Desk(tree, app)
    gone = [
        number
        for number, entry in enumerate(desk.promotion.holds)
        if (entry.wave, entry.cluster) == (wave, cluster)
    ]
    held = ", ".join(_where(entry.wave, entry.cluster) for entry in desk.promotion.holds)
    return desk.remove("holds", gone, f"nothing holds {_where(wave, cluster)}", f"held: {held or 'nothing'}")


def bar(tree: Tree, app: str, note: Note, release: str, *, alone: bool = False) -> Changes:
    """Bar the workload of a release, so that no release with these pods moves on; `alone`: only this release.

    Raises `Problems`: CF187 there is no such release, or it is barred already, and as `hold`.
    """
    desk = _Desk(tree, app)
    found = desk.release(release)
    wanted = (None, found.id) if alone else (found.workload, None)
    for entry in desk.promotion.bars:
        if (entry.workload, entry.release) == wanted and schedule.lasts(entry.until, note.now):
            raise desk.refused(f"it is barred since {entry.since} by {entry.by}: {entry.why}")
    workload, id = wanted
    return desk.add(
        "bars",
        Bar(workload=workload, release=id, by=note.by, since=note.since, until=note.until, why=note.why),
    )


def unbar(tree: Tree, app: str, release: str) -> Changes:
    """Lift what bars a release: bars of its workload, and its own. Raises `Problems`: CF187 nothing does, and as `hold`."""
    desk = _Desk(tree, app)
    found = desk.release(release)
    gone = [
        number
        for number, entry in enumerate(desk.promotion.bars)
        if entry.workload == found.workload or entry.release == found.id
    ]
    return desk.remove(
        "bars", gone, f"nothing bars {found.id}", "`canaryfleet status` says what stands still"
    )


def excuse(tree: Tree, app: str, note: Note, cluster: str) -> Changes:
    """Let nobody wait for a cluster: it catches up in a last wave.

    Raises `Problems`: CF187 there is no such cluster, or it is excused already, and as `hold`.
    """
    desk = _Desk(tree, app)
    desk.check_cluster(cluster)
    for entry in desk.promotion.excused:
        if entry.cluster == cluster and schedule.lasts(entry.until, note.now):
            raise desk.refused(f"{cluster} is excused since {entry.since} by {entry.by}: {entry.why}")
    made = Excuse(cluster=cluster, by=note.by, since=note.since, until=note.until, why=note.why)
    return desk.add("excused", made)


def last_witness(tree: Tree, app: str, cluster: str, now: datetime) -> list[Finding]:
    """Warnings about the waves in which nobody is left to prove anything when a cluster is excused too."""
    retiring = {name for name, item in repo.read_clusters(tree, []).items() if item.lifecycle == "retiring"}
    out = pointing.excused_now(repo.promotion(tree, app), retiring, now)
    try:
        releases = known_releases(tree, app)
    except Problems:  # an excuse works when little else does
        releases = []
    left: dict[str, None] = {}
    for release in releases:
        for wave in release.waves:
            if cluster in wave.members and set(wave.members) - {cluster} <= out:
                left[wave.name] = None
    what = "without {} nobody of wave {} is left to prove a release: the wave after it asks a person, and begins with one cluster"
    remedy = "excuse it only if that is meant; `canaryfleet excuse --end` takes it back"
    return [
        Finding(Place(promotion_path(app)), "CF188", what.format(cluster, wave), remedy, WARNING)
        for wave in left
    ]


def known_releases(tree: Tree, app: str) -> list[Release]:
    """The candidate, and every release that a cluster has or falls back to."""
    releases = dict(repo.load_app(tree, app).releases)
    if candidate := repo.candidate(tree, app):
        releases[candidate] = repo.release(tree, app, candidate)
    return list(releases.values())


def count_on(tree: Tree, app: str, cluster: str) -> Changes:
    """Wait for a cluster again. Raises `Problems`: CF187 it is not excused, and as `hold`."""
    desk = _Desk(tree, app)
    gone = [number for number, entry in enumerate(desk.promotion.excused) if entry.cluster == cluster]
    known = ", ".join(entry.cluster for entry in desk.promotion.excused)
    return desk.remove("excused", gone, f"{cluster} is not excused", f"excused: {known or 'none'}")


def begin(tree: Tree, command: str, options: Mapping[str, Any], now: datetime) -> Changes:
    """What `hold`, `bar` or `excuse` changes, by the options of the command line. Raises as these, and `UsageError`."""
    if not (options["why"] or "").strip():
        raise UsageError(f"{command} needs --why: everybody who meets it reads that")
    note = Note(who(tree, options["by"]), options["why"], now, _until(options["until"], now))
    match command:
        case "hold":
            return hold(tree, options["app"], note, options["wave"], options["cluster"])
        case "bar":
            return bar(tree, options["app"], note, options["release"], alone=options["alone"])
        case _:
            return excuse(tree, options["app"], note, options["cluster"])


def end(tree: Tree, command: str, options: Mapping[str, Any]) -> Changes:
    """What `resume`, `unbar` or `excuse --end` changes. Raises as these."""
    match command:
        case "resume":
            return resume(tree, options["app"], options["wave"], options["cluster"])
        case "unbar":
            return unbar(tree, options["app"], options["release"])
        case _:
            return count_on(tree, options["app"], options["cluster"])


def who(tree: Tree, by: str | None) -> str:
    """Who is at work: as they say, or as git knows them."""
    found = by or git.user(tree.root)
    if not found:
        raise UsageError("nobody knows who you are: use --by, or set user.name of git")
    return found


def _until(text: str | None, now: datetime) -> str | None:
    """`2h` from now, or an instant as it is. Raises `UsageError`."""
    if text is None:
        return None
    if text[:1].isdigit() and "-" not in text:
        try:
            text = schedule.written(now + timedelta(seconds=float(duration(text))))
        except (ValueError, OverflowError) as error:
            raise UsageError(f"--until: {error}") from None
    try:
        at = schedule.instant(convert(text, Instant))
    except ValueError:  # msgspec's error is one
        when = schedule.written(now + timedelta(days=1))
        what = f"--until: {text!r} is no time: write how long (2h, 3d), or when, with the time zone ({when})"
        raise UsageError(what) from None
    if at <= now:
        raise UsageError(f"--until: {text} is over")
    return text


class _Desk:
    """The app's promotion.yaml, and what an entry of it can be about."""

    def __init__(self, tree: Tree, app: str) -> None:
        names = repo.apps(tree)
        if app not in names:
            raise problem(Place(repo.OVERLAYS), "CF015", f"there is no app {app}", nearest(app, names))
        self._tree, self._app, self._path = tree, app, promotion_path(app)
        self.promotion = repo.promotion(tree, app) or nothing_said(app)

    def add(self, key: Key, entry: Entry) -> Changes:
        return Changes({self._path: edit.add(self._data, self._path, self._app, [entry], key)})

    def remove(self, key: Key, gone: list[int], what: str, remedy: str) -> Changes:
        data = self._data
        if not gone or data is None:
            raise problem(Place(self._path), CANT, what, remedy)
        return Changes({self._path: edit.remove(data, self._path, gone, key)})

    def refused(self, what: str) -> Problems:
        return problem(Place(self._path), CANT, what, "edit the entry that is there")

    def release(self, name: str) -> Release:
        """The frozen release with this id, or the only one with this version."""
        known = repo.release_names(self._tree, self._app)
        found = [id for id in known if name in (id, id.rpartition("-")[0])]
        if len(found) == 1:
            return repo.release(self._tree, self._app, found[0])
        if found:
            remedy = f"write which: {', '.join(found)}"
            raise problem(Place(self._path), CANT, f"{len(found)} releases have the version {name}", remedy)
        raise problem(Place(self._path), CANT, f"there is no release {name}", nearest(name, known))

    def check_cluster(self, name: str | None) -> None:
        self._check("cluster", name, repo.cluster_names(self._tree))

    def check_wave(self, name: str | None) -> None:
        """It has to be a wave of the candidate, or of a release that a cluster has."""
        if name is None:
            return
        releases = known_releases(self._tree, self._app)
        self._check("wave", name, {wave.name for release in releases for wave in release.waves})

    def _check(self, what: str, name: str | None, known: Iterable[str]) -> None:
        known = set(known)
        if name is not None and name not in known:
            raise problem(Place(self._path), CANT, f"there is no {what} {name}", nearest(name, known))

    @property
    def _data(self) -> bytes | None:
        return self._tree.read(self._path) if self._tree.exists(self._path) else None


def _where(wave: str | None, cluster: str | None) -> str:
    if cluster:
        return f"cluster {cluster}"
    return f"wave {wave}" if wave else "the app"
