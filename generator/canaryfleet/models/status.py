"""What runs where, by wave: `canaryfleet status --output json`."""

from typing import Annotated, Literal

from msgspec import Meta

from canaryfleet.models.base import ApiVersion, Model
from canaryfleet.models.observation import Problem, SourceKind, Time, Verdict


class NearestMetric(Model, frozen=True, kw_only=True):
    """The metric that is nearest to its threshold, or furthest beyond it."""

    name: str
    unit: Annotated[str | None, Meta(description="`e-value` of a sequential test; none: the metric's.")] = (
        None
    )
    value: Annotated[float, Meta(description="As measured last.")]
    promote: Annotated[str | None, Meta(description="Condition for going on.", examples=["< 0.005"])] = None
    rollback: Annotated[str | None, Meta(description="Condition for going back.", examples=["> 0.01"])] = None
    distance: Annotated[
        float,
        Meta(description="From the rollback threshold, else the promote one; relative; negative: beyond."),
    ]


class ClusterStatus(Model, frozen=True, kw_only=True):
    """One app on one cluster: what Git points at, and what is true of it there."""

    cluster: str
    release: Annotated[str | None, Meta(description="What Git points at; none: not deployed yet.")] = None
    fallback: Annotated[str | None, Meta(description="What it falls back to.")] = None
    verdict: Annotated[Verdict | None, Meta(description="None if nothing is deployed.")] = None
    live: Annotated[str | None, Meta(description="Release that the cluster has.")] = None
    phase: Annotated[str, Meta(description="In the controller's words.")] = ""
    step: Annotated[int | None, Meta(description="Steps that are done.")] = None
    steps: Annotated[int, Meta(description="Steps that there are.")] = 0
    weight: Annotated[int | None, Meta(description="Percentage of the traffic that the release has.")] = None
    nearest: NearestMetric | None = None
    problem: Annotated[Problem | None, Meta(description="Why nothing, or not all, was seen.")] = None
    remedy: Annotated[str, Meta(description="What to do, if anything.")] = ""
    source: Annotated[SourceKind | None, Meta(description="What read the cluster.")] = None
    seen: Annotated[Time | None, Meta(description="When.")] = None


class WaveStatus(Model, frozen=True, kw_only=True):
    """The clusters of a wave, as the candidate has it."""

    name: str
    clusters: tuple[ClusterStatus, ...]


class AppStatus(Model, frozen=True, kw_only=True):
    """One app on all its clusters."""

    app: str
    namespace: str
    candidate: Annotated[str | None, Meta(description="Release that the spec resolves to.")] = None
    waves: tuple[WaveStatus, ...]


class Status(Model, frozen=True, kw_only=True):
    """What runs where."""

    apiVersion: ApiVersion
    kind: Literal["Status"]
    at: Annotated[Time, Meta(description="When the last cluster was read.")]
    apps: tuple[AppStatus, ...]
