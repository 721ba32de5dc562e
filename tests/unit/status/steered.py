"""A recorded scenario done again on the simulated controller: the same objects, versions and acts of people.

What comes of it is a recording too, so that the same can be asked of both. A busy machine makes a real
controller slow, never a simulated one; so what people and Git did is done in the state in which they did it
(the same step and weight, the same runs in the same phases), not after as many seconds.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from recorded import whole

from canaryfleet.engines.argo_rollouts.simulate import Behaviour, Event, World, act, objects
from recordings import Event as Change
from recordings import Object, Recording, State

RELEASE = "canaryfleet.dev/release"
POD = "canaryfleet.dev/pod"
AT_ONCE = "at once"
TICK = timedelta(milliseconds=20)  # less than the simulation's own reaction: no state is passed over
REST = timedelta(seconds=90)  # afterwards: what has come to rest has to stay there
PATIENCE = timedelta(minutes=3)  # until then the simulation has to come to where somebody acted

# How the second version behaves; what is not here is good.
BEHAVIOURS: dict[str, Behaviour] = {
    "bad-aborted": Behaviour(mood="bad"),
    "bad-beside-bad": Behaviour(mood="badEverywhere"),
    "aborted-then-reverted": Behaviour(mood="bad"),
    "inconclusive": Behaviour(mood="between"),
    "too-few-samples": Behaviour(mood="few"),
    "promoted-in-full": Behaviour(mood="few"),
    "terminated-run": Behaviour(mood="few"),
    "metrics-out": Behaviour(mood="outage"),
    "crash": Behaviour(crashes=True),
    "never-ready": Behaviour(startup=3600),
    "unschedulable": Behaviour(unschedulable=True),
}


@dataclass(frozen=True)
class Deed:
    """What somebody did, and the state in which it was done."""

    what: str
    where: Any
    objects: tuple[Object, ...] = ()
    release: str = ""


@dataclass
class Seen:
    """The events of a simulated cluster."""

    app: str
    state: State = field(default_factory=dict)
    events: list[Change] = field(default_factory=list)

    def look(self, world: World, now: datetime) -> None:
        """Note what has changed."""
        found = {(one["kind"], one["metadata"]["name"]): one for one in objects(world)}
        for key, one in found.items():
            if self.state.get(key) != one:
                self.events.append(Change(now, "MODIFIED" if key in self.state else "ADDED", one))
        for key in self.state.keys() - found.keys():
            self.events.append(Change(now, "DELETED", self.state[key]))
        self.state = found


@cache
def simulated(scenario: str, version: str) -> Recording:
    """What the simulated controller does where the real one was recorded."""
    real = whole(scenario, version)
    now = real.events[0].at
    first, seen, applied = now, Seen(real.about["app"]), []
    behaviours = dict(_behaviours(real, scenario))
    world = World(real.about["identity"], behaviours)
    for deed in deeds(real):
        give_up = now + PATIENCE
        while deed.where not in (AT_ONCE, where(seen.state, seen.app)):
            assert now < give_up, f"{deed.what}: never in {deed.where}, but in {where(seen.state, seen.app)}"
            now = _tick(world, seen, now)
        now = _tick(world, seen, now)  # what led to it is seen before it
        if deed.what == "worsen":
            behaviours[deed.release] = Behaviour(mood="bad")
        else:
            act(world, Event(now, deed.what, deed.objects))  # type: ignore[arg-type]
        if deed.what == "apply":
            applied.append({"at": now.isoformat(), "release": deed.release})
        seen.look(world, now)
    end = max(now, first + (real.events[-1].at - real.events[0].at)) + REST
    while now < end:
        now = _tick(world, seen, now)
    return Recording(real.about | {"applied": applied}, tuple(seen.events))


def _tick(world: World, seen: Seen, now: datetime) -> datetime:
    version = world.version
    world.advance(now + TICK)
    if world.version != version:
        seen.look(world, now + TICK)
    return now + TICK


def _behaviours(real: Recording, scenario: str) -> dict[str, Behaviour]:
    """By pod digest; the pods of a rig are ready at once."""
    cluster = real.about["cluster"]
    found = {real.release(id).clusters[cluster].pod: Behaviour(startup=0) for id in real.about["releases"]}
    second = real.release(real.about["applied"][min(1, len(real.about["applied"]) - 1)]["release"])
    how = BEHAVIOURS.get(scenario, Behaviour())
    found[second.clusters[cluster].pod] = how._replace(startup=how.startup if how.startup > 60 else 0)
    return found


# ---- what people and Git did --------------------------------------------------------------------


def deeds(real: Recording) -> Iterator[Deed]:
    """What was done to a recorded cluster, read from what changed: a label, or a field of a person."""
    before: State = {}
    for event, state in real.states():
        if event.object["kind"] == "AnalysisRun":
            yield from _of_run(real, event, before)
        elif event.object["kind"] == "Rollout":
            yield from _of_rollout(real, event.object, before)
        before = state


def _of_run(real: Recording, event: Change, before: State) -> Iterator[Deed]:
    """A bake that Git has no more, a version that has become bad, a run that somebody has ended."""
    app, run = real.about["app"], event.object
    old = before.get((run["kind"], run["metadata"]["name"]))
    if old is None:
        return
    if event.type == "DELETED":
        # in one sync the old bake goes before the new release comes, or after it
        still = _release(before["Rollout", app]) == _release(run)
        yield Deed("prune", where(before, app) if still else AT_ONCE, (run,))
    if "ownerReferences" not in run["metadata"] and _phase(run) == "Failed" != _phase(old):
        pod = next(item["value"] for item in run["spec"]["args"] if item["name"] == "revision")
        yield Deed("worsen", where(before, app), release=pod)
    if _by_a_person(run) and not _by_a_person(old):
        yield Deed("terminate", where(before, app))


def _of_rollout(real: Recording, rollout: Object, before: State) -> Iterator[Deed]:
    """Another release, templates that Git has no more, and what a person wrote into the status."""
    app = real.about["app"]
    old = before.get(("Rollout", app))
    if old is None or _release(old) != _release(rollout):
        there = where(before, app) if old else None
        yield Deed("apply", there, tuple(_applied(real, rollout)), _release(rollout))
    if old is None:
        return
    # before a release has begun its templates may come after it: that is the sync, and soon over
    if _begun(before, old) and _invalid(rollout) and not _invalid(old):
        templates = [one for one in _applied(real, old) if one["kind"] == "AnalysisTemplate"]
        yield Deed("prune", where(before, app), tuple(templates))
    for what, done in ACTS.items():
        if done(rollout) and not done(old):
            yield Deed(what, where(_promoted(real) if what == "promote" else before, app))


def _release(one: Object) -> str:
    return str(one["metadata"]["labels"].get(RELEASE))


def _by_a_person(run: Object) -> bool:
    """The controller itself ends a run of a step only with the whole rollout."""
    step = run["metadata"]["labels"].get("rollout-type") == "Step"
    return step and bool(run["spec"].get("terminate"))


def _promoted(real: Recording) -> State:
    """Where somebody promoted who had seen 20 %: the pause of that step came 0.1 s later, and lasted."""
    key = "Rollout", real.about["app"]
    statuses = ((state, state[key].get("status", {})) for _, state in real.states() if key in state)
    return next(
        state for state, status in statuses if status.get("promoteFull") and status.get("pauseConditions")
    )


def _begun(state: State, rollout: Object) -> bool:
    """Whether what is rolled out is what the Rollout asks for."""
    name = f"{rollout['metadata']['name']}-{rollout.get('status', {}).get('currentPodHash')}"
    current = state.get(("ReplicaSet", name), rollout)
    return _pod(current) == _pod(rollout) and current is not rollout


def _pod(one: Object) -> Any:
    return one["spec"]["template"]["metadata"]["annotations"].get(POD)


def _invalid(rollout: Object) -> bool:
    """What it names is not there: the templates were pruned, which are not recorded themselves."""
    conditions = rollout.get("status", {}).get("conditions") or []
    return any(item["type"] == "InvalidSpec" and item["status"] == "True" for item in conditions)


def _by_hand(one: Object) -> bool:
    status = one.get("status", {})
    return bool(status.get("abort")) and not status.get("abortedAt")


ACTS: dict[str, Callable[[Object], Any]] = {
    "abort": _by_hand,
    "promote": lambda one: one.get("status", {}).get("promoteFull"),
}


KINDS = ("Background", "Step", "PrePromotion", "PostPromotion")


def _applied(real: Recording, rollout: Object) -> Iterator[Object]:
    """The objects of a release as Git had them, from what the API server had of them."""
    release, made = rollout["metadata"]["labels"][RELEASE], set[str]()
    last: State = {}
    for _, state in real.states():
        last |= {key: one for key, one in state.items() if key[0] == "AnalysisRun"}
    for run in last.values():
        labels = run["metadata"]["labels"]
        if labels.get(RELEASE) != release:
            continue
        kind = labels.get("rollout-type")
        metadata = {key: run["metadata"][key] for key in ("name", "namespace", "labels")}
        spec = {key: value for key, value in run["spec"].items() if key != "terminate"}
        head = {"apiVersion": run["apiVersion"], "kind": "AnalysisTemplate" if kind else "AnalysisRun"}
        name = _template(rollout, kind) if kind else run["metadata"]["name"]
        made.add(name)
        yield head | {"metadata": metadata | {"name": name}, "spec": spec}
    for name in {_template(rollout, kind) for kind in KINDS} - made - {""}:  # of which no run was made
        head = {"apiVersion": rollout["apiVersion"], "kind": "AnalysisTemplate"}
        yield head | {"metadata": {"name": name}, "spec": {"metrics": []}}
    yield _in_git(rollout)


def _in_git(rollout: Object) -> Object:
    """The Rollout without what the API server and the controller have added to it."""
    git: Object = json.loads(json.dumps({key: rollout[key] for key in ("apiVersion", "kind", "spec")}))
    for container in git["spec"]["template"]["spec"]["containers"]:
        if container.get("resources") == {}:  # the controller's own default, after the first reconcile
            del container["resources"]
    metadata = {key: rollout["metadata"][key] for key in ("name", "namespace", "labels")}
    annotations = {
        key: text
        for key, text in rollout["metadata"]["annotations"].items()
        if not key.startswith("rollout.")
    }
    return git | {"metadata": metadata | {"annotations": annotations}}


def _template(rollout: Object, kind: str) -> str:
    """The name of the template that a run of a kind was made from."""
    strategy = rollout["spec"]["strategy"]
    canary, blue = strategy.get("canary", {}), strategy.get("blueGreen", {})
    step = next((item["analysis"] for item in canary.get("steps", []) if "analysis" in item), None)
    used = {
        "Background": canary.get("analysis"),
        "Step": step,
        "PrePromotion": blue.get("prePromotionAnalysis"),
        "PostPromotion": blue.get("postPromotionAnalysis"),
    }[kind]
    return str(used["templates"][0]["templateName"]) if used else ""


def _phase(run: Object) -> str:
    return str(run.get("status", {}).get("phase", ""))


def where(state: State, app: str) -> Any:
    """Where a rollout stands, as far as somebody who acts then can tell."""
    rollout = state.get(("Rollout", app))
    if rollout is None:
        return None
    status, release = rollout.get("status", {}), rollout["metadata"]["labels"][RELEASE]
    weights = status.get("canary", {}).get("weights") or {}
    complete = status.get("stableRS") == status.get("currentPodHash")
    return {
        "complete": complete,
        "settled": complete and status.get("phase") != "Progressing",
        "step": status.get("currentStepIndex"),
        "weight": weights.get("canary", {}).get("weight"),
        "paused": [item["reason"] for item in status.get("pauseConditions") or []],
        "aborted": bool(status.get("abort")),
        "invalid": _invalid(rollout),
        "runs": sorted(
            (run["metadata"]["labels"].get("rollout-type", ""), _phase(run))
            for (kind, _), run in state.items()
            if kind == "AnalysisRun" and run["metadata"]["labels"].get(RELEASE) == release
        ),
    }
