"""What stands in `argocd/`: from the releases in the tree and those that are about to be."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from posixpath import join

from canaryfleet import argocd, repo
from canaryfleet.argocd import FOLDER, HEADER, Delivered, Place, place
from canaryfleet.errors import Finding
from canaryfleet.errors import Place as At
from canaryfleet.files import Changes, Tree
from canaryfleet.freeze import Frozen
from canaryfleet.generated import load_stream
from canaryfleet.repo import OVERLAYS, Repository

CODE = "CF173"
OBJECTS = ("rollout.yaml", "analysis.yaml", "routing.yaml", "others.yaml", "bake.yaml", "config.yaml")


def changes(
    tree: Tree, repository: Repository, frozen: Mapping[str, Frozen], gone: Collection[str] = ()
) -> Changes:
    """What to write and to delete. `frozen`: the candidates; `gone`: files that are about to be deleted.

    The same whether the candidates are in the tree already. Nothing, if fleet.yaml says nothing of Argo CD.
    """
    if repository.fleet.argocd is None:
        return Changes({})
    apps = {app: found for app in repo.apps(tree) if (found := _delivered(tree, app, frozen.get(app), gone))}
    wanted = argocd.files(repository.fleet, repository.clusters, apps)
    ours = [path for path in tree.walk(FOLDER) if tree.read(path).startswith(f"# {HEADER}\n".encode())]
    return Changes(wanted, frozenset(ours) - wanted.keys())


def check(tree: Tree, repository: Repository, frozen: Mapping[str, Frozen]) -> Iterator[Finding]:
    """What of it is not in the tree as it would be written."""
    wanted = changes(tree, repository, frozen)
    for path, data in wanted.writes.items():
        if not tree.exists(path) or tree.read(path) != data:
            yield Finding(At(path), CODE, "it is not what canaryfleet writes", "run `canaryfleet render`")
    for path in sorted(wanted.deletes):
        yield Finding(At(path), CODE, "its app is gone", "run `canaryfleet render`")


def _delivered(tree: Tree, app: str, frozen: Frozen | None, gone: Collection[str]) -> Delivered | None:
    """What an app's releases are made of; None if it has none. Clusters may have any of them."""
    namespace, places = "", set[Place]()
    for id in repo.release_names(tree, app):
        home = join(OVERLAYS, app, "releases", id)
        if tree.exists(join(home, "release.yaml")) and join(home, "release.yaml") not in gone:
            namespace = repo.release(tree, app, id).metadata.namespace
            places.update(_places((path, tree.read(path)) for path in tree.walk(home)))
    paths = [path for path in tree.walk(join(OVERLAYS, app, "config")) if path not in gone]
    places.update(_places((path, tree.read(path)) for path in paths))
    if frozen is not None:
        namespace = frozen.release.metadata.namespace
        places.update(_places(frozen.files.items()))
    return Delivered(namespace, frozenset(places)) if places else None


def _places(files: Iterable[tuple[str, bytes]]) -> Iterator[Place]:
    for path, data in files:
        if path.rpartition("/")[2] in OBJECTS:
            yield from (place(item) for item in load_stream(data, path))
