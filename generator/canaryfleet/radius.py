"""The blast radius: what many simulated runs of a release say together, by wave, and what each threshold notices."""

import math
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from canaryfleet.engines.argo_rollouts.course import Course, Stage
from canaryfleet.forecast import Chance, Run, Subject, cluster, meters, run
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.forecast import Assumptions, Estimate, Forecast, ThresholdForecast, WaveForecast
from canaryfleet.models.release import ReleaseWave
from canaryfleet.poisson import Meter, chances

NORMAL = 1.96  # of a normal distribution, 95 % are within so many standard deviations


def forecast(
    subject: Subject, runs: int, seed: int, chance: Chance, progress: Callable[[int], None] = lambda _: None
) -> Forecast:
    """Simulate so many runs. `progress` is told how many are done; `seed` is only written down."""
    found: list[Run] = []
    for done in range(runs):
        progress(done)
        found.append(run(subject, chance))
    assumed = subject.assumed
    shares = [_share(item) for item in found]
    measured = {metric.name for metric in subject.release.metrics}
    return Forecast(
        apiVersion=API_VERSION,
        kind="Forecast",
        app=subject.release.metadata.name,
        release=subject.release.id,
        assumptions=Assumptions(
            rate=assumed.rate, baseline=assumed.baseline, errorsTimes=assumed.times, after=assumed.after,
            reaction=assumed.reaction, startup=assumed.startup, runs=runs, seed=seed,
        ),
        waves=tuple(_wave(wave.name, found) for wave in subject.release.waves),
        held=probability(sum(item.kind == "held" for item in found), runs),
        missed=probability(sum(item.kind == "missed" for item in found), runs),
        share=mean(shares),
        shareP95=p95(shares),
        canary=mean([item.met / item.canary if item.canary else 0.0 for item in found]),
        thresholds=tuple(_thresholds(subject, runs, chance)),
        unknown=tuple(sorted(measured - subject.known.keys())),
        manual=subject.course.manual,
    )  # fmt: skip


def _share(item: Run) -> float:
    return item.met / item.requests if item.requests else 0.0


def _wave(name: str, runs: Sequence[Run]) -> WaveForecast:
    mine = [item for item in runs if item.wave == name]
    stopped = probability(len(mine), len(runs))
    if not mine:
        return WaveForecast(wave=name, stopped=stopped)
    shares, times = [_share(item) for item in mine], [item.seconds for item in mine]
    return WaveForecast(
        wave=name,
        stopped=stopped,
        share=mean(shares),
        shareP95=p95(shares),
        requests=mean([item.met for item in mine]),
        seconds=mean(times),
        secondsP95=p95(times),
    )


# Estimates


def probability(hits: int, runs: int) -> Estimate:
    """A share of the runs, with the interval of Agresti and Coull: that of 0 of 100 is not nothing."""
    total = runs + NORMAL**2
    centre = (hits + NORMAL**2 / 2) / total
    wide = NORMAL * math.sqrt(centre * (1 - centre) / total)
    value = hits / runs
    return Estimate(value=value, error=max(abs(centre - wide - value), abs(centre + wide - value)))


def mean(values: Sequence[float]) -> Estimate:
    """The mean, with 1.96 standard errors; of a single value nobody knows the error."""
    middle = math.fsum(values) / len(values)
    if len(values) < 2:
        return Estimate(value=middle, error=abs(middle))
    spread = math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1)
    return Estimate(value=middle, error=NORMAL * math.sqrt(spread / len(values)))


def p95(values: Sequence[float]) -> float:
    """The value that 95 % of the values do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


# What each threshold notices


def _thresholds(subject: Subject, runs: int, chance: Chance) -> Iterator[ThresholdForecast]:
    for wave in subject.release.waves:
        if not wave.members:
            continue
        sizes = sorted(wave.members, key=lambda name: (subject.rates[name], name))
        name = sizes[(len(sizes) - 1) // 2]
        for stage, alone in _alone(subject.course, wave):
            yield from _stage(subject._replace(course=alone), wave, name, stage, runs, chance)


def _alone(course: Course, wave: ReleaseWave) -> Iterator[tuple[str, Course]]:
    """Each stage that has requests by itself, and the bake."""
    for index, stage in enumerate(course.stages):
        if stage.weight and (stage.analysis or (stage.pause and course.watched <= index)):
            background = course.background if course.watched <= index else ()
            yield stage.name, Course((stage,), background, 0, {})
    if wave.name in course.bakes:
        yield "bake", Course((), (), 0, {wave.name: course.bakes[wave.name]})


def _stage(
    subject: Subject, wave: ReleaseWave, name: str, label: str, runs: int, chance: Chance
) -> Iterator[ThresholdForecast]:
    """What the metrics of a stage notice. It is over when it would be held."""
    short = replace(wave, progressDeadline="1s")
    at_once = subject._replace(assumed=subject.assumed._replace(after=0.0))
    weight = subject.course.stages[0].weight if subject.course.stages else 100
    for metric, meter in _meters(subject, wave).items():
        single = at_once._replace(known={metric: meter.kind})
        hits = sum(cluster(single, short, name, chance).kind == "failed" for _ in range(runs))
        requests = subject.rates[name] * weight / 100 * meter.watch.window
        yield ThresholdForecast(
            wave=wave.name,
            stage=label,
            metric=metric,
            rollback=meter.rule.metric.rollback,
            cluster=name,
            requests=requests,
            measurement=chances(meter, requests, subject.assumed.faulty).bad,
            falseAlarm=chances(meter, requests, subject.assumed.baseline).bad,
            stageNotices=probability(hits, runs),
        )


def _meters(subject: Subject, wave: ReleaseWave) -> dict[str, Meter]:
    """One meter of each metric: of the analysis at the stage's end, else of what watches it."""
    course = subject.course
    stage: Stage | None = course.stages[0] if course.stages else None
    judged = meters(subject, stage.analysis, "steps") if stage else []
    watched = meters(subject, course.background, "steps" if subject.blue else "background")
    baked = meters(subject, course.bakes.get(wave.name, ()), "bake")
    return {item.rule.metric.name: item for item in (*baked, *watched, *judged)}
