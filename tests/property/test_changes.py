"""What a change of a spec or of the fleet does to a release, and what it must leave alone."""

import copy
import json
from collections.abc import Callable, Iterator, Sequence

from generated import Data, Generated
from hypothesis import given
from strategies import BASE_ADDRESS, IMAGES, bakes, projects

from canaryfleet.freeze import freeze
from canaryfleet.models.release import Release
from support import PROPERTY

Change = Callable[[Generated], None]


def each(generated: Generated, changes: Sequence[Change]) -> Iterator[tuple[str, Generated]]:
    """Copies with one change each, by its name; a change that has nothing to change is left out."""
    for change in changes:
        other = copy.deepcopy(generated)
        change(other)
        if json.dumps(other, default=bytes.decode) != json.dumps(generated, default=bytes.decode):
            yield change.__name__, other


def section(generated: Generated, name: str) -> Data:
    """A section of the spec, made if need be."""
    found: Data = generated.spec.setdefault(name, {})
    return found


def pods(release: Release) -> dict[str, str]:
    """The pod digest of each cluster."""
    return {name: member.pod for name, member in release.clusters.items()}


def all_waves(generated: Generated) -> list[Data]:
    """The waves for normal releases and for hotfixes."""
    return [*generated.spec["waves"], *generated.spec.get("hotfixWaves", ())]


def deployment(generated: Generated) -> Data:
    """The spec of the base's Deployment that is taken over; nothing without a base."""
    for item in generated.base or ():
        if item["kind"] == "Deployment" and not item["metadata"]["name"].endswith("-worker"):
            found: Data = item["spec"]
            return found
    return {}


# What follows the inventory at once: the release stays the same, byte for byte.


def replicas(generated: Generated) -> None:
    if "autoscaler" not in generated.spec["workload"]:
        generated.spec["workload"]["replicas"] = 11


def replicas_of_the_base(generated: Generated) -> None:
    if generated.base and "adopt" not in generated.spec["workload"]:
        deployment(generated)["replicas"] = 11


def scaler_of_the_base(generated: Generated) -> None:
    for item in generated.base or ():
        if item["kind"] == "HorizontalPodAutoscaler":
            item["spec"] |= {"minReplicas": 11, "maxReplicas": 12}


def autoscaler(generated: Generated) -> None:
    scaler = generated.spec["workload"].get("autoscaler")
    if scaler:
        scaler |= {"min": 2, "max": 50}


def hosts(generated: Generated) -> None:
    section(generated, "exposure").update({"hosts": ["another.example"], "gateways": ["another/gateway"]})


def preview_hosts(generated: Generated) -> None:
    blue = generated.spec.get("exposure", {}).get("blueGreen")
    if blue and "previewHosts" in blue:
        blue["previewHosts"] = ["another.example"]


def windows(generated: Generated) -> None:
    window = {"days": "Fri", "from": "22:00", "to": "06:00"}
    for wave in all_waves(generated):
        wave["windows"] = [window]


def live_override(generated: Generated) -> None:
    override = {
        "replicas": 9,
        "minReplicas": 2,
        "maxReplicas": 90,
        "metrics": {"prometheus": "https://x.example"},
    }
    generated.spec.setdefault("overrides", []).append(override)


def address(generated: Generated) -> None:
    for cluster in generated.clusters.values():
        cluster["metrics"] = {"prometheus": "https://another.example"}


def conduct(generated: Generated) -> None:
    section(generated, "rollback").update({"automatic": False, "notify": ["on-call"]})
    generated.spec.update({"onNewRelease": "replace", "lifecycle": "retiring"})


LIVE = (
    replicas,
    replicas_of_the_base,
    scaler_of_the_base,
    autoscaler,
    hosts,
    preview_hosts,
    windows,
    live_override,
    address,
    conduct,
)


@PROPERTY
@given(projects())
def test_what_is_live_is_not_in_the_release(generated: Generated) -> None:
    files = generated.frozen().files
    for name, other in each(generated, LIVE):
        assert other.frozen().files == files, name


# Policy: another release, of the same workload.


def interval(generated: Generated) -> None:
    section(generated, "analysis")["interval"] = "45s"


