"""Disasters that docs/operations.md promises a way out of, drilled in the middle of a release."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

from canaryfleet.forges.local import Local
from canaryfleet.models.observation import Problem, Sighting
from canaryfleet.sources import Source, Target, unseen
from story import Story


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """1.0.0 runs everywhere, and 1.1.0 is on the first cluster."""
    made = Story(tmp_path_factory.mktemp("world"))
    made.until_rest()
    made.release("1.1.0")
    made.turn(minutes=1)
    assert made.versions() == {"one": "1.1.0", "two": "1.0.0", "three": "1.0.0"}
    return made


@pytest.fixture
def story(begun: Story, tmp_path: Path) -> Story:
    """The same, to go on with."""
    return begun.fork(tmp_path / "story")


def test_the_bots_machine_is_lost_and_the_forge_has_no_pull_requests_any_more(
    story: Story, tmp_path: Path
) -> None:
    other = story.fork(tmp_path / "other")
    shutil.rmtree(other.clone)
    other.git("clone", "-q", str(other.bare), str(other.clone), at=other.bare.parent)
    shutil.rmtree(other.forge.folder)
    for each in (story, other):
        each.until_rest()
    assert set(other.versions().values()) == {"1.1.0"}
    assert other.log() == story.log()


def test_the_forge_comes_back_from_an_old_backup(story: Story) -> None:
    """Clusters are ahead of main then. What the bot's clone has, which may lack its last merge, is pushed before it looks."""
    kept = story.bare.with_name("backup.git")
    pulls = kept.with_name("backup.pulls")
    shutil.copytree(story.bare, kept)
    shutil.copytree(story.forge.folder, pulls)
    for _ in range(3):
        story.turn()
    assert "1.1.0" in list(story.versions().values())[1:]
    for there, back in ((story.bare, kept), (Path(story.forge.folder), pulls)):
        shutil.rmtree(there)
        shutil.copytree(back, there)
    story.forge = Local(story.bare, story.clock)
    old = story.main()
    story.git("push", "-q", "origin", "refs/remotes/origin/main:refs/heads/main", at=story.clone)
    assert story.main() != old
    story.git("fetch", "-q", "origin")
    story.git("reset", "-q", "--hard", "origin/main")  # the people's clone
    story.until_rest()
    assert set(story.versions().values()) == {"1.1.0"}
    assert len(set(story.log())) == len(story.log()), "no wave is given twice"


class Without:
    """A source in which one cluster never answers."""

    def __init__(self, source: Source, lost: str) -> None:
        self._source, self._lost = source, lost

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        for target in targets:
            if target.cluster.metadata.name == self._lost:
                yield unseen(target, "simulation", Problem(kind="unreachable", message="gone"))
            else:
                yield from self._source.look([target], timeout=timeout)


def test_a_cluster_that_is_lost_holds_until_it_is_retired_and_loses_the_app(story: Story) -> None:
    reached = story.bot
    story.bot = lambda forge=None: reached(forge)._replace(source=Without(story.box, "two"))  # type: ignore[method-assign]
    for _ in range(8):
        report = story.turn()
    decision = report.outcome.decision
    assert decision is not None
    assert decision.kind == "Hold"
    assert "unknown" in {reason.code for reason in decision.reasons}
    story.pull()
    file = story.people / "clusters" / "two.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"lifecycle": "retiring"}))
    story.commit("two is lost for ever")
    story.until_rest()
    assert story.versions() == {"one": "1.1.0", "three": "1.1.0"}
