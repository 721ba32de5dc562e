"""Snapshots hold what verdicts need and no secret; whatever stands in one, reading it ends well."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from recorded import SCENARIOS, VERSIONS, Recording, recording

from canaryfleet.engines.argo_rollouts.observe import digests, observe, reads
from canaryfleet.engines.argo_rollouts.reduce import reduced
from canaryfleet.errors import Problems
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.cluster import Access, Cluster, ClusterMetadata
from canaryfleet.models.observation import Look, Problem, Sighting
from canaryfleet.sources import Question, Target
from canaryfleet.sources.many import Many
from canaryfleet.sources.snapshot import Recorded, encode
from canaryfleet.sources.snapshot import Recording as Recorder
from canaryfleet.verdict import judge
from support import PROPERTY

ALL = [pytest.param(scenario, version) for scenario in SCENARIOS for version in VERSIONS]
GOOD = recording("good")
LAST = GOOD.sightings[-1]
SECRET = "hunter2-b7c1"
MAPS = ("labels", "annotations", "matchLabels", "nodeSelector", "limits", "requests")
NOW = datetime(2026, 11, 3, 10, tzinfo=UTC)


def target(found: Recording, **changes: Any) -> Target:
    """What is asked of the recorded cluster."""
    first = found.sightings[0]
    fields = {"metadata": ClusterMetadata(name=first.cluster), "uid": first.identity} | changes
    cluster = Cluster(apiVersion=API_VERSION, kind="Cluster", **fields)
    subject = found.subject
    return Target(cluster, (Question(subject.app, subject.namespace, reads(subject)),))


def safe(sighting: Sighting) -> Sighting:
    """What is recorded of a sighting."""
    return replace(sighting, apps=tuple(map(reduced, sighting.apps)))


def write(path: str, sightings: Iterable[Sighting]) -> None:
    """Record sightings in a file."""
    recorder = Recorder()
    for sighting in sightings:
        recorder.add(sighting)
    recorder.write(path)


def through(tmp_path: Path, found: Recording, sighting: Sighting) -> Sighting:
    """The sighting written and read again."""
    write(str(tmp_path / "s.json"), [safe(sighting)])
    (read,) = Recorded.of_file(str(tmp_path / "s.json")).look([target(found)], timeout=1)
    return read


@pytest.mark.parametrize(("scenario", "version"), ALL)
def test_a_verdict_from_a_snapshot_is_the_verdict(scenario: str, version: str, tmp_path: Path) -> None:
    found = recording(scenario, version)
    for sighting in found.turns():
        kept, whole = found.verdict(through(tmp_path, found, sighting)), found.verdict(sighting)
        assert whole.message.startswith(kept.message.removesuffix("…"))  # what it quotes is not recorded
        assert replace(kept, message="") == replace(whole, message="")


def filled(sighting: Sighting) -> Any:
    """As plain data, without maps that are empty: one and none are the same."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if item != {}}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return plain(json.loads(msgspec.json.encode(sighting)))


@pytest.mark.parametrize(("scenario", "version"), ALL)
def test_reducing_again_changes_nothing(scenario: str, version: str) -> None:
    for sighting in recording(scenario, version).turns():
        assert filled(safe(safe(sighting))) == filled(safe(sighting))


@pytest.mark.parametrize(("scenario", "version"), ALL)
def test_all_that_is_observed_is_kept(scenario: str, version: str) -> None:
    found = recording(scenario, version)
    for sighting in found.turns():
        kept, whole = (observe(seen, found.subject) for seen in (safe(sighting), sighting))
        if whole.live and kept.live:
            assert whole.live.message.startswith(kept.live.message.removesuffix("…"))
            kept = replace(kept, live=replace(kept.live, message=whole.live.message))
        assert kept == whole


# Secrets


