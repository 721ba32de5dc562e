"""Confined reads and all-or-nothing writes, also when a step fails or the process is killed."""

import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet import files
from canaryfleet.errors import Problems
from canaryfleet.files import Changes, Tree, apply, recover, resolve

BEFORE = {
    "specs/app/canary.yaml": b"old spec",
    "overlays/app/clusters/a/kustomization.yaml": b"old a",
    "overlays/app/clusters/b/kustomization.yaml": b"old b",
    "overlays/app/gone/only.yaml": b"goes",
    "overlays/app/file": b"becomes a folder",
    "overlays/app/folder/one": b"the folder becomes a file",
}
CHANGES = Changes(
    writes={
        "overlays/app/clusters/a/kustomization.yaml": b"new a",
        "overlays/app/clusters/b/kustomization.yaml": b"old b",
        "overlays/app/clusters/c/kustomization.yaml": b"new c",
        "overlays/app/file/inside": b"in what was a file",
        "overlays/app/folder": b"was a folder",
        "overlays/app/releases/2/base/x.yaml": b"deep",
    },
    deletes=frozenset(
        {"overlays/app/gone/only.yaml", "overlays/app/file", "overlays/app/folder/one", "none"}
    ),
)
AFTER = {
    "specs/app/canary.yaml": b"old spec",
    "overlays/app/clusters/a/kustomization.yaml": b"new a",
    "overlays/app/clusters/b/kustomization.yaml": b"old b",
    "overlays/app/clusters/c/kustomization.yaml": b"new c",
    "overlays/app/file/inside": b"in what was a file",
    "overlays/app/folder": b"was a folder",
    "overlays/app/releases/2/base/x.yaml": b"deep",
}


