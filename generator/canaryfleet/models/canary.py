"""The canary spec: what a person writes in `specs/<app>/canary.yaml`."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, field

from canaryfleet.models.base import (
    END,
    AbsolutePath,
    Addresses,
    ApiVersion,
    AppName,
    Checksum,
    Choice,
    ClusterName,
    Count,
    CountOrPercent,
    DataKey,
    DnsLabel,
    Duration,
    DurationOrManual,
    Gateway,
    HeaderName,
    Host,
    Image,
    Labels,
    MetricName,
    Model,
    MountPath,
    ObjectName,
    Percent,
    Port,
    Positive,
    PositiveDuration,
    Quantile,
    Text,
    Threshold,
    TokenName,
    WaveName,
    WordList,
)


class CanaryMetadata(Model, frozen=True, kw_only=True):
    """Which application this is. Name and namespace never change; a move is a new app."""

    name: Annotated[
        AppName,
        Meta(
            description="The app; the folder's name. Names the Rollout and its Service.",
            examples=["assistant"],
        ),
    ]
    namespace: Annotated[
        DnsLabel, Meta(description="Kubernetes namespace on every cluster.", examples=["inference"])
    ]


class ModelArtifact(Model, frozen=True, kw_only=True):
    """The model that the pods load; part of the workload digest."""

    name: Annotated[
        Text,
        Meta(
            description="Model name, given to the container as MODEL_NAME.",
            examples=["llama-3.1-8b-instruct"],
        ),
    ]
    version: Annotated[
        Text, Meta(description="An immutable version, given as MODEL_VERSION.", examples=["2026-11-01"])
    ]
    uri: Annotated[
        Text | None,
        Meta(
            description="Where it is loaded from, given as MODEL_URI.",
            examples=["s3://models/llama-3.1-8b/2026-11-01"],
        ),
    ] = None
    checksum: Annotated[
        Checksum | None,
        Meta(
            description="SHA-256 of the artifact; makes any version immutable.",
            examples=["sha256:" + 64 * "0"],
        ),
    ] = None


class Resources(Model, frozen=True, kw_only=True):
    """Container resources, as Kubernetes has them."""

    limits: Annotated[
        dict[str, str | int | float],
        Meta(description="Limits by resource.", examples=[{"nvidia.com/gpu": 1, "memory": "24Gi"}]),
    ] = {}
    requests: Annotated[
        dict[str, str | int | float],
        Meta(description="Requests by resource; a missing one is the limit.", examples=[{"cpu": "500m"}]),
    ] = {}


class EnvSource(Choice, frozen=True, kw_only=True):
    """An environment variable's value from elsewhere."""

    exactly_one: ClassVar = ("secret", "configMap", "field")
    secret: Annotated[
        ObjectName | None, Meta(description="Name of a Secret in the namespace.", examples=["search-api"])
    ] = None
    configMap: Annotated[
        ObjectName | None, Meta(description="Name of a ConfigMap in the namespace.", examples=["regions"])
    ] = None
    field: Annotated[Text | None, Meta(description="A field of the pod.", examples=["status.podIP"])] = None
    key: Annotated[
        DataKey | None, Meta(description="Key in the Secret or ConfigMap.", examples=["token"])
    ] = None


class Probe(Choice, frozen=True, kw_only=True):
    """How the kubelet asks the container whether it is well."""

    exactly_one: ClassVar = ("path", "grpc", "command", "tcp")
    path: Annotated[AbsolutePath | None, Meta(description="HTTP path.", examples=["/healthz"])] = None
    grpc: Annotated[Literal[True] | None, Meta(description="The gRPC health protocol.", examples=[True])] = (
        None
    )
    tcp: Annotated[Literal[True] | None, Meta(description="A TCP connection.", examples=[True])] = None
    command: Annotated[
        tuple[str, ...] | None, Meta(description="A command in the container.", examples=[["/bin/healthy"]])
    ] = None
    port: Annotated[Port | None, Meta(description="Default: the workload's port.", examples=[8081])] = None
    period: Annotated[PositiveDuration, Meta(description="Between two probes.")] = "10s"
    timeout: Annotated[PositiveDuration, Meta(description="Of one probe.")] = "2s"
    failures: Annotated[Positive, Meta(description="Failures in a row that count.")] = 3


