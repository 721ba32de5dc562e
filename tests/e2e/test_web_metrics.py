"""Numbers of drift and quality platforms, over the web provider: JSON, a secret, and all that can go wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import runs
from app import App
from rig.gate import DOWN, Gate, Reply, late, text
from rig.kube import Object

TOKEN = "s3cret"
METRIC = "offline-accuracy"
FAR_TOO_LATE = late(30, text('{"data":{"items":[{"alert_value":0.95}]}}'))


def items(*values: Any) -> Reply:
    """The answer of Fiddler's records of an alert."""
    return text(json.dumps({"data": {"items": [{"alert_value": value} for value in values]}}))


ANSWERS: dict[str, tuple[Reply, str]] = {
    "good": (items(0.95, 0.1), "Successful"),
    "good-text": (items("0.95"), "Successful"),
    "between": (items(0.85), "Inconclusive"),
    "bad": (items(0.2), "Failed"),
    "bad-text": (items("0.2"), "Failed"),
    "nan": (items("NaN"), "Inconclusive"),
    "infinite": (items("+Inf"), "Inconclusive"),
    "none": (items(None), "Inconclusive"),
    "words": (items("soon"), "Error"),
    "list": (items([0.95]), "Error"),
    "no-items": (items(), "Error"),
    "other-shape": (text('{"items": 1}'), "Error"),
    "forbidden": (text('{"data":{"items":[{"alert_value":0.95}]}}', 403), "Error"),
    "broken": (text('{"data":{"items":[{"alert_value":0.95}]}}', 500), "Error"),
    "down": (DOWN, "Error"),
    "slow": (FAR_TOO_LATE, "Error"),
}


# The controller takes any 2xx body that is no JSON for a success, without asking a condition
# (metricproviders/webmetric, parseResponse). No template can prevent it: who reads the run has to see that
# the value is no number.
TAKEN_FOR_GOOD = {
    "no-json": text("<html>please log in</html>"),
    "nothing": text(""),
    "no-content": text("", 204),
    "cut-off": text('{"data":{"items":[{"alert_val'),
}


def spec(url: str) -> dict[str, Any]:
    """An analysis as the documentation of the platform has it."""
    metric = {
        "name": METRIC,
        "provider": {
            "web": {
                "url": f"{url}/v2/alert-configs/$(cluster.name)/records?ordering=-created_at",
                "headers": [{"key": "Authorization", "value": "Bearer $(secret.fiddler)"}],
                "jsonPath": "{$.data.items[0].alert_value}",
                "timeoutSeconds": 2,
            }
        },
        "secrets": {"fiddler": {"secret": "fiddler-api", "key": "token"}},
        "promoteAbove": 0.9,
        "rollbackBelow": 0.8,
    }
    return {"interval": "1s", "count": 2, "consecutiveErrorLimit": 0, "metrics": [metric]}


def give_secret(app: App) -> None:
    """The Secret that the metric's secret names."""
    app.kube.apply_at(
        f"/api/v1/namespaces/{app.namespace}/secrets/fiddler-api",
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "fiddler-api", "namespace": app.namespace},
            "stringData": {"token": TOKEN},
        },
    )


def begin(app: App, name: str, made: Object, gate: Gate) -> None:
    """Start a run that asks this server."""
    body = runs.spec_of(made, cluster="here")
    web = body["metrics"][0]["provider"]["web"]
    web["url"] = web["url"].replace("http://web.invalid", gate.url)
    runs.start(app, name, body)


def test_a_json_answer_is_judged_and_what_is_none_never_promotes(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    app = make_app(analysis=spec("http://web.invalid"))
    app.release("1.0.0")
    give_secret(app)
    made = runs.template(app, "steps")
    gates = {name: make_gate(reply) for name, (reply, _) in ANSWERS.items()}
    for name, gate in gates.items():
        begin(app, name, made, gate)
    wanted = {name: outcome for name, (_, outcome) in ANSWERS.items()}
    assert runs.until_ended(app, wanted) == wanted
    asked = gates["good"].asked[0]
    assert asked["path"] == "/v2/alert-configs/here/records?ordering=-created_at"
    assert asked["Authorization"] == f"Bearer {TOKEN}"


def test_the_controller_takes_an_answer_that_is_no_json_for_good_and_its_value_shows_it(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """A known danger, written down: if a release of Argo Rollouts mends it, this fails, and the docs change."""
    app = make_app(analysis=spec("http://web.invalid"))
    app.release("1.0.0")
    give_secret(app)
    made = runs.template(app, "steps")
    for name, reply in TAKEN_FOR_GOOD.items():
        begin(app, name, made, make_gate(reply))
    assert set(runs.until_ended(app, TAKEN_FOR_GOOD).values()) == {"Successful"}
    for name in TAKEN_FOR_GOOD:
        (value,) = runs.values_of(app.object("AnalysisRun", name))
        with pytest.raises(ValueError, match="could not convert"):
            float(value)


def test_a_secret_that_is_missing_measures_nothing_and_never_promotes(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    gate = make_gate(items(0.95))
    app = make_app(analysis=spec(gate.url))
    app.release("1.0.0")
    runs.start(app, "missing", runs.spec_of(runs.template(app, "steps")))
    assert runs.until_ended(app, ["missing"]) == {"missing": "Error"}
    assert "fiddler-api" in app.object("AnalysisRun", "missing")["status"]["message"]
    assert gate.asked == []


def test_the_secret_stands_nowhere_but_in_the_secret(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """Neither in what is committed nor in the status of a run, which many may read."""
    gate = make_gate(items(0.95))
    app = make_app(analysis=spec(gate.url))
    app.release("1.0.0")
    give_secret(app)
    runs.start(app, "kept", runs.spec_of(runs.template(app, "steps")))
    assert runs.until_ended(app, ["kept"]) == {"kept": "Successful"}
    assert TOKEN not in json.dumps([app.object("AnalysisRun", "kept"), *app.built()])
