"""What Argo Rollouts and Istio would refuse, or do silently wrong, said before it is in Git.

`validate` takes the final objects of one app on one cluster, as plain data of any shape, and never
raises. It knows the rules of Argo Rollouts 1.9 and 1.10 (validation.go, validation_references.go,
the AnalysisRun controller), of Kubernetes where a pod template breaks them, and the traps that no
validation finds: a `Rollout` that freezes, a route that is deleted, a metric that passes on NaN.

A rule is a generator over one object; `RULES` says which kinds it is for. Rules read through
`_map`, `_list`, `_text` and `_whole`, which take a value of the wrong type for an absent one: only
the `_shape` rule reports those.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from canaryfleet.quantity import kubernetes_quantity

Object = dict[str, Any]
Path = tuple[str | int, ...]

CODES: dict[str, str] = {
    # objects
    "CF200": "a value has a type, or a field a name, that the API server refuses or drops",
    "CF201": "an object's name is missing or not one that Kubernetes takes",
    "CF202": "a label or annotation is not one that Kubernetes takes",
    "CF203": "two objects have the same kind, namespace and name",
    # the Rollout
    "CF204": "a number of the spec is negative, or the progress deadline ends before minReadySeconds",
    "CF205": "the selector is missing, empty or invalid",
    "CF206": "the selector does not match the pod template's labels",
    "CF207": "workloadRef: beside a template, of a kind that can't be taken over, or missing",
    "CF208": "not exactly one of the strategies canary and blueGreen",
    "CF209": "blueGreen: the services are the same, or settings contradict each other",
    "CF210": "antiAffinity needs exactly one of its two forms, and a weight of 1 to 100",
    "CF211": "maxSurge and maxUnavailable are both 0, or not counts or percentages",
    "CF212": "canaryService and stableService are the same, or missing where the router needs them",
    "CF213": "pingPong: a service is missing, doubled, or the router can't do it",
    "CF214": "a canary setting needs another traffic routing, or excludes another setting",
    # steps
    "CF215": "a step has not exactly one known key",
    "CF216": "setWeight is not a whole number from 0 to 100",
    "CF217": "a pause's duration is neither whole seconds nor a Go duration",
    "CF218": "setCanaryScale without traffic routing, or not exactly one of its keys",
    "CF219": "matchTrafficWeight while the weight is 0 scales the canary to no pods",
    "CF220": "a header or mirror route that the router can't do, or that managedRoutes does not list",
    "CF221": "a match has not exactly one of exact, regex and prefix, or names no header",
    "CF222": "several headers in setHeaderRoute: any one of them suffices, not all",
    "CF223": "a managed route has the name of a static one (which would be deleted), or is listed twice",
    "CF224": "a header or mirror route while the canary has no pods: it is dropped for good",
    "CF225": "setMirrorRoute's percentage is not 1 to 100",
    "CF226": "the background analysis never runs, or has no time to: startingStep is too late",
    "CF227": "an analysis argument has no value, an unknown source, or is given twice",
    # the pod template
    "CF228": "containers: none, without image, with a bad or doubled name, or bad environment",
    "CF229": "a pod setting that a ReplicaSet refuses: restartPolicy, activeDeadlineSeconds",
    "CF230": "resources: not a quantity, not a resource, or requests above limits",
    "CF231": "volumes: doubled, of two kinds, mounted but not there, or twice at one path",
    "CF232": "ports: out of range, doubled, or named but not there",
    "CF233": "a probe has not exactly one handler, or a number it can't have",
    # metrics
    "CF234": "no metrics, a metric without a name, or two of one name",
    "CF235": "a limit or count is not a number, negative, or everything is switched off",
    "CF236": "count is too small for the limits, or the metric can never fail",
    "CF237": "interval or initialDelay: missing where needed, or not a Go duration",
    "CF238": "a metric has not exactly one known provider",
    "CF239": "an analysis whose end is awaited has a metric without an end",
    "CF240": "a metric of the background analysis ends, and leaves the rest of the canary unwatched",
    "CF241": "a metric lacks a condition: without both, NaN or no data is taken for an answer",
    "CF242": "the Prometheus query, address or timeout can't work",
    "CF243": "a condition reads result[...] without asking for len(result) first: no data is an Error",
    "CF244": "a condition is not an expression: brackets, quotes or operators",
    "CF245": "a {{placeholder}} that nothing resolves",
    "CF246": "an argument is declared, but gets no value",
    "CF247": "the Rollout gives an argument that no template declares: it is dropped",
    "CF248": "templates of one analysis contradict each other, or an argument itself",
    "CF249": "a dryRun or measurementRetention rule: bad, unanchored, doubled, or matching nothing",
    # references and traffic
    "CF250": "an object that is named is not there",
    "CF251": "a Service does not select the pods of the Rollout that names it",
    "CF252": "two Rollouts would fight over the same Service, DestinationRule or route",
    "CF253": "the Rollout and its VirtualService do not agree on which routes are managed, or a route has no name",
    "CF254": "a managed route's destinations: both versions, stable 100 and canary 0, nothing else",
    "CF255": "a tls or tcp section that the controller would refuse",
    "CF256": "the DestinationRule's subsets or host do not fit the routes",
    "CF257": "an EnvoyFilter patches weighted clusters into a route of one destination: the listener freezes",
    "CF258": "a subset split without canaryService and stableService stalls while a pod is unavailable",
    "CF259": "an autoscaler points at something that is not the Rollout",
}


class Violation(NamedTuple):
    """What is wrong, where in which object, and what to do; `code` is one of `CODES`."""

    kind: str
    name: str
    path: Path
    code: str
    message: str
    remedy: str


class World(NamedTuple):
    """The objects, and where to find one."""

    objects: tuple[Object, ...]
    names: dict[tuple[str, str, str], Object]

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        return self.names.get((kind, namespace, name))

    def all(self, kind: str) -> Iterator[Object]:
        return (item for item in self.objects if _kind(item) == kind)


Rule = Callable[[Object, World], Iterator[Violation]]


def validate(objects: Sequence[dict[str, Any]]) -> list[Violation]:
    """Everything that is wrong with the final objects of one app on one cluster, without doubles."""
    world = _world(item for item in objects if isinstance(item, dict))
    found = [
        Violation("", "", (index,), "CF200", "this is not an object", "")
        for index, item in enumerate(objects)
        if not isinstance(item, dict)
    ]
    for item in world.objects:
        for rule in (*EVERY_KIND, *RULES.get(_kind(item), ())):
            found.extend(rule(item, world))
    return list(dict.fromkeys(found))


def malformed(objects: Sequence[dict[str, Any]]) -> list[Violation]:
    """What in objects that people wrote has another type or name than Kubernetes gives it."""
    world = _world(objects)
    found = [one for item in objects for rule in (_shape, _named, _labelled) for one in rule(item, world)]
    return list(dict.fromkeys(found))


def _world(objects: Iterable[Object]) -> World:
    items = tuple(objects)
    names: dict[tuple[str, str, str], Object] = {}
    for item in items:
        names.setdefault(_identity(item), item)
    return World(items, names)


# Reading plain data of any shape


def _map(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _at(value: Any, *path: str | int) -> Any:
    """What stands at a path, or None."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def _each(value: Any, path: Path) -> Iterator[tuple[Path, dict[Any, Any]]]:
    """The mappings in a list, each with its path."""
    return (((*path, i), item) for i, item in enumerate(_list(value)) if isinstance(item, dict))


def _strings(value: Any) -> dict[str, str]:
    """The part of a mapping that is text to text."""
    return {k: v for k, v in _map(value).items() if isinstance(k, str) and isinstance(v, str)}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


def _bad(item: Object, path: Path, code: str, message: str, remedy: str = "") -> Violation:
    return Violation(_text(item.get("kind")), _name(item), path, code, message, remedy)


# What an object is. A kind of another API group (Knative's Service) is not the one of the rules.

GROUPS = {
    "Rollout": "argoproj.io",
    "AnalysisTemplate": "argoproj.io",
    "ClusterAnalysisTemplate": "argoproj.io",
    "AnalysisRun": "argoproj.io",
    "VirtualService": "networking.istio.io",
    "DestinationRule": "networking.istio.io",
    "EnvoyFilter": "networking.istio.io",
    "Service": "",
    "ConfigMap": "",
    "Namespace": "",
    "Deployment": "apps",
    "ReplicaSet": "apps",
    "PodTemplate": "",
    "HorizontalPodAutoscaler": "autoscaling",
    "VerticalPodAutoscaler": "autoscaling.k8s.io",
    "PodDisruptionBudget": "policy",
    "Secret": "",
    "ScaledObject": "keda.sh",
}
CLUSTER_SCOPED = frozenset({"ClusterAnalysisTemplate", "Namespace"})
HASH_LABEL = "rollouts-pod-template-hash"
MANAGED_BY_ROLLOUT = "argo-rollouts.argoproj.io/managed-by-rollouts"
MANAGED_BY = "app.kubernetes.io/managed-by"


def _group(item: Object) -> str:
    group, slash, _ = _text(item.get("apiVersion")).partition("/")
    return group if slash else ""


def _kind(item: Object) -> str:
    kind = _text(item.get("kind"))
    return kind if GROUPS.get(kind, _group(item)) == _group(item) else f"{kind}.{_group(item)}"


def _name(item: Object) -> str:
    return _text(_at(item, "metadata", "name"))


def _namespace(item: Object) -> str:
    return "" if _kind(item) in CLUSTER_SCOPED else _text(_at(item, "metadata", "namespace"))


def _identity(item: Object) -> tuple[str, str, str]:
    return _kind(item), _namespace(item), _name(item)


# Shapes: the types of fields, as far as the rules read them. A mapping is closed (another field is
# an error: the API server drops or refuses it) unless it has the field `...`.


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
    "DestinationRule": {
        "...": ANY,
        "host": str,
        "subsets": [{"...": ANY, "name": str, "labels": TEXTS}],
    },
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
        if not _text(item.get(field)):
            yield _bad(item, (field,), "CF200", f"{field} is missing or not text")
    if not isinstance(item.get("metadata"), dict):
        yield _bad(item, ("metadata",), "CF200", "metadata is missing or not a mapping")
    kind = _kind(item)
    spec = item.get("spec")
    if kind in SHAPES and not isinstance(spec, dict):
        yield _bad(item, ("spec",), "CF200", "spec is missing or not a mapping")
    elif kind in SHAPES:
        yield from _shaped(item, ("spec",), spec, SHAPES[kind])
    for field in {"ConfigMap": ("data", "binaryData"), "Secret": ("data", "stringData")}.get(kind, ()):
        yield from _shaped(item, (field,), item.get(field), TEXTS)


def _shaped(item: Object, path: Path, value: Any, shape: Any) -> Iterator[Violation]:
    if value is None or shape is ANY:
        return
    if isinstance(shape, list):
        if not isinstance(value, list):
            yield _mistyped(item, path, value, "a list")
            return
        for index, one in enumerate(value):
            if one is None:
                yield _mistyped(item, (*path, index), one, "an entry of the list")
            yield from _shaped(item, (*path, index), one, shape[0])
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
            yield _bad(item, here, "CF200", f"the key {_short(key)} is not text", "quote it")
        elif key in shape or "*" in shape:
            yield from _shaped(item, here, one, shape.get(key, shape.get("*")))
        elif "..." not in shape:
            yield _bad(
                item, here, "CF200", f"there is no field {_short(key)} here", f"known: {', '.join(shape)}"
            )


def _is_a(value: Any, types: Any) -> bool:
    if isinstance(value, bool):
        return types is bool
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return False
    return isinstance(value, types)


def _mistyped(item: Object, path: Path, value: Any, wanted: str) -> Violation:
    return _bad(item, path, "CF200", f"{_short(value)} is not {wanted}", f"write {wanted}")


# Names and labels

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_LOOSE_NAMES = frozenset({"rbac.authorization.k8s.io"})


def _is_label(text: str) -> bool:
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def _is_subdomain(text: str) -> bool:
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def _is_label_value(text: str) -> bool:
    return len(text) <= 63 and (not text or _WORD.fullmatch(text) is not None)


