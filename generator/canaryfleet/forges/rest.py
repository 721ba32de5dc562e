"""A forge's REST API over HTTPS: how it is asked, and what is done when it does not answer as it should.

On the standard library: what we need of a client is what libraries leave out (conditional requests on
every read, a bound on waiting, no blind repetition of a write), and two forges share it.

A read is repeated when it is lost, a write only if it changes nothing to do it twice: a POST whose answer
is lost raises `Lost`, and whoever wanted it looks before doing it again. The token is in one header, goes
to one host, and is in no text.
"""

import contextlib
import http.client
import ipaddress
import json
import random
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from canaryfleet import __version__
from canaryfleet.errors import Finding, Place, Problems, one_line, problem

REFUSED = "CF180"
MISSING = "CF181"
PLACE = Place("fleet.yaml")

LARGEST = 32 << 20
"""Bytes of an answer: a hundred pull requests with the longest texts have about 10 MiB."""
PAGES = 200
"""Of a list; more is no list that anybody reads."""
_KEPT = 64 << 20  # bytes of answers that are asked for again only if they have changed
_TIMEOUT = 20.0  # seconds without a byte
_LONGEST = 120.0  # seconds for a whole answer
_PATIENCE = 90.0  # seconds that one request may wait in all, before it is the next run's
_TRIES = 4
_APART = 1.0  # seconds between writes: what forges ask for
_UNSAID = 60.0  # seconds to wait when a forge says only that it was too much
_BAD_GATEWAY = {502, 503, 504}
_REMEDIES = {
    401: "is the token good, and has it not ended?",
    403: "may the bot read and write the repository, its pull requests and statuses?",
    404: "is `forge.repository` right, and may the bot see it?",
}

T = TypeVar("T")


class World(NamedTuple):
    """Time and chance: what tests replace. `now`: seconds since 1970, as forges count."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


class Answer(NamedTuple):
    """An answer, whatever its status; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Refused(Problems):
    """The forge understood, and does not do it."""

    def __init__(self, status: int, said: str, finding: Finding) -> None:
        super().__init__([finding])
        self.status, self.said = status, said


class Lost(Problems):
    """A write was sent, and no answer came: it may have been done, or not."""


