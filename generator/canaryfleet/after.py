"""An app in a tree of Git, as in the one that a merge would produce: where it points, and which releases are there."""

from collections.abc import Mapping
from typing import NamedTuple

from canaryfleet import git, repo
from canaryfleet.overlay import Pointer, pointer

LARGEST = 1 << 20


class After(NamedTuple):
    """The pointers by cluster (None: an overlay that points nowhere), and the releases that have a release.yaml."""

    pointers: Mapping[str, Pointer | None]
    releases: frozenset[str]


def read(root: str, tree: str, app: str) -> After:
    """What a tree or commit of a clone has of an app. Raises `Problems` CF025."""
    return every(root, tree, f"{repo.OVERLAYS}/{app}").get(app, After({}, frozenset()))


def every(root: str, tree: str, under: str = repo.OVERLAYS) -> dict[str, After]:
    """What it has of each app below a folder, by name, with as many calls of git as for one. Raises `Problems` CF025."""
    overlays: dict[str, dict[str, str]] = {}
    releases: dict[str, set[str]] = {}
    for path, blob in git.tree_files(root, tree, under).items():
        match path.split("/"):
            case [_, app, "clusters", cluster, "kustomization.yaml"]:
                overlays.setdefault(app, {})[cluster] = blob
            case [_, app, "releases", release, "release.yaml"]:
                releases.setdefault(app, set()).add(release)
    content = git.blobs(root, {blob for blobs in overlays.values() for blob in blobs.values()}, LARGEST)
    return {
        app: After(
            {name: pointer(content.get(blob, b"")) for name, blob in overlays.get(app, {}).items()},
            frozenset(releases.get(app, ())),
        )
        for app in overlays.keys() | releases.keys()
    }
