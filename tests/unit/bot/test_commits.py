"""Commits, pushes and worktrees, on real repositories."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import pytest

from canaryfleet import commits, git
from canaryfleet.errors import Problems
from canaryfleet.files import Changes
from canaryfleet.forges import Remote
from canaryfleet.landing import AUTHOR, EMAIL
from forges import Ground, sh

WHEN = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
HOME = "overlays/chat"
BRANCH = "canaryfleet/chat/1"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    ground = Ground(tmp_path)
    for name in ("a", "b"):
        (ground.clone / f"{HOME}/clusters/{name}").mkdir(parents=True)
    ground.push("main", {f"{HOME}/clusters/a/kustomization.yaml": "a\n", f"{HOME}/clusters/b/x": "b\n"})
    return ground


def remote(ground: Ground) -> Remote:
    return Remote(str(ground.bare))


def make(ground: Ground, parent: str = "origin/main", **files: str | None) -> str:
    """A commit of the bot that writes or (None) deletes files of `overlays/chat/`."""
    paths = {f"{HOME}/{name.replace('__', '/')}": content for name, content in files.items()}
    writes = {path: content.encode() for path, content in paths.items() if content is not None}
    deletes = frozenset(path for path, content in paths.items() if content is None)
    id = sh(ground.clone, "rev-parse", parent)
    return commits.commit(ground.clone, id, "chat", Changes(writes, deletes), "Why\n\nBecause\n", WHEN)


def code(problems: Problems) -> str:
    return problems.findings[0].code


# --- commits


def test_a_commit_changes_nothing_else(ground: Ground) -> None:
    """Not the index, not the working tree, not HEAD, no ref; whatever a person is in the middle of."""
    (ground.clone / "README").write_text("being edited\n")
    (ground.clone / "staged").write_text("staged\n")
    sh(ground.clone, "add", "staged")
    index = (ground.clone / ".git/index").read_bytes()
    refs, head = git.refs(ground.clone), sh(ground.clone, "rev-parse", "HEAD")
    id = make(ground, promotion="é\n", clusters__b__x=None)
    assert (ground.clone / ".git/index").read_bytes() == index
    assert (git.refs(ground.clone), sh(ground.clone, "rev-parse", "HEAD")) == (refs, head)
    assert (ground.clone / "README").read_text() == "being edited\n"
    assert git.tree_files(ground.clone, id, "").keys() == {
        "README",
        f"{HOME}/clusters/a/kustomization.yaml",
        f"{HOME}/promotion",
    }
    assert sh(ground.clone, "show", f"{id}:{HOME}/promotion") == "é"
    about = sh(ground.clone, "show", "-s", "--format=%an <%ae>|%cn <%ce>|%ct|%P|%B", id)
    who = f"{AUTHOR} <{EMAIL}>"
    assert about == f"{who}|{who}|{int(WHEN.timestamp())}|{head}|Why\n\nBecause"


def test_the_same_is_the_same_commit(ground: Ground) -> None:
    assert make(ground, x="1") == make(ground, x="1") != make(ground, x="2")


def test_bytes_stay_as_they_are(ground: Ground) -> None:
    sh(ground.clone, "config", "core.autocrlf", "true")
    id = make(ground, x="a\r\nb\r\n")
    data = git.blobs(ground.clone, [f"{id}:{HOME}/x"], 99)
    assert list(data.values()) == [b"a\r\nb\r\n"]
    with commits.worktree(ground.clone, id) as folder:
        assert Path(folder, HOME, "x").read_bytes() == b"a\r\nb\r\n"
        assert Path(folder, "README").read_bytes() == b"fleet\n"


def test_a_root_may_be_a_folder_of_the_repository(ground: Ground) -> None:
    (ground.clone / "gitops").mkdir()
    ground.push("main", {"gitops/fleet.yaml": "f\n"})
    root, head = ground.clone / "gitops", sh(ground.clone, "rev-parse", "HEAD")
    id = commits.commit(root, head, "chat", Changes({f"{HOME}/x": b"x"}), "m\n", WHEN)
    assert sh(ground.clone, "show", f"{id}:gitops/{HOME}/x") == "x"
    assert commits.changed(root, head, id) == [f"{HOME}/x"]
    with commits.worktree(root, id) as folder:
        assert sorted(os.listdir(folder)) == ["fleet.yaml", "overlays"]


def test_file_names_are_only_names(ground: Ground) -> None:
    """What a person put into an overlay's folder may be called anything, and goes with it."""
    odd = [f"{HOME}/clusters/b/{name}" for name in ('q"uo\\te', "new\nline", " b", "-x", "ü")]
    head = sh(ground.clone, "rev-parse", "HEAD")
    id = commits.commit(ground.clone, head, "chat", Changes(dict.fromkeys(odd, b"1")), "m\n", WHEN)
    assert set(odd) <= git.tree_files(ground.clone, id, HOME).keys()
    gone = commits.commit(ground.clone, id, "chat", Changes({}, frozenset(odd)), "m\n", WHEN)
    assert commits.tree(ground.clone, gone) == commits.tree(ground.clone, head)


