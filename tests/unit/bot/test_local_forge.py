"""What is the local forge's own: git underneath, files that survive a kill, two processes at once."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from canaryfleet.errors import Problems
from canaryfleet.forges import NotMerged, connect
from canaryfleet.forges.local import Local
from canaryfleet.models.fleet import Forge as Settings
from canaryfleet.models.forge import CommitStatus
from forges import Clock, Ground, sh

BRANCH = "canaryfleet/chat/k1"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("template"), BRANCH)


@pytest.fixture
def ground(template: Ground, tmp_path: Path) -> Ground:
    return template.copy(tmp_path)


def fails(code: str, call: Callable[[], Any]) -> str:
    with pytest.raises(Problems) as caught:
        call()
    assert [finding.code for finding in caught.value.findings] == [code]
    return str(caught.value)


# Where it is


@pytest.mark.parametrize("address", ["{}", "file://{}", "file://localhost{}", "../fleet.git"])
def test_it_is_beside_the_bare_repository_that_origin_is(ground: Ground, address: str) -> None:
    sh(ground.clone, "remote", "set-url", "origin", address.format(ground.bare))
    (ground.clone / "below").mkdir()
    forge = connect(Settings(), str(ground.clone / "below"), {})
    assert forge.remote.address == str(ground.bare)
    assert forge.me == "canaryfleet"
    forge.open(BRANCH, "main", "t", "b")
    assert (ground.bare.parent / "fleet.pulls" / "1.json").exists()


@pytest.mark.parametrize(
    "address", ["https://u:secret@git.acme.example/x.git", "git@host:x.git", "/nowhere", "."]
)
def test_another_origin_is_refused_with_what_to_do(ground: Ground, address: str) -> None:
    sh(ground.clone, "remote", "set-url", "origin", address)
    said = fails("CF181", lambda: connect(Settings(), str(ground.clone), {}))
    assert "(" in said
    assert "secret" not in said


def test_no_origin_is_refused(ground: Ground) -> None:
    sh(ground.clone, "remote", "remove", "origin")
    assert "git remote add origin" in fails("CF181", lambda: connect(Settings(), str(ground.clone), {}))


# Merging is git's


def test_a_merge_is_one_commit_of_the_bot_with_exactly_the_message(ground: Ground) -> None:
    ground.push(BRANCH, {"more": "1\n"})
    ground.push("main", {"other": "meanwhile\n"})
    before = ground.tip()
    request = ground.local.open(BRANCH, "main", "t", "b")
    landed = ground.local.merge(
        request.number, request.head, "chat: europe", "Why.\n\nCanaryfleet-Decision: {}"
    )
    assert landed == ground.tip()
    shown = sh(ground.bare, "log", "-1", "--format=%P|%an|%ae|%cn|%ce|%ct|%B", landed)
    who = "canaryfleet|canaryfleet@users.noreply.invalid"
    time = int(ground.clock().timestamp())
    assert shown == f"{before}|{who}|{who}|{time}|chat: europe\n\nWhy.\n\nCanaryfleet-Decision: {{}}"
    files = sh(ground.bare, "ls-tree", "--name-only", landed).split()
    assert files == ["README", "more", "other", "pointer"]


def test_conflicts_are_not_merged(ground: Ground) -> None:
    request = ground.local.open(BRANCH, "main", "t", "b")
    before = ground.push("main", {"pointer": "another\n"})
    with pytest.raises(NotMerged, match="conflicts with main"):
        ground.local.merge(request.number, request.head, "t", "m")
    assert ground.tip() == before


def test_nothing_is_merged_if_the_base_has_it_all(ground: Ground) -> None:
    request = ground.local.open(BRANCH, "main", "t", "b")
    before = ground.push("main", {"pointer": "new\n", "other": "1\n"})
    with pytest.raises(NotMerged, match="has everything"):
        ground.local.merge(request.number, request.head, "t", "m")
    assert ground.tip() == before


def test_a_base_that_moves_in_the_middle_is_not_overwritten(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ground.local.open(BRANCH, "main", "t", "b")
    commit = ground.local._commit

    def slow(*args: Any) -> str:
        made = commit(*args)
        ground.push("main", {"other": "meanwhile\n"})
        return made

    monkeypatch.setattr(ground.local, "_commit", slow)
    with pytest.raises(NotMerged, match="main has moved"):
        ground.local.merge(request.number, request.head, "t", "m")
    monkeypatch.undo()
    assert ground.log() == ["change README", "change other"]
    assert [found.state for found in ground.local.requests("")] == ["open"]
    ground.local.merge(request.number, request.head, "t", "m")
    assert ground.log() == ["change README", "change other", "t"]


@pytest.mark.parametrize("how", ["--ff-only", "--no-ff"])
def test_what_a_person_merges_and_pushes_is_merged(ground: Ground, how: str) -> None:
    request = ground.local.open(BRANCH, "main", "t", "b")
    sh(ground.clone, "checkout", "-q", "main")
    sh(ground.clone, "merge", "-q", how, "-m", "by hand", BRANCH)
    merged = sh(ground.clone, "rev-parse", "HEAD")
    sh(ground.clone, "push", "-q", "origin", "main")
    ground.push("main", {"later": "1\n"})
    (found,) = ground.local.requests("canaryfleet/")
    assert (found.state, found.landed) == ("merged", merged)
    assert ground.local.merge(request.number, request.head, "t", "m") == merged


def test_a_branch_that_is_removed_closes_its_request(ground: Ground) -> None:
    request = ground.local.open(BRANCH, "main", "t", "b")
    head = ground.push(BRANCH, {"pointer": "newer\n"})
    assert [found.head for found in ground.local.requests("")] == [head]
    ground.remove(BRANCH)
    (found,) = ground.local.requests("")
    assert (found.state, found.closedBy, found.head) == ("closed", None, head)
    ground.push(BRANCH, {"pointer": "newer\n"}, onto="main")
    assert [found.state for found in ground.local.requests("")] == ["closed"]
    assert ground.local.open(BRANCH, "main", "t", "b").number == request.number + 1


def test_a_branch_that_is_set_back_to_its_base_is_closed_and_not_merged(ground: Ground) -> None:
    request = ground.local.open(BRANCH, "main", "t", "b")
    sh(ground.clone, "push", "-q", "--force", "origin", f"main:{BRANCH}")
    (found,) = ground.local.requests("")
    assert (found.state, found.head, found.landed) == ("closed", request.head, None)


def test_a_base_that_is_gone_is_not_merged_into(ground: Ground) -> None:
    ground.push("other", {"x": "1"}, onto="main")
    request = ground.local.open(BRANCH, "other", "t", "b")
    ground.remove("other")
    with pytest.raises(NotMerged, match="no branch other"):
        ground.local.merge(request.number, request.head, "t", "m")


# Killed at any line, two at once


def _killed_at(bare: Path, line: int, call: Callable[[Local], Any]) -> bool:
    """Run a call in a process that ends, without farewell, before the n-th line of local.py; whether it got there."""
    import canaryfleet.forges.local as module

    if not (child := os.fork()):
        import sys

        left = line

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename != module.__file__:
                return None
            left -= event == "line"
            if left < 0:
                os._exit(9)
            return trace

        sys.settrace(trace)
        try:
            call(Local(bare, Clock()))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def _each_line(ground: Ground, folder: Path, step: int, call: Callable[[Local], Any]) -> Iterator[Local]:
    """The forge after a call was killed before its first line, the n-th, the 2n-th, until it is not any more."""
    line, killed = 0, True
    while killed:
        copy = folder / f"{line}.git"
        shutil.copytree(ground.bare, copy)
        shutil.copytree(ground.local.folder, folder / f"{line}.pulls")
        killed = _killed_at(copy, line, call)
        yield Local(copy, ground.clock)
        line += step
    assert line > 50


def test_killed_at_any_line_of_a_merge_there_is_one_commit(ground: Ground, tmp_path: Path) -> None:
    head, before = ground.local.open(BRANCH, "main", "t", "b").head, set()
    for forge in _each_line(ground, tmp_path, 3, lambda forge: forge.merge(1, head, "t", "m")):
        held = json.loads(Path(forge.folder, "1.json").read_text())
        merged = "t" in ground.log(bare=forge.bare)
        before.add((merged, held.get("state", "open")))
        assert [found.state for found in forge.requests("")] == ["merged" if merged else "open"]
        landed = forge.merge(1, head, "t", "m")
        assert ground.log(bare=forge.bare) == ["change README", "t"]
        (found,) = forge.requests("canaryfleet/")
        assert (found.state, found.landed) == ("merged", landed)
    assert before == {(False, "open"), (True, "open"), (True, "merged")}


def test_killed_at_any_line_of_opening_and_closing_there_is_one(ground: Ground, tmp_path: Path) -> None:
    def both(forge: Local) -> None:
        forge.close(forge.open(BRANCH, "main", "t", "b").number, "obsolete")

    assert ground.local.requests("") == []
    for forge in _each_line(ground, tmp_path, 5, both):
        found = forge.requests("")
        forge.close(found[0].number if found else forge.open(BRANCH, "main", "t", "b").number, "obsolete")
        (one,) = forge.requests("")
        assert (one.number, one.state, one.closedBy) == (1, "closed", "canaryfleet")
        held = json.loads(Path(forge.folder, "1.json").read_text())
        assert held["comments"] == [{"by": "canaryfleet", "text": "obsolete"}]


def test_a_commit_that_lands_after_its_maker_was_killed_is_known(ground: Ground) -> None:
    """git may go on when we are dead: an older attempt wins, and the newer one finds the base moved."""
    request = ground.local.open(BRANCH, "main", "t", "b")
    base, tree = ground.local._merged(ground.local._one(request.number))
    orphan = ground.local._commit("canaryfleet", base, tree, "first\n")
    held = json.loads((ground.bare.parent / "fleet.pulls" / "1.json").read_text())
    held["tried"] = ["0" * 40, orphan]
    (ground.bare.parent / "fleet.pulls" / "1.json").write_text(json.dumps(held))
    assert [found.state for found in ground.local.requests("")] == ["open"]
    sh(ground.bare, "update-ref", "refs/heads/main", orphan, base)
    assert ground.local.merge(request.number, request.head, "second", "m") == orphan
    assert ground.log() == ["change README", "first"]


def _open_then_merge(bare: Path, branches: list[str], together: Any, told: Any) -> None:
    forge = Local(bare, Clock())
    requests = [forge.open(branch, "main", branch, "b") for branch in branches]
    together.wait()
    for request in requests:
        told.put(
            (request.branch, request.number, forge.merge(request.number, request.head, request.branch, "m"))
        )


def test_two_at_once_open_and_merge_each_once(ground: Ground) -> None:
    branches = [f"canaryfleet/chat/{name}" for name in "abcd"]
    for branch in branches:
        ground.push(branch, {branch[-1]: "1\n"}, onto="main")
    context = get_context("fork")
    together, told = context.Barrier(2, timeout=60), context.SimpleQueue()
    others = [
        context.Process(target=_open_then_merge, args=(ground.bare, order, together, told))
        for order in (branches, branches[::-1])
    ]
    for other in others:
        other.start()
    for other in others:
        other.join()
        assert other.exitcode == 0
    found = {told.get() for _ in range(8)}
    assert len(found) == 4
    assert {number for _, number, _ in found} == {1, 2, 3, 4}
    assert sorted(ground.log()[1:]) == branches


# Files


def test_a_status_is_beside_the_repository_and_names_no_other_file(ground: Ground) -> None:
    status = CommitStatus(context="canaryfleet/gate", state="success")
    ground.local.status(ground.tip(), status)
    assert ground.local.statuses(ground.tip()) == {"canaryfleet/gate": status}
    for name in ("../1", "main", "0" * 39, "0" * 40):
        fails("CF180", lambda name=name: ground.local.status(name, status))  # type: ignore[misc]


@pytest.mark.parametrize("text", ["", "{}", "[", '{"number": 1}', "\xff"])
def test_a_file_that_is_none_of_its_kind_is_named(ground: Ground, text: str) -> None:
    ground.local.open(BRANCH, "main", "t", "b")
    path = ground.bare.parent / "fleet.pulls" / "1.json"
    path.write_text(text, encoding="latin-1")
    assert "1.json" in fails("CF180", lambda: ground.local.requests(""))
