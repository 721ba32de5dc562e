"""The fenced blocks of a documentation page, by the contract that every page obeys.

- ```` ```sh ````: run by the tests, in order, in one shell for the page, which begins in an empty folder
- `<!-- sh` … `-->`: run too, and not shown: what a page needs beforehand, and what it checks
- ```` ```sh not-run ````: needs a cluster, a forge or the like; why stands in `<!-- not run: … -->` before it
- ```` ```text ```` after `<!-- output -->`: what the block before it prints; `…` stands for any text of a line, and a
  line that is `…` alone for any lines
- any block after `<!-- file: PATH -->`: written to that file when its turn comes
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<info>[^`]*?) *$")
COMMENT = re.compile(r"^ *<!--(?P<text>.*?)(?P<end>-->)? *$")
SHELLS = {"", "bash", "shell", "console", "shell-session", "zsh", "fish"}


class Block(NamedTuple):
    """A fenced block, or a comment. `line` is that of the fence; the text begins on the next one."""

    line: int
    kind: str
    """The info string; `<!--` of a comment."""
    text: str
    last: int

    @property
    def hidden(self) -> bool:
        """Whether it is a comment that is run."""
        return self.kind == "<!--" and self.text.split("\n", 1)[0].strip() == "sh"

    @property
    def commands(self) -> str:
        """What is run of it."""
        return self.text.split("\n", 1)[1] if self.hidden and "\n" in self.text else self.text


class Step(NamedTuple):
    """What the tests do with one block: run it, perhaps compare what it prints; or write it to a file."""

    line: int
    commands: str
    file: str = ""
    prints: str | None = None


class Wrong(Exception):
    """A page breaks the contract; the message begins with its line."""


def blocks(page: str) -> Iterator[Block]:
    """Every fenced block and every comment that begins a line."""
    lines = page.split("\n")
    at = 0
    while at < len(lines):
        if fence := FENCE.match(lines[at]):
            found = _fenced(lines, at, fence)
        elif COMMENT.match(lines[at]):
            found = _comment(lines, at)
        else:
            at += 1
            continue
        yield found
        at = found.last


def _fenced(lines: list[str], at: int, fence: re.Match[str]) -> Block:
    ticks, indent = fence["ticks"], len(fence["indent"])
    for end in range(at + 1, len(lines)):
        closed = lines[end].strip()
        if closed.startswith(ticks) and not closed.strip(ticks[0]):
            text = "".join(
                line[min(indent, len(line) - len(line.lstrip())) :] + "\n" for line in lines[at + 1 : end]
            )
            return Block(at + 1, fence["info"], text, end + 1)
    raise Wrong(f"{at + 1}: this block has no end")


def _comment(lines: list[str], at: int) -> Block:
    for end in range(at, len(lines)):
        if "-->" in lines[end]:
            text = "\n".join(lines[at : end + 1]).strip()
            if not text.endswith("-->"):
                raise Wrong(f"{end + 1}: something stands after the end of a comment")
            return Block(at + 1, "<!--", text.removeprefix("<!--").removesuffix("-->"), end + 1)
    raise Wrong(f"{at + 1}: this comment has no end")


def steps(page: str) -> list[Step]:
    """What the tests do with a page, in order. Raises Wrong where the page breaks the contract."""
    found: list[Step] = []
    lines = page.split("\n")
    before = Block(0, "", "", 0)
    for block in blocks(page):
        said = _said(before, block, lines)
        if _unclear(block.kind):
            raise Wrong(
                f"{block.line}: the info string of a block is `sh`, `sh not-run`, `text`, or its language; "
                f"found `{block.kind}`"
            )
        if block.kind == "sh not-run" and not re.match(r"not run: *\S", said):
            raise Wrong(
                f"{block.line}: why this is not run stands in a comment before it: <!-- not run: … -->"
            )
        if block.kind != "sh not-run" and said.startswith("not run"):
            raise Wrong(f"{block.line}: `not run` stands before a block that is no `sh not-run`")
        if block.kind == "text" and block.text.startswith("$ "):
            raise Wrong(
                f"{block.line}: a command is a block `sh`, and what it prints a block `text` after it"
            )
        if said == "output":
            if block.kind != "text" or not found or found[-1].file or found[-1].prints is not None:
                raise Wrong(f"{block.line}: `output` stands before a block `text` that follows a block `sh`")
            found[-1] = found[-1]._replace(prints=block.text)
        elif said.startswith("file:"):
            found.append(Step(block.line, block.text, file=said.removeprefix("file:").strip()))
        elif block.kind == "sh" or block.hidden:
            found.append(Step(block.line, block.commands))
        before = block
    return found


def _unclear(kind: str) -> bool:
    """Whether an info string leaves open if a block is run."""
    return kind in SHELLS or (kind.startswith("sh ") and kind != "sh not-run")


def _said(before: Block, block: Block, lines: list[str]) -> str:
    """What the comment directly before a fenced block says."""
    between = lines[before.last : block.line - 1]
    if (
        block.kind == "<!--"
        or before.kind != "<!--"
        or before.hidden
        or any(line.strip() for line in between)
    ):
        return ""
    return before.text.strip()


def same(expected: str, printed: str) -> bool:
    """Whether a command printed what its page shows, with `…` as described above."""
    pattern = ""
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == "…":
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += "[^\n]*".join(re.escape(part.rstrip()) for part in line.split("…")) + r"[ \t]*\n"
    return re.fullmatch(pattern, printed.rstrip("\n") + "\n") is not None


def pages(root: Path) -> list[Path]:
    """README.md and everything in docs/ but what `make docs` built."""
    found = sorted((root / "docs").rglob("*.md"))
    return [root / "README.md", *(page for page in found if root / "docs" / "build" not in page.parents)]
