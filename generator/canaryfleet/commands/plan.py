"""`canaryfleet plan`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TextIO

from canaryfleet.commands import arguments, outcome
from canaryfleet.errors import UsageError, one_line
from canaryfleet.phrases import some

if TYPE_CHECKING:
    from datetime import datetime

    from canaryfleet.models.plan import AppPlan, LiveChange, Plan, WavePlan

HEAD = ("WAVE", "CLUSTERS", "OF FLEET", "CAPACITY", "AT A TIME", "EACH", "BEGINS", "ENDS", "NEEDS")
SHOWN = 3  # clusters that are named before the others are counted
WHEN = {
    "merge": "at once, when this is merged",
    "render": "with the next `canaryfleet render`",
    "rest": "once the Rollout is at rest",
}


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    options = _options(given)
    from canaryfleet.outlook import outlook

    found = outlook(arguments.tree(options.root), options.apps, instant(options.at), build=options.build)
    outcome.show(found.findings, as_json=False)
    if options.output == "json":
        from canaryfleet.output import print_model

        print_model(found.plan)
    else:
        print(text(found.plan, sys.stdout))
    return outcome.code(found.findings)


class _Options(NamedTuple):
    """What the words mean."""

    apps: Sequence[str]
    root: str | None = None
    output: str = "text"
    at: str | None = None
    build: bool = False


def _options(given: list[str]) -> _Options:
    """The options; apps alone are read without argparse, which takes a tenth of the whole."""
    if not any(word.startswith("-") for word in given):
        return _Options(given)
    parser = arguments.parser(
        "plan",
        "Say how a release would go: waves, clusters, share of the fleet, least time to the end, and what takes "
        "effect outside of the canary. It looks at Git alone.",
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="as if it began then: 2026-11-20T10:00:00Z, or 2h from now (default: now)",
    )
    parser.add_argument(
        "--build", action="store_true", help="build kustomize bases, to compare what comes from them too"
    )
    return _Options(**vars(arguments.parse(parser, given)))


def instant(text: str | None) -> "datetime":
    """The time that `--at` names; now, if it names none. Raises UsageError."""
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    if text is None:
        return now
    from canaryfleet.quantity import duration

    try:
        if text[:1].isdigit() and "-" not in text:
            return now + timedelta(seconds=float(duration(text)))
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--at: {error}") from None
    if at.tzinfo is None:
        raise UsageError(f"--at: {text} has no time zone: write 2026-11-20T10:00:00Z")
    if not 1000 <= at.year < 9000:  # windows and waves need room in the calendar
        raise UsageError(f"--at: {text} is no year of a release")
    return at.astimezone(UTC)


def text(plan: "Plan", stream: TextIO) -> str:
    """The plan as this stream can show it: tables that fit a terminal, and bold heads only there."""
    import os

    terminal = stream.isatty()
    width = _width() if terminal else None
    colour = terminal and not os.environ.get("NO_COLOR")
    return "\n\n".join(_app(app, plan.at, width, colour=colour) for app in plan.apps) or "no app is here"


def _width() -> int:
    from shutil import get_terminal_size

    return get_terminal_size().columns


def _app(app: "AppPlan", at: "datetime", width: int | None, *, colour: bool) -> str:
    from canaryfleet.output import table

    head, *rows = table([_row(wave) for wave in app.waves], HEAD, width).split("\n")
    if colour:
        head = f"\033[1m{head}\033[0m"
    return "\n".join([*_intro(app), head, *rows, *_end(app, at), *_below(app)])


def _intro(app: "AppPlan") -> list[str]:
    rendered = {True: "", False: ", which is not rendered: `canaryfleet render`", None: ""}[app.rendered]
    strategy = "blue-green" if app.strategy == "blueGreen" else "canary"
    hotfix = ", hotfix" if app.urgency == "hotfix" else ""
    runs = "; ".join(f"{id} on {count}" for id, count in app.running.items())
    return [
        one_line(f"{app.app} in {app.namespace}: {app.release} ({strategy}{hotfix}){rendered}"),
        one_line(f"Git has {runs or 'it nowhere yet'}"),
    ]


def _row(wave: "WavePlan") -> tuple[str, ...]:
    gone = len(wave.members) - len(wave.toGo)
    return (
        wave.name,
        _names(wave.toGo) + (f" ({gone} of {len(wave.members)} have it)" if gone and wave.toGo else "")
        if wave.toGo
        else f"all {len(wave.members)} have it",
        _percent(wave.share.clusters),
        _percent(wave.share.capacity),
        _sizes(wave.batches),
        _time(wave.least) if wave.batches else "-",
        _date(wave.begins) if wave.batches else "-",
        _date(wave.ends) if wave.batches else "-",
        "; ".join([*(["approval"] if wave.approval and wave.batches else []), *wave.stops]),
    )


def _sizes(batches: Sequence[int]) -> str:
    """Clusters: `3 (2 times), then 1`."""
    same = sum(size == batches[0] for size in batches) if batches else 0
    times = f" ({same} times)" if same > 1 else ""
    shown = f"{batches[0]}{times}" if batches else "-"
    return ", then ".join([shown, *map(str, batches[same:])])


def _end(app: "AppPlan", at: "datetime") -> list[str]:
    if not any(wave.batches for wave in app.waves):
        return ["every cluster has it"]
    begun = f"at least {_time(app.least)} from {_date(at)}"
    until = f"; ends {_date(app.ends)} at the earliest" if app.ends else "; no end is known of what stops it"
    asks = [wave.name for wave in app.waves if wave.approval and wave.batches]
    approvals = f"; plus a person's approval of {', '.join(asks)}" if asks else ""
    manual = f"; plus a person in each cluster at {', '.join(app.manual)}" if app.manual else ""
    return [one_line(begun + until + approvals + manual)]


def _below(app: "AppPlan") -> list[str]:
    moves = [
        f"merging this moves {_names(item.clusters)} from {item.before or 'nothing'} to {item.after or 'nothing'}"
        for item in app.moves
    ]
    excused = sorted({name for wave in app.waves for name in wave.excused})
    out = [f"nobody waits for {_names(excused)}"] if excused else []
    return [one_line(line) for line in (*moves, *map(_outside, app.outside), *out, *app.notes)]


def _outside(item: "LiveChange") -> str:
    change = f"{item.setting} {item.before or 'nothing'} becomes {item.after or 'nothing'}"
    return f"outside of the canary: {change} on {_names(item.clusters)}, {WHEN[item.when]}"


def _names(names: Sequence[str]) -> str:
    if len(names) <= SHOWN:
        return ", ".join(names)
    return some(names, SHOWN - 1)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.01 or not share else f"{100 * share:.1g}%"


def _date(at: "datetime | None") -> str:
    return f"{at:%a %Y-%m-%d %H:%M}Z" if at else "?"


def _time(seconds: int) -> str:
    """1d 2h, 25m: whole minutes, rounded up."""
    minutes = -(-seconds // 60)
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "m"))
    return " ".join(f"{count}{unit}" for count, unit in parts if count) or "0m"
