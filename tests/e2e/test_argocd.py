"""The AppProject and the ApplicationSet that `render` writes, on a real Argo CD: its repo-server, application controller
and ApplicationSet controller. Git is a folder, and the app is on the cluster that has Argo CD's objects."""

import copy
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from app import HERE, LIMIT, App
from driving import stop_at
from replay import CLUSTERS, Case, needed, outfit
from rig import Fleet, Member, read, wait_until
from rig.delivery import API, ArgoCD
from rig.kube import Object
from rig.processes import Supervisor
from rig.rollouts import canary_weight

from canaryfleet.models.release import Release
from conftest import NEWEST

APPLICATION = f"chat-{HERE}"
AGAIN = 5.0  # seconds
STEPS: list[dict[str, Any]] = [
    {"header": {"x-group": "internal"}, "for": "manual"},
    {"mirror": "50%", "for": "manual"},
    {"weight": "20%", "for": "manual"},
    {"weight": "60%", "for": "2s"},
]


class Site:
    """An app that Argo CD delivers, and what Argo CD has said of it since it brought the last commit."""

    def __init__(self, app: App, argocd: ArgoCD) -> None:
        self.app, self.argocd = app, argocd
        self.seen: list[Object] = []
        self.since = 0  # the Application's version that was seen when the last commit was brought
        self._closed = False
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closed = True

    def _watch(self) -> None:
        while not self._closed:
            try:
                for event in self.argocd.kube.watch(self.argocd.path("applications", ""), 300):
                    if self._closed:
                        return
                    if event["type"] != "ERROR":
                        self.seen.append(event["object"])
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.05)

    def told(self) -> None:
        """Argo CD is told that there is something new on main."""
        self.argocd.regenerate(self.app.name)
        self.argocd.refresh(APPLICATION)

    def release(self, version: str, **changes: Any) -> Release:
        """A release is committed, and Argo CD has brought it."""
        made = self.app.release(version, **changes)
        self.app.serve(made)
        self.until_synced()
        return made

    def until_synced(self) -> None:
        """Argo CD is told, and has brought what main says."""
        head = self.app.git("rev-parse", "HEAD").strip()

        def brought() -> bool:
            found = self.argocd.application(APPLICATION)
            self.since = _version(found)
            return _brought(found.get("status", {})) == head

        insist(self.told, brought, f"Argo CD has brought {head}")

    def calm(self) -> bool:
        """Whether it was never said that something differs from the commit that was brought last.

        The watch tells it later than a GET does, on a busy machine by seconds.
        """
        now = _version(self.argocd.application(APPLICATION))
        wait_until(lambda: any(_version(one) >= now for one in self.seen), "the watch has caught up", LIMIT)
        said = {one["status"]["sync"]["status"] for one in self.seen if _version(one) >= self.since}
        return said == {"Synced"}

    def looks(self) -> list[str]:
        """Argo CD compares once more; what it says is not as in Git."""
        return compared(self.argocd, APPLICATION)

    @property
    def status(self) -> Object:
        """What Argo CD says of it now."""
        found: Object = self.argocd.application(APPLICATION).get("status", {})
        return found

    def until_health(self, wanted: str) -> None:
        """Wait until Argo CD says so of the Rollout (of a PodDisruptionBudget nobody here would say anything)."""

        def said() -> bool:
            (rollout,) = (one for one in self.status["resources"] if one["kind"] == "Rollout")
            return bool(rollout.get("health", {}).get("status") == wanted)

        wait_until(said, f"Argo CD says {wanted}", LIMIT)


def _version(one: Object) -> int:
    return int(one["metadata"]["resourceVersion"])


def _brought(status: Object) -> str:
    """The commit that is compared with, if it was brought and all is as it says."""
    sync, done = status.get("sync", {}), status.get("operationState", {})
    fine = sync.get("status") == "Synced" and done.get("phase", "Succeeded") == "Succeeded"
    return str(sync.get("revision", "")) if fine else ""


def insist(ask: Callable[[], None], true: Callable[[], bool], what: str) -> None:
    """Ask Argo CD for something, and wait; again and again, for it may overlook who asks while it looks."""
    asked = -AGAIN

    def probe() -> bool:
        nonlocal asked
        if time.monotonic() - asked > AGAIN:
            ask()
            asked = time.monotonic()
        return true()

    wait_until(probe, what, LIMIT)


def compared(argocd: ArgoCD, name: str) -> list[str]:
    """What is not as in Git, once Argo CD has looked again."""

    def looked() -> bool:
        return not argocd.asked("applications", name)

    insist(lambda: argocd.refresh(name), looked, f"Argo CD has compared {name}")
    status = argocd.application(name)["status"]
    found = [f"{one['kind']}/{one['name']}" for one in status["resources"] if one.get("status") != "Synced"]
    assert (status["sync"]["status"] == "Synced") == (not found)
    return found


