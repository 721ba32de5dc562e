"""What the controllers do with canaries that canaryfleet never writes: scale, abort, pause, errors, strangers.

They are written by hand, some in each namespace, and wait at a pause without an end.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import zip_longest

import runs
from app import LIMIT, App
from byhand import (
    Change,
    hashes,
    invalid,
    made,
    mesh,
    replicas,
    rollout,
    routed,
    second,
    settled,
    slug,
    spec,
    stable,
    stepped,
)
from driving import MANUAL, UNMEASURED, stop_at
from rig import wait_until
from rig.kube import Object
from rig.rollouts import API, HASH_LABEL, canary_weight, observed, phase

from conftest import alternating

PODS = 4
STOP: Object = {"pause": {}}
DEADLINE = "scale-down-deadline"


def of(change: Change, pods: int = 1) -> Change:
    """Change a Rollout that has pods."""

    def both(one: Object) -> None:
        change(one)
        one["spec"]["replicas"] = pods

    return both


def at_the_stop(app: App) -> bool:
    """Whether a Rollout waits in its pause."""
    reasons = [one["reason"] for one in app.status.get("pauseConditions") or []]
    return observed(app.rollout) and reasons == ["CanaryPauseStep"]


def until_at_the_stop(apps: dict[str, App]) -> None:
    """Wait until all canaries are at their pause."""
    first = next(iter(apps.values()))
    first.until_now(lambda: all(at_the_stop(app) for app in apps.values()), "all are at their stop")
    first.catch_up()


# ---- how many pods a canary has beside its weight

BESIDE: dict[str, tuple[list[Object], tuple[int, int]]] = {
    "replicas": ([{"setWeight": 50, "setCanaryScale": {"replicas": 1}}], (50, 1)),
    "more replicas": ([{"setWeight": 25, "setCanaryScale": {"replicas": 3}}], (25, 3)),
    "weight": ([{"setWeight": 50, "setCanaryScale": {"weight": 25}}], (50, 1)),
    "replicas before weight": (
        [{"setWeight": 50, "setCanaryScale": {"weight": 25, "replicas": 3}}],
        (50, 3),
    ),
    "match before replicas and weight": (
        [{"setWeight": 50, "setCanaryScale": {"weight": 25, "replicas": 3, "matchTrafficWeight": True}}],
        (50, 2),
    ),
    "a scale stays": ([{"setCanaryScale": {"replicas": 3}}, {"setWeight": 25}], (25, 3)),
    "until the next": (
        [
            {"setCanaryScale": {"replicas": 3}},
            {"setCanaryScale": {"matchTrafficWeight": True}},
            {"setWeight": 25},
        ],
        (25, 1),
    ),
}
"""Steps, and the weight and the pods of the canary after them, of four."""


def test_the_scale_of_a_step_counts_the_pods_and_its_weight_the_requests(
    make_app: Callable[..., App],
) -> None:
    app = make_app()
    rollouts = {
        slug(name): rollout(app, slug(name), of(routed(*steps, STOP), PODS))
        for name, (steps, _) in BESIDE.items()
    }
    app.apply([one for name in rollouts for one in mesh(app, name)])
    apps = stable(app, rollouts)
    app.apply([second(one) for one in rollouts.values()])
    until_at_the_stop(apps)
    found = {
        name: (canary_weight(apps[slug(name)].rollout), replicas(apps[slug(name)], apps[slug(name)].current))
        for name in BESIDE
    }
    assert found == {name: outcome for name, (_, outcome) in BESIDE.items()}


# ---- how long the pods of an aborted canary stay

SCALED: list[Object] = [{"setCanaryScale": {"replicas": 1}}, {"setWeight": 50}, STOP]
DELAYS: dict[str, tuple[Change, int | None]] = {
    "default": (routed({"setWeight": 50}, STOP), 30),
    "short": (routed({"setWeight": 50}, STOP, abortScaleDownDelaySeconds=2), 2),
    "none": (routed({"setWeight": 50}, STOP, abortScaleDownDelaySeconds=0), None),
    "scaled": (routed(*SCALED, abortScaleDownDelaySeconds=0), None),
    "scaled-late": (routed(SCALED[1], SCALED[0], STOP, abortScaleDownDelaySeconds=0), None),
    "unrouted": (stepped({"setWeight": 50}, STOP), None),
}
"""Rollouts, and how many seconds after an abort their canary's pods end by their deadline."""
GONE = {"short", "none", "scaled-late", "unrouted"}
LATE = 20  # seconds that a busy controller may take from the abort to the deadline that it writes


