"""What the bot reads: real repositories, simulated clusters, and pull requests whose text says nothing."""

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clone import ANN, BEGIN, BOT, Clone, pull
from msgspec.structs import replace

from canaryfleet import git, history, landing, limits, loads, overview, past, repo, situation, standing
from canaryfleet.decide import decide
from canaryfleet.errors import Problems
from canaryfleet.files import Tree
from canaryfleet.ground import survey
from canaryfleet.models.decision import Load, Member, Merged, Move, Pointed, Review, Situation
from canaryfleet.models.observation import Evidence, Verdict
from canaryfleet.models.promotion import Bar
from canaryfleet.models.release import ReleaseWave
from world import World, verdict

EMBED, RELEASE, PILOT = "embeddings", "0.9.2-6ffceb1874ad", "eu-north-1a"
TOOLS, OLD, NEW = "mcp-tools", "4.1.0-c18cea2cbbc1", "4.2.0-e4eaed6c58a9"
C0, C1 = "eu-west-1a", "eu-west-1b"  # of the last wave: they have OLD
HASH = "ab" * 32


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """The example fleet, committed."""
    made = Clone(tmp_path / "clone")
    made.commit("The example")
    return made


def past_of(clone: Clone, app: str = TOOLS) -> list[Merged]:
    return list(clone.survey().halves[app].history)


def record(cluster: str = C0, release: str = OLD, kind: Any = "Verified", app: str = TOOLS) -> str:
    verdict = Verdict(
        app=app, cluster=cluster, release=release, kind=kind, reason="Proven", message="", basis="Analysis",
        since=BEGIN, evidence=Evidence(identity="uid", pod="pod"), hash=HASH,
    )  # fmt: skip
    return history.line(verdict)


# Decisions on what was read


def test_the_first_deployment_starts_with_the_first_wave(clone: Clone) -> None:
    clone.remove(f"overlays/{EMBED}/clusters")
    clone.commit("An app that is nowhere yet")
    clone.sync()
    clone.wait(hours=1)
    made = decide(clone.read()[EMBED])
    assert (made.kind, made.release, made.wave, made.ready) == ("Start", RELEASE, "pilot", True)
    assert [(move.cluster, move.from_, move.to) for move in made.moves] == [(PILOT, None, RELEASE)]


def test_a_release_goes_from_wave_to_wave_and_what_is_merged_is_read_back(clone: Clone) -> None:
    """As a run does it: decide, commit what is decided, look again."""
    for name in ("ap-southeast-2a", "ap-south-1a", "eu-north-1a", "us-east-1b"):
        clone.point(TOOLS, name, OLD)
    clone.commit("Everything as it was")
    clone.sync()
    clone.wait(hours=3)
    first = clone.read()[TOOLS]
    made = decide(first)
    assert (made.kind, made.wave, made.ready) == ("Start", "pilot", True)
    (move,) = made.moves
    clone.point(TOOLS, move.cluster, NEW, move.fallback)
    proofs = [history.line(first.verdicts[proof.cluster]) for proof in made.evidence]
    clone.commit(
        clone.said(TOOLS, made.key, kind=made.kind, release=NEW, wave="pilot") + "\n".join(proofs), by=BOT
    )
    clone.sync()
    clone.wait(minutes=5)
    waits = clone.read()[TOOLS]
    assert waits.history[-1].kind == "Start"
    assert {proof.cluster for proof in waits.history[-1].proofs} == {proof.cluster for proof in made.evidence}
    assert waits.history[-1].moves == made.moves
    assert decide(waits).kind == "Hold"
    assert waits.carried[move.cluster] - waits.history[-1].at <= timedelta(minutes=1)
    clone.wait(hours=3)
    made = decide(clone.read()[TOOLS])
    assert (made.kind, made.wave, len(made.moves)) == ("Advance", "share", 3)


def test_a_release_that_never_proves_itself_goes_back_after_its_deadline(clone: Clone) -> None:
    clone.point(TOOLS, "ap-southeast-2a", OLD)
    clone.commit()
    clone.sync()
    clone.wait(hours=3)
    clone.point(TOOLS, "ap-southeast-2a", NEW, OLD)
    clone.commit(clone.said(TOOLS, kind="Start", release=NEW, wave="pilot"), by=BOT)
    clone.sync()
    clone.wait(minutes=1)
    clone.sandbox.happens(TOOLS, "ap-southeast-2a", "pause")
    clone.wait(hours=20)
    assert decide(clone.read()[TOOLS]).kind != "Rollback"
    clone.wait(hours=6)
    made = decide(clone.read()[TOOLS])
    assert (made.kind, made.moves[0].cluster, made.moves[0].to) == ("Rollback", "ap-southeast-2a", OLD)


# History


def test_where_the_history_begins_nothing_moved(clone: Clone) -> None:
    assert past_of(clone) == []


def test_a_commit_of_the_bot(clone: Clone) -> None:
    bar = Bar(workload="w", by="bot", since="2026-11-01T00:00:00Z", why="bad")
    clone.point(TOOLS, C0, NEW, OLD)
    more: dict[str, Any] = {
        "release": NEW,
        "wave": "rest",
        "ends": ("e",),
        "bars": (bar,),
        "approvedBy": ("ann",),
    }
    said = clone.said(TOOLS, kind="Retry", owes=(bar,), **more)
    id = clone.commit(said + record(C0) + "\n" + record(C1, kind="Failed"), by=BOT)
    (merged,) = past_of(clone)
    assert merged == Merged(
        commit=id, at=clone.now, kind="Retry", key="0123456789ab", moves=(Move(cluster=C0, from_=OLD, to=NEW, fallback=OLD),),
        proofs=merged.proofs, owes=(bar,), **more,
    )  # fmt: skip
    assert [(p.cluster, p.release, p.kind, p.basis, p.since, p.hash) for p in merged.proofs] == [
        (C0, OLD, "Verified", "Analysis", BEGIN, HASH), (C1, OLD, "Failed", "Analysis", BEGIN, HASH),
    ]  # fmt: skip


