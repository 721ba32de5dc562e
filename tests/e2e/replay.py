"""What this project commits, on a real cluster: its example fleet, and the golden case of each feature.

`moved` and `quick` are all that is changed on the way: the namespace is one of the test's own, addresses
of metric servers lead to those of the rig, and minutes become seconds.
"""

import itertools
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import wrong
import yaml
from app import LIMIT, App, measurements
from rig import Fleet, Member, kustomize, load, net
from rig.kube import Object
from rig.net import LOOPBACK
from rig.rollouts import complete, observed

from canaryfleet.models.release import Release

PROJECT = Path(__file__).resolve().parents[2]
GOLDEN = PROJECT / "tests" / "golden"
CASES = tuple(path.name for path in sorted((GOLDEN / "cases").iterdir()))
CLUSTERS = {  # the cluster that the case is about, where that isn't the first
    "adopt": "us-1",
    "autoscaler": "us-1",
    "overrides-and-variables": "us-1",
}
TOKEN = "a-token"
EXAMPLES = ("assistant", "embeddings", "fraud", "mcp-tools")
EXAMPLE_PROMETHEUS = "http://prometheus.istio-system:9090"
GOLDEN_PROMETHEUS = ("http://prometheus.monitoring:9090", "http://thanos.eu:10902", "https://thanos.example")

FASTER = 300  # 15 minutes are 3 seconds
PAUSE = (1, 4)  # but no time is shorter or longer than this: a controller works in whole seconds
BAKING = (3, 4)  # a bake measures beside everything, from the first deployment on: not too often
WINDOW = (6, 10)  # Prometheus scrapes once a second, and a rate needs several samples
SECONDS = {"s": 1, "m": 60, "h": 3600}
TESTED = re.compile(r"\[\w+:\w+\]\) \* \d+ / \d+")  # how a sequential test adds up windows


def quick(objects: Sequence[Object]) -> list[Object]:
    """The objects with their times divided by `FASTER`; changed in place, and nothing else is."""
    for holder, key, least, most in itertools.chain.from_iterable(map(_times, objects)):
        value = holder[key]
        seconds = min(most, max(least, round(_seconds(value) / FASTER)))
        holder[key] = seconds if isinstance(value, int) else f"{seconds}s"
    for metric in (metric for one in objects for metric in one.get("spec", {}).get("metrics", ())):
        if "prometheus" in metric.get("provider", {}):
            asked = metric["provider"]["prometheus"]
            asked["query"] = quick_test(asked["query"])
    return list(objects)


def quick_test(query: str) -> str:
    """A query with a sequential test, which says its times itself, looks back a minute by the shortest windows."""
    window = WINDOW[0]
    if not TESTED.search(query):
        return query
    return TESTED.sub(f"[60s:1s]) * 1 / {window}", re.sub(r"\[\d\w*\]", f"[{window}s]", query))


def _times(one: Object) -> Iterator[tuple[Object, str, int, int]]:
    """Where an object says how long something takes: the mapping, its key, and the limits.

    Deadlines (`progressDeadlineSeconds`) stay as they are: on a busy machine they have to be generous.
    """
    if one["kind"] == "Rollout":
        places = _rollout_times(one["spec"])
    elif one["kind"] in {"AnalysisTemplate", "AnalysisRun"}:
        places = [(metric, key) for metric in one["spec"]["metrics"] for key in ("interval", "initialDelay")]
    else:
        return
    least, most = BAKING if one["kind"] == "AnalysisRun" else PAUSE
    yield from ((holder, key, least, most) for holder, key in places if key in holder)
    yield from ((argument, "value", *WINDOW) for argument in _windows(one["spec"]))


def _rollout_times(spec: Object) -> list[tuple[Object, str]]:
    strategy = spec["strategy"]
    steps = strategy.get("canary", {}).get("steps", [])
    return [
        (spec, "minReadySeconds"),
        (strategy.get("blueGreen", {}), "autoPromotionSeconds"),
        *((step["pause"], "duration") for step in steps if "pause" in step),
    ]


def _windows(node: Any) -> Iterator[Object]:
    if isinstance(node, dict):
        if node.get("name") == "window" and "value" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _windows(item)


