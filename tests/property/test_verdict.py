"""No lost, stale, foreign, reordered, terminated, truncated or altered observation is ever Verified.

The observations are recordings of the real controller, verified as they are; then every field of the
raw objects is altered, removed and aged in turn. What may differ stands in `IRRELEVANT`, with the reason.
"""

import copy
import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import ValidationError, convert
from msgspec.json import encode
from msgspec.structs import replace

from canaryfleet.engines.argo_rollouts.observe import observe, trim
from canaryfleet.models.observation import Problem, Sighting

sys.path.insert(0, str(Path(__file__).parent.parent / "unit" / "status"))
from recorded import VERSIONS, Recording, recording

ALL = [(scenario, version) for scenario in ("good", "blue-green") for version in VERSIONS]
NEWEST = [name for name in ALL if name[1] == VERSIONS[0]]
Name = tuple[str, str]
PathTo = tuple[str | int, ...]
GONE = object()

RUN, SET, POD = "analysisRuns/items/@", "replicaSets/items/@", "pods/items/@"
META = "(apiVersion|kind|metadata/(resourceVersion|generation|generateName|managedFields))"
OWNER = r"metadata/ownerReferences(/@/(apiVersion|name|blockOwnerDeletion))?"
OTHER = "(labels/(app|app.kubernetes.io/name|app.kubernetes.io/managed-by)|annotations/argocd.*)"
# What is not read at all ends in `/**`: nothing in it can matter.
IRRELEVANT: dict[str, str] = {
    # Bookkeeping of the API server
    r"(analysisRuns|replicaSets|pods)/(apiVersion|metadata(/(resourceVersion|continue))?)": "of the list, not of its items",
    r"(analysisRuns|replicaSets|pods)/items": "only in another order, or without what is not of this version",
    r"(rollout|rolloutAgain)/(apiVersion|metadata/(resourceVersion|managedFields/**))": "the UID says what it is",
    f"({RUN}|{SET}|{POD})/(kind|apiVersion|metadata/(resourceVersion|generation|generateName|managedFields/**))": (
        "the list says what it has, and the UID which"
    ),
    f"({RUN}|{SET}|{POD})/{OWNER}": "owners are known by kind and UID; twice is once",
    f"({RUN}|{SET}|{POD})/metadata/(name|uid)": (
        "runs, versions and pods are known by their owner's UID; the bake's name counts, and is tried"
    ),
    f"(rollout|rolloutAgain|{RUN}|{SET}|{POD})/metadata/{OTHER}": "found by them, not known by them",
    # The Rollout
    r"(rollout|rolloutAgain)/spec/(analysis|minReadySeconds|progressDeadlineSeconds|revisionHistoryLimit|rollbackWindow|selector)/**": (
        "how fast, and how much is kept; not what was measured"
    ),
    r"(rollout|rolloutAgain)/spec/strategy/canary/(?!steps)\w+/**": "what was routed shows in the status",
    r"(rollout|rolloutAgain)/spec/strategy/blueGreen(/.*)?": "what was switched to shows in the status",
    r"(rollout|rolloutAgain)/metadata/creationTimestamp": "only its UID is bound to; earlier is no lie that helps",
    r"(rollout|rolloutAgain)/status/(HPAReplicas|readyReplicas|selector|currentStepHash|replicas)": "derived; not read",
    r"(rollout|rolloutAgain)/status/(availableReplicas|updatedReplicas)": "only more than are wanted",
    r"(rollout|rolloutAgain)/status/canary/weights/(canary/podTemplateHash|stable/serviceName)": "has no traffic; a name",
    r"(rollout|rolloutAgain)/status/blueGreen/(previewSelector|postPromotionAnalysisRunStatus)/**": "not read",
    r"(rollout|rolloutAgain)/status/conditions(/@(/(lastUpdateTime|message|reason))?)?": "their order; words",
    r"(rollout|rolloutAgain)/status/conditions/@/(type|status|lastTransitionTime)": (
        "of conditions that no verdict is read from; Completed is tried by itself"
    ),
    # ReplicaSets: of the version rolled out only
    f"{SET}/(spec/(minReadySeconds|selector)|status/(fullyLabeledReplicas|readyReplicas|replicas))/**": "not read",
    f"{SET}/spec/template/spec/(restartPolicy|terminationGracePeriodSeconds|dnsPolicy|securityContext|schedulerName)/**": (
        "the API server's defaults"
    ),
    f"{SET}/spec/template/spec/containers/@/(ports|resources|terminationMessage.*|imagePullPolicy)/**": (
        "defaults, and what the stamp is of"
    ),
    f"{SET}/(spec/template/metadata/labels/(app.*|rollouts-pod-template-hash)|status/availableReplicas)": (
        "the ReplicaSet's own label counts; more than are wanted"
    ),
    f"{SET}/metadata/(annotations|annotations/(canaryfleet.dev/workload|rollout.argoproj.io/desired-replicas)|labels/service.*)": (
        "those of its template count"
    ),
    f"{SET}/metadata/creationTimestamp": "earlier: runs of an earlier revision are told by their revision",
    # Pods
    f"{POD}/(spec|status/(phase|podIPs?|startTime|hostIPs?|qosClass|observedGeneration|containerStatuses|initContainerStatuses))/**": (
        "of a release that is complete only how many are ready counts; crashes are tried by themselves"
    ),
    f"{POD}/metadata/(creationTimestamp|labels|labels/.*|annotations/canaryfleet.dev/workload)": (
        "of which version it is says its owner, and what it is its stamp"
    ),
    f"{POD}/status/conditions(/@.*)?": "of conditions other than Ready, which is tried by itself",
    # Runs
    f"{RUN}/spec/args(/@(/(name|value))?)?": "the address, and what no query of ours uses",
    f"{RUN}/spec/terminate": "a background run is told to stop; its message says so too",
    f"{RUN}/status/(completedAt|startedAt|dryRunSummary|runSummary)/**": "derived; not read",
    f"{RUN}/status/message": "words, beside spec.terminate",
    f"{RUN}/status/metricResults(/@/(consecutiveSuccess|metadata|message)/**)?": "the order; derived",
    f"{RUN}/status/metricResults/@/measurements/@/value": "another good one, or of one that proved nothing",
}
HELD = re.compile(f"((rollout|rolloutAgain)/spec/template|{RUN}/spec)/.*")
PATTERNS = [re.compile(re.sub(r"/\*\*", "(/.*)?", text)) for text in IRRELEVANT]
UNREAD = [re.compile(re.sub(r"/\*\*", "/.*", text)) for text in IRRELEVANT if text.endswith("/**")]


