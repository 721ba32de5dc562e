"""From what was observed of the clusters to the files of a pull request, for one app on fleets of several sizes.

Six tenths of the fleet have the app's first release, proven; the rest gets it by this decision. What was observed
comes from simulated controllers, one for each kind of cluster: what one says is said of all of its kind.

`python -m benchmarks.moves ROOT CLUSTERS` makes a fleet.
"""

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from msgspec.structs import replace

from benchmarks import fleet
from benchmarks.fleet import COMMITTED, FIRST, NOW, WAVES
from benchmarks.measure import call
from canaryfleet import content, git, overlay, situation, status
from canaryfleet.board import Seat
from canaryfleet.decide import decide
from canaryfleet.engines.argo_rollouts.simulate import Event, Script
from canaryfleet.files import Changes, Tree
from canaryfleet.ground import Ground, survey
from canaryfleet.manifests import Builder, immutable, overlay_folder
from canaryfleet.models.observation import Observation
from canaryfleet.sources.simulation import Simulation
from canaryfleet.status import Seen
from canaryfleet.verdict import judge

APP = "app-00"
SETTLED = timedelta(minutes=1)  # after which a cluster has what was merged


class Took(NamedTuple):
    """Seconds: of reading Git, and of what comes after the clusters were read."""

    git: float
    move: float


def make(root: Path, clusters: int) -> None:
    """A committed repository with one app, which the first three waves have."""
    fleet.release(root, fleet.begin(root, clusters, 1), FIRST, WAVES[:3])


def measure(fleets: Mapping[int, Path], rounds: int) -> dict[int, Took]:
    """By number of clusters; SystemExit if another decision than the meant one comes of it."""
    grounds = {size: _survey(root) for size, root in fleets.items()}
    observed = {size: list(_observed(ground)) for size, ground in grounds.items()}
    gits: dict[int, list[float]] = {size: [] for size in fleets}
    moves: dict[int, list[float]] = {size: [] for size in fleets}
    for _ in range(rounds):
        for size, root in fleets.items():
            gc.collect()
            gits[size].append(call(partial(_survey, root)))
            moves[size].append(call(partial(move, grounds[size], observed[size])))
    return {size: Took(median(gits[size]), median(moves[size])) for size in fleets}


def move(ground: Ground, observed: Sequence[Seen]) -> Changes:
    """Judge every cluster, decide, and write what the decision changes."""
    judged = (_judged(item) for item in observed)
    evidence = situation.weigh(ground, judged)
    (found,) = situation.read(ground, evidence, [], "bot", NOW, [APP]).values()
    decision = decide(found)
    changes = content.of(ground.tree, decision)
    if (decision.kind, decision.wave, len(changes.writes)) != ("Advance", "rest", len(decision.moves)):
        raise SystemExit(f"on {len(observed)} clusters: {decision}")
    return changes


def _judged(item: Seen) -> Seen:
    assert item.expected is not None
    return item._replace(verdict=judge(item.observation, item.expected, now=item.observation.ended))


def _survey(root: Path) -> Ground:
    head = git.run(root, ["rev-parse", "HEAD"]).decode().strip()
    return survey(Tree(root), head, NOW)


def _observed(ground: Ground) -> Iterator[Seen]:
    """What is seen of every cluster; those of one kind (their bake and their pods) differ in their names."""
    plan, kinds = ground.plan, dict[tuple[str | None, ...], Observation]()
    (release,) = plan.apps[APP].releases.values()
    bakes = overlay.bakes(release)
    builder = Builder(ground.tree.read, immutable)
    for target in status.targets(plan):
        name, labels = target.cluster.metadata.name, target.cluster.metadata.labels
        kind = (bakes.get(name), labels["tier"], labels["gpu"])
        if kind not in kinds:
            built = tuple(builder.build(overlay_folder(APP, name)))
            given = Event(COMMITTED + SETTLED, "apply", built)
            script = Script(name, APP, plan.apps[APP].namespace, [given], uid=target.cluster.uid)
            source = Simulation([script], lambda: NOW)
            (sighting,) = source.look([target], timeout=10)
            (seen,) = status.seen(plan, sighting)
            kinds[kind] = seen.observation
        one = kinds[kind]
        runs = tuple(replace(run, cluster=name) for run in one.runs)
        expected = status.expected(plan, plan.apps[APP], name)
        yield Seen(
            Seat(APP, name), replace(one, cluster=name, identity=target.cluster.uid, runs=runs), expected
        )


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