def _seconds(text: str | int) -> int:
    if isinstance(text, int):
        return text
    parts = re.findall(r"(\d+)([smh])", text)
    assert "".join(map("".join, parts)) == text, f"not a duration: {text}"
    return sum(int(number) * SECONDS[unit] for number, unit in parts)


def with_service_accounts(objects: list[Object]) -> list[Object]:
    """Name the default ServiceAccount where a pod mounts a token of it.

    Every cluster's admission does so; the rig's API servers run without, as nobody makes ServiceAccounts there.
    """
    for one in objects:
        pod = one.get("spec", {}).get("template", {}).get("spec", {})
        sources = [source for volume in pod.get("volumes", []) for source in _sources(volume)]
        if any("serviceAccountToken" in source for source in sources):
            pod.setdefault("serviceAccountName", "default")
    return objects


def _sources(volume: Object) -> list[Object]:
    found: list[Object] = volume.get("projected", {}).get("sources", [])
    return found


class Example(App):
    """An app of this project's example fleet, with the overlays as they are committed, in a copy of it."""

    def __init__(
        self, fleet: Fleet, member: Member, root: Path, name: str, addresses: Mapping[str, str]
    ) -> None:
        self.committed = str(
            yaml.safe_load((PROJECT / f"specs/{name}/canary.yaml").read_text())["metadata"]["namespace"]
        )
        self.addresses = {EXAMPLE_PROMETHEUS: fleet.prometheus, **addresses}
        super().__init__(fleet, member, root, name, {})

    def on(self, cluster: str) -> Release:
        """From now on build the overlay of this cluster; the release that it points at."""
        self.cluster = cluster
        return self.frozen(self.pointed)

    def next_release(self, version: str, old: str, new: str) -> Release:
        """Edit the app's files (a text for another, the version in the spec), render, and point the cluster."""
        spec = self.root / "specs" / self.name
        for path in (path for path in spec.rglob("*.yaml") if path.is_file()):
            text = re.sub(r"^version: .*$", f"version: {version}", path.read_text(), flags=re.MULTILINE)
            path.write_text(text.replace(old, new))
        self.cli("render")
        return _pointed(self)

    def built(self) -> list[Object]:
        """The committed overlay's objects, in the test's own namespace and in seconds."""
        text = self.moved(kustomize(self.overlays / "clusters" / self.cluster))
        return quick(wrong.made(load(text)))

    def moved(self, text: str) -> str:
        """Manifests with the app's namespace and the addresses of metric servers replaced."""
        for old, new in self.addresses.items():
            text = text.replace(old, new)
        return re.sub(rf"\b{self.committed}\b", self.namespace, text)

    def _repository(self) -> None:
        for folder in ("specs", "clusters", "overlays"):
            shutil.copytree(PROJECT / folder, self.root / folder)
        settings = yaml.safe_load((PROJECT / "fleet.yaml").read_text())
        del settings["freezes"]  # the test passes in December, too
        self._settings("fleet.yaml", settings)
        self.git("init", "-q", "-b", "main")
        self.commit("the example fleet")


