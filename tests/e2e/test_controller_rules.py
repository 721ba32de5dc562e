"""What the generator relies on in the controller, and the traps it steers around: runs written by hand.

Each sentence of the reference page about analyses has its run here; none of these specs is one that
canaryfleet writes.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import runs
from app import ERROR_RATE, App
from rig import RigError
from rig.gate import DOWN, Gate, Reply, vector
from rig.kube import Object
from rig.rollouts import API

REPLIES: dict[str, Reply] = {
    "half": vector("0.5"),
    "nan": vector("NaN"),
    "empty": vector(),
    "down": DOWN,
    "worse": vector("2"),
    "half, worse": vector("0.5", "2"),
    "worse, half": vector("2", "0.5"),
}
BELOW, ABOVE = "result[0] < 1", "result[0] > 1"
GUARDED = tuple(f"len(result) > 0 && {condition}" for condition in (BELOW, ABOVE))
ALONE = tuple(f"len(result) == 1 && {condition}" for condition in (BELOW, ABOVE))


@dataclass(frozen=True)
class Rule:
    """A run: what it is answered, its conditions and limits, and how it ends."""

    reply: str
    conditions: tuple[str | None, str | None]
    outcome: str
    says: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def often(count: int, **more: Any) -> dict[str, Any]:
    """Measured so many times, a second apart."""
    return {"count": count, "interval": "1s", **more}


RULES = {
    # three states
    "success only, true": Rule("half", (BELOW, None), "Successful"),
    "success only, not true": Rule("half", (ABOVE, None), "Failed"),
    "failure only, true": Rule("half", (None, BELOW), "Failed"),
    "failure only, not true": Rule("half", (None, ABOVE), "Successful"),
    "both, both true": Rule("half", (BELOW, BELOW), "Failed"),
    "both, none true": Rule("half", (ABOVE, ABOVE), "Inconclusive"),
    "no condition": Rule("half", (None, None), "Successful"),
    # no number
    "nan, success only": Rule("nan", (BELOW, None), "Failed"),
    "nan, failure only": Rule("nan", (None, ABOVE), "Successful"),
    "nan, both": Rule("nan", (BELOW, ABOVE), "Inconclusive"),
    "nan, guarded": Rule("nan", (f"!isNaN(result[0]) && {BELOW}", ABOVE), "Inconclusive"),
    # no series
    "empty": Rule("empty", (BELOW, ABOVE), "Error", more={"consecutiveErrorLimit": 0}),
    "empty, guarded": Rule("empty", GUARDED, "Inconclusive"),  # type: ignore[arg-type]
    "empty, no condition": Rule("empty", (None, None), "Successful"),
    "empty is not nil": Rule("empty", ("!isNil(result)", "false"), "Successful"),
    # several series
    "several, the first is good": Rule("half, worse", (BELOW, ABOVE), "Successful"),
    "several, the first is bad": Rule("worse, half", (BELOW, ABOVE), "Failed"),
    "several, guarded": Rule("worse, half", ALONE, "Inconclusive"),  # type: ignore[arg-type]
    # functions
    "asInt": Rule("half", ("asInt(result[0]) == 0", "false"), "Successful"),
    "asFloat": Rule("half", ("asFloat(result[0]) == 0.5", "false"), "Successful"),
    "isInf": Rule("half", ("!isInf(result[0])", "false"), "Successful"),
    "default looks at the whole result": Rule("half", ("default(7, 8)[0] == 0.5", "false"), "Successful"),
    "no such function": Rule(
        "half", ("isGood(result)", "false"), "Error", "isGood", {"consecutiveErrorLimit": 0}
    ),
    "no truth": Rule("half", ("result[0]", "false"), "Error", "bool", {"consecutiveErrorLimit": 0}),
    # limits that equal the count are never exceeded
    "all doubtful, limit is count": Rule(
        "nan", (BELOW, ABOVE), "Successful", more=often(2, inconclusiveLimit=2)
    ),
    "all doubtful, proof asked for": Rule(
        "nan", (BELOW, ABOVE), "Inconclusive", more=often(2, inconclusiveLimit=2, consecutiveSuccessLimit=1)
    ),
    "all failed, limit is count": Rule("worse", (BELOW, ABOVE), "Successful", more=often(2, failureLimit=2)),
    "all failed, no limit, proof asked for": Rule(
        "worse", (BELOW, ABOVE), "Failed", more=often(2, failureLimit=-1, consecutiveSuccessLimit=1)
    ),
    "one proof ends it": Rule("half", (BELOW, ABOVE), "Successful", more=often(50, consecutiveSuccessLimit=1)),
    # what the API server lets pass and the controller refuses, once the canary runs
    "count below its limits": Rule(
        "half", (BELOW, ABOVE), "Error", "count", often(2, failureLimit=2, consecutiveSuccessLimit=1)
    ),
    "count below its doubts": Rule("half", (BELOW, ABOVE), "Error", "count", often(2, inconclusiveLimit=3)),
    "count without interval": Rule("half", (BELOW, ABOVE), "Error", "interval", {"count": 2}),
    "interval that is none": Rule("half", (BELOW, ABOVE), "Error", "interval", {"interval": "1d", "count": 2}),
    "delay that is none": Rule("half", (BELOW, ABOVE), "Error", "startDelay", {"initialDelay": "1d"}),
    "nothing limits it": Rule(
        "half", (BELOW, ABOVE), "Error", "cannot", often(2, failureLimit=-1)
    ),
}  # fmt: skip


def slug(text: str) -> str:
    """A name of Kubernetes."""
    return "-".join(text.lower().replace(",", "").split())


def test_rules_of_one_metric(make_app: Callable[..., App], make_gate: Callable[..., Gate]) -> None:
    app = make_app()
    gates = {name: make_gate(reply) for name, reply in REPLIES.items()}
    for name, rule in RULES.items():
        made = runs.metric("up", gates[rule.reply].url, rule.conditions, **rule.more)
        runs.start(app, slug(name), {"metrics": [made]})
    ended = runs.until_ended(app, [slug(name) for name in RULES])
    assert {name: ended[slug(name)] for name in RULES} == {n: rule.outcome for n, rule in RULES.items()}
    for name, rule in RULES.items():
        assert rule.says in str(app.object("AnalysisRun", slug(name))["status"]), name
    assert len(runs.measured(app, "one-proof-ends-it")) == 1


def test_rules_of_a_whole_run(make_app: Callable[..., App], make_gate: Callable[..., Gate]) -> None:
    """Names of dry runs and retention are parts of a pattern; what matches nothing, lacks or doubles is an error."""
    app = make_app()
    half, worse = (make_gate(REPLIES[name]).url for name in ("half", "worse"))
    good = runs.metric("up", half, (BELOW, ABOVE), **often(3))
    other = good | {"name": "xmx"}
    bad = runs.metric("up", worse, (BELOW, ABOVE)) | {"name": "xmx"}
    late = runs.metric("up", half, (BELOW, ABOVE), initialDelay="60s") | {"name": "late"}
    argument = runs.metric("up{a='{{ args.a }}'}", half, (BELOW, ABOVE))
    cases: dict[str, tuple[Object, str]] = {
        "no-metric": ({"metrics": []}, "Error"),
        "same-name": ({"metrics": [good, good]}, "Error"),
        "two-providers": ({"metrics": [_with_web(good)]}, "Error"),
        "dry-pattern": ({"metrics": [good, bad], "dryRun": [{"metricName": "m"}]}, "Successful"),
        "dry-exact": ({"metrics": [good, bad], "dryRun": [{"metricName": "^m$"}]}, "Failed"),
        "dry-nothing": ({"metrics": [good], "dryRun": [{"metricName": "other"}]}, "Error"),
        "kept-nothing": (
            {"metrics": [good], "measurementRetention": [{"metricName": "other", "limit": 5}]},
            "Error",
        ),
        "kept-one": (
            {"metrics": [other], "measurementRetention": [{"metricName": "m", "limit": 1}]},
            "Successful",
        ),
        "kept-exact": (
            {"metrics": [other], "measurementRetention": [{"metricName": "^m$", "limit": 1}]},
            "Error",
        ),
        "argument": ({"metrics": [argument], "args": [{"name": "a", "value": "b"}]}, "Successful"),
        "argument-unknown": ({"metrics": [argument], "args": [{"name": "b", "value": "b"}]}, "Error"),
        "argument-without-value": ({"metrics": [good], "args": [{"name": "a"}]}, "Error"),
        "one-fails-while-another-waits": ({"metrics": [bad, late]}, "Failed"),
        "terminated": ({"metrics": [late], "terminate": True}, "Successful"),
    }
    for name, (spec, _) in cases.items():
        runs.start(app, name, spec)
    assert runs.until_ended(app, cases) == {name: outcome for name, (_, outcome) in cases.items()}
    assert runs.results(app, "kept-one")["xmx"]["count"] == 3
    assert len(runs.measured(app, "kept-one")) == 1
    assert "late" not in runs.results(app, "one-fails-while-another-waits")
    assert runs.measured(app, "terminated") == [], "Successful without a measurement"


def _with_web(metric: Object) -> Object:
    return metric | {"provider": metric["provider"] | {"web": {"url": "http://x", "jsonPath": "{$}"}}}


def test_errors_come_every_ten_seconds_and_the_fifth_in_a_row_ends_a_run_that_sets_no_limit(
    make_app: Callable[..., App],
    make_gate: Callable[..., Gate],
    record_property: Callable[[str, object], None],
) -> None:
    """So an outage of less than a minute aborts a canary by default, however short the interval."""
    app = make_app()
    spec = {"metrics": [runs.metric("up", make_gate(DOWN).url, (BELOW, ABOVE), **often(3))]}
    runs.start(app, "errors", spec)
    assert runs.until_ended(app, ["errors"]) == {"errors": "Error"}
    assert [one["phase"] for one in runs.measured(app, "errors")] == ["Error"] * 5
    gaps = runs.gaps(app, "errors")
    record_property("seconds between errors", gaps)
    assert min(gaps) >= 9  # whole seconds on both sides
    assert statistics.median(gaps) < 15, "it does not wait longer each time"


PROVIDERS = (
    "prometheus", "web", "job", "datadog", "newRelic", "wavefront", "kayenta", "cloudWatch", "graphite", "influxdb",
    "skywalking", "plugin",
)  # fmt: skip


def test_providers_have_these_names_and_no_others(make_app: Callable[..., App]) -> None:
    """A wrong name is dropped by an API server that isn't asked to be strict, and nothing would be measured."""
    app = make_app()
    path = f"{API}/namespaces/{app.namespace}/analysistemplates/probe"

    def refused(provider: str) -> bool:
        template = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AnalysisTemplate",
            "metadata": {"name": "probe", "namespace": app.namespace},
            "spec": {"metrics": [{"name": "m", "provider": {provider: {}}}]},
        }
        try:
            app.kube.apply_at(path, template)
        except RigError as error:
            # a known provider may lack a required field; an unknown one is no field at all
            return "field not declared in schema" in str(error)
        return False

    assert [name for name in PROVIDERS if refused(name)] == []
    assert [name for name in ("newrelic", "cloudwatch", "influxDB", "http") if not refused(name)] == []


