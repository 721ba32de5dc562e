"""Valid specs over the whole model, on fleets of one to eight clusters, as the plain data that YAML holds."""

from typing import Any

from generated import Data, Generated
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

API = {"apiVersion": "canaryfleet.dev/v1alpha1"}
NAMES = ("ap-1", "eu-1", "eu-2", "eu-3.b", "sa-1", "us-1", "us-2", "us-3")
REGIONS, TIERS = ("ap", "eu", "us"), ("core", "edge")
IMAGES = tuple(f"registry.example/{name}@sha256:{digit * 64}" for name, digit in (("a", "0"), ("b", "1")))
BASE_ADDRESS = "http://prometheus.example:9090"
SERIES_LABELS = ({"cluster": "$(cluster.name)"}, {"env": "prod", "cluster": "eu/$(cluster.name)"}, {})


def maybe(strategies: dict[str, SearchStrategy[Any]]) -> SearchStrategy[Data]:
    """Any subset of these fields."""
    return st.fixed_dictionaries({}, optional=strategies)


def some(*values: Any) -> SearchStrategy[Any]:
    """One of these values."""
    return st.sampled_from(values)


# Fleets


@st.composite
def clusters(draw: DrawFn) -> dict[str, Data]:
    """One to eight clusters; the first is never retiring, so that there always is one."""
    names = draw(st.lists(some(*NAMES), min_size=1, max_size=8, unique=True))
    return {name: draw(_cluster(name, may_retire=index > 0)) for index, name in enumerate(sorted(names))}


@st.composite
def _cluster(draw: DrawFn, name: str, *, may_retire: bool) -> Data:
    labels = {"region": draw(some(*REGIONS)), "tier": draw(some(*TIERS))}
    more = maybe(
        {
            "capacity": some(0, 0.5, 1, 10, 40),
            "metrics": some({"prometheus": "https://thanos.$(cluster.domain)"}),
            "lifecycle": some("active", "active", "retiring") if may_retire else some("active"),
        }
    )
    variables = {"domain": f"{name}.example", "size": draw(some("1Gi", "2Gi"))}
    return {
        **API,
        "kind": "Cluster",
        "metadata": {"name": name, "labels": labels},
        "variables": variables,
    } | draw(more)


def fleets() -> SearchStrategy[Data]:
    """Settings of a repository."""
    selector = 'ns="$(namespace)",pod=~"$(rollout)-$(hash)-.+"'
    more = {"selector": some(selector), "labels": some(*SERIES_LABELS)}
    metrics = st.fixed_dictionaries({"prometheus": some(BASE_ADDRESS)}, optional=more)
    return st.fixed_dictionaries(
        {
            "apiVersion": some(API["apiVersion"]),
            "kind": some("Fleet"),
            "metadata": some({"name": "f"}),
            "metrics": metrics,
        },
        optional={"labels": some({"team": "ai"}, {"app.kubernetes.io/part-of": "x"})},
    )


# Workloads

