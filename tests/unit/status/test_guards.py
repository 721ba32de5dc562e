"""Each guard by itself: one thing of a verified or failed observation is otherwise."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from recorded import recording

from canaryfleet.case import Proof
from canaryfleet.engines.argo_rollouts.observe import observe
from canaryfleet.evidence import Contradiction, Judged, Rule, number, word
from canaryfleet.models.observation import Measured, Measurement, Observation, PodState, Run
from canaryfleet.models.release import ReleaseMetric
from canaryfleet.quantity import duration
from canaryfleet.reasons import REASONS
from canaryfleet.verdict import GUARDS, judge, worst

BASE = recording("good")
GOOD = observe(BASE.sightings[-1], BASE.subject)
BAD_BASE = recording("bad-aborted")
BAD = observe(BAD_BASE.sightings[-1], BAD_BASE.subject)
MIDDLE = next(
    seen
    for seen in (observe(sighting, BASE.subject) for sighting in BASE.sightings)
    if seen.live and seen.live.paused and len(seen.runs) > 1
)
FIRST, LAST = BASE.steps  # those that are an analysis
BEGUN = min(run.created for run in GOOD.runs if run.role == "steps")
(BAKED,) = next(run.metrics for run in GOOD.runs if run.role == "bake")


def reason(seen: Observation, base: Any = BASE, **changes: Any) -> str:
    return judge(seen, base.expected(**changes), now=seen.ended).reason


def live(seen: Observation = GOOD, **changes: Any) -> Observation:
    return replace(seen, live=replace(seen.live, **changes))


def runs(seen: Observation, role: str, change: Any) -> Observation:
    """The observation with the runs of a role changed."""
    return replace(seen, runs=tuple(change(run) if run.role == role else run for run in seen.runs))


def metrics(change: Any) -> Any:
    return lambda run: replace(run, metrics=tuple(change(metric) for metric in run.metrics))


def test_good_is_good():
    assert reason(GOOD) == "Proven"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (live(release="another"), "NotSynced"),
        (live(release=None), "NotSynced"),
        (live(pod="another"), "OtherPods"),
        (live(workload="another"), "OtherPods"),
        (live(strategy="blueGreen"), "OtherPods"),
        (live(content="another"), "OtherPods"),
        (live(content=""), "OtherPods"),
        (live(steps=GOOD.live.steps[1:]), "OtherSteps"),
        (live(observed=False), "NotObserved"),
        (live(invalid="a template is missing"), "InvalidSpec"),
        (live(leaving=True), "Leaving"),
        (live(current=None), "VersionMissing"),
        (live(current=replace(GOOD.live.current, pod="another")), "OldVersion"),
        (live(current=replace(GOOD.live.current, workload="another")), "OldVersion"),
        (live(current=replace(GOOD.live.current, revision=1)), "OldVersion"),
        (live(revision=None, current=replace(GOOD.live.current, revision=None)), "OldVersion"),
        (live(aborted=True), "Aborted"),
        (live(stopped=True), "Stopped"),
        (live(paused=("InconclusiveAnalysisRun",)), "TooLittleProof"),
        (live(paused=("CanaryPauseStep",)), "StepPaused"),
        (live(stable=None), "Stepping"),
        (live(stable=replace(GOOD.live.current, uid="another")), "Stepping"),
        (live(step=3), "Stepping"),
        (live(weight=0), "Stepping"),  # the status that is Healthy with weight 100 for the canary
        (live(weight=None), "Stepping"),
        (live(phase="Progressing"), "NotAvailable"),
        (live(phase="Degraded"), "NotAvailable"),
        (live(replicas=0), "NotAvailable"),
        (live(available=3), "NotAvailable"),
        (live(updated=3), "NotAvailable"),
        (live(current=replace(GOOD.live.current, available=3)), "NotAvailable"),
        (live(current=replace(GOOD.live.current, replicas=3)), "NotAvailable"),
        (live(changed=None), "NotObserved"),
        (replace(GOOD, live=None), "NotThere"),
        (replace(GOOD, pods=()), "NotAvailable"),
        (replace(GOOD, cluster="another"), "OtherCluster"),
        (replace(GOOD, identity="another"), "OtherCluster"),
        (replace(GOOD, identity=None), "NoIdentity"),
        (replace(GOOD, began=GOOD.ended + timedelta(seconds=1)), "Clock"),
        (replace(GOOD, began=GOOD.began - timedelta(minutes=11)), "Stale"),
        (live(changed=GOOD.ended + timedelta(minutes=3)), "Clock"),
        (live(changed=BEGUN - timedelta(minutes=1)), "RunMissing"),
        (live(changed=BAKED.measurements[-1].began), "BakeUnproven"),
        (runs(GOOD, "steps", lambda run: replace(run, release="another")), "RunMissing"),
        (runs(GOOD, "steps", lambda run: replace(run, pod="another")), "RunMissing"),
        (runs(GOOD, "steps", lambda run: replace(run, cluster="another")), "RunMissing"),
        (runs(GOOD, "steps", lambda run: replace(run, hash="another")), "RunMissing"),
        (runs(GOOD, "steps", lambda run: replace(run, revision=GOOD.live.revision + 1)), "RunMissing"),
        (runs(GOOD, "steps", lambda run: replace(run, step=FIRST + 1)), "RunMissing"),
        (runs(GOOD, "steps", lambda run: replace(run, measures="another")), "RunMissing"),
        (runs(GOOD, "background", lambda run: replace(run, measures="another")), "RunMissing"),
        (runs(GOOD, "bake", lambda run: replace(run, measures="another")), "BakeMissing"),
        (runs(GOOD, "steps", lambda run: replace(run, created=run.created - timedelta(days=1))), "RunMissing"),
        (runs(GOOD, "steps", lambda run: replace(run, terminated=True)), "Unproven"),
        (runs(GOOD, "steps", lambda run: replace(run, phase="Error")), "Unproven"),
        (runs(GOOD, "steps", lambda run: replace(run, metrics=run.metrics[1:])), "Unproven"),
        (runs(GOOD, "steps", metrics(lambda item: replace(item, dryRun=True))), "Unproven"),
        (runs(GOOD, "steps", metrics(lambda item: replace(item, measurements=()))), "Unproven"),
        (runs(GOOD, "steps", metrics(lambda item: replace(item, phase="Error"))), "Unproven"),
        (runs(GOOD, "background", lambda run: replace(run, phase="Error")), "Unproven"),
        (runs(GOOD, "background", metrics(lambda item: replace(item, count=0))), "Unproven"),
        (runs(GOOD, "background", lambda run: replace(run, metrics=())), "Unproven"),
        (runs(GOOD, "bake", lambda run: replace(run, phase="Running", metrics=())), "Baking"),
        (runs(GOOD, "bake", lambda run: replace(run, terminated=True)), "BakeUnproven"),
        (runs(GOOD, "bake", lambda run: replace(run, cluster="another")), "BakeMissing"),
    ],
)  # fmt: skip
def test_one_thing_is_otherwise(seen, expected):
    assert reason(seen) == expected
    assert REASONS[expected].kind != "Verified"


def test_the_release_has_to_know_the_cluster():
    known = BASE.release
    expected = BASE.expected()._replace(release=replace(known, clusters={}))
    assert judge(GOOD, expected, now=GOOD.ended).reason == "NotMember"
    outside = BASE.expected()._replace(release=replace(known, waves=()))
    assert judge(GOOD, outside, now=GOOD.ended).reason == "NotMember"


def test_a_release_that_measures_nothing_proves_nothing():
    nothing = replace(BASE.release, metrics=(), files={})
    seen = live(steps=GOOD.live.steps)
    assert judge(seen, BASE.expected()._replace(release=nothing), now=seen.ended).reason == "Unproven"


def test_other_thresholds_than_the_release_has_are_a_contradiction():
    tighter = replace(
        BASE.release, metrics=tuple(replace(item, promote="< 0") for item in BASE.release.metrics)
    )
    verdict = judge(GOOD, BASE.expected()._replace(release=tighter), now=GOOD.ended)
    assert (verdict.kind, verdict.reason) == ("Unknown", "Contradictory")


@pytest.mark.parametrize("times", [1.6, 2])  # times have whole seconds, of which there are few
def test_a_shorter_bake_is_none(times):
    """Also if the run itself asks for less than minSuccessTime."""
    (wave,) = BASE.release.waves
    longer = replace(wave, minSuccessTime=f"{float(duration(wave.minSuccessTime)) * times:g}s")
    expected = BASE.expected()._replace(release=replace(BASE.release, waves=(longer,)))
    assert BAKED.successes > 1
    assert judge(GOOD, expected, now=GOOD.ended).reason == "BakeUnproven"


def test_good_ones_have_to_be_in_a_row():
    def broken(item: Measured) -> Measured:
        last = item.measurements[-1]
        worse = replace(last, phase="Error", value=None)
        return replace(item, measurements=(*item.measurements[:-1], worse, last))

    assert reason(runs(GOOD, "bake", metrics(broken))) == "BakeUnproven"


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=9)])
def test_what_has_become_stable_is_not_overdue_when_a_pod_restarts(late):
    verdict = judge(
        replace(live(available=3, overdue=True), began=GOOD.ended + late, ended=GOOD.ended + late),
        BASE.expected(),
        now=GOOD.ended + late,
    )
    assert (verdict.kind, verdict.reason) == ("Progressing", "NotAvailable")


def test_a_canary_whose_pods_do_not_come_up_is_overdue():
    assert reason(live(MIDDLE, overdue=True, paused=())) == "Overdue"
    first = replace(live(overdue=True), runs=())
    assert reason(first, fallback=None) == "Overdue"


def test_evidence_is_newer_than_the_promotion():
    assert reason(GOOD, promoted=GOOD.began - timedelta(minutes=5)) == "Proven"
    assert reason(GOOD, promoted=GOOD.ended + timedelta(minutes=2)) == "RunOlder"


def test_progress_ends_with_the_deadline():
    deadline = timedelta(seconds=float(duration(BASE.release.waves[0].progressDeadline)))
    late = MIDDLE.ended + deadline
    verdict = judge(replace(MIDDLE, began=late, ended=late), BASE.expected(), now=late)
    assert (verdict.kind, verdict.reason) == ("Inconclusive", "DeadlinePassed")
    assert verdict.since == MIDDLE.live.changed + deadline


def test_the_same_pods_were_verified_here_before():
    unmeasured = runs(GOOD, "steps", lambda run: replace(run, terminated=True))
    proof = Proof(GOOD.live.pod, GOOD.identity, "hash")
    assert reason(unmeasured, proof=proof) == "SameWorkload"
    assert reason(unmeasured, proof=proof._replace(pod="another")) == "Unproven"
    assert reason(unmeasured, proof=proof._replace(identity="another")) == "Unproven"


def test_a_retry_replaces_the_steps_of_the_attempt_before():
    def worse(item: Measured) -> Measured:
        if item.dryRun:
            return item
        bad = replace(item.measurements[-1], phase="Failed", value="[0.9]")
        return replace(item, phase="Failed", failed=1, measurements=(bad,))

    begun, later = (next(run for run in GOOD.runs if run.step == step) for step in (FIRST, LAST))
    failed = replace(metrics(worse)(later), created=begun.created - timedelta(seconds=3), phase="Failed")
    seen = replace(MIDDLE, runs=(failed, begun))
    assert reason(seen) == "StepPaused"
    assert reason(replace(seen, runs=(begun, replace(failed, created=later.created)))) == "BeyondThreshold"
    assert reason(replace(seen, runs=(failed,))) == "BeyondThreshold"


def test_an_error_ends_a_row_of_good_ones():
    words = [(measured(phase, "[0.05]"), said) for phase, said in ROW]
    judged = Judged(Rule(METRIC, strict=True), Measured(name="m", phase="Running"), tuple(words))
    assert len(judged.run_of_good) == 2


# Proof of bad


def test_bad_is_failed_only_within_this_rollout():
    assert reason(BAD, BAD_BASE) == "BeyondThreshold"
    elsewhere = runs(BAD, "background", lambda run: replace(run, revision=1))
    assert reason(elsewhere, BAD_BASE) == "Aborted"
    foreign = runs(BAD, "background", lambda run: replace(run, release="another"))
    assert reason(foreign, BAD_BASE) == "Aborted"


def test_what_is_let_pass_is_not_failed():
    allowed = runs(BAD, "background", metrics(lambda item: replace(item, failureLimit=1)))
    assert reason(allowed, BAD_BASE) == "Aborted"


def test_the_phase_of_a_run_alone_fails_nothing():
    def error(item: Measured) -> Measured:
        return replace(item, measurements=tuple(one for one in item.measurements if one.phase != "Failed"))

    assert reason(runs(BAD, "background", metrics(error)), BAD_BASE) == "Aborted"


def test_lost_bad_ones_are_in_the_counter_but_the_proof_has_to_be_there():
    last = runs(
        BAD,
        "background",
        metrics(lambda item: replace(item, failureLimit=2, failed=3) if item.failed else item),
    )
    assert reason(last, BAD_BASE) == "BeyondThreshold"


def twin(run: Run, value: str, earlier: float = 0, **other: Any) -> Run:
    """The same of the stable version in a run, so many seconds before the canary's last measurement."""
    at = max(item.began for metric in run.metrics for item in metric.measurements)
    at -= timedelta(seconds=earlier)
    one = Measurement(phase="Failed", value=value, began=at, ended=at)
    beside = Measured(name="istio-error-rate-stable", phase="Failed", dryRun=True, measurements=(one,))
    others = (metric for metric in run.metrics if metric.name != beside.name)
    return replace(run, metrics=(*others, replace(beside, **other)))


