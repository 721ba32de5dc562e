"""People, and the bot's account, at a repository on a real Gitea."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from rig.gitea import Gitea
from rig.waiting import READY_SECONDS, wait_until

REPOSITORY = "acme/fleet"
Git = Callable[..., str]
"""Runs git with these words in a clone, and returns what it prints."""


class Person:
    """Somebody with a token."""

    def __init__(self, server: Gitea, name: str, *, admin: bool = False) -> None:
        self.name, self.url, self.token = name, server.url, server.user(name, admin=admin)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """An answer of the API, decoded; RuntimeError with what Gitea said."""
        request = urllib.request.Request(f"{self.url}/api/v1{path}", method=method)
        request.add_header("Authorization", f"token {self.token}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, json.dumps(body).encode() if body else None) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read()!r}") from None
        return json.loads(text) if text else None

    def pulls(self, state: str) -> list[dict[str, Any]]:
        """Pull requests, newest first."""
        found: list[dict[str, Any]] = self.ask("GET", f"/repos/{REPOSITORY}/pulls?state={state}")
        return found


def hosted(server: Gitea) -> tuple[Person, Person]:
    """An empty repository; Ann, who owns it, and the bot, who may write to it."""
    ann, bot = Person(server, "ann", admin=True), Person(server, "canaryfleet")
    ann.ask("POST", "/orgs", {"username": "acme"})
    ann.ask("POST", "/orgs/acme/repos", {"name": "fleet", "default_branch": "main"})
    ann.ask("PUT", f"/repos/{REPOSITORY}/collaborators/{bot.name}", {"permission": "write"})
    return ann, bot


def publish(server: Gitea, ann: Person, git: Git) -> None:
    """Push what Ann's clone has to main, and wait until Gitea has noticed; from now on her git knows her token."""
    known = base64.b64encode(f"{ann.name}:{ann.token}".encode()).decode()
    git("config", f"http.{server.url}/.extraHeader", f"Authorization: Basic {known}")
    git("push", "-q", "origin", "HEAD:main")
    wait_until(
        lambda: not ann.ask("GET", f"/repos/{REPOSITORY}")["empty"], "Gitea has seen the push", READY_SECONDS
    )


def address(server: Gitea) -> str:
    """What to clone."""
    return f"{server.url}/{REPOSITORY}.git"
