"""All clusters of a fleet: each read by the source that its `access` names, all at the same time."""

from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from canaryfleet.models.cluster import Cluster
from canaryfleet.models.observation import Problem, Sighting
from canaryfleet.sources import Source, Target, unseen

if TYPE_CHECKING:
    from canaryfleet.commits import Remote

Where = Callable[[], "Remote"]
"""Where the shared repository is, asked for each time, since credentials run out."""


def _kubernetes(root: str, remote: Where | None) -> Source:
    from canaryfleet.sources.kubernetes import Kubernetes

    return Kubernetes()


def _pushed(root: str, remote: Where | None) -> Source:
    from canaryfleet.sources.pushed import Pushed

    return Pushed(root, remote)


def _snapshot(root: str, remote: Where | None) -> Source:
    from canaryfleet.sources.snapshot import Recorded

    return Recorded(root)


Make = Callable[[str, Where | None], Source]
SOURCES: dict[str, Make] = {
    "context": _kubernetes,
    "inCluster": _kubernetes,
    "pushed": _pushed,
    "snapshot": _snapshot,
}
"""Source by the field of `access`; made with the root of the repository and its remote, imported when it is needed."""


def access_of(cluster: Cluster) -> str | None:
    """The field of `access` that is given; None if there is none."""
    return next((name for name in SOURCES if cluster.access and getattr(cluster.access, name)), None)


class Many:
    """The sources of a repository as one: none waits for another, and a sighting is there when it is there."""

    def __init__(self, root: str, remote: Where | None = None) -> None:
        """`remote`: of the shared repository, if not what git knows as the remote `origin`."""
        self._root, self._remote = root, remote
        self._made: dict[Make, Source] = {}

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        """One sighting for each target; `misconfigured` where nothing says how to reach the cluster."""
        groups: dict[Make, list[Target]] = {}
        for target in targets:
            access = access_of(target.cluster)
            if access is None:
                yield unseen(target, "kubernetes", _no_access(target.cluster))
            else:
                groups.setdefault(SOURCES[access], []).append(target)
        yield from _together([(self._source(make), group) for make, group in groups.items()], timeout)

    def _source(self, make: Make) -> Source:
        """Made once: a source may know credentials that it can use again."""
        if make not in self._made:
            self._made[make] = make(self._root, self._remote)
        return self._made[make]


def _no_access(cluster: Cluster) -> Problem:
    where = f"clusters/{cluster.metadata.name}.yaml"
    remedy = f"give {where} an `access`: a context, `inCluster`, `pushed` or `snapshot`"
    return Problem(kind="misconfigured", message="nothing says how to reach it", remedy=remedy)


def _together(work: list[tuple[Source, list[Target]]], timeout: float) -> Iterator[Sighting]:
    """What several sources see, as it comes; whatever one raises is a bug, and is raised here."""
    if len(work) == 1:
        (source, targets), *_ = work
        yield from source.look(targets, timeout=timeout)
        return
    seen: SimpleQueue[Sighting | BaseException | None] = SimpleQueue()

    def read(source: Source, targets: list[Target]) -> None:
        try:
            for sighting in source.look(targets, timeout=timeout):
                seen.put(sighting)
            seen.put(None)
        except BaseException as error:
            seen.put(error)

    for source, targets in work:
        Thread(target=read, args=(source, targets), daemon=True).start()
    left = len(work)
    while left:
        item = seen.get()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            left -= 1
        else:
            yield item
