"""Resolving: what a spec means on a fleet - waves, pods, measures - and everything that is wrong with it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from canaryfleet import metrics, stores, waves
from canaryfleet.engines.argo_rollouts import rollout
from canaryfleet.engines.argo_rollouts.validate import malformed
from canaryfleet.errors import WARNING, Issue
from canaryfleet.inputs import Inputs
from canaryfleet.live import Live, Settings, unresolved
from canaryfleet.live import resolve as resolve_live
from canaryfleet.models.canary import Canary
from canaryfleet.nearest import nearest
from canaryfleet.quantity import duration, percent
from canaryfleet.routing import istio
from canaryfleet.schedule import zone_exists
from canaryfleet.variables import of_cluster
from canaryfleet.workload import build
from canaryfleet.workload.objects import Bounds, Object, Workload, within
from canaryfleet.workload.pod import SUBSTITUTED, Pod, pod, unknown_variables

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
GATEWAY = re.compile(rf"({_LABEL}/)?{_LABEL}(\.{_LABEL})*".replace("A-Z", ""))
ADDRESS = re.compile(r"https?://[!-z|~]+")  # printable, and no {{ for the controller to fill in
LONGEST_HOST = 253
OUTSIDE = frozenset({"LoadBalancer", "NodePort"})


class Pods(NamedTuple):
    """The pods of the release's base, and of each member of its waves."""

    base: Pod
    by_cluster: dict[str, Pod]
    issues: list[Issue]


class Plan(NamedTuple):
    """A spec resolved on a fleet: all that the files of a release are made of."""

    inputs: Inputs
    workload: Workload
    measures: tuple[metrics.Measure, ...]
    members: Mapping[str, tuple[str, ...]]
    pods: Pods
    requests: str


class Resolved(NamedTuple):
    """A plan, unless one of the issues (paths in the spec) is an error."""

    plan: Plan | None
    issues: tuple[Issue, ...]


def resolve(inputs: Inputs) -> Resolved:
    """Resolve everything; all issues of the spec are found, not only the first."""
    spec = inputs.spec
    members = waves.resolve(spec.metadata.name, spec.waves_in_force(), inputs.clusters)
    issues = [
        *_wave_issues(inputs, members),
        *_window_issues(spec),
        *_scaler_issues(spec),
        *rollout.check(spec),
    ]
    refused = list(_malformed(inputs))
    if refused:
        return Resolved(None, (*issues, *refused))
    built = build(spec, inputs.base, inputs.files)
    issues += built.issues
    if built.workload is None:
        probe = metrics.resolve(spec.analysis, _context(inputs, spec.metadata.name))
        return Resolved(None, (*issues, *_below("analysis", probe.issues)))
    workload = built.workload
    issues += istio.check(spec, workload)
    issues += _base_warnings(inputs, workload)
    terms = _context(inputs, workload.service["metadata"]["name"])
    resolved = metrics.resolve(spec.analysis, terms)
    issues += _below("analysis", resolved.issues)
    if all(
        issue.severity == WARNING for issue in resolved.issues
    ):  # a metric that is wrong is no missing one
        issues += _bake_issues(spec, resolved.measures)
    everywhere = _everywhere(inputs, workload.bounds)
    issues += _live_issues(everywhere, resolved.measures)
    pods = _pods(inputs, workload, [name for names in members.values() for name in names])
    issues += pods.issues
    if any(issue.severity != WARNING for issue in issues):
        return Resolved(None, tuple(issues))
    # requests to a preview are no traffic that a version has taken over
    taken = "|".join(name for name in terms.services.split("|") if not name.endswith("-preview"))
    requests = metrics.requests(terms._replace(services=taken))
    plan = Plan(inputs, workload, resolved.measures, members, pods, requests)
    addresses = {name: everywhere[name].address for name in pods.by_cluster}
    return Resolved(plan, (*issues, *_store_issues(plan, terms.matchers, stores.shared(addresses))))


