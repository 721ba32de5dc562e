"""`canaryfleet gate`: the limits of the bot as a required status of everybody's pull requests.

What is judged is the tree that merging would produce, with the evidence of now; so it is asked again as time
passes. It may be merged as far as the limits go: whether it should be is for its reviewers.
"""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from canaryfleet import after, commits, dangling, git, landing, limits, repo, tampered
from canaryfleet.dangling import There
from canaryfleet.decode import decode
from canaryfleet.errors import ERROR, Place, Problems, one_line, problem
from canaryfleet.models.canary import Canary
from canaryfleet.models.decision import Code, Move, Pointed, Reason, Situation
from canaryfleet.models.forge import CommitStatus, PullRequest
from canaryfleet.models.promotion import Promotion
from canaryfleet.phrases import some
from canaryfleet.sight import Bot, Sight, look
from canaryfleet.syntax import parse

CONTEXT = "canaryfleet/limits"
Frozen = dict[str, dict[str, str]]
"""Blobs by path, for each release and each configuration."""
LONGEST = 140  # characters that a forge shows
MOST = 1_000  # new apps of a pull request: whoever opens one decides how many, and the others wait meanwhile
# What only has to be waited for; anything else has to be changed.
PASSING: frozenset[Code] = limits.LIVE | {
    "wave-incomplete", "under-way", "max-concurrency", "max-canaries", "capacity", "max-failures",
}  # fmt: skip


class Judged(NamedTuple):
    """One pull request, and what merging it now would break, by app."""

    number: int
    head: str
    reasons: Mapping[str, list[Reason]]

    @property
    def status(self) -> CommitStatus:
        """What its head is marked with."""
        found = [(app, reason) for app, reasons in self.reasons.items() for reason in reasons]
        if not found:
            return CommitStatus(context=CONTEXT, state="success", description="breaks no limit")
        waits = all(reason.code in PASSING for _, reason in found)
        app, first = next(item for item in found if waits or item[1].code not in PASSING)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        said = one_line(f"{app}: {first.message}" if app else first.message)
        said = said if len(said) + len(more) <= LONGEST else said[: LONGEST - len(more) - 1] + "…"
        return CommitStatus(context=CONTEXT, state="pending" if waits else "failure", description=said + more)


def every(bot: Bot, numbers: Iterable[int] = ()) -> list[Judged]:
    """Judge all open pull requests of the default branch, or some of them, and set their statuses.

    Raises `Problems`: what `look` raises, CF180, CF185 for a number that is no open pull request.
    """
    wanted = set(numbers)
    with look(bot) as sight:
        branch = sight.ground.fleet.defaultBranch
        pulls = [item for item in bot.forge.everybody() if item.base == branch]
        chosen = [item for item in pulls if not wanted or item.number in wanted]
        for number in sorted(wanted - {item.number for item in chosen}):
            what = f"there is no open pull request {number} into {branch}"
            raise problem(Place("."), "CF185", what, "leave the number out to judge all that are open")
        found = [_pull(bot, sight, item) for item in chosen]
    for item in found:
        bot.forge.status(item.head, item.status)
    return found


def _pull(bot: Bot, sight: Sight, pull: PullRequest) -> Judged:
    if not commits.has(bot.root, pull.head):
        commits.fetch_head(bot.root, bot.forge.remote, pull.number, pull.branch)
    ours = pull.author == bot.forge.me
    reasons = judge(bot.root, sight, pull.head)
    if not ours:
        said = _forged(bot.root, sight.commit, pull)
        reasons = {**reasons, "": said} if said else reasons
    return Judged(pull.number, pull.head, reasons)


