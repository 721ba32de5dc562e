"""What the evidence says of a situation: where a release is proven, where it failed, where it is overdue.

Evidence is a live verdict on what main points at, given after it was pointed there; or one that a merged
commit recorded after that. The latest decides, and only newer failed evidence revokes a recorded proof.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import NamedTuple

from canaryfleet.case import MEASURED, SKEW
from canaryfleet.models.decision import Merged, Move, Proof, ReleaseFacts, Situation
from canaryfleet.models.observation import Verdict
from canaryfleet.models.release import ReleaseWave
from canaryfleet.overlay import Pointer
from canaryfleet.pointing import State, bars_on, excused_now, limit_of_failures
from canaryfleet.quantity import seconds

_seconds = cache(seconds)


class Placed(NamedTuple):
    """The commit that last moved a cluster's pointer, and its place in the history."""

    place: int
    merged: Merged
    move: Move


class Recorded(NamedTuple):
    """The newest proof of a release on a cluster that a commit records."""

    place: int
    proof: Proof


class Facts(NamedTuple):
    """A situation, and what is looked up in it again and again.

    `pointers`: as main has them, but without fallbacks that nothing proves (`_trusted`).
    """

    situation: Situation
    pointers: Mapping[str, Pointer]
    placed: Mapping[str, Placed]
    placed_by_bot: Mapping[str, Placed]
    recorded: Mapping[tuple[str, str], Recorded]
    ended: Mapping[str, int]
    """Place in the history of the commit that last ended a release."""
    waves: Mapping[str, Mapping[str, ReleaseWave]]
    """Wave by release and cluster."""
    named: Mapping[tuple[str, str], int]
    """By release and cluster, the place of the commit by which the bot last named it as the fallback there."""
    states: dict[str, State]
    """What `limits.state` found before, by release."""


def gather(situation: Situation) -> Facts:
    """Go through a situation once."""
    placed: dict[str, Placed] = {}
    by_bot: dict[str, Placed] = {}
    recorded: dict[tuple[str, str], Recorded] = {}
    ended: dict[str, int] = {}
    named: dict[tuple[str, str], int] = {}
    wrote: dict[str, Merged] = {}  # by cluster, the commit that last wrote its fallback
    for index, merged in enumerate(situation.history):
        for proof in merged.proofs:  # of what clusters had until then
            known = recorded.get((proof.release, proof.cluster))
            if not _is_older(proof, placed.get(proof.cluster), known):
                recorded[proof.release, proof.cluster] = Recorded(index, proof)
        ended |= dict.fromkeys(merged.ends, index)
        wrote |= dict.fromkeys(merged.fallbacks, merged)
        for move in merged.moves:
            wrote[move.cluster] = merged
            placed[move.cluster] = Placed(index, merged, move)
            if merged.by == "bot":
                by_bot[move.cluster] = placed[move.cluster]
                named[move.fallback or "", move.cluster] = index
    waves = {
        id: {name: wave for wave in release.waves for name in wave.members}
        for id, release in situation.releases.items()
    }
    raw = {name: Pointer(item.release, item.fallback) for name, item in situation.pointers.items()}
    facts = Facts(situation, raw, placed, by_bot, recorded, ended, waves, named, {})
    trusted = {
        name: pointer
        if _trusted(facts, name, pointer.fallback, wrote.get(name))
        else Pointer(pointer.release, None)
        for name, pointer in raw.items()
    }
    return facts._replace(pointers=trusted)


def _is_older(proof: Proof, placed: Placed | None, known: Recorded | None) -> bool:
    """True if what a commit records is of before the cluster got the release, or of before it failed there.

    A pull request may be merged long after it was made: that which records the last wave moves nothing, so it
    conflicts with nothing. That something failed counts whenever it was.
    """
    if proof.kind == "Failed" or proof.since is None:
        return False
    if known and known.proof.kind == "Failed" and known.proof.since and proof.since < known.proof.since:
        return True
    if placed is None or placed.move.to != proof.release:
        return False
    return proof.basis in MEASURED and proof.since < placed.merged.at - SKEW


