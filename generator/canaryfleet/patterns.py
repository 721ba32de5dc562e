"""Regular expressions that are compiled when they are first used: a run meets few of the texts that they are for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast


class _Later:
    """Stands for a pattern, and has what that has from its first use on."""

    def __init__(self, pattern: Any, flags: int = 0) -> None:
        self._given = (pattern, flags)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(_compile(*self._given), name)
        setattr(self, name, found)  # so that the next use is an ordinary one
        return found


_compile = re.compile


def later(pattern: str, flags: int = 0) -> "re.Pattern[str]":
    """A pattern of text. A mistake in it shows at its first use: so each has a test that uses it."""
    return cast("re.Pattern[str]", _Later(pattern, flags))


@contextmanager
def all_later() -> Iterator[None]:
    """For the import of a library that compiles patterns which we never use."""
    re.compile = _Later  # type: ignore[assignment]
    try:
        yield
    finally:
        re.compile = _compile
