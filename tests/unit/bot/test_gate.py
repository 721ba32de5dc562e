"""The gate on real git: what people's pull requests would break, judged by the tree that merging them gives."""

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from canaryfleet import cli, gate
from canaryfleet.errors import Problems
from canaryfleet.gate import CONTEXT, Judged
from canaryfleet.overlay import pointer
from story import Story


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """1.0.0 is everywhere, and 1.1.0 is released."""
    found = Story(tmp_path_factory.mktemp("seed"))
    found.until_rest()
    found.release("1.1.0")
    found.sync()
    return found


@pytest.fixture
def story(seed: Story, tmp_path: Path) -> Story:
    """A world of one's own."""
    return seed.fork(tmp_path / "story")


def propose(story: Story, subject: str = "my change", body: str = "") -> int:
    """Open a pull request of Ann with what her clone has; main is left alone."""
    story.git("checkout", "-q", "-B", "idea")
    story.git("add", "-A")
    story.git("commit", "-q", "--allow-empty", "-m", subject)
    story.git("push", "-q", "--force", "origin", "idea")
    story.git("checkout", "-q", "main")
    return story.forge.propose("ann", "idea", "main", "An idea", body).number


def judged(story: Story, number: int) -> Judged:
    """What the gate says, and that the head is marked with it."""
    (found,) = gate.every(story.bot(), [number])
    assert story.forge.statuses(found.head)[CONTEXT] == found.status
    return found


def codes(found: Judged) -> list[str]:
    """The codes of all reasons."""
    return [reason.code for reasons in found.reasons.values() for reason in reasons]


def test_a_change_of_words_breaks_nothing(story: Story) -> None:
    (story.people / "README.md").write_text("words\n")
    found = judged(story, propose(story))
    assert (found.status.state, found.reasons) == ("success", {})


def test_nothing_goes_forward_by_a_fallback_that_a_person_has_written(story: Story) -> None:
    """Merged all the same it is no way back, for the bot or for anybody."""
    path, candidate = story.overlay("three"), story.candidate()
    note = f'metadata:\n  name: chat\n  annotations:\n    canaryfleet.dev/fallback: "{candidate}"\n'
    path.write_text(path.read_text().replace("metadata:\n  name: chat\n", note, 1))
    found = judged(story, propose(story))
    assert (found.status.state, set(codes(found))) == ("failure", {"other-fallback"})
    story.git("merge", "-q", "--ff-only", "idea")
    story.git("push", "-q", "origin", "main")
    before = story.versions()["three"]
    for _ in range(2):
        story.turn()
        assert story.versions()["three"] == before


def test_the_first_wave_may_be_pointed_by_hand(story: Story) -> None:
    story.repoint("one")
    assert judged(story, propose(story)).status.state == "success"


def test_a_later_wave_waits_for_the_first(story: Story) -> None:
    story.repoint("two")
    found = judged(story, propose(story))
    assert found.status.state == "pending"
    assert "wave-incomplete" in codes(found)
    assert found.status.description.startswith("chat: ")


def test_more_at_once_than_the_wave_allows_waits(story: Story) -> None:
    story.until_rest()  # 1.1.0 is everywhere
    story.pull()
    story.release("1.2.0", waves=[{"name": "all", "maxConcurrency": 1}])
    story.sync()
    for cluster in ("one", "two"):
        story.repoint(cluster)
    found = judged(story, propose(story))
    assert (found.status.state, codes(found)) == ("pending", ["max-concurrency"])


def test_a_bar_is_a_no(story: Story) -> None:
    story.moods["1.1.0"] = "bad"
    story.until_rest()
    story.repoint("one")
    found = judged(story, propose(story))
    assert (found.status.state, "barred" in codes(found)) == ("failure", True)


@pytest.mark.parametrize("edit", ["members:\n", "none", "more"])
def test_a_frozen_release_is_not_rewritten(story: Story, edit: str) -> None:
    """Its waves and members are what limits are read from."""
    home = story.people / f"overlays/chat/releases/{story.candidate()}"
    path = home / "release.yaml"
    if edit == "none":
        (home / "kustomization.yaml").unlink()
    elif edit == "more":
        (home / "more.yaml").write_text("{}")
    else:
        path.write_text(path.read_text().replace("  members:\n  - one\n", "  members: []\n", 1))
    found = judged(story, propose(story))
    assert (found.status.state, codes(found)) == ("failure", ["rewritten"])


