"""Istio routing of one app: Services, VirtualService, DestinationRule and the sticky EnvoyFilter.

Facts it rests on, measured with real Istio, Envoy and Argo Rollouts:
- `routes` are always named, and mesh-wide unique: an EnvoyFilter in the root namespace matches a
  route by name alone, in every vhost of gateways and callers;
- an EnvoyFilter may touch only routes with two destinations: Envoy refuses a hash policy on a
  weighted cluster that isn't there, and the whole listener freezes;
- a header route has one destination, a mirror route copies destinations and weights but neither
  timeout nor retries;
- Istio's own weighted choice is random for each request: only `use_hash_policy` is sticky.
Hosts and gateways are live, and therefore left out here.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from canaryfleet.errors import Issue
from canaryfleet.models.canary import Canary, Sticky
from canaryfleet.quantity import go_duration, seconds
from canaryfleet.workload.objects import APP_LABEL, MANAGED_BY, Object, Workload, within

# Names and protocols of a port which Istio passes through without reading.
NOT_HTTP = frozenset({"https", "tls", "tcp", "udp", "mongo", "mysql", "redis"})
STABLE, CANARY = "stable", "canary"
FIRST = {"argocd.argoproj.io/sync-wave": "-1"}  # before the Rollout that names them
# Before the route that names its subsets: proxies that learn of both at once answer 503 for some 30 ms.
# A service that is adopted has traffic in the mesh already.
SUBSETS_FIRST = {"argocd.argoproj.io/sync-wave": "-2"}
COOKIE_ID = 13  # characters of x-request-id; trace sampling rewrites the next digit


class Routing(NamedTuple):
    """What the engine needs to know of the routing, and its objects."""

    objects: tuple[Object, ...]
    traffic: dict[str, Any]
    managed: dict[str, str]
    services: dict[str, str]
    internal_host: str
    preview: str | None


def host(service: str, namespace: str) -> str:
    """A Service's name as every proxy knows it."""
    return f"{service}.{namespace}.svc.cluster.local"


def service_names(spec: Canary, service: str) -> tuple[str, ...]:
    """All Services that may be a request's destination, for metrics."""
    if spec.exposure.blueGreen:
        return service, f"{service}-active", f"{service}-preview"
    if spec.exposure.split == "host":
        return service, f"{service}-{CANARY}", f"{service}-{STABLE}"
    return service, f"{service}-{STABLE}"


def check(spec: Canary, workload: Workload) -> list[Issue]:
    """What in the base would fight with the generated routing, or never work."""
    return [*_port_issues(workload), *_conflicts(spec, workload), *_sticky_issues(spec)]


def _port_issues(workload: Workload) -> Iterator[Issue]:
    """A serving port that Istio takes for something else than HTTP: its routes would never be asked."""
    for port in workload.service["spec"]["ports"]:
        said = str(port.get("appProtocol") or str(port.get("name", "")).partition("-")[0])
        if port["port"] == workload.port and said in NOT_HTTP:
            yield Issue(
                ("workload", "base"),
                "CF114",
                f"the Service says that port {workload.port} is {said}, whose requests Istio can't tell apart",
                "let the pods speak HTTP, and say so in the port's `appProtocol`",
            )


def _conflicts(spec: Canary, workload: Workload) -> Iterator[Issue]:
    service = workload.service["metadata"]["name"]
    taken = {service, host(service, spec.metadata.namespace), f"{service}.{spec.metadata.namespace}"}
    taken |= set(spec.exposure.hosts)
    for item in workload.carried:
        kind, body = item.get("kind"), item.get("spec") or {}
        if kind not in ("VirtualService", "DestinationRule"):
            continue
        named = set(body.get("hosts", [])) | {body.get("host")} | set(_destinations(body))
        if named & taken or item["metadata"]["name"] == spec.metadata.name:
            what = f"{kind} {item['metadata']['name']}"
            yield Issue(
                ("workload", "base"),
                "CF118",
                f"the base's {what} routes the same traffic as the generated one",
                "remove it from the base and say it in `exposure`; one router must own a host",
            )


def _destinations(routes: Object) -> Iterator[str]:
    for destination in within(routes, "destination"):
        if isinstance(destination, dict) and isinstance(destination.get("host"), str):
            yield destination["host"]


def _sticky_issues(spec: Canary) -> Iterator[Issue]:
    if spec.exposure.sticky is None:
        return
    if spec.exposure.blueGreen:
        yield Issue(("exposure", "sticky"), "CF119", "blue-green moves all users at once", "remove `sticky`")
    weighted = False
    for index, step in enumerate(spec.exposure.steps):
        weighted = weighted or step.weight is not None
        if weighted and step.mirror is not None and spec.exposure.sticky.cookie:
            yield Issue(
                ("exposure", "steps", index, "mirror"),
                "CF119",
                "new users get no cookie while a mirror step shadows the routes, so they would flip",
                "mirror before the first weight",
            )


