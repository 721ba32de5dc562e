"""Where records are kept for which a pull request has no room: each under a Git ref of its own.

`refs/canaryfleet/records/<hash>` names a commit without parents that holds one file. No branch has it, no
clone fetches it unasked, and it goes when it is old. Whoever writes one pushes its ref together with the branch.
"""

import os
from datetime import UTC, datetime, timedelta

from canaryfleet import git
from canaryfleet.errors import Place, problem
from canaryfleet.landing import AUTHOR, EMAIL
from canaryfleet.record import BAD, LARGEST_PACKED, Packed

RECORDS = "refs/canaryfleet/records/"
DAYS = 400
_FILE = "record"
_HASH = frozenset("0123456789abcdef")
Root = str | os.PathLike[str]


def ref(hash: str) -> str:
    """The ref of a record."""
    return RECORDS + hash


def write(root: Root, packed: Packed, now: datetime) -> str:
    """Keep a record, unless it is there; its ref. Raises `Problems` CF025."""
    name = ref(packed.hash)
    if _read(root, packed.hash) == packed.data:
        return name
    said = "The input of a decision of canaryfleet"
    commit = git.alone(root, {_FILE: packed.data}, f"{AUTHOR} <{EMAIL}>", said, now)
    git.run(root, ["update-ref", name, commit])
    return name


def read(root: Root, hash: str) -> Packed:
    """The record whose hash is, or begins with, `hash`. Raises `Problems` CF183 if none is here, or several."""
    known = [name.removeprefix(RECORDS) for name in git.refs(root, RECORDS)]
    found = [name for name in known if name.startswith(hash) and _is_hash(name)]
    if len(found) > 1:
        raise problem(Place("record"), BAD, f"{len(found)} records begin with {hash}", "write more of it")
    data = _read(root, found[0]) if found else None
    if data is None:
        remedy = f"`git fetch origin '+{RECORDS}*:{RECORDS}*'`; records are kept for {DAYS} days"
        raise problem(Place("record"), BAD, f"no record {hash[:64]} is here", remedy)
    return Packed(found[0], data)


def _read(root: Root, hash: str) -> bytes | None:
    path = f"{ref(hash)}:{_FILE}"
    return git.blobs(root, [path], LARGEST_PACKED).get(path)


def prune(root: Root, now: datetime, days: int = DAYS) -> dict[str, str]:
    """Remove the records that are older than so many days; what each ref was, so that it can be removed elsewhere.

    A date that can't be read, or that is still to come, is not old. Raises `Problems` CF025.
    """
    words = ["for-each-ref", "--format=%(refname) %(objectname) %(committerdate:unix)", RECORDS]
    before = (now.astimezone(UTC) - timedelta(days=days)).timestamp()
    old: dict[str, str] = {}
    for line in git.run(root, words).decode(errors="replace").split("\n")[:-1]:
        name, id, at = line.split(" ")
        if at.isdecimal() and int(at) < before and _is_hash(name.removeprefix(RECORDS)):
            old[name] = id
    if old:
        lines = "".join(f"delete {name} {id}\n" for name, id in old.items())
        git.run(root, ["update-ref", "--stdin"], stdin=lines.encode())
    return old


def _is_hash(name: str) -> bool:
    return len(name) == 64 and _HASH.issuperset(name)
