"""One cluster of the fleet: `clusters/<cluster>.yaml`."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from canaryfleet.models.base import (
    Addresses,
    ApiVersion,
    Choice,
    ClusterName,
    Count,
    Labels,
    Model,
    Positive,
    Quantity,
)


class ClusterMetadata(Model, frozen=True, kw_only=True):
    """Name and labels; waves and overrides select by labels."""

    name: Annotated[ClusterName, Meta(description="The cluster; the file's name.", examples=["eu-west-1a"])]
    labels: Annotated[
        Labels, Meta(description="What waves and overrides select by.", examples=[{"region": "eu"}])
    ] = {}


class Access(Choice, frozen=True, kw_only=True):
    """How the status of the cluster is read. Credentials are never written here."""

    exactly_one: ClassVar = ("context", "inCluster", "pushed", "snapshot")
    context: Annotated[
        str | None, Meta(description="A context of the kubeconfig.", examples=["eu-west-1a"])
    ] = None
    inCluster: Annotated[
        Literal[True] | None, Meta(description="The bot runs in this cluster.", examples=[True])
    ] = None
    pushed: Annotated[
        str | None,
        Meta(
            description="A Git ref that the cluster pushes its snapshots to.",
            examples=["refs/canaryfleet/status/eu-west-1a"],
        ),
    ] = None
    snapshot: Annotated[
        str | None, Meta(description="A recorded file, for trials.", examples=["recordings/eu-west-1a.json"])
    ] = None


class Cluster(Model, frozen=True, kw_only=True):
    """A cluster: where it is, how large, what differs there, and how to reach it."""

    apiVersion: Annotated[ApiVersion, Meta(description="Version of this format.")]
    kind: Annotated[Literal["Cluster"], Meta(description="What the file declares.")]
    metadata: Annotated[ClusterMetadata, Meta(description="Name and labels.")]
    capacity: Annotated[
        float, Meta(description="Relative size; `share: …, of: capacity` counts it.", ge=0, examples=[40])
    ] = 1
    resources: Annotated[
        dict[str, Quantity | Count],
        Meta(description="What it can hold, by Kubernetes resource.", examples=[{"nvidia.com/gpu": 64}]),
    ] = {}
    variables: Annotated[
        Labels, Meta(description="For specs, as `$(cluster.NAME)`.", examples=[{"domain": "eu.acme.example"}])
    ] = {}
    metrics: Annotated[Addresses, Meta(description="Metric servers of this cluster (live).")] = Addresses()
    access: Annotated[
        Access | None, Meta(description="How its status is read.", examples=[{"context": "eu-west-1a"}])
    ] = None
    uid: Annotated[
        str | None,
        Meta(
            description="UID of its kube-system namespace: its identity.",
            examples=["1f0c0d34-7a9e-4a1c-9a57-2b6c3e1d4f50"],
        ),
    ] = None
    maxConcurrentCanaries: Annotated[
        Positive | None, Meta(description="Apps under way at once on this cluster.", examples=[2])
    ] = None
    lifecycle: Annotated[
        Literal["active", "retiring"], Meta(description="`retiring` gets no new releases.")
    ] = "active"
