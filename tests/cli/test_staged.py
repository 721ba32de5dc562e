"""`--staged`: a check of what would be committed finds what somebody forgot to add, and nothing that stays out."""

import subprocess
import sys
from pathlib import Path

import pytest
from driver import Repo

SPEC = "specs/chat/canary.yaml"
PROMPT = "specs/chat/system.md"
CHECK = ("render", "--check", "--staged")


@pytest.fixture
def clone(repo: Repo) -> Repo:
    """Everything is rendered, pointed and committed."""
    return repo.rendered().committed()


def test_what_is_committed_and_added_is_fine(clone: Repo) -> None:
    assert clone.run(*CHECK).code == clone.run("lint", "--staged").code == 0
    clone.write(PROMPT, "You are brief.\n")
    assert clone.run("render").code == 0
    clone.git("add", "--all")
    before = clone.snapshot()
    result = clone.run(*CHECK)
    assert (result.code, clone.snapshot()) == (0, before)
    assert result.out == clone.run("render", "--check").out


def test_a_forgotten_render_is_found(clone: Repo) -> None:
    clone.write(PROMPT, "You are brief.\n")
    clone.git("add", "--all")
    result = clone.run(*CHECK)
    assert (result.code, result.codes) == (1, {"CF170"})
    assert "canaryfleet render" in result.err
    assert "git add" not in result.err


def test_a_forgotten_add_is_found_where_all_files_are_there(clone: Repo) -> None:
    clone.write(PROMPT, "You are brief.\n")
    assert clone.run("render").code == 0
    clone.git("add", "--update")  # as `git commit -a`: a new release is a new folder, and stays out
    assert clone.run("render", "--check").code == 0
    result = clone.run(*CHECK)
    assert (result.code, result.codes) == (1, {"CF170"})
    assert "would not be committed: `git add overlays`" in result.err


def test_what_stays_out_of_the_commit_does_not_matter(clone: Repo) -> None:
    clone.write("specs/search/canary.yaml", "nothing yet")
    clone.write(SPEC, "neither is this")
    assert clone.run("lint").code == 1
    assert clone.run("lint", "--staged").code == clone.run(*CHECK).code == 0


def test_a_release_that_is_rewritten_is_found_as_without_it(clone: Repo) -> None:
    (path,) = (name for name in clone.generated() if name.endswith("rollout.yaml"))
    clone.write(path, "{}\n")
    clone.git("add", "--all")
    without = clone.run("render", "--check")
    assert clone.run(*CHECK).err == without.err
    (release,) = (name for name in clone.generated() if name.endswith("release.yaml"))
    clone.write(release, (clone.root / release).read_text() + "# another\n")
    clone.git("add", "--all")
    rewritten = clone.run("render", "--check")
    assert clone.run(*CHECK).err == rewritten.err
    assert "default branch" in rewritten.err


def test_links_and_files_that_are_too_large_are_refused_as_they_are(clone: Repo) -> None:
    (clone.root / PROMPT).unlink()
    (clone.root / PROMPT).symlink_to("/etc/hostname")
    clone.git("add", "--all")
    assert clone.run("lint", "--staged").codes == clone.run("lint").codes == {"CF011"}
    (clone.root / PROMPT).unlink()
    clone.write(PROMPT, b"x" * (4 * 1024 * 1024 + 1))
    clone.git("add", "--all")
    assert clone.run("lint", "--staged").err == clone.run("lint").err


def test_a_repository_may_be_a_folder_of_the_clone(tmp_path: Path) -> None:
    outer = Repo(tmp_path / "all" / "fleet").rendered()
    whole = Repo.__new__(Repo)
    whole.root = tmp_path / "all"
    whole.write("elsewhere/large.bin", "x")
    whole.committed()
    assert outer.run(*CHECK).code == 0
    outer.write(PROMPT, "You are brief.\n")
    whole.git("add", "--all")
    assert outer.run(*CHECK).codes == {"CF170"}


def test_as_a_hook_it_looks_at_the_index_of_the_commit(clone: Repo) -> None:
    hook = clone.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nexec {sys.executable} -m canaryfleet {' '.join(CHECK)}\n")
    hook.chmod(0o755)
    clone.write(PROMPT, "You are brief.\n")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        clone.git("commit", "-a", "-m", "brief")  # the index that it has besides knows nothing of this yet
    assert b"CF170" in refused.value.stderr
    assert clone.run("render").code == 0
    clone.git("add", "--all")
    clone.git("commit", "-m", "brief")


def test_where_there_is_nothing_to_commit_it_says_so(repo: Repo) -> None:
    assert repo.run("lint", "--staged").codes == {"CF025"}
    repo.committed()
    for text in ("one", "two"):
        repo.git("checkout", "-q", "-b", text, "main")
        repo.write(PROMPT, text)
        repo.git("commit", "-q", "-a", "-m", text)
    with pytest.raises(subprocess.CalledProcessError):
        repo.git("merge", "-q", "one")
    result = repo.run("lint", "--staged")
    assert (result.code, result.codes) == (1, {"CF025"})
    assert PROMPT in result.err


def test_it_writes_nowhere_so_it_needs_check(repo: Repo) -> None:
    assert repo.run("render", "--staged").code == 2