PROBES = some(
    {"path": "/health"},
    {"grpc": True, "period": "3s"},
    {"tcp": True, "port": 9000},
    {"command": ["/bin/true"], "failures": 5, "timeout": "1s"},
)
VALUES = some(
    "plain",
    "",
    "yes",
    "0123",
    "$(cluster.name)",
    "$(cluster.labels.region)-$(cluster.size)",
    "$(HOST)",
    "a: b\n# c\n",
)
ENV = st.dictionaries(
    some("MODE", "LEVEL", "HOST", "with.dot"),
    VALUES | some({"secret": "api", "key": "k"}, {"configMap": "flags"}, {"field": "status.podIP"}),
    max_size=3,
)
RESOURCES = maybe(
    {
        "limits": some({"memory": "4Gi"}, {"nvidia.com/gpu": 1, "memory": "24Gi"}, {"cpu": 1.5}),
        "requests": some({"cpu": "500m"}, {"memory": "1Gi", "cpu": 1}),
    }
)
MODELS = some(
    {"name": "m", "version": "2026-11-01"},
    {"name": "m", "version": "118", "uri": "s3://m/118"},
    {"name": "m", "version": "latest", "checksum": "sha256:" + "c" * 64},
)
FILES = {
    "prompts/system.md": "Be helpful.\n\ttab `{{x}}` $(cluster.name)\n",
    "prompts/more.md": "“non-ASCII”, no newline at the end",
    "config/tools.json": '{"tools": []}\n',
    "config/empty": "",
}
EVERY_WORKLOAD: dict[str, SearchStrategy[Any]] = {
    "env": ENV,
    "resources": RESOURCES,
    "model": MODELS,
    "prompts": some(["prompts/system.md"], ["prompts/system.md", "prompts/more.md"]),
    "config": some(["config/tools.json"], ["config/empty", "config/tools.json"]),
    "promptsDir": some("/srv/prompts"),
    "startup": some("90s", "12m"),
    "drain": some("30s", "2m"),
    "disruption": some(None, 0, 2, "25%"),
}
AUTOSCALER = st.fixed_dictionaries({"min": some(1, 3), "max": some(4, 9)}, optional={"cpu": some("60%")})


def image_workloads() -> SearchStrategy[Data]:
    """Workloads from an image."""
    scale = st.one_of(
        some({}),
        st.fixed_dictionaries({"replicas": some(0, 1, 6)}),
        st.fixed_dictionaries({"autoscaler": AUTOSCALER}),
    )
    more = maybe(
        EVERY_WORKLOAD
        | {
            "port": some(8080, 9000),
            "ports": some({"metrics": 9090}),
            "command": some(["/bin/server"]),
            "args": some(["--name", "$(cluster.name)"], ["--model", "$(MODEL_NAME)"], ["x"]),
            "serviceAccount": some("runner"),
            "imagePullSecrets": some(["pull"]),
            "labels": some({"team": "ai"}),
            "annotations": some({"note": "on"}),
            "nodeSelector": some({"pool": "gpu"}),
            "tolerations": some([{"key": "nvidia.com/gpu", "operator": "Exists"}]),
            "volumes": some([{"name": "shm", "mountPath": "/dev/shm", "source": {"emptyDir": {}}}]),
            "readiness": PROBES,
            "liveness": PROBES,
        }
    )
    return st.builds(lambda image, size, rest: {"image": image} | size | rest, some(*IMAGES), scale, more)


@st.composite
def base_workloads(draw: DrawFn, app: str) -> tuple[Data, list[Data]]:
    """A workload from a base, and what kustomize made of that base."""
    name = draw(some(app, f"{app}-server"))
    workload: Data = {"base": "./base"} | draw(maybe(EVERY_WORKLOAD | {"replicas": some(2)}))
    server: Data = {
        "name": "server",
        "image": draw(some(*IMAGES)),
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    pod: Data = {"containers": [server]}
    objects = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
            }
            | draw(maybe({"replicas": some(0, 4), "minReadySeconds": some(7)})),
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "selector": {"app": name},
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            },
        },
    ]
    if draw(st.booleans()):
        server["env"] = [
            {"name": "MODE", "value": "base"},
            {"name": "MODEL_NAME", "value": "base"},
            {"name": "URL", "value": "http://$(MODE)"},
        ]
    if draw(st.booleans()):
        pod["containers"].insert(0, {"name": "sidecar", "image": IMAGES[0]})
        workload["container"] = "server"
    if draw(st.booleans()):
        server["envFrom"] = [
            {"configMapRef": {"name": f"{app}-settings"}},
            {"secretRef": {"name": f"{app}-api"}},
        ]
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"{app}-settings"},
                "data": {"a": "b"},
            }
        )
        objects.append(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{app}-api"}, "data": {"k": "YQ=="}}
        )
    if draw(st.booleans()):
        objects.append(_other_deployment(app))
        workload["deployment"] = name
    if "replicas" not in workload and draw(st.booleans()):
        objects.append(_scaler(name))
    elif draw(st.booleans()):
        workload["adopt"] = True
    return workload, draw(st.permutations(objects))


