"""Whether the canary fails more often than the stable version, by their counts: a sequential test in PromQL.

After Lindon and Malek (arXiv 2011.03567), for rare failures. Where versions fail equally often, each failure is the
canary's with the probability of its share of the requests; where the canary fails k times as often, with k times
the odds. The product of the likelihood ratios of all failures, as a mean over several k, is an e-value: its mean never
grows while the canary is no worse, so it ever reaches 1/alpha with a probability of at most alpha (Ville), however
often one looks. It needs four counts a window: no model of the traffic, none of how failures vary with time as
long as they vary for both versions, and no memory but Prometheus': shares may change from window to window.

With x of n requests failed of the canary and y of m of the stable version, g = 1 + margin:
    ln E_k = sum over windows of  x ln k - (x + y) ln((k g n + m) / (g n + m)),    E = mean over k of E_k
Windows overlap, since an increase over one extrapolates what its first and last scrapes don't see, and only the mean
over windows is exact: each counts for its part, `every / window`. So what is compared with 1/alpha is the mean of ln E
over the last window, which is never above the greatest of them: the bound holds. A window is short, since inside it
the canary's share has to be one.
"""

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

from canaryfleet.models.canary import Analysis, Step
from canaryfleet.quantity import duration, go_duration

RATIOS = (
    "1.5",
    "2",
    "4",
    "8",
    "16",
)  # how many times as often it may fail: of the mixture, with equal weights
MOST = 20  # of ln E: an exponential that no float overflows, and far beyond any 1/alpha
DOUBT = 3  # below it evidence is not worth more than a bare mention (Kass and Raftery 1995, Bayes factors)
ALPHA = (Decimal("0.0001"), Decimal("0.2"))  # least and most
PARTS = 4  # of a window, which begin a window each
LONGEST = 86_400  # seconds that a test looks back at most; a canary that waits for a person has no end
KIND, UNIT = "sequential", "e-value"


class Counts(NamedTuple):
    """PromQL that counts over one window: failed and all requests of the canary, and of the stable version."""

    canary_failed: str
    canary: str
    stable_failed: str
    stable: str


class Sequential(NamedTuple):
    """What is tested: PromQL template of the failed requests of a version; times are in seconds."""

    failures: str
    margin: Decimal
    window: int
    reach: int


def limit(alpha: Decimal) -> Decimal:
    """The e-value from which on it is proven, with at most `alpha` false alarms."""
    return (1 / alpha).to_integral_value(ROUND_CEILING)


def reach(steps: Sequence[Step], analysis: Analysis) -> int:
    """Seconds from the first weight step to the end of the canary, if each step is measured as long as may be."""
    slowest = max(
        (duration(m.interval or analysis.interval) * (m.count or analysis.count) for m in analysis.metrics),
        default=Decimal(0),
    )
    first = next((index for index, step in enumerate(steps) if step.weight is not None), len(steps))
    total = duration(analysis.window)
    for step in steps[first:]:
        total += Decimal(LONGEST) if step.for_ == "manual" else duration(step.for_ or "0")
        total += slowest if step.weight is not None else 0
    return min(LONGEST, int(total))


def e_value(counts: Counts, test: Sequential) -> str:
    """PromQL of the e-value; empty where no window has requests of both versions."""
    every = max(1, test.window // PARTS)
    ratios = " or ".join(f'label_replace(vector({k}), "ratio", "{k}", "", "")' for k in RATIOS)
    factor = f"{1 + test.margin:f} * " if test.margin else ""
    canary, stable = f"({factor}sum({counts.canary}) > 0)", f"(sum({counts.stable}) > 0)"
    failed, others = (f"(sum({text}) or vector(0))" for text in (counts.canary_failed, counts.stable_failed))
    odds = f"(({ratios}) * on() group_left() {canary} + on() group_left() {stable})"
    share = f"{odds} / on() group_left() ({canary} + {stable})"
    window = (
        f"{failed} * on() group_right() ln({ratios}) - ({failed} + {others}) * on() group_right() ln({share})"
    )
    total = f"sum_over_time(({window})[{go_duration(test.reach)}:{go_duration(every)}])"
    return f"avg(exp(clamp_max({total} * {every} / {test.window}, {MOST})))"