class Case(App):
    """A golden case: its files as they are, but for the namespace, Prometheus, and the version."""

    def __init__(
        self, fleet: Fleet, member: Member, root: Path, case: str, cluster: str, addresses: Mapping[str, str]
    ) -> None:
        self.case, self.cluster = case, cluster
        self.addresses = {**dict.fromkeys(GOLDEN_PROMETHEUS, fleet.prometheus), **addresses}
        super().__init__(fleet, member, root, "chat", {})

    def release(self, version: str | None = None, **changes: Any) -> Release:
        """Render the case with this version and an image of its own, and point the cluster at it."""
        assert version
        assert not changes
        digest = version.replace(".", "").ljust(64, "0")
        for path in (self.root / "specs").rglob("*.yaml"):
            text = re.sub(r"^version: .*$", f"version: {version}", path.read_text(), flags=re.MULTILINE)
            path.write_text(re.sub(r"@sha256:[0-9a-f]{64}", f"@sha256:{digest}", text))
        self.cli("render")
        return _pointed(self)

    def built(self) -> list[Object]:
        """What the real kustomize makes of the overlay, in seconds."""
        return quick(with_service_accounts(super().built()))

    def _repository(self) -> None:
        for source in (GOLDEN / "shared", GOLDEN / "cases" / self.case):
            for item in source.iterdir():
                if item.name != "expected":
                    self._take(item)
        for path in self.root.rglob("*.yaml"):
            text = re.sub(r"\bnamespace: ai\b", f"namespace: {self.namespace}", path.read_text())
            for old, new in self.addresses.items():
                text = text.replace(old, new)
            path.write_text(text)
        self.git("init", "-q", "-b", "main")
        self.commit(self.case)

    def _take(self, item: Path) -> None:
        target = (
            self.root / ("" if item.name in {"fleet.yaml", "clusters"} else f"specs/{self.name}") / item.name
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        if item.is_dir():
            shutil.copytree(item, target, dirs_exist_ok=True)
        else:
            shutil.copy(item, target)


def outfit(app: Case) -> None:
    """Give the cluster what the cases ask for: labels of nodes and a namespace (they stay), and a volume."""
    labels = {"accelerator": "h100", "example.com/pool": "edge"}
    app.kube.patch_at("/api/v1/nodes/fake-0", {"metadata": {"labels": labels}})
    if app.case == "sticky-header":
        app.kube.ensure_namespace("mesh-root")
    if app.case == "pod":
        objects = _volume(app.namespace)
        app.apply(objects)
        for one in objects:  # nobody here would ever take the finalizers from a volume and its claim
            app.kube.patch_at(app.kube.path_of(one), {"metadata": {"finalizers": None}})


def _volume(namespace: str) -> list[Object]:
    """A volume and the claim `models`, bound as the volume controller binds them."""
    size = {"storage": "1Gi"}
    metadata = {"name": "models", "namespace": namespace}
    volume = {"capacity": size, "accessModes": ["ReadOnlyMany"], "hostPath": {"path": "/models"}}
    claim = {
        "accessModes": ["ReadOnlyMany"],
        "resources": {"requests": size},
        "volumeName": namespace,
        "storageClassName": "",
    }
    bound = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": namespace},
            "spec": {**volume, "claimRef": {**metadata, "apiVersion": "v1", "kind": "PersistentVolumeClaim"}},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {**metadata, **bound},
            "spec": claim,
        },
    ]


def needed(app: Case) -> list[Object]:
    """What the cases name and the people of a cluster provide."""
    return [secret(app.namespace, name, TOKEN) for name in ("desk", "quality-api")]


class Server:
    """Answers as an HTTP API of somebody else does: JSON by path; it remembers who asked for what."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        self.answers = answers
        self.asked: set[tuple[str, str]] = set()
        self._server = net.Server(self._handler())
        self.address = f"http://{LOOPBACK}:{self._server.port}"

    def close(self) -> None:
        """End the server."""
        self._server.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.add((self.path, self.headers.get("Authorization", "")))
                body = json.dumps(server.answers.get(self.path)).encode()
                self.send_response(200 if self.path in server.answers else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Keep quiet."""

        return Handler


def secret(namespace: str, name: str, token: str) -> Object:
    """A Secret that a spec names and Git doesn't have."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": token}}


def _pointed(app: App) -> Release:
    """Commit what was rendered, and point the app's cluster at the candidate; the release."""
    candidate = app.candidate
    app.commit("render")
    release = app.frozen(candidate)
    wave = next(wave.name for wave in release.waves if app.cluster in wave.members)
    while app.pointed != candidate:  # batch by batch; a batch of none is an error of `point`
        app.cli("point", app.name, "--wave", wave, "--release", candidate, "--verified", "all")
    app.commit(f"point at {candidate}")
    return release


# ---- what the stacks say of good pods ---------------------------------------------------------

