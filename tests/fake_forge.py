"""GitHub's and Gitea's REST APIs on loopback, over the local forge: real git, their words, and their failures."""

import hashlib
import json
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from canaryfleet.errors import Problems
from canaryfleet.forges import NotMerged
from canaryfleet.forges.local import Held
from canaryfleet.models.forge import CommitStatus
from forges import Ground

Dialect = Literal["github", "gitea"]
TOKEN = "s3cret-t0ken-0123456789"
REPOSITORY = "acme/fleet"
HOME = f"/repos/{REPOSITORY}"
GITEA_STATES = {"approved": "APPROVED", "changesRequested": "REQUEST_CHANGES", "other": "COMMENT"}
GITHUB_STATES = {"approved": "APPROVED", "changesRequested": "CHANGES_REQUESTED", "other": "COMMENTED"}
ACTIONS = "github-actions[bot]"  # whose the token of Actions is
LONGEST = 65_536  # characters of a comment
COMMENTS = 10_000  # more than any pull request has: of which one a comment's id is


class Reply(NamedTuple):
    """An answer."""

    status: int
    body: Any = None
    headers: dict[str, str] = {}


class Asked(NamedTuple):
    """A request, and the status that it got; 0: none."""

    method: str
    path: str
    headers: dict[str, str]
    status: int


Act = Callable[[], Reply]
Fault = Callable[[Act], Reply | None]
"""Makes something else of an answer; None: the connection is ended."""


def instead(status: int, body: Any = None, **headers: str) -> Fault:
    """Answer this, and do nothing."""
    return lambda act: Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def lost(act: Act) -> None:
    """Do it, and don't say so."""
    act()


def gateway(act: Act) -> Reply:
    """Do it, and a proxy says that it failed."""
    act()
    return Reply(502, b"<html>Bad Gateway</html>")


