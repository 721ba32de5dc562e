"""`canaryfleet forecast`."""

import sys
from typing import TYPE_CHECKING, TextIO

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_OK, UsageError, one_line

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from canaryfleet.files import Tree
    from canaryfleet.forecast import Assumed
    from canaryfleet.models.forecast import Estimate, Forecast, ThresholdForecast, WaveForecast

FASTEST = 1_000_000  # requests a second, beyond which counts take too much memory
MOST_RUNS = 100_000
LEAST = 0.001  # percent: what is less is shown as that
HEAD = ("WAVE", "STOPPED THERE", "MET THE FAULT", "P95", "REQUESTS", "PROVEN AFTER", "P95")
NOTICES = ("WAVE", "STAGE", "METRIC", "CLUSTER", "REQUESTS", "ONE MEASUREMENT", "THE STAGE", "FALSE ALARM")


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    options = arguments.parse(_parser(), given)
    if not 1 <= options.runs <= MOST_RUNS:
        raise UsageError(f"--runs: from 1 to {MOST_RUNS}")
    from datetime import UTC, datetime

    tree = arguments.tree(options.root)
    found = _simulated(tree, options, datetime.now(UTC), _progress(options.runs, sys.stderr))
    if options.output == "json":
        from canaryfleet.output import print_model

        print_model(found)
    else:
        print(text(found, sys.stdout))
    return EXIT_OK


def usual(tree: "Tree", app: str, now: "datetime", runs: int) -> "Forecast":
    """The forecast of an app with what is assumed where nothing is said. Raises Problems."""
    words = ["--runs", str(runs), "--", app]
    return _simulated(tree, arguments.parse(_parser(), words), now, lambda _: None)


def _simulated(
    tree: "Tree", options: "Namespace", now: "datetime", progress: "Callable[[int], None]"
) -> "Forecast":
    import random

    from canaryfleet.radius import forecast
    from canaryfleet.scenario import subject

    assumed = _assumed(options)
    about = subject(tree, options.app, now, assumed, options.failed_share)
    chance = random.Random(options.seed).random  # noqa: S311
    return forecast(about, options.runs, options.seed, chance, progress)


def _parser() -> "ArgumentParser":
    parser = arguments.parser(
        "forecast",
        "Say how far a fault would get before a release is stopped: the share of all requests that meet it, by wave, "
        "and what each threshold notices. Simulated over the release's own rules; it looks at Git alone.",
    )
    add = parser.add_argument
    add("app", metavar="APP")
    add(
        "--errors-times",
        type=float,
        default=20.0,
        metavar="K",
        help="by how much the fault multiplies errors (default: 20)",
    )
    add(
        "--after",
        default="0",
        metavar="TIME",
        help="from a cluster's first requests until it shows (default: 0)",
    )
    add(
        "--rate",
        type=float,
        default=1000.0,
        metavar="RPS",
        help="requests a second of the fleet (default: 1000)",
    )
    add(
        "--baseline",
        default="0.1%",
        metavar="SHARE",
        help="share of requests that fails anyway (default: 0.1%%)",
    )
    add(
        "--reaction",
        default="4m",
        metavar="TIME",
        help="from proof on a cluster until the others are back: the bot's period and Argo CD's (default: 4m)",
    )
    add("--runs", type=int, default=1000, metavar="N", help="simulated releases (default: 1000)")
    add("--seed", type=int, default=1, metavar="N", help="the same seed gives the same forecast (default: 1)")
    add(
        "--failed-share",
        action="append",
        default=[],
        metavar="METRIC",
        help="this metric of your own is the share of requests that fail",
    )
    return parser


def _assumed(options: "Namespace") -> "Assumed":
    from canaryfleet.forecast import Assumed
    from canaryfleet.quantity import duration, percent

    after, reaction = (
        _number(duration, options.after, "--after"),
        _number(duration, options.reaction, "--reaction"),
    )
    baseline = _number(percent, options.baseline, "--baseline")
    if not 0 < options.rate <= FASTEST:
        raise UsageError(f"--rate: more than 0, and up to {FASTEST} requests a second")
    if not 0 <= options.errors_times <= FASTEST:
        raise UsageError(f"--errors-times: from 0 to {FASTEST}")
    return Assumed(
        rate=options.rate, baseline=baseline, times=options.errors_times, after=after, reaction=reaction,
        abort=1.0, startup=0.0,
    )  # fmt: skip


