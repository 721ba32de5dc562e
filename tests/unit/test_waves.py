"""Who is in which wave, and what is open when."""

from datetime import UTC, datetime

import pytest

from canaryfleet import schedule, waves
from canaryfleet.models.canary import Wave, Window
from canaryfleet.models.cluster import Cluster, ClusterMetadata


def cluster(name: str, capacity: float = 1, lifecycle: str = "active", **labels: str) -> Cluster:
    return Cluster(
        apiVersion="canaryfleet.dev/v1alpha1",
        kind="Cluster",
        metadata=ClusterMetadata(name=name, labels=labels),
        capacity=capacity,
        lifecycle=lifecycle,  # type: ignore[arg-type]
    )


FLEET = {
    item.metadata.name: item
    for item in [
        cluster("a1", 10, region="a"),
        cluster("a2", 10, region="a"),
        cluster("b1", 10, region="b"),
        cluster("b2", 70, region="b"),
        cluster("old", 5, lifecycle="retiring", region="b"),
    ]
}


def test_the_first_wave_that_matches_has_the_cluster() -> None:
    found = waves.resolve(
        "app",
        [Wave(name="pilot", clusters=("b1",)), Wave(name="b", selector={"region": "b"}), Wave(name="rest")],
        FLEET,
    )
    assert found == {"pilot": ("b1",), "b": ("b2",), "rest": ("a1", "a2")}


def test_a_retiring_cluster_gets_no_release() -> None:
    assert "old" not in waves.resolve("app", [Wave(name="all")], FLEET)["all"]


def test_a_share_of_capacity_never_takes_more() -> None:
    found = waves.resolve("app", [Wave(name="tenth", share="20%", of="capacity"), Wave(name="rest")], FLEET)
    assert sum(FLEET[name].capacity for name in found["tenth"]) == 20


def test_a_share_smaller_than_any_cluster_takes_the_smallest() -> None:
    found = waves.resolve("app", [Wave(name="one", share="1%", of="capacity"), Wave(name="rest")], FLEET)
    assert len(found["one"]) == 1
    assert found["one"] != ("b2",)


def test_spreading_takes_from_each_value_in_turn() -> None:
    found = waves.resolve(
        "app", [Wave(name="half", share="50%", spreadOver="region"), Wave(name="rest")], FLEET
    )
    assert sorted(FLEET[name].metadata.labels["region"] for name in found["half"]) == ["a", "b"]


def test_another_seed_draws_others() -> None:
    fleet = {f"c{index}": cluster(f"c{index}") for index in range(40)}
    drawn = {
        waves.resolve("app", [Wave(name="w", share="10%", seed=str(seed))], fleet)["w"] for seed in range(5)
    }
    assert len(drawn) > 1


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


OFFICE = Window(days="Mon-Thu", from_="09:00", to="16:00", timezone="Europe/Berlin")
NIGHT = Window(days="Fri", from_="22:00", to="04:00")


@pytest.mark.parametrize(
    ("window", "now", "is_open"),
    [
        (OFFICE, "2026-11-16T08:00", True),  # Monday 09:00 in Berlin, winter
        (OFFICE, "2026-11-16T07:59:59", False),
        (OFFICE, "2026-11-16T14:59:59", True),
        (OFFICE, "2026-11-16T15:00", False),
        (OFFICE, "2026-07-13T07:00", True),  # summer time: an hour earlier
        (OFFICE, "2026-11-20T10:00", False),  # Friday
        (OFFICE, "2026-10-26T08:00", True),  # the day after the clocks went back
        (NIGHT, "2026-11-20T23:00", True),
        (NIGHT, "2026-11-21T03:59", True),  # Saturday, still Friday's window
        (NIGHT, "2026-11-21T04:00", False),
        (NIGHT, "2026-11-20T03:00", False),
        (Window(days="Sat-Mon", from_="00:00", to="24:00"), "2026-11-23T12:00", True),
        (Window(days="Sat-Mon", from_="00:00", to="24:00"), "2026-11-24T00:00", False),
    ],
)
def test_windows_are_meant_in_their_own_time(window: Window, now: str, is_open: bool) -> None:
    assert schedule.is_open([window], at(now)) is is_open


def test_without_windows_it_is_always_open() -> None:
    assert schedule.is_open([], at("2026-11-21T00:00"))
