"""Waiting for conditions, each with a limit."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
READY_SECONDS = 180.0
"""Within which whatever is started has to be there: many are at once, on few processors."""


class RigError(Exception):
    """Something the rig needed went wrong; the text says what and where to look."""


class FatalError(RigError):
    """Raised by a probe when waiting on makes no sense, such as a process that has exited."""


class WaitTimeoutError(RigError):
    """A condition did not come true in time."""


def wait_until(
    probe: Callable[[], T | None],
    what: str,
    timeout: float,
    interval: float = 0.1,
) -> T:
    """Call `probe` until it returns something true, and return that.

    A `RigError` or `OSError` from the probe means "not yet" and is named when the time runs out;
    any other exception, and a `FatalError`, ends the wait at once.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            result = probe()
            if result:
                return result
            last = result
        except FatalError:
            raise
        except (RigError, OSError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise WaitTimeoutError(f"not within {timeout:g} s: {what} (last: {last!r})")
        time.sleep(interval)