def test_a_pull_request_of_more_apps_than_anybody_has_keeps_the_others_waiting_for_nothing(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MOST", 2)
    for number in range(3):
        path = story.people / f"overlays/app{number}/promotion.yaml"
        path.parent.mkdir()
        path.write_text("{}")
    found = judged(story, propose(story))
    assert (found.status.state, list(found.reasons)) == ("failure", [""])
    assert "3 apps would be new" in found.status.description


@pytest.mark.parametrize("path", ["evil", "chat/clusters/one/more", "chat/clusters/one", "chat/more"])
def test_a_submodule_is_no_file(story: Story, path: str) -> None:
    """Argo CD checks it out, from wherever it is: nothing of it was looked at by anybody."""
    story.git("rm", "-rq", "--ignore-unmatch", f"overlays/{path}")
    story.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},overlays/{path}")
    (story.people / "overlays" / path).mkdir(parents=True, exist_ok=True)
    found = judged(story, propose(story))
    assert (found.status.state, "no-file" in codes(found)) == ("failure", True)


def test_what_was_rewritten_past_the_gate_may_be_restored(story: Story) -> None:
    (home,) = story.people.glob("overlays/chat/releases/1.0.0-*")
    good = (home / "release.yaml").read_text()
    (home / "release.yaml").write_text(good.replace("  members:\n  - one\n", "  members: []\n", 1))
    story.commit("past the gate")
    (home / "release.yaml").write_text(good)
    assert judged(story, propose(story)).status.state == "success"
    (home / "release.yaml").write_text(good.replace("  - one\n", "  - two\n", 1))
    assert codes(judged(story, propose(story))) == ["rewritten"]


def test_nobody_is_pointed_at_what_was_rewritten_not_even_back(story: Story) -> None:
    story.turn()
    story.pull()
    assert story.versions()["one"] == "1.1.0"
    path = story.overlay("one")
    present = pointer(path.read_bytes())
    assert present is not None
    assert present.fallback is not None
    rollout = story.people / f"overlays/chat/releases/{present.fallback}/rollout.yaml"
    good, text = rollout.read_text(), path.read_text()
    back = re.sub("  annotations:\n.*\n", "", text.replace(present.release, present.fallback))
    rollout.write_text(good.replace("revisionHistoryLimit:", "minReadySeconds: 9\n  revisionHistoryLimit:"))
    story.commit("past the gate")
    path.write_text(back)
    found = judged(story, propose(story))
    assert (found.status.state, codes(found)) == ("failure", ["rewritten"])
    assert "one would be pointed at a release whose files" in found.status.description
    path.write_text(back)
    rollout.write_text(good)
    assert judged(story, propose(story)).status.state == "success"


def test_a_release_that_was_pruned_comes_back_as_it_was_or_not_at_all(story: Story) -> None:
    """Rendered again with another inventory it would have other members, and would hold its app."""
    story.until_rest()  # 1.1.0 is everywhere
    story.release("1.2.0")
    story.until_rest()
    story.now += timedelta(days=31)
    story.pull()
    (home,) = story.people.glob("overlays/chat/releases/1.0.0-*")
    text = (home / "release.yaml").read_text()
    shutil.copytree(home, story.people.parent / "kept")
    shutil.rmtree(home)
    assert judged(story, propose(story)).status.state == "success"
    story.git("merge", "-q", "--ff-only", "idea")
    story.git("push", "-q", "origin", "main")
    shutil.copytree(story.people.parent / "kept", home)
    assert judged(story, propose(story)).status.state == "success"
    shutil.copytree(story.people.parent / "kept", home)
    (home / "release.yaml").write_text(text.replace("  - two\n", "", 1))
    found = judged(story, propose(story))
    assert (found.status.state, codes(found)) == ("failure", ["rewritten"])
    assert "when clusters were given that release" in found.status.description


def test_a_move_forward_keeps_the_way_back(story: Story) -> None:
    """`canaryfleet point` without evidence takes a cluster's first release for no way back."""
    story.repoint("one")
    path = story.overlay("one")
    path.write_text(re.sub(r"  annotations:\n    canaryfleet.dev/fallback: .*\n", "", path.read_text()))
    found = judged(story, propose(story))
    assert (found.status.state, codes(found)) == ("failure", ["other-fallback"])


def test_a_new_release_rewrites_nothing(story: Story) -> None:
    story.spec["version"] = "1.3.0"
    story._write("specs/chat/canary.yaml", story.spec)
    assert cli.main(["render", "--root", str(story.people)]) == 0
    assert judged(story, propose(story)).status.state == "success"


