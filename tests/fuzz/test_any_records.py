"""Records of decisions, which stand in the text of pull requests: anybody may have changed one that somebody explains."""

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hostile import altered, as_json, ends, fine, spoiled, tried
from hypothesis import given
from hypothesis import strategies as st

import world as worlds
from canaryfleet import record
from canaryfleet.decide import decide
from canaryfleet.digest import sha256
from canaryfleet.errors import Problems


@cache
def packed(seed: int) -> record.Packed:
    """What the bot recorded in the middle of some history."""
    situation = worlds.player(seed, 20).look()
    return record.encode(record.of(situation, decide(situation)))


@cache
def plain(seed: int) -> Any:
    found = packed(seed)
    return json.loads(record.canonical(record.decode(found.data, found.hash)))


@tried(30)
@given(data=st.data(), seed=st.integers(0, 5), more=st.sampled_from([[], ["--output", "json"], ["--input"]]))
def test_any_record(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, seed: int, more: list[str]
) -> None:
    whole = plain(seed)
    written = data.draw(altered(whole).map(as_json) | spoiled(as_json(whole)))
    explained(tmp_path_factory.getbasetemp(), written, more)


def explained(folder: Path, written: bytes, more: list[str]) -> None:
    (folder / "record.json").write_bytes(written)
    ends("explain", str(folder / "record.json"), *more, "--root", str(folder), codes=(0, 1))


@tried(15)
@given(data=st.data())
def test_any_text_of_a_pull_request(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    body = f"# Advance\n\nwords\n\n{record.hidden(packed(1))}\n".encode()
    explained(tmp_path_factory.getbasetemp(), data.draw(spoiled(body)), [])


@tried(30)
@given(data=st.data())
def test_any_packed_bytes(data: st.DataObject) -> None:
    """Also with a hash that is right: it says that a record is whole, and not whose it is."""
    bytes_ = data.draw(spoiled(packed(2).data))
    body = f"<!-- canaryfleet-record v1 {sha256(bytes_)}\n{base64.b64encode(bytes_).decode()}\n-->"
    try:
        found = record.find(body)
        assert found is not None
        assert found.data == bytes_
        record.decode(bytes_, found.hash)
    except Problems as problems:
        fine(str(problems))
    assert "canaryfleet-record" not in record.visible(body)


@pytest.mark.parametrize(
    "now",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
    ],
)
def test_a_record_of_the_ends_of_the_calendar(tmp_path: Path, now: str) -> None:
    for more in ([], ["--output", "json"]):
        explained(tmp_path, as_json({**plain(3), "situation": {**plain(3)["situation"], "now": now}}), more)
