"""Links and anchors of Markdown pages, as GitHub makes them."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from blocks import blocks

CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
INLINE = re.compile(r"\]\(\s*<?(?P<to>[^()\s<>]*(?:\([^()\s]*\)[^()\s<>]*)*)>?(?:\s+\"[^\"]*\")?\s*\)")
DEFINED = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?(?P<to>[^\s>]+)", re.MULTILINE)
ATTRIBUTE = re.compile(r"<[a-z]+\s[^>]*?\b(?:href|src|srcset)=\"(?P<to>[^\"]+)\"")
HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(?P<title>.*?)\s*#*\s*$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")
IMAGE_OR_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def prose(page: str) -> str:
    """A page without its fenced blocks and comments, on the same lines."""
    lines = page.split("\n")
    for block in blocks(page):
        lines[block.line - 1 : block.last] = [""] * (block.last - block.line + 1)
    return "\n".join(lines)


def links(page: str) -> Iterator[tuple[int, str]]:
    """Line and target of each link and picture; what stands in code is none."""
    text = CODE.sub(lambda found: re.sub(r"[^\n]", "x", found[0]), prose(page))
    for pattern in (INLINE, DEFINED, ATTRIBUTE):
        for found in pattern.finditer(text):
            yield text.count("\n", 0, found.start("to")) + 1, found["to"]


def anchors(page: str) -> set[str]:
    """What `#…` may name: each heading as GitHub spells it, and the second of a name with `-1`."""
    found: dict[str, int] = {}
    slugs = set()
    for heading in HEADING.finditer(prose(page)):
        title = IMAGE_OR_LINK.sub(r"\1", heading["title"]).lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        again = found.get(slug, 0)
        found[slug] = again + 1
        slugs.add(f"{slug}-{again}" if again else slug)
    return slugs | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", page))


def broken(page: Path, root: Path) -> Iterator[str]:
    """Every relative link of a page that leads nowhere, with its line."""
    for line, to in links(page.read_text()):
        if ELSEWHERE.match(to):
            continue
        path, _, anchor = unquote(to).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(root) or not target.exists():
            yield f"{page.relative_to(root)}:{line}: nothing is at {to}"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            yield f"{page.relative_to(root)}:{line}: {path or 'this page'} has no heading #{anchor}"
