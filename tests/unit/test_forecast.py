"""The forecast against arithmetic done by hand, against every request simulated by itself, and against common sense."""

import json
import math
import random
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from canaryfleet import cli, presets
from canaryfleet.engines.argo_rollouts.course import Course, Stage, Watch
from canaryfleet.evidence import Rule
from canaryfleet.forecast import Assumed, Subject, cluster, run, shared
from canaryfleet.models.base import API_VERSION, Metadata
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.release import Release, ReleaseCluster, ReleaseMetadata, ReleaseMetric, ReleaseWave
from canaryfleet.pointing import State
from canaryfleet.poisson import Chances, Meter, Poisson, chances
from canaryfleet.radius import mean, p95, probability
from canaryfleet.scenario import SHARES
from support import PROPERTY

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 3, 10, tzinfo=UTC)
ERRORS = "errors"
ENDLESS = Watch(ERRORS, interval=60, window=120, most=None, failures=0, successes=1)
STEP = Watch(ERRORS, interval=60, window=180, most=3, failures=0, successes=1)


def metric(rollback: str = "> 0.1", promote: str = "< 0.05", least: int = 5) -> ReleaseMetric:
    during = ("steps", "background", "bake")
    return ReleaseMetric(name=ERRORS, during=during, promote=promote, rollback=rollback, minimumSamples=least)


def meter(rollback: str = "> 0.1", promote: str = "< 0.05", least: int = 0) -> Meter:
    return Meter(STEP, Rule(metric(rollback, promote, least), strict=True), "errors")


def subject(
    waves: Sequence[ReleaseWave], course: Course, *, rate: float = 3.0, after: float = 0.0, times: float = 8.0
) -> Subject:
    """A release of one metric; of its clusters the first is twice as large as each of the others."""
    names = [name for wave in waves for name in wave.members]
    release = Release(
        apiVersion=API_VERSION, kind="Release", metadata=ReleaseMetadata(name="app", namespace="ns"),
        id="1-a", version="1", digest="d", workload="w", selector={}, engine="argo-rollouts", routing="istio",
        strategy="canary", tools={}, metrics=(metric(),), waves=tuple(waves), files={},
        clusters={name: ReleaseCluster(pod="p", capacity=2 if name == names[0] else 1) for name in names},
    )  # fmt: skip
    fleet = Fleet(apiVersion=API_VERSION, kind="Fleet", metadata=Metadata(name="f"))
    state = State(release, {release.id: release}, {}, None, fleet, {}, (), NOW)
    assumed = Assumed(rate=rate, baseline=0.02, times=times, after=after, reaction=240, abort=1, startup=30)
    return Subject(release, course, {ERRORS: "errors"}, state, shared(release, rate), assumed)


# By hand


def test_the_chance_of_one_measurement_by_hand() -> None:
    # two requests in the mean, half of them fail: P(E > O) of two Poisson(1) is (1 - e^-2 I0(2)) / 2
    bessel = sum(1 / math.factorial(k) ** 2 for k in range(30))
    by_hand = (1 - math.exp(-2) * bessel) / 2
    assert chances(meter("> 0.5"), 2, 0.5).bad == pytest.approx(by_hand, abs=1e-12)
    # all fail: bad as soon as there is one, or as there are enough
    assert chances(meter(), 3, 1).bad == pytest.approx(1 - math.exp(-3), abs=1e-12)
    two = 1 - math.exp(-3) * (1 + 3)
    assert chances(meter(least=2), 3, 1).bad == pytest.approx(two, abs=1e-12)
    # nothing fails: good as soon as there are enough
    assert chances(meter(least=2), 3, 0) == pytest.approx((0, two), abs=1e-12)
    assert chances(meter(), 0, 0.5) == (0, 0)


def test_a_share_of_successes_is_the_other_way_round() -> None:
    rule = Rule(metric("< 0.9", "> 0.95", 20), strict=True)
    other = chances(Meter(STEP, rule, "successes"), 100, 0.08)
    assert other == pytest.approx(chances(meter(least=20), 100, 0.08), abs=1e-12)


