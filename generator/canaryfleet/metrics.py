"""From a metric in the spec to what is measured: query, conditions, limits; for any engine.

Left in the queries for the engine: `$(hash)` (pod-template hash of the version), `$(revision)`
(a matcher on the pod digest), `$(window)` and `$(cluster.name)`.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from canaryfleet import counts, parameters, presets, thresholds
from canaryfleet.counts import VERSION
from canaryfleet.errors import Issue
from canaryfleet.models.canary import Analysis, Metric, SequentialTest, Step
from canaryfleet.models.release import GUARD, TWIN
from canaryfleet.sequential import Sequential
from canaryfleet.thresholds import Bad, Condition
from canaryfleet.variables import names, substitute

STEPS, BACKGROUND, BAKE, PREVIEW = "steps", "background", "bake", "preview"
ENGINE_VARIABLES = VERSION | {"window", "cluster.name"}

# Where each provider puts its number in `result`, and what says that there is one.
# Read from metricproviders/*/ of Argo Rollouts; None: the spec has to say it in `value`.
# Several series are no answer: the first would be judged, and nothing says which one that is.
RESULTS: dict[str, tuple[str | None, str | None]] = {
    "prometheus": ("result[0]", "len(result) == 1"),
    "datadog": ("asFloat(result)", "!isNil(result)"),
    "web": ("asFloat(result)", "!isNil(result)"),
    "wavefront": ("asFloat(result)", "!isNil(result)"),
    "cloudWatch": ("result[0].Values[0]", "len(result) > 0 && len(result[0].Values) > 0"),
    "graphite": ("asFloat(result)", "!isNil(result)"),
    "influxdb": ("result[0]", "len(result) == 1"),
    "newRelic": (None, "len(result) > 0"),
    "skywalking": (None, "!isNil(result)"),
    "plugin": (None, "!isNil(result)"),
    "kayenta": (None, None),
    "job": (None, None),
}
# Fields without which the controller can't measure, read from the same place.
REQUIRED: dict[str, tuple[str, ...]] = {
    "web": ("url",),
    "wavefront": ("query",),
    "newRelic": ("query",),
    "cloudWatch": ("metricDataQueries",),
    "graphite": ("query",),
    "influxdb": ("query",),
    "skywalking": ("query",),
    "job": ("spec",),
    "kayenta": (
        "address",
        "application",
        "canaryConfigName",
        "configurationAccountName",
        "metricsAccountName",
        "scopes",
        "storageAccountName",
        "threshold",
    ),
}
PROVIDERS_ARE_ARGO = "see Argo Rollouts' documentation of the provider"
SELF_JUDGING = frozenset({"job", "kayenta"})


class Limits(NamedTuple):
    """How often it is measured, and how much is let pass."""

    interval: str
    most: int
    failure: int
    success: int
    error: int


class Measure(NamedTuple):
    """One metric, resolved."""

    name: str
    provider: str
    body: dict[str, Any]
    query: str
    samples: str
    minimum: int
    compared: str
    promote: Condition | None
    rollback: Condition | None
    value: str
    present: str
    secrets: dict[str, tuple[str, str]]
    during: tuple[str, ...]
    limits: Limits

    comparable: bool
    """Whether the value is a share or a time, and not an amount that grows with the traffic."""

    test: Sequential | None
    """What is measured instead of the query's change, where the comparison is a sequential test."""

    @property
    def suits_stable(self) -> bool:
        """Whether the same can be measured of the stable version, against the same rollback threshold."""
        tells_apart = bool(names(self.query) & VERSION)
        return self.rollback is not None and not self.compared and self.comparable and tells_apart


class Context(NamedTuple):
    """What a query may name of the app: all that is not known before the cluster."""

    app: str
    namespace: str
    service: str
    services: str
    protocol: str
    selector: str
    strategy: str
    labels: Mapping[str, str]
    steps: tuple[Step, ...] = ()

    @property
    def matchers(self) -> str:
        """The fleet's labels as PromQL, by name: the order in which they are written says nothing."""
        return ",".join(f'{name}="{value}"' for name, value in sorted(self.labels.items()))

    @property
    def head(self) -> str:
        """How a selector of series begins; at its end, a comment of the fleet's own could hide it."""
        return f"{self.matchers}," if self.labels else ""


class Resolved(NamedTuple):
    """Measures of an analysis, and what is wrong with it."""

    measures: tuple[Measure, ...]
    issues: tuple[Issue, ...]


