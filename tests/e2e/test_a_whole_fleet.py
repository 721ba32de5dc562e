"""The bot moves real releases over real clusters by pull requests on a real forge, and is killed at any moment.

Argo CD's part is played by a loop that applies to each cluster what main says of it. Nothing else is played: three
clusters with their controllers and their Prometheus, Gitea, git, and the bot as a process of its own. (It is the
longest test, so it has the name that is first.)
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
from rig import Fleet, Member, WaitTimeoutError, wait_until
from rig.gitea import Gitea
from rig.kube import Object
from rig.rollouts import complete, phase

from canaryfleet.models.release import Release

HEAD = {"apiVersion": "canaryfleet.dev/v1alpha1"}
QUICK = {"interval": "2s", "window": "8s", "count": 5, "minimumSamples": 20, "metrics": [ERROR_RATE]}
SPEC = {"exposure__steps": [{"weight": "50%", "for": "2s"}], "analysis": QUICK, "workload__replicas": 2}
KILLED = 0.5  # of all runs of the bot
SEED = 20261121  # of the moments at which it is killed; how far it has come by then no seed says
LOOK = 3.0  # seconds after which the bot looks again though nothing was seen to change
PATIENCE = 240.0
RELEASE = "canaryfleet.dev/release"


class Follower(App):
    """The app on one cluster, which takes what Ann's clone says of it."""

    def __init__(self, fleet: Fleet, member: Member, root: Path, namespace: str) -> None:
        self.cluster = member.name
        super().__init__(fleet, member, root, "chat", SPEC, namespace)

    def _repository(self) -> None:
        """It is the town's."""

    def follow(self) -> None:
        """Apply what is new, and prune, as Argo CD does."""
        if self.pointed and [release for _, release in self.applied][-1:] != [self.pointed]:
            self.sync()

    def standing(self) -> list[Any]:
        """What a bot would notice of it."""
        with self._news:
            objects = list(self.live.values())
        return sorted(
            (one["metadata"]["name"], phase(one), one.get("status", {}).get("stableRS", ""))
            for one in objects
            if one["kind"] in ("Rollout", "AnalysisRun")
        )

    def first(self, test: Callable[[Object], bool]) -> datetime | None:
        """When an object was first seen of which something is true."""
        now, clock = time.monotonic(), time.time()
        found = next((seen.at for seen in self.seen() if test(seen.object)), None)
        return None if found is None else datetime.fromtimestamp(clock - (now - found)).astimezone()


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
        self.killed, self.took = 0, 1.0
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
        return self.here.frozen(
            yaml.safe_load((self.here.overlays / "candidate.yaml").read_text())["release"]
        )

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
        limit = self.chance.uniform(0, self.took) if self.chance.random() < KILLED else None
        whole_family = self.chance.random() < 0.5  # or its git goes on alone
        began = time.monotonic()
        with subprocess.Popen(
            command, cwd=self.clone, env=self.environment, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                out, err = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                self.killed += 1
                self.log.append(f"killed after {limit:.2f} s")
                os.killpg(process.pid, signal.SIGKILL) if whole_family else process.kill()
                return None
        assert "Traceback" not in err, err
        if limit is None:
            self.took = time.monotonic() - began
        (said,) = json.loads(out)["apps"]
        found: dict[str, Any] = said
        self.log.append(f"{time.monotonic() - began:.2f} s: {_told(found)}")
        return found

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
        """The commits of the bot on main, oldest first."""
        for line in self.here.git("log", "--reverse", "--format=%cI %s", "main").splitlines():
            moment, _, subject = line.partition(" ")
            if subject.startswith("chat: "):
                yield datetime.fromisoformat(moment), subject


def _told(said: dict[str, Any]) -> str:
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
    assert all(one._carries(release) and complete(one.rollout) for one in town.clusters)


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
    record_property("runs of the bot that were killed", town.killed)

    assert town.pointed() == [second.id] * 3
    town.here.follow()
    town.here.until_healthy(second)
    assert third.id not in {release for one in town.clusters[1:] for _, release in one.applied}
    state = yaml.safe_load((town.here.overlays / "promotion.yaml").read_text())
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
        assert (proven := baked(town.here, release)) is not None
        assert proven <= moment, "the wave was proven before the next began"
    pulls = town.ann.pulls("all")
    assert [pull["state"] for pull in pulls] == ["closed"] * len(moves)
    assert all(pull["merged"] for pull in pulls)
    assert town.killed


def baked(app: Follower, release: Release) -> datetime | None:
    """When the bake of a release was first seen to be over; nothing of that is the bot's word."""
    return app.first(
        lambda one: (
            one["kind"] == "AnalysisRun"
            and "ownerReferences" not in one["metadata"]
            and one["metadata"].get("labels", {}).get(RELEASE) == release.id
            and phase(one) == "Successful"
        )
    )
