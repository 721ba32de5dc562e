"""Thresholds of a metric: from what people write to conditions in the metric's own unit."""

from decimal import Decimal
from typing import Any, NamedTuple

from canaryfleet import sequential
from canaryfleet.errors import Issue
from canaryfleet.models.canary import Metric, SequentialTest
from canaryfleet.presets import Preset
from canaryfleet.quantity import percent, threshold

BOUNDS = ("promoteBelow", "promoteAbove", "rollbackAbove", "rollbackBelow")
OPERATORS = {"promoteBelow": "<", "promoteAbove": ">", "rollbackAbove": ">", "rollbackBelow": "<"}
SCALE = {"%": Decimal("0.01"), "pp": Decimal("0.01"), "ms": Decimal("0.001"), "s": Decimal(1), "": Decimal(1)}
UNITS = {
    "ratio": {"", "%"},
    "seconds": {"", "s", "ms"},
    "milliseconds": {"", "s", "ms"},
    "number": {""},
    None: {"", "%", "s", "ms"},
}


class Bad(Exception):
    """Something is wrong with one metric: an issue with its path below the metric."""

    def __init__(self, path: tuple[str, ...], code: str, message: str, remedy: str = "") -> None:
        self.issue = Issue(path, code, message, remedy)


class Condition(NamedTuple):
    """A comparison of the value with a number in the metric's unit: `< 0.005`."""

    operator: str
    number: Decimal

    def __str__(self) -> str:
        return f"{self.operator} {self.number.normalize():f}"


class Thresholds(NamedTuple):
    """How a value is compared ("", "ratio", "difference" or "sequential" with stable), and with what."""

    compared: str
    promote: Condition | None
    rollback: Condition | None


def read(metric: Metric, preset: Preset | None, self_judging: bool) -> Thresholds:
    """The thresholds of a metric; `self_judging`: its provider needs none. Raises Bad."""
    given = [(name, text) for name, text in zip(BOUNDS, bounds(metric), strict=True) if text is not None]
    if metric.test is not None:
        return _tested(metric.test, metric.comparedTo, [name for name, _ in given])
    if not given:
        if self_judging:
            return Thresholds("", None, None)
        raise Bad((), "CF135", "nothing says what is good or bad", "give a promote and a rollback threshold")
    found = [name for name, _ in given]
    if (
        len(given) > 2
        or {"promoteBelow", "promoteAbove"} <= set(found)
        or {"rollbackAbove", "rollbackBelow"} <= set(found)
    ):
        raise Bad(
            (found[-1],), "CF135", "one promote and one rollback threshold are meant", "remove the others"
        )
    if set(found) in ({"promoteBelow", "rollbackBelow"}, {"promoteAbove", "rollbackAbove"}):
        raise Bad(
            (found[-1],),
            "CF135",
            f"{found[0]} and {found[1]} point the same way",
            "lower is better: promoteBelow and rollbackAbove; higher is better: promoteAbove and rollbackBelow",
        )
    _direction(preset, found)
    unit = _unit(metric, preset)
    kinds = {name: _number(name, text, unit, metric.comparedTo is not None) for name, text in given}
    if len({kind for kind, _ in kinds.values()}) > 1:
        raise Bad(
            (found[-1],),
            "CF136",
            "one threshold is relative and the other is not",
            "write both in % or both in pp",
        )
    conditions = {name: Condition(OPERATORS[name], number) for name, (_, number) in kinds.items()}
    promote = next((conditions[name] for name in found if name.startswith("promote")), None)
    rollback = next((conditions[name] for name in found if name.startswith("rollback")), None)
    _ordered(promote, rollback, found)
    return Thresholds(next(iter(kinds.values()))[0], promote, rollback)


def _tested(test: SequentialTest, compared: str | None, given: list[str]) -> Thresholds:
    """The limits of an e-value: proven beyond 1/alpha, and not worth mentioning below `DOUBT`."""
    if given:
        raise Bad(
            (given[0],),
            "CF135",
            "the test itself says what is good and bad",
            "remove the thresholds, or say in `test.margin` how much more often it may fail",
        )
    if compared is None:
        raise Bad(("test",), "CF138", "a test compares two versions", "add `comparedTo: stable`")
    alpha, (least, most) = percent(test.alpha), sequential.ALPHA
    if not least <= alpha <= most:
        raise Bad(
            ("test", "alpha"),
            "CF136",
            f"{test.alpha} of false alarms can't be promised",
            f"write {least:%} to {most:.0%}",
        )
    doubt, proof = Condition("<", Decimal(sequential.DOUBT)), Condition(">", sequential.limit(alpha))
    return Thresholds(sequential.KIND, doubt, proof)


def bounds(metric: Metric) -> tuple[Any, ...]:
    """What the spec gives for each of `BOUNDS`."""
    return metric.promoteBelow, metric.promoteAbove, metric.rollbackAbove, metric.rollbackBelow


def _direction(preset: Preset | None, found: list[str]) -> None:
    lower = {"promoteBelow", "rollbackAbove"}
    if preset and preset.better != "either" and (preset.better == "lower") != (found[0] in lower):
        raise Bad(
            (found[0],),
            "CF135",
            f"{preset.name} is better when {preset.better}",
            "promote and roll back the other way round",
        )


def _number(name: str, text: str | int | float, unit: str | None, compared: bool) -> tuple[str, Decimal]:
    try:
        value, given = threshold(text)
    except ValueError as error:
        raise Bad((name,), "CF136", str(error)) from error
    if compared and given == "%":
        return "ratio", value * SCALE["%"]
    if given == "pp" and not compared:
        raise Bad(
            (name,), "CF136", "percentage points compare two versions", "add `comparedTo: stable`, or write %"
        )
    if given == "pp":
        return "difference", value * SCALE["pp"]
    if given not in UNITS[unit]:
        raise Bad(
            (name,),
            "CF136",
            f"{text} is not a value in {unit}",
            f"write it in {' or '.join(sorted(filter(None, UNITS[unit]))) or 'plain numbers'}",
        )
    number = value * SCALE[given]
    if unit == "milliseconds" and given:
        number *= 1000
    return ("difference" if compared else ""), number


def _ordered(promote: Condition | None, rollback: Condition | None, found: list[str]) -> None:
    if promote is None or rollback is None:
        return
    gap = rollback.number - promote.number if promote.operator == "<" else promote.number - rollback.number
    if gap < 0:
        raise Bad(
            (found[-1],),
            "CF137",
            f"a value can be {promote} and {rollback} at once",
            "roll back only beyond the promote threshold",
        )


def _unit(metric: Metric, preset: Preset | None) -> str | None:
    return metric.unit or (preset.unit if preset else "ratio" if metric.failures else None)


def is_share(metric: Metric, preset: Preset | None) -> bool:
    """Whether the value is a ratio, by its unit or else by how its thresholds are written."""
    unit = _unit(metric, preset)
    if unit is not None:
        return unit == "ratio"
    return any(isinstance(text, str) and text.endswith("%") for text in bounds(metric))


def is_share_or_time(metric: Metric, preset: Preset | None) -> bool:
    """Whether the value is a ratio or a time, by its unit or else by how its thresholds are written."""
    unit = _unit(metric, preset)
    if unit is not None:
        return unit in ("ratio", "seconds", "milliseconds")
    return any(isinstance(text, str) and text.endswith(("%", "s")) for text in bounds(metric))
