"""A real control plane on one machine, without containers.

The package starts etcd, Kubernetes API servers, the controllers that Argo Rollouts needs, KWOK as
the kubelet of a fake GPU node, and the Argo Rollouts controller itself; on demand a Prometheus that
scrapes an exporter a test steers, and Istio's pilot with an Envoy that moves real requests.
Everything listens on 127.0.0.1, and everything that was started is ended again.

    with Rig() as rig:
        running = fleet.start(rig)
        apply_path(running.members[0].kube, Path("clusters/prod-eu"))
"""

from rig.calls import Answer, Call, Client
from rig.cluster import Cluster, NodeSpec
from rig.fleet import Fleet, Member, attach
from rig.kube import Kube
from rig.manifests import apply_path, kustomize, load, read
from rig.metrics import Exporter, Prometheus
from rig.session import Rig
from rig.traffic import Mesh
from rig.waiting import RigError, WaitTimeoutError, wait_until

__all__ = [
    "Answer",
    "Call",
    "Client",
    "Cluster",
    "Exporter",
    "Fleet",
    "Kube",
    "Member",
    "Mesh",
    "NodeSpec",
    "Prometheus",
    "Rig",
    "RigError",
    "WaitTimeoutError",
    "apply_path",
    "attach",
    "kustomize",
    "load",
    "read",
    "wait_until",
]
