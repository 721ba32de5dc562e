"""Pushed snapshots, with real repositories and the real ssh-keygen."""

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from canaryfleet import git
from canaryfleet.errors import Problems
from canaryfleet.forges import Remote
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.cluster import Access, Cluster, ClusterMetadata
from canaryfleet.models.cluster import Pushed as PushedAccess
from canaryfleet.models.observation import Look, Problem, Sighting
from canaryfleet.signing import sign
from canaryfleet.sources import Question, Target
from canaryfleet.sources.pushed import NAMESPACE, SIGNATURE, SNAPSHOT, STATUS, Pushed, push
from canaryfleet.sources.snapshot import encode

UID = "1f0c0d34-7a9e-4a1c-9a57-2b6c3e1d4f50"


class Key(NamedTuple):
    """A pair of keys: the file of the private one, and the public one."""

    file: str
    public: str


class Place(NamedTuple):
    """A shared repository, and two clones of it: the cluster's and the reader's."""

    shared: Path
    cluster: Path
    reader: Path


def make_key(folder: Path, name: str, kind: str = "ed25519") -> Key:
    file = folder / name
    words = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "canaryfleet report", "-f", str(file)]
    subprocess.run(words, check=True)
    return Key(str(file), file.with_suffix(".pub").read_text().strip())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    git.run(tmp_path, ["init", "-q", "--bare", "shared.git"])
    for name in ("cluster", "reader"):
        git.run(tmp_path, ["clone", "-q", str(tmp_path / "shared.git"), name])
    return Place(tmp_path / "shared.git", tmp_path / "cluster", tmp_path / "reader")


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return make_key(tmp_path, "key")


def target(*keys: Key, name: str = "eu-1", uid: str | None = UID, age: str = "5m") -> Target:
    access = Access(pushed=PushedAccess(keys=tuple(key.public for key in keys), maxAge=age))
    cluster = Cluster(
        apiVersion=API_VERSION, kind="Cluster", metadata=ClusterMetadata(name=name), access=access, uid=uid
    )
    return Target(cluster, (Question("shop", "shops", ()),))


def sighting(name: str = "eu-1", ago: float = 0.0, **changes: object) -> Sighting:
    now = datetime.now(UTC) - timedelta(seconds=ago)
    look = Look(app="shop", namespace="shops", answers={"rollout": {"kind": "Rollout"}})
    made = Sighting(cluster=name, source="kubernetes", began=now, ended=now, identity=UID, apps=(look,))
    return replace(made, **changes)


def look(place: Place, *targets: Target) -> dict[str, Sighting]:
    found = list(Pushed(str(place.reader)).look(targets, timeout=20))
    assert len(found) == len(targets)
    return {item.cluster: item for item in found}


def problem(place: Place, wanted: Target) -> Problem:
    (found,) = look(place, wanted).values()
    assert found.problem is not None
    assert not found.apps
    assert found.problem.message
    assert found.problem.remedy
    return found.problem


def put(place: Place, files: Mapping[str, bytes], name: str = "eu-1") -> None:
    """Push files to a cluster's ref, as somebody might who has no key."""
    root = place.cluster
    rows = []
    for path, data in files.items():
        blob = git.run(root, ["hash-object", "-w", "--stdin"], stdin=data).decode().strip()
        rows.append(f"100644 blob {blob}\t{path}\n")
    tree = git.run(root, ["mktree"], stdin="".join(rows).encode()).decode().strip()
    who = ["-c", "user.name=x", "-c", "user.email=x@example.invalid"]
    commit = git.run(root, [*who, "commit-tree", tree, "-m", "x"]).decode().strip()
    git.run(root, ["push", "-q", "--force", "origin", f"{commit}:{STATUS}{name}"])


def test_what_a_cluster_pushes_is_read(place: Place, key: Key) -> None:
    sent = sighting()
    assert push(str(place.cluster), sent, key.file) == "refs/canaryfleet/status/eu-1"
    assert look(place, target(key)) == {"eu-1": replace(sent, source="pushed")}


def test_that_a_cluster_could_not_read_itself_arrives_too(place: Place, key: Key) -> None:
    why = Problem(kind="forbidden", message="no", remedy="allow it")
    push(str(place.cluster), sighting(problem=why, identity=None, apps=()), key.file)
    assert look(place, target(key))["eu-1"].problem == why