def _other_deployment(app: str) -> Data:
    labels = {"app": f"{app}-worker"}
    pod = {
        "containers": [
            {"name": "worker", "image": IMAGES[1], "envFrom": [{"configMapRef": {"name": f"{app}-settings"}}]}
        ]
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{app}-worker"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def _scaler(deployment: str) -> Data:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": deployment},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
            "minReplicas": 2,
            "maxReplicas": 8,
        },
    }


# Exposure

DURATIONS = some("30s", "10m", "1h30m", "1d", "manual")
MATCHES = some("internal", {"prefix": "beta-"}, {"regex": "[a-f]+"}, {"exact": "1; x"})
SCALES = some({"replicas": 3}, {"weight": "25%"})


def _routes(kind: str, *names: str) -> SearchStrategy[Data]:
    route = st.dictionaries(some(*names), MATCHES, max_size=1)
    return st.fixed_dictionaries({kind: route}, optional={"for": DURATIONS, "scale": SCALES})


WEIGHT = {"weight": some("1%", "5%", "33%", "50%", "99%", "100%")}
WEIGHTS = st.fixed_dictionaries(WEIGHT, optional={"for": DURATIONS})
LASTING = st.fixed_dictionaries(WEIGHT | {"for": DURATIONS})
ROUTES = _routes("header", "x-group", "X-User") | _routes("cookie", "tester", "a.b")
MIRRORS = st.fixed_dictionaries(
    {"mirror": some("1%", "10%", "100%"), "for": DURATIONS}, optional={"scale": SCALES}
)
EVERY_EXPOSURE: dict[str, SearchStrategy[Any]] = {
    "protocol": some("http", "http2", "grpc"),
    "timeout": some("0", "90s"),
    "retries": some({"attempts": 2, "perTryTimeout": "5s", "retryOn": "connect-failure"}, {"attempts": 1}),
}
OUTSIDE = some(
    {},
    {"hosts": ["a.$(cluster.domain)"], "gateways": ["istio-ingress/public"]},
    {"hosts": ["a.example", "*.b.example"], "gateways": ["g/$(cluster.labels.region)", "g/h"]},
)


@st.composite
def exposures(draw: DrawFn, app: str, *, adopting: bool) -> Data:
    """Canaries with steps of all kinds, and blue-green."""
    exposure: Data = draw(maybe(EVERY_EXPOSURE)) | draw(OUTSIDE)
    exposure = {key: _own_hosts(value, app) if key == "hosts" else value for key, value in exposure.items()}
    if not adopting and draw(some(False, False, False, True)):
        blue = maybe(
            {
                "promoteAfter": some("0", "5m", "manual"),
                "observe": some("10m"),
                "previewReplicas": some(2),
                "previewHosts": some([f"preview.{app}.$(cluster.domain)"]),
            }
        )
        return exposure | {"blueGreen": draw(blue)}
    exposure |= draw(
        maybe(
            {"split": some("subset", "subset" if adopting else "host"), "dynamicStableScale": st.booleans()}
        )
    )
    sticky = draw(
        some({}, {}, {"cookie": "session", "maxAge": "7d", "secure": False}, {"header": "X-User-Id"})
    )
    before = draw(st.lists(ROUTES | MIRRORS, max_size=3))
    after = draw(st.lists(ROUTES | WEIGHTS | (WEIGHTS if "cookie" in sticky else MIRRORS), max_size=3))
    steps = [*before, draw(LASTING), *after] if draw(some(True, True, True, False)) else before
    if any("mirror" in step for step in steps):
        exposure["idempotent"] = True
    return exposure | ({"sticky": sticky} if sticky else {}) | ({"steps": steps} if steps else {})


