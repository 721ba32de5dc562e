"""The final objects of a cluster without running kustomize.

It reads the committed kustomizations, and knows exactly the part of kustomize that canaryfleet
writes: resources, components, and JSON 6902 patches by kind and name or label. Anything else is
refused, so that the result is either what `kustomize build` gives or an error. Plain dictionaries
and little else: the config-management plugin starts for every application.
"""

from collections.abc import Callable, Mapping, Sequence
from posixpath import join, normpath
from typing import Any

from canaryfleet.errors import Place, problem
from canaryfleet.syntax import load, parse_stream

Object = dict[str, Any]
Read = Callable[[str], bytes]
KNOWN = frozenset({"apiVersion", "kind", "metadata", "resources", "components", "patches"})


class Builder:
    """Builds kustomizations below one root; what is immutable is read once and shared."""

    def __init__(self, read: Read, immutable: Callable[[str], bool] = lambda path: False) -> None:
        self._read = read
        self._immutable = immutable
        self._objects: dict[str, tuple[Object, ...]] = {}
        self._patches: dict[str, list[Mapping[str, Any]]] = {}

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
            objects = tuple(parse_stream(self._read(path), path))
        else:
            objects = self._kustomization(path)
        if self._immutable(path):
            self._objects[path] = objects
        return objects

    def _kustomization(self, path: str) -> tuple[Object, ...]:
        body = self._body(path)
        objects: list[Object] = []
        for entry in body.get("resources", ()):
            objects.extend(self._resources(normpath(join(path, entry))))
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
            patches = _parsed(self._body(path), path)
            if not self._immutable(path):
                return patches
            self._patches[path] = patches
        return self._patches[path]

    def _body(self, path: str) -> Mapping[str, Any]:
        file = join(path, "kustomization.yaml")
        body = load(self._read(file), file)
        unknown = set(body) - KNOWN if isinstance(body, dict) else {"its content"}
        if unknown:
            raise problem(
                Place(file),
                "CF160",
                f"canaryfleet did not write this: {', '.join(sorted(unknown))}",
                "run `canaryfleet render`",
            )
        return dict(body)


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
                Place(join(path, "kustomization.yaml")),
                "CF161",
                f"{key[1]} {key[3]} comes from two resources",
                "run `canaryfleet render`",
            )
        seen.add(key)


def _parsed(body: Mapping[str, Any], path: str) -> list[Mapping[str, Any]]:
    return [
        {"target": entry["target"], "operations": load(entry["patch"].encode(), path)}
        for entry in body.get("patches", ())
    ]


def _matches(item: Object, target: Mapping[str, str]) -> bool:
    if item["kind"] != target["kind"] or item["apiVersion"].rpartition("/")[0] != target["group"]:
        return False
    if "name" in target:
        return bool(item["metadata"]["name"] == target["name"])
    key, _, value = target["labelSelector"].partition("=")
    return bool(item["metadata"].get("labels", {}).get(key) == value)


def _patched(item: Object, patch: Mapping[str, Any], path: str) -> Object:
    for operation in patch["operations"]:
        if operation["op"] not in ("add", "replace"):
            raise problem(
                Place(path),
                "CF160",
                f"canaryfleet did not write this: op {operation['op']}",
                "run `canaryfleet render`",
            )
        steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        try:
            item = _with(item, steps, operation["value"])
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise problem(
                Place(path),
                "CF162",
                f"a patch of {item['kind']} {item['metadata']['name']} finds no {operation['path']}",
                "run `canaryfleet render`",
            ) from error
    return item


def _with(value: Any, steps: Sequence[str], new: Any) -> Any:
    """A copy of plain data with one place changed; everything beside the path is shared."""
    if not steps:
        return new
    head, rest = steps[0], steps[1:]
    if isinstance(value, list):
        index = int(head)
        changed = list(value)
        changed[index] = _with(value[index], rest, new)
        return changed
    return value | {head: _with(value[head], rest, new) if rest else new}
