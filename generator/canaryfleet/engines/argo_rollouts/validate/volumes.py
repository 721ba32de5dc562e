"""Volumes and mounts of the pod template (CF231)."""

from collections.abc import Iterator
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.plain import Object, Path, as_text, each, entries, short
from canaryfleet.engines.argo_rollouts.validate.pods import (
    containers_of,
    has_own_template,
    name_faults,
    pod_path,
    reference_faults,
)
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad


def _volumes(item: Object, world: World) -> Iterator[Violation]:
    """Volumes and mounts (CF231)."""
    if not has_own_template(item):
        return
    names: set[str] = set()
    for path, volume in entries(item, *pod_path("volumes")):
        yield from name_faults(item, path, volume, "volume", "CF231", names)
        sources = [str(key) for key, value in volume.items() if key != "name" and value is not None]
        if len(sources) > 1:
            message = f"the volume is several things: {', '.join(sorted(sources))}"
            yield bad(item, path, "CF231", message, "one volume for each")
        for key, field in (("configMap", "name"), ("secret", "secretName")):
            yield from reference_faults(item, (*path, key), volume.get(key), "CF231", name=field)
            for here, one in each(volume, path, key, "items"):
                if not as_text(one, "key") or not as_text(one, "path"):
                    yield bad(item, here, "CF231", "an item needs key and path")
    for path, container in containers_of(item):
        yield from _mounts(item, path, container, names)


def _mounts(item: Object, path: Path, container: dict[Any, Any], names: set[str]) -> Iterator[Violation]:
    places: set[str] = set()
    for here, mount in each(container, path, "volumeMounts"):
        name, place, inside = (as_text(mount, field) for field in ("name", "mountPath", "subPath"))
        if name not in names:
            remedy = "add it to the pod's volumes"
            yield bad(item, (*here, "name"), "CF231", f"there is no volume {short(name)}", remedy)
        if not place:
            yield bad(item, (*here, "mountPath"), "CF231", "mountPath is missing")
        elif place in places:
            yield bad(item, (*here, "mountPath"), "CF231", f"two volumes are mounted at {short(place)}")
        places.add(place)
        if inside.startswith("/") or ".." in inside.split("/"):
            message = f"{short(inside)} leads out of the volume"
            yield bad(item, (*here, "subPath"), "CF231", message, "a relative path without ..")


RULES: tuple[Rule, ...] = (_volumes,)
