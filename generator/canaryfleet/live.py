"""Live settings: what follows the inventory at once, restarts no pod and reruns no canary.

They stand in the overlay of a cluster and nowhere else: not in the release, not in any digest.
`LIVE_FIELDS` is the one list of spec fields that are read from the default branch as it is now.
"""

from typing import Any, NamedTuple

from canaryfleet.models.canary import Canary, Override
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.release import LiveShape
from canaryfleet.variables import REFERENCE, of_cluster, substitute
from canaryfleet.waves import overrides_of
from canaryfleet.workload.objects import HPA, Bounds

LIVE_FIELDS: tuple[tuple[str, ...], ...] = (
    ("lifecycle",),
    ("lint",),
    ("onNewRelease",),
    ("rollback", "automatic"),
    ("rollback", "notify"),
    ("workload", "replicas"),
    ("workload", "autoscaler", "min"),
    ("workload", "autoscaler", "max"),
    ("exposure", "hosts"),
    ("exposure", "gateways"),
    ("exposure", "blueGreen", "previewHosts"),
    ("waves", "*", "windows"),
    ("hotfixWaves", "*", "windows"),
    ("overrides", "*", "replicas"),
    ("overrides", "*", "minReplicas"),
    ("overrides", "*", "maxReplicas"),
    ("overrides", "*", "hosts"),
    ("overrides", "*", "gateways"),
    ("overrides", "*", "metrics"),
)
SCOPE = frozenset({"clusters", "selector"})  # an override with nothing else is no override
MESH = "mesh"


class Live(NamedTuple):
    """The live settings of one app on one cluster; None or empty: the release has no room for it."""

    replicas: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    preview: tuple[str, ...] = ()
    address: str = ""
    cluster: str = ""


def frozen_part(data: Any) -> Any:
    """A spec's plain data without what is live: the part that makes a release."""
    for path in LIVE_FIELDS:
        data = _without(data, path)
    overrides = [item for item in data.get("overrides", []) if set(item) - SCOPE]
    # a section of which nothing is left is as good as none
    rest = {key: value for key, value in data.items() if key != "overrides" and value != {}}
    return rest | ({"overrides": overrides} if overrides else {})


def _without(data: Any, path: tuple[str, ...]) -> Any:
    head, rest = path[0], path[1:]
    if head == "*":
        return [_without(item, rest) for item in data] if isinstance(data, list) else data
    if not isinstance(data, dict) or head not in data:
        return data
    if not rest:
        return {key: value for key, value in data.items() if key != head}
    return data | {head: _without(data[head], rest)}


class Settings(NamedTuple):
    """What all clusters of an app share when live settings are resolved."""

    spec: Canary
    bounds: Bounds
    fleet: Fleet


def resolve(settings: Settings, cluster: Cluster) -> Live:
    """The live settings that the inventory says now, whatever release the cluster has."""
    spec, bounds, fleet = settings
    live = Live(
        replicas=bounds.replicas,
        minimum=bounds.minimum,
        maximum=bounds.maximum,
        hosts=spec.exposure.hosts,
        gateways=spec.exposure.gateways,
        preview=spec.exposure.blueGreen.previewHosts if spec.exposure.blueGreen else (),
        address=cluster.metrics.prometheus or fleet.metrics.prometheus or "",
        cluster=cluster.metadata.name,
    )
    for index in overrides_of(spec.overrides, cluster):
        live = _override(live, spec.overrides[index])
    return _substituted(live, cluster)


def _override(live: Live, override: Override) -> Live:
    changed: dict[str, Any] = {
        "replicas": override.replicas,
        "minimum": override.minReplicas,
        "maximum": override.maxReplicas,
        "hosts": override.hosts,
        "gateways": override.gateways,
        "address": override.metrics.prometheus if override.metrics else None,
    }
    return live._replace(**{key: value for key, value in changed.items() if value is not None})


def _substituted(live: Live, cluster: Cluster) -> Live:
    if "$(" not in _texts(live):
        return live
    lookup = of_cluster(cluster.metadata.name, cluster.metadata.labels, cluster.variables).get
    return live._replace(
        hosts=tuple([substitute(text, lookup) for text in live.hosts]),
        gateways=tuple([substitute(text, lookup) for text in live.gateways]),
        preview=tuple([substitute(text, lookup) for text in live.preview]),
        address=substitute(live.address, lookup),
    )


def _texts(live: Live) -> str:
    return "\n".join((*live.hosts, *live.gateways, *live.preview, live.address))


def unresolved(live: Live) -> set[str]:
    """`$(…)` names that the cluster does not have."""
    return set(REFERENCE.findall(_texts(live)))


