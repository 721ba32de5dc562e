"""Completion, tried by the shells themselves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from driver import Repo, run

import canaryfleet
from canaryfleet.cli import COMMANDS, function
from canaryfleet.commands.complete import parser_of

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A canaryfleet on the PATH, and a home without settings."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "canaryfleet"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m canaryfleet "$@"\n')
    program.chmod(0o755)
    source = str(Path(canaryfleet.__file__).parents[1])
    path = f"{folder}:{os.environ['PATH']}"
    return os.environ | {
        "PATH": path,
        "PYTHONPATH": source,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
    }


def complete(*words: str) -> list[str]:
    """The words that are offered."""
    found = run("__complete", *words)
    assert (found.code, found.err) == (0, "")
    return [line.partition("\t")[0] for line in found.out.splitlines()]


def at(repo: Repo, *words: str) -> list[str]:
    """The same in a repository."""
    return complete(words[0], "--root", str(repo.root), *words[1:])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_offers_the_options_of_its_own_parser(command: str) -> None:
    known = {
        name
        for action in parser_of(function(COMMANDS[command]))._actions
        for name in action.option_strings
        if name[1] == "-"
    }
    assert set(complete(command, "-")) == known
    listed = run(command, "--help").out
    assert all(name in listed for name in known)


def test_commands() -> None:
    assert complete("") == list(COMMANDS)
    assert complete("re") == [name for name in COMMANDS if name.startswith("re")]
    assert complete("--v") == ["--version"]
    assert COMMANDS["lint"].summary in run("__complete", "lin").out


def test_names_of_the_repository(repo: Repo) -> None:
    repo.rendered()
    (release,) = (path.name for path in (repo.root / "overlays/chat/releases").iterdir())
    assert at(repo, "lint", "") == ["chat"]
    assert at(repo, "lint", "chat", "") == ["chat"]
    assert at(repo, "build", "chat", "eu") == ["eu-1", "eu-2"]
    assert at(repo, "build", "chat", "eu-1", "") == []
    assert at(repo, "point", "chat", "--wave", "p") == ["pilot"]
    assert at(repo, "point", "chat", "--release", "") == [release]
    assert at(repo, "bar", "chat", "") == [release]
    assert at(repo, "hold", "chat", "--cluster", "eu-2") == ["eu-2"]
    assert at(repo, "init", "") == []


def test_values_of_options(repo: Repo) -> None:
    assert complete("status", "--output", "") == ["text", "json"]
    assert complete("status", "--output=j") == ["--output=json"]
    assert complete("status", "--output", "=", "j") == ["json"], "as bash parts the words"
    assert complete("status", "--output", "=") == ["text", "json"]
    assert complete("status", "--snapshot", "") == [":files"]
    assert complete("lint", "--root", "") == [":folders"]
    assert "--watch" not in complete("status", "--watch", "--")
    assert "--at-rest" in complete("render", "--at-rest", "all", "--")


def test_what_is_no_name_is_not_put_on_a_command_line(repo: Repo) -> None:
    for name in ("$(touch x)", "a\tb", "-rf", "\x1b[31m", "a b"):
        (repo.root / "specs" / name).mkdir()
    assert at(repo, "lint", "") == ["chat"]
    repo.write("specs/chat/canary.yaml", "waves: [{name: $(x)}, {name: ok}, 5]")
    assert at(repo, "point", "chat", "--wave", "") == ["ok"]


@pytest.mark.parametrize(
    "words", [(), ("",), ("nonsense", ""), ("lint", "--root", "/nowhere", ""), ("explain",), ("=", "=")]
)
def test_silence_where_there_is_nothing(words: tuple[str, ...]) -> None:
    complete(*words)


def test_a_broken_spec_is_silence(repo: Repo) -> None:
    repo.write("specs/chat/canary.yaml", "a: [")
    assert at(repo, "point", "chat", "--wave", "") == []


# The shells


def shell(program: str, script: str, repo: Repo, environment: dict[str, str]) -> list[str]:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    options = {"bash": ["--noprofile", "--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[program]
    done = subprocess.run(
        [found, *options, "-c", script],
        cwd=repo.root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def bash(words: str) -> str:
    """bash with completion of an array of words, as it fills it itself."""
    return f"""
source <(canaryfleet completion bash)
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$(complete -p canaryfleet | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("canaryfleet sta", ["status"]),
        ("canaryfleet build chat ''", ["eu-1", "eu-2"]),
        ("canaryfleet point chat --wave ''", ["pilot", "rest"]),
        ("canaryfleet lint --output = j", ["json"]),
        ("canaryfleet lint nothing-such", [""]),
    ],
)
def test_bash(repo: Repo, environment: dict[str, str], words: str, wanted: list[str]) -> None:
    assert shell("bash", bash(words), repo, environment) == wanted


def test_bash_evaluates_nothing_of_an_answer(repo: Repo, environment: dict[str, str]) -> None:
    program = repo.root / "fake"
    program.write_text("#!/bin/sh\necho '$(touch evaluated)'; echo '*'\n")
    program.chmod(0o755)
    assert shell("bash", bash("./fake ''"), repo, environment) == ["$(touch evaluated)", "*"]
    assert not (repo.root / "evaluated").exists()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("canaryfleet sta", [f"status:{COMMANDS['status'].summary}"]),
        ("canaryfleet build chat ''", ["eu-1:", "eu-2:"]),
        ("canaryfleet status --snapshot ''", ["files"]),
        ("canaryfleet lint --root ''", ["files -/"]),
    ],
)
def test_zsh(repo: Repo, environment: dict[str, str], words: str, wanted: list[str]) -> None:
    script = f"""
compdef() {{ }}
_files() {{ print -r -- files $@ }}
_describe() {{ print -rl -- "${{(@P)2}}" }}
source <(canaryfleet completion zsh)
words=({words}); CURRENT=$#words
_canaryfleet
"""
    assert shell("zsh", script, repo, environment) == wanted


def test_zsh_registers_itself_with_its_completion_system(repo: Repo, environment: dict[str, str]) -> None:
    script = "autoload -U compinit; compinit -D -u; source <(canaryfleet completion zsh); print -r -- $_comps[canaryfleet]"
    assert shell("zsh", script, repo, environment) == ["_canaryfleet"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("canaryfleet sta", [f"status\t{COMMANDS['status'].summary}"]),
        ("canaryfleet build chat ", ["eu-1", "eu-2"]),
        ("canaryfleet point chat --wave p", ["pilot"]),
        ("canaryfleet lint --output=j", ["--output=json"]),
        ("canaryfleet status --snapshot fl", ["fleet.yaml"]),
    ],
)
def test_fish(repo: Repo, environment: dict[str, str], line: str, wanted: list[str]) -> None:
    script = f"canaryfleet completion fish | source; complete -C '{line}'"
    assert shell("fish", script, repo, environment) == wanted


@pytest.mark.parametrize("program", SHELLS)
def test_each_shell_has_a_script(program: str) -> None:
    found = run("completion", program)
    assert found.code == 0
    assert "__complete" in found.out
