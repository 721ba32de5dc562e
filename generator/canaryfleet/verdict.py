"""Verdicts: what is true of one release on one cluster.

`judge` asks `GUARDS` one after the other, and the first that has something to say has said it: first
whether the reading can be trusted, then whether the live object is the release (DESIGN.md, invariant 2),
then whether something proves it bad, then where it is, and only at the end whether it is proven good.
A guard's docstring says which fact it rests on: D and G are the sections of reference/argo-rollouts.md.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from msgspec import to_builtins

from canaryfleet import evidence as measures
from canaryfleet.case import SKEW, Case, Expected, latest
from canaryfleet.digest import digest
from canaryfleet.evidence import DRIFT, Contradiction, Judged
from canaryfleet.models.observation import (
    Basis,
    CrashEvidence,
    Evidence,
    Measurement,
    Observation,
    PodState,
    Run,
    RunEvidence,
    Time,
    Verdict,
)
from canaryfleet.quantity import duration
from canaryfleet.reasons import REASONS

FRESH = timedelta(minutes=10)  # an older reading is none
CRASHES = 3  # one restart can be a slow dependency


class Said(NamedTuple):
    """What a guard has to say."""

    reason: str
    message: str
    since: Time | None = None
    basis: Basis | None = None
    deciding: tuple[Run | PodState, ...] = ()


def judge(seen: Observation, expected: Expected, *, now: datetime, fresh: timedelta = FRESH) -> Verdict:
    """What is true of the release on the cluster, by what was seen of it. `now`: of the reader's clock."""
    case = Case(seen, expected, now, fresh)
    try:
        said = next(said for guard in GUARDS if (said := guard(case)))
        evidence = _evidence(case, said)
    except (Contradiction, OverflowError) as error:  # times may be at the end of all calendars
        said, evidence = Said("Contradictory", str(error)), Evidence()
    reason = REASONS[said.reason]
    return Verdict(
        app=seen.app,
        cluster=expected.cluster,
        release=expected.release.id,
        kind=reason.kind,
        reason=said.reason,
        message=said.message,
        basis=said.basis,
        since=said.since,
        evidence=evidence,
        hash=digest([reason.kind, said.reason, said.basis, to_builtins(evidence)]),
    )


def _evidence(case: Case, said: Said) -> Evidence:
    """What was bound to the release; nothing of a reading that could not be trusted."""
    live = case.seen.live
    if REASONS[said.reason].kind == "Unknown" or live is None:
        return Evidence(identity=case.seen.identity)
    runs = [run for run in said.deciding if isinstance(run, Run)] or case.attempt
    return Evidence(
        identity=case.seen.identity,
        uid=live.uid,
        release=live.release,
        pod=live.pod,
        hash=live.current.hash if live.current else None,
        revision=live.revision,
        runs=tuple(_run_evidence(case, run) for run in runs) if live.release == case.release.id else (),
        pods=tuple(
            CrashEvidence(name=pod.name, uid=pod.uid, crashes=pod.crashes, why=pod.why)
            for pod in said.deciding
            if isinstance(pod, PodState)
        ),
    )


def _run_evidence(case: Case, run: Run) -> RunEvidence:
    metrics = case.judged(run)
    deciding = [item.beyond for item in metrics.values() if item.beyond is not None]
    shown = measures.shown(run, metrics, deciding)
    return RunEvidence(name=run.name, uid=run.uid, role=run.role, step=run.step, metrics=shown)


# Can the reading be trusted?


def _read(case: Case) -> Said | None:
    """What was not seen is unknown (DESIGN.md, invariant 3; argo-cd 8860: green while its cluster is gone)."""
    unread = case.seen.unread
    return Said(unread.reason, unread.message) if unread else None


def _timely(case: Case) -> Said | None:
    """A reading is as old as its first answer; one from the future or backwards is no reading."""
    seen = case.seen
    if not seen.began <= seen.ended <= case.now + SKEW:
        return Said("Clock", f"read from {seen.began} to {seen.ended}, and now it is {case.now}")
    if case.now - seen.began > case.fresh:
        return Said("Stale", f"read at {seen.began}, longer than {case.fresh} ago")
    last = latest(*_stamps(case.seen))
    if last is not None and last > seen.ended + SKEW:
        return Said("Clock", f"the cluster speaks of {last}, and it was read until {seen.ended}")
    return None


def _stamps(seen: Observation) -> Iterator[Time | None]:
    """The cluster's own timestamps, which time is reckoned by."""
    if seen.live is not None:
        yield from (seen.live.created, seen.live.changed)
        yield from (version.created for version in (seen.live.current,) if version)
    for run in seen.runs:
        yield run.created
        yield from (one.ended or one.began for metric in run.metrics for one in metric.measurements)


