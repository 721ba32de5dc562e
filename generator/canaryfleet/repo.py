"""A GitOps repository as models: everything that people wrote, read and checked in one go."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from posixpath import join
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from canaryfleet import __version__, overlay
from canaryfleet.decode import decode
from canaryfleet.errors import Finding, Place, Problems, one_line, problem
from canaryfleet.files import Tree, resolve
from canaryfleet.generated import load
from canaryfleet.manifests import overlay_folder
from canaryfleet.models.canary import Canary
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.promotion import Promotion
from canaryfleet.models.release import Candidate, Release
from canaryfleet.nearest import nearest, typo
from canaryfleet.overlay import Pointer
from canaryfleet.syntax import Document, Unclear, parse, parse_stream

M = TypeVar("M")
FLEET, CLUSTERS, SPECS, OVERLAYS = "fleet.yaml", "clusters", "specs", "overlays"
SPEC = "canary.yaml"
DONE = "done.yaml"  # of an app: what the last wave's record is a commit of


class Spec(NamedTuple):
    """One app's spec with its document, and everything that it names."""

    app: str
    model: Canary
    document: Document
    base: Sequence[dict[str, Any]] | None
    files: Mapping[str, bytes]


class Repository(NamedTuple):
    """What people wrote."""

    fleet: Fleet
    clusters: dict[str, Cluster]
    specs: dict[str, Spec]
    tools: dict[str, str]


class Reading(NamedTuple):
    """A repository as far as it could be read, and everything that is wrong with it."""

    repository: Repository
    findings: list[Finding]


def read(tree: Tree, apps: Iterable[str] = ()) -> Reading:
    """Read fleet, clusters and the specs of `apps` (default: all), with every finding of every file.

    Raises Problems, with all of them, if there is no fleet.yaml that can be read: nothing has a meaning then.
    """
    findings: list[Finding] = []
    settings = _collect(findings, lambda: fleet(tree))
    clusters = read_clusters(tree, findings)
    findings += _twice(clusters)
    specs: dict[str, Spec] = {}
    tools: dict[str, str] = {}
    for app in apps_with_specs(tree, apps):
        spec = _collect(findings, lambda app=app: _spec(tree, app, tools))  # type: ignore[misc]
        if spec is not None:
            specs[app] = spec
        known = _collect(findings, lambda app=app: promotion(tree, app))  # type: ignore[misc]
        releases = _releases(tree, app, []) if known else {}  # what is wrong with them is said elsewhere
        model = specs[app].model if app in specs else None
        findings += dangling_names(tree, app, known, releases, model, datetime.now(UTC))
    if settings is None:
        raise Problems(findings)
    return Reading(Repository(settings, clusters, specs, tools), findings)


def _collect(findings: list[Finding], make: Callable[[], M]) -> M | None:
    try:
        return make()
    except Problems as problems:
        findings.extend(problems.findings)
        return None


def _model(tree: Tree, path: str, model: type[M]) -> tuple[M, Document]:
    try:
        document = parse(tree.read(path), path)
    except Unclear as unclear:
        more: list[Finding] = []
        partial = unclear.partial
        _collect(more, lambda: decode(partial, model))
        raise Problems([*unclear.findings, *more]) from None
    return decode(document, model), document


def _visible(names: Iterable[str]) -> list[str]:
    """Without `.gitkeep` and what editors leave behind."""
    return [name for name in names if not name.startswith(".")]


def apps(tree: Tree) -> list[str]:
    """Names of the apps that have a spec or overlays."""
    return sorted({*_visible(tree.list(SPECS)), *_visible(tree.list(OVERLAYS))})


def cluster_names(tree: Tree) -> list[str]:
    """Names of the fleet's clusters, by their files."""
    found = _visible(tree.list(CLUSTERS))
    return [name.removesuffix(".yaml") for name in found if name.endswith(".yaml")]


def apps_with_specs(tree: Tree, apps: Iterable[str] = ()) -> list[str]:
    """These apps, or all that have a folder for a spec. Raises `Problems` CF015 for one that has none."""
    known = _visible(tree.list(SPECS))
    asked = list(apps)
    for app in asked:
        if app not in known:
            raise problem(Place(SPECS), "CF015", f"there is no app {app}", nearest(app, known))
    return asked or known


