"""Answers of forges, registries and webhooks that were altered: a finding or what was asked for, soon, without the token."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hostile import BYTES, LONGEST, TEXTS, altered, data_of, fine, spoiled, tried
from hypothesis import example, given
from hypothesis import strategies as st

import fake_forge
import fake_registry
from canaryfleet.errors import Problems
from canaryfleet.forges import NotMerged, gitea, github
from canaryfleet.forges.rest import World
from canaryfleet.models.fleet import Forge as Settings
from canaryfleet.models.forge import CommitStatus, PullRequest
from canaryfleet.registry import Registries, Unresolved
from fake_forge import REPOSITORY, TOKEN, Act, FakeForge
from fake_registry import IDENTITY, PASSWORD, USER, FakeRegistry
from forges import Ground

BRANCH = "canaryfleet/chat/k1"
LATIN = [text for text in TEXTS if text.isascii() or text in "é²"]
ONE_LINE = [text for text in LATIN if "\n" not in text and "\r" not in text and len(text) < 4000]
HEADERS = ("retry-after", "x-ratelimit-reset", "x-ratelimit-remaining", "location", "etag", "link", "content-encoding",
           "transfer-encoding", "content-length", "content-type", "www-authenticate", "docker-content-digest", "connection")  # fmt: skip
STATUSES = (200, 201, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 409, 422, 429, 500, 503, 999)
DATES = (
    "Wed, 21 Oct 99999 07:28:00 GMT",
    "Wed, 21 Oct 2026 07:28:00 +999999",
    "0",
    "²",
    "٣".encode().decode("latin-1"),
)


@st.composite
def headers(draw: st.DrawFn) -> dict[str, str]:
    values = st.sampled_from(
        [*ONE_LINE, *DATES, "0", "1", "gzip", "chunked", "bytes", 'Bearer realm="x"', 'rel="next"']
    )
    return draw(st.dictionaries(st.sampled_from(HEADERS), values, max_size=3))


class Changed:
    """Makes other answers of right ones, as an example of hypothesis says, the first few times that it is asked."""

    def __init__(self, data: st.DataObject, most: int) -> None:
        self.data, self.left = data, most

    def of(self, status: int, body: bytes, known: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        if self.left == 0 or not self.data.draw(st.booleans()):
            return status, body, known
        self.left -= 1
        try:
            plain = json.loads(body)
        except ValueError:
            plain = {}
        body = self.data.draw(data_of(plain) | st.just(body) | spoiled(body))
        status = self.data.draw(st.just(status) | st.sampled_from(STATUSES))
        return status, body, {**known, **self.data.draw(headers())}


def quick(call: Callable[[], Any], *secrets: str) -> Any:
    """What a call gives, or the finding that it raises; neither has a secret, and neither takes long."""
    began = process_time()
    try:
        return call()
    except (Problems, NotMerged, Unresolved) as error:
        said = str(error)
        fine(said)
        assert not any(secret in said for secret in secrets), said
        return error
    finally:
        assert process_time() - began < LONGEST


# Forges


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A branch with an open pull request, reviews and a comment, and one that was closed."""
    made = Ground(tmp_path_factory.mktemp("ground"))
    for branch in (BRANCH, "canaryfleet/chat/k2"):
        made.push(branch, {"pointer": f"{branch}\n"}, onto="main")
        made.local.open(branch, "main", "t", "b")
    made.local.review(1, "alice", "approved")
    made.comment(1, "bob", "no")
    made.local.close(2, "no")
    return made


@pytest.fixture(scope="module", params=["github", "gitea"])
def server(request: pytest.FixtureRequest, ground: Ground) -> Iterator[FakeForge]:
    with FakeForge(ground, request.param) as made:
        yield made


def connected(server: FakeForge) -> Any:
    """A forge for which no time goes by."""
    settings = Settings(type=server.dialect, repository=REPOSITORY, url=server.url)
    tokens = {"CANARYFLEET_GITHUB_TOKEN": TOKEN, "CANARYFLEET_GITEA_TOKEN": TOKEN}
    module: Any = github if server.dialect == "github" else gitea
    return module.connect(settings, "", tokens, World(lambda: 1.8e9, lambda _: None, lambda: 0.5))


CALLS: dict[str, Callable[[Any, str], Any]] = {
    "requests": lambda forge, _: forge.requests("canaryfleet/"),
    "everybody": lambda forge, _: forge.everybody(),
    "open": lambda forge, _: forge.open(BRANCH, "main", "t", "b"),
    "edit": lambda forge, _: forge.edit(1, "t", "b"),
    "merge": lambda forge, head: forge.merge(2, head, "t", "m"),
    "status": lambda forge, head: forge.status(head, CommitStatus(context="c", state="success")),
}


@tried(12)
@given(data=st.data(), call=st.sampled_from(sorted(CALLS)))
def test_a_forge_that_says_anything(
    server: FakeForge, ground: Ground, data: st.DataObject, call: str
) -> None:
    change = Changed(data, 2)

    def fault(act: Act) -> fake_forge.Reply:
        reply = act()
        body = (
            b""
            if reply.body is None
            else reply.body
            if isinstance(reply.body, bytes)
            else json.dumps(reply.body).encode()
        )
        return fake_forge.Reply(*change.of(reply.status, body, dict(reply.headers)))

    server._faults.clear()
    for method in ("GET", "POST", "PUT", "PATCH"):
        server.fail(method, "", fault, times=6)
    found = quick(lambda: CALLS[call](connected(server), ground.tip(BRANCH)), TOKEN)
    for request in found if isinstance(found, list) else ():
        assert isinstance(request, PullRequest)
        assert request.state != "open" or all(
            review.state != "approved" or review.by in server.writers for review in request.reviews
        )
    assert not [asked for asked in server.asked if "elsewhere" in asked.path]


