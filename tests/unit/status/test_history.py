"""What Git's history says of clusters: the pure part, and the same on real repositories."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins
from msgspec.structs import replace
from recorded import recording

from canaryfleet import cli, landing, past, status
from canaryfleet.case import SKEW, Proof
from canaryfleet.emit import emit
from canaryfleet.files import Tree
from canaryfleet.history import Change, Commit, Facts, Record, facts, line, lines, merged, records
from canaryfleet.landing import Landing
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.decision import Decision, Move
from canaryfleet.models.observation import Evidence, Verdict
from canaryfleet.overlay import Pointer
from canaryfleet.sources.snapshot import encode

NOW = datetime(2026, 11, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
HASH = "ab" * 32


def commit(hour: float, release: str | None = None, fallback: str | None = None, *records: Record) -> Commit:
    """So many hours before NOW, c0 gets a pointer; without a release nothing moves."""
    changes = {"c0": Change(Pointer(release, fallback), begins=True)} if release else {}
    return Commit(NOW - hour * HOUR, changes, records)


def gone(hour: float) -> Commit:
    return Commit(NOW - hour * HOUR, {"c0": Change(None, begins=False)}, ())


def verified(release: str, **fields: Any) -> Record:
    """c0 was verified on a release, whose pods are named after its first letter."""
    known = {"kind": "Verified", "app": "chat", "cluster": "c0", "pod": release[0], "identity": "uid"}
    known |= {"basis": "Analysis", "reason": "Proven", "since": None, "hash": HASH}
    return Record(release=release, **(known | fields))


def failed(release: str, **fields: Any) -> Record:
    return verified(release, **({"kind": "Failed", "basis": None, "reason": "Crashing"} | fields))


def c0(*commits: Commit) -> Facts:
    return facts(commits, NOW).get("c0", Facts())


# Since when


def test_promoted_is_when_the_pointer_began_not_when_its_settings_changed() -> None:
    found = c0(commit(9, "a"), commit(5, "b", "a"), commit(3, "b", "a"), commit(2, "b"), commit(1))
    assert (found.release, found.promoted, found.reverted) == ("b", NOW - 5 * HOUR, False)


def test_what_the_history_begins_with_is_of_unknown_age() -> None:
    start = commit(9, "a")._replace(changes={"c0": Change(Pointer("a", None), begins=False)})
    assert c0(start).promoted is None
    assert c0(start, commit(5, "a", "x")).promoted is None
    assert c0(start, commit(5, "b", "a")).promoted == NOW - 5 * HOUR


def test_a_clock_that_is_behind_lets_no_older_evidence_in() -> None:
    assert c0(commit(9, "a"), commit(5), commit(8, "b", "a")).promoted == NOW - 5 * HOUR


def test_a_time_that_is_still_to_come_is_none() -> None:
    assert c0(commit(-1, "a")).promoted is None
    assert c0(commit(9, "a"), commit(-1, "b", "a")).promoted == NOW - 9 * HOUR
    assert c0(commit(9, "a"), commit(-1), commit(5, "b", "a")).promoted == NOW - 5 * HOUR
    no_time = commit(9, "b", "a")._replace(at=None)
    assert c0(no_time).promoted is None
    assert c0(commit(9, "a"), no_time).promoted == NOW - 9 * HOUR


def test_clocks_may_differ_a_little() -> None:
    ahead = commit(0, "a")._replace(at=NOW + SKEW)
    assert c0(ahead).promoted == NOW + SKEW


def test_a_cluster_that_left_and_came_back_begins_anew() -> None:
    found = c0(commit(9, "a"), commit(8, "b", "a", verified("a")), gone(7), commit(6, "a"))
    assert found == Facts("a", NOW - 6 * HOUR)
    assert c0(commit(9, "a"), gone(7)) == Facts()


def unreadable(hour: float) -> Commit:
    return gone(hour)  # to what reads pointers both are none


def mended(hour: float, release: str, fallback: str | None = None) -> Commit:
    """The overlay was there all the time."""
    return Commit(NOW - hour * HOUR, {"c0": Change(Pointer(release, fallback), begins=False)}, ())


def test_a_pointer_that_could_not_be_read_for_a_while_lets_no_older_evidence_in() -> None:
    known = (commit(9, "a"), commit(8, "b", "a", verified("a")))
    found = c0(*known, unreadable(7), mended(6, "b", "a"))
    assert (found.release, found.promoted) == ("b", NOW - 6 * HOUR)
    assert found.proofs == c0(*known).proofs
    assert c0(*known, unreadable(7), unreadable(6), mended(5, "c", "b")).promoted == NOW - 5 * HOUR
    back = c0(*known, unreadable(7), mended(6, "a"), commit(5))
    assert (back.release, back.promoted, back.reverted) == ("a", NOW - 6 * HOUR, True)
    start = commit(9)._replace(changes={"c0": Change(None, begins=False)}, root=True)
    assert c0(start, mended(6, "a")).promoted == NOW - 6 * HOUR
    assert c0(*known, unreadable(7), mended(-1, "b", "a")).promoted == NOW - 7 * HOUR


# Going back


def test_going_back_is_no_promotion_and_trying_again_is_one() -> None:
    there = [commit(9, "a"), commit(8, "b", "a")]
    assert not c0(*there).reverted
    assert c0(*there, commit(7, "a")).reverted
    assert c0(*there, commit(7, "a"), commit(6, "a", "x")).reverted
    assert not c0(*there, commit(7, "a"), commit(6, "b", "a")).reverted
    assert c0(*there, commit(7, "a"), commit(6, "b", "a"), commit(5, "a")).reverted


def test_going_back_further_than_one() -> None:
    there = [commit(9, "a"), commit(8, "b", "a"), commit(7, "c", "b")]
    assert c0(*there, commit(6, "b", "a")).reverted
    assert c0(*there, commit(6, "a")).reverted
    assert c0(*there, commit(6, "b", "a"), commit(5, "a")).reverted
    assert not c0(*there, commit(6, "b", "a"), commit(5, "c", "b")).reverted


def test_to_the_fallback_is_always_back_also_if_the_history_does_not_know_it() -> None:
    there = [commit(8, "b", "a"), commit(7, "a")]
    assert c0(*there).reverted
    assert not c0(*there, commit(6, "b", "x")).reverted
    # A person turned back: what was proven becomes the fallback of what was before.
    assert c0(commit(9, "a"), commit(8, "b", "a"), commit(7, "a", "b")).reverted


def test_an_old_release_that_is_promoted_again_has_to_prove_itself() -> None:
    there = [commit(9, "a"), commit(8, "b", "a", verified("a")), commit(7, "c", "b", verified("b"))]
    found = c0(*there, commit(6, "a", "c", verified("c")))
    assert (found.reverted, set(found.proofs)) == (False, {"b", "c"})


def test_a_policy_that_is_taken_back() -> None:
    found = c0(commit(9, "a1", "x"), commit(8, "a2", "x", verified("a1")), commit(7, "a1", "x"))
    assert found.reverted


# What was proven


def test_the_same_pods_were_proven_with_an_earlier_release() -> None:
    found = c0(commit(9, "a1"), commit(8, "a2", None, verified("a1")))
    assert found.proofs == {"a": Proof("a", "uid", HASH)}


def test_the_present_release_has_to_prove_itself() -> None:
    assert not c0(commit(9, "a"), commit(8, None, None, verified("a"))).proofs


def test_nothing_is_proven_where_it_did_not_run() -> None:
    assert not c0(commit(9, "b", None, verified("a"), verified("b"))).proofs
    assert not c0(commit(9, "a1"), commit(8, "a2", None, verified("a1", cluster="c1"))).proofs
    assert not c0(commit(9, "a1"), commit(8, "b"), commit(7, "a2", None, verified("a1"))).proofs


@pytest.mark.parametrize("fields", [{"basis": "Reverted"}, {"basis": None}, {"kind": "Failed"}])
def test_no_proof(fields: Mapping[str, Any]) -> None:
    assert not c0(commit(9, "a1"), commit(8, "a2", None, verified("a1", **fields))).proofs


def test_newer_evidence_counts() -> None:
    there = [commit(9, "a1"), commit(8, None, None, verified("a1"))]
    assert not c0(*there, commit(7, "a2", None, failed("a1"))).proofs
    assert not c0(*there, commit(7, "a2", None, verified("a1", basis="Reverted"))).proofs
    newer = verified("a1", hash="cd" * 32, identity="other")
    assert c0(*there, commit(7, "a2", None, newer)).proofs["a"] == Proof("a", "other", "cd" * 32)
    assert not c0(*there, commit(7, "a2", None), commit(6, "a3", None, failed("a2"))).proofs


def test_of_two_that_contradict_each_other_failure_counts() -> None:
    for both in ((failed("a1"), verified("a1")), (verified("a1"), failed("a1"))):
        assert not c0(commit(9, "a1"), commit(8, "a2", None, *both)).proofs


def test_what_was_measured_before_a_cluster_had_the_release_is_no_proof_whenever_it_is_merged() -> None:
    def found(hour: float, **fields: Any) -> Mapping[str, Proof]:
        late = verified("a1", since=NOW - hour * HOUR, **fields)
        return c0(commit(6, "a1", "x"), commit(4, None, None, late), commit(3, "a2", "x")).proofs

    assert set(found(5)) == set(found(6)) == {"a"}
    assert not found(7)
    assert not found(7, basis="FirstDeployment")
    assert set(found(7, basis="SameWorkload")) == {"a"}


def test_what_a_cluster_went_back_from_is_proven_no_more() -> None:
    there = [commit(9, "a"), commit(8, "b1", "a"), commit(7, "a", None, verified("b1"))]
    assert not c0(*there, commit(6, "b2", "a")).proofs


def test_what_somebody_moves_beside_the_record_of_a_last_wave_is_theirs() -> None:
    """As a squash has it, when a person has committed on the bot's branch: the gate and limits.py judge people."""
    recorded = Landing(app="chat", kind="Done", key="k", release="a")
    change = {"c0": Change(Pointer("b", "a"), begins=False, before=Pointer("a", None))}
    done = Commit(NOW - HOUR, {}, [verified("a")], "1", landing=recorded)
    (given, found) = merged([commit(9, "a"), done], NOW)
    assert (found.by, found.kind, [item.release for item in found.proofs]) == ("bot", "Done", ["a"])
    (given, found) = merged([commit(9, "a"), done._replace(changes=change)], NOW)
    assert (given.moves[0].to, found.moves[0].to) == ("a", "b")
    assert (found.by, found.kind, found.proofs) == ("person", None, ())


