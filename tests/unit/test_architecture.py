"""docs/architecture.md lists every module by its layer, with what its own first line says; run this file to renew it."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "generator" / "canaryfleet"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- modules -->\n", "<!-- end -->\n"
GROUPS = {
    "__main__": "Entries: commands and services",
    "act": "Joining: what looks at files, Git, clusters and forges at once",
    "lease": "Edges: files, processes and the network",
    "difference": "Core: pure",
    "decode": "Words: what everything speaks of",
}
"""Where each group begins, by the first module of its highest layer."""


def layers() -> list[list[str]]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = [one["layers"] for one in contracts if one["type"] == "layers"]
    return [[name.strip().removeprefix("canaryfleet.") for name in layer.split("|")] for layer in found]


def says(path: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(said.split("\n\n")[0].split()).replace("|", "\\|")


def rows() -> Iterator[str]:
    for names in layers():
        for name in names:
            if name in GROUPS:
                yield f"\n### {GROUPS[name]}\n\n| module | what it does |\n|---|---|\n"
            folder = PACKAGE / name
            path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
            yield f"| `{name}{'/' if folder.is_dir() else ''}` | {says(path)} |\n"


def page() -> str:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + "".join(rows()).lstrip("\n") + END + rest.partition(END)[2]


def test_the_page_lists_every_module_as_it_describes_itself() -> None:
    assert PAGE.read_text() == page(), f"run `python {Path(__file__).relative_to(ROOT)}`"


def test_every_module_has_a_layer_and_says_what_it_does() -> None:
    there = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    listed = [name for layer in layers() for name in layer]
    assert there - {"__init__"} == set(listed)
    assert len(listed) == len(set(listed))
    assert all(says(path) for path in PACKAGE.rglob("*.py"))


if __name__ == "__main__":
    PAGE.write_text(page())
