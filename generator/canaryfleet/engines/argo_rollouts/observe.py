"""From the raw objects of Argo Rollouts to an observation: which objects, and what they mean.

Pure and total: whatever the answers hold, there is an observation. What can't be read, was cut off,
contradicts itself or moved while it was read is an `Unread` with its reason, never a guess.
The facts are those of reference/argo-rollouts.md (D and G) and of the controller's source, v1.10.1.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from msgspec import ValidationError, convert, to_builtins
from msgspec.structs import replace

from canaryfleet.digest import stamp
from canaryfleet.engines.argo_rollouts import WINDOW, held, shapes
from canaryfleet.engines.argo_rollouts.analysis import (
    CANARY_HASH,
    CLUSTER,
    RETENTION,
    REVISION,
    STABLE_HASH,
    exactly,
)
from canaryfleet.engines.argo_rollouts.rollout import RELEASE_LABEL
from canaryfleet.evidence import DRIFT
from canaryfleet.models.observation import (
    Live,
    Look,
    Measured,
    Measurement,
    Observation,
    PodState,
    Raw,
    Read,
    Run,
    Sighting,
    Subject,
    Time,
    Unread,
    Version,
)
from canaryfleet.models.release import TWIN
from canaryfleet.workload.objects import POD_ANNOTATION, REVISION_LABEL, WORKLOAD_ANNOTATION

HASH = "rollouts-pod-template-hash"
REVISION_ANNOTATION = "rollout.argoproj.io/revision"
Role = Literal["steps", "background", "preview", "bake"]
ROLES: dict[str, Role] = {
    "Step": "steps",
    "Background": "background",
    "PrePromotion": "preview",
    "PostPromotion": "steps",
}
FORMLESS = (LookupError, TypeError, AttributeError, ValueError, RecursionError, ArithmeticError)
ENDED = ("Successful", "Failed", "Inconclusive", "Error")


def reads(subject: Subject) -> tuple[Read, ...]:
    """What to ask about an app, in this order: the Rollout comes first and again last.

    Anything may move while it is read; a reading whose two Rollouts differ is dropped (argo-rollouts.md D6).
    Runs are found by the release, which `analysisRunMetadata` and the bake carry as a label.
    """
    pods = ",".join([HASH, *(f"{key}={value}" for key, value in sorted(subject.selector.items()))])
    runs = f"{RELEASE_LABEL}={subject.release}"
    return (
        _argo(subject, "rollout", "rollouts", subject.app),
        _core(subject, "replicaSets", "apps", "replicasets", pods),
        _argo(subject, "analysisRuns", "analysisruns", labels=runs),
        _core(subject, "pods", "", "pods", pods),
        _argo(subject, "rolloutAgain", "rollouts", subject.app),
    )


def _argo(subject: Subject, name: str, resource: str, object: str | None = None, labels: str = "") -> Read:
    space = subject.namespace
    return Read(
        name=name,
        group="argoproj.io",
        version="v1alpha1",
        resource=resource,
        namespace=space,
        object=object,
        labels=labels,
    )


def _core(subject: Subject, name: str, group: str, resource: str, labels: str) -> Read:
    return Read(
        name=name, group=group, version="v1", resource=resource, namespace=subject.namespace, labels=labels
    )


def trim(look: Look) -> Look:
    """The same look with only what `observe` reads: small, and without the secrets that pods are given.

    What has not the right form is left out whole; for `observe` it is the same, unread. Of what is compared
    with Git as a whole the digests are kept.
    """
    kept = {}
    for name, raw in look.answers.items():
        try:
            kept[name] = to_builtins(convert(raw, shapes.SHAPES[name] | shapes.Absent))
        except (ValidationError, KeyError, RecursionError):
            continue
    known = digests(look)
    return Look(app=look.app, namespace=look.namespace, answers=kept, digests=known, problem=look.problem)


def digests(look: Look) -> dict[str, str]:
    """Digests of the Rollout's template (of another one too) and of what each run measures.

    Of the raw answers, or as they were kept. A ReplicaSet has one if its pods are given another environment than
    the Rollout's: what a version runs is compared, but no values of variables are kept to be compared later.
    """
    if look.digests:
        return look.digests
    try:
        return dict(_digests(look.answers))
    except FORMLESS:  # which has no digest that anything in Git has
        return {}


def _digests(answers: Mapping[str, Raw]) -> Iterator[tuple[str, str]]:
    first, again = (answers[name].get("spec", {}).get("template", {}) for name in ("rollout", "rolloutAgain"))
    if first:
        yield "rollout", held.content(first)
    if again != first:
        yield "rolloutAgain", held.content(again)
    current = answers["rollout"].get("status", {}).get("currentPodHash")
    for item in answers["replicaSets"]["items"]:
        if item["metadata"].get("labels", {}).get(HASH) == current and current:
            template = item["spec"]["template"]
            if template["spec"] == first["spec"]:  # mostly, and quicker than the form without defaults
                continue
            given = held.environment(template)
            if given != held.environment(first):
                yield f"replicaSets/{item['metadata']['name']}", stamp(given)
    for run in answers["analysisRuns"]["items"]:
        name, arguments = run["metadata"]["name"], run["spec"].get("args", ())
        yield f"analysisRuns/{name}", held.measures(run["spec"], held.given(WINDOW, arguments))


class _Unusable(Exception):
    """The answers are no observation: reason code and what was found."""


def observe(sighting: Sighting, subject: Subject) -> Observation:
    """One app of a sighting, understood. The reason of an `unread` is a key of `verdict.REASONS`."""
    unread, seen = None, None
    try:
        seen = _seen(sighting, subject)
    except _Unusable as error:
        unread = Unread(reason=error.args[0], message=error.args[1])
    except OverflowError:
        unread = Unread(reason="Unparsable", message="a time at the end of all calendars")
    return Observation(
        app=subject.app,
        cluster=sighting.cluster,
        began=sighting.began,
        ended=sighting.ended,
        identity=sighting.identity,
        unread=unread,
        live=seen[0] if seen else None,
        runs=seen[1] if seen else (),
        pods=seen[2] if seen else (),
    )


def _seen(sighting: Sighting, subject: Subject) -> tuple[Live, tuple[Run, ...], tuple[PodState, ...]] | None:
    """The live Rollout with its runs and pods; None if there is no such Rollout."""
    look = _look(sighting, subject)
    rollout, again = _one(look, "rollout"), _one(look, "rolloutAgain")
    known = digests(look)
    if rollout != again or "rolloutAgain" in known:
        raise _Unusable("Moved", "the Rollout changed while it was read")
    if rollout is None:
        return None
    sets = _items(look, "replicaSets", shapes.ReplicaSets)
    runs = _items(look, "analysisRuns", shapes.AnalysisRuns)
    pods = _items(look, "pods", shapes.Pods)
    owned = {
        item.metadata.labels.get(HASH, ""): item
        for item in sets
        if _controller(item.metadata) == ("Rollout", rollout.metadata.uid)
    }
    live = replace(_live(rollout, owned, known), content=known.get("rollout", ""))
    names = {item.name for item in (*_containers(rollout.spec.template),)}
    return live, tuple(_runs(runs, rollout, subject, known)), tuple(_pods(pods, owned.values(), names))


# Answers


def _look(sighting: Sighting, subject: Subject) -> Look:
    problem = sighting.problem
    found = [look for look in sighting.apps if (look.app, look.namespace) == (subject.app, subject.namespace)]
    if problem is None and len(found) == 1:
        problem = found[0].problem
    if problem is not None:
        raise _Unusable(_reason(problem.kind), f"{problem.message}: {problem.remedy}".rstrip(": "))
    if len(found) != 1:
        raise _Unusable("Lost", f"{len(found)} answers about this app")
    return found[0]


def _reason(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("-"))


def _convert(look: Look, name: str, shape: Any) -> Any:
    if name not in look.answers:
        raise _Unusable("Lost", f"no answer about {name}")
    if "kind" not in look.answers[name]:  # without it msgspec takes the first that fits
        raise _Unusable("Unparsable", f"{name}: no kind")
    try:
        return convert(look.answers[name], shape)
    except (ValidationError, RecursionError) as error:
        raise _Unusable("Unparsable", f"{name}: {error}") from error


def _one(look: Look, name: str) -> shapes.Rollout | None:
    found: shapes.Rollout | shapes.Absent = _convert(look, name, shapes.Rollout | shapes.Absent)
    about = found.details if isinstance(found, shapes.Absent) else found.metadata
    space = look.namespace if isinstance(found, shapes.Absent) else found.metadata.namespace
    if (about.name, space) != (look.app, look.namespace):
        raise _Unusable("Foreign", f"{name}: an answer about {space}/{about.name}")
    return None if isinstance(found, shapes.Absent) else found


def _items(look: Look, name: str, shape: Any) -> Any:
    found = _convert(look, name, shape)
    if found.metadata.more or found.metadata.remainingItemCount:
        raise _Unusable("Truncated", f"{name}: the list goes on")
    if any(item.metadata.namespace != look.namespace for item in found.items):
        raise _Unusable("Foreign", f"{name}: an object of another namespace")
    if len({item.metadata.uid for item in found.items}) != len(found.items):
        raise _Unusable("Contradictory", f"{name}: an object is there twice")
    return found.items


def _controller(metadata: shapes.Metadata) -> tuple[str, str] | None:
    """Kind and UID of the owner that controls an object."""
    return next(((owner.kind, owner.uid) for owner in metadata.ownerReferences if owner.controller), None)


def _number(text: str | int | None) -> int | None:
    """A number that Kubernetes writes as text; None if it is none."""
    plain = str(text)
    return int(plain) if plain.isdecimal() and plain.isascii() and len(plain) < 16 else None


def _containers(template: shapes.Template) -> Iterable[shapes.Container]:
    return (*template.spec.initContainers, *template.spec.containers)


# The Rollout


def _live(rollout: shapes.Rollout, sets: Mapping[str, shapes.ReplicaSet], known: Mapping[str, str]) -> Live:
    spec, status, metadata = rollout.spec, rollout.status, rollout.metadata
    if (spec.strategy.canary is None) == (spec.strategy.blueGreen is None):
        raise _Unusable("Unparsable", "the Rollout has not exactly one strategy")
    conditions = {item.type: item for item in status.conditions}
    if len(conditions) != len(status.conditions):
        raise _Unusable("Contradictory", "the Rollout has a condition twice")
    completed, progressing = conditions.get("Completed"), conditions.get("Progressing")
    same = bool(status.stableRS) and status.stableRS == status.currentPodHash
    if completed is not None and (completed.status == "True") != same:
        raise _Unusable("Contradictory", "the condition Completed is not what the hashes say")
    overdue = progressing is not None and progressing.reason == "ProgressDeadlineExceeded"
    invalid = conditions.get("InvalidSpec")
    canary = spec.strategy.canary
    current = _version(sets.get(status.currentPodHash), spec.template)
    if current is not None and f"replicaSets/{sets[current.hash].metadata.name}" in known:
        current = replace(current, pod=None)
    return Live(
        uid=metadata.uid,
        created=metadata.creationTimestamp,
        release=metadata.labels.get(RELEASE_LABEL),
        workload=metadata.annotations.get(WORKLOAD_ANNOTATION),
        pod=_stamp(spec.template),
        strategy="blueGreen" if canary is None else "canary",
        steps=canary.steps if canary else (),
        revision=_number(metadata.annotations.get(REVISION_ANNOTATION)),
        leaving=metadata.deletionTimestamp is not None,
        # a string; D1. Without a generation nothing is observed
        observed=metadata.generation > 0 and _number(status.observedGeneration) == metadata.generation,
        phase=status.phase,
        message=status.message,
        invalid=(invalid.message or "InvalidSpec") if invalid and invalid.status != "False" else None,
        current=current,
        stable=_version(sets.get(status.stableRS), None),
        changed=completed.lastTransitionTime if completed else None,
        step=status.currentStepIndex,
        weight=_weight(status, blue=canary is None),
        paused=tuple(pause.reason for pause in status.pauseConditions),
        pausedSince=min((pause.startTime for pause in status.pauseConditions), default=None),
        stopped=spec.paused,
        aborted=status.abort or (progressing is not None and progressing.reason == "RolloutAborted"),
        abortedSince=status.abortedAt,
        overdue=overdue,
        overdueSince=progressing.lastTransitionTime if progressing and overdue else None,
        replicas=spec.replicas,
        updated=status.updatedReplicas,
        available=status.availableReplicas,
    )


def _stamp(template: shapes.Template) -> str | None:
    """The pod digest of a template, if its two stamps agree: Istio's metrics know pods by the label."""
    stamp = template.metadata.annotations.get(POD_ANNOTATION)
    return stamp if stamp == template.metadata.labels.get(REVISION_LABEL) else None