def test_an_aborted_canary_keeps_its_pods_for_the_delay_or_for_good(make_app: Callable[..., App]) -> None:
    app = make_app()
    rollouts = {name: rollout(app, name, of(change, 2)) for name, (change, _) in DELAYS.items()}
    app.apply([one for name in rollouts for one in mesh(app, name)])
    apps = stable(app, rollouts)
    app.apply([second(one) for one in rollouts.values()])
    until_at_the_stop(apps)
    asked = datetime.now(
        UTC
    )  # abortedAt may be later than the deadline's reckoning: a status that is lost is made anew
    for one in apps.values():
        one.kube.patch_at(f"{one._path}/status", {"status": {"abort": True}})
    app.until_woken(lambda: all(phase(one.rollout) == "Degraded" for one in apps.values()), "all are aborted")
    app.until_now(lambda: all(left(apps[name]) == 0 for name in GONE), "the pods of some are gone")
    app.until_now(lambda: bool(deadlines(apps["default"])), "the default's deadline is written")
    apps["scaled"].look_again()
    # by now those of `default` may have gone at their deadline
    assert {name for name, one in apps.items() if name != "default" and not left(one)} == GONE
    for name, (_, seconds) in DELAYS.items():
        found = deadlines(apps[name])
        if seconds is None:
            assert found == set(), name
        else:
            (deadline,) = found
            aborted = datetime.fromisoformat(apps[name].status["abortedAt"])
            assert deadline - asked >= timedelta(seconds=seconds - 1), name
            assert deadline - aborted <= timedelta(seconds=seconds + LATE), name


def left(app: App) -> int:
    """How many pods the canary is to have."""
    return replicas(app, app.current)


def deadlines(app: App) -> set[datetime]:
    """All ends that were ever written on the canary's ReplicaSet."""
    name = f"{app.name}-{app.current}"
    written = [
        seen.object["metadata"]["annotations"].get(DEADLINE)
        for seen in app.seen()
        if seen.object["kind"] == "ReplicaSet" and seen.object["metadata"]["name"] == name
    ]
    return {datetime.fromisoformat(text) for text in written if text}


# ---- a Rollout that a person paused


def test_a_rollout_that_a_person_paused_stands_still_and_a_promotion_meanwhile_is_forgotten(
    make_app: Callable[..., App],
) -> None:
    app = make_app()
    names = ("before", "within", "promoted")
    rollouts = {name: rollout(app, name, of(routed({"setWeight": 50}, STOP), 2)) for name in names}
    app.apply([one for name in rollouts for one in mesh(app, name)])
    apps = stable(app, rollouts)
    before, *later = apps.values()

    app.apply([second(paused(rollouts["before"])), *(second(rollouts[one.name]) for one in later)])
    app.until_woken(lambda: still(before), "it is paused before its canary")
    until_at_the_stop({one.name: one for one in later})
    app.apply([paused(second(rollouts[one.name])) for one in later])
    app.until_woken(lambda: all(map(still, apps.values())), "the others are paused within their canary")
    assert [one.status["currentStepIndex"] for one in apps.values()] == [0, 1, 1]
    promoted = apps["promoted"]
    app.kube.patch_at(f"{promoted._path}/status", {"status": {"pauseConditions": None}})
    for one in apps.values():
        one.look_again()
        one.catch_up()
        assert still(one)
    assert [bool(one.status.get("pauseConditions")) for one in apps.values()] == [False, True, False]
    assert [(canary_weight(one.rollout) or 0, replicas(one, one.current)) for one in apps.values()] == [
        (0, 0),
        (50, 1),
        (50, 1),
    ]

    app.apply([second(one) for one in rollouts.values()])
    until_at_the_stop(apps)
    assert [canary_weight(one.rollout) for one in apps.values()] == [50] * 3