class Volume(Model, frozen=True, kw_only=True):
    """A volume and where the container sees it."""

    name: Annotated[DnsLabel, Meta(description="Name of the volume.", examples=["cache"])]
    mountPath: Annotated[MountPath, Meta(description="Where it is mounted.", examples=["/cache"])]
    source: Annotated[
        dict[str, Any],
        Meta(description="A Kubernetes volume source.", examples=[{"emptyDir": {"medium": "Memory"}}]),
    ]
    readOnly: Annotated[bool, Meta(description="Mounted without writing.")] = False


class Autoscaler(Model, frozen=True, kw_only=True):
    """A HorizontalPodAutoscaler; it then owns the replicas."""

    min: Annotated[Positive, Meta(description="Fewest replicas (live).", examples=[2])]
    max: Annotated[Positive, Meta(description="Most replicas (live).", examples=[12])]
    cpu: Annotated[Percent | None, Meta(description="Target CPU utilization.", examples=["70%"])] = None
    metrics: Annotated[
        tuple[dict[str, Any], ...], Meta(description="Further metrics, as autoscaling/v2 has them.")
    ] = ()


class Workload(Choice, frozen=True, kw_only=True):
    """What runs: a kustomize base with a Deployment, or an image."""

    exactly_one: ClassVar = ("image", "base")
    image: Annotated[
        Image | None,
        Meta(
            description="Container image, pinned by digest.",
            examples=["ghcr.io/acme/assistant:2.4.0@sha256:…"],
        ),
    ] = None
    base: Annotated[
        Text | None,
        Meta(description="A kustomize base with a Deployment, relative to the spec.", examples=["./base"]),
    ] = None
    deployment: Annotated[
        Text | None,
        Meta(description="Which Deployment of the base, if it has several.", examples=["fraud-detector"]),
    ] = None
    container: Annotated[
        Text | None,
        Meta(description="Which container serves, if the pod has several.", examples=["detector"]),
    ] = None
    service: Annotated[
        Text | None,
        Meta(
            description="Which Service of the base takes the traffic, if several select the pods.",
            examples=["fraud-detector"],
        ),
    ] = None
    port: Annotated[
        Port | None,
        Meta(
            description="Port that serves. With a base: of the Service, if it has several.", examples=[8080]
        ),
    ] = None
    ports: Annotated[
        dict[DnsLabel, Port],
        Meta(description="Further named ports of the container.", examples=[{"metrics": 9090}]),
    ] = {}
    replicas: Annotated[
        Count | None, Meta(description="Pods per cluster (live: a change restarts nothing).", examples=[6])
    ] = None
    autoscaler: Annotated[
        Autoscaler | None,
        Meta(
            description="Scale by load instead of fixed replicas.",
            examples=[{"min": 2, "max": 12, "cpu": "60%"}],
        ),
    ] = None
    command: Annotated[
        tuple[str, ...], Meta(description="Entrypoint instead of the image's.", examples=[["/server"]])
    ] = ()
    args: Annotated[
        tuple[str, ...],
        Meta(
            description="Arguments. `$(cluster.name)` and the like are a cluster's own.",
            examples=[["--port", "8080"]],
        ),
    ] = ()
    env: Annotated[
        dict[str, str | EnvSource],
        Meta(description="Environment of the serving container.", examples=[{"LOG_LEVEL": "info"}]),
    ] = {}
    serviceAccount: Annotated[
        str | None, Meta(description="ServiceAccount of the pods.", examples=["assistant"])
    ] = None
    imagePullSecrets: Annotated[
        tuple[str, ...], Meta(description="Secrets to pull the image with.", examples=[["registry"]])
    ] = ()
    labels: Annotated[Labels, Meta(description="Further pod labels.", examples=[{"team": "search"}])] = {}
    annotations: Annotated[
        Labels, Meta(description="Further pod annotations.", examples=[{"prometheus.io/scrape": "true"}])
    ] = {}
    nodeSelector: Annotated[
        Labels, Meta(description="Nodes that may run the pods.", examples=[{"gpu": "h100"}])
    ] = {}
    tolerations: Annotated[
        tuple[dict[str, Any], ...], Meta(description="Taints that the pods tolerate.")
    ] = ()
    volumes: Annotated[tuple[Volume, ...], Meta(description="Volumes of the pods.")] = ()
    resources: Annotated[
        Resources | None,
        Meta(description="Resources of the serving container.", examples=[{"limits": {"nvidia.com/gpu": 1}}]),
    ] = None
    readiness: Annotated[
        Probe | None, Meta(description="Readiness probe.", examples=[{"path": "/ready"}])
    ] = None
    liveness: Annotated[Probe | None, Meta(description="Liveness probe.", examples=[{"path": "/alive"}])] = (
        None
    )
    model: Annotated[
        ModelArtifact | None,
        Meta(
            description="The model that is served.",
            examples=[{"name": "llama-3.1-8b-instruct", "version": "2026-11-01"}],
        ),
    ] = None
    prompts: Annotated[
        tuple[str, ...],
        Meta(
            description="Prompt files, relative to the spec, mounted by content.",
            examples=[["prompts/system.md"]],
        ),
    ] = ()
    promptsDir: Annotated[MountPath, Meta(description="Where the container sees the prompts.")] = "/prompts"
    config: Annotated[
        tuple[str, ...],
        Meta(
            description="Configuration files, relative to the spec, mounted by content.",
            examples=[["config/tools.json"]],
        ),
    ] = ()
    configDir: Annotated[MountPath, Meta(description="Where the container sees the configuration.")] = (
        "/config"
    )
    startup: Annotated[
        PositiveDuration | None,
        Meta(description="Longest start, model load included; kept out of the analysis.", examples=["5m"]),
    ] = None
    drain: Annotated[
        Duration | None, Meta(description="Longest request that a stopping pod may finish.", examples=["2m"])
    ] = None
    disruption: Annotated[
        CountOrPercent | None,
        Meta(description="maxUnavailable of the PodDisruptionBudget; 0 forbids evictions."),
    ] = 1
    mutable: Annotated[
        bool, Meta(description="Accept images without digest and models without immutable version.")
    ] = False
    adopt: Annotated[
        bool,
        Meta(
            description="Take over the base's running Deployment without a gap: it stays untouched until a release without `adopt`.",
        ),
    ] = False