def _version(found: shapes.ReplicaSet | None, template: shapes.Template | None) -> Version | None:
    """A ReplicaSet; `template`: the Rollout's, which it has to run if it is the current one."""
    if found is None or found.metadata.deletionTimestamp is not None or HASH not in found.metadata.labels:
        return None
    runs = template is None or template.spec == found.spec.template.spec
    seen = found.status.observedGeneration == found.metadata.generation
    return Version(
        hash=found.metadata.labels[HASH],
        uid=found.metadata.uid,
        created=found.metadata.creationTimestamp,
        pod=_stamp(found.spec.template) if runs else None,
        workload=found.spec.template.metadata.annotations.get(WORKLOAD_ANNOTATION),
        revision=_number(found.metadata.annotations.get(REVISION_ANNOTATION)),
        replicas=found.spec.replicas,
        available=found.status.availableReplicas if seen else 0,
    )


def _weight(status: shapes.RolloutStatus, *, blue: bool) -> int | None:
    """The current version's share of the traffic, as far as the controller says so.

    When complete the weights are stable 100, canary 0, both of the current hash (D2); just before, the
    canary has 100 beside phase Healthy (G), and the hashes differ or the stable share is 0.
    """
    if blue:
        return (
            100 if status.currentPodHash and status.blueGreen.activeSelector == status.currentPodHash else 0
        )
    weights = status.canary.weights
    if weights is None or weights.additional or weights.canary.weight + weights.stable.weight != 100:
        return None
    done = status.stableRS == status.currentPodHash == weights.stable.podTemplateHash
    return weights.stable.weight if done else weights.canary.weight


