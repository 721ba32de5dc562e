"""Reading clusters over real TLS from an API server that answers well, badly, slowly or not at all."""

import asyncio
import base64
import gzip
import json
import os
import shlex
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canaryfleet.engines.argo_rollouts.observe import reads
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.cluster import Access, Cluster, ClusterMetadata
from canaryfleet.models.observation import Problem, Sighting, Subject
from canaryfleet.sources import Question, Source, Target
from canaryfleet.sources.kubernetes import Kubernetes, crowd, session
from canaryfleet.sources.kubernetes import http as transport
from fake_api import CA, TLS, UID, Asked, Behaviour, FakeApi, good, http, ok, status

PATIENT = 20.0  # a limit that nothing here should reach
SHORT = 0.8  # a limit that something here does reach
SLACK = 5.0  # seconds that a busy machine may add to a limit
TOKEN = "s3cr3t-t0ken-of-the-tests"
SUBJECT = Subject(app="chat", namespace="shop", release="1.0.0-abc", selector={"app": "chat"})
CHAT = Question("chat", "shop", reads(SUBJECT))
NAMES = ["rollout", "replicaSets", "analysisRuns", "pods", "rolloutAgain"]
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/chat"
LIMITED = settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)


def target(name: str, *questions: Question, **fields: Any) -> Target:
    """A cluster whose context has its name."""
    fields.setdefault("access", Access(context=name))
    cluster = Cluster(apiVersion=API_VERSION, kind="Cluster", metadata=ClusterMetadata(name=name), **fields)
    return Target(cluster, questions or (CHAT,))


def context(server: str, user: Mapping[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    """A cluster and a user of a kubeconfig; trusts the tests' CA unless told otherwise."""
    told = {"server": server, "certificate-authority-data": base64.b64encode(CA.encode()).decode()}
    return {"cluster": {**told, **cluster}, "user": {"token": TOKEN} if user is None else dict(user)}


def write(path: Path, **contexts: Mapping[str, Any]) -> str:
    """A kubeconfig."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": one["cluster"]} for name, one in contexts.items()],
        "users": [{"name": name, "user": one["user"]} for name, one in contexts.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in contexts],
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


def look(source: Source, *targets: Target, timeout: float = PATIENT) -> dict[str, Sighting]:
    """All sightings, by cluster; exactly one of each."""
    sightings = list(source.look(targets, timeout=timeout))
    assert sorted(s.cluster for s in sightings) == sorted(t.cluster.metadata.name for t in targets)
    for sighting in sightings:
        assert sighting.source == "kubernetes"
        assert sighting.began <= sighting.ended
        assert (sighting.identity is None) <= (sighting.problem is not None)
    return {sighting.cluster: sighting for sighting in sightings}


def see(path: Path, one: Mapping[str, Any], timeout: float = PATIENT, **fields: Any) -> Sighting:
    """The sighting of one cluster."""
    source = Kubernetes(write(path / "config", eu=one), environment=environment())
    return look(source, target("eu", **fields), timeout=timeout)["eu"]


def environment(**more: str) -> dict[str, str]:
    """This one's, without what would lead elsewhere."""
    away = {"KUBECONFIG", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"}
    return {name: value for name, value in os.environ.items() if name not in away} | more


def problem(sighting: Sighting) -> Problem:
    """What went wrong with the cluster, or else with its only app."""
    found = sighting.problem or sighting.apps[0].problem
    assert found is not None
    assert found.message
    assert "\n" not in found.message + found.remedy
    return found


def at(path: str, answer: bytes | Behaviour) -> Callable[[Asked], bytes | Behaviour]:
    """Good answers, but this one at a path."""
    return lambda asked: answer if asked.path.endswith(path) else good(asked)


# ---- what goes well


def test_an_app_is_asked_about_in_order_on_one_connection_that_says_first_who_it_is(tmp_path: Path) -> None:
    with FakeApi() as api:
        seen = see(tmp_path, context(api.url))
    assert seen.problem is None
    assert seen.identity == UID
    assert [(a.app, a.namespace, list(a.answers), a.problem) for a in seen.apps] == [
        ("chat", "shop", NAMES, None)
    ]
    assert [a.path for a in api.asked] == ["/api/v1/namespaces/kube-system", *(r.path for r in CHAT.reads)]
    assert [a.labels for a in api.asked] == ["", *(r.labels for r in CHAT.reads)]
    assert {a.connection for a in api.asked} == {1}
    assert {a.headers["authorization"] for a in api.asked} == {f"Bearer {TOKEN}"}


def test_answers_are_kept_as_they_came(tmp_path: Path) -> None:
    rollout = {"metadata": {"name": "chat", "x": None}, "spec": {"steps": [1, 2.5, "ü"]}, "kind": "Rollout"}
    with FakeApi(at("rollouts/chat", ok(rollout))) as api:
        seen = see(tmp_path, context(api.url))
    assert seen.apps[0].answers["rollout"] == rollout
    assert msgspec.json.decode(msgspec.json.encode(seen), type=Sighting) == seen


def test_an_object_that_does_not_exist_is_an_answer(tmp_path: Path) -> None:
    absent = status(404, "NotFound", name="chat", group="argoproj.io", kind="rollouts")
    with FakeApi(at("rollouts/chat", absent)) as api:
        (app,) = see(tmp_path, context(api.url)).apps
    assert app.problem is None
    assert app.answers["rollout"]["reason"] == "NotFound"
    assert list(app.answers) == NAMES


@pytest.mark.parametrize("coding", ["chunked", "gzip", "until the end"])
def test_bodies_come_in_every_coding(tmp_path: Path, coding: str) -> None:
    body = json.dumps(
        {"kind": "PodList", "metadata": {}, "items": [{"n": i} for i in range(20_000)]}
    ).encode()
    if coding == "gzip":
        answer = http(200, gzip.compress(body), **{"content-encoding": "gzip"})
    elif coding == "chunked":
        chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(c), c) for c in (body[:7], body[7:9000], body[9000:]))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = head + chunks + b"0\r\nTrailer: x\r\n\r\n"
    else:

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + body)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    with FakeApi(at("/pods", answer)) as api:
        (app,) = see(tmp_path, context(api.url)).apps
    assert app.problem is None
    assert len(app.answers["pods"]["items"]) == 20_000
    assert list(app.answers) == NAMES  # on a connection that goes on, or a new one
    assert api.connections == (2 if coding == "until the end" else 1)


