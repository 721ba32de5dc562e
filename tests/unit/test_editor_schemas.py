"""The schemas for editors: the models' rules without null, in a form that language servers use well (tests/editor)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from canaryfleet import schema
from canaryfleet.editor import friendly
from canaryfleet.models.canary import Canary
from canaryfleet.presets import all_names
from canaryfleet.syntax import load

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = {name: json.loads(schema.files()[f"schemas/{name}.schema.json"]) for name in schema.BY_PEOPLE}
FILES = [
    ("fleet", ROOT / "fleet.yaml"),
    *(("cluster", path) for path in sorted((ROOT / "clusters").iterdir())),
    *(("canary", path) for path in sorted((ROOT / "specs").glob("*/canary.yaml"))),
    *(("canary", path) for path in sorted((ROOT / "tests/golden/cases").glob("*/canary.yaml"))),
    *(("promotion", path) for path in sorted((ROOT / "overlays").glob("*/promotion.yaml"))),
]
SPEC: dict[str, Any] = load((ROOT / "specs/assistant/canary.yaml").read_bytes(), "spec")


def within(value: Any) -> Iterator[Any]:
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from within(item)


@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_is_in_it_that_an_editor_would_insert_or_show_badly(name: str) -> None:
    Draft202012Validator.check_schema(WRITTEN[name])
    for part in within(WRITTEN[name]):
        if isinstance(part, dict) and part.get("type") != "object":
            assert "default" not in part
        if isinstance(part, dict) and isinstance(part.get("description"), str) and "body" not in part:
            assert part["markdownDescription"].startswith(part["description"])


@pytest.mark.parametrize(("name", "path"), FILES, ids=lambda value: getattr(value, "name", value))
def test_what_people_wrote_is_right_to_their_editor(name: str, path: Path) -> None:
    data = load(path.read_bytes(), str(path))
    assert [error.message for error in Draft202012Validator(WRITTEN[name]).iter_errors(data)] == []


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*at, key)
        yield from places(item, (*at, key))


VALUES = st.sampled_from(
    [True, 0, 7, 2**40, -1, 0.5, "", "x", "10%", "5m", [], {}, ["x"], {"x": "y"}, {"weight": "5%"}]
)
NAMES = st.sampled_from(
    ["mirror", "header", "base", "share", "clusters", "blueGreen", "query", "cookie", "x", "for"]
)


@settings(max_examples=150)
@given(st.sampled_from(list(places(SPEC))), VALUES, st.none() | NAMES)
def test_editor_and_model_agree_about_every_change(
    path: tuple[Any, ...], value: Any, more: str | None
) -> None:
    data = json.loads(json.dumps(SPEC))
    inner = data
    for step in path[:-1]:
        inner = inner[step]
    if more and isinstance(inner, dict):
        inner[more] = value
    else:
        inner[path[-1]] = value
    try:
        msgspec.convert(data, Canary, strict=True)
        accepted = True
    except (msgspec.ValidationError, ValueError):
        accepted = False
    assert Draft202012Validator(WRITTEN["canary"]).is_valid(data) is accepted


def test_null_is_refused_unless_it_says_something() -> None:
    allowed = {
        name
        for part in WRITTEN["canary"]["$defs"].values()
        for name, field in part.get("properties", {}).items()
        if "null" in str(field)
    }
    assert allowed == {"disruption"}


def test_the_presets_that_are_offered_are_there() -> None:
    offered = WRITTEN["canary"]["$defs"]["Metric"]["properties"]["preset"]["examples"]
    assert set(offered) <= set(all_names())


def test_the_new_app_that_is_offered_is_what_init_writes() -> None:
    from canaryfleet import scaffold

    (snippet,) = friendly(schema.schema_of(Canary))["$defs"]["Canary"]["defaultSnippets"]
    body = snippet["body"]
    assert body["exposure"]["steps"] == list(scaffold.STEPS)
    assert body["analysis"] == scaffold.ANALYSIS
    waves = scaffold.waves({"${7:cluster}": 1, "zzz": 1})
    assert body["waves"] == waves
