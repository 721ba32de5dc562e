"""`canaryfleet review`."""

import sys
from typing import TYPE_CHECKING, NamedTuple

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_FINDINGS, EXIT_OK, WARNING, Finding, Place, Problems, UsageError, problem

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from datetime import datetime

    from canaryfleet.actions import Step
    from canaryfleet.commands.checks import Made
    from canaryfleet.files import Tree
    from canaryfleet.forges.github import GitHub
    from canaryfleet.models.review import ReviewCheck
    from canaryfleet.review import About, Check

FORMATS = ("text", "json", "markdown", "github")
FOREIGN = "CF036"
RUNS = 300  # of each forecast: half a percent either way is enough to decide on


class _Range(NamedTuple):
    """From which commit to which."""

    base: str
    head: str


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    options = arguments.parse(_parser(), given)
    from canaryfleet.review import LEAST

    if options.limit is not None and options.limit < LEAST:
        raise UsageError(f"--limit: at least {LEAST} characters, which hold what each check says")
    at = _step() if options.output == "github" else None
    if at is None and (options.comment or options.commit):
        raise UsageError("--comment and --commit need --output github")
    tree = arguments.tree(options.root)
    try:
        return _review(tree, options, at)
    except Problems as problems:
        if at is not None:
            _tell_trouble(at, problems)
        raise


def _step() -> "Step":
    from canaryfleet.actions import step

    return step()


def _parser() -> "ArgumentParser":
    parser = arguments.parser(
        "review",
        "Say what a change does and what is wrong with it: lint, whether it is rendered, difference, plan, forecast, "
        "and what merging it would break. It looks at Git alone; a check that can't be made is never one that passed.",
        formats=FORMATS,
    )
    add = parser.add_argument
    add("apps", nargs="*", metavar="APP", help="only these apps")
    add(
        "--base",
        metavar="REV",
        help="compare with where HEAD left this commit, branch or tag (default: the pull request's, or the default branch)",
    )
    add("--at", metavar="TIME", help="as if it was now 2026-11-20T10:00:00Z, or 2h from now (default: now)")
    add(
        "--runs",
        type=int,
        default=RUNS,
        metavar="N",
        help=f"simulated releases of a forecast (default: {RUNS})",
    )
    add(
        "--limit",
        type=int,
        metavar="N",
        help="most characters of Markdown (default: as many as GitHub takes)",
    )
    add("--to", metavar="FILE", help="write all of it as Markdown to this file, however long it is")
    add("--sarif", metavar="FILE", help="write the findings of lint and render as SARIF to this file")
    add(
        "--comment", action="store_true", help="with --output github: keep one comment below the pull request"
    )
    add(
        "--commit",
        action="store_true",
        help="with --output github: render first, and push what that writes to the pull request's branch",
    )
    return parser


def _review(tree: "Tree", options: "Namespace", step: "Step | None") -> int:
    from canaryfleet import review
    from canaryfleet.commands import checks, plan

    if not 1 <= options.runs <= checks.MOST_RUNS:
        raise UsageError(f"--runs: from 1 to {checks.MOST_RUNS}")
    now = plan.instant(options.at)
    found = _range(tree, options.base, step)
    remarks: list[Finding] = []
    if options.commit and step is not None:
        found = _rendered(tree, found, step, remarks)
    subject = checks.Subject(tree, found.base, found.head, options.apps, now, options.runs)
    made = checks.make(subject)
    about = _about(tree, found, now)
    _files(tree, options, about, made.checks)
    if step is not None:
        good = review.passed(made.checks, review.MERGED)
        _tell(tree, options, step, about, made.checks, remarks, good=good)
    else:
        good = review.passed(made.checks)
        _print(options, about, made, now)
    return EXIT_OK if good else EXIT_FINDINGS


# What is compared


def _range(tree: "Tree", base: str | None, step: "Step | None") -> _Range:
    """Where HEAD left its base, and HEAD. Raises Problems: CF036 HEAD is not the pull request, CF025."""
    from canaryfleet import commits

    head = commits.resolve(tree.root, "HEAD")
    if step is not None:
        _is_the_change(tree, step)
    into = (step.pull.base if step.pull else step.branch) if step else None
    if base is None and into:
        return _Range(commits.fork(tree.root, f"refs/remotes/origin/{into}"), head)
    if base is not None:
        return _Range(commits.fork(tree.root, commits.resolve(tree.root, base)), head)
    from canaryfleet.commands import diff

    return _Range(diff.fork(tree), head)


def _is_the_change(tree: "Tree", step: "Step") -> None:
    """Or else all that is said would be of something else than what is merged."""
    from canaryfleet import commits

    remedy = "use `on: pull_request`, and actions/checkout with `fetch-depth: 0` and no `ref` but the pull request's"
    if step.event == "pull_request_target":
        what = (
            "on pull_request_target what is checked out is the base branch, or code of others beside secrets"
        )
        raise problem(Place("."), FOREIGN, what, remedy)
    if step.pull is not None and not commits.contains(tree.root, "HEAD", step.pull.head):
        what = f"what is checked out does not have {step.pull.head[:12]}, the head of pull request {step.pull.number}"
        raise problem(Place("."), FOREIGN, what, remedy)


