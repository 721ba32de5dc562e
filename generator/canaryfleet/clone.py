"""A clone that the bot makes for itself and makes anew at each start, as in a pod: nobody has to keep one for it.

So nothing is met again that a process left when it was killed, such as a lock file of git's, and what a service goes
by is what the repository says when it starts. Which forge it is has to be known before there is a fleet.yaml that
says so: the address says it, or the user does.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Mapping
from urllib.parse import urlsplit

from canaryfleet import commits, git
from canaryfleet.errors import Place, UsageError, problem
from canaryfleet.forges import Remote, connect
from canaryfleet.models.fleet import Forge as Settings

MARK = ".canaryfleet-clone"
"""The first file of such a clone, and the last to go: a folder without it is somebody's own, and left alone."""

_REMOTE = re.compile(r"[^/]+:")  # a scheme, or what ssh takes for a host
_PUBLIC = "github.com"
_API = f"api.{_PUBLIC}"
_RESIDENT = ".ghe.com"  # GitHub with data residency, whose API has a host of its own
_HELD: dict[str, int] = {}
"""The marks that this process has locked, until it ends; git, which it starts, does not inherit them."""


def fresh(address: str, forge: str | None, root: str, environment: Mapping[str, str] = os.environ) -> None:
    """Make `root` a clone of the repository at `address`, with what its default branch has.

    `forge`: its type, where the address does not say it. The folder is this process's until it ends.
    Raises UsageError where the words make no sense, or `root` is somebody's; `Problems` CF180, CF181, CF024, CF025.
    """
    remote = _remote(settings(address, forge), address, root, environment)
    _take(root)
    branch, id = commits.head(root, remote)
    kind = "sha256" if len(id) == 64 else "sha1"
    git.run(root, ["init", "--quiet", "--template=", f"--object-format={kind}"])
    git.run(root, ["remote", "add", "origin", remote.address])
    commits.fetch(root, remote, [branch])
    if git.run(root, ["ls-tree", commits.TRACKED + branch, "--", MARK]):
        text = f"{branch} has a file of this name, with which canaryfleet marks a clone of its own"
        raise problem(Place(MARK), git.FAILED, text, "remove it from the repository")
    checkout = ["checkout", "--quiet", "--force", "--detach", commits.TRACKED + branch]
    git.run(root, checkout, timeout=commits.LONGEST)


def settings(address: str, forge: str | None) -> Settings:
    """The forge of a repository's address, as fleet.yaml has it. Raises UsageError."""
    try:
        url = urlsplit(address)
    except ValueError:
        raise UsageError("--clone: that is no address") from None
    if url.scheme == "file" or not _REMOTE.match(address):
        return _only(forge, "local", Settings())
    if url.scheme not in {"https", "http"}:
        raise UsageError("--clone: only https is spoken, as the bot does later; give such an address")
    if "@" in url.netloc:
        raise UsageError("--clone: take the user or token out of the address; it comes from the environment")
    above, _, name = url.path.strip("/").removesuffix(".git").rpartition("/")
    prefix, _, owner = above.rpartition("/")
    repository, home = f"{owner}/{name}", f"{url.scheme}://{url.netloc}"
    if url.hostname == _PUBLIC:
        return _only(forge, "github", Settings(type="github", repository=repository))
    if (url.hostname or "").endswith(_RESIDENT):
        api = f"{url.scheme}://api.{url.netloc}"
        return _only(forge, "github", Settings(type="github", repository=repository, url=api))
    if forge == "github":
        return Settings(type="github", repository=repository, url=f"{home}/api/v3")
    if forge == "gitea":
        path = f"/{prefix}" if prefix else ""
        return Settings(type="gitea", repository=repository, url=f"{home}{path}/api/v1")
    raise UsageError(f"--clone: say with --forge what {url.hostname} is: github or gitea")


def agree(named: Settings, address: str, forge: str | None) -> None:
    """Have fleet.yaml name the forge of the address: the bot's token goes to the host that it names.

    Whoever runs the bot says the address; fleet.yaml is a file of the repository. Raises `Problems` CF181.
    """
    said = settings(address, forge)
    if _whose(named) == _whose(said):
        return
    what = f"`forge` is {_told(named)}, and --clone is of {_told(said)}"
    remedy = "name the same address and repository in both: the bot's token goes where `forge` says"
    raise problem(Place("fleet.yaml"), "CF181", what, remedy)


def _whose(settings: Settings) -> tuple[str, str, str]:
    """Its type, the address that is asked (empty: the public one), and the repository."""
    if settings.type == "local":
        return settings.type, "", ""
    try:
        url = urlsplit(settings.url or "")
        port = url.port or {"https": 443, "http": 80}.get(url.scheme)
        address = f"{url.hostname}:{port}{url.path.rstrip('/')}" if url.hostname else ""
    except ValueError:  # no address, and nobody's: the forge says so
        address = settings.url or ""
    return settings.type, "" if address == f"{_API}:443" else address, (settings.repository or "").lower()


def _told(settings: Settings) -> str:
    return " ".join(filter(None, [settings.type, settings.repository, settings.url and f"at {settings.url}"]))


def _only(said: str | None, known: str, settings: Settings) -> Settings:
    if said not in {None, known}:
        raise UsageError(f"--forge {said}: the address of --clone is one of {known}")
    return settings


def _remote(settings: Settings, address: str, root: str, environment: Mapping[str, str]) -> Remote:
    """Where to clone from. The token goes to the host of the address alone."""
    if settings.type == "local":
        return Remote(os.path.abspath(urlsplit(address).path if "://" in address else address))
    return connect(settings, root, environment).remote


def _take(root: str) -> None:
    """Have an empty folder that nobody else uses. Raises UsageError."""
    try:
        os.makedirs(root, exist_ok=True)
        names = set(os.listdir(root))
        if names and MARK not in names:
            raise UsageError(
                f"--clone: {root} is not empty, and no clone of ours; name another folder by --root"
            )
        if (mark := os.path.join(os.path.realpath(root), MARK)) not in _HELD:
            held = os.open(mark, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _HELD[mark] = held
        for name in names - {MARK}:
            path = os.path.join(root, name)
            is_folder = os.path.isdir(path) and not os.path.islink(path)
            shutil.rmtree(path) if is_folder else os.unlink(path)
    except BlockingIOError:
        raise UsageError(
            f"--clone: another canaryfleet works in {root}; name another folder by --root"
        ) from None
    except OSError as error:
        raise UsageError(f"--clone: {root} can't be used: {error.strerror}") from None
