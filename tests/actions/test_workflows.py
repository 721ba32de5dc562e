"""Our workflows, and those that docs/how-to/github.md tells people to write, by actionlint and by rules of our own."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from workshop import ROOT, TOOLS

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGE = ROOT / "docs" / "how-to" / "github.md"
EXAMPLES = re.findall(r"```yaml\n# (\.github/workflows/\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)


def lint(folder: Path, *files: str) -> None:
    done = subprocess.run(
        [str(TOOLS / "actionlint"), *files], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing_in_ours() -> None:
    lint(ROOT, *(str(path.relative_to(ROOT)) for path in WORKFLOWS))


def test_actionlint_finds_nothing_in_those_of_the_page(tmp_path: Path) -> None:
    assert len(EXAMPLES) >= 3
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for name, text in EXAMPLES:
        (tmp_path / name).write_text(text)
    lint(tmp_path)


@pytest.mark.parametrize(("name", "text"), [(path.name, path.read_text()) for path in WORKFLOWS] + EXAMPLES)
def test_actions_of_others_are_pinned_and_nothing_is_injected(name: str, text: str) -> None:
    jobs = yaml.safe_load(text)["jobs"]
    steps = [step for job in jobs.values() for step in job.get("steps", ())]
    used = [item["uses"] for item in [*jobs.values(), *steps] if "uses" in item]
    assert all(
        use.startswith(("./", "acme/canaryfleet")) or re.fullmatch(r"[^@]+@[0-9a-f]{40}", use) for use in used
    )
    assert not any("${{" in step.get("run", "") for step in steps)
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_bot_is_never_cancelled_and_a_review_is() -> None:
    cancels = {
        path.name: yaml.safe_load(path.read_text())["concurrency"]["cancel-in-progress"] for path in WORKFLOWS
    }
    assert cancels["canaryfleet-bot.yml"] is False
    assert cancels["canaryfleet-review.yml"] is True


def test_what_judges_a_pull_request_judges_it_again_when_its_base_is_another() -> None:
    """GitHub keeps the result of a check for the same head, whatever it is compared with."""
    events = [yaml.load(text, yaml.BaseLoader)["on"] for _, text in EXAMPLES]
    judging = [on[name] for on in events for name in ("pull_request", "pull_request_target") if name in on]
    assert len(judging) == 4
    assert all({"opened", "reopened", "synchronize", "edited"} <= {*on["types"]} for on in judging)


def test_nothing_that_runs_beside_secrets_checks_a_pull_request_out() -> None:
    bot = (ROOT / ".github" / "workflows" / "canaryfleet-bot.yml").read_text()
    refs = re.findall(r"^ +ref: (.*)$", bot, re.MULTILINE)
    assert refs == [
        "${{ github.event.repository.default_branch }}",
        "${{ inputs.canaryfleet-ref || job.workflow_sha }}",
    ]
    for _, text in EXAMPLES:
        if "pull_request_target" in text:
            assert "checkout" not in text
            assert "canaryfleet-review" not in text
