"""Steps that are fine, and durations as Go reads them."""

import pytest
from valid_objects import ROLLOUT, STEPS, Object, add, codes, mutate, subset_split

from canaryfleet.engines.argo_rollouts.validate import go_duration_seconds as go_seconds
from canaryfleet.engines.argo_rollouts.validate import validate


@pytest.mark.parametrize(
    "step",
    [
        {"pause": {"duration": "1h30m"}},
        {"pause": {"duration": "1.5h"}},
        {"pause": {"duration": "90"}},
        {"setWeight": 5},
        {"setCanaryScale": {"weight": 5, "matchTrafficWeight": False}},
        {"experiment": {"analyses": [{"name": "a", "templateName": "assistant-steps"}]}},
        {"plugin": {"name": "org/step"}},
        {"setHeaderRoute": {"name": "assistant-header"}},
    ],
)
def test_steps_that_are_fine(step: Object) -> None:
    objects = subset_split()
    mutate(objects, ROLLOUT, STEPS, add(step))
    assert validate(objects) == []


def test_the_weight_may_go_down_once_the_routes_are_gone() -> None:
    objects = subset_split()
    mutate(objects, ROLLOUT, STEPS, add({"setWeight": 0}))
    assert codes(validate(objects)) == {"CF224"}
    mutate(
        objects,
        ROLLOUT,
        STEPS,
        lambda old: [*old[:-1], {"setHeaderRoute": {"name": "assistant-header"}}, old[-1]],
    )
    assert validate(objects) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("-0", 0), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), (".5s", 0.5), ("1.s", 1), ("+2m", 120), ("-2m", -120),
     ("1ms", 0.001), ("1µs", 1e-6), ("1μs", 1e-6), ("3us", 3e-6), ("5m1h", 3900), ("", None), ("1", None), ("1d", None),
     ("s", None), (".s", None), ("1 s", None), ("1S", None), ("1h-5m", None), ("1e3s", None), ("2562048h", None), ("1s\n", None)],
)  # fmt: skip
def test_go_durations(text: str, seconds: float | None) -> None:
    found = go_seconds(text)
    assert (None if found is None else float(found)) == (None if seconds is None else pytest.approx(seconds))
