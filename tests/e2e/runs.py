"""AnalysisRuns without a Rollout, made from what an overlay holds: dozens in one namespace at once.

The real controller measures them exactly as those of a canary.
"""

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from app import LIMIT, App, measurements
from rig.kube import Object
from rig.rollouts import API

ENDED = frozenset({"Successful", "Failed", "Inconclusive", "Error"})
HASH = "5d4f6c7b8"  # of a canary that nobody runs


def template(app: App, stage: str) -> Object:
    """The AnalysisTemplate of a stage, as it stands in the built overlay."""
    return next(
        one
        for one in app.built()
        if one["kind"] == "AnalysisTemplate" and one["metadata"]["name"].startswith(f"{app.name}-{stage}-")
    )


def bake(app: App) -> Object:
    """The AnalysisRun of the bake, as it stands in the built overlay."""
    return next(one for one in app.built() if one["kind"] == "AnalysisRun")


def deciding(made: Object) -> list[str]:
    """The names of a template's metrics that are no dry run."""
    dry = {rule["metricName"] for rule in made["spec"].get("dryRun", [])}
    return [one["name"] for one in made["spec"]["metrics"] if f"^{one['name']}$" not in dry]


def spec_of(made: Object, metric: str = "", **values: str) -> Object:
    """What a Rollout's run of a template would be: its arguments given, all its metrics or one."""
    spec: Object = copy.deepcopy(made["spec"])
    given = {name.replace("_", "-"): value for name, value in values.items()}
    for argument in spec.get("args", []):
        if argument["name"] in given:
            argument["value"] = given[argument["name"]]
    if metric:
        spec["metrics"] = [one for one in spec["metrics"] if one["name"] == metric]
        assert spec["metrics"], metric
        for rules in ("measurementRetention", "dryRun"):  # a rule that matches nothing is an Error
            spec[rules] = [one for one in spec.get(rules, []) if one["metricName"] == f"^{metric}$"]
    return spec


def start(app: App, name: str, spec: Mapping[str, Any]) -> None:
    """Make a run; from now on the controller measures."""
    app.kube.apply_at(
        f"{API}/namespaces/{app.namespace}/analysisruns/{name}",
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AnalysisRun",
            "metadata": {"name": name, "namespace": app.namespace},
            "spec": dict(spec),
        },
    )


def phase(app: App, name: str) -> str:
    """How a run stands; empty before the controller has seen it."""
    with app._news:
        run = app.live.get(("AnalysisRun", name), {})
    return str(run.get("status", {}).get("phase", ""))


def until_ended(app: App, names: Iterable[str], timeout: float = LIMIT) -> dict[str, str]:
    """Wait until runs have ended; how each did."""
    wanted = list(names)
    app.until_now(lambda: all(phase(app, n) in ENDED for n in wanted), "runs have ended", timeout)
    return {name: phase(app, name) for name in wanted}


def until_measured(app: App, name: str, count: int, timeout: float = LIMIT) -> list[Object]:
    """Wait until a run has so many measurements; these."""
    app.until_now(lambda: len(measured(app, name)) >= count, f"{count} measurements of {name}", timeout)
    return measured(app, name)


def measured(app: App, name: str) -> list[Object]:
    """The measurements that a run has so far."""
    with app._news:
        run = app.live.get(("AnalysisRun", name), {})
    return measurements(run)


def values_of(run: Object) -> list[str]:
    """What a run has measured, as it stands in its status."""
    return [one.get("value", "") for one in measurements(run)]


def values(app: App, name: str) -> list[float]:
    """The numbers that a run has measured; each `[x]`, as Prometheus' provider writes it."""
    return [float(m["value"].strip("[]")) for m in measured(app, name) if m.get("value", "[]") != "[]"]


def seconds(measurement: Object) -> float:
    """How long a measurement took."""
    start, end = (datetime.fromisoformat(measurement[key]) for key in ("startedAt", "finishedAt"))
    return (end - start).total_seconds()


def gaps(app: App, name: str) -> list[float]:
    """Seconds from the end of each measurement of a run to the beginning of the next, in whole seconds."""
    found = measured(app, name)
    return [
        (datetime.fromisoformat(b["startedAt"]) - datetime.fromisoformat(a["finishedAt"])).total_seconds()
        for a, b in itertools.pairwise(found)
    ]


def results(app: App, name: str) -> dict[str, Object]:
    """The results of a run by metric."""
    return {one["name"]: one for one in app.object("AnalysisRun", name)["status"].get("metricResults", [])}


def metric(query: str, address: str, conditions: Sequence[str | None] = (None, None), **more: Any) -> Object:
    """A metric written by hand, to see what the controller does with it."""
    success, failure = conditions
    provider = {"prometheus": {"address": address, "query": query}}
    made: Object = {"name": "m", "provider": provider, **more}
    return made | {
        key: value
        for key, value in (("successCondition", success), ("failureCondition", failure))
        if value is not None
    }
