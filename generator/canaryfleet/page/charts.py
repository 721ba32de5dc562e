"""Charts as inline SVG, without a library: one metric over time with its thresholds, and bars of shares.

Charts are stretched to the width that there is (`preserveAspectRatio="none"`), and their lines are not
(`vector-effect`); so a point is a line of no length with round ends. What a chart shows also stands beside it in
words, and each kind of line has a pattern of its own.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from canaryfleet.evidence import CONDITION
from canaryfleet.models.report import Point, Series
from canaryfleet.page.html import Html, join, tag
from canaryfleet.page.words import number

WIDTH, HEIGHT = 600, 120  # of the drawing's own units: whole ones are fine enough
MOST = 60  # points that are drawn: beyond that the worst of each stretch of time stands for its neighbours
DOTTED = 30  # points: more are a line
LEAST, GAP = 8, 3  # thousandths of a strip's width
LARGEST = 1e100  # so that differences are numbers too
RANGE = 3.0  # thresholds: what is further out is drawn at the edge


class Scale(NamedTuple):
    """From moments and values to places."""

    begin: datetime
    seconds: float
    low: float
    high: float

    def x(self, at: datetime) -> float:
        """Across; one moment alone is in the middle."""
        return WIDTH * (at - self.begin).total_seconds() / self.seconds if self.seconds else WIDTH / 2

    def y(self, value: float) -> float:
        """Down; what lies outside is at the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return (HEIGHT - 6) * (1 - share) + 3


def limit(condition: str | None) -> float | None:
    """The number in a condition such as `> 0.01`."""
    found = CONDITION.fullmatch(condition or "")
    return float(found[2]) if found else None


def chart(series: Series, classes: str = "plot") -> Html | None:
    """The whole metric: zone that is too bad, thresholds, stable version, points; None without a number."""
    points, stable = thinned(series.points), thinned(series.stable)
    scale = _scale(series, [*points, *stable])
    if scale is None:
        return None
    drawn = (
        _zone(series, scale),
        _level("promote", limit(series.promote), scale),
        _level("rollback", limit(series.rollback), scale),
        _line("stable", stable, scale),
        _line("value", points, scale),
        _dots(
            "good",
            (one for one in (points if len(points) <= DOTTED else points[-1:]) if one.word != "bad"),
            scale,
        ),
        _dots("bad", (one for one in points if one.word == "bad"), scale),
    )
    return tag(
        "svg", drawn, class_=classes, viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none",
        role="img", aria_label=told(series),
    )  # fmt: skip


def spark(series: Series) -> Html | None:
    """The same, small: only the last stretch, for a tile that says the rest in words."""
    points = thinned(series.points, 24)
    scale = _scale(series, points)
    if scale is None:
        return None
    drawn = (
        _level("rollback", limit(series.rollback), scale),
        _line("value", points, scale),
        _dots("bad", (one for one in points if one.word == "bad"), scale),
    )
    return tag(
        "svg", drawn, class_="spark", viewBox=f"0 0 {WIDTH} {HEIGHT}", preserveAspectRatio="none",
        aria_hidden="true", focusable="false",
    )  # fmt: skip


def told(series: Series) -> str:
    """What a chart shows, for those who don't see it."""
    numbers = [one.value for one in series.points if one.value is not None]
    bad = sum(one.word == "bad" for one in series.points)
    limits = [
        f"{word} {text}"
        for word, text in (("promote", series.promote), ("roll back", series.rollback))
        if text
    ]
    measured = f"{len(series.points)} measurements, from {number(min(numbers))} to {number(max(numbers))}, last {number(numbers[-1])}"
    return "; ".join([f"{series.name}: {measured}", *limits, f"{bad} too bad" if bad else "none too bad"])


