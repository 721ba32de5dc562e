"""The checks of `canaryfleet review`: each made, or not made and why. What one can't say keeps no other from speaking."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from canaryfleet import commits, diffview, git, merging, repo, review
from canaryfleet.check import check
from canaryfleet.commands import forecast, lint, plan, render
from canaryfleet.diff import diff
from canaryfleet.errors import ERROR, Finding, Problems
from canaryfleet.excerpt import Section
from canaryfleet.files import Tree
from canaryfleet.models.decision import Reason
from canaryfleet.models.diff import Diff
from canaryfleet.models.forecast import Forecast
from canaryfleet.models.plan import Plan
from canaryfleet.phrases import count
from canaryfleet.render import frozen_at, know
from canaryfleet.review import Check

if TYPE_CHECKING:
    from canaryfleet.render import Known

MOST_RUNS = forecast.MOST_RUNS
MOST = 5
"""Apps that are forecast: each takes about a second."""
STATUS = "the status `canaryfleet/limits` judges that, with the clusters"


class Subject(NamedTuple):
    """What is reviewed: a tree against a commit, of some apps or all. `runs`: of each forecast."""

    tree: Tree
    base: str
    head: str
    apps: Sequence[str]
    now: datetime
    runs: int


class Made(NamedTuple):
    """All checks, and what they have found."""

    checks: list[Check]
    difference: Diff | None = None
    plan: Plan | None = None
    forecasts: Sequence[Forecast] = ()
    limits: dict[str, tuple[Reason, ...]] = {}


def make(subject: Subject) -> Made:
    """Make every check that can be made."""
    linted, known = _lint(subject)
    rendered = _tried("render", lambda: _render(subject, known))
    try:
        with commits.worktree(subject.tree.root, subject.base) as folder:
            made = _compared(subject, Tree(folder))
    except Problems as problems:
        lost = [
            review.not_made(name, "there is nothing to compare with")
            for name in ("plan", "forecast", "limits")
        ]
        made = Made([review.not_made("difference", "it could not be made", problems.findings), *lost])
    return made._replace(checks=[linted, rendered, *made.checks])


def _tried(name: str, make: Callable[[], Check]) -> Check:
    try:
        return make()
    except Problems as problems:
        return review.not_made(name, "it could not be made", problems.findings)


# Of the tree alone


def _lint(subject: Subject) -> "tuple[Check, Known | None]":
    """Everything that is wrong with it, and the tree as the other checks take it."""
    try:
        known = frozen_at(know(subject.tree, subject.apps), subject.base)
        findings, silenced = lint.judged(known, all_apps=not subject.apps)
    except Problems as problems:
        return review.of_findings("lint", problems.findings, ""), None
    made = review.of_findings("lint", findings, lint.nothing_wrong(known))
    return made._replace(said=made.said + lint.of_silenced(silenced)), known


def _render(subject: Subject, known: "Known | None") -> Check:
    """Whether the tree is what canaryfleet writes; of specs with errors nobody knows what it would write."""
    if known is None:
        return review.not_made("render", "the repository can't be read: see lint")
    proof = check(known)
    findings = [item for item in proof.findings if item not in known.findings]
    waits = (
        f"; live settings of {count(len(proof.waiting), 'cluster')} wait for a Rollout"
        if proof.waiting
        else ""
    )
    made = review.of_findings("render", findings, render.as_written(proof) + waits)
    unknown = sorted(known.repository.specs.keys() - known.frozen.keys())
    broken = any(item.severity == ERROR for item in known.findings)
    if made.state == "failed" or not (unknown or broken):
        return made
    return review.not_made(
        "render", "specs have errors, so what they would be is not known: see lint", findings
    )


# Against the commit


def _compared(subject: Subject, before: Tree) -> Made:
    limited, reasons = _limits(subject, before)
    try:
        found = diff(before, subject.tree, subject.base, subject.apps)
    except Problems as problems:
        lost = [review.not_made(name, "it is not known which apps change") for name in ("plan", "forecast")]
        lost = [review.not_made("difference", "it could not be made", problems.findings), *lost]
        return Made([*lost, limited], limits=reasons)
    planned, table = _plan(subject, found)
    foreseen, forecasts = _forecast(subject, found)
    return Made([_difference(found), planned, foreseen, limited], found, table, forecasts, reasons)


def _difference(found: Diff) -> Check:
    released = sum(item.release is not None for item in found.apps)
    said = [
        *([f"{count(len(found.apps), 'app')}, {released} with another release"] if found.apps else []),
        *([count(sum(len(item.clusters) for item in found.inventory), "cluster")] if found.inventory else []),
        *(["fleet.yaml"] if found.fleet else []),
    ]
    return Check("difference", "told", "; ".join(said) or diffview.NOTHING, (), diffview.sections(found))


def _plan(subject: Subject, found: Diff) -> tuple[Check, Plan | None]:
    """How the apps go for which anything is another."""
    there = set(repo.apps_with_specs(subject.tree))
    names = [item.app for item in found.apps if item.app in there]
    if not names:
        return Check("plan", "told", "no app goes anywhere with it"), None
    from canaryfleet.outlook import outlook

    try:
        made, findings = outlook(subject.tree, names, subject.now, build=True)
    except Problems as problems:
        return review.not_made("plan", "it could not be made", problems.findings), None
    sections = [_lines(plan.text(replace(made, apps=(item,)), StringIO())) for item in made.apps]
    if findings:
        told = review.said(findings)
        said = f"of {len(made.apps)} of {count(len(names), 'app')}"
        return Check("plan", "notMade", said, findings, [*told, *sections]), made
    return Check("plan", "told", f"of {count(len(names), 'app')}", (), sections), made


def _forecast(subject: Subject, found: Diff) -> tuple[Check, list[Forecast]]:
    """How far a fault of each new release would get."""
    names = [item.app for item in found.apps if item.release is not None and item.release.to is not None]
    if not names:
        return Check("forecast", "told", "no app gets another release"), []
    made: list[Forecast] = []
    findings: list[Finding] = []
    for name in names[:MOST]:
        try:
            made.append(forecast.usual(subject.tree, name, subject.now, subject.runs))
        except Problems as problems:
            findings += problems.findings
    sections = [*review.said(findings), *(_lines(forecast.text(item, StringIO())) for item in made)]
    said = f"of {len(made)} of {count(len(names), 'app')} with another release"
    return Check("forecast", "told" if len(made) == len(names) else "notMade", said, findings, sections), made


def _limits(subject: Subject, before: Tree) -> tuple[Check, dict[str, tuple[Reason, ...]]]:
    """What merging it would break, as far as Git alone shows it; it is commits that are merged."""
    try:
        if git.run(subject.tree.root, ["status", "--porcelain", "--", repo.OVERLAYS]):
            return review.not_made("limits", f"{repo.OVERLAYS}/ has changes that are not committed"), {}
        found = merging.judge(subject.tree.root, subject.base, subject.head, before, subject.now)
    except Problems as problems:
        return review.not_made("limits", "it could not be made", problems.findings), {}
    if found.refused:
        return _refused(found.refused), dict(found.refused)
    if found.moves:
        return Check("limits", "told", f"it moves clusters: {STATUS}"), {}
    return Check("limits", "passed", "it moves no cluster, and changes nothing that is frozen"), {}


def _refused(reasons: Mapping[str, Sequence[Reason]]) -> Check:
    blocks = [
        (f"{app + ': ' if app else ''}{item.code}: {item.message} ({item.remedy})", ())
        for app, items in reasons.items()
        for item in items
    ]
    return Check(
        "limits", "failed", f"merging it would break {count(len(blocks), 'limit')}", (), [("", blocks)]
    )


def _lines(text: str) -> Section:
    """A table for a terminal, as a section: its first line is the title."""
    title, *below = text.split("\n")
    return title, [("", tuple(below))]