def _base_warnings(inputs: Inputs, workload: Workload) -> Iterator[Issue]:
    """What in a base works otherwise beside a canary than it did before."""
    at, base = ("workload", "base"), inputs.base or ()
    for item in base:
        strategy = (item.get("spec") or {}).get("strategy") if item["kind"] == "Deployment" else None
        taken = item["metadata"]["name"] == (inputs.spec.workload.deployment or item["metadata"]["name"])
        if taken and isinstance(strategy, dict) and strategy.get("type") == "Recreate":
            what = "the Deployment's strategy is Recreate, but old and new pods run side by side"
            yield Issue(at, "CF112", what, "is that safe for its volumes and its data?", WARNING)
    labels = workload.template["metadata"]["labels"]
    behind = {item["metadata"]["name"] for item in base if _selects(item, labels)}
    for item in base:
        kind, name = item["kind"], item["metadata"]["name"]
        exposed = name in behind and kind == "Service" and item["spec"].get("type") in OUTSIDE
        if exposed or (kind == "Ingress" and not behind.isdisjoint(_backends(item))):
            what = f"{kind} {name} leads to the pods past Istio: there, the canary gets its share of the pods"
            yield Issue(at, "CF118", what, "let requests come through one of `exposure.gateways`", WARNING)


def _selects(item: Object, labels: Mapping[str, str]) -> bool:
    if item["kind"] != "Service" or not item["spec"].get("selector"):
        return False
    return bool(item["spec"]["selector"].items() <= labels.items())


def _backends(ingress: Object) -> Iterator[str]:
    """Names of the Services that an Ingress sends requests to."""
    for service in within(ingress, "service"):
        if isinstance(service, dict) and isinstance(service.get("name"), str):
            yield service["name"]


def _malformed(inputs: Inputs) -> Iterator[Issue]:
    """What in the built base isn't what Kubernetes expects; nothing else can be said about it then."""
    for item in malformed(inputs.base or ()):
        where = ".".join(map(str, item.path))
        yield Issue(
            ("workload", "base"),
            item.code,
            f"{item.kind} {item.name}: {item.message} (at {where})",
            item.remedy,
        )


def _below(head: str, issues: Iterable[Issue]) -> list[Issue]:
    return [issue._replace(path=(head, *issue.path)) for issue in issues]


def context(inputs: Inputs) -> metrics.Context:
    """What queries name of an app; also of one whose spec is not whole yet."""
    found = None if any(_malformed(inputs)) else build(inputs.spec, inputs.base, inputs.files).workload
    return _context(inputs, found.service["metadata"]["name"] if found else inputs.spec.metadata.name)


def _context(inputs: Inputs, service: str) -> metrics.Context:
    spec = inputs.spec
    return metrics.Context(
        app=spec.metadata.name,
        namespace=spec.metadata.namespace,
        service=service,
        services="|".join(istio.service_names(spec, service)),
        protocol=spec.exposure.protocol,
        selector=inputs.fleet.metrics.selector,
        strategy="blueGreen" if spec.exposure.blueGreen else "canary",
        labels=inputs.fleet.metrics.labels,
        steps=spec.exposure.steps,
    )


# What can be wrong between the spec and the fleet


def _wave_issues(inputs: Inputs, members: Mapping[str, Sequence[str]]) -> Iterable[Issue]:
    spec = inputs.spec
    for key in ("waves", "hotfixWaves"):
        seen: set[str] = set()
        for index, wave in enumerate(getattr(spec, key)):
            if wave.name in seen:
                yield Issue(
                    (key, index, "name"),
                    "CF101",
                    f"a second wave is named {wave.name}",
                    "give each wave its own name",
                )
            seen.add(wave.name)
            yield from _unknown_clusters(inputs, (key, index, "clusters"), wave.clusters or ())
    for index, override in enumerate(spec.overrides):
        yield from _unknown_clusters(inputs, ("overrides", index, "clusters"), override.clusters)
    placed = {name for names in members.values() for name in names}
    key = "hotfixWaves" if spec.waves_in_force() is not spec.waves else "waves"
    active = (name for name, cluster in sorted(inputs.clusters.items()) if cluster.lifecycle == "active")
    left = [name for name in active if name not in placed]
    if left:
        which = f"cluster {left[0]} is" if len(left) == 1 else f"{len(left)} clusters are"
        shown = "" if len(left) == 1 else f": {', '.join(left[:8])}{', …' if len(left) > 8 else ''}"
        yield Issue(
            (key,),
            "CF102",
            f"{which} in no wave{shown}",
            "end with a wave that names no clusters: it takes the rest",
        )
    for index, wave in enumerate(spec.waves_in_force()):
        if not members[wave.name]:
            yield Issue(
                (key, index),
                "CF103",
                f"wave {wave.name} has no cluster",
                "no cluster matches that is in no earlier wave",
                WARNING,
            )


