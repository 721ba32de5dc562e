"""A ready metric in a spec: which preset is meant, and what the spec says for its parameters and secrets."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from canaryfleet import presets
from canaryfleet.models.canary import Metric
from canaryfleet.models.fleet import has_alternatives
from canaryfleet.models.preset import ParameterKind
from canaryfleet.presets import Preset
from canaryfleet.thresholds import Bad
from canaryfleet.variables import substitute_all

OF_CLUSTER = r"\$\(cluster\.name\)"
# What a value may be, and the words for it. A text stands within the quotes of a PromQL string, an id and an
# address in a request: none of them may end what it stands in, or begin an argument of the controller's.
KINDS: dict[ParameterKind, tuple[re.Pattern[str], str]] = {
    "text": (
        re.compile(r'(?!.*\{\{)[^"\\\x00-\x1f\x7f]+'),
        "text without quotes or backslashes; in a regular expression `[.]` is a point",
    ),
    "number": (re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?"), "a number that is not negative, such as 0.15"),
    "id": (re.compile(rf"([A-Za-z0-9._~=-]|{OF_CLUSTER}){{1,200}}"), "an id: letters, digits and . _ ~ = -"),
    "url": (
        re.compile(rf"https?://([^\s\"'\\{{}}<>$?#]|{OF_CLUSTER})+"),
        "an address such as https://example.com, without a query",
    ),
    "selector": (re.compile(r"(?!.*\{\{)[^\x00-\x1f\x7f]+"), "label matchers in one line"),
}


def chosen(metric: Metric) -> Preset | None:
    """The preset that a metric names, if it does; raises Bad for what it says of it and the preset has not."""
    if metric.preset is None:
        return None
    preset = presets.find(metric.preset)
    if preset is None:
        from canaryfleet.nearest import nearest

        raise Bad(
            ("preset",),
            "CF131",
            f"no preset is named {metric.preset}",
            nearest(metric.preset, presets.all_names()),
        )
    if preset.quantile != (metric.quantile is not None):
        needs = "needs a `quantile`" if preset.quantile else "has no quantile"
        raise Bad(
            ("quantile" if metric.quantile else "preset",),
            "CF132",
            f"{preset.name} {needs}",
            "such as 0.99" if preset.quantile else "remove it",
        )
    needed = [name for name, item in preset.parameters.items() if item.default is None and name != "selector"]
    _complete(preset, "parameter", metric.parameters, preset.parameters, needed)
    if preset.provider is not None:
        _complete(preset, "secret", metric.secrets, preset.secrets, preset.secrets)
    return preset


def _complete(
    preset: Preset, what: str, given: Mapping[str, Any], known: Mapping[str, Any], needed: Any
) -> None:
    field = f"{what}s"
    for name in given:
        if name not in known:
            raise Bad(
                (field, name),
                "CF132",
                f"{preset.name} has no {what} {name}",
                f"it has: {', '.join(known) or 'none'}",
            )
    for name in needed:
        if name not in given:
            remedy = f"`canaryfleet presets show {preset.name}` says what it is"
            raise Bad(("preset",), "CF132", f"{preset.name} needs the {what} `{name}`", remedy)


def values(metric: Metric, preset: Preset) -> dict[str, str]:
    """The value of each parameter, but for `selector`, which has a default elsewhere; raises Bad."""
    given = {name: _text(value) for name, value in metric.parameters.items()}
    for name, value in given.items():
        kind = preset.parameters[name].kind
        pattern, words = KINDS[kind]
        if not pattern.fullmatch(value) or (kind == "selector" and has_alternatives(value)):
            raise Bad(("parameters", name), "CF146", f"{value} is no value of {name}", f"write {words}")
    defaults = {name: item.default for name, item in preset.parameters.items() if item.default is not None}
    return defaults | given


def _text(value: str | int | float) -> str:
    """A number as PromQL and people read it: without an exponent."""
    return value if isinstance(value, str) else f"{Decimal(str(value)):f}"


def provider(metric: Metric, preset: Preset | None) -> dict[str, Any] | None:
    """The provider that measures a metric, None for Prometheus; raises Bad."""
    if preset is None or preset.provider is None:
        return metric.provider
    filled: dict[str, Any] = substitute_all(preset.provider, values(metric, preset).get)
    return filled


def asks_prometheus(metric: Metric) -> bool:
    """Whether a metric is a query, and no question to another platform; also if its preset is not known."""
    preset = presets.find(metric.preset) if metric.preset else None
    return metric.provider is None and (preset is None or preset.provider is None)


__all__ = ["asks_prometheus", "chosen", "provider", "values"]
