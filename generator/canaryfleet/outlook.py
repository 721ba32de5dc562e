"""A repository's plans: what each spec resolves to, how it would go from wave to wave, and what goes outside of that.

The release is read from the tree where it is rendered: its digest, of the inputs, says so without making it. A spec
that is not rendered is frozen in memory. A kustomize base is built only where somebody asks (`build`), or where
nothing in the tree can be what the spec says.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from canaryfleet import git, overlay, pointing, repo, takes
from canaryfleet.engines.argo_rollouts.course import Course, course, needed
from canaryfleet.errors import ERROR, Finding, Place, Problems, problem
from canaryfleet.files import Tree
from canaryfleet.generated import load_stream
from canaryfleet.inputs import Inputs, release_digest
from canaryfleet.live import Live, Settings, fit
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.plan import AppPlan, LiveChange, Moment, Plan, PointerChange
from canaryfleet.models.release import Release
from canaryfleet.plan import Given, is_first, way
from canaryfleet.pointing import State
from canaryfleet.quantity import seconds
from canaryfleet.repo import App, Committed, Spec
from canaryfleet.stale import present_live, stale
from canaryfleet.workload import build as build_workload
from canaryfleet.workload.objects import Bounds

LARGEST = 1 << 20  # bytes of an overlay
NAMES = {
    "minimum": "minReplicas",
    "maximum": "maxReplicas",
    "preview": "previewHosts",
    "address": "prometheus",
}
NOT_BUILT = "its kustomize base was not built: whether it is rendered, and its own replicas, were not compared (--build does)"


class Ground(NamedTuple):
    """What all apps of a tree share. `main`: the default branch's overlays and releases by path; None: there is none.

    `build`: kustomize bases too; `measured`: also what is measured, and how often.
    """

    tree: Tree
    fleet: Fleet
    clusters: Mapping[str, Cluster]
    main: Mapping[str, str] | None
    now: datetime
    build: bool
    measured: bool = False


class Resolved(NamedTuple):
    """What a spec resolves to; `rendered`: whether the tree has it, None if that was not looked at."""

    release: Release
    course: Course
    rendered: bool | None


class Outlook(NamedTuple):
    """The plans, and what is wrong with what could not be read."""

    plan: Plan
    findings: list[Finding]


def outlook(tree: Tree, apps: Iterable[str], now: datetime, *, build: bool = False) -> Outlook:
    """Plan the apps of a tree (default: all), from `now` on. One that can't be read does not hide the others.

    Raises Problems: CF015 there is no such app, and those of fleet.yaml.
    """
    findings: list[Finding] = []
    names = repo.apps_with_specs(tree, apps)
    fleet = repo.fleet(tree)
    clusters = repo.read_clusters(tree, findings)
    ground = Ground(tree, fleet, clusters, _on_main(tree, fleet, names), now, build)
    found = []
    for name in names:
        try:
            found.append(_app(ground, name))
        except Problems as problems:
            findings.extend(problems.findings)
    return Outlook(Plan(apiVersion=API_VERSION, kind="Plan", at=now, apps=tuple(found)), findings)


def _on_main(tree: Tree, fleet: Fleet, apps: Iterable[str]) -> dict[str, str] | None:
    """Blob id by path of the apps' overlays and releases on the default branch."""
    parts = (f"{repo.OVERLAYS}/{app}/{part}" for app in apps for part in ("clusters", "releases"))
    return git.branch_files(tree.root, fleet.defaultBranch, *parts)


