"""What a change was asked, and what it answered: `canaryfleet review --output json`."""

from typing import Annotated, Literal

from msgspec import Meta

from canaryfleet.models.base import ApiVersion, Model
from canaryfleet.models.decision import Reason
from canaryfleet.models.diff import Diff
from canaryfleet.models.findings import FoundFinding
from canaryfleet.models.forecast import Forecast
from canaryfleet.models.observation import Time
from canaryfleet.models.plan import Plan

State = Literal["passed", "warned", "failed", "told", "notMade"]


class ReviewCheck(Model, frozen=True, kw_only=True):
    """One check of a change."""

    name: Literal["lint", "render", "difference", "plan", "forecast", "limits"]
    state: Annotated[
        State,
        Meta(
            description="`told`: it says something, and judges nothing; `notMade`: nobody knows, and `said` has why."
        ),
    ]
    said: Annotated[str, Meta(description="In one sentence.")]
    findings: tuple[FoundFinding, ...] = ()


class Review(Model, frozen=True, kw_only=True):
    """What a change does, and what is wrong with it."""

    apiVersion: ApiVersion
    kind: Literal["Review"]
    passed: Annotated[
        bool, Meta(description="No check has failed, and those that have to be made were made.")
    ]
    at: Time
    base: Annotated[str, Meta(description="The commit that it is compared with; empty: nobody knows.")]
    head: Annotated[str, Meta(description="The commit that is checked out.")]
    checks: tuple[ReviewCheck, ...]
    difference: Diff | None = None
    plan: Annotated[Plan | None, Meta(description="Of the apps for which anything is another.")] = None
    forecasts: Annotated[tuple[Forecast, ...], Meta(description="Of the apps that get another release.")] = ()
    limits: Annotated[
        dict[str, tuple[Reason, ...]],
        Meta(
            description="By app, what merging it would break as far as Git alone shows it; empty: about all."
        ),
    ] = {}
