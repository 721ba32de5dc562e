"""Header and mirror routes of the steps (CF220 to CF223, CF225)."""

from collections.abc import Iterator
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.plain import (
    Object,
    Path,
    as_list,
    as_map,
    as_text,
    as_whole,
    each,
    entries,
    maps,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.rollout import (
    canary_path,
    istio_entries,
    route_names,
    route_steps,
    router_of,
    virtual_services_of,
)
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, not_one

_MANAGED_ROUTES = canary_path("trafficRouting", "managedRoutes")


def _route_allowed(item: Object, world: World) -> Iterator[Violation]:
    """Header and mirror routes: router and managedRoutes (CF220)."""
    router, managed = router_of(item) or {}, {as_text(one, "name") for one in maps(item, *_MANAGED_ROUTES)}
    for path, key, route in route_steps(item):
        able = ("istio", "alb", "apisix", "plugins") if key == "setHeaderRoute" else ("istio", "plugins")
        if not any(router.get(name) for name in able):
            yield bad(item, path, "CF220", f"{key} needs traffic routing by one of {', '.join(able)}")
        elif not as_text(route, "name"):
            yield bad(item, path, "CF220", "the route has no name")
        elif route["name"] not in managed:
            remedy = "add it to trafficRouting.managedRoutes"
            yield bad(item, path, "CF220", f"managedRoutes does not list {short(route['name'])}", remedy)


def _route_matches(item: Object, world: World) -> Iterator[Violation]:
    """What header and mirror routes match (CF221, CF222, CF225)."""
    for path, key, route in route_steps(item):
        matches = list(each(route, path, "match"))
        if key == "setHeaderRoute":
            for here, match in matches:
                if not as_text(match, "headerName"):
                    yield bad(item, (*here, "headerName"), "CF221", "the header has no name")
                yield from _string_match(item, (*here, "headerValue"), match.get("headerValue"))
            if len(matches) > 1:
                message = (
                    "any one of these headers leads to the canary: Argo Rollouts can't ask for all of them"
                )
                remedy = "match one header; use two routes if either is meant"
                yield bad(item, (*path, "match"), "CF222", message, remedy)
            continue
        for here, match in matches:
            for field in ("method", "path"):
                if match.get(field) is not None:
                    yield from _string_match(item, (*here, field), match[field])
            for name, value in as_map(match, "headers").items():
                yield from _string_match(item, (*here, "headers", str(name)), value)
        percentage = as_whole(route, "percentage")
        if percentage is not None and not 1 <= percentage <= 100:
            yield bad(item, (*path, "percentage"), "CF225", f"{percentage} is not 1 to 100")


def _string_match(item: Object, path: Path, match: Any) -> Iterator[Violation]:
    if match is not None and not isinstance(match, dict):
        return
    given = [key for key in ("exact", "regex", "prefix") if as_map(match).get(key)]
    remedy = "exactly one of exact, regex and prefix"
    yield from not_one(item, path, "CF221", given, "nothing is matched", remedy)


def _managed_names(item: Object, world: World) -> Iterator[Violation]:
    """managedRoutes against static routes (CF223)."""
    static = {name for _, service, _ in virtual_services_of(item, world) for name in route_names(service)}
    static |= {as_text(name) for _, entry in istio_entries(item) for name in as_list(entry, "routes")}
    seen: set[str] = set()
    for path, route in entries(item, *_MANAGED_ROUTES):
        name = as_text(route, "name")
        if not name:
            yield bad(item, path, "CF223", "a managed route has no name")
        elif name in seen:
            yield bad(item, path, "CF223", f"{short(name)} is listed twice")
        elif name in static:
            message = f"{short(name)} is a static route: it would be deleted when the rollout ends"
            yield bad(item, path, "CF223", message, "give the route of the step another name")
        seen.add(name)


RULES: tuple[Rule, ...] = (
    _route_allowed,
    _route_matches,
    _managed_names,
)
