"""The git runner, on real repositories."""

import hashlib
import os
import select
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet.errors import Problems
from canaryfleet.git import Answer, answer, blob_id, branch_files, default_ref, run, tree_files

IDENTITY = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]


def sh(root: Path, *args: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *IDENTITY, *args], cwd=root, env=env, check=True, capture_output=True)
    return done.stdout.decode()


def commit(root: Path, content: dict[str, bytes]) -> None:
    for path, data in content.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    sh(root, "add", "-A")
    sh(root, "commit", "-qm", "c")


CONTENT = {
    "fleet.yaml": b"x\n",
    "overlays/a/kustomization.yaml": b"a\n",
    "overlays/a b/\xfc.yaml": b"\xff\x00binary",
    "overlays/new\nline": b"",
    "overlays-not/x": b"not below overlays",
    "-dash/x": b"d",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    sh(root, "init", "-q", "-b", "main", ".")
    commit(root, CONTENT)
    return root


def code(root: Path, *args: str) -> str:
    with pytest.raises(Problems) as caught:
        run(root, list(args))
    return caught.value.findings[0].code


def test_runs_git(root: Path) -> None:
    assert run(root, ["rev-parse", "--abbrev-ref", "HEAD"]) == b"main\n"
    assert run(root, ["hash-object", "--stdin"], stdin=b"x").decode().strip() == blob_id(b"x")
    assert run(root, ["hash-object", "--stdin"]).decode().strip() == blob_id(b"")


def test_a_failure_is_told_in_gits_words(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Problems, match=r"CF025: `git show` failed: fatal: .*nothing"):
        run(root, ["show", "nothing"])
    with pytest.raises(Problems, match=r"CF025: there is no folder"):
        run(tmp_path / "none", ["status"])


def test_a_failure_without_words_has_its_exit_code(root: Path) -> None:
    with pytest.raises(Problems, match="exit code 1"):
        run(root, ["rev-parse", "--verify", "--quiet", "nothing"])


def test_it_does_not_wait_for_ever(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(Problems, match=r"CF025: `git hash-object` took longer than 0\.1 s"):
        # Opening a pipe waits for somebody to write to it.
        run(root, ["hash-object", "pipe"], timeout=0.1)


def test_without_git_there_is_no_branch(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code(root, "status") == "CF024"
    assert default_ref(root, "main") is None
    assert branch_files(root, "main", "overlays") is None


def test_the_environment_cannot_point_elsewhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    sh(other, "init", "-q", "-b", "other", ".")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert run(root, ["rev-parse", "--abbrev-ref", "HEAD"]) == b"main\n"
    assert default_ref(root, "main") == "refs/heads/main"


def test_no_monitor_and_no_hook_runs(root: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    hook = root / ".git/hooks/post-checkout"
    for path in (hook, tmp_path / "monitor"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho ran >> {trace}\n")
        path.chmod(0o755)
    sh(root, "config", "core.fsmonitor", str(tmp_path / "monitor"))
    run(root, ["status", "--porcelain"])
    run(root, ["checkout", "-q", "-b", "topic"])
    assert not trace.exists()
    sh(root, "checkout", "-q", "main")
    assert trace.exists()


def test_a_replaced_object_is_not_believed(root: Path) -> None:
    blob = sh(root, "rev-parse", "HEAD:fleet.yaml").strip()
    other = sh(root, "rev-parse", "HEAD:-dash/x").strip()
    sh(root, "replace", blob, other)
    assert run(root, ["cat-file", "blob", blob]) == b"x\n"


# --- the default branch


def test_the_remotes_branch_comes_first(root: Path) -> None:
    assert default_ref(root, "main") == "refs/heads/main"
    assert default_ref(root, "none") is None
    sh(root, "update-ref", "refs/remotes/origin/main", "HEAD")
    assert default_ref(root, "main") == "refs/remotes/origin/main"


def test_the_files_of_a_branch_are_those_of_the_ref_that_holds_it(root: Path) -> None:
    here = {"overlays/a/kustomization.yaml": blob_id(b"a\n")}
    assert branch_files(root, "main", "overlays/a") == here
    assert branch_files(root, "main") == {}
    assert branch_files(root, "none", "overlays/a") is None
    assert branch_files(root, "none") is None
    sh(root, "branch", "release/1")
    assert branch_files(root, "release", "overlays/a") is None
    old = sh(root, "rev-parse", "HEAD").strip()
    commit(root, {"overlays/a/kustomization.yaml": b"new\n"})
    assert branch_files(root, "main", "overlays/a") != here
    sh(root, "update-ref", "refs/remotes/origin/main", old)
    assert branch_files(root, "main", "overlays/a") == here


def test_a_branch_is_not_a_folder_of_branches(root: Path) -> None:
    sh(root, "branch", "release/1")
    assert default_ref(root, "release") is None
    assert default_ref(root, "release/1") == "refs/heads/release/1"


def test_a_branch_may_have_a_name_in_any_script(root: Path) -> None:
    sh(root, "branch", "größe")
    assert default_ref(root, "größe") == "refs/heads/größe"


def test_no_repository_is_no_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    plain = tmp_path / "plain"
    plain.mkdir()
    assert default_ref(plain, "main") is None
    assert branch_files(plain, "main", "overlays") is None


def test_a_repository_that_git_distrusts_is_no_silent_none(root: Path) -> None:
    (root / ".git/config").write_text("[broken\n")
    with pytest.raises(Problems, match=r"CF025: `git for-each-ref` failed: fatal: bad config"):
        default_ref(root, "main")
    with pytest.raises(Problems, match=r"CF025: `git ls-tree` failed: fatal: bad config"):
        branch_files(root, "main", "overlays")


@pytest.mark.parametrize(
    "ref", ["", "-x", "--output=x", "main:overlays", "main~1", "a..b", "a b", "a\nb", "x^{}", "a*", "@{-1}\\"]
)
def test_what_is_no_name_is_refused(root: Path, ref: str) -> None:
    for call in (
        lambda: default_ref(root, ref),
        lambda: tree_files(root, ref, ""),
        lambda: branch_files(root, ref, ""),
    ):
        with pytest.raises(Problems) as caught:
            call()
        assert caught.value.findings[0].code == "CF026"


# --- the files of a commit


def test_lists_files_with_their_ids(root: Path) -> None:
    assert tree_files(root, "refs/heads/main", "") == {path: blob_id(data) for path, data in CONTENT.items()}
    assert tree_files(root, "HEAD", ".") == tree_files(root, "main", "")


@pytest.mark.parametrize("under", ["overlays", "overlays/"])
def test_lists_only_what_is_below_a_folder(root: Path, under: str) -> None:
    wanted = {path: blob_id(data) for path, data in CONTENT.items() if path.startswith("overlays/")}
    assert len(wanted) == 3
    assert tree_files(root, "main", under) == wanted
    assert tree_files(root, "main", "-dash") == {"-dash/x": blob_id(b"d")}
    assert tree_files(root, "main", "none") == {}


def test_reads_the_commit_and_not_the_folder(root: Path) -> None:
    (root / "fleet.yaml").write_bytes(b"changed")
    (root / "untracked").write_bytes(b"")
    assert tree_files(root, "main", "")["fleet.yaml"] == blob_id(b"x\n")
    assert "untracked" not in tree_files(root, "main", "")


def test_the_root_may_be_a_folder_of_the_repository(root: Path) -> None:
    commit(root, {"gitops/overlays/a": b"1", "gitops/fleet.yaml": b"2"})
    assert tree_files(root / "gitops", "main", "") == {
        "overlays/a": blob_id(b"1"),
        "fleet.yaml": blob_id(b"2"),
    }
    assert tree_files(root / "gitops", "main", "overlays") == {"overlays/a": blob_id(b"1")}
    assert default_ref(root / "gitops", "main") == "refs/heads/main"
    sh(root, "branch", "before", "HEAD~1")
    assert tree_files(root / "gitops", "before", "") == {}


def test_links_are_listed_and_submodules_are_not(root: Path) -> None:
    (root / "overlays/link").symlink_to("a")
    sh(
        root,
        "update-index",
        "--add",
        "--cacheinfo",
        f"160000,{sh(root, 'rev-parse', 'HEAD').strip()},overlays/sub",
    )
    sh(root, "add", "overlays/link")
    sh(root, "commit", "-qm", "c")
    found = tree_files(root, "main", "overlays")
    assert found["overlays/link"] == blob_id(b"a")
    assert "overlays/sub" not in found


def test_a_missing_ref_is_a_finding(root: Path) -> None:
    with pytest.raises(Problems, match=r"CF025"):
        tree_files(root, "refs/heads/none", "")


# --- ids


def test_ids_are_gits() -> None:
    assert blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert blob_id(b"", 64) == "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"
    with pytest.raises(ValueError, match="12 digits"):
        blob_id(b"", 12)


def test_ids_of_a_sha256_repository(tmp_path: Path) -> None:
    sh(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", ".")
    commit(tmp_path, {"x": b"content"})
    assert tree_files(tmp_path, "main", "") == {"x": blob_id(b"content", 64)}


@given(st.binary(max_size=300))
def test_an_id_covers_length_and_content(data: bytes) -> None:
    assert blob_id(data) == hashlib.sha1(b"blob " + str(len(data)).encode() + b"\0" + data).hexdigest()


# --- credentials, and what hangs


def test_it_is_given_credentials_and_nothing_else(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "t.t")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "ours")
    assert answer(root, ["config", "t.t"]) == Answer(1, b"")
    given = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "t.t", "GIT_CONFIG_VALUE_0": "theirs"}
    assert run(root, ["config", "t.t"], environment=given) == b"theirs\n"


def test_what_it_was_given_is_in_no_error(root: Path) -> None:
    secret = "c2VjcmV0OnNlY3JldA=="
    given = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.abbrev",
        "GIT_CONFIG_VALUE_0": f"Basic {secret}",
    }
    with pytest.raises(Problems, match=r"core\.abbrev") as caught:
        run(root, ["log", "-1"], environment=given)
    assert secret not in str(caught.value)


def test_what_hangs_is_ended_with_its_children(root: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    helper = tmp_path / "ssh"
    helper.write_text(f"#!/bin/sh\nexec 3>{pipe}\necho begun >&3\nsleep 600\n")
    helper.chmod(0o755)
    with pytest.raises(Problems, match=r"CF025: `git ls-remote` took longer than 1 s"):
        run(root, ["ls-remote", "ssh://host/x"], timeout=1, environment={"GIT_SSH": str(helper)})
    assert os.read(end, 9) == b"begun\n"
    ready, _, _ = select.select([end], [], [], 20)
    assert ready, "the helper still runs"
    assert os.read(end, 9) == b""
    os.close(end)