def render(spec: Canary, workload: Workload) -> Routing:
    """The routing of an app, whose cluster-dependent parts are left to the overlay."""
    if spec.exposure.blueGreen:
        return _blue_green(spec, workload)
    return _canary(spec, workload)


def _canary(spec: Canary, workload: Workload) -> Routing:
    app, namespace = spec.metadata.name, spec.metadata.namespace
    root = workload.service["metadata"]["name"]
    stable_service = f"{root}-{STABLE}"
    subset = spec.exposure.split == "subset"
    services = [_with_protocol(spec, workload), _managed_service(spec, workload, stable_service)]
    named = {"stable": stable_service}
    if not subset:
        services.append(_managed_service(spec, workload, f"{root}-{CANARY}"))
        named["canary"] = f"{root}-{CANARY}"
    routes = _routes(spec, _weighted(spec, workload, subset=subset))
    prefix = _prefix(spec)
    names = managed_routes(app, namespace)
    managed = {kind: name for kind, name in names.items() if _uses(spec, kind)}
    objects = [*services, _virtual_service(spec, app, routes)]
    traffic: dict[str, Any] = {"virtualService": {"name": app, "routes": [route["name"] for route in routes]}}
    if subset:
        objects.append(_destination_rule(spec, workload))
        traffic["destinationRule"] = {"name": app, "stableSubsetName": STABLE, "canarySubsetName": CANARY}
    if spec.exposure.sticky:
        patched = [route["name"] for route in routes] + ([managed["mirror"]] if "mirror" in managed else [])
        objects.append(_envoy_filter(spec, spec.exposure.sticky, patched, newcomer=f"{prefix}-newcomer"))
    return Routing(tuple(objects), traffic, managed, named, host(root, namespace), None)


def _blue_green(spec: Canary, workload: Workload) -> Routing:
    app, namespace = spec.metadata.name, spec.metadata.namespace
    root = workload.service["metadata"]["name"]
    active, preview = f"{root}-active", f"{root}-preview"
    route = _route(spec, f"{_prefix(spec)}-primary", [_destination(spec, workload, active)])
    services = [_managed_service(spec, workload, name) for name in (active, preview)]
    objects = [_with_protocol(spec, workload), *services, _virtual_service(spec, app, [route])]
    preview_name = None
    if spec.exposure.blueGreen and spec.exposure.blueGreen.previewHosts:
        preview_name = f"{app}-preview"
        shown = _route(spec, f"{_prefix(spec)}-preview", [_destination(spec, workload, preview)])
        objects.append(_virtual_service(spec, preview_name, [shown]))
    named = {"active": active, "preview": preview}
    return Routing(tuple(objects), {}, {}, named, host(root, namespace), preview_name)


def _prefix(spec: Canary) -> str:
    return f"{spec.metadata.namespace}-{spec.metadata.name}"


def managed_routes(app: str, namespace: str) -> dict[str, str]:
    """Names of the routes that steps make and the controller takes away again, by kind of step."""
    return {kind: f"{namespace}-{app}-{kind}" for kind in ("header", "cookie", "mirror")}


def _uses(spec: Canary, kind: str) -> bool:
    return any(getattr(step, kind) is not None for step in spec.exposure.steps)


def _with_protocol(spec: Canary, workload: Workload) -> Object:
    """The app's own Service, whose port tells Istio its protocol."""
    service = workload.service
    metadata = service["metadata"] | {"annotations": service["metadata"].get("annotations", {}) | FIRST}
    return service | {"metadata": metadata, "spec": service["spec"] | {"ports": _ports(spec, workload)}}


def _ports(spec: Canary, workload: Workload) -> list[Object]:
    protocol = spec.exposure.protocol
    # a name that says more than the spec's default is the base's own, and right
    kept = {"http", "http2", "grpc"} if protocol == "http" else {protocol}
    return [
        port
        if port["port"] != workload.port
        or "appProtocol" in port
        or str(port.get("name", "")).partition("-")[0] in kept
        else port | {"appProtocol": protocol}
        for port in workload.service["spec"]["ports"]
    ]


def _managed_service(spec: Canary, workload: Workload, name: str) -> Object:
    """A Service like the app's own, whose selector is the controller's alone.

    It has none in Git: the field is one atomic map, so a server-side apply that brought one would
    take the controller's hash away, and a blue-green Rollout would take that for a first deployment.
    """
    service = workload.service
    keep = ("publishNotReadyAddresses", "sessionAffinity")
    ports = [
        {key: value for key, value in port.items() if key != "nodePort"} for port in _ports(spec, workload)
    ]
    body = {key: service["spec"][key] for key in keep if key in service["spec"]} | {"ports": ports}
    labels = service["metadata"].get("labels", {}) | MANAGED_BY
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": service["metadata"]["namespace"],
            "labels": labels,
            "annotations": FIRST,
        },
        "spec": body,
    }


