"""What the engine makes of raw objects: whose runs they are, of what, and what is left out."""

import copy
from typing import Any

import pytest
from msgspec.structs import replace
from recorded import recording

from canaryfleet.engines.argo_rollouts.observe import observe, reads
from canaryfleet.engines.argo_rollouts.reduce import reduced

BASE = recording("good")
LAST = BASE.sightings[-1]
HASH = observe(LAST, BASE.subject).live.current.hash
OURS = LAST.apps[0].answers["rollout"]["spec"]["template"]["spec"]["containers"][0]["name"]


def changed(change: Any) -> Any:
    """The observation after a change of the raw answers, of both Rollouts if it is of them."""
    answers = copy.deepcopy(LAST.apps[0].answers)
    change(answers)
    answers["rolloutAgain"] = answers["rollout"]
    return observe(replace(LAST, apps=(replace(LAST.apps[0], answers=answers),)), BASE.subject)


def run(answers: Any, role: str) -> Any:
    items = answers["analysisRuns"]["items"]
    return next(item for item in items if item["metadata"]["labels"].get("rollout-type") == role)


def test_what_is_asked_and_in_which_order():
    asked = reads(BASE.subject)
    assert [(read.name, read.verb) for read in asked] == [
        ("rollout", "get"),
        ("replicaSets", "list"),
        ("analysisRuns", "list"),
        ("pods", "list"),
        ("rolloutAgain", "get"),
    ]
    space = BASE.subject.namespace
    assert asked[0].path == f"/apis/argoproj.io/v1alpha1/namespaces/{space}/rollouts/{BASE.subject.app}"
    assert asked[3].path == f"/api/v1/namespaces/{space}/pods"
    assert asked[2].labels == f"canaryfleet.dev/release={BASE.subject.release}"
    assert asked[1].labels == f"rollouts-pod-template-hash,app.kubernetes.io/name={BASE.subject.app}"


@pytest.mark.parametrize(("asked", "same"), [(HASH, True), ("another", False)])
def test_a_run_whose_queries_ask_for_another_version_is_of_none(asked, same):
    def change(answers):
        run(answers, "Step")["spec"]["args"].append({"name": "canary-hash", "value": asked})

    name = run(LAST.apps[0].answers, "Step")["metadata"]["name"]
    seen = next(item for item in changed(change).runs if item.name == name)
    assert (seen.hash == HASH) is same


@pytest.mark.parametrize(("stable", "same"), [(HASH, False), ("another", True)])
def test_a_run_that_compares_the_version_with_itself_is_of_none(stable, same):
    def change(answers):
        run(answers, "Step")["spec"]["args"].append({"name": "stable-hash", "value": stable})

    name = run(LAST.apps[0].answers, "Step")["metadata"]["name"]
    for seen in (changed(change), observe(reduced_of(change), BASE.subject)):
        assert (next(item for item in seen.runs if item.name == name).hash == HASH) is same


def reduced_of(change: Any) -> Any:
    """What a recording has of the answers after a change."""
    answers = copy.deepcopy(LAST.apps[0].answers)
    change(answers)
    return replace(LAST, apps=(reduced(replace(LAST.apps[0], answers=answers)),))


@pytest.mark.parametrize("name", ["cluster", "revision", "window"])
def test_a_run_that_is_given_an_argument_twice_is_not_understood(name):
    def change(answers):
        run(answers, "Step")["spec"]["args"].append({"name": name, "value": "another"})

    assert changed(change).unread.reason == "Contradictory"


@pytest.mark.parametrize("kept", [False, True])
def test_a_version_with_another_environment_than_the_rollouts_is_not_that_of_git(kept):
    def change(answers):
        sets = answers["replicaSets"]["items"]
        (ours,) = [item for item in sets if item["metadata"]["labels"]["rollouts-pod-template-hash"] == HASH]
        (container,) = ours["spec"]["template"]["spec"]["containers"]
        container.setdefault("env", []).append({"name": "MODEL", "value": "another"})

    seen = observe(reduced_of(change), BASE.subject) if kept else changed(change)
    assert seen.live.current.pod is None
    assert observe(LAST, BASE.subject).live.current.pod == seen.live.pod


def test_runs_of_another_rollout_are_left_out():
    def change(answers):
        run(answers, "Step")["metadata"]["ownerReferences"][0]["uid"] = "another"

    assert len(changed(change).runs) == len(BASE.sightings[-1].apps[0].answers["analysisRuns"]["items"]) - 1


def test_only_the_bake_may_have_no_owner():
    def change(answers):
        run(answers, "Step")["metadata"]["ownerReferences"] = []

    assert [item.role for item in changed(change).runs].count("bake") == 1


def test_pods_of_another_set_are_left_out():
    def change(answers):
        answers["pods"]["items"][0]["metadata"]["ownerReferences"][0]["uid"] = "another"

    assert len(changed(change).pods) == len(changed(lambda _: None).pods) - 1


def test_sets_of_another_rollout_are_left_out():
    def change(answers):
        for item in answers["replicaSets"]["items"]:
            item["metadata"]["ownerReferences"][0]["uid"] = "another"

    seen = changed(change)
    assert (seen.live.current, seen.live.stable, seen.pods) == (None, None, ())


