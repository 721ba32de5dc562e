"""Verdicts beside what the controller did, after every single change of an object: they have to agree.

What must hold is read from the raw objects here, with no code of the verdicts: `truth` says which verdicts a
state allows. Whoever looks at a cluster sees one of these states; so this is the tightest loop there is.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from canaryfleet.case import Expected, Proof
from canaryfleet.engines.argo_rollouts.observe import observe
from canaryfleet.models.observation import Verdict
from canaryfleet.models.release import Release
from canaryfleet.verdict import judge
from recordings import Event, Object, Recording, State

HASH = "rollouts-pod-template-hash"
POD = "canaryfleet.dev/pod"
RELEASE = "canaryfleet.dev/release"
PROVEN = frozenset(["Analysis", "FirstDeployment"])
UNPROVEN = frozenset(["Progressing", "Inconclusive", "Unknown"])


class Moment(NamedTuple):
    """One state, what Git said then, and the verdict."""

    event: Event
    state: State
    had: list[str]
    """The releases that Git has pointed at until then, the present one last."""
    release: Release
    verdict: Verdict
    proven: bool
    """Whether the history knows these pods to be good."""

    @property
    def said(self) -> str:
        """The verdict's kind; of one that is Verified the basis."""
        return self.verdict.basis or self.verdict.kind


def moments(recording: Recording) -> Iterator[Moment]:
    """The verdict after every event, from the first sync on, judged as if it had been read just then."""
    about = recording.about
    proofs: dict[str, Proof] = {}  # by release: what commits would have recorded
    for event, state in recording.states():
        applied = (
            item["release"] for item in about["applied"] if datetime.fromisoformat(item["at"]) <= event.at
        )
        had = [release for release, _ in groupby(applied)]  # a sync of the same changes nothing in Git
        if not had or had[-1] not in about["releases"]:
            continue
        release = recording.release(had[-1])
        pod = release.clusters[about["cluster"]].pod
        proof = next((one for id, one in proofs.items() if id != release.id and one.pod == pod), None)
        verdict = _judged(recording, event, state, had, proof)
        if verdict.kind == "Verified" and verdict.basis in ("Analysis", "FirstDeployment"):
            proofs[release.id] = Proof(pod, about["identity"], verdict.hash)
        elif verdict.kind == "Failed":
            proofs = {id: proof for id, proof in proofs.items() if proof.pod != pod}
        yield Moment(event, state, had, release, verdict, proof is not None)


def disagreements(recording: Recording) -> list[str]:
    """Where a verdict says other than the controller's own objects, in words; each state once."""
    found: dict[str, None] = {}
    for moment in moments(recording):
        allowed, why = truth(recording, moment)
        if moment.said not in allowed:
            said = f"{moment.said} ({moment.verdict.reason}: {moment.verdict.message})"
            found[f"{moment.release.id}: {said}, and {why}: {sorted(allowed)}"] = None
    return list(found)


# ---- what the objects say -----------------------------------------------------------------------


def truth(recording: Recording, moment: Moment) -> tuple[frozenset[str], str]:
    """The verdicts that a state allows, and why."""
    release, state = moment.release, moment.state
    rollout = state.get(("Rollout", recording.about["app"]))
    if rollout is None:
        return frozenset(["Progressing"]), "there is no Rollout"
    status, metadata = rollout.get("status", {}), rollout["metadata"]
    pod = release.clusters[recording.about["cluster"]].pod
    stamped = rollout["spec"]["template"]["metadata"].get("annotations", {}).get(POD)
    if (metadata.get("labels", {}).get(RELEASE), stamped) != (release.id, pod):
        return frozenset(["Progressing"]), "the Rollout has something else"
    current = _set(state, recording, status.get("currentPodHash"))
    fresh = status.get("observedGeneration") == str(metadata["generation"])
    stamps = current["spec"]["template"]["metadata"].get("annotations", {}) if current else {}
    if not fresh or stamps.get(POD) != pod:
        return UNPROVEN, "the controller has not begun with it"
    runs = _runs(state, release, status["currentPodHash"])
    bad = [run for run in runs if _phase(run) == "Failed" and not run["spec"].get("terminate")]
    if status.get("abort"):
        return _aborted(state, status, bad, runs)
    if bad:
        return _failed(runs)
    if any(pause["reason"].startswith("Inconclusive") for pause in status.get("pauseConditions") or []):
        return frozenset(["Inconclusive"]), "it is paused for want of proof"
    if status.get("stableRS") != status["currentPodHash"] or status.get("phase") != "Healthy":
        return UNPROVEN | {"Failed"}, "it is not complete"
    return _complete(recording, moment, rollout, runs)


