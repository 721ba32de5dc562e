"""Everything that a decision looks at: Git at one commit, what was seen of the clusters, and what the forge says.

    ground = survey(tree, commit, now)                    # Git
    evidence = look(ground, source, timeout)              # the clusters
    situations = read(ground, evidence, requests, forge.me, now)

What can't be read holds the app that it is of, and lets it go back all the same.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from canaryfleet import (
    configs,
    dangling,
    git,
    history,
    past,
    pointing,
    presence,
    repo,
    standing,
    status,
    takes,
    tampered,
)
from canaryfleet.board import App
from canaryfleet.commits import TRACKED
from canaryfleet.errors import ERROR, Finding, Place, Problems, problem
from canaryfleet.files import Tree
from canaryfleet.git import Logged
from canaryfleet.landing import BRANCHES, Landing
from canaryfleet.live import Live, Settings, kept
from canaryfleet.live import resolve as live_settings
from canaryfleet.manifests import Builder, Object, immutable
from canaryfleet.models import decision
from canaryfleet.models.canary import Canary
from canaryfleet.models.decision import (
    Amounts,
    Load,
    Merged,
    Move,
    Pointed,
    Policy,
    Request,
    Site,
    Situation,
)
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.forge import PullRequest
from canaryfleet.models.observation import Sighting, Verdict
from canaryfleet.models.promotion import Promotion
from canaryfleet.models.release import Release
from canaryfleet.overlay import Pointer
from canaryfleet.sources import Source
from canaryfleet.standing import Facts
from canaryfleet.status import Plan
from canaryfleet.takes import Scale
from canaryfleet.tampered import Given, Kept

M = TypeVar("M")
BRANCH = re.compile(rf"{BRANCHES}([^/]+)/([^/]+)")
SHALLOW = "CF182"
REWRITTEN = "CF169"
NOTHING = Given(MappingProxyType({}), MappingProxyType({}))


# Git


class Half(NamedTuple):
    """What the tree and the history say of one app."""

    app: repo.App
    spec: Canary | None
    candidate: str | None
    promotion: Promotion | None
    unreadable: str | None
    history: tuple[Merged, ...]


class Ground(NamedTuple):
    """What Git says at one commit: of each app, and what is to be looked at (`plan`)."""

    tree: Tree
    commit: str
    ref: str
    below: str
    fleet: Fleet
    halves: Mapping[str, Half]
    plan: Plan
    latest: datetime | None = None
    """When the bot last committed, by the clock that it had."""
    given: Given = NOTHING
    """Frozen files that are not what they were."""

    @property
    def findings(self) -> Sequence[Finding]:
        """Everything that can't be read."""
        return self.plan.findings


def survey(tree: Tree, commit: str, now: datetime) -> Ground:
    """Read all apps at a commit of the default branch, which the tree has checked out.

    Raises `Problems`: CF182 the history is not all there, CF025 Git fails, and those of fleet.yaml: without it
    nothing has a meaning.
    """
    fleet = repo.fleet(tree)
    below, ref = _whole(tree, fleet)
    findings: list[Finding] = []
    clusters = repo.read_clusters(tree, findings)
    names = sorted({*_folders(tree, repo.OVERLAYS, findings), *_folders(tree, repo.SPECS, findings)})
    with _all_there(tree.root):
        found = past.log(tree.root, commit, names, below=below, most=past.WHOLE)
        spine = tampered.first_parents(tree.root, commit, past.WHOLE.seconds)
        given = tampered.given(tree.root, commit, names, found, spine, below=below, most=past.WHOLE)
        turned = list(_turned(tree.root, commit, spine))
    halves = {}
    for name in names:
        wrong = [*turned, *(_rewritten(path, kept) for path, kept in given.rewritten.get(name, {}).items())]
        merged = tuple(history.merged(found.of(name), now))
        halves[name] = _half(tree, name, merged, wrong, findings, now)
    plan = Plan(
        apps={name: _planned(half) for name, half in halves.items()},
        clusters=clusters,
        findings=findings,
        past={name: history.facts(found.of(name), now) for name in names},
        left={name: _left(half) & clusters.keys() for name, half in halves.items()},
    )
    return Ground(tree, commit, ref, below, fleet, halves, plan, found.latest, given)


