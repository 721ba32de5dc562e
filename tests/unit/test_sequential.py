"""The sequential test: what its PromQL answers, how seldom it cries wolf, and what a spec may say of it."""

import io
import math
import random
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmarks import statistics
from benchmarks.statistics import Case, Counts
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs
from series import LABELS, OWN, queries, say, spec

from canaryfleet import board, evidence, presets, request, sequential, view
from canaryfleet.evidence import Contradiction, Judged, Rule
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.canary import Analysis, Metric, Step
from canaryfleet.models.observation import Evidence, Measured, Measurement, MetricEvidence, Run, RunEvidence
from canaryfleet.models.release import ReleaseMetric
from canaryfleet.models.status import AppStatus, ClusterStatus, Status, WaveStatus
from canaryfleet.sequential import Sequential
from promeval import NONE, Series, Vector, evaluate
from promql import selectors
from support import NOW, PROPERTY, Project

SHARED = Path(__file__).parents[1] / "golden" / "shared"
FAILED, ALL = "failed_total", "asked_total"
WINDOW, EVERY, REACH = 120, 30, 1200
WAVES = {"waves": [{"name": "all"}]}
TEST = {"preset": "istio/error-rate", "comparedTo": "stable", "test": {}}
COUNTED = {
    "name": "own",
    "failures": "sum(increase(bad{$(selector)}[$(window)]))",
    "samples": "sum(increase(all{$(selector)}[$(window)]))",
}


# What Prometheus answers


def counted(name: str, version: str, window: str = "2m") -> str:
    return f'sum(increase({name}{{version="{version}"}}[{window}]))'


def e_value(margin: str = "0") -> str:
    """The PromQL of a test between two versions that are told apart by a label."""
    texts = [counted(name, version) for version in ("canary", "stable") for name in (FAILED, ALL)]
    return sequential.e_value(sequential.Counts(*texts), Sequential("", Decimal(margin), WINDOW, REACH))


def counter(name: str, version: str, scrape: int, grows: Sequence[float], since: int = 0) -> Series:
    """A counter that grows by so much from scrape to scrape, and of which nothing is known before a time."""
    total, samples = 0.0, []
    for index, more in enumerate(grows):
        total += more
        samples += [(float(index * scrape), total)] if index * scrape >= since else []
    return Series({"__name__": name, "version": version}, samples)


@st.composite
def histories(draw: st.DrawFn) -> list[Series]:
    """Requests and failures of both versions, of any share and rates that change; the canary may come later."""
    scrape = draw(st.sampled_from((15, 30, 60)))
    chance = random.Random(draw(st.integers(0, 10**6)))
    since = draw(st.sampled_from((0, 300, 720, REACH + 1)))
    asked = {"canary": draw(st.sampled_from((0, 1, 20, 500))), "stable": draw(st.sampled_from((0, 20, 2000)))}
    fails = {
        "canary": draw(st.sampled_from((0, 0.01, 0.3, 1))),
        "stable": draw(st.sampled_from((0, 0.01, 0.3))),
    }
    found = []
    for version in ("canary", "stable"):
        grown = [chance.randint(0, 2 * asked[version]) for _ in range(REACH // scrape + 1)]
        bad = [sum(chance.random() < fails[version] for _ in range(number)) for number in grown]
        begin = since if version == "canary" else 0
        found.append(counter(ALL, version, scrape, grown, begin))
        if any(bad):  # a failure that never was has no series
            found.append(counter(FAILED, version, scrape, bad, begin))
    return found


def expected(series: Sequence[Series], margin: float) -> float:
    """The formula, of what the four counts are in each window."""
    windows = []
    for at in range(0, REACH + 1, EVERY):
        found = [
            evaluate(counted(name, version), series, at).get(NONE, 0.0)
            for version in ("canary", "stable")
            for name in (FAILED, ALL)
        ]
        windows += [Counts(*found)] if found[1] > 0 < found[3] else []
    if not windows:
        return math.nan
    share = EVERY / WINDOW
    return statistics.mixed(
        [share * math.fsum(statistics.evidence(one, k, margin) for one in windows) for k in statistics.RATIOS]
    )


@PROPERTY
@given(histories(), st.sampled_from(("0", "0.2", "1")))
def test_the_query_is_the_formula(series: list[Series], margin: str) -> None:
    found = evaluate(e_value(margin), series, REACH)
    wanted = expected(series, float(margin))
    assert found == ({} if math.isnan(wanted) else {NONE: pytest.approx(wanted, rel=1e-9)})


def traffic(**changed: Any) -> list[Series]:
    """Twenty minutes of both versions, which fail alike, or a part of it otherwise."""
    usual: dict[str, Sequence[float]] = {
        "canary": [5.0] * 81, "stable": [95.0] * 81, "canary_bad": [0.0] * 81, "stable_bad": [1.0] * 81,
    }  # fmt: skip
    given_ = usual | changed
    return [
        counter(FAILED if name.endswith("_bad") else ALL, name.removesuffix("_bad"), 15, grows)
        for name, grows in given_.items()
        if grows
    ]


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"canary": [], "canary_bad": []}, {}),
        ({"stable": [], "stable_bad": []}, {}),
        ({"canary": [0.0] * 81}, {}),
        ({"canary_bad": [], "stable_bad": []}, {NONE: 1.0}),
        ({"canary": [math.nan] * 81}, {}),
        ({"canary_bad": [math.nan] * 81}, {NONE: pytest.approx(math.nan, nan_ok=True)}),
    ],
    ids=["no canary", "no stable", "nobody asked it", "no failures", "NaN requests", "NaN failures"],
)
def test_what_says_nothing_proves_nothing(changed: Mapping[str, Any], answer: Vector) -> None:
    """Empty and NaN are Inconclusive by every condition; without a failure it is a bet that nobody took."""
    assert evaluate(e_value(), traffic(**changed), REACH) == answer


