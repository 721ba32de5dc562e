"""A small fleet in which nothing is dangerous, and parts of files that change it."""

import copy
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from canaryfleet import lint
from canaryfleet.errors import Finding
from canaryfleet.files import Tree
from canaryfleet.render import everywhere, know
from support import NOW

API = {"apiVersion": "canaryfleet.dev/v1alpha1"}
SPEC = "specs/chat/canary.yaml"
CLUSTERS = {"eu-1": (10, "edge"), "eu-2": (20, "core"), "us-1": (40, "core"), "us-2": (30, "core")}


def canary(app: str) -> dict[str, Any]:
    """A spec that no rule has anything to say of."""
    return {
        **API,
        "kind": "Canary",
        "metadata": {"name": app, "namespace": "inference"},
        "version": "1.0.0",
        "workload": {"image": f"ghcr.io/acme/chat@sha256:{'b4fcf7be' * 8}", "port": 8000, "replicas": 2},
        "exposure": {"steps": [{"weight": "5%", "for": "10m"}, {"weight": "50%", "for": "10m"}]},
        "analysis": {
            "minimumSamples": 1000,
            "metrics": [{"preset": "istio/error-rate", "promoteBelow": "0.5%", "rollbackAbove": "2%"}],
        },
        "waves": [{"name": "pilot", "clusters": ["eu-1"]}, {"name": "rest", "maxConcurrency": 1}],
    }


def cluster(name: str) -> dict[str, Any]:
    capacity, tier = CLUSTERS[name]
    metadata = {"name": name, "labels": {"region": name[:2], "tier": tier}}
    return {**API, "kind": "Cluster", "metadata": metadata, "capacity": capacity}


LABELS = {"app": "chat"}
BASE: dict[str, Any] = {
    "specs/chat/base/deployment.yaml": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": LABELS},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "containers": [
                        {
                            "name": "chat",
                            "image": f"ghcr.io/acme/chat@sha256:{'b4fcf7be' * 8}",
                            "ports": [{"containerPort": 8000}],
                        }
                    ]
                },
            },
        },
    },
    "specs/chat/base/service.yaml": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "chat"},
        "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8000}]},
    },
    "specs/chat/base/kustomization.yaml": {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["deployment.yaml", "service.yaml"],
    },
}


def quiet() -> dict[str, Any]:
    """The files of the fleet, by path."""
    metrics = {"prometheus": "http://prometheus.monitoring:9090"}
    fleet = {**API, "kind": "Fleet", "metadata": {"name": "acme"}, "metrics": metrics}
    return {
        "fleet.yaml": fleet,
        SPEC: canary("chat"),
        **{f"clusters/{name}.yaml": cluster(name) for name in CLUSTERS},
    }


def parts(example: str) -> dict[str, Any]:
    """The parts of an example as the documentation has it: each begins with its file's name as a comment."""
    found = {}
    for part in example.split("---\n"):
        name = part.splitlines()[0].removeprefix("# ")
        path = (
            name if name.startswith(("clusters/", "specs/")) or name == "fleet.yaml" else f"specs/chat/{name}"
        )
        found[path] = yaml.safe_load(part)
    return found


def merged(old: Any, new: Any) -> Any:
    """Maps key by key, anything else as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: merged(old.get(key), value) for key, value in new.items()}
    return copy.deepcopy(new)


def changed(given: dict[str, Any]) -> dict[str, Any]:
    """The quiet fleet with some parts of its files changed."""
    files = quiet()
    if any(path.startswith("specs/chat/base/") for path in given):
        files |= BASE
        files[SPEC] = files[SPEC] | {"workload": {"base": "./base"}}
    for path in given:
        if path.startswith("specs/") and path.endswith("/canary.yaml") and path not in files:
            files[path] = canary(path.split("/")[1])
    return {path: merged(files.get(path, {}), given.get(path, {})) for path in {**files, **given}}


def write(root: Path, files: dict[str, Any]) -> None:
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=1))


def found(root: Path, now: datetime = NOW, apps: tuple[str, ...] = ()) -> list[Finding]:
    """What `canaryfleet lint` finds at a time."""
    known = know(Tree(root), apps)
    advised = lint.advise(known.repository, known.checked, everywhere(known), now, all_apps=not apps)
    return [*known.findings, *advised.findings]