def _turned(root: str, commit: str, spine: Sequence[str]) -> Iterator[Finding]:
    merge = tampered.turned(root, commit, spine, past.WHOLE.seconds)
    if merge:
        what = f"the merge {merge[:12]} has the default branch as its second parent, so what the bot did before is beside it"
        remedy = f"merge {merge[:12]}^1 into {merge[:12]}^2 and push that; and never merge by fast-forward"
        yield Finding(Place(repo.OVERLAYS), SHALLOW, what, remedy)


def _rewritten(path: str, kept: Kept) -> Finding:
    what = "it was frozen when a cluster was given it, and the default branch has it otherwise now, or not at all"
    remedy = f"`git checkout {kept.commit[:12]} -- {path}`, or release another version"
    return Finding(Place(path), REWRITTEN, what, remedy)


def _whole(tree: Tree, fleet: Fleet) -> tuple[str, str]:
    """Where in the repository the tree is, and the ref of the default branch."""
    clone = git.clone(tree.root)
    if clone is None:
        what, remedy = "this is no clone of a repository, and its history is evidence", "clone it"
        raise problem(Place("."), SHALLOW, what, remedy)
    if clone.shallow:
        remedy = "`git fetch --unshallow`; in actions/checkout, `fetch-depth: 0`"
        raise problem(Place("."), SHALLOW, "the clone is shallow, and the history is evidence", remedy)
    ref = git.default_ref(tree.root, fleet.defaultBranch)
    if ref is None:
        what = f"the clone has no branch {fleet.defaultBranch}, and its history is evidence"
        raise problem(Place("."), SHALLOW, what, "fetch it, or correct `defaultBranch` in fleet.yaml")
    return clone.prefix, ref


@contextmanager
def _all_there(root: str) -> Iterator[None]:
    """Where git fails in a clone that lacks objects: what to do about that."""
    try:
        yield
    except Problems:
        if not git.is_partial(root):
            raise
        what = "the clone was made with --filter and lacks what the history has, which is evidence"
        raise problem(Place("."), SHALLOW, what, past.REFETCH) from None


def _folders(tree: Tree, path: str, findings: list[Finding]) -> list[str]:
    names = [name for name in tree.list(path) if not name.startswith(".")]
    return [name for name in names if _tried(lambda name=name: tree.is_dir(f"{path}/{name}"), findings)]  # type: ignore[misc]


def _tried(make: Callable[[], M], findings: list[Finding]) -> M | None:
    try:
        return make()
    except Problems as problems:
        findings.extend(problems.findings)
        return None


def _half(
    tree: Tree,
    name: str,
    merged: tuple[Merged, ...],
    wrong: Iterable[Finding],
    findings: list[Finding],
    now: datetime,
) -> Half:
    """One app. A release or a candidate that can't be read is as good as none; all else holds the app.

    `wrong`: what was done to its history.
    """
    holding = list(wrong)
    spec = _tried(lambda: repo.policy_of(tree, name), holding)
    promotion = _tried(lambda: repo.promotion(tree, name), holding)
    others: list[Finding] = []
    app = repo.survey(tree, name, others)
    candidate = _tried(lambda: repo.candidate(tree, name), others)
    for folder in sorted({folder for item in app.releases.values() for folder in item.config}):
        _tried(lambda folder=folder: holding.extend(configs.wrong(tree, name, folder)), holding)  # type: ignore[misc]
    # A bar or a hold about nothing must not be void: nobody would notice.
    names = lambda: repo.dangling_names(tree, name, promotion, app.releases, spec, now)  # noqa: E731
    holding += [item for item in _tried(names, holding) or () if item.severity == ERROR]
    releases = f"{repo.OVERLAYS}/{name}/clusters/"
    holding += [item for item in others if item.place.file.startswith(releases)]
    findings += [*holding, *(item for item in others if item not in holding)]
    said = "; ".join(_said(item) for item in holding)
    return Half(app, spec, candidate, promotion, said or None, merged)


def _said(item: Finding) -> str:
    told = (dangling.CODE, REWRITTEN, SHALLOW)  # where nobody would guess what to do
    meant = f" ({item.remedy})" if item.code in told and item.remedy else ""
    return f"{item.place}: {item.message}{meant}"


