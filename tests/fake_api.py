"""An API server over real TLS that answers as it is told, also badly. Beside tests, benchmarks run it as a program."""

import asyncio
import json
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

TLS = Path(__file__).parent / "unit" / "status" / "tls"
CA = (TLS / "ca.pem").read_text()
UID = "693f1c30-81ee-487e-8f71-ebb93961f82c"


class Asked(NamedTuple):
    """One request: its path and labelSelector, decoded, its headers, on which connection it came, what it writes."""

    path: str
    labels: str
    headers: dict[str, str]
    connection: int
    method: str = "GET"
    body: bytes = b""


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answer = Callable[[Asked], bytes | Behaviour]
"""Bytes are sent as they are; a behaviour does with the connection what it likes, and ends it."""


def http(status: int, body: bytes | str, type: str = "application/json", **headers: str) -> bytes:
    """A response as it should be."""
    data = body.encode() if isinstance(body, str) else body
    fields = {"content-type": type, "content-length": str(len(data)), **headers}
    lines = [f"HTTP/1.1 {status} Words", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def ok(found: Any) -> bytes:
    """200 with an object."""
    return http(200, json.dumps(found))


def status(code: int, reason: str, message: str = "said the server", **details: str) -> bytes:
    """A failure in the API's own words."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }
    return http(code, json.dumps(body))


def good(asked: Asked) -> bytes:
    """An object of the name, or an empty list, of whatever is asked for."""
    *_, kind, name = ("", *asked.path.split("/"))
    if kind == "namespaces" and name == "kube-system":
        return ok({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name, "uid": UID}})
    if name in {"rollouts", "replicasets", "analysisruns", "pods"}:
        return ok({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []})
    return ok({"kind": "Thing", "apiVersion": "v1", "metadata": {"name": name, "uid": "1"}})


class FakeApi:
    """Listens on loopback, in a thread of its own, until it is closed."""

    def __init__(
        self,
        answer: Answer = good,
        *,
        certificate: str | None = "server",
        clients: bool = False,
        port: int = 0,
    ) -> None:
        """`certificate` None: no TLS. `clients`: who shows no certificate of the CA is refused."""
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._tls = _tls(certificate, clients) if certificate else None
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self._tls, backlog=2048)
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "FakeApi":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                asked = _asked(await reader.readuntil(b"\r\n\r\n"), number)
                asked = asked._replace(
                    body=await reader.readexactly(int(asked.headers.get("content-length", 0)))
                )
                self.asked.append(asked)
                answer = self.answer(asked)
                if not isinstance(answer, bytes):
                    await answer(reader, writer)
                    return
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side has gone, or the test is over
        finally:
            writer.transport.abort()


def _asked(head: bytes, connection: int) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    url = urlsplit(target)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    labels = parse_qs(url.query).get("labelSelector", [""])[0]
    return Asked(unquote(url.path), labels, headers, connection, method)


def _tls(certificate: str, clients: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{certificate}.pem", TLS / f"{certificate}.key")
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(TLS / "ca.pem")
    return context


def recorded(file: str) -> Answer:
    """What a recording says of its app, to whoever asks; below `/hang` nothing, for ever."""
    from recordings import last

    found = last(Path(file))["sightings"][0]["apps"][0]
    answers = {
        read["metadata"]["name"] if read["kind"] == "Rollout" else name.lower(): ok(read)
        for name, read in found["answers"].items()
    }

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    def answer(asked: Asked) -> bytes | Behaviour:
        if asked.path.startswith("/hang"):
            return silent
        return answers.get(asked.path.rpartition("/")[2]) or good(asked)

    return answer


if __name__ == "__main__":
    with FakeApi(recorded(sys.argv[1])) as server:
        print(server.url, flush=True)
        sys.stdin.read()  # until whoever started it goes
