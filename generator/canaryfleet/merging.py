"""What merging a change would break, as far as Git alone shows it: the gate, without clusters and without a forge.

It refuses what no proof could allow; whether clusters have proven enough is the gate's to say.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from canaryfleet import commits, gate, repo, situation
from canaryfleet.files import Tree
from canaryfleet.ground import survey
from canaryfleet.models.decision import Code, Reason
from canaryfleet.models.observation import Problem, Sighting
from canaryfleet.sight import Sight
from canaryfleet.sources import Target, unseen

PROVEN_BY_GIT: frozenset[Code] = frozenset(
    {"conflicts", "rewritten", "to-nothing", "no-release", "promotion-wrong", "no-file"}
)
"""What no cluster and no passing of time makes right."""


class Merging(NamedTuple):
    """`refused`: what Git alone proves, by app. `moves`: whether clusters would get something else, which is to be proven."""

    refused: Mapping[str, tuple[Reason, ...]]
    moves: bool


class _Unseen:
    """A source that asks nobody: of every cluster it is unknown what it has."""

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        """Nothing of anybody."""
        why = Problem(kind="missing", message="clusters are not asked")
        return (unseen(target, "snapshot", why) for target in targets)


def judge(root: str, base: str, head: str, tree: Tree, now: datetime) -> Merging:
    """What merging the commit `head` into `base` would break. `tree`: the files of `base`.

    Raises `Problems`: CF182 the history is not all there, CF025, and those of fleet.yaml.
    """
    paths = [path.split("/") for path in commits.changed(root, base, head)]
    if not any(words[0] == repo.OVERLAYS for words in paths):
        return Merging({}, moves=False)
    ground = survey(tree, base, now)
    evidence = situation.look(ground, _Unseen(), 1.0)
    situations = situation.read(ground, evidence, (), "", now)
    found = gate.judge(root, Sight(base, now, ground, evidence, (), situations), head)
    refused = {
        app: tuple(reason for reason in reasons if reason.code in PROVEN_BY_GIT)
        for app, reasons in found.items()
    }
    moves = any(words[0] == repo.OVERLAYS and words[2:3] == ["clusters"] for words in paths)
    return Merging({app: reasons for app, reasons in refused.items() if reasons}, moves)
