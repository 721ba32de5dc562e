"""What people decide by hand, through the command line: hold, resume, bar, unbar, excuse."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from canaryfleet import cli, repo
from canaryfleet.files import Tree
from canaryfleet.models.promotion import Promotion
from story import Story

APP = "chat"
WHY = ("--why", "the audit", "--by", "ann")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """An app with two releases on main; the first is everywhere. It begins now: the commands have a clock of their own."""
    waves = [{"name": "first", "clusters": ["one"]}, {"name": "rest"}]
    made = Story(tmp_path_factory.mktemp("base"), waves, begin=datetime.now(UTC).replace(microsecond=0))
    made.until_rest()
    made.release("1.1.0")
    return made


@pytest.fixture
def story(base: Story, tmp_path: Path) -> Story:
    """A world of the test's own."""
    return base.fork(tmp_path / "world")


@pytest.fixture
def run(story: Story) -> Callable[..., int]:
    """Run a command on the people's clone; its exit code."""

    def run(*words: str) -> int:
        return cli.main([*words, "--root", str(story.people)])

    return run


def promotion(story: Story) -> Promotion:
    found = repo.promotion(Tree(str(story.people)), APP)
    assert found is not None
    return found


def test_a_hold_stands_until_it_is_resumed(story: Story, run: Callable[..., int]) -> None:
    assert run("hold", APP, *WHY) == 0
    assert run("hold", APP, "--wave", "rest", "--until", "2h", *WHY) == 0
    assert run("hold", APP, "--cluster", "two", "--until", "2099-01-01T00:00:00+01:00", *WHY) == 0
    app, wave, cluster = promotion(story).holds
    assert (app.wave, app.cluster, app.until, app.by, app.why) == (None, None, None, "ann", "the audit")
    begun, ends = (datetime.fromisoformat(text) for text in (wave.since, wave.until or ""))
    assert (wave.wave, (ends - begun).total_seconds()) == ("rest", 7200)
    assert abs((datetime.now(UTC) - begun).total_seconds()) < 60
    assert (cluster.cluster, cluster.until) == ("two", "2099-01-01T00:00:00+01:00")
    assert run("resume", APP, "--wave", "rest") == 0
    assert promotion(story).holds == (app, cluster)
    assert run("resume", APP) == 0
    assert promotion(story).holds == (cluster,)


def test_what_a_person_holds_the_bot_holds_and_goes_on_with_when_it_is_resumed(
    story: Story, run: Callable[..., int]
) -> None:
    assert run("hold", APP, *WHY) == 0
    story.commit("hold")
    held = story.turn().outcome.decision
    assert held is not None
    assert (held.kind, [reason.code for reason in held.reasons]) == ("Hold", ["held", "wave-incomplete"])
    assert run("resume", APP) == 0
    story.commit("resume")
    assert [action.verb for action in story.turn().outcome.actions] == ["opened", "merged"]


def test_what_a_person_bars_goes_nowhere_until_it_is_lifted(story: Story, run: Callable[..., int]) -> None:
    assert run("bar", APP, "1.1.0", *WHY) == 0
    (entry,) = promotion(story).bars
    (id,) = (name for name in repo.release_names(Tree(str(story.people)), APP) if name.startswith("1.1.0-"))
    assert entry.workload == repo.release(Tree(str(story.people)), APP, id).workload
    story.commit("bar")
    barred = story.turn().outcome.decision
    assert barred is not None
    assert [reason.code for reason in barred.reasons] == ["barred", "wave-incomplete"]
    assert run("unbar", APP, id) == 0
    assert promotion(story).bars == ()
    story.commit("unbar")
    assert [action.verb for action in story.turn().outcome.actions] == ["opened", "merged"]


def test_a_bar_may_be_for_one_release_alone(story: Story, run: Callable[..., int]) -> None:
    assert run("bar", APP, "1.1.0", "--alone", *WHY) == 0
    (entry,) = promotion(story).bars
    assert entry.workload is None
    assert (entry.release or "").startswith("1.1.0-")
    assert run("unbar", APP, "1.1.0") == 0
    assert promotion(story).bars == ()


def test_a_cluster_is_excused_and_counted_on_again(story: Story, run: Callable[..., int]) -> None:
    assert run("excuse", APP, "two", *WHY) == 0
    assert [entry.cluster for entry in promotion(story).excused] == ["two"]
    assert run("excuse", APP, "two", "--end") == 0
    assert promotion(story).excused == ()


