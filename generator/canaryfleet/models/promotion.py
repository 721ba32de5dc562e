"""The little state that can't be derived: `overlays/<app>/promotion.yaml`, edited by people and the bot."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from canaryfleet.models.base import (
    API_VERSION,
    ApiVersion,
    Choice,
    ClusterName,
    Instant,
    Metadata,
    Model,
    WaveName,
    check_instants,
)


class Bar(Choice, frozen=True, kw_only=True):
    """A workload, or a single release, that no cluster may be given."""

    exactly_one: ClassVar = ("workload", "release")
    workload: Annotated[
        str | None, Meta(description="Workload digest.", examples=["bb0aa4c719d2b3eb8e17"])
    ] = None
    release: Annotated[
        str | None,
        Meta(
            description="Release id: a policy that failed, with a workload that is stable.",
            examples=["2.4.0-3f9a1c2b7d10"],
        ),
    ] = None
    by: Annotated[str, Meta(description="Who, or which bot.", examples=["ann"])]
    since: Annotated[Instant, Meta(description="From when on.", examples=["2026-11-16T10:00:00Z"])]
    until: Annotated[
        Instant | None,
        Meta(description="Until when; without it until it is removed.", examples=["2026-11-20T10:00:00Z"]),
    ] = None
    why: Annotated[
        str, Meta(description="Why, for everybody who meets it.", examples=["error rate 4% in eu-west-1a"])
    ]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_instants(self, ("since", "until"))


class HoldEntry(Model, frozen=True, kw_only=True):
    """Stops the app, or one wave or cluster of it."""

    wave: Annotated[WaveName | None, Meta(description="Only this wave.", examples=["europe"])] = None
    cluster: Annotated[
        ClusterName | None, Meta(description="Only the wave of this cluster.", examples=["eu-west-1a"])
    ] = None
    by: Annotated[str, Meta(description="Who, or which bot.", examples=["ann"])]
    since: Annotated[Instant, Meta(description="From when on.", examples=["2026-11-16T10:00:00Z"])]
    until: Annotated[
        Instant | None,
        Meta(description="Until when; without it until it is removed.", examples=["2026-11-20T10:00:00Z"]),
    ] = None
    why: Annotated[
        str, Meta(description="Why, for everybody who meets it.", examples=["error rate 4% in eu-west-1a"])
    ]

    def __post_init__(self) -> None:
        check_instants(self, ("since", "until"))


class Excuse(Model, frozen=True, kw_only=True):
    """A cluster that the quorum does not wait for; it catches up in a last wave."""

    cluster: Annotated[ClusterName, Meta(description="Which cluster.", examples=["eu-west-1a"])]
    by: Annotated[str, Meta(description="Who, or which bot.", examples=["ann"])]
    since: Annotated[Instant, Meta(description="From when on.", examples=["2026-11-16T10:00:00Z"])]
    until: Annotated[
        Instant | None,
        Meta(description="Until when; without it until it is removed.", examples=["2026-11-20T10:00:00Z"]),
    ] = None
    why: Annotated[
        str, Meta(description="Why, for everybody who meets it.", examples=["error rate 4% in eu-west-1a"])
    ]

    def __post_init__(self) -> None:
        check_instants(self, ("since", "until"))


class Promotion(Model, frozen=True, kw_only=True):
    """Bars, holds and excused clusters of one app, and nothing more."""

    apiVersion: Annotated[ApiVersion, Meta(description="Version of this format.")]
    kind: Annotated[Literal["Promotion"], Meta(description="What the file declares.")]
    metadata: Annotated[Metadata, Meta(description="The app.")]
    bars: Annotated[
        tuple[Bar, ...], Meta(description="Workloads and releases that no cluster may be given.")
    ] = ()
    holds: Annotated[tuple[HoldEntry, ...], Meta(description="What stands still.")] = ()
    excused: Annotated[tuple[Excuse, ...], Meta(description="Clusters that nobody waits for.")] = ()


def nothing_said(app: str) -> Promotion:
    """What a promotion.yaml says that is not there."""
    return Promotion(apiVersion=API_VERSION, kind="Promotion", metadata=Metadata(name=app))
