"""Ready metrics: small declarative data, one file for each stack, named `<stack>/<preset>`.

Placeholders: `$(selector)` picks one version's pods, `$(window)` is the time looked at,
`$(quantile)`, `$(errors)` (by protocol), and the file's own fragments and parameters. Every selector of
series begins with the fleet's labels: `$(selector)` has them, others begin with `$(labels)`.
"""

import pkgutil
import re
from functools import cache
from typing import Any, NamedTuple

from canaryfleet.models.preset import Better, Entry, Parameter, Rename, Stack, Unit
from canaryfleet.variables import names, substitute

STACKS = (
    "istio", "vllm", "sglang", "tgi", "triton", "tensorflow-serving", "torchserve", "kserve", "bentoml", "ray-serve",
    "envoy-ai-gateway", "otel-genai", "otel-mcp", "dcgm", "drift", "quality", "feedback", "cost", "arize", "fiddler",
)  # fmt: skip
SELECTOR = Parameter(
    about="which series are a version's, instead of `metrics.selector` of fleet.yaml",
    example='k8s_namespace_name="$(namespace)",k8s_pod_name=~"$(rollout)-$(hash)-[a-z0-9]+"',
    kind="selector",
)
"""A parameter of every preset that reads the pods' own series: they may come by another way than the others."""


FAILURES = re.compile(r"\((sum\(rate\(.*?) or vector\(0\)\) / ")


class Preset(NamedTuple):
    """One ready metric: a PromQL template with its unit (of the value) and better direction.

    One with a `provider` asks a platform instead, and has no query.
    """

    name: str
    title: str
    query: str
    samples: str
    unit: Unit | None
    better: Better
    quantile: bool
    parameters: dict[str, Parameter]
    errors: dict[str, str]
    provider: dict[str, Any] | None
    secrets: dict[str, str]
    suggest: dict[str, Any]
    note: str
    renames: tuple[Rename, ...]

    @property
    def failures(self) -> str:
        """What counts the failures of which the query is the share of `samples`; empty if it is no such share."""
        found = FAILURES.match(self.query) if (self.unit, self.better) == ("ratio", "lower") else None
        return found[1].replace("rate(", "increase(") if found else ""

    @property
    def stack(self) -> str:
        """The name of its file."""
        return self.name.partition("/")[0]


@cache
def about(name: str) -> Stack:
    """The file of a stack; raises FileNotFoundError for another name."""
    from msgspec import convert

    from canaryfleet.syntax import load

    data = pkgutil.get_data(__name__, f"{name}.yaml")
    if data is None:
        raise FileNotFoundError(f"presets/{name}.yaml")
    return convert(load(data, f"presets/{name}.yaml"), Stack)


@cache
def stack(name: str) -> dict[str, Preset]:
    """The presets of one stack by full name; a file is read only when it is asked for."""
    file = about(name)
    return {f"{name}/{key}": _preset(f"{name}/{key}", entry, file) for key, entry in file.presets.items()}


def _preset(name: str, entry: Entry, file: Stack) -> Preset:
    query = substitute(entry.query, file.fragments.get)
    samples = substitute(file.samples if entry.samples is None else entry.samples, file.fragments.get)
    used = names([query, samples, entry.provider])
    shared = {key: item for key, item in file.parameters.items() if key in used}
    own = {"selector": SELECTOR} if "selector" in used else {}
    return Preset(
        name=name,
        title=entry.title,
        query=query,
        samples=samples,
        unit=entry.unit,
        better=entry.better,
        quantile=entry.quantile,
        parameters=shared | entry.parameters | own,
        errors=file.errors,
        provider=entry.provider,
        secrets=entry.secrets,
        suggest=entry.suggest,
        note=entry.note,
        renames=tuple(item for item in file.renames if _reads(query, item)),
    )


def _reads(query: str, rename: Rename) -> bool:
    either = f"({re.escape(rename.old)}|{re.escape(rename.new)})"
    return re.search(rf"(?<![\w:]){either}(_bucket|_sum|_count|_total)?(?![\w:])", query) is not None


def find(name: str) -> Preset | None:
    """The preset of that full name, or None."""
    prefix = name.partition("/")[0]
    return stack(prefix).get(name) if prefix in STACKS else None


def all_names() -> list[str]:
    """Every preset's full name."""
    return [name for prefix in STACKS for name in stack(prefix)]
