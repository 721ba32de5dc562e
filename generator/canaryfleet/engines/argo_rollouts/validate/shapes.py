"""Shapes: the types of fields, as far as the rules read them, and the names of fields (CF200).

A mapping is closed (another field is an error: the API server drops or refuses it) unless it has the
field `...`; `*` stands for every key.
"""

from collections.abc import Iterator
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.plain import Object, Path, as_text, short
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, kind_of


class _Open:
    """Marks what is not looked into."""


ANY = _Open()
OPEN = {"...": ANY}
INTSTR = (int, str)
TEXTS = {"*": str}
SELECTOR = {"matchLabels": TEXTS, "matchExpressions": [{"key": str, "operator": str, "values": [str]}]}
META = {"labels": ANY, "annotations": ANY}
RULE = [{"metricName": str}]
RETENTION = [{"metricName": str, "limit": int}]
TEMPLATE_REFS = [{"templateName": str, "clusterScope": bool}]
MATCH = {"exact": str, "regex": str, "prefix": str}
ANALYSIS = {
    "templates": TEMPLATE_REFS,
    "args": [
        {
            "name": str,
            "value": str,
            "valueFrom": {"podTemplateHashValue": str, "fieldRef": {"fieldPath": str}},
        }
    ],
    "dryRun": RULE,
    "measurementRetention": RETENTION,
    "analysisRunMetadata": META,
}
ANTI_AFFINITY = {
    "preferredDuringSchedulingIgnoredDuringExecution": {"weight": int},
    "requiredDuringSchedulingIgnoredDuringExecution": OPEN,
}
ISTIO_SERVICE = {
    "name": str,
    "routes": [str],
    "tlsRoutes": [{"port": int, "sniHosts": [str]}],
    "tcpRoutes": [{"port": int}],
}
STEP = {
    "...": ANY,
    "pause": {"duration": INTSTR},
    "setWeight": int,
    "setCanaryScale": {"weight": int, "replicas": int, "matchTrafficWeight": bool},
    "setHeaderRoute": {"name": str, "match": [{"headerName": str, "headerValue": MATCH}]},
    "setMirrorRoute": {
        "name": str,
        "percentage": int,
        "match": [{"method": MATCH, "path": MATCH, "headers": {"*": MATCH}}],
    },
    "analysis": ANALYSIS,
    "experiment": OPEN,
    "plugin": {"name": str, "config": ANY},
}
CANARY = {
    "abortScaleDownDelaySeconds": int,
    "analysis": {**ANALYSIS, "startingStep": int},
    "antiAffinity": ANTI_AFFINITY,
    "canaryMetadata": META,
    "canaryService": str,
    "dynamicStableScale": bool,
    "maxSurge": INTSTR,
    "maxUnavailable": INTSTR,
    "minPodsPerReplicaSet": int,
    "pingPong": {"pingService": str, "pongService": str},
    "replicaProgressThreshold": {"type": str, "value": int},
    "scaleDownDelayRevisionLimit": int,
    "scaleDownDelaySeconds": int,
    "stableMetadata": META,
    "stableService": str,
    "steps": [STEP],
    "trafficRouting": {
        **dict.fromkeys(
            ("nginx", "alb", "smi", "ambassador", "appMesh", "traefik", "apisix", "plugins"), OPEN
        ),
        "managedRoutes": [{"name": str}],
        "maxTrafficWeight": int,
        "istio": {
            "virtualService": ISTIO_SERVICE,
            "virtualServices": [ISTIO_SERVICE],
            "destinationRule": {
                "name": str,
                "canarySubsetName": str,
                "stableSubsetName": str,
                "additionalSubsetNames": [str],
            },
        },
    },
}
BLUE_GREEN = {
    "abortScaleDownDelaySeconds": int,
    "activeMetadata": META,
    "activeService": str,
    "antiAffinity": ANTI_AFFINITY,
    "autoPromotionEnabled": bool,
    "autoPromotionSeconds": int,
    "maxUnavailable": INTSTR,
    "postPromotionAnalysis": ANALYSIS,
    "prePromotionAnalysis": ANALYSIS,
    "previewMetadata": META,
    "previewReplicaCount": int,
    "previewService": str,
    "scaleDownDelayRevisionLimit": int,
    "scaleDownDelaySeconds": int,
}
CONTAINER = {
    "...": ANY,
    "name": str,
    "image": str,
    "imagePullPolicy": str,
    "command": [str],
    "args": [str],
    "env": [{"...": ANY, "name": str, "value": str, "valueFrom": OPEN}],
    "envFrom": [OPEN],
    "ports": [{"...": ANY, "name": str, "containerPort": int, "hostPort": int, "protocol": str}],
    "resources": {"...": ANY, "limits": OPEN, "requests": OPEN},
    "volumeMounts": [{"...": ANY, "name": str, "mountPath": str, "subPath": str, "readOnly": bool}],
    "livenessProbe": OPEN,
    "readinessProbe": OPEN,
    "startupProbe": OPEN,
}
POD_TEMPLATE = {
    "...": ANY,
    "metadata": {"...": ANY, "labels": ANY, "annotations": ANY},
    "spec": {
        "...": ANY,
        "containers": [CONTAINER],
        "initContainers": [CONTAINER],
        "volumes": [OPEN],
        "restartPolicy": str,
        "activeDeadlineSeconds": int,
        "nodeSelector": TEXTS,
        "serviceAccountName": str,
        "tolerations": [{"key": str, "operator": str, "value": str, "effect": str, "tolerationSeconds": int}],
    },
}
METRIC = {
    "name": str,
    "interval": str,
    "initialDelay": str,
    "count": INTSTR,
    "successCondition": str,
    "failureCondition": str,
    "failureLimit": INTSTR,
    "inconclusiveLimit": INTSTR,
    "consecutiveErrorLimit": INTSTR,
    "consecutiveSuccessLimit": INTSTR,
    "provider": {
        "...": ANY,
        "prometheus": {"...": ANY, "address": str, "query": str, "timeout": int},
        "web": {"...": ANY, "url": str, "jsonPath": str, "headers": [{"...": ANY, "key": str, "value": str}]},
        "job": {"metadata": OPEN, "spec": OPEN},
    },
}
RUN_ARGS = [
    {
        "name": str,
        "value": str,
        "valueFrom": {"secretKeyRef": {"name": str, "key": str}, "fieldRef": {"fieldPath": str}},
    }
]
TEMPLATE_SPEC = {
    "args": RUN_ARGS,
    "metrics": [METRIC],
    "dryRun": RULE,
    "measurementRetention": RETENTION,
    "templates": TEMPLATE_REFS,
}
ROUTE = {
    "...": ANY,
    "name": str,
    "route": [
        {
            "...": ANY,
            "weight": int,
            "destination": {"host": str, "subset": str, "port": {"...": ANY, "number": int}},
        }
    ],
}
SHAPES: dict[str, Any] = {
    "Rollout": {
        "analysis": {"successfulRunHistoryLimit": int, "unsuccessfulRunHistoryLimit": int},
        "minReadySeconds": int,
        "paused": bool,
        "progressDeadlineAbort": bool,
        "progressDeadlineSeconds": int,
        "replicas": int,
        "restartAt": str,
        "revisionHistoryLimit": int,
        "rollbackWindow": {"revisions": int},
        "selector": SELECTOR,
        "strategy": {"canary": CANARY, "blueGreen": BLUE_GREEN},
        "template": POD_TEMPLATE,
        "workloadRef": {"apiVersion": str, "kind": str, "name": str, "scaleDown": str},
    },
    "AnalysisTemplate": TEMPLATE_SPEC,
    "ClusterAnalysisTemplate": TEMPLATE_SPEC,
    "AnalysisRun": {
        **{key: shape for key, shape in TEMPLATE_SPEC.items() if key != "templates"},
        "terminate": bool,
        "ttlStrategy": {
            "secondsAfterCompletion": int,
            "secondsAfterSuccess": int,
            "secondsAfterFailure": int,
        },
    },
    "Deployment": {"...": ANY, "selector": SELECTOR, "template": POD_TEMPLATE, "replicas": int},
    "Service": {
        "...": ANY,
        "selector": TEXTS,
        "ports": [{"...": ANY, "name": str, "port": int, "targetPort": INTSTR, "protocol": str}],
    },
    "VirtualService": {
        "...": ANY,
        "hosts": [str],
        "gateways": [str],
        "http": [ROUTE],
        "tls": [ROUTE],
        "tcp": [ROUTE],
    },
    "DestinationRule": {"...": ANY, "host": str, "subsets": [{"...": ANY, "name": str, "labels": TEXTS}]},
    "EnvoyFilter": {"...": ANY, "configPatches": [OPEN]},
    "HorizontalPodAutoscaler": {
        "...": ANY,
        "scaleTargetRef": OPEN,
        "minReplicas": int,
        "maxReplicas": int,
        "metrics": [
            {
                "type": str,
                **dict.fromkeys(("resource", "containerResource", "pods", "object", "external"), OPEN),
            }
        ],
    },
    "ScaledObject": {"...": ANY, "scaleTargetRef": OPEN},
    "VerticalPodAutoscaler": {"...": ANY, "targetRef": OPEN},
    "PodDisruptionBudget": {"...": ANY, "selector": SELECTOR},
}
TYPE_NAMES = {str: "text", int: "a whole number", bool: "true or false"}


