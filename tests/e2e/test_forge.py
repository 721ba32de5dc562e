"""The bot on a real Gitea, with people who work there; the clusters are simulated, and time is the story's."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from people import REPOSITORY, address, hosted, publish
from rig.gitea import Gitea

from canaryfleet import gate
from canaryfleet.forges.gitea import connect
from canaryfleet.gate import CONTEXT
from canaryfleet.landing import PREFIX
from canaryfleet.models.fleet import Forge as Settings
from canaryfleet.reconcile import Report
from story import CLUSTERS, Story

WAVES: list[dict[str, Any]] = [
    {"name": "first", "clusters": ["one"], "minSuccessTime": "10m"},
    {"name": "rest", "approval": "required"},
]


class Hosted(Story):
    """A story whose repository and pull requests are on a Gitea. It begins now: a forge has a clock of its own."""

    def __init__(self, folder: Path, server: Gitea) -> None:
        super().__init__(folder, WAVES, begin=datetime.now(UTC).replace(microsecond=0))
        self.ann, bot = hosted(server)
        for clone in (self.people, self.clone):
            self.git("remote", "set-url", "origin", address(server), at=clone)
        publish(server, self.ann, self.git)
        settings = Settings(type="gitea", repository=REPOSITORY, url=f"{server.url}/api/v1")
        self.forge = connect(settings, str(self.clone), {"CANARYFLEET_GITEA_TOKEN": bot.token})

    def main(self) -> str:
        """The commit of main, as the server has it."""
        return self.git("ls-remote", "origin", "main").split()[0]

    def log(self) -> list[str]:
        """The subjects of main, oldest first."""
        self.pull()
        return self.git("log", "--reverse", "--format=%s", "main").splitlines()

    def approve(self) -> None:
        """Ann approves what is open, at its head."""
        for pull in self.ann.pulls("open"):
            review = {"event": "APPROVED", "body": "go", "commit_id": pull["head"]["sha"]}
            self.ann.ask("POST", f"/repos/{REPOSITORY}/pulls/{pull['number']}/reviews", review)


@pytest.fixture
def story(tmp_path: Path, gitea: Gitea) -> Hosted:
    """A repository on a Gitea of its own, with the first release of an app on main."""
    (tmp_path / "story").mkdir()
    return Hosted(tmp_path / "story", gitea)


def codes(report: Report) -> list[str]:
    """Why it decided so."""
    assert report.outcome.problem is None
    assert report.outcome.decision is not None
    return [reason.code for reason in report.outcome.decision.reasons]


def everywhere(story: Hosted) -> None:
    """1.0.0 goes its way, with Ann's approval of the last wave."""
    asked = [report for report in story.until_rest(each=story.approve) if "approval-missing" in codes(report)]
    assert asked, "nobody was asked"
    assert story.versions() == dict.fromkeys(CLUSTERS, "1.0.0")


def test_releases_go_their_way_on_a_real_forge(story: Hosted) -> None:
    everywhere(story)
    first = [pull["title"] for pull in story.ann.pulls("closed") if pull["merged"]]
    assert len(first) == 3, "two waves, and what the last one proved"
    assert story.ann.pulls("open") == []

    story.release("1.1.0")
    report = story.turn()  # the first wave
    assert [action.verb for action in report.outcome.actions] == ["opened", "merged"]
    while "approval-missing" not in codes(report):
        report = story.turn()
    (pull,) = story.ann.pulls("open")
    assert "1.1.0 to wave rest" in pull["title"]
    assert pull["user"]["login"] == "canaryfleet"
    story.ann.ask("PATCH", f"/repos/{REPOSITORY}/pulls/{pull['number']}", {"state": "closed"})
    assert codes(story.turn())[0] == "declined"
    assert story.ann.pulls("open") == []
    assert story.versions()["two"] == "1.0.0"

    story.moods["1.2.0"] = "bad"
    story.release("1.2.0", onNewRelease="replace")  # else it would wait for what Ann has declined
    story.until_rest(each=story.approve)
    assert [subject for subject in story.log() if "1.2.0" in subject][-2:] == [
        "chat: 1.2.0 to wave first (one)",
        "chat: back from 1.2.0 on one",
    ]
    assert story.versions()["one"] == "1.1.0"  # which was proven there
    assert codes(story.turn())[0] == "barred"


def test_the_gate_marks_what_people_propose(story: Hosted) -> None:
    everywhere(story)
    story.release("1.1.0")
    story.pull()
    for number, (cluster, line, state) in enumerate(
        [("one", "", "success"), ("two", "", "pending"), ("one", f"\n\n{PREFIX}Verdict: Verified", "failure")]
    ):
        head = propose(story, f"idea-{number}", cluster, line)
        gate.every(story.bot())
        said = story.ann.ask("GET", f"/repos/{REPOSITORY}/commits/{head}/status")
        assert {item["context"]: item["status"] for item in said["statuses"]} == {CONTEXT: state}


def propose(story: Hosted, branch: str, cluster: str, line: str) -> str:
    """Ann proposes to point a cluster at the newest release by hand; the commit."""
    story.git("checkout", "-q", "-b", branch, "main")
    story.repoint(cluster)
    story.git("add", "-A")
    story.git("commit", "-q", "-m", f"point {cluster} by hand{line}")
    story.git("push", "-q", "origin", branch)
    head = story.git("rev-parse", "HEAD").strip()
    story.git("checkout", "-q", "main")
    body = {"title": branch, "head": branch, "base": "main"}
    story.ann.ask("POST", f"/repos/{REPOSITORY}/pulls", body)
    return head