def fill(root: Path, content: dict[str, bytes]) -> None:
    for path, data in content.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def snapshot(root: Path) -> dict[str, bytes | None]:
    """Every file with its content, and every folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


def held(root: Path) -> dict[str, bytes]:
    return {path: data for path, data in snapshot(root).items() if data is not None}


def code(call: Callable[..., object], *args: object) -> str:
    with pytest.raises(Problems) as caught:
        call(*args)
    assert len(caught.value.findings) == 1
    return caught.value.findings[0].code


def message(call: Callable[..., object], *args: object) -> str:
    with pytest.raises(Problems) as caught:
        call(*args)
    return str(caught.value)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    fill(root, BEFORE)
    return root


# --- reading


def test_reads_a_file(root: Path) -> None:
    assert Tree(root).read("specs/app/canary.yaml") == b"old spec"
    assert Tree(str(root)).read("specs/app/canary.yaml") == b"old spec"


def test_an_empty_file_is_fine(root: Path) -> None:
    fill(root, {"empty": b""})
    assert Tree(root).read("empty") == b""


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../secret",
        "specs/../../secret",
        "specs/../specs/app/canary.yaml",
        "specs//app",
        "a\0b",
        "./a",
        "a/",
    ],
)
def test_a_path_that_is_not_plain_is_refused(root: Path, path: str) -> None:
    (root.parent / "secret").write_bytes(b"secret")
    for look in (Tree(root).read, Tree(root).exists, Tree(root).is_dir, Tree(root).list, Tree(root).walk):
        assert code(look, path) == "CF011"


def test_what_is_missing_is_named(root: Path) -> None:
    assert message(Tree(root).read, "specs/none") == "specs/none: error CF010: there is no such file"
    assert code(Tree(root).read, "no/such/folder/x") == "CF010"
    assert "`specs/app/canary.yaml` is not a folder" in message(Tree(root).read, "specs/app/canary.yaml/x")
    assert code(Tree, root / "none") == "CF010"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../secret", "../app/canary.yaml", "none"])
def test_a_link_to_a_file_is_refused_wherever_it_leads(root: Path, target: str) -> None:
    (root.parent / "secret").write_bytes(b"secret")
    (root / "specs/app/link").symlink_to(target)
    tree = Tree(root)
    said = message(tree.read, "specs/app/link")
    assert "CF011" in said
    assert "symbolic link" in said
    assert ("leads out" in said) == (target in {"/etc/passwd", "../../../secret"})
    assert tree.exists("specs/app/link")
    assert tree.walk("specs") == ["specs/app/canary.yaml", "specs/app/link"]


@pytest.mark.parametrize("target", ["/etc", "app", ".."])
def test_a_link_to_a_folder_is_refused_on_the_way(root: Path, target: str) -> None:
    (root / "specs/link").symlink_to(target)
    tree = Tree(root)
    assert "cannot be reached: `specs/link` is" in message(tree.read, "specs/link/passwd")
    for look in (tree.read, tree.exists, tree.stat, tree.list, tree.walk):
        assert code(look, "specs/link/canary.yaml") == "CF011"
    for look in (tree.is_dir, tree.list, tree.walk):
        assert code(look, "specs/link") == "CF011"
    assert tree.walk("") == sorted([*BEFORE, "specs/link"])


def test_the_root_may_be_reached_through_a_link(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    assert Tree(root.parent / "link").read("specs/app/canary.yaml") == b"old spec"


def test_what_is_no_regular_file_is_refused_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert "a pipe" in message(Tree(root).read, "pipe")
    assert "a folder" in message(Tree(root).read, "specs")
    assert "a device" in message(Tree("/dev").read, "null")
    for path in ("pipe", "specs", "socket", ""):
        assert code(Tree(root).read, path) == "CF012"


def test_too_large_a_file_is_refused_before_it_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(root / "large", "wb") as file:
        file.truncate(files.LIMIT)
    assert len(Tree(root).read("large")) == files.LIMIT
    with open(root / "large", "wb") as file:
        file.truncate(files.LIMIT + 1)
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("it was read"))
    assert code(Tree(root).read, "large") == "CF012"


@pytest.mark.parametrize(("measured", "result"), [(3, b"0123456789"), (20, b"0123456789")])
def test_a_file_that_changes_its_size_is_read_to_its_end(
    root: Path, monkeypatch: pytest.MonkeyPatch, measured: int, result: bytes
) -> None:
    fill(root, {"x": b"0123456789"})
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result([*real(fd)[:6], measured, *real(fd)[7:]]))
    assert Tree(root).read("x") == result
    assert code(Tree(root, 5).read, "x") == "CF012"


def test_an_unreadable_file_says_why(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", deny)
    said = message(Tree(root).read, "specs/app/canary.yaml")
    assert said == "specs/app/canary.yaml: error CF012: cannot be read: Permission denied"


def test_lists_and_walks_in_order(root: Path) -> None:
    fill(
        root,
        {
            ".git/config": b"",
            ".canaryfleet-x/journal": b"",
            "specs/.git": b"",
            "specs/z/y/x": b"",
            "specs/B": b"",
        },
    )
    (root / "specs/empty").mkdir()
    tree = Tree(root)
    assert tree.list("specs") == [".git", "B", "app", "empty", "z"]
    assert tree.list("") == tree.list(".") == [".canaryfleet-x", ".git", "overlays", "specs"]
    assert tree.list("none") == tree.list("none/deeper") == tree.walk("none") == []
    assert tree.walk("specs") == ["specs/.git", "specs/B", "specs/app/canary.yaml", "specs/z/y/x"]
    assert not [path for path in tree.walk(".") if path.startswith((".git/", ".canaryfleet-"))]
    assert code(tree.list, "specs/B") == "CF012"


def test_tells_what_is_there(root: Path) -> None:
    tree = Tree(root)
    assert tree.exists("specs")
    assert tree.exists("specs/app/canary.yaml")
    assert tree.exists("")
    assert not tree.exists("none")
    assert not tree.exists("none/x")
    assert not tree.exists("specs/app/canary.yaml/x")
    assert tree.is_dir("specs")
    assert tree.is_dir(".")
    assert not tree.is_dir("specs/app/canary.yaml")
    assert not tree.is_dir("none")


def test_no_descriptor_is_left_open(root: Path) -> None:
    (root / "link").symlink_to("specs")
    before = len(os.listdir("/proc/self/fd"))
    tree = Tree(root)
    for path in ("specs/app/canary.yaml", "none", "link/x", "specs", "specs/none/x"):
        for look in (tree.read, tree.exists, tree.list, tree.walk, tree.is_dir):
            with contextlib.suppress(Problems):
                look(path)
    apply(root, CHANGES)
    assert len(os.listdir("/proc/self/fd")) == before


def test_ten_thousand_files_are_read_fast(tmp_path: Path) -> None:
    paths = [f"overlays/a{app}/clusters/c{one}/kustomization.yaml" for app in range(20) for one in range(100)]
    fill(tmp_path, dict.fromkeys(paths, b"x" * 800))
    tree = Tree(tmp_path)
    best = 9.0
    for _ in range(3):
        start = time.process_time()
        for path in paths:
            tree.read(path)
        best = min(best, time.process_time() - start)
    # A fifth of the files; far above what it takes, so that a busy machine does not fail it.
    assert best < 1


# --- resolving


@pytest.mark.parametrize(
    ("base", "relative", "path"),
    [
        ("specs/app", "./base", "specs/app/base"),
        ("specs/app", "prompts/system.md", "specs/app/prompts/system.md"),
        ("specs/app", "../shared/x.md", "specs/shared/x.md"),
        ("specs/app", "../../fleet.yaml", "fleet.yaml"),
        ("specs/app", "../..", "."),
        ("specs/app", "a//b/./c/", "specs/app/a/b/c"),
        (".", "x", "x"),
        ("", "x", "x"),
    ],
)
def test_resolves_what_a_spec_says(base: str, relative: str, path: str) -> None:
    assert resolve(base, relative) == path


@pytest.mark.parametrize(
    ("relative", "why"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("../../../x", "leads out"),
        ("../../..", "leads out"),
        ("x/../../../../y", "leads out"),
        ("a\nb", "control"),
        ("a\0b", "control"),
    ],
)
def test_refuses_what_leads_elsewhere(relative: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        resolve("specs/app", relative)


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "", "..."]), min_size=1, max_size=8).map("/".join))
def test_what_is_resolved_can_be_read_or_is_the_root(relative: str) -> None:
    try:
        path = resolve("specs/app", relative)
    except ValueError:
        return
    assert path == "." or not {"", ".", ".."} & set(path.split("/"))


# --- writing


def test_applies_all_changes(root: Path) -> None:
    changed = apply(root, CHANGES)
    assert held(root) == AFTER
    assert changed == tuple(
        sorted(
            (set(CHANGES.writes) | CHANGES.deletes) - {"overlays/app/clusters/b/kustomization.yaml", "none"}
        )
    )
    assert not (root / "overlays/app/gone").exists()
    assert snapshot(root).keys() == {*AFTER, *(parent for path in AFTER for parent in files._parents(path))}


def test_applying_again_touches_nothing(root: Path) -> None:
    apply(root, CHANGES)
    before = {path: os.stat(root / path) for path in snapshot(root)}
    assert apply(root, CHANGES._replace(deletes=frozenset({"none"}))) == ()
    assert {path: os.stat(root / path) for path in snapshot(root)} == before


def test_an_unchanged_file_keeps_its_time_beside_changed_ones(root: Path) -> None:
    path = root / "overlays/app/clusters/b/kustomization.yaml"
    os.utime(path, ns=(1, 1))
    apply(root, CHANGES)
    assert path.stat().st_mtime_ns == 1


def test_permissions_stay_and_new_files_have_the_usual_ones(root: Path) -> None:
    fill(root, {"script": b"old", "plain": b""})
    (root / "script").chmod(0o751)
    apply(root, Changes({"script": b"new", "made": b"new"}))
    assert (root / "script").stat().st_mode & 0o777 == 0o751
    assert (root / "made").stat().st_mode == (root / "plain").stat().st_mode


def test_all_folders_that_become_empty_go_and_those_written_to_are_kept(root: Path) -> None:
    fill(root, {"x/a": b"", "y/1/2/3": b"", "y/1/2/4": b"", "y/5/6": b""})
    (root / "x").chmod(0o751)
    apply(root, Changes({"x/b": b""}, frozenset({"x/a", "y/1/2/3", "y/1/2/4", "y/5/6"})))
    assert (root / "x").stat().st_mode & 0o777 == 0o751
    assert not (root / "y").exists()


def test_folders_with_something_in_them_stay(root: Path) -> None:
    fill(root, {"overlays/app/gone/other": b"a person's"})
    apply(root, CHANGES)
    assert (root / "overlays/app/gone/other").exists()


def test_a_file_larger_than_people_may_write_can_be_written(root: Path) -> None:
    data = b"x" * (files.LIMIT + 1)
    assert apply(root, Changes({"large": data})) == ("large",)
    assert apply(root, Changes({"large": data})) == ()


@pytest.mark.parametrize(
    "path", ["/x", "../x", "a/../b", "", ".", ".git/config", ".GIT/hooks/x", ".canaryfleet-x/journal", "a//b"]
)
def test_writes_nowhere_else(root: Path, path: str) -> None:
    before = snapshot(root)
    assert code(apply, root, Changes({path: b"x", "ok": b"x"})) == "CF011"
    assert code(apply, root, Changes({"ok": b"x"}, frozenset({path}))) == "CF011"
    assert snapshot(root) == before


@pytest.mark.parametrize("writes", [{"a": b"", "a/b": b""}, {"a/b/c": b"", "a": b""}])
def test_contradictions_are_refused(root: Path, writes: dict[str, bytes]) -> None:
    assert code(apply, root, Changes(writes)) == "CF013"
    assert code(apply, root, Changes({"a": b""}, frozenset({"a"}))) == "CF013"
    assert held(root) == BEFORE


def test_never_writes_through_a_link(root: Path) -> None:
    outside = root.parent / "outside"
    fill(outside, {"x": b"untouched"})
    (root / "overlays/link").symlink_to(outside)
    (root / "overlays/x").symlink_to(outside / "x")
    before = snapshot(root)
    for path in ("overlays/link/x", "overlays/link/new", "overlays/x"):
        assert code(apply, root, Changes({"ok": b"", path: b"no"})) == "CF011"
        if path != "overlays/link/new":
            assert code(apply, root, Changes({"ok": b""}, frozenset({path}))) == "CF011"
    assert snapshot(root) == before
    assert held(outside) == {"x": b"untouched"}


def test_a_link_that_appears_meanwhile_is_not_written_through(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    perform = files._perform

    def swap(*args: object) -> None:
        os.rename(root / "overlays/app/clusters", root / "moved")
        (root / "overlays/app/clusters").symlink_to(outside)
        perform(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "_perform", swap)
    assert code(apply, root, CHANGES) == "CF013"
    assert list(outside.iterdir()) == []


def test_a_folder_in_the_way_is_a_failure_that_changes_nothing(root: Path) -> None:
    before = snapshot(root)
    for changes in (
        Changes({"a": b"", "overlays/app": b""}),
        Changes({"a": b"", "overlays/app/file/x": b""}),
        Changes({"a": b""}, frozenset({"overlays/app"})),
    ):
        assert code(apply, root, changes) == "CF013"
        assert snapshot(root) == before


# --- failures half-way


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, number: int, error: BaseException) -> list[int]:
    """Make the `number`th call of `os.<name>` raise; the list holds one entry a call."""
    real, calls = getattr(os, name), []

    def call(*args: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == number:
            raise error
        return real(*args, **named)

    monkeypatch.setattr(os, name, call)
    return calls


def failure(root: Path) -> str | None:
    """The reason why nothing was applied, empty if it was interrupted; None if it was applied."""
    try:
        apply(root, CHANGES)
    except KeyboardInterrupt:
        return ""
    except Problems as problems:
        found = re.search(r"CF013: cannot be written: (.*); nothing has been changed", str(problems))
        return found[1] if found else str(problems)
    return None


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(30, "Read-only file system"),
        NotADirectoryError(20, "Not a directory"),
        KeyboardInterrupt(),
    ],
    ids=["full", "readonly", "notdir", "interrupt"],
)
@pytest.mark.parametrize("name", ["replace", "link", "mkdir"])
def test_whatever_step_fails_nothing_has_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException
) -> None:
    before = snapshot(root)
    stats = {path: (root / path).stat().st_mtime_ns for path in BEFORE}
    number = 0
    while True:
        number += 1
        with monkeypatch.context() as patch:
            calls = fail_at(patch, name, number, error)
            failed = failure(root)
        if failed is None:
            break
        assert failed == (error.args[1] if error.args else "")
        assert snapshot(root) == before, (name, number)
        assert {path: (root / path).stat().st_mtime_ns for path in BEFORE} == stats
    assert number > len(calls) > 3
    assert held(root) == AFTER


def test_a_failing_deletion_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(root)
    for number in (1, 2, 3, 4):
        with monkeypatch.context() as patch:
            fail_at(patch, "unlink", number, PermissionError(13, "Permission denied"))
            assert code(apply, root, CHANGES) == "CF013"
        assert snapshot(root) == before


def test_the_failing_file_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def deny(source: str, *args: object, **named: object) -> None:
        if args[0] == "x.yaml":
            raise PermissionError(13, "Permission denied", source)
        real(source, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", deny)
    assert message(apply, root, CHANGES).startswith("overlays/app/releases/2/base/x.yaml: error CF013")


@pytest.mark.parametrize("number", [None, 1, 2, 3, 4, 5, 6])
def test_without_hard_links_files_are_copied(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    before = snapshot(root)
    script = root / "overlays/app/clusters/a/kustomization.yaml"
    script.chmod(0o751)
    os.utime(script, ns=(5, 5))
    monkeypatch.setattr(os, "link", deny)
    if number is None:
        apply(root, CHANGES)
        assert held(root) == AFTER
        return
    fail_at(monkeypatch, "replace", number, OSError(5, "Input/output error"))
    assert code(apply, root, CHANGES) == "CF013"
    assert snapshot(root) == before
    assert (script.stat().st_mode & 0o777, script.stat().st_mtime_ns) == (0o751, 5)


def test_if_undoing_fails_too_the_next_run_undoes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(root)
    real, calls = os.replace, []

    def call(*args: object, **named: object) -> None:
        calls.append(1)
        if len(calls) in {4, 5}:
            raise OSError(5, "Input/output error")
        real(*args, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", call)
        assert "cannot be rolled back: Input/output error" in message(apply, root, CHANGES)
    assert snapshot(root) != before
    assert recover(root)
    assert snapshot(root) == before
    assert not recover(root)


# --- a process that is killed

KILLED = """
import os, signal, sys
from canaryfleet import files
sys.path.insert(0, sys.argv[1])
from test_files import CHANGES
name, number, root, how = sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]
real, calls = getattr(os, name), []
def call(*args, **named):
    calls.append(1)
    if len(calls) == number and how == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*args, **named)
    if len(calls) == number and how == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(os, name, call)
