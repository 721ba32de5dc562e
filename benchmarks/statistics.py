"""How often each comparison with the stable version cries wolf, and what it finds: by simulation.

    python -m benchmarks.statistics            prints the tables of docs/statistics.md (some minutes)
    python -m benchmarks.statistics --renew    writes them there

A canary gets a share of the requests, and each request fails by chance. Every minute it is looked at as the background
analysis does by default: the last five minutes for a ratio or a difference, and all of the canary for the test, by
windows of two minutes. A value beyond the rollback threshold at any look is an alarm. The random numbers of each
row depend on the seed and on the row alone.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import NamedTuple

from canaryfleet import sequential

SEED, RUNS = 2026, 1000
MINUTE = 2  # counts a minute; a window of the test begins with each
WINDOW, LOOKED_AT = 2 * MINUTE, 5 * MINUTE  # of the test by default, and `analysis.window` by default
MINIMUM = 100  # requests of each version that stand behind a value
RATIOS = tuple(map(float, sequential.RATIOS))
HOUR, DAY = 60, 24 * 60
STEPS = (0.05,) * 10 + (0.25,) * 10 + (0.5,) * 10
PAGE = Path(__file__).parent.parent / "docs" / "statistics.md"
BEGIN, END = "<!-- python -m benchmarks.statistics --renew -->\n", "<!-- end -->\n"


class Counts(NamedTuple):
    """Failed and all requests of the canary and of the stable version, in a window or half a minute."""

    canary_failed: float
    canary: float
    stable_failed: float
    stable: float


class Case(NamedTuple):
    """A canary: its share of the requests by the minute, requests a minute, how often the stable version fails, and
    how many times as often the canary does, from a minute on; in minutes of an outage both fail `outage_factor` times
    as often, and what fails does so `burst` at a time, all of one version."""

    shares: tuple[float, ...]
    requests: int
    rate: float
    effect: float = 1.0
    outage: tuple[int, int] = (0, 0)
    outage_factor: float = 20.0
    burst: int = 1
    since: int = 0

    def simulate(self, run: int) -> list[Counts]:
        """The half minutes of one canary."""
        share = self.shares[0] if len({*self.shares}) == 1 else "steps"
        rest = (self.requests, self.rate, self.effect, self.outage, self.burst, len(self.shares))
        random = Random(f"{SEED} {run} {share} {rest}")
        return [self._counts(random, at // MINUTE) for at in range(MINUTE * len(self.shares))]

    def _counts(self, random: Random, minute: int) -> Counts:
        first, last = self.outage
        rate = self.rate * (self.outage_factor if first <= minute < last else 1) / self.burst
        canary = math.floor(self.requests / MINUTE * self.shares[minute] + random.random())
        stable = self.requests // MINUTE - canary
        effect = self.effect if minute >= self.since else 1.0
        failed = _binomial(random, canary, rate * effect), _binomial(random, stable, rate)
        return Counts(failed[0] * self.burst, canary, failed[1] * self.burst, stable)


def _binomial(random: Random, number: int, chance: float) -> int:
    """How many of a number happen, by the gaps between them (Python 3.11 has no random.binomialvariate)."""
    if chance <= 0:
        return 0
    scale, at, found = math.log1p(-min(chance, 0.999)), 0, 0
    while True:
        at += int(math.log(1 - random.random()) / scale) + 1
        if at > number:
            return found
        found += 1


def windows(counts: Sequence[Counts], length: int) -> list[Counts]:
    """The last counts together, at the end of each."""
    return [
        Counts(*map(sum, zip(*counts[max(0, end - length) : end], strict=True)))
        for end in range(1, len(counts) + 1)
    ]


# What is measured of windows


def evidence(one: Counts, ratio: float, margin: float = 0.0) -> float:
    """ln of the likelihood ratio of one window, as `sequential` has it; 0 without requests of both versions."""
    n, m = (1 + margin) * one.canary, one.stable
    if not (n > 0 < m):
        return 0.0
    all_failed = one.canary_failed + one.stable_failed
    return one.canary_failed * math.log(ratio) - all_failed * math.log((ratio * n + m) / (n + m))


def mixed(logs: Sequence[float]) -> float:
    """The e-value of the ln E of each ratio."""
    return math.fsum(math.exp(min(log, sequential.MOST)) for log in logs) / len(logs)


def e_values(counts: Sequence[Counts], reach: int = 0) -> list[float]:
    """The e-value at each minute's end; `reach`: minutes that it looks back on, or all."""
    found: list[float] = []
    sums = [[0.0] * len(RATIOS)]
    for end, one in enumerate(windows(counts, WINDOW), 1):
        before = sums[-1]
        sums.append([log + evidence(one, k) / WINDOW for log, k in zip(before, RATIOS, strict=True)])
        first = sums[max(0, end - reach * MINUTE)] if reach else sums[0]
        found.append(mixed([now - then for now, then in zip(sums[-1], first, strict=True)]))
    asked = accumulate(one.canary for one in counts)
    enough = [value if number >= MINIMUM else math.nan for value, number in zip(found, asked, strict=True)]
    return enough[MINUTE - 1 :: MINUTE]