def _planned(half: Half) -> App:
    """The app as it is looked at: what points to nothing can't be judged."""
    app, releases = half.app, half.app.releases
    candidate = releases.get(half.candidate or "")
    some = candidate or next(iter(releases.values()), None)
    pointers = {name: pointer for name, pointer in app.pointers.items() if pointer.release in releases}
    return App(app.name, some.metadata.namespace if some else "", candidate, releases, pointers)


def _left(half: Half) -> set[str]:
    """Clusters that the app was taken away from."""
    last = {move.cluster: move for merged in half.history for move in merged.moves}
    return {name for name, move in last.items() if move.to is None and name not in half.app.pointers}


# The clusters


class Evidence(NamedTuple):
    """What was seen, by app and cluster."""

    verdicts: Mapping[str, Mapping[str, Verdict]]
    carried: Mapping[str, Mapping[str, datetime]]
    absent: Mapping[str, Collection[str]]
    read: Mapping[str, datetime]
    """When each cluster was read."""


def look(ground: Ground, source: Source, timeout: float) -> Evidence:
    """What a source sees of all clusters now. `timeout`: seconds for each by itself."""
    sightings = status.look(source, status.targets(ground.plan), timeout)
    return see(ground, chain(status.strangers(ground.plan), sightings))


def see(ground: Ground, sightings: Iterable[Sighting]) -> Evidence:
    """What sightings mean."""
    read: dict[str, datetime] = {}

    def seen() -> Iterator[status.Seen]:
        for sighting in sightings:
            read[sighting.cluster] = sighting.began
            yield from status.seen(ground.plan, sighting)

    return weigh(ground, seen())._replace(read=read)


def weigh(ground: Ground, found: Iterable[status.Seen]) -> Evidence:
    """What was seen, as evidence; of it nobody says when each cluster was read."""
    verdicts: dict[str, dict[str, Verdict]] = {name: {} for name in ground.halves}
    carried: dict[str, dict[str, datetime]] = {name: {} for name in ground.halves}
    absent: dict[str, set[str]] = {name: set() for name in ground.halves}
    moved = {name: _moved(half) for name, half in ground.halves.items()}
    for item in found:
        app, name = item.seat
        if item.verdict is not None:
            verdicts[app][name] = item.verdict
        since = _carried(item)
        if since is not None:
            carried[app][name] = since
        if presence.absent(item.observation, _uid(ground, name), moved[app].get(name)):
            absent[app].add(name)
    return Evidence(verdicts, carried, absent, {})


def _carried(item: status.Seen) -> datetime | None:
    expected, seen = item.expected, item.observation
    member = expected.release.clusters.get(expected.cluster) if expected else None
    if expected is None or member is None or expected.uid not in (None, seen.identity):
        return None
    return presence.carried(seen, expected.release.id, member.pod, expected.promoted)


def _uid(ground: Ground, cluster: str) -> str | None:
    known = ground.plan.clusters.get(cluster)
    return known.uid if known else None


def _moved(half: Half) -> dict[str, datetime]:
    """When each cluster's pointer was changed last."""
    return {move.cluster: merged.at for merged in half.history for move in merged.moves}


# The forge, and all of it together


def read(
    ground: Ground,
    evidence: Evidence,
    requests: Iterable[PullRequest],
    me: str,
    now: datetime,
    apps: Collection[str] | None = None,
) -> dict[str, Situation]:
    """The situation of each app, or of some. `me`: the bot's name on the forge. Raises `Problems` CF025."""
    alone = {name: _alone(ground, evidence, name, now) for name in ground.halves}
    loads = {name: dict(_loads(standing.gather(item))) for name, item in alone.items()}
    asked = _requests(ground, requests, me)
    return {
        name: replace(item, sites=dict(_sites(item.sites, name, loads)), requests=tuple(asked.get(name, ())))
        for name, item in alone.items()
        if apps is None or name in apps
    }


