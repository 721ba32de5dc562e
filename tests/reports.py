"""Reports of made-up fleets for the page: every state, thresholds of both directions, a history; the same each time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import sin
from typing import Any

from canaryfleet.board import near
from canaryfleet.models.decision import Move, Proof, Reason
from canaryfleet.models.observation import (
    CrashEvidence,
    Evidence,
    MetricEvidence,
    Problem,
    RunEvidence,
    Verdict,
)
from canaryfleet.models.promotion import Bar, Excuse, HoldEntry
from canaryfleet.models.report import (
    AppReport,
    ClusterReport,
    Happening,
    Next,
    Point,
    Report,
    Series,
    WaveReport,
)
from canaryfleet.models.status import ClusterStatus
from canaryfleet.reasons import REASONS

AT = datetime(2026, 11, 18, 14, 30, tzinfo=UTC)
OLD, NEW = "2.4.0-eb54b33953e0", "2.5.0-917d82557ec6"
API: Any = "canaryfleet.dev/v1alpha1"
REGIONS = ("eu-west", "eu-north", "us-east", "us-west", "ap-south", "ap-east", "sa-east", "af-south")
METRICS = (  # name, promote, rollback, what it is at first, how much it grows where it is bad
    ("istio-error-rate", "< 0.005", "> 0.01", 0.002, 0.013),
    ("vllm-time-to-first-token", "< 0.2", "> 0.5", 0.16, 0.1),
    ("vllm-tokens-per-second", "> 900", "< 600", 1180.0, -150.0),
    ("drift", "< 0.1", "> 0.2", 0.06, 0.02),
)
STORY = ("Progressing", "Failed", "Inconclusive", "Unknown")
SAID = {
    "Failed": ("BeyondThreshold", "istio-error-rate was [0.0148], and > 0.01 is too bad (assistant-2d684328d3-3)"),
    "Inconclusive": ("StableAsBad", "vllm-time-to-first-token is 0.61, and the stable version beside it 0.58"),
    "Unknown": ("Unreachable", "connection refused by 10.0.0.1:6443"),
    "Progressing": ("StepPaused", "step 9 lasts 10m"),
    "Verified": ("Proven", "every analysis proved it"),
}  # fmt: skip


def cluster_name(number: int) -> str:
    """Cluster names as people give them."""
    return f"{REGIONS[number % len(REGIONS)]}-{number // len(REGIONS) + 1:03}"


def series(number: int, *, bad: bool, points: int = 24) -> tuple[Series, ...]:
    """Some metrics over time; where it is bad the first goes beyond its rollback threshold."""
    return tuple(
        _series(metric, number, bad=bad and not at, points=points) for at, metric in enumerate(METRICS)
    )


def _series(metric: tuple[str, str, str, float, float], number: int, *, bad: bool, points: int) -> Series:
    name, promote, rollback, base, growth = metric
    begin = AT - timedelta(minutes=2 * points)
    found, stable = [], []
    for index in range(points):
        at = begin + timedelta(minutes=2 * index)
        wave = base * 0.12 * sin(index * 0.9 + number)
        value = base + wave + (growth * (index / points) ** 3 if bad else 0.0)
        beyond = value > 0.01 if name == "istio-error-rate" else False
        found.append(Point(at=at, value=round(value, 6), word="bad" if beyond else "good"))
        stable.append(Point(at=at, value=round(base - wave * 0.5, 6)))
    return Series(name=name, promote=promote, rollback=rollback, points=tuple(found), stable=tuple(stable))


def cluster(number: int, kind: Any, release: str | None = NEW, *, points: int = 24) -> ClusterReport:
    """A cluster in a state; None: nothing is deployed."""
    name = cluster_name(number)
    if kind is None:
        return ClusterReport(status=ClusterStatus(cluster=name))
    reason, message = SAID[kind]
    measured = (
        series(number, bad=kind == "Failed", points=points) if release == NEW and kind != "Unknown" else ()
    )
    evidence = _evidence(measured)
    verdict = Verdict(
        app="assistant", cluster=name, release=release or NEW, kind=kind, reason=reason, message=message,
        basis="Analysis" if kind == "Verified" else None, since=AT - timedelta(minutes=7 * number + 3),
        evidence=evidence, hash=f"{number:064x}",
    )  # fmt: skip
    seen = kind != "Unknown"
    under_way = kind in ("Progressing", "Failed", "Inconclusive")
    numbers = [found for run in evidence.runs for metric in run.metrics if (found := near(metric))]
    return ClusterReport(
        status=ClusterStatus(
            cluster=name, release=release, fallback=OLD if release == NEW else None, verdict=verdict,
            live=release if seen else None, phase="" if not seen else "Paused" if under_way else "Healthy",
            step=(9 if under_way else 17) if seen else None, steps=17 if seen else 0,
            weight=({"Progressing": 25, "Failed": 0, "Inconclusive": 50}.get(kind, 100)) if seen else None,
            nearest=min(numbers, key=lambda item: item.distance, default=None),
            problem=None if seen else Problem(kind="unreachable", message=message, remedy="check the address, the network, TLS"),
            remedy=REASONS[reason].remedy, source="kubernetes", seen=AT,
        ),
        series=measured,
    )  # fmt: skip


def _evidence(measured: tuple[Series, ...]) -> Evidence:
    metrics = tuple(
        MetricEvidence(
            name=item.name, promote=item.promote, rollback=item.rollback, value=f"[{item.points[-1].value}]",
            at=item.points[-1].at, measurements=len(item.points),
        )
        for item in measured
    )  # fmt: skip
    runs = (
        (RunEvidence(name="assistant-3", uid="u", role="steps", step=9, metrics=metrics),) if metrics else ()
    )
    return Evidence(runs=runs, pods=(CrashEvidence(name="p", uid="p", crashes=0, why=""),))


def _waves(clusters: int, points: int) -> Iterator[WaveReport]:
    """A pilot, a second wave in all states, a third that has not begun, and the rest."""
    second, third = max(4, clusters // 16), max(3, clusters // 8)
    yield WaveReport(name="pilot", minSuccessTime="1h", clusters=(cluster(0, "Verified", points=points),))
    yield WaveReport(
        name="europe", maxConcurrency=4, minSuccessTime="4h",
        clusters=tuple(cluster(1 + at, STORY[at] if at < 4 else "Progressing", points=points) for at in range(second)),
    )  # fmt: skip
    begin = 1 + second
    yield WaveReport(
        name="tenth", minSuccessTime="1d",
        clusters=tuple(cluster(begin + at, "Verified", OLD) for at in range(third)),
    )  # fmt: skip
    begin += third
    yield WaveReport(
        name="rest", maxConcurrency="25%", maxFailures=1, approval="required",
        clusters=tuple(cluster(at, None if at % 9 == 8 else "Verified", OLD) for at in range(begin, clusters)),
    )  # fmt: skip


def history() -> tuple[Happening, ...]:
    """Two advances, a rollback, a release, and what a person did by hand."""
    names = [cluster_name(number) for number in range(5)]
    bot: dict[str, Any] = {"by": "bot", "who": "canaryfleet"}
    proof = Proof(
        cluster=names[0],
        release=NEW,
        kind="Verified",
        basis="Analysis",
        reason="Proven",
        since=AT,
        hash="5" * 64,
    )
    moves = [Move(cluster=name, from_=OLD, to=NEW, fallback=OLD) for name in names]
    bar = Bar(
        release="2.4.1-0123456789ab",
        by="canaryfleet",
        since="2026-11-17T09:00:00Z",
        why="2.4.1 failed on eu-west-001",
    )
    return (
        Happening(commit="4" * 40, at=AT - timedelta(hours=2), kind="Advance", release=NEW, wave="europe", moves=tuple(moves[1:]), proofs=(proof,), record="c" * 64, subject="assistant: 2.5.0 to wave europe", approvedBy=("ann",), **bot),
        Happening(commit="3" * 40, at=AT - timedelta(hours=9), kind="Start", release=NEW, wave="pilot", moves=(moves[0],), record="d" * 64, **bot),
        Happening(commit="2" * 40, at=AT - timedelta(hours=10), by="person", who="Ann", candidate=NEW, subject="Release 2.5.0"),
        Happening(commit="1" * 40, at=AT - timedelta(days=1), kind="Rollback", release="2.4.1-0123456789ab", moves=(Move(cluster=names[0], from_="2.4.1-0123456789ab", to=OLD),), bars=(bar,), record="e" * 64, **bot),
        Happening(commit="0" * 40, at=AT - timedelta(days=2), by="person", who="Bob", subject="Hold the fleet over the weekend"),
    )  # fmt: skip


def assistant(clusters: int = 24, points: int = 24) -> AppReport:
    """An app in the middle of a release that fails on one cluster."""
    failed = cluster_name(2)
    reasons = (
        Reason(code="wave-incomplete", message=f"wave europe is not complete: 0 of {max(4, clusters // 16)} clusters are verified on {NEW}", remedy="wait for them, or excuse one"),
        Reason(code="failed", message=f"{NEW} failed on {failed}, and wave europe allows 0", clusters=(failed,), alarm=True),
    )  # fmt: skip
    return AppReport(
        app="assistant",
        namespace="inference",
        candidate=NEW,
        waves=tuple(_waves(clusters, points)),
        next=Next(kind="Rollback", release=NEW, clusters=tuple(cluster_name(at) for at in range(5)), ready=True, reasons=reasons[::-1]),
        bars=(Bar(release="2.4.1-0123456789ab", by="canaryfleet", since="2026-11-17T09:00:00Z", why="2.4.1 failed on eu-west-001"),),
        holds=(HoldEntry(wave="rest", by="ann", since="2026-11-18T08:00:00Z", until="2026-11-20T08:00:00Z", why="a customer's launch"),),
        excused=(Excuse(cluster=cluster_name(7), by="ann", since="2026-11-18T08:00:00Z", why="its network is being replaced"),),
        history=history(),
    )  # fmt: skip


def fraud() -> AppReport:
    """A second app, which is done, and of whose Git nothing could be read."""
    waves = (WaveReport(name="all", clusters=tuple(cluster(number, "Verified", OLD) for number in range(6))),)
    return AppReport(app="fraud", namespace="risk", candidate=OLD, waves=waves, unknown="the clone is shallow, and the history is evidence (`git fetch --unshallow`)")  # fmt: skip


def report(clusters: int = 24, points: int = 24) -> Report:
    """A fleet with two apps."""
    return Report(
        apiVersion=API, kind="Report", at=AT, fleet="acme", apps=(assistant(clusters, points), fraud())
    )


def large(clusters: int = 1000) -> Report:
    """One app on very many clusters, each of which has been measured."""
    app = assistant(clusters, 40)
    waves = tuple(
        WaveReport(name=wave.name, clusters=tuple(
            item if item.series or item.status.release is None else ClusterReport(status=item.status, series=series(at, bad=False, points=40))
            for at, item in enumerate(wave.clusters)
        ))
        for wave in app.waves
    )  # fmt: skip
    from msgspec.structs import replace

    return Report(apiVersion=API, kind="Report", at=AT, fleet="acme", apps=(replace(app, waves=waves),))
