"""What every run of the bot begins with: fetch, check the default branch out, and look at everything."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from canaryfleet import commits, git, repo, situation
from canaryfleet.errors import Place, problem
from canaryfleet.files import Tree
from canaryfleet.forges import Forge
from canaryfleet.ground import Ground, survey
from canaryfleet.landing import BRANCHES
from canaryfleet.models.decision import Situation
from canaryfleet.models.forge import PullRequest
from canaryfleet.nearest import nearest
from canaryfleet.situation import Evidence
from canaryfleet.sources import Source


def _now() -> datetime:
    return datetime.now(UTC)


class Bot(NamedTuple):
    """Where a run works: the clone, the forge, and how clusters are read. `timeout`: seconds for each cluster."""

    root: str
    forge: Forge
    source: Source
    timeout: float = 10.0
    clock: Callable[[], datetime] = _now


class Sight(NamedTuple):
    """What was seen at one time; `ground.tree` has the files of `commit` while it is looked at."""

    commit: str
    now: datetime
    ground: Ground
    evidence: Evidence
    requests: Sequence[PullRequest]
    situations: Mapping[str, Situation]


@contextlib.contextmanager
def look(bot: Bot, apps: Collection[str] | None = None) -> Iterator[Sight]:
    """Everything as it is now, for all apps or some.

    Git first and the forge last: what the forge says was merged and Git does not have yet, is known to be missing.
    Raises `Problems`: CF015 an app that is not there, CF025, CF180, CF182 and what is wrong with fleet.yaml.
    """
    commit = _fetch(bot)
    with commits.worktree(bot.root, commit) as folder:
        now = bot.clock()
        ground = survey(Tree(folder), commit, now)
        for app in set(apps or ()) - set(ground.halves):
            raise problem(
                Place(repo.OVERLAYS), "CF015", f"there is no app {app}", nearest(app, ground.halves)
            )
        evidence = situation.look(ground, bot.source, bot.timeout)
        requests = bot.forge.requests(BRANCHES)
        now = max(now, bot.clock())
        situations = situation.read(ground, evidence, requests, bot.forge.me, now, apps)
        yield Sight(commit, now, ground, evidence, requests, situations)


def apps(bot: Bot) -> list[str]:
    """The apps that the default branch has now. Raises `Problems` CF025, and those of fleet.yaml."""
    folders = [f"{repo.OVERLAYS}/", f"{repo.SPECS}/"]
    printed = git.run(bot.root, ["ls-tree", "-d", "-z", "--name-only", _fetch(bot), "--", *folders])
    names = {os.fsdecode(path).rpartition("/")[2] for path in printed.split(b"\0")[:-1]}
    return sorted(name for name in names if not name.startswith("."))


def _fetch(bot: Bot) -> str:
    """The default branch's commit, after it and the bot's branches were fetched."""
    branch = repo.fleet(Tree(bot.root)).defaultBranch
    commits.fetch(bot.root, bot.forge.remote, [branch, f"{BRANCHES}*"])
    found = git.refs(bot.root, commits.TRACKED).get(commits.TRACKED + branch)
    if found is None:
        raise problem(Place("fleet.yaml"), git.FAILED, f"the repository has no branch {branch}")
    return found
