"""A record comes back whole or not at all, whatever happens to it on its way."""

import base64
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect
from msgspec.structs import replace

import world as worlds
from canaryfleet import record
from canaryfleet.decide import decide
from canaryfleet.digest import sha256
from canaryfleet.errors import Problems
from canaryfleet.models.decision import Request, Situation
from canaryfleet.models.release import ReleaseWave
from canaryfleet.record import Packed, Record, decode, encode, find, hidden, of, parse, visible

SEEDS = st.integers(0, 10_000)


def situation(seed: int = 5) -> Situation:
    return worlds.player(seed, steps=20).look()


def recorded(seed: int = 5) -> Record:
    read = situation(seed)
    return of(read, decide(read))


def refusal(data: bytes, hash: str | None = None) -> str:
    with pytest.raises(Problems) as caught:
        decode(data, sha256(data) if hash is None else hash)
    (finding,) = caught.value.findings
    assert finding.code == "CF183"
    return f"{finding.message} / {finding.remedy}"


# There and back


@given(seed=SEEDS)
def test_it_comes_back_as_it_went(seed: int) -> None:
    made = recorded(seed)
    packed = encode(made)
    back = decode(packed.data, packed.hash)
    assert back == made
    assert encode(back) == packed
    assert decide(back.situation) == made.decision


@given(seed=SEEDS, shuffle=st.randoms())
def test_neither_hash_nor_decision_depend_on_the_order_in_which_things_were_read(
    seed: int, shuffle: Any
) -> None:
    read = situation(seed)
    fields = {}
    for name in ("sites", "releases", "pointers", "verdicts", "carried"):
        entries = list(getattr(read, name).items())
        shuffle.shuffle(entries)
        fields[name] = dict(entries)
    other = replace(read, **fields)
    assert decide(other) == decide(read)
    assert encode(of(other, decide(other))) == encode(of(read, decide(read)))


def test_which_of_two_shortages_is_told_does_not_depend_on_their_order() -> None:
    played = worlds.World((ReleaseWave(name="all", members=("c0",)),))
    played.new("v1", "w1")
    read = played.look()
    takes = {"b": 9, "a": 9}
    member = replace(read.releases["v1"].clusters["c0"], takes=takes)
    release = replace(read.releases["v1"], clusters={"c0": member})
    site = replace(read.sites["c0"], resources=dict.fromkeys(takes, 1))
    read = replace(read, releases=read.releases | {"v1": release}, sites={"c0": site})
    made = of(read, decide(read))
    assert [item.code for item in made.decision.reasons][:1] == ["capacity"]
    packed = encode(made)
    assert decide(decode(packed.data, packed.hash).situation) == made.decision


@given(seed=SEEDS, where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(seed: int, where: float, bit: int) -> None:
    packed = encode(recorded(seed))
    spoilt = bytearray(packed.data)
    spoilt[int(where * len(spoilt))] ^= 1 << bit
    assert "not what its hash" in refusal(bytes(spoilt), packed.hash)


def test_the_name_is_of_the_bytes() -> None:
    packed = encode(recorded())
    assert packed.hash == sha256(packed.data)
    assert "not what its hash" in refusal(packed.data, "0" * 64)


def test_half_a_character_in_the_name_of_a_branch_spoils_no_record() -> None:
    read = situation()
    odd = Request(number=99, branch="canaryfleet/app/\udcff", key="\udcff", head="0", state="closed")
    read = replace(read, requests=(*read.requests, odd))
    packed = encode(of(read, decide(read)))
    back = decode(packed.data, packed.hash)
    assert back.situation.requests[-1].key == "?"
    assert decide(back.situation) == decide(read)


# What is none


def test_a_small_file_that_unfolds_without_end_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "LARGEST", 1 << 20)
    assert "unpacked it has more than 1 MB" in refusal(zlib.compress(b" " * (1 << 20) + b" "))
    assert "not of the form" in refusal(zlib.compress(b" " * (1 << 20)))


def test_a_bomb_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "LARGEST", 1 << 20)
    bomb = zlib.compress(bytes(64 << 20))
    tracemalloc.start()
    refusal(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_large_file_is_not_even_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "LARGEST_PACKED", 1 << 20)
    assert "it has more than 1 MB" in refusal(b"x" * ((1 << 20) + 1), "0" * 64)


@pytest.mark.parametrize(
    "nest", [b"[", b'{"situation":', b'{"version":[', b'{"decision":{"moves":[', b'{"x":']
)
def test_depth_is_refused_without_a_crash(nest: bytes) -> None:
    assert "not of the form" in refusal(zlib.compress(nest * 200_000))


def test_what_is_no_record_is_refused_with_what_is_wrong() -> None:
    packed = encode(recorded())
    assert "not compressed" in refusal(b"nonsense")
    assert "cut off" in refusal(packed.data[:-1])
    assert "cut off" in refusal(b"")
    assert "something follows" in refusal(packed.data + b"x")
    assert "not of the form" in refusal(zlib.compress(b"\xff\xfe"))
    assert "missing required field `version`" in refusal(zlib.compress(b"{}"))


