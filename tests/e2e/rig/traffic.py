"""Real requests: Istio's pilot turns a cluster's routing into configuration for real Envoys.

KWOK's pods have no network, so the endpoints are stood in for: each set of ready pods that carry
the same template hash becomes one little HTTP server and one WorkloadEntry with the pods' labels.
Services and DestinationRule subsets select it just as they would select the pods.
"""

import http.client
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from rig import tools
from rig.calls import Client
from rig.cluster import Cluster
from rig.kube import Object, namespace
from rig.net import LOOPBACK, Server, answers, free_ports
from rig.processes import Argv, Process, Supervisor
from rig.rollouts import HASH_LABEL
from rig.waiting import READY_SECONDS, RigError, wait_until

WATCH_SECONDS = 600.0
RETRY_SECONDS = 0.3
ISTIO_API = "/apis/networking.istio.io/v1"
ISTIO_VERSION = "1.31.0"
ROOT_NAMESPACE = "istio-system"
INGRESS_NAMESPACE = "istio-ingress"
GATEWAY_NAME = "public"
SEEN = "/.seen"
SYNC_ERROR = "endpoints-error.txt"
"""In a mesh's folder: what went wrong last as its endpoints followed the pods."""
OWNED = "e2e.canaryfleet.dev/endpoint"
UNHASHED = "unhashed"


class Backend(Server):
    """An HTTP server that answers with its name and remembers what it was asked.

    Tests are other processes: they read what it was asked at `/.seen`, beside Envoy. It knows no more of HTTP
    than Envoy needs, since all backends of a fleet share one interpreter. What is being answered when it is
    closed goes on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests: list[dict[str, str]] = []
        super().__init__(_Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: Backend
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer one request after the other."""
        while request := self._request():
            body = self.server.name
            if request["path"] == SEEN:
                body = json.dumps(self.server.requests)
            else:
                self.server.requests.append(request)
            self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

    def _request(self) -> dict[str, str] | None:
        words = self.rfile.readline().decode("latin-1").split()
        if len(words) != 3:
            return None
        headers = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name] = value.strip()
        self.rfile.read(int(headers.get("content-length", 0)))
        return {"path": words[1], **headers}


@dataclass(frozen=True)
class Group:
    """Ready pods of one template: what stands behind one endpoint."""

    namespace: str
    app: str
    template: str

    @property
    def name(self) -> str:
        return f"{self.app}-{self.template}"

    @property
    def path(self) -> str:
        """The API path of its WorkloadEntry."""
        return f"{ISTIO_API}/namespaces/{self.namespace}/workloadentries/{self.name}"


