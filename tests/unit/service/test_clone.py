"""The bot's own clone, made anew at each start: what a pod begins with."""

import fcntl
import subprocess
from pathlib import Path

import pytest

from canaryfleet import cli, clone, git
from canaryfleet.clone import MARK, settings
from canaryfleet.errors import Problems, UsageError
from canaryfleet.models.fleet import Forge as Settings
from story import Story


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".git", MARK}


def test_a_run_begins_with_what_the_repository_is_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story(tmp_path)
    words = ["--clone", str(story.bare), "--root", str(tmp_path / "own")]
    assert cli.main(["reconcile", *words, "--output", "json"]) == 0
    assert '"app": "chat"' in capsys.readouterr().out.replace("\n", "")
    assert files(tmp_path / "own") == files(story.people)
    story.release("1.1.0")
    assert cli.main(["reconcile", *words, "--dry-run"]) == 0
    assert "1.1.0" in (tmp_path / "own/specs/chat/canary.yaml").read_text()
    assert cli.main(["gate", *words]) == 0, "what judges pull requests needs a clone too"


def test_what_somebody_who_was_killed_left_behind_is_not_met_again(tmp_path: Path) -> None:
    story, own = Story(tmp_path), tmp_path / "own"
    clone.fresh(str(story.bare), None, str(own))
    (own / ".git/packed-refs.lock").touch()
    (own / ".git/index.lock").touch()
    (own / "elsewhere").symlink_to(story.people)
    clone.fresh(f"file://{story.bare}", "local", str(own))
    assert not list((own / ".git").glob("*.lock"))
    assert (story.people / "fleet.yaml").exists(), "a link is taken away, and not what it leads to"
    assert git.run(own, ["remote", "get-url", "origin"]).decode().strip() == str(story.bare)


def test_what_somebody_has_made_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = Story(tmp_path)
    before = git.run(story.people, ["rev-parse", "HEAD"])
    words = ["reconcile", "--clone", str(story.bare), "--root", str(story.people)]
    assert cli.main(words) == 2
    assert f"{story.people} is not empty, and no clone of ours" in capsys.readouterr().err
    assert git.run(story.people, ["rev-parse", "HEAD"]) == before
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="can't be used: File exists"):
        clone.fresh(str(story.bare), None, str(tmp_path / "file"))


