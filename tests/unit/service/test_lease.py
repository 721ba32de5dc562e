"""Replicas that share apps: who may act, who takes over, and what a real API server would answer."""

import asyncio
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from coordination import MICRO, SPACE, Conflict, Shelf, serving

from canaryfleet.errors import UsageError
from canaryfleet.lease import Election, InCluster, Leases, Times
from canaryfleet.models.observation import Raw
from canaryfleet.sources.kubernetes.trouble import Trouble
from fake_api import CA, Asked, FakeApi, http, status

TIMES = Times(duration=30.0, renew=20.0, turn=5.0)
APPS = [f"app-{number}" for number in range(20)]


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Store:
    """The shelf without HTTP, which can be told to fail."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.fault: Exception | None = None
        self.refused: set[str] = set()
        self.lost_answer = False

    async def all(self) -> dict[str, Raw]:
        if self.fault:
            raise self.fault
        return {lease["metadata"]["name"]: lease for lease in self.shelf.all()}

    async def write(self, name: str, lease: Raw | None, spec: Raw) -> Raw | None:
        if self.fault:
            raise self.fault
        if name in self.refused:
            raise Trouble("server-error", f"{name} is refused")
        try:
            if lease is None:
                stored = self.shelf.create({"metadata": {"name": name}, "spec": spec})
            else:
                stored = self.shelf.update({**lease, "spec": spec})
        except (Conflict, KeyError):
            return None
        if self.lost_answer:
            raise TimeoutError
        return stored

    def close(self) -> None:
        pass


class Replica:
    """One process of the bot, turned by hand."""

    def __init__(self, name: str, shelf: Shelf, clock: Clock, apps: list[str] | None = None) -> None:
        self.store, self.said = Store(shelf), []  # type: ignore[var-annotated]
        self.leases = Leases(
            self.store, me=name, times=TIMES, clock=clock, chance=random.Random(name), tell=self.said.append
        )
        self.leases.want(["chat"] if apps is None else apps)

    def turn(self) -> None:
        asyncio.run(self.leases._safely())

    def held(self, app: str = "chat") -> bool:
        return self.leases.held(app)


def world(*names: str, apps: list[str] | None = None) -> tuple[Clock, Shelf, list[Replica]]:
    clock, shelf = Clock(), Shelf()
    return clock, shelf, [Replica(name, shelf, clock, apps) for name in names]


# who may act


def test_the_first_takes_it_and_the_second_waits() -> None:
    _, shelf, (a, b) = world("a", "b")
    assert not a.held()
    a.turn(), b.turn()
    assert (a.held(), b.held()) == (True, False)
    spec = shelf.leases["canaryfleet-chat"]["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 30, 0)
    assert re.match(MICRO, spec["renewTime"])
    assert re.match(MICRO, spec["acquireTime"])


def test_a_holder_that_renews_keeps_it_for_ever() -> None:
    clock, shelf, (a, b) = world("a", "b")
    for _ in range(100):
        a.turn(), b.turn()
        clock.now += 5
    assert (a.held(), b.held()) == (True, False)
    assert shelf.leases["canaryfleet-chat"]["spec"]["leaseTransitions"] == 0


def test_a_holder_that_can_not_renew_stops_before_anybody_takes_over() -> None:
    clock, shelf, (a, b) = world("a", "b")
    a.turn(), b.turn()
    a.store.fault = Trouble("unreachable", "no network")
    history = []
    for _ in range(40):
        clock.now += 1
        a.turn(), b.turn()
        history.append((a.held(), b.held()))
    assert (True, True) not in history
    assert history.index((False, False)) == 19
    assert history.index((False, True)) == 30
    assert shelf.leases["canaryfleet-chat"]["spec"]["leaseTransitions"] == 1
    assert a.said == ["no network"]  # once, not every turn
    a.store.fault = None
    a.turn()
    assert (a.held(), b.held()) == (False, True)


def test_a_paused_holder_notices_by_its_clock_alone() -> None:
    clock, _, (a, b) = world("a", "b")
    a.turn(), b.turn()
    clock.now += 20
    assert not a.held()
    clock.now += 11
    b.turn()
    assert (a.held(), b.held()) == (False, True)
    a.turn()
    assert (a.held(), b.held()) == (False, True)


def test_one_that_has_just_come_waits_though_the_lease_says_it_is_old() -> None:
    clock, shelf, (a, b) = world("a", "b")
    a.turn()
    shelf.leases["canaryfleet-chat"]["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    clock.now += 10_000
    b.turn()
    assert not b.held()
    clock.now += 29
    b.turn()
    assert not b.held()
    clock.now += 2
    b.turn()
    assert b.held()


@pytest.mark.parametrize(("said", "waited"), [(90, 90), (10**9, 600)])
def test_a_holder_of_another_version_is_given_the_time_that_it_said(said: int, waited: int) -> None:
    clock, shelf, (b,) = world("b")
    spec = {"holderIdentity": "a", "leaseDurationSeconds": said}
    shelf.create({"metadata": {"name": "canaryfleet-chat"}, "spec": spec})
    for _ in range(waited // 5):
        b.turn()
        clock.now += 5
    assert not b.held()
    clock.now += 1
    b.turn()
    assert b.held()


def test_who_was_slower_has_it_not() -> None:
    _, shelf, (a, b) = world("a", "b")
    asked = asyncio.run(b.store.all())
    a.turn()
    b.store.all = lambda: asyncio.sleep(0, asked)  # type: ignore[method-assign,assignment]
    b.turn()
    assert (a.held(), b.held()) == (True, False)
    assert shelf.holder("canaryfleet-chat") == "a"


def test_a_holder_who_finds_another_stops_at_once() -> None:
    _, shelf, (a,) = world("a")
    a.turn()
    shelf.leases["canaryfleet-chat"]["spec"]["holderIdentity"] = "b"
    a.turn()
    assert not a.held()


@pytest.mark.parametrize("what", ["gone", "freed"])
def test_a_holder_whose_lease_a_person_took_away_holds_it_by_a_new_one_alone(what: str) -> None:
    _, shelf, (a,) = world("a")
    a.turn()
    if what == "gone":
        del shelf.leases["canaryfleet-chat"]
    else:
        shelf.leases["canaryfleet-chat"]["spec"]["holderIdentity"] = ""
    a.store.refused = {"canaryfleet-chat"}
    a.turn()
    assert not a.held()
    a.store.refused = set()
    a.turn()
    assert a.held()


def test_a_renewal_whose_answer_is_lost_counts_only_once_it_is_confirmed() -> None:
    clock, _, (a,) = world("a")
    a.store.lost_answer = True
    a.turn()
    assert not a.held()
    a.store.lost_answer = False
    clock.now += 3
    a.turn()
    assert a.held()


def test_a_renewal_counts_from_before_it_was_asked_for() -> None:
    clock, _, (a,) = world("a")
    write = a.store.write

    async def slowly(*given: Any) -> Raw | None:
        clock.now += 4
        return await write(*given)

    a.store.write = slowly  # type: ignore[method-assign]
    a.turn()
    clock.now += 15.9
    assert a.held()
    clock.now += 0.2
    assert not a.held()


@pytest.mark.parametrize(
    "spec", [None, 5, [], "x", {"holderIdentity": 7, "leaseDurationSeconds": "long", "leaseTransitions": "x"}]
)
def test_a_strange_lease_is_taken_over_like_any_other(spec: Any) -> None:
    clock, shelf, (a,) = world("a")
    shelf.create({"metadata": {"name": "canaryfleet-chat"}, "spec": spec})
    a.turn()
    clock.now += 31
    a.turn()
    assert a.held()


# many apps


def test_replicas_that_start_together_share_the_apps() -> None:
    clock, shelf, replicas = world("a", "b", "c", apps=APPS)
    for _ in range(12):
        for replica in replicas:
            replica.turn()
        clock.now += 5
    held = Counter(shelf.holder(f"canaryfleet-{app}") for app in APPS)
    assert sum(held.values()) == 20
    assert min(held[name] for name in "abc") >= 6


def test_every_app_has_one_replica_though_the_others_go() -> None:
    clock, _, (a, b) = world("a", "b", apps=APPS)
    for _ in range(12):
        a.turn(), b.turn()
        clock.now += 5
    for _ in range(20):
        b.turn()
        clock.now += 5
    assert all(b.held(app) for app in APPS)
    assert not any(a.held(app) for app in APPS)


def test_leases_that_are_refused_keep_no_other_app_waiting() -> None:
    _, _, (a,) = world("a", apps=["chat", "fraud", "web"])
    for _ in range(3):
        a.turn()
    a.store.refused = {"canaryfleet-chat", "canaryfleet-fraud"}
    a.turn()
    assert {said.partition(":")[0] for said in a.said} == a.store.refused
    assert a.held("web")


def test_an_app_that_is_no_more_is_given_up() -> None:
    _, shelf, (a, b) = world("a", "b")
    a.turn()
    a.leases.want([])
    a.turn()
    assert not a.held()
    assert shelf.holder("canaryfleet-chat") == ""
    b.turn()
    assert b.held()


def test_at_the_end_nobody_has_to_wait() -> None:
    _, shelf, (a, b) = world("a", "b")
    a.leases._times = TIMES._replace(turn=0.01)
    a.leases.start()
    for _ in range(1000):
        if a.held():
            break
        a.leases._end.wait(0.01)
    assert a.held()
    a.leases.close()
    assert not a.held()
    assert shelf.holder("canaryfleet-chat") == ""
    b.turn()
    assert b.held()


def test_a_bug_is_told_without_its_words_and_ends_nothing() -> None:
    _, _, (a,) = world("a")
    a.store.fault = RuntimeError("secret-word")
    a.turn()
    assert a.said == ["RuntimeError"]
    a.store.fault = None
    a.turn()
    assert a.held()


def test_what_others_wrote_into_a_lease_stays() -> None:
    spec = {"holderIdentity": "a", "strategy": "OldestEmulationVersion"}
    wanted = Election("a", TIMES).wanted(spec, 0.0)
    assert wanted is not None
    assert wanted["strategy"] == "OldestEmulationVersion"


# a real API server


async def end(*stores: Any) -> None:
    """Connections that were aborted close in the loop's next turn."""
    for store in stores:
        store.close()
    await asyncio.sleep(0)


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_text(CA)
    (tmp_path / "token").write_text("t0ken-of-the-tests")
    (tmp_path / "namespace").write_text("fleet\n")
    return tmp_path


