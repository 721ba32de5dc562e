"""Forges to test with: a real repository, and the people who work on it."""

import os
import shutil
import subprocess
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from canaryfleet.forges.local import Comment, Local

BEGIN = datetime(2026, 11, 2, 9, tzinfo=UTC)


def sh(root: Path, *args: str, **environment: str) -> str:
    """What a git command of a person prints."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = ["-c", "user.name=alice", "-c", "user.email=alice@acme.example", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *who, *args], cwd=root, env=env | environment, check=True, capture_output=True
    )
    return done.stdout.decode().strip()


class Clock:
    """A time that stands until somebody moves it."""

    def __init__(self, now: datetime = BEGIN) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        """Let time go by."""
        self.now += timedelta(**time)


class Ground:
    """A bare repository with one commit on main, a clone of it, and the local forge beside it."""

    def __init__(self, folder: Path, branch: str | None = None) -> None:
        """`branch`: one with a commit that changes the file `pointer`."""
        self.bare, self.clone = folder / "fleet.git", folder / "clone"
        sh(folder, "init", "-q", "--bare", "-b", "main", str(self.bare))
        sh(folder, "clone", "-q", str(self.bare), str(self.clone))
        self.clock = Clock()
        self.local = Local(self.bare, self.clock)
        self.push("main", {"README": "fleet\n"})
        if branch:
            self.push(branch, {"pointer": "new\n"}, onto="main")

    def copy(self, folder: Path) -> "Ground":
        """The same elsewhere: a tenth of the time that it takes to make one."""
        other = copy(self)
        other.bare, other.clone = folder / "fleet.git", folder / "clone"
        shutil.copytree(self.bare, other.bare)
        shutil.copytree(self.clone, other.clone)
        config = other.clone / ".git" / "config"
        config.write_text(config.read_text().replace(str(self.bare), str(other.bare)))
        other.clock = Clock(self.clock.now)
        other.local = Local(other.bare, other.clock)
        return other

    def push(self, branch: str, files: dict[str, str], *, onto: str | None = None) -> str:
        """One commit on a branch, begun at `onto` if there is none yet or it is to be made anew; its id."""
        if onto:
            sh(self.clone, "checkout", "-q", "-B", branch, f"origin/{onto}")
        elif sh(self.clone, "symbolic-ref", "--short", "HEAD") != branch:
            sh(self.clone, "checkout", "-q", branch)
        for path, text in files.items():
            (self.clone / path).write_text(text)
        sh(self.clone, "add", "-A")
        sh(self.clone, "commit", "-q", "-m", f"change {', '.join(files)}")
        sh(self.clone, "push", "-q", "--force", "origin", branch)
        sh(self.clone, "fetch", "-q", "--prune")
        return sh(self.clone, "rev-parse", "HEAD")

    def remove(self, branch: str) -> None:
        """A person removes a branch."""
        sh(self.clone, "push", "-q", "origin", f":{branch}")

    def tip(self, branch: str = "main") -> str:
        """The commit of a branch."""
        return sh(self.bare, "rev-parse", f"refs/heads/{branch}")

    def log(self, branch: str = "main", bare: str | None = None) -> list[str]:
        """The subjects of a branch, oldest first."""
        return sh(Path(bare or self.bare), "log", "--first-parent", "--reverse", "--format=%s", branch).split(
            "\n"
        )

    def comment(self, number: int, by: str, text: str) -> None:
        """Somebody writes below a pull request."""
        with self.local._locked():
            held = self.local._one(number)
            self.local._write(replace(held, comments=(*held.comments, Comment(by=by, text=text))))

    def recomment(self, number: int, at: int, text: str) -> None:
        """A comment becomes another."""
        with self.local._locked():
            held = self.local._one(number)
            said = list(held.comments)
            said[at] = Comment(by=said[at].by, text=text)
            self.local._write(replace(held, comments=tuple(said)))

    def comments(self, number: int) -> list[str]:
        """What the bot has written below a pull request."""
        with self.local._locked():
            return [said.text for said in self.local._one(number).comments if said.by == "canaryfleet"]
