"""What people were told last of each app, where every bot finds it: also one by cron, in a fresh clone.

`refs/canaryfleet/told/<app>` of the shared repository names a commit without parents that holds one small file.
Who is about to tell replaces it first, and exactly what it has read before its run: of several bots one can do
that, and it tells. So nobody is told twice; what a bot that dies in between wanted to say is not said. Whoever
may push can change it: it decides what is told, and nothing else.
"""

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from canaryfleet import commits, git, news
from canaryfleet.commits import Remote, Root
from canaryfleet.digest import canonical_json
from canaryfleet.errors import WARNING, Finding, Place, Problems, one_line, problem
from canaryfleet.landing import AUTHOR, EMAIL
from canaryfleet.models.base import AppName
from canaryfleet.models.decision import Decision
from canaryfleet.news import Told

REFS = "refs/canaryfleet/told/"
UNTOLD = "CF186"
LARGEST = 16 << 10
_FILE = "told.json"


class _Held(NamedTuple):
    """What a ref names: a commit, and its file if it has one that is not too large."""

    commit: str | None = None
    data: bytes | None = None


class Ledger:
    """What people were told, as far as this process knows. Nothing here raises: what fails is a warning (CF186)."""

    def __init__(self, root: Root, remote: Callable[[], Remote], clock: Callable[[], datetime]) -> None:
        """`remote`: asked for each time, since credentials run out; `clock`: what is written is dated by."""
        self._root, self._remote, self._clock = root, remote, clock
        self._held: Mapping[str, _Held] | None = None
        self._stale: set[str] = set()

    def look(self, app: str | None = None) -> list[Finding]:
        """Before a run: read what people were told of an app, or of all, unless it is known. One fetch for all."""
        if self._held is not None and app not in self._stale:
            return []
        try:
            commits.fetch_refs(self._root, self._remote(), REFS)
            self._held = self._read()
        except Problems as problems:
            return [_warning("what people were told last can't be read", problems)]
        self._stale -= {app}
        return []

    def forget(self, app: str) -> None:
        """Somebody else may tell of an app: its next run reads anew."""
        self._stale.add(app)

    def turn(self, decision: Decision) -> tuple[Told | None, list[Finding]]:
        """After a run: what people were told before, now that its decision is written down as what they know.

        None if that is not known, or can't be written down, or if somebody else has: then nothing is news.
        """
        app = decision.app
        if self._held is None or app in self._stale:
            return None, []
        held = self._held.get(app, _Held())
        warnings: list[Finding] = []
        try:
            before = _decoded(app, held)
        except Problems as problems:
            before, warnings = None, [_warning(f"what people were told last of {app} is not known", problems)]
        after = news.told_of(decision)
        if before == after:
            return before, warnings
        try:
            ours = self._write(app, held, after)
        except Problems as problems:
            self.forget(app)
            what = f"people are not told what has become of {app}, or each run would tell it again"
            return None, [*warnings, _warning(what, problems)]
        return before if ours else None, warnings

    def _read(self) -> dict[str, _Held]:
        found = git.refs(self._root, REFS)
        paths = {name: f"{id}:{_FILE}" for name, id in found.items()}
        blobs = git.blobs(self._root, set(paths.values()), LARGEST)
        return {name.removeprefix(REFS): _Held(id, blobs.get(paths[name])) for name, id in found.items()}

    def _write(self, app: str, held: _Held, after: Told) -> bool:
        """Put it in the place of what was read; False if somebody else was first. Raises `Problems`."""
        if not _is_name(app):
            raise problem(Place("."), UNTOLD, f"{app} is no name of an app", "rename its folder")
        data = canonical_json(msgspec.to_builtins(after))
        # Two bots write the same in the same second: without the number both commits were one, and each its own.
        said = f"What people were told of {app}\n\n{os.urandom(16).hex()}"
        commit = git.alone(self._root, {_FILE: data}, f"{AUTHOR} <{EMAIL}>", said, self._clock())
        done = commits.swap(self._root, self._remote(), REFS + app, commit, held.commit)
        if done == "raced":
            self.forget(app)
            return False
        self._held = {**(self._held or {}), app: _Held(commit, data)}
        return True


def _decoded(app: str, held: _Held) -> Told | None:
    """What a ref says; None if there is none. Raises `Problems`."""
    if held.commit is None:
        return None
    remedy = "find out who else pushes there; it is written anew"
    if held.data is None:
        what = f"{REFS}{app} has no {_FILE} of at most {LARGEST >> 10} KB"
        raise problem(Place("."), UNTOLD, what, remedy)
    try:
        return msgspec.json.decode(held.data, type=Told, strict=True)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise problem(Place("."), UNTOLD, f"{REFS}{app} is not of the form: {error}", remedy) from None


def _is_name(app: str) -> bool:
    try:
        msgspec.convert(app, AppName)
    except msgspec.ValidationError:
        return False
    return True


def _warning(what: str, problems: Problems) -> Finding:
    first = problems.findings[0]
    remedy = first.remedy or "see whether the bot may fetch and push there"
    return Finding(Place("."), UNTOLD, one_line(f"{what}: {first.message}"), remedy, WARNING)
