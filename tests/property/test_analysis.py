"""What generated analyses mean: proven by evaluating their conditions as the controller would."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from generated import Data, Generated, objects
from hypothesis import given
from strategies import projects

from canaryfleet.engines.argo_rollouts import WINDOW, held
from promql import selectors
from support import PROPERTY

SELF_JUDGING = {"job", "kayenta"}
STAGES = {"steps", "background", "preview"}
GUARD = "-guard"  # of a blue-green switch: it watches while the other metrics wait
TWIN = "-stable"  # of the stable version, in a dry run
ARGUMENT = re.compile(r"{{ *args\.([a-z0-9-]+) *}}")
NOTHING: dict[str, list[Any]] = {
    "prometheus": [[]],
    "influxdb": [[]],
    "newRelic": [{}, []],
    "cloudWatch": [[], [{"Values": []}]],
}


class Fields(dict[str, Any]):
    """A result whose fields an expression reads with a dot."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        return self[name]


def evaluate(expression: str, result: Any) -> bool:
    """One condition, as far as canaryfleet writes them; what the controller calls an Error raises."""
    python = expression.replace("&&", " and ").replace("||", " or ")
    python = re.sub(r"!(?!=)", " not ", python)
    names = {
        "result": result,
        "len": len,
        "isNaN": math.isnan,
        "isInf": math.isinf,
        "isNil": lambda value: value is None,
        "asFloat": float,
        "false": False,
    }
    answer = eval(python, {"__builtins__": {}}, names)
    assert isinstance(answer, bool), expression
    return answer


def outcome(metric: Data, result: Any) -> str:
    """The phase of one measurement: failure wins, and neither is Inconclusive."""
    try:
        if evaluate(metric["failureCondition"], result):
            return "Failed"
        return "Successful" if evaluate(metric["successCondition"], result) else "Inconclusive"
    except (AttributeError, IndexError, TypeError, ValueError):
        return "Error"


@pytest.mark.parametrize(
    ("expression", "result", "answer"),
    [
        ("len(result) > 0 && result[0] < 1", [0.5], True),
        ("len(result) > 0 && result[0] < 1", [], False),
        ("!isNil(result) && !(asFloat(result) > 1)", "0.5", True),
        ("!isNaN(result.a) && result.a != 2", Fields(a=2), False),
        ("false", None, False),
    ],
)
def test_the_evaluator(expression: str, result: Any, answer: bool) -> None:
    assert evaluate(expression, result) is answer


def shaped(provider: str, value: float) -> Any:
    """A measurement as a provider returns it."""
    shapes: dict[str, Any] = {
        "prometheus": [value],
        "influxdb": [value],
        "newRelic": Fields(seconds=value),
        "cloudWatch": [Fields(Values=[value])],
        "skywalking": Fields(v=value),
        "plugin": Fields(score=value),
    }
    return shapes.get(provider, value)


def nothing(provider: str) -> list[Any]:
    """What a provider returns where there is no data."""
    return [
        [Fields(item) for item in found] if isinstance(found, list) else found
        for found in NOTHING.get(provider, [None])
    ]


def analyses(generated: Generated) -> Iterator[tuple[str, Data]]:
    """Every generated analysis with its stage."""
    for item in objects(generated.frozen(), "AnalysisTemplate", "AnalysisRun"):
        stage = "bake" if item["kind"] == "AnalysisRun" else item["metadata"]["name"].split("-")[-2]
        assert stage in STAGES or item["kind"] == "AnalysisRun"
        yield stage, item


def metrics(generated: Generated) -> Iterator[tuple[str, Data, str, Data]]:
    """Every generated metric that has conditions: stage, metric, provider, and the metric of the spec.

    The stage of what is measured beside a metric of the spec is "guard" or "twin".
    """
    written = {metric["name"]: metric for metric in generated.spec.get("analysis", {}).get("metrics", ())}
    for stage, analysis in analyses(generated):
        for metric in analysis["spec"]["metrics"]:
            (provider,) = metric["provider"]
            name = asked(metric)
            beside = {name: stage, name + GUARD: "guard", name + TWIN: "twin"}[metric["name"]]
            if provider not in SELF_JUDGING:
                yield beside, metric, provider, written[name]


def asked(metric: Data) -> str:
    """The name in the spec of what a generated metric is about."""
    return str(metric["name"]).removesuffix(GUARD).removesuffix(TWIN)


