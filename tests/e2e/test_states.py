"""The states that a reader of statuses must tell apart, as the controllers write them.

With `--record DIR` what was seen is kept for the unit tests, which replay it:
    cd tests/e2e && python -m rig test test_states.py --record ../unit/status/recordings
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from app import ANALYSIS, HERE, LIMIT, WAVE, App, measurements
from recording import Record
from rig import wait_until
from rig.cluster import NEVER_READY
from rig.kube import Object
from rig.kubelet import crash, starting
from rig.rollouts import API, canary_weight, complete, observed, phase

from canaryfleet.models.release import Release

STEPS = [{"weight": "20%", "for": "4s"}, {"weight": "60%", "for": "4s"}]
PATIENT = [{"weight": "20%", "for": "40s"}, {"weight": "60%", "for": "4s"}]
QUICK = {**ANALYSIS, "window": "8s", "count": 5}
BAKING = [{"name": WAVE, "minSuccessTime": "4s"}]
Make = Callable[..., App]


@pytest.fixture
def app(make_app: Make) -> App:
    """An app whose release 1.0.0 is Healthy and has baked."""
    return deployed(make_app(exposure__steps=STEPS, analysis=QUICK, waves=BAKING))


def deployed(app: App) -> App:
    """Deploy 1.0.0 and wait for its bake; from now on every sync prunes."""
    app.pruned = True
    first = app.deploy("1.0.0")
    app.serve(first)
    app.until_healthy(first)
    app.until_run("bake", "Successful")
    return app


def alone(app: App, release: Release, **serving: Any) -> None:
    """When a release is complete, nobody asks the one before any more; the bake begins to count."""
    app.until_healthy(release)
    (before,) = (app.frozen(other) for other in app.releases() if other != release.id)
    app.serve(before, per_second=0)
    app.serve(release, **serving)


def begun(app: App, **serving: Any) -> Release:
    """Begin with 1.1.0."""
    second = app.deploy("1.1.0")
    app.serve(second, **serving)
    app.until_new(second)
    return second


def condition(rollout: Object, kind: str) -> str:
    """Status and reason of a condition of the Rollout, "" if it has none."""
    found = [c for c in rollout["status"].get("conditions", []) if c["type"] == kind]
    return f"{found[0]['status']} {found[0]['reason']}" if found else ""


def states(app: App) -> Iterator[Object]:
    """The Rollout in all the states that were seen."""
    return (
        seen.object for seen in app.seen() if seen.object["kind"] == "Rollout" and "status" in seen.object
    )


def test_a_first_deployment_runs_no_step_and_no_analysis_but_its_bake(make_app: Make, record: Record) -> None:
    """The first release of an app: no stable version, no step, no analysis, then its bake."""
    app = deployed(make_app(exposure__steps=STEPS, analysis=QUICK, waves=BAKING))
    assert [run["metadata"]["name"] for run in app.runs()] == [app.runs("bake")[0]["metadata"]["name"]]
    assert app.weights() in ([], [0])
    record(app, "first-deployment")


def test_a_good_release_is_proven_by_its_steps_and_bakes_after_them(app: App, record: Record) -> None:
    """A good second release: two steps with analysis, background, completion, bake."""
    second = begun(app)
    alone(app, second)
    app.until_run("bake", "Successful")
    steps = app.runs("Step", app.stable)
    assert [run["status"]["phase"] for run in steps] == ["Successful", "Successful"]
    assert all(measurements(run) for run in steps)
    assert app.runs("bake")[-1]["status"]["completedAt"] >= steps[-1]["status"]["completedAt"]
    record(app, "good")


def test_a_bad_release_is_aborted_and_says_so_for_ever(app: App, record: Record) -> None:
    """Half of the requests fail: aborted by the background analysis or the first step's, Degraded."""
    begun(app, errors=0.5)
    app.until_aborted()
    app.until_now(lambda: phase(app.rollout) == "Degraded" and canary_weight(app.rollout) == 0, "degraded")
    assert condition(app.rollout, "Progressing") == "False RolloutAborted"
    failed = [run for run in app.runs() if run.get("status", {}).get("phase") == "Failed"]
    assert failed
    assert {run["metadata"]["labels"]["rollouts-pod-template-hash"] for run in failed} == {app.current}
    record(app, "bad-aborted")


