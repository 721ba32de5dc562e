"""What one run of the bot for one app came to: what is logged, counted, traced and told to people."""

from typing import Annotated, Literal

from msgspec import Meta

from canaryfleet.models.base import Model
from canaryfleet.models.decision import Decision
from canaryfleet.models.observation import Time

Verb = Literal["opened", "updated", "merged", "closed"]
BUG = "bug"
"""Kind of a problem that nobody thought of; all others are the codes of findings."""


class Action(Model, frozen=True, kw_only=True):
    """A side effect of this run, and of no other: what was there already is no action."""

    verb: Verb
    number: Annotated[int, Meta(description="Of the pull request.")]
    url: Annotated[str, Meta(description="Where a person looks at it.")] = ""
    why: Annotated[str, Meta(description="Reason of a closing.")] = ""

    def __str__(self) -> str:
        return f"{self.verb} pull request {self.number}" + (f": {self.why}" if self.why else "")


class Stage(Model, frozen=True, kw_only=True):
    """A part of the run; a run that looks again has the same stage twice."""

    name: Literal["read", "decide", "act"]
    began: Annotated[float, Meta(description="Seconds after the run began.")]
    seconds: float


class Outcome(Model, frozen=True, kw_only=True):
    """What a run decided and did. With a problem too: what was done before it stays done."""

    app: str
    decision: Decision | None = None
    actions: tuple[Action, ...] = ()
    begins: Annotated[bool, Meta(description="Its moves are the first of their wave, for people.")] = True
    problem: Annotated[str | None, Meta(description="Why the run ended early; without secrets.")] = None
    kind: Annotated[str | None, Meta(description="Code of the problem's finding, or `bug`.")] = None
    oldest: Annotated[Time | None, Meta(description="When the oldest evidence it rests on was read.")] = None
    seconds: float = 0.0
    stages: tuple[Stage, ...] = ()
