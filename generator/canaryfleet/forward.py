"""Going forward: which clusters get the release next, join, catch up or leave, each by a rule.

The rules are asked in order, and each says either what it would do, or why it does nothing.
"""

from collections.abc import Callable, Mapping, Sequence

from canaryfleet import limits, pointing, standing
from canaryfleet.models.decision import Code, Kind, Move, Reason, ReleaseFacts
from canaryfleet.models.release import ReleaseWave
from canaryfleet.overlay import Pointer
from canaryfleet.pointing import State
from canaryfleet.proposal import Proposal, names, reason
from canaryfleet.reasons import REASONS
from canaryfleet.standing import Facts


def _waves(facts: Facts, target: ReleaseFacts) -> Proposal:
    """The next clusters of the first wave that has room; a later wave only when all before are complete."""
    state = _open_state(facts, target)
    reasons: list[Reason] = []
    for wave in target.waves:
        among = _known_first(facts, pointing.waiting(state, wave))
        found = pointing.batch(_as_proposed(facts, state, wave), wave, among) if among else None
        if found and found.pointers:
            return _forward(facts, target, wave, found.pointers, _first_or_next(facts, target))
        reasons += found.reasons if found else ()
        missing = pointing.incomplete(state, wave)
        if missing:
            there = [name for name in missing.clusters if limits.present(facts, name) == target.id]
            return Proposal("Hold", (*reasons, missing, *unproven(facts, there)))
    return Proposal("Hold", tuple(reasons))


def _retries(facts: Facts, target: ReleaseFacts) -> Proposal:
    """Clusters that went back without proof get the release again if a person approves it."""
    state = _open_state(facts, target)
    reasons: list[Reason] = []
    for wave in target.waves:
        back = [name for name in pointing.waiting(state, wave) if standing.went_back(facts, name, target.id)]
        passed = {name: why for name in back if (why := limits.too_much(facts, target, name))}
        found = pointing.batch(state._replace(passed=passed), wave, back) if back else None
        if found and found.pointers:
            proposal = _forward(facts, target, wave, found.pointers, ("Retry", "went-back"))
            return proposal._replace(asks=True)
        reasons += found.reasons if found else ()
    return Proposal("Hold", tuple(reasons))


def _excused(facts: Facts, target: ReleaseFacts) -> Proposal:
    """Excused clusters catch up in a last wave, each under the limits of its own."""
    state = _open_state(facts, target)
    if any(pointing.incomplete(state, wave) for wave in target.waves):
        return Proposal("Hold", ())
    retiring = standing.retiring(facts.situation)
    excused = pointing.excused_now(facts.situation.promotion, (), facts.situation.now) - retiring
    reasons: list[Reason] = []
    for wave in target.waves:
        late = [n for n in wave.members if n in excused and limits.present(facts, n) != target.id]
        found = pointing.batch(state, wave, late) if late else None
        if found and found.pointers:
            return _forward(facts, target, wave, found.pointers, ("Advance", "catches-up"))
        reasons += found.reasons if found else ()
    return Proposal("Hold", tuple(reasons))


def _joiners(facts: Facts, target: ReleaseFacts) -> Proposal:
    """Clusters that joined get the newest release that is done; of the next they are members."""
    done = limits.newest_done(facts)
    members = facts.waves[target.id]
    among = [
        name
        for name, site in sorted(facts.situation.sites.items())
        if site.lifecycle == "active" and name not in facts.pointers and name not in members
    ]
    if done is None or not among:
        return Proposal("Hold", ())
    found = pointing.batch(_open_state(facts, done), ReleaseWave(name="", members=tuple(among)), among)
    if not found.pointers:
        return Proposal("Hold", found.reasons)
    return _forward(facts, done, None, found.pointers, ("Start", "joins"))


def _leaving(facts: Facts, target: ReleaseFacts) -> Proposal:
    """Clusters on their way out lose the app; their file goes when its absence was observed."""
    clusters = sorted(standing.retiring(facts.situation) & facts.pointers.keys())
    wave = ReleaseWave(name="", members=tuple(clusters))
    stops = _stops(limits.state(facts, target), wave) if clusters else ()
    if stops or not clusters:
        return Proposal("Hold", tuple(stops))
    return _taken(facts, target, None, clusters)


