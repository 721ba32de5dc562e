"""What is worth telling people: events, each once, from a run's outcome and the decision before it.

A pull request is opened or merged by one run alone, so what that means is told by that run. A state that no
side effect of ours makes (a hold, the end) is told when it differs from what people were told last (told.py
remembers that); as long as nothing is known of it none is told, or all of them would be told again.
"""

from typing import Annotated

from msgspec import Meta

from canaryfleet.digest import short
from canaryfleet.errors import one_line
from canaryfleet.models.base import Model
from canaryfleet.models.decision import FORWARD, Code, Decision, Reason, Situation
from canaryfleet.models.fleet import EventKind
from canaryfleet.models.outcome import Action, Outcome, Verb
from canaryfleet.proposal import names

FAILURES: frozenset[Code] = frozenset(["failed", "max-failures", "beyond-limit"])
ASKING: frozenset[Code] = FAILURES | {
    "promotion-unreadable", "clock-behind", "barred", "persons-pointer", "breaks-limit", "no-release", "no-wave", "inconclusive",
    "overdue", "no-evidence", "unknown-to-release", "declined", "touched", "approval-missing", "changes-requested", "by-hand",
}  # fmt: skip
"""Reasons that stay until a person does something."""


class Event(Model, frozen=True, kw_only=True):
    """One thing to tell. `id` is the same whoever tells it, so that receivers can leave out what they have."""

    id: str
    kind: EventKind
    app: str
    title: str
    release: str | None = None
    wave: str | None = None
    key: str = ""
    clusters: tuple[str, ...] = ()
    codes: tuple[Code, ...] = ()
    reasons: Annotated[tuple[str, ...], Meta(description="Sentences, with what would change it.")] = ()
    number: Annotated[int | None, Meta(description="Of the pull request.")] = None
    url: str = ""


class Told(Model, frozen=True, kw_only=True):
    """What of a decision decides whether the next one is news."""

    done: bool = False
    release: str | None = None
    asked: Annotated[tuple[Code, ...], Meta(description="For which a person has to do something.")] = ()


def told_of(decision: Decision) -> Told:
    """What people know once they were told of a decision."""
    asked = sorted({item.code for item in asking(decision)})
    return Told(done=decision.kind == "Done", release=decision.release, asked=tuple(asked))


def events(before: Told | None, outcome: Outcome) -> list[Event]:
    """What to tell after a run; `before`: what people were told last, None if that is not known."""
    after = outcome.decision
    if after is None:
        return []
    if after.kind == "Done":  # recording what the last wave proved is nobody's news
        return [] if before is None else _turned(before, after)
    merged, opened = _action(outcome, "merged"), _action(outcome, "opened")
    if merged:
        return _landed(after, merged, outcome.begins)
    if opened and after.kind == "Rollback":
        title = f"{_what(after)} failed: going back is proposed for {_clusters(after)}"
        return [_event("fail", title, after, "proposed", opened)]
    if opened and not after.ready:
        return [_event("hold", f"{_what(after)} waits for a person", after, "proposed", opened)]
    if before is None:
        return []
    return _turned(before, after)


def first_batch(situation: Situation, decision: Decision) -> bool:
    """True unless clusters of the decision's wave have its release already: `Outcome.begins`."""
    release = situation.releases.get(decision.release or "")
    members = (
        {name for wave in release.waves if wave.name == decision.wave for name in wave.members}
        if release
        else ()
    )
    has = [
        name
        for name in members
        if name in situation.pointers and situation.pointers[name].release == decision.release
    ]
    return not has


def asking(decision: Decision) -> tuple[Reason, ...]:
    """The reasons for which a person has to do something."""
    return tuple(item for item in decision.reasons if item.alarm or item.code in ASKING)


def _action(outcome: Outcome, verb: Verb) -> Action | None:
    return next((action for action in outcome.actions if action.verb == verb), None)


def _landed(decision: Decision, merged: Action, begins: bool) -> list[Event]:
    if decision.kind == "Rollback":
        title = f"{_what(decision)} failed: {_clusters(decision)} went back"
        return [_event("fail", title, decision, "merged", merged)]
    if decision.kind in FORWARD and begins:
        wave = f"wave {decision.wave}" if decision.wave else "a change"
        return [
            _event(
                "start", f"{wave} of {_what(decision)} starts on {_clusters(decision)}", decision, "", merged
            )
        ]
    return []


def _turned(before: Told, after: Decision) -> list[Event]:
    """What became so without a side effect of ours."""
    same = before.release == after.release
    if after.kind == "Done":
        return [] if before.done and same else [_event("done", f"{_what(after)} is done", after)]
    asked = before.asked if same else ()
    new = [item.code for item in asking(after) if item.code not in asked]
    if not new:
        return []
    if FAILURES.intersection(new):
        return [_event("fail", f"{_what(after)} failed", after, *sorted(new))]
    return [_event("hold", f"{_what(after)} waits for a person", after, *sorted(new))]


def _event(kind: EventKind, title: str, decision: Decision, *state: str | Action) -> Event:
    """`state`: what tells this event from others of the same decision, and the pull request."""
    action = next((item for item in state if isinstance(item, Action)), None)
    words = [item for item in state if isinstance(item, str)]
    told = asking(decision) if kind == "hold" else decision.reasons
    return Event(
        id=short([decision.app, kind, decision.release, decision.wave, decision.key, words]),
        kind=kind,
        app=decision.app,
        title=one_line(f"{decision.app}: {title}"),
        release=decision.release,
        wave=decision.wave,
        key=decision.key,
        clusters=tuple(move.cluster for move in decision.moves),
        codes=tuple(item.code for item in told),
        reasons=tuple(map(_sentence, told)),
        number=action.number if action else None,
        url=action.url if action else "",
    )


def _sentence(item: Reason) -> str:
    return one_line(f"{item.message} ({item.remedy})" if item.remedy else item.message)


def _what(decision: Decision) -> str:
    return decision.release or "the app"


def _clusters(decision: Decision) -> str:
    return names([move.cluster for move in decision.moves]) or "no cluster"