class Sticky(Choice, frozen=True, kw_only=True):
    """Keeps each user on one version while the canary's weight grows."""

    exactly_one: ClassVar = ("cookie", "header")
    cookie: Annotated[
        TokenName | None,
        Meta(description="Cookie that names the session; set for new users.", examples=["assistant-session"]),
    ] = None
    header: Annotated[
        TokenName | None, Meta(description="Request header that names the user.", examples=["x-user-id"])
    ] = None
    maxAge: Annotated[PositiveDuration, Meta(description="Life of the cookie.")] = "30d"
    secure: Annotated[bool, Meta(description="Send the cookie over HTTPS only.")] = True
    namespace: Annotated[
        DnsLabel,
        Meta(description="Istio's root namespace, where an EnvoyFilter reaches gateways and callers alike."),
    ] = "istio-system"


class Match(Choice, frozen=True, kw_only=True):
    """How a header's or cookie's value is compared."""

    exactly_one: ClassVar = ("exact", "prefix", "regex")
    exact: Annotated[str | None, Meta(description="The whole value.", examples=["internal"])] = None
    prefix: Annotated[str | None, Meta(description="How the value begins.", examples=["team-"])] = None
    regex: Annotated[str | None, Meta(description="RE2, matching the whole value.", examples=["v[0-9]+"])] = (
        None
    )


