"""What the real controller did, reading by reading, and what is true of it then."""

import pytest
from msgspec.structs import replace
from recorded import VERSIONS, Recording, recording

from canaryfleet.engines.argo_rollouts.observe import observe

MOVING = {"Moved", "NotObserved", "OldVersion", "NotAvailable"}


def told(base: Recording, **changes) -> list[str]:
    """The reasons one after the other, without repetitions and what lasts milliseconds."""
    reasons = [base.verdict(sighting, **changes).reason for sighting in base.sightings]
    lasting = [reason for reason in reasons if reason not in MOVING]
    return [reason for at, reason in enumerate(lasting) if at == 0 or lasting[at - 1] != reason]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_good_canary_is_verified_when_it_is_baked(version):
    base = recording(f"chat-good-{version}")
    reasons = told(base)
    assert reasons[0] == "NotSynced"
    assert reasons[-2:] == ["Baking", "Proven"]
    assert set(reasons[1:-2]) == {"Stepping", "StepPaused"}
    verdict = base.verdict(base.sightings[-1])
    assert (verdict.kind, verdict.basis) == ("Verified", "Analysis")
    runs = {(run.role, run.step) for run in verdict.evidence.runs}
    assert runs == {("steps", 7), ("steps", 10), ("background", None), ("bake", None)}
    ended = max(metric.at for run in verdict.evidence.runs for metric in run.metrics)
    assert verdict.since == ended


@pytest.mark.parametrize("version", VERSIONS)
def test_a_good_switch_is_verified_when_it_is_baked(version):
    base = recording(f"web-good-{version}")
    assert told(base)[-3:] == ["Stepping", "Baking", "Proven"]
    assert base.verdict(base.sightings[-1]).basis == "Analysis"


@pytest.mark.parametrize("version", VERSIONS)
def test_beyond_the_threshold_is_failed_and_stays_so(version):
    base = recording(f"chat-bad-{version}")
    assert told(base)[-1] == "BeyondThreshold"
    verdict = base.verdict(base.sightings[-1])
    assert verdict.kind == "Failed"
    (run,) = verdict.evidence.runs
    (metric,) = [metric for metric in run.metrics if metric.bad]
    assert (metric.name, metric.value, metric.rollback) == ("istio-error-rate", "[0.05]", "> 0.01")
    assert verdict.since == metric.at
    kinds = [base.verdict(sighting).kind for sighting in base.sightings]
    assert set(kinds[kinds.index("Failed") :]) <= {"Failed", "Unknown"}


@pytest.mark.parametrize("version", VERSIONS)
def test_too_few_requests_hold(version):
    base = recording(f"chat-few-samples-{version}")
    verdict = base.verdict(base.sightings[-1])
    assert (verdict.kind, verdict.reason) == ("Inconclusive", "TooLittleProof")


@pytest.mark.parametrize("version", VERSIONS)
def test_going_back_runs_and_proves_nothing(version):
    base = recording(f"chat-reverted-{version}")
    last = base.sightings[-1]
    assert base.verdict(last).kind == "Unknown"
    verdict = base.verdict(last, reverted=True)
    assert (verdict.kind, verdict.basis) == ("Verified", "Reverted")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_false_healthy_is_seen_through(version):
    """Generation observed, Healthy, complete, and all of it about the version before (section G)."""
    base = recording(f"chat-false-healthy-{version}")
    false = []
    for sighting in base.sightings:
        live = observe(sighting, base.subject).live
        assert base.verdict(sighting).kind == "Progressing"
        if live.observed and live.phase == "Healthy" and live.release == base.release.id:
            assert live.current.hash == live.stable.hash
            false.append(base.verdict(sighting).reason)
    assert false == ["OldVersion"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scenario", ["chat-good", "chat-bad", "chat-few-samples", "web-good"])
def test_only_the_last_state_is_verified_or_failed(scenario, version):
    base = recording(f"{scenario}-{version}")
    kinds = [base.verdict(sighting).kind for sighting in base.sightings]
    last = next((at for at, kind in enumerate(kinds) if kind in ("Verified", "Failed")), len(kinds))
    assert "Verified" not in kinds[:last]
    assert all(kind in ("Progressing", "Unknown", "Inconclusive") for kind in kinds[:last])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_first_deployment_needs_no_fallback_and_its_bake(version):
    """The runs of the steps are not there, as the controller makes none; only without a fallback is that right."""
    base = recording(f"chat-good-{version}")
    last = base.sightings[-1]
    look = last.apps[0]
    raw = look.answers["analysisRuns"]
    bake = [item for item in raw["items"] if "-bake-" in item["metadata"]["name"]]
    only = replace(look, answers={**look.answers, "analysisRuns": {**raw, "items": bake}})
    first = replace(last, apps=(only,))
    assert base.verdict(first).kind == "Unknown"
    assert base.verdict(first, fallback=None).basis == "FirstDeployment"
    none = replace(look, answers={**look.answers, "analysisRuns": {**raw, "items": []}})
    assert base.verdict(replace(last, apps=(none,)), fallback=None).reason == "BakeMissing"
