"""Every rule of `validate`: valid objects pass, and each mutation gives the code it is there for."""

import copy
from typing import Any

import pytest
from mutations import MUTATIONS
from valid_objects import VALID, codes, explain, mutate

from canaryfleet import codes as known
from canaryfleet.engines.argo_rollouts.validate import EVERY_KIND, RULES, validate

CODES = known.chapter("controllers")


@pytest.mark.parametrize("name", VALID)
def test_valid_objects_have_no_violations(name: str) -> None:
    assert validate(VALID[name]()) == []


@pytest.mark.parametrize(
    ("expected", "fixture", "target", "path", "value"),
    MUTATIONS,
    ids=[f"{m[0]}-{i}" for i, m in enumerate(MUTATIONS)],
)
def test_a_mutation_is_found(expected: str, fixture: str, target: str, path: str, value: Any) -> None:
    objects = VALID[fixture]()
    mutate(objects, target, path, value)
    found = validate(objects)
    assert codes(found) == set(expected.split("+")), explain(found)


def test_every_code_is_tested() -> None:
    tested = {code for mutation in MUTATIONS for code in mutation[0].split("+")}
    assert tested | {"CF203"} == set(CODES)


def test_violations_are_stable_and_say_what_is_wrong() -> None:
    for mutation in MUTATIONS:
        objects = VALID[mutation[1]]()
        mutate(objects, *mutation[2:])
        before = copy.deepcopy(objects)
        found = validate(objects)
        assert objects == before
        assert found == validate(objects)
        for one in found:
            assert one.code in CODES
            assert one.message, one
            assert all(isinstance(step, (str, int)) for step in one.path)


def test_each_rule_says_what_it_is() -> None:
    for rule in {*EVERY_KIND, *(rule for rules in RULES.values() for rule in rules)}:
        assert (rule.__doc__ or "").strip(), rule
