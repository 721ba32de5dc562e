"""Random changes of a right spec: never a bug, and what lint lets pass can be rendered and built."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import BASE_SPEC, DEPLOYMENT, SERVICE, SPEC, Repo
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_wrong_fields import FILES

from canaryfleet.manifests import sort_key
from canaryfleet.syntax import load, parse_stream
from support import canonical, kustomized

HPA = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 3
"""
BLUE_GREEN = SPEC.replace(
    "  steps:\n  - {weight: 10%, for: 5m}\n",
    "  blueGreen: {promoteAfter: 5m, observe: 10m, previewReplicas: 1, previewHosts: [p.acme.example]}\n",
)
SPECS: list[dict[str, Any]] = [
    FILES["specs/chat/canary.yaml"],
    *(load(text.encode(), "spec") for text in (SPEC, BLUE_GREEN, BASE_SPEC)),
]
VALUES = st.sampled_from(
    [None, True, False, 0, 1, 2, -1, 3.5, 100, 65536, 2**31, 2**63, "", "0", "1", "10%", "100%", "0%", "0.5%",
     "5m", "0s", "1d", "99999h", "manual", "chat", "eu-1", "a.b", "*", "mesh", "$(cluster.name)", "$(x)", "{{x}}",
     "x\ny", "é", "\x7f", "x" * 300, [], {}, [None], [{}], {"x": "y"}, {"x": None}, "steps", "bake", "host",
     "grpc", "required", "capacity", "retiring", "hotfix", "./base", "system.md", "../chat/system.md"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["name", "for", "weight", "header", "cookie", "mirror", "scale", "replicas", "metrics", "query", "preset",
     "clusters", "selector", "share", "env", "x", "", "apiVersion", "minSuccessTime", "comparedTo", "quantile",
     "sticky", "blueGreen", "steps", "hosts", "gateways", "autoscaler", "model", "config", "adopt", "split"]
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in plain data, except the whole."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*at, key)
        yield from places(item, (*at, key))


def found(value: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        value = value[key]
    return value


@st.composite
def mutations(draw: st.DrawFn) -> dict[str, Any]:
    """A right spec with up to three changes: something left out, put in, replaced, doubled or moved."""
    spec = copy.deepcopy(draw(st.sampled_from(SPECS)))
    for _ in range(draw(st.integers(1, 3))):
        everywhere = list(places(spec))
        path = draw(st.sampled_from(everywhere))
        inner, key = found(spec, path[:-1]), path[-1]
        match draw(st.sampled_from(["remove", "replace", "replace", "insert", "double", "move"])):
            case "remove":
                del inner[key]
            case "replace":
                inner[key] = copy.deepcopy(draw(VALUES))
            case "insert" if isinstance(inner, dict):
                inner[draw(NAMES)] = copy.deepcopy(draw(VALUES))
            case "insert" | "double" if isinstance(inner, list):
                inner.insert(key, copy.deepcopy(inner[key]))
            case _:
                inner[key] = copy.deepcopy(found(spec, draw(st.sampled_from(everywhere))))
        if not spec:
            break
    return spec


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """One repository for all examples."""
    repo = Repo(tmp_path_factory.mktemp("fuzz") / "fleet")
    repo.base(kustomization="resources: [all.yaml]\n", all=f"{DEPLOYMENT}---\n{SERVICE}---\n{HPA}")
    return repo


def judge(repo: Repo, spec: Any) -> bool:
    """True if lint lets it pass, and then everything else works too."""
    repo.write("specs/chat/canary.yaml", json.dumps(spec))
    shutil.rmtree(repo.root / "overlays", ignore_errors=True)
    result = repo.run("lint")
    assert result.code in (0, 1), (spec, result.err)
    assert bool(result.code) == any(": error " in item.text for item in result.findings), result.err
    if result.code:
        assert all(item.file for item in result.findings)
        return False
    rendered = repo.run("render")
    assert rendered.code == 0, (spec, rendered.err)
    assert repo.run("render", "--check").code == 0, spec
    release = next((repo.root / "overlays/chat/releases").iterdir())
    waves = load((release / "release.yaml").read_bytes(), "release")["waves"]
    for wave in waves:
        repo.run("point", "chat", "--wave", wave["name"], "--verified", "all")
    for cluster in sorted(Path(repo.root, "overlays/chat/clusters").glob("*"))[:1]:
        home = f"overlays/chat/clusters/{cluster.name}"
        built = parse_stream(repo.run("build", "chat", cluster.name).out.encode(), "built")
        assert canonical(sorted(built, key=sort_key)) == canonical(kustomized(repo.root, home)), spec
        return True
    return True


@pytest.mark.parametrize("number", range(len(SPECS)))
def test_the_specs_are_right(fuzzed: Repo, number: int) -> None:
    assert judge(fuzzed, SPECS[number])


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(spec=mutations())
@example(spec={})
@example(spec=[])
@example(spec={"waves": [None], "workload": {"volumes": [None]}})
def test_a_changed_spec(fuzzed: Repo, spec: Any) -> None:
    judge(fuzzed, spec)
