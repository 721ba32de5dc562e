"""What comes after the first release: a second workload, going back, and a change of the policy alone."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from canaryfleet.check import check
from canaryfleet.models.release import Release
from canaryfleet.overlay import Pointer
from support import Project, canonical, one

HERE = Path(__file__).parent
STAGES = HERE / "second-release"
APP, PILOT, OTHER = "chat", "eu-1", "eu-2"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fleet without any release."""
    project = Project(tmp_path)
    project.copy(HERE / "shared", APP)
    return project


def release(project: Project, stage: str) -> Release:
    """Take over the spec of a stage and render it."""
    project.copy(STAGES / stage, APP)
    project.render()
    return project.know().frozen[APP].release


def test_the_pilot_gets_the_second_release(
    project: Project, compare: Callable[[Path, Mapping[str, bytes]], None]
) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    second = release(project, "second")
    assert second.workload != first.workload
    assert set(project.pointers(APP).values()) == {Pointer(first.id, None)}, "rendering moves no pointer"
    project.point(APP, "pilot")
    assert project.pointers(APP) == {
        PILOT: Pointer(second.id, first.id),
        OTHER: Pointer(first.id, None),
        "us-1": Pointer(first.id, None),
    }
    compare(STAGES / "expected", project.generated(APP))
    assert check(project.know()).findings == []


def test_while_a_canary_runs_both_configurations_are_there(project: Project) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    second = release(project, "second")
    project.point(APP, "pilot")
    built = project.built(APP, PILOT)
    maps = {item["metadata"]["name"] for item in built if item["kind"] == "ConfigMap"}
    assert maps == {*first.config, *second.config}
    assert len(maps) == 2
    volumes = one(built, "Rollout")["spec"]["template"]["spec"]["volumes"]
    assert [volume["configMap"]["name"] for volume in volumes] == list(second.config)
    assert canonical(built) == canonical(project.kustomized(APP, PILOT))


def test_going_back_gives_the_old_bytes(project: Project) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    before = project.overlay(APP, PILOT)
    release(project, "second")
    project.point(APP, "pilot")
    assert project.overlay(APP, PILOT) != before
    project.point(APP, "pilot", id=first.id, verified=())
    assert project.overlay(APP, PILOT) == before
    assert check(project.know()).findings == []


def test_an_unverified_release_is_no_fallback(project: Project) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    second = release(project, "second")
    project.point(APP, "pilot")
    policy = release(project, "policy")
    project.point(APP, "pilot", verified=())
    assert policy.id not in (first.id, second.id)
    assert project.pointers(APP)[PILOT] == Pointer(policy.id, first.id)


def test_a_change_of_the_policy_alone_restarts_nothing(project: Project) -> None:
    first = release(project, "first")
    project.point_everything(APP)
    second = release(project, "second")
    project.point_everything(APP)
    before = {cluster: project.built(APP, cluster) for cluster in project.pointers(APP)}
    policy = release(project, "policy")
    project.point_everything(APP)
    assert policy.id != second.id
    assert policy.workload == second.workload
    assert {name: member.pod for name, member in policy.clusters.items()} == {
        name: member.pod for name, member in second.clusters.items()
    }
    for cluster, pointer in project.pointers(APP).items():
        assert pointer == Pointer(policy.id, first.id), "the same workload is no fallback of its own"
        old, new = one(before[cluster], "Rollout"), one(project.built(APP, cluster), "Rollout")
        assert old["spec"]["template"] == new["spec"]["template"]
        assert old["spec"]["strategy"] != new["spec"]["strategy"]
