"""Takes a canary whose steps wait for a person from stop to stop, and waits until both Envoys follow."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from app import LIMIT, App
from rig import wait_until
from rig.envoy import Envoy, envoys, weights
from rig.kube import Object
from rig.rollouts import observed

from canaryfleet.models.release import Release

UNMEASURED: dict[str, Any] = {"metrics": []}
"""For tests of routing alone: no analysis, so a canary waits for nothing but its pods and the test."""
MANUAL = "manual"
PORT = 80
"""Of the app's Service: the only one that Istio's listener for an HTTP proxy routes, which stands in for a caller
inside the mesh (its virtual hosts of other ports have the port in their domain, but Envoy ignores a host's port)."""
SETTLED = 60  # answers in a row; at a weight of 60 % they are of one version once in 2e13 times


def stop_at(app: App, release: Release, stop: int, timeout: float = LIMIT) -> None:
    """Let the canary of a release go on to its n-th pause (from 0), and wait there."""
    if stop:
        app.promote()
    app.until_now(lambda: _stopped(app, release, stop), f"{release.id} is at its stop {stop}", timeout)


def _stopped(app: App, release: Release, stop: int) -> bool:
    try:
        app.rollout  # noqa: B018
    except AssertionError:
        return False
    if not (app._carries(release) and observed(app.rollout)):
        return False
    steps = app.rollout["spec"]["strategy"]["canary"]["steps"]
    pause = [index for index, step in enumerate(steps) if "pause" in step][stop]
    waiting = any(p["reason"] == "CanaryPauseStep" for p in app.status.get("pauseConditions") or [])
    return waiting and app.status.get("currentStepIndex") == pause


def until_routed(app: App, check: Callable[[dict[str, Object]], object], what: str, host: str = "") -> None:
    """Wait until the routes of the app are right in both Envoys."""

    def all_have_it() -> bool:
        return all(check(envoy.routes(host or internal(app))) for envoy in proxies(app))

    wait_until(all_have_it, f"both Envoys of {app.namespace}: {what}", LIMIT)


def until_share(app: App, percent: int) -> None:
    """Wait until all static routes in both Envoys give the canary this share."""

    def right(routes: dict[str, Object]) -> bool:
        shares = [_canary_share(routes[name]) for name in routes if name.endswith(("-primary", "-newcomer"))]
        return bool(shares) and set(shares) == {percent}

    until_routed(app, right, f"the canary has {percent} %")


def until_route(app: App, kind: str, text: str = "") -> None:
    """Wait until both Envoys have the managed route of a kind (with this text in what it matches)."""
    name = f"{app.namespace}-{app.name}-{kind}"
    until_routed(app, lambda r: name in r and text in str(r[name]["match"]), f"route {kind} {text}")


def until_no_route(app: App, kind: str) -> None:
    """Wait until neither Envoy has the managed route of a kind."""
    name = f"{app.namespace}-{app.name}-{kind}"
    until_routed(app, lambda r: r and name not in r, f"no route {kind}")


def until_all_by(app: App, who: str, host: str = "") -> None:
    """Wait until one backend gives all answers, outside the mesh and inside."""
    hosts = [(host or app.host, False), (host or internal(app), True)]

    def alone() -> bool:
        return all(app.member.client.alone(who, name, SETTLED, within) for name, within in hosts)

    wait_until(alone, f"{who} alone answers", LIMIT)


def internal(app: App) -> str:
    """The app's name inside the mesh."""
    return f"{app.name}.{app.namespace}.svc.cluster.local"


def proxies(app: App) -> tuple[Envoy, ...]:
    """The two Envoys of the app's cluster."""
    return envoys(app.fleet, app.member)


def ask(app: App, requests: int, **headers: str) -> dict[str, Counter[str]]:
    """Who answers requests with these headers, outside the mesh and inside."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    client = app.member.client
    return {
        "gateway": client.shares(app.host, requests, headers=sent),
        "mesh": client.shares(internal(app), requests, headers=sent, inside=True),
    }


def _canary_share(route: Object) -> int:
    found = weights(route)
    return sum(weight for leg, weight in found.items() if leg == "canary" or leg.endswith("-canary"))


def only(counts: Iterable[Counter[str]]) -> set[str]:
    """Everybody who answered."""
    return {who for count in counts for who in count}
