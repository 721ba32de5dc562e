"""Names of container images: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`, as container engines read them."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

HUB = "docker.io"
# Of the distribution project's reference grammar: a component of a path, a tag, and the one digest in use.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_IMAGE = re.compile(
    rf"(?P<name>(?:(?P<host>{_HOST})/)?(?P<path>{_PART}(?:/{_PART})*))"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_HUBS = frozenset({HUB, "index.docker.io", "registry-1.docker.io"})


class Image(NamedTuple):
    """An image: what was written before its tag, the registry and the repository that this means, tag and digest."""

    name: str
    registry: str
    repository: str
    tag: str | None
    digest: str | None

    def at(self, digest: str) -> str:
        """The same image with a digest, and its tag, for people."""
        return f"{self.name}{f':{self.tag}' if self.tag else ''}@{digest}"


def retagged(now: Iterable[str], before: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Images with the content of one from before, and another tag than it had then: the image, and that tag."""
    tags: dict[tuple[str, str, str], set[str]] = {}
    for old in filter(None, map(parse, before)):
        if old.tag and old.digest:
            tags.setdefault((old.registry, old.repository, old.digest), set()).add(old.tag)
    for text in dict.fromkeys(now):
        image = parse(text)
        if image is None or not image.tag or not image.digest:
            continue
        known = tags.get((image.registry, image.repository, image.digest), set())
        if known and image.tag not in known:
            yield text, min(known)


def parse(text: str) -> Image | None:
    """The image that a text names; None if it names none.

    The first part is a registry if it has a dot or a port, or is `localhost`; else the image is on Docker Hub, where
    one without an owner is in `library`.
    """
    found = _IMAGE.fullmatch(text)
    if not found:
        return None
    host, path = found["host"] or "", found["path"]
    if host and not ("." in host or ":" in host or host == "localhost"):
        host, path = "", f"{host}/{path}"
        if not re.fullmatch(rf"{_PART}(?:/{_PART})*", path):
            return None
    if not host or host.lower() in _HUBS:
        host, path = HUB, path if "/" in path else f"library/{path}"
    return Image(found["name"], host.lower(), path, found["tag"], found["digest"])