def read_clusters(tree: Tree, findings: list[Finding]) -> dict[str, Cluster]:
    """The fleet by name, as far as it can be read; what is wrong is added to `findings`."""
    clusters: dict[str, Cluster] = {}
    for name in _visible(tree.list(CLUSTERS)):
        path = join(CLUSTERS, name)
        if not name.endswith(".yaml"):
            findings.append(
                Finding(
                    Place(path),
                    "CF016",
                    "not a cluster's file",
                    "name it <cluster>.yaml, or move it elsewhere",
                )
            )
            continue
        found = _collect(findings, lambda path=path: _model(tree, path, Cluster))  # type: ignore[misc]
        if found is None:
            continue
        cluster, document = found
        if cluster.metadata.name != name.removesuffix(".yaml"):
            place = document.place(("metadata", "name"))
            findings.append(
                Finding(
                    place,
                    "CF017",
                    f"the file is named {name}, the cluster {cluster.metadata.name}",
                    "give both the same name",
                )
            )
            continue  # it would else stand for the cluster that it names
        clusters[cluster.metadata.name] = cluster
    return clusters


def _twice(clusters: Mapping[str, Cluster]) -> Iterator[Finding]:
    """Clusters that are one: their overlays would be applied by turns to the same place."""
    seen: dict[tuple[str, str], str] = {}
    for name, cluster in sorted(clusters.items()):
        for what, value in (("`uid`", cluster.uid), ("name in Argo CD", cluster.known_as)):
            other = seen.setdefault((what, value), name) if value else name
            if other != name:
                text = f"{name} and {other} have the same {what}, {value}"
                yield Finding(Place(f"{CLUSTERS}/{name}.yaml"), "CF148", text, "give each cluster its own")


def _spec(tree: Tree, app: str, tools: dict[str, str], *, built: bool = True) -> Spec:
    path = join(SPECS, app, SPEC)
    if not tree.exists(path):
        raise problem(
            Place(join(SPECS, app)),
            "CF018",
            "an app without a spec",
            _where_the_spec_is(tree.list(join(SPECS, app))),
        )
    model, document = _model(tree, path, Canary)
    findings: list[Finding] = []
    if model.metadata.name != app:
        place = document.place(("metadata", "name"))
        findings.append(
            Finding(
                place,
                "CF017",
                f"the folder is named {app}, the app {model.metadata.name}",
                "give both the same name",
            )
        )
    files = _named_files(tree, app, model, document, findings)
    base = (
        _collect(findings, lambda: _base(tree, app, model, document, tools))
        if model.workload.base and built
        else None
    )
    if findings:
        raise Problems(findings)
    return Spec(app, model, document, base, files)


def _where_the_spec_is(names: Sequence[str]) -> str:
    meant = [name for name in names if typo(name.lower(), (SPEC,)) or name.lower() == SPEC]
    if meant:
        return f"{meant[0]} is read by nobody: name it {SPEC}"
    return f"write {SPEC}, or move the folder elsewhere"


def _named_files(
    tree: Tree, app: str, model: Canary, document: Document, findings: list[Finding]
) -> dict[str, bytes]:
    """Content of the prompt and config files, by the path as the spec writes it."""
    files: dict[str, bytes] = {}
    for kind in ("prompts", "config"):
        for index, path in enumerate(getattr(model.workload, kind)):
            place = document.place(("workload", kind, index))
            try:
                files[path] = tree.read(resolve(join(SPECS, app), path))
            except ValueError as error:
                findings.append(Finding(place, "CF011", str(error), "name a file beside the spec"))
            except Problems as problems:
                findings += [
                    item._replace(place=place, message=f"{path}: {item.message}")
                    for item in problems.findings
                ]
    return files


def _base(
    tree: Tree, app: str, model: Canary, document: Document, tools: dict[str, str]
) -> list[dict[str, Any]]:
    place = document.place(("workload", "base"))
    try:
        path = resolve(join(SPECS, app), model.workload.base or "")
    except ValueError as error:
        raise problem(place, "CF011", str(error), "name a folder beside the spec") from None
    if not tree.is_dir(path):
        raise problem(place, "CF010", f"there is no folder {path}", "make a kustomize base there")
    from canaryfleet import kustomize

    scan = kustomize.scan(tree, path)
    if scan.findings:
        raise Problems(scan.findings)
    tool = kustomize.find()
    tools["kustomize"] = tool.version
    objects = parse_stream(kustomize.build(tool, tree.root, path), path)
    for item in objects:
        metadata = item.get("metadata")
        named = isinstance(metadata, dict) and isinstance(metadata.get("name"), str)
        if not named or not isinstance(item.get("kind"), str) or not isinstance(item.get("apiVersion"), str):
            raise problem(
                place,
                "CF021",
                "the base builds something that is no Kubernetes object",
                "run `kustomize build` on it",
            )
        if _has_odd_number(item):
            what = f"{item['kind']} {item['metadata']['name']} has a number that is infinite, or none"
            raise problem(place, "CF126", what, "Kubernetes can't carry it: write a number, or quote it")
    return [_without_nulls(item) if item["kind"] in READ_KINDS else item for item in objects]


