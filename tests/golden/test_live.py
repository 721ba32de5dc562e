"""What is read live: settings wait for a Rollout at rest, and never travel with a pointer."""

import re
from pathlib import Path

import pytest

from support import Project, one

HERE = Path(__file__).parent
APP, PILOT, OTHER = "chat", "eu-1", "eu-2"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The first release everywhere, and the second on the pilot: its canary may be under way."""
    project = Project(tmp_path)
    project.copy(HERE / "shared", APP)
    project.copy(HERE / "second-release" / "first", APP)
    project.render()
    project.point_everything(APP)
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
