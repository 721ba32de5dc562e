"""Going back: the same lines of the overlay as they were, whatever the canary was doing."""

from collections.abc import Callable, Mapping
from typing import Any

from app import ANALYSIS, App, measurements
from rig import Member
from rig.kube import Object
from rig.rollouts import HASH_LABEL, canary_weight, observed, phase

from canaryfleet.models.release import Release

Make = Callable[..., App]
ENDLESS = {**ANALYSIS, "minimumSamples": 1_000_000, "count": 100}  # its step analysis goes on and on
LOOKS = 3  # times that the controller looks at a Rollout and leaves it as it is; a revert takes one
WEIGHT = [{"weight": "20%", "for": "manual"}]
KINDS: Mapping[str, list[dict[str, Any]]] = {
    "mirror": [{"mirror": "50%", "for": "manual"}, *WEIGHT],
    "header": [{"header": {"x-group": "internal"}, "for": "manual"}, *WEIGHT],
    "weight": [{"weight": "20%", "for": "10m"}],
    "manual": WEIGHT,
}


def first(make_app: Make, **changes: Any) -> tuple[App, Release]:
    """An app with its first release, synced with pruning. Its pods end gently: no request is lost."""
    gently = {"exposure__idempotent": True, "workload__drain": "5s"}
    app = make_app(**{"analysis": ENDLESS, **gently, **changes})
    app.pruned = True
    release = app.deploy("1.0.0")
    app.serve(release)
    app.until_healthy(release)
    return app, release


def revert(app: App, release: Release, record_property: Callable[[str, object], None], what: str) -> None:
    """Point back, and check that the Rollout is Healthy at once and has run nothing for it."""
    before = {run["metadata"]["name"] for run in app.runs("Step")}
    app.point(release.id)
    with app.member.client.stream(app.host) as calls:
        app.sync()
        applied, asked = app.applied[-1][0], len(app.seen())
        app.until_healthy(release)
        app.member.client.wait_for(app.host, app.who(app.stable))
    since = [seen for seen in app.seen()[asked:] if seen.object["kind"] == "Rollout"]
    assert not app.status.get("abort")
    assert not app.status.get("pauseConditions")
    assert not [run for run in app.runs("Step") if run["metadata"]["name"] not in before]
    # no step of the way back is walked: the weight only falls
    weights = [w for seen in since if (w := canary_weight(seen.object)) is not None]
    assert weights == sorted(weights, reverse=True)
    last = max((call.at for call in calls if call.who != app.who(app.stable)), default=applied)
    record_property(f"seconds until the last answer of the canary after the revert of {what}", last - applied)
    # Git's DestinationRule has no hashes: until the controller has put them back any
    # pod of the app may answer that is still there, also of releases that were reverted before
    versions = {app.who(hash_of(one)) for (kind, _), one in list(app.live.items()) if kind == "ReplicaSet"}
    assert {call.who for call in calls} <= versions, "a request failed"
    app.until_now(lambda: set(app.shares(50)) == {app.who(app.stable)}, "all users are on the old version")
    static = {f"{app.namespace}-{app.name}-primary"}
    assert set(app.routes()) == static


def hash_of(replicas: Object) -> str:
    """The template's hash of a ReplicaSet."""
    return str(replicas["metadata"]["labels"][HASH_LABEL])


def test_a_revert_in_the_middle_of_any_step_serves_everybody_the_old_version_at_once(
    make_app: Make, record_property: Callable[[str, object], None]
) -> None:
    app, release = first(make_app, exposure__steps=KINDS["manual"])
    stable, pods = app.stable, {pod["metadata"]["uid"] for pod in app.pods()}
    for number, (kind, steps) in enumerate(KINDS.items(), 1):
        bad = app.deploy(f"1.{number}.0", exposure__steps=steps)
        app.serve(bad)
        app.until_new(bad)
        app.until_paused()
        if kind == "header":
            app.until_now(lambda: any("-header" in name for name in app.routes()), "the header's route")
        revert(app, release, record_property, kind)
        assert app.stable == stable
    assert pods <= {pod["metadata"]["uid"] for pod in app.pods()}, "stable pods were restarted"


def test_a_revert_while_an_analysis_measures_ends_it_and_starts_no_other(
    make_app: Make, record_property: Callable[[str, object], None]
) -> None:
    app, release = first(make_app, exposure__steps=[{"weight": "20%", "for": "1s"}])
    bad = app.deploy("1.1.0")
    app.serve(bad)
    app.until_new(bad)
    app.until_run("Step", "Running")
    app.measured("Step", 2)
    revert(app, release, record_property, "analysis")
    app.until_now(
        lambda: all(
            run["status"]["phase"] != "Running"
            for run in app.runs()
            if run["metadata"].get("ownerReferences")
        ),
        "no analysis is left",
    )


