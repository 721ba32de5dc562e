"""Valid objects of an app, in each of the forms that `validate` knows, and how to change them."""

import copy
from collections.abc import Callable
from typing import Any

from canaryfleet.engines.argo_rollouts.validate import Violation

Object = dict[str, Any]
Objects = list[Object]
NAMESPACE = "inference"
LABELS = {"app.kubernetes.io/name": "assistant"}
MANAGED = {"app.kubernetes.io/managed-by": "canaryfleet"}
CONFIG = "assistant-prompts-0123456789ab"


def meta(name: str, **more: Any) -> Object:
    return {"name": name, "namespace": NAMESPACE, "labels": LABELS | MANAGED, **more}


def pod_template() -> Object:
    return {
        "metadata": {"labels": LABELS | {"version": "r-1"}, "annotations": {"canaryfleet.dev/pod": "abc"}},
        "spec": {
            "serviceAccountName": "assistant",
            "initContainers": [{"name": "fetch", "image": "registry.example/fetch:1.2"}],
            "containers": [
                {
                    "name": "server",
                    "image": "registry.example/assistant:2.4.0@sha256:" + "a" * 64,
                    "ports": [
                        {"name": "http", "containerPort": 8080},
                        {"name": "metrics", "containerPort": 9090},
                    ],
                    "env": [
                        {"name": "MODEL", "value": "llama"},
                        {"name": "MODEL", "value": "llama-3"},
                        {
                            "name": "PROMPT",
                            "valueFrom": {"configMapKeyRef": {"name": CONFIG, "key": "system.md"}},
                        },
                    ],
                    "envFrom": [{"configMapRef": {"name": "elsewhere", "optional": True}}],
                    "resources": {
                        "limits": {"memory": "24Gi", "cpu": 2, "nvidia.com/gpu": 1},
                        "requests": {"memory": "16Gi", "cpu": "1500m", "nvidia.com/gpu": "1"},
                    },
                    "volumeMounts": [{"name": "prompts", "mountPath": "/prompts", "subPath": "a/b"}],
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "successThreshold": 2},
                    "livenessProbe": {"tcpSocket": {"port": 8080}},
                    "startupProbe": {"exec": {"command": ["true"]}, "failureThreshold": 60},
                }
            ],
            "volumes": [
                {
                    "name": "prompts",
                    "configMap": {"name": CONFIG, "items": [{"key": "system.md", "path": "s"}]},
                }
            ],
        },
    }


def service(name: str) -> Object:
    ports = [
        {"name": "http", "port": 80, "targetPort": "http"},
        {"name": "metrics", "port": 9090, "targetPort": 9090},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(name),
        "spec": {"selector": dict(LABELS), "ports": ports},
    }


def metric(name: str, query: str = "up", **more: Any) -> Object:
    return {
        "name": name,
        "interval": "1m",
        "successCondition": "len(result) > 0 && result[0] < 0.005",
        "failureCondition": "len(result) > 0 && result[0] > 0.01",
        "failureLimit": 1,
        "inconclusiveLimit": 3,
        "consecutiveErrorLimit": 10,
        "provider": {"prometheus": {"address": "{{args.address}}", "query": query}},
        **more,
    }


def template(name: str, metrics: Objects, args: Objects, **more: Any) -> Object:
    spec = {"args": args, "metrics": metrics, **more}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": meta(name),
        "spec": spec,
    }


def address() -> Object:
    return {"name": "address", "value": "http://prometheus.monitoring:9090"}


def step_template() -> Object:
    job = {
        "name": "smoke",
        "count": 1,
        "provider": {"job": {"spec": {"template": {"spec": {"containers": []}}}}},
    }
    error_rate = metric("error-rate", 'rate(errors{hash="{{args.canary-hash}}"}[{{ args.window }}])', count=5)
    args = [
        address(),
        {"name": "canary-hash"},
        {"name": "window", "value": "5m"},
        {"name": "count", "value": "5"},
    ]
    latency = metric(
        "latency", count="{{args.count}}", consecutiveSuccessLimit=2, inconclusiveLimit=5, initialDelay="30s"
    )
    rules = {
        "dryRun": [{"metricName": "^latency$"}],
        "measurementRetention": [{"metricName": "^(error-rate|latency)$", "limit": 100}],
    }
    return template("assistant-steps", [error_rate, latency, job], args, **rules)


