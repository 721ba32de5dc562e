"""A release's way through one cluster, as the controller takes it: stages with their traffic, and what measures them.

Read from the frozen objects themselves, so it is what will be applied. What the controller does (rollout/canary.go,
bluegreen.go and analysis.go of v1.9.2 and v1.10.1): a pause ends by the clock or by a person; an analysis of the steps
ends when each of its metrics has; the background analysis begins with a step and ends with the last; blue-green
judges the preview, waits, switches all traffic at once and judges that.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from canaryfleet.engines.argo_rollouts import ENDLESS, WINDOW
from canaryfleet.models.release import GUARD, Release, ReleaseWave
from canaryfleet.quantity import duration, seconds

Object = Mapping[str, Any]
BAKE_FILE = "/bake.yaml"


class Watch(NamedTuple):
    """One metric as an analysis measures it; times in seconds. `most`: measurements, None without end."""

    metric: str
    interval: int
    window: int
    most: int | None
    failures: int
    successes: int


class Stage(NamedTuple):
    """A part of the way: percentage of the requests, how long (None: until a person goes on), what judges it then."""

    name: str
    weight: int
    pause: int | None
    analysis: tuple[Watch, ...] = ()


class Course(NamedTuple):
    """All stages; from the stage `watched` on the background is measured. Bakes by wave begin with all traffic."""

    stages: tuple[Stage, ...]
    background: tuple[Watch, ...]
    watched: int
    bakes: Mapping[str, tuple[Watch, ...]]

    @property
    def manual(self) -> tuple[str, ...]:
        """Stages that wait for a person in the cluster."""
        return tuple(stage.name for stage in self.stages if stage.pause is None)


def least(course: Course, wave: ReleaseWave, startup: int, *, first: bool = False) -> int:
    """Seconds that a cluster of a wave takes at least: its start, pauses, measurements in a row, and its bake.

    `first`: it has nothing yet. A first deployment takes no steps and is judged by none of them, only by its bake.
    """
    bake = int(duration(wave.minSuccessTime)) if wave.name in course.bakes else 0
    if first:
        return startup + bake
    asked = (
        max(((w.successes - 1) * w.interval for w in stage.analysis), default=0) for stage in course.stages
    )
    return startup + sum(stage.pause or 0 for stage in course.stages) + sum(asked) + bake


def needed(release: Release, *, measured: bool) -> list[str]:
    """The release's files that `course` reads, below its folder; without what is `measured`, those of the time alone."""
    own = (
        {"rollout.yaml", "analysis.yaml"}
        if measured or release.strategy == "blueGreen"
        else {"analysis.yaml"}
    )
    return [path for path in release.files if path in own or (measured and path.endswith(BAKE_FILE))]


def course(release: Release, files: Mapping[str, Sequence[Object]]) -> Course:
    """The way of a release. `files`: the objects of those that are `needed`; what the others measure is left out."""
    templates = {
        item["metadata"]["name"]: item["spec"]
        for item in files.get("analysis.yaml", ())
        if item["kind"] == "AnalysisTemplate"
    }
    baking = (path for path in release.files if path.endswith(BAKE_FILE))
    bakes = {path.split("/")[1]: tuple(_baked(files.get(path, ()))) for path in baking}
    rollout = next((item for item in files.get("rollout.yaml", ()) if item["kind"] == "Rollout"), None)
    strategy = rollout["spec"]["strategy"] if rollout else {}
    if "blueGreen" in strategy:
        return _blue_green(strategy["blueGreen"], templates)._replace(bakes=bakes)
    background = strategy.get("canary", {}).get("analysis")
    stages, begins = _stages(release.steps, templates)
    start = begins[background["startingStep"]] if background else 0
    return Course(stages, tuple(_used(background, templates)), start, bakes)


def _baked(runs: Iterable[Object]) -> Iterable[Watch]:
    return [watch for run in runs for watch in _watches(run["spec"], _window(run["spec"]["args"]))]


def _stages(steps: Sequence[Object], templates: Mapping[str, Object]) -> tuple[tuple[Stage, ...], list[int]]:
    """The stages of a canary's steps, and in which of them each step is."""
    stages: list[Stage] = []
    begins: list[int] = []
    weight, fresh = 0, True
    for step in steps:
        if "setWeight" in step:
            weight, fresh = int(step["setWeight"]), True
        elif "pause" in step or "analysis" in step:
            if fresh or "pause" in step:
                stages.append(Stage(f"{weight}%", weight, 0))
            fresh = "analysis" in step
            stages[-1] = _extended(stages[-1], step, templates)
        begins.append(len(stages) - (not fresh))
    return (*stages, Stage("100%", 100, 0)), [min(index, len(stages)) for index in begins]


def _extended(stage: Stage, step: Object, templates: Mapping[str, Object]) -> Stage:
    if "analysis" in step:
        return stage._replace(analysis=tuple(_used(step["analysis"], templates)))
    length = step["pause"].get("duration")
    return stage._replace(pause=None if length is None else seconds(length))


def _blue_green(blue: Object, templates: Mapping[str, Object]) -> Course:
    wait = seconds(f"{blue.get('autoPromotionSeconds', 0)}s") if blue["autoPromotionEnabled"] else None
    preview = tuple(_used(blue.get("prePromotionAnalysis"), templates))
    used = blue.get("postPromotionAnalysis")
    switched = list(_used(used, templates))
    judges = tuple(watch for watch in switched if not watch.metric.endswith(GUARD))
    guards = tuple(watch for watch in switched if watch.metric.endswith(GUARD))
    observe = _window(used.get("args", ())) if used else 0
    stages = (Stage("preview", 0, wait, preview), Stage("100%", 100, observe, judges))
    return Course(stages, guards, 1, {})


def _used(use: Object | None, templates: Mapping[str, Object]) -> Iterable[Watch]:
    if use is None:
        return ()
    window = _window(use.get("args", ()))
    return [
        watch for named in use["templates"] for watch in _watches(templates[named["templateName"]], window)
    ]


def _window(args: Iterable[Object]) -> int:
    return next((seconds(item["value"]) for item in args if item["name"] == WINDOW and "value" in item), 0)


def _watches(spec: Object, window: int) -> Iterable[Watch]:
    """The metrics that decide: those of a dry run do not."""
    dry = {item["metricName"] for item in spec.get("dryRun", ())}
    for metric in spec["metrics"]:
        if f"^{metric['name']}$" in dry:
            continue
        yield Watch(
            metric=metric["name"],
            interval=seconds(metric.get("interval", "0")),
            window=window,
            most=metric.get("count") if metric.get("inconclusiveLimit") != ENDLESS else None,
            failures=metric.get("failureLimit", 0),
            successes=metric.get("consecutiveSuccessLimit", 1),
        )
