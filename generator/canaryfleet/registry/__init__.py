"""Which content an image's tag names now, asked of its registry.

The OCI distribution API (v1.1) on the standard library: one manifest is asked for, and its digest is computed from
what came, so that a registry, or who stands before it, can't say one digest and serve another. Credentials are those
that `docker login` left, are sent to that registry and its token server alone, and are in no text.
"""

import hashlib
import time
from collections.abc import Callable, Mapping

from canaryfleet import images
from canaryfleet.errors import one_line
from canaryfleet.images import HUB, Image
from canaryfleet.registry.credentials import Config, Login
from canaryfleet.registry.http import Answer, Client, NoAnswer, Refused
from canaryfleet.registry.tokens import authorization


class Unresolved(Exception):
    """No digest is known of an image; the text says of which, and why."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.remedy = remedy


# An index first: it holds for every machine that runs the image.
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_TRIES = 3
_LONGEST_PAUSE = 20.0  # seconds; who is told to wait longer tries again by hand
_HUB_SERVER = "registry-1.docker.io"
_TEMPORARY = frozenset({429, 500, 502, 503, 504})


class Registries:
    """Asks registries, each image once. Every call raises `Unresolved` if it can't be known."""

    def __init__(
        self,
        environment: Mapping[str, str],
        sleep: Callable[[float], None] | None = None,
        timeout: float = 10.0,
    ) -> None:
        """`environment`: where Docker's settings are found; `timeout`: seconds without an answer."""
        self._config = Config(environment)
        self._sleep = sleep or time.sleep
        self._timeout = timeout
        self._known: dict[tuple[str, str, str], str] = {}

    def pinned(self, text: str, *, update: bool = False) -> str:
        """The image with its digest; one that has it already stays, unless its tag is to be asked for again."""
        image = images.parse(text)
        if image is None:
            raise Unresolved(one_line(f"{text} names no image"), "write REGISTRY/NAME:TAG")
        if image.digest and not (update and image.tag):
            return text
        return image.at(self.digest(image))

    def digest(self, image: Image) -> str:
        """`sha256:…` of what the image's tag (or `latest`) names now."""
        key = (image.registry, image.repository, image.tag or "latest")
        if key not in self._known:
            self._known[key] = self._ask(image)
        return self._known[key]

    def _ask(self, image: Image) -> str:
        client = Client(_HUB_SERVER if image.registry == HUB else image.registry, self._timeout)
        try:
            login = self._config.login(image.registry)
        except Refused as refused:
            raise _trouble(image, str(refused), refused.remedy) from None
        try:
            return _checked(image, self._manifest(client, image, login))
        except Refused as refused:
            raise _trouble(image, login.hidden_in(str(refused)), refused.remedy) from None

    def _manifest(self, client: Client, image: Image, login: Login) -> Answer:
        """The manifest, after as many tries and as much waiting as is sensible. Raises Refused."""
        path = f"/v2/{image.repository}/manifests/{image.tag or 'latest'}"
        header: str | None = None
        for number in range(1, _TRIES + 1):
            try:
                answer = client.get(path, MANIFESTS, header)
                if answer.status == 401 and header is None:
                    header = authorization(client, answer, login, image.repository)
                    answer = client.get(path, MANIFESTS, header)
            except NoAnswer as error:
                said, pause = str(error), 2.0 ** (number - 1)
            else:
                if answer.status not in _TEMPORARY:
                    return answer
                said, pause = f"it answers {answer.status}", answer.pause or 2.0 ** (number - 1)
            if number == _TRIES or pause > _LONGEST_PAUSE:
                raise Refused(said, "try again later")
            self._sleep(pause)
        raise AssertionError("unreachable")


def _checked(image: Image, answer: Answer) -> str:
    """The digest of a manifest that came. Raises Refused if it is none, or not the one that the registry says."""
    if answer.status in (401, 403):
        raise Refused(
            f"it refuses ({answer.status})", f"`docker login {image.registry}`; may you pull the image?"
        )
    if answer.status == 404:
        raise Refused(
            "it has no such image or tag", "check the name; a registry may hide what you may not pull"
        )
    if answer.status != 200:
        raise Refused(f"it answers {answer.status}", "is it a registry?")
    if answer.type not in MANIFESTS:
        raise Refused(
            f"it answers with {answer.type or 'no type'}, which is no manifest of today", "is it a registry?"
        )
    digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
    said = answer.headers.get("docker-content-digest")
    if said is not None and said.startswith("sha256:") and said != digest:
        raise Refused(f"it says {said} and serves {digest}", "something on the way changes what it serves")
    return digest


def _trouble(image: Image, said: str, remedy: str) -> Unresolved:
    name = f"{image.name}{f':{image.tag}' if image.tag else ''}"
    return Unresolved(f"{image.registry} does not say the digest of {name}: {said}", remedy)
