"""`canaryfleet diff`."""

from typing import TYPE_CHECKING

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from canaryfleet.files import Tree
    from canaryfleet.models.diff import Diff

LIMIT = 58_000  # of the 65,536 characters that GitHub takes, with room for what stands around it


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "diff",
        "Say what the working tree does that a revision does not: to which clusters, at once or from wave to wave.",
        formats=("text", "json", "markdown"),
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    parser.add_argument(
        "--from",
        dest="revision",
        metavar="REV",
        help="compare with this commit, branch or tag (default: where HEAD left the default branch)",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=LIMIT,
        metavar="N",
        help=f"with --output markdown: most characters (default: {LIMIT})",
    )
    options = arguments.parse(parser, given)
    if options.limit < 1000:
        raise UsageError("--limit: fewer than 1000 characters say nothing")
    found = _compared(arguments.tree(options.root), options.revision, options.apps)
    from canaryfleet import diffview

    if options.output == "json":
        from canaryfleet.output import print_model

        print_model(found)
    elif options.output == "markdown":
        print(diffview.as_markdown(found, options.limit), end="")
    else:
        print(diffview.text(found))
    return EXIT_OK


def _compared(tree: "Tree", revision: str | None, apps: list[str]) -> "Diff":
    from canaryfleet import commits
    from canaryfleet.diff import diff
    from canaryfleet.files import Tree

    if revision is None and commits.unborn(tree.root):
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as empty:
            return diff(Tree(empty), tree, "", apps)
    commit = commits.resolve(tree.root, revision) if revision else fork(tree)
    with commits.worktree(tree.root, commit) as folder:
        return diff(Tree(folder), tree, commit, apps)


def fork(tree: "Tree") -> str:
    """Where HEAD left the default branch, so that what others merged since then is not said."""
    from canaryfleet import commits, git, repo
    from canaryfleet.errors import Place, problem

    branch = repo.fleet(tree).defaultBranch
    ref = git.default_ref(tree.root, branch)
    if ref is None:
        what = f"there is nothing to compare with: nothing is committed on the branch {branch}"
        raise problem(Place("."), git.FAILED, what, "commit it, correct `defaultBranch`, or use --from")
    return commits.fork(tree.root, ref)
