"""Ready metrics: small declarative data, one file for each stack, named `<stack>/<preset>`.

Placeholders: `$(selector)` picks one version's pods, `$(window)` is the time looked at,
`$(quantile)`, `$(errors)` (by protocol), and the file's own fragments and parameters. Every selector of
series begins with the fleet's labels: `$(selector)` has them, others begin with `$(labels)`.
"""

import pkgutil
from functools import cache
from typing import Any, NamedTuple

from canaryfleet.syntax import load
from canaryfleet.variables import substitute

STACKS = ("istio", "vllm")


class Preset(NamedTuple):
    """One ready metric: a PromQL template with its unit (of the value) and better direction."""

    name: str
    title: str
    query: str
    samples: str
    unit: str
    better: str
    quantile: bool
    parameters: dict[str, str]
    errors: dict[str, str]


@cache
def stack(name: str) -> dict[str, Preset]:
    """The presets of one stack by full name; a file is read only when it is asked for."""
    data = pkgutil.get_data(__name__, f"{name}.yaml")
    if data is None:
        raise FileNotFoundError(f"presets/{name}.yaml")
    loaded: dict[str, Any] = load(data, f"presets/{name}.yaml")
    fragments: dict[str, str] = loaded.get("fragments", {})
    return {
        f"{name}/{key}": Preset(
            name=f"{name}/{key}",
            title=entry["title"],
            query=substitute(entry["query"], fragments.get),
            samples=substitute(entry.get("samples", loaded["samples"]), fragments.get),
            unit=entry["unit"],
            better=entry["better"],
            quantile=entry.get("quantile", False),
            parameters=loaded.get("parameters", {}),
            errors=loaded.get("errors", {}),
        )
        for key, entry in loaded["presets"].items()
    }


def find(name: str) -> Preset | None:
    """The preset of that full name, or None."""
    prefix = name.partition("/")[0]
    return stack(prefix).get(name) if prefix in STACKS else None


def all_names() -> list[str]:
    """Every preset's full name."""
    return [name for prefix in STACKS for name in stack(prefix)]
