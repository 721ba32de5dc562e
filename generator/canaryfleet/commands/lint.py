"""`canaryfleet lint`."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from canaryfleet.commands import arguments, outcome
from canaryfleet.errors import Finding, Problems

if TYPE_CHECKING:
    from canaryfleet.files import Tree
    from canaryfleet.render import Known

FORMATS = ("text", "json", "sarif", "github")
Silenced = list[dict[str, str]]


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "lint",
        "Say everything that is wrong with the specs and clusters of a repository, and what is dangerous for a canary.",
        output=False,
    )
    parser.add_argument(
        "apps", nargs="*", metavar="APP", help="only these apps (what they take together needs all of them)"
    )
    parser.add_argument(
        "--output",
        choices=FORMATS,
        default="text",
        help="how to print the findings: `sarif` for code scanning, `github` for annotations of a workflow",
    )
    arguments.add_staged(parser)
    options = arguments.parse(parser, given)
    from canaryfleet.render import know

    tree = arguments.tree(options.root)
    silenced: Silenced = []
    fine = ""
    try:
        with arguments.staged(tree, wanted=options.staged) as seen:
            known = know(seen, options.apps, tree.root)
            findings, silenced = judged(known, all_apps=not options.apps)
    except Problems as problems:
        findings = list(problems.findings)
    else:
        fine = nothing_wrong(known)
    _show(tree, options.output, findings, silenced)
    if fine and not findings and options.output == "text":
        print(fine + of_silenced(silenced))
    return outcome.code(findings)


def nothing_wrong(known: "Known") -> str:
    """What is said where there are no findings."""
    from canaryfleet.phrases import count

    here = known.repository
    return f"{count(len(here.specs), 'spec')} and {count(len(here.clusters), 'cluster')}: nothing is wrong"


def of_silenced(silenced: Silenced) -> str:
    """What is said besides of warnings that specs silence."""
    return f"; the specs silence {len(silenced)} of what is dangerous" if silenced else ""


def judged(known: "Known", *, all_apps: bool) -> tuple[list[Finding], Silenced]:
    """Everything that is wrong or dangerous, and the warnings that specs silence."""
    from datetime import UTC, datetime

    from canaryfleet import lint
    from canaryfleet.render import everywhere

    now = datetime.now(UTC)
    # where nothing is frozen it doesn't matter who has begun: a thousand overlays need not be read
    begun = everywhere(known) if known.repository.fleet.freezes else ()
    advised = lint.advise(known.repository, known.checked, begun, now, all_apps=all_apps)
    return [*known.findings, *advised.findings], _silenced(known, advised.silenced)


def _silenced(known: "Known", silenced: Mapping[str, frozenset[str]]) -> Silenced:
    return [
        {"app": app, "code": entry.code, "reason": entry.reason}
        for app, codes in sorted(silenced.items())
        for entry in known.repository.specs[app].model.lint.ignore
        if entry.code in codes
    ]


def _show(tree: "Tree", how: str, findings: Sequence[Finding], silenced: Silenced) -> None:
    from canaryfleet import output

    if how == "json":
        output.print_json(
            {"findings": [output.finding_data(item) for item in sorted(findings)], "silenced": silenced}
        )
    elif how == "sarif":
        from canaryfleet import __version__, sarif

        output.print_json(sarif.log(findings, __version__, folder(tree)))
    elif how == "github":
        from canaryfleet import annotations

        shown = annotations.chosen(findings)
        for finding in shown:
            print(annotations.command(finding, folder(tree)))
        output.findings_text(findings, sys.stderr, left_out=shown)
    else:
        output.findings_text(findings, sys.stderr)


def folder(tree: "Tree") -> str:
    """Where the repository's root is in its Git's, such as `fleet/`: places on a forge are counted from there."""
    from canaryfleet import git

    try:
        return git.run(tree.root, ["rev-parse", "--show-prefix"]).decode().rstrip("\n")
    except Problems:  # without Git: then it is the root
        return ""
