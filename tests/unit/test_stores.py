"""Which clusters ask one metric server, and what lint says of queries that can't tell them apart."""

import re
from pathlib import Path
from typing import Any

import pytest
from series import BOUNDS, LABELS, OWN, SOME, THANOS, metric, say, spec

from canaryfleet import presets, stores
from canaryfleet.errors import WARNING, Finding
from support import Project

SHARED = Path(__file__).parents[1] / "golden" / "shared"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.copy(SHARED, "chat")
    return project


def found(project: Project, code: str) -> list[Finding]:
    return [finding for finding in project.findings() if finding.code == code]


# What lint says


def test_a_store_of_several_clusters_is_warned_of(project: Project) -> None:
    say(project, spec(*SOME, OWN))
    warned = found(project, "CF144")
    assert len(warned) == len(SOME) + 1
    lines = project.spec("chat").joinpath("canary.yaml").read_text().splitlines()
    heads = ["preset" in lines[one.place.line - 1] or "own" in lines[one.place.line - 1] for one in warned]
    assert all(heads)
    assert all(one.severity == WARNING for one in warned)
    assert all("eu-1, eu-2, us-1" in one.message and THANOS in one.message for one in warned)
    assert all("metrics: {labels: {cluster: $(cluster.name)}}" in one.remedy for one in warned)
    say(project, spec(*SOME, OWN), LABELS)
    assert project.findings() == []


def test_labels_that_are_the_same_everywhere_tell_nothing_apart(project: Project) -> None:
    say(project, spec(*SOME), {"env": "prod"})
    assert len(found(project, "CF144")) == len(SOME)


def test_only_what_the_clusters_of_the_waves_ask_counts(project: Project) -> None:
    say(project, spec(OWN), address="http://prometheus.monitoring:9090")
    us, eu = (project.root / "clusters" / f"{name}.yaml" for name in ("us-1", "eu-1"))
    us.write_text(us.read_text() + f"metrics: {{prometheus: {THANOS}}}\n")
    assert project.findings() == []
    eu.write_text(eu.read_text() + f"metrics: {{prometheus: {THANOS}/}}\n")
    (warned,) = found(project, "CF144")
    assert "2 clusters (eu-1, us-1)" in warned.message
    eu.write_text(eu.read_text() + "lifecycle: retiring\n")
    assert project.findings() == []


def test_an_address_that_differs_by_cluster_is_each_clusters_own(project: Project) -> None:
    say(project, spec(OWN), address="https://prometheus.$(cluster.name).acme.example")
    assert project.findings() == []


NAMED = {"name": "own", "query": 'sum(x{c="$(cluster.name)"})', "minimumSamples": 0, **BOUNDS}


@pytest.mark.parametrize(
    ("changes", "waves", "alike"),
    [
        ({"during": ["steps"]}, {}, ""),
        ({}, {}, "the share of requests in its bake"),
        ({}, {"minSuccessTime": "0"}, ""),
        ({"minimumSamples": 9, "during": ["steps"]}, {}, "the samples behind it"),
        ({"minimumSamples": 9, "during": ["steps"], "samples": 'n{c="$(cluster.name)"}'}, {}, ""),
        ({"query": "sum(x)", "during": ["steps"]}, {}, "its query"),
    ],
)
def test_all_that_is_asked_for_a_metric_has_to_say_it(
    project: Project, changes: dict[str, Any], waves: dict[str, str], alike: str
) -> None:
    guard = metric(presets.stack("istio")["istio/error-rate"])  # so that the bake measures something
    content = spec(NAMED | changes, guard)
    content["waves"][0] |= waves
    say(project, content)
    warned = [one for one in found(project, "CF144") if one.message.startswith("own ")]
    assert [re.findall(r"and (.*) can't tell", one.message)[0] for one in warned] == (
        [alike] if alike else []
    )


def test_a_fleets_own_selector_may_say_it(project: Project) -> None:
    content = spec(OWN | {"minimumSamples": 0, "during": ["steps"]}) | {"waves": [{"name": "all"}]}
    say(project, content, selector='c="$(cluster.name)",pod=~".*$(hash).*"')
    assert project.findings() == []


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, []),
        ({"query": "max(x)"}, ["query"]),
        ({"query": "max(x)", "samples": "sum(n)"}, ["query", "samples"]),
        ({"samples": 'sum(n{v="$(hash)"})'}, ["samples"]),
        ({"samples": 'sum(n{c="$(cluster.name)",v="$(hash)"})'}, []),
    ],
)
def test_a_query_without_the_fleets_labels_is_warned_of(
    project: Project, changes: dict[str, str], fields: list[str]
) -> None:
    say(project, spec(OWN | changes), LABELS, "http://prometheus.monitoring:9090")
    warned = project.findings()
    assert [(one.code, one.severity) for one in warned] == [("CF145", WARNING)] * len(fields)
    lines = project.spec("chat").joinpath("canary.yaml").read_text().splitlines()
    assert [lines[one.place.line - 1].strip().partition(":")[0] for one in warned] == fields
    say(project, spec(OWN | changes), address="http://prometheus.monitoring:9090")
    assert project.findings() == []


# Which server an address means


@pytest.mark.parametrize(
    "address",
    [
        "http://prometheus:9090",
        "http://prometheus.monitoring:9090",
        "http://prometheus.istio-system:9090",
        "https://Thanos-Query.openshift-monitoring.svc:9091",
        "http://prometheus.monitoring.svc.cluster.local",
        "http://prometheus.monitoring.svc.cluster.local.:9090/",
        "http://prometheus-0.prometheus.monitoring.svc:9090",
        "http://localhost:9090",
        "http://127.0.0.1:9090",
        "http://[::1]:9090",
        "http://[",
        "http://x:port",
        "",
    ],
)
def test_each_cluster_has_a_server_of_that_name(address: str) -> None:
    assert stores.shared({"a": address, "b": address}) == []


@pytest.mark.parametrize(
    "address",
    [
        "https://thanos.example",
        "https://thanos.acme.com",
        "http://mimir.acme.internal:8080/prometheus",
        "http://thanos.io",
        "http://10.0.0.5:9090",
        "http://[2001:db8::1]:9090",
        "http://thanos.monitoring.svc.clusterset.local:9090",
        "http://prometheus.monitoring.svc.eu.acme.internal",
        "http://thanos.monitoring.global",
    ],
)
def test_all_clusters_ask_one_server_of_that_name(address: str) -> None:
    assert stores.shared({"b": address, "a": address, "c": "http://p.m"}) == [
        stores.Store(address, ("a", "b"))
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://thanos.example", "https://THANOS.example.:443/", True),
        ("https://thanos.example", "http://thanos.example", False),
        ("https://vm.example/select/1/prometheus", "https://vm.example/select/2/prometheus", False),
        ("https://eu:x@grafana.example", "https://us:x@grafana.example", False),
        ("https://vm.example/?extra_label=a", "https://vm.example/?extra_label=b", False),
    ],
)
def test_which_addresses_are_one(one: str, other: str, same: bool) -> None:
    assert bool(stores.shared({"a": one, "b": other})) is same


def test_the_store_of_most_clusters_is_named_first() -> None:
    asked = dict(zip("abcde", ["https://x.example"] * 2 + ["https://y.example"] * 3, strict=True))
    assert [store.clusters for store in stores.shared(asked)] == [("c", "d", "e"), ("a", "b")]