def _trusted(facts: Facts, cluster: str, fallback: str | None, wrote: Merged | None) -> bool:
    """True if a cluster may go back to what its overlay names: going back asks nobody and skips every wave.

    It may if the bot wrote it there, or what the history begins with has it; or if it is known to be proven on the
    cluster: by a record, or by the bot having named it before. A person's hand on the annotation, alone or beside
    a pointer, would else make a way back of whatever it names.
    """
    if fallback is None or wrote is None or wrote.by == "bot":
        return True
    named = facts.named.get((fallback, cluster), -1) > facts.ended.get(fallback, -1)
    return named or _recorded_proof(facts, cluster, fallback) is not None


def _recorded_proof(facts: Facts, cluster: str, release: str) -> Proof | None:
    """The newest record, if it proves the release on the cluster and nothing ended that since."""
    found = facts.recorded.get((release, cluster))
    if found is None or found.proof.kind != "Verified" or found.place <= facts.ended.get(release, -1):
        return None
    return found.proof


def seen(facts: Facts, cluster: str) -> Verdict | None:
    """The live verdict on what main points a cluster at.

    One on another release says nothing; nor does proof from before the cluster was pointed there: a
    cluster that has a release for the second time may be read as it was the first time. Of unknown age
    only a failure counts: that errs to the safe side.
    """
    verdict, pointer = facts.situation.verdicts.get(cluster), facts.pointers.get(cluster)
    if verdict is None or pointer is None:
        return None
    if (verdict.app, verdict.cluster, verdict.release) != (facts.situation.app, cluster, pointer.release):
        return None
    placed = facts.placed.get(cluster)
    if placed is None or not _dated(verdict):
        return verdict
    newer = verdict.since >= placed.merged.at - SKEW if verdict.since else verdict.kind == "Failed"
    return verdict if newer else None


def _dated(verdict: Verdict) -> bool:
    """True if its evidence was measured at a time; that the live object carries the same pods is not."""
    return verdict.kind == "Failed" or verdict.basis in MEASURED


def verified(facts: Facts, cluster: str, release: str) -> bool:
    """True if a cluster has a release, and it is proven there; what was only reverted to advances nothing."""
    pointer = facts.pointers.get(cluster)
    if pointer is None or pointer.release != release:
        return False
    verdict = seen(facts, cluster)
    if verdict is not None and verdict.kind == "Failed":
        return False
    if verdict is not None and verdict.kind == "Verified" and verdict.basis not in (None, "Reverted"):
        return baked(facts, verdict) or _recorded_here(facts, cluster, release)
    return _recorded_here(facts, cluster, release)


def baked(facts: Facts, verdict: Verdict) -> bool:
    """A bake is measured, not waited: without a run of it there was none."""
    wave = facts.waves.get(verdict.release, {}).get(verdict.cluster)
    if wave is None or verdict.basis == "SameWorkload" or not _seconds(wave.minSuccessTime):
        return True
    return any(run.role == "bake" for run in verdict.evidence.runs)


def _recorded_here(facts: Facts, cluster: str, release: str) -> bool:
    """True if a commit records the proof since the cluster has the release, and nothing ended it since."""
    found, placed = facts.recorded.get((release, cluster)), facts.placed.get(cluster)
    if found is None or found.proof.kind != "Verified" or found.proof.basis in (None, "Reverted"):
        return False
    return found.place > max(placed.place if placed else -1, facts.ended.get(release, -1))


def unrecorded(facts: Facts, cluster: str) -> bool:
    """True if what a cluster has is proven there by a live verdict alone: when its runs are gone nobody knows."""
    pointer, verdict = facts.pointers.get(cluster), seen(facts, cluster)
    if (
        pointer is None
        or verdict is None
        or verdict.kind != "Verified"
        or verdict.basis in (None, "Reverted")
    ):
        return False
    return baked(facts, verdict) and not _recorded_here(facts, cluster, pointer.release)


def has_proven(facts: Facts, cluster: str, release: str) -> bool:
    """True if a release was proven on a cluster, whatever that has by now, and did not fail there since.

    Unlike `proven_before` it takes no annotation for a proof: it is to let others have the release.
    """
    proof = _recorded_proof(facts, cluster, release)
    known = proof is not None and proof.basis not in (None, "Reverted")
    return (known or verified(facts, cluster, release)) and not failed(facts, cluster, release)