# Whose fields are read here. To the API server, their `field: null` is no field.
READ_KINDS = frozenset(
    [
        "Deployment",
        "DestinationRule",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "ScaledObject",
        "Service",
        "VerticalPodAutoscaler",
        "VirtualService",
    ]
)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _has_odd_number(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_odd_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_odd_number, value))
    return isinstance(value, float) and not isfinite(value)


def fleet(tree: Tree) -> Fleet:
    """The repository's own settings. Raises Problems."""
    return _model(tree, FLEET, Fleet)[0]


def promotion(tree: Tree, app: str) -> Promotion | None:
    """The app's promotion.yaml; None if there is none. One that can't be read raises: it holds everything."""
    path = promotion_path(app)
    return _model(tree, path, Promotion)[0] if tree.exists(path) else None


def dangling_names(
    tree: Tree,
    app: str,
    known: Promotion | None,
    releases: Mapping[str, Release],
    model: Canary | None,
    now: datetime,
) -> list[Finding]:
    """What the app's promotion.yaml names that is not there, and files that are meant to be it and are not.

    `releases`: those in the tree; `model`: the spec, if it can be read.
    """
    from canaryfleet import dangling

    folder = join(OVERLAYS, app)
    found = list(dangling.misnamed(folder, tree.list(folder)))
    if known is not None:
        path = join(folder, dangling.NAME)
        there = dangling.there(cluster_names(tree), releases, model)
        found += dangling.unknown(parse(tree.read(path), path), known, app, there, now)
    return found


def _releases(tree: Tree, app: str, findings: list[Finding]) -> dict[str, Release]:
    """The releases in the tree that can be read; what is wrong with the others is added to `findings`."""
    found: dict[str, Release] = {}
    for each in _visible(release_names(tree, app)):
        read = _collect(findings, lambda each=each: release(tree, app, each))  # type: ignore[misc]
        if read is not None:
            found[each] = read
    return found


def release(tree: Tree, app: str, name: str) -> Release:
    """A frozen release of the tree; Problems if it is missing or not of the form that was written."""
    from msgspec import ValidationError, convert

    path = join(OVERLAYS, app, "releases", name, "release.yaml")
    data = load(tree.read(path), path)
    try:
        found = convert(data, Release, strict=True)
    except ValidationError as error:
        raise problem(Place(path), "CF163", f"this is no release: {error}", _readable(data)) from None
    if found.id != name or found.metadata.name != app:
        said = f"it says that it is {found.metadata.name} {found.id}"
        raise problem(Place(path), "CF163", said, "restore it from Git")
    return found


def _readable(data: Any) -> str:
    """What to do about a release that can't be read: one of a newer canaryfleet is as it should be."""
    tools = data.get("tools") if isinstance(data, dict) else None
    made = tools.get("canaryfleet") if isinstance(tools, dict) else None
    if isinstance(made, str) and made != __version__:
        return f"canaryfleet {one_line(made)} made it, and this is {__version__}: use the newer of the two"
    return "restore it from Git: a release never changes"


def release_names(tree: Tree, app: str) -> list[str]:
    """Ids of the app's releases in the tree."""
    return tree.list(join(OVERLAYS, app, "releases"))


class Committed(NamedTuple):
    """One cluster's overlay as it stands in the tree."""

    path: str
    data: bytes


def overlay_path(app: str, cluster: str) -> str:
    """The one file of a cluster's overlay of an app."""
    return f"{overlay_folder(app, cluster)}/kustomization.yaml"


def overlays(tree: Tree, app: str) -> dict[str, Committed]:
    """The app's overlays by cluster."""
    found = tree.read_each(_overlays(app), "kustomization.yaml")
    return {cluster: Committed(overlay_path(app, cluster), data) for cluster, data in found.items()}


def each_overlay(tree: Tree, app: str) -> Iterator[Committed]:
    """The app's overlays, each read when it is asked for."""
    paths = (overlay_path(app, cluster) for cluster in tree.list(_overlays(app)))
    return (Committed(path, tree.read(path)) for path in paths)


def _overlays(app: str) -> str:
    return f"{OVERLAYS}/{app}/clusters"


def candidate_path(app: str) -> str:
    """Where the app's candidate is named."""
    return join(OVERLAYS, app, "candidate.yaml")


