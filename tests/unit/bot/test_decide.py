"""From situation to decision, a rule at a time; each test is named after what somebody would lose."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from canaryfleet.case import SKEW
from canaryfleet.decide import decide
from canaryfleet.forward import RULES
from canaryfleet.models.canary import Wave, Window
from canaryfleet.models.decision import (
    Decision,
    Load,
    Member,
    Merged,
    Move,
    Pointed,
    Policy,
    Proof,
    ReleaseFacts,
    Request,
    Review,
    Site,
    Situation,
)
from canaryfleet.models.fleet import Freeze
from canaryfleet.models.observation import Evidence
from canaryfleet.models.promotion import Bar, Excuse, HoldEntry
from canaryfleet.models.release import ReleaseWave
from canaryfleet.proposal import Proposal
from world import EARLY, World, fleet, promotion, release, verdict

NOW = datetime(2026, 11, 16, 10, tzinfo=UTC)  # a Monday
PILOT, REST = ("p",), ("a", "b", "c", "d")
BY_BOT: dict[str, Any] = {"by": "canaryfleet", "since": EARLY, "why": "it failed"}
LONG_AGO, HOUR = NOW - timedelta(days=9), timedelta(hours=1)


def waves(**rest: Any) -> tuple[ReleaseWave, ...]:
    return ReleaseWave(name="pilot", members=PILOT), ReleaseWave(name="rest", members=REST, **rest)


OLD, NEW, POLICY = (
    release("1-old", "w1", waves()),
    release("2-new", "w2", waves()),
    release("3-policy", "w2", waves()),
)


def situation(target: ReleaseFacts = NEW, given: str = "", **changes: Any) -> Situation:
    """Everything proven on OLD; `given`: clusters that the bot gave the target an hour ago, and what came of it.

    "p+ a- b? c~ d" is: proven on p, failed on a, inconclusive on b, unknown on c, under way on d.
    """
    signs = {"+": "Verified", "-": "Failed", "?": "Inconclusive", "~": "Unknown"}
    marks = {word[0]: signs.get(word[1:], "Progressing") for word in given.split()}
    pointers = {name: Pointed(release=OLD.id) for name in PILOT + REST}
    verdicts = {name: verdict(name, OLD.id, "Verified", LONG_AGO) for name in pointers}
    history: list[Merged] = []
    for name, kind in marks.items():
        pointers[name] = Pointed(release=target.id, fallback=OLD.id)
        verdicts[name] = verdict(name, target.id, kind, NOW)
        wave = next(wave.name for wave in target.waves if name in wave.members)
        move = Move(cluster=name, from_=OLD.id, to=target.id, fallback=OLD.id)
        history.append(merged(move, at=NOW - HOUR, release=target.id, wave=wave, kind="Advance"))
    base = Situation(
        app="app",
        now=NOW,
        policy=Policy(),
        fleet=fleet(),
        sites={name: Site(resources={"gpu": 8}) for name in pointers},
        candidate=target.id,
        releases={item.id: item for item in (OLD, NEW, POLICY, target)},
        pointers=pointers,
        promotion=promotion(),
        verdicts=verdicts,
        carried=dict.fromkeys(marks, NOW - HOUR),
        history=tuple(history),
    )
    return replace(base, **changes)


def merged(*moves: Move, **more: Any) -> Merged:
    return Merged(**({"commit": "c", "at": NOW - HOUR, "moves": moves} | more))


def proof(cluster: str, id: str, kind: str = "Verified", **more: Any) -> Proof:
    more = {"basis": "Analysis" if kind == "Verified" else None, "since": NOW, "hash": cluster + id} | more
    return Proof(cluster=cluster, release=id, kind=kind, **more)  # type: ignore[arg-type]


def moved(decision: Decision) -> dict[str, str | None]:
    return {move.cluster: move.to for move in decision.moves}


def codes(decision: Decision) -> set[str]:
    return {reason.code for reason in decision.reasons}


def all_to(id: str | None, *clusters: str) -> dict[str, str | None]:
    return dict.fromkeys(clusters, id)


# Forward


def test_the_first_wave_starts_and_what_was_proven_becomes_the_fallback() -> None:
    decision = decide(situation())
    assert (decision.kind, decision.wave, decision.ready) == ("Start", "pilot", True)
    assert decision.moves == (Move(cluster="p", from_=OLD.id, to=NEW.id, fallback=OLD.id),)
    assert proof("p", OLD.id).cluster in {item.cluster for item in decision.evidence}


@pytest.mark.parametrize("mark", ["p", "p?", "p~"])
def test_users_get_nothing_that_is_not_proven(mark: str) -> None:
    decision = decide(situation(given=mark))
    assert (decision.kind, moved(decision)) == ("Hold", {})
    assert "wave-incomplete" in codes(decision)


def test_a_proven_wave_lets_the_next_begin() -> None:
    decision = decide(situation(given="p+"))
    assert (decision.kind, decision.wave) == ("Advance", "rest")
    assert moved(decision) == all_to(NEW.id, *REST)
    assert decision.complete == ("pilot",)


def test_all_proven_is_done() -> None:
    decision = decide(situation(given="p+ a+ b+ c+ d+"))
    assert (decision.kind, decision.complete) == ("Done", ("pilot", "rest"))


def recorded(now: Situation, *names: str) -> Situation:
    """The bot's record of the last wave is merged, with what it could hold."""
    done = merged(kind="Done", release=NEW.id, at=NOW, proofs=tuple(proof(name, NEW.id) for name in names))
    return replace(now, history=(*now.history, done))


def test_what_the_last_wave_proved_is_recorded_once_by_a_commit_that_moves_nothing() -> None:
    now = situation(given="p+ a+ b+ c+ d+")
    decision = decide(now)
    assert (decision.kind, decision.ready, decision.moves, decision.wave) == ("Done", True, (), None)
    assert {item.cluster for item in decision.evidence} == {*PILOT, *REST}
    assert decision.key
    assert decide(recorded(now, *PILOT, *REST)).key == ""
    assert decide(recorded(now)).key == "", "what no record could hold is not asked again and again"
    assert decide(replace(now, fleet=fleet(paused=True))).key == ""
    gone = {name: verdict(name, NEW.id, "Unknown", None) for name in now.verdicts}
    assert decide(replace(recorded(now, *PILOT, *REST), verdicts=gone)).kind == "Done"
    back = verdict("a", NEW.id, "Verified", NOW, basis="Reverted")
    only = recorded(now, "p", "b", "c", "d")
    assert decide(replace(only, verdicts={**now.verdicts, "a": back})).key == ""


def test_a_record_that_is_merged_late_advances_nothing() -> None:
    """What it records was measured before the cluster was given the release anew."""
    now = situation(given="p")
    for basis in ("Analysis", "FirstDeployment"):
        late = proof("p", NEW.id, since=NOW - 3 * HOUR, basis=basis)
        record = merged(kind="Done", release=NEW.id, at=NOW, proofs=(late,))
        decision = decide(replace(now, history=(*now.history, record)))
        assert (decision.kind, moved(decision)) == ("Hold", {})
    soon = merged(kind="Done", release=NEW.id, at=NOW, proofs=(proof("p", NEW.id, since=NOW - HOUR - SKEW),))
    assert moved(decide(replace(now, history=(*now.history, soon)))) == all_to(NEW.id, *REST)


def test_a_record_that_is_merged_late_takes_no_failure_back() -> None:
    now = situation(given="p~")
    known = merged(kind="Advance", at=NOW, proofs=(proof("p", NEW.id, "Failed", since=NOW - HOUR / 4),))
    late = merged(kind="Done", at=NOW, proofs=(proof("p", NEW.id, since=NOW - HOUR / 2),))
    newer = merged(kind="Done", at=NOW, proofs=(proof("p", NEW.id, since=NOW),))
    assert decide(replace(now, history=(*now.history, known, late))).kind == "Rollback"
    assert moved(decide(replace(now, history=(*now.history, known, newer)))) == all_to(NEW.id, *REST)


