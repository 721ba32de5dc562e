"""What a release would do, before it does it: `canaryfleet plan --output json`."""

from typing import Annotated, Literal

from msgspec import Meta

from canaryfleet.models.base import ApiVersion, Model
from canaryfleet.models.observation import Time

Moment = Literal["merge", "render", "rest"]


class Share(Model, frozen=True, kw_only=True):
    """Part of the fleet's clusters that are not retiring, as ratios of 1."""

    clusters: float
    capacity: float


class WavePlan(Model, frozen=True, kw_only=True):
    """A wave: who is in it, in which batches it goes, and when at the earliest."""

    name: str
    members: tuple[str, ...]
    toGo: Annotated[tuple[str, ...], Meta(description="Members that Git does not point at it yet.")]
    excused: Annotated[tuple[str, ...], Meta(description="Members that nobody waits for.")] = ()
    share: Share
    batches: Annotated[tuple[int, ...], Meta(description="Clusters at once, as maxConcurrency allows.")]
    maxFailures: Annotated[int, Meta(description="Clusters that may fail.")]
    least: Annotated[
        int,
        Meta(
            description="Seconds for one batch: its start (`startup`), pauses, measurements in a row, minSuccessTime; "
            "where no cluster of it has the app yet, its start and minSuccessTime: a first deployment takes no steps."
        ),
    ]
    begins: Annotated[
        Time | None,
        Meta(description="At the earliest, if all goes well; none: no end is known of what stops it."),
    ] = None
    ends: Annotated[Time | None, Meta(description="At the earliest.")] = None
    approval: Annotated[bool, Meta(description="A person approves it: that time is not counted.")] = False
    stops: Annotated[tuple[str, ...], Meta(description="What stops it at the time of the plan.")] = ()


class LiveChange(Model, frozen=True, kw_only=True):
    """A live setting that changes outside of the canary, on some clusters."""

    setting: Annotated[str, Meta(examples=["replicas", "hosts"])]
    before: Annotated[str, Meta(description="As the overlays have it, or the default branch.")]
    after: str
    clusters: tuple[str, ...]
    when: Annotated[
        Moment,
        Meta(
            description="`merge`: at once when this tree is merged; `render`: with the next `canaryfleet render`; "
            "`rest`: after that, once the Rollout is at rest."
        ),
    ]


class PointerChange(Model, frozen=True, kw_only=True):
    """Clusters whose release this tree changes when it is merged."""

    before: Annotated[str | None, Meta(description="None: nothing ran there.")]
    after: Annotated[str | None, Meta(description="None: the app leaves.")]
    clusters: tuple[str, ...]


class AppPlan(Model, frozen=True, kw_only=True):
    """One app: what runs, what comes, and how it gets there."""

    app: str
    namespace: str
    running: Annotated[dict[str, int], Meta(description="Clusters by the release that Git points at.")]
    release: Annotated[str, Meta(description="What the spec resolves to.")]
    strategy: Literal["canary", "blueGreen"]
    urgency: Literal["normal", "hotfix"] = "normal"
    rendered: Annotated[
        bool | None,
        Meta(description="Whether the tree has it; none: its kustomize base was not built (`--build`)."),
    ]
    waves: tuple[WavePlan, ...]
    least: Annotated[
        int, Meta(description="Seconds from now to the end without windows, holds and approvals.")
    ]
    ends: Annotated[Time | None, Meta(description="When the last wave ends at the earliest.")] = None
    manual: Annotated[
        tuple[str, ...],
        Meta(
            description="Stages of each canary that wait for a person in the cluster; a first deployment has none."
        ),
    ] = ()
    outside: Annotated[
        tuple[LiveChange, ...], Meta(description="What takes effect outside of the canary.")
    ] = ()
    moves: Annotated[
        tuple[PointerChange, ...], Meta(description="Pointers that merging this tree moves.")
    ] = ()
    notes: Annotated[tuple[str, ...], Meta(description="What was not looked at, and why.")] = ()


class Plan(Model, frozen=True, kw_only=True):
    """What is to come, from Git alone."""

    apiVersion: ApiVersion
    kind: Literal["Plan"]
    at: Annotated[Time, Meta(description="From when on it is counted.")]
    apps: tuple[AppPlan, ...]