def resolve(analysis: Analysis, context: Context) -> Resolved:
    """All metrics of an analysis; issues have paths below `analysis`."""
    issues: list[Issue] = []
    measures: list[Measure] = []
    seen: dict[str, int] = {}
    for index, metric in enumerate(analysis.metrics):
        try:
            measure = _measure(metric, analysis, context)
        except Bad as bad:
            issues.append(bad.issue._replace(path=("metrics", index, *bad.issue.path)))
            continue
        measures.append(measure)
        issues += counts.unsound(metric, measure.provider, measure.query, measure.samples, ("metrics", index))
        if measure.name in seen:
            issues.append(
                Issue(
                    ("metrics", index),
                    "CF130",
                    f"a second metric is named {measure.name}",
                    "give one of them a `name`: the controller refuses two of a name",
                )
            )
        seen.setdefault(measure.name, index)
    issues += _taken(measures, seen, context.strategy)
    return Resolved(tuple(measures), tuple(issues))


def _taken(measures: list[Measure], named: dict[str, int], strategy: str) -> Iterator[Issue]:
    """Names that canaryfleet gives to what it measures beside another metric."""
    for measure in measures:
        blue = strategy == "blueGreen"
        beside = BACKGROUND in measure.during if blue else measure.suits_stable
        name = measure.name + (GUARD if blue else TWIN)
        if beside and name in named:
            yield Issue(
                ("metrics", named[name], "name"),
                "CF130",
                f"{name} is how canaryfleet calls what it measures beside {measure.name}",
                "give it another `name`",
            )


def _measure(metric: Metric, analysis: Analysis, context: Context) -> Measure:
    preset = parameters.chosen(metric)
    provider, body = _provider(metric, parameters.provider(metric, preset))
    value, present = _result(metric, provider)
    compared, promote, rollback = thresholds.read(metric, preset, self_judging=provider in SELF_JUDGING)
    known = _known(metric, preset, context)
    query = _query(metric, preset, provider, known, compared, context.strategy)
    minimum = _first(metric.minimumSamples, analysis.minimumSamples)
    prometheus = provider == "prometheus"
    return Measure(
        name=metric.name or (preset.name.replace("/", "-") if preset else "") or provider.lower(),
        provider=provider,
        body=body,
        query=query,
        samples=_samples(metric, preset, context, known) if prometheus and minimum else "",
        minimum=minimum if prometheus else 0,
        compared=compared,
        promote=promote,
        rollback=rollback,
        value=value,
        present=present,
        secrets={key: (item.secret, item.key) for key, item in metric.secrets.items()},
        during=_during(metric, provider, compared, rollback, context.strategy),
        limits=Limits(
            interval=metric.interval or analysis.interval,
            most=metric.count or analysis.count,
            failure=_first(metric.failureLimit, analysis.failureLimit),
            success=metric.consecutiveSuccessLimit or analysis.consecutiveSuccessLimit,
            error=_first(metric.consecutiveErrorLimit, analysis.consecutiveErrorLimit),
        ),
        comparable=thresholds.is_share_or_time(metric, preset),
        test=_test(metric, metric.test, preset, analysis, context, known) if metric.test else None,
    )


def _first(own: int | None, default: int) -> int:
    return default if own is None else own