def test_a_bad_release_beside_a_stable_one_that_is_as_bad(app: App, record: Record) -> None:
    """Half of the requests of either version fail: aborted, and the dry run of the stable version is as bad."""
    app.serve(app.frozen(app.pointed), errors=0.5)
    requests = f'rate(istio_requests_total{{destination_service_namespace="{app.namespace}",response_code=~"CODE"}}[8s])'
    share = f"sum({requests.replace('CODE', '5..')}) / sum({requests.replace('CODE', '...')})"
    wait_until(lambda: app.fleet.query(share) > [0.3], "the stable version is seen to be bad", LIMIT)
    begun(app, errors=0.5)
    app.until_aborted()
    app.until_now(lambda: phase(app.rollout) == "Degraded" and canary_weight(app.rollout) == 0, "degraded")
    results = [result for run in app.runs() for result in run["status"].get("metricResults", [])]
    assert {m["phase"] for result in results if result.get("dryRun") for m in result["measurements"]} == {
        "Failed"
    }
    record(app, "bad-beside-bad")


def test_between_the_thresholds_the_canary_waits_for_a_person(app: App, record: Record) -> None:
    """2 % errors, between promote (1 %) and rollback (5 %): inconclusive, paused at the first weight."""
    begun(app, errors=0.02)
    app.until_paused("InconclusiveAnalysisRun")
    assert app.runs("Step")[-1]["status"]["phase"] == "Inconclusive"
    assert canary_weight(app.rollout) == 20
    record(app, "inconclusive")


def test_too_few_requests_prove_nothing(app: App, record: Record) -> None:
    """One request a second where 20 are needed: the step is inconclusive."""
    begun(app, per_second=1)
    app.until_paused("InconclusiveAnalysisRun")
    assert {m["phase"] for m in measurements(app.runs("Step")[-1])} == {"Inconclusive"}
    record(app, "too-few-samples")


def test_a_revert_in_the_middle_is_healthy_at_once(app: App, record: Record) -> None:
    """Pointed back at the fallback while the canary has 20 %: Healthy, no step, no analysis."""
    stable, fallback = app.stable, app.pointed
    begun(app)
    app.until_weight(20)
    app.point(fallback)
    app.sync()
    app.until_healthy(app.frozen(fallback))
    assert app.stable == stable
    assert not app.runs("Step", stable)
    record(app, "reverted")


def test_a_revert_after_an_abort_clears_it(app: App, record: Record) -> None:
    """Pointed back at the fallback after an abort: Healthy, the abort is gone."""
    fallback = app.pointed
    begun(app, errors=0.5)
    app.until_aborted()
    app.point(fallback)
    app.sync()
    app.until_healthy(app.frozen(fallback))
    assert not app.status.get("abort")
    record(app, "aborted-then-reverted")


def test_template_and_replicas_in_one_change_show_a_false_healthy(app: App, record: Record) -> None:
    """By hand, template and fewer replicas in one change: Healthy with the new generation and the old hash."""
    stable = app.stable
    app.pruned = False  # else it may read Degraded just then, for want of a template that was pruned
    second = app.deploy("1.1.0", change=fewer_replicas)
    app.serve(second)
    app.until_new(second)
    app.until_healthy(second)
    lies = [
        r
        for r in states(app)
        if complete(r) and r["status"]["currentPodHash"] == stable and carries(r, second)
    ]
    assert lies, "no state reads complete with the new template and the old hash"
    record(app, "false-healthy")


