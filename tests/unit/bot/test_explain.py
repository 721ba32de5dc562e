"""`canaryfleet explain`: the same decision again, what decided it, and what would have changed it."""

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.structs import replace

import world as worlds
from canaryfleet import __version__, archive, landing, record, request
from canaryfleet.cli import main
from canaryfleet.counterfactual import AHEAD, outcome, what_if
from canaryfleet.decide import decide
from canaryfleet.models.canary import Wave, Window
from canaryfleet.models.decision import Load, Pointed, Policy, Review, Situation
from canaryfleet.models.fleet import Freeze
from canaryfleet.models.promotion import Bar, Excuse, HoldEntry
from canaryfleet.models.release import ReleaseWave
from canaryfleet.record import Packed, Record
from canaryfleet.schema import FILES, schema_of
from forges import Ground, sh
from world import EARLY, World, fleet, promotion, verdict

WAVES = (
    ReleaseWave(name="pilot", members=("p", "q")),
    ReleaseWave(name="rest", members=("a", "b"), maxConcurrency=1),
)


def begun(waves: tuple[ReleaseWave, ...] = WAVES, **changes: Any) -> Situation:
    """The pilot has v1, and it is proven on p alone."""
    world = World(waves)
    world.new("v1", "w1")
    world.bot()
    for name in sorted(world.clusters):
        world.sync(name)
    world.now += timedelta(hours=1)
    world.ripen("p")
    return replace(world.look(), **changes)


def ready(**changes: Any) -> Situation:
    """Nothing has begun; the first wave could."""
    world = World(WAVES)
    world.new("v1", "w1")
    return replace(world.look(), **changes)


def told(situation: Situation) -> dict[str, str]:
    """What is found, by its words: the kind, and whether it could be merged."""
    return {
        " and ".join(item.words): item.decision.kind + (" now" if item.decision.ready else "")
        for item in what_if(situation)
    }


# What would change it


def test_what_is_waited_for_is_named() -> None:
    found = told(begun())
    assert found["q were Verified"] == found["q were excused"] == "Advance now"
    assert found["p were Failed"] == "Rollback now"
    assert "p were Verified" not in found


def test_the_deadline_is_a_time_at_which_something_happens() -> None:
    read = begun()
    (found,) = [item for item in what_if(read) if "progressDeadline of q" in item.words[0]]
    assert "2026-11-03 09:00Z" in found.words[0]
    assert found.decision.kind == "Rollback"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"fleet": fleet(paused=True)}, "fleet.yaml said `paused: false`"),
        (
            {"fleet": fleet(freezes=(Freeze(name="xmas", from_=EARLY, to="2026-11-05T00:00:00Z"),))},
            "there were no freeze xmas",
        ),
        (
            {"fleet": fleet(freezes=(Freeze(name="xmas", from_=EARLY, to="2026-11-05T00:00:00Z"),))},
            "it were 2026-11-05 00:00Z (freeze xmas is over), and nothing else had changed",
        ),
        (
            {"promotion": promotion(holds=(HoldEntry(wave="pilot", by="ann", since=EARLY, why="wait"),))},
            "ann did not hold pilot: wait",
        ),
        (
            {"promotion": promotion(holds=(HoldEntry(by="ann", since=EARLY, until="2026-11-03T00:00:00Z", why="wait"),))},
            "it were 2026-11-03 00:00Z (an entry of promotion.yaml ends), and nothing else had changed",
        ),
        (
            {"promotion": promotion(bars=(Bar(workload="w1", by="ann", since=EARLY, why="bad"),))},
            "w1 were not barred",
        ),
        ({"promotion": None, "unreadable": "no YAML"}, "promotion.yaml could be read, and held and barred nothing"),
    ],
)  # fmt: skip
def test_what_stops_everything_is_found_alone(changes: dict[str, Any], expected: str) -> None:
    read = ready(**changes)
    assert decide(read).kind == "Hold"
    assert told(read)[expected] == "Start now"