def test_the_most_that_can_be_is_a_number() -> None:
    (value,) = evaluate(
        e_value(), traffic(canary_bad=[5e9] * 81, canary=[5e9] * 81, stable=[5e9] * 81), REACH
    ).values()
    assert 1 / sequential.ALPHA[0] < value <= math.exp(sequential.MOST)
    (value,) = evaluate(
        e_value(), traffic(stable_bad=[5e9] * 81, canary=[5e9] * 81, stable=[5e9] * 81), REACH
    ).values()
    assert value == 0


def test_a_worse_canary_is_found_and_one_within_the_margin_is_not() -> None:
    twice = traffic(stable_bad=[10.0] * 81, canary_bad=[1.0] * 81)  # of 95 and of 5
    (found,) = evaluate(e_value(), twice, REACH).values()
    (spared,) = evaluate(e_value("1"), twice, REACH).values()
    assert found > 100
    assert spared < 3


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_prometheus_answers_the_same(tmp_path: Path) -> None:
    """What the small evaluator says of a test is what Prometheus says."""
    chance = random.Random(7)
    checks = []
    for margin, share in (("0", 0.05), ("0.2", 0.5), ("0", 0.25)):
        grows = {
            "canary": [chance.randint(0, int(400 * share)) for _ in range(81)],
            "stable": [chance.randint(0, int(400 * (1 - share))) for _ in range(81)],
        }
        bad = {
            name + "_bad": [min(one, chance.randint(0, 3)) for one in found] for name, found in grows.items()
        }
        series = traffic(**grows, **bad)
        (wanted,) = evaluate(e_value(margin), series, REACH).values()
        query = f"abs({e_value(margin)} / {wanted:.17f} - 1) < bool 1e-9"
        checks.append({"interval": "15s", "input_series": [written(one) for one in series], "promql_expr_test": [
            {"expr": query, "eval_time": "20m", "exp_samples": [{"labels": "{}", "value": 1}]}
        ]})  # fmt: skip
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": checks}))
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def written(series: Series) -> dict[str, str]:
    """A series as promtool reads it."""
    labels = ",".join(f'{key}="{value}"' for key, value in series.labels.items() if key != "__name__")
    values = " ".join(f"{value:g}" for _, value in series.samples)
    return {"series": f"{series.labels['__name__']}{{{labels}}}", "values": values}


# What is proven, and what it costs


