"""AnalysisRuns as the controller keeps them: measured, counted, assessed and ended.

By analysis/analysis.go of v1.10.1: the order of the limits, what ends a metric, what ends a run, and
what a run reads that was told to stop. Values are made from the conditions that the generator writes.
"""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from canaryfleet.quantity import duration

Mood = Literal["good", "bad", "badEverywhere", "between", "few", "nan", "outage", "flapping"]
Raw = dict[str, Any]
ORDER = ("Successful", "Running", "Pending", "Inconclusive", "Error", "Failed")  # utils/analysis: worst last
ERROR_RETRY = timedelta(seconds=10)  # whatever the interval
COUNTERS = {"Successful": "successful", "Failed": "failed", "Inconclusive": "inconclusive"}
BOUND = re.compile(r"([<>]) (-?[0-9.]+)\)?$")


def stamp(time: datetime) -> str:
    """A time as Kubernetes writes it: whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=4096)
def _read(text: str) -> datetime:
    return datetime.fromisoformat(text)


@lru_cache(maxsize=1024)
def bound(condition: str) -> tuple[str, float] | None:
    """The comparison at the end of a condition of ours."""
    found = BOUND.search(condition)
    return (found[1], float(found[2])) if found else None


def ended(run: Raw) -> bool:
    """Whether nothing more is measured."""
    return run["status"].get("phase") in ("Successful", "Failed", "Error", "Inconclusive")


def due(run: Raw, metric: Raw) -> datetime | None:
    """When a metric is measured next; None if it is over."""
    result = _result(run, metric["name"])
    if ended(run) or (result is not None and result["phase"] != "Running"):
        return None
    if result is None:
        return _read(run["status"]["startedAt"]) + span(metric.get("initialDelay", "0"))
    last = result["measurements"][-1]
    again = ERROR_RETRY if last["phase"] == "Error" else span(metric.get("interval", "10s"))
    return _read(last["finishedAt"]) + again


@lru_cache(maxsize=256)
def span(text: str) -> timedelta:
    """A duration as it is written."""
    return timedelta(seconds=float(duration(text)))


def next_due(run: Raw) -> datetime | None:
    """When a run has something to do next."""
    if ended(run):
        return None
    return min((time for metric in run["spec"]["metrics"] if (time := due(run, metric))), default=None)


def measure(run: Raw, now: datetime, mood: Mood) -> bool:
    """Measures what is due, and judges the run; whether something changed. `mood`: what is measured now."""
    if ended(run):
        return False
    run["status"].setdefault("startedAt", stamp(now))
    changed = run["status"].setdefault("phase", "Running") != "Running"
    for metric in run["spec"]["metrics"]:
        time = due(run, metric)
        if time is not None and time <= now and not run["spec"].get("terminate"):
            _measure(run, metric, now, mood)
            changed = True
    return _assess(run, now) or changed


def _result(run: Raw, name: str) -> Raw | None:
    return next((item for item in run["status"].get("metricResults", []) if item["name"] == name), None)


def _measure(run: Raw, metric: Raw, now: datetime, mood: Mood) -> None:
    results = run["status"].setdefault("metricResults", [])
    result = _result(run, metric["name"])
    if result is None:
        result = {"name": metric["name"], "phase": "Running", "measurements": []}
        if _dry(run, metric["name"]):
            result["dryRun"] = True
        results.append(result)
    nth = result.get("count", 0) + result.get("error", 0)
    phase, value = outcome(metric, _of_stable(mood) if "dryRun" in result else mood, nth)
    entry: Raw = {"phase": phase, "startedAt": stamp(now), "finishedAt": stamp(now)}
    if value is not None:
        entry["value"] = value
    if phase == "Error":
        entry["message"] = 'Post "http://prometheus/api/v1/query": connection refused'
        _count(result, "error", "consecutiveError")
    else:
        _count(result, "count", COUNTERS[phase])
        result.pop("consecutiveError", None)
    if phase == "Successful":
        _count(result, "consecutiveSuccess")
    else:
        result.pop("consecutiveSuccess", None)
    result["measurements"] = [*result["measurements"], entry][-_kept(run, metric["name"]) :]
    result["phase"] = _phase(metric, result)


def _count(result: Raw, *names: str) -> None:
    for name in names:
        result[name] = result.get(name, 0) + 1


def _dry(run: Raw, name: str) -> bool:
    """Whether a metric decides nothing. Ours are those of the stable version."""
    return any(re.search(item["metricName"], name) for item in run["spec"].get("dryRun", []))


def _of_stable(mood: Mood) -> Mood:
    """What is measured of the stable version meanwhile: whatever befalls the canary alone, it is good."""
    return mood if mood in ("outage", "badEverywhere") else "good"


def _kept(run: Raw, name: str) -> int:
    """measurementRetention, of which ours are `^name$`; otherwise ten."""
    rules = run["spec"].get("measurementRetention", [])
    return next((item["limit"] for item in rules if re.search(item["metricName"], name)), 10)


def _phase(metric: Raw, result: Raw) -> str:
    """The limits, each strictly greater and the last one winning; then success, then the count."""
    phase = "Running"
    needed = metric.get("consecutiveSuccessLimit", 0)
    if result.get("failed", 0) > metric.get("failureLimit", 0) >= 0:
        phase = "Failed"
    if result.get("inconclusive", 0) > metric.get("inconclusiveLimit", 0):
        phase = "Inconclusive"
    if result.get("consecutiveError", 0) > metric.get("consecutiveErrorLimit", 4):
        phase = "Error"
    if phase != "Running":
        return phase
    if needed and result.get("consecutiveSuccess", 0) >= needed:
        return "Successful"
    count = metric.get("count", 0 if "interval" in metric else 1)
    if count and result.get("count", 0) >= count:
        return "Inconclusive" if needed else "Successful"
    return "Running"


def _assess(run: Raw, now: datetime) -> bool:
    """Ends a run of which one metric did not succeed, all are over, or that was told to stop."""
    status = run["status"]
    results = status.get("metricResults", [])
    deciding = [item["phase"] for item in results if "dryRun" not in item]
    worst = max(deciding, key=ORDER.index, default="Running")
    bad = worst in ("Failed", "Error", "Inconclusive")
    over = len(results) == len(run["spec"]["metrics"]) and all(item["phase"] != "Running" for item in results)
    told = run["spec"].get("terminate", False)
    if not (bad or over or told):
        return False
    for item in results:
        if item["phase"] == "Running":
            item["phase"] = "Successful"
    status["phase"] = worst if bad else "Successful"
    status["completedAt"] = stamp(now)
    if told and not bad:
        status["message"] = "Run Terminated"
    elif bad:
        name = next(item["name"] for item in results if (item["phase"], "dryRun" in item) == (worst, False))
        status["message"] = f'Metric "{name}" assessed {worst}'
    return True


# Values


def outcome(metric: Raw, mood: Mood, nth: int) -> tuple[str, str | None]:
    """Phase and value of a measurement, by the metric's own conditions.

    A metric without conditions is a job: its outcome is all there is.
    """
    if mood == "flapping":
        mood = "bad" if nth % 2 else "good"
    elif mood == "badEverywhere":
        mood = "bad"
    if mood == "outage":
        return "Error", None
    success, failure = bound(metric.get("successCondition", "")), bound(metric.get("failureCondition", ""))
    if "successCondition" not in metric:
        return ("Failed" if mood == "bad" else "Successful"), None
    if mood in ("few", "nan"):
        return "Inconclusive", "[]" if mood == "few" else "[NaN]"
    number = _number(mood, success, failure)
    if failure and _holds(failure, number):
        return "Failed", f"[{number:g}]"
    negated = metric["successCondition"].endswith(")")
    good = success is None or _holds(success, number) != negated
    return ("Successful" if good else "Inconclusive"), f"[{number:g}]"


def _holds(bound: tuple[str, float], number: float) -> bool:
    return number < bound[1] if bound[0] == "<" else number > bound[1]


def _number(mood: Mood, success: tuple[str, float] | None, failure: tuple[str, float] | None) -> float:
    """A value of a mood: well on the good side, well beyond, or between the thresholds."""
    best, worst = success or failure, failure or success
    if best is None or worst is None:
        return 1.0
    lower = worst[0] == ">" if failure else best[0] == "<"
    away = max(0.001, abs(worst[1]) * 0.5, abs(best[1]) * 0.5) * (-1 if lower else 1)
    if mood == "good":
        return round(best[1] + away, 9)
    return round(worst[1] - away, 9) if mood == "bad" else round((best[1] + worst[1]) / 2, 9)