def beside(*values: str, **more: Any) -> str:
    """The reason if the stable version was so, one second after the other; the canary was at 0.5 or so."""
    measured = tuple(
        Measurement(phase="Failed", value=value, began=at, ended=at)
        for number, value in enumerate(reversed(values))
        for at in [LAST_BAD - timedelta(seconds=number)]
    )
    changed = {"measurements": measured[::-1]} | more
    return reason(runs(BAD, "background", lambda run: twin(run, "[]", **changed)), BAD_BASE)


LAST_BAD = max(
    item.began
    for run in BAD.runs
    if run.role == "background"
    for metric in run.metrics
    for item in metric.measurements
)


def test_a_stable_version_that_is_as_bad_holds():
    assert beside("[0.9]") == "StableAsBad"
    assert beside("[0.001]") == "BeyondThreshold"
    assert beside("[]") == "BeyondThreshold"


def test_what_the_stable_version_was_is_evidence():
    seen = runs(BAD, "background", lambda run: twin(run, "[0.9]"))
    evidence = judge(seen, BAD_BASE.expected(), now=seen.ended).evidence
    (shown,) = (
        metric
        for run in evidence.runs
        for metric in run.metrics
        if (run.role, metric.name) == ("background", "istio-error-rate")
    )
    assert shown.stable == "[0.9]" != shown.value