@pytest.mark.parametrize(
    ("status", "named"),
    [
        (429, {"retry-after": "²"}), (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "²"}),
        (429, {"retry-after": DATES[0]}), (429, {"retry-after": DATES[1]}), (302, {"location": "http://["}),
        (301, {"location": "file:///etc/passwd"}), (307, {"location": ""}), (200, {"etag": "", "link": 'rel="next"'}),
        (200, {"content-length": "-1"}), (200, {"content-encoding": "gzip"}), (200, {"transfer-encoding": "chunked"}),
    ],
)  # fmt: skip
def test_headers_that_are_no_headers(server: FakeForge, status: int, named: dict[str, str]) -> None:
    server._faults.clear()
    server.fail("GET", "", lambda _: fake_forge.Reply(status, [], named), times=1 + (status == 200))
    quick(lambda: connected(server).everybody(), TOKEN)


@pytest.mark.parametrize(
    "when", ["2026-11-02T09:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
def test_times_that_are_none(server: FakeForge, when: str) -> None:
    """A time without a zone can't be compared with one that has it."""

    def fault(act: Act) -> fake_forge.Reply:
        reply = act()
        pulls = [{**pull, "updated_at": when} for pull in reply.body]
        return reply._replace(body=pulls)

    server._faults.clear()
    server.fail("GET", "/pulls$", fault, times=4)
    quick(lambda: connected(server).requests("canaryfleet/"), TOKEN)


# Registries


LOGINS: Any = {"auths": {"HOST": {"auth": b64encode(f"{USER}:{PASSWORD}".encode()).decode(), "identitytoken": IDENTITY}},
               "credHelpers": {"x.example": "none"}, "credsStore": ""}  # fmt: skip


@pytest.fixture(scope="module", params=["none", "basic", "bearer"])
def registry(request: pytest.FixtureRequest) -> Iterator[FakeRegistry]:
    made = FakeRegistry(request.param)
    made.push("acme/app", "1")
    yield made
    made.close()


def asks(registry: FakeRegistry, folder: Path, config: bytes, image: str = "acme/app:1") -> Any:
    (folder / "config.json").write_bytes(config.replace(b"HOST", registry.host.encode()))
    environment = {"DOCKER_CONFIG": str(folder), "PATH": "/usr/bin:/bin"}
    found = Registries(environment, sleep=lambda _: None)
    return quick(lambda: found.pinned(f"{registry.host}/{image}"), PASSWORD, IDENTITY)


@tried(12)
@given(data=st.data())
def test_a_registry_that_says_anything(
    registry: FakeRegistry, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    change, right = Changed(data, 3), registry.reply

    def reply(path: str, headers: dict[str, str], body: bytes) -> fake_registry.Reply:
        found = right(path, headers, body)
        return fake_registry.Reply(*change.of(found.status, found.body, dict(found.headers)))

    registry.reply = reply  # type: ignore[method-assign]
    try:
        found = asks(registry, tmp_path_factory.mktemp("docker"), json.dumps(LOGINS).encode())
    finally:
        registry.reply = right  # type: ignore[method-assign]
    if isinstance(found, str):
        assert "@sha256:" in found


@tried(15)
@given(config=data_of(LOGINS))
@example(config=b'{"auths": {"HOST": {"identitytoken": "\\ud800"}}}')
@example(config=b'{"auths": {"HOST": {"auth": "\\ud800"}}}')
@example(config=b'{"auths": {"HOST": ' + b"[" * 5000)
def test_any_docker_settings(
    registry: FakeRegistry, tmp_path_factory: pytest.TempPathFactory, config: bytes
) -> None:
    asks(registry, tmp_path_factory.mktemp("docker"), config)


@pytest.mark.parametrize(
    "printed", [b"", b"\xff", b"[]", b'"x"', b"[" * 5000, b'{"Username": "\\ud800", "Secret": "\\ud800"}',
                b'{"Username": "<token>", "Secret": "\\ud800"}', b'{"Username": null, "Secret": {}}', b"null", *BYTES[:4]]
)  # fmt: skip
def test_any_credential_helper(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: bytes
) -> None:
    (tmp_path / "out").write_bytes(printed)
    helper = tmp_path / "docker-credential-fake"
    helper.write_text(f"#!/bin/sh\ncat '{tmp_path}/out'\n")
    helper.chmod(0o700)
    config = json.dumps({"credsStore": "fake"}).encode()
    (tmp_path / "config.json").write_bytes(config)
    environment = {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    found = Registries(environment, sleep=lambda _: None)
    quick(lambda: found.pinned(f"{registry.host}/acme/app:1"), PASSWORD, IDENTITY)


@tried(10)
@given(data=st.data())
def test_any_image(
    registry: FakeRegistry, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = data.draw(altered([f"{registry.host}/acme/app:1@sha256:{'0' * 64}"], most=2))
    environment = {"DOCKER_CONFIG": str(tmp_path_factory.getbasetemp())}
    for word in text if isinstance(text, list) else ():
        if isinstance(word, str) and registry.host in word:
            quick(lambda word=word: Registries(environment, lambda _: None, 1.0).pinned(word))  # type: ignore[misc]
