"""What a measurement's value proves: numbers, and what is none."""

import pytest
from tests.support import NOW

from canaryfleet.evidence import Contradiction, Rule, word
from canaryfleet.models.observation import Measurement
from canaryfleet.models.release import ReleaseMetric

RULE = Rule(ReleaseMetric(name="open", during=("steps",), promote="< 5", rollback="> 9"), strict=True)
LOGIN = "<html><style>body {color: red}</style><form>sign in</form></html>"


@pytest.mark.parametrize(
    "value",
    [
        LOGIN,
        '{"open": 1',
        "{}{}",
        "[{not json}]",
        "{" * 100_000,
        "sign in",
        "",
        '{"drift": NaN}',
        '[{"a": -Infinity}]',
        '"{}"',
    ],
)
def test_an_answer_that_is_no_object_proves_nothing_whatever_the_controller_called_it(value: str) -> None:
    """The web provider calls every 2xx answer that is no JSON Successful, without asking a condition."""
    with pytest.raises(Contradiction):
        word(RULE, Measurement(phase="Successful", value=value, began=NOW, ended=NOW))


@pytest.mark.parametrize("value", ['{"open": 1}', '[{"facet": "a"}]', "[{Id:errors Label: Values:[0.01]}]"])
def test_objects_are_judged_by_the_controller_s_expression(value: str) -> None:
    assert word(RULE, Measurement(phase="Successful", value=value, began=NOW, ended=NOW)) == "good"
