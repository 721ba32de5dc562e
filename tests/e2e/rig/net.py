"""Ports on the loopback interface, and small HTTP requests to it."""

import http.client
import http.server
import itertools
import json
import os
import random
import socket
import ssl
import threading
import urllib.request
from typing import Any

from rig.waiting import RigError

LOOPBACK = "127.0.0.1"
TIMEOUT = 10.0
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw-1")
PORTS = range(15000, 32768)[int(WORKER[2:]) + 1 :: 64]
"""Below those that Linux takes for clients and for whoever asks for any, so that nobody gets one by chance.

Each process of the tests draws from its own: a port is free until its program binds it, which takes seconds.
"""
POLL_SECONDS = 0.05
"""How often a server looks whether it is to end; `socketserver` does so twice a second, and its end waits for that."""


class QuietServer(http.server.ThreadingHTTPServer):
    """One that does not print what a client that hangs up leaves behind."""

    def handle_error(self, request: object, client_address: object) -> None:
        """No news."""


class _Kept(threading.local):
    """This thread's open connections, by scheme and host."""

    def __init__(self) -> None:
        self.connections: dict[tuple[str, str], http.client.HTTPConnection] = {}


_KEPT = _Kept()
_UNVERIFIED = ssl._create_unverified_context()


def free_ports(count: int) -> list[int]:
    """Return `count` distinct ports that are free right now and are likely to stay so until they are used."""
    return list(itertools.islice(filter(_free, random.sample(PORTS, len(PORTS))), count))


def _free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((LOOPBACK, port))
        except OSError:
            return False
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
