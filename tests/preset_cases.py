"""For every ready metric: series with the stack's own names, labels and bounds, and what it has to measure on them.

Two pods of a version share its load evenly; their gauges differ, and one has all that is slow. Each load is written with the names of today and
with those of older releases (or as a job or another exporter labels them), and has to be read the same.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

QUANTILE = 0.95
SLOW = 0.1  # share of the requests; one of the pods has them all
Labels = dict[str, str]


class Load(NamedTuple):
    """How one version is asked and how it answers."""

    per_second: float
    errors: float  # share of the requests
    times: tuple[float, float]  # seconds; most requests, and the slow ones
    tokens: tuple[float, float]  # of a request: prompt, answer
    share: tuple[float, float]  # gauges between 0 and 1, of each pod
    level: tuple[float, float]  # other gauges, of each pod


GOOD = Load(60, 0.005, (0.021, 0.095), (500, 120), (0.31, 0.62), (1, 3))
BAD = Load(12, 0.25, (0.37, 3.3), (900, 700), (0.72, 0.96), (17, 41))


class Series(NamedTuple):
    """A series that has a value, or grows by so much a second."""

    metric: str
    labels: Labels
    value: float = 0.0
    per_second: float = 0.0


class Pod(NamedTuple):
    """One of the pods of a version that has series: labels that find it, its part of the load, and its gauges."""

    labels: Labels
    version: str  # digest of its pods
    app: str
    namespace: str
    number: int
    load: Load
    old: bool

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.load.per_second / 2

    @property
    def share(self) -> float:
        """Its gauges between 0 and 1."""
        return self.load.share[self.number]

    @property
    def level(self) -> float:
        """Its other gauges."""
        return self.load.level[self.number]

    def counter(self, metric: str, per_second: float, **labels: str) -> Series:
        """A counter."""
        return Series(metric, self.labels | labels, per_second=per_second)

    def gauge(self, metric: str, value: float, **labels: str) -> Series:
        """A gauge."""
        return Series(metric, self.labels | labels, value)

    def split(self, metric: str, good: Labels, bad: Labels, **labels: str) -> Iterator[Series]:
        """Its requests as a counter, by whether they failed."""
        yield self.counter(metric, self.rate * (1 - self.load.errors), **good, **labels)
        yield self.counter(metric, self.rate * self.load.errors, **bad, **labels)

    def histogram(
        self, metric: str, bounds: Sequence[float], *amounts: float, **labels: str
    ) -> Iterator[Series]:
        """Cumulative buckets of its times. `amounts`: seconds times what, and of which share of the requests."""
        scale, part = (*amounts, 1.0, 1.0)[:2]
        rate = self.rate * part
        for bound in (*bounds, math.inf):
            inside = rate * _below(bound, self.load.times, scale, 2 * SLOW * self.number)
            le = "+Inf" if bound == math.inf else f"{bound:g}"
            yield self.counter(f"{metric}_bucket", inside, le=le, **labels)
        yield self.counter(f"{metric}_count", rate, **labels)

    def summed(self, metric: str, mean: float, **labels: str) -> Iterator[Series]:
        """Sum and count of a histogram of something of each request."""
        yield self.counter(f"{metric}_sum", self.rate * mean, **labels)
        yield self.counter(f"{metric}_count", self.rate, **labels)


def _below(bound: float, times: tuple[float, float], scale: float, slow: float) -> float:
    return (1 - slow) * (times[0] * scale <= bound) + slow * (times[1] * scale <= bound)


def quantile(bounds: Sequence[float], times: tuple[float, float], scale: float = 1) -> float:
    """What a histogram can tell: even within its bucket, counted from the bucket's lower bound."""
    below, low = 0.0, 0.0
    for bound in bounds:
        upto = _below(bound, times, scale, SLOW)
        if upto >= QUANTILE:
            return low + (bound - low) * (QUANTILE - below) / (upto - below)
        below, low = upto, bound
    return bounds[-1]


# Bounds as the stacks have them

