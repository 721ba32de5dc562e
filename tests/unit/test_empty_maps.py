"""What a pod template leaves out, since the API server could not apply it over a fuller one, and what it says instead of
leaving it to a default."""

from typing import Any

from canaryfleet.workload.pod import drop_empty, say_defaults


def dropped(container: dict[str, Any], **pod: Any) -> dict[str, Any]:
    template: dict[str, Any] = {"spec": {**pod, "containers": [container]}}
    drop_empty(template)
    spec: dict[str, Any] = template["spec"]
    return spec


def test_maps_that_say_nothing_are_left_out() -> None:
    spec = dropped(
        {"name": "a", "resources": {"limits": {}}, "securityContext": {}}, securityContext={}, affinity={}
    )
    assert spec == {"containers": [{"name": "a"}]}


def test_maps_that_say_something_stay_in_their_order() -> None:
    anywhere = {"podAntiAffinity": {"required": [{"namespaceSelector": {}}]}}
    container = {"resources": {"limits": {"memory": "1Gi"}, "requests": {}}, "name": "a"}
    spec = dropped(container, affinity=anywhere, volumes=[{"name": "v", "emptyDir": {}}])
    assert spec["affinity"] == anywhere
    assert spec["volumes"] == [{"name": "v", "emptyDir": {}}]
    assert list(spec["containers"][0].items()) == [
        ("resources", {"limits": {"memory": "1Gi"}}),
        ("name", "a"),
    ]


def test_defaults_are_said_where_nothing_else_is() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]
    checked = {"name": "a", "ports": ports, "livenessProbe": {"grpc": {"port": 1}}, "startupProbe": None}
    other = {"name": "b", "readinessProbe": {"grpc": {"port": 1, "service": "chat"}}}
    template: dict[str, Any] = {
        "spec": {"containers": [checked, {"name": "c"}], "initContainers": [other, {"ports": None}]}
    }
    say_defaults(template)
    assert [port["protocol"] for port in ports] == ["TCP", "UDP"]
    assert checked["livenessProbe"] == {"grpc": {"port": 1, "service": ""}}
    assert template["spec"]["initContainers"] == [
        {"name": "b", "readinessProbe": {"grpc": {"port": 1, "service": "chat"}}},
        {"ports": None},
    ]
