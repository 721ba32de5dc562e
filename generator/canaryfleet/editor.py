"""JSON Schemas as editors need them: the same rules, in the words that a YAML language server shows and offers.

What was seen with yaml-language-server 1.25 (tests/editor): it inserts every field that has a `default`, offers `null`
wherever that is allowed and names it in messages, escapes the Markdown of `description`, shows no defaults, repeats a
field's title for each branch of a choice that names its properties, and quotes patterns at people.
"""

import json
from typing import Any

# Shown first where a new thing begins; `$1` is where the cursor goes.
SNIPPETS: dict[str, list[dict[str, Any]]] = {
    "Canary": [
        {
            "label": "a new app",
            "description": "A service that is exposed step by step, and measured",
            "body": {
                "apiVersion": "canaryfleet.dev/v1alpha1",
                "kind": "Canary",
                "metadata": {"name": "${1:app}", "namespace": "${2:namespace}"},
                "version": "${3:1.0.0}",
                "workload": {"image": "${4:image}", "port": "^${5:8080}", "replicas": "^${6:2}"},
                "exposure": {
                    "steps": [
                        {"weight": "5%", "for": "10m"},
                        {"weight": "25%", "for": "10m"},
                        {"weight": "50%", "for": "10m"},
                    ]
                },
                "analysis": {
                    "minimumSamples": 200,
                    "metrics": [{"preset": "istio/error-rate", "promoteBelow": "1%", "rollbackAbove": "5%"}],
                },
                "waves": [
                    {"name": "pilot", "clusters": ["${7:cluster}"], "minSuccessTime": "1h"},
                    {"name": "rest", "maxConcurrency": "25%", "minSuccessTime": "1h"},
                ],
            },
        }
    ],
}


def friendly(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a file that people write, for their editor. A null that says no more than nothing is refused."""
    made: dict[str, Any] = _plain(schema)
    for name, snippets in SNIPPETS.items():
        if name in made["$defs"]:
            made["$defs"][name]["defaultSnippets"] = snippets
    return made


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _plain(value) for key, value in schema.items() if key not in ("default", "properties")}
    if "properties" in schema:
        kept["properties"] = {name: _plain(field) for name, field in schema["properties"].items()}
    if schema.get("default", ...) is None:
        kept = _without_null(kept)
    kept = _one(kept)
    if "x-choice" in kept:
        _choose(kept)
    if isinstance(kept.get("description"), str):
        kept["markdownDescription"] = _described(kept["description"], schema)
    if "pattern" in kept:
        kept["patternErrorMessage"] = _expected(kept)
    return kept


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        schema["anyOf"] = [branch for branch in schema["anyOf"] if branch != {"type": "null"}]
    return schema


def _one(schema: dict[str, Any]) -> dict[str, Any]:
    """A choice of one is none, and simple types stand side by side; the field's own words stay."""
    branches = schema.get("anyOf", [])
    if len(branches) == 1:
        (branch,) = schema.pop("anyOf")
        return {**branch, **schema}
    rules = [key for branch in branches for key in branch if key != "type"]
    if not branches or len(set(rules)) < len(rules) or not all(set(branch) <= _SIMPLE for branch in branches):
        return schema
    del schema["anyOf"]
    merged = {key: value for branch in branches for key, value in branch.items()}
    return merged | {"type": [branch["type"] for branch in branches]} | schema


# Rules that hold for values of their own type alone, so that those of several types don't meet.
_SIMPLE = frozenset(
    {"type", "pattern", "minimum", "maximum", "minLength", "maxLength", "patternErrorMessage"}
)


def _choose(schema: dict[str, Any]) -> None:
    """The choice by names, said at the second of two: there is no null that could stand for nothing."""
    group, least = schema["x-choice"]["of"], schema["x-choice"]["least"]
    schema.pop("oneOf", None)
    schema.pop("not", None)
    if least:
        schema["anyOf"] = [{"required": [name]} for name in group]
    schema["dependentSchemas"] = {
        name: {"properties": {other: False for other in group if other != name}} for name in group
    }


def _described(text: str, schema: dict[str, Any]) -> str:
    default = schema.get("default")
    if default is None or default == "" or (isinstance(default, dict | list | tuple) and not default):
        return text
    return f"{text}\n\nDefault: `{json.dumps(default, ensure_ascii=False).strip(chr(34))}`"


def _expected(schema: dict[str, Any]) -> str:
    """Instead of the pattern: what the field is, with an example."""
    said = str(schema.get("description", "")).rstrip(".")
    examples = schema.get("examples")
    shown = f"such as {examples[0]}" if examples else ""
    return "Not of the right form" + "".join(f"; {part}" for part in (said, shown) if part)