# Runs


def _runs(
    found: Iterable[shapes.AnalysisRun], rollout: shapes.Rollout, subject: Subject, known: Mapping[str, str]
) -> Iterable[Run]:
    """This Rollout's runs (D5), and the bake, which nothing owns; those of anybody else are left out."""
    for run in sorted(found, key=_age):
        role: Role | None = ROLES.get(run.metadata.labels.get("rollout-type", ""))
        owner = _controller(run.metadata)
        if owner is None and run.metadata.name == _bake(subject):
            role = "bake"
        elif owner != ("Rollout", rollout.metadata.uid):
            role = None
        if role:
            yield replace(_run(run, role), measures=known.get(f"analysisRuns/{run.metadata.name}", ""))


def _age(run: shapes.AnalysisRun) -> tuple[Time, int, str]:
    """Order of creation; a second run within one second has the longer name: `…-10`, `…-10.1`."""
    return run.metadata.creationTimestamp, len(run.metadata.name), run.metadata.name


def _bake(subject: Subject) -> str:
    return f"{subject.app}-bake-{subject.release.rpartition('-')[2]}"


def _run(run: shapes.AnalysisRun, role: Role) -> Run:
    labels, given = run.metadata.labels, {item.name: item.value for item in run.spec.args}
    hash_, asked = labels.get(HASH), given.get(CANARY_HASH)
    results = {result.name: result for result in run.status.metricResults}
    asked_for = {metric.name for metric in run.spec.metrics}
    if len(results) != len(run.status.metricResults) or not results.keys() <= asked_for:
        raise _Unusable(
            "Contradictory", f"{run.metadata.name} has results that it does not measure, or twice"
        )
    if len(given) != len(run.spec.args):
        raise _Unusable("Contradictory", f"{run.metadata.name} is given an argument twice")
    dry = _dry(run.spec, asked_for)
    return Run(
        name=run.metadata.name,
        uid=run.metadata.uid,
        role=role,
        step=_number(labels.get("step-index")),
        created=run.metadata.creationTimestamp,
        phase=run.status.phase,
        # a run that was told to stop reads Successful, without any measurement too (D5)
        terminated=run.spec.terminate or "Terminated" in run.status.message,
        release=labels.get(RELEASE_LABEL),
        pod=given.get(REVISION),
        cluster=given.get(CLUSTER),
        # a version that is compared with itself is never worse
        hash=hash_ if asked in (None, hash_) and given.get(STABLE_HASH) != hash_ else None,
        revision=_number(run.metadata.annotations.get(REVISION_ANNOTATION)),
        metrics=tuple(
            _measured(run, metric, results.get(metric.name), dry=metric.name in dry)
            for metric in run.spec.metrics
        ),
    )


