"""`explain`: a recorded decision, decided again; what decided it, and what would have to change for another."""

import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any, NamedTuple

import msgspec

from canaryfleet import __version__, archive, forges, git, landing, record, repo
from canaryfleet.counterfactual import Otherwise, what_if
from canaryfleet.decide import decide
from canaryfleet.digest import sha256
from canaryfleet.errors import Place, Problems, UsageError, one_line, problem
from canaryfleet.files import Tree
from canaryfleet.models.base import to_json
from canaryfleet.models.decision import Decision
from canaryfleet.models.ran import DecidedDifferently, ExplainedDecision, WhatIf
from canaryfleet.proposal import BOT, names
from canaryfleet.record import BAD, Packed, Record

LARGEST = record.LARGEST
_HEX = frozenset("0123456789abcdef")


class Loaded(NamedTuple):
    """A record; `hash`: what it is called, if it came with a name; `note`: what is to be said of where it came from."""

    record: Record
    hash: str | None
    note: str = ""


class Explained(NamedTuple):
    """A recorded decision and the one that this version makes of the same input."""

    loaded: Loaded
    again: Decision
    differences: tuple[tuple[str, Any, Any], ...]
    """Field, recorded, and now."""
    otherwise: tuple[Otherwise, ...]


def explain(loaded: Loaded) -> Explained:
    """Decide again. Raises `Problems` CF183 for an input of which no decision can be made."""
    situation = loaded.record.situation
    try:
        situation.now.astimezone(UTC)  # as it is told
        again = decide(situation)
        otherwise = tuple(what_if(situation))
    except (ArithmeticError, LookupError, ValueError) as error:  # a time zone that is none, a year 10,000
        raise _bad(f"no decision can be made of it: {type(error).__name__} {error}") from None
    old, new = _compared(loaded.record.decision), _compared(again)
    fields = sorted(old.keys() | new.keys())
    differ = tuple((name, old.get(name), new.get(name)) for name in fields if old.get(name) != new.get(name))
    return Explained(loaded, again, differ, otherwise)


def _compared(decision: Decision) -> dict[str, Any]:
    """What has to be the same. A bar that its branch had already keeps the time and the words of then."""
    bars = [{"workload": bar.workload, "release": bar.release, "by": bar.by} for bar in decision.bars]
    plain: dict[str, Any] = msgspec.to_builtins(decision)
    return plain | ({"bars": bars} if bars else {})


# Where it comes from


def load(word: str, tree: Callable[[], Tree]) -> Loaded:
    """The record that a pull request's number, a file, a hash, or `-` for standard input names.

    Only a number, a hash, and a text that names a record kept elsewhere need the repository `tree`. Raises
    `Problems`: CF183, what the forge says (CF180, CF181), or what git does (CF025).
    """
    if word == "-":
        return _of_bytes(sys.stdin.buffer.read(LARGEST + 1), tree)
    if os.path.isfile(word):
        with open(word, "rb") as file:
            return _of_bytes(file.read(LARGEST + 1), tree)
    if word.removeprefix("#").isdecimal() and len(word) < 10:
        return _of_number(int(word.removeprefix("#")), tree())
    if len(word) >= 7 and _HEX.issuperset(word):
        return _of_hash(word, tree())
    raise UsageError(f"{word!r} is no pull request's number, no file, and no hash of a record")


def _of_bytes(data: bytes, tree: Callable[[], Tree]) -> Loaded:
    """A record as JSON or packed, or the text of a pull request."""
    if len(data) > LARGEST:
        raise _bad(f"it has more than {LARGEST >> 20} MB")
    if data.lstrip().startswith(b"{"):
        return Loaded(record.parse(data), None)
    if data.startswith(b"\x78"):  # as everything that zlib packs
        hash = sha256(data)
        return Loaded(record.decode(data, hash), hash)
    return _of_text(data.decode(errors="replace"), tree, "the text")


def _of_text(text: str, tree: Callable[[], Tree], where: str) -> Loaded:
    found = record.find(text)
    if found is None:
        raise _bad(f"{where} has no record", "was it cut, or rewritten?")
    packed = (
        Packed(found.hash, found.data) if found.data is not None else archive.read(tree().root, found.hash)
    )
    return Loaded(record.decode(packed.data, packed.hash), packed.hash)


def _of_number(number: int, tree: Tree) -> Loaded:
    """Of a pull request of the bot. Its text is anybody's; the commit that it became says which record was meant."""
    forge = forges.connect(repo.fleet(tree).forge, tree.root)
    request = next((item for item in forge.requests(f"{BOT}/") if item.number == number), None)
    if request is None:
        raise _bad(f"the bot has no pull request {number}, or it is too long ago", "explain it by its hash")
    loaded = _of_text(request.body, lambda: tree, f"pull request {number}")
    return loaded._replace(note=_standing(tree.root, request.landed, loaded.hash))


