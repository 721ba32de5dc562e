"""Freezing: from a spec and all it names to one release, as files whose bytes never change again."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from canaryfleet import metrics, waves
from canaryfleet.digest import ID_LENGTH, digest, sha256
from canaryfleet.emit import emit, emit_all
from canaryfleet.engines import argo_rollouts
from canaryfleet.engines.argo_rollouts import Identity, Rendered
from canaryfleet.errors import WARNING, Issue
from canaryfleet.live import Settings, frozen_part, resolve, unresolved
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.canary import Canary
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.release import (
    LiveShape,
    Release,
    ReleaseCluster,
    ReleaseMetadata,
    ReleaseMetric,
    ReleaseWave,
)
from canaryfleet.nearest import nearest
from canaryfleet.quantity import duration
from canaryfleet.routing import istio
from canaryfleet.routing.istio import Routing
from canaryfleet.variables import of_cluster
from canaryfleet.workload import build
from canaryfleet.workload.base import frozen_base
from canaryfleet.workload.objects import Bounds, Object, Workload
from canaryfleet.workload.pod import Pod, pod, unknown_variables

GENERATED = "Made by canaryfleet; frozen. A change is a new release."


class Inputs(NamedTuple):
    """All that a release is made of. `data`: the spec as it was read; `files`: by path as written."""

    spec: Canary
    data: dict[str, Any]
    base: Sequence[Object] | None
    files: Mapping[str, bytes]
    fleet: Fleet
    clusters: Mapping[str, Cluster]
    tools: Mapping[str, str]


class Frozen(NamedTuple):
    """A release and its files (paths below `overlays/<app>/`), and the live part of its inputs."""

    release: Release
    files: dict[str, bytes]
    bounds: Bounds


class Outcome(NamedTuple):
    """A frozen release, unless one of the issues (paths in the spec) is an error."""

    frozen: Frozen | None
    issues: tuple[Issue, ...]


def freeze(inputs: Inputs) -> Outcome:
    """Resolve everything; all issues of the spec are found, not only the first."""
    spec = inputs.spec
    members = waves.resolve(spec.metadata.name, spec.waves_in_force(), inputs.clusters)
    issues = [*_wave_issues(inputs, members), *argo_rollouts.check(spec)]
    built = build(spec, inputs.base, inputs.files)
    issues += built.issues
    if built.workload is None:
        probe = metrics.resolve(spec.analysis, _context(inputs, spec.metadata.name))
        return Outcome(None, (*issues, *_below("analysis", probe.issues)))
    workload = built.workload
    issues += istio.check(spec, workload)
    context = _context(inputs, workload.service["metadata"]["name"])
    resolved = metrics.resolve(spec.analysis, context)
    issues += _below("analysis", resolved.issues)
    issues += _bake_issues(spec, resolved.measures)
    issues += _live_issues(inputs, workload.bounds, resolved.measures)
    pods = _pods(inputs, workload, [name for names in members.values() for name in names])
    issues += pods.issues
    if any(issue.severity != WARNING for issue in issues):
        return Outcome(None, tuple(issues))
    plan = _Plan(inputs, workload, resolved.measures, members, pods, metrics.requests(context))
    return Outcome(_frozen(plan), tuple(issues))


def _below(head: str, issues: Iterable[Issue]) -> list[Issue]:
    return [issue._replace(path=(head, *issue.path)) for issue in issues]


def _context(inputs: Inputs, service: str) -> metrics.Context:
    spec = inputs.spec
    return metrics.Context(
        app=spec.metadata.name,
        namespace=spec.metadata.namespace,
        service=service,
        services="|".join(istio.service_names(spec, service)),
        protocol=spec.exposure.protocol,
        selector=inputs.fleet.metrics.selector,
        strategy="blueGreen" if spec.exposure.blueGreen else "canary",
    )


# What can be wrong between the spec and the fleet


def _wave_issues(inputs: Inputs, members: Mapping[str, Sequence[str]]) -> Iterable[Issue]:
    spec = inputs.spec
    for key in ("waves", "hotfixWaves"):
        seen: set[str] = set()
        for index, wave in enumerate(getattr(spec, key)):
            if wave.name in seen:
                yield Issue(
                    (key, index, "name"),
                    "CF101",
                    f"a second wave is named {wave.name}",
                    "give each wave its own name",
                )
            seen.add(wave.name)
            yield from _unknown_clusters(inputs, (key, index, "clusters"), wave.clusters or ())
    for index, override in enumerate(spec.overrides):
        yield from _unknown_clusters(inputs, ("overrides", index, "clusters"), override.clusters)
    placed = {name for names in members.values() for name in names}
    key = "hotfixWaves" if spec.waves_in_force() is not spec.waves else "waves"
    for name, cluster in sorted(inputs.clusters.items()):
        if cluster.lifecycle == "active" and name not in placed:
            yield Issue(
                (key,),
                "CF102",
                f"cluster {name} is in no wave",
                "add it to one, or end with a wave that names no clusters: it takes the rest",
            )
    for index, wave in enumerate(spec.waves_in_force()):
        if not members[wave.name]:
            yield Issue(
                (key, index),
                "CF103",
                f"wave {wave.name} has no cluster",
                "no cluster matches that is in no earlier wave",
                WARNING,
            )


def _unknown_clusters(inputs: Inputs, at: tuple[str | int, ...], names: Sequence[str]) -> Iterable[Issue]:
    for index, name in enumerate(names):
        if name not in inputs.clusters:
            yield Issue((*at, index), "CF104", f"no cluster is named {name}", nearest(name, inputs.clusters))


def _bake_issues(spec: Canary, measures: Sequence[metrics.Measure]) -> Iterable[Issue]:
    if any(metrics.BAKE in measure.during for measure in measures):
        return
    for key in ("waves", "hotfixWaves"):
        for index, wave in enumerate(getattr(spec, key)):
            if duration(wave.minSuccessTime):
                yield Issue(
                    (key, index, "minSuccessTime"),
                    "CF105",
                    "nothing can be measured while it bakes",
                    "add a Prometheus metric with a rollback threshold of its own, or remove it",
                )


def _live_issues(inputs: Inputs, bounds: Bounds, measures: Sequence[metrics.Measure]) -> Iterable[Issue]:
    settings = Settings(inputs.spec, bounds, inputs.fleet)
    prometheus = any(measure.provider == "prometheus" for measure in measures)
    for name, cluster in sorted(inputs.clusters.items()):
        live = resolve(settings, cluster)
        for variable in sorted(unresolved(live)):
            yield Issue(
                ("exposure",),
                "CF106",
                f"cluster {name} has no $({variable})",
                "add it to the cluster's `variables`",
            )
        if prometheus and not live.address.startswith(("http://", "https://")):
            said = f"has {live.address!r}" if live.address else "is not known"
            yield Issue(
                ("analysis", "metrics"),
                "CF107",
                f"the Prometheus address of cluster {name} {said}",
                "set `metrics.prometheus` in the cluster's file or in fleet.yaml to http://… or https://…",
            )
        if live.hosts and not live.gateways:
            yield Issue(
                ("exposure", "hosts"),
                "CF108",
                f"on {name} no gateway takes the hosts",
                "add `exposure.gateways`",
            )
        if live.minimum is not None and live.maximum is not None and live.minimum > live.maximum:
            yield Issue(
                ("workload",),
                "CF109",
                f"on {name} the autoscaler's bounds are {live.minimum} to {live.maximum}",
                "the minimum must not exceed the maximum",
            )


# Pods of the clusters


class _Pods(NamedTuple):
    base: Pod
    by_cluster: dict[str, Pod]
    issues: list[Issue]


def _pods(inputs: Inputs, workload: Workload, members: Sequence[str]) -> _Pods:
    """Each member's pod; clusters with the same overrides and variables share one."""
    overrides = inputs.spec.overrides
    made: dict[Any, Pod] = {}
    by_cluster: dict[str, Pod] = {}
    issues: list[Issue] = []
    used = unknown_variables([workload.template, [item.env for item in overrides]], {})
    for name in members:
        cluster = inputs.clusters[name]
        variables = of_cluster(name, cluster.metadata.labels, cluster.variables)
        for missing in sorted(used - set(variables)):
            issues.append(
                Issue(
                    ("workload",),
                    "CF106",
                    f"cluster {name} has no $({missing})",
                    "add it to the cluster's `variables`",
                )
            )
        chosen = waves.overrides_of(overrides, cluster)
        key = (tuple(chosen), tuple(variables.get(item) for item in sorted(used)))
        if key not in made:
            made[key] = pod(workload, [overrides[index] for index in chosen], variables)
        by_cluster[name] = made[key]
    return _Pods(pod(workload, [], {}), by_cluster, issues)


