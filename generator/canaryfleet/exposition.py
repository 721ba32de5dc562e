"""Our own figures as Prometheus reads them: https://prometheus.io/docs/instrumenting/exposition_formats/, 0.0.4.

Our own and no library: three kinds of figures and one format, against a package with a registry that is
global, hooks into the process, and threads of its own.
"""

import math
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from canaryfleet.errors import one_line

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds: from a run that finds nothing to do to one that waits for clusters that hang."""
Labels = tuple[str, ...]
Sample = tuple[str, tuple[tuple[str, str], ...], float]  # suffix of the name, labels, value


class Figure:
    """A counter or a gauge, by its labels' values."""

    def __init__(
        self, kind: Literal["counter", "gauge"], name: str, help: str, labels: Sequence[str] = ()
    ) -> None:
        self.kind, self.name, self.help, self.labels = kind, name, help, tuple(labels)
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, *labels: str, amount: float = 1.0) -> None:
        """One more."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0.0) + amount

    def set(self, value: float, *labels: str) -> None:
        """What it is now."""
        with self._lock:
            self._values[labels] = value

    def keep(self, first: Iterable[str]) -> None:
        """Forget what is not of these, by its first label: an app that is no more has no figures."""
        wanted = set(first)
        with self._lock:
            self._values = {labels: value for labels, value in self._values.items() if labels[0] in wanted}

    def drop(self, first: str) -> None:
        """Forget what has this first label."""
        with self._lock:
            self._values = {labels: value for labels, value in self._values.items() if labels[0] != first}

    def samples(self) -> Iterator[Sample]:
        """All, in order."""
        with self._lock:
            found = sorted(self._values.items())
        for labels, value in found:
            yield "", tuple(zip(self.labels, labels, strict=True)), value


class Histogram:
    """How many took how long."""

    kind = "histogram"

    def __init__(
        self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = BUCKETS
    ) -> None:
        self.name, self.help, self.labels, self._bounds = name, help, tuple(labels), tuple(buckets)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def observe(self, value: float, *labels: str) -> None:
        """One more, of this many seconds."""
        with self._lock:
            counts = self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
            counts[bisect_left(self._bounds, value)] += 1
            self._sums[labels] = self._sums.get(labels, 0.0) + value

    def samples(self) -> Iterator[Sample]:
        """Buckets that add up, sum and count."""
        with self._lock:
            found = sorted(
                (labels, list(counts), self._sums[labels]) for labels, counts in self._counts.items()
            )
        for labels, counts, total in found:
            pairs, upto = tuple(zip(self.labels, labels, strict=True)), 0
            for bound, count in zip((*self._bounds, math.inf), counts, strict=True):
                upto += count
                yield "_bucket", (*pairs, ("le", _number(bound))), upto
            yield "_sum", pairs, total
            yield "_count", pairs, upto


def text(figures: Iterable[Figure | Histogram]) -> str:
    """All of them, as the answer to a scrape."""
    lines = []
    for figure in figures:
        lines.append(f"# HELP {figure.name} {_escaped(figure.help, quotes=False)}")
        lines.append(f"# TYPE {figure.name} {figure.kind}")
        for suffix, labels, value in figure.samples():
            pairs = ",".join(f'{name}="{_escaped(said)}"' for name, said in labels)
            lines.append(f"{figure.name}{suffix}{f'{{{pairs}}}' if pairs else ''} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escaped(said: str, *, quotes: bool = True) -> str:
    """Without line ends or other control characters, whatever others have written."""
    line = one_line(said).replace("\\", "\\\\")
    return line.replace('"', '\\"') if quotes else line


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(int(value)) if value == int(value) else repr(value)