ISTIO_MS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)
FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
NEXT = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
VLLM_REQUEST = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0)
SGLANG = (0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400)
SGLANG_NEXT = (
    0.002,
    0.004,
    0.006,
    0.008,
    0.01,
    0.015,
    0.02,
    0.025,
    0.03,
    0.04,
    0.06,
    0.08,
    0.1,
    0.2,
    0.4,
    1,
    2,
    4,
)
TGI = (0.0001, 0.00015, 0.0002, 0.01, 0.05, 0.1, 0.5, 1, 2, 4, 8)
TRITON_MS = (100, 500, 2000, 5000)
TENSORFLOW_US = tuple(10 * 1.8**power for power in range(33))
CLIENT = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
RAY_MS = (1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 1000, 2000, 5000, 10000)
GENAI = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
MCP = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


# Series, a function for each stack


def istio(pod: Pod) -> Iterator[Series]:
    more = {
        "reporter": "source",
        "request_protocol": "http",
        "destination_service_name": pod.app,
        "destination_service_namespace": pod.namespace,
        "destination_canonical_revision": pod.version,
        "source_workload": f"caller-{pod.number}",
    }
    proxy = pod._replace(labels=more)
    good, bad = (
        {"response_code": "200", "response_flags": "-"},
        {"response_code": "503", "response_flags": "UH"},
    )
    yield from proxy.split("istio_requests_total", good, bad)
    yield proxy.counter("istio_requests_total", proxy.rate * 0.1, response_code="429", response_flags="-")
    yield from proxy.histogram("istio_request_duration_milliseconds", ISTIO_MS, 1000)


def vllm(pod: Pod) -> Iterator[Series]:
    model = {"model_name": "m", "engine": "0"}
    hit, asked = (
        ("gpu_prefix_cache_hits", "gpu_prefix_cache_queries")
        if pod.old
        else ("prefix_cache_hits", "prefix_cache_queries")
    )
    gap = "time_per_output_token" if pod.old else "inter_token_latency"
    cache = "gpu_cache_usage_perc" if pod.old else "kv_cache_usage_perc"
    prompt, answer = pod.load.tokens
    for reason, part in (
        ("stop", 1 - pod.load.errors - 0.02),
        ("length", 0.02),
        ("error", pod.load.errors / 2),
        ("abort", pod.load.errors / 2),
    ):
        yield pod.counter("vllm:request_success_total", pod.rate * part, finished_reason=reason, **model)
    yield from pod.split(
        "http_requests_total",
        {"status": "2xx"},
        {"status": "5xx"},
        handler="/v1/chat/completions",
        method="POST",
    )
    yield pod.counter("http_requests_total", 9, status="5xx", handler="/health", method="GET")
    for name, bounds in (
        ("time_to_first_token", FIRST),
        (gap, NEXT),
        ("request_time_per_output_token", NEXT),
        ("e2e_request_latency", VLLM_REQUEST),
        ("request_queue_time", VLLM_REQUEST),
    ):
        yield from pod.histogram(f"vllm:{name}_seconds", bounds, **model)
    yield from pod.summed("vllm:request_prompt_tokens", prompt, **model)
    yield from pod.summed("vllm:request_generation_tokens", answer, **model)
    yield pod.counter("vllm:generation_tokens_total", pod.rate * answer, **model)
    yield pod.counter("vllm:num_preemptions_total", pod.rate * 0.3, **model)
    yield pod.counter(f"vllm:{hit}_total", pod.share * 1000, **model)
    yield pod.counter(f"vllm:{asked}_total", 1000, **model)
    yield pod.gauge("vllm:num_requests_waiting", pod.level, **model)
    yield pod.gauge(f"vllm:{cache}", pod.share, **model)


