"""Freezing: from a spec and all it names to one release, as files whose bytes never change again."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from canaryfleet import metrics, sequential
from canaryfleet.digest import ID_LENGTH, sha256
from canaryfleet.emit import Unwritable, emit, emit_all
from canaryfleet.engines.argo_rollouts import held, rollout
from canaryfleet.engines.argo_rollouts.rollout import Identity, Rendered
from canaryfleet.errors import Issue
from canaryfleet.inputs import Inputs, release_digest
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.release import (
    LiveShape,
    Release,
    ReleaseCluster,
    ReleaseMetadata,
    ReleaseMetric,
    ReleaseWave,
)
from canaryfleet.resolve import Plan, resolve
from canaryfleet.routing import istio
from canaryfleet.routing.istio import Routing
from canaryfleet.workload.objects import Bounds, Object
from canaryfleet.workload.pod import Pod

GENERATED = "Made by canaryfleet; frozen. A change is a new release."

_CONFIGURATION = ("ConfigMap", "Secret", "ExternalSecret", "SealedSecret", "SecretProviderClass")
LEANED_ON = frozenset((*_CONFIGURATION, "PersistentVolumeClaim", "Role", "RoleBinding", "ServiceAccount"))
STAYS = {
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
    "argocd.argoproj.io/sync-options": "Prune=false",
}


class Frozen(NamedTuple):
    """A release and its files (paths below `overlays/<app>/`), and the live part of its inputs."""

    release: Release
    files: dict[str, bytes]
    bounds: Bounds


class Outcome(NamedTuple):
    """A frozen release, unless one of the issues (paths in the spec) is an error."""

    frozen: Frozen | None
    issues: tuple[Issue, ...]
    plan: Plan | None = None


def freeze(inputs: Inputs) -> Outcome:
    """Resolve a spec and make its release; all issues of the spec are found, not only the first."""
    found = resolve(inputs)
    if found.plan is None:
        return Outcome(None, found.issues)
    try:
        return Outcome(_frozen(found.plan), found.issues, found.plan)
    except Unwritable as error:
        at = ("workload", "base") if inputs.base is not None else ()
        remedy = "remove it from the spec, its files or its base"
        return Outcome(None, (*found.issues, Issue(at, "CF126", str(error), remedy)))


def _frozen(plan: Plan) -> Frozen:
    spec, workload = plan.inputs.spec, plan.workload
    full = release_digest(plan.inputs)
    identity = Identity(f"{spec.version}-{full[:ID_LENGTH]}", workload.digest)
    routing = istio.render(spec, workload)
    rendered = rollout.render(spec, workload, routing, plan.pods.base, plan.measures, identity, plan.requests)
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


def _release_files(
    plan: Plan, routing: Routing, rendered: Rendered, variants: Mapping[str, Pod]
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
        *map(_outliving, plan.workload.carried),
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


def _outliving(item: Object) -> Object:
    """What pods lean on by name stays when a release without it comes: then stable pods still have the traffic.

    Argo CD would prune it as the canary begins; it asks the annotations of the live object.
    """
    if item["kind"] not in LEANED_ON:
        return item
    metadata = item["metadata"]
    return item | {"metadata": metadata | {"annotations": STAYS | (metadata.get("annotations") or {})}}


def _labelled(item: Object, labels: Mapping[str, str]) -> Object:
    if not labels:
        return item
    metadata = item["metadata"]
    return item | {"metadata": metadata | {"labels": dict(labels) | metadata.get("labels", {})}}


def _kustomization(kind: str, body: Mapping[str, Any]) -> bytes:
    version = "v1alpha1" if kind == "Component" else "v1beta1"
    head = {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind}
    return emit(head | dict(body), header=GENERATED).encode()


def _variant(plan: Plan, made: Pod, *, analysis: bool) -> bytes:
    """A component that makes the base's pods those of some clusters."""
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
    """JSON 6902 operations from one pod template to another; what loses a key is replaced as a whole."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() <= new.keys():
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
        # named by its content, so nobody may give it another one: pods that restart would read that
        yield f"{name}/config.yaml", emit(item | {"immutable": True}).encode()
        yield f"{name}/kustomization.yaml", _kustomization("Kustomization", {"resources": ["config.yaml"]})


def _plain(model: Any) -> Any:
    from msgspec import to_builtins

    return to_builtins(model)


def _release(
    plan: Plan,
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
            replicas=workload.bounds.replicas is not None,  # else something scales it
            autoscaler=workload.autoscaler,
            virtualService=spec.metadata.name,
            internalHost=routing.internal_host,
            preview=routing.preview,
            analysis=rendered.analysis,
        ),
        steps=rendered.steps,
        metrics=tuple(_metric(measure) for measure in plan.measures),
        contents={made.digest: held.content(made.template) for made in _templates(plan)},
        analyses=dict(sorted(rendered.analyses.items())),
        waves=tuple(_wave(plan, index) for index in range(len(spec.waves_in_force()))),
        clusters={name: _cluster(plan, name) for name in sorted(plan.pods.by_cluster)},
        files={path: sha256(data) for path, data in sorted(files.items())},
    )


def _templates(plan: Plan) -> list[Pod]:
    """The different pods of the release, in order of their digests."""
    made = {item.digest: item for item in plan.pods.by_cluster.values()}
    return [made[digest] for digest in sorted(made)]


def _metric(measure: metrics.Measure) -> ReleaseMetric:
    return ReleaseMetric(
        name=measure.name,
        during=measure.during,
        promote=str(measure.promote) if measure.promote else None,
        rollback=str(measure.rollback) if measure.rollback else None,
        minimumSamples=measure.minimum,
        comparedTo="stable" if measure.compared else None,
        unit=sequential.UNIT if measure.test else None,
    )


def _wave(plan: Plan, index: int) -> ReleaseWave:
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


def _cluster(plan: Plan, name: str) -> ReleaseCluster:
    cluster, made = plan.inputs.clusters[name], plan.pods.by_cluster[name]
    return ReleaseCluster(
        pod=made.digest,
        variant=None if made.digest == plan.pods.base.digest else made.digest[:ID_LENGTH],
        capacity=_number(cluster.capacity),
        labels=cluster.metadata.labels,
    )


def _number(value: float) -> float:
    return int(value) if math.isfinite(value) and value == int(value) else value
