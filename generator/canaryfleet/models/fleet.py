"""The repository's own settings: `fleet.yaml`."""

import re
from typing import Annotated, Literal

from msgspec import Meta, field

from canaryfleet.models.base import (
    END,
    Addresses,
    ApiVersion,
    AppName,
    Instant,
    Labels,
    Metadata,
    Model,
    check_instants,
)

EventKind = Literal["start", "hold", "fail", "done"]
Variable = Annotated[str, Meta(pattern=f"^[A-Za-z_][A-Za-z0-9_]*{END}", max_length=100)]
# A name as PromQL writes it without quotes, but not the metric's own; a value that nothing in it can end:
# no quote, backslash or line, no `{{` of the controller's, and of `$(…)` only what a frozen query can hold.
SeriesLabel = Annotated[str, Meta(pattern=f"^(?!__name__$)[A-Za-z_][A-Za-z0-9_]*{END}", max_length=100)]
SeriesValue = Annotated[
    str,
    Meta(pattern=rf'^([^"\\{{}}$\x00-\x1f\x7f]|\$\(cluster\.name\))+{END}', max_length=200),
]
QUOTED = re.compile(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'|`[^`]*`')
DEFAULT_SELECTOR = 'namespace="$(namespace)",pod=~"$(rollout)-$(hash)-[a-z0-9]+"'


def has_alternatives(selector: str) -> bool:
    """Whether label matchers are of the form that VictoriaMetrics takes: `a="1" or b="2"`."""
    return re.search(r"\bor\b", QUOTED.sub("", selector), re.IGNORECASE) is not None


class Freeze(Model, frozen=True, kw_only=True):
    """A time in which no wave moves; rollbacks may."""

    name: Annotated[str, Meta(examples=["year-end"], description="Name, for messages.")]
    from_: Annotated[Instant, Meta(examples=["2026-12-20T00:00:00Z"], description="When it begins.")] = field(
        name="from"
    )
    to: Annotated[Instant, Meta(examples=["2027-01-04T00:00:00Z"], description="When it has ended.")]
    why: Annotated[str, Meta(description="Shown to those who wait.", examples=["the busiest weeks"])] = ""

    def __post_init__(self) -> None:
        check_instants(self, ("from_", "to"))


class Forge(Model, frozen=True, kw_only=True):
    """Where pull requests are opened. Credentials come from the environment, never from here."""

    type: Annotated[Literal["local", "github", "gitea"], Meta(description="Which forge it is.")] = "local"
    repository: Annotated[str | None, Meta(examples=["acme/fleet"], description="Owner and name.")] = None
    url: Annotated[
        str | None,
        Meta(
            description="Base address of the forge's API, if not the public one.",
            examples=["https://git.acme.example/api/v1"],
        ),
    ] = None


class Notification(Model, frozen=True, kw_only=True):
    """Somebody whom the bot tells what happens. Addresses and secrets come from the environment."""

    name: Annotated[
        AppName,
        Meta(description="Name, for `rollback.notify` of specs and for messages.", examples=["on-call"]),
    ]
    type: Annotated[
        Literal["slack", "webhook"],
        Meta(description="An incoming webhook as Slack has it, or JSON that is signed."),
    ]
    urlFrom: Annotated[
        Variable, Meta(description="Environment variable with the address.", examples=["SLACK_URL"])
    ]
    secretFrom: Annotated[
        Variable | None,
        Meta(
            description="Environment variable with the key that signs (HMAC-SHA256); `webhook` needs one.",
            examples=["WEBHOOK_SECRET"],
        ),
    ] = None
    on: Annotated[
        tuple[EventKind, ...],
        Meta(
            description="Of every app: a wave starts, waits for a person, fails, the release is done. "
            "Failures of an app whose spec names this target in `rollback.notify` are always told.",
            examples=[["hold", "fail"]],
        ),
    ] = ("start", "hold", "fail", "done")

    def __post_init__(self) -> None:
        if self.type == "webhook" and self.secretFrom is None:
            raise ValueError("a webhook is signed: name the variable with its key in `secretFrom`")


