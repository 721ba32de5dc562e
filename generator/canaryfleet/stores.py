"""Metric servers by address: which clusters ask one and the same, and which each ask their own.

An address is read in each cluster by that cluster's controller. So the name of a Kubernetes Service is the same
text everywhere, and another server in each cluster; any other name is one server, whoever asks.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

# name, name.namespace, name.namespace.svc and its full form; not clusterset.local, which is of several clusters
SERVICE = re.compile(r"[^.:]+|[^.:]+\.([^.:]+)|([^.:]+\.)+svc(\.cluster\.local)?")
# What is no namespace in a name of two parts, as far as anybody can say: countries, and these.
TOP = frozenset({"com", "example", "info", "internal", "lan", "local", "net", "org"})
COUNTRY = re.compile(r"[a-z]{2}")
PORTS = {"http": 80, "https": 443}


class Store(NamedTuple):
    """A metric server that several clusters ask."""

    address: str
    clusters: tuple[str, ...]


def shared(addresses: Mapping[str, str]) -> list[Store]:
    """The stores of several clusters, the one of most clusters first; `addresses`: by cluster."""
    asking: dict[tuple[str, ...], list[str]] = {}
    for cluster, address in sorted(addresses.items()):
        server = _server(address)
        if server is not None:
            asking.setdefault(server, []).append(cluster)
    several = sorted((names for names in asking.values() if len(names) > 1), key=lambda names: -len(names))
    return [Store(addresses[names[0]], tuple(names)) for names in several]


def _server(address: str) -> tuple[str, ...] | None:
    """What one server's addresses have in common, None if each cluster has its own, or if it is no address.

    Users and paths are tenants' in many a store, and each has series of its own.
    """
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").removesuffix(".")
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if not host or _own(host):
        return None
    return (parts.username or "", host, str(port), parts.path.rstrip("/"), parts.query)


def _own(host: str) -> bool:
    """Whether each cluster has a server of that name itself."""
    if host == "::1" or host.startswith("127."):
        return True
    service = SERVICE.fullmatch(host)
    if service is None:
        return False
    namespace = service.group(1)
    return namespace is None or not (namespace in TOP or COUNTRY.fullmatch(namespace))
