"""Long answers live through every change of a canary, and end only where the spec says so."""

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from app import App
from driving import (
    MANUAL,
    PORT,
    UNMEASURED,
    internal,
    proxies,
    stop_at,
    until_all_by,
    until_route,
    until_share,
)
from rig import RigError, wait_until
from rig.net import LOOPBACK
from rig.traffic import ISTIO_API
from standins import StandIn, stand_in

from conftest import NEWEST

LONG = 600.0  # seconds that a stream would last if the test did not end it
ENVOY_DEFAULT = 15.0  # seconds after which Envoy ends a request if nobody says otherwise


@pytest.fixture
def backend() -> Iterator[StandIn]:
    """A backend that streams until it is told to come to the end."""
    made = StandIn("stand-in")
    yield made
    made.finish.set()
    made.close()


class Stream:
    """A streamed answer, read in the background; `lines` grows, `whole` tells how it ended."""

    def __init__(self, app: App, inside: bool, headers: dict[str, str] | None = None) -> None:
        client, host = app.member.client, internal(app) if inside else app.host
        port = client.proxy_port if inside else client.gateway_port
        self.began = time.monotonic()
        self.lines: list[str] = []
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
        target = f"http://{host}/stream" if inside else "/stream"
        self._connection.request("GET", f"{target}?seconds={LONG}", headers={"Host": host, **(headers or {})})
        self.whole: Future[bool] = Future()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.closing(self._connection):
            try:
                with self._connection.getresponse() as answer:
                    self.lines.extend(line.decode().strip() for line in answer)
            except (OSError, http.client.HTTPException):
                self.whole.set_result(False)
            else:
                self.whole.set_result(self.lines[-1] == "end")


def canary(make_app: Callable[..., App], backend: StandIn, **changes: object) -> App:
    """An app whose stable version is the stand-in."""
    app = make_app(analysis=UNMEASURED, workload__port=PORT, workload__replicas=2, **changes)
    first = app.deploy("1.0.0")
    app.until_healthy(first)
    stand_in(app, app.stable, backend)
    until_all_by(app, backend.name)
    return app


@NEWEST
def test_a_stream_outlives_weight_changes_completion_and_the_end_of_the_old_pods(
    make_app: Callable[..., App], backend: StandIn
) -> None:
    steps = [{"weight": f"{percent}%", "for": MANUAL} for percent in (30, 60)]
    app = canary(make_app, backend, exposure__steps=steps, exposure__dynamicStableScale=True)
    endpoint = f"{ISTIO_API}/namespaces/{app.namespace}/workloadentries/{app.who(app.stable)}"
    streams = [Stream(app, inside) for inside in (False, True)]
    wait_until(lambda: all(stream.lines for stream in streams), "the streams have begun", 20)
    release = app.deploy("1.1.0")
    for stop, percent in enumerate((30, 60)):
        stop_at(app, release, stop)
        until_share(app, percent)
    app.promote()
    app.until_healthy(release)
    until_all_by(app, app.who(app.stable))
    wait_until(lambda: gone(app, endpoint), "the pods of the old version are gone", 90)
    lasted = time.monotonic() - streams[0].began
    wait_until(lambda: time.monotonic() - streams[0].began > ENVOY_DEFAULT + 2, f"after {lasted} s", 30)
    counts = [len(stream.lines) for stream in streams]
    wait_until(lambda: all(len(s.lines) > n for s, n in zip(streams, counts, strict=True)), "more", 20)
    backend.finish.set()
    for stream in streams:
        assert stream.whole.result(20), "the answer came to its own end"
        assert set(stream.lines) == {backend.name, "end"}


def gone(app: App, path: str) -> bool:
    """Whether an object is no longer there."""
    try:
        app.kube.raw_json(path)
    except RigError as error:
        return "404" in str(error)
    return False


@NEWEST
def test_a_timeout_of_the_spec_ends_a_stream_and_nothing_else_does(
    make_app: Callable[..., App], backend: StandIn
) -> None:
    app = canary(
        make_app, backend, exposure__timeout="3s", exposure__steps=[{"weight": "20%", "for": MANUAL}]
    )
    for inside in (False, True):
        stream = Stream(app, inside)
        assert not stream.whole.result(30), "it was cut off"
        assert 2.5 < time.monotonic() - stream.began < 15
        assert set(stream.lines) == {backend.name}
    for envoy in proxies(app):
        for manager in connection_managers(envoy.listeners()):
            assert manager["stream_idle_timeout"] == "0s", "Istio lets a silent stream live"


def connection_managers(found: object) -> Iterator[dict[str, object]]:
    """The HTTP connection managers within listeners."""
    if isinstance(found, dict):
        if str(found.get("@type", "")).endswith("HttpConnectionManager"):
            yield found
        for value in found.values():
            yield from connection_managers(value)
    elif isinstance(found, list):
        for value in found:
            yield from connection_managers(value)


@NEWEST
def test_header_and_mirror_routes_have_istio_s_retries_and_no_timeout_whatever_the_spec_says(
    make_app: Callable[..., App], backend: StandIn
) -> None:
    """What the controller writes for them has neither; `docs/controller-behaviour.md` tells people so."""
    steps = [{"header": {"x-canary-group": "internal"}, "for": MANUAL}, {"mirror": "1%", "for": MANUAL}]
    app = canary(
        make_app,
        backend,
        exposure__timeout="2s",
        exposure__idempotent=True,
        exposure__steps=[*steps, {"weight": "20%", "for": MANUAL}],
    )
    new = StandIn("new")
    try:
        get, inner = app.member.client.get, {"x-canary-group": "internal"}
        release = app.deploy("1.1.0")
        stop_at(app, release, 0)
        stand_in(app, app.current, new)
        until_route(app, "header")
        wait_until(lambda: get(app.host, headers=inner).who == new.name, "the canary is the stand-in", 20)
        with ThreadPoolExecutor() as pool:
            slow = pool.submit(get, app.host, "/slow?seconds=5", inner, timeout=30)
            assert get(app.host, "/slow?seconds=5", timeout=30).status == 504
            assert slow.result().who == new.name
        get(app.host, "/fail/header?grpc=14", inner)
        assert new.attempts["/fail/header"] == 2, "sent again, as Istio does by default"
        get(app.host, "/fail/static?grpc=14")
        assert backend.attempts["/fail/static"] == 1

        stop_at(app, release, 1)
        until_route(app, "mirror")
        assert get(app.host, "/slow?seconds=5", timeout=30).who == backend.name, "while the mirror lasts"
        get(app.host, "/fail/mirror?grpc=14")
        assert backend.attempts["/fail/mirror"] == 2
    finally:
        new.close()
