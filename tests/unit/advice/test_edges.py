"""Where each rule begins and ends: the nearest spec on either side, and the place in it that is named."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from examples import changed, found, parts, quiet, write

from support import NOW, Project

P99 = "{preset: istio/latency, quantile: 0.999, promoteBelow: 200ms, rollbackAbove: 1s}"
STABLE = "{preset: istio/latency, quantile: 0.9, comparedTo: stable, promoteBelow: 10%, rollbackAbove: 50%}"
JOB = """
  - name: smoke
    during: [preview]
    provider: {job: {spec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, containers: [{name: s, image: "a@sha256:%s"}]}}}}}
""" % ("0" * 64)
OWN = "{name: own, promoteBelow: 0.5%, rollbackAbove: 2%, query: QUERY, samples: SAMPLES}"
WINDOW = "sum(increase(n{$(selector)}[$(window)]))"
RATIO = "sum(rate(bad{$(selector)}[RANGE])) / sum(rate(n{$(selector)}[RANGE]))"


def steps(*given: str) -> str:
    return f"exposure: {{steps: [{', '.join(given)}]}}"


def metrics(*given: str, **analysis: Any) -> str:
    settings = "".join(f", {name}: {value}" for name, value in analysis.items())
    return f"analysis: {{metrics: [{', '.join(given)}]{settings}}}"


def own(query: str, samples: str = WINDOW) -> str:
    return OWN.replace("QUERY", f"'{query}'").replace("SAMPLES", f"'{samples}'")


def waves(*given: str) -> str:
    return f"waves: [{', '.join(given)}]"


PILOT = "{name: pilot, clusters: [eu-1]}"
REST = "{name: rest, maxConcurrency: 1}"
BLUE = "exposure: {steps: [], blueGreen: {promoteAfter: 5m, observe: 10m}}"
EQUAL = "\n---\n".join(f"# clusters/{name}.yaml\ncapacity: 10" for name in ("eu-1", "eu-2", "us-1", "us-2"))
ALONE = "\n---\n".join(f"# clusters/{name}.yaml\nlifecycle: retiring" for name in ("eu-2", "us-1", "us-2"))
FROZEN = """fleet.yaml
freezes: [{name: f, from: "2026-11-01T00:00:00Z", to: "TO"}]"""
PROBE = """base/deployment.yaml
spec: {template: {spec: {containers: [{name: chat, image: "a@sha256:%s", ports: [{containerPort: 8000}],
  startupProbe: {tcpSocket: {port: 8000}, periodSeconds: 10, failureThreshold: FAILURES}}]}}}