def test_a_set_that_runs_something_else_is_not_the_template():
    def change(answers):
        for item in answers["replicaSets"]["items"]:
            item["spec"]["template"]["spec"]["containers"][0]["image"] = "another"

    assert changed(change).live.current.pod is None


def test_the_label_that_metrics_know_pods_by_has_to_be_the_stamp():
    def change(answers):
        answers["rollout"]["spec"]["template"]["metadata"]["labels"][
            "service.istio.io/canonical-revision"
        ] = "x"

    assert changed(change).live.pod is None


def test_a_condition_that_is_not_what_the_hashes_say():
    def change(answers):
        answers["rollout"]["status"]["stableRS"] = "another"

    assert changed(change).unread.reason == "Contradictory"


def test_a_rollout_that_is_not_there_is_an_answer():
    absent = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound",
        "details": {"name": BASE.subject.app, "group": "argoproj.io", "kind": "rollouts"}, "code": 404,
    }  # fmt: skip
    seen = changed(lambda answers: answers.update(rollout=absent))
    assert (seen.live, seen.unread) == (None, None)
    other = absent | {"details": {"name": "another"}}
    assert changed(lambda answers: answers.update(rollout=other)).unread.reason == "Foreign"
    forbidden = absent | {"reason": "Forbidden", "code": 403}
    assert changed(lambda answers: answers.update(rollout=forbidden)).unread.reason == "Unparsable"


def test_a_pod_that_crashes_is_told_from_one_that_was_stopped():
    def state(code: int, restarts: int, container: str = OURS) -> Any:
        ended = {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": "2026-11-21T14:59:00Z"}}
        waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
        return {"name": container, "restartCount": restarts, "state": waiting, "lastState": ended}

    def change(answers):
        pods = answers["pods"]["items"]
        for pod, status in zip(pods, [state(1, 4), state(0, 4), state(1, 4, "istio-proxy")], strict=False):
            pod["status"]["containerStatuses"] = [status]

    seen = sorted(pod.crashes for pod in changed(change).pods)
    assert seen == [*[0] * (len(seen) - 1), 4]
    assert len(seen) > 3
    crashing = next(pod for pod in changed(change).pods if pod.crashes)
    assert crashing.why == f"{OURS}: Error 1"


@pytest.mark.parametrize(
    "place",
    [
        ("metadata", "generation"),
        ("metadata", "uid"),
        ("metadata", "annotations", "rollout.argoproj.io/revision"),
        ("status", "currentPodHash"),
        ("status", "phase"),
        ("spec", "replicas"),
    ],
)
def test_a_rollout_that_moved_while_it_was_read(place):
    answers = {**LAST.apps[0].answers, "rolloutAgain": copy.deepcopy(LAST.apps[0].answers["rollout"])}
    value: Any = answers["rolloutAgain"]
    for key in place[:-1]:
        value = value[key]
    value[place[-1]] = 9 if isinstance(value[place[-1]], int) else "another"
    seen = observe(replace(LAST, apps=(replace(LAST.apps[0], answers=answers),)), BASE.subject)
    assert seen.unread.reason == "Moved"


@pytest.mark.parametrize(
    "change",
    [
        lambda result: result["measurements"].pop(0),
        lambda result: result["measurements"].reverse(),
        lambda result: result["measurements"][0].update(startedAt="2026-11-20T00:00:00Z"),
        lambda result: result["measurements"][0].pop("finishedAt"),
        lambda result: result["measurements"][0].update(phase="Failed"),
        lambda result: result.update(count=99),
        lambda result: result.update(name="another"),
    ],
)
def test_measurements_that_are_lost_or_out_of_order_contradict_the_run(change):
    seen = changed(lambda answers: change(run(answers, "Background")["status"]["metricResults"][0]))
    assert seen.unread.reason == "Contradictory"


@pytest.mark.parametrize(
    ("rules", "dry"),
    [
        ([], []),
        (["^istio-error-rate-stable$"], ["istio-error-rate-stable"]),
        (["^istio-error-rate$"], ["istio-error-rate", "istio-error-rate-stable"]),
        (["istio-error-rate-stable"], ["istio-error-rate", "istio-error-rate-stable"]),
        (["^istio-error-rate-stable$", "x"], ["istio-error-rate", "istio-error-rate-stable"]),
    ],
)
def test_a_dry_run_that_is_not_of_the_stable_version_is_one_of_everything(rules, dry):
    def change(answers):
        found = run(answers, "Background")
        spec, status = found["spec"], found["status"]
        spec["metrics"] = [item for item in spec["metrics"] if item["name"] == "istio-error-rate"]
        spec["metrics"].append(spec["metrics"][0] | {"name": "istio-error-rate-stable"})
        spec["dryRun"] = [{"metricName": rule} for rule in rules]
        results = {item["name"] for item in spec["metrics"]}
        status["metricResults"] = [item for item in status["metricResults"] if item["name"] in results]
        for result in status["metricResults"]:
            result.pop("dryRun", None)  # also before the controller says so itself

    seen = next(item for item in changed(change).runs if item.role == "background")
    assert [item.name for item in seen.metrics if item.dryRun] == dry
