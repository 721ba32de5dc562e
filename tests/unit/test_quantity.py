"""The quantities that people write, and the sentences they get for what isn't one."""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal, getcontext, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canaryfleet.quantity import (
    Threshold,
    count_or_percent,
    duration,
    go_duration,
    kubernetes_quantity,
    percent,
    seconds,
    threshold,
)

SAME = settings(derandomize=True, deadline=None)


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("10%", "0.1"), ("0.5%", "0.005"), ("100%", "1"), ("0%", "0"),
        (0, "0"), (0.0, "0"), ("0", "0"), ("33.333%", "0.33333"),
    ],
)  # fmt: skip
def test_percent(text: Any, ratio: str) -> None:
    assert percent(text) == Decimal(ratio)
    assert str(percent(text)) == ratio


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (10, "like 10%"), (0.1, "like 0.1%"), ("10", "like 10%"), ("10 %", "percent sign"),
        ("-1%", "percent sign"),
        ("101%", "more than 100%"), ("100.0001%", "more than 100%"), ("", "percent sign"),
        ("%", "percent sign"),
        ("1e1%", "percent sign"), (True, "neither text nor"), (None, "neither text nor"),
        ([], "neither text nor"),
        ("٣%", "percent sign"), ("10%\n", "percent sign"), ("9" * 99 + "%", "percent sign"),
        (float("nan"), "nan"),
    ],
)  # fmt: skip
def test_not_a_percentage(text: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        percent(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("90s", "90"), ("1h30m", "5400"), ("1d", "86400"), ("250ms", "0.25"), ("1.5h", "5400"), ("0", "0"),
        (0, "0"),
        ("0s", "0"), ("1d2h3m4s5ms", "93784.005"), ("5m", "300"), ("5ms", "0.005"), ("1m500ms", "60.5"),
        ("600s", "600"),
        ("36500d", "3153600000"),
    ],
)  # fmt: skip
def test_duration(text: Any, value: str) -> None:
    assert str(duration(text)) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (10, "like 10s or 10m"), (1.5, "unit"), ("10", "unit"), ("-5m", "negative"), (-5, "negative"),
        ("5 m", "units"),
        ("5x", "units"), ("30m1h", "this order"), ("1h1h", "units"), ("", "units"), ("h", "units"),
        ("1w", "units"),
        ("P1D", "units"), ("36501d", "100 years"), ("1h\n", "units"), (True, "neither"),
        ("1" * 70 + "s", "units"),
        ("5M", "units"), ("1h 30m", "units"), ("+5m", "units"), ("1us", "units"), (10**40, "too large"),
    ],
)  # fmt: skip
def test_not_a_duration(text: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        duration(text)


def test_whole_seconds() -> None:
    assert seconds("1500s") == 1500
    assert seconds("2000ms") == 2
    assert isinstance(seconds("2000ms"), int)
    with pytest.raises(ValueError, match="'1500ms' is not a whole number of seconds"):
        seconds("1500ms")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0s"), (90, "90s"), (60, "1m"), (600, "10m"), (5400, "1h30m"),
        (3600, "1h"), (86400, "24h"), (3661, "3661s"),
    ],
)  # fmt: skip
def test_go_duration(number: int, text: str) -> None:
    assert go_duration(number) == text


def test_go_duration_is_never_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        go_duration(-1)


@given(st.integers(0, 100 * 365 * 86_400))
@SAME
def test_go_duration_is_read_back(number: int) -> None:
    assert seconds(go_duration(number)) == number


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("-1%", "-1", "%"), ("-1pp", "-1", "pp"), ("200ms", "200", "ms"), ("0.1", "0.1", ""),
        (0.1, "0.1", ""),
        ("1.5s", "1.5", "s"), ("2m", "120", "s"), ("1h", "3600", "s"), ("1d", "86400", "s"), (5, "5", ""),
        (-3, "-3", ""),
        (1e-05, "0.00001", ""), ("1e-5", "0.00001", ""), (0, "0", ""), ("-0%", "0", "%"), ("+2%", "2", "%"),
        ("0.5%", "0.5", "%"), (2.0, "2", ""), ("150%", "150", "%"),
    ],
)  # fmt: skip
def test_threshold(text: Any, value: str, unit: str) -> None:
    assert threshold(text) == Threshold(Decimal(value), unit)
    assert str(threshold(text)) == value + unit


