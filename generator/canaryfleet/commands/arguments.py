"""What the commands' arguments have in common: the parser, the repository, times and sources."""

import contextlib
from typing import TYPE_CHECKING

from canaryfleet.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from canaryfleet.files import Tree
    from canaryfleet.sight import Bot
    from canaryfleet.sources import Source


def parser(
    command: str, description: str, *, output: bool = True, formats: tuple[str, ...] = ("text", "json")
) -> "ArgumentParser":
    """A command's parser with what all have: --root, and --output if it prints a result."""
    from argparse import ArgumentParser

    parser = ArgumentParser(prog=f"canaryfleet {command}", description=description, allow_abbrev=False)
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="the GitOps repository (default: the nearest folder above with a fleet.yaml)",
    )
    if output:
        parser.add_argument("--output", choices=formats, default="text", help="how to print the result")
    return parser


def add_timeout(parser: "ArgumentParser") -> None:
    """The option of commands that read clusters."""
    parser.add_argument(
        "--timeout", default="10s", metavar="TIME", help="limit for each cluster by itself (default: 10s)"
    )


def add_clone(parser: "ArgumentParser") -> None:
    """The options of the bot's commands, where nobody keeps a clone for it."""
    parser.add_argument(
        "--clone",
        metavar="ADDRESS",
        help="begin with a new clone of this repository in the folder --root, which is made for it",
    )
    parser.add_argument(
        "--forge",
        choices=("github", "gitea", "local"),
        help="with --clone: what ADDRESS is of, where its host does not say so",
    )


SHOW = "--\0parser"  # a word that nobody can type


class Shown(Exception):
    """Instead of running, a command was asked for its parser."""

    def __init__(self, parser: "ArgumentParser") -> None:
        super().__init__()
        self.parser = parser


def parse(parser: "ArgumentParser", given: list[str]) -> "Namespace":
    """The options. argparse ends the command for wrong words and for --help, with codes that are ours too."""
    if given == [SHOW]:
        raise Shown(parser)
    try:
        return parser.parse_args(given)
    except SystemExit as exit_:  # argparse has printed its message, or its help
        raise _Exit(int(exit_.code or 0)) from None


class _Exit(SystemExit):
    """argparse's own end; its codes are ours already."""


def tree(root: str | None, *, to_write: bool = False) -> "Tree":
    """The repository; what an interrupted writer left behind is rolled back before it is read."""
    from canaryfleet import files

    found = root or nearest_root()
    if found is None:
        raise UsageError("there is no fleet.yaml here or above; use --root, or go to a GitOps repository")
    tree = files.Tree(found)
    if to_write:
        files.recover(tree.root)
    return tree


def add_staged(parser: "ArgumentParser") -> None:
    """The option of commands that check what is about to be committed."""
    parser.add_argument(
        "--staged",
        action="store_true",
        help="look at what `git commit` would commit: what was not added is not there",
    )


def staged(tree: "Tree", *, wanted: bool) -> "contextlib.AbstractContextManager[Tree]":
    """The repository as Git's index has it, if that is `wanted`, or as it lies there."""
    if not wanted:
        return contextlib.nullcontext(tree)
    import os

    from canaryfleet.staged import staged

    return staged(tree.root, os.environ)


def nearest_root() -> str | None:
    """The nearest folder, from the current one upwards, with a fleet.yaml."""
    import os

    folder = os.getcwd()
    while not os.path.isfile(os.path.join(folder, "fleet.yaml")):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return None
    return folder


def seconds(text: str, option: str) -> float:
    """A duration such as 10s, longer than nothing."""
    from canaryfleet.quantity import duration

    try:
        seconds = float(duration(text))
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if not seconds:
        raise UsageError(f"{option}: it has to be more than nothing, such as 10s")
    return seconds


def source(snapshot: str | None, root: str) -> "Source":
    """Where clusters are read: a recorded file, or each as its own file says."""
    if snapshot:
        from canaryfleet.sources.snapshot import Recorded

        return Recorded.of_file(snapshot)
    from canaryfleet.sources.many import Many

    return Many(root)


def bot(options: "Namespace") -> "Bot":
    """The bot of the clone that the options name."""
    from canaryfleet.bot import make

    if options.clone is not None:
        _clone(options)
    elif options.forge:
        raise UsageError("--forge says what --clone is of; without it fleet.yaml does")
    return make(tree(options.root), seconds(options.timeout, "--timeout"))


def _clone(options: "Namespace") -> None:
    from canaryfleet import clone
    from canaryfleet.repo import fleet

    if not options.clone.strip():  # as a variable that is not set
        raise UsageError("--clone: the address of the repository is empty")
    if not options.root:
        raise UsageError("--clone needs --root DIR, the folder to make")
    clone.fresh(options.clone, options.forge, options.root)
    clone.agree(fleet(tree(options.root)).forge, options.clone, options.forge)
