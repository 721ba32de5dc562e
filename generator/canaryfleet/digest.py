"""Digests: the one way that content becomes a name."""

import hashlib
import json
from typing import Any

ID_LENGTH = 12  # of release ids and names of content; the full digest stands in release.yaml
STAMP_LENGTH = 20  # of what is stamped into pods; a label value holds 63


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """Plain data as JSON bytes that depend on the content alone, not on the order of keys."""
    return _ENCODER.encode(value).encode()


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """Full digest of plain data."""
    return sha256(canonical_json(value))


def short(value: Any) -> str:
    """Digest of plain data for a name."""
    return digest(value)[:ID_LENGTH]


def stamp(value: Any) -> str:
    """Digest of plain data for a pod template."""
    return digest(value)[:STAMP_LENGTH]