def number(metric: Data, text: str | float) -> float:
    """A threshold as a plain number, worked out without canaryfleet."""
    if not isinstance(text, str):
        return float(text)
    value, unit = re.fullmatch(r"([-0-9.]+)([a-z%]*)", text).groups()  # type: ignore[union-attr]
    milliseconds = 1.0 if metric.get("preset") == "istio/latency" else 0.001
    return float(value) * {"%": 0.01, "pp": 0.01, "ms": milliseconds, "s": 1.0, "": 1.0}[unit]


def samples(metric: Data) -> dict[str, list[float]]:
    """Values that are good, bad, and neither, by the thresholds of the spec."""
    if "test" in metric:  # an e-value
        proof = math.ceil(1 / number(metric, metric["test"].get("alpha", "1%")) - 1e-9)
        return {"good": [0.0, 1.0, 2.999], "bad": [proof + 0.001, 1e8], "between": [3.0, 10.0, proof]}
    lower = "promoteBelow" in metric or "rollbackAbove" in metric
    worse = 1 if lower else -1
    found = {
        name[0]: number(metric, value)
        for name, value in metric.items()
        if name.startswith(("promote", "rollback"))
    }
    least = found.get("p", found.get("r"))
    most = found.get("r", worse * math.inf)
    assert least is not None
    little, far = worse * 1e-6, worse * 1e9
    good = [least - little, -far]
    bad = [most + little, far] if "r" in found else []
    between = [least, (least + min(most, far, key=abs)) / 2, min(most, far, key=abs)] if "p" in found else []
    return {"good": good, "bad": bad, "between": between}


@PROPERTY
@given(projects())
def test_both_conditions_are_there_and_guarded(generated: Generated) -> None:
    for _, metric, _, _ in metrics(generated):
        for name in ("successCondition", "failureCondition"):
            condition = metric[name]
            guarded = condition.startswith(("len(result) == 1 && ", "!isNil(result) && "))
            assert condition == "false" or (guarded and "!isNaN(" in condition and "!isInf(" in condition)


@PROPERTY
@given(projects())
def test_no_data_proves_nothing(generated: Generated) -> None:
    for _, metric, provider, _ in metrics(generated):
        for result in nothing(provider):
            phase = outcome(metric, result)
            assert phase in ("Inconclusive", "Error")
            assert phase == "Inconclusive" or provider != "prometheus", (
                "an outage and no requests are told apart"
            )


@PROPERTY
@given(projects())
def test_what_is_no_number_proves_nothing(generated: Generated) -> None:
    for _, metric, provider, _ in metrics(generated):
        for value in (math.nan, math.inf, -math.inf):
            assert outcome(metric, shaped(provider, value)) == "Inconclusive"


@PROPERTY
@given(projects())
def test_the_thresholds_of_the_spec_decide(generated: Generated) -> None:
    for stage, metric, provider, written in metrics(generated):
        judged = {
            kind: [outcome(metric, shaped(provider, value)) for value in values]
            for kind, values in samples(written).items()
        }
        assert set(judged["good"]) == {"Successful"}
        assert set(judged["bad"]) <= {"Failed"}
        undecided = "Inconclusive" if stage in ("steps", "preview") else "Successful"
        assert set(judged["between"]) <= {undecided}


@PROPERTY
@given(projects())
def test_every_selector_has_the_labels_that_the_fleets_series_have(generated: Generated) -> None:
    labels = generated.fleet["metrics"].get("labels", {})
    wanted = {f'{key}="{value}"'.replace("$(cluster.name)", "<cluster>") for key, value in labels.items()}
    for _, metric, provider, written in metrics(generated):
        if provider != "prometheus":
            continue
        read = selectors(metric["provider"][provider]["query"])
        own = "psi" if "psi" in written.get("query", "") else None  # which says itself what it reads
        assert read
        assert all(one.metric == own or set(one.matchers) >= wanted for one in read)


@PROPERTY
@given(projects())
def test_every_metric_reads_its_own_secrets(generated: Generated) -> None:
    written = {metric["name"]: metric for metric in generated.spec.get("analysis", {}).get("metrics", ())}
    for _, analysis in analyses(generated):
        sources = {argument["name"]: argument.get("valueFrom") for argument in analysis["spec"]["args"]}
        for metric in analysis["spec"]["metrics"]:
            used = {name for name in ARGUMENT.findall(json.dumps(metric)) if name.startswith("secret-")}
            found = [sources[name]["secretKeyRef"] for name in used]
            wanted = written[asked(metric)].get("secrets", {}).values()
            assert found == [{"name": source["secret"], "key": source["key"]} for source in wanted]


