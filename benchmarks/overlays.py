"""The manifests of one overlay: in this process, and by one kustomize process."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.measure import call
from canaryfleet import kustomize
from canaryfleet.emit import emit_all
from canaryfleet.files import Tree
from canaryfleet.manifests import Builder, Object, immutable, overlay_folder, sort_key
from canaryfleet.syntax import parse_stream


class Pair(NamedTuple):
    """One overlay built in every way, one right after the other: seconds of each."""

    kustomize: float
    cold: float
    warm: float
    text: float


def measure(root: Path, rounds: int) -> list[Pair]:
    """Build overlays of all apps and kinds in every way; SystemExit if two ways differ.

    Cold: nothing has been read. Warm: the release's files have been read before, for another cluster,
    as when a command looks at a fleet; the overlay's own file is read and parsed in any case.
    Text: warm, and written as YAML, which kustomize's time contains too.
    """
    tool = kustomize.find()
    tree = Tree(root)
    warm = Builder(tree.read, immutable)
    pairs = []
    for path in islice(_spread(root), rounds):
        warm.build(path)
        made = sorted(parse_stream(kustomize.build(tool, root, path), path), key=sort_key)
        if not made == warm.build(path) == _cold(tree, path):
            raise SystemExit(f"{path}: kustomize and canaryfleet build different objects")
        pairs.append(
            Pair(
                kustomize=call(partial(kustomize.build, tool, root, path)),
                cold=call(partial(_cold, tree, path)),
                warm=call(partial(warm.build, path)),
                text=call(partial(_text, warm, path)),
            )
        )
    return pairs


def _cold(tree: Tree, path: str) -> list[Object]:
    return Builder(tree.read).build(path)


def _text(warm: Builder, path: str) -> str:
    return emit_all(warm.build(path))


def ratio(pairs: list[Pair], way: str) -> float:
    """How many times as fast as kustomize: the middle one of the pairs' own ratios."""
    return median([pair.kustomize / float(getattr(pair, way)) for pair in pairs])


def _spread(root: Path) -> Iterator[str]:
    """Overlays of one app after the other, on clusters from all over the fleet, for ever."""
    apps = sorted(path.name for path in (root / "overlays").iterdir())
    clusters = sorted(path.stem for path in (root / "clusters").iterdir())
    number = 0
    while True:
        yield overlay_folder(apps[number % len(apps)], clusters[number * 37 % len(clusters)])
        number += 1
