"""Ports of containers and Services (CF232)."""

import re
from collections.abc import Iterator
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.names import is_label
from canaryfleet.engines.argo_rollouts.validate.plain import (
    Object,
    Path,
    as_strings,
    as_text,
    as_whole,
    at,
    each,
    entries,
    maps,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.pods import containers_of, port_names
from canaryfleet.engines.argo_rollouts.validate.rollout import pod_template_of
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, namespace_of

_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")


def _container_ports(item: Object, world: World) -> Iterator[Violation]:
    """Ports of containers (CF232)."""
    for path, container in containers_of(item):
        names: set[str] = set()
        for here, port in each(container, path, "ports"):
            yield from _port(item, (*here, "containerPort"), port.get("containerPort"))
            if port.get("hostPort"):
                yield from _port(item, (*here, "hostPort"), port["hostPort"])
            name = as_text(port, "name")
            if name and not _is_port_name(name):
                remedy = "at most 15 of a-z, 0-9 and -"
                yield bad(item, (*here, "name"), "CF232", f"{short(name)} can't name a port", remedy)
            elif name and name in names:
                yield bad(item, (*here, "name"), "CF232", f"two ports are named {name}")
            names.add(name)
            yield from _protocol(item, here, port)


def _is_port_name(name: str) -> bool:
    return len(name) <= 15 and _PORT_NAME.fullmatch(name) is not None


def _port(item: Object, path: Path, value: Any) -> Iterator[Violation]:
    number = as_whole(value)
    if value is None:
        yield bad(item, path, "CF232", "the port is missing")
    elif number is not None and not 1 <= number <= 65535:
        yield bad(item, path, "CF232", f"{number} is not a port", "1 to 65535")


def _protocol(item: Object, path: Path, port: dict[Any, Any]) -> Iterator[Violation]:
    protocol = port.get("protocol")
    if protocol is not None and protocol not in ("TCP", "UDP", "SCTP"):
        message = f"{short(protocol)} is not a protocol"
        yield bad(item, (*path, "protocol"), "CF232", message, "TCP, UDP or SCTP")


def _service_ports(item: Object, world: World) -> Iterator[Violation]:
    """Ports of a Service, and that named ones lead to a container (CF232)."""
    ports = entries(item, "spec", "ports")
    if not ports and at(item, "spec", "type") != "ExternalName" and at(item, "spec", "clusterIP") != "None":
        yield bad(item, ("spec", "ports"), "CF232", "the Service has no ports")
    names: set[str] = set()
    for path, port in ports:
        yield from _port(item, (*path, "port"), port.get("port"))
        yield from _protocol(item, path, port)
        name = as_text(port, "name")
        if name in names or (not name and len(ports) > 1):
            message = f"two ports are named {name}" if name else "one of several ports has no name"
            yield bad(item, (*path, "name"), "CF232", message)
        elif name and not is_label(name):
            yield bad(item, (*path, "name"), "CF232", f"{short(name)} can't name a port")
        names.add(name)
        target = port.get("targetPort")
        if isinstance(target, int):
            yield from _port(item, (*path, "targetPort"), target)
        elif as_text(target) and not _leads_somewhere(item, world, as_text(target)):
            message = f"no container has a port named {short(target)}"
            yield bad(item, (*path, "targetPort"), "CF232", message, "name the port, or use its number")


def _leads_somewhere(service: Object, world: World, target: str) -> bool:
    """Whether a container of a Rollout that the Service selects has the named port; true if it selects none."""
    selector = as_strings(service, "spec", "selector")
    selected = [
        template
        for rollout in world.all("Rollout")
        if namespace_of(rollout) == namespace_of(service) and selector
        for template in [pod_template_of(rollout, world)]
        if template is not None and selector.items() <= as_strings(template, "metadata", "labels").items()
    ]
    return not selected or any(
        target in port_names(container) for one in selected for container in maps(one, "spec", "containers")
    )


POD_RULES: tuple[Rule, ...] = (_container_ports,)
SERVICE_RULES: tuple[Rule, ...] = (_service_ports,)
