"""One Kubernetes control plane with Argo Rollouts, on a shared etcd."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from rig import tools
from rig.kube import Kube, Object
from rig.manifests import load
from rig.net import LOOPBACK, answers, free_ports
from rig.processes import Argv, Process, Supervisor, run
from rig.waiting import READY_SECONDS, wait_until

CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "job-controller",
    "garbage-collector-controller",
    "namespace-controller",
)
CURVE = "prime256v1"
NEVER_READY = "e2e.canaryfleet.dev/never-ready"
"""A pod with this label set to "true" is scheduled, but its containers never become ready."""


@dataclass(frozen=True)
class NodeSpec:
    """A node that KWOK pretends to run."""

    name: str = "fake-0"
    allocatable: dict[str, str] = field(
        default_factory=lambda: {
            "cpu": "1000",
            "memory": "8Ti",
            "ephemeral-storage": "8Ti",
            "pods": "2000",
            "nvidia.com/gpu": "64",
        }
    )
    labels: dict[str, str] = field(default_factory=dict)

    def manifest(self) -> Object:
        """Return the Node object."""
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {"kubernetes.io/hostname": self.name, **self.labels},
            },
            "status": {"allocatable": self.allocatable, "capacity": self.allocatable},
        }


@dataclass(frozen=True)
class Etcd:
    """The store that all clusters of a rig share, each under a prefix of its own."""

    url: str
    process: Process

    @classmethod
    def start(cls, supervisor: Supervisor, directory: Path) -> "Etcd":
        """Start etcd and wait until it answers."""
        client, peer = (f"http://{LOOPBACK}:{port}" for port in free_ports(2))
        argv: Argv = [
            tools.binary("etcd"),
            "--name=e2e",
            f"--data-dir={directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=e2e={peer}",
            "--unsafe-no-fsync",
            "--backend-batch-interval=1s",  # a tenth of the writes; nothing has to outlive the rig
            "--log-level=warn",
        ]
        process = supervisor.start("etcd", argv)
        etcd = cls(client, process)
        wait_until(etcd._healthy, "etcd is healthy", READY_SECONDS)
        return etcd

    def _healthy(self) -> bool:
        self.process.check()
        return answers(f"{self.url}/health")


@dataclass
class Cluster:
    """A running cluster: `launch`, `begin`, `install_crds` and `finish`, each for all of them before the next."""

    name: str
    directory: Path
    kube: Kube
    supervisor: Supervisor
    rollouts_version: str
    apiserver: Process
    rollouts_controller: Process | None = None

    @classmethod
    def launch(
        cls,
        supervisor: Supervisor,
        etcd: Etcd,
        name: str,
        directory: Path,
        rollouts_version: str,
    ) -> "Cluster":
        """Start the API server and return without waiting, so that several start together."""
        directory.mkdir(parents=True)
        port = free_ports(1)[0]
        kube = Kube(
            server=f"https://{LOOPBACK}:{port}",
            token=f"token-{name}",
            kubeconfig=directory / "kubeconfig",
            cache=directory / "kubectl-cache",
        )
        kube.write_kubeconfig(name)
        argv = _apiserver_argv(etcd, name, directory, port, kube.token)
        apiserver = supervisor.start(f"{name}-apiserver", argv)
        return cls(name, directory, kube, supervisor, rollouts_version, apiserver)

    def begin(self) -> None:
        """Wait for the API server, and start what Kubernetes runs on it."""
        wait_until(self._api_ready, f"{self.name}: API server ready", READY_SECONDS)
        self._start_kubernetes()

    def finish(self, nodes: Sequence[NodeSpec]) -> None:
        """Bring up what needs the definitions, and the nodes."""
        self.start_rollouts_controller()
        for node in nodes:
            self.add_node(node)

    def install_crds(self) -> None:
        """Install the definitions of Argo Rollouts and Istio and wait until they are served."""
        self.kube.define(crd_files(self.rollouts_version))
        established = (
            "wait",
            "--for=condition=Established",
            "crd",
            "--all",
            f"--timeout={READY_SECONDS:.0f}s",
        )
        # kubectl gives up at one that has no status yet
        wait_until(lambda: self.kube.kubectl(*established), f"{self.name}: definitions", READY_SECONDS)

    def start_rollouts_controller(self) -> None:
        """Start the Argo Rollouts controller and wait until it is healthy."""
        self.rollouts_controller = start_controller(
            self.supervisor, f"{self.name}-rollouts", self.kube, self.rollouts_version
        )

    def add_node(self, node: NodeSpec) -> None:
        """Create a node and wait until pods can be scheduled onto it."""
        self.kube.kubectl("create", "-f", "-", stdin=json.dumps(node.manifest()))
        # No controller here removes the taint that the API server puts on a new node.
        self.kube.patch("node", node.name, None, {"spec": {"taints": []}})
        wait_until(
            lambda: self._node_ready(node.name),
            f"{self.name}: node {node.name} ready",
            READY_SECONDS,
        )

    def _start_kubernetes(self) -> None:
        kubeconfig = f"--kubeconfig={self.kube.kubeconfig}"
        # by default these slow themselves down to some twenty requests a second
        quiet = (
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
        )
        self.supervisor.start(
            f"{self.name}-controllers",
            [
                tools.binary("kube-controller-manager"),
                kubeconfig,
                *quiet,
                f"--controllers={','.join(CONTROLLERS)}",
            ],
        )
        self.supervisor.start(f"{self.name}-scheduler", [tools.binary("kube-scheduler"), kubeconfig, *quiet])
        stages = self.directory / "kwok-stages.yaml"
        stages.write_text(yaml.safe_dump_all(kwok_stages()))
        self.supervisor.start(
            f"{self.name}-kwok",
            [
                tools.binary("kwok"),
                kubeconfig,
                "--manage-all-nodes",
                f"--config={stages}",
                f"--server-address={LOOPBACK}:{free_ports(1)[0]}",
            ],
        )

    def _api_ready(self) -> bool:
        self.apiserver.check()
        return answers(f"{self.kube.server}/readyz", self.kube.token)

    def _node_ready(self, name: str) -> bool:
        self.supervisor.check()
        conditions = self.kube.raw_json(f"/api/v1/nodes/{name}")["status"].get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def start_controller(
    supervisor: Supervisor, name: str, kube: Kube, rollouts_version: str, *flags: str
) -> Process:
    """Start an Argo Rollouts controller and wait until it is healthy."""
    metrics, health = free_ports(2)
    argv: Argv = [
        tools.binary(f"rollouts-controller-{rollouts_version}"),
        f"--kubeconfig={kube.kubeconfig}",
        "--leader-elect=false",
        # 40 requests a second is the default: with many tests at once they waited up to 17 s
        *("--qps=1000", "--burst=2000"),
        f"--metricsPort={metrics}",
        f"--healthzPort={health}",
        *flags,
    ]
    environment = {"POD_NAMESPACE": "argo-rollouts", "HOME": str(kube.kubeconfig.parent)}
    process = supervisor.start(name, argv, environment)

    def healthy() -> bool:
        process.check()
        return answers(f"http://{LOOPBACK}:{health}/healthz")

    wait_until(healthy, f"{name}: rollouts controller healthy", READY_SECONDS)
    process.check()  # it was this one that answered, and not another at its port
    return process


def crd_files(rollouts_version: str) -> list[Path]:
    """Return the files with the custom resource definitions, from the Go module cache."""
    controlplane = f"controlplane-{rollouts_version}"
    rollouts = tools.module_dir(controlplane, "github.com/argoproj/argo-rollouts")
    istio_api = tools.module_dir("istio", "istio.io/api")
    istio = istio_api / "kubernetes" / "customresourcedefinitions.gen.yaml"
    return [*sorted((rollouts / "manifests" / "crds").glob("*-crd.yaml")), istio]


def kwok_stages() -> list[Object]:
    """Return KWOK's stages, with pods that never become ready left alone."""
    base = tools.module_dir("kwok", "sigs.k8s.io/kwok") / "kustomize" / "stage"
    folders = ("node/fast", "node/heartbeat-with-lease", "pod/fast")
    files = [path for folder in folders for path in sorted((base / folder).glob("*.yaml"))]
    documents = [doc for path in files for doc in load(path.read_text())]
    stages = [doc for doc in documents if doc.get("kind") == "Stage"]
    for stage in stages:
        if stage["metadata"]["name"] == "pod-ready":
            stage["spec"]["selector"]["matchExpressions"].append(_unless_never_ready())
    return stages