def _aborted(
    state: State, status: Object, bad: list[Object], runs: list[Object]
) -> tuple[frozenset[str], str]:
    if bad:
        return _failed(runs)
    if _restarts(state, status["currentPodHash"]):
        return frozenset(["Inconclusive", "Failed"]), "it is aborted, and pods crash"
    return frozenset(["Inconclusive"]), "it is aborted, and no run has failed"


def _failed(runs: list[Object]) -> tuple[frozenset[str], str]:
    """A run has failed; what was measured of the stable version is a dry run."""
    stable = [
        measurement["phase"]
        for run in runs
        for item in run["status"].get("metricResults", [])
        if item.get("dryRun")
        for measurement in item["measurements"]
    ]
    if "Failed" not in stable:
        return frozenset(["Failed"]), "a run has failed"
    if set(stable) == {"Failed"}:
        return frozenset(["Inconclusive"]), "a run has failed, and the stable version is as bad"
    return frozenset(["Failed", "Inconclusive"]), "a run has failed, and the stable version was as bad once"


def _complete(
    recording: Recording, moment: Moment, rollout: Object, runs: list[Object]
) -> tuple[frozenset[str], str]:
    """Complete and Healthy by the controller's word; what it did not measure, or threw away, is not proven."""
    release = moment.release
    if release.id in moment.had[:-1]:
        return UNPROVEN | {"Reverted"}, "it went back to it"
    if _same_pods(recording, moment.had):
        other = "SameWorkload" if moment.proven else "FirstDeployment"
        return UNPROVEN | {other}, "its policy alone has changed"
    canary = rollout["spec"]["strategy"].get("canary")
    steps = canary.get("steps", []) if canary is not None else []
    # the controller itself ends the background analysis when the canary is complete
    measured = [run for run in runs if _kind(run) not in ("", "Background")]
    asked = sum("analysis" in step for step in steps)
    done = [run for run in measured if _kind(run) == "Step" and _trusted(run)]
    bakes = [run for run in runs if not run["metadata"].get("ownerReferences")]
    baking = any(
        recording.about["cluster"] in wave.members
        and f"waves/{wave.name}/kustomization.yaml" in release.files
        for wave in release.waves
    )
    if baking and not any(_phase(run) == "Successful" for run in bakes):
        return UNPROVEN, "its bake is not over"
    proven = canary is not None and steps == list(release.steps) and asked and len(done) == asked
    if not proven or any(not _trusted(run) for run in (*measured, *bakes)) or not _all_ready(moment, rollout):
        return UNPROVEN | PROVEN, "it is complete"
    if baking and not _baked_after(rollout, bakes):
        return UNPROVEN | PROVEN, "it is complete, and may have been measured too early"
    return PROVEN, "it is complete, and every run has proven it"


def _same_pods(recording: Recording, had: list[str]) -> bool:
    """The release before has the same pods."""
    known = [recording.release(id) for id in had[-2:] if id in recording.about["releases"]]
    return len(known) == 2 and len({item.clusters[recording.about["cluster"]].pod for item in known}) == 1


def _trusted(run: Object) -> bool:
    """A run that ended by itself, and measured: every metric has values that are numbers."""
    if run["spec"].get("terminate") or _phase(run) != "Successful":
        return False
    results = [item for item in run["status"].get("metricResults", []) if not item.get("dryRun")]
    values = [
        measurement.get("value", "")
        for item in results
        for measurement in item.get("measurements", [])
        if measurement["phase"] == "Successful"
    ]
    return bool(results) and all(map(_number, values)) and all(item.get("successful") for item in results)