def test_a_stable_version_that_just_touches_the_threshold_is_no_excuse():
    assert beside("[0.051]") == "BeyondThreshold"


@pytest.mark.parametrize(("earlier", "expected"), [(50, "StableAsBad"), (70, "BeyondThreshold")])
def test_how_the_stable_version_was_long_before_says_nothing(earlier, expected):
    assert reason(runs(BAD, "background", lambda run: twin(run, "[0.9]", earlier)), BAD_BASE) == expected


def test_the_number_nearest_in_time_counts():
    assert beside("[0.9]", "[0.001]") == "BeyondThreshold"
    assert beside("[0.9]", "[]") == "StableAsBad", "no number is none"


def test_a_metric_of_that_name_that_decides_is_not_about_the_stable_version():
    assert beside("[0.9]", dryRun=False) == "BeyondThreshold"


def test_what_another_run_measured_of_the_stable_version_says_nothing():
    def other(run: Run) -> Run:
        mine = tuple(metric for metric in run.metrics if not metric.dryRun)
        return replace(run, metrics=mine)

    (background,) = [run for run in BAD.runs if run.role == "background"]
    step = replace(
        twin(other(background), "[0.9]"), name="s", uid="s", role="steps", step=FIRST, phase="Running"
    )
    step = replace(step, metrics=step.metrics[-1:])
    seen = runs(replace(BAD, runs=(*BAD.runs, step)), "background", other)
    assert reason(seen, BAD_BASE) == "BeyondThreshold"


