"""The Rollout: from the spec's exposure to the controller's strategy and steps.

What the controller does, and this relies on (rollout/ and utils/ of v1.9.2 and v1.10.1):
- a header or mirror route is lost for good while no canary pod is available: pods are scaled up
  before the first of them, at least two, and never with `matchTrafficWeight` before a weight;
- an explicit canary scale stays until told otherwise: before the first weight it is set to that
  weight, or too few pods would get the traffic; after it, to follow the weight again;
- several headers in one step would be alternatives, so a step has one;
- subset split without stableService or canaryService stalls the whole reconcile while any pod is
  unavailable; stableService alone avoids that without the selector flips of canaryService;
- `replicas` is live: a change of it beside the template shows a false Healthy;
- it writes the whole back without empty lists (`omitempty`), which Argo CD then takes for a difference.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from canaryfleet.engines.argo_rollouts import WINDOW, held
from canaryfleet.engines.argo_rollouts.analysis import Template, arguments, bake, template
from canaryfleet.errors import Issue
from canaryfleet.metrics import BACKGROUND, BAKE, PREVIEW, STEPS, Measure
from canaryfleet.models.canary import Canary, Match, Step, Wave
from canaryfleet.quantity import duration, go_duration, percent, seconds
from canaryfleet.routing.istio import Routing
from canaryfleet.workload.objects import MANAGED_BY, Object, Workload
from canaryfleet.workload.pod import Pod

RELEASE_LABEL = "canaryfleet.dev/release"
APP_KEY = "canaryfleet.dev/app"
MIN_READY = 5  # seconds: proxies learn of a pod a little after it is ready, and answered 503 meanwhile
ROUTE_PODS = 2  # of a canary with managed routes: the restart of a single pod loses them for good


class Identity(NamedTuple):
    """What the Rollout and its runs are stamped with."""

    release: str
    workload: str


class Rendered(NamedTuple):
    """The engine's objects: of the release, and of each wave (its bake).

    `analyses`: digests of what they measure, as Release.analyses has them.
    """

    objects: tuple[Object, ...]
    waves: Mapping[str, Object]
    steps: tuple[Object, ...]
    analysis: bool
    analyses: Mapping[str, str]


def check(spec: Canary) -> list[Issue]:
    """What in the exposure the controller would refuse or do otherwise than it reads."""
    exposure = spec.exposure
    issues = [issue for index, step in enumerate(exposure.steps) for issue in _check_step(spec, index, step)]
    if exposure.steps and exposure.blueGreen:
        issues.append(
            Issue(("exposure", "blueGreen"), "CF120", "blue-green has no steps", "use `steps` or `blueGreen`")
        )
    if not exposure.blueGreen and spec.analysis.metrics and not any(step.weight for step in exposure.steps):
        issues.append(
            Issue(
                ("exposure", "steps") if exposure.steps else ("exposure",),
                "CF121",
                "the analysis never begins: no step has a weight",
                "add a step such as {weight: 5%, for: 10m}",
            )
        )
    if exposure.dynamicStableScale and exposure.blueGreen:
        issues.append(
            Issue(
                ("exposure", "dynamicStableScale"),
                "CF120",
                "blue-green keeps both versions at full scale",
                "remove it",
            )
        )
    if spec.workload.adopt and (exposure.split == "host" or exposure.blueGreen):
        # their Services select nothing before the Rollout is healthy; subsets select the old pods too
        issues.append(
            Issue(
                ("workload", "adopt"),
                "CF120",
                "only the subset split takes over without a gap",
                "adopt with `split: subset` and steps first",
            )
        )
    if exposure.split == "host" and exposure.blueGreen:
        issues.append(Issue(("exposure", "split"), "CF120", "blue-green does not split traffic", "remove it"))
    return issues


def _check_step(spec: Canary, index: int, step: Step) -> Iterator[Issue]:
    at: tuple[str | int, ...] = ("exposure", "steps", index)
    for kind in ("weight", "mirror"):
        share = getattr(step, kind)
        if share is not None and (percent(share) * 100 % 1 or not percent(share)):
            yield Issue((*at, kind), "CF122", f"{share} is not a whole percentage of 1% or more", "round it")
    if step.mirror is not None and step.for_ is None:
        yield Issue(
            (*at, "mirror"), "CF125", "the mirror ends as soon as it begins", "say how long: `for: 15m`"
        )
    if step.mirror is not None and not spec.exposure.idempotent:
        yield Issue(
            (*at, "mirror"),
            "CF123",
            "a mirrored request is answered twice",
            "say `exposure.idempotent: true` if that does no harm",
        )
    for kind in ("header", "cookie"):
        routes = getattr(step, kind)
        if routes is not None and len(routes) > 1:
            yield Issue(
                (*at, kind),
                "CF124",
                f"Argo Rollouts would match any of the {len(routes)}, not all",
                "one a step",
            )
        for name, wanted in (routes or {}).items():
            if not isinstance(wanted, str) and wanted.regex is not None and (why := _not_re2(wanted.regex)):
                yield Issue((*at, kind, name, "regex"), "CF129", f"{wanted.regex!r}: {why}", RE2)
    if step.scale is not None and step.weight is not None:
        yield Issue((*at, "scale"), "CF124", "a weight step scales with its weight", "remove `scale`")


def render(
    spec: Canary,
    workload: Workload,
    routing: Routing,
    pod: Pod,
    measures: Sequence[Measure],
    identity: Identity,
    requests: str,
) -> Rendered:
    """Rollout, AnalysisTemplates, and the bake of each wave."""
    app, namespace = spec.metadata.name, spec.metadata.namespace
    blue = spec.exposure.blueGreen
    stages = {STEPS: blue.observe, PREVIEW: "0"} if blue else {STEPS: "0", BACKGROUND: "0"}
    made = {
        stage: template(app, namespace, stage, measures, pod.digest, observe=observe, beside=blue is None)
        for stage, observe in stages.items()
    }
    if blue:
        steps: list[Object] = []
        strategy: Object = {"blueGreen": _blue_green(spec, routing, made, identity)}
    else:
        steps = _steps(spec, routing, made[STEPS], identity)
        strategy = {"canary": _canary(spec, routing, steps, made[BACKGROUND], identity)}
    templates = [item.object for item in made.values() if item]
    bakes = {
        wave.name: run
        for wave in spec.waves_in_force()
        if (
            run := bake(app, namespace, identity.release, wave, spec.analysis, measures, pod.digest, requests)
        )
    }
    for run in bakes.values():
        run["metadata"]["labels"] |= _run_labels(identity)
    analyses = dict(_analyses(strategy, {item.name: item.object for item in made.values() if item}, bakes))
    runs = sum(not key.startswith(BAKE) for key in analyses)
    rollout = _rollout(spec, workload, pod, strategy, identity, runs)
    return Rendered((rollout, *templates), bakes, tuple(steps), bool(templates or bakes), analyses)


def _analyses(
    strategy: Object, templates: Mapping[str, Object], bakes: Mapping[str, Object]
) -> Iterator[tuple[str, str]]:
    """Digests of what is measured: by role, and by the step or wave where there are several of a role."""
    canary, blue = strategy.get("canary", {}), strategy.get("blueGreen", {})
    steps = ((f"{STEPS}/{index}", step.get("analysis")) for index, step in enumerate(canary.get("steps", ())))
    others = {
        BACKGROUND: canary.get("analysis"),
        PREVIEW: blue.get("prePromotionAnalysis"),
        STEPS: blue.get("postPromotionAnalysis"),
    }
    for key, used in (*steps, *others.items()):
        if used:
            spec = templates[used["templates"][0]["templateName"]]["spec"]
            yield key, held.measures(spec, held.given(WINDOW, used.get("args", ())))
    for wave, run in bakes.items():
        yield f"{BAKE}/{wave}", held.measures(run["spec"], held.given(WINDOW, run["spec"]["args"]))


def _rollout(
    spec: Canary, workload: Workload, pod: Pod, strategy: Object, identity: Identity, runs: int
) -> Object:
    """The Rollout, whose rollouts make so many runs.

    The controller also collects those of the present rollout that are over (utils/analysis/filter.go,
    FilterAnalysisRunsToDelete): what proves it has to be kept whole.
    """
    labels = workload.labels | {RELEASE_LABEL: identity.release}
    annotations = workload.annotations | {"canaryfleet.dev/workload": identity.workload}
    ready = max(MIN_READY, workload.min_ready)
    history = spec.rollback.history
    kept = max(history, runs + 2)
    body: Object = {
        "selector": {"matchLabels": dict(workload.selector)},
        "template": pod.template,
        "minReadySeconds": ready,
        "progressDeadlineSeconds": max(600, 2 * seconds(spec.workload.startup or "0") + 300, ready + 300),
        "revisionHistoryLimit": history,
        "rollbackWindow": {"revisions": spec.rollback.revisions},
        "analysis": {"successfulRunHistoryLimit": kept, "unsuccessfulRunHistoryLimit": kept},
        "strategy": strategy,
    }
    metadata = {
        "name": spec.metadata.name,
        "namespace": spec.metadata.namespace,
        "labels": labels,
        "annotations": annotations,
    }
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": metadata, "spec": body}


def _run_labels(identity: Identity) -> dict[str, str]:
    return {RELEASE_LABEL: identity.release} | MANAGED_BY


def _analysis(made: Template, window: str, identity: Identity) -> Object:
    given = arguments(made.arguments, window)
    return {
        "templates": [{"templateName": made.name}],
        **({"args": given} if given else {}),
        "analysisRunMetadata": {"labels": _run_labels(identity)},
    }


# Canary


def _canary(
    spec: Canary, routing: Routing, steps: list[Object], background: Template | None, identity: Identity
) -> Object:
    exposure = spec.exposure
    body: Object = {"maxSurge": "25%", "maxUnavailable": 0, "stableService": routing.services["stable"]}
    traffic: Object = {"istio": routing.traffic}
    if routing.managed:
        body["minPodsPerReplicaSet"] = ROUTE_PODS
        traffic = {"managedRoutes": [{"name": name} for name in routing.managed.values()]} | traffic
    if "canary" in routing.services:
        # host split: until the canary is gone the controller flips its Service, which holds back
        # pilot's pushes, so that users see the abort only then
        body |= {"canaryService": routing.services["canary"], "abortScaleDownDelaySeconds": 1}
    else:
        body["abortScaleDownDelaySeconds"] = 30
    if exposure.dynamicStableScale:
        body["dynamicStableScale"] = True
    elif spec.workload.drain:
        body["scaleDownDelaySeconds"] = max(30, seconds(spec.workload.drain))
    body["trafficRouting"] = traffic
    if background:
        start = next((index for index, step in enumerate(steps) if "setWeight" in step), None)
        if start is not None:
            body["analysis"] = _analysis(background, spec.analysis.window, identity) | {"startingStep": start}
    if steps:
        body["steps"] = steps
    return body


def _steps(spec: Canary, routing: Routing, made: Template | None, identity: Identity) -> list[Object]:
    steps: list[Object] = []
    scaled = False  # an explicit canary scale is in force
    weighted = False
    for step in spec.exposure.steps:
        if step.weight is not None:
            steps += _weight(step, scaled=scaled)
            scaled, weighted = False, True
        else:
            scale = _scale(step, weighted=weighted or scaled)
            scaled = scaled or scale is not None
            steps += [{"setCanaryScale": scale}] if scale else []
            steps.append(_route(step, routing))
        if step.for_ is not None:
            steps.append({"pause": {} if step.for_ == "manual" else {"duration": _go(step.for_)}})
        if step.mirror is not None:
            steps.append({"setMirrorRoute": {"name": routing.managed["mirror"]}})
        if step.weight is not None and made:
            steps.append({"analysis": _analysis(made, _window(spec, step), identity)})
    return steps


def _window(spec: Canary, step: Step) -> str:
    """What a step's analysis looks back on: the whole step, so that its samples add up."""
    if step.for_ in (None, "manual") or not duration(step.for_ or "0"):
        return spec.analysis.window
    return step.for_ or "0"


