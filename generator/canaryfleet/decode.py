"""From a read document to a model: one fast try, and if it fails every problem, each with its place."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from msgspec import ValidationError, convert

from canaryfleet.errors import Finding, Problems
from canaryfleet.models.base import choice_message
from canaryfleet.nearest import nearest
from canaryfleet.syntax import Document

M = TypeVar("M")
MOST = 100  # findings of one file: more would only hide each other


def decode(document: Document, model: type[M]) -> M:
    """The document as a model; raises Problems with all findings (codes CF030 to CF039)."""
    try:
        return convert(document.data, model, strict=True)
    except ValidationError as error:
        findings = list(islice(explain(document, model), MOST))
        raise Problems(findings or [_fallback(document, error)]) from None


def _fallback(document: Document, error: ValidationError) -> Finding:
    """msgspec's own words, for what the schema would have let pass."""
    message, _, where = str(error).partition(" - at `$")
    steps = re.findall(r"\.([^.\[`]+)|\[(\d+)\]", where)
    path = tuple(name or int(index) for name, index in steps)
    return Finding(document.place(path), "CF039", f"{_name(path)}: {message}")


def explain(document: Document, model: Any) -> Iterator[Finding]:
    """Every way in which a document does not fit the model's JSON Schema."""
    seen: set[tuple[Any, str]] = set()
    for error in _validator(model).iter_errors(document.data):
        for finding in _findings(document, error):
            if (finding.place, finding.message) not in seen:
                seen.add((finding.place, finding.message))
                yield finding


@cache
def _validator(model: Any) -> Any:
    from jsonschema import Draft202012Validator  # 70 ms: only when something is wrong

    from canaryfleet.schema import schema_of

    return Draft202012Validator(schema_of(model))


def _findings(document: Document, error: Any) -> Iterator[Finding]:
    path = tuple(error.absolute_path)
    known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
    match error.validator:
        case "additionalProperties":
            for name in error.instance:
                if name not in known:
                    place = document.key_place((*path, name))
                    yield Finding(place, "CF030", f"unknown field {name}", nearest(name, known))
        case "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            for name in missing:
                if repr(name) in error.message:
                    yield Finding(
                        document.place(path),
                        "CF031",
                        f"{_name(path)} needs `{name}`",
                        _about(known.get(name)),
                    )
        case "oneOf" | "not" if _choice(error) is not None and not isinstance(error.instance, dict):
            return  # its type is wrong, which is said elsewhere
        case "oneOf" | "not" if _choice(error) is not None:
            group, least = _choice(error) or ((), 0)
            given = [name for name in group if name in error.instance]
            yield Finding(
                document.place(path), "CF032", f"{_name(path)}: {choice_message(group, given, least)}"
            )
        case "anyOf" | "oneOf":
            yield from _alternatives(document, error, path)
        case _:
            yield Finding(
                document.place(path), "CF033", f"{_name(path)}: {_say(error)}", _about(error.schema)
            )


def _choice(error: Any) -> tuple[tuple[str, ...], int] | None:
    """The group of a `Choice`, if this error is about one (schema.py writes them)."""
    group = error.schema.get("x-choice")
    return (tuple(group["of"]), group["least"]) if group else None


def _alternatives(document: Document, error: Any, path: tuple[Any, ...]) -> Iterator[Finding]:
    """The errors of the alternative that was meant: the one of the value's own type."""
    branches: dict[int, list[Any]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    fitting = [
        errors
        for errors in branches.values()
        if not any(item.validator == "type" and item.path == type(item.path)() for item in errors)
    ]
    if len(fitting) == 1:
        for inner in fitting[0]:
            for finding in _findings(document, inner):  # what the field is for stands beside its alternatives
                own = finding.remedy or inner.path
                yield finding if own else finding._replace(remedy=_about(error.schema))
        return
    wanted = [_type_name(branch) for branch in error.validator_value if branch.get("type") != "null"]
    remedy = next((said for branch in error.validator_value if (said := _about(branch))), "") or _about(
        error.schema
    )
    yield Finding(
        document.place(path),
        "CF033",
        f"{_name(path)}: {_shown(error.instance)} is not {' or '.join(dict.fromkeys(wanted))}",
        remedy,
    )


def _type_name(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(_bare(value) for value in schema["enum"])
    if "$ref" in schema:
        return "a mapping"
    names = {
        "string": "text",
        "integer": "a whole number",
        "number": "a number",
        "array": "a list",
        "object": "a mapping",
        "boolean": "true or false",
    }
    return names.get(str(schema.get("type")), "what is allowed here")


def _say(error: Any) -> str:
    value = _shown(error.instance)
    match error.validator:
        case "type":
            return f"{value} is not {_type_name(error.schema)}{': quote it' if _wants_quotes(error) else ''}"
        case "enum":
            return f"{value} is not {_type_name(error.schema)}"
        case "pattern":
            return f"{value} is not of the right form"
        case "maxLength":
            return f"{value} is longer than {error.validator_value} characters"
        case "minLength":
            return "the text is empty"
        case "minItems":
            return "the list is empty"
        case "minimum":
            return f"{value} is less than {error.validator_value}"
        case "maximum":
            return f"{value} is more than {error.validator_value}"
        case "exclusiveMinimum" | "exclusiveMaximum":
            return f"{value} is out of range"
    return str(error.message)[:200]


def _wants_quotes(error: Any) -> bool:
    """Whether a number would be right as text: a version 1.4 is, a share of 5 without its % is not."""
    number = isinstance(error.instance, int | float) and error.validator_value == "string"
    return number and re.search(error.schema.get("pattern", ""), str(error.instance)) is not None


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else _bare(value)
    return text if len(text) <= 60 else text[:57] + "…'"


def _bare(value: Any) -> str:
    """A value as YAML has it, without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), str(value))


def _about(schema: Any) -> str:
    """What a field is for, with an example, as the schema says it."""
    if not isinstance(schema, dict):
        return ""
    said = str(schema.get("description", "")).rstrip(".")
    examples = schema.get("examples")
    shown = f"such as {examples[0]}" if examples else ""
    return "; ".join(filter(None, (said, shown)))


def _name(path: tuple[Any, ...]) -> str:
    """The field as a person names it: `waves[2].name`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".") or "the file"
