"""Analysis templates and AnalysisRuns, each for itself (CF234, CF239, CF245, CF246, CF248)."""

from collections.abc import Iterator

from canaryfleet.engines.argo_rollouts.validate.arguments import args_of, declared_by, defaults_of, has_value
from canaryfleet.engines.argo_rollouts.validate.metric_patterns import (
    doubled_patterns,
    pattern_faults,
    patterns_of,
)
from canaryfleet.engines.argo_rollouts.validate.metrics import (
    endless,
    metric_faults,
    metric_names,
    metrics_of,
    placeholder_faults,
)
from canaryfleet.engines.argo_rollouts.validate.plain import Object, Path, as_list, as_map, as_text, at, short
from canaryfleet.engines.argo_rollouts.validate.template_uses import references_of, uses_of
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, kind_of, name_of


def _metric_list(item: Object, world: World) -> Iterator[Violation]:
    """Metrics and their names (CF234)."""
    path: Path = ("spec", "metrics")
    listed = at(item, *path)
    if listed in (None, []) and not as_list(item, "spec", "templates"):
        yield bad(item, path, "CF234", "there are no metrics")
    seen: set[str] = set()
    for here, metric in metrics_of(item):
        name = as_text(metric, "name")
        if not name:
            yield bad(item, (*here, "name"), "CF234", "the metric has no name")
        elif name in seen:
            yield bad(item, (*here, "name"), "CF234", f"two metrics are named {short(name)}")
        seen.add(name)


def _metric_rules(item: Object, world: World) -> Iterator[Violation]:
    """Each metric, with the values that stand here."""
    yield from metric_faults(item, defaults_of(item))


def _own_args(item: Object, world: World) -> Iterator[Violation]:
    """Arguments of one template or run (CF246, CF248)."""
    seen: set[str] = set()
    for path, arg in args_of(item):
        name, value = as_text(arg, "name"), arg.get("value")
        if not name:
            yield bad(item, (*path, "name"), "CF248", "the argument has no name")
        if name in seen:
            yield bad(item, path, "CF248", f"the argument {short(name)} is declared twice")
        seen.add(name)
        if value is not None and arg.get("valueFrom") is not None:
            message = f"the argument {short(name)} has both value and valueFrom"
            yield bad(item, path, "CF248", message, "keep one of them")
        if kind_of(item) == "AnalysisRun" and not has_value(arg):
            yield bad(item, path, "CF246", f"the argument {short(name)} has no value", "give it one")


def _own_placeholders(item: Object, world: World) -> Iterator[Violation]:
    """Placeholders of a run, and of templates that no Rollout uses (CF245)."""
    used = kind_of(item) != "AnalysisRun" and any(
        any(template is item for template in use.templates)
        for rollout in world.all("Rollout")
        for use in uses_of(rollout, world)
    )
    if not used:
        yield from placeholder_faults(item, declared_by([item]))


def _ends(item: Object, world: World) -> Iterator[Violation]:
    """A run of its own has an end (CF239)."""
    yield from endless(item, defaults_of(item))


def _own_metric_patterns(item: Object, world: World) -> Iterator[Violation]:
    """dryRun and measurementRetention of a run of its own (CF249)."""
    for field in ("dryRun", "measurementRetention"):
        rules = patterns_of(item, ("spec",), field)
        yield from pattern_faults(rules, metric_names([item]))
        yield from doubled_patterns(rules)


def _template_cycles(item: Object, world: World) -> Iterator[Violation]:
    """A template that includes itself sends the controller round for ever (CF248)."""
    for (owner, path, _), template in references_of(item, ("spec",), as_map(item, "spec"), world):
        if template is item:
            message = f"{short(name_of(item))} includes itself: the controller never comes back"
            yield bad(owner, path, "CF248", message, "remove it")


_RULES: tuple[Rule, ...] = (_metric_list, _metric_rules, _own_args, _own_placeholders)
TEMPLATE_RULES: tuple[Rule, ...] = (*_RULES, _template_cycles)
RUN_RULES: tuple[Rule, ...] = (*_RULES, _ends, _own_metric_patterns)