def _weight(step: Step, *, scaled: bool) -> list[Object]:
    weight = int(percent(step.weight or "0%") * 100)
    if not scaled:
        return [{"setWeight": weight}]
    return [
        {"setCanaryScale": {"weight": weight}},
        {"setWeight": weight},
        {"setCanaryScale": {"matchTrafficWeight": True}},
    ]


def _scale(step: Step, *, weighted: bool) -> Object | None:
    """Canary pods before a managed route; None where enough stand already."""
    if step.scale is not None and step.scale.replicas is not None:
        return {"replicas": step.scale.replicas}
    if step.scale is not None and step.scale.weight is not None:
        return {"weight": max(1, int(percent(step.scale.weight) * 100))}
    if weighted or step.header == {} or step.cookie == {}:
        return None
    if step.mirror is not None:
        return {"weight": max(1, int(percent(step.mirror) * 100))}
    return {"replicas": ROUTE_PODS}


def _route(step: Step, routing: Routing) -> Object:
    if step.mirror is not None:
        share = int(percent(step.mirror) * 100)
        everything = [{"path": {"prefix": "/"}}]
        return {
            "setMirrorRoute": {"name": routing.managed["mirror"], "match": everything, "percentage": share}
        }
    kind = "header" if step.header is not None else "cookie"
    routes = (step.header if step.header is not None else step.cookie) or {}
    body: dict[str, Any] = {"name": routing.managed[kind]}
    if routes:
        name, wanted = next(iter(routes.items()))
        value = _header_value(wanted) if kind == "header" else {"regex": _cookie_regex(name, wanted)}
        body["match"] = [{"headerName": name.lower() if kind == "header" else "cookie", "headerValue": value}]
    return {"setHeaderRoute": body}


