"""When it would happen: windows that hardly open, freezes in the middle, deadlines that are too short."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from canaryfleet.advice.exposure import load_time
from canaryfleet.advice.subject import Path, Subject, warning, waves_key
from canaryfleet.errors import Issue
from canaryfleet.models.canary import Window
from canaryfleet.models.fleet import Freeze
from canaryfleet.models.release import ReleaseWave
from canaryfleet.pointing import limit
from canaryfleet.quantity import duration, go_duration
from canaryfleet.schedule import instant, is_open, length, opens, within

# GitHub's schedules run every 5 minutes at best, and are late or dropped under load (reference of its workflows).
SHORTEST = timedelta(minutes=15)
AHEAD = timedelta(days=28)


def hardly_open(subject: Subject) -> Iterator[Issue]:
    """CF330: windows of less than `SHORTEST`, or of which freezes cover all openings for `AHEAD`."""
    spec, key, freezes = subject.plan.inputs.spec, waves_key(subject), subject.plan.inputs.fleet.freezes
    for index, wave in enumerate(spec.waves_in_force()):
        for number, window in enumerate(wave.windows):
            if timedelta(0) < length(window) < SHORTEST:
                yield warning(
                    (key, index, "windows", number),
                    "CF330",
                    f"it is open for {go_duration(int(length(window).total_seconds()))}: a bot on a schedule may miss it",
                    f"{int(SHORTEST.total_seconds()) // 60} minutes or more",
                )
        if wave.windows and next_open(wave.windows, freezes, subject.now) is None:
            yield warning(
                (key, index, "windows"),
                "CF330",
                f"freezes cover every opening of wave {wave.name} for the next {AHEAD.days} days",
                "look at `freezes` in fleet.yaml: does one end when it should?",
            )


def next_open(windows: Sequence[Window], freezes: Sequence[Freeze], now: datetime) -> datetime | None:
    """The first instant from now on at which a wave may move; None if there is none in `AHEAD`."""
    if is_open(windows, now) and not frozen(freezes, now):
        return now
    ends = (instant(freeze.to) for freeze in freezes)
    later = [*(end for end in ends if now < end <= now + AHEAD), *opens(windows, now, now + AHEAD)]
    return next((at for at in sorted(later) if is_open(windows, at) and not frozen(freezes, at)), None)


def frozen(freezes: Sequence[Freeze], at: datetime) -> Freeze | None:
    """The freeze that an instant is in."""
    return next((freeze for freeze in freezes if within(freeze.from_, freeze.to, at)), None)


def ends_frozen(subject: Subject) -> Iterator[Issue]:
    """CF331: begun now, and with nobody to wait for, a batch of a wave would end inside a freeze."""
    freezes = [item for item in subject.plan.inputs.fleet.freezes if instant(item.to) > subject.now]
    if subject.everywhere or not freezes:
        return
    at, run = subject.now, timedelta(seconds=float(pauses(subject)))
    last = max(instant(item.to) for item in freezes)
    for index, wave in enumerate(subject.plan.inputs.spec.waves_in_force()):
        resolved = subject.release.waves[index]
        bake = timedelta(seconds=float(duration(wave.minSuccessTime)))
        for _ in range(_batches(resolved)):
            begin = next_open(wave.windows, freezes, at)
            if (
                begin is None or begin >= last
            ):  # so long a wait is another warning's; and after the last, none is left
                return
            at = begin + run + bake
            freeze = frozen(freezes, at)
            if freeze is not None:
                yield _inside((waves_key(subject), index, "minSuccessTime"), resolved, at, freeze)
                return


def _batches(wave: ReleaseWave) -> int:
    return -(-len(wave.members) // limit(wave)) if wave.members else 0


def _inside(path: Path, wave: ReleaseWave, end: datetime, freeze: Freeze) -> Issue:
    what = "bake" if duration(wave.minSuccessTime) else "be under way"
    return warning(
        path,
        "CF331",
        f"begun now, wave {wave.name} would {what} until {end.astimezone(UTC):%Y-%m-%d %H:%M}Z, inside the freeze "
        f"{freeze.name} ({freeze.from_} to {freeze.to})",
        "release earlier or after it, or bake for a shorter time",
    )


def too_long(subject: Subject) -> Iterator[Issue]:
    """CF332: the pauses, and the longest starts between them, take all of `progressDeadline` or more."""
    needed, load = pauses(subject), loads(subject)
    for index, wave in enumerate(subject.release.waves):
        deadline = duration(wave.progressDeadline)
        if needed + load >= deadline:
            starts = f", and pods may take {go_duration(int(load))} to start in between" if load else ""
            yield warning(
                (waves_key(subject), index, "progressDeadline"),
                "CF332",
                f"the pauses take {go_duration(int(needed))}{starts}: clusters of wave {wave.name} would go back "
                f"after {wave.progressDeadline}, and nothing failed",
                f"a progressDeadline of {_rounded(needed + load)} or more",
            )


def pauses(subject: Subject) -> Decimal:
    """Seconds that all pauses of one cluster take; what waits for a person counts nothing."""
    exposure = subject.plan.inputs.spec.exposure
    lengths = [step.for_ or "0" for step in exposure.steps]
    if exposure.blueGreen:
        lengths = [exposure.blueGreen.promoteAfter, exposure.blueGreen.observe]
    return sum((duration(text) for text in lengths if text != "manual"), Decimal(0))


def loads(subject: Subject) -> int:
    """Seconds that pods may take to start: at each weight step further ones do."""
    exposure = subject.plan.inputs.spec.exposure
    times = 1 if exposure.blueGreen else sum(step.weight is not None for step in exposure.steps)
    return load_time(subject.plan) * max(1, times)


def _rounded(seconds: Decimal) -> str:
    """In whole hours, and a half more."""
    return f"{int(seconds * 3 / 2 // 3600) + 1}h"
