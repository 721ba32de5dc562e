"""Windows, freezes and terms: what is open at an instant, with time zones and daylight saving."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from canaryfleet.models.canary import Window

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def instant(text: str) -> datetime:
    """An instant as the models write it, with its time zone."""
    return datetime.fromisoformat(text)


def written(at: datetime) -> str:
    """An instant in the form that we write, to the second in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def within(start: str, end: str, now: datetime) -> bool:
    """True from `start`, and before `end`."""
    return instant(start) <= now < instant(end)


def in_force(since: str, until: str | None, now: datetime) -> bool:
    """True from `since`, and before `until` if there is one."""
    return instant(since) <= now and (until is None or now < instant(until))


def lasts(until: str | None, now: datetime) -> bool:
    """True before `until`. What stops something is in force whatever its `since`: of two clocks one is behind."""
    return until is None or now < instant(until)


def is_open(windows: Sequence[Window], now: datetime) -> bool:
    """True if there are no windows, or one is open.

    A window is meant in its own wall-clock time: it opens and closes by the local clock, also on
    the days on which that clock jumps.
    """
    return not windows or any(_open(window, now) for window in windows)


def openings(windows: Sequence[Window], since: datetime) -> list[datetime]:
    """When one of the windows opens within the eight days after an instant, in order: a week has all of them."""
    found = []
    for window in windows:
        zone, days = _zone(window.timezone), _days(window.days)
        today = since.astimezone(zone).date()
        for later in range(9):
            day = today + timedelta(days=later)
            opens = datetime.combine(day, time.fromisoformat(window.from_), zone).astimezone(UTC)
            if day.weekday() in days and opens > since:
                found.append(opens)
    return sorted(found)


def _open(window: Window, now: datetime) -> bool:
    local = now.astimezone(_zone(window.timezone))
    begin, end = _clock(window.from_), _clock(window.to)
    days = _days(window.days)
    moment = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second)
    if begin < end:
        return local.weekday() in days and begin <= moment < end
    yesterday = (local.weekday() - 1) % 7
    return (local.weekday() in days and moment >= begin) or (yesterday in days and moment < end)


def length(window: Window) -> timedelta:
    """How long a window is open by the clock; a day or less."""
    begin, end = _clock(window.from_), _clock(window.to)
    return end - begin if begin <= end else end - begin + timedelta(days=1)


def opens(windows: Sequence[Window], after: datetime, before: datetime) -> Iterator[datetime]:
    """Instants at which windows open, one or more for each day between two times."""
    for window in windows:
        zone, days = _zone(window.timezone), _days(window.days)
        day = after.astimezone(zone).date()
        while day <= before.astimezone(zone).date():
            at = datetime.combine(day, time(), zone) + _clock(window.from_)
            if day.weekday() in days and after <= at <= before:
                yield at.astimezone(UTC)
            day += timedelta(days=1)


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def zone_exists(name: str) -> bool:
    """True if `name` is an IANA time zone."""
    try:
        _zone(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _clock(text: str) -> timedelta:
    if text == "24:00":
        return timedelta(days=1)
    at = time.fromisoformat(text)
    return timedelta(hours=at.hour, minutes=at.minute)


def _days(text: str) -> set[int]:
    """Days or ranges of days: "Mon-Thu,Sat"; a range may go over the weekend."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, stop = DAYS.index(first), DAYS.index(last or first)
        found |= {(start + step) % 7 for step in range((stop - start) % 7 + 1)}
    return found
