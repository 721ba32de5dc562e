"""What the page of a fleet shows: `canaryfleet report html --output json`."""

from typing import Annotated, Literal

from msgspec import Meta

from canaryfleet.models.base import ApiVersion, CountOrPercent, Duration, Model
from canaryfleet.models.decision import Kind, Move, Proof, Reason
from canaryfleet.models.observation import Time
from canaryfleet.models.promotion import Bar, Excuse, HoldEntry
from canaryfleet.models.status import ClusterStatus


class Point(Model, frozen=True, kw_only=True):
    """One measurement, and what it proves by the release's own thresholds."""

    at: Time
    value: Annotated[
        float | None, Meta(description="In the metric's unit; none: it was no finite number.")
    ] = None
    word: Literal["good", "bad", "neither"] = "neither"


class Series(Model, frozen=True, kw_only=True):
    """One metric of a release on a cluster, over time. `stable`: what was measured beside it, of the stable version."""

    name: str
    promote: Annotated[str | None, Meta(description="Condition for going on.", examples=["< 0.005"])] = None
    rollback: Annotated[str | None, Meta(description="Condition for going back.", examples=["> 0.01"])] = None
    points: Annotated[tuple[Point, ...], Meta(description="In order of time.")] = ()
    stable: tuple[Point, ...] = ()


class ClusterReport(Model, frozen=True, kw_only=True):
    """One app on one cluster: its status, and what was measured of the release that it points at."""

    status: ClusterStatus
    series: tuple[Series, ...] = ()


class WaveReport(Model, frozen=True, kw_only=True):
    """A wave, its limits as the candidate has them, and its clusters."""

    name: str
    maxConcurrency: CountOrPercent | None = None
    maxFailures: CountOrPercent = 0
    minSuccessTime: Duration = "0"
    approval: Literal["none", "required"] = "none"
    clusters: tuple[ClusterReport, ...]


class Next(Model, frozen=True, kw_only=True):
    """What the bot would decide, as far as Git and the clusters say; open pull requests are not asked for."""

    kind: Kind
    release: str | None = None
    wave: str | None = None
    clusters: tuple[str, ...] = ()
    ready: Annotated[bool, Meta(description="It may be merged without anybody's approval.")] = False
    reasons: tuple[Reason, ...] = ()


class Happening(Model, frozen=True, kw_only=True):
    """One commit of the default branch that released, moved pointers, recorded proofs, or changed promotion.yaml."""

    commit: str
    at: Annotated[Time | None, Meta(description="By the clock of who made it.")] = None
    by: Literal["bot", "person"]
    who: Annotated[str, Meta(description="The commit's author, without an address.")] = ""
    subject: Annotated[str, Meta(description="First line of the commit's message.")] = ""
    kind: Annotated[Kind | None, Meta(description="The bot's decision that it carries out.")] = None
    release: str | None = None
    wave: str | None = None
    candidate: Annotated[str | None, Meta(description="Release that became the candidate with it.")] = None
    moves: tuple[Move, ...] = ()
    proofs: tuple[Proof, ...] = ()
    bars: tuple[Bar, ...] = ()
    approvedBy: tuple[str, ...] = ()
    record: Annotated[str | None, Meta(description="Hash for `canaryfleet explain`.")] = None


class AppReport(Model, frozen=True, kw_only=True):
    """One app: where it stands, what is next, and how it came to that."""

    app: str
    namespace: str
    candidate: Annotated[str | None, Meta(description="Release that the spec resolves to.")] = None
    waves: tuple[WaveReport, ...]
    next: Annotated[Next | None, Meta(description="None: `unknown` says why.")] = None
    unknown: Annotated[str, Meta(description="Why nothing is said of what is next, or of the history.")] = ""
    bars: tuple[Bar, ...] = ()
    holds: tuple[HoldEntry, ...] = ()
    excused: tuple[Excuse, ...] = ()
    history: Annotated[tuple[Happening, ...], Meta(description="Newest first.")] = ()


class Report(Model, frozen=True, kw_only=True):
    """The fleet at one time."""

    apiVersion: ApiVersion
    kind: Literal["Report"]
    at: Annotated[Time, Meta(description="When the last cluster was read.")]
    fleet: Annotated[str, Meta(description="The fleet's name in fleet.yaml.")]
    apps: tuple[AppReport, ...]
