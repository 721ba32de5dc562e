"""A real control plane on one machine, without containers.

The package starts etcd, Kubernetes API servers, the controllers that Argo Rollouts needs, KWOK as
the kubelet of a fake GPU node, and the Argo Rollouts controller itself; on demand a Prometheus that
scrapes an exporter a test steers, and Istio's pilot with an Envoy that moves real requests.
Everything listens on 127.0.0.1, and everything that was started is ended again.

    with Rig() as rig:
        cluster = rig.start_clusters(1)[0]
        apply_path(cluster.kube, Path("clusters/prod-eu"))
        wait_for_phase(cluster.kube, "shop", "checkout", {"Healthy"}, timeout=60)
"""

from rig.cluster import Cluster, NodeSpec
from rig.kube import Kube
from rig.manifests import apply_path
from rig.metrics import Exporter, Prometheus
from rig.rollouts import RolloutTrail, get_rollout, wait_for_phase
from rig.session import Rig
from rig.traffic import Mesh
from rig.waiting import RigError, WaitTimeoutError, wait_until

__all__ = [
    "Cluster",
    "Exporter",
    "Kube",
    "Mesh",
    "NodeSpec",
    "Prometheus",
    "Rig",
    "RigError",
    "RolloutTrail",
    "WaitTimeoutError",
    "apply_path",
    "get_rollout",
    "wait_for_phase",
    "wait_until",
]
