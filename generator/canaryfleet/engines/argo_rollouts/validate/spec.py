"""The Rollout's spec and its strategy, without steps (CF204, CF207 to CF214)."""

import re
from collections.abc import Iterator
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.plain import (
    Object,
    Path,
    as_map,
    as_text,
    as_whole,
    at,
    map_or_none,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.rollout import (
    blue_green_path,
    canary_of,
    canary_path,
    router_of,
    workload_of,
)
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad

NOT_NEGATIVE = (
    *(("spec", field) for field in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")),
    ("spec", "rollbackWindow", "revisions"),
    *(
        ("spec", "strategy", strategy, field)
        for strategy in ("canary", "blueGreen")
        for field in ("abortScaleDownDelaySeconds", "scaleDownDelaySeconds", "scaleDownDelayRevisionLimit")
    ),
    ("spec", "strategy", "canary", "minPodsPerReplicaSet"),
    ("spec", "strategy", "blueGreen", "autoPromotionSeconds"),
    ("spec", "strategy", "blueGreen", "previewReplicaCount")
)  # fmt: skip
ANTI_AFFINITY_FORMS = (
    "preferredDuringSchedulingIgnoredDuringExecution",
    "requiredDuringSchedulingIgnoredDuringExecution",
)
ROUTERS_WITH_SERVICES = ("smi", "apisix", "ambassador", "nginx", "appMesh", "traefik")


def _numbers(item: Object, world: World) -> Iterator[Violation]:
    """Numbers of the spec (CF204)."""
    for path in NOT_NEGATIVE:
        value = as_whole(item, *path)
        if value is not None and value < 0:
            yield bad(item, path, "CF204", f"{path[-1]} is negative")
    deadline = as_whole(item, "spec", "progressDeadlineSeconds")
    deadline = 600 if deadline is None else deadline
    ready = as_whole(item, "spec", "minReadySeconds") or 0
    if 0 <= deadline <= ready:
        message = f"the deadline of {deadline} s is not after minReadySeconds ({ready} s)"
        yield bad(item, ("spec", "progressDeadlineSeconds"), "CF204", message, "raise it")


def _workload_ref(item: Object, world: World) -> Iterator[Violation]:
    """Taking over a Deployment (CF207)."""
    path: Path = ("spec", "workloadRef")
    reference = map_or_none(item, *path)
    if reference is None:
        return
    if at(item, "spec", "template"):
        yield bad(item, ("spec", "template"), "CF207", "a template beside workloadRef", "remove one of them")
    kind, scale_down = as_text(reference, "kind"), reference.get("scaleDown")
    if kind not in ("Deployment", "ReplicaSet", "PodTemplate"):
        remedy = "Deployment, ReplicaSet or PodTemplate"
        yield bad(item, (*path, "kind"), "CF207", f"a {short(kind)} can't be taken over", remedy)
        return
    if scale_down not in (None, "never", "onsuccess", "progressively"):
        remedy = "never, onsuccess or progressively"
        yield bad(item, (*path, "scaleDown"), "CF207", f"{short(scale_down)} does nothing", remedy)
    if workload_of(item, world) is None:
        message = f"there is no {kind} {short(reference.get('name'))} here"
        yield bad(item, (*path, "name"), "CF207", message, "keep it beside the Rollout")


def _strategy(item: Object, world: World) -> Iterator[Violation]:
    """Exactly one strategy (CF208)."""
    strategy = as_map(item, "spec", "strategy")
    given = [name for name in ("canary", "blueGreen") if strategy.get(name) is not None]
    if len(given) != 1:
        message = "both canary and blueGreen are given" if given else "neither canary nor blueGreen is given"
        yield bad(item, ("spec", "strategy"), "CF208", message, "give one of them")


def _same(item: Object, path: Path, code: str, one: str, other: str) -> Violation:
    return bad(item, path, code, f"{one} and {other} are the same", "name two Services")


def _blue_green(item: Object, world: World) -> Iterator[Violation]:
    """Blue-green settings (CF209)."""
    path = blue_green_path()
    settings = map_or_none(item, *path)
    if settings is None:
        return
    active, preview = settings.get("activeService"), settings.get("previewService")
    if not active:
        here = (*path, "activeService")
        yield bad(item, here, "CF209", "activeService is missing", "name the Service of the users")
    elif active == preview:
        yield _same(item, (*path, "previewService"), "CF209", "activeService", "previewService")
    limit = as_whole(settings, "scaleDownDelayRevisionLimit")
    history = as_whole(item, "spec", "revisionHistoryLimit")
    if limit is not None and limit > (10 if history is None else history):
        message = "scaleDownDelayRevisionLimit is above revisionHistoryLimit (default 10)"
        yield bad(item, (*path, "scaleDownDelayRevisionLimit"), "CF209", message, "lower it")
    if settings.get("autoPromotionEnabled") is False and settings.get("autoPromotionSeconds"):
        message = "autoPromotionEnabled: false ignores autoPromotionSeconds"
        yield bad(item, (*path, "autoPromotionSeconds"), "CF209", message, "remove one of them")


def _anti_affinity(item: Object, world: World) -> Iterator[Violation]:
    """antiAffinity (CF210)."""
    for place in (canary_path, blue_green_path):
        path = place("antiAffinity")
        settings = map_or_none(item, *path)
        if settings is None:
            continue
        if sum(settings.get(form) is not None for form in ANTI_AFFINITY_FORMS) != 1:
            remedy = f"one of {' and '.join(ANTI_AFFINITY_FORMS)}"
            yield bad(item, path, "CF210", "antiAffinity has not exactly one form", remedy)
        preferred = settings.get(ANTI_AFFINITY_FORMS[0])
        weight = as_whole(preferred, "weight")
        if preferred is not None and not (weight and 1 <= weight <= 100):
            yield bad(item, (*path, ANTI_AFFINITY_FORMS[0], "weight"), "CF210", "the weight is not 1 to 100")


def _surge(item: Object, world: World) -> Iterator[Violation]:
    """maxSurge and maxUnavailable (CF211)."""
    numbers = []
    for field in ("maxSurge", "maxUnavailable"):
        value = canary_of(item).get(field)
        number = 25 if value is None else _count_or_percent(value)
        if number is None or number < 0:
            message = f"{field}: {short(value)} is neither a count nor a percentage"
            yield bad(item, canary_path(field), "CF211", message, "like 1 or 25%")
        numbers.append(number)
    if numbers == [0, 0]:
        message = "maxSurge and maxUnavailable are both 0"
        yield bad(item, canary_path("maxSurge"), "CF211", message, "let one of them be more")


def _count_or_percent(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value.rstrip("%")) if re.fullmatch(r"[0-9]{1,9}%?", value) else None
    return as_whole(value)


def _services_of_canary(item: Object, world: World) -> Iterator[Violation]:
    """canaryService and stableService (CF212)."""
    settings = canary_of(item)
    canary, stable = settings.get("canaryService"), settings.get("stableService")
    if canary and canary == stable:
        yield _same(item, canary_path("canaryService"), "CF212", "canaryService", "stableService")
    if not _needs_services(settings, router_of(item) or {}):
        return
    for field, service in (("canaryService", canary), ("stableService", stable)):
        if not service:
            message = f"{field} is missing: this traffic routing needs it"
            yield bad(item, canary_path(field), "CF212", message, "name it, or split by subsets")


def _needs_services(settings: dict[Any, Any], router: dict[Any, Any]) -> bool:
    if any(router.get(name) is not None for name in ROUTERS_WITH_SERVICES):
        return True
    if settings.get("pingPong") is not None:
        return False
    istio = router.get("istio")
    return router.get("alb") is not None or (istio is not None and at(istio, "destinationRule") is None)


def _ping_pong(item: Object, world: World) -> Iterator[Violation]:
    """pingPong (CF213)."""
    path = canary_path("pingPong")
    services, router = map_or_none(item, *path), router_of(item)
    if services is None:
        return
    if router is not None and not any(router.get(name) for name in ("alb", "istio", "plugins")):
        yield bad(item, path, "CF213", "pingPong works with Istio, ALB and plugins only")
    ping, pong = services.get("pingService"), services.get("pongService")
    for field, service in (("pingService", ping), ("pongService", pong)):
        if not service:
            yield bad(item, (*path, field), "CF213", f"{field} is missing")
    if ping and ping == pong:
        yield _same(item, (*path, "pongService"), "CF213", "pingService", "pongService")
    if router and router.get("alb") and not at(router, "alb", "rootService"):
        message = "rootService is missing: pingPong with ALB needs it"
        yield bad(item, canary_path("trafficRouting", "alb"), "CF213", message)


def _scaling(item: Object, world: World) -> Iterator[Violation]:
    """Settings that depend on traffic routing (CF214)."""
    settings, router = canary_of(item), router_of(item)
    delay = settings.get("scaleDownDelaySeconds") is not None
    dynamic = settings.get("dynamicStableScale") is True
    if router is None:
        for field, given in (("scaleDownDelaySeconds", delay), ("dynamicStableScale", dynamic)):
            if given:
                yield bad(item, canary_path(field), "CF214", f"{field} needs trafficRouting")
        return
    if delay and dynamic:
        message = "dynamicStableScale and scaleDownDelaySeconds exclude each other"
        yield bad(item, canary_path("dynamicStableScale"), "CF214", message)
    if router.get("maxTrafficWeight") is not None and not (router.get("nginx") or router.get("plugins")):
        path = canary_path("trafficRouting", "maxTrafficWeight")
        yield bad(item, path, "CF214", "maxTrafficWeight is for nginx and plugins only")


RULES: tuple[Rule, ...] = (
    _numbers,
    _workload_ref,
    _strategy,
    _blue_green,
    _anti_affinity,
    _surge,
    _services_of_canary,
    _ping_pong,
    _scaling,
)
