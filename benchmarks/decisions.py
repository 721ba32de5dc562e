"""The decision for one app in the middle of its largest wave, on fleets of several sizes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

from benchmarks.measure import call
from canaryfleet.decide import decide
from canaryfleet.models.base import Metadata
from canaryfleet.models.decision import (
    Member,
    Merged,
    Move,
    Pointed,
    Policy,
    Proof,
    ReleaseFacts,
    Site,
    Situation,
)
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.observation import Evidence, RunEvidence, Verdict
from canaryfleet.models.release import ReleaseWave

API: Any = "canaryfleet.dev/v1alpha1"
NOW = datetime(2026, 11, 16, 10, tzinfo=UTC)
BAKE = Evidence(runs=(RunEvidence(name="bake", uid="1", role="bake"),))


def measure(sizes: Sequence[int], rounds: int) -> dict[int, float]:
    """Seconds of one decision by number of clusters; SystemExit if it is not the one that is meant."""
    situations = {size: situation(size) for size in sizes}
    for size, made in situations.items():
        decision = decide(made)
        if (decision.kind, decision.wave) != ("Advance", "rest"):
            raise SystemExit(f"on {size} clusters: {decision.kind} {decision.wave}")
    runs: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size, made in situations.items():
            runs[size].append(call(partial(decide, made)))
    return {size: median(found) for size, found in runs.items()}


def situation(size: int) -> Situation:
    """A pilot and a third of the fleet are complete as recorded; of the rest a quarter may be under way."""
    names = [f"c{number:05}" for number in range(size)]
    third = max(1, size // 3)
    first, second, rest = names[:1], names[1 : 1 + third], names[1 + third :]
    batch = rest[: len(rest) // 4]
    history = (_given(first, "pilot", 9), _given(second, "third", 6, first), _given(batch, "rest", 3, second))
    given = {*first, *second, *batch}
    return Situation(
        app="app",
        now=NOW,
        policy=Policy(),
        fleet=Fleet(apiVersion=API, kind="Fleet", metadata=Metadata(name="fleet")),
        sites={name: Site(resources={"gpu": 8000}) for name in names},
        candidate="2",
        releases={id: _release(id, first, second, rest) for id in ("1", "2")},
        pointers={
            name: Pointed(release="2", fallback="1") if name in given else Pointed(release="1")
            for name in names
        },
        verdicts={name: _verdict(name, "2" if name in given else "1") for name in names},
        carried=dict.fromkeys(given, NOW - timedelta(hours=3)),
        history=history,
    )


def _release(id: str, first: list[str], second: list[str], rest: list[str]) -> ReleaseFacts:
    waves = (
        ReleaseWave(name="pilot", members=tuple(first), minSuccessTime="1h"),
        ReleaseWave(name="third", members=tuple(second), minSuccessTime="1h"),
        ReleaseWave(name="rest", members=tuple(rest), maxConcurrency="25%", maxFailures="1%"),
    )
    member = Member(pod=f"pod-{id}", takes={"gpu": 2000})
    return ReleaseFacts(
        id=id, workload=f"w{id}", waves=waves, clusters=dict.fromkeys([*first, *second, *rest], member)
    )


def _given(names: list[str], wave: str, hours: int, proven: Sequence[str] = ()) -> Merged:
    moves = tuple(Move(cluster=name, from_="1", to="2", fallback="1") for name in names)
    at = NOW - timedelta(hours=hours)
    proofs = tuple(
        Proof(cluster=name, release="2", kind="Verified", basis="Analysis", since=at, hash=name)
        for name in proven
    )
    return Merged(commit=wave, at=at, kind="Advance", release="2", wave=wave, moves=moves, proofs=proofs)


def _verdict(name: str, release: str) -> Verdict:
    return Verdict(
        app="app", cluster=name, release=release, kind="Verified", reason="Proven", message="proven",
        basis="Analysis", since=NOW, evidence=BAKE, hash=name + release,
    )  # fmt: skip
