"""The bot on real git and a local forge, with simulated clusters: what comes of a release in the end."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from canaryfleet import cli, history, landing, record
from canaryfleet.decide import decide
from canaryfleet.engines.argo_rollouts.simulate import Behaviour
from canaryfleet.errors import Place, problem
from canaryfleet.forges import NotMerged
from canaryfleet.landing import AUTHOR
from canaryfleet.models.forge import PullRequest
from shaken import Killed, killed, shaken
from story import CLUSTERS, Story


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """1.0.0 is everywhere."""
    found = Story(tmp_path_factory.mktemp("seed"))
    found.until_rest()
    assert set(found.versions().values()) == {"1.0.0"}
    return found


@pytest.fixture
def story(seed: Story, tmp_path: Path) -> Story:
    """A world of one's own in which 1.0.0 is everywhere."""
    return seed.fork(tmp_path / "story")


GOOD = [
    "chat: 1.1.0 to wave first (one)",
    "chat: 1.1.0 to wave rest (three)",
    "chat: 1.1.0 to wave rest (two)",
]


def moves(story: Story, version: str = "1.1.0") -> list[str]:
    """What the bot has merged about a version."""
    return [subject for subject in story.log() if f"{version} to" in subject or f"from {version}" in subject]


def test_a_fallback_that_a_person_merged_past_the_gate_is_never_gone_to(story: Story) -> None:
    before, named = story.candidate(), story.release("2.0.0")
    story.moods["1.1.0"] = "bad"
    bad = story.release("1.1.0", onNewRelease="replace")
    path = story.overlay("one")
    note = f'metadata:\n  name: chat\n  annotations:\n    canaryfleet.dev/fallback: "{named}"\n'
    path.write_text(
        path.read_text()
        .replace(f"releases/{before}", f"releases/{bad}")
        .replace("metadata:\n  name: chat\n", note, 1)
    )
    story.commit("the pilot by hand")
    story.until_rest()
    assert story.versions() == dict.fromkeys(CLUSTERS, "1.0.0")
    assert not [subject for subject in story.log() if "2.0.0 to" in subject]


def test_a_fallback_that_was_rewritten_is_gone_to_only_when_it_is_restored(story: Story) -> None:
    """Going back to it would be going on to what nobody proved. What failed is barred at once all the same."""
    before = story.candidate()
    story.moods["1.1.0"] = "bad"
    story.release("1.1.0")
    story.turn()
    assert story.versions()["one"] == "1.1.0"
    story.pull()
    path = story.people / f"overlays/chat/releases/{before}/rollout.yaml"
    good = path.read_text()
    path.write_text(good.replace("revisionHistoryLimit:", "minReadySeconds: 9\n  revisionHistoryLimit:"))
    assert path.read_text() != good
    story.commit("past the gate")
    kinds = []
    for _ in range(4):
        decision = story.turn().outcome.decision
        assert story.versions()["one"] == "1.1.0"
        kinds.append(decision.kind)
    assert kinds[kinds.index("Rollback") :][1:] == ["Hold"] * (3 - kinds.index("Rollback")), "barred, once"
    story.pull()
    assert "workload" in (story.people / "overlays/chat/promotion.yaml").read_text()
    stays = [item for item in decision.reasons if item.code == "failed" and "stays" in item.message]
    assert [(item.alarm, item.clusters, before in item.message) for item in stays] == [(True, ("one",), True)]
    (why,) = (item.message for item in decision.reasons if item.code == "promotion-unreadable")
    assert f"-- overlays/chat/releases/{before}/rollout.yaml" in why, "what to do about it"
    path.write_text(good)
    story.commit("restored")
    story.until_rest()
    assert story.versions() == dict.fromkeys(CLUSTERS, "1.0.0")


ONE_WAVE: list[dict[str, Any]] = [{"name": "all", "minSuccessTime": "10m"}]


