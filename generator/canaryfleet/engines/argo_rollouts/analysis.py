"""AnalysisTemplates for steps and background, and the AnalysisRun of the bake.

What the controller does, and this relies on (read in analysis/analysis.go, v1.9.2 and v1.10.1):
- failureCondition true is Failed, else successCondition true is Successful, else Inconclusive; a
  metric with only one of them turns NaN into an answer, so both are always there;
- `result[0]` of an empty vector is an Error, so every condition asks for its length first;
- a metric ends as soon as `consecutiveSuccessLimit` is met; when `count` runs out before, it is
  Inconclusive. So a step promotes on the first proof, aborts on the first proof to the contrary,
  and otherwise measures on until it has to ask a person;
- a background run whose metrics have ended is not renewed: its metrics have no end;
- errors are retried every 10 s and are not counted; `consecutiveErrorLimit` outlasts an outage.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from canaryfleet.digest import short
from canaryfleet.engines.argo_rollouts import ENDLESS, WINDOW
from canaryfleet.metrics import BACKGROUND, BAKE, PREVIEW, SELF_JUDGING, STEPS, Measure
from canaryfleet.models.canary import Analysis, Wave
from canaryfleet.models.release import GUARD, TWIN
from canaryfleet.quantity import duration, go_duration, seconds
from canaryfleet.sequential import Counts, Sequential, e_value
from canaryfleet.variables import substitute, substitute_all
from canaryfleet.workload.objects import APP_LABEL, MANAGED_BY, Object

# The order matters: overlays patch the first two (live), variants the third (frozen), by index.
ADDRESS, CLUSTER, REVISION = "prometheus-address", "cluster", "revision"
CANARY_HASH, STABLE_HASH = "canary-hash", "stable-hash"
GIVEN = "{{args.window}}"  # as the Rollout gives it
UNSET = "http://set.by.the.overlay.invalid"
RETENTION = 100
TWIN_TIMEOUT = 10  # seconds
BAKE_MEASUREMENTS = 48
ALL_TRAFFIC = "0.99"


class Versions(NamedTuple):
    """How a query's `$(hash)` and `$(revision)` read for one version."""

    hash: str
    revision: str


CANARY = Versions("{{args.canary-hash}}", '="{{args.revision}}"')
STABLE = Versions("{{args.stable-hash}}", '!~"{{args.revision}}|unknown"')
ANY = Versions("[a-z0-9]+", '=~".*"')
BAKED = Versions("[a-z0-9]+", '="{{args.revision}}"')