def _own_hosts(hosts: list[str], app: str) -> list[str]:
    return [
        host.replace("a.", f"{app}.") if host.startswith("a.") else host.replace("b.", f"{app}-b.")
        for host in hosts
    ]


# Analysis

LOWER = (("promoteBelow", "rollbackAbove"), 1)
HIGHER = (("promoteAbove", "rollbackBelow"), -1)
PRESETS = {
    "istio/error-rate": (LOWER, "%"),
    "istio/success-rate": (HIGHER, "%"),
    "istio/latency": (LOWER, "ms"),
    "istio/requests-per-second": (HIGHER, ""),
    "vllm/time-to-first-token": (LOWER, "s"),
    "vllm/error-rate": (LOWER, "%"),
    "vllm/tokens-per-second": (HIGHER, ""),
    "vllm/queue": (LOWER, ""),
}
QUANTILES = ("istio/latency", "vllm/time-to-first-token")
QUERIES = (
    {"query": "sum(rate(x{$(selector)}[$(window)]))", "samples": "sum(increase(n{$(selector)}[$(window)]))"},
    {"query": 'max(psi{app="$(app)",c="$(cluster.name)"})', "minimumSamples": 0},
)
WITH_SECRET = {
    "web": {
        "url": "https://q.example",
        "headers": [{"key": "A", "value": "$(secret.t)"}],
        "jsonPath": "{$.v}",
    }
}
PROVIDERS: tuple[Data, ...] = (
    {"provider": {"web": {"url": "https://q.example/$(cluster.name)", "jsonPath": "{$.v}"}}},
    {"provider": WITH_SECRET, "secrets": {"t": {"secret": "q", "key": "t"}}},
    {"provider": WITH_SECRET, "secrets": {"t": {"secret": "other", "key": "t"}}},
    {"provider": {"datadog": {"interval": "5m", "query": "avg:x{*}"}}},
    {"provider": {"newRelic": {"query": "SELECT 1"}}, "value": "result.seconds"},
    {"provider": {"wavefront": {"address": "w.example", "query": "ts(x)"}}},
    {
        "provider": {
            "cloudWatch": {"interval": "30m", "metricDataQueries": [{"id": "a", "expression": "b / c"}]}
        }
    },
    {"provider": {"graphite": {"address": "http://g.example", "query": "x"}}},
    {"provider": {"influxdb": {"query": "x"}}},
    {"provider": {"skywalking": {"address": "http://s.example", "query": "q"}}, "value": "asFloat(result.v)"},
    {"provider": {"plugin": {"acme/judge": {"a": 1}}}, "value": "asFloat(result.score)"},
)
JUDGES: tuple[Data, ...] = (
    {
        "provider": {
            "job": {
                "spec": {
                    "backoffLimit": 0,
                    "template": {
                        "spec": {"restartPolicy": "Never", "containers": [{"name": "j", "image": IMAGES[0]}]}
                    },
                }
            }
        }
    },
)
LIMITS = maybe(
    {
        "interval": some("30s", "2m"),
        "count": some(1, 5),
        "failureLimit": some(0, 2),
        "consecutiveErrorLimit": some(0, 9),
        "consecutiveSuccessLimit": some(1, 3),
    }
)


@st.composite
def _thresholds(draw: DrawFn, unit: str, direction: tuple[tuple[str, str], int]) -> Data:
    """Promote and rollback, or one of them; sometimes nothing lies between."""
    (promote, rollback), sign = direction
    first = draw(some(1, 5, 10))
    last = first + sign * draw(some(0, 3, 10) if sign > 0 else some(0, 1))
    both = {promote: f"{first}{unit}" if unit else first, rollback: f"{last}{unit}" if unit else last}
    kept = draw(some((promote, rollback), (promote, rollback), (promote,), (rollback,)))
    return {key: both[key] for key in kept}


