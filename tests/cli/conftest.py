"""A fresh repository for each test."""

from pathlib import Path

import pytest
from driver import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A small valid repository, nothing rendered yet."""
    return Repo(tmp_path / "fleet")