def test_a_window_is_removed_or_waited_for() -> None:
    window = Window(days="Tue", from_="09:10", to="11:00", timezone="Europe/Berlin")
    read = ready(policy=Policy(waves=(Wave(name="pilot", windows=(window,)),)))
    found = told(read)
    assert found["wave pilot had no windows"] == "Start now"
    assert (
        found["it were 2026-11-03 08:15Z (a window of wave pilot opens), and nothing else had changed"]
        == "Start now"
    )
    never = Window(days="Mon", from_="00:00", to="00:10")
    assert AHEAD > 7 * 24 * 4
    assert not [
        words
        for words in told(
            ready(policy=Policy(waves=(Wave(name="pilot"), Wave(name="rest", windows=(never,)))))
        )
        if "window" in words
    ]


def test_two_that_stop_it_are_found_as_a_pair() -> None:
    read = ready(
        fleet=fleet(paused=True),
        promotion=promotion(holds=(HoldEntry(by="ann", since=EARLY, why="wait"),)),
    )
    found = told(read)
    assert found["fleet.yaml said `paused: false` and ann did not hold everything: wait"] == "Start now"
    assert all(" and " in words for words in found)


def test_pairs_are_sought_too_when_single_changes_only_take_it_back() -> None:
    waves = (replace(WAVES[0], members=("p", "q", "r")), WAVES[1])
    found = told(begun(waves))
    assert found["p were Failed"] == "Rollback now"
    assert found["q, r were Verified"] == "Advance now"
    held = begun(
        waves, promotion=promotion(holds=(HoldEntry(wave="rest", by="ann", since=EARLY, why="wait"),))
    )
    assert told(held)["ann did not hold rest: wait and q, r were Verified"] == "Advance now"
    assert "q were Verified" not in found


def test_an_approval_is_of_the_pull_request_that_there_is() -> None:
    waves = (replace(WAVES[0], approval="required"), WAVES[1])
    world = World(waves)
    world.new("v1", "w1")
    words = "a person approved the head of the pull request"
    assert told(world.look())[words] == "Start now"
    world.bot()
    read = world.look()
    assert [item.state for item in read.requests] == ["open"]
    assert told(read)[words] == "Start now"


def test_what_people_did_on_the_forge_is_undone() -> None:
    world = World(WAVES)
    world.new("v1", "w1")
    world.bot(crash="opened")
    world.change(1, state="closed", closedBy="person")
    assert told(world.look())["pull request 1 had not been closed by a person"] == "Start now"
    world.change(1, state="open", closedBy=None, touched=True)
    assert told(world.look())["nobody had committed to the branch of pull request 1"] == "Start now"
    world.change(1, touched=False, reviews=(Review(by="bob", state="changesRequested", head="1.0"),))
    assert told(world.look())["nobody asked for changes on pull request 1"] == "Start now"


def test_room_and_policy_are_among_what_could_be_otherwise() -> None:
    read = ready()
    busy = replace(
        read.sites["p"], maxConcurrentCanaries=1, others=(Load(app="o", underWay=True, takes={"gpu": 1}),)
    )
    full = replace(read.sites["q"], others=(Load(app="o", takes={"gpu": 7}),))
    found = told(replace(read, sites=read.sites | {"p": busy, "q": full}))
    assert "no other app were under way on p" in found
    assert "no other app were under way on q" in found
    world = World(WAVES)
    world.new("v1", "w1")
    world.turn()
    world.new("v2", "w2")
    assert told(replace(world.look(), policy=Policy()))["the spec said `onNewRelease: replace`"].startswith(
        "Start"
    )


def test_a_rollback_by_hand_and_what_it_rests_on() -> None:
    read = begun(policy=Policy(automatic=False))
    failed = verdict("p", "v1", "Failed", read.now)
    found = told(replace(read, verdicts=read.verdicts | {"p": failed}))
    assert found["the spec said `rollback: {automatic: true}`"] == "Rollback now"
    assert found["p were Verified"] == "Hold"
    assert found["p were Unknown"] == "Hold"


