"""`pin` against a registry on loopback: right digests, files as people wrote them, and credentials that stay."""

import contextlib
import json
import stat
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import Repo, Result
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet import edit, images, registry
from canaryfleet.errors import Problems
from canaryfleet.syntax import parse_manifests
from fake_registry import IDENTITY, PASSWORD, USER, FakeRegistry, Reply, digest, manifest

BASIC = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SPEC = """\
# who reads this is kind
apiVersion: canaryfleet.dev/v1alpha1
kind: Canary
metadata: {name: chat, namespace: inference}
version: 1.0.0
workload:
  image:   'IMAGE'   # the newest
  port: 8000
waves: [{name: all}]
"""


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    """A registry with acme/app:1."""
    made = FakeRegistry()
    made.push("acme/app", "1")
    yield made
    made.close()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's settings, of nobody yet."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setattr("time.sleep", lambda _: None)
    return folder


@pytest.fixture
def app(repo: Repo, server: FakeRegistry, docker: Path) -> Repo:
    """A repository whose app has the image acme/app:1 of the registry."""
    repo.write("specs/chat/canary.yaml", SPEC.replace("IMAGE", f"{server.host}/acme/app:1"))
    return repo


def logged_in(docker: Path, host: str, **entry: str) -> None:
    (docker / "config.json").write_text(json.dumps({"auths": {host: entry or {"auth": BASIC}}}))


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put docker-credential-fake on the PATH."""
    program = folder / "docker-credential-fake"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def silent(*found: Result) -> None:
    """No secret in what is said."""
    for each in found:
        for secret in (PASSWORD, IDENTITY, BASIC, "t0ken-for"):
            assert secret not in each.out + each.err


def spec_of(repo: Repo) -> str:
    return (repo.root / "specs/chat/canary.yaml").read_text()


def test_a_tag_is_pinned_in_place(app: Repo, server: FakeRegistry) -> None:
    before, pinned = spec_of(app), digest(server.images["acme/app", "1"])
    assert app.run("pin", "--check").codes == {"CF044"}
    assert server.asked == [], "an image without digest is seen without asking"
    tried = app.run("pin", "--dry-run")
    assert (tried.code, spec_of(app)) == (0, before)
    found = app.run("pin", "chat")
    assert found.code == 0
    image = f"{server.host}/acme/app:1"
    assert f"specs/chat/canary.yaml:7:12: {image} -> {image}@{pinned}\n1 image pinned" in found.out
    assert spec_of(app) == before.replace("app:1'", f"app:1@{pinned}'")
    assert app.run("pin", "--check").code == 0
    assert app.run("pin").out == "0 images pinned\n"


def test_a_tag_that_has_moved_is_asked_for_again_only_when_it_is_wanted(
    app: Repo, server: FakeRegistry
) -> None:
    app.run("pin")
    before = spec_of(app)
    new = server.push("acme/app", "1", "two")
    assert app.run("pin").code == 0
    assert spec_of(app) == before
    assert app.run("pin", "--check", "--update").codes == {"CF044"}
    assert spec_of(app) == before
    assert app.run("pin", "--update").code == 0
    assert f"app:1@{new}'" in spec_of(app)
    assert app.run("pin", "--check", "--update").code == 0


def test_json(app: Repo, server: FakeRegistry) -> None:
    from jsonschema import Draft202012Validator

    from canaryfleet.schema import FILES, schema_of

    found = app.run("pin", "--dry-run", "--output", "json").json
    Draft202012Validator(schema_of(FILES["pinned"])).validate(found)
    assert (found["written"], found["images"][0]["line"]) == (False, 7)


def test_all_images_of_jobs_and_bases_or_none(app: Repo, server: FakeRegistry) -> None:
    pinned = digest(server.images["acme/app", "1"])
    job = f"""
analysis:
  metrics:
  - name: smoke
    provider: {{job: {{spec: {{template: {{spec: {{containers: [{{name: a, image: {server.host}/acme/app:1}}]}}}}}}}}}}
