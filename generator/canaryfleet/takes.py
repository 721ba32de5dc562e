"""What the pods of a release ask for on its clusters, in thousandths of each resource's unit, and rounded up.

How many pods there are is live and stands in a cluster's overlay; what each asks for is the release's. Pods
are counted as the scheduler counts them.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

from canaryfleet.models.decision import Amounts
from canaryfleet.models.release import Release
from canaryfleet.quantity import Scalar, kubernetes_quantity

Object = dict[str, Any]
PODS = "pods"  # a resource of nodes of which each pod takes one
KEDA_MOST = 100  # maxReplicaCount of a ScaledObject that names none
_LIVE = re.compile(
    rb"^      path: /spec/(replicas|minReplicas|maxReplicas)\n      value: ([0-9]{1,9})$", re.MULTILINE
)


class Scale(NamedTuple):
    """How many pods there are: without an autoscaler, and at most and at least with one. None: it is not said."""

    replicas: int | None = None
    most: int | None = None
    fewest: int | None = None


def scale(overlay: bytes) -> Scale:
    """What an overlay's live settings say, without reading it as YAML."""
    found = {name: int(count) for name, count in _LIVE.findall(overlay)}
    return Scale(found.get(b"replicas"), found.get(b"maxReplicas"), found.get(b"minReplicas"))


def takes(
    release: Release,
    build: Callable[[str | None], Sequence[Object]],
    live: Callable[[str], Scale],
    resources: Mapping[str, Collection[str]],
) -> dict[str, Amounts]:
    """What the release's pods ask for, by cluster, of the `resources` that each declares.

    `build` gives the objects of the release with a variant (or without), once for each; `live` what is said of
    a cluster, where that counts.
    Raises ValueError for a quantity that is none, and where nothing says how many pods there are.
    """
    known: dict[str | None, _Pods] = {}
    found: dict[str, Amounts] = {}
    for name, member in release.clusters.items():
        asked = resources.get(name)
        if not asked:
            continue
        if member.variant not in known:
            known[member.variant] = _pods(release, build(member.variant))
        pods = known[member.variant]
        count = pods.fixed if pods.fixed is not None else pods.replicas(live(name))
        if count is None:
            raise ValueError(f"nothing says how many pods {release.id} has on {name}")
        found[name] = {resource: count * pods.one(resource) for resource in asked}
    return found


class _Pods(NamedTuple):
    """The pods of a release with one variant: what each is, and how many where nothing live says it."""

    spec: Mapping[str, Any]
    scaled: bool
    fixed: int | None
    amounts: dict[str, int]

    def replicas(self, live: Scale) -> int | None:
        return live.most if self.scaled else live.replicas

    def one(self, resource: str) -> int:
        if resource not in self.amounts:
            self.amounts[resource] = pod_takes(self.spec, resource)
        return self.amounts[resource]


def _pods(release: Release, objects: Sequence[Object]) -> _Pods:
    rollout = next((item for item in objects if item["kind"] == "Rollout"), {})
    template = rollout.get("spec", {}).get("template")
    if template is None:
        raise ValueError(f"release {release.id} has no pod template")
    keda = [item["spec"] for item in objects if item["kind"] == "ScaledObject" and _scales(item, rollout)]
    fixed = keda[0].get("maxReplicaCount", KEDA_MOST) if keda else None
    if not release.live.autoscaler and fixed is None and not release.live.replicas:
        fixed = rollout["spec"].get("replicas", 1)
    return _Pods(template["spec"], release.live.autoscaler is not None, fixed, {})


def _scales(scaler: Object, rollout: Object) -> bool:
    target = scaler.get("spec", {}).get("scaleTargetRef", {})
    return (target.get("kind"), target.get("name")) == ("Rollout", rollout["metadata"]["name"])


def pod_takes(spec: Mapping[str, Any], resource: str) -> int:
    """What one pod asks for: containers and sidecars together, or what any of its other init containers needs.

    A sidecar (an init container that is always restarted) runs beside those that come after it. What the pod
    as a whole asks for goes before, and its overhead comes on top. Raises ValueError.
    """
    if resource == PODS:
        return 1000
    sidecars = largest = 0
    for container in spec.get("initContainers") or ():
        asked = _asked(container.get("resources"), resource)
        if container.get("restartPolicy") == "Always":
            sidecars += asked
            largest = max(largest, sidecars)
        else:
            largest = max(largest, sidecars + asked)
    together = sidecars + sum(_asked(item.get("resources"), resource) for item in spec["containers"])
    needed = max(together, largest)
    whole = spec.get("resources") or {}
    if resource in (whole.get("requests") or {}) or not needed:
        needed = _asked(whole, resource)
    return needed + _amount((spec.get("overhead") or {}).get(resource, 0))


def _asked(resources: Mapping[str, Any] | None, resource: str) -> int:
    """Requests; where there are none the limit is one."""
    found = resources or {}
    requests, limits = found.get("requests") or {}, found.get("limits") or {}
    return _amount(requests.get(resource, limits.get(resource, 0)))


def _amount(value: Scalar) -> int:
    return ceil(kubernetes_quantity(value) * 1000)


def room(resources: Mapping[str, Scalar]) -> Amounts:
    """What a cluster's file says that it can hold."""
    return {name: int(kubernetes_quantity(value) * 1000) for name, value in resources.items()}