def in_cluster(api: FakeApi, account: Path) -> InCluster:
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
    return InCluster(environment, str(account))


def over_http(name: str, api: FakeApi, account: Path, clock: Clock) -> Leases:
    leases = Leases(in_cluster(api, account), me=name, times=TIMES, clock=clock, chance=random.Random(1))
    leases.want(["chat"])
    return leases


def test_over_http_two_replicas_take_turns(account: Path) -> None:
    clock, shelf = Clock(), Shelf()

    async def both(api: FakeApi) -> None:
        a, b = over_http("a", api, account, clock), over_http("b", api, account, clock)
        await a.turn()
        await b.turn()
        assert (a.held("chat"), b.held("chat")) == (True, False)
        clock.now += 10
        await a.turn()
        clock.now += 25
        await b.turn()
        assert (a.held("chat"), b.held("chat")) == (False, False)
        clock.now += 31
        await b.turn()
        assert (a.held("chat"), b.held("chat")) == (False, True)
        b.want([])
        await b.turn()
        await a.turn()
        assert (a.held("chat"), b.held("chat")) == (True, False)
        await end(a._store, b._store)

    with FakeApi(serving(shelf)) as api:
        asyncio.run(both(api))
        assert {asked.method for asked in api.asked} == {"GET", "POST", "PUT"}
        assert all(asked.headers["authorization"] == "Bearer t0ken-of-the-tests" for asked in api.asked)
        made = json.loads(next(asked for asked in api.asked if asked.method == "POST").body)
        assert (made["kind"], made["apiVersion"]) == ("Lease", "coordination.k8s.io/v1")
        assert api.connections == 2


