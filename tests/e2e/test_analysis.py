"""A bad release goes back, a doubtful one waits for a person, and only proof promotes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import runs
from app import ERROR_RATE, App, measurements
from rig import Call
from rig.gate import DOWN, PASS, Gate, Reply, vector

from canaryfleet.models.release import Release
from conftest import alternating

Record = Callable[[str, object], None]
GOOD, BETWEEN, BAD = (vector(value) for value in ("0.001", "0.03", "0.4"))
ANALYSIS = {"interval": "1s", "window": "6s", "count": 4, "minimumSamples": 20, "metrics": [ERROR_RATE]}
PAUSE = [{"weight": "50%", "for": "10m"}]
LATENCY = {
    "preset": "istio/latency",
    "quantile": 0.9,
    "comparedTo": "stable",
    "promoteBelow": "10%",
    "rollbackAbove": "50%",
}
SUCCESS_RATE = {
    "preset": "istio/success-rate",
    "comparedTo": "stable",
    "promoteAbove": "-1pp",
    "rollbackBelow": "-5pp",
}
TOKENS = {
    "name": "goodness",
    "query": "sum(goodness{$(selector)})",
    "minimumSamples": 0,
    "promoteAbove": 0.9,
    "rollbackBelow": 0.8,
}


@dataclass(frozen=True)
class Case:
    """A spec, and how a release that it should send back is served (or what its pods say of themselves)."""

    changes: dict[str, Any]
    bad: dict[str, Any] = field(default_factory=dict)
    goodness: float = 1.0


def _case(metric: dict[str, Any], split: str, **bad: Any) -> Case:
    return Case({"exposure__split": split, "analysis__metrics": [metric]}, bad)


BAD_CANARIES = {
    "errors, subset split": _case(ERROR_RATE, "subset", errors=0.3),
    "slower than stable, host split": _case(LATENCY, "host", milliseconds=80.0),
    "fewer successes than stable, subset split": _case(SUCCESS_RATE, "subset", errors=0.2),
    "less is worse, host split": Case(
        {"exposure__split": "host", "analysis__metrics": [TOKENS]}, goodness=0.5
    ),
}


def serve(app: App, release: Release, template: str, goodness: float = 1.0, **options: Any) -> None:
    """What Prometheus says of a release from now on: its requests, and a gauge of its own."""
    app.serve(release, **options)
    app.exporter.set("goodness", goodness, namespace=app.namespace, pod=f"{app.name}-{template}-x2v8k")


@alternating("name", BAD_CANARIES)
def test_a_canary_that_turns_bad_is_taken_from_the_users_at_once(
    make_app: Callable[..., App], name: str, record_property: Record
) -> None:
    """In the middle of a long pause, by the background analysis, without a failed request."""
    case = BAD_CANARIES[name]
    app = make_app(analysis={**ANALYSIS}, exposure__steps=PAUSE, workload__replicas=2, **case.changes)
    first = app.deploy("1.0.0")
    app.until_healthy(first)
    serve(app, first, app.stable)
    stable = app.who(app.stable)
    second = app.deploy("1.1.0")
    canary = app.until_new(second)
    serve(app, second, canary)
    app.until_weight(50)
    app.measured("Background", 2, "Successful")
    with app.member.client.stream(app.host) as calls:
        app.until_now(lambda: any(call.who == app.who(canary) for call in calls), "a canary's answer")
        turned = time.monotonic()
        serve(app, second, canary, case.goodness, **case.bad)
        aborted = app.until_aborted()
        run = app.until_run("Background", "Failed")
        app.until_now(lambda: _only(calls[-100:], stable), "only the stable version answers")
    assert not app.runs("Step"), "the pause had not ended"
    assert {call.who for call in calls} == {stable, app.who(canary)}, "a request failed"
    last = max(call.at for call in calls if call.who == app.who(canary))
    record_property("seconds from the first error to the abort", round(aborted - turned, 1))
    record_property("seconds from the abort to the canary's last answer", round(last - aborted, 3))
    record_property("measured", runs.values_of(run))
    assert last - aborted < 10
    assert app.stable != canary


def _only(calls: list[Call], who: str) -> bool:
    return len(calls) == 100 and {call.who for call in calls} == {who}


def test_a_step_that_measures_a_bad_value_aborts_too(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """A metric that is measured after the pause of a step only; nothing watches in the background."""
    gate = make_gate(BAD)
    app = make_app(
        analysis={**ANALYSIS, "metrics": [{**ERROR_RATE, "during": ["steps"]}]},
        exposure__steps=[{"weight": "20%", "for": "2s"}, {"weight": "60%", "for": "2s"}],
        workload__replicas=2,
    )
    app.ask(gate.url)
    app.deploy("1.0.0")
    app.until_healthy()
    app.deploy("1.1.0")
    app.until_aborted()
    app.until_run("Step", "Failed")
    app.until_now(lambda: app.weights() == [0, 20, 0], "all traffic is back")
    assert app.runs("Background") == []


def test_doubt_waits_for_a_person_and_a_resume_measures_again(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """Too few requests, then a value between the thresholds, then no number: each resume is a new measurement."""
    gate = make_gate(PASS)
    app = make_app(
        analysis=ANALYSIS,
        exposure__steps=[{"weight": "20%", "for": "2s"}, {"weight": "60%", "for": "2s"}],
        workload__replicas=2,
    )
    app.ask(gate.url)
    app.deploy("1.0.0")
    app.until_healthy()
    second = app.deploy("1.1.0")
    app.serve(second, per_second=1.0)  # at most 6 in a window: fewer than the 20 that prove something
    doubts = (PASS, BETWEEN, vector("NaN"))
    for number, reply in enumerate(doubts, 1):
        gate.behave(reply)
        if number > 1:
            app.promote()
        app.until_now(lambda n=number: len(app.runs("Step")) == n, f"run {number} of the step")  # type: ignore[misc]
        run = app.until_run("Step", "Inconclusive")
        phases = [one["phase"] for one in measurements(run)]
        assert phases == ["Inconclusive"] * 4
        app.until_paused("InconclusiveAnalysisRun")
        assert app.weights() == [0, 20], "doubt promoted"
    gate.behave(GOOD)
    app.promote()
    app.until_healthy(second)
    phases = [run["status"]["phase"] for run in app.runs("Step")]
    assert phases == ["Inconclusive"] * len(doubts) + ["Successful"] * 2
    assert app.weights() == [0, 20, 60, 100, 0]


# ---- blue-green


def blue_green(make_app: Callable[..., App], gate: Gate, observe: str) -> App:
    """A blue-green app with its first version active."""
    app = make_app(
        analysis={
            **ANALYSIS,
            "metrics": [{**ERROR_RATE, "during": ["preview", "steps", "background"]}],
        },
        exposure={
            "hosts": [],
            "gateways": [],
            "blueGreen": {"promoteAfter": "2s", "observe": observe, "previewReplicas": 1},
        },
        workload__replicas=2,
    )
    app.ask(gate.url)
    app.deploy("1.0.0")
    app.until_healthy()
    return app


def active(app: App) -> str:
    """The version that users have."""
    return str(app.status["blueGreen"].get("activeSelector", ""))


def test_a_bad_preview_is_never_switched_to(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    app = blue_green(make_app, make_gate(BAD), observe="5s")
    first = app.stable
    app.deploy("1.1.0")
    app.until_aborted()
    app.until_run("PrePromotion", "Failed")
    assert active(app) == first
    assert app.runs("PostPromotion") == []
    assert {one.object["status"].get("blueGreen", {}).get("activeSelector") for one in rollouts(app)[1:]} <= {
        None,
        first,
    }


def rollouts(app: App) -> list[Any]:
    """Every state of the Rollout that has a status."""
    return [one for one in app.seen() if one.object["kind"] == "Rollout" and one.object.get("status")]


def test_errors_after_the_switch_bring_the_old_version_back_long_before_the_observation_ends(
    make_app: Callable[..., App], make_gate: Callable[..., Gate], record_property: Record
) -> None:
    gate = make_gate(GOOD)
    app = blue_green(make_app, gate, observe="10m")
    first = app.stable
    app.deploy("1.1.0")
    app.until_now(lambda: active(app) not in {"", first}, "the switch")
    app.measured("PostPromotion", 1, "Successful")
    gate.behave(BAD)
    app.until_aborted()
    app.until_now(lambda: active(app) == first, "the old version is active")
    run = app.until_run("PostPromotion", "Failed")
    assert {one["name"]: one["phase"] for one in run["status"]["metricResults"]} == {
        "istio-error-rate-guard": "Failed"
    }
    record_property("measured before", run["status"]["metricResults"][0]["count"])


def test_a_doubtful_version_after_the_switch_waits_and_a_resume_measures_again(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    gate = make_gate(GOOD)
    app = blue_green(make_app, gate, observe="20s")  # until the answers are others
    first = app.stable
    second = app.deploy("1.1.0")
    app.until_now(lambda: active(app) not in {"", first}, "the switch")
    gate.behave(BETWEEN)
    app.until_paused("InconclusiveAnalysisRun")
    run = app.until_run("PostPromotion", "Inconclusive")
    assert {one["name"]: one["phase"] for one in run["status"]["metricResults"]} == {
        "istio-error-rate": "Inconclusive",
        "istio-error-rate-guard": "Successful",
    }
    assert app.stable == first
    gate.behave(GOOD)
    app.promote()
    app.until_healthy(second)
    assert len(app.runs("PostPromotion")) == 2, "resumed without measuring again"


# ---- limits


INTERVAL, LEAST = 8, 5  # tell the next measurement (whole seconds: 7 to 8 s later) from a repeated one


def limits(**changes: int) -> dict[str, Any]:
    """A metric with limits of its own, named after them."""
    short = {"failureLimit": "f", "count": "n", "consecutiveSuccessLimit": "s", "consecutiveErrorLimit": "e"}
    name = "-".join(f"{short[key]}{value}" for key, value in changes.items())
    return {**ERROR_RATE, "name": name, **changes}


LIMITS: list[tuple[str, dict[str, Any], tuple[Reply, ...], str, list[str]]] = [
    ("steps", limits(failureLimit=0), (BAD, GOOD), "Failed", ["Failed"]),
    ("steps", limits(failureLimit=1), (BAD, GOOD), "Successful", ["Failed", "Successful"]),
    ("steps", limits(failureLimit=1), (BAD, BAD), "Failed", ["Failed", "Failed"]),
    ("background", limits(failureLimit=1), (BAD, GOOD, BAD), "Failed", ["Failed", "Successful", "Failed"]),
    ("steps", limits(count=3), (BETWEEN, BETWEEN, GOOD), "Successful", ["Inconclusive"] * 2 + ["Successful"]),
    ("steps", limits(count=3), (BETWEEN,), "Inconclusive", ["Inconclusive"] * 3),
    ("steps", limits(count=3), (vector(),), "Inconclusive", ["Inconclusive"] * 3),
    (
        "steps",
        limits(count=4, consecutiveSuccessLimit=2),
        (GOOD, BETWEEN),
        "Inconclusive",
        ["Successful", "Inconclusive"] * 2,
    ),
    (
        "steps",
        limits(count=4, consecutiveSuccessLimit=2),
        (GOOD, BETWEEN, GOOD, GOOD),
        "Successful",
        ["Successful", "Inconclusive", "Successful", "Successful"],
    ),
    # a count that failureLimit and successes don't fit into is raised: the controller would refuse it
    ("steps", limits(count=1, failureLimit=2), (BAD, BAD, GOOD), "Successful", ["Failed"] * 2 + ["Successful"]),
    ("steps", limits(consecutiveErrorLimit=0), (DOWN,), "Error", ["Error"]),
    ("steps", limits(consecutiveErrorLimit=1), (DOWN, GOOD), "Successful", ["Error", "Successful"]),
    ("background", limits(consecutiveErrorLimit=1), (DOWN,), "Error", ["Error", "Error"]),
]  # fmt: skip


def test_limits_of_the_spec_mean_what_they_say(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """How many bad values, doubts, errors are let pass, and how many good ones in a row are proof."""
    metrics = {metric["name"]: metric for _, metric, _, _, _ in LIMITS}
    app = make_app(
        analysis={
            **ANALYSIS,
            "interval": f"{INTERVAL}s",
            "minimumSamples": 0,
            "metrics": list(metrics.values()),
        }
    )
    app.release("1.0.0")
    made = {stage: runs.template(app, stage) for stage in ("steps", "background")}
    wanted: dict[str, tuple[str, list[str]]] = {}
    for number, (stage, metric, replies, outcome, phases) in enumerate(LIMITS):
        name, gate = f"{metric['name']}-{number}", make_gate()
        gate.behave(*replies, least=LEAST)
        spec = runs.spec_of(made[stage], metric["name"], prometheus_address=gate.url, window="6s")
        runs.start(app, name, spec)
        wanted[name] = (outcome, phases)
    assert runs.until_ended(app, wanted) == {name: outcome for name, (outcome, _) in wanted.items()}
    seen = {name: [one["phase"] for one in runs.measured(app, name)] for name in wanted}
    assert seen == {name: phases for name, (_, phases) in wanted.items()}
