"""A model of the Rollout controller: one transition after the other, in the order of the real one.

By rollout/sync.go, canary.go, bluegreen.go and analysis.go of v1.10.1 and what was watched (section G of
reference/argo-rollouts.md): a change is seen a moment later; a template and fewer replicas at once
read Healthy with the old hash; steps alone clear an abort and run again; an abort keeps its weight for a
moment; the stable template skips all steps; at the end the weight is 100 beside Healthy.

It is held equal to the real one by tests/unit/status/test_like_the_real_one.py. What it does not do: defaults
that the API server or the controller writes into a spec; requests that still go to the old version, for which
a bake waits; a sync whose objects come one by one; a person's promotion of a blue-green; `restartAt`.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from canaryfleet.digest import digest
from canaryfleet.engines.argo_rollouts.simulate.analyses import (
    Mood,
    Raw,
    begin,
    due,
    ended,
    measure,
    moment,
    next_due,
    stamp,
)
from canaryfleet.quantity import duration

REACTION = timedelta(milliseconds=40)  # between a state and the controller's answer to it
HASH = "rollouts-pod-template-hash"
REVISION = "rollout.argoproj.io/revision"
POD = "canaryfleet.dev/pod"
OLD_PODS = timedelta(seconds=30)  # scaleDownDelaySeconds, and after an abort


class Behaviour(NamedTuple):
    """How a version behaves: what is measured of it, from when on, and how its pods come up."""

    mood: Mood = "good"
    before: Mood = "good"
    since: float = 0  # seconds after its first pod; `before` is measured until then
    startup: float = 2  # seconds until a pod is available
    crashes: bool = False
    unschedulable: bool = False


USUAL = Behaviour()


class World:
    """One app on one cluster. `uid`: of its kube-system, from which all other UIDs are made.

    Of its objects only the outermost parts change, their metadata and their status; whatever is inside of
    these, and every spec, is replaced, never altered. So they share it with Git's objects, with each other
    and with what was read of them before. What begins with `_` is no part of an object or of its status.
    """

    def __init__(self, uid: str, behaviours: Mapping[str, Behaviour]) -> None:
        self.uid = uid
        self.behaviours = behaviours  # by pod digest
        self.now = datetime.min
        self.rollout: Raw | None = None
        self.templates: dict[str, Raw] = {}
        self.sets: dict[str, Raw] = {}  # by hash
        self.removal: dict[str, datetime] = {}  # when a set is scaled down
        self.runs: dict[str, Raw] = {}
        self.running = True  # the controller
        self.wake: datetime | None = None
        self.alarm: datetime | None = None  # when something is due that is no measurement
        self.settled = False  # a reconcile would change nothing before the alarm, or before a run ends
        self.version = 0
        self.lag = False  # a template and fewer replicas came at once
        self.late = False  # its replicas were seen, and its template not yet
        self.gone: set[str] = set()  # runs that were collected
        self.seen_available = 0
        self.progressed: datetime | None = None  # when pods last came or went; None while none are waited for

    # Time

    def advance(self, to: datetime) -> None:
        """Everything that happens until a moment, and at it."""
        while (time := self._next()) is not None and time <= to:
            self.now = time
            self._react()
        self.now = to

    def _next(self) -> datetime | None:
        """When something happens next; what is over already was seen when it happened."""
        times = [next_due(run) for run in self.runs.values()] if self.running else []
        later = [time for time in (*times, self.alarm) if time is not None and time > self.now]
        soon = [max(self.wake, self.now)] if self.wake and self.running else []
        return min((*soon, *later), default=None)

    def _alarm(self) -> datetime | None:
        times = [time for item in self.sets.values() for time in item["_ready"]]
        if self.running:
            times += [*self.removal.values(), *filter(None, [self._pause_until(), self._deadline()])]
        return min((time for time in times if time > self.now), default=None)

    def _react(self) -> None:
        """One transition, and another soon if there was one."""
        if self.alarm is not None and self.alarm <= self.now:
            self.settled = False
        settled, changed = self.settled, self.running and self._measure()
        if not self.settled:
            self._pass()
        if (
            self.running and not changed
        ):  # a run and the Rollout are written one after the other, in this order
            changed = not self.settled and self._reconcile()
        if not settled or not self.settled:
            self.alarm = self._alarm()
        self.version += 1
        # Nothing follows where the Rollout has nothing to do: what is measured is nothing to it.
        self.wake = self.now + REACTION if changed and not self.settled else None

    def _measure(self) -> bool:
        """Whether a run has changed; what it measures is nothing to the Rollout, how it ends is."""
        runs = [run for run in self.runs.values() if due(run, self.now)]
        changed = [measure(run, self.now, self._mood(run)) for run in runs]
        self.settled = self.settled and not any(map(ended, runs))
        return any(changed)

    def _pass(self) -> None:
        """What time does to the sets."""
        for item in self.sets.values():
            item["_ready"] = [time for time in item["_ready"] if time > self.now]
        for hash_, time in [*self.removal.items()] if self.running else []:
            if time <= self.now:
                del self.removal[hash_]
                self._resize(hash_, 0)

    def poke(self) -> None:
        """Something changed from outside: the controller hears of it."""
        self.version += 1
        self.wake = self.now + REACTION
        self.settled, self.alarm = False, self._alarm()

    # What people and Git do

    def apply(self, objects: Iterable[Raw]) -> None:
        """A sync of an overlay's objects, server-side."""
        for item in objects:
            name = item["metadata"]["name"]
            if item["kind"] == "AnalysisTemplate":
                self.templates[name] = item
            elif item["kind"] == "AnalysisRun" and name not in self.runs:
                self.runs[name] = begin(self._new(item), item["spec"], self.now)
            elif item["kind"] == "Rollout":
                self._apply_rollout(item)
        self.poke()

    def prune(self, objects: Iterable[Raw]) -> None:
        """Deletes AnalysisTemplates and AnalysisRuns."""
        for item in objects:
            kept = self.templates if item["kind"] == "AnalysisTemplate" else self.runs
            kept.pop(item["metadata"]["name"], None)

    def _apply_rollout(self, item: Raw) -> None:
        spec = item["spec"] | {"replicas": item["spec"].get("replicas", 1)}
        if self.rollout is None:
            self.rollout = self._new(item) | {"spec": spec, "status": {}}
            _annotate(self.rollout, {REVISION: "0"})
            return
        metadata, old = self.rollout["metadata"], self.rollout["spec"]
        metadata["labels"] = item["metadata"].get("labels", {})
        _annotate(self.rollout, item["metadata"].get("annotations", {}))
        if spec != old:
            metadata["generation"] += 1
            self.lag = spec["template"] != old["template"] and spec["replicas"] < old["replicas"]
            self.rollout["spec"] = spec

    def _new(self, item: Raw) -> Raw:
        metadata = item["metadata"] | {
            "uid": self._uid(item["kind"], item["metadata"]["name"]),
            "creationTimestamp": stamp(self.now),
            "generation": 1,
        }
        metadata.setdefault("annotations", {})
        return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata}

    def _uid(self, *words: str) -> str:
        text = digest([self.uid, stamp(self.now), *words])
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))

    # Reading

    @property
    def spec(self) -> Raw:
        """The Rollout's spec; there is one where this is asked."""
        found: Raw = self.rollout["spec"] if self.rollout else {}
        return found

    @property
    def status(self) -> Raw:
        """The Rollout's status, which the controller writes."""
        assert self.rollout is not None
        found: Raw = self.rollout["status"]
        return found

    @property
    def current(self) -> str:
        """The hash that is rolled out."""
        return str(self.status.get("currentPodHash", ""))

    @property
    def stable(self) -> str:
        """The hash that is stable."""
        return str(self.status.get("stableRS", ""))

    @property
    def steps(self) -> list[Raw]:
        """The steps of a canary."""
        found: list[Raw] = self.spec["strategy"].get("canary", {}).get("steps", [])
        return found

    @property
    def blue(self) -> Raw | None:
        """The blue-green strategy, if it is one."""
        found: Raw | None = self.spec["strategy"].get("blueGreen")
        return found

    def available(self, hash_: str) -> int:
        """How many pods of a version are available."""
        item = self.sets.get(hash_)
        if item is None or self._how(item).crashes or self._how(item).unschedulable:
            return 0
        return int(item["spec"]["replicas"]) - len(item["_ready"])

    def _how(self, item: Raw) -> Behaviour:
        return self.behaviours.get(item["_pod"], USUAL)

    def _mood(self, run: Raw) -> Mood:
        """What is measured of the version that a run asks for; a bake's query is empty before it has all traffic."""
        asked = next((arg["value"] for arg in run["spec"]["args"] if arg["name"] == "revision"), "")
        found = self.behaviours.get(asked, USUAL)
        item = next((one for one in self.sets.values() if one["_pod"] == asked), None)
        if item is None:
            return "few"
        serving = item["_serving"]
        if not run["metadata"].get("ownerReferences") and (serving is None or serving > self.now):
            return "few"
        born = moment(item["metadata"]["creationTimestamp"])
        return found.mood if self.now >= born + timedelta(seconds=found.since) else found.before

    # Reconcile: one transition a call

    def _reconcile(self) -> bool:
        if self.rollout is None:
            return False
        generation = str(self.rollout["metadata"]["generation"])
        if self.status.get("observedGeneration") != generation or self.lag or self.late:
            return self._observe(generation)
        before = self._state()
        if not self._missing():
            self._progress()
        self._write_status()
        self.settled = before == self._state()
        return not self.settled

    def _state(self) -> object:
        """All that a reconcile can change and that the next one goes by, to see whether it did."""
        sizes = [(hash_, item["spec"]["replicas"]) for hash_, item in self.sets.items()]
        return [*self.status.items()], sizes, len(self.runs)

    def _observe(self, generation: str) -> bool:
        """The controller sees a new spec."""
        status, hash_ = self.status, digest(self.spec["template"])[:10]
        status["observedGeneration"] = generation
        if self.lag:  # G: the replicas first, with everything else still of the old hash
            self.lag, self.late = False, True
            self._resize(self.stable, self.spec["replicas"])
            self._write_status()
            return True
        self.late = False
        changed = digest(self.steps)[:10]
        if hash_ != self.current:
            self._roll(hash_)
        elif status.get("currentStepHash") != changed and self.current != self.stable:
            self._reset(0)  # G: a change of the steps alone clears an abort and runs again
        elif self.current == self.stable:
            self._at_step(len(self.steps))
        if self.steps:
            status["currentStepHash"] = changed
        self._write_status()
        return True

    def _roll(self, hash_: str) -> None:
        """A new template: a new revision of its set, and steps from the start, unless it was there before."""
        assert self.rollout is not None
        revision = int(self.rollout["metadata"]["annotations"][REVISION]) + 1
        _annotate(self.rollout, {REVISION: str(revision)})
        known = self.sets.get(hash_)
        window = self.spec.get("rollbackWindow", {}).get("revisions", 0)
        recent = (
            known is not None and revision - int(known["metadata"]["annotations"][REVISION]) <= window + 1
        )
        back = hash_ == self.stable or (recent and known is not None and known["spec"]["replicas"] > 0)
        if known is None:
            self.sets[hash_] = self._set(hash_)
        _annotate(self.sets[hash_], {REVISION: str(revision)})
        self.removal.pop(hash_, None)
        old, self.status["currentPodHash"] = self.current, hash_
        if old and old not in (hash_, self.stable):
            self.removal[old] = self.now + OLD_PODS
        self._reset(len(self.steps) if back else 0)
        if not self.stable:  # the first deployment is stable at once, and nothing is analysed (D2)
            self.status["stableRS"] = hash_
            self._at_step(len(self.steps))

    def _reset(self, step: int) -> None:
        for key in ("abort", "abortedAt", "pauseConditions", "promoteFull", "controllerPause"):
            self.status.pop(key, None)
        self._at_step(step)
        self._cancel(self._mine())

    def _at_step(self, step: int) -> None:
        if self.steps:
            self.status["currentStepIndex"] = step

    def _set(self, hash_: str) -> Raw:
        assert self.rollout is not None
        template = self.spec["template"]
        stamped = template["metadata"]
        labels = stamped["labels"] | {HASH: hash_}
        metadata = {
            "name": f"{self.rollout['metadata']['name']}-{hash_}",
            "namespace": self.rollout["metadata"]["namespace"],
            "uid": self._uid("ReplicaSet", hash_),
            "creationTimestamp": stamp(self.now),
            "generation": 1,
            "labels": labels,
            "annotations": {REVISION: "0"},
            "ownerReferences": [self.owner()],
        }
        return {
            "metadata": metadata,
            "spec": {"replicas": 0, "template": template | {"metadata": stamped | {"labels": labels}}},
            "_ready": [],
            "_pod": stamped["annotations"].get(POD, ""),
            "_serving": None,
        }

    def owner(self) -> Raw:
        """The reference of what the Rollout controls."""
        assert self.rollout is not None
        metadata = self.rollout["metadata"]
        kind = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
        return kind | {
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def _resize(self, hash_: str, replicas: int) -> None:
        item = self.sets[hash_]
        more = replicas - item["spec"]["replicas"]
        if more:
            item["spec"] = item["spec"] | {"replicas": replicas}
            item["metadata"]["generation"] += 1
        late = self._how(item).startup + self.spec.get("minReadySeconds", 0)
        ready = self.now + timedelta(seconds=late)
        starting = [ready] * max(0, more) if late else []
        item["_ready"] = [*item["_ready"], *starting][:replicas]

    def _missing(self) -> list[str]:
        """Templates that the Rollout names and that are not there: it stays as it is until they are (D1, G)."""
        canary = self.spec["strategy"].get("canary", {})
        blue = self.blue or {}
        used = [canary.get("analysis"), *(step.get("analysis") for step in self.steps)]
        used += [blue.get("prePromotionAnalysis"), blue.get("postPromotionAnalysis")]
        names = [item["templateName"] for one in used if one for item in one["templates"]]
        return [name for name in names if name not in self.templates]

    def _progress(self) -> None:
        if self.current == self.stable:
            self._settle()
        elif self.status.get("abort"):
            self._aborted()
        elif self.blue is not None:
            self._blue_green(self.blue)
        else:
            self._canary()

    def _settle(self) -> None:
        """Stable: all pods, all traffic, and the others go after a while."""
        self._resize(self.current, self.spec["replicas"])
        for hash_, item in self.sets.items():
            if hash_ != self.current and item["spec"]["replicas"] and hash_ not in self.removal:
                self.removal[hash_] = self.now + OLD_PODS
        self._cancel(self._mine())
        if self.blue is not None:
            self.status["blueGreen"] = {"activeSelector": self.current, "previewSelector": self.current}
            self._serve()
        elif self.available(self.current) >= self.spec["replicas"] or self._weight() == 0:
            self._route(0)
            self._serve()

    def _serve(self) -> None:
        item = self.sets[self.current]
        item["_serving"] = item["_serving"] or self.now

    def _aborted(self) -> None:
        """First the status says so, with the weight still there (G); then the weight goes, then the pods."""
        if self.blue is not None:
            self.status["blueGreen"] = {"activeSelector": self.stable, "previewSelector": self.current}
        elif self._weight():
            self._route(0)
        self._at_step(0)
        self.removal.setdefault(self.current, self.now + OLD_PODS)
        self._cancel(self._mine())

    def _abort(self, why: str) -> None:
        self.status.update({"abort": True, "abortedAt": stamp(self.now), "_why": why})
        self.status.pop("pauseConditions", None)

    # Canary

    def _canary(self) -> None:
        index, steps = int(self.status.get("currentStepIndex", 0)), self.steps
        if self.status.get("promoteFull"):
            self.status.pop("pauseConditions", None)
        if self._background(index) or self.status.get("promoteFull"):
            index = len(steps) if self.status.get("promoteFull") else index
        if self.status.get("abort"):
            return
        self._resize(self.current, self._wanted(index))
        self._resize(self.stable, self.spec["replicas"])
        if self.available(self.current) < self.sets[self.current]["spec"]["replicas"]:
            return
        if index >= len(steps):
            self._finish()
        elif self._step(steps[index], index):
            self._drop("CanaryPauseStep")
            self.status["currentStepIndex"] = index + 1

    def _finish(self) -> None:
        """All pods, then all the traffic, and stable in the same moment: weight 100 beside Healthy (G)."""
        self._route(100)
        self.status.update({"stableRS": self.current, "currentStepIndex": len(self.steps)})
        self.status.pop("pauseConditions", None)
        self.status.pop("promoteFull", None)
        self._serve()

    def _wanted(self, index: int) -> int:
        """Canary pods at a step: an explicit scale, or as many as the weight takes."""
        replicas = int(self.spec["replicas"])
        if index >= len(self.steps):
            return replicas
        weight, scale = 0, None
        for step in self.steps[: index + 1]:
            weight = step.get("setWeight", weight)
            scale = step.get("setCanaryScale", scale)
        if scale and "replicas" in scale:
            return int(scale["replicas"])
        share = scale["weight"] if scale and "weight" in scale else weight
        least = self.spec["strategy"]["canary"].get("minPodsPerReplicaSet", 1)
        return max(math.ceil(replicas * share / 100), min(least, replicas)) if share else 0

    def _step(self, step: Raw, index: int) -> bool:
        """One step; whether it is over."""
        if "setWeight" in step:
            self._route(step["setWeight"])
        elif "pause" in step:
            return self._pause("CanaryPauseStep", step["pause"].get("duration"))
        elif "analysis" in step:
            return self._analysed(
                f"-{index}", step["analysis"], {"rollout-type": "Step", "step-index": str(index)}
            )
        return True

    def _background(self, index: int) -> bool:
        analysis = self.spec["strategy"]["canary"].get("analysis")
        if (
            analysis
            and index >= analysis.get("startingStep", 0)
            and not self._paused("InconclusiveAnalysisRun")
        ):
            self._analysed("", analysis, {"rollout-type": "Background"})
        return bool(analysis)

    def _weight(self) -> int:
        weights = self.status.get("canary", {}).get("weights")
        return int(weights["canary"]["weight"]) if weights else 0

    def _route(self, weight: int) -> None:
        service = self.spec["strategy"]["canary"].get("stableService", "")
        self.status["canary"] = {
            "weights": {
                "canary": {"podTemplateHash": self.current, "weight": weight},
                "stable": {"podTemplateHash": self.stable, "serviceName": service, "weight": 100 - weight},
            }
        }

    # Blue-green

    def _blue_green(self, blue: Raw) -> None:
        """Preview, its analysis, a pause, the switch, the analysis after it."""
        state = self.status.get("blueGreen", {"activeSelector": self.stable})
        self.status["blueGreen"] = state = state | {"previewSelector": self.current}
        switched = state["activeSelector"] == self.current
        preview = int(blue.get("previewReplicaCount") or self.spec["replicas"])
        ready = self.available(self.current) >= (
            preview if not self.status.get("_switching") else self.spec["replicas"]
        )
        if not switched and not self.status.get("_switching"):
            self._resize(self.current, preview)
            if not ready or not self._analysed(
                "-pre", blue.get("prePromotionAnalysis"), {"rollout-type": "PrePromotion"}
            ):
                return
            seconds = blue.get("autoPromotionSeconds") if blue.get("autoPromotionEnabled", True) else None
            if (seconds or not blue.get("autoPromotionEnabled", True)) and not self._pause(
                "BlueGreenPause", seconds
            ):
                return
            self._drop("BlueGreenPause")
            self.status["_switching"] = True
            self._resize(self.current, self.spec["replicas"])
        elif not switched and ready:
            self.status["blueGreen"] = state | {"activeSelector": self.current}
            self._serve()
        elif switched and self._analysed(
            "-post", blue.get("postPromotionAnalysis"), {"rollout-type": "PostPromotion"}
        ):
            self.status["stableRS"] = self.current
            self.status.pop("_switching", None)

    # Pauses

    def _paused(self, reason: str) -> Raw | None:
        found = self.status.get("pauseConditions", [])
        return next((item for item in found if item["reason"] == reason), None)

    def _pause(self, reason: str, length: str | int | None) -> bool:
        """Whether a pause is over; it begins when it is first asked for. One without length waits for a person."""
        found = self._paused(reason)
        if found is None:
            if self.status.pop("_resumed", False):
                return True
            entry = {"reason": reason, "startTime": stamp(self.now)}
            self.status["_until"] = self.status.get("_until", {}) | {reason: self._until(length)}
            self.status["pauseConditions"] = [*self.status.get("pauseConditions", []), entry]
            self.status["controllerPause"] = True
            return False
        until = self.status["_until"][reason]
        return until is not None and until <= self.now

    def _until(self, length: str | int | None) -> datetime | None:
        if length is None:
            return None
        return self.now + timedelta(seconds=float(length if isinstance(length, int) else duration(length)))

    def _pause_until(self) -> datetime | None:
        found = self.status.get("pauseConditions", []) if self.rollout else []
        times = [self.status["_until"].get(item["reason"]) for item in found if "_until" in self.status]
        return min(filter(None, times), default=None)

    def _drop(self, reason: str) -> None:
        left = [item for item in self.status.get("pauseConditions", []) if item["reason"] != reason]
        self.status["pauseConditions"] = left
        if not left:
            self.status.pop("pauseConditions")
            self.status.pop("controllerPause", None)

    def resume(self) -> None:
        """A person resumes: an inconclusive analysis is measured anew, a pause of a step is over."""
        self.status["_resumed"] = bool(self._paused("CanaryPauseStep") or self._paused("BlueGreenPause"))
        for run in self._mine():
            if run["status"].get("phase") == "Inconclusive":
                run["_replaced"] = True
        self.status.pop("pauseConditions", None)

    def abort(self) -> None:
        """A person aborts."""
        self._abort("Rollout aborted by a person")

    def retry(self) -> None:
        """A person retries what was aborted: from the first step, in the same revision."""
        for run in self._mine():
            run["_replaced"] = True
        self._reset(0)

    def promote(self) -> None:
        """A person promotes it fully: what is left of steps and analyses is skipped."""
        self.status["promoteFull"] = True

    def terminate(self) -> None:
        """A person ends the run of a step."""
        self._cancel(run for run in self._mine() if run["metadata"]["labels"]["rollout-type"] == "Step")

    # Analyses

    def _mine(self) -> list[Raw]:
        """The runs of what is rolled out now."""
        assert self.rollout is not None
        revision = self.rollout["metadata"]["annotations"][REVISION]
        return [
            run
            for run in self.runs.values()
            if run["metadata"].get("annotations", {}).get(REVISION) == revision
        ]

    def _analysed(self, suffix: str, analysis: Raw | None, labels: Raw) -> bool:
        """Whether an analysis is over and good; it begins when it is first asked for, and may abort or pause."""
        assert self.rollout is not None
        if analysis is None:
            return True
        revision = self.rollout["metadata"]["annotations"][REVISION]
        name = f"{self.rollout['metadata']['name']}-{self.current}-{revision}{suffix}"
        again = sum(
            1
            for run in self.runs.values()
            if run["metadata"]["name"].split(".")[0] == name and run.get("_replaced")
        )
        name = f"{name}.{again}" if again else name
        run = self.runs.get(name)
        if run is None:
            if name not in self.gone:
                self.runs[name] = self._start(name, analysis, labels, revision)
            return False
        phase = run["status"].get("phase")
        if phase in ("Failed", "Error"):
            self._abort(
                f"{labels['rollout-type']} analysis phase error/failed: {run['status'].get('message', '')}"
            )
        elif phase == "Inconclusive" and not self._paused("InconclusiveAnalysisRun"):
            entry = {"reason": "InconclusiveAnalysisRun", "startTime": stamp(self.now)}
            self.status["pauseConditions"] = [*self.status.get("pauseConditions", []), entry]
        return bool(phase == "Successful")

    def _start(self, name: str, analysis: Raw, labels: Raw, revision: str) -> Raw:
        assert self.rollout is not None
        specs = [self.templates[item["templateName"]]["spec"] for item in analysis["templates"]]
        given = {arg["name"]: self._argument(arg) for arg in analysis.get("args", [])}
        args = [dict(arg) for spec in specs for arg in spec.get("args", [])]
        for arg in args:
            if arg["name"] in given:
                arg["value"] = given[arg["name"]]
        metadata = {
            "name": name,
            "namespace": self.rollout["metadata"]["namespace"],
            "uid": self._uid("AnalysisRun", name),
            "creationTimestamp": stamp(self.now),
            "generation": 1,
            "labels": {HASH: self.current, **labels}
            | analysis.get("analysisRunMetadata", {}).get("labels", {})
            | self.spec["selector"]["matchLabels"],
            "annotations": {REVISION: revision},
            "ownerReferences": [self.owner()],
        }
        spec = {
            "args": args,
            "metrics": [metric for item in specs for metric in item["metrics"]],
        }
        for rules in ("dryRun", "measurementRetention"):
            spec[rules] = [rule for item in specs for rule in item.get(rules, [])]
        head = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun", "metadata": metadata}
        return begin(head, spec, self.now)

    def _argument(self, arg: Raw) -> Any:
        which = arg.get("valueFrom", {}).get("podTemplateHashValue")
        return {"Latest": self.current, "Stable": self.stable}.get(which, arg.get("value"))

    def _cancel(self, runs: Iterable[Raw]) -> None:
        for run in runs:
            if not ended(run):
                run["spec"] = run["spec"] | {"terminate": True}
                measure(run, self.now, "few")

    # Deadline

    def _deadline(self) -> datetime | None:
        """When it is too late for the pods that are waited for (progressDeadlineSeconds)."""
        if self.rollout is None or self.progressed is None:
            return None
        return self.progressed + timedelta(seconds=int(self.spec.get("progressDeadlineSeconds", 600)))

    def _overdue(self) -> bool:
        deadline = self._deadline()
        return deadline is not None and deadline <= self.now

    def _wait(self) -> None:
        """Begin or go on to wait for pods; what it waits for is in the status that stands, and in the sets."""
        status, mine = self.status, self.sets.get(self.current)
        idle = status.get("abort") or status.get("pauseConditions") or mine is None
        if idle or self.available(self.current) >= int(mine["spec"]["replicas"] if mine else 0):
            self.progressed = None
        elif self.progressed is None or self.available(self.current) != self.seen_available:
            self.progressed = self.now
        self.seen_available = self.available(self.current)

    # Status

    def _write_status(self) -> None:
        """The counts, conditions and the phase, as at the end of each reconcile (persistRolloutStatus)."""
        self._wait()
        status, wanted = self.status, self.spec["replicas"]
        mine = self.sets.get(self.current)
        status |= {
            "replicas": sum(item["spec"]["replicas"] for item in self.sets.values()),
            "updatedReplicas": mine["spec"]["replicas"] if mine else 0,
            "availableReplicas": sum(self.available(hash_) for hash_ in self.sets),
        }
        missing = self._missing()
        status["phase"], status["message"] = self._phase(wanted, missing)
        if not status["message"]:
            del status["message"]
        same = bool(self.stable) and self.stable == self.current
        self._condition("Completed", same, "RolloutCompleted", "RolloutCompleted")
        self._condition("Healthy", status["phase"] == "Healthy", "RolloutHealthy", "Rollout is healthy")
        if status.get("abort"):
            self._condition("Progressing", False, "RolloutAborted", status.get("message", ""))
        elif self._overdue():
            self._condition("Progressing", False, "ProgressDeadlineExceeded", status.get("message", ""))
        else:
            self._condition("Progressing", True, "ReplicaSetUpdated", "progressing")
        if missing:
            self._condition("InvalidSpec", True, "InvalidSpec", status.get("message", ""))
        else:
            status["conditions"] = [one for one in status["conditions"] if one["type"] != "InvalidSpec"]

    def _phase(self, wanted: int, missing: list[str]) -> tuple[str, str]:
        status = self.status
        if status.get("abort"):
            return "Degraded", f"RolloutAborted: {status.get('_why', '')}"
        if missing:
            return "Degraded", f"InvalidSpec: AnalysisTemplate '{missing[0]}' not found"
        if self._overdue():
            return "Degraded", "ProgressDeadlineExceeded: its pods have not become available"
        if self.spec.get("paused"):
            return "Paused", "manually paused"
        if status.get("pauseConditions"):
            return "Paused", status["pauseConditions"][0]["reason"]
        if status["updatedReplicas"] < wanted:
            return "Progressing", "more replicas need to be updated"
        if status["availableReplicas"] < status["updatedReplicas"]:
            return "Progressing", "updated replicas are still becoming available"
        if self.blue is not None and status.get("blueGreen", {}).get("activeSelector") != self.current:
            return "Progressing", "active service cutover pending"
        if not self.stable or self.stable != self.current:
            return "Progressing", "waiting for all steps to complete"
        return "Healthy", ""

    def _condition(self, kind: str, true: bool, reason: str, message: str) -> None:
        """As SetRolloutCondition: the time of transition changes with the status alone."""
        conditions = {item["type"]: item for item in self.status.get("conditions", [])}
        old, word = conditions.get(kind), "True" if true else "False"
        if old and (old["status"], old["reason"]) == (word, reason):
            return
        same = old is not None and old["status"] == word
        conditions[kind] = {
            "type": kind,
            "status": word,
            "reason": reason,
            "message": message,
            "lastTransitionTime": old["lastTransitionTime"] if old and same else stamp(self.now),
            "lastUpdateTime": stamp(self.now),
        }
        self.status["conditions"] = [*conditions.values()]


def _annotate(item: Raw, more: Raw) -> None:
    item["metadata"]["annotations"] = item["metadata"]["annotations"] | more
