"""`make demo`: render the example fleet from nothing in a folder of its own, and show what was done.

It runs the commands that a user would run, on a copy of this repository's specs and clusters, and
at the end builds every overlay with the real kustomize.
"""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from canaryfleet import kustomize
from canaryfleet.manifests import Builder, sort_key
from canaryfleet.syntax import parse_stream

HERE = Path(__file__).resolve().parent.parent
DEMO = HERE / "demo"
WRITTEN_BY_PEOPLE = ("fleet.yaml", "clusters", "specs")
WAVES = {
    "assistant": ["pilot", "europe"],
    "embeddings": ["pilot", "all"],
    "fraud": ["edge"],
    "mcp-tools": ["pilot"],
}


def main() -> int:
    """Make the demo; the exit code is that of the first command that fails."""
    fresh_repository()
    say("1. Is anything wrong with the specs?")
    canaryfleet("lint")
    say("2. Freeze a release for each app: Rollout, AnalysisTemplates, Services, Istio routing")
    canaryfleet("render")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Render the first releases")
    say("3. Point the first waves at them; --verified says that you have seen them healthy")
    for app, waves in WAVES.items():
        for wave in waves:
            canaryfleet("point", app, "--wave", wave, "--verified", "all")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Point the first waves")
    say("4. The tree is exactly what canaryfleet writes")
    canaryfleet("render", "--check")
    say("5. Real kustomize builds every overlay, and agrees with `canaryfleet build`")
    build_all()
    say(f"Look around: {DEMO.name}/overlays/assistant, and `git -C {DEMO.name} log --stat`")
    return 0


def fresh_repository() -> None:
    """A new Git repository with what people wrote."""
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    for name in WRITTEN_BY_PEOPLE:
        source = HERE / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, DEMO / name)
    git("init", "--quiet", "--initial-branch", "main")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Specs and clusters")


def build_all() -> None:
    """Build each overlay twice, and count the objects."""
    tool = kustomize.find()
    builder = Builder(lambda path: (DEMO / path).read_bytes())
    kinds: Counter[str] = Counter()
    overlays = sorted(path.relative_to(DEMO).as_posix() for path in DEMO.glob("overlays/*/clusters/*"))
    for path in overlays:
        built = sorted(parse_stream(kustomize.build(tool, str(DEMO), path), path), key=sort_key)
        if built != builder.build(path):
            raise SystemExit(f"{path}: kustomize and canaryfleet build different objects")
        kinds.update(item["kind"] for item in built)
    print(f"{len(overlays)} overlays: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))


def say(text: str) -> None:
    """A heading."""
    print(f"\n== {text}", flush=True)


def canaryfleet(*arguments: str) -> None:
    """Show a command and run it in the demo's repository."""
    print("$ canaryfleet " + " ".join(arguments), flush=True)
    run(sys.executable, "-m", "canaryfleet", *arguments)


def git(*arguments: str) -> None:
    """Run git with an identity of its own."""
    run("git", "-c", "user.name=demo", "-c", "user.email=demo@canaryfleet.invalid", *arguments)


def run(*command: str) -> None:
    """Run a command in the demo's folder; end with its exit code if it fails."""
    code = subprocess.run(command, cwd=DEMO, check=False).returncode  # noqa: S603
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    sys.exit(main())
