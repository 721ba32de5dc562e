"""Arguments and {{placeholders}} of analyses."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.plain import Entry, Object, as_text, entries

TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def args_of(item: Object) -> list[Entry]:
    return entries(item, "spec", "args")


def has_value(arg: dict[Any, Any]) -> bool:
    return arg.get("value") is not None or arg.get("valueFrom") is not None


def defaults_of(item: Object) -> dict[str, str]:
    """Values that a template or run gives to its own arguments."""
    return {
        as_text(arg, "name"): arg["value"] for _, arg in args_of(item) if isinstance(arg.get("value"), str)
    }


def declared_by(items: Iterable[Object]) -> set[str]:
    return {as_text(arg, "name") for item in items for _, arg in args_of(item)}


def substitute(value: Any, values: Mapping[str, str], depth: int = 0) -> Any:
    """The data with {{args.name}} replaced where the value is known."""
    if isinstance(value, str):
        return TAG.sub(lambda tag: values.get(argument_of(tag[1]), tag[0]), value) if "{{" in value else value
    if depth > 100:
        return value
    if isinstance(value, dict):
        return {key: substitute(one, values, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [substitute(one, values, depth + 1) for one in value]
    return value


def argument_of(tag: str) -> str:
    """The name in a placeholder; a name that no argument can have if it is no argument's."""
    text = tag.strip()
    return text.removeprefix("args.") if text.startswith("args.") else "\0"
