"""The analyses of a Rollout: its templates together (CF239, CF240, CF248 to CF250)."""

from collections.abc import Iterator, Mapping

from canaryfleet.engines.argo_rollouts.validate.arguments import args_of, declared_by, defaults_of, substitute
from canaryfleet.engines.argo_rollouts.validate.metric_patterns import (
    doubled_patterns,
    go_regex,
    pattern_faults,
    patterns_of,
)
from canaryfleet.engines.argo_rollouts.validate.metrics import (
    endless,
    limit_of,
    measurements_of,
    metric_faults,
    metric_names,
    metrics_of,
    placeholder_faults,
)
from canaryfleet.engines.argo_rollouts.validate.plain import Object, as_text, short
from canaryfleet.engines.argo_rollouts.validate.template_uses import Use, rules_of, uses_of, values_of
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, name_of


def _use_conflicts(item: Object, world: World) -> Iterator[Violation]:
    """Templates of one analysis that contradict each other (CF248)."""
    for use in uses_of(item, world):
        names: dict[str, Object] = {}
        values: dict[str, str] = {}
        for template in use.templates:
            for path, metric in metrics_of(template):
                name = as_text(metric, "name")
                if names.setdefault(name, template) is not template:
                    message = f"{short(name_of(names[name]))} has a metric {short(name)} too, and both are in one analysis"
                    yield bad(template, (*path, "name"), "CF248", message, "rename one of them")
            for path, arg in args_of(template):
                name, value = as_text(arg, "name"), arg.get("value")
                if isinstance(value, str) and values.setdefault(name, value) != value:
                    message = (
                        f"the argument {short(name)} has another default in another template of this analysis"
                    )
                    remedy = "write the same, or give it in the Rollout alone"
                    yield bad(template, (*path, "value"), "CF248", message, remedy)


def _use_placeholders(item: Object, world: World) -> Iterator[Violation]:
    """Placeholders: a step's template may use its own arguments only (CF245)."""
    for use in uses_of(item, world):
        together = declared_by(use.templates)
        for template in use.templates:
            yield from placeholder_faults(template, declared_by([template]) if use.awaited else together)


def _use_lengths(item: Object, world: World) -> Iterator[Violation]:
    """An awaited analysis ends, a background one does not (CF239, CF240)."""
    for use in uses_of(item, world):
        dry = _dry_run_names(use)
        for template in use.templates:
            if use.awaited:
                yield from endless(template, _controller_values(template))
            else:
                yield from _finite(template, values_of(use), dry)


def _controller_values(template: Object) -> dict[str, str]:
    """What the controller puts in to see whether a metric ends: the Rollout's values play no part."""
    return dict.fromkeys(declared_by([template]), "dummy-value") | defaults_of(template)


def _finite(template: Object, values: Mapping[str, str], dry: set[str]) -> Iterator[Violation]:
    for path, metric in metrics_of(template):
        if as_text(metric, "name") in dry:
            continue
        resolved = substitute(metric, values)
        for key, ends in (
            ("count", measurements_of(resolved)),
            ("consecutiveSuccessLimit", limit_of(resolved, "consecutiveSuccessLimit")),
        ):
            if ends is not None and ends > 0:
                message = f"{short(metric.get('name'))} ends in the background: the rest of the canary is not watched"
                remedy = f"remove {key}" if metric.get(key) is not None else "give it an interval"
                yield bad(template, (*path, key), "CF240", message, remedy)


def _dry_run_names(use: Use) -> set[str]:
    texts = [as_text(rule, "metricName") for _, _, rule in rules_of(use, "dryRun")]
    patterns = [pattern for text in texts if text and (pattern := go_regex(text))]
    return {name for name in metric_names(use.templates) for pattern in patterns if pattern.search(name)}


def _use_patterns(item: Object, world: World) -> Iterator[Violation]:
    """dryRun and measurementRetention rules of a Rollout's analyses (CF249).

    The controller joins every analysis' templates with the rules of every step, related or not.
    """
    uses = list(uses_of(item, world))
    steps = [use for use in uses if "steps" in use.path]
    for field in ("dryRun", "measurementRetention"):
        own = {use.path: patterns_of(item, use.path, field) for use in uses}
        for use in uses:
            if not use.templates:
                continue
            rules = rules_of(use, field)
            yield from pattern_faults([*own[use.path], *rules], metric_names(use.templates))
            for other in {use.path: use} | {step.path: step for step in steps}:
                yield from doubled_patterns([*own[other], *rules])


def _use_metrics(item: Object, world: World) -> Iterator[Violation]:
    """Metrics again, with the values that the Rollout gives."""
    for use in uses_of(item, world):
        values = values_of(use)
        for template in use.templates:
            if values != defaults_of(template):
                yield from metric_faults(template, values)


RULES: tuple[Rule, ...] = (
    _use_conflicts,
    _use_placeholders,
    _use_lengths,
    _use_patterns,
    _use_metrics,
)