def _app(ground: Ground, name: str) -> AppPlan:
    spec = (repo.spec if ground.build else repo.unbuilt)(ground.tree, name)
    found = resolved(ground, spec)
    release, model = found.release, spec.model
    app = repo.load_app(ground.tree, name, {release.id: release} if found.rendered is not False else {})
    state = state_of(ground, spec, release, app)
    made = way(Given(release, state, found.course, ground.clusters, seconds(model.workload.startup or "0")))
    to_go = [name for wave in made.waves for name in wave.toGo]
    on_main = _changed(ground, app)
    return AppPlan(
        app=name,
        namespace=release.metadata.namespace,
        running=_running(app),
        release=release.id,
        strategy=release.strategy,
        urgency=release.urgency,
        rendered=found.rendered,
        waves=made.waves,
        least=made.least,
        ends=made.ends,
        manual=() if is_first(to_go, app.pointers) else found.course.manual,
        outside=tuple(_grouped([*_merging(app, on_main), *_following(ground, app, spec, release.id)])),
        moves=tuple(_moves(app, on_main)),
        notes=(NOT_BUILT,) if found.rendered is None else (),
    )


def state_of(ground: Ground, spec: Spec, release: Release, app: App) -> State:
    """What the rules of pointing look at, without evidence."""
    return State(
        release=release,
        releases={**app.releases, release.id: release},
        pointers=app.pointers,
        promotion=repo.promotion(ground.tree, app.name),
        fleet=ground.fleet,
        windows={item.name: item for item in spec.model.waves_of(release.urgency)},
        verified=(),
        now=ground.now,
        retiring={name for name, item in ground.clusters.items() if item.lifecycle == "retiring"},
    )


def _running(app: App) -> dict[str, int]:
    found: dict[str, int] = {}
    for pointer in app.pointers.values():
        found[pointer.release] = found.get(pointer.release, 0) + 1
    return dict(sorted(found.items()))


# What the spec resolves to


def resolved(ground: Ground, spec: Spec) -> Resolved:
    """The release of a spec: of the tree, or frozen in memory. Raises Problems with what is wrong with the spec."""
    id = repo.candidate(ground.tree, spec.app)
    home = f"{repo.OVERLAYS}/{spec.app}/releases/{id}"
    there = id and ground.tree.exists(f"{home}/release.yaml")
    release = repo.release(ground.tree, spec.app, id) if id and there else None
    unbuilt = spec.model.workload.base is not None and spec.base is None
    if release is not None:
        same = release.version == spec.model.version
        if same and not unbuilt:
            same = release_digest(_inputs(ground, spec)) == release.digest
        if same:
            read = lambda path: ground.tree.read(f"{home}/{path}")  # noqa: E731
            return Resolved(release, _course(ground, release, read), None if unbuilt else True)
    return _frozen(ground, repo.spec(ground.tree, spec.app) if unbuilt else spec)


def _frozen(ground: Ground, spec: Spec) -> Resolved:
    """What `canaryfleet render` would make. Raises Problems with what is wrong with the spec."""
    from canaryfleet.freeze import freeze
    from canaryfleet.lint import located

    outcome = freeze(_inputs(ground, spec))
    if outcome.frozen is None:
        found = [located(spec, issue) for issue in outcome.issues]
        raise Problems([item for item in found if item.severity == ERROR])
    frozen = outcome.frozen
    home = f"releases/{frozen.release.id}"
    return Resolved(
        frozen.release, _course(ground, frozen.release, lambda path: frozen.files[f"{home}/{path}"]), False
    )


def _inputs(ground: Ground, spec: Spec) -> Inputs:
    return Inputs(spec.model, spec.document.data, spec.base, spec.files, ground.fleet, ground.clusters, {})


def _course(ground: Ground, release: Release, read: Callable[[str], bytes]) -> Course:
    files = {path: load_stream(read(path), path) for path in needed(release, measured=ground.measured)}
    try:
        if release.wave_by_cluster.keys() - release.clusters.keys():
            raise ValueError("a wave has clusters that the release does not know")
        return course(release, files)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        home = f"{repo.OVERLAYS}/{release.metadata.name}/releases/{release.id}"
        what = f"its steps or analyses are not what canaryfleet writes: {error!r}"
        raise problem(Place(home), "CF163", what, "restore it from Git: a release never changes") from None


# What goes outside of the canary


class _Change(NamedTuple):
    """One setting of one cluster."""

    cluster: str
    setting: str
    before: str
    after: str
    when: Moment


