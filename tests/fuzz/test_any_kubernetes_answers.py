"""Kubeconfig files, credential plugins and API servers that say anything: a sighting or a problem, never a bug."""

import base64
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import SECRET, altered, as_json, data_of, fine, spoiled, tried
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet.engines.argo_rollouts.observe import reads
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.cluster import Access, Cluster, ClusterMetadata
from canaryfleet.models.observation import Subject
from canaryfleet.sources import Question, Target
from canaryfleet.sources.kubernetes import Kubernetes, plugin
from canaryfleet.sources.kubernetes.kubeconfig import Kubeconfig, Plugin, Way
from canaryfleet.sources.kubernetes.trouble import Trouble
from fake_api import CA, Asked, FakeApi, good, http

SUBJECT = Subject(app="chat", namespace="shop", release="1.0.0-abc", selector={"app": "chat"})
CHAT = Target(
    Cluster(
        apiVersion=API_VERSION,
        kind="Cluster",
        metadata=ClusterMetadata(name="eu"),
        access=Access(context="eu"),
    ),
    (Question("chat", "shop", reads(SUBJECT)),),
)
CREDENTIAL: Any = {
    "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
    "status": {"token": SECRET, "expirationTimestamp": "2126-11-02T09:00:00Z", "clientCertificateData": "", "clientKeyData": ""},
}  # fmt: skip
EXEC = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "true",
    "args": ["x"],
    "env": [{"name": "A", "value": "b"}],
}


def config(url: str) -> Any:
    """A kubeconfig with everything in it that is read."""
    cluster = {
        "server": url, "certificate-authority-data": base64.b64encode(CA.encode()).decode(), "tls-server-name": "localhost",
        "extensions": [{"name": "x", "extension": {"a": 1}}], "insecure-skip-tls-verify": False,
    }  # fmt: skip
    users = [
        {"name": "eu", "user": {"token": SECRET, "as": "ann", "as-groups": ["a"]}},
        {"name": "x", "user": {"exec": EXEC}},
    ]
    contexts = [
        {"name": "eu", "context": {"cluster": "eu", "user": "eu"}},
        {"name": "x", "context": {"cluster": "eu", "user": "x"}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "eu", "cluster": cluster}],
        "users": users,
        "contexts": contexts,
    }


@pytest.fixture(scope="module")
def api() -> Iterator[FakeApi]:
    with FakeApi() as made:
        yield made


def see(api: FakeApi, folder: Path, data: bytes) -> str:
    """What is said of the cluster's problem, which is no bug of ours and no secret."""
    (folder / "config").write_bytes(data)
    (found,) = Kubernetes(str(folder / "config"), environment={"PATH": "/usr/bin:/bin"}).look(
        [CHAT], timeout=20.0
    )
    problems = [found.problem, *(look.problem for look in found.apps)]
    said = " ".join(f"{problem.message} {problem.remedy}" for problem in problems if problem)
    fine(said)
    assert "bug" not in said, said
    return said


@tried(15)
@given(data=st.data())
def test_any_kubeconfig(api: FakeApi, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Of servers that are no address of ours nothing is asked: it would leave the machine."""
    api.answer = good
    folder = tmp_path_factory.mktemp("kubeconfig")
    written = data.draw(data_of(config(api.url)))
    if api.url.encode() + b'"' in written:
        see(api, folder, written)
    (folder / "config").write_bytes(written)
    for context in ("eu", "x"):
        try:
            Kubeconfig(str(folder / "config"), {}).way(context)
        except Trouble as trouble:
            fine(trouble.problem.message + trouble.problem.remedy)


WAY = Way(name="eu", server=__import__("urllib.parse").parse.urlsplit("https://x.example"))
PLUGIN = Plugin(argv=("x",), environment=(), version=CREDENTIAL["apiVersion"], info="", hint="")


@tried(60)
@given(printed=data_of(CREDENTIAL))
def test_any_credential(printed: bytes) -> None:
    try:
        status = plugin._decode(WAY, PLUGIN, printed)
    except Trouble as trouble:
        fine(trouble.problem.message + trouble.problem.remedy)
        return
    assert isinstance(status.token, str)
    assert status.expiration_timestamp is None or status.expiration_timestamp.tzinfo


@pytest.mark.parametrize(
    "when",
    ["2026-11-02T09:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2000-01-01T00:00:00Z"],
)
def test_any_end_of_credentials(api: FakeApi, tmp_path: Path, when: str) -> None:
    api.answer = good
    credential = json.dumps(CREDENTIAL | {"status": {"token": SECRET, "expirationTimestamp": when}})
    program = tmp_path / "plugin"
    program.write_text(f"#!{sys.executable}\nprint({credential!r})\n")
    program.chmod(0o700)
    told = config(api.url)
    told["users"][0]["user"] = {"exec": EXEC | {"command": str(program)}}
    see(api, tmp_path, as_json(told))


IDENTITY: Any = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "kube-system", "uid": "u"}}
LIST: Any = {
    "kind": "List",
    "apiVersion": "v1",
    "metadata": {"resourceVersion": "1"},
    "items": [{"metadata": {"name": "x"}}],
}
STATUS: Any = {
    "kind": "Status", "status": "Failure", "message": 'User "ann" cannot', "reason": "Forbidden", "details": {"name": "chat"}, "code": 403,
}  # fmt: skip


@tried(15)
@given(data=st.data(), code=st.sampled_from([200, 200, 301, 401, 403, 404, 409, 500, 503]))
def test_any_answer_of_an_api_server(
    api: FakeApi, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, code: int
) -> None:
    body = data.draw(st.one_of(*(data_of(known) for known in (IDENTITY, LIST, STATUS))))
    more = data.draw(
        st.sampled_from(
            [
                {},
                {"location": "http://["},
                {"content-encoding": "gzip"},
                {"connection": "close"},
                {"retry-after": "x"},
            ]
        )
    )
    whole = http(code, body, **more)
    whole = data.draw(st.just(whole) | spoiled(whole))
    last = data.draw(st.sampled_from(["kube-system", "chat", "replicasets", "pods", ""]))
    # A server that says less than it announces, and keeps the connection, is only ended by the limit of time.
    whole = whole if b"content-length: %d\r\n" % len(body) in whole and whole.endswith(body) else b""

    def answer(asked: Asked) -> bytes | Any:
        return (whole or _ended) if asked.path.endswith(last) else good(asked)

    async def _ended(*_: Any) -> None:
        pass

    api.answer = answer
    see(api, tmp_path_factory.mktemp("answers"), as_json(config(api.url)))


def test_the_way_to_alter_reaches_every_field() -> None:
    whole = textwrap.dedent(json.dumps(config("https://x.example")))
    assert altered(json.loads(whole)) is not None
