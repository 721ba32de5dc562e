"""The bot as deploy/bot has it: a cluster takes the manifests, and with exactly their rights two replicas share the work.

KWOK plays the kubelet, so the bot's pods run nothing. Beside them run replicas as processes of their own (`replica.py`),
each with the token of the pods' ServiceAccount and a clone that it makes, on a real forge; and one is killed with all
that it has started, as a container ends.
"""

import copy
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from app import ERROR_RATE, App
from people import REPOSITORY, address, hosted, publish
from rig import Fleet, Member, RigError, kustomize, load, wait_until
from rig.gitea import Gitea
from rig.kube import Kube, Object
from rig.net import LOOPBACK, free_ports
from rig.processes import Process, Supervisor
from test_a_whole_fleet import HEAD, Follower

from canaryfleet import rbac
from canaryfleet.models.release import Release
from conftest import NEWEST

MANIFESTS = Path(__file__).resolve().parents[2] / "deploy/bot"
REPLICA = Path(__file__).with_name("replica.py")
QUICK = {"interval": "2s", "window": "8s", "count": 3, "minimumSamples": 20, "metrics": [ERROR_RATE]}
SPEC = {"exposure__steps": [{"weight": "50%", "for": "2s"}], "analysis": QUICK, "workload__replicas": 1}
SEED = 20261122  # of what is left to chance; how far a run has come by then no seed says
LIMIT = 90.0
PATIENCE = 600.0
LOOK = 1.0
OFTEN = "2s"


# ---- what is applied


def built(folder: Path, namespace: str) -> list[Object]:
    """deploy/bot in a namespace of the test's own, as an overlay has it."""
    folder.mkdir()
    overlay = {"resources": [os.path.relpath(MANIFESTS, folder)], "namespace": namespace}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return load(kustomize(folder))


@pytest.fixture
def space(member: Member) -> Iterator[str]:
    """The name of a namespace that goes with the test."""
    name = f"bot-{uuid.uuid4().hex[:8]}"
    yield name
    member.kube.delete("namespace", name)


@NEWEST
def test_a_cluster_that_enforces_restricted_pods_runs_the_manifests(
    member: Member, space: str, tmp_path: Path
) -> None:
    objects = built(tmp_path / "overlay", space)
    member.kube.apply_objects(objects)
    (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
    path = member.kube.path_of(deployment)
    wait_until(lambda: available(member.kube, path) == 2, "both replicas are available", LIMIT)
    template = deployment["spec"]["template"]
    for number, loose in enumerate(loosened(template["spec"])):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"loose-{number}", "namespace": space},
            "spec": loose,
        }
        with pytest.raises(RigError, match="violates PodSecurity"):
            member.kube.apply_at(member.kube.path_of(pod), pod)


def available(kube: Kube, deployment: str) -> int:
    """The replicas that are."""
    return int(kube.raw_json(deployment).get("status", {}).get("availableReplicas", 0))


