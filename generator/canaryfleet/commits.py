"""Commits and pushes that touch nothing of whoever works in the clone: no index, no working tree, no HEAD.

What is pushed goes to an address, never to a configured remote, and replaces exactly what was read
before. Addresses carry no credentials: git gets those in its environment.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

from canaryfleet import git
from canaryfleet.errors import Place, Problems, problem
from canaryfleet.files import OUTSIDE, Changes
from canaryfleet.landing import AUTHOR, EMAIL

HEADS, TRACKED = "refs/heads/", "refs/remotes/origin/"
OVERLAYS = "overlays"
LONGEST = 300.0  # seconds for what goes over a network, or writes a whole tree
Root = str | os.PathLike[str]
Pushed = Literal["pushed", "raced"]

_SECRET_IN_ADDRESS = re.compile(r"https?://[^/]*@|[a-z+]+://[^/@]*:[^/@]*@", re.IGNORECASE)
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=")
_FOLDER, _FILES = b"040000", frozenset([b"100644", b"100755"])
# As it is committed, whatever the user's own checkouts look like.
_EXACT = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "core.autocrlf",
    "GIT_CONFIG_VALUE_0": "false",
}


class Remote(Protocol):
    """Where git fetches from and pushes to, and the credentials for it."""

    @property
    def address(self) -> str:
        """A path or URL, without credentials."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What git is told besides."""
        ...


# From and to the shared repository


def fetch(root: Root, remote: Remote, branches: Sequence[str]) -> None:
    """Bring branches, which may end with `*`, to where `origin` tracks them.

    All are of one moment, and those that are gone there go here too. Raises `Problems`: CF025 git can't, or a
    branch without `*` is not there.
    """
    _mirror(root, remote, [f"+{HEADS}{name}:{TRACKED}{name}" for name in branches])


def fetch_refs(root: Root, remote: Remote, below: str) -> None:
    """Bring the refs below a prefix that ends with `/` to their own names: what is not there is not here then.

    Raises `Problems` CF025.
    """
    _mirror(root, remote, [f"+{below}*:{below}*"])


def _mirror(root: Root, remote: Remote, specs: Iterable[str]) -> None:
    _remote(root, remote, [*_FETCH, "--atomic", "--prune"], specs)


def fetch_head(root: Root, remote: Remote, number: int, branch: str) -> None:
    """Bring the head of somebody's pull request, which may be of a fork; no ref names it afterwards.

    GitHub and Gitea have it under the pull request's number. Raises `Problems`: CF025 it is nowhere, CF026 `branch` is
    no name of one here: that of a fork is shown as `owner:branch`, which git would read as where to put it.
    """
    try:
        _remote(root, remote, _FETCH, [f"refs/pull/{number}/head"])
    except Problems:
        git.check_ref(HEADS + branch)
        _remote(root, remote, _FETCH, [HEADS + branch])


def push(
    root: Root, remote: Remote, branch: str, id: str | None, expected: str | None, also: Sequence[str] = ()
) -> Pushed:
    """Make `branch` there the commit `id`, as `swap` does. Raises `Problems` CF025."""
    return swap(root, remote, HEADS + branch, id, expected, also)


def swap(
    root: Root, remote: Remote, ref: str, id: str | None, expected: str | None, also: Sequence[str] = ()
) -> Pushed:
    """Make `ref` there the commit `id` (None: delete it), if it still is `expected` (None: not there).

    `raced`: it was something else, and nothing was done. It is no race if it is what was wanted already, as
    after an answer that was lost. `also`: refs of the clone that go along. Raises `Problems` CF025.
    """
    words = ["push", "--quiet", "--no-verify", "--no-signed", f"--force-with-lease={ref}:{expected or ''}"]
    try:
        _remote(root, remote, words, [f"{id or ''}:{ref}", *(f"+{name}:{name}" for name in also)])
    except Problems:
        present = tip(root, remote, ref)
        if present == id:
            return "pushed"
        if present != expected:
            return "raced"
        raise
    return "pushed"


def head(root: Root, remote: Remote) -> tuple[str, str]:
    """The default branch of a repository and its commit; `root` is a folder, not yet a clone. Raises `Problems` CF025."""
    printed = _remote(root, remote, ["ls-remote", "--quiet", "--symref"], ["HEAD"])
    # A branch's name may have what str.splitlines takes for the end of a line.
    lines = [line.partition("\t") for line in printed.decode(errors="replace").split("\n")]
    said = [what for what, _, name in lines if name == "HEAD"]  # which branch it is, and its commit
    if len(said) != 2 or not said[0].startswith(f"ref: {HEADS}"):
        text = "the repository has no default branch with a commit"
        raise problem(Place("."), git.FAILED, text, "push the first one, or set the branch that HEAD names")
    branch = said[0].removeprefix(f"ref: {HEADS}")
    git.check_ref(branch)
    return branch, said[1]


