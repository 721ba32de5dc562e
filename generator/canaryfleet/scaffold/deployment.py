"""An app from a Deployment that somebody has: its manifests as a kustomize base, and the workload that names it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from canaryfleet.emit import emit, emit_all
from canaryfleet.errors import WARNING, Finding, problem
from canaryfleet.masked import is_secret
from canaryfleet.scaffold.manifests import EXPOSED, UNFIT, Manifest, cleaned, mapping, runs, sequence
from canaryfleet.workload.objects import within

_CONTAINERS = ("initContainers", "containers")
_GRPC = ("grpc",)
_HTTP2 = ("http2", "h2c", "kubernetes.io/h2c")


class Wish(NamedTuple):
    """What the person has said. `adopt`: None if that follows from the manifest; `port`: of the Service."""

    port: int | None = None
    replicas: int | None = None
    adopt: bool | None = None
    startup: str | None = None


class Taken(NamedTuple):
    """What has been taken over: objects of the base by what they are, and the spec's workload."""

    deployment: dict[str, Any]
    others: tuple[dict[str, Any], ...]
    workload: dict[str, Any]
    protocol: str
    findings: tuple[Finding, ...]

    @property
    def images(self) -> list[str]:
        """The images of the Deployment's pods, each once."""
        return list(dict.fromkeys(filter(None, map(_image, _containers(self.deployment)))))

    @property
    def image(self) -> str:
        """The image of the container that serves."""
        serving = self.workload.get("container")
        parts = self.deployment["spec"]["template"]["spec"]["containers"]
        return next((str(part.get("image", "")) for part in parts if serving in (None, part.get("name"))), "")

    def with_images(self, pinned: Mapping[str, str]) -> "Taken":
        """The same with other images."""
        template = self.deployment["spec"]["template"]
        pods = dict(template["spec"])
        for key in _CONTAINERS:
            if key in pods:
                pods[key] = [
                    part | {"image": pinned.get(part["image"], part["image"])} if _image(part) else part
                    for part in sequence(pods[key])
                ]
        spec = self.deployment["spec"] | {"template": template | {"spec": pods}}
        return self._replace(deployment=self.deployment | {"spec": spec})

    def base(self, app: str, namespace: str) -> dict[str, bytes]:
        """The files of the kustomize base, by their names in it."""
        objects = [_placed(item, namespace) for item in (self.deployment, *self.others)]
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": namespace,
            "resources": [f"{app}.yaml"],
        }
        return {"kustomization.yaml": emit(kustomization).encode(), f"{app}.yaml": emit_all(objects).encode()}


def take(
    found: Sequence[Manifest], deployment: Manifest, wish: Wish, service: dict[str, Any] | None
) -> Taken:
    """Take over a Deployment, with what among the manifests belongs to it.

    `service`: the Service that its requests shall come by, if it is none of the manifests. Raises `Problems` CF041.
    """
    pods = _template(deployment)
    chosen = service or cleaned(_service(found, deployment, pods))
    port = _port(chosen, wish.port, deployment)
    others, findings = _company(found, deployment, pods)
    adopt = runs(deployment) if wish.adopt is None else wish.adopt
    workload: dict[str, Any] = {"base": "./base"}
    names = [part.get("name") for part in pods["spec"]["containers"]]
    if len(names) > 1:
        workload["container"] = _serving(pods["spec"]["containers"], port)
    if len(_ports(chosen)) > 1:
        workload["port"] = port["port"]
    optional = {"replicas": wish.replicas, "startup": wish.startup, "adopt": adopt or None}
    workload |= {key: value for key, value in optional.items() if value is not None}
    findings += _exposed(deployment, pods)
    return Taken(cleaned(deployment), (chosen, *others), workload, _protocol(port), tuple(findings))


def _exposed(deployment: Manifest, pods: Mapping[str, Any]) -> Iterator[Finding]:
    """Variables whose name says that they are secret, and that stand there in plain text: also in Git then."""
    remedy = "before you commit, put it into a Secret, and let the variable name that: valueFrom.secretKeyRef"
    for key in _CONTAINERS:
        for number, part in enumerate(sequence(pods["spec"].get(key))):
            for index, variable in enumerate(map(mapping, sequence(mapping(part).get("env")))):
                name, value = variable.get("name"), variable.get("value")
                if isinstance(name, str) and isinstance(value, str) and value and is_secret(name, value):
                    place = deployment.place("spec", "template", "spec", key, number, "env", index)
                    what = f"{name} stands there in plain text, and in the base that was written"
                    yield Finding(place, EXPOSED, what, remedy, WARNING)


def _template(deployment: Manifest) -> dict[str, Any]:
    template = mapping(deployment.spec.get("template"))
    containers = sequence(mapping(template.get("spec")).get("containers"))
    if not containers or not all(map(mapping, containers)):
        raise problem(deployment.place("spec"), UNFIT, f"Deployment {deployment.name} has no containers")
    return template


def _labels(template: Mapping[str, Any]) -> dict[str, Any]:
    return mapping(mapping(template.get("metadata")).get("labels"))


