"""Room for two versions: what a cluster declares against what pods ask for, of one app and of all."""

from collections import Counter
from collections.abc import Iterator, Mapping

from canaryfleet.advice.subject import Subject, warning
from canaryfleet.errors import Issue
from canaryfleet.live import Live, Settings, resolve
from canaryfleet.models.decision import Amounts
from canaryfleet.phrases import some
from canaryfleet.resolve import Plan
from canaryfleet.takes import KEDA_MOST, pod_takes, room

VERSIONS = 2  # the bot counts old and new pods at full scale (limits.py), for an abort needs the old ones


def takes(plan: Plan) -> dict[str, Amounts]:
    """What an app's pods ask for on each of its clusters, of what that cluster declares; at the most replicas.

    An app with a quantity that is none is left out: that is an error of its own.
    """
    settings = Settings(plan.inputs.spec, plan.workload.bounds, plan.inputs.fleet)
    found: dict[str, Amounts] = {}
    for name, pod in plan.pods.by_cluster.items():
        cluster = plan.inputs.clusters[name]
        if not cluster.resources:
            continue
        count = _pods(plan, resolve(settings, cluster))
        try:
            found[name] = {key: count * pod_takes(pod.template["spec"], key) for key in cluster.resources}
        except (ValueError, TypeError, AttributeError, KeyError):
            return {}
    return found


def _pods(plan: Plan, live: Live) -> int:
    """The most pods of one version on a cluster."""
    keda = [item["spec"] for item in plan.workload.carried if item["kind"] == "ScaledObject"]
    if keda:
        return int(keda[0].get("maxReplicaCount", KEDA_MOST))
    return (live.maximum if plan.workload.autoscaler else live.replicas) or 0


def together(apps: Mapping[str, Mapping[str, Amounts]], without: str) -> dict[str, Amounts]:
    """What all apps but one ask for, by cluster."""
    found: dict[str, Counter[str]] = {}
    for app, clusters in apps.items():
        for cluster, amounts in clusters.items():
            if app != without:
                found.setdefault(cluster, Counter()).update(amounts)
    return {cluster: dict(amounts) for cluster, amounts in found.items()}


def surge(subject: Subject) -> Iterator[Issue]:
    """CF340 and CF341: two versions that a cluster can't hold, alone or beside the other apps' pods."""
    alone: dict[str, list[tuple[int, str, str]]] = {}
    beside: dict[str, list[tuple[int, str, str]]] = {}
    for cluster, amounts in subject.takes.items():
        there = room(subject.plan.inputs.clusters[cluster].resources)
        for resource, amount in amounts.items():
            both, rest = VERSIONS * amount, subject.others.get(cluster, {}).get(resource, 0)
            over, most = both + rest - there[resource], f"{there[resource] / 1000:g} {resource}"
            if amount and both > there[resource]:
                said = f"{cluster} has {most}, and two versions ask for {both / 1000:g}"
                alone.setdefault(resource, []).append((over, cluster, said))
            elif amount and over > 0:
                said = f"{cluster} has {most}; two versions ask for {both / 1000:g}, other apps for {rest / 1000:g}"
                beside.setdefault(resource, []).append((over, cluster, said))
    yield from _said("CF340", subject, alone)
    yield from _said("CF341", subject, beside)


def _said(code: str, subject: Subject, found: Mapping[str, list[tuple[int, str, str]]]) -> Iterator[Issue]:
    """One warning for each resource, with the worst cluster's numbers."""
    given = subject.plan.inputs.spec.workload
    at = ("workload", "resources") if given.resources else ("workload",)
    for clusters in found.values():
        _, name, said = max(clusters)
        others = sorted(cluster for _, cluster, _ in clusters if cluster != name)
        more = f"; so it is on {some(others)}" if others else ""
        yield warning(
            at,
            code,
            f"{said}: the bot would wait for room{more}",
            "fewer replicas there (`overrides`), or more room",
        )
