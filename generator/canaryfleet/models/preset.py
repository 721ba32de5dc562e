"""Ready metrics: how a file of them is written, and what `canaryfleet presets --output json` says of them."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from canaryfleet.models.base import ApiVersion, Model, Text

Unit = Literal["ratio", "seconds", "milliseconds", "number"]
Better = Literal["lower", "higher", "either"]
Verified = Literal["source", "documents", "contract"]
"""Where the names were read; a contract is our own, for what has no standard name."""
ParameterKind = Literal["text", "number", "id", "url", "selector"]
"""What a value may be: text within a label matcher's quotes, a price, an identifier in an address, a whole address."""


class Parameter(Model, frozen=True, kw_only=True):
    """What a spec can say, or has to, to make a ready metric its own."""

    about: Annotated[Text, Meta(description="What it is.")]
    default: Annotated[str | None, Meta(description="None: a spec has to say it.")] = None
    example: Annotated[str, Meta(description="A value that makes sense.")] = ""
    kind: Annotated[ParameterKind, Meta(description="What its values look like.")] = "text"


class Rename(Model, frozen=True, kw_only=True):
    """A metric's name that changed; the query reads both spellings."""

    old: Text
    new: Text
    since: Annotated[str, Meta(description="Version with the new name, where it is known.")] = ""


class Entry(Model, frozen=True, kw_only=True):
    """One ready metric, as its file has it: PromQL, or a provider of Argo Rollouts."""

    title: Text
    unit: Unit | None = None
    better: Better
    quantile: bool = False
    query: str = ""
    samples: Annotated[str | None, Meta(description="PromQL; none: those of the file.")] = None
    provider: dict[str, Any] | None = None
    secrets: Annotated[
        dict[str, str], Meta(description="What each is, by the name in `$(secret.NAME)`.")
    ] = {}
    parameters: dict[str, Parameter] = {}
    suggest: Annotated[dict[str, Any], Meta(description="Fields of the metric to begin with.")] = {}
    note: str = ""


class Stack(Model, frozen=True, kw_only=True):
    """A file of ready metrics: those of one server, convention or platform."""

    title: Text
    verified: Annotated[Verified, Meta(description="Where the names were read.")]
    about: Annotated[Text, Meta(description="Where its series come from, and what they need.")]
    fragments: Annotated[dict[str, str], Meta(description="Text that several queries share.")] = {}
    parameters: Annotated[dict[str, Parameter], Meta(description="Of each whose query uses them.")] = {}
    samples: Annotated[str, Meta(description="PromQL; empty: the requests that Istio counts.")] = ""
    errors: Annotated[dict[str, str], Meta(description="Matchers of a failed request by protocol.")] = {}
    renames: tuple[Rename, ...] = ()
    presets: dict[str, Entry]


class ShownParameter(Parameter, frozen=True, kw_only=True):
    """A parameter with its name."""

    name: str


class ShownPreset(Model, frozen=True, kw_only=True):
    """One ready metric; query and samples as an app's release would have them, if an app is named."""

    name: Annotated[str, Meta(examples=["vllm/time-to-first-token"])]
    title: str
    stack: Annotated[str, Meta(description="Title of the file that it stands in.")]
    about: str
    verified: Verified
    unit: Annotated[Unit | None, Meta(description="Of the value; none: what the platform measures.")]
    better: Better
    quantile: Annotated[bool, Meta(description="Whether a spec has to say which.")]
    parameters: tuple[ShownParameter, ...]
    secrets: dict[str, str]
    renames: tuple[Rename, ...]
    suggest: Annotated[
        dict[str, Any], Meta(description="Thresholds to begin with; never applied by themselves.")
    ]
    note: str
    app: str | None
    query: Annotated[str | None, Meta(description="PromQL; `{{args.…}}` is filled in by the controller.")]
    samples: Annotated[str | None, Meta(description="PromQL that counts what is behind the value.")]
    provider: Annotated[dict[str, Any] | None, Meta(description="Instead of PromQL, with secrets by name.")]
    spec: Annotated[str, Meta(description="A line for `analysis.metrics`.")]


class ListedPreset(Model, frozen=True, kw_only=True):
    """One ready metric in a few words."""

    name: str
    title: str
    unit: Unit | None
    better: Better
    quantile: bool
    verified: Verified


class PresetList(Model, frozen=True, kw_only=True):
    """What ready metrics there are: `canaryfleet presets --output json`."""

    apiVersion: ApiVersion
    kind: Literal["PresetList"]
    presets: tuple[ListedPreset, ...]


class PresetDetails(Model, frozen=True, kw_only=True):
    """One ready metric: `canaryfleet presets show NAME --output json`."""

    apiVersion: ApiVersion
    kind: Literal["PresetDetails"]
    preset: ShownPreset