def metric(generated: Generated) -> None:
    metrics = generated.spec.get("analysis", {}).get("metrics")
    if metrics:
        metrics.append({"name": "another", "query": "max(x)", "minimumSamples": 0, "promoteBelow": 1})


def steps(generated: Generated) -> None:
    if "blueGreen" not in generated.spec.get("exposure", {}):
        section(generated, "exposure").setdefault("steps", []).append({"weight": "77%", "for": "7m"})


def timeout(generated: Generated) -> None:
    section(generated, "exposure")["timeout"] = "77s"


def history(generated: Generated) -> None:
    section(generated, "rollback")["history"] = 7


def limits(generated: Generated) -> None:
    for wave in all_waves(generated):
        wave["progressDeadline"] = "77h"


def bake(generated: Generated) -> None:
    if any(map(bakes, generated.spec.get("analysis", {}).get("metrics", ()))):
        generated.spec["waves"][-1]["minSuccessTime"] = "77m"


def first_preview_host(generated: Generated) -> None:
    blue = generated.spec.get("exposure", {}).get("blueGreen")
    if blue is not None and "previewHosts" not in blue:
        blue["previewHosts"] = ["preview.example"]


POLICY = (first_preview_host, interval, metric, steps, timeout, history, limits, bake)


@PROPERTY
@given(projects())
def test_a_change_of_the_policy_alone_restarts_no_pod(generated: Generated) -> None:
    old = generated.frozen().release
    for name, other in each(generated, POLICY):
        new = other.frozen().release
        assert new.id != old.id, name
        assert (new.workload, pods(new), new.config) == (old.workload, pods(old), old.config), name


# Workload: another release, of another workload, on every cluster.


def image(generated: Generated) -> None:
    workload = generated.spec["workload"]
    containers = (
        [workload] if "image" in workload else deployment(generated)["template"]["spec"]["containers"]
    )
    for container in containers:
        container["image"] = IMAGES[container["image"] == IMAGES[0]]


def prompt(generated: Generated) -> None:
    if "prompts/system.md" in generated.files:
        generated.files["prompts/system.md"] += b"More.\n"


def checksum(generated: Generated) -> None:
    model = generated.spec["workload"].get("model", {})
    if "checksum" in model:
        model["checksum"] = "sha256:" + "d" * 64


def settings_of_the_base(generated: Generated) -> None:
    for item in generated.base or ():
        if item["kind"] == "ConfigMap":
            item["data"]["a"] = "c"


def order_of_variables(generated: Generated) -> None:
    env = generated.spec["workload"].get("env")
    if env:
        generated.spec["workload"]["env"] = dict(reversed(list(env.items())))


WORKLOAD = (order_of_variables, image, prompt, checksum, settings_of_the_base)


@PROPERTY
@given(projects())
def test_another_workload_is_another_pod_everywhere(generated: Generated) -> None:
    old = generated.frozen().release
    for name, other in each(generated, WORKLOAD):
        new = other.frozen().release
        assert new.id != old.id, name
        assert new.workload != old.workload, name
        assert not set(pods(new).values()) & set(pods(old).values()), name


# The inventory and the tools make no release.


@PROPERTY
@given(projects())
def test_a_new_cluster_makes_no_release(generated: Generated) -> None:
    new = {
        "apiVersion": "canaryfleet.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": "zz-new", "labels": {"region": "eu", "tier": "core"}},
        "variables": {"domain": "new.example", "size": "1Gi"},
        "metrics": {"prometheus": BASE_ADDRESS},
    }
    other = generated._replace(clusters=generated.clusters | {"zz-new": new})
    old, joined = generated.frozen().release, other.frozen().release
    assert joined.id == old.id
    assert joined.workload == old.workload
    assert set(joined.clusters) - set(old.clusters) == {"zz-new"}
    assert {name: member for name, member in joined.clusters.items() if name != "zz-new"} == old.clusters


@PROPERTY
@given(projects())
def test_an_upgrade_makes_no_release(generated: Generated) -> None:
    upgraded = freeze(generated.inputs()._replace(tools={"canaryfleet": "99"})).frozen
    assert upgraded is not None
    assert upgraded.release.id == generated.frozen().release.id
