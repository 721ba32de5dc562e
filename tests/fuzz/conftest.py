"""The helpers of other tests, and an environment with secrets in it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for other in ("cli", "unit/status"):
    sys.path.insert(0, str(HERE.parent / other))

from hostile import SECRET  # noqa: E402 (it needs what stands there)


@pytest.fixture(scope="module", autouse=True)
def secrets() -> Iterator[None]:
    """Where people keep them, as long as the tests of this folder run."""
    names = ("CANARYFLEET_GITHUB_TOKEN", "CANARYFLEET_GITEA_TOKEN", "SLACK_URL", "AWS_SECRET_ACCESS_KEY")
    before = dict(os.environ)
    os.environ.update(
        dict.fromkeys(names, SECRET), GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_SYSTEM=os.devnull
    )
    yield
    os.environ.clear()
    os.environ.update(before)
