"""`status`: what Git points at, what is seen of it, and what is true of it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from msgspec.structs import replace

from canaryfleet import board, past, repo
from canaryfleet.board import App, Seat
from canaryfleet.case import Expected
from canaryfleet.engines.argo_rollouts.observe import observe, reads
from canaryfleet.engines.argo_rollouts.reduce import reduced
from canaryfleet.errors import Finding, Place, Problems, problem
from canaryfleet.files import Tree
from canaryfleet.history import Facts
from canaryfleet.models.cluster import Access, Cluster
from canaryfleet.models.observation import Observation, Read, Sighting, Subject, Verdict
from canaryfleet.models.release import Release
from canaryfleet.models.status import ClusterStatus, Status
from canaryfleet.nearest import nearest
from canaryfleet.sources import Question, Source, Target
from canaryfleet.verdict import judge


class Plan(NamedTuple):
    """What Git says of the apps and clusters that are asked about, and what of it could not be read.

    `past`: what its history says, by app and cluster, for those who have asked for it. `left`: clusters that an
    app had and that are asked whether it is gone.
    """

    apps: Mapping[str, App]
    clusters: Mapping[str, Cluster]
    findings: Sequence[Finding]
    past: Mapping[str, Mapping[str, Facts]] = MappingProxyType({})
    left: Mapping[str, Collection[str]] = MappingProxyType({})


def plan(tree: Tree, apps: Iterable[str] = ()) -> Plan:
    """Read pointers, releases and clusters; one app that can't be read doesn't hide the others.

    Raises Problems (CF015) for an app that is not there.
    """
    findings: list[Finding] = []
    clusters = repo.read_clusters(tree, findings)
    known = [name for name in tree.list(repo.OVERLAYS) if not name.startswith(".")]
    wanted = list(apps) or known
    found: dict[str, App] = {}
    for name in wanted:
        if name not in known:
            raise problem(Place(repo.OVERLAYS), "CF015", f"there is no app {name}", nearest(name, known))
        try:
            found[name] = _app(tree, name)
        except Problems as problems:
            findings.extend(problems.findings)
    return Plan(found, clusters, findings)


def _app(tree: Tree, name: str) -> App:
    loaded = repo.load_app(tree, name)
    id = repo.candidate(tree, name)
    candidate = (loaded.releases.get(id) or repo.release(tree, name, id)) if id else None
    some = candidate or next(iter(loaded.releases.values()), None)
    namespace = some.metadata.namespace if some else ""
    return App(name, namespace, candidate, loaded.releases, loaded.pointers)


def remember(tree: Tree, found: Plan) -> Plan:
    """The same, with what the history of the default branch says. Only verdicts need it."""
    known = past.read(tree, found.apps, datetime.now(UTC))
    return found._replace(past=known.facts, findings=[*found.findings, *known.findings])


def targets(found: Plan) -> list[Target]:
    """Every cluster of the fleet to which an app points, and what to ask it."""
    questions: dict[str, list[Question]] = {}
    for app in found.apps.values():
        for name, pointer in app.pointers.items():
            subject = _subject(app, app.releases[pointer.release])
            questions.setdefault(name, []).append(Question(app.name, subject.namespace, reads(subject)))
        for name, subject in _leaving(found, app):
            questions.setdefault(name, []).append(Question(app.name, subject.namespace, reads(subject)))
    return [
        Target(found.clusters[name], asked) for name, asked in questions.items() if name in found.clusters
    ]


def questions(found: Plan) -> Iterator[Read]:
    """All that is ever asked about the apps, on whatever cluster: also of one that no cluster has yet."""
    for app in found.apps.values():
        for release in (*app.releases.values(), *([app.candidate] if app.candidate else [])):
            yield from reads(_subject(app, release))


def _subject(app: App, release: Release) -> Subject:
    return Subject(
        app=app.name, namespace=release.metadata.namespace, release=release.id, selector=release.selector
    )


def look(source: Source, wanted: Iterable[Target], timeout: float) -> Iterator[Sighting]:
    """What a source sees, as it comes, without what is not judged: it is small, and no secret is in it.

    So a recording is what the verdicts were made of.
    """
    for sighting in source.look(wanted, timeout=timeout):
        yield replace(sighting, apps=tuple(map(reduced, sighting.apps)))


class Seen(NamedTuple):
    """One app on one cluster that was looked at. `expected` and `verdict`: of one that it is pointed at."""

    seat: Seat
    observation: Observation
    expected: Expected | None = None
    verdict: Verdict | None = None


def seen(found: Plan, sighting: Sighting) -> Iterator[Seen]:
    """What is true of each app on a cluster that was looked at, as of the time when it was."""
    for app in found.apps.values():
        seat, pointer = Seat(app.name, sighting.cluster), app.pointers.get(sighting.cluster)
        if pointer is not None:
            wanted = expected(found, app, sighting.cluster)
            observation = observe(sighting, _subject(app, wanted.release))
            yield Seen(seat, observation, wanted, judge(observation, wanted, now=sighting.ended))
        for name, subject in _leaving(found, app):
            if name == sighting.cluster:
                yield Seen(seat, observe(sighting, subject))


def _leaving(found: Plan, app: App) -> Iterator[tuple[str, Subject]]:
    """Clusters from which an app is going, and how it is recognised there; names and selectors never change."""
    some = app.candidate or next(iter(app.releases.values()), None)
    if some is not None:
        subject = _subject(app, some)
        yield from ((name, subject) for name in found.left.get(app.name, ()) if name not in app.pointers)


def rows(found: Plan, sighting: Sighting) -> Iterator[tuple[Seat, ClusterStatus]]:
    """The same as a status shows it, of what Git points at."""
    for item in seen(found, sighting):
        if item.verdict is not None:
            pointer = found.apps[item.seat.app].pointers[sighting.cluster]
            yield item.seat, board.seen(pointer, sighting, item.observation, item.verdict)


def expected(found: Plan, app: App, name: str) -> Expected:
    """What Git says of an app on a cluster. The history is not about a pointer that is not merged yet."""
    pointer, cluster = app.pointers[name], found.clusters.get(name)
    release = app.releases[pointer.release]
    facts = found.past.get(app.name, {}).get(name, Facts())
    if facts.release != pointer.release:
        facts = Facts()
    member = release.clusters.get(name)
    return Expected(
        cluster=name,
        release=release,
        fallback=pointer.fallback,
        uid=cluster.uid if cluster else None,
        promoted=facts.promoted,
        reverted=facts.reverted,
        proof=facts.proofs.get(member.pod) if member else None,
    )


def strangers(found: Plan) -> Iterator[Sighting]:
    """Clusters that have an overlay and no file: not seen, and nobody knows how to."""
    names = {name for app in found.apps.values() for name in app.pointers}
    for name in sorted(names - found.clusters.keys()):
        now = datetime.now(UTC)
        yield Sighting(cluster=name, source="kubernetes", began=now, ended=now, problem=board.stranger(name))


def read(
    found: Plan, source: Source, timeout: float, keep: Callable[[Sighting], None] = lambda _: None
) -> Status:
    """Look at every cluster once. `timeout`: seconds for each by itself; `keep` gets what was seen of it."""
    known: dict[Seat, ClusterStatus] = {}
    for sighting in _all(found, source, timeout):
        known.update(rows(found, sighting))
        keep(sighting)
    return _status(found, known)


def follow(found: Plan, source: Source, timeout: float) -> Iterator[tuple[Status, bool]]:
    """The status after each cluster that was looked at; with True once all were."""
    known: dict[Seat, ClusterStatus] = {}
    for sighting in _all(found, source, timeout):
        known.update(rows(found, sighting))
        yield _status(found, known), False
    yield _status(found, known), True


def _all(found: Plan, source: Source, timeout: float) -> Iterator[Sighting]:
    yield from strangers(found)
    yield from look(source, targets(found), timeout)


def _status(found: Plan, known: Mapping[Seat, ClusterStatus]) -> Status:
    return board.status(found.apps.values(), known, datetime.now(UTC))


def own(found: Plan, name: str, context: str | None, source: Source, timeout: float) -> Sighting:
    """What the cluster that this runs in says of itself; `context`: read it by the kubeconfig instead.

    Raises Problems (CF104, CF029) if the repository does not know it as one that pushes.
    """
    cluster = found.clusters.get(name)
    if cluster is None:
        raise problem(
            Place(repo.CLUSTERS), "CF104", f"there is no cluster {name}", nearest(name, found.clusters)
        )
    if not cluster.access or not cluster.access.pushed:
        raise problem(
            Place(f"{repo.CLUSTERS}/{name}.yaml"),
            "CF029",
            "nobody would believe what it pushes: it has no `access: {pushed: {keys: [...]}}`",
            "write the public SSH key into it that belongs to --key",
        )
    access = Access(context=context) if context else Access(inCluster=True)
    questions = [target.questions for target in targets(found) if target.cluster is cluster]
    target = Target(replace(cluster, access=access), questions[0] if questions else ())
    (sighting,) = look(source, [target], timeout)
    return sighting
