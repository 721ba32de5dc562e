"""The bot's pull requests, as their branches are in the clone: what is the bot's own in them, and what is not."""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import NamedTuple

from msgspec.structs import replace

from canaryfleet import git, history, past
from canaryfleet.commits import TRACKED
from canaryfleet.git import Logged
from canaryfleet.ground import Ground
from canaryfleet.landing import BRANCHES, Landing
from canaryfleet.models.decision import Move, Request
from canaryfleet.models.forge import PullRequest
from canaryfleet.overlay import Pointer

BRANCH = re.compile(rf"{BRANCHES}([^/]+)/([^/]+)")


def requests(ground: Ground, found: Iterable[PullRequest], me: str) -> dict[str, list[Request]]:
    """The bot's pull requests by app, as their branches are in the clone; their text is never looked at."""
    named = [(pull, match[1], match[2]) for pull in found if (match := BRANCH.fullmatch(pull.branch))]
    if not named:
        return {}
    root = ground.tree.root
    tips = git.refs(root, TRACKED + BRANCHES)
    # What the forge says and what was fetched may differ for a moment: neither may have anything foreign.
    heads = [{pull.head, tips.get(TRACKED + pull.branch, pull.head)} for pull, _, _ in named]
    commits = git.show(root, chain.from_iterable(heads), below=ground.below)
    ahead = git.ahead(root, commits, [ground.commit, ground.ref])
    pointers = past.pointers_of(root, commits.values(), past.WHOLE.seconds)
    asked: dict[str, list[Request]] = {}
    for (pull, app, key), ids in zip(named, heads, strict=True):
        own = {id: _own(commits.get(id), (app, key), ahead, pointers) for id in ids}
        clean = all(own.values()) and pull.base == ground.fleet.defaultBranch
        asked.setdefault(app, []).append(_request(pull, key, me, own[pull.head] if clean else None))
    return asked


class _Own(NamedTuple):
    """The bot's one commit on a branch."""

    landing: Landing
    moves: tuple[Move, ...]


def _own(
    commit: Logged | None,
    name: tuple[str, str],
    ahead: Collection[str],
    pointers: Mapping[str, Pointer | None],
) -> _Own | None:
    """A commit as the bot's one commit of a branch; None if it is not known, or anything in it is not the bot's."""
    if commit is None or len(commit.parents) != 1 or not past.is_bots(commit):
        return None
    said = past.landed(commit)
    if said is None or (said.app, said.key) != name:
        return None
    if commit.id not in ahead or commit.parents[0] in ahead:
        return None
    overlays = past.overlays(commit).get(said.app, {})
    if any(file.blob and pointers.get(file.blob) is None for file in overlays.values()):
        return None
    return _Own(said, tuple(history.moves(past.changes(overlays, pointers))))


def _request(pull: PullRequest, key: str, me: str, own: _Own | None) -> Request:
    """Who closed it is a person unless it was surely the bot: a no that nobody signed is a no."""
    closed = pull.state == "closed"
    request = Request(
        number=pull.number,
        branch=pull.branch,
        key=key,
        head=pull.head,
        state=pull.state,
        closedBy=("bot" if pull.closedBy == me else "person") if closed else None,
        touched=own is None,
        reviews=tuple(review for review in pull.reviews if review.by != me),
    )
    if own is None:
        return request
    said = own.landing
    return replace(request, kind=said.kind, release=said.release, wave=said.wave, moves=own.moves)
