"""Destinations of managed routes (CF254, CF255)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from canaryfleet.engines.argo_rollouts.validate.plain import (
    Object,
    Path,
    as_list,
    as_map,
    as_text,
    as_whole,
    at,
    each,
    map_or_none,
    maps,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.rollout import (
    canary_of,
    http_of,
    istio_of,
    pod_template_of,
    virtual_services_of,
)
from canaryfleet.engines.argo_rollouts.validate.services import selects_pods
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, namespace_of


class Split(NamedTuple):
    """What tells canary from stable in a route."""

    canary: str
    stable: str
    rule: dict[Any, Any] | None

    def word(self) -> str:
        return "subset" if self.rule is not None else "host"


def split_of(rollout: Object) -> Split:
    settings = canary_of(rollout)
    rule = map_or_none(istio_of(rollout), "destinationRule")
    if rule is not None:
        return Split(as_text(rule, "canarySubsetName"), as_text(rule, "stableSubsetName"), rule)
    pair = as_map(settings, "pingPong")
    if pair:
        return Split(as_text(pair, "pongService"), as_text(pair, "pingService"), None)
    return Split(as_text(settings, "canaryService"), as_text(settings, "stableService"), None)


def destinations_of(route: dict[Any, Any], path: Path) -> Iterator[tuple[Path, str, str, int]]:
    """Path, host, subset and weight of each destination."""
    for here, one in each(route, path, "route"):
        target = as_map(one, "destination")
        yield here, as_text(target, "host"), as_text(target, "subset"), as_whole(one, "weight") or 0


def managed_http(item: Object, world: World) -> Iterator[tuple[Object, Path, dict[Any, Any]]]:
    """The HTTP routes whose weights the Rollout moves."""
    for _, service, entry in virtual_services_of(item, world):
        names = {as_text(name) for name in as_list(entry, "routes")}
        for path, route in http_of(service):
            name = as_text(route, "name")
            if name in names or (not entry.get("routes") and len(http_of(service)) == 1):
                names.discard(name)  # only the first of a name is managed
                yield service, path, route


def _managed_destinations(item: Object, world: World) -> Iterator[Violation]:
    """Destinations of the managed HTTP routes (CF254)."""
    for service, path, route in managed_http(item, world):
        yield from _split_faults(item, service, path, route, "CF254")
        for here, host, _, _ in destinations_of(route, path):
            yield from _host(item, service, here, host, world)


def _split_faults(
    item: Object, service: Object, path: Path, route: dict[Any, Any], code: str
) -> Iterator[Violation]:
    split = split_of(item)
    extra = [as_text(name) for name in as_list(split.rule, "additionalSubsetNames")]
    weights: dict[str, list[int]] = {split.canary: [], split.stable: []}
    for here, host, subset, weight in destinations_of(route, path):
        key = subset if split.rule is not None else host.split(".")[0]
        if key in weights and key:
            weights[key].append(weight)
        elif weight > 0 and key not in extra:
            message = (
                f"{short(key or host)} is neither stable nor canary: Argo Rollouts deletes this destination"
            )
            yield bad(service, here, code, message, "keep it out of a managed route")
    missing = [name for name in (split.canary, split.stable) if not weights[name]]
    doubled = [name for name, found in weights.items() if len(found) > 1]
    if missing:
        message = f"the managed route does not hold the {split.word()} {' and '.join(map(short, missing))}"
        yield bad(service, (*path, "route"), code, message, "give it both destinations")
    elif doubled:
        message = f"{short(doubled[0])} is there twice: the weights add up to more than 100"
        yield bad(service, (*path, "route"), code, message)
    elif split.canary == split.stable:
        return
    elif weights[split.stable] != [100 - sum(weights[split.canary])]:
        yield bad(service, (*path, "route"), code, "the weights do not add up to 100", "stable 100, canary 0")
    elif weights[split.stable] != [100]:
        message = "Git gives weight to the canary: each sync would move users, rollout or not"
        yield bad(service, (*path, "route"), code, message, "stable 100, canary 0")


def host_key(host: str, namespace: str) -> tuple[str, str]:
    """Name and namespace of the Service that Istio finds behind a host; namespace "*" outside of Kubernetes."""
    parts = host.split(".")
    if len(parts) == 1:
        return host, namespace
    return (parts[0], parts[1]) if len(parts) > 2 and parts[2] == "svc" else (host, "*")


def _host(item: Object, service: Object, path: Path, host: str, world: World) -> Iterator[Violation]:
    """The Service behind a destination: there, in the Rollout's namespace, with the port, and not one of the split (CF250, CF251, CF254)."""
    here = (*path, "destination", "host")
    name, namespace = host_key(host, namespace_of(service))
    settings, rule = canary_of(item), split_of(item).rule
    own = [as_text(settings, field) for field in ("canaryService", "stableService")]
    if not host:
        yield bad(service, here, "CF254", "the destination has no host")
        return
    if host.count(".") == 1 and host.split(".")[1] == namespace_of(item):
        remedy = f"write {name}.svc.cluster.local"
        yield bad(service, here, "CF254", f"Istio does not complete {short(host)}", remedy)
        return
    if namespace != "*" and namespace != namespace_of(item):
        message = f"Istio looks for {short(host)} in the namespace {short(namespace)}, the Rollout is in {short(namespace_of(item))}"
        yield bad(service, here, "CF254", message, f"write {name}.{namespace_of(item)}.svc.cluster.local")
        return
    if rule is not None and name in own and name:
        message = f"the controller narrows {short(name)} to one version, so the subset of the other is empty or gets its weight"
        yield bad(service, here, "CF254", message, "route to a third Service that selects both versions")
    target = world.find("Service", namespace, name)
    if target is None:
        if namespace != "*" and name not in own:
            message = f"there is no Service {short(name)}"
            yield bad(service, here, "CF250", message, "requests would be answered with 503")
        return
    if name not in own:
        yield from selects_pods(target, pod_template_of(item, world))
    port = as_whole(service, *path, "destination", "port", "number")
    ports = [as_whole(one, "port") for one in maps(target, "spec", "ports")]
    if port is not None and port not in ports:
        message = f"the Service {short(name)} has no port {port}"
        yield bad(service, (*path, "destination", "port"), "CF254", message, "use one of its ports")
    elif port is None and len(ports) > 1:
        message = f"the Service {short(name)} has several ports"
        yield bad(service, (*path, "destination"), "CF254", message, "say which: port: {number: ...}")


