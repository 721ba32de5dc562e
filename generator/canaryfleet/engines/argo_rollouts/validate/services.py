"""The Services of a Rollout, and what two Rollouts would fight over (CF250 to CF252)."""

from collections.abc import Iterator
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.plain import (
    Object,
    Path,
    as_list,
    as_strings,
    as_text,
    at,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.rollout import (
    INVALID,
    istio_entries,
    istio_of,
    istio_path,
    pod_template_of,
    service_names,
    virtual_service_key,
)
from canaryfleet.engines.argo_rollouts.validate.world import (
    Rule,
    Violation,
    World,
    bad,
    name_of,
    namespace_of,
)

HASH_LABEL = "rollouts-pod-template-hash"
MANAGED_BY_ROLLOUT = "argo-rollouts.argoproj.io/managed-by-rollouts"


def _services(item: Object, world: World) -> Iterator[Violation]:
    """Services that the Rollout names: there, selecting its pods, and its own (CF250, CF251, CF252)."""
    template = pod_template_of(item, world)
    for path, name in service_names(item):
        service = world.find("Service", namespace_of(item), name)
        if service is None:
            yield bad(item, path, "CF250", f"there is no Service {short(name)}", INVALID)
            continue
        yield from selects_pods(service, template)
        here = ("metadata", "annotations", MANAGED_BY_ROLLOUT)
        owner = at(service, *here)
        if owner is not None and owner != name_of(item):
            message = f"the Service says that the Rollout {short(owner)} manages it"
            yield bad(service, here, "CF252", message, "remove the annotation")


def selects_pods(service: Object, template: dict[Any, Any] | None) -> Iterator[Violation]:
    """A Service selects the pods of a template, as far as it is seen (CF251)."""
    selector = at(service, "spec", "selector")
    if template is None or (selector is not None and not isinstance(selector, dict)):
        return
    labels = as_strings(template, "metadata", "labels")
    for key, value in as_strings(selector).items():
        if key != HASH_LABEL and labels.get(key) != value:
            message = f"the pods do not have the label {short(key)}: {short(value)}"
            remedy = "select labels of the pod template"
            yield bad(service, ("spec", "selector", key), "CF251", message, remedy)


def _shared(item: Object, world: World) -> Iterator[Violation]:
    """What an earlier Rollout has too (CF252)."""
    mine = _owned(item)
    for other in world.all("Rollout"):
        if other is item:
            return
        theirs = {what for _, what in _owned(other)}
        for path, what in mine:
            if what in theirs:
                message = f"the Rollout {short(name_of(other))} manages the {what[0]} {short(what[2])} too"
                yield bad(item, path, "CF252", message, "give each Rollout its own")


def _owned(rollout: Object) -> list[tuple[Path, tuple[str, str, str]]]:
    """What a Rollout writes to: (path, (kind, namespace, name))."""
    namespace = namespace_of(rollout)
    owned = [(path, ("Service", namespace, name)) for path, name in service_names(rollout)]
    rule = as_text(istio_of(rollout), "destinationRule", "name")
    if rule:
        owned.append((istio_path("destinationRule", "name"), ("DestinationRule", namespace, rule)))
    for path, entry in istio_entries(rollout):
        service_namespace, name = virtual_service_key(entry, namespace)
        for index, route in enumerate(as_list(entry, "routes")):
            owned.append(((*path, "routes", index), ("route", service_namespace, f"{name}/{as_text(route)}")))
    return owned


RULES: tuple[Rule, ...] = (
    _services,
    _shared,
)