@pytest.mark.parametrize("kind", ["Start", "Advance", "Retry"])
def test_what_somebody_moves_beside_what_was_decided_is_theirs(kind: str) -> None:
    """As a squash has it, when a person has committed on the bot's branch: nobody decided that for the bot."""
    decided = Move(cluster="c0", from_="a", to="b", fallback="a")
    decision = Decision(app="chat", kind=kind, moves=(decided,), release="b", key="k", reasons=())  # type: ignore[arg-type]
    c0 = Change(Pointer("b", "a"), begins=False, before=Pointer("a", None))
    c1 = Change(Pointer("b", "a"), begins=False, before=Pointer("a", None))
    c2 = Change(Pointer("a", "z"), begins=False, before=Pointer("a", None))
    squashed = Commit(NOW - HOUR, {"c0": c0}, [verified("a")], "1", landing=landing.of(decision))

    def found(**changes: Change) -> list[tuple[str, list[str], tuple[str, ...]]]:
        (_, *all) = merged([commit(9, "a"), squashed._replace(changes=changes)], NOW)
        return [(item.by, [move.cluster for move in item.moves], item.fallbacks) for item in all]

    assert found(c0=c0) == [("bot", ["c0"], ())]
    assert found(c0=c0, c1=c1) == [("person", ["c1"], ()), ("bot", ["c0"], ())]
    assert found(c0=c0, c2=c2) == [("person", [], ("c2",)), ("bot", ["c0"], ())]
    elsewhere = c0._replace(pointer=Pointer("c", "a"))
    assert found(c0=elsewhere) == [("person", ["c0"], ()), ("bot", [], ())]
    other_way_back = c0._replace(pointer=Pointer("b", "z"))
    assert found(c0=other_way_back) == [("person", ["c0"], ()), ("bot", [], ())]
    back = landing.of(replace(decision, kind="Rollback"))
    (_, whole) = merged([commit(9, "a"), squashed._replace(changes={"c1": c1}, landing=back)], NOW)
    assert (whole.by, len(whole.moves)) == ("bot", 1), "going back is never read as less than it did"


