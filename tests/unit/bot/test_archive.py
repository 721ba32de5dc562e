"""Records that have a Git ref of their own, in real repositories."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from canaryfleet import archive, git
from canaryfleet.digest import sha256
from canaryfleet.errors import Problems
from canaryfleet.record import Packed

NOW = datetime(2026, 11, 16, 10, tzinfo=UTC)


def packed(data: bytes = b"\x78some \x00 record") -> Packed:
    return Packed(sha256(data), data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git.run(tmp_path, ["init", "-q", "-b", "main", "."])
    return tmp_path


def said(root: Path, *words: str) -> str:
    return git.run(root, list(words)).decode()


def test_what_is_written_is_read_and_nothing_else_changes(root: Path) -> None:
    before = sorted(path.name for path in root.iterdir())
    name = archive.write(root, packed(), NOW)
    assert name == f"refs/canaryfleet/records/{packed().hash}" == archive.ref(packed().hash)
    assert archive.read(root, packed().hash) == packed()
    assert archive.read(root, packed().hash[:9]) == packed()
    assert list(git.refs(root)) == [name]
    assert sorted(path.name for path in root.iterdir()) == before
    assert said(root, "fsck", "--strict", "--full") == ""


def test_its_commit_is_the_bots_and_of_the_time_that_was_given(root: Path) -> None:
    name = archive.write(root, packed(), NOW)
    shown = said(root, "log", "--format=%an %ae %cn %ce %ct %P|", name)
    assert shown.strip() == (
        f"canaryfleet canaryfleet@users.noreply.invalid canaryfleet canaryfleet@users.noreply.invalid {int(NOW.timestamp())} |"
    )
    assert said(root, "ls-tree", name).split()[3:] == ["record"]


def test_writing_twice_keeps_the_first(root: Path) -> None:
    name = archive.write(root, packed(), NOW)
    first = git.refs(root)[name]
    archive.write(root, packed(), NOW + timedelta(days=30))
    assert git.refs(root)[name] == first


def test_what_somebody_else_put_there_is_put_right(root: Path) -> None:
    name = archive.write(root, packed(b"\x78other"), NOW)
    said(root, "update-ref", archive.ref(packed().hash), name)
    archive.write(root, packed(), NOW)
    assert archive.read(root, packed().hash) == packed()


def test_a_record_that_is_not_here_says_how_to_get_it(root: Path) -> None:
    with pytest.raises(Problems) as caught:
        archive.read(root, "0" * 64)
    (finding,) = caught.value.findings
    assert finding.code == "CF183"
    assert "git fetch origin '+refs/canaryfleet/records/*:refs/canaryfleet/records/*'" in finding.remedy


def test_a_beginning_that_several_have_is_refused(root: Path) -> None:
    hashes = ["ab" + "0" * 62, "ab" + "1" * 62]
    for hash in hashes:
        archive.write(root, Packed(hash, b"x"), NOW)
    with pytest.raises(Problems, match="2 records begin with ab"):
        archive.read(root, "ab")
    assert archive.read(root, "ab1").hash == hashes[1]


def test_a_ref_without_a_record_is_none(root: Path) -> None:
    blob = git.run(root, ["hash-object", "-w", "--stdin"], stdin=b"x").decode().strip()
    said(root, "update-ref", archive.ref("0" * 64), blob)
    with pytest.raises(Problems, match="no record"):
        archive.read(root, "0" * 64)


def test_too_large_a_record_is_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.write(root, packed(b"x" * 100), NOW)
    monkeypatch.setattr(archive, "LARGEST_PACKED", 99)
    with pytest.raises(Problems, match="no record"):
        archive.read(root, packed(b"x" * 100).hash)


def test_old_ones_go_and_nothing_else_does(root: Path) -> None:
    day = timedelta(days=1)
    old = archive.write(root, packed(b"old"), NOW - 401 * day)
    kept = {
        archive.write(root, packed(b"young"), NOW - 399 * day),
        archive.write(root, packed(b"to come"), NOW + 9 * day),
    }
    commit = git.refs(root)[old]
    for name in ("refs/heads/main", "refs/canaryfleet/records/not-a-hash", "refs/canaryfleet/status/eu-1"):
        said(root, "update-ref", name, commit)
        kept.add(name)
    blob = git.run(root, ["hash-object", "-w", "--stdin"], stdin=b"x").decode().strip()
    said(root, "update-ref", archive.ref("1" * 64), blob)
    kept.add(archive.ref("1" * 64))
    assert archive.prune(root, NOW) == {old: commit}
    assert set(git.refs(root)) == kept
    assert archive.prune(root, NOW) == {}
    assert len(archive.prune(root, NOW, days=398)) == 1


def test_two_repositories_exchange_records_by_their_refs(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = archive.write(root, packed(), NOW)
    other = tmp_path_factory.mktemp("other")
    git.run(other, ["init", "-q", "."])
    git.run(root, ["push", "-q", str(other), f"{name}:{name}"])
    assert archive.read(other, packed().hash) == packed()


def test_hooks_and_settings_of_others_play_no_part(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = root / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    subprocess.run(["git", "config", "core.autocrlf", "true"], cwd=root, check=True)
    monkeypatch.setenv("GIT_DIR", os.devnull)
    archive.write(root, packed(b"a\r\nb\n"), NOW)
    assert archive.read(root, packed(b"a\r\nb\n").hash).data == b"a\r\nb\n"
