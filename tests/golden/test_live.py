"""What is read live: settings wait for a Rollout at rest, and never travel with a pointer."""

import re
import subprocess
from pathlib import Path

import pytest

from canaryfleet import content, repo
from canaryfleet.check import check
from canaryfleet.errors import ERROR
from canaryfleet.files import Tree
from canaryfleet.overlay import Pointer
from support import Project, one

HERE = Path(__file__).parent
APP, PILOT, OTHER = "chat", "eu-1", "eu-2"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The first release everywhere, and the second on the pilot: its canary may be under way."""
    project = Project(tmp_path)
    project.deployed(APP, HERE / "shared", HERE / "second-release" / "first")
    project.copy(HERE / "second-release" / "second", APP)
    project.render()
    project.point(APP, "pilot")
    return project


def edit(project: Project, pattern: str, new: str) -> None:
    """Change the spec in one place."""
    path = project.spec(APP) / "canary.yaml"
    text, count = re.subn(pattern, new, path.read_text(), flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)


def hosts(project: Project, cluster: str) -> list[str]:
    """The hosts outside the mesh."""
    found: list[str] = one(project.built(APP, cluster), "VirtualService")["spec"]["hosts"]
    return found[:-1]


def test_live_settings_wait_while_a_canary_may_be_under_way(project: Project) -> None:
    edit(project, "^exposure:$", "exposure:\n  hosts: [chat.example]\n  gateways: [a/b]")
    rendering = project.render()
    assert [item.cluster for item in rendering.waiting] == [PILOT]
    assert hosts(project, PILOT) == []
    assert hosts(project, OTHER) == ["chat.example"]
    assert project.render(settled=[PILOT]).waiting == []
    assert hosts(project, PILOT) == ["chat.example"]


def test_live_settings_do_not_travel_with_a_pointer(project: Project) -> None:
    edit(project, "^exposure:$", "exposure:\n  hosts: [chat.example]\n  gateways: [a/b]\n  timeout: 30s")
    edit(project, "  port: 8080$", "  port: 8080\n  replicas: 7")
    project.render()
    project.point(APP, "pilot")
    assert hosts(project, PILOT) == []
    assert one(project.built(APP, PILOT), "Rollout")["spec"]["replicas"] == 1


@pytest.mark.parametrize(("urgency", "moves"), [("normal", False), ("hotfix", True)])
def test_windows_are_those_of_the_waves_in_force(project: Project, urgency: str, moves: bool) -> None:
    closed = "windows: [{days: Sun, from: '03:00', to: '04:00'}]"
    edit(project, "clusters: \\[eu-1\\], minSuccessTime: 1h}$", f"clusters: [eu-1], {closed}}}")
    edit(project, "^overrides:$", f"hotfixWaves: [{{name: pilot}}]\nurgency: {urgency}\noverrides:")
    project.render()
    assert bool(project.point(APP, "pilot").writes) == moves


FIXED = "  port: 8080\n  replicas: 6"
SCALED = "  port: 8080\n  autoscaler: {min: 2, max: 12, cpu: 70%}"


def everywhere(project: Project, version: str, scale: str) -> None:
    """Another version with another scale, rendered and on every cluster."""
    respec(project, version, scale)
    project.point_everything(APP)


def respec(project: Project, version: str, scale: str) -> None:
    """The spec with another version and another scale, rendered."""
    respec_only(project, version, scale)
    project.render(settled=["all"])


def respec_only(project: Project, version: str, scale: str) -> None:
    """The spec with another version and another scale, not rendered."""
    edit(project, r"^version: .*$", f"version: {version}")
    edit(project, r"^  port: 8080\n(  (replicas|autoscaler): .*\n)?", scale + "\n")


def replicas(project: Project, cluster: str) -> object:
    """What the Rollout asks for."""
    return one(project.built(APP, cluster), "Rollout")["spec"].get("replicas")


def bounds(project: Project, cluster: str) -> tuple[object, object]:
    """What the autoscaler stays between."""
    spec = one(project.built(APP, cluster), "HorizontalPodAutoscaler")["spec"]
    return spec.get("minReplicas"), spec.get("maxReplicas")


def back(project: Project, id: str) -> None:
    """The pilot goes back to a release, as the bot and `canaryfleet rollback` write it."""
    tree = Tree(project.root)
    app = repo.load_app(tree, APP)
    releases = content.shelf(lambda name: repo.release(tree, APP, name))
    wanted = content.inventory(tree, APP)
    data = content.text(APP, PILOT, Pointer(id, None), app.overlays[PILOT], releases, wanted, back=True)
    (project.root / repo.overlay_path(APP, PILOT)).write_bytes(data)


def test_a_release_without_an_autoscaler_keeps_its_replicas_when_the_spec_gets_one(project: Project) -> None:
    everywhere(project, "2.0.0", FIXED)
    respec(project, "3.0.0", SCALED)
    assert replicas(project, OTHER) == 6
    assert project.render(settled=["all"]).changes.writes.keys() & {repo.overlay_path(APP, OTHER)} == set()
    assert codes(project) == set()
    project.point(APP, "pilot")
    assert (replicas(project, PILOT), bounds(project, PILOT)) == (None, (2, 12))


def test_a_release_with_an_autoscaler_keeps_its_bounds_when_the_spec_loses_it(project: Project) -> None:
    everywhere(project, "2.0.0", SCALED)
    respec(project, "3.0.0", FIXED)
    assert bounds(project, OTHER) == (2, 12)
    edit(project, "^exposure:$", "exposure:\n  hosts: [chat.example]\n  gateways: [a/b]")
    project.render(settled=["all"])
    assert (hosts(project, OTHER), bounds(project, OTHER)) == (["chat.example"], (2, 12))


def test_going_back_to_another_way_of_scaling_leaves_no_pods_away(project: Project) -> None:
    everywhere(project, "2.0.0", FIXED)
    fixed = project.pointers(APP)[PILOT].release
    respec(project, "3.0.0", SCALED)
    project.point(APP, "pilot")
    scaled = project.pointers(APP)[PILOT].release
    back(project, fixed)
    assert replicas(project, PILOT) == 12  # as many as it may have had
    respec(project, "4.0.0", FIXED)
    assert replicas(project, PILOT) == 6
    back(project, scaled)
    assert bounds(project, PILOT) == (6, 6)


def test_a_release_that_render_takes_away_keeps_no_settings_waiting(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.deployed(APP, HERE / "shared", HERE / "second-release" / "first")
    who = ["-c", "user.name=ann", "-c", "user.email=ann@acme.example", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-qm", "so"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    respec(project, "2.0.0", "  port: 8080")
    respec_only(project, "3.0.0", "  port: 8080\n  replicas: 3")
    assert codes(project) == {"CF170", "CF171"}
    rendering = project.render()
    assert [path for path in rendering.changes.deletes if "/2.0.0-" in path]
    assert rendering.waiting == []
    assert replicas(project, OTHER) == 3
    assert codes(project) == set()


def codes(project: Project) -> set[str]:
    """What `render --check` finds wrong."""
    return {item.code for item in check(project.know()).findings if item.severity == ERROR}
