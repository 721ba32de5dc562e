"""How far a fault would get: requests that meet it before a release is stopped, by simulation over the release's rules.

Each cluster gets requests in proportion to its capacity, as a Poisson process; its canary gets the weight of the
stage that it is in, and of these a share fails: the baseline, and once the fault shows that times a factor. What is
counted in a measurement's window is judged by `evidence.Rule`, as often as the frozen analyses measure; which
clusters get the release, how many at once, and when it has failed too often is decided by `pointing`. Chance comes in
as a function, so the same seed gives the same forecast.

Not in it: the time of approvals, windows and pauses that wait for a person; requests by header, cookie or mirror;
metrics whose distribution nobody knows (latency, queues, drift), which are taken to be good at once.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Literal, NamedTuple

from canaryfleet import pointing
from canaryfleet.engines.argo_rollouts.course import Course, Watch
from canaryfleet.evidence import rules
from canaryfleet.models.release import Release, ReleaseWave
from canaryfleet.overlay import Pointer
from canaryfleet.pointing import State
from canaryfleet.poisson import Kind, Meter, poisson
from canaryfleet.quantity import duration

Chance = Callable[[], float]  # uniform, from 0 up to 1


class Assumed(NamedTuple):
    """What a forecast assumes.

    `rate`: requests a second of the whole fleet; `baseline`: share of them that fails anyway; `times`: by how much
    the fault multiplies that; `after`: seconds from a cluster's first requests to the new version until it shows;
    `reaction`: seconds from proof on one cluster until the bot has turned the others; `abort`: until the controller
    has turned its own; `startup`: until a cluster's pods take requests.
    """

    rate: float
    baseline: float
    times: float
    after: float
    reaction: float
    abort: float
    startup: float

    @property
    def faulty(self) -> float:
        """Share of the faulty version's requests that fail."""
        return min(1.0, self.baseline * self.times)


class Subject(NamedTuple):
    """What is forecast. `known`: the metrics that are a share of failed, or of other, requests. `rates`: requests a second.

    `state`: as long as nobody has it.
    """

    release: Release
    course: Course
    known: Mapping[str, Kind]
    state: State
    rates: Mapping[str, float]
    assumed: Assumed

    @property
    def blue(self) -> bool:
        """Whether it switches all traffic at once; its background is then watched by guards, in the steps' run."""
        return self.release.strategy == "blueGreen"


def shared(release: Release, rate: float) -> dict[str, float]:
    """Requests a second of each cluster, in proportion to their capacities."""
    sizes = {name: item.capacity for name, item in release.clusters.items()}
    whole = sum(sizes.values())
    return {name: rate * (size / whole if whole else 1 / len(sizes)) for name, size in sizes.items()}


def meters(subject: Subject, watches: Iterable[Watch], role: str) -> list[Meter]:
    """The watches of a run of a role whose distribution is known."""
    found = rules(subject.release, role)
    kinds = {name: subject.known.get(rule.metric.name) for name, rule in found.items()}
    return [
        Meter(watch, found[watch.metric], kind)
        for watch in watches
        if (kind := kinds.get(watch.metric)) is not None
    ]


# One cluster


class Outcome(NamedTuple):
    """What becomes of a release on one cluster; seconds from its first requests on.

    `turns`: from when on the canary has which percentage of the requests; `by`: stage and metric that failed.
    """

    kind: Literal["verified", "failed", "held"]
    ends: float
    turns: tuple[tuple[float, int], ...]
    by: tuple[str, str] | None = None
    bakes: bool = False


