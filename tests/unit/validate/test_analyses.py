"""Analyses, whose templates, arguments and metrics are judged together."""

from valid_objects import (
    BACKGROUND,
    CANARY,
    METRIC,
    ROLLOUT,
    STEPS,
    Objects,
    add,
    address,
    codes,
    explain,
    metric,
    mutate,
    subset_split,
    template,
)

from canaryfleet.engines.argo_rollouts.validate import validate


def two_templates(first: Objects, second: Objects, metrics: Objects, background: bool = True) -> Objects:
    """Two templates in one analysis, with their arguments; the second with these metrics."""
    objects = subset_split()
    if background:
        mutate(objects, BACKGROUND, "spec.args", first)
    objects.append(template("assistant-more", metrics, second))
    place = f"{CANARY}.analysis" if background else f"{STEPS}.9.analysis"
    mutate(objects, ROLLOUT, f"{place}.templates", add({"templateName": "assistant-more"}))
    return objects


def test_templates_of_one_analysis() -> None:
    other = metric("other")
    assert validate(two_templates([address()], [address()], [other])) == []
    # the same metric, or another default
    found = validate(two_templates([address()], [address()], [metric("error-rate-background")]))
    assert codes(found) == {"CF248"}, explain(found)
    found = validate(two_templates([address()], [{"name": "address", "value": "http://other"}], [other]))
    assert codes(found) == {"CF248"}, explain(found)
    # in the background another template's argument will do, but its default does not count
    assert validate(two_templates([address()], [], [other])) == []
    found = validate(two_templates([address()], [{"name": "address"}], [other]))
    assert codes(found) == {"CF246"}, explain(found)
    # in a step a template stands alone
    found = validate(two_templates([], [], [metric("other", count=5)], background=False))
    assert codes(found) == {"CF245"}, explain(found)
    assert {one.name for one in found} == {"assistant-more"}


def test_a_template_that_nobody_uses_is_checked_too() -> None:
    unused = template("unused", [metric("other")], [])
    assert codes(validate([*subset_split(), unused])) == {"CF245"}


def test_nested_and_cluster_templates() -> None:
    objects = subset_split()
    shared = template("shared", [metric("shared")], [address()]) | {"kind": "ClusterAnalysisTemplate"}
    del shared["metadata"]["namespace"]
    mutate(objects, BACKGROUND, "spec.templates", [{"templateName": "shared", "clusterScope": True}])
    assert codes(validate(objects)) == {"CF250"}
    assert validate([*objects, shared]) == []
    mutate([shared], "ClusterAnalysisTemplate", f"{METRIC}.count", 5)
    assert codes(validate([*objects, shared])) == {"CF240"}


def test_dry_run_rules_of_a_step_meet_those_of_every_template() -> None:
    objects = subset_split()
    mutate(objects, ROLLOUT, f"{STEPS}.9.analysis.dryRun", [{"metricName": "^error-rate.*$"}])
    assert validate(objects) == []
    mutate(objects, BACKGROUND, "spec.dryRun", [{"metricName": "^error-rate.*$"}])
    assert codes(validate(objects)) == {"CF249"}


def test_a_finite_metric_in_the_background_may_be_dry() -> None:
    objects = subset_split()
    mutate(objects, BACKGROUND, "spec.metrics", add(metric("once", count=5)))
    assert codes(validate(objects)) == {"CF240"}
    mutate(objects, BACKGROUND, "spec.dryRun", [{"metricName": "^once$"}])
    assert validate(objects) == []


def test_conditions_that_are_fine() -> None:
    for condition in (
        "len(result) == 0 || result[0] < 1",
        "!(len(result) > 0) ? false : result[0] < 1",
        "len( result ) >= 1 && all(result, # < 1)",
        "isNaN(default(result, 0)) && '(' != \"[\" /* ) */",
        "let x = len(result) > 0 ? result[0] : 0; x < 1",
        "len(result) > 0 && result[0] < {{args.limit}}",
    ):
        objects = subset_split()
        mutate(objects, BACKGROUND, "spec.args", add({"name": "limit", "value": "1"}))
        mutate(objects, BACKGROUND, f"{METRIC}.failureCondition", condition)
        assert validate(objects) == [], condition


def test_an_address_from_a_secret_is_not_known() -> None:
    objects = subset_split()
    secret = {"secretKeyRef": {"name": "prometheus", "key": "address"}}
    mutate(objects, BACKGROUND, "spec.args", [{"name": "address", "valueFrom": secret}])
    assert validate(objects) == []


def test_fields_that_can_be_given() -> None:
    fields = ("metadata.name", "metadata.labels['app.kubernetes.io/name']", "metadata.annotations['x']", "status.phase",
              "spec.template.spec.containers[0].image", "spec.revisionHistoryLimit")  # fmt: skip
    for field in fields:
        objects = subset_split()
        mutate(objects, ROLLOUT, f"{STEPS}.9.analysis.args.0.valueFrom", {"fieldRef": {"fieldPath": field}})
        assert validate(objects) == [], field
