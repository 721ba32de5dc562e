"""What a number of samples can tell, held against exact sums."""

from decimal import Decimal
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet.advice import chance
from canaryfleet.advice.chance import at_most, enough, odds
from support import PROPERTY


def exactly(most: int, samples: int, share: Fraction) -> float:
    chances = (
        comb(samples, count) * share**count * (1 - share) ** (samples - count) for count in range(most + 1)
    )
    return float(sum(chances, Fraction(0)))


@PROPERTY
@given(st.integers(0, 200), st.integers(-1, 201), st.integers(0, 1000))
def test_the_sum_is_the_binomial_one(samples: int, most: int, share: int) -> None:
    wanted = exactly(min(most, samples), samples, Fraction(share, 1000)) if most >= 0 else 0
    assert at_most(most, samples, share / 1000) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.8, 0.99])
def test_the_normal_distribution_takes_over_where_it_is_as_good(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = int(1.1 * chance.NORMAL / (share * (1 - share)))
    mosts = [int(samples * share) + off for off in (-60, -30, 0, 30, 60)]
    quick = [at_most(most, samples, share) for most in mosts]
    monkeypatch.setattr(chance, "NORMAL", samples)
    assert quick == pytest.approx([at_most(most, samples, share) for most in mosts], abs=0.005)


def test_many_samples_cost_no_time() -> None:
    assert at_most(10**9, 2**31 - 1, 0.4) == pytest.approx(1)
    assert at_most(10**8, 2**31 - 1, 0.9) == pytest.approx(0)


def test_the_rule_of_three() -> None:
    """No bad one among N bounds the share by 3/N, with 95%."""
    assert odds(300, Decimal("0.001"), Decimal("0.01"), 1).missed == pytest.approx(0.05, abs=0.002)
    assert enough(Decimal("0.001"), Decimal("0.01"), 1) == 300


def test_thresholds_without_a_gap_are_never_told_apart() -> None:
    assert enough(Decimal("0.01"), Decimal("0.01"), 3) is None


@PROPERTY
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 6))
def test_what_is_suggested_is_enough(good: int, more: int, steps: int) -> None:
    low, high = Decimal(good) / 1000, Decimal(good + more) / 1000
    number = enough(low, high, steps)
    assert number is None or odds(number, low, high, steps).fair
