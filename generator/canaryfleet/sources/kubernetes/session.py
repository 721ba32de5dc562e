"""Questions to one API server, and what its answers mean: an answer, or why there is none."""

import base64
import contextlib
import re
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import msgspec

from canaryfleet.models.observation import IDENTITY, LEASES, Raw, Read
from canaryfleet.sources.kubernetes.http import Answer, Connection, Stage, connect
from canaryfleet.sources.kubernetes.kubeconfig import Credentials, Way
from canaryfleet.sources.kubernetes.trouble import Trouble, quoted

DEEPEST = 100
"""Levels of an answer; a Rollout has about 20. Deeper ones would end those who write them down."""
_USER = re.compile(r'User "([^"]+)"')


class _Claims(msgspec.Struct):
    exp: float


class Session:
    """One cluster, asked one thing after the other. Whoever makes it must `close` it."""

    def __init__(self, way: Way, credentials: Credentials, stage: Stage) -> None:
        self._way, self._credentials, self._stage = way, credentials, stage
        self._connection: Connection | None = None
        self.connections = 0
        self._headers = (*_authorization(credentials), *way.headers) if way.secure else ()
        if not all(value.isascii() and value.isprintable() for _, value in self._headers):
            raise Trouble(
                "unauthorized",
                f"the token of {_of(way)} has characters that no token has",
                "get a new one; is there a line end in the middle of it?",
            )

    async def identity(self) -> str:
        """The UID of kube-system; raises Trouble."""
        found = await self.ask(IDENTITY)
        uid = found["metadata"].get("uid") if "metadata" in found else None
        if not isinstance(uid, str) or not uid:
            raise Trouble(
                "unparsable", f"{self._way.origin} has no namespace kube-system, or gives it no UID"
            )
        return uid

    async def ask(self, read: Read) -> Raw:
        """The answer as it came; for an object that does not exist the server's Status.

        Raises Trouble of every kind but stale, unsigned and foreign.
        """
        answer = await self._get(read)
        if answer.status == 200:
            return _expected(read, self._decode(answer))
        if answer.status == 404 and (status := self._status(answer)) and _is_absence(status, read):
            return status
        raise self._refusal(read, answer)

    def close(self) -> None:
        """End the connection."""
        if self._connection:
            self._connection.close()

    async def write(self, verb: Literal["create", "update"], read: Read, body: Raw) -> Raw | None:
        """What is stored now; None: somebody else has written, or deleted it, since it was read.

        `read`: a list for `create`, else the object. Raises Trouble as `ask` does; if that says nothing
        of the server's no, nobody knows whether it is stored.
        """
        method = "POST" if verb == "create" else "PUT"
        connection = await self._connected()
        path = quote(read.path, safe="/")
        answer = await connection.send(method, path, self._headers, msgspec.json.encode(body))
        if answer.status in (200, 201):
            return self._decode(answer)
        if answer.status == 409 or (
            answer.status == 404 and (status := self._status(answer)) and _is_absence(status, read)
        ):
            return None
        raise self._refusal(read, answer, verb)

    async def _get(self, read: Read) -> Answer:
        query = f"?labelSelector={quote(read.labels, safe='')}" if read.labels else ""
        return await (await self._connected()).get(quote(read.path, safe="/") + query, self._headers)

    async def _connected(self) -> Connection:
        if not self._connection or not self._connection.usable:
            self.close()
            self._connection = await connect(self._way, self._credentials, self._stage)
            self.connections += 1
        return self._connection

    def _decode(self, answer: Answer) -> Raw:
        try:
            found = msgspec.json.decode(answer.body)
            deep = isinstance(found, dict) and _depth_exceeds(found, DEEPEST)
        except RecursionError:
            deep = True
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise self._strange(answer) from None
        if deep:
            raise Trouble("unparsable", f"{self._way.origin} answers with more than {DEEPEST} levels")
        if not isinstance(found, dict):
            raise self._strange(answer)
        return found

    def _status(self, answer: Answer) -> Raw | None:
        """The API's own word about a failure, if it is one."""
        with contextlib.suppress(Trouble):
            found = self._decode(answer)
            return found if found.get("kind") == "Status" else None
        return None

    def _strange(self, answer: Answer) -> Trouble:
        what = "HTML" if answer.type == "text/html" else "what is no JSON object"
        text = f"{self._way.origin} answers {answer.status} with {what}"
        return Trouble("unparsable", text, "is this an API server, or a login page or proxy before it?")

    def _refusal(self, read: Read, answer: Answer, verb: str = "") -> Trouble:
        way, status = self._way, self._status(answer)
        said = quoted(str(status.get("message", "")), self._credentials.secrets) if status else ""
        match answer.status:
            case 401:
                text = (
                    f"{way.origin} does not accept the credentials of {_of(way)}{_expired(self._credentials)}"
                )
                return Trouble(
                    "unauthorized", text, "renew them: log in again, or replace the token or certificate"
                )
            case 403:
                return _forbidden(way, read, said, verb)
            case 404 if status or answer.body.startswith(b"404 page not found"):
                kind = f"{read.resource}.{read.group}" if read.group else read.resource
                text = f"{way.origin} does not know {kind} in version {read.version}"
                return Trouble("missing", text, _missing(read))
            case code if 300 <= code < 400:
                where = _host(answer.headers.get("location", ""))
                text = f"{way.origin} redirects{where} instead of answering"
                remedy = "make the server in the kubeconfig that of the API server itself"
                return Trouble("misconfigured", text, remedy)
            case 407 | 502 | 503 | 504 if not status:
                text = f"what stands before {way.origin} answers {answer.status}"
                return Trouble(
                    "server-error",
                    text,
                    "look at the load balancer or proxy, and whether the API server runs",
                )
            case code if status:
                return Trouble(
                    "server-error", f"{way.origin} answers {code}: {said}", "look at the API server's log"
                )
        return self._strange(answer)


