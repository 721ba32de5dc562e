"""`make demo`: the whole story on one machine, without a cluster and without a forge account.

The example fleet gets a good release, wave by wave, by merged pull requests; a bad one is stopped in its first
wave, reverted and barred. Clusters are simulated under the real overlays, the forge is a folder beside a bare
repository, and time goes faster; everything else is what runs in production.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from canaryfleet import commits, kustomize, overview, past, reconcile, status
from canaryfleet.engines.argo_rollouts.simulate import Behaviour
from canaryfleet.files import Tree
from canaryfleet.forges.local import Local
from canaryfleet.manifests import Builder, sort_key
from canaryfleet.models.outcome import Outcome
from canaryfleet.models.release import Release
from canaryfleet.sandbox import Sandbox
from canaryfleet.sight import Bot
from canaryfleet.syntax import parse_stream

HERE = Path(__file__).resolve().parent.parent
DEMO = HERE / "demo"
BARE, PEOPLE, CLONE = DEMO / "fleet.git", DEMO / "people", DEMO / "bot"
PAGE = DEMO / "fleet.html"
APP = "assistant"
SPEC = f"specs/{APP}/canary.yaml"
OLD, GOOD, BAD = "2.3.0", "2.4.0", "2.5.0"
BEGIN = datetime(2026, 11, 2, 7, tzinfo=UTC)  # a Monday
STEP, LONGEST_STEP = timedelta(hours=3), timedelta(hours=6)  # the shortest window is open for seven
LONGEST = timedelta(days=21)


class World:
    """Time, clusters, forge and bot of the demo."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.forge = Local(BARE, lambda: self.now)
        self.clusters = Sandbox(lambda: self.now, self._behave)
        self.bot = Bot(str(CLONE), self.forge, self.clusters, 10, lambda: self.now)

    def _behave(self, release: Release, cluster: str) -> Behaviour:
        return Behaviour(mood="bad" if release.version == BAD else "good")

    def until_rest(self) -> None:
        """Clusters sync, time passes, the bot runs; Ann approves. Until nothing is left to do."""
        end, shown, step = self.now + LONGEST, "", STEP
        while self.now < end:
            self.now += step
            with commits.worktree(CLONE, self._main()) as folder:
                self.clusters.sync(Tree(folder))
            (report,) = reconcile.once(self.bot, [APP])
            shown = self._tell(report.outcome, shown)
            if _is_over(report.outcome):
                return
            self._approve()
            step = STEP if report.outcome.actions else min(2 * step, LONGEST_STEP)
        raise SystemExit("the demo never comes to rest")

    def _main(self) -> str:
        commits.fetch(CLONE, self.forge.remote, ["main"])
        return git("rev-parse", "refs/remotes/origin/main", at=CLONE).strip()

    def _approve(self) -> None:
        for request in self.forge.requests(f"canaryfleet/{APP}/"):
            if request.state == "open" and not request.reviews:
                self.forge.review(request.number, "ann", "approved")
                print(f"{self.now:%a %d %b %H:%M}  ann approves pull request {request.number}", flush=True)

    def _tell(self, outcome: Outcome, shown: str) -> str:
        """What has happened, or changed in why nothing does."""
        lines = list(_lines(outcome))
        said = "\n".join(lines)
        if said != shown:
            for line in lines:
                print(f"{self.now:%a %d %b %H:%M}  {line}", flush=True)
        return said


def _lines(outcome: Outcome) -> Iterator[str]:
    decision = outcome.decision
    if decision is None or outcome.problem:
        raise SystemExit(f"{outcome.app}: {outcome.problem}")
    acted = [f"pull request {action.number} {action.verb}" for action in outcome.actions]
    where = ", ".join(move.cluster for move in decision.moves) or "what proved it is recorded"
    if acted:
        what = f"{decision.kind} {decision.release} {decision.wave or ''}".rstrip()
        yield f"{what}: {where} ({', '.join(acted)})"
        if decision.kind == "Rollback":
            yield from (f"  because {reason.message}" for reason in decision.reasons)
            yield from (f"  barred: workload {bar.workload}" for bar in decision.bars)
    else:
        first = decision.reasons[0]
        yield f"{decision.kind}: {first.message}"


def _is_over(outcome: Outcome) -> bool:
    """Done, or held by a bar with everything back."""
    decision = outcome.decision
    if decision is None or outcome.actions:
        return False
    return decision.kind == "Done" or any(reason.code == "barred" for reason in decision.reasons)