def test_an_address_may_have_a_path_and_a_name_be_asked_for(tmp_path: Path) -> None:
    with FakeApi(certificate="other-name") as api:
        seen = see(
            tmp_path, context(f"{api.url}/k8s/clusters/c-1/", **{"tls-server-name": "api.other.example"})
        )
    assert seen.problem is None
    assert api.asked[0].path == "/k8s/clusters/c-1/api/v1/namespaces/kube-system"


def test_another_app_is_asked_about_though_one_could_not_be_read(tmp_path: Path) -> None:
    other = Question("web", "shop", reads(msgspec.structs.replace(SUBJECT, app="web")))
    with FakeApi(at("rollouts/chat", status(403, "Forbidden"))) as api:
        source = Kubernetes(write(tmp_path / "config", eu=context(api.url)))
        chat, web = look(source, target("eu", CHAT, other))["eu"].apps
    assert chat.problem is not None
    assert chat.problem.kind == "forbidden"
    assert not chat.answers
    assert web.problem is None
    assert list(web.answers) == NAMES


def test_what_was_answered_before_a_failure_is_kept(tmp_path: Path) -> None:
    with FakeApi(at("/pods", status(500, "InternalError", "etcd is away"))) as api:
        (app,) = see(tmp_path, context(api.url)).apps
    assert list(app.answers) == NAMES[:3]
    assert app.problem is not None
    assert app.problem.kind == "server-error"
    assert "etcd is away" in app.problem.message


# ---- answers that are none