def test_what_was_recorded_before_the_release_was_ended_is_recorded_anew() -> None:
    """It counts no more, and the same is measured still."""
    now = situation(given="p+ a+ b+ c+ d+")
    same = tuple(replace(proof(name, NEW.id), hash=now.verdicts[name].hash) for name in (*PILOT, *REST))
    known = replace(now, history=(*now.history, merged(proofs=same, at=NOW)))
    assert decide(known).evidence == ()
    ended = replace(known, history=(*known.history, merged(kind="Rollback", ends=(NEW.id,), at=NOW)))
    decision = decide(ended)
    assert (decision.kind, len(decision.evidence)) == ("Done", 5)


def test_a_cluster_that_gets_it_later_is_recorded_too() -> None:
    now = recorded(situation(given="p+ a+ b+ c+ d+"), *PILOT, *REST)
    sites = {**now.sites, "j": Site(resources={"gpu": 8})}
    move = Move(cluster="j", to=NEW.id)
    joined = replace(
        now, sites=sites, pointers={**now.pointers, "j": Pointed(release=NEW.id)},
        history=(*now.history, merged(move, kind="Start", release=NEW.id, at=NOW)),
        verdicts={**now.verdicts, "j": verdict("j", NEW.id, "Verified", NOW)},
    )  # fmt: skip
    before, later = decide(situation(given="p+ a+ b+ c+ d+")), decide(joined)
    assert later.key not in ("", before.key)
    assert "j" in {item.cluster for item in later.evidence}


def test_what_is_proven_after_the_record_is_recorded_too() -> None:
    """Its cluster was excused when the release was done."""
    now = recorded(situation(given="p+ a+ b+ c+ d~"), "p", "a", "b", "c")
    later = replace(
        now, now=NOW + HOUR, verdicts={**now.verdicts, "d": verdict("d", NEW.id, "Verified", NOW + HOUR / 2)}
    )
    decision = decide(later)
    assert decision.key
    assert "d" in {item.cluster for item in decision.evidence}
    done = merged(kind="Done", release=NEW.id, at=NOW + HOUR / 2)  # with nothing that a record could hold
    assert decide(replace(later, history=(*later.history, done))).key == ""
    ahead = verdict("d", NEW.id, "Verified", NOW + HOUR / 2 + 2 * SKEW)
    assert (
        decide(replace(later, history=(*later.history, done), verdicts={**now.verdicts, "d": ahead})).key
        == ""
    )


def test_what_was_not_baked_is_recorded_by_no_commit() -> None:
    """The record would be the proof that there never was."""
    target = release("5-baked", "w5", waves(minSuccessTime="1h"))
    whole = situation(target, given="p+ a+ b+ c+ d+")
    one = replace(whole.verdicts["a"], evidence=Evidence())
    decision = decide(replace(whole, verdicts={**whole.verdicts, "a": one}))
    assert "a" not in {item.cluster for item in decision.evidence}
    bare = {name: replace(item, evidence=Evidence()) for name, item in whole.verdicts.items() if name in REST}
    pilot = merged(at=NOW, proofs=(proof("p", target.id),))
    decision = decide(replace(whole, verdicts={**whole.verdicts, **bare}, history=(*whole.history, pilot)))
    assert decision.key == ""


@pytest.mark.parametrize("how", ["closed", "touched"])
def test_a_persons_no_to_the_record_is_one_and_nothing_waits_for_it(how: str) -> None:
    now = situation(given="p+ a+ b+ c+ d+")
    key = decide(now).key
    state: dict[str, Any] = {
        "closed": {"state": "closed", "closedBy": "person"},
        "touched": {"state": "open", "touched": True},
    }[how]
    request = Request(number=3, branch="b", key=key, head="h", kind="Done", release=NEW.id, **state)
    decision = decide(replace(now, requests=(request,)))
    assert (decision.kind, decision.key, decision.obsolete) == ("Done", "", ())
    third = release("4-next", "w4", waves())
    on = replace(now, requests=(request,), releases={**now.releases, third.id: third}, candidate=third.id)
    assert moved(decide(on)) == all_to(third.id, "p")


def test_a_record_that_waits_is_closed_when_another_commit_records_the_same() -> None:
    now = situation(given="p+ a+ b+ c+ d+")
    request = Request(
        number=3, branch="b", key=decide(now).key, head="h", state="open", kind="Done", release=NEW.id
    )
    asked = replace(now, requests=(request,))
    assert decide(asked).obsolete == ()
    held = replace(asked, verdicts={**now.verdicts, "a": verdict("a", NEW.id, "Unknown", None)})
    assert decide(held).obsolete == ()
    third = release("4-next", "w4", waves())
    on = replace(asked, releases={**now.releases, third.id: third}, candidate=third.id)
    assert [item.number for item in decide(on).obsolete] == [3]
    bad = replace(asked, verdicts={**now.verdicts, "a": verdict("a", NEW.id, "Failed", NOW)})
    assert (decide(bad).kind, [item.number for item in decide(bad).obsolete]) == ("Rollback", [3])


@pytest.mark.parametrize(
    ("limit", "given", "next"), [(1, "p+", 1), (2, "p+ a", 1), (2, "p+ a b", 0), ("50%", "p+ a+", 2)]
)
def test_no_more_clusters_at_once_than_allowed(limit: Any, given: str, next: int) -> None:
    target = release("2-new", "w2", waves(maxConcurrency=limit))
    assert len(decide(situation(target, given)).moves) == next


def test_a_cluster_that_cannot_be_seen_takes_no_place_from_others() -> None:
    target = release("2-new", "w2", waves(maxConcurrency=1))
    now = situation(target, "p+")
    lost = replace(now, verdicts={**now.verdicts, "a": verdict("a", OLD.id, "Unknown", None)})
    assert moved(decide(lost)) == all_to(NEW.id, "b")


def test_the_proof_of_another_app_or_cluster_is_none() -> None:
    now = situation(given="p")
    good = verdict("p", NEW.id, "Verified", NOW)
    for foreign in (replace(good, app="other"), replace(good, cluster="a")):
        assert decide(replace(now, verdicts={**now.verdicts, "p": foreign})).kind == "Hold"


def test_a_release_that_is_not_in_the_tree_is_given_to_nobody() -> None:
    assert codes(decide(situation(candidate="9-lost"))) >= {"no-release"}
    assert codes(decide(situation(candidate=None))) >= {"no-candidate"}


def test_a_cluster_whose_file_is_gone_gets_nothing() -> None:
    now = situation(given="p+")
    sites = {name: site for name, site in now.sites.items() if name != "a"}
    assert "a" not in moved(decide(replace(now, sites=sites)))


def test_tolerated_failures_are_no_evidence() -> None:
    """A wave of one that tolerates one failure would be complete with nothing proven."""
    tolerant = (replace(waves()[0], maxFailures=1), waves()[1])
    target = release("2-new", "w2", tolerant)
    assert decide(situation(target, "p")).kind == "Hold"


# What people say


FREEZE = Freeze(name="end", from_="2026-11-10T00:00:00Z", to="2026-11-20T00:00:00Z")
SUNDAYS = (Window(days="Sun", from_="00:00", to="24:00"),)
SINCE: Any = {"by": "ann", "since": EARLY, "why": "because"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"fleet": fleet(paused=True)}, "paused"),
        ({"fleet": fleet(freezes=(FREEZE,))}, "frozen"),
        ({"promotion": promotion(holds=(HoldEntry(**SINCE),))}, "held"),
        ({"promotion": promotion(holds=(HoldEntry(wave="rest", **SINCE),))}, "held"),
        ({"promotion": promotion(holds=(HoldEntry(cluster="a", **SINCE),))}, "held"),
        ({"promotion": promotion(bars=(Bar(workload="w2", **SINCE),))}, "barred"),
        ({"promotion": promotion(bars=(Bar(release=NEW.id, **SINCE),))}, "barred"),
        ({"promotion": None, "unreadable": "line 3"}, "promotion-unreadable"),
        ({"policy": Policy(waves=(Wave(name="rest", windows=SUNDAYS),))}, "window-closed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_person_stops_stands_still_but_a_failure_still_goes_back(
    changes: dict[str, Any], code: str
) -> None:
    decision = decide(situation(given="p+", **changes))
    assert (decision.kind, moved(decision)) == ("Hold", {})
    assert code in codes(decision)
    assert all(reason.remedy for reason in decision.reasons if reason.code == code)
    back = decide(situation(given="p-", **changes))
    assert (back.kind, moved(back), back.ready) == ("Rollback", all_to(OLD.id, "p"), True)


