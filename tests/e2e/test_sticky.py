"""Sticky users stay where they are: over two Envoys, over all weights, and from the very first request."""

from collections.abc import Callable
from typing import NamedTuple

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
    until_route,
    until_share,
)
from rig.rollouts import API

from conftest import NEWEST

USERS = [f"user-{number:04}" for number in range(1000)]
NEWCOMERS = 300
SESSION = "assistant-session"
HEADER = "mcp-session-id"


class Sides(NamedTuple):
    """The users that the canary answered, as each of the two Envoys chose."""

    gateway: frozenset[str]
    mesh: frozenset[str]


@pytest.fixture
def sticky(make_app: Callable[..., App]) -> Callable[..., App]:
    """Make an app whose users are sticky and whose first release answers both Envoys."""

    def make(by: dict[str, object], steps: list[dict[str, object]], **changes: object) -> App:
        app = make_app(
            analysis=UNMEASURED,
            workload__port=PORT,
            exposure__sticky=by,
            exposure__steps=[{**step, "for": MANUAL} for step in steps],
            **changes,
        )
        first = app.deploy("1.0.0")
        app.until_healthy(first)
        until_all_by(app, app.who(app.stable))
        return app

    return make


def sides(app: App, headers: Callable[[str], dict[str, str]], users: list[str] = USERS) -> Sides:
    """Ask as each user through both Envoys; every answer is the stable version's or the canary's."""
    new = app.who(app.current)
    found = []
    for host, inside in ((app.host, False), (internal(app), True)):
        answers = app.member.client.each(host, [headers(user) for user in users], inside=inside)
        assert {answer.who for answer in answers} <= {new, app.who(app.stable)}
        found.append(frozenset(u for u, answer in zip(users, answers, strict=True) if answer.who == new))
    return Sides(*found)


def by_cookie(user: str) -> dict[str, str]:
    """What a browser of this user sends."""
    return {"cookie": f"theme=dark; {SESSION}={user}"}


def by_header(user: str) -> dict[str, str]:
    """What a client of this user sends."""
    return {HEADER: user}


def newcomers_who_flip(app: App, inside: bool) -> int:
    """How many of so many new users get another version with their second request than with their first."""
    client, host = app.member.client, internal(app) if inside else app.host
    first = client.each(host, [{} for _ in range(NEWCOMERS)], inside=inside)
    cookies = [answer.headers.get("set-cookie", "").partition(";")[0] for answer in first]
    assert all(cookie.startswith(f"{SESSION}=") for cookie in cookies), "who is new gets a session"
    assert len(set(cookies)) == NEWCOMERS, "each new user gets a session of their own"
    second = client.each(host, [{"cookie": cookie} for cookie in cookies], inside=inside)
    assert not any("set-cookie" in answer.headers for answer in second), "who has a session keeps it"
    return sum(one.who != two.who for one, two in zip(first, second, strict=True))


@NEWEST
def test_users_with_a_session_cookie_keep_their_version_as_the_canary_grows_and_go_back_when_it_is_aborted(
    sticky: Callable[..., App],
) -> None:
    app = sticky({"cookie": SESSION}, [{"weight": "5%"}, {"weight": "25%"}, {"weight": "60%"}])
    release = app.deploy("1.1.0")
    before: frozenset[str] = frozenset()
    for stop, percent in enumerate((5, 25, 60)):
        stop_at(app, release, stop)
        until_share(app, percent)
        now = sides(app, by_cookie)
        assert now.gateway == now.mesh, "two Envoys put a user on one side"
        assert len(now.gateway) in bounds(len(USERS), percent / 100)
        assert before <= now.gateway, "nobody who had the new version loses it while the canary grows"
        before = now.gateway
        assert newcomers_who_flip(app, inside=stop % 2 == 1) == 0
    old = app.who(app.stable)
    abort(app)
    app.until_aborted()
    until_all_by(app, old)
    assert sides(app, by_cookie) == (frozenset(), frozenset())


@NEWEST
def test_users_with_a_session_cookie_all_have_the_new_version_when_it_is_complete(
    sticky: Callable[..., App],
) -> None:
    app = sticky({"cookie": SESSION}, [{"header": {"x-canary-group": "internal"}}, {"weight": "40%"}])
    release = app.deploy("1.1.0")
    stop_at(app, release, 0)
    until_route(app, "header")
    old, new = app.who(app.stable), app.who(app.current)
    assert only(ask(app, 40, x_canary_group="internal").values()) == {new}
    for user in USERS[:20]:
        assert only(ask(app, 1, x_canary_group="internal", **by_cookie(user)).values()) == {new}
    assert sides(app, by_cookie, USERS[:200]) == (frozenset(), frozenset()), "a session alone leads nowhere"
    stop_at(app, release, 1)
    until_share(app, 40)
    canary = sides(app, by_cookie).gateway
    assert len(canary) in bounds(len(USERS), 0.4)
    with app.member.client.stream(app.host, by_cookie(min(canary))) as calls:
        app.promote()
        app.until_healthy(release)
        until_all_by(app, new)
    assert {call.who for call in calls} == {new}, "nor does one lose it while the canary becomes stable"
    assert sides(app, by_cookie, USERS[:200]) == (frozenset(USERS[:200]),) * 2
    assert old != new


def test_users_with_a_session_header_keep_their_version_through_a_mirror_step_and_growth(
    sticky: Callable[..., App],
) -> None:
    steps: list[dict[str, object]] = [{"weight": "10%"}, {"mirror": "20%"}, {"weight": "50%"}]
    app = sticky({"header": HEADER}, steps, exposure__idempotent=True)
    release = app.deploy("1.1.0")
    stop_at(app, release, 0)
    until_share(app, 10)
    first = sides(app, by_header)
    assert first.gateway == first.mesh
    assert len(first.gateway) in bounds(len(USERS), 0.1)

    stop_at(app, release, 1)
    until_route(app, "mirror")
    assert sides(app, by_header) == first, "a mirror route must not re-roll who is on the canary"

    stop_at(app, release, 2)
    until_share(app, 50)
    second = sides(app, by_header)
    assert second.gateway == second.mesh
    assert len(second.gateway) in bounds(len(USERS), 0.5)
    assert first.gateway <= second.gateway
    for where, counts in ask(app, 500).items():
        assert counts[app.who(app.current)] in bounds(500, 0.5), f"who has no session is drawn: {where}"


def abort(app: App) -> None:
    """What `kubectl argo rollouts abort` does."""
    app.kube.patch_at(
        f"{API}/namespaces/{app.namespace}/rollouts/{app.name}/status", {"status": {"abort": True}}
    )