def test_a_record_of_another_version_says_with_which_to_explain_it() -> None:
    data = msgspec.json.decode(record.canonical(recorded()))
    old = data | {"version": "0.0.9", "more": 1}
    assert "explain it with that version" in refusal(zlib.compress(msgspec.json.encode(old)))
    same = data | {"more": 1}
    assert "explain it" not in refusal(zlib.compress(msgspec.json.encode(same)))


# Nothing else gets in


def _types(known: Any, seen: set[int]) -> Any:
    """Every type that a record can hold."""
    if id(known) in seen:
        return
    seen.add(id(known))
    if isinstance(known, inspect.Metadata):
        yield from _types(known.type, seen)
        return
    yield known
    if isinstance(known, inspect.StructType):
        assert known.forbid_unknown_fields, known.cls
        parts = [field.type for field in known.fields]
    elif isinstance(known, inspect.UnionType):
        parts = list(known.types)
    elif isinstance(known, inspect.VarTupleType):
        parts = [known.item_type]
    elif isinstance(known, inspect.DictType):
        parts = [known.key_type, known.value_type]
    else:
        parts = []
    for part in parts:
        yield from _types(part, seen)


def test_there_is_no_place_in_a_record_for_what_no_model_names() -> None:
    allowed = (
        inspect.StructType, inspect.UnionType, inspect.VarTupleType, inspect.DictType, inspect.StrType, inspect.IntType,
        inspect.FloatType, inspect.BoolType, inspect.NoneType, inspect.LiteralType, inspect.DateTimeType,
    )  # fmt: skip
    found = {type(item) for item in _types(inspect.type_info(Record), set())}
    assert found <= set(allowed)
    assert inspect.StructType in found


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Any:
    if isinstance(value, dict):
        yield path
        for name, part in value.items():
            yield from _paths(part, (*path, name))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _paths(part, (*path, index))


BY_NAME = ("sites", "releases", "clusters", "pointers", "verdicts", "carried", "takes", "resources", "labels")


@given(seed=SEEDS, which=st.integers(0, 10_000))
def test_an_entry_that_somebody_adds_anywhere_is_refused(seed: int, which: int) -> None:
    data = msgspec.json.decode(record.canonical(recorded(seed)))
    models = [path for path in _paths(data) if not path or path[-1] not in BY_NAME]
    inner: Any = data
    for step in models[which % len(models)]:
        inner = inner[step]
    inner["token"] = "ghp_secret"
    assert "unknown field `token`" in refusal(zlib.compress(msgspec.json.encode(data)))


def test_the_environment_is_not_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_verysecret")
    monkeypatch.setenv("HOME", str(tmp_path))
    text = record.canonical(recorded()).decode()
    assert "ghp_" not in text
    assert str(tmp_path) not in text
    assert str(Path.cwd()) not in text


# In the text of a pull request


def mangled(text: str, how: int) -> str:
    """What forges and editors do to a text."""
    lines = text.split("\n")
    if how & 1:
        lines = [line + "  " for line in lines]
    return ("\r\n" if how & 2 else "\n").join(lines) + ("\n" * (how >> 2))


@given(seed=SEEDS, how=st.integers(0, 15), before=st.text(), after=st.text())
def test_it_survives_what_forges_do_to_text(seed: int, how: int, before: str, after: str) -> None:
    packed = encode(recorded(seed))
    found = find(mangled(f"{before}\n{hidden(packed)}\n{after}", how))
    assert found == packed
    assert decode(packed.data, packed.hash) == recorded(seed)


def test_no_byte_ends_the_comment() -> None:
    for data in (bytes(range(256)) * 40, b"-->" * 100, b"<!-- -->" * 100):
        packed = Packed(sha256(data), data)
        assert hidden(packed).index("-->") == len(hidden(packed)) - 3
        assert find(hidden(packed)) == packed


def test_a_long_record_is_only_named() -> None:
    data = bytes(29_880)
    assert find(hidden(Packed(sha256(data), data))) == (sha256(data), data)
    assert len(hidden(Packed(sha256(data), data))) <= record.LONGEST
    data = bytes(29_890)
    assert not record.fits(Packed(sha256(data), data))
    assert find(f"text\n\n{hidden(Packed(sha256(data), data))}\r\n") == (sha256(data), None)


def test_there_may_be_none_and_not_two() -> None:
    packed = encode(recorded())
    assert find("") is None
    assert find(f"see <!-- canaryfleet-record v1 {packed.hash} -->") is None, "in the middle of a line"
    with pytest.raises(Problems, match="2 records"):
        find(f"{hidden(packed)}\n{hidden(packed)}")


def test_a_spoilt_comment_is_told() -> None:
    packed = encode(recorded())
    text = base64.b64encode(packed.data).decode()
    with pytest.raises(Problems, match="no base64"):
        find(hidden(packed).replace(text, text[:-1] + "=A"))


def test_text_without_its_record_is_the_same_when_only_the_record_changes() -> None:
    one, two = encode(recorded(1)), encode(recorded(2))
    texts = [f"Why\n\nBecause.  \r\n\r\nRecord `{item.hash}`\n\n{hidden(item)}" for item in (one, two)]
    assert visible(texts[0]) == visible(texts[1]) == "Why\n\nBecause.\n\nRecord ``"
    assert visible(texts[0]) != visible(texts[1].replace("Why", "How"))


def test_json_is_read_as_it_is_written() -> None:
    made = recorded()
    assert parse(record.canonical(made)) == made