def paused(one: Object) -> Object:
    """The same Rollout, paused by a person."""
    return {**one, "spec": {**one["spec"], "paused": True}}


def still(app: App) -> bool:
    """Whether the controller says that it waits for a person."""
    return (
        observed(app.rollout)
        and phase(app.rollout) == "Paused"
        and app.status.get("message") == "manually paused"
    )


# ---- what a refused Rollout says of itself


def test_a_rollout_that_is_refused_in_mid_canary_says_so_beside_old_facts_and_goes_on_when_it_is_mended(
    make_app: Callable[..., App],
) -> None:
    app = make_app()
    good = rollout(app, "chat", of(routed({"setWeight": 50}, STOP), 2))
    app.apply(mesh(app, "chat"))
    (one,) = stable(app, {"chat": good}).values()
    app.apply([second(good)])
    until_at_the_stop({"chat": one})
    one.until_woken(lambda: "RolloutPaused" in reasons(one), "its conditions say that it is paused")
    one.catch_up()
    was = one.status
    bad = third(good)
    bad["spec"]["strategy"]["canary"]["steps"][0]["setWeight"] = 101
    app.apply([bad])
    app.until_now(lambda: bool(invalid(app, "chat")), "it is refused")
    one.catch_up()
    now = one.status
    assert now["phase"] == "Degraded"
    assert now["message"].startswith("InvalidSpec: ")
    assert "SetWeight needs to be between 0 and 100" in now["message"]
    assert observed(one.rollout), "the generation is the refused one's"
    assert one.rollout["metadata"]["generation"] > int(was["observedGeneration"])
    for key in ("currentPodHash", "stableRS", "currentStepIndex", "pauseConditions", "canary"):
        assert now[key] == was[key], f"{key} is the accepted one's"
    (condition,) = [c for c in now["conditions"] if c["type"] == "InvalidSpec"]
    assert (condition["status"], condition["reason"]) == ("True", "InvalidSpec")
    others = [[c for c in status["conditions"] if c["type"] != "InvalidSpec"] for status in (was, now)]
    assert others[0] == others[1], "what else it says stands as it was"
    assert len(templates(app)) == 2, "nothing is made of what is refused"

    app.apply([third(good)])
    app.until_now(lambda: at_the_stop(one) and one.current != was["currentPodHash"], "it went on")
    assert invalid(app, "chat") == ""
    assert one.stable == was["stableRS"]
    assert len(templates(app)) == 3


def reasons(app: App) -> set[str]:
    """The reasons of the Rollout's conditions; they are written after the pause itself."""
    return {
        condition["reason"] for condition in app.status["conditions"] if condition["type"] == "Progressing"
    }