def plain(sighting: Sighting) -> Any:
    """A sighting as it stands in a file."""
    return json.loads(encode(sighting))


def places(tree: Any, at: PathTo = ()) -> Iterator[PathTo]:
    """Every place in a tree, inner ones too, but nothing below what is not read."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        here = (*at, key)
        yield here
        if not any(pattern.fullmatch(name(here) + "/") for pattern in UNREAD):
            yield from places(value, here)


def name(at: PathTo) -> str:
    """Where in the answers, items without their numbers."""
    return "/".join("@" if isinstance(key, int) else key for key in at[3:])


def get(tree: Any, at: PathTo) -> Any:
    for key in at:
        tree = tree[key]
    return tree


def put(tree: Any, at: PathTo, value: Any) -> None:
    parent = get(tree, at[:-1])
    if value is GONE:
        del parent[at[-1]]
    else:
        parent[at[-1]] = copy.deepcopy(value)


def later(text: str, days: int) -> str:
    return (datetime.fromisoformat(text) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def says_nothing(value: Any) -> bool:
    """Whether the API server may as well leave it out, of a template or of what is measured (held.py)."""
    if isinstance(value, dict):
        return all(map(says_nothing, value.values()))
    return not value or value is GONE or value == "TCP"


def others(value: Any) -> Iterator[Any]:
    """What a value could be instead: gone, nothing, of another type, more, less, older, newer, shorter."""
    yield from (GONE, None) if value not in ({}, [], "") else ()  # an empty one and none are the same
    yield from ("altered", 7, [], {})
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1, -value, str(value))
        case str() if re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", value):
            yield from (later(value, days) for days in (-400, -1, 1, 400))
        case str():
            yield from (value + "x", value[:-1], "", "0", "[99]", "[NaN]", "[]", "False")
        case list() if value:
            yield from (value[:-1], value[1:], value[::-1], value + value)
        case dict() if value:
            yield {"altered": "altered"}


def altered(tree: Any, at: PathTo, value: Any) -> Sighting | None:
    """The sighting with another value at a place; of the Rollout both readings see it. None if it is none."""
    tree = copy.deepcopy(tree)
    put(tree, at, value)
    if at[3:4] == ("rollout",):
        try:
            put(tree, (*at[:3], "rolloutAgain", *at[4:]), value)
        except (KeyError, IndexError):
            return None
    try:
        return convert(tree, Sighting)
    except ValidationError:
        return None


@cache
def verified(name: Name) -> tuple[Recording, Sighting, Any]:
    """A recording, its last reading, which is Verified, and that as plain data.

    That of blue-green ends when the switch has been proven, before its bake is over.
    """
    base = recording(*name)
    base = base.unbaked() if name[0] == "blue-green" else base
    return base, base.sightings[-1], plain(base.sightings[-1])


def kind(base: Recording, sighting: Sighting, **changes: Any) -> str:
    """The verdict's kind, judged when the recording ended."""
    promoted = base.sightings[-1].began - timedelta(hours=1)
    last = base.sightings[-1].ended
    return base.verdict(sighting, now=last, **{"promoted": promoted, **changes}).kind