@PROPERTY
@given(projects())
def test_every_argument_is_declared_and_given(generated: Generated) -> None:
    declared = {}
    for _, analysis in analyses(generated):
        arguments = {argument["name"]: argument for argument in analysis["spec"]["args"]}
        used = set(ARGUMENT.findall(json.dumps(analysis["spec"]["metrics"])))
        assert used <= set(arguments)
        assert "{{" not in ARGUMENT.sub("", json.dumps(analysis["spec"]["metrics"]))
        open_ = {name for name, argument in arguments.items() if not {"value", "valueFrom"} & set(argument)}
        assert analysis["kind"] == "AnalysisTemplate" or not open_
        declared[analysis["metadata"]["name"]] = open_
    named = set()
    for run in _references(list(objects(generated.frozen(), "Rollout"))):
        (template,) = run["templates"]
        assert {argument["name"] for argument in run.get("args", ())} == declared[template["templateName"]]
        named.add(template["templateName"])
    assert named == {item["metadata"]["name"] for item in objects(generated.frozen(), "AnalysisTemplate")}


def _references(value: Any) -> Iterator[Data]:
    """Every place of a Rollout that names an AnalysisTemplate."""
    if isinstance(value, dict):
        if "templates" in value:
            yield value
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


@PROPERTY
@given(projects())
def test_what_is_measured_of_the_stable_version_is_a_dry_run_that_delays_nothing(
    generated: Generated,
) -> None:
    for _, analysis in analyses(generated):
        spec = analysis["spec"]
        found = {metric["name"]: metric for metric in spec["metrics"]}
        written = {metric["name"] for metric in generated.spec.get("analysis", {}).get("metrics", ())}
        twins = found.keys() - written - {name + GUARD for name in written}
        dry = {
            name for rule in spec.get("dryRun", []) for name in found if re.search(rule["metricName"], name)
        }
        assert dry == twins
        for name in twins:
            own, twin = found[name.removesuffix(TWIN)], found[name]
            query = twin["provider"]["prometheus"]["query"]
            assert "canary-hash" not in query
            assert '="{{args.revision}}"' not in query
            assert own["interval"] == twin["interval"]
            assert ("count" in twin) == ("count" in own)
            if "count" in twin:  # whatever it measures, it is over as soon as the canary's own may be
                assert twin["consecutiveSuccessLimit"] <= own["consecutiveSuccessLimit"]
                assert twin["failureLimit"] <= own["failureLimit"]
                assert twin["inconclusiveLimit"] == twin["consecutiveErrorLimit"] == 0


@PROPERTY
@given(projects())
def test_steps_end_and_the_background_does_not(generated: Generated) -> None:
    for stage, metric, _, _ in metrics(generated):
        if stage == "twin":
            continue
        assert ("count" in metric) == (stage != "background")
        if stage != "background":
            assert metric["count"] >= metric["failureLimit"] + metric.get("consecutiveSuccessLimit", 0)
            assert metric["inconclusiveLimit"] >= metric["count"] - 1, (
                "it measures on instead of stopping early"
            )


@PROPERTY
@given(project=projects())
def test_the_release_says_what_each_cluster_will_hold(project: Generated) -> None:
    """Of every variant of the pods and every wave's bake, as kustomize puts them together."""
    made = project.frozen()
    contents, analyses = made.release.contents, made.release.analyses
    for name, built in project.built(made).items():
        (rollout,) = (item for item in built if item["kind"] == "Rollout")
        template = rollout["spec"]["template"]
        assert held.content(template) == contents[made.release.clusters[name].pod]
        for run in (item for item in built if item["kind"] == "AnalysisRun"):
            wave = made.release.wave_by_cluster[name].name
            window = held.given(WINDOW, run["spec"]["args"])
            assert held.measures(run["spec"], window) == analyses[f"bake/{wave}"]


@PROPERTY
@given(project=projects())
def test_the_controller_keeps_all_runs_of_a_rollout(project: Generated) -> None:
    made = project.frozen()
    runs = [key for key in made.release.analyses if not key.startswith("bake/")]
    (rollout,) = objects(made, "Rollout")
    assert min(rollout["spec"]["analysis"].values()) > len(runs)