def test_one_metric_that_is_excused_excuses_no_other():
    def two(run: Run) -> Run:
        made = twin(run, "[0.9]")
        bad = next(metric for metric in made.metrics if metric.failed)
        return replace(made, metrics=(*made.metrics, replace(bad, name="other")))

    (metric,) = BAD_BASE.release.metrics
    release = replace(BAD_BASE.release, metrics=(metric, replace(metric, name="other")))
    assert reason(runs(BAD, "background", two), BAD_BASE._replace(release=release)) == "BeyondThreshold"


def test_pods_that_crash_are_not_excused_by_a_metric():
    pods = tuple(pod(name, BAD.live.current.hash, 5) for name in ("a", "b"))
    pods = tuple(replace(one, pod=BAD.live.pod) for one in pods)
    excused = runs(BAD, "background", lambda run: twin(run, "[0.9]"))
    assert reason(replace(excused, pods=pods), BAD_BASE) == "Crashing"


def pod(name: str, hash_: str, crashes: int) -> PodState:
    return PodState(name=name, uid=name, hash=hash_, pod=MIDDLE.live.pod, crashes=crashes, why="app: Error 1")


@pytest.mark.parametrize(
    ("crashes", "expected"),
    [
        ((3, 4), "Crashing"),
        ((3, 0), "StepPaused"),
        ((2, 2), "StepPaused"),
        ((3, 3, 0), "Crashing"),
        ((), "StepPaused"),
    ],
)
def test_most_of_the_canary_has_to_crash(crashes, expected):
    pods = tuple(pod(f"p{at}", MIDDLE.live.current.hash, n) for at, n in enumerate(crashes))
    assert reason(replace(MIDDLE, pods=pods)) == expected


