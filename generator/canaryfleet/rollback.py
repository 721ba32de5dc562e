"""A person's way back, without a bot, a cluster or a forge: by the bot's own rules, as files of the working tree."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from posixpath import join
from typing import NamedTuple

from canaryfleet import backward, content, git, history, past, repo, standing
from canaryfleet.digest import sha256
from canaryfleet.errors import WARNING, Finding, Place, Problems, problem
from canaryfleet.files import Changes, Tree
from canaryfleet.models.decision import Decision, Merged, Pointed, Policy, Reason, Situation, release_facts
from canaryfleet.nearest import nearest
from canaryfleet.overrule import CANT
from canaryfleet.phrases import some

STAYS = "CF174"


class Way(NamedTuple):
    """What is decided, the files that it changes, clusters that stay, and warnings: of those, and of the history."""

    decision: Decision
    changes: Changes
    stays: tuple[str, ...]
    findings: list[Finding]


def rollback(tree: Tree, app: str, who: str, why: str, now: datetime, release: str | None = None) -> Way:
    """Everything that has a release's workload (default: the candidate's) goes to its fallback, and it is barred.

    Raises `Problems`: CF015 there is no such app, CF187 nobody has the release, or there is none; what can't be
    read or edited.
    """
    known = repo.apps(tree)
    if app not in known:
        raise problem(Place(repo.OVERLAYS), "CF015", f"there is no app {app}", nearest(app, known))
    findings: list[Finding] = []
    facts = standing.gather(_situation(tree, app, now, findings))
    id = release or facts.situation.candidate or ""
    found = facts.situation.releases.get(id)
    place = Place(repo.candidate_path(app))
    if found is None:
        what = f"there is no release {id}" if id else "the app was never rendered"
        raise problem(place, CANT, what, nearest(id, facts.situation.releases))
    proposal = backward.by_hand(facts, found, who, why)
    if not proposal.reasons[0].clusters:
        having = some(sorted({pointer.release for pointer in facts.pointers.values()}))
        others = f"clusters have {having}: --release takes one of them back; " if having else ""
        remedy = f"{others}`canaryfleet bar {app} {found.id} --why …` keeps it from being given to any"
        raise problem(place, CANT, f"no cluster has {found.id}, or another release with its pods", remedy)
    decision = Decision(
        app=app,
        kind="Rollback",
        release=proposal.release,
        moves=proposal.moves,
        bars=proposal.bars,
        ends=proposal.ends,
        reasons=tuple(proposal.reasons),
    )
    left = [item for item in proposal.reasons[1:] if item.code == "failed"]
    stays = tuple(name for item in left for name in item.clusters)
    warnings = [*findings, *_staying(app, left), *_altered(tree, app, {move.to for move in decision.moves})]
    return Way(decision, content.of(tree, decision), stays, warnings)


def _altered(tree: Tree, app: str, goals: Iterable[str | None]) -> Iterator[Finding]:
    """CF169 of files that are not what was frozen: going back to them is going on to what nobody proved."""
    for id in sorted(goal for goal in goals if goal):
        home = join(repo.OVERLAYS, app, "releases", id)
        for path, wanted in repo.release(tree, app, id).files.items():
            place = join(home, path)
            if not _is_as_frozen(tree, place, wanted):
                what = "clusters go back to this release, and the file is not as release.yaml has it"
                yield Finding(Place(place), "CF169", what, "restore it from Git before you merge", WARNING)


def _is_as_frozen(tree: Tree, path: str, wanted: str) -> bool:
    """A file that can't be read (gone, a link that leads out) is not; going back goes on all the same."""
    try:
        return sha256(tree.read(path)) == wanted
    except Problems:
        return False


def _staying(app: str, reasons: Iterable[Reason]) -> Iterator[Finding]:
    """CF174 of the clusters that stay: of all that people can do the same about, one."""
    alike: dict[str, list[Reason]] = {}
    for reason in reasons:
        alike.setdefault(reason.remedy, []).append(reason)
    for remedy, (first, *others) in alike.items():
        (cluster,) = first.clusters
        more = [name for reason in others for name in reason.clusters]
        what = (
            f"{first.message}; so {'does' if len(more) == 1 else 'do'} {some(more)}"
            if more
            else first.message
        )
        yield Finding(Place(repo.overlay_path(app, cluster)), STAYS, what, remedy, severity=WARNING)


def _situation(tree: Tree, app: str, now: datetime, findings: list[Finding]) -> Situation:
    """What the tree and its history say of an app; nothing of clusters, forges and other apps."""
    wrong: list[Finding] = []
    found = repo.survey(tree, app, wrong)
    promotion = repo.promotion(tree, app)
    return Situation(
        app=app,
        now=now,
        policy=Policy(),
        fleet=repo.fleet(tree),
        candidate=repo.candidate(tree, app),
        releases={id: release_facts(item) for id, item in found.releases.items()},
        pointers={c: Pointed(release=p.release, fallback=p.fallback) for c, p in found.pointers.items()},
        promotion=promotion,
        history=_history(tree, app, now, findings),
    )


def _history(tree: Tree, app: str, now: datetime, findings: list[Finding]) -> tuple[Merged, ...]:
    """What the default branch merged. Going back has to work without it: then fallbacks count as overlays name them."""
    try:
        clone = git.clone(tree.root)
        ref = git.default_ref(tree.root, repo.fleet(tree).defaultBranch) if clone else None
        if clone is None or ref is None or clone.shallow:
            raise problem(Place("."), "CF182", "this is no clone with the whole history")
        log = past.log(tree.root, ref, [app], below=clone.prefix, most=past.WHOLE)
        return tuple(history.merged(log.of(app), now))
    except Problems as problems:
        what = f"{problems.findings[0].message}: fallbacks are taken as the overlays name them, whoever wrote that"
        findings.append(
            Finding(Place(repo.OVERLAYS), "CF023", what, "look at each before you merge it", WARNING)
        )
        return ()
