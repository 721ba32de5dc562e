"""Counts of requests: Poisson, what one measurement of them says, and with what probability.

Errors and other requests of a Poisson process are independent Poisson counts. For each count of errors the counts of
the others that are bad (or good) are those below (or above) one bound, which the release's own rule gives. So the
probabilities are exact, but for rounding and for what is further than `SIGMAS` from the mean.
"""

import math
from array import array
from bisect import bisect_left
from functools import lru_cache
from itertools import accumulate
from typing import Literal, NamedTuple

from canaryfleet.engines.argo_rollouts.course import Watch
from canaryfleet.evidence import Rule, Word

Kind = Literal["errors", "successes"]
SIGMAS = 10  # less than 1e-20 is beyond


class Poisson:
    """Counts with a mean: their cumulative probabilities, and a draw by inverting them."""

    def __init__(self, mean: float) -> None:
        spread = SIGMAS * math.sqrt(mean)
        self.first = max(0, math.floor(mean - spread))
        term = math.exp(self.first * math.log(mean) - mean - math.lgamma(self.first + 1)) if mean else 1.0
        terms = [term]
        for count in range(self.first + 1, math.ceil(mean + spread + 2 * SIGMAS) if mean else 0):
            term *= mean / count
            terms.append(term)
        total = math.fsum(terms)
        self.terms = array("d", [item / total for item in terms])
        self.table = array("d", accumulate(self.terms))

    def at_most(self, count: int) -> float:
        """The probability of no more than `count`."""
        if count < self.first:
            return 0.0
        return self.table[min(count - self.first, len(self.table) - 1)]

    def draw(self, chance: float) -> int:
        """The count at a quantile."""
        return self.first + min(bisect_left(self.table, chance), len(self.table) - 1)


poisson = lru_cache(maxsize=512)(Poisson)


class Meter(NamedTuple):
    """A metric that is a share of failed requests, or of the others, as one analysis measures it."""

    watch: Watch
    rule: Rule
    kind: Kind

    def word(self, errors: int, others: int) -> Word:
        """What a window with so many requests says; too few say nothing (metrics.py, `_guarded`)."""
        return "neither" if errors + others < self.least else self.judge(errors, others)

    def judge(self, errors: int, others: int) -> Word:
        """The same of some requests, however few."""
        share = errors / (errors + others)
        return self.rule.word(share if self.kind == "errors" else 1 - share)

    @property
    def least(self) -> int:
        """Requests of which the metric has a value; of none it has no number."""
        return max(1, self.rule.metric.minimumSamples)


class Chances(NamedTuple):
    """What one measurement says, by probability; the rest is neither."""

    bad: float
    good: float


def chances(meter: Meter, requests: float, failing: float) -> Chances:
    """Of a window with so many requests in the mean, of which a share fails: exact but for rounding."""
    errors, others = poisson(requests * failing), poisson(requests * (1 - failing))
    bad = good = 0.0
    for place, term in enumerate(errors.terms):
        count = errors.first + place
        few = others.at_most(meter.least - count - 1)  # of all together
        bad += term * max(0.0, others.at_most(_bound(meter, count, others, "bad")) - few)
        below = _bound(meter, count, others, "good")
        good += term * (1 - max(few, others.at_most(below)))
    return Chances(min(1.0, bad), max(0.0, good))


def _bound(meter: Meter, errors: int, others: Poisson, word: Word) -> int:
    """The largest count of other requests that is still bad; for good, that is not yet good."""

    def beyond(count: int) -> bool:
        said = meter.judge(errors, count) if errors + count else "neither"
        return said == "good" if word == "good" else said != "bad"

    low, high = others.first - 1, others.first + len(others.terms)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return low
