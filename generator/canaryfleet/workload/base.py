"""A workload from a kustomize base, whose Deployment becomes the Rollout; everything else is carried."""

import copy
from collections.abc import Sequence

from canaryfleet.digest import canonical_json
from canaryfleet.errors import Issue
from canaryfleet.models.canary import Canary
from canaryfleet.workload.objects import (
    HPA,
    MANAGED_BY,
    REVISION_LABEL,
    Bounds,
    Object,
    Workload,
    disruption,
    rollout_reference,
)

# Kinds that live outside namespaces (kubectl api-resources --namespaced=false, Kubernetes 1.34).
CLUSTER_SCOPED = frozenset(
    [
        "Namespace",
        "Node",
        "PersistentVolume",
        "StorageClass",
        "VolumeAttachment",
        "CSIDriver",
        "CSINode",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "APIService",
        "PriorityClass",
        "RuntimeClass",
        "IngressClass",
        "GatewayClass",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "FlowSchema",
        "PriorityLevelConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ClusterAnalysisTemplate",
        "CertificateSigningRequest",
        "ComponentStatus",
        "ClusterIssuer",
    ]
)


SCALED_OBJECT = "ScaledObject"  # KEDA's, which makes an HPA of its own


def from_base(spec: Canary, base: Sequence[Object]) -> Workload | Issue:
    """What the base's Deployment becomes, or the one issue that is in its way."""
    objects = [copy.deepcopy(item) for item in sorted(base, key=canonical_json)]
    deployment = _the_deployment(spec, objects)
    if isinstance(deployment, Issue):
        return deployment
    objects.remove(deployment)
    issue = _unfit(spec, deployment, objects)
    if issue:
        return issue
    if spec.workload.adopt:
        objects.append(copy.deepcopy(deployment))  # untouched, so that nothing of it restarts
    template = deployment["spec"]["template"]
    template.setdefault("metadata", {}).setdefault("labels", {})
    template["metadata"].setdefault("annotations", {})
    template["metadata"].pop("creationTimestamp", None)
    index = _the_container(spec, template)
    if isinstance(index, Issue):
        return index
    service = _the_service(spec, template, objects)
    if isinstance(service, Issue):
        return service
    objects.remove(service)
    port = _the_port(spec, service)
    if isinstance(port, Issue):
        return port
    name = deployment["metadata"]["name"]
    scaler = _retarget(objects, name, spec.metadata.name)
    bounds = _take_bounds(deployment, scaler)
    for item in (service, *objects):
        _place(item, spec.metadata.namespace)
    selector = deployment["spec"]["selector"]["matchLabels"]
    annotations = deployment["metadata"].get("annotations", {})
    return Workload(
        template=template,
        selector=selector,
        container=index,
        service=service,
        port=port["port"],
        port_name=port.get("name", ""),
        labels=deployment["metadata"].get("labels", {}) | MANAGED_BY,
        annotations={
            key: value
            for key, value in annotations.items()
            if not key.startswith("deployment.kubernetes.io/")
        },
        min_ready=deployment["spec"].get("minReadySeconds", 0),
        autoscaler=scaler["metadata"]["name"] if scaler and scaler["kind"] == HPA else None,
        disruption=None if _has_budget(objects, template) else disruption(spec, selector),
        config=(),
        carried=tuple(objects),
        bounds=bounds if spec.workload.replicas is None or scaler else Bounds(spec.workload.replicas),
        digest="",
    )


def _the_deployment(spec: Canary, objects: Sequence[Object]) -> Object | Issue:
    deployments = {item["metadata"]["name"]: item for item in objects if item.get("kind") == "Deployment"}
    wanted = spec.workload.deployment
    if wanted is not None:
        if wanted in deployments:
            return deployments[wanted]
        return Issue(
            ("workload", "deployment"),
            "CF111",
            f"the base has no Deployment {wanted}",
            f"it has: {', '.join(sorted(deployments)) or 'none'}",
        )
    if len(deployments) == 1:
        return next(iter(deployments.values()))
    if deployments:
        return Issue(
            ("workload", "base"),
            "CF111",
            f"the base has {len(deployments)} Deployments",
            f"name one in `deployment`: {', '.join(sorted(deployments))}",
        )
    others = sorted(
        {str(item.get("kind")) for item in objects}
        & {"StatefulSet", "DaemonSet", "Job", "CronJob", "Rollout", "ReplicaSet"}
    )
    found = f"; it has a {' and a '.join(others)}" if others else ""
    return Issue(
        ("workload", "base"),
        "CF111",
        f"the base has no Deployment{found}",
        "Argo Rollouts moves Deployments only",
    )


def _unfit(spec: Canary, deployment: Object, objects: Sequence[Object]) -> Issue | None:
    """What makes this Deployment impossible to take over, or the base impossible to carry."""
    app, namespace, at = spec.metadata.name, spec.metadata.namespace, ("workload", "base")
    own = deployment["metadata"].get("namespace")
    if not ((deployment["spec"].get("template") or {}).get("spec") or {}).get("containers"):
        return Issue(at, "CF112", "the Deployment has no containers", "give its pod template one")
    if own not in (None, namespace):
        return Issue(
            at,
            "CF112",
            f"the Deployment is in namespace {own}, the app in {namespace}",
            "use one namespace in both",
        )
    if not deployment["spec"].get("selector", {}).get("matchLabels"):
        return Issue(
            at, "CF112", "the Deployment's selector has no matchLabels", "give it labels that never change"
        )
    if deployment["spec"]["selector"].get("matchExpressions"):
        return Issue(
            at, "CF112", "the Deployment's selector has matchExpressions", "select by matchLabels alone"
        )
    if REVISION_LABEL in deployment["spec"]["selector"]["matchLabels"]:
        return Issue(
            at,
            "CF112",
            f"the selector contains {REVISION_LABEL}, which changes with every release",
            "remove it from the selector",
        )
    for item in objects:
        if item.get("kind") == "Rollout" and item["metadata"]["name"] == app:
            return Issue(
                at, "CF112", f"the base has a Rollout {app} already", "remove it; canaryfleet makes it"
            )
    return None


