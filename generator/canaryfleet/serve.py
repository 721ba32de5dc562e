"""The bot as a service: every app in turn, again and again, with its health, its figures and its log.

One thread works and does nothing twice at once; what hangs is for whoever watches `/healthz` to end. Any
end is safe, since the next run goes on from what is there.
"""

import contextlib
import os
import platform
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from socket import socket, socketpair
from typing import NamedTuple, Protocol

from canaryfleet import __version__, exposition
from canaryfleet.errors import EXIT_BUG, EXIT_OK, Finding, Problems, UsageError
from canaryfleet.exposition import Figure, Histogram
from canaryfleet.journal import Journal
from canaryfleet.models.outcome import BUG, Outcome
from canaryfleet.traces import Traces, configured
from canaryfleet.web import Answer, Page, Request, Server, yes

Run = Callable[[str], Outcome]
Apps = Callable[[], Sequence[str]]
ASKING = 5.0
"""Seconds until an app that is another replica's is asked for again."""


class Settings(NamedTuple):
    """Seconds, and where the service answers."""

    every: float = 60.0
    """From one run of an app to its next."""
    longest: float = 900.0
    """At most, for an app whose runs fail."""
    limit: float = 600.0
    """A run that takes longer hangs."""
    grace: float = 20.0
    """For the present run, when the service is told to end; Kubernetes gives 30."""
    host: str = ""
    port: int = 8080


class Sharing(Protocol):
    """Which apps are this replica's: `lease.Leases`."""

    def held(self, app: str) -> bool: ...
    def want(self, apps: Sequence[str]) -> None: ...
    def start(self) -> None: ...
    def close(self) -> None: ...


class Tell(Protocol):
    """Tells people what is news; gives warnings about who was not told, and raises nothing."""

    def look(self, app: str) -> Sequence[Finding]:
        """Before a run."""
        ...

    def of(self, outcome: Outcome) -> Sequence[Finding]:
        """After it."""
        ...

    def forget(self, app: str) -> None:
        """The app is gone, or another replica's: what people were told of it is no longer known."""
        ...


class Figures:
    """What `/metrics` shows."""

    def __init__(self) -> None:
        self.decisions = Figure(
            "counter", "canaryfleet_decisions_total", "Decisions, by kind.", ("app", "kind")
        )
        self.errors = Figure(
            "counter",
            "canaryfleet_errors_total",
            "Runs that failed, by code of the finding, or bug.",
            ("app", "kind"),
        )
        self.actions = Figure(
            "counter",
            "canaryfleet_actions_total",
            "Pull requests opened, updated, merged, closed.",
            ("app", "action"),
        )
        self.untold = Figure("counter", "canaryfleet_untold_total", "People who could not be told.", ("app",))
        self.ended = Figure(
            "gauge", "canaryfleet_last_run_timestamp_seconds", "End of the last run.", ("app",)
        )
        self.worked = Figure(
            "gauge",
            "canaryfleet_last_success_timestamp_seconds",
            "End of the last run without an error.",
            ("app",),
        )
        self.oldest = Figure(
            "gauge",
            "canaryfleet_oldest_evidence_timestamp_seconds",
            "When the oldest evidence was read.",
            ("app",),
        )
        self.age = Figure(
            "gauge", "canaryfleet_oldest_evidence_age_seconds", "Age of the oldest evidence, now.", ("app",)
        )
        self.alarm = Figure(
            "gauge", "canaryfleet_alarm", "Whether somebody should look now, by the last decision.", ("app",)
        )
        self.waits = Figure(
            "gauge", "canaryfleet_waits_for_person", "Whether its pull request waits for a person.", ("app",)
        )
        self.held = Figure(
            "gauge", "canaryfleet_lease_held", "Whether this replica works on the app.", ("app",)
        )
        self.runs = Histogram("canaryfleet_run_duration_seconds", "How long runs take.")
        self.stages = Histogram(
            "canaryfleet_stage_duration_seconds", "How long parts of runs take.", ("stage",)
        )
        self.build = Figure("gauge", "canaryfleet_build_info", "What runs.", ("version", "python"))
        self.build.set(1, __version__, platform.python_version())

    def outcome(self, outcome: Outcome, now: float) -> None:
        """Count a run."""
        app = outcome.app
        if decision := outcome.decision:
            self.decisions.add(app, decision.kind)
            self.alarm.set(any(reason.alarm for reason in decision.reasons), app)
            self.waits.set(bool(decision.key) and not decision.ready, app)
        if outcome.problem is not None:
            self.errors.add(app, outcome.kind or BUG)
        else:
            self.worked.set(now, app)
        for action in outcome.actions:
            self.actions.add(app, action.verb)
        if outcome.oldest:
            self.oldest.set(outcome.oldest.timestamp(), app)
        self.ended.set(now, app)
        self.runs.observe(outcome.seconds)
        for stage in outcome.stages:
            self.stages.observe(stage.seconds, stage.name)

    def keep(self, apps: Sequence[str]) -> None:
        """Of apps that are no more there are no states; what was counted stays counted."""
        for figure in (self.ended, self.worked, self.held, *self._seen):
            figure.keep(apps)

    def elsewhere(self, app: str) -> None:
        """Another replica works on an app: what this one has seen of it grows old, and is its own no more."""
        for figure in self._seen:
            figure.drop(app)

    @property
    def _seen(self) -> tuple[Figure, ...]:
        return self.oldest, self.age, self.alarm, self.waits

    def text(self, now: float) -> str:
        """All of them; ages grow from one scrape to the next though nothing runs."""
        for _, labels, then in list(self.oldest.samples()):
            self.age.set(max(0.0, now - then), labels[0][1])
        return exposition.text(vars(self).values())


