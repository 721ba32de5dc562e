"""Carry a decision out: one branch, one commit, one pull request, one merge.

Nothing is remembered between runs. Each side effect is one that the next run finds, or makes again, so a
run may be killed after any of them, and two may be at work at once:

1. push the branch. Its name is the decision's key. It replaces only what was read, so of two bots one is
   too late and stops. Killed: the next run finds the branch, sees that merging it gives what it would
   write itself, and goes on. A branch that nobody opens a pull request for is deleted after an hour.
2. open the pull request, or edit its text. Killed: it is found by its branch.
3. close what is obsolete. Killed: it is closed, by the bot, which is no person's no.
4. delete the branch of what the bot closed or merged, if it still is what the bot made. Killed: the next
   run deletes it.
5. put the record of what was decided anew into the pull request. Killed: the next run decides anew again.
6. merge: exactly the head that was judged. Killed, or the answer lost: the default branch says that it
   happened, the pointers have moved, and the next decision is another one.

What is proposed comes before what is tidied up, and trouble with the latter is told, not raised: a
rollback never waits for an old pull request that can't be closed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, NamedTuple, TypeVar

from msgspec.structs import replace

from canaryfleet import after, commits, content, git, landing, limits, schedule
from canaryfleet.after import LARGEST, After
from canaryfleet.backward import what_is_barred
from canaryfleet.commits import TRACKED
from canaryfleet.decode import decode
from canaryfleet.errors import Finding, Problems
from canaryfleet.files import Changes, Tree
from canaryfleet.forges import Forge, NotMerged
from canaryfleet.landing import Landing
from canaryfleet.models.decision import Decision, Pointed, Situation
from canaryfleet.models.forge import PullRequest
from canaryfleet.models.promotion import Bar, Promotion
from canaryfleet.proposal import BOT
from canaryfleet.record import visible
from canaryfleet.repo import CLUSTERS, FLEET, OVERLAYS, SPECS
from canaryfleet.syntax import parse

T = TypeVar("T")
FORGOTTEN = timedelta(hours=1)  # since when a branch without a pull request is nobody's


class Words(NamedTuple):
    """What is said of a decision. `message`: of its commit, subject first. `refs`: pushed along with the branch."""

    title: str
    body: str
    message: str
    refs: Sequence[str] = ()


Say = Callable[[Decision], Words]
"""For the decision as it is carried out: its bars may be those that its branch has already."""


class Deed(NamedTuple):
    """A side effect on the shared repository or the forge; `number` and `url` of the pull request, if it has one."""

    what: Literal["push", "open", "edit", "close", "delete", "record", "merge"]
    branch: str
    why: str = ""
    number: int = 0
    url: str = ""

    def __str__(self) -> str:
        number = f" pull request {self.number} of" if self.number else ""
        return f"{self.what}{number} {self.branch}" + (f": {self.why}" if self.why else "")


Code = Literal[
    "touched", "declined", "merged-already", "raced", "nothing", "not-ready", "no-request",
    "base-moved", "head-moved", "conflict", "other-content", "breaks-limit", "not-merged",
]  # fmt: skip


class Refusal(NamedTuple):
    """Why a decision was not carried out further. The next run looks anew."""

    code: Code
    message: str


class Outcome(NamedTuple):
    """What was done (in a dry run: what would be), and why not more."""

    deeds: tuple[Deed, ...] = ()
    refused: Refusal | None = None
    request: PullRequest | None = None
    landed: str | None = None
    findings: tuple[Finding, ...] = ()
    """What could not be tidied up."""


class Means(NamedTuple):
    """What a decision is carried out with. `tree` has `base` checked out, a commit of the default branch."""

    forge: Forge
    root: str
    branch: str
    base: str
    tree: Tree
    now: datetime
    dry: bool = False
    done: Callable[[Deed], None] = lambda _: None
    """Is told of each side effect, just after it."""


def prefix(app: str) -> str:
    """What the names of the bot's branches for an app begin with."""
    return f"{landing.BRANCHES}{app}/"


def branch_of(decision: Decision) -> str:
    """The branch of a decision."""
    return prefix(decision.app) + decision.key


def acts(decision: Decision) -> bool:
    """True if there is something to propose."""
    return bool(decision.key and (decision.moves or decision.bars or decision.kind == "Done"))


# Proposing


