"""A story's shared world in which something happens at the n-th change that a run of the bot makes to it."""

from collections.abc import Callable
from typing import Any

import pytest

from canaryfleet import commits
from story import Story


class Killed(BaseException):
    """The process is gone: nothing after this line of it happens."""


class Shaky:
    """The story's forge, with something that happens before or after the n-th change of the shared world.

    A push is a change, too; `at` counts them, from 0.
    """

    def __init__(self, story: Story, at: int, *, after: bool, happens: Callable[[], None]) -> None:
        self.story, self.at, self.after, self.happens = story, at, after, happens
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.story.forge, name)
        if name not in ("open", "edit", "close", "merge"):
            return found
        return lambda *words: self.change(lambda: found(*words))

    def change(self, act: Callable[[], Any]) -> Any:
        """A change, and what happens with it."""
        now = self.count == self.at
        self.count += 1
        if now and not self.after:
            self.happens()
        result = act()
        if now and self.after:
            self.happens()
        return result


def shaken(
    story: Story, monkeypatch: pytest.MonkeyPatch, at: int, *, after: bool, happens: Callable[[], None]
) -> Shaky:
    """A forge with which something happens, also around a push."""
    forge, push = Shaky(story, at, after=after, happens=happens), commits.push
    monkeypatch.setattr(commits, "push", lambda *words, **more: forge.change(lambda: push(*words, **more)))
    return forge


def killed() -> None:
    """The end of the process."""
    raise Killed