""" % ("0" * 64)


def windows(*given: str) -> str:
    return waves(PILOT, f"{{name: rest, maxConcurrency: 1, windows: [{', '.join(given)}]}}")


def window(begin: str, end: str, days: str = "Mon-Fri") -> str:
    return f'{{days: {days}, from: "{begin}", to: "{end}"}}'


CASES = {
    "no steps, nothing measured": (steps() + "\n" + metrics(), ["CF301 exposure", "CF310 analysis"]),
    "a large first weight": (
        steps("{weight: 26%, for: 9m}", "{weight: 70%, for: 9m}"),
        ["CF301 exposure.steps.0.weight"],
    ),
    "the largest first weight": (steps("{weight: 25%, for: 9m}", "{weight: 75%, for: 9m}"), []),
    "a jump in the middle": (
        steps("{weight: 5%, for: 9m}", "{weight: 56%, for: 9m}"),
        ["CF301 exposure.steps.1.weight"],
    ),
    "a last jump": (
        steps("{weight: 5%, for: 9m}", "{weight: 49%, for: 9m}"),
        ["CF301 exposure.steps.1.weight"],
    ),
    "headers are no weights": (
        steps("{header: {x: y}, for: 9m}", "{weight: 5%, for: 9m}", "{weight: 50%, for: 9m}"),
        [],
    ),
    "twice the same weight": (
        steps("{weight: 5%, for: 9m}", "{weight: 5%, for: 9m}", "{weight: 50%, for: 9m}"),
        ["CF302 exposure.steps.1.weight"],
    ),
    "blue-green": (BLUE, []),
    "blue-green of a slow start": (BLUE + "\nworkload: {startup: 11m}", ["CF303 exposure.blueGreen.observe"]),
    "as long as a start": ("workload: {startup: 10m}", []),
    "a step without a length": (
        steps("{weight: 5%}", "{weight: 50%, for: 9m}") + "\nworkload: {startup: 1m}",
        ["CF303 exposure.steps.0"],
    ),
    "a person is no step's end": (
        steps("{weight: 5%, for: manual}", "{weight: 50%, for: manual}") + "\nworkload: {startup: 1h}",
        [],
    ),
    "a probe of the base": (
        PROBE.replace("FAILURES", "61"),
        ["CF303 exposure.steps.0.for", "CF303 exposure.steps.1.for"],
    ),
    "a quicker probe of the base": (PROBE.replace("FAILURES", "60"), []),
    "compared, not counted": (metrics(STABLE, minimumSamples=0), []),
    "a sequential test": (
        metrics("{preset: istio/error-rate, comparedTo: stable, test: {alpha: 1%}}", minimumSamples=100),
        [],
    ),
    "counted by nobody": (
        metrics("{preset: istio/error-rate, promoteBelow: 1%, rollbackAbove: 2%}", minimumSamples=0),
        ["CF310 analysis.metrics"],
    ),
    "a job may fail": (
        BLUE + "\nanalysis:\n  metrics:\n  - {preset: istio/error-rate, promoteBelow: 1%}" + JOB,
        [],
    ),
    "measured less often than it looks back": (
        "analysis: {interval: 6m}",
        ["CF311 analysis.interval"],
    ),
    "its own interval": (
        metrics("{preset: istio/error-rate, promoteBelow: 0.5%, rollbackAbove: 2%, interval: 6m}"),
        ["CF311 analysis.metrics.0.interval"],
    ),
    "as often as it looks back": ("analysis: {interval: 5m}", []),
    "a fixed range of samples": (
        metrics(own(RATIO.replace("RANGE", "$(window)"), WINDOW.replace("$(window)", "9m30s"))),
        ["CF311 analysis.metrics.0.samples"],
    ),
    "a fixed range of the step": (metrics(own(RATIO.replace("RANGE", "10m"))), []),
    "a subquery": (
        metrics(own("max_over_time(x{$(selector)}[5m:1m])")),
        ["CF311 analysis.metrics.0.query"],
    ),
    "brackets in a label": (metrics(own('max(x{$(selector),path="/[1m]"})')), []),
    "a quantile of too few": (metrics(P99, minimumSamples=999), ["CF312 analysis.metrics.0"]),
    "a quantile of enough": (metrics(P99, minimumSamples=1000), []),
    "a share of memory": (
        metrics("{preset: vllm/kv-cache-usage, promoteBelow: 80%, rollbackAbove: 90%, minimumSamples: 5}"),
        [],
    ),
    "where higher is better": (
        metrics("{preset: istio/success-rate, promoteAbove: 99.9%, rollbackBelow: 99%, minimumSamples: 100}"),
        ["CF312 analysis.metrics.0.minimumSamples"],
    ),
    "enough where higher is better": (
        metrics("{preset: istio/success-rate, promoteAbove: 99.9%, rollbackBelow: 99%, minimumSamples: 200}"),
        [],
    ),
    "one threshold for both": (
        metrics("{preset: istio/error-rate, promoteBelow: 1%, rollbackAbove: 1%}", minimumSamples=100000),
        ["CF312 analysis.metrics.0"],
    ),
    "patient for as long as a step": (metrics("{preset: istio/error-rate, promoteBelow: 0.5%, rollbackAbove: 2%}", minimumSamples=1000, failureLimit=10), []),
    "more patient than a step": (metrics("{preset: istio/error-rate, promoteBelow: 0.5%, rollbackAbove: 2%}", minimumSamples=1000, failureLimit=11), ["CF315 analysis.failureLimit"]),
    "one metric that is more patient": (
        metrics("{preset: istio/error-rate, promoteBelow: 0.5%, rollbackAbove: 2%, failureLimit: 11}", minimumSamples=1000),
        ["CF315 analysis.metrics.0.failureLimit"],
    ),
    "as often, and further apart": (metrics("{preset: istio/error-rate, promoteBelow: 0.5%, rollbackAbove: 2%, interval: 4m}", minimumSamples=1000, failureLimit=3), ["CF315 analysis.failureLimit"]),
    "a longer step": (
        metrics("{preset: istio/error-rate, promoteBelow: 0.5%, rollbackAbove: 2%}", minimumSamples=1000, failureLimit=60)
        + "\n" + steps("{weight: 5%, for: 1h}", "{weight: 50%, for: 10m}"),
        [],
    ),
    "percent without a sign": (
        metrics("{preset: istio/error-rate, promoteBelow: 1, rollbackAbove: 5}"),
        ["CF314 analysis.metrics.0.promoteBelow"],
    ),
    "percent without a sign to roll back": (
        metrics("{preset: istio/error-rate, promoteBelow: 1%, rollbackAbove: 1}"),
        ["CF314 analysis.metrics.0.rollbackAbove"],
    ),
    "a share of all": (
        metrics("{preset: vllm/kv-cache-usage, promoteBelow: 99%, rollbackAbove: 99.9%}"),
        [],
    ),
    "success for failure": (
        metrics("{preset: istio/error-rate, promoteBelow: 95%, rollbackAbove: 99%}"),
        ["CF314 analysis.metrics.0.promoteBelow"],
    ),
    "most succeed": (metrics("{preset: istio/error-rate, promoteBelow: 50%, rollbackAbove: 99%}"), []),
    "no share is less": (
        metrics("{preset: istio/success-rate, promoteAbove: 99%, rollbackBelow: 0}"),
        ["CF314 analysis.metrics.0.rollbackBelow"],
    ),
    "milliseconds for seconds": (
        metrics("{preset: vllm/time-to-first-token, quantile: 0.9, promoteBelow: 200, rollbackAbove: 500}"),
        ["CF314 analysis.metrics.0.promoteBelow"],
    ),
    "minutes that are meant": (
        metrics("{preset: vllm/time-to-first-token, quantile: 0.9, promoteBelow: 59, rollbackAbove: 500s}"),
        [],
    ),
    "milliseconds": (
        metrics("{preset: istio/latency, quantile: 0.9, promoteBelow: 200, rollbackAbove: 500}"),
        [],
    ),
    "a change of more than all": (
        metrics("{preset: istio/error-rate, comparedTo: stable, promoteBelow: 100%, rollbackAbove: 200%}"),
        [],
    ),
    "the last as large as the first": (
        waves("{name: first, clusters: [eu-1, us-1]}", REST) + "\n---\n# clusters/us-2.yaml\ncapacity: 40",
        ["CF320 waves.0"],
    ),
    "all alike": (waves("{name: first, clusters: [eu-1]}", REST) + "\n---\n" + EQUAL, []),
    "half at once": (waves("{name: half, clusters: [eu-1, eu-2]}", REST) + "\n---\n" + EQUAL, []),
    "three of four": (waves(PILOT, "{name: rest}") + "\n---\n" + EQUAL, ["CF321 waves.1"]),
    "a share of the wave": (waves(PILOT, "{name: rest, maxConcurrency: 50%}"), []),
    "the only cluster": (waves("{name: all}") + "\n---\n" + ALONE, []),
    "a hotfix": (
        "urgency: hotfix\nhotfixWaves: [{name: all}]",
        ["CF321 hotfixWaves.0"],
    ),
    "waves not in force": ("hotfixWaves: [{name: all}]", []),
    "a quarter of an hour": (windows(window("09:00", "09:15")), []),
    "a little less": (windows(window("09:00", "09:14")), ["CF330 waves.1.windows.0"]),
    "over midnight": (windows(window("23:55", "00:05")), ["CF330 waves.1.windows.0"]),
    "a whole day": (windows(window("00:00", "24:00", "Sun")), []),
    "frozen for long": (
        windows(window("09:00", "16:00")) + "\n---\n# " + FROZEN.replace("TO", "2026-12-01T20:00:00Z"),
        ["CF330 waves.1.windows"],
    ),
    "frozen almost as long": (
        windows(window("09:00", "16:00")) + "\n---\n# " + FROZEN.replace("TO", "2026-12-01T09:59:00Z"),
        [],
    ),
    "frozen without windows": (f"# {FROZEN}".replace("TO", "2027-12-01T20:00:00Z"), []),
    "longer than the deadline": (
        waves("{name: all, maxConcurrency: 1, progressDeadline: 20m}"),
        ["CF332 waves.0.progressDeadline"],
    ),
    "just within it": (waves("{name: all, maxConcurrency: 1, progressDeadline: 21m}"), []),
    "with the starts": (
        waves("{name: all, maxConcurrency: 1, progressDeadline: 30m}") + "\nworkload: {startup: 5m}",
        ["CF332 waves.0.progressDeadline"],
    ),
    "a bake comes on top": (
        waves("{name: all, maxConcurrency: 1, progressDeadline: 30m, minSuccessTime: 2d}"),
        [],
    ),
    "an autoscaler's most": (
        "workload: {autoscaler: {min: 1, max: 5}, resources: {requests: {cpu: 500m}}}"
        "\n---\n# clusters/us-1.yaml\nresources: {cpu: 4500m}",
        ["CF340 workload.resources"],
    ),
    "just the room": (
        "workload: {replicas: 5, resources: {requests: {cpu: 500m}}}"
        "\n---\n# clusters/us-1.yaml\nresources: {cpu: '5'}",
        [],
    ),
    "fewer where there is less": (
        "workload: {replicas: 5, resources: {limits: {nvidia.com/gpu: 1}}}"
        "\noverrides: [{clusters: [eu-1], replicas: 1}]"
        "\n---\n# clusters/eu-1.yaml\nresources: {nvidia.com/gpu: 2}",
        [],
    ),
    "names of what is secret": (
        "workload: {env: {DB_PASSWORD: hunter2, TOKEN_FILE: /run/secrets/token, MAX_TOKENS: '5', USE_API_KEY: 'true',"
        " API_TOKEN: $(OTHER), EMPTY_SECRET: ''}}\noverrides: [{clusters: [eu-1], env: {API_KEY: other}}]",
        ["CF307 workload.env.DB_PASSWORD", "CF307 overrides.0.env.API_KEY"],
    ),
    "the newest model": (
        "workload: {model: {name: m, version: '7', uri: 's3://models/latest/m'}}",
        ["CF117 workload.model.uri"],
    ),
    "the newest model, checked": (
        f"workload: {{model: {{name: m, version: '7', uri: 's3://models/latest/m', checksum: 'sha256:{'0' * 64}'}}}}",
        [],
    ),
}  # fmt: skip


def example(text: str) -> dict[str, Any]:
    """Parts; the first is of the spec unless it says otherwise."""
    head = text.split("\n", maxsplit=1)[0]
    if not head.endswith(".yaml"):
        text = "# canary.yaml\n" + text
    elif not head.startswith("# "):
        text = "# " + text
    return parts(text)


def places(files: dict[str, Any], root: Path, spec: str = "specs/chat/canary.yaml") -> Iterator[str]:
    """Code and field of each warning: what stands at its place in the spec."""
    from canaryfleet.syntax import parse

    document = parse((root / spec).read_bytes(), spec)
    paths = {document.place(path): path for path in reversed([*_paths(files[spec])])}
    for item in found(root):
        yield f"{item.code} {'.'.join(map(str, paths[item.place]))}"


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field, an outer one before the inner, whose place may be the same."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _paths(item, (*at, key))


@pytest.mark.parametrize("name", CASES)
def test_a_rule_ends_where_it_says(tmp_path: Path, name: str) -> None:
    text, expected = CASES[name]
    files = changed(example(text))
    write(tmp_path, files)
    assert list(places(files, tmp_path)) == expected, [str(item) for item in found(tmp_path)]


def test_a_freeze_is_only_of_what_begins_now(tmp_path: Path) -> None:
    freeze = {"name": "f", "from": "2026-11-03T12:00:00Z", "to": "2026-11-04T00:00:00Z"}
    write(tmp_path, changed({"fleet.yaml": {"freezes": [freeze]}}))
    ends = NOW + timedelta(hours=1, minutes=20)  # four clusters, one after the other
    assert ends < NOW + timedelta(hours=2)
    assert [item.code for item in found(tmp_path)] == []
    (warned,) = found(tmp_path, NOW + timedelta(minutes=45))
    assert warned.code == "CF331"
    assert "wave rest would be under way until 2026-11-03 12:05Z, inside the freeze f" in warned.message
    assert found(tmp_path, NOW + timedelta(hours=5)) == []  # it waits for the end, and goes on then


def test_a_release_that_all_have_begins_no_more(tmp_path: Path) -> None:
    freeze = {"name": "f", "from": "2026-11-03T10:10:00Z", "to": "2026-11-04T00:00:00Z"}
    write(tmp_path, quiet())
    project = Project(tmp_path)
    project.render()
    project.point_everything("chat")
    write(tmp_path, changed({"fleet.yaml": {"freezes": [freeze]}}))
    assert found(tmp_path) == []
    write(
        tmp_path, changed({"fleet.yaml": {"freezes": [freeze]}, "specs/chat/canary.yaml": {"version": "2"}})
    )
    assert [item.code for item in found(tmp_path)] == ["CF331"]


def test_a_sum_needs_all_apps(tmp_path: Path) -> None:
    """Of some apps alone nothing is summed, and an ignore of the sum is left in peace."""
    gpu = {"workload": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}
    ignore = {"lint": {"ignore": [{"code": "CF341", "reason": "the other one moves away"}]}}
    files = {
        "clusters/eu-1.yaml": {"resources": {"nvidia.com/gpu": 5}},
        "specs/chat/canary.yaml": gpu | ignore,
        "specs/other/canary.yaml": gpu,
    }
    write(tmp_path, changed(files))
    assert [(item.code, item.place.file) for item in found(tmp_path)] == [
        ("CF341", "specs/other/canary.yaml")
    ]
    assert found(tmp_path, apps=("chat",)) == []


# What can't be ignored


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([("CF999", "x")], ["CF350: there is no code CF999"]),
        ([("CF101", "x")], ["CF350: CF101 can't be ignored: two waves of one name"]),
        ([("CF350", "x")], ["CF350: CF350 can't be ignored"]),
        ([("CF301", "x"), ("CF301", "y")], ["CF350: CF301 is ignored already"]),
        ([("CF301", "x")], []),
        ([("CF301", " ")], ["CF033: "]),
        ([("301", "x")], ["CF033: "]),
    ],
)
def test_what_is_ignored_has_to_be_a_warning(
    tmp_path: Path, entries: list[tuple[str, str]], said: list[str]
) -> None:
    ignore = [{"code": code, "reason": reason} for code, reason in entries]
    jump = {"steps": [{"weight": "5%", "for": "10m"}]}
    write(tmp_path, changed({"specs/chat/canary.yaml": {"lint": {"ignore": ignore}, "exposure": jump}}))
    told = [f"{item.code}: {item.message}" for item in found(tmp_path) if item.code not in ("CF301", "CF351")]
    assert len(told) == len(said), told
    assert all(wanted in text for wanted, text in zip(said, told, strict=True)), told


def test_what_comes_and_goes_with_time_may_be_ignored_in_advance(tmp_path: Path) -> None:
    ignore = {"lint": {"ignore": [{"code": "CF331", "reason": "the last wave is nobody's"}]}}
    write(tmp_path, changed({"specs/chat/canary.yaml": ignore}))
    assert found(tmp_path) == []


def test_an_error_is_never_silenced(tmp_path: Path) -> None:
    """CF117 is a warning where `mutable: true` is said, and an error elsewhere."""
    ignore = {"lint": {"ignore": [{"code": "CF117", "reason": "x"}]}}
    work = {"workload": {"image": "ghcr.io/acme/chat:latest"}}
    write(tmp_path, changed({"specs/chat/canary.yaml": work | ignore}))
    assert [(item.code, item.severity) for item in found(tmp_path)] == [("CF117", "error")]


def test_ignoring_makes_no_release(tmp_path: Path) -> None:
    write(tmp_path, quiet())
    project = Project(tmp_path)
    project.render()
    before = project.generated("chat")
    jump = {"lint": {"ignore": [{"code": "CF301", "reason": "x"}]}}
    write(tmp_path, changed({"specs/chat/canary.yaml": jump}))
    project.render()
    assert project.generated("chat") == before


@pytest.mark.parametrize(
    ("interval", "limit", "remedy"),
    [("1m", 11, "`failureLimit: 10` is 10m; or"), ("7m", 2, "`failureLimit: 1` is 7m; or"), ("20m", 1, "failureLimit: 0; or")],
)  # fmt: skip
def test_a_remedy_for_patience_is_as_long_as_it_says(
    tmp_path: Path, interval: str, limit: int, remedy: str
) -> None:
    metric = "{preset: istio/error-rate, promoteBelow: 0.5%, rollbackAbove: 2%}"
    settings = {"minimumSamples": 1000, "window": "20m", "interval": interval, "failureLimit": limit}
    write(tmp_path, changed(parts(f"# canary.yaml\n{metrics(metric, **settings)}")))
    (found_,) = [item for item in found(tmp_path) if item.code == "CF315"]
    assert found_.remedy.startswith(remedy)