# The release


class _Plan(NamedTuple):
    inputs: Inputs
    workload: Workload
    measures: tuple[metrics.Measure, ...]
    members: Mapping[str, tuple[str, ...]]
    pods: _Pods
    requests: str


def _frozen(plan: _Plan) -> Frozen:
    spec, workload = plan.inputs.spec, plan.workload
    full = release_digest(plan.inputs)
    identity = Identity(f"{spec.version}-{full[:ID_LENGTH]}", workload.digest)
    routing = istio.render(spec, workload)
    rendered = argo_rollouts.render(
        spec, workload, routing, plan.pods.base, plan.measures, identity, plan.requests
    )
    variants = {
        made.digest: made for made in plan.pods.by_cluster.values() if made.digest != plan.pods.base.digest
    }
    files = _release_files(plan, routing, rendered, variants)
    release = _release(plan, full, identity, rendered, routing, files)
    folder = f"releases/{identity.release}/"
    written = {folder + path: data for path, data in files.items()}
    written[folder + "release.yaml"] = emit(_plain(release), header=GENERATED).encode()
    for name, data in _config_files(workload.config):
        written[f"config/{name}"] = data
    return Frozen(release, written, workload.bounds)


def release_digest(inputs: Inputs) -> str:
    """Digest of the inputs: the spec without what is live, the built base, the files' content."""
    base = None if inputs.base is None else frozen_base(inputs.spec, inputs.base)
    files = {path: sha256(data) for path, data in inputs.files.items()}
    return digest({"spec": frozen_part(inputs.data), "base": base, "files": files})


