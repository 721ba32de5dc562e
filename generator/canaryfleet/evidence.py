"""What measurements prove, by the release's own thresholds: recomputed, whatever a phase says.

For any engine. The controller's own judgement of a measurement has to agree with the recomputed one:
where it does not, the run was judged by other thresholds than the release's, and proves nothing.
"""

import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Literal, NamedTuple

from canaryfleet.models.observation import Measured, Measurement, MetricEvidence, Run
from canaryfleet.models.release import GUARD, TWIN, Release, ReleaseMetric

Word = Literal["good", "bad", "neither"]
PHASES: dict[str, Word] = {"Successful": "good", "Failed": "bad"}
CONDITION = re.compile(r"([<>]) (-?[0-9]+(?:\.[0-9]+)?)")
_NUMBER = r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
NUMBER = re.compile(rf"\[({_NUMBER})\]|\"?({_NUMBER})\"?")
GO_STRUCTS = re.compile(r"\[\{[A-Za-z]\w*:")
COMPARE: dict[str, Callable[[float, float], bool]] = {"<": operator.lt, ">": operator.gt}
DRIFT = timedelta(seconds=5)  # objects are dated by API servers, what happens to them by the controller
RESOLUTION = timedelta(
    seconds=1
)  # of the difference of two timestamps of the cluster, which have whole seconds
BESIDE = timedelta(minutes=1)  # one pass of the controller measures both; an error has its retry 10 s later


class Contradiction(Exception):
    """A measurement says something else than its controller made of it, or a threshold says nothing."""


class Rule(NamedTuple):
    """A metric in one kind of run; `strict`: good needs the promote threshold, not only no rollback."""

    metric: ReleaseMetric
    strict: bool

    @property
    def self_judging(self) -> bool:
        """A job or a judge of its own: there is no number, the measurement's own outcome is all there is."""
        return self.metric.promote is None and self.metric.rollback is None

    def word(self, value: float) -> Word:
        """What one number means: failure first, as the controller has it (argo-rollouts.md B)."""
        if _holds(self.metric.rollback, value):
            return "bad"
        enough = not self.strict or self.metric.promote is None or _holds(self.metric.promote, value)
        return "good" if enough else "neither"


def rules(release: Release, role: str) -> dict[str, Rule]:
    """The release's metrics in runs of a role, by their names in the run.

    Only steps and preview promote; background, guard and bake look for proof of bad (analysis.py, _conditions).
    """
    strict = role in ("steps", "preview")
    watched = role == "steps" and release.strategy == "blueGreen"
    guards = {
        item.name + GUARD: Rule(item, strict=False)
        for item in release.metrics
        if watched and "background" in item.during
    }
    return guards | {item.name: Rule(item, strict) for item in release.metrics if role in item.during}


def needed(release: Release, role: str) -> frozenset[str]:
    """Names of the metrics that a run of this role has to prove."""
    return frozenset(item.name for item in release.metrics if role in item.during)


def _holds(condition: str | None, value: float) -> bool:
    if condition is None:
        return False
    compare, bound = _comparison(condition)
    return compare(value, bound)


@lru_cache(maxsize=1024)
def _comparison(condition: str) -> tuple[Callable[[float, float], bool], float]:
    found = CONDITION.fullmatch(condition)
    if found is None:
        raise Contradiction(f"the release's condition {condition!r} is none")
    # a float, as the controller compares; the same text gives the same float there
    return COMPARE[found[1]], float(found[2])


def number(value: str | None) -> float | None:
    """The one finite number in a measurement's value: `[0.1]` of Prometheus, or `0.1`; None if it is none.

    Several series are no answer (metrics.py, RESULTS): nothing says which one is meant.
    """
    found = NUMBER.fullmatch(value or "")
    said = float(found[1] or found[2]) if found else math.nan
    return said if math.isfinite(said) else None


def _is_object(text: str) -> bool:
    """JSON with an object, or Go's notation of a list of structs (CloudWatch: `%+v`, cloudwatch.go)."""
    if "{" not in text or GO_STRUCTS.match(text):
        return "{" in text
    try:
        found = json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict | list)