def until_application(argocd: ArgoCD, app: str) -> None:
    """Wait until an ApplicationSet has made one.

    It may have looked before the project was there, or into its cache, and by itself looks every three minutes.
    """
    insist(lambda: argocd.regenerate(app), lambda: bool(argocd.applications()), f"{app} has an Application")


@pytest.fixture
def site(make_app: Callable[..., App], tmp_path: Path, programs: Supervisor) -> Iterator[Site]:
    """The first release is everywhere, brought by Argo CD."""
    app = make_app(exposure__steps=STEPS, exposure__idempotent=True)
    namespace = f"argocd-{app.namespace}"
    app.settings({"argocd": {"repository": f"file://{app.root}", "namespace": namespace}})
    first = app.release("1.0.0")
    argocd = ArgoCD.start(programs, tmp_path / "argocd", app.kube, namespace, [app.namespace])
    argocd.apply([read(path) for path in sorted((app.root / "argocd").rglob("*.yaml"))])
    found = Site(app, argocd)
    until_application(argocd, app.name)
    found.until_synced()
    app.serve(first)
    app.until_healthy(first)
    yield found
    found.close()


STOPS: list[Callable[[App], bool]] = [
    lambda app: made(app, "header"),
    lambda app: made(app, "mirror"),
    lambda app: canary_weight(app.rollout) == 20,
]
"""What each stop of the canary has: the controller has written it into the routes."""


def made(app: App, kind: str) -> bool:
    """Whether the route of a kind that a step makes is there."""
    return any(name.endswith(f"-{kind}") for name in app.routes())


def at_stops(app: App, release: Release) -> Iterator[int]:
    """Take the canary from stop to stop; each when its routes are there."""
    for number, has in enumerate(STOPS):
        stop_at(app, release, number)
        app.until_now(lambda: has(app), f"what stop {number} has")  # noqa: B023
        yield number


def test_argo_cd_brings_a_release_and_undoes_nothing_that_its_canary_writes(site: Site) -> None:
    app = site.app
    site.until_health("Healthy")
    second = site.release("1.1.0")
    for _ in at_stops(app, second):
        assert site.looks() == []
        site.until_health("Suspended")
    assert site.calm()

    looked = len(app.seen())
    app.spec["workload"]["replicas"] = 8
    app.respec()
    app.cli("render", "--at-rest", HERE)
    app.commit("more replicas")
    site.until_synced()
    app.until_now(lambda: app.rollout["spec"]["replicas"] == 8, "Argo CD has brought the replicas")
    app.look_again()
    app.catch_up()
    assert not [seen for seen in app.seen()[looked:] if seen.object["kind"] == "VirtualService"]
    assert canary_weight(app.rollout) == 20

    app.promote()
    app.until_healthy(second)
    assert site.looks() == []
    site.until_health("Healthy")
    assert site.calm()
    assert len(site.status["history"]) == 3, "it brought each commit once, and nothing else"


@NEWEST
def test_each_difference_that_is_ignored_is_one_that_a_canary_makes(site: Site) -> None:
    second = site.release("1.1.0")
    needed: set[tuple[str, str]] = set()
    for _ in at_stops(site.app, second):
        needed |= set(_needed(site))
    assert needed == {(one["kind"], path) for one in _ignored(site) for path in one["jqPathExpressions"]}


def _ignored(site: Site) -> list[Object]:
    path = site.argocd.path("applicationsets", site.app.name)
    found: list[Object] = site.argocd.kube.raw_json(path)["spec"]["template"]["spec"]["ignoreDifferences"]
    return found


def _needed(site: Site) -> Iterator[tuple[str, str]]:
    """The paths without which Argo CD would see a difference now."""
    whole = _ignored(site)
    for one in whole:
        for path in one["jqPathExpressions"]:
            fewer = copy.deepcopy(whole)
            found = next(item for item in fewer if item["kind"] == one["kind"])
            found["jqPathExpressions"].remove(path)
            _ignore(site, [item for item in fewer if item["jqPathExpressions"]])
            differs = site.looks()
            assert set(differs) <= {f"{one['kind']}/{one['name']}"}
            if differs:
                yield one["kind"], path
    _ignore(site, whole)
    assert not site.looks()


def _ignore(site: Site, what: list[Object]) -> None:
    """Have the ApplicationSet say so, and wait until the Application does."""
    template = {"spec": {"ignoreDifferences": what}}
    site.argocd.kube.patch_at(
        site.argocd.path("applicationsets", site.app.name), {"spec": {"template": template}}
    )
    site.argocd.regenerate(site.app.name)

    def same() -> bool:
        found = site.argocd.application(APPLICATION)["spec"].get("ignoreDifferences", [])
        return bool(found == what)

    wait_until(same, "the Application says so", LIMIT)


