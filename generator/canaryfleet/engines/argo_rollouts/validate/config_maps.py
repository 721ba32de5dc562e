"""ConfigMaps: their content (CF200), and the pods that read them (CF250)."""

import re
from collections.abc import Iterator
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.plain import (
    Object,
    Path,
    as_map,
    as_strings,
    as_text,
    at,
    each,
    entries,
    maps,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.pods import CONFIG_KEY, containers_of, pod_path
from canaryfleet.engines.argo_rollouts.validate.world import (
    Rule,
    Violation,
    World,
    bad,
    name_of,
    namespace_of,
)

MANAGED_BY = "app.kubernetes.io/managed-by"


def _config_map(item: Object, world: World) -> Iterator[Violation]:
    """Keys and size of a ConfigMap (CF200)."""
    size = 0
    for field in ("data", "binaryData"):
        for key, value in as_strings(item, field).items():
            size += len(value.encode(errors="replace"))
            if len(key) > 253 or key == "." or key.startswith("..") or not CONFIG_KEY.fullmatch(key):
                message = f"{short(key)} can't be a key of a ConfigMap"
                yield bad(item, (field, key), "CF200", message, "letters, digits, -, _ and . only")
    if size > 1 << 20:
        remedy = "put the content into the image or a volume"
        yield bad(item, ("data",), "CF200", "the ConfigMap is larger than 1 MiB", remedy)


def _config_maps(item: Object, world: World) -> Iterator[Violation]:
    """ConfigMaps of the pod template that canaryfleet makes (CF250)."""
    stems = {
        _stem(name_of(one))
        for one in world.all("ConfigMap")
        if at(one, "metadata", "labels", MANAGED_BY) == "canaryfleet"
    }
    for path, source, keys in _config_references(item):
        name = as_text(source, "name")
        if not name or source.get("optional") is True:
            continue
        config = world.find("ConfigMap", namespace_of(item), name)
        if config is None:
            if re.search(r"-[0-9a-f]{12}\Z", name) or (_stem(name) and _stem(name) in stems):
                message = f"there is no ConfigMap {short(name)}"
                yield bad(item, (*path, "name"), "CF250", message, "pods would not start")
            continue
        there = {*as_map(config, "data"), *as_map(config, "binaryData")}
        for key in keys:
            if key not in there:
                message = f"the ConfigMap {short(name)} has no key {short(key)}"
                yield bad(item, path, "CF250", message, "pods would not start")


def _stem(name: str) -> str:
    return name.rpartition("-")[0]


def _config_references(item: Object) -> Iterator[tuple[Path, dict[Any, Any], list[str]]]:
    """Where a pod template names ConfigMaps: path, reference, keys that it needs."""
    for path, volume in entries(item, *pod_path("volumes")):
        sources = [((*path, "configMap"), volume.get("configMap"))]
        sources += [
            ((*here, "configMap"), one.get("configMap"))
            for here, one in each(volume, path, "projected", "sources")
        ]
        for here, source in sources:
            if isinstance(source, dict):
                yield here, source, [as_text(key, "key") for key in maps(source, "items")]
    for path, container in containers_of(item):
        for here, variable in each(container, path, "env"):
            source = at(variable, "valueFrom", "configMapKeyRef")
            if isinstance(source, dict):
                yield (*here, "valueFrom", "configMapKeyRef"), source, [as_text(source, "key")]
        for here, one in each(container, path, "envFrom"):
            if isinstance(one.get("configMapRef"), dict):
                yield (*here, "configMapRef"), one["configMapRef"], []


RULES: tuple[Rule, ...] = (_config_map,)
POD_RULES: tuple[Rule, ...] = (_config_maps,)
