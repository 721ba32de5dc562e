"""Simulated clusters under the example overlays of this repository: real objects, made-up time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from canaryfleet import overlay, repo
from canaryfleet.case import Expected
from canaryfleet.engines.argo_rollouts.observe import observe, reads
from canaryfleet.engines.argo_rollouts.simulate import Behaviour, Event, Script, sight
from canaryfleet.files import Tree
from canaryfleet.manifests import Builder, Object, overlay_folder
from canaryfleet.models.observation import Observation, Subject, Verdict
from canaryfleet.models.release import Release
from canaryfleet.verdict import judge

ROOT = Path(__file__).parents[3]
START = datetime(2026, 11, 2, 8, tzinfo=UTC)
SECOND = START + timedelta(hours=1)  # when the second release is synced


class Case(NamedTuple):
    """One app on one cluster, its release, what was before, and a script."""

    release: Release
    fallback: Release | None
    script: Script

    def behaving(self, **how: Any) -> "Case":
        """The release's version behaves in a way."""
        pod = self.release.clusters[self.script.cluster].pod
        return self._replace(script=self.script._replace(behaviours={pod: Behaviour(**how)}))

    def then(self, minutes: float, act: Any, objects: Any = ()) -> "Case":
        """Something more happens, minutes after the second release came."""
        event = Event(SECOND + timedelta(minutes=minutes), act, objects)
        return self._replace(script=self.script._replace(events=(*self.script.events, event)))

    def seen(self, minutes: float) -> Observation:
        """What is seen, minutes after the second release came."""
        meta = self.release.metadata
        subject = Subject(
            app=meta.name, namespace=meta.namespace, release=self.release.id, selector=self.release.selector
        )
        return observe(sight(self.script, reads(subject), SECOND + timedelta(minutes=minutes)), subject)

    def verdict(self, minutes: float, **changes: Any) -> Verdict:
        """The verdict then."""
        known = {
            "fallback": self.fallback.id if self.fallback else None,
            "uid": self.script.identity,
        } | changes
        expected = Expected(self.script.cluster, self.release, **known)
        return judge(self.seen(minutes), expected, now=SECOND + timedelta(minutes=minutes))

    def told(self, *minutes: float, **changes: Any) -> list[str]:
        """The reasons at some minutes."""
        return [self.verdict(at, **changes).reason for at in minutes]


@cache
def objects(app: str, cluster: str, release: str) -> tuple[Object, ...]:
    """The objects of a cluster's overlay, if it pointed at a release."""
    tree = Tree(ROOT)
    found = repo.release(tree, app, release)
    target = overlay.target(found, cluster, overlay.bakes(found))
    path = repo.overlay_path(app, cluster)
    live = overlay.read_live(tree.read(path), path, found.live)
    text = overlay.text(app, target, None, (), live).encode()
    read = lambda at: text if at == path else tree.read(at)  # noqa: E731
    return tuple(Builder(read).build(overlay_folder(app, cluster)))


@cache
def case(app: str, cluster: str) -> Case:
    """What the cluster's overlay points at comes an hour after its fallback, if it has one."""
    tree = Tree(ROOT)
    pointer = overlay.pointer(tree.read(repo.overlay_path(app, cluster)))
    release = repo.release(tree, app, pointer.release)
    fallback = repo.release(tree, app, pointer.fallback) if pointer.fallback else None
    events = list(_events(app, cluster, pointer))
    return Case(release, fallback, Script(cluster, app, release.metadata.namespace, tuple(events)))


def _events(app: str, cluster: str, pointer: overlay.Pointer) -> Iterator[Event]:
    if pointer.fallback:
        yield Event(START, "apply", objects(app, cluster, pointer.fallback))
    yield Event(SECOND, "apply", objects(app, cluster, pointer.release))