def _no_json(constant: str) -> None:
    """NaN and Infinity are Python's JSON and not Go's: the controller takes what holds one for a success, unasked."""
    raise ValueError(constant)


def word(rule: Rule, item: Measurement) -> Word:
    """What one measurement proves. Raises Contradiction if its phase is not what its value gives.

    Without a number to compare, or with an object that the provider's own expression picks it from (which
    the release does not record), the measurement's outcome is all there is; never the run's. What is no object
    either, such as a login page, the web provider calls Successful without asking a condition (webmetric.go).
    """
    if item.ended is None or item.phase == "Error":
        return "neither"
    called = PHASES.get(item.phase, "neither")
    if rule.self_judging or _is_object(item.value or ""):
        return "neither" if item.terminated else called
    found = number(item.value)
    said = "neither" if found is None else rule.word(found)
    if said != called:
        raise Contradiction(f"{rule.metric.name} is {item.value} and was called {item.phase}")
    return said


class Judged(NamedTuple):
    """One metric of a run, and what each of its measurements proves."""

    rule: Rule
    seen: Measured
    words: tuple[tuple[Measurement, Word], ...]

    def only(self, since: datetime | None) -> "Judged":
        """Without the measurements that began before a moment."""
        return self._replace(
            words=tuple(item for item in self.words if since and item[0].began and item[0].began >= since)
        )

    @property
    def run_of_good(self) -> list[Measurement]:
        """The good measurements in a row at the end; an error between them ends the row, as in the controller."""
        row: list[Measurement] = []
        for item, said in self.words:
            if item.ended is not None:
                row = [*row, item] if said == "good" else []
        return row

    @property
    def beyond(self) -> Measurement | None:
        """The measurement with which it went beyond what is let pass; None if it did not."""
        return self.beyond_but(lambda _: False)

    def beyond_but(self, excused: Callable[[Measurement], bool]) -> Measurement | None:
        """The same without the bad ones that are excused.

        Those that are no longer kept are in the counter; the proof itself has to be there.
        """
        bad = [item for item, said in self.words if said == "bad" and not excused(item)]
        lost = max(0, self.seen.failed - sum(item.phase == "Failed" for item in self.seen.measurements))
        over = self.seen.failureLimit - lost
        return bad[min(max(0, over), len(bad) - 1)] if len(bad) > over and bad else None

    @property
    def sound(self) -> bool:
        """Nothing speaks against it: the controller's own word on the metric, and what was measured."""
        within = self.seen.failed <= self.seen.failureLimit  # also of those that are no longer kept
        return within and self.seen.phase in ("Running", "Successful") and self.beyond is None

    @property
    def good(self) -> bool:
        """It ends with as many good ones in a row as the run asks for, and nothing speaks against it."""
        return self.sound and len(self.run_of_good) >= max(1, self.seen.successes)


def judged(release: Release, run: Run) -> dict[str, Judged]:
    """The run's metrics that the release knows, judged; a dry run decides nothing. Raises Contradiction."""
    known = rules(release, run.role)
    return {
        item.name: Judged(
            known[item.name],
            item,
            tuple((one, word(known[item.name], one)) for one in item.measurements),
        )
        for item in run.metrics
        if item.name in known and not item.dryRun
    }


def proven(release: Release, run: Run, metrics: dict[str, Judged]) -> bool:
    """Whether a run of steps or preview proves all that it has to, with as many good ones in a row as it asks for.

    A run that was told to stop reads Successful without a measurement (argo-rollouts.md D5); so it never does.
    """
    over = run.phase == "Successful" and not run.terminated
    asked = needed(release, run.role)
    guards = [(name, item) for name, item in metrics.items() if name.endswith(GUARD)]
    good = _all(asked, metrics, lambda item: item.only(run.created - DRIFT).good)
    return over and good and all(_looked(item, name.removesuffix(GUARD) in asked) for name, item in guards)


