"""Verdicts: what is true of one release on one cluster, recomputed from what was measured."""

from typing import NamedTuple

from canaryfleet.models.observation import VerdictKind


class Reason(NamedTuple):
    """What a reason code means, and what a person should do about it."""

    kind: VerdictKind
    meaning: str
    remedy: str = ""


REASONS: dict[str, Reason] = {}