PAGE = http(200, "<html>Log in</html>", "text/html; charset=utf-8")
DEEP = b"[" * 90_000 + b"]" * 90_000
BOMB = gzip.compress(b" " * (transport.LARGEST + 1))
NO_CRD = http(404, "404 page not found\n", "text/plain")
CASES: list[tuple[str, bytes, str, Sequence[str]]] = [
    ("401", status(401, "Unauthorized"), "unauthorized", ["context eu", "renew"]),
    ("403", status(403, "Forbidden"), "forbidden", ["get rollouts.argoproj.io chat", "namespace shop", "canaryfleet rbac"]),
    ("403 of a named user", status(403, "Forbidden", 'User "system:serviceaccount:a:b" cannot'), "forbidden", ["system:serviceaccount:a:b may not get"]),
    ("403 of a wall", http(403, "<html>no</html>", "text/html"), "forbidden", ["may not get"]),
    ("no such kind", NO_CRD, "missing", ["rollouts.argoproj.io in version v1alpha1", "CustomResourceDefinitions"]),
    ("no such kind, as built-in groups say it", status(404, "NotFound", "the server could not find the requested resource"), "missing", ["does not know"]),
    ("404 about another object", status(404, "NotFound", name="other"), "missing", []),
    ("404 of something else", http(404, "<html>", "text/html"), "unparsable", ["HTML"]),
    ("410", status(410, "Expired", "too old resource version"), "server-error", ["410", "too old"]),
    ("429", status(429, "TooManyRequests", "slow down"), "server-error", ["429", "slow down"]),
    ("500", status(500, "InternalError", "panic\x1b[31m\nin red"), "server-error", ["500: panic [31m in red"]),
    ("502", http(502, "<html>Bad Gateway</html>", "text/html"), "server-error", ["502", "load balancer"]),
    ("redirect", http(302, "", location="https://u:p@login.example/?token=abc"), "misconfigured", ["to login.example"]),
    ("HTML", PAGE, "unparsable", ["HTML", "login page"]),
    ("no JSON", http(200, "{"), "unparsable", ["no JSON"]),
    ("empty", http(200, ""), "unparsable", ["no JSON"]),
    ("a number", http(200, "1"), "unparsable", ["no JSON"]),
    ("null", http(200, "null"), "unparsable", []),
    ("NaN", http(200, '{"kind": NaN}'), "unparsable", ["no JSON"]),
    ("no UTF-8", http(200, b'{"kind": "\xff"}'), "unparsable", ["no JSON"]),
    ("half a character", http(200, rb'{"kind": "\ud800"}'), "unparsable", ["no JSON"]),
    ("very deep", http(200, DEEP), "unparsable", ["levels"]),
    ("a little too deep", http(200, b'{"a":' * 101 + b"1" + b"}" * 101), "unparsable", ["levels"]),
    ("another object", ok({"kind": "Rollout", "metadata": {"name": "web"}}), "unparsable", ["not rollouts chat"]),
    ("no metadata", ok({"kind": "Rollout"}), "unparsable", ["not rollouts chat"]),
    ("a Status with 200", ok({"kind": "Status", "metadata": {"name": "chat"}}), "unparsable", ["not rollouts chat"]),
    ("too large", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "too-large", ["32 MB"]),
    ("too large a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", "too-large", ["32 MB"]),
    ("gzip bomb", http(200, BOMB, **{"content-encoding": "gzip"}), "too-large", ["32 MB"]),
    ("no gzip", http(200, "x", **{"content-encoding": "gzip"}), "unparsable", ["no HTTP"]),
    ("half of a gzip", http(200, gzip.compress(b"{}" * 99)[:-9], **{"content-encoding": "gzip"}), "unparsable", ["no HTTP"]),
    ("another coding", http(200, "{}", **{"content-encoding": "br"}), "unparsable", ["no HTTP"]),
    ("negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "too-large", []),
    ("length that is none", b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "unparsable", ["no HTTP"]),
    ("chunk that is none", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "unparsable", ["no HTTP"]),
    ("chunk without end", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "unparsable", ["no HTTP"]),
    ("garbage", b"\x00\xffSSH-2.0 hello\r\n\r\n", "unparsable", ["no HTTP"]),
    ("no status", b"HTTP/1.1\r\n\r\n", "unparsable", ["no HTTP"]),
    ("endless headers", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000, "unparsable", ["no HTTP"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "kind", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_bad_answer_is_a_problem(tmp_path: Path, answer: bytes, kind: str, words: Sequence[str]) -> None:
    with FakeApi(at("rollouts/chat", answer)) as api:
        seen = see(tmp_path, context(api.url))
    found = problem(seen)
    assert found.kind == kind
    assert all(word in f"{found.message}; {found.remedy}" for word in words), found
    assert seen.identity == UID
    assert seen.apps[0].answers == {}


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "PodList", "metadata": {}},
        {"kind": "PodList", "metadata": {}, "items": None},
        {"kind": "Pod", "metadata": {"name": "chat"}, "items": []},
        {"kind": "PodList", "metadata": {"continue": "abc"}, "items": []},
    ],
)
def test_a_list_that_is_none_or_not_all_is_a_problem(tmp_path: Path, body: Mapping[str, Any]) -> None:
    with FakeApi(at("/pods", ok(body))) as api:
        seen = see(tmp_path, context(api.url))
    assert problem(seen).kind == "unparsable"
    assert "pods" not in seen.apps[0].answers


@pytest.mark.parametrize("metadata", [{}, {"uid": ""}, {"uid": 5}, None])
def test_without_an_identity_nothing_is_seen(tmp_path: Path, metadata: Any) -> None:
    named = {"name": "kube-system", **metadata} if metadata is not None else None
    with FakeApi(at("/kube-system", ok({"kind": "Namespace", "metadata": named}))) as api:
        seen = see(tmp_path, context(api.url))
    assert problem(seen).kind == "unparsable"
    assert (seen.identity, seen.apps, len(api.asked)) == (None, (), 1)


def test_another_cluster_is_not_read(tmp_path: Path) -> None:
    with FakeApi() as api:
        seen = see(tmp_path, context(api.url), uid="1f0c0d34-7a9e-4a1c-9a57-2b6c3e1d4f50")
        assert see(tmp_path, context(api.url), uid=UID).problem is None
    assert problem(seen).kind == "foreign"
    assert UID in problem(seen).message
    assert "clusters/eu.yaml" in problem(seen).remedy
    assert seen.apps == ()


def test_two_clusters_behind_one_address_are_told_apart(tmp_path: Path) -> None:
    def answers(asked: Asked) -> bytes:
        if asked.path.endswith("/kube-system"):
            return ok(
                {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": f"u-{asked.connection}"}}
            )
        return good(asked).replace(b"content-type", b"connection: close\r\ncontent-type")

    with FakeApi(answers) as api:
        seen = see(tmp_path, context(api.url))
    assert problem(seen).kind == "foreign"
    assert seen.apps == ()


# ---- connections


def test_nobody_listens(tmp_path: Path) -> None:
    found = problem(see(tmp_path, context(f"https://127.0.0.1:{free_port()}")))
    assert found.kind == "unreachable"
    assert "refuses connections" in found.message


def test_a_name_that_is_not_known(tmp_path: Path) -> None:
    found = problem(see(tmp_path, context("https://api.canaryfleet.invalid:6443")))
    assert found.kind == "unreachable"
    assert "api.canaryfleet.invalid" in found.message


def test_a_name_that_no_name_server_may_be_asked_for(tmp_path: Path) -> None:
    assert problem(see(tmp_path, context(f"https://{'x' * 70}.example"))).kind == "unreachable"


@pytest.mark.parametrize(
    ("certificate", "cluster", "words"),
    [
        ("expired", {}, ["expired", "clock"]),
        ("other-name", {}, ["not valid for '127.0.0.1'", "tls-server-name"]),
        ("server", {"certificate-authority-data": base64.b64encode((TLS / "other-ca.pem").read_bytes()).decode()}, ["certificate-authority-data"]),
        ("server", {"certificate-authority-data": None}, ["certificate-authority-data"]),
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_trusted(
    tmp_path: Path, certificate: str, cluster: dict[str, Any], words: Sequence[str]
) -> None:
    with FakeApi(certificate=certificate) as api:
        seen = see(tmp_path, context(api.url, **cluster))
    found = problem(seen)
    assert found.kind == "unreachable"
    assert all(word in f"{found.message}; {found.remedy}" for word in words), found
    assert api.asked == []


def test_a_server_without_tls(tmp_path: Path) -> None:
    with silent(lambda connection: connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")) as port:
        found = problem(see(tmp_path, context(f"https://127.0.0.1:{port}")))
    assert found.kind == "unreachable"
    assert "does not speak TLS" in found.message


def test_whoever_says_so_trusts_everybody(tmp_path: Path) -> None:
    with FakeApi(certificate="expired") as api:
        seen = see(
            tmp_path,
            context(api.url, **{"insecure-skip-tls-verify": True, "certificate-authority-data": None}),
        )
    assert seen.problem is None


def test_the_certificate_itself_may_be_what_is_trusted(tmp_path: Path) -> None:
    trusted = base64.b64encode((TLS / "server.pem").read_bytes()).decode()
    with FakeApi() as api:
        assert see(tmp_path, context(api.url, **{"certificate-authority-data": trusted})).problem is None


def test_without_tls_no_token_is_sent(tmp_path: Path) -> None:
    with FakeApi(certificate=None) as api:
        assert see(tmp_path, context(api.url)).problem is None
    assert all("authorization" not in asked.headers for asked in api.asked)


@pytest.mark.parametrize("inline", [True, False])
def test_a_client_certificate(tmp_path: Path, inline: bool) -> None:
    pem, key = (TLS / "client.pem", TLS / "client.key")
    user = (
        {
            "client-certificate-data": base64.b64encode(pem.read_bytes()).decode(),
            "client-key-data": base64.b64encode(key.read_bytes()).decode(),
        }
        if inline
        else {"client-certificate": os.path.relpath(pem, tmp_path), "client-key": str(key)}
    )
    with FakeApi(clients=True) as api:
        assert see(tmp_path, context(api.url, user)).problem is None


def test_a_server_that_asks_for_a_certificate(tmp_path: Path) -> None:
    context_ = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context_.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    context_.verify_mode = ssl.CERT_REQUIRED
    kept = []

    def refuse(connection: socket.socket) -> None:
        kept.append(context_.wrap_socket(connection, server_side=True, do_handshake_on_connect=False))
        kept[-1].do_handshake()

    with silent(refuse) as port:
        found = problem(see(tmp_path, context(f"https://127.0.0.1:{port}", {})))
    for connection in kept:
        connection.close()
    assert found.kind == "unauthorized"
    assert "refuses the client certificate" in found.message


@pytest.mark.parametrize("when", ["before TLS", "before an answer", "in a head", "in a body", "after a body"])
def test_a_connection_that_breaks(tmp_path: Path, when: str) -> None:
    sent = {
        "before an answer": b"",
        "in a head": b"HTTP/1.1 200 O",
        "in a body": b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        "after a body": good(Asked("/rollouts/chat", "", {}, 1)),
    }

    async def breaks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent[when])
        await writer.drain()

    if when == "before TLS":
        with silent(lambda connection: connection.close()) as port:
            seen = see(tmp_path, context(f"https://127.0.0.1:{port}"))
    else:
        with FakeApi(at("rollouts/chat", breaks)) as api:
            seen = see(tmp_path, context(api.url))
    assert problem(seen).kind == "unreachable"
    assert "ended the connection" in problem(seen).message


# ---- limits of time


def test_each_place_where_a_server_can_hang_costs_its_limit_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = threading.Event()
    real = socket.getaddrinfo

    def hangs(host: Any, *rest: Any, **options: Any) -> Any:
        if host == "slow.example" and not options.get("flags"):
            looked_up.wait(PATIENT)
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hangs)

    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(PATIENT)

    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
        await asyncio.sleep(PATIENT)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n")
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.01)

    async def drip_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    behaviours = {"/hang": hang, "/half": half, "/drip": drip, "/head": drip_head}

    def answers(asked: Asked) -> bytes | Behaviour:
        for prefix, behaviour in behaviours.items():
            if asked.path.startswith(prefix) and asked.path.endswith("rollouts/chat"):
                return behaviour
        return good(asked)

    with FakeApi(answers) as api, silent() as mute, full() as shut:
        servers = {
            "name": ("https://slow.example", "looking up slow.example"),
            "connect": (f"https://127.0.0.1:{shut}", "connecting"),
            "tls": (f"https://127.0.0.1:{mute}", "greeting by TLS"),
            "hang": (f"{api.url}/hang", "waiting for an answer"),
            "half": (f"{api.url}/half", "reading an answer"),
            "drip": (f"{api.url}/drip", "reading an answer"),
            "head": (f"{api.url}/head", "waiting for an answer"),
            "fine": (api.url, ""),
        }
        path = write(tmp_path / "config", **{name: context(server) for name, (server, _) in servers.items()})
        began = time.monotonic()
        sightings = look(Kubernetes(path), *(target(name) for name in servers), timeout=SHORT)
        took = time.monotonic() - began
    looked_up.set()
    assert sightings.pop("fine").problem is None
    for name, sighting in sightings.items():
        found = problem(sighting)
        assert found.kind == "timeout", name
        assert f"{SHORT:g} s were over while {servers[name][1]}" in found.message
        assert (sighting.ended - sighting.began).total_seconds() >= SHORT * 0.9
    assert SHORT * 0.9 <= took < SHORT + SLACK


def test_a_time_out_keeps_what_was_answered(tmp_path: Path) -> None:
    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(PATIENT)

    other = Question("web", "shop", reads(msgspec.structs.replace(SUBJECT, app="web")))
    with FakeApi(at("/pods", hang)) as api:
        source = Kubernetes(write(tmp_path / "config", eu=context(api.url)))
        chat, web = look(source, target("eu", CHAT, other), timeout=1.0)["eu"].apps
    assert (list(chat.answers), list(web.answers)) == (NAMES[:3], [])
    assert chat.problem == web.problem
    assert chat.problem is not None
    assert chat.problem.kind == "timeout"


def test_clusters_that_hang_delay_none_that_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "LANES", 2)
    monkeypatch.setattr(crowd, "PATIENCE", 0.05)
    with FakeApi() as api, silent() as mute:
        dead = {f"dead-{n}": context(f"https://127.0.0.1:{mute}") for n in range(10)}
        source = Kubernetes(write(tmp_path / "config", fine=context(api.url), **dead))
        sightings = source.look([*map(target, dead), target("fine")], timeout=PATIENT)
        assert next(sightings).cluster == "fine"
        sightings.close()  # type: ignore[attr-defined]


def test_more_clusters_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "ROOM", 3)
    with FakeApi() as api:
        names = [f"c-{n}" for n in range(20)]
        source = Kubernetes(write(tmp_path / "config", **{name: context(api.url) for name in names}))
        assert all(s.problem is None for s in look(source, *map(target, names)).values())


