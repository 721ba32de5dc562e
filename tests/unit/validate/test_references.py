"""Objects that name each other: Services, routes, autoscalers, ConfigMaps."""

import copy
from typing import Any

import pytest
from valid_objects import (
    ISTIO,
    MAIN,
    NAMESPACE,
    ROLLOUT,
    RULE,
    VS,
    Object,
    add,
    codes,
    destination,
    explain,
    find,
    host_split,
    meta,
    mutate,
    service,
    subset_split,
)

from canaryfleet.engines.argo_rollouts.validate import validate


def test_the_same_object_twice() -> None:
    objects = subset_split()
    assert codes(validate([*objects, service("assistant-stable")])) == {"CF203"}
    elsewhere = service("assistant-stable")
    elsewhere["metadata"]["namespace"] = "other"
    assert validate([*objects, elsewhere]) == []


def test_what_is_not_an_object() -> None:
    objects: list[Any] = [*subset_split(), None, "Rollout"]
    assert codes(validate(objects)) == {"CF200"}


def test_two_rollouts_share_nothing() -> None:
    objects = subset_split()
    second = copy.deepcopy(find(objects, ROLLOUT))
    second["metadata"]["name"] = "assistant-two"
    found = validate([*objects, second])
    assert codes(found) == {"CF252"}
    assert {one.name for one in found} == {"assistant-two"}
    assert len(found) == 4, explain(found)  # the Service, the DestinationRule, and two routes


@pytest.mark.parametrize("name", ["assistant-stable", "assistant-canary"])
def test_the_shared_host_is_not_narrowed_by_the_controller(name: str) -> None:
    objects = [*subset_split(), service("assistant-canary")]
    find(objects, ROLLOUT)["spec"]["strategy"]["canary"]["canaryService"] = "assistant-canary"
    host = f"{name}.{NAMESPACE}.svc.cluster.local"
    find(objects, RULE)["spec"]["host"] = host
    for route in find(objects, VS)["spec"]["http"]:
        for one in route["route"]:
            one["destination"]["host"] = host
    found = validate(objects)
    assert codes(found) == {"CF254"}, explain(found)


def test_a_virtual_service_in_another_namespace_needs_full_host_names() -> None:
    objects = host_split()
    mutate(objects, VS, "metadata.namespace", "ingress")
    mutate(objects, ROLLOUT, f"{ISTIO}.virtualServices.0.name", "assistant.ingress")
    assert validate(objects) == []
    mutate(objects, VS, "spec.http.0.route.0.destination.host", "assistant-stable")
    assert codes(validate(objects)) == {"CF254"}


def test_a_subset_that_is_not_the_rollouts_goes_elsewhere() -> None:
    objects = subset_split()
    mutate(objects, VS, "spec.http.0.route", add(destination("assistant", 5, "x")))
    assert codes(validate(objects)) == {"CF254"}


def test_tcp_and_tls_routes_that_fit() -> None:
    objects = subset_split()
    pair = find(objects, VS)["spec"]["http"][0]["route"]
    mutate(objects, VS, "spec.tcp", [{"match": [{"port": 9000}], "route": pair}])
    assert validate(objects) == []
    other = {"match": [{"port": 9001, "sniHosts": ["b", "a"]}], "route": pair}
    mutate(objects, VS, "spec.tls", [other, {"match": [{"port": 1}], "route": []}])
    assert codes(validate(objects)) == {"CF255"}
    mutate(objects, ROLLOUT, f"{ISTIO}.virtualService.tlsRoutes", [{"port": 9001, "sniHosts": ["a", "b"]}])
    assert validate(objects) == []
    mutate(objects, ROLLOUT, f"{ISTIO}.virtualService.tlsRoutes.0.port", 9002)
    assert codes(validate(objects)) == {"CF255"}


def scaler(kind: str, group: str, field: str, target: Object) -> Object:
    return {"apiVersion": group, "kind": kind, "metadata": meta("scaler"), "spec": {field: target}}


def test_other_autoscalers() -> None:
    objects = subset_split()
    keda = scaler("ScaledObject", "keda.sh/v1alpha1", "scaleTargetRef", {"name": "assistant"})
    assert codes(validate([*objects, keda])) == {"CF259"}
    target = {"kind": "Deployment", "name": "assistant"}
    vertical = scaler("VerticalPodAutoscaler", "autoscaling.k8s.io/v1", "targetRef", target)
    assert codes(validate([*objects, vertical])) == {"CF259"}
    elsewhere = scaler("ScaledObject", "keda.sh/v1alpha1", "scaleTargetRef", {"name": "worker"})
    assert validate([*objects, elsewhere]) == []


def test_missing_config_that_canaryfleet_did_not_make() -> None:
    objects = subset_split()
    mutate(objects, ROLLOUT, f"{MAIN}.envFrom.0.configMapRef", {"name": "of-the-cluster"})
    assert validate(objects) == []
