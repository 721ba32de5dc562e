"""The ready metrics for people: which there are, one explained, and the page of all of them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import convert, structs

from canaryfleet import metrics, presets
from canaryfleet.engines.argo_rollouts.analysis import of_canary
from canaryfleet.errors import one_line
from canaryfleet.markdown import table
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.canary import Analysis, Metric
from canaryfleet.models.preset import ListedPreset, PresetDetails, PresetList, ShownParameter, ShownPreset
from canaryfleet.presets import Preset

QUANTILE = 0.99
VERIFIED = {
    "source": "the names were read in its source",
    "documents": "the names were read in documents, not in its source",
    "contract": "names of canaryfleet's own, for what has no standard ones",
}
PLAIN = re.compile(r"[A-Za-z0-9/+-][A-Za-z0-9./%_+-]*")


def listed(names: Iterable[str]) -> PresetList:
    """The presets of these names in a few words."""
    found = [preset for name in names if (preset := presets.find(name))]
    return PresetList(
        apiVersion=API_VERSION,
        kind="PresetList",
        presets=tuple(
            ListedPreset(
                name=preset.name,
                title=preset.title,
                unit=preset.unit,
                better=preset.better,
                quantile=preset.quantile,
                verified=presets.about(preset.stack).verified,
            )
            for preset in found
        ),
    )


def example(preset: Preset) -> dict[str, Any]:
    """A metric of a spec with this preset: what it needs, by example, and the thresholds to begin with."""
    needed = {
        name: item.example
        for name, item in preset.parameters.items()
        if item.default is None and name != "selector"
    }
    secrets = {name: {"secret": f"{preset.stack}-api", "key": name} for name in preset.secrets}
    return (
        {"preset": preset.name}
        | ({"quantile": QUANTILE} if preset.quantile else {})
        | ({"parameters": needed} if needed else {})
        | ({"secrets": secrets} if secrets else {})
        | preset.suggest
    )


def details(preset: Preset, context: metrics.Context | None = None) -> PresetDetails:
    """One preset explained; with the context of an app, its queries are those that a release of it would have."""
    stack = presets.about(preset.stack)
    query, samples = _queries(preset, context)
    shown = ShownPreset(
        name=preset.name,
        title=preset.title,
        stack=stack.title,
        about=stack.about,
        verified=stack.verified,
        unit=preset.unit,
        better=preset.better,
        quantile=preset.quantile,
        parameters=tuple(
            ShownParameter(name=name, **structs.asdict(item)) for name, item in preset.parameters.items()
        ),
        secrets=preset.secrets,
        renames=preset.renames,
        suggest=preset.suggest,
        note=preset.note,
        app=context.app if context else None,
        query=query,
        samples=samples,
        provider=preset.provider,
        spec=f"- {_flow(example(preset))}",
    )
    return PresetDetails(apiVersion=API_VERSION, kind="PresetDetails", preset=shown)


def _queries(preset: Preset, context: metrics.Context | None) -> tuple[str | None, str | None]:
    if preset.provider is not None:
        return None, None
    if context is None:
        return preset.query, preset.samples or None
    metric = convert(example(preset), Metric)
    analysis = Analysis(metrics=(structs.replace(metric, minimumSamples=1),))
    (measure,) = metrics.resolve(analysis, context).measures
    return of_canary(measure.query), of_canary(measure.samples)


def _flow(value: Any) -> str:
    """YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and not PLAIN.fullmatch(value):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def nature(unit: str | None, better: str, *, quantile: bool) -> str:
    """What the value is, in words."""
    of = "" if unit is None else f"{unit}, "
    better = "it depends what is better" if better == "either" else f"better when {better}"
    return f"{of}{better}" + (", of a `quantile`" if quantile else "")


def text(shown: ShownPreset) -> str:
    """One preset explained, for a terminal."""
    lines = [f"{shown.name}: {shown.title}", ""]
    lines += [f"  {head:<12}{said}" for head, said in _said(shown)]
    of = f" of {shown.app}" if shown.app else ""
    for head, said in ((f"query{of}", shown.query), (f"samples{of}", shown.samples)):
        lines += ["", f"{head}:", f"  {_shown(said)}"] if said else []
    return "\n".join([*lines, "", "in `analysis.metrics` of a spec:", f"  {shown.spec}"])


