"""Manifests that somebody has: found in files and in what kubectl prints, and freed of what a cluster added."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from canaryfleet.errors import WARNING, Finding, Place, problem
from canaryfleet.syntax import Document, parse_manifests

UNFIT = "CF041"
LEFT = "CF042"
EXPOSED = "CF045"

# What the API server, its controllers and clients write; none of it is anybody's wish.
_OF_THE_CLUSTER = (
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields",
    "ownerReferences", "resourceVersion", "selfLink", "uid",
)  # fmt: skip
_NOTES = ("deployment.kubernetes.io/", "kubectl.kubernetes.io/", "autoscaling.alpha.kubernetes.io/")
_OF_A_SERVICE = (
    "clusterIP",
    "clusterIPs",
    "healthCheckNodePort",
    "ipFamilies",
    "ipFamilyPolicy",
    "internalTrafficPolicy",
)


class Manifest(NamedTuple):
    """One object as it was found: its data, and where it stands."""

    data: dict[str, Any]
    document: Document
    path: tuple[str | int, ...]

    @property
    def kind(self) -> str:
        return str(self.data["kind"])

    @property
    def name(self) -> str:
        return str(self.data["metadata"]["name"])

    @property
    def namespace(self) -> str | None:
        found = self.data["metadata"].get("namespace")
        return found if isinstance(found, str) else None

    @property
    def spec(self) -> dict[str, Any]:
        """Its spec; empty if there is none."""
        return mapping(self.data.get("spec"))

    def place(self, *below: str | int) -> Place:
        """Where something of it stands."""
        return self.document.place((*self.path, *below))

    def left(self, what: str, remedy: str, *below: str | int) -> Finding:
        """A warning: something of it has not been taken over."""
        return Finding(self.place(*below), LEFT, what, remedy, WARNING)


def read(data: bytes, file: str) -> list[Manifest]:
    """Every object of a stream of documents, those of lists too. Raises `Problems`: no YAML, or no objects."""
    found: list[Manifest] = []
    for document in parse_manifests(data, file):
        found += _objects(document, document.data, ())
    if not found:
        raise problem(
            Place(file), UNFIT, "there are no manifests in it", "give what `kubectl get -o yaml` prints"
        )
    return found


def _objects(document: Document, data: Any, path: tuple[str | int, ...]) -> Iterator[Manifest]:
    if (
        isinstance(data, dict)
        and str(data.get("kind")).endswith("List")
        and isinstance(data.get("items"), list)
    ):
        for number, item in enumerate(data["items"]):
            yield from _objects(document, item, (*path, "items", number))
        return
    metadata = data.get("metadata") if isinstance(data, dict) else None
    named = isinstance(metadata, dict) and isinstance(metadata.get("name"), str)
    if not named or not isinstance(data.get("kind"), str) or not isinstance(data.get("apiVersion"), str):
        what = "this is no Kubernetes object: apiVersion, kind or metadata.name is missing"
        raise problem(document.place(path), UNFIT, what)
    yield Manifest(data, document, path)


def only(found: Iterable[Manifest], kind: str, wanted: str | None, file: str, option: str) -> Manifest:
    """The one object of a kind, or the one of that name. Raises `Problems` CF041, which names `option`."""
    known = {item.name: item for item in found if item.kind == kind}
    if wanted in known:
        return known[wanted]
    if wanted is None and len(known) == 1:
        return next(iter(known.values()))
    if wanted is not None:
        text = f"there is no {kind} {wanted} in it"
    else:
        text = f"there are {len(known)} of kind {kind} in it" if known else f"there is no {kind} in it"
    remedy = f"name one with {option}: {', '.join(sorted(known))}" if known else f"give its {kind}"
    raise problem(Place(file), UNFIT, text, remedy)


def cleaned(item: Manifest) -> dict[str, Any]:
    """The object without what a cluster added to it."""
    data = {key: value for key, value in item.data.items() if key != "status"}
    data["metadata"] = _metadata(data["metadata"])
    if item.kind == "Service":
        data["spec"] = _service(item.spec)
    if item.kind == "Deployment" and isinstance(item.spec.get("template"), dict):
        # all else of the template stays: a pod that loses an annotation is another pod
        template = dict(item.spec["template"])
        metadata = mapping(template.get("metadata"))
        template["metadata"] = {key: value for key, value in metadata.items() if key != "creationTimestamp"}
        data["spec"] = item.spec | {"template": template}
    return data


def _metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in metadata.items() if key not in _OF_THE_CLUSTER}
    notes = mapping(kept.pop("annotations", None))
    own = {key: value for key, value in notes.items() if not str(key).startswith(_NOTES)}
    return kept | ({"annotations": own} if own else {})


def _service(spec: dict[str, Any]) -> dict[str, Any]:
    headless = spec.get("clusterIP") == "None"
    kept = {key: value for key, value in spec.items() if key not in _OF_A_SERVICE}
    if headless:
        kept["clusterIP"] = "None"
    if isinstance(kept.get("ports"), list):
        kept["ports"] = [
            {key: value for key, value in port.items() if key != "nodePort"}
            if isinstance(port, dict)
            else port
            for port in kept["ports"]
        ]
    return kept


def runs(item: Manifest) -> bool:
    """Whether the manifest was read from a cluster: it has what only an API server writes."""
    return bool(item.data["metadata"].get("uid") or item.data.get("status"))


def mapping(value: Any) -> dict[str, Any]:
    """A mapping, or an empty one where something else stands: manifests of others may be anything."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """A list, or an empty one where something else stands."""
    return value if isinstance(value, list) else []