def kept(live: Live, present: Live) -> Live:
    """`live`, with as many pods as there are where the inventory says no number.

    A cluster may have, or go back to, a release that is scaled in another way than the spec is now. A Rollout without
    `replicas` gets one pod of the controller, and the API server refuses an autoscaler without a maximum, so none may
    go without. An autoscaler stands still then at what there was; without one there are as many pods as it allowed.
    """
    replicas = present.maximum if present.replicas is None else present.replicas
    held = present if present.maximum is not None else Live(minimum=replicas, maximum=replicas)
    # one bound without the other comes from an override for an autoscaler that the spec does not have
    bounds = held if None in (live.minimum, live.maximum) else live
    return live._replace(
        replicas=replicas if live.replicas is None else live.replicas,
        minimum=bounds.minimum,
        maximum=bounds.maximum,
    )


def fit(live: Live, shape: LiveShape) -> Live:
    """Only what a release has room for: an autoscaler owns the replicas, for example."""
    scaled = shape.autoscaler is not None
    routed = shape.virtualService is not None
    return Live(
        replicas=live.replicas if shape.replicas and not scaled else None,
        minimum=live.minimum if scaled else None,
        maximum=live.maximum if scaled else None,
        hosts=live.hosts if routed else (),
        gateways=live.gateways if routed else (),
        preview=live.preview if shape.preview else (),
        address=live.address if shape.analysis else "",
        cluster=live.cluster if shape.analysis else "",
    )


def room(shape: LiveShape) -> frozenset[str]:
    """The settings for which `fit` leaves room."""
    full = Live(0, 0, 0, ("-",), ("-",), ("-",), "-", "-")
    nothing = Live()._asdict()
    return frozenset(name for name, value in fit(full, shape)._asdict().items() if value != nothing[name])


class Patch(NamedTuple):
    """One patch of an overlay: its object (all that canaryfleet made, without a name), and values by path."""

    group: str
    kind: str
    name: str | None
    values: tuple[tuple[str, Any], ...]


def patches(live: Live, shape: LiveShape, app: str) -> list[Patch]:
    """The overlay's patches; `live` has been fitted to the shape."""
    made = []
    if live.replicas is not None:
        made.append(Patch("argoproj.io", "Rollout", app, (("/spec/replicas", live.replicas),)))
    if live.minimum is not None:
        bounds = (("/spec/minReplicas", live.minimum), ("/spec/maxReplicas", live.maximum))
        made.append(Patch("autoscaling", HPA, shape.autoscaler, bounds))
    if shape.virtualService:
        hosts = (*live.hosts, shape.internalHost)
        made.append(_routed(shape.virtualService, hosts, (*live.gateways, MESH)))
    if shape.preview:
        made.append(_routed(shape.preview, live.preview, live.gateways or (MESH,)))
    if shape.analysis:
        values = (("/spec/args/0/value", live.address), ("/spec/args/1/value", live.cluster))
        made += [Patch("argoproj.io", kind, None, values) for kind in ("AnalysisTemplate", "AnalysisRun")]
    return made


def _routed(name: str, hosts: tuple[str | None, ...], gateways: tuple[str, ...]) -> Patch:
    values = (("/spec/hosts", hosts), ("/spec/gateways", gateways))
    return Patch("networking.istio.io", "VirtualService", name, values)


def read(found: list[dict[str, Any]], shape: LiveShape) -> Live:
    """The settings that an overlay's patches carry: the inverse of `patches`.

    Raises KeyError, IndexError or TypeError if they are not of that form.
    """
    values = {
        (item["target"]["kind"], item["target"].get("name"), operation["path"]): operation["value"]
        for item in found
        for operation in item["patch"]
    }
    live: dict[str, Any] = {}
    for (kind, name, path), value in values.items():
        if kind == "Rollout":
            live["replicas"] = value
        elif kind == HPA:
            live["minimum" if path.endswith("minReplicas") else "maximum"] = value
        elif kind == "VirtualService" and name == shape.preview:
            live |= {"preview": tuple(value)} if path.endswith("hosts") else {}
        elif kind == "VirtualService":
            key = "hosts" if path.endswith("hosts") else "gateways"
            live[key] = tuple(value[:-1])
        else:
            live["address" if "/0/" in path else "cluster"] = value
    return _checked(Live(**live))


def _checked(live: Live) -> Live:
    """The same; raises TypeError for what `patches` never writes."""
    counts, texts = live[:3], (*live.hosts, *live.gateways, *live.preview, live.address, live.cluster)
    if not all(type(count) in (int, type(None)) for count in counts) or not all(
        isinstance(text, str) for text in texts
    ):
        raise TypeError("a live setting of another type")
    return live
