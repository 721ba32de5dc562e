"""The steps of a canary (CF215 to CF219, CF224, CF226)."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.durations import go_duration_seconds
from canaryfleet.engines.argo_rollouts.validate.plain import Object, as_text, as_whole, at, short
from canaryfleet.engines.argo_rollouts.validate.rollout import router_of, steps_of
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, not_one

STEP_KEYS = (
    "setWeight", "pause", "setCanaryScale", "setHeaderRoute", "setMirrorRoute", "analysis", "experiment", "plugin"
)  # fmt: skip


def _step_keys(item: Object, world: World) -> Iterator[Violation]:
    """One key a step (CF215)."""
    for path, step in steps_of(item):
        keys = [key for key, value in step.items() if value is not None]
        unknown = [key for key in keys if key not in STEP_KEYS]
        if unknown:
            remedy = f"one of {', '.join(STEP_KEYS)}"
            yield bad(item, path, "CF215", f"there is no step {short(unknown[0])}", remedy)
        elif len(keys) != 1:
            message = f"a step of {len(keys)} keys: {', '.join(keys)}" if keys else "an empty step"
            yield bad(item, path, "CF215", message, "write one step for each")
        if isinstance(step.get("plugin"), dict) and not step["plugin"].get("name"):
            yield bad(item, (*path, "plugin"), "CF215", "the plugin has no name")


def _weights(item: Object, world: World) -> Iterator[Violation]:
    """setWeight (CF216)."""
    highest = as_whole(router_of(item), "maxTrafficWeight")
    highest = 100 if highest is None else highest
    for path, step in steps_of(item):
        weight = as_whole(step, "setWeight")
        if weight is not None and not 0 <= weight <= highest:
            yield bad(item, (*path, "setWeight"), "CF216", f"{weight} is not 0 to {highest}")


def _pauses(item: Object, world: World) -> Iterator[Violation]:
    """pause.duration (CF217)."""
    for path, step in steps_of(item):
        duration = at(step, "pause", "duration")
        if duration is None or isinstance(duration, bool) or not isinstance(duration, (int, str)):
            continue
        here = (*path, "pause", "duration")
        length = _pause_seconds(duration)
        if length is None:
            message = f"{short(duration)} is not a duration for Argo Rollouts"
            yield bad(item, here, "CF217", message, "seconds, or like 90s, 15m, 24h")
        elif length < 0:
            yield bad(item, here, "CF217", "the pause is negative")
        elif length < 1:
            remedy = "at least 1s, or {} to wait for a person"
            yield bad(item, here, "CF217", f"{short(duration)} is rounded down to no pause", remedy)
        elif length >= 1 << 31:
            yield bad(item, here, "CF217", f"{short(duration)} is too long")


def _pause_seconds(duration: int | str) -> Decimal | None:
    if isinstance(duration, int):
        return Decimal(duration)
    if re.fullmatch(r"[-+]?[0-9]{1,10}", duration):
        return Decimal(duration)
    return go_duration_seconds(duration)


def _canary_scale(item: Object, world: World) -> Iterator[Violation]:
    """setCanaryScale (CF218)."""
    for path, step in steps_of(item):
        scale = step.get("setCanaryScale")
        if not isinstance(scale, dict):
            continue
        here = (*path, "setCanaryScale")
        if router_of(item) is None:
            yield bad(item, here, "CF218", "setCanaryScale needs trafficRouting")
        given = [key for key in ("replicas", "weight") if scale.get(key) is not None]
        given += ["matchTrafficWeight"] if scale.get("matchTrafficWeight") else []
        remedy = "one of matchTrafficWeight: true, replicas and weight"
        yield from not_one(item, here, "CF218", given, "it says no scale", remedy)
        for key in ("replicas", "weight"):
            number = as_whole(scale, key)
            if number is not None and (number < 0 or (key == "weight" and number > 100)):
                yield bad(item, (*here, key), "CF218", f"{number} can't be the canary's {key}")


def _canary_pods(item: Object, world: World) -> Iterator[Violation]:
    """Steps that leave the canary without pods, and what that deletes (CF219, CF224)."""
    if router_of(item) is None:
        return
    weight = 0
    fixed: bool | None = None  # whether an explicit scale has pods; None: it follows the weight
    routes: set[str] = set()
    for path, step in steps_of(item):
        moved = as_whole(step, "setWeight")
        weight = weight if moved is None else moved
        scale = step.get("setCanaryScale")
        if isinstance(scale, dict):
            fixed = _fixed_scale(scale)
            if fixed is None and weight <= 0:
                message = "the weight is still 0, so matchTrafficWeight scales the canary to no pods and deletes its routes"
                remedy = "write it after the first setWeight; use replicas until then"
                yield bad(item, (*path, "setCanaryScale"), "CF219", message, remedy)
                routes.clear()
        up = weight > 0 if fixed is None else fixed
        for key in ("setHeaderRoute", "setMirrorRoute"):
            route = step.get(key)
            if not isinstance(route, dict):
                continue
            if not route.get("match"):
                routes.discard(as_text(route, "name"))
            elif up:
                routes.add(as_text(route, "name"))
            else:
                message = "the canary has no pods at this step, so the route is dropped and never comes back"
                remedy = "put `setCanaryScale: {replicas: 1}` before it"
                yield bad(item, (*path, key), "CF224", message, remedy)
        if routes and not up:
            message = (
                f"no pods are left for the route {short(min(routes))}: it is dropped and never comes back"
            )
            yield bad(item, path, "CF224", message, "keep the canary scaled up, or remove the route first")
            routes.clear()


def _fixed_scale(scale: dict[Any, Any]) -> bool | None:
    """Whether an explicit scale leaves pods; None if the scale follows the weight."""
    if scale.get("matchTrafficWeight") is True:
        return None
    for key in ("replicas", "weight"):
        number = as_whole(scale, key)
        if number is not None:
            return number > 0
    return None


RULES: tuple[Rule, ...] = (
    _step_keys,
    _weights,
    _pauses,
    _canary_scale,
    _canary_pods,
)
