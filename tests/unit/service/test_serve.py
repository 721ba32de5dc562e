"""The service: whose turn it is, what a fault costs, what it answers, and how it ends."""

import contextlib
import io
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from test_telling import parse

from canaryfleet.errors import WARNING, Finding, Place, Problems, UsageError, problem
from canaryfleet.journal import Journal
from canaryfleet.models.decision import Decision, Reason
from canaryfleet.models.outcome import Action, Outcome, Stage
from canaryfleet.serve import Figures, Loop, Settings, pages, serve
from canaryfleet.web import Request, Server

SETTINGS = Settings(every=60.0, longest=900.0, limit=600.0)


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A loop turned by hand, and all that it says and does."""

    def __init__(
        self, run: Callable[[str], Outcome] | None = None, apps: Sequence[str] = ("chat", "web"), **more: Any
    ) -> None:
        self.clock, self.stream, self.figures = Clock(), io.StringIO(), Figures()
        self.apps: Any = list(apps)
        self.ran: list[tuple[float, str]] = []
        self._run = run or (lambda app: Outcome(app=app))
        self.loop = Loop(
            self.run, self.read, SETTINGS, journal=Journal(self.stream), figures=self.figures, clock=self.clock,
            wall=lambda: 1_800_000_000.0, chance=random.Random(7), **more,
        )  # fmt: skip

    def run(self, app: str) -> Outcome:
        self.ran.append((self.clock.now, app))
        return self._run(app)

    def read(self) -> list[str]:
        if isinstance(self.apps, Exception):
            raise self.apps
        return list(self.apps)

    def until(self, seconds: float) -> None:
        """Turns, and waits as long as they say, for so long."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now += min(self.loop.turn(), end - self.clock.now)

    def times(self, app: str) -> list[float]:
        return [at for at, name in self.ran if name == app]

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.stream.getvalue().splitlines())
        return [line for line in lines if line["event"] == event]

    def samples(self, name: str) -> dict[Any, float]:
        found = parse(pages(self.loop, self.figures, lambda: 1_800_000_100.0)["/metrics"](Request()).text)
        return {dict(labels)["app"]: value for (_, labels), value in found[name].samples.items()}


def gaps(times: list[float]) -> list[float]:
    return [b - a for a, b in itertools.pairwise(times)]


# whose turn it is


def test_every_app_has_its_turn_again_and_again_with_jitter() -> None:
    bench = Bench()
    bench.until(3600)
    for app in ("chat", "web"):
        waits = gaps(bench.times(app))
        assert len(waits) >= 54
        assert all(54 <= wait <= 66 for wait in waits)
        assert len(set(waits)) > 10


def test_what_raises_costs_its_app_alone_ever_longer_waits() -> None:
    def run(app: str) -> Outcome:
        if app == "chat":
            raise RuntimeError("with secret-word")
        return Outcome(app=app)

    bench = Bench(run)
    bench.until(20_000)
    waits = gaps(bench.times("chat"))
    assert all(60 * 2**n / 2 <= wait <= 60 * 2**n for n, wait in enumerate(waits[:3], 1))
    assert all(450 <= wait <= 900 for wait in waits[4:])
    assert all(wait <= 66 for wait in gaps(bench.times("web")))
    failed = bench.said("failed")
    assert len(failed) == len(bench.times("chat"))
    assert (failed[0]["errorKind"], failed[0]["app"]) == ("bug", "chat")
    assert "RuntimeError in test_serve.py:" in failed[0]["error"]
    assert "secret-word" not in bench.stream.getvalue()


def test_after_a_run_that_works_the_waits_are_short_again() -> None:
    fails = [True]
    bench = Bench(lambda app: Outcome(app=app, problem="no" if fails[0] else None, kind="CF180"), ["chat"])
    bench.until(4000)
    fails[0] = False
    bench.until(4000)
    assert all(wait <= 66 for wait in gaps(bench.times("chat"))[-10:])


def test_apps_come_and_go() -> None:
    bench = Bench(apps=["chat"])
    bench.until(100)
    bench.apps = ["web"]
    bench.until(70)
    seen = len(bench.times("chat"))
    bench.until(600)
    assert len(bench.times("chat")) == seen
    assert len(bench.times("web")) > 5
    assert set(bench.samples("canaryfleet_last_run_timestamp_seconds")) == {"web"}


