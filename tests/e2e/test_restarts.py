"""The controller is killed and comes back: nothing is skipped, repeated or forgotten."""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from app import ANALYSIS, App, measurements
from driving import (
    MANUAL,
    PORT,
    UNMEASURED,
    ask,
    internal,
    only,
    proxies,
    stop_at,
    until_all_by,
    until_route,
    until_share,
)
from rig import Fleet
from rig.cluster import start_controller
from rig.kube import Object
from rig.kubelet import ready, starting
from rig.processes import Process, Supervisor
from rig.rollouts import canary_weight, phase

Make = Callable[..., App]
INSTANCE = "argo-rollouts.argoproj.io/controller-instance-id"
HEADER = {"x-group": "internal"}
STEPS: list[dict[str, Any]] = [
    {"header": HEADER, "for": "manual"},
    {"weight": "20%", "for": "manual"},
    {"weight": "60%", "for": "4s"},
]
# four measurements for a step, so that one can be interrupted
SLOW = {**ANALYSIS, "window": "8s", "consecutiveSuccessLimit": 4, "count": 12}
SCALE = 3
PODS = 4
EVERY_KIND: list[tuple[dict[str, Any], Callable[[App], None]]] = [
    ({"mirror": "30%"}, partial(until_route, kind="mirror")),
    ({"header": HEADER}, partial(until_route, kind="header")),
    ({"cookie": {"preview": "1"}, "scale": {"replicas": SCALE}}, partial(until_route, kind="cookie")),
    ({"weight": "20%"}, partial(until_share, percent=20)),
    ({"weight": "60%"}, partial(until_share, percent=60)),
]
"""Steps, and what both Envoys have to be told at each."""
SESSION = "mcp-session-id"
USERS = [{SESSION: f"user-{number:03}"} for number in range(200)]
FEW = 20
LOOKS = 2  # times that a controller looks after its start: the second is no longer the one it starts with


class Controller:
    """A controller of the test's own, for one app; the fleet's leave its objects alone."""

    def __init__(self, app: App, supervisor: Supervisor) -> None:
        self.app, self.supervisor = app, supervisor
        self.process: Process | None = None

    def start(self) -> None:
        """Start it, and wait until it is healthy."""
        app = self.app
        only = (f"--instance-id={app.namespace}", "--namespaced", f"--namespace={app.namespace}")
        self.process = start_controller(
            self.supervisor, f"{app.namespace}-rollouts", app.kube, app.member.rollouts, *only
        )

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        assert self.process is not None
        self.process.popen.kill()
        self.process.popen.wait()
        self.supervisor.processes.remove(self.process)

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()

    def look(self) -> None:
        """Wake it, and wait until its log says that it has been through the Rollout, a few times."""
        assert self.process is not None
        for _ in range(LOOKS):
            self.app.look_again(self.process.log)
        self.app.catch_up()


@pytest.fixture
def controlled(make_app: Make, fleet: Fleet) -> Iterator[Callable[..., tuple[App, Controller]]]:
    """Make an app with a controller of its own, and its first release Healthy."""
    supervisor = Supervisor(fleet.logs)  # where a failure says that the programs' logs are

    def make(**changes: Any) -> tuple[App, Controller]:
        app = make_app(**{"exposure__steps": STEPS, "analysis": SLOW, "workload__replicas": PODS, **changes})
        controller = Controller(app, supervisor)
        controller.start()
        app.serve(app.deploy("1.0.0", change=lambda objects: owned(app, objects)))
        app.until_healthy()
        return app, controller

    yield make
    supervisor.stop_all()


def owned(app: App, objects: list[Object]) -> list[Object]:
    """The objects, with those of Argo Rollouts marked for the app's own controller."""
    for one in objects:
        if one["apiVersion"].startswith("argoproj.io/"):
            one["metadata"].setdefault("labels", {})[INSTANCE] = app.namespace
    return objects


def begin(app: App, **serving: Any) -> str:
    """Begin with 1.1.0; the hash of its pods."""
    second = app.deploy("1.1.0", change=lambda objects: owned(app, objects))
    app.serve(second, **serving)
    return app.until_new(second)


