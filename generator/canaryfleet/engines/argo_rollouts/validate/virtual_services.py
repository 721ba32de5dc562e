"""The VirtualServices that a Rollout manages: there, and their routes' names (CF250, CF253)."""

from collections.abc import Iterator

from canaryfleet.engines.argo_rollouts.validate.plain import Object, as_list, as_text, at, short
from canaryfleet.engines.argo_rollouts.validate.rollout import (
    INVALID,
    http_of,
    istio_entries,
    istio_of,
    istio_path,
    route_names,
    virtual_service_key,
    virtual_services_of,
)
from canaryfleet.engines.argo_rollouts.validate.world import (
    Rule,
    Violation,
    World,
    bad,
    name_of,
    namespace_of,
)


def _istio_objects(item: Object, world: World) -> Iterator[Violation]:
    """What the Rollout's Istio routing names (CF250, CF253)."""
    settings = istio_of(item)
    if settings is None:
        return
    several, rule = settings.get("virtualServices"), settings.get("destinationRule")
    if (settings.get("virtualService") is not None) == bool(several):
        neither = "neither virtualService nor virtualServices is given"
        message = "both virtualService and virtualServices are given" if several else neither
        yield bad(item, istio_path(), "CF253", message, "give one of them")
    seen: set[tuple[str, str]] = set()
    for path, entry in istio_entries(item):
        key = virtual_service_key(entry, namespace_of(item))
        if key in seen:
            message = f"{short(entry.get('name'))} is listed twice"
            yield bad(item, path, "CF253", message, "list all its routes in one entry")
        elif world.find("VirtualService", *key) is None:
            message = f"there is no VirtualService {short(key[1])} in the namespace {short(key[0])}"
            yield bad(item, (*path, "name"), "CF250", message, INVALID)
        seen.add(key)
    if (
        isinstance(rule, dict)
        and world.find("DestinationRule", namespace_of(item), as_text(rule, "name")) is None
    ):
        message = f"there is no DestinationRule {short(rule.get('name'))} in the Rollout's namespace"
        remedy = "each reconcile would fail, with an event alone"
        yield bad(item, istio_path("destinationRule", "name"), "CF250", message, remedy)


def _routes(item: Object, world: World) -> Iterator[Violation]:
    """Which routes are managed, and their names (CF253)."""
    for path, service, entry in virtual_services_of(item, world):
        routes, names = entry.get("routes"), route_names(service)
        if not names and not any(at(service, "spec", section) for section in ("tls", "tcp")):
            yield bad(service, ("spec",), "CF253", "the VirtualService has no routes")
        if names and not routes:
            remedy = "name the HTTP routes whose weights the rollout moves"
            yield bad(item, (*path, "routes"), "CF253", "routes are not named", remedy)
        listed: set[str] = set()
        for index, route in enumerate(as_list(routes)):
            here = (*path, "routes", index)
            if as_text(route) not in names:
                message = f"the VirtualService {short(name_of(service))} has no HTTP route {short(route)}"
                yield bad(item, here, "CF253", message, f"it has: {', '.join(filter(None, names)) or 'none'}")
            elif route in listed:
                yield bad(item, here, "CF253", f"{short(route)} is listed twice")
            listed.add(as_text(route))
        yield from _unnamed_routes(service)


def _unnamed_routes(service: Object) -> Iterator[Violation]:
    seen: set[str] = set()
    for path, route in http_of(service):
        name = as_text(route, "name")
        if not name:
            message = "the route has no name: the controller would double such routes"
            yield bad(service, (*path, "name"), "CF253", message, "name it")
        elif name in seen:
            message = f"two routes are named {short(name)}: only the first is managed"
            yield bad(service, (*path, "name"), "CF253", message, "rename one")
        seen.add(name)


RULES: tuple[Rule, ...] = (
    _istio_objects,
    _routes,
)