@pytest.mark.parametrize(
    "text",
    [
        "", "%", "1 %", "1px", "1h30m", "ms", "1%%", "--1", True, None, float("inf"), float("nan"), ".5",
        "1,5", "1\n",
    ],
)  # fmt: skip
def test_not_a_threshold(text: Any) -> None:
    with pytest.raises(ValueError, match=r"threshold|neither"):
        threshold(text)


@given(st.one_of(st.floats(-1e12, -1e-90), st.floats(1e-90, 1e12)))
@SAME
def test_a_float_is_taken_as_it_is_written(number: float) -> None:
    assert threshold(number) == (Decimal(repr(number)), "")


@pytest.mark.parametrize(
    ("value", "total", "up", "down"),
    [
        (3, 10, 3, 3), ("3", 10, 3, 3), ("25%", 10, 3, 2), ("25%", 8, 2, 2), ("0%", 10, 0, 0),
        ("100%", 7, 7, 7),
        ("1%", 10, 1, 0), (0, 5, 0, 0), (20, 10, 20, 20), ("33.333333%", 3, 1, 0), ("10%", 0, 0, 0),
        (3.0, 10, 3, 3),
    ],
)  # fmt: skip
def test_count_or_percent(value: Any, total: int, up: int, down: int) -> None:
    assert count_or_percent(value, total, rounding="up") == up
    assert count_or_percent(value, total, rounding="down") == down


@pytest.mark.parametrize("value", [-1, 0.5, "-1", "half", "", True, "101%", "-5%", "²", 10**12])
def test_neither_count_nor_percentage(value: Any) -> None:
    with pytest.raises(ValueError, match=r"count|percent|100%|neither"):
        count_or_percent(value, 10, rounding="up")


@given(st.integers(0, 100), st.integers(0, 10_000))
@SAME
def test_rounding_is_exact(share: int, total: int) -> None:
    assert count_or_percent(f"{share}%", total, rounding="down") == share * total // 100
    assert count_or_percent(f"{share}%", total, rounding="up") == -(-share * total // 100)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("24Gi", 24 << 30), ("1Ki", 1024), ("1Mi", 1 << 20), ("2Ti", 2 << 40), ("1Pi", 1 << 50),
        ("1Ei", 1 << 60),
        ("500m", "0.5"), ("1.5", "1.5"), (1.5, "1.5"), (2, 2), ("1k", 1000), ("1M", 10**6), ("1G", 10**9),
        ("1T", 10**12),
        ("1P", 10**15), ("1E", 10**18), ("1e3", 1000), ("1E3", 1000), ("1e-3", "0.001"), ("100u", "0.0001"),
        ("1n", "1e-9"),
        (".5", "0.5"), ("5.", 5), ("+1", 1), ("0", 0), ("1.5Gi", 3 << 29), (1e-05, "0.00001"),
    ],
)  # fmt: skip
def test_kubernetes_quantity(text: Any, value: Any) -> None:
    assert kubernetes_quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "", "Gi", "-1", "-1Gi", "1gi", "1K", "1 Gi", "1Gib", "1e999", "1kk", "0x1", "1_000", True, None,
        "1Gi\n", ".",
    ],
)  # fmt: skip
def test_not_a_quantity(text: Any) -> None:
    with pytest.raises(ValueError, match=r"quantity|neither"):
        kubernetes_quantity(text)


def test_exact_whatever_the_callers_decimal_context() -> None:
    with localcontext() as context:
        context.prec = 3
        assert kubernetes_quantity("123456789Ei") == 123456789 << 60
        assert percent("12.3456%") == Decimal("0.123456")
        assert seconds("123456s") == 123456
        assert threshold("12345m").value == 740700
        assert count_or_percent("33.3333%", 99999, rounding="down") == 33332
    assert getcontext().prec != 3


PARSERS: list[Callable[[Any], Any]] = [percent, duration, seconds, threshold, kubernetes_quantity]


@given(st.one_of(st.text(), st.text("0123456789.-+%eEmshdpKMGi "), st.integers(), st.floats()))
@settings(SAME, max_examples=1000)
def test_anything_else_is_a_value_error(value: Any) -> None:
    for parser in PARSERS:
        with suppress(ValueError):
            assert parser(value) is not None
