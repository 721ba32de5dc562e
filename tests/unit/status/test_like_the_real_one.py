"""The simulated controller does what the real ones did: the same objects and acts, the same states, runs and verdicts.

Compared is what lasts, in its order; how steered.py brings the simulation to do the same stands there. Times
are not compared: a busy machine made the real controllers slow by seconds, differently in each recording.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from recorded import SCENARIOS, VERSIONS, whole
from steered import RELEASE, simulated

from agreed import Moment, moments
from canaryfleet.engines.argo_rollouts.observe import observe
from canaryfleet.models.observation import Observation
from recordings import Object, Recording

ALL = [(scenario, version) for scenario in SCENARIOS for version in VERSIONS]
# Recorded until something was seen, not until it came to rest: the simulation goes on, and only begins the same.
OPEN = {
    "blue-green": "until the switch was complete; its bake waits for requests that the old version still gets",
    "false-healthy": "until the canary was complete; its bake waits for the same",
    "terminated-run": "until the step after the run that was ended",
}
# What lasts milliseconds, or as long as a machine needs for pods.
MOVING = {"Moved", "NotObserved", "OldVersion", "NotAvailable", "Stepping", "NotSynced"}


def lived(recording: Recording) -> Recording:
    """As if Git had each release when the API server has it; without bakes where the recording ends in one."""
    about, applied = recording.about, list[dict[str, str]]()
    for event, _ in recording.states():
        release = event.object["metadata"]["labels"].get(RELEASE)
        if event.object["kind"] == "Rollout" and (not applied or applied[-1]["release"] != release):
            applied.append({"at": event.at.isoformat(), "release": release})
    releases, events = about["releases"], recording.events
    if about["scenario"] in OPEN:
        events = tuple(event for event in events if not _bake(event.object))
        releases = {id: one | {"files": _without_waves(one["files"])} for id, one in releases.items()}
    return Recording(about | {"applied": applied, "releases": releases}, events)


def _bake(one: Object) -> bool:
    return one["kind"] == "AnalysisRun" and "ownerReferences" not in one["metadata"]


def _without_waves(files: dict[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in files.items() if not path.startswith("waves/")}


def observed(recording: Recording) -> Iterator[tuple[Moment, Observation]]:
    """What is seen of the release that Git has, at each moment."""
    for moment in moments(recording):
        subject = recording.subject(moment.release)
        yield moment, observe(recording.sighting(subject, moment.state, moment.event.at), subject)


def once(items: Any) -> list[Any]:
    """One after the other, without repetitions."""
    found: list[Any] = []
    for item in items:
        if not found or found[-1] != item:
            found.append(item)
    return found


def states(recording: Recording) -> list[Any]:
    """Where each release stood and stayed, and where the last one was at the end."""
    found, last = [], None
    for moment, seen in observed(recording):
        live = seen.live
        if live is None or not live.observed or live.release != moment.release.id:
            continue
        if live.current is None or live.current.pod != live.pod:
            continue
        last = (moment.release.version, live.phase, live.step, live.weight, live.paused, live.aborted)
        # an abort keeps its weight and its pause for a moment, and what is Healthy its own weight
        healthy = live.phase == "Healthy" and live.current == live.stable and live.weight == 100
        paused = live.phase == "Paused" and not live.aborted
        if healthy or paused or live.phase == "Degraded":
            found.append(last)
    return once(found if recording.about["scenario"] in OPEN else [*found, last])


def runs(recording: Recording) -> list[Any]:
    """Every run of each release in its order, and how it ended."""
    found: dict[Any, Any] = {}
    for moment, seen in observed(recording):
        for run in seen.runs:
            # of what was gone back to the bake proves nothing, and is not waited for
            if run.role == "bake" and moment.release.id in moment.had[:-1]:
                continue
            names = tuple(metric.name for metric in run.metrics)
            found[run.uid] = (moment.release.version, run.role, run.step, run.phase, run.terminated, names)
    return list(found.values())


def told(recording: Recording) -> list[Any]:
    """The verdicts on the second release and on what came after it.

    Not of the first: its bake races with pods that come up, whose time is the machine's.
    """
    said = ((m.release.version, m.said, m.verdict.reason) for m in moments(recording) if len(m.had) > 1)
    return once(item for item in said if item[2] not in MOVING)


@cache
def both(scenario: str, version: str) -> tuple[Recording, Recording]:
    return lived(whole(scenario, version)), lived(simulated(scenario, version))


@pytest.mark.parametrize(("scenario", "version"), ALL)
def test_it_comes_to_the_same_states(scenario, version):
    real, ours = map(states, both(scenario, version))
    assert real
    assert (ours[: len(real)] if scenario in OPEN else ours) == real


@pytest.mark.parametrize(("scenario", "version"), ALL)
def test_it_makes_the_same_runs(scenario, version):
    real, ours = map(runs, both(scenario, version))
    if scenario in OPEN:  # what was under way when the recording ended may have ended since
        going = [
            at
            for at, run in enumerate(real)
            if run[3] not in ("Successful", "Failed", "Inconclusive", "Error")
        ]
        assert [run[:3] for run in ours[: len(real)]] == [run[:3] for run in real]
        real, ours = (
            [run for at, run in enumerate(each[: len(real)]) if at not in going] for each in (real, ours)
        )
    assert ours == real


@pytest.mark.parametrize(("scenario", "version"), ALL)
def test_its_verdicts_are_the_same(scenario, version):
    real, ours = map(told, both(scenario, version))
    assert real or scenario == "first-deployment"
    assert (ours[: len(real)] if scenario in OPEN else ours) == real


@cache
def known(version: str) -> dict[str, set[str]]:
    """The fields of real objects, by kind, in all scenarios."""
    found: dict[str, set[str]] = defaultdict(set)
    for scenario in SCENARIOS:
        for event in whole(scenario, version).events:
            found[event.object["kind"]] |= fields(event.object)
    return found


@pytest.mark.parametrize(("scenario", "version"), ALL)
def test_its_objects_have_no_field_that_the_real_ones_have_not(scenario, version):
    real = known(version)
    extra = {
        f"{event.object['kind']}{path}"
        for event in both(scenario, version)[1].events
        for path in fields(event.object) - real[event.object["kind"]]
    }
    assert not extra


def fields(value: Any, at: str = "") -> set[str]:
    if isinstance(value, dict):
        return {at, *(path for key, item in value.items() for path in fields(item, f"{at}/{key}"))}
    if isinstance(value, list):
        return {at, *(path for item in value for path in fields(item, f"{at}/@"))}
    return {at}
