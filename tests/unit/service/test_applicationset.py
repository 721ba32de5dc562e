"""What Argo CD is told for its ApplicationSets: every app on every cluster of one commit, or an error."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet import applicationset, web
from canaryfleet.applicationset import PATH, Answers, Unusable, asked
from canaryfleet.web import LARGEST, Request, Server
from support import PROPERTY

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "sesame-sesame-sesame"


def git(root: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clone")
    git(root, "init", "-q", "-b", "main")
    files = git(ROOT, "ls-files", "-z", "fleet.yaml", "overlays", "clusters").split("\0")[:-1]
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((ROOT / name).read_bytes())
    git(root, "add", "-A")
    git(root, "commit", "-qm", "all")
    return root


@pytest.fixture
def clone(origin: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", str(origin), "clone")
    return tmp_path / "clone"


def execute(root: Path, parameters: Any = None, token: str = TOKEN) -> tuple[int, Any]:
    body = json.dumps({"applicationSetName": "fleet", "input": {"parameters": parameters or {}}}).encode()
    page = Answers(str(root), "HEAD", TOKEN).execute(Request("POST", f"Bearer {token}", body))
    return page.status, json.loads(page.text)


def overlays(root: Path) -> set[tuple[str, str]]:
    found = root.glob("overlays/*/clusters/*/kustomization.yaml")
    return {(path.parts[-4], path.parts[-2]) for path in found}


def test_each_app_on_each_cluster_has_its_set(clone: Path) -> None:
    status, answer = execute(clone)
    assert status == 200
    sets = answer["output"]["parameters"]
    assert {(one["app"], one["cluster"]) for one in sets} == overlays(clone)
    assert len(sets) == len(overlays(clone)) > 10
    for one in sets:
        overlay = (clone / one["path"] / "kustomization.yaml").read_text()
        assert f"releases/{one['release']}" in overlay
        assert one["release"].startswith(one["version"])
        assert all(isinstance(value, str) and value for value in one.values())


def test_a_cluster_has_the_name_that_argo_cd_knows_it_by(clone: Path) -> None:
    file = clone / "clusters/eu-west-1a.yaml"
    file.write_text(file.read_text() + "argocd: {name: in-cluster}\n")
    git(clone, "commit", "-qam", "eu-west-1a is where Argo CD is")
    for one in execute(clone)[1]["output"]["parameters"]:
        assert one["destination"] == ("in-cluster" if one["cluster"] == "eu-west-1a" else one["cluster"])


def test_a_generator_may_ask_for_some(clone: Path) -> None:
    some = execute(clone, {"app": "fraud", "cluster": ["eu-west-1a", "eu-central-1a"]})[1]["output"][
        "parameters"
    ]
    assert {one["app"] for one in some} == {"fraud"}
    assert {one["cluster"] for one in some} == {"eu-west-1a", "eu-central-1a"}


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"app": "nobody"}, 503),
        ({"cluster": "nowhere"}, 503),
        ({"app": ["fraud", "nobody"]}, 503),
        ({"app": "fraud", "cluster": ["eu-west-1a", "nowhere"]}, 503),
        ({"app": ""}, 400),
        ({"app": []}, 400),
        ({"app": {"a": 1}}, 400),
        ({"selector": "eu"}, 400),
    ],
)
def test_what_finds_nothing_or_is_not_understood_is_no_empty_answer(clone, parameters, status) -> None:
    found, answer = execute(clone, parameters)
    assert found == status
    assert "output" not in answer


@pytest.mark.parametrize("text", ['{"input": %s}', '{"input": {"parameters": %s}}'])
def test_what_is_no_map_asks_for_nothing_and_not_for_everything(text: str) -> None:
    for value in ("0", "false", '""', "[]", '[{"app": "fraud"}]'):
        with pytest.raises(Unusable):
            asked((text % value).encode())
    for value in ("null", "{}"):
        assert asked((text % value).encode()) == (None, None)


def test_what_is_not_committed_is_not_served(clone: Path) -> None:
    before = execute(clone)
    subprocess.run(["rm", "-r", str(clone / "overlays" / "fraud")], check=True)
    assert execute(clone) == before


@pytest.mark.parametrize(
    "break_it",
    [
        lambda root: next(root.glob("overlays/fraud/clusters/*/kustomization.yaml")).write_text(
            "resources: []\n"
        ),
        lambda root: git(root, "rm", "-rq", "overlays/fraud/releases"),
        lambda root: next(root.glob("overlays/fraud/releases/*/release.yaml")).write_text("- no release\n"),
        lambda root: git(root, "rm", "-rq", "overlays"),
        lambda root: git(root, "rm", "-q", "clusters/eu-west-1a.yaml"),
        lambda root: (root / "clusters/eu-west-1a.yaml").write_text("- no cluster\n"),
        lambda root: (root / "clusters/eu-west-1a.yaml").write_text("kind: Cluster\nargocd: {name: 1}\n"),
        lambda root: (root / "clusters/eu-west-1a.yaml").write_text(
            "kind: Cluster\nargocd: {name: eu-north-1a}\n"
        ),
        lambda root: git(root, "mv", "overlays/fraud", "overlays/fra\nud"),
        lambda root: git(root, "mv", "overlays/fraud", "overlays/{{fraud}}"),
    ],
)
def test_a_commit_in_doubt_is_an_error_for_all(clone: Path, break_it: Any) -> None:
    break_it(clone)
    git(clone, "commit", "-qam", "broken")
    answers = Answers(str(clone), "HEAD", TOKEN)
    status, answer = execute(clone)
    assert status == 503
    assert "CF1" in answer["error"]
    assert not answers.ready()
    assert Answers(str(clone), "origin/main", TOKEN).ready()


def test_a_commit_of_which_something_is_missing_is_an_error_until_it_is_there(clone: Path) -> None:
    answers = Answers(str(clone), "refs/heads/served", TOKEN)
    head = git(clone, "rev-parse", "HEAD").strip()
    ref = clone / ".git/refs/heads/served"
    release = next(clone.glob("overlays/fraud/releases/*/release.yaml")).relative_to(clone)
    overlay = next(clone.glob("overlays/fraud/clusters/*/kustomization.yaml")).relative_to(clone)
    lost = [head, f"{head}^{{tree}}", f"{head}:overlays", f"{head}:{overlay}", f"{head}:{release}"]
    loose(clone)
    assert not answers.ready(), "there is no such ref"
    ref.write_text("0123456789" * 4 + "\n")
    assert not answers.ready(), "it names what is not there yet"
    ref.write_text(head + "\n")
    for name in lost:
        id = git(clone, "rev-parse", name).strip()
        file = clone / ".git/objects" / id[:2] / id[2:]
        file.rename(clone / "away")
        page = answers.execute(Request("POST", f"Bearer {TOKEN}", b"{}"))
        assert (page.status, answers.ready()) == (503, False), name
        (clone / "away").rename(file)
    assert answers.ready(), "what failed is tried again"


def loose(clone: Path) -> None:
    """Every object of a clone as a file of its own."""
    packs = [pack.rename(clone / pack.name) for pack in clone.glob(".git/objects/pack/*.pack")]
    for pack in packs:
        with pack.open("rb") as data:
            subprocess.run(["git", "unpack-objects", "-q"], cwd=clone, stdin=data, check=True)
    for alternate in clone.glob(".git/objects/info/alternates"):
        alternate.unlink()


def test_what_is_new_is_served_and_what_is_gone_is_not(clone: Path) -> None:
    answers = Answers(str(clone), "HEAD", TOKEN)
    before = answers.execute(Request("POST", f"Bearer {TOKEN}", b"{}"))
    git(clone, "rm", "-rq", "overlays/fraud")
    git(clone, "commit", "-qm", "fraud is retired")
    after = answers.execute(Request("POST", f"Bearer {TOKEN}", b"{}"))
    assert "fraud" in before.text
    assert "fraud" not in after.text
    assert after.status == 200
    git(clone, "reset", "-q", "--hard", "HEAD~1")
    assert answers.execute(Request("POST", f"Bearer {TOKEN}", b"{}")) == before


def test_more_apps_are_no_more_calls_of_git(clone: Path, monkeypatch: Any) -> None:
    real, started = subprocess.Popen, []
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **how: started.append(1) or real(*words, **how))
    assert execute(clone)[0] == 200
    all_of_them = len(started)
    kept = ("fraud", "mcp-tools")
    git(
        clone,
        "rm",
        "-rq",
        *(f"overlays/{path.name}" for path in (clone / "overlays").iterdir() if path.name not in kept),
    )
    git(clone, "commit", "-qm", "two are left")
    started.clear()
    assert {one["app"] for one in execute(clone)[1]["output"]["parameters"]} == set(kept)
    assert len(started) == all_of_them < 10


def test_no_repository_is_an_error(tmp_path: Path) -> None:
    assert execute(tmp_path)[0] == 503


def test_a_bug_is_no_empty_answer_and_says_nothing_of_what_it_saw(clone: Path, monkeypatch: Any) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a secret")

    monkeypatch.setattr(applicationset, "sets", broken)
    status, answer = execute(clone)
    assert status == 500
    assert "secret" not in json.dumps(answer)


@pytest.mark.parametrize(
    "given", ["", "Bearer ", f"bearer {TOKEN}", f"Bearer {TOKEN} ", "Bearer \xe9", TOKEN]
)
def test_without_the_token_nothing_is_told(clone: Path, given: str) -> None:
    page = Answers(str(clone), "HEAD", TOKEN).execute(Request("POST", given, b"{}"))
    assert page.status == 401
    assert TOKEN not in page.text


ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["input", "parameters", "app", "cluster", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(body=st.binary(max_size=40) | ANY.map(lambda value: json.dumps(value).encode()))
@PROPERTY
def test_any_body_is_a_question_or_none(body: bytes) -> None:
    try:
        wanted = asked(body)
    except Unusable:
        return
    assert all(names is None or (names and all(names)) for names in wanted)


# over HTTP


@pytest.fixture
def server(clone: Path) -> Iterator[Server]:
    made = Server("127.0.0.1", 0, {}, {PATH: Answers(str(clone), "HEAD", TOKEN).execute})
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def post(server: Server, body: bytes, path: str = PATH, **headers: str) -> int:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request("POST", path, body, {"Authorization": f"Bearer {TOKEN}"} | headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_question_is_bounded(server: Server) -> None:
    assert post(server, b"{}") == 200
    assert post(server, b"") == 400
    assert post(server, b"[") == 400
    assert post(server, b"[" * LARGEST) == 400
    assert post(server, b"{}", "/other") == 404
    for length, status in ((str(LARGEST + 1), 413), ("9" * 5000, 413), ("-1", 411), ("x", 411)):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
            raw.sendall(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode())
            assert int(raw.recv(100).split()[1]) == status
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
        raw.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode()
        )
        assert int(raw.recv(100).split()[1]) == 411


def raw_answers(server: Server, sent: bytes) -> bytes:
    """All that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
        raw.sendall(sent)
        return b"".join(iter(lambda: raw.recv(65536), b""))


