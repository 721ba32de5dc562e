"""How far a share of random requests may lie from what it should be, before a test calls it wrong."""

import math

CHANCE = 1e-9
"""Of one check to fail though all is right. The suite makes less than 200 checks a run, so that less than one
run in five million fails by chance (200 x 1e-9 = 2e-7)."""


def bounds(requests: int, share: float, chance: float = CHANCE) -> range:
    """The counts that a share of so many independent requests may give; others have less than `chance`.

    Exact: the binomial distribution's tails are summed up from both ends, half the chance each.
    """
    if share in {0.0, 1.0}:
        only = round(requests * share)
        return range(only, only + 1)
    return range(_tail(requests, share, chance / 2), requests - _tail(requests, 1 - share, chance / 2) + 1)


def _tail(requests: int, share: float, chance: float) -> int:
    """The least count that is not within the lower tail of this probability."""
    total, count = 0.0, 0
    while (total := total + _probability(requests, share, count)) < chance:
        count += 1
    return count


def _probability(requests: int, share: float, count: int) -> float:
    ways = math.lgamma(requests + 1) - math.lgamma(count + 1) - math.lgamma(requests - count + 1)
    return math.exp(ways + count * math.log(share) + (requests - count) * math.log1p(-share))