def judge(root: str, sight: Sight, head: str) -> dict[str, list[Reason]]:
    """What merging a commit into the default branch would break, by app. Raises `Problems` CF025."""
    merged = commits.merged_tree(root, sight.commit, head)
    if merged is None:
        what = "it conflicts with the default branch"
        return {"": [Reason(code="conflicts", message=what, remedy="merge or rebase it")]}
    changed = commits.changed(root, sight.commit, merged)
    touched = {
        path.split("/")[1] for path in changed if path.startswith(f"{repo.OVERLAYS}/") and path.count("/") > 1
    }
    new = len(touched - sight.situations.keys())
    if new > MOST:
        what = f"{new:,} apps would be new with it, and of that many at once none is judged"
        return {"": [Reason(code="no-release", message=what, remedy=f"propose at most {MOST:,} at once")]}
    found = {app: list(_about(root, sight, merged, app)) for app in sorted(touched)}
    for path in sorted({*changed}.intersection(git.links(root, merged, repo.OVERLAYS))):
        found.setdefault("/".join(path.split("/")[1:2]), []).append(_link(path))
    return {app: reasons for app, reasons in found.items() if reasons}


def _link(path: str) -> Reason:
    """Argo CD follows a submodule to another repository, where nothing is frozen and nobody has looked."""
    what = f"{path} would be a link or a submodule, and in {repo.OVERLAYS}/ are only files"
    return Reason(
        code="no-file", message=what, remedy="take it out; `canaryfleet render` writes what belongs there"
    )


def _about(root: str, sight: Sight, merged: str, app: str) -> Iterator[Reason]:
    """All about one app."""
    situation = sight.situations.get(app)
    folder = f"{repo.OVERLAYS}/{app}"
    before, after = (git.tree_files(root, tree, folder) for tree in (sight.commit, merged))
    yield from _rewritten(sight, app, _frozen(before), _frozen(after))
    yield from _promotion(root, sight, merged, app, after.keys() - before.keys())
    yield from _app(root, situation, merged, app, _still(sight, app, after))


def _still(sight: Sight, app: str, after: Mapping[str, str]) -> frozenset[str]:
    """Releases that were rewritten past the gate, but for those whose files are restored by it."""
    given = sight.ground.given.rewritten.get(app, {})
    wrong = {tampered.home(path)[1] for path, kept in given.items() if after.get(path) != kept.blob}
    restored = {tampered.home(path)[1] for path in given} - wrong
    situation = sight.situations.get(app)
    return frozenset(situation.rewritten if situation else ()) - restored


def _app(
    root: str, situation: Situation | None, merged: str, app: str, rewritten: Collection[str]
) -> Iterator[Reason]:
    """One app whose generated files change. `rewritten`: releases that nothing may be pointed at."""
    found = after.read(root, merged, app)
    lost = tuple(sorted(name for name, item in found.pointers.items() if item is None))
    if lost:
        what = "these overlays would point at no release"
        yield Reason(code="to-nothing", message=what, remedy="restore them from Git", clusters=lost)
    pointers = {
        name: Pointed(release=item.release, fallback=item.fallback)
        for name, item in found.pointers.items()
        if item is not None
    }
    if situation is None:  # it is new: nothing but its own tree says anything about it
        if pointers:
            yield _unknown(app, sorted(pointers))
        return
    fresh = {
        item.release for item in pointers.values() if item.release not in situation.releases
    } & found.releases
    unknown = [name for name, item in pointers.items() if item.release in fresh]
    if unknown:
        yield _unknown(next(iter(sorted(fresh))), unknown)
    there = {id: facts for id, facts in situation.releases.items() if id in found.releases}
    judged = {name: item for name, item in pointers.items() if name not in unknown}
    before = {name: item for name, item in situation.pointers.items() if name not in unknown}
    yield from _onto(rewritten, limits.between(before, judged))
    yield from limits.broken(replace(situation, pointers=before), judged, there)


def _onto(rewritten: Collection[str], moves: Iterable[Move]) -> Iterator[Reason]:
    """Not even back: what is there now is not what anybody proved."""
    onto = tuple(move.cluster for move in moves if move.to in rewritten and move.from_ != move.to)
    if onto:
        what = (
            f"{some(onto)} would be pointed at a release whose files are not those that clusters were given"
        )
        yield Reason(
            code="rewritten",
            message=what,
            remedy="restore the files, in the same pull request too",
            clusters=onto,
        )