def sglang(pod: Pod) -> Iterator[Series]:
    model = {"model_name": "m", "engine_type": "unified", "tp_rank": "0", "pp_rank": "0"}
    prompt, answer = pod.load.tokens
    yield pod.counter("sglang:num_requests_total", pod.rate, **model)
    yield pod.counter("sglang:num_aborted_requests_total", pod.rate * pod.load.errors, **model)
    yield from pod.split(
        "sglang:http_responses_total",
        {"status_code": "200"},
        {"status_code": "500"},
        endpoint="/generate",
        method="POST",
    )
    yield pod.counter("sglang:http_responses_total", 9, status_code="503", endpoint="/health", method="GET")
    stream = {} if pod.old else {"is_streaming": "true"}
    yield from pod.histogram("sglang:time_to_first_token_seconds", SGLANG, **model, **stream)
    if not pod.old:
        slow = pod._replace(load=pod.load._replace(times=(300, 300)))
        yield from slow.histogram("sglang:time_to_first_token_seconds", SGLANG, **model, is_streaming="false")
    yield from pod.histogram("sglang:inter_token_latency_seconds", SGLANG_NEXT, **model)
    yield from pod.histogram("sglang:e2e_request_latency_seconds", SGLANG, **model)
    yield from pod.histogram("sglang:queue_time_seconds", SGLANG, **model)
    yield pod.counter("sglang:prompt_tokens_total", pod.rate * prompt, **model)
    yield pod.counter("sglang:generation_tokens_total", pod.rate * answer, **model)
    yield pod.counter("sglang:cached_tokens_total", pod.rate * prompt * 0.4, **model)
    yield pod.gauge("sglang:num_queue_reqs", pod.level, **model)
    yield pod.gauge("sglang:token_usage", pod.share, **model)


def tgi(pod: Pod) -> Iterator[Series]:
    prompt, answer = pod.load.tokens
    yield pod.counter("tgi_request_count", pod.rate)
    yield pod.counter("tgi_request_success", pod.rate * (1 - pod.load.errors))
    yield pod.counter("tgi_request_failure", pod.rate * pod.load.errors, err="overloaded")
    for name in ("request_duration", "request_mean_time_per_token_duration", "request_queue_duration"):
        yield from pod.histogram(f"tgi_{name}", TGI)
    yield from pod.summed("tgi_request_input_length", prompt)
    yield from pod.summed("tgi_request_generated_tokens", answer)
    yield pod.gauge("tgi_queue_size", pod.level)


def triton(pod: Pod) -> Iterator[Series]:
    model = {"model": "fraud", "version": "1"}
    good, bad = pod.rate * (1 - pod.load.errors), pod.rate * pod.load.errors
    yield pod.counter("nv_inference_request_success", good, **model)
    for reason, per_second in (
        {"": bad}.items() if pod.old else {"BACKEND": bad, "REJECTED": 0, "OTHER": 0}.items()
    ):
        yield pod.counter(
            "nv_inference_request_failure", per_second, **model, **({"reason": reason} if reason else {})
        )
    for name in ("request", "queue", "compute_infer"):
        yield pod.counter(f"nv_inference_{name}_duration_us", good * pod.load.times[0] * 1e6, **model)
    yield from pod.histogram("nv_inference_first_response_histogram_ms", TRITON_MS, 1000, **model)
    yield pod.gauge("nv_inference_pending_request_count", pod.level, **model)
    yield pod.counter("nv_cache_num_hits_per_model", good * 0.4, **model)
    yield pod.counter("nv_cache_num_misses_per_model", good * 0.6, **model)
    yield pod.gauge("nv_gpu_utilization", pod.share, gpu_uuid="GPU-0")
    yield pod.gauge("nv_gpu_memory_used_bytes", pod.share * 8e10, gpu_uuid="GPU-0")
    yield pod.gauge("nv_gpu_memory_total_bytes", 8e10, gpu_uuid="GPU-0")


def tensorflow_serving(pod: Pod) -> Iterator[Series]:
    name = ":tensorflow:serving:"
    yield from pod.split(f"{name}request_count", {"status": "OK"}, {"status": "INTERNAL"}, model_name="fraud")
    yield from pod.histogram(
        f"{name}request_latency", TENSORFLOW_US, 1e6, model_name="fraud", API="predict", entrypoint="REST"
    )
    yield from pod.histogram(
        f"{name}runtime_latency", TENSORFLOW_US, 1e6, model_name="fraud", API="predict", runtime="TF1"
    )


