"""Makes `support` importable, and adds `--renew`."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--renew`: write what the golden tests expect instead of comparing with it."""
    parser.addoption("--renew", action="store_true", help="renew the expected files of the golden tests")
