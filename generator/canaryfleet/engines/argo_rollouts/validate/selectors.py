"""The selector of a workload (CF205, CF206)."""

from collections.abc import Iterator, Mapping
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.names import is_label_value, is_qualified
from canaryfleet.engines.argo_rollouts.validate.plain import (
    Object,
    Path,
    as_list,
    as_map,
    as_strings,
    as_text,
    at,
    each,
    maps,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.rollout import pod_template_of
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad


def _selector(item: Object, world: World) -> Iterator[Violation]:
    """The selector, and that it selects the template's pods (CF205, CF206)."""
    path: Path = ("spec", "selector")
    selector = at(item, *path)
    if selector is None:
        if at(item, "spec", "workloadRef") is None:
            yield bad(item, path, "CF205", "the selector is missing", "select the template's labels")
        return
    if not isinstance(selector, dict):
        return
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield bad(item, path, "CF205", "the selector is empty", "select the template's labels")
        return
    wrong = list(_selector_faults(item, path, selector))
    yield from wrong
    template = pod_template_of(item, world)
    if wrong or template is None:
        return
    if not _selects(selector, as_strings(template, "metadata", "labels")):
        message = "the selector does not match the labels of the pod template"
        yield bad(item, path, "CF206", message, "give the template these labels")


def _selector_faults(item: Object, path: Path, selector: dict[Any, Any]) -> Iterator[Violation]:
    for key, value in as_map(selector, "matchLabels").items():
        if not isinstance(key, str) or not is_qualified(key) or not is_label_value(as_text(value)):
            here = (*path, "matchLabels", str(key))
            yield bad(item, here, "CF205", f"{short(key)}: {short(value)} can't be a label")
    for here, one in each(selector, path, "matchExpressions"):
        operator, values = one.get("operator"), as_list(one, "values")
        if not is_qualified(as_text(one, "key")):
            yield bad(item, (*here, "key"), "CF205", f"{short(one.get('key'))} can't be the key of a label")
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            remedy = "In, NotIn, Exists or DoesNotExist"
            yield bad(item, (*here, "operator"), "CF205", f"{short(operator)} is not an operator", remedy)
        elif bool(values) != (operator in ("In", "NotIn")):
            need = "needs values" if operator in ("In", "NotIn") else "takes no values"
            yield bad(item, (*here, "values"), "CF205", f"{operator} {need}")


def _selects(selector: dict[Any, Any], labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in as_strings(selector, "matchLabels").items()):
        return False
    return all(_expression_holds(one, labels) for one in maps(selector, "matchExpressions"))


def _expression_holds(one: dict[Any, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(as_text(one, "key")), as_list(one, "values")
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(as_text(one, "operator"), True)


RULES: tuple[Rule, ...] = (_selector,)
