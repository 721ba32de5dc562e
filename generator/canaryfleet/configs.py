"""Frozen configuration, a folder each, named by its content: so its name proves what pods are given."""

from collections.abc import Iterator
from posixpath import join
from typing import Any

from canaryfleet.digest import short
from canaryfleet.errors import Finding, Place
from canaryfleet.files import Tree
from canaryfleet.freeze import config_name
from canaryfleet.generated import load
from canaryfleet.repo import OVERLAYS
from canaryfleet.workload.config import config_content

REWRITTEN = "CF169"
RESTORE = "restore it from Git: what releases mount never changes"
_KUSTOMIZATION = frozenset({"apiVersion", "kind", "resources"})


def wrong(tree: Tree, app: str, folder: str) -> Iterator[Finding]:
    """What in a folder below `config/` is not what its name says (CF169), or is no configuration (CF163).

    Raises `Problems` for a file that is missing or can't be read.
    """
    home = join(OVERLAYS, app, "config", folder)
    path = join(home, "kustomization.yaml")
    body = load(tree.read(path), path)
    if not isinstance(body, dict) or set(body) != _KUSTOMIZATION or body["resources"] != ["config.yaml"]:
        yield Finding(Place(path), REWRITTEN, "it is not what canaryfleet writes", RESTORE)
    path = join(home, "config.yaml")
    try:
        named = _is_named(load(tree.read(path), path), folder)
    except (KeyError, TypeError):
        yield Finding(Place(path), "CF163", "this is no ConfigMap or Secret", RESTORE)
        return
    if not named:
        yield Finding(Place(path), REWRITTEN, "its content is not the one that its name says", RESTORE)


def _is_named(item: Any, folder: str) -> bool:
    """Raises KeyError or TypeError for what has no name or no kind."""
    content = config_content(item)
    named = folder.removesuffix(".secret").endswith(short(content)) and config_name(item) == folder
    return named and set(item) - {"immutable"} == {"apiVersion", "kind", "metadata", *content}