def torchserve(pod: Pod) -> Iterator[Series]:
    host, model = (
        {"Level": "Host", "Hostname": "h"},
        {"model_name": "fraud", "model_version": "default", "hostname": "h"},
    )
    yield pod.counter("Requests2XX", pod.rate * (1 - pod.load.errors), **host)
    yield pod.counter("Requests5XX", pod.rate * pod.load.errors, **host)
    if not pod.old:  # a counter is there once it has counted
        yield pod.counter("Requests4XX", 0, **host)
    yield pod.counter("ts_inference_requests_total", pod.rate, **model)
    for name in ("inference", "queue"):
        yield pod.counter(f"ts_{name}_latency_microseconds", pod.rate * pod.load.times[0] * 1e6, **model)
    yield pod.gauge("GPUUtilization", pod.share * 100, **host, DeviceId="0")
    yield pod.gauge("GPUMemoryUtilization", pod.share * 100, **host, DeviceId="0")


def kserve(pod: Pod) -> Iterator[Series]:
    for name in ("preprocess", "predict", "postprocess", "explain"):
        yield from pod.histogram(f"request_{name}_seconds", CLIENT, model_name="fraud")


def bentoml(pod: Pod) -> Iterator[Series]:
    more = {"endpoint": "/predict", "service_name": "fraud", "service_version": "1"}
    good, bad = {"http_response_code": "200"}, {"http_response_code": "500"}
    yield from pod.split("bentoml_service_request_total", good, bad, **more)
    yield from pod.histogram("bentoml_service_request_duration_seconds", CLIENT, **more, **good)
    yield pod.gauge("bentoml_service_request_in_progress", pod.level, **more)


def ray_serve(pod: Pod) -> Iterator[Series]:
    end = "" if pod.old else "_total"
    more = {"route": "/fraud", "method": "POST", "application": "fraud"}
    yield from pod.split(
        f"ray_serve_num_http_requests{end}", {"status_code": "200"}, {"status_code": "500"}, **more
    )
    yield pod.counter(
        f"ray_serve_num_http_requests{end}", 9, **more | {"route": "/-/healthz"}, status_code="200"
    )
    yield pod.counter(
        f"ray_serve_num_http_error_requests{end}", pod.rate * pod.load.errors, **more, error_code="500"
    )
    yield pod.counter(f"ray_serve_num_http_error_requests{end}", 1, **more, error_code="404")
    yield from pod.histogram("ray_serve_http_request_latency_ms", RAY_MS, 1000, **more, status_code="200")
    yield pod.gauge(
        "ray_serve_deployment_queued_queries", pod.level, application="fraud", deployment="d", handle="h"
    )


def _by_error(pod: Pod, metric: str, bounds: Sequence[float], error: str, **labels: str) -> Iterator[Series]:
    """A histogram of OpenTelemetry: what failed has a label more."""
    for part, more in ((1 - pod.load.errors, {}), (pod.load.errors, {"error_type": error})):
        yield from pod.histogram(metric, bounds, 1, part, **labels, **more)


def _tokens(pod: Pod, metric: str, **labels: str) -> Iterator[Series]:
    for kind, tokens in zip(("input", "output"), pod.load.tokens, strict=True):
        yield from pod.summed(metric, tokens, **labels, gen_ai_token_type=kind)


def envoy_ai_gateway(pod: Pod) -> Iterator[Series]:
    model = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "openai",
        "gen_ai_original_model": "chat",
        "gen_ai_request_model": f"m-{pod.version}",
        "gen_ai_response_model": "m",
    }
    gateway = pod._replace(labels={"namespace": "gateways", "pod": f"envoy-{pod.number}"})
    yield from _by_error(gateway, "gen_ai_server_request_duration_seconds", GENAI, "_OTHER", **model)
    yield from gateway.histogram("gen_ai_server_time_to_first_token_seconds", FIRST, **model)
    yield from gateway.histogram("gen_ai_server_time_per_output_token_seconds", NEXT, **model)
    yield from _tokens(gateway, f"gen_ai_client_token_usage{'_token' if pod.old else ''}", **model)
    yield from _by_error(
        pod, f"mcp_request_duration{'' if pod.old else '_seconds'}", CLIENT, "internal_error", mcp_backend="b"
    )
    yield from pod.split(
        "mcp_method_count_total", {"status": "success", "mcp_method_name": "tools/call"}, {"status": "error"}
    )


