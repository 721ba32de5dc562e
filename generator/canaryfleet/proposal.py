"""What a rule of the decision proposes, and the words for it."""

from collections.abc import Sequence
from typing import NamedTuple

from canaryfleet.models.decision import Code, Kind, Move, Reason
from canaryfleet.models.promotion import Bar
from canaryfleet.phrases import some

BOT = "canaryfleet"


class Proposal(NamedTuple):
    """What a rule would do, and why; without moves and bars, why it does nothing."""

    kind: Kind
    reasons: tuple[Reason, ...]
    moves: tuple[Move, ...] = ()
    release: str | None = None
    wave: str | None = None
    bars: tuple[Bar, ...] = ()
    ends: tuple[str, ...] = ()
    asks: bool = False
    """A person has to approve it."""
    by_hand: bool = False
    """A person has to merge it."""

    @property
    def acts(self) -> bool:
        """True if there is something to merge."""
        return bool(self.moves or self.bars)


def names(clusters: Sequence[str]) -> str:
    """At most five names; the reason carries them all."""
    return some(clusters, 5)


def reason(code: Code, message: str, clusters: Sequence[str] = (), remedy: str = "") -> Reason:
    """A reason about clusters."""
    return Reason(code=code, message=message, clusters=tuple(clusters), remedy=remedy)
