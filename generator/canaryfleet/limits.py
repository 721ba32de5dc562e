"""What no tree may break (DESIGN.md, invariants 1, 8 and 11), on the tree that a merge would produce.

The bot asks before it proposes and again before it merges; the gate asks for everybody's pull requests;
and what people merged against it is found on main. Going back is always allowed: it is the way out.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from canaryfleet import pointing, standing
from canaryfleet.case import SKEW
from canaryfleet.models.decision import Code, Move, Pointed, Reason, ReleaseFacts, Situation
from canaryfleet.models.release import ReleaseWave
from canaryfleet.overlay import Pointer
from canaryfleet.pointing import State
from canaryfleet.standing import Facts

FAR = timedelta(days=1)  # more than anybody waits for
NEWEST = "git log --first-parent --grep=Canaryfleet-Decision --format='%cI %h %s' | sort | tail -1"
YOUNG = timedelta(days=30)  # for which a release stays, whoever has it

LIVE: frozenset[Code] = frozenset(
    ["paused", "frozen", "held", "window-closed", "promotion-unreadable", "clock-behind"]
)  # true now, not for ever


def broken(
    situation: Situation, after: Mapping[str, Pointed], releases: Mapping[str, ReleaseFacts] | None = None
) -> list[Reason]:
    """What the app's pointers `after` a merge would break; empty if it may be merged as far as they go.

    `situation` is of main; `releases` are those in the tree after the merge, if it changes them.
    """
    facts = standing.gather(situation)
    there = situation.releases if releases is None else releases
    moves = between(situation.pointers, after)
    reasons = [*to_nothing(after, there), *_pruned(situation, there), *_fallbacks(facts, moves)]
    return [*reasons, *judge(facts, moves, live=True)]


def between(before: Mapping[str, Pointed], after: Mapping[str, Pointed]) -> tuple[Move, ...]:
    """The moves that make one set of pointers of another; a new fallback alone is one too."""
    return tuple(
        Move(
            cluster=name,
            from_=before[name].release if name in before else None,
            to=after[name].release if name in after else None,
            fallback=after[name].fallback if name in after else None,
        )
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def judge(facts: Facts, moves: Sequence[Move], *, live: bool) -> list[Reason]:
    """What moves would break. `live`: also windows, freezes, holds and `paused`, which are true only now."""
    reasons: list[Reason] = []
    given: dict[str, list[Move]] = {}
    for move in moves:
        if move.to is None:
            reasons += _removed(facts, move)
        elif not goes_back(facts, move):
            given.setdefault(move.to, []).append(move)
    if given:
        reasons += unreadable(facts.situation)
        reasons += behind(facts.situation) if live else ()
        reasons += unanswered(facts) if live else ()
    pointers = moved(facts, moves)
    for id, forward in given.items():
        release = facts.situation.releases.get(id)
        if release is not None:
            reasons += _forward(facts, release, forward, pointers)
    return reasons if live else [reason for reason in reasons if reason.code not in LIVE]


def _fallbacks(facts: Facts, moves: Sequence[Move]) -> Iterator[Reason]:
    """Other fallbacks than those that are there, or that proof gives: clusters would go back to what nobody knows."""
    releases = facts.situation.releases
    for move in moves:
        release, pointer = releases.get(move.to or ""), facts.pointers.get(move.cluster)
        if release is None or (move.fallback is not None and move.fallback not in releases):
            continue  # that is said already
        wanted = pointing.fallback(around(facts, release, move.cluster), move.cluster)
        present = pointer.fallback if pointer else None
        dropped = move.fallback is None and goes_back(facts, move)
        # nothing to go back to, though there is something
        lost = move.fallback is None and wanted is not None
        if (lost or move.fallback not in (wanted, present)) and not dropped:
            what = f"{move.cluster} would fall back to {move.fallback or 'nothing'}, and proven there is {wanted or present or 'nothing'}"
            remedy = "leave the fallback as it is, or as `canaryfleet point` writes it"
            yield _reason("other-fallback", what, (move.cluster,), remedy)


def unreadable(situation: Situation) -> Iterator[Reason]:
    """That a file that may bar or hold something can't be read: so it holds everything."""
    if situation.unreadable is not None:
        what = f"what may hold it can't be read, or holds nothing that is there: {situation.unreadable}"
        yield Reason(code="promotion-unreadable", message=what, remedy="repair it", alarm=True)


