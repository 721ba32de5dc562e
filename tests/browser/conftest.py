"""A browser for all tests here. They run by `make page`; without a Chromium they fail, and do not pass unseen."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

import reports
from canaryfleet.page import render
from chromium import Chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    with Chromium() as found:
        yield found


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the page of a fleet in all states."""
    path = tmp_path_factory.mktemp("page") / "fleet.html"
    path.write_text(render(reports.report()))
    return path.as_uri()


@pytest.fixture(scope="session")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the page of a thousand clusters."""
    path = tmp_path_factory.mktemp("page") / "thousand.html"
    path.write_text(render(reports.large()))
    return path.as_uri()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core, which comes with a wheel that is pinned in requirements/page.txt; nothing else of it is used."""
    spec = importlib.util.find_spec("axe_playwright_python")
    assert spec, "`make page` installs axe"
    assert spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text()
