"""Replicas, hosts and metric addresses that change in the middle of a canary."""

from collections.abc import Callable
from typing import Any

from app import HERE, App
from rig import wait_until
from rig.kube import Object
from rig.rollouts import canary_weight

from conftest import NEWEST

Make = Callable[..., App]
HEADER = {"x-group": "internal"}
STEPS: list[dict[str, Any]] = [
    {"header": HEADER, "for": "manual"},
    {"weight": "20%", "for": "manual"},
    {"weight": "60%", "for": "2s"},
]


def begun(make_app: Make) -> App:
    """An app whose canary waits with its header route."""
    app = make_app(exposure__steps=STEPS)
    app.pruned = True
    first = app.deploy("1.0.0")
    app.serve(first)
    app.until_healthy(first)
    second = app.deploy("1.1.0")
    app.serve(second)
    app.until_new(second)
    app.until_paused()
    app.until_now(lambda: header_route(app), "the header's route")
    return app


def header_route(app: App) -> bool:
    """Whether the managed route of the header is there."""
    return any(name.endswith("-header") for name in app.routes())


def alter(app: App, **changes: Any) -> None:
    """Change live settings and commit them, though Git alone can't tell that the cluster is at rest."""
    for path, value in changes.items():
        section, field = path.split("__")
        app.spec[section][field] = value
    app.respec()
    app.cli("render", "--at-rest", HERE)
    app.commit("live settings")


def spec_of(app: App) -> Object:
    """What a canary tests and how: all of the Rollout's spec but its replicas."""
    return {key: value for key, value in app.rollout["spec"].items() if key != "replicas"}


def test_more_replicas_and_another_host_in_mid_canary_restart_nothing_and_keep_the_weight(
    make_app: Make, record_property: Callable[[str, object], None]
) -> None:
    app = begun(make_app)
    app.promote()
    app.until_weight(20)
    app.until_paused()
    stable, canary, spec = app.stable, app.current, spec_of(app)
    pods = {pod["metadata"]["uid"] for pod in app.pods()}
    other = f"other-{app.host}"
    alter(app, workload__replicas=8, exposure__hosts=[app.host, other])
    sent = len(app.seen())
    with app.member.client.stream(app.host) as calls:
        app.sync()
        app.until_now(lambda: len(app.pods(stable)) == 8, "eight stable pods")
        wait_until(lambda: app.member.client.get(other).status == 200, "the new host answers", 60)
        app.until_now(lambda: 20 in app.routes()[f"{app.namespace}-{app.name}-primary"], "the weight is back")
    assert pods <= {pod["metadata"]["uid"] for pod in app.pods()}
    assert (app.stable, app.current, spec_of(app)) == (stable, canary, spec)
    assert canary_weight(app.rollout) == 20
    assert {call.who for call in calls} <= {app.who(stable), app.who(canary)}
    record_property("seconds that the weight was away", away(app, sent))
    app.promote()
    app.until_healthy()
    assert app.stable == canary


def away(app: App, sent: int) -> float:
    """From the state in which the apply had reset the weights to the one that has them again."""
    states = [seen for seen in app.seen()[sent:] if seen.object["kind"] == "VirtualService"]
    right = [20 in [d.get("weight") for d in seen.object["spec"]["http"][-1]["route"]] for seen in states]
    lost = next((seen.at for seen, fine in zip(states, right, strict=True) if not fine), None)
    if lost is None:
        return 0.0
    return next(seen.at for seen, fine in zip(states, right, strict=True) if fine and seen.at > lost) - lost


def test_a_sync_in_mid_canary_ends_the_route_of_the_header_for_good(make_app: Make) -> None:
    # Known, and the reason why Argo CD must not apply in mid-canary: the list of routes is one atomic value
    app = begun(make_app)
    stable, canary = app.stable, app.current
    app.until_now(lambda: set(app.shares(20, headers=HEADER)) == {app.who(canary)}, "internal users on it")
    app.sync()
    app.until_now(lambda: not header_route(app), "no route for the header")
    app.until_now(lambda: set(app.shares(20, headers=HEADER)) == {app.who(stable)}, "internal users off it")
    app.promote()
    app.until_weight(20)
    app.until_paused()
    assert not header_route(app)


def test_another_metric_server_in_mid_canary_is_asked_by_the_next_analysis_and_starts_no_canary(
    make_app: Make,
) -> None:
    app = begun(make_app)
    app.promote()
    app.until_weight(20)
    app.until_paused()
    canary, spec = app.current, spec_of(app)
    # the same server by another name, so that both answer
    address = app.fleet.prometheus.replace("127.0.0.1", "localhost")
    app.inventory({"metrics": {"prometheus": address}})
    alter(app)
    app.sync()
    app.until_now(lambda: 20 in app.routes()[f"{app.namespace}-{app.name}-primary"], "the weight is back")
    assert (app.current, spec_of(app)) == (canary, spec)
    app.promote()
    run = app.until_run("Step", "Successful", canary)
    arguments = {one["name"]: one.get("value") for one in run["spec"]["args"]}
    assert arguments["prometheus-address"] == address
    background = app.runs("Background", canary)
    assert len(background) == 1, "the background analysis began anew"
    arguments = {one["name"]: one.get("value") for one in background[0]["spec"]["args"]}
    assert arguments["prometheus-address"] == app.fleet.prometheus
    app.until_healthy()
    assert app.stable == canary


@NEWEST
def test_a_pointer_move_brings_no_other_replicas(make_app: Make) -> None:
    app = make_app(exposure__steps=STEPS)
    app.release("1.0.0")
    app.spec["workload"]["replicas"] = 9
    app.spec["version"] = "1.1.0"
    app.spec["workload"]["image"] = app.spec["workload"]["image"].replace(":1.0.0@", ":1.1.0@")
    app.respec()
    app.cli("render")
    before = replicas(app)
    candidate = next(release for release in app.releases() if release.startswith("1.1.0"))
    app.point(candidate)
    assert app.pointed == candidate
    assert replicas(app) == before


def replicas(app: App) -> int | None:
    """The replicas that the committed overlay gives the Rollout."""
    (rollout,) = (one for one in app.built() if one["kind"] == "Rollout")
    found: int | None = rollout["spec"].get("replicas")
    return found


def test_a_sync_leaves_the_pods_that_the_autoscaler_wants(make_app: Make) -> None:
    app = make_app(
        exposure__steps=STEPS,
        workload={"port": 8080, "image": "", "autoscaler": {"min": 2, "max": 8, "cpu": "70%"}},
    )
    app.pruned = True
    first = app.deploy("1.0.0")
    app.until_healthy(first)
    # what an autoscaler does, which needs metrics of real pods
    app.kube.patch_at(f"{app.kube.path_of(app.rollout)}/scale", {"spec": {"replicas": 5}})
    app.until_now(lambda: len(app.pods(app.stable)) == 5, "five pods")
    app.sync()
    second = app.deploy("1.1.0")
    app.until_new(second)
    app.until_paused()
    assert app.rollout["spec"]["replicas"] == 5
    assert len(app.pods(app.stable)) == 5
