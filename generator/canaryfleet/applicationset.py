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
from collections.abc import Collection
from typing import Any, NamedTuple

from canaryfleet import after, commits, exposition, git, plugin, repo, syntax
from canaryfleet.errors import EXIT_OK, Place, Problems, UsageError, one_line, problem
from canaryfleet.exposition import Figure
from canaryfleet.generated import load
from canaryfleet.manifests import overlay_folder
from canaryfleet.web import Page, Request, Server, yes

PATH = "/api/v1/getparams.execute"
JSON = "application/json"
FILTERS = ("app", "cluster")
LARGEST = 1 << 24  # bytes of a release.yaml
Sets = tuple[dict[str, str], ...]


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
        given = _map(_map(json.loads(body), "input"), "parameters")
        filters = {name: _names(value) for name, value in given.items()}
    except (ValueError, TypeError, RecursionError):
        raise Unusable("the body has no parameters that are names or lists of names") from None
    if unknown := filters.keys() - set(FILTERS):
        raise Unusable(f"{one_line(', '.join(sorted(unknown)))}: the parameters are {' and '.join(FILTERS)}")
    return Wanted(**filters)


def _map(value: Any, key: str) -> dict[str, Any]:
    """What stands below a key; what is left out, or null, is empty."""
    if not isinstance(value, dict):
        raise TypeError
    found = value.get(key)
    if not isinstance(found, dict | None):
        raise TypeError
    return found or {}


def _names(value: Any) -> frozenset[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise TypeError
    return frozenset(names)


def sets(root: str, commit: str) -> Sets:
    """app, cluster, destination, namespace, path, release and version of every overlay of a commit.

    By a fixed number of calls of git. Raises Problems: CF025 git failed, CF163 what is no release, CF164 and CF165 an
    overlay that points nowhere, CF166 a cluster without its file, CF148 two clusters with one destination.
    """
    pointed = [
        (app, cluster, _release(there, app, cluster))
        for app, there in sorted(after.every(root, commit).items())
        for cluster in sorted(there.pointers)
    ]
    about = _releases(root, commit, {(app, release) for app, _, release in pointed})
    known_as = _destinations(root, commit, {cluster for _, cluster, _ in pointed})
    return tuple(
        {
            "app": app,
            "cluster": cluster,
            "destination": known_as[cluster],
            "namespace": about[app, release].namespace,
            "path": overlay_folder(app, cluster),
            "release": release,
            "version": about[app, release].version,
        }
        for app, cluster, release in pointed
    )


def _release(there: after.After, app: str, cluster: str) -> str:
    pointer, place = there.pointers[cluster], Place(overlay_folder(app, cluster))
    if not (plugin.NAME.fullmatch(app) and plugin.NAME.fullmatch(cluster)):
        raise problem(place, "CF160", "canaryfleet did not write this: it is named as no app on a cluster is")
    if pointer is None:
        raise problem(place, "CF164", "this overlay points at no release")
    if pointer.release not in there.releases:
        raise problem(place, "CF165", f"there is no release {pointer.release}")
    return pointer.release


class Release(NamedTuple):
    """What a generator is told of a release."""

    namespace: str
    version: str


def _releases(root: str, commit: str, named: Collection[tuple[str, str]]) -> dict[tuple[str, str], Release]:
    """Of each app and release, what its release.yaml says."""
    paths = {which: f"{repo.OVERLAYS}/{which[0]}/releases/{which[1]}/release.yaml" for which in named}
    found = git.blobs(root, (f"{commit}:./{path}" for path in paths.values()), LARGEST)
    return {which: _about(found.get(f"{commit}:./{path}"), path) for which, path in paths.items()}


def _about(data: bytes | None, path: str) -> Release:
    found = load(data, path) if data is not None else None
    match found:
        case {"version": str(version), "metadata": {"namespace": str(namespace)}} if version and namespace:
            return Release(namespace, version)
    raise problem(Place(path), "CF163", "this is no release that canaryfleet wrote")


def _destinations(root: str, commit: str, clusters: Collection[str]) -> dict[str, str]:
    """What Argo CD calls each cluster: its own name, or the one that its file gives it there."""
    paths = {cluster: f"{repo.CLUSTERS}/{cluster}.yaml" for cluster in clusters}
    found = git.blobs(root, (f"{commit}:./{path}" for path in paths.values()), LARGEST)
    known_as: dict[str, str] = {}  # the cluster by its destination
    for cluster, path in sorted(paths.items()):
        name = _destination(found.get(f"{commit}:./{path}"), path, cluster)
        if (other := known_as.setdefault(name, cluster)) != cluster:
            text = f"{cluster} and {other} have the same name in Argo CD, {name}"
            raise problem(Place(path), "CF148", text)
    return {cluster: name for name, cluster in known_as.items()}


def _destination(data: bytes | None, path: str, cluster: str) -> str:
    found = syntax.load(data, path) if data is not None else None
    match found:
        case {"argocd": {"name": str(name)}} if name:
            return name
        case {"kind": "Cluster", **rest} if "argocd" not in rest:
            return cluster
    raise problem(Place(path), "CF166", f"an overlay is there of {cluster}, and no cluster of that name")


def chosen(found: Sets, wanted: Wanted) -> Sets:
    """Those that are asked for. Every name that is asked for is one of theirs: else somebody's Applications would go.

    Raises Problems CF191.
    """
    kept = tuple(
        one
        for one in found
        if all(names is None or one[name] in names for name, names in wanted._asdict().items())
    )
    asked_for = {f"{name} {word}" for name, names in wanted._asdict().items() for word in names or ()}
    there = {f"{name} {one[name]}" for one in kept for name in FILTERS}
    if missing := sorted(asked_for - there):
        text = f"no overlay is there of what is asked for: {', '.join(missing)}"
        raise problem(Place(repo.OVERLAYS), "CF191", text)
    if not kept:
        raise problem(Place(repo.OVERLAYS), "CF191", "there is no app on any cluster")
    return kept


class Answers:
    """Answers the generator's questions from a clone: of one commit each time, which `revision` names."""

    def __init__(self, root: str, revision: str, token: str) -> None:
        self._root, self._revision = root, revision
        self._expected = f"Bearer {token}".encode()
        self._lock = threading.Lock()  # many may ask at once, and read what is new together
        self._known: tuple[str, Sets] = ("", ())

    def execute(self, request: Request) -> Page:
        """200 with at least one set, or an error: 401, 400, or 503 where the repository is in doubt."""
        if not hmac.compare_digest(request.authorization.encode(errors="replace"), self._expected):
            return _error(401, "the token is not the right one")
        try:
            wanted = asked(request.body)
            found = chosen(self._sets(), wanted)
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
            return bool(self._sets())
        except Problems:
            return False

    def commit(self) -> str:
        """The commit that the revision names now. Raises Problems CF025, CF026."""
        git.check_ref(self._revision)
        return commits.resolve(self._root, self._revision)

    def _sets(self) -> Sets:
        """What the revision's commit has; a commit is read once. What failed is tried again by who asks next."""
        with self._lock:
            commit = self.commit()
            if self._known[0] != commit:
                self._known = commit, sets(self._root, commit)
            return self._known[1]


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