def _header_value(wanted: str | Match) -> Object:
    if isinstance(wanted, str):
        return {"exact": wanted}
    if wanted.exact is not None:
        return {"exact": wanted.exact}
    return {"prefix": wanted.prefix} if wanted.prefix is not None else {"regex": wanted.regex}


def _cookie_regex(name: str, wanted: str | Match) -> str:
    """RE2 for a whole Cookie header that has this cookie with this value."""
    if isinstance(wanted, str) or wanted.exact is not None:
        value = _literal(wanted if isinstance(wanted, str) else wanted.exact or "")
    elif wanted.prefix is not None:
        value = _literal(wanted.prefix) + "[^;]*"
    else:
        value = wanted.regex or ""
    return rf"(.*;\s*)?{_literal(name)}={value}(;.*)?"


RE2 = "it is RE2, which has no look-around and no back references"


def _not_re2(text: str) -> str:
    """Why it is no expression of RE2, as far as Python's own compiler can tell; else empty."""
    if re.search(r"(?<!\\)(\\\\)*(\(\?(=|!|<[=!]|P=)|\\[1-9])", text):
        return "a look-around or a back reference"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        said = str(error)
        # RE2 has classes and escapes that Python has not: \pL, \z, \Q…\E, flags in the middle
        return "" if said.startswith(("bad escape", "global flags", "unknown extension")) else said
    return ""


