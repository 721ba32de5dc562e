"""What every model is made of: strictness, and the words that several models share.

No `from __future__ import annotations` in these modules: msgspec resolves string annotations
on the first conversion, which costs every command several milliseconds.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, json, to_builtins

ApiVersion = Literal["canaryfleet.dev/v1alpha1"]
API_VERSION: ApiVersion = "canaryfleet.dev/v1alpha1"

END = r"$(?!\n)"  # to Python, `$` also matches before a line end that is the last character
_NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
INT32 = (1 << 31) - 1  # what Kubernetes' own numbers hold

DnsLabel = Annotated[str, Meta(pattern=f"^{_NAME}{END}", max_length=63)]
AppName = Annotated[str, Meta(pattern=f"^[a-z]([a-z0-9-]*[a-z0-9])?{END}", max_length=40)]
ClusterName = Annotated[str, Meta(pattern=f"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?{END}", max_length=63)]
WaveName = AppName
MetricName = AppName
ObjectName = Annotated[str, Meta(pattern=rf"^{_NAME}(\.{_NAME})*{END}", max_length=253)]
DataKey = Annotated[str, Meta(pattern=f"^[A-Za-z0-9._-]+{END}", max_length=253)]
Host = Annotated[str, Meta(pattern=rf"^(\*\.)?[A-Za-z0-9$().-]+{END}", max_length=253)]
Gateway = Annotated[str, Meta(pattern=f"^([A-Za-z0-9$()._-]+/)?[A-Za-z0-9$()._-]+{END}", max_length=317)]
Image = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9\[][A-Za-z0-9._:/@\[\]+-]*{END}")]
Percent = Annotated[str, Meta(pattern=rf"^(100|[0-9]{{1,2}}(\.[0-9]{{1,4}})?)%{END}")]
_TIME = r"0|(?=[0-9])([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,7}s)?"
Duration = Annotated[str, Meta(pattern=f"^({_TIME}){END}")]
PositiveDuration = Annotated[str, Meta(pattern=f"^(?=.*[1-9])({_TIME}){END}")]
DurationOrManual = Annotated[str, Meta(pattern=f"^(manual|{_TIME}){END}")]
CountOrPercent = Annotated[int, Meta(ge=0, le=INT32)] | Percent
Threshold = (
    Annotated[str, Meta(pattern=rf"^[+-]?[0-9]{{1,12}}(\.[0-9]{{1,12}})?(%|pp|ms|s|m)?{END}")] | int | float
)
Instant = Annotated[
    str,
    Meta(
        pattern=rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}})?(Z|[+-][0-9]{{2}}:[0-9]{{2}}){END}"
    ),
]
Labels = dict[str, str]
AbsolutePath = Annotated[str, Meta(pattern=rf"^/\S*{END}")]
MountPath = Annotated[str, Meta(pattern=rf"^/[^:\x00-\x1f]*{END}")]
Checksum = Annotated[str, Meta(pattern=f"^sha256:[0-9a-f]{{64}}{END}")]
SigningKey = Annotated[
    str,
    Meta(pattern=rf"^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]+=*( [ -~]*)?{END}"),
]
TokenName = Annotated[str, Meta(pattern=f"^[A-Za-z0-9_-]+{END}")]
HeaderName = Annotated[str, Meta(pattern=f"^[A-Za-z0-9!#$%&'*+.^_`|~-]+{END}")]
WordList = Annotated[str, Meta(pattern=f"^[a-z0-9-]+(,[a-z0-9-]+)*{END}")]
Quantity = Annotated[str, Meta(pattern=rf"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?{END}")]
Text = Annotated[str, Meta(min_length=1)]
Quantile = Annotated[float, Meta(gt=0, lt=1)]
Count = Annotated[int, Meta(ge=0, le=INT32)]
Positive = Annotated[int, Meta(ge=1, le=INT32)]
Port = Annotated[int, Meta(ge=1, le=65535)]


def check_instants(model: "Model", names: tuple[str, ...]) -> None:
    """Raises ValueError for a date that no calendar has: a pattern can't count days."""
    for name in names:
        text = getattr(model, name)
        try:
            if text is not None:
                datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text} is no date and time") from None


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A frozen model; unknown fields are refused, defaults are left out of what is written."""


def to_json(value: Any, order: Literal["sorted"] | None = None) -> bytes:
    """Models as JSON. Half a character, as in the name of a file or branch that is no UTF-8, becomes `?`."""
    try:
        return json.encode(value, order=order)
    except UnicodeEncodeError:
        from json import dumps

        plain = to_builtins(value, order=order)
        text = dumps(plain, sort_keys=order == "sorted", ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace")


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