@pytest.fixture(scope="module")
def one_wave(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """1.0.0 is everywhere by one batch."""
    found = Story(tmp_path_factory.mktemp("one-wave"), waves=ONE_WAVE)
    found.until_rest()
    return found


def by_hand(story: Story) -> None:
    """Ann points all clusters at the candidate as `canaryfleet point` does, and merges it."""
    story.pull()
    words = ["point", "--root", str(story.people), "--wave", "all", "--verified", "all", "chat"]
    assert cli.main(words) == 0
    story.commit("all of it by hand")


def test_a_default_branch_that_was_merged_the_wrong_way_round_holds_everything(tmp_path: Path) -> None:
    """By fast-forward of a branch that was brought up to date: what the bot knew lies beside the first parents."""
    waves = [{**ONE_WAVE[0], "maxFailures": 1, "maxConcurrency": 2}]
    story = Story(tmp_path, waves=waves)
    story.until_rest()
    story.box._behave = lambda release, cluster: Behaviour(
        mood="bad" if release.version == "2.0.0" and cluster == "one" else "good"
    )
    story.release("2.0.0")
    base = story.git("rev-parse", "HEAD").strip()
    story.turn()
    assert story.turn().outcome.decision.kind == "Rollback"
    story.git("fetch", "-q")
    story.git("checkout", "-q", "-B", "idea", base)
    (story.people / "README.md").write_text("words")
    story.git("add", "-A")
    story.git("commit", "-q", "-m", "words")
    story.git("merge", "-q", "--no-edit", "origin/main")
    story.git("push", "-q", "origin", "idea:main")
    story.git("checkout", "-q", "main")
    merge = story.main()
    for _ in range(3):
        decision = story.turn().outcome.decision
        assert (decision.kind, decision.reasons[0].code) == ("Hold", "promotion-unreadable")
        assert f"merge {merge[:12]}^1 into {merge[:12]}^2" in decision.reasons[0].message
        assert story.versions()["one"] == "1.0.0"
    # what it says to do
    story.git("checkout", "-q", "-B", "mended", f"{merge}^2")
    story.git("merge", "-q", "--no-edit", f"{merge}^1")
    story.git("push", "-q", "--force", "origin", "mended:main")
    story.git("checkout", "-q", "main")
    story.git("reset", "-q", "--hard", "origin/main")
    said = [reason.code for reason in story.turn().outcome.decision.reasons]
    assert "promotion-unreadable" not in said
    assert story.versions()["one"] == "1.0.0"


def test_what_the_last_batch_proved_is_recorded_once_and_is_a_way_back(
    one_wave: Story, tmp_path: Path
) -> None:
    story = one_wave.fork(tmp_path / "story")
    ends = [message for _, _, message in story.commits() if message.startswith("chat: 1.0.0 is done")]
    (found,) = ([item.cluster for item in history.records(message)] for message in ends)
    assert sorted(found) == sorted(CLUSTERS)
    assert story.turn().outcome.decision.key == ""
    story.moods["2.0.0"] = "bad"
    story.release("2.0.0")
    by_hand(story)
    story.until_rest()
    assert set(story.versions().values()) == {"1.0.0"}
    assert len([subject for subject in story.log() if subject == "chat: 1.0.0 is done"]) == 1


class Stuck:
    """A forge that merges nothing that is done, and says why."""

    def __init__(self, story: Story) -> None:
        self.forge = story.forge
        self.refused: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.forge, name)

    def merge(self, number: int, head: str, subject: str, message: str) -> str:
        """As the forge does, but for the last record."""
        if subject.endswith("is done"):
            self.refused.append(number)
            raise NotMerged("a required review is missing")
        return str(self.forge.merge(number, head, subject, message))


@pytest.fixture
def stuck(tmp_path: Path) -> tuple[Story, Stuck]:
    """1.0.0 is everywhere by one batch, and a rule of the forge keeps its record from being merged."""
    story = Story(tmp_path, waves=ONE_WAVE)
    wall = Stuck(story)
    story.forge = wall
    story.until_rest()
    assert len(set(wall.refused)) == 1
    return story, wall


