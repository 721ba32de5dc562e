"""Where a Rollout runs analyses: its templates together, with its arguments."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from canaryfleet.engines.argo_rollouts.validate.arguments import defaults_of
from canaryfleet.engines.argo_rollouts.validate.metric_patterns import MetricPattern, patterns_of
from canaryfleet.engines.argo_rollouts.validate.plain import (
    Entry,
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
    INVALID,
    blue_green_path,
    canary_of,
    canary_path,
    steps_of,
)
from canaryfleet.engines.argo_rollouts.validate.world import (
    CLUSTER_SCOPED,
    Rule,
    Violation,
    World,
    bad,
    namespace_of,
)


class Use(NamedTuple):
    """One place where a Rollout runs an analysis."""

    path: Path
    awaited: bool
    body: dict[Any, Any]
    templates: tuple[Object, ...]


def uses_of(rollout: Object, world: World) -> Iterator[Use]:
    for path, body in analyses_of(rollout):
        found: dict[int, Object] = {}
        for _, template in references_of(rollout, path, body, world):
            if template is not None:
                found[id(template)] = template
        awaited = path != canary_path("analysis")
        yield Use(path, awaited, body, tuple(found.values()))


def analyses_of(rollout: Object) -> Iterator[Entry]:
    """The analyses of a Rollout, each with its path."""
    places = [canary_path("analysis"), *((*path, "analysis") for path, _ in steps_of(rollout))]
    places += [blue_green_path(f"{when}PromotionAnalysis") for when in ("pre", "post")]
    for path in places:
        body = map_or_none(rollout, *path)
        if body is not None:
            yield path, body


def references_of(
    rollout: Object, path: Path, body: dict[Any, Any], world: World
) -> Iterator[tuple[tuple[Object, Path, str], Object | None]]:
    """Templates that an analysis names, and those that they name: (who names it, where, kind) -> template."""
    waiting = [(rollout, (*path, "templates"), body.get("templates"))]
    seen: set[int] = set()
    while waiting:
        owner, here, listed = waiting.pop()
        for place, reference in each(listed, here):
            kind, template = _named_template(rollout, reference, world)
            yield (owner, (*place, "templateName"), kind), template
            if template is not None and id(template) not in seen:
                seen.add(id(template))
                waiting.append((template, ("spec", "templates"), at(template, "spec", "templates")))


def _named_template(rollout: Object, reference: dict[Any, Any], world: World) -> tuple[str, Object | None]:
    kind = "ClusterAnalysisTemplate" if reference.get("clusterScope") is True else "AnalysisTemplate"
    namespace = "" if kind in CLUSTER_SCOPED else namespace_of(rollout)
    return kind, world.find(kind, namespace, as_text(reference, "templateName"))


def values_of(use: Use) -> dict[str, str]:
    """Values of the run, as far as they are known from here."""
    values = {name: value for template in use.templates for name, value in defaults_of(template).items()}
    for arg in maps(use.body, "args"):
        if arg.get("valueFrom") is not None:
            values.pop(as_text(arg, "name"), None)
        elif isinstance(arg.get("value"), str):
            values[as_text(arg, "name")] = arg["value"]
    return values


def rules_of(use: Use, field: str) -> list[MetricPattern]:
    """dryRun or measurementRetention rules of the templates of an analysis."""
    return [rule for template in use.templates for rule in patterns_of(template, ("spec",), field)]


def _background_start(item: Object, world: World) -> Iterator[Violation]:
    """startingStep (CF226)."""
    steps, analysis = as_list(canary_of(item), "steps"), map_or_none(canary_of(item), "analysis")
    if analysis is None or not steps:
        return
    path, start = canary_path("analysis", "startingStep"), as_whole(analysis, "startingStep") or 0
    if not 0 <= start < len(steps):
        message = f"there is no step {start} (they count from 0)"
        yield bad(item, path, "CF226", message, f"0 to {len(steps) - 1}")
    elif not any(_takes_time(as_map(step)) for step in steps[start:]):
        message = f"no step waits from step {start} on, so nothing is measured"
        yield bad(item, path, "CF226", message, "start earlier, or add a pause")


def _takes_time(step: dict[Any, Any]) -> bool:
    return any(step.get(key) is not None for key in ("pause", "analysis", "experiment", "plugin"))


def _template_references(item: Object, world: World) -> Iterator[Violation]:
    """Templates that an analysis names are there (CF250), and there is at least one (CF234)."""
    for path, body in analyses_of(item):
        if body.get("templates") in (None, []):
            message = "the analysis names no template, so it has no metrics"
            yield bad(item, (*path, "templates"), "CF234", message)
        for (owner, here, kind), template in references_of(item, path, body, world):
            if template is None:
                yield bad(owner, here, "CF250", f"there is no {kind} {short(at(owner, *here))}", INVALID)
    for path, step in steps_of(item):
        for here, analysis in each(step, path, "experiment", "analyses"):
            kind, template = _named_template(item, analysis, world)
            if template is None:
                message = f"there is no {kind} {short(as_text(analysis, 'templateName'))}"
                yield bad(item, (*here, "templateName"), "CF250", message)


RULES: tuple[Rule, ...] = (_background_start, _template_references)