QUESTION = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


def test_only_one_question_of_a_connection_is_answered(server: Server) -> None:
    whole = QUESTION + b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{}"
    assert raw_answers(server, whole).count(b"HTTP/1.0 200") == 1
    said = raw_answers(server, QUESTION + b"Content-Length: 2\r\nContent-Length: 90\r\n\r\n{}" + whole)
    assert said.startswith(b"HTTP/1.0 411")
    assert b"200" not in said


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post", "X"])
def test_another_method_is_no_question(server: Server, method: str) -> None:
    said = raw_answers(server, QUESTION.replace(b"POST", method.encode()) + b"Content-Length: 2\r\n\r\n{}")
    assert said.split()[1] in (b"404", b"501")


def test_a_byte_now_and_then_is_no_way_to_keep_a_connection(monkeypatch: Any) -> None:
    looks = itertools.count()
    monkeypatch.setattr(
        web, "time", SimpleNamespace(monotonic=lambda: float(next(looks)))
    )  # a second with each look
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"POST / HTTP/1.1")
        reader = web._Hurried(ours, 5.0)
        read = [reader.readinto(bytearray(1)) for _ in range(4)]
        with pytest.raises(TimeoutError):
            reader.readinto(bytearray(1))
    assert read == [1, 1, 1, 1], "there is more, and its time is up"