def _rewritten(sight: Sight, app: str, before: Frozen, after: Frozen) -> Iterator[Reason]:
    """Frozen files that are on the default branch and would be others: limits, waves and members are read from them.

    What was rewritten past the gate may be restored; and a release that was removed may come back as it was.
    """
    given = sight.ground.given
    good = {path: kept.blob for path, kept in given.rewritten.get(app, {}).items()}
    for home in sorted(before.keys() & after.keys()):
        kept = before[home] | {path: blob for path, blob in good.items() if after[home].get(path) == blob}
        files = kept.items() ^ after[home].items()
        if files:
            what = f"{min(files)[0]} would change, and what is frozen on the default branch never does"
            yield Reason(code="rewritten", message=what, remedy="restore it from Git, and make a new release")
    gone = {path: kept.blob for path, kept in given.gone.get(app, {}).items()}
    for home, was in sorted(_frozen(gone).items()):
        files = was.items() ^ after[home].items() if home in after else set()
        if files:
            what = f"{min(files)[0]} would not be what it was when clusters were given that release"
            yield Reason(code="rewritten", message=what, remedy="release it as another version")


def _frozen(files: Mapping[str, str]) -> Frozen:
    found: Frozen = {}
    for path, blob in files.items():
        words = path.split("/")
        if len(words) > 4 and words[2] in ("releases", "config"):
            found.setdefault("/".join(words[:4]), {})[path] = blob
    return found


def _promotion(root: str, sight: Sight, merged: str, app: str, new: Iterable[str]) -> Iterator[Reason]:
    """What people would hold, bar or excuse with it, and what of it can't be read, or is about nothing."""
    base, situation = sight.commit, sight.situations.get(app)
    folder = f"{repo.OVERLAYS}/{app}"
    path = f"{folder}/{dangling.NAME}"
    # What is on the default branch already holds the app there, and keeps nobody from going back.
    names = [name for name in new if name.count("/") == 2]
    findings = list(dangling.misnamed(folder, [name.rpartition("/")[2] for name in names]))
    said = git.blobs(root, [f"{tree}:./{path}" for tree in (base, merged)], after.LARGEST)
    data = said.get(f"{merged}:./{path}")
    if data is not None and data != said.get(f"{base}:./{path}"):
        try:
            document = parse(data, path)
            known = decode(document, Promotion)
            there = _there(root, merged, app, situation)
            findings += dangling.unknown(document, known, app, there, sight.now)
        except Problems as problems:
            findings += problems.findings
    for item in (item for item in findings if item.severity == ERROR):
        yield Reason(code="promotion-wrong", message=f"{item.place}: {item.message}", remedy=item.remedy)


def _there(root: str, merged: str, app: str, situation: Situation | None) -> There:
    """What can be named after the merge: what the default branch has, and what the spec would say."""
    files = git.tree_files(root, merged, repo.CLUSTERS)
    clusters = {path.rpartition("/")[2].removesuffix(".yaml") for path in files}
    spec = None
    path = f"{repo.SPECS}/{app}/canary.yaml"
    for data in git.blobs(root, [f"{merged}:./{path}"], after.LARGEST).values():
        with contextlib.suppress(Problems):  # what is wrong with the spec is the linter's to say
            spec = decode(parse(data, path), Canary)
    return dangling.there(clusters, situation.releases if situation else {}, spec)


def _unknown(release: str, clusters: list[str]) -> Reason:
    what = f"{release} is new with it, and clusters would be pointed at it at once"
    remedy = "merge the release first; its waves, its limits and its proof are read from the default branch"
    return Reason(code="no-release", message=what, remedy=remedy, clusters=tuple(clusters))


def _forged(root: str, base: str, pull: PullRequest) -> list[Reason]:
    """Lines that only the bot may write: a squash copies title, text and messages into the merged commit."""
    words = ["log", "--no-mailmap", "--no-show-signature", "--format=%B", pull.head, f"^{base}", "--"]
    said = git.run(root, words).decode(errors="replace")
    texts = (said, pull.title, pull.body)
    if not any(landing.is_ours(line) for text in texts for line in text.splitlines()):
        return []
    what = "a message or its text has a line that only the bot may write"
    remedy = f"take out the lines that begin with {landing.PREFIX}"
    return [Reason(code="forged", message=what, remedy=remedy)]