def walked(app: App, since: int) -> list[int]:
    """The steps in the order in which the Rollout was at them."""
    rollouts = [seen.object for seen in app.seen()[since:] if seen.object["kind"] == "Rollout"]
    steps = [r.get("status", {}).get("currentStepIndex") for r in rollouts]
    return [step for step in steps if step is not None]


def test_a_controller_killed_at_every_step_goes_on_where_it_was(
    controlled: Callable[..., tuple[App, Controller]],
) -> None:
    app, controller = controlled(waves=[{"name": "all", "minSuccessTime": "4s"}])
    bake = app.until_run("bake", "Successful")
    stable = app.stable
    canary = begin(app)
    since = len(app.seen())
    app.until_paused()
    app.until_now(lambda: set(app.shares(20, headers=HEADER)) == {app.who(canary)}, "the header's route")
    controller.kill()
    # nobody watches, and nobody is hurt
    assert set(app.shares(50)) == {app.who(stable)}
    assert set(app.shares(20, headers=HEADER)) == {app.who(canary)}
    controller.start()
    app.promote()
    app.until_weight(20)
    app.until_paused()
    controller.restart()
    assert set(app.shares(20, headers=HEADER)) == {app.who(canary)}, "the header's route was lost"
    app.promote()
    app.measured("Step", 2)
    (interrupted,) = app.runs("Step", canary)
    controller.restart()
    name = interrupted["metadata"]["name"]  # a step later there is another run, which is newer
    app.until_now(
        lambda: phase(app.object("AnalysisRun", name)) == "Successful", "the interrupted analysis goes on"
    )
    finished = app.object("AnalysisRun", name)
    assert finished["metadata"]["uid"] == interrupted["metadata"]["uid"], "the analysis began anew"
    before = [m["startedAt"] for m in measurements(interrupted)]
    assert [m["startedAt"] for m in measurements(finished)][: len(before)] == before
    app.until_weight(60)
    controller.restart()
    app.until_healthy()
    assert app.stable == canary
    assert app.weights() == [0, 20, 60, 100, 0]
    steps = walked(app, since)
    assert steps == sorted(steps), "a step was done again"
    assert set(steps) >= set(range(len(app.rollout["spec"]["strategy"]["canary"]["steps"]) + 1)) - quick(app)
    assert [run["status"]["phase"] for run in app.runs("Step", canary)] == ["Successful"] * 2
    assert len(app.runs("Background", canary)) == 1
    assert app.runs("bake")[0]["metadata"]["uid"] == bake["metadata"]["uid"]


def quick(app: App) -> set[int]:
    """Steps that the controller may do two of between two writes of the status."""
    steps = app.rollout["spec"]["strategy"]["canary"]["steps"]
    return {index for index, step in enumerate(steps) if not {"pause", "analysis"} & set(step)}


def test_a_controller_killed_at_every_stop_of_every_kind_of_step_leaves_all_as_it_was(
    controlled: Callable[..., tuple[App, Controller]],
) -> None:
    app, controller = controlled(
        analysis=UNMEASURED,
        workload__port=PORT,
        exposure__idempotent=True,
        exposure__sticky={"header": SESSION},
        exposure__steps=[{**step, "for": MANUAL} for step, _ in EVERY_KIND],
    )
    stable, stable_pods = app.stable, uids(app, app.stable)
    until_all_by(app, app.who(stable))
    canary, since = begin(app), len(app.seen())
    release = app.frozen(app.pointed)
    stops = []
    for stop, (_, until_told) in enumerate(EVERY_KIND):
        stop_at(app, release, stop)
        until_told(app)
        app.until_now(lambda: len(app.pods(canary)) == asked_for(app, canary), "the pods of the step")
        stops.append(killed_at_a_stop(app, controller))
    assert [stop["x-group"] for stop in stops] == [{app.who(stable)}] + [{app.who(canary)}] * 4
    assert [stop["preview"] for stop in stops] == [{app.who(stable)}] * 2 + [{app.who(canary)}] * 3
    assert [stop["weight"] for stop in stops] == [0, 0, 0, 20, 60]
    users = [stop["users"] for stop in stops]
    assert users[:3] == [set()] * 3, "only a weight moves users with a session"
    assert set() < users[3] < users[4]
    assert len(stops[2]["canary pods"]) == SCALE
    # with a pod that is not ready it can't be complete before it is killed
    late = app.pods(canary)[0]
    starting(app.kube, late)
    app.promote()
    controller.restart()
    controller.look()
    assert app.stable == stable, "complete before all of its pods were ready"
    ready(app.kube, late)
    app.until_healthy(release)
    until_all_by(app, app.who(canary))
    assert app.stable == canary
    assert app.weights() == [0, 20, 60, 100, 0]
    steps = walked(app, since)
    assert steps == sorted(steps), "a step was done again"
    assert set(steps) >= set(range(len(app.rollout["spec"]["strategy"]["canary"]["steps"]) + 1)) - quick(app)
    assert {frozenset(stop["stable pods"]) for stop in stops} == {frozenset(stable_pods)}
    assert stops[-1]["canary pods"] <= uids(app, canary), "pods of the new version were made anew"


