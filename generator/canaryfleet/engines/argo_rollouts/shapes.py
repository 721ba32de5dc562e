"""What is read of the raw objects, and of what form it has to be: everything else stays unread.

`msgspec.convert` refuses what is missing or of another type and says where, so nothing below has a
default that looks good. A default stands only where the controller leaves the zero value out
(`omitempty` in pkg/apis/rollouts/v1alpha1/types.go and analysis_types.go), and zero proves nothing.
"""

from typing import Any, Literal

from msgspec import Struct

from canaryfleet.models.observation import Time


class Shape(Struct, frozen=True, omit_defaults=True):
    """A frozen shape; what it does not name is left out."""


class Owner(Shape, frozen=True):
    """A reference to the owner; only the one that controls counts."""

    kind: str
    uid: str
    controller: bool = False


class Metadata(Shape, frozen=True):
    """Whose object it is, and since when."""

    name: str
    namespace: str
    uid: str
    creationTimestamp: Time
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    ownerReferences: tuple[Owner, ...] = ()
    deletionTimestamp: Time | None = None


class Container(Shape, frozen=True):
    """What a container runs."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


class TemplateMetadata(Shape, frozen=True):
    """The stamps on a pod template."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class PodSpec(Shape, frozen=True):
    """The containers of a pod template, without their environment, which may hold secrets."""

    containers: tuple[Container, ...]
    initContainers: tuple[Container, ...] = ()


class Template(Shape, frozen=True):
    """A pod template."""

    metadata: TemplateMetadata
    spec: PodSpec


# Rollout


class Canary(Shape, frozen=True):
    """The steps of a canary, as the spec in force has them."""

    steps: tuple[dict[str, Any], ...] = ()


class BlueGreen(Shape, frozen=True):
    """A blue-green strategy; that it is one is all that is read."""


class Strategy(Shape, frozen=True):
    """One of the two."""

    canary: Canary | None = None
    blueGreen: BlueGreen | None = None


class RolloutSpec(Shape, frozen=True):
    """What is wanted."""

    template: Template
    strategy: Strategy
    replicas: int = 0  # left out in Git under an autoscaler; the controller writes 1 at once
    paused: bool = False


class Condition(Shape, frozen=True):
    """A condition of the Rollout."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    lastTransitionTime: Time
    message: str = ""


class Pause(Shape, frozen=True):
    """Why the controller pauses."""

    reason: str
    startTime: Time


class Weight(Shape, frozen=True):
    """The share of one version."""

    weight: int
    podTemplateHash: str = ""


class Weights(Shape, frozen=True):
    """The shares that the controller has set."""

    canary: Weight
    stable: Weight
    additional: tuple[Weight, ...] = ()


class CanaryStatus(Shape, frozen=True):
    """Where a canary's traffic goes."""

    weights: Weights | None = None


class BlueGreenStatus(Shape, frozen=True):
    """Where the active Service points."""

    activeSelector: str = ""


class RolloutStatus(Shape, frozen=True):
    """What the controller says; empty before it has seen the Rollout."""

    observedGeneration: str = ""
    phase: str = ""
    message: str = ""
    currentPodHash: str = ""
    stableRS: str = ""
    currentStepIndex: int | None = None
    replicas: int = 0
    updatedReplicas: int = 0
    availableReplicas: int = 0
    abort: bool = False
    abortedAt: Time | None = None
    promoteFull: bool = False
    pauseConditions: tuple[Pause, ...] = ()
    conditions: tuple[Condition, ...] = ()
    canary: CanaryStatus = CanaryStatus()
    blueGreen: BlueGreenStatus = BlueGreenStatus()


class Rollout(Shape, frozen=True, tag_field="kind", tag="Rollout"):
    """The Rollout."""

    metadata: Metadata
    spec: RolloutSpec
    status: RolloutStatus = RolloutStatus()


# ReplicaSets and pods


class ReplicaSetSpec(Shape, frozen=True):
    """How many of what."""

    replicas: int
    template: Template


