"""Requests through Envoy, and who answered them."""

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rig.net import LOOPBACK
from rig.waiting import RigError, wait_until

READY_SECONDS = 60.0
EVERY = 0.02


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

    def _connect(self, inside: bool, timeout: float) -> "contextlib.closing[http.client.HTTPConnection]":
        port = self.proxy_port if inside else self.gateway_port
        return contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=timeout))


def _ask(
    connection: http.client.HTTPConnection,
    host: str,
    path: str,
    headers: Mapping[str, str],
    inside: bool,
) -> Answer:
    target = f"http://{host}{path}" if inside else path
    try:
        connection.request("GET", target, headers={"Host": host, **headers})
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise RigError(f"no answer for {host}{path}: {error!r}") from error
    return Answer(response.status, body, dict(response.getheaders()))
