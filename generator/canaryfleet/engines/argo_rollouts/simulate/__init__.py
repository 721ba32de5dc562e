"""A simulated cluster: what happens to it by a script, and the raw objects that it answers with at a time.

A function of script and time alone, so that the same is seen whenever one looks. The objects are those of
the real controller in shape; the overlay's own Rollout, AnalysisTemplates and bake are what it works on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from canaryfleet.digest import digest
from canaryfleet.engines.argo_rollouts.simulate.analyses import Mood, Raw, stamp
from canaryfleet.engines.argo_rollouts.simulate.controller import HASH, Behaviour, World
from canaryfleet.models.observation import Look, Problem, ProblemKind, Read, Sighting

Act = Literal[
    "apply",  # Git's objects are synced
    "prune",  # objects that are no longer in Git are deleted
    "delete",  # the Rollout is deleted, with all that it owns
    "resume", "abort", "retry", "promote",  # what a person does with kubectl argo rollouts
    "pause", "unpause",  # spec.paused
    "terminate",  # somebody ends the run of a step
    "collect",  # AnalysisRuns are garbage-collected
    "stop", "start",  # the controller is down, and comes back
]  # fmt: skip


class Event(NamedTuple):
    """Something that happens to the app; `objects`: of `apply` and `prune`."""

    at: datetime
    act: Act
    objects: Sequence[Raw] = ()


class Trouble(NamedTuple):
    """A time in which the cluster can't be read, and how that shows."""

    begin: datetime
    end: datetime
    kind: ProblemKind = "unreachable"


class Script(NamedTuple):
    """One app on one cluster: what happens, and how each version behaves, by its pod digest."""

    cluster: str
    app: str
    namespace: str
    events: Sequence[Event] = ()
    behaviours: Mapping[str, Behaviour] = {}
    troubles: Sequence[Trouble] = ()
    uid: str | None = None

    @property
    def identity(self) -> str:
        """The UID of its kube-system."""
        return self.uid or digest(["kube-system", self.cluster])[:36]


def replay(script: Script, at: datetime) -> World:
    """The cluster as it is at a moment."""
    world = World(script.identity, script.behaviours)
    for event in sorted(script.events, key=lambda event: event.at):
        if event.at > at:
            break
        world.advance(event.at)
        act(world, event)
    world.advance(at)
    return world


def act(world: World, event: Event) -> None:
    """Let something happen to a cluster, at its own time."""
    match event.act:
        case "apply":
            world.apply(event.objects)
        case "prune":
            world.prune(event.objects)
        case "delete":
            world.rollout = None
            world.sets, world.removal = {}, {}
            world.runs = {
                name: run for name, run in world.runs.items() if "ownerReferences" not in run["metadata"]
            }
        case "collect":
            world.gone |= set(world.runs)
            world.runs = {}
        case "stop" | "start":
            world.running = event.act == "start"
        case "pause" | "unpause":
            assert world.rollout is not None
            world.rollout["spec"] = world.rollout["spec"] | {"paused": event.act == "pause"}
            world.rollout["metadata"]["generation"] += 1
        case "resume" | "abort" | "retry" | "promote" | "terminate":
            getattr(world, event.act)()
    world.poke()


def sight(script: Script, reads: Sequence[Read], at: datetime) -> Sighting:
    """What a source sees of the cluster at a moment."""
    trouble = next((item for item in script.troubles if item.begin <= at < item.end), None)
    if trouble is not None:
        problem = Problem(kind=trouble.kind, message="simulated", remedy="wait, or change the script")
        return Sighting(cluster=script.cluster, source="simulation", began=at, ended=at, problem=problem)
    look = Look(app=script.app, namespace=script.namespace, answers=answers(script, reads, at))
    return Sighting(
        cluster=script.cluster,
        source="simulation",
        began=at,
        ended=at,
        identity=script.identity,
        apps=(look,),
    )


def answers(script: Script, reads: Sequence[Read], at: datetime) -> dict[str, Raw]:
    """The raw answers of the API server, by the names of the reads."""
    world = replay(script, at)
    return {read.name: _answer(world, read) for read in reads}


def _answer(world: World, read: Read) -> Raw:
    version = {"resourceVersion": str(world.version + 1)}
    if read.resource == "rollouts":
        found = world.rollout
        if found is None or found["metadata"]["name"] != read.object:
            return _absent(read)
        return _shown(found, version)
    items = {"replicasets": _sets, "analysisruns": _runs, "pods": _pods}[read.resource](world)
    kind = {"replicasets": "ReplicaSetList", "analysisruns": "AnalysisRunList", "pods": "PodList"}[
        read.resource
    ]
    group = f"{read.group}/{read.version}" if read.group else read.version
    chosen = [_shown(item, version) for item in items if _selected(item, read.labels)]
    return {"kind": kind, "apiVersion": group, "metadata": version, "items": chosen}