def test_who_stops_looking_ends_what_is_under_way(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = f"echo $$ > {shlex.quote(str(pid))}; sleep 60"
    with FakeApi() as api:
        config = write(
            tmp_path / "config", fine=context(api.url), slow=context(api.url, plugged("sh", "-c", program))
        )
        source = Kubernetes(config)
        sightings = source.look([target("slow"), target("fine")], timeout=PATIENT)
        assert next(sightings).cluster == "fine"
        until(lambda: pid.exists() and pid.read_text().strip() != "")
        sightings.close()  # type: ignore[attr-defined]
        until(lambda: not alive(int(pid.read_text())))


# ---- credential plugins


def printing(text: str) -> dict[str, Any]:
    """A user whose plugin prints this."""
    return plugged("printf", "%s", text)


def plugged(command: str, *args: str, version: str = "v1", **more: Any) -> dict[str, Any]:
    """A user with a credential plugin."""
    api = f"client.authentication.k8s.io/{version}"
    return {
        "exec": {
            "apiVersion": api,
            "command": command,
            "args": list(args),
            "interactiveMode": "Never",
            **more,
        }
    }


def credential(version: str = "v1", **status: Any) -> str:
    """What a plugin should print."""
    api = f"client.authentication.k8s.io/{version}"
    return json.dumps({"apiVersion": api, "kind": "ExecCredential", "status": status})


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_plugin_prints_a_token(tmp_path: Path, version: str) -> None:
    user = plugged("printf", "%s", credential(version, token=TOKEN), version=version)
    with FakeApi() as api:
        assert see(tmp_path, context(api.url, user)).problem is None
    assert {asked.headers["authorization"] for asked in api.asked} == {f"Bearer {TOKEN}"}


def test_a_plugin_prints_a_certificate(tmp_path: Path) -> None:
    pair = {
        "clientCertificateData": (TLS / "client.pem").read_text(),
        "clientKeyData": (TLS / "client.key").read_text(),
    }
    with FakeApi(clients=True) as api:
        assert see(tmp_path, context(api.url, printing(credential(**pair)))).problem is None


def test_a_plugin_is_told_what_it_has_to_know(tmp_path: Path) -> None:
    says = """printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' \
        "$(printf '%s' "$KUBERNETES_EXEC_INFO" | base64 -w0).$PROFILE.$1" """
    program = tmp_path / "plugin"
    program.write_text(f"#!/bin/sh\n{says}")
    program.chmod(0o700)
    env = [{"name": "PROFILE", "value": "a b"}]
    extensions = [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}]
    user = plugged("./plugin", "$(id)", env=env, provideClusterInfo=True)
    with FakeApi() as api:
        assert see(tmp_path, context(api.url, user, extensions=extensions)).problem is None
    info, profile, argument = api.asked[0].headers["authorization"].removeprefix("Bearer ").split(".", 2)
    assert (profile, argument) == ("a b", "$(id)")  # no shell has read it
    told = json.loads(base64.b64decode(info))
    assert told["kind"] == "ExecCredential"
    assert told["spec"]["interactive"] is False
    assert told["spec"]["cluster"]["server"] == api.url
    assert told["spec"]["cluster"]["config"] == {"audience": "x"}
    assert base64.b64decode(told["spec"]["cluster"]["certificate-authority-data"]).decode() == CA


