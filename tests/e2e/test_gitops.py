"""What a GitOps tool prunes, and what is deleted under a running canary; a revert heals all of it."""

import itertools
from collections.abc import Callable
from typing import Any

from app import App
from rig.kube import Object
from rig.rollouts import API, HASH_LABEL, canary_weight, phase
from rig.traffic import ISTIO_API

from canaryfleet.models.release import Release
from conftest import NEWEST, alternating

Make = Callable[..., App]
MANUAL = [{"weight": "20%", "for": "manual"}, {"weight": "60%", "for": "2s"}]
PROMPTS = {"workload__prompts": ["system.md"]}
NAMED = {"Service": "{}-stable", "VirtualService": "{}", "AnalysisTemplate": ""}
RETRY = 60.0  # an invalid Rollout is looked at again every 20 s


def prompt(app: App, text: str) -> None:
    """What the pods mount."""
    app.write("system.md", text)


def started(make_app: Make, **changes: Any) -> tuple[App, Release, Release]:
    """An app with prompts whose second release waits at 20 %; every sync prunes."""
    app = make_app(**{"exposure__steps": MANUAL, **PROMPTS, **changes})
    app.pruned = True
    prompt(app, "You are helpful.")
    first = app.deploy("1.0.0")
    app.serve(first)
    app.until_healthy(first)
    prompt(app, "You are brief.")
    second = app.deploy("1.1.0")
    app.serve(second)
    app.until_new(second)
    app.until_paused()
    return app, first, second


def mounted(pod: Object) -> set[str]:
    """The ConfigMaps that a pod mounts: without one of them a kubelet never starts it."""
    volumes = pod["spec"].get("volumes", [])
    return {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}


def check_mounts(app: App) -> None:
    """A pod of what is stable or rolled out, should it restart, finds what it mounts."""
    for template in (app.stable, app.current):
        for pod in app.pods(template):
            assert mounted(pod)
            assert mounted(pod) <= config_maps(app)


def config_maps(app: App) -> set[str]:
    """The ConfigMaps that are in the namespace."""
    listed = app.kube.items_at(f"/api/v1/namespaces/{app.namespace}/configmaps")
    return {one["metadata"]["name"] for one in listed}


def invalid(app: App) -> str:
    """Why the controller refuses the Rollout."""
    conditions = app.status.get("conditions", [])
    return next(
        (c["message"] for c in conditions if c["type"] == "InvalidSpec" and c["status"] == "True"), ""
    )


def test_stable_pods_that_restart_in_mid_canary_find_the_configuration_of_their_version(
    make_app: Make,
) -> None:
    app, _, second = started(make_app)
    app.sync()  # prunes what the overlay no longer lists
    (old,) = mounted(app.pods(app.stable)[0])
    (new,) = mounted(app.pods(app.current)[0])
    assert old != new
    lost = app.pods(app.stable)[0]
    app.prune("pod", lost["metadata"]["name"])
    app.until_now(
        lambda: (
            len(app.pods(app.stable)) == 2
            and lost["metadata"]["uid"] not in {pod["metadata"]["uid"] for pod in app.pods()}
        ),
        "another stable pod",
    )
    check_mounts(app)
    # Once another release has taken over and its predecessor is the fallback, the oldest may go.
    app.promote()
    app.until_healthy(second)
    prompt(app, "You are silent.")
    third = app.release("1.2.0")
    pruned = app.sync()
    assert any(path.endswith(f"/configmaps/{old}") for path in pruned)
    app.until_new(third)
    app.until_paused()
    check_mounts(app)


def test_a_pointer_move_that_prunes_as_argo_cd_does_leaves_the_rollout_valid(make_app: Make) -> None:
    app = make_app(exposure__steps=[{"weight": "20%", "for": "manual"}])
    app.pruned = True
    first = app.deploy("1.0.0")
    app.until_healthy(first)
    # other templates by name: the old ones are deleted before the Rollout stops naming them
    second = app.release("1.1.0", analysis__interval="1s")
    pruned = app.sync()
    assert any("/analysistemplates/" in path for path in pruned)
    app.until_new(second)
    app.until_paused()
    assert not invalid(app)


