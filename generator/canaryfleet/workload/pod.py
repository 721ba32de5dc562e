"""The pod template: what a spec adds to its serving container, and what differs on some clusters."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from canaryfleet.digest import stamp
from canaryfleet.errors import Issue
from canaryfleet.models.canary import Canary, EnvSource, Override
from canaryfleet.quantity import duration
from canaryfleet.variables import CLUSTER_PREFIX, names, substitute_all
from canaryfleet.workload.objects import POD_ANNOTATION, REVISION_LABEL, WORKLOAD_ANNOTATION, Object, Workload

MUTABLE_VERSIONS = frozenset(
    ["latest", "main", "master", "stable", "dev", "head", "current", "production", "prod", "edge", "nightly"]
)


def add_model(spec: Canary, container: Object) -> list[Issue]:
    """Tell the container its model; an issue if the model can change under the release."""
    model = spec.workload.model
    if model is None:
        return []
    given = {"NAME": model.name, "VERSION": model.version, "URI": model.uri, "CHECKSUM": model.checksum}
    for name, value in given.items():
        if value:
            set_env(container, {"name": f"MODEL_{name}", "value": value})
    if spec.workload.mutable or model.checksum or model.version.lower() not in MUTABLE_VERSIONS:
        return []
    return [
        Issue(
            ("workload", "model", "version"),
            "CF117",
            f"the model version {model.version} can change under a release",
            "name an immutable version or give a `checksum`; or say `mutable: true`",
        )
    ]


def add_env(spec: Canary, container: Object, *, from_base: bool) -> list[Issue]:
    """Merge the spec's variables over the container's, in place where a name is there already."""
    env = container.setdefault("env", [])
    places = {item.get("name"): index for index, item in enumerate(env)}
    issues = []
    for name, value in spec.workload.env.items():
        if name in places and not from_base:
            issues.append(
                Issue(("workload", "env", name), "CF116", f"{name} is set by `model`", "remove one of them")
            )
            continue
        entry = env_entry(name, value)
        if name in places:
            env[places[name]] = entry
        else:
            env.append(entry)
    if not env:
        del container["env"]
    return issues


def set_env(container: Object, entry: Object) -> None:
    """Set a variable where it stands: only those after it may use it as `$(NAME)`."""
    env = container.setdefault("env", [])
    for index, item in enumerate(env):
        if item.get("name") == entry["name"]:
            env[index] = entry
            return
    env.append(entry)


def env_entry(name: str, value: str | EnvSource) -> Object:
    """One entry of a container's `env`."""
    if isinstance(value, str):
        return {"name": name, "value": value}
    if value.field:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": value.field}}}
    key = "secretKeyRef" if value.secret else "configMapKeyRef"
    return {
        "name": name,
        "valueFrom": {key: {"name": value.secret or value.configMap, "key": value.key or name}},
    }


def add_resources(container: Object, spec: Canary) -> None:
    """The spec's resources instead of the container's."""
    resources = spec.workload.resources
    if resources is not None:
        container["resources"] = resource_block(resources.limits, resources.requests)


def resource_block(limits: Mapping[str, Any], requests: Mapping[str, Any]) -> Object:
    """Kubernetes' `resources`; quantities as strings, since that is how the API server keeps them."""
    block = {"limits": limits, "requests": requests}
    return {key: {name: str(value) for name, value in part.items()} for key, part in block.items() if part}


OPTIONAL = ("resources", "securityContext", "affinity")


def drop_empty(template: Object) -> None:
    """Leave out maps that say nothing: an empty one is as good as none, but can't follow a full one.

    Of a Rollout the API server makes null out of it in a server-side apply, and refuses that (a Deployment
    is accepted).
    """
    spec = template["spec"]
    for part in (spec, *_containers(spec)):
        for key in OPTIONAL:
            if key not in part:
                continue
            part[key] = _without_empty(part[key])
            if part[key] == {}:
                del part[key]


