"""The simulated controller under the real objects of the examples, and what is true of it then."""

from datetime import timedelta

import pytest
from msgspec.json import encode
from simulated import SECOND, START, Case, case, objects

from canaryfleet.case import Proof
from canaryfleet.engines.argo_rollouts.observe import reads
from canaryfleet.engines.argo_rollouts.simulate import Trouble, sight
from canaryfleet.models.observation import Subject
from canaryfleet.reasons import REASONS

HOURS = 60


@pytest.fixture
def canary() -> Case:
    return case("assistant", "eu-west-1a")


@pytest.fixture
def first() -> Case:
    """Embeddings has no earlier release: blue-green, and stable at once."""
    return case("embeddings", "eu-west-1a")


def test_a_good_canary_goes_through_all_steps_and_its_bake(canary):
    assert canary.told(-1, 0.0001, 1, 20, 30, 45) == ["NotSynced", "NotObserved", *["StepPaused"] * 4]
    weights = [canary.seen(minutes).live.weight for minutes in (1, 20, 30, 42, 50)]
    assert weights == [0, 0, 5, 25, 50]
    assert canary.told(80, 110) == ["Baking", "Baking"]
    verdict = canary.verdict(3 * HOURS)
    assert (verdict.kind, verdict.basis) == ("Verified", "Analysis")
    assert SECOND + timedelta(hours=1) < verdict.since < SECOND + timedelta(hours=3)


def test_since_and_hash_do_not_move(canary):
    assert canary.verdict(3 * HOURS).since == canary.verdict(5 * HOURS).since
    assert canary.verdict(3 * HOURS).hash == canary.verdict(5 * HOURS).hash


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"mood": "bad"}, "BeyondThreshold"),
        ({"mood": "flapping"}, "BeyondThreshold"),
        ({"mood": "bad", "since": 90 * 60}, "BakeBeyondThreshold"),
        ({"mood": "few"}, "TooLittleProof"),
        ({"mood": "between"}, "TooLittleProof"),
        ({"mood": "nan"}, "TooLittleProof"),
        ({"mood": "outage"}, "Aborted"),
        ({"crashes": True}, "Crashing"),
        ({"unschedulable": True}, "Overdue"),
    ],
)
def test_what_is_not_good_is_never_verified(canary, how, reason):
    behaving = canary.behaving(**how)
    assert behaving.verdict(3 * HOURS).reason == reason
    assert all(behaving.verdict(minutes).kind != "Verified" for minutes in range(0, 180, 15))


def test_pods_that_fit_nowhere_are_waited_for_until_the_controllers_own_deadline(canary):
    assert canary.behaving(unschedulable=True).told(1, 60) == ["Unschedulable", "Overdue"]


def test_an_outage_that_ends_holds_nothing_up(canary):
    behaving = canary.behaving(before="outage", since=28 * 60)
    assert behaving.verdict(4 * HOURS).kind == "Verified"


@pytest.mark.parametrize("mood", ["few", "between", "nan", "outage"])
def test_failed_needs_proof(canary, mood):
    behaving = canary.behaving(mood=mood)
    kinds = {behaving.verdict(minutes).kind for minutes in range(0, 180, 15)}
    assert kinds <= {"Progressing", "Inconclusive"}


def test_the_deadline_ends_progress(canary):
    stuck = canary.then(10, "stop")
    assert stuck.verdict(23 * HOURS).reason == "StepPaused"
    late = stuck.verdict(25 * HOURS)
    assert (late.kind, late.reason) == ("Inconclusive", "DeadlinePassed")
    assert late.since < SECOND + timedelta(days=1, minutes=1)


def test_full_promotion_by_hand_is_not_proof(canary):
    assert canary.then(30, "promote").verdict(3 * HOURS).reason in ("RunMissing", "Unproven")


def test_collected_runs_are_unknown(canary):
    assert canary.then(150, "collect").told(149, 151) == ["Proven", "RunMissing"]


def test_a_pointer_that_a_clock_dated_ahead_is_told_as_such(canary):
    """Its time has come meanwhile: the runs were made after it moved, and look as if they were from before."""
    verdict = canary.verdict(5 * HOURS, promoted=SECOND + timedelta(hours=4))
    assert (verdict.kind, verdict.reason) == ("Unknown", "RunOlder")
    assert "the commit that moved the pointer is of" in verdict.message
    assert "excuse the cluster or release another version" in REASONS[verdict.reason].remedy


def test_an_abort_by_hand_proves_nothing(canary):
    verdict = canary.then(30, "abort").verdict(31)
    assert (verdict.kind, verdict.reason) == ("Inconclusive", "Aborted")


def test_a_retry_begins_anew(canary):
    behaving = canary.behaving(mood="good", before="bad", since=30 * 60).then(40, "retry")
    assert behaving.told(39, 240) == ["BeyondThreshold", "Proven"]


def test_a_person_who_resumes_lets_it_measure_anew(canary):
    behaving = canary.behaving(mood="good", before="few", since=75 * 60).then(80, "resume")
    assert behaving.told(79, 240) == ["TooLittleProof", "Proven"]


def test_paused_by_hand(canary):
    assert canary.then(10, "pause").told(11) == ["Stopped"]


def test_a_controller_that_is_down_shows_nothing_new(canary):
    stopped = canary.then(-1, "stop")
    assert stopped.told(5) == ["NotObserved"]
    assert stopped.then(10, "start").told(4 * HOURS) == ["Proven"]


def test_going_back_skips_everything(canary):
    back = objects("assistant", "eu-west-1a", canary.fallback.id)
    went = canary.behaving(mood="bad").then(40, "apply", back)._replace(release=canary.fallback)
    assert went.told(41, reverted=True) == ["Reverted"]
    assert went.verdict(41).kind != "Verified"
    assert went.seen(41).live.weight == 100


def test_the_same_workload_is_known_from_before(canary):
    pod = canary.release.clusters["eu-west-1a"].pod
    promoted = canary.then(30, "promote")
    proof = Proof(pod, canary.script.identity, "hash")
    assert promoted.verdict(3 * HOURS, proof=proof).basis == "SameWorkload"
    for other in (proof._replace(pod="other"), proof._replace(identity="other")):
        assert promoted.verdict(3 * HOURS, proof=other).kind != "Verified"


def test_a_first_deployment_is_stable_at_once_and_baked(first):
    assert first.fallback is None
    assert first.told(-1, 1) == ["NotThere", "Baking"]
    verdict = first.verdict(60)
    assert (verdict.kind, verdict.basis) == ("Verified", "FirstDeployment")
    assert first.verdict(60, fallback="something").kind == "Unknown"


def test_a_first_deployment_without_a_bake_is_healthy():
    alone = case("embeddings", "eu-north-1a")
    assert alone.verdict(60).basis == "FirstDeployment"
    slow = alone.behaving(startup=10_000)
    assert slow.verdict(1).kind == "Progressing"
    assert slow.verdict(60).reason == "Overdue"


def test_a_cluster_that_can_not_be_read(canary):
    trouble = Trouble(SECOND, SECOND + timedelta(hours=9), "timeout")
    away = canary._replace(script=canary.script._replace(troubles=(trouble,)))
    assert away.told(60) == ["Timeout"]


def test_the_same_script_gives_the_same_bytes(canary):
    subject = Subject(app="assistant", namespace="inference", release=canary.release.id, selector={})
    at = START + timedelta(hours=2)
    assert encode(sight(canary.script, reads(subject), at)) == encode(
        sight(canary.script, reads(subject), at)
    )
