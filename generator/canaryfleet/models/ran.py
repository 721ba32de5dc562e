"""What the bot's commands say to scripts: `--output json` of `reconcile`, `gate`, and `explain` of a record."""

from typing import Annotated, Any

from msgspec import Meta, field

from canaryfleet.models.base import Model
from canaryfleet.models.decision import Decision, Reason
from canaryfleet.models.findings import FoundFinding
from canaryfleet.models.forge import CommitStatus
from canaryfleet.models.outcome import Outcome


class Ran(Outcome, frozen=True, kw_only=True):
    """What `canaryfleet reconcile` decided and did for an app; in a dry run: would."""

    remarks: Annotated[
        tuple[str, ...], Meta(description="Why no more was done, or what would be in a dry run.")
    ]
    findings: tuple[FoundFinding, ...]


class Reconciled(Model, frozen=True, kw_only=True):
    """What `canaryfleet reconcile` came to."""

    apps: tuple[Ran, ...]


class GatedRequest(Model, frozen=True, kw_only=True):
    """A pull request, and what merging it now would break."""

    number: int
    head: Annotated[str, Meta(description="The commit that was judged and marked.")]
    status: Annotated[CommitStatus, Meta(description="What it is marked with.")]
    reasons: Annotated[dict[str, tuple[Reason, ...]], Meta(description='By app; "": of no app.')]


class Gated(Model, frozen=True, kw_only=True):
    """What `canaryfleet gate` found."""

    requests: tuple[GatedRequest, ...]


class DecidedDifferently(Model, frozen=True, kw_only=True):
    """A field of a decision that this version fills otherwise."""

    field: Annotated[str, Meta(description="Its name in a decision.")]
    recorded: Any
    now: Any


class WhatIf(Model, frozen=True, kw_only=True):
    """What would have to be otherwise for another decision, and which it would be."""

    if_: Annotated[tuple[str, ...], Meta(description="All of these.")] = field(name="if")
    decision: Decision


class ExplainedDecision(Model, frozen=True, kw_only=True):
    """`canaryfleet explain` of a recorded decision."""

    record: Annotated[str | None, Meta(description="Its hash, if it came with one.")]
    note: Annotated[str, Meta(description="What is to be said of where it came from.")]
    version: Annotated[str, Meta(description="Of canaryfleet, that decided.")]
    thisVersion: Annotated[str, Meta(description="Of canaryfleet, that decided again.")]
    same: bool
    differences: tuple[DecidedDifferently, ...]
    decision: Annotated[Decision, Meta(description="As it was recorded.")]
    whatIf: tuple[WhatIf, ...]
