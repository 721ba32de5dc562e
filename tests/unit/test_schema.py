"""The schemas are the models': held equal, and agreeing with them about what is allowed."""

from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from canaryfleet import schema
from canaryfleet.models.canary import Canary, Step, Wave, Workload

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", sorted(schema.files()))
def test_the_committed_schema_is_current(path: str) -> None:
    assert (ROOT / path).read_bytes() == schema.files()[path], "renew it with: make schema"


@pytest.mark.parametrize("model", schema.FILES.values(), ids=str)
def test_the_schema_is_one(model: type) -> None:
    Draft202012Validator.check_schema(schema.schema_of(model))


FIELDS = [
    (f"{name}: {kind}.{field}", body)
    for name in ("canary", "cluster", "fleet", "promotion")
    for kind, part in schema.schema_of(schema.FILES[name])["$defs"].items()
    for field, body in part.get("properties", {}).items()
]


@pytest.mark.parametrize("body", [body for _, body in FIELDS], ids=[name for name, _ in FIELDS])
def test_every_field_explains_itself_to_an_editor(body: dict[str, object]) -> None:
    assert body["description"]
    shown = body.get("examples") or body.get("enum") or body.get("const") or body.get("default")
    assert shown not in (None, {}, []) or "$ref" in str(body) or "default" in body


CHOICES = [
    (Step, {}),
    (Step, {"weight": "5%"}),
    (Step, {"weight": None}),
    (Step, {"weight": "5%", "header": None}),
    (Step, {"weight": "5%", "mirror": "5%"}),
    (Step, {"header": {}}),
    (Workload, {"image": "x", "base": "y"}),
    (Workload, {"image": "x"}),
    (Workload, {}),
    (Wave, {"name": "rest"}),
    (Wave, {"name": "some", "clusters": ["a"]}),
    (Wave, {"name": "both", "clusters": ["a"], "share": "10%"}),
    (Wave, {"name": "null", "clusters": ["a"], "share": None}),
]


@pytest.mark.parametrize(("model", "data"), CHOICES, ids=str)
def test_schema_and_model_agree_about_choices(model: type, data: dict[str, object]) -> None:
    try:
        msgspec.convert(data, model)
        accepted = True
    except msgspec.ValidationError:
        accepted = False
    assert Draft202012Validator(schema.schema_of(model)).is_valid(data) is accepted


def test_unknown_fields_are_refused_everywhere() -> None:
    for name, part in schema.schema_of(Canary)["$defs"].items():
        if "properties" in part:
            assert part["additionalProperties"] is False, name
