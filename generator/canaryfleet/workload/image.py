"""A workload from an image: Deployment-free, made of the spec alone."""

import math
from collections.abc import Mapping

from canaryfleet.models.canary import Canary, Probe
from canaryfleet.quantity import duration, percent
from canaryfleet.workload.objects import (
    APP_LABEL,
    HPA,
    MANAGED_BY,
    Bounds,
    Object,
    Workload,
    disruption,
    rollout_reference,
)


def from_image(spec: Canary) -> Workload:
    """All that an image and the spec's other fields make; live values apart in `bounds`."""
    app, work = spec.metadata.name, spec.workload
    port = work.port or 8080
    port_name = spec.exposure.protocol
    selector = {APP_LABEL: app}
    container: Object = {
        "name": app,
        "image": work.image,
        "ports": [{"name": port_name, "containerPort": port}]
        + [{"name": name, "containerPort": number} for name, number in work.ports.items()],
    }
    if work.command:
        container["command"] = list(work.command)
    if work.args:
        container["args"] = list(work.args)
    for key, probe in (("readinessProbe", work.readiness), ("livenessProbe", work.liveness)):
        if probe is not None:
            container[key] = _probe(probe, port)
    if work.volumes:
        container["volumeMounts"] = [
            {"name": item.name, "mountPath": item.mountPath} | ({"readOnly": True} if item.readOnly else {})
            for item in work.volumes
        ]
    template: Object = {
        "metadata": {"labels": work.labels | {"app": app} | selector, "annotations": dict(work.annotations)},
        "spec": _pod(spec, container),
    }
    autoscaler = [_autoscaler(spec)] if work.autoscaler else []
    return Workload(
        template=template,
        selector=selector,
        container=0,
        service=_service(app, spec.metadata.namespace, selector, port_name, port),
        port=port,
        port_name=port_name,
        labels=selector | MANAGED_BY,
        annotations={},
        min_ready=0,
        autoscaler=app if autoscaler else None,
        disruption=disruption(spec, selector),
        config=(),
        carried=tuple(autoscaler),
        bounds=Bounds(1 if work.replicas is None else work.replicas)
        if work.autoscaler is None
        else Bounds(None, work.autoscaler.min, work.autoscaler.max),
        digest="",
    )


def _pod(spec: Canary, container: Object) -> Object:
    work = spec.workload
    pod: Object = {"containers": [container]}
    if work.serviceAccount:
        pod["serviceAccountName"] = work.serviceAccount
    if work.imagePullSecrets:
        pod["imagePullSecrets"] = [{"name": name} for name in work.imagePullSecrets]
    if work.nodeSelector:
        pod["nodeSelector"] = dict(work.nodeSelector)
    if work.tolerations:
        pod["tolerations"] = [dict(item) for item in work.tolerations]
    if work.volumes:
        pod["volumes"] = [{"name": item.name, **item.source} for item in work.volumes]
    return pod


def _service(name: str, namespace: str, selector: Mapping[str, str], port_name: str, port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(selector) | MANAGED_BY},
        "spec": {
            "selector": dict(selector),
            "ports": [{"name": port_name, "port": port, "targetPort": port_name}],
        },
    }


def _autoscaler(spec: Canary) -> Object:
    """An HPA without its bounds, which are live; its target is the Rollout already."""
    scaler = spec.workload.autoscaler
    assert scaler is not None
    app = spec.metadata.name
    metrics: list[Object] = [dict(item) for item in scaler.metrics]
    if scaler.cpu:
        target = {"type": "Utilization", "averageUtilization": int(percent(scaler.cpu) * 100)}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    return {
        "apiVersion": "autoscaling/v2",
        "kind": HPA,
        "metadata": {
            "name": app,
            "namespace": spec.metadata.namespace,
            "labels": {APP_LABEL: app} | MANAGED_BY,
        },
        "spec": {"scaleTargetRef": rollout_reference(app)} | ({"metrics": metrics} if metrics else {}),
    }


def _probe(probe: Probe, port: int) -> Object:
    number = probe.port or port
    if probe.path:
        handler: Object = {"httpGet": {"path": probe.path, "port": number}}
    elif probe.grpc:
        handler = {"grpc": {"port": number}}
    elif probe.command:
        handler = {"exec": {"command": list(probe.command)}}
    else:
        handler = {"tcpSocket": {"port": number}}
    timing = {"periodSeconds": _whole(probe.period), "timeoutSeconds": _whole(probe.timeout)}
    return handler | timing | {"failureThreshold": probe.failures}


def _whole(text: str) -> int:
    return max(1, math.ceil(duration(text)))
