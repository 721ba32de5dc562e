"""A small HTTP server for probes, scrapes and one question: bounded in everything that who asks can choose."""

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


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 5.0
    server_version = "canaryfleet"
    sys_version = ""

    def do_GET(self) -> None:
        self._tell(self._found(self.server.pages, Request("GET", self._authorization)))

    def do_HEAD(self) -> None:
        self._tell(self._found(self.server.pages, Request("HEAD", self._authorization)), whole=False)

    def do_POST(self) -> None:
        """Of a body only as much is read as its sender announced, and not for long."""
        self.close_connection = True
        length = self.headers.get("Content-Length", "")
        if not (length.isdecimal() and length.isascii()) or "Transfer-Encoding" in self.headers:
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
        parts, missing, until = [], length, time.monotonic() + self.timeout
        while missing and time.monotonic() < until:
            part = self.rfile.read1(missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return None if missing else b"".join(parts)

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
        self.send_response(page.status)
        self.send_header("Content-Type", page.type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if whole:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes are no news."""