def test_an_excuse_counts() -> None:
    read = begun(promotion=promotion(excused=(Excuse(cluster="q", by="ann", since=EARLY, why="burns"),)))
    assert decide(read).kind == "Advance"
    assert told(read)["q were not excused"] == "Hold"


@given(seed=st.integers(0, 10_000))
def test_every_change_that_is_told_makes_the_difference_that_is_told(seed: int) -> None:
    read = worlds.player(seed, steps=18).look()
    first = decide(read)
    for item in what_if(read):
        changed = read
        for change in item.changes:
            changed = change.make(changed)
        assert changed != read
        assert decide(changed) == item.decision
        assert outcome(item.decision) != outcome(first)
    assert decide(read) == first, "nothing of the situation itself is changed"


def test_a_thousand_clusters_are_explained_in_seconds() -> None:
    waves = (
        ReleaseWave(name="pilot", members=tuple(f"p{n}" for n in range(500))),
        ReleaseWave(name="rest", members=tuple(f"r{n}" for n in range(500))),
    )
    world = World(waves)
    world.new("v1", "w1")
    world.pointers |= {name: Pointed(release="v1", fallback="v0") for name in waves[0].members}
    found = what_if(world.look())
    assert any("and 495 more were Verified" in item.words[0] for item in found)
    assert len(found) < 60


# The command


@dataclass
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: str) -> Said:
        code = main(["explain", *words])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


def of(read: Situation) -> Record:
    return record.of(read, decide(read))


@pytest.fixture
def packed() -> Packed:
    return record.encode(of(begun()))


TEXT = f"""\
app, decided at 2026-11-02 10:00:00Z by canaryfleet {__version__}, record HASH
  Hold v1
  decided again by canaryfleet {__version__}: the same

why, in order
  1. wave pilot is not complete: 1 of 2 clusters are verified on v1 [wave-incomplete]: wait for them, or excuse one
  2. q: Stepping [under-way]

what would give another decision
  if q were Verified: Advance v1 to wave rest: a, ready to be merged
  if p were Failed: Rollback v1: p, q, bars w1, ready to be merged
  if q were excused: Advance v1 to wave rest: a, ready to be merged
  if it were 2026-11-03 09:00Z (progressDeadline of q), and nothing else had changed: Rollback v1: q, ready to be merged
"""


def test_a_file_is_explained_in_words(explain: Any, packed: Packed, tmp_path: Path) -> None:
    (tmp_path / "7").write_bytes(packed.data)
    said = explain(str(tmp_path / "7"))
    assert (said.code, said.err) == (0, "")
    assert said.out == TEXT.replace("HASH", packed.hash[:12])


