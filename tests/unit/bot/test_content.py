"""What a decision writes: overlays of its moves and bars, from the tree alone if it has to be."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from canaryfleet import content, overlay, repo
from canaryfleet.check import check
from canaryfleet.decode import decode
from canaryfleet.errors import Problems
from canaryfleet.files import Tree, apply
from canaryfleet.models.decision import Decision, Move, Proof
from canaryfleet.models.promotion import Bar
from canaryfleet.models.release import Done
from canaryfleet.overlay import Pointer
from canaryfleet.syntax import parse
from support import Project

GOLDEN = Path(__file__).parents[2] / "golden"
APP, PILOT = "chat", "eu-1"
SINCE = "2026-11-03T10:00:00Z"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.copy(GOLDEN / "shared", APP)
    return project


def release(project: Project, stage: str) -> str:
    project.copy(GOLDEN / "second-release" / stage, APP)
    project.render()
    return project.know().frozen[APP].release.id


def scaled(project: Project) -> str:
    """A release with an autoscaler, whose overlays have room for other settings."""
    project.copy(GOLDEN / "second-release/second", APP)
    spec = project.spec(APP) / "canary.yaml"
    text = spec.read_text().replace(
        "  port: 8080\n",
        "  port: 8080\n  autoscaler: {min: 2, max: 12, cpu: 60%}\n  resources: {requests: {cpu: 1}}\n",
    )
    spec.write_text(text)
    project.render()
    return project.know().frozen[APP].release.id


def decision(kind: Any, *moves: Move, **more: Any) -> Decision:
    return Decision(app=APP, kind=kind, moves=moves, reasons=(), key="k", **more)


def move(cluster: str, from_: str | None, to: str | None, fallback: str | None = None) -> Move:
    return Move(cluster=cluster, from_=from_, to=to, fallback=fallback)


def files(project: Project, made: Decision) -> dict[str, bytes]:
    return dict(content.of(Tree(project.root), made).writes)


def path(cluster: str) -> str:
    return repo.overlay_path(APP, cluster)


def test_it_writes_what_point_writes(project: Project) -> None:
    """The bot's own code: first deployments, the next release, and nothing of other clusters."""
    first = release(project, "first")
    made = decision("Start", move(PILOT, None, first))
    found = files(project, made)
    project.point(APP, "pilot")
    assert found == {path(PILOT): project.overlay(APP, PILOT)}
    project.point_everything(APP)
    second = release(project, "second")
    found = files(project, decision("Start", move(PILOT, first, second, first)))
    project.point(APP, "pilot")
    assert found == {path(PILOT): project.overlay(APP, PILOT)}
    assert check(project.know()).findings == []


def test_going_back_gives_the_old_bytes(project: Project) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    before = project.overlay(APP, PILOT)
    second = release(project, "second")
    project.point(APP, "pilot")
    assert files(project, decision("Rollback", move(PILOT, second, first))) == {path(PILOT): before}


def spoil(project: Project, what: str) -> None:
    if what == "spec":
        (project.spec(APP) / "canary.yaml").write_text("}")
    elif what == "gone":
        (project.spec(APP) / "canary.yaml").unlink()
    elif what == "fleet":
        (project.root / "fleet.yaml").write_text("}")
    else:
        for file in (project.root / "clusters").iterdir():
            file.write_text("}")


@pytest.mark.parametrize("what", ["spec", "gone", "fleet", "clusters"])
@pytest.mark.parametrize("other", [False, True])
def test_going_back_needs_nothing_but_the_tree(project: Project, what: str, other: bool) -> None:
    """Also to a release whose overlay has room for settings that this one's has not."""
    first = release(project, "first")
    project.point_everything(APP)
    before = project.overlay(APP, PILOT)
    second = scaled(project) if other else release(project, "second")
    project.point(APP, "pilot")
    spoil(project, what)
    found = files(project, decision("Rollback", move(PILOT, second, first)))
    assert overlay.pointer(found[path(PILOT)]) == Pointer(first, None)
    if not other:
        assert found == {path(PILOT): before}
    with pytest.raises(Problems):  # and forward it needs what the inventory says
        files(project, decision("Advance", move("eu-2", first, second, first), move("new", None, second)))