def _identity(case: Case) -> Said | None:
    """Evidence is of the cluster with the recorded identity (DESIGN.md, invariant 2)."""
    if case.seen.cluster != case.expected.cluster:
        return Said("OtherCluster", f"a reading of {case.seen.cluster}")
    if not case.seen.identity:
        return Said("NoIdentity", "the UID of kube-system was not read")
    if case.expected.uid not in (None, case.seen.identity):
        return Said("OtherCluster", f"its kube-system is {case.seen.identity}, not {case.expected.uid}")
    return None


def _member(case: Case) -> Said | None:
    """The members of a wave come from the release (DESIGN.md, invariant 5)."""
    if case.expected.cluster in case.release.clusters and case.wave is not None:
        return None
    return Said("NotMember", f"{case.release.id} does not know {case.expected.cluster}")


# Is it the release?


def _there(case: Case) -> Said | None:
    """The API server said that there is none, and it is not going."""
    if case.seen.live is None:
        return Said("NotThere", f"no such object in {case.release.metadata.namespace}")
    return Said("Leaving", "it has a time of deletion") if case.live.leaving else None


def _synced(case: Case) -> Said | None:
    """Release and pods in Git are those of the live object, also its steps: an apply may change nothing (E)."""
    live, release = case.live, case.release
    if live.release != release.id:
        return Said("NotSynced", f"it has {live.release or 'no release of canaryfleet'}")
    if (live.pod, live.workload, live.strategy) != (case.pod, release.workload, release.strategy):
        return Said("OtherPods", f"its pods are {live.pod}, and should be {case.pod}")
    if case.pod not in release.contents:
        return Said(
            "OtherPods", "the release does not say what its pods are; it was frozen before that: release anew"
        )
    if live.content != release.contents[case.pod]:
        return Said("OtherPods", f"its pods say that they are {live.pod}, and were changed in the cluster")
    if live.strategy == "canary" and live.steps != release.steps:
        return Said("OtherSteps", "its steps are not those of the release")
    return None


def _observed(case: Case) -> Said | None:
    """A moment after any change, the old status stands beside the new generation (G; argo-rollouts 771)."""
    return None if case.live.observed else Said("NotObserved", "its status is of an earlier generation")


def _valid(case: Case) -> Said | None:
    """InvalidSpec stamps the new generation beside old hashes, and stops everything else (D1, G)."""
    return Said("InvalidSpec", case.live.invalid) if case.live.invalid else None


def _hash(case: Case) -> Said | None:
    """The ReplicaSet behind currentPodHash carries the pods of Git, with the revision of the Rollout (D1).

    The false Healthy (G): generation observed, Healthy, complete, and all of it of the old hash.
    """
    live, current = case.live, case.live.current
    if current is None:
        return Said("VersionMissing", "the status names a version that was not seen")
    same = (current.pod, current.workload) == (case.pod, case.release.workload)
    if not same or live.revision is None or current.revision != live.revision:
        return Said("OldVersion", f"the status is about {current.hash}, whose pods are {current.pod}")
    return None


# Is there proof that it is bad?


def _measured_bad(case: Case) -> Said | None:
    """More measurements beyond the rollback threshold than are let pass, recomputed (argo-rollouts 4479)."""
    for run in case.attempt:
        for name, item in case.judged(run).items():
            at = item.beyond_but(partial(measures.stable_as_bad, run, name, item.rule))
            if at is not None:
                code = "BakeBeyondThreshold" if run.role == "bake" else "BeyondThreshold"
                return Said(code, _too_bad(run, name, item, at), at.ended, deciding=(run,))
    return None


def _stable_as_bad(case: Case) -> Said | None:
    """It is bad, but nothing of that is the canary's alone."""
    for run in case.attempt:
        for name, item in case.judged(run).items():
            at = item.beyond
            if at is not None:
                twin = measures.beside(run, name, at)
                said = f"{_too_bad(run, name, item, at)}; the stable version was at {twin.value if twin else '?'}"
                return Said("StableAsBad", said, at.ended, deciding=(run,))
    return None


def _too_bad(run: Run, name: str, item: Judged, at: Measurement) -> str:
    unit = item.rule.metric.unit
    return f"{name} was {f'an {unit} of ' if unit else ''}{at.value}, and {item.rule.metric.rollback or 'failing'} is too bad ({run.name})"


