"""`report html`: everything that the page of a fleet shows, from the clusters, the tree and Git's history.

The board is that of `status`. What is next and how it came to that is read at the commit of the default branch,
as the bot reads it, but without the forge: a page may be made by anybody, without a token. What can't be read of
that is said on the page, and hides nothing else.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import json

from canaryfleet import commits, files, git, page, past, repo, situation, status
from canaryfleet.board import Seat
from canaryfleet.decide import decide
from canaryfleet.errors import Problems, one_line
from canaryfleet.files import Tree
from canaryfleet.git import Logged
from canaryfleet.ground import Ground, survey
from canaryfleet.models.base import API_VERSION, to_json
from canaryfleet.models.decision import Decision, Merged
from canaryfleet.models.observation import Sighting
from canaryfleet.models.promotion import Promotion
from canaryfleet.models.release import Release, ReleaseWave
from canaryfleet.models.report import (
    AppReport,
    ClusterReport,
    Happening,
    Next,
    Report,
    Series,
    WaveReport,
)
from canaryfleet.models.status import AppStatus, Status, WaveStatus
from canaryfleet.series import series
from canaryfleet.sources import Source
from canaryfleet.status import Plan

MOST = 200  # commits of an app that are shown
LARGEST = 1 << 16


class Told(NamedTuple):
    """What Git says of an app beside its pointers; `unknown`: why it says nothing."""

    next: Next | None = None
    history: tuple[Happening, ...] = ()
    promotion: Promotion | None = None
    unknown: str = ""


def read(found: Plan, tree: Tree, source: Source, timeout: float) -> Report:
    """Look at every cluster once, and say what is true of the fleet. `timeout`: seconds for each cluster.

    Raises `Problems` of fleet.yaml.
    """
    sightings: list[Sighting] = []
    shown = status.read(found, source, timeout, sightings.append)
    measured = {
        item.seat: series(item.observation, item.expected)
        for sighting in sightings
        for item in status.seen(found, sighting)
        if item.expected is not None
    }
    told = _told(tree, shown.at, sightings, [app.app for app in shown.apps])
    return report(repo.fleet(tree).metadata.name, shown, found, measured, told)


def report(
    fleet: str,
    shown: Status,
    found: Plan,
    measured: Mapping[Seat, tuple[Series, ...]],
    told: Mapping[str, Told],
) -> Report:
    """All of it together."""
    apps = (
        _app(app, found.apps[app.app].candidate, measured, told.get(app.app, Told())) for app in shown.apps
    )
    return Report(apiVersion=API_VERSION, kind="Report", at=shown.at, fleet=fleet, apps=tuple(apps))


def _app(
    app: AppStatus, candidate: Release | None, measured: Mapping[Seat, tuple[Series, ...]], told: Told
) -> AppReport:
    limits = {wave.name: wave for wave in candidate.waves} if candidate else {}
    said = told.promotion
    return AppReport(
        app=app.app,
        namespace=app.namespace,
        candidate=app.candidate,
        waves=tuple(_wave(app.app, wave, limits.get(wave.name), measured) for wave in app.waves),
        next=told.next,
        unknown=told.unknown,
        bars=said.bars if said else (),
        holds=said.holds if said else (),
        excused=said.excused if said else (),
        history=told.history,
    )


def _wave(
    app: str, wave: WaveStatus, limits: ReleaseWave | None, measured: Mapping[Seat, tuple[Series, ...]]
) -> WaveReport:
    clusters = tuple(
        ClusterReport(status=item, series=measured.get(Seat(app, item.cluster), ())) for item in wave.clusters
    )
    if limits is None:
        return WaveReport(name=wave.name, clusters=clusters)
    return WaveReport(
        name=wave.name,
        maxConcurrency=limits.maxConcurrency,
        maxFailures=limits.maxFailures,
        minSuccessTime=limits.minSuccessTime,
        approval=limits.approval,
        clusters=clusters,
    )


def written(found: Report, *, as_json: bool) -> bytes:
    """The page of a report, or the report itself as JSON."""
    if as_json:
        return json.format(to_json(found), indent=2) + b"\n"
    return page.render(found).encode()


def write(path: str, data: bytes) -> None:
    """Write a file: all of it or nothing. Raises `Problems` (CF011, CF013, CF014)."""
    folder, name = os.path.split(os.path.abspath(path))
    files.apply(folder, files.Changes({name: data}))


# What Git says


def _told(
    tree: Tree, now: datetime, sightings: Sequence[Sighting], apps: Iterable[str]
) -> Mapping[str, Told]:
    try:
        return _surveyed(tree, now, sightings, apps)
    except Problems as problems:
        first = problems.findings[0]
        why = one_line(f"{first.message} ({first.remedy})" if first.remedy else first.message)
    except OSError as error:  # a repository that may only be read
        why = one_line(f"the default branch can't be looked at beside the working tree: {error.strerror}")
    return {app: Told(unknown=why, promotion=_promotion(tree, app)) for app in apps}


def _promotion(tree: Tree, app: str) -> Promotion | None:
    try:
        return repo.promotion(tree, app)
    except Problems:
        return None


def _surveyed(
    tree: Tree, now: datetime, sightings: Sequence[Sighting], apps: Iterable[str]
) -> Mapping[str, Told]:
    ref = git.default_ref(tree.root, repo.fleet(tree).defaultBranch)
    if ref is None:
        return {app: Told(unknown="nothing is committed on the default branch") for app in apps}
    commit = git.run(tree.root, ["rev-parse", "--verify", f"{ref}^{{commit}}"]).decode().strip()
    with commits.worktree(tree.root, commit) as folder:
        ground = survey(Tree(folder), commit, now)
        evidence = situation.see(ground, sightings)
        known = situation.read(ground, evidence, (), "", now)
        return {
            app: Told(
                next=_next(decide(known[app])),
                history=happened(tree.root, ground, app),
                promotion=ground.halves[app].promotion,
            )
            for app in apps
            if app in known
        }


def _next(decision: Decision) -> Next:
    return Next(
        kind=decision.kind,
        release=decision.release,
        wave=decision.wave,
        clusters=tuple(move.cluster for move in decision.moves),
        ready=decision.ready,
        reasons=decision.reasons,
    )


def happened(root: str, ground: Ground, app: str) -> tuple[Happening, ...]:
    """The newest commits that say something about an app, newest first, in Git's own order."""
    merged: dict[str, list[Merged]] = {}
    for each in ground.halves[app].history:
        merged.setdefault(each.commit, []).append(each)
    folder = f"{repo.OVERLAYS}/{app}"
    paths = [
        f"{folder}/clusters",
        f"{folder}/{repo.DONE}",
        repo.promotion_path(app),
        repo.candidate_path(app),
    ]
    logged = list(git.log(root, ground.commit, paths, below=ground.below, most=MOST))
    told = [item for item in logged if item.id in merged or not item.files.keys().isdisjoint(paths)]
    parents = [item.parents[1] for item in told if len(item.parents) == 2]
    branches = git.show(root, parents, below=ground.below)
    candidates = _candidates(root, told, app)
    return tuple(
        _happening(item, branches, each, candidates.get(item.id))
        for item in told
        for each in reversed(merged.get(item.id, [None]))  # also of one commit the newest, the bot's, first
    )


