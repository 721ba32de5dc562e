"""What Git says of each app at one commit of the default branch, with its whole history, which is evidence.

What can't be read holds the app that it is of, and lets it go back all the same.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from canaryfleet import configs, dangling, git, history, past, repo, tampered
from canaryfleet.board import App
from canaryfleet.errors import ERROR, Finding, Place, Problems, problem
from canaryfleet.files import Tree
from canaryfleet.models.canary import Canary
from canaryfleet.models.decision import Merged
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.promotion import Promotion, nothing_said
from canaryfleet.status import Plan
from canaryfleet.tampered import Given, Kept

M = TypeVar("M")
SHALLOW = "CF182"
REWRITTEN = "CF169"
NOTHING = Given(MappingProxyType({}), MappingProxyType({}))


class Half(NamedTuple):
    """What the tree and the history say of one app."""

    app: repo.App
    spec: Canary | None
    candidate: str | None
    promotion: Promotion | None
    unreadable: str | None
    rewritten: frozenset[str]
    """Releases of which something, or of whose configuration, is not as clusters were given it."""
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
        merged = tuple(history.merged(found.of(name), now))
        halves[name] = _half(tree, name, merged, turned, given.rewritten.get(name, {}), findings, now)
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
    turned: Iterable[Finding],
    kept: Mapping[str, Kept],
    findings: list[Finding],
    now: datetime,
) -> Half:
    """One app. A release or a candidate that can't be read is as good as none; all else holds the app.

    `turned` and `kept`: what was done to its history, and to its frozen files.
    """
    holding = [*turned, *(_rewritten(path, was) for path, was in kept.items())]
    spec = _tried(lambda: repo.policy_of(tree, name), holding)
    read = _tried(lambda: (repo.promotion(tree, name),), holding)  # None: there is one that can't be read
    promotion = read[0] if read else None
    others: list[Finding] = []
    app = repo.survey(tree, name, others)
    candidate = _tried(lambda: repo.candidate(tree, name), others)
    altered = dict(_altered(tree, app))
    holding += [item for wrong in altered.values() for item in wrong]
    # A bar or a hold about nothing must not be void: nobody would notice.
    names = lambda: repo.dangling_names(tree, name, promotion, app.releases, spec, now)  # noqa: E731
    holding += [item for item in _tried(names, holding) or () if item.severity == ERROR]
    releases = f"{repo.OVERLAYS}/{name}/clusters/"
    holding += [item for item in others if item.place.file.startswith(releases)]
    findings += [*holding, *(item for item in others if item not in holding)]
    said = "; ".join(_said(item) for item in holding)
    rewritten = {tampered.home(path)[1] for path in kept} | {
        id for id, item in app.releases.items() if not altered.keys().isdisjoint(item.config)
    }
    known = (promotion or nothing_said(name)) if read else None
    return Half(app, spec, candidate, known, said or None, frozenset(rewritten), merged)


def _altered(tree: Tree, app: repo.App) -> Iterator[tuple[str, list[Finding]]]:
    """The folders of configuration that are not what their names say, each with what is wrong."""
    for folder in sorted({folder for item in app.releases.values() for folder in item.config}):
        wrong: list[Finding] = []
        _tried(lambda folder=folder, to=wrong: to.extend(configs.wrong(tree, app.name, folder)), wrong)  # type: ignore[misc]
        if wrong:
            yield folder, wrong


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