def _changed(ground: Ground, app: App) -> dict[str, Committed]:
    """Overlays of the default branch that are otherwise in this tree, or not at all, by cluster."""
    if ground.main is None:
        return {}
    here = {item.path: item.data for item in app.overlays.values()}
    head = f"{repo.OVERLAYS}/{app.name}/clusters/"
    old = {path: blob for path, blob in ground.main.items() if path.startswith(head)}
    other = [
        path for path, blob in old.items() if path not in here or git.blob_id(here[path], len(blob)) != blob
    ]
    read = git.blobs(ground.tree.root, {old[path] for path in other}, LARGEST) if other else {}
    return {path.split("/")[3]: Committed(path, read[old[path]]) for path in other if old[path] in read}


def _moves(app: App, on_main: Mapping[str, Committed]) -> Iterator[PointerChange]:
    """Pointers that are otherwise on the default branch. A cluster that is new here is in no release there."""
    moved: dict[tuple[str | None, str | None], list[str]] = {}
    for cluster, item in on_main.items():
        before, after = overlay.pointer(item.data), app.pointers.get(cluster)
        if before is not None and (after is None or after.release != before.release):
            moved.setdefault((before.release, after.release if after else None), []).append(cluster)
    for (old, new), names in moved.items():
        yield PointerChange(before=old, after=new, clusters=tuple(sorted(names)))


def _merging(app: App, on_main: Mapping[str, Committed]) -> Iterator[_Change]:
    """Live settings that are otherwise on the default branch, of clusters that keep their release."""
    for cluster, item in sorted(on_main.items()):
        before, pointer = overlay.pointer(item.data), app.pointers.get(cluster)
        if before is None or pointer is None or pointer.release != before.release:
            continue
        release = app.releases[pointer.release]
        old, new = present_live(item, release), present_live(app.overlays[cluster], release)
        if old is not None and new is not None:
            yield from _differences(cluster, old, new, "merge")


def _following(ground: Ground, app: App, spec: Spec, candidate: str) -> Iterator[_Change]:
    """Live settings that `canaryfleet render` has not written yet. Raises Problems for an overlay edited by hand."""
    gone = repo.never_had(ground.tree, app, candidate, ground.main)
    had = set(repo.release_names(ground.tree, app.name)) - ({candidate} - set(app.releases)) - gone
    calm = pointing.at_rest(app.pointers, app.releases, had)
    for part, bounds in _bounds(app, spec):
        settings = Settings(spec.model, bounds, ground.fleet)
        for cluster, found in stale(part, settings, ground.clusters):
            shape = app.releases[app.pointers[cluster].release].live
            wanted = fit(found.live, shape)
            yield from _differences(cluster, found.present, wanted, "render" if cluster in calm else "rest")


def _bounds(app: App, spec: Spec) -> Iterator[tuple[App, Bounds]]:
    """The app with the replicas that the workload says; of a base that is not built, those that each cluster has."""
    if spec.model.workload.base is None or spec.base is not None:
        workload = build_workload(spec.model, spec.base, spec.files).workload
        if workload is not None:
            yield app, workload.bounds
        return
    for cluster, item in app.overlays.items():
        has = takes.scale(item.data)
        yield app._replace(overlays={cluster: item}), Bounds(has.replicas, has.fewest, has.most)


def _differences(cluster: str, old: Live, new: Live, when: Moment) -> Iterator[_Change]:
    for field in Live._fields:
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            yield _Change(cluster, NAMES.get(field, field), _shown(before), _shown(after), when)


def _shown(value: int | str | tuple[str, ...] | None) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return "" if value is None else str(value)


def _grouped(changes: Iterable[_Change]) -> Iterator[LiveChange]:
    """Equal changes of many clusters as one."""
    found: dict[tuple[str, str, str, Moment], list[str]] = {}
    for item in changes:
        found.setdefault((item.setting, item.before, item.after, item.when), []).append(item.cluster)
    for (setting, before, after, when), names in found.items():
        yield LiveChange(setting=setting, before=before, after=after, clusters=tuple(names), when=when)
