"""Which cluster is in which wave: resolved once, frozen in the release."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from canaryfleet.digest import digest
from canaryfleet.models.canary import Override, Wave
from canaryfleet.models.cluster import Cluster
from canaryfleet.quantity import percent


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """True if every label of the selector is there with the same value."""
    return selector.items() <= labels.items()


def overrides_of(overrides: Sequence[Override], cluster: Cluster) -> list[int]:
    """Indices of the overrides that a cluster gets; one without clusters and selector is for all."""
    name, labels = cluster.metadata.name, cluster.metadata.labels
    return [
        index
        for index, override in enumerate(overrides)
        if (not override.clusters or name in override.clusters) and selects(override.selector, labels)
    ]


def resolve(app: str, waves: Sequence[Wave], fleet: Mapping[str, Cluster]) -> dict[str, tuple[str, ...]]:
    """Members by wave, sorted; the first wave that matches a cluster has it.

    Retiring clusters get no new release and are in no wave. A wave may come out empty, and a
    cluster in none is left out: lint says so, since only it knows where the spec says what.
    """
    left = {name: cluster for name, cluster in sorted(fleet.items()) if cluster.lifecycle == "active"}
    total = dict(left)
    resolved: dict[str, tuple[str, ...]] = {}
    for wave in waves:
        members = _members(app, wave, left, total)
        resolved[wave.name] = tuple(sorted([*resolved.get(wave.name, ()), *members]))
        for name in members:
            del left[name]
    return resolved


def _members(app: str, wave: Wave, left: Mapping[str, Cluster], total: Mapping[str, Cluster]) -> list[str]:
    if wave.clusters is not None:
        return [name for name in sorted(set(wave.clusters)) if name in left]
    if wave.selector is not None:
        return [name for name, cluster in left.items() if selects(wave.selector, cluster.metadata.labels)]
    if wave.share is not None:
        return _share(app, wave, percent(wave.share), left, total)
    return list(left)


def _share(
    app: str, wave: Wave, share: Decimal, left: Mapping[str, Cluster], total: Mapping[str, Cluster]
) -> list[str]:
    """A seeded draw that never takes more than its share, but at least one cluster.

    The draw depends on names alone (a digest, not a random generator), so it is the same on every
    machine; spread takes from each value of the label in turn.
    """
    by_capacity = wave.of == "capacity"

    def size(name: str) -> Decimal:
        return Decimal(str(total[name].capacity)) if by_capacity else Decimal(1)

    budget = share * sum((size(name) for name in total), Decimal(0))
    if not by_capacity:
        budget = Decimal(math.floor(budget))
    order = _drawn(f"{app}/{wave.name}/{wave.seed}", wave.spreadOver, left)
    taken: list[str] = []
    used = Decimal(0)
    for name in order:
        if used + size(name) <= budget:
            taken.append(name)
            used += size(name)
    return taken or sorted(order, key=lambda name: (size(name), order.index(name)))[:1]


def _drawn(seed: str, topology: str | None, clusters: Mapping[str, Cluster]) -> list[str]:
    """All names in drawn order, one of each topology value in turn."""
    ranked = sorted(clusters, key=lambda name: digest([seed, name]))
    if topology is None:
        return ranked
    groups: dict[str, list[str]] = {}
    for name in ranked:
        groups.setdefault(clusters[name].metadata.labels.get(topology, ""), []).append(name)
    longest = max(map(len, groups.values()), default=0)
    return [group[turn] for turn in range(longest) for group in groups.values() if turn < len(group)]