# Any history

POINTERS = st.builds(Pointer, st.sampled_from("abcd"), st.none() | st.sampled_from("abcd"))


@given(st.lists(st.tuples(POINTERS, st.integers(-50, 500)), min_size=1, max_size=12))
def test_promoted_is_never_before_the_pointer_and_never_in_the_future(
    moves: list[tuple[Pointer, int]],
) -> None:
    found = c0(*(commit(hour, *pointer) for pointer, hour in moves))
    final = moves[-1][0].release
    stint = len(moves)
    while stint and moves[stint - 1][0].release == final:
        stint -= 1
    times = [NOW - hour * HOUR for _, hour in moves[: stint + 1] if hour >= 0]
    assert found.promoted == max(times, default=None)


@given(st.lists(POINTERS, max_size=8), POINTERS, st.lists(st.sampled_from("wxyz"), min_size=1, unique=True))
def test_what_is_undone_is_going_back_and_what_is_done_again_is_not(
    before: list[Pointer], start: Pointer, names: list[str]
) -> None:
    forward = [Pointer(name, start.release) for name in names]
    there = [commit(9, *pointer) for pointer in [*before, start, *forward]]
    back = commit(8, *start)
    assert not c0(*there).reverted
    assert c0(*there, back).reverted
    assert not c0(*there, back, commit(7, *forward[-1])).reverted
    assert c0(*there, back, commit(7, *forward[-1]), back).reverted


@given(st.lists(st.tuples(POINTERS, st.lists(st.sampled_from("abcd"))), max_size=10))
def test_a_proof_is_always_of_another_release_that_ran_here(steps: list[tuple[Pointer, list[str]]]) -> None:
    found = c0(*(commit(9, *pointer, *map(verified, said)) for pointer, said in steps))
    before = "".join(pointer.release for pointer, _ in steps[:-1])
    assert set(found.proofs) <= set(before) - {found.release}


