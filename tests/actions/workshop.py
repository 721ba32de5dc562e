"""A GitOps repository whose workflow uses our Action, run by nektos/act on this machine instead of by GitHub.

act runs the steps as they stand in action.yml, with bash, the runner's variables and its files; GitHub's API is
`fake_forge` on loopback. It is not GitHub's runner: how annotations are shown, and how permissions are cut for forks, is
GitHub's. A token that may only read is played by the forge.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from test_diff import Repo

from fake_forge import REPOSITORY, TOKEN, FakeForge
from support import Project

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(__file__).parent / "bin"
PATIENCE = 1200.0  # seconds for a job: it installs packages, on a machine that may do much else
ACTION = "acme/canaryfleet@v1"
WORKFLOW = f"""\
on: pull_request
jobs:
  review:
    runs-on: ubuntu-latest
    steps:
    - run: git clone -q "$ORIGIN" fleet && git -C fleet checkout -q --detach "$HEAD"
    - id: review
      uses: {ACTION}
      with: {{root: fleet}}
    - if: always()
      env:
        RESULT: ${{{{ steps.review.outputs.result }}}}
        COMMENT: ${{{{ steps.review.outputs.comment }}}}
        REPORT: ${{{{ steps.review.outputs.report }}}}
        SARIF: ${{{{ steps.review.outputs.sarif }}}}
      run: |
        echo "outputs: $RESULT, $COMMENT"
        cp "$REPORT" "$SARIF" "$KEPT"
"""


class Ran:
    """How a job ended: every line that act logged, as data."""

    def __init__(self, code: int, log: str) -> None:
        self.code, self.log = code, log
        self.entries: list[dict[str, Any]] = []
        for line in log.splitlines():
            if line.startswith("{"):
                self.entries.append(json.loads(line))

    def commands(self, name: str) -> list[dict[str, Any]]:
        """The workflow commands of a name."""
        return [entry for entry in self.entries if entry.get("command") == name]

    @property
    def summary(self) -> str:
        """What the steps have added to the page of the run; act says it of a step of an Action, and of the Action again."""
        return "".join(dict.fromkeys(entry["content"] for entry in self.commands("summary")))

    @property
    def outputs(self) -> str:
        """What the last step was given."""
        return next(
            entry["msg"].strip()
            for entry in self.entries
            if "outputs: " in entry["msg"] and entry.get("raw_output")
        )


class Workshop:
    """A bare repository as origin, a pull request's branch in it, and a folder in which act runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.origin, self.kept = folder, folder / "origin.git", folder / "kept"
        self.kept.mkdir(parents=True)
        (folder / "repo").mkdir()
        self.repo = Repo(folder / "repo")
        self.repo.git("checkout", "-q", "-b", "idea")
        self._action()
        self._workflow()

    def _action(self) -> None:
        """What of this project a runner would use."""
        home = self.folder / "action"
        for name in ("action.yml", ".github/install.sh", "requirements/run.txt"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, home / name)
        shutil.copytree(ROOT / "generator", home / "generator", ignore=shutil.ignore_patterns("__pycache__"))

    def _workflow(self) -> None:
        home = self.folder / "job"
        (home / ".github" / "workflows").mkdir(parents=True)
        (home / ".github" / "workflows" / "review.yml").write_text(WORKFLOW)
        Project(home)
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=home, check=True)
        who = ["-c", "user.name=ann", "-c", "user.email=ann@acme.example", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "add", "-A"], cwd=home, check=True)
        subprocess.run(["git", *who, "commit", "-q", "-m", "so"], cwd=home, check=True)

    def publish(self) -> str:
        """Commit what is there on the pull request's branch, and push; its head."""
        head = self.repo.commit()
        if not self.origin.exists():
            subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.origin)], check=True)
        self.repo.git("push", "-q", "--force", str(self.origin), "main", "idea")
        return head

    def run(self, forge: FakeForge, number: int, head: str, *, fork: bool = False) -> Ran:
        """The job of a pull request."""
        home = {"full_name": "mallory/fleet" if fork else REPOSITORY}
        ends = {"base": {"ref": "main", "sha": "0" * 40}, "head": {"ref": "idea", "sha": head, "repo": home}}
        event = self.folder / "event.json"
        event.write_text(
            json.dumps({"action": "opened", "number": number, "pull_request": {"number": number, **ends}})
        )
        words = [
            str(TOOLS / "act"), "pull_request", "--json", "--pull=false", "--no-cache-server",
            "--platform", "ubuntu-latest=-self-hosted", "--eventpath", str(event),
            "--local-repository", f"{ACTION}={self.folder / 'action'}",
            "--action-cache-path", str(self.folder / "cache"), "--secret", "GITHUB_TOKEN",
        ]  # fmt: skip
        for name, value in {
            "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_API_URL": forge.url, "ORIGIN": str(self.origin), "HEAD": head,
            "KEPT": str(self.kept),
        }.items():  # fmt: skip
            words += ["--env", f"{name}={value}"]
        known = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTHON"))}
        home_of_act = self.folder / "home"
        home_of_act.mkdir(exist_ok=True)
        (home_of_act / ".config" / "act").mkdir(parents=True, exist_ok=True)
        (home_of_act / ".config" / "act" / "actrc").write_text("")  # or it asks which image to take
        known |= {"GITHUB_TOKEN": TOKEN, "XDG_CONFIG_HOME": str(home_of_act / ".config")}
        done = subprocess.run(
            words,
            cwd=self.folder / "job",
            env=known,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Ran(done.returncode, done.stdout + done.stderr)