class Scale(Choice, frozen=True, kw_only=True):
    """How many canary pods stand ready during header, cookie and mirror steps."""

    exactly_one: ClassVar = ("replicas", "weight")
    replicas: Annotated[Positive | None, Meta(description="A fixed number.", examples=[2])] = None
    weight: Annotated[Percent | None, Meta(description="A share of the replicas.", examples=["10%"])] = None


class Step(Choice, frozen=True, kw_only=True):
    """One step of a canary: what it changes, and for how long."""

    exactly_one: ClassVar = ("weight", "header", "cookie", "mirror")
    weight: Annotated[
        Percent | None, Meta(description="Share of the requests that the canary answers.", examples=["5%"])
    ] = None
    header: Annotated[
        dict[HeaderName, str | Match] | None,
        Meta(
            description="Requests with all these headers go to the canary, until the next header step; `{}` ends it.",
            examples=[{"x-canary-group": "internal"}],
        ),
    ] = None
    cookie: Annotated[
        dict[HeaderName, str | Match] | None,
        Meta(
            description="Requests with all these cookies go to the canary, until the next cookie step; `{}` ends it.",
            examples=[{"beta": "1"}],
        ),
    ] = None
    mirror: Annotated[
        Percent | None,
        Meta(
            description="Share of the requests copied to the canary for this step; nobody sees its answers.",
            examples=["10%"],
        ),
    ] = None
    scale: Annotated[
        Scale | None,
        Meta(description="Canary pods for a header, cookie or mirror step.", examples=[{"replicas": 2}]),
    ] = None
    for_: Annotated[
        DurationOrManual | None,
        Meta(
            description="How long the step lasts before it is judged; `manual` waits for a person.",
            examples=["10m"],
        ),
    ] = field(name="for", default=None)


class BlueGreen(Model, frozen=True, kw_only=True):
    """Switch all traffic at once, and watch the new version with the old one standing by."""

    promoteAfter: Annotated[
        DurationOrManual, Meta(description="Wait between ready and the switch; `manual` waits for a person.")
    ] = "0"
    observe: Annotated[
        Duration, Meta(description="How long after the switch the analysis looks before it decides.")
    ] = "10m"
    previewHosts: Annotated[
        tuple[Host, ...], Meta(description="Hosts that reach the new version before the switch (live).")
    ] = ()
    previewReplicas: Annotated[
        Positive | None, Meta(description="Pods of the new version before the switch.", examples=[1])
    ] = None


class Retries(Model, frozen=True, kw_only=True):
    """Istio's retries; the default of this tool is none, since inference is rarely idempotent."""

    attempts: Annotated[Count, Meta(description="Further attempts.")] = 0
    perTryTimeout: Annotated[
        PositiveDuration | None, Meta(description="Longest single attempt.", examples=["2s"])
    ] = None
    retryOn: Annotated[
        WordList | None,
        Meta(
            description="Envoy's conditions for another attempt.", examples=["connect-failure,refused-stream"]
        ),
    ] = None


class Exposure(Model, frozen=True, kw_only=True):
    """How requests reach the service, and how a new version is exposed to them."""

    hosts: Annotated[
        tuple[Host, ...],
        Meta(description="Hosts outside the mesh (live).", examples=[["assistant.acme.example"]]),
    ] = ()
    gateways: Annotated[
        tuple[Gateway, ...],
        Meta(description="Istio gateways, `namespace/name` (live).", examples=[["istio-ingress/public"]]),
    ] = ()
    protocol: Annotated[Literal["http", "http2", "grpc"], Meta(description="What the port speaks.")] = "http"
    split: Annotated[
        Literal["subset", "host"],
        Meta(
            description="How Istio tells canary from stable. `subset`: an abort reaches users in 0.1 s; `host`: two Services, 1 s."
        ),
    ] = "subset"
    sticky: Annotated[
        Sticky | None,
        Meta(description="Keep each user on one version.", examples=[{"cookie": "assistant-session"}]),
    ] = None
    timeout: Annotated[Duration, Meta(description="Longest request; 0 lets streams live.")] = "0"
    retries: Annotated[Retries, Meta(description="Retries by the proxy.")] = Retries()
    idempotent: Annotated[bool, Meta(description="Requests may be sent twice; allows `mirror` steps.")] = (
        False
    )
    dynamicStableScale: Annotated[
        bool,
        Meta(description="Scale the stable version down as the canary grows (saves GPUs, slows an abort)."),
    ] = False
    steps: Annotated[
        tuple[Step, ...], Meta(description="The canary's steps; the last 100% is implicit.")
    ] = ()
    blueGreen: Annotated[
        BlueGreen | None,
        Meta(description="Blue-green instead of steps.", examples=[{"promoteAfter": "5m", "observe": "10m"}]),
    ] = None


