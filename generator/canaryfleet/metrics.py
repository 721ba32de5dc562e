"""From a metric in the spec to what is measured: query, conditions, limits; for any engine.

Left in the queries for the engine: `$(hash)` (pod-template hash of the version), `$(revision)`
(a matcher on the pod digest), `$(window)` and `$(cluster.name)`.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from canaryfleet import presets
from canaryfleet.errors import Issue
from canaryfleet.models.canary import Analysis, Metric
from canaryfleet.quantity import threshold
from canaryfleet.variables import names, substitute

STEPS, BACKGROUND, BAKE, PREVIEW = "steps", "background", "bake", "preview"
ENGINE_VARIABLES = frozenset({"hash", "revision", "window", "cluster.name"})

# Where each provider puts its number in `result`, and what says that there is one.
# Read from metricproviders/*/ of Argo Rollouts; None: the spec has to say it in `value`.
RESULTS: dict[str, tuple[str | None, str | None]] = {
    "prometheus": ("result[0]", "len(result) > 0"),
    "datadog": ("asFloat(result)", "!isNil(result)"),
    "web": ("asFloat(result)", "!isNil(result)"),
    "wavefront": ("asFloat(result)", "!isNil(result)"),
    "cloudWatch": ("result[0].Values[0]", "len(result) > 0 && len(result[0].Values) > 0"),
    "graphite": ("asFloat(result)", "!isNil(result)"),
    "influxdb": ("result[0]", "len(result) > 0"),
    "newRelic": (None, "len(result) > 0"),
    "skywalking": (None, "!isNil(result)"),
    "plugin": (None, "!isNil(result)"),
    "kayenta": (None, None),
    "job": (None, None),
}
SELF_JUDGING = frozenset({"job", "kayenta"})
SCALE = {"%": Decimal("0.01"), "pp": Decimal("0.01"), "ms": Decimal("0.001"), "s": Decimal(1), "": Decimal(1)}
UNITS = {
    "ratio": {"", "%"},
    "seconds": {"", "s", "ms"},
    "milliseconds": {"", "s", "ms"},
    "number": {""},
    None: {"", "%", "s", "ms"},
}


class Condition(NamedTuple):
    """A comparison of the value with a number in the metric's unit: `< 0.005`."""

    operator: str
    number: Decimal

    def __str__(self) -> str:
        return f"{self.operator} {self.number.normalize():f}"


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


class Context(NamedTuple):
    """What a query may name of the app: all that is not known before the cluster."""

    app: str
    namespace: str
    service: str
    services: str
    protocol: str
    selector: str
    strategy: str


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
        except _Bad as bad:
            issues.append(bad.issue._replace(path=("metrics", index, *bad.issue.path)))
            continue
        if measure.name in seen:
            issues.append(
                Issue(
                    ("metrics", index),
                    "CF130",
                    f"a second metric is named {measure.name}",
                    "give one of them a `name`: the controller refuses two of a name",
                )
            )
        seen[measure.name] = index
        measures.append(measure)
    return Resolved(tuple(measures), tuple(issues))


class _Bad(Exception):
    def __init__(self, path: tuple[str, ...], code: str, message: str, remedy: str = "") -> None:
        self.issue = Issue(path, code, message, remedy)


def _measure(metric: Metric, analysis: Analysis, context: Context) -> Measure:
    preset = _preset(metric)
    provider, body = _provider(metric)
    value, present = _result(metric, provider)
    compared, promote, rollback = _thresholds(metric, preset, provider)
    known = _known(metric, preset, context)
    query = _query(metric, preset, provider, known, compared)
    minimum = analysis.minimumSamples if metric.minimumSamples is None else metric.minimumSamples
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
    )


def _first(own: int | None, default: int) -> int:
    return default if own is None else own


def _preset(metric: Metric) -> presets.Preset | None:
    if metric.preset is None:
        return None
    preset = presets.find(metric.preset)
    if preset is None:
        from canaryfleet.nearest import nearest

        raise _Bad(
            ("preset",),
            "CF131",
            f"no preset is named {metric.preset}",
            nearest(metric.preset, presets.all_names()),
        )
    if preset.quantile != (metric.quantile is not None):
        needs = "needs a `quantile`" if preset.quantile else "has no quantile"
        raise _Bad(
            ("quantile" if metric.quantile else "preset",),
            "CF132",
            f"{preset.name} {needs}",
            "such as 0.99" if preset.quantile else "remove it",
        )
    for key in metric.parameters:
        if key not in preset.parameters:
            raise _Bad(
                ("parameters", key),
                "CF132",
                f"{preset.name} has no parameter {key}",
                f"it has: {', '.join(preset.parameters) or 'none'}",
            )
    return preset