def test_a_hold_of_another_wave_stops_nothing() -> None:
    held = promotion(holds=(HoldEntry(wave="pilot", **SINCE),))
    assert decide(situation(given="p+", promotion=held)).kind == "Advance"


BERLIN = Policy(
    waves=(
        Wave(
            name="pilot",
            windows=(Window(days="Mon-Sun", from_="02:30", to="03:30", timezone="Europe/Berlin"),),
        ),
    )
)


@pytest.mark.parametrize(
    ("now", "open"),
    [
        ("2026-11-16T01:29:59Z", False),
        ("2026-11-16T01:30:00Z", True),
        ("2026-11-16T02:30:00Z", False),
        ("2026-03-29T00:59:59Z", False),  # 01:59:59, and then the clock goes to 03:00
        ("2026-03-29T01:00:00Z", True),
        ("2026-03-29T01:30:00Z", False),
        ("2026-10-25T00:30:00Z", True),  # 02:30 in summer time
        ("2026-10-25T01:30:00Z", True),  # 02:30 again, in winter time
        ("2026-10-25T02:30:00Z", False),
    ],
)
def test_windows_are_meant_by_the_clock_on_the_wall(now: str, open: bool) -> None:
    decision = decide(situation(policy=BERLIN, now=datetime.fromisoformat(now), verdicts={}))
    assert (decision.kind == "Start") is open


def test_an_excused_cluster_is_not_waited_for_and_catches_up_last() -> None:
    excused = promotion(excused=(Excuse(cluster="p", **SINCE),))
    first = decide(situation(promotion=excused))
    assert (first.wave, moved(first)) == ("rest", all_to(NEW.id, "a"))
    assert moved(decide(situation(given="a+ b+ c+ d", promotion=excused))) == {}
    last = decide(situation(given="a+ b+ c+ d+", promotion=excused))
    assert (last.kind, moved(last), codes(last)) == ("Advance", all_to(NEW.id, "p"), {"catches-up"})


def without_pilot(out: str, given: str = "", **more: Any) -> Situation:
    """The only cluster of the first wave is excused, or has left."""
    now = situation(given=given, **more)
    if out == "excused":
        return replace(now, promotion=promotion(excused=(Excuse(cluster="p", **SINCE),)))
    sites = {**now.sites, "p": Site(lifecycle="retiring")}
    return replace(now, sites=sites, pointers={n: p for n, p in now.pointers.items() if n != "p"})


@pytest.mark.parametrize("out", ["excused", "gone"])
def test_without_any_evidence_a_person_is_asked_for_each_cluster(out: str) -> None:
    asked = decide(without_pilot(out))
    assert (asked.kind, asked.ready, moved(asked)) == ("Start", False, all_to(NEW.id, "a"))
    assert {"no-evidence", "approval-missing"} <= codes(asked)
    (why,) = (item for item in asked.reasons if item.code == "no-evidence")
    assert (why.clusters, "excused or retiring: p" in why.message) == (PILOT, True)
    open_ = Request(
        number=7, branch="b", key=asked.key, head="h", state="open", kind="Start", release=NEW.id, wave="rest",
        moves=asked.moves, reviews=(Review(by="ann", state="approved", head="h"),),
    )  # fmt: skip
    assert decide(without_pilot(out, requests=(open_,))).ready


@pytest.mark.parametrize("out", ["excused", "gone"])
def test_one_that_was_begun_without_evidence_has_to_prove_it_before_others_get_it(out: str) -> None:
    waits = decide(without_pilot(out, "a"))
    assert (waits.kind, moved(waits)) == ("Hold", {})
    on = decide(without_pilot(out, "a+"))
    assert (on.ready, moved(on)) == (True, all_to(NEW.id, "b", "c", "d"))


def test_an_approval_without_evidence_is_of_one_cluster_alone() -> None:
    """It went back after its deadline: the next is asked for anew."""
    now = without_pilot("excused", "a")
    (given,) = now.history
    given = replace(given, approvedBy=("ann",))
    back = merged(Move(cluster="a", from_=NEW.id, to=OLD.id), kind="Rollback", at=NOW)
    pointers = {**now.pointers, "a": Pointed(release=OLD.id)}
    decision = decide(replace(now, history=(given, back), pointers=pointers))
    assert (decision.ready, "no-evidence" in codes(decision)) == (False, True)


def test_the_proof_of_a_cluster_that_is_excused_later_stays_one() -> None:
    now = without_pilot("excused", "p+")
    assert (decide(now).ready, moved(decide(now))) == (True, all_to(NEW.id, *REST))
    seen = merged(proofs=(proof("p", NEW.id),), at=NOW)
    later = replace(now, verdicts={}, history=(*now.history, seen))
    assert decide(later).ready
    failed = merged(proofs=(proof("p", NEW.id, "Failed"),), at=NOW)
    assert decide(replace(later, history=(*later.history, failed))).kind == "Rollback"


def test_what_nobody_has_proven_is_not_done() -> None:
    """Joiners would else be given it."""
    everybody = tuple(Excuse(cluster=name, **SINCE) for name in PILOT + REST)
    sites = {name: Site(resources={"gpu": 8}) for name in (*PILOT, *REST, "j")}
    target = replace(NEW, clusters={**NEW.clusters, "j": Member(pod="pod-w2")})
    now = situation(target, given="p a b c d", sites=sites, promotion=promotion(excused=everybody))
    alone = replace(now, releases={OLD.id: OLD, target.id: target})
    held = decide(alone)
    assert (held.kind, moved(held)) == ("Hold", {})
    (why,) = (item for item in held.reasons if item.code == "no-evidence")
    assert "nothing is proven" in why.message
    assert why.clusters == PILOT + REST
    later = decide(replace(alone, promotion=promotion(excused=everybody[1:])))
    assert (later.kind, "no-evidence" in codes(later)) == ("Hold", False)
    one = replace(alone, verdicts={**alone.verdicts, "c": verdict("c", target.id, "Verified", NOW)})
    assert moved(decide(one)) == all_to(target.id, "j")
    joined = {n: s for n, s in sites.items() if n != "j"}
    assert decide(replace(one, sites=joined)).kind == "Done"


def test_an_excused_cluster_is_no_proof_for_others() -> None:
    target = release(
        "2-new",
        "w2",
        (ReleaseWave(name="rest", members=REST, maxFailures=1), ReleaseWave(name="pilot", members=PILOT)),
    )
    excused = promotion(excused=(Excuse(cluster="a", **SINCE),))
    assert decide(situation(target, "a+ b+ c d", promotion=excused)).kind == "Hold"


def test_a_pointer_that_a_person_moved_is_not_overwritten() -> None:
    now = situation(given="p+ a")
    theirs = merged(Move(cluster="a", from_=NEW.id, to=OLD.id), by="person", at=NOW)
    pointers = {**now.pointers, "a": Pointed(release=OLD.id)}
    now = replace(now, history=(*now.history, theirs), pointers=pointers)
    decision = decide(now)
    assert (decision.kind, codes(decision)) == ("Hold", {"persons-pointer"})
    excused = replace(now, promotion=promotion(excused=(Excuse(cluster="a", **SINCE),)))
    assert moved(decide(excused)) == all_to(NEW.id, "b", "c", "d")


def test_what_a_person_moved_off_is_not_taken_for_a_reverted_spec() -> None:
    now = situation(given="p+")
    theirs = merged(Move(cluster="p", from_=NEW.id, to=OLD.id, fallback=NEW.id), by="person", at=NOW)
    pointers = {**now.pointers, "p": Pointed(release=OLD.id, fallback=NEW.id)}
    assert decide(replace(now, history=(*now.history, theirs), pointers=pointers)).kind == "Hold"


def test_what_a_person_merged_against_a_limit_holds_and_alarms() -> None:
    now = situation(given="p")
    theirs = merged(Move(cluster="d", from_=OLD.id, to=NEW.id, fallback=OLD.id), by="person", at=NOW)
    pointers = {**now.pointers, "d": Pointed(release=NEW.id, fallback=OLD.id)}
    decision = decide(replace(now, history=(*now.history, theirs), pointers=pointers))
    assert (decision.kind, codes(decision)) == ("Hold", {"breaks-limit"})
    assert any(reason.alarm for reason in decision.reasons)


# Fallbacks that people name


NAMED = release("9-named", "w9", waves())


