"""How a new version meets its users: steps that jump, don't grow, or end before a pod can come back."""

import math
from collections.abc import Iterator
from decimal import Decimal

from canaryfleet.advice.subject import Path, Subject, warning
from canaryfleet.errors import Issue
from canaryfleet.models.canary import Exposure, Step
from canaryfleet.quantity import duration, go_duration, percent
from canaryfleet.resolve import Plan

# Half of the users is the most that one step should add: the last step of the field's common ladders
# (5, 25, 50 or 10, 50, then all) does. A first step is no canary if every fourth user is in it.
FIRST = Decimal("0.25")
LARGEST = Decimal("0.5")
# What Kubernetes takes where a probe says nothing.
PROBE_PERIOD, PROBE_FAILURES = 10, 3


def jumps(subject: Subject) -> Iterator[Issue]:
    """CF301: a first weight above `FIRST`, or a step of more than `LARGEST`; the last goes to 100%."""
    exposure = subject.plan.inputs.spec.exposure
    if exposure.blueGreen:
        return
    last, at = Decimal(0), _steps_of(exposure)
    for index, share in _weights(exposure.steps):
        at = ("exposure", "steps", index, "weight")
        yield from _jump(at, last, share, FIRST if not last else LARGEST)
        last = share
    yield from _jump(at, last, Decimal(1), LARGEST)


def _steps_of(exposure: Exposure) -> Path:
    return ("exposure", "steps") if exposure.steps else ("exposure",)


def _jump(at: Path, last: Decimal, share: Decimal, most: Decimal) -> Iterator[Issue]:
    if share - last > most:
        yield warning(
            at,
            "CF301",
            f"the canary goes from {_shown(last)} to {_shown(share)} of the requests in one step",
            f"put a weight of {_shown(_between(last, share))} or so between them",
        )


def _between(last: Decimal, share: Decimal) -> Decimal:
    """A weight in the middle, rounded down to 5 points; the first is a small one."""
    return Decimal("0.05") if not last else Decimal(int((last + share) * 10)) / 20


def backward(subject: Subject) -> Iterator[Issue]:
    """CF302: a weight that is not above the one before."""
    last = Decimal(0)
    for index, share in _weights(subject.plan.inputs.spec.exposure.steps):
        if share <= last:
            yield warning(
                ("exposure", "steps", index, "weight"),
                "CF302",
                f"after {_shown(last)} comes {_shown(share)}: the step proves nothing new",
                "let the weights grow, or remove the step",
            )
        last = max(share, last)


def short_steps(subject: Subject) -> Iterator[Issue]:
    """CF303: a step, or the time after a blue-green switch, that is shorter than a pod's start."""
    load, exposure = load_time(subject.plan), subject.plan.inputs.spec.exposure
    judged: list[tuple[Path, str]] = []
    if exposure.blueGreen:
        judged = [(("exposure", "blueGreen", "observe"), exposure.blueGreen.observe)]
    for index, step in enumerate(exposure.steps):
        if step.weight is not None and step.for_ != "manual":
            judged.append((("exposure", "steps", index, "for"), step.for_ or "0"))
    for at, length in judged:
        if duration(length) < load:
            yield warning(
                at,
                "CF303",
                f"it lasts {length}, and a pod may take {go_duration(load)} to start: one that dies is not back in time",
                f"{go_duration(load)} or more",
            )


def load_time(plan: Plan) -> int:
    """Seconds that a pod may take to start, model load included, by its start-up probe; 0 if it has none."""
    spec, workload = plan.inputs.spec, plan.workload
    if spec.workload.startup:
        return math.ceil(duration(spec.workload.startup))
    probe = workload.template["spec"]["containers"][workload.container].get("startupProbe") or {}
    if not probe:
        return 0
    period, failures = probe.get("periodSeconds", PROBE_PERIOD), probe.get("failureThreshold", PROBE_FAILURES)
    return int(probe.get("initialDelaySeconds", 0)) + int(period) * int(failures)


def _weights(steps: tuple[Step, ...]) -> list[tuple[int, Decimal]]:
    """Index and share of the weight steps."""
    return [(index, percent(step.weight)) for index, step in enumerate(steps) if step.weight is not None]


def _shown(share: Decimal) -> str:
    return f"{(share * 100).normalize():f}%"
