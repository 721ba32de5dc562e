"""What proves a version: metrics that prove nothing, look away, or can't decide."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from canaryfleet import presets
from canaryfleet.advice import chance
from canaryfleet.advice.subject import Path, Subject, warning
from canaryfleet.errors import Issue
from canaryfleet.metrics import BACKGROUND, PREVIEW, SELF_JUDGING, STEPS, Measure
from canaryfleet.models.canary import Canary, Metric, Step
from canaryfleet.models.fleet import QUOTED
from canaryfleet.quantity import duration, go_duration, threshold
from canaryfleet.thresholds import BOUNDS, bounds, is_share
from canaryfleet.variables import names

RANGE = re.compile(r"\[\s*((?:[0-9]+(?:ms|[smhdwy]))+)\s*[\]:]")  # of PromQL; of a subquery the first part
PART = re.compile(r"([0-9]+)(ms|[smhdwy])")
UNIT = {
    "ms": "0.001",
    "s": "1",
    "m": "60",
    "h": "3600",
    "d": "86400",
    "w": "604800",
    "y": "31536000",
}  # seconds
MOST_FAIL = Decimal("0.5")  # no version is good of which most requests fail
PATIENT = Decimal(600)  # seconds for which nobody needs a reason, however short the steps are
PLAIN_SECONDS = 60  # who writes 500 without a unit thinks of milliseconds
COUNTS = ("rate(", "increase(")  # what a share of requests is divided from


def nothing_counted(subject: Subject) -> Iterator[Issue]:
    """CF310: neither a count of requests nor a comparison; Kayenta compares by itself."""
    measures = subject.plan.measures
    if any(item.minimum or item.compared or item.test or item.provider == "kayenta" for item in measures):
        return
    what = (
        "no metric compares with the stable version or counts requests: a version that nobody asked is good"
    )
    yield warning(
        ("analysis", "metrics") if measures else ("analysis",),
        "CF310",
        what if measures else "nothing is measured: a version that fails every request goes on to all users",
        "add {preset: istio/error-rate, promoteBelow: 0.5%, rollbackAbove: 2%} with a minimumSamples",
    )


def nothing_rolls_back(subject: Subject) -> Iterator[Issue]:
    """CF313: no threshold that proves a version bad."""
    measures = subject.plan.measures
    if measures and not any(item.rollback or item.test or item.provider in SELF_JUDGING for item in measures):
        yield warning(
            ("analysis", "metrics"),
            "CF313",
            "no metric has a rollback threshold: whatever is measured, a bad version keeps its users",
            "say what is bad: `rollbackAbove`, or `rollbackBelow` where higher is better",
        )


def out_of_scale(subject: Subject) -> Iterator[Issue]:
    """CF314: a threshold in another unit than was meant: everything is promoted by it, or nothing rolled back."""
    metrics = subject.plan.inputs.spec.analysis.metrics
    for index, (metric, measure) in enumerate(zip(metrics, subject.plan.measures, strict=True)):
        if measure.compared or measure.test:
            continue
        for name, text in zip(BOUNDS, bounds(metric), strict=True):
            condition = measure.promote if name.startswith("promote") else measure.rollback
            said = None if text is None or condition is None else _never(metric, name, text, condition.number)
            if said:
                yield warning(
                    ("analysis", "metrics", index, name), "CF314", f"{measure.name}: {said[0]}", said[1]
                )
                break


def _never(metric: Metric, name: str, text: str | float, limit: Decimal) -> tuple[str, str] | None:
    """What is wrong with a threshold, and what to write instead; None if it can be meant."""
    preset = presets.find(metric.preset) if metric.preset else None
    number, unit = threshold(text)
    if is_share(metric, preset):
        remedy = "write a smaller share" if unit else f"write {text}%, or a number between 0 and 1"
        fails = metric.failures if preset is None else preset.failures
        if name == "promoteBelow" and limit >= 1:
            return f"{text} is 100% or more, so nearly everything is below it, and promoted", remedy
        if name == "promoteBelow" and fails and limit > MOST_FAIL:
            return f"a version of which {limit:.0%} fail is promoted", remedy
        if name == "rollbackAbove" and limit >= 1:
            return f"no share is greater than 100%, so {text} never proves a version bad", remedy
        if name == "rollbackBelow" and limit <= 0:
            return f"no share is less than 0, so {text} never proves a version bad", remedy
    elif (metric.unit or (preset and preset.unit)) == "seconds" and not unit and number >= PLAIN_SECONDS:
        return f"{text} without a unit is {text} seconds", f"write {text}ms, or {text}s if that is meant"
    return None


def too_patient(subject: Subject) -> Iterator[Issue]:
    """CF315: failures that are let pass for longer than a step: a version that is bad each time keeps its users."""
    spec = subject.plan.inputs.spec
    most = max(_longest(spec.exposure.steps), PATIENT)
    said: set[Path] = set()
    for index, (metric, measure) in enumerate(zip(spec.analysis.metrics, subject.plan.measures, strict=True)):
        own = metric.failureLimit is not None
        at: Path = ("analysis", "metrics", index, "failureLimit") if own else ("analysis", "failureLimit")
        interval = duration(measure.limits.interval)
        lasts = measure.limits.failure * interval
        if lasts <= most or at in said or {STEPS, BACKGROUND}.isdisjoint(measure.during):
            continue
        said.add(at)
        fits = int(most // interval)
        less = f"`failureLimit: {fits}` is {go_duration(int(fits * interval))}" if fits else "failureLimit: 0"
        yield warning(
            at,
            "CF315",
            f"a version that is bad whenever {measure.name} is measured keeps its users for {go_duration(int(lasts))}",
            f"{less}; or measure more often",
        )


def looks_away(subject: Subject) -> Iterator[Issue]:
    """CF311: a fixed range that is shorter than a step, or measurements further apart than they look back."""
    spec = subject.plan.inputs.spec
    longest = _longest(spec.exposure.steps)
    for index, (metric, measure) in enumerate(zip(spec.analysis.metrics, subject.plan.measures, strict=True)):
        at = ("analysis", "metrics", index)
        for field in ("query", "samples"):
            short = min(_ranges(getattr(metric, field) or ""), default=None)
            if short is not None and STEPS in measure.during and short < longest:
                yield warning(
                    (*at, field),
                    "CF311",
                    f"it looks back {go_duration(int(short))}, and judges a step of {go_duration(int(longest))}",
                    "write `[$(window)]`: it is as long as the step",
                )
        far = duration(measure.limits.interval)
        if (
            BACKGROUND in measure.during
            and "window" in names(measure.query)
            and far > duration(spec.analysis.window)
        ):
            yield warning(
                (*at, "interval") if metric.interval else ("analysis", "interval"),
                "CF311",
                f"{measure.name} is measured every {measure.limits.interval} and looks back {spec.analysis.window}",
                f"measure every {spec.analysis.window}, or let `analysis.window` be {measure.limits.interval}",
            )


def _longest(steps: Sequence[Step]) -> Decimal:
    """Seconds of the longest step that is judged, as far as they say it."""
    judged = (step.for_ for step in steps if step.weight and step.for_ and step.for_ != "manual")
    return max((duration(length) for length in judged), default=Decimal(0))


def _ranges(query: str) -> list[Decimal]:
    """Seconds of the fixed ranges of a query."""
    return [
        sum((Decimal(number) * Decimal(UNIT[unit]) for number, unit in PART.findall(text)), Decimal(0))
        for text in RANGE.findall(QUOTED.sub("", query))
    ]


def lottery(subject: Subject) -> Iterator[Issue]:
    """CF312: thresholds that so few samples can't tell apart, and quantiles of so few that one request decides."""
    spec = subject.plan.inputs.spec
    steps = 1 if spec.exposure.blueGreen else sum(step.weight is not None for step in spec.exposure.steps)
    for index, (metric, measure) in enumerate(zip(spec.analysis.metrics, subject.plan.measures, strict=True)):
        if not measure.minimum or {STEPS, PREVIEW}.isdisjoint(measure.during):
            continue
        at = _where(spec, index)
        if metric.quantile is not None and measure.minimum * (1 - metric.quantile) < 1 - 1e-9:
            wanted = round(1 / (1 - metric.quantile))
            yield warning(
                at,
                "CF312",
                f"{measure.name} of {measure.minimum} requests is their slowest one: one request decides",
                f"minimumSamples: {wanted}, or more",
            )
        elif _is_share_of_requests(metric, measure):
            yield from _unfair(at, measure, max(1, steps))