def _shape(item: Object, world: World) -> Iterator[Violation]:
    """Types of fields, and fields that do not exist (CF200)."""
    for field in ("apiVersion", "kind"):
        if not as_text(item, field):
            yield bad(item, (field,), "CF200", f"{field} is missing or not text")
    if not isinstance(item.get("metadata"), dict):
        yield bad(item, ("metadata",), "CF200", "metadata is missing or not a mapping")
    kind = kind_of(item)
    spec = item.get("spec")
    if kind in SHAPES and not isinstance(spec, dict):
        yield bad(item, ("spec",), "CF200", "spec is missing or not a mapping")
    elif kind in SHAPES:
        yield from shaped(item, ("spec",), spec, SHAPES[kind])
    for field in {"ConfigMap": ("data", "binaryData"), "Secret": ("data", "stringData")}.get(kind, ()):
        yield from shaped(item, (field,), item.get(field), TEXTS)


def shaped(item: Object, path: Path, value: Any, shape: Any) -> Iterator[Violation]:
    if value is None or shape is ANY:
        return
    if isinstance(shape, list):
        if not isinstance(value, list):
            yield _mistyped(item, path, value, "a list")
            return
        for index, one in enumerate(value):
            if one is None:
                yield _mistyped(item, (*path, index), one, "an entry of the list")
            yield from shaped(item, (*path, index), one, shape[0])
    elif isinstance(shape, dict):
        yield from _shaped_mapping(item, path, value, shape)
    elif not _is_a(value, shape):
        names = " or ".join(TYPE_NAMES[one] for one in (shape if isinstance(shape, tuple) else (shape,)))
        yield _mistyped(item, path, value, names)


def _shaped_mapping(item: Object, path: Path, value: Any, shape: dict[str, Any]) -> Iterator[Violation]:
    if not isinstance(value, dict):
        yield _mistyped(item, path, value, "a mapping")
        return
    for key, one in value.items():
        here = (*path, str(key))
        if not isinstance(key, str):
            yield bad(item, here, "CF200", f"the key {short(key)} is not text", "quote it")
        elif key in shape or "*" in shape:
            yield from shaped(item, here, one, shape.get(key, shape.get("*")))
        elif "..." not in shape:
            yield bad(
                item, here, "CF200", f"there is no field {short(key)} here", f"known: {', '.join(shape)}"
            )


def _is_a(value: Any, types: Any) -> bool:
    if isinstance(value, bool):
        return types is bool
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return False
    return isinstance(value, types)


def _mistyped(item: Object, path: Path, value: Any, wanted: str) -> Violation:
    return bad(item, path, "CF200", f"{short(value)} is not {wanted}", f"write {wanted}")


RULES: tuple[Rule, ...] = (_shape,)
