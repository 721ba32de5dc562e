"""The example fleet of this repository in a clone of its own, with simulated clusters and a clock."""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from canaryfleet import landing, overlay, repo, situation
from canaryfleet.engines.argo_rollouts.simulate import Behaviour
from canaryfleet.files import Tree
from canaryfleet.ground import Ground, survey
from canaryfleet.landing import Landing
from canaryfleet.models.decision import Situation
from canaryfleet.models.forge import PullRequest
from canaryfleet.models.release import Release
from canaryfleet.sandbox import Sandbox
from canaryfleet.situation import Evidence

ROOT = Path(__file__).parents[3]
BEGIN = datetime(2026, 11, 3, 10, tzinfo=UTC)  # a Tuesday
BOT = (landing.AUTHOR, landing.EMAIL)
ANN = ("ann", "ann@acme.example")
GOOD = Behaviour()


class Clone:
    """A repository whose commits are made at the clock's time, and clusters that follow it when told to."""

    def __init__(self, root: Path, *, example: bool = True) -> None:
        self.root, self.now = root, BEGIN
        self.behaviours: dict[tuple[str, str], Behaviour] = {}
        self.sandbox = Sandbox(lambda: self.now, self._behave)
        root.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        for name in ("fleet.yaml", "specs", "clusters", "overlays") if example else ():
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, root / name)

    def _behave(self, release: Release, cluster: str) -> Behaviour:
        return self.behaviours.get((release.id, cluster), GOOD)

    # Git

    def git(self, *words: str, by: tuple[str, str] = ANN, stdin: str = "") -> str:
        """What git prints."""
        when = f"{int(self.now.timestamp())} +0000"
        known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        known |= {"GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": when, "GIT_CONFIG_GLOBAL": "/dev/null"}
        who = ["-c", f"user.name={by[0]}", "-c", f"user.email={by[1]}"]
        done = subprocess.run(
            ["git", *who, *words],
            cwd=self.root,
            env=known,
            input=stdin.encode(),
            check=True,
            capture_output=True,
        )
        return done.stdout.decode().strip()

    def commit(self, message: str = "x", *, by: tuple[str, str] = ANN) -> str:
        """Commit everything, a minute after what was before."""
        self.wait(minutes=1)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "--cleanup=verbatim", "-m", message, by=by)
        return self.head

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")

    def wait(self, **how_long: float) -> None:
        """Time passes."""
        self.now += timedelta(**how_long)

    def branch(self, app: str, key: str, message: str | None = None, *, by: tuple[str, str] = BOT) -> str:
        """Commit what is changed in the folder on a branch of the bot, as if it was pushed and fetched; its id."""
        self.git("checkout", "-qb", "work")
        id = self.commit(self.said(app, key) if message is None else message, by=by)
        self.fetched(app, key, id)
        self.git("checkout", "-q", "main")
        self.git("branch", "-qD", "work")
        return id

    def fetched(self, app: str, key: str, id: str) -> None:
        """The branch on the forge is at a commit."""
        self.git("update-ref", f"refs/remotes/origin/canaryfleet/{app}/{key}", id)

    # What stands in it

    @property
    def tree(self) -> Tree:
        """The folder."""
        return Tree(self.root)

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        """Change a file."""
        text = (self.root / path).read_text()
        assert re.search(old, text), (path, old)
        self.write(path, re.sub(old, new, text))

    def point(self, app: str, cluster: str, release: str, fallback: str | None = None) -> None:
        """Point a cluster at a release; its live settings stay."""
        path = repo.overlay_path(app, cluster)
        found = repo.release(self.tree, app, release)
        at = overlay.target(found, cluster, overlay.bakes(found))
        assert at is not None
        live = overlay.read_live((self.root / path).read_bytes(), path, found.live)
        self.write(path, overlay.text(app, at, fallback, (), live))

    def remove(self, path: str) -> None:
        """Remove a file or a folder."""
        target = self.root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    @staticmethod
    def said(app: str, key: str = "0123456789ab", subject: str = "Advance", **fields: Any) -> str:
        """A message of the bot."""
        about: dict[str, Any] = {"kind": "Advance", "release": "r", "wave": "w"}
        return f"{subject}\n\n{landing.line(Landing(app=app, key=key, **(about | fields)))}\n"

    # What is read

    def survey(self) -> Ground:
        """Git at the commit that is checked out."""
        return survey(self.tree, self.head, self.now)

    def sync(self) -> None:
        """Clusters get what the folder says."""
        self.sandbox.sync(self.tree)

    def look(self, ground: Ground) -> Evidence:
        """What is seen of the clusters."""
        return situation.look(ground, self.sandbox, 1.0)

    def read(self, *requests: PullRequest, me: str = "bot") -> dict[str, Situation]:
        """The situation of every app."""
        ground = self.survey()
        return situation.read(ground, self.look(ground), requests, me, self.now)


def pull(app: str, key: str, head: str, **fields: Any) -> PullRequest:
    """A pull request of the bot."""
    about: dict[str, Any] = {"number": 1, "base": "main", "state": "open", "author": "bot"}
    return PullRequest(branch=f"canaryfleet/{app}/{key}", head=head, **(about | fields))
