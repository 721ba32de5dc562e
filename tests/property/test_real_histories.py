"""Random histories on real git, a local forge and simulated clusters; what came of them is read from Git alone.

A sample: the thousands are in `test_histories.py`, on a model of all this. `CANARYFLEET_REAL_HISTORIES` says how many
are played; a failure names its seed.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import yaml

from canaryfleet.errors import Place, Problems, problem
from canaryfleet.landing import AUTHOR
from canaryfleet.overlay import pointer
from canaryfleet.repo import overlay_path
from shaken import Killed, killed, shaken
from story import CLUSTERS, Story

HISTORIES = int(os.environ.get("CANARYFLEET_REAL_HISTORIES", "4"))
ACTIONS = 24
BAKE, STEP = timedelta(minutes=10), timedelta(minutes=5)  # of the story's first wave, and of its one step
FIRST, *REST = CLUSTERS


class Play:
    """One history."""

    def __init__(self, story: Story, seed: int, patch: pytest.MonkeyPatch, second: Path) -> None:
        self.story, self.random, self.patch, self.second = story, Random(seed), patch, second
        self.numbers = itertools.count(1)
        self.tips: list[str] = []
        story.git("clone", "-q", str(story.bare), str(second), at=second.parent)

    def play(self) -> None:
        """Do anything, again and again; then let it come to rest."""
        likely: list[Callable[[], object]] = [self.turn] * 8
        happens = [*likely, *[self.dies] * 3, self.lost, self.lost, self.twice, self.good, self.good, self.bad, self.bad,
                   self.declines, self.commits, self.pauses, self.reverts, self.stalls]  # fmt: skip
        for _ in range(ACTIONS):
            self.random.choice(happens)()
            self.tips.append(self.story.main())
        self._pause(paused=False)
        for name in CLUSTERS:
            self.story.box.happens(self.story.app, name, "start")
        self.good()  # what was declined is superseded
        self.story.until_rest(60)

    # what the bot does

    def turn(self) -> None:
        """The clusters follow, time passes, the bot runs."""
        self.story.turn(minutes=self.random.choice([1, 6, 30]))

    def dies(self) -> None:
        """The same, and it is killed at some change."""
        with suppress(Killed):
            self._shaken(killed, after=self.random.random() < 0.5)

    def lost(self) -> None:
        """The same, and the answer to some change is lost."""

        def happens() -> None:
            raise problem(Place("."), "CF180", "the answer was lost")

        with suppress(Problems):
            self._shaken(happens, after=True)

    def twice(self) -> None:
        """The same, and at some change another bot, in another clone, is faster."""
        mine = self.story.clone

        def happens() -> None:
            self.patch.undo()
            self.story.clone = self.second
            self.story.run()
            self.story.clone = mine

        self._shaken(happens, after=False)

    def _shaken(self, happens: Callable[[], None], *, after: bool) -> None:
        self.story.sync()
        self.story.now += timedelta(minutes=10)
        with self.patch.context() as patched:
            self.story.run(
                shaken(self.story, patched, self.random.randrange(5), after=after, happens=happens)
            )

    # what people do

    def good(self) -> None:
        """A release."""
        self._release(f"1.{next(self.numbers)}.0")

    def bad(self) -> None:
        """A release whose requests fail."""
        version = f"1.{next(self.numbers)}.1"
        self.story.moods[version] = "bad"
        self._release(version)

    def _release(self, version: str) -> None:
        self.story.pull()
        self.story.release(version, onNewRelease=self.random.choice(["queue", "replace"]))

    def declines(self) -> None:
        """Somebody closes what is open."""
        for item in self.story.forge.requests("canaryfleet/"):
            if item.state == "open":
                self.story.forge.shut(item.number, "ann", "no")

    def commits(self) -> None:
        """Somebody commits what is none of the bot's business."""
        self.story.pull()
        (self.story.people / "README.md").write_text(f"{next(self.numbers)}\n")
        self.story.commit("words")

    def pauses(self) -> None:
        """Somebody pauses the fleet, or lets it go on."""
        self._pause(paused=self.random.random() < 0.5)

    def _pause(self, *, paused: bool) -> None:
        self.story.pull()
        path = self.story.people / "fleet.yaml"
        settings = yaml.safe_load(path.read_text())
        if settings.get("paused", False) != paused:
            path.write_text(yaml.safe_dump(settings | {"paused": paused}))
            self.story.commit("pause" if paused else "go on")

    def reverts(self) -> None:
        """Somebody turns the spec back to what the first cluster had before."""
        before = self.story.pointers()[FIRST].fallback
        if before not in (None, self.story.candidate()):
            self.story.release(before.rpartition("-")[0])

    def stalls(self) -> None:
        """A cluster's controller stops, or starts again."""
        self.story.box.happens(
            self.story.app, self.random.choice(CLUSTERS), self.random.choice(["stop", "start"])
        )