def loosened(pod: Object) -> Iterator[Object]:
    """The pod without each of what the restricted standard asks for: nothing of it is there in vain."""
    for of_pod, name in ((True, "runAsNonRoot"), (True, "seccompProfile"), (False, "capabilities")):
        loose = copy.deepcopy(pod)
        del (loose if of_pod else loose["containers"][0])["securityContext"][name]
        yield loose
    loose = copy.deepcopy(pod)
    loose["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    yield loose


# ---- a site with a forge, apps on one cluster, and replicas


class Tenant(Follower):
    """One of several apps of the repository, all on one cluster."""

    def __init__(self, fleet: Fleet, member: Member, root: Path, name: str, namespace: str) -> None:
        self.cluster, self.had = member.name, b""
        App.__init__(self, fleet, member, root, name, SPEC, namespace)

    def renew(self, version: str) -> None:
        """Write the spec of another version."""
        self.spec["version"] = version
        self.spec["workload"]["image"] = f"registry.example/{self.name}:{version}@sha256:{'0' * 64}"
        self.respec()

    @property
    def newest(self) -> Release:
        """What the spec resolves to."""
        return self.frozen(self.candidate)

    def done(self) -> bool:
        """Main says that the newest release is where it belongs, and that it was proven."""
        record = self.overlays / "done.yaml"
        return self.pointed == self.candidate and record.exists() and self.candidate in record.read_text()


class Site:
    """A repository on a forge, the apps that follow it, and the namespace of the bot."""

    def __init__(
        self,
        fleet: Fleet,
        member: Member,
        folder: Path,
        server: Gitea,
        keep: Callable[[Tenant], Tenant],
        programs: Supervisor,
        space: str,
        apps: Sequence[str],
    ) -> None:
        self.member, self.kube, self.folder, self.server = member, member.kube, folder, server
        self.programs, self.space, self.root = programs, space, folder / "people"
        self.root.mkdir()
        namespace = f"apps-{uuid.uuid4().hex[:8]}"
        self.apps = [keep(Tenant(fleet, member, self.root, name, namespace)) for name in apps]
        self.git = self.apps[0].git
        self.ann, self.bot = hosted(server)
        self._begin(fleet)
        self.roles = self._allow()
        self.account = self._account()
        self.logs: list[Path] = []

    def _begin(self, fleet: Fleet) -> None:
        forge = {"type": "gitea", "repository": REPOSITORY, "url": f"{self.server.url}/api/v1"}
        self._write("fleet.yaml", {"kind": "Fleet", "metadata": {"name": "acme"}, "forge": forge})
        known = {"uid": self.kube.raw_json("/api/v1/namespaces/kube-system")["metadata"]["uid"]}
        known |= {"access": {"inCluster": True}, "metrics": {"prometheus": fleet.prometheus}}
        name = self.member.name
        self._write(f"clusters/{name}.yaml", {"kind": "Cluster", "metadata": {"name": name}, **known})
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", address(self.server))
        self._render("1.0.0")
        publish(self.server, self.ann, self.git)

    def _write(self, path: str, content: dict[str, Any]) -> None:
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(yaml.safe_dump(HEAD | content))

    def _render(self, version: str) -> None:
        for app in self.apps:
            app.renew(version)
        self.apps[0].cli("render")
        self.apps[0].commit(f"release {version}")

    def _allow(self) -> list[Object]:
        """Apply the manifests, and what the command prints for this fleet; the roles."""
        self.kube.apply_objects(built(self.folder / "overlay", self.space))
        command = [sys.executable, "-m", "canaryfleet", "rbac", "--bot", "--root", str(self.root)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        objects = [self._own(one) for one in load(printed)]
        self.kube.apply_objects(objects)
        return [one for one in objects if "rules" in one]

    def _own(self, one: Object) -> Object:
        """An object of the command's in the test's namespace, or with a name of its own where there is none."""
        text = json.dumps(one).replace(f'"namespace": "{rbac.NAMESPACE}"', f'"namespace": "{self.space}"')
        own: Object = json.loads(text)
        if own["kind"] == "Namespace":
            own["metadata"]["name"] = self.space
        elif own["kind"].startswith("ClusterRole"):
            own["metadata"]["name"] = self.space
            own.get("roleRef", {}).update(name=self.space)
        return own

    def _account(self) -> Path:
        """The folder that the kubelet would mount: the token of the pods' ServiceAccount, and nothing more."""
        folder = self.folder / "serviceaccount"
        folder.mkdir()
        token = self.kube.kubectl("create", "token", rbac.NAME, "-n", self.space).strip()
        (folder / "token").write_text(token)
        (folder / "namespace").write_text(self.space)
        certificate = self.kube.kubeconfig.parent / "certs" / "apiserver.crt"
        (folder / "ca.crt").write_bytes(certificate.read_bytes())
        return folder

    def start(self, name: str, slot: str) -> Process:
        """A replica. `slot`: which pod's folder, where the next container finds what the one before has left."""
        own = self.folder / slot
        own.mkdir(exist_ok=True)
        server = urlsplit(self.kube.server)
        environment = {
            "HOME": str(own),
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
            "CANARYFLEET_GITEA_TOKEN": self.bot.token,
        }
        words = ["reconcile", "--watch", "--lease", "--every", OFTEN, "--timeout", "30s"]
        words += ["--listen", f"{LOOPBACK}:{free_ports(1)[0]}"]
        words += ["--clone", address(self.server), "--forge", "gitea", "--root", str(own / "fleet")]
        command = [sys.executable, str(REPLICA), str(self.account), name, *words]
        process = self.programs.start(f"{self.space}-{name}", command, environment)
        self.logs.append(process.log)
        return process

    def release(self, version: str) -> None:
        """Bring a release of every app to main."""
        self._render(version)
        self.pull()
        self.git("push", "-q", "origin", "HEAD:main")

    def pull(self) -> None:
        """Ann's clone has what main says."""
        self.git("pull", "-q", "--rebase", "origin", "main")

    def until_done(self, each: Callable[[], bool] = lambda: True) -> None:
        """The apps follow main, until the newest release of all is done, and `each` says that it is over."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.pull()
            for app in self.apps:
                app.follow()
            over = each()
            if over and all(app.done() for app in self.apps) and not self.ann.pulls("open"):
                return
            time.sleep(LOOK)
        raise AssertionError("it never ends\n" + "\n".join(log.read_text()[-3000:] for log in self.logs))

    def holders(self) -> dict[str, str]:
        """Who holds which app's Lease."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.space}/leases"
        leases = self.kube.raw_json(path)["items"]
        return {one["metadata"]["name"]: one["spec"].get("holderIdentity", "") for one in leases}

    def said(self, since: int = 0) -> list[dict[str, Any]]:
        """The log of the first replica, from a byte on."""
        whole = self.logs[0].read_bytes()[since:].decode()
        return [json.loads(line) for line in whole.splitlines(keepends=True) if line.endswith("}\n")]


SiteMaker = Callable[[Sequence[str]], Site]


@pytest.fixture
def make_site(
    fleet: Fleet,
    member: Member,
    tmp_path: Path,
    gitea: Gitea,
    keep: Callable[[Tenant], Tenant],
    programs: Supervisor,
    space: str,
) -> Iterator[SiteMaker]:
    """Make a site with some apps; what it made outside of its namespaces goes with the test."""
    yield lambda apps: Site(fleet, member, tmp_path, gitea, keep, programs, space, apps)
    programs.stop_all()
    for kind in ("clusterrolebinding", "clusterrole"):
        member.kube.delete(kind, space)


# ---- rights


@NEWEST
def test_the_bot_works_with_the_rights_that_are_printed_and_says_which_it_lacks(make_site: SiteMaker) -> None:
    site = make_site(["chat"])
    site.start("one", "pod-one")
    site.until_done()
    assert not [line for line in site.said() if "may not" in line.get("error", "")]
    taken = list(verbs(site.roles))
    assert len(taken) == 1 + 4 + 3
    for verb, resource, without, role in taken:
        since = site.logs[0].stat().st_size
        site.kube.apply_objects([without])
        if verb == "create":
            site.kube.delete_at(
                f"/apis/coordination.k8s.io/v1/namespaces/{site.space}/leases/canaryfleet-chat"
            )
        lacks = f"system:serviceaccount:{site.space}:{rbac.NAME} may not {verb} {resource}"
        wait_until(lambda: complaints(site, since, lacks), f"it says that it {lacks}", LIMIT)  # noqa: B023
        site.kube.apply_objects([role])
        since = site.logs[0].stat().st_size
        wait_until(
            lambda: [one for one in site.said(since) if one["event"] == "decided"],  # noqa: B023
            f"it works again with {verb} {resource}",
            LIMIT,
        )


def verbs(roles: Sequence[Object]) -> Iterator[tuple[str, str, Object, Object]]:
    """Each verb of each rule: the verb, its resource, and the role without it and with it."""
    for role in roles:
        for number, rule in enumerate(role["rules"]):
            for verb in rule["verbs"]:
                without = copy.deepcopy(role)
                without["rules"][number]["verbs"].remove(verb)
                without["rules"] = [left for left in without["rules"] if left["verbs"]]
                yield verb, rule["resources"][0], without, role


def complaints(site: Site, since: int, words: str) -> list[dict[str, Any]]:
    """The warnings in which the bot says so."""
    return [one for one in site.said(since) if one["level"] == "warning" and words in one.get("error", "")]


# ---- replicas


class Axe:
    """Kills a replica that has an app, waits until the other has all of them, and starts another in its place."""

    def __init__(self, site: Site) -> None:
        self.site, self.chance = site, random.Random(SEED)
        self.killed: list[str] = []
        self.took: list[float] = []
        self._due: list[tuple[str, Callable[[], bool]]] = []
        self._fell: tuple[str, float] | None = None
        self._replicas = {slot: (slot, site.start(slot, slot)) for slot in ("pod-one", "pod-two")}

    def arm(self) -> None:
        """From now on: one falls at the next pull request, which will come, and one some seconds after the first is replaced."""
        known = len(self.site.ann.pulls("all"))
        self._due = [("request", lambda: len(self.site.ann.pulls("all")) > known)]

    def turn(self) -> bool:
        """Do what is due; true if nothing has to be waited for."""
        if self._fell:
            self._replace(*self._fell)
        elif self._due and self._due[0][1]():
            self._kill(self._due[0][0])
        return not self._fell and bool(self.killed)

    def _kill(self, moment: str) -> None:
        slots = {name: slot for slot, (name, _) in self._replicas.items()}
        busy = sorted({holder for holder in self.site.holders().values() if holder in slots})
        if not busy:
            return  # Leases are about to be taken
        slot = slots[self.chance.choice(busy)]
        end_all(self._replicas[slot][1].pid)
        self._due.pop(0)
        self.killed.append(moment)
        self._fell = slot, time.monotonic()

    def _replace(self, slot: str, at: float) -> None:
        (other,) = [name for place, (name, _) in self._replicas.items() if place != slot]
        if set(self.site.holders().values()) == {other}:
            self.took.append(time.monotonic() - at)
            name = f"{slot}-{len(self.killed)}"
            self._replicas[slot] = (name, self.site.start(name, slot))
            self._fell = None
            if len(self.killed) == 1:
                # if the release is done by then, it does not come, and nobody waits for it
                until = time.monotonic() + self.chance.uniform(0, 6)
                self._due = [("any", lambda: time.monotonic() > until)]
            return
        assert time.monotonic() - at < LIMIT, f"{other} does not take over: {self.site.holders()}"


def end_all(pid: int) -> None:
    """SIGKILL a process and all that it has started, as the end of a container does; nothing of it goes on first."""
    found, looked = [pid], 0
    while looked < len(found):
        os.kill(found[looked], signal.SIGSTOP)
        found += children(found[looked])
        looked += 1
    for one in found:
        os.kill(one, signal.SIGKILL)


def children(parent: int) -> list[int]:
    """The processes that a process has started and that are there now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()  # proc(5): state, and then the parent
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@NEWEST
def test_of_two_replicas_one_is_killed_and_nothing_is_lost_or_done_twice(
    make_site: SiteMaker, record_property: Callable[[str, object], None]
) -> None:
    site = make_site(["chat", "fraud"])
    axe = Axe(site)
    site.until_done()
    for app in site.apps:
        app.serve(app.newest)
    axe.arm()
    site.release("1.1.0")
    for app in site.apps:
        app.serve(app.newest)
    site.until_done(axe.turn)
    record_property("replicas that were killed, by when", ", ".join(axe.killed))
    record_property("seconds until the other had all apps", ", ".join(f"{took:.0f}" for took in axe.took))

    site.pull()
    subjects = site.git("log", "--reverse", "--format=%s", "main").splitlines()
    for app in site.apps:
        app.until_healthy(app.newest)
        mine = [subject for subject in subjects if subject.startswith(f"{app.name}: ")]
        assert [subject for subject in mine if not subject.endswith(" is done")] == [
            f"{app.name}: {version} to wave all ({app.cluster})" for version in ("1.0.0", "1.1.0")
        ]
    # Git tells what was merged. A forge that was about to note it when its caller died may not: then the pull request
    # is closed by the next run, which finds it on main.
    titles = [pull["title"] for pull in site.ann.pulls("all") if "is done" not in pull["title"]]
    assert len(titles) == len(set(titles)) == 2 * len(site.apps), "each is proposed once"
    wait_until(lambda: branches(site) == ["main"], "nothing is left behind", LIMIT)
    for log in site.logs:
        assert "Traceback" not in log.read_text()
        assert '"errorKind": "bug"' not in log.read_text()


def branches(site: Site) -> list[str]:
    """What the forge has."""
    return [one["name"] for one in site.ann.ask("GET", f"/repos/{REPOSITORY}/branches")]
