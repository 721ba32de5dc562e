"""Moving pointers: which clusters of a wave may get a release now, and what becomes their fallback.

Pure rules that the bot and `canaryfleet point` share. Evidence comes in as an argument: the set of
clusters known to be verified on what they have. Without evidence nothing goes past the first batch.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from canaryfleet import schedule
from canaryfleet.models.canary import Wave
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.promotion import Promotion
from canaryfleet.models.release import Release, ReleaseWave
from canaryfleet.overlay import Pointer
from canaryfleet.quantity import count_or_percent


class State(NamedTuple):
    """What the rules look at. `verified`: clusters whose present release is proven there."""

    release: Release
    releases: Mapping[str, Release]
    pointers: Mapping[str, Pointer]
    promotion: Promotion | None
    fleet: Fleet
    windows: Mapping[str, Wave]
    verified: Collection[str]
    now: datetime


class Move(NamedTuple):
    """New pointers by cluster, or the reasons why there are none."""

    pointers: Mapping[str, Pointer]
    reasons: tuple[str, ...]


def move(state: State, wave: str) -> Move:
    """Point the next clusters of a wave at the release, as many as its limits allow."""
    target = next((item for item in state.release.waves if item.name == wave), None)
    if target is None:
        known = ", ".join(item.name for item in state.release.waves)
        return Move({}, (f"release {state.release.id} has no wave {wave}; it has: {known}",))
    reasons = [*_stops(state, target), *_earlier(state, wave)]
    waiting = [name for name in target.members if not _has(state, name) and name not in _excused(state)]
    if not waiting and not reasons:
        return Move({}, (f"every cluster of wave {wave} has {state.release.id} already",))
    room = _room(state, target)
    if waiting and room <= 0:
        reasons.append(
            f"{-room + _limit(target)} of wave {wave} are under way, and maxConcurrency allows {_limit(target)}"
        )
    if reasons:
        return Move({}, tuple(reasons))
    return Move({name: _pointed(state, name) for name in waiting[:room]}, ())


def _stops(state: State, wave: ReleaseWave) -> list[str]:
    """Bars, holds, freezes, windows and `paused`: read live, so tightening works at once."""
    release, now = state.release, state.now
    reasons = ["fleet.yaml says `paused: true`"] if state.fleet.paused else []
    for freeze in state.fleet.freezes:
        if schedule.within(freeze.from_, freeze.to, now):
            reasons.append(f"freeze {freeze.name} lasts until {freeze.to}")
    for bar in state.promotion.bars if state.promotion else ():
        barred = bar.workload == release.workload or bar.release == release.id
        if barred and schedule.in_force(bar.since, bar.until, now):
            reasons.append(f"barred by {bar.by} since {bar.since}: {bar.why}")
    for hold in state.promotion.holds if state.promotion else ():
        touches = hold.wave in (None, wave.name) and (hold.cluster is None or hold.cluster in wave.members)
        if touches and schedule.in_force(hold.since, hold.until, now):
            reasons.append(f"held by {hold.by} since {hold.since}: {hold.why}")
    live = state.windows.get(wave.name)
    if live is not None and not schedule.is_open(live.windows, now):
        reasons.append(f"no window of wave {wave.name} is open at {now:%a %Y-%m-%d %H:%M %Z}")
    return reasons


def _earlier(state: State, wave: str) -> list[str]:
    """Invariant 1: each earlier wave is complete on this very release."""
    reasons = []
    for earlier in state.release.waves:
        if earlier.name == wave:
            break
        excused = _excused(state) & set(earlier.members)
        allowed = count_or_percent(earlier.maxFailures, len(earlier.members), rounding="down")
        quorum = len(earlier.members) - allowed - len(excused)
        proven = [name for name in earlier.members if _has(state, name) and name in state.verified]
        if len(proven) < max(quorum, 0):
            reasons.append(
                f"wave {earlier.name} is not complete: {len(proven)} of {quorum} clusters are verified on {state.release.id}"
            )
    return reasons


def _has(state: State, cluster: str) -> bool:
    pointer = state.pointers.get(cluster)
    return pointer is not None and pointer.release == state.release.id


def _excused(state: State) -> set[str]:
    entries = state.promotion.excused if state.promotion else ()
    return {item.cluster for item in entries if schedule.in_force(item.since, item.until, state.now)}


def _limit(wave: ReleaseWave) -> int:
    """maxConcurrency in clusters; a percentage rounds down, but one is always possible."""
    if wave.maxConcurrency is None:
        return len(wave.members)
    return max(1, count_or_percent(wave.maxConcurrency, len(wave.members), rounding="down"))


def _room(state: State, wave: ReleaseWave) -> int:
    under_way = [name for name in wave.members if _has(state, name) and name not in state.verified]
    return _limit(wave) - len(under_way)


def _pointed(state: State, cluster: str) -> Pointer:
    return Pointer(state.release.id, fallback(state, cluster))


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
        if release is not None and _pod(release, cluster) != _pod(state.release, cluster):
            return name
    return None


def _pod(release: Release, cluster: str) -> str:
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
