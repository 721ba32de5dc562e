"""The rules by which pointers move, which the bot will share."""

from datetime import UTC, datetime
from typing import Any

import pytest

from canaryfleet.models.base import Metadata
from canaryfleet.models.canary import Wave, Window
from canaryfleet.models.fleet import Fleet, Freeze
from canaryfleet.models.promotion import Bar, Excuse, HoldEntry, Promotion
from canaryfleet.models.release import Release, ReleaseCluster, ReleaseMetadata, ReleaseWave
from canaryfleet.overlay import Pointer
from canaryfleet.pointing import Move, State, at_rest, fallback, move

NOW = datetime(2026, 11, 16, 10, 0, tzinfo=UTC)
EARLY = "2026-11-01T00:00:00Z"
API: Any = "canaryfleet.dev/v1alpha1"
PILOT, REST = ("p",), ("a", "b", "c", "d")


def release(name: str, workload: str, **limits: Any) -> Release:
    return Release(
        apiVersion=API,
        kind="Release",
        metadata=ReleaseMetadata(name="app", namespace="ns"),
        id=name,
        version=name,
        digest=name,
        workload=workload,
        selector={},
        engine="argo-rollouts",
        routing="istio",
        strategy="canary",
        tools={},
        waves=(ReleaseWave(name="pilot", members=PILOT), ReleaseWave(name="rest", members=REST, **limits)),
        clusters={cluster: ReleaseCluster(pod=f"pod-of-{workload}") for cluster in PILOT + REST},
        files={},
    )


OLD, NEW, POLICY = release("1.0.0-old", "w1"), release("2.0.0-new", "w2"), release("2.0.1-policy", "w2")
RELEASES = {item.id: item for item in (OLD, NEW, POLICY)}


def state(target: Release = NEW, pointers: dict[str, Pointer] | None = None, **changes: Any) -> State:
    base = State(
        release=target,
        releases=RELEASES | {target.id: target},
        pointers=pointers or {},
        promotion=None,
        fleet=Fleet(apiVersion=API, kind="Fleet", metadata=Metadata(name="fleet")),
        windows={},
        verified=(),
        now=NOW,
    )
    return base._replace(**changes)


def promotion(**entries: Any) -> Promotion:
    return Promotion(apiVersion=API, kind="Promotion", metadata=Metadata(name="app"), **entries)


def has(*clusters: str, target: Release = NEW) -> dict[str, Pointer]:
    return {name: Pointer(target.id, None) for name in clusters}


def test_the_first_wave_needs_no_proof() -> None:
    assert move(state(), "pilot") == Move({"p": Pointer(NEW.id, None)}, ())


def test_the_second_wave_waits_for_proof_of_the_first() -> None:
    refused = move(state(pointers=has("p")), "rest")
    assert not refused.pointers
    assert "0 of 1 clusters are verified" in refused.reasons[0]
    assert sorted(move(state(pointers=has("p"), verified={"p"}), "rest").pointers) == ["a", "b", "c", "d"]


def test_proof_on_another_release_is_no_proof() -> None:
    assert not move(state(pointers=has("p", target=OLD), verified={"p"}), "rest").pointers


def test_an_excused_cluster_is_not_waited_for() -> None:
    excused = promotion(excused=(Excuse(cluster="p", by="ann", since=EARLY, why="it burns"),))
    assert len(move(state(promotion=excused), "rest").pointers) == 1  # the first that could prove it
    assert not move(state(promotion=excused), "pilot").pointers


@pytest.mark.parametrize(("limit", "first"), [(2, 2), ("25%", 1), ("10%", 1), ("60%", 2), (None, 4)])
def test_max_concurrency_counts_what_is_not_yet_verified(limit: Any, first: int) -> None:
    target = release("3.0.0-x", "w3", maxConcurrency=limit)
    done = has("p", target=target)
    moved = move(state(target, done, verified={"p"}), "rest")
    assert sorted(moved.pointers) == sorted(REST)[:first]
    under_way = {**done, **has(*moved.pointers, target=target)}
    if first < len(REST):
        assert not move(state(target, under_way, verified={"p"}), "rest").pointers
        proven = {"p", *moved.pointers}
        assert (
            sorted(move(state(target, under_way, verified=proven), "rest").pointers)
            == sorted(REST)[first : 2 * first]
        )


