"""A metric server that is down, slow, or lies: nothing of it ever promotes."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import runs
from app import ERROR_RATE, App
from rig.gate import DOWN, PASS, Gate, Reply, late, scalar, text, vector
from rig.kube import Object

from conftest import NEWEST

GOOD, BAD = "0.001", "0.9"  # of the error rate: below 1 %, above 5 %
ANALYSIS = {
    "interval": "1s",
    "window": "8s",
    "count": 3,
    "minimumSamples": 20,
    "consecutiveErrorLimit": 1,
    "metrics": [ERROR_RATE],
}
SUCCESS = {"status": "success"}
METRIC = "istio-error-rate"
INTERVAL, LEAST = 8, 5  # tell the next measurement (whole seconds: 7 to 8 s later) from a repeated one


@dataclass(frozen=True)
class Lie:
    """An answer, and what each measurement makes of it."""

    reply: Reply
    phase: str


def _data(kind: str, result: object) -> Reply:
    return text(json.dumps({**SUCCESS, "data": {"resultType": kind, "result": result}}))


HUGE = 100_000  # series; written down they are more than etcd takes
LIES = {
    "nan": Lie(vector("NaN"), "Inconclusive"),
    "infinite": Lie(vector("+Inf"), "Inconclusive"),
    "minus-infinite": Lie(vector("-Inf"), "Inconclusive"),
    "empty": Lie(vector(), "Inconclusive"),
    "two-good-first": Lie(vector(GOOD, BAD), "Inconclusive"),
    "two-bad-first": Lie(vector(BAD, GOOD), "Inconclusive"),
    "scalar": Lie(scalar(GOOD), "Error"),
    "words": Lie(_data("string", [0, GOOD]), "Error"),
    "null": Lie(_data("vector", None), "Error"),
    "no-number": Lie(vector("0,001"), "Error"),
    "no-data": Lie(text(json.dumps(SUCCESS)), "Error"),
    "no-json": Lie(text("<html>please log in</html>"), "Error"),
    "cut-off": Lie(text('{"status":"success","data":{"resultType":"vector","resu'), "Error"),
    "nothing": Lie(text(""), "Error"),
    "error-as-200": Lie(text('{"status":"error","errorType":"execution","error":"no"}'), "Error"),
    "good-as-500": Lie(Reply(vector(GOOD).body, 500), "Error"),
    "good-as-503": Lie(Reply(vector(GOOD).body, 503), "Error"),
    "unauthorized": Lie(text("", 401), "Error"),
    "down": Lie(DOWN, "Error"),
    "redirect-loop": Lie(text("", 302, Location="/"), "Error"),
}


def begin(app: App, name: str, made: Object, gate: Gate) -> None:
    """Start a run of a template (or a bake) that asks this server."""
    values = {"prometheus_address": gate.url, "canary_hash": runs.HASH, "window": "8s"}
    runs.start(app, name, runs.spec_of(made, **values))


def test_no_lie_of_the_metric_server_promotes(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """What is no number is inconclusive, and what is no answer an error, in every stage."""
    app = make_app(
        analysis=ANALYSIS, waves=[{"name": "all", "minSuccessTime": "2s", "progressDeadline": "3s"}]
    )
    app.release("1.0.0")
    stages = {stage: runs.template(app, stage) for stage in ("steps", "background")}
    stages["bake"] = runs.bake(app)
    wanted: dict[str, str] = {}
    for name, lie in LIES.items():
        gate = make_gate(lie.reply)
        for stage, made in stages.items():
            begin(app, f"{name}-{stage}", made, gate)
            wanted[f"{name}-{stage}"] = lie.phase
    watched = [f"{name}-background" for name, lie in LIES.items() if lie.phase == "Inconclusive"]
    ended = runs.until_ended(app, set(wanted) - set(watched))
    assert ended == {name: phase for name, phase in wanted.items() if name not in watched}
    for name in watched:
        runs.until_measured(app, name, 4)
        assert runs.phase(app, name) == "Running", f"{name}: nothing ends the watch over a canary"
    for name, phase in wanted.items():
        assert {one["phase"] for one in runs.measured(app, name)} == {phase}, name


@NEWEST
def test_a_redirect_is_followed_only_where_the_question_survives_it(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """307 repeats the question at the real server; after 302 it is a GET without one, which is no proof."""
    app = make_app(analysis=ANALYSIS)
    app.release("1.0.0")
    made, real = runs.template(app, "steps"), make_gate(vector(GOOD))
    begin(app, "kept", made, make_gate(text("", 307, Location=f"{real.url}/api/v1/query")))
    prometheus = f"{app.fleet.prometheus}/api/v1/query"
    begin(app, "lost", made, make_gate(text("", 302, Location=prometheus)))
    assert runs.until_ended(app, ["kept", "lost"]) == {"kept": "Successful", "lost": "Error"}
    assert "istio_requests_total" in real.asked[0]["body"]


@NEWEST
def test_an_answer_too_large_to_be_written_down_holds_until_the_server_comes_to_its_senses(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """etcd refuses the status, so the controller asks again and again, and neither promotes nor aborts."""
    app = make_app(analysis=ANALYSIS)
    app.release("1.0.0")
    gate = make_gate(vector(*["0.12345678901234567"] * HUGE))
    begin(app, "huge", runs.template(app, "steps"), gate)
    gate.until_asked(3, 60)
    assert runs.measured(app, "huge") == []
    assert runs.phase(app, "huge") in {"", "Running"}
    gate.behave(vector(GOOD))
    assert runs.until_ended(app, ["huge"]) == {"huge": "Successful"}


def test_a_slow_answer_counts_up_to_thirty_seconds_and_is_an_error_after_that(
    make_app: Callable[..., App],
    make_gate: Callable[..., Gate],
    record_property: Callable[[str, object], None],
) -> None:
    app = make_app(analysis={**ANALYSIS, "consecutiveErrorLimit": 0})
    app.release("1.0.0")
    made = runs.template(app, "steps")
    begin(app, "slow", made, make_gate(late(4, vector(GOOD))))
    begin(app, "slower", made, make_gate(late(50, vector(GOOD))))
    assert runs.until_ended(app, ["slow", "slower"]) == {"slow": "Successful", "slower": "Error"}
    (measurement,) = runs.measured(app, "slower")
    assert "context deadline exceeded" in measurement["message"]
    record_property("seconds until the controller gave up", runs.seconds(measurement))


def test_a_server_that_comes_and_goes_is_believed_only_while_it_answers(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """An error ends a row of successes, is not counted as a measurement, and only a row of errors aborts."""
    app = make_app(
        analysis={**ANALYSIS, "interval": f"{INTERVAL}s", "count": 2, "consecutiveSuccessLimit": 2}
    )
    app.release("1.0.0")
    made = runs.template(app, "steps")
    good, bad = vector(GOOD), vector(BAD)
    for name, replies in {
        "flapping": (good, DOWN),
        "back": (DOWN, good, good),
        "late": (vector(), good, good),
        "worse": (good, DOWN, bad),
    }.items():
        gate = make_gate()
        gate.behave(*replies, least=LEAST)
        begin(app, name, made, gate)
    assert runs.until_ended(app, ["flapping", "back", "late", "worse"]) == {
        "flapping": "Inconclusive",
        "back": "Successful",
        "late": "Inconclusive",  # two measurements, of which one is good: not two in a row
        "worse": "Failed",
    }
    phases = [one["phase"] for one in runs.measured(app, "flapping")]
    assert phases == ["Successful", "Error", "Successful"]


def test_an_outage_within_the_limit_only_holds_a_canary_and_a_longer_one_aborts_it(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """Errors are 10 s apart: after the limit's number of them, one more aborts; nothing is promoted meanwhile."""
    steps = [{"weight": "20%", "for": "3s"}, {"weight": "60%", "for": "3s"}]
    gates = {"long": make_gate(), "short": make_gate()}
    apps = {
        name: make_app(
            name,
            workload__replicas=2,
            exposure__steps=steps,
            analysis={**ANALYSIS, "minimumSamples": 5, "consecutiveErrorLimit": limit},
        )
        for name, limit in (("long", 3), ("short", 8))
    }
    stable = {}
    for name, app in apps.items():
        app.ask(gates[name].url)
        app.serve(app.deploy("1.0.0"))
    for name, app in apps.items():
        app.until_healthy()
        stable[name] = app.stable
        gates[name].behave(DOWN)
        app.serve(app.deploy("1.1.0"))
    apps["short"].measured("Step", 1, "Error")
    assert apps["short"].weights() == [0, 20], "promoted without an answer"
    gates["short"].behave(PASS)
    apps["long"].until_aborted()
    run = apps["long"].until_run("Background", "Error")
    apps["long"].until_now(lambda: apps["long"].weights() == [0, 20, 0], "all traffic is back")
    assert "consecutiveErrors (4) > consecutiveErrorLimit (3)" in run["status"]["message"]
    apps["short"].until_healthy()
    assert apps["short"].weights() == [0, 20, 60, 100, 0]
    assert apps["short"].stable != stable["short"]
    assert apps["long"].stable == stable["long"]
