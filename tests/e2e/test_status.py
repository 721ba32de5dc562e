"""`canaryfleet status` follows real canaries; what it records says the same without the cluster."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from app import HERE, LIMIT, App

from canaryfleet.models.release import Release

SECRET = "hunter2-b7c1"
STEPS = [{"weight": "20%", "for": "manual"}, {"weight": "60%", "for": "6s"}]


class Said(NamedTuple):
    """What the command said of the cluster, and how it ended."""

    row: dict[str, Any]
    code: int

    @property
    def verdict(self) -> tuple[str, str]:
        return self.row["verdict"]["kind"], self.row["verdict"]["reason"]


def run(app: App, *words: str) -> subprocess.CompletedProcess[str]:
    """canaryfleet as a process of its own, which knows the cluster by its kubeconfig."""
    environment = os.environ | {"KUBECONFIG": str(app.kube.kubeconfig)}
    command = [sys.executable, "-m", "canaryfleet", *words, "--root", str(app.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def status(app: App, *words: str) -> Said:
    done = run(app, "status", "--output", "json", "--exit-code", *words)
    assert not done.stderr
    (found,) = json.loads(done.stdout)["apps"]
    (wave,) = found["waves"]
    (row,) = wave["clusters"]
    assert (found["app"], found["namespace"], row["cluster"]) == (app.name, app.namespace, HERE)
    return Said(row, done.returncode)


def follow(app: App, end: str) -> Iterator[Said]:
    """Look, record, and judge what is recorded of each verdict, until it is of a kind."""
    deadline = time.monotonic() + 4 * LIMIT
    file = app.root.parent / f"{app.name}.json"
    judged = None
    while time.monotonic() < deadline:
        said = status(app, "--record", str(file))
        if said.verdict != judged:
            assert status(app, "--snapshot", str(file)).row == said.row | {"source": "snapshot"}
            judged = said.verdict
        assert SECRET not in file.read_text()
        yield said
        if said.verdict[0] == end:
            return
    raise AssertionError(f"never {end}: {said.row}\n{app.story()}")


def known(app: App) -> App:
    """The repository says how to reach the cluster, and which one it is."""
    uid = app.kube.raw_json("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    app.inventory({"access": {"context": app.member.name}, "uid": uid})
    return app


def kinds(found: list[Said]) -> set[str]:
    """The verdicts, without readings into which a change fell."""
    return {said.verdict[0] for said in found if said.verdict != ("Unknown", "Moved")}


def trail(found: list[Said]) -> list[dict[str, Any]]:
    """What a person needs to understand a failure."""
    return [said.row for said, _ in itertools.groupby(found) if said.verdict[0] != "Progressing"]


def until(app: App, release: Release, end: str) -> list[Said]:
    found = list(follow(app, end))
    assert {said.row["release"] for said in found} == {release.id}
    return found


def test_a_canary_is_followed_from_its_first_deployment_to_its_failure(make_app: Callable[..., App]) -> None:
    app = known(make_app(exposure__steps=STEPS, workload__env={"PASSWORD": SECRET}))
    first = app.release("1.0.0")
    said = status(app)
    assert (said.verdict, said.code) == (("Progressing", "NotThere"), 10)
    app.apply()
    app.serve(first)
    *_, last = until(app, first, "Verified")
    assert (last.row["verdict"]["basis"], last.code, last.row["weight"]) == ("FirstDeployment", 0, 100)

    second = app.deploy("1.1.0")
    app.serve(second)
    app.until_paused()
    app.measured("Background", 1, "Successful")
    said = status(app)
    assert (said.verdict, said.code, said.row["weight"]) == (("Progressing", "StepPaused"), 10, 20)
    assert (said.row["step"], said.row["fallback"]) == (1, first.id)
    assert said.row["nearest"]["name"] == "istio-error-rate"
    app.promote()
    *before, last = until(app, second, "Verified")
    assert (last.row["verdict"]["basis"], last.code) == ("Analysis", 0)
    assert kinds(before) <= {"Progressing"}, trail(before)

    third = app.deploy("1.2.0")
    app.serve(third, errors=0.5)
    *before, last = until(app, third, "Failed")
    assert (last.verdict, last.code) == (("Failed", "BeyondThreshold"), 13)
    assert kinds(before) <= {"Progressing"}, trail(before)
    nearest = last.row["nearest"]
    assert nearest["value"] > 0.05
    assert nearest["distance"] < 0


def test_a_cluster_reports_itself_to_readers_that_can_not_reach_it(
    make_app: Callable[..., App], tmp_path: Path
) -> None:
    app = known(make_app())
    app.serve(app.deploy("1.0.0"))
    app.until_healthy()
    straight = status(app)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    pushed = {"keys": [(tmp_path / "key.pub").read_text().strip()]}
    app.inventory({"access": {"pushed": pushed}, "uid": straight.row["verdict"]["evidence"]["identity"]})
    app.git("init", "-q", "--bare", str(tmp_path / "shared.git"))
    app.git("remote", "add", "origin", str(tmp_path / "shared.git"))
    assert status(app).verdict == ("Unknown", "Missing")
    words = ("report", HERE, "--key", str(tmp_path / "key"), "--context", app.member.name)
    done = run(app, *words)
    assert (done.stderr, done.stdout) == ("", f"1 apps of {HERE} pushed to refs/canaryfleet/status/{HERE}\n")
    told = status(app)
    assert told.row["verdict"] == straight.row["verdict"]
    assert told.row["source"] == "pushed"


def test_a_cluster_that_does_not_answer_says_so(make_app: Callable[..., App]) -> None:
    app = known(make_app())
    app.release("1.0.0")
    app.inventory({"access": {"context": "nowhere"}})
    said = status(app)
    assert (said.verdict, said.code) == (("Unknown", "Misconfigured"), 12)
    assert "nowhere" in said.row["problem"]["message"]
    app.inventory({"access": {"context": app.member.name}, "uid": "another"})
    assert status(app).verdict == ("Unknown", "Foreign")