def _standing(root: str, landed: str | None, hash: str | None) -> str:
    """Whether the merged commit names this record."""
    if landed is None:
        return "not merged: whoever may edit the pull request's text may have changed this record"
    try:
        message = git.run(root, ["log", "-1", "--format=%B", "--end-of-options", landed]).decode(
            errors="replace"
        )
    except Problems:
        return (
            f"whether the merged commit {landed[:12]} names this record is not known: it is not in this clone"
        )
    merged = landing.read(message)
    if merged is not None and merged.record == hash:
        return f"the merged commit {landed[:12]} names this record"
    other = f"{merged.record[:12]}" if merged and merged.record else "none"
    return f"the merged commit {landed[:12]} names another record: {other}"


def _of_hash(hash: str, tree: Tree) -> Loaded:
    """From the archive; else from the text of a pull request that carries it."""
    try:
        packed = archive.read(tree.root, hash)
    except Problems as missing:
        found = _in_requests(hash, tree)
        if found is None:
            raise missing from None
        packed = found
    return Loaded(record.decode(packed.data, packed.hash), packed.hash)


def _in_requests(hash: str, tree: Tree) -> Packed | None:
    try:
        bodies = [item.body for item in forges.connect(repo.fleet(tree).forge, tree.root).requests(f"{BOT}/")]
    except Problems:  # then it is not there, and that it is nowhere has been said
        return None
    for body in bodies:
        try:
            found = record.find(body)
        except Problems:  # spoilt by somebody, and not the one that is wanted
            continue
        if found and found.data is not None and found.hash.startswith(hash):
            return Packed(found.hash, found.data)
    return None


# How it is told


def text(found: Explained) -> str:
    """For people."""
    made, situation = found.loaded.record, found.loaded.record.situation
    lines = [
        f"{situation.app}, decided at {situation.now.astimezone(UTC):%Y-%m-%d %H:%M:%SZ} by canaryfleet {made.version}"
        + (f", record {found.loaded.hash[:12]}" if found.loaded.hash else ""),
        f"  {_decision(made.decision)}",
        *([f"  {found.loaded.note}"] if found.loaded.note else []),
        *_same(found),
        "",
        "why, in order",
        *_reasons(made.decision),
        "",
        "what would give another decision",
        *_otherwise(found),
    ]
    return "\n".join(one_line(line) for line in lines)


def _decision(decision: Decision) -> str:
    said = [decision.kind, decision.release or ""]
    said += [f"to wave {decision.wave}"] if decision.wave else []
    parts = [" ".join(filter(None, said))]
    parts += [names([move.cluster for move in decision.moves])] if decision.moves else []
    head = ": ".join(parts)
    bars = [bar.release or bar.workload or "" for bar in decision.bars]
    head += f", bars {names(bars)}" if bars else ""
    head += ", to be recorded" if decision.kind == "Done" and decision.key else ""
    if decision.key:
        head += ", ready to be merged" if decision.ready else ", waits for a person"
    return head


def _same(found: Explained) -> Iterator[str]:
    if not found.differences:
        yield f"  decided again by canaryfleet {__version__}: the same"
        return
    yield f"  decided again by canaryfleet {__version__}: NOT the same: {_decision(found.again)}"
    for name, old, new in found.differences:
        yield f"    {name}: recorded {_short(old)}, now {_short(new)}"


def _short(value: Any) -> str:
    shown = to_json(value).decode()
    return shown if len(shown) <= 200 else f"{shown[:199]}…"


def _reasons(decision: Decision) -> Iterator[str]:
    for number, item in enumerate(decision.reasons, 1):
        yield f"  {number}. {item.message} [{item.code}]" + (f": {item.remedy}" if item.remedy else "")


def _otherwise(found: Explained) -> Iterator[str]:
    """What is alike but for the cluster is said once."""
    if not found.otherwise:
        yield "  nothing of what was tried, alone or in pairs"
    alike: dict[tuple[object, ...], list[Otherwise]] = {}
    for item in found.otherwise:
        one = len(item.changes) == 1 and item.changes[0].cluster and not item.changes[0].whole
        key = (item.changes[0].what, item.decision.kind, item.decision.ready) if one else (id(item),)
        alike.setdefault(key, []).append(item)
    for items in alike.values():
        words = " and ".join(items[0].words)
        if len(items) > 1:
            words = f"any of {names([item.changes[0].cluster for item in items])} {items[0].changes[0].what}"
        yield f"  if {words}: {_decision(items[0].decision)}"


def data(found: Explained) -> ExplainedDecision:
    """For scripts."""
    made = found.loaded.record
    return ExplainedDecision(
        record=found.loaded.hash,
        note=found.loaded.note,
        version=made.version,
        thisVersion=__version__,
        same=not found.differences,
        differences=tuple(
            DecidedDifferently(field=name, recorded=old, now=new) for name, old, new in found.differences
        ),
        decision=made.decision,
        whatIf=tuple(WhatIf(if_=item.words, decision=item.decision) for item in found.otherwise),
    )


def _bad(what: str, remedy: str = "") -> Problems:
    return problem(Place("record"), BAD, what, remedy)
