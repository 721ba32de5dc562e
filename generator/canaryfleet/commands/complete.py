"""`canaryfleet __complete`: what the last of the words can become, as the shells ask it.

Everything comes from the commands' own parsers and from the repository, so it is never out of date. A failure is
silence: nobody reads errors while typing.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from canaryfleet.commands import arguments
from canaryfleet.errors import EXIT_OK, Problems

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser

FILES, FOLDERS = ":files", ":folders"
# Names of a repository's own files; what else stands there is not put on anybody's command line.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Answer(NamedTuple):
    """A word, and what it means."""

    word: str
    text: str = ""


Table = Mapping[str, tuple[str, Callable[[list[str]], int]]]


def run(words: list[str], commands: Table) -> int:
    """Print the answers, a line each. `words`: those after `canaryfleet`, the last one being typed."""
    try:
        for answer in _answers(_joined(words) or [""], commands):
            print(answer.word + (f"\t{answer.text}" if answer.text else ""))
    except (Problems, OSError, ValueError):
        pass
    return EXIT_OK


def _joined(words: Sequence[str]) -> list[str]:
    """bash parts `--option=value` into three words."""
    made: list[str] = []
    for word in words:
        if word == "=" and made and made[-1].startswith("--"):
            made.append("")
        elif len(made) > 1 and made[-1] == "" and made[-2].startswith("--") and word:
            made[-1] = word
        else:
            made.append(word)
    return made


def _answers(words: Sequence[str], commands: Table) -> Iterator[Answer]:
    current = words[-1]
    if len(words) == 1:
        known = [Answer(name, summary) for name, (summary, _) in commands.items()]
        if current.startswith("-"):
            known += [Answer("--help", "explain all commands"), Answer("--version", "say which it is")]
        yield from _beginning(known, current)
    elif words[0] in commands:
        _, function = commands[words[0]]
        yield from _of_command(words[0], parser_of(function), list(words[1:-1]), current)


def _of_command(command: str, parser: "ArgumentParser", before: list[str], current: str) -> Iterator[Answer]:
    options = {name: action for action in parser._actions for name in action.option_strings}
    option, sign, value = current.partition("=")
    if sign and option in options:
        found = _values(command, options[option], before)
        yield from (answer._replace(word=f"{option}={answer.word}") for answer in _beginning(found, value))
    elif before and before[-1] in options and options[before[-1]].nargs != 0:
        yield from _beginning(_values(command, options[before[-1]], before), current)
    elif current.startswith("-"):
        yield from _beginning(_options(parser, before), current)
    else:
        place = _place(parser, options, before)
        yield from _beginning(_values(command, place, before) if place else (), current)


def parser_of(function: Callable[[list[str]], int]) -> "ArgumentParser":
    """The parser of a command, which is asked for it instead of being run."""
    try:
        function([arguments.SHOW])
    except arguments.Shown as shown:
        return shown.parser
    raise ValueError("a command without a parser")


def _options(parser: "ArgumentParser", before: Sequence[str]) -> Iterator[Answer]:
    """Options that can still be given: each once, but for those that add up."""
    for action in parser._actions:
        again = type(action).__name__ == "_AppendAction" or set(action.option_strings).isdisjoint(before)
        for name in action.option_strings if again else ():
            if name.startswith("--"):
                yield Answer(name, (action.help or "").replace("%%", "%"))


def _place(parser: "ArgumentParser", options: dict[str, "Action"], before: Sequence[str]) -> "Action | None":
    """The argument without a name whose turn it is."""
    count, takes_value = 0, False
    for word in before:
        if takes_value:
            takes_value = False
        elif word.startswith("-"):
            takes_value = word in options and options[word].nargs != 0
        else:
            count += 1
    places = [action for action in parser._actions if not action.option_strings]
    if count < len(places):
        return places[count]
    return places[-1] if places and places[-1].nargs == "*" else None


def _values(command: str, action: "Action", before: Sequence[str]) -> Iterable[Answer]:
    """What an argument can be, by what it is called in the help."""
    if action.choices:
        return [Answer(str(choice)) for choice in action.choices]
    name = str(action.metavar or action.dest).upper()
    if "FILE" in name:
        return [Answer(FILES)]
    if name == "DIR":
        return [Answer(FOLDERS)]
    if command == "init" or name not in _NAMED:
        return []
    return [Answer(each) for each in _NAMED[name](_root(before), before) if _NAME.fullmatch(each)]


def _beginning(answers: Iterable[Answer], current: str) -> Iterator[Answer]:
    return (
        answer for answer in answers if answer.word.startswith(current) or answer.word in (FILES, FOLDERS)
    )


# Names of the repository


def _root(before: Sequence[str]) -> str:
    if "--root" in before[:-1]:
        return before[before.index("--root") + 1]
    found = [word.removeprefix("--root=") for word in before if word.startswith("--root=")]
    return found[0] if found else arguments.nearest_root() or os.getcwd()


def _listed(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def _apps(root: str, _: Sequence[str]) -> list[str]:
    return _listed(os.path.join(root, "specs"))


def _clusters(root: str, _: Sequence[str]) -> list[str]:
    names = _listed(os.path.join(root, "clusters"))
    return [name.removesuffix(".yaml") for name in names if name.endswith(".yaml")]


def _releases(root: str, before: Sequence[str]) -> list[str]:
    app = _app(root, before)
    return _listed(os.path.join(root, "overlays", app, "releases")) if app else []


def _waves(root: str, before: Sequence[str]) -> list[str]:
    """Of the app's spec as it stands; from Git's point of view a release may have others."""
    from canaryfleet.files import Tree
    from canaryfleet.syntax import load

    app = _app(root, before)
    if not app:
        return []
    path = f"specs/{app}/canary.yaml"
    data = load(Tree(root).read(path), path)
    waves = data.get("waves") if isinstance(data, dict) else None
    named = [wave.get("name") for wave in waves if isinstance(wave, dict)] if isinstance(waves, list) else []
    return [name for name in named if isinstance(name, str)]


def _app(root: str, before: Sequence[str]) -> str | None:
    """The app that is named already."""
    known = set(_apps(root, before))
    return next((word for word in before if word in known), None)


_NAMED = {
    "APP": _apps,
    "APPS": _apps,
    "CLUSTER": _clusters,
    "WAVE": _waves,
    "RELEASE": _releases,
    "ID": _releases,
}
