"""What the history of the default branch says of each cluster: since when, whether it went back, what was proven.

A record is one line of a commit's message, written when pointers move: what was true until then.

    Canaryfleet-Verdict: Verified app=chat cluster=eu-1 release=2.4.0-ab12 pod=… identity=… basis=Analysis
        reason=Proven since=2026-11-03T10:00:00Z evidence=<SHA-256>

(On one line.) What is the same for many clusters is said once, with a line for each that begins with a blank:
its name and identity, how many seconds later than the first, and the evidence.

    Canaryfleet-Verdicts: Verified app=chat release=2.4.0-ab12 pod=… basis=Analysis reason=Proven since=…
     eu-1 73aeda58-62ff-4b8b-8e9a-5f0d3f0e7a11 0 <SHA-256>
     eu-2 0c3f2a9e-1d0b-4c55-9a53-0a3b8f4be1d2 132 <SHA-256>

Anybody can write such a line, and a forge copies the text of pull requests into messages: so one counts only
where the history itself bears it out. What it does not bear out is ignored, never an error.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from canaryfleet.case import MEASURED, SKEW, Proof
from canaryfleet.landing import Landing, given
from canaryfleet.models.decision import Merged, Move
from canaryfleet.models.decision import Proof as Proved
from canaryfleet.models.observation import Basis, Verdict
from canaryfleet.overlay import Pointer

_NAME, _ID = r"[a-z0-9][a-z0-9.-]{0,252}", r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_RECORD = re.compile(
    r"Canaryfleet-Verdict: (?P<kind>Verified|Failed)"
    rf" app=(?P<app>{_NAME}) cluster=(?P<cluster>{_NAME}) release=(?P<release>{_ID})"
    rf" pod=(?P<pod>{_ID}) identity=(?P<identity>{_ID})"
    r"(?: basis=(?P<basis>Analysis|FirstDeployment|SameWorkload|Reverted))? reason=(?P<reason>[A-Za-z]{1,64})"
    r"(?: since=(?P<since>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?)Z)?"
    r" evidence=(?P<hash>[0-9a-f]{64})"
)
_GROUP = re.compile(
    r"Canaryfleet-Verdicts: (?P<kind>Verified|Failed)"
    rf" app=(?P<app>{_NAME}) release=(?P<release>{_ID}) pod=(?P<pod>{_ID})"
    r"(?: basis=(?P<basis>Analysis|FirstDeployment|SameWorkload|Reverted))? reason=(?P<reason>[A-Za-z]{1,64})"
    r"(?: since=(?P<since>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?)Z)?"
)
_ONE_OF = re.compile(
    rf" (?P<cluster>{_NAME}) (?P<identity>{_ID})(?: (?P<later>[0-9]{{1,12}}(?:\.[0-9]{{6}})?))?"
    r" (?P<hash>[0-9a-f]{64})"
)


class Record(NamedTuple):
    """A verdict of proof, good or bad, as the commit after it keeps it."""

    kind: Literal["Verified", "Failed"]
    app: str
    cluster: str
    release: str
    pod: str
    identity: str
    basis: Basis | None
    reason: str
    since: datetime | None
    hash: str

    @property
    def proves(self) -> bool:
        """Whether it says that the pods are good; what was only reverted to was not verified."""
        return self.kind == "Verified" and self.basis not in (None, "Reverted")


def line(verdict: Verdict) -> str:
    """The record of a verdict. Raises ValueError for one that is no proof, or names what no record can hold."""
    words = {
        "app": verdict.app,
        "cluster": verdict.cluster,
        "release": verdict.release,
        "pod": verdict.evidence.pod,
        "identity": verdict.evidence.identity,
        "basis": verdict.basis,
        "reason": verdict.reason,
        "since": _written(verdict.since),
        "evidence": verdict.hash,
    }
    text = " ".join([verdict.kind, *(f"{name}={word}" for name, word in words.items() if word is not None)])
    if not _RECORD.fullmatch(text := f"Canaryfleet-Verdict: {text}"):
        raise ValueError(f"no record: {text}")
    return text


def lines(verdicts: Iterable[Verdict]) -> list[str]:
    """The records of verdicts, each of which `line` can hold; those that say the same but for where are one."""
    alike: dict[tuple[object, ...], list[Verdict]] = {}
    for verdict in verdicts:
        pod = verdict.evidence.pod
        same = (verdict.kind, verdict.app, verdict.release, pod, verdict.basis, verdict.reason)
        alike.setdefault((*same, verdict.since is None), []).append(verdict)
    return [line(group[0]) if len(group) == 1 else _grouped(group) for group in alike.values()]


def _grouped(verdicts: Sequence[Verdict]) -> str:
    """One record of many clusters: the lines after the first are its continuation, as Git's trailers have it."""
    first = verdicts[0]
    begin = min((item.since for item in verdicts if item.since), default=None)
    words = {
        "app": first.app,
        "release": first.release,
        "pod": first.evidence.pod,
        "basis": first.basis,
        "reason": first.reason,
        "since": _written(begin),
    }
    head = " ".join([first.kind, *(f"{name}={word}" for name, word in words.items() if word is not None)])
    said = [f"Canaryfleet-Verdicts: {head}"]
    for item in verdicts:
        later = [_later(item.since - begin)] if begin and item.since else []
        said.append(" ".join(["", item.cluster, item.evidence.identity or "", *later, item.hash]))
    return "\n".join(said)


