"""The files of a new GitOps repository and of a new app: from answers to text that a person would have written."""

from collections.abc import Iterator, Mapping, Sequence
from posixpath import join
from typing import Any, NamedTuple

from canaryfleet.decode import decode
from canaryfleet.emit import arrange
from canaryfleet.errors import one_line
from canaryfleet.models.base import API_VERSION, Model
from canaryfleet.models.canary import Canary
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.fleet import Fleet
from canaryfleet.syntax import parse

# Istio's own sample installs its Prometheus there.
PROMETHEUS = "http://prometheus.istio-system:9090"
GITIGNORE = b"# what an interrupted run of canaryfleet left behind; the next one clears it\n.canaryfleet-*/\n"

# Few see a bad version, for long enough that the slowest of them are counted; then many.
STEPS = ({"weight": "5%", "for": "10m"}, {"weight": "25%", "for": "10m"}, {"weight": "50%", "for": "10m"})
# With 200 requests, 1% and 5% of errors are told apart: chance alone takes the one for the other in fewer than one
# case in a hundred.
ANALYSIS = {
    "minimumSamples": 200,
    "metrics": [{"preset": "istio/error-rate", "promoteBelow": "1%", "rollbackAbove": "5%"}],
}
BAKE = "1h"


class Parts(NamedTuple):
    """What a spec is made of, as its file has it; and what its reader has to know."""

    workload: dict[str, Any]
    exposure: dict[str, Any]
    analysis: dict[str, Any]
    comments: tuple[str, ...] = ()


def fleet(name: str, prometheus: str, branch: str) -> bytes:
    """fleet.yaml; the default branch stands in it where it isn't `main`. Raises `Problems` if the answers make none."""
    body = _head("Fleet", {"name": name})
    if branch != "main":
        body |= {"defaultBranch": branch}
    body |= {"metrics": {"prometheus": prometheus}}
    return _text(body, "schemas/fleet.schema.json", "fleet.yaml", Fleet)


def cluster(name: str, labels: Mapping[str, str]) -> bytes:
    """A cluster's file, which is read by the context of its name. Raises `Problems`."""
    metadata: dict[str, Any] = {"name": name}
    if labels:
        metadata["labels"] = dict(labels)
    body = _head("Cluster", metadata) | {"access": {"context": name}}
    return _text(body, "../schemas/cluster.schema.json", f"clusters/{name}.yaml", Cluster)


def canary(app: str, namespace: str, version: str, parts: Parts, waves: Sequence[Mapping[str, Any]]) -> bytes:
    """A spec. Raises `Problems` if the answers make none."""
    body = _head("Canary", {"name": app, "namespace": namespace}) | {
        "version": version,
        "workload": parts.workload,
        "exposure": parts.exposure,
        "analysis": parts.analysis,
        "waves": list(waves),
    }
    path = join("specs", app, "canary.yaml")
    return _text(body, "../../schemas/canary.schema.json", path, Canary, parts.comments)


def waves(capacities: Mapping[str, float]) -> list[dict[str, Any]]:
    """The smallest cluster first, then the others, a quarter of them at a time; each is watched for an hour.

    `capacities`: of the clusters that take releases, by name; at least one.
    """
    if len(capacities) == 1:
        return [{"name": "all", "minSuccessTime": BAKE}]
    pilot = min(capacities, key=lambda name: (capacities[name], name))
    return [
        {"name": "pilot", "clusters": [pilot], "minSuccessTime": BAKE},
        {"name": "rest", "maxConcurrency": "25%", "minSuccessTime": BAKE},
    ]


def from_image(image: str, port: int, replicas: int, startup: str | None) -> dict[str, Any]:
    """A workload of an image."""
    workload: dict[str, Any] = {"image": image, "port": port, "replicas": replicas}
    return workload | ({"startup": startup} if startup else {})


def exposure(
    hosts: Sequence[str], gateways: Sequence[str], protocol: str, steps: Sequence[Mapping[str, Any]] = STEPS
) -> dict[str, Any]:
    """How requests come in, and the steps of a canary."""
    found: dict[str, Any] = {"hosts": list(hosts), "gateways": list(gateways)}
    found = {key: value for key, value in found.items() if value}
    if protocol != "http":
        found["protocol"] = protocol
    return found | {"steps": [dict(step) for step in steps]}


def _head(kind: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": dict(metadata)}


def _text(
    body: Mapping[str, Any], schema: str, path: str, model: type[Model], comments: Sequence[str] = ()
) -> bytes:
    """The file, which is read again: what no spec can be is found before it is written."""
    header = "\n".join([f"# yaml-language-server: $schema={schema}", *_wrapped(comments)])
    data = arrange(body, header=header).encode()
    decode(parse(data, path), model)
    return data


def _wrapped(comments: Sequence[str]) -> Iterator[str]:
    """Comments as lines; in what is made of manifests, characters of others must not become lines of ours."""
    from textwrap import wrap

    for text in comments:
        indent = "  " if text.startswith("- ") else ""
        for line in wrap(one_line(text), 108, break_long_words=False, subsequent_indent=indent):
            yield f"# {line}"