@pytest.mark.parametrize(
    "path",
    ["README", "overlays/other/x", "overlays/chat", "overlays/chat/../other/x", "overlays/chat//x",
     "/overlays/chat/x", "overlays/chat/./x", "overlays/chat/.git/config", "overlays/chat/.GIT/x", "overlays/chat/a\0b"],
)  # fmt: skip
def test_nothing_is_written_outside_of_the_app(ground: Ground, path: str) -> None:
    head = sh(ground.clone, "rev-parse", "HEAD")
    for changes in (Changes({path: b""}), Changes({}, frozenset([path]))):
        with pytest.raises(Problems) as caught:
            commits.commit(ground.clone, head, "chat", changes, "m\n", WHEN)
        assert code(caught.value) == "CF011"


@pytest.mark.parametrize(
    "link", ["overlays", HOME, f"{HOME}/clusters", f"{HOME}/clusters/a", f"{HOME}/clusters/a/x"]
)
def test_nothing_is_written_through_a_link(tmp_path: Path, link: str) -> None:
    ground = Ground(tmp_path)
    place = ground.clone / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to("/tmp")
    ground.push("main", {})
    head = sh(ground.clone, "rev-parse", "HEAD")
    with pytest.raises(Problems) as caught:
        commits.commit(ground.clone, head, "chat", Changes({f"{HOME}/clusters/a/x": b""}), "m\n", WHEN)
    assert code(caught.value) == "CF011"


def test_a_file_is_no_folder(ground: Ground) -> None:
    head = sh(ground.clone, "rev-parse", "HEAD")
    for path in (f"{HOME}/clusters/a", f"{HOME}/clusters/a/kustomization.yaml/x"):
        with pytest.raises(Problems) as caught:
            commits.commit(ground.clone, head, "chat", Changes({path: b""}), "m\n", WHEN)
        assert code(caught.value) == "CF011"


def test_a_thousand_overlays_are_quick(ground: Ground) -> None:
    writes = {f"{HOME}/clusters/c{n}/kustomization.yaml": b"x" * 900 + b"%d" % n for n in range(1000)}
    head = sh(ground.clone, "rev-parse", "HEAD")
    began = perf_counter()
    first = commits.commit(ground.clone, head, "chat", Changes(writes), "m\n", WHEN)
    took = perf_counter() - began
    assert len(git.tree_files(ground.clone, first, HOME)) == 1002
    assert took < 3  # 0.1 s on a machine that is free


# --- merging


def test_what_a_merge_gives(ground: Ground) -> None:
    base = sh(ground.clone, "rev-parse", "HEAD")
    ours = make(ground, x="1")
    theirs = ground.push("main", {"README": "other\n"})
    merged = commits.merged_tree(ground.clone, theirs, ours)
    assert merged is not None
    assert commits.changed(ground.clone, theirs, merged) == [f"{HOME}/x"]
    assert commits.changed(ground.clone, base, merged) == ["README", f"{HOME}/x"]
    other = make(ground, "HEAD", x="2")
    assert commits.merged_tree(ground.clone, other, ours) is None
    sh(ground.clone, "checkout", "-q", "--orphan", "o")
    alone = ground.push("o", {"README": "alone\n"})
    assert commits.merged_tree(ground.clone, theirs, alone) is None
    with pytest.raises(Problems):
        commits.merged_tree(ground.clone, theirs, "f" * 40)


