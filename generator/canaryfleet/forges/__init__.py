"""Forges: where pull requests are. A module each, and a line in the table of `connect`.

A forge decides nothing: it finds, opens, closes and merges what it is told to. Each call may be made again
after a crash or a lost answer without doing anything twice.
"""

import os
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import NamedTuple, Protocol

from canaryfleet.errors import Place, problem
from canaryfleet.models.decision import Review
from canaryfleet.models.fleet import Forge as Settings
from canaryfleet.models.forge import CommitStatus, PullRequest

MODULES = {"local": "local", "github": "github", "gitea": "gitea"}


class NotMerged(Exception):
    """The forge did not merge: the head or the base has moved, or something that it requires is missing.

    No fault: the next run looks again. The text says what the forge said.
    """


class Remote(NamedTuple):
    """Where git fetches from and pushes to. `environment`: credentials for git, which reads them from there."""

    address: str
    environment: Mapping[str, str] = {}


class Forge(Protocol):
    """A forge with one repository. Raises `Problems` (CF180) if it can't be asked, or refuses."""

    @property
    def me(self) -> str:
        """The name that the forge gives the bot: whose pull requests and closings are its own."""
        ...

    @property
    def remote(self) -> Remote:
        """The repository itself."""
        ...

    def requests(self, prefix: str) -> list[PullRequest]:
        """The bot's pull requests whose branch begins with `prefix`, of any state, with the reviews of open ones.

        Closed ones as far back as they can still be a no: all of the last 30 days at least.
        """
        ...

    def everybody(self) -> list[PullRequest]:
        """All open pull requests, whoever's they are, without reviews."""
        ...

    def open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request for a branch that is there, or find the one that is open."""
        ...

    def edit(self, number: int, title: str, body: str) -> None:
        """Replace title and text; callers compare before, so that nothing is written that is there."""
        ...

    def close(self, number: int, reason: str) -> None:
        """Say why, and close."""
        ...

    def merge(self, number: int, head: str, title: str, message: str) -> str:
        """Merge exactly `head` as one commit of the base branch with this subject and message; the commit.

        Merged already: the commit that it became. Raises `NotMerged`.
        """
        ...

    def status(self, commit: str, status: CommitStatus) -> None:
        """Set a status, unless the commit has the same already."""
        ...


def opinions(reviews: Iterable[Review], me: str) -> tuple[Review, ...]:
    """Of each person the newest review that approves or objects, else the newest; by name, without the bot's.

    A remark after an objection takes nothing back, on no forge. `reviews`: oldest first, without dismissed ones.
    """
    newest: dict[str, Review] = {}
    for review in reviews:
        if review.by != me and (review.state != "other" or review.by not in newest):
            newest[review.by] = review
    return tuple(newest[name] for name in sorted(newest))


def connect(settings: Settings, root: str, environment: Mapping[str, str] = os.environ) -> Forge:
    """The forge that fleet.yaml names. `root`: the clone, for a forge that is a folder (`local`).

    Raises `Problems`: CF181 what it needs (an address, a token) is missing, with what to do.
    """
    if settings.type not in MODULES:
        raise problem(Place("fleet.yaml"), "CF181", f"there is no forge {settings.type}")
    module = import_module(f"canaryfleet.forges.{MODULES[settings.type]}")
    forge: Forge = module.connect(settings, root, environment)
    return forge