def prepare(means: Means, decision: Decision, say: Say) -> Outcome:
    """Have the decision's pull request stand as it should, and no other that is obsolete.

    The clone has been fetched. Raises `Problems`: CF180 the forge, CF025 git, CF184 and others the content.
    """
    wanted = acts(decision)
    if not wanted and not decision.obsolete and not git.refs(means.root, TRACKED + prefix(decision.app)):
        return Outcome()  # without asking the forge
    run = _Run(means, decision.app)
    refused, request = None, None
    if wanted:
        try:
            request = run.propose(decision, say)
        except _Refused as why:
            refused = why.refusal
    run.close(decision, request)
    run.sweep(branch_of(decision) if wanted else "")
    return Outcome(tuple(run.deeds), refused, request, None, tuple(run.findings))


class _Refused(Exception):
    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(code, message)


class _Run:
    """What the forge and the clone say now, and what was done about it."""

    def __init__(self, means: Means, app: str) -> None:
        self.means = means
        self.app = app
        self.requests = {item.number: item for item in means.forge.requests(prefix(app))}
        refs = git.refs(means.root, TRACKED + prefix(app))
        self.tips = {name.removeprefix(TRACKED): id for name, id in refs.items()}
        self.deeds: list[Deed] = []
        self.findings: list[Finding] = []

    def do(self, deed: Deed, effect: Callable[[], T]) -> T | None:
        """Do something, unless it is only to be told. A push that was too late is nothing that was done."""
        result = None if self.means.dry else effect()
        if isinstance(result, PullRequest):
            deed = deed._replace(number=result.number, url=result.url)
        if result != "raced":
            self.deeds.append(deed)
        if result != "raced" and not self.means.dry:
            self.means.done(deed)
        return result

    def of(self, branch: str) -> PullRequest | None:
        """The newest pull request of a branch; of open ones the oldest, which the others repeat."""
        known = [item for item in self.requests.values() if item.branch == branch]
        still = [item for item in known if item.state == "open"]
        return min(still, key=_number, default=None) or max(known, key=_number, default=None)

    def is_ours(self, commit: str) -> bool:
        """True if nobody but the bot has committed on a branch."""
        return commits.is_ours(self.means.root, self.means.base, commit)

    # propose

    def propose(self, decision: Decision, say: Say) -> PullRequest | None:
        """The open pull request of a decision, with its branch as it should be. Raises _Refused."""
        branch = branch_of(decision)
        known, tip = self.of(branch), self.tips.get(branch)
        self._allowed(branch, known, tip)
        decision = adopted(self.means, decision, tip)
        words = say(decision)
        made = _made(self.means, self.means.base, decision, words)
        if tip is None or not self._stands(tip, made, words):
            self._push(branch, made, tip, words)
        return self._opened(branch, known if known and known.state == "open" else None, words)

    def _allowed(self, branch: str, known: PullRequest | None, tip: str | None) -> None:
        if tip is not None and not self.is_ours(tip):
            raise _Refused("touched", f"a person has committed on {branch}: it is theirs now")
        if known is None:
            return
        if known.state == "merged":
            raise _Refused("merged-already", f"pull request {known.number} is merged already: read main anew")
        if known.state == "closed" and known.closedBy not in (None, self.means.forge.me):
            raise _Refused("declined", f"{known.closedBy} closed pull request {known.number}")
        if known.state == "open" and known.head != tip:
            raise _Refused("raced", f"{branch} is not what was fetched: somebody has pushed to it")

    def _stands(self, tip: str, made: str, words: Words) -> bool:
        """True if merging the branch gives what would be written now, and it says what its commit has to.

        Reviews are of a commit: so one that is good stays, whatever else has happened on the default branch.
        """
        root = self.means.root
        there = landing.read(git.run(root, ["show", "-s", "--format=%B", tip]).decode(errors="replace"))
        said = _gist(there) == _gist(landing.read(words.message))
        return said and commits.merged_tree(root, self.means.base, tip) == commits.tree(root, made)

    def _push(self, branch: str, made: str, tip: str | None, words: Words) -> None:
        remote, deed = self.means.forge.remote, Deed("push", branch, "made anew" if tip else "new")
        push = partial(commits.push, self.means.root, remote, branch, made, tip, words.refs)
        if self.do(deed, push) == "raced":
            raise _Refused("raced", f"somebody pushed to {branch} in between")
        self.tips[branch] = made

    def _opened(self, branch: str, known: PullRequest | None, words: Words) -> PullRequest | None:
        forge, (title, body, *_) = self.means.forge, words
        if known is None:
            base = self.means.branch
            opened = self.do(Deed("open", branch, title), lambda: forge.open(branch, base, title, body))
            if opened is not None:
                self.requests[opened.number] = opened
            return opened
        if known.title != title or visible(known.body) != visible(body):
            self.do(_about("edit", known, title), lambda: forge.edit(known.number, title, body))
        return known

    # tidy up

    def close(self, decision: Decision, kept: PullRequest | None) -> None:
        """Close what is obsolete, unless it is a person's by now."""
        for item in decision.obsolete:
            known = self.requests.get(item.number)
            if known is None or known.state != "open" or (kept and known.number == kept.number):
                continue
            with self._told():
                tip = self.tips.get(known.branch)
                if tip is None or self.is_ours(tip):
                    self._close(known, item.reason)

    def _close(self, known: PullRequest, reason: str) -> None:
        forge = self.means.forge
        self.do(_about("close", known, reason), lambda: forge.close(known.number, reason))
        self.requests[known.number] = replace(known, state="closed", closedBy=forge.me)

    def sweep(self, current: str) -> None:
        """Delete branches that the bot is done with, where they still are what it made."""
        for branch, tip in sorted(self.tips.items()):
            with self._told():
                if branch != current and self._is_left(branch, tip) and self.is_ours(tip):
                    self.delete(branch, tip)

    def _is_left(self, branch: str, tip: str) -> bool:
        known = self.of(branch)
        if known is None:
            printed = git.run(self.means.root, ["show", "-s", "--format=%ct", tip])
            return self.means.now.timestamp() - int(printed) > FORGOTTEN.total_seconds()
        over = known.state == "merged" or (known.state == "closed" and known.closedBy == self.means.forge.me)
        return over and known.head == tip

    def delete(self, branch: str, tip: str) -> None:
        """Delete a branch, unless somebody has pushed to it."""
        remote = self.means.forge.remote
        self.do(Deed("delete", branch), partial(commits.push, self.means.root, remote, branch, None, tip))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Problems as problems:
            self.findings.extend(problems.findings)


