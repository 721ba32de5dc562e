"""What a release would do, wave by wave, from Git alone: the same rules as of the bot, and nothing is seen.

A wave begins when the one before it has ended and nothing stops it (`pointing.stops`); its batches are as large as
`pointing.limit` allows, and each takes what a cluster takes at least (`course.least`). So the times are the earliest
that there are: approvals, pauses that wait for a person, and measurements that are not good at once come on top.
"""

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from canaryfleet import pointing, schedule
from canaryfleet.engines.argo_rollouts.course import Course, least
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.plan import Share, WavePlan
from canaryfleet.models.release import Release, ReleaseWave
from canaryfleet.pointing import State

LAST = datetime(9000, 1, 1, tzinfo=UTC)  # what ends later has no known end: the calendar ends soon after


class Given(NamedTuple):
    """What a plan is made of. `state`: the release as the rules of pointing see it; `startup`: seconds of a start."""

    release: Release
    state: State
    course: Course
    clusters: Mapping[str, Cluster]
    startup: int


class Way(NamedTuple):
    """The waves of a release: seconds that it takes at least, and when it has ended at the earliest."""

    waves: tuple[WavePlan, ...]
    least: int
    ends: datetime | None


def way(given: Given) -> Way:
    """All waves of a release from `state.now` on."""
    found: list[WavePlan] = []
    at: datetime | None = given.state.now
    for wave in given.release.waves:
        made = _wave(given, wave, at)
        at = made.ends
        found.append(made)
    return Way(tuple(found), sum(wave.least * len(wave.batches) for wave in found), at)


def _wave(given: Given, wave: ReleaseWave, since: datetime | None) -> WavePlan:
    state = given.state
    to_go = pointing.waiting(state, wave)
    batches = _batches(len(to_go), pointing.limit(wave))
    each = least(given.course, wave, given.startup, first=is_first(to_go, state.pointers))
    begins, ends = _times(state, wave, len(batches), each, since)
    excused = pointing.excused_now(state.promotion, state.retiring, state.now)
    return WavePlan(
        name=wave.name,
        members=wave.members,
        toGo=tuple(to_go),
        excused=tuple(name for name in wave.members if name in excused),
        share=_share(given, wave.members),
        batches=batches,
        maxFailures=pointing.limit_of_failures(wave),
        least=each,
        begins=begins,
        ends=ends,
        approval=wave.approval == "required",
        stops=tuple(reason.message for reason in pointing.stops(state, wave)) if to_go else (),
    )


def is_first(to_go: Collection[str], pointers: Container[str]) -> bool:
    """Whether whoever is still to get a release has nothing of the app: a first deployment takes no steps."""
    return bool(to_go) and not any(name in pointers for name in to_go)


def _batches(clusters: int, most: int) -> tuple[int, ...]:
    return tuple(min(most, clusters - start) for start in range(0, clusters, most)) if clusters else ()


def _times(
    state: State, wave: ReleaseWave, batches: int, each: int, since: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """When the first batch begins and the last one ends; a wave without batches takes no time."""
    begins, at = None, since
    for _ in range(batches):
        if at is None or (at := opens(state, wave, at)) is None:
            return begins, None
        begins = begins or at
        if timedelta(seconds=each) > LAST - at:
            return begins, None
        at += timedelta(seconds=each)
    return begins, at


def opens(state: State, wave: ReleaseWave, since: datetime) -> datetime | None:
    """The first instant from `since` on at which nothing stops a wave; None if what stops it has no known end."""
    if not pointing.stops(state._replace(now=since), wave):
        return since
    live = state.windows.get(wave.name)
    ends = [end for end in _ends(state) if since < end < LAST]
    moments = {
        *ends,
        *(at for end in (since, *ends) for at in schedule.openings(live.windows if live else (), end)),
    }
    return next((at for at in sorted(moments) if not pointing.stops(state._replace(now=at), wave)), None)


def _ends(state: State) -> Iterator[datetime]:
    """When freezes, holds and bars are over."""
    for freeze in state.fleet.freezes:
        yield schedule.instant(freeze.to)
    promotion = state.promotion
    if promotion is not None:
        held = [hold.until for hold in promotion.holds] + [bar.until for bar in promotion.bars]
        yield from (schedule.instant(until) for until in held if until is not None)


def _share(given: Given, members: Sequence[str]) -> Share:
    """Of all clusters that are not retiring; one that has left the fleet counts as the release has it."""
    total = {name: item.capacity for name, item in given.clusters.items() if item.lifecycle == "active"}
    frozen = given.release.clusters
    total |= {
        name: frozen[name].capacity for name in members if name in frozen and name not in given.clusters
    }
    mine = [total[name] for name in members if name in total]
    part, whole = len(mine) / max(1, len(total)), sum(total.values())
    return Share(clusters=round(part, 4), capacity=round(sum(mine) / whole, 4) if whole else 0.0)
