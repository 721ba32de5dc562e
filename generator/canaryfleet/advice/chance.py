"""What a number of samples can tell: binomial counts of bad requests."""

import math
from decimal import Decimal
from typing import NamedTuple

# A version at the rollback threshold that passes all steps: 5%, as is common where an error costs users. One at the
# promote threshold that goes back: 25%, for it is at the edge of good, and going back costs time.
MISSED = 0.05
ALARMED = 0.25
# What is suggested instead: numbers as people write them.
ROUND = [digit * 10**power for power in range(1, 7) for digit in (1, 2, 3, 4, 5, 6, 8)]
NORMAL = 1000  # from so much variance on, a normal distribution is as good as the sum


class Odds(NamedTuple):
    """`missed`: a bad version passes all steps. `alarmed`: a good one is rolled back in one of them."""

    missed: float
    alarmed: float

    @property
    def fair(self) -> bool:
        """Whether the thresholds can be told apart."""
        return self.missed <= MISSED and self.alarmed <= ALARMED


def odds(samples: int, good: Decimal, bad: Decimal, steps: int) -> Odds:
    """Of thresholds on a share of bad requests: promoted below `good`, rolled back above `bad`, once in each step.

    The count X of bad ones among n is binomial. A version at `bad` passes a step if X < n·good, one at `good` is
    rolled back if X > n·bad; steps see different requests.
    """
    passes = at_most(math.ceil(samples * good) - 1, samples, float(bad))
    stays = at_most(math.floor(samples * bad), samples, float(good))
    return Odds(passes**steps, 1 - stays**steps)


def enough(good: Decimal, bad: Decimal, steps: int) -> int | None:
    """The first of `ROUND` that tells two thresholds apart, None if none of them does."""
    return next((number for number in ROUND if odds(number, good, bad, steps).fair), None)


def at_most(most: int, samples: int, share: float) -> float:
    """The chance that at most so many of the samples are bad, each with the chance `share`."""
    if most < 0:
        return 0.0
    if most >= samples or share <= 0:
        return 1.0
    if share >= 1:
        return 0.0
    if share > 0.5:  # the tail of the good ones is the shorter sum
        return 1 - at_most(samples - most - 1, samples, 1 - share)
    mean, variance = samples * share, samples * share * (1 - share)
    if variance > NORMAL:
        return math.erfc((mean - most - 0.5) / math.sqrt(2 * variance)) / 2
    return min(1.0, math.fsum(_exactly(count, samples, share) for count in range(most + 1)))


def _exactly(count: int, samples: int, share: float) -> float:
    ways = math.lgamma(samples + 1) - math.lgamma(count + 1) - math.lgamma(samples - count + 1)
    return math.exp(ways + count * math.log(share) + (samples - count) * math.log1p(-share))
