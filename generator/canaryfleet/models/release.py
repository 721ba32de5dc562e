"""A frozen release (`release.yaml`), the candidate (`candidate.yaml`), what is done (`done.yaml`): generated, never edited."""

import re
from functools import cached_property
from typing import Annotated, Any, Literal

from msgspec import Meta

from canaryfleet.models.base import ApiVersion, CountOrPercent, Duration, Labels, Metadata, Model

# What is measured beside a metric has its name with an ending.
GUARD = "-guard"  # after a blue-green switch: the same from the first second on, for proof of bad only
TWIN = "-stable"  # the same of the stable version, in a dry run


_DIGEST = re.compile(r"-[0-9a-f]{12}$")


def version_of(release: str) -> str:
    """The version in a release's id, which people know it by."""
    return _DIGEST.sub("", release)


class ReleaseMetadata(Model, frozen=True, kw_only=True):
    """The app that the release is of."""

    name: str
    namespace: str


class ReleaseWave(Model, frozen=True, kw_only=True):
    """A wave as it was resolved: its members and its limits. Windows are read live from the spec."""

    name: str
    members: tuple[str, ...]
    maxConcurrency: CountOrPercent | None = None
    minSuccessTime: Duration = "0"
    progressDeadline: Duration = "1d"
    maxFailures: CountOrPercent = 0
    approval: Literal["none", "required"] = "none"


class ReleaseCluster(Model, frozen=True, kw_only=True):
    """A cluster as the inventory had it, and what its pods are."""

    pod: Annotated[str, Meta(description="Digest of this cluster's pod template, as stamped into it.")]
    variant: Annotated[str | None, Meta(description="Component that makes its pods different.")] = None
    capacity: float = 1
    labels: Labels = {}


class ReleaseMetric(Model, frozen=True, kw_only=True):
    """A metric's thresholds in force, as plain numbers in the metric's unit."""

    name: str
    during: tuple[str, ...]
    promote: Annotated[str | None, Meta(description="Condition on the value.", examples=["< 0.005"])] = None
    rollback: Annotated[str | None, Meta(description="Condition on the value.", examples=["> 0.01"])] = None
    minimumSamples: int = 0
    comparedTo: str | None = None
    unit: Annotated[
        str | None, Meta(description="Of the value, where it is the metric's own: `e-value`.")
    ] = None


class LiveShape(Model, frozen=True, kw_only=True):
    """Which live settings the release's objects have room for."""

    replicas: bool = False
    autoscaler: str | None = None
    virtualService: str | None = None
    internalHost: str | None = None
    preview: str | None = None
    analysis: bool = False


# dict: for what is found out of it once
class Release(Model, frozen=True, kw_only=True, dict=True):
    """One release: what was resolved when it was frozen."""

    apiVersion: ApiVersion
    kind: Literal["Release"]
    metadata: ReleaseMetadata
    id: Annotated[str, Meta(description="`<version>-<digest>`; the folder's name.")]
    version: str
    digest: Annotated[str, Meta(description="SHA-256 of the inputs: spec, built base and files.")]
    workload: Annotated[str, Meta(description="Digest of what changes pods; what a canary tests.")]
    selector: Labels
    engine: str
    routing: str
    strategy: Literal["canary", "blueGreen"]
    urgency: Literal["normal", "hotfix"] = "normal"
    tools: Annotated[Labels, Meta(description="Versions that made it.")]
    config: Annotated[
        tuple[str, ...], Meta(description="Configuration that its pods mount, by content.")
    ] = ()
    live: LiveShape = LiveShape()
    steps: Annotated[tuple[dict[str, Any], ...], Meta(description="The controller's steps.")] = ()
    metrics: tuple[ReleaseMetric, ...] = ()
    contents: Annotated[
        Labels, Meta(description="Digest of each pod template as a cluster holds it, by its stamp.")
    ] = {}
    analyses: Annotated[
        Labels,
        Meta(
            description="Digest of what each analysis measures as a cluster holds it: by role, with the step of a "
            "canary's steps and the wave of a bake (`steps/2`, `background`, `bake/pilot`)."
        ),
    ] = {}
    waves: tuple[ReleaseWave, ...]
    clusters: dict[str, ReleaseCluster]
    files: Annotated[Labels, Meta(description="SHA-256 of every file of the release.")]

    @cached_property
    def wave_by_cluster(self) -> dict[str, ReleaseWave]:
        """The wave of each member."""
        return {name: wave for wave in reversed(self.waves) for name in wave.members}


class Candidate(Model, frozen=True, kw_only=True):
    """The release that the spec resolves to."""

    apiVersion: ApiVersion
    kind: Literal["Candidate"]
    metadata: ReleaseMetadata
    release: str
    workload: str


class Done(Model, frozen=True, kw_only=True):
    """The release that is done: the message of the commit that wrote this records what its last wave proved."""

    apiVersion: ApiVersion
    kind: Literal["Done"]
    metadata: Metadata
    release: str
    evidence: Annotated[str, Meta(description="Digest of what that commit records.")]
