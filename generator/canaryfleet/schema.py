"""JSON Schemas of the files that people and editors see, generated from the models."""

import json
from inspect import cleandoc
from typing import Any

from canaryfleet.models.base import Choice, Model
from canaryfleet.models.canary import Canary
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.diff import Diff
from canaryfleet.models.findings import CodeHelp, Findings
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.forecast import Forecast
from canaryfleet.models.moved import Checked, Overruled, PointedAt, PrunedAway, Rendered, RolledBack
from canaryfleet.models.observation import Snapshot
from canaryfleet.models.pinned import Pinned
from canaryfleet.models.plan import Plan
from canaryfleet.models.preset import PresetDetails, PresetList
from canaryfleet.models.promotion import Promotion
from canaryfleet.models.ran import ExplainedDecision, Gated, Reconciled
from canaryfleet.models.release import Candidate, Done, Release
from canaryfleet.models.report import Report
from canaryfleet.models.review import Review
from canaryfleet.models.started import Started
from canaryfleet.models.status import Status

FILES: dict[str, type[Model]] = {
    "canary": Canary,
    "cluster": Cluster,
    "fleet": Fleet,
    "promotion": Promotion,
    "release": Release,
    "candidate": Candidate,
    "done": Done,
    "snapshot": Snapshot,
    "status": Status,
    "report": Report,
    "presets": PresetList,
    "preset": PresetDetails,
    "plan": Plan,
    "forecast": Forecast,
    "started": Started,
    "pinned": Pinned,
    "findings": Findings,
    "code": CodeHelp,
    "diff": Diff,
    "review": Review,
    "pointed": PointedAt,
    "rolled-back": RolledBack,
    "pruned": PrunedAway,
    "rendered": Rendered,
    "checked": Checked,
    "overruled": Overruled,
    "reconciled": Reconciled,
    "gated": Gated,
    "explained": ExplainedDecision,
}
BY_PEOPLE = ("canary", "cluster", "fleet", "promotion")
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(model: type[Any]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a model, choices included."""
    from msgspec.json import schema_components

    (root,), components = schema_components([model], ref_template="#/$defs/{name}")
    for kind in _all(Choice):
        if kind.__name__ in components:
            _choose(components[kind.__name__], kind)
    for component in components.values():
        component["description"] = cleandoc(component.get("description", ""))
    title = getattr(model, "__name__", "")
    return {"$schema": DRAFT, "title": title, **root, "$defs": dict(sorted(components.items()))}


def _all(kind: type[Any]) -> list[type[Any]]:
    return [found for child in kind.__subclasses__() for found in (child, *_all(child))]


def _choose(schema: dict[str, Any], kind: type[Choice]) -> None:
    """Write a model's choice as the schema's; `x-choice` lets errors name it, as `oneOf` can't."""
    group, least = (kind.exactly_one, 1) if kind.exactly_one else (kind.at_most_one, 0)
    named = [_encoded(kind, name) for name in group]
    one = [_given(name) for name in named]
    schema["x-choice"] = {"of": named, "least": least}
    if least:
        schema["oneOf"] = one
    else:
        schema["not"] = {
            "anyOf": [
                {"allOf": [one[left], one[right]]}
                for left in range(len(one))
                for right in range(left + 1, len(one))
            ]
        }


def _given(name: str) -> dict[str, Any]:
    """There, and not null: as the model counts it."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _encoded(kind: type[Choice], name: str) -> str:
    return str(kind.__struct_encode_fields__[kind.__struct_fields__.index(name)])


def paths() -> list[str]:
    """Where the schemas stand in a repository."""
    return [_path(name) for name in FILES]


def _path(name: str) -> str:
    return f"schemas/{name}.schema.json"


def files() -> dict[str, bytes]:
    """All schema files by their path in a repository; those of files that people write are for their editors."""
    from canaryfleet.editor import friendly

    found = {name: schema_of(model) for name, model in FILES.items()}
    found |= {name: friendly(found[name]) for name in BY_PEOPLE}
    return {
        _path(name): (json.dumps(each, indent=2, ensure_ascii=False) + "\n").encode()
        for name, each in found.items()
    }
