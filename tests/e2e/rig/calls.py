"""Requests through Envoy, and who answered them."""

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rig.net import LOOPBACK
from rig.waiting import RigError, wait_until

READY_SECONDS = 60.0
EVERY = 0.04


@dataclass(frozen=True)
class Answer:
    """What came back through Envoy. `backend` is `<app>-<template hash>` when a pod answered."""

    status: int
    backend: str
    headers: dict[str, str]

    @property
    def who(self) -> str:
        """The backend, or the status when it was not a backend's 200."""
        return self.backend if self.status == 200 else str(self.status)


@dataclass(frozen=True)
class Call:
    """One request of a stream: when it was sent, how long it took, who answered."""

    at: float
    took: float
    who: str


@dataclass(frozen=True)
class Client:
    """Somebody who sends requests: through the gateway, or inside the mesh."""

    gateway_port: int
    proxy_port: int

    def get(
        self,
        host: str,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        inside: bool = False,
        timeout: float = 10,
    ) -> Answer:
        """Send one request through the gateway, or as a client inside the mesh does."""
        with self._connect(inside, timeout) as connection:
            return _ask(connection, host, path, headers or {}, inside)

    def shares(
        self,
        host: str,
        requests: int,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        inside: bool = False,
    ) -> Counter[str]:
        """Send requests and count who answered (the status, when it was not a backend's 200)."""
        counts: Counter[str] = Counter()
        with self._connect(inside, 10) as connection:
            for _ in range(requests):
                counts[_ask(connection, host, path, headers or {}, inside).who] += 1
        return counts

    def alone(self, who: str, host: str, requests: int, inside: bool = False) -> bool:
        """Whether one backend answers all of so many requests; asks no more after the first that it does not."""
        with self._connect(inside, 10) as connection:
            return all(_ask(connection, host, "/", {}, inside).who == who for _ in range(requests))

    def each(self, host: str, headers: list[dict[str, str]], inside: bool = False) -> list[Answer]:
        """One answer for each of these sets of headers, in order."""
        with self._connect(inside, 10) as connection:
            return [_ask(connection, host, "/", one, inside) for one in headers]

    def wait_for(self, host: str, who: str, timeout: float = READY_SECONDS) -> None:
        """Wait until a request is answered by this backend."""
        wait_until(lambda: self.get(host).who == who, f"{host} is answered by {who}", timeout)

    @contextlib.contextmanager
    def stream(
        self,
        host: str,
        headers: Mapping[str, str] | None = None,
        inside: bool = False,
        every: float = EVERY,
    ) -> Iterator[list[Call]]:
        """Send requests in the background while the block runs; the list grows."""
        calls: list[Call] = []
        ended = threading.Event()

        def run() -> None:
            while not ended.is_set():
                start = time.monotonic()
                try:
                    who = self.get(host, headers=headers, inside=inside).who
                except RigError as error:
                    who = str(error)
                calls.append(Call(start, time.monotonic() - start, who))
                ended.wait(every)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield calls
        finally:
            ended.set()
            thread.join()

    @contextlib.contextmanager
    def _connect(self, inside: bool, timeout: float) -> "Iterator[_Connection]":
        connection = _Connection(self.proxy_port if inside else self.gateway_port, timeout)
        try:
            yield connection
        finally:
            connection.close()


class _Connection:
    """One HTTP/1.1 connection, kept alive and opened anew when Envoy asks for it.

    Python's own client takes longer for an answer than Envoy and backend together.
    """

    def __init__(self, port: int, timeout: float) -> None:
        self._port, self._timeout = port, timeout
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._answers.close()
            self._socket.close()
            self._socket = None

    def get(self, target: str, headers: Mapping[str, str]) -> Answer:
        """Send a request and read its answer."""
        if self._socket is None:
            self._socket = socket.create_connection((LOOPBACK, self._port), self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._answers = self._socket.makefile("rb")
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        version, _, rest = self._line().partition(" ")
        if not version.startswith("HTTP/1"):
            raise ConnectionError(f"closed before the answer: {version!r}")
        got = {}
        for line in iter(self._line, ""):
            name, _, value = line.partition(":")
            got[name.lower()] = value.strip()
        body = self._body(got)
        if got.get("connection") == "close":
            self.close()
        return Answer(int(rest[:3]), body.decode(errors="replace"), got)

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self._exactly(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self._line().partition(";")[0], 16):
            body += self._exactly(size)
            self._line()
        self._line()
        return body

    def _line(self) -> str:
        return self._answers.readline().decode("latin-1").rstrip("\r\n")

    def _exactly(self, size: int) -> bytes:
        body = self._answers.read(size)
        if len(body) < size:
            raise ConnectionError("closed in the middle of the answer")
        return body


def _ask(
    connection: _Connection,
    host: str,
    path: str,
    headers: Mapping[str, str],
    inside: bool,
) -> Answer:
    target = f"http://{host}{path}" if inside else path
    try:
        return connection.get(target, {"Host": host, **headers})
    except (OSError, ValueError) as error:
        raise RigError(f"no answer for {host}{path}: {error!r}") from error