def _later(gap: timedelta) -> str:
    seconds = str(gap.days * 86_400 + gap.seconds)
    return f"{seconds}.{gap.microseconds:06}" if gap.microseconds else seconds


def _written(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None


def records(message: str) -> Iterator[Record]:
    """The records in a commit's message; whatever else it says, or says wrongly, is passed over.

    A line may end with a carriage return: what people merge on a forge's page comes out of a form.
    """
    group: re.Match[str] | None = None
    for text in (text.rstrip("\r") for text in message.split("\n")):
        one = _ONE_OF.fullmatch(text) if group else None
        said: dict[str, Any]
        if group and one:
            said = {**group.groupdict(), **one.groupdict()}
            if (said["since"] is None) != (said["later"] is None):
                continue
        else:
            group, found = _GROUP.fullmatch(text), _RECORD.fullmatch(text)
            if found is None:
                continue
            said = found.groupdict()
        try:
            yield _record(**said)
        except (ValueError, OverflowError):  # the 31st of February
            continue


def _record(since: str | None, later: str | None = None, **said: Any) -> Record:
    """Raises ValueError and OverflowError for what is no time."""
    begin = _time(since)
    seconds, _, rest = (later or "0").partition(".")
    at = begin + timedelta(seconds=int(seconds), microseconds=int(rest or 0)) if begin else None
    return Record(since=at, **said)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


class Change(NamedTuple):
    """One cluster's pointer after a commit. None: it has none any more, or none that can be read.

    `begins`: the overlay is new with this commit, which is not where the history itself begins.
    `before`: what it had until then.
    """

    pointer: Pointer | None
    begins: bool
    before: Pointer | None = None


class Commit(NamedTuple):
    """One commit of the default branch, against its first parent, as far as it is about one app."""

    at: datetime | None
    """By the clock of who made it; None if that is no time."""
    changes: Mapping[str, Change]
    records: Sequence[Record]
    id: str = ""
    root: bool = False
    """The history begins with it: what is new with it may be old."""
    landing: Landing | None = None
    """The decision of the bot that it carries out."""


NOTHING: Mapping[str, Proof] = MappingProxyType({})


class Facts(NamedTuple):
    """What is known of a cluster that points at `release`; what is not known is left as it is here.

    `promoted`: not before then. `proofs`: by pod digest, of releases that it had before.
    """

    release: str | None = None
    promoted: datetime | None = None
    reverted: bool = False
    proofs: Mapping[str, Proof] = NOTHING


class _State(NamedTuple):
    """A cluster at one commit. `trail`: what it had and did not go back from, the present release last."""

    pointer: Pointer
    trail: tuple[str, ...]
    promoted: datetime | None = None
    reverted: bool = False
    records: Mapping[str, Record] = MappingProxyType({})


def facts(commits: Iterable[Commit], now: datetime) -> dict[str, Facts]:
    """What is known of each cluster after the commits of one app, oldest first; `now`: of the reader's clock.

    A commit was made after those before it. So its time is the latest that any of them has, and a clock
    that is behind lets no older evidence in; a time that is still to come is none.
    """
    states: dict[str, _State] = {}
    lost: dict[str, _State | None] = {}  # what had a pointer that can't be read, or none, before that
    for latest, commit in _dated(commits, now):
        for record in _in_order(commit.records):
            state = states.get(record.cluster)
            if state and state.pointer.release == record.release and not _is_older(record, state.promoted):
                states[record.cluster] = _recorded(state, record)
        for cluster, change in commit.changes.items():
            before = states.pop(cluster, None)
            if change.pointer is None:
                lost[cluster] = before or lost.get(cluster)
            elif cluster in lost and not change.begins:
                states[cluster] = _found(lost.pop(cluster), change.pointer, latest)
            else:
                lost.pop(cluster, None)
                began = latest if before or change.begins else None
                states[cluster] = _moved(before, change.pointer, began)
    return {cluster: _facts(state) for cluster, state in states.items()}


def _dated(commits: Iterable[Commit], now: datetime) -> Iterator[tuple[datetime | None, Commit]]:
    """The commits, each with the latest time until then that is one."""
    latest: datetime | None = None
    for commit in commits:
        if commit.at and commit.at <= now + SKEW:
            latest = max(latest or commit.at, commit.at)
        yield latest, commit


def _is_older(record: Record, given: datetime | None) -> bool:
    """True if what is recorded was measured before the cluster was given the release: it was merged late."""
    measured = record.kind == "Verified" and record.basis in MEASURED
    return bool(measured and given and record.since and record.since < given - SKEW)


def _in_order(found: Iterable[Record]) -> list[Record]:
    """Of two that contradict each other, the one of failure comes last and counts."""
    return sorted(found, key=lambda item: item.kind == "Failed")


def _recorded(state: _State, record: Record) -> _State:
    """Newer evidence replaces older; that its pods are bad takes every proof of them away."""
    bad = record.kind == "Failed"
    kept = {
        id: item
        for id, item in state.records.items()
        if id != record.release and not (bad and item.pod == record.pod)
    }
    return state._replace(records=kept | {record.release: record} if record.proves else kept)


def _moved(before: _State | None, pointer: Pointer, at: datetime | None) -> _State:
    if before is None:
        return _State(pointer, (pointer.release,), at)
    if before.pointer.release == pointer.release:
        return before._replace(pointer=pointer)
    trail, left = _gone_back(before, pointer)
    if not left:
        return _State(pointer, (*before.trail, pointer.release), at, records=before.records)
    # It left them without success: what was proven of them before counts no more.
    kept = {id: item for id, item in before.records.items() if id not in left}
    return _State(pointer, trail, at, reverted=True, records=kept)


def _found(before: _State | None, pointer: Pointer, at: datetime | None) -> _State:
    """A pointer that could not be read for a while can be again.

    What a cluster had in between nobody knows. So what it has now began at this commit, and no older evidence is
    of it; what was known of before stays, that it went back above all.
    """
    return _moved(before, pointer, at)._replace(promoted=at)


def _gone_back(before: _State, pointer: Pointer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The trail that is left and what was left behind, if a cluster went back: to its fallback, or further.

    A promotion of an old release is no going back: it makes the release that it leaves the fallback.
    """
    trail, release = before.trail, pointer.release
    had = release in trail
    at = len(trail) - 1 - trail[::-1].index(release) if had else -1
    left = trail[at + 1 :]
    if release == before.pointer.fallback or (had and pointer.fallback not in left):
        return (trail[: at + 1] if had else (release,)), left
    return trail, ()


def _facts(state: _State) -> Facts:
    proofs = {
        item.pod: Proof(item.pod, item.identity, item.hash)
        for id, item in state.records.items()
        if id != state.pointer.release
    }
    return Facts(state.pointer.release, state.promoted, state.reverted, proofs)


# What a decision looks at


def merged(commits: Iterable[Commit], now: datetime) -> Iterator[Merged]:
    """The commits of one app that moved pointers of it, or that carry out decisions; oldest first.

    What a commit records counts only with a decision of the bot, and only of clusters that had the release until
    then. Where no time is known, it is `now`: so no older evidence is let in. The record of a last wave moves nothing:
    where it does, somebody added that, and it is a person's; so is what stands in a commit beside what was decided.
    """
    had: dict[str, str] = {}
    for at, commit in _dated(commits, now):
        moves, fallbacks = tuple(_moves(commit)), tuple(_fallbacks(commit))
        landing = None if moves and commit.landing and commit.landing.kind == "Done" else commit.landing
        known = _in_order(commit.records) if landing else []
        proofs = tuple(_proof(item) for item in known if had.get(item.cluster) == item.release)
        for cluster, change in commit.changes.items():
            had.pop(cluster, None)
            if change.pointer:
                had[cluster] = change.pointer.release
        if landing and landing.moves is not None:
            decided = tuple(move for move in moves if landing.moves.get(move.cluster) == given(move))
            added = tuple(move for move in moves if move not in decided)
            if added or fallbacks:  # somebody committed on the bot's branch, and it was squashed
                yield replace(_merged(commit, None, at or now, added, ()), fallbacks=fallbacks)
            moves, fallbacks = decided, ()
        if moves or fallbacks or proofs or landing:
            yield replace(_merged(commit, landing, at or now, moves, proofs), fallbacks=fallbacks)


def _merged(
    commit: Commit, said: Landing | None, at: datetime, moves: tuple[Move, ...], proofs: tuple[Proved, ...]
) -> Merged:
    if said is None:
        return Merged(commit=commit.id, at=at, by="person", moves=moves)
    return Merged(
        commit=commit.id, at=at, kind=said.kind, key=said.key, release=said.release, wave=said.wave,
        moves=moves, proofs=proofs, ends=said.ends, bars=said.bars, owes=said.owes, approvedBy=said.approvedBy,
    )  # fmt: skip


def moves(changes: Mapping[str, Change]) -> Iterator[Move]:
    """The pointers that changes moved; a new fallback alone, or other live settings, move nothing."""
    for cluster, change in sorted(changes.items()):
        before = change.before.release if change.before else None
        after, fallback = change.pointer or (None, None)
        if before != after:
            yield Move(cluster=cluster, from_=before, to=after, fallback=fallback)


def _fallbacks(commit: Commit) -> Iterator[str]:
    """Clusters that fall back to something else since a commit, and have what they had."""
    for cluster, change in () if commit.root else sorted(commit.changes.items()):
        before, after = change.before, change.pointer
        if before and after and before.release == after.release and before.fallback != after.fallback:
            yield cluster


def _moves(commit: Commit) -> Iterator[Move]:
    """Where the history begins nothing is known of what was before: an import of a repository moves nothing."""
    return iter(()) if commit.root else moves(commit.changes)


def _proof(record: Record) -> Proved:
    return Proved(
        cluster=record.cluster, release=record.release, kind=record.kind, basis=record.basis,
        reason=record.reason, since=record.since, hash=record.hash,
    )  # fmt: skip
