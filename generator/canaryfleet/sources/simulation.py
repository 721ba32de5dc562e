"""Clusters that exist only as scripts: for tests, demonstrations and trials of a spec, with a clock of one's own."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from canaryfleet.engines.argo_rollouts.simulate import Script, sight
from canaryfleet.models.observation import Sighting
from canaryfleet.sources import Question, Target


def _now() -> datetime:
    return datetime.now(UTC)


class Simulation:
    """Reads simulated clusters as they are at a time; where no script is given, nothing was ever deployed."""

    def __init__(self, scripts: Iterable[Script], clock: Callable[[], datetime] = _now) -> None:
        self._scripts = {(script.cluster, script.app): script for script in scripts}
        self._clock = clock

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        """One sighting for each target; troubles are in the scripts, and cost no time."""
        for target in targets:
            yield self._sighting(target, self._clock())

    def _sighting(self, target: Target, at: datetime) -> Sighting:
        questions = target.questions or (Question("", "", ()),)  # which cluster it is, it always says
        seen = [sight(self._script(target, question), question.reads, at) for question in questions]
        problem = next((found.problem for found in seen if found.problem), None)
        return Sighting(
            cluster=target.cluster.metadata.name,
            source="simulation",
            began=at,
            ended=at,
            identity=None if problem else seen[0].identity,
            problem=problem,
            apps=() if problem else tuple(look for found in seen for look in found.apps if look.app),
        )

    def _script(self, target: Target, question: Question) -> Script:
        name = target.cluster.metadata.name
        nothing = Script(name, question.app, question.namespace, uid=target.cluster.uid)
        return self._scripts.get((name, question.app), nothing)
