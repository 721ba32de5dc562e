"""The commands of the bot: `canaryfleet reconcile` and `canaryfleet gate`, on the clone in which they run."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from canaryfleet import gate, notify, output, reconcile, repo, sight
from canaryfleet.errors import EXIT_FINDINGS, EXIT_OK, Finding, one_line
from canaryfleet.files import Tree
from canaryfleet.forges import connect
from canaryfleet.gate import Judged
from canaryfleet.models.decision import Reason
from canaryfleet.models.observation import Problem
from canaryfleet.models.outcome import Outcome
from canaryfleet.models.ran import Gated, GatedRequest, Ran, Reconciled
from canaryfleet.reconcile import Report, Way
from canaryfleet.sight import Bot
from canaryfleet.sources.many import Many
from canaryfleet.told import Ledger

if TYPE_CHECKING:
    from canaryfleet.journal import Journal


def make(tree: Tree, timeout: float) -> Bot:
    """The bot of a clone, with the forge that its fleet.yaml names. Raises `Problems` CF180, CF181."""
    forge = connect(repo.fleet(tree).forge, tree.root)
    return Bot(tree.root, forge, Many(tree.root, lambda: forge.remote), timeout)


# reconcile


def run_once(bot: Bot, apps: Sequence[str], *, dry: bool, as_json: bool) -> int:
    """Look once at all apps or some, do what is due, and say so."""
    tell = Teller(bot)
    output.findings_text([*tell.findings, *([] if dry else tell.look())], sys.stderr)
    shown: list[Ran] = []
    code = EXIT_OK
    for report in reconcile.once(bot, apps or None, Way(dry=dry)):
        if as_json:
            shown.append(report_data(report))
        else:
            print(report_text(report), flush=True)
        tell.heard(report)
        warnings = [] if dry else tell.of(report.outcome)
        output.findings_text([*report.findings, *warnings], sys.stderr)
        code = EXIT_FINDINGS if report.outcome.problem else code
    if as_json:
        output.print_model(Reconciled(apps=tuple(shown)))
    return code


def run_forever(bot: Bot, apps: Sequence[str], *, every: float, listen: str, lease: bool) -> int:
    """The service: every app again and again, until it is told to end. Raises `UsageError` where it can't begin."""
    import gc

    from canaryfleet.journal import Journal
    from canaryfleet.lease import InCluster, Leases
    from canaryfleet.serve import Settings, serve
    from canaryfleet.web import address

    gc.enable()  # unlike every other command, this one lives long
    host, port = address(listen)
    journal, tell = Journal(), Teller(bot)
    journal.hide(value for name, value in os.environ.items() if _SECRET.search(name))
    for finding in tell.findings:
        journal.say("warning", "untold", error=str(finding))
    leases = (
        Leases(InCluster(), tell=lambda said: journal.say("warning", "lease", error=said)) if lease else None
    )
    way = Way(held=leases.held) if leases else Way()
    bot = _noted(bot, journal)

    def run(app: str) -> Outcome:
        (report,) = reconcile.once(bot, [app], way)
        tell.heard(report)
        for remark in report.remarks:
            journal.say("info", "remark", app=app, text=remark)
        for finding in report.findings:
            journal.say("warning", "finding", app=app, error=str(finding))
        return report.outcome

    def names() -> Sequence[str]:
        return list(apps) or sight.apps(bot)

    settings = Settings(every=every, host=host, port=port)
    return serve(run, names, settings=settings, sharing=leases, tell=tell, journal=journal)


def _noted(bot: Bot, journal: "Journal") -> Bot:
    """The bot, with a line in the log for what it can't read."""
    from canaryfleet.sources.noted import Noted

    def unread(cluster: str, app: str, why: Problem) -> None:
        words = {"error": why.message, "remedy": why.remedy}
        journal.say("warning", "unread", cluster=cluster, app=app, errorKind=why.kind, **words)

    return bot._replace(source=Noted(bot.source, unread))


_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|_KEY$|_URL$")


class Teller:
    """Tells people what a run has changed, and what has become so since they were told last.

    Without anybody to tell it does nothing, and asks nobody.
    """

    def __init__(self, bot: Bot) -> None:
        self._targets, self.findings = notify.targets(repo.fleet(Tree(bot.root)))
        self._ledger = Ledger(bot.root, lambda: bot.forge.remote, bot.clock)
        self._named: dict[str, Sequence[str]] = {}

    def look(self, app: str | None = None) -> list[Finding]:
        """Before a run of an app, or of all: read what people were told last. Warnings."""
        return self._ledger.look(app) if self._targets else []

    def heard(self, report: Report) -> None:
        """Whom the spec wants to hear of its failures, as the default branch has it now and not this clone's files."""
        self._named[report.outcome.app] = report.named

    def of(self, outcome: Outcome) -> list[Finding]:
        """After it: tell what is news. Warnings about who was not told."""
        if not self._targets or outcome.decision is None:
            return []
        before, warnings = self._ledger.turn(outcome.decision)
        named = self._named.get(outcome.app, ())
        for event in notify.events(before, outcome):
            warnings += notify.send(event, self._targets, named=named)
        return warnings

    def forget(self, app: str) -> None:
        """Another replica may tell of it from now on."""
        self._ledger.forget(app)
        self._named.pop(app, None)


def report_text(report: Report) -> str:
    """What the bot decided for an app, why, and what it did."""
    outcome = report.outcome
    if outcome.decision is None:
        return one_line(f"{outcome.app}: {outcome.problem}")
    decision = outcome.decision
    what = [decision.kind, decision.release or "", f"wave {decision.wave}" if decision.wave else ""]
    lines = [f"{outcome.app}: {' '.join(filter(None, what))}"]
    for move in decision.moves:
        lines.append(f"  {move.cluster}: {move.from_ or 'nothing'} -> {move.to or 'nothing'}")
    lines += [f"  {_reason(item)}" for item in decision.reasons]
    lines += [f"  {action}" for action in outcome.actions]
    lines += [f"  {remark}" for remark in report.remarks]
    lines += [f"  {outcome.problem}"] if outcome.problem else []
    return "\n".join(map(one_line, lines))


def _reason(item: Reason) -> str:
    return f"{item.code}: {item.message}" + (f" ({item.remedy})" if item.remedy else "")


def report_data(report: Report) -> Ran:
    """The same for scripts."""
    return Ran(**asdict(report.outcome), remarks=report.remarks, findings=output.found(report.findings))


# gate


def run_gate(bot: Bot, numbers: Iterable[int], *, as_json: bool) -> int:
    """Judge pull requests, mark them, and say why."""
    found = gate.every(bot, numbers)
    if as_json:
        output.print_model(Gated(requests=tuple(map(_judged_data, found))))
    else:
        _each(found, print)
    return EXIT_FINDINGS if any(item.reasons for item in found) else EXIT_OK


def _each(found: Sequence[Judged], say: Callable[[str], None]) -> None:
    """Names and words of pull requests must not become lines of a CI's log, which takes some for commands."""
    for item in found:
        say(one_line(f"pull request {item.number}: {item.status.state}, {item.status.description}"))
        for app, reasons in item.reasons.items():
            for reason in reasons:
                say(one_line(f"  {app}: {_reason(reason)}" if app else f"  {_reason(reason)}"))
    if not found:
        say("no pull request is open")


def _judged_data(item: Judged) -> GatedRequest:
    reasons = {app: tuple(reasons) for app, reasons in item.reasons.items()}
    return GatedRequest(number=item.number, head=item.head, status=item.status, reasons=reasons)
