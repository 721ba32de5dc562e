"""Answers of API servers that were altered anywhere: a verdict, in time, and never Verified by nothing.

`proven` is another reading of the same objects, as simple as can be: whatever `verdict.py` says was verified by
analysis was measured, in each run that the release asks for, by each of its metrics, and is within its thresholds.
"""

import copy
import json
from datetime import timedelta
from typing import Any

import pytest
from hostile import altered, at, places, tried
from hypothesis import given
from hypothesis import strategies as st
from msgspec import ValidationError, convert
from msgspec.json import encode
from recorded import SCENARIOS, Recording, recording

from canaryfleet import presence
from canaryfleet.engines.argo_rollouts.observe import observe, trim
from canaryfleet.models.observation import Sighting, Verdict
from canaryfleet.verdict import judge

ROLES = {"Step": "steps", "PostPromotion": "steps", "Background": "background", "PrePromotion": "preview"}
UNPROVEN = [
    name
    for name in SCENARIOS
    if name not in ("good", "blue-green", "policy-only", "first-deployment", "reverted")
]


def plain(sighting: Sighting) -> Any:
    """The answers about the one app."""
    return json.loads(encode(sighting))["apps"][0]["answers"]


def read(base: Recording, answers: Any) -> Sighting | None:
    """The last reading with other answers; None: no source could have written that."""
    whole = json.loads(encode(base.sightings[-1]))
    whole["apps"][0]["answers"] = answers
    try:
        return convert(whole, Sighting)
    except ValidationError:
        return None


def judged(base: Recording, answers: Any) -> Verdict | None:
    """The verdict of altered answers, of which the first and the second reading of the Rollout are the same."""
    if isinstance(answers, dict) and isinstance(answers.get("rollout"), dict):
        answers = {**answers, "rolloutAgain": copy.deepcopy(answers["rollout"])}
    sighting = read(base, answers)
    if sighting is None:
        return None
    seen = observe(sighting, base.subject)
    expected = base.expected(promoted=base.sightings[-1].began - timedelta(hours=1))
    verdict = judge(seen, expected, now=sighting.ended)
    small = observe(
        sighting.__class__(**{**_fields(sighting), "apps": tuple(trim(look) for look in sighting.apps)}),
        base.subject,
    )
    assert judge(small, expected, now=sighting.ended).kind == verdict.kind
    presence.absent(seen, base.sightings[-1].identity, sighting.began)
    presence.carried(seen, base.release.id, "x", sighting.began)
    encode(verdict)
    return verdict


def _fields(sighting: Sighting) -> dict[str, Any]:
    return {name: getattr(sighting, name) for name in sighting.__struct_fields__}


def proven(base: Recording, answers: Any) -> bool:
    """Whether each run that the release asks for was measured, and what it measured is good enough."""
    runs = answers["analysisRuns"]["items"]
    for key in base.release.analyses:
        role, _, step = key.partition("/")
        found = [
            run
            for run in runs
            if _role(run) == role
            and (not step or role == "bake" or run["metadata"]["labels"].get("step-index") == step)
        ]
        if not any(_is_good(base, role, run) for run in found):
            return False
    return True


def _role(run: Any) -> str:
    if "ownerReferences" not in run["metadata"]:
        return "bake"
    return ROLES.get(run["metadata"]["labels"].get("rollout-type", ""), "")


def _is_good(base: Recording, role: str, run: Any) -> bool:
    for metric in base.release.metrics:
        if role not in metric.during:
            continue
        asked = metric.promote if role in ("steps", "preview") else None
        results = [item for item in run["status"].get("metricResults", []) if item["name"] == metric.name]
        ended = [one for item in results for one in item.get("measurements", []) if one.get("finishedAt")]
        good = [one for one in ended if one["phase"] == "Successful" and _within(one.get("value", ""), asked)]
        if not good and role != "background":  # what runs beside steps may have had nothing to measure
            return False
        if not ended:
            return False
    return True


def _within(value: str, condition: str | None) -> bool:
    if condition is None:
        return True
    sign, _, limit = condition.partition(" ")
    number = float(value.strip('[]"') or "nan")
    return number < float(limit) if sign == "<" else number > float(limit)