def watched(release: Release, run: Run, metrics: dict[str, Judged]) -> bool:
    """Whether a background run looked: it may be told to stop, but every metric was measured (D5)."""
    elsewhere = needed(release, "steps")

    def looked(item: Judged) -> bool:
        return _looked(item.only(run.created - DRIFT), item.seen.name in elsewhere)

    under_way = run.phase in ("Running", "Successful")
    return under_way and _all(needed(release, "background"), metrics, looked)


def _looked(item: Judged, elsewhere: bool) -> bool:
    """Whether a metric that looks for proof of bad was measured; good at its end, if nothing else measures it."""
    return item.seen.count > 0 if elsewhere else item.good


def alone(release: Release) -> bool:
    """Whether something is measured in the background of a canary, and in no step."""
    return not needed(release, "background") <= needed(release, "steps")


def _all(names: frozenset[str], metrics: dict[str, Judged], test: Callable[[Judged], bool]) -> bool:
    """All that are asked for are there and pass, and nothing speaks against any other."""
    passed = all(name in metrics and test(metrics[name]) for name in names)
    return passed and all(item.sound for item in metrics.values())


def covered(judged: Judged) -> timedelta:
    """How long the good measurements at the end stand for: n of them are n intervals.

    One alone stands for its interval, which nothing measured: for `baked` to decide.
    """
    row = judged.run_of_good
    times = [item.began for item in row if item.began]
    if len(times) < 2:
        return timedelta(0)
    return (max(times) - min(times) + RESOLUTION) * len(times) / (len(times) - 1)


def baked(judged: Judged, least: timedelta) -> bool:
    """Whether a metric of the bake was good in a row for `minSuccessTime`; see `_bake_metric` in analysis.py."""
    single = judged.seen.successes == 1  # one interval is longer than the time asked for
    return judged.good and (single or covered(judged) >= least)


def beside(run: Run, name: str, item: Measurement) -> Measurement | None:
    """What the same run measured of the stable version at the time of a measurement of the canary."""
    twin = name.removesuffix(GUARD) + TWIN
    near = [
        (abs(one.began - item.began), one)
        for metric in run.metrics
        if metric.name == twin and metric.dryRun
        for one in metric.measurements
        if one.began and item.began and number(one.value) is not None
    ]
    far, found = min(near, key=itemgetter(0), default=(BESIDE, None))
    return found if far < BESIDE else None


def stable_as_bad(run: Run, name: str, rule: Rule, item: Measurement) -> bool:
    """Whether the stable version was beyond the same threshold at the time, by half as much as the canary or more.

    Less is no excuse: a stable version that just touches the threshold is not what makes the canary bad.
    """
    twin = beside(run, name, item)
    canary, stable = number(item.value), number(twin.value) if twin else None
    threshold = CONDITION.fullmatch(rule.metric.rollback or "")
    if canary is None or stable is None or threshold is None or rule.word(stable) != "bad":
        return False
    return 2 * abs(stable - float(threshold[2])) >= abs(canary - float(threshold[2]))


def shown(
    run: Run, metrics: dict[str, Judged], deciding: Sequence[Measurement] = ()
) -> tuple[MetricEvidence, ...]:
    """The evidence of a run's judged metrics, in order of their names; of each the deciding or else the last value."""
    return tuple(_shown(run, name, metrics[name], deciding) for name in sorted(metrics))


def _shown(run: Run, name: str, item: Judged, deciding: Sequence[Measurement]) -> MetricEvidence:
    values: Iterable[Measurement] = (one for one, _ in reversed(item.words) if one.ended and one.value)
    chosen = next((one for one, _ in item.words if one in deciding), None) or next(iter(values), None)
    twin = beside(run, name, chosen) if chosen else None
    return MetricEvidence(
        name=name,
        unit=item.rule.metric.unit,
        promote=item.rule.metric.promote if item.rule.strict else None,
        rollback=item.rule.metric.rollback,
        value=chosen.value if chosen else None,
        at=chosen.ended if chosen else None,
        stable=twin.value if twin else None,
        good=sum(said == "good" for _, said in item.words),
        bad=sum(said == "bad" for _, said in item.words),
        measurements=len(item.words),
    )
