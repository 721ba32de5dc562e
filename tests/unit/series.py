"""An app that measures everything, on a fleet that says what its series are labelled with."""

from collections.abc import Iterator
from typing import Any

import yaml

from canaryfleet import catalogue, presets
from canaryfleet.presets import Preset
from support import Project

THANOS = "https://thanos.acme.example"
LABELS = {"cluster": "$(cluster.name)", "env": "prod"}
QUERY = "sum(rate(x{$(selector)}[$(window)]))"
BOUNDS = {"promoteBelow": 1, "rollbackAbove": 2}


def metric(preset: Preset) -> dict[str, Any]:
    """A preset with what it needs, and with thresholds of its direction."""
    good, bad = ("Above", "Below") if preset.better == "higher" else ("Below", "Above")
    bounds = {f"promote{good}": 0.5, f"rollback{bad}": 0.6 if good == "Below" else 0.4}
    needs = {key: value for key, value in catalogue.example(preset).items() if key not in preset.suggest}
    return needs | bounds


def spec(*metrics: dict[str, Any], **exposure: Any) -> dict[str, Any]:
    return {
        "apiVersion": "canaryfleet.dev/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "chat", "namespace": "ai"},
        "version": "1.0.0",
        "workload": {"image": f"registry.example/chat@sha256:{'0' * 64}", "port": 8080},
        "exposure": exposure or {"steps": [{"weight": "20%", "for": "5m"}]},
        "analysis": {"metrics": list(metrics)},
        "waves": [{"name": "all", "minSuccessTime": "1h"}],
    }


PRESETS = [found for name in presets.all_names() if (found := presets.find(name))]
ALL = [metric(preset) for preset in PRESETS if preset.provider is None]
SOME = [
    next(one for one in ALL if one["preset"].startswith(f"{stack}/"))
    for stack in ("istio", "vllm", "dcgm", "drift")
]
WEB = [metric(preset) for preset in PRESETS if preset.provider is not None]
OWN = {"name": "own", "query": QUERY, **BOUNDS}
COMPARED = {"name": "compared", "query": QUERY, "comparedTo": "stable", "promoteBelow": "5%"}


def say(
    project: Project, content: dict[str, Any], labels: dict[str, str] | None = None, address: str = THANOS,
    **metrics: str,
) -> None:  # fmt: skip
    """Write the spec, and what the fleet says of its metrics."""
    said = {"prometheus": address, **({} if labels is None else {"labels": labels}), **metrics}
    fleet = {"apiVersion": "canaryfleet.dev/v1alpha1", "kind": "Fleet", "metadata": {"name": "f"}}
    project.root.joinpath("fleet.yaml").write_text(yaml.safe_dump(fleet | {"metrics": said}))
    folder = project.spec("chat")
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("canary.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def queries(project: Project) -> Iterator[tuple[str, str, str]]:
    """Every query that is applied to a cluster: the object's kind, the metric, the query."""
    project.render()
    project.point_everything("chat")
    for item in project.built("chat", "eu-1"):
        if item["kind"] in ("AnalysisTemplate", "AnalysisRun"):
            for one in item["spec"]["metrics"]:
                yield item["kind"], one["name"], one["provider"]["prometheus"]["query"]
