"""Pods that don't get ready, crash or fit nowhere: users stay where they were, and what heals it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from app import LIMIT, App, answered_after
from driving import PORT, internal, until_all_by, until_share
from rig import Call, RigError, wait_until
from rig.cluster import NEVER_READY
from rig.kube import Object
from rig.kubelet import crash, ready, starting
from rig.rollouts import canary_weight, phase

from conftest import NEWEST, alternating

Make = Callable[..., App]
MANUAL = [{"weight": "50%", "for": "manual"}]
UNMEASURED: Mapping[str, Any] = {"metrics": []}
FAULTS: Mapping[str, dict[str, Any]] = {
    "never ready": {"workload__labels": {NEVER_READY: "true"}},
    "crashing": {"workload__labels": {NEVER_READY: "true"}},
    "unschedulable": {"workload__resources": {"limits": {"nvidia.com/gpu": 128}}},
}
FITTING = {"limits": {"nvidia.com/gpu": 1}}
LOOKS = 3  # times that the controller looks at a Rollout and leaves it as it is
FEW = 20
PODS = 4


def stable_app(make_app: Make, **changes: Any) -> App:
    """An app with one release, whose canaries wait at 50 %."""
    app = make_app(
        **{"exposure__steps": MANUAL, "analysis": UNMEASURED, "workload__replicas": PODS, **changes}
    )
    app.pruned = True
    app.until_healthy(app.deploy("1.0.0"))
    app.member.client.wait_for(app.host, app.who(app.stable))
    return app


def play(app: App, fault: str, canary: str) -> None:
    """Wait for all pods of the canary, and write what the kubelet would write of them."""
    replicas = f"{app.name}-{canary}"

    def scheduled() -> list[Object]:
        wanted = app.object("ReplicaSet", replicas)["spec"]["replicas"]
        pods = app.pods(canary)
        return pods if wanted and len(pods) == wanted and all(map(decided, pods)) else []

    pods = app.until_now(scheduled, "the scheduler has seen all pods of the canary")
    if fault == "never ready":
        for pod in pods:
            starting(app.kube, pod)
    if fault == "crashing":
        for restarts in range(4):
            for pod in pods:
                crash(app.kube, pod, restarts)


def decided(pod: Object) -> bool:
    """Whether the scheduler has a node for a pod, or has said that there is none."""
    return any(one["type"] == "PodScheduled" for one in pod["status"].get("conditions", []))


def until_counted(app: App, canary: str) -> None:
    """Wait until the ReplicaSet says that it has all pods of the canary: the controller goes by its word."""

    def counted() -> bool:
        found = app.object("ReplicaSet", f"{app.name}-{canary}")
        return bool(found["status"].get("replicas") == found["spec"]["replicas"])

    app.until_now(counted, "the canary's pods are counted")


def until_asked(calls: list[Call]) -> None:
    """Wait until some more requests of a stream have been answered."""
    sent = time.monotonic()
    wait_until(lambda: answered_after(calls, sent).total() >= FEW, "more requests are answered", LIMIT)


@alternating("fault", FAULTS)
def test_a_version_whose_pods_do_not_run_gets_no_request_and_the_next_release_heals_it(
    make_app: Make, fault: str
) -> None:
    app = stable_app(make_app)
    stable = app.stable
    bad = app.deploy("1.1.0", **FAULTS[fault])
    canary = app.until_new(bad)
    play(app, fault, canary)
    until_counted(app, canary)
    with app.member.client.stream(app.host) as calls:
        for _ in range(LOOKS):
            app.look_again()
        until_asked(calls)
    app.catch_up()
    assert {call.who for call in calls} == {app.who(stable)}
    assert phase(app.rollout) == "Progressing"
    assert not canary_weight(app.rollout)
    assert not app.status.get("abort")
    assert len(app.pods(stable)) == PODS, "stable pods gave way to pods that don't run"
    if fault == "never ready":  # nothing else kept the requests from them
        for pod in app.pods(canary):
            ready(app.kube, pod)
        app.until_paused()
        until_share(app, 50)
    # a person mends the release; nobody has to touch the cluster
    before = app.status.get("pauseConditions")
    good = app.deploy("1.2.0", workload__labels={}, workload__resources=FITTING)
    app.until_new(good)
    app.until_now(lambda: app.status.get("pauseConditions") not in (None, before), "it is at its own pause")
    app.promote()
    app.until_healthy(good)
    app.until_now(lambda: not app.pods(canary), "the pods that don't run are gone")


@pytest.mark.parametrize("fault", ["crashing"])
def test_a_revert_from_pods_that_crash_is_healthy_at_once(make_app: Make, fault: str) -> None:
    app = stable_app(make_app)
    stable, release = app.stable, app.pointed
    canary = app.until_new(app.deploy("1.1.0", **FAULTS[fault]))
    play(app, fault, canary)
    app.point(release)
    app.sync()
    app.until_healthy(app.frozen(release))
    assert app.stable == stable
    assert set(app.shares(50)) == {app.who(stable)}


def test_a_canary_whose_pods_all_crash_loses_its_users_and_gets_them_back_with_its_pods(
    make_app: Make, record_property: Callable[[str, object], None]
) -> None:
    app = stable_app(make_app, workload__port=PORT)
    stable = app.stable
    until_all_by(app, app.who(stable))
    canary = app.until_new(app.deploy("1.1.0"))
    app.until_paused()
    until_share(app, 50)
    begun, client = len(app.seen()), app.member.client
    with client.stream(app.host) as outside, client.stream(internal(app), inside=True) as within:
        for pod in app.pods(canary):
            crash(app.kube, pod, 1)
        crashed = app.seen()[-1].at
        app.until_now(lambda: canary_weight(app.rollout) == 0, "no weight")
        until_share(app, 0)
        told = time.monotonic()
        for calls in (outside, within):
            until_asked(calls)
    for calls in (outside, within):
        assert set(answered_after(calls, told)) == {app.who(stable)}, "a request failed without any weight"
    calls = [*outside, *within]
    lost = [call for call in calls if call.who not in {app.who(stable), app.who(canary)}]
    record_property("requests that failed while the canary's pods crashed", f"{len(lost)} of {len(calls)}")
    record_property(
        "seconds from the crash to the last failure", max((c.at for c in lost), default=crashed) - crashed
    )
    assert not app.status.get("abort"), "a crash is no abort: the weight waits for the pods"
    assert any(seen.object["kind"] == "Pod" for seen in app.seen()[begun:])
    for pod in app.pods(canary):
        ready(app.kube, pod)
    app.until_weight(50)
    app.until_now(lambda: app.shares(20)[app.who(canary)], "the canary answers again")


@NEWEST
def test_limits_can_be_taken_away_by_a_release_if_they_were_there_from_the_first(make_app: Make) -> None:
    app = stable_app(make_app, workload__resources=FITTING)
    app.until_new(app.deploy("1.1.0", workload__resources={"limits": {}}))
    app.until_paused()


def test_limits_that_came_later_are_not_taken_away_by_a_server_side_apply(make_app: Make) -> None:
    # The controller wrote `resources: {}` when there was none and owns it since: the API server turns what
    # it shares with Git into null, and refuses that. Client-side apply, or a delete of the field, is let pass.
    app = stable_app(make_app)
    app.until_new(app.deploy("1.1.0", workload__resources=FITTING))
    with pytest.raises(RigError, match="null"):
        app.deploy("1.2.0", workload__resources={"limits": {}})
