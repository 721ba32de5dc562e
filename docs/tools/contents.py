"""Which pages there are, in reading order: for docs/index.md and for the navigation of the built pages."""

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- pages -->\n", "<!-- end -->\n"
GROUPS = {
    "Begin": ("start", "concepts"),
    "How to": (
        "how-to/from-deployment", "how-to/from-flagger", "how-to/ai-services", "how-to/metrics", "how-to/foresee",
        "how-to/pre-commit", "how-to/github", "how-to/argocd", "how-to/argocd-plugin", "how-to/in-cluster",
        "how-to/pull-only", "how-to/air-gapped", "how-to/*",
    ),
    "Operate": ("status", "bot", "service", "operations", "faults", "security"),
    "Look up": (
        "reference/spec", "reference/fleet", "reference/cluster", "reference/promotion", "reference/commands", "presets",
        "codes", "compatibility", "reference/*",
    ),
    "Know why": ("statistics", "controller-behaviour", "architecture"),
    "Take part": ("extending", "*"),
}  # fmt: skip
"""The pages of each group, without `.md`; a pattern stands for those that no group names."""


class Entry(NamedTuple):
    """A page, its title, and what it says in its first sentence."""

    name: str
    title: str
    says: str


def contents() -> dict[str, list[Entry]]:
    """The groups with the pages that are there; each page once."""
    there = {str(page.relative_to(DOCS).with_suffix("")): page for page in sorted(DOCS.rglob("*.md"))}
    for name in [name for name in there if name == "index" or name.startswith("build/")]:
        del there[name]
    named = {name for names in GROUPS.values() for name in names}
    return {
        group: [
            entry(each, there[each])
            for name in names
            for each in there
            if each == name or (name.endswith("*") and each not in named and _matches(each, name))
        ]
        for group, names in GROUPS.items()
    }


def _matches(name: str, pattern: str) -> bool:
    """Whether a page is of a pattern's own folder."""
    return name.rpartition("/")[0] == pattern.rpartition("/")[0]


def entry(name: str, page: Path) -> Entry:
    """A page's first heading, and the first sentence after it."""
    text = re.sub(r"<!--.*?-->\n?", "", page.read_text(), flags=re.DOTALL)
    title, _, rest = text.lstrip().partition("\n")
    sentence = re.split(r"(?<=[.:])\s+(?=[A-Z*`\x22\[]|$)", rest.strip().partition("\n\n")[0] + " ")[0]
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", " ".join(sentence.split()))
    return Entry(name, title.removeprefix("# "), plain.rstrip(".:"))


def index() -> str:
    """docs/index.md, with its list of pages renewed."""
    before, _, rest = (DOCS / "index.md").read_text().partition(BEGIN)
    lines = [
        f"## {group}\n\n" + "".join(f"- [{each.title}]({each.name}.md): {each.says}\n" for each in entries)
        for group, entries in contents().items()
        if entries
    ]
    return before + BEGIN + "\n".join(lines) + END + rest.partition(END)[2]


def trees() -> str:
    """The same for Sphinx, which shows it beside each page."""
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {group}\n\n"
        + "".join(f"{each.name}\n" for each in entries)
        + "```\n"
        for group, entries in contents().items()
        if entries
    )
