"""Probes of containers (CF233)."""

from collections.abc import Iterator
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.plain import Object, Path, as_list, as_whole, at, short
from canaryfleet.engines.argo_rollouts.validate.pods import containers_of, port_names
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, not_one
from canaryfleet.workload.pod import PROBES

NOT_NEGATIVE = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")


def _probes(item: Object, world: World) -> Iterator[Violation]:
    """Probes (CF233)."""
    for path, container in containers_of(item):
        if "initContainers" in path and container.get("restartPolicy") != "Always":
            for key in (*PROBES, "lifecycle"):
                if container.get(key) is not None:
                    message = f"an init container can't have a {key}"
                    yield bad(item, (*path, key), "CF233", message, "remove it, or restartPolicy: Always")
            continue
        for key in PROBES:
            probe = container.get(key)
            if isinstance(probe, dict):
                yield from _probe(item, (*path, key), probe, port_names(container))


def _probe(item: Object, path: Path, probe: dict[Any, Any], ports: set[str]) -> Iterator[Violation]:
    given = [key for key in HANDLERS if probe.get(key) is not None]
    remedy = f"exactly one of {', '.join(HANDLERS)}"
    yield from not_one(item, path, "CF233", given, "the probe does nothing", remedy)
    for key in NOT_NEGATIVE:
        number = as_whole(probe, key)
        if number is not None and number < 0:
            yield bad(item, (*path, key), "CF233", f"{key} is negative")
    if path[-1] != "readinessProbe" and probe.get("successThreshold") not in (None, 0, 1):
        here, remedy = (*path, "successThreshold"), "it can only be more for readinessProbe"
        yield bad(item, here, "CF233", "successThreshold is not 1", remedy)
    grace = as_whole(probe, "terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        here = (*path, "terminationGracePeriodSeconds")
        yield bad(item, here, "CF233", "terminationGracePeriodSeconds is not positive")
    for handler in given:
        port = at(probe, handler, "port")
        here = (*path, handler, "port")
        if handler == "exec":
            if not as_list(probe, "exec", "command"):
                yield bad(item, (*path, "exec", "command"), "CF233", "the command is missing")
        elif port is None or (as_whole(port) is not None and not 1 <= port <= 65535):
            message = "the port is missing" if port is None else f"{port} is not a port"
            yield bad(item, here, "CF233", message, "1 to 65535")
        elif isinstance(port, str) and port not in ports:
            message = f"the container has no port named {short(port)}"
            yield bad(item, here, "CF233", message, "name the port, or use its number")


RULES: tuple[Rule, ...] = (_probes,)
