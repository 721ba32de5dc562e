"""What `docker login` left: `config.json` of $DOCKER_CONFIG or ~/.docker, and the helpers that it names."""

import json
import os
import re
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

from canaryfleet.images import HUB
from canaryfleet.registry.http import Refused

_LARGEST = 1 << 20
_PATIENCE = 20  # seconds: a helper may ask a keychain, and that its owner
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Under which names a registry stands there; Docker Hub has kept its oldest.
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")
_TOKEN_USER = "<token>"  # noqa: S105 (what helpers call an identity token's user)


class Login(NamedTuple):
    """Credentials of one registry; all empty: nobody."""

    user: str = ""
    secret: str = ""
    identity: str = ""

    @property
    def basic(self) -> str | None:
        """The value of an Authorization header."""
        if not self.user and not self.secret:
            return None
        return f"Basic {b64encode(f'{self.user}:{self.secret}'.encode()).decode()}"

    def hidden_in(self, text: str) -> str:
        """A text without what nobody may see."""
        for word in (self.secret, self.identity, (self.basic or "").removeprefix("Basic ")):
            text = text.replace(word, "…") if len(word) > 3 else text
        return text

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


NOBODY = Login()


class Config:
    """Docker's settings, read when they are first needed."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        home = environment.get("HOME", "")
        folder = environment.get("DOCKER_CONFIG") or (os.path.join(home, ".docker") if home else "")
        self._path = os.path.join(folder, "config.json") if folder else ""
        self._environment = environment
        self._data: dict[str, Any] | None = None

    def login(self, registry: str) -> Login:
        """The credentials of a registry; NOBODY if there are none. Raises Refused: they can't be read."""
        if self._data is None:
            self._data = self._read()
        keys = _HUB_KEYS if registry == HUB else _keys(registry)
        helpers = _mapping(self._data.get("credHelpers"))
        helper = next((helpers[key] for key in keys if key in helpers), self._data.get("credsStore"))
        if helper:
            found = self._of_helper(helper, keys[0])
            if found != NOBODY:
                return found
        auths = _mapping(self._data.get("auths"))
        return next((_of_entry(_mapping(auths[key])) for key in keys if auths.get(key)), NOBODY)

    def _read(self) -> dict[str, Any]:
        if not self._path or not os.path.exists(self._path):
            return {}
        try:
            with open(self._path, "rb") as file:
                data = file.read(_LARGEST + 1)
            found = _decoded(data) if len(data) <= _LARGEST else None
        except (OSError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Refused(
                f"{self._path} can't be read as Docker's settings",
                "mend it, or name another with DOCKER_CONFIG",
            )
        return found

    def _of_helper(self, name: Any, server: str) -> Login:
        """What docker-credential-NAME says; without a shell, and of what is on the PATH alone."""
        if not isinstance(name, str) or not _HELPER.fullmatch(name):
            raise Refused(f"{self._path} names a credential helper that is no name", "mend it")
        program = shutil.which(f"docker-credential-{name}", path=_absolute(self._environment.get("PATH", "")))
        if program is None:
            raise Refused(
                f"the credential helper docker-credential-{name} is not installed", f"{self._path} names it"
            )
        try:
            done = subprocess.run(
                [program, "get"],
                input=server.encode(),
                capture_output=True,
                env=dict(self._environment),
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            raise Refused(f"docker-credential-{name} does not answer", "log in again") from None
        if done.returncode:
            return NOBODY  # the protocol has no other way to say that it knows none
        try:
            found = _decoded(done.stdout)
            user, secret = str(found["Username"]), str(found["Secret"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Refused(f"docker-credential-{name} answers with no credentials", "log in again") from None
        return Login(identity=secret) if user == _TOKEN_USER else Login(user, secret)


def _decoded(data: bytes) -> Any:
    """What JSON holds. Raises ValueError also for half a character, which nothing could send, and RecursionError."""
    found = json.loads(data)
    json.dumps(found, ensure_ascii=False).encode()
    return found


def _keys(registry: str) -> tuple[str, ...]:
    return (
        registry,
        f"https://{registry}",
        f"https://{registry}/",
        f"https://{registry}/v1/",
        f"https://{registry}/v2/",
    )


def _of_entry(entry: Mapping[str, Any]) -> Login:
    if isinstance(entry.get("identitytoken"), str) and entry["identitytoken"]:
        return Login(identity=entry["identitytoken"])
    try:
        user, _, secret = b64decode(str(entry.get("auth", "")), validate=True).decode().partition(":")
    except ValueError:
        return NOBODY
    return Login(user, secret.rstrip("\0"))


def _absolute(path: str) -> str:
    """Without the current folder, which may be the repository."""
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if os.path.isabs(folder))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