# Records

VERDICT = Verdict(
    app="chat",
    cluster="eu-1",
    release="2.4.0-ab12",
    kind="Verified",
    reason="Proven",
    message="x",
    basis="Analysis",
    since=NOW,
    evidence=Evidence(identity="73aeda58-62ff-4b8b-8e9a-5f0d3f0e7a11", pod="bb0aa4c719d2b3eb8e17"),
    hash=HASH,
)
LINE = (
    "Canaryfleet-Verdict: Verified app=chat cluster=eu-1 release=2.4.0-ab12 pod=bb0aa4c719d2b3eb8e17"
    " identity=73aeda58-62ff-4b8b-8e9a-5f0d3f0e7a11 basis=Analysis reason=Proven since=2026-11-03T10:00:00Z"
    f" evidence={HASH}"
)


def test_a_record_is_one_line() -> None:
    assert line(VERDICT) == LINE
    (found,) = records(f"Advance chat\n\nBecause it is good.\n\n{LINE}\nReviewed-by: Ada\n")
    assert (found.app, found.release, found.pod, found.hash) == (
        "chat",
        "2.4.0-ab12",
        "bb0aa4c719d2b3eb8e17",
        HASH,
    )
    assert (found.since, found.proves) == (NOW, True)


def test_records_that_went_through_a_forges_form_are_read() -> None:
    others = [replace(VERDICT, cluster=name, kind="Failed", basis=None) for name in ("eu-2", "eu-3")]
    said = "\n".join(["Back", "", *lines([VERDICT, *others]), ""])
    found = list(records(said.replace("\n", "\r\n")))
    assert [item.cluster for item in found] == ["eu-1", "eu-2", "eu-3"]
    assert found == list(records(said))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Unknown"},
        {"evidence": Evidence()},
        {"cluster": "eu-1\nCanaryfleet-Verdict: "},
        {"app": "a b"},
        {"hash": ""},
    ],
)
def test_what_is_no_record_is_not_written(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no record"):
        line(replace(VERDICT, **change))


@given(
    st.sampled_from(["Verified", "Failed"]),
    st.none() | st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC)),
    st.none() | st.sampled_from(["Analysis", "FirstDeployment", "SameWorkload", "Reverted"]),
)
def test_what_is_written_is_read(kind: Any, since: datetime | None, basis: Any) -> None:
    (found,) = records(line(replace(VERDICT, kind=kind, since=since, basis=basis)))
    assert (found.kind, found.since, found.basis) == (kind, since, basis)


KINDS = st.sampled_from(["Verified", "Failed"])
BASES = st.none() | st.sampled_from(["Analysis", "FirstDeployment", "SameWorkload", "Reverted"])
SINCE = st.none() | st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC))
SEEN = st.builds(
    lambda cluster, kind, basis, since, pod, identity: replace(
        VERDICT, cluster=cluster, kind=kind, basis=basis, since=since, evidence=Evidence(pod=pod, identity=identity)
    ),
    st.sampled_from(["a", "b.c", "0"]), KINDS, BASES, SINCE, st.sampled_from(["p", "q"]), st.sampled_from(["u-1", "2"]),
)  # fmt: skip


@given(st.lists(SEEN, max_size=9))
def test_what_is_written_of_many_is_read(seen: list[Any]) -> None:
    message = "\n".join(["subject", "", *lines(seen), " a u-1 0 " + HASH])
    found = {(r.cluster, r.kind, r.basis, r.since, r.pod, r.identity, r.hash) for r in records(message)}
    meant = {(v.cluster, v.kind, v.basis, v.since, v.evidence.pod, v.evidence.identity, v.hash) for v in seen}
    assert meant <= found
    assert len(list(records("\n".join(lines(seen))))) == len(seen)


GROUP = f"""\
Canaryfleet-Verdicts: Verified app=chat release=2.4.0-ab12 pod=p basis=Analysis reason=Proven since=2026-11-03T10:00:00Z
 eu-1 u-1 0 {HASH}
 eu-2 u-2 90 {HASH}
 eu-3 u-3 86400.000001 {HASH}"""


def test_equal_verdicts_are_one_record_with_a_line_for_each_cluster() -> None:
    found = list(records(GROUP))
    assert [(item.cluster, item.identity) for item in found] == [
        ("eu-1", "u-1"),
        ("eu-2", "u-2"),
        ("eu-3", "u-3"),
    ]
    assert [item.since for item in found if item.since] == [
        NOW, NOW + timedelta(seconds=90), NOW + timedelta(days=1, microseconds=1)
    ]  # fmt: skip
    assert {(item.release, item.pod, item.proves) for item in found} == {("2.4.0-ab12", "p", True)}


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        ("Canaryfleet-Verdicts", "canaryfleet-verdicts", 0),
        ("Verified", "Progressing", 0),
        (" eu-2", "eu-2", 1),  # what follows another line is no continuation
        (" 90 ", " ", 2),
        (" 90 ", " -90 ", 1),
        ("2026-11-03", "2026-02-31", 0),
        ("0Z\n eu-1", "0Z\n\n eu-1", 0),
        (" 90 ", " 999999999999 ", 2),
    ],
)
def test_what_is_no_group_is_passed_over(old: str, new: str, left: int) -> None:
    assert old in GROUP
    assert len(list(records(GROUP.replace(old, new, 1)))) == left