def _candidates(root: str, logged: Iterable[Logged], app: str) -> dict[str, str]:
    """Which release became the candidate, by commit."""
    path = repo.candidate_path(app)
    blobs = {item.id: blob for item in logged if path in item.files and (blob := item.files[path].blob)}
    content = git.blobs(root, set(blobs.values()), LARGEST, offline=True)
    found: dict[str, str] = {}
    for id, blob in blobs.items():
        with contextlib.suppress(Problems):
            found[id] = repo.candidate_of(content.get(blob, b""), path)
    return found


def _happening(
    item: Logged, branches: Mapping[str, Logged], merged: Merged | None, candidate: str | None
) -> Happening:
    head = branches.get(item.parents[1], item) if len(item.parents) == 2 else item
    said = past.landed(item) or past.landed(head)
    return Happening(
        commit=item.id,
        at=merged.at if merged else past.time_of(item.at),
        by=merged.by if merged else "person",
        who=one_line(item.author.rpartition(" <")[0]),
        subject=one_line(_subject(head if merged and merged.by == "bot" else item)),
        kind=merged.kind if merged else None,
        release=merged.release if merged else None,
        wave=merged.wave if merged else None,
        candidate=candidate,
        moves=merged.moves if merged else (),
        proofs=merged.proofs if merged else (),
        bars=(*merged.bars, *merged.owes) if merged else (),
        approvedBy=merged.approvedBy if merged else (),
        record=said.record if said and merged and merged.by == "bot" else None,
    )


def _subject(item: Logged) -> str:
    return item.message.strip().partition("\n")[0]
