"""The quantities that people write in specs: 10%, 1h30m, -1pp, 24Gi.

Each function takes what a YAML scalar can be (text or a number), returns a plain number, and raises
`ValueError` with a sentence for the person who wrote it. Numbers are exact: `Decimal`, never a float.
"""

import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Literal, NamedTuple

from canaryfleet.patterns import later

Scalar = str | int | float

# Wide enough for every number that the patterns below let through; what isn't exact would raise.
_EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])

_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,20})?"
_PERCENT = later(rf"({_NUMBER})%")
_PARTS: dict[str, int | Decimal] = {"d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": Decimal("0.001")}
_DURATION = later("".join(rf"(?:({_NUMBER}){unit})?" for unit in _PARTS))
_LONGEST = 100 * 365 * 86_400


def percent(value: Scalar) -> Decimal:
    """A share of a whole from 0% to 100%, as a ratio: "0.5%" -> Decimal("0.005"). 0 needs no sign."""
    text = _written(value)
    if text == "0":
        return Decimal(0)
    match = _PERCENT.fullmatch(text)
    if match is None:
        hint = f", like {text}%" if _plain_number(text) else ", like 10% or 0.5%"
        raise ValueError(f"{text!r} is not a percentage: write a number and a percent sign{hint}")
    ratio = _EXACT.multiply(Decimal(match[1]), Decimal("0.01"))
    if ratio > 1:
        raise ValueError(f"{text!r} is more than 100%")
    return _tidy(ratio)


def duration(value: Scalar) -> Decimal:
    """Seconds in a time like "90s", "1h30m", "1.5h", "250ms"; a day is 24 hours. 0 needs no unit."""
    text = _written(value)
    if text == "0":
        return Decimal(0)
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is not a duration: {_duration_hint(text)}")
    total = Decimal(0)
    for part, size in zip(match.groups(), _PARTS.values(), strict=True):
        if part:
            total = _EXACT.add(total, _EXACT.multiply(Decimal(part), Decimal(size)))
    if total > _LONGEST:
        raise ValueError(f"{text!r} is more than 100 years")
    return _tidy(total)


def _duration_hint(text: str) -> str:
    if text.startswith("-"):
        return "it can't be negative"
    if _plain_number(text):
        return f"write its unit, like {text}s or {text}m"
    return "write numbers with the units d, h, m, s and ms, in this order, like 90s, 1h30m or 1d"


def seconds(value: Scalar) -> int:
    """Whole seconds in a duration; "1500ms" is an error."""
    exact = duration(value)
    if exact != exact.to_integral_value():
        raise ValueError(f"{_written(value)!r} is not a whole number of seconds")
    return int(exact)


def go_duration(seconds: int) -> str:
    """A number of seconds in the one form that generated manifests use: 90 -> "90s", 5400 -> "1h30m".

    Days are written as hours, for Go knows no days. Raises `ValueError` if negative.
    """
    if seconds < 0:
        raise ValueError(f"a duration can't be negative: {seconds}")
    minutes, rest = divmod(seconds, 60)
    if rest or not seconds:
        return f"{seconds}s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")


class Threshold(NamedTuple):
    """A limit as written: `value` counts in `unit`, one of "", "%", "pp" (percentage points), "ms", "s"."""

    value: Decimal
    unit: str

    def __str__(self) -> str:
        return f"{self.value:f}{self.unit}"


_THRESHOLD = later(rf"([-+]?{_NUMBER})(%|pp|ms|s|m|h|d)?")
_BARE_FLOAT = later(rf"[-+]?{_NUMBER}(?:[eE][-+]?[0-9]{{1,2}})?")


def threshold(value: Scalar) -> Threshold:
    """A limit: "-1%", "-1pp", "200ms", "1.5s", 0.1; minutes, hours and days become seconds."""
    text = _written(value)
    if _BARE_FLOAT.fullmatch(text):
        return Threshold(_positive_zero(Decimal(text)), "")
    match = _THRESHOLD.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a threshold: write a number, alone or with one of %, pp, ms, s, m, h, d"
        )
    number, unit = _positive_zero(Decimal(match[1])), match[2]
    if unit in ("m", "h", "d"):
        return Threshold(_EXACT.multiply(number, Decimal(_PARTS[unit])), "s")
    return Threshold(number, unit)


def _positive_zero(number: Decimal) -> Decimal:
    return number or Decimal(0)


def _tidy(number: Decimal) -> Decimal:
    """Without zeros at the end, and without an exponent: 0.10 -> 0.1, 6E+2 -> 600."""
    short = number.normalize(_EXACT)
    whole = number.to_integral_value()
    return whole if whole == short else short


def count_or_percent(value: Scalar, total: int, *, rounding: Literal["up", "down"]) -> int:
    """How many of `total` are meant by a count (3) or a percentage ("25%"), rounded up or down.

    A count may exceed the total: the caller knows whether that is a mistake.
    """
    text = _written(value)
    if text.isdecimal() and text.isascii() and len(text) <= 9:
        return int(text)
    if not text.endswith("%"):
        raise ValueError(f"{text!r} is neither a count nor a percentage: write 3 or 25%")
    exact = _EXACT.multiply(percent(text), Decimal(total))
    whole = int(exact)
    return whole + 1 if rounding == "up" and exact > whole else whole


_QUANTITY = later(
    r"\+?([0-9]{1,20}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})"
    r"(?:([numkMGTPE]|[KMGTPE]i)|[eE]([-+]?[0-9]{1,2}))?"
)
_SUFFIXES = {
    **{suffix: Decimal(10) ** power for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18),
                                                            strict=True)},
    **{f"{letter}i": Decimal(1 << 10 * power) for power, letter in enumerate("KMGTPE", 1)},
}  # fmt: skip


def kubernetes_quantity(value: Scalar) -> Decimal:
    """A quantity of a resource as Kubernetes writes it: "24Gi", "500m", "1.5", "1e3"; not negative."""
    text = _written(value)
    match = _QUANTITY.fullmatch(text)
    if match is None:
        reason = "it can't be negative" if text.startswith("-") else "write it like 2, 500m, 24Gi or 1.5G"
        raise ValueError(f"{text!r} is not a quantity of a resource: {reason}")
    number, suffix, exponent = match.groups()
    factor = _SUFFIXES[suffix] if suffix else Decimal(f"1e{exponent or 0}")
    return _EXACT.multiply(Decimal(number), factor)


def _written(value: Scalar) -> str:
    """What the person wrote, as text; numbers in their shortest form."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        # Not a TypeError: the wrong type stands in a file that a person wrote.
        raise ValueError(f"{value!r:.80} is neither text nor a number")  # noqa: TRY004
    if isinstance(value, str):
        return value if len(value) <= 60 else value[:60] + "..."
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int) and abs(value) >= 10**30:
        raise ValueError("the number is too large")
    return repr(value)


def _plain_number(text: str) -> bool:
    return re.fullmatch(_NUMBER, text) is not None