class Telling:
    """Notes what it is asked for."""

    def __init__(self, raises: type[Exception] | None = None, *findings: Finding) -> None:
        self.calls: list[tuple[str, str]] = []
        self._raises, self._findings = raises, findings

    def look(self, app: str) -> Sequence[Finding]:
        return self._note("look", app)

    def of(self, outcome: Outcome) -> Sequence[Finding]:
        return self._note("of", outcome.app)

    def forget(self, app: str) -> None:
        self.calls.append(("forget", app))

    def _note(self, what: str, app: str) -> Sequence[Finding]:
        self.calls.append((what, app))
        if self._raises:
            raise self._raises
        return self._findings


def test_of_an_app_that_is_gone_it_is_forgotten_what_people_know() -> None:
    tell = Telling()
    bench = Bench(apps=["chat"], tell=tell)
    bench.until(1)
    bench.apps = []
    bench.until(70)
    assert tell.calls[-1] == ("forget", "chat")
    bench.apps = ["chat"]
    bench.until(70)
    assert tell.calls[-2:] == [("look", "chat"), ("of", "chat")]


def test_no_apps_at_all_is_no_fault() -> None:
    bench = Bench(apps=[])
    bench.until(600)
    assert bench.loop.ready
    assert bench.loop.alive()


def test_what_telling_raises_ends_nothing() -> None:
    bench = Bench(tell=Telling(RuntimeError))
    bench.until(600)
    assert len(bench.times("chat")) > 5
    assert bench.said("unreported")


def test_what_people_know_is_read_before_a_run_and_what_fails_is_a_warning() -> None:
    tell = Telling(None, Finding(Place("fleet.yaml"), "CF186", "team was not told", "", WARNING))

    def run(app: str) -> Outcome:
        tell.calls.append(("run", app))
        return Outcome(app=app)

    bench = Bench(run, ["chat"], tell=tell)
    bench.until(70)
    assert tell.calls == [("look", "chat"), ("run", "chat"), ("of", "chat")] * 2
    assert [line["code"] for line in bench.said("untold")] == ["CF186"] * 4
    assert bench.samples("canaryfleet_untold_total") == {"chat": 4}


class Sharing:
    """Leases that are set by hand."""

    def __init__(self) -> None:
        self.mine: set[str] = set()
        self.wanted: list[str] = []
        self.calls: list[str] = []

    def held(self, app: str) -> bool:
        return app in self.mine

    def want(self, apps: Sequence[str]) -> None:
        self.wanted = sorted(apps)

    def start(self) -> None:
        self.calls.append("start")

    def close(self) -> None:
        self.calls.append("close")


def test_an_app_of_another_replica_is_left_alone_until_it_is_ours() -> None:
    sharing = Sharing()
    sharing.mine = {"web"}
    bench = Bench(sharing=sharing)
    bench.until(300)
    assert sharing.wanted == ["chat", "web"]
    assert not bench.times("chat")
    assert bench.samples("canaryfleet_lease_held") == {"chat": 0, "web": 1}
    sharing.mine = {"chat"}
    assert bench.samples("canaryfleet_lease_held") == {"chat": 1, "web": 0}
    begin = bench.clock.now
    bench.until(10)
    assert bench.times("chat")[0] <= begin + 5


def test_what_this_replica_saw_of_an_app_is_not_shown_when_another_works_on_it() -> None:
    """It grows old here, and would alarm for ever."""
    reasons = (Reason(code="failed", message="no", alarm=True),)
    decision = Decision(app="chat", kind="Rollback", key="k", reasons=reasons)
    oldest = datetime.fromtimestamp(1_800_000_000, UTC)
    sharing = Sharing()
    sharing.mine = {"chat"}
    bench = Bench(
        lambda app: Outcome(app=app, decision=decision, oldest=oldest), apps=["chat"], sharing=sharing
    )
    bench.until(10)
    gone = ("canaryfleet_alarm", "canaryfleet_waits_for_person", "canaryfleet_oldest_evidence_age_seconds")
    assert [bench.samples(name) for name in gone] == [{"chat": 1}, {"chat": 1}, {"chat": 100}]
    sharing.mine = set()
    bench.until(120)
    assert [bench.samples(name) for name in gone] == [{}, {}, {}]
    assert bench.samples("canaryfleet_lease_held") == {"chat": 0}


