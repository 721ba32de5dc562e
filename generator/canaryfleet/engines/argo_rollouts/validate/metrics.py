"""One metric, in a template with its defaults or in a run with its values (CF235 to CF238, CF241, CF242)."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from canaryfleet.engines.argo_rollouts.validate.arguments import TAG, argument_of, substitute
from canaryfleet.engines.argo_rollouts.validate.conditions import expression_fault, reads_no_data
from canaryfleet.engines.argo_rollouts.validate.durations import go_duration_seconds
from canaryfleet.engines.argo_rollouts.validate.plain import (
    Entry,
    Object,
    Path,
    as_map,
    as_text,
    as_whole,
    entries,
    map_or_none,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.world import Violation, bad

PROVIDERS = (
    "prometheus", "web", "job", "datadog", "newRelic", "wavefront", "kayenta", "cloudWatch",
    "graphite", "influxdb", "skywalking", "plugin"
)  # fmt: skip
SELF_JUDGING = frozenset({"job", "kayenta"})
VECTORS = frozenset({"prometheus", "influxdb", "cloudWatch"})
LOWEST = {
    "count": 0,
    "failureLimit": -1,
    "inconclusiveLimit": 0,
    "consecutiveErrorLimit": 0,
    "consecutiveSuccessLimit": 0,
}
MetricRule = Callable[[Object, Path, dict[Any, Any]], Iterator[Violation]]


def metrics_of(item: Object) -> list[Entry]:
    return entries(item, "spec", "metrics")


def metric_names(items: Iterable[Object]) -> list[str]:
    return [as_text(metric, "name") for item in items for _, metric in metrics_of(item)]


def _int_or_string(value: Any) -> int | None:
    """A number as the controller reads it: text that is none counts as 0; None while a {{placeholder}} is in it."""
    if isinstance(value, str):
        if "{{" in value:
            return None
        return int(value) if re.fullmatch(r"[-+]?[0-9]{1,18}", value) else 0
    return as_whole(value) or 0


def limit_of(metric: dict[Any, Any], key: str) -> int | None:
    return 0 if metric.get(key) is None else _int_or_string(metric[key])


def measurements_of(metric: dict[Any, Any]) -> int | None:
    """How often it is measured: 0 without an end, None if a {{placeholder}} decides."""
    count = limit_of(metric, "count")
    return 1 if count == 0 and not metric.get("interval") else count


def _limits(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """Counts and limits, one by one (CF235)."""
    for key, least in LOWEST.items():
        value = metric.get(key)
        number = limit_of(metric, key)
        if isinstance(value, str) and number == 0 and not re.fullmatch(r"[-+]?0{1,18}", value):
            yield bad(item, (*path, key), "CF235", f"{short(value)} is not a whole number: it counts as 0")
        elif number is not None and number < least:
            yield bad(item, (*path, key), "CF235", f"{key} is {number}", f"at least {least}")
    if limit_of(metric, "failureLimit") == -1 and limit_of(metric, "consecutiveSuccessLimit") == 0:
        message = (
            "failureLimit -1 and no consecutiveSuccessLimit: nothing is judged, and the controller refuses it"
        )
        yield bad(item, (*path, "failureLimit"), "CF235", message, "set one of them")


def _arithmetic(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """count against the limits (CF236)."""
    count, success = limit_of(metric, "count"), limit_of(metric, "consecutiveSuccessLimit")
    failure, inconclusive = limit_of(metric, "failureLimit"), limit_of(metric, "inconclusiveLimit")
    here = (*path, "count")
    if count is None or success is None or failure is None or inconclusive is None:
        return
    if count > 0 and count < max(failure, 0) + success:
        message = f"count {count} is less than failureLimit + consecutiveSuccessLimit ({failure} + {success})"
        yield bad(item, here, "CF236", message, "raise it")
    elif count > 0 and count < inconclusive:
        message = f"count {count} is less than inconclusiveLimit {inconclusive}"
        yield bad(item, here, "CF236", message, "raise it")
    elif success == 0 and 0 < (ends := measurements_of(metric) or 0) <= max(failure, inconclusive):
        which = "failureLimit" if failure >= ends else "inconclusiveLimit"
        message = f"{which} is exceeded by none of {ends} measurements, so the metric ends Successful whatever it measures"
        yield bad(item, (*path, which), "CF236", message, f"at most {ends - 1}")


def _durations(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """interval and initialDelay (CF237)."""
    if (limit_of(metric, "count") or 0) > 1 and not metric.get("interval"):
        yield bad(item, (*path, "interval"), "CF237", "count above 1 needs an interval")
    for key in ("interval", "initialDelay"):
        value = as_text(metric, key)
        if not value or "{{" in value:
            continue
        length = go_duration_seconds(value)
        if length is None:
            message = f"{short(value)} is not a Go duration"
            yield bad(item, (*path, key), "CF237", message, "like 30s, 5m or 24h")
        elif length < 0 or (key == "interval" and length == 0):
            yield bad(item, (*path, key), "CF237", f"{key} is {short(value)}", "let it be positive")


def _providers(metric: dict[Any, Any]) -> list[str]:
    return [str(key) for key, value in as_map(metric, "provider").items() if value is not None]


def _provider(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """Exactly one provider (CF238)."""
    if metric.get("provider") is not None and not isinstance(metric["provider"], dict):
        return
    here, given, remedy = (*path, "provider"), _providers(metric), f"one of {', '.join(PROVIDERS)}"
    for key in given:
        if key not in PROVIDERS:
            yield bad(item, (*here, key), "CF238", f"there is no provider {short(key)}", remedy)
    known = [key for key in given if key in PROVIDERS]
    plugins = as_map(metric, "provider", "plugin")
    if len(known) > 1 or len(plugins) > 1:
        yield bad(item, here, "CF238", f"several providers: {', '.join(known)}", "one metric for each")
    elif not given or (known == ["plugin"] and not plugins):
        yield bad(item, here, "CF238", "the metric has no provider", remedy)


def _conditions(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """Both conditions, where there is a value (CF241)."""
    if not set(_providers(metric)) & set(PROVIDERS) - SELF_JUDGING:
        return
    success, failure = metric.get("successCondition"), metric.get("failureCondition")
    here, message = path, ""
    if not success and not failure:
        message = "without conditions every measurement is Successful"
    elif not success and "isNaN" not in as_text(failure):
        here, message = (*path, "successCondition"), "failureCondition alone: NaN is Successful"
    elif not failure:
        here, message = (*path, "failureCondition"), "successCondition alone: NaN and no data are Failed"
    if message:
        yield bad(item, here, "CF241", message, "give both conditions")


def _prometheus(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """Prometheus: address, query, timeout (CF242)."""
    body = map_or_none(metric, "provider", "prometheus")
    if body is None:
        return
    here = (*path, "provider", "prometheus")
    address, remedy = as_text(body, "address"), "like http://prometheus.monitoring:9090"
    if body.get("address") in (None, ""):
        yield bad(item, (*here, "address"), "CF242", "Prometheus has no address", remedy)
    elif address and "{{" not in address and not _is_url(address):
        message = f"{short(address)} has no scheme or no host"
        yield bad(item, (*here, "address"), "CF242", message, remedy)
    if body.get("query") is None or not str(body["query"]).strip():
        yield bad(item, (*here, "query"), "CF242", "the query is empty")
    timeout = as_whole(body, "timeout")
    if timeout is not None and timeout <= 0:
        message = f"a timeout of {timeout} s has always passed"
        yield bad(item, (*here, "timeout"), "CF242", message, "remove it for 30 s")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.scheme and parts.netloc) and not re.search(r"[\x00-\x20\x7f]", text)
    except ValueError:
        return False


def _expressions(item: Object, path: Path, metric: dict[Any, Any]) -> Iterator[Violation]:
    """The conditions as expressions (CF243, CF244)."""
    vector = bool(set(_providers(metric)) & VECTORS)
    for key in ("successCondition", "failureCondition"):
        text = as_text(metric, key)
        fault = expression_fault(text) if text else ""
        if fault:
            yield bad(item, (*path, key), "CF244", fault)
        elif vector and reads_no_data(text):
            message = "an empty answer has no result[0]: an Error, or a verdict without data"
            yield bad(item, (*path, key), "CF243", message, "write `len(result) > 0 && ...`")


METRIC_RULES: tuple[MetricRule, ...] = (
    _limits, _arithmetic, _durations, _provider, _conditions, _prometheus, _expressions
)  # fmt: skip


def metric_faults(item: Object, values: Mapping[str, str]) -> Iterator[Violation]:
    """Every rule about one metric, for each metric with these values of the arguments."""
    for path, metric in metrics_of(item):
        resolved = substitute(metric, values)
        for rule in METRIC_RULES:
            yield from rule(item, path, resolved)


def endless(item: Object, values: Mapping[str, str]) -> Iterator[Violation]:
    """Metrics without an end, where the end is awaited (CF239)."""
    for path, metric in metrics_of(item):
        if measurements_of(substitute(metric, values)) == 0:
            message = f"{short(metric.get('name'))} has an interval but no count: the analysis never ends"
            remedy = "give the argument of count a default: the controller looks at no other"
            remedy = "give it a count" if metric.get("count") is None else remedy
            yield bad(item, (*path, "count"), "CF239", message, remedy)


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text below a value, keys too."""
    waiting = [(path, value)]
    while waiting:
        here, one = waiting.pop()
        if isinstance(one, str):
            yield here, one
        elif isinstance(one, dict):
            waiting += [((*here, str(key)), inner) for key, inner in one.items()]
            waiting += [((*here, str(key)), key) for key in one if isinstance(key, str) and "{{" in key]
        elif isinstance(one, list):
            waiting += [((*here, index), inner) for index, inner in enumerate(one)]


def placeholder_faults(item: Object, declared: set[str]) -> Iterator[Violation]:
    """{{...}} in metrics that nothing resolves (CF245)."""
    for path, metric in metrics_of(item):
        for here, text in _leaves(metric, path):
            for tag in TAG.findall(text):
                if argument_of(tag) not in declared:
                    message = f"nothing resolves {{{{{short(tag)}}}}}"
                    yield bad(item, here, "CF245", message, "declare the argument in this object's args")
            if "{{" in TAG.sub("", text):
                yield bad(item, here, "CF245", "a {{ is not closed")
