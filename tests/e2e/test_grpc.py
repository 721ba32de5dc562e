"""gRPC and HTTP/2 through a canary: a real gRPC server and client."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from app import App
from chance import bounds
from driving import MANUAL, PORT, UNMEASURED, internal, stop_at, until_route, until_share
from rig import wait_until
from standins import GrpcStandIn, channel, grpc_ticks, grpc_who, stand_in

from conftest import NEWEST

CALLS = 300


def is_new(way: Any) -> bool:
    """Whether a tester is led to the new version."""
    return grpc_who(way, x_canary_group="internal") == "new"


@pytest.fixture
def versions() -> Iterator[tuple[GrpcStandIn, GrpcStandIn]]:
    """The servers of the old and of the new version."""
    made = GrpcStandIn("old"), GrpcStandIn("new")
    yield made
    for one in made:
        one.close()


@NEWEST
@pytest.mark.parametrize(("protocol", "split"), [("grpc", "host"), ("http2", "subset")])
def test_grpc_calls_take_the_canary_s_steps_and_a_stream_lives_through_them(
    make_app: Callable[..., App], versions: tuple[GrpcStandIn, GrpcStandIn], protocol: str, split: str
) -> None:
    old, new = versions
    app = make_app(
        analysis=UNMEASURED,
        workload__port=PORT,
        exposure__protocol=protocol,
        exposure__split=split,
        exposure__steps=[
            {"header": {"x-canary-group": "internal"}, "for": MANUAL},
            {"weight": "30%", "for": MANUAL},
        ],
    )
    first = app.deploy("1.0.0")
    app.until_healthy(first)
    stand_in(app, app.stable, old)
    client = app.member.client
    with (
        channel(client.gateway_port, app.host) as outside,
        channel(client.proxy_port, internal(app)) as inside,
        ThreadPoolExecutor() as pool,
        contextlib.ExitStack() as stack,
    ):
        ways = {"gateway": outside, "mesh": inside}
        wait_until(lambda: {grpc_who(way) for way in ways.values()} == {"old"}, "gRPC is answered", 60)
        stack.callback(old.finish.set)  # before the pool waits for its streams
        streams = [pool.submit(grpc_ticks, way) for way in ways.values()]

        release = app.deploy("1.1.0")
        stop_at(app, release, 0)
        stand_in(app, app.current, new)
        until_route(app, "header")
        for name, way in ways.items():
            wait_until(partial(is_new, way), name, 60)
            assert {grpc_who(way) for _ in range(20)} == {"old"}
            assert {grpc_who(way, x_canary_group="internal") for _ in range(20)} == {"new"}

        stop_at(app, release, 1)
        until_share(app, 30)
        for name, way in ways.items():
            counts = Counter(grpc_who(way) for _ in range(CALLS))
            assert set(counts) == {"old", "new"}, name
            assert counts["new"] in bounds(CALLS, 0.3), name
            assert grpc_who(way, x_canary_group="internal") == "new"

        app.promote()
        app.until_healthy(release)
        wait_until(lambda: {grpc_who(way) for way in list(ways.values()) * 20} == {"new"}, "all by new", 60)
        old.finish.set()
        for stream in streams:
            ticks = stream.result(30)
            assert len(ticks) > 20, "it went on all the while"
            assert set(ticks) == {"old"}, "and no status but OK came after the last message"