def third(one: Object) -> Object:
    """The same Rollout with yet another template."""
    fresh = second(one)
    fresh["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/any:3"
    return fresh


def templates(app: App) -> set[str]:
    """The templates that have a ReplicaSet."""
    with app._news:
        found = [one for (kind, _), one in app.live.items() if kind == "ReplicaSet"]
    return {one["metadata"]["labels"][HASH_LABEL] for one in found}


# ---- routes that hold more than the two


def shares(name: str, *legs: tuple[str, int]) -> Object:
    """A VirtualService's spec with these subsets and weights."""
    route = [{"destination": {"host": name, "subset": subset}, "weight": weight} for subset, weight in legs]
    return {"hosts": [name], "http": [{"name": "primary", "route": route}]}


OURS = [("stable", 80), ("canary", 20)]
KEEPS = {"additionalSubsetNames": ["other"]}
STRANGERS: dict[
    str, tuple[Object, list[tuple[str, int]], list[tuple[str, int]], list[list[tuple[str, int]]]]
] = {
    "last": ({}, [("stable", 70), ("canary", 20), ("other", 10)], OURS, []),
    "first": (
        {},
        [("other", 10), ("stable", 70), ("canary", 20)],
        OURS,
        [[("stable", 70), ("canary", 80)]],
    ),
    "weightless": ({}, [("stable", 70), ("canary", 30), ("other", 0)], [*OURS, ("other", 0)], []),
    "known": (
        KEEPS,
        [("stable", 30), ("canary", 60), ("other", 10)],
        [("stable", 70), ("canary", 20), ("other", 10)],
        [],
    ),
}
"""More of the DestinationRule, the route as it is applied at a weight of 20, how it ends, and how it is in between."""


def test_what_else_a_route_of_the_rollout_leads_to_is_taken_out(make_app: Callable[..., App]) -> None:
    app = make_app()
    rollouts = {}
    for name, (more, *_) in STRANGERS.items():
        rule = {"name": name, "stableSubsetName": "stable", "canarySubsetName": "canary", **more}
        istio = {"virtualService": {"name": name, "routes": ["primary"]}, "destinationRule": rule}
        rollouts[name] = rollout(app, name, of(routed({"setWeight": 20}, STOP, istio=istio)))
        app.apply(mesh(app, name, others=("other",)))
    apps = stable(app, rollouts)
    app.apply([second(one) for one in rollouts.values()])
    until_at_the_stop(apps)
    kept = {name: set(hashes(app, "DestinationRule", name)) for name in STRANGERS}
    since = len(app.seen())
    for name, (_, applied, _, _) in STRANGERS.items():
        app.apply([made(app, "networking.istio.io/v1", "VirtualService", name, shares(name, *applied))])
    app.until_now(
        lambda: all(legs(app.object("VirtualService", name)) == one[2] for name, one in STRANGERS.items()),
        "the routes are as the controller wants them",
    )
    ways = {
        name: [
            legs(seen.object)
            for seen in app.seen()[since:]
            if (seen.object["kind"], seen.object["metadata"]["name"]) == ("VirtualService", name)
        ]
        for name in STRANGERS
    }
    assert ways == {
        name: [applied, *between, ended] for name, (_, applied, ended, between) in STRANGERS.items()
    }
    assert all(found == {"stable", "canary"} for found in kept.values()), (
        "other subsets are out of the DestinationRule"
    )


def legs(service: Object) -> list[tuple[str, int]]:
    """The subsets and weights of a VirtualService's route."""
    return [
        (one["destination"]["subset"], one.get("weight", 0)) for one in service["spec"]["http"][0]["route"]
    ]


# ---- how many runs are kept

CONDITIONS = {
    "Successful": ("true", "false"),
    "Failed": ("false", "true"),
    "Inconclusive": ("false", "false"),
    "Error": ("no such text", "false"),
}
LIMITS: dict[str, tuple[Object, dict[bool, int]]] = {
    "default": ({}, {True: 5, False: 5}),
    "limited": (
        {"analysis": {"successfulRunHistoryLimit": 2, "unsuccessfulRunHistoryLimit": 1}},
        {True: 2, False: 1},
    ),
}
"""Fields of a Rollout, and how many runs of it are kept that were successful, and that were not."""
STRAY = "of-no-template"


@alternating("limits", LIMITS)
def test_the_youngest_runs_are_kept_so_many_whatever_their_type_and_those_without_pods_never(
    make_app: Callable[..., App], limits: str
) -> None:
    """The runs are given to the Rollout when they have ended: it ends those that it does not know.

    No two of one kind are of the same second: among those the controller takes any, and while its cache still has what
    it deleted, it may take another the next time, and so one too many.
    """
    app = make_app()
    fields, kept = LIMITS[limits]
    (one,) = stable(app, {"chat": rollout(app, "chat", of(spec(**fields)))}).values()
    outcomes = {STRAY: "Failed"}
    for age in ("old", "young"):
        made_now = {
            f"{age}-{kind.lower()}-{outcome.lower()}-{number}": outcome
            for kind in ("Step", "Background")
            for outcome in CONDITIONS
            for number in range(2 if outcome == "Successful" else 1)
        }
        outcomes |= made_now
        fine = [name for name, outcome in made_now.items() if outcome == "Successful"]
        others = [name for name in made_now if name not in fine]
        for pair in zip_longest(fine, others):
            together = [name for name in pair if name]
            for name in together:
                measured(app, name, outcomes[name])
            second_after(app, together)
    measured(app, STRAY, outcomes[STRAY])
    assert runs.until_ended(app, outcomes) == outcomes
    for name in outcomes:
        give(one, name, "0" if name == STRAY else one.stable)
    one.until_woken(
        lambda: Counter(outcomes[name] == "Successful" for name in there(app)) == kept,
        "the rest is deleted",
    )
    one.look_again()
    one.catch_up()
    found = there(app)
    assert Counter(outcomes[name] == "Successful" for name in found) == kept
    assert STRAY not in found
    for good, count in kept.items():
        youngest = {
            n
            for n, outcome in outcomes.items()
            if n.startswith("young") and (outcome == "Successful") is good
        }
        ours = {name for name in found if (outcomes[name] == "Successful") is good}
        assert len(ours & youngest) == min(count, len(youngest))


def measured(app: App, name: str, outcome: str) -> None:
    """A run that ends so, and is nobody's."""
    metric = runs.metric("vector(1)", app.fleet.prometheus, CONDITIONS[outcome], consecutiveErrorLimit=0)
    runs.start(app, name, {"metrics": [metric]})


def second_after(app: App, names: list[str]) -> None:
    """Wait until what is made has a later time than these runs: Kubernetes writes whole seconds."""
    app.until_now(lambda: set(names) <= there(app), "they are seen")
    last = max(
        datetime.fromisoformat(app.object("AnalysisRun", n)["metadata"]["creationTimestamp"]) for n in names
    )
    wait_until(lambda: datetime.now(UTC) >= last + timedelta(seconds=1), "another second", LIMIT)


def give(app: App, name: str, template: str) -> None:
    """Make a run one of the Rollout's, as the controller makes them."""
    owner = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "name": app.name,
        "uid": app.rollout["metadata"]["uid"],
        "controller": True,
    }
    kind = "Step" if "-step-" in name else "Background"
    labels = {HASH_LABEL: template, "rollout-type": kind}
    path = f"{API}/namespaces/{app.namespace}/analysisruns/{name}"
    app.kube.patch_at(path, {"metadata": {"labels": labels, "ownerReferences": [owner]}})