def killed_at_a_stop(app: App, controller: Controller) -> dict[str, Any]:
    """Kill the controller and start it again; what was so before, while none ran, and after it."""
    app.catch_up()
    before, since = picture(app), len(app.seen())
    controller.kill()
    assert picture(app) == before, "somebody noticed that no controller runs"
    controller.start()
    controller.look()
    assert picture(app) == before, "the restart changed something"
    routes = [seen.object["spec"] for seen in app.seen()[since:] if seen.object["kind"] == "VirtualService"]
    assert all(spec == before["routes"] for spec in routes), "a route was away for a moment"
    return before


def picture(app: App) -> dict[str, Any]:
    """What is so at a stop: for the controller, for the two Envoys, and for all kinds of users."""
    sessions = [
        app.member.client.each(host, USERS, inside=inside)
        for host, inside in ((app.host, False), (internal(app), True))
    ]
    new = app.who(app.current)
    users = [
        {user[SESSION] for user, answer in zip(USERS, answers, strict=True) if answer.who == new}
        for answers in sessions
    ]
    assert users[0] == users[1], "two Envoys put a user on one side"
    assert {answer.who for answers in sessions for answer in answers} <= {new, app.who(app.stable)}
    return {
        "step": app.status["currentStepIndex"],
        "pauses": app.status.get("pauseConditions"),
        "weight": canary_weight(app.rollout),
        "routes": app.object("VirtualService")["spec"],
        "told": [envoy.routes(internal(app)) for envoy in proxies(app)],
        "x-group": only(ask(app, FEW, x_group="internal").values()),
        "preview": only(ask(app, FEW, cookie="a=b; preview=1").values()),
        "users": users[0],
        "stable pods": uids(app, app.stable),
        "canary pods": uids(app, app.current),
    }


def uids(app: App, template: str) -> set[str]:
    """The pods of a template: one that is made anew is another."""
    return {pod["metadata"]["uid"] for pod in app.pods(template)}


def asked_for(app: App, template: str) -> int:
    """How many pods a template should have."""
    return int(app.object("ReplicaSet", f"{app.name}-{template}")["spec"]["replicas"])


