"""The scripts of the bot's workflow as they stand in it, by bash, with a command that only says how it was called."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from workshop import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "canaryfleet-bot.yml").read_text())
STEPS = {step["name"]: step for step in WORKFLOW["jobs"]["bot"]["steps"]}
JUDGED = '{\n  "requests": [{"number": 7}]\n}'
TROUBLE = '{\n  "findings": [{"message": "\\"requests\\""}]\n}'


class Job:
    """A runner's folder, and a `canaryfleet` that prints and ends as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, folder / "calls"
        (folder / "canaryfleet").mkdir()
        (folder / "bin").mkdir()

    def run(self, name: str, *, says: str = "", code: int = 0, **environment: str) -> int:
        """One step, as GitHub runs it; its exit code."""
        stub = self.folder / "bin" / "canaryfleet"
        stub.write_text(f"#!/bin/sh\necho \"$@\" >>{self.calls}\ncat <<'END'\n{says}\nEND\nexit {code}\n")
        stub.chmod(0o755)
        known = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "RUNNER_TEMP": str(self.folder),
            "GITHUB_ENV": str(self.folder / "env"), "ROOT": "fleet/.", **environment,
        }  # fmt: skip
        return subprocess.run(["bash", "-e", "-c", STEPS[name]["run"]], env=known, check=False).returncode

    @property
    def called(self) -> list[str]:
        """The words of each call."""
        return self.calls.read_text().splitlines()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.mark.parametrize(
    ("says", "code", "wanted"),
    [(JUDGED, 0, 0), (JUDGED, 1, 0), (TROUBLE, 1, 1), ("", 1, 1), ("", 2, 1), (JUDGED, 3, 1)],
)
def test_a_gate_that_has_judged_is_no_failure_and_one_that_has_not_is(
    job: Job, says: str, code: int, wanted: int
) -> None:
    assert bool(job.run("Gate", says=says, code=code, NUMBER="")) == bool(wanted)
    assert job.called == ["gate --root fleet/. --output json"]


def test_the_gate_of_a_pull_request_judges_that_alone(job: Job) -> None:
    assert job.run("Gate", says=JUDGED, NUMBER="7") == 0
    assert job.called == ["gate --root fleet/. --output json 7"]
    assert STEPS["Reconcile"]["if"] == "${{ !github.event.pull_request }}"
    base, default = "github.event.pull_request.base.ref", "github.event.repository.default_branch"
    assert (
        f"{base} == {default}" in STEPS["Gate"]["if"]
    )  # of another base there is none to judge, which is no failure


def test_a_dry_run_is_one(job: Job) -> None:
    for word in ("true", "false", ""):
        assert job.run("Reconcile", DRY_RUN=word) == 0
    assert job.called == [f"reconcile --root fleet/.{more}" for more in (" --dry-run", "", "")]


def test_credentials_are_in_files_that_nobody_else_reads(job: Job) -> None:
    name = "Keep credentials in files of this job"
    assert job.run(name, APP_KEY="-----BEGIN\nKEY-----", CLUSTERS="") == 0
    kept = job.folder / "canaryfleet" / "APP_KEY"
    assert kept.read_text() == "-----BEGIN\nKEY-----\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert (job.folder / "env").read_text() == f"CANARYFLEET_GITHUB_APP_KEY={kept}\n"