def _number(text: str) -> bool:
    try:
        return float(text.strip("[]").split(",")[0]) < float("inf")
    except ValueError:
        return False


def _all_ready(moment: Moment, rollout: Object) -> bool:
    """As many pods of the version are ready as are wanted, and no others are left of it."""
    status = rollout["status"]
    wanted = rollout["spec"].get("replicas", 1)
    ready = [
        pod
        for pod in _of(moment.state, "Pod", status["currentPodHash"])
        if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    ]
    sets = _of(moment.state, "ReplicaSet", status["currentPodHash"])
    there = {item["status"].get(name, 0) for item in sets for name in ("replicas", "availableReplicas")}
    weight = status.get("canary", {}).get("weights", {}).get("canary", {}).get("weight")
    return there | {len(ready), status.get("updatedReplicas", 0)} == {wanted} and not weight


def _baked_after(rollout: Object, bakes: list[Object]) -> bool:
    """What the whole bake rests on was measured after the release had become stable."""
    conditions = {c["type"]: c["lastTransitionTime"] for c in rollout["status"]["conditions"]}
    limits = {
        metric["name"]: int(metric.get("consecutiveSuccessLimit", metric.get("count", 1)))
        for run in bakes
        for metric in run["spec"]["metrics"]
    }
    return all(
        [m["phase"] for m in item["measurements"]][-limits[item["name"]] :]
        == ["Successful"] * limits[item["name"]]
        and item["measurements"][-limits[item["name"]]]["startedAt"] > conditions.get("Completed", "9")
        for run in bakes
        for item in run["status"]["metricResults"]
    )


def _set(state: State, recording: Recording, hash: str | None) -> Object | None:
    found = state.get(("ReplicaSet", f"{recording.about['app']}-{hash}"))
    return found if found and "deletionTimestamp" not in found["metadata"] else None


def _of(state: State, kind: str, hash: str) -> list[Object]:
    return [
        one
        for (which, _), one in state.items()
        if which == kind and one["metadata"].get("labels", {}).get(HASH) == hash
    ]


def _restarts(state: State, hash: str) -> bool:
    statuses = [s for pod in _of(state, "Pod", hash) for s in pod["status"].get("containerStatuses", [])]
    return any(status["restartCount"] for status in statuses)


def _runs(state: State, release: Release, hash: str) -> list[Object]:
    """The runs of the release: of its canary with this hash, and its bake."""
    found = []
    for (kind, _), run in state.items():
        labels = run["metadata"].get("labels", {})
        if kind == "AnalysisRun" and labels.get(RELEASE) == release.id and labels.get(HASH, hash) == hash:
            found.append(run)
    return found


def _kind(run: Object) -> str:
    return str(run["metadata"].get("labels", {}).get("rollout-type", ""))


def _phase(run: Object) -> str:
    return str(run.get("status", {}).get("phase", ""))


# ---- what the verdicts say ----------------------------------------------------------------------


def _judged(recording: Recording, event: Event, state: State, had: list[str], proof: Proof | None) -> Verdict:
    about, release = recording.about, recording.release(had[-1])
    subject = recording.subject(release)
    expected = Expected(
        cluster=about["cluster"], release=release, uid=about["identity"],
        fallback=_fallback(recording, had), reverted=release.id in had[:-1],
        proof=proof,
    )  # fmt: skip
    seen = observe(recording.sighting(subject, state, event.at), subject)
    return judge(seen, expected, now=event.at)


def _fallback(recording: Recording, had: list[str]) -> str | None:
    """What was there before with other pods, as far as the test still has its release."""
    cluster = recording.about["cluster"]
    pod = recording.release(had[-1]).clusters[cluster].pod
    known = [id for id in had if id in recording.about["releases"]]
    others = [id for id in known if recording.release(id).clusters[cluster].pod != pod]
    return others[-1] if others else None
