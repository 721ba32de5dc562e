"""Snapshots: sightings in a file, for a report of a bug, a trial, or a cluster that pushes them.

What stands in a sighting is written as it is: whoever records lets the engine reduce it first, so
that no secret is in it (`engines/argo_rollouts/reduce.py`). A file may come from anywhere: reading
trusts nothing in it, and whatever is wrong becomes a `Problem` of the clusters that it is about.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Literal, NoReturn, TypeVar

import msgspec

from canaryfleet.errors import Problems, one_line
from canaryfleet.files import Changes, Tree, apply
from canaryfleet.models.base import API_VERSION, ApiVersion, to_json
from canaryfleet.models.observation import Look, Problem, ProblemKind, Sighting, SourceKind
from canaryfleet.sources import Target, unseen

M = TypeVar("M")
LARGEST = 256 << 20
"""Bytes of a file; a thousand reduced clusters take about a twentieth."""
REFUSED = (msgspec.MsgspecError, RecursionError, ValueError)
"""What msgspec raises for bytes that are no JSON, too deep, or of another form."""


class Refused(Exception):
    """A snapshot that can't be used, with the reason."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


class Recording:
    """Sightings on their way into a file: as bytes, since those of a large fleet are large."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def add(self, sighting: Sighting) -> None:
        """Keep one more."""
        self._lines.append(to_json(sighting))

    def write(self, path: str) -> None:
        """Write all, or nothing; raises Problems (CF011, CF013, CF014)."""
        folder, name = os.path.split(os.path.abspath(path))
        apply(folder, Changes({name: self.data()}))

    def data(self) -> bytes:
        """The bytes of a snapshot: one sighting a line, so that a difference can be read."""
        head = f'{{"apiVersion":"{API_VERSION}","kind":"Snapshot","sightings":[\n'
        return head.encode() + b",\n".join(self._lines) + b"\n]}\n"


def encode(sightings: Iterable[Sighting]) -> bytes:
    """The bytes of a snapshot."""
    recording = Recording()
    for sighting in sightings:
        recording.add(sighting)
    return recording.data()


Held = dict[str, list[msgspec.Raw]]
"""The sightings of a snapshot by cluster, not yet read; a hostile one has several of the same."""


class _Outside(msgspec.Struct, forbid_unknown_fields=True):
    """A snapshot of which each sighting is read when it is asked for."""

    apiVersion: ApiVersion
    kind: Literal["Snapshot"]
    sightings: list[msgspec.Raw]


class _Named(msgspec.Struct):
    """Whose sighting it is."""

    cluster: str


def decode(data: bytes) -> Held:
    """The sightings of the snapshot in `data`; raises Refused (unparsable)."""
    held: Held = {}
    for raw in _read(data, _Outside).sightings:
        held.setdefault(_read(raw, _Named).cluster, []).append(raw)
    return held


def sightings(held: Held, cluster: str) -> list[Sighting]:
    """All that a snapshot has of a cluster; raises Refused (unparsable)."""
    return [_read(raw, Sighting) for raw in held.get(cluster, ())]


def _read(data: bytes | msgspec.Raw, model: type[M]) -> M:
    try:
        return msgspec.json.decode(data, type=model)
    except REFUSED as error:
        _refuse("unparsable", f"this is no snapshot: {error}", "record it again")


def pick(held: Held, target: Target, source: SourceKind = "snapshot") -> Sighting:
    """What a snapshot says of one cluster, with a look for each app that is asked for.

    Raises Refused: missing (it is not in there), unparsable (twice, or an end before its beginning),
    foreign (another cluster's identity).
    """
    name, uid = target.cluster.metadata.name, target.cluster.uid
    found = sightings(held, name)
    if not found:
        _refuse("missing", f"there is nothing of {name} in the snapshot", "record one in which it is read")
    if len(found) > 1:
        _refuse("unparsable", f"the snapshot has {name} {len(found)} times", "record it again")
    sighting = found[0]
    if sighting.ended < sighting.began:
        _refuse("unparsable", "the snapshot ends before it begins", "record it again")
    if uid and sighting.problem is None and sighting.identity != uid:
        _refuse(
            "foreign",
            f"the snapshot is of the cluster {sighting.identity}, and {name} is {uid}",
            f"record the right cluster, or correct `uid` in clusters/{name}.yaml",
        )
    looks = {look.app: look for look in sighting.apps}
    if len(looks) != len(sighting.apps):
        _refuse("unparsable", f"the snapshot has an app of {name} twice", "record it again")
    apps = tuple(
        looks.get(question.app) or _missing(question.app, question.namespace) for question in target.questions
    )
    return msgspec.structs.replace(sighting, source=source, apps=() if sighting.problem else apps)


def _missing(app: str, namespace: str) -> Look:
    what = f"there is nothing of {app} in the snapshot"
    remedy = "whoever records has to read the repository in which the app is on this cluster"
    return Look(app=app, namespace=namespace, problem=Problem(kind="missing", message=what, remedy=remedy))


def _refuse(kind: ProblemKind, message: str, remedy: str) -> NoReturn:
    raise Refused(Problem(kind=kind, message=one_line(message), remedy=remedy))


class Recorded:
    """A source that reads files: `access.snapshot` of each cluster, or one file for all.

    What it says is as old as the recording: it is judged at its own time, and never stale.
    """

    def __init__(self, root: str, path: str | None = None) -> None:
        self._root, self._path = root, path

    @classmethod
    def of_file(cls, path: str) -> "Recorded":
        """One file, anywhere, that has all clusters."""
        return cls(*os.path.split(os.path.abspath(path)))

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        """One sighting for each target; a file needs no limit of time."""
        read: dict[str, Held | Problem] = {}
        for target in targets:
            access = target.cluster.access
            path = self._path or (access and access.snapshot) or ""
            if path not in read:
                read = {path: self._read(path)}  # the others are not needed any more
            held = read[path]
            try:
                found = unseen(target, "snapshot", held) if isinstance(held, Problem) else pick(held, target)
            except Refused as refused:
                found = unseen(target, "snapshot", refused.problem)
            yield found

    def _read(self, path: str) -> Held | Problem:
        try:
            return decode(Tree(self._root, LARGEST).read(path))
        except Refused as refused:
            return refused.problem
        except Problems as problems:
            return _unread(problems)


def _unread(problems: Problems) -> Problem:
    finding = problems.findings[0]
    kind: ProblemKind = "missing" if finding.code == "CF010" else "misconfigured"
    message = f"{finding.place.file}: {finding.message}"
    return Problem(kind=kind, message=message, remedy=finding.remedy or "name a snapshot that can be read")
