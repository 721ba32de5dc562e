"""Each ready metric: it reads the stack's own names, and measures what a version's series say."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import preset_cases
from canaryfleet import catalogue, metrics, presets
from canaryfleet.engines.argo_rollouts.analysis import STABLE, of_canary
from canaryfleet.models.canary import Analysis, Metric
from canaryfleet.models.fleet import DEFAULT_SELECTOR
from canaryfleet.variables import substitute
from preset_cases import BAD, GOOD, MEASURED, OVER_THE_WINDOW, QUANTILE, Load, Series
from promql import ARGUMENT, selectors
from support import PROPERTY

ROOT = Path(__file__).resolve().parents[2]
PROMTOOL = shutil.which("promtool")
PRESETS = [found for name in presets.all_names() if (found := presets.find(name))]
ASKED = [preset for preset in PRESETS if preset.provider is None]
CONTEXT = metrics.Context(
    app="chat",
    namespace="ai",
    service="chat",
    services="chat",
    protocol="http",
    selector=DEFAULT_SELECTOR,
    strategy="canary",
    labels={"cluster": "$(cluster.name)"},
)
GOOD_HASH, BAD_HASH, OLD_HASH, YOUNG_HASH, NOBODY = (f"5d4f6c7b8{number}" for number in range(5))
LOADS = {GOOD_HASH: (GOOD, False), BAD_HASH: (BAD, False), OLD_HASH: (GOOD, True)}
WINDOW, STEP = 60, 5
NOW, YOUTH = 130, 20  # when it is asked, and how old the young version is; seconds


class Asked(NamedTuple):
    """A preset's queries, with the arguments of a version."""

    query: str
    samples: str


def measure(preset: presets.Preset, context: metrics.Context = CONTEXT) -> metrics.Measure:
    """The preset as its example has it."""
    quantile = {"quantile": QUANTILE} if preset.quantile else {}
    example = catalogue.example(preset) | quantile | {"minimumSamples": 1}
    found = metrics.resolve(Analysis(metrics=(msgspec.convert(example, Metric),)), context)
    assert found.issues == ()
    return found.measures[0]


def asked(preset: presets.Preset, hash_: str) -> Asked:
    made = measure(preset)
    return Asked(filled(of_canary(made.query), hash_), filled(of_canary(made.samples), hash_))


def filled(text: str, hash_: str, stable: str = "0") -> str:
    """A query with the arguments that the controller would have for it."""
    values = {
        "canary-hash": hash_,
        "stable-hash": stable,
        "revision": hash_,
        "window": f"{WINDOW}s",
        "cluster": "here",
    }
    text = ARGUMENT.sub(lambda found: values[found[1]], text)
    return text.replace("llama-3.1-8b-2026-11-01", f"m-{hash_}")  # what this version is called there


def series() -> list[Series]:
    """All versions side by side; among series that are almost those of one, with the opposite load."""
    found = {
        (hash_, "here"): preset_cases.version("chat", "ai", hash_, load, old=old)
        for hash_, (load, old) in LOADS.items()
    }
    found[YOUNG_HASH, "here"] = preset_cases.version("chat", "ai", YOUNG_HASH, GOOD)
    found[GOOD_HASH, "there"] = preset_cases.version("chat", "ai", GOOD_HASH, BAD)
    made = [
        one._replace(labels=one.labels | {"cluster": cluster})
        for (_, cluster), all_ in found.items()
        for one in all_
    ]
    # a gateway and a job know the app and its version alone, so these are of pods
    for app, namespace in (("chat", "ai-b"), ("chat-edge", "ai"), ("xchat", "ai")):
        strangers = preset_cases.version(app, namespace, GOOD_HASH, BAD)
        made += [
            one._replace(labels=one.labels | {"cluster": "here"})
            for one in strangers
            if namespace in one.labels.values()
        ]
    return made


# What they read


def test_every_preset_has_a_case() -> None:
    assert set(MEASURED) | set(OVER_THE_WINDOW) == {preset.name for preset in ASKED}
    assert set(preset_cases.STACKS) == {preset.stack for preset in ASKED}


@pytest.mark.parametrize("preset", ASKED, ids=lambda preset: preset.name)
def test_a_query_reads_only_names_and_labels_that_its_stack_has(preset: presets.Preset) -> None:
    makes = [preset_cases.STACKS[preset.stack], *([] if preset.samples else [preset_cases.istio])]
    pod = preset_cases.Pod(
        {"namespace": "ai", "pod": "chat-1-a", "cluster": "here"}, "1", "chat", "ai", 0, GOOD, old=False
    )
    made = [
        one
        for old in (False, True)
        for number in (0, 1)
        for make in makes
        for one in make(pod._replace(old=old, number=number))
    ]
    labels: dict[str, set[str]] = {}
    for one in made:
        labels.setdefault(one.metric, set()).update(one.labels, {"cluster"})
    for text in asked(preset, "1"):
        for selector in selectors(text):
            assert selector.metric in labels, preset.name
            read = {re.split("[=!]", matcher)[0] for matcher in selector.matchers}
            own = {"namespace", "pod", "exported_namespace", "exported_pod", "app", "revision", "cluster"}
            assert read - own <= labels[selector.metric], preset.name


def test_every_rename_is_of_names_that_some_query_reads() -> None:
    for stack in presets.STACKS:
        found = {rename for preset in presets.stack(stack).values() for rename in preset.renames}
        written = [rename for rename in presets.about(stack).renames if " " not in rename.old]
        assert set(written) <= found, stack


# What they measure