def changes(counts: Sequence[Counts], *, relative: bool) -> list[float]:
    """The ratio or the difference of the shares that failed, at each minute's end; nan: nothing may be said."""
    return [_change(one, relative=relative) for one in windows(counts, LOOKED_AT)[MINUTE - 1 :: MINUTE]]


def _change(one: Counts, *, relative: bool) -> float:
    if min(one.canary, one.stable) < MINIMUM:
        return math.nan
    canary, stable = one.canary_failed / one.canary, one.stable_failed / one.stable
    if not relative:
        return canary - stable
    return (canary - stable) / stable if stable else math.nan


def first_beyond(values: Sequence[float], limit: float) -> int | None:
    """The minute (from 1) in which a value is beyond a limit; None if none is."""
    return next((minute for minute, value in enumerate(values, 1) if value > limit), None)


# What of it is beyond a threshold

METHODS = ("test, alpha 1%", "test, alpha 5%", "+50%", "+100%", "+1pp", "+5pp")


def alarms(counts: Sequence[Counts], reach: int = 0) -> list[int | None]:
    """When each method would roll back."""
    e, ratio, difference = (
        e_values(counts, reach),
        changes(counts, relative=True),
        changes(counts, relative=False),
    )
    limits = ((e, 100.0), (e, 20.0), (ratio, 0.5), (ratio, 1.0), (difference, 0.01), (difference, 0.05))
    return [first_beyond(values, limit) for values, limit in limits]


def caught(case: Case, runs: int, reach: int = 0) -> list[list[int]]:
    """The minutes of the alarms of each method, of all runs that have one, in order."""
    found = [alarms(case.simulate(run), reach) for run in range(runs)]
    return [
        sorted(one for one in column if one is not None)
        for column in (list(item) for item in zip(*found, strict=True))
    ]


def promoted(case: Case, runs: int) -> tuple[float, float]:
    """Shares of canaries that the test (alpha 1%) takes through all steps at the first look, and that it rolls back."""
    good = bad = 0
    for run in range(runs):
        values = e_values(case.simulate(run))
        ends = [
            value
            for minute, value in enumerate(values, 1)
            if case.shares[minute - 1 : minute + 1] != (case.shares[minute - 1],) * 2
        ]
        failed = first_beyond(values, 100.0) is not None
        bad += failed
        good += not failed and all(value < sequential.DOUBT for value in ends)
    return good / runs, bad / runs


# Tables

SHARES, REQUESTS, RATES, EFFECTS = (0.05, 0.25, 0.5), (200, 2000), (0.001, 0.005, 0.05), (1.5, 2.0, 3.0, 10.0)
Row = Sequence[str]


def grid() -> Iterator[tuple[float, int, float]]:
    """Every share, number of requests a minute, and rate of failures."""
    yield from ((share, number, rate) for share in SHARES for number in REQUESTS for rate in RATES)


def false_alarm_row(share: float, number: int, rate: float, runs: int = RUNS) -> Row:
    """Of canaries that fail as often as the stable version: the share with an alarm within an hour."""
    found = caught(Case((share,) * HOUR, number, rate), runs)
    return (*_setting(share, number, rate), *(_percent(len(one) / runs) for one in found))


def power_row(share: float, number: int, rate: float, effect: float, runs: int = RUNS) -> Row:
    """Of worse ones: what each method finds within an hour, and in which minute (median)."""
    found = caught(Case((share,) * HOUR, number, rate, effect), runs)
    cells = (f"{_percent(len(one) / runs)}{f', {one[len(one) // 2]}' if one else ''}" for one in found)
    return (*_setting(share, number, rate), f"{effect:g}", *cells)


