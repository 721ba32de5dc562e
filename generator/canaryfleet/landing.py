"""What a merged commit says of the decision that it carries out: one line of its message, for the next run.

    Canaryfleet-Decision: {"app":"chat","kind":"Advance","key":"1f0c…","release":"2.4.0-ab12","wave":"europe"}

Which pointers moved is never read from there: the commit itself shows it; what the line keeps of them (`moves`) tells
those that were decided from those that somebody added to the same commit. Anybody can write such a line, so the gate
refuses it in people's pull requests, and it counts only in a commit that touches nothing but what the bot writes for
that app.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from canaryfleet.digest import canonical_json, short
from canaryfleet.models.base import Model
from canaryfleet.models.decision import FORWARD, Decision, Kind, Move
from canaryfleet.models.promotion import Bar

AUTHOR = "canaryfleet"  # the bot's identity in Git: who else commits on its branches has touched them
EMAIL = "canaryfleet@users.noreply.invalid"
BRANCHES = "canaryfleet/"  # `canaryfleet/<app>/<key>`: the bot's
PREFIX = "Canaryfleet-"
WORD = f"{PREFIX}Decision: "
LONGEST = 2_000_000  # characters; a batch of ten thousand clusters is far from it
# Such characters stand in strings only, where JSON has another way to write them.
_ACTED_ON = re.compile(r"[@#]|(?<=:)/(?=/)|(?<=GH)-(?=[0-9])", re.IGNORECASE)
_SHA256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Landing(Model, frozen=True, kw_only=True):
    """A decision as the commit that carries it out keeps it."""

    app: str
    kind: Kind
    key: str
    release: str | None = None
    wave: str | None = None
    ends: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    owes: tuple[Bar, ...] = ()
    approvedBy: tuple[str, ...] = ()
    moves: Annotated[
        dict[str, str] | None, Meta(description="By cluster, a digest of what it is given (`given`).")
    ] = None
    record: Annotated[_SHA256 | None, Meta(description="Hash of the decision's complete input.")] = None


def of(decision: Decision, approved_by: tuple[str, ...] = (), record: str | None = None) -> Landing:
    """What of a decision its commit keeps; of one that goes back no moves: it is never read as less than it did."""
    return Landing(
        app=decision.app, kind=decision.kind, key=decision.key, release=decision.release, wave=decision.wave,
        ends=decision.ends, bars=decision.bars, owes=decision.owes, approvedBy=approved_by, record=record,
        moves={move.cluster: given(move) for move in decision.moves} if decision.kind in FORWARD else None,
    )  # fmt: skip


def given(move: Move) -> str:
    """What a cluster is given, as a commit's message keeps it."""
    return short([move.to, move.fallback])


def line(landing: Landing) -> str:
    """The line of a commit's message: ASCII, without line ends whatever people have written.

    Nor with what a forge acts on in a message: `@ann` calls somebody, and `fixes #12` closes something.
    """
    text = canonical_json(msgspec.to_builtins(landing)).decode()
    return WORD + _ACTED_ON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def read(message: str) -> Landing | None:
    """The decision in a commit's message; None if there is none, more than one, or one that is not of the form."""
    found = [text for text in message.split("\n") if text.startswith(WORD)]
    if len(found) != 1 or len(found[0]) > LONGEST:
        return None
    try:
        said = msgspec.json.decode(found[0].removeprefix(WORD))
        return msgspec.convert(_known(said, Landing), Landing, strict=True)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _known(said: Any, model: type[Model]) -> Any:
    """Without fields that this version does not know: a newer one's rollback would else look like a person's."""
    if not isinstance(said, dict):
        return said
    kept = {name: value for name, value in said.items() if name in model.__struct_fields__}
    for name in {"bars", "owes"} & kept.keys():
        if isinstance(kept[name], list):
            kept[name] = [_known(item, Bar) for item in kept[name]]
    return kept


def is_ours(line: str) -> bool:
    """True for a line that only the bot may write into a message, however it is spelled."""
    return line.strip().lower().startswith(PREFIX.lower())
