"""What pods ask for, counted as the scheduler counts it, and when a cluster surely has what it was given."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from canaryfleet import presence, repo, takes
from canaryfleet.files import Tree
from canaryfleet.models.decision import Amounts
from canaryfleet.models.observation import Live, Observation, Run, Unread, Version
from canaryfleet.models.release import LiveShape, Release
from canaryfleet.takes import Scale, pod_takes, scale

ROOT = Path(__file__).parents[3]
CPU = "cpu"


def asking(amount: Any, **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {CPU: amount}}} | more


SIDECAR: dict[str, Any] = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "amount"),
    [
        ({"containers": [asking(1), asking("500m")]}, 1500),
        ({"containers": [{"resources": {"limits": {CPU: 2}}}]}, 2000),  # a limit alone is the request
        ({"containers": [{"resources": {"limits": {CPU: 2}, "requests": {CPU: 1}}}]}, 1000),
        ({"containers": [{"resources": {"limits": {CPU: 2}, "requests": {"memory": "1Gi"}}}]}, 2000),
        ({"containers": [{}, {"resources": None}, {"resources": {"requests": None}}]}, 0),
        ({"containers": [asking("0.0001")]}, 1),  # rounded up
        ({"containers": [asking(1)], "initContainers": [asking(3), asking(2)]}, 3000),  # one after the other
        ({"containers": [asking(4)], "initContainers": [asking(3)]}, 4000),
        ({"containers": [asking(1)], "initContainers": [asking(2, **SIDECAR)]}, 3000),  # beside each other
        ({"containers": [asking(1)], "initContainers": [asking(2, **SIDECAR), asking(3)]}, 5000),
        ({"containers": [asking(1)], "initContainers": [asking(3), asking(2, **SIDECAR)]}, 3000),  # before it
        ({"containers": [asking(1)], "initContainers": None}, 1000),
        ({"containers": [asking(1)], "overhead": {CPU: "250m"}}, 1250),
        ({"containers": [asking(1)], "resources": {"requests": {CPU: 3}}}, 3000),  # of the pod as a whole
        ({"containers": [{}], "resources": {"limits": {CPU: 3}}}, 3000),
        ({"containers": [asking(1)], "resources": {"limits": {CPU: 3}}}, 1000),
    ],
)
def test_a_pod_asks_for_what_the_scheduler_counts(spec: dict[str, Any], amount: int) -> None:
    assert pod_takes(spec, CPU) == amount


def test_each_pod_is_one_pod() -> None:
    assert pod_takes({"containers": [{}]}, "pods") == 1000


def test_what_is_no_quantity_is_no_number() -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        pod_takes({"containers": [asking("some")]}, CPU)


def test_a_cluster_holds_no_more_than_it_says() -> None:
    assert takes.room({"nvidia.com/gpu": 8, "memory": "1Ki", CPU: "1.5", "odd": "0.0019"}) == {
        "nvidia.com/gpu": 8000, "memory": 1_024_000, CPU: 1500, "odd": 1,
    }  # fmt: skip


# Of the example fleet

ASSISTANT, SCALED = "assistant", "mcp-tools"
GPU = "nvidia.com/gpu"


def frozen(app: str) -> Release:
    tree = Tree(ROOT)
    return repo.release(tree, app, repo.candidate(tree, app) or "")


def objects(count: int | None = None, **kinds: dict[str, Any]) -> list[dict[str, Any]]:
    """A release's objects; a pod asks for one GPU."""
    pod = {"containers": [{"resources": {"limits": {GPU: 1}}}]}
    spec: dict[str, Any] = {"template": {"spec": pod}} | ({} if count is None else {"replicas": count})
    rollout = {"kind": "Rollout", "metadata": {"name": "app"}, "spec": spec}
    return [rollout, *({"kind": kind, "spec": body} for kind, body in kinds.items())]


def of(
    release: Release, made: list[dict[str, Any]], live: Scale, **resources: set[str]
) -> dict[str, Amounts]:
    return takes.takes(release, lambda _: made, lambda _: live, resources or {"eu-west-1a": {GPU}})


def test_how_many_pods_there_are() -> None:
    plain = replace(frozen(ASSISTANT), live=LiveShape(replicas=True))
    scaled = replace(plain, live=LiveShape(autoscaler="app"))
    assert of(plain, objects(), Scale(3, 9)) == {"eu-west-1a": {GPU: 3000}}
    assert of(plain, objects(), Scale(0)) == {"eu-west-1a": {GPU: 0}}
    assert of(scaled, objects(), Scale(3, 9)) == {"eu-west-1a": {GPU: 9000}}
    target = {"scaleTargetRef": {"kind": "Rollout", "name": "app"}}
    assert of(plain, objects(ScaledObject=target | {"maxReplicaCount": 7}), Scale()) == {
        "eu-west-1a": {GPU: 7000}
    }
    assert of(plain, objects(ScaledObject=target), Scale())["eu-west-1a"] == {GPU: 100_000}
    other = {"scaleTargetRef": {"kind": "Rollout", "name": "other"}, "maxReplicaCount": 7}
    assert of(plain, objects(ScaledObject=other), Scale(2))["eu-west-1a"] == {GPU: 2000}
    assert of(replace(plain, live=LiveShape()), objects(4), Scale(9))["eu-west-1a"] == {GPU: 4000}
    with pytest.raises(ValueError, match="how many pods"):
        of(plain, objects(), Scale())
    with pytest.raises(ValueError, match="no pod template"):
        of(plain, [], Scale(1))


