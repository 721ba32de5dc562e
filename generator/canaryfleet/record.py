"""The record of a decision: all that it was made of, in a form that goes into a pull request and comes back unharmed.

A record is canonical JSON, compressed; its name is the SHA-256 of the compressed bytes, so that nothing is
unpacked that is not what the name says. In a pull request it stands in an HTML comment as base64, which has no
`-` and so can't end the comment. The text of a pull request is anybody's to change: a hash shows that a record
is whole, never that it is true; the commit that was merged names the one that counts (landing.py).
"""

import base64
import binascii
import re
import zlib
from typing import NamedTuple

import msgspec

from canaryfleet import __version__
from canaryfleet.digest import sha256
from canaryfleet.errors import Place, Problems, problem
from canaryfleet.models.base import Model, to_json
from canaryfleet.models.decision import Decision, Situation

BAD = "CF183"
LARGEST = 128 << 20  # bytes of JSON: some ten thousand clusters
LARGEST_PACKED = 32 << 20
LONGEST = 40_000  # characters in a pull request's text, which has to leave room for what people read
_COMMENT = re.compile(
    r"^<!-- canaryfleet-record v1 (?P<hash>[0-9a-f]{64})[ \t]*(?:\r?\n(?P<data>[A-Za-z0-9+/=\s]*?))?-->",
    re.MULTILINE,
)
_OURS = Place("record")


class Record(Model, frozen=True, kw_only=True):
    """A decision, what it was made of, and which canaryfleet made it."""

    version: str
    situation: Situation
    decision: Decision


class Packed(NamedTuple):
    """A record as bytes, and its name."""

    hash: str
    data: bytes


class Found(NamedTuple):
    """What a pull request's text says of its record; without `data` it is kept elsewhere (archive.py)."""

    hash: str
    data: bytes | None


def of(situation: Situation, decision: Decision) -> Record:
    """The record of a decision that this version made."""
    return Record(version=__version__, situation=situation, decision=decision)


def encode(record: Record) -> Packed:
    """The record as bytes, the same for the same content (and library of compression)."""
    data = zlib.compress(canonical(record), 6)
    return Packed(sha256(data), data)


def canonical(record: Record) -> bytes:
    """The record as canonical JSON: without spaces, with the keys in order."""
    return to_json(record, order="sorted")


def decode(data: bytes, expected: str) -> Record:
    """The record with the name `expected`. Raises `Problems` CF183 with what is wrong."""
    if len(data) > LARGEST_PACKED:
        raise _bad(f"it has more than {LARGEST_PACKED >> 20} MB")
    if sha256(data) != expected:
        raise _bad(
            f"its content is not what its hash {expected[:12]} says", "take it from where it came anew"
        )
    return parse(_unpacked(data))


def _unpacked(data: bytes) -> bytes:
    """What is compressed, never more of it than may be: a small file can unfold without end."""
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(data, LARGEST + 1)
    except zlib.error:
        raise _bad("it is not compressed as a record is") from None
    if len(found) > LARGEST:
        raise _bad(f"unpacked it has more than {LARGEST >> 20} MB")
    if not unpacker.eof or unpacker.unused_data:
        raise _bad("it is cut off, or something follows it")
    return found


def parse(text: bytes) -> Record:
    """The record that JSON holds; what no model has room for is refused. Raises `Problems` CF183."""
    try:
        return msgspec.json.decode(text, type=Record, strict=True)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        made = _made_by(text)
        other = made not in ("", __version__)
        remedy = f"canaryfleet {made} made it: explain it with that version" if other else ""
        raise _bad(f"it is not of the form of a record: {error}", remedy) from None


class _Made(msgspec.Struct):
    version: str = ""


def _made_by(text: bytes) -> str:
    """The version that a record names which this version can't read."""
    try:
        return msgspec.json.decode(text, type=_Made).version
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ""


# In the text of a pull request


def hidden(packed: Packed) -> str:
    """The record as a comment that no reader sees; one that is too long is only named there."""
    whole = f"<!-- canaryfleet-record v1 {packed.hash}\n{base64.b64encode(packed.data).decode()}\n-->"
    return whole if fits(packed) else f"<!-- canaryfleet-record v1 {packed.hash} -->"


def fits(packed: Packed) -> bool:
    """True if the text of a pull request has room for the record; else it has to be archived."""
    return len(packed.data) * 4 // 3 + 150 <= LONGEST


def find(body: str) -> Found | None:
    """The record in the text of a pull request, whatever a forge did to its line ends; None if there is none.

    Raises `Problems` CF183 if there are several: somebody has added one, and nothing says which is ours.
    """
    found = list(_COMMENT.finditer(body))
    if not found:
        return None
    if len(found) > 1:
        raise _bad(f"the text has {len(found)} records", "restore the text, or let the bot write it anew")
    text = found[0]["data"]
    if text is None:
        return Found(found[0]["hash"], None)
    try:
        return Found(found[0]["hash"], base64.b64decode("".join(text.split()), validate=True))
    except binascii.Error:
        raise _bad("it is no base64") from None


def visible(body: str) -> str:
    """The text of a pull request without its record, and without what forges do to line ends.

    The input changes with every second. A text whose visible part is the same is to be left alone.
    """
    without = _COMMENT.sub("", body)
    for found in _COMMENT.finditer(body):
        without = without.replace(found["hash"], "")
    lines = (line.rstrip() for line in without.splitlines())
    return "\n".join(lines).strip()


def _bad(what: str, remedy: str = "") -> Problems:
    return problem(_OURS, BAD, what, remedy)