def _containers(spec: Object) -> tuple[Object, ...]:
    return (*spec.get("containers", ()), *spec.get("initContainers", ()))


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kept = {key: _without_empty(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item != {}}


PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def say_defaults(template: Object) -> None:
    """Say what the definition of a Rollout has a default for, and Argo CD would else take for a difference for ever.

    It does so of a part of a list's key (the `protocol` of a port) and of an empty text (the `service` of a gRPC
    probe); seen with 3.5.1 and server-side apply.
    """
    for part in _containers(template["spec"]):
        for port in part.get("ports") or ():
            port.setdefault("protocol", "TCP")
        for probe in filter(None, map(part.get, PROBES)):
            if "grpc" in probe:
                probe["grpc"].setdefault("service", "")


PRE_STOP = 10  # seconds for endpoints and proxies to learn that a pod is leaving

PROBE_PERIOD = 5


def add_lifecycle(spec: Canary, template: Object, container: Object, port: int) -> None:
    """Start-up probe for a long model load, and a graceful end for long requests."""
    work = spec.workload
    if work.startup:
        handlers = ("httpGet", "tcpSocket", "grpc", "exec")
        like = (
            container.get("startupProbe")
            or container.get("readinessProbe")
            or {"tcpSocket": {"port": _target(container, port)}}
        )
        probe = {key: like[key] for key in handlers if key in like}
        attempts = math.ceil(duration(work.startup) / PROBE_PERIOD)
        container["startupProbe"] = probe | {
            "periodSeconds": PROBE_PERIOD,
            "failureThreshold": max(1, attempts),
        }
    if work.drain:
        seconds = math.ceil(duration(work.drain))
        template["spec"]["terminationGracePeriodSeconds"] = seconds + PRE_STOP + 5
        container.setdefault("lifecycle", {}).setdefault("preStop", {"sleep": {"seconds": PRE_STOP}})
        template["metadata"]["annotations"].setdefault(
            "proxy.istio.io/config", f'{{"terminationDrainDuration":"{seconds}s"}}'
        )


def _target(container: Object, port: int) -> int:
    ports = container.get("ports") or []
    return int(ports[0].get("containerPort", port)) if ports else port


def pinned(spec: Canary, template: Object) -> list[Issue]:
    """An issue for each image that is not pinned by digest."""
    if spec.workload.mutable:
        return []
    at = ("workload", "base" if spec.workload.base else "image")
    pods = template["spec"]
    return [
        Issue(
            at,
            "CF117",
            f"the image {item.get('image')} is not pinned by digest",
            f"`canaryfleet pin {spec.metadata.name}` adds `@sha256:…`; or say `mutable: true`",
        )
        for item in (*pods.get("initContainers", []), *pods.get("containers", []))
        if not has_digest(str(item.get("image", "")))
    ]


def has_digest(image: str) -> bool:
    """Whether an image is pinned: by SHA-256, and whole."""
    algorithm, _, value = image.rpartition("@")[2].partition(":")
    return (
        "@" in image and algorithm == "sha256" and len(value) == 64 and set(value) <= set("0123456789abcdef")
    )


SUBSTITUTED = ("command", "args", "env")  # of the serving container, with a cluster's variables


class Pod(NamedTuple):
    """A pod template for some clusters: stamped, with the digest that stands in it."""

    template: Object
    digest: str


def pod(workload: Workload, overrides: Sequence[Override], variables: Mapping[str, str]) -> Pod:
    """The stamped pod template of a cluster with these overrides and `$(cluster.…)` variables."""
    template = copy.deepcopy(workload.template)
    container = template["spec"]["containers"][workload.container]
    for override in overrides:
        _override(template, container, override)
    for key in SUBSTITUTED:
        if names(container.get(key)):
            container[key] = substitute_all(container[key], variables.get)
    drop_empty(template)
    say_defaults(template)
    digest = stamp(template)
    template["metadata"]["labels"][REVISION_LABEL] = digest
    template["metadata"]["annotations"] |= {WORKLOAD_ANNOTATION: workload.digest, POD_ANNOTATION: digest}
    return Pod(template, digest)


def _override(template: Object, container: Object, override: Override) -> None:
    if override.resources is not None:
        container["resources"] = resource_block(override.resources.limits, override.resources.requests)
    for name, value in override.env.items():
        set_env(container, {"name": name, "value": value})
    if override.nodeSelector:
        template["spec"].setdefault("nodeSelector", {}).update(override.nodeSelector)


def unknown_variables(template: Any, variables: Mapping[str, str]) -> set[str]:
    """`$(cluster.…)` names in the pod template that a cluster does not have."""
    return {name for name in names(template) if name.startswith(CLUSTER_PREFIX)} - set(variables)