def main() -> int:
    """Make the demo; the exit code is that of the first command that fails."""
    fresh_repository()
    say("1. Is anything wrong with the specs?")
    canaryfleet("lint")
    say(f"2. {OLD} is frozen as a release, and the bot deploys it for the first time (time goes faster here)")
    canaryfleet("render")
    publish(f"Release {OLD}", BEGIN)
    git("clone", "--quiet", str(BARE), str(CLONE), at=DEMO)
    world = World()
    world.until_rest()
    say(f"3. {GOOD} is merged, and goes through the waves as a canary")
    release(GOOD, world.now)
    world.until_rest()
    say(f"4. {BAD} has too many errors: its first wave stops it")
    release(BAD, world.now)
    world.until_rest()
    git("pull", "--quiet", "origin", "main")
    say("5. What Git says afterwards")
    print(git("log", "--format=%h %an: %s", "-12"), end="")
    show_bars()
    say("6. The tree is exactly what canaryfleet writes, and real kustomize builds it the same")
    canaryfleet("render", "--check")
    build_all()
    say("7. One page of all that: what runs where, why it stopped, what is next")
    write_page(world)
    name = DEMO.name
    say(
        f"Look around: `git -C {name}/people log`, {name}/fleet.pulls; why: `canaryfleet explain 2 --root {name}/bot`"
    )
    return 0


def fresh_repository() -> None:
    """A bare repository, and a clone of it with what people wrote."""
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    git("init", "--quiet", "--bare", "--initial-branch", "main", str(BARE), at=DEMO)
    git("clone", "--quiet", str(BARE), str(PEOPLE), at=DEMO)
    for source in (HERE / "fleet.yaml", HERE / "clusters", HERE / "specs" / APP):
        target = PEOPLE / source.relative_to(HERE)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    respec(OLD)


def respec(after: str) -> None:
    """Change the version, and the image with it; the first release goes to all clusters at once."""
    path = PEOPLE / SPEC
    text = (HERE / SPEC).read_text() if after != OLD else in_one_wave((HERE / SPEC).read_text())
    digest = after.replace(".", "").ljust(64, "0")
    lines = [
        f"{line.partition('image:')[0]}image: ghcr.io/acme/{APP}:{after}@sha256:{digest}"
        if "image: ghcr.io" in line
        else line.replace(f"version: {GOOD}", f"version: {after}")
        for line in text.splitlines()
    ]
    path.write_text("\n".join(lines) + "\n")


def in_one_wave(text: str) -> str:
    """A spec with a single wave."""
    head, _, rest = text.partition("waves:\n")
    overrides = rest.partition("overrides:\n")[2]
    return f"{head}waves:\n- {{name: all}}\noverrides:\n{overrides}"


def release(after: str, now: datetime) -> None:
    """What a developer does: edit the spec, render, merge."""
    git("pull", "--quiet", "origin", "main")
    respec(after)
    canaryfleet("render")
    publish(f"Release {after}", now)


def publish(subject: str, now: datetime) -> None:
    """Commit everything on main, at the time of the demo."""
    git("add", "--all")
    git("commit", "--quiet", "--message", subject, now=now)
    git("push", "--quiet", "origin", "HEAD:main")


def show_bars() -> None:
    """What keeps the bad version from coming back."""
    print(f"\n{APP}/promotion.yaml:")
    print((PEOPLE / f"overlays/{APP}/promotion.yaml").read_text(), end="")


def build_all() -> None:
    """Build each overlay twice."""
    tool = kustomize.find()
    builder = Builder(lambda path: (PEOPLE / path).read_bytes())
    overlays = sorted(path.relative_to(PEOPLE).as_posix() for path in PEOPLE.glob("overlays/*/clusters/*"))
    for path in overlays:
        built = sorted(parse_stream(kustomize.build(tool, str(PEOPLE), path), path), key=sort_key)
        if built != builder.build(path):
            raise SystemExit(f"{path}: kustomize and canaryfleet build different objects")
    print(f"{len(overlays)} overlays are the same in both")


def write_page(world: World) -> None:
    """What `canaryfleet report html` writes, of the demo's clusters at the demo's time."""
    tree = Tree(PEOPLE)
    plan = status.plan(tree)
    found = plan._replace(past=past.read(tree, plan.apps, world.now).facts)
    report = overview.read(found, tree, world.clusters, world.bot.timeout)
    overview.write(str(PAGE), overview.written(report, as_json=False))
    print(f"{PAGE.relative_to(HERE)} is written: open it in a browser")


def say(text: str) -> None:
    """A heading."""
    print(f"\n== {text}", flush=True)


def command(*arguments: str) -> list[str]:
    """canaryfleet as a user calls it."""
    return [sys.executable, "-m", "canaryfleet", *arguments]


def canaryfleet(*arguments: str) -> None:
    """Show a command and run it in the people's clone."""
    print("$ canaryfleet " + " ".join(arguments), flush=True)
    code = subprocess.run(command(*arguments), cwd=PEOPLE, check=False).returncode  # noqa: S603
    if code:
        raise SystemExit(code)


def git(*arguments: str, at: Path = PEOPLE, now: datetime | None = None) -> str:
    """What git prints, run with an identity of its own, whatever the user's settings are."""
    who = ("-c", "user.name=ann", "-c", "user.email=ann@acme.example", "-c", "commit.gpgsign=false")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    if now:
        kept |= dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), now.isoformat())
    words = ["git", *who, *arguments]
    return subprocess.run(words, cwd=at, check=True, capture_output=True, text=True, env=kept).stdout  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
