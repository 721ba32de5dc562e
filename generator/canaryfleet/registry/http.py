"""Requests to one registry: HTTPS (plain HTTP to this machine alone), with limits, and credentials that stay."""

import contextlib
import http.client
import ipaddress
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from canaryfleet import __version__
from canaryfleet.errors import one_line

LARGEST = 4 << 20
"""Bytes of an answer: no registry takes larger manifests."""
_LONGEST = 30.0  # seconds for a whole answer
_REDIRECTS = 3
_ELSEWHERE = frozenset({301, 302, 303, 307, 308})


class Refused(Exception):
    """It can't be had; the text says why, for people."""

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(one_line(why[:300]))
        self.remedy = remedy


class NoAnswer(Exception):
    """Nothing came; the same may work in a while."""


class Answer(NamedTuple):
    """An answer, whatever its status; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def type(self) -> str:
        """The media type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def pause(self) -> float | None:
        """Seconds that the server asks to wait, if it says them as a number."""
        said = self.headers.get("retry-after", "")
        return float(said[:9]) if said.isdecimal() else None


class Client:
    """One registry, `HOST[:PORT]`."""

    def __init__(self, registry: str, timeout: float) -> None:
        self.registry = registry
        self.is_local = is_loopback(urlsplit(f"//{registry}").hostname or "")
        self.base = f"{'http' if self.is_local else 'https'}://{registry}"
        self._timeout = timeout
        # Through a proxy only what is encrypted on the way.
        proxies: dict[str, str] | None = {} if self.is_local else None
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), _Stay())

    def get(self, path: str, accept: Sequence[str], authorization: str | None) -> Answer:
        """What is at a path; redirects are followed, and take no credentials along. Raises Refused, NoAnswer."""
        url = self.base + path
        for _ in range(_REDIRECTS + 1):
            headers = {"Accept": ", ".join(accept)}
            if authorization and _origin(url) == _origin(self.base):
                headers["Authorization"] = authorization
            answer = self.ask(url, headers)
            if answer.status not in _ELSEWHERE:
                return answer
            url = self.allowed(_joined(url, answer.headers.get("location", "")), "a redirect")
        raise Refused("it leads from one place to another without end", "is it a registry?")

    def allowed(self, url: str, what: str) -> str:
        """The address, if it is one that may be asked: HTTPS; of a registry on this machine also HTTP to itself."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise Refused(f"{what} of it is no address") from None
        plain = parts.scheme == "http" and self.is_local and is_loopback(host)
        clean = url.isascii() and url.isprintable() and " " not in url and "@" not in parts.netloc
        if not host or not clean or not (parts.scheme == "https" or plain):
            raise Refused(f"{what} of it leads to {one_line(url[:100])}, which is not asked without https")
        return url

    def ask(self, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """One answer of an address that is allowed."""
        own = {"User-Agent": f"canaryfleet/{__version__}", **headers}
        request = urllib.request.Request(url, body, own)  # noqa: S310 (checked by `allowed`, or made here)
        try:
            try:
                response = self._opener.open(request, timeout=self._timeout)
            except urllib.error.HTTPError as error:  # also an answer
                response = error
            with contextlib.closing(response):
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, found, _body(response))
        except (OSError, http.client.HTTPException, ValueError) as error:
            _raise_if_untrusted(error)
            raise NoAnswer(_words(error)) from None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its very name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing by itself: it would send our credentials along."""

    def http_error_302(self, *_: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return location


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _body(response: Any) -> bytes:
    body, end = bytearray(), time.monotonic() + _LONGEST
    while part := response.read1(1 << 16):
        body += part
        if len(body) > LARGEST:
            raise Refused(f"its answer has more than {LARGEST >> 20} MiB", "is it a registry?")
        if time.monotonic() > end:
            raise TimeoutError(f"an answer took longer than {_LONGEST:g} s")
    if response.length:
        raise http.client.IncompleteRead(b"")
    return bytes(body)


def _raise_if_untrusted(error: Exception) -> None:
    """A certificate does not become good by trying again."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLError):
        said = getattr(reason, "verify_message", "") or reason.reason or "TLS error"
        raise Refused(
            f"its certificate or its TLS can't be trusted: {said}", "SSL_CERT_FILE names further CAs"
        )


def _words(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    said = getattr(reason, "strerror", None) or str(reason)
    return one_line(str(said)[:200]) or type(reason).__name__