def others_of(answers: Any, kind: str) -> list[int]:
    """Which items are another version's."""
    current = answers["rollout"]["status"]["currentPodHash"]
    labels = [item["metadata"]["labels"] for item in answers[kind]["items"]]
    return [at for at, found in enumerate(labels) if found["rollouts-pod-template-hash"] != current]


def of_stable(answers: Any) -> Iterator[PathTo]:
    """Where runs measure the stable version in a dry run: that can excuse what is bad, and never prove what is good.

    What such a rule may be about is tried by itself (test_observe.py).
    """
    for number, run in enumerate(answers["analysisRuns"]["items"]):
        here = ("analysisRuns", "items", number)
        for at, result in enumerate(run["status"].get("metricResults", [])):
            if result.get("dryRun"):
                yield (*here, "status", "metricResults", at)


@cache
def chosen(name_: Name) -> list[PathTo]:
    """Places to alter: of those that look the same the first and the last, for each answer's item by itself."""
    _, _, tree = verified(name_)
    answers = tree["apps"][0]["answers"]
    old = {(kind, at) for kind in ("replicaSets", "pods") for at in others_of(answers, kind)}
    stable = set(of_stable(answers))
    groups: dict[Any, list[PathTo]] = {}
    for at in places(tree):
        if any(at[3 : 3 + len(beside)] == beside for beside in stable):
            continue
        if len(at) > 5 and (at[3], at[5]) in old:
            continue
        if at[6:] == ("metadata", "annotations") and "ownerReferences" not in get(tree, at[:7]):
            continue  # of the bake no annotation counts
        groups.setdefault(
            (name(at), at[5] if len(at) > 5 else None, at[:3] if len(at) < 3 else 0), []
        ).append(at)
    return [at for group in groups.values() for at in {group[0], group[-1]}]


@pytest.mark.parametrize("name_", ALL, ids="-".join)
def test_what_was_recorded_is_verified(name_):
    base, sighting, _ = verified(name_)
    assert kind(base, sighting) == "Verified"


@pytest.mark.parametrize("name_", NEWEST, ids="-".join)
def test_no_altered_field_leaves_it_verified(name_):
    base, _, tree = verified(name_)
    survivors: set[str] = set()
    for at in chosen(name_):
        if any(pattern.fullmatch(name(at)) for pattern in PATTERNS):
            continue
        value = get(tree, at)
        for other in others(value):
            same = HELD.fullmatch(name(at)) and says_nothing(value) and says_nothing(other)
            sighting = altered(tree, at, other) if other != value and not same else None
            if sighting is not None and kind(base, sighting) == "Verified":
                survivors.add(f"{name(at) or at}: {'gone' if other is GONE else str(other)[:60]}")
    assert not survivors, "\n".join(sorted(survivors))