class SecretKey(Model, frozen=True, kw_only=True):
    """A key of a Secret that the analysis reads in the cluster; never a value."""

    secret: Annotated[
        ObjectName, Meta(description="Name of the Secret in the app's namespace.", examples=["fiddler-api"])
    ]
    key: Annotated[DataKey, Meta(description="Key in the Secret.", examples=["token"])]


class SequentialTest(Model, frozen=True, kw_only=True):
    """A proof, instead of thresholds, that the canary fails more often than the stable version (docs/statistics.md)."""

    alpha: Annotated[
        Percent,
        Meta(
            description="Most false alarms: of all good canaries, however often one looks.", examples=["1%"]
        ),
    ] = "1%"
    margin: Annotated[
        Percent,
        Meta(description="How much more often it may fail, relative to stable.", examples=["20%"]),
    ] = "0%"
    window: Annotated[
        PositiveDuration,
        Meta(
            description="What is counted at once: two scrapes at least, and short beside a step.",
            examples=["1m"],
        ),
    ] = "2m"


class Metric(Choice, frozen=True, kw_only=True):
    """One measurement, and the values that promote or roll back; between them is inconclusive."""

    exactly_one: ClassVar = ("preset", "query", "failures", "provider")
    name: Annotated[
        MetricName | None, Meta(description="Default: the preset's name.", examples=["drift"])
    ] = None
    preset: Annotated[
        str | None,
        Meta(
            description="A ready metric.",
            examples=["istio/error-rate", "istio/latency", "vllm/time-to-first-token"],
        ),
    ] = None
    query: Annotated[
        str | None,
        Meta(
            description="PromQL with one value; `$(selector)` picks canary or stable, `$(window)` is the step.",
            examples=['max(model_psi{app="assistant"})'],
        ),
    ] = None
    failures: Annotated[
        str | None,
        Meta(
            description="PromQL that counts what failed of `samples`; measured is its share.",
            examples=["sum(increase(requests_failed_total{$(selector)}[$(window)]))"],
        ),
    ] = None
    provider: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Any provider of Argo Rollouts, one key.",
            examples=[{"web": {"url": "https://…", "jsonPath": "{$.data.value}"}}],
        ),
    ] = None
    value: Annotated[
        str | None,
        Meta(
            description="Expression for the number in `result`, where the provider needs one.",
            examples=["result[0].p95"],
        ),
    ] = None
    secrets: Annotated[
        dict[DnsLabel, SecretKey],
        Meta(
            description="Secrets as `$(secret.NAME)` in the provider, or by the names that a preset has for them.",
            examples=[{"fiddler": {"secret": "fiddler-api", "key": "token"}}],
        ),
    ] = {}
    quantile: Annotated[Quantile | None, Meta(description="Of a latency preset.", examples=[0.99])] = None
    parameters: Annotated[
        dict[str, str | int | float],
        Meta(
            description="Parameters of the preset; `canaryfleet presets show` explains them.",
            examples=[{"reporter": "waypoint"}],
        ),
    ] = {}
    unit: Annotated[
        Literal["ratio", "seconds", "milliseconds", "number"] | None,
        Meta(description="Of the value; thresholds in % and ms are converted to it.", examples=["seconds"]),
    ] = None
    comparedTo: Annotated[
        Literal["stable"] | None,
        Meta(
            description="Judge the change against the stable version: % is relative, pp percentage points.",
            examples=["stable"],
        ),
    ] = None
    test: Annotated[
        SequentialTest | None,
        Meta(
            description="With `comparedTo: stable`, of failures: a sequential test instead of thresholds.",
            examples=[{"alpha": "1%"}],
        ),
    ] = None
    promoteBelow: Annotated[Threshold | None, Meta(description="Good if below.", examples=["0.5%"])] = None
    promoteAbove: Annotated[Threshold | None, Meta(description="Good if above.", examples=["99.9%"])] = None
    rollbackAbove: Annotated[
        Threshold | None, Meta(description="Proof of a bad version if above.", examples=["1%"])
    ] = None
    rollbackBelow: Annotated[
        Threshold | None, Meta(description="Proof of a bad version if below.", examples=["99%"])
    ] = None
    samples: Annotated[
        str | None,
        Meta(
            description="PromQL that counts the requests behind the value; default: the preset's, or Istio's requests of the canary.",
            examples=["sum(increase(requests_total{$(selector)}[$(window)]))"],
        ),
    ] = None
    minimumSamples: Annotated[
        Count | None, Meta(description="Fewer prove nothing; 0 for gauges that count nothing.", examples=[0])
    ] = None
    during: Annotated[
        tuple[Literal["steps", "background", "bake", "preview"], ...],
        Meta(description="When it is measured. Default: always that makes sense for it."),
    ] = ()
    interval: Annotated[
        PositiveDuration | None, Meta(description="Instead of the analysis' own.", examples=["30s"])
    ] = None
    count: Annotated[Positive | None, Meta(description="Instead of the analysis' own.", examples=[10])] = None
    failureLimit: Annotated[Count | None, Meta(description="Instead of the analysis' own.", examples=[1])] = (
        None
    )
    consecutiveErrorLimit: Annotated[
        Count | None, Meta(description="Instead of the analysis' own.", examples=[30])
    ] = None
    consecutiveSuccessLimit: Annotated[
        Positive | None, Meta(description="Instead of the analysis' own.", examples=[3])
    ] = None