def _number(read: "Callable[[str], Decimal]", text: str, option: str) -> float:
    try:
        return float(read(text))
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _progress(runs: int, stream: TextIO) -> "Callable[[int], None]":
    """A line on a terminal that tells how far it is."""
    if not stream.isatty():
        return lambda _: None

    def tell(done: int) -> None:
        end = "\r\033[K" if done + 1 == runs else ""
        print(f"\r{done + 1} of {runs} releases{end}", end="", file=stream, flush=True)

    return tell


def text(found: "Forecast", stream: TextIO) -> str:
    """The forecast as this stream can show it: tables that fit a terminal, and bold heads only there."""
    import os

    from canaryfleet.output import table

    terminal = stream.isatty()
    width = _width() if terminal else None
    bold = terminal and not os.environ.get("NO_COLOR")
    waves = table([list(map(one_line, _wave(item))) for item in found.waves], HEAD, width)
    notices = table([list(map(one_line, _threshold(item))) for item in found.thresholds], NOTICES, width)
    parts = [
        _about(found),
        _bold(waves, bold),
        _whole(found),
        *([_bold(notices, bold)] if found.thresholds else []),
    ]
    return "\n\n".join([*parts, *_notes(found)])


def _width() -> int:
    from shutil import get_terminal_size

    return get_terminal_size().columns


def _bold(table: str, bold: bool) -> str:
    head, newline, rest = table.partition("\n")
    return f"\033[1m{head}\033[0m{newline}{rest}" if bold else table


def _about(found: "Forecast") -> str:
    a = found.assumptions
    faulty = min(1.0, a.baseline * a.errorsTimes)
    shows = (
        f"{_time(a.after)} after a cluster's first requests"
        if a.after
        else "from a cluster's first request on"
    )
    return (
        f"{one_line(found.app)} {one_line(found.release)}: a fault with {a.errorsTimes:g} times the errors "
        f"({_percent(a.baseline)} becomes {_percent(faulty)}), {shows}\n"
        f"assumed: {a.rate:g} requests a second, shared by capacity; {_time(a.reaction)} from proof to the way back "
        f"of the others; {a.runs} runs, seed {a.seed}"
    )


def _wave(item: "WaveForecast") -> tuple[str, ...]:
    return (
        item.wave,
        _estimate(item.stopped),
        _estimate(item.share),
        _percent(item.shareP95),
        f"{item.requests.value:.0f}" if item.requests else "-",
        _time(item.seconds.value) if item.seconds else "-",
        _time(item.secondsP95),
    )


def _whole(found: "Forecast") -> str:
    return (
        f"held for too little proof {_estimate(found.held)}, not noticed {_estimate(found.missed)}\n"
        f"of all requests {_estimate(found.share)} meet it (P95 {_percent(found.shareP95)}), "
        f"of the new version's {_estimate(found.canary)}"
    )


def _threshold(item: "ThresholdForecast") -> tuple[str, ...]:
    return (
        item.wave,
        item.stage,
        f"{item.metric} {item.rollback or ''}".rstrip(),
        item.cluster,
        f"{item.requests:.0f}",
        _percent(item.measurement),
        _estimate(item.stageNotices),
        _percent(item.falseAlarm),
    )


def _notes(found: "Forecast") -> list[str]:
    unknown = f"not forecast, and taken to be good: {', '.join(found.unknown)}" if found.unknown else ""
    manual = f"a person is taken to go on at once: {', '.join(found.manual)}" if found.manual else ""
    return ["\n".join(one_line(note) for note in (unknown, manual) if note)] if unknown or manual else []


def _estimate(item: "Estimate | None") -> str:
    return f"{_percent(item.value)} ±{_percent(item.error)}" if item else "-"


def _percent(share: float | None) -> str:
    """Two digits that count."""
    if share is None:
        return "-"
    value = 100 * share
    if 0 < value < LEAST:
        return f"<{LEAST:g}%"
    return f"{value:.0f}%" if value >= 10 or not value else f"{value:.2g}%"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    whole = round(seconds)
    parts = ((whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s"))
    return " ".join([f"{count}{unit}" for count, unit in parts if count][:2]) or "0s"
