"""One cluster of the fleet: `clusters/<cluster>.yaml`."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from canaryfleet.models.base import (
    END,
    Addresses,
    ApiVersion,
    Choice,
    ClusterName,
    Count,
    Labels,
    Model,
    Positive,
    PositiveDuration,
    Quantity,
    SigningKey,
)


class ClusterMetadata(Model, frozen=True, kw_only=True):
    """Name and labels; waves and overrides select by labels."""

    name: Annotated[ClusterName, Meta(description="The cluster; the file's name.", examples=["eu-west-1a"])]
    labels: Annotated[
        Labels, Meta(description="What waves and overrides select by.", examples=[{"region": "eu"}])
    ] = {}


class Pushed(Model, frozen=True, kw_only=True):
    """Snapshots that the cluster signs and pushes itself (`canaryfleet report`)."""

    keys: Annotated[
        tuple[SigningKey, ...],
        Meta(
            description="Public SSH keys that sign for this cluster alone; two while one replaces the other.",
            examples=[["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfDNZ1hOhxP4YkCgmPTqkzQvTkoOq8T8VPPGCLbZwh"]],
            min_length=1,
        ),
    ]
    maxAge: Annotated[
        PositiveDuration, Meta(description="An older snapshot says nothing.", examples=["5m"])
    ] = "5m"


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
        Pushed | None,
        Meta(description="The cluster pushes signed snapshots to `refs/canaryfleet/status/<cluster>`."),
    ] = None
    snapshot: Annotated[
        str | None, Meta(description="A recorded file, for trials.", examples=["recordings/eu-west-1a.json"])
    ] = None


class KnownAs(Model, frozen=True, kw_only=True):
    """The cluster as Argo CD knows it."""

    name: Annotated[
        str,
        Meta(
            description="Its name there.",
            examples=["in-cluster"],
            pattern=rf"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?{END}",
        ),
    ]


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
    argocd: Annotated[
        KnownAs | None,
        Meta(description="If Argo CD knows it by another name.", examples=[{"name": "in-cluster"}]),
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

    @property
    def known_as(self) -> str:
        """What Argo CD calls it."""
        return self.argocd.name if self.argocd else self.metadata.name
