"""Every ready metric, asked of a real Prometheus and judged by the real controller.

The series carry the stacks' own names, labels and bucket bounds (Envoy's for Istio; vLLM's from its
`metrics/loggers.py`; the others' in tests/preset_cases.py). Versions in all situations stand side by side in one namespace, among series
of other apps, and each has to be judged by its own alone.
"""

import contextlib
import itertools
import json
import math
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import runs
import yaml
from app import HERE, App
from rig import Exporter, wait_until
from rig.gate import Gate
from rig.kube import Object
from rig.metrics import Prometheus, query, scraped
from rig.net import get_json
from rig.processes import Supervisor

import preset_cases
from canaryfleet import catalogue, presets
from conftest import NEWEST

WINDOW = 10
# A scrape is stamped when it begins and read a little later, so a rate over ten scrapes is off by their jitter.
# Ratios and quantiles divide numbers of one scrape.
RATE, RATIO = 0.15, 0.05
ISTIO_BOUNDS = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
)  # fmt: skip
FIRST_TOKEN_BOUNDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
NEXT_TOKEN_BOUNDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_BOUNDS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
METRICS: list[dict[str, object]] = [
    {"preset": "istio/error-rate", "promoteBelow": "1%", "rollbackAbove": "5%"},
    {"preset": "istio/success-rate", "promoteAbove": "99%", "rollbackBelow": "95%"},
    {"preset": "istio/latency", "quantile": 0.99, "promoteBelow": "200ms", "rollbackAbove": "0.5s"},
    {"preset": "istio/requests-per-second", "promoteAbove": 40, "rollbackBelow": 20},
    {
        "preset": "vllm/time-to-first-token",
        "quantile": 0.95,
        "promoteBelow": "200ms",
        "rollbackAbove": "500ms",
    },
    {"preset": "vllm/inter-token-latency", "quantile": 0.5, "promoteBelow": "40ms", "rollbackAbove": "150ms"},
    {"preset": "vllm/request-latency", "quantile": 0.95, "promoteBelow": "10s", "rollbackAbove": "30s"},
    {"preset": "vllm/error-rate", "promoteBelow": "1%", "rollbackAbove": "5%"},
    {"preset": "vllm/tokens-per-second", "promoteAbove": 200, "rollbackBelow": 50},
    {"preset": "vllm/queue", "promoteBelow": 4, "rollbackAbove": 20},
    {"preset": "vllm/kv-cache-usage", "promoteBelow": "70%", "rollbackAbove": "90%"},
]
ANALYSIS = {"interval": "1s", "window": f"{WINDOW}s", "count": 3, "minimumSamples": 20}


@dataclass(frozen=True)
class Load:
    """How one version is asked and how it answers; latencies have a share slower than `fast`."""

    outcome: str
    per_second: float = 0.0
    errors: float = 0.0
    milliseconds: tuple[float, float] = (20.0, 80.0)  # nine of ten; the last
    first_token: tuple[float, float] = (0.05, 0.15)
    next_token: tuple[float, float] = (0.02, 0.02)
    request: tuple[float, float] = (2.0, 7.0)
    tokens: tuple[float, float] = (250.0, 350.0)  # a second; two pods
    queue: tuple[float, float] = (0.0, 2.0)
    cache: tuple[float, float] = (0.3, 0.6)


NAN = (math.nan, math.nan)
LOADS = {
    "good": Load("Successful", per_second=60, errors=0.005),
    "between": Load(
        "Inconclusive",
        per_second=30,
        errors=0.03,
        milliseconds=(20, 300),
        first_token=(0.3, 0.4),
        next_token=(0.06, 0.06),
        request=(2, 18),
        tokens=(60, 100),
        queue=(0, 9),
        cache=(0.3, 0.8),
    ),
    "bad": Load(
        "Failed",
        per_second=12,
        errors=0.25,
        milliseconds=(20, 3000),
        first_token=(0.6, 0.7),
        next_token=(0.3, 0.3),
        request=(2, 55),
        tokens=(10, 20),
        queue=(0, 31),
        cache=(0.3, 0.97),
    ),
    "missing": Load("Inconclusive"),
    "few": Load("Inconclusive", per_second=0.4),
    "nan": Load("Inconclusive", per_second=math.nan, tokens=NAN, queue=NAN, cache=NAN),
}