class ReplicaSetStatus(Shape, frozen=True):
    """How many there are."""

    replicas: int
    observedGeneration: int = 0
    availableReplicas: int = 0


class ReplicaSet(Shape, frozen=True):
    """One version of the pods."""

    metadata: Metadata
    spec: ReplicaSetSpec
    status: ReplicaSetStatus


class Waiting(Shape, frozen=True):
    """Why a container does not run."""

    reason: str = ""


class Terminated(Shape, frozen=True):
    """How a container ended."""

    exitCode: int
    reason: str = ""
    finishedAt: Time | None = None


class State(Shape, frozen=True):
    """What a container does, or did last."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(Shape, frozen=True):
    """One container of a pod."""

    name: str
    restartCount: int
    state: State = State()
    lastState: State = State()


class PodCondition(Shape, frozen=True):
    """Whether a pod is ready, or scheduled."""

    type: str
    status: str
    reason: str = ""


class PodStatus(Shape, frozen=True):
    """What a pod does."""

    conditions: tuple[PodCondition, ...] = ()
    containerStatuses: tuple[ContainerStatus, ...] = ()
    initContainerStatuses: tuple[ContainerStatus, ...] = ()


class Pod(Shape, frozen=True):
    """A pod."""

    metadata: Metadata
    status: PodStatus = PodStatus()


# AnalysisRuns


class Argument(Shape, frozen=True):
    """A resolved argument; a secret's value is not in the object."""

    name: str
    value: str | None = None


class Metric(Shape, frozen=True):
    """The limits of a metric. The controller takes numbers as text too."""

    name: str
    failureLimit: int | str = 0
    consecutiveSuccessLimit: int | str = 0


class DryRun(Shape, frozen=True):
    """Metrics that decide nothing."""

    metricName: str


class RunSpec(Shape, frozen=True):
    """What is measured."""

    metrics: tuple[Metric, ...]
    args: tuple[Argument, ...] = ()
    dryRun: tuple[DryRun, ...] = ()
    terminate: bool = False


class Measurement(Shape, frozen=True):
    """One measurement."""

    phase: str
    startedAt: Time | None = None
    finishedAt: Time | None = None
    value: str | None = None
    message: str = ""


class MetricResult(Shape, frozen=True):
    """All measurements of a metric that are kept, and its counters."""

    name: str
    phase: str
    measurements: tuple[Measurement, ...] = ()
    count: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    dryRun: bool = False


class RunStatus(Shape, frozen=True):
    """How far a run is."""

    phase: str = ""
    message: str = ""
    metricResults: tuple[MetricResult, ...] = ()


class AnalysisRun(Shape, frozen=True):
    """One analysis."""

    metadata: Metadata
    spec: RunSpec
    status: RunStatus = RunStatus()


# Lists: one that was cut off has a token to go on with, and proves nothing


class ListMetadata(Shape, frozen=True, rename={"more": "continue"}):
    """How complete a list is."""

    more: str = ""
    remainingItemCount: int = 0


class ReplicaSets(Shape, frozen=True, tag_field="kind", tag="ReplicaSetList"):
    """The list of them."""

    metadata: ListMetadata
    items: tuple[ReplicaSet, ...]


class AnalysisRuns(Shape, frozen=True, tag_field="kind", tag="AnalysisRunList"):
    """The list of them."""

    metadata: ListMetadata
    items: tuple[AnalysisRun, ...]


class Pods(Shape, frozen=True, tag_field="kind", tag="PodList"):
    """The list of them."""

    metadata: ListMetadata
    items: tuple[Pod, ...]


class Details(Shape, frozen=True):
    """Which object an answer of the API server is about."""

    name: str = ""


class Absent(Shape, frozen=True, tag_field="kind", tag="Status"):
    """The API server's answer when there is no such object."""

    reason: Literal["NotFound"]
    code: Literal[404]
    details: Details


SHAPES: dict[str, Any] = {
    "rollout": Rollout,
    "replicaSets": ReplicaSets,
    "analysisRuns": AnalysisRuns,
    "pods": Pods,
    "rolloutAgain": Rollout,
}