def test_over_http_who_was_slower_learns_it_from_the_server(account: Path) -> None:
    shelf = Shelf()

    async def race(api: FakeApi) -> None:
        store = in_cluster(api, account)
        spec = {"holderIdentity": "a"}
        assert await store.write("x", None, spec)
        assert await store.write("x", None, spec) is None
        read = (await store.all())["x"]
        assert await store.write("x", read, spec)
        assert await store.write("x", read, spec) is None
        newer = (await store.all())["x"]
        del shelf.leases["x"]
        assert await store.write("x", newer, spec) is None
        await end(store)

    with FakeApi(serving(shelf)) as api:
        asyncio.run(race(api))


def test_a_token_that_the_kubelet_replaced_is_used(account: Path) -> None:
    async def twice(api: FakeApi) -> None:
        store = in_cluster(api, account)
        await store.all()
        (account / "token").write_text("another-t0ken")
        await store.all()
        await end(store)

    with FakeApi(serving(Shelf())) as api:
        asyncio.run(twice(api))
        assert [asked.headers["authorization"][-13:] for asked in api.asked] == [
            "-of-the-tests",
            "another-t0ken",
        ]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            status(403, "Forbidden", 'User "system:sa" cannot'),
            "forbidden",
            "create leases.coordination.k8s.io",
        ),
        (status(401, "Unauthorized"), "unauthorized", "credentials"),
        (status(500, "InternalError"), "server-error", "500"),
        (http(200, "no json"), "unparsable", "no JSON object"),
        (http(404, "404 page not found", "text/plain"), "missing", "does not know leases"),
    ],
)
def test_over_http_a_no_says_what_to_do(account: Path, answer: bytes, kind: str, words: str) -> None:
    def say(asked: Asked) -> bytes:
        return answer if asked.method == "POST" else serving(Shelf())(asked)

    async def try_it(api: FakeApi) -> None:
        store = in_cluster(api, account)
        with pytest.raises(Trouble, match=words) as caught:
            await store.write("x", None, {})
        await end(store)
        assert caught.value.problem.kind == kind
        if kind == "forbidden":
            assert "canaryfleet rbac --bot" in caught.value.problem.remedy

    with FakeApi(say) as api:
        asyncio.run(try_it(api))


def test_outside_of_a_cluster_there_are_no_leases(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="service account"):
        InCluster({}, str(tmp_path))


def test_the_path_is_that_of_the_api() -> None:
    assert SPACE == "/apis/coordination.k8s.io/v1/namespaces/fleet/leases"