def test_each_push_replaces_the_one_before(place: Place, key: Key) -> None:
    for ago in (30, 20, 10):
        push(str(place.cluster), sighting(ago=ago), key.file)
    listed = git.run(place.shared, ["-c", "safe.bareRepository=all", "rev-list", "--all", "--count"])
    assert listed == b"1\n"


def test_many_clusters_are_fetched_at_once_and_judged_each_by_itself(place: Place, tmp_path: Path) -> None:
    keys = {name: make_key(tmp_path, name) for name in ("a", "b", "c")}
    for name in ("a", "b"):
        push(str(place.cluster), sighting(name), keys[name].file)
    found = look(place, *(target(keys[name], name=name) for name in keys))
    assert {name: item.problem and item.problem.kind for name, item in found.items()} == {
        "a": None,
        "b": None,
        "c": "missing",
    }


def test_two_keys_while_one_replaces_the_other(place: Place, key: Key, tmp_path: Path) -> None:
    other = make_key(tmp_path, "other", "ecdsa")
    for signer in (key, other):
        push(str(place.cluster), sighting(), signer.file)
        assert look(place, target(key, other))["eu-1"].problem is None


def test_another_clusters_key_signs_nothing_here(place: Place, key: Key, tmp_path: Path) -> None:
    push(str(place.cluster), sighting(), make_key(tmp_path, "stranger").file)
    assert problem(place, target(key)).kind == "unsigned"


def test_another_clusters_snapshot_is_not_taken_for_this_ones(place: Place, key: Key) -> None:
    data = encode([sighting("us-1")])
    put(place, {SNAPSHOT: data, SIGNATURE: sign(data, key.file, NAMESPACE)})
    assert problem(place, target(key)).kind == "missing"


def test_another_identity_is_foreign(place: Place, key: Key) -> None:
    push(str(place.cluster), sighting(identity="another"), key.file)
    assert problem(place, target(key)).kind == "foreign"


@pytest.mark.parametrize("namespace", ["git", "file"])
def test_a_signature_for_something_else_is_none(place: Place, key: Key, namespace: str) -> None:
    data = encode([sighting()])
    put(place, {SNAPSHOT: data, SIGNATURE: sign(data, key.file, namespace)})
    assert problem(place, target(key)).kind == "unsigned"


def test_one_byte_altered_is_unsigned(place: Place, key: Key) -> None:
    data = encode([sighting()])
    put(place, {SNAPSHOT: data + b" ", SIGNATURE: sign(data, key.file, NAMESPACE)})
    assert problem(place, target(key)).kind == "unsigned"


@pytest.mark.parametrize(
    "files", [{"other": b""}, {SNAPSHOT: b"{}"}, {SNAPSHOT: b"{}", SIGNATURE: b"\0" * 99}]
)
def test_what_is_no_signed_snapshot_is_unsigned(place: Place, key: Key, files: dict[str, bytes]) -> None:
    put(place, files)
    assert problem(place, target(key)).kind == "unsigned"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"a":' * 50_000])
def test_what_is_signed_and_no_snapshot_is_unparsable(place: Place, key: Key, data: bytes) -> None:
    put(place, {SNAPSHOT: data, SIGNATURE: sign(data, key.file, NAMESPACE)})
    assert problem(place, target(key)).kind == "unparsable"


def test_what_is_too_large_is_not_read(place: Place, key: Key) -> None:
    data = b" " * ((8 << 20) + 1)
    put(place, {SNAPSHOT: data, SIGNATURE: sign(data, key.file, NAMESPACE)})
    assert problem(place, target(key)).kind == "too-large"


def test_too_old_is_stale(place: Place, key: Key) -> None:
    push(str(place.cluster), sighting(ago=3600), key.file)
    assert look(place, target(key, age="2h"))["eu-1"].problem is None
    found = problem(place, target(key, age="59m"))
    assert (found.kind, "1:00:" in found.message) == ("stale", True)


def test_the_future_is_stale(place: Place, key: Key) -> None:
    push(str(place.cluster), sighting(ago=-3600), key.file)
    found = problem(place, target(key))
    assert (found.kind, "clocks" in found.remedy) == ("stale", True)


def test_an_older_one_is_not_taken_after_a_newer_one(place: Place, key: Key) -> None:
    older, newer = sighting(ago=60), sighting(ago=30)
    push(str(place.cluster), newer, key.file)
    assert look(place, target(key))["eu-1"].ended == newer.ended
    push(str(place.cluster), older, key.file)
    for _ in range(2):
        found = problem(place, target(key))
        assert (found.kind, "pushed over a newer one" in found.message) == ("stale", True)
    push(str(place.cluster), sighting(), key.file)
    assert look(place, target(key))["eu-1"].problem is None