def planted(value: Any) -> Any:
    """The same objects with a secret wherever somebody could have put one that nothing reads."""
    if isinstance(value, list):
        return [planted(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {
        key: item if key == "steps" else dict(item) if key in MAPS else planted(item)
        for key, item in value.items()
    }
    if "image" in found:
        found |= {
            "command": ["serve", f"--token={SECRET}"],
            "args": [SECRET],
            "env": [{"name": "TOKEN", "value": SECRET}],
        }
    if "provider" in found:
        found["provider"] = {"web": {"headers": [{"key": "Authorization", "value": SECRET}]}}
    if "metricResults" in found:
        found["message"] = f"got {SECRET}"
    if "startedAt" in found:
        found |= {"message": f"got {SECRET}", "metadata": {"query": SECRET}}
    if "exitCode" in found:
        found["message"] = SECRET
    if "annotations" in found:
        found["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = SECRET
    if isinstance(found.get("args"), list) and "metrics" in found:
        found["args"].append({"name": "token", "value": SECRET})
    return found | {
        "planted": SECRET,
        "managedFields": [{"manager": SECRET}],
        "imagePullSecrets": [{"name": SECRET}],
    }


def test_no_secret_is_recorded_and_none_is_missed() -> None:
    look = LAST.apps[0]
    answers = {name: planted(raw) for name, raw in look.answers.items()}
    full = replace(LAST, apps=(replace(look, answers=answers, digests=digests(look)),))
    assert SECRET in encode([full]).decode()
    assert SECRET not in encode([safe(full)]).decode()
    assert GOOD.verdict(safe(full)) == GOOD.verdict(LAST)


def test_what_a_message_quotes_is_not_recorded() -> None:
    said = f'Metric "m" assessed Error: "Error Message: Get https://u:{SECRET}@p/q?token={SECRET}: refused {SECRET}"'
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "RolloutAborted",
        "lastTransitionTime": "2026-11-03T10:00:00Z",
        "message": f"see http://u:{SECRET}@p/?k={SECRET}",
    }
    look = LAST.apps[0]
    rollout = json.loads(json.dumps(look.answers["rollout"]))
    rollout["status"] |= {"message": said, "conditions": [condition]}
    kept = reduced(replace(look, answers={"rollout": rollout})).answers["rollout"]["status"]
    assert SECRET not in json.dumps(kept)
    assert kept["message"] == 'Metric "m" assessed Error: …'
    assert kept["conditions"][0]["message"] == "see http://…"


def test_equal_commands_stay_equal_and_others_different() -> None:
    look = LAST.apps[0]
    items = look.answers["replicaSets"]["items"]
    answers = json.loads(
        json.dumps({"replicaSets": {**look.answers["replicaSets"], "items": [items[0]] * 3}})
    )
    for item, word in zip(answers["replicaSets"]["items"], ("a", "b", "a"), strict=True):
        item["spec"]["template"]["spec"]["containers"][0]["args"] = [word]
    kept = reduced(replace(look, answers=answers)).answers["replicaSets"]["items"]
    first, second, third = (item["spec"]["template"]["spec"]["containers"][0] for item in kept)
    assert first == third != second


def test_an_answer_of_another_form_is_left_out_and_said_to_be() -> None:
    look = LAST.apps[0]
    odd = reduced(replace(look, answers=look.answers | {"pods": {"items": SECRET}}))
    assert set(odd.answers) == set(look.answers) - {"pods"}
    assert odd.problem is not None
    assert (odd.problem.kind, "pods" in odd.problem.message) == ("unparsable", True)
    assert SECRET not in encode([replace(LAST, apps=(odd,))]).decode()


# Files


def judged(path: Path, found: Recording, **changes: Any) -> tuple[Sighting, str]:
    """What a file says of the recorded cluster, and the reason of the verdict."""
    wanted = target(found, **changes)
    (sighting,) = Recorded.of_file(str(path)).look([wanted], timeout=1)
    seen = observe(replace(sighting, apps=tuple(map(reduced, sighting.apps))), found.subject)
    verdict = judge(seen, found.expected(uid=wanted.cluster.uid), now=sighting.ended)
    if sighting.problem:
        assert verdict.kind == "Unknown"
        assert sighting.problem.message
        assert sighting.problem.remedy
    return sighting, verdict.kind


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "not UTF-8": b'{"kind": "\xff"}',
    "a list": b"[]",
    "another kind": b'{"apiVersion":"canaryfleet.dev/v1alpha1","kind":"Fleet"}',
    "an unknown field": b'{"apiVersion":"canaryfleet.dev/v1alpha1","kind":"Snapshot","sightings":[],"x":1}',
    "deep lists": b"[" * 1_000_000,
    "deep objects": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "deep inside": (
        b'{"apiVersion":"canaryfleet.dev/v1alpha1","kind":"Snapshot","sightings":[{"cluster":"c0","source":"kubernetes",'
        b'"began":"2026-11-03T10:00:00Z","ended":"2026-11-03T10:00:00Z","apps":[{"app":"chat","namespace":"status",'
        b'"answers":{"rollout":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}}]}]}"
    ),
    "a huge number": b'{"apiVersion":"canaryfleet.dev/v1alpha1","kind":' + b"9" * 100_000 + b"}",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_a_problem(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(data)
    sighting, _ = judged(tmp_path / "s.json", GOOD)
    assert sighting.problem is not None
    assert sighting.problem.kind == "unparsable"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "s.json").open("wb") as file:
        file.truncate((256 << 20) + 1)
    sighting, _ = judged(tmp_path / "s.json", GOOD)
    assert sighting.problem is not None
    assert "larger than" in sighting.problem.message


def changed(sighting: Sighting) -> Iterator[tuple[str, str, list[Sighting]]]:
    """What may be wrong with a readable snapshot."""
    again = replace(sighting, apps=sighting.apps * 2)
    backwards = replace(sighting, began=sighting.ended, ended=sighting.began - timedelta(seconds=1))
    yield "of nobody", "missing", []
    yield "of others", "missing", [replace(sighting, cluster="c9")]
    yield "twice", "unparsable", [sighting, replace(sighting, source="pushed")]
    yield "of another cluster", "foreign", [replace(sighting, identity="another")]
    yield "of no identity", "foreign", [replace(sighting, identity=None)]
    yield "an app twice", "unparsable", [again]
    yield "backwards", "unparsable", [backwards]


WRONG = {what: (kind, found) for what, kind, found in changed(LAST)}


@pytest.mark.parametrize(("kind", "sightings"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_the_cluster_is_a_problem(
    kind: str, sightings: list[Sighting], tmp_path: Path
) -> None:
    write(str(tmp_path / "s.json"), sightings)
    found, _ = judged(tmp_path / "s.json", GOOD)
    assert found.problem is not None
    assert (found.problem.kind, found.apps) == (kind, ())


def test_an_app_that_was_not_read_is_missing_and_the_others_are_there(tmp_path: Path) -> None:
    write(str(tmp_path / "s.json"), [replace(LAST, apps=())])
    sighting, _ = judged(tmp_path / "s.json", GOOD)
    assert sighting.problem is None
    assert [look.problem and look.problem.kind for look in sighting.apps] == ["missing"]


def test_a_recorded_problem_is_read_as_it_was(tmp_path: Path) -> None:
    why = Problem(kind="timeout", message="no answer", remedy="look")
    write(str(tmp_path / "s.json"), [replace(LAST, identity=None, problem=why, apps=())])
    assert judged(tmp_path / "s.json", GOOD)[0].problem == why


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in plain data."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


PLAIN = json.loads(encode([safe(LAST)]))
PLACES = [place for place in places(PLAIN) if place]


@PROPERTY
@given(place=st.sampled_from(PLACES), value=JSON)
def test_whatever_stands_anywhere_is_read_without_a_traceback(
    place: tuple[Any, ...], value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = json.loads(json.dumps(PLAIN))
    at = data
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    path = tmp_path_factory.mktemp("s") / "s.json"
    path.write_text(json.dumps(data))
    judged(path, GOOD)


@pytest.mark.parametrize(
    "ended", ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"]
)
def test_the_ends_of_time_are_read_without_a_traceback(ended: str, tmp_path: Path) -> None:
    data = json.loads(json.dumps(PLAIN))
    data["sightings"][0] |= {"began": ended, "ended": ended}
    (tmp_path / "s.json").write_text(json.dumps(data))
    assert judged(tmp_path / "s.json", GOOD)[1] == "Unknown"
    text = json.dumps(PLAIN)
    for stamp in sorted(set(re.findall(r'"20[0-9-]+T[0-9:.]+Z"', text)))[:40]:
        (tmp_path / "s.json").write_text(text.replace(stamp, f'"{ended}"'))
        judged(tmp_path / "s.json", GOOD)


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    write(str(file), [LAST])
    before = file.read_bytes()
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(Problems):
            write(str(tmp_path / "none/s.json"), ())
    finally:
        tmp_path.chmod(0o700)
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.json"]


def test_a_snapshot_is_what_its_schema_says() -> None:
    from jsonschema import Draft202012Validator

    from canaryfleet.models.observation import Snapshot
    from canaryfleet.schema import schema_of

    Draft202012Validator(schema_of(Snapshot)).validate(PLAIN)


# All sources together


def test_each_cluster_is_read_by_its_access(tmp_path: Path) -> None:
    write(str(tmp_path / "s.json"), [replace(safe(LAST), cluster="c0")])
    (tmp_path / "broken.json").write_text("{")
    access = {
        "c0": Access(snapshot="s.json"),
        "c1": Access(snapshot="broken.json"),
        "c2": Access(snapshot="../s.json"),
        "c3": Access(snapshot="none.json"),
        "c4": Access(context="nowhere"),
        "c5": None,
    }
    targets = [target(GOOD, metadata=ClusterMetadata(name=name), access=way) for name, way in access.items()]
    seen = {item.cluster: item for item in Many(str(tmp_path)).look(targets, timeout=5)}
    assert {name: item.problem and item.problem.kind for name, item in seen.items()} == {
        "c0": None,
        "c1": "unparsable",
        "c2": "misconfigured",
        "c3": "missing",
        "c4": "misconfigured",
        "c5": "misconfigured",
    }
    assert "access" in (seen["c5"].problem or Problem(kind="failed", message="")).remedy


def test_a_bug_in_a_source_is_not_swallowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: Any, **__: Any) -> Iterator[Sighting]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Recorded, "look", broken)
    ways = (Access(snapshot="s.json"), Access(context="nowhere"))
    with pytest.raises(RuntimeError, match="a bug"):
        list(Many(str(tmp_path)).look([target(GOOD, access=way) for way in ways], timeout=5))


def test_a_snapshot_has_a_line_for_each_cluster() -> None:
    data = encode([safe(LAST), replace(safe(LAST), cluster="c1")])
    assert data.count(b"\n") == 4
    assert msgspec.json.decode(data)["kind"] == "Snapshot"


def test_a_look_may_have_nothing() -> None:
    empty = Look(app="chat", namespace="status")
    assert reduced(empty) == empty