def _scaler_issues(spec: Canary) -> Iterator[Issue]:
    scaler = spec.workload.autoscaler
    if scaler and scaler.cpu and percent(scaler.cpu) * 100 < 1:
        at = ("workload", "autoscaler", "cpu")
        yield Issue(at, "CF109", f"a target of {scaler.cpu} can't be met", "1% or more")


def _window_issues(spec: Canary) -> Iterator[Issue]:
    for key in ("waves", "hotfixWaves"):
        for index, wave in enumerate(getattr(spec, key)):
            for number, window in enumerate(wave.windows):
                at = (key, index, "windows", number)
                if not zone_exists(window.timezone):
                    yield Issue(
                        (*at, "timezone"),
                        "CF141",
                        f"there is no time zone {window.timezone}",
                        "an IANA name such as Europe/Berlin",
                    )
                if window.from_ == window.to:
                    yield Issue(
                        at,
                        "CF141",
                        "the window is never open",
                        "`to` is exclusive; 00:00 to 24:00 is a whole day",
                    )


def _unknown_clusters(inputs: Inputs, at: tuple[str | int, ...], names: Sequence[str]) -> Iterable[Issue]:
    for index, name in enumerate(names):
        if name not in inputs.clusters:
            yield Issue((*at, index), "CF104", f"no cluster is named {name}", nearest(name, inputs.clusters))


def _bake_issues(spec: Canary, measures: Sequence[metrics.Measure]) -> Iterable[Issue]:
    """Waves whose clusters nothing would prove."""
    judging = {metrics.STEPS, metrics.PREVIEW} | (set() if spec.exposure.blueGreen else {metrics.BACKGROUND})
    if measures and all(judging.isdisjoint(measure.during) for measure in measures):
        for key in ("waves", "hotfixWaves"):
            for index, wave in enumerate(getattr(spec, key)):
                if not duration(wave.minSuccessTime):
                    yield Issue(
                        (key, index),
                        "CF105",
                        "nothing is measured in it: no metric is during steps, and it does not bake",
                        "give it a minSuccessTime, or measure a metric during steps",
                    )
    if any(metrics.BAKE in measure.during for measure in measures):
        return
    for key in ("waves", "hotfixWaves"):
        for index, wave in enumerate(getattr(spec, key)):
            if duration(wave.minSuccessTime):
                yield Issue(
                    (key, index, "minSuccessTime"),
                    "CF105",
                    "nothing can be measured while it bakes",
                    "add a Prometheus metric with a rollback threshold of its own, or remove minSuccessTime",
                )


def _everywhere(inputs: Inputs, bounds: Bounds) -> dict[str, Live]:
    """The live settings of every cluster of the fleet."""
    settings = Settings(inputs.spec, bounds, inputs.fleet)
    return {name: resolve_live(settings, cluster) for name, cluster in sorted(inputs.clusters.items())}


def _live_issues(everywhere: Mapping[str, Live], measures: Sequence[metrics.Measure]) -> Iterable[Issue]:
    prometheus = any(measure.provider == "prometheus" for measure in measures)
    for name, live in everywhere.items():
        for variable in sorted(unresolved(live)):
            yield Issue(
                ("exposure",),
                "CF106",
                f"cluster {name} has no $({variable})",
                "add it to the cluster's `variables`",
            )
        if prometheus and not ADDRESS.fullmatch(live.address):
            said = f"is {live.address!r}" if live.address else "is not known"
            yield Issue(
                ("analysis", "metrics"),
                "CF107",
                f"the Prometheus address of cluster {name} {said}",
                "set `metrics.prometheus` in the cluster's file or in fleet.yaml to http://… or https://…",
            )
        if not unresolved(live):
            yield from _unroutable(name, live)
        if live.hosts and not live.gateways:
            yield Issue(
                ("exposure", "hosts"),
                "CF108",
                f"on {name} no gateway takes the hosts",
                "add `exposure.gateways`",
            )
        if live.maximum == 0:
            yield Issue(("workload",), "CF109", f"on {name} the autoscaler allows no pod", "raise `max`")
        if live.minimum is not None and live.maximum is not None and live.minimum > live.maximum:
            yield Issue(
                ("workload",),
                "CF109",
                f"on {name} the autoscaler's bounds are {live.minimum} to {live.maximum}",
                "the minimum must not exceed the maximum",
            )


