"""The little state that can't be derived: `overlays/<app>/promotion.yaml`, edited by people and the bot."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from canaryfleet.models.base import ApiVersion, Choice, ClusterName, Instant, Metadata, Model, WaveName


class Bar(Choice, frozen=True, kw_only=True):
    """A workload, or a single release, that no cluster may be given."""

    exactly_one: ClassVar = ("workload", "release")
    workload: Annotated[str | None, Meta(description="Workload digest.")] = None
    release: Annotated[
        str | None, Meta(description="Release id: a policy that failed, with a workload that is stable.")
    ] = None
    by: str
    since: Instant
    until: Instant | None = None
    why: str


class HoldEntry(Model, frozen=True, kw_only=True):
    """Stops the app, or one wave or cluster of it."""

    wave: WaveName | None = None
    cluster: ClusterName | None = None
    by: str
    since: Instant
    until: Instant | None = None
    why: str


class Excuse(Model, frozen=True, kw_only=True):
    """A cluster that the quorum does not wait for; it catches up in a last wave."""

    cluster: ClusterName
    by: str
    since: Instant
    until: Instant | None = None
    why: str


class Promotion(Model, frozen=True, kw_only=True):
    """Bars, holds and excused clusters of one app, and nothing more."""

    apiVersion: ApiVersion
    kind: Literal["Promotion"]
    metadata: Annotated[Metadata, Meta(description="The app.")]
    bars: tuple[Bar, ...] = ()
    holds: tuple[HoldEntry, ...] = ()
    excused: tuple[Excuse, ...] = ()