def behind(situation: Situation) -> Iterator[Reason]:
    """That the clock is behind the bot's own commits: ages, windows, terms and deadlines can't be told by it."""
    if situation.latest is not None and situation.now < situation.latest - SKEW:
        what = f"by this clock it is {_clock(situation.now)}, and the bot last committed at {_clock(situation.latest)}"
        remedy = "set the bot's clock; if it was ahead before, it goes on when that time has come"
        if situation.latest - situation.now > FAR:
            remedy = f"set the bot's clock if it is wrong; else nothing goes forward for {(situation.latest - situation.now).days} days, unless the commit that is dated so is made anew: `{NEWEST}` names it"
        yield Reason(code="clock-behind", message=what, remedy=remedy, alarm=True)


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}"


def unanswered(facts: Facts) -> Iterator[Reason]:
    """Failures beyond a limit of what clusters have: until they are barred nothing goes forward (invariant 6)."""
    situation = facts.situation
    for id in sorted({pointer.release for pointer in facts.pointers.values()} & situation.releases.keys()):
        release = situation.releases[id]
        if pointing.bars_on(release, situation.promotion, situation.now):
            continue
        for _, failed in beyond(facts, release):
            what = f"{id} failed on {', '.join(failed[:5])}, and that goes back before anything goes forward"
            yield _reason("beyond-limit", what, failed, "merge the rollback")


def beyond(facts: Facts, release: ReleaseFacts) -> Iterator[tuple[ReleaseWave, tuple[str, ...]]]:
    """The waves of a release in which it failed on more clusters than it may, and these."""
    for wave in release.waves:
        failed = tuple(name for name in wave.members if standing.failed(facts, name, release.id))
        if len(failed) > pointing.limit_of_failures(wave):
            yield wave, failed


def moved(facts: Facts, moves: Iterable[Move]) -> dict[str, Pointer]:
    """The pointers after some moves."""
    pointers = dict(facts.pointers)
    for move in moves:
        if move.to is None:
            pointers.pop(move.cluster, None)
        else:
            pointers[move.cluster] = Pointer(move.to, move.fallback)
    return pointers


def goes_back(facts: Facts, move: Move) -> bool:
    """True if a cluster returns to what was proven there: its fallback, or the release that it had before."""
    pointer, placed = facts.pointers.get(move.cluster), facts.placed.get(move.cluster)
    if pointer is None or move.to is None:
        return False
    before = placed is not None and (placed.move.from_, placed.move.to) == (move.to, pointer.release)
    known = before and standing.proven_before(facts, move.cluster, move.to)
    return known or standing.falls_back(facts, move.cluster, move.to)


def _forward(
    facts: Facts, release: ReleaseFacts, moves: list[Move], pointers: Mapping[str, Pointer]
) -> Iterator[Reason]:
    """What giving a release to clusters would break."""
    clusters = [move.cluster for move in moves]
    after = state(facts, release, pointers)
    done = standing.is_done(facts, release)
    waves = [wave for wave in release.waves if not set(clusters).isdisjoint(wave.members)]
    joiners = tuple(name for name in clusters if name not in facts.waves[release.id])
    if joiners:
        if not done:
            yield _reason("wave-incomplete", f"{release.id} is not done, and no wave of it has them", joiners)
        yield from pointing.stops(after, ReleaseWave(name="", members=joiners))
    for wave in waves:
        yield from pointing.stops(after, wave)
        yield from () if done else pointing.earlier(after, wave)
        yield from pointing.failures(after, wave)
        under_way = [name for name in wave.members if pointing.is_under_way(after, name)]
        if len(under_way) > pointing.room_of(after, wave):
            said = f"{len(under_way)} clusters of wave {wave.name} would be under way, and {pointing.allows(after, wave)}"
            yield _reason("max-concurrency", said, tuple(under_way))
    for name in clusters:
        reason = too_much(facts, release, name)
        if reason is not None:
            yield reason