def _release_files(
    plan: _Plan, routing: Routing, rendered: Rendered, variants: Mapping[str, Pod]
) -> dict[str, bytes]:
    parts: dict[str, list[Object]] = {
        "rollout.yaml": [],
        "analysis.yaml": [],
        "routing.yaml": list(routing.objects),
    }
    for item in rendered.objects:
        parts["analysis.yaml" if item["kind"] == "AnalysisTemplate" else "rollout.yaml"].append(item)
    parts["others.yaml"] = [
        *([plan.workload.disruption] if plan.workload.disruption else []),
        *plan.workload.carried,
    ]
    labels = plan.inputs.fleet.labels
    files = {
        name: emit_all([_labelled(item, labels) for item in items]).encode()
        for name, items in parts.items()
        if items
    }
    files["kustomization.yaml"] = _kustomization("Kustomization", {"resources": sorted(files)})
    for wave, run in rendered.waves.items():
        files[f"waves/{wave}/bake.yaml"] = emit(_labelled(run, labels)).encode()
        files[f"waves/{wave}/kustomization.yaml"] = _kustomization(
            "Kustomization", {"resources": ["bake.yaml"]}
        )
    for name, made in variants.items():
        files[f"variants/{name[:ID_LENGTH]}/kustomization.yaml"] = _variant(
            plan, made, analysis=rendered.analysis
        )
    return files


def _labelled(item: Object, labels: Mapping[str, str]) -> Object:
    if not labels:
        return item
    metadata = item["metadata"]
    return item | {"metadata": metadata | {"labels": dict(labels) | metadata.get("labels", {})}}


def _kustomization(kind: str, body: Mapping[str, Any]) -> bytes:
    version = "v1alpha1" if kind == "Component" else "v1beta1"
    head = {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind}
    return emit(head | dict(body), header=GENERATED).encode()


def _variant(plan: _Plan, made: Pod, *, analysis: bool) -> bytes:
    """A component that makes the base's pods those of some clusters."""
    adopted = plan.inputs.spec.workload.adopt is not None
    deployment = (plan.workload.deployment or {}).get("metadata", {}).get("name")
    target = {"group": "apps", "kind": "Deployment", "name": deployment}
    if not adopted:
        target = {"group": "argoproj.io", "kind": "Rollout", "name": plan.inputs.spec.metadata.name}
    patches = [_patch(target, _difference(plan.pods.base.template, made.template, "/spec/template"))]
    if analysis:
        revision = [{"op": "add", "path": "/spec/args/2/value", "value": made.digest}]
        selected = {"group": "argoproj.io", "labelSelector": "app.kubernetes.io/managed-by=canaryfleet"}
        patches += [
            _patch(selected | {"kind": kind}, revision) for kind in ("AnalysisTemplate", "AnalysisRun")
        ]
    return _kustomization("Component", {"patches": patches})


def _patch(target: Mapping[str, Any], operations: Sequence[Mapping[str, Any]]) -> Object:
    return {"target": dict(target), "patch": emit(list(operations))}


