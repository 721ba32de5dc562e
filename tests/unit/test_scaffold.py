"""New specs from manifests of others: what Flagger says in our words, and that no manifest breaks anything."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canaryfleet.emit import Unwritable, arrange
from canaryfleet.errors import Problems
from canaryfleet.files import Tree
from canaryfleet.init import Answers, Given, start
from canaryfleet.scaffold import flagger, flagger_metrics, manifests
from canaryfleet.syntax import load, parse

CANARY: dict[str, Any] = {
    "apiVersion": "flagger.app/v1beta1",
    "kind": "Canary",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "autoscalerRef": {"kind": "HorizontalPodAutoscaler", "name": "web"},
        "service": {"port": 80, "gateways": ["istio-ingress/public"], "hosts": ["a.acme.example"]},
        "analysis": {
            "interval": "1m",
            "metrics": [
                {"name": "request-success-rate", "thresholdRange": {"min": 99}},
                {"name": "lag", "templateRef": {"name": "lag"}, "thresholdRange": {"max": 5}},
            ],
            "match": [{"headers": {"x-canary": {"exact": "insider"}}}],
            "webhooks": [{"name": "load", "url": "http://x"}],
            "sessionAffinity": {"cookieName": "c", "maxAge": 60},
        },
    },
}
TEMPLATE: dict[str, Any] = {
    "apiVersion": "flagger.app/v1beta1",
    "kind": "MetricTemplate",
    "metadata": {"name": "lag"},
    "spec": {"provider": {"type": "prometheus"}, "query": 'max(lag{pod=~"{{ target }}-[0-9a-z]+"})'},
}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [{"name": "web", "image": "acme/web:1", "ports": [{"containerPort": 8080}]}],
                "serviceAccountName": "web",
            },
        },
    },
}
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
}


def found(*objects: dict[str, Any]) -> list[manifests.Manifest]:
    return manifests.read("---\n".join(map(arrange, objects)).encode(), "given.yaml")


def read(analysis: dict[str, Any], **spec: Any) -> flagger.Read:
    body = {"targetRef": CANARY["spec"]["targetRef"], "service": {"port": 80}, "analysis": analysis, **spec}
    canary, *templates = found({**CANARY, "spec": body}, TEMPLATE)
    return flagger.read(canary, templates)


def weights(*shares: int) -> list[dict[str, str]]:
    return [{"weight": f"{share}%", "for": "1m"} for share in shares]


def matching(headers: dict[str, Any]) -> dict[str, Any]:
    return {"interval": "1m", "iterations": 10, "match": [{"headers": headers}]}


PROVING = [{"weight": "5%", "for": "10m"}, {"weight": "25%", "for": "10m"}, {"weight": "50%", "for": "10m"}]
EXPOSURES = [
    ({"interval": "1m", "stepWeight": 20, "maxWeight": 50}, {"steps": weights(20, 40, 50)}),
    ({"interval": "60s", "stepWeight": 30}, {"steps": weights(30, 60, 90)}),
    ({"interval": "1m", "stepWeights": [1, 10, 100]}, {"steps": weights(1, 10)}),
    ({"interval": "90s", "iterations": 10}, {"blueGreen": {"promoteAfter": "15m"}}),
    (
        {"interval": "1m", "mirror": True, "mirrorWeight": 30, "stepWeight": 50},
        {"idempotent": True, "steps": [{"mirror": "30%", "for": "1m"}, *weights(50)]},
    ),
    (
        {"interval": "1m", "mirror": True, "iterations": 5},
        {"idempotent": True, "steps": [{"mirror": "100%", "for": "5m"}, *PROVING]},
    ),
    (matching({"x-canary": {"exact": "yes"}}), {"steps": [{"header": {"x-canary": "yes"}, "for": "10m"}, *PROVING]}),
    (
        matching({"cookie": {"regex": "^(.*?;)?(canary=always)(;.*)?$"}}),
        {"steps": [{"cookie": {"canary": "always"}, "for": "10m"}, *PROVING]},
    ),
    (
        {"interval": "1m", "stepWeights": [10], "sessionAffinity": {"cookieName": "c", "maxAge": 21600}},
        {"sticky": {"cookie": "c", "maxAge": "6h"}, "steps": weights(10)},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("analysis", "exposure"), EXPOSURES)
def test_how_flagger_exposes_a_version(analysis: dict[str, Any], exposure: dict[str, Any]) -> None:
    assert read(analysis).exposure == exposure


METRICS = [
    (
        {"name": "request-success-rate", "thresholdRange": {"min": 99}},
        {"preset": "istio/success-rate", "promoteAbove": "99%", "rollbackBelow": "97%"},
    ),
    (
        {"name": "request-success-rate", "threshold": 40},
        {"preset": "istio/success-rate", "promoteAbove": "40%", "rollbackBelow": "0%"},
    ),
    (
        {"name": "request-duration", "thresholdRange": {"max": 500}},
        {"preset": "istio/latency", "quantile": 0.99, "promoteBelow": "500ms", "rollbackAbove": "1000ms"},
    ),
    (
        {"name": "Lag of 1", "templateRef": {"name": "lag"}, "thresholdRange": {"max": 2.5}},
        {
            "name": "lag-of-1",
            "query": 'max(lag{pod=~"$(rollout)-$(hash)-[a-z0-9]+"})',
            "promoteBelow": 2.5,
            "rollbackAbove": 2.5,
        },
    ),
]


@pytest.mark.parametrize(("metric", "wanted"), METRICS)
def test_how_flagger_judges_a_version(metric: dict[str, Any], wanted: dict[str, Any]) -> None:
    judged = read({"interval": "1m", "threshold": 5, "stepWeight": 50, "metrics": [metric]})
    judged.analysis.pop("minimumSamples", None)
    assert judged.analysis == {"interval": "1m", "failureLimit": 4, "metrics": [wanted]}
    assert judged.findings == ()


@pytest.mark.parametrize(("least", "samples"), [(99, 200), (99.9, 2000), (40, None), (100, None)])
def test_thresholds_are_told_apart_by_enough_requests(least: float, samples: int | None) -> None:
    metric = {"name": "request-success-rate", "thresholdRange": {"min": least}}
    analysis = read({"interval": "1m", "stepWeight": 50, "metrics": [metric]}).analysis
    assert analysis.get("minimumSamples") == samples


def test_a_range_with_two_ends_is_two_metrics() -> None:
    metric = {"name": "ratio", "query": "x", "thresholdRange": {"min": 1, "max": 2}}
    both = read({"interval": "1m", "stepWeight": 50, "metrics": [metric]}).analysis["metrics"]
    assert [(each["name"], each.get("promoteAbove"), each.get("promoteBelow")) for each in both] == [
        ("ratio-min", 1, None),
        ("ratio-max", None, 2),
    ]


QUERIES = [
    ('a{destination_workload="{{ target }}"}', "a{destination_canonical_revision$(revision)}", False),
    ('a{exported_pod=~"{{target}}-.*"}[{{ interval }}]', 'a{exported_pod=~"$(rollout)-$(hash)-[a-z0-9]+"}[$(window)]', False),
    ('a{app="{{ target }}",n="{{ namespace }}"}', 'a{app="$(rollout)",n="$(namespace)"}', True),
    ('a{s="{{ service }}",v="{{ variables.zone }}"}', 'a{s="$(service)",v="eu"}', False),
    ("a{{ ingress }}", "a{{ ingress }}", False),
]  # fmt: skip


@pytest.mark.parametrize(("query", "wanted", "vague"), QUERIES)
def test_queries_name_the_version_in_our_way(query: str, wanted: str, vague: bool) -> None:
    assert flagger_metrics.translated(query, {"zone": "eu"}) == (wanted, vague)


LEFT = [
    ({"metrics": [{"name": "x", "templateRef": {"name": "none"}}]}, {}, "which is not in the file"),
    ({"metrics": [{"name": "x", "query": "a{{ b }}", "thresholdRange": {"max": 1}}]}, {}, "template that is not known"),
    ({"metrics": [{"name": "x", "query": "a"}]}, {}, "has no range"),
    ({"webhooks": [{"name": "w", "type": "confirm-rollout"}]}, {}, "webhook w is not taken over"),
    ({"alerts": [{"name": "a"}]}, {}, "analysis.alerts is not taken over"),
    ({}, {"service": {"port": 80, "rewrite": {"uri": "/"}}}, "service.rewrite is not taken over"),
    ({}, {"provider": "linkerd"}, "its provider is linkerd"),
    ({"match": [{"headers": {"a": {"exact": "1"}, "b": {"exact": "2"}}}]}, {}, "one header each"),
    ({}, {"service": {"port": 80, "gateways": ["a/b"], "hosts": ["*"]}}, "the host * is not taken over"),
    ({"metrics": [{"name": "x", "query": 'a{app="{{ target }}"}', "thresholdRange": {"max": 1}}]}, {}, "which pods"),
]  # fmt: skip


@pytest.mark.parametrize(("analysis", "spec", "said"), LEFT)
def test_what_has_no_counterpart_is_said_where_it_stands(
    analysis: dict[str, Any], spec: dict[str, Any], said: str
) -> None:
    (finding,) = [
        item
        for item in read({"interval": "1m", "stepWeight": 50, **analysis}, **spec).findings
        if said in item.message
    ]
    assert finding.code == "CF042"
    assert finding.place.line > 1


@pytest.mark.parametrize("kind", ["DaemonSet", "Service", None])
def test_only_deployments_are_moved(kind: str | None) -> None:
    with pytest.raises(Problems, match="CF041"):
        read({}, targetRef={"kind": kind, "name": "web"})


# Nothing that stands in a file breaks it


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """An empty folder: nothing here writes."""
    return Tree(tmp_path_factory.mktemp("fleet"))


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all that is in plain data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*at, key)
        yield from places(item, (*at, key))


ODD = st.sampled_from(
    [None, True, 0, -1, 101, 2**40, 1.5, "", "x", "*", "a b", "../x", "x\ny", "{{ x }}", "$(x)", "é\x85", "x" * 300,
     [], {}, [None], [{}], {"x": None}, {"x": {"y": []}}, [[]], "1h", "-1s", "# x", "^(.*?;)?(a=b)(;.*)?$"]
)  # fmt: skip
GIVEN = [CANARY, TEMPLATE, DEPLOYMENT, SERVICE]
PLACES = list(places(GIVEN))


@settings(max_examples=150)
@given(
    changes=st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=3),
    of_flagger=st.booleans(),
)
def test_manifests_of_others_make_a_valid_spec_or_a_finding(
    tree: Tree, changes: list[tuple[tuple[Any, ...], Any]], of_flagger: bool
) -> None:
    objects: Any = copy.deepcopy(GIVEN)
    for path, value in changes:
        inner = objects
        try:
            for step in path[:-1]:
                inner = inner[step]
            inner[path[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue
    text = "\n---\n".join(json.dumps(each, ensure_ascii=True) for each in objects).encode()
    manifest = Given("given.yaml", text)
    answers = Answers("acme", clusters={"eu-1": {}}, **{"flagger" if of_flagger else "deployment": manifest})
    try:
        made = start(tree, answers, lambda image: image)
    except Problems:
        return
    assert made.app
    assert made.writes[f"specs/{made.app}/canary.yaml"].count(b"\n") < 60
    assert not any(".." in path for path in made.writes)


TEXT = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["1.0", "yes", "a, b", "a,b", "{x}", "5%", 'a{b="c"}', "x: y", "- x"]),
)
SCALARS = st.one_of(TEXT, st.integers(-5, 5), st.booleans(), st.none(), st.sampled_from([0.5, 99.9]))
DATA = st.dictionaries(
    TEXT,
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=200)
@given(DATA, st.integers(1, 120))
def test_what_is_arranged_is_read_as_it_was(data: dict[str, Any], width: int) -> None:
    try:
        text = arrange(data, width=width)
    except Unwritable:
        return
    assert load(text.encode(), "arranged") == data


def test_text_with_a_comma_is_one_text_between_brackets() -> None:
    assert arrange({"a": ["b,c", "d"]}) == 'a: ["b,c", d]\n'


def test_a_spec_that_a_person_wrote_is_arranged_as_it_was_read() -> None:
    for path in (Path(__file__).resolve().parents[2] / "specs").glob("*/canary.yaml"):
        data = parse(path.read_bytes(), "x").data
        assert load(arrange(data).encode(), "x") == data