def _authorization(credentials: Credentials) -> list[tuple[str, str]]:
    if credentials.token:
        return [("Authorization", f"Bearer {credentials.token}")]
    return [("Authorization", f"Basic {credentials.basic}")] if credentials.basic else []


def _expected(read: Read, found: Raw) -> Raw:
    """What was asked for, all of it, or Trouble."""
    metadata = found.get("metadata")
    kind = str(found.get("kind"))
    if isinstance(metadata, dict) and kind != "Status":
        if read.object and metadata.get("name") == read.object:
            return found
        if not read.object and kind.endswith("List") and isinstance(found.get("items"), list):
            if not metadata.get("continue"):
                return found
            text = f"the list of {read.resource} is a part of the whole"
            raise Trouble(
                "unparsable", text, "look at what stands before the API server: nobody asked for pages"
            )
    wanted = f"{read.resource} {read.object}" if read.object else f"a list of {read.resource}"
    raise Trouble(
        "unparsable", f"the answer is not {wanted}", "is the server in the kubeconfig an API server?"
    )


def _is_absence(status: Raw, read: Read) -> bool:
    """An object that does not exist is named in the Status; where the kind is unknown, nothing is."""
    details = status.get("details")
    named = isinstance(details, dict) and details.get("name") == read.object
    return read.object is not None and named and status.get("reason") == "NotFound"


def _forbidden(way: Way, read: Read, said: str, verb: str) -> Trouble:
    who = _USER.search(said)
    resource = f"{read.resource}.{read.group}" if read.group else read.resource
    one = f" {read.object}" if read.object else ""
    where = f" in the namespace {read.namespace}" if read.namespace else ""
    text = f"{who.group(1) if who else _of(way)} may not {verb or read.verb} {resource}{one}{where}"
    bot = " --bot" if read.group == LEASES.group else ""
    kubectl = f"kubectl --context {way.name}" if way.name else "kubectl"
    return Trouble("forbidden", text, f"`canaryfleet rbac{bot} | {kubectl} apply -f -` allows what is needed")


def _missing(read: Read) -> str:
    if "." in read.group:
        return f"install the CustomResourceDefinitions of {read.group} in that version, or upgrade its controller"
    return "check the server's address: is it an API server of a supported version?"


def _host(location: str) -> str:
    """Only the host: the rest may hold tokens."""
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    return f" to {quoted(host)}" if host else ""


def _of(way: Way) -> str:
    return f"context {way.name}" if way.name else "this pod"


def _expired(credentials: Credentials) -> str:
    """When a token that says when it expires (RFC 7519) did; it is not verified, only told."""
    try:
        part = credentials.token.split(".")[1]
        claims = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        when = datetime.fromtimestamp(msgspec.json.decode(claims, type=_Claims).exp, UTC)
    except (ValueError, IndexError, OverflowError, OSError):  # msgspec's and binascii's are ValueErrors
        return ""
    return f": the token expired at {when:%Y-%m-%d %H:%M} UTC" if when < datetime.now(UTC) else ""


def _depth_exceeds(value: Any, levels: int) -> bool:
    """Level by level, so that depth costs no stack."""
    level = [value]
    for _ in range(levels):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True
