"""A forge that is a folder: pull requests beside a bare Git repository. For trials, tests, and sites without a forge.

    /srv/fleet.git                        the repository: `origin` of the clone
    /srv/fleet.pulls/7.json               a pull request
    /srv/fleet.pulls/statuses/<id>.json   the statuses of a commit
    /srv/fleet.pulls/lock                 held by whoever changes something

Each file is replaced as a whole with the lock held, so whoever is killed leaves the old one or the new one.
A merge is two things, a commit on the base branch and a word in a file. The file names the commit before
the branch moves: whoever comes next sees on the branch which of both is true.

Beside what every forge does, `Local` has what its people do: `propose`, `review`, `shut`, `reopen`,
`land`, `statuses`.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec.structs import replace

from canaryfleet import git
from canaryfleet.errors import Place, Problems, problem
from canaryfleet.forges import NotMerged, Remote, opinions
from canaryfleet.landing import AUTHOR, EMAIL
from canaryfleet.models.base import Model, to_json
from canaryfleet.models.decision import Review
from canaryfleet.models.fleet import Forge as Settings
from canaryfleet.models.forge import CommitStatus, PullRequest

REFUSED = "CF180"
MISSING = "CF181"

_NUMBERED = re.compile(r"([1-9][0-9]{0,8})\.json")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SCP = re.compile(r"[^/]+:")


class Comment(Model, frozen=True, kw_only=True):
    """What somebody wrote below a pull request."""

    by: str
    text: str


class Held(Model, frozen=True, kw_only=True):
    """A pull request as its file has it. While it is open, its head is what its branch is now."""

    number: int
    branch: str
    base: str
    head: str
    author: str
    title: str
    body: str
    state: Literal["open", "merged", "closed"] = "open"
    opened: datetime
    ended: datetime | None = None
    closedBy: str | None = None
    landed: str | None = None
    tried: tuple[str, ...] = ()  # commits that merging made; the branch has one of them, or none
    reviews: tuple[Review, ...] = ()  # of all, oldest first
    comments: tuple[Comment, ...] = ()


def connect(settings: Settings, root: str, environment: Mapping[str, str]) -> "Local":
    """The forge beside the bare repository that is `origin` of the clone `root`. Raises `Problems` CF181, CF024, CF025."""
    remedy = "git clone --bare it, and `git remote add origin` (or set-url) the path of that"
    try:
        address = _line(git.run(root, ["config", "--get", "remote.origin.url"]))
    except Problems as problems:
        if problems.findings[0].code != git.FAILED:
            raise
        raise _missing(
            "the local forge is beside the remote `origin`, which this clone has not", remedy
        ) from None
    path = _path(address)
    if path is None:
        text = "the local forge is beside a bare repository on this machine, and `origin` is elsewhere"
        raise _missing(text, "or name the forge in fleet.yaml: `forge: {type: github, …}`")
    top = _line(git.run(root, ["rev-parse", "--show-toplevel"]))
    bare = os.path.realpath(os.path.join(top, path))
    if not _is_bare(bare):
        raise _missing("`origin` is no bare repository, so a branch of it may be checked out", remedy)
    return Local(bare)


class Local:
    """The forge of one bare repository. Raises `Problems`: CF180, and CF025 what git says."""

    def __init__(
        self, bare: str | os.PathLike[str], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`clock`: what merges and files are dated by."""
        self.bare = os.path.realpath(bare)
        self.folder = self.bare.removesuffix(".git") + ".pulls"
        self._clock = clock

    @property
    def me(self) -> str:
        """The bot's name here."""
        return AUTHOR

    @property
    def remote(self) -> Remote:
        """The bare repository, by its path."""
        return Remote(self.bare)

    # What every forge does

    def requests(self, prefix: str) -> list[PullRequest]:
        """All of the bot's whose branch begins with `prefix`, newest first."""
        with self._locked():
            return [
                _shown(held)
                for held in self._all()
                if held.author == self.me and held.branch.startswith(prefix)
            ]

    def everybody(self) -> list[PullRequest]:
        """All open ones, newest first, without reviews."""
        with self._locked():
            return [replace(_shown(held), reviews=()) for held in self._all() if held.state == "open"]

    def open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open one as the bot, or find it."""
        return self.propose(self.me, branch, base, title, body)

    def edit(self, number: int, title: str, body: str) -> None:
        """Replace title and text."""
        with self._locked():
            self._write(replace(self._one(number), title=title, body=body))

    def close(self, number: int, reason: str) -> None:
        """Say why, and close: one write."""
        self.shut(number, self.me, reason)

    def merge(self, number: int, head: str, title: str, message: str) -> str:
        """One commit of the base branch, by the bot, with the tree that git's merge gives."""
        return self.land(number, self.me, head, title, message)

    def status(self, commit: str, status: CommitStatus) -> None:
        """Set a status of a commit that is there."""
        with self._locked():
            found = self._statuses(commit)
            if found.get(status.context) == status:
                return
            if not self._is_there(commit):
                raise _refused(f"there is no commit {commit}")
            os.makedirs(f"{self.folder}/statuses", exist_ok=True)
            self._replace(f"statuses/{commit}.json", to_json(found | {status.context: status}))

    # What people do

    def propose(self, by: str, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request as somebody, or find the one that is open. Raises `Problems` CF180."""
        with self._locked():
            found = [
                held for held in self._all() if (held.branch, held.base, held.state) == (branch, base, "open")
            ]
            if found:
                return _shown(found[0])
            head, target = self._tip(branch), self._tip(base)
            if head is None or target is None:
                raise _refused(f"there is no branch {base if head else branch}")
            if self._has(target, head):
                raise _refused(f"{branch} has nothing that {base} has not")
            held = Held(
                number=max(self._numbers(), default=0) + 1, branch=branch, base=base, head=head,
                author=by, title=title, body=body, opened=self._clock(),
            )  # fmt: skip
            self._write(held)
            return _shown(held)

    def review(
        self,
        number: int,
        by: str,
        state: Literal["approved", "changesRequested", "other"] = "approved",
        head: str | None = None,
    ) -> None:
        """Review as somebody; `head`: of an older commit, as one whose page is not reloaded does."""
        with self._locked():
            held = self._one(number)
            review = Review(by=by, state=state, head=head or held.head)
            self._write(replace(held, reviews=(*held.reviews, review)))

    def shut(self, number: int, by: str, reason: str = "") -> None:
        """Close as somebody, with a comment if there is a reason; nothing if it is not open."""
        with self._locked():
            held = self._one(number)
            if held.state == "open":
                said = (Comment(by=by, text=reason),) if reason else ()
                comments = (*held.comments, *said)
                self._write(
                    replace(held, state="closed", closedBy=by, ended=self._clock(), comments=comments)
                )

    def reopen(self, number: int) -> None:
        """Open again what was closed, as people do; its branch has to be there."""
        with self._locked():
            held = self._one(number)
            if held.state == "merged" or self._tip(held.branch) is None:
                raise _refused(f"#{number} can't be opened again: it is merged, or its branch is gone")
            self._write(replace(held, state="open", closedBy=None, ended=None))

    def land(
        self, number: int, by: str, head: str | None = None, title: str | None = None, message: str = ""
    ) -> str:
        """Merge as somebody, by default what it is now, under its own title; the commit. Raises `NotMerged`."""
        with self._locked():
            held = self._one(number)
            if held.state == "merged" and held.landed:
                return held.landed
            if held.state != "open":
                raise NotMerged(f"#{number} is {held.state}")
            if head not in {None, held.head}:
                raise NotMerged(f"the head of #{number} is {held.head}, no longer {head}")
            base, tree = self._merged(held)
            subject = f"{held.title} (#{number})" if title is None else title
            commit = self._commit(by, base, tree, f"{subject}\n\n{message}".rstrip("\n") + "\n")
            # From here on a crash is no question: the branch has this commit, or it has not.
            held = self._write(replace(held, tried=(*held.tried, commit)))
            try:
                self._git("update-ref", f"refs/heads/{held.base}", commit, base)
            except Problems as problems:
                raise NotMerged(f"{held.base} has moved: {_said(problems)}") from None
            self._write(replace(held, state="merged", landed=commit, ended=self._clock()))
            return commit

    def statuses(self, commit: str) -> dict[str, CommitStatus]:
        """The statuses of a commit, by context."""
        with self._locked():
            return self._statuses(commit)

    # Files

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            os.makedirs(self.folder, exist_ok=True)
            with open(f"{self.folder}/lock", "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise _refused(f"{self.folder}: {error.strerror or error}") from error

    def _numbers(self) -> list[int]:
        found = (_NUMBERED.fullmatch(name) for name in os.listdir(self.folder))
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def _all(self) -> list[Held]:
        tips = self._tips()
        return [self._settled(self._read(number), tips) for number in self._numbers()]

    def _one(self, number: int) -> Held:
        return self._settled(self._read(number), self._tips())

    def _read(self, number: int) -> Held:
        path = f"{self.folder}/{number}.json"
        try:
            with open(path, "rb") as file:
                return msgspec.json.decode(file.read(), type=Held)
        except FileNotFoundError:
            raise _refused(f"there is no pull request #{number}") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise _refused(f"{path}: {error}") from None

    def _write(self, held: Held) -> Held:
        self._replace(f"{held.number}.json", msgspec.json.format(to_json(held), indent=2) + b"\n")
        return held

    def _replace(self, name: str, data: bytes) -> None:
        # One name for all, as the lock is held: what somebody who was killed has left is overwritten.
        with open(f"{self.folder}/.new", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{self.folder}/.new", f"{self.folder}/{name}")

    def _statuses(self, commit: str) -> dict[str, CommitStatus]:
        if not _COMMIT.fullmatch(commit):
            raise _refused(f"{commit!r} is no commit")
        path = f"{self.folder}/statuses/{commit}.json"
        try:
            with open(path, "rb") as file:
                return msgspec.json.decode(file.read(), type=dict[str, CommitStatus])
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, ValueError) as error:
            raise _refused(f"{path}: {error}") from None

    # Git

    def _settled(self, held: Held, tips: Mapping[str, str]) -> Held:
        """A pull request after what git alone knows: its branch was pushed or removed, a merge had been made."""
        base = tips.get(held.base)
        if held.state == "merged" or base is None:
            return held
        landed = next(
            (commit for commit in held.tried if self._is_there(commit) and self._has(base, commit)), None
        )
        if landed is None and held.state == "open" and self._has(base, held.head):
            landed = self._carrier(base, held.head)  # somebody has merged it without us, and pushed
        if landed:
            return self._write(
                replace(held, state="merged", landed=landed, ended=self._clock(), closedBy=None)
            )
        head = tips.get(held.branch)
        if held.state != "open" or held.head == head:
            return held
        if head is None or self._has(base, head):  # removed, or set back to where there is nothing to merge
            return self._write(replace(held, state="closed", ended=self._clock()))
        return self._write(replace(held, head=head))

    def _tips(self) -> dict[str, str]:
        prefix = "refs/heads/"
        printed = self._git("for-each-ref", "--format=%(refname) %(objectname)", prefix).decode(
            errors="surrogateescape"
        )
        pairs = (line.partition(" ") for line in printed.split("\n")[:-1])
        return {name.removeprefix(prefix): commit for name, _, commit in pairs}

    def _tip(self, branch: str) -> str | None:
        return self._tips().get(branch)

    def _is_there(self, commit: str) -> bool:
        return b" commit " in self._git("cat-file", "--batch-check", stdin=f"{commit}\n".encode())

    def _has(self, descendant: str, commit: str) -> bool:
        """Whether a commit is another, or one of those before it."""
        return not self._git("rev-list", "--max-count=1", commit, f"^{descendant}")

    def _carrier(self, base: str, head: str) -> str:
        """The commit of a branch that brought `head`: itself, or the merge of it."""
        since = self._git("rev-list", "--first-parent", "--ancestry-path", f"{head}..{base}").decode().split()
        return since[-1] if since and _line(self._git("rev-parse", f"{since[-1]}^1")) != head else head

    def _merged(self, held: Held) -> tuple[str, str]:
        """The base branch's commit, and the tree that merging gives. Raises `NotMerged`: conflicts, or nothing to do."""
        base = self._tip(held.base)
        if base is None:
            raise NotMerged(f"there is no branch {held.base}")
        try:
            tree = _line(self._git("merge-tree", "--write-tree", "--no-messages", base, held.head))
        except Problems as problems:
            if problems.findings[0].code != git.FAILED:
                raise
            raise NotMerged(f"#{held.number} conflicts with {held.base}: {_said(problems)}") from None
        if tree == _line(self._git("rev-parse", f"{base}^{{tree}}")):
            raise NotMerged(f"{held.base} has everything of #{held.number} already")
        return base, tree

    def _commit(self, by: str, parent: str, tree: str, message: str) -> str:
        name, email = (AUTHOR, EMAIL) if by == self.me else (by, f"{by}@users.noreply.invalid")
        when = f"@{int(self._clock().timestamp())} +0000"
        who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email), ("DATE", when))
        }
        return _line(self._git("commit-tree", tree, "-p", parent, stdin=message.encode(), environment=who))

    def _git(
        self, *args: str, stdin: bytes | None = None, environment: Mapping[str, str] | None = None
    ) -> bytes:
        here = {"GIT_DIR": self.bare} | dict(environment or {})
        return git.run(self.bare, list(args), stdin=stdin, environment=here)


