"""What clusters hold is recognised however it is written, and nothing that means something is passed over."""

from typing import Any

import pytest

from canaryfleet.engines.argo_rollouts import held

POD: dict[str, Any] = {
    "metadata": {"labels": {"app": "chat"}},
    "spec": {
        "containers": [
            {
                "name": "chat",
                "image": "chat:1",
                "ports": [{"containerPort": 8080}],
                "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}},
                "securityContext": {"runAsUser": 0, "allowPrivilegeEscalation": False},
            }
        ],
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"key": "spot", "tolerationSeconds": 0}],
        "nodeSelector": {"gpu": ""},
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
        "overhead": {"cpu": "0.25"},
    },
}
CONTAINER = ("spec", "containers", 0)


def put(tree: Any, at: tuple[str | int, ...], value: Any) -> Any:
    """A copy with another value at a place; None: without it."""
    if not at:
        return value
    key, *rest = at
    if isinstance(tree, list):
        return [put(item, tuple(rest), value) if number == key else item for number, item in enumerate(tree)]
    inner = put(tree.get(key), tuple(rest), value) if rest else value
    return {name: item for name, item in (tree | {key: inner}).items() if item is not None}


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("metadata", "creationTimestamp"), None),
        ((*CONTAINER, "ports", 0, "protocol"), "TCP"),
        ((*CONTAINER, "resources", "limits"), {"cpu": "500m", "memory": "1Gi"}),
        ((*CONTAINER, "lifecycle"), {}),
        (("spec", "hostNetwork"), False),
        (("spec", "initContainers"), []),
        (("spec", "volumes", 0, "emptyDir", "sizeLimit"), "1024Mi"),
        (("spec", "overhead", "cpu"), "250m"),
        (("spec", "restartPolicy"), ""),
    ],
)
def test_what_go_and_the_api_server_write_otherwise_is_the_same(at, value):
    assert held.content(put(POD, at, value)) == held.content(POD)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("metadata", "labels", "team"), ""),
        ((*CONTAINER, "image"), "chat:2"),
        ((*CONTAINER, "env"), [{"name": "A", "value": "1"}]),
        ((*CONTAINER, "ports", 0, "protocol"), "UDP"),
        ((*CONTAINER, "resources", "limits", "cpu"), "501m"),
        ((*CONTAINER, "securityContext", "runAsUser"), None),
        ((*CONTAINER, "securityContext", "allowPrivilegeEscalation"), None),
        (("spec", "automountServiceAccountToken"), None),
        (("spec", "terminationGracePeriodSeconds"), None),
        (("spec", "tolerations", 0, "tolerationSeconds"), None),
        (("spec", "nodeSelector"), None),
        (("spec", "serviceAccountName"), "another"),
    ],
)
def test_what_runs_otherwise_is_not_the_same(at, value):
    assert held.content(put(POD, at, value)) != held.content(POD)


METRIC: dict[str, Any] = {
    "name": "drift",
    "interval": "5m",
    "failureLimit": 0,
    "consecutiveErrorLimit": 0,
    "provider": {
        "web": {
            "url": "https://drift.example",
            "jsonBody": {"temperature": 1.0, "strict": False, "protocol": "TCP", "limits": {"x": "1000m"}},
        }
    },
}
BODY = ("metrics", 0, "provider", "web", "jsonBody")
RUN: dict[str, Any] = {"metrics": [METRIC, {"name": "asked", "provider": {"datadog": {"query": "q"}}}]}


def measured(spec: Any, window: str | None = "1m") -> str:
    return held.measures(spec, window)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ((*BODY, "temperature"), 1),
        (("metrics", 0, "failureLimit"), None),
        (("metrics", 0, "provider", "web", "authentication"), {"oauth2": {}}),
        (
            ("metrics", 1, "provider", "datadog"),
            {"query": "q", "interval": "5m", "apiVersion": "v1", "requestTimeout": "10s"},
        ),
        (("terminate",), True),
    ],
)
def test_the_same_is_measured(at, value):
    assert measured(put(RUN, at, value)) == measured(RUN)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ((*BODY, "strict"), None),
        ((*BODY, "protocol"), None),
        ((*BODY, "limits", "x"), "1"),
        ((*BODY, "temperature"), 1.5),
        (("metrics", 0, "interval"), None),
        (("metrics", 0, "failureLimit"), 1),
        (("metrics", 0, "consecutiveErrorLimit"), None),
        (("metrics", 1, "provider", "datadog", "interval"), "10m"),
        (("dryRun",), [{"metricName": "drift"}]),
        (("measurementRetention",), [{"metricName": "drift", "limit": 1}]),
    ],
)
def test_something_else_is_measured(at, value):
    assert measured(put(RUN, at, value)) != measured(RUN)


def test_of_two_windows_none_is_meant():
    given = [{"name": "window", "value": "1m"}, {"name": "window", "value": "1s"}]
    assert held.given("window", given) is None
    assert held.given("window", given[:1]) == "1m"
    assert measured(RUN, "1m") != measured(RUN, "1s") != measured(RUN, None)


GIVEN: dict[str, Any] = {
    "spec": {
        "containers": [
            {
                "name": "chat",
                "env": [
                    {"name": "MODE", "value": "fast"},
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "settings-1"}}],
            }
        ]
    }
}
ENV = ("spec", "containers", 0, "env")


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ((*ENV, 1, "valueFrom", "fieldRef", "apiVersion"), "v1"),
        ((*ENV, 0, "valueFrom"), None),
        (("spec", "containers", 0, "terminationMessagePath"), "/dev/termination-log"),
    ],
)
def test_what_the_api_server_adds_to_pods_is_no_other_environment(at, value):
    assert held.environment(put(GIVEN, at, value)) == held.environment(GIVEN)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ((*ENV, 0, "value"), "slow"),
        ((*ENV, 0, "name"), "OTHER"),
        ((*ENV, 1, "valueFrom", "fieldRef", "fieldPath"), "metadata.uid"),
        ((*ENV, 1, "valueFrom", "fieldRef", "apiVersion"), "v2"),
        (("spec", "containers", 0, "envFrom", 0, "configMapRef", "name"), "settings-2"),
        (("spec", "containers", 0, "envFrom"), None),
    ],
)
def test_another_environment_is_another(at, value):
    assert held.environment(put(GIVEN, at, value)) != held.environment(GIVEN)