@PROPERTY
@given(st.floats(0.001, 0.999), st.floats(0, 1), st.floats(0, 1))
@example(0.5, 1.0, 0.0)
def test_a_canary_that_is_no_worse_wins_nothing_on_average(share: float, how: float, margin: float) -> None:
    """One failure more: of every ratio the mean of what the bet is worth does not grow (a supermartingale)."""
    asked = (share, 1 - share)
    odds = how * (1 + margin) * asked[0] / asked[1]  # `how` much of the margin it uses up
    mine = odds / (1 + odds)
    for k in statistics.RATIOS:
        won, lost = (
            math.exp(statistics.evidence(Counts(x, asked[0], y, asked[1]), k, margin))
            for x, y in ((1, 0), (0, 1))
        )
        assert mine * won + (1 - mine) * lost <= 1 + 1e-12


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_false_alarms_are_as_seldom_as_promised(share: float) -> None:
    """An hour of looking each minute; of 300 canaries 0.05 is 15, and more than 24 would be chance in 1 of 100."""
    late, soon = statistics.caught(Case((share,) * 60, 400, 0.02), 300)[:2]
    assert len(late) <= 0.01 * 300 + 5
    assert len(soon) <= 0.05 * 300 + 9


def test_what_is_much_worse_is_found() -> None:
    found = statistics.caught(Case((0.25,) * 60, 400, 0.02, effect=3), 40)[0]
    assert len(found) == 40


def test_the_page_has_what_the_benchmark_measures() -> None:
    row = statistics.line(statistics.false_alarm_row(0.05, 200, 0.001))
    assert row in statistics.PAGE.read_text(), "run `python -m benchmarks.statistics --renew`"


def test_the_benchmark_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    statistics.main(["--runs", "1"])
    said = capsys.readouterr().out
    page = statistics.PAGE.read_text()
    for title in (line for line in said.splitlines() if line.startswith(("###", "| share", "| requests"))):
        assert title in page


# What a spec may say


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.copy(SHARED, "chat")
    return project


def found(project: Project, metric: dict[str, Any]) -> list[tuple[str, str, str]]:
    say(project, spec(metric) | WAVES, address="http://prometheus.monitoring:9090")
    return [(one.code, one.severity, one.message) for one in project.findings()]