def _alone(ground: Ground, evidence: Evidence, name: str, now: datetime) -> Situation:
    """An app without its neighbours and without the forge."""
    half = ground.halves[name]
    sites = {
        cluster: Site(
            lifecycle=item.lifecycle,
            maxConcurrentCanaries=item.maxConcurrentCanaries,
            resources=takes.room(item.resources),
        )
        for cluster, item in ground.plan.clusters.items()
    }
    unreadable = [half.unreadable] if half.unreadable else []
    releases = {
        id: decision.release_facts(release, _takes(ground, half, release, sites, unreadable))
        for id, release in half.app.releases.items()
    }
    return Situation(
        app=name,
        now=now,
        policy=decision.policy(half.spec) if half.spec else Policy(),
        fleet=ground.fleet,
        sites=sites,
        candidate=half.candidate,
        releases=releases,
        pointers={c: Pointed(release=p.release, fallback=p.fallback) for c, p in half.app.pointers.items()},
        promotion=half.promotion,
        latest=ground.latest,
        unreadable="; ".join(unreadable) or None,
        verdicts=dict(evidence.verdicts.get(name, {})),
        carried=dict(evidence.carried.get(name, {})),
        absent=tuple(sorted(evidence.absent.get(name, ()))),
        history=half.history,
    )


# What pods ask for


def _takes(
    ground: Ground, half: Half, release: Release, sites: Mapping[str, Site], unreadable: list[str]
) -> dict[str, Amounts]:
    """What a release asks for, by cluster; where that can't be known, all that the cluster has."""
    resources = {name: site.resources for name, site in sites.items() if site.resources}
    if resources.keys().isdisjoint(release.clusters):
        return {}
    try:
        scales = _Scales(ground, half, release)
        return takes.takes(release, _builder(ground.tree, half.app.name, release), scales.of, resources)
    except (Problems, ValueError, KeyError, TypeError, AttributeError) as error:
        unreadable.append(f"what {release.id} asks for: {error}")
        return {name: dict(resources[name]) for name in release.clusters if name in resources}


def _builder(tree: Tree, app: str, release: Release) -> Callable[[str | None], Sequence[Object]]:
    """Builds a release with a variant, as an overlay would."""
    asked = f"{repo.OVERLAYS}/{app}/clusters/-"  # no cluster has that name
    at = f"../../releases/{release.id}"

    def build(variant: str | None) -> Sequence[Object]:
        text = f"resources:\n- {at}\n" + (f"components:\n- {at}/variants/{variant}\n" if variant else "")
        made[f"{asked}/kustomization.yaml"] = text.encode()
        return builder.build(asked)

    made: dict[str, bytes] = {}
    builder = Builder(lambda path: made[path] if path in made else tree.read(path), immutable)
    return build


class _Scales:
    """How many pods a release has on a cluster: what its overlay says, or the spec where that has no room for it."""

    def __init__(self, ground: Ground, half: Half, release: Release) -> None:
        self._ground, self._half, self._release = ground, half, release
        self._settings: Settings | None = None

    def of(self, cluster: str) -> Scale:
        """What is live there. Raises Problems or ValueError."""
        committed = self._half.app.overlays.get(cluster)
        live = takes.scale(committed.data) if committed else Scale()
        if (live.most if self._release.live.autoscaler else live.replicas) is not None:
            return live
        resolved = live_settings(self._spec(), self._ground.plan.clusters[cluster])
        resolved = kept(resolved, Live(live.replicas, live.fewest, live.most))
        return Scale(resolved.replicas, resolved.maximum)

    def _spec(self) -> Settings:
        if self._settings is None:
            from canaryfleet.workload import build

            spec = repo.spec(self._ground.tree, self._half.app.name)
            workload = build(spec.model, spec.base, spec.files).workload
            if workload is None:
                raise ValueError("the spec makes no workload")
            self._settings = Settings(spec.model, workload.bounds, self._ground.fleet)
        return self._settings


# Neighbours


def _loads(facts: Facts) -> Iterator[tuple[str, Load]]:
    """What an app has on each cluster, also where it is still leaving."""
    situation = facts.situation
    for name, pointer in facts.pointers.items():
        under_way = _is_under_way(facts, name)
        old = _before(facts, name) if under_way else {}
        yield (
            name,
            Load(app=situation.app, underWay=under_way, takes=_sum(_of(facts, pointer.release, name), old)),
        )
    for name, placed in facts.placed.items():
        if name not in facts.pointers and name not in situation.absent:
            yield name, Load(app=situation.app, takes=_of(facts, placed.move.from_, name))


def _is_under_way(facts: Facts, cluster: str) -> bool:
    """True unless what the cluster has is proven, and nothing moves there."""
    verdict = standing.seen(facts, cluster)
    moving = verdict is not None and verdict.kind == "Progressing"
    return moving or not standing.stands(facts, cluster)


