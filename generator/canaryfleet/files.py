"""Confined reads, and writes that happen all or not at all, below the root of a repository.

A path is written the one way git writes it: relative to the root, `/` between names, no `.`, no
`..`, no empty name. Reading opens each folder of a path relative to the one before it and follows
no symbolic link (openat with O_NOFOLLOW): nothing is cached, so there is nothing to go stale or to
race with, and it costs 25 microseconds a file, the price of looking once at a cached real path.

Symbolic links are refused everywhere, also those that point inside the repository: what a reviewer
sees under a path is then what canaryfleet reads and writes there, and no rule of "which links are
fine" has to be got right.

`apply` survives a crash of the process at any moment, not of the machine: nothing is fsynced,
because what it writes can be generated again and git tells what is missing.
"""

import contextlib
import errno
import fcntl
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from canaryfleet.errors import Place, Problems, problem

MISSING = "CF010"
OUTSIDE = "CF011"
UNREADABLE = "CF012"
NOT_WRITTEN = "CF013"
BUSY = "CF014"

LIMIT = 4 * 1024 * 1024
STAGE_PREFIX = ".canaryfleet-"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
# git checks a file out with 0666 or 0777 minus the umask: never with this mode. So a journal that
# somebody committed is not mistaken for one that an interrupted run left here.
_JOURNAL_MODE = 0o400
_FOLDER_THERE = "folder"

# `Tree` has a method of this name.
_Names = list[str]


class Changes(NamedTuple):
    """What to change in a repository: files to write with their content, files to delete."""

    writes: Mapping[str, bytes]
    deletes: frozenset[str] = frozenset()


