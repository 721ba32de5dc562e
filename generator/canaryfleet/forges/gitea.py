"""Gitea and Forgejo.

    forge: {type: gitea, repository: acme/fleet, url: https://git.acme.example/api/v1}

The token is in CANARYFLEET_GITEA_TOKEN; it may write to the repository and its issues, and read its user.
"""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

from canaryfleet.errors import problem
from canaryfleet.forges import Remote
from canaryfleet.forges.hosted import End, Hosted, Pull, User
from canaryfleet.forges.rest import MISSING, PLACE, Api, World, base, git_environment, repository, token
from canaryfleet.models.fleet import Forge as Settings

TOKENS = ("CANARYFLEET_GITEA_TOKEN",)
_API = "/api/v1"


class Event(Struct):
    """Something that happened to an issue."""

    id: int
    type: str
    user: User | None = None


def connect(
    settings: Settings, root: str, environment: Mapping[str, str], world: World | None = None
) -> "Gitea":
    """The repository that fleet.yaml names. Raises `Problems` CF181."""
    if settings.url is None:
        text = "`forge.url` is missing"
        raise problem(
            PLACE, MISSING, text, f"give the address of the API, such as https://git.acme.example{_API}"
        )
    secret = token(environment, *TOKENS)
    if secret is None:
        raise problem(
            PLACE, MISSING, f"{TOKENS[0]} is not set", "make a token for the bot's own user, and set it"
        )
    return Gitea(base(settings.url), repository(settings.repository), secret, world or World())


class Gitea(Hosted):
    """One repository on a Gitea or Forgejo."""

    page: ClassVar[Mapping[str, str | int]] = {"limit": 50}
    newest: ClassVar[Mapping[str, str | int]] = {"sort": "recentupdate"}

    def __init__(self, address: str, repository: str, secret: str, world: World) -> None:
        super().__init__(Api(address, lambda: f"token {secret}", {}, world), repository, world)
        self._secret = secret
        self._me: str | None = None

    @property
    def me(self) -> str:
        """The user whose token it is."""
        if self._me is None:
            self._me = self.api.get("/user", User).login
        return self._me

    @property
    def remote(self) -> Remote:
        """Over the host of the API."""
        home = self.api.address.removesuffix(_API)
        address = f"{home}/{self.repository}.git"
        return Remote(address, git_environment(f"{home}/", "canaryfleet", self._secret))

    def _branch(self, head: End) -> str:
        # `ref` is that of the pull request as soon as the branch is gone.
        return head.label or head.ref

    def _find(self, branch: str, base: str) -> Pull | None:
        return next((pull for pull in self._open() if self._is(pull, branch, base)), None)

    def _is(self, pull: Pull, branch: str, base: str) -> bool:
        shown = self._shown(pull)
        return (shown.branch, shown.base) == (branch, base)

    def _closer(self, number: int) -> str | None:
        events = self.api.items(f"{self._home}/issues/{number:d}/timeline", Event, **self.page)
        closings = [event for event in events if event.type == "close"]
        last = max(closings, key=lambda event: event.id, default=None)
        return last.user.login if last and last.user else None

    def _writers(self, names: set[str]) -> set[str]:
        # Gitea's own words: "all users that have write access and can be assigned to issues".
        found = self.api.get(f"{self._home}/assignees", list[User]) if names else []
        return names & {user.login for user in found}

    def _merge(self, number: int, head: str, title: str, message: str) -> str | None:
        wanted = {
            "Do": "squash",
            "head_commit_id": head,
            "MergeTitleField": title,
            "MergeMessageField": message,
        }
        self.api.send("POST", f"{self._home}/pulls/{number:d}/merge", wanted)
        return None
