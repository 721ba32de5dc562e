"""A repository on a forge with a REST API: what GitHub and Gitea have in common, which is nearly all.

Nothing that a forge says is obeyed: texts are kept to be compared, names are put in addresses quoted, and
an approval or an objection counts from those alone who may write to the repository, since anybody may
review in a public one.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import takewhile
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from canaryfleet.errors import problem
from canaryfleet.forges import NotMerged, Remote, opinions
from canaryfleet.forges.rest import PLACE, REFUSED, Api, Lost, Refused, World, path
from canaryfleet.models.base import END
from canaryfleet.models.decision import Review
from canaryfleet.models.forge import CommitStatus, PullRequest
from canaryfleet.models.observation import Time

Sha = Annotated[str, Meta(pattern=f"^([0-9a-f]{{40}}|[0-9a-f]{{64}})?{END}")]

Kept = Literal["written", "renewed", "there already"]

_BACK = timedelta(days=31)  # how far closed ones are read: more than a no is remembered
_SHOWN = 140  # characters of a status's description
_STATES = {
    "APPROVED": "approved",
    "CHANGES_REQUESTED": "changesRequested",
    "REQUEST_CHANGES": "changesRequested",
}
_REMARKS = {"COMMENTED", "COMMENT"}
_NOT_NOW = {405, 409, 422}


class User(Struct):
    """Who did something."""

    login: str


class Repository(Struct):
    """Where a branch is."""

    full_name: str


class End(Struct):
    """A branch of a pull request; `repo`: none if its fork is gone."""

    ref: str
    label: str = ""
    sha: Sha = ""
    repo: Repository | None = None


class Pull(Struct):
    """A pull request, of it what we read."""

    number: int
    title: str
    state: str
    head: End
    base: End
    updated_at: Time
    body: str | None = None
    user: User | None = None
    html_url: str = ""
    merged_at: Time | None = None
    merge_commit_sha: Sha | None = None


class Said(Struct):
    """A review or a comment."""

    id: int
    user: User | None = None
    body: str | None = None
    state: str = ""
    commit_id: Sha | None = None
    dismissed: bool = False


class Status(Struct):
    """A status of a commit: Gitea calls `status` what GitHub calls `state`."""

    context: str
    state: str = ""
    status: str = ""
    description: str | None = None
    target_url: str | None = None


class Statuses(Struct):
    """The newest of each context."""

    statuses: tuple[Status, ...] | None = None


class Hosted:
    """One repository. A forge says what is different: `me`, `remote`, and the methods that say `differs`."""

    page: ClassVar[Mapping[str, str | int]]
    """How a page of a list is asked for."""
    newest: ClassVar[Mapping[str, str | int]]
    """How pull requests are sorted by their last change, newest first."""

    def __init__(self, api: Api, repository: str, world: World) -> None:
        self.api, self.repository = api, repository
        self._world = world
        self._home = path("repos", *repository.split("/"))

    @property
    def me(self) -> str:
        """The bot's name (differs)."""
        raise NotImplementedError

    @property
    def remote(self) -> Remote:
        """The repository for git (differs)."""
        raise NotImplementedError

    def requests(self, prefix: str) -> list[PullRequest]:
        """The bot's, newest first: all open ones, and those that have changed in the last month."""
        found = {pull.number: pull for pulls in (self._open(), self._ended()) for pull in pulls}
        me = self.me
        mine = [self._shown(found[number]) for number in sorted(found, reverse=True)]
        mine = [request for request in mine if request.author == me and request.branch.startswith(prefix)]
        reviews = {
            request.number: self._opinions(request.number) for request in mine if request.state == "open"
        }
        writers = self._writers({review.by for each in reviews.values() for review in each})
        return [
            replace(
                request,
                reviews=tuple(_weighed(review, writers) for review in reviews.get(request.number, ())),
                closedBy=self._closer(request.number) if request.state == "closed" else None,
            )
            for request in mine
        ]

    def everybody(self) -> list[PullRequest]:
        """All open ones."""
        return [self._shown(pull) for pull in self._open()]

    def open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Find it, else open it; after a lost answer or a refusal find it again."""
        if found := self._find(branch, base):
            return self._shown(found)
        wanted = {"head": branch, "base": base, "title": title, "body": body}
        try:
            answer = self.api.send("POST", f"{self._home}/pulls", wanted)
        except (Lost, Refused):
            if found := self._find(branch, base):
                return self._shown(found)
            raise
        return self._shown(self.api.decode(answer, Pull))

    def edit(self, number: int, title: str, body: str) -> None:
        """Replace title and text."""
        self.api.send("PATCH", f"{self._home}/pulls/{number:d}", {"title": title, "body": body})

    def close(self, number: int, reason: str) -> None:
        """Say why, once, and close; nothing if it is not open."""
        if self._pull(number).state == "closed":
            return
        mark = f"<!-- canaryfleet closes this: {sha256(reason.encode()).hexdigest()[:16]} -->"
        if not self._has_said(number, mark):
            try:
                self.api.send("POST", self._comments(number), {"body": f"{reason}\n\n{mark}"})
            except Lost:
                if not self._has_said(number, mark):
                    raise
        self.api.send("PATCH", f"{self._home}/pulls/{number:d}", {"state": "closed"})

    def merge(self, number: int, head: str, title: str, message: str) -> str:
        """Squash exactly `head`; what a refusal or a lost answer means, the pull request itself says."""
        pull = self._pull(number)
        if pull.merged_at:
            return self._landed(pull)
        if pull.state != "open":
            raise NotMerged(f"#{number} is {pull.state}")
        if pull.head.sha != head:
            raise NotMerged(f"the head of #{number} is {pull.head.sha}, no longer {head}")
        said = "it says that it has merged, and does not show it"
        try:
            if landed := self._merge(number, head, title, message):
                return landed
        except Refused as refused:
            if refused.status not in _NOT_NOW:
                raise
            said = refused.said
        except Lost as lost:
            said = lost.findings[0].message
        pull = self._pull(number)
        if pull.merged_at:
            return self._landed(pull)
        raise NotMerged(said)

    def status(self, commit: str, status: CommitStatus) -> None:
        """Set a status, unless the commit has the same already."""
        wanted = {
            "context": status.context,
            "state": status.state,
            "description": status.description[:_SHOWN],
            **({"target_url": status.url} if status.url else {}),
        }
        if self._has_status(commit, wanted):
            return
        try:
            self.api.send("POST", self._home + path("statuses", commit), wanted)
        except Lost:
            if not self._has_status(commit, wanted):
                raise

    def say(self, number: int, mark: str, body: str) -> Kept:
        """Keep one comment of ours below a pull request as it should be: the first that begins with `mark`.

        Those of others are not ours, whatever they begin with. Nothing is written that is there.
        """
        found = self._said(number, mark)
        if found is None:
            try:
                self.api.send("POST", self._comments(number), {"body": body})
            except Lost:
                if self._said(number, mark) is None:
                    raise
            return "written"
        if _same(found.body or "", body):
            return "there already"
        self.api.send("PATCH", f"{self._home}/issues/comments/{found.id:d}", {"body": body})
        return "renewed"

    # What differs

    def _branch(self, head: End) -> str:
        """The name of a head branch in its own repository."""
        raise NotImplementedError

    def _find(self, branch: str, base: str) -> Pull | None:
        """The open pull request of a branch of this repository."""
        raise NotImplementedError

    def _closer(self, number: int) -> str | None:
        """Who closed it last."""
        raise NotImplementedError

    def _writers(self, names: set[str]) -> set[str]:
        """Those of some people who may write to the repository."""
        raise NotImplementedError

    def _merge(self, number: int, head: str, title: str, message: str) -> str | None:
        """Squash; the commit, if the answer says it."""
        raise NotImplementedError

    # What does not

    def _open(self) -> Iterator[Pull]:
        return self.api.items(f"{self._home}/pulls", Pull, state="open", **self.page)

    def _ended(self) -> list[Pull]:
        """Closed ones, as far back as they count.

        One that changes while pages are read comes to the front, where it is missed; so the front is looked
        at again, which costs nothing if nothing has changed.
        """
        back = datetime.fromtimestamp(self._world.now(), UTC) - _BACK
        found: list[Pull] = []
        for _ in range(3):
            pulls = self.api.items(f"{self._home}/pulls", Pull, state="closed", **self.newest, **self.page)
            found = list(takewhile(lambda pull: pull.updated_at >= back, pulls))
            front = self.api.items(f"{self._home}/pulls", Pull, state="closed", **self.newest, **self.page)
            if not found or next(front, None) == found[0]:
                break
        return found

    def _pull(self, number: int) -> Pull:
        return self.api.get(f"{self._home}/pulls/{number:d}", Pull)

    def _shown(self, pull: Pull) -> PullRequest:
        name, home = self._branch(pull.head), pull.head.repo.full_name if pull.head.repo else "?"
        ours = home.lower() == self.repository.lower()
        return PullRequest(
            number=pull.number,
            branch=name if ours else f"{home.partition('/')[0]}:{name}",
            base=pull.base.ref,
            head=pull.head.sha,
            state="merged" if pull.merged_at else "open" if pull.state == "open" else "closed",
            author=pull.user.login if pull.user else "",
            title=pull.title,
            body=pull.body or "",
            url=pull.html_url,
            landed=pull.merge_commit_sha if pull.merged_at else None,
        )

    def _landed(self, pull: Pull) -> str:
        if not pull.merge_commit_sha:
            raise problem(
                PLACE, REFUSED, f"#{pull.number} is merged, and the forge does not say as which commit"
            )
        return pull.merge_commit_sha

    def _opinions(self, number: int) -> tuple[Review, ...]:
        reviews = list(self.api.items(f"{self._home}/pulls/{number:d}/reviews", Said, **self.page))
        found: list[Review] = []
        for said in sorted(reviews, key=lambda said: said.id):
            if said.user is None:
                continue
            by, state = said.user.login, _STATES.get(said.state, "other")
            if said.dismissed or said.state == "DISMISSED":  # what they had said before counts no more, too
                found = [review for review in found if review.by != by]
            elif state != "other" or said.state in _REMARKS:
                found.append(Review(by=by, state=state, head=said.commit_id or ""))  # type: ignore[arg-type]
        return opinions(found, self.me)

    def _comments(self, number: int) -> str:
        return f"{self._home}/issues/{number:d}/comments"

    def _has_said(self, number: int, mark: str) -> bool:
        me = self.me
        comments = self.api.items(self._comments(number), Said, **self.page)
        return any(said.user and said.user.login == me and mark in (said.body or "") for said in comments)

    def _said(self, number: int, mark: str) -> Said | None:
        comments = self.api.items(self._comments(number), Said, **self.page)
        marked = [said for said in comments if said.user and (said.body or "").startswith(mark)]
        if not marked:  # so whose token it is need not be asked
            return None
        return next((said for said in marked if said.user and said.user.login == self.me), None)

    def _has_status(self, commit: str, wanted: Mapping[str, str]) -> bool:
        where = self._home + path("commits", commit, "status")
        found = self.api.get(where, Statuses, **self.page).statuses or ()
        words = (wanted["context"], wanted["state"], wanted["description"], wanted.get("target_url", ""))
        return any(
            (each.context, each.state or each.status, each.description or "", each.target_url or "") == words
            for each in found
        )


def _same(one: str, other: str) -> bool:
    """Whether a text is another, which a forge may have given other ends of lines."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


def _weighed(review: Review, writers: set[str]) -> Review:
    return review if review.by in writers else replace(review, state="other")
