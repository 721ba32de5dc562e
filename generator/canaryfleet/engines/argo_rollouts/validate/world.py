"""The objects that are judged, what each of them is, and what is said about one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from canaryfleet.engines.argo_rollouts.validate.plain import Object, Path, as_text


class Violation(NamedTuple):
    """What is wrong, where in which object, and what to do; `code` is one of codes/controllers.yaml."""

    kind: str
    name: str
    path: Path
    code: str
    message: str
    remedy: str


class World(NamedTuple):
    """The objects, and where to find one by kind, namespace and name."""

    objects: tuple[Object, ...]
    names: dict[tuple[str, str, str], Object]

    @classmethod
    def of(cls, objects: Iterable[Object]) -> "World":
        items = tuple(objects)
        names: dict[tuple[str, str, str], Object] = {}
        for item in items:
            names.setdefault(identity_of(item), item)
        return cls(items, names)

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        return self.names.get((kind, namespace, name))

    def all(self, kind: str) -> Iterator[Object]:
        return (item for item in self.objects if kind_of(item) == kind)


Rule = Callable[[Object, World], Iterator[Violation]]


def bad(item: Object, path: Path, code: str, message: str, remedy: str = "") -> Violation:
    return Violation(as_text(item, "kind"), name_of(item), path, code, message, remedy)


def not_one(
    item: Object, path: Path, code: str, given: Sequence[str], none: str, remedy: str
) -> Iterator[Violation]:
    """Not exactly one of several things."""
    if len(given) != 1:
        yield bad(item, path, code, f"{' and '.join(given)} exclude each other" if given else none, remedy)


GROUPS = {
    "Rollout": "argoproj.io",
    "AnalysisTemplate": "argoproj.io",
    "ClusterAnalysisTemplate": "argoproj.io",
    "AnalysisRun": "argoproj.io",
    "VirtualService": "networking.istio.io",
    "DestinationRule": "networking.istio.io",
    "EnvoyFilter": "networking.istio.io",
    "Service": "",
    "ConfigMap": "",
    "Namespace": "",
    "Deployment": "apps",
    "ReplicaSet": "apps",
    "PodTemplate": "",
    "HorizontalPodAutoscaler": "autoscaling",
    "VerticalPodAutoscaler": "autoscaling.k8s.io",
    "PodDisruptionBudget": "policy",
    "Secret": "",
    "ScaledObject": "keda.sh",
}
CLUSTER_SCOPED = frozenset({"ClusterAnalysisTemplate", "Namespace"})


def group_of(item: Object) -> str:
    group, slash, _ = as_text(item, "apiVersion").partition("/")
    return group if slash else ""


def kind_of(item: Object) -> str:
    """The kind; with its group where another group has a kind of that name (Knative's Service)."""
    kind, group = as_text(item, "kind"), group_of(item)
    return kind if GROUPS.get(kind, group) == group else f"{kind}.{group}"


def name_of(item: Object) -> str:
    return as_text(item, "metadata", "name")


def namespace_of(item: Object) -> str:
    return "" if kind_of(item) in CLUSTER_SCOPED else as_text(item, "metadata", "namespace")


def identity_of(item: Object) -> tuple[str, str, str]:
    return kind_of(item), namespace_of(item), name_of(item)
