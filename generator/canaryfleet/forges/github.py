"""GitHub, github.com or a company's own.

    forge: {type: github, repository: acme/fleet}
    forge: {type: github, repository: acme/fleet, url: https://github.acme.example/api/v3}

The bot is an App (CANARYFLEET_GITHUB_APP_ID, and the file with its key in CANARYFLEET_GITHUB_APP_KEY), or
has a token (CANARYFLEET_GITHUB_TOKEN, or GITHUB_TOKEN as Actions has it). It needs contents, pull requests
and commit statuses to write, and metadata to read. Pull requests that the token of Actions opens start no
checks: GitHub's rule, and the reason to prefer an App.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import ClassVar
from urllib.parse import urlsplit

from msgspec import Struct

from canaryfleet.errors import problem
from canaryfleet.forges import Remote
from canaryfleet.forges.hosted import End, Hosted, Pull, Sha, User
from canaryfleet.forges.rest import (
    MISSING,
    PLACE,
    Api,
    Refused,
    World,
    base,
    git_environment,
    path,
    repository,
    token,
)
from canaryfleet.models.fleet import Forge as Settings
from canaryfleet.models.observation import Time

TOKENS = ("CANARYFLEET_GITHUB_TOKEN", "GITHUB_TOKEN")
APP_ID, APP_KEY = "CANARYFLEET_GITHUB_APP_ID", "CANARYFLEET_GITHUB_APP_KEY"
PUBLIC = "https://api.github.com"
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}

_BEFORE = 600  # seconds before its end at which a token is renewed: git may take some


class Issue(Struct):
    """Of an issue who closed it."""

    closed_by: User | None = None


class Merged(Struct):
    """What merging answers."""

    sha: Sha


class Permission(Struct):
    """What somebody may do."""

    permission: str


class Viewer(Struct):
    viewer: User


class Graph(Struct):
    data: Viewer


class Installation(Struct):
    id: int


class AccessToken(Struct):
    token: str
    expires_at: Time


class AppName(Struct):
    slug: str


def connect(
    settings: Settings, root: str, environment: Mapping[str, str], world: World | None = None
) -> "GitHub":
    """The repository that fleet.yaml names. Raises `Problems` CF181."""
    world = world or World()
    address, name = base(settings.url or PUBLIC), repository(settings.repository)
    if environment.get(APP_ID) or environment.get(APP_KEY):
        app = App(address, name, environment, world)
        return GitHub(address, name, app.token, app.name, world)
    secret = token(environment, *TOKENS)
    if secret is None:
        text = f"none of {', '.join((*TOKENS, APP_ID))} is set"
        raise problem(PLACE, MISSING, text, "install an App for the bot, or give it a token")
    return GitHub(address, name, lambda: secret, None, world)


class GitHub(Hosted):
    """One repository on GitHub."""

    page: ClassVar[Mapping[str, str | int]] = {"per_page": 100}
    newest: ClassVar[Mapping[str, str | int]] = {"sort": "updated", "direction": "desc"}

    def __init__(
        self,
        address: str,
        repository: str,
        secret: Callable[[], str],
        name: Callable[[], str] | None,
        world: World,
    ) -> None:
        """`secret`: a token that is good now. `name`: the bot's, if the token does not say it."""
        super().__init__(Api(address, lambda: f"Bearer {secret()}", HEADERS, world), repository, world)
        self._secret, self._name = secret, name or self._viewer
        self._me: str | None = None

    @property
    def me(self) -> str:
        """The user or App whose token it is."""
        if self._me is None:
            self._me = self._name()
        return self._me

    @property
    def remote(self) -> Remote:
        """Over the host that belongs to the API's."""
        home = _web(self.api.address)
        return Remote(
            f"{home}/{self.repository}.git", git_environment(f"{home}/", "x-access-token", self._secret())
        )

    def _viewer(self) -> str:
        try:
            return self.api.get("/user", User).login
        except Refused as refused:
            if refused.status != 403:
                raise
        # The token of an App, as that of Actions is, is no user's; GraphQL knows whose it is.
        graph = Api(_graphql(self.api.address), lambda: f"Bearer {self._secret()}", HEADERS, self._world)
        answer = graph.send("POST", "", {"query": "{viewer{login}}"})
        login = graph.decode(answer, Graph).data.viewer.login
        return login if login.endswith("[bot]") else f"{login}[bot]"

    def _branch(self, head: End) -> str:
        return head.ref

    def _find(self, branch: str, base: str) -> Pull | None:
        head = f"{self.repository.partition('/')[0]}:{branch}"
        found = self.api.items(f"{self._home}/pulls", Pull, state="open", head=head, base=base, **self.page)
        return next((pull for pull in found if self._shown(pull).branch == branch), None)

    def _closer(self, number: int) -> str | None:
        closed_by = self.api.get(f"{self._home}/issues/{number:d}", Issue).closed_by
        return closed_by.login if closed_by else None

    def _writers(self, names: set[str]) -> set[str]:
        return {name for name in names if self._permission(name) in {"admin", "write"}}

    def _permission(self, name: str) -> str:
        try:
            return self.api.get(self._home + path("collaborators", name, "permission"), Permission).permission
        except Refused as refused:
            if refused.status != 404:
                raise
            return "none"

    def _merge(self, number: int, head: str, title: str, message: str) -> str | None:
        wanted = {"sha": head, "merge_method": "squash", "commit_title": title, "commit_message": message}
        answer = self.api.send("PUT", f"{self._home}/pulls/{number:d}/merge", wanted)
        return self.api.decode(answer, Merged).sha


