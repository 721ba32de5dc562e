"""The simulated controller does what the real one did: the same objects, and the same observations over time."""

import copy
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from recorded import VERSIONS, Recording, recording

from canaryfleet.engines.argo_rollouts.observe import observe, reads
from canaryfleet.engines.argo_rollouts.simulate import Behaviour, Event, Script, sight
from canaryfleet.models.observation import Observation


def applied(app: str) -> list[dict[str, Any]]:
    """The objects that Git had, from what the API server had of them."""
    answers = recording(f"{app}-verified-raw-1.10.1").sightings[-1].apps[0].answers
    rollout = copy.deepcopy(answers["rollout"])
    made = {}
    for run in answers["analysisRuns"]["items"]:
        name = template(rollout, run["metadata"]["labels"].get("rollout-type"))
        kind = "AnalysisTemplate" if name else "AnalysisRun"
        metadata = {key: run["metadata"][key] for key in ("name", "namespace", "labels")}
        spec = {key: value for key, value in run["spec"].items() if key != "terminate"}
        made[name or metadata["name"]] = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": kind,
            "metadata": metadata | ({"name": name} if name else {}),
            "spec": spec,
        }
    return [*made.values(), {key: rollout[key] for key in ("apiVersion", "kind", "metadata", "spec")}]


def template(rollout: dict[str, Any], kind: str | None) -> str | None:
    """The name of the template that a run of a kind was made from."""
    strategy = rollout["spec"]["strategy"]
    canary, blue = strategy.get("canary", {}), strategy.get("blueGreen", {})
    step = next((item["analysis"] for item in canary.get("steps", []) if "analysis" in item), None)
    found = {
        "Background": canary.get("analysis"),
        "Step": step,
        "PostPromotion": blue.get("postPromotionAnalysis"),
    }
    used = found.get(kind or "")
    return used["templates"][0]["templateName"] if used else None


def before(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The release before: other pods."""
    rollout = copy.deepcopy(objects[-1])
    rollout["metadata"]["labels"]["canaryfleet.dev/release"] = "earlier"
    rollout["spec"]["template"]["metadata"]["annotations"]["canaryfleet.dev/pod"] = "earlier"
    rollout["spec"]["template"]["spec"]["containers"][0]["image"] += "0"
    templates = [item for item in objects if item["kind"] == "AnalysisTemplate"]
    return [*templates, rollout]


def script(base: Recording, how: Behaviour) -> Script:
    """The same release at the time at which the recording began, after another one."""
    objects, start = applied(base.subject.app), base.sightings[0].began
    events = (Event(start - timedelta(minutes=5), "apply", before(objects)), Event(start, "apply", objects))
    cluster = base.sightings[0].cluster
    pod = base.release.clusters[cluster].pod
    return Script(cluster, base.subject.app, base.subject.namespace, events, {pod: how})


def outline(seen: list[Observation], release: str) -> list[tuple[Any, ...]]:
    """Where the release stood, one after the other: what lasts, not what is over within a second."""
    found: list[tuple[Any, ...]] = []
    for live in (item.live for item in seen if item.unread is None and item.live is not None):
        lasting = live.release == release and (live.paused or live.phase == "Healthy" or live.aborted)
        state = (live.phase, live.step, live.weight, live.paused)
        if lasting and live.observed and live.current.pod == live.pod and (not found or found[-1] != state):
            found.append(state)
    return found


@cache
def simulated(name: str) -> list[Observation]:
    """What is seen of the simulation of a recording, second by second."""
    base = recording(name)
    made, start = script(base, Behaviour(startup=0)), base.sightings[0].began
    seconds = int((base.sightings[-1].began - start).total_seconds())
    asked = reads(base.subject)
    return [observe(sight(made, asked, start + timedelta(seconds=at)), base.subject) for at in range(seconds)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("app", ["chat", "web"])
def test_a_good_release_goes_the_same_way(app, version):
    base = recording(f"{app}-good-{version}")
    real = [observe(sighting, base.subject) for sighting in base.sightings]
    ours = simulated(f"{app}-good-{version}")
    assert outline(ours, base.release.id) == outline(real, base.release.id)


def shape(seen: Observation) -> list[tuple[Any, ...]]:
    """The runs, whatever their names and times."""
    found = [(run.role, run.step, run.terminated, [item.name for item in run.metrics]) for run in seen.runs]
    return sorted(found, key=str)


@pytest.mark.parametrize("app", ["chat", "web"])
def test_the_runs_are_the_same(app):
    """Of the same roles and steps, with the same metrics; one after the other."""
    base = recording(f"{app}-good-1.10.1")
    real = observe(base.sightings[-1], base.subject)
    ours = simulated(f"{app}-good-1.10.1")[-1]
    assert shape(ours) == shape(real)


@pytest.mark.parametrize("app", ["chat", "web"])
def test_it_takes_as_long(app):
    """From the sync to stable, and until it is verified: within the few seconds that a busy machine costs."""
    base = recording(f"{app}-good-1.10.1")
    start = base.sightings[0].began
    real = observe(base.sightings[-1], base.subject).live.changed - start
    ours = simulated(f"{app}-good-1.10.1")[-1].live.changed - start
    assert abs(real - ours) < timedelta(seconds=8)


@pytest.mark.parametrize("app", ["chat", "web"])
def test_the_objects_have_the_same_fields(app):
    """What the simulation answers with has no field that the API server's answer has not."""
    base = recording(f"{app}-verified-raw-1.10.1")
    real = base.sightings[-1].apps[0].answers
    good = recording(f"{app}-good-1.10.1")
    ours = sight(script(good, Behaviour()), reads(base.subject), base.sightings[-1].began).apps[0].answers
    for name in ("rollout", "replicaSets", "analysisRuns", "pods"):
        extra = fields(ours[name]) - fields(real[name])
        # the first transition of the two has other conditions; nothing else is there that is not there in reality
        assert not {path for path in extra if not path.endswith(("/message", "/running", "/startedAt"))}, (
            extra
        )


def fields(value: Any, at: str = "") -> set[str]:
    if isinstance(value, dict):
        return {at, *(path for key, item in value.items() for path in fields(item, f"{at}/{key}"))}
    if isinstance(value, list):
        return {at, *(path for item in value for path in fields(item, f"{at}/@"))}
    return {at}
