"""Status sources: where sightings come from. A module each, and a line in the table of its caller.

A source reads; it judges nothing. It asks what the engine's `reads` name, in their order, keeps the
answers as they came, and turns every failure into a `Problem` that tells what to do.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from canaryfleet.models.cluster import Cluster
from canaryfleet.models.observation import Problem, Read, Sighting, SourceKind


class Question(NamedTuple):
    """One app of a cluster, and what the engine needs to know about it."""

    app: str
    namespace: str
    reads: Sequence[Read]


class Target(NamedTuple):
    """One cluster, and all that is asked of it."""

    cluster: Cluster
    questions: Sequence[Question]


class Source(Protocol):
    """Reads clusters. Nothing that a cluster does, or does not do, raises."""

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        """Exactly one sighting for each target, each as soon as it is there.

        `timeout`: seconds for each cluster by itself, all its apps included. When they are over, the
        sighting has what was answered until then, and problem `timeout` where an answer is missing.
        """
        ...


def unseen(target: Target, source: SourceKind, problem: Problem) -> Sighting:
    """The sighting of a cluster of which nothing was seen, and why."""
    now = datetime.now(UTC)
    return Sighting(
        cluster=target.cluster.metadata.name, source=source, began=now, ended=now, problem=problem
    )