def histogram(
    exporter: Exporter,
    name: str,
    bounds: Sequence[float],
    values: tuple[float, float],
    per_second: float,
    **labels: str,
) -> None:
    """Cumulative buckets of a load nine tenths of which take the first value and one tenth the second."""
    for bound in (*bounds, math.inf):
        inside = per_second * (0.9 * (values[0] <= bound) + 0.1 * (values[1] <= bound))
        exporter.grow(f"{name}_bucket", inside, le="+Inf" if bound == math.inf else str(bound), **labels)


def quantile(share: float, bounds: Sequence[float], values: tuple[float, float]) -> float:
    """What a histogram can tell of a quantile: even within its bucket, counted from the bucket's lower bound."""
    below, low = 0.0, 0.0
    for bound in bounds:
        upto = 0.9 * (values[0] <= bound) + 0.1 * (values[1] <= bound)
        if upto >= share:
            return low + (bound - low) * (share - below) / (upto - below)
        below, low = upto, bound
    return bounds[-1]


def expected(load: Load) -> dict[str, tuple[float, float]]:
    """What each preset should measure, worked out from the inputs alone, and how far off it may be."""
    return {
        "istio-error-rate": (load.errors, RATIO),
        "istio-success-rate": (1 - load.errors, RATIO),
        "istio-latency": (quantile(0.99, ISTIO_BOUNDS, load.milliseconds), RATIO),
        "istio-requests-per-second": (load.per_second, RATE),
        "vllm-time-to-first-token": (quantile(0.95, FIRST_TOKEN_BOUNDS, load.first_token), RATIO),
        "vllm-inter-token-latency": (quantile(0.5, NEXT_TOKEN_BOUNDS, load.next_token), RATIO),
        "vllm-request-latency": (quantile(0.95, REQUEST_BOUNDS, load.request), RATIO),
        "vllm-error-rate": (load.errors, RATIO),
        "vllm-tokens-per-second": (sum(load.tokens) / 2, RATE),
        "vllm-queue": (max(load.queue), 0.0),
        "vllm-kv-cache-usage": (max(load.cache), 0.001),
    }


def istio(
    app: App, revision: str, load: Load, protocol: str = "http", reporter: str = "source", **labels: str
) -> None:
    """What Istio's proxies count of a version."""
    ours = {
        "reporter": reporter,
        "request_protocol": protocol,
        "destination_service_name": app.name,
        "destination_service_namespace": app.namespace,
        "destination_canonical_revision": revision,
        **labels,
    }
    grpc = protocol == "grpc"
    fine = {"response_code": "200", **({"grpc_response_status": "0"} if grpc else {})}
    bad = {"response_code": "200", "grpc_response_status": "14"} if grpc else {"response_code": "503"}
    name = "istio_request_duration_milliseconds"
    for codes, per_second in (
        (fine, load.per_second * (1 - load.errors)),
        (bad, load.per_second * load.errors),
    ):
        app.exporter.grow("istio_requests_total", per_second, **ours, **codes)
        histogram(app.exporter, name, ISTIO_BOUNDS, load.milliseconds, per_second, **ours, **codes)