@given(st.text(), st.integers(0, len(LINE)), st.integers(0, len(LINE)))
def test_whatever_a_message_says_is_read_or_passed_over(text: str, start: int, end: int) -> None:
    for message in (text, LINE[:start] + text + LINE[end:], f"{text}{LINE}", f"{LINE}{text}"):
        for found in records(message):
            assert found.kind in ("Verified", "Failed")
            assert all(word is None or str(word).isascii() for word in found)


@pytest.mark.parametrize(
    "text",
    [
        LINE + " ",
        " " + LINE,
        "> " + LINE,
        LINE.lower(),
        LINE.replace("10:00", "25:00"),
        LINE.replace("Verified", "Verified Verified"),
        LINE.replace("app=chat", "app=chat app=chat"),
        LINE.replace("eu-1", "../../x"),
        LINE.replace("2026", "٢٠٢٦"),
        LINE + "\r ",
        LINE.replace(" pod=", "\u2028pod="),
    ],
)
def test_almost_a_record_is_none(text: str) -> None:
    assert not list(records(f"x\n{text}\ny"))


# On real repositories


class Repository:
    """A GitOps repository whose commits are an hour apart."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hour = 0.0
        root.mkdir(parents=True, exist_ok=True)
        self.write(
            "fleet.yaml", emit({"apiVersion": API_VERSION, "kind": "Fleet", "metadata": {"name": "f"}})
        )

    def git(self, *words: str, stdin: bytes = b"") -> str:
        when = f"{int((NOW + self.hour * HOUR).timestamp())} +0000"
        known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        known |= {"GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z"}
        who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *words], cwd=self.root, env=known, input=stdin, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def point(self, cluster: str, release: str, fallback: str | None = None, app: str = "chat") -> None:
        notes = {"annotations": {"canaryfleet.dev/fallback": fallback}} if fallback else {}
        body = {"metadata": {"name": app, **notes}, "resources": [f"../../releases/{release}"]}
        self.write(f"overlays/{app}/clusters/{cluster}/kustomization.yaml", emit(body))

    def commit(self, message: str = "x") -> datetime:
        self.hour += 1
        self.git("add", "-A")
        self.git(
            "commit", "-q", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim", "-m", message
        )
        return NOW + self.hour * HOUR

    def read(self, *apps: str, folder: str = ".") -> past.Past:
        return past.read(Tree(self.root / folder), apps or ("chat",), NOW + 1000 * HOUR)

    def c0(self) -> Facts:
        found = self.read()
        assert not found.findings
        return found.facts["chat"].get("c0", Facts())


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repo")
    made.git("init", "-q", "-b", "main")
    made.commit()
    return made


def said(release: str, cluster: str = "c0", app: str = "chat", kind: Any = "Verified") -> str:
    """A record of what was measured later than any commit of a repository here."""
    since = NOW + 900 * HOUR
    return line(replace(VERDICT, release=release, cluster=cluster, app=app, kind=kind, since=since))


def test_there_and_back(repository: Repository) -> None:
    repository.point("c0", "a")
    first = repository.commit()
    assert repository.c0() == Facts("a", first)
    repository.point("c0", "b", "a")
    second = repository.commit(f"Advance\n\n{said('a')}\n")
    found = repository.c0()
    assert (found.release, found.promoted, found.reverted) == ("b", second, False)
    assert found.proofs == {
        VERDICT.evidence.pod: Proof(VERDICT.evidence.pod or "", VERDICT.evidence.identity or "", HASH)
    }
    repository.git("revert", "--no-edit", "HEAD")
    assert repository.c0().reverted


def test_a_merge_counts_when_it_is_merged_and_what_its_branch_says_does_not(repository: Repository) -> None:
    repository.point("c0", "a1")
    repository.commit()
    repository.git("checkout", "-qb", "work")
    repository.point("c0", "a2")
    repository.commit(said("a1"))
    repository.git("checkout", "-q", "main")
    repository.write("README", "x")
    repository.commit()
    repository.hour += 5
    repository.git("merge", "-q", "--no-ff", "-m", "Merge", "work")
    assert repository.c0() == Facts("a2", NOW + repository.hour * HOUR)


def test_a_record_counts_only_where_nothing_but_pointers_and_promotion_changes(
    repository: Repository,
) -> None:
    repository.point("c0", "a1")
    repository.commit()
    repository.write("overlays/chat/promotion.yaml", "x\n")
    repository.write("README", "a pull request of somebody, whose text became the message\n")
    repository.commit(said("a1"))
    repository.point("c0", "a2")
    repository.commit()
    assert not repository.c0().proofs
    repository.write("overlays/chat/promotion.yaml", "y\n")
    repository.commit(said("a2"))
    repository.point("c0", "a3")
    repository.commit()
    assert repository.c0().proofs


def test_apps_are_kept_apart(repository: Repository) -> None:
    for app in ("chat", "search"):
        repository.point("c0", "a1", app=app)
        repository.point(f"only-{app}", "a1", app=app)
    repository.commit()
    repository.point("c0", "a2")
    repository.point("c0", "a2", app="search")
    repository.commit(said("a1", app="search"))
    found = repository.read("chat", "search").facts
    assert set(found["chat"]) == {"c0", "only-chat"}
    assert not found["chat"]["c0"].proofs
    assert found["search"]["c0"].proofs
    assert set(repository.read("none").facts["none"]) == set()


def test_overlays_that_are_removed_renamed_broken_or_links(repository: Repository) -> None:
    repository.point("c0", "a")
    repository.commit()
    folder = repository.root / "overlays/chat/clusters"
    (folder / "c0").rename(folder / "c1")
    moved = repository.commit()
    assert repository.read().facts["chat"] == {"c1": Facts("a", moved)}
    file = folder / "c1/kustomization.yaml"
    whole = file.read_text()
    file.write_text("nothing\n")
    repository.commit()
    assert repository.read().facts["chat"] == {}
    file.write_text(whole)
    mended = repository.commit()
    assert repository.read().facts["chat"] == {"c1": Facts("a", mended)}
    file.unlink()
    file.symlink_to("- ../../releases/b")
    repository.commit()
    assert repository.read().facts["chat"] == {}


def test_a_repository_whose_root_is_a_folder_of_another(tmp_path: Path) -> None:
    outer = Repository(tmp_path)
    outer.git("init", "-q", "-b", "main")
    outer.git("config", "diff.relative", "true")
    outer.commit()
    inner = Repository(tmp_path / "a ü\n")
    inner.point("c0", "a1")
    began = outer.commit()
    assert inner.c0() == Facts("a1", began)
    inner.point("c0", "a2")
    outer.write("elsewhere", "x")
    outer.commit(said("a1"))
    assert not inner.c0().proofs


def test_the_first_commit_may_be_younger_than_what_it_has(tmp_path: Path) -> None:
    made = Repository(tmp_path / "repo")
    made.git("init", "-q", "-b", "main")
    made.point("c0", "a")
    made.commit()
    assert made.c0() == Facts("a")


def test_a_shallow_clone_says_so_and_guesses_nothing(repository: Repository, tmp_path: Path) -> None:
    repository.point("c0", "a")
    repository.commit()
    repository.point("c0", "b")
    repository.point("c1", "b")
    began = repository.commit(said("a"))
    repository.point("c1", "a")
    last = repository.commit()
    for depth, known in (
        (1, {"c0": Facts("b"), "c1": Facts("a")}),
        (2, {"c0": Facts("b"), "c1": Facts("a", last)}),
        (3, {"c0": Facts("b", began, proofs=repository.c0().proofs), "c1": Facts("a", last)}),
    ):
        there = tmp_path / f"shallow{depth}"
        repository.git("clone", "-q", f"--depth={depth}", f"file://{repository.root}", str(there))
        found = past.read(Tree(there), ["chat"], NOW + 1000 * HOUR)
        assert [(item.code, item.severity) for item in found.findings] == [("CF023", "warning")]
        assert "shallow" in found.findings[0].message
        assert found.facts["chat"] == known


@pytest.mark.parametrize("bound", ["COMMITS", "FILES"])
def test_what_is_beyond_the_bound_is_unknown(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    for cluster, release in (("c0", "a"), ("c1", "a"), ("c1", "b"), ("c2", "b")):
        repository.point(cluster, release)
        last = repository.commit()
    monkeypatch.setattr(past, bound, {"COMMITS": 2, "FILES": 1}[bound])
    assert repository.read().facts["chat"] == {"c1": Facts("b"), "c2": Facts("b", last)}


@pytest.mark.parametrize("left_out", ["blob:none", "tree:0"])
def test_a_partial_clone_fetches_nothing(repository: Repository, tmp_path: Path, left_out: str) -> None:
    repository.point("c0", "a")
    repository.commit()
    repository.point("c0", "b")
    repository.commit()
    repository.git("config", "uploadpack.allowFilter", "true")
    there = tmp_path / "partial"
    repository.git("clone", "-q", f"--filter={left_out}", f"file://{repository.root}", str(there))
    before = sorted(path.name for path in (there / ".git/objects").rglob("*"))
    found = past.read(Tree(there), ["chat"], NOW)
    assert [(item.code, "git fetch --refetch" in item.remedy) for item in found.findings] == [("CF023", True)]
    assert not found.facts
    assert sorted(path.name for path in (there / ".git/objects").rglob("*")) == before


def test_no_repository_no_branch_no_commits(tmp_path: Path) -> None:
    made = Repository(tmp_path / "repo")
    assert made.read() == past.Past({}, ())
    made.git("init", "-q", "-b", "trunk")
    assert "nothing is committed on the branch main" in made.read().findings[0].message
    made.point("c0", "a")
    made.commit()
    assert "nothing is committed on the branch main" in made.read().findings[0].message
    made.git("branch", "-m", "main")
    assert made.c0() == Facts("a")


def test_a_fleet_or_a_repository_that_cannot_be_read_is_a_warning(repository: Repository) -> None:
    repository.write("fleet.yaml", "x: [\n")
    assert {item.severity for item in repository.read().findings} == {"warning"}
    head = repository.root / ".git/objects"
    Repository(repository.root)
    for path in head.rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"broken")
    assert {item.code for item in repository.read().findings} == {"CF023"}


def test_what_the_remote_has_is_what_clusters_get(repository: Repository, tmp_path: Path) -> None:
    repository.point("c0", "a")
    repository.commit()
    there = Repository(tmp_path / "clone")
    (there.root / "fleet.yaml").unlink()
    repository.git("clone", "-q", str(repository.root), str(there.root))
    there.hour = 50
    there.point("c0", "b", "a")
    there.commit("not pushed")
    assert there.c0().release == "a"


HOSTILE = [
    "",
    "\n\n",
    ":100644 100644 " + "a" * 40 + " " + "b" * 40 + " M\n",
    "\n:000000 100644 0 0 A",
    "--max-count=0",
    "\x01\x02\x1b[31m" * 20,
    "\u2028" + LINE,
    LINE * 2,
    "Canaryfleet-Verdict: " + "Verified " * 10000,
    "Canaryfleet-Verdict: Verified app=" + "a" * 100000,
]


@pytest.mark.parametrize("message", HOSTILE)
def test_hostile_messages(repository: Repository, message: str) -> None:
    repository.point("c0", "a1")
    repository.commit(message)
    repository.point("c0", "a2")
    began = repository.commit(message)
    assert repository.c0() == Facts("a2", began)


def test_a_message_with_nul_and_times_that_are_none(repository: Repository) -> None:
    repository.point("c0", "a1")
    began = repository.commit()
    repository.point("c0", "a2")
    for when in ("99999999999999999999 +0000", "-1 +0000", "noon"):
        repository.git("add", "-A")
        tree, parent = repository.git("write-tree"), repository.git("rev-parse", "HEAD")
        text = f"tree {tree}\nparent {parent}\nauthor a <a> 1 +0000\ncommitter a <a> {when}\n\nx\n"
        text += f"\0:000000 100644 {'0' * 40} {'1' * 40} A\0overlays/chat/clusters/c9/kustomization.yaml\0\n{LINE}\n"
        words = ("hash-object", "-t", "commit", "-w", "--stdin", "--literally")
        made = repository.git(*words, stdin=text.encode())
        assert (
            past.read(Tree(repository.root), ["chat"], NOW + 1000 * HOUR).facts["chat"]["c0"].release == "a1"
        )
        repository.git("update-ref", "refs/heads/main", made)
        assert repository.read().facts["chat"] == {"c0": Facts("a2", began)}
        repository.git("update-ref", "refs/heads/main", parent)


def test_the_settings_of_the_user_change_nothing(repository: Repository) -> None:
    repository.point("c0", "a")
    repository.commit()
    repository.point("c0", "b", "a")
    key = repository.root / ".git/key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    for name, value in {"gpg.format": "ssh", "user.signingKey": str(key)}.items():
        repository.git("config", name, value)
    repository.git("commit", "-qam", said("a"), "-S")
    before = repository.c0()
    assert before.proofs
    for name, value in {
        "log.showRoot": "false",
        "log.showSignature": "true",
        "log.diffMerges": "separate",
        "log.mailmap": "true",
        "log.follow": "true",
        "color.ui": "always",
        "diff.renames": "copies",
        "diff.relative": "true",
        "diff.noprefix": "true",
        "core.abbrev": "7",
        "core.quotePath": "true",
        "format.pretty": "fuller",
        "i18n.logOutputEncoding": "UTF-16",
        "notes.displayRef": "refs/notes/*",
    }.items():
        repository.git("config", name, value)
    repository.git("notes", "add", "-m", said("a", kind="Failed"), "HEAD")
    assert repository.c0() == before


# In the status

GOOD = recording("good")


class Fleet(Repository):
    """A repository with the recorded release, and another one before it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.git("init", "-q", "-b", "main")
        self.id, self.name = GOOD.release.id, GOOD.cluster
        self.recorded = GOOD.sightings[-1]
        head = {"apiVersion": API_VERSION, "kind": "Cluster", "metadata": {"name": self.name}}
        self.write(f"clusters/{self.name}.yaml", emit(head))
        for id in (self.id, "1.0.0-before"):
            found = to_builtins(replace(GOOD.release, id=id))
            self.write(f"overlays/chat/releases/{id}/release.yaml", emit(found))

    def at(self, when: datetime) -> None:
        """The next commit is made then."""
        self.hour = (when - NOW) / HOUR - 1

    def reason(self) -> str:
        tree = Tree(self.root)
        found = status.remember(tree, status.plan(tree, ["chat"]))
        assert not found.findings
        ((_, row),) = status.rows(found, self.recorded)
        assert row.verdict
        return row.verdict.reason


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path / "fleet")
    made.at(made.recorded.began - 48 * HOUR)
    made.commit()
    return made