class Metrics(Addresses, frozen=True, kw_only=True):
    """Metric servers where a cluster names none, and how a pod's series are found."""

    selector: Annotated[
        str,
        Meta(
            description="Labels that pick one version's series in `$(selector)`; `$(hash)` is its pod-template hash."
        ),
    ] = DEFAULT_SELECTOR
    labels: Annotated[
        dict[SeriesLabel, SeriesValue],
        Meta(
            description="Labels that every series has where several clusters write to one store (Thanos, Mimir, a "
            "federation), for every preset and `$(selector)`; a value may use `$(cluster.name)`.",
            examples=[{"cluster": "$(cluster.name)"}],
        ),
    ] = {}

    def __post_init__(self) -> None:
        # what is added would be of one alternative alone
        if self.labels and has_alternatives(self.selector):
            raise ValueError("`labels` can't be added to a `selector` with `or`: write them into both sides")


Branch = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._/-]*{END}", max_length=200)]


class ArgoCD(Model, frozen=True, kw_only=True):
    """Where Argo CD finds the overlays, and where its own objects belong."""

    repository: Annotated[
        str,
        Meta(
            description="This repository's address, as Argo CD knows it; credentials belong into its own secrets.",
            examples=["https://git.acme.example/fleet.git"],
            pattern=rf"^(https?://[^\s@{{}}]+|ssh://[^\s{{}}]+|[^\s/:{{}}]+@[^\s:{{}}]+:[^\s{{}}]+|file:///[^\s{{}}]+){END}",
        ),
    ]
    revision: Annotated[
        Branch | None, Meta(description="Branch that it follows; default: `defaultBranch`.")
    ] = None
    path: Annotated[
        str,
        Meta(
            description="Folder of fleet.yaml in that repository, if it is not its root.",
            pattern=rf"^([A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?{END}",
        ),
    ] = ""
    namespace: Annotated[AppName, Meta(description="Namespace of Argo CD.")] = "argocd"
    project: Annotated[AppName | None, Meta(description="Its AppProject; default: the fleet's name.")] = None


class Fleet(Model, frozen=True, kw_only=True):
    """Settings that all apps of the repository share."""

    apiVersion: Annotated[ApiVersion, Meta(description="Version of this format.")]
    kind: Annotated[Literal["Fleet"], Meta(description="What the file declares.")]
    metadata: Annotated[Metadata, Meta(description="Name of the fleet.")]
    paused: Annotated[bool, Meta(description="Nothing moves anywhere; rollbacks may.")] = False
    defaultBranch: Annotated[str, Meta(description="The branch whose releases are frozen.")] = "main"
    forge: Annotated[Forge, Meta(description="Where pull requests are opened.")] = Forge()
    notify: Annotated[
        tuple[Notification, ...],
        Meta(
            description="Whom the bot tells what happens.",
            examples=[[{"name": "on-call", "type": "slack", "urlFrom": "SLACK_URL", "on": ["hold", "fail"]}]],
        ),
    ] = ()
    metrics: Annotated[Metrics, Meta(description="Metric servers where a cluster names none.")] = Metrics()
    labels: Annotated[
        Labels, Meta(description="Labels for every generated object.", examples=[{"owner": "platform"}])
    ] = {}
    argocd: Annotated[
        ArgoCD | None,
        Meta(
            description="`render` writes an AppProject and ApplicationSets to `argocd/`.",
            examples=[{"repository": "https://git.acme.example/fleet.git"}],
        ),
    ] = None
    freezes: Annotated[tuple[Freeze, ...], Meta(description="Times in which no wave moves.")] = ()

    def __post_init__(self) -> None:
        names = [target.name for target in self.notify]
        if len(set(names)) < len(names):
            raise ValueError("two of `notify` have the same name")