def test_a_plugin_runs_once_for_all_its_clusters_and_again_when_its_word_is_no_longer_good(
    tmp_path: Path,
) -> None:
    runs = tmp_path / "runs"

    def user(**status: Any) -> dict[str, Any]:
        script = f"echo >> {shlex.quote(str(runs))}; printf %s {shlex.quote(credential(**status))}"
        return plugged("sh", "-c", script)

    def count() -> int:
        return len(runs.read_text()) if runs.exists() else 0

    names = ("a", "b", "c")
    with FakeApi() as api:
        ever = Kubernetes(
            write(tmp_path / "1", **{name: context(api.url, user(token="ever-and-ever")) for name in names})
        )
        for _ in range(2):
            look(ever, *map(target, names))
        assert count() == 1
        api.answer = lambda _: status(401, "Unauthorized")
        look(ever, target("a"))
        api.answer = good
        look(ever, target("a"))
        assert count() == 2
        later = Kubernetes(
            write(
                tmp_path / "2",
                a=context(api.url, user(token="t", expirationTimestamp="2999-01-01T00:00:00Z")),
            )
        )
        for _ in range(2):
            look(later, target("a"))
        assert count() == 3


@pytest.mark.parametrize(
    ("user", "kind", "words"),
    [
        (plugged("false"), "unauthorized", ["false failed with exit code 1"]),
        (plugged("no-such-plugin-anywhere"), "unauthorized", ["can't be started", "No such file"]),
        (plugged("no-such-plugin-anywhere", installHint="apt-get install\nit"), "unauthorized", ["apt-get install it"]),
        (plugged("printf", "a\0b"), "unauthorized", ["can't be started"]),
        (printing("garbage"), "unauthorized", ["printed no ExecCredential", "kubectl --context eu"]),
        (printing(""), "unauthorized", ["printed no ExecCredential"]),
        (printing("[" * 5000), "unauthorized", ["printed no ExecCredential"]),
        (printing(credential()), "unauthorized", ["neither a token nor a certificate"]),
        (printing(credential(token=5)), "unauthorized", ["printed no ExecCredential"]),
        (printing(credential("v1beta1", token="t")), "unauthorized", ["apiVersion"]),
        (printing(credential(token="t", expirationTimestamp="2020-01-01T00:00:00Z")), "unauthorized", ["expired at 2020-01-01 00:00 UTC"]),
        (printing(credential(token="t\nX-Evil: 1")), "unauthorized", ["characters that no token has"]),
        (printing(credential(token="tökén")), "unauthorized", ["characters that no token has"]),
        (printing(credential(clientCertificateData="x", clientKeyData="y")), "misconfigured", ["no pair of PEM"]),
        (plugged("head", "-c", "5000000", "/dev/zero"), "unauthorized", ["printed no ExecCredential"]),
        (plugged("sh", "-c", "read -r answer </dev/tty"), "unauthorized", ["failed with exit code"]),
        (plugged("sh", "-c", "read -r answer"), "unauthorized", ["failed with exit code"]),
        (plugged("sh", "-c", "true", interactiveMode="Always"), "misconfigured", ["interactiveMode: Always"]),
        (plugged("true", version="v1alpha1"), "misconfigured", ["v1alpha1"]),
    ],
)  # fmt: skip
def test_a_plugin_that_does_not_do_its_work(
    tmp_path: Path,
    user: Mapping[str, Any],
    kind: str,
    words: Sequence[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    with FakeApi() as api:
        found = problem(see(tmp_path, context(api.url, user)))
    assert found.kind == kind
    assert all(word in f"{found.message}; {found.remedy}" for word in words), found
    assert api.asked == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "script", ["sleep 60", "sleep 60 & wait", "(sleep 60) & exit 0", "yes", "trap '' TERM; sleep 60"]
)
def test_a_plugin_that_hangs_ends_with_the_limit_and_all_that_it_started(tmp_path: Path, script: str) -> None:
    pid = tmp_path / "pid"
    with FakeApi() as api:
        user = plugged("sh", "-c", f"echo $$ >{shlex.quote(str(pid))}; {script}")
        began = time.monotonic()
        found = problem(see(tmp_path, context(api.url, user), timeout=SHORT))
        assert time.monotonic() - began < SHORT + SLACK
    if script != "yes":  # which prints too much at once
        assert found.kind == "timeout"
        assert "plugin" in found.message
    until(lambda: not alive(int(pid.read_text())))


# ---- kubeconfigs


def test_of_several_files_the_first_that_knows_a_name_wins(tmp_path: Path) -> None:
    with FakeApi() as api:
        files = [
            str(tmp_path / "absent"),
            write(tmp_path / "one", eu=context(api.url, {"token": "first"})),
            write(
                tmp_path / "two",
                eu=context("https://nowhere.invalid"),
                us=context(api.url, {"token": "second"}),
            ),
        ]
        source = Kubernetes(environment=environment(KUBECONFIG=os.pathsep.join(files)))
        sightings = look(source, target("eu"), target("us"))
    assert [s.problem for s in sightings.values()] == [None, None]
    assert {asked.headers["authorization"] for asked in api.asked} == {"Bearer first", "Bearer second"}


def test_without_a_word_it_is_the_one_at_home(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    with FakeApi() as api:
        write(tmp_path / ".kube" / "config", eu=context(api.url))
        assert (
            look(Kubernetes(environment=environment(HOME=str(tmp_path))), target("eu"))["eu"].problem is None
        )


def test_a_token_is_read_anew_from_its_file(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with FakeApi() as api:
        source = Kubernetes(
            write(tmp_path / "config", eu=context(api.url, {"token": "old", "tokenFile": "token"}))
        )
        for text in ("one\n", "two\n"):
            token.write_text(text)
            assert look(source, target("eu"))["eu"].problem is None
            assert api.asked[-1].headers["authorization"] == f"Bearer {text.strip()}"


def test_name_and_password_and_who_is_impersonated(tmp_path: Path) -> None:
    user = {
        "username": "ann",
        "password": "b:c",
        "as": "system:serviceaccount:a:b",
        "as-groups": ["g"],
        "as-user-extra": {"k/l": ["v"]},
    }
    with FakeApi() as api:
        assert see(tmp_path, context(api.url, user)).problem is None
    headers = api.asked[0].headers
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"ann:b:c"
    assert headers["impersonate-user"] == "system:serviceaccount:a:b"
    assert headers["impersonate-group"] == "g"
    assert headers["impersonate-extra-k%2fl"] == "v"


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ({"cluster": {}, "user": {}}, ["cluster eu of context eu", "server"]),
        ({"cluster": {"server": 5}, "user": {}}, ["Expected `str`, got `int`"]),
        ({"cluster": None, "user": {}}, ["Expected `object`, got `null`"]),
        (context("ftp://x"), ["no address"]),
        (context("https://x y"), ["no address"]),
        (context("https://[::1"), ["no address"]),
        (context("https://h:99999"), ["no address"]),
        (context("https://h", **{"certificate-authority-data": "?"}), ["no base64"]),
        (context("https://127.0.0.1:1", **{"certificate-authority-data": "eHg="}), ["the CA of context eu is no PEM"]),
        (context("https://h", {"client-certificate": "away.pem"}), ["away.pem: No such file"]),
        (context("https://h", {"tokenFile": "away"}), ["away: No such file"]),
        (context("https://h", {"auth-provider": {"name": "gcp"}}), ["auth-provider", "exec"]),
        (context("https://h", **{"proxy-url": "socks5://localhost:1"}), ["proxy"]),
        (context("https://h", {"exec": {"command": "x"}}), ["apiVersion"]),
    ],
)  # fmt: skip
def test_a_context_that_leads_nowhere(tmp_path: Path, one: Mapping[str, Any], words: Sequence[str]) -> None:
    found = problem(see(tmp_path, one))
    assert found.kind == "misconfigured"
    assert all(word in f"{found.message}; {found.remedy}" for word in words), found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ["there is no kubeconfig"]),
        ("a: [", ["no kubeconfig that can be read"]),
        ("- a", ["no kubeconfig that can be read"]),
        ("", ["has no context eu"]),
        ("contexts: 5", ["has no context eu"]),
        ("contexts: [5, {name: [a]}, {name: eu}]", ["context eu in the kubeconfig is wrong"]),
        ("contexts: [{name: eus, context: {}}]", ["did you mean eus"]),
        ("contexts: [{name: eu, context: {cluster: away}}]", ["has no cluster away"]),
        ("contexts: [{name: eu, context: {cluster: eu, user: away}}]\nclusters: [{name: eu, cluster: {server: https://h}}]", ["has no user away"]),
    ],
)  # fmt: skip
def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str | None, words: Sequence[str]) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    found = problem(look(Kubernetes(str(path)), target("eu"))["eu"])
    assert found.kind == "misconfigured"
    assert all(word in f"{found.message}; {found.remedy}" for word in words), found


