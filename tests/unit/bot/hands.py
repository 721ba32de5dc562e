"""A repository with a release that is everywhere and one that is new, its forge, and bots that act on it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec.structs import replace

from canaryfleet import act, commits, landing, repo
from canaryfleet.act import Deed, Means, Outcome, Words
from canaryfleet.decide import decide
from canaryfleet.files import Tree
from canaryfleet.forges.local import Local
from canaryfleet.models.decision import (
    Decision,
    Pointed,
    Policy,
    Request,
    Site,
    Situation,
    release_facts,
)
from canaryfleet.models.forge import PullRequest
from forges import BEGIN, Ground, sh
from support import Project
from world import fleet, verdict

GOLDEN = Path(__file__).parents[2] / "golden"
APP, PILOT = "chat", "eu-1"


class Killed(BaseException):
    """The process has ended here."""


@cache
def _fleet() -> tuple[str, str, dict[str, bytes]]:
    """Two releases, of which the first is everywhere, and the files of the repository."""
    with TemporaryDirectory() as folder:
        project = Project(Path(folder))
        project.copy(GOLDEN / "shared", APP)
        first = _release(project, "first")
        project.point_everything(APP)
        second = _release(project, "second")
        tree = Tree(folder)
        return first, second, {path: tree.read(path) for path in tree.walk("")}


def _release(project: Project, stage: str) -> str:
    project.copy(GOLDEN / "second-release" / stage, APP)
    project.render()
    return project.know().frozen[APP].release.id


class Hands:
    """The shared repository and its forge; people have `ground.clone`."""

    def __init__(self, folder: Path) -> None:
        self.ground = Ground(folder)
        self.local: Local = self.ground.local
        self.now = BEGIN
        self.bots = 0
        self.first, self.second, files = _fleet()
        for path, data in files.items():
            (self.ground.clone / path).parent.mkdir(parents=True, exist_ok=True)
            (self.ground.clone / path).write_bytes(data)
        self.ground.push("main", {})
        self.bad: tuple[str, ...] = ()

    def clone(self) -> Path:
        """A clone of its own for a bot."""
        self.bots += 1
        path = self.ground.bare.parent / f"bot{self.bots}"
        sh(path.parent, "clone", "-q", str(self.ground.bare), str(path))
        return path

    @contextmanager
    def means(self, clone: Path, *, stale: bool = False, **more: Any) -> Iterator[Means]:
        """What a bot reads, and acts with."""
        if not stale:
            commits.fetch(clone, self.local.remote, ["main", "canaryfleet/*"])
        base = sh(clone, "rev-parse", "refs/remotes/origin/main")
        with commits.worktree(clone, base) as folder:
            yield Means(self.local, str(clone), "main", base, Tree(folder), self.now, **more)

    def situation(self, means: Means, **more: Any) -> Situation:
        """What it looks like from a tree: everything is verified, but what is `bad`."""
        app = repo.load_app(means.tree, APP)
        ids = repo.release_names(means.tree, APP)
        facts = {id: release_facts(repo.release(means.tree, APP, id)) for id in ids}
        kinds = {name: "Failed" if name in self.bad else "Verified" for name in app.pointers}
        known: dict[str, Any] = {
            "app": APP, "now": self.now, "policy": Policy(), "fleet": fleet(), "candidate": self.second,
            "sites": dict.fromkeys(app.pointers, Site()), "releases": facts,
            "pointers": {name: Pointed(release=p.release, fallback=p.fallback) for name, p in app.pointers.items()},
            "promotion": repo.promotion(means.tree, APP),
            "verdicts": {
                name: replace(verdict(name, app.pointers[name].release, kind, self.now), app=APP)
                for name, kind in kinds.items()
            },
            "requests": tuple(map(self._request, self.local.requests(f"canaryfleet/{APP}/"))),
        }  # fmt: skip
        return Situation(**known | more)

    def _request(self, item: PullRequest) -> Request:
        by = None if item.closedBy is None else "bot" if item.closedBy == self.local.me else "person"
        key = item.branch.rpartition("/")[2]
        return Request(
            number=item.number, branch=item.branch, key=key, head=item.head, state=item.state,
            closedBy=by, reviews=item.reviews,
        )  # type: ignore[arg-type]  # fmt: skip

    def prepare(
        self, clone: Path, decision: Decision | None = None, say: act.Say | None = None, **more: Any
    ) -> Outcome:
        """Propose what is decided."""
        with self.means(clone, **more) as means:
            return act.prepare(means, decision or decide(self.situation(means)), say or words)

    def land(self, clone: Path, decision: Decision | None = None, **more: Any) -> Outcome:
        """Look again, decide anew, and merge."""
        with self.means(clone, **more) as means:
            situation = self.situation(means)
            return act.land(means, situation, decision or decide(situation), words)

    def decision(self, clone: Path, **more: Any) -> Decision:
        """What is decided now."""
        with self.means(clone) as means:
            return replace(decide(self.situation(means)), **more)

    def branches(self) -> dict[str, str]:
        """The bot's branches on the forge."""
        lines = sh(
            self.ground.bare,
            "for-each-ref",
            "--format=%(refname:short) %(objectname)",
            "refs/heads/canaryfleet/",
        )
        return dict(line.split() for line in lines.splitlines()) if lines else {}

    def requests(self) -> list[PullRequest]:
        """Its pull requests, oldest first."""
        return self.local.requests("")[::-1]

    def pointers(self) -> dict[str, str]:
        """What main says."""
        with self.means(self.clone()) as means:
            return {name: p.release for name, p in repo.load_app(means.tree, APP).pointers.items()}


def words(decision: Decision, title: str = "", text: str = "why") -> Words:
    """A title, a text and a message, as request.py writes them."""
    line = landing.line(landing.of(decision))
    return Words(
        title or f"{APP}: {decision.kind} [{decision.key}]",
        f"{text}\n",
        f"{APP}: {decision.kind}\n\n- why\n\n{line}\n",
    )


def dies_after(what: str) -> Callable[[Deed], None]:
    """Ends the process just after a side effect."""

    def done(deed: Deed) -> None:
        if deed.what == what:
            raise Killed

    return done
