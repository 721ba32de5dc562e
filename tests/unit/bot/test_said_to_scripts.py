"""What `reconcile` and `gate` say to scripts is what their schemas say."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from canaryfleet import cli
from canaryfleet.schema import FILES, schema_of
from story import Story


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """1.0.0 is everywhere, and 1.1.0 is released."""
    found = Story(tmp_path)
    found.until_rest()
    found.release("1.1.0")
    found.sync()
    return found


def said(
    capsys: pytest.CaptureFixture[str], name: str, story: Story, *words: str, code: int = 0
) -> dict[str, Any]:
    """What a command prints as JSON, which is held against its schema."""
    capsys.readouterr()
    own = story.people.parent / "own"
    clone = ["--clone", str(story.bare), "--root", str(own)]
    assert cli.main([*words, *clone, "--output", "json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of(FILES[name])).validate(found)
    return found


def test_reconcile(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that goes forward, and one that has nothing to do but say why."""
    (goes,) = said(capsys, "reconciled", story, "reconcile", "chat")["apps"]
    assert (goes["app"], goes["findings"], goes["decision"]["kind"]) == ("chat", [], "Start")
    assert [action["verb"] for action in goes["actions"]] == ["opened", "merged"]
    (waits,) = said(capsys, "reconciled", story, "reconcile")["apps"]
    assert (waits["decision"]["kind"], waits.get("actions", [])) == ("Hold", [])
    assert waits["decision"]["reasons"]


def test_gate(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    """One pull request that breaks nothing, and one that a later wave waits for."""
    assert said(capsys, "gated", story, "gate") == {"requests": []}
    story.repoint("two")
    for branch in ("nothing", "early"):
        story.git("checkout", "-q", "-B", branch)
        story.git("commit", "-q", *([] if branch == "nothing" else ["-a"]), "--allow-empty", "-m", branch)
        story.git("push", "-q", "origin", branch)
        story.forge.propose("ann", branch, "main", branch, "")
    found = said(capsys, "gated", story, "gate", code=1)["requests"]
    nothing, early = sorted(found, key=lambda item: item["number"])
    assert (nothing["status"]["state"], nothing["reasons"]) == ("success", {})
    assert early["status"]["state"] == "pending"
    assert "wave-incomplete" in [reason["code"] for reason in early["reasons"]["chat"]]