def test_who_excuses_the_last_that_could_prove_anything_is_warned(
    story: Story, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("excuse", APP, "two", *WHY) == 0
    assert "CF188" not in capsys.readouterr().err
    for name, wave in (("one", "first"), ("three", "rest")):
        assert run("excuse", APP, name, *WHY) == 0
        assert f"CF188: without {name} nobody of wave {wave} is left" in capsys.readouterr().err


def test_a_pilot_that_is_excused_lets_nothing_begin_unasked(story: Story, run: Callable[..., int]) -> None:
    assert run("excuse", APP, "one", *WHY) == 0
    story.commit("excuse")
    for _ in range(2):
        decision = story.turn().outcome.decision
        assert decision is not None
        assert not decision.ready
        assert set(story.versions().values()) == {"1.0.0"}
    story.approve()
    story.turn()
    assert sorted(story.versions().values()) == ["1.0.0", "1.0.0", "1.1.0"]
    story.turn()
    assert story.versions() == {"one": "1.0.0", "two": "1.1.0", "three": "1.1.0"}


def test_what_people_have_written_stays(story: Story, run: Callable[..., int]) -> None:
    path = story.people / "overlays" / APP / "promotion.yaml"
    path.write_text(
        "# ours\napiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {name: chat}  # it\n"
        'holds:\n# for the audit\n- by: ann\n  since: "2026-11-16T10:00:00Z"\n  why: x # y\n'
    )
    before = path.read_bytes()
    assert run("hold", APP, "--wave", "rest", *WHY) == 0
    assert path.read_bytes().startswith(before)
    assert run("resume", APP, "--wave", "rest") == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("hold", "chta", *WHY), 1, "CF015: there is no app chta (did you mean chat?)"),
        (("hold", APP, "--wave", "rets", *WHY), 1, "CF187: there is no wave rets (did you mean rest?)"),
        (("hold", APP, "--cluster", "twoo", *WHY), 1, "CF187: there is no cluster twoo (did you mean two?)"),
        (("bar", APP, "9.9.9", *WHY), 1, "CF187: there is no release 9.9.9"),
        (("excuse", APP, "tow", *WHY), 1, "CF187: there is no cluster tow (did you mean two?)"),
        (("resume", APP), 1, "CF187: nothing holds the app (held: nothing)"),
        (("resume", APP, "--wave", "rest"), 1, "CF187: nothing holds wave rest"),
        (("unbar", APP, "1.1.0"), 1, "CF187: nothing bars 1.1.0-"),
        (("excuse", APP, "two", "--end"), 1, "CF187: two is not excused (excused: none)"),
        (("hold", APP, "--by", "ann"), 2, "hold needs --why"),
        (("hold", APP, "--why", "  ", "--by", "ann"), 2, "hold needs --why"),
        (
            ("hold", APP, *WHY, "--until", "soon"),
            2,
            "--until: 'soon' is no time: write how long (2h, 3d), or when",
        ),
        (("hold", APP, *WHY, "--until", "2099-01-01"), 2, "'2099-01-01' is no time"),
        (("hold", APP, *WHY, "--until", "2099-13-01T00:00:00Z"), 2, "is no time"),
        (("hold", APP, *WHY, "--until", "2h5"), 2, "--until: "),
        (("hold", APP, *WHY, "--until", "0s"), 2, "is over"),
        (("hold", APP, *WHY, "--until", "2099-01-01 00:00:00Z"), 2, "--until: "),
        (("hold", APP, *WHY, "--until", "2099-01-01T00:00:00"), 2, "with the time zone"),
        (("hold", APP, *WHY, "--until", "2001-01-01T00:00:00Z"), 2, "2001-01-01T00:00:00Z is over"),
    ],
)
def test_what_is_about_nothing_is_refused_and_changes_nothing(
    story: Story,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert run(*words) == code
    assert said in capsys.readouterr().err
    assert not (story.people / "overlays" / APP / "promotion.yaml").exists()


@pytest.mark.parametrize(
    "words",
    [("hold", APP, "--wave", "rest", *WHY), ("bar", APP, "1.1.0", *WHY), ("excuse", APP, "two", *WHY)],
)
def test_nothing_is_said_twice(
    story: Story, run: Callable[..., int], capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run(*words) == 0
    once = promotion(story)
    assert run(*words) == 1
    assert "by ann: the audit (edit the entry that is there)" in capsys.readouterr().err
    assert promotion(story) == once


def test_who_it_is_is_known_to_git(
    story: Story, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "config", "user.name", "Bea"], cwd=story.people, check=True)
    assert run("hold", APP, "--why", "the audit", "--output", "json") == 0
    assert json.loads(capsys.readouterr().out) == {"changed": "overlays/chat/promotion.yaml"}
    assert [entry.by for entry in promotion(story).holds] == ["Bea"]