def test_a_request_whose_time_is_up_is_not_answered(server: Server, monkeypatch: Any) -> None:
    whole = QUESTION + b"Content-Length: 2\r\n\r\n{}"
    assert raw_answers(server, whole)
    looks = itertools.chain([0.0], itertools.repeat(5.0))
    monkeypatch.setattr(web, "time", SimpleNamespace(monotonic=lambda: next(looks)))
    assert raw_answers(server, whole) == b""


def test_half_a_body_is_no_question(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{}}".encode())
        raw.shutdown(socket.SHUT_WR)
        assert int(raw.recv(100).split()[1]) == 408


@contextlib.contextmanager
def started(clone: Path, *words: str, token: str = TOKEN) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "canaryfleet", "serve", "--root", str(clone), *words]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "generator"), "CANARYFLEET_APPLICATIONSET_TOKEN": token,
    }  # fmt: skip
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_command_answers_until_it_is_ended(clone: Path) -> None:
    with started(clone, "--listen", "127.0.0.1:0") as process:
        assert process.stderr is not None
        port = int(process.stderr.readline().split()[-1])
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        for path in ("/healthz", "/readyz", "/metrics"):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_clone_that_is_exchanged_is_served_as_it_is_now(clone: Path, origin: Path, tmp_path: Path) -> None:
    """As git-sync does it: a link leads to a worktree of each commit, and the one before goes."""
    link = tmp_path / "current"
    git(clone, "worktree", "add", "-q", "--detach", str(tmp_path / "first"))
    link.symlink_to("first")
    with started(link, "--listen", "127.0.0.1:0") as process:
        assert process.stderr is not None
        port = int(process.stderr.readline().split()[-1])
        git(clone, "worktree", "add", "-q", "--detach", str(tmp_path / "second"))
        (tmp_path / "new").symlink_to("second")
        (tmp_path / "new").rename(link)
        git(clone, "worktree", "remove", "first")
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/readyz")
        assert connection.getresponse().status == 200
        connection.close()
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("words", "token", "code", "said"),
    [
        ((), "short", 2, "16 characters"),
        (("--listen", "nowhere"), TOKEN, 2, "is no address"),
        (("--token-file", "/none"), TOKEN, 2, "can't be read"),
        (("--revision", "none"), TOKEN, 1, "CF025"),
    ],
)
def test_it_does_not_begin_wrongly(
    clone: Path, words: tuple[str, ...], token: str, code: int, said: str
) -> None:
    with started(clone, *words, token=token) as process:
        _, error = process.communicate(timeout=20)
        assert process.returncode == code
        assert said in error
