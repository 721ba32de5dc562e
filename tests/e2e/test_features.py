"""Each feature of the spec, as its golden case has it: accepted, Healthy, and a second release goes its way."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from replay import (
    CASES,
    CLUSTERS,
    GOLDEN,
    Case,
    Server,
    follow,
    good,
    needed,
    outfit,
    refusals,
    steps_taken,
    took_every_step,
    unproven,
    was_switched,
)
from rig import Fleet, Member, kustomize, load, read
from rig.cluster import crd_files

from canaryfleet.engines.argo_rollouts import held
from canaryfleet.metrics import REQUIRED
from conftest import VERSIONS

SERVICES = {"base-deployment": "chat-server"}  # where it isn't named as the app
UNMEASURABLE = {
    "providers": "asks Datadog, New Relic, Wavefront, CloudWatch, Graphite, InfluxDB, SkyWalking, Kayenta and a "
    "plugin, none of which is here: the canary begins, and goes back when its analysis ends in an error",
}
GOING = [name for name in CASES if name not in UNMEASURABLE]
STEERED = {  # what the controller itself steers: these go their way on each of its releases
    "analysis-steps-and-background",
    "bake",
    "blue-green",
    "blue-green-manual",
    "canary-scale",
    "compared-to-stable",
    "dynamic-stable-scale",
    "header-and-cookie-routes",
    "mirror",
    "split-host",
    "split-subset",
    "sticky-cookie",
    "weights-and-pauses",
}
DESK, COMPLAINTS = "https://desk.example", "/chat?key=a-token"


@pytest.fixture
def desk() -> Iterator[Server]:
    """A server in place of the one that the case `blue-green` asks."""
    server = Server({COMPLAINTS: {"open": 1}})
    yield server
    server.close()


@pytest.fixture
def case(
    name: str, fleet: Fleet, member: Member, tmp_path: Path, keep: Callable[[Case], Case], desk: Server
) -> Case:
    """A golden case in a repository of its own, its first release healthy and answering."""
    root = tmp_path / "repository"
    app = keep(Case(fleet, member, root, name, CLUSTERS.get(name, "eu-1"), {DESK: desk.address}))
    outfit(app)
    first = app.release("1.0.0")
    app.apply([*needed(app), *app.built()])
    app.until_healthy(first)
    good(app, app.stable, SERVICES.get(name, app.name))
    return app


@pytest.mark.parametrize(
    ("member", "name"),
    [(version, name) for name in GOING for version in (VERSIONS if name in STEERED else VERSIONS[:1])],
    indirect=["member"],
)
def test_a_release_with_this_feature_goes_its_whole_way(case: Case, name: str, desk: Server) -> None:
    stable = case.stable
    second = case.deploy("1.1.0")
    canary = case.until_new(second)
    good(case, canary, SERVICES.get(name, case.name))
    follow(case, second)
    assert refusals(case) == []
    assert case.stable == canary
    assert unproven(case, canary) == []
    if second.strategy == "canary":
        took_every_step(case, canary)
    else:
        was_switched(case, stable, canary)


@pytest.mark.parametrize("name", UNMEASURABLE)
def test_a_release_measured_by_what_is_absent_begins(case: Case, name: str) -> None:
    second = case.deploy("1.1.0")
    canary = case.until_new(second)
    case.until_weight(20)
    assert refusals(case) == []
    assert steps_taken(case, canary)[:2] == [0, 1]


@pytest.mark.parametrize("version", VERSIONS)
def test_lint_asks_for_what_the_api_server_requires_of_a_provider(version: str) -> None:
    template = next(path for path in crd_files(version) if path.name == "analysis-template-crd.yaml")
    schema = read(template)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for part in ("spec", "metrics", "items", "provider"):
        schema = schema["items"] if part == "items" else schema["properties"][part]
    required = {name: set(field.get("required", ())) for name, field in schema["properties"].items()}
    assert required["kayenta"]
    missing = {name: fields - set(REQUIRED.get(name, ())) for name, fields in required.items()}
    assert {name: fields for name, fields in missing.items() if fields} == {}


HELD = {
    "rollout-crd.yaml": ("template",),
    "analysis-run-crd.yaml": ("metrics", "items"),
    "analysis-template-crd.yaml": ("metrics", "items"),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_no_default_of_the_definitions_makes_something_else_of_what_git_has(version: str) -> None:
    """A verdict compares digests of what a cluster holds with those of the release: each default is taken off."""
    found = 0
    for path in (path for path in crd_files(version) if path.name in HELD):
        schema = read(path)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        part = schema["properties"]["spec"]["properties"]
        for word in HELD[path.name]:
            part = part[word]
        for at, default in defaults(part):
            found += 1
            with_it, without = ({"metrics": [around(at, value)]} for value in (default, None))
            assert held.measures(with_it, None) == held.measures(without, None), (path.name, at, default)
    assert found > 50


def defaults(schema: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Where a definition has a default, and which; `*` for any item of a list or a map."""
    if "default" in schema:
        yield at, schema["default"]
    items = [("*", schema["items"])] if "items" in schema else []
    for name, part in (*schema.get("properties", {}).items(), *items):
        yield from defaults(part, (*at, name))


def around(at: tuple[str, ...], value: Any) -> Any:
    """An object with a value there, or without one, beside something that is said."""
    if not at:
        return value
    inner = around(at[1:], value)
    if at[0] == "*":
        return [inner or {}]
    return {"said": "so"} | ({} if inner is None else {at[0]: inner})


def test_everything_that_is_generated_is_accepted_by_the_api_server(fleet: Fleet) -> None:
    """All clusters' overlays of all cases, as the golden trees have them; on both releases' definitions."""
    overlays = sorted(GOLDEN.glob("cases/*/expected/clusters/*"))
    assert len(overlays) >= 3 * len(CASES)
    objects = {json.dumps(one): one for overlay in overlays for one in load(kustomize(overlay))}
    for version in VERSIONS:
        kube = fleet.on(version, "cases").kube
        for namespace in {one["metadata"]["namespace"] for one in objects.values()}:
            kube.ensure_namespace(namespace)
        said = kube.apply(list(objects.values()), "--dry-run=server", "--validate=strict").splitlines()
        assert len(said) == len(objects)
