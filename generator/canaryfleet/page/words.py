"""What the page says in words: times, numbers, names of states, and the picture that each state has."""

from datetime import UTC, datetime

from canaryfleet.models.observation import VerdictKind
from canaryfleet.models.status import ClusterStatus
from canaryfleet.page.html import Html, escape, join, tag

ORDER = ("Failed", "Inconclusive", "Unknown", "Progressing", "Verified", "Waiting")
"""States of a cluster, those that need a person first."""
NAMES = {
    "Failed": "Failed",
    "Inconclusive": "Inconclusive",
    "Unknown": "Unknown",
    "Progressing": "Progressing",
    "Verified": "Verified",
    "Waiting": "Not deployed",
}
# A shape of its own for each state: colour alone says nothing to many people, and nothing in print.
_SHAPES = {
    "Verified": ("M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", "M4.8 8.3 7 10.5l4.3-4.8"),
    "Progressing": (
        "M2.5 2.2v11.6c0 .8.9 1.3 1.6.9l10-5.8c.7-.4.7-1.4 0-1.8l-10-5.8c-.7-.4-1.6.1-1.6.9Z",
        "",
    ),
    "Inconclusive": ("M8 .8 15.2 8 8 15.2.8 8Z", "M5.4 6.8h5.2M5.4 9.4h5.2"),
    "Unknown": (
        "M3 1h10a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H3a2 2 0 0 1-2-2V3a2 2 0 0 1 2-2Z",
        "M5.9 6.2a2.1 2.1 0 1 1 3 1.9c-.6.3-.9.6-.9 1.2M8 11.6h.01",
    ),
    "Failed": ("M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1Z", "M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2"),
    "Waiting": ("M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11Z", ""),
}


def symbols() -> Html:
    """The pictures, once; `icon` uses them."""
    drawn = (
        Html(
            f'<symbol id="i-{name}" viewBox="0 0 16 16"><path class="s" d="{shape}"/>'
            + (f'<path class="m" d="{mark}"/>' if mark else "")
            + "</symbol>"
        )
        for name, (shape, mark) in _SHAPES.items()
    )
    return Html(f'<svg class="symbols" aria-hidden="true" focusable="false">{join(drawn)}</svg>')


def icon(state: str) -> Html:
    """The picture of a state; what it means stands beside it in words."""
    return Html(f'<svg class="i" aria-hidden="true" focusable="false"><use href="#i-{state}"/></svg>')


def state(item: ClusterStatus) -> str:
    """The state of a cluster: its verdict, or `Waiting` before it was given anything or looked at."""
    return item.verdict.kind if item.verdict else "Waiting"


def badge(kind: "VerdictKind | str") -> Html:
    """A state with its picture and its name."""
    return tag("span", icon(kind), NAMES[kind], class_=f"badge {kind.lower()}")


def time(at: datetime | None) -> Html:
    """A moment, to the minute, in UTC."""
    if at is None:
        return Html("–")
    stamp = _stamp(at)
    return Html(f'<time datetime="{stamp}Z">{stamp[:10]} {stamp[11:16]}Z</time>')


def instant(text: str) -> Html:
    """A moment as people write it in files; what is none is shown as it is."""
    try:
        return time(datetime.fromisoformat(text))
    except ValueError:
        return escape(text)


def clock(at: datetime) -> Html:
    """The time of day of a moment, beside one that has its date."""
    stamp = _stamp(at)
    return Html(f'<time datetime="{stamp}Z">{stamp[11:16]}Z</time>')


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def number(value: float) -> str:
    """A measured value: three digits that count, and no exponent where people don't need one."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