def test_what_was_refused_is_not_remembered(place: Place, key: Key, tmp_path: Path) -> None:
    push(str(place.cluster), sighting(), make_key(tmp_path, "stranger").file)
    assert problem(place, target(key)).kind == "unsigned"
    push(str(place.cluster), sighting(ago=30), key.file)
    assert look(place, target(key))["eu-1"].problem is None


def test_a_ref_that_was_deleted_is_missing(place: Place, key: Key) -> None:
    push(str(place.cluster), sighting(), key.file)
    assert look(place, target(key))["eu-1"].problem is None
    git.run(place.cluster, ["push", "-q", "origin", f":{STATUS}eu-1"])
    assert problem(place, target(key)).kind == "missing"


def test_a_remote_that_does_not_answer_is_unreachable(place: Place, key: Key, tmp_path: Path) -> None:
    git.run(place.reader, ["remote", "set-url", "origin", f"https://user:secret@{'x' * 9}.invalid/x.git"])
    found = problem(place, target(key))
    assert found.kind == "unreachable"
    assert "secret" not in found.message + found.remedy


def test_a_transport_that_runs_a_command_is_refused(place: Place, key: Key, tmp_path: Path) -> None:
    git.run(place.reader, ["remote", "set-url", "origin", f"ext::touch {tmp_path}/ran"])
    assert problem(place, target(key)).kind == "unreachable"
    assert not (tmp_path / "ran").exists()


def test_a_hanging_remote_costs_no_more_than_the_limit(place: Place, key: Key, tmp_path: Path) -> None:
    git.run(place.reader, ["remote", "set-url", "--push", "origin", "x"])
    git.run(place.reader, ["config", "remote.origin.uploadpack", "sleep 30; true"])
    (found,) = Pushed(str(place.reader)).look([target(key)], timeout=0.3)
    assert found.problem is not None
    assert found.problem.kind == "timeout"


def test_the_readers_own_branches_stay_as_they_are(place: Place, key: Key) -> None:
    push(str(place.cluster), sighting(), key.file)
    look(place, target(key))
    assert set(git.refs(place.reader)) == {"refs/canaryfleet/fetched/eu-1", "refs/canaryfleet/accepted/eu-1"}
    assert not (place.reader / ".git/FETCH_HEAD").exists()


def test_a_key_that_can_not_sign_is_told(place: Place, tmp_path: Path) -> None:
    for name, content in (("none", None), ("empty", "")):
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(Problems, match="CF028: the snapshot can't be signed"):
            push(str(place.cluster), sighting(), str(tmp_path / name))


def test_a_key_with_a_passphrase_does_not_wait_for_one(place: Place, tmp_path: Path) -> None:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(tmp_path / "locked")]
    subprocess.run(words, check=True)
    with pytest.raises(Problems, match="CF028"):
        push(str(place.cluster), sighting(), str(tmp_path / "locked"))


def test_without_ssh_keygen_it_says_what_to_install(
    place: Place, key: Key, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    push(str(place.cluster), sighting(), key.file)
    (tmp_path / "git").symlink_to(subprocess.check_output(["which", "git"], text=True).strip())
    monkeypatch.setenv("PATH", str(tmp_path))
    found = problem(place, target(key))
    assert (found.kind, "OpenSSH" in found.remedy) == ("misconfigured", True)


def test_an_ssh_keygen_that_works_for_nobody_is_no_bad_signature(
    place: Place, key: Key, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    push(str(place.cluster), sighting(), key.file)
    refuses = tmp_path / "ssh-keygen"
    refuses.write_text("#!/bin/sh\necho 'No user exists for uid 65532' >&2\nexit 255\n")
    refuses.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = problem(place, target(key))
    assert (found.kind, "/etc/passwd" in found.remedy) == ("misconfigured", True)
    assert "No user exists for uid 65532" in found.message
    with pytest.raises(Problems, match="CF027"):
        push(str(place.cluster), sighting(), key.file)


def test_whoever_knows_the_way_to_the_repository_needs_no_remote_of_the_clone(place: Place, key: Key) -> None:
    push(str(place.cluster), sighting(), key.file)
    git.run(place.reader, ["remote", "remove", "origin"])
    (found,) = Pushed(str(place.reader), lambda: Remote(str(place.shared))).look([target(key)], timeout=20)
    assert found.problem is None
