"""What a rule looks at, and what it may say."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from canaryfleet.errors import WARNING, Issue
from canaryfleet.models.decision import Amounts
from canaryfleet.models.release import Release
from canaryfleet.resolve import Plan


class Subject(NamedTuple):
    """One app on its fleet, at one time."""

    plan: Plan
    release: Release
    now: datetime
    """Of freezes and windows only what is still to come matters."""
    everywhere: bool
    """Whether all its clusters have this release already: it starts no more."""
    takes: Mapping[str, Amounts]
    """What its pods ask for, by cluster, in thousandths of each resource that the cluster declares."""
    others: Mapping[str, Amounts]
    """The same of all other apps together."""


Path = tuple[str | int, ...]  # in the spec
Rule = Callable[[Subject], Iterator[Issue]]


def warning(path: Path, code: str, message: str, remedy: str) -> Issue:
    """What a rule says: `path` in the spec."""
    return Issue(path, code, message, remedy, WARNING)


def waves_key(subject: Subject) -> str:
    """The field of the spec that has the waves in force."""
    spec = subject.plan.inputs.spec
    return "waves" if spec.waves_in_force() is spec.waves else "hotfixWaves"