def otel_genai(pod: Pod) -> Iterator[Series]:
    unit, call = ("", "inference" if pod.number else "operation") if pod.old else ("_seconds", "inference")
    model = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "openai", "gen_ai_request_model": "m"}
    yield from _by_error(pod, f"gen_ai_server_request_duration{unit}", GENAI, "timeout", **model)
    yield from pod.histogram(f"gen_ai_server_time_to_first_token{unit}", FIRST, **model)
    yield from pod.histogram(f"gen_ai_server_time_per_output_token{unit}", NEXT, **model)
    yield from _by_error(pod, f"gen_ai_client_{call}_duration{unit}", GENAI, "timeout", **model)
    tool = {**model, "gen_ai_operation_name": "execute_tool"}
    yield from _by_error(pod, f"gen_ai_client_operation_duration{unit}", GENAI, "timeout", **tool)
    if pod.old:
        yield from _tokens(
            pod, "gen_ai_client_token_usage_token" if pod.number else "gen_ai_client_token_usage", **model
        )
    else:
        for kind, tokens in zip(("input", "output"), pod.load.tokens, strict=True):
            name = f"gen_ai_client_inference_usage_{kind}_tokens_total"
            yield pod.counter(name, pod.rate * tokens, **model, gen_ai_token_modality="text")


def otel_mcp(pod: Pod) -> Iterator[Series]:
    unit = "" if pod.old else "_seconds"
    more = {"mcp_method_name": "tools/call", "gen_ai_tool_name": "search"}
    for side in ("server", "client"):
        yield from _by_error(pod, f"mcp_{side}_operation_duration{unit}", MCP, "tool_error", **more)
    yield from _by_error(pod, f"mcp_server_session_duration{unit}", MCP, "timeout")


def dcgm(pod: Pod) -> Iterator[Series]:
    node = {"gpu": "0", "UUID": "GPU-0", "device": "nvidia0", "modelName": "H100", "container": "server"}
    if pod.old:  # the labels of what is scraped are its own
        theirs = {f"exported_{name}": value for name, value in pod.labels.items()}
        pod = pod._replace(labels={"namespace": "gpus", "pod": "dcgm-exporter-q9zzz"} | theirs)
    yield pod.gauge("DCGM_FI_DEV_GPU_UTIL", pod.share * 100, **node)
    yield pod.gauge("DCGM_FI_PROF_GR_ENGINE_ACTIVE", pod.share, **node)
    yield pod.gauge("DCGM_FI_DEV_FB_USED", pod.share * 80000, **node)
    yield pod.gauge("DCGM_FI_DEV_FB_FREE", (1 - pod.share) * 80000, **node)
    yield pod.gauge("DCGM_FI_DEV_GPU_TEMP", pod.level, **node)
    yield pod.gauge("DCGM_FI_DEV_POWER_USAGE", pod.level * 10, **node)
    # a gauge that moves: each scrape has another code
    yield pod.counter("DCGM_FI_DEV_XID_ERRORS", 0 if pod.load is GOOD else 1, **node)
    yield pod.counter("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", pod.load.errors, **node)


def _contract(pod: Pod) -> Pod:
    """Series of the pods, or of a job that says of which version they are."""
    job = {"namespace": "jobs", "pod": f"drift-{pod.number}", "app": pod.app, "revision": pod.version}
    return pod._replace(labels=job if pod.old else pod.labels | {"app": pod.app})


def _requests(found: Pod) -> Series:
    """What feedback and cost are counted by."""
    return found.counter("model_requests_total", found.rate, channel="web", tenant="acme")