def _shown(query: str) -> str:
    """A query to be copied is whole, but a selector of fleet.yaml makes no lines or colours of ours."""
    return query if query.isprintable() else one_line(query)


def _said(shown: ShownPreset) -> Iterator[tuple[str, str]]:
    yield "value", nature(shown.unit, shown.better, quantile=shown.quantile)
    yield "of", f"{shown.stack} ({VERIFIED[shown.verified]})"
    yield "", shown.about
    if shown.note:
        yield "note", shown.note
    for item in shown.parameters:
        default = f"default {item.default}" if item.default is not None else f"such as {item.example}"
        needed = " (needed)" if item.default is None and item.name != "selector" else ""
        yield "parameter", f"{item.name}{needed}: {item.about}; {default}"
    for name, what in shown.secrets.items():
        yield "secret", f"{name} (needed): {what}, in a Secret of the app's namespace"
    for rename in shown.renames:
        yield "renamed", f"{rename.old} became {rename.new}" + (f" ({rename.since})" if rename.since else "")
    if shown.suggest:
        begin = ", ".join(f"{name} {value}" for name, value in shown.suggest.items())
        yield "begin with", f"{begin} (a suggestion: nothing applies it)"


# The page


def page() -> str:
    """docs/presets.md."""
    parts = [INTRODUCTION]
    for stack in presets.STACKS:
        parts += _section(stack)
    return "\n".join(parts).rstrip() + "\n"


INTRODUCTION = """\
# Ready metrics

What a spec names as `preset`: `canaryfleet presets show NAME --app APP` prints one with its queries, and
`canaryfleet presets --page` this page.

A spec names one as `preset`, with thresholds of its own: those below are to begin with, and nothing applies them. Times are
written as `200ms` or `2s`, shares as `1%`, whatever the unit of the series is. With `comparedTo: stable` a threshold is a
change: `%` is relative, `pp` percentage points. A value without enough requests behind it proves nothing (`minimumSamples`);
presets with `minimumSamples: 0` read gauges that count none.

Which series are a version's says `metrics.selector` of fleet.yaml, or the parameter `selector` of a single metric. A
parameter in bold has to be said.

Platforms that are asked over HTTP (Arize, Fiddler) get their tokens from Secrets of the app's namespace, by reference:
`secrets: {token: {secret: NAME, key: KEY}}`. Evidently has no address that answers with one number: write its results to a
gauge of [drift](#drift). WhyLabs has closed down.
"""


def _section(stack: str) -> Iterator[str]:
    file = presets.about(stack)
    yield f"## {stack}\n\n**{file.title}.** {file.about} ({VERIFIED[file.verified].capitalize()}.)\n"
    found = presets.stack(stack).values()
    yield from table(("Preset", "What it measures", "Value", "Begin with", "Parameters"), map(_row, found))
    yield ""
    for rename in file.renames:
        since = f" ({rename.since})" if rename.since else ""
        yield f"- `{rename.old}` became `{rename.new}`{since}: both are read"
    if file.renames:
        yield ""


def _row(preset: Preset) -> Sequence[str]:
    begin = ", ".join(f"`{name}: {value}`" for name, value in preset.suggest.items())
    own = [
        f"{_name(name, needed=item.default is None)}: {item.about}"
        + (f" (`{item.default}`)" if item.default else "")
        for name, item in preset.parameters.items()
        if name != "selector"
    ]
    own += [f"secret {_name(name, needed=True)}: {what}" for name, what in preset.secrets.items()]
    title = f"{preset.title}. {preset.note}" if preset.note else preset.title
    value = nature(preset.unit, preset.better, quantile=preset.quantile)
    cells = (f"`{preset.name}`", title, value, begin, "; ".join(own))
    return [cell.replace("|", r"\|") for cell in cells]


def _name(name: str, *, needed: bool) -> str:
    return f"**{name}**" if needed else name