def step_row(number: int, rate: float, effect: float, runs: int = RUNS) -> Row:
    """What becomes of a canary of three steps."""
    good, bad = promoted(Case(STEPS, number, rate, effect), runs)
    return (f"{number}", f"{rate:.1%}", f"{effect:g}", *map(_percent, (good, 1 - good - bad, bad)))


HARD = {
    "nothing unusual, for a day, looked back on two hours": (Case((0.25,) * DAY, 200, 0.005), 120),
    "an outage of both versions, 5 minutes, 20 times as many failures": (
        Case((0.25,) * HOUR, 2000, 0.005, outage=(20, 25)),
        0,
    ),
    "steps of 5, 25 and 50%, nothing unusual": (Case(STEPS, 2000, 0.005), 0),
    "steps of 5, 25 and 50%, that outage from minute 5 on": (Case(STEPS, 2000, 0.005, outage=(5, 10)), 0),
    "steps of 5, 25 and 50%, that outage just as 5% become 25%": (
        Case(STEPS, 2000, 0.005, outage=(10, 15)),
        0,
    ),
    "failures come two at a time": (Case((0.25,) * HOUR, 2000, 0.005, burst=2), 0),
    "failures come five at a time": (Case((0.25,) * HOUR, 2000, 0.005, burst=5), 0),
}


def hard_row(name: str, runs: int = RUNS) -> Row:
    """False alarms where what the test assumes is not so."""
    case, reach = HARD[name]
    runs = runs if len(case.shares) < DAY else runs // 5
    return (name, *(_percent(len(one) / runs) for one in caught(case, runs, reach)))


LATE, LATE_SINCE = (
    ((200, 0.005, 10.0), (2000, 0.005, 2.0), (2000, 0.005, 3.0), (2000, 0.05, 2.0)),
    (0, 30, 60, 120),
)


def late_row(number: int, rate: float, effect: float, runs: int = RUNS // 5) -> Row:
    """Minutes (median) from when a canary turns worse until the test (alpha 1%) has found it, within two hours."""
    found = []
    for since in LATE_SINCE:
        case = Case((0.25,) * (since + 2 * HOUR), number, rate, effect, since=since)
        values = (e_values(case.simulate(run))[since:] for run in range(runs))
        taken = sorted(first_beyond(one, 100.0) or 2 * HOUR for one in values)
        found.append(f"{taken[runs // 2]}")
    return (f"{number}", f"{rate:.1%}", f"{effect:g}", *found)


def _setting(share: float, number: int, rate: float) -> Row:
    return (f"{share:.0%}", f"{number}", f"{rate:.1%}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def line(row: Row) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(row)} |"


def tables(runs: int) -> Iterator[str]:
    """The page's tables."""
    setting = ("share", "requests a minute", "failures")
    yield from _table(
        "Good canaries with an alarm within an hour",
        (*setting, *METHODS),
        (false_alarm_row(*one, runs) for one in grid()),
    )
    yield from _table(
        "Worse canaries with an alarm within an hour, and its minute (median)",
        (*setting, "times", *METHODS),
        (power_row(*one, effect, runs) for one in grid() for effect in EFFECTS),
    )
    yield from _table(
        "Steps of 5, 25 and 50%, 10 minutes each, with the test (alpha 1%)",
        (
            "requests a minute",
            "failures",
            "times",
            "goes through at once",
            "waits at a step",
            "is rolled back",
        ),
        (step_row(n, rate, k, runs) for n in REQUESTS for rate in RATES for k in (1.0, *EFFECTS)),
    )
    yield from late_table(max(1, runs // 5))
    yield from _table(
        "Good canaries with an alarm, in harder times",
        ("", *METHODS),
        (hard_row(name, runs) for name in HARD),
    )


def late_table(runs: int) -> Iterator[str]:
    """What finding takes that is needed only late."""
    return _table(
        "Minutes until the test (alpha 1%) has found what turns worse later, of 25% of the requests",
        ("requests a minute", "failures", "times", *(f"after {since} minutes" for since in LATE_SINCE)),
        (late_row(*one, runs) for one in LATE),
    )


def _table(title: str, head: Row, rows: Iterator[Row]) -> Iterator[str]:
    yield from (f"### {title}", "", line(head), line(["---"] * len(head)))
    yield from map(line, rows)
    yield ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, and print or write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="canaries of each row")
    parser.add_argument("--renew", action="store_true", help=f"write the tables into docs/{PAGE.name}")
    options = parser.parse_args(arguments)
    text = "\n".join(tables(options.runs))
    if options.renew:
        head, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        PAGE.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
