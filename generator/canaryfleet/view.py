"""A status for people: tables that fit the terminal, and a board that follows what happens.

Colour and cursor belong to a terminal: everybody else gets plain lines. NO_COLOR is respected
(no-color.org). Text that comes from clusters is made printable before it is shown.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TextIO

from canaryfleet.board import ago, concerns
from canaryfleet.errors import one_line
from canaryfleet.models.status import AppStatus, ClusterStatus, Status
from canaryfleet.output import table
from canaryfleet.phrases import some

HEAD = ("WAVE", "CLUSTER", "RELEASE", "VERDICT", "REASON", "STEP", "WEIGHT", "SINCE", "NEAREST METRIC")
COLOURS = {"Verified": "32", "Progressing": "36", "Inconclusive": "33", "Unknown": "35", "Failed": "31"}
SHOWN = 3  # clusters that are named before the others are counted


def text(status: Status, stream: TextIO) -> str:
    """The whole status, as this stream can show it."""
    terminal = stream.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    colour = terminal and not os.environ.get("NO_COLOR")
    return "\n\n".join(_app(app, status.at, width, colour=colour) for app in status.apps) or "no app is here"


def _app(app: AppStatus, at: datetime, width: int | None, *, colour: bool) -> str:
    found = [(wave.name, item) for wave in app.waves for item in wave.clusters]
    rows = [_row(wave, item, at) for wave, item in found]
    head, *lines = table(rows, HEAD, width).split("\n")
    if colour:
        lines = [_coloured(line, item) for line, (_, item) in zip(lines, found, strict=True)]
        head = f"\033[1m{head}\033[0m"
    candidate = f"candidate {app.candidate}" if app.candidate else "no candidate"
    said = [_cut(line, width) for line in _explained([item for _, item in found])]
    title = one_line(f"{app.app} in {app.namespace or '?'}: {candidate}")
    return "\n".join([_cut(title, width), head, *lines, *said])


def _row(wave: str, item: ClusterStatus, at: datetime) -> tuple[str, ...]:
    verdict = item.verdict
    done = f"{item.step}/{item.steps}" if item.step is not None and item.steps else ""
    return (
        wave,
        item.cluster,
        item.release or "-",
        verdict.kind if verdict else "-",
        verdict.reason if verdict else ("not looked at" if item.release else "not deployed"),
        done,
        "" if item.weight is None else f"{item.weight}%",
        ago(at, verdict.since) if verdict else "",
        _nearest(item),
    )


def _nearest(item: ClusterStatus) -> str:
    near = item.nearest
    if near is None:
        return ""
    limits = " ".join(filter(None, (near.promote, near.rollback)))
    return one_line(f"{near.name} {f'{near.unit} ' if near.unit else ''}{near.value:.3g} ({limits})")


def _coloured(line: str, item: ClusterStatus) -> str:
    kind = item.verdict.kind if item.verdict else ""
    return line.replace(kind, f"\033[{COLOURS[kind]}m{kind}\033[0m", 1) if kind else line


def _cut(line: str, width: int | None) -> str:
    return line if not width or len(line) <= width else line[: width - 1] + "…"


def _explained(items: Iterable[ClusterStatus]) -> Iterator[str]:
    """What needs a person, equal words of many clusters once."""
    for item in concerns(items):
        names = item.clusters
        remedy = f" ({item.remedy})" if item.remedy else ""
        yield one_line(f"{some(names, SHOWN)}: {item.kind}, {item.reason}: {item.message}{remedy}")


class Board:
    """A status that is shown again and again: in place on a terminal, elsewhere a line for every change."""

    REDRAW = 0.2  # seconds

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._drawn = 0.0
        self._lines: dict[str, str] = {}

    def show(self, status: Status, *, whole: bool) -> None:
        """Show it; `whole`: a round is complete, so it has to be drawn now."""
        if not self._live:
            self._tell(status)
        elif whole or time.monotonic() - self._drawn > self.REDRAW:
            self._draw(status)
            self._drawn = time.monotonic()
        self._stream.flush()

    def _draw(self, status: Status) -> None:
        """From the top, each line to its end, and nothing below: no flicker."""
        height = shutil.get_terminal_size().lines - 1
        lines = [f"{status.at:%F %T}Z", "", *text(status, self._stream).split("\n")]
        if len(lines) > height:
            lines = [*lines[: height - 1], f"… {len(lines) - height + 1} more lines"]
        self._stream.write("\033[H" + "".join(f"{line}\033[K\n" for line in lines) + "\033[J")

    def _tell(self, status: Status) -> None:
        for app in status.apps:
            for wave in app.waves:
                for item in wave.clusters:
                    self._tell_one(app.app, wave.name, item, status.at)

    def _tell_one(self, app: str, wave: str, item: ClusterStatus, at: datetime) -> None:
        if item.verdict is None:
            return
        words = [word for word in _row(wave, item, at)[:7] if word]  # not what changes by itself
        line = one_line(" ".join([app, *words]))
        if self._lines.get(f"{app}/{item.cluster}") != line:
            self._lines[f"{app}/{item.cluster}"] = line
            print(f"{item.seen or at:%F %T}Z {line}", file=self._stream)

    def __enter__(self) -> "Board":
        if self._live:
            self._stream.write("\033[?1049h\033[?25l")  # a screen of its own, without a cursor
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._stream.write("\033[?25h\033[?1049l")
            self._stream.flush()
