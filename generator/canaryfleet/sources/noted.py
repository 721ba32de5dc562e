"""A source that tells what can't be read: for the log of a service, once until it becomes something else."""

from collections.abc import Callable, Iterable, Iterator

from canaryfleet.models.observation import Problem, Sighting
from canaryfleet.sources import Source, Target

Tell = Callable[[str, str, Problem], object]
"""Gets a cluster, an app of it (empty: all of them), and why it can't be read."""


class Noted:
    """As the source that it stands for."""

    def __init__(self, source: Source, tell: Tell) -> None:
        self._source, self._tell = source, tell
        self._known: dict[str, dict[str, Problem]] = {}

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        """One sighting for each target, as the source gives them."""
        for sighting in self._source.look(targets, timeout=timeout):
            self._note(sighting)
            yield sighting

    def _note(self, sighting: Sighting) -> None:
        found = {look.app: look.problem for look in sighting.apps if look.problem}
        if sighting.problem:
            found = {"": sighting.problem}
        known = self._known.get(sighting.cluster, {})
        self._known[sighting.cluster] = found
        for app, problem in found.items():
            if known.get(app) != problem:
                self._tell(sighting.cluster, app, problem)
