"""What was seen of a cluster (Sighting), what it means (Observation), and what follows (Verdict).

A source writes sightings: the raw answers of the API server, and nothing made of them. An engine
turns one app of a sighting into an observation; `verdict.py` judges that against a release. The
sighting is also the format of snapshots, so that a verdict can be reproduced from a file.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from canaryfleet.models.base import ApiVersion, Labels, Model

Time = Annotated[datetime, Meta(tz=True)]
Raw = dict[str, Any]  # a Kubernetes object or list, as the API server returned it


# What to read


class Read(Model, frozen=True, kw_only=True):
    """One GET of an app's objects: of one object if `object` is given, else of a list."""

    name: Annotated[str, Meta(description="What the answer is called in a sighting.")]
    group: str = ""
    version: str
    resource: str
    namespace: str | None = None
    object: str | None = None
    labels: Annotated[str, Meta(description="labelSelector of a list.")] = ""

    @property
    def verb(self) -> str:
        """What RBAC has to allow."""
        return "get" if self.object else "list"

    @property
    def path(self) -> str:
        """Path below the API server's address; `labels` go into its query."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        space = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{base}{space}/{self.resource}" + (f"/{self.object}" if self.object else "")


IDENTITY = Read(name="identity", version="v1", resource="namespaces", object="kube-system")

LEASES = Read(name="leases", group="coordination.k8s.io", version="v1", resource="leases")
"""Of one namespace; not asked about apps, but by replicas of the bot that share the work."""


class Subject(Model, frozen=True, kw_only=True):
    """One app on one cluster, and the release that Git points it at: what an engine is asked about."""

    app: str
    namespace: str
    release: str
    selector: Labels


# What was seen

ProblemKind = Literal[
    "unreachable",  # no connection: name, network, TLS
    "timeout",  # the limit of time was over
    "unauthorized",  # 401, or no credentials could be had
    "forbidden",  # 403
    "unparsable",  # an answer that is no JSON, or not what it should be
    "missing",  # the kind, file or ref does not exist; an object that does not exist is an answer
    "stale",  # older than the limit
    "too-large",  # larger than the limit
    "unsigned",  # no valid signature (pushed snapshots)
    "foreign",  # another cluster's
    "misconfigured",  # nothing says how to reach it, or what says so is wrong
    "server-error",  # the server answered with another error
]


class Problem(Model, frozen=True, kw_only=True):
    """Why something was not seen, in words that tell what to do."""

    kind: ProblemKind
    message: str
    remedy: str = ""


class Look(Model, frozen=True, kw_only=True):
    """The raw answers about one app, by the name of the `Read`; 404 is the API server's Status object.

    A source asks in the order of the reads, one after the other. `problem` says why answers are missing.
    """

    app: str
    namespace: str
    answers: dict[str, Raw] = {}
    digests: Annotated[
        Labels, Meta(description="Of what the answers held and are no longer here to be asked.")
    ] = {}
    problem: Problem | None = None


SourceKind = Literal["kubernetes", "snapshot", "simulation", "pushed"]


class Sighting(Model, frozen=True, kw_only=True):
    """What a source saw of one cluster in one reading."""

    cluster: str
    source: SourceKind
    began: Annotated[Time, Meta(description="Before the first question, by the reader's clock.")]
    ended: Annotated[Time, Meta(description="After the last answer, by the reader's clock.")]
    identity: Annotated[str | None, Meta(description="UID of the namespace kube-system.")] = None
    problem: Annotated[Problem | None, Meta(description="Nothing of the cluster was seen.")] = None
    apps: tuple[Look, ...] = ()


class Snapshot(Model, frozen=True, kw_only=True):
    """A file of sightings."""

    apiVersion: ApiVersion
    kind: Literal["Snapshot"]
    sightings: tuple[Sighting, ...]


# What it means


class Measurement(Model, frozen=True, kw_only=True):
    """One measurement: the value as the controller wrote it, and what the controller made of it."""

    phase: str
    value: str | None = None
    began: Time | None = None
    ended: Time | None = None
    terminated: Annotated[bool, Meta(description="Told to stop: its phase says nothing.")] = False


class Measured(Model, frozen=True, kw_only=True):
    """One metric of a run: its limits as the run has them, its counters, its measurements in order of time."""

    name: str
    phase: str
    dryRun: bool = False
    failureLimit: int = 0
    successes: Annotated[int, Meta(description="Good measurements in a row that end it.")] = 0
    count: Annotated[int, Meta(description="Measurements that were no errors, also those not kept.")] = 0
    failed: int = 0
    errors: int = 0
    measurements: tuple[Measurement, ...] = ()


class Run(Model, frozen=True, kw_only=True):
    """One analysis: of which pods, made when, and what it measured."""

    name: str
    uid: str
    role: Literal["steps", "background", "preview", "bake"]
    step: int | None = None
    created: Time
    phase: str
    terminated: Annotated[bool, Meta(description="It was told to stop, or says that it was.")] = False
    release: str | None = None
    pod: Annotated[str | None, Meta(description="Pod digest that its queries ask for.")] = None
    cluster: Annotated[str | None, Meta(description="Cluster that its queries ask for.")] = None
    measures: Annotated[str, Meta(description="Digest of what it measures.")] = ""
    hash: Annotated[str | None, Meta(description="Version that it was made for, and asks for.")] = None
    revision: int | None = None
    metrics: tuple[Measured, ...] = ()


class PodState(Model, frozen=True, kw_only=True):
    """One pod: of which version, and whether its containers crash."""

    name: str
    uid: str
    hash: str
    pod: Annotated[str | None, Meta(description="Pod digest stamped on it.")] = None
    ready: bool = False
    unschedulable: bool = False
    crashes: Annotated[int, Meta(description="Restarts of its container that crashes again and again.")] = 0
    why: Annotated[str, Meta(description="Which container crashes, and how it ended.")] = ""
    crashed: Annotated[Time | None, Meta(description="When it last did.")] = None


class Unread(Model, frozen=True, kw_only=True):
    """Why the answers are no observation: a reason code and what was found."""

    reason: str
    message: str


class Version(Model, frozen=True, kw_only=True):
    """The pods of one version (a ReplicaSet), and what is stamped on them."""

    hash: str
    uid: str
    created: Time
    pod: str | None = None
    workload: str | None = None
    revision: int | None = None
    replicas: int = 0
    available: int = 0


class Live(Model, frozen=True, kw_only=True):
    """The live object that does the rollout, in words that hold for every engine."""

    uid: str
    created: Time
    release: Annotated[str | None, Meta(description="Release id on its metadata.")] = None
    workload: str | None = None
    pod: Annotated[str | None, Meta(description="Pod digest stamped into its template.")] = None
    content: Annotated[str, Meta(description="Digest of its whole template.")] = ""
    strategy: Literal["canary", "blueGreen"]
    steps: Annotated[tuple[Raw, ...], Meta(description="Steps in force.")] = ()
    revision: int | None = None
    leaving: Annotated[bool, Meta(description="It is being deleted.")] = False
    observed: Annotated[bool, Meta(description="The controller has seen this generation.")] = False
    phase: str = ""
    message: str = ""
    invalid: Annotated[str | None, Meta(description="What the controller refuses.")] = None
    current: Annotated[Version | None, Meta(description="What is rolled out.")] = None
    stable: Annotated[
        Version | None, Meta(description="What stays if that fails; the same when complete.")
    ] = None
    changed: Annotated[Time | None, Meta(description="Since when the two are the same, or differ.")] = None
    step: int | None = None
    weight: Annotated[
        int | None, Meta(description="Percentage of the traffic that the current version has.")
    ] = None
    paused: Annotated[tuple[str, ...], Meta(description="Why it waits.")] = ()
    pausedSince: Time | None = None
    stopped: Annotated[bool, Meta(description="A person has paused it.")] = False
    aborted: bool = False
    abortedSince: Time | None = None
    overdue: Annotated[bool, Meta(description="Its pods do not come up in time.")] = False
    overdueSince: Time | None = None
    replicas: Annotated[int, Meta(description="Pods that are wanted.")]
    updated: int = 0
    available: int = 0


class Observation(Model, frozen=True, kw_only=True):
    """What the engine made of one app on one cluster; neither `unread` nor `live`: it is not there."""

    app: str
    cluster: str
    began: Time
    ended: Time
    identity: str | None = None
    unread: Unread | None = None
    live: Live | None = None
    runs: tuple[Run, ...] = ()
    pods: tuple[PodState, ...] = ()


# What follows

VerdictKind = Literal["Verified", "Progressing", "Inconclusive", "Failed", "Unknown"]
Basis = Literal["Analysis", "FirstDeployment", "SameWorkload", "Reverted"]


class MetricEvidence(Model, frozen=True, kw_only=True):
    """One metric of a run against the release's thresholds; `value` and `at` are of the deciding measurement.

    `stable`: what the same pass measured of the stable version, where the release asks for that. `unit`: of
    the value, where it is none of the metric's: `e-value` of a sequential test, beyond 1/alpha a proof.
    """

    name: str
    unit: str | None = None
    promote: str | None = None
    rollback: str | None = None
    value: str | None = None
    at: Time | None = None
    stable: str | None = None
    good: int = 0
    bad: int = 0
    measurements: int = 0


class RunEvidence(Model, frozen=True, kw_only=True):
    """A run that the verdict rests on."""

    name: str
    uid: str
    role: str
    step: int | None = None
    metrics: tuple[MetricEvidence, ...] = ()


class CrashEvidence(Model, frozen=True, kw_only=True):
    """A pod that crashes, and how often it did."""

    name: str
    uid: str
    crashes: int
    why: str


class Evidence(Model, frozen=True, kw_only=True):
    """What a verdict rests on: which cluster, which content, which runs and pods."""

    identity: str | None = None
    uid: Annotated[str | None, Meta(description="Of the live object.")] = None
    release: str | None = None
    pod: str | None = None
    hash: str | None = None
    revision: int | None = None
    runs: tuple[RunEvidence, ...] = ()
    pods: tuple[CrashEvidence, ...] = ()


class Verdict(Model, frozen=True, kw_only=True):
    """What is true of one release on one cluster; `reason` is a key of `verdict.REASONS`."""

    app: str
    cluster: str
    release: str
    kind: VerdictKind
    reason: str
    message: str
    basis: Basis | None = None
    since: Annotated[Time | None, Meta(description="When it became so, by the cluster's timestamps.")] = None
    evidence: Evidence = Evidence()
    hash: Annotated[str, Meta(description="SHA-256 of the evidence as canonical JSON.")]
