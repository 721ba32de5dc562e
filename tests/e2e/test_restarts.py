"""The controller is killed and comes back: nothing is skipped, repeated or forgotten."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from app import ANALYSIS, App, measurements
from rig import Fleet
from rig.cluster import start_controller
from rig.kube import Object
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


@pytest.fixture
def controlled(make_app: Make, fleet: Fleet) -> Iterator[Callable[..., tuple[App, Controller]]]:
    """Make an app with a controller of its own, and its first release Healthy."""
    supervisor = Supervisor(fleet.logs)  # where a failure says that the programs' logs are

    def make(**changes: Any) -> tuple[App, Controller]:
        app = make_app(**{"exposure__steps": STEPS, "analysis": SLOW, **changes})
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
    finished = app.until_run("Step", "Successful", canary)
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
