"""Which cluster is in which wave: a partition that depends on names and labels alone."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from strategies import clusters, waves

from canaryfleet.models.canary import Wave
from canaryfleet.models.cluster import Cluster
from canaryfleet.quantity import percent
from canaryfleet.waves import resolve, selects
from support import PROPERTY

MANY = settings(PROPERTY, max_examples=150)  # they cost little


class Case(NamedTuple):
    """Waves on a fleet; they may leave clusters out."""

    fleet: dict[str, Cluster]
    waves: list[Wave]

    def resolved(self) -> Mapping[str, tuple[str, ...]]:
        """Members by wave."""
        return resolve("app", self.waves, self.fleet)

    def active(self) -> dict[str, Cluster]:
        """The clusters that get new releases."""
        return {name: cluster for name, cluster in self.fleet.items() if cluster.lifecycle == "active"}


@st.composite
def cases(draw: DrawFn) -> Case:
    """Waves of every kind, with or without one that takes the rest."""
    fleet = draw(clusters())
    chosen = draw(waves(sorted(fleet), baking=False))
    kept = chosen if draw(st.booleans()) else chosen[:-1]
    return Case(
        {name: msgspec.convert(data, Cluster) for name, data in fleet.items()},
        [msgspec.convert(wave, Wave) for wave in kept],
    )


def matches(wave: Wave, name: str, cluster: Cluster) -> bool:
    """Whether a wave without a share is meant for a cluster, whatever earlier waves took."""
    if wave.clusters is not None:
        return name in wave.clusters
    return wave.selector is None or selects(wave.selector, cluster.metadata.labels)


@MANY
@given(cases())
def test_a_cluster_is_in_one_wave_the_first_that_matches(case: Case) -> None:
    members = case.resolved()
    assert list(members) == [wave.name for wave in case.waves]
    assert all(list(names) == sorted(names) for names in members.values())
    placed = [name for names in members.values() for name in names]
    assert len(placed) == len(set(placed))
    assert set(placed) <= set(case.active())
    for name, cluster in case.active().items():
        for wave in case.waves:
            if name in members[wave.name]:
                assert wave.share is not None or matches(wave, name, cluster)
                break
            assert wave.share is not None or not matches(wave, name, cluster)


@MANY
@given(cases())
def test_a_share_never_exceeds_its_budget_unless_it_is_one_cluster(case: Case) -> None:
    members, left = case.resolved(), set(case.active())
    for wave in case.waves:
        taken = members[wave.name]
        if wave.share is not None:
            sizes = {
                name: Decimal(str(cluster.capacity)) if wave.of == "capacity" else Decimal(1)
                for name, cluster in case.active().items()
            }
            used = sum((sizes[name] for name in taken), Decimal(0))
            assert used <= percent(wave.share) * sum(sizes.values(), Decimal(0)) or len(taken) == 1
            assert taken or not left, "it takes at least one of those that are left"
        left -= set(taken)


@MANY
@given(cases())
def test_the_order_of_the_fleet_changes_nothing(case: Case) -> None:
    backwards = dict(reversed(list(case.fleet.items())))
    assert case._replace(fleet=backwards).resolved() == case.resolved()


@PROPERTY
@given(st.sampled_from(["clusters", "capacity"]), st.text(max_size=3))
@example("clusters", "")
def test_a_spread_share_takes_one_of_each_region_first(of: str, seed: str) -> None:
    fleet = {f"{region}-{index}": region for region in ("ap", "eu", "us", "sa") for index in range(3)}
    case = Case(
        {
            name: msgspec.convert(
                {
                    "apiVersion": "canaryfleet.dev/v1alpha1",
                    "kind": "Cluster",
                    "metadata": {"name": name, "labels": {"region": region}},
                },
                Cluster,
            )
            for name, region in fleet.items()
        },
        [
            msgspec.convert(
                {"name": "few", "share": "34%", "of": of, "spreadOver": "region", "seed": seed}, Wave
            )
        ],
    )
    taken = case.resolved()["few"]
    assert sorted(fleet[name] for name in taken) == ["ap", "eu", "sa", "us"]