def test_a_pruned_template_freezes_the_canary_where_it_is(make_app: Make, record: Record) -> None:
    """The step's AnalysisTemplate is deleted under the running canary; a revert to the whole fallback heals it."""
    app = deployed(make_app(exposure__steps=PATIENT, analysis=QUICK, waves=BAKING))
    fallback = app.pointed
    begun(app)
    app.until_weight(20)
    for template in analysis_templates(app):
        app.prune("analysistemplate", template)
    app.until_now(lambda: condition(app.rollout, "InvalidSpec").startswith("True"), "InvalidSpec")
    frozen = app.weights()
    assert frozen[-1] == 20
    app.point(fallback)
    assert app.weights() == frozen
    app.sync()
    app.until_healthy(app.frozen(fallback))
    record(app, "missing-template")


def test_crashing_pods_take_no_traffic(app: App, record: Record) -> None:
    """The canary's pods end with code 1 again and again; the canary never begins."""
    app.deploy("1.1.0", workload__labels={NEVER_READY: "true"})
    pods = canary_pods(app)
    for restarts in range(4):
        for pod in pods:
            crash(app.kube, pod, restarts)
    app.until_now(lambda: all(restarted(pod) == 3 for pod in canary_pods(app)), "three restarts are seen")
    assert not app.status.get("canary", {}).get("weights", {}).get("canary", {}).get("weight")
    assert phase(app.rollout) == "Progressing"
    record(app, "crash")


def test_pods_that_never_get_ready_end_in_the_deadline_without_an_abort(app: App, record: Record) -> None:
    """The canary's pods run and never get ready, with a deadline of 15 s instead of 10 minutes."""
    app.deploy("1.1.0", change=soon, workload__labels={NEVER_READY: "true"})
    for pod in canary_pods(app):
        starting(app.kube, pod)
    app.until_now(lambda: phase(app.rollout) == "Degraded", "Degraded")
    assert condition(app.rollout, "Progressing") == "False ProgressDeadlineExceeded"
    assert not app.status.get("abort")
    record(app, "never-ready")


def test_pods_that_fit_nowhere_change_nothing_for_the_users(app: App, record: Record) -> None:
    """The canary asks for more GPUs than any node has: Pending, Unschedulable."""
    app.deploy("1.1.0", workload__resources={"limits": {"nvidia.com/gpu": 128}})
    pods = canary_pods(app, scheduled=False)
    assert {c["reason"] for pod in pods for c in pod["status"]["conditions"]} == {"Unschedulable"}
    app.until_run("Background", "Running")  # it begins with the first step, whoever is there to be measured
    assert phase(app.rollout) == "Progressing"
    record(app, "unschedulable")


def test_blue_green_switches_after_preview_and_is_watched_after_it(make_app: Make, record: Record) -> None:
    """Blue-green: preview, switch, post-promotion analysis, completion."""
    blue = {"promoteAfter": "3s", "observe": "4s", "previewReplicas": 1}
    app = make_app(exposure__steps=[], exposure__blueGreen=blue, analysis=QUICK, waves=BAKING)
    deployed_blue_green(app)
    second = app.deploy("1.1.0")
    for service in (app.name, f"{app.name}-active"):
        app.serve(second, service=service)
    app.until_new(second)
    app.until_healthy(second)
    assert [run["status"]["phase"] for run in app.runs("PostPromotion", app.stable)] == ["Successful"]
    record(app, "blue-green")


