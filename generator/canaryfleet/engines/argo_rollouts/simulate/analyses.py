"""AnalysisRuns as the controller keeps them: measured, counted, assessed and ended.

By analysis/analysis.go of v1.10.1: the order of the limits, what ends a metric, what ends a run, and
what a run reads that was told to stop. Values are made from the conditions that the generator writes.

Specs, results and measurements are never altered, only replaced: so they are shared with whoever reads them.
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
    """A time as Kubernetes writes it: whole seconds, of UTC."""
    return time.isoformat(timespec="seconds")[:19] + "Z"


@lru_cache(maxsize=4096)
def moment(text: str) -> datetime:
    """A time that Kubernetes wrote."""
    return datetime.fromisoformat(text)


def bound(condition: str) -> tuple[str, float] | None:
    """The comparison at the end of a condition of ours."""
    found = BOUND.search(condition)
    return (found[1], float(found[2])) if found else None


def begin(head: Raw, spec: Raw, now: datetime) -> Raw:
    """A new run. It keeps when each of its metrics is measured next, None if that is over, and the first of these."""
    at = stamp(now)
    kept = {metric["name"]: _kept(spec, metric["name"]) for metric in spec["metrics"]}
    dues = {metric["name"]: moment(at) + span(metric.get("initialDelay", "0")) for metric in spec["metrics"]}
    run = head | {"spec": spec, "status": {"phase": "Running", "startedAt": at}}
    return run | {"_kept": kept, "_dues": dues, "_due": min(dues.values(), default=None)}


def ended(run: Raw) -> bool:
    """Whether nothing more is measured."""
    return run["status"].get("phase") in ("Successful", "Failed", "Error", "Inconclusive")


def due(run: Raw, now: datetime) -> bool:
    """Whether there is something to measure, or to end."""
    time = run["_due"]
    return not ended(run) and (time is None or time <= now or bool(run["spec"].get("terminate")))


def next_due(run: Raw) -> datetime | None:
    """When a run has something to do next."""
    found: datetime | None = run["_due"]
    return found


@lru_cache(maxsize=256)
def span(text: str) -> timedelta:
    """A duration as it is written."""
    return timedelta(seconds=float(duration(text)))


def measure(run: Raw, now: datetime, mood: Mood) -> bool:
    """Measures what is due, and judges the run; whether something changed. `mood`: what is measured now."""
    measured = not run["spec"].get("terminate") and _measured(run, now, mood)
    over = _assess(run, now)
    times = () if ended(run) else [time for time in run["_dues"].values() if time]
    run["_due"] = min(times, default=None)
    return over or measured


def _measured(run: Raw, now: datetime, mood: Mood) -> bool:
    """Adds to the results what is due, if anything is."""
    dues = run["_dues"]
    pending = {name for name, time in dues.items() if time is not None and time <= now}
    if not pending:
        return False
    at, results = stamp(now), {item["name"]: item for item in run["status"].get("metricResults", ())}
    for metric in run["spec"]["metrics"]:
        if (name := metric["name"]) in pending:
            result = _measure(run, metric, results.get(name) or _first(run, metric), at, mood)
            results[name], dues[name] = result, _again(metric, result)
    run["status"]["metricResults"] = [*results.values()]
    return True


def _again(metric: Raw, result: Raw) -> datetime | None:
    """When a metric is measured next; None if it is over."""
    if result["phase"] != "Running":
        return None
    last = result["measurements"][-1]
    wait = ERROR_RETRY if last["phase"] == "Error" else span(metric.get("interval", "10s"))
    return moment(last["finishedAt"]) + wait


def _first(run: Raw, metric: Raw) -> Raw:
    result = {"name": metric["name"], "phase": "Running", "measurements": []}
    return result | ({"dryRun": True} if _dry(run, metric["name"]) else {})


def _measure(run: Raw, metric: Raw, before: Raw, at: str, mood: Mood) -> Raw:
    result = dict(before)
    nth = result.get("count", 0) + result.get("error", 0)
    phase, value = outcome(metric, _of_stable(mood) if "dryRun" in result else mood, nth)
    entry: Raw = {"phase": phase, "startedAt": at, "finishedAt": at}
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
    result["measurements"] = [*result["measurements"], entry][-run["_kept"][metric["name"]] :]
    result["phase"] = _phase(metric, result)
    return result


def _count(result: Raw, *names: str) -> None:
    for name in names:
        result[name] = result.get(name, 0) + 1


def _dry(run: Raw, name: str) -> bool:
    """Whether a metric decides nothing. Ours are those of the stable version."""
    return any(re.search(item["metricName"], name) for item in run["spec"].get("dryRun", []))


def _of_stable(mood: Mood) -> Mood:
    """What is measured of the stable version meanwhile: whatever befalls the canary alone, it is good."""
    return mood if mood in ("outage", "badEverywhere") else "good"


def _kept(spec: Raw, name: str) -> int:
    """measurementRetention, of which ours are `^name$`; otherwise ten."""
    rules = spec.get("measurementRetention", [])
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
    if results:
        good = {"phase": "Successful"}
        status["metricResults"] = [item | good if item["phase"] == "Running" else item for item in results]
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
    if "successCondition" not in metric:
        return ("Failed" if mood == "bad" else "Successful"), None
    return _judged(metric["successCondition"], metric.get("failureCondition", ""), mood)


@lru_cache(maxsize=1024)
def _judged(good_if: str, bad_if: str, mood: Mood) -> tuple[str, str]:
    if mood in ("few", "nan"):
        return "Inconclusive", "[]" if mood == "few" else "[NaN]"
    success, failure = bound(good_if), bound(bad_if)
    number = _number(mood, success, failure)
    if failure and _holds(failure, number):
        return "Failed", f"[{number:g}]"
    negated = good_if.endswith(")")
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
