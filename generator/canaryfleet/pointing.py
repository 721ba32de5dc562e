"""Moving pointers: which clusters of a wave may get a release now, and what becomes their fallback.

Pure rules that the bot and `canaryfleet point` share. Evidence comes in as an argument: the set of
clusters known to be verified on what they have. Without evidence nothing goes past the first batch.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from canaryfleet import schedule
from canaryfleet.models.canary import Wave
from canaryfleet.models.decision import Reason, ReleaseFacts
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.promotion import Bar, Promotion
from canaryfleet.models.release import Release, ReleaseWave
from canaryfleet.overlay import Pointer
from canaryfleet.quantity import count_or_percent

NOTHING: Mapping[str, Reason] = MappingProxyType({})


class State(NamedTuple):
    """What the rules look at. `verified`: clusters whose present release is proven there."""

    release: Release | ReleaseFacts
    releases: Mapping[str, Release | ReleaseFacts]
    pointers: Mapping[str, Pointer]
    promotion: Promotion | None
    fleet: Fleet
    windows: Mapping[str, Wave]
    verified: Collection[str]
    now: datetime
    failed: Collection[str] = ()
    """Clusters on which the release has failed, also those that went back."""
    retiring: Collection[str] = ()
    """Clusters that are given nothing any more, and that nobody waits for."""
    passed: Mapping[str, Reason] = NOTHING
    """Clusters that can't be given the release now, and why."""
    proposed: Collection[str] = ()
    """Clusters of a batch that is proposed already: it stays as it is while the limits allow it."""
    witnesses: Collection[str] = ()
    """Clusters that have proven the release at some time, also those that nobody waits for any more."""


class Move(NamedTuple):
    """New pointers by cluster, or the reasons why there are none."""

    pointers: Mapping[str, Pointer]
    reasons: tuple[str, ...]


class Batch(NamedTuple):
    """New pointers by cluster, and why there are not more."""

    pointers: Mapping[str, Pointer]
    reasons: tuple[Reason, ...]


def move(state: State, wave: str) -> Move:
    """Point the next clusters of a wave at the release, as many as its limits allow."""
    target = next((item for item in state.release.waves if item.name == wave), None)
    if target is None:
        known = ", ".join(item.name for item in state.release.waves)
        return Move({}, (f"release {state.release.id} has no wave {wave}; it has: {known}",))
    among = waiting(state, target)
    found = batch(state, target, among)
    if not among and not found.reasons:
        return Move({}, (f"every cluster of wave {wave} has {state.release.id} already",))
    return Move(found.pointers, () if found.pointers else tuple(reason.message for reason in found.reasons))


def waiting(state: State, wave: ReleaseWave) -> list[str]:
    """Members of a wave that are to be given the release and don't have it."""
    excused = _excused(state)
    return [name for name in wave.members if not _has(state, name) and name not in excused]


def batch(state: State, wave: ReleaseWave, among: Sequence[str]) -> Batch:
    """The next clusters `among` those of a wave, as many as every limit allows."""
    reasons = [*stops(state, wave), *earlier(state, wave), *failures(state, wave)]
    free = [name for name in among if name not in state.passed]
    under_way = [name for name in wave.members if is_under_way(state, name)]
    room = room_of(state, wave) - len(under_way)
    if free and room <= 0:
        message = f"{len(under_way)} of wave {wave.name} are under way, and {allows(state, wave)}"
        reasons.append(
            Reason(code="max-concurrency", message=message, remedy="wait for them", clusters=tuple(under_way))
        )
    waits = tuple(state.passed[name] for name in among if name in state.passed)
    if reasons:
        return Batch({}, (*reasons, *waits))
    stays = state.proposed and len(state.proposed) <= room and set(state.proposed) <= set(free)
    chosen = sorted(state.proposed) if stays else free[:room]
    return Batch({name: Pointer(state.release.id, fallback(state, name)) for name in chosen}, waits)