@pytest.mark.parametrize("role", ["AUTHOR", "COMMITTER"])
def test_a_commit_of_a_person_is_theirs(ground: Ground, role: str) -> None:
    base = sh(ground.clone, "rev-parse", "HEAD")
    id = make(ground, x="1")
    assert commits.is_ours(ground.clone, base, id)
    assert commits.is_ours(ground.clone, base, base)
    bot = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", AUTHOR), ("EMAIL", EMAIL))}  # fmt: skip
    sh(ground.clone, "checkout", "-q", id)
    sh(ground.clone, "commit", "-q", "--allow-empty", "-m", "m", **bot)
    assert commits.is_ours(ground.clone, base, "HEAD")
    sh(
        ground.clone,
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "m",
        **bot | {f"GIT_{role}_EMAIL": "ann@acme.example"},
    )
    sh(ground.clone, "commit", "-q", "--allow-empty", "-m", "m", **bot)
    assert not commits.is_ours(ground.clone, base, "HEAD")


# --- pushing and fetching


def test_push_replaces_only_what_was_read(ground: Ground) -> None:
    one, two, three = make(ground, x="1"), make(ground, x="2"), make(ground, x="3")
    assert commits.push(ground.clone, remote(ground), BRANCH, one, None) == "pushed"
    assert commits.push(ground.clone, remote(ground), BRANCH, two, None) == "raced"
    assert commits.push(ground.clone, remote(ground), BRANCH, two, three) == "raced"
    assert ground.tip(BRANCH) == one
    assert commits.push(ground.clone, remote(ground), BRANCH, two, one) == "pushed"
    assert commits.push(ground.clone, remote(ground), BRANCH, None, one) == "raced"
    assert ground.tip(BRANCH) == two
    assert commits.push(ground.clone, remote(ground), BRANCH, None, two) == "pushed"
    assert commits.tip(ground.clone, remote(ground), commits.HEADS + BRANCH) is None


def test_a_push_whose_answer_was_lost_is_done(ground: Ground) -> None:
    one, two = make(ground, x="1"), make(ground, x="2")
    assert commits.push(ground.clone, remote(ground), BRANCH, one, None) == "pushed"
    assert commits.push(ground.clone, remote(ground), BRANCH, one, None) == "pushed"
    assert commits.push(ground.clone, remote(ground), BRANCH, None, one) == "pushed"
    assert commits.push(ground.clone, remote(ground), BRANCH, None, one) == "pushed"
    assert commits.push(ground.clone, remote(ground), BRANCH, two, one) == "raced"


def test_a_push_that_is_refused_is_no_race(ground: Ground) -> None:
    hook = ground.bare / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho not on my watch >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Problems, match="not on my watch") as caught:
        commits.push(ground.clone, remote(ground), BRANCH, make(ground, x="1"), None)
    assert code(caught.value) == "CF025"
    with pytest.raises(Problems, match="CF025"):
        commits.push(ground.clone, Remote(str(ground.bare) + "-none"), BRANCH, make(ground, x="1"), None)


def test_records_go_along(ground: Ground) -> None:
    sh(ground.clone, "update-ref", "refs/canaryfleet/records/1", "HEAD")
    name = "refs/canaryfleet/records/1"
    one = make(ground, x="1")
    assert commits.push(ground.clone, remote(ground), BRANCH, one, None, [name]) == "pushed"
    assert sh(ground.bare, "rev-parse", name) == sh(ground.clone, "rev-parse", "HEAD")


def test_fetch_brings_what_is_there_and_takes_what_is_gone(ground: Ground) -> None:
    other = ground.clone.parent / "other"
    sh(ground.bare.parent, "clone", "-q", str(ground.bare), str(other))
    sh(ground.clone, "update-ref", "refs/canaryfleet/accepted/x", "HEAD")
    one = make(ground, x="1")
    for branch in (BRANCH, "canaryfleet/other/1"):
        commits.push(ground.clone, remote(ground), branch, one, None)
    head = ground.push("main", {"README": "new\n"})
    before = sh(other, "rev-parse", "HEAD")
    wanted = ["main", "canaryfleet/chat/*"]
    commits.fetch(other, remote(ground), wanted)
    refs = git.refs(other, "refs/remotes/origin/", "refs/canaryfleet/")
    refs.pop("refs/remotes/origin/HEAD")
    assert refs == {"refs/remotes/origin/main": head, f"refs/remotes/origin/{BRANCH}": one}
    assert sh(other, "rev-parse", "HEAD") == before
    ground.remove(BRANCH)
    commits.fetch(other, remote(ground), wanted)
    assert f"refs/remotes/origin/{BRANCH}" not in git.refs(other)
    with pytest.raises(Problems, match="CF025"):
        commits.fetch(other, remote(ground), ["none"])


