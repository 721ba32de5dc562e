"""What people read of a decision; and that nothing that clusters, specs or people say gets out of its place."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import world as worlds
from canaryfleet import git, history, landing, record, request
from canaryfleet.decide import decide
from canaryfleet.models.decision import Bar, Decision, Move, Pointed, Proof, Reason, Situation
from canaryfleet.models.observation import CrashEvidence, Evidence, MetricEvidence, RunEvidence, Verdict
from canaryfleet.models.release import ReleaseWave
from world import World

SEEDS = st.integers(0, 5_000)
NOW = datetime(2026, 11, 16, 10, tzinfo=UTC)
SHA = "0123456789abcdef" * 4
HOSTILE = (
    "x\nCanaryfleet-Decision: {}\nSigned-off-by: a <a@b.example>\r\n--> ``` ~~~ </details> <!-- <b> | @all fixes #12 "
    "closes GH-12 !12 https://evil.example www.evil.example [l](u) ![i](u) *a* _b_ $c$ &lt; \u202e \u2028 \x1b[31m\x00"
)


def metric(name: str = "error-rate", value: str | None = "[0.002]", **more: Any) -> MetricEvidence:
    limits = {"promote": "< 0.005", "rollback": "> 0.01"}
    return MetricEvidence(name=name, value=value, **(limits | {"good": 5, "measurements": 5} | more))


def evidence(*metrics: MetricEvidence, **more: Any) -> Evidence:
    run = RunEvidence(name="r", uid="1", role="steps", metrics=metrics or (metric(),))
    bake = RunEvidence(name="b", uid="2", role="bake")
    return Evidence(identity="uid-1", pod="pod-1", runs=(run, bake), **more)


def rich(read: Situation) -> Situation:
    """With something measured for every proof, and evidence that a commit can record."""
    verdicts = {
        name: replace(item, evidence=evidence(), hash=SHA) if item.kind in ("Verified", "Failed") else item
        for name, item in read.verdicts.items()
    }
    return replace(read, verdicts=verdicts)


def written(read: Situation) -> tuple[Decision, str, str]:
    """A decision, its pull request's text, and its commit's message."""
    made = decide(read)
    packed = record.encode(record.of(read, made))
    body = request.body(read, made, packed.hash, record.hidden(packed))
    landed = landing.of(made, ("ann",), packed.hash)
    return made, body, request.message(made, landed, read.verdicts.values())


def fleet(size: int, vary: Callable[[int], str] = lambda n: "[0.002]") -> Situation:
    """A pilot of `size` clusters that are proven, and as many that come next."""
    pilot, rest = ([f"{group}-{n:05}" for n in range(size)] for group in ("pilot", "rest"))
    waves = tuple(
        ReleaseWave(name=name, members=tuple(group)) for name, group in (("pilot", pilot), ("rest", rest))
    )
    world = World(waves)
    world.new("2.4.0-0123456789ab", "w1")
    for name in pilot:
        world.pointers[name] = Pointed(release="2.4.0-0123456789ab", fallback="v0")
    read = world.look()
    verdicts = {
        name: Verdict(
            app="app", cluster=name, release=world.pointers[name].release, kind="Verified", reason="Proven", message="",
            basis="Analysis", since=NOW, evidence=evidence(metric(value=vary(n))), hash=f"{n:064x}",
        )
        for n, name in enumerate([*pilot, *rest])
    }  # fmt: skip
    return replace(read, verdicts=verdicts)


def found(kind: str, accepts: Callable[[Decision], bool] = lambda made: True) -> Situation:
    """The first situation of some histories that gives such a decision."""
    for seed in range(200):
        world = worlds.player(seed, steps=14)
        read = rich(world.look())
        made = decide(read)
        if made.kind == kind and (made.moves or made.bars) and accepts(made):
            return read
    raise AssertionError(f"no {kind}")


# Titles


def decision(**fields: Any) -> Decision:
    base: dict[str, Any] = {
        "app": "assistant",
        "kind": "Advance",
        "release": "2.4.0-0123456789ab",
        "reasons": (),
        "key": "k1",
    }
    return Decision(**(base | fields))


def moves(*clusters: str, **more: Any) -> tuple[Move, ...]:
    fields = {"from_": "2.3.0-aaaaaaaaaaaa", "to": "2.4.0-0123456789ab"} | more
    return tuple(Move(cluster=name, **fields) for name in clusters)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"moves": moves("eu-1", "eu-2"), "wave": "europe"}, "2.4.0 to wave europe (eu-1, eu-2)"),
        ({"moves": moves("eu-1"), "wave": "europe", "kind": "Retry"}, "2.4.0 again to wave europe (eu-1)"),
        ({"moves": moves(*"abcde"), "wave": "europe"}, "2.4.0 to wave europe (5 clusters)"),
        ({"moves": moves("eu-1", from_=None)}, "2.4.0 to eu-1"),
        ({"moves": moves("eu-1", "eu-2", to=None)}, "leaves eu-1, eu-2"),
        (
            {
                "moves": moves(*"abcde", from_="2.4.0-0123456789ab", to="2.3.0-aaaaaaaaaaaa"),
                "kind": "Rollback",
            },
            "back from 2.4.0 on 5 clusters",
        ),
        (
            {
                "moves": (*moves("a", from_="2.4.0-0123456789ab"), *moves("b", from_="2.5.0")),
                "kind": "Rollback",
            },
            "back from 2.4.0 and 2.5.0 on a, b",
        ),
        (
            {"kind": "Rollback", "bars": (Bar(workload="w", by="x", since="2026-01-01T00:00:00Z", why=""),)},
            "bar w",
        ),
        ({"kind": "Done"}, "2.4.0 is done"),
        ({"kind": "Hold"}, "2.4.0 is held"),
    ],
)
def test_a_title_says_what_happens(fields: dict[str, Any], expected: str) -> None:
    made = decision(**fields)
    assert request.title(made) == f"assistant: {expected} [k1]"
    assert request.subject(made) == f"assistant: {expected}"


def test_a_long_subject_counts_its_clusters() -> None:
    long = moves("a-cluster-with-a-long-name-1", "a-cluster-with-a-long-name-2")
    made = decision(moves=long, wave="europe")
    assert request.subject(made) == "assistant: 2.4.0 to wave europe (2 clusters)"
    endless = decision(moves=long, app="a" * 99, wave="w" * 99, release="1" * 99)
    assert len(request.subject(endless)) <= 72
    assert len(request.title(endless)) <= 200
    assert request.title(endless).endswith("[k1]")


@given(seed=SEEDS)
def test_two_decisions_never_have_one_title(seed: int) -> None:
    played = worlds.player(seed, steps=30)
    by_title = {request.title(made): made.key for made in played.proposals.values()}
    assert len(by_title) == len({made.key for made in played.proposals.values()})


# Texts


def test_a_text_says_why_what_and_on_which_evidence() -> None:
    read = fleet(2)
    _, body, _ = written(read)
    assert "**app**: 2.4.0 to wave rest (rest-00000, rest-00001). Release `2.4.0-0123456789ab`." in body
    assert "- rest-00000, rest-00001 of wave rest get 2.4.0-0123456789ab." in body
    measured = "`error-rate` `0.002`, promote `< 0.005`, roll back `> 0.01`"
    assert (
        "| `rest-00000`, `rest-00001` | `v0` | `2.4.0-0123456789ab` | `v0` | Verified (Analysis) | "
        f"{measured} | 2026-11-16 10:00Z |"
    ) in body
    assert (
        f"| `pilot-00000`, `pilot-00001` | pilot | Verified (Analysis) | {measured} | 2026-11-16 10:00Z |"
        in body
    )
    assert "| pilot | complete | 2 of 2 | 2 at once, 0 may fail |" in body
    assert "| rest | **this pull request**, not begun | 0 of 2 | 2 at once, 0 may fail |" in body
    assert "a canary of `2.4.0-0123456789ab` begins when it has synced" in body
    assert "`overlays/app/clusters/<cluster>/kustomization.yaml`" in body
    assert "- **Nothing:** the bot merges it" in body
    assert "| `pilot-00001` | `2.4.0-0123456789ab` | Verified | `" + "0" * 63 + "1` |" in body


def test_a_rollback_says_what_was_too_bad_and_what_it_bars() -> None:
    made, body, message = written(found("Rollback", lambda made: bool(made.bars)))
    assert "- **Look now.** " in body
    assert "Failed (BeyondThreshold)" in body
    assert f"`overlays/app/promotion.yaml` bars workload `{made.bars[0].workload}`" in body
    assert "What runs stays" in body
    assert re.search(r"\| under way, failed on [1-9] \|", body)
    assert f"- barred: {made.bars[0].workload}" in message
    assert message.index("Failed on") < message.index("Verified on")


def test_each_effect_is_said_of_its_own_clusters() -> None:
    read = fleet(2)
    same = replace(read.releases["v0"], id="v0-policy")
    read = replace(read, releases=read.releases | {"v0-policy": same})
    made = decision(
        app="app",
        moves=(
            Move(cluster="new", to="v0"),
            Move(cluster="rest-00000", from_="v0", to="v0-policy"),
            Move(cluster="rest-00001", from_="v0"),
            Move(cluster="pilot-00000", from_="2.4.0-0123456789ab", to="v0"),
        ),
        owes=(Bar(workload="w9", by="x", since="2026-01-01T00:00:00Z", why=""),),
        ends=("v7",),
    )
    body = request.body(read, made, SHA, "")
    for said in (
        "- `new`: **at once, without a canary:** the app is there for the first time, with its hosts and routes.",
        "- `rest-00000`: the pods are the same: none restarts",
        "- `rest-00001`: **at once:** the overlay goes",
        "- `pilot-00000`: it goes back to `v0`, which was proven there.",
        "- `w9` is to be barred, and is not yet",
        "- What was proven of `v7` counts no more",
    ):
        assert said in body


@pytest.mark.parametrize("begin", ["- ", "+ ", "1. ", "12) ", "# ", "=== "])
def test_a_reason_begins_no_list_or_heading_of_its_own(begin: str) -> None:
    made = decision(moves=moves("rest-00000"), reasons=(Reason(code="held", message=f"{begin}x"),))
    assert f"\n- &#8203;{begin}x.\n" in request.body(fleet(1), made, SHA, "")


def test_who_has_to_act_is_said() -> None:
    for code, said in (("approval-missing", "**Approve it:**"), ("by-hand", "**Merge it:**")):
        made = decision(moves=moves("rest-00000"), reasons=(Reason(code=code, message="m"),))  # type: ignore[arg-type]
        assert f"- {said}" in request.body(fleet(1), made, SHA, "")
    assert "**Nothing:**" in request.body(fleet(1), decision(moves=moves("rest-00000"), ready=True), SHA, "")


def test_what_a_commit_recorded_is_shown_when_nothing_is_seen_any_more() -> None:
    world = World(
        (
            ReleaseWave(name="a", members=("c0",)),
            ReleaseWave(name="b", members=("c1", "c2"), maxConcurrency=1),
        )
    )
    world.new("v1", "w1")
    for _ in range(3):
        world.turn()
    read = replace(world.look(), verdicts={})
    made = decision(app="app", release="v1", moves=moves("c2"))
    assert re.search(
        r"\| `c0` \| a \| Verified, as commit `c\d` records \|", request.body(read, made, SHA, "")
    )


def test_of_a_metric_the_worst_is_told() -> None:
    worst = evidence(metric(value="[0.002]"), metric(value="[0.009]"), metric(value="[0.001]"))
    assert [item.value for item in request.told(worst)] == ["0.009"]
    assert request.told(evidence(metric(value=None)))[0].value == "5 of 5 good"
    assert request.told(evidence(metric(value='{"a":1}')))[0].value == '{"a":1}'


def test_many_equal_ones_are_one_row() -> None:
    body = written(fleet(1000))[1]
    assert (
        "| `rest-00000`, `rest-00001`, `rest-00002`, `rest-00003`, `rest-00004` and 995 more | `v0` |" in body
    )
    assert body.count("rest-0") < 20


def test_many_unequal_ones_are_cut_by_rows_and_counted() -> None:
    read = fleet(1000, lambda n: f"[0.00{n:04}]")
    begin = time.process_time()
    made = decide(read)
    made_in = time.process_time() - begin
    packed = record.encode(record.of(read, made))
    begin = time.process_time()
    body = request.body(read, made, packed.hash, record.hidden(packed))
    took = time.process_time() - begin
    assert took < 0.1 + made_in, f"{took:.3f} s"
    assert 10_000 < len(body) < 58_000
    assert "900 clusters more (rest-00100, rest-00101, " in body
    assert record.find(body) == (packed.hash, None)
    assert balanced(body)


@given(size=st.integers(0, 57_000), letters=st.sampled_from(["x", "|<&@#", "é", "\n"]))
def test_whatever_stands_in_it_a_text_has_room(size: int, letters: str) -> None:
    read = fleet(40, lambda n: f"{n}{letters * 200}")
    reasons = tuple(
        Reason(code="held", message=f"{n} {letters * 3000}", remedy=letters * 900) for n in range(300)
    )
    bars = tuple(
        Bar(workload=f"{n}{letters * 200}", by="x", since="2026-01-01T00:00:00Z", why="y") for n in range(90)
    )
    made = replace(decide(read), reasons=reasons, bars=bars)
    hidden = f"<!-- {'x' * min(size, record.LONGEST)} -->"
    body = request.body(read, made, SHA, hidden)
    assert len(body) <= 58_000
    assert body.endswith(hidden)
    assert balanced(body)


def test_the_limit_holds_whatever_else_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "ROWS", (1000,))
    read = fleet(1000, lambda n: f"[0.00{n:04}]")
    body = request.body(read, decide(read), SHA, "<!-- x -->")
    assert len(body) == 58_000
    assert body.endswith("<!-- x -->")


def balanced(body: str) -> bool:
    """Every row of a table has as many cells as its head, and what is opened is closed."""
    width = 0
    for line in body.split("\n"):
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        if cells and width and cells != width:
            return False
        width = cells
    lines = body.split("\n")
    opened = sum(line.startswith("<details><summary>") for line in lines)
    return opened == lines.count("</details>") and not any(line.startswith(("```", "~~~")) for line in lines)


def test_what_the_stable_version_was_beside_it_is_told() -> None:
    (told,) = request.told(evidence(metric(value="[0.02]", stable="[0.018]")))
    assert told.words(str) == "error-rate 0.02, stable 0.018, promote < 0.005, roll back > 0.01"


# What others write stays text

KEPT = {
    "kind", "state", "basis", "lifecycle", "onNewRelease", "urgency", "approval", "code", "apiVersion", "role", "since", "until",
    "minSuccessTime", "progressDeadline", "maxConcurrency", "maxFailures", "closedBy", "by_", "promote", "rollback",
}  # fmt: skip


def poisoned(value: Any, by: str) -> Any:
    """A model with `by` at the end of every text in it, equal texts staying equal."""
    if isinstance(value, str):
        return value + by
    if isinstance(value, msgspec.Struct):
        fields = {
            name: getattr(value, name) if name in KEPT or (name == "by" and type(value).__name__ == "Merged")
            else poisoned(getattr(value, name), by)
            for name in value.__struct_fields__
        }  # fmt: skip
        return type(value)(**fields)
    if isinstance(value, tuple):
        return tuple(poisoned(item, by) for item in value)
    if isinstance(value, dict):
        return {poisoned(name, by): poisoned(item, by) for name, item in value.items()}
    return value


PARTS = st.lists(
    st.sampled_from(
        [
            HOSTILE,
            *HOSTILE.split(" "),
            "\n",
            "\r",
            "- ",
            "# ",
            "1. ",
            "    ",
            "\\",
            "`",
            "``",
            "|",
            "\\|",
            "=" * 4,
        ]
    ),
    min_size=1,
    max_size=8,
).map("".join)


def outside_code(body: str) -> str:
    """The text without our comment, our tags, what is escaped, and code, in which nothing is markup."""
    text = re.sub(r"^<!-- canaryfleet-record.*?-->", "", body, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\\.|`[^`\n]*`", "", text)
    return re.sub(r"</?(details|summary|br)>|&(amp|lt|gt);", "", text)


@given(seed=SEEDS, by=PARTS)
def test_nothing_of_others_is_markup_a_mention_or_a_record(seed: int, by: str) -> None:
    read = rich(worlds.player(seed, steps=16).look())
    made = decide(read)
    read, made = poisoned(read, by), poisoned(made, by)
    packed = record.encode(record.of(read, made))
    body = request.body(read, made, SHA, record.hidden(packed))
    assert record.find(body) == packed
    assert balanced(body)
    text = outside_code(body)
    apart = text.replace("&#8203;", "\u200b")
    assert not re.search(r"[<>`\[\]$~&_\x00-\x09\x0b-\x1f\u202e\u2028]", apart), text
    assert not re.search(r"://|@(?!\u200b)|[#!][0-9]|\bwww\.|\bgh-[0-9]", apart, re.IGNORECASE), text
    for line in text.split("\n"):
        assert re.match(r"(\||- |### |\*\*app|And |$|Evidence|Record|  ? with| with| *and )", line), line


@given(seed=SEEDS, by=PARTS)
def test_no_text_of_others_is_a_line_of_ours(seed: int, by: str) -> None:
    read = rich(worlds.player(seed, steps=16).look())
    made = decide(read)
    foul, foul_made = poisoned(read, by), poisoned(made, by)
    landed = landing.of(foul_made, (f"ann{by}",), SHA)
    message = request.message(foul_made, landed, foul.verdicts.values())
    assert landing.read(message) == landed
    *said, ours = message.rstrip("\n").split("\n\n")
    assert all(line.startswith(("Canaryfleet-", " ")) for line in ours.split("\n"))
    assert ours.startswith(landing.WORD)
    lines = "\n\n".join(said).split("\n")
    assert max(map(len, lines)) <= 72
    heads = {"What moved:", "Why:", "Evidence:", "Not recorded, since no line can hold it:", ""}
    assert all(line in heads or line.startswith(("- ", "  ")) for line in lines[1:])
    assert {letter for letter in message if not letter.isprintable()} == {"\n"}
    assert not re.search(r"(?<!\w)@\w|#[0-9]|closes gh-[0-9]|://", message, re.IGNORECASE)


# Messages


def test_a_message_can_be_read_and_says_everything_again(tmp_path: Path) -> None:
    read = fleet(2)
    made, _, message = written(read)
    head, *_ = message.split("\n")
    assert head == "app: 2.4.0 to wave rest (rest-00000, rest-00001)"
    assert "- rest-00000, rest-00001: v0 -> 2.4.0-0123456789ab, falls back to v0\n" in message
    unwrapped = re.sub(r"\n  ", " ", message)
    assert (
        "- pilot-00000, pilot-00001: Verified on 2.4.0-0123456789ab (Analysis, Proven) since 2026-11-16 10:00Z: "
        "error-rate 0.002, promote < 0.005, roll back > 0.01\n"
    ) in unwrapped
    recorded = list(history.records(message))
    assert [(item.cluster, item.hash) for item in recorded] == [
        (item.cluster, item.hash) for item in made.evidence
    ]
    assert len(recorded) == 4
    found = landing.read(message)
    assert found is not None
    assert (found.key, found.approvedBy) == (made.key, ("ann",))
    trailers = (
        git.run(tmp_path, ["interpret-trailers", "--parse"], stdin=message.encode()).decode().splitlines()
    )
    assert [line.partition(":")[0] for line in trailers] == [
        "Canaryfleet-Decision",
        *["Canaryfleet-Verdicts"] * 2,
    ]


def test_a_proof_that_no_line_can_hold_is_named() -> None:
    read = fleet(2)
    spoilt = replace(read.verdicts["pilot-00000"], evidence=Evidence())
    read = replace(read, verdicts=read.verdicts | {"pilot-00000": spoilt})
    made = decision(
        app="app",
        moves=moves("rest-00000"),
        evidence=(
            Proof(cluster="pilot-00000", release="v", kind="Verified", hash=spoilt.hash),
            Proof(cluster="pilot-00001", release="v", kind="Verified", hash="f" * 64),
            Proof(cluster="rest-00001", release="v0", kind="Verified", hash=read.verdicts["rest-00001"].hash),
        ),
    )
    message = request.message(made, landing.of(made), read.verdicts.values())
    assert "Not recorded, since no line can hold it:\n- pilot-00000, pilot-00001\n" in message
    assert [item.cluster for item in history.records(message)] == ["rest-00001"]


def test_a_crash_is_told() -> None:
    read = fleet(1)
    crashed = evidence(pods=(CrashEvidence(name="app-1", uid="1", crashes=4, why="out | of memory"),))
    verdict = replace(
        read.verdicts["pilot-00000"],
        kind="Failed",
        basis=None,
        reason="Crashing",
        evidence=crashed,
        since=read.now,
    )
    read = replace(read, verdicts=read.verdicts | {"pilot-00000": verdict})
    made, body, message = written(read)
    assert made.kind == "Rollback"
    assert "`app-1` crashed 4 times: out \\| of memory" in body
    assert "app-1 crashed 4 times" in re.sub(r"\n  ", " ", message)


def test_a_thousand_proofs_are_counted_in_words_and_recorded_in_lines() -> None:
    made, _, message = written(fleet(600, lambda n: f"[0.00{n:04}]"))
    assert "- and 1,160 more\n" in message
    recorded = {
        (item.cluster, item.release, item.kind, item.basis, item.since, item.hash)
        for item in history.records(message)
    }
    assert recorded == {(p.cluster, p.release, p.kind, p.basis, p.since, p.hash) for p in made.evidence}
    assert len(recorded) == 1200
    assert (
        len(message) < 160_000
    )  # about 120 characters a cluster, of which 64 are the hash and 36 the identity


def test_the_time_is_told_in_utc() -> None:
    read = fleet(1)
    there = NOW.astimezone(tz=datetime.strptime("+0530", "%z").tzinfo) + timedelta(hours=1)
    verdict = replace(read.verdicts["pilot-00000"], since=there)
    body = written(replace(read, verdicts=read.verdicts | {"pilot-00000": verdict}))[1]
    assert "2026-11-16 11:00Z" in body