@st.composite
def _preset(draw: DrawFn, during: tuple[str, ...]) -> Data:
    name = draw(some(*PRESETS))
    direction, unit = PRESETS[name]
    metric: Data = {"preset": name} | ({"quantile": 0.99} if name in QUANTILES else {})
    if name == "istio/error-rate" and "preview" not in during and draw(st.booleans()):
        return metric | draw(_tested())
    return metric | draw(_judged(unit, direction, during, compare=True))


@st.composite
def _tested(draw: DrawFn) -> Data:
    """A sequential test against the stable version, instead of thresholds."""
    test = draw(maybe({"alpha": some("0.5%", "5%"), "margin": some("20%")}))
    during: Data = draw(maybe({"during": some(["steps"], ["steps", "background"])}))
    return {"comparedTo": "stable", "test": test, "minimumSamples": 50} | during | draw(LIMITS)


@st.composite
def _judged(
    draw: DrawFn, unit: str, direction: tuple[tuple[str, str], int], during: tuple[str, ...], *, compare: bool
) -> Data:
    compared = compare and "preview" not in during and draw(some(False, False, True))
    if compared:
        unit = draw(some("%", "pp"))
    metric: Data = draw(_thresholds(unit, direction)) | draw(LIMITS)
    if compared:
        metric["comparedTo"] = "stable"
    rollback = direction[0][1] in metric
    possible = [
        stage
        for stage in during
        if (rollback or stage not in ("background", "bake")) and not (compared and stage == "bake")
    ]
    if draw(st.booleans()):
        metric["during"] = draw(st.lists(some(*possible), min_size=1, max_size=len(possible), unique=True))
    return metric


@st.composite
def _query(draw: DrawFn, during: tuple[str, ...]) -> Data:
    metric: Data = draw(some(*QUERIES))
    direction = draw(some(LOWER, HIGHER))
    return metric | draw(_judged(draw(some("", "%", "ms")), direction, during, compare="samples" in metric))


@st.composite
def _foreign(draw: DrawFn, during: tuple[str, ...]) -> Data:
    stages = tuple(stage for stage in during if stage != "bake")
    metric: Data = draw(some(*PROVIDERS))
    return metric | draw(_judged("", draw(some(LOWER, HIGHER)), stages, compare=False))


@st.composite
def analyses(draw: DrawFn, exposure: Data) -> Data:
    """Metrics of every provider, with or without each threshold, in every stage that makes sense."""
    analysis: Data = draw(maybe({"window": some("3m"), "minimumSamples": some(0, 300)})) | draw(LIMITS)
    weighted = any("weight" in step for step in exposure.get("steps", ()))
    if not weighted and "blueGreen" not in exposure:
        return analysis
    during = ("steps", "background", "bake", *(["preview"] if "blueGreen" in exposure else []))
    judges = some(*JUDGES).map(dict)
    kinds = (_preset(during), _preset(during), _query(during), _foreign(during), judges)
    metrics = draw(st.lists(st.one_of(*kinds), max_size=4))
    named = [metric | {"name": f"metric-{index}"} for index, metric in enumerate(metrics)]
    judging = {"steps", "preview"} | (set() if "blueGreen" in exposure else {"background"})
    if named and all(judging.isdisjoint(metric.get("during", ["steps"])) for metric in named):
        named[0].pop("during")  # a wave without a bake in which nothing is measured is refused
    return analysis | ({"metrics": named} if named else {})


def bakes(metric: Data) -> bool:
    """Whether a bake can measure it: with Prometheus, alone, against a rollback threshold."""
    return (
        "provider" not in metric
        and "comparedTo" not in metric
        and bool({"rollbackAbove", "rollbackBelow"} & set(metric))
        and "bake" in metric.get("during", ["bake"])
    )


# Waves and overrides

WINDOW = {"days": "Mon-Thu,Sat", "from": "09:00", "to": "16:00", "timezone": "Europe/Berlin"}


