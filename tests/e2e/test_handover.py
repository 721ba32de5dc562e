"""From a fixed number of pods to an autoscaler: what becomes of spec.replicas when Git no longer says it."""

from collections.abc import Callable

from app import App

Make = Callable[..., App]
PODS = 4
STEPS = [{"weight": "20%", "for": "manual"}]
AUTOSCALER = {"min": 3, "max": 8, "cpu": "70%"}


def running(make_app: Make) -> App:
    """An app whose number of pods is fixed by Git."""
    app = make_app(exposure__steps=STEPS, workload__replicas=PODS)
    first = app.deploy("1.0.0")
    app.until_healthy(first)
    return app


def hand_over(app: App) -> None:
    """The next release leaves the number of pods to an autoscaler."""
    del app.spec["workload"]["replicas"]
    app.until_new(app.deploy("1.1.0", workload__autoscaler=AUTOSCALER))


def numbers(app: App) -> list[int | None]:
    """The pods that the controller was asked for, from first to last; None: nobody said."""
    found = [item.object["spec"].get("replicas") for item in app.seen() if item.object["kind"] == "Rollout"]
    return [number for number, before in zip(found, [0, *found], strict=False) if number != before]


def test_without_a_second_owner_the_stable_version_falls_to_one_pod(make_app: Make) -> None:
    app = running(make_app)
    hand_over(app)
    app.until_now(lambda: 1 in numbers(app), "one pod is asked for")


def test_with_a_second_owner_the_number_stays_until_the_autoscaler_sets_another(make_app: Make) -> None:
    """The remedy of CF305, as its page has it."""
    app = running(make_app)
    rollout = app.rollout
    owned = {
        "apiVersion": rollout["apiVersion"],
        "kind": "Rollout",
        "metadata": {"name": app.name, "namespace": app.namespace},
        "spec": {"replicas": PODS},
    }
    app.kube.apply_at(app.kube.path_of(rollout), owned, manager="handover")
    hand_over(app)
    app.until_paused()
    assert numbers(app) == [PODS]
    assert len(app.pods(app.stable)) == PODS
    # what an autoscaler does, which needs metrics of real pods: the second owner is not in its way
    app.kube.patch_at(f"{app.kube.path_of(rollout)}/scale", {"spec": {"replicas": 6}})
    app.until_now(lambda: app.rollout["spec"]["replicas"] == 6, "six pods are asked for")
    app.apply()
    app.catch_up()
    assert app.rollout["spec"]["replicas"] == 6