@pytest.mark.parametrize("form", ["text", "json", "packed"])
def test_standard_input_may_have_any_form(
    explain: Any, packed: Packed, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of(begun())
    body = request.body(made.situation, made.decision, packed.hash, record.hidden(packed)).replace(
        "\n", "\r\n"
    )
    data = {"text": body.encode(), "json": b" " + record.canonical(made), "packed": packed.data}[form]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    said = explain("-")
    assert said.code == 0
    assert "the same" in said.out


def test_json_says_the_same(explain: Any, packed: Packed, tmp_path: Path) -> None:
    (tmp_path / "record").write_bytes(packed.data)
    said = json.loads(explain(str(tmp_path / "record"), "--output", "json").out)
    Draft202012Validator(schema_of(FILES["explained"])).validate(said)
    assert (said["record"], said["same"], said["differences"]) == (packed.hash, True, [])
    assert said["version"] == said["thisVersion"] == __version__
    assert said["decision"]["kind"] == "Hold"
    by_words = {" and ".join(item["if"]): item["decision"] for item in said["whatIf"]}
    assert by_words["q were Verified"]["moves"] == [
        {"cluster": "a", "from": "v0", "to": "v1", "fallback": "v0"}
    ]


def test_another_decision_is_told_with_what_differs(explain: Any, tmp_path: Path) -> None:
    made = of(begun())
    other = replace(made, version="0.0.1", decision=replace(made.decision, kind="Advance", ready=True))
    (tmp_path / "record").write_bytes(record.encode(other).data)
    said = explain(str(tmp_path / "record"))
    assert said.code == 1
    assert "by canaryfleet 0.0.1" in said.out
    assert f"decided again by canaryfleet {__version__}: NOT the same: Hold v1\n" in said.out
    assert '    kind: recorded "Advance", now "Hold"\n    ready: recorded true, now null\n' in said.out
    as_json = json.loads(explain(str(tmp_path / "record"), "--output", "json").out)
    Draft202012Validator(schema_of(FILES["explained"])).validate(as_json)
    assert {"field": "kind", "recorded": "Advance", "now": "Hold"} in as_json["differences"]


def test_a_bar_of_an_older_proposal_is_no_difference_and_another_bar_is(explain: Any, tmp_path: Path) -> None:
    read = begun()
    made = of(replace(read, verdicts=read.verdicts | {"p": verdict("p", "v1", "Failed", read.now)}))
    (bar,) = made.decision.bars
    for changes, code in (({"since": EARLY, "why": "as it was"}, 0), ({"workload": "w0"}, 1)):
        other = replace(made, decision=replace(made.decision, bars=(replace(bar, **changes),)))
        (tmp_path / "record").write_bytes(record.encode(other).data)
        assert explain(str(tmp_path / "record")).code == code


def test_the_input_can_be_changed_and_explained_again(explain: Any, packed: Packed, tmp_path: Path) -> None:
    (tmp_path / "record").write_bytes(packed.data)
    data = json.loads(explain(str(tmp_path / "record"), "--input").out)
    del data["situation"]["candidate"]
    (tmp_path / "changed").write_text(json.dumps(data))
    said = explain(str(tmp_path / "changed"))
    assert said.code == 1
    assert "NOT the same: Hold\n" in said.out
    assert "there is no candidate.yaml" in said.out


def test_the_same_in_another_process_whatever_its_hashes_of_words(packed: Packed, tmp_path: Path) -> None:
    made = of(worlds.player(40, steps=40).look())
    (tmp_path / "record").write_bytes(record.encode(made).data)
    command = [sys.executable, "-m", "canaryfleet", "explain", str(tmp_path / "record")]
    outs = {
        subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outs) == 1


def test_what_people_write_colours_no_terminal(explain: Any, tmp_path: Path) -> None:
    read = ready(promotion=promotion(holds=(HoldEntry(by="ann", since=EARLY, why="\x1b[31m\nok\u202e"),)))
    (tmp_path / "record").write_bytes(record.encode(of(read)).data)
    said = explain(str(tmp_path / "record")).out
    assert all(line.isprintable() for line in said.split("\n"))
    assert "\\x1b[31m\\nok\\u202e" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"just text", "the text has no record"),
        (b"{}", "missing required field"),
        (b"\x78\x9cnonsense", "not compressed"),
        (b"", "the text has no record"),
    ],
)
def test_what_is_no_record_is_bad_input(explain: Any, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "record").write_bytes(content)
    said = explain(str(tmp_path / "record"))
    assert said.code == 1
    assert "CF183" in said.err
    assert words in said.err


def test_an_input_of_which_nothing_can_be_made_is_no_bug_of_ours(explain: Any, tmp_path: Path) -> None:
    window = Window(days="Mon", from_="09:00", to="10:00", timezone="No/Where")
    made = of(ready())
    nowhere = replace(made.situation, policy=Policy(waves=(Wave(name="pilot", windows=(window,)),)))
    (tmp_path / "record").write_bytes(record.encode(replace(made, situation=nowhere)).data)
    said = explain(str(tmp_path / "record"))
    assert said.code == 1
    assert "CF183: no decision can be made of it" in said.err


def test_what_names_nothing_is_wrong_usage(explain: Any) -> None:
    assert explain("nothing-like-that").code == 2
    assert explain("abc").code == 2


