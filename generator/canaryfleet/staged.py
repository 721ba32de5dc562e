"""What `git commit` would commit: a tree as Git's index has it, without what lies beside that in the working tree."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from posixpath import dirname, join

from canaryfleet import git
from canaryfleet.files import LIMIT, Tree

_INDEX = "GIT_INDEX_FILE"
_LINK = b"120000"


@contextlib.contextmanager
def staged(root: str, environment: Mapping[str, str]) -> Iterator[Tree]:
    """The files below `root`, a folder of a clone, as its index has them; gone when the context ends.

    They are the bytes that Git has, without filters and line ends of a checkout: what everybody else will read.
    `environment`: in a hook it names the index (`git commit -a` has one of its own). Raises `Problems`: CF024 no git,
    CF025 no clone, or a conflict that is not resolved.
    """
    with tempfile.TemporaryDirectory(prefix="canaryfleet-") as folder:
        _export(root, environment, folder)
        yield Tree(folder)


def not_added(root: str, environment: Mapping[str, str], folders: Sequence[str]) -> list[str]:
    """The files below `folders` that the working tree has, and the index not, or otherwise. Raises `Problems` CF025."""
    words = ["ls-files", "--others", "--modified", "--exclude-standard", "-z", "--", *folders]
    printed = git.run(root, words, environment=_index(environment))
    return sorted({os.fsdecode(path) for path in printed.split(b"\0")[:-1]})


def _index(environment: Mapping[str, str]) -> dict[str, str]:
    named = environment.get(_INDEX)
    return {_INDEX: os.path.abspath(named)} if named else {}


def _export(root: str, environment: Mapping[str, str], folder: str) -> None:
    tree = git.run(root, ["write-tree"], environment=_index(environment)).decode().strip()
    entries = list(git.entries(git.run(root, ["ls-tree", "-r", "-z", tree])))
    content = git.blobs(root, {blob for _, kind, blob, _ in entries if kind == b"blob"}, LIMIT)
    links: dict[str, bytes] = {}
    for mode, kind, blob, path in entries:
        if kind != b"blob":  # a submodule has no files here
            continue
        os.makedirs(join(folder, dirname(path)), exist_ok=True)
        data = content.get(blob)
        if mode == _LINK:
            links[path] = data or b"-"
        else:
            _write(join(folder, path), data)
    for path, target in links.items():  # last: nothing is written through them
        os.symlink(target, os.fsencode(join(folder, path)))


def _write(path: str, data: bytes | None) -> None:
    """Without data it is too large to be read, and is so here too."""
    with open(path, "xb") as file:
        if data is None:
            file.truncate(LIMIT + 1)
        else:
            file.write(data)