class Counting:
    """The requests to the new version on one cluster, counted at ticks of the same length."""

    def __init__(self, rate: float, unit: int, assumed: Assumed, chance: Chance, since: float = 0.0) -> None:
        self.rate, self.unit, self.assumed, self.chance, self.since = rate, unit, assumed, chance, since
        self.errors, self.others = [0], [0]

    def tick(self, weight: int) -> None:
        """Let one unit of time pass."""
        begin = self.since + (len(self.errors) - 1) * self.unit
        shown = min(1.0, max(0.0, (begin + self.unit - self.assumed.after) / self.unit))
        failing = self.assumed.baseline + shown * (self.assumed.faulty - self.assumed.baseline)
        requests = self.rate * self.unit * weight / 100
        self.errors.append(self.errors[-1] + poisson(requests * failing).draw(self.chance()))
        self.others.append(self.others[-1] + poisson(requests * (1 - failing)).draw(self.chance()))

    def within(self, window: int) -> tuple[int, int]:
        """Errors and other requests in the window that ends now."""
        start = max(0, len(self.errors) - 1 - window // self.unit)
        return self.errors[-1] - self.errors[start], self.others[-1] - self.others[start]


class Running:
    """One metric of a run under way: due again and again, until it has failed, is proven or has no more tries."""

    def __init__(self, meter: Meter, unit: int) -> None:
        self.meter, self.every = meter, max(1, meter.watch.interval // unit)
        self.age = self.taken = self.failures = self.row = 0
        self.proven = False

    @property
    def over(self) -> bool:
        """True if it measures no more."""
        most = self.meter.watch.most
        return self.proven or (most is not None and self.taken >= most)

    def measure(self, counted: Counting, *, ends: bool) -> bool:
        """Measure if it is due; True if that is one failure more than is let pass. `ends`: proof ends it."""
        due, self.age = self.age % self.every == 0 and not self.over, self.age + 1
        if not due:
            return False
        watch = self.meter.watch
        said = self.meter.word(*counted.within(watch.window))
        self.taken += 1
        self.row = self.row + 1 if said == "good" else 0
        self.failures += said == "bad"
        self.proven = ends and self.row >= watch.successes
        return self.failures > watch.failures


def cluster(subject: Subject, wave: ReleaseWave, name: str, chance: Chance) -> Outcome:
    """A release's way through one cluster, once."""
    course, assumed = subject.course, subject.assumed
    stages = [(index, stage) for index, stage in enumerate(course.stages) if stage.weight]
    background = meters(subject, course.background, "steps" if subject.blue else "background")
    steps = [meters(subject, stage.analysis, "steps") for stage in course.stages]
    unit = _unit(
        [stage.pause or 0 for _, stage in stages], [*background, *(m for found in steps for m in found)]
    )
    counted = Counting(subject.rates[name], unit, assumed, chance)
    watching = [Running(meter, unit) for meter in background]
    deadline = float(duration(wave.progressDeadline))
    turns: list[tuple[float, int]] = []
    for index, stage in stages:
        turns.append((_now(counted), stage.weight))
        active = watching if index >= course.watched else []
        by = _pass(counted, stage.weight, stage.pause or 0, active)
        judging = [Running(meter, unit) for meter in steps[index]]
        while by is None and judging:
            by = _failing(judging, counted, ends=True)
            if by is not None or all(item.proven for item in judging):
                break
            if any(item.over and not item.proven for item in judging):
                return _held(counted, stage.name, stage.weight, active, turns, deadline)
            by = _pass(counted, stage.weight, unit, active)
        if by is not None:
            return Outcome("failed", _now(counted), tuple(turns), (stage.name, by))
    return _bake(subject, wave, name, chance, tuple(turns), _now(counted))


def _now(counted: Counting) -> float:
    return counted.since + (len(counted.errors) - 1) * counted.unit


def _unit(times: Iterable[int], found: Iterable[Meter]) -> int:
    """The longest tick in which all times are whole."""
    looked = [length for meter in found for length in (meter.watch.interval, meter.watch.window)]
    return math.gcd(*times, *looked) or 60


def _pass(counted: Counting, weight: int, length: int, active: Sequence[Running]) -> str | None:
    """Let time pass under the eyes of the background; the name of the metric that failed."""
    for _ in range(length // counted.unit):
        by = _failing(active, counted, ends=False)
        if by is not None:
            return by
        counted.tick(weight)
    return None


def _failing(active: Sequence[Running], counted: Counting, *, ends: bool) -> str | None:
    failed = [item.meter.rule.metric.name for item in active if item.measure(counted, ends=ends)]
    return failed[0] if failed else None


def _held(
    counted: Counting,
    stage: str,
    weight: int,
    active: Sequence[Running],
    turns: Sequence[tuple[float, int]],
    deadline: float,
) -> Outcome:
    """Too little was proven: it stands until the deadline, and the background goes on measuring."""
    left = max(0, math.ceil(deadline - _now(counted)))
    by = _pass(counted, weight, left, active)
    return Outcome(
        "held" if by is None else "failed", _now(counted), tuple(turns), (stage, by) if by else None
    )


def _bake(
    subject: Subject,
    wave: ReleaseWave,
    name: str,
    chance: Chance,
    turns: tuple[tuple[float, int], ...],
    since: float,
) -> Outcome:
    """What is measured once it has all requests: from when the window has none of before."""
    found = meters(subject, subject.course.bakes.get(wave.name, ()), "bake")
    if not found:
        bake = float(duration(wave.minSuccessTime)) if wave.name in subject.course.bakes else 0.0
        return Outcome("verified", since + bake, turns)
    unit = _unit((), found)
    counted = Counting(subject.rates[name], unit, subject.assumed, chance, since)
    _pass(counted, 100, max(meter.watch.window for meter in found), ())
    judging = [Running(meter, unit) for meter in found]
    while not all(item.proven for item in judging):
        by = _failing(judging, counted, ends=True)
        if by is not None:
            return Outcome("failed", _now(counted), turns, ("bake", by), bakes=True)
        if any(item.over and not item.proven for item in judging):
            return Outcome("held", _now(counted), turns)
        counted.tick(100)
    return Outcome("verified", _now(counted), turns)


# The fleet


class Run(NamedTuple):
    """One simulated release. `wave`: where it was stopped; `met`: requests that the faulty version answered."""

    kind: Literal["stopped", "held", "missed"]
    wave: str | None
    by: tuple[str, str] | None
    seconds: float
    met: float
    canary: float
    requests: float


class _Placed(NamedTuple):
    """A cluster with the release: when its first requests came, and what became of it."""

    since: float
    outcome: Outcome


def run(subject: Subject, chance: Chance) -> Run:
    """A release through the fleet, once: by the rules of `pointing`, until nothing moves any more."""
    assumed = subject.assumed
    waves = subject.release.wave_by_cluster
    placed: dict[str, _Placed] = {}
    verified: set[str] = set()
    failed: set[str] = set()
    out: set[str] = set()
    queue: list[tuple[float, str]] = []
    now, held = 0.0, False
    while True:
        state = subject.state._replace(
            pointers={name: Pointer(subject.release.id, None) for name in placed.keys() - out},
            verified=verified,
            failed=failed,
        )
        for name in _next(subject, state, out):
            since = now + assumed.startup
            placed[name] = _Placed(since, cluster(subject, waves[name], name, chance))
            heappush(queue, (since + placed[name].outcome.ends, name))
        if not queue:
            stuck = held or any(
                name not in placed for item in waves.values() for name in pointing.waiting(state, item)
            )
            return _counted(subject, placed, "held" if stuck else "missed", now, now, None)
        moment, name = heappop(queue)
        now = moment + assumed.reaction
        outcome = placed[name].outcome
        if outcome.kind == "verified":
            verified.add(name)
            continue
        out.add(name)
        held = held or outcome.kind == "held"
        if outcome.kind == "failed":
            failed.add(name)
            if pointing.failures(state._replace(failed=failed), waves[name]):
                return _counted(subject, placed, "stopped", moment, now, name)


def _next(subject: Subject, state: State, out: set[str]) -> list[str]:
    """The clusters that the first wave with any is given now."""
    for wave in subject.release.waves:
        among = [name for name in pointing.waiting(state, wave) if name not in out]
        found = pointing.batch(state, wave, among).pointers if among else {}
        if found:
            return sorted(found)
    return []


def _counted(
    subject: Subject,
    placed: Mapping[str, _Placed],
    kind: Literal["stopped", "held", "missed"],
    proof: float,
    ends: float,
    last: str | None,
) -> Run:
    """What met the fault until all clusters are back, or the release is everywhere."""
    met = canary = 0.0
    for name, item in placed.items():
        until = _until(subject.assumed, item, ends) - item.since
        rate = subject.rates[name]
        met += rate * _answered(item.outcome.turns, subject.assumed.after, until)
        canary += rate * _answered(item.outcome.turns, 0.0, until)
    wave = subject.release.wave_by_cluster[last].name if last else None
    by = placed[last].outcome.by if last else None
    return Run(kind, wave, by, proof, met, canary, subject.assumed.rate * ends)


def _until(assumed: Assumed, item: _Placed, ends: float) -> float:
    """When a cluster's users are back on the version before: by its controller, or by the bot."""
    own = item.since + item.outcome.ends
    if item.outcome.kind == "verified":
        return ends
    return min(ends, own + (assumed.abort if _aborts(item.outcome) else assumed.reaction))


def _aborts(outcome: Outcome) -> bool:
    """A bake fails when the rollout is over: nothing but the bot turns that."""
    return outcome.kind == "failed" and not outcome.bakes


def _answered(turns: Sequence[tuple[float, int]], since: float, until: float) -> float:
    """Seconds of all traffic that the canary's part between two moments amounts to."""
    ends = [start for start, _ in turns[1:]] + [math.inf]
    parts = (
        max(0.0, min(end, until) - max(start, since)) * weight
        for (start, weight), end in zip(turns, ends, strict=True)
    )
    return sum(parts) / 100
