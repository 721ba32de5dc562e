"""`canaryfleet presets`, and what a spec says of one: refused with its place, or in the AnalysisTemplate as meant."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from driver import Repo, run
from jsonschema import Draft202012Validator

from canaryfleet import presets

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"


@pytest.fixture
def spec(repo: Repo) -> Any:
    """A function that makes this the app's only metric."""
    text = (repo.root / "specs/chat/canary.yaml").read_text()
    data = yaml.safe_load(text)

    def write(metric: dict[str, Any]) -> Repo:
        data["analysis"] = {"metrics": [metric]}
        repo.write("specs/chat/canary.yaml", yaml.safe_dump(data, sort_keys=False))
        return repo

    return write


def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def template(repo: Repo) -> dict[str, Any]:
    """The AnalysisTemplate of the steps."""
    assert repo.run("render").code == 0
    (path,) = repo.root.glob("overlays/chat/releases/*/analysis.yaml")
    return next(one for one in yaml.safe_load_all(path.read_text()) if "-steps-" in one["metadata"]["name"])


# The command


def test_the_list_is_of_all_or_of_a_stack(tmp_path: Path) -> None:
    lines = run("presets").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == presets.all_names()
    lines = run("presets", "--stack", "drift").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(presets.stack("drift"))


def test_the_list_for_programs_is_as_its_schema_says() -> None:
    result = run("presets", "--output", "json")
    schema("presets").validate(result.json)
    assert [one["name"] for one in result.json["presets"]] == presets.all_names()
    assert result.json["presets"][0] == {
        "name": "istio/error-rate",
        "title": "Share of the requests that failed (HTTP 5xx, or a gRPC status other than OK)",
        "unit": "ratio",
        "better": "lower",
        "quantile": False,
        "verified": "source",
    }


def test_one_is_explained_for_an_app_as_its_release_asks_it(spec: Any) -> None:
    repo = spec(metric("vllm/queue") | {"minimumSamples": 0})
    (made, *_) = template(repo)["spec"]["metrics"]
    shown = repo.run("presets", "show", "vllm/queue", "--app", "chat", "--output", "json")
    schema("preset").validate(shown.json)
    assert shown.json["preset"]["query"] == made["provider"]["prometheus"]["query"]
    said = repo.run("presets", "show", "vllm/queue", "--app", "chat").out
    for part in (
        made["provider"]["prometheus"]["query"],
        "promoteBelow 4",
        "better when lower",
        "- {preset: vllm/queue, ",
    ):
        assert part in said


@pytest.mark.parametrize("name", presets.all_names())
def test_each_is_explained_without_a_repository(name: str) -> None:
    result = run("presets", "show", name, "--output", "json")
    assert (result.code, result.err) == (0, "")
    schema("preset").validate(result.json)
    assert run("presets", "show", name).out.startswith(f"{name}: ")


def test_what_a_fleet_selects_by_makes_no_lines_of_its_own(repo: Repo) -> None:
    repo.replace(
        "fleet.yaml", "metrics: {", 'metrics: {selector: "pod=~\\"$(hash)\\"\\n::error::x \\e[31m", '
    )
    said = repo.run("presets", "show", "vllm/queue", "--app", "chat").out
    assert "::error::x" in said
    assert not any(line.startswith("::") or "\033" in line for line in said.splitlines())


def test_names_that_changed_are_told() -> None:
    said = run("presets", "show", "vllm/kv-cache-usage").out
    assert "vllm:gpu_cache_usage_perc became vllm:kv_cache_usage_perc (0.9)" in said
    assert "became" not in run("presets", "show", "vllm/queue").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "vllm/time-to-frist-token"), "did you mean vllm/time-to-first-token?"),
        (("--stack", "sglnag"), "did you mean sglang?"),
        (("show",), "usage"),
        (("shwo", "vllm/queue"), "usage"),
    ],
)
def test_a_typo_is_wrong_usage(arguments: tuple[str, ...], said: str) -> None:
    result = run("presets", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_an_app_that_is_not_there_or_can_not_be_read_is_a_finding(repo: Repo) -> None:
    result = repo.run("presets", "show", "vllm/queue", "--app", "chta")
    assert result.code == 1
    assert "no app chta" in result.err
    repo.write("specs/chat/canary.yaml", "version: [\n")
    result = repo.run("presets", "show", "vllm/queue", "--app", "chat")
    assert (result.code, result.out) == (1, "")
    assert "specs/chat/canary.yaml:" in result.err


# What a spec says of one


def metric(
    preset: str, secrets: tuple[str, ...] = (), *, compared: bool = False, **parameters: Any
) -> dict[str, Any]:
    """A metric with these parameters; `secrets`: by what the preset calls them."""
    made: dict[str, Any] = {"preset": preset, "promoteBelow": "5%", "rollbackAbove": "10%"}
    if preset.startswith(("vllm", "drift")):
        made |= {"promoteBelow": 0.1, "rollbackAbove": 0.2}
    made |= {"parameters": parameters} if parameters else {}
    made |= {"comparedTo": "stable"} if compared else {}
    return made | (
        {"secrets": {name: {"secret": "arize-api", "key": "t"} for name in secrets}} if secrets else {}
    )


COST, ARIZE, TOKEN = "vllm/cost-per-request", "arize/monitor", ("token",)
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (metric(COST), "CF132", "needs the parameter `inputPrice`"),
    (metric(COST, inputPrice=1), "CF132", "needs the parameter `outputPrice`"),
    (metric("vllm/queue", model="x"), "CF132", "has no parameter model"),
    (metric(COST, inputPrice=1, outputPrice=-3), "CF146", "-3 is no value of outputPrice"),
    (metric(COST, inputPrice=1, outputPrice="time()"), "CF146", "time() is no value of outputPrice"),
    (metric("drift/psi", feature='a"} or up{b="'), "CF146", "is no value of feature"),
    (metric("drift/psi", feature="a\\b"), "CF146", "is no value of feature"),
    (metric("drift/psi", feature="a\nb"), "CF146", "is no value of feature"),
    (metric("drift/psi", feature="{{args.x}}"), "CF146", "is no value of feature"),
    (metric("drift/psi", feature="$(nothing)"), "CF139", "nothing is known as $(nothing)"),
    (metric("vllm/queue", selector='a="1" or b="2"'), "CF146", "is no value of selector"),
    (metric("istio/error-rate", selector='a="1"'), "CF132", "has no parameter selector"),
    (metric(ARIZE, monitor="TW9"), "CF132", "needs the secret `token`"),
    (metric(ARIZE, ("key",), monitor="TW9"), "CF132", "has no secret key"),
    (metric(ARIZE, TOKEN), "CF132", "needs the parameter `monitor`"),
    (metric(ARIZE, TOKEN, monitor="a/../b"), "CF146", "a/../b is no value of monitor"),
    (metric(ARIZE, TOKEN, monitor="$(secret.token)"), "CF146", "is no value of monitor"),
    (metric(ARIZE, TOKEN, monitor="TW9", url="https://x/$(secret.token)"), "CF146", "is no value of url"),
    (metric(ARIZE, TOKEN, monitor="TW9", url="https://x?a=b"), "CF146", "is no value of url"),
    (metric(ARIZE, TOKEN, monitor="TW9", url="file:///etc"), "CF146", "is no value of url"),
    (metric(ARIZE, TOKEN, compared=True, monitor="TW9"), "CF138", "web can't be compared"),
]


