"""The first deployment of an app, what is special to a cluster, and neighbours in a namespace."""

from collections.abc import Callable
from pathlib import Path

from app import ANALYSIS, App
from rig import Fleet, Member
from rig.kube import Object
from rig.rollouts import HASH_LABEL

from conftest import NEWEST

Make = Callable[..., App]
STEPS = [{"weight": "20%", "for": "4s"}]


def test_the_first_release_is_up_at_once_and_its_users_are_served(
    make_app: Make, record_property: Callable[[str, object], None]
) -> None:
    app = make_app(
        exposure__steps=[{"header": {"x-group": "internal"}, "for": "10m"}, {"weight": "1%", "for": "10m"}]
    )
    release = app.deploy("1.0.0")
    start = app.applied[-1][0]
    app.until_healthy(release)
    record_property("seconds from the apply to Healthy, minReadySeconds 5", app.seen()[-1].at - start)
    app.member.client.wait_for(app.host, app.who(app.stable))
    assert not app.runs()
    seen = [seen.object for seen in app.seen() if seen.object["kind"] == "VirtualService"]
    assert {route["name"] for one in seen for route in one["spec"]["http"]} == {
        f"{app.namespace}-{app.name}-primary"
    }
    # whoever asks for the canary gets what there is
    assert set(app.shares(20, headers={"x-group": "internal"})) == {app.who(app.stable)}


@NEWEST
def test_what_is_special_to_a_cluster_reaches_its_pods_and_its_analysis(make_app: Make) -> None:
    override = {"clusters": ["here"], "env": {"MAX_BATCH": "16"}}
    app = make_app(exposure__steps=STEPS, overrides=[override])
    first = app.deploy("1.0.0")
    assert first.clusters["here"].variant
    assert first.clusters["here"].pod != first.workload
    app.serve(first)
    app.until_healthy(first)
    for pod in app.pods():
        environment = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
        assert environment["MAX_BATCH"] == "16"
        stamped = pod["metadata"]["labels"]["service.istio.io/canonical-revision"]
        assert stamped == first.clusters["here"].pod
    # the analysis looks at the pods of this cluster, by what is stamped on them
    second = app.deploy("1.1.0")
    app.serve(second, errors=0.5)
    app.until_new(second)
    app.until_aborted()


def owned(app: App, kind: str) -> list[Object]:
    """What the controller made for this app, not for its neighbour."""
    uid = app.rollout["metadata"]["uid"]
    return [
        one
        for (found, _), one in list(app.live.items())
        if found == kind and uid in {o["uid"] for o in one["metadata"].get("ownerReferences", [])}
    ]


@NEWEST
def test_two_apps_in_a_namespace_do_not_disturb_each_other(
    make_app: Make, keep: Callable[[App], App], fleet: Fleet, member: Member, tmp_path: Path
) -> None:
    waves = [{"name": "all", "minSuccessTime": "4s"}]
    analysis = {**ANALYSIS, "window": "8s"}
    # one's name begins with the other's, as the names of its pods do
    chat = make_app("chat", exposure__steps=STEPS, analysis=analysis, waves=waves)
    edge = keep(
        App(
            fleet,
            member,
            tmp_path / "edge",
            "chat-edge",
            {"exposure__steps": STEPS, "analysis": analysis, "waves": waves},
            chat.namespace,
        )
    )
    apps = (chat, edge)
    for app in apps:
        app.pruned = True
        app.serve(app.deploy("1.0.0"))
    for app in apps:
        app.until_healthy()
        app.member.client.wait_for(app.host, app.who(app.stable))
    stable = edge.stable
    good, bad = chat.deploy("1.1.0"), edge.deploy("1.1.0")
    chat.serve(good)
    edge.serve(bad, errors=0.5)
    chat.until_new(good)
    edge.until_new(bad)
    edge.until_aborted()
    chat.until_healthy(good)
    chat.until_now(lambda: set(chat.shares(50)) == {chat.who(chat.stable)}, "all users on the new version")
    edge.until_now(lambda: set(edge.shares(50)) == {edge.who(stable)}, "all users on the old version")
    assert not chat.status.get("abort")
    assert {run["status"]["phase"] for run in owned(chat, "AnalysisRun")} <= {"Running", "Successful"}
    assert "Failed" in {run["status"]["phase"] for run in owned(edge, "AnalysisRun")}
    for app in apps:
        hashes = {one["metadata"]["labels"][HASH_LABEL] for one in owned(app, "ReplicaSet")}
        assert len(hashes) == 2
    # a prune of one leaves the other alone
    assert not [path for path in chat.sync() if "edge" in path]
    assert not edge.sync()
