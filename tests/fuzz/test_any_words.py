"""Words of the command line: whatever they are, a command ends as commands do, and writes nowhere else."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver import Repo
from hostile import TEXTS, ends, tried
from hypothesis import example, given
from hypothesis import strategies as st

from canaryfleet import cli
from canaryfleet.commands.arguments import SHOW, Shown

ASKS = ("report", "serve", "reconcile", "gate")  # they go on, or need a forge: tried by themselves
WORDS = [
    *(text for text in TEXTS if "\0" not in text),
    *("chat", "eu-1", "pilot", "1.0.0", "specs", ".", "/", "-", "9" * 18),
]


def options() -> dict[str, list[str]]:
    """The options of each command that only looks at the repository, or writes below it."""
    found = {}
    for name, command in cli.COMMANDS.items():
        if name in ASKS:
            continue
        try:
            cli.function(command)([SHOW])
        except Shown as shown:
            actions = shown.parser._actions
            found[name] = [word for action in actions for word in action.option_strings]
        except (Exception, SystemExit):
            found[name] = []
    return found


OPTIONS = options()
LEFT_OUT = {"--root", "--watch", "--help", "-h", "--listen", "--lease", "--clone"}
WRITTEN = ("--record", "--to", "--sarif")  # with the file that they name


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repo]:
    """A rendered repository, from a folder of its own, which has nothing else."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "here").mkdir()
    made = Repo(folder / "fleet").rendered().committed()
    before = Path.cwd()
    os.chdir(folder / "here")
    yield made
    os.chdir(before)


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A command with options and words, right ones and others."""
    command = draw(st.sampled_from(sorted(OPTIONS)))
    known = [word for word in OPTIONS[command] if word not in LEFT_OUT]
    line = [command]
    for _ in range(draw(st.integers(0, 4))):
        option = draw(st.sampled_from([*known, "", "--no-such"]))
        line += [option] if option else []
        line += [draw(st.sampled_from(WORDS))] if draw(st.booleans()) else []
    return line


def test_the_options_of_commands_are_known() -> None:
    assert sum(map(len, OPTIONS.values())) > 100


@tried(30)
@given(line=lines())
@example(["point", "chat", "--wave", "../.."])
@example(["init", "../../x", "--image", "x"])
@example(["status", "--record", "/nowhere/at/all"])
@example(["forecast", "chat", "--seed", "9" * 5000])
@example(["status", "chat", "--timeout", "99999999d"])
@example(["hold", "chat", "--until", "99999999d"])
@example(["plan", "--at", "99999999d"])
def test_any_words(repo: Repo, line: list[str]) -> None:
    around = repo.root.parent
    root = [] if line[0] == "completion" else ["--root", str(repo.root)]
    ends(*line, *root)
    assert sorted(path.name for path in around.iterdir()) == ["fleet", "here"]
    written = sorted(path.name for path in (around / "here").iterdir())
    asked = {word for option, word in itertools.pairwise(line) if option in WRITTEN}
    assert set(written) <= {word.partition("/")[0] for word in asked} | asked, written
    for name in written:  # a file that the words have named
        path = around / "here" / name
        path.unlink() if path.is_file() else None


@pytest.mark.parametrize(
    "root", [" ", "/nowhere", "a\nb", "\x1b[31m", "x" * 5000, "/etc/passwd", "/proc/self"]
)
def test_any_root(root: str) -> None:
    for command in ("lint", "status", "render", "prune"):
        ends(command, "--root", root)