def test_a_record_that_is_not_merged_keeps_nothing_waiting(stuck: tuple[Story, Stuck]) -> None:
    story, wall = stuck
    assert not [subject for subject in story.log() if "is done" in subject]
    story.release("2.0.0")
    story.turn()
    assert set(story.versions().values()) == {"2.0.0"}
    first = next(item for item in story.forge.requests("") if item.number == wall.refused[0])
    assert (first.state, first.closedBy) == ("closed", story.forge.me)
    (message,) = (said for _, _, said in story.commits() if said.startswith("chat: 2.0.0 to"))
    assert {item.release for item in history.records(message)} == {story.pointers()["one"].fallback}


def test_clusters_without_a_proven_way_back_stay_and_a_person_is_told_what_to_do(
    stuck: tuple[Story, Stuck],
) -> None:
    """Ann said no to the record of the last batch, and is not asked again: by Git alone nobody knows what was good."""
    story, wall = stuck
    story.forge.shut(wall.refused[0], "ann", "no")
    for _ in range(2):
        decision = story.turn().outcome.decision
        assert (decision.kind, decision.key) == ("Done", "")
    assert len(story.forge.requests("canaryfleet/")) == 2
    story.moods["2.0.0"] = "bad"
    story.release("2.0.0")
    by_hand(story)
    decision = story.until_rest()[-1].outcome.decision
    assert set(story.versions().values()) == {"2.0.0"}
    (one, *_) = (reason for reason in decision.reasons if reason.code == "failed")
    assert one.alarm
    assert "point it by hand at what is good there" in one.remedy


def test_a_record_that_is_merged_late_proves_nothing_of_the_next_attempt(
    story: Story,
) -> None:
    """Ann took a cluster off it and gave it back, and then merges what the bot had asked before."""
    story.forge = wall = Stuck(story)
    before, new = story.candidate(), story.release("2.0.0")
    story.until_rest()
    (number,) = set(wall.refused)
    left = next(item for item in story.forge.requests("canaryfleet/") if item.number == number)
    story.git("fetch", "-q", "origin", left.branch)
    story.pull()
    there = story.overlay("two").read_bytes()
    (made,) = story.git("log", "--format=%H", "--grep=^release 2.0.0").split()
    story.git("checkout", "-q", made, "--", str(story.overlay("two")))
    story.commit("two back by hand")
    assert story.pointers()["two"].release == before
    story.turn()
    story.overlay("two").write_bytes(there)
    story.commit("two on again by hand")
    story.pull()
    story.git("merge", "-q", "--no-ff", "--no-edit", left.head)
    story.git("push", "-q", "origin", "HEAD:main")
    decision = story.turn(minutes=1).outcome.decision
    assert (story.pointers()["two"].release, decision.kind) == (new, "Hold")
    assert "under-way" in {reason.code for reason in decision.reasons}


def test_what_a_person_squashed_without_its_record_is_recorded_all_the_same(
    stuck: tuple[Story, Stuck],
) -> None:
    story, wall = stuck
    left = next(item for item in story.forge.requests("canaryfleet/") if item.number == wall.refused[0])
    story.pull()
    story.git("fetch", "-q", "origin", left.branch)
    story.git("merge", "-q", "--squash", left.head)
    story.commit("done")
    story.forge = wall.forge
    assert story.turn().remarks == ()
    _, _, message = [*story.commits()][-1]
    assert {item.cluster for item in history.records(message)} == set(CLUSTERS)
    assert story.turn().outcome.decision.key == ""


def test_a_release_that_all_went_back_to_keeps_nothing_waiting(one_wave: Story, tmp_path: Path) -> None:
    story = one_wave.fork(tmp_path / "story")
    story.release("2.0.0")
    by_hand(story)
    story.turn(minutes=4)
    story.pull()
    story.git("revert", "--no-edit", "HEAD")
    story.git("push", "-q", "origin", "HEAD:main")
    story.sync()
    story.release("3.0.0")
    story.until_rest()
    assert set(story.versions().values()) == {"3.0.0"}


