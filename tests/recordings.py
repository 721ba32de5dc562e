"""Recordings of what real controllers did: tests/e2e writes them (`--record`), unit tests replay them.

A recording is everything that was seen of one app's Rollout, ReplicaSets, AnalysisRuns and pods, in the
order in which the API server stored it. The first event of an object has all of it, later ones only what
changed, so that a file stays small and its differences can be read.
"""

import copy
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from canaryfleet.engines.argo_rollouts.observe import reads
from canaryfleet.models.observation import Look, Read, Sighting, Subject
from canaryfleet.models.release import Release

Object = dict[str, Any]
State = dict[tuple[str, str], Object]
"""The objects as they are at one moment, by kind and name."""
Change = list[Any]
"""`[path]`: the field is gone; `[path, value]`: it has this value now; behind the end of a list: it is added."""
LISTS = {"replicasets": "ReplicaSet", "analysisruns": "AnalysisRun", "pods": "Pod"}


@dataclass(frozen=True)
class Event:
    """An object as it became; after DELETED it is gone. `at`: by the clock of who watched."""

    at: datetime
    type: str
    object: Object


@dataclass(frozen=True)
class Recording:
    """One scenario. `about`: all but the events.

    - `scenario`, `what` (in words), `argoRollouts`, `kubernetes`: versions
    - `app`, `namespace`, `cluster` (its name in the releases), `identity` (UID of kube-system)
    - `releases`: the frozen `release.yaml` of each release, by id
    - `applied`: when which release was applied, `[{at, release}]`
    """

    about: Object
    events: tuple[Event, ...]

    def states(self) -> Iterator[tuple[Event, State]]:
        """After each event: what happened, and all objects as they are then."""
        state: State = {}
        for event in self.events:
            key = event.object["kind"], event.object["metadata"]["name"]
            state = {name: one for name, one in state.items() if name != key}
            if event.type != "DELETED":
                state[key] = event.object
            yield event, state

    def release(self, id: str) -> Release:
        """A release that Git had."""
        return _release(msgspec.json.encode(self.about["releases"][id]))

    def subject(self, release: Release) -> Subject:
        """What is asked about the app when Git has a release."""
        about, selector = self.about, release.selector
        return Subject(app=about["app"], namespace=about["namespace"], release=release.id, selector=selector)

    def sighting(self, subject: Subject, state: State, at: datetime) -> Sighting:
        """What a source sees that asks in a state, and has all answers at once."""
        answers = {read.name: _answer(read, state) for read in reads(subject)}
        look = Look(app=subject.app, namespace=subject.namespace, answers=answers)
        return Sighting(
            cluster=self.about["cluster"], source="kubernetes", began=at, ended=at,
            identity=self.about["identity"], apps=(look,),
        )  # fmt: skip


def read(path: Path) -> Recording:
    """Read a recording."""
    about, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    return Recording(about, tuple(_decoded(lines)))


def last(path: Path) -> Object:
    """The last reading of a scenario as plain data: `release`, `subject`, and the one of `sightings`."""
    recording = read(path)
    *_, (event, state) = recording.states()
    release = recording.release(recording.about["applied"][-1]["release"])
    subject = recording.subject(release)
    found = {
        "release": recording.about["releases"][release.id],
        "subject": subject,
        "sightings": [recording.sighting(subject, state, event.at)],
    }
    plain: Object = msgspec.to_builtins(found)
    return plain


def write(path: Path, recording: Recording) -> None:
    """Write a recording: a line for what it is about, and one for each event."""
    lines = [recording.about, *_encoded(recording.events)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line, sort_keys=True, separators=(',', ':'))}\n" for line in lines))


def trimmed(one: Object) -> Object:
    """An object without `managedFields`."""
    return one | {"metadata": {k: v for k, v in one["metadata"].items() if k != "managedFields"}}


def _encoded(events: Iterable[Event]) -> Iterator[Object]:
    known: State = {}
    for event in events:
        key = event.object["kind"], event.object["metadata"]["name"]
        line: Object = {"at": event.at.isoformat(), "type": event.type}
        if key in known:
            line |= {"kind": key[0], "name": key[1], "changes": list(_changes(known[key], event.object, []))}
        else:
            line["object"] = event.object
        known[key] = event.object
        if event.type == "DELETED":
            del known[key]
        yield line


def _decoded(lines: Iterable[Object]) -> Iterator[Event]:
    known: State = {}
    for line in lines:
        if "object" in line:
            one = line["object"]
        else:
            one = copy.deepcopy(known[line["kind"], line["name"]])
            for change in line["changes"]:
                _apply(one, *change)
        known[one["kind"], one["metadata"]["name"]] = one
        yield Event(datetime.fromisoformat(line["at"]), line["type"], one)


def _changes(old: Any, new: Any, path: list[str | int]) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            if name not in new:
                yield [[*path, name]]
            elif name not in old:
                yield [[*path, name], new[name]]
            else:
                yield from _changes(old[name], new[name], [*path, name])
    elif isinstance(old, list) and isinstance(new, list) and len(old) <= len(new):
        for index, value in enumerate(new):
            if index >= len(old):
                yield [[*path, index], value]
            else:
                yield from _changes(old[index], value, [*path, index])
    elif old != new:
        yield [path, new]


def _apply(one: Any, path: list[str | int], *value: Any) -> None:
    *parents, last = path
    for parent in parents:
        one = one[parent]
    if not value:
        del one[last]
    elif isinstance(one, list) and last == len(one):
        one.append(value[0])
    else:
        one[last] = value[0]


@cache
def _release(text: bytes) -> Release:
    return msgspec.json.decode(text, type=Release)


def _answer(read: Read, state: State) -> Object:
    if read.object:
        found = state.get(("Rollout", read.object))
        return found if found is not None else _not_found(read)
    kind = LISTS[read.resource]
    items = [one for (which, _), one in state.items() if which == kind and _selected(one, read.labels)]
    head = {"apiVersion": items[0]["apiVersion"] if items else "v1", "kind": f"{kind}List"}
    return {**head, "metadata": {"resourceVersion": "1"}, "items": items}


def _selected(one: Object, selector: str) -> bool:
    labels: dict[str, Any] = one["metadata"].get("labels", {})
    pairs = [word.partition("=") for word in selector.split(",")]
    return all(name in labels and (not sign or labels[name] == value) for name, sign, value in pairs)


def _not_found(read: Read) -> Object:
    details = {"name": read.object, "group": read.group, "kind": read.resource}
    return {
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "reason": "NotFound",
        "message": f'{read.resource} "{read.object}" not found', "details": details, "code": 404,
    }  # fmt: skip
