"""Argo CD on one cluster: its controllers, its repo-server, and the Redis that they keep their cache in.

Started as Argo CD's own Procfile starts them for its developers, without its API server: whoever has Applications in a
namespace of the API server needs none.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rig import tools
from rig.kube import Kube, Object
from rig.kube import namespace as kube_namespace
from rig.net import LOOPBACK, answers, free_ports
from rig.processes import Argv, Process, Supervisor
from rig.waiting import READY_SECONDS, wait_until

API = "argoproj.io/v1alpha1"
REFRESH = "argocd.argoproj.io/refresh"
REGENERATE = "argocd.argoproj.io/application-set-refresh"
KINDS = {"applications", "applicationsets", "appprojects"}
PART = {"app.kubernetes.io/part-of": "argocd"}
CLUSTER = {"argocd.argoproj.io/secret-type": "cluster"}


@dataclass
class ArgoCD:
    """A running Argo CD, whose objects are in a namespace of its own."""

    kube: Kube
    namespace: str
    processes: dict[str, Process]

    @classmethod
    def start(
        cls, supervisor: Supervisor, folder: Path, kube: Kube, namespace: str, reach: Sequence[str]
    ) -> "ArgoCD":
        """Start it on a cluster, which it knows as `here`, and of which it sees only the namespaces in `reach`."""
        folder.mkdir()
        kube.apply_objects(_settings(namespace, kube, reach))
        _define(kube)
        environment = {**_environment(folder), "KUBECONFIG": str(kube.kubeconfig)}
        processes = {}
        ports = free_ports(7)
        for name, words in _programs(namespace, ports).items():
            own = {**environment, "ARGOCD_BINARY_NAME": name}
            processes[name] = supervisor.start(f"{namespace}-{name}", [tools.binary("argocd"), *words], own)
        argocd = cls(kube, namespace, processes)
        wait_until(lambda: all(map(argocd._tells, ports[:3])), "Argo CD is up", READY_SECONDS)
        return argocd

    def apply(self, objects: Sequence[Object]) -> None:
        """Apply objects of Argo CD's."""
        self.kube.apply_objects(objects)

    def applications(self) -> list[Object]:
        """What it delivers."""
        return self.kube.items_at(f"/apis/{API}/namespaces/{self.namespace}/applications")

    def application(self, name: str) -> Object:
        """One of them."""
        found: Object = self.kube.raw_json(self.path("applications", name))
        return found

    def path(self, plural: str, name: str) -> str:
        """Where an object of Argo CD's is."""
        return f"/apis/{API}/namespaces/{self.namespace}/{plural}/{name}".rstrip("/")

    def refresh(self, name: str) -> None:
        """Have it look at the repository now, as a forge's webhook does."""
        kind = "hard" if self.asked("applications", name) else "normal"  # the same once more would be no news
        self.kube.patch_at(self.path("applications", name), _annotated(REFRESH, kind))

    def regenerate(self, name: str) -> None:
        """The same for an ApplicationSet."""
        if not self.asked("applicationsets", name):
            self.kube.patch_at(self.path("applicationsets", name), _annotated(REGENERATE, "true"))

    def asked(self, plural: str, name: str) -> bool:
        """Whether it was asked to look, and has not done so: it takes the annotation away."""
        annotations = self.kube.raw_json(self.path(plural, name))["metadata"].get("annotations", {})
        return bool({REFRESH, REGENERATE} & set(annotations))

    def _tells(self, port: int) -> bool:
        """Whether one of its programs tells its figures there."""
        for process in self.processes.values():
            process.check()
        return answers(f"http://{LOOPBACK}:{port}/metrics")


def _programs(namespace: str, ports: Sequence[int]) -> dict[str, Argv]:
    """What is started, by name, and with which words; the first three ports are of those that tell figures."""
    addresses = [f"{LOOPBACK}:{port}" for port in ports]
    redis, repo, probe, webhook = addresses[3:]
    return {
        "redis": [redis],
        "argocd-repo-server": [
            *("--address", LOOPBACK, "--port", str(ports[4]), "--redis", redis),
            *("--metrics-address", LOOPBACK, "--metrics-port", str(ports[0])),
        ],
        "argocd-application-controller": [
            *("--namespace", namespace, "--app-resync", "0", "--persist-resource-health"),
            *("--repo-server", repo, "--redis", redis, "--metrics-port", str(ports[1])),
        ],
        "argocd-applicationset-controller": [
            *("--namespace", namespace, "--argocd-repo-server", repo),
            *("--metrics-addr", addresses[2], "--probe-addr", probe, "--webhook-addr", webhook),
        ],
    }


def _define(kube: Kube) -> None:
    """Install the definitions, unless another test has: they are large, and stay."""
    if _served(kube):
        return
    definitions = tools.module_dir("argocd", "github.com/argoproj/argo-cd/v3") / "manifests" / "crds"
    kube.define(sorted(definitions.glob("*-crd.yaml")))
    wait_until(lambda: _served(kube), "Argo CD's kinds are served", READY_SECONDS)


def _served(kube: Kube) -> bool:
    """Whether the API server knows Argo CD's kinds."""
    return {one["name"] for one in kube.raw_json(f"/apis/{API}")["resources"]} >= KINDS


def _annotated(name: str, value: str) -> Object:
    return {"metadata": {"annotations": {name: value}}}


def _settings(namespace: str, kube: Kube, reach: Sequence[str]) -> list[Object]:
    """What its installation brings: nearly nothing of it has to be said."""
    config = {"bearerToken": kube.token, "tlsClientConfig": {"insecure": True}}
    cluster = {
        "name": "here",
        "server": kube.server,
        "config": json.dumps(config),
        "namespaces": ",".join(reach),
    }
    return [
        kube_namespace(namespace),
        _object(
            namespace, "ConfigMap", "argocd-cm", PART, {"application.resourceTrackingMethod": "annotation"}
        ),
        _object(namespace, "Secret", "argocd-secret", PART, {"server.secretkey": "none"}),
        _object(namespace, "Secret", "cluster-here", CLUSTER, cluster),
    ]


def _object(namespace: str, kind: str, name: str, labels: dict[str, str], data: dict[str, str]) -> Object:
    if kind == "Secret":
        data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": data}


def _environment(folder: Path) -> dict[str, str]:
    """Where it has its files; its images have them at paths that only they have."""
    for name in ("tls", "ssh", "gpg", "plugins", "tmp", "bin"):
        (folder / name).mkdir()
    verify = folder / "bin" / "git-verify-wrapper.sh"  # its image has one; no commit here is signed
    verify.write_text("#!/bin/sh\n")
    verify.chmod(0o755)
    return {
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_K8S_CLIENT_QPS": "1000",  # 50 is the default
        "ARGOCD_K8S_CLIENT_BURST": "2000",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_TLS_DATA_PATH": str(folder / "tls"),
        "ARGOCD_SSH_DATA_PATH": str(folder / "ssh"),
        "ARGOCD_GPG_DATA_PATH": str(folder / "gpg"),
        "ARGOCD_PLUGINSOCKFILEPATH": str(folder / "plugins"),
        "ARGOCD_ASK_PASS_SOCK": str(folder / "ask-pass.sock"),
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder),
        "PATH": os.pathsep.join((str(folder / "bin"), str(tools.BIN), os.environ["PATH"])),
    }
