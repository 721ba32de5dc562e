"""`canaryfleet prune`: what nothing needs goes, and nothing else, as the gate sees it too."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from canaryfleet import cli, gate, repo
from canaryfleet.files import Tree
from canaryfleet.schema import FILES, schema_of
from canaryfleet.sight import look
from story import Story

APP = "chat"
WAVES = [{"name": "all"}]
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Three releases, one after the other, of which the first two were left long ago."""
    begin = (datetime.now(UTC) - timedelta(days=100)).replace(microsecond=0)
    made = Story(tmp_path_factory.mktemp("base"), WAVES, begin=begin)
    (made.people / f"specs/{APP}/system.md").write_text("one")
    made.release("1.1.0", workload=made.spec["workload"] | {"prompts": ["system.md"]})
    made.until_rest()
    (made.people / f"specs/{APP}/system.md").write_text("two")
    made.release("1.2.0")
    made.until_rest()
    made.now += timedelta(days=10)
    (made.people / f"specs/{APP}/system.md").write_text("three")
    made.release("1.3.0")
    made.until_rest()
    made.now = (datetime.now(UTC) - timedelta(days=9)).replace(microsecond=0)
    return made


@pytest.fixture
def story(base: Story, tmp_path: Path) -> Story:
    """A world of the test's own, whose people have main."""
    made = base.fork(tmp_path / "world")
    made.pull()
    return made


@pytest.fixture
def run(story: Story, capsys: pytest.CaptureFixture[str]) -> Run:
    """What `prune` says of the people's clone, as JSON."""

    def run(*words: str) -> Any:
        capsys.readouterr()
        assert cli.main(["prune", "--root", str(story.people), "--output", "json", *words]) == 0
        found = json.loads(capsys.readouterr().out)
        Draft202012Validator(schema_of(FILES["pruned"])).validate(found)
        return found

    return run


def versions(found: Any) -> list[str]:
    return [id.rpartition("-")[0] for id in found["releases"][APP]]


def there(story: Story) -> list[str]:
    return sorted(
        path.name.rpartition("-")[0] for path in (story.people / f"overlays/{APP}/releases").iterdir()
    )


def test_what_nothing_needs_goes_and_the_tree_is_whole(story: Story, run: Run) -> None:
    assert versions(run("--dry-run")) == ["1.0.0", "1.1.0"]
    assert there(story) == ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]
    found = run()
    assert there(story) == ["1.2.0", "1.3.0"]
    assert len(found["config"][APP]) == 1
    assert len(list((story.people / f"overlays/{APP}/config").iterdir())) == 2
    assert cli.main(["render", "--check", "--root", str(story.people)]) == 0
    assert run()["files"] == []
    # the gate lets it pass, and the bot goes on
    story.git("checkout", "-q", "-b", "pruned")
    story.git("add", "-A")
    story.git("commit", "-q", "-m", "prune")
    head = story.git("rev-parse", "HEAD").strip()
    story.git("push", "-q", "origin", "pruned")
    story.git("fetch", "-q", "origin", "pruned", at=story.clone)
    with look(story.bot()) as sight:
        assert gate.judge(str(story.clone), sight, head) == {}
    story.git("push", "-q", "origin", "pruned:main")
    decision = story.turn().outcome.decision
    assert decision is not None
    assert decision.kind == "Done"


def test_what_a_branch_names_stays(story: Story, run: Run) -> None:
    """A pull request that nobody has merged yet, of a person or the bot."""
    old = next(
        path.name
        for path in (story.people / f"overlays/{APP}/releases").iterdir()
        if path.name.startswith("1.0.0")
    )
    path = story.overlay("one")
    path.write_text(path.read_text().replace(story.candidate(), old))
    story.git("checkout", "-q", "-b", "back")
    story.git("commit", "-qam", "back")
    story.git("checkout", "-q", "main")
    assert versions(run("--dry-run")) == ["1.1.0"]


def test_what_a_cluster_had_within_thirty_days_stays(story: Story, run: Run) -> None:
    story.release("1.4.0")
    story.until_rest()
    story.pull()
    story.release("1.5.0")
    story.until_rest()
    story.pull()
    # nobody has 1.3.0 any more, or falls back to it; it was had until just now
    assert versions(run("--dry-run")) == ["1.0.0", "1.1.0", "1.2.0"]


def test_what_is_young_stays_though_nobody_had_it(story: Story, run: Run) -> None:
    story.git("checkout", "-q", "main")
    story.release("1.4.0")
    story.release("1.5.0")
    assert "1.4.0" not in versions(run("--dry-run"))


def test_pointers_that_are_not_committed_count(story: Story, run: Run) -> None:
    old = next(
        path.name
        for path in (story.people / f"overlays/{APP}/releases").iterdir()
        if path.name.startswith("1.1.0")
    )
    fallback = str(repo.load_app(Tree(story.people), APP).pointers["two"].fallback)
    path = story.overlay("two")
    path.write_text(path.read_text().replace(fallback, old))
    assert versions(run("--dry-run")) == ["1.0.0"]


def test_a_shallow_clone_knows_too_little(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story.git("clone", "-q", "--depth", "1", f"file://{story.bare}", str(tmp_path / "shallow"))
    assert cli.main(["prune", "--root", str(tmp_path / "shallow")]) == 1
    assert "CF182" in capsys.readouterr().err


def test_what_holds_the_app_keeps_everything(story: Story, run: Run) -> None:
    (story.people / f"overlays/{APP}/promotion.yaml").write_text("holds: [")
    assert cli.main(["prune", "--root", str(story.people)]) == 1
    assert there(story) == ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]


def test_a_clock_that_is_behind_can_tell_no_age(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    story.now = datetime.now(UTC) + timedelta(days=1)
    story.release("1.4.0")
    story.until_rest()
    story.pull()
    assert cli.main(["prune", "--root", str(story.people)]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "CF175" in line]
    assert "the bot last committed at" in line
    assert line.endswith("(set the clock of this machine, or the bot's if that was ahead)")
    assert len(there(story)) == 5