def test_what_people_know_is_forgotten_when_another_replica_decides() -> None:
    sharing, tell = Sharing(), Telling()
    sharing.mine = {"chat"}
    bench = Bench(apps=["chat"], sharing=sharing, tell=tell)
    bench.until(10)
    sharing.mine = set()
    bench.until(120)
    sharing.mine = {"chat"}
    bench.until(10)
    turn = [("look", "chat"), ("of", "chat")]
    assert list(dict.fromkeys(tell.calls)) == [*turn, ("forget", "chat")]
    assert tell.calls[-2:] == turn
    assert tell.calls[-3] == ("forget", "chat")


# how it is


def test_it_is_ready_once_the_repository_was_read_and_while_it_can_be() -> None:
    bench = Bench()
    ready = pages(bench.loop, bench.figures)["/readyz"]
    assert ready(Request()).status == 503
    bench.until(1)
    assert ready(Request()).status == 200
    bench.apps = problem(Place("fleet.yaml"), "CF025", "git failed")
    bench.until(70)
    assert ready(Request()).status == 503
    assert bench.said("unreadable")[0]["errorKind"] == "CF025"
    ran = len(bench.times("chat"))
    bench.until(300)
    assert len(bench.times("chat")) > ran  # those that were known go on
    bench.apps = ["chat"]
    bench.until(1000)
    assert ready(Request()).status == 200


def test_a_run_that_hangs_makes_liveness_fail_and_waiting_does_not() -> None:
    bench = Bench(apps=["chat"])
    alive = pages(bench.loop, bench.figures)["/healthz"]
    seen = []

    def hang(app: str) -> Outcome:
        seen.append(alive(Request()).status)
        bench.clock.now += 599
        seen.append(alive(Request()).status)
        bench.clock.now += 2
        seen.append(alive(Request()).status)
        return Outcome(app=app)

    bench._run = hang
    bench.loop.turn(), bench.loop.turn()
    assert seen == [200, 200, 503]
    assert alive(Request()).status == 200
    bench.clock.now += 600  # it is long over its time
    assert alive(Request()).status == 200
    bench.clock.now += 70
    assert alive(Request()).status == 503


def test_waiting_long_after_faults_is_no_hanging() -> None:
    bench = Bench(lambda app: Outcome(app=app, problem="no", kind="CF180"), ["chat"])
    bench.until(1)
    bench.apps = RuntimeError()
    waits = []
    for _ in range(40):
        waits.append(bench.loop.turn())
        bench.clock.now += waits[-1]
        assert bench.loop.alive()
    assert max(waits) > SETTINGS.limit / 2
    bench.loop._settings = SETTINGS._replace(every=2000.0, longest=3000.0)
    for _ in range(10):
        bench.clock.now += bench.loop.turn()
        assert bench.loop.alive()


def test_figures_tell_what_was_decided_and_what_went_wrong() -> None:
    read = datetime(2027, 1, 15, 7, 59, tzinfo=UTC)  # 60 s before the loop's wall clock

    def run(app: str) -> Outcome:
        if app == "web":
            raise Problems([Finding(Place("x"), "CF184", "no")])
        return Outcome(
            app=app, decision=Decision(app=app, kind="Advance", reasons=()), seconds=2.0, oldest=read,
            actions=(Action(verb="opened", number=1), Action(verb="merged", number=1)),
            stages=(Stage(name="read", began=0, seconds=1.5),),
        )  # fmt: skip

    bench = Bench(run)
    bench.until(1)
    found = parse(pages(bench.loop, bench.figures, lambda: 1_800_000_100.0)["/metrics"](Request()).text)
    assert found["canaryfleet_decisions_total"].samples == {
        ("canaryfleet_decisions_total", (("app", "chat"), ("kind", "Advance"))): 1
    }
    assert found["canaryfleet_errors_total"].samples == {
        ("canaryfleet_errors_total", (("app", "web"), ("kind", "CF184"))): 1
    }
    assert sum(found["canaryfleet_actions_total"].samples.values()) == 2
    assert bench.samples("canaryfleet_oldest_evidence_age_seconds") == {"chat": 160.0}
    assert bench.samples("canaryfleet_last_success_timestamp_seconds") == {"chat": 1_800_000_000.0}
    assert set(bench.samples("canaryfleet_last_run_timestamp_seconds")) == {"chat", "web"}
    assert (
        found["canaryfleet_run_duration_seconds"].samples["canaryfleet_run_duration_seconds_count", ()] == 2
    )
    assert found["canaryfleet_build_info"].samples


