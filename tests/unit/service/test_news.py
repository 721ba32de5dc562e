"""What is told, and that each is told once: by the run that made it so, or when it becomes so."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from canaryfleet.models.decision import Decision, Move, Pointed, Reason
from canaryfleet.models.outcome import Action, Outcome
from canaryfleet.models.release import ReleaseWave
from canaryfleet.news import asking, events, first_batch, told_of
from world import World

MOVES = (Move(cluster="a", from_="1-x", to="2-y"), Move(cluster="b", from_="1-x", to="2-y"))


def decision(kind: Any = "Advance", *codes: Any, **more: Any) -> Decision:
    reasons = tuple(Reason(code=code, message=f"{code} it is", remedy="do something") for code in codes)
    fields = {"app": "chat", "kind": kind, "release": "2-y", "wave": "europe", "reasons": reasons}
    if kind not in ("Hold", "Done"):
        fields |= {"moves": MOVES, "key": "k1", "ready": True}
    return Decision(**(fields | more))


def outcome(after: Decision | None, *verbs: Any, **more: Any) -> Outcome:
    actions = tuple(Action(verb=verb, number=7, url="https://forge/7") for verb in verbs)
    return Outcome(app="chat", decision=after, actions=actions, **more)


def kinds(before: Decision | None, after: Outcome) -> list[str]:
    return [event.kind for event in events(told_of(before) if before else None, after)]


HELD = decision("Hold", "inconclusive")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, outcome(None), []),
        (HELD, outcome(None, "closed"), []),
        # a wave starts when its first pull request is merged, by the run that merged it
        (None, outcome(decision(), "opened", "merged"), ["start"]),
        (decision(), outcome(decision(), "merged"), ["start"]),
        (None, outcome(decision("Retry"), "merged"), ["start"]),
        (None, outcome(decision(), "merged", begins=False), []),
        (None, outcome(decision(), "opened"), []),
        (None, outcome(decision(), "updated"), []),
        (decision(), outcome(decision()), []),
        # it waits for a person
        (None, outcome(decision("Advance", "approval-missing", ready=False), "opened"), ["hold"]),
        (None, outcome(decision("Advance", "approval-missing", ready=False)), []),
        (decision("Hold", "wave-incomplete"), outcome(HELD), ["hold"]),
        (HELD, outcome(HELD), []),
        (None, outcome(HELD), []),
        (HELD, outcome(decision("Hold", "inconclusive", "barred")), ["hold"]),
        (decision("Hold", "inconclusive", release="1-x"), outcome(HELD), ["hold"]),
        (decision("Hold", "paused"), outcome(decision("Hold", "wave-incomplete")), []),
        (decision(ready=True), outcome(decision("Advance", "changes-requested", ready=False)), ["hold"]),
        # it fails
        (None, outcome(decision("Rollback", "beyond-limit"), "opened", "merged"), ["fail"]),
        (None, outcome(decision("Rollback", "beyond-limit"), "opened"), ["fail"]),
        (decision("Rollback"), outcome(decision("Rollback"), "merged"), ["fail"]),
        (decision("Rollback"), outcome(decision("Rollback")), []),
        (decision("Hold", "wave-incomplete"), outcome(decision("Hold", "max-failures")), ["fail"]),
        # it is done
        (decision("Hold", "wave-incomplete"), outcome(decision("Done", "done")), ["done"]),
        (decision("Done"), outcome(decision("Done")), []),
        (decision("Done", release="1-x"), outcome(decision("Done")), ["done"]),
        (None, outcome(decision("Done")), []),
        (decision("Advance"), outcome(decision("Done", key="k2", ready=True), "opened", "merged"), ["done"]),
        (decision("Done"), outcome(decision("Done", "changes-requested", key="k2"), "opened"), []),
    ],
)
def test_each_is_told_when_it_becomes_so(
    before: Decision | None, after: Outcome, expected: list[str]
) -> None:
    assert kinds(before, after) == expected


def test_an_alarm_asks_for_a_person_whatever_its_code() -> None:
    loud = Reason(code="unknown", message="look now", alarm=True)
    quiet = Reason(code="unknown", message="look later")
    assert asking(decision("Hold", reasons=(loud, quiet))) == (loud,)


def test_two_bots_tell_one_event_by_one_id_and_a_second_attempt_by_another() -> None:
    once = outcome(decision(), "merged")
    (mine,), (theirs,) = events(None, once), events(told_of(HELD), once)
    assert mine == theirs
    (later,) = events(None, outcome(decision(key="k2"), "merged"))
    assert later.id != mine.id


def test_a_rollback_that_was_proposed_and_then_merged_is_two_things_to_know() -> None:
    (proposed,) = events(None, outcome(decision("Rollback"), "opened"))
    (merged,) = events(None, outcome(decision("Rollback"), "merged"))
    assert proposed.id != merged.id
    assert "proposed" in proposed.title
    assert "went back" in merged.title


def test_an_event_says_where_to_look_and_what_would_change_it() -> None:
    (event,) = events(None, outcome(decision("Advance", "approval-missing", ready=False), "opened"))
    assert (event.number, event.url, event.key) == (7, "https://forge/7", "k1")
    assert event.reasons == ("approval-missing it is (do something)",)
    assert event.codes == ("approval-missing",)
    assert event.clusters == ("a", "b")


def test_text_of_others_stays_on_one_line() -> None:
    evil = Reason(code="barred", message="no\nyes\x1b[31m\ud800", remedy="\u202e")
    before = decision("Hold")
    (event,) = events(told_of(before), outcome(decision("Hold", reasons=(evil,))))
    assert all(text.isprintable() for text in (event.title, *event.reasons))


def test_the_first_batch_of_a_wave_is_the_one_before_any_cluster_has_the_release() -> None:
    world = World((ReleaseWave(name="pilot", members=("a",)), ReleaseWave(name="rest", members=("b", "c"))))
    world.new("v1", "w1")
    reading = world.look()
    start = decision("Start", release="v1", wave="rest")
    assert first_batch(reading, start)
    moved = {**reading.pointers, "b": Pointed(release="v1")}
    assert not first_batch(replace(reading, pointers=moved), start)
    other_wave = {**reading.pointers, "a": Pointed(release="v1")}
    assert first_batch(replace(reading, pointers=other_wave), start)


STATES = st.sampled_from([
    decision("Hold", "wave-incomplete"), HELD, decision("Hold", "inconclusive", "barred"), decision("Hold", "failed"),
    decision("Done"), decision("Done", release="1-x"), decision("Advance", "approval-missing", ready=False),
])  # fmt: skip


@given(st.lists(STATES, max_size=12))
def test_a_state_that_stays_is_told_no_second_time(states: list[Decision]) -> None:
    before = None
    for state in states:
        events(before, outcome(state))
        before = told_of(state)
        assert events(before, outcome(state)) == []