def test_a_default_branch_that_was_forced_back_says_what_a_person_has_to_do(story: Story) -> None:
    story.release("1.1.0")
    before = story.main()
    story.turn()
    story.git("push", "-q", "--force", "origin", f"{before}:main")
    story.git("fetch", "-q", "origin")
    story.git("reset", "-q", "--hard", "origin/main")
    for _ in range(2):
        decision = story.turn().outcome.decision
        (why,) = (reason for reason in decision.reasons if reason.code == "merged-already")
        assert "push that merge again, or release another version" in why.remedy
    story.release("1.2.0", onNewRelease="replace")
    story.until_rest()
    assert story.versions() == dict.fromkeys(CLUSTERS, "1.2.0")


def test_a_pilot_that_a_person_pointed_at_a_queued_release_goes_on(story: Story) -> None:
    story.release("1.1.0")
    story.repoint("one")
    story.commit("the pilot by hand")
    story.until_rest()
    assert story.versions() == dict.fromkeys(CLUSTERS, "1.1.0")


HOLD = 'by: ann, since: "2026-11-16T00:00:00Z", why: x'


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("promotion.yaml", "holds: [{wave: rets, %s}]", "promotion.yaml:4:16: there is no wave rets (did you mean rest?)"),
        ("promotion.yaml", "holds: [{cluster: onne, %s}]", "promotion.yaml:4:19: there is no cluster onne (did you mean one?)"),
        ("promotion.yaml", "bars: [{release: 1.1.0, %s}]", "promotion.yaml:4:18: 1.1.0 is no id of a release"),
        ("promotion.yml", "holds: [{%s}]", "nobody reads a file named promotion.yml"),
    ],
)  # fmt: skip
def test_a_hold_or_bar_about_nothing_holds_the_app_and_says_so(
    story: Story, name: str, entry: str, said: str
) -> None:
    story.release("1.1.0")
    path = story.people / "overlays/chat" / name
    path.write_text(
        "apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {name: chat}\n"
        + entry % HOLD
        + "\n"
    )
    story.commit("by hand")
    for _ in range(2):
        decision = story.turn().outcome.decision
        (why,) = (reason for reason in decision.reasons if reason.code == "promotion-unreadable")
        assert (decision.kind, said in why.message, why.alarm) == ("Hold", True, True)
    path.unlink()
    story.commit("taken back")
    story.until_rest()
    assert moves(story) == GOOD


def test_a_bot_whose_clock_is_behind_moves_nothing_forward(story: Story) -> None:
    story.release("1.1.0")
    right = story.now
    story.now -= timedelta(hours=3)
    for _ in range(3):
        decision = story.turn(minutes=1).outcome.decision
        assert [reason.code for reason in decision.reasons if reason.alarm] == ["clock-behind"]
    assert set(story.versions().values()) == {"1.0.0"}
    story.now = right
    story.until_rest()
    assert moves(story) == GOOD


# The story as it should be


def test_a_good_release_goes_through_all_waves_by_merged_pull_requests(story: Story) -> None:
    before = story.pointers()["one"].release
    story.release("1.1.0")
    reports = story.until_rest()
    assert story.versions() == dict.fromkeys(CLUSTERS, "1.1.0")
    assert {item.fallback for item in story.pointers().values()} == {before}
    assert reports[-1].outcome.decision.kind == "Done"
    assert moves(story) == GOOD
    assert all(item.state == "merged" for item in story.forge.requests("canaryfleet/"))


def test_a_bad_release_is_stopped_in_its_first_wave_reverted_and_barred(story: Story) -> None:
    story.moods["1.1.0"] = "bad"
    story.release("1.1.0")
    story.until_rest()
    assert set(story.versions().values()) == {"1.0.0"}
    assert moves(story) == ["chat: 1.1.0 to wave first (one)", "chat: back from 1.1.0 on one"]
    assert "bars:" in (story.people / "overlays/chat/promotion.yaml").read_text()
    story.moods.clear()
    report = story.turn()  # the bar outlives the failure
    assert report.outcome.decision.kind == "Hold"
    assert report.outcome.decision.reasons[0].code == "barred"


