"""The decision for one app: a pure function of a situation.

The order of the rules is their precedence. Going back comes before everything (backward.py); then what
lets nothing move; then what may move, the first that finds something (forward.py): the waves in order,
clusters that went back without proof, excused ones, joiners, what leaves. Then the forge is asked, and
the limits once more (limits.py). What is not proven never moves anything forward.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from canaryfleet import limits, pointing, standing
from canaryfleet.backward import propose as backward
from canaryfleet.backward import what_is_barred
from canaryfleet.case import SKEW
from canaryfleet.digest import short
from canaryfleet.forward import RULES, unproven
from canaryfleet.models.decision import (
    FORWARD,
    Code,
    Decision,
    Obsolete,
    Proof,
    Reason,
    ReleaseFacts,
    Request,
    Situation,
)
from canaryfleet.proposal import Proposal, names, reason
from canaryfleet.standing import Facts


def decide(situation: Situation) -> Decision:
    """What to do for the app of a situation, and why."""
    facts = standing.gather(situation)
    back = backward(facts)
    if back.acts:
        refused = _refused(facts, back)
        return _hold(facts, (*refused, *back.reasons)) if refused else _conclude(facts, back)
    target = _target(facts)
    halts = (*back.reasons, *_halts(facts, target))
    if target is None or any(item.code in HALTS for item in halts):
        return _hold(facts, halts)
    return _onward(facts, target, halts)


def _onward(facts: Facts, target: ReleaseFacts, notes: Sequence[Reason]) -> Decision:
    """What the first rule says that can be merged now, or else the first that asks a person."""
    reasons, asking = [*notes], None
    for rule in RULES[facts.situation.policy.lifecycle]:
        found = rule(facts, target)
        refused = _refused(facts, found) if found.acts else ()
        reasons += [*refused, *found.reasons]
        if found.acts and not refused:
            if not _waits(facts, found, _key(facts, found)):
                return _conclude(facts, found)
            asking = asking or found
    return _conclude(facts, asking) if asking else _rest(facts, target, tuple(reasons))


CLOCKS = (
    2 * SKEW
)  # by which a cluster may be ahead of the bot: both may be of the reader (verdict.py, _timely)
HALTS: frozenset[Code] = frozenset(
    ["promotion-unreadable", "clock-behind", "no-candidate", "no-release", "persons-pointer", "breaks-limit"]
)


def _halts(facts: Facts, target: ReleaseFacts | None) -> Iterator[Reason]:
    """What lets nothing move forward, and what is waiting."""
    situation = facts.situation
    yield from limits.unreadable(situation)
    yield from limits.behind(situation)
    if situation.candidate is None:
        yield Reason(
            code="no-candidate", message="there is no candidate.yaml", remedy="run `canaryfleet render`"
        )
    if target is None:
        if situation.candidate is not None:
            what = f"release {situation.candidate} is not in the tree"
            yield Reason(code="no-release", message=what, remedy="run `canaryfleet render`")
        return
    if situation.candidate not in (None, target.id):
        what = f"{situation.candidate} waits until {target.id} is done"
        yield Reason(code="queued", message=what, remedy="say `onNewRelease: replace`, or `urgency: hotfix`")
    yield from _strayed(facts, target)
    yield from limits.against(facts)


def _strayed(facts: Facts, target: ReleaseFacts) -> Iterator[Reason]:
    """Clusters that the bot gave the release, and that a person moved elsewhere: theirs is not overwritten."""
    excused = pointing.excused_now(facts.situation.promotion, (), facts.situation.now)
    strayed = tuple(
        name
        for name, placed in sorted(facts.placed_by_bot.items())
        if placed.move.to == target.id and limits.present(facts, name) != target.id and name not in excused
    )
    if strayed:
        what = f"a person moved the pointer of {names(strayed)} off {target.id}"
        remedy = "excuse it, point it at the release again, or release something else"
        yield Reason(code="persons-pointer", message=what, remedy=remedy, clusters=strayed)


def _target(facts: Facts) -> ReleaseFacts | None:
    """The release to move forward: the candidate, or the one under way that it has to wait for."""
    situation = facts.situation
    candidate = situation.releases.get(situation.candidate or "")
    if candidate is None or candidate.urgency == "hotfix" or situation.policy.onNewRelease == "replace":
        return candidate
    begun = [m.release for m in situation.history if m.kind in FORWARD and m.wave]
    current = situation.releases.get(begun[-1] or "") if begun else None
    return current if current is not None and _goes_on(facts, current) else candidate


def _goes_on(facts: Facts, release: ReleaseFacts) -> bool:
    """True if a release is under way and can still become done without a person."""
    has = [name for name, pointer in facts.pointers.items() if pointer.release == release.id]
    barred = pointing.bars_on(release, facts.situation.promotion, facts.situation.now)
    members = facts.waves[release.id]
    if standing.is_done(facts, release) or _rests(facts, release):  # whatever a person has moved off it since
        return False
    if not has or barred or any(standing.went_back(facts, name, release.id) for name in members):
        return False
    state = limits.state(facts, release)
    return any(pointing.incomplete(state, wave) for wave in release.waves)


def _rests(facts: Facts, release: ReleaseFacts) -> bool:
    """True if all who are to have a release have it, and it stands there, be it by having gone back to it."""
    return all(
        limits.present(facts, name) == release.id and standing.stands(facts, name)
        for name in _counted(facts, release)
    )


def _counted(facts: Facts, release: ReleaseFacts) -> list[str]:
    """Members of a release that are waited for."""
    situation = facts.situation
    out = pointing.excused_now(situation.promotion, standing.retiring(situation), situation.now)
    return [name for name in facts.waves[release.id] if name not in out]


# What the forge says to it, and what comes of it


def _key(facts: Facts, proposal: Proposal) -> str:
    """The same for the same decision, whenever and by whom it is made; another for another attempt.

    Neither time nor evidence is in it: a closed pull request would else be asked again a minute later.
    """
    moves = [[m.cluster, m.from_, m.to, m.fallback] for m in proposal.moves]
    bars = [list(what_is_barred(bar)) for bar in proposal.bars]
    again = {(m.cluster, m.from_, m.to) for m in proposal.moves}
    attempt = sum(
        any((m.cluster, m.from_, m.to) in again for m in merged.moves) for merged in facts.situation.history
    )
    barred = sum(
        any(what_is_barred(bar) in map(what_is_barred, proposal.bars) for bar in m.bars)
        for m in facts.situation.history
    )
    if proposal.kind == "Done":
        recorded = sum((m.kind, m.release) == ("Done", proposal.release) for m in facts.situation.history)
        return short([facts.situation.app, proposal.kind, proposal.release, recorded])
    return short([facts.situation.app, proposal.kind, proposal.wave, moves, bars, attempt, barred])


def _refused(facts: Facts, proposal: Proposal) -> tuple[Reason, ...]:
    """Why the forge says no: the newest pull request of exactly this decision was closed, merged or touched."""
    key = _key(facts, proposal)
    same = [request for request in facts.situation.requests if request.key == key]
    newest = max(same, key=lambda request: (request.state == "open", request.number), default=None)
    if newest is None or (newest.state == "closed" and newest.closedBy != "person"):
        return ()
    number = f"pull request {newest.number}"
    if newest.state == "closed":
        what, remedy = f"a person closed {number}, which is a no to exactly this", f"open {number} again"
        return (Reason(code="declined", message=what, remedy=remedy),)
    if newest.state == "merged":
        what = f"{number} is merged, and this reading of the default branch is older"
        remedy = f"read it anew; if it stays so, the default branch was forced back past the merge of {number}: push that merge again, or release another version"
        alarm = proposal.kind == "Rollback"  # nobody but a person gets it out of there
        return (Reason(code="merged-already", message=what, remedy=remedy, alarm=alarm),)
    if newest.touched:
        what = f"a person has committed on the branch of {number}: it is theirs now"
        return (Reason(code="touched", message=what, remedy=f"merge or close {number}"),)
    return ()


def _conclude(facts: Facts, proposal: Proposal) -> Decision:
    """The decision that a proposal becomes; one that would break a limit is held, however it came about."""
    breaks = [] if proposal.kind == "Rollback" else limits.judge(facts, proposal.moves, live=True)
    if breaks:
        return _hold(facts, tuple(breaks))
    key = _key(facts, proposal)
    waits = _waits(facts, proposal, key)
    takes_bars = facts.situation.takes_bars
    return Decision(
        app=facts.situation.app,
        kind=proposal.kind,
        release=proposal.release,
        wave=proposal.wave,
        moves=proposal.moves,
        bars=proposal.bars if takes_bars else (),
        owes=() if takes_bars else proposal.bars,
        ends=proposal.ends,
        reasons=(*proposal.reasons, *waits),
        evidence=_evidence(facts),
        complete=_complete(facts, proposal.release),
        key=key,
        ready=not waits,
        obsolete=_obsolete(facts, proposal, key),
    )


def _waits(facts: Facts, proposal: Proposal, key: str) -> list[Reason]:
    """What a person has to do before it is merged."""
    found = [r for r in facts.situation.requests if r.key == key and r.state == "open"]
    reviews = [review for request in found for review in request.reviews]
    approved = any(
        r.state == "approved" and r.head == request.head for request in found for r in request.reviews
    )
    waits = []
    if proposal.by_hand:
        what = "rollback.automatic is false"
        waits.append(Reason(code="by-hand", message=what, remedy="merge the pull request", alarm=True))
    if proposal.asks and not approved:
        what = f"nobody has approved the head of {_where(found)}"
        waits.append(Reason(code="approval-missing", message=what, remedy="approve it"))
    against = sorted({review.by for review in reviews if review.state == "changesRequested"})
    if against and proposal.kind != "Rollback":
        what = f"{names(against)} asked for changes"
        waits.append(Reason(code="changes-requested", message=what, remedy="dismiss the review, or close it"))
    return waits


def _where(found: Sequence[Request]) -> str:
    return f"pull request {found[0].number}" if found else "the pull request"


def _hold(facts: Facts, reasons: tuple[Reason, ...]) -> Decision:
    target = _target(facts)
    return Decision(
        app=facts.situation.app,
        kind="Hold",
        release=target.id if target else None,
        reasons=reasons,
        complete=_complete(facts, target.id if target else None),
        obsolete=_obsolete(facts),
    )


def _rest(facts: Facts, target: ReleaseFacts, reasons: tuple[Reason, ...]) -> Decision:
    """Nothing moves: the release is done, or something is waited for."""
    state = limits.state(facts, target)
    incomplete = [wave for wave in target.waves if pointing.incomplete(state, wave)]
    calm = _rests(facts, target)
    under_way = tuple(name for name in _counted(facts, target) if pointing.is_under_way(state, name))
    gone = any(item.code == "gone" for item in reasons)
    active = facts.situation.policy.lifecycle == "active"
    barred = pointing.barring(target, facts.situation.promotion, facts.situation.now)
    blind = () if gone else tuple(_unproven_by_all(facts, target))
    done = gone or (active and not (barred or blind) and (calm or (not incomplete and not under_way)))
    reasons += tuple(item for item in (*barred, *blind) if item not in reasons)
    if not done and under_way and not any(item.code == "wave-incomplete" for item in reasons):
        reasons = (*reasons, *unproven(facts, under_way))
    held = _hold(facts, reasons)
    if not done:
        return held
    rest = [item for item in reasons if item.code not in ("wave-incomplete", "under-way")]
    what = () if gone else (reason("done", f"{target.id} is done: every wave of it is complete"),)
    return _recording(facts, replace(held, kind="Done", release=target.id, reasons=(*what, *rest)))


def _recording(facts: Facts, done: Decision) -> Decision:
    """Done, with what the last wave proved on the way into Git: no later wave is there to record it.

    Without it a cluster that a person points on by hand would have no proven way back (standing._trusted). It moves
    nothing, so it waits for nobody's window, and nothing waits for it: whatever moves next records the same. A
    person's no is one to recording this release, whatever is proven of it later.
    """
    done = replace(done, evidence=_evidence(facts))
    proposal = Proposal("Done", done.reasons, release=done.release)
    fresh = [
        name for name in limits.having(facts, done.release or "") if _is_fresh(facts, name, done.release)
    ]
    if not fresh or facts.situation.fleet.paused or _refused(facts, proposal):
        return done
    key = _key(facts, proposal)
    waits = _waits(facts, proposal, key)
    return replace(
        done,
        key=key,
        ready=not waits,
        reasons=(*done.reasons, *waits),
        obsolete=_obsolete(facts, proposal, key),
    )


def _unproven_by_all(facts: Facts, target: ReleaseFacts) -> Iterator[Reason]:
    """That nobody is left to prove a release: with everybody excused or retiring no wave waits for anything."""
    members = tuple(facts.waves[target.id])
    if not members or _counted(facts, target):
        return
    if not any(standing.has_proven(facts, name, target.id) for name in members):
        what = f"nothing is proven: everybody who is to have {target.id} is excused or retiring"
        remedy = "end an excuse (`canaryfleet excuse --end`), and let that cluster prove it"
        yield Reason(code="no-evidence", message=what, remedy=remedy, clusters=members)


def _is_fresh(facts: Facts, cluster: str, release: str | None) -> bool:
    """True if a proof is recorded nowhere. What no record could hold is not tried again (request.message)."""
    placed, verdict = facts.placed.get(cluster), standing.seen(facts, cluster)
    since = facts.situation.history[placed.place + 1 if placed else 0 :]
    said = [m.at for m in since if (m.kind, m.release) == ("Done", release)]
    newest = verdict.since if verdict else None
    tried = bool(said) and (newest is None or newest <= max(said) + CLOCKS)
    return not tried and standing.unrecorded(facts, cluster)


def _evidence(facts: Facts) -> tuple[Proof, ...]:
    """What the commit has to record: every live proof, of good or bad, that none before it does."""
    found = []
    for name in sorted(facts.pointers):
        verdict = standing.seen(facts, name)
        if verdict is None or verdict.kind not in ("Verified", "Failed"):
            continue
        if verdict.kind == "Verified" and not standing.baked(facts, verdict):
            continue  # a record would be proof of the bake too
        known, placed = facts.recorded.get((verdict.release, name)), facts.placed.get(name)
        since = max(placed.place if placed else -1, facts.ended.get(verdict.release, -1))
        if known and known.proof.hash == verdict.hash and known.place > since:
            continue
        found.append(
            Proof(
                cluster=name, release=verdict.release, kind=verdict.kind, basis=verdict.basis,
                reason=verdict.reason, since=verdict.since, hash=verdict.hash,
            )
        )  # fmt: skip
    return tuple(found)


def _complete(facts: Facts, id: str | None) -> tuple[str, ...]:
    release = facts.situation.releases.get(id or "")
    if release is None:
        return ()
    state = limits.state(facts, release)
    return tuple(wave.name for wave in release.waves if not pointing.incomplete(state, wave))


def _what(proposal: Proposal) -> tuple[bool, str | None, str | None]:
    return proposal.kind == "Retry", proposal.release, proposal.wave


def _obsolete(facts: Facts, proposal: Proposal | None = None, key: str = "") -> tuple[Obsolete, ...]:
    """Open pull requests of the bot that can be merged no more, or that another stands for."""
    found: list[Obsolete] = []
    kept: set[str] = set()
    target = _target(facts)
    wanted = {target.id if target else None, facts.situation.candidate}
    landed = {merged.key for merged in facts.situation.history}
    for request in sorted(facts.situation.requests, key=lambda request: request.number):
        if request.state != "open" or request.touched:
            continue
        why = ""
        if request.key in kept:
            why = "an older pull request is the same"
        elif any(limits.present(facts, move.cluster) != move.from_ for move in request.moves):
            why = "the default branch has moved on"
        elif request.key in landed and request.key != key:
            why = "the default branch has it"  # a forge whose caller died while it merged may not have noted that
        elif request.kind == "Done" and request.key != key and proposal:
            why = "what it records another commit does"
        elif any(move.to in facts.situation.rewritten for move in request.moves):
            why = "files of what it gives were rewritten"
        elif request.key == key or request.kind == "Rollback" or request.wave is None:
            pass
        elif request.release not in wanted:
            why = f"{request.release} is superseded"
        elif proposal and _what(proposal) == (request.kind == "Retry", request.release, request.wave):
            why = "another batch takes its place"
        if why:
            found.append(Obsolete(number=request.number, reason=why))
        else:
            kept.add(request.key)
    return tuple(found)