def _before(facts: Facts, cluster: str) -> Amounts:
    """What the version before asks for, the larger one where it may be either of two."""
    pointer, placed = facts.pointers[cluster], facts.placed.get(cluster)
    present = facts.situation.releases.get(pointer.release)
    found: Amounts = {}
    for id in {pointer.fallback, placed.move.from_ if placed else None} - {None, pointer.release}:
        before = facts.situation.releases.get(id or "")
        if before and present and pointing.same_pods(before, present, cluster):
            continue
        for resource, amount in _of(facts, id, cluster).items():
            found[resource] = max(found.get(resource, 0), amount)
    return found


def _of(facts: Facts, release: str | None, cluster: str) -> Amounts:
    known = facts.situation.releases.get(release or "")
    member = known.clusters.get(cluster) if known else None
    return member.takes if member else {}


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return {resource: one.get(resource, 0) + other.get(resource, 0) for resource in {**one, **other}}


def _sites(
    sites: Mapping[str, Site], app: str, loads: Mapping[str, Mapping[str, Load]]
) -> Iterator[tuple[str, Site]]:
    """The clusters with what the other apps have there."""
    for name, site in sites.items():
        others = tuple(
            found[name] for whose, found in sorted(loads.items()) if whose != app and name in found
        )
        yield name, replace(site, others=others) if others else site


# Pull requests


def _requests(ground: Ground, found: Iterable[PullRequest], me: str) -> dict[str, list[Request]]:
    """The bot's pull requests by app, as their branches are in the clone; their text is never looked at."""
    named = [(pull, match[1], match[2]) for pull in found if (match := BRANCH.fullmatch(pull.branch))]
    if not named:
        return {}
    root = ground.tree.root
    tips = git.refs(root, TRACKED + BRANCHES)
    # What the forge says and what was fetched may differ for a moment: neither may have anything foreign.
    heads = [{pull.head, tips.get(TRACKED + pull.branch, pull.head)} for pull, _, _ in named]
    commits = git.show(root, chain.from_iterable(heads), below=ground.below)
    ahead = git.ahead(root, commits, [ground.commit, ground.ref])
    pointers = past.pointers_of(root, commits.values(), past.WHOLE.seconds)
    asked: dict[str, list[Request]] = {}
    for (pull, app, key), ids in zip(named, heads, strict=True):
        own = {id: _own(commits.get(id), (app, key), ahead, pointers) for id in ids}
        clean = all(own.values()) and pull.base == ground.fleet.defaultBranch
        asked.setdefault(app, []).append(_request(pull, key, me, own[pull.head] if clean else None))
    return asked


class _Own(NamedTuple):
    """The bot's one commit on a branch."""

    landing: Landing
    moves: tuple[Move, ...]


def _own(
    commit: Logged | None,
    name: tuple[str, str],
    ahead: Collection[str],
    pointers: Mapping[str, Pointer | None],
) -> _Own | None:
    """A commit as the bot's one commit of a branch; None if it is not known, or anything in it is not the bot's."""
    if commit is None or len(commit.parents) != 1 or not past.is_bots(commit):
        return None
    said = past.landed(commit)
    if said is None or (said.app, said.key) != name:
        return None
    if commit.id not in ahead or commit.parents[0] in ahead:
        return None
    overlays = past.overlays(commit).get(said.app, {})
    if any(file.blob and pointers.get(file.blob) is None for file in overlays.values()):
        return None
    return _Own(said, tuple(history.moves(past.changes(overlays, pointers))))


def _request(pull: PullRequest, key: str, me: str, own: _Own | None) -> Request:
    """Who closed it is a person unless it was surely the bot: a no that nobody signed is a no."""
    closed = pull.state == "closed"
    request = Request(
        number=pull.number,
        branch=pull.branch,
        key=key,
        head=pull.head,
        state=pull.state,
        closedBy=("bot" if pull.closedBy == me else "person") if closed else None,
        touched=own is None,
        reviews=tuple(review for review in pull.reviews if review.by != me),
    )
    if own is None:
        return request
    said = own.landing
    return replace(request, kind=said.kind, release=said.release, wave=said.wave, moves=own.moves)