@alternating("kind", NAMED)
def test_what_is_deleted_under_a_canary_freezes_it_and_the_next_sync_frees_it(
    make_app: Make, kind: str, record_property: Callable[[str, object], None]
) -> None:
    app, _, second = started(make_app)
    share = canary_weight(app.rollout)
    names = [one["metadata"]["name"] for one in app.built() if one["kind"] == kind]
    for name in names if kind == "AnalysisTemplate" else [NAMED[kind].format(app.name)]:
        app.prune(kind.lower(), name)
    resume(app)  # nothing wakes the controller but the Rollout
    app.until_woken(lambda: bool(invalid(app)), f"InvalidSpec without its {kind}")
    record_property(f"what is said without its {kind}", invalid(app))
    assert phase(app.rollout) == "Degraded"
    assert not app.status.get("abort")
    assert canary_weight(app.rollout) == share
    app.sync()
    app.until_now(lambda: not invalid(app), "valid again", RETRY)
    app.until_now(lambda: goes_on(app), "it goes on", RETRY)
    app.until_healthy(second)


def resume(app: App) -> None:
    """What a person does to end a pause; it is not waited for, since nothing may come of it."""
    app.kube.patch_at(
        f"{API}/namespaces/{app.namespace}/rollouts/{app.name}/status", {"status": {"pauseConditions": None}}
    )


def goes_on(app: App) -> bool:
    """Past the pause; a resume that was lost is given again."""
    if any(p["reason"] == "CanaryPauseStep" for p in app.status.get("pauseConditions") or []):
        resume(app)
    return bool((app.status.get("currentStepIndex") or 0) > 1)


def test_a_missing_destination_rule_is_said_by_no_condition_and_the_canary_stands_still(
    make_app: Make,
) -> None:
    app, _, second = started(make_app)
    known = len(app.seen())
    app.prune("destinationrule", app.name)
    resume(app)
    app.until_woken(lambda: complaint(app), "an event says it")
    app.catch_up()
    seen = [seen.object for seen in app.seen()[known:] if seen.object["kind"] == "Rollout"]
    said = [one for rollout in (*seen, app.rollout) for one in rollout["status"]["conditions"]]
    assert said
    assert not [one for one in said if one["type"] == "InvalidSpec" or "destinationrule" in str(one).lower()]
    assert {phase(rollout) for rollout in (*seen, app.rollout)} <= {"Paused", "Progressing"}
    assert canary_weight(app.rollout) == 20
    app.sync()
    # the controller waits twice as long after each failure: about as long again as the rule was away
    app.until_woken(lambda: goes_on(app), "it goes on")
    app.until_healthy(second)


@NEWEST
def test_a_sync_takes_the_hashes_out_of_the_destination_rule_until_the_controller_puts_them_back(
    make_app: Make,
) -> None:
    app, _, _ = started(make_app)
    path = f"{ISTIO_API}/namespaces/{app.namespace}/destinationrules/{app.name}"
    known = app.kube.raw_json(path)
    hashes = {"stable": app.stable, "canary": app.current}
    assert selected(known) == hashes
    app.apply()
    app.until_now(lambda: selected(app.kube.raw_json(path)) == hashes, "the hashes are back")
    since = f"{path.rpartition('/')[0]}?resourceVersion={known['metadata']['resourceVersion']}"
    states = [selected(event["object"]) for event in itertools.islice(app.kube.watch(since, 30), 2)]
    assert states == [{"stable": "", "canary": ""}, hashes]


def selected(rule: Object) -> dict[str, str]:
    """The hash of the pods that each subset of a DestinationRule selects; "" where it selects all."""
    return {one["name"]: one.get("labels", {}).get(HASH_LABEL, "") for one in rule["spec"]["subsets"]}


def complaint(app: App) -> str:
    """What an event of the namespace says of the DestinationRule."""
    events = app.kube.items_at(f"/api/v1/namespaces/{app.namespace}/events")
    return next((e["message"] for e in events if "DestinationRule" in e.get("message", "")), "")


def test_a_revert_heals_a_canary_under_which_everything_was_deleted(make_app: Make) -> None:
    app, first, _ = started(make_app)
    stable = app.stable
    kinds = {"AnalysisTemplate", "Service", "VirtualService", "DestinationRule"}
    for one in app.built():
        if one["kind"] in kinds:
            app.prune(one["kind"].lower(), one["metadata"]["name"])
    resume(app)
    app.until_woken(lambda: bool(invalid(app)), "InvalidSpec")
    app.point(first.id)
    app.sync()
    app.until_healthy(first)
    assert app.stable == stable
    assert not invalid(app)
    app.member.client.wait_for(app.host, app.who(stable))
    app.until_now(lambda: set(app.shares(50)) == {app.who(stable)}, "all users are on the old version")
