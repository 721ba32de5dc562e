"""What the controller and the API server refuse in a Rollout, and what they let pass: Rollouts written by hand.

Each sentence of the reference page about the canary's spec that can be tried without a canary has its Rollout
here; all are in one namespace, and two of them have a pod.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress

import pytest
from app import LIMIT, App
from byhand import (
    Change,
    canary,
    invalid,
    made,
    pod,
    rollout,
    routed,
    routes,
    settled,
    slug,
    spec,
    state,
    stepped,
    subsets,
)
from rig import RigError, WaitTimeoutError, wait_until
from rig.kube import Object

GOOD, OMITTED = "good", "replicas-omitted"
FIRST, SECOND = "no surge and none unavailable", "one service for both"
MATCH = [{"headerName": "x-group", "headerValue": {"exact": "internal"}}]
HEADER = {"setHeaderRoute": {"name": "internal", "match": MATCH}}
MIRROR = {"setMirrorRoute": {"name": "shadow", "percentage": 10, "match": [{"path": {"prefix": "/"}}]}}
SUBSETS = {"name": "any", "stableSubsetName": "stable", "canarySubsetName": "canary"}
BOTH_WAYS = [{"headerName": "x-group", "headerValue": {"exact": "internal", "prefix": "int"}}]


REFUSED: dict[str, tuple[Change, str]] = {
    "both strategies": (
        lambda r: r["spec"]["strategy"].update(blueGreen={"activeService": "selects-all"}),
        "Multiple Strategies can not be listed",
    ),
    "no strategy": (spec(strategy={}), "missing field '.spec.strategy.canary or .spec.strategy.blueGreen'"),
    "empty selector": (spec(selector={}), "empty selector is invalid"),
    "deadline is minReadySeconds": (
        spec(minReadySeconds=30, progressDeadlineSeconds=30),
        "must be greater than minReadySeconds",
    ),
    "deadline by default": (spec(minReadySeconds=600), "must be greater than minReadySeconds"),
    "invalid pod": (pod(restartPolicy="Never"), 'Unsupported value: "Never"'),
    "no surge and none unavailable": (
        canary(maxSurge=0, maxUnavailable=0),
        "MaxSurge and MaxUnavailable both can not be zero",
    ),
    "no surge and none unavailable of a percentage": (
        canary(maxSurge="0%", maxUnavailable="0%"),
        "MaxSurge and MaxUnavailable both can not be zero",
    ),
    "one service for both": (
        canary(stableService="selects-all", canaryService="selects-all"),
        "uses the same service for the stable and canary services",
    ),
    "service that selects other pods": (canary(stableService="selects-others"), "unmatch label"),
    "service of another rollout": (canary(stableService="managed"), "managed by another Rollout"),
    "host split without canary service": (
        routed(istio={"virtualService": {"name": "any"}}, stableService="selects-all"),
        "Canary service and Stable service must to be set",
    ),
    "scale down delay without routing": (
        canary(scaleDownDelaySeconds=30),
        "scaleDownDelaySeconds can only be used with traffic routing",
    ),
    "dynamic scale without routing": (
        canary(dynamicStableScale=True),
        "dynamicStableScale can only be used with traffic routing",
    ),
    "dynamic scale with scale down delay": (
        routed(scaleDownDelaySeconds=30, dynamicStableScale=True),
        "dynamicStableScale cannot be used with scaleDownDelaySeconds",
    ),
    "max traffic weight": (
        routed(routing={"maxTrafficWeight": 1000}),
        "maxTrafficWeight in traffic routing only supported in Nginx and Plugins",
    ),
    "weight above 100": (stepped({"setWeight": 101}), "SetWeight needs to be between 0 and 100"),
    "pause of a day": (stepped({"pause": {"duration": "1d"}}), "Duration needs to be greater than 0"),
    "empty step": (stepped({}), "Step must have one of the following set"),
    "weight and pause": (
        stepped({"setWeight": 10, "pause": {}}),
        "Step must have one of the following set",
    ),
    "canary scale without routing": (
        stepped({"setCanaryScale": {"replicas": 1}}),
        "SetCanaryScale requires TrafficRouting",
    ),
    "header route without routing": (stepped(HEADER), "SetHeaderRoute requires TrafficRouting"),
    "header route without managed routes": (
        routed(HEADER),
        "missing field 'spec.strategy.canary.trafficRouting.managedRoutes'",
    ),
    "mirror route without managed routes": (
        routed(MIRROR),
        "missing field 'spec.strategy.canary.trafficRouting.managedRoutes'",
    ),
    "header route of another name": (
        routed(HEADER, routing={"managedRoutes": [{"name": "other"}]}),
        "Steps define a route that does not exist",
    ),
    "header matched in two ways": (
        routed(
            {"setHeaderRoute": {"name": "internal", "match": BOTH_WAYS}},
            routing={"managedRoutes": [{"name": "internal"}]},
        ),
        "must have exactly one of the following: exact, regex, prefix",
    ),
    "ping pong without pong": (
        canary(pingPong={"pingService": "selects-all", "pongService": ""}),
        "Ping service and Pong service must to be set",
    ),
    "ping that is pong": (
        canary(pingPong={"pingService": "selects-all", "pongService": "selects-all"}),
        "uses the same service for the ping and pong services",
    ),
    "ping that is not there": (
        canary(pingPong={"pingService": "nowhere", "pongService": "selects-all"}),
        "pingPong.pingService",
    ),
    "both ways to name a virtual service": (
        routed(istio={"virtualService": {"name": "any"}, "virtualServices": [{"name": "any"}], "destinationRule": SUBSETS}),
        "either VirtualService or VirtualServices must be configured",
    ),
    "neither way to name a virtual service": (
        routed(istio={"destinationRule": SUBSETS}),
        "either VirtualService or VirtualServices must be configured",
    ),
    "workload beside a template": (
        spec(workloadRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "any"}),
        "template must be empty for workload reference rollout",
    ),
    "workload of another kind": (
        lambda r: reference(r, "StatefulSet"),
        "StatefulSet",
    ),
}  # fmt: skip
PASSED: dict[str, Change] = {
    "weight and canary scale": routed({"setWeight": 10, "setCanaryScale": {"replicas": 1}}),
    "weight and header route": routed(
        {"setWeight": 10, **HEADER}, routing={"managedRoutes": [{"name": "internal"}]}
    ),
    "service of nobody pods": canary(stableService="selects-all"),
    "service of nobody pods again": canary(stableService="selects-all"),
    "weights that fall": stepped({"setWeight": 50}, {"setWeight": 20}),
    "pause in seconds": stepped({"pause": {"duration": 30}}),
    "pause as go writes it": stepped({"pause": {"duration": "1h30m"}}),
    "ping pong without routing": canary(pingPong={"pingService": "ping", "pongService": "pong"}),
    "several virtual services": routed(
        istio={
            "virtualServices": [{"name": f"several-virtual-services{more}"} for more in ("", "-too")],
            "destinationRule": {**SUBSETS, "name": "several-virtual-services"},
        }
    ),
    "analysis that begins after the last step": canary(
        analysis={"templates": [{"templateName": "any"}], "startingStep": 99}
    ),
}


def reference(rollout: Object, kind: str) -> None:
    """Name a workload that has the template."""
    del rollout["spec"]["template"]
    group = "apps/v1"
    rollout["spec"]["workloadRef"] = {"apiVersion": group, "kind": kind, "name": "any"}


def beside(app: App) -> list[Object]:
    """What some of the Rollouts name."""
    core, istio = "v1", "networking.istio.io/v1"
    like = rollout(app, "any")["spec"]
    chosen, template = like["selector"], like["template"]
    selectors = {"selects-all": "yes", "selects-others": "no", "managed": "yes", "ping": "yes", "pong": "yes"}
    metric = {
        "name": "m",
        "interval": "60s",
        "provider": {"prometheus": {"address": app.fleet.prometheus, "query": "up"}},
    }
    return [
        *(
            made(
                app,
                core,
                "Service",
                name,
                {"selector": {"all": value}, "ports": [{"name": "http", "port": 80}]},
            )
            for name, value in selectors.items()
        ),
        made(app, "argoproj.io/v1alpha1", "AnalysisTemplate", "any", {"metrics": [metric]}),
        made(
            app, istio, "VirtualService", "several-virtual-services-too", routes("several-virtual-services")
        ),
        made(app, "apps/v1", "Deployment", "any", {"replicas": 0, "selector": chosen, "template": template}),
        *(
            one
            for name, change in PASSED.items()
            if "trafficRouting" in rollout(app, slug(name), change)["spec"]["strategy"]["canary"]
            for one in (
                made(app, istio, "VirtualService", slug(name), routes(slug(name))),
                made(app, istio, "DestinationRule", slug(name), subsets(slug(name))),
            )
        ),
    ]


def with_pods(app: App) -> set[str]:
    """The Rollouts that have a ReplicaSet: those that the controller reconciles."""
    with app._news:
        found = [one for (kind, _), one in app.live.items() if kind == "ReplicaSet"]
    return {
        owner["name"]
        for one in found
        for owner in one["metadata"]["ownerReferences"]
        if owner["kind"] == "Rollout"
    }


def owner(one: Object) -> None:
    """One pod, without which no Service is made to select."""
    one["spec"]["replicas"] = 1
    one["spec"]["strategy"]["canary"]["stableService"] = "managed"


def both(one: Object) -> None:
    """Two errors."""
    for name in (SECOND, FIRST):
        REFUSED[name][0](one)


def manager(app: App, service: str) -> str:
    """The Rollout that a Service says it belongs to."""
    found = app.kube.raw_json(f"/api/v1/namespaces/{app.namespace}/services/{service}")
    return str(found["metadata"].get("annotations", {}).get("argo-rollouts.argoproj.io/managed-by-rollouts"))


def test_what_the_controller_refuses_and_what_it_lets_pass(make_app: Callable[..., App]) -> None:
    """Nothing of a Rollout that is refused is reconciled; of two errors the first alone is said."""
    app = make_app()
    app.apply([*beside(app), rollout(app, GOOD, owner)])
    wait_until(lambda: manager(app, "managed") == GOOD, "the Service is the good Rollout's", LIMIT)
    bad = {slug(name): change for name, (change, _) in REFUSED.items()} | {"both-errors": both}
    fine = {slug(name): change for name, change in PASSED.items()} | {OMITTED: without_replicas}
    app.apply([rollout(app, name, change) for name, change in (bad | fine).items()])
    app.until_now(lambda: all(invalid(app, name) for name in bad), "all that is wrong is refused")
    with suppress(WaitTimeoutError):  # something may be "not found" first, which was applied a moment before
        app.until_now(
            lambda: all(text in invalid(app, slug(name)) for name, (_, text) in REFUSED.items()),
            "each is told",
        )
    said = {name: invalid(app, slug(name)) for name in REFUSED}
    assert {name: text for name, text in said.items() if REFUSED[name][1] not in text} == {}
    assert REFUSED[FIRST][1] in invalid(app, "both-errors")
    assert REFUSED[SECOND][1] not in invalid(app, "both-errors")
    app.until_now(lambda: all(settled(app, name) for name in fine), "the rest is let pass")
    assert [name for name in fine if invalid(app, name)] == []
    app.catch_up()
    assert with_pods(app) == {GOOD, *fine}
    assert generations(app, fine) == dict.fromkeys(fine, 1) | {OMITTED: 2}
    assert state(app, OMITTED)["spec"]["replicas"] == 1
    other = rollout(app, GOOD, spec(selector={"matchLabels": {"all": "yes"}}))
    with pytest.raises(RigError, match=r"\.spec\.selector is immutable"):
        app.kube.apply_at(app.kube.path_of(other), other)


def without_replicas(one: Object) -> None:
    """As it is under an autoscaler."""
    del one["spec"]["replicas"]


def generations(app: App, names: Iterable[str]) -> dict[str, int]:
    """How often the spec of each Rollout was written."""
    return {name: state(app, name)["metadata"]["generation"] for name in names}