def state(facts: Facts, release: ReleaseFacts, pointers: Mapping[str, Pointer] | None = None) -> State:
    """What the rules of pointing look at, for one release on main, or with other pointers."""
    if pointers is None:
        if release.id not in facts.states:
            facts.states[release.id] = state(facts, release, facts.pointers)
        return facts.states[release.id]
    situation, after = facts.situation, pointers
    known = [name for name, pointer in after.items() if facts.pointers.get(name) == pointer]
    proven = {
        name
        for name in known
        if (
            standing.verified(facts, name, release.id)
            if after[name].release == release.id
            else standing.stands(facts, name)
        )
    }
    return State(
        release=release,
        releases=situation.releases,
        pointers=after,
        promotion=situation.promotion,
        fleet=situation.fleet,
        windows=situation.policy.waves_of(release.urgency),
        verified=proven,
        now=situation.now,
        failed={name for name in facts.waves[release.id] if standing.failed(facts, name, release.id)},
        retiring=standing.retiring(situation),
        witnesses={name for name in facts.waves[release.id] if standing.has_proven(facts, name, release.id)},
    )


def around(facts: Facts, release: ReleaseFacts, cluster: str) -> State:
    """What pointing looks at for one cluster's fallback."""
    situation = facts.situation
    return State(
        release=release,
        releases=situation.releases,
        pointers=facts.pointers,
        promotion=situation.promotion,
        fleet=situation.fleet,
        windows={},
        verified={cluster} if standing.stands(facts, cluster) else (),
        now=situation.now,
    )


# One cluster


def having(facts: Facts, release: str) -> list[str]:
    """Clusters that main points at a release."""
    return [name for name, pointer in sorted(facts.pointers.items()) if pointer.release == release]


def too_much(facts: Facts, release: ReleaseFacts, cluster: str) -> Reason | None:
    """Why a cluster can't be given a release whatever its wave says."""
    member, site = release.clusters.get(cluster), facts.situation.sites.get(cluster)
    if member is None or site is None:
        what = (
            f"{release.id} does not know {cluster}"
            if site
            else f"the fleet has no cluster {cluster} any more"
        )
        return _reason(
            "unknown-to-release", what, (cluster,), "it gets the next release, or give its file back"
        )
    under_way = sum(load.underWay for load in site.others)
    if site.maxConcurrentCanaries is not None and under_way >= site.maxConcurrentCanaries:
        said = (
            f"{under_way} other apps are under way on {cluster}, and it allows {site.maxConcurrentCanaries}"
        )
        return _reason("max-canaries", said, (cluster,), "wait for them")
    for resource, most in sorted(site.resources.items()):
        rest = sum(load.takes.get(resource, 0) for load in site.others)
        wanted = member.takes.get(resource, 0) + _kept(facts, release, cluster, resource)
        if wanted and rest + wanted > most:
            said = f"{cluster} has {most / 1000:g} {resource}; old and new version together ask for {wanted / 1000:g}, other apps for {rest / 1000:g}"
            return _reason("capacity", said, (cluster,), "make room")
    return None


def _kept(facts: Facts, release: ReleaseFacts, cluster: str, resource: str) -> int:
    """What the version that runs there asks for beside the new one, while that is a canary."""
    pointer = facts.pointers.get(cluster)
    running = facts.situation.releases.get(pointer.release) if pointer else None
    member = running.clusters.get(cluster) if running else None
    if member is None or running is None or pointing.same_pods(running, release, cluster):
        return 0
    return member.takes.get(resource, 0)


def _removed(facts: Facts, move: Move) -> Iterator[Reason]:
    site = facts.situation.sites.get(move.cluster)
    leaves = facts.situation.policy.lifecycle == "retiring" or (site and site.lifecycle == "retiring")
    if not leaves:
        what = f"{move.cluster} would lose {move.from_}, and neither the app nor the cluster is retiring"
        yield _reason("pointer-removed", what, (move.cluster,), "say `lifecycle: retiring`")


# What is needed stays (invariant 11)