# ---- what the controller looks at when it sees a Rollout, and what only when it runs


def first_of(objects: list[Object], kind: str, stage: str = "") -> Object:
    """An object of what is applied, to be altered."""
    return next(o for o in objects if o["kind"] == kind and f"-{stage}" in o["metadata"]["name"])


def rollout_of(objects: list[Object]) -> Object:
    """The canary strategy of what is applied."""
    canary: Object = next(o for o in objects if o["kind"] == "Rollout")["spec"]["strategy"]["canary"]
    return canary


def endless_step(objects: list[Object]) -> list[Object]:
    """A step's metric with an interval and no count."""
    del first_of(objects, "AnalysisTemplate", "steps")["spec"]["metrics"][0]["count"]
    return objects


def argument_not_given(objects: list[Object]) -> list[Object]:
    """The background analysis lacks an argument that its template declares without a value."""
    analysis = rollout_of(objects)["analysis"]
    analysis["args"] = [one for one in analysis["args"] if one["name"] != "window"]
    return objects


def template_missing(objects: list[Object]) -> list[Object]:
    """A template that was pruned."""
    return [
        o for o in objects if not (o["kind"] == "AnalysisTemplate" and "-steps-" in o["metadata"]["name"])
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [(endless_step, "runs indefinitely"), (argument_not_given, "window"), (template_missing, "not found")],
)
def test_an_analysis_that_can_never_run_is_refused_at_once(
    make_app: Callable[..., App], change: Callable[[list[Object]], list[Object]], says: str
) -> None:
    app = make_app(workload__replicas=1)
    app.deploy("1.0.0", change)
    # what was applied a moment before may be "not found" first: the controller's caches follow each on its own
    app.until_now(lambda: says in _invalid(app), f"the Rollout is refused: {says}")