def _dry(spec: shapes.RunSpec, names: set[str]) -> set[str]:
    """Metrics that decide nothing: ours of the stable version; with a rule of anybody else's, all.

    The rules are patterns, searched for anywhere in a name.
    """
    twins = {exactly(name): name for name in names if name.endswith(TWIN)}
    rules = {rule.metricName for rule in spec.dryRun}
    return {twins[rule] for rule in rules} if rules <= twins.keys() else names


def _measured(
    run: shapes.AnalysisRun, metric: shapes.Metric, found: shapes.MetricResult | None, *, dry: bool
) -> Measured:
    """A metric of a run; one that fails ends those that were not measured yet, and they have no result."""
    name, result = run.metadata.name, found or shapes.MetricResult(name=metric.name, phase="")
    _consistent(name, run.metadata.creationTimestamp, result)
    failures, successes = _number(metric.failureLimit), _number(metric.consecutiveSuccessLimit)
    if failures is None or successes is None:
        raise _Unusable("Unparsable", f"{name}: the limits of {result.name} are no numbers")
    return Measured(
        name=result.name,
        phase=result.phase,
        dryRun=result.dryRun or dry,
        failureLimit=failures,
        successes=successes,
        count=result.count,
        failed=result.failed,
        errors=result.error,
        measurements=tuple(
            Measurement(
                phase=item.phase,
                value=item.value,
                began=item.startedAt,
                ended=item.finishedAt,
                terminated="Terminated" in item.message,
            )
            for item in result.measurements
        ),
    )