@pytest.mark.parametrize("name_", NEWEST, ids="-".join)
def test_fields_that_are_tried_by_themselves(name_):
    """The condition Completed, a pod's Ready, the bake's name: patterns can't tell them from their neighbours."""
    base, _, tree = verified(name_)
    at = ("apps", 0, "answers")
    objects = get(tree, at)
    conditions = objects["rollout"]["status"]["conditions"]
    completed = next(i for i, item in enumerate(conditions) if item["type"] == "Completed")
    mine = next(i for i, _ in enumerate(objects["pods"]["items"]) if i not in others_of(objects, "pods"))
    pod = objects["pods"]["items"][mine]["status"]["conditions"]
    ready = next(i for i, item in enumerate(pod) if item["type"] == "Ready")
    bakes = [
        i for i, item in enumerate(objects["analysisRuns"]["items"]) if "-bake-" in item["metadata"]["name"]
    ]
    assert len(bakes) == (name_[0] == "good")
    tried = [
        *(
            (*at, "rollout", "status", "conditions", completed, key)
            for key in ("type", "status", "lastTransitionTime")
        ),
        (*at, "rollout", "status", "conditions", completed),
        *((*at, "pods", "items", mine, "status", "conditions", ready, key) for key in ("type", "status")),
        *((*at, "analysisRuns", "items", bake, "metadata", "name") for bake in bakes),
    ]
    for place in tried:
        for other in others(get(tree, place)):
            # Completed earlier by a day or more: the bake is measured after, and every run is made before it
            sighting = altered(tree, place, other)
            assert sighting is None or kind(base, sighting) != "Verified", (place, other)


def answers(sighting: Sighting, **changed: Any) -> Sighting:
    """The sighting with other answers about its app."""
    look = sighting.apps[0]
    return replace(sighting, apps=(replace(look, answers={**look.answers, **changed}),))


@pytest.mark.parametrize("name_", ALL, ids="-".join)
@given(data=st.data())
@settings(max_examples=40)
def test_answers_of_different_moments_are_never_verified_early(name_, data):
    """A cache that lags, a reading that was torn: the last answer of each kind, or it is not Verified."""
    base, last, _ = verified(name_)
    picks = {
        answer: data.draw(st.integers(0, len(base.sightings) - 1), label=answer)
        for answer in ("rollout", "replicaSets", "analysisRuns", "pods", "rolloutAgain")
    }
    torn = answers(last, **{key: base.sightings[at].apps[0].answers[key] for key, at in picks.items()})
    if kind(base, torn) == "Verified":
        measured = [
            at
            for at, seen in enumerate(base.sightings)
            if kind(base, answers(last, analysisRuns=seen.apps[0].answers["analysisRuns"])) == "Verified"
        ]
        assert picks["analysisRuns"] in measured
        again = answers(base.sightings[picks["rollout"]])
        assert observe(again, base.subject).live.phase == "Healthy"  # type: ignore[union-attr]


@pytest.mark.parametrize("name_", ALL, ids="-".join)
@given(data=st.data())
@settings(max_examples=30)
def test_the_order_of_lists_does_not_matter(name_, data):
    base, last, _ = verified(name_)
    shuffled = {}
    for answer in ("replicaSets", "analysisRuns", "pods"):
        raw = last.apps[0].answers[answer]
        shuffled[answer] = {**raw, "items": data.draw(st.permutations(raw["items"]))}
    assert kind(base, answers(last, **shuffled)) == "Verified"
    assert base.verdict(answers(last, **shuffled)).hash == base.verdict(last).hash


@pytest.mark.parametrize("name_", ALL, ids="-".join)
def test_a_lost_run_is_not_verified(name_):
    base, last, _ = verified(name_)
    raw = last.apps[0].answers["analysisRuns"]
    for lost in range(len(raw["items"])):
        items = raw["items"][:lost] + raw["items"][lost + 1 :]
        assert kind(base, answers(last, analysisRuns={**raw, "items": items})) == "Unknown"


@pytest.mark.parametrize("name_", ALL, ids="-".join)
def test_a_list_that_was_cut_off_is_unknown(name_):
    base, last, _ = verified(name_)
    for answer in ("replicaSets", "analysisRuns", "pods"):
        raw = last.apps[0].answers[answer]
        cut = {**raw, "metadata": {"resourceVersion": "1", "continue": "there-is-more"}}
        verdict = base.verdict(answers(last, **{answer: cut}))
        assert (verdict.kind, verdict.reason) == ("Unknown", "Truncated")


