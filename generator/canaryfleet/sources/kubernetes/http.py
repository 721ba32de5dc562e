"""One connection to one API server: HTTP/1.1, nothing sent twice, and a limit for everything.

The caller's deadline cancels whatever is under way: connecting, TLS, a body that drips. Small enough
to be our own: libraries count their limits from byte to byte, and a server that sends one a second
keeps them for ever.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import tempfile
import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from canaryfleet import __version__
from canaryfleet.sources.kubernetes.crowd import aside
from canaryfleet.sources.kubernetes.kubeconfig import Credentials, Way
from canaryfleet.sources.kubernetes.trouble import Trouble, quoted

LARGEST = 32 << 20
"""Bytes of an answer: 4,000 pods, one after the other, in one namespace."""
_HEAD = 64 << 10  # bytes of all headers; also what is read at once
_ATTEMPT = 1.0  # seconds that one of several addresses may take
_GZIP = 31  # zlib's number for a gzip header and trailer


class Answer(NamedTuple):
    """A complete answer, decompressed; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str:
        """The media type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Stage:
    """What is being waited for, for the words of a timeout."""

    now = "beginning"


class Connection:
    """Kept alive for all questions to a cluster; `usable` until an answer ends it."""

    def __init__(
        self, way: Way, stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._way, self._stage, self._reader, self._writer = way, stage, reader, writer
        self.usable = True

    async def get(self, target: str, headers: Sequence[tuple[str, str]]) -> Answer:
        """Ask for a path below the server's address.

        Raises Trouble: unreachable (the connection ended), unparsable (no HTTP), too-large.
        """
        return await self.send("GET", target, headers)

    async def send(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes = b""
    ) -> Answer:
        """The same with a body of JSON. After Trouble nobody knows whether the server has done it."""
        self.usable, way = False, self._way  # until the answer is complete
        fixed: tuple[tuple[str, str], ...] = (
            ("Host", way.origin),
            ("User-Agent", f"canaryfleet/{__version__}"),
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip"),
        )
        if body:
            fixed += (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
        lines = [f"{method} {way.server.path.rstrip('/')}{target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in (*fixed, *headers)]
        try:
            self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body)
            self._stage.now = "waiting for an answer"
            answer = await self._answer()
        except ssl.SSLError as error:
            raise _refused(way, error) from None
        except (OSError, asyncio.IncompleteReadError):
            text = f"{way.origin} ended the connection in the middle of an answer"
            raise Trouble(
                "unreachable", text, "look again; if it stays, look at what stands before it"
            ) from None
        except (asyncio.LimitOverrunError, ValueError):
            raise _no_http(way) from None
        self.usable = answer.headers.get("connection", "").lower() != "close"
        return answer

    def close(self) -> None:
        """At once, without a farewell that the other side could delay."""
        self._writer.transport.abort()

    async def _answer(self) -> Answer:
        head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        version, status = first.split(" ", 2)[:2]
        if not version.startswith("HTTP/1.") or len(status) != 3:
            raise ValueError(first)
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if version == "HTTP/1.0":
            headers["connection"] = "close"
        self._stage.now = "reading an answer"
        body = _plain(await self._body(headers), headers.get("content-encoding", ""))
        return Answer(int(status), headers, body)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._chunks()
        if "content-length" in headers:
            size = int(headers["content-length"])
            if not 0 <= size <= LARGEST:
                raise _too_large()
            return await self._reader.readexactly(size)
        headers["connection"] = "close"
        return await self._rest()

    async def _chunks(self) -> bytes:
        body = bytearray()
        while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            if size < 0 or len(body) + size > LARGEST:
                raise _too_large()
            body += await self._reader.readexactly(size)
            if await self._reader.readexactly(2) != b"\r\n":
                raise ValueError("a chunk without its end")
        while await self._reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
        return bytes(body)

    async def _rest(self) -> bytes:
        body = bytearray()
        while part := await self._reader.read(_HEAD):
            body += part
            if len(body) > LARGEST:
                raise _too_large()
        return bytes(body)


async def connect(way: Way, credentials: Credentials, stage: Stage) -> Connection:
    """A connection with TLS verified, through the proxy if there is one.

    Raises Trouble: unreachable, misconfigured (certificates that are none), unauthorized (the server
    refuses ours).
    """
    context = _context(way, credentials) if way.secure else None
    place = way.proxy or way
    stage.now = f"looking up {place.host}"
    addresses = await _addresses(place.host, place.port)
    stage.now = "connecting"
    sock = await _open(addresses, f"{place.host}:{place.port}")
    try:
        if way.proxy:
            stage.now = f"waiting for the proxy {place.host}"
            await _tunnel(sock, way)
        stage.now = "greeting by TLS"
        name = (way.server_name or way.host) if context else None
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=name, limit=_HEAD
        )
    except ssl.SSLCertVerificationError as error:
        sock.close()
        raise _untrusted(way, error) from None
    except ssl.SSLError as error:
        sock.close()
        raise _refused(way, error) from None
    except OSError:
        sock.close()
        text = f"{way.origin} ended the connection before TLS was agreed"
        raise Trouble("unreachable", text, "check the server's address, and what stands before it") from None
    except BaseException:
        sock.close()
        raise
    return Connection(way, stage, reader, writer)


# ---- before HTTP


async def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    """All addresses of a name, or Trouble."""
    with contextlib.suppress(OSError, UnicodeError):  # it may be an address already
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    try:
        return list(await aside(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)))
    except (OSError, UnicodeError):
        text = f"nothing is known of the name {host}"
        raise Trouble(
            "unreachable", text, "check the server's address, the name server, or the VPN"
        ) from None


async def _open(addresses: list[tuple[Any, ...]], where: str) -> socket.socket:
    """A socket to the first address that answers; raises Trouble with what the last one said."""
    last: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(addresses, 1):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(_ATTEMPT if number < len(addresses) else None):
                await asyncio.get_running_loop().sock_connect(sock, address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    if isinstance(last, ConnectionRefusedError):
        text, remedy = f"{where} refuses connections", "check the server's address and port, and that it runs"
    else:
        said = os.strerror(last.errno) if last and last.errno else "no answer"
        text, remedy = f"{where} can't be reached: {said}", "check the network, the VPN, and firewalls"
    raise Trouble("unreachable", text, remedy)


async def _tunnel(sock: socket.socket, way: Way) -> None:
    """Have the proxy connect us (RFC 9110, 9.3.6)."""
    if not way.proxy:
        return
    lines = [f"CONNECT {way.origin} HTTP/1.1", f"Host: {way.origin}"]
    if way.proxy.authorization:
        lines.append(f"Proxy-Authorization: {way.proxy.authorization}")
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
    said = b""
    while b"\r\n\r\n" not in said and len(said) < _HEAD:  # the server is silent until we greet it
        if not (part := await loop.sock_recv(sock, _HEAD)):
            break
        said += part
    words = said.split(b"\r\n", 1)[0].split(b" ")
    if len(words) < 2 or words[1] != b"200":
        status = words[1][:3].decode("ascii", "replace") if len(words) > 1 else "nothing"
        text = f"the proxy {way.proxy.host} does not connect to {way.origin}: it answers {quoted(status)}"
        raise Trouble("unreachable", text, "check proxy-url in the kubeconfig, or HTTPS_PROXY and NO_PROXY")


def _context(way: Way, credentials: Credentials) -> ssl.SSLContext:
    """As strict as kubectl, and no stricter: Go needs no key identifiers, and trusts what is named as CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    if not way.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if way.authority:
            context.load_verify_locations(cadata=way.authority)
        elif way.verify:
            context.load_default_certs()
    except (ssl.SSLError, ValueError):
        text = f"the CA of {_of(way)} is no PEM certificate"
        raise Trouble("misconfigured", text, "get a new kubeconfig for it") from None
    if credentials.certificate:
        _show_certificate(context, way, credentials)
    return context


