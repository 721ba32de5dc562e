"""A small HTTP server for probes, scrapes and one question: bounded in everything that who asks can choose."""

import io
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, socket
from types import MappingProxyType
from typing import Any, NamedTuple

from canaryfleet.errors import UsageError

PLAIN = "text/plain; charset=utf-8"
LARGEST = 64 * 1024  # bytes of a body


class Request(NamedTuple):
    """What is asked: the method, what stands behind `Authorization:`, and the body of a POST."""

    method: str = "GET"
    authorization: str = ""
    body: bytes = b""


class Page(NamedTuple):
    """What a path answers."""

    status: int
    type: str
    text: str


Answer = Callable[[Request], Page]


def yes(good: bool, bad: str) -> Page:
    """The answer to a probe."""
    return Page(200, PLAIN, "ok\n") if good else Page(503, PLAIN, bad + "\n")


def address(listen: str) -> tuple[str, int]:
    """Host and port of what --listen names: `HOST:PORT` or `:PORT`. Raises UsageError."""
    host, _, port = listen.rpartition(":")
    if not (port.isdecimal() and port.isascii()) or int(port) > 65_535:
        raise UsageError(f"--listen: {listen} is no address such as :8080 or 127.0.0.1:8080")
    return host.strip("[]"), int(port)


class Server(ThreadingHTTPServer):
    """Answers on threads of its own, a few at a time: who is slow keeps no probe from its answer."""

    daemon_threads = True
    request_queue_size = 64
    _AT_ONCE = 32

    def __init__(
        self,
        host: str,
        port: int,
        pages: Mapping[str, Answer],
        posts: Mapping[str, Answer] = MappingProxyType({}),
    ) -> None:
        self.pages, self.posts = pages, posts
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self._room = threading.Semaphore(self._AT_ONCE)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Without looking up our own name, which may take long."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "", int(self.server_address[1])

    def process_request(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Refuse what there is no room for."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Make room at the end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asks may go before the answer."""


class _Hurried(io.RawIOBase):
    """What comes over a connection until its time is up: a byte now and then is no way to keep it."""

    def __init__(self, connection: socket, seconds: float) -> None:
        self._connection, self._until = connection, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 5.0  # seconds for all of a request, and again for the answer
    server_version = "canaryfleet"
    sys_version = ""

    def setup(self) -> None:
        """The request as it comes, and not for long."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Hurried(self.connection, self.timeout))

    def do_GET(self) -> None:
        self._tell(self._found(self.server.pages, Request("GET", self._authorization)))

    def do_HEAD(self) -> None:
        self._tell(self._found(self.server.pages, Request("HEAD", self._authorization)), whole=False)

    def do_POST(self) -> None:
        """Of a body only as much is read as its sender announced."""
        self.close_connection = True
        lengths = set(self.headers.get_all("Content-Length", [""]))
        length = lengths.pop()
        if lengths or not (length.isdecimal() and length.isascii()) or "Transfer-Encoding" in self.headers:
            self._tell(Page(411, PLAIN, "the length of the body is needed\n"))
        elif len(length) > len(str(LARGEST)) or int(length) > LARGEST:
            self._tell(Page(413, PLAIN, f"the body is longer than {LARGEST} bytes\n"))
        elif (body := self._body(int(length))) is None:
            self._tell(Page(408, PLAIN, "the body did not come\n"))
        else:
            self._tell(self._found(self.server.posts, Request("POST", self._authorization, body)))

    @property
    def _authorization(self) -> str:
        return self.headers.get("Authorization", "")

    def _body(self, length: int) -> bytes | None:
        try:
            body = self.rfile.read(length)
        except TimeoutError:
            return None
        return body if len(body) == length else None

    def _found(self, pages: Mapping[str, Answer], request: Request) -> Page:
        answer = pages.get(self.path.partition("?")[0])
        if answer is None:
            there = [
                *(f"GET {path}" for path in self.server.pages),
                *(f"POST {path}" for path in self.server.posts),
            ]
            return Page(404, PLAIN, f"there are {', '.join(there)}\n")
        return answer(request)

    def _tell(self, page: Page, *, whole: bool = True) -> None:
        body = page.text.encode()
        self.connection.settimeout(self.timeout)
        self.send_response(page.status)
        self.send_header("Content-Type", page.type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if whole:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes are no news."""
