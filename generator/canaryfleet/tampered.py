"""What was done to the default branch that would deceive whoever reads its history: turned merges, rewritten releases."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from canaryfleet import git, landing, repo
from canaryfleet.past import Log, Most

_FROZEN = re.compile(rf"{repo.OVERLAYS}/([^/]+)/releases/([^/]+)/.+")


class Kept(NamedTuple):
    """What a file of a release was when a cluster was first pointed at it, and the commit that has it."""

    blob: str
    commit: str


Files = Mapping[str, Mapping[str, Kept]]
"""Frozen files as they were, by app and path."""


class Given(NamedTuple):
    """What became of releases that clusters were given: files that are others or missing, and releases that are gone."""

    rewritten: Files
    gone: Files


def given(
    root: str, ref: str, apps: Collection[str], log: Log, spine: Sequence[str], *, below: str, most: Most
) -> Given:
    """Files of releases that are not there as they were when a cluster was first given them.

    Limits, waves, members and digests are read from them, so whoever changes one past the gate would decide.
    Until a cluster has it a release may be rendered again, as inventory and tools change. `log`: the history of
    the same apps; `spine`: `first_parents`. Raises `Problems` CF025.
    """
    order = {id: place for place, id in enumerate(reversed(spine))}
    first = _given(log, order)
    paths = [f"{repo.OVERLAYS}/{app}/releases" for app in apps]
    good: dict[str, Kept] = {}
    last: dict[str, str | None] = {}
    logged = git.log(root, ref, paths, below=below, most=most.commits, timeout=most.seconds)
    for item in sorted(logged, key=lambda item: order[item.id]):
        for path, file in item.files.items():
            found = _FROZEN.fullmatch(path)
            if found is None:
                continue
            last[path] = file.blob
            if file.blob and order[item.id] <= first.get((found[1], found[2]), order[item.id]):
                good[path] = Kept(file.blob, item.id)
    return _sorted(good, last, first)


def _sorted(
    good: Mapping[str, Kept], last: Mapping[str, str | None], first: Collection[tuple[str, str]]
) -> Given:
    """`good`: what each file was, `last`: what it is; of releases that nobody was given nothing is kept."""
    there = {home(path) for path, blob in last.items() if blob}
    changed: dict[str, dict[str, Kept]] = {}
    gone: dict[str, dict[str, Kept]] = {}
    for path, kept in sorted(good.items()):
        key = home(path)
        if last[path] == kept.blob or key not in first:
            continue
        (changed if key in there else gone).setdefault(key[0], {})[path] = kept
    return Given(changed, gone)


def home(path: str) -> tuple[str, str]:
    """The app and the release of a frozen file."""
    _, app, _, release, _ = path.split("/", 4)
    return app, release


def _given(log: Log, order: Mapping[str, int]) -> dict[tuple[str, str], int]:
    """Where in the history a cluster was first pointed at each release, by app and release."""
    found: dict[tuple[str, str], int] = {}
    for commit in log.commits:
        for app, files in commit.overlays.items():
            for file in files.values():
                pointer = log.pointers.get(file.blob or "")
                if pointer and commit.id in order:
                    key = app, pointer.release
                    found[key] = min(order[commit.id], found.get(key, order[commit.id]))
    return found


def turned(root: str, ref: str, spine: Sequence[str], timeout: float) -> str | None:
    """The merge that turned the default branch round: what the bot did before lies beside its first parents.

    A plain `git pull` and push makes one, and a forge that merges by fast-forward what the default branch was merged
    into. What failed, what was proven and who approved would no longer be read. A branch of the bot that a
    person merged, with its one commit, is none. `spine`: `first_parents`. Raises `Problems` CF025.
    """
    on = frozenset(spine)
    said = _lines(root, ["log", "--format=%H", f"--grep=^{landing.WORD}", ref], timeout)
    aside = set(said) - on
    if not aside:
        return None
    parents = dict(_parents(root, ref, timeout))
    merges = (id for id in spine if len(parents[id]) == 2)
    return next((id for id in merges if _turned(parents, on, aside, parents[id][1])), None)


def _turned(
    parents: Mapping[str, list[str]], spine: Collection[str], aside: Collection[str], tip: str
) -> bool:
    """Whether the way from a merged commit along its first parents has the bot's commits, and not that one alone."""
    way: list[str] = []
    at: str | None = tip
    while at is not None and at not in spine:
        way.append(at)
        at = next(iter(parents[at]), None)
    return any(id in aside for id in way[1:]) or (len(way) > 1 and tip in aside)


def first_parents(root: str, ref: str, timeout: float) -> list[str]:
    """The commits that a ref's history is read from, newest first. Raises `Problems` CF025."""
    return _lines(root, ["rev-list", "--first-parent", ref], timeout)


def _parents(root: str, ref: str, timeout: float) -> Iterator[tuple[str, list[str]]]:
    for line in _lines(root, ["rev-list", "--parents", ref], timeout):
        id, *parents = line.split()
        yield id, parents


def _lines(root: str, words: list[str], timeout: float) -> list[str]:
    return git.run(root, words, timeout=timeout, offline=True).decode(errors="replace").splitlines()