def test_a_cluster_that_nothing_leads_to(tmp_path: Path) -> None:
    found = problem(look(Kubernetes(str(tmp_path / "no")), target("eu", access=None))["eu"])
    assert found.kind == "misconfigured"
    assert "clusters/eu.yaml" in found.remedy


def test_from_inside_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "ca.crt").write_text(CA)
    inside = target("here", access=Access(inCluster=True))
    with FakeApi() as api:
        env = environment(KUBERNETES_SERVICE_HOST="127.0.0.1", KUBERNETES_SERVICE_PORT=str(api.port))
        source = Kubernetes(environment=env, service_account=str(tmp_path))
        assert look(source, inside)["here"].problem is None
        api.answer = lambda _: status(403, "Forbidden")
        assert "rbac | kubectl apply" in problem(look(source, inside)["here"]).remedy
    assert api.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    outside = problem(look(Kubernetes(environment=environment()), inside)["here"])
    assert (outside.kind, "no cluster" in outside.message) == ("misconfigured", True)


# ---- proxies


@pytest.mark.parametrize(
    ("env", "given", "through"),
    [
        ({}, True, True),
        ({"HTTPS_PROXY": "PROXY"}, False, True),
        ({"https_proxy": "PROXY", "NO_PROXY": "other.example,10.0.0.0/8"}, False, True),
        ({"HTTPS_PROXY": "PROXY", "NO_PROXY": "api.example"}, False, False),
        ({"HTTPS_PROXY": "PROXY", "NO_PROXY": " .example"}, False, False),
        ({"HTTPS_PROXY": "PROXY", "NO_PROXY": "*.example"}, False, False),
        ({"HTTPS_PROXY": "PROXY", "no_proxy": "*"}, False, False),
        ({"HTTPS_PROXY": "PROXY", "NO_PROXY": "api.example:1"}, False, True),
        ({"NO_PROXY": "*"}, True, True),
    ],
)  # fmt: skip
def test_a_proxy_is_used_where_kubectl_would(
    tmp_path: Path, env: Mapping[str, str], given: bool, through: bool
) -> None:
    with FakeApi() as api, proxy(api.port) as (port, heard):
        url = f"http://ann:s3cret@127.0.0.1:{port}"
        told = {name: value.replace("PROXY", url) for name, value in env.items()}
        one = context(
            "https://api.example:6443",
            **({"proxy-url": url} if given else {}),
            **{"tls-server-name": "localhost"},
        )
        source = Kubernetes(write(tmp_path / "config", eu=one), environment=environment(**told))
        seen = look(source, target("eu"), timeout=5.0)["eu"]
    if not through:
        assert heard == []
        return
    assert seen.problem is None
    assert heard[0].startswith(b"CONNECT api.example:6443 HTTP/1.1\r\n")
    assert base64.b64encode(b"ann:s3cret") in heard[0]