@pytest.mark.parametrize(
    ("metric", "code", "message"),
    [
        (TEST | {"rollbackAbove": "5%"}, "CF135", "the test itself says what is good and bad"),
        ({**TEST, "comparedTo": None}, "CF138", "a test compares two versions"),
        (TEST | {"test": {"alpha": "0.001%"}}, "CF136", "0.001% of false alarms can't be promised"),
        (TEST | {"test": {"alpha": "50%"}}, "CF136", "50% of false alarms can't be promised"),
        (TEST | {"preset": "istio/success-rate"}, "CF138", "a test counts what failed"),
        (TEST | {"preset": "istio/latency", "quantile": 0.9}, "CF138", "a test counts what failed"),
        ({**OWN, **TEST, "preset": None, "promoteBelow": None, "rollbackAbove": None}, "CF138", "a test counts"),
        (TEST | {"minimumSamples": 0}, "CF138", "a test that finds nothing proves nothing"),
        (TEST | {"during": ["bake"]}, "CF140", "this metric can't be measured during bake"),
        (COUNTED | {"samples": " ", "promoteBelow": "1%"}, "CF139", "a share needs two counts"),
        (COUNTED | {"failures": "", "promoteBelow": "1%"}, "CF139", "a share needs two counts"),
        (COUNTED | {"failures": "sum(x{a=$(b)})", "promoteBelow": "1%"}, "CF139", "nothing is known as $(b)"),
        (COUNTED | {"samples": "sum(all)", "test": {}, "comparedTo": "stable"}, "CF147", "the samples are those of"),
        (COUNTED | {"samples": "sum(all)", "promoteBelow": "1%"}, "CF147", "the samples are those of"),
        (COUNTED | {"promoteBelow": "20ms"}, "CF136", "20ms is not a value in ratio"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_an_error(
    project: Project, metric: dict[str, Any], code: str, message: str
) -> None:
    (one,) = found(project, {key: value for key, value in metric.items() if value is not None})
    assert one[:2] == (code, "error")
    assert one[2].startswith(message)


@pytest.mark.parametrize(
    "metric",
    [
        OWN | {"samples": "sum(all)"},
        {"name": "w", "provider": {"web": {"url": "https://x.example", "jsonPath": "{$.x}"}}, "promoteBelow": 1,
         "minimumSamples": 5},
    ],
    ids=["of both versions", "of nobody"],
)  # fmt: skip
def test_a_minimum_that_does_not_hold_is_warned_of(project: Project, metric: dict[str, Any]) -> None:
    assert [one[:2] for one in found(project, metric)] == [("CF147", "warning")]


def test_the_failures_of_a_preset_are_those_of_its_share() -> None:
    """Taken from its query: the share is of them, and `samples` is the whole."""
    found = {
        name: preset for name in presets.all_names() if (preset := presets.find(name)) and preset.failures
    }
    assert {"istio/error-rate", "vllm/error-rate", "otel-mcp/error-rate", "tgi/error-rate"} <= found.keys()
    assert {"istio/success-rate", "istio/latency", "vllm/kv-cache-usage"}.isdisjoint(found)
    for preset in found.values():
        share = preset.query.replace("rate(", "increase(")
        head = f"({preset.failures} or vector(0)) / "
        assert share in (f"{head}{preset.samples}", f"{head}({preset.samples})")


def test_a_test_in_blue_green_has_nothing_to_compare_with(project: Project) -> None:
    say(project, spec(TEST, blueGreen={"promoteAfter": "5m"}) | WAVES)
    assert [(one.code, one.severity) for one in project.findings()] == [("CF138", "error")]


def test_a_share_of_counts_is_measured_and_judged_as_any_ratio(project: Project) -> None:
    say(project, spec(COUNTED | {"promoteBelow": "1%", "rollbackAbove": "2%"}), LABELS)
    asked = {name: query for kind, name, query in queries(project) if kind == "AnalysisTemplate"}
    assert asked.keys() == {"own", "own-stable"}
    assert asked["own"].startswith("(((sum(increase(bad{")
    assert all(len(selectors(query)) == 3 for query in asked.values())


def test_a_test_adds_up_the_canary_and_asks_for_its_minimum(project: Project) -> None:
    """In a step the step's requests have to be enough; in the background all that the test looks back on."""
    steps = [{"weight": "5%", "for": "10m"}, {"weight": "50%", "for": "1h"}]
    say(project, spec(TEST, steps=steps) | WAVES, LABELS)
    project.render()
    project.point_everything("chat")
    templates = [one for one in project.built("chat", "eu-1") if one["kind"] == "AnalysisTemplate"]
    reach = "2h15m"  # 10 minutes, an hour, 30 measurements a minute apart after each, and the window of 5
    for template in templates:
        (metric,) = template["spec"]["metrics"]
        query = metric["provider"]["prometheus"]["query"]
        enough = "{{args.window}}" if "-steps-" in template["metadata"]["name"] else reach
        assert f"[{reach}:30s]) * 30 / 120" in query
        assert query.count(f"[{enough}]") == 2
        assert query.count(" >= 100)") == 2
        assert metric["failureCondition"].endswith("result[0] > 100")
    release = project.know().frozen["chat"].release
    (metric,) = release.metrics
    assert (metric.promote, metric.rollback, metric.unit) == ("< 3", "> 100", "e-value")


def requests(revision: str, failed: float) -> list[Series]:
    """What Istio counts of a version in twenty minutes, a hundred requests in fifteen seconds."""
    labels = {
        "__name__": "istio_requests_total", "reporter": "source", "destination_service_name": "chat",
        "destination_service_namespace": "ai", "destination_canonical_revision": revision,
    }  # fmt: skip
    shares = {"200": 1 - failed, "503": failed}
    return [
        Series(labels | {"response_code": code}, [(15.0 * n, 100 * share * n) for n in range(81)])
        for code, share in shares.items()
    ]


@pytest.mark.parametrize(
    ("canary", "stable", "phase"), [(0.04, 0.01, "bad"), (0.01, 0.04, "good"), (0, 0, "good")]
)
def test_what_is_generated_tells_the_versions_apart(
    project: Project, canary: float, stable: float, phase: str
) -> None:
    say(project, spec(TEST) | WAVES)
    series = [*requests("new", canary), *requests("old", stable), *requests("unknown", 1)]
    asked = [query for kind, _, query in queries(project) if kind == "AnalysisTemplate"]
    assert len(asked) == 2
    for query in asked:
        filled = query.replace("{{args.revision}}", "new").replace("{{args.window}}", "10m")
        (value,) = evaluate(filled, series, REACH).values()
        assert Rule(PROVEN, strict=True).word(value) == phase
        assert evaluate(filled.replace(">= 100", ">= 10000"), series, REACH) == {}


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [
        ([{"header": {"a": "b"}, "for": "9h"}, {"weight": "5%", "for": "10m"}], 300 + 600 + 1800),
        ([{"weight": "5%"}, {"mirror": "5%", "for": "1m"}, {"weight": "6%", "for": "1m"}], 300 + 120 + 3600),
        ([{"weight": "5%", "for": "manual"}], 86_400),
        ([{"weight": "5%", "for": "20d"}], 86_400),
        ([], 300),
    ],
)
def test_it_looks_back_as_long_as_a_canary_takes(steps: list[dict[str, Any]], seconds: int) -> None:
    analysis = Analysis(metrics=(Metric(preset="istio/latency"),))
    made = [Step(**{"for_" if key == "for" else key: value for key, value in one.items()}) for one in steps]
    assert sequential.reach(made, analysis) == seconds


@pytest.mark.parametrize(("alpha", "limit"), [("0.01", 100), ("0.03", 34), ("0.2", 5), ("0.0001", 10_000)])
def test_the_limit_promises_no_more_than_alpha(alpha: str, limit: int) -> None:
    assert sequential.limit(Decimal(alpha)) == limit


# What a verdict makes of it

PROVEN = ReleaseMetric(name="errors", during=("steps",), promote="< 3", rollback="> 100", unit="e-value")


@pytest.mark.parametrize(
    ("value", "phase", "word"),
    [
        ("[0]", "Successful", "good"),
        ("[1]", "Successful", "good"),
        ("[3]", "Inconclusive", "neither"),
        ("[100]", "Inconclusive", "neither"),
        ("[4.85165195409790e+08]", "Failed", "bad"),
        ("[NaN]", "Inconclusive", "neither"),
        ("[]", "Inconclusive", "neither"),
    ],
)
def test_the_limits_of_the_release_decide(value: str, phase: str, word: str) -> None:
    measured = Measurement(phase=phase, value=value, began=NOW, ended=NOW)
    assert evidence.word(Rule(PROVEN, strict=True), measured) == word
    others = {"Successful", "Failed", "Inconclusive"} - {phase}
    for other in others:  # a controller that judged by other limits
        with pytest.raises(Contradiction):
            evidence.word(Rule(PROVEN, strict=True), structs.replace(measured, phase=other))


def test_an_e_value_is_shown_as_one() -> None:
    seen = MetricEvidence(name="errors", unit="e-value", value="[251.26]", promote="< 3", rollback="> 100")
    measured = Measurement(phase="Failed", value=seen.value, began=NOW, ended=NOW)
    item = Judged(Rule(PROVEN, strict=True), Measured(name="errors", phase="Failed"), ((measured, "bad"),))
    run = Run(name="r", uid="u", role="steps", created=NOW, phase="Failed")
    assert evidence.shown(run, {"errors": item}) == (structs.replace(seen, bad=1, measurements=1, at=NOW),)
    near = board.near(seen)
    wave = WaveStatus(name="all", clusters=(ClusterStatus(cluster="c", nearest=near),))
    status = Status(
        apiVersion=API_VERSION,
        kind="Status",
        at=NOW,
        apps=(AppStatus(app="a", namespace="n", waves=(wave,)),),
    )
    assert "errors e-value 251 (< 3 > 100)" in view.text(status, io.StringIO())
    runs = (RunEvidence(name="r", uid="u", role="steps", metrics=(seen,)),)
    (told,) = request.told(Evidence(runs=runs))
    assert told.words(str) == "errors e-value 251.3, promote < 3, roll back > 100"