def _invalid(app: App) -> str:
    if ("Rollout", app.name) not in app.live:
        return ""
    found = [c["message"] for c in app.status.get("conditions", []) if c["type"] == "InvalidSpec"]
    return str(found[0]) if found else ""


def aborted(
    make_app: Callable[..., App], alter: Callable[[list[Object]], list[Object]]
) -> tuple[App, Object]:
    """A canary that is altered and aborted for it, and the background run that could not be."""
    app = make_app(
        workload__replicas=2,
        exposure__steps=[{"weight": "50%", "for": "10m"}],
        analysis={"interval": "1s", "metrics": [ERROR_RATE]},
    )
    app.deploy("1.0.0")
    app.until_healthy()
    app.deploy("1.1.0", alter)
    app.until_aborted()
    run = app.until_run("Background", "Error")
    return app, run


def test_an_argument_that_is_given_by_its_name_alone_is_empty_text(make_app: Callable[..., App]) -> None:
    """Nothing refuses it but the metric server, which is asked for a window of no length."""

    def alter(objects: list[Object]) -> list[Object]:
        metric = first_of(objects, "AnalysisTemplate", "background")["spec"]["metrics"][0]
        metric["consecutiveErrorLimit"] = 0
        for argument in rollout_of(objects)["analysis"]["args"]:
            if argument["name"] == "window":
                del argument["value"]
        return objects

    app, run = aborted(make_app, alter)
    assert {"name": "window", "value": ""} in run["spec"]["args"]
    assert "parse error" in run["status"]["message"]
    assert _invalid(app) == ""


def test_a_bad_metric_is_found_only_when_it_runs_and_aborts_then(make_app: Callable[..., App]) -> None:
    """And an argument that the template does not declare is dropped without a word."""

    def alter(objects: list[Object]) -> list[Object]:
        metric = first_of(objects, "AnalysisTemplate", "background")["spec"]["metrics"][0]
        metric |= {"count": 1, "failureLimit": 3}
        rollout_of(objects)["analysis"]["args"].append({"name": "undeclared", "value": "x"})
        return objects

    app, run = aborted(make_app, alter)
    assert "count" in run["status"]["message"]
    assert "undeclared" not in str(run["spec"]["args"])
    assert _invalid(app) == ""