def _show_certificate(context: ssl.SSLContext, way: Way, credentials: Credentials) -> None:
    """The ssl module reads keys from files alone; this one is ours, and gone at once."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
        file.write(f"{credentials.certificate}\n{credentials.key}\n")
        file.flush()
        try:
            context.load_cert_chain(file.name, password=lambda: "")  # else it asks at the terminal
        except (ssl.SSLError, ValueError):
            text = f"the client certificate of {_of(way)} and its key are no pair of PEM that can be used"
            raise Trouble(
                "misconfigured", text, "get a new kubeconfig for it; keys must have no password"
            ) from None


def _of(way: Way) -> str:
    return f"context {way.name}" if way.name else "this pod"


# ---- what went wrong


def _untrusted(way: Way, error: ssl.SSLCertVerificationError) -> Trouble:
    said = error.verify_message.rstrip(".")
    if "expired" in said or "not yet valid" in said:
        remedy = "renew the server's certificate; or is the clock of this machine wrong?"
    elif "mismatch" in said or "not valid for" in said:
        remedy = "use an address that the certificate names, or set tls-server-name in the kubeconfig"
    else:
        remedy = "check certificate-authority-data in the kubeconfig: is it of this cluster? does a proxy break TLS?"
    return Trouble("unreachable", f"the certificate of {way.origin} can't be trusted: {said}", remedy)


def _refused(way: Way, error: ssl.SSLError) -> Trouble:
    """An alert about a certificate means ours, for we verified theirs before."""
    said = (error.reason or "TLS error").replace("_", " ").lower()
    if "alert" in said and any(word in said for word in ("certificate", "unknown ca", "access denied")):
        text = f"{way.origin} refuses the client certificate: {said}"
        return Trouble("unauthorized", text, f"renew the credentials of {_of(way)}")
    return Trouble(
        "unreachable",
        f"{way.origin} does not speak TLS as it should: {said}",
        "check the server's address and port",
    )


def _no_http(way: Way) -> Trouble:
    return Trouble(
        "unparsable",
        f"what {way.origin} answers is no HTTP",
        "check the server's address: is it an API server's?",
    )


def _too_large() -> Trouble:
    return Trouble(
        "too-large",
        f"an answer has more than {LARGEST >> 20} MB",
        "look at the cluster: that many objects can't belong to one app",
    )


def _plain(body: bytes, coding: str) -> bytes:
    """Decompress, but not more than the limit."""
    if coding in {"", "identity"}:
        return body
    if coding != "gzip":
        raise ValueError(coding)
    stream = zlib.decompressobj(_GZIP)
    try:
        plain = stream.decompress(body, LARGEST + 1)
    except zlib.error as error:
        raise ValueError("gzip") from error
    if len(plain) > LARGEST:
        raise _too_large()
    if not stream.eof:
        raise ValueError("gzip")
    return plain