# From the repository and its forge


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    ground = Ground(tmp_path)
    settings = (
        "apiVersion: canaryfleet.dev/v1alpha1\nkind: Fleet\nmetadata: {name: f}\nforge: {type: local}\n"
    )
    ground.push("main", {"fleet.yaml": settings})
    ground.push("canaryfleet/app/k1", {"pointer": "new\n"}, onto="main")
    sh(ground.clone, "checkout", "-q", "main")
    monkeypatch.chdir(ground.clone)
    return ground


def opened(ground: Ground, packed: Packed) -> int:
    made = of(begun())
    body = request.body(made.situation, made.decision, packed.hash, record.hidden(packed))
    return ground.local.open("canaryfleet/app/k1", "main", "title", body).number


def test_a_number_is_a_pull_request_of_the_bot(explain: Any, ground: Ground, packed: Packed) -> None:
    number = opened(ground, packed)
    said = explain(str(number))
    assert said.code == 0
    assert "  not merged: whoever may edit the pull request's text may have changed this record\n" in said.out
    assert explain(f"#{number}").out == said.out
    assert "no pull request 99" in explain("99").err


@pytest.mark.parametrize("named", ["this", "another", "none"])
def test_the_merged_commit_says_which_record_was_meant(
    explain: Any, ground: Ground, packed: Packed, named: str
) -> None:
    number = opened(ground, packed)
    hash = {"this": packed.hash, "another": "ab" * 32, "none": None}[named]
    message = landing.line(landing.of(decide(begun()), record=hash))
    ground.local.merge(number, ground.tip("canaryfleet/app/k1"), "title", message)
    assert "is not known: it is not in this clone" in explain(str(number)).out
    sh(ground.clone, "fetch", "-q")
    expected = {
        "this": "names this record",
        "another": "names another record: abababababab",
        "none": "names another record: none",
    }
    assert expected[named] in explain(str(number)).out


def test_a_record_of_its_own_ref_is_found_by_number_and_hash(
    explain: Any, ground: Ground, packed: Packed
) -> None:
    body = f"text\n\n<!-- canaryfleet-record v1 {packed.hash} -->"
    number = ground.local.open("canaryfleet/app/k1", "main", "title", body).number
    assert "no record" in explain(str(number)).err
    archive.write(ground.clone, packed, begun().now)
    assert explain(str(number)).code == 0
    assert explain(packed.hash).code == 0
    assert explain(packed.hash[:10]).code == 0


def test_a_hash_is_found_in_the_text_of_a_pull_request_too(
    explain: Any, ground: Ground, packed: Packed
) -> None:
    opened(ground, packed)
    said = explain(packed.hash[:12])
    assert (said.code, said.err) == (0, "")
    assert "the same" in said.out
    assert "git fetch origin" in explain("0" * 64).err


def test_two_records_in_a_text_are_none(explain: Any, ground: Ground, packed: Packed) -> None:
    number = opened(ground, packed)
    held = next(item for item in ground.local.requests("") if item.number == number)
    ground.local.edit(number, held.title, f"{record.hidden(record.encode(of(ready())))}\n{held.body}")
    assert "2 records" in explain(str(number)).err
    assert "no record" in explain(packed.hash).err


def test_a_branch_of_somebody_else_is_none_of_the_bots(explain: Any, ground: Ground, packed: Packed) -> None:
    ground.push("mine", {"x": "y"}, onto="main")
    ground.local.open("mine", "main", "t", record.hidden(packed))
    assert "has no pull request 1" in explain("1").err


def test_what_would_happen_if_frozen_files_were_restored() -> None:
    """Then the failed cluster goes back, and not only is barred what is barred anyway."""
    now = begun()
    failed = replace(now.verdicts["p"], kind="Failed", reason="BeyondThreshold")
    fallback = now.pointers["p"].fallback
    assert fallback is not None
    situation = replace(
        now, verdicts={**now.verdicts, "p": failed}, rewritten=(fallback,), unreadable="it was frozen"
    )
    assert decide(situation).moves == ()
    (restored,) = [item for item in what_if(situation) if "frozen files were as" in item.words[0]]
    assert [(move.cluster, move.to) for move in restored.decision.moves][:1] == [("p", fallback)]