def test_a_selector_in_git_takes_the_hash_away_and_blue_green_switches_without_proof(
    make_app: Make,
) -> None:
    """By hand, the managed Services come with a selector, which is one atomic map; so no overlay has one.

    Nobody asks the new version, so that its preview would wait for a person.
    """
    blue = {"promoteAfter": "3s", "observe": "4s", "previewReplicas": 1}
    metrics = [{**ANALYSIS["metrics"][0], "during": ["preview", "steps", "background"]}]  # type: ignore[index]
    app = make_app(exposure__steps=[], exposure__blueGreen=blue, analysis={**QUICK, "metrics": metrics})
    first = app.deploy("1.0.0")
    app.serve(first, service=f"{app.name}-active")
    app.until_healthy(first)
    second = app.release("1.1.0")
    app.apply([one for one in app.built() if one["kind"] in {"Rollout", "AnalysisTemplate"}])
    app.apply([with_selector(one) for one in app.built() if one["kind"] == "Service"])
    app.until_healthy(second)
    assert {"prePromotionAnalysis", "postPromotionAnalysis"} <= set(
        app.rollout["spec"]["strategy"]["blueGreen"]
    )
    assert {one["phase"] for run in app.runs("PrePromotion") for one in measurements(run)} <= {"Inconclusive"}
    assert app.runs("PostPromotion") == []


def test_a_release_that_turns_bad_after_its_completion_fails_its_bake(make_app: Make, record: Record) -> None:
    """Good through all steps, then half of the requests fail: the bake Failed, the Rollout stays Healthy."""
    app = make_app(exposure__steps=STEPS, analysis=QUICK, waves=[{"name": WAVE, "minSuccessTime": "2m"}])
    app.serve(app.deploy("1.0.0"))
    app.until_healthy()
    second = begun(app)
    alone(app, second, errors=0.5)
    app.until_run("bake", "Failed")
    assert complete(app.rollout)
    record(app, "bake-failed")


def test_a_terminated_run_reads_successful_without_a_measurement(make_app: Make, record: Record) -> None:
    """Somebody terminates the step's run before it has measured: Successful, nothing measured, step passed."""
    slow = {**QUICK, "minimumSamples": 1_000_000}
    app = deployed_plain(make_app(exposure__steps=STEPS, analysis=slow))
    begun(app)
    run = app.until_run("Step", ("Running", "Pending"))
    terminate(app, run)
    ended = app.until_run("Step", "Successful")
    assert ended["metadata"]["name"] == run["metadata"]["name"]
    assert not [m for m in measurements(ended) if m["phase"] == "Successful"]
    app.until_weight(60)
    record(app, "terminated-run")


def test_a_full_promotion_skips_what_was_to_be_proven(app: App, record: Record) -> None:
    """Somebody promotes in full at 20 %: complete, though no step was judged."""
    second = begun(app, per_second=1)
    app.until_weight(20)
    app.kube.patch_at(status_path(app), {"status": {"promoteFull": True}})
    app.until_healthy(second)
    assert "Successful" not in {run["status"]["phase"] for run in app.runs("Step") if measurements(run)}
    record(app, "promoted-in-full")


def test_an_abort_by_hand_looks_like_one_by_analysis_but_for_the_runs(app: App, record: Record) -> None:
    """Somebody aborts at 20 %: Degraded and aborted, and no run has failed."""
    begun(app)
    app.until_weight(20)
    app.abort()
    app.until_now(lambda: phase(app.rollout) == "Degraded" and canary_weight(app.rollout) == 0, "degraded")
    app.until_run("Background", "Successful")  # it was told to end
    assert not [run for run in app.runs() if run.get("status", {}).get("phase") == "Failed"]
    record(app, "aborted-by-hand")


def test_a_policy_only_release_restarts_no_pod_and_runs_no_canary(app: App, record: Record) -> None:
    """Only the steps change: Healthy with the same pods, no step, no analysis."""
    before = {pod["metadata"]["uid"] for pod in app.pods()}
    second = app.release("1.1.0", image=False, exposure__steps=[{"weight": "40%", "for": "4s"}])
    app.sync()
    app.until_healthy(second)
    app.until_run("bake", "Successful")
    assert {pod["metadata"]["uid"] for pod in app.pods()} == before
    assert not app.runs("Step")
    assert app.weights() in ([], [0])
    record(app, "policy-only")


