"""Telling people: Slack-compatible incoming webhooks, and JSON that is signed.

Nobody waits for it: all targets are told at once, within one limit, and what fails is a warning. Addresses
come from administrators, so private ones are allowed; but who answers sends us nowhere else.
"""

import hashlib
import hmac
import ipaddress
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from socket import gaierror
from ssl import SSLCertVerificationError, SSLError
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from canaryfleet import __version__
from canaryfleet.errors import WARNING, Finding, Place, one_line
from canaryfleet.models.fleet import EventKind, Fleet, Notification
from canaryfleet.news import Event, events

__all__ = ["LIMIT", "Event", "Target", "events", "send", "targets"]

LIMIT = 10.0
"""Seconds for everything that one event's telling takes."""
TRIES = 3
_ATTEMPT = 4.0  # seconds until an attempt counts as failed
_PAUSE = 0.5  # seconds before the second attempt; twice as many before the third
_LONGEST = 500  # characters of a sentence; a Slack section takes 3,000, with all that escaping adds
_MOST = 8  # sentences
SIGNATURE = "X-Canaryfleet-Signature"
_WORDS: dict[EventKind, str] = {"start": "▶", "hold": "✋", "fail": "⛔", "done": "✔"}


@dataclass(frozen=True, repr=False)
class Target:
    """Somebody to tell. Never shown: addresses of webhooks are secrets too."""

    name: str
    type: str
    url: str
    on: tuple[EventKind, ...]
    secret: str = ""

    def wants(self, event: Event, named: Sequence[str] = ()) -> bool:
        """`named`: targets that the app's spec names for its failures."""
        return event.kind in self.on or (event.kind == "fail" and self.name in named)


def targets(
    fleet: Fleet, environment: Mapping[str, str] = os.environ, named: Sequence[str] = ()
) -> tuple[list[Target], list[Finding]]:
    """Whom fleet.yaml names, and warnings (CF186) about those who can't be told.

    `named`: `rollback.notify` of the specs, of which every name should be there.
    """
    found, warnings = [], []
    known = {settings.name for settings in fleet.notify}
    for name in sorted(set(named) - known):
        what = f"`rollback.notify` names {name}, which `notify` of fleet.yaml does not have"
        warnings.append(_warning(what, "add it there, or take it out of the spec"))
    for settings in fleet.notify:
        url = environment.get(settings.urlFrom, "").strip()
        secret = environment.get(settings.secretFrom or "", "").strip()
        if why := _unusable(settings, url, secret):
            warnings.append(_warning(f"{settings.name} can't be told: {why}", "set it where the bot runs"))
        else:
            found.append(Target(settings.name, settings.type, url, settings.on, secret))
    return found, warnings


