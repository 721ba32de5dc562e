"""Bytes sent to the servers: an answer that says what is wrong, or none; never an empty 200, and others are served."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any

import pytest
from hostile import SECRET, altered, as_json, data_of, fine, spoiled, tried
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet.applicationset import PATH, Answers, Unusable, asked
from canaryfleet.web import PLAIN, Page, Server, yes
from story import Story

BODY: Any = {
    "applicationSetName": "fleet",
    "input": {"parameters": {"app": "chat", "cluster": ["one", "two"]}},
}
REQUESTS = (
    b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + SECRET.encode()
    + b"\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n" + b'{"input": {"a": 1}}',
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /metrics?x=1 HTTP/1.0\r\n\r\n",
)  # fmt: skip
LINES = (
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: \xb2\r\n", b"Content-Length: 5\r\n", b"Expect: 100-continue\r\n", b"x" * 70_000, b"a: b\r\n" * 120,
    b"Connection: Upgrade\r\n", b"\x00: x\r\n", b": x\r\n", b" folded\r\n", b"Authorization: \xff\r\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The generator of a fleet where one cluster has something."""
    story = Story(tmp_path_factory.mktemp("generator"))
    from canaryfleet import cli

    assert cli.main(["point", "chat", "--wave", "first", "--root", str(story.people)]) == 0
    story.commit("point")
    return Answers(str(story.people), "main", SECRET)


@pytest.fixture(scope="module")
def server(answers: Answers) -> Iterator[Server]:
    """With the pages of a service."""
    pages = {
        "/healthz": lambda _: yes(True, ""),
        "/readyz": lambda _: yes(answers.ready(), "there is no commit to answer from"),
        "/metrics": lambda _: Page(200, PLAIN, "x 1\n"),
    }
    made = Server("127.0.0.1", 0, pages, {PATH: answers.execute})
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request with other lines in it, or other bytes."""
    request = draw(st.sampled_from(REQUESTS))
    if draw(st.booleans()):
        return draw(spoiled(request))
    first, rest = request.split(b"\r\n", 1)
    return first + b"\r\n" + b"".join(draw(st.lists(st.sampled_from(LINES), max_size=3))) + rest


def replies(port: int, request: bytes) -> list[bytes]:
    """What comes back when somebody sends this and says no more."""
    with socket.create_connection(("127.0.0.1", port), 20) as to:
        with suppress(OSError):
            to.sendall(request)
            to.shutdown(socket.SHUT_WR)
        came = b""
        with suppress(OSError):
            while part := to.recv(1 << 16):
                came += part
    return re.split(rb"HTTP/1\.[01] (?=[0-9]{3} )", came)[1:]


@tried(40)
@given(request=requests())
def test_any_bytes_get_an_answer_or_none(server: Server, request: bytes) -> None:
    for reply in replies(server.server_port, request):
        head, _, body = reply.partition(b"\r\n\r\n")
        status = int(head[:3])
        assert 100 <= status < 600
        assert SECRET.encode() not in reply
        if status == 200 and b"application/json" in head:
            assert json.loads(body)["output"]["parameters"]
        elif status == 200 and request.startswith((b"GET", b"POST")):
            assert body
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"ok\n"
    connection.close()


@tried(60)
@given(body=data_of(BODY) | st.binary(max_size=40))
def test_any_body_is_a_question_or_is_refused(body: bytes) -> None:
    try:
        wanted = asked(body)
    except Unusable as error:
        fine(str(error))
        return
    for names in wanted:
        assert names is None or (names and all(isinstance(name, str) and name for name in names))


@tried(8)
@given(body=altered(BODY, most=2).map(as_json))
def test_no_question_is_answered_with_nothing(answers: Answers, body: bytes) -> None:
    """Argo CD takes an empty list for "no Applications", and deletes them."""
    from canaryfleet.web import Request

    page = answers.execute(Request("POST", f"Bearer {SECRET}", body))
    found = json.loads(page.text)
    fine(page.text)
    assert page.status in (200, 400, 503)
    assert page.status != 200 or found["output"]["parameters"]
    assert page.status == 200 or found["error"]


@pytest.mark.parametrize(
    "authorization", ["", "Bearer ", "Bearer x", f"bearer {SECRET}", f"Bearer {SECRET} ", "\udcff", "é" * 9]
)
def test_nobody_without_the_token_is_answered(answers: Answers, authorization: str) -> None:
    from canaryfleet.web import Request

    assert answers.execute(Request("POST", authorization, as_json(BODY))).status == 401