def test_blue_green_goes_on_where_it_was_when_its_controller_is_killed_in_preview_and_after_the_switch(
    controlled: Callable[..., tuple[App, Controller]],
) -> None:
    preview = f"preview-{uuid.uuid4().hex[:8]}.example"
    blue = {"promoteAfter": MANUAL, "observe": "8s", "previewHosts": [preview], "previewReplicas": 1}
    app, controller = controlled(exposure__steps=[], exposure__blueGreen=blue, workload__port=PORT)
    client, stable = app.member.client, app.stable
    old = app.who(stable)
    until_all_by(app, old)
    canary = begin(app, service=f"{app.name}-active")
    new = app.who(canary)
    app.until_paused("BlueGreenPause")
    client.wait_for(preview, new)
    with client.stream(app.host) as outside, client.stream(internal(app), inside=True) as within:
        before = previewed(app, preview)
        controller.kill()
        assert previewed(app, preview) == before
        controller.start()
        controller.look()
        assert previewed(app, preview) == before
        assert before["users"] == {old}
        assert before["active"] == stable
        app.promote()
        app.measured("PostPromotion", 2, "Successful")
        (interrupted,) = app.runs("PostPromotion", canary)
        controller.restart()
        assert interrupted["status"]["phase"] == "Running"
        assert app.status["blueGreen"]["activeSelector"] == canary
        app.until_healthy()
        until_all_by(app, new)
    (finished,) = app.runs("PostPromotion", canary)
    assert finished["metadata"]["uid"] == interrupted["metadata"]["uid"], "the analysis began anew"
    assert finished["status"]["phase"] == "Successful"
    measured = [m["startedAt"] for m in measurements(interrupted)]
    assert [m["startedAt"] for m in measurements(finished)][: len(measured)] == measured
    assert app.stable == canary
    for calls in (outside, within):
        order = [call.who for call in calls]
        assert set(order) == {old, new}, "no request failed, and both were seen"
        assert order == sorted(order, key=[old, new].index), "once switched nobody goes back"


def previewed(app: App, preview: str) -> dict[str, Any]:
    """What is so in preview: for the controller, and for the two kinds of users."""
    return {
        "active": app.status["blueGreen"]["activeSelector"],
        "pauses": app.status.get("pauseConditions"),
        "users": only(ask(app, FEW).values()),
        "preview": set(app.member.client.shares(preview, FEW)),
        "pods": {uid for template in (app.stable, app.current) for uid in uids(app, template)},
    }


def test_what_turned_bad_while_no_controller_ran_is_aborted_when_it_is_back(
    controlled: Callable[..., tuple[App, Controller]], record_property: Callable[[str, object], None]
) -> None:
    app, controller = controlled(exposure__steps=[{"weight": "20%", "for": "10m"}])
    stable = app.stable
    canary = begin(app)
    app.until_weight(20)
    app.measured("Background", 2, "Successful")
    second = app.frozen(app.pointed)
    controller.kill()
    app.serve(second, errors=0.9)
    assert not app.status.get("abort")
    controller.start()
    started = app.seen()[-1].at
    record_property("seconds from the controller's return to the abort", app.until_aborted() - started)
    app.until_now(lambda: canary_weight(app.rollout) == 0, "no weight")
    app.until_now(lambda: set(app.shares(50)) == {app.who(stable)}, "all users are on the old version")
    assert [run["status"]["phase"] for run in app.runs("Background", canary)] == ["Failed"]


def test_an_abort_is_an_abort_after_a_restart_and_a_revert_in_its_absence_is_seen(
    controlled: Callable[..., tuple[App, Controller]],
) -> None:
    app, controller = controlled(exposure__steps=[{"weight": "20%", "for": "4s"}])
    stable, fallback = app.stable, app.pointed
    canary = begin(app, errors=0.9)
    app.until_aborted()
    app.until_now(lambda: canary_weight(app.rollout) == 0, "no weight")
    runs = {run["metadata"]["name"] for run in app.runs()}
    controller.restart()
    # a change of the replicas alone shows that it is at work again; and back, for reasons in test_reverts.py
    for replicas in (5, 4):
        app.kube.patch_at(app.kube.path_of(app.rollout), {"spec": {"replicas": replicas}})
        app.until_now(lambda: len(app.pods(stable)) == replicas, "the controller works")  # noqa: B023
    assert app.status.get("abort")
    assert phase(app.rollout) == "Degraded"
    assert {run["metadata"]["name"] for run in app.runs()} == runs, "the bad version was measured again"
    assert canary == app.current
    controller.kill()
    app.point(fallback)
    app.apply(owned(app, app.built()))
    controller.start()
    app.until_healthy(app.frozen(fallback))
    assert app.stable == stable
    assert not app.status.get("abort")
    assert {run["metadata"]["name"] for run in app.runs()} == runs
