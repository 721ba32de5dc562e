"""What a pod template leaves out, since the API server could not apply it over a fuller one."""

from typing import Any

from canaryfleet.workload.pod import drop_empty


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
