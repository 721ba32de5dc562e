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
    names = git.tree_files(root, tree, f"{repo.OVERLAYS}/{app}")
    parts = [(path.split("/")[2:], blob) for path, blob in names.items()]
    overlays = {
        words[1]: blob
        for words, blob in parts
        if len(words) == 3 and (words[0], words[2]) == ("clusters", "kustomization.yaml")
    }
    releases = frozenset(
        words[1]
        for words, _ in parts
        if len(words) == 3 and (words[0], words[2]) == ("releases", "release.yaml")
    )
    content = git.blobs(root, set(overlays.values()), LARGEST)
    return After({name: pointer(content.get(blob, b"")) for name, blob in overlays.items()}, releases)
