"""Every relative link of the documentation leads to a file, and to a heading in it."""

from pathlib import Path

import links
import pytest
from blocks import pages

ROOT = Path(__file__).resolve().parents[2]


def test_every_link_leads_somewhere() -> None:
    assert [wrong for page in pages(ROOT) for wrong in links.broken(page, ROOT)] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](b.md)", ""),
        ("[a](b.md#two-words)", ""),
        ("[a](b.md#two-words-1) and [b](#here)", ""),
        ("`[a](c.md)` and https://acme.example/c.md and [x](https://acme.example)", ""),
        ("```text\n[a](c.md)\n```", ""),
        ("<!-- [a](c.md) -->", ""),
        ("\n\n[a](c.md)", "a.md:5: nothing is at c.md"),
        ("![p](c.svg)", "a.md:3: nothing is at c.svg"),
        ('<img alt="p" src="c.svg">', "a.md:3: nothing is at c.svg"),
        ("[a]: c.md", "a.md:3: nothing is at c.md"),
        ("[a](b.md#two)", "a.md:3: b.md has no heading #two"),
        ("[a](#there)", "a.md:3: this page has no heading #there"),
        ("[a](../b.md)", "a.md:3: nothing is at ../b.md"),
        ("[a\nb](c.md)", "a.md:4: nothing is at c.md"),
    ],
)
def test_what_leads_nowhere_is_found(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / "a.md").write_text("# Here\n\n" + text)
    (tmp_path / "b.md").write_text("## `Two` words\n\n## Two words!\n")
    assert list(links.broken(tmp_path / "a.md", tmp_path)) == ([wrong] if wrong else [])