def _provider(metric: Metric) -> tuple[str, dict[str, Any]]:
    if metric.provider is None:
        return "prometheus", {}
    if len(metric.provider) != 1:
        raise _Bad(("provider",), "CF133", "exactly one provider is needed", f"one of {', '.join(RESULTS)}")
    key, body = next(iter(metric.provider.items()))
    if key not in RESULTS:
        from canaryfleet.nearest import nearest

        raise _Bad(("provider", key), "CF133", f"Argo Rollouts has no provider {key}", nearest(key, RESULTS))
    if not isinstance(body, dict):
        raise _Bad(
            ("provider", key),
            "CF133",
            f"the fields of {key} are missing",
            "see Argo Rollouts' documentation of the provider",
        )
    if key == "prometheus":
        raise _Bad(
            ("provider", key),
            "CF133",
            "Prometheus is measured by `query`",
            "write `query:` instead; the address is the cluster's",
        )
    return key, body


def _result(metric: Metric, provider: str) -> tuple[str, str]:
    value, present = RESULTS[provider]
    value = metric.value or value
    judged = any(bound is not None for bound in _bounds(metric))
    if provider in SELF_JUDGING and judged:
        raise _Bad((), "CF134", f"{provider} judges by itself", "remove the thresholds")
    if provider not in SELF_JUDGING and value is None:
        raise _Bad((), "CF134", f"{provider} has no single number", "say where it is: `value: result[0].p95`")
    return value or "", present or ""


def _bounds(metric: Metric) -> tuple[Any, ...]:
    return metric.promoteBelow, metric.promoteAbove, metric.rollbackAbove, metric.rollbackBelow


def _thresholds(
    metric: Metric, preset: presets.Preset | None, provider: str
) -> tuple[str, Condition | None, Condition | None]:
    """How it is compared ("", "ratio" or "difference"), and the two conditions."""
    given = [(name, text) for name, text in zip(BOUNDS, _bounds(metric), strict=True) if text is not None]
    if not given:
        if provider in SELF_JUDGING:
            return "", None, None
        raise _Bad((), "CF135", "nothing says what is good or bad", "give a promote and a rollback threshold")
    found = [name for name, _ in given]
    if (
        len(given) > 2
        or {"promoteBelow", "promoteAbove"} <= set(found)
        or {"rollbackAbove", "rollbackBelow"} <= set(found)
    ):
        raise _Bad(
            (found[-1],), "CF135", "one promote and one rollback threshold are meant", "remove the others"
        )
    if set(found) in ({"promoteBelow", "rollbackBelow"}, {"promoteAbove", "rollbackAbove"}):
        raise _Bad(
            (found[-1],),
            "CF135",
            f"{found[0]} and {found[1]} point the same way",
            "lower is better: promoteBelow and rollbackAbove; higher is better: promoteAbove and rollbackBelow",
        )
    _direction(preset, found)
    unit = metric.unit or (preset.unit if preset else None)
    kinds = {name: _number(name, text, unit, metric.comparedTo is not None) for name, text in given}
    if len({kind for kind, _ in kinds.values()}) > 1:
        raise _Bad(
            (found[-1],),
            "CF136",
            "one threshold is relative and the other is not",
            "write both in % or both in pp",
        )
    conditions = {name: Condition(OPERATORS[name], number) for name, (_, number) in kinds.items()}
    promote = next((conditions[name] for name in found if name.startswith("promote")), None)
    rollback = next((conditions[name] for name in found if name.startswith("rollback")), None)
    _ordered(promote, rollback, found)
    return next(iter(kinds.values()))[0], promote, rollback


BOUNDS = ("promoteBelow", "promoteAbove", "rollbackAbove", "rollbackBelow")
OPERATORS = {"promoteBelow": "<", "promoteAbove": ">", "rollbackAbove": ">", "rollbackBelow": "<"}