def push_refs(root: Root, remote: Remote, refs: Sequence[str]) -> None:
    """Bring refs of the clone to where everybody finds them. Raises `Problems` CF025."""
    words = ["push", "--quiet", "--no-verify", "--no-signed"]
    _remote(root, remote, words, [f"+{name}:{name}" for name in refs])


def tip(root: Root, remote: Remote, ref: str) -> str | None:
    """What a ref of the shared repository is now; None if it is not there. Raises `Problems` CF025."""
    printed = _remote(root, remote, ["ls-remote", "--quiet"], [ref])
    found = (line.split(b"\t") for line in printed.splitlines())
    return next((id.decode() for id, name in found if name == ref.encode()), None)


def _remote(root: Root, remote: Remote, words: Sequence[str], specs: Iterable[str]) -> bytes:
    if _SECRET_IN_ADDRESS.match(remote.address):
        text = "the repository's address has a user or a password in it, which every log would show"
        raise problem(Place("."), "CF181", text, "take it out, and give the token in the environment")
    args = [*words, "--", remote.address, *specs]
    return git.run(root, args, timeout=LONGEST, environment=remote.environment)


# The tree of a commit, as files


@contextlib.contextmanager
def worktree(root: Root, commit: str) -> Iterator[str]:
    """A folder with the files of a commit, for as long as it is needed: what `root` would be at that commit.

    What a run that was killed has left behind is cleared away. Raises `Problems` CF025.
    """
    prefix = _prefix(root)
    common = git.run(root, ["rev-parse", "--path-format=absolute", "--git-common-dir"])
    home = os.path.join(os.fsdecode(common.removesuffix(b"\n")), "canaryfleet")
    os.makedirs(home, mode=0o700, exist_ok=True)
    with _locked(home, wait=True):
        _clear(root, home)
        place = tempfile.mkdtemp(dir=home)
        held = os.open(place, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        words = ["worktree", "add", "--detach", "--quiet", _inner(place), commit]
        git.run(root, words, timeout=LONGEST, environment=_EXACT)
        yield os.path.join(_inner(place), prefix)
    finally:
        _remove(root, place)
        os.close(held)


def _inner(place: str) -> str:
    """The worktree stands inside the folder that is locked, which goes last: no half of it is forgotten."""
    return os.path.join(place, f"canaryfleet-{os.path.basename(place)}")


@contextlib.contextmanager
def _locked(folder: str, *, wait: bool) -> Iterator[None]:
    """The folder itself is locked: the kernel lets go of it when the process dies. Raises BlockingIOError."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(held)


def _clear(root: Root, home: str) -> None:
    """Remove the worktrees of dead processes; those of live ones are locked."""
    for name in os.listdir(home):
        place = os.path.join(home, name)
        with contextlib.suppress(BlockingIOError, NotADirectoryError), _locked(place, wait=False):
            _remove(root, place)


def _remove(root: Root, place: str) -> None:
    # Twice --force: also one that git was still making when it was killed.
    with contextlib.suppress(Problems):
        git.run(root, ["worktree", "remove", "--force", "--force", _inner(place)], timeout=LONGEST)
    shutil.rmtree(place, ignore_errors=True)


# Commits


def commit(root: Root, parent: str, app: str, changes: Changes, message: str, when: datetime) -> str:
    """The commit by the bot that makes `changes` below `overlays/<app>/` on `parent`; its id. No ref has it.

    Raises `Problems`: CF011 a path is elsewhere or leads through a link; CF025.
    """
    _check(root, parent, app, changes)
    who = f"{AUTHOR} <{EMAIL}> {int(when.timestamp())} +0000\n".encode()
    text, below = message.encode(errors="replace"), _prefix(root)
    # fast-import writes to a ref. This one is given up in the same stream, before it was ever there.
    ref = f"refs/canaryfleet/making/{os.urandom(8).hex()}".encode()
    parts = [b"commit ", ref, b"\nmark :1\nauthor ", who, b"committer ", who, _data(text)]
    parts += [b"from ", parent.encode(), b"\n"]
    parts += [b"D " + _quoted(below + path) for path in sorted(changes.deletes)]
    for path, content in sorted(changes.writes.items()):
        parts += [b"M 100644 inline ", _quoted(below + path), _data(content)]
    parts += [b"\nget-mark :1\nreset ", ref, b"\nfrom ", b"0" * len(parent), b"\n\ndone\n"]
    made = git.run(root, ["fast-import", "--quiet", "--done"], stdin=b"".join(parts), timeout=LONGEST)
    return made.decode().strip()


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _quoted(path: str) -> bytes:
    text = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return b'"' + os.fsencode(text) + b'"\n'


def _prefix(root: Root) -> str:
    """Where `root` is in its repository: empty, or ending with `/`."""
    found = git.clone(root)
    if found is None:
        raise problem(Place("."), git.FAILED, f"{os.fspath(root)} is in no git repository")
    return found.prefix


def _check(root: Root, parent: str, app: str, changes: Changes) -> None:
    """A link on the way would be replaced by a folder, or a folder by a file: neither is ours to decide."""
    home = f"{OVERLAYS}/{app}"
    tops, below = (
        ["ls-tree", "-z", parent, "--", OVERLAYS, home],
        ["ls-tree", "-rtz", parent, "--", f"{home}/"],
    )
    modes: dict[str, bytes] = {}
    for words in (tops, below):
        for entry in git.run(root, words).split(b"\0")[:-1]:
            about, _, name = entry.partition(b"\t")
            modes[os.fsdecode(name)] = about.split(b" ")[0]
    for path in (*changes.writes, *changes.deletes):
        names = path.split("/")
        plain = {"", ".", "..", ".git"}.isdisjoint(name.lower() for name in names) and "\0" not in path
        if not plain or names[:2] != [OVERLAYS, app] or len(names) < 3:
            raise problem(Place(path), OUTSIDE, f"is not below {home}/, and nothing else is written")
        if modes.get(path, b"100644") not in _FILES:
            raise problem(Place(path), OUTSIDE, "is no regular file in Git")
        for depth in range(1, len(names)):
            above = "/".join(names[:depth])
            if modes.get(above, _FOLDER) != _FOLDER:
                raise problem(Place(path), OUTSIDE, f"`{above}` is no folder in Git")


def resolve(root: Root, revision: str) -> str:
    """The id of the commit that a person names: a branch, a tag, `HEAD~1`. Raises `Problems` CF025: there is none."""
    words = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    done = git.answer(root, words, fine=(0, 1, 128), offline=True)
    if done.code:
        what = f"{revision!r} is no commit of this repository"
        raise problem(Place("."), git.FAILED, what, "fetch it, or name a branch, a tag or an id that is here")
    return done.out.decode().strip()


def fork(root: Root, ref: str) -> str:
    """The commit at which what is checked out left the history of a ref. Raises `Problems` CF025: nothing shows it."""
    done = git.answer(root, ["merge-base", "HEAD", ref], fine=(0, 1, 128), offline=True)
    if done.code:
        what = f"nothing here shows where what is checked out left {ref.rpartition('/')[2]}"
        remedy = "fetch the history (`git fetch --unshallow`; in actions/checkout, `fetch-depth: 0`), or use --from"
        raise problem(Place("."), git.FAILED, what, remedy)
    return done.out.decode().strip()


def contains(root: Root, commit: str, other: str) -> bool:
    """Whether a commit has another in its history; not if the clone lacks it. Raises `Problems` CF025."""
    words = ["merge-base", "--is-ancestor", "--end-of-options", other, commit]
    return git.answer(root, words, fine=(0, 1, 128), offline=True).code == 0


def unborn(root: Root) -> bool:
    """True if nothing is committed yet, on no branch. Raises `Problems` CF025."""
    return not git.run(root, ["rev-list", "--all", "--max-count=1"])


def tree(root: Root, commit: str) -> str:
    """The tree of a commit. Raises `Problems` CF025: there is no such commit."""
    return git.run(root, ["rev-parse", "--verify", f"{commit}^{{tree}}"]).decode().strip()


def merged_tree(root: Root, base: str, head: str) -> str | None:
    """The tree that merging `head` into `base` gives; None if they conflict. Raises `Problems` CF025."""
    words = ["merge-tree", "--write-tree", "--no-messages", "--allow-unrelated-histories", base, head]
    done = git.answer(root, words)
    if not done.out:
        raise problem(Place("."), git.FAILED, f"`git merge-tree` can't merge {head} into {base}")
    return None if done.code else done.out.decode().strip()


def has(root: Root, commit: str) -> bool:
    """True if the clone has a commit."""
    return (
        git.answer(root, ["cat-file", "-e", f"{commit}^{{commit}}"], fine=(0, 1, 128), offline=True).code == 0
    )


def is_ours(root: Root, base: str, head: str) -> bool:
    """True if the bot alone has made the commits that `head` has and `base` has not. Raises `Problems` CF025."""
    words = ["log", "--no-mailmap", "--no-show-signature", "--format=%an <%ae>%x00%cn <%ce>"]
    printed = git.run(root, [*words, head, f"^{base}", "--"])
    return set(printed.splitlines()) <= {f"{AUTHOR} <{EMAIL}>\0{AUTHOR} <{EMAIL}>".encode()}


def changed(root: Root, before: str, after: str) -> list[str]:
    """The paths that differ between two trees or commits, from `root`; those elsewhere are left out."""
    words = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--relative", before, after]
    return [os.fsdecode(path) for path in git.run(root, words).split(b"\0")[:-1]]