def to_nothing(pointers: Mapping[str, Pointed], releases: Collection[str]) -> list[Reason]:
    """Pointers and fallbacks to releases that are not there."""
    lost: dict[str, list[str]] = {}
    for name, pointer in sorted(pointers.items()):
        for id in {pointer.release, pointer.fallback} - {None} - set(releases):
            lost.setdefault(str(id), []).append(name)
    return [
        _reason(
            "to-nothing",
            f"they name the release {id}, which is not there",
            tuple(names),
            "restore it from Git",
        )
        for id, names in sorted(lost.items())
    ]


def needed(situation: Situation) -> set[str]:
    """Releases that must not be pruned: pointers, fallbacks, the newest that is done, open pull requests, thirty days.

    A release is that young if a cluster was given it, or was moved away from it, since then.
    """
    facts = standing.gather(situation)
    done = newest_done(facts)
    open_ = [request for request in situation.requests if request.state == "open"]
    pointers = situation.pointers.values()
    found = {id for pointer in pointers for id in (pointer.release, pointer.fallback)}
    found |= {id for request in open_ for move in request.moves for id in (move.to, move.fallback)}
    # where a policy alone changed, going back is to the release before
    found |= {placed.move.from_ for placed in facts.placed.values() if placed.move.cluster in facts.pointers}
    recent = [merged for merged in situation.history if merged.at >= situation.now - YOUNG]
    found |= {id for merged in recent for move in merged.moves for id in (move.from_, move.to, move.fallback)}
    found |= {request.release for request in open_} | {situation.candidate, done.id if done else None}
    return {id for id in found if id is not None and id in situation.releases}


def _pruned(situation: Situation, releases: Collection[str]) -> Iterator[Reason]:
    if releases is not situation.releases:
        for id in sorted(needed(situation) - set(releases)):
            yield _reason("still-needed", f"release {id} would be removed, and it is needed", (), "keep it")


def newest_done(facts: Facts) -> ReleaseFacts | None:
    """The release that was last given to somebody among those that are done."""
    latest: dict[str, int] = {}
    for place, merged in enumerate(facts.situation.history):
        latest |= {move.to: place for move in merged.moves if move.to and merged.kind != "Rollback"}
    named = {id: -1 for pointer in facts.pointers.values() for id in pointer if id}
    among = [
        release
        for id in {**named, **latest}
        if (release := facts.situation.releases.get(id)) and standing.is_done(facts, release)
    ]
    return max(among, key=lambda item: (latest.get(item.id, -1), item.id), default=None)


# What people did


def against(facts: Facts) -> list[Reason]:
    """Limits that main breaks by what people merged: nothing moves forward, and somebody should look."""
    theirs = [
        placed.move
        for name, placed in sorted(facts.placed.items())
        if placed.merged.by == "person" and placed.move.to == present(facts, name) is not None
    ]
    reasons = to_nothing(facts.situation.pointers, facts.situation.releases)
    if theirs:
        reasons += _by_people(facts, theirs)
    return [
        Reason(
            code="breaks-limit", message=f"on main: {reason.message}", remedy=reason.remedy or "move it back",
            clusters=reason.clusters, alarm=True,
        )
        for reason in reasons
    ]  # fmt: skip


def _by_people(facts: Facts, moves: list[Move]) -> list[Reason]:
    """Of people's moves forward those that the limits would not have let pass, as far as Git still shows."""
    unproven = [move for move in moves if not standing.stands(facts, move.cluster)]
    found: list[Reason] = []
    for id in sorted({move.to for move in unproven if move.to}):
        release = facts.situation.releases.get(id)
        forward = [
            move for move in unproven if move.to == id and move.from_ != id and not _was_back(facts, move)
        ]
        if release is not None and forward:
            found += _forward(facts, release, forward, facts.pointers)
    return [reason for reason in found if reason.code not in LIVE]


def _was_back(facts: Facts, move: Move) -> bool:
    return move.to is not None and standing.proven_before(facts, move.cluster, move.to)


def present(facts: Facts, cluster: str) -> str | None:
    """The release that main points a cluster at."""
    pointer = facts.pointers.get(cluster)
    return pointer.release if pointer else None


def _reason(code: Code, message: str, clusters: tuple[str, ...], remedy: str = "") -> Reason:
    return Reason(code=code, message=message, remedy=remedy, clusters=clusters)
