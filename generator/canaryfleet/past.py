"""Apps in the history of the default branch: what Git has, as commits that `history.facts` understands."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from canaryfleet import git, history, landing, repo
from canaryfleet.errors import WARNING, Finding, Place, Problems
from canaryfleet.files import Tree
from canaryfleet.git import File, Logged
from canaryfleet.history import Change, Commit, Facts, Record
from canaryfleet.landing import Landing
from canaryfleet.overlay import Pointer, pointer

# What is older is not looked at: without it a release that a cluster had before may look like a new one.
COMMITS, FILES = 5_000, 50_000
LONGEST = 10.0  # seconds for each question: a status that waits for its history is no status
LARGEST = 1 << 20
HERE = Place(repo.OVERLAYS)
REFETCH = "clone it without --filter, or `git fetch --refetch --no-filter`; in actions/checkout, no `filter` and no `sparse-checkout`"
_BOTS = re.compile(rf"{repo.OVERLAYS}/([^/]+)/(?:clusters/([^/]+)/kustomization|promotion|done)\.yaml")


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
        lacks = _lacks(tree.root)
        return Past(
            {}, [_unknown(item.message, item.remedy or lacks, item.place) for item in problems.findings]
        )


def _lacks(root: str) -> str:
    """What to do where git failed because the clone lacks objects."""
    try:
        return REFETCH if git.is_partial(root) else ""
    except Problems:
        return ""


def _read(tree: Tree, clone: git.Clone, apps: Collection[str], now: datetime) -> Past:
    branch = repo.fleet(tree).defaultBranch
    ref = git.default_ref(tree.root, branch)
    if ref is None:
        remedy = "fetch or commit it, or correct `defaultBranch` in fleet.yaml"
        return Past({}, [_unknown(f"nothing is committed on the branch {branch}", remedy)])
    found = log(tree.root, ref, apps, below=clone.prefix, most=Most(COMMITS, FILES, LONGEST))
    known = {app: history.facts(found.of(app), now) for app in apps}
    return Past(known, [_shallow()] if clone.shallow else ())


class Most(NamedTuple):
    """How much is looked at: commits and files, and the seconds that a question may take."""

    commits: int
    files: int
    seconds: float


# The history is evidence, so nearly all of it is looked at; a bound there is, since everything has one.
WHOLE = Most(commits=100_000, files=5_000_000, seconds=120.0)


class Log(NamedTuple):
    """The history of some apps, oldest first."""

    commits: Sequence["_Commit"]
    pointers: Mapping[str, Pointer | None]
    """By blob."""

    def of(self, app: str) -> Iterator[Commit]:
        """The commits, as far as they are about one app."""
        return _about(app, self.commits, self.pointers)

    @property
    def latest(self) -> datetime | None:
        """When the bot last committed, for whatever app."""
        return max((item.at for item in self.commits if item.landing and item.at), default=None)


def log(root: str, ref: str, apps: Collection[str], *, below: str, most: Most) -> Log:
    """What the first-parent history of a ref says of apps; `below`: where in the repository `root` is.

    Raises `Problems` CF025.
    """
    # Pointers, and beside them what else the bot writes.
    paths = [
        f"{repo.OVERLAYS}/{app}/{name}" for app in apps for name in ("clusters", "promotion.yaml", repo.DONE)
    ]
    logged = git.log(root, ref, paths, below=below, most=most.commits, timeout=most.seconds)
    newest = list(_newest(logged, most.files))[::-1]
    branches = _branches(root, newest, below, most.seconds)
    pointers = pointers_of(root, [*newest, *branches.values()], most.seconds)
    return Log([_commit(item, branches.get(item.id, item), pointers) for item in newest], pointers)


def pointers_of(root: str, commits: Iterable[Logged], timeout: float = LONGEST) -> dict[str, Pointer | None]:
    """What the overlays of some commits name, by blob, before and after; None: nothing that can be read."""
    files = [file for item in commits for some in overlays(item).values() for file in some.values()]
    blobs = {blob for file in files for blob in (file.blob, file.old) if blob}
    content = git.blobs(root, blobs, LARGEST, offline=True, timeout=timeout)
    return {blob: pointer(data) for blob, data in content.items()}


def changes(
    overlays: Mapping[str, File], pointers: Mapping[str, Pointer | None], *, root: bool = False
) -> dict[str, Change]:
    """What a commit did to the pointers of an app, by cluster; `root`: nothing is known of what was before."""
    return {
        cluster: Change(pointers.get(file.blob or ""), file.new and not root, pointers.get(file.old or ""))
        for cluster, file in overlays.items()
    }


def overlays(item: Logged) -> dict[str, dict[str, File]]:
    """The overlays that a commit changed, by app and cluster."""
    found: dict[str, dict[str, File]] = {}
    for path, file in item.files.items():
        app, cluster = place(path) or ("", None)
        if cluster:
            found.setdefault(app, {})[cluster] = file
    return found


def _newest(logged: Iterator[Logged], most: int) -> Iterator[Logged]:
    files = 0
    for item in logged:
        yield item
        files += len(item.files)
        if files > most:
            return


def _branches(root: str, commits: Sequence[Logged], below: str, timeout: float) -> dict[str, Logged]:
    """By id of a merge that says nothing of the bot's: the bot's one commit that it merged, which does."""
    merges = [
        item
        for item in commits
        if len(item.parents) == 2 and landing.WORD not in item.message and _apps(item)
    ]
    found = git.show(root, [item.parents[1] for item in merges], below=below, timeout=timeout)
    branches = {item.id: found[item.parents[1]] for item in merges if item.parents[1] in found}
    return {id: branch for id, branch in branches.items() if is_bots(branch)}


def is_bots(commit: Logged) -> bool:
    """True if the bot made a commit, as far as its own words go."""
    return {commit.author, commit.committer} == {f"{landing.AUTHOR} <{landing.EMAIL}>"}


class _Commit(NamedTuple):
    """A commit with its overlays, by app and cluster, and the records and the decision that it may have."""

    id: str
    at: datetime | None
    root: bool
    overlays: Mapping[str, Mapping[str, File]]
    records: Sequence[Record]
    landing: Landing | None


@cache
def place(path: str) -> tuple[str, str | None] | None:
    """App and cluster of an overlay; the app alone of what else the bot writes; None of everything else."""
    found = _BOTS.fullmatch(path)
    return (found[1], found[2]) if found else None


def _apps(item: Logged) -> set[str]:
    """The apps of which a commit changes only what the bot writes; none if it changes anything else."""
    places = [place(path) for path in item.files]
    return {at[0] for at in places if at} if all(places) else set()


def landed(item: Logged) -> Landing | None:
    """The decision that a commit carries out, if it changes nothing but what the bot writes for that app."""
    said = landing.read(item.message)
    return said if said and _apps(item) == {said.app} else None


def _commit(item: Logged, branch: Logged, pointers: Mapping[str, Pointer | None]) -> _Commit:
    """What people merge for other reasons carries the text of their pull requests, which is no record.

    `branch`: the commit whose words count; that of a merge only if both did the same.
    """
    if branch is not item and not _same(item, branch, pointers):
        branch = item
    records = history.records(branch.message) if _apps(item) else ()
    return _Commit(item.id, time_of(item.at), item.root, overlays(item), tuple(records), landed(branch))


def _same(one: Logged, other: Logged, pointers: Mapping[str, Pointer | None]) -> bool:
    """True if two commits changed the same files, and pointers to the same end; all else in them may differ."""

    def end(item: Logged) -> dict[str, Pointer | None]:
        return {path: pointers.get(file.blob or "") for path, file in item.files.items()}

    return end(one) == end(other)


def _about(app: str, commits: Sequence[_Commit], pointers: Mapping[str, Pointer | None]) -> Iterator[Commit]:
    """The commits, as far as they are about one app."""
    for item in commits:
        found = changes(item.overlays.get(app, {}), pointers, root=item.root)
        records = [record for record in item.records if record.app == app]
        said = item.landing if item.landing and item.landing.app == app else None
        yield Commit(item.at, found, records, item.id, item.root, said)


def time_of(seconds: int | None) -> datetime | None:
    """A commit's time; None if it is none."""
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
