"""The overlay of one cluster: the pointer, the fallback and the live settings, as text and back.

The text is a function of an `Overlay` and the releases it names, byte for byte; reading it back
and writing it again gives the same bytes, which is how `render --check` proves a tree.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from canaryfleet import live as live_settings
from canaryfleet.emit import emit
from canaryfleet.generated import load
from canaryfleet.live import Live, Patch
from canaryfleet.models.release import LiveShape, Release

FALLBACK = "canaryfleet.dev/fallback"
HEADER = "Made by canaryfleet. Promotion alone moves the pointer; live settings follow the inventory."
POINTER = re.compile(rb'^- "?\.\./\.\./releases/([A-Za-z0-9._-]+)"?$', re.MULTILINE)
FALLBACK_LINE = re.compile(rb'^    canaryfleet\.dev/fallback: "?([A-Za-z0-9._-]+)"?$', re.MULTILINE)


class Overlay(NamedTuple):
    """What one cluster's overlay says."""

    release: str
    fallback: str | None
    live: Live


class Pointer(NamedTuple):
    """The two names of an overlay that only promotion changes."""

    release: str
    fallback: str | None


def pointer(data: bytes) -> Pointer | None:
    """The pointer of an overlay's bytes by two expressions, without reading it as YAML; None if it has none."""
    release = POINTER.search(data)
    if release is None:
        return None
    fallback = FALLBACK_LINE.search(data, 0, release.start())
    return Pointer(release.group(1).decode(), fallback.group(1).decode() if fallback else None)


class Target(NamedTuple):
    """What one cluster needs of a release: computed once, used for every cluster that is alike."""

    release: str
    bake: str | None
    variant: str | None
    config: tuple[str, ...]
    shape: LiveShape


def target(release: Release, cluster: str, bakes: Mapping[str, str]) -> Target | None:
    """What a cluster points at; None if the release does not know it. `bakes`: wave by cluster, where it bakes."""
    member = release.clusters.get(cluster)
    if member is None:
        return None
    return Target(release.id, bakes.get(cluster), member.variant, release.config, release.live)


def bakes(release: Release) -> dict[str, str]:
    """Wave by cluster, for the waves of which the release has a bake."""
    baking = {wave.name for wave in release.waves if f"waves/{wave.name}/kustomization.yaml" in release.files}
    return {name: wave.name for wave in release.waves if wave.name in baking for name in wave.members}


def text(app: str, at: Target, fallback: str | None, fallback_config: Iterable[str], live: Live) -> str:
    """The kustomization of a cluster. Configuration of the fallback stays for the pods that mount it."""
    head = _head(app, at, fallback, tuple(fallback_config))
    patches = live_settings.patches(live_settings.fit(live, at.shape), at.shape, app)
    return head + ("patches:\n" + "".join(map(_patch, patches)) if patches else "")


@lru_cache(maxsize=4096)
def _head(app: str, at: Target, fallback: str | None, fallback_config: tuple[str, ...]) -> str:
    release = f"../../releases/{at.release}"
    resources = [release]
    if at.bake:
        resources.append(f"{release}/waves/{at.bake}")
    resources += [f"../../config/{name}" for name in sorted({*at.config, *fallback_config})]
    metadata: dict[str, Any] = {"name": app}
    if fallback:
        metadata["annotations"] = {FALLBACK: fallback}
    body: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "metadata": metadata,
        "resources": resources,
    }
    if at.variant:
        body["components"] = [f"{release}/variants/{at.variant}"]
    return emit(body, header=HEADER)


def _patch(patch: Patch) -> str:
    """One item of `patches`, as `emit` would write it all; two kinds may have the same operations."""
    return _target(patch.group, patch.kind, patch.name) + _operations(patch.values)


@lru_cache(maxsize=4096)
def _target(group: str, kind: str, name: str | None) -> str:
    which = {"name": name} if name else {"labelSelector": "app.kubernetes.io/managed-by=canaryfleet"}
    # A string for kustomize, which refuses flow style there: it must not begin with `[`.
    return emit([{"target": {"group": group, "kind": kind} | which}]) + "  patch: |\n"


@lru_cache(maxsize=16)
def _operations(values: tuple[tuple[str, Any], ...]) -> str:
    # Add replaces what is there: the same patch serves, whether the release has a value or not.
    return "".join(
        [f"    - op: add\n      path: {path}\n      value:{_value(value)}" for path, value in values]
    )


def _value(value: Any) -> str:
    if isinstance(value, tuple) and value:
        return "\n" + "".join([f"      - {emit(item)}" for item in value])
    return f" {emit(value)}"


def read_live(data: bytes, file: str, shape: LiveShape) -> Live:
    """The live settings in an overlay's bytes.

    Raises KeyError, IndexError, TypeError or Problems where it was not written by `text`.
    """
    found: Sequence[Mapping[str, Any]] = load(data, file).get("patches", [])
    parsed = [{"target": item["target"], "patch": load(item["patch"].encode(), file)} for item in found]
    return live_settings.read(parsed, shape)