def test_what_met_the_fault_by_hand() -> None:
    """Every request fails: the first measurement that has enough of them ends it."""
    course = Course((Stage("50%", 50, 120), Stage("100%", 100, 0)), (ENDLESS,), 0, {})
    about = subject([ReleaseWave(name="one", members=("a",))], course, rate=20, times=50)
    found = run(about, random.Random(1).random)
    # seen after 60 s, after 30 s of starting; one second later all are back: 61 s of half of 20 a second
    assert (found.kind, found.wave, found.by) == ("stopped", "one", ("50%", ERRORS))
    assert (found.seconds, found.met, found.canary) == (90, 61 * 10, 61 * 10)
    assert found.requests == (90 + 240) * 20


def test_a_fault_after_the_proof_is_missed_and_one_cluster_tells_the_others() -> None:
    waves = [
        ReleaseWave(name="one", members=("a",)),
        ReleaseWave(name="two", members=("b", "c"), maxConcurrency=1),
    ]
    course = Course((Stage("50%", 50, 300, (STEP,)), Stage("100%", 100, 0)), (ENDLESS,), 0, {})
    late = run(subject(waves, course, rate=80, after=10_000, times=50), random.Random(1).random)
    assert (late.kind, late.met) == ("missed", 0)
    # a shows it 400 s after its first requests, which is after its proof; b and c show nothing before theirs
    some = run(subject(waves, course, rate=80, after=400, times=50), random.Random(1).random)
    assert some.kind == "missed"
    assert 0 < some.met < some.requests


def test_too_few_requests_hold_it_until_its_deadline() -> None:
    course = Course((Stage("1%", 1, 300, (STEP,)), Stage("100%", 100, 0)), (), 0, {})
    waves = [
        ReleaseWave(name="one", members=("a",), progressDeadline="1h"),
        ReleaseWave(name="two", members=("b",)),
    ]
    found = run(subject(waves, course, rate=0.5), random.Random(1).random)
    assert (found.kind, found.wave) == ("held", None)
    assert found.seconds == 30 + 3600 + 240


def test_failures_within_the_limit_do_not_stop_it() -> None:
    course = Course((Stage("50%", 50, 120, (STEP,)), Stage("100%", 100, 0)), (ENDLESS,), 0, {})
    members = ("a", "b", "c")
    lone = run(
        subject([ReleaseWave(name="one", members=members, maxConcurrency=1)], course, rate=80), chance()
    )
    more = [ReleaseWave(name="one", members=members, maxConcurrency=1, maxFailures=1)]
    assert lone.kind == "stopped"
    after = run(subject(more, course, rate=80), chance())
    assert after.kind == "stopped"
    assert after.met > lone.met
    assert after.seconds > lone.seconds


def chance(seed: int = 1) -> Callable[[], float]:
    return random.Random(seed).random


# Request by request


def arrivals(rate: float, since: float, until: float, rng: random.Random) -> list[float]:
    """Times of a Poisson process, one gap after the other."""
    found, at = [], since
    while rate and (at := at + rng.expovariate(rate)) < until:
        found.append(at)
    return found