class Analysis(Model, frozen=True, kw_only=True):
    """What proves a version good or bad."""

    interval: Annotated[PositiveDuration, Meta(description="Between two measurements.")] = "1m"
    window: Annotated[
        PositiveDuration, Meta(description="How far back the background analysis and the bake look.")
    ] = "5m"
    minimumSamples: Annotated[
        Count, Meta(description="Requests of the canary over a step; fewer prove nothing.", examples=[300])
    ] = 100
    count: Annotated[
        Positive,
        Meta(description="Most measurements after a step; then it is inconclusive and waits for a person."),
    ] = 30
    failureLimit: Annotated[
        Count, Meta(description="Measurements beyond the rollback threshold that are let pass.")
    ] = 0
    consecutiveSuccessLimit: Annotated[
        Positive, Meta(description="Good measurements in a row that end a step.")
    ] = 1
    consecutiveErrorLimit: Annotated[
        Count,
        Meta(description="Errors of the metric server in a row, 10 s apart, before the canary is aborted."),
    ] = 60
    metrics: Annotated[tuple[Metric, ...], Meta(description="The measurements.")] = ()


_DAY = "(Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_DAYS = f"{_DAY}(-{_DAY})?"


class Window(Model, frozen=True, kw_only=True):
    """When a wave may start or advance."""

    days: Annotated[
        str,
        Meta(
            description="Days or ranges of days.",
            pattern=f"^{_DAYS}(,{_DAYS})*{END}",
            examples=["Mon-Thu"],
        ),
    ]
    from_: Annotated[
        str,
        Meta(
            pattern=f"^([01][0-9]|2[0-3]):[0-5][0-9]{END}", examples=["09:00"], description="When it opens."
        ),
    ] = field(name="from")
    to: Annotated[
        str,
        Meta(
            description="Exclusive; earlier than `from` means the next day.",
            pattern=f"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00){END}",
            examples=["16:00"],
        ),
    ]
    timezone: Annotated[str, Meta(description="IANA name.", examples=["Europe/Berlin"])] = "UTC"