PER_SECOND = 200.0
REVISIONS = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
MILLISECONDS = (5, 10, 25, 50, 100, 250)  # of Istio's buckets; everything takes 10 to 25
BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1")  # of vLLM's; everything takes 0.01 to 0.025 s
HISTOGRAMS = (
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:e2e_request_latency_seconds",
)
COUNTERS = {  # of a pod, a second
    "vllm:generation_tokens_total": 5000.0,
    "mcp_server_operation_duration_seconds_count": PER_SECOND,
    "payments_scored_total": PER_SECOND,
    "payments_approved_total": 0.8 * PER_SECOND,
    "chat_total": PER_SECOND,
    "chat_sales": 0.1 * PER_SECOND,
    "chat_bad_total": 0.0,
}
GAUGES = {"vllm:num_requests_waiting": 1.0, "vllm:kv_cache_usage_perc": 0.3, "chat_tokens": 50.0}  # of a pod
WHOLE = {  # of a model, or of the app
    "model_psi": 0.02,
    "chat_queue": 1.0,
    "chat_drift": 0.01,
    "chat_accuracy": 0.95,
    "chat_margin": 0.0,
    "chat_rate": 0.0,
    "chat_ms": 20.0,
}


def good(app: App, template: str, service: str, per_second: float = PER_SECOND) -> None:
    """Let Istio, vLLM and the app itself say, from now on, that the pods of a template do well."""
    store = _labels_of_the_store(app)
    _requests(app, _revision(app, template), service, per_second, **store)
    share = per_second / PER_SECOND
    pod = {"namespace": app.namespace, "pod": f"{app.name}-{template}-x2k4v", **store}
    app.exporter.grow("vllm:request_success_total", per_second, finished_reason="stop", **pod)
    for histogram, bound in itertools.product(HISTOGRAMS, (*BUCKETS, "+Inf")):
        inside = per_second if float(bound) >= 0.025 else 0.0
        app.exporter.grow(f"{histogram}_bucket", inside, le=bound, **pod)
    for name, rate in COUNTERS.items():
        app.exporter.grow(name, rate * share, **pod)
    for name, value in GAUGES.items():
        app.exporter.set(name, value, **pod)
    for name, value in WHOLE.items():
        app.exporter.set(
            name, value, **{"app": app.name, "model": "fraud-gbm", "cluster": app.cluster, **store}
        )


def _labels_of_the_store(app: App) -> dict[str, str]:
    """What every series of the cluster has in a store that several share, by the fleet's own word."""
    settings = yaml.safe_load((app.root / "fleet.yaml").read_text())
    labels = settings.get("metrics", {}).get("labels", {})
    return {name: text.replace("$(cluster.name)", app.cluster) for name, text in labels.items()}


def _revision(app: App, template: str) -> str:
    """What tells a template's pods apart in Istio's metrics: as Istio does, the first of these labels."""
    labels = app.object("ReplicaSet", app.who(template))["spec"]["template"]["metadata"]["labels"]
    return next((str(labels[name]) for name in REVISIONS if name in labels), "latest")


def _requests(app: App, revision: str, service: str, per_second: float, **store: str) -> None:
    for reporter in ("source", "waypoint"):
        labels = {
            "reporter": reporter,
            "destination_service_name": service,
            "destination_service_namespace": app.namespace,
            "destination_canonical_revision": revision,
            **store,
        }
        answered = {"request_protocol": "grpc", "response_code": "200", "grpc_response_status": "0"}
        app.exporter.grow("istio_requests_total", per_second, **answered, **labels)
        for bound in (*MILLISECONDS, float("inf")):
            inside = per_second if bound >= 25 else 0.0
            le = "+Inf" if bound == float("inf") else str(bound)
            app.exporter.grow("istio_request_duration_milliseconds_bucket", inside, le=le, **labels)


# ---- what is asked of every canary ------------------------------------------------------------


def follow(app: App, release: Release, timeout: float = 4 * LIMIT) -> None:
    """Wait until the release has gone its whole way; where a step asks for a person, there is one."""
    resumed: set[int] = set()

    def done() -> bool:
        status = app.status
        assert not status.get("abort"), app.story()
        assert "InconclusiveAnalysisRun" not in _pauses(app.rollout), app.story()
        stop = _waits_for_person(app.rollout) if app._carries(release) and observed(app.rollout) else None
        if stop is not None and stop not in resumed:
            resumed.add(stop)
            app.promote()
        return app._carries(release) and complete(app.rollout)

    app.until_now(done, f"{release.id} has gone its whole way", timeout)


