"""The required status on everybody's pull requests: what a tree may not break, and what always may be merged."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from test_decide import (
    FREEZE,
    HOUR,
    NEW,
    NOW,
    OLD,
    PILOT,
    POLICY,
    REST,
    SINCE,
    SUNDAYS,
    merged,
    proof,
    release,
    situation,
    waves,
)

from canaryfleet import limits
from canaryfleet.decide import decide
from canaryfleet.models.canary import Wave
from canaryfleet.models.decision import Load, Member, Move, Pointed, Policy, Site, Situation
from canaryfleet.models.promotion import Bar, HoldEntry
from world import fleet, promotion


def after(
    now: Situation, *clusters: str, to: str = NEW.id, fallback: str | None = OLD.id
) -> dict[str, Pointed]:
    """The pointers of a pull request that gives a release to clusters."""
    return dict(now.pointers) | {name: Pointed(release=to, fallback=fallback) for name in clusters}


def broken(now: Situation, *clusters: str, **pointer: Any) -> set[str]:
    return {reason.code for reason in limits.broken(now, after(now, *clusters, **pointer))}


def test_what_the_bot_would_do_breaks_nothing() -> None:
    for now in (situation(), situation(given="p+"), situation(given="p-")):
        moves = decide(now).moves
        pointers = dict(now.pointers) | {
            m.cluster: Pointed(release=m.to or "", fallback=m.fallback) for m in moves
        }
        assert moves
        assert limits.broken(now, pointers) == []


def test_a_pull_request_that_moves_nothing_breaks_nothing() -> None:
    now = situation(given="p", fleet=fleet(paused=True))
    assert limits.broken(now, now.pointers) == []


def test_a_fallback_that_nothing_proves_is_refused_beside_any_pointer_and_alone() -> None:
    now = situation(given="p")
    assert broken(now, "a", to=OLD.id, fallback=NEW.id) == {"other-fallback"}, "a way back that leads forward"
    assert "other-fallback" in broken(situation(given="p+"), "a", to=NEW.id, fallback=NEW.id)
    assert "other-fallback" in broken(now, "p", to=NEW.id, fallback=None), "as if nothing had run there"


def test_no_clock_that_is_behind_lets_anything_forward() -> None:
    now = situation(given="p+")
    assert broken(replace(now, latest=NOW + HOUR), "a") == {"clock-behind"}
    (soon,), (far,) = (
        list(limits.behind(replace(now, latest=NOW + ahead))) for ahead in (HOUR, 9000 * 24 * HOUR)
    )
    assert "it goes on when that time has come" in soon.remedy
    assert far.alarm
    assert "for 9000 days" in far.remedy
    assert "git log --first-parent" in far.remedy


def test_a_later_wave_is_refused_before_the_one_before_is_complete() -> None:
    assert broken(situation(), "a") == {"wave-incomplete"}
    assert broken(situation(), "p", "a") == {"wave-incomplete"}
    assert broken(situation(given="p"), "a") == {"wave-incomplete"}
    assert broken(situation(given="p+"), "a") == set()


def test_more_than_max_concurrency_is_refused_on_the_tree_that_results() -> None:
    target = release("2-new", "w2", waves(maxConcurrency=2))
    assert broken(situation(target, "p+ a"), "b") == set()
    assert broken(situation(target, "p+ a"), "b", "c") == {"max-concurrency"}
    assert broken(situation(target, "p+ a+"), "b", "c") == set()


def test_a_wave_that_failed_too_often_gets_no_more() -> None:
    assert "max-failures" in broken(situation(given="p+ a-"), "b")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"fleet": fleet(paused=True)}, "paused"),
        ({"fleet": fleet(freezes=(FREEZE,))}, "frozen"),
        ({"promotion": promotion(holds=(HoldEntry(**SINCE),))}, "held"),
        ({"promotion": None, "unreadable": "line 3"}, "promotion-unreadable"),
        ({"promotion": promotion(bars=(Bar(workload="w2", **SINCE),))}, "barred"),
        ({"policy": Policy(waves=(Wave(name="pilot", windows=SUNDAYS),))}, "window-closed"),
        (
            {"sites": {"p": Site(maxConcurrentCanaries=1, others=(Load(app="x", underWay=True),))}},
            "max-canaries",
        ),
        ({"sites": {"p": Site(resources={"gpu": 3})}}, "capacity"),
        ({"sites": {}}, "unknown-to-release"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_stops_the_bot_stops_everybody(changes: dict[str, Any], code: str) -> None:
    assert broken(situation(**changes), "p") == {code}


def test_going_back_is_always_let_pass() -> None:
    stopped = situation(given="p+ a", fleet=fleet(paused=True, freezes=(FREEZE,)))
    assert broken(stopped, "p", "a", to=OLD.id, fallback=None) == set()


def test_going_back_to_the_policy_before_is_let_pass() -> None:
    now = situation(POLICY, "p", fleet=fleet(paused=True))
    had = merged(replace(now.history[0].moves[0], from_=NEW.id), proofs=(proof("p", NEW.id),))
    assert broken(replace(now, history=(had,)), "p", to=NEW.id) == set()


def test_nothing_goes_forward_beside_a_failure_that_is_not_barred_yet() -> None:
    """A person merges what the bot proposed before, while the rollback waits for a hand."""
    now = situation(given="p-")
    third = release("5-third", "w5", waves())
    now = replace(now, releases={**now.releases, third.id: third}, candidate=third.id)
    assert "beyond-limit" in broken(now, "p", to=third.id)
    assert broken(now, "p", to=OLD.id, fallback=None) == set()
    barred = replace(now, promotion=promotion(bars=(Bar(workload=NEW.workload, **SINCE),)))
    assert "beyond-limit" not in broken(barred, "p", to=third.id)


def test_a_pointer_to_nothing_is_refused() -> None:
    now = situation(given="p+")
    assert broken(now, "a", to="9-lost") == {"to-nothing"}
    assert broken(now, "a", fallback="9-lost") == {"to-nothing"}


def test_what_is_needed_is_not_pruned() -> None:
    now = situation(given="p+")
    for id in (OLD.id, NEW.id):
        fewer = {name: item for name, item in now.releases.items() if name != id}
        found = {reason.code for reason in limits.broken(now, now.pointers, fewer)}
        assert "still-needed" in found
    fewer = {name: item for name, item in now.releases.items() if name != POLICY.id}
    assert limits.broken(now, now.pointers, fewer) == []


def test_the_newest_done_and_what_pull_requests_name_is_needed() -> None:
    third = release("5-third", "w5", waves())
    done = merged(kind="Done", proofs=tuple(proof(name, third.id) for name in PILOT + REST))
    now = situation(given="p+")
    now = replace(now, releases={**now.releases, third.id: third}, history=(done, *now.history))
    assert third.id not in limits.needed(now), "older than what is done"
    moves = tuple(replace(m, to=third.id) for m in decide(situation()).moves)
    request = Request_(moves)
    assert third.id in limits.needed(replace(now, requests=(request,)))
    nobody = replace(now, pointers={"p": Pointed(release=third.id)}, candidate=None)
    assert third.id in limits.needed(nobody)


def test_what_a_cluster_had_within_thirty_days_is_not_pruned() -> None:
    third, move = release("5-third", "w5", waves()), Move(cluster="p", from_="5-third", to=OLD.id)
    now = situation(releases={**situation().releases, third.id: third})
    for days, kept in ((29, True), (31, False)):
        later = merged(Move(cluster="p", from_=OLD.id, to=NEW.id), at=NOW - timedelta(days=1))
        past = merged(move, at=NOW - timedelta(days=days))
        assert (third.id in limits.needed(replace(now, history=(past, later)))) is kept


def Request_(moves: Any) -> Any:
    from canaryfleet.models.decision import Request

    return Request(number=1, branch="b", key="k", head="h", state="open", moves=moves)


def test_a_pointer_does_not_vanish_unless_something_retires() -> None:
    now = situation(given="p+")
    without = {name: pointer for name, pointer in now.pointers.items() if name != "d"}
    assert {reason.code for reason in limits.broken(now, without)} == {"pointer-removed"}
    leaving = replace(now, sites={**now.sites, "d": Site(lifecycle="retiring")})
    assert limits.broken(leaving, without) == []
    assert limits.broken(replace(now, policy=Policy(lifecycle="retiring")), without) == []


def test_a_cluster_in_no_wave_gets_only_what_is_done() -> None:
    member = Member(pod="pod-w2")
    under_way = replace(NEW, clusters={**NEW.clusters, "j": member})
    now = situation(given="p+")
    now = replace(now, sites={**now.sites, "j": Site()}, releases={**now.releases, NEW.id: under_way})
    assert broken(now, "j", fallback=None) == {"wave-incomplete"}
    done = situation(given="p+ a+ b+ c+ d+")
    done = replace(done, sites={**now.sites, "j": Site()}, releases=now.releases)
    assert broken(done, "j", fallback=None) == set()


def test_a_fallback_stays_though_nobody_else_has_it() -> None:
    now = situation(history=(), pointers={"p": Pointed(release=NEW.id, fallback=OLD.id)})
    assert OLD.id in limits.needed(now)


def test_the_newest_done_stays_though_nobody_points_at_it() -> None:
    """Joiners get it while a later one, given to everybody, is not proven yet."""
    only = {name: Pointed(release=NEW.id) for name in PILOT + REST}
    done = merged(
        proofs=tuple(proof(name, OLD.id) for name in PILOT + REST), moves=(Move(cluster="x", to=OLD.id),)
    )
    now = situation(pointers=only, history=(done,), verdicts={})
    assert OLD.id in limits.needed(now)
    assert OLD.id not in limits.needed(replace(now, history=()))
