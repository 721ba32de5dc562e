"""Exit codes, JSON, and real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from driver import SPEC, Repo, run

import canaryfleet
from canaryfleet import cli

COMMANDS = ("lint", "render", "point", "build", "presets", "schema")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(canaryfleet.__file__).parents[1])}


def process(repo: Repo, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    words = [sys.executable, "-m", "canaryfleet", *arguments]
    folder = cwd or repo.root
    return subprocess.run(words, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    result = run(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"usage: canaryfleet {command}")
    assert command in run("--help").out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("lnt",),
        ("lint", "--nope"),
        ("render", "--chck"),
        ("point",),
        ("point", "chat"),
        ("build", "chat"),
        ("build", "chat", "eu-1", "more"),
        ("lint", "--output", "xml"),
        ("schema", "--output", "json"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert "usage" in result.err or "did you mean" in result.err


def test_a_fleet_is_found_from_below_and_missed_elsewhere(repo: Repo, tmp_path: Path) -> None:
    assert process(repo, "lint", cwd=repo.root / "specs/chat").returncode == 0
    lost = process(repo, "lint", cwd=tmp_path)
    assert (lost.returncode, lost.stdout) == (2, "")
    assert "no fleet.yaml" in lost.stderr


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), RecursionError(), MemoryError()])
def test_a_bug_is_no_finding(repo: Repo, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("canaryfleet.repo.read", broken)
    result = repo.run("lint", "--output", "json")
    assert result.code == 3
    assert "Traceback" in result.err
    assert "please report" in result.err


def test_ctrl_c(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("canaryfleet.repo.read", interrupted)
    result = repo.run("lint")
    assert (result.code, result.out, result.err) == (130, "", "")


def test_ctrl_c_in_a_real_process(repo: Repo) -> None:
    """While kustomize is being waited for; it goes too."""
    pid = repo.root / "pid"
    slow = repo.root / "kustomize"
    slow.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && echo v5.8.1 && exit\necho $$ > {pid}\nexec {shutil.which("sleep")} 30\n'
    )
    slow.chmod(0o755)
    repo.base(kustomization="resources: []\n")
    words = [sys.executable, "-m", "canaryfleet", "lint"]
    environment = ENVIRONMENT | {"CANARYFLEET_KUSTOMIZE": str(slow)}
    # a shell's background jobs ignore SIGINT, and so would what they start
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        words,
        cwd=repo.root,
        env=environment,
        stderr=subprocess.PIPE,
        preexec_fn=heed,  # noqa: PLW1509
    ) as running:
        deadline = time.monotonic() + 20
        while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        said = running.stderr.read().decode()
        assert (running.wait(20), said) == (130, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_reader_that_leaves(repo: Repo) -> None:
    """`canaryfleet build … | head -1`."""
    repo.rendered()
    for words in ("build chat eu-1 --root .", "--help"):
        command = f'"{sys.executable}" -m canaryfleet {words} | true; exit ${{PIPESTATUS[0]}}'
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=repo.root,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


JSON_COMMANDS = [
    ("lint",),
    ("lint", "none"),
    ("render",),
    ("render", "--check"),
    ("render", "none"),
    ("point", "chat", "--wave", "pilot"),
    ("point", "chat", "--wave", "none"),
    ("point", "none", "--wave", "pilot"),
    ("point", "chat", "--wave", "pilot", "--release", "none"),
]
TREES = {
    "right": SPEC,
    "a warning": SPEC.replace("{name: rest}", "{name: rest}\n- {name: more}"),
    "wrong": SPEC.replace("port: 8000", "port: x"),
    "hostile": SPEC.replace("port: 8000", 'port: 8000\n  "a\\"\\n\\e[31m\\u20ac": 1'),
    "unreadable": "{",
}


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("flag", [["--output", "json"], ["--output=json"]], ids=" ".join)
def test_json_is_always_json(repo: Repo, tree: str, flag: list[str]) -> None:
    repo.write("specs/chat/canary.yaml", TREES[tree])
    for command in JSON_COMMANDS:
        result = repo.run(*command, *flag)
        assert result.code in (0, 1)
        data = result.json
        assert isinstance(data, dict), command
        errors = [item for item in data.get("findings", ()) if item["severity"] == "error"]
        assert bool(errors or data.get("reasons")) == bool(result.code), (command, data)
        for item in data.get("findings", ()):
            assert item["code"].startswith("CF")
            assert item["file"]


def test_json_of_a_real_process(repo: Repo) -> None:
    repo.write("specs/chat/canary.yaml", TREES["hostile"])
    done = process(repo, "lint", "--output", "json")
    assert done.returncode == 1
    assert done.stderr == ""
    assert json.loads(done.stdout)["findings"][0]["line"] == 8


def test_main_takes_the_words_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["canaryfleet", "--version"])
    with pytest.raises(SystemExit) as end:
        cli.run()
    assert end.value.code == 0