def by_hand(given: str, *, alone: bool, **more: Any) -> Situation:
    """NEW on the pilot, which falls back to NAMED by the hand of a person who moved it there, or wrote that `alone`."""
    now = situation(given=given, releases={item.id: item for item in (OLD, NEW, NAMED)})
    theirs = Move(cluster="p", from_=OLD.id, to=NEW.id, fallback=NAMED.id)
    hand = merged(**({"fallbacks": ("p",)} if alone else {"moves": (theirs,)}), by="person", at=NOW - HOUR)
    pointers = {**now.pointers, "p": Pointed(release=NEW.id, fallback=NAMED.id)}
    return replace(now, history=(*(now.history if alone else ()), hand), pointers=pointers, **more)


@pytest.mark.parametrize("alone", [True, False])
def test_no_cluster_goes_back_to_what_only_a_person_says_is_good(alone: bool) -> None:
    failed = decide(by_hand("p-", alone=alone))
    assert (failed.kind, [bar.workload for bar in failed.bars]) == ("Rollback", ["w2"])
    if alone:
        assert moved(failed) == all_to(OLD.id, "p"), "as the bot had named it"
    else:
        assert moved(failed) == {}
        (stays,) = (reason for reason in failed.reasons if reason.code == "failed")
        assert (stays.alarm, "by a person's hand" in stays.message) == (True, True)
    turned = decide(by_hand("p+", alone=alone, candidate=NAMED.id))
    assert (turned.kind, turned.wave) != ("Rollback", None), "a release like any other"


@pytest.mark.parametrize("alone", [True, False])
def test_it_goes_back_to_what_is_recorded_as_proven_there(alone: bool) -> None:
    now = by_hand("p-", alone=alone)
    before = replace(now, history=(merged(proofs=(proof("p", OLD.id),)), *now.history))
    assert moved(decide(before)) == all_to(OLD.id, "p"), "what it had before the person came"
    known = replace(now, history=(merged(proofs=(proof("p", NAMED.id),)), *now.history))
    assert moved(decide(known)) == all_to(NAMED.id, "p")
    ended = replace(known, history=(*known.history, merged(ends=(NAMED.id,), at=NOW)))
    assert moved(decide(ended)) == (all_to(OLD.id, "p") if alone else {})


def test_the_bot_passes_no_fallback_on_that_a_person_named() -> None:
    """It would else be the bot's own word the next time."""
    now = by_hand("p", alone=True, policy=Policy(onNewRelease="replace"))
    decision = decide(replace(now, releases={**now.releases, NEXT.id: NEXT}, candidate=NEXT.id))
    assert decision.moves == (Move(cluster="p", from_=NEW.id, to=NEXT.id),)


# Clocks


@pytest.mark.parametrize(
    ("behind", "goes"), [(timedelta(0), True), (SKEW, True), (SKEW * 2, False), (HOUR, False)]
)
def test_by_a_clock_that_is_behind_the_bots_own_commits_nothing_goes_forward(
    behind: timedelta, goes: bool
) -> None:
    decision = decide(situation(given="p+", latest=NOW + behind))
    assert bool(decision.moves) is goes
    assert ("clock-behind" in codes(decision)) is not goes
    assert moved(decide(situation(given="p-", latest=NOW + behind))) == all_to(OLD.id, "p"), "back it goes"


# Going back


def test_a_failure_beyond_the_limit_takes_the_workload_back_everywhere_and_bars_it() -> None:
    decision = decide(situation(given="p+ a- b c+"))
    assert (decision.kind, decision.ready) == ("Rollback", True)
    assert moved(decision) == all_to(OLD.id, "p", "a", "b", "c")
    assert [bar.workload for bar in decision.bars] == ["w2"]
    assert decision.ends == (NEW.id, POLICY.id)
    assert any(reason.alarm for reason in decision.reasons)


def test_a_failure_within_the_limit_goes_back_alone_and_still_counts() -> None:
    target = release("2-new", "w2", waves(maxFailures=1))
    first = decide(situation(target, "p+ a- b c+"))
    assert (moved(first), first.bars) == (all_to(OLD.id, "a"), ())
    now = situation(target, "p+ b c+")
    back = merged(Move(cluster="a", from_=NEW.id, to=OLD.id), kind="Rollback", at=NOW, proofs=first.evidence)
    later = replace(now, history=(*now.history, back))
    assert moved(decide(later)) == all_to(NEW.id, "d"), "what failed is not given it again"
    second = replace(later, verdicts={**later.verdicts, "b": verdict("b", NEW.id, "Failed", NOW)})
    assert moved(decide(second)) == all_to(OLD.id, "p", "b", "c")


def test_a_late_failure_takes_a_completed_wave_back_too() -> None:
    decision = decide(situation(given="p- a+ b+"))
    assert moved(decision) == all_to(OLD.id, "p", "a", "b")


def test_where_there_is_nothing_to_go_back_to_it_is_barred_and_stays() -> None:
    now = situation(given="p-")
    first = replace(now, pointers={"p": Pointed(release=NEW.id)})
    decision = decide(first)
    assert (decision.kind, decision.moves, [bar.workload for bar in decision.bars]) == (
        "Rollback",
        (),
        ["w2"],
    )
    barred = promotion(bars=decision.bars)
    assert decide(replace(first, promotion=barred)).kind == "Hold"


def test_what_everybody_has_and_is_barred_is_not_called_done() -> None:
    barred = promotion(bars=(Bar(workload="w2", **SINCE),))
    decision = decide(situation(given="p+ a+ b+ c+ d+", promotion=barred))
    assert (decision.kind, codes(decision)) == ("Hold", {"barred"})


def test_a_failure_of_unknown_age_goes_back_too() -> None:
    now = situation(given="p")
    undated = verdict("p", NEW.id, "Failed", None, reason="Crashing")
    assert decide(replace(now, verdicts={**now.verdicts, "p": undated})).kind == "Rollback"


def test_nothing_goes_back_to_what_is_barred() -> None:
    barred = promotion(bars=(Bar(workload="w1", **SINCE),))
    assert decide(situation(given="p-", promotion=barred)).moves == ()


def test_nothing_goes_back_to_what_fails_as_well() -> None:
    now = situation(given="p-")
    both = replace(now, verdicts={**now.verdicts, "a": verdict("a", OLD.id, "Failed", NOW)})
    decision = decide(both)
    assert (decision.moves, {bar.workload for bar in decision.bars}) == ((), {"w1", "w2"})


def test_nothing_goes_back_to_what_was_rewritten_until_it_is_restored() -> None:
    """What was proven there was something else. It is barred at once: nobody gets it in the meantime."""
    now = situation(given="p-", rewritten=(OLD.id,), unreadable="it was frozen")
    decision = decide(now)
    assert (decision.kind, decision.moves, decision.owes) == ("Rollback", (), ())
    assert [bar.workload for bar in decision.bars] == ["w2"]
    (stays,) = (reason for reason in decision.reasons if reason.code == "failed")
    assert (stays.alarm, stays.clusters, OLD.id in stays.message) == (True, ("p",), True)
    written = merged(kind="Rollback", bars=decision.bars, ends=decision.ends, at=NOW)
    waits = replace(now, promotion=promotion(bars=decision.bars), history=(*now.history, written))
    assert (decide(waits).kind, codes(decide(waits))) == (
        "Hold",
        {"promotion-unreadable", "beyond-limit", "failed"},
    )
    restored = decide(replace(waits, rewritten=(), unreadable=None))
    assert (restored.kind, moved(restored), restored.bars) == ("Rollback", all_to(OLD.id, "p"), ())


def test_what_failed_while_its_fallback_was_rewritten_does_not_come_back_under_another_name() -> None:
    """A person has pointed the cluster back and restored the files; the same pods are released with another policy."""
    now = situation(given="p-", rewritten=(OLD.id,), unreadable="it was frozen")
    failed = decide(now)
    by_bot = merged(
        kind="Rollback", bars=failed.bars, ends=failed.ends, at=NOW, proofs=(proof("p", NEW.id, "Failed"),)
    )
    by_hand = merged(Move(cluster="p", from_=NEW.id, to=OLD.id), by="person", at=NOW)
    later = replace(
        now, rewritten=(), unreadable=None, candidate=POLICY.id, promotion=promotion(bars=failed.bars),
        history=(*now.history, by_bot, by_hand), pointers={**now.pointers, "p": Pointed(release=OLD.id)},
        verdicts={**now.verdicts, "p": verdict("p", OLD.id, "Verified", NOW)},
    )  # fmt: skip
    decision = decide(later)
    assert (decision.kind, "barred" in codes(decision)) == ("Hold", True)