def thinned(points: Sequence[Point], most: int = MOST) -> list[Point]:
    """At most so many points; of each stretch the worst, so that nothing bad disappears."""
    numbers = [one for one in points if one.value is not None]
    size = -(-len(numbers) // most) or 1
    return [_worst(numbers[at : at + size]) for at in range(0, len(numbers), size)]


def _worst(points: Sequence[Point]) -> Point:
    return max(points, key=lambda one: (one.word == "bad", one.word == "neither", one.at))


def _scale(series: Series, points: Sequence[Point]) -> Scale | None:
    """From nothing to the furthest value or threshold, but not so far that the thresholds could not be told apart."""
    values = [one.value for one in points if one.value is not None]
    if not values:
        return None
    limits = [found for text in (series.promote, series.rollback) if (found := limit(text)) is not None]
    reach = RANGE * max(map(abs, limits), default=0.0) or LARGEST
    inside = [0.0, *limits, *(min(max(value, -reach), reach) for value in values)]
    low, high = min(inside), max(inside)
    margin = 0.12 * (high - low) or 1.0
    times = [one.at for one in points]
    seconds = (max(times) - min(times)).total_seconds()
    return Scale(
        min(times),
        seconds,
        low - (margin if low < 0 else 0.0),
        high + (margin if high > 0 or low == high else 0.0),
    )


def _zone(series: Series, scale: Scale) -> Html | None:
    level = limit(series.rollback)
    if level is None:
        return None
    at = scale.y(level)
    above = (series.rollback or "").startswith(">")
    top, height = (0.0, at) if above else (at, HEIGHT - at)
    return tag("rect", class_="zone", x=0, y=_n(top), width=WIDTH, height=_n(height))


def _level(name: str, level: float | None, scale: Scale) -> Html | None:
    return None if level is None else tag("path", class_=name, d=f"M0 {_n(scale.y(level))}H{WIDTH}")


def _line(name: str, points: Sequence[Point], scale: Scale) -> Html | None:
    places = [f"{_n(scale.x(one.at))} {_n(scale.y(one.value or 0.0))}" for one in points]
    return tag("path", class_=name, d="M" + "L".join(places)) if len(places) > 1 else None


def _dots(name: str, points: Iterable[Point], scale: Scale) -> Html | None:
    places = [f"M{_n(scale.x(one.at))} {_n(scale.y(one.value or 0.0))}h0" for one in points]
    return tag("path", class_=f"dot {name}", d="".join(places)) if places else None


def _n(place: float) -> str:
    return f"{place:.0f}"


def key(name: str) -> Html:
    """A piece of a line, for the legend."""
    drawn = (
        tag("path", class_="dot bad", d="M9 2h0") if name == "bad" else tag("path", class_=name, d="M0 2H18")
    )
    return tag("svg", drawn, class_="key", viewBox="0 0 18 4", aria_hidden="true", focusable="false")


def bar(percent: int, classes: str = "traffic") -> Html:
    """A share of a hundred."""
    width = min(100, max(0, percent))
    return tag(
        "svg", tag("rect", class_="rest", width=100, height=6), tag("rect", class_="part", width=width, height=6),
        class_=classes, viewBox="0 0 100 6", preserveAspectRatio="none", aria_hidden="true", focusable="false",
    )  # fmt: skip


def strip(counts: Iterable[tuple[str, int]]) -> Html:
    """How many clusters are in each state, as one bar; the counts stand beside it in words.

    One of a thousand is still to be seen: no part is narrower than `LEAST`.
    """
    shown = [(name, found) for name, found in counts if found]
    room = 1000 - LEAST * len(shown) - GAP * max(0, len(shown) - 1)
    total, at, parts = sum(found for _, found in shown) or 1, 0.0, []
    for name, found in shown:
        width = LEAST + room * found / total
        parts.append(tag("rect", class_=name.lower(), x=_n(at), width=_n(width), height=8))
        at += width + GAP
    return tag(
        "svg", join(parts), class_="strip", viewBox="0 0 1000 8", preserveAspectRatio="none",
        aria_hidden="true", focusable="false",
    )  # fmt: skip
