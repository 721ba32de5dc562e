"""Which ports of a base Istio can route, and how they come to say so."""

import shutil
from pathlib import Path

import pytest
from tests.support import Project, one

CASES = Path(__file__).parents[1] / "golden"
HTTP = "{name: http, port: 80, targetPort: http}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    shutil.copytree(CASES / "shared", tmp_path, dirs_exist_ok=True)
    project.copy(CASES / "cases" / "base-deployment", "chat")
    return project


def say(project: Project, port: str) -> None:
    base = project.spec("chat") / "base" / "chat.yaml"
    text = base.read_text()
    assert HTTP in text
    base.write_text(text.replace(HTTP, port))


@pytest.mark.parametrize("said", ["name: tcp-chat", "name: https", "name: http, appProtocol: tls"])
def test_a_port_that_istio_would_not_route_is_refused(project: Project, said: str) -> None:
    say(project, f"{{{said}, port: 80, targetPort: http}}")
    assert [(f.code, "can't tell apart" in f.message) for f in project.findings()] == [("CF114", True)]


@pytest.mark.parametrize(
    ("said", "protocol"),
    [("name: web", "http"), ("name: grpc-web", None), ("name: http2", None), ("name: http", None)],
)
def test_a_port_says_http_unless_its_name_says_more(
    project: Project, said: str, protocol: str | None
) -> None:
    say(project, f"{{{said}, port: 80, targetPort: http}}")
    project.render()
    project.point_everything("chat")
    service = one(project.built("chat", "eu-1"), "Service", "chat-server")
    assert service["spec"]["ports"][0].get("appProtocol") == protocol
