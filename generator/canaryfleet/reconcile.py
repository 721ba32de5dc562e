"""`canaryfleet reconcile`: look, decide, propose; and where it may be merged look again, decide anew, and merge.

All apps are looked at together once. Then each that acts goes on alone: nothing of what was seen before is used
to merge. What stands between two looks is in Git and on the forge, so a run may end anywhere.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from datetime import datetime
from typing import NamedTuple

from canaryfleet import act, archive, landing, news, record, request
from canaryfleet.act import Deed, Means, Say, Words
from canaryfleet.decide import decide
from canaryfleet.errors import Finding, Problems
from canaryfleet.models.decision import Decision, Situation
from canaryfleet.models.forge import PullRequest
from canaryfleet.models.outcome import Action, Outcome, Verb
from canaryfleet.sight import Bot, Sight, look
from canaryfleet.traces import Laps

VERBS: dict[str, Verb] = {"open": "opened", "edit": "updated", "merge": "merged", "close": "closed"}


class Way(NamedTuple):
    """How to run. `dry`: only say what would be done; `held`: whether this replica may still act for an app."""

    dry: bool = False
    held: Callable[[str], bool] = lambda _: True


class Report(NamedTuple):
    """What a run came to for one app; `remarks`: why no more was done, or what would be (`dry`).

    `named`: whom its spec wants to hear of its failures.
    """

    outcome: Outcome
    remarks: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    named: tuple[str, ...] = ()


def once(bot: Bot, apps: Collection[str] | None = None, way: Way = Way()) -> Iterator[Report]:  # noqa: B008
    """Each app's report as it comes; what is wrong with one app stops no other.

    Raises `Problems` if nothing can be looked at: CF025, CF180, CF182, and what is wrong with fleet.yaml.
    """
    laps = Laps()
    with _looking(bot, apps, laps) as sight:
        runs = [_Run(bot, way, copy(laps), app) for app in sorted(sight.situations)]
        for run in runs:
            run.guarded(lambda run=run: run.propose(sight))  # type: ignore[misc]
    for run in runs:
        if run.goes_on:
            run.guarded(run.merge)
        yield run.report()


class _Run:
    """One app's run."""

    def __init__(self, bot: Bot, way: Way, laps: Laps, app: str) -> None:
        self.bot, self.way, self.laps, self.app = bot, way, laps, app
        self.decision: Decision | None = None
        self.begins = True
        self.named: tuple[str, ...] = ()
        self.oldest: datetime | None = None
        self.request: PullRequest | None = None
        self.deeds: list[Deed] = []
        self.remarks: list[str] = []
        self.findings: list[Finding] = []
        self.problem: Finding | None = None

    def propose(self, sight: Sight) -> None:
        """Decide, and have the pull request stand as it should."""
        spec = sight.ground.halves[self.app].spec
        self.named = tuple(spec.rollback.notify) if spec else ()
        situation = self._decide(sight)
        self.begins = news.first_batch(situation, self._decided)
        self._carry_out(lambda: act.prepare(self._means(sight), self._decided, self._say(situation, sight)))

    @property
    def goes_on(self) -> bool:
        """True if its pull request stands and may be merged."""
        ready = self.decision is not None and self.decision.ready and act.acts(self.decision)
        return ready and self.request is not None and not (self.remarks or self.problem or self.way.dry)

    def merge(self) -> None:
        """Look again, and merge what is decided now, if it is the same."""
        before = self._decided.key
        with _looking(self.bot, [self.app], self.laps) as sight:
            if self.app not in sight.situations:
                self.remarks.append("the app is gone")
                return
            situation = self._decide(sight)
            if self._decided.key != before:
                self.remarks.append("something has changed in between: the next run goes on from there")
                return
            say = self._say(situation, sight)
            self._carry_out(lambda: act.land(self._means(sight), situation, self._decided, say))

    def guarded(self, step: Callable[[], None]) -> None:
        """Do a step; what is wrong with it ends this app's run alone."""
        try:
            step()
        except Problems as problems:
            self.problem = problems.findings[0]
            self.findings += problems.findings

    def report(self) -> Report:
        """What it came to."""
        wrong = self.problem
        outcome = Outcome(
            app=self.app,
            decision=self.decision,
            actions=tuple(self._actions()),
            begins=self.begins,
            problem=f"{wrong.place}: {wrong.message}" if wrong else None,
            kind=wrong.code if wrong else None,
            oldest=self.oldest,
            seconds=self.laps.seconds,
            stages=self.laps.stages,
        )
        would = [f"would {deed}" for deed in self.deeds]
        remarks = (*(would if self.way.dry else ()), *self.remarks)
        return Report(outcome, remarks, tuple(self.findings), self.named)

    @property
    def _decided(self) -> Decision:
        assert self.decision is not None
        return self.decision

    def _decide(self, sight: Sight) -> Situation:
        situation = sight.situations[self.app]
        with self.laps.stage("decide"):
            self.decision = decide(situation)
        read = [sight.evidence.read[name] for name in situation.verdicts if name in sight.evidence.read]
        self.oldest = min(read, default=None)
        return situation

    def _carry_out(self, step: Callable[[], act.Outcome]) -> None:
        if not self.way.held(self.app):
            self.remarks.append("another replica has this app now")
            return
        with self.laps.stage("act"):
            done = step()
        self.request = done.request or self.request
        self.findings += done.findings
        if self.way.dry:
            self.deeds += done.deeds
        if done.refused:
            self.remarks.append(done.refused.message)

    def _means(self, sight: Sight) -> Means:
        branch, tree, bot = sight.ground.fleet.defaultBranch, sight.ground.tree, self.bot
        return Means(
            bot.forge, bot.root, branch, sight.commit, tree, sight.now, self.way.dry, self.deeds.append
        )

    def _say(self, situation: Situation, sight: Sight) -> Say:
        """Words for a decision, with the record of what it was made of."""
        return lambda decision: words(situation, decision, self.bot.root, sight.now)

    def _actions(self) -> Iterator[Action]:
        """What was really done, for people; what the bot tidies up in Git is no news."""
        for deed in () if self.way.dry else self.deeds:
            verb = VERBS.get(deed.what)
            if verb is not None:
                why = deed.why if verb == "closed" else ""
                yield Action(verb=verb, number=deed.number, url=deed.url, why=why)


def words(situation: Situation, decision: Decision, root: str, now: datetime) -> Words:
    """Title, text and message of a decision; a record that is too long for the text is kept beside the branch."""
    packed = record.encode(record.of(situation, decision))
    refs = [] if record.fits(packed) else [archive.write(root, packed, now)]
    landed = landing.of(decision, _approvers(situation, decision), packed.hash)
    return Words(
        request.title(decision),
        request.body(situation, decision, packed.hash, record.hidden(packed)),
        request.message(decision, landed, situation.verdicts.values()),
        refs,
    )


def _approvers(situation: Situation, decision: Decision) -> tuple[str, ...]:
    """Who has approved the head that is merged."""
    return tuple(
        sorted(
            {
                review.by
                for item in situation.requests
                if item.key == decision.key and item.state == "open"
                for review in item.reviews
                if review.state == "approved" and review.head == item.head
            }
        )
    )


@contextmanager
def _looking(bot: Bot, apps: Collection[str] | None, laps: Laps) -> Iterator[Sight]:
    with ExitStack() as stack:
        with laps.stage("read"):
            sight = stack.enter_context(look(bot, apps))
        yield sight