def _rendered(tree: "Tree", found: _Range, step: "Step", remarks: list[Finding]) -> _Range:
    """With what is rendered on top, if it may be pushed; else why not, as a warning."""
    from canaryfleet import writeback

    pull = step.pull
    if pull is None or pull.fork or pull.default or found.head != pull.head:
        what = "nothing is committed: this is no branch of this repository, or its default one, or not what is checked out"
        remedy = "only pull requests from here, with `ref: ${{ github.event.pull_request.head.sha }}`; else run `canaryfleet render`"
        remarks.append(Finding(Place("."), FOREIGN, what, remedy, WARNING))
        return found
    try:
        made = writeback.write(tree, found.base, found.head, pull.branch, _forge(step).remote)
    except Problems as problems:
        remarks += [item._replace(severity=WARNING) for item in problems.findings]
        return found
    return found if made is None else found._replace(head=made)


# What is said


def _about(tree: "Tree", found: _Range, now: "datetime") -> "About":
    from canaryfleet import __version__
    from canaryfleet.review import About

    return About(found.base, found.head, now.isoformat(timespec="minutes"), __version__)


def _files(tree: "Tree", options: "Namespace", about: "About", made: "list[Check]") -> None:
    """What is too long for anywhere else. Written before anything is told, so that a path leads somewhere."""
    if options.to:
        from canaryfleet.review import as_markdown

        _write(options.to, as_markdown(about, made, sys.maxsize))
    if options.sarif:
        import json

        from canaryfleet import __version__, sarif
        from canaryfleet.commands.lint import folder

        findings = [item for check in made for item in check.findings]
        _write(options.sarif, json.dumps(sarif.log(findings, __version__, folder(tree)), indent=1))


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _print(options: "Namespace", about: "About", made: "Made", now: "datetime") -> None:
    from canaryfleet import review

    if options.output == "json":
        from canaryfleet.output import print_model

        print_model(_model(about, made, now))
    elif options.output == "markdown":
        print(review.as_markdown(about, made.checks, options.limit or review.COMMENT), end="")
    else:
        print(review.text(about, made.checks))


def _model(about: "About", made: "Made", now: "datetime") -> object:
    from canaryfleet import review
    from canaryfleet.models.base import API_VERSION
    from canaryfleet.models.review import Review

    return Review(
        apiVersion=API_VERSION,
        kind="Review",
        passed=review.passed(made.checks),
        at=now,
        base=about.base,
        head=about.head,
        checks=tuple(map(_check_model, made.checks)),
        difference=made.difference,
        plan=made.plan,
        forecasts=tuple(made.forecasts),
        limits=made.limits,
    )


def _check_model(check: "Check") -> "ReviewCheck":
    from canaryfleet.models.review import ReviewCheck
    from canaryfleet.output import found

    findings = found(sorted(check.findings))
    return ReviewCheck(name=check.name, state=check.state, said=check.said, findings=findings)  # type: ignore[arg-type]


# In GitHub Actions


def _tell(
    tree: "Tree",
    options: "Namespace",
    step: "Step",
    about: "About",
    made: "list[Check]",
    remarks: list[Finding],
    *,
    good: bool,
) -> None:
    """Annotations, the page of the run, one comment, and outputs. What can't be told is a warning, and judges nothing."""
    from canaryfleet import actions, annotations, output, review
    from canaryfleet.commands.lint import folder

    notes = [review.of_findings("forge", remarks, "")] if remarks else []
    said = "not asked for"
    if options.comment:
        here = about._replace(mark=_mark(tree), rest=f"[in the run]({step.page})")
        said = _comment(
            step,
            review.as_markdown(here, [*made, *notes], options.limit or review.COMMENT),
            here.mark,
            remarks,
        )
        notes = [review.of_findings("forge", remarks, "")] if remarks else []
    about = about._replace(rest="in the file of the output `report`" if options.to else about.rest)
    actions.summarize(step, review.within(about, [*made, *notes], review.SUMMARY))
    findings = [*(item for check in made for item in check.findings), *remarks]
    shown = annotations.chosen(findings)
    for finding in shown:
        print(annotations.command(finding, folder(tree)))
    output.findings_text(findings, sys.stderr, left_out=shown)
    print(f"{review.headline(made)}: {', '.join(review.counted(made))}; comment: {said}")
    given = {
        "result": "passed" if good else "failed",
        "comment": said,
        "report": options.to or "",
        "sarif": options.sarif or "",
    }
    actions.output(step, given)


def _tell_trouble(step: "Step", problems: Problems) -> None:
    """What keeps the review from beginning; the command ends with it."""
    from canaryfleet import actions, annotations

    for finding in annotations.chosen(problems.findings):
        print(annotations.command(finding))
    actions.output(step, {"result": "failed"})


def _mark(tree: "Tree") -> str:
    """By which the comment is found again: each repository of a checkout has its own."""
    from canaryfleet.commands.lint import folder
    from canaryfleet.markdown import name

    return f"<!-- canaryfleet review {name(folder(tree) or '.')} -->"


def _comment(step: "Step", text: str, mark: str, remarks: list[Finding]) -> str:
    """Keep the comment, and say what was done; without permission the page of the run has it all."""
    if step.pull is None:
        return "none, as this is no pull request"
    try:
        return _forge(step).say(step.pull.number, mark, text)
    except Problems as problems:
        why = "the token of a fork's pull request may only read" if step.pull.fork else "see what GitHub said"
        remedy = f"{why}; the summary of the run has it all"
        remarks += [item._replace(severity=WARNING, remedy=remedy) for item in problems.findings]
        return "not written"


def _forge(step: "Step") -> "GitHub":
    """GitHub as the runner names it: fleet.yaml is part of the change, and a token goes nowhere that it says."""
    import os

    from canaryfleet.forges import github
    from canaryfleet.models.fleet import Forge

    return github.connect(Forge(type="github", repository=step.repository, url=step.api), "", os.environ)