class Loop:
    """Takes every app in turn; `turn` by `turn`, so that it can end between any two."""

    def __init__(
        self,
        run: Run,
        apps: Apps,
        settings: Settings,
        *,
        journal: Journal,
        figures: Figures,
        sharing: Sharing | None = None,
        tell: Tell | None = None,
        traces: Traces | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: random.Random | None = None,
    ) -> None:
        self._run, self._apps, self._settings = run, apps, settings
        self._journal, self._figures, self._traces = journal, figures, traces or Traces()
        self._sharing, self._tell = sharing, tell
        self._clock, self._wall, self._chance = clock, wall, chance or random.Random()  # noqa: S311
        self._due: dict[str, float] = {}
        self._failed: dict[str, int] = {}
        self._look = clock()
        self._unread = 0  # times in a row that the repository could not be read
        self._moves_before = clock() + settings.limit
        self.ready = False

    def alive(self) -> bool:
        """Whether it has moved as it should; asked by another thread."""
        return self._clock() <= self._moves_before

    def count_held(self) -> None:
        """Show which apps are this replica's now."""
        for app in list(self._due):
            self._figures.held.set(self._sharing is None or self._sharing.held(app), app)

    def turn(self) -> float:
        """Do one thing that is due; the seconds until the next one is."""
        now = self._clock()
        self._moves_before = now + self._settings.limit
        if self._look <= now:
            self._read()
        elif (app := min(self._due, key=self._due.__getitem__, default=None)) and self._due[app] <= now:
            self._work(app)
        now = self._clock()
        wait: float = max(0.0, min([self._look, *self._due.values()]) - now)
        self._moves_before = now + wait + self._settings.limit
        return wait

    def _read(self) -> None:
        """Which apps there are. While that can't be read, those that were known go on."""
        try:
            found = list(dict.fromkeys(self._apps()))
        except Exception as error:  # the service outlives whatever a repository holds
            self.ready = False
            self._unread += 1
            kind, said = _said(error)
            self._journal.say("error", "unreadable", errorKind=kind, error=said)
            self._figures.errors.add("", kind)
        else:
            self.ready, self._unread = True, 0
            self._chance.shuffle(found)  # replicas should not all begin with the same
            now = self._clock()
            for app in self._due.keys() - set(found):
                self._failed.pop(app, None)
                self._forget(app)
            self._due = {app: self._due.get(app, now) for app in found}
            self._figures.keep(found)
            if self._sharing:
                self._sharing.want(found)
        self._look = self._clock() + self._delay(self._unread)

    def _work(self, app: str) -> None:
        held = self._sharing is None or self._sharing.held(app)
        if not held:
            self._forget(app)  # another replica decides meanwhile
            self._figures.elsewhere(app)
            self._due[app] = self._clock() + min(self._settings.every, ASKING)
            return
        with self._reporting(app):
            self._warn(app, self._tell.look(app) if self._tell else ())
        outcome = self._safely(app)
        self._failed[app] = self._failed.get(app, 0) + 1 if outcome.problem is not None else 0
        self._report(outcome)
        self._due[app] = self._clock() + self._delay(self._failed[app])

    def _safely(self, app: str) -> Outcome:
        """The outcome of a run, whatever it raises."""
        began = self._clock()
        try:
            outcome = self._run(app)
        except Exception as error:
            kind, said = _said(error)
            return Outcome(app=app, problem=said, kind=kind, seconds=self._clock() - began)
        return outcome

    def _report(self, outcome: Outcome) -> None:
        """Log, count, trace and tell; none of it may end the service."""
        with self._reporting(outcome.app):
            self._journal.outcome(outcome)
            self._figures.outcome(outcome, self._wall())
            self._traces.run(outcome, int(self._wall() * 1e9))
            self._warn(outcome.app, self._tell.of(outcome) if self._tell else ())

    @contextlib.contextmanager
    def _reporting(self, app: str) -> Iterator[None]:
        """Whatever it raises is a line in the log."""
        try:
            yield
        except Exception as error:
            kind, said = _said(error)
            self._journal.say("error", "unreported", app=app, errorKind=kind, error=said)

    def _warn(self, app: str, findings: Sequence[Finding]) -> None:
        for finding in findings:
            self._figures.untold.add(app)
            self._journal.say("warning", "untold", app=app, code=finding.code, error=finding.message)

    def _forget(self, app: str) -> None:
        if self._tell:
            self._tell.forget(app)

    def _delay(self, failures: int) -> float:
        """With jitter, so that apps and replicas spread; longer after each failure in a row, up to a bound."""
        settings = self._settings
        wait = min(settings.every * 2.0 ** min(failures, 30), max(settings.longest, settings.every))
        return wait * self._chance.uniform(0.5 if failures else 0.9, 1.0 if failures else 1.1)