def test_a_metric_server_that_is_out_ends_in_error_not_in_failure(app: App, record: Record) -> None:
    """Prometheus is not there: errors beyond the limit, the run is Error and the canary aborted."""
    metrics = [{**ANALYSIS["metrics"][0], "consecutiveErrorLimit": 0}]  # type: ignore[index]
    app.inventory({"metrics": {"prometheus": "http://127.0.0.1:1"}})
    app.cli("render", "--at-rest", HERE)
    second = app.deploy("1.1.0", analysis__metrics=metrics)
    app.serve(second)
    app.until_aborted()
    ended = {run["status"]["phase"] for run in app.runs(template=app.current)}
    assert "Error" in ended
    assert "Failed" not in ended
    record(app, "metrics-out")


# ---- what the tests share -------------------------------------------------------------------------


def deployed_plain(app: App) -> App:
    """Deploy 1.0.0 where nothing bakes."""
    first = app.deploy("1.0.0")
    app.serve(first)
    app.until_healthy(first)
    return app


def deployed_blue_green(app: App) -> None:
    """Deploy 1.0.0, whose requests go to the active Service."""
    first = app.deploy("1.0.0")
    app.serve(first, service=f"{app.name}-active")
    app.until_healthy(first)
    app.until_run("bake", "Successful")


def carries(rollout: Object, release: Release) -> bool:
    """Tell whether the live template is a release's."""
    stamp = rollout["spec"]["template"]["metadata"]["annotations"]["canaryfleet.dev/pod"]
    return bool(stamp == release.clusters[HERE].pod) and observed(rollout)


def changed(objects: list[Object], spec: dict[str, Any]) -> list[Object]:
    """Objects with fields of the Rollout's spec replaced by hand."""
    return [one if one["kind"] != "Rollout" else {**one, "spec": {**one["spec"], **spec}} for one in objects]


def with_selector(service: Object) -> Object:
    """Select the app's pods by the label that all of them have."""
    return {**service, "spec": {**service["spec"], "selector": {"app.kubernetes.io/name": "chat"}}}


def fewer_replicas(objects: list[Object]) -> list[Object]:
    """Half of the pods."""
    return changed(objects, {"replicas": 1})


def soon(objects: list[Object]) -> list[Object]:
    """A deadline that a test can wait for."""
    return changed(objects, {"progressDeadlineSeconds": 15})


def analysis_templates(app: App) -> list[str]:
    """The AnalysisTemplates that the overlay has now."""
    return [one["metadata"]["name"] for one in app.built() if one["kind"] == "AnalysisTemplate"]


def canary_pods(app: App, *, scheduled: bool = True) -> list[Object]:
    """The pods of the template that is not stable, as soon as there are some and the scheduler has seen all."""

    def seen() -> list[Object]:
        pods = [p for p in app.pods() if p["metadata"]["labels"]["rollouts-pod-template-hash"] != app.stable]
        return pods if all(decided(pod) == str(scheduled) for pod in pods) else []

    return app.until_now(seen, f"pods of the canary, scheduled: {scheduled}")


def decided(pod: Object) -> str:
    """What the scheduler says of a pod."""
    conditions = pod["status"].get("conditions", [])
    return next((str(c["status"]) for c in conditions if c["type"] == "PodScheduled"), "")


def restarted(pod: Object) -> int:
    """How often its container has restarted."""
    return int(pod["status"]["containerStatuses"][0]["restartCount"])


def terminate(app: App, run: Object) -> None:
    """End a run, as `kubectl argo rollouts terminate` does."""
    path = f"{API}/namespaces/{app.namespace}/analysisruns/{run['metadata']['name']}"
    app.kube.patch_at(path, {"spec": {"terminate": True}})


def status_path(app: App) -> str:
    """The Rollout's status, which the commands of a person patch."""
    return f"{API}/namespaces/{app.namespace}/rollouts/{app.name}/status"
