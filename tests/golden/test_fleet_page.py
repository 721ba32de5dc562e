"""The page of a made-up fleet, byte for byte: `make golden` renews it, and a browser shows the difference best."""

from pathlib import Path

import pytest

import reports
from canaryfleet import __version__
from canaryfleet.page import render

EXPECTED = Path(__file__).parent / "page" / "fleet.html"


def test_the_page_is_the_same_for_the_same_report(request: pytest.FixtureRequest) -> None:
    found = render(reports.report()).replace(f"canaryfleet {__version__}", "canaryfleet 0.0.0")
    if request.config.getoption("--renew"):
        EXPECTED.write_text(found)
    assert found == EXPECTED.read_text(), "renew it with: make golden"