class Wave(Choice, frozen=True, kw_only=True):
    """A group of clusters that gets a release together; limits as in Open Cluster Management.

    Without `clusters`, `selector` or `share` it is all that are in no earlier wave.
    """

    at_most_one: ClassVar = ("clusters", "selector", "share")
    name: Annotated[WaveName, Meta(description="Name of the wave.", examples=["pilot"])]
    clusters: Annotated[
        tuple[ClusterName, ...] | None, Meta(description="By name.", examples=[["eu-west-1a"]])
    ] = None
    selector: Annotated[
        Labels | None, Meta(description="By labels, all of which match.", examples=[{"region": "eu"}])
    ] = None
    share: Annotated[Percent | None, Meta(description="By a share of the whole fleet.", examples=["10%"])] = (
        None
    )
    of: Annotated[Literal["clusters", "capacity"], Meta(description="What `share` counts.")] = "clusters"
    spreadOver: Annotated[
        str | None, Meta(description="Topology label that `share` spreads over.", examples=["region"])
    ] = None
    seed: Annotated[str, Meta(description="Another seed draws other clusters for `share`.")] = ""
    maxConcurrency: Annotated[
        CountOrPercent | None,
        Meta(description="Clusters of the wave under way at once; default all.", examples=[2, "25%"]),
    ] = None
    minSuccessTime: Annotated[
        Duration, Meta(description="Bake: measured after the cluster is fully on the release.")
    ] = "0"
    progressDeadline: Annotated[
        PositiveDuration,
        Meta(description="Longest time from the live Rollout carrying the release to its proof."),
    ] = "1d"
    maxFailures: Annotated[
        CountOrPercent, Meta(description="Clusters that may fail without ending the release.")
    ] = 0
    approval: Annotated[
        Literal["none", "required"], Meta(description="`required`: a person approves the pull request.")
    ] = "none"
    windows: Annotated[tuple[Window, ...], Meta(description="When the wave may move; default always.")] = ()


class Rollback(Model, frozen=True, kw_only=True):
    """What going back means for this app."""

    automatic: Annotated[bool, Meta(description="The bot reverts after a failure beyond the limit.")] = True
    revisions: Annotated[Count, Meta(description="Argo Rollouts' rollbackWindow: how far back is fast.")] = 3
    history: Annotated[Positive, Meta(description="Old ReplicaSets and AnalysisRuns that are kept.")] = 10
    notify: Annotated[tuple[str, ...], Meta(description="Notification targets of fleet.yaml.")] = ()


class Override(Model, frozen=True, kw_only=True):
    """What is different on some clusters. Later ones win."""

    clusters: Annotated[tuple[ClusterName, ...], Meta(description="By name.")] = ()
    selector: Annotated[
        Labels, Meta(description="By labels, all of which match.", examples=[{"tier": "edge"}])
    ] = {}
    resources: Annotated[
        Resources | None,
        Meta(
            description="Instead of the workload's (frozen: changes pods).",
            examples=[{"limits": {"nvidia.com/gpu": 2}}],
        ),
    ] = None
    env: Annotated[
        Labels,
        Meta(
            description="Merged over the workload's (frozen: changes pods).", examples=[{"MAX_BATCH": "16"}]
        ),
    ] = {}
    nodeSelector: Annotated[
        Labels,
        Meta(description="Merged over the workload's (frozen: changes pods).", examples=[{"gpu": "l4"}]),
    ] = {}
    replicas: Annotated[Count | None, Meta(description="Pods (live).", examples=[2])] = None
    minReplicas: Annotated[Positive | None, Meta(description="Of the autoscaler (live).", examples=[1])] = (
        None
    )
    maxReplicas: Annotated[Positive | None, Meta(description="Of the autoscaler (live).", examples=[4])] = (
        None
    )
    hosts: Annotated[
        tuple[Host, ...] | None,
        Meta(description="Instead of the exposure's (live).", examples=[["assistant.eu.acme.example"]]),
    ] = None
    gateways: Annotated[
        tuple[Gateway, ...] | None,
        Meta(description="Instead of the exposure's (live).", examples=[["istio-ingress/public"]]),
    ] = None
    metrics: Annotated[
        Addresses | None,
        Meta(
            description="Metric servers (live).",
            examples=[{"prometheus": "http://thanos-query.monitoring:9090"}],
        ),
    ] = None