def _number(request: PullRequest) -> int:
    return request.number


def _about(what: Literal["edit", "close", "record", "merge"], request: PullRequest, why: str) -> Deed:
    return Deed(what, request.branch, why, request.number, request.url)


def _gist(said: Landing | None) -> tuple[object, ...] | None:
    """What the next run takes from a commit's message, without what is another each time."""
    if said is None:
        return None
    bars, owes = (frozenset(map(what_is_barred, each)) for each in (said.bars, said.owes))
    return (said.app, said.kind, said.key, said.release, said.wave, said.ends, bars, owes)


# What is to be merged


def adopted(means: Means, decision: Decision, tip: str | None) -> Decision:
    """The decision with the bars that its branch has already: their times and reasons are those of then."""
    if tip is None or not decision.bars:
        return decision
    known = {what_is_barred(bar): bar for bar in _bars(means, decision.app, tip)}
    return replace(
        decision, bars=tuple(_older(known.get(what_is_barred(bar)), bar, means.now) for bar in decision.bars)
    )


def _older(there: Bar | None, bar: Bar, now: datetime) -> Bar:
    if there is None or there.until is not None or there.by != BOT:
        return bar
    return there if schedule.in_force(there.since, None, now) else bar


def _bars(means: Means, app: str, commit: str) -> tuple[Bar, ...]:
    path = content.promotion_path(app)
    data = next(iter(git.blobs(means.root, [f"{commit}:./{path}"], LARGEST).values()), None)
    try:
        return decode(parse(data, path), Promotion).bars if data else ()
    except Problems:
        return ()


def _made(means: Means, parent: str, decision: Decision, words: Words) -> str:
    """The decision as a commit on a parent. Raises _Refused if it changes nothing there."""
    changes: Changes = content.of(means.tree, decision)
    made = commits.commit(means.root, parent, decision.app, changes, words.message, means.now)
    if commits.tree(means.root, made) == commits.tree(means.root, parent):
        raise _Refused("nothing", "the default branch says all of it already")
    return made


# Merging