class App:
    """A GitHub App where it is installed on one repository."""

    def __init__(self, address: str, repository: str, environment: Mapping[str, str], world: World) -> None:
        """Reads the key. Raises `Problems` CF181."""
        self._id, file = environment.get(APP_ID, "").strip(), environment.get(APP_KEY, "")
        if not (self._id and file):
            raise problem(PLACE, MISSING, f"{APP_ID} and {APP_KEY} (a file) are set together, or not at all")
        try:
            with open(file, encoding="ascii") as opened:
                self._key = opened.read()
        except (OSError, ValueError) as error:
            text = (
                f"the file of {APP_KEY} can't be read: {getattr(error, 'strerror', None) or 'it is no PEM'}"
            )
            raise problem(PLACE, MISSING, text) from None
        self._api = Api(address, lambda: f"Bearer {self._signed()}", HEADERS, world)
        self._repository, self._world = repository, world
        self._token: AccessToken | None = None
        _jwt()

    def name(self) -> str:
        """The name of its user."""
        return f"{self._api.get('/app', AppName).slug}[bot]"

    def token(self) -> str:
        """A token for the one repository, renewed before it ends."""
        if self._token is None or self._token.expires_at.timestamp() - _BEFORE < self._world.now():
            owner, name = self._repository.split("/")
            found = self._api.get(path("repos", owner, name, "installation"), Installation)
            where = f"/app/installations/{found.id:d}/access_tokens"
            self._token = self._api.decode(
                self._api.send("POST", where, {"repositories": [name]}), AccessToken
            )
        return self._token.token

    def _signed(self) -> str:
        # A minute back, as clocks differ; GitHub takes ten minutes at most.
        now = int(self._world.now())
        claims = {"iat": now - 60, "exp": now + 480, "iss": self._id}
        jwt = _jwt()
        try:
            return str(jwt.encode(claims, self._key, algorithm="RS256"))
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            text = f"the file of {APP_KEY} has no key that signs: {type(error).__name__}"
            raise problem(PLACE, MISSING, text, "download the App's private key again") from None


def _jwt() -> ModuleType:
    try:
        return import_module("jwt")
    except ImportError:
        text = "signing as an App needs PyJWT"
        raise problem(PLACE, MISSING, text, "pip install 'canaryfleet[github-app]', or use a token") from None


def _web(address: str) -> str:
    """Where people and git find what an API address is of."""
    url = urlsplit(address)
    return f"{url.scheme}://{url.netloc.removeprefix('api.')}{url.path.removesuffix('/api/v3')}"


def _graphql(address: str) -> str:
    return f"{address.removesuffix('/v3')}/graphql"
