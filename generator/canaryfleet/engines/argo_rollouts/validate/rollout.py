"""Reading a Rollout: where its parts stand, and the objects that it names."""

from collections.abc import Iterator
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.plain import (
    Entry,
    Object,
    Path,
    as_map,
    as_text,
    at,
    entries,
    map_or_none,
)
from canaryfleet.engines.argo_rollouts.validate.world import World, kind_of, namespace_of

# What the controller does with a Rollout that names something that is not there.
INVALID = "the Rollout would be InvalidSpec and stand still"


def canary_of(rollout: Object) -> dict[Any, Any]:
    return as_map(rollout, *canary_path())


def canary_path(*rest: str | int) -> Path:
    return ("spec", "strategy", "canary", *rest)


def blue_green_path(*rest: str | int) -> Path:
    return ("spec", "strategy", "blueGreen", *rest)


def router_of(rollout: Object) -> dict[Any, Any] | None:
    """trafficRouting, or None."""
    return map_or_none(canary_of(rollout), "trafficRouting")


def steps_of(rollout: Object) -> list[Entry]:
    return entries(rollout, *canary_path("steps"))


def route_steps(rollout: Object) -> Iterator[tuple[Path, str, dict[Any, Any]]]:
    """Header and mirror routes: (path, key of the step, route)."""
    for path, step in steps_of(rollout):
        for key in ("setHeaderRoute", "setMirrorRoute"):
            if isinstance(step.get(key), dict):
                yield (*path, key), key, step[key]


def workload_of(rollout: Object, world: World) -> Object | None:
    """The workload behind workloadRef, if it is here."""
    reference = as_map(rollout, "spec", "workloadRef")
    return world.find(as_text(reference, "kind"), namespace_of(rollout), as_text(reference, "name"))


def pod_template_of(item: Object, world: World) -> dict[Any, Any] | None:
    """The pod template in force: the Rollout's own, or its workload's; None if it can't be seen."""
    if at(item, "spec", "workloadRef") is None:
        return as_map(item, "spec", "template")
    workload = workload_of(item, world)
    if workload is None:
        return None
    return as_map(workload, *(("template",) if kind_of(workload) == "PodTemplate" else ("spec", "template")))


def service_names(rollout: Object) -> Iterator[tuple[Path, str]]:
    """The Services that it names, each with its path."""
    places = [canary_path(field) for field in ("canaryService", "stableService")]
    places += [canary_path("pingPong", field) for field in ("pingService", "pongService")]
    places += [blue_green_path(field) for field in ("activeService", "previewService")]
    for path in places:
        name = as_text(rollout, *path)
        if name:
            yield path, name


def istio_of(rollout: Object) -> dict[Any, Any] | None:
    """trafficRouting.istio, or None."""
    return map_or_none(router_of(rollout), "istio")


def istio_path(*rest: str | int) -> Path:
    return canary_path("trafficRouting", "istio", *rest)


def istio_entries(rollout: Object) -> list[Entry]:
    """virtualService or virtualServices, each with its path."""
    path = istio_path("virtualService")
    single = map_or_none(rollout, *path)
    return [*([] if single is None else [(path, single)]), *entries(rollout, *istio_path("virtualServices"))]


def virtual_service_key(entry: dict[Any, Any], namespace: str) -> tuple[str, str]:
    """Namespace and name behind `name` or `name.namespace`."""
    name, dot, other = as_text(entry, "name").removesuffix(".cluster.local").rpartition(".")
    return (other, name) if dot else (namespace, other)


def virtual_services_of(rollout: Object, world: World) -> Iterator[tuple[Path, Object, dict[Any, Any]]]:
    """The VirtualServices that a Rollout manages and that are here: (path of the entry, object, entry)."""
    for path, entry in istio_entries(rollout):
        service = world.find("VirtualService", *virtual_service_key(entry, namespace_of(rollout)))
        if service is not None:
            yield path, service, entry


def http_of(service: Object) -> list[Entry]:
    """The HTTP routes of a VirtualService."""
    return entries(service, "spec", "http")


def route_names(service: Object) -> list[str]:
    return [as_text(route, "name") for _, route in http_of(service)]
