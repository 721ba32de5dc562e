"""Rollouts written by hand, many in one namespace, for the sentences that nothing canaryfleet writes can settle."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from app import App
from rig.kube import Object
from rig.rollouts import HASH_LABEL, complete

Change = Callable[[Object], object]


def spec(**more: Any) -> Change:
    """Replace fields of the Rollout's spec."""
    return lambda rollout: rollout["spec"].update(more)


def canary(**more: Any) -> Change:
    """Replace fields of the canary strategy; without traffic routing."""
    return lambda rollout: rollout["spec"]["strategy"]["canary"].update(more)


def routed(*steps: Object, istio: Object | None = None, routing: Object | None = None, **more: Any) -> Change:
    """A canary with Istio, split by subset, and these steps."""

    def change(rollout: Object) -> None:
        name = rollout["metadata"]["name"]
        subsets = {"name": name, "stableSubsetName": "stable", "canarySubsetName": "canary"}
        found = istio or {
            "virtualService": {"name": name, "routes": ["primary"]},
            "destinationRule": subsets,
        }
        rollout["spec"]["strategy"]["canary"] = {
            "steps": list(steps) or [{"setWeight": 10}],
            "trafficRouting": {"istio": found, **(routing or {})},
            **more,
        }

    return change


def stepped(*steps: Object) -> Change:
    """A canary without traffic routing and with these steps."""
    return canary(steps=list(steps))


def pod(**more: Any) -> Change:
    """Replace fields of the pod's spec."""
    return lambda rollout: rollout["spec"]["template"]["spec"].update(more)


def slug(text: str) -> str:
    """A name of Kubernetes."""
    return "-".join(text.lower().split())


def rollout(app: App, name: str, change: Change = lambda rollout: None) -> Object:
    """A Rollout that is right, without pods, and then changed."""
    labels = {"app": name, "all": "yes"}
    # without resources the controller would write `{}`, which is another generation
    container = {"name": "app", "image": "registry.example/any:1", "resources": {"requests": {"cpu": "1m"}}}
    made = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": app.namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            "strategy": {"canary": {"steps": [{"setWeight": 10}]}},
        },
    }
    made = copy.deepcopy(made)
    change(made)
    return made


def made(app: App, version: str, kind: str, name: str, spec: Object) -> Object:
    """An object of the app's namespace."""
    metadata = {"name": name, "namespace": app.namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def routes(host: str) -> Object:
    """A VirtualService with one route, all of it to stable."""
    shares = (("stable", 100), ("canary", 0))
    route = [{"destination": {"host": host, "subset": name}, "weight": weight} for name, weight in shares]
    return {"hosts": [host], "http": [{"name": "primary", "route": route}]}


def subsets(host: str) -> Object:
    """A DestinationRule whose subsets the controller fills in."""
    return {
        "host": host,
        "subsets": [{"name": name, "labels": {"all": "yes"}} for name in ("stable", "canary")],
    }


def invalid(app: App, name: str) -> str:
    """Why the controller refuses a Rollout; empty if it does not, or has not seen it yet."""
    conditions = state(app, name).get("status", {}).get("conditions", [])
    return next((str(c["message"]) for c in conditions if c["type"] == "InvalidSpec"), "")


def state(app: App, name: str) -> Object:
    """A Rollout as it was seen last."""
    with app._news:
        return app.live.get(("Rollout", name), {})


def settled(app: App, name: str) -> bool:
    """Whether a Rollout is complete."""
    found = state(app, name)
    return bool(found) and complete(found)


def mesh(app: App, name: str, route: Object | None = None, others: tuple[str, ...] = ()) -> list[Object]:
    """The VirtualService and the DestinationRule that `routed` names; `others`: more subsets."""
    istio = "networking.istio.io/v1"
    rule = subsets(name)
    rule["subsets"] += [{"name": other, "labels": {"all": "yes"}} for other in others]
    return [
        made(app, istio, "DestinationRule", name, rule),
        made(app, istio, "VirtualService", name, route or routes(name)),
    ]


def named(app: App, name: str) -> App:
    """The app's namespace with the eyes of another Rollout in it."""
    other = copy.copy(app)
    other.name = name
    return other


def second(one: Object) -> Object:
    """The same Rollout with another template."""
    fresh = copy.deepcopy(one)
    fresh["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/any:2"
    return fresh


def stable(app: App, rollouts: Mapping[str, Object]) -> dict[str, App]:
    """Apply Rollouts, and wait until all are complete."""
    app.apply(list(rollouts.values()))
    app.until_now(lambda: all(settled(app, name) for name in rollouts), "the first templates are stable")
    return {name: named(app, name) for name in rollouts}


def replicas(app: App, template: str) -> int:
    """How many pods a template of a Rollout is to have."""
    return int(app.object("ReplicaSet", f"{app.name}-{template}")["spec"]["replicas"])


def hashes(app: App, kind: str, name: str) -> dict[str, str]:
    """The template that a Service selects, or each subset of a DestinationRule; empty if it selects none of its own."""
    if kind == "Service":
        found = app.kube.raw_json(f"/api/v1/namespaces/{app.namespace}/services/{name}")
        return {name: found["spec"].get("selector", {}).get(HASH_LABEL, "")}
    rule = app.kube.raw_json(
        f"/apis/networking.istio.io/v1/namespaces/{app.namespace}/destinationrules/{name}"
    )
    return {one["name"]: one.get("labels", {}).get(HASH_LABEL, "") for one in rule["spec"]["subsets"]}
