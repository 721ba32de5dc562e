"""What a release is made of, and its digest: whether a spec is rendered shows without making its release."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from canaryfleet.digest import digest, sha256
from canaryfleet.live import frozen_part
from canaryfleet.models.canary import Canary
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.fleet import Fleet, Metrics
from canaryfleet.workload.base import frozen_base
from canaryfleet.workload.objects import Object


class Inputs(NamedTuple):
    """All that a release is made of. `data`: the spec as it was read; `files`: by path as written."""

    spec: Canary
    data: dict[str, Any]
    base: Sequence[Object] | None
    files: Mapping[str, bytes]
    fleet: Fleet
    clusters: Mapping[str, Cluster]
    tools: Mapping[str, str]


def release_digest(inputs: Inputs) -> str:
    """Digest of the inputs: the spec without what is live, the built base, the files' content."""
    base = None if inputs.base is None else frozen_base(inputs.spec, inputs.base)
    files = {path: sha256(data) for path, data in inputs.files.items()}
    blue = inputs.spec.exposure.blueGreen
    # which hosts is live, but whether there are any decides over a VirtualService
    preview = {"preview": True} if blue and blue.previewHosts else {}
    spec = frozen_part(inputs.data)
    spec["workload"] = _in_order(spec["workload"])
    spec |= {"overrides": [_in_order(item) for item in spec["overrides"]]} if "overrides" in spec else {}
    return digest({"spec": spec, "base": base, "files": files} | preview | asked(inputs))


def asked(inputs: Inputs) -> dict[str, Any]:
    """What of the fleet's settings stands in the queries of a release; a fleet that says nothing adds nothing."""
    said, unsaid = inputs.fleet.metrics, Metrics()
    labels = {"labels": said.labels} if said.labels != unsaid.labels else {}
    selector = {"selector": said.selector} if said.selector != unsaid.selector else {}
    if not labels and not selector:
        return {}
    from canaryfleet import parameters  # which reads presets

    asks = any(parameters.asks_prometheus(metric) for metric in inputs.spec.analysis.metrics)
    return {"metrics": labels | selector} if asks else {}


def _in_order(part: Mapping[str, Any]) -> dict[str, Any]:
    """With the order of variables and ports, which reaches the pods: a digest does not see that of keys."""
    return {key: [*value.items()] if key in ("env", "ports") else value for key, value in part.items()}
