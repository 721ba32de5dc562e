"""Every rule of `validate`: valid objects pass, and each mutation gives the code it is there for."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canaryfleet.engines.argo_rollouts.validate import CODES, EVERY_KIND, RULES, Violation, validate
from canaryfleet.engines.argo_rollouts.validate import go_duration_seconds as go_seconds

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
                    "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
                    "env": [
                        {"name": "MODEL", "value": "llama"},
                        {"name": "MODEL", "value": "llama-3"},
                        {"name": "PROMPT", "valueFrom": {"configMapKeyRef": {"name": CONFIG, "key": "system.md"}}},
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
            "volumes": [{"name": "prompts", "configMap": {"name": CONFIG, "items": [{"key": "system.md", "path": "s"}]}}],
        },
    }


def service(name: str) -> Object:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "metrics", "port": 9090, "targetPort": 9090}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta(name), "spec": {"selector": dict(LABELS), "ports": ports}}


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
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": meta(name), "spec": spec}


def address() -> Object:
    return {"name": "address", "value": "http://prometheus.monitoring:9090"}


def step_template() -> Object:
    job = {
        "name": "smoke",
        "count": 1,
        "provider": {"job": {"spec": {"template": {"spec": {"containers": []}}}}},
    }
    error_rate = metric("error-rate", 'rate(errors{hash="{{args.canary-hash}}"}[{{ args.window }}])', count=5)
    args = [address(), {"name": "canary-hash"}, {"name": "window", "value": "5m"}, {"name": "count", "value": "5"}]
    latency = metric("latency", count="{{args.count}}", consecutiveSuccessLimit=2, inconclusiveLimit=5, initialDelay="30s")
    rules = {"dryRun": [{"metricName": "^latency$"}], "measurementRetention": [{"metricName": "^(error-rate|latency)$", "limit": 100}]}
    return template("assistant-steps", [error_rate, latency, job], args, **rules)


def background_template() -> Object:
    return template("assistant-background", [metric("error-rate-background", inconclusiveLimit=1000)], [address()])


def bake_run() -> Object:
    return template("assistant-bake", [metric("bake", count=10)], [address()]) | {"kind": "AnalysisRun"}


def config_map() -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(CONFIG), "data": {"system.md": "Be brief."}}


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
        {"setMirrorRoute": {"name": "assistant-mirror", "match": [{"path": {"prefix": "/"}}], "percentage": 10}},
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
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta("assistant"), "spec": spec}


ROUTES = {"name": "assistant", "routes": ["assistant-primary", "assistant-newcomer"]}


def destination_rule() -> Object:
    subsets = [{"name": name, "labels": dict(LABELS)} for name in ("stable", "canary")]
    spec = {"host": f"assistant.{NAMESPACE}.svc.cluster.local", "subsets": subsets}
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": meta("assistant"), "spec": spec}


def envoy_filter() -> Object:
    patches = [
        {
            "applyTo": "HTTP_ROUTE",
            "match": {"context": "ANY", "routeConfiguration": {"vhost": {"route": {"name": name}}}},
            "patch": {"operation": "MERGE", "value": {"route": {"weighted_clusters": {"use_hash_policy": True}}}},
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
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta("assistant"), "spec": spec}


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
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta("assistant"), "spec": disruption},
        {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": meta("a-function"), "spec": {}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:assistant"}},
    ]


def subset_split() -> Objects:
    rule = {"name": "assistant", "stableSubsetName": "stable", "canarySubsetName": "canary"}
    pair = [destination("assistant", 100, "stable"), destination("assistant", 0, "canary")]
    strategy = canary({"virtualService": copy.deepcopy(ROUTES), "destinationRule": rule})
    return [rollout(strategy), virtual_service(pair), destination_rule(), envoy_filter(), *others()]


def host_split() -> Objects:
    pair = [destination("assistant-stable", 100), destination("assistant-canary", 0)]
    strategy = canary({"virtualServices": [ROUTES | {"name": f"assistant.{NAMESPACE}"}]}, canaryService="assistant-canary")
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
    route = {"name": "assistant-primary", "route": [{"destination": {"host": "assistant", "port": {"number": 80}}}]}
    routes = virtual_service([]) | {"spec": {"hosts": ["assistant"], "http": [route]}}
    return [rollout({"blueGreen": strategy}), service("assistant-preview"), routes, *others()]


def adopted() -> Objects:
    """A Deployment taken over by workloadRef."""
    objects = subset_split()
    spec = find(objects, "Rollout")["spec"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "assistant-old", "scaleDown": "progressively"}
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


@pytest.mark.parametrize("name", VALID)
def test_valid_objects_have_no_violations(name: str) -> None:
    assert validate(VALID[name]()) == []


# Mutations: (code, fixture, kind or kind/name, path, value or what makes it of the old value).
# Other codes that the same mutation must give stand after a +.

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
ANTI = "antiAffinity.preferredDuringSchedulingIgnoredDuringExecution"
HEADER = {"headerName": "x", "headerValue": {"exact": "y"}}
EXTRA = {"destination": {"host": "other.example.com"}, "weight": 10}
LONG = "x" * 64

MUTATIONS: list[tuple[str, str, str, str, Any]] = [
    ("CF200", "subset", ROLLOUT, "spec.replicas", "3"),
    ("CF200", "subset", ROLLOUT, "spec.replicas", 3.0),
    ("CF200", "subset", ROLLOUT, "spec.paused", 1),
    ("CF200", "subset", ROLLOUT, "spec.replicas", True),
    ("CF200", "subset", ROLLOUT, "spec.replica", 3),
    ("CF200", "subset", ROLLOUT, f"{CANARY}.stepz", []),
    ("CF200", "subset", ROLLOUT, f"{MAIN}.env.0.value", 8080),
    ("CF200", "subset", ROLLOUT, f"{MAIN}.args", ["--port", 8080]),
    ("CF200", "subset", ROLLOUT, f"{POD}.nodeSelector", {"gpu": True}),
    ("CF200", "subset", ROLLOUT, STEPS, add(None)),
    ("CF200", "subset", "ConfigMap", "data.system.md", 1),
    ("CF200", "subset", "ConfigMap", "data", {"system.md": "", "prompts/system.md": "x"}),
    ("CF200", "subset", "ConfigMap", "data.big", "x" * (1 << 20)),
    ("CF200", "subset", "ConfigMap", "data", merge(**{"..a": "x"})),
    ("CF200", "subset", BACKGROUND, f"{METRIC}.failurelimit", 1),
    ("CF200", "subset", BACKGROUND, f"{METRIC}.provider.prometheus.timeout", "30"),
    ("CF200+CF254", "subset", VS, "spec.http.0.route.0.weight", "100"),
    ("CF200+CF201+CF250", "subset", "Service/assistant-stable", "metadata", REMOVE),
    ("CF200", "subset", "PodDisruptionBudget", "apiVersion", 1),
    ("CF201", "subset", "PodDisruptionBudget", "metadata.name", "Assistant"),
    ("CF201", "subset", "PodDisruptionBudget", "metadata.name", "a" * 254),
    ("CF201", "subset", "PodDisruptionBudget", "metadata.name", REMOVE),
    ("CF201", "subset", "PodDisruptionBudget", "metadata.namespace", "a.b"),
    ("CF201+CF250", "subset", "Service/assistant-stable", "metadata.name", "1-stable"),
    ("CF201+CF250", "subset", VS, "metadata.name", "assistant.v2"),
    ("CF202", "subset", "PodDisruptionBudget", "metadata.labels", merge(version=LONG)),
    ("CF202", "subset", "PodDisruptionBudget", "metadata.labels", merge(version="a b")),
    ("CF202", "subset", "PodDisruptionBudget", "metadata.labels", merge(version=1)),
    ("CF202", "subset", "PodDisruptionBudget", "metadata.labels", merge(**{"a/b/c": "x"})),
    ("CF202", "subset", "PodDisruptionBudget", "metadata.labels", []),
    ("CF202", "subset", "PodDisruptionBudget", "metadata.annotations", {"a": True}),
    ("CF202", "subset", "PodDisruptionBudget", "metadata.annotations", {"a": "x" * (1 << 18)}),
    ("CF202", "subset", "PodDisruptionBudget", "metadata.annotations", {"-": "x"}),
    ("CF202", "subset", ROLLOUT, "spec.template.metadata.labels", merge(version=f"r-{LONG}")),
    ("CF202", "subset", ROLLOUT, f"{CANARY}.canaryMetadata", {"labels": {"role": "a:b"}}),
    ("CF204", "subset", ROLLOUT, "spec.replicas", -1),
    ("CF204", "subset", ROLLOUT, "spec.minReadySeconds", 900),
    ("CF204", "subset", ROLLOUT, "spec.rollbackWindow.revisions", -1),
    ("CF204", "subset", ROLLOUT, f"{CANARY}.scaleDownDelaySeconds", -1),
    ("CF204", "blueGreen", ROLLOUT, f"{GREEN}.autoPromotionSeconds", -1),
    ("CF205", "subset", ROLLOUT, "spec.selector", REMOVE),
    ("CF205", "subset", ROLLOUT, "spec.selector", {}),
    ("CF205", "subset", ROLLOUT, "spec.selector", {"matchLabels": {}}),
    ("CF205", "subset", ROLLOUT, "spec.selector.matchLabels", merge(x="a b")),
    ("CF205", "subset", ROLLOUT, "spec.selector.matchExpressions", [{"key": "version", "operator": "in", "values": ["r-1"]}]),
    ("CF205", "subset", ROLLOUT, "spec.selector.matchExpressions", [{"key": "version", "operator": "In"}]),
    ("CF205", "subset", ROLLOUT, "spec.selector.matchExpressions", [{"key": "version", "operator": "Exists", "values": ["a"]}]),
    ("CF205", "subset", ROLLOUT, "spec.selector.matchExpressions", [{"operator": "Exists"}]),
    ("CF206", "subset", ROLLOUT, "spec.selector.matchLabels", merge(version="r-2")),
    ("CF206", "subset", ROLLOUT, "spec.selector.matchExpressions", [{"key": "version", "operator": "DoesNotExist"}]),
    ("CF206", "subset", ROLLOUT, "spec.selector.matchExpressions", [{"key": "version", "operator": "NotIn", "values": ["r-1"]}]),
    ("CF206", "adopted", "Deployment", "spec.selector.matchLabels", merge(version="r-2")),
    ("CF206", "adopted", ROLLOUT, "spec.selector", {"matchLabels": {"version": "r-2"}}),
    ("CF207", "subset", ROLLOUT, "spec.workloadRef", {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "assistant"}),
    ("CF207", "adopted", ROLLOUT, "spec.template", pod_template()),
    ("CF207", "adopted", ROLLOUT, "spec.workloadRef.scaleDown", "later"),
    ("CF207", "adopted", ROLLOUT, "spec.workloadRef.name", "another"),
    ("CF208", "subset", ROLLOUT, "spec.strategy", {}),
    ("CF208", "blueGreen", ROLLOUT, "spec.strategy", merge(canary={})),
    ("CF209", "blueGreen", ROLLOUT, f"{GREEN}.previewService", "assistant"),
    ("CF209", "blueGreen", ROLLOUT, f"{GREEN}.activeService", REMOVE),
    ("CF209", "blueGreen", ROLLOUT, f"{GREEN}.scaleDownDelayRevisionLimit", 11),
    ("CF209", "blueGreen", ROLLOUT, f"{GREEN}.autoPromotionEnabled", False),
    ("CF210", "subset", ROLLOUT, f"{CANARY}.antiAffinity", {}),
    ("CF210", "subset", ROLLOUT, f"{CANARY}.{ANTI}", {"weight": 0}),
    ("CF210", "blueGreen", ROLLOUT, f"{GREEN}.{ANTI}", {"weight": 101}),
    ("CF211", "subset", ROLLOUT, f"{CANARY}.maxSurge", 0),
    ("CF211", "subset", ROLLOUT, f"{CANARY}.maxSurge", "0%"),
    ("CF211", "subset", ROLLOUT, f"{CANARY}.maxSurge", "a quarter"),
    ("CF211", "subset", ROLLOUT, f"{CANARY}.maxUnavailable", -1),
    ("CF212", "host", ROLLOUT, f"{CANARY}.canaryService", "assistant-stable"),
    ("CF212+CF254", "host", ROLLOUT, f"{CANARY}.canaryService", REMOVE),
    ("CF212+CF220", "subset", ROLLOUT, f"{CANARY}.trafficRouting", {"nginx": {"stableIngress": "a"}}),
    ("CF213", "subset", ROLLOUT, f"{CANARY}.pingPong", {"pingService": "assistant-stable"}),
    ("CF213", "subset", ROLLOUT, f"{CANARY}.pingPong", {"pingService": "assistant", "pongService": "assistant"}),
    ("CF214", "subset", ROLLOUT, f"{CANARY}.dynamicStableScale", True),
    ("CF214", "subset", ROLLOUT, f"{CANARY}.trafficRouting.maxTrafficWeight", 100),
    ("CF215", "subset", ROLLOUT, f"{STEPS}.3.setWeight", 5),
    ("CF215", "subset", ROLLOUT, STEPS, add({})),
    ("CF215", "subset", ROLLOUT, STEPS, add({"setweight": 5})),
    ("CF215", "subset", ROLLOUT, STEPS, add({"plugin": {}})),
    ("CF216", "subset", ROLLOUT, f"{STEPS}.10.setWeight", 101),
    ("CF216+CF224", "subset", ROLLOUT, f"{STEPS}.10.setWeight", -1),
    *(("CF217", "subset", ROLLOUT, f"{STEPS}.8.pause.duration", text) for text in ("1d", "-5m", -1, "", "500ms", "5 m", "1e3", "9" * 10)),
    ("CF218", "subset", ROLLOUT, f"{STEPS}.5.setCanaryScale", {"weight": 101}),
    ("CF218", "subset", ROLLOUT, f"{STEPS}.5.setCanaryScale", {"weight": 5, "replicas": 1}),
    ("CF218", "subset", ROLLOUT, f"{STEPS}.7.setCanaryScale", {}),
    ("CF219", "subset", ROLLOUT, f"{STEPS}.5.setCanaryScale", {"matchTrafficWeight": True}),
    ("CF220", "subset", ROLLOUT, f"{STEPS}.1.setHeaderRoute.name", "another"),
    ("CF220", "subset", ROLLOUT, f"{STEPS}.1.setHeaderRoute.name", REMOVE),
    ("CF220", "subset", ROLLOUT, f"{CANARY}.trafficRouting.managedRoutes", REMOVE),
    ("CF221", "subset", ROLLOUT, f"{STEPS}.1.setHeaderRoute.match.0.headerValue", {"exact": "a", "prefix": "b"}),
    ("CF221", "subset", ROLLOUT, f"{STEPS}.1.setHeaderRoute.match.0.headerValue", {"exact": ""}),
    ("CF221", "subset", ROLLOUT, f"{STEPS}.1.setHeaderRoute.match.0.headerValue", REMOVE),
    ("CF221", "subset", ROLLOUT, f"{STEPS}.1.setHeaderRoute.match.0.headerName", ""),
    ("CF221", "subset", ROLLOUT, f"{STEPS}.2.setMirrorRoute.match.0", {"method": {}}),
    ("CF221", "subset", ROLLOUT, f"{STEPS}.2.setMirrorRoute.match.0", {"headers": {"x": {"exact": "a", "regex": "b"}}}),
    ("CF222", "subset", ROLLOUT, f"{STEPS}.1.setHeaderRoute.match", add(HEADER)),
    ("CF223", "subset", ROLLOUT, f"{CANARY}.trafficRouting.managedRoutes", add({"name": "assistant-primary"})),
    ("CF223", "subset", ROLLOUT, f"{CANARY}.trafficRouting.managedRoutes", add({"name": "assistant-header"})),
    ("CF223", "subset", ROLLOUT, f"{CANARY}.trafficRouting.managedRoutes", add({})),
    ("CF224", "subset", ROLLOUT, f"{STEPS}.0.setCanaryScale.replicas", 0),
    ("CF224", "subset", ROLLOUT, f"{STEPS}.5.setCanaryScale.weight", 0),
    ("CF224", "subset", ROLLOUT, f"{STEPS}.10.setWeight", 0),
    ("CF225", "subset", ROLLOUT, f"{STEPS}.2.setMirrorRoute.percentage", 101),
    ("CF226", "subset", ROLLOUT, f"{CANARY}.analysis.startingStep", 12),
    ("CF226", "subset", ROLLOUT, STEPS, lambda old: old[:8]),
    ("CF227", "subset", ROLLOUT, f"{STEPS}.9.analysis.args.1.value", REMOVE),
    ("CF227", "subset", ROLLOUT, f"{STEPS}.9.analysis.args.1.name", "canary-hash"),
    ("CF227", "subset", ROLLOUT, f"{STEPS}.9.analysis.args.0.valueFrom", {"podTemplateHashValue": "Canary"}),
    ("CF227", "subset", ROLLOUT, f"{STEPS}.9.analysis.args.0.valueFrom", {}),
    *(
        ("CF227", "subset", ROLLOUT, f"{STEPS}.9.analysis.args.0.valueFrom", {"fieldRef": {"fieldPath": field}})
        for field in ("metadata.generation", "metadata.labels['none']", "metadata.name['x']", "spec.nothing", "spec.template")
    ),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.image", REMOVE),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.image", " a"),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.name", "fetch"),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.name", "Server"),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.name", REMOVE),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.imagePullPolicy", "always"),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.env.0.name", "A B"),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.env.2.value", "x"),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.env.0", {"name": "A", "valueFrom": {}}),
    ("CF228", "adopted", "Deployment", f"{MAIN}.image", ""),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.env.2.valueFrom.configMapKeyRef.name", REMOVE),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.env.2.valueFrom", {"secretKeyRef": {"name": "a"}}),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.envFrom.0", {}),
    ("CF228", "subset", ROLLOUT, f"{MAIN}.envFrom.0", {"secretRef": {"name": "A"}}),
    ("CF228+CF232", "subset", ROLLOUT, f"{POD}.containers", []),
    ("CF229", "subset", ROLLOUT, f"{POD}.restartPolicy", "Never"),
    ("CF229", "subset", ROLLOUT, f"{POD}.activeDeadlineSeconds", 5),
    ("CF229", "subset", ROLLOUT, f"{POD}.serviceAccountName", "Assistant"),
    ("CF229", "subset", ROLLOUT, f"{POD}.terminationGracePeriodSeconds", -5),
    *(
        ("CF230", "subset", ROLLOUT, f"{MAIN}.resources.limits", merge(**{name: value}))
        for name, value in {"memory": "24 GB", "cpu": -1, "gpu": 1, "nvidia.com/gpu": "0.5", "a/b/c": 1}.items()
    ),
    ("CF230", "subset", ROLLOUT, f"{MAIN}.resources.requests", merge(memory="25Gi")),
    ("CF230", "subset", ROLLOUT, f"{MAIN}.resources.requests", merge(**{"nvidia.com/gpu": 2})),
    ("CF230", "subset", ROLLOUT, f"{MAIN}.resources.requests", merge(**{"nvidia.com/gpu": 0})),
    ("CF230", "subset", ROLLOUT, f"{MAIN}.resources.limits", {}),
    ("CF231", "subset", ROLLOUT, f"{MAIN}.volumeMounts.0.name", "prompt"),
    ("CF231", "subset", ROLLOUT, f"{MAIN}.volumeMounts.0.mountPath", REMOVE),
    ("CF231", "subset", ROLLOUT, f"{MAIN}.volumeMounts.0.subPath", "../x"),
    ("CF231", "subset", ROLLOUT, f"{MAIN}.volumeMounts", add({"name": "prompts", "mountPath": "/prompts"})),
    ("CF231", "subset", ROLLOUT, f"{POD}.volumes", add({"name": "prompts"})),
    ("CF231", "subset", ROLLOUT, f"{POD}.volumes.0.configMap", {}),
    ("CF231", "subset", ROLLOUT, f"{POD}.volumes.0.configMap.items.0.path", REMOVE),
    ("CF231", "subset", ROLLOUT, f"{POD}.volumes", add({"name": "key", "secret": {"name": "tls"}})),
    ("CF231", "subset", ROLLOUT, f"{POD}.volumes", add({"name": "a.b"})),
    ("CF231", "subset", ROLLOUT, f"{POD}.volumes", add({"name": "two", "emptyDir": {}, "hostPath": {"path": "/"}})),
    ("CF232", "subset", ROLLOUT, f"{MAIN}.ports.1.containerPort", 70000),
    ("CF232", "subset", ROLLOUT, f"{MAIN}.ports.1.containerPort", REMOVE),
    ("CF232", "subset", ROLLOUT, f"{MAIN}.ports.1.name", "http"),
    ("CF232", "subset", ROLLOUT, f"{MAIN}.ports.1.name", "a-name-that-is-too-long"),
    ("CF232", "subset", ROLLOUT, f"{MAIN}.ports.1.protocol", "HTTP"),
    ("CF232", "subset", "Service/assistant", "spec.ports.0.targetPort", "web"),
    ("CF232", "subset", "Service/assistant", "spec.ports.0.targetPort", 0),
    ("CF232", "subset", "Service/assistant", "spec.ports.0.name", REMOVE),
    ("CF232", "subset", "Service/assistant-stable", "spec.ports", []),
    ("CF232+CF254", "subset", "Service/assistant", "spec.ports.0.port", 0),
    ("CF233", "subset", ROLLOUT, f"{MAIN}.readinessProbe", {}),
    ("CF233", "subset", ROLLOUT, f"{MAIN}.readinessProbe.exec", {"command": ["true"]}),
    ("CF233", "subset", ROLLOUT, f"{MAIN}.readinessProbe.httpGet.port", "web"),
    ("CF233", "subset", ROLLOUT, f"{MAIN}.readinessProbe.httpGet.port", 0),
    ("CF233", "subset", ROLLOUT, f"{MAIN}.readinessProbe.httpGet.port", REMOVE),
    ("CF233", "subset", ROLLOUT, f"{MAIN}.readinessProbe.periodSeconds", -1),
    ("CF233", "subset", ROLLOUT, f"{MAIN}.livenessProbe.successThreshold", 2),
    ("CF233", "subset", ROLLOUT, f"{MAIN}.startupProbe.exec", {}),
    ("CF233", "subset", ROLLOUT, f"{POD}.initContainers.0.readinessProbe", {"tcpSocket": {"port": 1}}),
    ("CF234", "subset", "AnalysisRun", "spec.metrics", []),
    ("CF234", "subset", BACKGROUND, "spec.metrics", REMOVE),
    ("CF234", "subset", BACKGROUND, f"{METRIC}.name", ""),
    ("CF234", "subset", BACKGROUND, "spec.metrics", lambda old: old * 2),
    ("CF234", "subset", ROLLOUT, f"{CANARY}.analysis.templates", []),
    ("CF235", "subset", BACKGROUND, f"{METRIC}.failureLimit", -2),
    ("CF235", "subset", BACKGROUND, f"{METRIC}.failureLimit", -1),
    ("CF235", "subset", BACKGROUND, f"{METRIC}.failureLimit", "many"),
    ("CF235", "subset", BACKGROUND, f"{METRIC}.inconclusiveLimit", -1),
    ("CF235", "subset", BACKGROUND, f"{METRIC}.consecutiveErrorLimit", "-1"),
    ("CF235", "subset", BACKGROUND, f"{METRIC}.consecutiveSuccessLimit", -1),
    ("CF235", "subset", "AnalysisRun", f"{METRIC}.count", -1),
    ("CF236", "subset", STEP_TEMPLATE, "spec.metrics.1.failureLimit", 4),
    ("CF236", "subset", STEP_TEMPLATE, "spec.metrics.1.failureLimit", "4"),
    ("CF236", "subset", STEP_TEMPLATE, "spec.metrics.1.inconclusiveLimit", 6),
    ("CF236", "subset", STEP_TEMPLATE, "spec.args.3.value", "2"),
    ("CF236", "subset", ROLLOUT, f"{STEPS}.9.analysis.args", add({"name": "count", "value": "2"})),
    ("CF236", "subset", STEP_TEMPLATE, f"{METRIC}.failureLimit", 5),
    ("CF236", "subset", STEP_TEMPLATE, f"{METRIC}.inconclusiveLimit", 5),
    ("CF236", "subset", STEP_TEMPLATE, "spec.metrics.2.failureLimit", 1),
    ("CF237", "subset", BACKGROUND, f"{METRIC}.interval", "1d"),
    ("CF237", "subset", BACKGROUND, f"{METRIC}.interval", "0s"),
    ("CF237", "subset", BACKGROUND, f"{METRIC}.initialDelay", "soon"),
    ("CF237", "subset", BACKGROUND, f"{METRIC}.initialDelay", "-1s"),
    ("CF237", "subset", STEP_TEMPLATE, f"{METRIC}.interval", REMOVE),
    ("CF238", "subset", STEP_TEMPLATE, "spec.metrics.2.provider", {}),
    ("CF238", "subset", STEP_TEMPLATE, "spec.metrics.2.provider", REMOVE),
    ("CF238", "subset", STEP_TEMPLATE, "spec.metrics.2.provider", {"Job": {}}),
    ("CF238", "subset", STEP_TEMPLATE, "spec.metrics.2.provider.kayenta", {}),
    ("CF238+CF241", "subset", STEP_TEMPLATE, "spec.metrics.2.provider", {"plugin": {"a": {}, "b": {}}}),
    ("CF239", "subset", STEP_TEMPLATE, f"{METRIC}.count", REMOVE),
    ("CF239+CF246", "subset", STEP_TEMPLATE, "spec.args.3.value", REMOVE),
    ("CF239", "blueGreen", STEP_TEMPLATE, f"{METRIC}.count", 0),
    ("CF239", "subset", "AnalysisRun", f"{METRIC}.count", REMOVE),
    ("CF240", "subset", BACKGROUND, f"{METRIC}.count", 10000),
    ("CF240", "subset", BACKGROUND, f"{METRIC}.consecutiveSuccessLimit", 3),
    ("CF240+CF236", "subset", BACKGROUND, f"{METRIC}.interval", REMOVE),
    ("CF241", "subset", BACKGROUND, f"{METRIC}.successCondition", REMOVE),
    ("CF241", "subset", BACKGROUND, f"{METRIC}.failureCondition", REMOVE),
    ("CF241", "subset", STEP_TEMPLATE, "spec.metrics.2.provider", {"web": {"url": "http://a.b"}}),
    ("CF242", "subset", "AnalysisRun", f"{PROMETHEUS}.address", "prometheus:9090"),
    ("CF242", "subset", "AnalysisRun", f"{PROMETHEUS}.address", "http://"),
    ("CF242", "subset", "AnalysisRun", f"{PROMETHEUS}.address", REMOVE),
    ("CF242", "subset", "AnalysisRun", "spec.args.0.value", "prometheus.monitoring"),
    ("CF242", "subset", "AnalysisRun", f"{PROMETHEUS}.query", " "),
    ("CF242", "subset", "AnalysisRun", f"{PROMETHEUS}.timeout", 0),
    ("CF242", "subset", ROLLOUT, f"{CANARY}.analysis.args", [{"name": "address", "value": "prometheus"}]),
    ("CF243", "subset", BACKGROUND, f"{METRIC}.successCondition", "result[0] < 1"),
    ("CF243", "subset", BACKGROUND, f"{METRIC}.failureCondition", "result[0] > 1 && len(result) > 0"),
    ("CF243", "subset", BACKGROUND, f"{METRIC}.successCondition", "all(result, # < 1)"),
    ("CF243", "subset", BACKGROUND, f"{METRIC}.successCondition", '"len(result)" != "" && result[0] < 1'),
    *(
        ("CF244", "subset", BACKGROUND, f"{METRIC}.failureCondition", text)
        for text in ("(false", "false)", "len(result] > 0", "'a == 1", "len(result) = 0", " ")
    ),
    ("CF245", "subset", BACKGROUND, f"{PROMETHEUS}.query", "up{a='{{args.other}}'}"),
    ("CF245", "subset", BACKGROUND, f"{PROMETHEUS}.query", "up{a='{{address}}'}"),
    ("CF245", "subset", BACKGROUND, f"{PROMETHEUS}.query", "up{{"),
    ("CF245", "subset", STEP_TEMPLATE, f"{PROMETHEUS}.query", "up{a='{{args.other}}'}"),
    ("CF245", "subset", "AnalysisRun", f"{PROMETHEUS}.query", "up{a='{{args.other}}'}"),
    ("CF245", "subset", STEP_TEMPLATE, "spec.metrics.2.provider.job.spec", {"{{args.a}}": 1}),
    ("CF246", "subset", BACKGROUND, "spec.args", add({"name": "other"})),
    ("CF246", "subset", STEP_TEMPLATE, "spec.args", add({"name": "other"})),
    ("CF246", "subset", "AnalysisRun", "spec.args", add({"name": "other"})),
    ("CF247", "subset", ROLLOUT, f"{CANARY}.analysis.args", [{"name": "other", "value": "x"}]),
    ("CF248", "subset", BACKGROUND, "spec.args", add({"name": "address", "value": "http://other"})),
    ("CF248", "subset", BACKGROUND, "spec.args", add({"name": "a", "value": "x", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}})),
    ("CF248", "subset", BACKGROUND, "spec.templates", [{"templateName": "assistant-background"}]),
    ("CF249", "subset", BACKGROUND, "spec.dryRun", [{"metricName": "^other$"}]),
    ("CF249", "subset", BACKGROUND, "spec.dryRun", [{"metricName": "error"}]),
    ("CF249", "subset", BACKGROUND, "spec.dryRun", [{"metricName": "("}]),
    ("CF249", "subset", BACKGROUND, "spec.dryRun", [{"metricName": "^(?=e).*$"}]),
    ("CF249", "subset", BACKGROUND, "spec.dryRun", [{}]),
    ("CF249", "subset", BACKGROUND, "spec.measurementRetention", [{"metricName": "^error-rate-background$", "limit": 0}]),
    ("CF249", "subset", "AnalysisRun", "spec.measurementRetention", [{"metricName": "^bake$", "limit": 5}] * 2),
    ("CF249", "subset", "AnalysisRun", "spec.measurementRetention", [{"metricName": "^ba|ke$", "limit": 5}]),
    ("CF249", "subset", ROLLOUT, f"{STEPS}.9.analysis.dryRun", [{"metricName": "^latency$"}]),
    ("CF250", "subset", ROLLOUT, f"{CANARY}.stableService", "assistant-stabl"),
    ("CF250", "subset", ROLLOUT, f"{CANARY}.analysis.templates.0.templateName", "other"),
    ("CF250", "subset", ROLLOUT, f"{CANARY}.analysis.templates.0.clusterScope", True),
    ("CF250", "subset", ROLLOUT, f"{ISTIO}.virtualService.name", "other"),
    ("CF250", "subset", ROLLOUT, f"{ISTIO}.virtualService.name", "assistant.elsewhere"),
    ("CF250", "subset", ROLLOUT, f"{ISTIO}.destinationRule.name", "other"),
    ("CF250", "subset", RULE, "metadata.namespace", "istio-system"),
    ("CF250", "subset", "ConfigMap", "metadata.name", "assistant-prompts-ba9876543210"),
    ("CF250", "subset", ROLLOUT, f"{POD}.volumes.0.configMap.name", "assistant-prompts-old"),
    ("CF250", "subset", ROLLOUT, f"{POD}.volumes.0.configMap.items.0.key", "user.md"),
    ("CF250", "subset", ROLLOUT, f"{POD}.volumes", add({"name": "p", "projected": {"sources": [{"configMap": {"name": "x-" + "a" * 12}}]}})),
    ("CF250", "subset", ROLLOUT, f"{MAIN}.envFrom.0.configMapRef", {"name": "x-" + "a" * 12}),
    ("CF250", "subset", "Service/assistant", "metadata.name", "another"),
    ("CF250", "subset", ROLLOUT, STEPS, add({"experiment": {"analyses": [{"templateName": "none"}]}})),
    ("CF251", "subset", "Service/assistant-stable", "spec.selector", {"app": "assistant"}),
    ("CF251", "subset", "Service/assistant", "spec.selector.version", "r-2"),
    ("CF252", "subset", "Service/assistant-stable", "metadata.annotations", {"argo-rollouts.argoproj.io/managed-by-rollouts": "other"}),
    ("CF253", "subset", ROLLOUT, f"{ISTIO}.virtualServices", [ROUTES]),
    ("CF253", "subset", ROLLOUT, f"{ISTIO}.virtualService", REMOVE),
    ("CF253", "subset", ROLLOUT, f"{ISTIO}.virtualService.routes", REMOVE),
    ("CF253", "subset", ROLLOUT, f"{ISTIO}.virtualService.routes", add("other")),
    ("CF253", "subset", ROLLOUT, f"{ISTIO}.virtualService.routes", add("assistant-primary")),
    ("CF253", "subset", VS, "spec.http", add({"route": [{"destination": {"host": "x"}}]})),
    ("CF253+CF257", "subset", VS, "spec.http", add({"name": "assistant-newcomer", "redirect": {"uri": "/"}})),
    ("CF254", "subset", VS, "spec.http.0.route.1.weight", 10),
    ("CF254", "subset", VS, "spec.http.0.route.0.weight", REMOVE),
    ("CF254", "subset", VS, "spec.http.0.route", lambda old: [old[0] | {"weight": 50}, old[1] | {"weight": 50}]),
    ("CF254", "subset", VS, "spec.http.1.route", lambda old: old * 2),
    ("CF254", "subset", VS, "spec.http.0.route.1.destination.port.number", 81),
    ("CF254", "subset", VS, "spec.http.0.route.1.destination.port", REMOVE),
    ("CF254", "host", VS, "spec.http.0.route.1.destination.host", "assistant-stable"),
    ("CF254", "host", VS, "spec.http.0.route.1.destination.host", f"assistant-canary.{NAMESPACE}"),
    ("CF254", "host", VS, "spec.http.0.route.1.destination.host", "assistant-canary.other.svc.cluster.local"),
    ("CF254", "host", VS, "spec.http.0.route", add(EXTRA)),
    ("CF255", "subset", VS, "spec.tcp", []),
    ("CF255", "subset", VS, "spec.tcp", [{"route": [{"destination": {"host": "assistant"}}]}]),
    ("CF255", "subset", VS, "spec.tls", [{"route": []}, {"route": []}]),
    ("CF255", "subset", ROLLOUT, f"{ISTIO}.virtualService.tcpRoutes", [{"port": 9000}]),
    ("CF256", "subset", ROLLOUT, f"{ISTIO}.destinationRule.canarySubsetName", "stable"),
    ("CF256", "subset", RULE, "spec.subsets", add({"name": "debug"})),
    ("CF256", "subset", RULE, "spec.subsets", lambda old: old[:1]),
    ("CF256", "subset", RULE, "spec.subsets", lambda old: [*old, old[0]]),
    ("CF256", "subset", RULE, "spec.subsets.0.labels", merge(**{"rollouts-pod-template-hash": "abc"})),
    ("CF256", "subset", RULE, "spec.host", "assistant-stable"),
    ("CF256", "subset", RULE, "spec.host", REMOVE),
    ("CF257+CF254", "subset", VS, "spec.http.0.route", lambda old: old[:1]),
    ("CF257", "subset", "EnvoyFilter", "spec.configPatches.0.match", {"context": "GATEWAY"}),
    ("CF257", "subset", "EnvoyFilter", "spec.configPatches.0.match.routeConfiguration.vhost.route.name", "assistant-header"),
    ("CF258", "subset", ROLLOUT, f"{CANARY}.stableService", REMOVE),
    ("CF259", "subset", "HorizontalPodAutoscaler", "spec.scaleTargetRef", {"apiVersion": "apps/v1", "kind": "Deployment", "name": "assistant"}),
    ("CF259", "adopted", "HorizontalPodAutoscaler", "spec.scaleTargetRef", {"apiVersion": "apps/v1", "kind": "Deployment", "name": "assistant-old"}),
    ("CF259", "subset", "HorizontalPodAutoscaler", "spec.scaleTargetRef.apiVersion", "apps/v1"),
    ("CF259", "subset", "HorizontalPodAutoscaler", "spec.scaleTargetRef.name", "other"),
]  # fmt: skip


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


@pytest.mark.parametrize(
    ("expected", "fixture", "target", "path", "value"), MUTATIONS, ids=[f"{m[0]}-{i}" for i, m in enumerate(MUTATIONS)]
)
def test_a_mutation_is_found(expected: str, fixture: str, target: str, path: str, value: Any) -> None:
    objects = VALID[fixture]()
    mutate(objects, target, path, value)
    found = validate(objects)
    assert codes(found) == set(expected.split("+")), explain(found)


def test_every_code_is_tested() -> None:
    tested = {code for mutation in MUTATIONS for code in mutation[0].split("+")}
    assert tested | {"CF203"} == set(CODES)
    assert list(CODES) == sorted(CODES)


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


def two_templates(first: Objects, second: Objects, metrics: Objects, background: bool = True) -> Objects:
    """Two templates in one analysis, with their arguments; the second with these metrics."""
    objects = subset_split()
    if background:
        mutate(objects, BACKGROUND, "spec.args", first)
    objects.append(template("assistant-more", metrics, second))
    place = f"{CANARY}.analysis" if background else f"{STEPS}.9.analysis"
    mutate(objects, ROLLOUT, f"{place}.templates", add({"templateName": "assistant-more"}))
    return objects


def test_templates_of_one_analysis() -> None:
    other = metric("other")
    assert validate(two_templates([address()], [address()], [other])) == []
    # the same metric, or another default
    found = validate(two_templates([address()], [address()], [metric("error-rate-background")]))
    assert codes(found) == {"CF248"}, explain(found)
    found = validate(two_templates([address()], [{"name": "address", "value": "http://other"}], [other]))
    assert codes(found) == {"CF248"}, explain(found)
    # in the background another template's argument will do, but its default does not count
    assert validate(two_templates([address()], [], [other])) == []
    found = validate(two_templates([address()], [{"name": "address"}], [other]))
    assert codes(found) == {"CF246"}, explain(found)
    # in a step a template stands alone
    found = validate(two_templates([], [], [metric("other", count=5)], background=False))
    assert codes(found) == {"CF245"}, explain(found)
    assert {one.name for one in found} == {"assistant-more"}


def test_a_template_that_nobody_uses_is_checked_too() -> None:
    unused = template("unused", [metric("other")], [])
    assert codes(validate([*subset_split(), unused])) == {"CF245"}


def test_nested_and_cluster_templates() -> None:
    objects = subset_split()
    shared = template("shared", [metric("shared")], [address()]) | {"kind": "ClusterAnalysisTemplate"}
    del shared["metadata"]["namespace"]
    mutate(objects, BACKGROUND, "spec.templates", [{"templateName": "shared", "clusterScope": True}])
    assert codes(validate(objects)) == {"CF250"}
    assert validate([*objects, shared]) == []
    mutate([shared], "ClusterAnalysisTemplate", f"{METRIC}.count", 5)
    assert codes(validate([*objects, shared])) == {"CF240"}


def test_dry_run_rules_of_a_step_meet_those_of_every_template() -> None:
    objects = subset_split()
    mutate(objects, ROLLOUT, f"{STEPS}.9.analysis.dryRun", [{"metricName": "^error-rate.*$"}])
    assert validate(objects) == []
    mutate(objects, BACKGROUND, "spec.dryRun", [{"metricName": "^error-rate.*$"}])
    assert codes(validate(objects)) == {"CF249"}


def test_a_finite_metric_in_the_background_may_be_dry() -> None:
    objects = subset_split()
    mutate(objects, BACKGROUND, "spec.metrics", add(metric("once", count=5)))
    assert codes(validate(objects)) == {"CF240"}
    mutate(objects, BACKGROUND, "spec.dryRun", [{"metricName": "^once$"}])
    assert validate(objects) == []


def test_conditions_that_are_fine() -> None:
    for condition in (
        "len(result) == 0 || result[0] < 1",
        "!(len(result) > 0) ? false : result[0] < 1",
        "len( result ) >= 1 && all(result, # < 1)",
        "isNaN(default(result, 0)) && '(' != \"[\" /* ) */",
        "let x = len(result) > 0 ? result[0] : 0; x < 1",
        "len(result) > 0 && result[0] < {{args.limit}}",
    ):
        objects = subset_split()
        mutate(objects, BACKGROUND, "spec.args", add({"name": "limit", "value": "1"}))
        mutate(objects, BACKGROUND, f"{METRIC}.failureCondition", condition)
        assert validate(objects) == [], condition


def test_an_address_from_a_secret_is_not_known() -> None:
    objects = subset_split()
    secret = {"secretKeyRef": {"name": "prometheus", "key": "address"}}
    mutate(objects, BACKGROUND, "spec.args", [{"name": "address", "valueFrom": secret}])
    assert validate(objects) == []


def test_fields_that_can_be_given() -> None:
    fields = ("metadata.name", "metadata.labels['app.kubernetes.io/name']", "metadata.annotations['x']", "status.phase",
              "spec.template.spec.containers[0].image", "spec.revisionHistoryLimit")  # fmt: skip
    for field in fields:
        objects = subset_split()
        mutate(objects, ROLLOUT, f"{STEPS}.9.analysis.args.0.valueFrom", {"fieldRef": {"fieldPath": field}})
        assert validate(objects) == [], field


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


@pytest.mark.parametrize(
    "step",
    [
        {"pause": {"duration": "1h30m"}},
        {"pause": {"duration": "1.5h"}},
        {"pause": {"duration": "90"}},
        {"setWeight": 5},
        {"setCanaryScale": {"weight": 5, "matchTrafficWeight": False}},
        {"experiment": {"analyses": [{"name": "a", "templateName": "assistant-steps"}]}},
        {"plugin": {"name": "org/step"}},
        {"setHeaderRoute": {"name": "assistant-header"}},
    ],
)
def test_steps_that_are_fine(step: Object) -> None:
    objects = subset_split()
    mutate(objects, ROLLOUT, STEPS, add(step))
    assert validate(objects) == []


def test_the_weight_may_go_down_once_the_routes_are_gone() -> None:
    objects = subset_split()
    mutate(objects, ROLLOUT, STEPS, add({"setWeight": 0}))
    assert codes(validate(objects)) == {"CF224"}
    mutate(objects, ROLLOUT, STEPS, lambda old: [*old[:-1], {"setHeaderRoute": {"name": "assistant-header"}}, old[-1]])
    assert validate(objects) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("-0", 0), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), (".5s", 0.5), ("1.s", 1), ("+2m", 120), ("-2m", -120),
     ("1ms", 0.001), ("1µs", 1e-6), ("1μs", 1e-6), ("3us", 3e-6), ("5m1h", 3900), ("", None), ("1", None), ("1d", None),
     ("s", None), (".s", None), ("1 s", None), ("1S", None), ("1h-5m", None), ("1e3s", None), ("2562048h", None), ("1s\n", None)],
)  # fmt: skip
def test_go_durations(text: str, seconds: float | None) -> None:
    found = go_seconds(text)
    assert (None if found is None else float(found)) == (None if seconds is None else pytest.approx(seconds))


def test_violations_are_stable_and_say_what_is_wrong() -> None:
    for mutation in MUTATIONS:
        objects = VALID[mutation[1]]()
        mutate(objects, *mutation[2:])
        before = copy.deepcopy(objects)
        found = validate(objects)
        assert objects == before
        assert found == validate(objects)
        for one in found:
            assert one.code in CODES
            assert one.message, one
            assert all(isinstance(step, (str, int)) for step in one.path)


def test_each_rule_says_what_it_is() -> None:
    for rule in {*EVERY_KIND, *(rule for rules in RULES.values() for rule in rules)}:
        assert (rule.__doc__ or "").strip(), rule


# Whatever the data: no exception. Values at random places of valid objects are replaced by anything.

JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from(["", "{{", "{{args.x}}", "result[0]", "(", "1d", "^a$", "^(", "24Gi", "10%", "a.b", 10**30, -1, 101]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=4), st.sampled_from(["name", "exact", "route", "args"]), st.integers()), inner, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a value."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, (dict, list)):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            found.append((value, key))
            found += places(one)
    return found


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_no_shape_of_data_raises(data: st.DataObject) -> None:
    objects = VALID[data.draw(st.sampled_from(sorted(VALID)))]()
    for _ in range(data.draw(st.integers(1, 4))):
        spots = places(objects)
        if not spots:
            break
        container, key = spots[data.draw(st.integers(0, len(spots) - 1))]
        if data.draw(st.booleans()):
            container[key] = data.draw(JUNK)
        else:
            container.pop(key)
    for one in validate(objects):
        assert one.code in CODES
        hash(one)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(JUNK, st.fixed_dictionaries({"kind": st.sampled_from(sorted(RULES)), "spec": JUNK})), max_size=4))
def test_no_objects_raise(objects: list[Any]) -> None:
    validate(objects)