def _crashing(case: Case) -> Said | None:
    """Most of the canary's pods crash again and again, and the stable ones do not; nothing else reports it.

    The controller aborts nothing when pods crash (D4). Once it is stable nothing is left to compare with.
    """
    current = case.live.current
    if case.complete or current is None:
        return None
    canary = [pod for pod in case.seen.pods if (pod.hash, pod.pod) == (current.hash, case.pod)]
    bad = [pod for pod in canary if pod.crashes >= CRASHES]
    if 2 * len(bad) <= len(canary):
        return None
    said = f"{len(bad)} of {len(canary)} pods crash: {bad[0].why}"
    since = latest(*(pod.crashed for pod in bad))
    others = [pod for pod in case.seen.pods if pod.hash != current.hash]
    if others and 2 * sum(pod.crashes >= CRASHES for pod in others) > len(others):
        return Said("StableAsBad", said, since, deciding=tuple(bad))
    return Said("Crashing", said, since, deciding=tuple(bad))


# Where is it?


def _held(case: Case) -> Said | None:
    """It waits for a person: aborted, paused by hand, or without enough proof (D3). Nothing is proven bad."""
    live = case.live
    if live.aborted:
        return Said("Aborted", live.message or "aborted", live.abortedSince)
    if live.stopped:
        return Said("Stopped", "spec.paused", case.carried)
    if any(reason.startswith("Inconclusive") for reason in live.paused):
        return Said("TooLittleProof", ", ".join(live.paused), live.pausedSince)
    if live.overdue and not case.settled:
        return Said("Overdue", live.message or "progressDeadlineSeconds is over", live.overdueSince)
    return None


def _under_way(case: Case) -> Said | None:
    """Complete is more than Healthy: stable, all steps done, all the traffic, all the pods (D2, G)."""
    live, current = case.live, case.live.current
    if live.paused:
        return Said("StepPaused", f"step {live.step}: {', '.join(live.paused)}", live.pausedSince)
    if any(pod.unschedulable for pod in case.seen.pods if current and pod.hash == current.hash):
        return Said("Unschedulable", live.message or "no node takes its pods", case.carried)
    if not case.complete:
        return Said(
            "Stepping", f"{live.phase} at step {live.step}: {live.message}".rstrip(": "), case.carried
        )
    if live.strategy == "canary" and live.steps and live.step != len(live.steps):
        return Said("Stepping", f"step {live.step} of {len(live.steps)}", case.carried)
    if current is None or live.replicas < 1 or current.replicas != live.replicas:
        return Said("NotAvailable", f"{live.replicas} pods are wanted", case.carried)
    if live.phase != "Healthy" or min(live.updated, live.available) < live.replicas:
        return Said("NotAvailable", live.message or f"phase {live.phase}", case.carried)
    ready = sum((pod.hash, pod.pod, pod.ready) == (current.hash, case.pod, True) for pod in case.seen.pods)
    if min(current.available, ready) < live.replicas:
        return Said("NotAvailable", f"{ready} of {live.replicas} pods are ready", case.carried)
    if live.weight != 100:
        return Said("Stepping", f"it has {live.weight}% of the traffic", case.carried)
    if live.changed is None:
        return Said("NotObserved", "the controller does not say since when it is complete")
    return None


def _overdue_in_git(said: Said, case: Case) -> Said:
    """Progressing ends with progressDeadline, from the moment the live object carries the release."""
    wave, carried = case.wave, case.seen.live and case.seen.live.current and case.carried
    if REASONS[said.reason].kind != "Progressing" or wave is None or not carried:
        return said
    deadline = carried + timedelta(seconds=float(duration(wave.progressDeadline)))
    if case.now <= deadline or said.since is None or (case.settled and said.reason != "Baking"):
        return said
    return Said("DeadlinePassed", f"{said.reason}: {said.message}", deadline)


# Is it proven good?


def _reverted(case: Case) -> Said | None:
    """Going back to the stable template skips steps and analysis (G): it runs, and that is all."""
    if not case.expected.reverted:
        return None
    return Said("Reverted", "it runs again", case.live.changed, "Reverted")


def _same_workload(case: Case) -> Said | None:
    """A policy-only release restarts and measures nothing (G); the same pods were verified on this cluster."""
    proof = case.expected.proof
    if proof is None or (proof.pod, proof.identity) != (case.pod, case.seen.identity):
        return None
    message = f"its pods {case.pod} were verified here before ({proof.hash})"
    return Said("SameWorkload", message, case.carried, "SameWorkload")