def _retiring(facts: Facts, target: ReleaseFacts) -> Proposal:
    """The app leaves wave by wave: the next clusters when it was seen to be gone from those before."""
    state, gone = limits.state(facts, target), set(facts.situation.absent)
    rest = tuple(sorted(facts.pointers.keys() - facts.waves[target.id].keys()))
    for wave in (*target.waves, ReleaseWave(name="", members=rest)):
        left = [name for name in wave.members if name in facts.pointers]
        going = [
            name for name in wave.members if name not in facts.pointers and not _is_gone(facts, name, gone)
        ]
        stops = _stops(state, wave) if left else []
        room = pointing.limit(wave) - len(going)
        if left and not stops and room > 0:
            return _taken(facts, target, wave, left[:room])
        if left or going:
            what = f"wave {wave.name}: the app was not yet seen to be gone from {names(going)}"
            waits = (reason("under-way", what, going),) if going else ()
            return Proposal("Hold", (*stops, *waits))
    return Proposal("Done", (reason("gone", "the app is on no cluster any more: its files can go", ()),))


def _is_gone(facts: Facts, cluster: str, gone: set[str]) -> bool:
    """True if the app was seen to be absent, or never was there as far as the history shows."""
    placed = facts.placed.get(cluster)
    return cluster in gone or placed is None


RULES: dict[str, tuple[Callable[[Facts, ReleaseFacts], Proposal], ...]] = {
    "active": (_waves, _retries, _excused, _joiners, _leaving),
    "retiring": (_retiring,),
}


def _open_state(facts: Facts, release: ReleaseFacts) -> State:
    """What pointing looks at, with the clusters that it has to pass over."""
    return limits.state(facts, release)._replace(passed=_passed(facts, release))


def _passed(facts: Facts, release: ReleaseFacts) -> dict[str, Reason]:
    """Clusters that can't be given a release now, and why."""
    passed: dict[str, Reason] = {}
    for name in {*facts.waves[release.id], *facts.situation.sites}:
        if limits.present(facts, name) == release.id:
            continue
        why = _not_now(facts, release, name) or limits.too_much(facts, release, name)
        if why is not None:
            passed[name] = why
    return passed


def _not_now(facts: Facts, release: ReleaseFacts, cluster: str) -> Reason | None:
    if standing.failed(facts, cluster, release.id):
        return reason("failed", f"{release.id} failed on {cluster}, which went back", [cluster])
    if standing.went_back(facts, cluster, release.id):
        what = f"{cluster} went back from {release.id} without proof"
        return Reason(code="went-back", message=what, remedy="approve the retry", clusters=(cluster,))
    pointer = facts.pointers.get(cluster)
    present = facts.situation.releases.get(pointer.release) if pointer else None
    same = present is not None and pointing.same_pods(present, release, cluster)
    if same and not standing.stands(facts, cluster):
        # another policy would rerun the revision, also one that was aborted (reference/argo-rollouts.md, D7)
        what = f"{cluster} has the same pods with another policy, and they are not proven there"
        return reason("not-at-rest", what, [cluster])
    return None


def _forward(
    facts: Facts,
    release: ReleaseFacts,
    wave: ReleaseWave | None,
    pointers: Mapping[str, Pointer],
    why: tuple[Kind, Code],
) -> Proposal:
    """The proposal to point clusters at a release."""
    moves = tuple(
        Move(cluster=name, from_=limits.present(facts, name), to=pointer.release, fallback=pointer.fallback)
        for name, pointer in sorted(pointers.items())
    )
    where = f"wave {wave.name}" if wave else "no wave of it"
    what = f"{names(sorted(pointers))} of {where} get {release.id}"
    because = reason(why[1], what, sorted(pointers))
    blind = _blind(facts, release, wave) if wave else ()
    asks = wave is not None and (bool(blind) or _needs_approval(facts, release, wave))
    return Proposal(why[0], (because, *blind), moves, release.id, wave.name if wave else None, asks=asks)


def _blind(facts: Facts, release: ReleaseFacts, wave: ReleaseWave) -> tuple[Reason, ...]:
    """Why a person is asked for a wave that would begin without evidence: of each batch, for none is one for the next."""
    state = limits.state(facts, release)
    if not pointing.is_blind(state, wave):
        return ()
    before = release.waves[: release.waves.index(wave)]
    excused = pointing.excused_now(facts.situation.promotion, state.retiring, facts.situation.now)
    out = tuple(name for item in before for name in item.members if name in excused)
    what = (
        f"nobody has proven {release.id} in the waves before {wave.name}: excused or retiring: {names(out)}"
    )
    remedy = "approve it to go on without evidence, one cluster at a time; or wait for one of them again (`canaryfleet excuse --end`)"
    return (Reason(code="no-evidence", message=what, remedy=remedy, clusters=out),)