class Template(NamedTuple):
    """An AnalysisTemplate and what a Rollout has to give it."""

    object: Object
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name, which contains a digest of its content."""
        return str(self.object["metadata"]["name"])


def template(
    app: str, namespace: str, stage: str, measures: Sequence[Measure], revision: str,
    *, observe: str = "0", beside: bool,
) -> Template | None:  # fmt: skip
    """The AnalysisTemplate of a stage (steps, background or preview), or None if nothing is measured in it.

    `observe`: after a blue-green switch nothing is judged good before that time has passed, but all
    users have the version at once: so it is watched from the first second for proof that it is bad.
    `beside`: whether the stable version still has users, so that the same can be measured of it.
    """
    chosen = [measure for measure in measures if stage in measure.during]
    watching = [measure for measure in measures if duration(observe) and BACKGROUND in measure.during]
    metrics = [_metric(measure, stage, observe) for measure in chosen]
    metrics += [_guard(measure, observe) for measure in watching]
    twins = [_twin(measure, stage) for measure in chosen if beside and measure.suits_stable]
    metrics += twins
    if not metrics:
        return None
    needed = tuple(name for name in (CANARY_HASH, STABLE_HASH, WINDOW) if _uses(metrics, name))
    arguments = [
        *_common(revision),
        *({"name": name} for name in needed),
        *_secrets([item for item in measures if item in chosen or item in watching]),
    ]
    body = {"args": arguments, "metrics": metrics, "measurementRetention": _retention(metrics)}
    if twins:
        body["dryRun"] = [{"metricName": exactly(twin["name"])} for twin in twins]
    name = f"{app}-{stage}-{short(body)}"
    return Template(_object("AnalysisTemplate", name, app, namespace, body), needed)


def bake(
    app: str, namespace: str, release: str, wave: Wave, analysis: Analysis, measures: Sequence[Measure],
    revision: str, requests: str,
) -> Object | None:  # fmt: skip
    """The AnalysisRun that measures `minSuccessTime` on one cluster, or None if there is nothing to bake.

    It is applied with the release and begins to count when the release has all the traffic: until
    then its query is empty, which is Inconclusive and resets the count of successes in a row.
    """
    least = duration(wave.minSuccessTime)
    chosen = [measure for measure in measures if BAKE in measure.during]
    if not least or not chosen:
        return None
    metrics = [_bake_metric(measure, wave, analysis, requests) for measure in chosen]
    window = max(duration(analysis.window), *(duration(metric["interval"]) for metric in metrics))
    arguments = [*_common(revision), {"name": WINDOW, "value": go_duration(math.ceil(window))}]
    body = {"args": arguments, "metrics": metrics, "measurementRetention": _retention(metrics)}
    return _object("AnalysisRun", f"{app}-bake-{release.rpartition('-')[2]}", app, namespace, body)


def _object(kind: str, name: str, app: str, namespace: str, body: Object) -> Object:
    metadata: Object = {"name": name, "namespace": namespace, "labels": {APP_LABEL: app} | MANAGED_BY}
    if kind == "AnalysisTemplate":
        metadata["annotations"] = {"argocd.argoproj.io/sync-wave": "-1"}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": body}


def _common(revision: str) -> list[Object]:
    return [
        {"name": ADDRESS, "value": UNSET},
        {"name": CLUSTER, "value": "unset"},
        {"name": REVISION, "value": revision},
    ]


def _secrets(measures: Iterable[Measure]) -> list[Object]:
    """Arguments of the secrets; two metrics may call different ones by the same name."""
    return [
        {"name": _secret(measure, name), "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for measure in measures
        for name, (secret, key) in sorted(measure.secrets.items())
    ]


def _secret(measure: Measure, name: str) -> str:
    return f"secret-{measure.name}-{name}"


def _uses(value: Any, argument: str) -> bool:
    return f"{{{{args.{argument}}}}}" in str(value)


def exactly(name: str) -> str:
    """The pattern of one metric: the controller searches for it anywhere in a name (argo-rollouts.md B)."""
    return f"^{name}$"


def _retention(metrics: Sequence[Object]) -> list[Object]:
    return [{"metricName": exactly(metric["name"]), "limit": RETENTION} for metric in metrics]


def _metric(measure: Measure, stage: str, delay: str) -> Object:
    success, failure = _conditions(measure, judge=stage != BACKGROUND)
    metric: Object = {"name": measure.name, "interval": _go(measure.limits.interval)}
    if duration(delay):
        metric["initialDelay"] = _go(delay)
    if success:
        metric |= {"successCondition": success, "failureCondition": failure}
    if stage == BACKGROUND:
        metric["inconclusiveLimit"] = ENDLESS
    elif measure.provider in SELF_JUDGING:
        del metric["interval"]
    else:
        count = max(measure.limits.most, measure.limits.failure + measure.limits.success)
        metric |= {
            "count": count,
            "inconclusiveLimit": count,
            "consecutiveSuccessLimit": measure.limits.success,
        }
    # a job is measured once, so a limit above 0 would let every failure pass
    failures = 0 if measure.provider in SELF_JUDGING else measure.limits.failure
    metric |= {"failureLimit": failures, "consecutiveErrorLimit": measure.limits.error}
    return metric | {"provider": _provider(measure, stage)}


def _guard(measure: Measure, length: str) -> Object:
    """A background metric that ends after `length`, since a blue-green Rollout waits for its end."""
    metric = _metric(measure, BACKGROUND, "0")
    count = max(math.ceil(duration(length) / duration(measure.limits.interval)), measure.limits.failure + 1)
    return metric | {"name": measure.name + GUARD, "count": count, "inconclusiveLimit": count - 1}


def _twin(measure: Measure, stage: str) -> Object:
    """The same of the stable version, in a dry run: if it is as bad, that proves nothing against the canary.

    It never ends a run (helpers.go, IsTerminating), but a run waits for it (analysis.go, assessRunStatus): so in
    a step it is over with the first measurement that says nothing, and with as many good or bad ones as the
    canary's own. In the background it has no end.
    """
    metric = _metric(measure, stage, "0")
    limits = {"inconclusiveLimit": 0, "consecutiveErrorLimit": 0}
    if stage == BACKGROUND:
        limits = dict.fromkeys(("inconclusiveLimit", "failureLimit", "consecutiveErrorLimit"), ENDLESS)
    success, failure = _conditions(measure, judge=False)
    conditions = {"successCondition": success, "failureCondition": failure}
    provider = _prometheus(_guarded(measure, _fill(measure.query, STABLE), STABLE))
    provider["prometheus"]["timeout"] = TWIN_TIMEOUT  # all of one pass wait for the slowest answer
    return metric | conditions | limits | {"name": measure.name + TWIN, "provider": provider}


def _bake_metric(measure: Measure, wave: Wave, analysis: Analysis, requests: str) -> Object:
    least = duration(wave.minSuccessTime)
    interval = max(math.ceil(duration(measure.limits.interval)), math.ceil(least / BAKE_MEASUREMENTS))
    needed = max(1, math.ceil(least / interval))
    patience = math.ceil(duration(wave.progressDeadline) / interval)
    count = needed + patience + measure.limits.failure
    success, failure = _conditions(measure, judge=False)
    share = f"({_fill(requests, BAKED)}) / ({_fill(requests, ANY)})"
    query = f"({_guarded(measure, _fill(measure.query, BAKED), BAKED)}) and on() ({share} > {ALL_TRAFFIC})"
    return {
        "name": measure.name,
        "interval": go_duration(interval),
        "successCondition": success,
        "failureCondition": failure,
        "count": count,
        "inconclusiveLimit": count,
        "consecutiveSuccessLimit": needed,
        "failureLimit": measure.limits.failure,
        "consecutiveErrorLimit": max(measure.limits.error, math.ceil(count * interval / 10)),
        "provider": _prometheus(query),
    }


def _conditions(measure: Measure, *, judge: bool) -> tuple[str, str]:
    """successCondition and failureCondition; `judge`: success needs the promote threshold.

    The background analysis and the bake only look for proof of a bad version: there, a value
    between the thresholds is a success.
    """
    if measure.provider in SELF_JUDGING:
        return "", ""
    value = measure.value
    valid = f"{measure.present} && !isNaN({value}) && !isInf({value})"
    failure = f"{valid} && {value} {measure.rollback}" if measure.rollback else "false"
    if judge and measure.promote:
        return f"{valid} && {value} {measure.promote}", failure
    return f"{valid} && !({value} {measure.rollback})", failure


def _provider(measure: Measure, stage: str) -> Object:
    if measure.provider != "prometheus":
        known = {f"secret.{name}": f"{{{{args.{_secret(measure, name)}}}}}" for name in measure.secrets}
        known["cluster.name"] = "{{args.cluster}}"
        return {measure.provider: substitute_all(measure.body, known.get)}
    # a test adds up all of a canary: beside the steps, all of its requests have to be enough
    whole = measure.test if stage == BACKGROUND else None
    window = go_duration(whole.reach) if whole else GIVEN
    return _prometheus(_guarded(measure, _compared(measure), CANARY, window))


def _prometheus(query: str) -> Object:
    return {"prometheus": {"address": "{{args.prometheus-address}}", "query": query}}


def _compared(measure: Measure) -> str:
    if measure.test:
        return _tested(measure, measure.test)
    canary = _fill(measure.query, CANARY)
    if not measure.compared:
        return canary
    stable = _fill(measure.query, STABLE)
    change = f"(({canary}) - on() ({stable}))"
    return f"{change} / on() ({stable})" if measure.compared == "ratio" else change


def _tested(measure: Measure, test: Sequential) -> str:
    """The e-value of a sequential test; its window is the same in all of a canary, so that it adds up."""
    window = go_duration(test.window)
    texts = [
        _fill(query, version, window)
        for version in (CANARY, STABLE)
        for query in (test.failures, measure.samples)
    ]
    return e_value(Counts(*texts), test)


def _guarded(measure: Measure, query: str, version: Versions, window: str = GIVEN) -> str:
    """The query, empty while fewer than the minimum of requests stand behind it, in a window."""
    if not measure.samples:
        return query
    enough = f"({_fill(measure.samples, version, window)}) >= {measure.minimum}"
    guarded = f"({query}) and on() ({enough})"
    if measure.compared:
        guarded += f" and on() (({_fill(measure.samples, STABLE, window)}) >= {measure.minimum})"
    return guarded


def of_canary(query: str) -> str:
    """A query as an AnalysisTemplate asks it of the canary, with the arguments that the controller fills in."""
    return _fill(query, CANARY)


def _fill(query: str, version: Versions, window: str = GIVEN) -> str:
    known = {
        "hash": version.hash,
        "revision": version.revision,
        "window": window,
        "cluster.name": "{{args.cluster}}",
    }
    return substitute(query, known.get)


def _go(text: str) -> str:
    return go_duration(seconds(text))


def arguments(needed: Sequence[str], window: str) -> list[Object]:
    """What a Rollout gives to a template."""
    values: dict[str, Object] = {
        CANARY_HASH: {"valueFrom": {"podTemplateHashValue": "Latest"}},
        STABLE_HASH: {"valueFrom": {"podTemplateHashValue": "Stable"}},
        WINDOW: {"value": _go(window)},
    }
    return [{"name": name} | values[name] for name in needed]


__all__ = ["BACKGROUND", "PREVIEW", "STEPS", "Template", "arguments", "bake", "of_canary", "template"]