def test_a_proof_counts_only_of_what_the_cluster_had_just_before(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    words = [record(C0, NEW), record(C1, NEW), record("nowhere"), record(C1, app="fraud")]
    clone.commit(clone.said(TOOLS) + "\n".join(words), by=BOT)
    assert past_of(clone)[-1].proofs == ()
    clone.point(TOOLS, C0, OLD)
    clone.commit(clone.said(TOOLS) + record(C0, NEW) + "\n" + record(C0, OLD), by=BOT)
    assert [proof.release for proof in past_of(clone)[-1].proofs] == [NEW]


def forged(clone: Clone, **more: str) -> str:
    bar = Bar(workload="w", by="bot", since="2026-11-01T00:00:00Z", why="bad")
    return clone.said(TOOLS, ends=(NEW,), bars=(bar,), owes=(bar,), approvedBy=("ann",)) + record(C0) + "\n"


def beside_a_file(clone: Clone) -> str:
    clone.write("README", "a pull request whose text became the message\n")
    return forged(clone)


def beside_a_release(clone: Clone) -> str:
    clone.write(f"overlays/{TOOLS}/releases/{NEW}/more", "x")
    return forged(clone)


def beside_another_app(clone: Clone) -> str:
    clone.replace(repo.overlay_path("fraud", C0), "value: 4\n", "value: 5\n")
    return forged(clone)


def said_twice(clone: Clone) -> str:
    return forged(clone) + forged(clone)


def of_another_app(clone: Clone) -> str:
    return clone.said("fraud") + record(C0)


def without_a_decision(clone: Clone) -> str:
    return record(C0)


def of_no_form(clone: Clone) -> str:
    return forged(clone).replace('"kind":"Advance"', '"kind":"Win"')


@pytest.mark.parametrize(
    "how",
    [
        beside_a_file,
        beside_a_release,
        beside_another_app,
        said_twice,
        of_another_app,
        without_a_decision,
        of_no_form,
    ],
)
def test_words_count_only_in_a_commit_that_touches_nothing_else(
    clone: Clone, how: Callable[[Clone], str]
) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    id = clone.commit(how(clone), by=BOT)
    (merged,) = past_of(clone)
    move = Move(cluster=C0, from_=OLD, to=NEW, fallback=OLD)
    assert merged == Merged(commit=id, at=clone.now, by="person", moves=(move,))


def test_a_person_reverts_what_the_bot_did(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    clone.commit(clone.said(TOOLS), by=BOT)
    clone.wait(minutes=1)
    clone.git("revert", "--no-edit", "HEAD")
    bot, person = past_of(clone)
    assert (bot.by, person.by, person.kind) == ("bot", "person", None)
    assert person.moves == (Move(cluster=C0, from_=NEW, to=OLD),)


def test_a_person_squashes_the_bots_pull_request(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    clone.commit(clone.said(TOOLS, subject="Advance (#12)") + record(C0), by=ANN)
    (merged,) = past_of(clone)
    assert (merged.by, merged.kind, len(merged.proofs)) == ("bot", "Advance", 1)


def merge(clone: Clone, *, change: Callable[[], object] = lambda: None) -> None:
    """A person merges the bot's branch with a commit of their own, which says nothing."""
    clone.write("README", "main moves on\n")
    clone.commit()
    clone.wait(minutes=1)
    tip = clone.git("rev-parse", f"refs/remotes/origin/canaryfleet/{TOOLS}/abc")
    clone.git("merge", "-q", "--no-ff", "--no-commit", tip)
    change()
    clone.git("add", "-A")
    clone.git("commit", "-q", "-m", "Merge pull request #12")


def test_a_person_merges_the_bots_branch(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    clone.branch(TOOLS, "abc", clone.said(TOOLS, "abc") + record(C0))
    merge(clone)
    (merged,) = past_of(clone)
    assert (merged.commit, merged.by, merged.kind, merged.at) == (clone.head, "bot", "Advance", clone.now)
    assert merged.moves == (Move(cluster=C0, from_=OLD, to=NEW, fallback=OLD),)
    assert [proof.cluster for proof in merged.proofs] == [C0]


def test_live_settings_may_have_changed_when_a_branch_is_merged(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    clone.branch(TOOLS, "abc")
    clone.replace(
        repo.overlay_path(TOOLS, C0), "maxReplicas\n      value: 12", "maxReplicas\n      value: 13"
    )
    clone.commit("More")
    merge(clone)
    assert [merged.by for merged in past_of(clone)] == ["bot"]


def test_a_merge_that_does_something_else_is_a_persons(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    clone.branch(TOOLS, "abc")
    merge(clone, change=lambda: clone.point(TOOLS, C1, NEW, OLD))
    assert [(merged.by, len(merged.moves)) for merged in past_of(clone)] == [("person", 2)]


def test_a_merge_that_points_elsewhere_is_a_persons(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    clone.branch(TOOLS, "abc")
    merge(clone, change=lambda: clone.point(TOOLS, C0, OLD, NEW))
    clone.point(TOOLS, C0, NEW, OLD)
    clone.commit()
    assert {merged.by for merged in past_of(clone)} == {"person"}


def test_a_merge_of_somebody_elses_branch_is_a_persons(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    clone.branch(TOOLS, "abc", by=ANN)
    merge(clone)
    assert [merged.by for merged in past_of(clone)] == ["person"]


def test_what_somebody_adds_to_the_bots_branch_is_theirs_in_the_squash(clone: Clone) -> None:
    """In what the bot decides by, and where people read it."""
    for cluster in (C0, C1):
        clone.point(TOOLS, cluster, NEW, OLD)
    decided = {C0: landing.given(Move(cluster=C0, to=NEW, fallback=OLD))}
    id = clone.commit(clone.said(TOOLS, moves=decided), by=BOT)
    found = past_of(clone)
    assert [(one.commit, one.by, [move.cluster for move in one.moves]) for one in found] == [
        (id, "person", [C1]),
        (id, "bot", [C0]),
    ]
    assert [
        (one.by, one.commit, one.moves[0].cluster)
        for one in overview.happened(str(clone.root), clone.survey(), TOOLS)[:2]
    ] == [
        ("bot", id, C0),
        ("person", id, C1),
    ]


def test_two_apps_in_one_commit(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    clone.remove(f"overlays/{EMBED}/clusters/{C0}")
    clone.commit(clone.said(TOOLS))
    assert [(m.by, m.moves[0].cluster, m.moves[0].to) for m in past_of(clone)] == [("person", C0, NEW)]
    assert [(m.by, m.moves[0].cluster, m.moves[0].to) for m in past_of(clone, EMBED)] == [
        ("person", C0, None)
    ]


def test_an_overlay_that_is_removed_and_comes_back(clone: Clone) -> None:
    path = repo.overlay_path(TOOLS, C0)
    text = (clone.root / path).read_text()
    clone.remove(f"overlays/{TOOLS}/clusters/{C0}")
    clone.commit(clone.said(TOOLS), by=BOT)
    clone.write(path, text)
    clone.commit()
    gone, back = past_of(clone)
    assert gone.moves == (Move(cluster=C0, from_=OLD),)
    assert back.moves == (Move(cluster=C0, to=OLD),)


def test_an_app_with_another_name_is_another_app(clone: Clone) -> None:
    clone.git("mv", f"overlays/{EMBED}", "overlays/vectors")
    clone.commit(clone.said(EMBED), by=BOT)
    (gone,), (came,) = past_of(clone, EMBED), past_of(clone, "vectors")
    assert {move.to for move in gone.moves} == {None} == {move.from_ for move in came.moves}
    assert len(gone.moves) == len(came.moves) == 12
    assert gone.by == came.by == "person"


def test_what_moves_nothing_is_left_out(clone: Clone) -> None:
    clone.replace(repo.overlay_path(TOOLS, C0), "value: 12", "value: 13")
    clone.commit("Live settings")
    clone.write(f"overlays/{TOOLS}/promotion.yaml", "bars: []\n")
    clone.commit("What people edit\n\n" + record(C0))
    assert past_of(clone) == []


def test_an_overlay_that_could_not_be_read_for_a_while_lets_no_older_evidence_in(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    clone.commit(clone.said(TOOLS), by=BOT)
    path = repo.overlay_path(TOOLS, C0)
    good = (clone.root / path).read_bytes()
    clone.write(path, "- not: [this\n")
    clone.commit("Broken")
    clone.wait(hours=5)
    (clone.root / path).write_bytes(good)
    clone.commit("Mended")
    found, now = clone.survey(), clone.now
    assert found.plan.past[TOOLS][C0].promoted == now
    assert standing.gather(clone.read()[TOOLS]).placed[C0].merged.at == now


def test_a_frozen_release_that_was_rewritten_holds_the_app(clone: Clone) -> None:
    """Merged past the gate, its waves and thresholds would decide; what it was at first is in the history."""
    path = f"overlays/{TOOLS}/releases/{NEW}/release.yaml"
    good = (clone.root / path).read_text()
    clone.write(path, good.replace("minSuccessTime: 30m", "minSuccessTime: 1s"))
    assert good != (clone.root / path).read_text()
    clone.commit("A shorter bake")
    clone.write("specs/unrelated.txt", "something else, later")
    clone.commit("Else")
    held = clone.read()
    assert path in (held[TOOLS].unreadable or "")
    assert held[TOOLS].rewritten == (NEW,)
    assert held["assistant"].unreadable is None
    clone.write(path, good)
    clone.commit("As it was")
    assert (clone.read()[TOOLS].unreadable, clone.read()[TOOLS].rewritten) == (None, ())
    other = path.replace("release.yaml", "kustomization.yaml")
    kustomization = (clone.root / other).read_text()
    clone.remove(other)
    clone.commit("One file less")
    assert other in (clone.read()[TOOLS].unreadable or "")
    clone.write(other, kustomization)
    clone.commit("As it was")
    assert clone.read()[TOOLS].unreadable is None
    shutil.rmtree((clone.root / path).parent)
    clone.commit("Pruned")
    assert path not in (clone.read()[TOOLS].unreadable or "")
    (clone.root / path).parent.mkdir()
    clone.write(path, good.replace("minSuccessTime: 30m", "minSuccessTime: 1s"))
    clone.commit("Rendered again, otherwise")
    assert path in (clone.read()[TOOLS].unreadable or "")


@pytest.mark.parametrize("what", ["content", "kustomization", "gone", "new", "name"])
def test_configuration_that_is_not_what_its_name_says_holds_the_app(clone: Clone, what: str) -> None:
    """Past the gate, or wrong from the first: pods that restart would read it, and no release would be new."""
    (home,) = (clone.root / f"overlays/{TOOLS}/config").iterdir()
    assert clone.read()[TOOLS].unreadable is None
    path = f"overlays/{TOOLS}/config/{home.name}/config.yaml"
    if what == "content":
        clone.replace(path, r"(?m)^data:\n", "data:\n  more: evil\n")
    elif what == "name":
        clone.replace(path, r"(?m)^  name: .*\n", "  name: another\n")
    elif what == "new":
        clone.replace(path, r"(?m)^  namespace:.*\n", "  namespace: elsewhere\n  annotations: {a: b}\n")
        clone.replace(path, r"(?m)^data:\n", "binaryData: {}\ndata:\n")
    elif what == "kustomization":
        path = f"overlays/{TOOLS}/config/{home.name}/kustomization.yaml"
        clone.write(path, (clone.root / path).read_text() + "namePrefix: x-\n")
    else:
        shutil.rmtree(home)
        path = f"overlays/{TOOLS}/config/{home.name}"
    mounting = {
        id for id, item in clone.survey().halves[TOOLS].app.releases.items() if home.name in item.config
    }
    clone.commit("Past the gate")
    held = clone.read()
    assert path in (held[TOOLS].unreadable or "")
    assert mounting
    assert set(held[TOOLS].rewritten) == mounting
    assert held["assistant"].unreadable is None


def test_a_release_that_no_cluster_has_yet_may_be_rendered_again(clone: Clone) -> None:
    """Twice in one pull request, for the inventory has changed in between: it is frozen once a cluster has it."""
    home = "overlays/mcp-tools/releases/9.0.0-0123456789ab"
    shutil.copytree(clone.root / f"overlays/{TOOLS}/releases/{NEW}", clone.root / home)
    text = (clone.root / home / "release.yaml").read_text().replace(NEW, "9.0.0-0123456789ab")
    clone.write(f"{home}/release.yaml", text)
    clone.commit("Rendered")
    clone.write(f"{home}/release.yaml", text.replace("minSuccessTime: 30m", "minSuccessTime: 45m"))
    clone.commit("Rendered again")
    assert clone.read()[TOOLS].unreadable is None
    other = (clone.root / home / "kustomization.yaml").read_text()
    clone.remove(f"{home}/kustomization.yaml")
    clone.commit("Without a file")
    assert clone.survey().given == ({}, {})
    clone.write(f"{home}/kustomization.yaml", other)
    clone.commit("With it")
    clone.point(TOOLS, C0, "9.0.0-0123456789ab", NEW)
    clone.commit("Given")
    assert clone.read()[TOOLS].unreadable is None
    clone.write(f"{home}/release.yaml", text)
    clone.commit("Too late")
    assert f"{home}/release.yaml" in (clone.read()[TOOLS].unreadable or "")


def test_what_is_over_and_excuses_of_nobody_hold_nothing(clone: Clone) -> None:
    who = "by: ann, since: '2026-11-01T00:00:00Z', why: x"
    over = f"until: '2026-11-02T00:00:00Z', {who}"
    head = f"apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {{name: {TOOLS}}}\n"
    clone.write(
        f"overlays/{TOOLS}/promotion.yaml",
        f"{head}holds: [{{wave: gone, {over}}}]\nexcused: [{{cluster: left, {who}}}]\n",
    )
    clone.commit("Of long ago")
    assert clone.read()[TOOLS].unreadable is None
    clone.write(f"overlays/{TOOLS}/promotion.yaml", f"{head}holds: [{{wave: gone, {who}}}]\n")
    clone.commit("Of now")
    assert "there is no wave gone" in (clone.read()[TOOLS].unreadable or "")


def test_a_fallback_that_changes_alone_is_known_and_by_whom(clone: Clone) -> None:
    clone.point(TOOLS, C0, OLD, NEW)
    id = clone.commit("A fallback alone")
    (found,) = past_of(clone)
    assert (found.commit, found.by, found.moves, found.fallbacks) == (id, "person", (), (C0,))


def test_when_the_bot_last_committed_is_known_however_far_ahead_its_clock_was(clone: Clone) -> None:
    assert clone.survey().latest is None
    clone.point(TOOLS, C0, NEW, OLD)
    clone.now += timedelta(days=2)
    clone.commit(clone.said(TOOLS), by=BOT)
    ahead = clone.now
    clone.now -= timedelta(days=1)
    clone.write("README.md", "x")
    clone.commit("A person, later")
    assert clone.survey().latest == ahead


def test_a_clock_that_is_behind_or_ahead_lets_no_older_evidence_in(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    clone.commit()
    known, now = clone.now, clone.now
    clone.now -= timedelta(days=3)
    clone.point(TOOLS, C0, OLD)
    clone.commit()
    clone.now += timedelta(days=300)
    clone.point(TOOLS, C0, NEW, OLD)
    clone.commit()
    clone.now = now
    assert [merged.at for merged in past_of(clone)] == [known] * 3


def test_a_folder_of_a_repository(tmp_path: Path) -> None:
    made = Clone(tmp_path / "clone")
    made.commit("The example")
    (tmp_path / "clone/fleet").mkdir()
    for name in ("fleet.yaml", "specs", "clusters", "overlays"):
        made.git("mv", name, f"fleet/{name}")
    made.commit("Into a folder")
    path = f"fleet/{repo.overlay_path(TOOLS, C0)}"
    made.replace(path, OLD, NEW)
    id = made.commit(made.said(TOOLS), by=BOT)
    found = survey(Tree(tmp_path / "clone/fleet"), id, made.now)
    assert found.halves[TOOLS].history[-1].moves == (Move(cluster=C0, from_=OLD, to=NEW),)
    assert found.halves[TOOLS].history[-1].by == "bot"


def test_an_older_commit_is_read_as_if_nothing_came_after_it(clone: Clone) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    first = clone.commit()
    clone.point(TOOLS, C0, OLD)
    clone.commit()
    clone.git("worktree", "add", "-q", "--detach", "../work", first)
    found = survey(Tree(clone.root.parent / "work"), first, clone.now)
    assert [merged.commit for merged in found.halves[TOOLS].history] == [first]
    assert found.plan.past[TOOLS][C0].release == NEW


def test_without_the_whole_history_nothing_is_decided(clone: Clone, tmp_path: Path) -> None:
    clone.commit()

    def refused(root: Path) -> str:
        with pytest.raises(Problems) as refusal:
            survey(Tree(root), clone.head, clone.now)
        (finding,) = refusal.value.findings
        assert finding.code == "CF182"
        assert finding.remedy
        return finding.message

    clone.git("clone", "-q", "--depth=1", f"file://{clone.root}", str(tmp_path / "shallow"))
    assert "shallow" in refused(tmp_path / "shallow")
    clone.git("clone", "-q", str(clone.root), str(tmp_path / "full"))
    clone.git("-C", str(tmp_path / "full"), "checkout", "-qB", "other")
    clone.git("-C", str(tmp_path / "full"), "branch", "-qD", "main")
    assert survey(Tree(tmp_path / "full"), clone.head, clone.now).ref == "refs/remotes/origin/main"
    clone.git("-C", str(tmp_path / "full"), "update-ref", "-d", "refs/remotes/origin/main")
    assert "no branch main" in refused(tmp_path / "full")
    clone.git("archive", "-o", str(tmp_path / "tree.tar"), "HEAD")
    (tmp_path / "plain").mkdir()
    subprocess.run(["tar", "xf", str(tmp_path / "tree.tar"), "-C", str(tmp_path / "plain")], check=True)
    assert "no clone" in refused(tmp_path / "plain")


@pytest.mark.parametrize("left_out", ["blob:none", "tree:0"])
def test_a_clone_that_lacks_objects_is_refused_and_says_how_to_get_them(
    clone: Clone, tmp_path: Path, left_out: str
) -> None:
    clone.point(TOOLS, C0, OLD)
    clone.commit()
    clone.point(TOOLS, C0, NEW, OLD)
    clone.commit()
    clone.git("config", "uploadpack.allowFilter", "true")
    there = tmp_path / "partial"
    clone.git("clone", "-q", f"--filter={left_out}", f"file://{clone.root}", str(there))
    with pytest.raises(Problems) as refusal:
        survey(Tree(there), clone.head, clone.now)
    (finding,) = refusal.value.findings
    assert (finding.code, "--filter" in finding.message) == ("CF182", True)
    assert "`git fetch --refetch --no-filter`" in finding.remedy
    clone.git("-C", str(there), "fetch", "-q", "--refetch", "--no-filter")
    assert survey(Tree(there), clone.head, clone.now).halves[TOOLS].history


def test_a_long_history_is_read_in_half_a_second(tmp_path: Path) -> None:
    made = Clone(tmp_path / "clone", example=False)
    overlays = [f"metadata:\n  name: chat\nresources:\n- ../../releases/r{n}\n" for n in range(40)]
    lines = [f"blob\nmark :{n + 1}\ndata {len(text)}\n{text}" for n, text in enumerate(overlays)]
    for n in range(2000):
        proof = record(f"c{n % 50}", f"r{n // 50 - 1}", app="chat") if n >= 50 else ""
        said = made.said("chat", subject=f"{n}") + proof
        lines += [
            f"commit refs/heads/main\ncommitter {BOT[0]} <{BOT[1]}> {1_700_000_000 + n * 60} +0000",
            f"data {len(said)}\n{said}",
            f"M 100644 :{n // 50 + 1} overlays/chat/clusters/c{n % 50}/kustomization.yaml\n",
        ]
    made.git("fast-import", "--quiet", stdin="\n".join(lines))
    head = made.git("rev-parse", "main")
    best = 9.0
    for _ in range(5):
        began = sum(os.times()[:4])  # ours and git's, whatever else the machine does
        log = past.log(str(made.root), head, ["chat"], below="", most=past.WHOLE)
        found = list(history.merged(log.of("chat"), made.now))
        best = min(best, sum(os.times()[:4]) - began)
    assert [merged.by for merged in found[1:]] == ["bot"] * 1999
    assert found[-1].moves == (Move(cluster="c49", from_="r38", to="r39"),)
    assert sum(len(merged.proofs) for merged in found) == 1950
    assert best < 0.5


# The tree


def broken(clone: Clone, app: str = TOOLS) -> Situation:
    clone.commit()
    return clone.read()[app]


@pytest.mark.parametrize(
    "path",
    [
        f"specs/{TOOLS}/canary.yaml",
        f"overlays/{TOOLS}/promotion.yaml",
        f"overlays/{TOOLS}/clusters/{C1}/kustomization.yaml",
    ],
)
def test_what_cannot_be_read_holds_its_app_and_lets_it_go_back(clone: Clone, path: str) -> None:
    pilot = "ap-southeast-2a"
    clone.sync()
    clone.wait(hours=3)
    clone.write(path, "- not: [this\n")
    found = broken(clone)
    assert path in (found.unreadable or "")
    held = decide(found)
    assert held.kind == "Hold"
    assert "promotion-unreadable" in [reason.code for reason in held.reasons]
    assert broken(clone, EMBED).unreadable is None
    failed = Verdict(
        app=TOOLS, cluster=pilot, release=NEW, kind="Failed", reason="BeyondThreshold", message="bad",
        since=clone.now, hash=HASH,
    )  # fmt: skip
    back = decide(replace(found, verdicts=found.verdicts | {pilot: failed}))
    assert (back.kind, back.ready) == ("Rollback", True)
    assert pilot in [move.cluster for move in back.moves]


def test_an_app_whose_spec_is_gone_is_held(clone: Clone) -> None:
    clone.remove(f"specs/{TOOLS}")
    found = broken(clone)
    assert f"specs/{TOOLS}/canary.yaml" in (found.unreadable or "")
    assert set(found.pointers) == set(repo.overlays(clone.tree, TOOLS))


def test_a_spec_of_another_name_is_not_this_apps(clone: Clone) -> None:
    clone.replace(f"specs/{TOOLS}/canary.yaml", "name: mcp-tools", "name: others")
    assert "others" in (broken(clone).unreadable or "")


def test_a_spec_without_releases_has_nothing_to_move(clone: Clone) -> None:
    clone.remove(f"overlays/{EMBED}")
    found = broken(clone, EMBED)
    assert (found.candidate, found.releases, found.pointers) == (None, {}, {})
    assert [reason.code for reason in decide(found).reasons] == ["no-candidate"]


@pytest.mark.parametrize("damage", ["missing", "garbled"])
def test_a_release_that_is_gone_is_a_broken_limit_and_no_crash(clone: Clone, damage: str) -> None:
    path = f"overlays/{TOOLS}/releases/{OLD}/release.yaml"
    if damage == "missing":
        clone.remove(f"overlays/{TOOLS}/releases/{OLD}")
    else:
        clone.write(path, "apiVersion: x\n")
    clone.commit()
    clone.wait(hours=3)
    found = clone.read()[TOOLS]
    assert set(found.releases) == {NEW}
    assert found.pointers[C0] == Pointed(release=OLD)
    reasons = limits.to_nothing(found.pointers, found.releases)
    assert [reason.code for reason in reasons] == ["to-nothing"]
    made = decide(found)
    assert made.kind == "Hold"
    assert [reason for reason in made.reasons if reason.code == "breaks-limit" and OLD in reason.message]
    assert set(found.verdicts) == {name for name, at in found.pointers.items() if at.release == NEW}


def test_a_candidate_that_cannot_be_read_moves_nothing(clone: Clone) -> None:
    clone.write(f"overlays/{TOOLS}/candidate.yaml", "release: 7\n")
    found = broken(clone)
    assert found.candidate is None
    assert decide(found).kind == "Hold"
    assert [item.place.file for item in clone.survey().findings] == [f"overlays/{TOOLS}/candidate.yaml"]


def test_a_cluster_whose_file_cannot_be_read_gets_nothing(clone: Clone) -> None:
    clone.write(f"clusters/{PILOT}.yaml", "kind: [\n")
    clone.remove(f"overlays/{EMBED}/clusters")
    found = broken(clone, EMBED)
    assert PILOT not in found.sites
    made = decide(found)
    assert (made.kind, made.moves) == ("Hold", ())
    assert "unknown-to-release" in [reason.code for reason in made.reasons]


def test_a_file_stands_for_no_other_cluster(clone: Clone) -> None:
    text = (clone.root / f"clusters/{C0}.yaml").read_text().replace("gpu: 16", "gpu: 999")
    clone.write("clusters/zz.yaml", text)
    found = broken(clone)
    assert found.sites[C0].resources == {"nvidia.com/gpu": 16_000}
    assert "zz" not in found.sites


def test_an_overlay_without_its_file_holds_the_app(clone: Clone) -> None:
    clone.git("mv", repo.overlay_path(TOOLS, C0), f"overlays/{TOOLS}/clusters/{C0}/more.yaml")
    found = broken(clone)
    assert C0 not in found.pointers
    assert len(found.pointers) == 11
    assert C0 in (found.unreadable or "")


def test_a_pointer_of_a_cluster_without_a_file_is_unknown(clone: Clone) -> None:
    clone.remove(f"clusters/{C0}.yaml")
    assert broken(clone).verdicts[C0].kind == "Unknown"


def test_a_fleet_that_cannot_be_read_stops_everything(clone: Clone) -> None:
    clone.write("fleet.yaml", "kind: [\n")
    clone.commit()
    with pytest.raises(Problems, match=r"fleet\.yaml"):
        clone.survey()


def test_links_and_strange_files_are_findings(clone: Clone) -> None:
    (clone.root / "overlays/link").symlink_to(TOOLS)
    clone.write("overlays/notes.md", "x")
    clone.write(f"overlays/{TOOLS}/releases/notes/more.txt", "x")
    found = broken(clone)
    assert decide(found).kind == decide(broken(clone)).kind
    assert "link" not in clone.read()
    assert "notes.md" not in clone.read()
    assert {item.place.file for item in clone.survey().findings} == {
        "overlays/link", f"overlays/{TOOLS}/releases/notes/release.yaml",
    }  # fmt: skip


# What is on the clusters


def test_what_pods_ask_for_follows_the_live_settings(clone: Clone) -> None:
    clone.replace(repo.overlay_path("assistant", C0), "replicas\n      value: 2", "replicas\n      value: 5")
    clone.commit()
    found = clone.read()["assistant"]
    gpu = "nvidia.com/gpu"
    for release in found.releases.values():
        assert release.clusters[C0].takes == {gpu: 5000}
        assert release.clusters[C1].takes == {gpu: 6000}
    assert found.sites[C0].resources == {gpu: 16_000}


def test_where_there_is_no_overlay_yet_the_spec_says_how_many(clone: Clone) -> None:
    clone.remove("overlays/assistant/clusters")
    clone.replace(
        "clusters/eu-west-1a.yaml", "resources: .*", "resources: {nvidia.com/gpu: 16, memory: 500Gi}"
    )
    clone.commit()
    found = clone.read()["assistant"]
    member = found.releases[found.candidate or ""].clusters[C0]
    assert member.takes == {"nvidia.com/gpu": 2000, "memory": 2 * 24 * 1024**3 * 1000}


def test_the_autoscalers_most_counts_also_of_a_base(clone: Clone) -> None:
    clone.replace("clusters/eu-west-1a.yaml", "resources: .*", "resources: {pods: 100, memory: 500Gi}")
    clone.commit()
    found = clone.read()
    assert found["fraud"].releases["1.8.0-e2c854063177"].clusters[C0].takes["pods"] == 20_000
    clone.replace(repo.overlay_path("fraud", C0), "path: /spec/maxReplicas", "path: /spec/other")
    clone.commit()
    assert clone.read()["fraud"].releases["1.8.0-e2c854063177"].clusters[C0].takes["pods"] == 20_000
    clone.remove("overlays/fraud/clusters")
    clone.commit()
    assert clone.read()["fraud"].releases["1.8.0-e2c854063177"].clusters[C0].takes["pods"] == 20_000


def test_where_it_cannot_be_known_a_release_asks_for_all_of_a_cluster(clone: Clone) -> None:
    path = "overlays/assistant/releases/2.4.0-d782bf2e7a1a/rollout.yaml"
    clone.replace(path, 'nvidia.com/gpu: "1"', "nvidia.com/gpu: some")
    clone.commit()
    found = clone.read()["assistant"]
    assert "2.4.0-d782bf2e7a1a" in (found.unreadable or "")
    assert found.releases["2.4.0-d782bf2e7a1a"].clusters[C0].takes == {"nvidia.com/gpu": 16_000}


def load(clone: Clone, app: str = TOOLS, of: str = "assistant", cluster: str = C0) -> Load:
    return next(item for item in clone.read()[app].sites[cluster].others if item.app == of)


def test_what_a_neighbour_has_under_way_counts_with_what_was_there_before(clone: Clone) -> None:
    """The assistant has 2.4.0 here, and 2.3.0 as its fallback, with two GPUs each."""
    gpu = "nvidia.com/gpu"
    assert load(clone) == Load(app="assistant", underWay=True, takes={gpu: 4000})  # nothing was seen
    clone.sync()
    clone.wait(hours=2)
    assert load(clone, cluster="us-east-1a").underWay is False
    assert load(clone).underWay is True  # its Rollout came without a canary, and proves nothing
    assert [item.app for item in clone.read()["assistant"].sites[C0].others] == [EMBED, "fraud", TOOLS]


def test_a_neighbour_that_is_proven_counts_once(clone: Clone) -> None:
    clone.point("assistant", C0, "2.3.0-2b2f6011c4b2")
    clone.commit()
    clone.sync()
    clone.wait(hours=3)
    clone.point("assistant", C0, "2.4.0-d782bf2e7a1a", "2.3.0-2b2f6011c4b2")
    clone.commit(clone.said("assistant"), by=BOT)
    clone.sync()
    clone.wait(minutes=10)
    assert load(clone) == Load(app="assistant", underWay=True, takes={"nvidia.com/gpu": 4000})
    clone.wait(days=1)
    assert load(clone) == Load(app="assistant", underWay=False, takes={"nvidia.com/gpu": 2000})


def load_of(world: World, **fields: Any) -> Load:
    """What the world's app has on its one cluster."""
    return dict(loads.on_clusters(standing.gather(replace(world.look(), **fields))))["c0"]


def test_of_an_app_whose_policy_alone_changed_the_pods_count_once() -> None:
    world = World((ReleaseWave(name="all", members=("c0",)),))
    world.new("v1", "w0")
    world.person_moves("c0", "v1", "v0")
    assert load_of(world) == Load(app="app", underWay=True, takes={"gpu": 2})
    world.new("v2", "w2")
    world.person_moves("c0", "v2", "v0")
    assert load_of(world) == Load(app="app", underWay=True, takes={"gpu": 4})


def test_of_two_versions_that_may_have_been_there_before_the_larger_counts() -> None:
    world = World((ReleaseWave(name="all", members=("c0",)),))
    world.new("v1", "w1", clusters={"c0": Member(pod="p1", takes={"gpu": 5})})
    world.new("v2", "w2")
    world.person_moves("c0", "v1", "v0")
    world.person_moves("c0", "v2", "v0")
    assert load_of(world).takes == {"gpu": 2 + 5}


def test_what_goes_back_is_under_way_until_it_is_back() -> None:
    world = World((ReleaseWave(name="all", members=("c0",)),))
    world.new("v1", "w1")
    world.person_moves("c0", "v1", "v0")
    move = Move(cluster="c0", from_="v1", to="v0")
    world.commit(Merged(commit="back", at=world.now, kind="Rollback", moves=(move,)))
    going, there = verdict("c0", "v0", "Progressing", world.now), verdict("c0", "v0", "Verified", world.now)
    assert load_of(world, verdicts={"c0": going}) == Load(app="app", underWay=True, takes={"gpu": 4})
    assert load_of(world, verdicts={"c0": there}) == Load(app="app", underWay=False, takes={"gpu": 2})


def test_an_app_that_leaves_counts_until_it_was_seen_to_be_gone(clone: Clone) -> None:
    clone.sync()
    clone.wait(hours=2)
    clone.remove(f"overlays/assistant/clusters/{C0}")
    clone.commit(clone.said("assistant"), by=BOT)
    clone.wait(minutes=1)
    assert load(clone) == Load(app="assistant", takes={"nvidia.com/gpu": 2000})
    assert clone.read()["assistant"].absent == ()
    clone.sync()
    clone.wait(minutes=1)
    found = clone.read()
    assert found["assistant"].absent == (C0,)
    assert [item.app for item in found[TOOLS].sites[C0].others] == [EMBED, "fraud"]


def test_another_cluster_of_that_name_proves_no_absence(clone: Clone) -> None:
    clone.sync()
    clone.wait(hours=2)
    clone.remove(f"overlays/assistant/clusters/{C0}")
    clone.commit(clone.said("assistant"), by=BOT)
    clone.sync()
    clone.wait(minutes=1)
    ground = clone.survey()
    cluster = replace(ground.plan.clusters[C0], uid="another")
    other = ground._replace(plan=ground.plan._replace(clusters=ground.plan.clusters | {C0: cluster}))
    sightings = list(situation.status.look(clone.sandbox, situation.status.targets(ground.plan), 1))
    assert situation.see(ground, sightings).absent["assistant"] == {C0}
    assert situation.see(other, sightings).absent["assistant"] == set()
    assert C0 not in situation.see(other, sightings).carried[TOOLS]


def test_only_some_apps_are_read_but_all_neighbours_count(clone: Clone) -> None:
    ground = clone.survey()
    found = situation.read(ground, clone.look(ground), [], "bot", clone.now, apps=[TOOLS])
    assert set(found) == {TOOLS}
    assert {item.app for item in found[TOOLS].sites[C0].others} == {"assistant", EMBED, "fraud"}


# Pull requests

KEY = "0123456789ab"


@pytest.fixture
def branch(clone: Clone) -> str:
    """A branch of the bot that moves C0, on a base that main has left since."""
    clone.point(TOOLS, C0, NEW, OLD)
    id = clone.branch(TOOLS, KEY, clone.said(TOOLS, KEY, kind="Advance", release=NEW, wave="rest"))
    clone.write("README", "x")
    clone.commit()
    return id


def test_what_a_pull_request_does_is_read_from_its_branch(clone: Clone, branch: str) -> None:
    reviews = (
        Review(by="ann", state="approved", head=branch),
        Review(by="bot", state="approved", head=branch),
    )
    lies = {"title": "Rollback", "body": clone.said(TOOLS, KEY, kind="Rollback"), "reviews": reviews}
    (request,) = clone.read(pull(TOOLS, KEY, branch, **lies))[TOOLS].requests
    assert (request.key, request.kind, request.release, request.wave) == (KEY, "Advance", NEW, "rest")
    assert request.moves == (Move(cluster=C0, from_=OLD, to=NEW, fallback=OLD),)
    assert not request.touched
    assert [review.by for review in request.reviews] == ["ann"]


def test_pull_requests_of_others_are_none_of_the_bots(clone: Clone, branch: str) -> None:
    known = pull(TOOLS, KEY, branch)
    names = (
        f"ann:canaryfleet/{TOOLS}/{KEY}",
        "canaryfleet/x",
        f"canaryfleet/{TOOLS}/{KEY}/more",
        f"x/canaryfleet/{TOOLS}/a",
    )
    found = clone.read(*(replace(known, branch=name) for name in names))
    assert not any(item.requests for item in found.values())
    assert len(clone.read(known)[TOOLS].requests) == 1
    assert clone.read(known)["fraud"].requests == ()


def touched(clone: Clone, head: str, **fields: Any) -> bool:
    (request,) = clone.read(pull(TOOLS, KEY, head, **fields))[TOOLS].requests
    assert not request.touched or (request.moves, request.release) == ((), None)
    return request.touched


def on_top(clone: Clone, branch: str, **how: Any) -> str:
    """One more commit on the bot's branch."""
    clone.git("checkout", "-q", "--detach", branch)
    clone.write(f"overlays/{TOOLS}/promotion.yaml", "x\n")
    id = clone.commit(clone.said(TOOLS, KEY), **how)
    clone.git("checkout", "-q", "main")
    return id


def test_a_branch_on_which_a_person_committed_is_touched(clone: Clone, branch: str) -> None:
    assert not touched(clone, branch)
    for by in (ANN, BOT):
        more = on_top(clone, branch, by=by)
        assert touched(clone, more)  # two commits are never the bot's, whoever they say they are of
    assert not touched(clone, branch)
    clone.fetched(TOOLS, KEY, more)
    assert touched(clone, branch)  # fetched already, and the forge is late
    clone.fetched(TOOLS, KEY, branch)
    assert touched(clone, "5" * 40)  # the forge has it already, and it is not fetched
    assert touched(clone, branch, base="release")


def test_a_branch_that_is_gone_is_read_as_long_as_its_commit_is_there(clone: Clone, branch: str) -> None:
    clone.git("update-ref", "-d", f"refs/remotes/origin/canaryfleet/{TOOLS}/{KEY}")
    assert not touched(clone, branch)


@pytest.mark.parametrize("who", ["author", "committer"])
def test_who_amends_the_bots_commit_has_touched_it(clone: Clone, branch: str, who: str) -> None:
    clone.git("checkout", "-q", "--detach", branch)
    author = ["--reset-author"] if who == "author" else []
    clone.git("commit", "-q", "--amend", "--no-edit", *author, by=ANN)
    if who == "author":  # and now the bot's name as who committed it
        clone.git("commit", "-q", "--amend", "--no-edit", by=BOT)
    head = clone.head
    clone.git("checkout", "-q", "main")
    clone.fetched(TOOLS, KEY, head)
    assert touched(clone, head)


def other_key(clone: Clone) -> str:
    return clone.said(TOOLS, "another")


def other_app(clone: Clone) -> str:
    return clone.said("fraud", KEY)


def nothing_said(clone: Clone) -> str:
    return "Advance"


def another_file(clone: Clone) -> str:
    clone.write("README", "y")
    return clone.said(TOOLS, KEY)


def no_pointer(clone: Clone) -> str:
    clone.write(repo.overlay_path(TOOLS, C0), "resources: []\n")
    return clone.said(TOOLS, KEY)


@pytest.mark.parametrize("how", [other_key, other_app, nothing_said, another_file, no_pointer])
def test_a_commit_that_is_not_what_the_bot_writes_is_touched(
    clone: Clone, how: Callable[[Clone], str]
) -> None:
    clone.point(TOOLS, C0, NEW, OLD)
    head = clone.branch(TOOLS, KEY, how(clone))
    assert touched(clone, head)


def test_an_orphan_and_a_branch_without_commits_are_touched(clone: Clone, branch: str) -> None:
    clone.git("cherry-pick", branch, by=BOT)
    clone.git("commit", "-q", "--amend", "--no-edit", "--reset-author", by=BOT)
    assert touched(clone, clone.head)  # it is on main already
    both = clone.git("rev-parse", "HEAD^{tree}")
    clone.git("reset", "-q", "--hard", "HEAD~1")
    tree = clone.git("rev-parse", f"{branch}^{{tree}}")
    orphan = clone.git("commit-tree", tree, "-m", clone.said(TOOLS, KEY), by=BOT)
    assert touched(clone, orphan)
    said = ("-m", clone.said(TOOLS, KEY))
    assert not touched(clone, clone.git("commit-tree", both, "-p", "main", *said, by=BOT))
    merged = clone.git("commit-tree", both, "-p", "main", "-p", branch, *said, by=BOT)
    assert touched(clone, merged)


def test_a_base_that_is_newer_than_what_is_read_is_no_foreign_commit(clone: Clone, branch: str) -> None:
    older = clone.head
    clone.write("README", "newer")
    clone.commit()
    clone.point(TOOLS, C0, NEW, OLD)
    head = clone.branch(TOOLS, KEY)
    clone.git("worktree", "add", "-q", "--detach", "../work", older)
    ground = survey(Tree(clone.root.parent / "work"), older, clone.now)
    found = situation.read(ground, situation.see(ground, []), [pull(TOOLS, KEY, head)], "bot", clone.now)
    assert not found[TOOLS].requests[0].touched


@pytest.mark.parametrize(
    ("state", "by", "closed"),
    [
        ("open", None, None),
        ("merged", None, None),
        ("closed", "bot", "bot"),
        ("closed", "ann", "person"),
        ("closed", None, "person"),
    ],
)
def test_who_closed_it(clone: Clone, branch: str, state: Any, by: str | None, closed: str | None) -> None:
    (request,) = clone.read(pull(TOOLS, KEY, branch, state=state, closedBy=by))[TOOLS].requests
    assert (request.state, request.closedBy) == (state, closed)


def test_reading_changes_nothing(clone: Clone, branch: str) -> None:
    def everything() -> str:
        return clone.git("for-each-ref") + clone.git("status", "--porcelain", "--ignored") + clone.head

    before = everything()
    clone.read(pull(TOOLS, KEY, branch), pull(TOOLS, "a", "5" * 40))
    assert everything() == before


def test_the_facts_of_a_situation_hold_together(clone: Clone) -> None:
    """What history and pointers say of a cluster is the same: the last move is what the tree has."""
    clone.point(TOOLS, C0, NEW, OLD)
    clone.commit(clone.said(TOOLS), by=BOT)
    clone.point(TOOLS, C1, NEW, OLD)
    clone.commit()
    facts = standing.gather(clone.read()[TOOLS])
    assert {name: placed.move.to for name, placed in facts.placed.items()} == {C0: NEW, C1: NEW}
    assert set(facts.placed_by_bot) == {C0}
    assert facts.pointers[C0].release == NEW


def test_commits_are_shown_only_if_they_are_there(clone: Clone) -> None:
    tree = clone.git("rev-parse", "HEAD^{tree}")
    found = git.show(clone.root, [clone.head, tree, "5" * 40], below="")
    assert list(found) == [clone.head]
    assert git.show(clone.root, [], below="") == {}
    assert git.ahead(clone.root, [], ["HEAD"]) == set()