def test_a_revert_after_an_abort_clears_it_and_the_next_release_runs_its_steps(
    make_app: Make, record_property: Callable[[str, object], None]
) -> None:
    app, release = first(make_app, exposure__steps=[{"weight": "20%", "for": "3s"}], analysis=ANALYSIS)
    bad = app.deploy("1.1.0")
    app.serve(bad, errors=0.5)
    app.until_aborted()
    app.until_now(lambda: phase(app.rollout) == "Degraded", "Degraded")
    revert(app, release, record_property, "an aborted canary")
    app.serve(bad, per_second=0)
    good = app.deploy("1.2.0")
    app.serve(good)
    app.until_new(good)
    app.until_healthy(good)
    steps = app.runs("Step", app.stable)
    assert [run["status"]["phase"] for run in steps] == ["Successful"]
    assert measurements(steps[0])


def test_a_revert_after_an_inconclusive_pause_needs_nobody_in_the_cluster(
    make_app: Make, record_property: Callable[[str, object], None]
) -> None:
    analysis = {**ANALYSIS, "count": 3}
    app, release = first(make_app, exposure__steps=[{"weight": "20%", "for": "3s"}], analysis=analysis)
    unclear = app.deploy("1.1.0")
    app.serve(unclear, errors=0.02)
    app.until_paused("InconclusiveAnalysisRun")
    revert(app, release, record_property, "an inconclusive canary")


def test_two_releases_back_is_as_fast_as_one(
    make_app: Make, record_property: Callable[[str, object], None]
) -> None:
    quick = [{"weight": "50%", "for": "2s"}]
    app, oldest = first(make_app, exposure__steps=quick, analysis={"metrics": []})
    for version in ("1.1.0", "1.2.0"):
        app.until_healthy(app.deploy(version))
    newest, since = app.stable, len(app.seen())
    app.point(oldest.id)
    app.sync()
    app.until_healthy(oldest)
    assert app.stable != newest
    assert not app.runs("Step")
    # all steps are behind it at once; the weight may still follow the pods as they get ready
    back = [seen.object for seen in app.seen()[since:] if seen.object["kind"] == "Rollout"]
    assert "Paused" not in {phase(rollout) for rollout in back}
    record_property("seconds for two releases back", app.seen()[-1].at - app.applied[-1][0])


def test_other_replicas_in_the_change_of_a_revert_leave_argo_rollouts_1_9_aborted_until_they_are_back(
    make_app: Make, member: Member
) -> None:
    # why canaryfleet's own pointer move never brings other replicas (test_live_settings.py)
    app, release = first(make_app, exposure__steps=[{"weight": "20%", "for": "3s"}], analysis=ANALYSIS)
    bad = app.deploy("1.1.0")
    app.serve(bad, errors=0.5)
    app.until_aborted()
    app.until_now(lambda: phase(app.rollout) == "Degraded", "Degraded")
    stable = app.stable
    app.point(release.id)
    objects = app.built()
    (rollout,) = (one for one in objects if one["kind"] == "Rollout")
    rollout["spec"]["replicas"] = 6
    app.sync(objects)
    if member.rollouts == "1.9":
        app.until_now(lambda: observed(app.rollout), "the controller has seen it")
        app.until_now(lambda: app.current == stable or app.status.get("abort"), "it has decided")
        for _ in range(LOOKS):
            app.look_again()
        app.catch_up()
        assert app.status.get("abort")
        assert phase(app.rollout) == "Degraded"
        assert len(app.pods(stable)) == 2
        app.sync()
    app.until_healthy(release)
    assert not app.status.get("abort")


def test_a_policy_only_release_on_an_aborted_cluster_sends_users_to_the_bad_version_again(
    make_app: Make,
) -> None:
    # why an aborted cluster is never given another policy of the same workload
    app, _ = first(make_app, exposure__steps=[{"weight": "20%", "for": "3s"}], analysis=ANALYSIS)
    stable = app.stable
    bad = app.deploy("1.1.0")
    app.serve(bad, errors=0.5)
    canary = app.until_new(bad)
    app.until_aborted()
    app.until_now(lambda: canary_weight(app.rollout) == 0, "no weight")
    app.deploy("1.1.1", image=False, exposure__steps=[{"weight": "50%", "for": "10m"}], analysis__metrics=[])
    app.until_weight(50)
    assert not app.status.get("abort")
    assert app.current == canary != stable
    app.until_now(lambda: app.shares(20)[app.who(canary)], "users are on the bad version")