# What the queries of a measure are to it; the share is what its bake waits for.
ASKED = {
    "query": "its query",
    "samples": "the samples behind it",
    "share": "the share of requests in its bake",
}
SHOWN = 4


def _store_issues(plan: Plan, labels: str, shared: Sequence[stores.Store]) -> Iterator[Issue]:
    """Queries that take another cluster's series for their own: service, namespace and pod digest are the same."""
    bakes = any(duration(wave.minSuccessTime) for wave in plan.inputs.spec.waves_in_force())
    for index, measure in enumerate(plan.measures):
        asked = metrics.asked(measure, plan.requests if bakes and metrics.BAKE in measure.during else "")
        alike = [name for name, text in asked.items() if not metrics.of_one_cluster(text)]
        if alike and shared:
            yield _mixed(index, measure.name, [ASKED[name] for name in alike], shared[0])
            continue
        for name in alike:
            if labels not in asked[name]:
                yield Issue(
                    ("analysis", "metrics", index, name),
                    "CF145",
                    f"{ASKED[name]} asks without the labels that the fleet's series have: {labels}",
                    "use `$(selector)`, which has them, or `$(cluster.name)`",
                    WARNING,
                )


def _mixed(index: int, metric: str, queries: Sequence[str], store: stores.Store) -> Issue:
    names = store.clusters
    shown = f"{', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"
    return Issue(
        ("analysis", "metrics", index),
        "CF144",
        f"{metric} would judge a cluster by the others' requests too: {len(names)} clusters ({shown}) ask "
        f"{store.address}, and {' and '.join(queries)} can't tell them apart",
        "name the label that can in fleet.yaml, `metrics: {labels: {cluster: $(cluster.name)}}`, and use `$(selector)` "
        "or `$(cluster.name)` in queries of your own; if each cluster has a server of that name for itself, write "
        "NAME.NAMESPACE.svc",
        WARNING,
    )


def _unroutable(cluster: str, live: Live) -> Iterator[Issue]:
    """Hosts and gateways that Istio refuses; a cluster's variables can make them so."""
    for kind, pattern, named in (
        ("hosts", HOST, (*live.hosts, *live.preview)),
        ("gateways", GATEWAY, live.gateways),
    ):
        for text in named:
            if not pattern.fullmatch(text) or len(text) > LONGEST_HOST:
                yield Issue(
                    ("exposure", kind),
                    "CF127",
                    f"on {cluster} {text!r} is no name that Istio takes",
                    "check the cluster's `variables`",
                )


# Pods of the clusters


def _pods(inputs: Inputs, workload: Workload, members: Sequence[str]) -> Pods:
    """Each member's pod; clusters with the same overrides and variables share one."""
    overrides = inputs.spec.overrides
    made: dict[Any, Pod] = {}
    by_cluster: dict[str, Pod] = {}
    issues: list[Issue] = []
    used = unknown_variables([workload.template, [item.env for item in overrides]], {})
    issues += _fixed_variables(workload)
    for name in members:
        cluster = inputs.clusters[name]
        variables = of_cluster(name, cluster.metadata.labels, cluster.variables)
        for missing in sorted(used - set(variables)):
            issues.append(
                Issue(
                    ("workload",),
                    "CF106",
                    f"cluster {name} has no $({missing})",
                    "add it to the cluster's `variables`",
                )
            )
        chosen = waves.overrides_of(overrides, cluster)
        key = (tuple(chosen), tuple(variables.get(item) for item in sorted(used)))
        if key not in made:
            made[key] = pod(workload, [overrides[index] for index in chosen], variables)
        by_cluster[name] = made[key]
    return Pods(pod(workload, [], {}), by_cluster, issues)


def _fixed_variables(workload: Workload) -> Iterator[Issue]:
    """A cluster's variables where nothing replaces them: they would reach the pods as they are."""
    template = workload.template
    containers = list(template["spec"]["containers"])
    serving = containers[workload.container]
    containers[workload.container] = {key: item for key, item in serving.items() if key not in SUBSTITUTED}
    rest = template | {"spec": template["spec"] | {"containers": containers}}
    for name in sorted(unknown_variables(rest, {})):
        yield Issue(
            ("workload",),
            "CF128",
            f"$({name}) stands where it is not replaced",
            "command, args and env of the serving container take it; elsewhere use overrides",
        )
