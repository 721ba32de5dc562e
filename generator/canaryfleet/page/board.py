"""Waves as columns, clusters as tiles: each a summary that opens to all that is known of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from urllib.parse import quote

from canaryfleet.board import ago
from canaryfleet.models.base import CountOrPercent
from canaryfleet.models.observation import Verdict
from canaryfleet.models.release import version_of
from canaryfleet.models.report import AppReport, ClusterReport, Series, WaveReport
from canaryfleet.models.status import ClusterStatus
from canaryfleet.page import charts
from canaryfleet.page.html import Html, join, spaced, tag
from canaryfleet.page.words import NAMES, ORDER, clock, icon, number, state, time
from canaryfleet.phrases import count

WIDE = ((60, "w4"), (16, "w3"), (5, "w2"), (0, "w1"))  # by how many clusters: how much room a wave takes
NO_WAVE = "-"


def place(app: str, cluster: str) -> str:
    """The id of a tile, which an address can name: `#assistant/eu-west-1a`."""
    return "/".join(quote(name, safe="", errors="backslashreplace") for name in (app, cluster))


def waves(app: AppReport, at: datetime) -> Html:
    """The board of an app."""
    return tag("div", (_wave(app, wave, turn, at) for turn, wave in enumerate(app.waves, 1)), class_="waves")


def _wave(app: AppReport, wave: WaveReport, turn: int, at: datetime) -> Html:
    known = wave.name != NO_WAVE
    head = f"wave-{place(app.app, str(turn))}"
    width = next(name for least, name in WIDE if len(wave.clusters) > least or not least)
    order = sorted(wave.clusters, key=lambda item: ORDER.index(state(item.status)))
    return tag(
        "div",
        tag(
            "h3",
            tag("span", str(turn), class_="number", aria_hidden="true") if known else None,
            wave.name if known else "in no wave",
            id=head,
        ),
        tag("p", _standing(app, wave), class_="standing"),
        charts.strip(counts([wave])),
        tag("p", ", ".join(_limits(wave)), class_="limits") if known else None,
        tag(
            "ul", (_tile(app, item, at) for item in order), class_="tiles", role="list", aria_labelledby=head
        ),
        class_=f"wave {width}",
    )


def counts(found: Sequence[WaveReport]) -> list[tuple[str, int]]:
    """How many clusters are in each state, those that need a person first."""
    among = Counter(state(item.status) for wave in found for item in wave.clusters)
    return [(name, among[name]) for name in ORDER]


def _standing(app: AppReport, wave: WaveReport) -> str:
    """How far the wave is with the candidate."""
    having = [item.status for item in wave.clusters if item.status.release == app.candidate]
    verified = sum(item.verdict is not None and item.verdict.kind == "Verified" for item in having)
    total = count(len(wave.clusters), "cluster")
    if not app.candidate:
        return total
    version = version_of(app.candidate)
    if len(having) == len(wave.clusters) == verified:
        return f"{total}, all verified on {version}"
    return f"{total}: {len(having):,} on {version}, {verified:,} verified"


def _limits(wave: WaveReport) -> Iterator[str]:
    """What holds the wave back, in the words of the spec."""
    if wave.maxConcurrency is not None:
        yield f"{_amount(wave.maxConcurrency)} at once"
    if wave.maxFailures not in (0, "0", "0%"):
        yield f"{_amount(wave.maxFailures)} may fail"
    else:
        yield "none may fail"
    if wave.minSuccessTime != "0":
        yield f"watched for {wave.minSuccessTime}"
    if wave.approval == "required":
        yield "needs an approval"


def _amount(limit: CountOrPercent) -> str:
    return str(limit)


# A tile


def _tile(app: AppReport, item: ClusterReport, at: datetime) -> Html:
    status = item.status
    kind = state(status)
    calm = kind in ("Verified", "Waiting")
    return tag(
        "li",
        tag(
            "details",
            tag("summary", spaced(_summary(app, item, at, calm=calm))),
            # Text where scripts run, which make it elements when it is opened; else what it is. A thousand clusters
            # with all their charts would otherwise be a hundred thousand elements that nobody looks at.
            tag("div", tag("noscript", _body(app, item, at)), class_="body"),
            id=place(app.app, status.cluster),
            name="cluster",  # one at a time: where there is room, it opens as a panel beside the board
        ),
        class_=f"tile {kind.lower()}" + (" calm" if calm else ""),
        data_state=kind,
        data_name=status.cluster,
    )


def _summary(app: AppReport, item: ClusterReport, at: datetime, *, calm: bool) -> Iterator[Html | None]:
    status, kind = item.status, state(item.status)
    yield tag("span", status.cluster, class_="name")
    yield tag("span", icon(kind), tag("span", NAMES[kind]), class_=f"state {kind.lower()}")
    below = list(_below(app, status, at, calm=calm))
    yield tag("span", spaced(below), class_="below") if below else None
    if status.weight is not None and not calm:
        yield tag("span", charts.bar(status.weight), _share(status), class_="weight")
    yield None if calm else _nearest(item)


def _below(app: AppReport, status: ClusterStatus, at: datetime, *, calm: bool) -> Iterator[Html]:
    """The second line of a tile: the version, and what is worth a word."""
    if status.release:
        new = " new" if status.release == app.candidate else ""
        yield tag("span", version_of(status.release), class_=f"version{new}")
    if status.verdict and status.verdict.basis == "Reverted":
        yield tag("span", "went back")
    if status.verdict and not calm:
        yield tag("span", _brief(status.verdict, at))
    if status.weight is not None and calm:
        yield tag(
            "span", f"{status.weight}%", tag("span", " of the traffic", class_="unseen"), class_="share"
        )


def _share(status: ClusterStatus) -> Html:
    step = f", step {status.step} of {status.steps}" if status.step is not None and status.steps else ""
    return tag("span", tag("b", f"{status.weight}%"), f" of the traffic{step}", class_="small")


def _brief(verdict: Verdict, at: datetime) -> str:
    since = ago(at, verdict.since)
    return f"{verdict.reason}, for {since}" if since else verdict.reason


def _nearest(item: ClusterReport) -> Html | None:
    """The metric that is nearest to its threshold, drawn and in words."""
    near = item.status.nearest
    if near is None:
        return None
    found = next((series for series in item.series if series.name == near.name), None)
    limit = near.rollback or near.promote or ""
    words = tag(
        "span",
        f"{near.name} ",
        tag("b", number(near.value)),
        f" ({limit})" if limit else None,
        class_="small",
    )
    return tag("span", charts.spark(found) if found else None, words, class_="metric")


# What a tile opens to


def _body(app: AppReport, item: ClusterReport, at: datetime) -> Iterator[Html | None]:
    status = item.status
    close = tag("button", "Close", type="button", class_="close", hidden=True)
    yield tag("div", tag("h4", f"{app.app} on {status.cluster}"), close, class_="panel")
    yield tag("p", _said(status))
    if status.remedy and state(status) != "Verified":
        yield tag("p", tag("b", "To do: "), status.remedy, class_="todo")
    yield tag("dl", (join((tag("dt", name), tag("dd", value))) for name, value in _facts(app, status, at)))
    if item.series:
        yield tag("div", map(_figure, item.series), class_="charts")


def _said(status: ClusterStatus) -> str:
    if status.verdict is None:
        return "Nothing was looked at here yet." if status.release else "Git points at no release here yet."
    message = status.problem.message if status.problem else status.verdict.message
    return f"{status.verdict.kind}, {status.verdict.reason}: {message}"


def _facts(app: AppReport, status: ClusterStatus, at: datetime) -> Iterator[tuple[str, Html | str]]:
    if status.release:
        yield (
            "Git points at",
            status.release + (" (the candidate)" if status.release == app.candidate else ""),
        )
    if status.live and status.live != status.release:
        yield "the cluster has", status.live
    if status.fallback:
        yield "falls back to", status.fallback
    if status.weight is not None:
        yield "traffic", join((f"{status.weight}% ", charts.bar(status.weight)))
    if status.step is not None and status.steps:
        yield "step", f"{status.step} of {status.steps}" + (f", {status.phase}" if status.phase else "")
    if status.verdict and status.verdict.basis:
        yield "proof", status.verdict.basis
    if status.verdict and status.verdict.since:
        yield "since", join((time(status.verdict.since), f" ({ago(at, status.verdict.since)} ago)"))
    if status.seen:
        yield "seen", join((time(status.seen), f" by {status.source}"))


def _figure(series: Series) -> Html:
    last = next((one for one in reversed(series.points) if one.value is not None), None)
    bad = sum(one.word == "bad" for one in series.points)
    drawn = charts.chart(series)
    ends = (time(series.points[0].at), clock(series.points[-1].at)) if drawn else ()
    return tag(
        "figure",
        tag("figcaption", tag("span", series.name, class_="metric-name"), tag("b", number(last.value) if last and last.value is not None else "no number")),
        drawn or tag("p", f"{count(len(series.points), 'measurement')}, none of them a number", class_="small"),
        tag("p", ends, class_="axis") if drawn else None,
        tag("p", _legend(series, bad), class_="legend"),
    )  # fmt: skip


def _legend(series: Series, bad: int) -> Iterator[Html]:
    if series.promote:
        yield tag("span", charts.key("promote"), f"promote {series.promote}")
    if series.rollback:
        yield tag("span", charts.key("rollback"), f"roll back {series.rollback}")
    if series.stable:
        yield tag("span", charts.key("stable"), "stable version")
    measured = f"{len(series.points)} measured"
    if bad:
        yield tag("span", charts.key("bad"), f"{measured}, {bad} too bad", class_="bad")
    else:
        yield tag("span", f"{measured}, none too bad")