@pytest.mark.parametrize("name_", ALL, ids="-".join)
def test_a_terminated_run_proves_nothing(name_):
    base, last, _ = verified(name_)
    for index, run in enumerate(last.apps[0].answers["analysisRuns"]["items"]):
        items = copy.deepcopy(last.apps[0].answers["analysisRuns"]["items"])
        items[index]["spec"]["terminate"] = True
        background = run["metadata"]["labels"].get("rollout-type") == "Background"
        terminated = answers(last, analysisRuns={**last.apps[0].answers["analysisRuns"], "items": items})
        assert kind(base, terminated) == ("Verified" if background else "Inconclusive")
        items[index]["status"]["metricResults"] = []
        assert kind(base, terminated) == "Inconclusive"


@pytest.mark.parametrize("name_", ALL, ids="-".join)
def test_an_old_reading_and_one_from_the_future_are_unknown(name_):
    base, last, _ = verified(name_)
    for now in (last.ended + timedelta(minutes=11), last.ended - timedelta(minutes=3)):
        assert base.verdict(last, now=now).kind == "Unknown"


@pytest.mark.parametrize("name_", ALL, ids="-".join)
def test_another_cluster_is_unknown(name_):
    base, last, _ = verified(name_)
    for change in ({"identity": "another"}, {"identity": None}, {"cluster": "another"}):
        assert kind(base, replace(last, **change)) == "Unknown"
    assert kind(base, last, uid="another") == "Unknown"


@pytest.mark.parametrize("name_", ALL, ids="-".join)
def test_evidence_from_before_the_promotion_does_not_count(name_):
    base, last, _ = verified(name_)
    assert kind(base, last, promoted=last.ended + timedelta(minutes=2)) == "Unknown"


@pytest.mark.parametrize("problem", Problem.__annotations__["kind"].__args__)
def test_a_problem_of_the_cluster_or_the_app_is_unknown(problem):
    base, last, _ = verified(ALL[0])
    trouble = Problem(kind=problem, message="trouble", remedy="do something")
    assert kind(base, replace(last, problem=trouble)) == "Unknown"
    assert kind(base, replace(last, apps=(replace(last.apps[0], problem=trouble),))) == "Unknown"


@pytest.mark.parametrize("name_", ALL, ids="-".join)
def test_every_missing_answer_is_unknown(name_):
    base, last, _ = verified(name_)
    look = last.apps[0]
    for lost in look.answers:
        left = {key: value for key, value in look.answers.items() if key != lost}
        assert kind(base, replace(last, apps=(replace(look, answers=left),))) == "Unknown"
    assert kind(base, replace(last, apps=())) == "Unknown"
    assert kind(base, replace(last, apps=(look, look))) == "Unknown"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    answer=st.sampled_from(["rollout", "replicaSets", "analysisRuns", "pods"]),
    raw=st.dictionaries(st.text(max_size=8), JSON, max_size=4),
)
def test_any_answer_at_all_is_unknown_and_no_traceback(answer, raw):
    base, last, _ = verified(ALL[0])
    assert kind(base, answers(last, **{answer: raw})) == "Unknown"


@pytest.mark.parametrize("name_", NEWEST, ids="-".join)
@given(data=st.data())
@settings(max_examples=150)
def test_garbage_anywhere_gives_a_verdict(name_, data):
    """Any values at any places: a verdict and no traceback, the same of what is trimmed."""
    base, last, tree = verified(name_)
    tree = copy.deepcopy(tree)
    for at in data.draw(st.lists(st.sampled_from(chosen(name_)), max_size=4)):
        try:
            put(tree, at, data.draw(JSON))
        except (KeyError, IndexError, TypeError):
            continue
    try:
        sighting = convert(tree, Sighting)
    except ValidationError:
        return
    verdict = base.verdict(sighting, now=last.ended)
    small = replace(sighting, apps=tuple(trim(look) for look in sighting.apps))
    assert base.verdict(small, now=last.ended).kind == verdict.kind


@pytest.mark.parametrize("name_", NEWEST, ids="-".join)
def test_what_is_trimmed_means_the_same(name_):
    base, last, _ = verified(name_)
    small = replace(last, apps=tuple(trim(look) for look in last.apps))
    assert observe(small, base.subject) == observe(last, base.subject)
    assert len(encode(small)) < len(encode(last)) / 2
    assert b"managedFields" not in encode(small)