@pytest.mark.parametrize(
    ("given", "code", "said"), REFUSED, ids=lambda value: value["preset"] if isinstance(value, dict) else ""
)
def test_what_a_preset_can_not_have_is_refused(
    spec: Any, given: dict[str, Any], code: str, said: str
) -> None:
    repo = spec(given)
    result = repo.run("lint", "--output", "json")
    assert result.code == 1
    (finding,) = [one for one in result.json["findings"] if one["severity"] == "error"]
    assert finding["code"] == code
    assert said in finding["message"]
    assert (finding["file"], finding["line"] > 1) == ("specs/chat/canary.yaml", True)
    assert repo.generated() == []


@pytest.mark.parametrize(
    ("price", "asked"), [(0.15, "0.15"), ("0.15", "0.15"), (1.5e-7, "0.00000015"), (3, "3")]
)
def test_a_price_is_a_number_or_its_text(spec: Any, price: Any, asked: str) -> None:
    repo = spec(metric(COST, inputPrice=price, outputPrice=3))
    assert f"* {asked} + " in template(repo)["spec"]["metrics"][0]["provider"]["prometheus"]["query"]


def test_series_of_a_collector_are_found_by_a_selector_of_their_own(spec: Any) -> None:
    own = 'k8s_namespace_name="$(namespace)",k8s_pod_name=~"$(rollout)-$(hash)-.*"'
    repo = spec(metric("otel-mcp/error-rate", selector=own, methods="tools/call"))
    repo.replace("fleet.yaml", "metrics: {", "metrics: {labels: {cluster: $(cluster.name)}, ")
    found = template(repo)["spec"]["metrics"]
    query = found[0]["provider"]["prometheus"]["query"]
    head = 'mcp_server_operation_duration_seconds_count{cluster="{{args.cluster}}",k8s_namespace_name="'
    assert head in query
    assert 'k8s_pod_name=~"chat-{{args.canary-hash}}-.*",mcp_method_name=~"tools/call"' in query
    assert {one["name"] for one in found} == {"otel-mcp-error-rate", "otel-mcp-error-rate-stable"}


def test_a_platform_is_asked_with_a_token_by_reference_alone(spec: Any) -> None:
    repo = spec(metric(ARIZE, TOKEN, monitor="TW9=") | {"name": "drift"})
    made = template(repo)["spec"]
    web = made["metrics"][0]["provider"]["web"]
    assert (web["method"], web["url"]) == ("POST", "https://app.arize.com/graphql")
    assert web["headers"] == [{"key": "x-api-key", "value": "{{args.secret-drift-token}}"}]
    assert web["jsonBody"]["variables"] == {"id": "TW9="}
    reference = {"secretKeyRef": {"name": "arize-api", "key": "t"}}
    assert {"name": "secret-drift-token", "valueFrom": reference} in made["args"]


def test_an_alert_of_fiddler_is_of_each_cluster(spec: Any) -> None:
    given = metric("fiddler/alert", TOKEN, url="https://f.example/api", rule="acc-$(cluster.name)")
    bounds = {"name": "accuracy", "promoteAbove": "90%", "rollbackBelow": "80%"}
    kept = {name: value for name, value in given.items() if name not in ("promoteBelow", "rollbackAbove")}
    (made,) = template(spec(kept | bounds))["spec"]["metrics"]
    web = made["provider"]["web"]
    assert (
        web["url"]
        == "https://f.example/api/v2/alert-configs/acc-{{args.cluster}}/records?ordering=-created_at"
    )
    assert web["headers"] == [{"key": "Authorization", "value": "Bearer {{args.secret-accuracy-token}}"}]
    assert "asFloat(result) > 0.9" in made["successCondition"]