HOLD = '{by: ann, since: "2026-11-16T00:00:00Z", why: x'
WRONG = {
    "holds: [%s, wave: rets}]": ("4:64", "there is no wave rets"),
    "bars: [%s, release: 1.1.0}]": ("4:66", "1.1.0 is no id of a release"),
    "holds: [%s": ("", ""),
}


@pytest.mark.parametrize("entry", sorted(WRONG))
def test_what_a_person_holds_or_bars_has_to_be_there(story: Story, entry: str) -> None:
    head = "apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {name: chat}\n"
    path = story.people / "overlays/chat/promotion.yaml"
    path.write_text(head + entry % HOLD + "\n")
    found = judged(story, propose(story))
    assert (found.status.state, codes(found)) == ("failure", ["promotion-wrong"])
    (reason,) = found.reasons["chat"]
    place, said = WRONG[entry]
    assert reason.message.startswith(f"overlays/chat/promotion.yaml:{place}")
    assert said in reason.message
    path.write_text(head + f"holds: [{HOLD}, wave: rest}}]\nexcused: [{HOLD}, cluster: two}}]\n")
    assert judged(story, propose(story)).status.state == "success"


def test_a_promotion_of_another_name_is_refused(story: Story) -> None:
    (story.people / "overlays/chat/promotion.yml").write_text("holds: []\n")
    found = judged(story, propose(story))
    assert (found.status.state, codes(found)) == ("failure", ["promotion-wrong"])
    story.git("checkout", "-q", "idea", "--", ".")
    story.commit("merged all the same")
    (story.people / "overlays/chat/promotion.yml").write_text("bars: []\n")
    assert judged(story, propose(story)).status.state == "success", (
        "it holds the app, and keeps nobody from mending"
    )


def test_going_back_to_the_fallback_is_always_allowed(story: Story) -> None:
    story.moods["1.1.0"] = "bad"
    before = story.overlay("one").read_text()
    story.run()
    story.pull()
    assert "1.1.0" in story.overlay("one").read_text()
    story.overlay("one").write_text(before)
    assert judged(story, propose(story)).status.state == "success"


def test_a_pointer_to_nothing_and_a_lost_pointer_are_refused(story: Story) -> None:
    story.pull()
    path = story.overlay("one")
    path.write_text(path.read_text().replace(story.pointers()["one"].release, "9.9.9-000000000000"))
    story.overlay("two").unlink()
    found = judged(story, propose(story))
    assert found.status.state == "failure"
    assert {"to-nothing", "pointer-removed"} <= set(codes(found))


def test_a_release_that_is_needed_may_not_be_removed(story: Story) -> None:
    story.pull()
    release = story.pointers()["one"].release
    for file in sorted((story.people / "overlays/chat/releases" / release).rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    found = judged(story, propose(story))
    assert {"to-nothing", "still-needed"} <= set(codes(found))


def test_a_release_can_not_be_new_and_pointed_at_in_one(story: Story) -> None:
    """Its waves and limits would come from the same pull request."""
    from canaryfleet import cli

    story.spec["version"] = "2.0.0"
    story._write("specs/chat/canary.yaml", story.spec)
    assert cli.main(["render", "--root", str(story.people)]) == 0
    story.repoint("one")
    found = judged(story, propose(story))
    assert (found.status.state, codes(found)) == ("failure", ["no-release"])


@pytest.mark.parametrize("where", ["message", "body"])
def test_lines_that_only_the_bot_may_write_are_refused(story: Story, where: str) -> None:
    line = 'canaryfleet-Decision: {"app":"chat"}'
    (story.people / "README.md").write_text("words\n")
    number = propose(story, f"words\n\n{line}") if where == "message" else propose(story, body=line)
    found = judged(story, number)
    assert (found.status.state, codes(found)) == ("failure", ["forged"])


def test_what_conflicts_can_not_be_judged(story: Story) -> None:
    (story.people / "README.md").write_text("mine\n")
    number = propose(story)
    (story.people / "README.md").write_text("theirs\n")
    story.commit("theirs")
    assert codes(judged(story, number)) == ["conflicts"]


def test_it_is_judged_anew_as_time_passes(story: Story) -> None:
    story.repoint("two")
    number = propose(story)
    assert judged(story, number).status.state == "pending"
    story.run()  # the first wave gets 1.1.0, and proves it
    story.sync()
    story.now += timedelta(minutes=30)
    assert judged(story, number).status.state == "success"


def test_a_number_that_is_none_is_said(story: Story) -> None:
    with pytest.raises(Problems, match="no open pull request 77"):
        gate.every(story.bot(), [77])
