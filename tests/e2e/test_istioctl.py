"""What `istioctl` says of everything that is generated: in files, and on a cluster in the middle of a canary."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from app import App
from replay import CASES, EXAMPLES, GOLDEN, PROJECT
from rig import kustomize, load, tools
from rig.kube import Object
from rig.processes import run

from conftest import NEWEST

TREES = {
    **{name: PROJECT / "overlays" / name for name in EXAMPLES},
    **{name: GOLDEN / "cases" / name / "expected" for name in CASES},
}
ENVOY_FILTER = "IST0133"
"""Said of every EnvoyFilter with a patch, right or wrong; sticky sessions have no other API."""
NOT_INJECTED = "IST0102"
"""Said of every namespace without sidecars; the rig has none (and says IST0103 of a namespace with the label)."""
NO_SUCH_DESTINATION = "IST0101"
"""Said of a route to a host or subset that is not there."""
NO_TELEMETRY = "may not provide Istio metrics and telemetry labels"
"""Said of Deployments of the users' own bases without the labels `app` and `version`; they stay as they are."""


@pytest.mark.parametrize("names", [EXAMPLES, CASES], ids=["examples", "cases"])
def test_istioctl_finds_nothing_in_what_is_generated(names: tuple[str, ...], tmp_path: Path) -> None:
    files = [file for name in names for file in _built(name, tmp_path)]
    assert [m for m in _in_files(files, tmp_path) if m["code"] != ENVOY_FILTER] == []
    assert _complaints(_validate(files)) == []


def test_istioctl_would_find_a_route_to_a_subset_that_is_not_there(tmp_path: Path) -> None:
    file = _built("assistant", tmp_path)[0]
    file.write_text(file.read_text().replace("subset: canary", "subset: canaries"))
    assert {m["code"] for m in _in_files([file], tmp_path)} == {ENVOY_FILTER, NO_SUCH_DESTINATION}


STEPS: list[dict[str, Any]] = [
    {"mirror": "10%", "for": "manual"},
    {"header": {"x-group": "internal"}, "for": "manual"},
    {"cookie": {"tester": "1"}, "for": "manual"},
    {"weight": "20%", "for": "manual"},
]
SHAPES: dict[str, dict[str, Any]] = {
    "subset": {"exposure__sticky": {"cookie": "session"}},
    "host": {"exposure__split": "host"},
}


@NEWEST
@pytest.mark.parametrize("shape", SHAPES)
def test_istioctl_finds_nothing_on_a_cluster_in_the_middle_of_a_canary(
    make_app: Callable[..., App], shape: str
) -> None:
    """At each step, with the routes and labels that the controller has added by then, and at rest."""
    app = make_app(exposure__steps=STEPS, exposure__idempotent=True, analysis__metrics=[], **SHAPES[shape])
    app.until_healthy(app.deploy("1.0.0"))
    assert _live(app) == []
    second = app.deploy("1.1.0")
    app.until_new(second)
    steps = app.rollout["spec"]["strategy"]["canary"]["steps"]
    for stop in (index for index, step in enumerate(steps) if "pause" in step):
        _until_stopped(app, stop)
        assert _live(app) == []
        app.promote()
    app.until_healthy(second)
    assert _live(app) == []


@NEWEST
def test_istioctl_finds_nothing_on_a_cluster_with_a_preview(make_app: Callable[..., App]) -> None:
    preview = {"promoteAfter": "manual", "previewHosts": ["preview.istioctl.example"]}
    app = make_app(exposure__blueGreen=preview, exposure__steps=[], analysis__metrics=[])
    app.until_healthy(app.deploy("1.0.0"))
    second = app.deploy("1.1.0")
    app.until_new(second)
    app.until_paused("BlueGreenPause")
    assert _live(app) == []
    app.promote()
    app.until_healthy(second)
    assert _live(app) == []


def _until_stopped(app: App, step: int) -> None:
    def stopped() -> bool:
        reasons = [pause["reason"] for pause in app.status.get("pauseConditions") or []]
        return app.status.get("currentStepIndex") == step and "CanaryPauseStep" in reasons

    app.until_now(stopped, f"waits at step {step}")


def _built(name: str, folder: Path) -> list[Path]:
    """The app's overlays, built, each in a file.

    Each is of another cluster, but istioctl takes all files for one: namespaces and hosts get the file's name.
    """
    files = []
    for overlay in sorted((TREES[name] / "clusters").iterdir()):
        file = folder / f"{name}-{overlay.name}.yaml"
        text = kustomize(overlay)
        namespace = next(one for one in load(text) if one["kind"] == "Rollout")["metadata"]["namespace"]
        objects = load(re.sub(rf"\b{namespace}\b", f"{namespace}-{file.stem}", text))
        for one in (one for one in objects if one["kind"] == "VirtualService"):
            hosts = one["spec"]["hosts"]
            one["spec"]["hosts"] = [
                h if h.endswith(".svc.cluster.local") else f"{h}.{file.stem}" for h in hosts
            ]
        file.write_text(yaml.dump_all(objects, Dumper=yaml.CSafeDumper))
        files.append(file)
    assert files
    return files


def _in_files(files: Sequence[Path], folder: Path) -> list[Object]:
    """What the analysis of these files finds, with the Gateways of the platform."""
    gateways = folder / "gateways.yaml"
    gateways.write_text(
        yaml.safe_dump_all(_gateways(one for file in files for one in load(file.read_text())))
    )
    return _analyze("--use-kube=false", "-A", gateways, *files)


def _gateways(objects: Iterable[Object]) -> list[Object]:
    """The Gateways that routes name: the platform's, and so not among what is generated."""
    used = {
        name
        for one in objects
        if one["kind"] == "VirtualService"
        for name in one["spec"].get("gateways", [])
        if name != "mesh"
    }
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    return [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"namespace": name.split("/")[0], "name": name.split("/")[1]},
            "spec": {"selector": {"istio": "x"}, "servers": [{"port": port, "hosts": ["*"]}]},
        }
        for name in sorted(used)
    ]


def _analyze(*arguments: str | Path) -> list[Object]:
    """The messages of `istioctl analyze`."""
    said = run([tools.binary("istioctl"), "analyze", "--output", "json", *arguments])
    found: list[Object] = json.loads(said)
    return found


def _validate(files: Sequence[Path]) -> str:
    return run([tools.binary("istioctl"), "validate", *(word for file in files for word in ("-f", file))])


def _complaints(said: str) -> list[str]:
    lines = [line.strip() for line in said.splitlines()]
    fine = ("is valid", "has warnings:", "EnvoyFilter exposes internal implementation details", NO_TELEMETRY)
    return [line for line in lines if line and not any(words in line for words in fine)]


def _live(app: App) -> list[Object]:
    """What the analysis of the app's namespace on the running cluster finds."""
    found = _analyze("--kubeconfig", app.kube.kubeconfig, "--namespace", app.namespace)
    return [message for message in found if message["code"] not in {ENVOY_FILTER, NOT_INJECTED}]