def stops(state: State, wave: ReleaseWave) -> list[Reason]:
    """Bars, holds, freezes, windows and `paused`: read live, so tightening works at once."""
    release, now = state.release, state.now
    reasons: list[Reason] = []
    if state.fleet.paused:
        reasons.append(
            Reason(code="paused", message="fleet.yaml says `paused: true`", remedy="set it to false")
        )
    for freeze in state.fleet.freezes:
        if schedule.within(freeze.from_, freeze.to, now):
            message = f"freeze {freeze.name} lasts until {freeze.to}"
            reasons.append(Reason(code="frozen", message=message, remedy="wait, or shorten it in fleet.yaml"))
    reasons += barring(release, state.promotion, now)
    for hold in state.promotion.holds if state.promotion else ():
        touches = hold.wave in (None, wave.name) and (hold.cluster is None or hold.cluster in wave.members)
        if touches and schedule.lasts(hold.until, now):
            message = f"held by {hold.by} since {hold.since}: {hold.why}"
            reasons.append(Reason(code="held", message=message, remedy="remove the hold from promotion.yaml"))
    live = state.windows.get(wave.name)
    if live is not None and not schedule.is_open(live.windows, now):
        message = f"no window of wave {wave.name} is open at {now:%a %Y-%m-%d %H:%M %Z}"
        reasons.append(Reason(code="window-closed", message=message, remedy="wait, or widen it in the spec"))
    if live is None and wave.name and any(item.windows for item in state.windows.values()):
        message = f"the spec has windows and no wave {wave.name} any more: nobody knows when it is open"
        remedy = "give it its wave back, or let another release replace this one"
        reasons.append(Reason(code="window-closed", message=message, remedy=remedy))
    return reasons


def bars_on(release: Release | ReleaseFacts, promotion: Promotion | None, now: datetime) -> list[Bar]:
    """Bars in force on a release or its workload."""
    bars = promotion.bars if promotion else ()
    return [
        bar
        for bar in bars
        if (bar.workload == release.workload or bar.release == release.id) and schedule.lasts(bar.until, now)
    ]


def barring(release: Release | ReleaseFacts, promotion: Promotion | None, now: datetime) -> list[Reason]:
    """Why a release can be given to nobody."""
    remedy = "release something else, or remove the bar from promotion.yaml"
    return [
        Reason(code="barred", message=f"barred by {bar.by} since {bar.since}: {bar.why}", remedy=remedy)
        for bar in bars_on(release, promotion, now)
    ]


def incomplete(state: State, wave: ReleaseWave) -> Reason | None:
    """Invariant 1: why a wave is not complete on this very release; None if it is.

    Excused clusters are neither waited for nor counted. Where anybody is left to be proven, one has to
    be: tolerated failures are no evidence.
    """
    excused = _excused(state)
    counted = [name for name in wave.members if name not in excused]
    allowed = limit_of_failures(wave)
    quorum = max(len(wave.members) - allowed - len(set(wave.members) & excused), min(1, len(counted)))
    proven = {name for name in counted if _has(state, name) and name in state.verified}
    beyond = failures(state, wave)
    if beyond:
        return beyond[0]
    if len(proven) >= quorum:
        return None
    message = f"wave {wave.name} is not complete: {len(proven)} of {quorum} clusters are verified on {state.release.id}"
    unproven = tuple(name for name in counted if name not in proven)
    return Reason(
        code="wave-incomplete", message=message, remedy="wait for them, or excuse one", clusters=unproven
    )


def earlier(state: State, wave: ReleaseWave) -> list[Reason]:
    """Why earlier waves are not complete."""
    before = state.release.waves[: state.release.waves.index(wave)] if wave in state.release.waves else ()
    return [reason for item in before if (reason := incomplete(state, item))]


def is_blind(state: State, wave: ReleaseWave) -> bool:
    """True if a wave has others before it, and nobody in it or in these has ever proven the release.

    Excused and retiring clusters complete a wave without evidence. So what comes after goes on without any: that
    is a person's to want, a cluster at a time, until there is some.
    """
    if wave not in state.release.waves:
        return False
    upto = state.release.waves[: state.release.waves.index(wave) + 1]
    before = [name for item in upto[:-1] for name in item.members]
    return bool(before) and not any(_witnesses(state, name) for name in (*before, *wave.members))


def _witnesses(state: State, cluster: str) -> bool:
    return cluster in state.witnesses or (_has(state, cluster) and cluster in state.verified)


def room_of(state: State, wave: ReleaseWave) -> int:
    """How many clusters of a wave may be under way at once."""
    return 1 if is_blind(state, wave) else limit(wave)


def allows(state: State, wave: ReleaseWave) -> str:
    """What allows so many at once, in words."""
    if is_blind(state, wave):
        return "one may be until somebody has proven it"
    return f"maxConcurrency allows {limit(wave)}"