def promotion_path(app: str) -> str:
    """Where people's and the bot's bars, holds and excuses are."""
    return join(OVERLAYS, app, "promotion.yaml")


class App(NamedTuple):
    """What one app has in the tree."""

    name: str
    overlays: Mapping[str, Committed]
    pointers: Mapping[str, Pointer]
    releases: Mapping[str, Release]


def load_app(tree: Tree, name: str, read: Mapping[str, Release] = MappingProxyType({})) -> App:
    """The app's overlays, and every release that they name; those in `read` have been read already."""
    committed = overlays(tree, name)
    pointers: dict[str, Pointer] = {}
    for cluster, item in committed.items():
        found = overlay.pointer(item.data)
        if found is None:
            raise Problems([_pointless(item.path)])
        pointers[cluster] = found
    named = {id for pointer in pointers.values() for id in pointer if id}
    there = {id for id in named if tree.exists(join(OVERLAYS, name, "releases", id, "release.yaml"))}
    for cluster, pointer in pointers.items():
        for id in pointer:
            if id and id not in there:
                raise problem(
                    Place(committed[cluster].path),
                    "CF165",
                    f"it names the release {id}, which is not there",
                    "restore the release from Git: what a pointer or a fallback names is never pruned",
                )
    releases = {id: read.get(id) or release(tree, name, id) for id in sorted(named)}
    return App(name, committed, pointers, releases)


def survey(tree: Tree, name: str, findings: list[Finding]) -> App:
    """The app as far as it can be read, with every release in the tree; what is wrong is added to `findings`.

    Pointers may name releases that are not there.
    """
    committed = _overlays_there(tree, name, findings)
    named = {cluster: overlay.pointer(item.data) for cluster, item in committed.items()}
    findings += [_pointless(committed[cluster].path) for cluster, found in named.items() if found is None]
    pointers = {cluster: found for cluster, found in named.items() if found is not None}
    return App(name, committed, pointers, _releases(tree, name, findings))


def _overlays_there(tree: Tree, app: str, findings: list[Finding]) -> dict[str, Committed]:
    """The app's overlays that can be read: all at once, or each by itself if one of them can't."""
    try:
        return overlays(tree, app)
    except Problems:
        paths = {name: overlay_path(app, name) for name in _visible(tree.list(_overlays(app)))}
        read = {
            name: _collect(findings, lambda path=path: tree.read(path))  # type: ignore[misc]
            for name, path in paths.items()
        }
        return {name: Committed(paths[name], data) for name, data in read.items() if data is not None}


def _pointless(path: str) -> Finding:
    return Finding(Place(path), "CF164", "this overlay points at no release", "restore it from Git")


def spec(tree: Tree, app: str) -> Spec:
    """The app's spec with everything that it names. Raises Problems."""
    return _spec(tree, app, {})


def unbuilt(tree: Tree, app: str) -> Spec:
    """The same without its base, which kustomize would have to build. Raises Problems."""
    return _spec(tree, app, {}, built=False)


def policy_of(tree: Tree, app: str) -> Canary:
    """The app's spec by itself, without the files that it names. Raises Problems."""
    path = join(SPECS, app, SPEC)
    found, document = _model(tree, path, Canary)
    if found.metadata.name != app:
        said = f"the folder is named {app}, the app {found.metadata.name}"
        raise problem(document.place(("metadata", "name")), "CF017", said, "give both the same name")
    return found


def candidate(tree: Tree, app: str) -> str | None:
    """The id of the app's candidate; None if it was never rendered. Problems (CF163) if it can't be read."""
    path = candidate_path(app)
    return candidate_of(tree.read(path), path) if tree.exists(path) else None


def candidate_of(data: bytes, path: str) -> str:
    """The release that a candidate.yaml names. Raises `Problems` CF163."""
    from msgspec import ValidationError, convert

    try:
        return convert(load(data, path), Candidate, strict=True).release
    except ValidationError as error:
        raise problem(
            Place(path), "CF163", f"this names no release: {error}", "restore it from Git"
        ) from None


def never_had(tree: Tree, app: App, candidate: str, merged: Collection[str] | None) -> set[str]:
    """Releases that no cluster can have had: never on the default branch, no candidate, and nothing names them.

    `merged`: paths on the default branch; None without Git, where every release counts as one that was had.
    """
    if merged is None:
        return set()
    others = set(release_names(tree, app.name)) - {candidate, *app.releases}
    return {id for id in others if join(OVERLAYS, app.name, "releases", id, "release.yaml") not in merged}
