"""A whole small world on real git: people, a local forge, the bot, and simulated clusters that follow main.

story = Story(tmp_path)
story.release("1.0.0"); story.until_rest()
"""

import copy
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from canaryfleet import cli, reconcile, repo
from canaryfleet.engines.argo_rollouts.simulate import Behaviour, Script
from canaryfleet.files import Tree
from canaryfleet.forges import Forge
from canaryfleet.forges.local import Local
from canaryfleet.models.release import Release
from canaryfleet.overlay import Pointer, pointer
from canaryfleet.reconcile import Report, Way
from canaryfleet.sandbox import Sandbox
from canaryfleet.sight import Bot

BEGIN = datetime(2026, 11, 16, 8, tzinfo=UTC)  # a Monday
HEAD = {"apiVersion": "canaryfleet.dev/v1alpha1"}
CLUSTERS = ("one", "two", "three")
WAVES: list[dict[str, Any]] = [
    {"name": "first", "clusters": ["one"], "minSuccessTime": "10m"},
    {"name": "rest", "maxConcurrency": 1},
]
DIGEST = "0123456789abcdef" * 4


class Story:
    """One app on three clusters. Time passes only when it is told to."""

    app = "chat"

    def __init__(
        self, folder: Path, waves: list[dict[str, Any]] | None = None, begin: datetime = BEGIN, **spec: Any
    ) -> None:
        self.now = begin
        self._at(folder)
        self.moods: dict[str, str] = {}
        """How a version's requests turn out, if not well."""
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare), at=folder)
        self.git("clone", "-q", str(self.bare), str(self.people), at=folder)
        self.git("checkout", "-q", "-b", "main")
        self._write(
            "fleet.yaml",
            {**HEAD, "kind": "Fleet", "metadata": {"name": "acme"}, "metrics": {"prometheus": "http://p"}},
        )
        for name in CLUSTERS:
            head = {**HEAD, "kind": "Cluster", "metadata": {"name": name}}
            self._write(f"clusters/{name}.yaml", head | {"uid": Script(name, "", "").identity})
        self.spec = _spec(self.app, waves or WAVES) | spec
        self.release("1.0.0")
        self.git("clone", "-q", str(self.bare), str(self.clone), at=folder)
        self.forge: Any = Local(self.bare, self.clock)
        self.box = Sandbox(self.clock, self._behave)

    def _at(self, folder: Path) -> None:
        self.bare, self.people, self.clone = (folder / name for name in ("fleet.git", "people", "bot"))

    def fork(self, folder: Path) -> "Story":
        """The same world as it is now, to go on with in another folder."""
        other = copy.copy(self)
        shutil.copytree(self.bare.parent, folder)
        other._at(folder)
        for clone in (other.people, other.clone):
            other.git("remote", "set-url", "origin", str(other.bare), at=clone)
        other.moods, other.spec = dict(self.moods), copy.deepcopy(self.spec)
        other.forge = Local(other.bare, other.clock)
        other.box = self.box.fork(other.clock, other._behave)
        return other

    def clock(self) -> datetime:
        """The time."""
        return self.now

    # what people do

    def release(self, version: str, **spec: Any) -> str:
        """Change the spec, render, commit to main; the release."""
        self.spec |= spec
        self.spec["version"] = version
        self.spec["workload"]["image"] = f"registry.example/chat:{version}@sha256:{DIGEST}"
        self._write(f"specs/{self.app}/canary.yaml", self.spec)
        assert cli.main(["render", "--root", str(self.people)]) == 0
        self.commit(f"release {version}")
        return self.candidate()

    def commit(self, subject: str) -> str:
        """Commit everything in the people's clone, and push it to main; the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", subject)
        self.git("pull", "-q", "--rebase", "origin", "main") if self._is_there() else None
        self.git("push", "-q", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD").strip()

    def candidate(self) -> str:
        """The release that the spec resolves to, in the people's clone."""
        found = repo.candidate(Tree(self.people), self.app)
        assert found is not None
        return found

    def overlay(self, cluster: str) -> Path:
        """A cluster's overlay in the people's clone."""
        return self.people / repo.overlay_path(self.app, cluster)

    def repoint(self, cluster: str) -> None:
        """Point a cluster at the candidate by hand, whatever its wave says; nothing is committed.

        What it has becomes its fallback, unless it has one already.
        """
        path = self.overlay(cluster)
        present = pointer(path.read_bytes())
        assert present is not None
        text = path.read_text().replace(present.release, self.candidate())
        if present.fallback is None:
            head = f"metadata:\n  name: {self.app}\n"
            note = f"{head}  annotations:\n    canaryfleet.dev/fallback: {present.release}\n"
            text = text.replace(head, note, 1)
        path.write_text(text)

    def approve(self) -> None:
        """Approve every open pull request of the bot at its head."""
        for item in self.forge.requests("canaryfleet/"):
            if item.state == "open":
                self.forge.review(item.number, "ann", "approved")

    # what the bot does

    def bot(self, forge: Forge | None = None) -> Bot:
        """A bot on its clone."""
        return Bot(str(self.clone), forge or self.forge, self.box, 10, self.clock)

    def run(self, forge: Forge | None = None, **way: Any) -> Report:
        """One run of the bot."""
        (report,) = reconcile.once(self.bot(forge), [self.app], Way(**way))
        return report

    # what time and Argo CD do

    def sync(self) -> None:
        """The clusters take what main says."""
        self.pull()
        self.box.sync(Tree(self.people))

    def pull(self) -> None:
        """The people's clone has main."""
        self.git("pull", "-q", "--rebase", "origin", "main")

    def turn(self, **time: float) -> Report:
        """Clusters sync, time passes, the bot runs."""
        self.sync()
        self.now += timedelta(**(time or {"minutes": 30}))
        return self.run()

    def until_rest(self, most: int = 40, each: Callable[[], None] = lambda: None) -> list[Report]:
        """Turns until two in a row changed nothing on main and nothing is under way."""
        reports: list[Report] = []
        quiet = 0
        for _ in range(most):
            before = self.main()
            reports.append(self.turn())
            each()
            quiet = quiet + 1 if self.main() == before else 0
            decision = reports[-1].outcome.decision
            over = decision is not None and decision.kind in ("Done", "Hold")
            if quiet >= 2 and decision and over and all(r.code != "under-way" for r in decision.reasons):
                return reports
        raise AssertionError(f"it never comes to rest: {reports[-1]}")

    # what is there

    def main(self) -> str:
        """The commit of main."""
        return self.git("rev-parse", "main", at=self.bare).strip()

    def pointers(self) -> dict[str, Pointer]:
        """What main says of each cluster."""
        self.pull()
        found = repo.overlays(Tree(self.people), self.app)
        read = {name: pointer(item.data) for name, item in found.items()}
        return {name: item for name, item in read.items() if item is not None}

    def versions(self) -> dict[str, str]:
        """The version that each cluster is pointed at."""
        return {name: item.release.rpartition("-")[0] for name, item in self.pointers().items()}

    def log(self) -> list[str]:
        """The subjects of main, oldest first."""
        return self.git("log", "--reverse", "--format=%s", "main", at=self.bare).splitlines()

    def commits(self) -> Iterator[tuple[str, str, str]]:
        """Id, author and message of main's commits, oldest first."""
        printed = self.git("log", "--reverse", "--format=%H%x00%an%x00%B%x01", "main", at=self.bare)
        for item in printed.split("\x01")[:-1]:
            id, author, message = item.lstrip("\n").split("\0")
            yield id, author, message

    def git(self, *words: str, at: Path | None = None) -> str:
        """What git prints, run by Ann at the story's time."""
        who = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@acme.example"}
        who |= {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@acme.example"}
        who |= {"GIT_AUTHOR_DATE": self.now.isoformat(), "GIT_COMMITTER_DATE": self.now.isoformat()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(
            ["git", *words],
            cwd=at or self.people,
            env=kept | who,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
        return done.stdout

    # inside

    def _behave(self, release: Release, cluster: str) -> Behaviour:
        return Behaviour(mood=self.moods.get(release.version, "good"))  # type: ignore[arg-type]

    def _is_there(self) -> bool:
        return bool(self.git("ls-remote", "--heads", "origin", "main").strip())

    def _write(self, path: str, content: Mapping[str, Any]) -> None:
        file = self.people / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(dict(content), sort_keys=False))


def _spec(app: str, waves: list[dict[str, Any]]) -> dict[str, Any]:
    metric = {"preset": "istio/error-rate", "promoteBelow": "1%", "rollbackAbove": "5%"}
    return {
        **HEAD,
        "kind": "Canary",
        "metadata": {"name": app, "namespace": app},
        "version": "0.0.0",
        "workload": {"image": "", "port": 8080, "replicas": 2},
        "exposure": {"steps": [{"weight": "50%", "for": "5m"}]},
        "analysis": {"interval": "30s", "minimumSamples": 20, "metrics": [metric]},
        "waves": waves,
    }