@dataclass
class Mesh:
    """Pilot and Envoys for one cluster, and the endpoints behind them."""

    cluster: Cluster
    directory: Path
    pilot: Process
    pilot_grpc: int
    pilot_http: int
    client: Client
    envoys: list[Process] = field(default_factory=list)
    backends: dict[Group, Backend] = field(default_factory=dict)
    serving: dict[Group, dict[str, Object]] = field(default_factory=dict)
    """The pods behind each endpoint, by their UIDs, as they were seen ready last."""
    _closed: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def launch(cls, supervisor: Supervisor, cluster: Cluster) -> "Mesh":
        """Start pilot and return without waiting, so that several start together."""
        directory = cluster.directory / "mesh"
        directory.mkdir()
        grpc, http, monitoring, gateway, proxy = free_ports(5)
        namespaces = [namespace(name) for name in (ROOT_NAMESPACE, INGRESS_NAMESPACE)]
        cluster.kube.apply_objects([*namespaces, _gateway(gateway)])
        pilot = _start_pilot(supervisor, cluster, directory, (grpc, http, monitoring), proxy)
        return cls(cluster, directory, pilot, grpc, http, Client(gateway, proxy))

    def finish(self, supervisor: Supervisor) -> None:
        """Wait for pilot, and start a gateway Envoy and a sidecar-like Envoy, until they listen."""
        wait_until(self._pilot_ready, f"{self.cluster.name}: pilot ready", READY_SECONDS)
        self._start_envoy(supervisor, "gateway", _gateway_node())
        self._start_envoy(supervisor, "sidecar", _sidecar_node())
        threading.Thread(target=self._mirror_endpoints, daemon=True).start()

    def _pilot_ready(self) -> bool:
        self.pilot.check()
        return answers(f"http://{LOOPBACK}:{self.pilot_http}/ready")

    def close(self) -> None:
        """End the threads; the programs belong to the supervisor."""
        self._closed.set()
        for backend in tuple(self.backends.values()):  # the thread may still be at work
            backend.close()

    def _start_envoy(self, supervisor: Supervisor, name: str, node: Object) -> None:
        admin = free_ports(1)[0]
        bootstrap = self.directory / f"{name}-bootstrap.yaml"
        bootstrap.write_text(yaml.safe_dump(_bootstrap(node, self.pilot_grpc, admin)))
        process = supervisor.start(
            f"{self.cluster.name}-envoy-{name}",
            [
                tools.envoy(),
                *("--config-path", bootstrap),
                *("--concurrency", "1"),
                *("--log-level", "warn"),
                # pilot sends a field that Envoy calls deprecated, with each route of each update
                *("--component-log-level", "misc:error"),
                "--disable-hot-restart",
            ],
        )

        def ready() -> bool:
            process.check()
            return answers(f"http://{LOOPBACK}:{admin}/ready")

        wait_until(ready, f"{self.cluster.name}: Envoy {name} ready", READY_SECONDS)
        self.envoys.append(process)

    def _mirror_endpoints(self) -> None:
        while not self._closed.is_set():
            try:
                self._follow_pods()
            except (RigError, OSError, ValueError, http.client.HTTPException) as error:
                said = f"{time.strftime('%H:%M:%S')} {error}\n"
                (self.directory / SYNC_ERROR).write_text(said)
                self._closed.wait(RETRY_SECONDS)

    def _follow_pods(self) -> None:
        listed = self.cluster.kube.raw_json("/api/v1/pods")
        pods = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
        self._sync(pods)
        version = listed["metadata"]["resourceVersion"]
        for event in self.cluster.kube.watch(f"/api/v1/pods?resourceVersion={version}", WATCH_SECONDS):
            if self._closed.is_set():
                return
            pod = event["object"]
            if event["type"] == "DELETED":
                pods.pop(pod["metadata"]["uid"], None)
            elif event["type"] in {"ADDED", "MODIFIED"}:
                pods[pod["metadata"]["uid"]] = pod
            else:
                return  # the watch is too old: list anew
            self._sync(pods)

    def _sync(self, pods: Mapping[str, Object]) -> None:
        wanted = ready_groups(pods.values())
        failed = []
        for group, ready in wanted.items():
            if group not in self.backends:
                failed += _attempt(partial(self._add, group, _labels(next(iter(ready.values())))))
        for group in set(self.backends) - set(wanted):
            stops = min(
                (_stops(pods.get(uid), pod) for uid, pod in self.serving.get(group, {}).items()), default=0.0
            )
            failed += _attempt(partial(self._remove, group, stops))
        self.serving |= wanted
        if failed:  # of one app, whose namespace is going perhaps; all others have been done
            raise RigError("; ".join(failed))

    def _add(self, group: Group, labels: dict[str, str]) -> None:
        names = self._service_ports(group.namespace)
        backend = Backend(group.name)
        try:
            entry = _workload_entry(group, labels, dict.fromkeys(names, backend.port))
            self.cluster.kube.apply_at(group.path, entry)
        except (RigError, OSError):
            backend.close()
            raise
        self.backends[group] = backend

    def _remove(self, group: Group, stops: float) -> None:
        """Take an endpoint away; `stops`: seconds for which its pods answer all the same."""
        try:
            self.cluster.kube.delete_at(group.path)
        except RigError as error:
            if ": 404 " not in str(error):  # gone already, with its namespace
                raise
        timer = threading.Timer(stops, self.backends.pop(group).close)
        timer.daemon = True
        timer.start()

    def _service_ports(self, namespace: str) -> set[str]:
        services = self.cluster.kube.raw_json(f"/api/v1/namespaces/{namespace}/services")["items"]
        return {port.get("name", "") for s in services for port in s["spec"].get("ports", [])}


def _attempt(act: Callable[[], None]) -> list[str]:
    """Do something; what went wrong, if anything."""
    try:
        act()
    except (RigError, OSError) as error:
        return [str(error)]
    return []


def ready_groups(pods: Iterable[Object]) -> dict[Group, dict[str, Object]]:
    """Return the ready pods of each template, by their UIDs."""
    groups: dict[Group, dict[str, Object]] = {}
    for pod in pods:
        labels = _labels(pod)
        app = labels.get("app.kubernetes.io/name", labels.get("app"))
        if app and _serving(pod):
            group = Group(pod["metadata"]["namespace"], app, labels.get(HASH_LABEL, UNHASHED))
            groups.setdefault(group, {})[pod["metadata"]["uid"]] = pod
    return groups