def test_a_stable_version_that_crashes_too_holds():
    pods = (pod("a", MIDDLE.live.current.hash, 5), pod("b", MIDDLE.live.stable.hash, 5))
    assert reason(replace(MIDDLE, pods=pods)) == "StableAsBad"


def test_one_stable_pod_of_many_that_crashes_excuses_nothing():
    stable = MIDDLE.live.stable.hash
    pods = (
        pod("a", MIDDLE.live.current.hash, 5),
        pod("b", stable, 5),
        pod("c", stable, 0),
        pod("d", stable, 0),
    )
    assert reason(replace(MIDDLE, pods=pods)) == "Crashing"


def test_where_nothing_is_asked_nothing_is_verified():
    """The only metric is one of the bake, and this wave has none."""
    (metric,) = BASE.release.metrics
    files = {path: digest for path, digest in BASE.release.files.items() if not path.startswith("waves/")}
    steps = tuple(step for step in BASE.release.steps if "analysis" not in step)
    only = replace(
        BASE.release, metrics=(replace(metric, during=("bake",)),), files=files, steps=steps, analyses={}
    )
    seen = live(replace(GOOD, runs=()), steps=steps, step=len(steps))
    assert reason(seen, BASE._replace(release=only)) == "Unproven"


def again(seen: Observation, phase: str) -> Observation:
    """The same after a first background run that ended in a phase, where a second came after all steps."""
    (run,) = [run for run in seen.runs if run.role == "background"]
    later = max(one.created for one in seen.runs if one.role == "steps") + timedelta(seconds=1)
    (metric,) = [item for item in run.metrics if not item.dryRun]
    (one,) = metric.measurements[-1:]
    one = replace(one, began=later, ended=later)
    short = (replace(metric, measurements=(one,), count=1),)
    second = replace(run, name=f"{run.name}.1", uid="second", created=later, metrics=short)
    return replace(
        seen, runs=(*(replace(one, phase=phase) if one == run else one for one in seen.runs), second)
    )


@pytest.mark.parametrize("phase", ["Successful", "Failed", "Error"])
def test_steps_of_an_attempt_that_was_aborted_prove_nothing(phase):
    assert reason(again(GOOD, phase)) == "RunMissing"


def test_steps_before_a_person_resumed_are_of_the_same_attempt():
    assert reason(again(GOOD, "Inconclusive")) == "Proven"