def test_nothing_on_this_machine_goes_through_a_proxy_of_the_environment(tmp_path: Path) -> None:
    with FakeApi() as api:
        config = write(tmp_path / "config", eu=context(api.url))
        source = Kubernetes(config, environment=environment(HTTPS_PROXY="http://127.0.0.1:1"))
        assert look(source, target("eu"))["eu"].problem is None


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 No\r\n\r\n", b"HTTP/1.1 502 No\r\n\r\n", b"", b"x" * 70_000]
)
def test_a_proxy_that_refuses(tmp_path: Path, answer: bytes) -> None:
    with silent(
        lambda connection: (connection.recv(4096), connection.sendall(answer), connection.close())
    ) as port:
        one = context("https://api.example:6443", **{"proxy-url": f"http://ann:s3cret@127.0.0.1:{port}"})
        found = problem(see(tmp_path, one))
    assert found.kind == "unreachable"
    assert "api.example:6443" in found.message
    assert "s3cret" not in repr(found)


# ---- secrets


def told(sighting: Sighting, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    """Everything that anybody gets to see."""
    return repr(sighting) + msgspec.json.encode(sighting).decode() + "".join(capfd.readouterr()) + caplog.text


SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40).map(
    lambda s: f"q7{s}"
)


@pytest.fixture(scope="module")
def echoing() -> Iterator[FakeApi]:
    """A server that says everything back that it is told, in one of many ways."""
    with FakeApi() as api:
        yield api


@LIMITED
@given(secret=SECRETS, way=st.integers(0, 7), user=st.sampled_from(["token", "password", "plugin"]))
def test_secrets_that_come_back_are_not_shown(
    tmp_path_factory: pytest.TempPathFactory, echoing: FakeApi, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture, secret: str, way: int, user: str,
) -> None:  # fmt: skip
    def echo(asked: Asked) -> bytes:
        back = asked.headers["authorization"].split(" ", 1)[1]
        known = f"{back} {secret}"
        return [
            status(401, known, known, name=known),
            status(403, "Forbidden", f'User "{known}" cannot'),
            status(500, known, known),
            http(500, known, "text/plain"),
            http(200, known, back),
            http(302, known, location=f"https://{secret}@h/?{back}"),
            http(200, json.dumps({"kind": known})),
            f"HTTP/1.1 {known}\r\n\r\n".encode(),
        ][way]

    users = {
        "token": {"token": secret},
        "password": {"username": "ann", "password": secret},
        "plugin": printing(credential(token=secret)),
    }
    echoing.answer = echo
    seen = see(tmp_path_factory.mktemp("k"), context(echoing.url, users[user]))
    problem(seen)
    shown = told(seen, capfd, caplog)
    assert secret not in shown
    assert json.dumps(secret)[1:-1] not in shown
    assert base64.b64encode(f"ann:{secret}".encode()).decode() not in shown