def emptied(answers: Any, *, forged: bool) -> Any:
    """The same answers without a single measurement; `forged`: the counters still say that there were some."""
    answers = copy.deepcopy(answers)
    for run in answers["analysisRuns"]["items"]:
        for result in run["status"].get("metricResults", []):
            result.pop("measurements", None)
            if not forged:
                for name in ("count", "successful", "failed", "inconclusive", "error"):
                    result.pop(name, None)
    return answers


GOOD = {name: recording(name) for name in ("good", "blue-green")}
GOOD["blue-green"] = GOOD["blue-green"].unbaked()


@pytest.mark.parametrize("name", GOOD)
def test_what_is_verified_is_proven(name: str) -> None:
    base = GOOD[name]
    answers = plain(base.sightings[-1])
    verdict = judged(base, answers)
    assert verdict is not None
    assert (verdict.kind, verdict.basis) == ("Verified", "Analysis")
    assert proven(base, answers)
    assert not proven(base, emptied(answers, forged=True))


@pytest.mark.parametrize("name", GOOD)
@tried(15)
@given(data=st.data())
def test_altered_answers_are_verified_only_if_they_prove_it(name: str, data: st.DataObject) -> None:
    base = GOOD[name]
    answers = data.draw(altered(plain(base.sightings[-1])))
    verdict = judged(base, answers)
    if verdict is not None and verdict.basis == "Analysis":
        assert proven(base, answers)


@pytest.mark.parametrize("forged", [True, False])
@pytest.mark.parametrize("name", GOOD)
@tried(10)
@given(data=st.data())
def test_nothing_measured_is_never_verified(name: str, forged: bool, data: st.DataObject) -> None:
    base = GOOD[name]
    nothing = emptied(plain(base.sightings[-1]), forged=forged)
    verdict = judged(base, data.draw(altered(nothing, most=6)))
    assert verdict is None or verdict.kind != "Verified", verdict


@pytest.mark.parametrize("forged", [True, False])
@pytest.mark.parametrize("name", GOOD)
def test_every_run_has_to_have_measured(name: str, forged: bool) -> None:
    base = GOOD[name]
    whole = plain(base.sightings[-1])
    for number, run in enumerate(emptied(whole, forged=forged)["analysisRuns"]["items"]):
        answers = copy.deepcopy(whole)
        answers["analysisRuns"]["items"][number] = run
        verdict = judged(base, answers)
        assert verdict is None or verdict.kind != "Verified", run["metadata"]["name"]


@pytest.mark.parametrize("name", GOOD)
@tried(15)
@given(data=st.data())
def test_measurements_of_something_else_verify_nothing(name: str, data: st.DataObject) -> None:
    """Runs of other steps, roles, releases, pods and clusters, and results under other names, in each other's place."""
    base = GOOD[name]
    answers = plain(base.sightings[-1])
    runs = answers["analysisRuns"]["items"]
    spots = [path for path in places(runs) if path[1:2] == ("metadata",) or path[1:3] == ("spec", "args")]
    taken = data.draw(st.integers(0, len(runs) - 1))
    given_to = data.draw(st.integers(0, len(runs) - 1))
    runs[given_to]["status"] = copy.deepcopy(runs[taken]["status"])
    for path in data.draw(st.lists(st.sampled_from(spots), max_size=3)):
        other = data.draw(st.sampled_from([one for one in spots if one[1:] == path[1:]]))
        try:
            at(runs, path[:-1])[path[-1]] = copy.deepcopy(at(runs, other))
        except (LookupError, TypeError):
            continue
    verdict = judged(base, answers)
    if verdict is not None and verdict.basis == "Analysis":
        assert proven(base, answers)


@pytest.mark.parametrize("name", UNPROVEN)
@tried(2)
@given(data=st.data())
def test_what_was_not_good_enough_does_not_become_so(name: str, data: st.DataObject) -> None:
    base = recording(name)
    seen = data.draw(st.sampled_from(base.sightings))
    answers = data.draw(altered(plain(seen), most=5))
    verdict = judged(base, answers)
    if verdict is not None and verdict.kind == "Verified":
        assert verdict.basis == "Analysis"
        assert proven(base, answers)
