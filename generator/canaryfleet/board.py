"""The board of a status: which cluster is in which wave, and what is true there, from verdicts alone."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from math import inf
from typing import NamedTuple

from canaryfleet.evidence import CONDITION, number
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.observation import (
    MetricEvidence,
    Observation,
    Problem,
    Sighting,
    Verdict,
    VerdictKind,
)
from canaryfleet.models.release import Release, ReleaseWave
from canaryfleet.models.status import AppStatus, ClusterStatus, NearestMetric, Status, WaveStatus
from canaryfleet.overlay import Pointer
from canaryfleet.reasons import REASONS

NO_WAVE = "-"


class App(NamedTuple):
    """One app as Git has it."""

    name: str
    namespace: str
    candidate: Release | None
    releases: Mapping[str, Release]
    pointers: Mapping[str, Pointer]


class Seat(NamedTuple):
    """The place of one app on one cluster."""

    app: str
    cluster: str


def seats(app: App) -> Iterator[tuple[str, Seat]]:
    """Every cluster of an app with its wave: as the candidate has them, then those that only older releases have."""
    placed: set[str] = set()
    newest = [app.candidate] if app.candidate else []
    for release in (*newest, *app.releases.values()):
        for wave in release.waves:
            for cluster in _members(wave, release, app, placed):
                placed.add(cluster)
                yield wave.name, Seat(app.name, cluster)
    for cluster in sorted(app.pointers.keys() - placed):
        yield NO_WAVE, Seat(app.name, cluster)


def _members(wave: ReleaseWave, release: Release, app: App, placed: set[str]) -> list[str]:
    """The wave's clusters: of the candidate all, of another release those that point at it."""
    mine = app.candidate is release
    return [
        name
        for name in wave.members
        if name not in placed
        and (mine or (name in app.pointers and app.pointers[name].release == release.id))
    ]


def waiting(seat: Seat, pointer: Pointer | None) -> ClusterStatus:
    """A cluster before anything was seen of it."""
    return ClusterStatus(
        cluster=seat.cluster,
        release=pointer.release if pointer else None,
        fallback=pointer.fallback if pointer else None,
    )


def seen(pointer: Pointer, sighting: Sighting, observation: Observation, verdict: Verdict) -> ClusterStatus:
    """A cluster after it was looked at."""
    live = observation.live
    return ClusterStatus(
        cluster=sighting.cluster,
        release=pointer.release,
        fallback=pointer.fallback,
        verdict=verdict,
        live=live.release if live else None,
        phase=live.phase if live else "",
        step=live.step if live else None,
        steps=len(live.steps) if live else 0,
        weight=live.weight if live else None,
        nearest=nearest(verdict),
        problem=_problem(sighting, verdict.app),
        remedy=_remedy(sighting, verdict),
        source=sighting.source,
        seen=sighting.ended,
    )


def _problem(sighting: Sighting, app: str) -> Problem | None:
    return sighting.problem or next((look.problem for look in sighting.apps if look.app == app), None)


def _remedy(sighting: Sighting, verdict: Verdict) -> str:
    """What the source advises, which knows more, or else what the reason does."""
    problem = _problem(sighting, verdict.app)
    return problem.remedy if problem and problem.remedy else REASONS[verdict.reason].remedy


def status(apps: Iterable[App], known: Mapping[Seat, ClusterStatus], at: datetime) -> Status:
    """The whole board. `at`: now, if nothing was seen."""
    times = [item.seen for item in known.values() if item.seen]
    return Status(
        apiVersion=API_VERSION,
        kind="Status",
        at=max(times, default=at),
        apps=tuple(_app(app, known) for app in apps),
    )


def _app(app: App, known: Mapping[Seat, ClusterStatus]) -> AppStatus:
    waves: dict[str, list[ClusterStatus]] = {}
    for wave, seat in seats(app):
        pointer = app.pointers.get(seat.cluster)
        waves.setdefault(wave, []).append(known.get(seat) or waiting(seat, pointer))
    return AppStatus(
        app=app.name,
        namespace=app.namespace,
        candidate=app.candidate.id if app.candidate else None,
        waves=tuple(WaveStatus(name=name, clusters=tuple(found)) for name, found in waves.items()),
    )


def verdicts(found: Status) -> Iterator[Verdict]:
    """Every verdict on the board."""
    for app in found.apps:
        for wave in app.waves:
            yield from (item.verdict for item in wave.clusters if item.verdict)


def stranger(name: str) -> Problem:
    """An overlay of a cluster that the fleet does not have."""
    what = f"there is no clusters/{name}.yaml that can be read"
    return Problem(
        kind="misconfigured", message=what, remedy="restore or correct it; `canaryfleet lint` helps"
    )


# What needs a person

TALKING = ("Failed", "Unknown", "Inconclusive")
"""Verdicts that a person has to do something about."""
ANY = "CLUSTER"  # stands for the cluster's name in words that are the same for many


class Concern(NamedTuple):
    """What is to be told of some clusters, the same of all; `kind`: of their verdicts."""

    clusters: tuple[str, ...]
    kind: VerdictKind
    reason: str
    message: str
    remedy: str


def concerns(items: Iterable[ClusterStatus]) -> list[Concern]:
    """What needs a person, equal words of many clusters once."""
    found: dict[tuple[VerdictKind, str, str, str], list[str]] = {}
    for item in items:
        if item.verdict and item.verdict.kind in TALKING:
            said = item.problem.message if item.problem else item.verdict.message
            message, remedy = (text.replace(item.cluster, ANY) for text in (said, item.remedy))
            found.setdefault((item.verdict.kind, item.verdict.reason, message, remedy), []).append(
                item.cluster
            )
    return [_concern(names, *words) for words, names in found.items()]


def _concern(names: list[str], kind: VerdictKind, reason: str, message: str, remedy: str) -> Concern:
    if len(names) == 1:
        message, remedy = message.replace(ANY, names[0]), remedy.replace(ANY, names[0])
    return Concern(tuple(names), kind, reason, message, remedy)


# The metric that matters most

LEAST = -1e300  # of a distance: JSON has no number for one without end


def nearest(verdict: Verdict) -> NearestMetric | None:
    """The metric nearest to its rollback threshold, of all runs that the verdict rests on; None without a number."""
    measured = (metric for run in verdict.evidence.runs for metric in run.metrics)
    return min(filter(None, map(near, measured)), key=lambda item: item.distance, default=None)


def near(metric: MetricEvidence) -> NearestMetric | None:
    """How near one metric is to its threshold; None without a number."""
    value = number(metric.value)
    if value is None:
        return None
    distance = _distance(metric, value)
    if distance == inf:
        return None
    return NearestMetric(
        name=metric.name,
        unit=metric.unit,
        value=value,
        promote=metric.promote,
        rollback=metric.rollback,
        distance=round(distance, 4),
    )


def _distance(metric: MetricEvidence, value: float) -> float:
    """How far a value is from being too bad, as a share of the threshold; negative beyond it."""
    for condition, bad in ((metric.rollback, True), (metric.promote, False)):
        match = CONDITION.fullmatch(condition or "")
        if match:
            limit = float(match[2])
            above = value - limit if (match[1] == "<") == bad else limit - value
            return max(above / (abs(limit) or 1.0), LEAST)
    return inf


def ago(at: datetime, since: datetime | None) -> str:
    """Whole seconds, minutes, hours or days: 45s, 12m, 3h, 2d."""
    if since is None:
        return ""
    seconds = max(0, int((at - since).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