def there(app: App) -> set[str]:
    """The runs that are there."""
    with app._news:
        return {name for kind, name in app.live if kind == "AnalysisRun"}


# ---- which Service and which subset leads where

SPLITS = {"subset": "DestinationRule {}", "host": "Service chat-{}"}


@alternating("split", SPLITS)
def test_one_service_or_subset_leads_to_the_canary_and_all_to_the_new_version_when_it_is_complete(
    make_app: Callable[..., App], split: str
) -> None:
    legs = {"stable": SPLITS[split].format("stable"), "canary": SPLITS[split].format("canary")}
    app = make_app(
        analysis=UNMEASURED,
        workload__replicas=1,
        exposure__split=split,
        exposure__steps=[{"weight": "50%", "for": MANUAL}],
    )
    app.deploy("1.0.0")
    app.until_healthy()
    first = app.stable
    assert led(app) == {legs["stable"]: first, legs["canary"]: first, **beside(split, first)}
    release = app.deploy("1.1.0")
    stop_at(app, release, 0)
    fresh = app.current
    assert led(app) == {legs["stable"]: first, legs["canary"]: fresh, **beside(split, first)}
    app.promote()
    app.until_healthy(release)
    wait_until(
        lambda: led(app) == {legs["stable"]: fresh, legs["canary"]: fresh, **beside(split, fresh)},
        "all lead to the new version",
        LIMIT,
    )
    release = app.deploy("1.2.0")
    stop_at(app, release, 0)
    bad = app.current
    assert led(app)[legs["canary"]] == bad
    app.abort()
    if split == "subset":
        app.look_again()
        assert replicas(app, bad) == 1
        assert led(app) == {legs["stable"]: fresh, legs["canary"]: bad, **beside(split, fresh)}
    else:
        app.until_now(lambda: replicas(app, bad) == 0, "its pods are gone")
        wait_until(
            lambda: led(app) == {legs["stable"]: fresh, legs["canary"]: fresh, **beside(split, fresh)},
            "all lead to the stable version again",
            LIMIT,
        )


