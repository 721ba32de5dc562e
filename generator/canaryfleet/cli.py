"""The command line: which commands there are, and how each ends. A command's module is imported when it is called."""

import itertools
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from canaryfleet import __version__
from canaryfleet.errors import (
    EXIT_BUG,
    EXIT_FINDINGS,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    Problems,
    UsageError,
)


class Command(NamedTuple):
    """A line of the overview, and the function of `canaryfleet.commands.<module>` that runs it."""

    summary: str
    module: str
    function: str = "run"


COMMANDS: dict[str, Command] = {
    "init": Command("make a new GitOps repository, or a new app in one", "init"),
    "pin": Command("write the digests of images, as their registries say them", "pin"),
    "lint": Command("say what is wrong with specs and clusters, and what is dangerous", "lint"),
    "render": Command("freeze releases and refresh overlays; --check proves the tree", "render"),
    "plan": Command("say how a release would go, by wave, and what goes outside of the canary", "plan"),
    "forecast": Command("say how far a fault would get before a release is stopped", "forecast"),
    "point": Command("point the next clusters of a wave at a release", "point"),
    "diff": Command("say what a change does to which clusters, at once or from wave to wave", "diff"),
    "review": Command("say what a change does and what is wrong with it, for its pull request", "review"),
    "build": Command("print the final objects of an app on a cluster", "build"),
    "status": Command("say what runs where, by wave, and what is true of it", "status"),
    "report": Command(
        "push a signed status of the cluster that this runs in; `report html`: a page of the fleet", "report"
    ),
    "reconcile": Command("look, decide, and move the next wave by a pull request", "reconcile"),
    "gate": Command("mark pull requests that would break a limit", "gate"),
    "rollback": Command("take a release back everywhere, and bar it", "rollback"),
    "prune": Command("take releases away that nothing needs any more", "prune"),
    "hold": Command("hold an app, a wave or a cluster", "overrule", "hold"),
    "resume": Command("end what `hold` began", "overrule", "resume"),
    "bar": Command("bar a release and its workload", "overrule", "bar"),
    "unbar": Command("lift what bars a release", "overrule", "unbar"),
    "excuse": Command("let nobody wait for a cluster", "overrule", "excuse"),
    "explain": Command("decide a recorded decision again; or say what a code means", "explain"),
    "cmp": Command("answer Argo CD as its config-management plugin", "cmp"),
    "serve": Command("answer Argo CD's ApplicationSet plugin generator", "serve"),
    "presets": Command("list the ready metrics; `presets show NAME` explains one", "presets"),
    "rbac": Command("print what a cluster has to allow, so that it can be read", "rbac"),
    "schema": Command("write the JSON Schemas that editors use", "schema"),
    "completion": Command("print what completes commands in bash, zsh or fish", "completion"),
}
COMPLETE = "__complete"  # what the shells ask, with the words so far


def _usage() -> str:
    lines = "\n".join(f"  {name:<10} {command.summary}" for name, command in COMMANDS.items())
    return f"""\
canaryfleet: progressive delivery across a fleet of clusters, by GitOps

usage: canaryfleet COMMAND [options]

{lines}

`canaryfleet COMMAND --help` explains a command. Exit codes: 0 fine, 1 findings or bad input,
2 wrong usage, 3 a bug, 130 interrupted; `status --exit-code` has more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code. A bug gets a traceback and exit 3."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(given)
    except Problems as problems:
        from canaryfleet.commands import outcome

        outcome.show(problems.findings, _wants_json(given))
        return EXIT_FINDINGS
    except UsageError as error:
        print(f"canaryfleet: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stdout = None  # the reader has gone; nothing to flush
        return EXIT_OK
    except Exception:  # the last line of defence, which says that it is a bug
        import traceback

        traceback.print_exc()
        print(
            "canaryfleet: this is a bug in canaryfleet; please report it with the lines above",
            file=sys.stderr,
        )
        return EXIT_BUG


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(_usage(), file=sys.stdout if given else sys.stderr)
        return EXIT_OK if given else EXIT_USAGE
    if given[0] == "--version":
        print(f"canaryfleet {__version__}")
        return EXIT_OK
    if given[0] == COMPLETE:
        from canaryfleet.commands import complete

        return complete.run(given[1:], table())
    if given[0] not in COMMANDS:
        from canaryfleet.nearest import nearest

        raise UsageError(f"there is no command {given[0]}; {nearest(given[0], COMMANDS)}")
    return int(function(COMMANDS[given[0]])(given[1:]))


def function(command: Command) -> Callable[[list[str]], int]:
    """What runs a command; its module is imported now."""
    module = __import__(f"canaryfleet.commands.{command.module}", fromlist=[command.function])
    found: Callable[[list[str]], int] = getattr(module, command.function)
    return found


def table() -> dict[str, tuple[str, Callable[[list[str]], int]]]:
    """Each command's line of the overview, and what runs it, imported when it is called."""
    return {
        name: (command.summary, lambda given, command=command: function(command)(given))  # type: ignore[misc]
        for name, command in COMMANDS.items()
    }


def _wants_json(given: list[str]) -> bool:
    return any(word == "--output=json" for word in given) or "json" in [
        after for word, after in itertools.pairwise(given) if word == "--output"
    ]


def run() -> None:
    """The console script. What a command makes is needed until it ends: looking for garbage costs a third."""
    import gc

    gc.disable()
    code = main()
    gc.freeze()  # nor when the interpreter ends
    sys.exit(code)
