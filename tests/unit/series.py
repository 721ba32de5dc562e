"""An app that measures everything, on a fleet that says what its series are labelled with."""

from collections.abc import Iterator
from typing import Any

import yaml

from canaryfleet import presets
from canaryfleet.presets import Preset
from support import Project

THANOS = "https://thanos.acme.example"
LABELS = {"cluster": "$(cluster.name)", "env": "prod"}
QUERY = "sum(rate(x{$(selector)}[$(window)]))"
BOUNDS = {"promoteBelow": 1, "rollbackAbove": 2}


def metric(preset: Preset) -> dict[str, Any]:
    """A preset with thresholds of its direction."""
    good, bad = ("Below", "Above") if preset.better == "lower" else ("Above", "Below")
    bounds = {f"promote{good}": 0.5, f"rollback{bad}": 0.6 if good == "Below" else 0.4}
    return {"preset": preset.name, **({"quantile": 0.9} if preset.quantile else {}), **bounds}


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


ALL = [metric(found) for name in presets.all_names() if (found := presets.find(name))]
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
