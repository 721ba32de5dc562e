"""DestinationRules of a subset split (CF256, CF258)."""

from collections.abc import Iterator

from canaryfleet.engines.argo_rollouts.validate.destinations import (
    destinations_of,
    host_key,
    managed_http,
    split_of,
)
from canaryfleet.engines.argo_rollouts.validate.plain import Object, as_map, as_text, entries, short
from canaryfleet.engines.argo_rollouts.validate.rollout import canary_of, istio_path
from canaryfleet.engines.argo_rollouts.validate.services import HASH_LABEL
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, namespace_of


def _destination_rule(item: Object, world: World) -> Iterator[Violation]:
    """The subsets of the Rollout's DestinationRule (CF256)."""
    settings = split_of(item).rule
    if settings is None:
        return
    path = istio_path("destinationRule")
    canary, stable = as_text(settings, "canarySubsetName"), as_text(settings, "stableSubsetName")
    if not canary or not stable or canary == stable:
        yield bad(item, path, "CF256", "canarySubsetName and stableSubsetName are not two names")
        return
    rule = world.find("DestinationRule", namespace_of(item), as_text(settings, "name"))
    if rule is not None:
        yield from _subsets(rule, canary, stable)
        yield from _rule_host(item, rule, world)


def _subsets(rule: Object, canary: str, stable: str) -> Iterator[Violation]:
    seen: set[str] = set()
    for path, subset in entries(rule, "spec", "subsets"):
        name = as_text(subset, "name")
        if name not in (canary, stable):
            message = f"Argo Rollouts deletes the subset {short(name)}"
            yield bad(rule, path, "CF256", message, "put it into another DestinationRule")
        elif name in seen:
            yield bad(rule, path, "CF256", f"two subsets are named {short(name)}")
        seen.add(name)
        if HASH_LABEL in as_map(subset, "labels"):
            here, message = (*path, "labels", HASH_LABEL), f"{HASH_LABEL} is the controller's to write"
            yield bad(rule, here, "CF256", message, "remove it")
    for name in (canary, stable):
        if name not in seen:
            yield bad(rule, ("spec", "subsets"), "CF256", f"there is no subset {short(name)}", "add it")


def _rule_host(item: Object, rule: Object, world: World) -> Iterator[Violation]:
    host = as_text(rule, "spec", "host")
    if not host:
        yield bad(rule, ("spec", "host"), "CF256", "the DestinationRule has no host")
        return
    mine = host_key(host, namespace_of(rule))
    for service, path, route in managed_http(item, world):
        for here, other, _, _ in destinations_of(route, path):
            if other and host_key(other, namespace_of(service)) != mine:
                message = f"the DestinationRule is for {short(host)}, so {short(other)} has no such subset"
                place = (*here, "destination", "host")
                yield bad(service, place, "CF256", message, "use the same host in both")


def _stall(item: Object, world: World) -> Iterator[Violation]:
    """A subset split waits for every pod, unless it has Services (CF258)."""
    settings = canary_of(item)
    if split_of(item).rule is None or settings.get("canaryService") or settings.get("stableService"):
        return
    message = (
        "while any pod is unavailable, the controller does nothing at all: no verdict of an analysis,"
        " no abort, no deadline and no status is acted on"
    )
    remedy = "name a canaryService or stableService beside the destinationRule (not the Service that routes point to)"
    yield bad(item, istio_path("destinationRule"), "CF258", message, remedy)


RULES: tuple[Rule, ...] = (
    _destination_rule,
    _stall,
)
