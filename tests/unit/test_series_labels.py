"""Where several clusters write to one store, no query of a cluster reads the series of another."""

from pathlib import Path
from typing import Any

import pytest
from series import ALL, BOUNDS, COMPARED, LABELS, OWN, SOME, WEB, queries, say, spec

from canaryfleet.errors import ERROR, Finding, Problems
from canaryfleet.models.fleet import DEFAULT_SELECTOR
from promql import Selector, selectors
from support import Project

SHARED = Path(__file__).parents[1] / "golden" / "shared"
MATCHERS = {'cluster="<cluster>"', 'env="prod"'}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.copy(SHARED, "chat")
    return project


def refused(project: Project) -> tuple[Finding, ...]:
    """Why there is no reading the repository."""
    with pytest.raises(Problems) as raised:
        project.findings()
    return tuple(raised.value.findings)


# What is asked


@pytest.mark.parametrize(
    "exposure",
    [{}, {"protocol": "grpc", "blueGreen": {"promoteAfter": "5m", "observe": "10m"}}],
    ids=["canary", "blue-green"],
)
def test_every_selector_of_every_query_has_the_labels(project: Project, exposure: dict[str, Any]) -> None:
    metrics = [*ALL, OWN, *([] if exposure else [COMPARED])]
    say(project, spec(*metrics, **exposure), LABELS)
    asked = list(queries(project))
    names = {name for _, name, _ in asked}
    assert {one.get("name", one.get("preset", "")).replace("/", "-") for one in metrics} <= names
    assert {kind for kind, _, _ in asked} == {"AnalysisTemplate", "AnalysisRun"}
    for kind, name, query in asked:
        read = selectors(query)
        assert read, (kind, name)
        for selector in read:
            assert set(selector.matchers) >= MATCHERS, (kind, name, selector)


def test_nothing_is_asked_otherwise_without_labels(project: Project) -> None:
    say(project, spec(*SOME, OWN))
    plain = [query for _, _, query in queries(project)]
    say(project, spec(*SOME, OWN), LABELS)
    head = 'cluster="{{args.cluster}}",env="prod",'
    assert [query.replace(head, "") for _, _, query in queries(project)] == plain


def test_labels_stand_in_front_of_what_a_fleet_says_itself(project: Project) -> None:
    """A comment at the end of a selector hides nothing."""
    say(project, spec(OWN | {"query": "max(x{$(selector)\n})"}), LABELS, selector='pod=~"$(hash)" # ours')
    asked = [query for _, name, query in queries(project) if name == "own"]
    assert asked
    assert all('max(x{cluster="{{args.cluster}}",env="prod",pod=~"' in query for query in asked)


def test_the_scanner_sees_what_has_no_labels() -> None:
    assert selectors(
        'sum by (pod) (rate(a:b{x="}",y=~"{{args.revision}}",}[{{args.window}}])) or up > 0.5'
    ) == [
        Selector("a:b", ('x="}"', 'y=~"<revision>"')),
        Selector("up", ()),
    ]
    assert selectors("1 - vector(0) and on() (up offset {{args.window}})") == [Selector("up", ())]
    with pytest.raises(ValueError, match="at"):
        selectors("x{y=z}")


# The release


def test_labels_are_of_the_release(project: Project) -> None:
    ids = {}
    for name, labels in {
        "none": None, "empty": {}, "one": {"cluster": "$(cluster.name)"}, "other": {"k8s": "$(cluster.name)"},
        "two": LABELS, "turned": dict(reversed(LABELS.items())),
    }.items():  # fmt: skip
        say(project, spec(*SOME), labels)
        ids[name] = project.know().frozen["chat"].release.id
    assert ids["none"] == ids["empty"]
    assert ids["two"] == ids["turned"]
    assert len(set(ids.values())) == 4


def test_a_selector_is_of_the_release(project: Project) -> None:
    ids = set()
    for selector in (DEFAULT_SELECTOR, 'pod="$(hash)"', 'exported_pod="$(hash)"'):
        for said in ({"selector": selector}, {} if selector == DEFAULT_SELECTOR else {"selector": selector}):
            say(project, spec(*SOME), LABELS, **said)
            ids.add(project.know().frozen["chat"].release.id)
    assert len(ids) == 3


WEB_OF_ITS_OWN = {
    "name": "w",
    "provider": {"web": {"url": "https://x.example", "jsonPath": "{$.x}"}},
    **BOUNDS,
}


@pytest.mark.parametrize("web", [WEB_OF_ITS_OWN, *WEB], ids=lambda web: web.get("preset", "own"))
def test_labels_make_no_release_of_an_app_that_asks_no_prometheus(
    project: Project, web: dict[str, Any]
) -> None:
    content = spec(web) | {"waves": [{"name": "all"}]}
    ids = set()
    for labels in (None, LABELS):
        say(project, content, labels)
        ids.add(project.know().frozen["chat"].release.id)
    assert len(ids) == 1


@pytest.mark.parametrize(
    "labels",
    [
        {"a-b": "x"},
        {"": "x"},
        {"1a": "x"},
        {"__name__": "x"},
        {'a="b",c': "x"},
        {"a\n": "x"},
        {"a": ""},
        {"a": 'x"} or up{a="'},
        {"a": "x\\"},
        {"a": "x\ny"},
        {"a": "{{args.revision}}"},
        {"a": "$(cluster.labels.region)"},
        {"a": "$(hash)"},
        {"a": "$x"},
    ],
    ids=str,
)
def test_what_is_no_label_is_refused(project: Project, labels: dict[str, str]) -> None:
    say(project, spec(*SOME), labels)
    (finding,) = refused(project)
    assert (finding.place.file, finding.severity, finding.code) == ("fleet.yaml", ERROR, "CF033")


@pytest.mark.parametrize(
    "labels", [{"__tenant_id__": "a/b c"}, {"_x9": "ß|.*"}, {"a": "p-$(cluster.name)-$(cluster.name)"}]
)
def test_what_is_one_is_taken(project: Project, labels: dict[str, str]) -> None:
    say(project, spec(*SOME), labels, "http://prometheus.monitoring:9090")
    assert project.findings() == []
    ((name, value),) = labels.items()
    wanted = f'{name}="{value.replace("$(cluster.name)", "<cluster>")}"'
    for _, _, query in queries(project):
        assert all(wanted in selector.matchers for selector in selectors(query))


def test_labels_are_not_added_to_one_side_of_an_or(project: Project) -> None:
    say(project, spec(OWN), LABELS, selector='pod="$(hash)" or exported_pod="$(hash)"')
    (finding,) = refused(project)
    assert (finding.severity, "both sides" in finding.message) == (ERROR, True)
    say(project, spec(OWN), LABELS, "http://p.m:1", selector='pod="a or b$(hash)"')
    assert project.findings() == []