def test_the_folder_of_a_process_that_works_is_not_taken(tmp_path: Path) -> None:
    story, own = Story(tmp_path), tmp_path / "own"
    own.mkdir()
    with (own / MARK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another canaryfleet works in"):
            clone.fresh(str(story.bare), None, str(own))
    clone.fresh(str(story.bare), None, str(own))


@pytest.mark.parametrize("kind", ["link", "folder", "file"])
def test_the_repository_can_t_replace_the_mark(tmp_path: Path, kind: str) -> None:
    """Else the lock would be gone, and with a link or a folder no later start could take it."""
    story, mark = Story(tmp_path), tmp_path / "own" / MARK
    theirs = story.people / MARK
    if kind == "link":
        theirs.symlink_to("/etc/passwd")
    elif kind == "folder":
        theirs.mkdir()
        (theirs / "x").touch()
    else:
        theirs.write_text("mine")
    story.commit("A mark")
    for _ in range(2):
        with pytest.raises(Problems, match="with which canaryfleet marks a clone of its own"):
            clone.fresh(str(story.bare), None, str(tmp_path / "own"))
        assert mark.is_file()
        assert not mark.is_symlink()
        assert mark.read_bytes() == b""


def test_nothing_of_the_clone_comes_from_the_users_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story(tmp_path)
    (tmp_path / "templates/hooks").mkdir(parents=True)
    (tmp_path / "templates/hooks/post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "templates/hooks/post-checkout").chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[init]\n\ttemplateDir = {tmp_path}/templates\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    clone.fresh(str(story.bare), None, str(tmp_path / "own"))
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "own/.git/hooks").exists()


def test_a_default_branch_with_a_line_separator_in_its_name(tmp_path: Path) -> None:
    for words in (["init", "-q", "-b", "tr\u2028unk", "."], ["commit", "-q", "--allow-empty", "-m", "x"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@acme.example"]
        subprocess.run(["git", *identity, *words], cwd=_made(tmp_path / "shared"), check=True)
    clone.fresh(str(tmp_path / "shared"), None, str(tmp_path / "own"))
    assert list(git.refs(tmp_path / "own", "refs/remotes/")) == ["refs/remotes/origin/tr\u2028unk"]


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_a_repository_of_either_kind_of_ids(tmp_path: Path, kind: str) -> None:
    words = ["git", "-c", "user.name=a", "-c", "user.email=a@acme.example"]
    for step in (
        ["init", "-q", "-b", "trunk", f"--object-format={kind}", "."],
        ["commit", "-q", "--allow-empty", "-m", "x"],
        ["update-ref", "refs/remotes/elsewhere/HEAD", "HEAD"],  # which also ends with HEAD
    ):
        subprocess.run([*words, *step], cwd=_made(tmp_path / "shared"), check=True)
    clone.fresh(str(tmp_path / "shared"), None, str(tmp_path / "own"))
    assert list(git.refs(tmp_path / "own", "refs/remotes/")) == ["refs/remotes/origin/trunk"]


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def test_a_repository_without_a_commit_says_what_to_do(tmp_path: Path) -> None:
    git.run(tmp_path, ["init", "-q", "--bare", "empty.git"])
    with pytest.raises(Problems, match="no default branch with a commit"):
        clone.fresh(str(tmp_path / "empty.git"), None, str(tmp_path / "own"))


GITHUB = "https://github.com/acme/fleet"
GITEA = "https://git.acme.example"


@pytest.mark.parametrize(
    ("address", "forge", "expected"),
    [
        (GITHUB, None, Settings(type="github", repository="acme/fleet")),
        (f"{GITHUB}.git/", "github", Settings(type="github", repository="acme/fleet")),
        (
            "https://acme.ghe.com/acme/fleet",
            None,
            Settings(type="github", repository="acme/fleet", url="https://api.acme.ghe.com"),
        ),
        (
            f"{GITEA}/acme/fleet",
            "github",
            Settings(type="github", repository="acme/fleet", url=f"{GITEA}/api/v3"),
        ),
        (
            f"{GITEA}:3000/acme/fleet.git",
            "gitea",
            Settings(type="gitea", repository="acme/fleet", url=f"{GITEA}:3000/api/v1"),
        ),
        (
            f"{GITEA}/code/acme/fleet",
            "gitea",
            Settings(type="gitea", repository="acme/fleet", url=f"{GITEA}/code/api/v1"),
        ),
        ("/srv/fleet.git", None, Settings()),
        ("file:///srv/fleet.git", "local", Settings()),
    ],
)
def test_the_address_says_which_forge_it_is(address: str, forge: str | None, expected: Settings) -> None:
    assert settings(address, forge) == expected


@pytest.mark.parametrize(
    ("address", "forge", "words"),
    [
        (f"{GITEA}/acme/fleet", None, "say with --forge what git.acme.example is"),
        (f"{GITEA}/acme/fleet", "local", "say with --forge what git.acme.example is"),
        (GITHUB, "gitea", "--forge gitea: the address of --clone is one of github"),
        ("/srv/fleet.git", "github", "one of local"),
        ("ssh://git@github.com/acme/fleet", None, "only https is spoken"),
        ("git@github.com:acme/fleet", None, "only https is spoken"),
        ("ext::sh -c date", None, "only https is spoken"),
        ("https://ann:secret@github.com/acme/fleet", None, "take the user or token out"),
        ("https://[::1", None, "that is no address"),
    ],
)
def test_an_address_that_says_it_not_is_refused(address: str, forge: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        settings(address, forge)


def test_a_token_goes_to_no_host_but_that_of_the_forge_that_was_named(tmp_path: Path) -> None:
    tokens = {"CANARYFLEET_GITHUB_TOKEN": "github-secret", "GITHUB_TOKEN": "github-secret"}
    with pytest.raises(Problems, match="CANARYFLEET_GITEA_TOKEN is not set"):
        clone.fresh(f"{GITEA}/acme/fleet", "gitea", str(tmp_path / "own"), tokens)
    assert not (tmp_path / "own").exists()


def test_the_options_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reconcile", "--clone", str(tmp_path)]) == 2
    assert "--clone needs --root DIR" in capsys.readouterr().err
    for empty in ("", " "):
        assert cli.main(["reconcile", "--clone", empty, "--root", str(tmp_path)]) == 2
        assert "the address of the repository is empty" in capsys.readouterr().err
    assert cli.main(["gate", "--forge", "github"]) == 2
    assert "without it fleet.yaml does" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("named", "address", "forge"),
    [
        (Settings(type="github", repository="Acme/fleet"), GITHUB, None),
        (Settings(type="github", repository="acme/fleet", url="https://api.github.com/"), GITHUB, None),
        (
            Settings(type="gitea", repository="acme/fleet", url=f"{GITEA}/api/v1"),
            f"{GITEA}/acme/fleet",
            "gitea",
        ),
        (
            Settings(type="gitea", repository="acme/fleet", url=f"{GITEA}:443/code/api/v1/"),
            f"{GITEA}/code/acme/fleet",
            "gitea",
        ),
        (Settings(), "/srv/fleet.git", None),
        (Settings(repository="acme/fleet"), "/srv/fleet.git", None),
    ],
)
def test_fleet_yaml_names_the_forge_that_is_cloned_from(
    named: Settings, address: str, forge: str | None
) -> None:
    clone.agree(named, address, forge)


@pytest.mark.parametrize(
    "named",
    [
        Settings(type="github", repository="acme/fleet", url="https://evil.example/api/v3"),
        Settings(type="github", repository="evil/fleet"),
        Settings(type="github", repository="acme/fleet", url="https://[::1"),
        Settings(type="gitea", repository="acme/fleet", url="https://api.github.com"),
        Settings(),
    ],
)
def test_no_token_goes_to_a_host_that_only_fleet_yaml_names(named: Settings) -> None:
    """Who runs the bot says --clone; fleet.yaml is a file that a pull request changes."""
    with pytest.raises(Problems, match="and --clone is of github acme/fleet"):
        clone.agree(named, GITHUB, None)


def test_another_forge_on_the_same_host_is_another() -> None:
    named = Settings(type="gitea", repository="acme/fleet", url=f"{GITEA}/evil/api/v1")
    with pytest.raises(Problems, match="and --clone is of gitea"):
        clone.agree(named, f"{GITEA}/acme/fleet", "gitea")


def test_a_bot_whose_fleet_yaml_names_another_forge_does_not_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story(tmp_path)
    fleet = story.people / "fleet.yaml"
    fleet.write_text(
        fleet.read_text()
        + "forge: {type: github, repository: acme/fleet, url: 'https://evil.example/api/v3'}\n"
    )
    story.commit("Another forge")
    monkeypatch.setenv("CANARYFLEET_GITHUB_TOKEN", "secret")
    assert cli.main(["reconcile", "--clone", str(story.bare), "--root", str(tmp_path / "own")]) == 1
    said = capsys.readouterr().err
    assert "`forge` is github acme/fleet at https://evil.example/api/v3, and --clone is of local" in said
