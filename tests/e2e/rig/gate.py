"""What stands between a controller and a server that it asks, and answers as a test says.

gate = Gate(fleet.prometheus)      # lets everything through
gate.behave(vector("NaN"))         # from now on every question is answered so
gate.behave(DOWN, PASS)            # every other connection breaks
gate.until_asked(3)                # three questions since the behaviour began
gate.freeze(moment)                # the real server answers as it would have at a moment

What is asked of the stable version alone, which no verdict of the controller depends on, always goes through.
"""

import json
import re
import socket
import struct
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from rig.net import LOOPBACK, TIMEOUT, Server
from rig.waiting import wait_until

JSON = "application/json"
OF_OTHERS = re.compile(r'!~"([^"|]+)\|unknown"')  # the versions that are not the canary's


@dataclass(frozen=True)
class Reply:
    """How one question is answered; without a body it is passed on to the real server."""

    body: bytes | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    broken: bool = False


PASS = Reply()
DOWN = Reply(broken=True)
"""The connection is reset without an answer, as when the server dies."""


def vector(*values: str) -> Reply:
    """The answer of a Prometheus: so many series, with these values."""
    series = [{"metric": {"n": str(n)}, "value": [0, value]} for n, value in enumerate(values)]
    return _prometheus("vector", series)


def scalar(value: str) -> Reply:
    """The answer of a Prometheus to an expression that is a number."""
    return _prometheus("scalar", [0, value])


def text(body: str, status: int = 200, **headers: str) -> Reply:
    """Any answer."""
    return Reply(body.encode(), status, {"Content-Type": JSON, **headers})


def late(seconds: float, reply: Reply = PASS) -> Reply:
    """The same answer after a time; given up when the gate closes."""
    return Reply(reply.body, reply.status, reply.headers, seconds, reply.broken)


def _of_stable(body: bytes) -> bool:
    """Whether a query is about the stable version and not about the canary too."""
    query = dict(urllib.parse.parse_qsl(body.decode())).get("query", "")
    found = OF_OTHERS.search(query)
    return found is not None and f'="{found[1]}"' not in query


class Gate:
    """An HTTP server that passes on, breaks, delays or lies, and remembers what it was asked."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.asked: list[dict[str, str]] = []
        self._replies: tuple[Reply, ...] = (PASS,)
        self._turn = 0
        self._least = 0.0
        self._chosen, self._since = -1, 0.0
        self._moment: float | None = None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._server = Server(self._handler())
        self.url = f"http://{LOOPBACK}:{self._server.port}"

    def behave(self, *replies: Reply, least: float = 0.0) -> None:
        """Answer so from the next question on: in turn, and over again.

        A question that comes sooner than `least` seconds after the last new one is taken for a repetition
        and answered alike: a controller whose cache is behind asks again, and writes over what it had.
        """
        with self._lock:
            self._replies, self._turn, self._least = replies, 0, least
            self._chosen, self._since = -1, 0.0

    def freeze(self, moment: float) -> None:
        """Have a Prometheus asked for its state at a moment, whenever the question comes."""
        self._moment = moment

    def until_asked(self, count: int, timeout: float) -> None:
        """Wait until so many questions have come since the behaviour began."""
        wait_until(lambda: self._turn >= count, f"{count} questions came to {self.url}", timeout)

    def close(self) -> None:
        """End the server."""
        self._closed.set()
        self._server.close()

    def _next(self, asked: dict[str, str]) -> Reply:
        with self._lock:
            self.asked.append(asked)
            self._turn += 1
            now = time.monotonic()
            if self._chosen < 0 or now - self._since >= self._least:
                self._chosen, self._since = self._chosen + 1, now
            return self._replies[self._chosen % len(self._replies)]

    def _pass_on(self, path: str, method: str, body: bytes, content_type: str) -> Reply:
        if self._moment is not None and body:
            form = dict(urllib.parse.parse_qsl(body.decode())) | {"time": str(self._moment)}
            body = urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.upstream + path, method=method, data=body or None)
        request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return Reply(answer.read(), answer.status, {"Content-Type": JSON})
        except urllib.error.HTTPError as error:
            return Reply(error.read(), error.code, {"Content-Type": JSON})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                content_type = self.headers.get("Content-Type", "")
                asked = {"method": self.command, "path": self.path, "body": body.decode()}
                if _of_stable(body):
                    return self._answer(gate._pass_on(self.path, self.command, body, content_type))
                reply = gate._next(asked | dict(self.headers.items()))
                gate._closed.wait(reply.delay)
                if reply.broken:
                    return self._break()
                if reply.body is None:
                    reply = gate._pass_on(self.path, self.command, body, content_type)
                return self._answer(reply)

            do_POST = do_GET

            def _answer(self, reply: Reply) -> None:
                body = reply.body or b""
                try:
                    self.send_response(reply.status)
                    for name, value in {**reply.headers, "Content-Length": str(len(body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True  # who asked has gone

            def _break(self) -> None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                """Keep quiet."""

        return Handler


def _prometheus(kind: str, result: object) -> Reply:
    return text(json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}))