"""
    app.write("specs/chat/canary.yaml", spec_of(app).rstrip() + job)
    app.write(
        "specs/web/canary.yaml", SPEC.replace("chat", "web").replace("image:   'IMAGE'", "base: ./base")
    )
    app.write("specs/web/base/kustomization.yaml", "resources: [web.yaml]\n")
    base = f"""\
# first
kind: ConfigMap
apiVersion: v1
metadata: {{name: web}}
data: {{image: "{server.host}/acme/app:1"}}
---
kind: Deployment
apiVersion: apps/v1
metadata: {{name: web}}
spec: {{template: {{spec: {{
  initContainers: [{{name: i, image: "{server.host}/acme/app:1"}}],
  containers: [{{name: w, image: {server.host}/acme/other:9}}]}}}}}}  # last
"""
    app.write("specs/web/base/web.yaml", base)
    found = app.refused("pin")
    assert [(item.file, item.line) for item in found.findings] == [("specs/web/base/web.yaml", 12)]
    assert "has no such image or tag" in found.err
    other = server.push("acme/other", "9", "other")
    assert app.run("pin").code == 0
    assert (app.root / "specs/web/base/web.yaml").read_text() == base.replace(
        'i, image: "' + server.host + '/acme/app:1"', f'i, image: "{server.host}/acme/app:1@{pinned}"'
    ).replace("other:9", f"other:9@{other}")
    assert spec_of(app).count(pinned) == 2
    assert len(server.asked) == 4, "each image is asked for once a run"


def test_a_kustomization_that_retags_is_said(app: Repo, server: FakeRegistry) -> None:
    app.write("specs/chat/canary.yaml", SPEC.replace("image:   'IMAGE'", "base: ./base"))
    app.write("specs/chat/base/kustomization.yaml", "resources: []\nimages:\n- {name: a, newTag: v2}\n")
    (found,) = app.refused("pin").findings
    assert (found.file, found.line, found.code) == ("specs/chat/base/kustomization.yaml", 3, "CF044")


def test_an_app_that_is_mutable_stays_so(app: Repo, server: FakeRegistry) -> None:
    app.replace("specs/chat/canary.yaml", "port: 8000", "port: 8000\n  mutable: true")
    assert app.run("pin").out == "0 images pinned\n"
    assert app.run("pin", "--check").code == 0


# Who asks


@pytest.mark.parametrize("login", ["basic", "bearer"])
@pytest.mark.parametrize("way", ["auth", "https", "helper", "store"])
def test_credentials_of_docker_login(
    app: Repo, server: FakeRegistry, docker: Path, monkeypatch: pytest.MonkeyPatch, login: Any, way: str
) -> None:
    server.login = login
    refused = app.refused("pin")
    assert "docker login" in refused.err
    answer = json.dumps({"ServerURL": "x", "Username": USER, "Secret": PASSWORD})
    helper(docker, monkeypatch, f"read server; [ \"$server\" = {server.host} ] || exit 1; echo '{answer}'")
    settings: dict[str, Any] = {
        "auth": {"auths": {server.host: {"auth": BASIC}}},
        "https": {"auths": {f"https://{server.host}/v1/": {"auth": BASIC}}},
        "helper": {"credHelpers": {server.host: "fake"}, "credsStore": "none"},
        "store": {"auths": {server.host: {}}, "credsStore": "fake"},
    }
    (docker / "config.json").write_text(json.dumps(settings[way]))
    found = app.run("pin")
    assert found.code == 0, found
    assert "@sha256:" in spec_of(app)
    silent(refused, found)


@pytest.mark.parametrize("way", ["file", "helper"])
def test_an_identity_token(
    app: Repo, server: FakeRegistry, docker: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    server.login = "bearer"
    if way == "file":
        logged_in(docker, server.host, auth="PHRva2VuPjo=", identitytoken=IDENTITY)
    else:
        answer = json.dumps({"Username": "<token>", "Secret": IDENTITY})
        helper(docker, monkeypatch, f"echo '{answer}'")
        (docker / "config.json").write_text(json.dumps({"credsStore": "fake"}))
    assert app.run("pin").code == 0


def test_public_images_need_nobody(app: Repo, server: FakeRegistry) -> None:
    server.login, server.anonymous = "bearer", True
    assert app.run("pin").code == 0


def test_credentials_go_nowhere_else(app: Repo, server: FakeRegistry, docker: Path) -> None:
    server.login = "basic"
    other = FakeRegistry()
    other.push("acme/app", "1")
    logged_in(docker, server.host)
    server.fail(
        Reply(401, b"", {"www-authenticate": "Basic x"}),
        Reply(307, b"", {"location": f"http://{other.host}/v2/acme/app/manifests/1"}),
    )
    found = app.run("pin")
    other.close()
    assert found.code == 0
    assert [asked.headers.get("authorization") for asked in other.asked] == [None]
    assert server.asked[-1].headers["authorization"] == f"Basic {BASIC}"


@pytest.mark.parametrize(
    "realm", ["http://acme.example/token", "ftp://x/", "http://u:p@127.0.0.1/", "//", "http://[", "x y"]
)
def test_a_token_server_without_https_is_not_asked(
    app: Repo, server: FakeRegistry, docker: Path, realm: str
) -> None:
    server.login, server.realm = "bearer", realm
    logged_in(docker, server.host)
    found = app.refused("pin")
    assert "token server" in found.err
    silent(found)


@pytest.mark.parametrize(
    "location", ["http://acme.example/", "file:///etc/passwd", "http://u:p@127.0.0.1/", "http://[", ""]
)
def test_a_redirect_without_https_is_not_followed(app: Repo, server: FakeRegistry, location: str) -> None:
    server.fail(*[Reply(302, b"", {"location": location})] * 9)
    app.refused("pin")
    assert all(asked.path.startswith("/v2/") for asked in server.asked)


BAD_CONFIGS: list[tuple[str, str]] = [
    ("{", "can't be read as Docker's settings"),
    ("[]", "can't be read as Docker's settings"),
    ('{"credsStore": "../../bin/sh"}', "is no name"),
    ('{"credsStore": "fake; touch x"}', "is no name"),
    ('{"credsStore": 5}', "is no name"),
    ('{"credsStore": "nowhere"}', "not installed"),
    ('{"credsStore": "fake"}', "answers with no credentials"),
]


@pytest.mark.parametrize(("config", "said"), BAD_CONFIGS)
def test_settings_that_say_nothing_good(
    app: Repo, docker: Path, monkeypatch: pytest.MonkeyPatch, config: str, said: str
) -> None:
    helper(docker, monkeypatch, f"echo '{PASSWORD}'")
    (docker / "config.json").write_text(config)
    found = app.refused("pin")
    assert said in found.err
    silent(found)


# What registries do


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_failure_is_waited_for(app: Repo, server: FakeRegistry, status: int) -> None:
    server.fail(Reply(status, b"", {"retry-after": "1"}), Reply(status))
    assert app.run("pin").code == 0
    assert len(server.asked) == 3


FAULTS = [
    ([Reply(503)] * 3, "it answers 503"),
    ([Reply(429, b"", {"retry-after": "3600"})], "it answers 429"),
    ([Reply(200, b"{}", {"content-type": "text/html"})], "which is no manifest of today"),
    ([Reply(200, b"{}", {"content-type": "application/vnd.docker.distribution.manifest.v1+prettyjws"})], "no manifest of today"),
    ([Reply(200, b"x" * (5 << 20), {"content-type": "application/vnd.oci.image.index.v1+json"})], "more than 4 MiB"),
    ([Reply(404)], "no such image or tag"),
    ([Reply(403, PASSWORD.encode())], "may you pull"),
    ([Reply(401, b"", {"www-authenticate": "Negotiate x"})], "no way that is known"),
    ([Reply(418, b"\x1b[31m")], "it answers 418"),
    ([Reply(200, b"{}", {"content-type": "application/vnd.oci.image.index.v1+json", "content-length": "99"})] * 3, "digest of"),
]  # fmt: skip


@pytest.mark.parametrize(("faults", "said"), FAULTS, ids=[said for _, said in FAULTS])
def test_a_lasting_failure_writes_nothing(
    app: Repo, server: FakeRegistry, faults: list[Reply], said: str
) -> None:
    server.fail(*faults)
    found = app.refused("pin")
    assert found.codes == {"CF043"}
    assert said in found.err
    assert found.err.isprintable() or "\x1b" not in found.err


def test_a_digest_that_is_not_of_what_came_is_refused(app: Repo, server: FakeRegistry) -> None:
    server.said = digest(manifest("another"))
    assert "something on the way changes what it serves" in app.refused("pin").err


def test_a_registry_that_is_not_there(app: Repo, server: FakeRegistry) -> None:
    server.close()
    assert "Connection refused" in app.refused("pin").err


def test_only_this_machine_is_asked_without_https() -> None:
    from canaryfleet.registry.http import Client

    assert Client("registry.acme.example", 1).base == "https://registry.acme.example"
    assert Client("localhost:5000", 1).base == "http://localhost:5000"
    assert Client("[::1]:5000", 1).base == "http://[::1]:5000"
    assert Client("127.0.0.1.acme.example", 1).base == "https://127.0.0.1.acme.example"


# Names of images, and values in their places


NAMES = [
    ("nginx", ("nginx", "docker.io", "library/nginx", None)),
    ("acme/app:1", ("acme/app", "docker.io", "acme/app", "1")),
    ("docker.io/nginx", ("docker.io/nginx", "docker.io", "library/nginx", None)),
    ("index.docker.io/acme/app", ("index.docker.io/acme/app", "docker.io", "acme/app", None)),
    ("localhost/app", ("localhost/app", "localhost", "app", None)),
    ("localhost:5000/app:v1", ("localhost:5000/app", "localhost:5000", "app", "v1")),
    ("[::1]:5000/app", ("[::1]:5000/app", "[::1]:5000", "app", None)),
    ("GHCR.io/acme/a.b_c-d:1", ("GHCR.io/acme/a.b_c-d", "ghcr.io", "acme/a.b_c-d", "1")),
]


@pytest.mark.parametrize(("text", "wanted"), NAMES)
def test_names(text: str, wanted: tuple[str, ...]) -> None:
    found = images.parse(text)
    assert found is not None
    assert found[:4] == wanted
    assert found.at("sha256:0") == f"{text}@sha256:0"


@pytest.mark.parametrize(
    "text", ["", "a b", "Acme/app", "a//b", "a:b:c", "a@sha256:1", "../a", "-a", "a/", "https://a/b"]
)
def test_no_names(text: str) -> None:
    assert images.parse(text) is None
    with pytest.raises(registry.Unresolved):
        registry.Registries({}).pinned(text)


@given(st.text(max_size=30))
def test_a_name_is_taken_apart_and_put_together(text: str) -> None:
    found = images.parse(text)
    if found and not found.digest:
        assert images.parse(found.at("sha256:" + "0" * 64)) == found._replace(digest="sha256:" + "0" * 64)


LAYOUTS = [
    "a: old # why\n", "a: 'old'\n", 'a: "old"\r\nb: 1\r\n', "{a: old, b: [1]}", "a:    old   \n#end", "---\na: old\n...\n",
    "é: ü\na: old\n", "a:\n  old\n",
]  # fmt: skip


@pytest.mark.parametrize("text", LAYOUTS)
def test_only_the_value_is_changed(text: str) -> None:
    made = edit.respell(text.encode(), "x", {(0, ("a",)): "new:1@x"})
    assert made.decode() == text.replace("old", "new:1@x")


@pytest.mark.parametrize("text", ["a: &x old\nb: *x\n", "b: &x old\na: *x\n", "a: |\n  old\n"])
def test_what_only_a_person_can_change_is_refused_and_never_wrong(text: str) -> None:
    made = None
    with contextlib.suppress(Problems):
        made = edit.respell(text.encode(), "x", {(0, ("a",)): "new"})
    wanted = {**parse_manifests(text.encode(), "x")[0].data, "a": "new"} if made else None
    assert made is None or parse_manifests(made, "x")[0].data == wanted