def test_where_there_is_nothing_to_go_back_to_and_nothing_can_be_barred_no_empty_rollback_is_announced() -> (
    None
):
    decision = decide(situation(given="p-", rewritten=(OLD.id,), promotion=None, unreadable="line 3"))
    assert (decision.kind, decision.moves, decision.bars, decision.owes) == ("Hold", (), (), ())
    assert {"promotion-unreadable", "beyond-limit", "failed"} == codes(decision)


def test_a_pull_request_to_what_was_rewritten_since_is_closed_and_proposed_again() -> None:
    by_hand = Policy(automatic=False)
    asked = decide(situation(given="p-", policy=by_hand))
    request = Request(
        number=7, branch=f"canaryfleet/app/{asked.key}", key=asked.key, head="h", state="open",
        kind="Rollback", release=asked.release, moves=asked.moves,
    )  # fmt: skip
    now = situation(given="p-", policy=by_hand, requests=(request,))
    assert decide(now).obsolete == ()
    decision = decide(replace(now, rewritten=(OLD.id,), unreadable="it was frozen"))
    assert [(item.number, "rewritten" in item.reason) for item in decision.obsolete] == [(7, True)]
    closed = replace(request, state="closed", closedBy="bot")
    assert moved(decide(replace(now, requests=(closed,)))) == all_to(OLD.id, "p")


def test_a_rollback_that_cannot_write_its_bar_owes_it() -> None:
    broken = situation(given="p-", promotion=None, unreadable="line 3")
    decision = decide(broken)
    assert (moved(decision), decision.bars, len(decision.owes)) == (all_to(OLD.id, "p"), (), 1)
    back = merged(*decision.moves, kind="Rollback", owes=decision.owes, ends=decision.ends, at=NOW)
    readable = replace(situation(), history=(*broken.history, back))
    later = decide(readable)
    assert (later.kind, later.moves, [bar.workload for bar in later.bars]) == ("Rollback", (), ["w2"])


def test_a_rollback_by_hand_is_proposed_and_nothing_else_moves() -> None:
    decision = decide(situation(given="p-", policy=Policy(automatic=False)))
    assert (decision.kind, decision.ready) == ("Rollback", False)
    assert "by-hand" in codes(decision)


def test_the_spec_turned_back_takes_back_what_falls_back_to_it() -> None:
    decision = decide(situation(given="p+ a", candidate=OLD.id, policy=Policy(automatic=False)))
    assert (decision.kind, moved(decision), decision.bars) == ("Rollback", all_to(OLD.id, "p", "a"), ())
    assert decision.ready, "a person has decided it already"


@pytest.mark.parametrize("mark", ["p?", "p"])
def test_without_proof_it_waits_for_the_deadline_and_goes_back_without_a_bar(mark: str) -> None:
    now = situation(given=mark)
    almost = replace(now, now=NOW + timedelta(hours=22, minutes=59))
    assert decide(almost).kind == "Hold"
    over = decide(replace(now, now=NOW + timedelta(hours=23)))
    assert (over.kind, moved(over), over.bars) == ("Rollback", all_to(OLD.id, "p"), ())


def test_the_deadline_counts_from_when_the_cluster_carries_the_release() -> None:
    now = replace(situation(given="p"), now=NOW + timedelta(days=3), carried={})
    assert decide(now).kind == "Hold", "not synced: nothing runs that could be late"
    carried = replace(now, carried={"p": NOW + timedelta(days=2, hours=1)})
    assert decide(carried).kind == "Hold"


def test_the_bake_is_no_part_of_the_deadline() -> None:
    baking = (replace(waves()[0], minSuccessTime="1d"), waves()[1])
    now = situation(release("2-new", "w2", baking), "p")
    assert decide(replace(now, now=NOW + timedelta(hours=46))).kind == "Hold"
    assert decide(replace(now, now=NOW + timedelta(hours=47))).kind == "Rollback"


def test_an_unreachable_cluster_is_not_reverted() -> None:
    now = replace(situation(given="p~"), now=NOW + timedelta(days=9))
    assert decide(now).kind == "Hold"


def test_what_went_back_without_proof_is_given_again_only_by_a_person() -> None:
    now = situation(given="p?")
    back = merged(Move(cluster="p", from_=NEW.id, to=OLD.id), kind="Rollback", at=NOW)
    now = replace(situation(), history=(*now.history, back))
    retry = decide(now)
    assert (retry.kind, moved(retry), retry.ready) == ("Retry", all_to(NEW.id, "p"), False)
    assert decide(with_request(now, retry, reviews=approval())).ready
    assert decide(with_request(now, retry, state="closed", closedBy="person")).kind == "Hold"


def test_what_was_proven_before_a_release_was_ended_is_proven_no_more() -> None:
    now = situation(given="p~")
    stays = {**now.pointers, "p": Pointed(release=NEW.id)}
    recorded = merged(proofs=(proof("p", NEW.id),), at=NOW)
    ended = merged(kind="Rollback", ends=(NEW.id,), at=NOW)
    proven = replace(now, pointers=stays, history=(*now.history, recorded))
    assert decide(proven).complete == ("pilot",)
    assert decide(replace(proven, history=(*proven.history, ended))).complete == ()


def test_a_lifted_bar_tries_again_from_the_first_wave_with_new_evidence() -> None:
    failed = decide(situation(given="p+ a-"))
    proofs = (proof("p", NEW.id), proof("a", NEW.id, "Failed"))
    back = merged(*failed.moves, kind="Rollback", at=NOW, ends=failed.ends, bars=failed.bars, proofs=proofs)
    now = replace(situation(), history=(*situation(given="p+ a-").history, back))
    assert codes(decide(replace(now, promotion=promotion(bars=failed.bars)))) >= {"barred"}
    again = decide(now)
    assert (again.kind, moved(again), codes(again)) == ("Retry", all_to(NEW.id, "p"), {"bar-lifted"})
    given = merged(*again.moves, at=NOW, kind="Retry", release=NEW.id, wave="pilot")
    pointers = {**now.pointers, "p": Pointed(release=NEW.id, fallback=OLD.id)}
    verdicts = {**now.verdicts, "p": verdict("p", NEW.id, "Verified", NOW)}
    proven = replace(now, history=(*now.history, given), pointers=pointers, verdicts=verdicts)
    assert moved(decide(proven)) == all_to(NEW.id, *REST), "an old failure is not counted for ever"


def test_a_bar_is_said_to_be_lifted_only_if_there_was_one() -> None:
    """A person turned the spec back, and forward again: nothing was barred."""
    turned = merged(Move(cluster="p", from_=NEW.id, to=OLD.id), kind="Rollback", ends=(NEW.id,), at=NOW)
    now = replace(situation(), history=(*situation(given="p").history, turned))
    assert (decide(now).kind, codes(decide(now))) == ("Start", {"first-wave"})
    owed = replace(turned, owes=(Bar(workload="w2", **BY_BOT),))
    written = merged(kind="Rollback", bars=(Bar(workload="w2", **BY_BOT),), at=NOW)
    lifted = replace(now, history=(*now.history[:-1], owed, written))
    assert (decide(lifted).kind, codes(decide(lifted))) == ("Retry", {"bar-lifted"})


def test_who_queues_gets_the_next_release_though_a_person_has_begun_it() -> None:
    """The one before is done: that its pilot was pointed on by hand does not make it unfinished for ever."""
    now = situation(NEXT, releases={item.id: item for item in (OLD, NEW, NEXT)}, history=())
    given = [
        merged(Move(cluster=name, from_=OLD.id, to=NEW.id, fallback=OLD.id), kind="Advance", release=NEW.id,
               wave="pilot" if name in PILOT else "rest", at=LONG_AGO, proofs=(proof(name, OLD.id),))
        for name in PILOT + REST
    ]  # fmt: skip
    proven = merged(proofs=tuple(proof(name, NEW.id) for name in PILOT + REST), at=LONG_AGO)
    hand = merged(Move(cluster="p", from_=NEW.id, to=NEXT.id, fallback=NEW.id), by="person", at=NOW - HOUR)
    pointers = {name: Pointed(release=NEW.id, fallback=OLD.id) for name in REST} | {
        "p": Pointed(release=NEXT.id, fallback=NEW.id)
    }
    now = replace(
        now,
        history=(*given, proven, hand),
        pointers=pointers,
        verdicts={},
        policy=Policy(onNewRelease="queue"),
    )
    waits = decide(now)
    assert (waits.kind, waits.release, "persons-pointer" in codes(waits)) == ("Hold", NEXT.id, False)
    on = decide(replace(now, verdicts={"p": verdict("p", NEXT.id, "Verified", NOW)}))
    assert (on.kind, on.release, moved(on)) == ("Advance", NEXT.id, all_to(NEXT.id, *REST))