if how == "recover":
    how = "before"
    files.recover(root)
else:
    files.apply(root, CHANGES)
"""


def killed(root: Path, name: str, number: int, how: str) -> bool:
    """Run in a process of its own and kill it at a call; False if it came to its end."""
    here = str(Path(__file__).parent)
    path = os.pathsep.join(filter(None, [str(Path(files.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    argv = [sys.executable, "-c", KILLED, here, name, str(number), str(root), how]
    done = subprocess.run(argv, env=os.environ | {"PYTHONPATH": path}, capture_output=True, check=False)
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr.decode()
    return done.returncode != 0


@pytest.mark.parametrize(
    ("name", "how"), [("replace", "before"), ("replace", "after"), ("unlink", "after"), ("mkdir", "after")]
)
def test_after_a_kill_the_next_run_rolls_back(root: Path, name: str, how: str) -> None:
    before = snapshot(root)
    half_made = number = 0
    while killed(root, name, number := number + 1, how):
        undone = any((root / one / "journal").exists() for one in files._leftovers(Tree(root)))
        half_made += undone and not held(root).items() >= BEFORE.items()
        assert recover(root)
        if not undone and held(root) == AFTER:
            # The change was complete: all that was left to do was to remove the staging folder.
            break
        assert snapshot(root) == before
    assert held(root) == AFTER
    assert half_made
    assert number > 3


def test_a_kill_while_rolling_back_is_rolled_back_too(root: Path) -> None:
    before = snapshot(root)
    assert killed(root, "replace", 6, "before")
    number = 1
    while killed(root, "replace", number, "recover"):
        number += 1
        assert number < 9
    assert number > 3
    assert snapshot(root) == before
    assert not recover(root)


def test_apply_rolls_back_before_it_changes_anything(root: Path) -> None:
    assert killed(root, "replace", 5, "after")
    apply(root, Changes({"other": b"x"}))
    assert held(root) == BEFORE | {"other": b"x"}


def test_what_a_person_changed_meanwhile_stays(root: Path) -> None:
    assert killed(root, "replace", 6, "before")
    mine = "overlays/app/clusters/a/kustomization.yaml"
    new = "overlays/app/clusters/c/kustomization.yaml"
    fill(root, {mine: b"mine", new: b"mine too"})
    said = message(recover, root)
    assert "is left as it is" in said
    assert "CF013" in said
    assert held(root) == BEFORE | {mine: b"mine", new: b"mine too"}
    assert not recover(root)


def test_a_staging_folder_that_came_with_a_commit_is_not_obeyed(root: Path) -> None:
    journal = b'{"steps": [["specs/app/canary.yaml", true, true, ""]], "folders": []}'
    fill(root, {".canaryfleet-x/journal": journal, ".canaryfleet-x/old/0": b"evil"})
    for mode in (0o755, 0o700):
        (root / ".canaryfleet-x").chmod(mode)
        assert "was it committed?" in message(recover, root)
        assert "was it committed?" in message(apply, root, CHANGES)
    assert (root / "specs/app/canary.yaml").read_bytes() == b"old spec"


@pytest.mark.parametrize(
    "journal",
    [
        b"",
        b"{}",
        b"[]",
        b'{"steps": [[1]], "folders": []}',
        b'{"steps": [["../x", true, false, ""]], "folders": []}',
    ],
)
def test_a_broken_journal_is_left_to_people(root: Path, journal: bytes) -> None:
    fill(root, {".canaryfleet-x/journal": journal})
    (root / ".canaryfleet-x").chmod(0o700)
    (root / ".canaryfleet-x/journal").chmod(0o400)
    assert code(recover, root) == "CF013"
    assert (root / ".canaryfleet-x/journal").exists()


def test_a_link_in_place_of_a_staging_folder_is_not_followed(root: Path) -> None:
    outside = root.parent / "outside"
    fill(outside, {"x": b"1"})
    outside.chmod(0o700)
    (root / ".canaryfleet-x").symlink_to(outside)
    assert code(recover, root) == "CF013"
    assert held(outside) == {"x": b"1"}


# --- two writers


def test_a_second_writer_is_told_at_once(root: Path) -> None:
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert message(apply, root, CHANGES).startswith(".: error CF014: another canaryfleet is writing")
        (root / ".canaryfleet-x").mkdir()
        assert code(recover, root) == "CF014"
        (root / ".canaryfleet-x").rmdir()
        assert not recover(root)
    finally:
        os.close(descriptor)
    assert held(root) == BEFORE
    assert apply(root, CHANGES)


def test_the_lock_is_held_while_files_are_moved(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    perform, seen = files._perform, []

    def other(*args: object) -> None:
        seen.append(code(apply, root, Changes({"other": b""})))
        perform(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "_perform", other)
    apply(root, CHANGES)
    assert seen == ["CF014"]
    assert held(root) == AFTER


# --- any changes at all

PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
CONTENT = st.dictionaries(PATHS, st.sampled_from([b"", b"1", b"2"]), max_size=5)


@given(CONTENT, CONTENT, st.frozensets(PATHS, max_size=4), st.integers(1, 12))
def test_all_or_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    old: dict[str, bytes],
    new: dict[str, bytes],
    deletes: frozenset[str],
    number: int,
) -> None:
    root = tmp_path_factory.mktemp("any")
    old = {
        path: data for path, data in old.items() if not any(parent in old for parent in files._parents(path))
    }
    fill(root, old)
    before = snapshot(root)
    with pytest.MonkeyPatch.context() as patch:
        fail_at(patch, "replace", number, OSError(5, "Input/output error"))
        try:
            apply(root, Changes(new, deletes))
        except Problems:
            recover(root)  # where the fault came while it was being put back, the next run goes on with that
            assert snapshot(root) == before
        else:
            assert held(root) == {path: data for path, data in old.items() if path not in deletes} | new
