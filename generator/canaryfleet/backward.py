"""Going back: after a failure, after the deadline, and when a person turns the spec back.

It comes before everything, asks nobody but the bars of people, and needs nothing but the tree.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from canaryfleet import limits, pointing, schedule, standing
from canaryfleet.models.decision import Move, Reason, ReleaseFacts
from canaryfleet.models.promotion import Bar
from canaryfleet.models.release import ReleaseWave
from canaryfleet.proposal import BOT, Proposal, names, reason
from canaryfleet.standing import Facts


def propose(facts: Facts) -> Proposal:
    """Everything that has to go back, in one pull request: failures, deadlines, and what the spec reverts."""
    return _together(facts, [*_failures(facts), *_late(facts), *_reverted(facts)])


def by_hand(facts: Facts, release: ReleaseFacts, who: str, why: str) -> Proposal:
    """What a person wants: a release and all others with its pods go back everywhere, as after a failure beyond the limit."""
    same = [id for id, item in facts.situation.releases.items() if item.workload == release.workload]
    clusters = tuple(sorted(name for id in same for name in limits.having(facts, id)))
    said = reason("by-hand", f"{who} takes {release.id} back: {why}", clusters)
    return _together(facts, [_everywhere(facts, release, clusters, said, (who, why))])


def _together(facts: Facts, found: Sequence["Return"]) -> Proposal:
    """Everything that goes back, in one pull request, with what is barred and ended."""
    owed = _owed(facts)
    reasons = [item.reason for item in found] + ([_owes(owed)] if owed else [])
    wanted = {what_is_barred(bar): bar for bar in [*owed, *(item.bar for item in found)] if bar is not None}
    moves: dict[str, Move] = {}
    for item in found:
        for name in item.clusters:
            move = _return(facts, name, item.to, wanted)
            if move is not None:
                moves.setdefault(name, move)
            elif item.to is None:
                reasons.append(_stays(facts, name))
    bars = tuple(bar for bar in wanted.values() if not _is_barred(facts, bar))
    if not (facts.situation.takes_bars or moves):
        bars = ()  # a bar that can't be written is owed by the commit that takes a cluster back: here is none
    ends = tuple(sorted({id for item in found for id in item.ends})) if moves or bars else ()
    by_hand = not facts.situation.policy.automatic and any(item.to is None for item in found)
    release = next((move.from_ for move in moves.values()), next(iter(ends), None))
    ordered = tuple(moves[name] for name in sorted(moves))
    return Proposal("Rollback", tuple(reasons), ordered, release, None, bars, ends, by_hand=by_hand)


Barred = tuple[str | None, str | None]  # workload or release


class Return(NamedTuple):
    """Clusters that go back (`to`: not to where they came from), with what is barred and ended by it."""

    clusters: tuple[str, ...]
    reason: Reason
    bar: Bar | None = None
    ends: tuple[str, ...] = ()
    to: str | None = None


def _failures(facts: Facts) -> list[Return]:
    """Invariant 6: within the limit a failed cluster goes back alone, beyond it the workload does everywhere."""
    found: list[Return] = []
    for id in sorted({pointer.release for pointer in facts.pointers.values()}):
        release = facts.situation.releases.get(id)
        if release is None:
            continue
        alone = [name for name in limits.having(facts, id) if standing.failed(facts, name, id)]
        for wave, failed in limits.beyond(facts, release):
            found.append(_beyond(facts, release, wave, failed))
            alone = []
        if alone:
            what = f"{id} failed on {names(alone)}, as many as may: it goes back there and still counts"
            found.append(Return(tuple(alone), reason("within-limit", what, alone)))
    return found


def _beyond(facts: Facts, release: ReleaseFacts, wave: ReleaseWave, failed: tuple[str, ...]) -> Return:
    """The whole workload goes back and is barred; if it was stable before the policy, the release alone."""
    verdict = standing.seen(facts, failed[0])
    why = verdict.message if verdict and verdict.kind == "Failed" else "as recorded"
    what = f"{release.id} failed on {names(failed)}, and wave {wave.name} allows {pointing.limit_of_failures(wave)}: {why}"
    remedy = "release something else, or lift the bar in promotion.yaml to try again"
    said = Reason(code="beyond-limit", message=what, remedy=remedy, clusters=failed, alarm=True)
    return _everywhere(facts, release, failed, said, (BOT, what))


def _everywhere(
    facts: Facts, release: ReleaseFacts, failed: Sequence[str], said: Reason, barred: tuple[str, str]
) -> Return:
    """All clusters with the workload go back, or those with the release alone, and it is barred (by whom, and why)."""
    policy = bool(failed) and all(_same_before(facts, name, release) for name in failed)
    releases = facts.situation.releases
    same = [id for id, item in sorted(releases.items()) if item.workload == release.workload]
    ends = (release.id,) if policy else tuple(same)
    clusters = tuple(name for id in ends for name in limits.having(facts, id))
    by, why = barred
    bar = Bar(
        release=release.id if policy else None,
        workload=None if policy else release.workload,
        by=by,
        since=schedule.written(facts.situation.now),
        why=why,
    )
    return Return(clusters, said, bar, ends)


def _late(facts: Facts) -> list[Return]:
    """Without proof until the deadline: it goes back, and nothing is barred, for nothing is proven."""
    late = [name for name in sorted(facts.pointers) if standing.overdue(facts, name)]
    if not late:
        return []
    what = f"no proof on {names(late)} until progressDeadline: it goes back, and nothing is barred"
    return [Return(tuple(late), reason("overdue", what, late))]


def _reverted(facts: Facts) -> list[Return]:
    """The spec resolves to what clusters fall back to: a person has turned back."""
    situation = facts.situation
    candidate = _way_back(facts, situation.candidate)
    if candidate is None:
        return []
    back = [
        name
        for name, pointer in sorted(facts.pointers.items())
        if candidate.id != pointer.release
        and standing.falls_back(facts, name, candidate.id)
        and not _is_persons(facts, name)
    ]
    if not back:
        return []
    what = f"the spec resolves to {candidate.id}, which {names(back)} fall back to"
    ends = tuple(sorted({facts.pointers[name].release for name in back}))
    return [Return(tuple(back), reason("reverted", what, back), ends=ends, to=candidate.id)]


def _is_persons(facts: Facts, cluster: str) -> bool:
    """True if a person moved the pointer last: what they moved off the candidate is not moved back."""
    placed = facts.placed.get(cluster)
    return placed is not None and placed.merged.by == "person"


def _return(facts: Facts, cluster: str, to: str | None, barring: Collection[Barred]) -> Move | None:
    """The move that takes a cluster back; None if there is nothing to go back to, or it is or gets barred."""
    for goal in [to] if to else _goals(facts, cluster):
        release = _way_back(facts, goal)
        if release is None:
            continue
        if (release.workload, None) in barring or (None, release.id) in barring:
            continue
        fallback = pointing.fallback(limits.around(facts, release, cluster), cluster)
        return Move(cluster=cluster, from_=facts.pointers[cluster].release, to=release.id, fallback=fallback)
    return None


def _goals(facts: Facts, cluster: str) -> Iterator[str | None]:
    """Where a cluster may go back to: to the policy before, if its pods were proven with it; else to the fallback."""
    pointer, placed = facts.pointers[cluster], facts.placed.get(cluster)
    present = facts.situation.releases.get(pointer.release)
    if placed and present and _same_before(facts, cluster, present):
        yield placed.move.from_
    yield pointer.fallback
    named = facts.situation.pointers[cluster].fallback
    if placed and placed.move.from_ and named != pointer.fallback:
        # A person named something that is not trusted. What it had before may be known to be good all the same.
        yield placed.move.from_ if standing.proven_before(facts, cluster, placed.move.from_) else None


def _same_before(facts: Facts, cluster: str, release: ReleaseFacts) -> bool:
    """True if the same pods were proven on a cluster with the release that it had before: policy changed."""
    placed = facts.placed.get(cluster)
    if placed is None or placed.move.to != release.id or placed.move.from_ is None:
        return False
    before = facts.situation.releases.get(placed.move.from_)
    known = before is not None and pointing.same_pods(before, release, cluster)
    return known and standing.proven_before(facts, cluster, placed.move.from_)


def _unbarred(facts: Facts, id: str | None) -> ReleaseFacts | None:
    situation = facts.situation
    release = situation.releases.get(id or "")
    barred = release is not None and pointing.bars_on(release, situation.promotion, situation.now)
    return None if barred else release


def _way_back(facts: Facts, id: str | None) -> ReleaseFacts | None:
    """A release that is there, is not barred, and is what was proven: what was rewritten since it was frozen is not."""
    return None if id in facts.situation.rewritten else _unbarred(facts, id)


def _owed(facts: Facts) -> list[Bar]:
    """Bars that a rollback could not write, because promotion.yaml was not readable then."""
    owed: list[Bar] = []
    for merged in facts.situation.history:
        owed = [
            bar
            for bar in [*owed, *merged.owes]
            if what_is_barred(bar) not in map(what_is_barred, merged.bars)
        ]
    return owed if facts.situation.takes_bars else []


def _is_barred(facts: Facts, bar: Bar) -> bool:
    promotion, now = facts.situation.promotion, facts.situation.now
    return promotion is not None and any(
        what_is_barred(item) == what_is_barred(bar) and schedule.lasts(item.until, now)
        for item in promotion.bars
    )


def what_is_barred(bar: Bar) -> Barred:
    """What makes two bars the same."""
    return bar.workload, bar.release


def _owes(bars: Sequence[Bar]) -> Reason:
    what = f"a rollback could not bar {names([bar.workload or bar.release or '' for bar in bars])} then"
    return reason("bar-owed", what)


def _stays(facts: Facts, cluster: str) -> Reason:
    what = f"{cluster} has nothing to go back to, or what is barred: it stays"
    remedy = "release something else"
    said, fallback = facts.situation.pointers[cluster].fallback, facts.pointers[cluster].fallback
    if fallback in facts.situation.rewritten and _unbarred(facts, fallback):
        what = f"{cluster} stays: {fallback}, which it would go back to, is not what clusters were given"
        remedy = "restore its files from Git: it goes back at the next run"
    elif said != fallback:
        what = f"{cluster} stays: its overlay names {said} as the fallback, by a person's hand, and nothing proves that there"
        remedy = "point it by hand at what is good there, or release something else"
    return Reason(code="failed", message=what, remedy=remedy, clusters=(cluster,), alarm=True)
