"""Makes `support` importable, adds `--renew`, and lets every run of the tests try the same examples."""

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--renew`: write what the golden tests expect instead of comparing with it."""
    parser.addoption("--renew", action="store_true", help="renew the expected files of the golden tests")