def _said(error: Exception) -> tuple[str, str]:
    """Kind and words of an error; of one that nobody thought of only its place, for its words may be secrets."""
    if isinstance(error, Problems):
        codes = sorted({finding.code for finding in error.findings})
        return (codes[0] if codes else BUG), str(error)
    if isinstance(error, UsageError):
        return "usage", str(error)
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f" in {os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame else ""
    return BUG, f"{type(error).__name__}{where}"


# ---- what it answers


def pages(loop: Loop, figures: Figures, wall: Callable[[], float] = time.time) -> Mapping[str, Answer]:
    """What the service answers, by path."""

    def metrics(_: Request) -> Page:
        loop.count_held()
        return Page(200, exposition.CONTENT_TYPE, figures.text(wall()))

    return {
        "/healthz": lambda _: yes(loop.alive(), "a run takes longer than its limit"),
        "/readyz": lambda _: yes(loop.ready, "the repository can't be read"),
        "/metrics": metrics,
    }


# ---- the whole of it


def serve(
    run: Run,
    apps: Apps,
    *,
    settings: Settings = Settings(),  # noqa: B008  (frozen)
    sharing: Sharing | None = None,
    tell: Tell | None = None,
    journal: Journal | None = None,
    environment: Mapping[str, str] = os.environ,
) -> int:
    """Until SIGTERM or SIGINT; the exit code. Raises UsageError where it can't begin.

    `run` may be left behind in the middle when it takes longer than the grace. Call it in the main thread.
    """
    journal = journal or Journal()
    traces = configured(environment, lambda said: journal.say("warning", "untraced", error=said))
    figures = Figures()
    loop = Loop(
        run, apps, settings, journal=journal, figures=figures, sharing=sharing, tell=tell, traces=traces
    )
    try:
        server = Server(settings.host, settings.port, pages(loop, figures))
    except OSError as error:
        where = f"{settings.host or '*'}:{settings.port}"
        raise UsageError(f"can't listen on {where}: {os.strerror(error.errno or 0)}") from None
    stop, died = threading.Event(), threading.Event()
    # A handler may interrupt whoever holds the lock that `stop.set` needs: so it does nothing, and Python itself
    # writes to a socket, which the main thread waits for.
    ended, tell_end = socketpair()
    tell_end.setblocking(False)
    woken = signal.set_wakeup_fd(tell_end.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    worker = threading.Thread(
        target=_forever, args=(loop, stop, died, tell_end), name="canaryfleet-loop", daemon=True
    )
    try:
        threading.Thread(target=server.serve_forever, name="canaryfleet-http", daemon=True).start()
        if sharing:
            sharing.start()
        journal.say("info", "started", version=__version__, port=server.server_port)
        worker.start()
        ended.recv(1)
        stop.set()
        journal.say("info", "stopping")
        worker.join(settings.grace)
        if sharing and not worker.is_alive():
            sharing.close()  # only who acts no more gives leases up; else they run out
        journal.say("warning" if worker.is_alive() else "info", "stopped", abandoned=worker.is_alive())
        traces.close()
    finally:
        server.shutdown()
        server.server_close()
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        ended.close()
        if not worker.is_alive():
            tell_end.close()
    return EXIT_BUG if died.is_set() else EXIT_OK


def _forever(loop: Loop, stop: threading.Event, died: threading.Event, tell_end: socket) -> None:
    try:
        while not stop.is_set():
            stop.wait(loop.turn())
    except BaseException:
        died.set()
        sys.excepthook(*sys.exc_info())
        raise SystemExit from None
    finally:
        stop.set()
        with contextlib.suppress(OSError):  # full: somebody has told already
            tell_end.send(b"0")