def failures(state: State, wave: ReleaseWave) -> list[Reason]:
    """That the release failed on more clusters of a wave than it may."""
    failed = tuple(name for name in wave.members if name in state.failed)
    if len(failed) <= limit_of_failures(wave):
        return []
    message = f"wave {wave.name}: {state.release.id} failed on {len(failed)} clusters, and maxFailures allows {limit_of_failures(wave)}"
    return [Reason(code="max-failures", message=message, remedy="release something else", clusters=failed)]


def limit_of_failures(wave: ReleaseWave) -> int:
    """maxFailures in clusters; a percentage rounds down, so that a small wave tolerates none."""
    return _down(wave.maxFailures, len(wave.members))


def is_under_way(state: State, cluster: str) -> bool:
    """True if a cluster has the release, and it is not proven there."""
    return _has(state, cluster) and cluster not in state.verified


def _has(state: State, cluster: str) -> bool:
    pointer = state.pointers.get(cluster)
    return pointer is not None and pointer.release == state.release.id


def excused_now(promotion: Promotion | None, retiring: Collection[str], now: datetime) -> set[str]:
    """Clusters that nobody waits for: excused by a person, or retiring."""
    entries = promotion.excused if promotion else ()
    excused = {item.cluster for item in entries if schedule.in_force(item.since, item.until, now)}
    return excused | set(retiring)


def _excused(state: State) -> set[str]:
    return excused_now(state.promotion, state.retiring, state.now)


def limit(wave: ReleaseWave) -> int:
    """maxConcurrency in clusters; a percentage rounds down, but one is always possible."""
    if wave.maxConcurrency is None:
        return len(wave.members)
    return max(1, _down(wave.maxConcurrency, len(wave.members)))


@cache
def _down(value: int | str, total: int) -> int:
    return count_or_percent(value, total, rounding="down")


def fallback(state: State, cluster: str) -> str | None:
    """What the cluster goes back to: the last release verified there with another workload.

    Leaving a verified release of another workload makes that the fallback; leaving an unverified
    one, or one of the same workload, keeps the fallback that there is. What counts is the
    cluster's own pods, so an override that changes them is another workload.
    """
    present = state.pointers.get(cluster)
    if present is None:
        return None
    candidates = [present.release] if cluster in state.verified else []
    candidates += [present.fallback] if present.fallback else []
    for name in candidates:
        release = state.releases.get(name)
        if release is not None and not same_pods(release, state.release, cluster):
            return name
    return None


def same_pods(one: Release | ReleaseFacts, other: Release | ReleaseFacts, cluster: str) -> bool:
    """True if two releases run the same pods on a cluster: they differ in policy alone."""
    return _pod(one, cluster) == _pod(other, cluster)


def _pod(release: Release | ReleaseFacts, cluster: str) -> str:
    member = release.clusters.get(cluster)
    return f"{release.workload}/{member.pod if member else ''}"


def at_rest(
    pointers: Mapping[str, Pointer], releases: Mapping[str, Release], had: Collection[str]
) -> set[str]:
    """Clusters whose Rollout is surely not in the middle of a canary, as far as Git alone shows.

    A first deployment has no canary (`had`: the releases that clusters may have had); and a wave is
    complete when a later one has begun, since nothing else lets it begin. Of all others, only their
    status can tell.
    """
    calm = {name for name, pointer in pointers.items() if _is_first(pointer, pointers, had)}
    for release in releases.values():
        begun = [_begun(wave.members, release.id, pointers) for wave in release.waves]
        for index, wave in enumerate(release.waves):
            if any(begun[index + 1 :]):
                calm |= {
                    name for name in wave.members if name in pointers and pointers[name].release == release.id
                }
    return calm


def _is_first(pointer: Pointer, pointers: Mapping[str, Pointer], had: Collection[str]) -> bool:
    """True if nothing can have run there before: without a fallback a cluster may else have left a
    release that was never verified there. A release that falls back to this one came later."""
    later = {item.release for item in pointers.values() if item.fallback == pointer.release}
    return pointer.fallback is None and not set(had) - later - {pointer.release}


def _begun(members: Sequence[str], release: str, pointers: Mapping[str, Pointer]) -> bool:
    return any(name in pointers and pointers[name].release == release for name in members)