def _waits_for_person(rollout: Object) -> int | None:
    """The step at which only a person helps on (0 for blue-green)."""
    reasons = _pauses(rollout)
    strategy = rollout["spec"]["strategy"]
    if "BlueGreenPause" in reasons and strategy["blueGreen"].get("autoPromotionEnabled") is False:
        return 0
    if "CanaryPauseStep" in reasons:
        step: int = rollout["status"]["currentStepIndex"]
        return step if strategy["canary"]["steps"][step].get("pause") == {} else None
    return None


def _pauses(rollout: Object) -> set[str]:
    return {pause["reason"] for pause in rollout["status"].get("pauseConditions") or []}


def states(app: App, template: str | None = None) -> list[Object]:
    """The Rollout's states that the watch has seen, of one template or of all; none is missed."""
    return [
        seen.object
        for seen in app.seen()
        if seen.object["kind"] == "Rollout"
        and template in {None, seen.object.get("status", {}).get("currentPodHash")}
    ]


def refusals(app: App) -> list[str]:
    """What the controller has ever called an invalid spec.

    An object that was applied a moment ago may be unknown to its caches yet, and is "not found" for some tenths
    of a second; one that is really missing keeps the Rollout from ever being healthy, which every test asks for.
    """
    conditions = [c for state in states(app) for c in state.get("status", {}).get("conditions", [])]
    said = {c["message"] for c in conditions if "InvalidSpec" in (c["type"], c.get("reason"))}
    return sorted(message for message in said if not message.endswith("not found"))


def steps_taken(app: App, template: str) -> list[int]:
    """The steps of a template's canary in the order in which the controller took them."""
    taken = [state["status"].get("currentStepIndex") for state in states(app, template)]
    return [step for step, _ in itertools.groupby(step for step in taken if step is not None)]


def took_every_step(app: App, template: str) -> None:
    """The controller took the steps one after another, and gave the canary the weights that they say."""
    steps = app.rollout["spec"]["strategy"]["canary"].get("steps", [])
    assert steps_taken(app, template) == (list(range(len(steps) + 1)) if steps else [])
    assert app.weights() == weights_in(app)


def was_switched(app: App, stable: str, template: str) -> None:
    """Blue-green: users had the old version until the new one stood behind the preview, then the new one."""
    seen = [state["status"]["blueGreen"] for state in states(app, template)]
    switches = [(one.get("activeSelector"), one.get("previewSelector")) for one in seen]
    assert (stable, template) in switches
    assert switches[-1] == (template, template)


def weights_in(app: App) -> list[int]:
    """The weights that the spec gives a canary, from nothing to nothing; without steps none."""
    spec = yaml.safe_load((app.root / "specs" / app.name / "canary.yaml").read_text())
    steps = spec.get("exposure", {}).get("steps", [])
    given = [int(step["weight"].removesuffix("%")) for step in steps if "weight" in step]
    return [weight for weight, _ in itertools.groupby([0, *given, *([100, 0] if steps else [])])]


def unproven(app: App, template: str) -> list[str]:
    """What speaks against a template's analyses: each metric of a step has to pass, and no other may fail."""
    app.until_now(
        lambda: all(run.get("status", {}).get("completedAt") for run in app.runs(template=template)),
        "the analyses have ended",  # a background one does so a moment after the Rollout is complete
    )
    return [
        f"{run['metadata']['name']} {metric['name']}: {phases}"
        for run in (*app.runs(template=template), *app.runs("bake"))
        for metric in run["spec"]["metrics"]
        if {"metricName": f"^{metric['name']}$"} not in run["spec"].get("dryRun", [])
        and not _passed(run, phases := [m["phase"] for m in measurements(run, metric["name"])])
    ]


def _passed(run: Object, phases: list[str]) -> bool:
    """A background analysis and a bake go beside the canary: they may not have got so far."""
    kind = run["metadata"].get("labels", {}).get("rollout-type", "Bake")
    ended = kind == "Bake" or run["status"]["phase"] == "Successful"
    proven = kind in {"Bake", "Background"} or "Successful" in phases
    return ended and proven and not {"Failed", "Error"} & set(phases)
