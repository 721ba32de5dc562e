"""Pages of the reference: what may stand in a file, from its model. One source: docstrings, `Meta`, types, defaults."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from canaryfleet.models import base
from canaryfleet.schema import schema_of

Schema = dict[str, Any]
KINDS = {
    "Duration": ("duration", "`90s`, `10m`, `1h30m`, `2d`; `0` is none"),
    "PositiveDuration": ("positive duration", "a duration of more than nothing"),
    "DurationOrManual": ("duration or `manual`", "`manual` waits for a person"),
    "Percent": ("percentage", "`5%`, `0.5%`: from 0% to 100%, four decimals at most"),
    "Threshold": ("threshold", "a number, or one with a unit: `1%`, `200ms`, `1.5s`; compared with stable `-3%`, `-1pp`"),
    "Quantity": ("quantity", "as Kubernetes writes them: `500m`, `24Gi`, `2`"),
    "Instant": ("instant", "date, time and offset: `2026-11-16T10:00:00Z`"),
    "DnsLabel": ("label", "lower-case letters, digits and `-`, 63 characters at most"),
    "AppName": ("name", "a letter, then lower-case letters, digits and `-`, 40 characters at most"),
    "ClusterName": ("cluster", "a cluster's name: lower-case letters, digits, `-` and `.`"),
    "ObjectName": ("object name", "a Kubernetes name: lower-case letters, digits, `-` and `.`"),
    "DataKey": ("key", "a key of a Secret or ConfigMap"),
    "Host": ("host", "`assistant.acme.example`, `*.acme.example`; may hold `$(…)`"),
    "Gateway": ("gateway", "`namespace/name`"),
    "Image": ("image", "`registry/name:tag@sha256:…`"),
    "AbsolutePath": ("path", "from the root: `/healthz`"),
    "MountPath": ("folder", "from the root: `/prompts`"),
    "Checksum": ("checksum", "`sha256:` and 64 hexadecimal digits"),
    "SigningKey": ("SSH public key", "`ssh-ed25519 AAAA…`"),
    "TokenName": ("token", "letters, digits, `_` and `-`"),
    "HeaderName": ("header name", "a name as HTTP has it"),
    "WordList": ("words", "with commas between them: `connect-failure,refused-stream`"),
}  # fmt: skip
"""How each kind of text in models/base.py is called here, and how one is written."""


def _pattern(alias: Any) -> str | None:
    """The pattern of a kind of text; of a union that of its first member with one."""
    for part in get_args(alias):
        if (found := getattr(part, "pattern", None) or _pattern(part)) is not None:
            return str(found)
    return None


PATTERNS = {_pattern(getattr(base, name)): words for name, (words, _) in KINDS.items()}


class Page(NamedTuple):
    """A page of the reference."""

    title: str
    says: str
    model: type[base.Model]
    example: str
    """A file of this repository, which the linter reads."""


class Section(NamedTuple):
    """Where in a file a model stands first."""

    path: str
    schema: Schema


def page(about: Page, example: str) -> str:
    """One page as Markdown; `example`: the text of its file."""
    schema = schema_of(about.model)
    sections = dict(_sections(schema))
    used: set[str] = set()
    parts = [_section(section, sections, used) for section in sections.values()]
    return "\n".join(
        [
            "<!-- Made by `make reference` from generator/canaryfleet/models. -->",
            f"# {about.title}",
            "",
            about.says,
            "",
            *parts,
            "## How values are written",
            "",
            "| kind | how |",
            "|---|---|",
            *(f"| {words} | {how} |" for words, how in KINDS.values() if words in used),
            "",
            "## An example",
            "",
            f"`{about.example}` of this repository:",
            "",
            "```yaml",
            example.rstrip(),
            "```",
            "",
        ]
    )


def _sections(schema: Schema) -> Iterator[tuple[str, Section]]:
    """Each model by its name, where it stands first, in the order in which a reader meets them."""
    defs, seen = schema["$defs"], set()

    def walk(name: str, path: str) -> Iterator[tuple[str, Section]]:
        if name in seen:
            return
        seen.add(name)
        yield name, Section(path, defs[name])
        for field, each in defs[name]["properties"].items():
            for other, below in _names(each, f"{path}.{field}" if path else field):
                yield from walk(other, below)

    yield from walk(schema["$ref"].rpartition("/")[2], "")


def _names(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    """The models that a field may hold, with their paths."""
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2], path
    for each in schema.get("anyOf", ()):
        yield from _names(each, path)
    if isinstance(items := schema.get("items"), dict):
        yield from _names(items, f"{path}[]")
    if isinstance(values := schema.get("additionalProperties"), dict):
        yield from _names(values, f"{path}.NAME")


def _section(section: Section, sections: dict[str, Section], used: set[str]) -> str:
    schema = section.schema
    head = f"## `{section.path}`" if section.path else "## The file"
    required = set(schema.get("required", ()))
    lines = [head, "", *_paragraphs(schema), "| field | what | default | meaning |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        what = cell(_type(field, sections, used))
        default = "*required*" if name in required else _default(field)
        lines.append(f"| `{name}` | {what} | {cell(default)} | {cell(_meaning(field))} |")
    return "\n".join([*lines, ""])


def _paragraphs(schema: Schema) -> Iterator[str]:
    for paragraph in schema["description"].split("\n\n"):
        yield from (" ".join(paragraph.split()), "")
    if choice := schema.get("x-choice"):
        named = ", ".join(f"`{name}`" for name in choice["of"])
        yield from (f"{'Exactly' if choice['least'] else 'At most'} one of {named}.", "")


def _type(schema: Schema, sections: dict[str, Section], used: set[str]) -> str:
    """What a field holds, in words."""
    if "$ref" in schema:
        section = sections[schema["$ref"].rpartition("/")[2]]
        return f"[{section.path.removesuffix('[]')}](#{slug(section.path)})"
    if "anyOf" in schema:
        kinds = [each for each in schema["anyOf"] if each.get("type") != "null"]
        found = [_type(each, sections, used) for each in kinds]
        return " or ".join(dict.fromkeys(found))
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(each).strip(chr(34))}`" for each in schema["enum"])
    if schema.get("type") == "array":
        least = f", {schema['minItems']} at least" if schema.get("minItems") else ""
        return f"list of {_type(schema.get('items') or {}, sections, used)}{least}"
    if schema.get("type") == "object":
        return _map(schema, sections, used)
    return _scalar(schema, used)


def _map(schema: Schema, sections: dict[str, Section], used: set[str]) -> str:
    values = schema.get("additionalProperties")
    if not isinstance(values, dict):
        return "object"
    kind = PATTERNS.get(schema.get("propertyNames", {}).get("pattern"))
    used.update([kind] if kind else [])
    return f"map of {_type(values, sections, used)}{f', by {kind}' if kind else ''}"


def _scalar(schema: Schema, used: set[str]) -> str:
    kind = schema.get("type")
    if kind == "string":
        words = PATTERNS.get(schema.get("pattern"), "text")
        used.add(words)
        return words
    return f"{kind or 'anything'}{_bounds(schema)}"


def _bounds(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f" between {schema['exclusiveMinimum']} and {schema['exclusiveMaximum']}"
    if least is not None and most is not None and most != base.INT32:
        return f" from {least} to {most}"
    return f" from {least}" if least is not None else ""


def _default(schema: Schema) -> str:
    default = schema.get("default")
    nothing = default is None or (not isinstance(default, int | float) and not default)
    return "" if nothing else _yaml(default)


def _meaning(schema: Schema) -> str:
    examples = [_yaml(each) for each in schema.get("examples", ())]
    said = str(schema.get("description", ""))
    return said + (f" *Such as* {', '.join(examples)}" if examples else "")


def _yaml(value: Any) -> str:
    """A value as a spec has it, in code."""
    from canaryfleet.emit import flow

    text = flow(value)
    return f"`{text}`" if "`" not in text else f"`` {text} ``"


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def slug(path: str) -> str:
    """The anchor of a section, as GitHub makes it."""
    return "".join(letter for letter in path.lower() if letter.isalnum() or letter in "-_")