def test_a_record_writes_one_small_file_of_its_form(project: Project) -> None:
    proof = Proof(cluster="eu-1", release="r", kind="Verified", hash="a" * 64)
    made = files(project, decision("Done", release="2.0.0-x", evidence=(proof,)))
    ((where, data),) = made.items()
    assert where == f"overlays/{APP}/done.yaml"
    assert data.startswith(b"# Made by canaryfleet")
    found = decode(parse(data, where), Done)
    assert (found.metadata.name, found.release) == (APP, "2.0.0-x")
    other = files(project, decision("Done", release="2.0.0-x", evidence=(replace(proof, cluster="eu-2"),)))
    assert other[where] != data, "a joiner's record is another commit"


def test_a_live_setting_never_travels_with_a_pointer(project: Project) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    second = scaled(project)
    cluster = project.root / "clusters/eu-1.yaml"
    cluster.write_text(cluster.read_text() + "metrics: {prometheus: 'http://elsewhere:9090'}\n")
    found = files(project, decision("Start", move(PILOT, first, second, first)))[path(PILOT)]
    assert b"elsewhere" not in found
    assert b"/spec/minReplicas\n      value: 2" in found  # for which there was no room until now
    apply(project.root, content.of(Tree(project.root), decision("Start", move(PILOT, first, second, first))))
    back = files(project, decision("Rollback", move(PILOT, second, first)))[path(PILOT)]
    assert b"minReplicas" not in back


def test_an_edited_overlay_goes_back_and_not_forward(project: Project) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    second = release(project, "second")
    project.point(APP, "pilot")
    file = project.root / path(PILOT)
    good = file.read_bytes()
    file.write_bytes(good.replace(b"patches:", b"patches:\n- {target: x}"))
    back = files(project, decision("Rollback", move(PILOT, second, first)))
    assert overlay.pointer(back[path(PILOT)]) == Pointer(first, None)
    with pytest.raises(Problems, match="CF167"):
        files(project, decision("Advance", move(PILOT, second, first, second)))


def test_another_tree_than_was_decided_on_is_refused(project: Project) -> None:
    first = release(project, "first")
    project.point(APP, "pilot")
    second = release(project, "second")
    for wrong in (
        move(PILOT, second, first),
        move(PILOT, None, second),
        move("eu-2", first, second),
        move(PILOT, second, None),
    ):
        for kind in ("Rollback", "Advance"):
            with pytest.raises(Problems, match=r"CF184.*was decided on"):
                files(project, decision(kind, wrong))


def test_a_release_that_does_not_know_the_cluster_is_refused(project: Project) -> None:
    first = release(project, "first")
    with pytest.raises(Problems, match="CF166"):
        files(project, decision("Start", move("unknown", None, first)))
    with pytest.raises(Problems, match=r"release\.yaml"):
        files(project, decision("Start", move(PILOT, None, "gone")))


def test_what_leaves_takes_its_folder_with_it(project: Project) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    extra = (project.root / path(PILOT)).with_name("patch.yaml")
    extra.write_text("x")
    changes = content.of(Tree(project.root), decision("Advance", move(PILOT, first, None)))
    assert changes == ({}, {path(PILOT), f"overlays/{APP}/clusters/{PILOT}/patch.yaml"})
    apply(project.root, changes)
    assert PILOT not in project.pointers(APP)


def test_bars_go_into_the_file_of_people(project: Project) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    second = release(project, "second")
    project.point(APP, "pilot")
    bar = Bar(workload="abc", by="canaryfleet", since=SINCE, why="it fails")
    made = decision("Rollback", move(PILOT, second, first), bars=(bar,))
    found = files(project, made)
    assert found.keys() == {path(PILOT), f"overlays/{APP}/promotion.yaml"}
    apply(project.root, content.of(Tree(project.root), made))
    known = repo.promotion(Tree(project.root), APP)
    assert known is not None
    assert known.bars == (bar,)
    file = project.root / f"overlays/{APP}/promotion.yaml"
    file.write_text("# mine\n" + file.read_text())
    more = Bar(release=first, by="canaryfleet", since=SINCE, why="so does it")
    changes = content.of(Tree(project.root), decision("Rollback", bars=(more,)))
    assert changes.writes.keys() == {f"overlays/{APP}/promotion.yaml"}
    apply(project.root, changes)
    known = repo.promotion(Tree(project.root), APP)
    assert known is not None
    assert known.bars == (bar, more)
    assert file.read_text().startswith("# mine\n")


def test_one_broken_overlay_does_not_hold_the_others_back(project: Project) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    second = release(project, "second")
    project.point(APP, "pilot")
    (project.root / path("us-1")).write_text("}")
    found = files(project, decision("Rollback", move(PILOT, second, first)))
    assert found.keys() == {path(PILOT)}