def test_a_dry_run_says_what_it_would_do_and_does_nothing(story: Story) -> None:
    story.release("1.1.0")
    story.sync()
    before = story.main(), story.git("for-each-ref", at=story.bare)
    report = story.run(dry=True)
    assert report.outcome.decision.kind == "Start"
    assert report.remarks[0].startswith("would push canaryfleet/chat/")
    assert (story.main(), story.git("for-each-ref", at=story.bare)) == before
    assert [item for item in story.forge.requests("canaryfleet/") if item.state == "open"] == []


def test_the_merged_commit_says_why_and_what_proved_it(story: Story) -> None:
    story.release("1.1.0")
    story.until_rest()
    _, author, message = next(item for item in story.commits() if GOOD[1] in item[2])
    assert author == AUTHOR
    assert "one: Verified on 1.1.0" in message
    assert "Canaryfleet-Verdict: Verified app=chat cluster=one" in message
    assert "Canaryfleet-Decision: " in message


# What happens in between


CHANGES = range(5)  # of a run that proposes and merges: push, open, record, merge, delete the branch


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", CHANGES)
def test_a_run_that_is_killed_at_any_change_is_taken_up_by_the_next(
    story: Story, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    story.release("1.1.0")
    story.sync()
    with monkeypatch.context() as patched:
        forge = shaken(story, patched, at, after=after, happens=killed)
        with pytest.raises(Killed):
            story.run(forge)
    story.until_rest()
    assert moves(story) == GOOD
    assert len(story.forge.requests("canaryfleet/")) == len(
        {r.branch for r in story.forge.requests("canaryfleet/")}
    )


@pytest.mark.parametrize("at", [0, 1, 3])  # the record is kept beside: trouble with it stops nothing
def test_an_answer_that_is_lost_is_found_out_by_the_next_run(
    story: Story, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    def lost() -> None:
        raise problem(Place("."), "CF180", "the answer was lost")

    story.release("1.1.0")
    story.sync()
    with monkeypatch.context() as patched:
        report = story.run(shaken(story, patched, at, after=True, happens=lost))
    assert report.outcome.kind == "CF180"
    story.until_rest()
    assert moves(story) == GOOD


class Forgetful:
    """The story's forge, which dies with its caller in a merge: main has the commit, and it never notes that."""

    def __init__(self, forge: Any, at: int) -> None:
        self.forge, self.left = forge, at
        self.forgotten: int | None = None
        self.closed: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.forge, name)

    def merge(self, number: int, *words: Any) -> None:
        """Of the n-th one nothing is known but to Git."""
        self.forge.merge(number, *words)
        self.left -= 1
        if self.left == -1:
            self.forgotten = number
            raise Killed

    def requests(self, prefix: str) -> list[PullRequest]:
        """The one that was forgotten is open until it is closed."""
        known = self.forge.requests(prefix)
        return [replace(item, state="open") if item.number == self.forgotten else item for item in known]

    def close(self, number: int, reason: str) -> None:
        """As it should be."""
        self.closed.append(number)
        self.forgotten = None if number == self.forgotten else self.forgotten


@pytest.mark.parametrize("at", range(4), ids=["first wave", "last wave", "its second", "record"])
def test_what_a_forge_merged_without_noting_it_is_closed_by_the_next_run(story: Story, at: int) -> None:
    story.release("1.1.0")
    story.forge = forge = Forgetful(story.forge, at)
    with pytest.raises(Killed):
        story.until_rest()
    number = forge.forgotten
    story.until_rest()
    assert forge.closed == [number]
    assert moves(story) == GOOD
    branches = story.git("for-each-ref", "--format=%(refname)", "refs/heads/", at=story.bare)
    assert branches.split() == ["refs/heads/main"]


@pytest.mark.parametrize("at", CHANGES)
def test_a_second_bot_at_the_same_time_doubles_nothing(
    story: Story, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: int
) -> None:
    second = tmp_path / "second"
    story.git("clone", "-q", str(story.bare), str(second), at=tmp_path)
    story.release("1.1.0")
    story.sync()

    def other() -> None:
        mine, story.clone = story.clone, second
        patched.undo()
        story.run()
        story.clone = mine

    with monkeypatch.context() as patched:
        story.run(shaken(story, patched, at, after=False, happens=other))
    story.until_rest()
    assert moves(story) == GOOD


# People


def opened(story: Story) -> int:
    """The number of the bot's open pull request for the first wave, which was not merged yet."""
    story.release("1.1.0")
    story.sync()
    calls: list[int] = []

    class Busy:
        def __getattr__(self, name: str) -> Any:
            found = getattr(story.forge, name)
            return found if name != "merge" else self._merge

        def _merge(self, number: int, *_: str) -> str:
            from canaryfleet.forges import NotMerged

            calls.append(number)
            raise NotMerged("a required check is missing")

    report = story.run(Busy())  # type: ignore[arg-type]
    assert report.remarks == ("a required check is missing",)
    assert set(story.versions().values()) == {"1.0.0"}
    return calls[0]


def test_a_closed_pull_request_is_a_no_to_exactly_that(story: Story) -> None:
    number = opened(story)
    story.forge.shut(number, "ann", "not today")
    for _ in range(3):
        report = story.turn()
        assert report.outcome.decision.reasons[0].code == "declined"
    assert set(story.versions().values()) == {"1.0.0"}
    story.release("1.2.0")
    story.until_rest()
    assert set(story.versions().values()) == {"1.2.0"}


def test_a_branch_that_a_person_has_committed_on_is_theirs(story: Story) -> None:
    number = opened(story)
    (branch,) = (item.branch for item in story.forge.requests("canaryfleet/") if item.number == number)
    story.git("fetch", "-q", "origin", branch)
    story.git("checkout", "-q", "--detach", "FETCH_HEAD")
    (story.people / "NOTE").write_text("mine\n")
    story.git("add", "-A")
    story.git("commit", "-q", "-m", "my own idea")
    story.git("push", "-q", "origin", f"HEAD:{branch}")
    head = story.git("rev-parse", "HEAD").strip()
    story.git("checkout", "-q", "main")
    for _ in range(3):
        report = story.turn()
        assert "touched" in [item.code for item in report.outcome.decision.reasons]
    assert set(story.versions().values()) == {"1.0.0"}
    assert story.git("rev-parse", branch, at=story.bare).strip() == head


def test_what_was_merged_besides_does_not_disturb(story: Story) -> None:
    opened(story)
    (story.people / "README.md").write_text("words\n")
    story.commit("words")
    story.until_rest()
    assert moves(story) == GOOD


def test_a_pause_in_between_stops_the_merge(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is true when it merges counts, not what was true when it proposed."""
    story.release("1.1.0")
    story.sync()

    def paused() -> None:
        text = (story.people / "fleet.yaml").read_text()
        (story.people / "fleet.yaml").write_text(f"{text}paused: true\n")
        story.commit("stop everything")

    with monkeypatch.context() as patched:
        report = story.run(shaken(story, patched, 1, after=True, happens=paused))
    assert set(story.versions().values()) == {"1.0.0"}
    assert "changed in between" in " ".join(report.remarks)
    assert story.turn().outcome.decision.reasons[0].code == "paused"


# Why


def test_a_merged_pull_request_carries_the_record_that_its_commit_names(story: Story) -> None:
    """Decided anew just before: what was decided then is what is explained for ever."""
    story.release("1.1.0")
    story.until_rest()
    for item in story.forge.requests("canaryfleet/"):
        _, _, message = next(one for one in story.commits() if one[0] == item.landed)
        named, found = landing.read(message), record.find(item.body)
        assert found is not None
        assert found.data is not None
        assert named.record == found.hash
        explained = record.decode(found.data, found.hash)
        assert decide(explained.situation) == explained.decision
        assert explained.decision.key == named.key


def test_whom_the_spec_wants_to_hear_is_what_main_says_now(story: Story) -> None:
    assert story.run().named == ()
    story.release("1.1.0", rollback={"notify": ["on-call"]})
    spec = story.clone / "specs/chat/canary.yaml"
    assert not spec.exists() or "on-call" not in spec.read_text(), (
        "the bot's own files are as old as its clone"
    )
    assert story.run().named == ("on-call",)
