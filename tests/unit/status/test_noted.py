"""What can't be read is told once, until it becomes something else."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from canaryfleet.models.observation import Look, Problem, Sighting
from canaryfleet.sources import Target
from canaryfleet.sources.noted import Noted

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def no(message: str) -> Problem:
    return Problem(kind="forbidden", message=message, remedy="allow it")


def seen(problem: Problem | None = None, **apps: Problem | None) -> Sighting:
    looks = tuple(Look(app=app, namespace=app, problem=why) for app, why in apps.items())
    return Sighting(cluster="a", source="kubernetes", began=NOW, ended=NOW, problem=problem, apps=looks)


class Played:
    """Gives one sighting after the other."""

    def __init__(self, *sightings: Sighting) -> None:
        self.left = list(sightings)

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        yield self.left.pop(0)


def test_it_is_told_when_it_begins_and_when_it_changes() -> None:
    forbidden, other = no("x may not list pods"), no("x may not get rollouts")
    sightings = [
        seen(web=None), seen(web=forbidden, chat=None), seen(web=forbidden), seen(web=other), seen(web=None),
        seen(web=other), seen(forbidden, web=forbidden, chat=forbidden), seen(forbidden),
    ]  # fmt: skip
    told: list[tuple[str, str, str]] = []
    source = Noted(Played(*sightings), lambda cluster, app, why: told.append((cluster, app, why.message)))
    given = [list(source.look([], timeout=1)) for _ in sightings]
    assert given == [[one] for one in sightings], "what is seen stays what it is"
    assert told == [
        ("a", "web", "x may not list pods"),
        ("a", "web", "x may not get rollouts"),
        ("a", "web", "x may not get rollouts"),
        ("a", "", "x may not list pods"),
    ]