class Commit(NamedTuple):
    """A commit of main, and what its tree says."""

    id: str
    by: str
    at: datetime
    subject: str
    pointers: dict[str, str]
    paused: bool
    barred: set[str]


def commits(story: Story) -> Iterator[Commit]:
    """Main's commits, oldest first."""
    for line in story.git(
        "log", "--reverse", "--format=%H%x00%an%x00%cI%x00%s", "main", at=story.bare
    ).splitlines():
        id, by, at, subject = line.split("\0")
        pointers = {name: pointer(_file(story, id, overlay_path(story.app, name))) for name in CLUSTERS}
        state = _yaml(story, id, f"overlays/{story.app}/promotion.yaml")
        yield Commit(
            id, by, datetime.fromisoformat(at), subject,
            {name: item.release for name, item in pointers.items() if item},
            _yaml(story, id, "fleet.yaml").get("paused", False),
            {bar["workload"] for bar in state.get("bars", []) if "workload" in bar},
        )  # fmt: skip


def _file(story: Story, commit: str, path: str) -> bytes:
    there = story.git("ls-tree", "--name-only", commit, path, at=story.bare)
    return story.git("show", f"{commit}:{path}", at=story.bare).encode() if there else b""


def _yaml(story: Story, commit: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_file(story, commit, path)) or {}
    return found


def check(story: Story) -> list[str]:
    """What must never happen, by what is on main; the subjects of what the bot merged: moves, and records of what is done."""
    moves: list[str] = []
    since: dict[str, tuple[str, datetime]] = {}
    before: Commit | None = None
    for commit in commits(story):
        changed = {
            name: release
            for name, release in commit.pointers.items()
            if before is None or before.pointers.get(name) != release
        }
        if changed and before is not None:
            assert commit.by == AUTHOR, f"{commit} moves pointers, which nobody else did"
            moves.append(commit.subject)
            if " to wave " in commit.subject:
                _forward(story, before, commit, changed, since)
        elif commit.by == AUTHOR and commit.subject.endswith(" is done"):
            moves.append(commit.subject)
        since |= {name: (release, commit.at) for name, release in changed.items()}
        before = commit
    return moves


def _forward(
    story: Story,
    before: Commit,
    commit: Commit,
    changed: dict[str, str],
    since: dict[str, tuple[str, datetime]],
) -> None:
    (release,) = set(changed.values())
    workload = _yaml(story, commit.id, f"overlays/{story.app}/releases/{release}/release.yaml")["workload"]
    assert not before.paused, commit
    assert workload not in before.barred, commit
    rest = set(changed) & set(REST)
    if rest:
        assert len(changed) == 1, f"{commit}: maxConcurrency is 1"
        assert story.moods.get(release.rpartition("-")[0], "good") == "good", f"{commit}: it is bad"
        had, when = since[FIRST]
        assert had == release, f"{commit}: the first wave has {had}"
        assert commit.at - when >= BAKE + STEP, f"{commit}: it was not proven yet"
        for name in REST:
            other, given = since.get(name, ("", commit.at))
            assert other != release or commit.at - given >= STEP, f"{commit}: {name} is under way"


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """1.0.0 is everywhere."""
    story = Story(tmp_path_factory.mktemp("begun"))
    story.until_rest()
    return story


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_what_must_never_happen_does_not_on_real_git(
    begun: Story, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = begun.fork(tmp_path / "story")
    play = Play(story, seed, monkeypatch, tmp_path / "second")
    play.play()
    moves = check(story)
    requests = story.forge.requests("canaryfleet/")
    assert sum(item.state == "merged" for item in requests) == len(moves)
    assert not [item for item in requests if item.state == "open"]
    for tip in play.tips:
        story.git("merge-base", "--is-ancestor", tip, "main", at=story.bare)
    last = story.candidate().rpartition("-")[0]
    assert story.versions() == dict.fromkeys(CLUSTERS, last), "the last good one is everywhere"
