"""A container registry on loopback that answers as the real ones do, with its token server, and fails when told to."""

import contextlib
import hashlib
import json
import threading
from base64 import b64decode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
USER, PASSWORD, IDENTITY = "ann", "s3cret-p4ss", "1dentity-t0ken"


class Reply(NamedTuple):
    """An answer."""

    status: int
    body: bytes = b"{}"
    headers: dict[str, str] = {}


class Asked(NamedTuple):
    """A request that came: its path with the query, and its headers in lower case."""

    path: str
    headers: dict[str, str]


Login = Literal["none", "basic", "bearer"]


def manifest(text: str = "one") -> bytes:
    """The bytes of an image index."""
    return json.dumps(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"v": text}}
    ).encode()


def digest(data: bytes) -> str:
    """How content is named."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class FakeRegistry:
    """Serves images until it is closed; `fail` says what is answered instead, in turn."""

    def __init__(self, login: Login = "none", anonymous: bool = False) -> None:
        self.login, self.anonymous = login, anonymous
        self.images: dict[tuple[str, str], bytes] = {}
        self.type = INDEX
        self.said: str | None = None
        self.realm = ""
        self.asked: list[Asked] = []
        self.faults: list[Reply] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers.get("content-length", 0))))

            def _answer(self, body: bytes) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                registry.asked.append(Asked(self.path, headers))
                reply = registry.reply(self.path, headers, body)
                self.send_response(reply.status)
                for name, value in {"content-length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # who asked has gone: the body was too large
                    self.wfile.write(reply.body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def push(self, name: str, tag: str, text: str = "one") -> str:
        """Let a tag name content; its digest."""
        self.images[name, tag] = manifest(text)
        return digest(self.images[name, tag])

    def fail(self, *replies: Reply) -> None:
        """Answer these first."""
        self.faults.extend(replies)

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def reply(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """What is answered."""
        if path.startswith("/token"):
            return self._token(path, headers, body)
        if self.faults:
            return self.faults.pop(0)
        if not self._let_in(headers.get("authorization", "")):
            return Reply(
                401, b'{"errors": [{"code": "UNAUTHORIZED"}]}', {"www-authenticate": self._challenge(path)}
            )
        name, _, tag = path.removeprefix("/v2/").rpartition("/manifests/")
        data = self.images.get((name, tag))
        if data is None:
            return Reply(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
        if INDEX not in headers.get("accept", ""):
            return Reply(406)
        return Reply(
            200, data, {"content-type": self.type, "docker-content-digest": self.said or digest(data)}
        )

    def _challenge(self, path: str) -> str:
        if self.login == "basic":
            return 'Basic realm="registry"'
        name = path.removeprefix("/v2/").rpartition("/manifests/")[0]
        realm = self.realm or f"http://{self.host}/token"
        return f'Bearer realm="{realm}",service="fake",scope="repository:{name}:pull,push"'

    def _let_in(self, authorization: str) -> bool:
        wanted: dict[str, Callable[[], bool]] = {
            "none": lambda: True,
            "basic": lambda: _basic(authorization) == (USER, PASSWORD),
            "bearer": lambda: authorization == "Bearer t0ken-for-acme/app",
        }
        return wanted[self.login]()

    def _token(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        query = parse_qs(body.decode() or urlsplit(path).query)
        known = query.get("refresh_token") == [IDENTITY] or _basic(headers.get("authorization", "")) == (
            USER,
            PASSWORD,
        )
        if not known and not (self.anonymous and "authorization" not in headers and not body):
            return Reply(401)
        if query["scope"] != ["repository:acme/app:pull"] or query["service"] != ["fake"]:
            return Reply(400)
        key = "access_token" if body else "token"
        return Reply(200, json.dumps({key: "t0ken-for-acme/app", "expires_in": 300}).encode())


def _basic(authorization: str) -> tuple[str, str]:
    word = authorization.removeprefix("Basic ") if authorization.startswith("Basic ") else ""
    user, _, password = b64decode(word).decode().partition(":")
    return user, password