def _provider(metric: Metric, given: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
    if given is None:
        return "prometheus", {}
    if len(given) != 1:
        raise Bad(("provider",), "CF133", "exactly one provider is needed", f"one of {', '.join(RESULTS)}")
    key, body = next(iter(given.items()))
    if key not in RESULTS:
        from canaryfleet.nearest import nearest

        raise Bad(("provider", key), "CF133", f"Argo Rollouts has no provider {key}", nearest(key, RESULTS))
    if not isinstance(body, dict):
        raise Bad(
            ("provider", key),
            "CF133",
            f"the fields of {key} are missing",
            PROVIDERS_ARE_ARGO,
        )
    if key == "prometheus":
        raise Bad(
            ("provider", key),
            "CF133",
            "Prometheus is measured by `query`",
            "write `query:` instead; the address is the cluster's",
        )
    missing = [field for field in REQUIRED.get(key, ()) if not body.get(field)]
    if missing:
        raise Bad(("provider", key), "CF133", f"{key} needs `{missing[0]}`", PROVIDERS_ARE_ARGO)
    known = {"cluster.name", *(f"secret.{name}" for name in metric.secrets)}
    for name in sorted(names(body) - known):
        if name.startswith(("cluster.", "secret.")):
            from canaryfleet.nearest import nearest

            raise Bad(("provider", key), "CF139", f"nothing is known as $({name})", nearest(name, known))
    return key, body


def _result(metric: Metric, provider: str) -> tuple[str, str]:
    value, present = RESULTS[provider]
    value = metric.value or value
    judged = any(bound is not None for bound in thresholds.bounds(metric))
    if provider in SELF_JUDGING and judged:
        raise Bad((), "CF134", f"{provider} judges by itself", "remove the thresholds")
    if provider not in SELF_JUDGING and value is None:
        raise Bad((), "CF134", f"{provider} has no single number", "say where it is: `value: result[0].p95`")
    return value or "", present or ""


def _known(metric: Metric, preset: presets.Preset | None, context: Context) -> dict[str, str]:
    known = {
        "app": context.app,
        "rollout": context.app,
        "namespace": context.namespace,
        "service": context.service,
        "services": context.services,
    }
    said = parameters.values(metric, preset) if preset else {}
    selector = said.get("selector", context.selector)
    known["selector"] = context.head + substitute(selector, known.get)
    if preset:
        known = said | known | {"labels": context.head}
        if context.protocol in preset.errors:
            known["errors"] = preset.errors[context.protocol]
    if metric.quantile is not None:
        known["quantile"] = f"{Decimal(str(metric.quantile)):f}"
    return known


def _query(
    metric: Metric,
    preset: presets.Preset | None,
    provider: str,
    known: dict[str, str],
    compared: str,
    strategy: str,
) -> str:
    if provider != "prometheus":
        if metric.comparedTo:
            raise Bad(
                ("comparedTo",),
                "CF138",
                f"{provider} can't be compared with the stable version",
                "compare in a Prometheus query",
            )
        return ""
    query = substitute(preset.query if preset else counts.share(metric), known.get).strip()
    _check_query("failures" if metric.failures else "query", query)
    if compared and strategy == "blueGreen":
        raise Bad(
            ("comparedTo",), "CF138", "after the switch nobody uses the stable version", "compare in a canary"
        )
    if compared and not names(query) & VERSION:
        raise Bad(
            ("query",),
            "CF138",
            "the query is the same for canary and stable",
            "select one version's series with `{$(selector)}`",
        )
    return query


def _test(
    metric: Metric,
    test: SequentialTest,
    preset: presets.Preset | None,
    analysis: Analysis,
    context: Context,
    known: dict[str, str],
) -> Sequential:
    tested = counts.tested(metric, test, preset, analysis, context.steps)
    failures = substitute(tested.failures, known.get).strip()
    _check_query("failures", failures)
    return tested._replace(failures=failures)


def _check_query(field: str, query: str) -> None:
    if not query:
        raise Bad((field,), "CF139", "the query is empty")
    if "{{" in query:
        raise Bad(
            (field,),
            "CF139",
            "`{{` begins an argument of Argo Rollouts",
            "use `$(selector)`, `$(window)`, `$(cluster.name)`",
        )
    unknown = sorted(names(query) - ENGINE_VARIABLES)
    if unknown:
        from canaryfleet.nearest import nearest

        raise Bad(
            (field,),
            "CF139",
            f"nothing is known as $({unknown[0]})",
            nearest(unknown[0], ENGINE_VARIABLES | {"selector", "app", "namespace", "service"}),
        )


def _samples(metric: Metric, preset: presets.Preset | None, context: Context, known: dict[str, str]) -> str:
    """PromQL that counts the requests; without one of its own, those that Istio counted."""
    if metric.samples:
        samples = substitute(metric.samples, known.get).strip()
        _check_query("samples", samples)
        return samples
    if preset and preset.samples:
        samples = substitute(preset.samples, known.get)
        _check_query("parameters", samples)
        return samples
    return requests(context)


def requests(context: Context) -> str:
    """PromQL template that counts the requests of one version, as Istio saw them."""
    istio = presets.stack("istio")["istio/error-rate"]
    known = {"services": context.services, "namespace": context.namespace, "labels": context.head}
    defaults = {name: item.default for name, item in istio.parameters.items() if item.default is not None}
    return substitute(istio.samples, (known | defaults).get)


def asked(measure: Measure, requests: str) -> dict[str, str]:
    """What of a measure is asked of Prometheus, by what it is; `requests`: of its bake, if it has one."""
    if measure.provider != "prometheus":
        return {}
    texts = {"query": measure.query, "samples": measure.samples, "share": requests}
    return {name: text for name, text in texts.items() if text}


def of_one_cluster(text: str) -> bool:
    """Whether a query differs by cluster."""
    return "cluster.name" in names(text)


def _during(
    metric: Metric, provider: str, compared: str, rollback: Condition | None, strategy: str
) -> tuple[str, ...]:
    possible = tuple(_possible(provider, compared, rollback, strategy))
    if not metric.during:
        return tuple(stage for stage in possible if stage != PREVIEW)
    for stage in metric.during:
        if stage not in possible:
            raise Bad(
                ("during",),
                "CF140",
                f"this metric can't be measured during {stage}",
                f"possible: {', '.join(possible)}",
            )
    return tuple(stage for stage in possible if stage in metric.during)


def _possible(provider: str, compared: str, rollback: Condition | None, strategy: str) -> Iterator[str]:
    """Stages in which a metric means something.

    The background analysis only looks for proof of a bad version, so it needs a rollback
    threshold; it has no end, so a job would run for ever. The bake has no second version to
    compare with, and finds out by Prometheus when the version has all the traffic.
    """
    yield STEPS
    if rollback:
        yield BACKGROUND
    if provider == "prometheus" and not compared and rollback:
        yield BAKE
    if strategy == "blueGreen":
        yield PREVIEW