@pytest.fixture
def server() -> Any:
    bench = Bench()
    bench.until(1)
    server = Server("127.0.0.1", 0, pages(bench.loop, bench.figures))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(server: Server, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_it_answers_over_http(server: Server) -> None:
    assert ask(server, "GET", "/healthz")[::2] == (200, b"ok\n")
    assert ask(server, "GET", "/readyz?verbose")[0] == 200
    status, headers, body = ask(server, "GET", "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert parse(body.decode())["canaryfleet_build_info"]
    assert ask(server, "HEAD", "/healthz")[::2] == (200, b"")
    assert ask(server, "GET", "/")[0] == 404
    assert ask(server, "POST", "/healthz")[0] == 404
    assert "Python" not in headers["server"]


def test_many_who_say_nothing_take_no_more_than_their_room(server: Server) -> None:
    silent = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(60)]
    for one in silent[40:]:
        one.settimeout(2)  # a silent one that was let in is kept for longer
        assert one.recv(1) == b""  # refused at once
    for one in silent[:32]:
        one.close()
    for _ in range(1000):
        with contextlib.suppress(OSError):
            assert ask(server, "GET", "/healthz")[0] == 200
            break
    else:
        pytest.fail("there is no room again")
    for one in silent:
        one.close()


# how it ends

PROGRAM = """
import sys, time
from canaryfleet.models.outcome import Outcome
from canaryfleet.serve import Settings, serve
from canaryfleet.journal import Journal
def run(app):
    print("began", flush=True)
    if sys.argv[1] == "hang":
        time.sleep(60)
    if sys.argv[1] == "work":
        sys.stdin.readline()
    return Outcome(app=app)
def apps():
    if sys.argv[1] == "die":
        raise SystemExit("gone")
    return ["chat"]
class Sharing:
    def held(self, app): return True
    def want(self, apps): pass
    def start(self): print("start", flush=True)
    def close(self): print("close", flush=True)
code = serve(run, apps, settings=Settings(every=0.01, grace=0.2 if sys.argv[1] == "hang" else 30, host="127.0.0.1", port=0),
             sharing=Sharing())
print("code", code, flush=True)
sys.exit(code)
"""


def program(what: str) -> "subprocess.Popen[str]":
    source = Path(__file__).resolve().parents[3] / "generator"
    environment = {**os.environ, "PYTHONPATH": str(source)}
    for name in [name for name in environment if name.startswith("OTEL_")]:
        del environment[name]
    pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", PROGRAM, what], env=environment, text=True, **pipes)


def ended(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What it said until its end, which has to come."""
    try:
        return process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_present_step(number: signal.Signals) -> None:
    with program("work") as process:
        assert process.stdout
        assert process.stdin
        assert [process.stdout.readline().strip() for _ in range(2)] == ["start", "began"]
        process.send_signal(number)
        process.stdin.write("\n")
        process.stdin.flush()
        out, err = ended(process)
    assert process.returncode == 0
    assert out.split("\n")[:2] == ["close", "code 0"]
    events = [json.loads(line)["event"] for line in err.splitlines()]
    assert events[0] == "started"
    assert events[-1] == "stopped"
    assert "decided" in events
    assert json.loads(err.splitlines()[-1])["abandoned"] is False


def test_a_step_that_hangs_is_left_behind_with_its_lease() -> None:
    with program("hang") as process:
        assert process.stdout
        assert [process.stdout.readline().strip() for _ in range(2)] == ["start", "began"]
        process.send_signal(signal.SIGTERM)
        out, err = ended(process)
    assert process.returncode == 0
    assert "close" not in out
    assert json.loads(err.splitlines()[-1])["abandoned"] is True


def test_a_loop_that_dies_ends_the_process_as_a_bug() -> None:
    with program("die") as process:
        out, err = ended(process)
    assert process.returncode == 3
    assert "code 3" in out
    assert "SystemExit" in err


def test_a_port_that_is_taken_is_a_wrong_usage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="can't listen"):
            serve(
                lambda app: Outcome(app=app),
                list,
                settings=Settings(host="127.0.0.1", port=port),
                environment={},
            )