def beside(split: str, template: str) -> dict[str, str]:
    """Where the Services lead that take no part in the split: the app's own has no hash, and the stable one has."""
    return {"Service chat": ""} | ({"Service chat-stable": template} if split == "subset" else {})


def led(app: App) -> dict[str, str]:
    """Where each Service and subset of the app leads."""
    found: dict[str, str] = {}
    for one in app.built():
        if one["kind"] in {"Service", "DestinationRule"}:
            found |= {
                f"{one['kind']} {name}": hash_
                for name, hash_ in hashes(app, one["kind"], one["metadata"]["name"]).items()
            }
    return found


def test_ping_and_pong_change_roles_with_each_release_and_lead_where_they_led(
    make_app: Callable[..., App],
) -> None:
    app = make_app()
    names = ("ping", "pong")
    core, port = {"selector": {"all": "yes"}}, {"name": "http", "port": 80}
    services = [made(app, "v1", "Service", name, {**core, "ports": [port]}) for name in names]
    shares = zip(names, (100, 0), strict=True)
    route = [{"destination": {"host": name}, "weight": weight} for name, weight in shares]
    virtual = {"hosts": ["chat"], "http": [{"name": "primary", "route": route}]}
    istio = {"virtualService": {"name": "chat", "routes": ["primary"]}}
    change = routed({"setWeight": 20}, STOP, istio=istio, pingPong={f"{name}Service": name for name in names})
    chat = rollout(app, "chat", of(change))
    app.apply([*services, made(app, "networking.istio.io/v1", "VirtualService", "chat", virtual)])
    (one,) = stable(app, {"chat": chat}).values()
    first = one.stable
    assert roles(one) == ("ping", {"ping": (first, 100), "pong": ("", 0)})
    app.apply([second(chat)])
    until_at_the_stop({"chat": one})
    fresh = one.current
    assert roles(one) == ("ping", {"ping": (first, 80), "pong": (fresh, 20)})
    one.promote()
    app.until_now(lambda: settled(app, "chat") and one.stable == fresh, "it is complete")
    wait_until(
        lambda: roles(one) == ("pong", {"ping": (first, 0), "pong": (fresh, 100)}), "pong has all", LIMIT
    )
    app.apply([third(chat)])
    until_at_the_stop({"chat": one})
    assert roles(one) == ("pong", {"ping": (one.current, 20), "pong": (fresh, 80)})


def roles(app: App) -> tuple[str, dict[str, tuple[str, int]]]:
    """Which of the two is stable, where each leads, and its weight."""
    app.catch_up()
    route = app.object("VirtualService")["spec"]["http"][0]["route"]
    weights = {leg["destination"]["host"]: leg["weight"] for leg in route}
    return str(app.status["canary"]["stablePingPong"]), {
        name: (hashes(app, "Service", name)[name], weight) for name, weight in weights.items()
    }
