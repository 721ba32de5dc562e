"""One app of a GitOps repository of its own, on one cluster of the fleet: what the tests are written with.

app = make_app("chat", steps=[{"weight": "20%", "for": "5s"}])
app.serve(app.deploy("1.0.0"))         # spec -> render -> commit -> point -> kustomize -> apply
app.until_healthy()
second = app.deploy("1.1.0")
app.serve(second, errors=0.5)          # what Prometheus will say of its pods
app.until_aborted()
"""

import contextlib
import copy
import http.client
import itertools
import json
import os
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import wrong
import yaml
from rig import Call, Exporter, Fleet, Member, RigError, WaitTimeoutError, kustomize, load, read, wait_until
from rig.kube import Object, namespace
from rig.net import get_json
from rig.rollouts import API, HASH_LABEL, canary_weight, complete, describe, observed, phase
from rig.traffic import ISTIO_API, SEEN, SYNC_ERROR

from canaryfleet import cli
from canaryfleet.models.release import Release
from canaryfleet.overlay import pointer

T = TypeVar("T")
HERE = "here"  # the only cluster of an app's repository
WAVE = "all"
LIMIT = 90.0  # seconds that a condition may take on a busy machine
WAKINGS = 10  # times that a controller is told again, over that time
SLEEPY = "1.9"
WOKEN = "e2e.canaryfleet.dev/woken"
DIGEST = "0123456789abcdef" * 4
LATENCIES = (5, 10, 25, 50, 100, 250, 500, 1000, 2500)  # bucket bounds of Istio's histogram, milliseconds
ERROR_RATE = {"preset": "istio/error-rate", "promoteBelow": "1%", "rollbackAbove": "5%"}
ANALYSIS = {"interval": "2s", "minimumSamples": 20, "metrics": [ERROR_RATE]}
STEPS = [{"weight": "20%", "for": "6s"}, {"weight": "60%", "for": "6s"}]
TRACKING = "argocd.argoproj.io/tracking-id"
ALIVE = (
    f"{API}/namespaces/{{}}/rollouts",
    f"{API}/namespaces/{{}}/analysisruns",
    "/apis/apps/v1/namespaces/{}/deployments",
    "/apis/apps/v1/namespaces/{}/replicasets",
    "/api/v1/namespaces/{}/pods",
    "/api/v1/namespaces/{}/services",
    f"{ISTIO_API}/namespaces/{{}}/virtualservices",
    f"{ISTIO_API}/namespaces/{{}}/destinationrules",
    f"{ISTIO_API}/namespaces/{{}}/workloadentries",
    "/apis/networking.istio.io/v1alpha3/namespaces/{}/envoyfilters",
)
"""What of an app makes somebody work as long as it is there."""
WATCHED = {
    "Rollout": f"{API}/namespaces/{{}}/rollouts",
    "AnalysisRun": f"{API}/namespaces/{{}}/analysisruns",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "Pod": "/api/v1/namespaces/{}/pods",
    "VirtualService": f"{ISTIO_API}/namespaces/{{}}/virtualservices",
}


@dataclass(frozen=True)
class Seen:
    """One event of a watch: an object as it became at a time (`time.monotonic`)."""

    at: float
    event: str
    object: Object