def _consistent(run: str, created: Time, result: shapes.MetricResult) -> None:
    """The counters say how many measurements there were: fewer are a loss, unless old ones are dropped.

    analysis/analysis.go, runMeasurements and garbageCollectMeasurements: each measurement that ended is
    counted under its phase, and an error beside `count`; kept are the last RETENTION.
    """
    kept = Counter(item.phase for item in result.measurements if item.phase in ENDED)
    counted = dict(
        zip(ENDED, (result.successful, result.failed, result.inconclusive, result.error), strict=True)
    )
    undated = any(
        item.phase in ENDED and not (item.startedAt and item.finishedAt) for item in result.measurements
    )
    whole = len(result.measurements) < RETENTION
    lost = any(kept[phase] != counted[phase] if whole else kept[phase] > counted[phase] for phase in ENDED)
    # one after the other, each ended before the next begins; times have whole seconds
    stamps = (time for item in result.measurements for time in (item.startedAt, item.finishedAt))
    times = [created - DRIFT, *(time for time in stamps if time)]
    if lost or undated or result.count != result.successful + result.failed + result.inconclusive:
        raise _Unusable("Contradictory", f"{run}: the counters of {result.name} are not its measurements")
    if times != sorted(times):
        raise _Unusable("Contradictory", f"{run}: measurements of {result.name} out of order")


# Pods


def _pods(
    found: Iterable[shapes.Pod], sets: Iterable[shapes.ReplicaSet], names: set[str]
) -> Iterable[PodState]:
    """The pods of the Rollout's ReplicaSets; `names`: the release's containers, not injected ones."""
    hashes = {("ReplicaSet", item.metadata.uid): item.metadata.labels.get(HASH, "") for item in sets}
    for pod in found:
        owner = _controller(pod.metadata)
        if owner in hashes and pod.metadata.deletionTimestamp is None:
            yield _pod(pod, hashes[owner], names)


def _pod(pod: shapes.Pod, hash_: str, names: set[str]) -> PodState:
    conditions = {item.type: item for item in pod.status.conditions}
    ready, scheduled = conditions.get("Ready"), conditions.get("PodScheduled")
    statuses = (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
    crashing = [item for item in statuses if item.name in names and _crashes(item)]
    worst = max(crashing, key=lambda item: (item.restartCount, item.name), default=None)
    end = worst.lastState.terminated if worst else None
    return PodState(
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        hash=hash_,
        pod=pod.metadata.annotations.get(POD_ANNOTATION),
        ready=ready is not None and ready.status == "True",
        unschedulable=scheduled is not None and scheduled.reason == "Unschedulable",
        crashes=worst.restartCount if worst else 0,
        why=f"{worst.name}: {end.reason or 'exit code'} {end.exitCode}" if worst and end else "",
        crashed=end.finishedAt if end else None,
    )


def _crashes(status: shapes.ContainerStatus) -> bool:
    """It ended by itself with an error before, and does not run or waits to be tried again."""
    end, now = status.lastState.terminated, status.state
    return end is not None and end.exitCode != 0 and (now.waiting is not None or now.terminated is not None)