def send(
    event: Event, to: Iterable[Target], *, named: Sequence[str] = (), limit: float = LIMIT
) -> list[Finding]:
    """Tell everybody who wants to know; warnings (CF186) for those who did not take it. Never raises.

    Takes `limit` seconds at most; what then is still under way is left behind.
    """
    wanted = [target for target in to if target.wants(event, named)]
    said: dict[str, str] = {}
    deadline = time.monotonic() + limit
    threads = [
        threading.Thread(target=_tell, args=(event, target, said, deadline), daemon=True) for target in wanted
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    told = dict(said)
    failed = {target.name: told.get(target.name, f"no answer within {limit:g} s") for target in wanted}
    remedy = "look at the address, and at who answers there"
    return [
        _warning(f"{name} was not told of {event.id}: {why}", remedy) for name, why in failed.items() if why
    ]


def _warning(message: str, remedy: str) -> Finding:
    return Finding(Place("fleet.yaml"), "CF186", one_line(message), remedy, WARNING)


def _unusable(settings: Notification, url: str, secret: str) -> str:
    """Why a target can't be used; says names of variables, and never what is in them."""
    if not url:
        return f"{settings.urlFrom} is not set"
    if not _is_address(url):
        return f"{settings.urlFrom} is no https address"
    if settings.type == "webhook" and not secret:
        return f"{settings.secretFrom} is not set"
    return ""


def _is_address(url: str) -> bool:
    """https, or http to this machine alone."""
    try:
        address = urlsplit(url)
        host, _ = address.hostname or "", address.port
    except ValueError:
        return False
    fine = url.isascii() and url.isprintable() and " " not in url and not address.username and bool(host)
    return fine and (address.scheme == "https" or (address.scheme == "http" and _is_here(host)))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# ---- what is sent


def slack(event: Event) -> dict[str, Any]:
    """The message for an incoming webhook: text, and blocks where they are understood."""
    head = f"{_WORDS[event.kind]} {_plain(event.title, _LONGEST)}"
    sentences = [_plain(reason, _LONGEST) for reason in event.reasons[:_MOST]]
    if len(event.reasons) > _MOST:
        sentences.append(f"… and {len(event.reasons) - _MOST} more")
    link = _link(event)
    lines = [*(f"• {sentence}" for sentence in sentences), *([link] if link else [])]
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": line}} for line in (head, *lines)
    ]
    return {
        "text": "\n".join([head, *lines]),
        "blocks": blocks,
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


_NEUTRAL = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@\u200b"})


def _plain(text: str, longest: int) -> str:
    """Text of others as one line that calls nobody and hides no link, in Slack and in what reads Markdown."""
    line = one_line(text)
    if len(line) > longest:
        line = line[: longest - 1] + "…"
    return line.translate(_NEUTRAL).replace("](", "]\u200b(")


def _link(event: Event) -> str:
    if event.number is None:
        return ""
    words = f"pull request {event.number}"
    fine = event.url.startswith(("https://", "http://")) and not set(event.url) & set("<>| \"'`")
    return f"<{event.url}|{words}>" if fine and event.url.isascii() and event.url.isprintable() else words


def signature(body: bytes, secret: str, at: int) -> str:
    """`t=<seconds>,v1=<hex>`: HMAC-SHA256 of `<seconds>.<body>`, so that an old message can't be sent again."""
    made = hmac.new(
        secret.encode(errors="surrogateescape"), b"%d.%s" % (at, body), hashlib.sha256
    ).hexdigest()
    return f"t={at},v1={made}"


def _request(event: Event, target: Target) -> Request:
    headers = {"Content-Type": "application/json", "User-Agent": f"canaryfleet/{__version__}"}
    if target.type == "slack":
        return Request(target.url, msgspec.json.encode(slack(event)), headers, method="POST")
    body = msgspec.json.encode(event)
    headers[SIGNATURE] = signature(body, target.secret, int(time.time()))
    return Request(target.url, body, headers, method="POST")


# ---- how it is sent


class _NoRedirect(HTTPRedirectHandler):
    """Follows nothing, and does not look where it would lead."""

    def http_error_302(self, *_: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]


def _tell(event: Event, target: Target, said: dict[str, str], deadline: float) -> None:
    """Try, and try again where that may help; says why not, without the address."""
    why = ""
    for number in range(TRIES):
        pause = _PAUSE * number
        if number and time.monotonic() + pause >= deadline:
            break
        time.sleep(pause)
        why, again = _post(event, target, min(_ATTEMPT, max(0.1, deadline - time.monotonic())))
        if not again:
            break
    said[target.name] = why


def _post(event: Event, target: Target, timeout: float) -> tuple[str, bool]:
    """Why it was not taken, and whether another attempt may help; signed anew each time."""
    try:
        with build_opener(_NoRedirect).open(_request(event, target), timeout=timeout):
            return "", False
    except HTTPError as error:
        error.close()
        return f"it answers {error.code}", error.code == 429 or error.code >= 500
    except URLError as error:
        reason = error.reason
        return _said(reason) if isinstance(reason, OSError) else "it can't be reached", True
    except OSError as error:
        return _said(error), True
    except Exception as error:  # whatever it is, no decision may wait for it
        return type(error).__name__, False


def _said(error: OSError) -> str:
    match error:
        case SSLCertVerificationError():
            return f"its certificate can't be trusted: {error.verify_message.rstrip('.')}"
        case SSLError():
            return "it does not speak TLS as it should"
        case TimeoutError():
            return "no answer in time"
        case gaierror():
            return "nothing is known of its name"
    return os.strerror(error.errno) if error.errno else "it can't be reached"