def alone(seen: Observation, during: str) -> Any:
    """The recorded release, if its metric were measured in the background alone: no step asks for it."""
    (metric,) = BASE.release.metrics
    kept = {key: text for key, text in BASE.release.analyses.items() if not key.startswith("steps")}
    metrics = (replace(metric, during=(during, "bake")),)
    return BASE._replace(release=replace(BASE.release, metrics=metrics, analyses=kept))


def test_what_only_the_background_measures_is_measured_through_all_pauses():
    base = alone(GOOD, "background")
    assert reason(GOOD, base) == "Proven"
    (run,) = [run for run in GOOD.runs if run.role == "background"]
    seconds = (
        timedelta(seconds=float(duration(step["pause"]["duration"])))
        for step in BASE.release.steps
        if "pause" in step
    )
    early = run.created + sum(seconds, timedelta(0)) - timedelta(seconds=6)
    assert early > run.created
    promoted = live(replace(GOOD, runs=tuple(one for one in GOOD.runs if one.role != "steps")), changed=early)
    bakes = replace(
        promoted,
        runs=tuple(replace(one, created=early) if one.role == "bake" else one for one in promoted.runs),
    )
    assert reason(bakes, base) == "Unproven"


BLUE = recording("blue-green").unbaked()
SWITCHED = observe(BLUE.sightings[-1], BLUE.subject)


def guards(**changed: Any) -> Observation:
    def change(item: Measured) -> Measured:
        return replace(item, **changed) if item.name.endswith("-guard") else item

    return runs(SWITCHED, "steps", metrics(change))


def test_a_guard_that_never_looked_is_missed():
    assert reason(SWITCHED, BLUE) == "Proven"
    assert reason(guards(count=0, measurements=()), BLUE) == "Unproven"


def test_a_metric_that_only_a_guard_measures_was_good_at_its_end():
    (metric,) = BLUE.release.metrics
    other = replace(metric, name="other", during=("background",))
    base = BLUE._replace(release=replace(BLUE.release, metrics=(metric, other)))

    def beside(run: Run) -> Run:
        (guard,) = [item for item in run.metrics if item.name.endswith("-guard")]
        return replace(run, metrics=(*run.metrics, replace(guard, name="other-guard", **changed)))

    changed: dict[str, Any] = {}
    assert reason(runs(SWITCHED, "steps", beside), base) == "Proven"
    changed = {
        "measurements": (
            Measurement(phase="Inconclusive", value="[]", began=SWITCHED.began, ended=SWITCHED.began),
        )
    }
    assert reason(runs(SWITCHED, "steps", beside), base) == "Unproven"


def test_a_first_deployment_is_believed_of_a_cluster_that_is_known():
    """Without a run nothing that was read says which cluster it is of, but its own identity."""
    first = recording("first-deployment")
    seen = observe(first.sightings[-1], first.subject)
    assert reason(seen, first.unbaked(), fallback=None) == "FirstDeployment"
    assert reason(seen, first.unbaked(), fallback=None, uid=None) == "NoIdentity"
    assert reason(seen, first, fallback=None, uid=None) == "FirstDeployment", (
        "a bake's queries name the cluster"
    )


def test_a_canary_whose_runs_were_changed_is_no_first_deployment():
    def other(run: Run) -> Run:
        return replace(run, measures="another")

    seen = runs(runs(GOOD, "steps", other), "background", other)
    assert reason(seen, fallback=None) == "RunMissing"


def test_pods_of_something_else_prove_nothing():
    other = replace(pod("a", MIDDLE.live.current.hash, 5), pod="another")
    assert reason(replace(MIDDLE, pods=(other,))) == "StepPaused"


def test_crashes_of_what_is_stable_prove_nothing():
    pods = tuple(replace(pod(str(n), GOOD.live.current.hash, 9), pod=GOOD.live.pod) for n in range(4))
    assert reason(replace(GOOD, pods=pods)) == "NotAvailable"


# Measurements

METRIC = ReleaseMetric(name="m", during=("steps",), promote="< 0.1", rollback="> 0.2")
AT = GOOD.ended
ROW = [("Successful", "good")] * 3 + [("Error", "neither")] + [("Successful", "good")] * 2