def _shown(held: Held) -> PullRequest:
    """As the bot sees it."""
    return PullRequest(
        number=held.number, branch=held.branch, base=held.base, head=held.head, state=held.state,
        author=held.author, title=held.title, body=held.body, closedBy=held.closedBy, landed=held.landed,
        reviews=opinions(held.reviews, AUTHOR) if held.state == "open" else (),
    )  # fmt: skip


def _path(address: str) -> str | None:
    """The folder that git means by an address; None if that is not on this machine."""
    if "://" in address:
        url = urlsplit(address)
        return unquote(url.path) if url.scheme == "file" and url.netloc in {"", "localhost"} else None
    return None if _SCP.match(address) else address


def _is_bare(path: str) -> bool:
    asked = ["rev-parse", "--is-bare-repository"]
    try:
        return os.path.isdir(path) and _line(git.run(path, asked, environment={"GIT_DIR": path})) == "true"
    except Problems as problems:
        if problems.findings[0].code != git.FAILED:
            raise
        return False  # a folder that is no repository, or a clone with a working tree


def _line(printed: bytes) -> str:
    return os.fsdecode(printed).partition("\n")[0]


def _said(problems: Problems) -> str:
    return problems.findings[0].message


def _refused(text: str) -> Problems:
    return problem(Place("fleet.yaml"), REFUSED, text)


def _missing(text: str, remedy: str) -> Problems:
    return problem(Place("fleet.yaml"), MISSING, text, remedy)
