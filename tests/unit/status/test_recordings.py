"""What the real controllers did, reading by reading, and what is true of it then."""

import pytest
from recorded import VERSIONS, Recording, recording, with_runs

from canaryfleet.engines.argo_rollouts.observe import observe
from canaryfleet.models.observation import Sighting

MOVING = {"Moved", "NotObserved", "OldVersion", "NotAvailable"}


def told(base: Recording, **changes) -> list[str]:
    """The reasons one after the other, without repetitions and what lasts milliseconds."""
    reasons = [base.verdict(sighting, **changes).reason for sighting in base.sightings]
    lasting = [reason for reason in reasons if reason not in MOVING]
    return [reason for at, reason in enumerate(lasting) if at == 0 or lasting[at - 1] != reason]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_good_canary_is_verified_when_it_is_baked(version):
    base = recording("good", version)
    reasons = told(base)
    assert reasons[0] == "NotSynced"
    assert reasons[-2:] == ["Baking", "Proven"]
    assert set(reasons[1:-2]) == {"Stepping", "StepPaused"}
    verdict = base.verdict(base.sightings[-1])
    assert (verdict.kind, verdict.basis) == ("Verified", "Analysis")
    runs = {(run.role, run.step) for run in verdict.evidence.runs}
    assert runs == {*(("steps", step) for step in base.steps), ("background", None), ("bake", None)}
    ended = max(metric.at for run in verdict.evidence.runs for metric in run.metrics)
    assert verdict.since == ended


@pytest.mark.parametrize("version", VERSIONS)
def test_a_good_switch_is_verified_by_the_analysis_after_it_and_then_bakes(version):
    base = recording("blue-green", version)
    assert told(base)[-2:] == ["Stepping", "Baking"]
    unbaked = base.unbaked()
    assert told(unbaked)[-2:] == ["Stepping", "Proven"]
    last = unbaked.sightings[-1]
    verdict = unbaked.verdict(last)
    assert (verdict.basis, verdict.since) == ("Analysis", observe(last, base.subject).live.changed)
    assert [run.role for run in verdict.evidence.runs] == ["steps"]


@pytest.mark.parametrize("version", VERSIONS)
def test_beyond_the_threshold_is_failed_and_stays_so(version):
    base = recording("bad-aborted", version)
    assert told(base)[-1] == "BeyondThreshold"
    verdict = base.verdict(base.sightings[-1])
    assert verdict.kind == "Failed"
    (run,) = verdict.evidence.runs
    (metric,) = [metric for metric in run.metrics if metric.bad]
    (asked,) = base.release.metrics
    assert (metric.name, metric.rollback) == (asked.name, asked.rollback)
    assert float(metric.value.strip("[]")) > float(asked.rollback.removeprefix("> "))
    assert verdict.since == metric.at
    kinds = [base.verdict(sighting).kind for sighting in base.sightings]
    assert set(kinds[kinds.index("Failed") :]) <= {"Failed", "Unknown"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", ["too-few-samples", "inconclusive"])
def test_too_few_requests_and_values_between_the_thresholds_hold(scenario, version):
    base = recording(scenario, version)
    verdict = base.verdict(base.sightings[-1])
    assert (verdict.kind, verdict.reason) == ("Inconclusive", "TooLittleProof")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", ["reverted", "aborted-then-reverted"])
def test_going_back_runs_and_proves_nothing(scenario, version):
    base = recording(scenario, version)
    last = base.sightings[-1]
    assert base.verdict(last).kind == "Unknown"
    verdict = base.verdict(last, reverted=True)
    assert (verdict.kind, verdict.basis) == ("Verified", "Reverted")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_false_healthy_is_seen_through(version):
    """Generation observed, Healthy, complete, and all of it about the version before (section G)."""
    base = recording("false-healthy", version)
    false = set()
    for sighting in base.sightings:
        live = observe(sighting, base.subject).live
        assert base.verdict(sighting).kind == "Progressing"
        healthy = live.observed and live.phase == "Healthy" and live.release == base.release.id
        if healthy and live.current.pod != live.pod:
            assert live.current.hash == live.stable.hash
            false.add(base.verdict(sighting).reason)
    assert false == {"OldVersion"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", ["good", "bad-aborted", "too-few-samples", "blue-green"])
def test_only_the_last_state_is_verified_or_failed(scenario, version):
    base = recording(scenario, version)
    base = base.unbaked() if scenario == "blue-green" else base
    kinds = [base.verdict(sighting).kind for sighting in base.sightings]
    last = next((at for at, kind in enumerate(kinds) if kind in ("Verified", "Failed")), len(kinds))
    assert "Verified" not in kinds[:last]
    assert all(kind in ("Progressing", "Unknown", "Inconclusive") for kind in kinds[:last])
    assert set(kinds[last:]) <= {kinds[-1]}


def only(base: Recording, word: str) -> Sighting:
    """The last reading with nothing but the runs whose names have a word in them."""
    return with_runs(base.sightings[-1], lambda run: word in run["metadata"]["name"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_first_deployment_needs_no_fallback_and_its_bake(version):
    """The runs of the steps are not there, as the controller makes none; only without a fallback is that right."""
    base = recording("good", version)
    first = only(base, "-bake-")
    assert base.verdict(first).kind == "Unknown"
    assert base.verdict(first, fallback=None).basis == "FirstDeployment"
    assert base.verdict(only(base, "none"), fallback=None).reason == "BakeMissing"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_controller_measures_nothing_of_a_first_deployment_but_its_bake(version):
    base = recording("first-deployment", version)
    last = base.sightings[-1]
    assert last == only(base, "-bake-") != only(base, "none")
    assert base.verdict(last).reason == "RunMissing"
    # measured before the controller called it complete, the bake proves nothing: a busy machine shows both
    verdict = base.verdict(last, fallback=None)
    assert (verdict.basis, verdict.reason) in (("FirstDeployment", "FirstDeployment"), (None, "BakeUnproven"))
    unbaked = base.unbaked()
    assert unbaked.verdict(unbaked.sightings[-1], fallback=None).basis == "FirstDeployment"
