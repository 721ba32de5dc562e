"""EnvoyFilters (CF257)."""

from collections.abc import Iterator

from canaryfleet.engines.argo_rollouts.validate.plain import Object, as_list, as_map, as_text, entries, short
from canaryfleet.engines.argo_rollouts.validate.rollout import http_of, route_steps
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, name_of


def _envoy_filter(item: Object, world: World) -> Iterator[Violation]:
    """Weighted clusters only where there are two destinations (CF257)."""
    for path, patch in entries(item, "spec", "configPatches"):
        keys = as_map(patch, "patch", "value", "route").keys()
        if patch.get("applyTo") != "HTTP_ROUTE" or not {"weighted_clusters", "weightedClusters"} & keys:
            continue
        name = as_text(patch, "match", "routeConfiguration", "vhost", "route", "name")
        if not name:
            message = "the patch names no route, so it hits those of one destination too, and their listener freezes"
            yield bad(item, (*path, "match"), "CF257", message, "match routeConfiguration.vhost.route.name")
            continue
        for owner in _single_destinations(world, name):
            message = f"the route {short(name)} of {owner} has one destination: Envoy refuses the update, and all its listener's routes freeze"
            yield bad(item, (*path, "match"), "CF257", message, "patch routes of two destinations only")


def _single_destinations(world: World, name: str) -> Iterator[str]:
    """Who has a route of this name with one destination: a VirtualService, or a header route of a Rollout."""
    for service in world.all("VirtualService"):
        routes = [route for _, route in http_of(service) if as_text(route, "name") == name]
        if any(len(as_list(route, "route")) < 2 for route in routes):
            yield f"VirtualService {short(name_of(service))}"
    for rollout in world.all("Rollout"):
        routes = [route for _, key, route in route_steps(rollout) if key == "setHeaderRoute"]
        if any(as_text(route, "name") == name for route in routes):
            yield f"Rollout {short(name_of(rollout))} (setHeaderRoute)"


RULES: tuple[Rule, ...] = (_envoy_filter,)