def test_what_nobody_knows_longer_than_proof_may_take_alarms_and_says_what_to_do() -> None:
    lost = verdict("p", NEW.id, "Unknown", None, reason="BakeMissing")
    now = situation(given="p~")
    now = replace(now, verdicts={**now.verdicts, "p": lost})
    for later, alarm in ((timedelta(0), False), (timedelta(days=30), True)):
        held = decide(replace(now, now=NOW + later))
        (why,) = (reason for reason in held.reasons if reason.code == "unknown")
        assert (held.kind, why.remedy, why.alarm) == ("Hold", "sync it", alarm)


def test_what_a_cluster_went_back_to_stays_its_fallback() -> None:
    back = merged(Move(cluster="p", from_=NEW.id, to=OLD.id), kind="Rollback", ends=(NEW.id,), at=NOW)
    now = next_release("p")
    now = replace(now, history=(*now.history, back), pointers={**now.pointers, "p": Pointed(release=OLD.id)})
    returning = {**now.verdicts, "p": verdict("p", OLD.id, "Progressing", NOW)}
    decision = decide(replace(now, verdicts=returning))
    assert decision.moves == (Move(cluster="p", from_=OLD.id, to=NEXT.id, fallback=OLD.id),)


# A release whose policy alone is new


def policy_only(mark: str, **changes: Any) -> Situation:
    """NEW was proven on the pilot, which has got POLICY since."""
    now = situation(POLICY, mark, **changes)
    had = merged(
        Move(cluster="p", from_=OLD.id, to=NEW.id, fallback=OLD.id), at=LONG_AGO, kind="Start", release=NEW.id
    )
    given = merged(
        Move(cluster="p", from_=NEW.id, to=POLICY.id, fallback=OLD.id),
        kind="Start", wave="pilot", release=POLICY.id, proofs=(proof("p", NEW.id),),
    )  # fmt: skip
    return replace(now, history=(had, given))


def test_a_policy_that_fails_bars_the_release_and_not_the_stable_workload() -> None:
    decision = decide(policy_only("p-"))
    assert moved(decision) == all_to(NEW.id, "p"), "not to another workload: this one is stable"
    assert [(bar.workload, bar.release) for bar in decision.bars] == [(None, POLICY.id)]
    assert decision.moves[0].fallback == OLD.id


def test_the_same_workload_is_proof_on_the_same_cluster() -> None:
    now = policy_only("p+")
    same = verdict("p", POLICY.id, "Verified", LONG_AGO, basis="SameWorkload", evidence=Evidence())
    decision = decide(replace(now, verdicts={**now.verdicts, "p": same}))
    assert (decision.kind, decision.wave) == ("Advance", "rest")


@pytest.mark.parametrize("mark", ["p", "p?", "p~"])
def test_another_policy_does_not_rerun_what_is_not_proven(mark: str) -> None:
    now = situation(given=mark)
    decision = decide(replace(now, candidate=POLICY.id, policy=Policy(onNewRelease="replace")))
    assert (decision.kind, codes(decision)) == ("Hold", codes(decision) | {"not-at-rest"})


def test_where_the_policy_before_is_barred_too_it_goes_back_to_the_fallback() -> None:
    """On a the workload is new and fails; p had it with another policy, which is barred with it."""
    now = situation(POLICY, "p+ a-")
    releases = {id: item for id, item in now.releases.items() if id in (OLD.id, NEW.id, POLICY.id)}
    before = merged(
        Move(cluster="p", from_=OLD.id, to=NEW.id, fallback=OLD.id), at=NOW - 3 * HOUR, kind="Start"
    )
    policy = merged(
        Move(cluster="p", from_=NEW.id, to=POLICY.id, fallback=OLD.id),
        at=NOW - 2 * HOUR,
        kind="Start",
        proofs=(proof("p", NEW.id, since=NOW - 2 * HOUR),),
    )
    now = replace(now, releases=releases, history=(before, policy, *now.history[1:]))
    decision = decide(now)
    assert decision.kind == "Rollback"
    assert moved(decision) == all_to(OLD.id, "p", "a")
    assert [bar.workload for bar in decision.bars] == ["w2"]


def test_what_was_reverted_to_advances_nothing() -> None:
    now = situation(given="p+")
    reverted = verdict("p", NEW.id, "Verified", NOW, basis="Reverted")
    assert decide(replace(now, verdicts={**now.verdicts, "p": reverted})).kind == "Hold"


# Releases one after the other

NEXT = release("4-next", "w4", waves())


def next_release(given: str, **changes: Any) -> Situation:
    now = situation(given=given)
    return replace(now, **({"candidate": NEXT.id, "releases": {**now.releases, NEXT.id: NEXT}} | changes))


def test_a_queued_release_waits_until_the_one_under_way_is_done() -> None:
    decision = decide(next_release("p"))
    assert (decision.kind, decision.release) == ("Hold", NEW.id)
    assert "queued" in codes(decision)
    assert moved(decide(next_release("p+"))) == all_to(NEW.id, *REST)
    assert moved(decide(next_release("p+ a+ b+ c+ d+"))) == all_to(NEXT.id, "p")


def test_a_replaced_release_is_never_marked_verified() -> None:
    decision = decide(next_release("p", policy=Policy(onNewRelease="replace")))
    assert decision.moves == (Move(cluster="p", from_=NEW.id, to=NEXT.id, fallback=OLD.id),)
    assert NEW.id not in {item.release for item in decision.evidence}


def test_a_hotfix_does_not_queue_and_goes_by_its_own_windows() -> None:
    hotfix = replace(NEXT, urgency="hotfix", waves=(ReleaseWave(name="all", members=PILOT + REST),))
    closed = Policy(waves=(Wave(name="all", windows=SUNDAYS),), hotfixWaves=(Wave(name="all"),))
    now = next_release("p", policy=closed)
    decision = decide(replace(now, releases={**now.releases, NEXT.id: hotfix}))
    assert moved(decision) == all_to(NEXT.id, *PILOT, *REST)


def test_a_fix_does_not_queue_behind_what_has_failed() -> None:
    barred = promotion(bars=(Bar(workload="w2", **SINCE),))
    assert decide(next_release("p", promotion=barred)).release == NEXT.id


def test_a_release_does_not_queue_behind_one_that_only_a_person_can_help() -> None:
    now = next_release("p+ a?")
    back = merged(Move(cluster="a", from_=NEW.id, to=OLD.id), kind="Rollback", at=NOW)
    returned = {**now.pointers, "a": Pointed(release=OLD.id)}
    assert decide(now).release == NEW.id
    assert decide(replace(now, history=(*now.history, back), pointers=returned)).release == NEXT.id


# The forge


def with_request(now: Situation, decision: Decision, **fields: Any) -> Situation:
    """The situation with the pull request of a decision."""
    request = Request(
        number=7, branch="b", key=decision.key, head="h1", state="open", kind=decision.kind,
        release=decision.release, wave=decision.wave, moves=decision.moves,
    )  # fmt: skip
    return replace(now, requests=(*now.requests, replace(request, **fields)))


def approval(head: str = "h1") -> tuple[Review, ...]:
    return (Review(by="ann", state="approved", head=head),)


ASKING = release("2-new", "w2", waves(approval="required", maxConcurrency=2))


def test_a_wave_that_asks_is_proposed_and_waits_for_an_approval_of_the_head() -> None:
    now = situation(ASKING, "p+")
    asked = decide(now)
    assert (asked.kind, asked.ready, "approval-missing" in codes(asked)) == ("Advance", False, True)
    assert not decide(with_request(now, asked, reviews=approval("h0"))).ready
    assert decide(with_request(now, asked, reviews=approval())).ready
    against = (*approval(), Review(by="bob", state="changesRequested", head="h0"))
    assert not decide(with_request(now, asked, reviews=against)).ready