def _direction(preset: presets.Preset | None, found: list[str]) -> None:
    lower = {"promoteBelow", "rollbackAbove"}
    if preset and (preset.better == "lower") != (found[0] in lower):
        raise _Bad(
            (found[0],),
            "CF135",
            f"{preset.name} is better when {preset.better}",
            "promote and roll back the other way round",
        )


def _number(name: str, text: str | int | float, unit: str | None, compared: bool) -> tuple[str, Decimal]:
    try:
        value, given = threshold(text)
    except ValueError as error:
        raise _Bad((name,), "CF136", str(error)) from error
    if compared and given == "%":
        return "ratio", value * SCALE["%"]
    if given == "pp" and not compared:
        raise _Bad(
            (name,), "CF136", "percentage points compare two versions", "add `comparedTo: stable`, or write %"
        )
    if given == "pp":
        return "difference", value * SCALE["pp"]
    if given not in UNITS[unit]:
        raise _Bad(
            (name,),
            "CF136",
            f"{text} is not a value in {unit}",
            f"write it in {' or '.join(sorted(filter(None, UNITS[unit]))) or 'plain numbers'}",
        )
    number = value * SCALE[given]
    if unit == "milliseconds" and given:
        number *= 1000
    return ("difference" if compared else ""), number


def _ordered(promote: Condition | None, rollback: Condition | None, found: list[str]) -> None:
    if promote is None or rollback is None:
        return
    gap = rollback.number - promote.number if promote.operator == "<" else promote.number - rollback.number
    if gap < 0:
        raise _Bad(
            (found[-1],),
            "CF137",
            f"a value can be {promote} and {rollback} at once",
            "roll back only beyond the promote threshold",
        )


def _known(metric: Metric, preset: presets.Preset | None, context: Context) -> dict[str, str]:
    known = {
        "app": context.app,
        "rollout": context.app,
        "namespace": context.namespace,
        "service": context.service,
        "services": context.services,
    }
    known["selector"] = substitute(context.selector, known.get)
    if preset:
        known |= preset.parameters | metric.parameters
        if context.protocol in preset.errors:
            known["errors"] = preset.errors[context.protocol]
    if metric.quantile is not None:
        known["quantile"] = f"{Decimal(str(metric.quantile)):f}"
    return known


def _query(
    metric: Metric, preset: presets.Preset | None, provider: str, known: dict[str, str], compared: str
) -> str:
    if provider != "prometheus":
        if metric.comparedTo:
            raise _Bad(
                ("comparedTo",),
                "CF138",
                f"{provider} can't be compared with the stable version",
                "compare in a Prometheus query",
            )
        return ""
    query = substitute(preset.query if preset else metric.query or "", known.get).strip()
    _check_query("query", query)
    if compared and not names(query) & {"hash", "revision"}:
        raise _Bad(
            ("query",),
            "CF138",
            "the query is the same for canary and stable",
            "select one version's series with `{$(selector)}`",
        )
    return query


def _check_query(field: str, query: str) -> None:
    if not query:
        raise _Bad((field,), "CF139", "the query is empty")
    if "{{" in query:
        raise _Bad(
            (field,),
            "CF139",
            "`{{` begins an argument of Argo Rollouts",
            "use `$(selector)`, `$(window)`, `$(cluster.name)`",
        )
    unknown = sorted(names(query) - ENGINE_VARIABLES)
    if unknown:
        from canaryfleet.nearest import nearest

        raise _Bad(
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
    if preset:
        return substitute(preset.samples, known.get)
    return requests(context)


def requests(context: Context) -> str:
    """PromQL template that counts the requests of one version, as Istio saw them."""
    istio = presets.stack("istio")["istio/error-rate"]
    known = {"services": context.services, "namespace": context.namespace} | istio.parameters
    return substitute(istio.samples, known.get)


def _during(
    metric: Metric, provider: str, compared: str, rollback: Condition | None, strategy: str
) -> tuple[str, ...]:
    possible = tuple(_possible(provider, compared, rollback, strategy))
    if not metric.during:
        return tuple(stage for stage in possible if stage != PREVIEW)
    for stage in metric.during:
        if stage not in possible:
            raise _Bad(
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
    if rollback and strategy == "canary":
        yield BACKGROUND
    if provider == "prometheus" and not compared and rollback:
        yield BAKE
    if strategy == "blueGreen":
        yield PREVIEW