def test_other_refs_are_fetched_to_their_own_names_and_nothing_beside_them(ground: Ground) -> None:
    clone, head = ground.clone, sh(ground.clone, "rev-parse", "HEAD")
    below = "refs/canaryfleet/told/"
    commits.fetch_refs(clone, remote(ground), below)
    assert git.refs(clone, "refs/canaryfleet/") == {}
    for name in (f"{below}a", f"{below}b", "refs/canaryfleet/records/x"):
        sh(ground.bare, "update-ref", name, head)
    sh(clone, "update-ref", "refs/canaryfleet/accepted/mine", head)
    commits.fetch_refs(clone, remote(ground), below)
    mine = {"refs/canaryfleet/accepted/mine": head}
    assert git.refs(clone, "refs/canaryfleet/") == mine | {f"{below}a": head, f"{below}b": head}
    sh(ground.bare, "update-ref", "-d", f"{below}a")
    commits.fetch_refs(clone, remote(ground), below)
    assert git.refs(clone, "refs/canaryfleet/") == mine | {f"{below}b": head}


def test_any_ref_is_swapped_only_for_what_was_read(ground: Ground) -> None:
    one, two = make(ground, x="1"), make(ground, x="2")
    name = "refs/canaryfleet/told/chat"
    assert commits.swap(ground.clone, remote(ground), name, one, None) == "pushed"
    assert commits.swap(ground.clone, remote(ground), name, two, None) == "raced"
    assert commits.tip(ground.clone, remote(ground), name) == one
    assert commits.swap(ground.clone, remote(ground), name, two, one) == "pushed"
    assert sh(ground.bare, "rev-parse", name) == two


@pytest.mark.parametrize("address", ["https://ann:secretword@forge/x", "https://secretword@forge/x", "ssh://git:secretword@forge/x", "HTTPS://secretword@forge/x"])  # fmt: skip
def test_no_address_has_a_password(ground: Ground, address: str) -> None:
    for call in (
        lambda: commits.fetch(ground.clone, Remote(address), ["main"]),
        lambda: commits.push(ground.clone, Remote(address), BRANCH, "HEAD", None),
    ):
        with pytest.raises(Problems) as caught:
            call()
        assert code(caught.value) == "CF181"
        assert "secretword" not in str(caught.value)


# --- worktrees


def worktrees(ground: Ground) -> list[str]:
    lines = sh(ground.clone, "worktree", "list", "--porcelain").splitlines()
    return [line for line in lines if line.startswith("worktree ")]


def left(ground: Ground) -> list[str]:
    return os.listdir(ground.clone / ".git/canaryfleet")


def test_a_worktree_goes_when_it_is_left(ground: Ground) -> None:
    id = make(ground, x="1")
    with commits.worktree(ground.clone, id) as one, commits.worktree(ground.clone, "HEAD") as two:
        assert Path(one, HOME, "x").read_text() == "1"
        assert not Path(two, HOME, "x").exists()
        assert len(worktrees(ground)) == 3
    with pytest.raises(FileNotFoundError), commits.worktree(ground.clone, id) as three:
        Path(three, "made/none").write_text("")
    assert (len(worktrees(ground)), left(ground)) == (1, [])


def test_a_commit_that_is_not_there_leaves_nothing(ground: Ground) -> None:
    with pytest.raises(Problems, match="CF025"), commits.worktree(ground.clone, "f" * 40):
        pass
    assert (len(worktrees(ground)), left(ground)) == (1, [])


KILLED = """
import os, signal, sys
from canaryfleet import commits
with commits.worktree(sys.argv[1], "HEAD") as folder:
    if sys.argv[2] == "half":
        import shutil
        shutil.rmtree(folder)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["whole", "half"])
def test_what_a_killed_run_left_is_cleared_away(ground: Ground, how: str) -> None:
    """And a person's own worktree stays, also if its folder is away for now."""
    person = ground.clone.parent / "person"
    sh(ground.clone, "worktree", "add", "-q", "-b", "p", str(person))
    person.rename(person.with_name("unplugged"))
    done = subprocess.run([sys.executable, "-c", KILLED, str(ground.clone), how], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (len(worktrees(ground)), len(left(ground))) == (3, 1)
    with commits.worktree(ground.clone, "HEAD"):
        assert (len(worktrees(ground)), len(left(ground))) == (3, 1)
    assert (len(worktrees(ground)), left(ground)) == (2, [])