def test_an_approval_that_the_spec_asks_for_now_is_waited_for() -> None:
    live = Policy(waves=(Wave(name="rest", approval="required"),))
    assert not decide(situation(given="p+", policy=live)).ready


def test_one_approval_covers_the_batches_of_a_wave_but_not_another_attempt() -> None:
    now = situation(ASKING, "p+ a+ b+")
    batch = replace(now.history[-1], approvedBy=("ann",))
    assert decide(replace(now, history=(*now.history[:-1], batch))).ready
    ended = merged(kind="Rollback", ends=(NEW.id,), at=NOW)
    again = replace(now, history=(*now.history[:-1], batch, ended))
    assert not decide(again).ready


def test_a_batch_that_waits_for_its_approval_is_not_replaced_by_a_larger_one() -> None:
    now = situation(ASKING, "p+ a")
    waits = decide(now)
    assert moved(waits) == all_to(NEW.id, "b")
    more = situation(ASKING, "p+ a+")
    kept = decide(with_request(more, waits))
    assert (kept.key, moved(kept), kept.obsolete) == (waits.key, all_to(NEW.id, "b"), ())


def test_a_closed_pull_request_is_a_no_to_exactly_that() -> None:
    now = situation(given="p+")
    decision = decide(now)
    declined = decide(with_request(now, decision, state="closed", closedBy="person"))
    assert (declined.kind, "declined" in codes(declined)) == ("Hold", True)
    assert decide(with_request(now, decision, state="closed", closedBy="bot")).kind == "Advance"
    assert (
        decide(with_request(now, decision, key="other", state="closed", closedBy="person")).kind == "Advance"
    )


def test_a_declined_rollback_is_never_an_advance() -> None:
    now = situation(release("2-new", "w2", waves(maxFailures=1)), "p+ a-")
    back = decide(now)
    declined = decide(with_request(now, back, state="closed", closedBy="person"))
    assert (declined.kind, declined.moves) == ("Hold", ())


def test_the_branch_of_a_person_is_not_touched() -> None:
    now = situation(given="p+")
    decision = decide(with_request(now, decide(now), touched=True))
    assert (decision.kind, "touched" in codes(decision)) == ("Hold", True)


def test_what_can_be_merged_no_more_is_closed() -> None:
    now = situation(given="p+")
    start = decide(situation())
    assert [item.number for item in decide(with_request(now, start)).obsolete] == [7]
    replaced = next_release("p", policy=Policy(onNewRelease="replace"))
    superseded = with_request(replaced, decide(now))
    assert [item.number for item in decide(superseded).obsolete] == [7]


def test_what_landed_without_the_forge_noting_it_is_closed_and_its_like_is_not() -> None:
    now = situation(given="p+ a+ b+ c+ d+")
    asked = decide(now)
    proofs = tuple(proof(name, NEW.id) for name in ("p", *REST))
    landed = merged(at=NOW, kind="Done", key=asked.key, release=NEW.id, proofs=proofs)
    done = replace(with_request(now, asked), history=(*now.history, landed))
    decision = decide(done)
    assert (decision.kind, decision.key) == ("Done", "")
    assert [(item.number, item.reason) for item in decision.obsolete] == [(7, "the default branch has it")]
    other = replace(done, history=(*now.history, replace(landed, key="another")))
    assert decide(other).obsolete == ()
    person = replace(done, history=(*now.history, replace(landed, by="person", kind=None, key=None)))
    assert decide(person).obsolete == ()


def test_of_two_pull_requests_that_do_the_same_the_older_stays() -> None:
    now = situation(given="p+")
    two = with_request(with_request(now, decide(now)), decide(now), number=8)
    decision = decide(two)
    assert (decision.kind, [item.number for item in decision.obsolete]) == ("Advance", [8])


def test_a_rule_that_is_wrong_breaks_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def rogue(facts: Any, target: ReleaseFacts) -> Proposal:
        move = Move(cluster="a", from_=OLD.id, to=target.id, fallback=OLD.id)
        return Proposal("Advance", (), (move,), target.id, "rest")

    monkeypatch.setitem(RULES, "active", (rogue,))
    decision = decide(situation(given="p"))
    assert (decision.kind, codes(decision)) == ("Hold", {"wave-incomplete"})


def test_a_pull_request_is_not_closed_because_a_window_is() -> None:
    now = situation(given="p+")
    closed = replace(now, policy=Policy(waves=(Wave(name="rest", windows=SUNDAYS),)))
    assert decide(with_request(closed, decide(now))).obsolete == ()


def test_time_and_evidence_are_not_in_the_key() -> None:
    now = situation(given="p+")
    later = replace(
        now, now=NOW + HOUR, verdicts={**now.verdicts, "p": verdict("p", NEW.id, "Verified", NOW + HOUR)}
    )
    assert decide(now).key == decide(later).key
    assert decide(now).key != decide(replace(now, app="other")).key


def test_a_no_to_one_attempt_is_none_to_the_next() -> None:
    once = situation(given="p?").history
    back = merged(Move(cluster="p", from_=NEW.id, to=OLD.id), kind="Rollback", at=NOW)
    first = replace(situation(), history=(*once, back))
    again = merged(*decide(first).moves, kind="Retry", release=NEW.id, wave="pilot", at=NOW)
    second = replace(first, history=(*first.history, again, back))
    assert decide(second).kind == decide(first).kind == "Retry"
    assert decide(second).key != decide(first).key


# Clusters that come and go


def test_a_joiner_gets_the_newest_release_that_is_done() -> None:
    known = {**OLD.clusters, "j": Member(pod="pod-w1")}
    now = situation(given="p")
    sites = {**now.sites, "j": Site()}
    done = (merged(kind="Done", proofs=tuple(proof(name, OLD.id) for name in PILOT + REST)),)
    joined = replace(
        now, sites=sites, history=(*done, *now.history), releases={**now.releases, OLD.id: replace(OLD, clusters=known)}
    )  # fmt: skip
    decision = decide(joined)
    assert (decision.kind, decision.wave, moved(decision)) == ("Start", None, all_to(OLD.id, "j"))
    barred = replace(joined, promotion=promotion(bars=(Bar(workload="w1", **SINCE),)))
    assert decide(barred).kind == "Hold"
    going = replace(joined, sites={**sites, "j": Site(lifecycle="retiring")})
    assert decide(going).kind == "Hold"
    stranger = replace(joined, releases=now.releases)
    assert (decide(stranger).kind, "unknown-to-release" in codes(decide(stranger))) == ("Hold", True)


def test_a_joiner_gets_an_older_release_where_the_newest_is_barred() -> None:
    older, newer = (
        merged(
            kind="Advance",
            moves=(Move(cluster="p", to=id),),
            proofs=tuple(proof(n, id) for n in PILOT + REST),
        )
        for id in (OLD.id, NEW.id)
    )
    joined = Member(pod="x")
    releases = {
        id: replace(r, clusters={**r.clusters, "j": joined}) for id, r in situation().releases.items()
    }
    now = replace(
        situation(), releases=releases, history=(older, newer), sites={"j": Site()}, candidate=POLICY.id
    )
    assert moved(decide(now)) == all_to(NEW.id, "j")
    barred = promotion(bars=(Bar(workload="w2", **SINCE),))
    assert moved(decide(replace(now, promotion=barred))) == all_to(OLD.id, "j")


def test_a_joiner_does_not_get_what_is_under_way() -> None:
    now = situation(given="p", history=())
    assert decide(replace(now, sites={**now.sites, "j": Site()})).moves == ()


def test_a_retiring_cluster_gets_nothing_and_is_not_waited_for() -> None:
    now = situation(given="p+ a+ b+ c+")
    leaving = replace(now, sites={**now.sites, "d": Site(lifecycle="retiring")})
    assert moved(decide(leaving)) == all_to(None, "d")
    assert decide(replace(leaving, fleet=fleet(paused=True))).moves == ()
    first = replace(situation(), sites={**now.sites, "p": Site(lifecycle="retiring")})
    assert "p" not in {cluster for cluster, to in moved(decide(first)).items() if to}


