"""The bot moves real releases over real clusters by pull requests on a real forge, and is killed at any moment.

Argo CD's part is played by a loop that applies to each cluster what main says of it, the pods' by KWOK, and what the
pods are asked by an exporter. Real are three clusters with their controllers, Prometheus, Gitea, git, and the bot as a
process of its own. (It is the longest test, so it has the name that is first.)
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from app import ERROR_RATE, App
from people import REPOSITORY, address, hosted, publish
from rig import Fleet, Member, WaitTimeoutError, read, wait_until
from rig.gitea import Gitea
from rig.rollouts import complete, phase

from canaryfleet.models.release import Release

HEAD = {"apiVersion": "canaryfleet.dev/v1alpha1"}
QUICK = {"interval": "2s", "window": "8s", "count": 5, "minimumSamples": 20, "metrics": [ERROR_RATE]}
SPEC = {"exposure__steps": [{"weight": "50%", "for": "2s"}], "analysis": QUICK, "workload__replicas": 2}
MOMENTS = ("request", "any", "branch", "merged", "any", "request", "any", "branch", "request", "any")
"""When the bot is killed, each time: whenever, or as soon as its branch or pull request is there or main has moved."""
SEED = 20261121  # of what is left to chance; how far a run has come by then no seed says
GLANCE = 0.1
LOOK = 5.0  # seconds after which the bot looks again though nothing was seen to change
PATIENCE = 600.0
RELEASE = "canaryfleet.dev/release"


class Follower(App):
    """The app on one cluster, which takes what Ann's clone says of it."""

    def __init__(self, fleet: Fleet, member: Member, root: Path, namespace: str) -> None:
        self.cluster = member.name
        self.had = b""
        super().__init__(fleet, member, root, "chat", SPEC, namespace)

    def _repository(self) -> None:
        """It is the town's."""

    def follow(self) -> None:
        """Apply what is new, and prune, as Argo CD does; what a pointer names never changes."""
        path = self.overlays / "clusters" / self.cluster / "kustomization.yaml"
        pointer = path.read_bytes() if path.exists() else b""
        if pointer != self.had:
            self.sync(self.built() if pointer else [])
            self.had = pointer

    def standing(self) -> list[Any]:
        """What a bot would notice of it."""
        with self._news:
            objects = list(self.live.values())
        return sorted(
            (one["metadata"]["name"], phase(one), one.get("status", {}).get("stableRS", ""))
            for one in objects
            if one["kind"] in ("Rollout", "AnalysisRun")
        )


