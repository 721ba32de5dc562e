"""Kubernetes objects as plain data: what all of the workload shares."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from canaryfleet.models.canary import Canary

Object = dict[str, Any]

APP_LABEL = "app.kubernetes.io/name"
MANAGED_BY = {"app.kubernetes.io/managed-by": "canaryfleet"}
REVISION_LABEL = "service.istio.io/canonical-revision"  # Istio copies it into every metric
WORKLOAD_ANNOTATION = "canaryfleet.dev/workload"
POD_ANNOTATION = "canaryfleet.dev/pod"
HPA = "HorizontalPodAutoscaler"


class Bounds(NamedTuple):
    """Live scale settings as the spec or the base has them."""

    replicas: int | None = None
    minimum: int | None = None
    maximum: int | None = None


class Workload(NamedTuple):
    """What runs, before any engine has seen it."""

    template: Object
    selector: dict[str, str]
    container: int
    service: Object
    port: int
    port_name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    min_ready: int
    autoscaler: str | None
    disruption: Object | None
    config: tuple[Object, ...]
    carried: tuple[Object, ...]
    bounds: Bounds
    digest: str


def rollout_reference(name: str) -> Object:
    """A scaleTargetRef to a Rollout."""
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": name}


def disruption(spec: Canary, selector: Mapping[str, str]) -> Object | None:
    """The PodDisruptionBudget of the app's pods, canary and stable alike; None if the spec wants none."""
    app, most = spec.metadata.name, spec.workload.disruption
    if most is None:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": app,
            "namespace": spec.metadata.namespace,
            "labels": {APP_LABEL: app} | MANAGED_BY,
        },
        "spec": {"maxUnavailable": most, "selector": {"matchLabels": dict(selector)}},
    }


def within(value: Any, key: str) -> Iterator[Any]:
    """What stands under a key, at any depth of an object; the outer before the inner."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for item in value.values():
            yield from within(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from within(item, key)
