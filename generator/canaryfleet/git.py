"""A Git repository through its own command.

A few plumbing calls don't need a library that takes longer to import than they take to run. Nothing
here runs hooks, asks for a password or listens to GIT_* variables (a hook's GIT_DIR would answer for
another repository), and addresses are those of four transports: `ext::` would be a command.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from canaryfleet.child import child
from canaryfleet.errors import Place, Problems, problem

NO_GIT = "CF024"
FAILED = "CF025"
BAD_REF = "CF026"

_OPTIONS = (
    "--no-replace-objects",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "protocol.allow=never",
    *(word for name in ("https", "http", "ssh", "file") for word in ("-c", f"protocol.{name}.allow=always")),
    "-c",
    "safe.bareRepository=explicit",
    "-c",
    "log.showRoot=true",
)
# Whatever the user's settings are, the output is the same.
_LOG = (
    "--first-parent",
    "--diff-merges=first-parent",
    "--full-diff",
    "--raw",
    "--no-abbrev",
    "--no-renames",
    "--no-relative",
    "--no-show-signature",
    "--no-mailmap",
    "--encoding=UTF-8",
    "-z",
    "--format=%H %P%x00%ct%x00%an <%ae>%x00%cn <%ce>%x00%B",
)
_SETTINGS = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
_NOTHING: Mapping[str, str] = MappingProxyType({})
# In a partial clone git would fetch what is missing, one object after the other.
_OFFLINE = tuple(
    word for name in ("https", "http", "ssh", "file") for word in ("-c", f"protocol.{name}.allow=never")
)
# Where people put tokens: what git says of an address must not show them.
_USER_IN_ADDRESS = re.compile(r"//[^/@\s]*@")
_NO_REPOSITORY = b"not a git repository"
_SHORTEST_SECRET = 8  # characters: shorter words of an environment are settings, and words of messages
# What git forbids in the name of a ref, and what would make it an expression: `main:sub`, `main~1`.
_NOT_IN_REFS = frozenset(" :~^?*[\\\x7f") | {chr(code) for code in range(32)}


def run(
    root: str | os.PathLike[str],
    args: list[str],
    *,
    stdin: bytes | None = None,
    timeout: float = 60,
    offline: bool = False,
    environment: Mapping[str, str] = _NOTHING,
) -> bytes:
    """What `git ARGS` prints when it runs in the folder `root`. `offline`: whatever it needs, it fetches nothing.

    `environment`: what git is told besides, as credentials that may stand in no argument list.

    Raises `Problems`: CF024 git is not installed, CF025 it failed or took longer than `timeout` seconds.
    """
    return answer(
        root, args, stdin=stdin, timeout=timeout, offline=offline, environment=environment, fine=(0,)
    ).out


class Answer(NamedTuple):
    """How git ended, and what it printed."""

    code: int
    out: bytes


def answer(
    root: str | os.PathLike[str],
    args: list[str],
    *,
    stdin: bytes | None = None,
    timeout: float = 60,
    offline: bool = False,
    environment: Mapping[str, str] = _NOTHING,
    fine: Collection[int] = (0, 1),
) -> Answer:
    """As `run`, where more than one exit code is an answer; with every other one it has failed."""
    try:
        done = _call(root, args, stdin, timeout, _OFFLINE if offline else (), environment)
    except FileNotFoundError as error:
        if error.filename != "git":
            raise problem(Place("."), FAILED, f"there is no folder {os.fspath(root)}") from None
        text = "git is not installed"
        raise problem(Place("."), NO_GIT, text, "install git, or put it on the PATH") from None
    except subprocess.TimeoutExpired:
        text = f"`git {args[0]}` took longer than {timeout:g} s"
        raise problem(Place("."), FAILED, text) from None
    if done.returncode not in fine:
        raise _failure(args, done, environment)
    return Answer(done.returncode, done.stdout)


def user(root: str | os.PathLike[str]) -> str:
    """The `user.name` of whoever works here; empty if git does not know it. Raises `Problems` CF024."""
    return answer(root, ["config", "user.name"]).out.decode(errors="replace").strip()


def default_ref(root: str | os.PathLike[str], branch: str) -> str | None:
    """The full name of the ref that holds `branch`: the remote's if it is known, else the local one.

    None if there is neither, or no repository, or no git at all. A repository that git refuses to
    read is not nothing: it raises `Problems` CF025, or a check against the branch would pass unseen.
    """
    candidates = _refs_of(branch)
    done = _asked(root, ["for-each-ref", "--format=%(refname)", *candidates])
    if done is None:
        return None
    if done.returncode:
        raise _failure(["for-each-ref"], done)
    return next((ref for ref in candidates if ref in _printed(done.stdout)), None)


def main_branch(root: str | os.PathLike[str]) -> str | None:
    """The branch that a person would call the default one; None if nothing says which, or this is no repository.

    Where the remote's HEAD leads; else, before the first commit, the branch that it will begin; else the only one.
    """
    remote = "refs/remotes/origin/HEAD"
    try:
        led = _call(root, ["symbolic-ref", "--quiet", remote], None, 60)
        here = _call(root, ["symbolic-ref", "--quiet", "HEAD"], None, 60)
        all_of_them = _call(root, ["for-each-ref", "--format=%(refname)", "refs/heads/"], None, 60)
    except FileNotFoundError:
        return None
    if any(done.returncode > 1 for done in (led, here, all_of_them)):
        return None
    if led.stdout:
        return _printed(led.stdout)[0].removeprefix("refs/remotes/origin/")
    found = _printed(all_of_them.stdout) or _printed(here.stdout)
    return found[0].removeprefix("refs/heads/") if len(found) == 1 else None


def _asked(root: str | os.PathLike[str], words: list[str]) -> subprocess.CompletedProcess[bytes] | None:
    """What git answers, also that it failed; None without git, or where no repository is."""
    try:
        done = _call(root, words, None, 60)
    except FileNotFoundError:
        return None
    return None if done.returncode and _NO_REPOSITORY in done.stderr else done


def _refs_of(branch: str) -> tuple[str, str]:
    """Where `branch` may be: what the remote has comes first. Raises `Problems` CF026."""
    check_ref(branch)
    return f"refs/remotes/origin/{branch}", f"refs/heads/{branch}"


def branch_files(root: str | os.PathLike[str], branch: str, *under: str) -> dict[str, str] | None:
    """`tree_files` of the ref that `default_ref` names, by one call where the remote has it; None if there is none.

    Raises `Problems` as they do.
    """
    if not under:
        return None if default_ref(root, branch) is None else {}
    for ref in _refs_of(branch):
        words = _listing(ref, under)
        done = _asked(root, words)
        if done is None:
            return None
        if not done.returncode:
            return _files(done.stdout)
        if b"Not a valid object name" not in done.stderr:
            raise _failure(words, done)
    return None


def tree_files(root: str | os.PathLike[str], ref: str, *under: str) -> dict[str, str]:
    """The files that the commit `ref` has below the folders `under`: path to blob id.

    Paths are relative to `root`, which may be a folder somewhere in the repository. Submodules are
    left out. Raises `Problems`: CF025 there is no such ref, CF026 its name is not allowed.
    """
    check_ref(ref)
    return _files(run(root, _listing(ref, under))) if under else {}


def _listing(ref: str, under: tuple[str, ...]) -> list[str]:
    # Run in a folder of the repository, ls-tree looks only below it and prints paths relative to it.
    folders = [] if {"", "."} & set(under) else [folder.rstrip("/") + "/" for folder in under]
    return ["ls-tree", "-r", "-z", ref, "--", *folders]


class Entry(NamedTuple):
    """A line of `ls-tree -z`. `mode`: `100644`, `100755`, `120000` a link, `160000` a submodule, whose kind is `commit`."""

    mode: bytes
    kind: bytes
    id: str
    path: str


def entries(printed: bytes) -> Iterator[Entry]:
    """What `ls-tree -z` printed."""
    for line in printed.split(b"\0")[:-1]:
        about, path = line.split(b"\t", 1)
        mode, kind, id = about.split(b" ")
        yield Entry(mode, kind, id.decode(), os.fsdecode(path))


def _files(printed: bytes) -> dict[str, str]:
    return {entry.path: entry.id for entry in entries(printed) if entry.kind == b"blob"}


def links(root: str | os.PathLike[str], ref: str, under: str) -> list[str]:
    """What at `under` and below it is no regular file: symbolic links and submodules. Raises `Problems`: CF025, CF026."""
    check_ref(ref)
    printed = run(root, ["ls-tree", "-r", "-z", ref, "--", under])
    return [entry.path for entry in entries(printed) if not entry.mode.startswith(b"100")]


class Clone(NamedTuple):
    """Of which kind the repository is, and where in it a folder is: `prefix` ends with `/`, or is empty."""

    shallow: bool
    prefix: str


def clone(root: str | os.PathLike[str]) -> Clone | None:
    """What the folder `root` is in; None if that is no repository, or there is no git. Raises `Problems` CF025."""
    asked = ["rev-parse", "--is-shallow-repository", "--show-prefix"]
    done = _asked(root, asked)
    if done is None:
        return None
    if done.returncode:
        raise _failure(asked, done)
    shallow, _, prefix = done.stdout.removesuffix(b"\n").partition(b"\n")
    return Clone(shallow == b"true", os.fsdecode(prefix))


def is_partial(root: str | os.PathLike[str]) -> bool:
    """True if the clone may lack objects: it was made with a filter, and git would fetch them one by one.

    Raises `Problems` CF025.
    """
    return bool(answer(root, ["config", "--get-regexp", r"^remote\..*\.(promisor|partialclonefilter)$"]).out)


class File(NamedTuple):
    """A file after a commit. `blob`: None if it is gone, or no file; `new`: there was nothing before.

    `old`: what it was before; None if there was nothing, or no file.
    """

    blob: str | None
    new: bool
    old: str | None


class Logged(NamedTuple):
    """A commit, and what it changed against its first parent.

    `at`: seconds by the committer's clock, None if they can't be read; `author` and `committer`: `name <address>`.
    """

    id: str
    parents: tuple[str, ...]
    at: int | None
    author: str
    committer: str
    message: str
    files: dict[str, File]

    @property
    def root(self) -> bool:
        """Nothing is known of what was before."""
        return not self.parents


def log(
    root: str | os.PathLike[str],
    ref: str,
    paths: list[str],
    *,
    below: str,
    most: int,
    without: Iterable[str] = (),
    timeout: float = 60,
) -> Iterator[Logged]:
    """The newest commits in the first-parent history of `ref` that changed one of `paths`, newest first.

    Each has all files that it changed, by their path from `root`, which is at `below` in the repository;
    those elsewhere begin with `/`. `without`: refs whose commits are left out. No paths: all commits.
    Nothing is fetched. Raises `Problems`: CF025, CF026.
    """
    refs = [ref, *without]
    for name in refs:
        check_ref(name)
    words = ["log", *_LOG, f"--max-count={most}", ref, *(f"^{name}" for name in refs[1:]), "--", *paths]
    printed = run(root, words, timeout=timeout, offline=True)
    return _logged(iter(printed.split(b"\0")), below)


def show(
    root: str | os.PathLike[str], ids: Iterable[str], *, below: str, timeout: float = 60
) -> dict[str, Logged]:
    """Some commits by their ids, as `log` has them; those that are not there are left out.

    Nothing is fetched. Raises `Problems` CF025.
    """
    asked = sorted(set(ids))
    words = ["cat-file", "--batch-check=%(objecttype)"]
    kinds = run(root, words, stdin=_lines(asked), offline=True, timeout=timeout).splitlines()
    there = [id for id, kind in zip(asked, kinds, strict=True) if kind == b"commit"]
    if not there:
        return {}
    words = ["log", *_LOG, "--no-walk=unsorted", "--stdin"]
    printed = run(root, words, stdin=_lines(there), offline=True, timeout=timeout)
    return {item.id: item for item in _logged(iter(printed.split(b"\0")), below)}


def _logged(tokens: Iterator[bytes], below: str) -> Iterator[Logged]:
    """NUL ends every token, and is in no message and no path: none of them can pass for something else."""
    item: Logged | None = None
    for token in tokens:
        if item and token.startswith((b"\n:", b":")):
            before, mode, old, new, _ = token.split(b" ")
            path = os.fsdecode(next(tokens))
            name = path.removeprefix(below) if path.startswith(below) else f"/{path}"
            nothing = not old.strip(b"0")
            was = None if nothing or not before.endswith((b":100644", b":100755")) else old.decode()
            item.files[name] = File(new.decode() if mode.startswith(b"100") else None, nothing, was)
        elif token:
            if item:
                yield item
            id, *parents = token.decode().split()
            at, author, committer, message = (next(tokens).decode(errors="replace") for _ in range(4))
            when = int(at) if at.isdecimal() and at.isascii() else None
            item = Logged(id, tuple(parents), when, author, committer, message, {})
    if item:
        yield item


def ahead(root: str | os.PathLike[str], ids: Iterable[str], without: Iterable[str]) -> set[str]:
    """Those of some commits, and of all before them, that are in the history of none of the refs `without`.

    Nothing is fetched. Raises `Problems`: CF025, CF026.
    """
    names = list(without)
    for name in names:
        check_ref(name)
    asked = [*ids, *(f"^{name}" for name in names)]
    return set(run(root, ["rev-list", "--stdin"], stdin=_lines(asked), offline=True).decode().split())


def refs(root: str | os.PathLike[str], *prefixes: str) -> dict[str, str]:
    """Object id by name of the refs below some prefixes that end with `/`. Raises `Problems` CF025."""
    printed = run(root, ["for-each-ref", "--format=%(refname) %(objectname)", *prefixes])
    return {name: id for name, _, id in (line.partition(" ") for line in _printed(printed))}


def blobs(
    root: str | os.PathLike[str],
    names: Iterable[str],
    largest: int,
    *,
    offline: bool = False,
    timeout: float = 60,
) -> dict[str, bytes]:
    """The files that ids or `<commit>:<path>` name, without what is no file or has more than `largest` bytes.

    A path with a line end in it can't be asked for, and is left out too. Raises `Problems` CF025.
    """
    asked = sorted(name for name in names if "\n" not in name)
    words = ["cat-file", "--batch-check"]
    about = run(root, words, stdin=_lines(asked), offline=offline, timeout=timeout).split(b"\n")[:-1]
    found: dict[str, int] = {}
    for name, line in zip(asked, about, strict=True):
        _, kind, bytes_ = line.rsplit(b" ", 2) if line.count(b" ") > 1 else (line, b"missing", b"")
        if kind == b"blob" and bytes_.isdigit() and int(bytes_) <= largest:
            found[name] = int(bytes_)
    printed = run(root, ["cat-file", "--batch"], stdin=_lines(found), offline=offline, timeout=timeout)
    content, at = {}, 0
    for name, size in found.items():
        at = printed.index(b"\n", at) + 1
        content[name] = printed[at : at + size]
        at += size + 1
    return content


def alone(
    root: str | os.PathLike[str], files: Mapping[str, bytes], who: str, message: str, when: datetime
) -> str:
    """A commit without parents that has these files and nothing else; its id. No ref has it.

    `who`: `name <address>`. Raises `Problems` CF025.
    """
    entries = [f"100644 blob {_stored(root, 'blob', data)}\t{name}\n" for name, data in files.items()]
    tree = run(root, ["mktree"], stdin="".join(entries).encode()).decode().strip()
    by = f"{who} {int(when.timestamp())} +0000"
    return _stored(root, "commit", f"tree {tree}\nauthor {by}\ncommitter {by}\n\n{message}\n".encode())


def _stored(root: str | os.PathLike[str], kind: str, data: bytes) -> str:
    return run(root, ["hash-object", "-w", "-t", kind, "--stdin"], stdin=data).decode().strip()


def _lines(names: Iterable[str]) -> bytes:
    """Names may be any bytes, which were decoded as those of files are."""
    return os.fsencode("".join(f"{name}\n" for name in names))


def _printed(names: bytes) -> list[str]:
    """Lines with names of refs: a name has no line end, but may have what Unicode takes for one (U+2028, U+0085)."""
    return os.fsdecode(names).split("\n")[:-1]


def blob_id(data: bytes, length: int = 40) -> str:
    """The id that git gives to a file with this content, in a repository whose ids have `length` digits.

    That is 40 (SHA-1) or 64 (SHA-256), else ValueError. It is the id of the bytes as they are: a
    repository that converts line ends on checkout, or uses LFS, stores other bytes.
    """
    if length not in {40, 64}:
        raise ValueError(f"git has no object ids of {length} digits")
    # git's name for content, no safeguard of ours.
    digest = hashlib.sha1(usedforsecurity=False) if length == 40 else hashlib.sha256()
    digest.update(b"blob %d\0" % len(data))
    digest.update(data)
    return digest.hexdigest()


def _call(
    root: str | os.PathLike[str],
    args: list[str],
    stdin: bytes | None,
    timeout: float,
    options: tuple[str, ...] = (),
    environment: Mapping[str, str] = _NOTHING,
) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    words = ["git", *_OPTIONS, *options, *args]
    told = kept | _SETTINGS | dict(environment)
    with child(words, cwd=root, env=told, stdin=subprocess.PIPE) as process:
        out, error = process.communicate(b"" if stdin is None else stdin, timeout)
    return subprocess.CompletedProcess(words, process.returncode, out, error)


def _failure(
    args: list[str], done: subprocess.CompletedProcess[bytes], environment: Mapping[str, str] = _NOTHING
) -> Problems:
    said = _USER_IN_ADDRESS.sub("//", done.stderr.decode(errors="replace")).strip()
    for secret in _secrets(environment):
        said = said.replace(secret, "…")
    said = said or f"exit code {done.returncode}"
    return problem(Place("."), FAILED, f"`git {args[0]}` failed: {said}")


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """What may be one among the values that git was given, and their words; the longest first."""
    values = [
        value
        for name, value in environment.items()
        if name.startswith("GIT_CONFIG_VALUE_") or not name.startswith("GIT_")
    ]
    words = {word for value in values for word in (value, *value.split())}
    return sorted((word for word in words if len(word) >= _SHORTEST_SECRET), key=len, reverse=True)


def check_ref(ref: str) -> None:
    """Refuse what could be an option or an expression instead of a name."""
    if not ref or ref.startswith("-") or ".." in ref or not _NOT_IN_REFS.isdisjoint(ref):
        raise problem(Place("."), BAD_REF, f"{ref!r} is not the name of a branch or ref")