def _destination(spec: Canary, workload: Workload, service: str, subset: str | None = None) -> Object:
    destination: Object = {"host": host(service, spec.metadata.namespace)}
    if subset:
        destination["subset"] = subset
    return {"destination": destination | {"port": {"number": workload.port}}}


def _weighted(spec: Canary, workload: Workload, *, subset: bool) -> list[Object]:
    root = workload.service["metadata"]["name"]
    if subset:
        pair = [_destination(spec, workload, root, name) for name in (STABLE, CANARY)]
    else:
        pair = [_destination(spec, workload, f"{root}-{name}") for name in (STABLE, CANARY)]
    return [pair[0] | {"weight": 100}, pair[1] | {"weight": 0}]


def _route(spec: Canary, name: str, destinations: Sequence[Object]) -> Object:
    retries = spec.exposure.retries
    policy: Object = {"attempts": retries.attempts}
    if retries.perTryTimeout and seconds(retries.perTryTimeout):
        policy["perTryTimeout"] = go_duration(seconds(retries.perTryTimeout))
    if retries.retryOn:
        policy["retryOn"] = retries.retryOn
    route: Object = {"name": name, "route": [dict(item) for item in destinations]}
    if seconds(spec.exposure.timeout):  # 0 is Istio's default, and refused when it is written down
        route["timeout"] = go_duration(seconds(spec.exposure.timeout))
    return route | {"retries": policy}


def _routes(spec: Canary, destinations: Sequence[Object]) -> list[Object]:
    """The static routes: one, or with a sticky cookie one for known users and one for new ones."""
    primary = _route(spec, f"{_prefix(spec)}-primary", destinations)
    sticky = spec.exposure.sticky
    if sticky is None or sticky.cookie is None:
        return [primary]
    known = {"headers": {"cookie": {"regex": rf"(.*;\s*)?{sticky.cookie}=.*"}}}
    newcomer = _route(spec, f"{_prefix(spec)}-newcomer", destinations)
    return [{"name": primary["name"], "match": [known]} | primary, newcomer]


def _virtual_service(spec: Canary, name: str, routes: list[Object]) -> Object:
    return _istio(spec, "networking.istio.io/v1", "VirtualService", name, {"http": routes})


def _destination_rule(spec: Canary, workload: Workload) -> Object:
    root = workload.service["metadata"]["name"]
    subsets = [
        {"name": name, "labels": dict(workload.service["spec"]["selector"])} for name in (STABLE, CANARY)
    ]
    body = {"host": host(root, spec.metadata.namespace), "subsets": subsets}
    rule = _istio(spec, "networking.istio.io/v1", "DestinationRule", spec.metadata.name, body)
    if spec.workload.adopt:
        rule["metadata"]["annotations"] = SUBSETS_FIRST
    return rule


def _istio(
    spec: Canary, api: str, kind: str, name: str, body: Object, namespace: str | None = None
) -> Object:
    metadata = {
        "name": name,
        "namespace": namespace or spec.metadata.namespace,
        "labels": {APP_LABEL: spec.metadata.name} | MANAGED_BY,
        "annotations": FIRST,
    }
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": body}


def _envoy_filter(spec: Canary, sticky: Sticky, routes: Sequence[str], *, newcomer: str) -> Object:
    """Lets Envoy choose between canary and stable by the user instead of by chance."""
    patches = []
    for name in routes:
        value: Object = {
            "route": {"weighted_clusters": {"use_hash_policy": True}, "hash_policy": _hash_policy(sticky)}
        }
        if name == newcomer and sticky.cookie:
            value["response_headers_to_add"] = [_set_cookie(sticky)]
        match = {"context": "ANY", "routeConfiguration": {"vhost": {"route": {"name": name}}}}
        patches.append(
            {"applyTo": "HTTP_ROUTE", "match": match, "patch": {"operation": "MERGE", "value": value}}
        )
    body = {"configPatches": patches}
    return _istio(
        spec, "networking.istio.io/v1alpha3", "EnvoyFilter", f"{_prefix(spec)}-sticky", body, sticky.namespace
    )


def _hash_policy(sticky: Sticky) -> list[Object]:
    """Who the user is: the cookie; before there is one, what the cookie is going to be."""
    if sticky.header:
        return [{"header": {"header_name": sticky.header.lower()}, "terminal": True}]
    rewrite = {"pattern": {"regex": f"^(.{{{COOKIE_ID}}}).*$"}, "substitution": "\\1"}
    return [
        {"cookie": {"name": sticky.cookie}, "terminal": True},
        {"header": {"header_name": "x-request-id", "regex_rewrite": rewrite}},
    ]


def _set_cookie(sticky: Sticky) -> Object:
    flags = "; Secure" if sticky.secure else ""
    value = f"{sticky.cookie}=%REQ(x-request-id):{COOKIE_ID}%; Path=/; Max-Age={seconds(sticky.maxAge)}; HttpOnly; SameSite=Lax{flags}"
    return {"header": {"key": "set-cookie", "value": value}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
