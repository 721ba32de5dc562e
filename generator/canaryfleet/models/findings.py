"""What is wrong: `--output json` of every command that finds something; and what is known of one code."""

from typing import Annotated, Literal

from msgspec import Meta

from canaryfleet.models.base import Model

CodeName = Annotated[str, Meta(pattern="^CF[0-9]{3}$", description="What it is about; see docs/codes.md.")]


class FoundFinding(Model, frozen=True, kw_only=True):
    """One thing that is wrong."""

    file: Annotated[str, Meta(description="Relative to the repository's root.")]
    line: Annotated[int, Meta(description="From 1; 0: the file as a whole.")]
    column: Annotated[int, Meta(description="From 1, in characters.")]
    severity: Literal["error", "warning"]
    code: CodeName
    message: str
    remedy: Annotated[str, Meta(description="What to do.")]


class Silenced(Model, frozen=True, kw_only=True):
    """A warning that a spec ignores."""

    app: str
    code: CodeName
    reason: Annotated[str, Meta(description="Of the spec's authors.")]


class Findings(Model, frozen=True, kw_only=True):
    """All that is wrong, in the order of places."""

    findings: tuple[FoundFinding, ...]
    silenced: Annotated[
        tuple[Silenced, ...], Meta(description="What `lint` would have warned of besides.")
    ] = ()


class CodeHelp(Model, frozen=True, kw_only=True):
    """`canaryfleet explain CF123 --output json`."""

    code: CodeName
    title: str
    why: Annotated[str, Meta(description="Why it matters.")]
    remedy: Annotated[str, Meta(description="What to do.")]
    warns: Annotated[bool, Meta(description="Whether it can be a warning, which a spec may ignore.")]
    bad: Annotated[
        str, Meta(description="Files that are warned of; parts of them, after comments with their names.")
    ]
    good: Annotated[str, Meta(description="The same, not warned of.")]