@NEWEST
def test_what_goes_from_git_or_from_argo_cd_goes_from_no_cluster(site: Site) -> None:
    app, argocd = site.app, site.argocd
    was = app.rollout["metadata"]["uid"], {pod["metadata"]["uid"] for pod in app.pods()}

    def stays() -> bool:
        app.look_again()
        app.catch_up()
        return (app.rollout["metadata"]["uid"], {pod["metadata"]["uid"] for pod in app.pods()}) == was

    overlay = app.overlays / "clusters" / HERE
    kept = {path: path.read_bytes() for path in overlay.iterdir()}
    for path in kept:
        path.unlink()
    overlay.rmdir()
    app.commit("no overlay")
    insist(
        lambda: argocd.regenerate(app.name),
        lambda: not argocd.asked("applicationsets", app.name),
        "the ApplicationSet is looked at",
    )
    insist(
        lambda: argocd.refresh(APPLICATION),
        lambda: not argocd.asked("applications", APPLICATION),
        "Argo CD has compared",
    )
    assert stays()

    argocd.kube.delete_at(argocd.path("applicationsets", app.name))
    wait_until(lambda: not argocd.applications(), "the Application is gone", LIMIT)
    assert stays()

    overlay.mkdir()
    for path, data in kept.items():
        path.write_bytes(data)
    app.commit("as it was")
    argocd.apply([read(app.root / "argocd" / "apps" / f"{app.name}.yaml")])

    until_application(argocd, app.name)
    site.until_synced()
    assert stays()


SHAPES = (
    "adopt", "autoscaler", "base-several-deployments-hpa-configmap", "blue-green", "grpc", "image-minimal", "providers",
    "sticky-cookie",
)  # fmt: skip
"""Golden cases that are made of different parts."""
KNOWN = {"providers": {"AnalysisTemplate"}}
"""Datadog's `requestTimeout` has a default in 1.10, and 1.9 does not know it: nothing can be said of it in Git."""


@NEWEST
def test_what_is_made_of_other_parts_is_in_sync_once_it_runs(
    fleet: Fleet, member: Member, tmp_path: Path, keep: Callable[[Case], Case], programs: Supervisor
) -> None:
    namespace = f"argocd-{tmp_path.name}".replace("_", "-")
    cases = {
        name: keep(Case(fleet, member, tmp_path / name, name, CLUSTERS.get(name, "eu-1"), {}))
        for name in SHAPES
    }
    first = {name: _released(app, namespace) for name, app in cases.items()}
    reach = {one["metadata"].get("namespace", "") for app in cases.values() for one in app.built()} - {""}
    argocd = ArgoCD.start(programs, tmp_path / "argocd", member.kube, namespace, sorted(reach))
    argocd.apply([_all_allowed(namespace), *(_alone(app, namespace) for app in cases.values())])
    for name, app in cases.items():
        app.until_healthy(first[name])
    found = {name: {one.partition("/")[0] for one in compared(argocd, name)} for name in cases}
    assert {name: kinds for name, kinds in found.items() if kinds} == KNOWN


def _released(app: Case, namespace: str) -> Release:
    """Its first release is on main, with what Argo CD is told; the cluster has what people provide."""
    outfit(app)
    path = app.root / "fleet.yaml"
    argocd = {"repository": f"file://{app.root}", "namespace": namespace}
    path.write_text(yaml.safe_dump(read(path) | {"argocd": argocd}))
    made = app.release("1.0.0")
    app.commit("1.0.0")
    app.kube.apply_objects(needed(app))
    return made


def _all_allowed(namespace: str) -> Object:
    everything = [{"group": "*", "kind": "*"}]
    spec = {
        "sourceRepos": ["*"],
        "destinations": [{"name": "*", "namespace": "*"}],
        "namespaceResourceWhitelist": everything,
        "clusterResourceWhitelist": everything,
    }
    return {
        "apiVersion": API,
        "kind": "AppProject",
        "metadata": {"name": "all", "namespace": namespace},
        "spec": spec,
    }


def _alone(app: Case, namespace: str) -> Object:
    """The Application that its ApplicationSet would make, under the name of the case: all apps of the cases are `chat`."""
    spec = read(app.root / "argocd/apps/chat.yaml")["spec"]["template"]["spec"]
    spec["source"]["path"] = f"overlays/chat/clusters/{app.cluster}"
    spec |= {"project": "all", "destination": {"name": HERE, "namespace": app.namespace}}
    metadata = {"name": app.case, "namespace": namespace}
    return {"apiVersion": API, "kind": "Application", "metadata": metadata, "spec": spec}
