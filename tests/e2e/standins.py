"""Backends in a test's own process: slow, failing or streaming on demand, over HTTP/1.1 or gRPC.

The fleet's own endpoints answer at once and only with their name. A stand-in takes the place of one of them:
the WorkloadEntry of a template's pods gets its port, and Envoy sends it what those pods would have got.
"""

import threading
import time
from collections import Counter
from concurrent import futures
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
from app import LIMIT, App
from rig import wait_until
from rig.net import LOOPBACK, Server
from rig.traffic import ISTIO_API

TICK = 0.25
SERVICE = "e2e.Echo"
WHO, TICKS = f"/{SERVICE}/Who", f"/{SERVICE}/Ticks"

__all__ = ["GrpcStandIn", "StandIn", "channel", "grpc_ticks", "grpc_who", "stand_in"]


class StandIn:
    """An HTTP/1.1 server.

    `/slow?seconds=3` answers after that time; `/stream?seconds=20` sends a line each quarter of a second, and "end" after that time or when told to `finish`;
    `/fail/ID?times=2&status=503` fails so often, then answers; everything else is answered with the name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.attempts: Counter[str] = Counter()
        self.finish = threading.Event()
        self._server = Server(self._handler())
        self.port = self._server.port

    def close(self) -> None:
        """Accept no more; what is being answered goes on."""
        self._server.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                asked = {key: values[0] for key, values in parse_qs(url.query).items()}
                standin.attempts[url.path] += 1
                seconds = float(asked.get("seconds", 0))
                if url.path == "/stream":
                    return self._stream(seconds)
                if url.path == "/slow":
                    time.sleep(seconds)  # a slow backend is what is asked for
                failing = standin.attempts[url.path] <= int(asked.get("times", 0))
                return self._answer(int(asked["status"]) if failing else 200, asked.get("grpc", ""))

            def _answer(self, status: int, grpc_status: str) -> None:
                body = standin.name.encode()
                self.send_response(status)
                if grpc_status and standin.attempts[urlsplit(self.path).path] == 1:
                    self.send_header("grpc-status", grpc_status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _stream(self, seconds: float) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                end = time.monotonic() + seconds
                while time.monotonic() < end and not standin.finish.wait(TICK):
                    self._chunk(f"{standin.name}\n".encode())
                self._chunk(b"end\n")
                self._chunk(b"")

            def _chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

            def log_message(self, *args: object) -> None:
                """Keep quiet."""

        return Handler


class GrpcStandIn:
    """A gRPC server: `Who` answers its name, `Ticks` streams it until the server is told to `finish`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.finish = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        handlers: dict[str, Any] = {
            "Who": grpc.unary_unary_rpc_method_handler(self._who),
            "Ticks": grpc.unary_stream_rpc_method_handler(self._ticks),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.port = int(self._server.add_insecure_port(f"{LOOPBACK}:0"))
        self._server.start()

    def close(self) -> None:
        """End the server, and the calls that are under way."""
        self._server.stop(None)

    def _who(self, request: bytes, context: Any) -> bytes:
        return self.name.encode()

    def _ticks(self, request: bytes, context: Any) -> Any:
        while not self.finish.wait(TICK) and context.is_active():
            yield self.name.encode()


def stand_in(app: App, template: str, backend: StandIn | GrpcStandIn) -> None:
    """Let a backend of the test answer what the pods of a template would have answered."""
    path = f"{ISTIO_API}/namespaces/{app.namespace}/workloadentries/{app.who(template)}"
    entry = wait_until(lambda: app.kube.raw_json(path), f"{app.who(template)} has an endpoint", LIMIT)
    ports = dict.fromkeys(entry["spec"]["ports"], backend.port)
    app.kube.patch_at(path, {"spec": {"ports": ports}})


def channel(port: int, host: str) -> Any:
    """A gRPC connection to an Envoy, which takes the host from the authority."""
    return grpc.insecure_channel(f"{LOOPBACK}:{port}", options=[("grpc.default_authority", host)])


def grpc_who(connection: Any, **metadata: str) -> str:
    """Who answers a call with this metadata; the status, when it fails."""
    sent = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    try:
        answer: bytes = connection.unary_unary(WHO)(b"", metadata=sent, timeout=10)
    except grpc.RpcError as error:
        return str(error.code().name)
    return answer.decode()


def grpc_ticks(connection: Any) -> list[str]:
    """Who sent each message of a stream; at the end the status, when it is not OK."""
    seen: list[str] = []
    try:
        seen.extend(tick.decode() for tick in connection.unary_stream(TICKS)(b""))
    except grpc.RpcError as error:
        seen.append(str(error.code().name))
    return seen
