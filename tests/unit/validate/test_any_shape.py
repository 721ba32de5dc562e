"""Whatever the data: no exception. Values at random places of valid objects are replaced by anything."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from valid_objects import VALID

from canaryfleet import codes
from canaryfleet.engines.argo_rollouts.validate import RULES, validate

CODES = codes.chapter("controllers")

JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from(["", "{{", "{{args.x}}", "result[0]", "(", "1d", "^a$", "^(", "24Gi", "10%", "a.b", 10**30, -1, 101]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=4), st.sampled_from(["name", "exact", "route", "args"]), st.integers()), inner, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a value."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, (dict, list)):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            found.append((value, key))
            found += places(one)
    return found


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.data())
def test_no_shape_of_data_raises(data: st.DataObject) -> None:
    objects = VALID[data.draw(st.sampled_from(sorted(VALID)))]()
    for _ in range(data.draw(st.integers(1, 4))):
        spots = places(objects)
        if not spots:
            break
        container, key = spots[data.draw(st.integers(0, len(spots) - 1))]
        if data.draw(st.booleans()):
            container[key] = data.draw(JUNK)
        else:
            container.pop(key)
    for one in validate(objects):
        assert one.code in CODES
        hash(one)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(JUNK, st.fixed_dictionaries({"kind": st.sampled_from(sorted(RULES)), "spec": JUNK})),
        max_size=4,
    )
)
def test_no_objects_raise(objects: list[Any]) -> None:
    validate(objects)