@st.composite
def waves(draw: DrawFn, names: list[str], *, baking: bool) -> list[Data]:
    """Up to four waves; the last takes the rest."""
    selected = st.one_of(
        st.fixed_dictionaries({"clusters": st.lists(some(*names), max_size=3, unique=True)}),
        st.fixed_dictionaries(
            {"selector": some({"region": "eu"}, {"tier": "edge"}, {"tier": "core", "region": "us"}, {})}
        ),
        st.fixed_dictionaries(
            {"share": some("1%", "10%", "33.3%", "50%", "100%")},
            optional={
                "of": some("clusters", "capacity"),
                "spreadOver": some("region", "nothing"),
                "seed": some("b"),
            },
        ),
    )
    chosen = [*draw(st.lists(selected, max_size=3)), {}]
    limits = maybe(
        {
            "maxConcurrency": some(1, 2, "25%"),
            "progressDeadline": some("6h"),
            "maxFailures": some(0, 1, "10%"),
            "approval": some("required"),
            "windows": some([WINDOW]),
        }
    )
    bake = some({}, {"minSuccessTime": "90s"}, {"minSuccessTime": "2d"}) if baking else some({})
    return [{"name": f"wave-{index}"} | wave | draw(limits) | draw(bake) for index, wave in enumerate(chosen)]


@st.composite
def overrides(draw: DrawFn, names: list[str], exposure: Data) -> list[Data]:
    """What is different on some clusters: frozen and live."""
    scope = st.one_of(
        some({}),
        st.fixed_dictionaries({"clusters": st.lists(some(*names), min_size=1, max_size=2, unique=True)}),
        st.fixed_dictionaries({"selector": some({"region": "eu"}, {"tier": "core"})}),
    )
    what = maybe(
        {
            "resources": RESOURCES,
            "env": st.dictionaries(some("MODE", "NEW"), some("o", "$(cluster.size)"), max_size=2),
            "nodeSelector": some({"example.com/pool": "a"}, {"zone": "z.1"}),
            "replicas": some(0, 7),
            "minReplicas": some(2),
            "maxReplicas": some(12),
            "metrics": some({"prometheus": "https://other.$(cluster.name).example"}),
        }
        | ({"hosts": some([], ["only.example"])} if exposure.get("gateways") else {})
        | {"gateways": some(["x/y"])}
    )
    return draw(st.lists(st.builds(lambda one, two: one | two, scope, what), max_size=3))


# All of it


@st.composite
def projects(draw: DrawFn, app: str = "chat") -> Generated:
    """One app on a fleet."""
    fleet, members = draw(fleets()), draw(clusters())
    names = sorted(members)
    base = None
    if draw(some(True, False)):
        workload = draw(image_workloads())
    else:
        workload, base = draw(base_workloads(app))
    exposure = draw(exposures(app, adopting="adopt" in workload))
    if "blueGreen" in exposure or exposure.get("split") == "host":
        workload.pop("adopt", None)
    analysis = draw(analyses(exposure))
    baking = any(map(bakes, analysis.get("metrics", ())))
    spec: Data = {
        **API,
        "kind": "Canary",
        "metadata": {"name": app, "namespace": draw(some("ai", "prod-1"))},
        "version": draw(some("1.0.0", "2026-11-01", "v1", "1e3", "0x1f", "007")),
        "workload": workload,
        "waves": draw(waves(names, baking=baking)),
    }
    sections: Data = {
        "exposure": exposure,
        "analysis": analysis,
        "overrides": draw(overrides(names, exposure)),
    }
    spec |= {key: value for key, value in sections.items() if value}
    spec |= draw(
        maybe(
            {
                "rollback": maybe({"automatic": st.booleans(), "revisions": some(0, 2), "history": some(4)}),
                "onNewRelease": some("replace"),
                "lifecycle": some("active", "retiring"),
            }
        )
    )
    if draw(some(False, False, True)):
        spec |= {"urgency": "hotfix", "hotfixWaves": draw(waves(names, baking=baking))}
    files = {path: FILES[path].encode() for kind in ("prompts", "config") for path in workload.get(kind, ())}
    return Generated(spec, base, files, fleet, members)
