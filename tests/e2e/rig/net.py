"""Ports on the loopback interface, and small HTTP requests to it."""

import http.client
import itertools
import json
import random
import socket
import socketserver
import ssl
import threading
import urllib.request
from typing import Any

from rig.waiting import RigError

LOOPBACK = "127.0.0.1"
TIMEOUT = 10.0
PORTS = range(15000, 32768)
"""Below those that Linux takes for clients and for whoever asks for any, so that nobody gets one by chance."""


class Server(socketserver.ThreadingTCPServer):
    """Serves on a port of its own, in a thread of its own, until it is closed.

    It sleeps until somebody comes, and prints nothing of a client that hangs up. `serve_forever` would look again
    and again whether it is to end: the hundred servers of a fleet would do so two thousand times a second.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__((LOOPBACK, 0), handler)
        self.port = int(self.server_address[1])
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more; what is being answered goes on."""
        self._closing = True
        self.socket.shutdown(socket.SHUT_RDWR)  # wakes it
        self._thread.join()
        self.server_close()

    def _serve(self) -> None:
        while not self._closing:
            self.handle_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """No news."""


class _Kept(threading.local):
    """This thread's open connections, by scheme and host."""

    def __init__(self) -> None:
        self.connections: dict[tuple[str, str], http.client.HTTPConnection] = {}


_KEPT = _Kept()
_RESERVED: list[socket.socket] = []
_UNVERIFIED = ssl._create_unverified_context()


def free_ports(count: int) -> list[int]:
    """Return `count` distinct ports that are free right now, and that nobody else who asks here gets.

    A program binds its port seconds after it was told, and other fleets and other tests draw meanwhile.
    """
    drawn = (random.choice(PORTS) for _ in PORTS)
    return list(itertools.islice(filter(_reserve, drawn), count))


def _reserve(port: int) -> bool:
    """Take a port for as long as this process lives, if it is free: what is bound is its UDP twin, of no use here."""
    twin = socket.socket(type=socket.SOCK_DGRAM)
    try:
        twin.bind((LOOPBACK, port))
        with socket.socket() as one:
            one.bind((LOOPBACK, port))
    except OSError:
        twin.close()
        return False
    _RESERVED.append(twin)
    return True


def answers(url: str, token: str = "") -> bool:
    """Tell that a GET succeeds; if not, that is a `RigError`."""
    _read(_request(url, token))
    return True


def get_json(url: str, token: str = "") -> Any:
    """Return the decoded body of a GET."""
    return json.loads(_read(_request(url, token)))


def send_json(method: str, url: str, token: str, body: object, content_type: str) -> None:
    """Send a JSON body; anything but success is a `RigError`."""
    request = _request(url, token)
    request.method = method
    request.data = json.dumps(body).encode()
    request.add_header("Content-Type", content_type)
    _read(request)


def open_stream(url: str, token: str, timeout: float) -> http.client.HTTPResponse:
    """Open a GET whose body is read as it comes (a watch)."""
    stream: http.client.HTTPResponse = urllib.request.urlopen(
        _request(url, token), timeout=timeout, context=_UNVERIFIED
    )
    return stream


def _request(url: str, token: str) -> urllib.request.Request:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return urllib.request.Request(url, headers=headers)


def _read(request: urllib.request.Request) -> bytes:
    """The body of the answer, over this thread's connection to the server: handshakes cost more than requests."""
    what = f"{request.get_method()} {request.full_url}"
    try:
        status, body = _exchange(request)
    except (OSError, http.client.HTTPException) as error:
        raise RigError(f"{what}: {error!r}") from error
    if status >= 400:
        raise RigError(f"{what}: {status} {body[:300]!r}")
    return body


def _exchange(request: urllib.request.Request) -> tuple[int, bytes]:
    """One request; once more on a new connection if the server had closed the one that was kept."""
    kept = _KEPT.connections
    key = (request.type, request.host)
    for fresh in (False, True):
        connection = kept.pop(key, None)
        if fresh or connection is None:
            connection = _connect(*key)
        headers = {**request.headers, **request.unredirected_hdrs}
        try:
            connection.request(request.get_method(), request.selector, request.data, headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            if fresh:
                raise
        else:
            kept[key] = connection
            return response.status, body
    raise AssertionError("the second try returns or raises")


def _connect(scheme: str, host: str) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, timeout=TIMEOUT, context=_UNVERIFIED)
    return http.client.HTTPConnection(host, timeout=TIMEOUT)
