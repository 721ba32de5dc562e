"""Our Action as a job runs it: the steps of action.yml by nektos/act, against a forge on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from workshop import ROOT, Workshop

from fake_forge import TOKEN, FakeForge
from forges import Ground


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[FakeForge]:
    with FakeForge(Ground(tmp_path, branch="idea"), "github") as forge:
        forge.ground.local.propose("ann", "idea", "main", "An idea", "")
        yield forge


def test_a_pull_request_is_reviewed(workshop: Workshop, forge: FakeForge) -> None:
    """One that is not rendered: the job fails, and says so in all places."""
    workshop.repo.change("1.1.0")
    head = workshop.publish()
    ran = workshop.run(forge, 1, head)
    assert ran.code == 1, ran.log
    assert ran.outputs == "outputs: failed, written"
    (error,) = [entry for entry in ran.commands("error") if "CF170" in str(entry)]
    assert error["kvPairs"]["file"] == "specs/chat/canary.yaml"
    (comment,) = forge.ground.comments(1)
    assert "## canaryfleet: something is wrong" in comment
    assert head[:12] in comment
    assert "| render | **failed**" in ran.summary
    assert "CF170" in (workshop.kept / "review.md").read_text()
    assert '"CF170"' in (workshop.kept / "review.sarif").read_text()
    assert TOKEN not in ran.log


def test_of_a_fork_the_summary_has_it_all(workshop: Workshop, forge: FakeForge) -> None:
    """With a difference that no comment holds, modules of its own in its root, and a token that may only read."""
    forge.may_write = False
    for name in ("venv", "msgspec", "canaryfleet", "pip"):
        (workshop.repo.root / f"{name}.py").write_text("raise SystemExit('code of the fork ran')\n")
    workshop.repo.data["workload"]["env"] |= {f"V{number}": f"@octocat {'x' * 150}" for number in range(2000)}
    workshop.repo.change("1.2.0")
    ran = workshop.run(forge, 1, workshop.publish(), fork=True)
    assert ran.code == 1, ran.log
    assert ran.outputs == "outputs: failed, not written"
    assert "code of the fork ran" not in ran.log
    assert forge.ground.comments(1) == []
    assert "may only read" in ran.summary
    assert ran.summary.count("## canaryfleet: ") == 1
    assert len(ran.summary.encode()) <= 1 << 20
    assert ran.summary.count("```") % 2 == 0
    assert "V1999" in (workshop.kept / "review.md").read_text()


def test_every_step_says_its_shell_and_takes_inputs_from_its_environment() -> None:
    """What a composite Action has to, and what nobody injects a command by."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    steps = action["runs"]["steps"]
    assert all("shell" in step for step in steps if "run" in step)
    assert not any("${{" in step.get("run", "") for step in steps)
    assert all("value" in output for output in action["outputs"].values())
    named = {step["id"] for step in steps if "id" in step}
    assert {output["value"].split(".")[1] for output in action["outputs"].values()} <= named
    assert all("description" in item and "default" in item for item in action["inputs"].values())