def objects(world: World) -> Iterator[Raw]:
    """All objects of the app as the API server has them, the Rollout last: the controller writes it so."""
    argo, found = "argoproj.io/v1alpha1", [world.rollout] if world.rollout else []
    every = (("apps/v1", "ReplicaSet", _sets(world)), (argo, "AnalysisRun", _runs(world)))
    for version, kind, items in (*every, ("v1", "Pod", _pods(world)), (argo, "Rollout", found)):
        for item in items:
            yield {"apiVersion": version, "kind": kind} | _shown(item, {"resourceVersion": "1"})


def _absent(read: Read) -> Raw:
    message = f'{read.resource}.{read.group} "{read.object}" not found'
    details = {"name": read.object, "group": read.group, "kind": read.resource}
    head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return head | {"message": message, "reason": "NotFound", "details": details, "code": 404}


def _shown(item: Raw, version: Raw) -> Raw:
    """An object as the API server gives it: without what the simulation keeps with it."""
    own = {"metadata": item["metadata"] | version, "status": _public(item["status"])}
    return _public(item) | own


def _public(item: Raw) -> Raw:
    return {key: value for key, value in item.items() if not key.startswith("_")}


def _selected(item: Raw, selector: str) -> bool:
    labels = item["metadata"].get("labels", {})
    parts = [part.partition("=") for part in selector.split(",") if part]
    return all(key in labels and (not sign or labels[key] == value) for key, sign, value in parts)


def _sets(world: World) -> Iterable[Raw]:
    for hash_, item in world.sets.items():
        available, generation = world.available(hash_), item["metadata"]["generation"]
        status = {"replicas": item["spec"]["replicas"], "observedGeneration": generation}
        yield item | {"status": status | ({"availableReplicas": available} if available else {})}


def _runs(world: World) -> Iterable[Raw]:
    return world.runs.values()


def _pods(world: World) -> Iterable[Raw]:
    for hash_, item in world.sets.items():
        available = world.available(hash_)
        for index in range(item["spec"]["replicas"]):
            yield _pod(world, item, hash_, index, ready=index < available)


def _pod(world: World, item: Raw, hash_: str, index: int, *, ready: bool) -> Raw:
    stamped = item["spec"]["template"]["metadata"]
    how = world.behaviours.get(item["_pod"], Behaviour())
    name = f"{item['metadata']['name']}-{_suffix(hash_, index)}"
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": item["metadata"]["name"]}
    metadata = {
        "name": name,
        "namespace": item["metadata"]["namespace"],
        "uid": digest([world.uid, item["metadata"]["uid"], index])[:36],
        "creationTimestamp": item["metadata"]["creationTimestamp"],
        "labels": stamped["labels"] | {HASH: hash_},
        "annotations": stamped["annotations"],
        "ownerReferences": [owner | {"uid": item["metadata"]["uid"], "controller": True}],
    }
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    if how.unschedulable:
        conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
    return {
        "metadata": metadata,
        "status": {"conditions": conditions, "containerStatuses": _containers(world, item, how)},
    }


@lru_cache(maxsize=4096)
def _suffix(hash_: str, index: int) -> str:
    return digest([hash_, index])[:5]


def _containers(world: World, item: Raw, how: Behaviour) -> list[Raw]:
    """A crashing container is restarted after 10, 20, 40 seconds and so on, as the kubelet does."""
    name = item["spec"]["template"]["spec"]["containers"][0]["name"]
    if not how.crashes:
        return [{"name": name, "restartCount": 0, "state": {"running": {"startedAt": stamp(world.now)}}}]
    born = datetime.fromisoformat(item["metadata"]["creationTimestamp"])
    age, wait, restarts = world.now - born, timedelta(seconds=10), 0
    while age >= wait and restarts < 20:
        age, wait, restarts = age - wait, min(wait * 2, timedelta(minutes=5)), restarts + 1
    ended = {"exitCode": 1, "reason": "Error", "finishedAt": stamp(world.now - age)}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {"lastState": {"terminated": ended}} if restarts else {}
    return [{"name": name, "restartCount": restarts, "state": state} | last]


__all__ = [
    "Behaviour", "Event", "Mood", "Script", "Trouble", "World", "act", "answers", "objects", "replay", "sight",
]  # fmt: skip