def test_status_takes_only_evidence_that_is_newer_than_the_promotion(fleet: Fleet) -> None:
    fleet.point(fleet.name, "1.0.0-before")
    fleet.commit()
    fleet.point(fleet.name, fleet.id, "1.0.0-before")
    assert fleet.reason() == "Proven"  # not committed: nothing is known
    fleet.commit()
    assert fleet.reason() == "Proven"
    fleet.git("reset", "-q", "--soft", "HEAD^")
    fleet.at(fleet.recorded.ended + SKEW)  # no later: a recording may be quite new
    fleet.commit()
    assert fleet.reason() == "RunOlder"


def test_status_goes_on_without_a_history_and_says_so(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.point(fleet.name, fleet.id)
    fleet.commit()
    fleet.git("branch", "-m", "trunk")
    (fleet.root / "seen.json").write_bytes(encode([fleet.recorded]))
    words = ["status", "--root", str(fleet.root), "--snapshot", str(fleet.root / "seen.json")]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert "Verified" in out
    assert err.startswith("overlays: warning CF023: when pointers moved, and what was proven before, ")


def test_status_sees_that_a_cluster_went_back(fleet: Fleet) -> None:
    fleet.point(fleet.name, fleet.id)
    fleet.commit()
    fleet.point(fleet.name, "1.0.0-before", fleet.id)
    fleet.commit()
    fleet.point(fleet.name, fleet.id)
    fleet.commit()
    assert fleet.reason() == "Reverted"


def test_what_is_not_merged_yet_has_no_history(fleet: Fleet) -> None:
    for release in ("1.0.0-before", fleet.id, "1.0.0-before"):
        fleet.point(fleet.name, release)
        fleet.commit()
    fleet.point(fleet.name, fleet.id)
    assert fleet.reason() == "Proven"


def test_status_sees_that_the_same_pods_were_proven_here(fleet: Fleet) -> None:
    fleet.point(fleet.name, "1.0.0-before")
    fleet.commit()
    fleet.point(fleet.name, fleet.id)
    evidence = Evidence(identity=fleet.recorded.identity, pod=GOOD.release.clusters[fleet.name].pod)
    since = fleet.recorded.began
    made = replace(VERDICT, cluster=fleet.name, release="1.0.0-before", evidence=evidence, since=since)
    fleet.commit(line(made))
    assert fleet.reason() == "SameWorkload"


def test_a_thousand_clusters_in_few_processes_under_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Repository(tmp_path / "repo")
    made.git("init", "-q", "-b", "main")
    made.commit()
    stream = "".join(_stream(made))
    made.git("fast-import", "--quiet", "--date-format=raw", stdin=stream.encode())
    calls: list[Any] = []
    real: Callable[..., Any] = subprocess.run

    def counting(*words: Any, **named: Any) -> Any:
        calls.append(words)
        return real(*words, **named)

    monkeypatch.setattr(subprocess, "run", counting)
    began = time.process_time()
    found = made.read().facts["chat"]
    took = time.process_time() - began
    assert len(found) == 1000
    assert all(item.release == "r3" and item.promoted and item.proofs for item in found.values())
    assert len(calls) <= 5
    assert took < 1  # of our own time


def _stream(made: Repository) -> Iterator[str]:
    """Four releases, each in ten waves of a hundred clusters, with settings of their own."""
    head = made.git("rev-parse", "HEAD")
    for number in range(4):
        for wave in range(10):
            message = "".join(
                said(f"r{number - 1}", f"c{wave * 100 + one:04}") + "\n" for one in range(100) if number
            )
            yield f"commit refs/heads/main\ncommitter t <t> {1_700_000_000 + number * 100 + wave} +0000\n"
            yield f"data {len(message)}\n{message}\n"
            yield f"from {head}\n" if not number + wave else ""
            for one in range(100):
                text = f"- ../../releases/r{number}\npatches: {wave * 100 + one}\n"
                path = f"overlays/chat/clusters/c{wave * 100 + one:04}/kustomization.yaml"
                yield f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