def measured(phase: str, value: str | None, **more: Any) -> Measurement:
    return Measurement(phase=phase, value=value, began=AT, ended=AT, **more)


@pytest.mark.parametrize(
    ("phase", "value", "strict", "expected"),
    [
        ("Successful", "[0.05]", True, "good"),
        ("Successful", "0.05", True, "good"),
        ("Successful", "[0.15]", False, "good"),
        ("Inconclusive", "[0.15]", True, "neither"),
        ("Inconclusive", "[0.1]", True, "neither"),
        ("Inconclusive", "[0.2]", True, "neither"),
        ("Failed", "[0.21]", True, "bad"),
        ("Inconclusive", "[]", True, "neither"),
        ("Inconclusive", "[NaN]", True, "neither"),
        ("Inconclusive", "[+Inf]", True, "neither"),
        ("Inconclusive", "[0.01,0.02]", True, "neither"),
        ("Error", None, True, "neither"),
        ("Error", "[0.05]", True, "neither"),
    ],
)
def test_what_a_measurement_proves(phase, value, strict, expected):
    assert word(Rule(METRIC, strict), measured(phase, value)) == expected


@pytest.mark.parametrize(
    ("phase", "value"),
    [
        ("Successful", "[0.3]"),
        ("Successful", "[0.15]"),
        ("Successful", "[]"),
        ("Successful", "[NaN]"),
        ("Successful", "[-Inf]"),
        ("Successful", None),
        ("Successful", "[0.01,0.02]"),
        ("Successful", "[1e999]"),
        ("Failed", "[0.05]"),
        ("Inconclusive", "[0.3]"),
        ("", "[0.05]"),
    ],
)
def test_a_phase_that_the_value_does_not_give(phase, value):
    with pytest.raises(Contradiction):
        word(Rule(METRIC, strict=True), measured(phase, value))


def test_a_threshold_that_is_none():
    broken = ReleaseMetric(name="m", during=("steps",), promote="better", rollback=None)
    with pytest.raises(Contradiction):
        word(Rule(broken, strict=True), measured("Successful", "[0.05]"))


def test_a_job_that_was_told_to_stop_proves_nothing():
    rule = Rule(ReleaseMetric(name="smoke", during=("preview",)), strict=True)
    assert word(rule, measured("Successful", None)) == "good"
    assert word(rule, measured("Failed", None)) == "bad"
    assert word(rule, measured("Successful", None, terminated=True)) == "neither"
    assert word(rule, Measurement(phase="Successful", began=AT)) == "neither"


@pytest.mark.parametrize("text", ["[1_0]", "[0x1]", "[1", "1]", "[ 1 ]", "[inf]", "nan", "[1e400]", "", None])
def test_what_is_no_number(text):
    assert number(text) is None


# The table


def test_every_reason_that_is_given_is_explained_and_every_one_explained_is_given():
    import re
    from pathlib import Path

    import canaryfleet

    root = Path(canaryfleet.__file__).parent
    files = [root / "verdict.py", root / "engines/argo_rollouts/observe.py", root / "models/observation.py"]
    text = "".join(file.read_text("utf-8") for file in files)
    kinds = re.findall(r'^    "([a-z-]+)",  #', text, re.MULTILINE)
    problems = {"".join(part.capitalize() for part in kind.split("-")) for kind in kinds}
    said = set(re.findall(r'(?:Said|_Unusable)\(\s*"(\w+)"', text)) | problems | {"Proven"}
    said |= set(re.findall(r'code = "(\w+)" if .* else "(\w+)"', text)[0])
    assert said == set(REASONS)
    for code, item in REASONS.items():
        assert item.meaning, code
        assert item.remedy or item.kind in ("Verified", "Progressing", "Failed"), code


def test_the_last_guard_always_says_something():
    assert GUARDS[-1].__name__ == "_proven"


def test_the_worst_of_several():
    good, bad = BASE.verdict(BASE.sightings[-1]), BAD_BASE.verdict(BAD_BASE.sightings[-1])
    assert worst([good, bad, good]) is bad
    assert worst([]) is None
