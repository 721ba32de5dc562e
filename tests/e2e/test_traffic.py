"""Requests go where the spec says: shares, header and cookie routes, mirror, blue-green, retries, timeouts."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from app import App
from chance import bounds
from driving import (
    MANUAL,
    PORT,
    UNMEASURED,
    ask,
    internal,
    only,
    stop_at,
    until_all_by,
    until_no_route,
    until_route,
    until_routed,
    until_share,
)
from rig import wait_until
from rig.kube import Object
from standins import StandIn, stand_in

from conftest import NEWEST, alternating

REQUESTS = 600
FEW = 20


def hold(**step: object) -> dict[str, object]:
    """A step that waits for a person."""
    return {**step, "for": MANUAL}


@pytest.fixture
def routed(make_app: Callable[..., App]) -> Callable[..., App]:
    """Make an app without analysis whose first release is deployed and answers both Envoys."""

    def make(**changes: object) -> App:
        app = make_app(**{"analysis": UNMEASURED, "workload__port": PORT, **changes})
        first = app.deploy("1.0.0")
        app.until_healthy(first)
        until_all_by(app, app.who(app.stable))
        return app

    return make


@alternating("split", ["subset", "host"])
def test_each_weight_is_the_share_that_the_canary_gets_outside_and_inside_the_mesh(
    routed: Callable[..., App], split: str
) -> None:
    percents = (5, 30, 60)
    app = routed(exposure__split=split, exposure__steps=[hold(weight=f"{p}%") for p in percents])
    old = app.who(app.stable)
    release = app.deploy("1.1.0")
    for stop, percent in enumerate(percents):
        stop_at(app, release, stop)
        new = app.who(app.current)
        until_share(app, percent)
        for where, counts in ask(app, REQUESTS).items():
            assert set(counts) == {old, new}, where
            assert counts[new] in bounds(REQUESTS, percent / 100), (where, percent)
    app.promote()
    app.until_healthy(release)
    until_all_by(app, new)
    assert only(ask(app, FEW).values()) == {new}


def test_a_header_or_cookie_leads_to_the_canary_until_the_next_of_its_kind_and_nobody_else_with_it(
    routed: Callable[..., App],
) -> None:
    app = routed(
        exposure__steps=[
            hold(header={"x-canary-group": "internal"}),
            hold(cookie={"preview": "1"}),
            hold(header={"x-canary-group": {"prefix": "tenant-"}}),
            hold(weight="20%"),
            hold(header={}),
        ]
    )
    old = app.who(app.stable)
    release = app.deploy("1.1.0")
    group, cookie = {"x_canary_group": "internal"}, {"cookie": "a=b; preview=1; c=d"}
    tenant = {"x_canary_group": "tenant-7"}
    others = [{}, {"x_canary_group": "external"}, {"cookie": "preview=12"}, {"cookie": "xpreview=1"}]

    stop_at(app, release, 0)
    until_route(app, "header", "internal")
    new = app.who(app.current)
    assert who(app, group) == {new}
    for other in [cookie, tenant, *others]:
        assert who(app, other) == {old}, other

    stop_at(app, release, 1)
    until_route(app, "cookie")
    assert who(app, group) == {new}, "the header route lasts until the next of its kind"
    assert who(app, cookie) == {new}
    for other in [tenant, *others]:
        assert who(app, other) == {old}, other

    stop_at(app, release, 2)
    until_route(app, "header", "tenant-")
    assert who(app, group) == {old}, "the second header step replaces the first"
    assert who(app, tenant) == who(app, cookie) == {new}

    stop_at(app, release, 3)
    until_share(app, 20)
    assert who(app, tenant) == who(app, cookie) == {new}
    for counts in ask(app, 500).values():
        assert counts[new] in bounds(500, 0.2)

    stop_at(app, release, 4)
    until_no_route(app, "header")
    assert who(app, tenant) == {old, new}, "its users are split like everybody"
    assert who(app, cookie) == {new}

    app.promote()
    app.until_healthy(release)
    until_no_route(app, "cookie")
    assert list(app.routes()) == [f"{app.namespace}-{app.name}-primary"]


def who(app: App, headers: dict[str, str]) -> set[str]:
    """Everybody who answers requests with these headers, outside the mesh and inside."""
    return only(ask(app, FEW, **headers).values())


def test_a_mirror_step_copies_its_share_to_the_canary_and_nobody_sees_the_answers(
    routed: Callable[..., App],
) -> None:
    app = routed(exposure__idempotent=True, exposure__steps=[hold(mirror="30%"), hold(weight="20%")])
    old = app.who(app.stable)
    release = app.deploy("1.1.0")
    stop_at(app, release, 0)
    until_route(app, "mirror")
    client, template = app.member.client, app.current
    answers = client.shares(app.host, REQUESTS, path="/outside")
    answers += client.shares(internal(app), REQUESTS, path="/inside", inside=True)
    assert answers == {old: 2 * REQUESTS}

    def copies() -> dict[str, Counter[str]]:
        got: dict[str, Counter[str]] = {"/outside": Counter(), "/inside": Counter()}
        for request in app.asked(template):
            if request["path"] in got:
                got[request["path"]][request["host"]] += 1
        return got

    least = bounds(REQUESTS, 0.3).start  # copies are sent without anybody waiting for them
    wait_until(lambda: all(c.total() >= least for c in copies().values()), "the copies arrive", 20)
    stop_at(app, release, 1)
    until_no_route(app, "mirror")
    until_share(app, 20)
    for path, hosts in copies().items():
        assert hosts.total() in bounds(REQUESTS, 0.3), path
    assert not [host for hosts in copies().values() for host in hosts if "shadow" in host]
    answers = client.shares(app.host, 500, path="/after")
    seen = sum(request["path"] == "/after" for request in app.asked(template))
    assert seen == answers[app.who(template)], "without the mirror it is asked only what it answers"


USERS: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "header": ({"header": {"x-canary-group": "internal"}}, {"x_canary_group": "internal"}),
    "cookie": ({"cookie": {"preview": "1"}}, {"cookie": "preview=1"}),
}
"""By kind of route: its step, and what its users send."""


def canary_of(objects: list[Object]) -> Object:
    """The canary strategy of what is applied."""
    found: Object = next(o for o in objects if o["kind"] == "Rollout")["spec"]["strategy"]["canary"]
    return found


def pods_stay(objects: list[Object]) -> list[Object]:
    """Have an aborted canary keep its pods, which answer whoever is led to them."""
    canary_of(objects)["abortScaleDownDelaySeconds"] = 0
    return objects


def all_ready(pods: list[Object]) -> bool:
    """True if there are pods, and each is ready."""
    found = [pod.get("status", {}).get("conditions", []) for pod in pods]
    return bool(found) and all(
        any((one["type"], one["status"]) == ("Ready", "True") for one in conditions) for conditions in found
    )


@alternating("kind,weight", itertools.product(USERS, [0, 30]))
def test_an_abort_gives_the_users_of_a_header_or_cookie_route_the_stable_version(
    routed: Callable[..., App], kind: str, weight: int
) -> None:
    step, user = USERS[kind]
    app = routed(exposure__steps=[hold(**step), hold(weight="30%")])
    old = app.who(app.stable)
    release = app.deploy("1.1.0", pods_stay)
    stop_at(app, release, 0)
    until_route(app, kind)
    new = app.who(app.current)
    if weight:
        stop_at(app, release, 1)
        until_share(app, weight)
    assert who(app, user) == {new}

    app.abort()
    until_no_route(app, kind)
    # Somebody could still answer as the canary. 1.9 has been seen to take its pods away at first, for half a second.
    app.until_now(lambda: all_ready(app.pods(app.current)), "the canary's pods are kept")
    until_all_by(app, old)
    assert who(app, user) == {old}
    app.catch_up()
    assert list(app.routes()) == [f"{app.namespace}-{app.name}-primary"]


def test_an_abort_ends_the_copies_of_a_mirror_step(routed: Callable[..., App]) -> None:
    app = routed(exposure__idempotent=True, exposure__steps=[hold(mirror="100%"), hold(weight="20%")])
    old = app.who(app.stable)
    release = app.deploy("1.1.0", pods_stay)
    stop_at(app, release, 0)
    until_route(app, "mirror")
    client, template = app.member.client, app.current

    def send(when: str) -> Counter[str]:
        answers = client.shares(app.host, FEW, path=f"/{when}/outside")
        return answers + client.shares(internal(app), FEW, path=f"/{when}/inside", inside=True)

    def copied(when: str) -> Counter[str]:
        paths = Counter(request["path"] for request in app.asked(template))
        return Counter({path: count for path, count in paths.items() if path.startswith(f"/{when}/")})

    assert send("before") == {old: 2 * FEW}
    every = {"/before/outside": FEW, "/before/inside": FEW}
    wait_until(lambda: copied("before") == every, "each request is copied", 20)

    app.abort()
    until_no_route(app, "mirror")
    until_all_by(app, old)
    assert send("after") == {old: 2 * FEW}
    assert not copied("after")
    app.catch_up()
    assert list(app.routes()) == [f"{app.namespace}-{app.name}-primary"]


@alternating("first,second", [("header", "cookie"), ("cookie", "header")])
def test_managed_routes_have_the_order_of_the_rollout_s_list_and_not_that_of_their_steps(
    routed: Callable[..., App], first: str, second: str
) -> None:
    """The first route that matches is taken: so the order is what decides about users of both."""

    order = (first, second)

    def reorder(objects: list[Object]) -> list[Object]:
        listed = canary_of(objects)["trafficRouting"]["managedRoutes"]
        listed.sort(key=lambda route: order.index(route["name"].rpartition("-")[2]))
        return objects

    app = routed(exposure__steps=[hold(**step) for step, _ in USERS.values()])
    release = app.deploy("1.1.0", reorder)
    stop_at(app, release, 0)
    stop_at(app, release, 1)
    names = [f"{app.namespace}-{app.name}-{kind}" for kind in (*order, "primary")]
    until_routed(app, lambda routes: list(routes)[:3] == names, f"routes in the order {names}")
    app.catch_up()
    assert list(app.routes()) == names
    for _, user in USERS.values():
        assert who(app, user) == {app.who(app.current)}


def test_blue_green_shows_the_new_version_on_the_preview_host_alone_and_switches_all_at_once(
    routed: Callable[..., App],
) -> None:
    blue = {"promoteAfter": MANUAL, "observe": "0", "previewHosts": ["preview.invalid"]}
    app = routed(exposure__steps=[], exposure__blueGreen=blue)
    preview = f"preview.{app.host}"
    old = app.who(app.stable)
    release = app.deploy("1.1.0", exposure__blueGreen={**blue, "previewHosts": [preview]})
    app.until_new(release)
    app.until_paused("BlueGreenPause")
    new = app.who(app.current)
    client = app.member.client
    client.wait_for(preview, new)
    assert client.shares(preview, FEW) == {new: FEW}
    assert only(ask(app, FEW).values()) == {old}

    with client.stream(app.host) as outside, client.stream(internal(app), inside=True) as within:
        app.promote()
        until_all_by(app, new)
        app.until_healthy(release)
    for calls in (outside, within):
        order = [call.who for call in calls]
        assert set(order) == {old, new}, "no request failed, and both were seen"
        assert order == sorted(order, key=[old, new].index), "once switched nobody goes back"


@pytest.fixture
def backend() -> Iterator[StandIn]:
    """A backend that is slow or fails when it is asked to."""
    made = StandIn("stand-in")
    yield made
    made.close()


@NEWEST
def test_retries_and_timeout_are_those_of_the_spec(routed: Callable[..., App], backend: StandIn) -> None:
    retries = {"attempts": 2, "retryOn": "5xx"}
    app = routed(exposure__timeout="5s", exposure__retries=retries, exposure__steps=[hold(weight="20%")])
    stand_in(app, app.stable, backend)
    until_all_by(app, backend.name)
    get = app.member.client.get
    for host, inside in ((app.host, False), (internal(app), True)):
        assert get(host, f"/fail/two-{inside}?times=2&status=503", inside=inside).who == backend.name
        assert backend.attempts[f"/fail/two-{inside}"] == 3
        assert get(host, f"/fail/three-{inside}?times=3&status=503", inside=inside).status == 503
        assert backend.attempts[f"/fail/three-{inside}"] == 3
        start = time.monotonic()
        assert get(host, "/slow?seconds=12", inside=inside, timeout=30).status == 504
        assert time.monotonic() - start < 11
        assert get(host, "/slow?seconds=0.5", inside=inside).who == backend.name


@NEWEST
def test_without_retries_and_timeout_in_the_spec_a_request_is_sent_once_and_waited_for(
    routed: Callable[..., App], backend: StandIn
) -> None:
    app = routed(exposure__steps=[hold(weight="20%")])
    stand_in(app, app.stable, backend)
    until_all_by(app, backend.name)
    get, ways = app.member.client.get, ((app.host, False), (internal(app), True))
    for host, inside in ways:
        assert get(host, f"/fail/once-{inside}?times=1&status=503", inside=inside).status == 503
        assert backend.attempts[f"/fail/once-{inside}"] == 1
        # gRPC's UNAVAILABLE is what Istio retries by default, with HTTP/1.1 too
        get(host, f"/fail/unavailable-{inside}?grpc=14", inside=inside)
        assert backend.attempts[f"/fail/unavailable-{inside}"] == 1
    with ThreadPoolExecutor() as pool:
        slow = pool.map(lambda way: get(way[0], "/slow?seconds=17", inside=way[1], timeout=40), ways)
    assert {answer.who for answer in slow} == {backend.name}, "Envoy's own default ends it after 15 s"
