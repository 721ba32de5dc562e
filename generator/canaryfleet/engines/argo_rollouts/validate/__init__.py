"""What Argo Rollouts and Istio would refuse, or do silently wrong, said before it is in Git.

`validate` takes the final objects of one app on one cluster, as plain data of any shape, and never
raises. It knows the rules of Argo Rollouts 1.9 and 1.10 (validation.go, validation_references.go,
the AnalysisRun controller), of Kubernetes where a pod template breaks them, and the traps that no
validation finds: a `Rollout` that freezes, a route that is deleted, a metric that passes on NaN.

A rule is a generator over one object. Each file ends with the tuple of its rules, and `RULES` says
which kinds they are for. Rules read through the functions of plain.py, which take a value of the
wrong type for an absent one: only the rule of shapes.py reports those.

The files, from the ground up:
    plain, world, names, durations   what data, objects, names and durations are
    shapes                           types and names of fields
    rollout                          how to read a Rollout; no rules
    spec, selectors, steps, step_routes
    pods, volumes, ports, probes, config_maps
    arguments, conditions, metrics, metric_patterns        what stands in an analysis template
    template_uses, templates, given_arguments, analyses    templates alone, and as a Rollout uses them
    services, virtual_services, destinations, destination_rules, envoy_filters, autoscalers
"""

from collections.abc import Sequence
from typing import Any

from canaryfleet.engines.argo_rollouts.validate import (
    analyses,
    autoscalers,
    config_maps,
    destination_rules,
    destinations,
    envoy_filters,
    given_arguments,
    names,
    pods,
    ports,
    probes,
    selectors,
    services,
    shapes,
    spec,
    step_routes,
    steps,
    template_uses,
    templates,
    virtual_services,
    volumes,
)
from canaryfleet.engines.argo_rollouts.validate.durations import go_duration_seconds
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, kind_of

__all__ = ["EVERY_KIND", "RULES", "Violation", "go_duration_seconds", "malformed", "validate"]

POD_RULES: tuple[Rule, ...] = (
    *selectors.RULES,
    *pods.RULES,
    *volumes.RULES,
    *ports.POD_RULES,
    *probes.RULES,
    *config_maps.POD_RULES,
)
# Those that also hold for an object by itself, before anything is made of it.
WRITTEN: tuple[Rule, ...] = (*shapes.RULES, *names.RULES)
EVERY_KIND: tuple[Rule, ...] = (*WRITTEN, names.unique)
RULES: dict[str, tuple[Rule, ...]] = {
    "Rollout": (
        *spec.RULES,
        *POD_RULES,
        *steps.RULES,
        *step_routes.RULES,
        *template_uses.RULES,
        *given_arguments.RULES,
        *analyses.RULES,
        *services.RULES,
        *virtual_services.RULES,
        *destinations.RULES,
        *destination_rules.RULES,
    ),
    "AnalysisTemplate": templates.TEMPLATE_RULES,
    "ClusterAnalysisTemplate": templates.TEMPLATE_RULES,
    "AnalysisRun": templates.RUN_RULES,
    "Deployment": POD_RULES,
    "Service": ports.SERVICE_RULES,
    "ConfigMap": config_maps.RULES,
    "EnvoyFilter": envoy_filters.RULES,
    "HorizontalPodAutoscaler": autoscalers.RULES,
    "VerticalPodAutoscaler": autoscalers.RULES,
    "ScaledObject": autoscalers.RULES,
}


def validate(objects: Sequence[dict[str, Any]]) -> list[Violation]:
    """Everything that is wrong with the final objects of one app on one cluster, without doubles."""
    world = World.of(item for item in objects if isinstance(item, dict))
    found = [
        Violation("", "", (index,), "CF200", "this is not an object", "")
        for index, item in enumerate(objects)
        if not isinstance(item, dict)
    ]
    for item in world.objects:
        for rule in (*EVERY_KIND, *RULES.get(kind_of(item), ())):
            found.extend(rule(item, world))
    return list(dict.fromkeys(found))


def malformed(objects: Sequence[dict[str, Any]]) -> list[Violation]:
    """What in objects that people wrote has another type or name than Kubernetes gives it."""
    world = World.of(objects)
    found = [one for item in objects for rule in WRITTEN for one in rule(item, world)]
    return list(dict.fromkeys(found))