def _layer_4(item: Object, world: World) -> Iterator[Violation]:
    """tls and tcp sections, which the controller validates also where they have no part in it (CF255)."""
    for _, service, entry in virtual_services_of(item, world):
        for section in ("tls", "tcp"):
            listed = at(service, "spec", section)
            path: Path = ("spec", section)
            wanted = maps(entry, f"{section}Routes")
            if not isinstance(listed, list):
                if wanted:
                    message = f"there are no {section} routes, so {section}Routes does nothing"
                    yield bad(service, path, "CF255", message)
                continue
            routes = list(each(listed, path))
            if not routes:
                message = f"an empty {section} section crashes the controller"
                yield bad(service, path, "CF255", message, "remove it")
            elif not wanted and len(routes) > 1:
                message = f"several {section} routes, and {section}Routes is not given"
                yield bad(service, path, "CF255", message, f"name them in {section}Routes")
            elif not wanted:
                yield from _split_faults(item, service, *routes[0], "CF255")
            for one in wanted:
                matching = [(here, route) for here, route in routes if _layer_4_matches(route, one, section)]
                if not matching:
                    message = f"no {section} route matches {short(one)}"
                    yield bad(service, path, "CF255", message, "repeat port and sniHosts of its match")
                for here, route in matching:
                    yield from _split_faults(item, service, here, route, "CF255")


def _layer_4_matches(route: dict[Any, Any], wanted: dict[Any, Any], section: str) -> bool:
    matches = maps(route, "match")
    ports = {as_whole(match, "port") or 0 for match in matches} or {0}
    hosts = {as_text(host) for match in matches for host in as_list(match, "sniHosts")}
    if ports != {as_whole(wanted, "port") or 0}:
        return False
    return section == "tcp" or hosts == {as_text(host) for host in as_list(wanted, "sniHosts")}


RULES: tuple[Rule, ...] = (
    _managed_destinations,
    _layer_4,
)