@LIMITED
@given(secret=SECRETS, way=st.integers(0, 5))
def test_secrets_of_a_plugin_are_not_shown(
    tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture, secret: str, way: int,
) -> None:  # fmt: skip
    quoted = shlex.quote(secret)
    user = [
        plugged("sh", "-c", f"printf %s {quoted}; exit 3"),
        plugged("sh", "-c", f"printf %s {quoted} >&2; exit 3"),
        plugged("no-such-plugin-anywhere", secret),
        plugged("printf", "%s", secret),
        plugged("sh", "-c", "echo $IT; echo $IT >&2", env=[{"name": "IT", "value": secret}]),
        plugged("printf", "%s", credential(clientCertificateData=secret, clientKeyData=secret)),
    ][way]
    seen = see(tmp_path_factory.mktemp("k"), context("https://127.0.0.1:1", user))
    problem(seen)
    assert secret not in told(seen, capfd, caplog)


@pytest.mark.parametrize(
    "text", ["users: [{name: eu, user: {token: %s}}", "%s", "users: {a: &%s [*%s]}", "a: !%s b"]
)
def test_secrets_of_a_broken_kubeconfig_are_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / "config").write_text(text.replace("%s", TOKEN))
    seen = look(Kubernetes(str(tmp_path / "config")), target("eu"))["eu"]
    problem(seen)
    assert TOKEN not in told(seen, capfd, caplog)


def test_an_expired_token_says_when_it_did(tmp_path: Path) -> None:
    claims = base64.urlsafe_b64encode(b'{"exp": 1600000000, "sub": "x"}').decode().rstrip("=")
    with FakeApi(lambda _: status(401, "Unauthorized")) as api:
        found = problem(see(tmp_path, context(api.url, {"token": f"e30.{claims}.c2ln"})))
    assert "the token expired at 2020-09-13 12:26 UTC" in found.message


@pytest.mark.parametrize(
    "claims", [b"5", b"[]", b'{"exp": "x"}', b'{"exp": 1e300}', b"\xff", b'{"exp": null}']
)
def test_a_token_that_is_odd_is_only_refused(tmp_path: Path, claims: bytes) -> None:
    part = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    with FakeApi(lambda _: status(401, "Unauthorized")) as api:
        assert problem(see(tmp_path, context(api.url, {"token": f"a.{part}.b"}))).kind == "unauthorized"


# ---- whatever comes


@LIMITED
@given(answer=st.binary(max_size=200), head=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]))  # fmt: skip
def test_whatever_a_server_sends_is_a_problem_and_no_answer(
    tmp_path_factory: pytest.TempPathFactory, echoing: FakeApi, answer: bytes, head: bytes
) -> None:
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + answer)
        await writer.drain()

    echoing.answer = lambda _: send
    seen = see(tmp_path_factory.mktemp("k"), context(echoing.url))
    assert problem(seen).kind in {"unreachable", "unparsable", "too-large", "server-error"}
    assert "bug" not in problem(seen).remedy
    assert seen.identity is None


def test_nothing_to_look_at(tmp_path: Path) -> None:
    assert look(Kubernetes(str(tmp_path / "away"))) == {}


def test_a_bug_ends_one_cluster_and_not_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> bool:
        raise ZeroDivisionError(TOKEN)

    monkeypatch.setattr(session, "_depth_exceeds", fails)
    with FakeApi() as api:
        found = problem(see(tmp_path, context(api.url)))
    assert "ZeroDivisionError" in found.message
    assert TOKEN not in repr(found)


# ---- helpers that listen


def free_port() -> int:
    """A port that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


class silent:  # noqa: N801 - reads as a word in `with silent() as port`
    """Accepts connections and does one thing with each, or nothing."""

    def __init__(self, act: Callable[[socket.socket], object] = lambda _: None) -> None:
        self._server, self._act = socket.create_server(("127.0.0.1", 0)), act
        self._taken: list[socket.socket] = []

    def __enter__(self) -> int:
        threading.Thread(target=self._accept, daemon=True).start()
        return int(self._server.getsockname()[1])

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._taken.append(self._server.accept()[0])
                with suppress(OSError):
                    self._act(self._taken[-1])

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # else `accept` would wait on
        for taken in (*self._taken, self._server):
            with suppress(OSError):
                taken.shutdown(socket.SHUT_RDWR)
            taken.close()


class full:  # noqa: N801
    """Never accepts; its queue is full, so that who connects gets no answer at all."""

    def __enter__(self) -> int:
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen(0)
        address = self._server.getsockname()
        self._waiting = [socket.socket() for _ in range(4)]
        for sock in self._waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        return int(address[1])

    def __exit__(self, *_: object) -> None:
        for sock in (*self._waiting, self._server):
            sock.close()


class proxy:  # noqa: N801
    """An HTTP proxy that connects everybody to one port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._heard: list[bytes] = []
        self._listening = silent(self._connect)
        self._pumps: list[threading.Thread] = []
        self._servers: list[socket.socket] = []

    def __enter__(self) -> tuple[int, list[bytes]]:
        return self._listening.__enter__(), self._heard

    def __exit__(self, *_: object) -> None:
        self._listening.__exit__()
        for pump in self._pumps:
            pump.join()
        for server in self._servers:
            server.close()

    def _connect(self, client: socket.socket) -> None:
        self._heard.append(client.recv(65536))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        server = socket.create_connection(("127.0.0.1", self._port))
        self._servers.append(server)
        for source, sink in ((client, server), (server, client)):
            self._pumps.append(threading.Thread(target=_pump, args=(source, sink), daemon=True))
            self._pumps[-1].start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def alive(group: int) -> bool:
    """Whether anything of a group of processes runs; those that nobody has asked about since don't."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, of = stat.read_text().rpartition(")")[2].split()[:3]
            if int(of) == group and state not in "ZX":
                return True
    return False


def until(probe: Callable[[], bool]) -> None:
    """Wait for something that is sure to come."""
    deadline = time.monotonic() + PATIENT
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.005)
