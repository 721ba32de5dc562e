"""Sticky users stay where they are: over two Envoys, over all weights, and from the very first request."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import yaml
from app import LIMIT, App
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
from rig import tools, wait_until
from rig.calls import Answer, Client
from rig.kube import Object
from rig.net import LOOPBACK, answers, free_ports
from rig.processes import Process, Supervisor
from rig.rollouts import API

from conftest import NEWEST

USERS = [f"user-{number:04}" for number in range(1000)]
NEWCOMERS = 300
FEW = 200
SESSION = "assistant-session"
HEADER = "mcp-session-id"
OWN = "own"
SOME = 40  # answers of which none is the canary's at 50 % once in 1e12 times


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


def newcomers_who_flip(app: App, inside: bool, client: Client | None = None) -> int:
    """How many of so many new users get another version with their second request than with their first."""
    client, host = client or app.member.client, internal(app) if inside else app.host
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


class Gateway:
    """A gateway of the app's own, whose Envoy may be killed while those of the fleet serve other tests."""

    def __init__(self, app: App, supervisor: Supervisor) -> None:
        self.app, self.supervisor = app, supervisor
        self.port, self.admin = free_ports(2)
        self.client = Client(self.port, app.member.client.proxy_port)
        self.process: Process | None = None

    def manifest(self) -> Object:
        """What makes pilot send its Envoy a listener."""
        port = {"number": self.port, "name": "http", "protocol": "HTTP"}
        return {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": OWN, "namespace": self.app.namespace},
            "spec": {
                "selector": {OWN: self.app.namespace},
                "servers": [{"port": port, "bind": LOOPBACK, "hosts": ["*"]}],
            },
        }

    def start(self) -> None:
        """Start its Envoy, which knows nothing of what an earlier one did, and wait until it is ready."""
        member = self.app.member
        mesh = self.app.fleet.logs.parent / member.name / "mesh"
        bootstrap = yaml.safe_load((mesh / "gateway-bootstrap.yaml").read_text())
        bootstrap["node"]["metadata"]["LABELS"] = {OWN: self.app.namespace}
        bootstrap["node"]["id"] = bootstrap["node"]["id"].replace("~gw-0.", f"~{self.app.namespace}.")
        bootstrap["admin"]["address"]["socket_address"]["port_value"] = self.admin
        path = self.app.root / "gateway-bootstrap.yaml"
        path.write_text(yaml.safe_dump(bootstrap))
        quiet = ("--concurrency", "1", "--log-level", "warn", "--component-log-level", "misc:error")
        self.process = self.supervisor.start(
            f"{self.app.namespace}-envoy",
            [tools.envoy(), "--config-path", path, *quiet, "--disable-hot-restart"],
        )
        wait_until(self._ready, f"the Envoy of {self.app.namespace} is ready", LIMIT)

    def _ready(self) -> bool:
        assert self.process is not None
        self.process.check()
        return answers(f"http://{LOOPBACK}:{self.admin}/ready")

    def restart(self) -> None:
        """Kill its Envoy in the middle of whatever it does, and start another."""
        assert self.process is not None
        self.process.popen.kill()
        self.process.popen.wait()
        self.supervisor.processes.remove(self.process)
        self.start()

    def until(self, percent: int) -> None:
        """Wait until it has been told the canary's share: it has a route for the host, and each has both versions."""
        app = self.app
        both = {app.who(app.stable), app.who(app.current)}
        wait_until(
            lambda: set(self.client.shares(app.host, SOME)) == both,
            f"it knows the canary's {percent} %",
            LIMIT,
        )

    def each(self, headers: list[dict[str, str]]) -> list[Answer]:
        """One answer for each of these users."""
        return self.client.each(self.app.host, headers)


@NEWEST
def test_users_keep_their_version_when_an_envoy_is_killed_and_another_takes_its_place(
    make_app: Callable[..., App], programs: Supervisor
) -> None:
    """Those with a session, those who got one from the Envoy that is gone, and those who come new to the other."""
    app = make_app(
        analysis=UNMEASURED,
        workload__port=PORT,
        exposure__sticky={"cookie": SESSION},
        exposure__steps=[{"weight": "50%", "for": MANUAL}],
    )
    gateway = Gateway(app, programs)
    app.spec["exposure"]["gateways"].append(f"{app.namespace}/{OWN}")
    app.kube.apply_at(app.kube.path_of(gateway.manifest()), gateway.manifest())
    first = app.deploy("1.0.0")
    app.until_healthy(first)
    gateway.start()
    release = app.deploy("1.1.0")
    stop_at(app, release, 0)
    until_share(app, 50)
    gateway.until(50)

    users = [by_cookie(user) for user in USERS[:FEW]]
    before = [one.who for one in gateway.each(users)]
    assert before.count(app.who(app.current)) in bounds(FEW, 0.5)
    assert before == [one.who for one in app.member.client.each(app.host, users)], "as another Envoy chooses"
    new = gateway.each([{} for _ in range(FEW)])
    sessions = [{"cookie": one.headers["set-cookie"].partition(";")[0]} for one in new]

    gateway.restart()
    gateway.until(50)
    assert [one.who for one in gateway.each(users)] == before
    assert [one.who for one in gateway.each(sessions)] == [one.who for one in new]
    assert newcomers_who_flip(app, inside=False, client=gateway.client) == 0


def abort(app: App) -> None:
    """What `kubectl argo rollouts abort` does."""
    app.kube.patch_at(
        f"{API}/namespaces/{app.namespace}/rollouts/{app.name}/status", {"status": {"abort": True}}
    )
