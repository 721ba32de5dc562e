"""Snapshots that come from anywhere, in files and in pushed refs: a problem of the clusters that they are about."""

import copy
import json
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from driver import Repo
from hostile import BYTES, as_json, data_of, ends, fine, spoiled, tried
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.json import encode
from recorded import recording, renamed

from canaryfleet.errors import Problems
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.cluster import Access, Cluster, ClusterMetadata
from canaryfleet.models.cluster import Pushed as PushedAccess
from canaryfleet.signing import Signers, sign
from canaryfleet.sources import Question, Target, pushed
from canaryfleet.sources.snapshot import Refused

DEEP = b'{"apiVersion":"canaryfleet.dev/v1alpha1","kind":"Snapshot","sightings":' + b"[" * 100_000


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    return Repo(tmp_path_factory.mktemp("snapshots") / "fleet").rendered().committed()


@cache
def snapshot() -> Any:
    """Two clusters of the repository, with what was recorded of another one."""
    base = recording("good")
    one = renamed(base, {base.cluster: "eu-1", base.subject.namespace: "inference"}).sightings[-1]
    seen = json.loads(encode(one))
    two = {**copy.deepcopy(seen), "cluster": "eu-2"}
    return {"apiVersion": API_VERSION, "kind": "Snapshot", "sightings": [seen, two]}


@pytest.mark.parametrize("command", [["status"], ["status", "--output", "json"], ["report", "html", "--output", "json"], ["report", "html"]], ids=" ".join)  # fmt: skip
@tried(6)
@given(data=st.data())
def test_any_snapshot_file(repo: Repo, command: list[str], data: st.DataObject) -> None:
    written = data.draw(data_of(snapshot()))
    judged(repo, command, written)


def judged(repo: Repo, command: list[str], written: bytes) -> None:
    file = repo.root.parent / "snapshot.json"
    file.write_bytes(written)
    result = ends(*command, "--snapshot", str(file), "--root", str(repo.root))
    assert "Verified" not in result.out or command[0] == "report"
    if "json" in command and result.code == 0:
        assert '"kind":"Verified"' not in result.out.replace(" ", "")
        json.loads(result.out)


@pytest.mark.parametrize("written", [b"", b"null", b"[]", b"\xff", DEEP, as_json({"kind": "Snapshot"}), *BYTES[:8]], ids=range(14))  # fmt: skip
def test_files_that_are_no_snapshot(repo: Repo, written: bytes) -> None:
    judged(repo, ["status"], written)


@pytest.mark.parametrize("path", ["/dev/null", "/", "/nowhere", "a\nb", "../../x", "\x1b[2J", "x" * 5000])
def test_a_snapshot_that_is_no_file(repo: Repo, path: str) -> None:
    ends("status", "--snapshot", path, "--root", str(repo.root))


# Pushed ones


class Anybody(Signers):
    """Signed by the key that may: who has it may still say anything."""

    def __init__(self) -> None:
        pass

    def signed(self, name: str, data: bytes, signature: bytes) -> bool:
        return True


TARGET = Target(
    Cluster(
        apiVersion=API_VERSION, kind="Cluster", metadata=ClusterMetadata(name="eu-1"), uid="u",
        access=Access(pushed=PushedAccess(keys=("ssh-ed25519 AAAA",), maxAge="5m")),
    ),
    (Question("chat", "inference", ()),),
)  # fmt: skip
PUSHED: Any = {
    "apiVersion": API_VERSION, "kind": "Snapshot",
    "sightings": [{"cluster": "eu-1", "source": "kubernetes", "began": "NOW", "ended": "NOW", "identity": "u",
                   "apps": [{"app": "chat", "namespace": "inference", "answers": {"rollout": {"kind": "Rollout"}}}]}],
}  # fmt: skip


@tried(60)
@given(data=st.data())
@example(data=None)
def test_anything_that_is_signed(data: Any) -> None:
    known = json.loads(json.dumps(PUSHED).replace("NOW", datetime.now(UTC).isoformat()))
    draw = data.draw if data else lambda _: as_json(known)
    new, before = draw(data_of(known)), draw(data_of(known))
    try:
        seen = pushed._sighting(TARGET, pushed._Pushed("1" * 40, new, b"x", "2" * 40, before), Anybody())
    except Refused as refused:
        fine(refused.problem.message + refused.problem.remedy)
        return
    assert (seen.cluster, seen.source) == ("eu-1", "pushed")
    assert seen.problem is not None or seen.identity == "u"
    assert abs(time.time() - seen.began.timestamp()) < 400
    assert [look.app for look in seen.apps] in ([], ["chat"])


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The file of a private key, and the public one."""
    from test_pushed import make_key

    made = make_key(tmp_path_factory.mktemp("key"), "key")
    return made.file, made.public


@tried(6)
@given(data=st.data())
def test_no_other_signature_is_one(
    key: tuple[str, str], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    private, public = key
    text = b"what was seen"
    right = signed_once(private, text)
    known = Signers(str(tmp_path_factory.mktemp("signers")), pushed.NAMESPACE, {"eu-1": [public], "eu-2": []})
    assert known.signed("eu-1", text, right)
    other, signature = data.draw(
        st.sampled_from([(text, None), (text + b"\n", right), (b"", right), (text, b"")])
    )
    name = data.draw(st.sampled_from(["eu-1", "eu-2", "*", "eu-1,eu-2"]))
    signature = data.draw(spoiled(right)) if signature is None else signature
    try:
        good = known.signed(name, other, signature)
    except Problems as problems:
        fine(str(problems))
        return
    # Base64 may be broken into other lines and still be the same bytes.
    assert not good or (
        name == "eu-1"
        and other == text
        and b"".join(signature.split())[:200] == b"".join(right.split())[:200]
    )


@cache
def signed_once(private: str, text: bytes) -> bytes:
    return sign(text, private, pushed.NAMESPACE)