def test_a_wave_that_failed_too_often_gets_no_more() -> None:
    refused = move(state(pointers=has("p", "a"), verified={"p"}, failed={"a"}), "rest")
    assert not refused.pointers
    assert "maxFailures allows 0" in " ".join(refused.reasons)


LATE = "2099-01-01T00:00:00Z"
FROZEN = Freeze(name="end", from_="2026-11-10T00:00:00Z", to="2026-11-20T00:00:00Z")
CLOSED = Wave(name="pilot", windows=(Window(days="Sun", from_="00:00", to="24:00"),))
FLEET = state().fleet


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"promotion": promotion(bars=(Bar(workload="w2", by="bot", since=EARLY, why="errors"),))}, "barred"),
        (
            {"promotion": promotion(bars=(Bar(release=NEW.id, by="bot", since=EARLY, why="policy"),))},
            "barred",
        ),
        ({"promotion": promotion(holds=(HoldEntry(by="ann", since=EARLY, why="wait"),))}, "held"),
        (
            {"promotion": promotion(holds=(HoldEntry(wave="pilot", by="ann", since=EARLY, why="wait"),))},
            "held",
        ),
        (
            {"promotion": promotion(holds=(HoldEntry(cluster="p", by="ann", since=EARLY, why="wait"),))},
            "held",
        ),
        ({"fleet": Fleet(apiVersion=API, kind="Fleet", metadata=FLEET.metadata, paused=True)}, "paused"),
        (
            {"fleet": Fleet(apiVersion=API, kind="Fleet", metadata=FLEET.metadata, freezes=(FROZEN,))},
            "freeze",
        ),
        ({"windows": {"pilot": CLOSED}}, "window"),
        ({"windows": {"renamed": CLOSED}}, "no wave pilot any more"),
        # of a clock that is ahead, or of a reader's that is behind
        ({"promotion": promotion(bars=(Bar(workload="w2", by="bot", since=LATE, why="errors"),))}, "barred"),
        ({"promotion": promotion(holds=(HoldEntry(by="ann", since=LATE, why="wait"),))}, "held"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_stops_a_wave(changes: dict[str, Any], reason: str) -> None:
    refused = move(state(**changes), "pilot")
    assert not refused.pointers
    assert reason in " ".join(refused.reasons)


def test_a_lifted_bar_and_a_hold_elsewhere_stop_nothing() -> None:
    lifted = Bar(workload="w2", by="bot", since=EARLY, until="2026-11-15T00:00:00Z", why="errors")
    elsewhere = HoldEntry(wave="rest", by="ann", since=EARLY, why="wait")
    assert move(state(promotion=promotion(bars=(lifted,), holds=(elsewhere,))), "pilot").pointers


@pytest.mark.parametrize(
    ("present", "verified", "target", "expected"),
    [
        (None, False, NEW, None),
        (Pointer(OLD.id, None), True, NEW, OLD.id),
        (Pointer(OLD.id, None), False, NEW, None),
        (Pointer(NEW.id, OLD.id), False, release("4.0.0-x", "w4"), OLD.id),
        (Pointer(NEW.id, OLD.id), True, POLICY, OLD.id),
        (Pointer(NEW.id, OLD.id), True, OLD, NEW.id),
        (Pointer(NEW.id, OLD.id), False, OLD, None),
    ],
)
def test_the_fallback_is_the_last_verified_other_workload(
    present: Pointer | None, verified: bool, target: Release, expected: str | None
) -> None:
    pointers = {"p": present} if present else {}
    assert fallback(state(target, pointers, verified={"p"} if verified else ()), "p") == expected


def test_at_rest_is_only_what_git_proves() -> None:
    pointers = {"p": Pointer(NEW.id, OLD.id), "a": Pointer(OLD.id, "0"), "b": Pointer(OLD.id, None)}
    assert at_rest(pointers, RELEASES, {OLD.id, NEW.id}) == {"b"}
    assert at_rest(pointers, RELEASES, {OLD.id, NEW.id, "0"}) == set()
    assert at_rest({**pointers, "c": Pointer(NEW.id, OLD.id)}, RELEASES, {OLD.id, NEW.id}) == {"b", "p"}
