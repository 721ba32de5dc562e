"""What every model is made of: strictness, and the words that several models share.

No `from __future__ import annotations` in these modules: msgspec resolves string annotations
on the first conversion, which costs every command several milliseconds.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

ApiVersion = Literal["canaryfleet.dev/v1alpha1"]
API_VERSION: ApiVersion = "canaryfleet.dev/v1alpha1"

DnsLabel = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
AppName = Annotated[str, Meta(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=40)]
ClusterName = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=63)]
WaveName = Annotated[str, Meta(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=40)]
MetricName = Annotated[str, Meta(pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$", max_length=40)]
Host = Annotated[str, Meta(pattern=r"^(\*\.)?[A-Za-z0-9$().-]+$", max_length=253)]
Percent = Annotated[str, Meta(pattern=r"^(100|[0-9]{1,2}(\.[0-9]{1,4})?)%$")]
_TIME = r"0|(?=[0-9])([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,7}s)?"
Duration = Annotated[str, Meta(pattern=f"^({_TIME})$")]
DurationOrManual = Annotated[str, Meta(pattern=f"^(manual|{_TIME})$")]
CountOrPercent = Annotated[int, Meta(ge=0)] | Percent
Threshold = Annotated[str, Meta(pattern=r"^[+-]?[0-9]{1,12}(\.[0-9]{1,12})?(%|pp|ms|s|m)?$")] | int | float
Instant = Annotated[
    str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})$")
]
Labels = dict[str, str]
AbsolutePath = Annotated[str, Meta(pattern="^/")]
Checksum = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
TokenName = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+$")]
Quantile = Annotated[float, Meta(gt=0, lt=1)]
Positive = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A frozen model; unknown fields are refused, defaults are left out of what is written."""


class Choice(Model, frozen=True):
    """A model with fields that exclude each other: exactly one, or at most one, of a group.

    The groups become `oneOf` and `not` in the JSON Schema, from the same declaration.
    """

    exactly_one: ClassVar[tuple[str, ...]] = ()
    at_most_one: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for group, least in ((self.exactly_one, 1), (self.at_most_one, 0)):
            given = [name for name in group if getattr(self, name) is not None]
            if len(given) > 1 or len(given) < min(least, len(group)):
                raise ValueError(choice_message(group, given, least))


def choice_message(group: tuple[str, ...], given: list[str], least: int) -> str:
    """The sentence for a `Choice` with too few or too many of `group` given."""
    wanted = ", ".join(f"`{name}`" for name in group)
    found = " and ".join(f"`{name}`" for name in given) if given else "none"
    return f"{'exactly' if least else 'at most'} one of {wanted} is allowed; found {found}"


class Metadata(Model, frozen=True, kw_only=True):
    """Name of the object that a file declares."""

    name: Annotated[str, Meta(description="Name; the same as the file's or folder's.", examples=["acme"])]


class Addresses(Model, frozen=True, kw_only=True):
    """Where the metric servers of a cluster answer, as seen from that cluster's controller."""

    prometheus: Annotated[
        str | None,
        Meta(
            description="Base address of the Prometheus API (also Thanos, Mimir, VictoriaMetrics).",
            examples=["http://prometheus.istio-system:9090"],
        ),
    ] = None