def _taken(
    facts: Facts, release: ReleaseFacts, wave: ReleaseWave | None, clusters: Sequence[str]
) -> Proposal:
    """The proposal to take the app away from clusters."""
    moves = tuple(Move(cluster=name, from_=limits.present(facts, name)) for name in clusters)
    because = reason("leaves", f"the app leaves {names(clusters)}", clusters)
    asks = wave is not None and _needs_approval(facts, release, wave, leaving=True)
    return Proposal("Advance", (because,), moves, release.id, wave.name if wave else None, asks=asks)


def _stops(state: State, wave: ReleaseWave) -> list[Reason]:
    """What stops a wave from leaving: a bar does not."""
    return [reason for reason in pointing.stops(state, wave) if reason.code != "barred"]


def _known_first(facts: Facts, clusters: list[str]) -> list[str]:
    """Clusters that can be seen come first, so that one that can't takes no place from them."""

    def unseen(name: str) -> bool:
        verdict = standing.seen(facts, name)
        return name in facts.pointers and (verdict is None or verdict.kind == "Unknown")

    return sorted(clusters, key=unseen)


def _as_proposed(facts: Facts, state: State, wave: ReleaseWave) -> State:
    """A batch that waits for its merge stays as it is: others would ask for their approvals anew."""
    proposed = [
        request
        for request in facts.situation.requests
        if request.state == "open" and (request.release, request.wave) == (state.release.id, wave.name)
        and request.kind in ("Start", "Advance")
    ]  # fmt: skip
    oldest = min(proposed, key=lambda request: request.number, default=None)
    return state._replace(proposed={move.cluster for move in oldest.moves} if oldest else ())


def _first_or_next(facts: Facts, release: ReleaseFacts) -> tuple[Kind, Code]:
    begun = any(pointer.release == release.id for pointer in facts.pointers.values())
    if begun:
        return "Advance", "room-in-wave"
    return ("Retry", "bar-lifted") if _was_barred(facts, release) else ("Start", "first-wave")


def _was_barred(facts: Facts, release: ReleaseFacts) -> bool:
    """True if the commit that last ended a release barred it too: since it is free now, somebody has lifted that."""
    end = facts.ended.get(release.id)
    if end is None:
        return False
    merged = facts.situation.history[end]
    return any(
        bar.workload == release.workload or bar.release == release.id for bar in (*merged.bars, *merged.owes)
    )


def _needs_approval(facts: Facts, release: ReleaseFacts, wave: ReleaseWave, *, leaving: bool = False) -> bool:
    """True if the wave needs a person's approval, by the release or the spec, and no batch of it has one."""
    live = facts.situation.policy.waves_of(release.urgency).get(wave.name)
    if wave.approval == "none" and (live is None or live.approval == "none"):
        return False
    begin = facts.ended.get(release.id, -1)
    return not any(
        (merged.release, merged.wave) == (release.id, wave.name)
        and merged.approvedBy
        and leaving == any(move.to is None for move in merged.moves)
        for merged in facts.situation.history[begin + 1 :]
        if merged.by == "bot"
    )


def unproven(facts: Facts, clusters: Sequence[str]) -> list[Reason]:
    """What is known of clusters that are waited for, one reason for all that are alike."""
    alike: dict[tuple[Code, str], list[str]] = {}
    codes: dict[str, Code] = {"Failed": "failed", "Inconclusive": "inconclusive", "Progressing": "under-way"}
    for name in clusters:
        verdict = standing.seen(facts, name)
        if name in facts.pointers:
            key = (codes.get(verdict.kind, "unknown"), verdict.reason) if verdict else ("unknown", "NotSeen")
            alike.setdefault(key, []).append(name)
    return [_unproven(facts, code, why, found) for (code, why), found in sorted(alike.items())]


def _unproven(facts: Facts, code: Code, why: str, clusters: Sequence[str]) -> Reason:
    """What to do about it; and that somebody should, when what nobody knows lasts longer than proof may take."""
    known = REASONS.get(why)
    late = code == "unknown" and any(standing.is_late(facts, name) for name in clusters)
    return Reason(
        code=code, message=f"{names(clusters)}: {why}", remedy=known.remedy if known else "",
        clusters=tuple(clusters), alarm=late,
    )  # fmt: skip