def failed(facts: Facts, cluster: str, release: str) -> bool:
    """True if a release failed on a cluster, also if it went back since; the latest evidence decides."""
    pointer = facts.pointers.get(cluster)
    verdict = seen(facts, cluster) if pointer and pointer.release == release else None
    if verdict is not None and verdict.kind in ("Failed", "Verified"):
        return verdict.kind == "Failed"
    found = facts.recorded.get((release, cluster))
    return found is not None and found.proof.kind == "Failed" and found.place > facts.ended.get(release, -1)


def stands(facts: Facts, cluster: str) -> bool:
    """True if what a cluster has is proven there, be it by having gone back to it."""
    pointer, verdict, placed = facts.pointers.get(cluster), seen(facts, cluster), facts.placed.get(cluster)
    if pointer is None or (verdict is not None and verdict.kind == "Failed"):
        return False
    returned = placed is not None and placed.merged.kind == "Rollback" and placed.move.to == pointer.release
    live = verdict is not None and verdict.kind == "Verified"
    return live or returned or _recorded_here(facts, cluster, pointer.release)


def proven_before(facts: Facts, cluster: str, release: str) -> bool:
    """True if a release was verified on a cluster at any time, and nothing newer says otherwise.

    A fallback is a proof that stands in the tree, until something ended the release.
    """
    known = _recorded_proof(facts, cluster, release) is not None
    by_name = falls_back(facts, cluster, release) or (release, cluster) in facts.named
    return known or (by_name and release not in facts.ended) or verified(facts, cluster, release)


def falls_back(facts: Facts, cluster: str, release: str | None) -> bool:
    """True if a release is what a cluster falls back to, and that is trusted."""
    pointer = facts.pointers.get(cluster)
    return pointer is not None and release is not None and pointer.fallback == release


def overdue(facts: Facts, cluster: str) -> bool:
    """True if the deadline for proof is over: counted from when the live Rollout carries the release.

    The bake comes on top, for it is part of the proof. Of a cluster that can't be seen nothing is known,
    and what is not there yet can't be late.
    """
    pointer, verdict = facts.pointers.get(cluster), seen(facts, cluster)
    since = facts.situation.carried.get(cluster)
    if pointer is None or verdict is None or since is None or verified(facts, cluster, pointer.release):
        return False
    wave = facts.waves.get(pointer.release, {}).get(cluster)
    if wave is None or verdict.kind not in ("Progressing", "Inconclusive"):
        return False
    placed = facts.placed.get(cluster)
    begin = max(since, placed.merged.at) if placed else since
    return facts.situation.now >= begin + _longest(wave)


def is_late(facts: Facts, cluster: str) -> bool:
    """True if a cluster was given what it has longer ago than proof may take, whatever is known of it by now."""
    pointer, placed = facts.pointers.get(cluster), facts.placed.get(cluster)
    wave = facts.waves.get(pointer.release, {}).get(cluster) if pointer else None
    return (
        wave is not None and placed is not None and facts.situation.now >= placed.merged.at + _longest(wave)
    )


def _longest(wave: ReleaseWave) -> timedelta:
    """How long proof may take, with the bake."""
    return timedelta(seconds=_seconds(wave.progressDeadline) + _seconds(wave.minSuccessTime))


def went_back(facts: Facts, cluster: str, release: str) -> bool:
    """True if a cluster left a release without proof that it is bad, and was not given it since."""
    placed = facts.placed.get(cluster)
    if placed is None or placed.merged.kind != "Rollback" or placed.move.from_ != release:
        return False
    return placed.place > facts.ended.get(release, -1) and not failed(facts, cluster, release)


def is_done(facts: Facts, release: ReleaseFacts) -> bool:
    """True if a release was proven in every wave, whatever its clusters have by now, and is not barred."""
    situation = facts.situation
    if bars_on(release, situation.promotion, situation.now):
        return False
    excused = excused_now(situation.promotion, retiring(situation), situation.now)
    for wave in release.waves:
        counted = [name for name in wave.members if name not in excused]
        proven = [name for name in counted if proven_before(facts, name, release.id)]
        if len(proven) < max(len(counted) - limit_of_failures(wave), min(1, len(counted))):
            return False
    return any(has_proven(facts, name, release.id) for wave in release.waves for name in wave.members)


def retiring(situation: Situation) -> set[str]:
    """Clusters of the inventory that are on their way out."""
    return {name for name, site in situation.sites.items() if site.lifecycle == "retiring"}
