"""The arguments that a Rollout gives to its analyses (CF227, CF246, CF247)."""

import re
from collections.abc import Iterator
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.arguments import args_of, declared_by, has_value
from canaryfleet.engines.argo_rollouts.validate.names import is_qualified
from canaryfleet.engines.argo_rollouts.validate.plain import (
    Object,
    Path,
    as_map,
    as_text,
    at,
    each,
    maps,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.template_uses import Use, analyses_of, uses_of
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad

DOWNWARD = tuple(f"metadata.{field}" for field in ("annotations", "labels", "name", "namespace", "uid"))


def _given_args(item: Object, world: World) -> Iterator[Violation]:
    """Arguments as the Rollout gives them (CF227)."""
    for path, body in analyses_of(item):
        seen: set[str] = set()
        for here, arg in each(body, path, "args"):
            name, source = as_text(arg, "name"), arg.get("valueFrom")
            if not name or name in seen:
                message = f"the argument {short(name)} is given twice" if name else "the argument has no name"
                yield bad(item, here, "CF227", message)
            seen.add(name)
            if not has_value(arg):
                message = f"the argument {short(name)} is given as empty text, default or not"
                yield bad(item, here, "CF227", message, "give it a value")
            elif isinstance(source, dict):
                yield from _value_from(item, (*here, "valueFrom"), source)


def _value_from(item: Object, path: Path, source: dict[Any, Any]) -> Iterator[Violation]:
    version, field = source.get("podTemplateHashValue"), as_text(source, "fieldRef", "fieldPath")
    here = (*path, "fieldRef", "fieldPath")
    if version is not None:
        if version not in ("Latest", "Stable"):
            message = f"{short(version)} is neither Latest nor Stable"
            yield bad(item, (*path, "podTemplateHashValue"), "CF227", message)
    elif not field:
        yield bad(item, path, "CF227", "the source is empty", "podTemplateHashValue or fieldRef.fieldPath")
    elif field.startswith("metadata"):
        if not _is_downward(field, item):
            message = f"{short(field)} is not a field of the Rollout that can be given"
            yield bad(item, here, "CF227", message)
    elif field.startswith("spec") and at(item, "spec", "workloadRef") is None and not _is_scalar(item, field):
        yield bad(item, here, "CF227", f"{short(field)} is no single value of the Rollout")


def _is_downward(field: str, item: Object) -> bool:
    if field in DOWNWARD:
        return True
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", field)
    if match is None or not is_qualified(match[2].lower() if match[1] == "annotations" else match[2]):
        return False
    return match[1] == "annotations" or match[2] in as_map(item, "metadata", "labels")


def _is_scalar(item: Object, field: str) -> bool:
    value: Any = item
    for part in filter(None, re.split(r"[.\[\]]+", field)):
        is_index = isinstance(value, list) and re.fullmatch(r"[0-9]{1,6}", part)
        value = at(value, int(part) if is_index else part)
    return isinstance(value, (str, int, float))


def _use_args(item: Object, world: World) -> Iterator[Violation]:
    """Arguments that a Rollout's analysis gives and needs (CF246, CF247)."""
    for use in uses_of(item, world):
        if not use.templates:
            continue
        given = {as_text(arg, "name") for arg in maps(use.body, "args")}
        declared = declared_by(use.templates)
        for here, arg in each(use.body, use.path, "args"):
            if as_text(arg, "name") not in declared:
                message = f"no template declares the argument {short(arg.get('name'))}: it is dropped"
                yield bad(item, here, "CF247", message, "declare it in the template, or remove it")
        valued = {as_text(arg, "name") for one in use.templates for _, arg in args_of(one) if has_value(arg)}
        for name in sorted(declared - given - valued - {""}):
            message = f"the argument {short(name)} gets no value"
            yield bad(item, (*use.path, "args"), "CF246", message, "give it, or a default in the template")
        if not use.awaited:
            yield from _background_args(use, given, valued)


def _background_args(use: Use, given: set[str], valued: set[str]) -> Iterator[Violation]:
    """In the background, another template's default does not count."""
    for template in use.templates:
        for path, arg in args_of(template):
            name = as_text(arg, "name")
            if name in valued and name not in given and not has_value(arg):
                message = f"the argument {short(name)} has a default in another template only"
                yield bad(template, path, "CF246", message, "give it in the Rollout, or a default here too")


RULES: tuple[Rule, ...] = (
    _given_args,
    _use_args,
)