class Api:
    """One forge's API at one address. Not for several threads.

    Every call raises `Problems` CF180 if there is no answer, `Refused` if it is a no.
    """

    def __init__(
        self, address: str, authorization: Callable[[], str], headers: Mapping[str, str], world: World
    ) -> None:
        """`address`: checked by `base`. `authorization`: the header's value, asked for each request."""
        self.address = address
        self._host = urlsplit(address).netloc
        self._authorization = authorization
        self._secret = ""
        self._headers = {"User-Agent": f"canaryfleet/{__version__}", "Accept": "application/json", **headers}
        self._world = world
        # Through a proxy only what is encrypted on the way.
        proxies: dict[str, str] | None = None if address.startswith("https:") else {}
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), _Stay())
        self._kept: dict[str, Answer] = {}
        self._wrote = float("-inf")

    def get(self, path: str, type: type[T], **query: str | int) -> T:
        """What is at a path."""
        return self.decode(self._ask("GET", _target(path, query)), type)

    def items(self, path: str, type: type[T], **query: str | int) -> Iterator[T]:
        """The items of a list, page by page, as far as the caller reads."""
        for page in range(1, PAGES + 1):
            answer = self._ask("GET", _target(path, {**query, "page": page}))
            yield from self.decode(answer, list[type])  # type: ignore[valid-type]
            # That there are more is all that is read there: where to ask stays ours.
            if 'rel="next"' not in answer.headers.get("link", ""):
                return
        raise self._trouble(f"{path} has more than {PAGES} pages")

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> Answer:
        """Write. Raises `Lost` for a POST that may have been done."""
        return self._ask(method, path, json.dumps(body).encode())

    def decode(self, answer: Answer, type: type[T]) -> T:
        """The body as a model; fields that it has not are left out."""
        try:
            return msgspec.json.decode(answer.body, type=type)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise self._trouble(f"its answer is not of the form that is known: {error}") from None

    def _ask(self, method: str, target: str, body: bytes | None = None) -> Answer:
        """One answer that is no failure, after as many tries and as much waiting as is sensible."""
        waited, tries = 0.0, 0
        while True:
            answer, error = self._try(method, target, body)
            limit = answer and self._limit(answer)
            if answer and limit is None and answer.status not in _BAD_GATEWAY:
                return self._accepted(answer)
            pause, tries = limit or 2.0**tries * (0.5 + self._world.chance()), tries + 1
            said = self._said(answer) if answer else self._clean(_words(error))
            if limit is None:
                if method == "POST" and not _never_sent(error):
                    raise Lost(self._trouble(f"nobody knows whether {method} was done: {said}").findings)
                if tries == _TRIES:
                    raise self._trouble(f"no answer after {tries} tries: {said}")
                pause = max(pause, _retry_after(answer, self._world.now()) or 0) if answer else pause
            if waited + pause > _PATIENCE:
                again = datetime.fromtimestamp(min(self._world.now() + pause, 2**37), UTC).isoformat(
                    timespec="seconds"
                )
                raise self._trouble(f"this can not wait here: {said}", f"come again at {again}")
            self._world.sleep(pause)
            waited += pause

    def _try(self, method: str, target: str, body: bytes | None) -> tuple[Answer | None, Exception | None]:
        if method != "GET":
            self._pace()
        try:
            return self._once(method, target, body), None
        except (OSError, http.client.HTTPException) as error:
            return None, error

    def _once(self, method: str, target: str, body: bytes | None) -> Answer:
        kept = self._kept.get(target) if method == "GET" else None
        self._secret = self._authorization()
        headers = self._headers | {"Authorization": self._secret}
        if kept:
            headers["If-None-Match"] = kept.headers["etag"]
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.address + target, body, headers, method=method)  # noqa: S310 (checked by `base`)
        try:
            response = self._opener.open(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError as error:  # also an answer
            response = error
        with contextlib.closing(response):
            found = {name.lower(): value for name, value in response.headers.items()}
            answer = Answer(response.status, found, self._body(response))
        if answer.status == 304 and kept:
            # How many pages there are may have changed though this one has not.
            return kept._replace(headers={**kept.headers, **found})
        if method == "GET" and answer.status == 200 and "etag" in found:
            self._keep(target, answer)
        return answer

    def _body(self, response: Any) -> bytes:
        body, end = bytearray(), time.monotonic() + _LONGEST
        while part := response.read1(1 << 16):
            body += part
            if len(body) > LARGEST:
                raise self._trouble(f"its answer has more than {LARGEST >> 20} MiB")
            if time.monotonic() > end:
                raise TimeoutError(f"an answer took longer than {_LONGEST:g} s")
        if response.length:
            raise http.client.IncompleteRead(b"")
        return bytes(body)

    def _keep(self, target: str, answer: Answer) -> None:
        self._kept.pop(target, None)
        self._kept[target] = answer
        while sum(len(each.body) for each in self._kept.values()) > _KEPT:
            del self._kept[next(iter(self._kept))]

    def _pace(self) -> None:
        left = _APART - (self._world.now() - self._wrote)
        if 0 < left <= _APART:  # more: the clock was set back
            self._world.sleep(left)
        self._wrote = self._world.now()

    def _limit(self, answer: Answer) -> float | None:
        """Seconds to wait if this was one request too many; None if that is not it."""
        if answer.status not in {403, 429}:
            return None
        now, headers = self._world.now(), answer.headers
        said = _retry_after(answer, now)
        if said is not None:
            return said
        if headers.get("x-ratelimit-remaining") == "0" and _is_number(headers.get("x-ratelimit-reset", "")):
            return max(int(headers["x-ratelimit-reset"][:12]) - now, 0) + 1
        return _UNSAID if answer.status == 429 or b"rate limit" in answer.body.lower() else None

    def _accepted(self, answer: Answer) -> Answer:
        if 200 <= answer.status < 300:
            return answer
        said = self._said(answer)
        if 300 <= answer.status < 400:
            said = "it leads elsewhere, which is not followed (was the repository renamed or moved?)"
        finding = self._trouble(f"{answer.status}: {said}", _REMEDIES.get(answer.status, "")).findings[0]
        raise Refused(answer.status, said, finding)

    def _said(self, answer: Answer) -> str:
        """The forge's words, on one line and not too many."""
        try:
            found = json.loads(answer.body)
            details = [
                str(each.get("message", "")) for each in found.get("errors") or [] if isinstance(each, dict)
            ]
            text = "; ".join(filter(None, [str(found.get("message", "")), *details]))
        except (ValueError, AttributeError, TypeError, RecursionError):
            text = ""
        return self._clean(text or f"status {answer.status}")

    def _clean(self, text: str) -> str:
        for word in self._secret.split():
            text = text.replace(word, "…") if len(word) > 6 else text
        return one_line(text[:300])

    def _trouble(self, text: str, remedy: str = "") -> Problems:
        return problem(PLACE, REFUSED, f"{self._host}: {self._clean(text)}", remedy)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing, and does not look where it would lead: what comes after a redirect would get the token."""

    def http_error_302(self, *_: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]


def base(address: str) -> str:
    """The address of an API without its last slash. Raises `Problems` CF181: not https, or with more than a path."""
    try:
        url = urlsplit(address)
        host, _ = url.hostname or "", url.port
    except ValueError:
        host, url = "", urlsplit("")
    extra = (
        "@" in url.netloc or url.query or url.fragment or not address.isascii() or not address.isprintable()
    )
    if not host or extra or " " in address:
        text = "`forge.url` is no address of an API: https, a host, a path and nothing more"
        raise problem(PLACE, MISSING, text, "credentials come from the environment")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(host)):
        raise problem(
            PLACE, MISSING, f"`forge.url`: {host} is not asked without https, as it would show the token"
        )
    return address.rstrip("/")


def repository(name: str | None) -> str:
    """`owner/name`, checked. Raises `Problems` CF181."""
    parts = (name or "").split("/")
    fine = len(parts) == 2 and all(part.strip(".") and part == quote(part, safe="") for part in parts)
    if not fine:
        text = "`forge.repository` is missing, or not of the form owner/name"
        raise problem(PLACE, MISSING, text, "for example `forge: {type: github, repository: acme/fleet}`")
    return "/".join(parts)


def token(environment: Mapping[str, str], *names: str) -> str | None:
    """The first token that the environment has. Raises `Problems` CF181: one that no header can have."""
    for name in names:
        found = environment.get(name, "").strip()
        if found and (not found.isascii() or not found.isprintable() or " " in found):
            raise problem(PLACE, MISSING, f"{name} is no token: it has characters that none has")
        if found:
            return found
    return None


def git_environment(address: str, user: str, secret: str) -> dict[str, str]:
    """Credentials for git at one address, in variables: no argument list and no file has them."""
    from base64 import b64encode

    word = b64encode(f"{user}:{secret}".encode()).decode()
    settings = (
        (f"http.{address}.extraHeader", ""),  # forget those of the clone: two of a kind are refused
        (f"http.{address}.extraHeader", f"Authorization: Basic {word}"),
        ("http.followRedirects", "false"),  # the header would go along
        ("credential.helper", ""),
    )
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def path(*parts: str | int) -> str:
    """A path of names, which may have any characters. Raises `Problems` CF180: one that would lead elsewhere."""
    if {".", ".."} & {str(part) for part in parts}:
        raise problem(PLACE, REFUSED, "a name that is only dots is none")
    return "".join("/" + quote(str(part), safe="") for part in parts)


def _target(path: str, query: Mapping[str, str | int]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(answer: Answer | None, now: float) -> float | None:
    said = answer.headers.get("retry-after", "") if answer else ""
    if _is_number(said):
        return float(said[:9])
    try:
        return max(parsedate_to_datetime(said).timestamp() - now, 0) if said else None
    except (ValueError, OverflowError):  # the year 99999
        return _UNSAID


def _is_number(text: str) -> bool:
    """Digits of ASCII: a header may have others, which are no numbers."""
    return text.isdecimal() and text.isascii()


def _never_sent(error: Exception | None) -> bool:
    """Whether nothing has reached the other side: there was no connection, or no such host."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return isinstance(reason, ConnectionRefusedError | socket.gaierror)


def _words(error: Exception | None) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason) or type(reason).__name__