def _is_qualified(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return (not slash or _is_subdomain(prefix)) and len(name) <= 63 and _WORD.fullmatch(name) is not None


def _named(item: Object, world: World) -> Iterator[Violation]:
    """Names of objects (CF201)."""
    path: Path = ("metadata", "name")
    name, kind = _name(item), _kind(item)
    if not name:
        yield _bad(item, path, "CF201", "the object has no name")
    elif kind == "Service" and not (len(name) <= 63 and _LABEL_1035.fullmatch(name)):
        yield _bad(
            item,
            path,
            "CF201",
            f"{_short(name)} can't name a Service",
            "at most 63 of a-z, 0-9 and -, a letter first",
        )
    elif kind in ("VirtualService", "DestinationRule") and "." in name:
        yield _bad(
            item,
            path,
            "CF201",
            f"{_short(name)} has a dot: after it, Argo Rollouts reads a namespace",
            "use -",
        )
    elif _group(item) not in _LOOSE_NAMES and not (
        _is_label(name) if kind == "Namespace" else _is_subdomain(name)
    ):
        yield _bad(
            item, path, "CF201", f"{_short(name)} can't name an object", "at most 253 of a-z, 0-9, - and ."
        )
    namespace = _at(item, "metadata", "namespace")
    if namespace is not None and not _is_label(_text(namespace)):
        yield _bad(item, ("metadata", "namespace"), "CF201", f"{_short(namespace)} can't name a namespace")


def _labelled(item: Object, world: World) -> Iterator[Violation]:
    """Labels and annotations of objects and of pods (CF202)."""
    canary: Path = ("spec", "strategy", "canary")
    for path in (
        ("metadata",),
        ("spec", "template", "metadata"),
        (*canary, "canaryMetadata"),
        (*canary, "stableMetadata"),
    ):
        metadata = _at(item, *path)
        yield from _labels(item, (*path, "labels"), _at(metadata, "labels"))
        yield from _annotations(item, (*path, "annotations"), _at(metadata, "annotations"))


def _labels(item: Object, path: Path, labels: Any) -> Iterator[Violation]:
    if labels is not None and not isinstance(labels, dict):
        yield _bad(item, path, "CF202", "labels are not a mapping")
    for key, value in _map(labels).items():
        here = (*path, str(key))
        if not isinstance(key, str) or not _is_qualified(key):
            yield _bad(item, here, "CF202", f"{_short(key)} can't be the key of a label")
        if not isinstance(value, str):
            yield _bad(item, here, "CF202", f"the label {_short(key)} is not text", "quote it")
        elif not _is_label_value(value):
            remedy = "at most 63 letters, digits, -, _ and ., with a letter or digit at both ends"
            yield _bad(item, here, "CF202", f"{_short(value)} can't be the value of a label", remedy)


def _annotations(item: Object, path: Path, annotations: Any) -> Iterator[Violation]:
    if annotations is not None and not isinstance(annotations, dict):
        yield _bad(item, path, "CF202", "annotations are not a mapping")
    for key, value in _map(annotations).items():
        here = (*path, str(key))
        if not isinstance(key, str) or not _is_qualified(key.lower()):
            yield _bad(item, here, "CF202", f"{_short(key)} can't be the key of an annotation")
        if not isinstance(value, str):
            yield _bad(item, here, "CF202", f"the annotation {_short(key)} is not text", "quote it")
    size = sum(
        len(key.encode(errors="replace")) + len(value.encode(errors="replace"))
        for key, value in _strings(annotations).items()
    )
    if size > 256 * 1024:
        yield _bad(item, path, "CF202", "the annotations are larger than 256 KiB")


def _unique(item: Object, world: World) -> Iterator[Violation]:
    """One object of a name (CF203)."""
    first = world.names[_identity(item)]
    if first is not item and _name(item):
        yield _bad(
            item,
            ("metadata", "name"),
            "CF203",
            "another object has this kind, namespace and name",
            "keep one",
        )


def _config_map(item: Object, world: World) -> Iterator[Violation]:
    """Keys and size of a ConfigMap (CF200)."""
    size = 0
    for field in ("data", "binaryData"):
        for key, value in _strings(item.get(field)).items():
            size += len(value.encode(errors="replace"))
            if len(key) > 253 or key in (".", "..") or key.startswith("..") or not _CONFIG_KEY.fullmatch(key):
                yield _bad(
                    item,
                    (field, key),
                    "CF200",
                    f"{_short(key)} can't be a key of a ConfigMap",
                    "letters, digits, -, _ and . only",
                )
    if size > 1 << 20:
        yield _bad(
            item,
            ("data",),
            "CF200",
            "the ConfigMap is larger than 1 MiB",
            "put the content into the image or a volume",
        )


# The Rollout's spec

NOT_NEGATIVE = (
    *(("spec", field) for field in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")),
    ("spec", "rollbackWindow", "revisions"),
    *(
        ("spec", "strategy", strategy, field)
        for strategy in ("canary", "blueGreen")
        for field in ("abortScaleDownDelaySeconds", "scaleDownDelaySeconds", "scaleDownDelayRevisionLimit")
    ),
    ("spec", "strategy", "canary", "minPodsPerReplicaSet"),
    ("spec", "strategy", "blueGreen", "autoPromotionSeconds"),
    ("spec", "strategy", "blueGreen", "previewReplicaCount"),
)  # fmt: skip
ROUTERS_WITH_SERVICES = ("smi", "apisix", "ambassador", "nginx", "appMesh", "traefik")


def _canary(rollout: Object) -> dict[Any, Any]:
    return _map(_at(rollout, "spec", "strategy", "canary"))


def _canary_path(*rest: str | int) -> Path:
    return ("spec", "strategy", "canary", *rest)


def _numbers(item: Object, world: World) -> Iterator[Violation]:
    """Numbers of the spec (CF204)."""
    for path in NOT_NEGATIVE:
        value = _whole(_at(item, *path))
        if value is not None and value < 0:
            yield _bad(item, path, "CF204", f"{path[-1]} is negative")
    deadline = _whole(_at(item, "spec", "progressDeadlineSeconds"))
    deadline = 600 if deadline is None else deadline
    ready = _whole(_at(item, "spec", "minReadySeconds")) or 0
    if 0 <= deadline <= ready:
        path = ("spec", "progressDeadlineSeconds")
        yield _bad(
            item,
            path,
            "CF204",
            f"the deadline of {deadline} s is not after minReadySeconds ({ready} s)",
            "raise it",
        )


def _selector(item: Object, world: World) -> Iterator[Violation]:
    """The selector, and that it selects the template's pods (CF205, CF206)."""
    path: Path = ("spec", "selector")
    selector = _at(item, *path)
    if selector is None:
        if _at(item, "spec", "workloadRef") is None:
            yield _bad(item, path, "CF205", "the selector is missing", "select the template's labels")
        return
    if not isinstance(selector, dict):
        return
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield _bad(item, path, "CF205", "the selector is empty", "select the template's labels")
        return
    wrong = list(_selector_faults(item, path, selector))
    yield from wrong
    template = _pod_template(item, world)
    if wrong or template is None:
        return
    if not _selects(selector, _strings(_at(template, "metadata", "labels"))):
        yield _bad(
            item,
            path,
            "CF206",
            "the selector does not match the labels of the pod template",
            "give the template these labels",
        )


def _selector_faults(item: Object, path: Path, selector: dict[Any, Any]) -> Iterator[Violation]:
    for key, value in _map(selector.get("matchLabels")).items():
        if not isinstance(key, str) or not _is_qualified(key) or not _is_label_value(_text(value)):
            yield _bad(
                item,
                (*path, "matchLabels", str(key)),
                "CF205",
                f"{_short(key)}: {_short(value)} can't be a label",
            )
    for here, one in _each(selector.get("matchExpressions"), (*path, "matchExpressions")):
        operator, values = one.get("operator"), _list(one.get("values"))
        if not _is_qualified(_text(one.get("key"))):
            yield _bad(item, (*here, "key"), "CF205", f"{_short(one.get('key'))} can't be the key of a label")
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            yield _bad(
                item,
                (*here, "operator"),
                "CF205",
                f"{_short(operator)} is not an operator",
                "In, NotIn, Exists or DoesNotExist",
            )
        elif bool(values) != (operator in ("In", "NotIn")):
            need = "needs values" if operator in ("In", "NotIn") else "takes no values"
            yield _bad(item, (*here, "values"), "CF205", f"{operator} {need}")


def _selects(selector: dict[Any, Any], labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in _strings(selector.get("matchLabels")).items()):
        return False
    return all(_expression_holds(one, labels) for _, one in _each(selector.get("matchExpressions"), ()))


def _expression_holds(one: dict[Any, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(_text(one.get("key"))), _list(one.get("values"))
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(_text(one.get("operator")), True)


def _workload(rollout: Object, world: World) -> Object | None:
    """The workload behind workloadRef, if it is here."""
    reference = _map(_at(rollout, "spec", "workloadRef"))
    return world.find(_text(reference.get("kind")), _namespace(rollout), _text(reference.get("name")))


def _pod_template(item: Object, world: World) -> dict[Any, Any] | None:
    """The pod template in force: the Rollout's own, or its workload's; None if it can't be seen."""
    if _at(item, "spec", "workloadRef") is None:
        return _map(_at(item, "spec", "template"))
    workload = _workload(item, world)
    if workload is None:
        return None
    return _map(
        workload.get("template") if _kind(workload) == "PodTemplate" else _at(workload, "spec", "template")
    )


def _workload_ref(item: Object, world: World) -> Iterator[Violation]:
    """Taking over a Deployment (CF207)."""
    path: Path = ("spec", "workloadRef")
    reference = _at(item, *path)
    if not isinstance(reference, dict):
        return
    if _at(item, "spec", "template"):
        yield _bad(item, ("spec", "template"), "CF207", "a template beside workloadRef", "remove one of them")
    kind, scale_down = _text(reference.get("kind")), reference.get("scaleDown")
    if kind not in ("Deployment", "ReplicaSet", "PodTemplate"):
        yield _bad(
            item,
            (*path, "kind"),
            "CF207",
            f"a {_short(kind)} can't be taken over",
            "Deployment, ReplicaSet or PodTemplate",
        )
        return
    if scale_down not in (None, "never", "onsuccess", "progressively"):
        yield _bad(
            item,
            (*path, "scaleDown"),
            "CF207",
            f"{_short(scale_down)} does nothing",
            "never, onsuccess or progressively",
        )
    workload = _workload(item, world)
    if workload is None:
        yield _bad(
            item,
            (*path, "name"),
            "CF207",
            f"there is no {kind} {_short(reference.get('name'))} here",
            "keep it beside the Rollout",
        )


def _strategy(item: Object, world: World) -> Iterator[Violation]:
    """Exactly one strategy (CF208)."""
    strategy = _map(_at(item, "spec", "strategy"))
    given = [name for name in ("canary", "blueGreen") if strategy.get(name) is not None]
    if len(given) != 1:
        message = "both canary and blueGreen are given" if given else "neither canary nor blueGreen is given"
        yield _bad(item, ("spec", "strategy"), "CF208", message, "give one of them")


def _blue_green(item: Object, world: World) -> Iterator[Violation]:
    """Blue-green settings (CF209)."""
    path: Path = ("spec", "strategy", "blueGreen")
    settings = _at(item, *path)
    if not isinstance(settings, dict):
        return
    active, preview = settings.get("activeService"), settings.get("previewService")
    if not active:
        yield _bad(
            item,
            (*path, "activeService"),
            "CF209",
            "activeService is missing",
            "name the Service of the users",
        )
    elif active == preview:
        yield _bad(
            item,
            (*path, "previewService"),
            "CF209",
            "activeService and previewService are the same",
            "name two Services",
        )
    limit, history = (
        _whole(settings.get("scaleDownDelayRevisionLimit")),
        _whole(_at(item, "spec", "revisionHistoryLimit")),
    )
    if limit is not None and limit > (10 if history is None else history):
        here = (*path, "scaleDownDelayRevisionLimit")
        yield _bad(
            item,
            here,
            "CF209",
            "scaleDownDelayRevisionLimit is above revisionHistoryLimit (default 10)",
            "lower it",
        )
    if settings.get("autoPromotionEnabled") is False and settings.get("autoPromotionSeconds"):
        here = (*path, "autoPromotionSeconds")
        yield _bad(
            item,
            here,
            "CF209",
            "autoPromotionEnabled: false ignores autoPromotionSeconds",
            "remove one of them",
        )


def _anti_affinity(item: Object, world: World) -> Iterator[Violation]:
    """antiAffinity (CF210)."""
    forms = (
        "preferredDuringSchedulingIgnoredDuringExecution",
        "requiredDuringSchedulingIgnoredDuringExecution",
    )
    for strategy in ("canary", "blueGreen"):
        path: Path = ("spec", "strategy", strategy, "antiAffinity")
        settings = _at(item, *path)
        if not isinstance(settings, dict):
            continue
        if sum(settings.get(form) is not None for form in forms) != 1:
            yield _bad(
                item, path, "CF210", "antiAffinity has not exactly one form", f"one of {' and '.join(forms)}"
            )
        preferred = settings.get(forms[0])
        weight = _whole(_at(preferred, "weight"))
        if preferred is not None and not (weight and 1 <= weight <= 100):
            yield _bad(item, (*path, forms[0], "weight"), "CF210", "the weight is not 1 to 100")


def _surge(item: Object, world: World) -> Iterator[Violation]:
    """maxSurge and maxUnavailable (CF211)."""
    settings = _canary(item)
    numbers = []
    for field in ("maxSurge", "maxUnavailable"):
        value = settings.get(field)
        number = 25 if value is None else _count_or_percent(value)
        if number is None or number < 0:
            yield _bad(
                item,
                _canary_path(field),
                "CF211",
                f"{field}: {_short(value)} is neither a count nor a percentage",
                "like 1 or 25%",
            )
        numbers.append(number)
    if numbers == [0, 0]:
        yield _bad(
            item,
            _canary_path("maxSurge"),
            "CF211",
            "maxSurge and maxUnavailable are both 0",
            "let one of them be more",
        )


def _count_or_percent(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value.rstrip("%")) if re.fullmatch(r"[0-9]{1,9}%?", value) else None
    return _whole(value)


def _router(rollout: Object) -> dict[Any, Any] | None:
    """trafficRouting, or None."""
    routing = _canary(rollout).get("trafficRouting")
    return routing if isinstance(routing, dict) else None


def _services_of_canary(item: Object, world: World) -> Iterator[Violation]:
    """canaryService and stableService (CF212)."""
    settings, router = _canary(item), _router(item) or {}
    canary, stable = settings.get("canaryService"), settings.get("stableService")
    if canary and canary == stable:
        yield _bad(
            item,
            _canary_path("canaryService"),
            "CF212",
            "canaryService and stableService are the same",
            "name two Services",
        )
    if not _needs_services(settings, router):
        return
    for field, service in (("canaryService", canary), ("stableService", stable)):
        if not service:
            yield _bad(
                item,
                _canary_path(field),
                "CF212",
                f"{field} is missing: this traffic routing needs it",
                "name it, or split by subsets",
            )


def _needs_services(settings: dict[Any, Any], router: dict[Any, Any]) -> bool:
    if any(router.get(name) is not None for name in ROUTERS_WITH_SERVICES):
        return True
    if settings.get("pingPong") is not None:
        return False
    istio = router.get("istio")
    return router.get("alb") is not None or (istio is not None and _at(istio, "destinationRule") is None)


def _ping_pong(item: Object, world: World) -> Iterator[Violation]:
    """pingPong (CF213)."""
    path = _canary_path("pingPong")
    services, router = _at(item, *path), _router(item)
    if not isinstance(services, dict):
        return
    if router is not None and not any(router.get(name) for name in ("alb", "istio", "plugins")):
        yield _bad(item, path, "CF213", "pingPong works with Istio, ALB and plugins only")
    ping, pong = services.get("pingService"), services.get("pongService")
    for field, service in (("pingService", ping), ("pongService", pong)):
        if not service:
            yield _bad(item, (*path, field), "CF213", f"{field} is missing")
    if ping and ping == pong:
        yield _bad(
            item,
            (*path, "pongService"),
            "CF213",
            "pingService and pongService are the same",
            "name two Services",
        )
    if router and router.get("alb") and not _at(router, "alb", "rootService"):
        yield _bad(
            item,
            _canary_path("trafficRouting", "alb"),
            "CF213",
            "rootService is missing: pingPong with ALB needs it",
        )


def _scaling(item: Object, world: World) -> Iterator[Violation]:
    """Settings that depend on traffic routing (CF214)."""
    settings, router = _canary(item), _router(item)
    delay, dynamic = (
        settings.get("scaleDownDelaySeconds") is not None,
        settings.get("dynamicStableScale") is True,
    )
    if router is None:
        for field, given in (("scaleDownDelaySeconds", delay), ("dynamicStableScale", dynamic)):
            if given:
                yield _bad(item, _canary_path(field), "CF214", f"{field} needs trafficRouting")
    elif delay and dynamic:
        yield _bad(
            item,
            _canary_path("dynamicStableScale"),
            "CF214",
            "dynamicStableScale and scaleDownDelaySeconds exclude each other",
        )
    if (
        router
        and router.get("maxTrafficWeight") is not None
        and not (router.get("nginx") or router.get("plugins"))
    ):
        yield _bad(
            item,
            _canary_path("trafficRouting", "maxTrafficWeight"),
            "CF214",
            "maxTrafficWeight is for nginx and plugins only",
        )


# Steps

STEP_KEYS = (
    "setWeight", "pause", "setCanaryScale", "setHeaderRoute", "setMirrorRoute", "analysis", "experiment", "plugin"
)  # fmt: skip
Step = tuple[Path, dict[Any, Any]]


def _steps(rollout: Object) -> list[Step]:
    return list(_each(_canary(rollout).get("steps"), _canary_path("steps")))


def _step_keys(item: Object, world: World) -> Iterator[Violation]:
    """One key a step (CF215)."""
    for path, step in _steps(item):
        keys = [key for key, value in step.items() if value is not None]
        unknown = [key for key in keys if key not in STEP_KEYS]
        if unknown:
            yield _bad(
                item,
                path,
                "CF215",
                f"there is no step {_short(unknown[0])}",
                f"one of {', '.join(STEP_KEYS)}",
            )
        elif len(keys) != 1:
            message = f"a step of {len(keys)} keys: {', '.join(keys)}" if keys else "an empty step"
            yield _bad(item, path, "CF215", message, "write one step for each")
        if isinstance(step.get("plugin"), dict) and not step["plugin"].get("name"):
            yield _bad(item, (*path, "plugin"), "CF215", "the plugin has no name")


def _weights(item: Object, world: World) -> Iterator[Violation]:
    """setWeight (CF216)."""
    highest = _whole(_at(_router(item), "maxTrafficWeight"))
    highest = 100 if highest is None else highest
    for path, step in _steps(item):
        weight = _whole(step.get("setWeight"))
        if weight is not None and not 0 <= weight <= highest:
            yield _bad(item, (*path, "setWeight"), "CF216", f"{weight} is not 0 to {highest}")


def _pauses(item: Object, world: World) -> Iterator[Violation]:
    """pause.duration (CF217)."""
    for path, step in _steps(item):
        duration = _at(step, "pause", "duration")
        if duration is None or isinstance(duration, bool) or not isinstance(duration, (int, str)):
            continue
        here = (*path, "pause", "duration")
        length = _pause_seconds(duration)
        if length is None:
            yield _bad(
                item,
                here,
                "CF217",
                f"{_short(duration)} is not a duration for Argo Rollouts",
                "seconds, or like 90s, 15m, 24h",
            )
        elif length < 0:
            yield _bad(item, here, "CF217", "the pause is negative")
        elif length < 1:
            yield _bad(
                item,
                here,
                "CF217",
                f"{_short(duration)} is rounded down to no pause",
                "at least 1s, or {} to wait for a person",
            )
        elif length >= 1 << 31:
            yield _bad(item, here, "CF217", f"{_short(duration)} is too long")


def _pause_seconds(duration: int | str) -> Decimal | None:
    if isinstance(duration, int):
        return Decimal(duration)
    if re.fullmatch(r"[-+]?[0-9]{1,10}", duration):
        return Decimal(duration)
    return go_duration_seconds(duration)


_GO_PART = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h)"
_GO_DURATION = re.compile(rf"[-+]?(?:{_GO_PART})+")
_GO_UNITS = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "μs": Decimal("1e-6"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}


def go_duration_seconds(text: str) -> Decimal | None:
    """Seconds of a duration as Go's time.ParseDuration reads it; None if it is none (`1d`, ``)."""
    if text in ("0", "+0", "-0"):
        return Decimal(0)
    if len(text) > 60 or not _GO_DURATION.fullmatch(text):
        return None
    total = Decimal(0)
    for number, unit in re.findall(r"([0-9.]+)([a-zµμ]+)", text):
        total += Decimal(number) * _GO_UNITS[unit]
    return None if total >= Decimal(1 << 63) / 10**9 else -total if text[0] == "-" else total


def _canary_scale(item: Object, world: World) -> Iterator[Violation]:
    """setCanaryScale (CF218)."""
    for path, step in _steps(item):
        scale = step.get("setCanaryScale")
        if not isinstance(scale, dict):
            continue
        here = (*path, "setCanaryScale")
        if _router(item) is None:
            yield _bad(item, here, "CF218", "setCanaryScale needs trafficRouting")
        given = [key for key in ("replicas", "weight") if scale.get(key) is not None]
        given += ["matchTrafficWeight"] if scale.get("matchTrafficWeight") else []
        if len(given) != 1:
            message = f"{' and '.join(given)} exclude each other" if given else "it says no scale"
            yield _bad(item, here, "CF218", message, "one of matchTrafficWeight: true, replicas and weight")
        for key in ("replicas", "weight"):
            number = _whole(scale.get(key))
            if number is not None and (number < 0 or (key == "weight" and number > 100)):
                yield _bad(item, (*here, key), "CF218", f"{number} can't be the canary's {key}")


def _canary_pods(item: Object, world: World) -> Iterator[Violation]:
    """Steps that leave the canary without pods, and what that deletes (CF219, CF224)."""
    if _router(item) is None:
        return
    weight: int = 0
    fixed: bool | None = None  # whether an explicit scale has pods; None: it follows the weight
    routes: set[str] = set()
    for path, step in _steps(item):
        moved = _whole(step.get("setWeight"))
        weight = weight if moved is None else moved
        scale = step.get("setCanaryScale")
        if isinstance(scale, dict):
            fixed = _fixed_scale(scale)
            if fixed is None and weight <= 0:
                message = "the weight is still 0, so matchTrafficWeight scales the canary to no pods and deletes its routes"
                yield _bad(
                    item,
                    (*path, "setCanaryScale"),
                    "CF219",
                    message,
                    "write it after the first setWeight; use replicas until then",
                )
                routes.clear()
        up = weight > 0 if fixed is None else fixed
        for key in ("setHeaderRoute", "setMirrorRoute"):
            route = step.get(key)
            if not isinstance(route, dict):
                continue
            if not route.get("match"):
                routes.discard(_text(route.get("name")))
            elif up:
                routes.add(_text(route.get("name")))
            else:
                message = "the canary has no pods at this step, so the route is dropped and never comes back"
                yield _bad(
                    item, (*path, key), "CF224", message, "put `setCanaryScale: {replicas: 1}` before it"
                )
        if routes and not up:
            message = (
                f"no pods are left for the route {_short(min(routes))}: it is dropped and never comes back"
            )
            yield _bad(item, path, "CF224", message, "keep the canary scaled up, or remove the route first")
            routes.clear()


def _fixed_scale(scale: dict[Any, Any]) -> bool | None:
    """Whether an explicit scale leaves pods; None if the scale follows the weight."""
    if scale.get("matchTrafficWeight") is True:
        return None
    for key in ("replicas", "weight"):
        number = _whole(scale.get(key))
        if number is not None:
            return number > 0
    return None


def _route_steps(rollout: Object) -> Iterator[tuple[Path, str, dict[Any, Any]]]:
    for path, step in _steps(rollout):
        for key in ("setHeaderRoute", "setMirrorRoute"):
            if isinstance(step.get(key), dict):
                yield (*path, key), key, step[key]


def _managed_routes(rollout: Object) -> list[str]:
    return [_text(route.get("name")) for _, route in _each(_at(_router(rollout), "managedRoutes"), ())]


def _route_allowed(item: Object, world: World) -> Iterator[Violation]:
    """Header and mirror routes: router and managedRoutes (CF220)."""
    router, managed = _router(item) or {}, _managed_routes(item)
    for path, key, route in _route_steps(item):
        able = ("istio", "alb", "apisix", "plugins") if key == "setHeaderRoute" else ("istio", "plugins")
        if not any(router.get(name) for name in able):
            yield _bad(item, path, "CF220", f"{key} needs traffic routing by one of {', '.join(able)}")
        elif not _text(route.get("name")):
            yield _bad(item, path, "CF220", "the route has no name")
        elif route["name"] not in managed:
            remedy = "add it to trafficRouting.managedRoutes"
            yield _bad(item, path, "CF220", f"managedRoutes does not list {_short(route['name'])}", remedy)


def _route_matches(item: Object, world: World) -> Iterator[Violation]:
    """What header and mirror routes match (CF221, CF222, CF225)."""
    for path, key, route in _route_steps(item):
        entries = list(_each(route.get("match"), (*path, "match")))
        if key == "setHeaderRoute":
            for here, match in entries:
                if not _text(match.get("headerName")):
                    yield _bad(item, (*here, "headerName"), "CF221", "the header has no name")
                yield from _string_match(item, (*here, "headerValue"), match.get("headerValue"))
            if len(entries) > 1:
                message = (
                    "any one of these headers leads to the canary: Argo Rollouts can't ask for all of them"
                )
                yield _bad(
                    item,
                    (*path, "match"),
                    "CF222",
                    message,
                    "match one header; use two routes if either is meant",
                )
            continue
        for here, match in entries:
            for field in ("method", "path"):
                if match.get(field) is not None:
                    yield from _string_match(item, (*here, field), match[field])
            for name, value in _map(match.get("headers")).items():
                yield from _string_match(item, (*here, "headers", str(name)), value)
        percentage = _whole(route.get("percentage"))
        if percentage is not None and not 1 <= percentage <= 100:
            yield _bad(item, (*path, "percentage"), "CF225", f"{percentage} is not 1 to 100")


def _string_match(item: Object, path: Path, match: Any) -> Iterator[Violation]:
    if match is not None and not isinstance(match, dict):
        return
    given = [key for key in ("exact", "regex", "prefix") if _map(match).get(key)]
    if len(given) != 1:
        message = f"{' and '.join(given)} exclude each other" if given else "nothing is matched"
        yield _bad(item, path, "CF221", message, "exactly one of exact, regex and prefix")


def _managed_names(item: Object, world: World) -> Iterator[Violation]:
    """managedRoutes against static routes (CF223)."""
    static = {name for _, service, _ in _virtual_services(item, world) for name in _route_names(service)}
    static |= {_text(name) for _, entry in _istio_entries(item) for name in _list(entry.get("routes"))}
    seen: set[str] = set()
    for path, route in _each(
        _at(_router(item), "managedRoutes"), _canary_path("trafficRouting", "managedRoutes")
    ):
        name = _text(route.get("name"))
        if not name:
            yield _bad(item, path, "CF223", "a managed route has no name")
        elif name in seen:
            yield _bad(item, path, "CF223", f"{_short(name)} is listed twice")
        elif name in static:
            message = f"{_short(name)} is a static route: it would be deleted when the rollout ends"
            yield _bad(item, path, "CF223", message, "give the route of the step another name")
        seen.add(name)


def _background_start(item: Object, world: World) -> Iterator[Violation]:
    """startingStep (CF226)."""
    steps = _list(_canary(item).get("steps"))
    analysis = _canary(item).get("analysis")
    if not isinstance(analysis, dict) or not steps:
        return
    path = _canary_path("analysis", "startingStep")
    start = _whole(analysis.get("startingStep")) or 0
    if not 0 <= start < len(steps):
        yield _bad(
            item, path, "CF226", f"there is no step {start} (they count from 0)", f"0 to {len(steps) - 1}"
        )
    elif not any(_takes_time(_map(step)) for step in steps[start:]):
        yield _bad(
            item,
            path,
            "CF226",
            f"no step waits from step {start} on, so nothing is measured",
            "start earlier, or add a pause",
        )


def _takes_time(step: dict[Any, Any]) -> bool:
    return any(step.get(key) is not None for key in ("pause", "analysis", "experiment", "plugin"))


# The pod template

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def _pod_path(*rest: str | int) -> Path:
    return ("spec", "template", "spec", *rest)


def _own_template(item: Object) -> bool:
    return _kind(item) != "Rollout" or _at(item, "spec", "workloadRef") is None


def _containers(item: Object) -> Iterator[Step]:
    for field in ("containers", "initContainers"):
        yield from _each(_at(item, *_pod_path(field)), _pod_path(field))


def _container_basics(item: Object, world: World) -> Iterator[Violation]:
    """Containers and their environment (CF228)."""
    if not _own_template(item):
        return
    listed = _at(item, *_pod_path("containers"))
    if listed is None or listed == []:
        yield _bad(item, _pod_path("containers"), "CF228", "the pod template has no containers")
    seen: set[str] = set()
    for path, container in _containers(item):
        name = _text(container.get("name"))
        if not _is_label(name):
            yield _bad(
                item,
                (*path, "name"),
                "CF228",
                f"{_short(name)} can't name a container" if name else "the container has no name",
            )
        elif name in seen:
            yield _bad(item, (*path, "name"), "CF228", f"two containers are named {name}")
        seen.add(name)
        image = _text(container.get("image"))
        if not image or image != image.strip():
            yield _bad(
                item,
                (*path, "image"),
                "CF228",
                "the image has spaces around it" if image else "the container has no image",
            )
        policy = container.get("imagePullPolicy")
        if policy is not None and policy not in PULL_POLICIES:
            yield _bad(
                item,
                (*path, "imagePullPolicy"),
                "CF228",
                f"{_short(policy)} is not a pull policy",
                ", ".join(PULL_POLICIES),
            )
        yield from _environment(item, path, container)


def _environment(item: Object, path: Path, container: dict[Any, Any]) -> Iterator[Violation]:
    for here, variable in _each(container.get("env"), (*path, "env")):
        name = _text(variable.get("name"))
        if not _ENV_NAME.fullmatch(name) or name == "." or name.startswith(".."):
            message = f"{_short(name)} can't name a variable" if name else "the variable has no name"
            yield _bad(item, (*here, "name"), "CF228", message, "letters, digits, -, _ and ., no digit first")
        if variable.get("value") and variable.get("valueFrom") is not None:
            yield _bad(
                item, here, "CF228", f"{_short(name)} has both value and valueFrom", "keep one of them"
            )
        source = variable.get("valueFrom")
        if isinstance(source, dict) and len([key for key, value in source.items() if value is not None]) != 1:
            yield _bad(item, (*here, "valueFrom"), "CF228", f"{_short(name)} has not exactly one source")
        for key in ("configMapKeyRef", "secretKeyRef"):
            yield from _reference(item, (*here, "valueFrom", key), _at(source, key), "CF228", key=True)
    for here, one in _each(container.get("envFrom"), (*path, "envFrom")):
        given = [key for key in ("configMapRef", "secretRef") if one.get(key) is not None]
        if len(given) != 1:
            yield _bad(item, here, "CF228", "not exactly one of configMapRef and secretRef")
        for key in given:
            yield from _reference(item, (*here, key), one[key], "CF228")


def _reference(
    item: Object, path: Path, reference: Any, code: str, *, name: str = "name", key: bool = False
) -> Iterator[Violation]:
    """A pod's reference to a ConfigMap or Secret has a name, and a key where it needs one."""
    if not isinstance(reference, dict):
        return
    text = _text(reference.get(name))
    if not _is_subdomain(text):
        message = f"{_short(text)} can't name an object" if text else "the reference names nothing"
        yield _bad(item, (*path, name), code, message)
    if key and not _CONFIG_KEY.fullmatch(_text(reference.get("key"))):
        yield _bad(item, (*path, "key"), code, "the reference has no key")


def _pod_settings(item: Object, world: World) -> Iterator[Violation]:
    """Settings of the pod (CF229)."""
    policy = _at(item, *_pod_path("restartPolicy"))
    if policy is not None and policy != "Always":
        yield _bad(
            item,
            _pod_path("restartPolicy"),
            "CF229",
            f"restartPolicy is {_short(policy)}",
            "Always is the only one here",
        )
    account = _text(_at(item, *_pod_path("serviceAccountName")))
    if account and not _is_subdomain(account):
        message = f"{_short(account)} can't name a ServiceAccount"
        yield _bad(item, _pod_path("serviceAccountName"), "CF229", message)
    if _at(item, *_pod_path("activeDeadlineSeconds")) is not None:
        yield _bad(
            item,
            _pod_path("activeDeadlineSeconds"),
            "CF229",
            "activeDeadlineSeconds is for Jobs",
            "remove it",
        )
    grace = _whole(_at(item, *_pod_path("terminationGracePeriodSeconds")))
    if grace is not None and grace < 0:
        yield _bad(
            item,
            _pod_path("terminationGracePeriodSeconds"),
            "CF229",
            "terminationGracePeriodSeconds is negative",
        )
    if _list(_at(item, *_pod_path("ephemeralContainers"))):
        yield _bad(
            item,
            _pod_path("ephemeralContainers"),
            "CF229",
            "ephemeralContainers are not for templates",
            "remove them",
        )


def _resources(item: Object, world: World) -> Iterator[Violation]:
    """Resources (CF230)."""
    for path, container in _containers(item):
        amounts: dict[str, dict[str, Decimal]] = {"limits": {}, "requests": {}}
        for field, found in amounts.items():
            for name, value in _map(_at(container, "resources", field)).items():
                here = (*path, "resources", field, str(name))
                if not isinstance(name, str) or not _is_resource(name):
                    yield _bad(
                        item,
                        here,
                        "CF230",
                        f"{_short(name)} is not a resource of containers",
                        "cpu, memory, or like nvidia.com/gpu",
                    )
                try:
                    found[str(name)] = kubernetes_quantity(value)
                except ValueError as error:
                    yield _bad(item, here, "CF230", str(error))
        for field, found in amounts.items():
            for name, amount in found.items():
                if not _overcommits(name) and amount != amount.to_integral_value():
                    yield _bad(
                        item, (*path, "resources", field, name), "CF230", f"{name} comes in whole numbers"
                    )
        yield from _requests_within(
            item, (*path, "resources", "requests"), amounts["limits"], amounts["requests"]
        )


def _requests_within(
    item: Object, path: Path, limits: Mapping[str, Decimal], requests: Mapping[str, Decimal]
) -> Iterator[Violation]:
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is None:
            if not _overcommits(name):
                yield _bad(
                    item,
                    (*path, name),
                    "CF230",
                    f"{name} is requested without a limit",
                    "set the limit to the same",
                )
        elif amount > limit:
            yield _bad(
                item,
                (*path, name),
                "CF230",
                f"more {name} is requested than its limit",
                "lower the request or raise the limit",
            )
        elif amount != limit and not _overcommits(name):
            yield _bad(
                item, (*path, name), "CF230", f"request and limit of {name} differ", "set both to the same"
            )


def _is_resource(name: str) -> bool:
    if "/" not in name:
        return name in STANDARD_RESOURCES or name.startswith("hugepages-")
    return _is_qualified(name) and not name.startswith("requests.")


def _overcommits(name: str) -> bool:
    return ("/" not in name or "kubernetes.io/" in name) and not name.startswith("hugepages-")


def _volumes(item: Object, world: World) -> Iterator[Violation]:
    """Volumes and mounts (CF231)."""
    if not _own_template(item):
        return
    names: set[str] = set()
    for path, volume in _each(_at(item, *_pod_path("volumes")), _pod_path("volumes")):
        name = _text(volume.get("name"))
        if not _is_label(name):
            yield _bad(
                item,
                (*path, "name"),
                "CF231",
                f"{_short(name)} can't name a volume" if name else "the volume has no name",
            )
        elif name in names:
            yield _bad(item, (*path, "name"), "CF231", f"two volumes are named {name}")
        names.add(name)
        sources = [str(key) for key, value in volume.items() if key != "name" and value is not None]
        if len(sources) > 1:
            yield _bad(
                item,
                path,
                "CF231",
                f"the volume is several things: {', '.join(sorted(sources))}",
                "one volume for each",
            )
        for key, field in (("configMap", "name"), ("secret", "secretName")):
            yield from _reference(item, (*path, key), volume.get(key), "CF231", name=field)
            for here, one in _each(_at(volume, key, "items"), (*path, key, "items")):
                if not _text(one.get("key")) or not _text(one.get("path")):
                    yield _bad(item, here, "CF231", "an item needs key and path")
    for path, container in _containers(item):
        yield from _mounts(item, path, container, names)


def _mounts(item: Object, path: Path, container: dict[Any, Any], names: set[str]) -> Iterator[Violation]:
    places: set[str] = set()
    for here, mount in _each(container.get("volumeMounts"), (*path, "volumeMounts")):
        name, place, inside = (_text(mount.get(field)) for field in ("name", "mountPath", "subPath"))
        if name not in names:
            yield _bad(
                item,
                (*here, "name"),
                "CF231",
                f"there is no volume {_short(name)}",
                "add it to the pod's volumes",
            )
        if not place:
            yield _bad(item, (*here, "mountPath"), "CF231", "mountPath is missing")
        elif place in places:
            yield _bad(item, (*here, "mountPath"), "CF231", f"two volumes are mounted at {_short(place)}")
        places.add(place)
        if inside.startswith("/") or ".." in inside.split("/"):
            yield _bad(
                item,
                (*here, "subPath"),
                "CF231",
                f"{_short(inside)} leads out of the volume",
                "a relative path without ..",
            )


def _container_ports(item: Object, world: World) -> Iterator[Violation]:
    """Ports of containers (CF232)."""
    for path, container in _containers(item):
        names: set[str] = set()
        for here, port in _each(container.get("ports"), (*path, "ports")):
            yield from _port(item, (*here, "containerPort"), port.get("containerPort"))
            if port.get("hostPort"):
                yield from _port(item, (*here, "hostPort"), port["hostPort"])
            name = _text(port.get("name"))
            if name and not _is_port_name(name):
                yield _bad(
                    item,
                    (*here, "name"),
                    "CF232",
                    f"{_short(name)} can't name a port",
                    "at most 15 of a-z, 0-9 and -",
                )
            elif name and name in names:
                yield _bad(item, (*here, "name"), "CF232", f"two ports are named {name}")
            names.add(name)
            yield from _protocol(item, here, port)


def _is_port_name(name: str) -> bool:
    return len(name) <= 15 and _PORT_NAME.fullmatch(name) is not None


def _port(item: Object, path: Path, value: Any) -> Iterator[Violation]:
    number = _whole(value)
    if value is None:
        yield _bad(item, path, "CF232", "the port is missing")
    elif number is not None and not 1 <= number <= 65535:
        yield _bad(item, path, "CF232", f"{number} is not a port", "1 to 65535")


def _protocol(item: Object, path: Path, port: dict[Any, Any]) -> Iterator[Violation]:
    protocol = port.get("protocol")
    if protocol is not None and protocol not in ("TCP", "UDP", "SCTP"):
        yield _bad(
            item, (*path, "protocol"), "CF232", f"{_short(protocol)} is not a protocol", "TCP, UDP or SCTP"
        )


def _service_ports(item: Object, world: World) -> Iterator[Violation]:
    """Ports of a Service, and that named ones lead to a container (CF232)."""
    ports = list(_each(_at(item, "spec", "ports"), ("spec", "ports")))
    if not ports and _at(item, "spec", "type") != "ExternalName" and _at(item, "spec", "clusterIP") != "None":
        yield _bad(item, ("spec", "ports"), "CF232", "the Service has no ports")
    names: set[str] = set()
    for path, port in ports:
        yield from _port(item, (*path, "port"), port.get("port"))
        yield from _protocol(item, path, port)
        name = _text(port.get("name"))
        if name in names or (not name and len(ports) > 1):
            yield _bad(
                item,
                (*path, "name"),
                "CF232",
                f"two ports are named {name}" if name else "one of several ports has no name",
            )
        elif name and not _is_label(name):
            yield _bad(item, (*path, "name"), "CF232", f"{_short(name)} can't name a port")
        names.add(name)
        target = port.get("targetPort")
        if isinstance(target, int):
            yield from _port(item, (*path, "targetPort"), target)
        elif _text(target) and not _leads_somewhere(item, world, _text(target)):
            yield _bad(
                item,
                (*path, "targetPort"),
                "CF232",
                f"no container has a port named {_short(target)}",
                "name the port, or use its number",
            )


def _leads_somewhere(service: Object, world: World, target: str) -> bool:
    """Whether a container of a Rollout that the Service selects has the named port; true if it selects none."""
    selector = _strings(_at(service, "spec", "selector"))
    selected = [
        template
        for rollout in world.all("Rollout")
        if _namespace(rollout) == _namespace(service) and selector
        for template in [_pod_template(rollout, world)]
        if template is not None and selector.items() <= _strings(_at(template, "metadata", "labels")).items()
    ]
    return not selected or any(
        target in _port_names(container)
        for one in selected
        for _, container in _each(_at(one, "spec", "containers"), ())
    )


def _port_names(container: dict[Any, Any]) -> set[str]:
    return {_text(port.get("name")) for _, port in _each(container.get("ports"), ())}


def _probes(item: Object, world: World) -> Iterator[Violation]:
    """Probes (CF233)."""
    for path, container in _containers(item):
        if "initContainers" in path and container.get("restartPolicy") != "Always":
            for key in (*PROBES, "lifecycle"):
                if container.get(key) is not None:
                    yield _bad(
                        item,
                        (*path, key),
                        "CF233",
                        f"an init container can't have a {key}",
                        "remove it, or restartPolicy: Always",
                    )
            continue
        for key in PROBES:
            probe = container.get(key)
            if isinstance(probe, dict):
                yield from _probe(item, (*path, key), probe, _port_names(container))


def _probe(item: Object, path: Path, probe: dict[Any, Any], ports: set[str]) -> Iterator[Violation]:
    given = [key for key in HANDLERS if probe.get(key) is not None]
    if len(given) != 1:
        message = f"{' and '.join(given)} exclude each other" if given else "the probe does nothing"
        yield _bad(item, path, "CF233", message, f"exactly one of {', '.join(HANDLERS)}")
    for key in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        number = _whole(probe.get(key))
        if number is not None and number < 0:
            yield _bad(item, (*path, key), "CF233", f"{key} is negative")
    if path[-1] != "readinessProbe" and probe.get("successThreshold") not in (None, 0, 1):
        yield _bad(
            item,
            (*path, "successThreshold"),
            "CF233",
            "successThreshold is not 1",
            "it can only be more for readinessProbe",
        )
    grace = _whole(probe.get("terminationGracePeriodSeconds"))
    if grace is not None and grace <= 0:
        yield _bad(
            item,
            (*path, "terminationGracePeriodSeconds"),
            "CF233",
            "terminationGracePeriodSeconds is not positive",
        )
    for handler in given:
        port = _at(probe, handler, "port")
        here = (*path, handler, "port")
        if handler == "exec":
            if not _list(_at(probe, "exec", "command")):
                yield _bad(item, (*path, "exec", "command"), "CF233", "the command is missing")
        elif port is None or (_whole(port) is not None and not 1 <= port <= 65535):
            yield _bad(
                item,
                here,
                "CF233",
                "the port is missing" if port is None else f"{port} is not a port",
                "1 to 65535",
            )
        elif isinstance(port, str) and port not in ports:
            yield _bad(
                item,
                here,
                "CF233",
                f"the container has no port named {_short(port)}",
                "name the port, or use its number",
            )


# Metrics: rules about one metric, in a template with its defaults or in a run with its values

PROVIDERS = (
    "prometheus", "web", "job", "datadog", "newRelic", "wavefront", "kayenta", "cloudWatch",
    "graphite", "influxdb", "skywalking", "plugin",
)  # fmt: skip
SELF_JUDGING = frozenset({"job", "kayenta"})
VECTORS = frozenset({"prometheus", "influxdb", "cloudWatch"})
_TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FOLDS = "all|none|any|one|filter|map|count|sum|mean|median|min|max|first|last|reduce|find|sort"
_INDEX = re.compile(rf"\bresult\s*(?:\?\.)?\[|\b(?:{_FOLDS})\s*\(\s*result\b")
_LENGTH = re.compile(r"\blen\s*\(\s*result\s*\)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|//[^\n]*|/\*.*?\*/', re.DOTALL)
_BRACKETS = {")": "(", "]": "[", "}": "{"}
MetricRule = Callable[[Object, Path, dict[Any, Any]], Iterator[Violation]]


def _metrics(item: Object) -> list[Step]:
    return list(_each(_at(item, "spec", "metrics"), ("spec", "metrics")))


def _int_or_string(value: Any) -> int | None:
    """A number as the controller reads it: text that is none counts as 0; None while a {{placeholder}} is in it."""
    if isinstance(value, str):
        if "{{" in value:
            return None
        return int(value) if re.fullmatch(r"[-+]?[0-9]{1,18}", value) else 0
    return _whole(value) or 0


def _limit(metric: dict[Any, Any], key: str) -> int | None:
    return 0 if metric.get(key) is None else _int_or_string(metric[key])


def _measurements(metric: dict[Any, Any]) -> int | None:
    """How often it is measured: 0 without an end, None if a {{placeholder}} decides."""
    count = _limit(metric, "count")
    return 1 if count == 0 and not metric.get("interval") else count


def _limits(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """Counts and limits, one by one (CF235)."""
    lowest = {
        "count": 0,
        "failureLimit": -1,
        "inconclusiveLimit": 0,
        "consecutiveErrorLimit": 0,
        "consecutiveSuccessLimit": 0,
    }
    for key, least in lowest.items():
        value = metric.get(key)
        number = _limit(metric, key)
        if isinstance(value, str) and number == 0 and not re.fullmatch(r"[-+]?0{1,18}", value):
            yield _bad(item, (*path, key), "CF235", f"{_short(value)} is not a whole number: it counts as 0")
        elif number is not None and number < least:
            yield _bad(item, (*path, key), "CF235", f"{key} is {number}", f"at least {least}")
    if _limit(metric, "failureLimit") == -1 and _limit(metric, "consecutiveSuccessLimit") == 0:
        message = (
            "failureLimit -1 and no consecutiveSuccessLimit: nothing is judged, and the controller refuses it"
        )
        yield _bad(item, (*path, "failureLimit"), "CF235", message, "set one of them")


def _arithmetic(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """count against the limits (CF236)."""
    count, success = _limit(metric, "count"), _limit(metric, "consecutiveSuccessLimit")
    failure, inconclusive = _limit(metric, "failureLimit"), _limit(metric, "inconclusiveLimit")
    here = (*path, "count")
    if count is None or success is None or failure is None or inconclusive is None:
        return
    if count > 0 and count < max(failure, 0) + success:
        yield _bad(
            item,
            here,
            "CF236",
            f"count {count} is less than failureLimit + consecutiveSuccessLimit ({failure} + {success})",
            "raise it",
        )
    elif count > 0 and count < inconclusive:
        yield _bad(
            item, here, "CF236", f"count {count} is less than inconclusiveLimit {inconclusive}", "raise it"
        )
    elif success == 0 and 0 < (ends := _measurements(metric) or 0) <= max(failure, inconclusive):
        which = "failureLimit" if failure >= ends else "inconclusiveLimit"
        message = f"{which} is exceeded by none of {ends} measurements, so the metric ends Successful whatever it measures"
        yield _bad(item, (*path, which), "CF236", message, f"at most {ends - 1}")


def _durations(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """interval and initialDelay (CF237)."""
    if (_limit(metric, "count") or 0) > 1 and not metric.get("interval"):
        yield _bad(item, (*path, "interval"), "CF237", "count above 1 needs an interval")
    for key in ("interval", "initialDelay"):
        value = _text(metric.get(key))
        if not value or "{{" in value:
            continue
        length = go_duration_seconds(value)
        if length is None:
            yield _bad(
                item, (*path, key), "CF237", f"{_short(value)} is not a Go duration", "like 30s, 5m or 24h"
            )
        elif length < 0 or (key == "interval" and length == 0):
            yield _bad(item, (*path, key), "CF237", f"{key} is {_short(value)}", "let it be positive")


def _providers(metric: dict[Any, Any]) -> list[str]:
    return [str(key) for key, value in _map(metric.get("provider")).items() if value is not None]


def _provider(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """Exactly one provider (CF238)."""
    if metric.get("provider") is not None and not isinstance(metric["provider"], dict):
        return
    here = (*path, "provider")
    given = _providers(metric)
    for key in given:
        if key not in PROVIDERS:
            yield _bad(
                item,
                (*here, key),
                "CF238",
                f"there is no provider {_short(key)}",
                f"one of {', '.join(PROVIDERS)}",
            )
    known = [key for key in given if key in PROVIDERS]
    plugins = _map(_at(metric, "provider", "plugin"))
    if len(known) > 1 or len(plugins) > 1:
        yield _bad(item, here, "CF238", f"several providers: {', '.join(known)}", "one metric for each")
    elif not given or (known == ["plugin"] and not plugins):
        yield _bad(item, here, "CF238", "the metric has no provider", f"one of {', '.join(PROVIDERS)}")


def _conditions(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """Both conditions, where there is a value (CF241)."""
    if not set(_providers(metric)) & set(PROVIDERS) - SELF_JUDGING:
        return
    success, failure = metric.get("successCondition"), metric.get("failureCondition")
    if not success and not failure:
        yield _bad(
            item, path, "CF241", "without conditions every measurement is Successful", "give both conditions"
        )
    elif not success and "isNaN" not in _text(failure):
        yield _bad(
            item,
            (*path, "successCondition"),
            "CF241",
            "failureCondition alone: NaN is Successful",
            "give both conditions",
        )
    elif not failure:
        yield _bad(
            item,
            (*path, "failureCondition"),
            "CF241",
            "successCondition alone: NaN and no data are Failed",
            "give both conditions",
        )


def _prometheus(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """Prometheus: address, query, timeout (CF242)."""
    body = _at(metric, "provider", "prometheus")
    if not isinstance(body, dict):
        return
    here = (*path, "provider", "prometheus")
    address = _text(body.get("address"))
    if body.get("address") in (None, ""):
        yield _bad(
            item,
            (*here, "address"),
            "CF242",
            "Prometheus has no address",
            "like http://prometheus.monitoring:9090",
        )
    elif address and "{{" not in address and not _is_url(address):
        yield _bad(
            item,
            (*here, "address"),
            "CF242",
            f"{_short(address)} has no scheme or no host",
            "like http://prometheus.monitoring:9090",
        )
    if body.get("query") is None or not str(body["query"]).strip():
        yield _bad(item, (*here, "query"), "CF242", "the query is empty")
    timeout = _whole(body.get("timeout"))
    if timeout is not None and timeout <= 0:
        yield _bad(
            item,
            (*here, "timeout"),
            "CF242",
            f"a timeout of {timeout} s has always passed",
            "remove it for 30 s",
        )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.scheme and parts.netloc) and not re.search(r"[\x00-\x20\x7f]", text)
    except ValueError:
        return False


def _expressions(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """The conditions as expressions (CF243, CF244)."""
    vector = bool(set(_providers(metric)) & VECTORS)
    for key in ("successCondition", "failureCondition"):
        text = _text(metric.get(key))
        if not text:
            continue
        code = _QUOTED.sub(lambda match: " " * len(match[0]), _TAG.sub("0", text))
        fault = _expression_fault(code, text)
        if fault:
            yield _bad(item, (*path, key), "CF244", fault)
            continue
        index, length = _INDEX.search(code), _LENGTH.search(code)
        if vector and index and not (length and length.start() < index.start()):
            message = "an empty answer has no result[0]: an Error, or a verdict without data"
            yield _bad(item, (*path, key), "CF243", message, "write `len(result) > 0 && ...`")


def _expression_fault(code: str, text: str) -> str:
    """What is wrong with an expression whose quoted parts are blanked out; "" if nothing is seen."""
    if not text.strip():
        return "the condition is blank"
    if re.search(r"[\"'`]", code):
        return "a quote is not closed"
    stack: list[str] = []
    for char in code:
        if char in "([{":
            stack.append(char)
        elif char in _BRACKETS and (not stack or stack.pop() != _BRACKETS[char]):
            return f"a {char} too many"
    if stack:
        return f"a {stack[-1]} is not closed"
    if re.search(r"(?<![=!<>])=(?!=)", code) and not re.search(r"\blet\b", code):
        return "= does not compare: write =="
    return ""


METRIC_RULES: tuple[MetricRule, ...] = (
    _limits, _arithmetic, _durations, _provider, _conditions, _prometheus, _expressions
)  # fmt: skip


# Arguments and placeholders


def _args(item: Object) -> list[Step]:
    return list(_each(_at(item, "spec", "args"), ("spec", "args")))


def _defaults(item: Object) -> dict[str, str]:
    """Values that a template or run gives to its own arguments."""
    return {
        _text(arg.get("name")): arg["value"] for _, arg in _args(item) if isinstance(arg.get("value"), str)
    }


def _declared(items: Iterable[Object]) -> set[str]:
    return {_text(arg.get("name")) for item in items for _, arg in _args(item)}


def _substitute(value: Any, values: Mapping[str, str], depth: int = 0) -> Any:
    """The data with {{args.name}} replaced where the value is known."""
    if isinstance(value, str):
        return _TAG.sub(lambda tag: values.get(_argument(tag[1]), tag[0]), value) if "{{" in value else value
    if depth > 100:
        return value
    if isinstance(value, dict):
        return {key: _substitute(one, values, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_substitute(one, values, depth + 1) for one in value]
    return value


def _argument(tag: str) -> str:
    """The name in a placeholder; a name that no argument can have if it is no argument's."""
    text = tag.strip()
    return text.removeprefix("args.") if text.startswith("args.") else "\0"


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text below a value, keys too."""
    waiting = [(path, value)]
    while waiting:
        here, one = waiting.pop()
        if isinstance(one, str):
            yield here, one
        elif isinstance(one, dict):
            waiting += [((*here, str(key)), inner) for key, inner in one.items()]
            waiting += [((*here, str(key)), key) for key in one if isinstance(key, str) and "{{" in key]
        elif isinstance(one, list):
            waiting += [((*here, index), inner) for index, inner in enumerate(one)]


def _placeholders(item: Object, declared: set[str]) -> Iterator[Violation]:
    """{{...}} in metrics that nothing resolves (CF245)."""
    for path, metric in _metrics(item):
        for here, text in _leaves(metric, path):
            for tag in _TAG.findall(text):
                if _argument(tag) not in declared:
                    yield _bad(
                        item,
                        here,
                        "CF245",
                        f"nothing resolves {{{{{_short(tag)}}}}}",
                        "declare the argument in this object's args",
                    )
            if "{{" in _TAG.sub("", text):
                yield _bad(item, here, "CF245", "a {{ is not closed")


# Analysis templates, and AnalysisRuns


def _metric_list(item: Object, world: World) -> Iterator[Violation]:
    """Metrics and their names (CF234)."""
    path: Path = ("spec", "metrics")
    listed = _at(item, *path)
    if listed in (None, []) and not _list(_at(item, "spec", "templates")):
        yield _bad(item, path, "CF234", "there are no metrics")
    seen: set[str] = set()
    for here, metric in _metrics(item):
        name = _text(metric.get("name"))
        if not name:
            yield _bad(item, (*here, "name"), "CF234", "the metric has no name")
        elif name in seen:
            yield _bad(item, (*here, "name"), "CF234", f"two metrics are named {_short(name)}")
        seen.add(name)


def _metric_rules(item: Object, world: World) -> Iterator[Violation]:
    """Each metric, with the values that stand here."""
    yield from _resolved_rules(item, _defaults(item))


def _resolved_rules(item: Object, values: Mapping[str, str]) -> Iterator[Violation]:
    for path, metric in _metrics(item):
        resolved = _substitute(metric, values)
        for rule in METRIC_RULES:
            yield from rule(item, path, resolved)


def _own_args(item: Object, world: World) -> Iterator[Violation]:
    """Arguments of one template or run (CF246, CF248)."""
    seen: dict[str, Any] = {}
    for path, arg in _args(item):
        name, value = _text(arg.get("name")), arg.get("value")
        if not name:
            yield _bad(item, (*path, "name"), "CF248", "the argument has no name")
        if name in seen:
            yield _bad(item, path, "CF248", f"the argument {_short(name)} is declared twice")
        seen[name] = value
        if value is not None and arg.get("valueFrom") is not None:
            yield _bad(
                item,
                path,
                "CF248",
                f"the argument {_short(name)} has both value and valueFrom",
                "keep one of them",
            )
        if _kind(item) == "AnalysisRun" and value is None and arg.get("valueFrom") is None:
            yield _bad(item, path, "CF246", f"the argument {_short(name)} has no value", "give it one")


def _own_placeholders(item: Object, world: World) -> Iterator[Violation]:
    """Placeholders of a run, and of templates that no Rollout uses (CF245)."""
    used = _kind(item) != "AnalysisRun" and any(
        any(template is item for template in use.templates)
        for rollout in world.all("Rollout")
        for use in _uses(rollout, world)
    )
    if not used:
        yield from _placeholders(item, _declared([item]))


def _ends(item: Object, world: World) -> Iterator[Violation]:
    """A run of its own has an end (CF239)."""
    yield from _endless(item, _defaults(item))


def _endless(item: Object, values: Mapping[str, str]) -> Iterator[Violation]:
    for path, metric in _metrics(item):
        if _measurements(_substitute(metric, values)) == 0:
            message = f"{_short(metric.get('name'))} has an interval but no count: the analysis never ends"
            remedy = (
                "give it a count"
                if metric.get("count") is None
                else "give the argument of count a default: the controller looks at no other"
            )
            yield _bad(item, (*path, "count"), "CF239", message, remedy)


def _own_metric_patterns(item: Object, world: World) -> Iterator[Violation]:
    """dryRun and measurementRetention of a run of its own (CF249)."""
    names = [_text(metric.get("name")) for _, metric in _metrics(item)]
    for field in ("dryRun", "measurementRetention"):
        rules = [(item, path, rule) for path, rule in _each(_at(item, "spec", field), ("spec", field))]
        yield from _patterns(rules, names)
        yield from _doubled_patterns(rules)


MetricPattern = tuple[Object, Path, dict[Any, Any]]


def _patterns(rules: Iterable[MetricPattern], names: Sequence[str]) -> Iterator[Violation]:
    """dryRun and measurementRetention rules against the names of metrics (CF249)."""
    for item, path, rule in rules:
        text = _text(rule.get("metricName"))
        here = (*path, "metricName")
        if "limit" in rule and (_whole(rule["limit"]) or 0) <= 0:
            yield _bad(item, (*path, "limit"), "CF249", "a limit that is not positive is taken for 10")
        if not text:
            yield _bad(item, here, "CF249", "the rule has no metricName: it matches every metric")
            continue
        pattern = _go_regex(text)
        if pattern is None:
            yield _bad(
                item, here, "CF249", f"{_short(text)} is not a regular expression of Go: it never matches"
            )
            continue
        matched = [name for name in names if pattern.search(name)]
        if not matched:
            yield _bad(
                item,
                here,
                "CF249",
                f"no metric is named {_short(text)}: the run would end in Error",
                "name a metric of this analysis",
            )
        elif not (text[0] == "^" and text[-1] == "$") or not all(pattern.fullmatch(name) for name in matched):
            yield _bad(
                item,
                here,
                "CF249",
                f"{_short(text)} matches parts of names too",
                f"write ^{_short(text.strip('^$'))}$",
            )


def _go_regex(text: str) -> re.Pattern[str] | None:
    if len(text) > 300 or re.search(r"\(\?(?:[=!]|<[=!]|P=|\()|\\[1-9]", text):
        return None
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return None


def _doubled_patterns(rules: Iterable[MetricPattern]) -> Iterator[Violation]:
    seen: set[str] = set()
    for item, path, rule in rules:
        name = _text(rule.get("metricName"))
        if name in seen:
            yield _bad(item, path, "CF249", f"two rules are named {_short(name)}", "keep one of them")
        seen.add(name)


# The analyses of a Rollout: its templates together, with its arguments


class Use(NamedTuple):
    """One place where a Rollout runs an analysis."""

    path: Path
    awaited: bool
    body: dict[Any, Any]
    templates: tuple[Object, ...]


def _uses(rollout: Object, world: World) -> Iterator[Use]:
    for path, body in _analyses(rollout):
        found: dict[int, Object] = {}
        for _, template in _references(rollout, path, body, world):
            if template is not None:
                found[id(template)] = template
        awaited = path != _canary_path("analysis")
        yield Use(path, awaited, body, tuple(found.values()))


def _analyses(rollout: Object) -> Iterator[Step]:
    blue_green: Path = ("spec", "strategy", "blueGreen")
    places = [_canary_path("analysis"), *((*path, "analysis") for path, _ in _steps(rollout))]
    places += [(*blue_green, "prePromotionAnalysis"), (*blue_green, "postPromotionAnalysis")]
    for path in places:
        body = _at(rollout, *path)
        if isinstance(body, dict):
            yield path, body


def _references(
    rollout: Object, path: Path, body: dict[Any, Any], world: World
) -> Iterator[tuple[tuple[Object, Path, str], Object | None]]:
    """Templates that an analysis names, and those that they name: (who names it, where, kind) -> template."""
    waiting = [(rollout, (*path, "templates"), body.get("templates"))]
    seen: set[int] = set()
    while waiting:
        owner, here, listed = waiting.pop()
        for place, reference in _each(listed, here):
            kind = "ClusterAnalysisTemplate" if reference.get("clusterScope") is True else "AnalysisTemplate"
            namespace = "" if kind in CLUSTER_SCOPED else _namespace(rollout)
            template = world.find(kind, namespace, _text(reference.get("templateName")))
            yield (owner, (*place, "templateName"), kind), template
            if template is not None and id(template) not in seen:
                seen.add(id(template))
                waiting.append((template, ("spec", "templates"), _at(template, "spec", "templates")))


def _analysis_references(item: Object, world: World) -> Iterator[Violation]:
    """Templates that an analysis names are there (CF250), and there is at least one (CF234)."""
    for path, body in _analyses(item):
        if body.get("templates") in (None, []):
            yield _bad(
                item, (*path, "templates"), "CF234", "the analysis names no template, so it has no metrics"
            )
        for (owner, here, kind), template in _references(item, path, body, world):
            if template is None:
                name = _at(owner, *here)
                yield _bad(
                    owner,
                    here,
                    "CF250",
                    f"there is no {kind} {_short(name)}",
                    "the Rollout would be InvalidSpec and stand still",
                )
    yield from _experiment_references(item, world)


def _experiment_references(item: Object, world: World) -> Iterator[Violation]:
    for path, step in _steps(item):
        for here, analysis in _each(_at(step, "experiment", "analyses"), (*path, "experiment", "analyses")):
            kind = "ClusterAnalysisTemplate" if analysis.get("clusterScope") is True else "AnalysisTemplate"
            namespace = "" if kind in CLUSTER_SCOPED else _namespace(item)
            name = _text(analysis.get("templateName"))
            if world.find(kind, namespace, name) is None:
                yield _bad(item, (*here, "templateName"), "CF250", f"there is no {kind} {_short(name)}")


def _template_cycles(item: Object, world: World) -> Iterator[Violation]:
    """A template that includes itself sends the controller round for ever (CF248)."""
    body = _map(item.get("spec"))
    for (owner, path, _), template in _references(item, ("spec",), body, world):
        if template is item:
            yield _bad(
                owner,
                path,
                "CF248",
                f"{_short(_name(item))} includes itself: the controller never comes back",
                "remove it",
            )


def _given_args(item: Object, world: World) -> Iterator[Violation]:
    """Arguments as the Rollout gives them (CF227)."""
    for path, body in _analyses(item):
        seen: set[str] = set()
        for here, arg in _each(body.get("args"), (*path, "args")):
            name, source = _text(arg.get("name")), arg.get("valueFrom")
            if not name or name in seen:
                message = (
                    f"the argument {_short(name)} is given twice" if name else "the argument has no name"
                )
                yield _bad(item, here, "CF227", message)
            seen.add(name)
            if source is None:
                if arg.get("value") is None:
                    yield _bad(
                        item,
                        here,
                        "CF227",
                        f"the argument {_short(name)} is given as empty text, default or not",
                        "give it a value",
                    )
            elif isinstance(source, dict):
                yield from _value_from(item, (*here, "valueFrom"), source)


def _value_from(item: Object, path: Path, source: dict[Any, Any]) -> Iterator[Violation]:
    hash_value, field = source.get("podTemplateHashValue"), _text(_at(source, "fieldRef", "fieldPath"))
    if hash_value is not None:
        if hash_value not in ("Latest", "Stable"):
            yield _bad(
                item,
                (*path, "podTemplateHashValue"),
                "CF227",
                f"{_short(hash_value)} is neither Latest nor Stable",
            )
    elif not field:
        yield _bad(item, path, "CF227", "the source is empty", "podTemplateHashValue or fieldRef.fieldPath")
    elif field.startswith("metadata"):
        if not _is_downward(field, item):
            yield _bad(
                item,
                (*path, "fieldRef", "fieldPath"),
                "CF227",
                f"{_short(field)} is not a field of the Rollout that can be given",
            )
    elif (
        field.startswith("spec")
        and _at(item, "spec", "workloadRef") is None
        and not _is_scalar_at(item, field)
    ):
        yield _bad(
            item,
            (*path, "fieldRef", "fieldPath"),
            "CF227",
            f"{_short(field)} is no single value of the Rollout",
        )


def _is_downward(field: str, item: Object) -> bool:
    if field in (
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
    ):
        return True
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", field)
    if match is None or not _is_qualified(match[2].lower() if match[1] == "annotations" else match[2]):
        return False
    return match[1] == "annotations" or match[2] in _map(_at(item, "metadata", "labels"))


def _is_scalar_at(item: Object, field: str) -> bool:
    value: Any = item
    for part in filter(None, re.split(r"[.\[\]]+", field)):
        value = _at(
            value, int(part) if isinstance(value, list) and re.fullmatch(r"[0-9]{1,6}", part) else part
        )
    return isinstance(value, (str, int, float))


def _use_args(item: Object, world: World) -> Iterator[Violation]:
    """Arguments that a Rollout's analysis gives and needs (CF246, CF247)."""
    for use in _uses(item, world):
        if not use.templates:
            continue
        given = {_text(arg.get("name")) for _, arg in _each(use.body.get("args"), ())}
        declared = _declared(use.templates)
        for here, arg in _each(use.body.get("args"), (*use.path, "args")):
            if _text(arg.get("name")) not in declared:
                message = f"no template declares the argument {_short(arg.get('name'))}: it is dropped"
                yield _bad(item, here, "CF247", message, "declare it in the template, or remove it")
        valued = {_text(arg.get("name")) for one in use.templates for _, arg in _args(one) if _has_value(arg)}
        for name in sorted(declared - given - valued - {""}):
            yield _bad(
                item,
                (*use.path, "args"),
                "CF246",
                f"the argument {_short(name)} gets no value",
                "give it, or a default in the template",
            )
        if not use.awaited:
            yield from _background_args(item, use, given, valued)


def _has_value(arg: dict[Any, Any]) -> bool:
    return arg.get("value") is not None or arg.get("valueFrom") is not None


def _background_args(item: Object, use: Use, given: set[str], valued: set[str]) -> Iterator[Violation]:
    """In the background, another template's default does not count."""
    for template in use.templates:
        for path, arg in _args(template):
            name = _text(arg.get("name"))
            if name in valued and name not in given and not _has_value(arg):
                message = f"the argument {_short(name)} has a default in another template only"
                yield _bad(template, path, "CF246", message, "give it in the Rollout, or a default here too")


def _use_conflicts(item: Object, world: World) -> Iterator[Violation]:
    """Templates of one analysis that contradict each other (CF248)."""
    for use in _uses(item, world):
        names: dict[str, Object] = {}
        values: dict[str, str] = {}
        for template in use.templates:
            for path, metric in _metrics(template):
                name = _text(metric.get("name"))
                if names.setdefault(name, template) is not template:
                    message = f"{_short(_name(names[name]))} has a metric {_short(name)} too, and both are in one analysis"
                    yield _bad(template, (*path, "name"), "CF248", message, "rename one of them")
            for path, arg in _args(template):
                name, value = _text(arg.get("name")), arg.get("value")
                if isinstance(value, str) and values.setdefault(name, value) != value:
                    message = f"the argument {_short(name)} has another default in another template of this analysis"
                    yield _bad(
                        template,
                        (*path, "value"),
                        "CF248",
                        message,
                        "write the same, or give it in the Rollout alone",
                    )


def _use_placeholders(item: Object, world: World) -> Iterator[Violation]:
    """Placeholders: a step's template may use its own arguments only (CF245)."""
    for use in _uses(item, world):
        together = _declared(use.templates)
        for template in use.templates:
            yield from _placeholders(template, _declared([template]) if use.awaited else together)


def _use_lengths(item: Object, world: World) -> Iterator[Violation]:
    """An awaited analysis ends, a background one does not (CF239, CF240)."""
    for use in _uses(item, world):
        dry = _dry_run_names(use)
        for template in use.templates:
            if use.awaited:
                yield from _endless(template, _controller_values(template))
            else:
                yield from _finite(template, _values(use), dry)


def _controller_values(template: Object) -> dict[str, str]:
    """What the controller puts in to see whether a metric ends: the Rollout's values play no part."""
    return dict.fromkeys(_declared([template]), "dummy-value") | _defaults(template)


def _values(use: Use) -> dict[str, str]:
    """Values of the run, as far as they are known from here."""
    values = {name: value for template in use.templates for name, value in _defaults(template).items()}
    for _, arg in _each(use.body.get("args"), ()):
        if arg.get("valueFrom") is not None:
            values.pop(_text(arg.get("name")), None)
        elif isinstance(arg.get("value"), str):
            values[_text(arg.get("name"))] = arg["value"]
    return values


def _finite(template: Object, values: Mapping[str, str], dry: set[str]) -> Iterator[Violation]:
    for path, metric in _metrics(template):
        if _text(metric.get("name")) in dry:
            continue
        resolved = _substitute(metric, values)
        for key, ends in (
            ("count", _measurements(resolved)),
            ("consecutiveSuccessLimit", _limit(resolved, "consecutiveSuccessLimit")),
        ):
            if ends is not None and ends > 0:
                message = f"{_short(metric.get('name'))} ends in the background: the rest of the canary is not watched"
                remedy = f"remove {key}" if metric.get(key) is not None else "give it an interval"
                yield _bad(template, (*path, key), "CF240", message, remedy)


def _dry_run_names(use: Use) -> set[str]:
    names = [_text(metric.get("name")) for template in use.templates for _, metric in _metrics(template)]
    rules = [rule for _, _, rule in _rules_of(use, "dryRun")]
    patterns = [_go_regex(_text(rule.get("metricName"))) for rule in rules if _text(rule.get("metricName"))]
    return {name for name in names for pattern in patterns if pattern and pattern.search(name)}


def _rules_of(use: Use, field: str) -> list[MetricPattern]:
    """dryRun or measurementRetention rules of the templates of an analysis."""
    return [
        (template, path, rule)
        for template in use.templates
        for path, rule in _each(_at(template, "spec", field), ("spec", field))
    ]


def _use_patterns(item: Object, world: World) -> Iterator[Violation]:
    """dryRun and measurementRetention rules of a Rollout's analyses (CF249).

    The controller joins every analysis' templates with the rules of every step, related or not.
    """
    uses = list(_uses(item, world))
    steps = [use for use in uses if "steps" in use.path]
    for field in ("dryRun", "measurementRetention"):
        own = {
            use.path: [(item, path, rule) for path, rule in _each(use.body.get(field), (*use.path, field))]
            for use in uses
        }
        for use in uses:
            if not use.templates:
                continue
            names = [
                _text(metric.get("name")) for template in use.templates for _, metric in _metrics(template)
            ]
            rules = _rules_of(use, field)
            yield from _patterns([*own[use.path], *rules], names)
            for other in {use.path: use} | {step.path: step for step in steps}:
                yield from _doubled_patterns([*own[other], *rules])


def _use_metrics(item: Object, world: World) -> Iterator[Violation]:
    """Metrics again, with the values that the Rollout gives."""
    for use in _uses(item, world):
        values = _values(use)
        for template in use.templates:
            if values != _defaults(template):
                yield from _resolved_rules(template, values)


# References and Services


def _service_names(rollout: Object) -> Iterator[tuple[Path, str]]:
    places = [_canary_path(field) for field in ("canaryService", "stableService")]
    places += [_canary_path("pingPong", field) for field in ("pingService", "pongService")]
    places += [("spec", "strategy", "blueGreen", field) for field in ("activeService", "previewService")]
    for path in places:
        name = _text(_at(rollout, *path))
        if name:
            yield path, name


def _services(item: Object, world: World) -> Iterator[Violation]:
    """Services that the Rollout names: there, selecting its pods, and its own (CF250, CF251, CF252)."""
    template = _pod_template(item, world)
    for path, name in _service_names(item):
        service = world.find("Service", _namespace(item), name)
        if service is None:
            yield _bad(
                item,
                path,
                "CF250",
                f"there is no Service {_short(name)}",
                "the Rollout would be InvalidSpec and stand still",
            )
            continue
        yield from _selects_pods(service, template)
        owner = _at(service, "metadata", "annotations", MANAGED_BY_ROLLOUT)
        if owner is not None and owner != _name(item):
            message = f"the Service says that the Rollout {_short(owner)} manages it"
            yield _bad(
                service,
                ("metadata", "annotations", MANAGED_BY_ROLLOUT),
                "CF252",
                message,
                "remove the annotation",
            )


def _selects_pods(service: Object, template: dict[Any, Any] | None) -> Iterator[Violation]:
    selector = _at(service, "spec", "selector")
    if template is None or (selector is not None and not isinstance(selector, dict)):
        return
    labels = _strings(_at(template, "metadata", "labels"))
    for key, value in _strings(selector).items():
        if key != HASH_LABEL and labels.get(key) != value:
            message = f"the pods do not have the label {_short(key)}: {_short(value)}"
            yield _bad(
                service, ("spec", "selector", key), "CF251", message, "select labels of the pod template"
            )


def _shared(item: Object, world: World) -> Iterator[Violation]:
    """What an earlier Rollout has too (CF252)."""
    mine = _owned(item)
    for other in world.all("Rollout"):
        if other is item:
            return
        theirs = {what for _, what in _owned(other)}
        for path, what in mine:
            if what in theirs:
                message = f"the Rollout {_short(_name(other))} manages the {what[0]} {_short(what[2])} too"
                yield _bad(item, path, "CF252", message, "give each Rollout its own")


def _owned(rollout: Object) -> list[tuple[Path, tuple[str, str, str]]]:
    """What a Rollout writes to: (path, (kind, namespace, name))."""
    namespace = _namespace(rollout)
    owned = [(path, ("Service", namespace, name)) for path, name in _service_names(rollout)]
    rule = _text(_at(_istio(rollout), "destinationRule", "name"))
    if rule:
        owned.append((_istio_path("destinationRule", "name"), ("DestinationRule", namespace, rule)))
    for path, entry in _istio_entries(rollout):
        service_namespace, name = _virtual_service_key(entry, namespace)
        for index, route in enumerate(_list(entry.get("routes"))):
            owned.append(((*path, "routes", index), ("route", service_namespace, f"{name}/{_text(route)}")))
    return owned


def _config_maps(item: Object, world: World) -> Iterator[Violation]:
    """ConfigMaps of the pod template that canaryfleet makes (CF250)."""
    stems = {
        _stem(_name(one))
        for one in world.all("ConfigMap")
        if _at(one, "metadata", "labels", MANAGED_BY) == "canaryfleet"
    }
    for path, source, keys in _config_references(item):
        name = _text(source.get("name"))
        if not name or source.get("optional") is True:
            continue
        config = world.find("ConfigMap", _namespace(item), name)
        if config is None:
            if re.search(r"-[0-9a-f]{12}\Z", name) or (_stem(name) and _stem(name) in stems):
                yield _bad(
                    item,
                    (*path, "name"),
                    "CF250",
                    f"there is no ConfigMap {_short(name)}",
                    "pods would not start",
                )
            continue
        there = {*_map(config.get("data")), *_map(config.get("binaryData"))}
        for key in keys:
            if key not in there:
                yield _bad(
                    item,
                    path,
                    "CF250",
                    f"the ConfigMap {_short(name)} has no key {_short(key)}",
                    "pods would not start",
                )


def _stem(name: str) -> str:
    return name.rpartition("-")[0]


def _config_references(item: Object) -> Iterator[tuple[Path, dict[Any, Any], list[str]]]:
    """Where a pod template names ConfigMaps: path, reference, keys that it needs."""
    for path, volume in _each(_at(item, *_pod_path("volumes")), _pod_path("volumes")):
        sources = [((*path, "configMap"), volume.get("configMap"))]
        sources += [
            ((*here, "configMap"), one.get("configMap"))
            for here, one in _each(_at(volume, "projected", "sources"), (*path, "projected", "sources"))
        ]
        for here, source in sources:
            if isinstance(source, dict):
                yield here, source, [_text(key.get("key")) for _, key in _each(source.get("items"), ())]
    for path, container in _containers(item):
        for here, variable in _each(container.get("env"), (*path, "env")):
            source = _at(variable, "valueFrom", "configMapKeyRef")
            if isinstance(source, dict):
                yield (*here, "valueFrom", "configMapKeyRef"), source, [_text(source.get("key"))]
        for here, one in _each(container.get("envFrom"), (*path, "envFrom")):
            if isinstance(one.get("configMapRef"), dict):
                yield (*here, "configMapRef"), one["configMapRef"], []


# Istio


def _istio(rollout: Object) -> dict[Any, Any] | None:
    settings = _at(_router(rollout), "istio")
    return settings if isinstance(settings, dict) else None


def _istio_path(*rest: str | int) -> Path:
    return _canary_path("trafficRouting", "istio", *rest)


def _istio_entries(rollout: Object) -> list[Step]:
    """virtualService or virtualServices, each with its path."""
    settings = _istio(rollout) or {}
    single = settings.get("virtualService")
    entries = [(_istio_path("virtualService"), single)] if isinstance(single, dict) else []
    return [*entries, *_each(settings.get("virtualServices"), _istio_path("virtualServices"))]


def _virtual_service_key(entry: dict[Any, Any], namespace: str) -> tuple[str, str]:
    """Namespace and name behind `name` or `name.namespace`."""
    name, dot, other = _text(entry.get("name")).removesuffix(".cluster.local").rpartition(".")
    return (other, name) if dot else (namespace, other)


def _virtual_services(rollout: Object, world: World) -> Iterator[tuple[Path, Object, dict[Any, Any]]]:
    """The VirtualServices that a Rollout manages and that are here: (path of the entry, object, entry)."""
    for path, entry in _istio_entries(rollout):
        service = world.find("VirtualService", *_virtual_service_key(entry, _namespace(rollout)))
        if service is not None:
            yield path, service, entry


def _http(service: Object) -> list[Step]:
    return list(_each(_at(service, "spec", "http"), ("spec", "http")))


def _route_names(service: Object) -> list[str]:
    return [_text(route.get("name")) for _, route in _http(service)]


def _istio_objects(item: Object, world: World) -> Iterator[Violation]:
    """What the Rollout's Istio routing names (CF250, CF253)."""
    settings = _istio(item)
    if settings is None:
        return
    several, rule = settings.get("virtualServices"), settings.get("destinationRule")
    if (settings.get("virtualService") is not None) == bool(several):
        message = (
            "both virtualService and virtualServices are given"
            if several
            else "neither virtualService nor virtualServices is given"
        )
        yield _bad(item, _istio_path(), "CF253", message, "give one of them")
    seen: set[tuple[str, str]] = set()
    for path, entry in _istio_entries(item):
        key = _virtual_service_key(entry, _namespace(item))
        if key in seen:
            yield _bad(
                item,
                path,
                "CF253",
                f"{_short(entry.get('name'))} is listed twice",
                "list all its routes in one entry",
            )
        elif world.find("VirtualService", *key) is None:
            message = f"there is no VirtualService {_short(key[1])} in the namespace {_short(key[0])}"
            yield _bad(
                item, (*path, "name"), "CF250", message, "the Rollout would be InvalidSpec and stand still"
            )
        seen.add(key)
    if (
        isinstance(rule, dict)
        and world.find("DestinationRule", _namespace(item), _text(rule.get("name"))) is None
    ):
        message = f"there is no DestinationRule {_short(rule.get('name'))} in the Rollout's namespace"
        yield _bad(
            item,
            _istio_path("destinationRule", "name"),
            "CF250",
            message,
            "each reconcile would fail, with an event alone",
        )


def _routes(item: Object, world: World) -> Iterator[Violation]:
    """Which routes are managed, and their names (CF253)."""
    for path, service, entry in _virtual_services(item, world):
        routes, names = entry.get("routes"), _route_names(service)
        if not names and not any(_at(service, "spec", section) for section in ("tls", "tcp")):
            yield _bad(service, ("spec",), "CF253", "the VirtualService has no routes")
        if names and not routes:
            yield _bad(
                item,
                (*path, "routes"),
                "CF253",
                "routes are not named",
                "name the HTTP routes whose weights the rollout moves",
            )
        listed: set[str] = set()
        for index, route in enumerate(_list(routes)):
            if _text(route) not in names:
                message = f"the VirtualService {_short(_name(service))} has no HTTP route {_short(route)}"
                yield _bad(
                    item,
                    (*path, "routes", index),
                    "CF253",
                    message,
                    f"it has: {', '.join(filter(None, names)) or 'none'}",
                )
            elif route in listed:
                yield _bad(item, (*path, "routes", index), "CF253", f"{_short(route)} is listed twice")
            listed.add(_text(route))
        yield from _unnamed_routes(service)


def _unnamed_routes(service: Object) -> Iterator[Violation]:
    seen: set[str] = set()
    for path, route in _http(service):
        name = _text(route.get("name"))
        if not name:
            yield _bad(
                service,
                (*path, "name"),
                "CF253",
                "the route has no name: the controller would double such routes",
                "name it",
            )
        elif name in seen:
            yield _bad(
                service,
                (*path, "name"),
                "CF253",
                f"two routes are named {_short(name)}: only the first is managed",
                "rename one",
            )
        seen.add(name)


class Split(NamedTuple):
    """What tells canary from stable in a route."""

    canary: str
    stable: str
    rule: dict[Any, Any] | None

    def word(self) -> str:
        return "subset" if self.rule is not None else "host"


def _split(rollout: Object) -> Split:
    settings = _canary(rollout)
    rule = _at(_istio(rollout), "destinationRule")
    if isinstance(rule, dict):
        return Split(_text(rule.get("canarySubsetName")), _text(rule.get("stableSubsetName")), rule)
    pair = _map(settings.get("pingPong"))
    if pair:
        return Split(_text(pair.get("pongService")), _text(pair.get("pingService")), None)
    return Split(_text(settings.get("canaryService")), _text(settings.get("stableService")), None)


def _destinations(route: dict[Any, Any], path: Path) -> Iterator[tuple[Path, str, str, int]]:
    """Path, host, subset and weight of each destination."""
    for here, one in _each(route.get("route"), (*path, "route")):
        target = _map(one.get("destination"))
        yield here, _text(target.get("host")), _text(target.get("subset")), _whole(one.get("weight")) or 0


def _managed(item: Object, world: World) -> Iterator[tuple[Object, Path, dict[Any, Any]]]:
    """The HTTP routes whose weights the Rollout moves."""
    for _, service, entry in _virtual_services(item, world):
        names = {_text(name) for name in _list(entry.get("routes"))}
        for path, route in _http(service):
            name = _text(route.get("name"))
            if name in names or (not entry.get("routes") and len(_http(service)) == 1):
                names.discard(name)  # only the first of a name is managed
                yield service, path, route


def _managed_destinations(item: Object, world: World) -> Iterator[Violation]:
    """Destinations of the managed HTTP routes (CF254)."""
    for service, path, route in _managed(item, world):
        yield from _route_destinations(item, service, path, route, "CF254")
        for here, host, _, _ in _destinations(route, path):
            yield from _host(item, service, here, host, world)


def _route_destinations(
    item: Object, service: Object, path: Path, route: dict[Any, Any], code: str
) -> Iterator[Violation]:
    split = _split(item)
    extra = [_text(name) for name in _list(_at(split.rule, "additionalSubsetNames"))]
    weights: dict[str, list[int]] = {split.canary: [], split.stable: []}
    for here, host, subset, weight in _destinations(route, path):
        key = subset if split.rule is not None else host.split(".")[0]
        if key in weights and key:
            weights[key].append(weight)
        elif weight > 0 and key not in extra:
            message = (
                f"{_short(key or host)} is neither stable nor canary: Argo Rollouts deletes this destination"
            )
            yield _bad(service, here, code, message, "keep it out of a managed route")
    missing = [name for name in (split.canary, split.stable) if not weights[name]]
    doubled = [name for name, found in weights.items() if len(found) > 1]
    if missing:
        message = f"the managed route does not hold the {split.word()} {' and '.join(map(_short, missing))}"
        yield _bad(service, (*path, "route"), code, message, "give it both destinations")
    elif doubled:
        yield _bad(
            service,
            (*path, "route"),
            code,
            f"{_short(doubled[0])} is there twice: the weights add up to more than 100",
        )
    elif split.canary == split.stable:
        return
    elif weights[split.stable] != [100 - sum(weights[split.canary])]:
        yield _bad(
            service, (*path, "route"), code, "the weights do not add up to 100", "stable 100, canary 0"
        )
    elif weights[split.stable] != [100]:
        message = "Git gives weight to the canary: each sync would move users, rollout or not"
        yield _bad(service, (*path, "route"), code, message, "stable 100, canary 0")


def _host_key(host: str, namespace: str) -> tuple[str, str]:
    """Name and namespace of the Service that Istio finds behind a host; namespace "*" outside of Kubernetes."""
    parts = host.split(".")
    if len(parts) == 1:
        return host, namespace
    return (parts[0], parts[1]) if len(parts) > 2 and parts[2] == "svc" else (host, "*")


def _host(item: Object, service: Object, path: Path, host: str, world: World) -> Iterator[Violation]:
    """The Service behind a destination: there, in the Rollout's namespace, with the port, and not one of the split (CF250, CF251, CF254)."""
    here = (*path, "destination", "host")
    name, namespace = _host_key(host, _namespace(service))
    settings, rule = _canary(item), _split(item).rule
    own = [_text(settings.get(field)) for field in ("canaryService", "stableService")]
    if not host:
        yield _bad(service, here, "CF254", "the destination has no host")
        return
    if host.count(".") == 1 and host.split(".")[1] == _namespace(item):
        yield _bad(
            service,
            here,
            "CF254",
            f"Istio does not complete {_short(host)}",
            f"write {name}.svc.cluster.local",
        )
        return
    if namespace != "*" and namespace != _namespace(item):
        message = f"Istio looks for {_short(host)} in the namespace {_short(namespace)}, the Rollout is in {_short(_namespace(item))}"
        yield _bad(service, here, "CF254", message, f"write {name}.{_namespace(item)}.svc.cluster.local")
        return
    if rule is not None and name in own and name:
        message = f"the controller narrows {_short(name)} to one version, so the subset of the other is empty or gets its weight"
        yield _bad(service, here, "CF254", message, "route to a third Service that selects both versions")
    target = world.find("Service", namespace, name)
    if target is None:
        if namespace != "*" and name not in own:
            yield _bad(
                service,
                here,
                "CF250",
                f"there is no Service {_short(name)}",
                "requests would be answered with 503",
            )
        return
    if name not in own:
        yield from _selects_pods(target, _pod_template(item, world))
    port = _whole(_at(service, *path, "destination", "port", "number"))
    ports = [_whole(one.get("port")) for _, one in _each(_at(target, "spec", "ports"), ())]
    if port is not None and port not in ports:
        yield _bad(
            service,
            (*path, "destination", "port"),
            "CF254",
            f"the Service {_short(name)} has no port {port}",
            "use one of its ports",
        )
    elif port is None and len(ports) > 1:
        yield _bad(
            service,
            (*path, "destination"),
            "CF254",
            f"the Service {_short(name)} has several ports",
            "say which: port: {number: ...}",
        )


def _layer_4(item: Object, world: World) -> Iterator[Violation]:
    """tls and tcp sections, which the controller validates also where they have no part in it (CF255)."""
    for _, service, entry in _virtual_services(item, world):
        for section in ("tls", "tcp"):
            listed = _at(service, "spec", section)
            path: Path = ("spec", section)
            wanted = [one for _, one in _each(entry.get(f"{section}Routes"), ())]
            if not isinstance(listed, list):
                if wanted:
                    message = f"there are no {section} routes, so {section}Routes does nothing"
                    yield _bad(service, path, "CF255", message)
                continue
            routes = list(_each(listed, path))
            if not routes:
                yield _bad(
                    service, path, "CF255", f"an empty {section} section crashes the controller", "remove it"
                )
            elif not wanted and len(routes) > 1:
                yield _bad(
                    service,
                    path,
                    "CF255",
                    f"several {section} routes, and {section}Routes is not given",
                    f"name them in {section}Routes",
                )
            elif not wanted:
                yield from _route_destinations(item, service, *routes[0], "CF255")
            for one in wanted:
                matching = [(here, route) for here, route in routes if _layer_4_matches(route, one, section)]
                if not matching:
                    yield _bad(
                        service,
                        path,
                        "CF255",
                        f"no {section} route matches {_short(one)}",
                        "repeat port and sniHosts of its match",
                    )
                for here, route in matching:
                    yield from _route_destinations(item, service, here, route, "CF255")


def _layer_4_matches(route: dict[Any, Any], wanted: dict[Any, Any], section: str) -> bool:
    matches = [match for _, match in _each(route.get("match"), ())]
    ports = {_whole(match.get("port")) or 0 for match in matches} or {0}
    hosts = {_text(host) for match in matches for host in _list(match.get("sniHosts"))}
    if ports != {_whole(wanted.get("port")) or 0}:
        return False
    return section == "tcp" or hosts == {_text(host) for host in _list(wanted.get("sniHosts"))}


def _destination_rule(item: Object, world: World) -> Iterator[Violation]:
    """The subsets of the Rollout's DestinationRule (CF256)."""
    settings = _at(_istio(item), "destinationRule")
    if not isinstance(settings, dict):
        return
    path = _istio_path("destinationRule")
    canary, stable = _text(settings.get("canarySubsetName")), _text(settings.get("stableSubsetName"))
    if not canary or not stable or canary == stable:
        yield _bad(item, path, "CF256", "canarySubsetName and stableSubsetName are not two names")
        return
    rule = world.find("DestinationRule", _namespace(item), _text(settings.get("name")))
    if rule is not None:
        yield from _subsets(rule, canary, stable)
        yield from _rule_host(item, rule, world)


def _subsets(rule: Object, canary: str, stable: str) -> Iterator[Violation]:
    seen: set[str] = set()
    for path, subset in _each(_at(rule, "spec", "subsets"), ("spec", "subsets")):
        name = _text(subset.get("name"))
        if name not in (canary, stable):
            yield _bad(
                rule,
                path,
                "CF256",
                f"Argo Rollouts deletes the subset {_short(name)}",
                "put it into another DestinationRule",
            )
        elif name in seen:
            yield _bad(rule, path, "CF256", f"two subsets are named {_short(name)}")
        seen.add(name)
        if HASH_LABEL in _map(subset.get("labels")):
            yield _bad(
                rule,
                (*path, "labels", HASH_LABEL),
                "CF256",
                f"{HASH_LABEL} is the controller's to write",
                "remove it",
            )
    for name in (canary, stable):
        if name not in seen:
            yield _bad(rule, ("spec", "subsets"), "CF256", f"there is no subset {_short(name)}", "add it")


def _rule_host(item: Object, rule: Object, world: World) -> Iterator[Violation]:
    host = _text(_at(rule, "spec", "host"))
    if not host:
        yield _bad(rule, ("spec", "host"), "CF256", "the DestinationRule has no host")
        return
    mine = _host_key(host, _namespace(rule))
    for service, path, route in _managed(item, world):
        for here, other, _, _ in _destinations(route, path):
            if other and _host_key(other, _namespace(service)) != mine:
                message = f"the DestinationRule is for {_short(host)}, so {_short(other)} has no such subset"
                yield _bad(
                    service, (*here, "destination", "host"), "CF256", message, "use the same host in both"
                )


def _stall(item: Object, world: World) -> Iterator[Violation]:
    """A subset split waits for every pod, unless it has Services (CF258)."""
    settings = _canary(item)
    if _split(item).rule is None or settings.get("canaryService") or settings.get("stableService"):
        return
    message = (
        "while any pod is unavailable, the controller does nothing at all: no verdict of an analysis,"
        " no abort, no deadline and no status is acted on"
    )
    remedy = "name a canaryService or stableService beside the destinationRule (not the Service that routes point to)"
    yield _bad(item, _istio_path("destinationRule"), "CF258", message, remedy)


def _envoy_filter(item: Object, world: World) -> Iterator[Violation]:
    """Weighted clusters only where there are two destinations (CF257)."""
    for path, patch in _each(_at(item, "spec", "configPatches"), ("spec", "configPatches")):
        route = _map(_at(patch, "patch", "value", "route"))
        if (
            patch.get("applyTo") != "HTTP_ROUTE"
            or not {"weighted_clusters", "weightedClusters"} & route.keys()
        ):
            continue
        name = _text(_at(patch, "match", "routeConfiguration", "vhost", "route", "name"))
        if not name:
            message = "the patch names no route, so it hits those of one destination too, and their listener freezes"
            yield _bad(item, (*path, "match"), "CF257", message, "match routeConfiguration.vhost.route.name")
        for owner in _single_destinations(world, name):
            message = f"the route {_short(name)} of {owner} has one destination: Envoy refuses the update, and all its listener's routes freeze"
            yield _bad(item, (*path, "match"), "CF257", message, "patch routes of two destinations only")


def _single_destinations(world: World, name: str) -> Iterator[str]:
    """Who has a route of this name with one destination: a VirtualService, or a header route of a Rollout."""
    for service in world.all("VirtualService"):
        if (
            any(
                _text(route.get("name")) == name and len(_list(route.get("route"))) < 2
                for _, route in _http(service)
            )
            and name
        ):
            yield f"VirtualService {_short(_name(service))}"
    for rollout in world.all("Rollout"):
        if any(
            key == "setHeaderRoute" and _text(route.get("name")) == name and name
            for _, key, route in _route_steps(rollout)
        ):
            yield f"Rollout {_short(_name(rollout))} (setHeaderRoute)"


def _scale_target(item: Object, world: World) -> Iterator[Violation]:
    """Autoscalers point at the Rollout (CF259)."""
    field = "targetRef" if _kind(item) == "VerticalPodAutoscaler" else "scaleTargetRef"
    path: Path = ("spec", field)
    target = _at(item, *path)
    if not isinstance(target, dict):
        return
    name, namespace = _text(target.get("name")), _namespace(item)
    kind = _text(target.get("kind")) or ("Deployment" if _kind(item) == "ScaledObject" else "")
    rollout = world.find("Rollout", namespace, name)
    if kind == "Rollout":
        if target.get("apiVersion") != "argoproj.io/v1alpha1":
            yield _bad(
                item,
                (*path, "apiVersion"),
                "CF259",
                "a Rollout's apiVersion is another",
                "argoproj.io/v1alpha1",
            )
        elif rollout is None:
            yield _bad(
                item,
                (*path, "name"),
                "CF259",
                f"there is no Rollout {_short(name)}",
                "point at the app's Rollout",
            )
        return
    taken = [
        one for one in world.all("Rollout") if _namespace(one) == namespace and _takes_over(one, kind, name)
    ]
    if taken or (
        kind == "Deployment" and rollout is not None and world.find("Deployment", namespace, name) is None
    ):
        message = f"it scales the {kind} {_short(name)}, whose pods the Rollout {_short(_name(taken[0] if taken else rollout or {}))} runs"
        yield _bad(
            item,
            path,
            "CF259",
            message,
            "point at the Rollout: apiVersion argoproj.io/v1alpha1, kind Rollout",
        )


def _takes_over(rollout: Object, kind: str, name: str) -> bool:
    reference = _map(_at(rollout, "spec", "workloadRef"))
    return bool(name) and reference.get("kind") == kind and reference.get("name") == name


# The table of rules

POD_RULES: tuple[Rule, ...] = (
    _selector, _container_basics, _pod_settings, _resources, _volumes, _container_ports, _probes, _config_maps
)  # fmt: skip
TEMPLATE_RULES: tuple[Rule, ...] = (_metric_list, _metric_rules, _own_args, _own_placeholders)
EVERY_KIND: tuple[Rule, ...] = (_shape, _named, _labelled, _unique)
RULES: dict[str, tuple[Rule, ...]] = {
    "Rollout": (
        # the spec
        _numbers, _workload_ref, _strategy, _blue_green, _anti_affinity, _surge, _services_of_canary, _ping_pong, _scaling,
        # the pods
        *POD_RULES,
        # the steps
        _step_keys, _weights, _pauses, _canary_scale, _canary_pods, _route_allowed, _route_matches, _managed_names,
        _background_start,
        # the analyses
        _analysis_references, _given_args, _use_args, _use_conflicts, _use_placeholders, _use_lengths, _use_patterns, _use_metrics,
        # Services and routes
        _services, _shared, _istio_objects, _routes, _managed_destinations, _layer_4, _destination_rule, _stall,
    ),
    "AnalysisTemplate": (*TEMPLATE_RULES, _template_cycles),
    "ClusterAnalysisTemplate": (*TEMPLATE_RULES, _template_cycles),
    "AnalysisRun": (*TEMPLATE_RULES, _ends, _own_metric_patterns),
    "Deployment": POD_RULES,
    "Service": (_service_ports,),
    "ConfigMap": (_config_map,),
    "EnvoyFilter": (_envoy_filter,),
    "HorizontalPodAutoscaler": (_scale_target,),
    "VerticalPodAutoscaler": (_scale_target,),
    "ScaledObject": (_scale_target,),
}  # fmt: skip
