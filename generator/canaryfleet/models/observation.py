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
    "failed",  # the server answered with another error
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


class Measured(Model, frozen=True, kw_only=True):
    """One metric of a run: its limits as the run has them, its counters, its measurements in order."""

    name: str
    phase: str
    dryRun: bool = False
    failureLimit: int = 0
    successes: Annotated[int, Meta(description="Needed in a row (consecutiveSuccessLimit).")] = 0
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
    hash: str | None = None
    revision: int | None = None
    metrics: tuple[Measured, ...] = ()


class PodState(Model, frozen=True, kw_only=True):
    """One pod: of which hash, and whether its containers crash."""

    name: str
    uid: str
    hash: str
    pod: Annotated[str | None, Meta(description="Pod digest stamped on it.")] = None
    ready: bool = False
    crashes: Annotated[int, Meta(description="Restarts of the container that crashes most.")] = 0
    looping: Annotated[str | None, Meta(description="Why it crashes: container and exit code.")] = None
    since: Time | None = None
    unschedulable: bool = False


class Unread(Model, frozen=True, kw_only=True):
    """Why the answers could not be turned into an observation: a reason code and what was found."""

    reason: str
    message: str


class Condition(Model, frozen=True, kw_only=True):
    """A condition of the live object."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    changed: Time | None = None


class Versions(Model, frozen=True, kw_only=True):
    """A set of pods of one version (a ReplicaSet): whose it is, and what is stamped on its pods."""

    hash: str
    uid: str
    pod: str | None = None
    workload: str | None = None
    revision: int | None = None
    created: Time | None = None
    replicas: int = 0
    available: int = 0


class Live(Model, frozen=True, kw_only=True):
    """The live object that does the rollout, in words that hold for every engine."""

    uid: str
    created: Time
    release: Annotated[str | None, Meta(description="Release id on its metadata.")] = None
    workload: str | None = None
    pod: Annotated[str | None, Meta(description="Pod digest stamped into its template.")] = None
    steps: Annotated[tuple[Raw, ...], Meta(description="Steps in force.")] = ()
    observed: Annotated[bool, Meta(description="The controller has seen this generation.")] = False
    phase: str = ""
    message: str = ""
    revision: int | None = None
    current: Annotated[Versions | None, Meta(description="What is rolled out.")] = None
    stable: Annotated[Versions | None, Meta(description="What has proven itself, or ran before.")] = None
    step: int | None = None
    weight: Annotated[int | None, Meta(description="Percentage of the traffic that the canary has.")] = None
    full: Annotated[bool, Meta(description="All traffic goes to what is stable.")] = False
    paused: Annotated[tuple[str, ...], Meta(description="Why it waits; empty if it does not.")] = ()
    pausedSince: Time | None = None
    aborted: bool = False
    abortedSince: Time | None = None
    replicas: Annotated[int, Meta(description="Pods that are wanted.")] = 0
    available: Annotated[int, Meta(description="Pods of any version that are available.")] = 0
    ready: Annotated[bool, Meta(description="As many pods of the current version available as wanted.")] = (
        False
    )
    conditions: tuple[Condition, ...] = ()


class Observation(Model, frozen=True, kw_only=True):
    """What the engine made of one app on one cluster."""

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
    """One metric of a run against the release's thresholds; `value` and `at` are of the deciding measurement."""

    name: str
    promote: str | None = None
    rollback: str | None = None
    value: str | None = None
    at: Time | None = None
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
