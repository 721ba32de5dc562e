"""What a person's command has done to the working tree: `--output json` of those that write what clusters read."""

from typing import Annotated

from msgspec import Meta

from canaryfleet.models.base import Model
from canaryfleet.models.decision import Move
from canaryfleet.models.findings import FoundFinding
from canaryfleet.models.promotion import Bar


class PointerTo(Model, frozen=True, kw_only=True):
    """What a cluster's overlay names now."""

    release: str
    fallback: Annotated[str | None, Meta(description="Where it goes back to; none: nowhere.")] = None


class PointedAt(Model, frozen=True, kw_only=True):
    """What `canaryfleet point` did: either pointers or reasons."""

    release: Annotated[str, Meta(description="Its id.")]
    wave: str
    pointers: Annotated[dict[str, PointerTo], Meta(description="By cluster; those that were moved.")]
    reasons: Annotated[tuple[str, ...], Meta(description="Why nothing was moved.")]


class RolledBack(Model, frozen=True, kw_only=True):
    """What `canaryfleet rollback` did."""

    changed: Annotated[tuple[str, ...], Meta(description="Paths of the files that it wrote.")]
    moves: Annotated[tuple[Move, ...], Meta(description="Each cluster that goes back.")]
    bars: Annotated[tuple[Bar, ...], Meta(description="What is given to nobody from now on.")]
    stays: Annotated[
        tuple[str, ...],
        Meta(description="Clusters that stay, since there is no way back; a warning says so."),
    ]


class PrunedAway(Model, frozen=True, kw_only=True):
    """What `canaryfleet prune` took away, or would."""

    releases: Annotated[dict[str, tuple[str, ...]], Meta(description="Ids by app.")]
    config: Annotated[dict[str, tuple[str, ...]], Meta(description="Folders of configuration by app.")]
    files: Annotated[tuple[str, ...], Meta(description="Paths of all files.")]
    written: Annotated[bool, Meta(description="Whether they are gone; a dry run takes nothing away.")]


Settings = Annotated[
    dict[str, int | str | tuple[str, ...] | None],
    Meta(
        description="By name: replicas, bounds of the autoscaler, hosts, gateways, the metric server's address."
    ),
]


class WaitingSettings(Model, frozen=True, kw_only=True):
    """Live settings of a cluster that wait until its Rollout is at rest."""

    app: str
    cluster: str
    present: Annotated[Settings, Meta(description="As its overlay has them.")]
    wanted: Annotated[Settings, Meta(description="As spec and inventory say them.")]


class Rendered(Model, frozen=True, kw_only=True):
    """What `canaryfleet render` did."""

    changed: Annotated[tuple[str, ...], Meta(description="Paths of the files that it wrote or deleted.")]
    releases: Annotated[dict[str, bool], Meta(description="By id: whether it is new in the tree.")]
    waiting: tuple[WaitingSettings, ...]
    findings: Annotated[tuple[FoundFinding, ...], Meta(description="Warnings.")]


class Checked(Model, frozen=True, kw_only=True):
    """What `canaryfleet render --check` proved, or found."""

    findings: tuple[FoundFinding, ...]
    waiting: tuple[WaitingSettings, ...]
    overlays: Annotated[int, Meta(description="That were looked at.")]
    releases: Annotated[int, Meta(description="That were looked at.")]


class Overruled(Model, frozen=True, kw_only=True):
    """What `hold`, `resume`, `bar`, `unbar` and `excuse` did."""

    changed: Annotated[str, Meta(description="Path of the promotion.yaml that has the entry, or had it.")]