def land(means: Means, situation: Situation, decision: Decision, say: Say) -> Outcome:
    """Merge the pull request of a decision that was made of this situation a moment ago, if all of it still holds.

    Raises `Problems`: CF180 the forge, CF025 git, CF184 and others the content.
    """
    if not (acts(decision) and decision.ready):
        reasons = "; ".join(item.message for item in decision.reasons)
        return Outcome(refused=Refusal("not-ready", f"it may not be merged now: {reasons}"))
    branch = branch_of(decision)
    commits.fetch(means.root, means.forge.remote, [means.branch, f"{prefix(decision.app)}*"])
    run = _Run(means, decision.app)
    known = run.of(branch)
    try:
        base = _base(means, decision)
        request = _mergeable(run, branch, known, situation)
        decision = adopted(means, decision, request.head)
        words = say(decision)
        _judge(means, base, request.head, situation, decision, words)
        with run._told():
            _keep_record(run, request, words)
        landed = _merge(run, request, words)
    except _Refused as why:
        return Outcome(tuple(run.deeds), why.refusal, known, None, tuple(run.findings))
    with run._told():
        run.delete(branch, request.head)
    return Outcome(tuple(run.deeds), None, request, landed, tuple(run.findings))


def _base(means: Means, decision: Decision) -> str:
    """The default branch's newest commit. What has come since it was read must be none of the decision's business."""
    base = git.refs(means.root, TRACKED)[TRACKED + means.branch]
    new = [path for path in commits.changed(means.root, means.base, base) if _matters(path, decision)]
    if new:
        raise _Refused("base-moved", f"{new[0]} has changed on {means.branch} meanwhile")
    return base


def _matters(path: str, decision: Decision) -> bool:
    """True for what the decision was made of: for going back, what it changes and what it goes back to."""
    app = decision.app
    if path.startswith(f"{OVERLAYS}/{app}/"):
        return True
    if decision.kind == "Rollback":
        return False
    names = path.split("/")
    others = names[0] == OVERLAYS and names[2:3] == ["clusters"]
    moved = others and names[3] in {move.cluster for move in decision.moves}
    return moved or path == FLEET or names[0] == CLUSTERS or path.startswith(f"{SPECS}/{app}/")


def _mergeable(run: _Run, branch: str, known: PullRequest | None, situation: Situation) -> PullRequest:
    """The pull request to merge: its head is that of the branch and of the situation, and the bot's own."""
    if known is None or known.state != "open":
        raise _Refused("no-request", f"there is no open pull request of {branch}")
    read = next((item.head for item in situation.requests if item.number == known.number), None)
    if not known.head == run.tips.get(branch) == read:
        raise _Refused("head-moved", f"{branch} is not what was read: somebody has pushed to it")
    if not run.is_ours(known.head):
        raise _Refused("touched", f"a person has committed on {branch}: it is theirs now")
    return known


def _judge(
    means: Means, base: str, head: str, situation: Situation, decision: Decision, words: Words
) -> None:
    """Look at the tree that the merge produces: it is what was decided, no more, and breaks no limit."""
    merged = commits.merged_tree(means.root, base, head)
    if merged is None:
        raise _Refused("conflict", f"its branch conflicts with {means.branch}")
    if merged != commits.tree(means.root, _made(means, base, decision, words)):
        raise _Refused("other-content", "merging its branch would change something else than was decided")
    if decision.kind == "Rollback":
        return
    found = after.read(means.root, merged, decision.app)
    pointers = _pointed(found)
    there = {name: facts for name, facts in situation.releases.items() if name in found.releases}
    broken = limits.broken(situation, pointers, there)
    if broken:
        raise _Refused("breaks-limit", "; ".join(item.message for item in broken))


def _pointed(found: After) -> dict[str, Pointed]:
    """What the overlays say. Raises _Refused for one that says nothing."""
    pointers: dict[str, Pointed] = {}
    for cluster, pointer in found.pointers.items():
        if pointer is None:
            raise _Refused("breaks-limit", f"the overlay of {cluster} would point at no release")
        pointers[cluster] = Pointed(release=pointer.release, fallback=pointer.fallback)
    return pointers


def _keep_record(run: _Run, request: PullRequest, words: Words) -> None:
    """The merged commit names the record of what was decided now: so that is what its pull request has to carry."""
    means, forge, number = run.means, run.means.forge, request.number
    if request.body == words.body:
        return
    if words.refs:
        commits.push_refs(means.root, forge.remote, words.refs)
    deed = _about("record", request, words.title)
    run.do(deed, lambda: forge.edit(number, words.title, words.body))


def _merge(run: _Run, request: PullRequest, words: Words) -> str | None:
    forge, number, head = run.means.forge, request.number, request.head
    subject, _, message = words.message.partition("\n")
    try:
        deed = _about("merge", request, subject)
        return run.do(deed, lambda: forge.merge(number, head, subject, message.lstrip("\n")))
    except NotMerged as why:
        raise _Refused("not-merged", str(why)) from None