class Tree:
    """The files below one folder, the root of a repository.

    Raises `Problems`: CF010 no such file, CF011 outside the root or a symbolic link, CF012 not a
    regular file, too large or unreadable.
    """

    __slots__ = ("limit", "root")

    def __init__(self, root: str | os.PathLike[str], limit: int = LIMIT) -> None:
        # The root itself may be reached through links: it is the user's choice, not the repository's.
        self.root = os.path.realpath(root)
        self.limit = limit
        if not os.path.isdir(self.root):
            raise problem(Place(os.fspath(root)), MISSING, "there is no such folder")

    def read(self, path: str) -> bytes:
        """The content of the regular file at `path`."""
        *folders, name = _names(path) or ("",)
        return self._read_below(self.root, (*folders, name), path)

    def read_each(self, folder: str, name: str) -> dict[str, bytes]:
        """The file `name` of every folder in `folder`, by that folder's name, sorted; none if there is none.

        As if each were read on its own, but the way to `folder` itself is gone only once.
        """
        try:
            parent = _enter(self.root, _names(folder))
        except OSError as error:
            self._nothing_or_raise(folder, error)
            return {}
        try:
            return {
                each: self._read_below(each, (name,), f"{folder}/{each}/{name}", parent)
                for each in sorted(os.listdir(parent))
            }
        finally:
            os.close(parent)

    def exists(self, path: str) -> bool:
        """Whether anything is at `path`, be it a file, a folder or a link (which `read` refuses)."""
        return self.stat(path) is not None

    def is_dir(self, path: str) -> bool:
        """Whether `path` is a folder; a link to one is a finding, so that none is skipped silently."""
        info = self.stat(path)
        if info is not None and stat.S_ISLNK(info.st_mode):
            raise self._link(path, path)
        return info is not None and stat.S_ISDIR(info.st_mode)

    def list(self, path: str) -> _Names:
        """The names in a folder, sorted; none if there is no such folder."""
        try:
            folder = _enter(self.root, _names(path))
        except OSError as error:
            return self._nothing_or_raise(path, error)
        try:
            return sorted(os.listdir(folder))
        finally:
            os.close(folder)

    def walk(self, path: str) -> _Names:
        """The paths of all files below a folder, sorted; none if there is no such folder.

        Links are listed and not followed, so reading what was listed reports them. git's folder and
        `apply`'s are left out.
        """
        found: _Names = []
        folders = ["/".join(_names(path))]
        while folders:
            self._walk_one(folders.pop(), folders, found)
        return sorted(found)

    def stat(self, path: str) -> os.stat_result | None:
        """What is at `path`, a link being described and not followed; None if nothing is there."""
        names = _names(path)
        try:
            if not names:
                return os.stat(self.root)
            parent = _enter(self.root, names[:-1])
            try:
                return os.stat(names[-1], dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(parent)
        except OSError as error:
            self._nothing_or_raise(path, error)
            return None

    def _read_below(self, start: str, names: Sequence[str], path: str, above: int | None = None) -> bytes:
        try:
            parent = _enter(start, names[:-1], above)
            try:
                file = os.open(names[-1], _FILE, dir_fd=parent)
            finally:
                os.close(parent)
        except OSError as error:
            raise self._why(path, error) from None
        try:
            return self._content(file, path)
        except OSError as error:
            raise self._why(path, error) from None
        finally:
            os.close(file)

    def _content(self, file: int, path: str) -> bytes:
        info = os.fstat(file)
        if not stat.S_ISREG(info.st_mode):
            raise problem(Place(path), UNREADABLE, f"is {_kind(info.st_mode)}, not a regular file")
        if info.st_size > self.limit:
            raise self._too_large(path)
        data = os.read(file, info.st_size + 1)
        if len(data) == info.st_size:
            return data
        return self._changing(file, data, path)

    def _changing(self, file: int, data: bytes, path: str) -> bytes:
        # The file grew or shrank since it was measured (or the read was cut short): go on to its end.
        parts, size = [data], len(data)
        while size <= self.limit and (more := os.read(file, 65536)):
            parts.append(more)
            size += len(more)
        if size > self.limit:
            raise self._too_large(path)
        return b"".join(parts)

    def _too_large(self, path: str) -> Problems:
        return problem(Place(path), UNREADABLE, f"is larger than {self.limit} bytes")

    def _walk_one(self, path: str, folders: _Names, found: _Names) -> None:
        try:
            folder = _enter(self.root, _names(path))
        except OSError as error:
            self._nothing_or_raise(path, error)
            return
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not path and (entry.name == ".git" or entry.name.startswith(STAGE_PREFIX)):
                        continue
                    below = f"{path}/{entry.name}" if path else entry.name
                    (folders if entry.is_dir(follow_symlinks=False) else found).append(below)
        finally:
            os.close(folder)

    def _nothing_or_raise(self, path: str, error: OSError) -> _Names:
        why = self._why(path, error)
        if why.findings[0].code != MISSING:
            raise why from None
        return []

    def _why(self, path: str, error: OSError) -> Problems:
        """Why opening failed, found out afterwards, because the many opens that succeed must be fast."""
        names = _names(path)
        for depth in range(1, len(names) + 1):
            part = "/".join(names[:depth])
            try:
                mode = os.lstat(f"{self.root}/{part}").st_mode
            except FileNotFoundError:
                return problem(Place(path), MISSING, "there is no such file")
            except OSError:
                break
            if stat.S_ISLNK(mode):
                return self._link(path, part)
            if depth < len(names) and not stat.S_ISDIR(mode):
                return problem(Place(path), MISSING, f"there is no such file: `{part}` is not a folder")
        return problem(Place(path), UNREADABLE, f"cannot be read: {error.strerror}")

    def _link(self, path: str, link: str) -> Problems:
        target = os.path.realpath(f"{self.root}/{link}")
        inside = target == self.root or target.startswith(self.root + "/")
        where = "" if inside else " that leads out of the repository"
        subject = "is" if link == path else f"cannot be reached: `{link}` is"
        return problem(
            Place(path),
            OUTSIDE,
            f"{subject} a symbolic link{where}",
            "put the file itself there: canaryfleet follows no links",
        )


def resolve(base_dir: str, relative: str) -> str:
    """The repository path that `relative`, as written in a file in the folder `base_dir`, means.

    The root is `.`. Raises ValueError, with a text for people, if it is no relative path or leads
    out of the repository.
    """
    if not relative:
        raise ValueError("an empty path names nothing")
    if any(ord(character) < 32 or ord(character) == 127 for character in relative):
        raise ValueError(f"{relative!r} has control characters in it")
    if relative.startswith("/"):
        raise ValueError(f"`{relative}` is an absolute path: write it relative to this file's folder")
    path = posixpath.normpath(posixpath.join(base_dir, relative))
    if path == ".." or path.startswith(("../", "/")):
        raise ValueError(f"`{relative}` leads out of the repository")
    return path


def apply(root: str | os.PathLike[str], changes: Changes) -> tuple[str, ...]:
    """Make all of `changes` below `root`, or none; gives the paths of files that really changed.

    A file that has its content already is not touched. Folders that deletions leave empty go. A file
    to delete that isn't there is no error. What an interrupted run left is rolled back first.
    Raises `Problems`: CF011 a path is not allowed or goes through a link; CF013 it could not be
    written (and nothing has changed); CF014 somebody else is writing.
    """
    tree = Tree(root)
    _check(changes)
    with _locked(tree.root):
        _roll_back_leftovers(tree)
        steps = _steps(tree, changes)
        if steps:
            _transact(tree, steps, changes.writes)
    return tuple(sorted(step.path for step in steps))


def recover(root: str | os.PathLike[str]) -> bool:
    """Roll back what an interrupted `apply` left behind; says whether there was anything.

    To be called before a repository is read with the intention to write: `apply` recovers too, but
    by then its changes were computed from a tree that was half written.
    Raises `Problems`: CF013 it cannot be rolled back; CF014 the writer is still at work.
    """
    tree = Tree(root)
    if not _leftovers(tree):
        return False
    with _locked(tree.root):
        return _roll_back_leftovers(tree)


class _Step(NamedTuple):
    """One file to change. Its place in the list of steps names its files in the staging folder."""

    path: str
    writes: bool
    replaces: bool
    digest: str = ""


class _Plan(NamedTuple):
    """What the journal holds: the steps, and the folders that they will make, outermost first."""

    steps: tuple[_Step, ...]
    folders: tuple[str, ...]


def _names(path: str) -> tuple[str, ...]:
    if path in {"", "."}:
        return ()
    names = tuple(path.split("/"))
    if "\0" in path or not {"", ".", ".."}.isdisjoint(names):
        raise problem(Place(path), OUTSIDE, "is not a plain path relative to the root of the repository")
    if any(name.lower() == ".git" for name in names):
        # A job's checkout keeps its token there: no file of a pull request may name it.
        raise problem(Place(path), OUTSIDE, "is Git's own: it is no content of the repository")
    return names


def _enter(root: str, names: Iterable[str], above: int | None = None) -> int:
    """An open descriptor of the folder below `root`, reached without following a link."""
    folder = os.open(root, _FOLDER, dir_fd=above)
    for name in names:
        try:
            inner = os.open(name, _FOLDER, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")


def _parents(path: str) -> list[str]:
    """The folders above a path, outermost first, without the root."""
    names = path.split("/")
    return ["/".join(names[:depth]) for depth in range(1, len(names))]


def _check(changes: Changes) -> None:
    for path in (*changes.writes, *changes.deletes):
        names = _names(path)
        if not names or names[0].lower() == ".git" or names[0].startswith(STAGE_PREFIX):
            raise problem(Place(path), OUTSIDE, "is not a path that canaryfleet writes to")
    for path in changes.writes:
        if path in changes.deletes:
            raise problem(Place(path), NOT_WRITTEN, "is to be both written and deleted")
        for parent in _parents(path):
            if parent in changes.writes:
                raise problem(Place(path), NOT_WRITTEN, f"`{parent}` is to be both a file and a folder")


@contextlib.contextmanager
def _locked(root: str) -> Iterator[None]:
    # The root folder is itself what is locked: no lock file to leave behind, to ignore in git or to
    # find stale, and the kernel lets go of it when the process dies.
    folder = os.open(root, _FOLDER)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = "another canaryfleet is writing to this repository"
            raise problem(Place("."), BUSY, text, "try again when it is done") from None
        except OSError as error:
            raise problem(Place("."), BUSY, f"cannot be locked: {error.strerror}") from None
        yield
    finally:
        os.close(folder)


def _steps(tree: Tree, changes: Changes) -> list[_Step]:
    """What really has to change: deletions first, so that a folder can become a file."""
    steps = [_Step(path, False, True) for path in sorted(changes.deletes) if _is_file(tree, path)]
    for path, data in sorted(changes.writes.items()):
        replaces = _is_file(tree, path, folder_is_fine=True)
        if not replaces or _differs(tree, path, data):
            steps.append(_Step(path, True, replaces, _sha256(data)))
    return steps


def _is_file(tree: Tree, path: str, folder_is_fine: bool = False) -> bool:
    info = tree.stat(path)
    if info is None or (folder_is_fine and stat.S_ISDIR(info.st_mode)):
        return False
    if stat.S_ISLNK(info.st_mode):
        raise tree._link(path, path)
    if not stat.S_ISREG(info.st_mode):
        raise problem(Place(path), NOT_WRITTEN, f"is {_kind(info.st_mode)}, not a regular file")
    return True


def _differs(tree: Tree, path: str, data: bytes) -> bool:
    info = tree.stat(path)
    if info is None or info.st_size != len(data):
        return True
    # A limit of its own: what is to be written may be larger than what people may write.
    return Tree(tree.root, len(data)).read(path) != data


def _new_folders(tree: Tree, steps: Iterable[_Step]) -> tuple[str, ...]:
    wanted = {parent for step in steps if step.writes for parent in _parents(step.path)}
    return tuple(path for path in sorted(wanted) if not _is_folder(tree, path))


def _is_folder(tree: Tree, path: str) -> bool:
    info = tree.stat(path)
    return info is not None and stat.S_ISDIR(info.st_mode)


def _transact(tree: Tree, steps: Sequence[_Step], writes: Mapping[str, bytes]) -> None:
    plan = _Plan(tuple(steps), _new_folders(tree, steps))
    stage = f"{tree.root}/{STAGE_PREFIX}{os.urandom(6).hex()}"
    try:
        for folder in (stage, f"{stage}/new", f"{stage}/old"):
            os.mkdir(folder, 0o700)
        _fill(tree.root, stage, plan, writes)
        _perform(tree.root, stage, plan)
        # This is the moment from which the change counts: without a journal nothing is rolled back.
        os.unlink(f"{stage}/journal")
    except BaseException as error:
        if os.path.isdir(stage):
            _undo(tree, stage)
        if isinstance(error, OSError):
            text = f"cannot be written: {error.strerror or error}; nothing has been changed"
            raise problem(_place(plan, error), NOT_WRITTEN, text) from error
        raise
    # The change is made; a staging folder that can't be removed is the next run's to remove.
    with contextlib.suppress(OSError):
        _remove_stage(stage)


def _place(plan: _Plan, error: OSError) -> Place:
    """The file that an error is about, as far as the system says: `new/3` is the third step's."""
    for name in (error.filename2, error.filename):
        if not isinstance(name, str):
            continue
        number = posixpath.basename(name)
        if posixpath.basename(posixpath.dirname(name)) in {"new", "old"} and number.isdecimal():
            return Place(plan.steps[int(number)].path)
    return Place(".")


def _fill(root: str, stage: str, plan: _Plan, writes: Mapping[str, bytes]) -> None:
    """Put the new contents, a second name of each old file, and at last the journal into `stage`."""
    for number, step in enumerate(plan.steps):
        *folders, name = step.path.split("/")
        mode = 0o666
        if step.replaces:
            parent = _enter(root, folders)
            try:
                mode = _keep(parent, name, f"{stage}/old/{number}")
            finally:
                os.close(parent)
        if step.writes:
            _write_new(f"{stage}/new/{number}", writes[step.path], mode if step.replaces else None)
    import json

    journal = json.dumps({"steps": plan.steps, "folders": plan.folders}).encode()
    _write_new(f"{stage}/journal.part", journal, _JOURNAL_MODE)
    os.replace(f"{stage}/journal.part", f"{stage}/journal")


def _keep(parent: int, name: str, kept: str) -> int:
    """Keep the file `name` under another name too; its permissions are the answer."""
    try:
        os.link(name, kept, src_dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        # Not every file system has hard links, and Linux denies them on files of other owners.
        if error.errno not in {errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES}:
            raise
        _copy(parent, name, kept)
    return stat.S_IMODE(os.stat(kept, follow_symlinks=False).st_mode)


def _copy(parent: int, name: str, kept: str) -> None:
    source = os.open(name, _FILE, dir_fd=parent)
    with open(source, "rb") as file:
        info = os.fstat(source)
        _write_new(kept, file.read(), stat.S_IMODE(info.st_mode))
    os.utime(kept, ns=(info.st_atime_ns, info.st_mtime_ns))


def _write_new(path: str, data: bytes, mode: int | None) -> None:
    descriptor = os.open(path, _NEW_FILE, 0o666)
    with open(descriptor, "wb") as file:
        file.write(data)
        if mode is not None:
            os.fchmod(descriptor, mode)


def _perform(root: str, stage: str, plan: _Plan) -> None:
    for step in plan.steps:
        if not step.writes:
            _unlink(root, step.path)
    _prune(root, plan.steps)
    for number, step in enumerate(plan.steps):
        if step.writes:
            _move(root, f"{stage}/new/{number}", step.path)


def _unlink(root: str, path: str) -> None:
    *folders, name = path.split("/")
    parent = _enter(root, folders)
    try:
        os.unlink(name, dir_fd=parent)
    finally:
        os.close(parent)


def _move(root: str, source: str, path: str) -> None:
    """Rename `source` to `path`, making the folders above it."""
    *folders, name = path.split("/")
    parent = os.open(root, _FOLDER)
    try:
        for folder in folders:
            try:
                inner = os.open(folder, _FOLDER, dir_fd=parent)
            except FileNotFoundError:
                os.mkdir(folder, dir_fd=parent)
                inner = os.open(folder, _FOLDER, dir_fd=parent)
            os.close(parent)
            parent = inner
        os.replace(source, name, dst_dir_fd=parent)
    finally:
        os.close(parent)


def _prune(root: str, steps: Sequence[_Step]) -> None:
    """Remove folders that deletions left empty, except those that will be written to."""
    wanted = {parent for step in steps if step.writes for parent in _parents(step.path)}
    left = {parent for step in steps if not step.writes for parent in _parents(step.path)}
    for path in sorted(left - wanted, key=len, reverse=True):
        _rmdir(root, path)


def _rmdir(root: str, path: str) -> None:
    *folders, name = path.split("/")
    # A folder that isn't empty, or that is gone, is none of ours to remove.
    with contextlib.suppress(OSError):
        parent = _enter(root, folders)
        try:
            os.rmdir(name, dir_fd=parent)
        finally:
            os.close(parent)


def _undo(tree: Tree, stage: str) -> None:
    """Roll back what stands in the journal of `stage` and remove it.

    Raises `Problems` CF013 if that fails (the journal stays for the next run), or if a file was
    changed by somebody else meanwhile, which is then left as it is.
    """
    try:
        changed = _restore(tree, stage, _journal(tree.root, stage))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{stage}/journal")
        _remove_stage(stage)
    except (OSError, Problems) as error:
        reason = error.strerror if isinstance(error, OSError) else error.findings[0].message
        name = posixpath.basename(stage)
        text = f"an interrupted change cannot be rolled back: {reason}"
        raise problem(Place(name), NOT_WRITTEN, text, "the next run tries again") from error
    if changed:
        text = "was changed while a change was half made; it is left as it is, the rest was rolled back"
        raise problem(Place(changed[0]), NOT_WRITTEN, text, "compare it with git, then run this again")


def _restore(tree: Tree, stage: str, plan: _Plan) -> list[str]:
    """Put back every file; safe to do twice. Gives the paths that somebody else has changed.

    A step is known to have been made by its file having left `stage/new`, or by what stands at its
    path: the journal is written once, before the first step, and never after.
    """
    changed: list[str] = []
    for number, step in enumerate(plan.steps):
        if step.writes and not step.replaces and not os.path.lexists(f"{stage}/new/{number}"):
            found = _digest(tree, step.path)
            if found == step.digest:
                _unlink(tree.root, step.path)
            # A folder: one that an earlier attempt to roll back has put back already.
            elif found not in {"", _FOLDER_THERE}:
                changed.append(step.path)
    for path in reversed(plan.folders):
        _rmdir(tree.root, path)
    for number, step in enumerate(plan.steps):
        kept = f"{stage}/old/{number}"
        if step.replaces and os.path.lexists(kept):
            if _digest(tree, step.path) in {"", step.digest, _digest_of(kept)}:
                _move(tree.root, kept, step.path)
            else:
                changed.append(step.path)
    return changed


def _digest(tree: Tree, path: str) -> str:
    """The SHA-256 of the file at `path`; empty if nothing is there, a word if it is no file."""
    info = tree.stat(path)
    if info is None:
        return ""
    if not stat.S_ISREG(info.st_mode):
        return _FOLDER_THERE if stat.S_ISDIR(info.st_mode) else "other"
    return _sha256(Tree(tree.root, info.st_size).read(path))


def _digest_of(path: str) -> str:
    with open(path, "rb") as file:
        return _sha256(file.read())


def _sha256(data: bytes) -> str:
    # Imported where it is used, like json: most commands only read, and start-up counts.
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _journal(root: str, stage: str) -> _Plan:
    """The plan of an interrupted run; an empty one if it had not begun to change anything."""
    import json

    try:
        info = os.lstat(f"{stage}/journal")
    except FileNotFoundError:
        return _Plan((), ())
    ours = stat.S_ISREG(info.st_mode) and info.st_mode & 0o777 == _JOURNAL_MODE
    if not ours or info.st_uid != os.geteuid():
        raise _foreign(root, stage)
    try:
        with open(f"{stage}/journal", "rb") as file:
            held = json.load(file)
        plan = _Plan(tuple(_Step(*step) for step in held["steps"]), tuple(held["folders"]))
    except (ValueError, TypeError, KeyError):
        raise _foreign(root, stage) from None
    for path in (*plan.folders, *(step.path for step in plan.steps)):
        _names(path)
    return plan


def _foreign(root: str, stage: str) -> Problems:
    text = "was not left by a run of canaryfleet here (was it committed?)"
    return problem(Place(os.path.relpath(stage, root)), NOT_WRITTEN, text, "remove this folder")


def _leftovers(tree: Tree) -> list[str]:
    return [name for name in tree.list("") if name.startswith(STAGE_PREFIX)]


def _roll_back_leftovers(tree: Tree) -> bool:
    """Roll back every staging folder; to be called with the lock held, so their writers are dead."""
    names = _leftovers(tree)
    for name in names:
        stage = f"{tree.root}/{name}"
        info = os.lstat(stage)
        ours = stat.S_ISDIR(info.st_mode) and info.st_mode & 0o777 == 0o700
        if not ours or info.st_uid != os.geteuid():
            raise _foreign(tree.root, stage)
        _undo(tree, stage)
    return bool(names)


def _remove_stage(stage: str) -> None:
    for inner in ("new", "old"):
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(f"{stage}/{inner}"):
                os.unlink(f"{stage}/{inner}/{name}")
            os.rmdir(f"{stage}/{inner}")
    for name in os.listdir(stage):
        os.unlink(f"{stage}/{name}")
    os.rmdir(stage)
