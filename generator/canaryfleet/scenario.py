"""What a forecast is about, read from a repository."""

from collections.abc import Collection
from datetime import datetime

from msgspec.structs import replace

from canaryfleet import repo
from canaryfleet.errors import Finding, Place, Problems, UsageError, problem
from canaryfleet.evidence import CONDITION
from canaryfleet.files import Tree
from canaryfleet.forecast import Assumed, Subject, shared
from canaryfleet.models.release import Release
from canaryfleet.nearest import nearest
from canaryfleet.outlook import Ground, resolved, state_of
from canaryfleet.poisson import Kind
from canaryfleet.quantity import seconds
from canaryfleet.repo import Spec

# Presets that are a share of the requests to the version itself; those of clients and sessions count others.
SHARES: dict[str, Kind] = {
    "error-rate": "errors",
    "http-error-rate": "errors",
    "server-error-rate": "errors",
    "mcp-error-rate": "errors",
    "mcp-method-error-rate": "errors",
    "success-rate": "successes",
}


def subject(tree: Tree, app: str, now: datetime, assumed: Assumed, failed: Collection[str]) -> Subject:
    """What of an app is forecast: the release that its spec resolves to, base and all, with the spec's startup.

    `failed`: metrics of its own that are the share of failed requests. Raises Problems, and UsageError for others.
    """
    (name,) = repo.apps_with_specs(tree, [app])
    findings: list[Finding] = []
    ground = Ground(
        tree, repo.fleet(tree), repo.read_clusters(tree, findings), None, now, build=True, measured=True
    )
    if findings:
        raise Problems(findings)
    spec = repo.spec(tree, name)
    found = resolved(ground, spec)
    state = state_of(ground, spec, found.release, repo.App(name, {}, {}, {}))
    # what stops it now has an end, and is no rule about faults
    free = state._replace(
        fleet=replace(ground.fleet, paused=False, freezes=()),
        promotion=replace(state.promotion, holds=(), bars=()) if state.promotion else None,
        windows={},
    )
    startup = float(seconds(spec.model.workload.startup or "0"))
    return Subject(
        release=found.release,
        course=found.course,
        known=_known(spec, found.release, failed),
        state=free,
        rates=shared(found.release, assumed.rate),
        assumed=assumed._replace(startup=startup),
    )


def _known(spec: Spec, release: Release, failed: Collection[str]) -> dict[str, Kind]:
    """Metrics that are a share of failed requests, or of the others."""
    for metric in release.metrics:
        for said in (metric.promote, metric.rollback):
            if said is not None and not CONDITION.fullmatch(said):
                at = Place(f"{repo.OVERLAYS}/{spec.app}/releases/{release.id}/release.yaml")
                raise problem(at, "CF163", f"{said!r} is no condition", "restore it from Git")
    found: dict[str, Kind] = {}
    for given, metric in zip(spec.model.analysis.metrics, release.metrics, strict=True):
        kind = SHARES.get((given.preset or "").rpartition("/")[2])
        if (
            kind and metric.comparedTo is None and metric.unit is None
        ):  # a unit: the evidence of a sequential test
            found[metric.name] = kind
    own = {item.name: item for item in release.metrics}
    for name in failed:
        if name not in own:
            raise UsageError(f"--failed-share: there is no metric {name}; {nearest(name, own)}")
        if own[name].comparedTo or not (own[name].rollback or "").startswith(">"):
            raise UsageError(
                f"--failed-share: {name} rolls back below its threshold, or compares with stable"
            )
        found[name] = "errors"
    return found