def _difference(old: Any, new: Any, at: str) -> list[Object]:
    """JSON 6902 operations from one pod template to another; nothing is ever removed by an override."""
    if isinstance(old, dict) and isinstance(new, dict):
        changed = [key for key in new if key not in old or old[key] != new[key]]
        return [
            step
            for key in changed
            for step in (
                _difference(old[key], new[key], f"{at}/{_pointer(key)}")
                if key in old
                else [{"op": "add", "path": f"{at}/{_pointer(key)}", "value": new[key]}]
            )
        ]
    if (
        isinstance(old, list)
        and isinstance(new, list)
        and len(old) == len(new)
        and all(isinstance(item, dict) for item in old)
    ):
        return [
            step
            for index, pair in enumerate(zip(old, new, strict=True))
            for step in _difference(*pair, f"{at}/{index}")
        ]
    return [] if old == new else [{"op": "replace", "path": at, "value": new}]


def _pointer(key: str) -> str:
    """A key as RFC 6901 writes it."""
    return key.replace("~", "~0").replace("/", "~1")


def config_name(item: Object) -> str:
    """Folder of a ConfigMap or Secret below `config/`; its name contains the digest of its content."""
    return str(item["metadata"]["name"]) + ("" if item["kind"] == "ConfigMap" else ".secret")


def _config_files(config: Sequence[Object]) -> Iterable[tuple[str, bytes]]:
    for item in config:
        name = config_name(item)
        yield f"{name}/config.yaml", emit(item).encode()
        yield f"{name}/kustomization.yaml", _kustomization("Kustomization", {"resources": ["config.yaml"]})


def _plain(model: Any) -> Any:
    from msgspec import to_builtins

    return to_builtins(model)


def _release(
    plan: _Plan,
    full: str,
    identity: Identity,
    rendered: Rendered,
    routing: Routing,
    files: Mapping[str, bytes],
) -> Release:
    spec, workload = plan.inputs.spec, plan.workload
    return Release(
        apiVersion=API_VERSION,
        kind="Release",
        metadata=ReleaseMetadata(name=spec.metadata.name, namespace=spec.metadata.namespace),
        id=identity.release,
        version=spec.version,
        digest=full,
        workload=workload.digest,
        selector=workload.selector,
        engine=spec.engine,
        routing=spec.routing,
        strategy="blueGreen" if spec.exposure.blueGreen else "canary",
        urgency=spec.urgency,
        tools=dict(plan.inputs.tools),
        config=tuple(sorted(config_name(item) for item in workload.config)),
        live=LiveShape(
            replicas=workload.autoscaler is None,
            autoscaler=workload.autoscaler,
            virtualService=spec.metadata.name,
            internalHost=routing.internal_host,
            preview=routing.preview,
            analysis=rendered.analysis,
        ),
        steps=rendered.steps,
        metrics=tuple(_metric(measure) for measure in plan.measures),
        waves=tuple(_wave(plan, index) for index in range(len(spec.waves_in_force()))),
        clusters={name: _cluster(plan, name) for name in sorted(plan.pods.by_cluster)},
        files={path: sha256(data) for path, data in sorted(files.items())},
    )


def _metric(measure: metrics.Measure) -> ReleaseMetric:
    return ReleaseMetric(
        name=measure.name,
        during=measure.during,
        promote=str(measure.promote) if measure.promote else None,
        rollback=str(measure.rollback) if measure.rollback else None,
        minimumSamples=measure.minimum,
        comparedTo="stable" if measure.compared else None,
    )


def _wave(plan: _Plan, index: int) -> ReleaseWave:
    wave = plan.inputs.spec.waves_in_force()[index]
    return ReleaseWave(
        name=wave.name,
        members=plan.members[wave.name],
        maxConcurrency=wave.maxConcurrency,
        minSuccessTime=wave.minSuccessTime,
        progressDeadline=wave.progressDeadline,
        maxFailures=wave.maxFailures,
        approval=wave.approval,
    )


def _cluster(plan: _Plan, name: str) -> ReleaseCluster:
    cluster, made = plan.inputs.clusters[name], plan.pods.by_cluster[name]
    return ReleaseCluster(
        pod=made.digest,
        variant=None if made.digest == plan.pods.base.digest else made.digest[:ID_LENGTH],
        capacity=_number(cluster.capacity),
        labels=cluster.metadata.labels,
    )


def _number(value: float) -> float:
    return int(value) if math.isfinite(value) and value == int(value) else value