def _literal(text: str) -> str:
    """Text as RE2 matches it; Python's own escape also escapes spaces, which RE2 refuses."""
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)


# Blue-green


def _blue_green(
    spec: Canary, routing: Routing, made: Mapping[str, Template | None], identity: Identity
) -> Object:
    blue = spec.exposure.blueGreen
    assert blue is not None
    body: Object = {
        "activeService": routing.services["active"],
        "previewService": routing.services["preview"],
        "autoPromotionEnabled": blue.promoteAfter != "manual",
        "abortScaleDownDelaySeconds": 30,
        "scaleDownDelaySeconds": max(30, seconds(spec.workload.drain or "0")),
    }
    if blue.promoteAfter != "manual" and seconds(blue.promoteAfter):
        body["autoPromotionSeconds"] = seconds(blue.promoteAfter)
    if blue.previewReplicas:
        body["previewReplicaCount"] = blue.previewReplicas
    if (preview := made[PREVIEW]) is not None:
        body["prePromotionAnalysis"] = _analysis(preview, spec.analysis.window, identity)
    if (switched := made[STEPS]) is not None:
        body["postPromotionAnalysis"] = _analysis(switched, blue.observe, identity)
    return body


def _go(text: str) -> str:
    return go_duration(seconds(text))


__all__ = ["Identity", "Rendered", "Wave", "check", "render"]