class Ignore(Model, frozen=True, kw_only=True):
    """A warning that is meant."""

    code: Annotated[
        str,
        Meta(
            description="Which one, as `canaryfleet lint` prints it.",
            pattern=f"^CF[0-9]{{3}}{END}",
            examples=["CF321"],
        ),
    ]
    reason: Annotated[
        str,
        Meta(
            description="Why that does no harm here; for the next who reads it.",
            pattern=r"\S",
            examples=["one request in a thousand is our whole traffic"],
        ),
    ]


class Lint(Model, frozen=True, kw_only=True):
    """What the authors know better. Changes no release."""

    ignore: Annotated[
        tuple[Ignore, ...],
        Meta(
            description="Warnings that are not shown; errors always are.",
            examples=[[{"code": "CF321", "reason": "the last wave is reads alone"}]],
        ),
    ] = ()


class Canary(Model, frozen=True, kw_only=True):
    """A service, how its versions are exposed, what proves them, and which clusters get them when."""

    apiVersion: Annotated[ApiVersion, Meta(description="Version of this format.")]
    kind: Annotated[Literal["Canary"], Meta(description="What the file declares.")]
    metadata: Annotated[CanaryMetadata, Meta(description="Which app this is.")]
    version: Annotated[
        str,
        Meta(
            description="Names the release; quote it.",
            pattern=f"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?{END}",
            max_length=40,
            examples=["2.4.0"],
        ),
    ]
    engine: Annotated[
        Literal["argo-rollouts"], Meta(description="The controller that moves the traffic.")
    ] = "argo-rollouts"
    routing: Annotated[Literal["istio"], Meta(description="What splits the traffic.")] = "istio"
    workload: Annotated[Workload, Meta(description="What runs.")]
    exposure: Annotated[
        Exposure, Meta(description="How requests reach it, and how a new version meets them.")
    ] = Exposure()
    analysis: Annotated[Analysis, Meta(description="What proves a version good or bad.")] = Analysis()
    waves: Annotated[
        tuple[Wave, ...],
        Meta(
            description="In order; a cluster is in the first that matches.",
            min_length=1,
            examples=[[{"name": "pilot", "clusters": ["eu-west-1a"]}, {"name": "rest"}]],
        ),
    ]
    hotfixWaves: Annotated[
        tuple[Wave, ...], Meta(description="Instead of `waves` when `urgency: hotfix`.")
    ] = ()
    overrides: Annotated[tuple[Override, ...], Meta(description="What is different on some clusters.")] = ()
    rollback: Annotated[Rollback, Meta(description="What going back means.")] = Rollback()
    onNewRelease: Annotated[
        Literal["queue", "replace"],
        Meta(description="A release that comes while another is under way waits, or replaces it."),
    ] = "queue"
    urgency: Annotated[
        Literal["normal", "hotfix"], Meta(description="`hotfix` goes by `hotfixWaves` and replaces.")
    ] = "normal"
    lifecycle: Annotated[
        Literal["active", "retiring"], Meta(description="`retiring` leaves the fleet wave by wave.")
    ] = "active"
    lint: Annotated[Lint, Meta(description="Warnings of `canaryfleet lint` that are meant.")] = Lint()

    def waves_in_force(self) -> tuple[Wave, ...]:
        """The waves that this spec's urgency selects."""
        return self.waves_of(self.urgency)

    def waves_of(self, urgency: str) -> tuple[Wave, ...]:
        """The waves of releases of an urgency."""
        return self.hotfixWaves if urgency == "hotfix" and self.hotfixWaves else self.waves