def vllm(app: App, pods: str, load: Load, namespace: str = "", renamed: bool = True, **more: str) -> None:
    """What two vLLM pods of a version count; `renamed`: with the names of newer releases."""
    exporter, per_second = app.exporter, load.per_second / 2
    next_token = "inter_token_latency" if renamed else "time_per_output_token"
    cache = "kv_cache_usage_perc" if renamed else "gpu_cache_usage_perc"
    for number, pod in enumerate((f"{pods}-x2v8k", f"{pods}-q9zzz")):
        labels = {
            "namespace": namespace or app.namespace,
            "pod": pod,
            "model_name": "m",
            "engine": "0",
            **more,
        }
        for reason, share in (
            ("stop", 1 - load.errors),
            ("abort", load.errors / 2),
            ("error", load.errors / 2),
        ):
            exporter.grow("vllm:request_success_total", per_second * share, finished_reason=reason, **labels)
        for name, bounds, values in (
            ("time_to_first_token", FIRST_TOKEN_BOUNDS, load.first_token),
            (next_token, NEXT_TOKEN_BOUNDS, load.next_token),
            ("e2e_request_latency", REQUEST_BOUNDS, load.request),
        ):
            histogram(exporter, f"vllm:{name}_seconds", bounds, values, per_second, **labels)
        exporter.grow("vllm:generation_tokens_total", load.tokens[number], **labels)
        exporter.set("vllm:num_requests_waiting", load.queue[number], **labels)
        exporter.set(f"vllm:{cache}", load.cache[number], **labels)


def strangers(app: App, pods: str, revision: str, load: Load) -> None:
    """Series that are almost those of a version: of other apps, namespaces, versions, observers."""
    istio(app, revision, load, destination_service_namespace=f"{app.namespace}-b")
    istio(app, revision, load, destination_service_name=f"{app.name}-edge")
    istio(app, revision, load, destination_service_name=f"x{app.name}")
    istio(app, revision, load, reporter="destination")
    istio(app, revision, load, reporter="waypoint")
    istio(app, f"{revision}0", load)
    istio(app, "unknown", load)
    vllm(app, pods, load, namespace=f"{app.namespace}-b")
    vllm(app, f"x{pods}", load)
    vllm(app, f"{pods}0", load)
    vllm(app, pods.replace(app.name, f"{app.name}-edge"), load)


def full_window(app: App) -> float:
    """Wait for a moment with a scrape in each second of the window before it; on a busy machine some are missed."""
    app.exporter.set("settled", 1.0, namespace=app.namespace)
    scrapes = f'count_over_time(settled{{namespace="{app.namespace}"}}[{WINDOW + 2}s])'

    def moment() -> float | None:
        now = time.time()
        return now if app.fleet.query(scrapes, now) >= [WINDOW + 1] else None

    return wait_until(moment, "every second of the window was scraped", 360)


def judge(app: App, gate: Gate, situations: Mapping[str, str]) -> None:
    """Start a run for each metric in each situation: its pods' hash, which is its revision as well.

    All of them are answered as of the same moment, so that what is measured is known.
    """
    gate.freeze(full_window(app))
    made = runs.template(app, "steps")
    for name, (situation, hash_) in itertools.product(runs.deciding(made), situations.items()):
        window = f"{WINDOW}s"
        spec = runs.spec_of(
            made,
            name,
            canary_hash=hash_,
            stable_hash="0",
            revision=hash_,
            prometheus_address=gate.url,
            window=window,
        )
        runs.start(app, f"{name}-{situation}", spec)