class App:
    """An app, its repository, its namespace, and the series that its metrics are read from."""

    cluster = HERE
    """The cluster of the repository whose overlay is built and applied."""

    def __init__(
        self,
        fleet: Fleet,
        member: Member,
        root: Path,
        name: str,
        spec: Mapping[str, Any],
        namespace: str | None = None,
    ) -> None:
        self.fleet, self.member, self.kube = fleet, member, member.kube
        self.root, self.name = root, name
        unique = f"{name}-{uuid.uuid4().hex[:8]}"
        self.namespace = namespace or unique
        self.host = f"{unique}.example"
        self.exporter = Exporter()
        self.spec = _spec(self, spec)
        self.history: list[Seen] = []
        self.live: dict[tuple[str, str], Object] = {}
        self.pruned = False  # whether `deploy` prunes, too
        self._lists: set[str] = set()  # API paths of the kinds that were ever synced
        self.applied: list[tuple[float, str]] = []  # when, and the release that the overlay pointed at
        self._elsewhere: set[str] = set()
        self._told: dict[tuple[str, str], int] = {}
        self._news = threading.Condition()
        self._closed = False
        self._repository()

    def start(self) -> "App":
        """Make the namespace, have the exporter scraped and begin to watch."""
        self.kube.apply_at(
            f"/api/v1/namespaces/{self.namespace}",
            namespace(self.namespace),
        )
        self.fleet.scrape(self.host, self.exporter)
        for kind, path in WATCHED.items():
            threading.Thread(
                target=self._watch, args=(kind, path.format(self.namespace)), daemon=True
            ).start()
        return self

    def close(self) -> None:
        """Take what makes work, what was applied outside of the namespace, and the series away.

        The rest stays: a namespace's end costs the API server some two hundred requests.
        """
        self._closed = True
        self.fleet.forget(self.host)
        for path in (*self._elsewhere, *(kind.format(self.namespace) for kind in ALIVE)):
            with contextlib.suppress(RigError):  # a test may have deleted it
                self.kube.delete_at(path)
        self.exporter.close()

    # ---- Git ----------------------------------------------------------------------------------

    def write(self, path: str, text: str) -> None:
        """Write a file beside the spec."""
        target = self.root / "specs" / self.name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def release(self, version: str | None = None, **changes: Any) -> Release:
        """Change the spec, render it, point the cluster at what came of it, commit.

        `changes` replace fields of the spec by path: `exposure__steps=[...]`. A new version gets a new image
        unless `image=False`.
        """
        if version:
            self.spec["version"] = version
            if changes.pop("image", True) and "image" in self.spec["workload"]:
                self.spec["workload"]["image"] = f"registry.example/{self.name}:{version}@sha256:{DIGEST}"
        for path, value in changes.items():
            *parents, last = path.split("__")
            at = self.spec
            for parent in parents:
                at = at.setdefault(parent, {})
            at[last] = value
        self.respec()
        self.cli("render")
        candidate = self.candidate
        self.point(candidate)
        return self.frozen(candidate)

    def respec(self) -> None:
        """Write the spec as it is in memory."""
        self.write("canary.yaml", yaml.safe_dump(self.spec, sort_keys=False))

    def point(self, release: str) -> None:
        """Point the cluster at a release, and commit."""
        self.commit("render")
        self.cli("point", self.name, "--wave", WAVE, "--release", release, "--verified", "all")
        self.commit(f"point at {release}")

    def releases(self) -> list[str]:
        """The releases that are rendered."""
        return sorted(folder.name for folder in (self.overlays / "releases").iterdir())

    def frozen(self, release: str) -> Release:
        """What `release.yaml` says."""
        return msgspec.convert(read(self.overlays / "releases" / release / "release.yaml"), Release)

    @property
    def candidate(self) -> str:
        """The release that was rendered last."""
        return str(read(self.overlays / "candidate.yaml")["release"])

    def cli(self, *arguments: str) -> None:
        """Run canaryfleet; anything but success fails the test."""
        code = cli.main([*arguments, "--root", str(self.root)])
        assert code == 0, f"canaryfleet {' '.join(arguments)} ended with {code}"

    def commit(self, subject: str) -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)

    def git(self, *arguments: str) -> str:
        """Run git in the repository."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
            env=_git_environment(),
        )
        return done.stdout

    @property
    def overlays(self) -> Path:
        """The generated files of the app."""
        return self.root / "overlays" / self.name

    @property
    def pointed(self) -> str:
        """The release that the committed overlay points at."""
        path = self.overlays / "clusters" / self.cluster / "kustomization.yaml"
        found = pointer(path.read_bytes()) if path.exists() else None
        return found.release if found else ""

    def built(self) -> list[Object]:
        """What the real kustomize makes of the committed overlay."""
        return wrong.made(load(kustomize(self.overlays / "clusters" / self.cluster)))

    # ---- the cluster --------------------------------------------------------------------------

    def deploy(
        self,
        version: str | None = None,
        change: Callable[[list[Object]], list[Object]] = lambda objects: objects,
        **changes: Any,
    ) -> Release:
        """`release`, and apply what it built; `change` may alter the objects on the way."""
        release = self.release(version, **changes)
        (self.sync if self.pruned else self.apply)(change(self.built()))
        return release

    def apply(self, objects: Sequence[Object] | None = None) -> None:
        """Server-side apply with force and strict validation, as a GitOps tool does."""
        self.applied.append((time.monotonic(), self.pointed))
        applied = self.built() if objects is None else objects
        self._note_elsewhere(applied)
        self.kube.apply_objects(applied)

    def sync(self, objects: Sequence[Object] | None = None) -> list[str]:
        """Apply and prune as Argo CD does; the paths of what was pruned.

        What it has applied before and no longer builds is deleted: after the wave before the Rollout's,
        and before the Rollout itself. It knows its own by an annotation that names the object, so that
        copies of it (on ReplicaSets) don't count.
        """
        built = self.built() if objects is None else list(objects)
        tracked = [self._tracked(one) for one in built]
        early = [one for one in tracked if _sync_wave(one) < 0]
        self.applied.append((time.monotonic(), self.pointed))
        wanted = self._note_elsewhere(tracked)
        self._lists |= {path.rpartition("/")[0] for path in wanted}
        self.kube.apply_objects(early)
        pruned = sorted(path for path in self._owned() if path not in wanted)
        for path in pruned:
            self.kube.delete_at(path)
        self.kube.apply_objects([one for one in tracked if one not in early])
        return pruned

    def prune(self, kind: str, name: str) -> None:
        """Delete one object."""
        self.kube.delete(kind, name, self.namespace)

    def object(self, kind: str, name: str | None = None) -> Object:
        """An object of a watched kind as it was seen last."""
        with self._news:
            found = self.live.get((kind, name or self.name))
        assert found is not None, f"no {kind} {name or self.name} in {self.namespace}"
        return found

    @property
    def rollout(self) -> Object:
        """The Rollout as the watch saw it last."""
        return self.object("Rollout")

    @property
    def status(self) -> Object:
        """The Rollout's status."""
        found: Object = self.rollout.get("status", {})
        return found

    @property
    def stable(self) -> str:
        """The pod-template hash of what is stable."""
        return str(self.status["stableRS"])

    @property
    def current(self) -> str:
        """The pod-template hash of what is being rolled out (or stable, when it is complete)."""
        return str(self.status["currentPodHash"])

    def who(self, template: str) -> str:
        """The name of the backend behind a pod-template hash."""
        return f"{self.name}-{template}"

    def runs(self, kind: str = "", template: str | None = None) -> list[Object]:
        """AnalysisRuns, oldest first: `Step`, `Background`, `PrePromotion`, ... or `bake`."""
        with self._news:
            found = [o for (k, _), o in self.live.items() if k == "AnalysisRun"]
        found.sort(key=lambda run: (run["metadata"]["creationTimestamp"], run["metadata"]["name"]))
        return [run for run in found if _is_run(run, kind, template) and self._is_mine(run)]

    def pods(self, template: str | None = None) -> list[Object]:
        """The pods that are not about to go, of one template or of all."""
        with self._news:
            found = [o for (kind, _), o in self.live.items() if kind == "Pod"]
        return [
            pod
            for pod in found
            if "deletionTimestamp" not in pod["metadata"]
            and template in {None, pod["metadata"]["labels"].get(HASH_LABEL)}
        ]

    def promote(self) -> None:
        """End the pause that the Rollout is in, as `kubectl argo rollouts promote` does.

        Argo Rollouts 1.9 puts its own copy of a Rollout back into its cache, over a change that came at that
        moment, and then sleeps until there is another one (1.10 does not): so it is woken until it acts.
        """
        before, since = self.status, time.monotonic()
        self.kube.patch_at(f"{self._path}/status", {"status": {"pauseConditions": None}})
        self._waking(
            lambda limit: self.until(lambda rollout: _went_on(before, rollout), "it goes on", limit, since)
        )

    def abort(self) -> None:
        """Abort by hand, as `kubectl argo rollouts abort` does; 1.9 overlooks it as it does a promotion."""
        self.kube.patch_at(f"{self._path}/status", {"status": {"abort": True}})
        self.until_woken(lambda: phase(self.rollout) == "Degraded", "aborted")
        self.catch_up()

    def look_again(self, log: Path | None = None) -> None:
        """Wake the controller, and wait until its log says that it has been through the Rollout once more.

        `log`: of a controller of the test's own.
        """
        words = ("Reconciliation completed", f" namespace={self.namespace} ", f" rollout={self.name} ")
        said = [word.encode() for word in words]
        path = log or self.fleet.logs / f"{self.member.name}-rollouts.log"

        known = path.stat().st_size

        def looked() -> bool:
            with path.open("rb") as lines:
                lines.seek(known)
                return any(all(word in line for word in said) for line in lines)

        self._wake()
        wait_until(looked, "the controller has looked at it again", LIMIT)

    def _waking(self, wait: Callable[[float], Any]) -> None:
        """Wait for something, and wake the controller again and again meanwhile."""
        for attempt in range(1, WAKINGS + 1):
            try:
                wait(LIMIT / WAKINGS)
            except WaitTimeoutError:
                if attempt == WAKINGS:
                    raise
                self._wake()
            else:
                return

    def _wake(self) -> None:
        """Change what means nothing in each Rollout of the namespace, each time to something else."""
        with self._news:
            names = [name for kind, name in self.live if kind == "Rollout"]
        for name in names:
            with contextlib.suppress(RigError):  # it may be gone
                woken = {"metadata": {"annotations": {WOKEN: str(time.monotonic())}}}
                self.kube.patch_at(self._path_of(name), woken)

    @property
    def _path(self) -> str:
        return self._path_of(self.name)

    def _path_of(self, name: str) -> str:
        """Where a Rollout of the namespace is."""
        return f"{API}/namespaces/{self.namespace}/rollouts/{name}"

    # ---- waiting ------------------------------------------------------------------------------

    def until(self, probe: Callable[[Object], T], what: str, timeout: float = LIMIT, since: float = 0.0) -> T:
        """Wait for a state of the Rollout; every state the watch has seen since then counts, none is missed."""
        deadline = time.monotonic() + timeout
        looked = 0
        while True:
            with self._news:
                states = self.history[looked:]
                looked = len(self.history)
                if not states:
                    self._news.wait(max(0.0, min(1.0, deadline - time.monotonic())))
                    states, looked = self.history[looked:], len(self.history)
            for seen in states:
                if seen.object["kind"] == "Rollout" and seen.at >= since and (result := probe(seen.object)):
                    return result
            if time.monotonic() >= deadline:
                raise WaitTimeoutError(f"not within {timeout:g} s: {what}\n{self.story()}")

    def until_now(self, probe: Callable[[], T], what: str, timeout: float = LIMIT) -> T:
        """Wait until something is true of what is seen now; looked at after each event, and once a second.

        A controller of 1.9 that may have slept through a change (`promote`) is woken when half of the time is over.
        """
        deadline = time.monotonic() + timeout
        sleepy = timeout == LIMIT and self.member.rollouts == SLEEPY
        while True:
            with self._news:
                looked = len(self.history)
            if result := probe():
                return result
            if sleepy and time.monotonic() >= deadline - timeout / 2:
                sleepy = False
                self._wake()
            if time.monotonic() >= deadline:
                raise WaitTimeoutError(f"not within {timeout:g} s: {what}\n{self.story()}")
            with self._news:
                if len(self.history) == looked:
                    self._news.wait(1.0)

    def until_woken(self, probe: Callable[[], T], what: str) -> None:
        """`until_now`, for what a controller of 1.9 may overlook (`promote`)."""
        self._waking(lambda limit: self.until_now(probe, what, limit))

    def until_healthy(self, release: Release | None = None, timeout: float = LIMIT) -> None:
        """Wait until the Rollout carries the release, is complete, and its traffic is settled."""
        self.until_now(
            lambda: self._carries(release) and complete(self.rollout), "the Rollout is complete", timeout
        )
        self.catch_up()

    def until_new(self, release: Release, timeout: float = LIMIT) -> str:
        """Wait until the controller has begun with a release; the hash of its pods.

        It may be over already, within milliseconds if there is no step: so what was seen since the last sync counts.
        """
        since = self.applied[-1][0]

        def begun() -> str:
            with self._news:
                seen = [one.object for one in self.history if one.at >= since] + list(self.live.values())
            states = [one for one in seen if _is(one, "Rollout", self.name) and self._carried(one, release)]
            return next(filter(None, map(_canary_of, states)), "")

        found = self.until_now(begun, f"the controller has begun with {release.id}", timeout)
        self.catch_up()
        return found

    def catch_up(self) -> None:
        """Wait until the watches have told all that the API server knows now: each kind has one of its own."""
        known = [
            ((kind, one["metadata"]["name"]), int(one["metadata"]["resourceVersion"]))
            for kind, path in WATCHED.items()
            for one in self.kube.raw_json(path.format(self.namespace))["items"]
        ]
        self.until_now(
            lambda: all(self._told.get(key, 0) >= version for key, version in known),
            "the watches have caught up",
        )

    def until_step(self, step: int, timeout: float = LIMIT) -> None:
        """Wait until the canary is at this step or past it."""

        def there() -> bool:
            index = self.status.get("currentStepIndex")
            return index is not None and index >= step and self.current != self.status.get("stableRS")

        self.until_now(there, f"step {step}", timeout)

    def until_weight(self, weight: int, timeout: float = LIMIT) -> None:
        """Wait until the canary has at least this weight."""
        self.until_now(
            lambda: (canary_weight(self.rollout) or 0) >= weight, f"the canary has {weight} %", timeout
        )

    def until_paused(self, reason: str = "CanaryPauseStep", timeout: float = LIMIT) -> None:
        """Wait until the controller pauses for this reason."""

        def paused() -> bool:
            return any(p["reason"] == reason for p in self.status.get("pauseConditions") or [])

        self.until_now(paused, f"paused: {reason}", timeout)
        self.catch_up()

    def until_aborted(self, timeout: float = LIMIT) -> float:
        """Wait for the abort; when it was seen (`time.monotonic`)."""
        self.until_now(lambda: bool(self.status.get("abort")), "aborted", timeout)
        self.catch_up()
        with self._news:
            return next(
                seen.at
                for seen in self.history
                if seen.object["kind"] == "Rollout" and seen.object.get("status", {}).get("abort")
            )

    def until_run(
        self, kind: str, phases: str | tuple[str, ...], template: str | None = None, timeout: float = LIMIT
    ) -> Object:
        """Wait until the newest AnalysisRun of a kind has one of the phases."""
        wanted = (phases,) if isinstance(phases, str) else phases

        def ended() -> Object | None:
            runs = self.runs(kind, template)
            return runs[-1] if runs and runs[-1].get("status", {}).get("phase") in wanted else None

        found = self.until_now(ended, f"a {kind} run is {' or '.join(wanted)}", timeout)
        assert found is not None
        return found

    def measured(self, kind: str, count: int, result: str = "", timeout: float = LIMIT) -> None:
        """Wait until the newest run of a kind has so many measurements (of this phase)."""
        self.until_now(
            lambda: bool(
                (runs := self.runs(kind))
                and sum(m.get("phase") == result or not result for m in measurements(runs[-1])) >= count
            ),
            f"{count} measurements {result} of a {kind} run",
            timeout,
        )

    def _carries(self, release: Release | None) -> bool:
        with self._news:
            rollout = self.live.get(("Rollout", self.name))
        return rollout is not None and self._carried(rollout, release)

    def _carried(self, rollout: Object, release: Release | None) -> bool:
        if not rollout.get("status"):
            return False
        if release is None:
            return True
        stamp = rollout["spec"]["template"]["metadata"]["annotations"].get("canaryfleet.dev/pod")
        carried = rollout["metadata"]["labels"].get("canaryfleet.dev/release")
        return (carried, stamp) == (release.id, release.clusters[self.cluster].pod)

    # ---- metrics and traffic ------------------------------------------------------------------

    def serve(
        self,
        release: Release,
        per_second: float = 50.0,
        errors: float = 0.0,
        milliseconds: float = 20.0,
        service: str | None = None,
    ) -> None:
        """Let Istio's counters say, from now on, that this release's pods are asked and answer so."""
        labels = {
            "reporter": "source",
            "destination_service_name": service or self.name,
            "destination_service_namespace": self.namespace,
            "destination_canonical_revision": release.clusters[self.cluster].pod,
        }
        grow = self.exporter.grow
        grow("istio_requests_total", per_second * (1 - errors), response_code="200", **labels)
        grow("istio_requests_total", per_second * errors, response_code="503", **labels)
        for bound in LATENCIES:
            inside = per_second if milliseconds <= bound else 0.0
            grow("istio_request_duration_milliseconds_bucket", inside, le=str(bound), **labels)
        grow("istio_request_duration_milliseconds_bucket", per_second, le="+Inf", **labels)

    def shares(self, requests: int = 200, **options: Any) -> Counter[str]:
        """Ask through Envoy and count who answered."""
        return self.member.client.shares(self.host, requests, **options)

    def asked(self, template: str) -> list[dict[str, str]]:
        """The requests that the pods of a template got: path and headers."""
        entry = self.kube.raw_json(
            f"{ISTIO_API}/namespaces/{self.namespace}/workloadentries/{self.who(template)}"
        )
        port = next(iter(entry["spec"]["ports"].values()))
        found: list[dict[str, str]] = get_json(f"http://127.0.0.1:{port}{SEEN}")
        return found

    # ---- what happened ------------------------------------------------------------------------

    def seen(self) -> list[Seen]:
        """Every event until now."""
        with self._news:
            return list(self.history)

    def trail(self) -> list[tuple[str, int | None, int | None, bool]]:
        """The states that the Rollout went through: phase, step, weight, aborted."""
        with self._news:
            rollouts = [seen.object for seen in self.history if seen.object["kind"] == "Rollout"]
        states = [
            (
                phase(r),
                r.get("status", {}).get("currentStepIndex"),
                canary_weight(r),
                bool(r.get("status", {}).get("abort")),
            )
            for r in rollouts
        ]
        return [state for state, _ in itertools.groupby(states)]

    def weights(self) -> list[int]:
        """The canary's weights in the order in which the controller wrote them."""
        return [w for w, _ in itertools.groupby(state[2] for state in self.trail()) if w is not None]

    def routes(self) -> dict[str, list[int]]:
        """The VirtualService's routes as they are now, in order: name and weights."""
        http = self.object("VirtualService")["spec"]["http"]
        return {r["name"]: [d.get("weight", 100) for d in r["route"]] for r in http}

    def story(self) -> str:
        """What a person needs to understand a failure."""
        lines = [f"{self.namespace} on {self.member.name}: no Rollout was seen"]
        if ("Rollout", self.name) in self.live:
            lines = [describe(self.rollout), "trail (phase, step, weight, aborted):"]
            lines += [f"  {state}" for state in self.trail()[-25:]]
        for run in self.runs():
            status = run.get("status", {})
            lines.append(f"run {run['metadata']['name']}: {status.get('phase')} {status.get('message', '')}")
            for result in status.get("metricResults", []):
                last = [
                    (m.get("phase"), m.get("value"), m.get("message")) for m in result.get("measurements", [])
                ]
                lines.append(f"    {result['name']}: {result.get('phase')} {last[-4:]}")
        amiss = self.fleet.logs.parent / self.member.name / "mesh" / SYNC_ERROR
        if amiss.exists():
            lines.append(f"what went wrong last with the cluster's endpoints: {amiss.read_text()}")
        return "\n".join(lines)

    def dump(self, folder: Path) -> Path:
        """Write the story and every event; where it is."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.namespace}-{self.member.name}"
        (folder / f"{name}.txt").write_text(self.story())
        with self._news:
            events = [{"at": seen.at, "event": seen.event, "object": seen.object} for seen in self.history]
        (folder / f"{name}.json").write_text(json.dumps(events))
        return folder / f"{name}.txt"

    # ---- inside -------------------------------------------------------------------------------

    def _is_mine(self, run: Object) -> bool:
        metadata = run["metadata"]
        owners = {owner["name"] for owner in metadata.get("ownerReferences", [])}
        return self.name in (owners or {metadata.get("labels", {}).get("app.kubernetes.io/name", self.name)})

    def _note_elsewhere(self, objects: Sequence[Object]) -> set[str]:
        """The paths of objects; those outside of the namespace are deleted by `close` (but no namespace is)."""
        paths = {
            self.kube.path_of(one): one["metadata"].get("namespace")
            for one in objects
            if one["kind"] != "Namespace"
        }
        self._elsewhere |= {path for path, namespace in paths.items() if namespace != self.namespace}
        return set(paths)

    def _tracked(self, one: Object) -> Object:
        metadata = one["metadata"]
        annotations = {**metadata.get("annotations", {}), TRACKING: self._tracking(one)}
        return {**one, "metadata": {**metadata, "annotations": annotations}}

    def _tracking(self, one: Object) -> str:
        group = one["apiVersion"].rpartition("/")[0]
        metadata = one["metadata"]
        where = f"{metadata.get('namespace', '')}/{metadata['name']}"
        return f"{self.host}:{group}/{one['kind']}:{where}"

    def _owned(self) -> list[str]:
        """The paths of what earlier syncs have applied, and is not about to go already."""
        return [
            f"{path}/{one['metadata']['name']}"
            for path in sorted(self._lists)
            for one in self.kube.items_at(path)
            if one["metadata"].get("annotations", {}).get(TRACKING) == self._tracking(one)
            and "deletionTimestamp" not in one["metadata"]
        ]

    def _repository(self) -> None:
        (self.root / "clusters").mkdir(parents=True)
        self.settings({})
        self.inventory({})
        (self.root / "specs" / self.name).mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.commit("a fleet of one")

    def ask(self, url: str) -> None:
        """Have the cluster's metrics read from another server (before the first release)."""
        self.inventory({"metrics": {"prometheus": url}})

    def settings(self, changes: Mapping[str, Any]) -> None:
        """Write fleet.yaml, with these fields of its own (not committed)."""
        fleet = {"apiVersion": "canaryfleet.dev/v1alpha1", "kind": "Fleet", "metadata": {"name": "e2e"}}
        self._settings("fleet.yaml", {**fleet, **changes})

    def inventory(self, changes: Mapping[str, Any]) -> None:
        """Write the cluster's file, with these fields of its own (not committed)."""
        cluster = {
            "apiVersion": "canaryfleet.dev/v1alpha1",
            "kind": "Cluster",
            "metadata": {"name": HERE},
            "metrics": {"prometheus": self.fleet.prometheus},
        }
        self._settings(f"clusters/{HERE}.yaml", {**cluster, **changes})

    def _settings(self, path: str, content: Mapping[str, Any]) -> None:
        (self.root / path).write_text(yaml.safe_dump(dict(content), sort_keys=False))

    def _watch(self, kind: str, path: str) -> None:
        while not self._closed:
            try:
                for event in self.kube.watch(path, 300):
                    if self._closed:
                        return
                    if event["type"] in {"ADDED", "MODIFIED", "DELETED"}:
                        self._note(kind, event)
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.2)

    def _note(self, kind: str, event: Object) -> None:
        found = event["object"]
        key = (kind, found["metadata"]["name"])
        with self._news:
            known = self.live.get(key)
            if known and known["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]:
                return  # a watch that began anew tells what is known
            if event["type"] == "DELETED":
                self.live.pop(key, None)
            else:
                self.live[key] = found
            self._told[key] = int(found["metadata"]["resourceVersion"])
            self.history.append(Seen(time.monotonic(), event["type"], found))
            self._news.notify_all()


def _is(one: Object, kind: str, name: str) -> bool:
    return bool((one["kind"], one["metadata"]["name"]) == (kind, name))


def _canary_of(rollout: Object) -> str:
    """The hash of the canary's pods; empty if there is none, or the controller has not seen it."""
    status = rollout["status"]
    fresh = observed(rollout) and status.get("currentPodHash") != status.get("stableRS")
    return str(status["currentPodHash"]) if fresh else ""


def measurements(run: Object, metric: str | None = None) -> list[Object]:
    """The measurements of a run, of all metrics or of one, without those of dry runs."""
    return [
        measurement
        for result in run.get("status", {}).get("metricResults", [])
        if not result.get("dryRun") and metric in {None, result["name"]}
        for measurement in result.get("measurements", [])
    ]


def _went_on(before: Object, rollout: Object) -> bool:
    now = rollout.get("status", {})
    if now.get("currentStepIndex") != before.get("currentStepIndex"):
        return True
    if now.get("pauseConditions"):
        return bool(now["pauseConditions"] != before.get("pauseConditions"))
    return not now.get("controllerPause")


def answered_after(calls: Sequence[Call], moment: float) -> Counter[str]:
    """Who answered the calls that were sent after a moment."""
    return Counter(call.who for call in calls if call.at >= moment)


def _sync_wave(one: Object) -> int:
    return int(one["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", "0"))


def _is_run(run: Object, kind: str, template: str | None) -> bool:
    labels = run["metadata"].get("labels", {})
    if kind == "bake":
        return not run["metadata"].get("ownerReferences")
    return (not kind or labels.get("rollout-type") == kind) and (
        template is None or labels.get("rollouts-pod-template-hash") == template
    )


def _spec(app: App, changes: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "apiVersion": "canaryfleet.dev/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": app.name, "namespace": app.namespace},
        "version": "0.0.0",
        "workload": {"image": "", "port": 8080, "replicas": 2},
        "exposure": {"hosts": [app.host], "gateways": ["istio-ingress/public"], "steps": STEPS},
        "analysis": ANALYSIS,
        "waves": [{"name": WAVE}],
    }
    spec = copy.deepcopy(spec)
    for path, value in copy.deepcopy(dict(changes)).items():
        *parents, last = path.split("__")
        at = spec
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return spec


def _git_environment() -> dict[str, str]:
    names = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "e2e"), ("EMAIL", "e2e@example.invalid"))
    }
    # two more processes for each commit
    tidy = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "maintenance.auto", "GIT_CONFIG_VALUE_0": "false"}
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return {**os.environ, **names, **tidy, **nobody}