def test_a_retiring_app_leaves_wave_by_wave_as_it_is_seen_to_be_gone() -> None:
    retiring = situation(OLD, policy=Policy(lifecycle="retiring"))
    first = decide(retiring)
    assert moved(first) == all_to(None, "p")
    rest = {name: pointer for name, pointer in retiring.pointers.items() if name != "p"}
    left = replace(retiring, pointers=rest, history=(merged(*first.moves),))
    assert decide(left).kind == "Hold"
    gone = replace(left, absent=("p",))
    assert moved(decide(gone)) == all_to(None, *REST)
    nowhere = replace(gone, pointers={}, absent=PILOT + REST)
    assert (decide(nowhere).kind, codes(decide(nowhere))) == ("Done", {"gone"})


# Clusters that several apps share


@pytest.mark.parametrize(("most", "others", "given"), [(2, 1, True), (2, 2, False), (None, 9, True)])
def test_a_cluster_is_not_in_more_canaries_than_it_may(most: int | None, others: int, given: bool) -> None:
    loads = tuple(Load(app=str(n), underWay=True) for n in range(others))
    decision = decide(situation(sites={"p": Site(maxConcurrentCanaries=most, others=loads)}))
    assert (decision.kind == "Start") is given
    assert given or "max-canaries" in codes(decision)


@pytest.mark.parametrize(("others", "given"), [(4, True), (5, False)])
def test_old_and_new_version_together_have_to_fit(others: int, given: bool) -> None:
    site = Site(resources={"gpu": 8}, others=(Load(app="x", takes={"gpu": others}),))
    decision = decide(situation(sites={"p": site}))
    assert (decision.kind == "Start") is given
    assert given or "capacity" in codes(decision)


# The fifteen failures of others that concern deciding (reference/field.md)


def test_field_01_a_status_of_the_previous_revision_completes_nothing() -> None:
    now = situation(given="p")
    stale = verdict("p", OLD.id, "Verified", NOW)
    assert decide(replace(now, verdicts={**now.verdicts, "p": stale})).kind == "Hold"


def test_field_02_one_at_a_time_is_one_at_a_time_on_the_tree_that_results() -> None:
    target = release("2-new", "w2", waves(maxConcurrency=1))
    world = World(target.waves)
    world.new("v1", "w1")
    for _ in range(12):
        decision = world.turn()
        busy = [n for n in REST if world.pointers[n].release == "v1" and world.verdict(n).kind != "Verified"]
        assert len(busy) <= 1
    assert decision.kind == "Done"


def test_field_03_a_cluster_that_is_gone_is_not_green() -> None:
    now = situation(given="p+")
    for lost in ({}, {"p": verdict("p", NEW.id, "Unknown", None, reason="Unreachable")}):
        assert decide(replace(now, verdicts=lost)).kind == "Hold"


def test_field_05_a_superseded_release_is_never_done() -> None:
    now = next_release("p", policy=Policy(onNewRelease="replace"))
    after = decide(replace(now, pointers={**now.pointers, "p": Pointed(release=NEXT.id, fallback=OLD.id)}))
    assert NEW.id not in {item.release for item in after.evidence}
    assert after.kind == "Hold"


def test_field_06_evidence_of_an_earlier_promotion_of_the_same_release_is_none() -> None:
    now = situation(given="p")
    before = verdict("p", NEW.id, "Verified", NOW - 2 * HOUR)
    assert decide(replace(now, verdicts={**now.verdicts, "p": before})).kind == "Hold"
    recorded = merged(proofs=(proof("p", NEW.id),), at=LONG_AGO)
    assert decide(replace(now, history=(recorded, *now.history))).kind == "Hold"


def test_field_07_a_later_failure_revokes_an_earlier_proof() -> None:
    now = situation(given="p- a")
    recorded = merged(proofs=(proof("p", NEW.id),), at=NOW)
    assert decide(replace(now, history=(*now.history, recorded))).kind == "Rollback"


def test_field_07_where_it_cannot_go_back_the_revoked_proof_does_not_count() -> None:
    last = ReleaseWave(name="last", members=("z",))
    target = release("2-new", "w2", (*waves(maxFailures=1), last))
    now = situation(target, "p+ a+ b+ c- d")
    stuck = {**now.pointers, "c": Pointed(release=NEW.id), "z": Pointed(release=OLD.id)}
    recorded = merged(proofs=(proof("c", NEW.id),), at=NOW)
    sites = {**now.sites, "z": Site()}
    decision = decide(replace(now, pointers=stuck, sites=sites, history=(*now.history, recorded)))
    assert (decision.kind, decision.complete) == ("Hold", ("pilot",))


@pytest.mark.parametrize("kind", ["Progressing", "Inconclusive", "Unknown"])
def test_field_08_only_positive_evidence_advances(kind: str) -> None:
    now = situation(given="p")
    assert (
        decide(replace(now, verdicts={**now.verdicts, "p": verdict("p", NEW.id, kind, NOW)})).kind == "Hold"
    )


def test_field_09_a_stale_reading_of_main_replays_nothing() -> None:
    before = situation()
    start = decide(before)
    decision = decide(with_request(before, start, state="merged"))
    assert (decision.kind, "merged-already" in codes(decision)) == ("Hold", True)


def test_field_10_what_another_merge_took_is_decided_anew() -> None:
    now = situation(given="p+ a")
    stale = decide(situation(given="p+"))
    decision = decide(with_request(now, stale))
    assert moved(decision) == all_to(NEW.id, "b", "c", "d")
    assert [item.number for item in decision.obsolete] == [7]


def test_field_11_what_changes_nothing_inherits_no_verdict() -> None:
    """The same pods under another release: proof on one cluster is none on another."""
    now = policy_only("p")
    decision = decide(now)
    assert (decision.kind, decision.moves) == ("Hold", ())


def test_field_12_waves_go_strictly_in_order() -> None:
    three = (*waves(), ReleaseWave(name="last", members=("z",)))
    target = release("2-new", "w2", three)
    now = situation(target, "p a+ b+ c+ d+")
    assert decide(now).kind == "Hold"


def test_field_13_a_merge_whose_record_was_lost_is_found_and_not_repeated() -> None:
    decision = decide(situation(given="p"))
    assert decision.kind == "Hold"
    assert decide(situation()).key != decide(situation(given="p+")).key


def test_field_14_verified_without_a_basis_is_no_proof() -> None:
    now = situation(given="p")
    hollow = verdict("p", NEW.id, "Verified", NOW, basis=None)
    assert decide(replace(now, verdicts={**now.verdicts, "p": hollow})).kind == "Hold"


def test_field_15_a_bake_is_measured_on_this_release_and_failures_stop_it() -> None:
    baking = release("2-new", "w2", (replace(waves()[0], minSuccessTime="1h"), waves()[1]))
    now = situation(baking, "p+")
    assert decide(now).kind == "Advance"
    unbaked = verdict("p", NEW.id, "Verified", NOW, evidence=Evidence())
    assert decide(replace(now, verdicts={**now.verdicts, "p": unbaked})).kind == "Hold"
    assert decide(situation(baking, "p-")).kind == "Rollback"


def test_kubefleet_733_a_cluster_that_leaves_in_the_middle_stops_nothing_else() -> None:
    now = situation(release("2-new", "w2", waves(maxFailures=1)), "p+ a+ b+ c")
    sites = {name: site for name, site in now.sites.items() if name != "d"}
    verdicts = {name: item for name, item in now.verdicts.items() if name != "d"}
    assert decide(replace(now, sites=sites, verdicts=verdicts)).kind == "Hold"
    proven = {**verdicts, "c": verdict("c", NEW.id, "Verified", NOW)}
    assert decide(replace(now, sites=sites, verdicts=proven)).kind == "Done"


def test_another_app_under_way_in_the_same_branch_changes_nothing() -> None:
    """A wave of one app moves the head of all: the head plays no part."""
    now = situation(given="p+")
    other = merged(at=NOW, by="bot", kind="Advance", release="9-other")
    assert decide(replace(now, history=(*now.history, other))).key == decide(now).key


def test_a_reason_says_what_would_change_it() -> None:
    for decision in (decide(situation(given="p")), decide(situation(fleet=fleet(paused=True)))):
        assert all(reason.message for reason in decision.reasons)
        assert any(reason.remedy for reason in decision.reasons)