def _service(found: Sequence[Manifest], deployment: Manifest, pods: Mapping[str, Any]) -> Manifest:
    services = {
        item.name: item for item in found if item.kind == "Service" and _selects(item.spec, "selector", pods)
    }
    if len(services) == 1:
        return next(iter(services.values()))
    if deployment.name in services:
        return services[deployment.name]
    pods_of = f"the pods of Deployment {deployment.name}"
    if services:
        text, remedy = (
            f"several Services select {pods_of}: {', '.join(sorted(services))}",
            "leave all but one out",
        )
    else:
        text, remedy = (
            f"no Service selects {pods_of}",
            "give it too: `kubectl get deployment,service NAME -o yaml`",
        )
    raise problem(deployment.place(), UNFIT, text, remedy)


def _selects(spec: Mapping[str, Any], key: str, pods: Mapping[str, Any]) -> bool:
    selector = spec.get(key)
    return isinstance(selector, dict) and bool(selector) and selector.items() <= _labels(pods).items()


def _ports(service: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(filter(None, map(mapping, sequence(mapping(service.get("spec")).get("ports")))))


def _port(service: Mapping[str, Any], wanted: int | None, deployment: Manifest) -> dict[str, Any]:
    """The port that requests come by: the wanted one, the only one, or the one that is named for HTTP."""
    ports = _ports(service)
    known = [port for port in ports if port.get("port") == wanted] if wanted else ports
    if len(known) > 1:
        known = [
            port for port in known if str(port.get("name", "")).partition("-")[0] in ("http", "grpc", "http2")
        ]
    if len(known) == 1:
        return known[0]
    shown = ", ".join(str(port.get("port")) for port in ports) or "none"
    what = (
        f"Service {service['metadata']['name']} has no port {wanted}"
        if wanted
        else "which port takes requests?"
    )
    raise problem(deployment.place(), UNFIT, what, f"say it with --port: {shown}")


def _protocol(port: Mapping[str, Any]) -> str:
    said = (str(port.get("appProtocol", "")), str(port.get("name", "")).partition("-")[0])
    if any(word in _GRPC for word in said):
        return "grpc"
    return "http2" if any(word in _HTTP2 for word in said) else "http"


def _serving(containers: Sequence[Mapping[str, Any]], port: Mapping[str, Any]) -> Any:
    """The container that has the port that the Service leads to; else the first."""
    target = port.get("targetPort", port.get("port"))
    for part in containers:
        for own in map(mapping, sequence(part.get("ports"))):
            if target in (own.get("containerPort"), own.get("name")):
                return part.get("name")
    return containers[0].get("name")


# What belongs to a Deployment


def _company(
    found: Sequence[Manifest], deployment: Manifest, pods: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[Finding]]:
    """The objects that go along, and what is said of the others."""
    taken, findings = [], []
    for item in found:
        belongs = _BELONGS.get(item.kind)
        if item is deployment or item.kind in _SILENT:
            continue
        if belongs and belongs(item, deployment, pods):
            taken.append(cleaned(item))
        elif item.kind == "Secret":
            what = f"Secret {item.name} is not taken over: Git is no place for it"
            findings.append(item.left(what, "keep it where it is; the pods go on naming it"))
        else:
            what = f"{item.kind} {item.name} is not taken over: nothing says that it belongs to {deployment.name}"
            findings.append(item.left(what, "if it does, put it into the base yourself"))
    return taken, findings


def _is_named(*keys: str) -> Callable[[Manifest, Manifest, Mapping[str, Any]], bool]:
    return lambda item, _, pods: item.name in _names(pods["spec"], keys)


def _names(pods: Any, keys: Sequence[str]) -> Iterator[Any]:
    for key in keys:
        for value in within(pods, key):
            yield value.get("name") if isinstance(value, dict) else value


def _scales(item: Manifest, deployment: Manifest, _: Mapping[str, Any]) -> bool:
    for key in ("scaleTargetRef", "targetRef"):
        target = item.spec.get(key)
        if isinstance(target, dict) and target.get("name") == deployment.name:
            return str(target.get("kind", "Deployment")) == "Deployment"
    return False


def _guards(item: Manifest, _: Manifest, pods: Mapping[str, Any]) -> bool:
    selector = item.spec.get("selector")
    return isinstance(selector, dict) and _selects(selector, "matchLabels", pods)


_BELONGS: dict[str, Callable[[Manifest, Manifest, Mapping[str, Any]], bool]] = {
    "ConfigMap": _is_named("configMap", "configMapRef", "configMapKeyRef"),
    "ServiceAccount": _is_named("serviceAccountName"),
    "HorizontalPodAutoscaler": _scales,
    "ScaledObject": _scales,
    "VerticalPodAutoscaler": _scales,
    "PodDisruptionBudget": _guards,
}
# Services are looked at apart; the others are made by controllers, or are what an app is made from.
_SILENT = frozenset(
    {"Service", "ReplicaSet", "Pod", "Endpoints", "EndpointSlice", "Event", "Canary", "MetricTemplate"}
)


def _containers(deployment: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    pods = deployment["spec"]["template"]["spec"]
    for key in _CONTAINERS:
        yield from (part for part in sequence(pods.get(key)) if isinstance(part, dict))


def _image(container: Any) -> str:
    found = mapping(container).get("image")
    return found if isinstance(found, str) else ""


def _placed(item: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Without the namespace, which the kustomization gives; one of another's stays."""
    metadata = dict(item["metadata"])
    if metadata.get("namespace") == namespace:
        del metadata["namespace"]
    return {**item, "metadata": metadata}
