"""A receiver of webhooks on loopback that answers as it is told, also badly."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Got(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[int], tuple[int, dict[str, str]] | float]
"""Of the number of a request: status and headers, or seconds in which nothing is said."""


class Receiver:
    """Listens until it is closed."""

    def __init__(self, answer: Answer = lambda _: (200, {})) -> None:
        self.got: list[Got] = []
        self.end = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append(Got(self.path, headers, body))
                said = answer(len(receiver.got))
                if isinstance(said, float):
                    receiver.end.wait(said)
                    return
                self.send_response(said[0])
                for name, value in said[1].items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                receiver.got.append(Got(self.path, {}, b""))
                self.send_error(404)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Receiver":
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self._server.shutdown()
        self._server.server_close()


def took(begin: float) -> float:
    """Seconds since."""
    return time.monotonic() - begin