def _unless_never_ready() -> Object:
    return {"key": f'.metadata.labels["{NEVER_READY}"]', "operator": "NotIn", "values": ["true"]}


def _certify(directory: Path) -> None:
    """A certificate where the API server looks for its own; the one that it would make is of RSA.

    Each watch is a connection of its own, and a signature with RSA takes ten times as long.
    """
    directory.mkdir()
    extensions = (f"subjectAltName=IP:{LOOPBACK}", "keyUsage=critical,digitalSignature,keyCertSign")
    run(
        [
            *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{CURVE}"),
            *("-subj", f"/CN={LOOPBACK}", "-days", "2"),
            *(word for extension in extensions for word in ("-addext", extension)),
            *("-keyout", directory / "apiserver.key", "-out", directory / "apiserver.crt"),
        ]
    )


def _apiserver_argv(etcd: Etcd, name: str, directory: Path, port: int, token: str) -> Argv:
    key = directory / "service-account.key"
    run(["openssl", "ecparam", "-genkey", "-noout", "-name", CURVE, "-out", key])
    _certify(directory / "certs")
    tokens = directory / "tokens.csv"
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    return [
        tools.binary("kube-apiserver"),
        f"--etcd-servers={etcd.url}",
        f"--etcd-prefix=/{name}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--cert-dir={directory / 'certs'}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--disable-admission-plugins=ServiceAccount",
        "--enable-priority-and-fairness=false",  # nobody here asks for more than his share
    ]