def background_template() -> Object:
    return template(
        "assistant-background", [metric("error-rate-background", inconclusiveLimit=1000)], [address()]
    )


def bake_run() -> Object:
    return template("assistant-bake", [metric("bake", count=10)], [address()]) | {"kind": "AnalysisRun"}


def config_map() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta(CONFIG),
        "data": {"system.md": "Be brief."},
    }


def steps() -> Objects:
    analysis = {
        "templates": [{"templateName": "assistant-steps"}],
        "args": [
            {"name": "canary-hash", "valueFrom": {"podTemplateHashValue": "Latest"}},
            {"name": "window", "value": "10m"},
        ],
    }
    match = [{"headerName": "x-canary-group", "headerValue": {"exact": "internal"}}]
    return [
        {"setCanaryScale": {"replicas": 2}},
        {"setHeaderRoute": {"name": "assistant-header", "match": match}},
        {
            "setMirrorRoute": {
                "name": "assistant-mirror",
                "match": [{"path": {"prefix": "/"}}],
                "percentage": 10,
            }
        },
        {"pause": {"duration": "15m"}},
        {"setMirrorRoute": {"name": "assistant-mirror"}},
        {"setCanaryScale": {"weight": 5}},
        {"setWeight": 5},
        {"setCanaryScale": {"matchTrafficWeight": True}},
        {"pause": {"duration": 600}},
        {"analysis": analysis},
        {"setWeight": 50},
        {"pause": {}},
    ]


def rollout(strategy: Object) -> Object:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": meta("assistant"),
        "spec": {
            "selector": {"matchLabels": dict(LABELS)},
            "progressDeadlineSeconds": 900,
            "revisionHistoryLimit": 10,
            "rollbackWindow": {"revisions": 3},
            "template": pod_template(),
            "strategy": strategy,
        },
    }


def canary(istio: Object, **more: Any) -> Object:
    managed = [{"name": "assistant-header"}, {"name": "assistant-mirror"}]
    return {
        "canary": {
            "maxSurge": "25%",
            "maxUnavailable": 0,
            "stableService": "assistant-stable",
            "scaleDownDelaySeconds": 60,
            "trafficRouting": {"managedRoutes": managed, "istio": istio},
            "analysis": {"templates": [{"templateName": "assistant-background"}], "startingStep": 6},
            "steps": steps(),
            **more,
        }
    }


def destination(host: str, weight: int, subset: str | None = None) -> Object:
    target = {"host": f"{host}.{NAMESPACE}.svc.cluster.local", "port": {"number": 80}}
    return {"destination": target | ({"subset": subset} if subset else {}), "weight": weight}


def virtual_service(pair: Objects) -> Object:
    cookie = [{"headers": {"cookie": {"regex": ".*session=.*"}}}]
    routes = [
        {"name": "assistant-primary", "match": cookie, "route": copy.deepcopy(pair)},
        {"name": "assistant-newcomer", "route": copy.deepcopy(pair)},
    ]
    spec = {"hosts": ["assistant"], "http": routes}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": meta("assistant"),
        "spec": spec,
    }


ROUTES = {"name": "assistant", "routes": ["assistant-primary", "assistant-newcomer"]}


def destination_rule() -> Object:
    subsets = [{"name": name, "labels": dict(LABELS)} for name in ("stable", "canary")]
    spec = {"host": f"assistant.{NAMESPACE}.svc.cluster.local", "subsets": subsets}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": meta("assistant"),
        "spec": spec,
    }


def envoy_filter() -> Object:
    patches = [
        {
            "applyTo": "HTTP_ROUTE",
            "match": {"context": "ANY", "routeConfiguration": {"vhost": {"route": {"name": name}}}},
            "patch": {
                "operation": "MERGE",
                "value": {"route": {"weighted_clusters": {"use_hash_policy": True}}},
            },
        }
        for name in ("assistant-primary", "assistant-newcomer", "assistant-mirror")
    ]
    spec = {"configPatches": patches}
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": meta("assistant-sticky") | {"namespace": "istio-system"},
        "spec": spec,
    }


def autoscaler() -> Object:
    target = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "assistant"}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 6}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": meta("assistant"),
        "spec": spec,
    }


