"""What would have to change for another decision: the situation is really changed, and decided anew.

Each change is one that the world or a person can make: a cluster that is proven, a hold that is removed, an
approval, a later time. Reported are the smallest that make a difference: single ones, and pairs if there is none.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations, islice
from typing import NamedTuple

from msgspec.structs import replace

from canaryfleet import limits, pointing, schedule, standing
from canaryfleet.decide import decide
from canaryfleet.models.decision import Decision, Request, Review, Situation
from canaryfleet.models.observation import Evidence, RunEvidence, Verdict, VerdictKind
from canaryfleet.models.promotion import Excuse, Promotion, nothing_said
from canaryfleet.models.release import ReleaseWave
from canaryfleet.proposal import BOT, names
from canaryfleet.quantity import seconds
from canaryfleet.standing import Facts

CLUSTERS = 12  # of each kind that are tried one by one; all together are tried, too
TRIES = 400  # of pairs: a fleet of a thousand clusters takes some milliseconds for each
READY = 2
QUARTER = timedelta(minutes=15)
AHEAD = 14 * 24 * 4  # quarters of an hour in which a window is looked for


class Change(NamedTuple):
    """One thing that could be otherwise."""

    what: str
    make: Callable[[Situation], Situation]
    cluster: str = ""
    """The one that it is about, so that what is said of many can be said once."""
    whole: bool = False
    """It is of all clusters together: worth telling where none of them alone makes a difference."""

    @property
    def said(self) -> str:
        """The condition as a sentence after `if`."""
        return f"{self.cluster} {self.what}" if self.cluster else self.what


class Otherwise(NamedTuple):
    """Changes, and the decision that they give."""

    changes: tuple[Change, ...]
    decision: Decision

    @property
    def words(self) -> tuple[str, ...]:
        """What would have to be true."""
        return tuple(item.said for item in self.changes)


def what_if(situation: Situation) -> list[Otherwise]:
    """The smallest changes that give another decision; empty if none of those that are tried does.

    Pairs are there if no single change makes a difference, or none of them lets the release go on.
    """
    first = decide(situation)
    tried = list(changes(situation, first))
    found = [new for item in tried if (new := _try(situation, first, (item,)))]
    alone = {item.changes[0].what for item in found if item.changes[0].cluster and not item.changes[0].whole}
    found = [item for item in found if not (item.changes[0].whole and item.changes[0].what in alone)]
    best = _progress(first)
    goes = first.kind == "Rollback" or best == READY
    if found and (goes or any(_progress(item.decision) > best for item in found)):
        return found
    pairs = (_try(situation, first, pair) for pair in islice(combinations(tried, 2), TRIES))
    return found + [new for new in pairs if new and (not found or _progress(new.decision) > best)]


def _progress(decision: Decision) -> int:
    """How far it lets the release go: people ask most of all what would let it go on."""
    if decision.kind in ("Hold", "Rollback"):
        return 0
    return READY if decision.ready or decision.kind == "Done" else 1


def _try(situation: Situation, first: Decision, made: tuple[Change, ...]) -> Otherwise | None:
    for item in made:
        situation = item.make(situation)
    new = decide(situation)
    return Otherwise(made, new) if outcome(new) != outcome(first) else None


def outcome(decision: Decision) -> tuple[str, str | None, str, bool]:
    """What makes two decisions the same for whoever carries them out: the words may differ."""
    return decision.kind, decision.release if decision.key else None, decision.key, decision.ready


def changes(situation: Situation, decision: Decision) -> Iterator[Change]:
    """What could be otherwise, the likeliest to matter first."""
    facts = standing.gather(situation)
    yield from _tree(situation)
    yield from _promotion(situation)
    yield from _policy(situation)
    yield from _forge(facts, decision)
    yield from _clusters(facts, decision)
    yield from _rooms(situation, decision)
    yield from _times(facts)


# What is in the repository


def _tree(situation: Situation) -> Iterator[Change]:
    if situation.fleet.paused:
        yield Change(
            "fleet.yaml said `paused: false`",
            lambda now: replace(now, fleet=replace(now.fleet, paused=False)),
        )
    for freeze in situation.fleet.freezes:
        if schedule.within(freeze.from_, freeze.to, situation.now):
            yield Change(f"there were no freeze {freeze.name}", _without_freeze(freeze.name))
    if situation.unreadable is not None:
        yield Change(
            _readable(situation),
            lambda now: replace(
                now, unreadable=None, rewritten=(), promotion=now.promotion or nothing_said(now.app)
            ),
        )


def _readable(situation: Situation) -> str:
    if situation.rewritten:
        return "frozen files were as clusters were given them, and all else could be read"
    if situation.promotion is not None:
        return "everything of the app could be read, and were about something"
    return "promotion.yaml could be read, and held and barred nothing"


def _without_freeze(name: str) -> Callable[[Situation], Situation]:
    def make(now: Situation) -> Situation:
        kept = tuple(freeze for freeze in now.fleet.freezes if freeze.name != name)
        return replace(now, fleet=replace(now.fleet, freezes=kept))

    return make


def _promotion(situation: Situation) -> Iterator[Change]:
    """Entries of promotion.yaml that are in force, each by itself."""
    written, now = situation.promotion, situation.now
    if written is None:
        return
    for hold in written.holds:
        if schedule.lasts(hold.until, now):
            where = hold.wave or hold.cluster or "everything"
            yield Change(f"{hold.by} did not hold {where}: {hold.why}", _without("holds", hold))
    for bar in written.bars:
        if schedule.lasts(bar.until, now):
            yield Change(f"{bar.release or bar.workload} were not barred", _without("bars", bar))
    for excuse in written.excused:
        if schedule.in_force(excuse.since, excuse.until, now):
            yield Change(f"{excuse.cluster} were not excused", _without("excused", excuse))


def _without(field: str, entry: object) -> Callable[[Situation], Situation]:
    def make(now: Situation) -> Situation:
        if now.promotion is None:
            return now
        kept = tuple(item for item in getattr(now.promotion, field) if item != entry)
        return replace(now, promotion=replace(now.promotion, **{field: kept}))

    return make


def _policy(situation: Situation) -> Iterator[Change]:
    policy = situation.policy
    for wave in dict.fromkeys(wave.name for wave in (*policy.waves, *policy.hotfixWaves) if wave.windows):
        yield Change(f"wave {wave} had no windows", _without_windows(wave))
    if policy.onNewRelease == "queue":
        yield Change(
            "the spec said `onNewRelease: replace`",
            lambda now: replace(now, policy=replace(now.policy, onNewRelease="replace")),
        )
    if not policy.automatic:
        yield Change(
            "the spec said `rollback: {automatic: true}`",
            lambda now: replace(now, policy=replace(now.policy, automatic=True)),
        )


def _without_windows(name: str) -> Callable[[Situation], Situation]:
    def make(now: Situation) -> Situation:
        fields = {
            field: tuple(
                replace(wave, windows=()) if wave.name == name else wave
                for wave in getattr(now.policy, field)
            )
            for field in ("waves", "hotfixWaves")
        }
        return replace(now, policy=replace(now.policy, **fields))

    return make


# What is on the forge


def _forge(facts: Facts, decision: Decision) -> Iterator[Change]:
    """An approval, a review that is dismissed, a pull request that was not closed or touched."""
    if any(item.code == "approval-missing" for item in decision.reasons):
        yield Change("a person approved the head of the pull request", _approved(decision))
    for request in facts.situation.requests:
        number = request.number
        if request.state == "closed" and request.closedBy == "person":
            yield Change(
                f"pull request {number} had not been closed by a person", _changed(number, state="open")
            )
        if request.state == "open" and request.touched:
            yield Change(
                f"nobody had committed to the branch of pull request {number}",
                _changed(number, touched=False),
            )
        against = [review for review in request.reviews if review.state == "changesRequested"]
        if request.state == "open" and against:
            rest = tuple(review for review in request.reviews if review not in against)
            yield Change(f"nobody asked for changes on pull request {number}", _changed(number, reviews=rest))


def _approved(decision: Decision) -> Callable[[Situation], Situation]:
    """Of the open pull request of this decision, or of the one that it would open."""

    def make(now: Situation) -> Situation:
        found = [item for item in now.requests if item.key == decision.key and item.state == "open"]
        last = max((item.number for item in now.requests), default=0)
        opened = Request(
            number=last + 1, branch=f"{BOT}/{decision.app}/{decision.key}", key=decision.key, head="0", state="open",
            kind=decision.kind, release=decision.release, wave=decision.wave, moves=decision.moves,
        )  # fmt: skip
        request = found[0] if found else opened
        review = Review(by="somebody", state="approved", head=request.head)
        others = tuple(item for item in now.requests if item is not request)
        return replace(now, requests=(*others, replace(request, reviews=(*request.reviews, review))))

    return make


def _changed(number: int, **fields: object) -> Callable[[Situation], Situation]:
    def make(now: Situation) -> Situation:
        return replace(
            now,
            requests=tuple(
                replace(item, **fields) if item.number == number else item for item in now.requests
            ),
        )

    return make


# What is on the clusters


def _clusters(facts: Facts, decision: Decision) -> Iterator[Change]:
    """Clusters that were proven, failed, or could not be seen, instead of what they are; and excused ones."""
    release = facts.situation.releases.get(decision.release or "")
    if release is None:
        return
    having = limits.having(facts, release.id)
    members = facts.waves[release.id]
    unproven = [name for name in having if not standing.verified(facts, name, release.id)]
    proven = [name for name in having if name in members and name not in unproven]
    failed = [name for name in having if standing.failed(facts, name, release.id)]
    yield from _each("Verified", unproven)
    yield from _each("Unknown", failed)
    yield from _each("Failed", proven)
    state = limits.state(facts, release)
    waiting = [wave for wave in release.waves if pointing.incomplete(state, wave)]
    among = [
        name
        for wave in waiting[:1]
        for name in wave.members
        if not standing.verified(facts, name, release.id)
    ]
    for name in among[:CLUSTERS]:
        yield Change("were excused", _excused(name), name)


def _each(kind: VerdictKind, clusters: Sequence[str]) -> Iterator[Change]:
    """Each cluster by itself, and all together."""
    for name in clusters[:CLUSTERS]:
        yield Change(f"were {kind}", _judged(kind, [name]), name)
    if len(clusters) > 1:
        yield Change(f"were {kind}", _judged(kind, clusters), names(clusters), whole=True)


def _judged(kind: VerdictKind, clusters: Sequence[str]) -> Callable[[Situation], Situation]:
    """With verdicts of this kind on what the clusters have: of this moment, with a bake if there has to be one."""

    def make(now: Situation) -> Situation:
        made = {
            name: Verdict(
                app=now.app, cluster=name, release=now.pointers[name].release, kind=kind, reason="Supposed",
                message="supposed", basis="Analysis" if kind == "Verified" else None,
                since=None if kind == "Unknown" else now.now, evidence=_SUPPOSED, hash="0" * 64,
            )
            for name in clusters
            if name in now.pointers
        }  # fmt: skip
        return replace(now, verdicts=now.verdicts | made)

    return make


_SUPPOSED = Evidence(runs=(RunEvidence(name="supposed", uid="supposed", role="bake"),))


def _excused(name: str) -> Callable[[Situation], Situation]:
    def make(now: Situation) -> Situation:
        since = schedule.written(now.now - timedelta(seconds=1))
        written = now.promotion or nothing_said(now.app)
        entry = Excuse(cluster=name, by="somebody", since=since, why="supposed")
        return replace(now, promotion=replace(written, excused=(*written.excused, entry)))

    return make


def _rooms(situation: Situation, decision: Decision) -> Iterator[Change]:
    """Other apps that were not on a cluster for which they leave no room."""
    short = [item for item in decision.reasons if item.code in ("capacity", "max-canaries")]
    for name in dict.fromkeys(name for item in short for name in item.clusters[:1]):
        if name in situation.sites:
            yield Change(f"no other app were under way on {name}", _alone(name))


def _alone(name: str) -> Callable[[Situation], Situation]:
    def make(now: Situation) -> Situation:
        rest = tuple(replace(load, underWay=False, takes={}) for load in now.sites[name].others)
        return replace(now, sites=now.sites | {name: replace(now.sites[name], others=rest)})

    return make


# When


def _times(facts: Facts) -> Iterator[Change]:
    """The moments at which something ends or begins by itself."""
    for at, what in sorted({at: what for at, what in _moments(facts) if at > facts.situation.now}.items()):
        yield Change(
            f"it were {at.astimezone(UTC):%Y-%m-%d %H:%MZ} ({what}), and nothing else had changed", _later(at)
        )


def _later(at: datetime) -> Callable[[Situation], Situation]:
    return lambda now: replace(now, now=max(now.now, at))


def _moments(facts: Facts) -> Iterator[tuple[datetime, str]]:
    situation, written = facts.situation, facts.situation.promotion
    for freeze in situation.fleet.freezes:
        yield schedule.instant(freeze.to), f"freeze {freeze.name} is over"
    for end in _ends(written) if written else ():
        yield schedule.instant(end), "an entry of promotion.yaml ends"
    for wave in (*situation.policy.waves, *situation.policy.hotfixWaves):
        at = _opening(situation, wave.name)
        if at is not None:
            yield at, f"a window of wave {wave.name} opens"
    deadlines = [(at, name) for name in sorted(situation.carried) if (at := _deadline(facts, name))]
    if deadlines:  # of a thousand, the first says it
        at, name = min(deadlines)
        yield at, f"progressDeadline of {name}"


def _ends(written: Promotion) -> list[str]:
    ends = [hold.until for hold in written.holds] + [bar.until for bar in written.bars]
    return [end for end in (*ends, *(excuse.until for excuse in written.excused)) if end]


def _opening(situation: Situation, name: str) -> datetime | None:
    """The quarter of an hour in which a closed window of a wave opens; None if it is open, or does not soon."""
    waves = (*situation.policy.waves, *situation.policy.hotfixWaves)
    windows = [wave.windows for wave in waves if wave.name == name and wave.windows]
    if not windows or any(schedule.is_open(item, situation.now) for item in windows):
        return None
    begin = situation.now.astimezone(UTC).replace(second=0, microsecond=0)
    begin -= timedelta(minutes=begin.minute % 15)
    moments = (begin + step * QUARTER for step in range(1, AHEAD))
    return next((at for at in moments if any(schedule.is_open(item, at) for item in windows)), None)


def _deadline(facts: Facts, cluster: str) -> datetime | None:
    """When the proof of a cluster is overdue, as standing.overdue counts."""
    pointer, placed = facts.pointers.get(cluster), facts.placed.get(cluster)
    wave: ReleaseWave | None = facts.waves.get(pointer.release, {}).get(cluster) if pointer else None
    if pointer is None or wave is None or standing.verified(facts, cluster, pointer.release):
        return None
    since = facts.situation.carried[cluster]
    begin = max(since, placed.merged.at) if placed else since
    return begin + timedelta(seconds=seconds(wave.progressDeadline) + seconds(wave.minSuccessTime))