@NEWEST
def test_a_preset_reads_its_own_version_and_judges_it_right(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    app = make_app(analysis={**ANALYSIS, "metrics": METRICS})
    app.release("1.0.0")
    hashes = {situation: f"5d4f6c7b8{index}" for index, situation in enumerate(LOADS)}
    for situation, load in LOADS.items():
        if situation != "missing":
            istio(app, hashes[situation], load)
            vllm(app, f"chat-{hashes[situation]}", load, renamed=situation != "between")
        if situation in {"good", "bad", "missing"}:
            opposite = LOADS["good" if situation == "bad" else "bad"]
            strangers(app, f"chat-{hashes[situation]}", hashes[situation], opposite)
    names = runs.deciding(runs.template(app, "steps"))
    judge(app, make_gate(), hashes)
    wanted = {f"{name}-{s}": LOADS[s].outcome for name in names for s in LOADS}
    assert runs.until_ended(app, wanted) == wanted
    for situation in ("good", "between", "bad"):
        for name, (value, tolerance) in expected(LOADS[situation]).items():
            seen = runs.values(app, f"{name}-{situation}")
            assert seen[0] == pytest.approx(value, rel=tolerance), (name, situation)


@NEWEST
def test_a_cluster_is_judged_by_its_own_series_in_a_store_that_several_share(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """Another cluster has the same app in the same namespace, with the same pods' hash and revision."""
    app = make_app(analysis={**ANALYSIS, "metrics": METRICS})
    app.settings({"metrics": {"labels": {"cluster": "$(cluster.name)"}}})
    app.release("1.0.0")
    situations = {"good": "bad", "bad": "good", "missing": "good", "few": "good"}
    hashes = {situation: f"5d4f6c7b8{index}" for index, situation in enumerate(situations)}
    for here, there in situations.items():
        for cluster, load in ((HERE, LOADS[here]), (f"{HERE}-2", LOADS[there])):
            if load is not LOADS["missing"]:
                istio(app, hashes[here], load, cluster=cluster)
                vllm(app, f"chat-{hashes[here]}", load, cluster=cluster)
    # series that name no cluster are of nobody
    istio(app, hashes["missing"], LOADS["good"])
    vllm(app, f"chat-{hashes['missing']}", LOADS["good"])
    names = runs.deciding(runs.template(app, "steps"))
    judge(app, make_gate(), hashes)
    wanted = {f"{name}-{s}": LOADS[s].outcome for name in names for s in situations}
    assert runs.until_ended(app, wanted) == wanted
    for situation in ("good", "bad"):
        for name, (value, tolerance) in expected(LOADS[situation]).items():
            seen = runs.values(app, f"{name}-{situation}")
            assert seen[0] == pytest.approx(value, rel=tolerance), (name, situation)


TABLE = {
    "good": (preset_cases.GOOD, False),
    "bad": (preset_cases.BAD, False),
    "old": (preset_cases.GOOD, True),
}
OF_THE_WINDOW = preset_cases.OVER_THE_WINDOW


def in_the_table() -> list[presets.Preset]:
    """The presets that ask Prometheus."""
    found = [preset for name in presets.all_names() if (preset := presets.find(name))]
    return [preset for preset in found if preset.provider is None]


def of_table(preset: presets.Preset, load: preset_cases.Load) -> float:
    """What a preset has to measure of a load."""
    if preset.name in OF_THE_WINDOW:
        return OF_THE_WINDOW[preset.name](load, WINDOW, 1)
    return preset_cases.MEASURED[preset.name](load)


def halfway(preset: presets.Preset) -> dict[str, object]:
    """A metric that judges the two loads differently, where they differ."""
    good, bad = (of_table(preset, load) for load in (preset_cases.GOOD, preset_cases.BAD))
    middle = round((good + bad) / 2, 12) if good != bad else good * (2 if preset.better == "lower" else 0.5)
    names = (
        ("promoteAbove", "rollbackBelow") if preset.better == "higher" else ("promoteBelow", "rollbackAbove")
    )
    quantile = {"quantile": preset_cases.QUANTILE} if preset.quantile else {}
    needs = {key: value for key, value in catalogue.example(preset).items() if key not in preset.suggest}
    return needs | quantile | dict.fromkeys(names, middle)


def outcome(preset: presets.Preset, load: preset_cases.Load) -> str:
    """How the controller has to judge a load by `halfway`."""
    metric = halfway(preset)
    value, bound = of_table(preset, load), float(str(metric.get("promoteAbove", metric.get("promoteBelow"))))
    return "Successful" if (value > bound) == (preset.better == "higher") else "Failed"


def run_of_table(made: Object, names: Collection[str], hash_: str, url: str) -> Object:
    """A run of some metrics on a version; at the gateway, a version has a model of its own."""
    spec = runs.spec_of(
        made, canary_hash=hash_, stable_hash="0", revision=hash_, prometheus_address=url, window=f"{WINDOW}s"
    )
    spec["metrics"] = [one for one in spec["metrics"] if one["name"] in names]
    kept = {f"^{name}$" for name in names}
    spec["measurementRetention"] = [one for one in spec["measurementRetention"] if one["metricName"] in kept]
    spec.pop("dryRun", None)
    return dict(json.loads(json.dumps(spec).replace("llama-3.1-8b-2026-11-01", f"m-{hash_}")))


@NEWEST
def test_every_preset_measures_the_series_of_its_stack(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    """All of the table, with the names of today and of older releases; one stack after the other.

    A run measures all of a stack: each once, before one that fails ends it. All stacks at once time out.
    """
    found = in_the_table()
    app = make_app(analysis={**ANALYSIS, "metrics": [halfway(preset) for preset in found]})
    app.release("1.0.0")
    hashes = {situation: f"5d4f6c7b8{index}" for index, situation in enumerate(TABLE)}
    for situation, (load, old) in TABLE.items():
        for one in preset_cases.version(app.name, app.namespace, hashes[situation], load, old=old):
            if one.per_second:
                app.exporter.grow(one.metric, one.per_second, **one.labels)
            else:
                app.exporter.set(one.metric, one.value, **one.labels)
    gate = make_gate()
    gate.freeze(full_window(app))
    made = runs.template(app, "steps")
    for stack in preset_cases.STACKS:
        of_stack = {preset.name.replace("/", "-"): preset for preset in found if preset.stack == stack}
        for situation, hash_ in hashes.items():
            runs.start(app, f"{stack}-{situation}", run_of_table(made, of_stack, hash_, gate.url))
        runs.until_ended(app, [f"{stack}-{situation}" for situation in TABLE])
        for situation, (load, _) in TABLE.items():
            results = runs.results(app, f"{stack}-{situation}")
            for name, preset in of_stack.items():
                first = results[name]["measurements"][0]
                value = float(first.get("value", "nan").strip("[]"))
                assert value == pytest.approx(of_table(preset, load), rel=RATE, abs=1e-9), (situation, first)
                assert first["phase"] == outcome(preset, load), (situation, name)


@NEWEST
def test_a_version_is_not_rolled_back_for_being_young(make_app: Callable[..., App]) -> None:
    """A rate over a window that the series does not fill reads low: 60 a second are 20 after a third of it."""
    rates = [one for one in METRICS if "per-second" in str(one["preset"])]
    app = make_app(analysis={**ANALYSIS, "count": 30, "metrics": rates})
    app.release("1.0.0")
    istio(app, runs.HASH, LOADS["good"])
    vllm(app, f"chat-{runs.HASH}", LOADS["good"])
    for stage in ("steps", "background"):
        made = runs.template(app, stage)
        hashes = {"canary_hash": runs.HASH, "stable_hash": f"{runs.HASH}0"}
        spec = runs.spec_of(made, revision=runs.HASH, window=f"{WINDOW}s", **hashes)
        runs.start(app, stage, spec)
    assert runs.until_ended(app, ["steps"]) == {"steps": "Successful"}
    runs.until_measured(app, "background", 8)
    assert runs.phase(app, "background") == "Running"


@NEWEST
def test_the_errors_of_grpc_and_of_a_waypoint_are_counted(
    make_app: Callable[..., App], make_gate: Callable[..., Gate]
) -> None:
    waypoint = {"reporter": "waypoint"}
    metrics = [METRICS[0], METRICS[1], {**METRICS[0], "name": "waypoint", "parameters": waypoint}]
    app = make_app(analysis={**ANALYSIS, "metrics": metrics}, exposure__protocol="grpc")
    app.release("1.0.0")
    hashes = {situation: f"5d4f6c7b8{index}" for index, situation in enumerate(LOADS)}
    for situation in ("good", "between", "bad"):
        istio(app, hashes[situation], LOADS[situation], "grpc")
        istio(app, hashes[situation], LOADS[situation], "grpc", reporter="waypoint")
    seen = {s: hashes[s] for s in ("good", "between", "bad")}
    judge(app, make_gate(), seen)
    names = ("istio-error-rate", "istio-success-rate", "waypoint")
    wanted = {f"{name}-{s}": LOADS[s].outcome for name in names for s in seen}
    assert runs.until_ended(app, wanted) == wanted
    for s in seen:
        assert runs.values(app, f"waypoint-{s}")[0] == pytest.approx(LOADS[s].errors, rel=RATIO)


GPU = {"promoteBelow": 50, "rollbackAbove": 90}
DCGM = "DCGM_FI_DEV_GPU_UTIL"


@NEWEST
@pytest.mark.parametrize("honoured", [False, True], ids=["honorLabels-false", "honorLabels-true"])
def test_the_pod_of_a_metric_is_the_one_that_is_scraped_unless_its_own_label_is_honoured(
    make_app: Callable[..., App], programs: Supervisor, tmp_path: Path, honoured: bool
) -> None:
    """A pod's own metrics have no label `pod`; an exporter for other pods has, and it is `exported_pod` by default."""
    metrics = [one for one in METRICS if one["preset"] == "vllm/queue"]
    metrics.append({"name": "gpu", "query": f"max({DCGM}{{$(selector)}})", **GPU})
    app = make_app(analysis={**ANALYSIS, "window": "2s", "minimumSamples": 0, "count": 1, "metrics": metrics})
    app.release("1.0.0")
    pod, gpus = f"chat-{runs.HASH}-x2v8k", f"{app.namespace}-dcgm-q9zzz"
    prometheus = own_prometheus(programs, tmp_path, app.namespace, honoured)
    with contextlib.closing(Exporter()) as vllm_pod, contextlib.closing(Exporter()) as dcgm:
        vllm_pod.set("vllm:num_requests_waiting", 2, model_name="m")
        dcgm.set(DCGM, 20, namespace=app.namespace, pod=pod)
        targets = [
            (vllm_pod, {"namespace": app.namespace, "pod": pod}),
            (dcgm, {"namespace": "gpus", "pod": gpus}),
        ]
        found = [{"targets": [one.address], "labels": labels} for one, labels in targets]
        (prometheus.targets / "all.json").write_text(json.dumps(found))
        for one, _ in targets:
            scraped(prometheus.url, one.address)
        own = f'{DCGM}{{pod="{pod}"}}', f'{DCGM}{{exported_pod="{pod}",pod="{gpus}"}}'
        assert [query(prometheus.url, asked) for asked in own] == ([[20], []] if honoured else [[], [20]])
        made = runs.template(app, "steps")
        for name in ("vllm-queue", "gpu"):
            spec = runs.spec_of(
                made, name, canary_hash=runs.HASH, stable_hash="0", revision=runs.HASH,
                prometheus_address=prometheus.url, window="5s",
            )  # fmt: skip
            runs.start(app, name, spec)
        ended = runs.until_ended(app, ["vllm-queue", "gpu"])
    assert ended == {"vllm-queue": "Successful", "gpu": "Successful" if honoured else "Inconclusive"}


def own_prometheus(supervisor: Supervisor, folder: Path, name: str, honoured: bool) -> Prometheus:
    """A Prometheus whose jobs honour the labels of what they scrape, or keep their own, as is its default."""
    prometheus = Prometheus.start(supervisor, folder / name)
    path = folder / name / "prometheus.yml"
    config = yaml.safe_load(path.read_text())
    for job in config["scrape_configs"]:
        job["honor_labels"] = honoured
    path.write_text(yaml.safe_dump(config))
    prometheus.process.popen.send_signal(signal.SIGHUP)
    asked = f"honor_labels: {str(honoured).lower()}"

    def heeded() -> bool:
        said = str(get_json(f"{prometheus.url}/api/v1/status/config")["data"]["yaml"])
        return asked in said or (not honoured and "honor_labels: true" not in said)

    wait_until(heeded, "Prometheus has read its configuration again", 30)
    return prometheus
