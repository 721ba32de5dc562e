"""Autoscalers (CF259)."""

from collections.abc import Iterator

from canaryfleet.engines.argo_rollouts.validate.plain import Object, Path, as_map, as_text, map_or_none, short
from canaryfleet.engines.argo_rollouts.validate.world import (
    Rule,
    Violation,
    World,
    bad,
    kind_of,
    name_of,
    namespace_of,
)


def _scale_target(item: Object, world: World) -> Iterator[Violation]:
    """Autoscalers point at the Rollout (CF259)."""
    field = "targetRef" if kind_of(item) == "VerticalPodAutoscaler" else "scaleTargetRef"
    path: Path = ("spec", field)
    target = map_or_none(item, *path)
    if target is None:
        return
    name, namespace = as_text(target, "name"), namespace_of(item)
    kind = as_text(target, "kind") or ("Deployment" if kind_of(item) == "ScaledObject" else "")
    rollout = world.find("Rollout", namespace, name)
    if kind == "Rollout":
        if target.get("apiVersion") != "argoproj.io/v1alpha1":
            message = "a Rollout's apiVersion is another"
            yield bad(item, (*path, "apiVersion"), "CF259", message, "argoproj.io/v1alpha1")
        elif rollout is None:
            message = f"there is no Rollout {short(name)}"
            yield bad(item, (*path, "name"), "CF259", message, "point at the app's Rollout")
        return
    taken = [
        one for one in world.all("Rollout") if namespace_of(one) == namespace and _takes_over(one, kind, name)
    ]
    if taken or (
        kind == "Deployment" and rollout is not None and world.find("Deployment", namespace, name) is None
    ):
        message = f"it scales the {kind} {short(name)}, whose pods the Rollout {short(name_of(taken[0] if taken else rollout or {}))} runs"
        remedy = "point at the Rollout: apiVersion argoproj.io/v1alpha1, kind Rollout"
        yield bad(item, path, "CF259", message, remedy)


def _takes_over(rollout: Object, kind: str, name: str) -> bool:
    reference = as_map(rollout, "spec", "workloadRef")
    return bool(name) and reference.get("kind") == kind and reference.get("name") == name


RULES: tuple[Rule, ...] = (_scale_target,)
