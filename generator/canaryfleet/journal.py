"""The service's log: one JSON object a line, for machines that read logs and people with `jq`.

ASCII alone, so that no text of others becomes a line, a colour or another direction of writing.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from canaryfleet.models.outcome import BUG, Outcome

Level = Literal["info", "warning", "error"]
LONGEST = 2000  # characters of one text
_SHORTEST = 6  # characters of a secret; what is shorter hides words, and no secret


class Journal:
    """Writes lines; what it is told to hide appears in none."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._stream, self._clock = stream or sys.stderr, clock
        self._secrets: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def hide(self, secrets: Iterable[str]) -> None:
        """Values that must never be shown: a second line of defence, for errors of libraries."""
        found = {*self._secrets, *(secret for secret in secrets if len(secret) >= _SHORTEST)}
        self._secrets = tuple(sorted(found, key=len, reverse=True))

    def say(self, level: Level, event: str, **fields: Any) -> None:
        """One line. Fields that are None or empty are left out; texts are cut."""
        said = {name: self._plain(value) for name, value in fields.items() if value not in (None, "", (), [])}
        entry = {
            "time": self._clock().isoformat(timespec="milliseconds"),
            "level": level,
            "event": event,
            **said,
        }
        line = json.dumps(entry, ensure_ascii=True, allow_nan=False, default=str)
        with self._lock, suppress(OSError, ValueError):  # nobody reads it any more: work goes on
            self._stream.write(line + "\n")
            self._stream.flush()

    def outcome(self, outcome: Outcome) -> None:
        """What a run came to."""
        decision = outcome.decision
        problem = outcome.problem is not None
        self.say(
            "error" if problem else "info",
            "failed" if problem else "decided",
            app=outcome.app,
            kind=decision.kind if decision else None,
            key=decision.key if decision else None,
            release=decision.release if decision else None,
            wave=decision.wave if decision else None,
            reasons=[reason.code for reason in decision.reasons] if decision else None,
            actions=[action.verb for action in outcome.actions],
            pullRequests=sorted({action.number for action in outcome.actions}),
            seconds=round(outcome.seconds, 3),
            errorKind=outcome.kind or (BUG if problem else None),
            error=outcome.problem,
        )

    def _plain(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._plain(item) for item in value]
        if not isinstance(value, str):
            return value
        for secret in self._secrets:
            value = value.replace(secret, "***")
        return value if len(value) <= LONGEST else value[:LONGEST] + "…"