def _labels(pod: Object) -> dict[str, str]:
    found: dict[str, str] = pod["metadata"].get("labels", {})
    return found


def _stops(now: Object | None, ready: Object) -> float:
    """Seconds until a pod that was ready stops to answer: at once, unless it was told to end and has a preStop."""
    if now is not None and "deletionTimestamp" not in now["metadata"]:
        return 0.0
    hooks = [one.get("lifecycle", {}).get("preStop", {}) for one in ready["spec"]["containers"]]
    return max(float(hook.get("sleep", {}).get("seconds", 0)) for hook in hooks)


def _serving(pod: dict[str, Any]) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _workload_entry(group: Group, labels: dict[str, str], ports: dict[str, int]) -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {
            "name": group.name,
            "namespace": group.namespace,
            "labels": {OWNED: "true"},
        },
        "spec": {"address": LOOPBACK, "ports": ports, "labels": labels},
    }


def _gateway(port: int) -> Object:
    server = {
        "port": {"number": port, "name": "http", "protocol": "HTTP"},
        "bind": LOOPBACK,
        "hosts": ["*"],
    }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": GATEWAY_NAME, "namespace": INGRESS_NAMESPACE},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
    }


def _start_pilot(
    supervisor: Supervisor,
    cluster: Cluster,
    directory: Path,
    ports: tuple[int, int, int],
    proxy_port: int,
) -> Process:
    grpc, http, monitoring = ports
    config = directory / "mesh.yaml"
    config.write_text(yaml.safe_dump(_mesh_config(proxy_port)))
    argv: Argv = [
        tools.binary("pilot-discovery"),
        "discovery",
        f"--kubeconfig={cluster.kube.kubeconfig}",
        f"--meshConfig={config}",
        f"--grpcAddr={LOOPBACK}:{grpc}",
        f"--httpAddr={LOOPBACK}:{http}",
        "--httpsAddr=",
        "--secureGRPCAddr=",
        f"--monitoringAddr={LOOPBACK}:{monitoring}",
        "--ctrlz_port=0",
    ]
    environment = {
        "POD_NAMESPACE": ROOT_NAMESPACE,
        "PILOT_CERT_PROVIDER": "none",
        "INJECTION_WEBHOOK_CONFIG_NAME": "",
        "VALIDATION_WEBHOOK_CONFIG_NAME": "",
        "PILOT_ENABLE_METADATA_EXCHANGE": "false",
        "PILOT_ENABLE_ALPN_FILTER": "false",
        "PILOT_DISABLE_MX_ALPN": "true",
    }
    return supervisor.start(f"{cluster.name}-pilot", argv, environment)


def _mesh_config(proxy_port: int) -> Object:
    return {
        "rootNamespace": ROOT_NAMESPACE,
        "enablePrometheusMerge": False,
        "enableAutoMtls": False,
        "defaultProviders": {"metrics": []},
        "proxyHttpPort": proxy_port,
    }


def _gateway_node() -> Object:
    return {
        "id": f"router~{LOOPBACK}~gw-0.{INGRESS_NAMESPACE}~{INGRESS_NAMESPACE}.svc.cluster.local",
        "cluster": f"gw.{INGRESS_NAMESPACE}",
        "metadata": _metadata(INGRESS_NAMESPACE, {"istio": "ingressgateway"}),
    }


def _sidecar_node() -> Object:
    metadata = _metadata("default", {"app": "client"})
    return {
        "id": f"sidecar~{LOOPBACK}~client-0.default~default.svc.cluster.local",
        "cluster": "client.default",
        "metadata": {**metadata, "INTERCEPTION_MODE": "NONE"},
    }


def _metadata(namespace: str, labels: dict[str, str]) -> Object:
    return {
        "NAMESPACE": namespace,
        "LABELS": labels,
        "CLUSTER_ID": "Kubernetes",
        "ISTIO_VERSION": ISTIO_VERSION,
    }


def _bootstrap(node: Object, pilot_port: int, admin_port: int) -> Object:
    ads: Object = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    discovery = {
        "name": "xds-grpc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "xds-grpc",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(pilot_port)}}]}],
        },
    }
    return {
        "node": node,
        "admin": {"address": _address(admin_port)},
        "dynamic_resources": {
            "lds_config": ads,
            "cds_config": ads,
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {"clusters": [discovery]},
    }


def _address(port: int) -> Object:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}
