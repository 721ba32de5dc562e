"""The final objects of a cluster without running kustomize.

It reads the committed kustomizations, and knows exactly the part of kustomize that canaryfleet
writes: resources, components, and JSON 6902 patches by kind and name or label. Anything else is
refused, so that the result is either what `kustomize build` gives or an error. Plain dictionaries
and little else: the config-management plugin starts for every application.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from posixpath import join, normpath
from typing import Any

from canaryfleet.errors import Place, Problems, problem
from canaryfleet.generated import load, load_stream

Object = dict[str, Any]
Read = Callable[[str], bytes]
LISTS = ("resources", "components")
KNOWN = frozenset({"apiVersion", "kind", "metadata", "patches", *LISTS})
KUSTOMIZATION = ("kustomize.config.k8s.io/v1beta1", "Kustomization")
COMPONENT = ("kustomize.config.k8s.io/v1alpha1", "Component")
# What kustomize takes for regular expressions, of those the ones that are names; of label selectors one label.
_TARGET: Mapping[str, re.Pattern[str]] = {
    "group": re.compile(r"[a-z0-9.-]+"),
    "kind": re.compile(r"[A-Za-z0-9]+"),
    "name": re.compile(r"[a-z0-9.-]+"),
    "labelSelector": re.compile(r"[A-Za-z0-9._/-]+=[A-Za-z0-9._-]+"),
}
_CHOICES = ({"group", "kind", "name"}, {"group", "kind", "labelSelector"})
_INDEX = re.compile(r"0|[1-9][0-9]*", re.ASCII)


def overlay_folder(app: str, cluster: str) -> str:
    """Where a cluster's overlay of an app stands."""
    return f"overlays/{app}/clusters/{cluster}"


def immutable(path: str) -> bool:
    """Whether a path is below a folder whose files never change: `overlays/<app>/releases/` or `config/`."""
    return path.split("/", 3)[2:3] in (["releases"], ["config"])


class Builder:
    """Builds kustomizations below one root. What is `shared`, see `immutable`, is read once and kept."""

    def __init__(self, read: Read, shared: Callable[[str], bool] = lambda path: False) -> None:
        self._read = read
        self._shared = shared
        self._objects: dict[str, tuple[Object, ...]] = {}
        self._patches: dict[str, list[Mapping[str, Any]]] = {}
        self._open: set[str] = set()

    def build(self, path: str) -> list[Object]:
        """The objects of the kustomization in a folder (a repository path), sorted as `sort_key` says.

        Raises Problems if something is missing or is not of the form that canaryfleet writes. The
        objects share parts with each other and with later calls: copy before changing one.
        """
        return sorted(self._resources(path), key=sort_key)

    def _resources(self, path: str) -> tuple[Object, ...]:
        if path in self._objects:
            return self._objects[path]
        if path.endswith((".yaml", ".yml")):
            objects = tuple(_object(item, path) for item in load_stream(self._read(path), path))
            if not objects:  # kustomize would leave them all out, and Argo CD prune them
                raise _foreign(path, "a file without objects")
        else:
            objects = self._kustomization(path)
        if self._shared(path):
            self._objects[path] = objects
        return objects

    def _kustomization(self, path: str) -> tuple[Object, ...]:
        body = self._body(path, KUSTOMIZATION)
        if path in self._open:
            raise _foreign(_file(path), "it contains itself")
        self._open.add(path)
        objects: list[Object] = []
        try:
            for entry in body.get("resources", ()):
                objects.extend(self._resources(normpath(join(path, entry))))
        finally:
            self._open.discard(path)
        _unique(objects, path)
        patches = [
            patch
            for entry in body.get("components", ())
            for patch in self._component(normpath(join(path, entry)))
        ]
        for patch in (*patches, *_parsed(body, path)):
            objects = [
                _patched(item, patch, path) if _matches(item, patch["target"]) else item for item in objects
            ]
        return tuple(objects)

    def _component(self, path: str) -> Sequence[Mapping[str, Any]]:
        if path not in self._patches:
            body = self._body(path, COMPONENT)
            if given := [key for key in LISTS if key in body]:
                raise _foreign(_file(path), ", ".join(given))
            patches = _parsed(body, path)
            if not self._shared(path):
                return patches
            self._patches[path] = patches
        return self._patches[path]

    def _body(self, path: str, what: tuple[str, str]) -> Mapping[str, Any]:
        file = _file(path)
        body = load(self._read(file), file)
        if not isinstance(body, dict) or (body.get("apiVersion"), body.get("kind")) != what:
            raise _foreign(file, f"its content is no {what[1]}")
        unknown = [*(set(body) - KNOWN), *(key for key in LISTS if not _are_strings(body.get(key, [])))]
        if unknown:
            raise _foreign(file, ", ".join(sorted(unknown)))
        return dict(body)


def _file(path: str) -> str:
    return join(path, "kustomization.yaml")