def drift(pod: Pod) -> Iterator[Series]:
    found = _contract(pod)
    yield found.gauge("model_drift_samples", pod.load.per_second * 100)
    for name in (
        "psi",
        "kl_divergence",
        "js_distance",
        "ks_statistic",
        "wasserstein_distance",
        "prediction_psi",
        "missing_values",
        "out_of_range_values",
    ):
        yield found.gauge(f"model_{name}", pod.share, feature="amount")


def quality(pod: Pod) -> Iterator[Series]:
    found = _contract(pod)
    yield found.gauge("model_evaluations", pod.load.per_second * 100)
    for name in (
        "accuracy",
        "precision",
        "recall",
        "f1",
        "auc",
        "rmse",
        "judge_score",
        "groundedness",
        "toxicity",
    ):
        yield found.gauge(f"model_{name}", pod.share, slice="de")


def feedback(pod: Pod) -> Iterator[Series]:
    found = _contract(pod)
    yield found.gauge("model_feedback_ratings", pod.load.per_second * 100)
    yield found.gauge("model_feedback_score", pod.share, channel="web")
    yield from found.split(
        "model_feedback_total", {"rating": "positive"}, {"rating": "negative"}, channel="web"
    )
    yield _requests(found)
    yield found.counter("model_complaints_total", pod.rate * pod.load.errors, channel="web")
    yield found.counter("model_conversions_total", pod.rate * (1 - pod.load.errors), channel="web")


def cost(pod: Pod) -> Iterator[Series]:
    found = _contract(pod)
    yield _requests(found)
    yield found.counter("model_cost_total", pod.rate * _price(pod.load), tenant="acme")
    for kind, tokens in zip(("input", "output"), pod.load.tokens, strict=True):
        yield found.counter("model_tokens_total", pod.rate * tokens, tenant="acme", type=kind)


STACKS: dict[str, Callable[[Pod], Iterator[Series]]] = {
    "istio": istio, "vllm": vllm, "sglang": sglang, "tgi": tgi, "triton": triton,
    "tensorflow-serving": tensorflow_serving, "torchserve": torchserve, "kserve": kserve, "bentoml": bentoml,
    "ray-serve": ray_serve, "envoy-ai-gateway": envoy_ai_gateway, "otel-genai": otel_genai, "otel-mcp": otel_mcp,
    "dcgm": dcgm, "drift": drift, "quality": quality, "feedback": feedback, "cost": cost,
}  # fmt: skip


def version(app: str, namespace: str, hash_: str, load: Load, *, old: bool = False) -> list[Series]:
    """All that is counted of a version of an app; its pods' hash is its digest as well."""
    found: list[Series] = []
    for number, end in enumerate(("x2v8k", "q9zzz")):
        labels = {"namespace": namespace, "pod": f"{app}-{hash_}-{end}"}
        pod = Pod(labels, hash_, app, namespace, number, load, old)
        for make in STACKS.values():
            found += (one for one in make(pod) if one.metric != "model_requests_total" or make is cost)
    return found


# What each has to measure


def _price(load: Load) -> float:
    """Of a request, by the prices of the examples."""
    return (load.tokens[0] * 0.15 + load.tokens[1] * 0.60) / 1e6


Measured = Callable[[Load], float]


def _q(bounds: Sequence[float], scale: float = 1, unit: float = 1) -> Measured:
    return lambda load: quantile(bounds, load.times, scale) * unit


def errors(load: Load) -> float:
    return load.errors


def per_second(load: Load) -> float:
    return load.per_second


def highest(load: Load) -> float:
    return load.share[1]


def lowest(load: Load) -> float:
    return load.share[0]


def level(load: Load) -> float:
    return load.level[1]


def prompt(load: Load) -> float:
    return load.tokens[0]


def answer(load: Load) -> float:
    return load.tokens[1]


def a_pod_a_second(load: Load) -> float:
    return load.per_second / 2 * load.tokens[1]


def good_per_second(load: Load) -> float:
    return load.per_second * (1 - load.errors)