def _where(spec: Canary, index: int) -> Path:
    own = spec.analysis.metrics[index].minimumSamples is not None
    return ("analysis", "metrics", index, "minimumSamples") if own else ("analysis", "metrics", index)


def _is_share_of_requests(metric: Metric, measure: Measure) -> bool:
    """Whether the value is a count of some requests by the count of all: other shares are not binomial."""
    preset = presets.find(metric.preset) if metric.preset else None
    counted = " / " in " ".join(measure.query.split()) and any(name in measure.query for name in COUNTS)
    return counted and not measure.compared and is_share(metric, preset)


def _unfair(at: Path, measure: Measure, steps: int) -> Iterator[Issue]:
    shares = _bad_shares(measure)
    if shares is None:
        return
    good, bad = shares
    found = chance.odds(measure.minimum, good, bad, steps)
    if found.fair:
        return
    times = "the step" if steps == 1 else f"all {steps} steps"
    said = f"a version at its rollback threshold passes {times} in {found.missed:.0%} of the cases"
    if found.missed <= chance.MISSED:
        said = f"a version at its promote threshold is rolled back in {found.alarmed:.0%} of the cases"
    wanted = chance.enough(good, bad, steps)
    yield warning(
        at,
        "CF312",
        f"with {measure.minimum} requests a step, {said} ({measure.name}: {measure.promote}, {measure.rollback})",
        f"minimumSamples: {wanted} tells them apart" if wanted else "set the thresholds further apart",
    )


def _bad_shares(measure: Measure) -> Sequence[Decimal] | None:
    """Share of bad requests below which it is promoted, and above which it is rolled back."""
    if measure.promote is None or measure.rollback is None:
        return None
    shares = [measure.promote.number, measure.rollback.number]
    if measure.promote.operator == ">":
        shares = [1 - share for share in shares]
    return shares if 0 <= shares[0] <= shares[1] < 1 and shares[1] > 0 else None