def others() -> Objects:
    disruption = {"selector": {"matchLabels": dict(LABELS)}, "maxUnavailable": 1}
    return [
        service("assistant"),
        service("assistant-stable"),
        step_template(),
        background_template(),
        bake_run(),
        config_map(),
        autoscaler(),
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": meta("assistant"),
            "spec": disruption,
        },
        {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": meta("a-function"),
            "spec": {},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:assistant"},
        },
    ]


def subset_split() -> Objects:
    rule = {"name": "assistant", "stableSubsetName": "stable", "canarySubsetName": "canary"}
    pair = [destination("assistant", 100, "stable"), destination("assistant", 0, "canary")]
    strategy = canary({"virtualService": copy.deepcopy(ROUTES), "destinationRule": rule})
    return [rollout(strategy), virtual_service(pair), destination_rule(), envoy_filter(), *others()]


def host_split() -> Objects:
    pair = [destination("assistant-stable", 100), destination("assistant-canary", 0)]
    strategy = canary(
        {"virtualServices": [ROUTES | {"name": f"assistant.{NAMESPACE}"}]}, canaryService="assistant-canary"
    )
    return copy.deepcopy([rollout(strategy), virtual_service(pair), service("assistant-canary"), *others()])


def blue_green() -> Objects:
    step = steps()[9]["analysis"]
    strategy = {
        "activeService": "assistant",
        "previewService": "assistant-preview",
        "autoPromotionSeconds": 60,
        "prePromotionAnalysis": step,
        "postPromotionAnalysis": copy.deepcopy(step),
    }
    route = {
        "name": "assistant-primary",
        "route": [{"destination": {"host": "assistant", "port": {"number": 80}}}],
    }
    routes = virtual_service([]) | {"spec": {"hosts": ["assistant"], "http": [route]}}
    return [rollout({"blueGreen": strategy}), service("assistant-preview"), routes, *others()]


def adopted() -> Objects:
    """A Deployment taken over by workloadRef."""
    objects = subset_split()
    spec = find(objects, "Rollout")["spec"]
    reference = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "assistant-old",
        "scaleDown": "progressively",
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta("assistant-old"),
        "spec": {"selector": {"matchLabels": dict(LABELS)}, "template": spec.pop("template")},
    }
    spec["workloadRef"] = reference
    del spec["selector"]
    return [*objects, deployment]


VALID = {"subset": subset_split, "host": host_split, "blueGreen": blue_green, "adopted": adopted}


def find(objects: Objects, kind: str, name: str | None = None) -> Object:
    return next(o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"]))


REMOVE = object()

Change = Callable[[Any], Any]


def add(*more: Any) -> Change:
    return lambda old: [*(old or []), *more]


def merge(**more: Any) -> Change:
    return lambda old: {**(old or {}), **more}


CANARY = "spec.strategy.canary"
GREEN = "spec.strategy.blueGreen"
ISTIO = f"{CANARY}.trafficRouting.istio"
POD = "spec.template.spec"
MAIN = f"{POD}.containers.0"
STEPS = f"{CANARY}.steps"
ROLLOUT = "Rollout"
VS = "VirtualService"
RULE = "DestinationRule"
STEP_TEMPLATE = "AnalysisTemplate/assistant-steps"
BACKGROUND = "AnalysisTemplate/assistant-background"
METRIC = "spec.metrics.0"
PROMETHEUS = f"{METRIC}.provider.prometheus"


def mutate(objects: Objects, target: str, path: str, value: Any) -> None:
    kind, _, name = target.partition("/")
    here: Any = find(objects, kind, name or None)
    *parents, last = path.replace("system.md", "system~md").split(".")
    for part in parents:
        here = here[int(part)] if isinstance(here, list) else here.setdefault(part, {})
    key: Any = int(last) if isinstance(here, list) else last.replace("~", ".")
    if value is REMOVE:
        del here[key]
    elif callable(value):
        here[key] = value(here[key] if isinstance(here, list) else here.get(key))
    else:
        here[key] = copy.deepcopy(value)


def codes(found: list[Violation]) -> set[str]:
    return {one.code for one in found}


def explain(found: list[Violation]) -> str:
    return "\n".join(map(str, found))