def test_only_what_a_cluster_declares_is_counted() -> None:
    release = replace(frozen(ASSISTANT), live=LiveShape(replicas=True))
    found = of(
        release, objects(), Scale(1), **{"eu-west-1a": {GPU, CPU}, "us-east-1a": set(), "unknown": {GPU}}
    )
    assert found == {"eu-west-1a": {GPU: 1000, CPU: 0}}


def test_what_an_overlay_says() -> None:
    read = lambda app: scale((ROOT / repo.overlay_path(app, "eu-west-1a")).read_bytes())  # noqa: E731
    assert read(ASSISTANT) == Scale(2, None)
    assert read(SCALED) == Scale(None, 12, 2)
    assert scale(b"") == Scale()
    assert scale(b"#      path: /spec/replicas\n      value: 3\n") == Scale()


def test_a_release_and_variant_is_built_once_however_many_clusters_have_it() -> None:
    known = frozen(ASSISTANT)
    some = next(iter(known.clusters.values()))
    clusters = {f"c{n}": replace(some, variant=f"v{n % 3}" if n % 4 else None) for n in range(1000)}
    release = replace(known, clusters=clusters, live=LiveShape(replicas=True))
    built: list[str | None] = []

    def build(variant: str | None) -> list[dict[str, Any]]:
        built.append(variant)
        return objects()

    overlay = (ROOT / repo.overlay_path(ASSISTANT, "eu-west-1a")).read_bytes()
    began = time.process_time()
    found = takes.takes(release, build, lambda _: scale(overlay), {name: {GPU, CPU} for name in clusters})
    assert time.process_time() - began < 0.2
    assert len(found) == 1000
    assert sorted(built, key=str) == [None, "v0", "v1", "v2"]


# Presence

AT = datetime(2026, 11, 3, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def run(minutes: float, **fields: Any) -> Run:
    about: dict[str, Any] = {"release": "r", "pod": "p", "cluster": "c0"} | fields
    return Run(name="run", uid="1", role="steps", phase="Running", created=AT + minutes * MINUTE, **about)


def seen(made: float | None = None, *runs: Run, **fields: Any) -> Observation:
    """The app as it is seen an hour after AT; its pods were made so many minutes after AT."""
    current = Version(hash="h", uid="1", created=AT + made * MINUTE, pod="p") if made is not None else None
    about: dict[str, Any] = {"uid": "1", "created": AT - 999 * MINUTE, "strategy": "canary", "replicas": 1}
    about |= {"release": "r", "pod": "p", "current": current}
    live = Live(**(about | fields))
    return Observation(
        app="chat",
        cluster="c0",
        began=AT + 60 * MINUTE,
        ended=AT + 60 * MINUTE,
        identity="uid",
        live=live,
        runs=runs,
    )


@pytest.mark.parametrize(
    ("found", "minutes"),
    [
        (seen(5), 5),  # new pods
        (seen(5, run(9)), 5),
        (seen(9, run(5)), 5),
        (seen(-30, run(7), run(9)), 7),  # the pods were there before: the first analysis since
        (seen(-30, run(-20), run(9)), 9),
        (seen(-1), -1),  # clocks differ
        (seen(-30), 0),  # nothing new: a policy alone
        (seen(None), 0),
        (seen(-30, run(7, release="other")), 0),
        (seen(-30, run(7, pod="other")), 0),
        (seen(-30, run(7, cluster="other")), 0),
        (seen(300), 0),  # not yet
        (seen(5, current=Version(hash="h", uid="1", created=AT + 5 * MINUTE, pod="other")), 0),
    ],
)
def test_since_when_a_release_is_carried(found: Observation, minutes: float) -> None:
    assert presence.carried(found, "r", "p", AT) == AT + minutes * MINUTE


def test_what_is_of_unknown_age_is_counted_from_the_last_that_was_made() -> None:
    assert presence.carried(seen(-300, run(-200), run(-100)), "r", "p", None) == AT - 100 * MINUTE
    assert presence.carried(seen(None), "r", "p", None) is None


@pytest.mark.parametrize("fields", [{"release": "q"}, {"pod": "q"}, {"leaving": True}])
def test_what_is_not_carried_has_no_time(fields: dict[str, Any]) -> None:
    assert presence.carried(seen(5, **fields), "r", "p", AT) is None


def test_what_was_not_seen_is_neither_there_nor_absent() -> None:
    gone = replace(seen(), live=None)
    assert presence.absent(gone, "uid", AT)
    assert presence.absent(gone, None, None)
    assert presence.carried(gone, "r", "p", AT) is None
    assert not presence.absent(seen(), "uid", AT)
    assert not presence.absent(replace(gone, unread=Unread(reason="Lost", message="")), "uid", AT)
    assert not presence.absent(gone, "another", AT)
    assert not presence.absent(replace(gone, identity=None), None, AT)
    assert not presence.absent(gone, "uid", gone.began)  # it may have been seen before it was taken away