class FakeForge:
    """Serves one repository until it is closed; `fail` says what goes wrong next."""

    def __init__(self, ground: Ground, dialect: Dialect) -> None:
        self.ground, self.dialect = ground, dialect
        self.prefix = "/api/v3" if dialect == "github" else "/api/v1"
        self.authorization = f"{'Bearer' if dialect == 'github' else 'token'} {TOKEN}"
        self.asked: list[Asked] = []
        self.writers = {"alice", "bob"}
        self.dismissed: set[tuple[int, int]] = set()
        self.forks: list[int] = []  # pull requests that are shown as those of a fork
        self.users_token = True
        self.may_write = True
        self.tokens = 0
        self.most = 100
        self._faults: list[tuple[str, re.Pattern[str], Fault]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{self.prefix}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> "FakeForge":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, method: str, pattern: str, fault: Fault, times: int = 1) -> None:
        """Let the next requests of a kind go wrong."""
        self._faults += [(method, re.compile(pattern), fault)] * times

    def wrote(self) -> list[str]:
        """All writes that were asked for."""
        return [f"{asked.method} {asked.path}" for asked in self.asked if asked.method != "GET"]

    # HTTP

    def _handler(forge: "FakeForge") -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                data = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
                reply = forge._answer(self.command, self.path, headers, data)
                forge.asked.append(Asked(self.command, self.path, headers, reply.status if reply else 0))
                self.close_connection = True
                if reply is None:
                    return
                body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                body = b"" if reply.body is None or reply.status == 304 else body
                self.send_response(reply.status)
                for name, value in {"content-length": str(len(body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = _serve

            def log_message(self, *_: Any) -> None:
                """Nothing: pytest would show it."""

        return Handler

    def _answer(self, method: str, target: str, headers: dict[str, str], data: bytes) -> Reply | None:
        url = urlsplit(target)
        path = unquote(url.path.removeprefix(self.prefix))

        def act() -> Reply:
            if self._is_for_the_app(path):
                return self._as_app(path, headers, json.loads(data) if data else {})
            if headers.get("authorization") != self.authorization:
                return self._word(401, "Bad credentials")
            if not self.may_write and method != "GET" and path != "/api/graphql":
                return self._word(403, "Resource not accessible by integration")
            body = json.loads(data) if data else {}
            return self._route(method, path, dict(parse_qsl(url.query)), body)

        for number, (kind, pattern, fault) in enumerate(self._faults):
            if kind == method and pattern.search(path):
                del self._faults[number]
                return fault(act)
        reply = act()
        if method != "GET" or reply.status != 200:
            return reply
        etag = f'W/"{hashlib.sha256(json.dumps(reply.body).encode()).hexdigest()}"'
        seen = headers.get("if-none-match") == etag
        return reply._replace(status=304 if seen else 200, headers={**reply.headers, "etag": etag})

    @staticmethod
    def _is_for_the_app(path: str) -> bool:
        return path.startswith("/app") or path.endswith("/installation")

    def _as_app(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Reply:
        """What an App asks with its own signature; each token makes those before it invalid."""
        if not headers["authorization"].startswith("Bearer signed."):
            return self._word(401, "A JSON web token could not be decoded")
        if path == "/app":
            return Reply(200, {"slug": "canaryfleet"})
        if path == f"{HOME}/installation":
            return Reply(200, {"id": 42})
        assert path == "/app/installations/42/access_tokens"
        assert body == {"repositories": ["fleet"]}
        self.tokens += 1
        self.authorization = f"Bearer ghs_{self.tokens}{TOKEN}"
        end = self.ground.clock() + timedelta(hours=1)
        return Reply(201, {"token": self.authorization.split()[1], "expires_at": end.isoformat()})

    @staticmethod
    def _word(status: int, message: str) -> Reply:
        return Reply(status, {"message": message})

    # The API

    def _route(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Reply:
        table: list[tuple[str, str, Callable[..., Reply]]] = [
            ("GET", "/user", self._user),
            ("POST", "/api/graphql", self._viewer),
            ("GET", f"{HOME}/pulls", self._pulls),
            ("POST", f"{HOME}/pulls", self._open),
            ("GET", rf"{HOME}/pulls/(\d+)", self._pull),
            ("PATCH", rf"{HOME}/pulls/(\d+)", self._patch),
            ("GET", rf"{HOME}/pulls/(\d+)/reviews", self._reviews),
            ("PUT" if self.dialect == "github" else "POST", rf"{HOME}/pulls/(\d+)/merge", self._merge),
            ("GET", rf"{HOME}/issues/(\d+)", self._issue),
            ("GET", rf"{HOME}/issues/(\d+)/timeline", self._timeline),
            ("GET", rf"{HOME}/issues/(\d+)/comments", self._comments),
            ("POST", rf"{HOME}/issues/(\d+)/comments", self._comment),
            ("PATCH", rf"{HOME}/issues/comments/(\d+)", self._recomment),
            ("GET", rf"{HOME}/commits/([0-9a-f]+)/status", self._statuses),
            ("POST", rf"{HOME}/statuses/([0-9a-f]+)", self._status),
            ("GET", rf"{HOME}/collaborators/([^/]+)/permission", self._permission),
            ("GET", f"{HOME}/assignees", self._assignees),
        ]
        for kind, pattern, call in table:
            match = re.fullmatch(pattern, path)
            if kind == method and match:
                try:
                    return call(*match.groups(), query=query, body=body)
                except Problems as problems:
                    missing = "there is no pull request" in str(problems)
                    return self._word(404 if missing else 422, problems.findings[0].message)
        return self._word(404, "Not Found")

    def _user(self, **_: Any) -> Reply:
        return (
            Reply(200, {"login": "canaryfleet"})
            if self.users_token
            else self._word(403, "Resource not accessible by integration")
        )

    def _viewer(self, **_: Any) -> Reply:
        return Reply(200, {"data": {"viewer": {"login": ACTIONS}}})

    def _all(self) -> list[Held]:
        with self.ground.local._locked():
            return self.ground.local._all()

    def _held(self, number: str) -> Held:
        with self.ground.local._locked():
            return self.ground.local._one(int(number))

    def _page(self, items: list[Any], query: dict[str, str]) -> Reply:
        size = min(int(query.get("per_page") or query.get("limit") or 30), self.most)
        page = int(query.get("page", 1))
        more = len(items) > page * size
        # As behind a proxy: what it calls itself is not where it is asked.
        link = {"link": f'<https://elsewhere.example/x?page={page + 1}>; rel="next"'} if more else {}
        return Reply(200, items[(page - 1) * size : page * size], link)

    def _pulls(self, query: dict[str, str], **_: Any) -> Reply:
        found = [held for held in self._all() if (held.state == "open") == (query["state"] == "open")]
        if query.get("sort") in {"updated", "recentupdate"}:
            found.sort(key=lambda held: held.ended or held.opened, reverse=True)
        if self.dialect == "github" and "head" in query:
            found = [
                held
                for held in found
                if f"acme:{held.branch}" == query["head"] and held.base == query["base"]
            ]
        return self._page([self._shown(held) for held in found], query)

    def _pull(self, number: str, **_: Any) -> Reply:
        return Reply(200, self._shown(self._held(number)))

    def _shown(self, held: Held) -> dict[str, Any]:
        github, fork = self.dialect == "github", held.number in self.forks
        home = {"full_name": REPOSITORY, "id": 1}
        head_home = {"full_name": "mallory/fleet", "id": 2} if fork else home
        gone = held.state != "open" and not github
        landed = held.landed or ("f" * 40 if github else None)  # of an open one GitHub shows a trial merge
        return {
            "number": held.number, "title": held.title, "body": held.body,
            "state": "open" if held.state == "open" else "closed",
            "user": {"login": held.author, "id": 7},
            "html_url": f"https://forge.example/{REPOSITORY}/pull/{held.number}",
            "updated_at": (held.ended or held.opened).isoformat(),
            "merged_at": held.ended.isoformat() if held.state == "merged" and held.ended else None,
            "merge_commit_sha": landed,
            "base": {"ref": held.base, "label": f"acme:{held.base}" if github else held.base, "sha": "0" * 40, "repo": home},
            "head": {
                "ref": f"refs/pull/{held.number}/head" if gone else held.branch,
                "label": f"{head_home['full_name'].split('/')[0]}:{held.branch}" if github else held.branch,
                "sha": held.head, "repo": head_home,
            },
        }  # fmt: skip

    def _open(self, body: dict[str, Any], **_: Any) -> Reply:
        same = [
            h for h in self._all() if h.state == "open" and (h.branch, h.base) == (body["head"], body["base"])
        ]
        if same and self.dialect == "github":
            errors = [{"message": f"A pull request already exists for acme:{body['head']}."}]
            return Reply(422, {"message": "Validation Failed", "errors": errors})
        if same:
            return self._word(409, f"pull request already exists for these targets [id: {same[0].number}]")
        local = self.ground.local
        request = local.propose("canaryfleet", body["head"], body["base"], body["title"], body["body"])
        return Reply(201, self._shown(self._held(str(request.number))))

    def _patch(self, number: str, body: dict[str, Any], **_: Any) -> Reply:
        held = self._held(number)
        if "title" in body:
            self.ground.local.edit(held.number, body["title"], body["body"])
        if body.get("state") == "closed":
            self.ground.local.shut(held.number, "canaryfleet")
        return Reply(200 if self.dialect == "github" else 201, self._shown(self._held(number)))

    def _merge(self, number: str, body: dict[str, Any], **_: Any) -> Reply:
        github, held = self.dialect == "github", self._held(number)
        if github:
            assert body["merge_method"] == "squash"
            head, title, message = body["sha"], body["commit_title"], body["commit_message"]
        else:
            assert body["Do"] == "squash"
            head, title, message = body["head_commit_id"], body["MergeTitleField"], body["MergeMessageField"]
        if held.state != "open":
            return self._word(
                405, "Pull Request is not mergeable" if github else "The pull request is already merged"
            )
        if held.head != head:
            return self._word(
                409,
                "Head branch was modified. Review and try the merge again." if github else "head out of date",
            )
        try:
            landed = self.ground.local.land(held.number, "canaryfleet", head, title, message)
        except NotMerged:
            return self._word(405, "Pull Request is not mergeable" if github else "Please try again later")
        merged = {"sha": landed, "merged": True, "message": "Pull Request successfully merged"}
        return Reply(200, merged if github else None)

    def _reviews(self, number: str, query: dict[str, str], **_: Any) -> Reply:
        held, github = self._held(number), self.dialect == "github"
        found = []
        for at, review in enumerate(held.reviews):
            state = (GITHUB_STATES if github else GITEA_STATES)[review.state]
            out = (held.number, at) in self.dismissed
            found.append({
                "id": at + 1, "user": {"login": review.by}, "body": "text", "commit_id": review.head,
                "state": "DISMISSED" if out and github else state,
                **({} if github else {"dismissed": out, "stale": False, "official": False}),
            })  # fmt: skip
        if not github:
            found.append({"id": 90, "user": None, "body": "", "commit_id": "", "state": "REQUEST_REVIEW"})
            found.append(
                {"id": 91, "user": {"login": "alice"}, "body": "", "commit_id": "", "state": "REQUEST_REVIEW"}
            )
        return self._page(found, query)

    def _issue(self, number: str, **_: Any) -> Reply:
        if self.dialect == "gitea":
            return Reply(200, {"number": int(number)})
        closer = self._held(number).closedBy
        return Reply(200, {"number": int(number), "closed_by": {"login": closer} if closer else None})

    def _timeline(self, number: str, query: dict[str, str], **_: Any) -> Reply:
        if self.dialect == "github":
            return self._word(404, "Not Found")
        closer = self._held(number).closedBy
        events = [("close", "mallory"), ("reopen", "mallory"), ("close", closer), ("comment", "mallory")]
        shown = [
            {"id": at, "type": type, "user": {"login": by} if by else None, "body": ""}
            for at, (type, by) in enumerate(events)
        ]
        return self._page(shown, query)

    def _comments(self, number: str, query: dict[str, str], **_: Any) -> Reply:
        comments = self._held(number).comments
        shown = [
            {"id": int(number) * COMMENTS + at, "user": {"login": said.by}, "body": said.text}
            for at, said in enumerate(comments)
        ]
        return self._page(shown, query)

    def _comment(self, number: str, body: dict[str, Any], **_: Any) -> Reply:
        if len(body["body"]) > LONGEST:
            return self._too_long()
        self.ground.comment(int(number), "canaryfleet" if self.users_token else ACTIONS, body["body"])
        return Reply(201, {"id": 1, "body": body["body"]})

    def _recomment(self, id: str, body: dict[str, Any], **_: Any) -> Reply:
        if len(body["body"]) > LONGEST:
            return self._too_long()
        number, at = divmod(int(id), COMMENTS)
        self.ground.recomment(number, at, body["body"])
        return Reply(200, {"id": int(id), "body": body["body"]})

    @staticmethod
    def _too_long() -> Reply:
        errors = [{"message": f"body is too long (maximum is {LONGEST} characters)"}]
        return Reply(422, {"message": "Validation Failed", "errors": errors})

    def _statuses(self, commit: str, **_: Any) -> Reply:
        word = "state" if self.dialect == "github" else "status"
        found = self.ground.local.statuses(commit).values()
        shown = [
            {
                "context": each.context,
                word: each.state,
                "description": each.description or None,
                "target_url": each.url or None,
            }
            for each in found
        ]
        return Reply(
            200, {"state": "pending", "statuses": shown or (None if self.dialect == "gitea" else [])}
        )

    def _status(self, commit: str, body: dict[str, Any], **_: Any) -> Reply:
        assert len(body["description"]) <= 140
        status = CommitStatus(
            context=body["context"], state=body["state"], description=body["description"], url=body.get("target_url", "")
        )  # fmt: skip
        self.ground.local.status(commit, status)
        return Reply(201, {})

    def _permission(self, name: str, **_: Any) -> Reply:
        if self.dialect == "gitea":
            return self._word(403, "Only admins can query all permissions")
        if name == "nobody":
            return self._word(404, "nobody is not a user")
        return Reply(200, {"permission": "write" if name in self.writers else "read"})

    def _assignees(self, **_: Any) -> Reply:
        everybody = self.writers if self.dialect == "gitea" else self.writers | {"stranger"}
        return Reply(200, [{"login": name} for name in sorted(everybody)])