@pytest.mark.skipif(PROMTOOL is None, reason="promtool comes with Debian's package prometheus")
def test_every_preset_measures_what_its_series_say(tmp_path: Path) -> None:
    written = [_written(one) for one in series()]
    tests = [test for preset in ASKED for test in _tests(preset)]
    rules = {
        "evaluation_interval": f"{STEP}s",
        "tests": [{"interval": f"{STEP}s", "input_series": written, "promql_expr_test": tests}],
    }
    path = tmp_path / "presets.yaml"
    path.write_text(json.dumps(rules))
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def _written(one: Series) -> dict[str, str]:
    labels = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(one.labels.items()))
    values = f"{one.value!r}+{one.per_second * STEP!r}x30" if one.per_second else f"{one.value!r}x30"
    late = f"_x{(NOW - YOUTH) // STEP - 1} " if YOUNG_HASH in labels else ""  # `_xN` is N + 1 times nothing
    return {"series": f"{one.metric}{{{labels}}}", "values": late + values}


def _tests(preset: presets.Preset) -> list[dict[str, Any]]:
    found = []
    for hash_, (load, _) in LOADS.items():
        query, samples = asked(preset, hash_)
        found.append(_true(_is(query, expected(preset.name, load))))
        if samples:
            found.append(_true(f"({samples}) > bool 100"))
    # neither a value nor enough requests: empty, or NaN, which is above and below nothing
    found += [_nothing(f"({text}) >= 0.000001 or ({text}) < 0") for text in asked(preset, NOBODY)]
    if preset.name in MEASURED:  # a version that is younger than the window reads nothing, or the same
        query, right = asked(preset, YOUNG_HASH).query, expected(preset.name, GOOD)
        found.append(_nothing(f"({query}) unless on() (abs(({query}) / {right!r} - 1) < 0.01)"))
    if presets.about(preset.stack).verified == "contract":  # the canary's pods name the app, but no revision
        query = filled(substitute(measure(preset).query, of_stable), BAD_HASH, OLD_HASH)
        found.append(_true(_is(query, expected(preset.name, GOOD))))
    return found


def of_stable(name: str) -> str | None:
    """How a query names what is not the canary."""
    return {
        "hash": STABLE.hash,
        "revision": STABLE.revision,
        "window": f"{WINDOW}s",
        "cluster.name": "here",
    }.get(name)


def _nothing(expression: str) -> dict[str, Any]:
    return {"expr": expression, "eval_time": f"{NOW}s", "exp_samples": []}


def expected(name: str, load: Load) -> float:
    over = OVER_THE_WINDOW.get(name)
    return over(load, WINDOW, STEP) if over else MEASURED[name](load)


def _is(query: str, value: float) -> str:
    return f"abs(({query}) / {value!r} - 1) < bool 0.0001" if value else f"abs({query}) < bool 0.000001"


def _true(expression: str) -> dict[str, Any]:
    return {"expr": expression, "eval_time": f"{NOW}s", "exp_samples": [{"labels": "{}", "value": 1}]}


# What a spec can make of them

TEXTS = [
    (preset, name) for preset in ASKED for name, item in preset.parameters.items() if item.kind == "text"
]
NASTY = st.lists(
    st.sampled_from([*"a.*|,=~!-0 $(){}[]\"'`\\#\n", "up", "or", "{{", "$(hash)", "ß"]),
    min_size=1,
    max_size=8,
).map("".join)


@PROPERTY
@given(st.sampled_from(TEXTS), NASTY)
def test_no_text_of_a_spec_makes_a_query_read_anything_else(
    found: tuple[presets.Preset, str], text: str
) -> None:
    """It stays within the string that it stands in, or is refused."""
    preset, name = found
    example = catalogue.example(preset)
    said = example | {"parameters": example.get("parameters", {}) | {name: text}, "minimumSamples": 1}
    made = metrics.resolve(Analysis(metrics=(msgspec.convert(said, Metric),)), CONTEXT)
    if made.issues:
        assert {issue.code for issue in made.issues} <= {"CF146", "CF139"}
        return
    plain = measure(preset)
    for ours, theirs in ((plain.query, made.measures[0].query), (plain.samples, made.measures[0].samples)):
        assert _shape(theirs) == _shape(ours)


def _shape(query: str) -> list[tuple[str, list[str]]]:
    return [
        (one.metric, [re.split("[=!]", matcher)[0] for matcher in one.matchers])
        for one in selectors(of_canary(query))
    ]


# How they are described


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_explains_itself(preset: presets.Preset) -> None:
    shown = catalogue.details(preset, CONTEXT).preset
    assert yaml.safe_load(shown.spec) == [_numbers(catalogue.example(preset))]
    assert preset.suggest
    assert (shown.query is None) == (preset.provider is not None)
    reserved = {
        "app",
        "rollout",
        "namespace",
        "service",
        "services",
        "labels",
        "errors",
        "quantile",
        "window",
        "hash",
        "revision",
    }
    assert not reserved & set(preset.parameters)
    for item in preset.parameters.values():
        assert item.example
    assert preset.title == preset.title.strip().rstrip(".")


def _numbers(example: dict[str, Any]) -> dict[str, Any]:
    """Prices may be written as numbers."""
    said = {
        name: float(value) if "Price" in name else value
        for name, value in example.get("parameters", {}).items()
    }
    return example | ({"parameters": said} if said else {})


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_what_a_preset_suggests_is_accepted(preset: presets.Preset) -> None:
    found = metrics.resolve(Analysis(metrics=(msgspec.convert(catalogue.example(preset), Metric),)), CONTEXT)
    assert found.issues == ()
    assert found.measures[0].promote
    assert found.measures[0].rollback


def test_the_page_is_current() -> None:
    page = (ROOT / "docs" / "presets.md").read_text()
    assert page == catalogue.page(), "renew it with: canaryfleet presets --page > docs/presets.md"