def _the_container(spec: Canary, template: Object) -> int | Issue:
    containers = [item.get("name") for item in template["spec"].get("containers", [])]
    wanted = spec.workload.container
    if wanted is not None and wanted not in containers:
        return Issue(
            ("workload", "container"),
            "CF113",
            f"the pod has no container {wanted}",
            f"it has: {', '.join(map(str, containers))}",
        )
    if wanted is not None:
        return containers.index(wanted)
    if len(containers) > 1 and _changes_container(spec):
        return Issue(
            ("workload", "base"),
            "CF113",
            f"the pod has {len(containers)} containers",
            f"name the one that serves in `container`: {', '.join(map(str, containers))}",
        )
    return 0


def _changes_container(spec: Canary) -> bool:
    work = spec.workload
    return bool(
        work.env or work.resources or work.model or work.prompts or work.config or work.startup or work.drain
    ) or any(override.env or override.resources for override in spec.overrides)


def _the_service(spec: Canary, template: Object, objects: Sequence[Object]) -> Object | Issue:
    labels = template["metadata"]["labels"]
    services = {
        item["metadata"]["name"]: item
        for item in objects
        if item.get("kind") == "Service"
        and item.get("spec", {}).get("selector")
        and item["spec"]["selector"].items() <= labels.items()
    }
    wanted = spec.workload.service
    if wanted is not None:
        if wanted in services:
            return services[wanted]
        return Issue(
            ("workload", "service"),
            "CF114",
            f"no Service {wanted} of the base selects the pods",
            f"these do: {', '.join(sorted(services)) or 'none'}",
        )
    if len(services) == 1:
        return next(iter(services.values()))
    if services:
        return Issue(
            ("workload", "base"),
            "CF114",
            f"{len(services)} Services select the pods",
            f"name the one that takes the traffic in `service`: {', '.join(sorted(services))}",
        )
    return Issue(
        ("workload", "base"),
        "CF114",
        "no Service of the base selects the Deployment's pods",
        "add one: Istio routes to Services",
    )


def _the_port(spec: Canary, service: Object) -> Object | Issue:
    ports: list[Object] = service["spec"].get("ports", [])
    wanted = spec.workload.port
    if any("port" not in port for port in ports):
        return Issue(("workload", "base"), "CF114", "a port of the Service has no number", "give it `port`")
    if wanted is not None:
        for port in ports:
            if port["port"] == wanted:
                return port
        known = ", ".join(str(port["port"]) for port in ports)
        return Issue(
            ("workload", "port"), "CF114", f"the Service has no port {wanted}", f"it has: {known or 'none'}"
        )
    if len(ports) == 1:
        return ports[0]
    known = ", ".join(str(port["port"]) for port in ports)
    return Issue(
        ("workload", "base"),
        "CF114",
        f"the Service has {len(ports)} ports",
        f"name the one that serves in `port`: {known}",
    )


def _retarget(objects: Sequence[Object], deployment: str, app: str) -> Object | None:
    """Point whatever scales the Deployment at the Rollout; returns what owns its replicas, if anything."""
    found = None
    for item in objects:
        body = item.get("spec")
        for key in ("scaleTargetRef", "targetRef"):  # HPA and KEDA's ScaledObject; VPA
            target = body.get(key) if isinstance(body, dict) else None
            if (
                isinstance(target, dict)
                and target.get("kind", "Deployment") == "Deployment"
                and target.get("name") == deployment
            ):
                target.update(rollout_reference(app))
                found = item if item.get("kind") in (HPA, SCALED_OBJECT) else found
    return found


def _take_bounds(deployment: Object, scaler: Object | None) -> Bounds:
    replicas = deployment["spec"].get("replicas", 1)
    if scaler is None:
        return Bounds(replicas)
    if scaler["kind"] == SCALED_OBJECT:  # its bounds have other names and stay in the release
        return Bounds()
    minimum = scaler["spec"].pop("minReplicas", 1)
    return Bounds(None, minimum, scaler["spec"].pop("maxReplicas", minimum))


def _has_budget(objects: Sequence[Object], template: Object) -> bool:
    labels = template["metadata"]["labels"]
    return any(
        item.get("kind") == "PodDisruptionBudget"
        and (item.get("spec", {}).get("selector", {}).get("matchLabels") or {"": ""}).items()
        <= labels.items()
        for item in objects
    )


def _place(item: Object, namespace: str) -> Object:
    """Set the namespace that kustomize's own transformer would set; names are final already."""
    if item.get("kind") not in CLUSTER_SCOPED:
        item["metadata"].setdefault("namespace", namespace)
    return item


def frozen_base(spec: Canary, base: Sequence[Object]) -> list[Object]:
    """A built base without what is live, in an order of its own: the part that makes a release."""
    objects = [copy.deepcopy(item) for item in base]
    deployment = _the_deployment(spec, objects)
    if not isinstance(deployment, Issue):
        scaler = _retarget(objects, deployment["metadata"]["name"], spec.metadata.name)
        _take_bounds(deployment, scaler)
        if not spec.workload.adopt:
            deployment["spec"].pop("replicas", None)
    return sorted(objects, key=canonical_json)
