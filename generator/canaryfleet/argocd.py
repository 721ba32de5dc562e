"""What Argo CD is told: an AppProject for the fleet, and an ApplicationSet for each app, whose Applications are the
overlays of its clusters.

Why they are as they are (Argo CD's documentation and controller/sync.go, 2.9 to 3.5):
- the Applications come from the overlays that are there, so a pointer for another cluster needs no other file;
- nothing is deleted because a file went: `create-update` keeps an Application that the generator no longer makes,
  `preserveResourcesOnDeletion` keeps its objects if somebody deletes it, `Prune=false` and `Delete=false` keep both if
  another Application applies these files and a file, or all of that Application, goes. Within an overlay what a release no
  longer has is pruned: what canaryfleet names by content and pods of the fallback mount stays in the overlay, and what a
  base brings for pods is marked (freeze.py). With `PruneLast` a sync would last as long as a canary, and keep a
  rollback waiting;
- ConfigMaps with prompts are larger than the annotation of a client-side apply can be, and a client-side apply of a
  Rollout can be a silent no-op (argo-cd 4727): `ServerSideApply`;
- what the engine writes is no difference, for else a sync would undo it. `RespectIgnoreDifferences` would keep whole lists
  of a custom resource as they are (argo-cd 17694, 23283, 27480): a route that another release brings would never
  come, and a Rollout that names it would be invalid. Instead `ApplyOutOfSyncOnly` leaves alone what differs in nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from canaryfleet.emit import emit
from canaryfleet.engines.argo_rollouts.ignored import ignored
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.fleet import ArgoCD, Fleet

FOLDER = "argocd"
HEADER = "Made by canaryfleet: what Argo CD applies where."
API = "argoproj.io/v1alpha1"
KEPT = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false"}
CLUSTER = "{{.path.basename}}"  # the folder of an overlay

Object = dict[str, Any]


class Place(NamedTuple):
    """Of one object: which kind it is, and in which namespace (none: it is of the cluster)."""

    group: str
    kind: str
    namespace: str


class Delivered(NamedTuple):
    """What Argo CD has to know of an app: its namespace, and what its releases are made of."""

    namespace: str
    places: frozenset[Place]


def place(item: Object) -> Place:
    """Where an object belongs."""
    group = item["apiVersion"].rpartition("/")[0]
    return Place(group, item["kind"], item["metadata"].get("namespace", ""))


def files(fleet: Fleet, clusters: Mapping[str, Cluster], apps: Mapping[str, Delivered]) -> dict[str, bytes]:
    """Every file by its path; none if fleet.yaml says nothing of Argo CD."""
    if fleet.argocd is None or not apps:
        return {}
    made = {f"{FOLDER}/project.yaml": _project(fleet, fleet.argocd, clusters, apps)}
    for app, delivered in apps.items():
        made[f"{FOLDER}/apps/{app}.yaml"] = _applications(
            fleet, fleet.argocd, clusters, app, delivered.namespace
        )
    return {path: emit(item, header=HEADER).encode() for path, item in made.items()}


def _metadata(settings: ArgoCD, name: str) -> Object:
    return {"name": name, "namespace": settings.namespace, "annotations": KEPT}


def _project_name(fleet: Fleet, settings: ArgoCD) -> str:
    return settings.project or fleet.metadata.name


def _project(
    fleet: Fleet, settings: ArgoCD, clusters: Mapping[str, Cluster], apps: Mapping[str, Delivered]
) -> Object:
    """The repository, the clusters, the namespaces and the kinds that the apps need, and no others."""
    places = sorted({place for app in apps.values() for place in app.places})
    namespaces = sorted({place.namespace for place in places} | {app.namespace for app in apps.values()})
    body: Object = {
        "description": f"What canaryfleet delivers to the fleet {fleet.metadata.name}",
        "sourceRepos": [settings.repository],
        "destinations": [
            {"name": name, "namespace": namespace}
            for name in sorted(item.known_as for item in clusters.values())
            for namespace in namespaces
            if namespace
        ],
        "clusterResourceWhitelist": _kinds(place for place in places if not place.namespace),
        "namespaceResourceWhitelist": _kinds(place for place in places if place.namespace),
    }
    metadata = _metadata(settings, _project_name(fleet, settings))
    return {"apiVersion": API, "kind": "AppProject", "metadata": metadata, "spec": body}


def _kinds(places: Iterable[Place]) -> list[Object]:
    return [{"group": group, "kind": kind} for group, kind in sorted({place[:2] for place in places})]


def _applications(
    fleet: Fleet, settings: ArgoCD, clusters: Mapping[str, Cluster], app: str, namespace: str
) -> Object:
    revision = settings.revision or fleet.defaultBranch
    overlays = f"{settings.path}/overlays" if settings.path else "overlays"
    found = {"path": f"{overlays}/{app}/clusters/*/kustomization.yaml"}
    body = {
        "goTemplate": True,
        "goTemplateOptions": ["missingkey=error"],
        "generators": [{"git": {"repoURL": settings.repository, "revision": revision, "files": [found]}}],
        "syncPolicy": {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True},
        "template": {
            "metadata": {"name": f"{app}-{CLUSTER}"},
            "spec": {
                "project": _project_name(fleet, settings),
                "source": {
                    "repoURL": settings.repository,
                    "targetRevision": revision,
                    "path": "{{.path.path}}",
                },
                "destination": {"name": _destination(clusters), "namespace": namespace},
                "syncPolicy": {
                    "automated": {"prune": True},
                    "syncOptions": ["ServerSideApply=true", "ApplyOutOfSyncOnly=true"],
                },
                "ignoreDifferences": list(_ignored(app, namespace)),
            },
        },
    }
    return {"apiVersion": API, "kind": "ApplicationSet", "metadata": _metadata(settings, app), "spec": body}


def _ignored(app: str, namespace: str) -> Sequence[Object]:
    return [
        {
            "group": item.group,
            "kind": item.kind,
            "name": item.name,
            "namespace": namespace,
            "jqPathExpressions": list(item.paths),
        }
        for item in ignored(app, namespace)
    ]


def _destination(clusters: Mapping[str, Cluster]) -> str:
    """What Argo CD calls the overlay's cluster, as a Go template."""
    others = {name: item.known_as for name, item in clusters.items() if item.known_as != name}
    if not others:
        return CLUSTER
    pairs = " ".join(f'"{name}" "{known}"' for name, known in sorted(others.items()))
    return f"{{{{get (dict {pairs}) .path.basename | default .path.basename}}}}"
