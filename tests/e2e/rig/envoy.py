"""What the Envoys of a cluster have been told, as their own admin pages say it."""

from dataclasses import dataclass

import yaml

from rig.fleet import Fleet, Member
from rig.kube import Object
from rig.net import LOOPBACK, get_json

ENVOYS = ("gateway", "sidecar")


@dataclass(frozen=True)
class Envoy:
    """One proxy."""

    name: str
    admin_port: int

    def routes(self, host: str) -> dict[str, Object]:
        """The routes of a host in order, by name; of several with one name the first."""
        found: dict[str, Object] = {}
        for virtual_host in self._virtual_hosts():
            if host in virtual_host["domains"]:
                for route in virtual_host["routes"]:
                    found.setdefault(route.get("name", ""), route)
        return found

    def clusters(self) -> set[str]:
        """The destinations that are ready to be used, such as `outbound|80|stable|chat.ns.svc.cluster.local`."""
        return {one["cluster"]["name"] for one in self._dump("dynamic_active_clusters")}

    def listeners(self) -> list[Object]:
        """The listeners that pilot sent."""
        dump = self._dump("dynamic_listeners")
        return [one["active_state"]["listener"] for one in dump if "active_state" in one]

    def _virtual_hosts(self) -> list[Object]:
        configs = [one["route_config"] for one in self._dump("dynamic_route_configs")]
        return [virtual_host for config in configs for virtual_host in config.get("virtual_hosts", [])]

    def _dump(self, resource: str) -> list[Object]:
        dump = get_json(f"http://{LOOPBACK}:{self.admin_port}/config_dump?resource={resource}")
        configs: list[Object] = dump.get("configs", [])
        return configs


def weights(route: Object) -> dict[str, int]:
    """The weights of a route's destinations, by what tells them apart: the subset, or the Service."""
    action = route["route"]
    if "cluster" in action:
        return {_leg(action["cluster"]): 100}
    return {_leg(one["name"]): int(one["weight"]) for one in action["weighted_clusters"]["clusters"]}


def _leg(cluster: str) -> str:
    _, _, subset, host = cluster.split("|")
    return subset or host.partition(".")[0]


def envoys(fleet: Fleet, member: Member) -> tuple[Envoy, ...]:
    """The gateway of a cluster, and the proxy of a pod in its mesh."""
    folder = fleet.logs.parent / member.name / "mesh"
    found = []
    for name in ENVOYS:
        bootstrap = yaml.safe_load((folder / f"{name}-bootstrap.yaml").read_text())
        found.append(Envoy(name, bootstrap["admin"]["address"]["socket_address"]["port_value"]))
    return tuple(found)