def _foreign(file: str, what: str) -> Problems:
    return problem(
        Place(file), "CF160", f"canaryfleet did not write this: {what}", "run `canaryfleet render`"
    )


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _object(item: Object, file: str) -> Object:
    """The same, if it has what the rest relies on."""
    metadata = item.get("metadata")
    named = (
        isinstance(metadata, dict)
        and isinstance(metadata.get("name"), str)
        and isinstance(metadata.get("namespace", ""), str)
        and isinstance(metadata.get("labels", {}), dict)
        and isinstance(metadata.get("annotations") or {}, dict)
    )
    if not named or not isinstance(item.get("kind"), str) or not isinstance(item.get("apiVersion"), str):
        raise _foreign(file, "this is no Kubernetes object")
    if item["kind"].endswith("List") and "items" in item:
        raise _foreign(file, "a list of objects, which kustomize would take apart")
    if any(map(_is_for_kustomize, item["metadata"].get("annotations") or ())):
        raise _foreign(file, "an annotation for kustomize")
    return item


def _is_for_kustomize(annotation: Any) -> bool:
    """True for what makes kustomize leave the object out, or what it takes away."""
    return isinstance(annotation, str) and (
        annotation == "config.kubernetes.io/local-config"
        or annotation.startswith("internal.config.kubernetes.io/")
    )


def sort_key(item: Object) -> tuple[str, str, str, str]:
    """Group, kind, namespace and name."""
    group = item["apiVersion"].rpartition("/")[0]
    metadata = item["metadata"]
    return group, item["kind"], metadata.get("namespace", ""), metadata["name"]


def _unique(objects: Sequence[Object], path: str) -> None:
    """kustomize refuses the same object through two resources, and so do we."""
    seen: set[tuple[str, str, str, str]] = set()
    for item in objects:
        key = sort_key(item)
        if key in seen:
            raise problem(
                Place(_file(path)),
                "CF161",
                f"{key[1]} {key[3]} comes from two resources",
                "run `canaryfleet render`",
            )
        seen.add(key)


def _parsed(body: Mapping[str, Any], path: str) -> list[Mapping[str, Any]]:
    try:
        found: list[Mapping[str, Any]] = [
            {"target": dict(entry["target"]), "operations": load(entry["patch"].encode(), _file(path))}
            for entry in body.get("patches", ())
        ]
        formed = all(_is_formed(patch["target"], patch["operations"]) for patch in found) and all(
            len(entry) == len(("target", "patch")) for entry in body.get("patches", ())
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        formed = False
    if not formed:
        raise _foreign(_file(path), "a patch of another form")
    return found


def _is_formed(target: Mapping[str, Any], operations: Sequence[Any]) -> bool:
    """True for a patch by kind and name or label, made of operations that put a value at a path, and nothing more."""
    chosen = set(target) in _CHOICES and all(_TARGET[key].fullmatch(text) for key, text in target.items())
    return chosen and all(
        set(one) == {"op", "path", "value"} and one["path"].startswith("/") for one in operations
    )


def _matches(item: Object, target: Mapping[str, str]) -> bool:
    if not _same(target["kind"], item["kind"]):
        return False
    if not _same(target["group"], item["apiVersion"].rpartition("/")[0]):
        return False
    if "name" in target:
        return _same(target["name"], item["metadata"]["name"])
    key, _, value = target["labelSelector"].partition("=")
    return bool(item["metadata"].get("labels", {}).get(key) == value)


def _same(wanted: str, found: str) -> bool:
    """As kustomize compares: a point in what is wanted may be any character."""
    return wanted == found or ("." in wanted and re.fullmatch(wanted, found) is not None)


def _patched(item: Object, patch: Mapping[str, Any], path: str) -> Object:
    for operation in patch["operations"]:
        if operation["op"] not in ("add", "replace"):
            raise _foreign(_file(path), f"op {operation['op']}")
        steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        try:
            item = _with(item, steps, operation["value"], added=operation["op"] == "add")
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise problem(
                Place(_file(path)),
                "CF162",
                f"a patch of {item['kind']} {item['metadata']['name']} finds no {operation['path']}",
                "run `canaryfleet render`",
            ) from error
    return _object(item, _file(path))


def _with(value: Any, steps: Sequence[str], new: Any, *, added: bool) -> Any:
    """A copy of plain data with one place changed; everything beside the path is shared.

    Raises ValueError for what adds an item to a list, as nothing of ours does.
    """
    if not steps:
        return new
    head, rest = steps[0], steps[1:]
    if isinstance(value, list):
        if not _INDEX.fullmatch(head) or (added and not rest):
            raise ValueError(head)
        index = int(head)
        changed = list(value)
        changed[index] = _with(value[index], rest, new, added=added)
        return changed
    return value | {head: _with(value[head], rest, new, added=added) if rest else new}
