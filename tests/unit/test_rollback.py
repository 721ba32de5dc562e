"""`canaryfleet rollback`: what the bot would do, by a person's hand."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from canaryfleet import cli, repo
from canaryfleet.files import Tree
from canaryfleet.schema import FILES, schema_of
from story import Story

APP = "chat"
WHY = ("--why", "users complain", "--by", "ann")
WAVES = [{"name": "first", "clusters": ["one", "two"]}, {"name": "rest"}]
Run = Callable[..., int]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """1.0.0 is everywhere, and 1.1.0 on its way: the first wave has it."""
    made = Story(tmp_path_factory.mktemp("base"), WAVES, begin=datetime.now(UTC).replace(microsecond=0))
    made.until_rest()
    made.release("1.1.0")
    while made.versions()["two"] != "1.1.0":
        made.turn(minutes=1)
    return made


@pytest.fixture
def story(base: Story, tmp_path: Path) -> Story:
    """A world of the test's own, whose people have main."""
    made = base.fork(tmp_path / "world")
    made.pull()
    return made


@pytest.fixture
def run(story: Story) -> Run:
    """Run the command on the people's clone; its exit code."""
    return lambda *words: cli.main(["rollback", APP, "--root", str(story.people), *words])


def workloads(story: Story) -> set[str | None]:
    """What is barred in the people's clone."""
    found = repo.promotion(Tree(story.people), APP)
    return {bar.workload for bar in found.bars} if found else set()


def test_it_is_what_the_bot_would_do(story: Story, run: Run, tmp_path: Path) -> None:
    other = story.fork(tmp_path / "bots")
    other.moods["1.1.0"] = "bad"
    while other.versions()["two"] != "1.0.0":
        other.turn(minutes=5)
    file = story.people / f"overlays/{APP}/promotion.yaml"
    file.write_text(
        f"# ours\napiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {{name: {APP}}}  # so\n"
    )
    assert run(*WHY) == 0
    assert cli.main(["render", "--check", "--root", str(story.people)]) == 0
    text = file.read_text()
    assert text.startswith("# ours\n")
    assert "# so" in text
    assert "users complain" in text
    story.commit("back")
    assert story.pointers() == other.pointers()
    assert workloads(story) == workloads(other) != set()
    # and the bot leaves it at that
    for _ in range(3):
        report = story.turn()
        assert report.outcome.decision is not None
        assert report.outcome.decision.kind == "Hold"
    assert set(story.versions().values()) == {"1.0.0"}


def test_what_has_nothing_to_go_back_to_stays_and_is_said(
    story: Story, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = story.pointers()
    (first,) = {pointer.release for name, pointer in before.items() if name == "three"}
    assert run(*WHY, "--release", first, "--output", "json") == 0
    said = capsys.readouterr()
    Draft202012Validator(schema_of(FILES["rolled-back"])).validate(json.loads(said.out))
    assert json.loads(said.out)["stays"] == ["three"]
    assert json.loads(said.out)["changed"] == [f"overlays/{APP}/promotion.yaml"]
    assert f"overlays/{APP}/clusters/three/kustomization.yaml: warning CF174" in said.err
    assert story.git("status", "--porcelain").split() == ["??", f"overlays/{APP}/promotion.yaml"]


def test_clusters_that_stay_for_the_same_reason_are_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Story(tmp_path, [{"name": "all", "maxConcurrency": "100%"}], begin=datetime.now(UTC))
    words = ["--root", str(made.people), APP]
    assert cli.main(["point", *words, "--wave", "all", "--verified", "all"]) == 0
    made.commit("all of them")
    capsys.readouterr()
    assert cli.main(["rollback", *words, *WHY, "--output", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["stays"] == ["one", "three", "two"]
    (line,) = [line for line in said.err.splitlines() if "CF174" in line]
    assert "one has nothing to go back to, or what is barred: it stays; so do three, two (" in line


def test_where_nobody_has_it_nothing_is_written(
    story: Story, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    story.release("1.2.0")
    assert run(*WHY) == 1
    said = capsys.readouterr().err
    assert "CF187: no cluster has 1.2.0" in said
    (bad,) = {pointer.release for pointer in story.pointers().values() if pointer.release.startswith("1.1.0")}
    assert "clusters have 1.0.0-" in said
    assert f"{bad}: --release takes one of them back" in said, "the spec has moved on from what is bad"
    assert run(*WHY, "--release", "9.9.9") == 1
    assert story.git("status", "--porcelain") == ""


@pytest.mark.parametrize("how", ["changed", "gone", "a link"])
def test_a_fallback_that_is_not_what_was_frozen_is_said(
    story: Story, run: Run, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """It goes back all the same: whoever is in a hurry decides that."""
    (old,) = {pointer.fallback for pointer in story.pointers().values() if pointer.fallback}
    path = f"overlays/{APP}/releases/{old}/rollout.yaml"
    if how == "changed":
        (story.people / path).write_text((story.people / path).read_text() + "# a small correction\n")
    else:
        (story.people / path).unlink()
    if how == "a link":
        (story.people / path).symlink_to("/etc/passwd")
    assert run(*WHY) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "CF169" in line]
    assert line.startswith(f"{path}: warning CF169: clusters go back to this release")
    story.git("checkout", "-q", "--", ".")
    assert run(*WHY) == 0
    assert "CF169" not in capsys.readouterr().err


def test_without_history_it_works_and_says_so(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story.git("clone", "-q", "--depth", "1", f"file://{story.bare}", str(tmp_path / "shallow"))
    assert cli.main(["rollback", APP, "--root", str(tmp_path / "shallow"), *WHY]) == 0
    assert "CF023" in capsys.readouterr().err
    found = repo.load_app(Tree(tmp_path / "shallow"), APP)
    assert len({pointer.release for pointer in found.pointers.values()}) == 1


def test_a_fallback_that_only_a_person_named_is_no_way_back(
    story: Story, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    present = story.pointers()["one"]
    third = story.release("1.2.0")
    path = story.overlay("one")
    path.write_text(path.read_text().replace(str(present.fallback), third))
    story.commit("another way back")
    assert run(*WHY, "--release", present.release) == 0
    assert "one: " not in capsys.readouterr().out
    found = repo.load_app(Tree(story.people), APP).pointers
    assert found["one"].release != third
    assert found["two"].release == present.fallback


def test_it_needs_a_reason(story: Story, run: Run) -> None:
    assert run("--by", "ann") == 2
    assert run("--by", "ann", "--why", " ") == 2
    assert story.git("status", "--porcelain") == ""