def _unproven(case: Case) -> Said | None:
    """Each analysis that the release asks for has run in this rollout and proved it (D2, D5).

    First deployment, full promotion and a rollback within the window skip analysis (D2); only the newest
    runs are kept (D5): what is missing is unknown.
    """
    if case.first:
        if case.expected.uid is None and not case.bakes:  # of a bake the queries say which cluster it is
            said = f"nothing was measured here yet that names the cluster; it says that it is {case.seen.identity}"
            return Said("NoIdentity", said)
        return None
    steps, asked = {run.step: run for run in case.runs("steps")}, list(_asked(case))
    if not case.release.metrics or not (asked or case.bakes):
        return Said("Unproven", "the release measures nothing here", case.live.changed)
    for what, step in asked:
        found = steps.get(step) if what == "steps" else next(iter(case.runs(what)), None)
        if found is None or case.live.changed is None or found.created > case.live.changed + DRIFT:
            older = case.older(what, step) if found is None else None
            if older is not None:
                said = f"{older.name} began at {older.created:%Y-%m-%d %H:%MZ}, and the commit that moved the pointer is of {case.expected.promoted:%Y-%m-%d %H:%MZ}"
                return Said("RunOlder", said)
            return Said(
                "RunMissing", f"no {what} analysis" + (f" of step {step}" if step is not None else "")
            )
        proof = measures.watched if what == "background" else measures.proven
        if not proof(case.release, found, case.judged(found)):
            return Said("Unproven", f"{found.name} proves nothing", case.live.changed)
        if (
            what == "background"
            and measures.alone(case.release)
            and case.live.changed < _earliest(case, found)
        ):
            return Said(
                "Unproven", f"it was stable before {found.name} had seen its steps", case.live.changed
            )
    return None


def _earliest(case: Case, background: Run) -> datetime:
    """When the pauses are over at the soonest: what only the background measures is measured in them (D2).

    Somebody who promotes in full skips them. Pauses without a duration may be of any length.
    """
    steps = case.release.steps
    start = next((index for index, step in enumerate(steps) if "setWeight" in step), 0)
    lengths = (step.get("pause", {}).get("duration", "0") for step in steps[start:])
    return background.created + timedelta(seconds=float(sum(map(duration, lengths)))) - DRIFT


def _asked(case: Case) -> Iterator[tuple[str, int | None]]:
    """Which runs of a rollout the release asks for: role, and the step of a canary's steps."""
    for key in case.release.analyses:
        role, _, step = key.partition("/")
        if role != "bake":
            yield role, int(step) if step else None


def _baking(case: Case) -> Said | None:
    """minSuccessTime is measured, from when the release had all the traffic (DESIGN.md; field.md 15)."""
    if not case.bakes or case.wave is None:
        return None
    least = timedelta(seconds=float(duration(case.wave.minSuccessTime)))
    run = next(iter(case.runs("bake")), None)
    if run is None:
        return Said("BakeMissing", "no AnalysisRun of the bake")
    metrics = case.judged(run)
    asked = measures.needed(case.release, "bake")
    done = all(name in metrics and measures.baked(metrics[name], least) for name in asked)
    if done and run.phase in ("Running", "Successful") and not run.terminated:
        return None
    if run.phase in ("", "Pending", "Running") and not run.terminated:
        return Said("Baking", f"{run.name} measures for {least}", case.serving)
    return Said("BakeUnproven", f"{run.name} is {run.phase}", case.serving)


def _proven(case: Case) -> Said:
    """All of it, since the last measurement that it took."""
    times: list[Time | None] = [case.live.changed]
    for run in case.attempt:
        for item in case.judged(run).values():
            # a bake that goes on measuring has proven it with the first of them that suffice
            good = item.run_of_good[: max(1, item.seen.successes)] if run.role == "bake" else item.run_of_good
            times.append(good[-1].ended if good else None)
    since = latest(*times)
    if case.first:
        return Said("FirstDeployment", "the first release here", since, "FirstDeployment")
    return Said("Proven", "every analysis proved it", since, "Analysis")


def _in_time(guard: Callable[[Case], Said | None]) -> Callable[[Case], Said | None]:
    def guarded(case: Case) -> Said | None:
        said = guard(case)
        return _overdue_in_git(said, case) if said else None

    return guarded


GUARDS: tuple[Callable[[Case], Said | None], ...] = (
    _read,
    _timely,
    _identity,
    _member,
    _there,
    _synced,
    _observed,
    _valid,
    _hash,
    _measured_bad,
    _crashing,
    _stable_as_bad,
    _held,
    _in_time(_under_way),
    _reverted,
    _same_workload,
    _unproven,
    _in_time(_baking),
    _proven,
)


def worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The verdict that needs a person most; None of none."""
    order = ("Failed", "Unknown", "Inconclusive", "Progressing", "Verified")
    return min(verdicts, key=lambda item: order.index(item.kind), default=None)
