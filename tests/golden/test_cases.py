"""Golden trees: every generated file of one small spec for each feature, byte for byte.

A case is a folder: `canary.yaml` with what it names, `fleet.yaml` and `clusters/` where it needs
others than the shared ones, and `expected/`: all of `overlays/<app>/` after every wave was pointed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from canaryfleet.check import check
from support import Project, canonical

HERE = Path(__file__).parent
CASES = [path.name for path in sorted((HERE / "cases").iterdir())]
APP = "chat"
Compare = Callable[[Path, Mapping[str, bytes]], None]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Path:
    """The folder of a case."""
    return HERE / "cases" / str(request.param)


@pytest.fixture
def project(case: Path, tmp_path: Path) -> Project:
    """The case rendered, and every wave pointed."""
    project = Project(tmp_path)
    project.copy(HERE / "shared", APP)
    project.copy(case, APP)
    project.render()
    project.point_everything(APP)
    return project


def test_tree(case: Path, project: Project, compare: Compare) -> None:
    """The generated files are the expected ones, and `render --check` finds nothing wrong with them."""
    compare(case / "expected", project.generated(APP))
    assert check(project.know()).findings == []


def test_kustomize_agrees(project: Project) -> None:
    """The real kustomize builds of each kind of overlay what canaryfleet builds."""
    for cluster in project.distinct(APP):
        assert canonical(project.built(APP, cluster)) == canonical(project.kustomized(APP, cluster))
