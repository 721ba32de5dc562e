"""The bake: what has become stable is watched on, and only time with all the traffic counts."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import runs
from app import ERROR_RATE, App, measurements
from rig.kube import Object

from canaryfleet.models.release import Release

WAVES = [{"name": "all", "minSuccessTime": "4s", "progressDeadline": "3m"}]
ANALYSIS = {"interval": "1s", "window": "5s", "minimumSamples": 20, "metrics": [ERROR_RATE]}
STEPS = [{"weight": "50%", "for": "6s"}]


def make(make_app: Callable[..., App], **changes: Any) -> App:
    """An app with a bake of four good seconds in a row."""
    return make_app(analysis=ANALYSIS, waves=WAVES, exposure__steps=STEPS, workload__replicas=2, **changes)


def bake(app: App, release: Release) -> Object:
    """The bake of a release, as it is now."""
    return app.object("AnalysisRun", f"{app.name}-bake-{release.id.rpartition('-')[2]}")


def phase(app: App, release: Release) -> str:
    """How a bake stands."""
    return runs.phase(app, f"{app.name}-bake-{release.id.rpartition('-')[2]}")


def good(app: App, release: Release) -> list[datetime]:
    """When a bake measured something good; the controller writes whole seconds."""
    return [
        datetime.fromisoformat(one["finishedAt"])
        for one in measurements(bake(app, release))
        if one["phase"] == "Successful"
    ]


def counted(app: App, release: Release) -> int:
    """How often a bake has measured."""
    return len(measurements(bake(app, release)))


def test_a_bake_counts_only_while_enough_requests_are_all_the_traffic(make_app: Callable[..., App]) -> None:
    """Without a Rollout: the same bake, and series that say who answers."""
    app = make(make_app)
    release = app.release("1.0.0")
    other = release.clusters["here"].pod[::-1]
    name = f"{app.name}-bake-{release.id.rpartition('-')[2]}"
    runs.start(app, name, runs.bake(app)["spec"])
    app.serve(release, per_second=2)  # half of the requests that prove something
    runs.until_measured(app, name, 7)
    assert good(app, release) == []
    serve_other(app, other, 2.5)
    runs.until_measured(app, name, counted(app, release) + 4)  # two scrapes: a rate
    app.serve(release, per_second=49.4)
    serve_other(app, other, 0.6)  # 98.8 % are not all
    runs.until_measured(app, name, counted(app, release) + 7)
    assert good(app, release) == []
    serve_other(app, other, 0.4)  # 99.2 % are
    assert runs.until_ended(app, [name]) == {name: "Successful"}
    assert len(good(app, release)) == 4, "four seconds in a row are asked for"


def serve_other(app: App, revision: str, per_second: float) -> None:
    """Let the counters say that another version answers as well."""
    labels = {
        "reporter": "source",
        "destination_service_name": app.name,
        "destination_service_namespace": app.namespace,
        "destination_canonical_revision": revision,
    }
    app.exporter.grow("istio_requests_total", per_second, response_code="200", **labels)


def test_the_second_release_is_baked_from_its_completion_on(make_app: Callable[..., App]) -> None:
    """While it is a canary, half of the traffic and good, its bake waits."""
    app = make(make_app)
    first = app.deploy("1.0.0")
    app.serve(first, per_second=50)
    app.until_healthy(first)
    second = app.deploy("1.1.0")
    app.until_weight(50)
    app.serve(first, per_second=25)
    app.serve(second, per_second=25)
    app.until_now(lambda: app.weights()[-2:] == [100, 0], "the canary is complete")
    assert good(app, second) == [], "half of the traffic was baked"
    app.serve(first, per_second=0)
    app.serve(second, per_second=50)
    app.until_healthy(second)
    app.until_now(lambda: phase(app, second) == "Successful", "the second release is baked")
    assert min(good(app, second)) >= completed(app)
    assert phase(app, first) in {"Running", "Successful"}


def completed(app: App) -> datetime:
    """When the Rollout became healthy last."""
    (condition,) = [one for one in app.status["conditions"] if one["type"] == "Healthy"]
    return datetime.fromisoformat(condition["lastTransitionTime"])


def test_errors_after_the_completion_fail_the_bake(make_app: Callable[..., App]) -> None:
    """Nothing aborts any more, the Rollout stays Healthy: without the bake nobody would notice."""
    app = make(make_app)
    app.spec["waves"] = [{**WAVES[0], "minSuccessTime": "2m"}]
    first = app.deploy("1.0.0")
    app.serve(first)
    app.until_healthy(first)
    app.until_now(lambda: len(good(app, first)) >= 2, "the bake counts")
    app.serve(first, errors=0.5)
    app.until_now(lambda: phase(app, first) == "Failed", "the bake has failed")
    assert app.status["phase"] == "Healthy"
    app.serve(first, errors=0.0)
    second = app.deploy("1.1.0")
    app.until_new(second)
    assert phase(app, first) == "Failed", "a verdict was taken back"


def test_a_release_that_was_aborted_is_never_baked(make_app: Callable[..., App]) -> None:
    """Its pods answer no more, and what they answered was never all."""
    app = make(make_app)
    first = app.deploy("1.0.0")
    app.serve(first)
    app.until_healthy(first)
    second = app.deploy("1.1.0")
    app.until_new(second)
    app.serve(first, per_second=40)
    app.serve(second, per_second=10, errors=0.5)
    app.until_aborted()
    app.serve(first, per_second=50)
    app.serve(second, per_second=0)
    seen = counted(app, second)
    app.until_now(lambda: counted(app, second) >= seen + 7, "more than a window after the abort")
    assert {one["phase"] for one in measurements(bake(app, second))} == {"Inconclusive"}
    assert phase(app, second) == "Running"


def test_a_bake_proves_nothing_before_the_completion_when_only_test_users_ask(
    make_app: Callable[..., App],
) -> None:
    """Known, and written down: Prometheus can't tell a header step without other traffic from a completion.

    So a reader of a bake has to count only what was measured after the Rollout became healthy.
    """
    app = make(make_app)
    app.spec["exposure"]["steps"] = [{"header": {"x-group": "internal"}, "for": "10m"}, *STEPS]
    first = app.deploy("1.0.0")
    app.until_healthy(first)
    second = app.deploy("1.1.0")
    app.until_paused()
    app.serve(second)
    app.until_now(lambda: phase(app, second) == "Successful", "the bake has ended")
    assert app.weights()[-1] == 0
    assert app.stable != app.current
