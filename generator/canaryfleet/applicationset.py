"""What Argo CD's ApplicationSet plugin generator is told: one set of parameters for each app and cluster.

Argo CD (applicationset/generators/plugin.go) takes an empty answer for "no Applications", and deletes those that
there were: so everything comes from one commit, and what is in doubt is an error.
"""

import hmac
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from canaryfleet import after, commits, exposition, git, repo
from canaryfleet.errors import EXIT_OK, Place, Problems, UsageError, one_line, problem
from canaryfleet.exposition import Figure
from canaryfleet.generated import load
from canaryfleet.manifests import overlay_folder
from canaryfleet.web import Page, Request, Server, yes

PATH = "/api/v1/getparams.execute"
JSON = "application/json"
FILTERS = ("app", "cluster")


class Wanted(NamedTuple):
    """Which apps and clusters a generator asks for; None: all."""

    app: frozenset[str] | None = None
    cluster: frozenset[str] | None = None


class Unusable(Exception):
    """A body that is no question; the text says why."""


def asked(body: bytes) -> Wanted:
    """The question in a body: `input.parameters` may name an app and a cluster, or lists of them.

    Raises Unusable for another body, or another parameter: a filter that is not understood is none.
    """
    try:
        given = (json.loads(body).get("input") or {}).get("parameters") or {}
        filters = {name: _names(value) for name, value in given.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Unusable("the body has no parameters that are names or lists of names") from None
    if unknown := filters.keys() - set(FILTERS):
        raise Unusable(f"{one_line(', '.join(sorted(unknown)))}: the parameters are {' and '.join(FILTERS)}")
    return Wanted(**filters)


def _names(value: Any) -> frozenset[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise TypeError
    return frozenset(names)


def sets(root: str, commit: str, wanted: Wanted) -> list[dict[str, str]]:
    """app, cluster, namespace, path, release and version of every overlay of a commit that is asked for.

    Raises Problems: CF025 git failed, CF164 and CF165 an overlay that points nowhere, CF191 nothing is asked for
    that is there.
    """
    paths = git.tree_files(root, commit, repo.OVERLAYS)
    apps = sorted({path.split("/")[1] for path in paths if path.count("/") > 1})
    found = [one for app in apps if wanted.app is None or app in wanted.app for one in _of(root, commit, app)]
    chosen = [one for one in found if wanted.cluster is None or one["cluster"] in wanted.cluster]
    if not chosen:
        raise problem(Place(repo.OVERLAYS), "CF191", "there is no app on any cluster that is asked for")
    return chosen


def _of(root: str, commit: str, app: str) -> Iterator[dict[str, str]]:
    there = after.read(root, commit, app)
    about: dict[str, Mapping[str, Any]] = {}
    for cluster, pointer in sorted(there.pointers.items()):
        folder = overlay_folder(app, cluster)
        if pointer is None:
            raise problem(Place(folder), "CF164", "this overlay points at no release")
        if pointer.release not in there.releases:
            raise problem(Place(folder), "CF165", f"there is no release {pointer.release}")
        if pointer.release not in about:
            about[pointer.release] = _release(root, commit, app, pointer.release)
        release = about[pointer.release]
        yield {
            "app": app,
            "cluster": cluster,
            "namespace": release["metadata"]["namespace"],
            "path": folder,
            "release": pointer.release,
            "version": release["version"],
        }


def _release(root: str, commit: str, app: str, release: str) -> Mapping[str, Any]:
    path = f"{repo.OVERLAYS}/{app}/releases/{release}/release.yaml"
    name = f"{commit}:./{path}"
    data = git.blobs(root, [name], 1 << 24).get(name)
    found = load(data, path) if data is not None else None
    if not isinstance(found, dict) or not isinstance(found.get("version"), str):
        raise problem(Place(path), "CF163", "this is no release that canaryfleet wrote")
    return found


class Answers(NamedTuple):
    """Answers the generator's questions from a clone: of one commit each time, which `revision` names."""

    root: str
    revision: str
    token: str

    def execute(self, request: Request) -> Page:
        """200 with at least one set, or an error: 401, 400, or 503 where the repository is in doubt."""
        given = request.authorization.encode(errors="replace")
        if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
            return _error(401, "the token is not the right one")
        try:
            found = sets(self.root, self.commit(), asked(request.body))
        except Unusable as error:
            return _error(400, str(error))
        except Problems as problems:
            return _error(503, str(problems))
        except Exception as error:  # a bug must not read as "no Applications"; its words may be anybody's
            return _error(500, f"a bug in canaryfleet: {type(error).__name__}")
        return Page(200, JSON, json.dumps({"output": {"parameters": found}}))

    def ready(self) -> bool:
        """Whether a question that asks for everything would have an answer."""
        try:
            return bool(sets(self.root, self.commit(), Wanted()))
        except Problems:
            return False

    def commit(self) -> str:
        """The commit that the revision names now. Raises Problems CF025, CF026."""
        git.check_ref(self.revision)
        return commits.resolve(self.root, self.revision)


def _error(status: int, text: str) -> Page:
    return Page(status, JSON, json.dumps({"error": text}))


def serve(root: str, revision: str, token: str, host: str, port: int) -> int:
    """Answer until SIGTERM or SIGINT; the exit code. Raises UsageError where it can't listen."""
    answers = Answers(root, revision, token)
    answers.commit()  # before anybody asks: a wrong revision ends here
    figures = Figure(
        "counter", "canaryfleet_generator_requests_total", "Questions of Argo CD, by status.", ("status",)
    )

    def execute(request: Request) -> Page:
        page = answers.execute(request)
        figures.add(str(page.status))
        return page

    pages = {
        "/healthz": lambda _: yes(True, ""),
        "/readyz": lambda _: yes(answers.ready(), "there is no commit to answer from"),
        "/metrics": lambda _: Page(200, exposition.CONTENT_TYPE, exposition.text([figures])),
    }
    try:
        server = Server(host, port, pages, {PATH: execute})
    except OSError as error:
        raise UsageError(f"can't listen on {host or '*'}:{port}: {os.strerror(error.errno or 0)}") from None
    return _until_told(server)


def _until_told(server: Server) -> int:
    told = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, told)  # for every thread that is begun from here
    try:
        threading.Thread(target=server.serve_forever, name="canaryfleet-http", daemon=True).start()
        print(f"listening on port {server.server_port}", file=sys.stderr, flush=True)
        signal.sigwait(told)
        server.shutdown()
    finally:
        server.server_close()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return EXIT_OK
