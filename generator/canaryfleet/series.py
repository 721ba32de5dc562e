"""What was measured of a release on a cluster, metric by metric over time: what the page draws.

Only runs that a verdict may rest on are drawn (`case.Case.attempt`), and each measurement with what it proves.
"""

from collections.abc import Iterator
from itertools import groupby

from canaryfleet.case import Case, Expected
from canaryfleet.evidence import Contradiction, Judged, number
from canaryfleet.models.observation import Measurement, Observation, Run
from canaryfleet.models.release import GUARD, TWIN
from canaryfleet.models.report import Point, Series
from canaryfleet.verdict import FRESH

Found = tuple[str, Judged, Run]


def series(seen: Observation, expected: Expected) -> tuple[Series, ...]:
    """The metrics in order of their names; none of a cluster that was not read, or has something else."""
    live = seen.live
    if seen.unread or live is None or live.release != expected.release.id or live.pod is None:
        return ()
    if expected.cluster not in expected.release.clusters:
        return ()
    case = Case(seen, expected, seen.ended, FRESH)
    found = sorted(_metrics(case), key=lambda item: item[0])
    return tuple(_series(name, list(group)) for name, group in groupby(found, key=lambda item: item[0]))


def _metrics(case: Case) -> Iterator[Found]:
    """Each metric of each run; a run whose measurements contradict their thresholds has none."""
    for run in case.attempt:
        try:
            judged = case.judged(run)
        except (Contradiction, OverflowError):
            continue
        for name, item in judged.items():
            yield name.removesuffix(GUARD), item, run


def _series(name: str, found: list[Found]) -> Series:
    """One metric of all runs. The promote threshold is that of the runs that have to prove it, if any has."""
    metric = found[0][1].rule.metric
    strict = any(item.rule.strict for _, item, _ in found)
    points = [_point(one, word) for _, item, _ in found for one, word in item.words if one.ended]
    twins = [
        _point(one, "neither")
        for _, _, run in found
        for other in run.metrics
        if other.name == name + TWIN and other.dryRun
        for one in other.measurements
        if one.ended
    ]
    return Series(
        name=name,
        promote=metric.promote if strict else None,
        rollback=metric.rollback,
        points=tuple(sorted(points, key=lambda point: point.at)),
        stable=tuple(sorted(twins, key=lambda point: point.at)),
    )


def _point(one: Measurement, word: str) -> Point:
    assert one.ended is not None
    return Point(at=one.ended, value=number(one.value), word=word)  # type: ignore[arg-type]