def mean_ms(load: Load) -> float:
    return load.times[0] * 1000


def always(value: float) -> Measured:
    return lambda load: value


MEASURED: dict[str, Measured] = {
    "istio/error-rate": lambda load: load.errors / 1.1,
    "istio/success-rate": lambda load: 1 - load.errors / 1.1,
    "istio/latency": _q(ISTIO_MS, 1000),
    "istio/requests-per-second": lambda load: load.per_second * 1.1,
    "istio/client-error-rate": always(0.1 / 1.1),
    "istio/response-code-rate": lambda load: (load.errors + 0.1) / 1.1,
    "istio/cut-off-rate": lambda load: load.errors / 1.1,
    "vllm/time-to-first-token": _q(FIRST),
    "vllm/inter-token-latency": _q(NEXT),
    "vllm/time-per-output-token": _q(NEXT),
    "vllm/request-latency": _q(VLLM_REQUEST),
    "vllm/error-rate": errors,
    "vllm/finish-reason-rate": always(0.02),
    "vllm/http-error-rate": errors,
    "vllm/requests-per-second": per_second,
    "vllm/tokens-per-second": a_pod_a_second,
    "vllm/queue": level,
    "vllm/queue-time": _q(VLLM_REQUEST),
    "vllm/preemptions-per-request": always(0.3),
    "vllm/kv-cache-usage": highest,
    "vllm/prefix-cache-hit-rate": lambda load: sum(load.share) / 2,
    "vllm/prompt-tokens-per-request": prompt,
    "vllm/tokens-per-request": answer,
    "vllm/cost-per-request": _price,
    "sglang/time-to-first-token": _q(SGLANG),
    "sglang/inter-token-latency": _q(SGLANG_NEXT),
    "sglang/request-latency": _q(SGLANG),
    "sglang/http-error-rate": errors,
    "sglang/aborts-per-request": errors,
    "sglang/requests-per-second": per_second,
    "sglang/tokens-per-second": a_pod_a_second,
    "sglang/queue": level,
    "sglang/queue-time": _q(SGLANG),
    "sglang/kv-cache-usage": highest,
    "sglang/cache-hit-rate": always(0.4),
    "sglang/prompt-tokens-per-request": prompt,
    "sglang/tokens-per-request": answer,
    "sglang/cost-per-request": _price,
    "tgi/request-latency": _q(TGI),
    "tgi/time-per-token": _q(TGI),
    "tgi/error-rate": errors,
    "tgi/requests-per-second": per_second,
    "tgi/tokens-per-second": a_pod_a_second,
    "tgi/queue": level,
    "tgi/queue-time": _q(TGI),
    "tgi/prompt-tokens-per-request": prompt,
    "tgi/tokens-per-request": answer,
    "tgi/cost-per-request": _price,
    "triton/error-rate": errors,
    "triton/mean-latency": mean_ms,
    "triton/mean-queue-time": mean_ms,
    "triton/mean-compute-time": mean_ms,
    "triton/first-response-latency": _q(TRITON_MS, 1000),
    "triton/requests-per-second": good_per_second,
    "triton/queue": level,
    "triton/cache-hit-rate": always(0.4),
    "triton/gpu-utilization": highest,
    "triton/gpu-memory": highest,
    "tensorflow-serving/error-rate": errors,
    "tensorflow-serving/request-latency": _q(TENSORFLOW_US, 1e6, 1e-3),
    "tensorflow-serving/runtime-latency": _q(TENSORFLOW_US, 1e6, 1e-3),
    "tensorflow-serving/requests-per-second": per_second,
    "torchserve/error-rate": errors,
    "torchserve/mean-latency": mean_ms,
    "torchserve/mean-queue-time": mean_ms,
    "torchserve/requests-per-second": per_second,
    "torchserve/gpu-utilization": highest,
    "torchserve/gpu-memory": highest,
    "kserve/predict-latency": _q(CLIENT),
    "kserve/preprocess-latency": _q(CLIENT),
    "kserve/postprocess-latency": _q(CLIENT),
    "kserve/explain-latency": _q(CLIENT),
    "kserve/requests-per-second": per_second,
    "bentoml/error-rate": errors,
    "bentoml/request-latency": _q(CLIENT),
    "bentoml/in-progress": level,
    "bentoml/requests-per-second": per_second,
    "ray-serve/error-rate": errors,
    "ray-serve/request-latency": _q(RAY_MS, 1000),
    "ray-serve/queue": level,
    "ray-serve/requests-per-second": per_second,
    "envoy-ai-gateway/error-rate": errors,
    "envoy-ai-gateway/request-latency": _q(GENAI),
    "envoy-ai-gateway/time-to-first-token": _q(FIRST),
    "envoy-ai-gateway/time-per-output-token": _q(NEXT),
    "envoy-ai-gateway/requests-per-second": per_second,
    "envoy-ai-gateway/prompt-tokens-per-request": prompt,
    "envoy-ai-gateway/tokens-per-request": answer,
    "envoy-ai-gateway/cost-per-request": _price,
    "envoy-ai-gateway/mcp-error-rate": errors,
    "envoy-ai-gateway/mcp-latency": _q(CLIENT),
    "envoy-ai-gateway/mcp-method-error-rate": errors,
    "otel-genai/server-error-rate": errors,
    "otel-genai/server-latency": _q(GENAI),
    "otel-genai/time-to-first-token": _q(FIRST),
    "otel-genai/time-per-output-token": _q(NEXT),
    "otel-genai/server-requests-per-second": per_second,
    "otel-genai/error-rate": errors,
    "otel-genai/latency": _q(GENAI),
    "otel-genai/requests-per-second": per_second,
    "otel-genai/prompt-tokens-per-request": prompt,
    "otel-genai/tokens-per-request": answer,
    "otel-genai/cost-per-request": _price,
    "otel-mcp/error-rate": errors,
    "otel-mcp/latency": _q(MCP),
    "otel-mcp/requests-per-second": per_second,
    "otel-mcp/client-error-rate": errors,
    "otel-mcp/client-latency": _q(MCP),
    "otel-mcp/client-requests-per-second": per_second,
    "otel-mcp/session-error-rate": errors,
    "dcgm/gpu-utilization": highest,
    "dcgm/engine-active": highest,
    "dcgm/gpu-memory": highest,
    "dcgm/gpu-memory-used": lambda load: load.share[1] * 80000,
    "dcgm/temperature": level,
    "dcgm/power": lambda load: sum(load.level) / 2 * 10,
    "drift/psi": highest,
    "drift/kl-divergence": highest,
    "drift/js-distance": highest,
    "drift/ks-statistic": highest,
    "drift/wasserstein-distance": highest,
    "drift/prediction-psi": highest,
    "drift/missing-values": highest,
    "drift/out-of-range-values": highest,
    "quality/accuracy": lowest,
    "quality/precision": lowest,
    "quality/recall": lowest,
    "quality/f1": lowest,
    "quality/auc": lowest,
    "quality/rmse": highest,
    "quality/judge-score": lowest,
    "quality/groundedness": lowest,
    "quality/toxicity": highest,
    "feedback/score": lowest,
    "feedback/negative-share": errors,
    "feedback/complaint-rate": errors,
    "feedback/conversion": lambda load: 1 - load.errors,
    "cost/per-request": _price,
    "cost/tokens-per-request": lambda load: sum(load.tokens),
    "cost/tokens-price-per-request": _price,
    "cost/per-second": lambda load: load.per_second * _price(load),
}
"""By preset, with its example's parameters; but for those whose value depends on the window."""

OVER_THE_WINDOW: dict[str, Callable[[Load, float, float], float]] = {
    # two pods, each with another code at every scrape
    "dcgm/xid-errors": lambda load, window, step: 0 if load is GOOD else 2 * window / step,
    "dcgm/remapped-rows": lambda load, window, step: 2 * load.errors * window,
}
"""The same of those that count what happened: also by the window and the seconds between two scrapes."""