class Town:
    """A repository on a forge, the clusters that follow it, and the bot."""

    def __init__(
        self, fleet: Fleet, folder: Path, server: Gitea, keep: Callable[[Follower], Follower]
    ) -> None:
        self.root, self.clone = folder / "people", folder / "bot"
        namespace = f"chat-{uuid.uuid4().hex[:8]}"
        self.root.mkdir()
        self.clusters = [keep(Follower(fleet, member, self.root, namespace)) for member in fleet.members]
        self.here = self.clusters[0]
        self.chance = random.Random(SEED)
        self.killed: list[str] = []
        self.took = 1.0
        self.log: list[str] = []
        self.ann, bot = hosted(server)
        kubeconfigs = os.pathsep.join(str(one.kube.kubeconfig) for one in self.clusters)
        self.environment = os.environ | {"CANARYFLEET_GITEA_TOKEN": bot.token, "KUBECONFIG": kubeconfigs}
        self._begin(server)

    def _begin(self, server: Gitea) -> None:
        forge = {"type": "gitea", "repository": REPOSITORY, "url": f"{server.url}/api/v1"}
        self._write("fleet.yaml", {"kind": "Fleet", "metadata": {"name": "acme"}, "forge": forge})
        for one in self.clusters:
            known = {"uid": one.kube.raw_json("/api/v1/namespaces/kube-system")["metadata"]["uid"]}
            known |= {"access": {"context": one.member.name}, "metrics": {"prometheus": one.fleet.prometheus}}
            self._write(
                f"clusters/{one.cluster}.yaml",
                {"kind": "Cluster", "metadata": {"name": one.cluster}, **known},
            )
        first = {"name": "first", "clusters": [self.here.cluster], "minSuccessTime": "4s"}
        self.here.spec["waves"] = [first, {"name": "rest"}]
        git = self.here.git
        git("init", "-q", "-b", "main")
        git("remote", "add", "origin", address(server))
        self.render("1.0.0")
        self.here.commit("release 1.0.0")
        publish(server, self.ann, git)
        git("clone", "-q", str(self.root), str(self.clone))
        git("-C", str(self.clone), "remote", "set-url", "origin", address(server))

    def _write(self, path: str, content: dict[str, Any]) -> None:
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(yaml.safe_dump(HEAD | content))

    # what people do

    def render(self, version: str) -> Release:
        """Change the spec and render it."""
        spec = self.here.spec
        spec["version"] = version
        spec["workload"]["image"] = f"registry.example/chat:{version}@sha256:{'0' * 64}"
        self.here.respec()
        self.here.cli("render")
        return self.here.frozen(self.here.candidate)

    def release(self, version: str) -> Release:
        """Bring a release to main."""
        made = self.render(version)
        self.here.commit(f"release {version}")
        self.pull()
        self.here.git("push", "-q", "origin", "HEAD:main")
        return made

    def pull(self) -> None:
        """Ann's clone has what main says."""
        self.here.git("pull", "-q", "--rebase", "origin", "main")

    # what the bot and the clusters do

    def until(self, over: Callable[[dict[str, Any]], bool], each: Callable[[], None]) -> None:
        """Clusters follow, the bot looks, again and again; until a run that was not killed says that it is over."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.pull()
            for one in self.clusters:
                one.follow()
            each()
            before = self.standing()
            said = self.bot()
            if said is not None and not said.get("problem") and over(said):
                return
            if said is not None and not any(action["verb"] == "merged" for action in said.get("actions", ())):
                self.news(before)
        raise AssertionError(
            "it never ends\n" + "\n".join(self.log) + "\n".join(one.story() for one in self.clusters)
        )

    def bot(self) -> dict[str, Any] | None:
        """One run of the bot; what it said, or None if it was killed."""
        command = [sys.executable, "-m", "canaryfleet", "reconcile", "--output", "json"]
        moment = MOMENTS[len(self.killed)] if len(self.killed) < len(MOMENTS) else ""
        whole_family = self.chance.random() < 0.5
        limit, came = self.chance.uniform(0, self.took), self._comes(moment)
        began = time.monotonic()
        with (
            (self.clone.parent / "said").open("w+") as said,
            (self.clone.parent / "errors").open("w+") as errors,
            subprocess.Popen(
                command,
                cwd=self.clone,
                env=self.environment,
                start_new_session=True,
                stdout=said,
                stderr=errors,
            ) as process,
        ):
            while process.poll() is None:
                took = time.monotonic() - began
                if (moment == "any" and took > limit) or came():
                    # alone: its git goes on without it
                    os.killpg(process.pid, signal.SIGKILL) if whole_family else process.kill()
                time.sleep(GLANCE)
            said.seek(0)
            errors.seek(0)
            return self._told(
                process.returncode, moment, time.monotonic() - began, said.read(), errors.read()
            )

    def _told(self, code: int, moment: str, took: float, said: str, errors: str) -> dict[str, Any] | None:
        assert "Traceback" not in errors, errors
        if code == -signal.SIGKILL:
            self.killed.append(moment)
            self.log.append(f"killed after {took:.2f} s ({moment})")
            return None
        assert code in (0, 1), errors
        self.took = max(self.took, took)
        (found,) = json.loads(said)["apps"]
        self.log.append(f"{took:.2f} s: {_in_a_line(found)} {errors}".rstrip())
        report: dict[str, Any] = found
        return report

    def _comes(self, moment: str) -> Callable[[], bool]:
        """Whether a moment has come that was not there at the beginning."""
        seen: dict[str, Callable[[], object]] = {
            "branch": lambda: len(self.ann.ask("GET", f"/repos/{REPOSITORY}/branches")) > 1,
            "request": lambda: bool(self.ann.pulls("open")),
            "merged": lambda: self.ann.ask("GET", f"/repos/{REPOSITORY}/branches/main")["commit"]["id"],
        }
        look = seen.get(moment)
        if look is None:
            return lambda: False
        before = look()
        return lambda: look() != before

    def news(self, before: list[Any]) -> None:
        """Wait until a cluster has something new, or for as long as a bot sleeps."""
        try:
            wait_until(lambda: self.standing() != before, "something is new", LOOK)
        except WaitTimeoutError:
            return

    def standing(self) -> list[Any]:
        """What is true in the clusters."""
        return [one.standing() for one in self.clusters]

    # what is there

    def pointed(self) -> list[str]:
        """The release that main says of each cluster."""
        self.pull()
        return [one.pointed for one in self.clusters]

    def moves(self) -> Iterator[tuple[datetime, str]]:
        """The commits of the bot on main that move something, oldest first."""
        for line in self.here.git("log", "--reverse", "--format=%cI %s", "main").splitlines():
            moment, _, subject = line.partition(" ")
            if subject.startswith("chat: ") and not subject.endswith(" is done"):
                yield datetime.fromisoformat(moment), subject


def _in_a_line(said: dict[str, Any]) -> str:
    """A run in a line, for whoever has to understand a failure."""
    decision = said.get("decision", {})
    reasons = [reason["code"] for reason in decision.get("reasons", [])]
    actions = [action["verb"] for action in said.get("actions", [])]
    return " ".join(
        [
            decision.get("kind", "nothing"),
            *reasons,
            *actions,
            said.get("problem", ""),
            *said.get("remarks", []),
        ]
    )


@pytest.fixture
def town(fleet: Fleet, tmp_path: Path, gitea: Gitea, keep: Callable[[Follower], Follower]) -> Town:
    """The first release is on main, and no cluster has anything yet."""
    return Town(fleet, tmp_path, gitea, keep)


def is_done(said: dict[str, Any]) -> bool:
    """The candidate is everywhere, and proven."""
    return bool(said["decision"]["kind"] == "Done")


def is_barred(said: dict[str, Any]) -> bool:
    """It waits for another release."""
    decision = said["decision"]
    return bool(decision["kind"] == "Hold" and decision["reasons"][0]["code"] == "barred")


def goes_everywhere(town: Town, release: Release, before: Release | None) -> None:
    """A good release. Its canary has requests; and all of them, as its bake asks for, once the first cluster has it."""
    here = town.here
    if before:
        here.serve(release)

    def each() -> None:
        if here._carries(release) and complete(here.rollout):
            here.serve(release)
            if before:
                here.serve(before, per_second=0)

    town.until(is_done, each)
    assert town.pointed() == [release.id] * 3
    for one in town.clusters:
        one.until_healthy(release)
        steps = [run["status"]["phase"] for run in one.runs("Step", one.stable)]
        assert steps == (["Successful"] if before else []), (
            f"{one.cluster} is judged by what was measured there"
        )


def test_a_good_release_reaches_all_and_a_bad_one_none_but_the_first_though_the_bot_is_killed_again_and_again(
    town: Town, record_property: Callable[[str, object], None]
) -> None:
    a, *others = (one.cluster for one in town.clusters)
    first = town.here.frozen(town.here.releases()[0])
    goes_everywhere(town, first, None)
    second = town.release("1.1.0")
    goes_everywhere(town, second, first)
    third = town.release("1.2.0")
    town.here.serve(third, errors=0.5)
    town.until(is_barred, lambda: None)
    record_property("runs of the bot that were killed, by when", ", ".join(town.killed))

    assert town.pointed() == [second.id] * 3
    town.here.follow()
    town.here.until_healthy(second)
    assert third.id not in {release for one in town.clusters[1:] for _, release in one.applied}
    state = read(town.here.overlays / "promotion.yaml")
    assert [bar["workload"] for bar in state["bars"]] == [third.workload]

    rest = ", ".join(sorted(others))
    moves = list(town.moves())
    assert [subject for _, subject in moves] == [
        f"chat: 1.0.0 to wave first ({a})",
        f"chat: 1.0.0 to wave rest ({rest})",
        f"chat: 1.1.0 to wave first ({a})",
        f"chat: 1.1.0 to wave rest ({rest})",
        f"chat: 1.2.0 to wave first ({a})",
        f"chat: back from 1.2.0 on {a}",
    ]
    for release, (moment, _) in ((first, moves[1]), (second, moves[3])):
        assert baked(town.here, release) <= moment, "the wave was proven before the next began"
    everything = town.ann.pulls("all")
    pulls = [pull for pull in everything if "is done" not in pull["title"]]
    records = [pull for pull in everything if pull not in pulls and pull["merged"]]
    assert len({pull["title"] for pull in records}) == len(records), (
        "what a last wave proved is recorded once"
    )
    assert [pull["state"] for pull in pulls] == ["closed"] * len(moves)
    assert all(pull["merged"] for pull in pulls)
    assert [one["name"] for one in town.ann.ask("GET", f"/repos/{REPOSITORY}/branches")] == ["main"]
    assert {*town.killed} >= {"any", "branch", "request"}, "it was killed where something was half done"


def baked(app: Follower, release: Release) -> datetime:
    """When the bake of a release was over, in whole seconds, as commits are dated; nothing of that is the bot's word.

    For the first time: a controller whose cache is behind measures and completes a run once more.
    """
    ended = {
        seen.object["status"]["completedAt"]
        for seen in app.seen()
        if seen.object["kind"] == "AnalysisRun"
        and "ownerReferences" not in seen.object["metadata"]
        and seen.object["metadata"].get("labels", {}).get(RELEASE) == release.id
        and phase(seen.object) == "Successful"
    }
    return min(map(datetime.fromisoformat, ended))