def slow_cluster(
    about: Subject, name: str, rng: random.Random
) -> tuple[str, float, list[tuple[float, bool]]]:
    """The canary of one cluster by its requests: what becomes of it, when, and each request with its time and luck."""
    log: list[tuple[float, bool]] = []
    now = 0.0

    def serve(weight: int) -> None:
        nonlocal now
        for at in arrivals(about.rates[name] * weight / 100, now, now + 60, rng):
            bad = about.assumed.faulty if at >= about.assumed.after else about.assumed.baseline
            log.append((at, rng.random() < bad))
        now += 60

    def share(window: float) -> float | None:
        seen = [failed for at, failed in log if at >= now - window]
        return sum(seen) / len(seen) if len(seen) >= 5 else None

    def alarm() -> bool:
        value = share(120)
        return value is not None and value > 0.1

    for stage in about.course.stages[:-1]:
        for _ in range((stage.pause or 0) // 60):
            if alarm():
                return "failed", now, log
            serve(stage.weight)
        for attempt in range(3):
            value = share(180)
            if value is not None and value > 0.1:
                return "failed", now, log
            if value is not None and value < 0.05:
                break
            if attempt == 2:
                return "held", now, log
            if alarm():
                return "failed", now, log
            serve(stage.weight)
    return "verified", now, log


SMALL = Course(
    (Stage("20%", 20, 180, (STEP,)), Stage("60%", 60, 180, (STEP,)), Stage("100%", 100, 0)), (ENDLESS,), 0, {}
)


@pytest.mark.parametrize(("rate", "after", "times"), [(1.5, 0, 4), (1.5, 150, 8), (0.6, 0, 3), (4, 200, 5)])
def test_one_cluster_agrees_with_all_its_requests_simulated(rate: float, after: float, times: float) -> None:
    wave = ReleaseWave(name="one", members=("a",), progressDeadline="1s")
    about = subject([wave], SMALL, rate=rate, after=after, times=times)
    runs, rng, draws = 600, random.Random(5), chance(7)
    fast = [cluster(about, wave, "a", draws) for _ in range(runs)]
    slow = [slow_cluster(about, "a", rng) for _ in range(runs)]
    for kind in ("failed", "verified"):
        one = probability(sum(item.kind == kind for item in fast), runs)
        two = probability(sum(item[0] == kind for item in slow), runs)
        assert abs(one.value - two.value) <= 1.5 * math.hypot(one.error, two.error), kind
    lengths, theirs = mean([item.ends for item in fast]), mean([item[1] for item in slow])
    assert abs(lengths.value - theirs.value) <= 1.5 * math.hypot(lengths.error, theirs.error)


def slow_release(about: Subject, rng: random.Random) -> float | None:
    """Waves of one cluster each: of all requests until it is over, those that met the fault; None if it is held."""
    assumed, met, now = about.assumed, 0, 0.0
    stands: list[tuple[str, float, float]] = []
    for wave in about.release.waves:
        (name,) = wave.members
        begun = now + assumed.startup
        kind, lasted, log = slow_cluster(about, name, rng)
        if kind == "held":
            return None
        met += sum(at >= assumed.after for at, _ in log)
        now = begun + lasted + assumed.reaction
        if kind == "failed":
            weight = about.course.stages[0 if lasted <= 180 else 1].weight / 100
            left = arrivals(about.rates[name] * weight, lasted, lasted + assumed.abort, rng)
            met += sum(at >= assumed.after for at in left)
            break
        stands.append((name, begun, lasted))
    for name, begun, proven in stands:  # all the traffic from its proof on, until it is over
        later = arrivals(about.rates[name], proven, now - begun, rng)
        met += sum(at >= assumed.after for at in later)
    return met / (assumed.rate * now)


@pytest.mark.parametrize(("times", "after"), [(4, 60), (5, 400), (3, 0)])
def test_a_release_agrees_with_all_its_requests_simulated(times: float, after: float) -> None:
    waves = [ReleaseWave(name=name, members=(name,), progressDeadline="1s") for name in ("a", "b")]
    about = subject(waves, SMALL, rate=3, times=times, after=after)
    runs, rng, draws = 700, random.Random(3), chance(11)
    found = [run(about, draws) for _ in range(runs)]
    fast = [item.met / item.requests for item in found if item.kind != "held"]
    slow = [share for share in (slow_release(about, rng) for _ in range(runs)) if share is not None]
    held = probability(runs - len(fast), runs), probability(runs - len(slow), runs)
    for one, two in (held, (mean(fast), mean(slow))):
        assert abs(one.value - two.value) <= 1.5 * math.hypot(one.error, two.error)


# Whatever the numbers are


@PROPERTY
@given(
    requests=st.floats(0, 3000), failing=st.floats(0, 1), more=st.floats(0, 1), least=st.integers(0, 400),
    limit=st.integers(1, 900), lower=st.integers(0, 899),
)  # fmt: skip
def test_more_errors_and_a_lower_threshold_are_never_noticed_less(
    requests: float, failing: float, more: float, least: int, limit: int, lower: int
) -> None:
    high, low = f"> {limit / 1000}", f"> {min(lower, limit) / 1000}"
    one = chances(meter(high, "< 0", least), requests, min(failing, more))
    assert one.bad <= chances(meter(high, "< 0", least), requests, max(failing, more)).bad + 1e-9
    assert one.bad <= chances(meter(low, "< 0", least), requests, min(failing, more)).bad + 1e-9
    assert isinstance(one, Chances)
    assert 0 <= one.bad + one.good <= 1 + 1e-9


@PROPERTY
@given(mean=st.floats(0, 1e6), chance=st.floats(0, 1, exclude_max=True))
def test_a_draw_inverts_the_distribution(mean: float, chance: float) -> None:
    found = Poisson(mean)
    assert found.table[-1] == pytest.approx(1)
    count = found.draw(chance)
    assert count >= 0
    assert found.at_most(count) >= chance - 1e-12
    assert count == found.first or found.at_most(count - 1) < chance


@PROPERTY
@given(hits=st.integers(0, 50), more=st.integers(0, 50))
def test_an_estimate_has_an_error_and_covers_itself(hits: int, more: int) -> None:
    found = probability(hits, hits + more or 1)
    assert 0 < found.error <= 1
    assert p95([float(hits), float(more)]) == max(hits, more)


# The command


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the example repository with two apps."""
    shutil.copy(ROOT / "fleet.yaml", tmp_path)
    shutil.copytree(ROOT / "clusters", tmp_path / "clusters")
    for app in ("mcp-tools", "embeddings"):
        for folder in ("specs", "overlays"):
            shutil.copytree(ROOT / folder / app, tmp_path / folder / app)
    return tmp_path


def forecast(tree: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.main(["forecast", *words, "--runs", "40", "--output", "json", "--root", str(tree)]) == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    schema = json.loads((ROOT / "schemas/forecast.schema.json").read_text())
    Draft202012Validator(schema).validate(data)
    return data


def test_the_command_is_the_same_for_the_same_seed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = forecast(tree, capsys, "mcp-tools", "--seed", "3", "--errors-times", "40")
    assert one == forecast(tree, capsys, "mcp-tools", "--seed", "3", "--errors-times", "40")
    assert one["unknown"] == ["tool-errors"]
    assert [item["stage"] for item in one["thresholds"] if item["wave"] == "pilot"] == ["10%", "50%", "bake"]
    ends = sum(wave["stopped"]["value"] for wave in one["waves"])
    assert ends + one["held"]["value"] + one["missed"]["value"] == pytest.approx(1)
    own = forecast(tree, capsys, "mcp-tools", "--errors-times", "60", "--failed-share", "tool-errors")
    assert "unknown" not in own
    assert {item["metric"] for item in own["thresholds"]} == {"istio-error-rate", "tool-errors"}


def test_blue_green_is_watched_from_the_switch_on(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = forecast(tree, capsys, "embeddings", "--errors-times", "100")
    assert data["waves"][0]["stopped"]["value"] == 1
    assert data["unknown"] == ["smoke"]
    assert {item["stage"] for item in data["thresholds"]} == {"100%", "bake"}


def test_the_text_names_what_is_assumed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["forecast", "mcp-tools", "--runs", "20", "--root", str(tree)]) == 0
    shown = capsys.readouterr()
    assert "20 runs, seed 1" in shown.out
    assert "not forecast, and taken to be good: tool-errors" in shown.out
    assert "\033" not in shown.out
    assert not shown.err


@pytest.mark.parametrize(
    "words",
    [
        ("--rate", "0"), ("--rate", "nan"), ("--rate", "1e12"), ("--runs", "0"), ("--baseline", "2"),
        ("--after", "soon"), ("--errors-times", "-1"), ("--failed-share", "tool-error"),
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_wrong_usage(
    tree: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert cli.main(["forecast", "mcp-tools", *words, "--root", str(tree)]) == 2
    assert words[0] in capsys.readouterr().err


def test_presets_that_are_shares_have_that_unit_and_direction() -> None:
    found = [presets.find(name) for name in presets.all_names() if name.rpartition("/")[2] in SHARES]
    assert len(found) > 10
    for preset in found:
        assert preset is not None
        better = "lower" if SHARES[preset.name.rpartition("/")[2]] == "errors" else "higher"
        assert (preset.unit, preset.better) == ("ratio", better), preset.name


def test_a_condition_that_somebody_wrote(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = (tree / "overlays/mcp-tools/releases").glob("4.2.0-*/release.yaml")
    path.write_text(path.read_text().replace('rollback: "> 0.03"', 'rollback: "> \\x1b[31m0.03"'))
    assert cli.main(["forecast", "mcp-tools", "--root", str(tree)]) == 1
    assert "CF163" in (said := capsys.readouterr().err)
    assert "\033" not in said


def test_an_app_that_is_not_there(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["forecast", "mcp-tool", "--root", str(tree)]) == 1
    assert "did you mean mcp-tools?" in capsys.readouterr().err
