"""The page of the command line: each command as its own parser describes it."""

from argparse import Action, ArgumentParser
from collections.abc import Callable, Iterator

from fields import cell

from canaryfleet import cli
from canaryfleet.commands.complete import parser_of

GROUPS = {
    "init": "Write a spec",
    "lint": "Look before it moves",
    "render": "Freeze and point",
    "status": "What runs, and why",
    "reconcile": "The bot, and people beside it",
    "cmp": "Argo CD and clusters",
    "presets": "Look things up",
}
"""Where each group of commands begins, in the order of `ORDER`."""
ORDER = (
    "init", "pin",
    "lint", "plan", "forecast", "diff", "review",
    "render", "point", "build", "prune",
    "status", "report", "explain",
    "reconcile", "gate", "rollback", "hold", "resume", "bar", "unbar", "excuse",
    "cmp", "serve", "rbac",
    "presets", "schema", "completion",
)  # fmt: skip
INSIDE = {"report": ("html",), "presets": ("show",)}
"""First words with which a command is another one, with options of its own."""
TOP = """\
<!-- Made by `make reference` from the commands' own parsers. -->
# Commands

`canaryfleet COMMAND --help` prints what stands here of one. Each runs in a GitOps repository, or is told with `--root`
where one is. A command that finds something wrong writes nothing.

| exit code | what it says |
|---|---|
| 0 | fine; there may be warnings |
| 1 | something is wrong with what was read or asked for; it was said what, where, and what to do |
| 2 | wrong usage |
| 3 | a bug in canaryfleet, with a traceback |
| 130 | interrupted |

`status --exit-code` has more: 0 Verified, 10 Progressing, 11 Inconclusive, 12 Unknown, 13 Failed (the worst one). What
`--output json` prints is described by the schemas in `schemas/`.
"""


def page() -> str:
    """The whole page as Markdown."""
    named = [*ORDER, *(name for name in cli.COMMANDS if name not in ORDER)]
    parts = [TOP]
    for name in named:
        if name in GROUPS:
            parts.append(f"## {GROUPS[name]}\n")
        run = cli.function(cli.COMMANDS[name])
        parts.append(_command(parser_of(run)))
        for word in INSIDE.get(name, ()):
            parts.append(_command(parser_of(_inside(run, word))))
    return "\n".join(parts)


def _inside(run: Callable[[list[str]], int], word: str) -> Callable[[list[str]], int]:
    return lambda given: run([word, *given])


def _command(parser: ArgumentParser) -> str:
    actions = [action for action in parser._actions if action.dest != "help"]
    words = [parser.prog, *(_usage(action) for action in actions)]
    lines = [
        f"### `{parser.prog.removeprefix('canaryfleet ')}`",
        "",
        str(parser.description),
        "",
        "```text",
        *_wrapped(words),
        "```",
        "",
    ]
    if actions:
        lines += ["| | |", "|---|---|", *map(_row, actions), ""]
    return "\n".join(lines)


def _name(action: Action) -> str:
    if action.metavar is not None:
        return str(action.metavar)
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper()


def _usage(action: Action) -> str:
    if not action.option_strings:
        return {"*": f"[{_name(action)}…]", "?": f"[{_name(action)}]"}.get(str(action.nargs), _name(action))
    text = action.option_strings[-1] + ("" if action.nargs == 0 else f" {_name(action)}")
    return text if action.required else f"[{text}]"


def _row(action: Action) -> str:
    named = ", ".join(action.option_strings)
    value = "" if action.nargs == 0 else _name(action)
    text = (action.help or "").replace("%%", "%")
    default = action.default if action.choices and action.option_strings else None
    said = f" (default: {default})" if default and "default" not in text else ""
    return f"| `{cell(f'{named} {value}'.strip())}` | {cell(text + said)} |"


def _wrapped(words: list[str]) -> Iterator[str]:
    line = words[0]
    for word in words[1:]:
        if len(line) + len(word) > 100:
            yield line
            line = " " * len(words[0])
        line += f" {word}"
    yield line
