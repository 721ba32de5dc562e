"""What runs the pages' commands finds what is wrong with a page, and says where."""

import os
import select
from pathlib import Path

import blocks
import pytest
from test_pages import run


def tried(page: str, folder: Path) -> str:
    """What is wrong with a page, or nothing."""
    return run("docs/page.md", blocks.steps(page), folder)


def test_a_page_is_one_shell_in_one_folder(tmp_path: Path) -> None:
    page = """
<!-- sh
mkdir there; HIDDEN=1
-->
```sh
cd there
word=kept
```

<!-- file: a/b.yaml -->
```yaml
a: $HOME `b`
```

```sh
cat a/b.yaml; echo "$word $HIDDEN $(basename "$PWD")"
echo seen too >&2
```
<!-- output -->
```text
a: $HOME `b`
kept 1 …
seen too
```
"""
    assert tried(page, tmp_path) == ""
    assert (tmp_path / "home" / "there" / "a" / "b.yaml").read_text() == "a: $HOME `b`\n"


def test_a_block_that_fails_is_named_by_its_line(tmp_path: Path) -> None:
    page = "# Title\n\n```sh\necho one\necho two; test -e nothing\necho three\n```\n"
    assert tried(page, tmp_path) == (
        "docs/page.md:5: exit 1\n--- the block\necho one\necho two; test -e nothing\necho three\n"
        "--- what it printed\none\ntwo\n"
    )


@pytest.mark.parametrize(
    ("commands", "line", "said"),
    [
        ("true\nfalse | true", 4, ""),  # pipefail
        ("echo $nothing", 2, "line 3: nothing: unbound variable"),
        ("true\nif", 2, "syntax error"),
        ("nowhere-to-be-found", 3, "line 3: nowhere-to-be-found: command not found"),
    ],
)
def test_strictly(tmp_path: Path, commands: str, line: int, said: str) -> None:
    found = tried(f"\n```sh\n{commands}\n```\n", tmp_path)
    assert found.startswith(f"docs/page.md:{line}: exit ")
    assert said in found


def test_another_output_than_the_page_shows(tmp_path: Path) -> None:
    page = "```sh\necho one\n```\n<!-- output -->\n```text\ntwo\n```\n"
    assert tried(page, tmp_path).startswith("docs/page.md:1: the page shows:\ntwo\nand not\n")


def test_what_a_page_leaves_running_is_ended(tmp_path: Path) -> None:
    page = "```sh\n(sleep 600; touch late) &\necho $! > pid\n```\n"
    assert tried(page, tmp_path) == ""
    try:
        left = os.pidfd_open(int((tmp_path / "home" / "pid").read_text()))
    except ProcessLookupError:  # it is gone, and was waited for
        return
    assert select.select([left], [], [], 30)[0]  # killed is not yet gone
    os.close(left)


@pytest.mark.parametrize(
    ("shown", "printed", "good"),
    [
        ("a\n", "a\n", True),
        ("a\n", "ab\n", False),
        ("a\n", "a\nb\n", False),
        ("a…\n", "ab\n", True),
        ("…b\n", "a\nb\n", False),
        ("…\nb\n", "a\na\nb\n", True),
        ("…\nb\n", "b\n", True),
        ("a\n…\n", "a\n", True),
        ("a.c\n", "abc\n", False),
        ("", "", True),
        ("a\n", "", False),
    ],
)
def test_an_ellipsis_stands_for_what_changes(shown: str, printed: str, good: bool) -> None:
    assert blocks.same(shown, printed) == good


@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        ("```sh not-run\nrm\n```\n", "1: why this is not run stands in a comment before it"),
        ("<!-- not run: -->\n```sh not-run\nrm\n```\n", "2: why this is not run"),
        ("<!-- not run: a cluster -->\nwords\n```sh not-run\nrm\n```\n", "3: why this is not run"),
        ("<!-- not run: a cluster -->\n```sh\nls\n```\n", "2: `not run` stands before"),
        ("```\nls\n```\n", "1: the info string"),
        ("```bash\nls\n```\n", "1: the info string"),
        ("```sh run\nls\n```\n", "1: the info string"),
        ("~~~console\nls\n~~~\n", "1: the info string"),
        ("```text\n$ ls\n```\n", "1: a command is a block `sh`"),
        ("<!-- output -->\n```text\na\n```\n", "2: `output` stands before"),
        ("```sh\nls\n```\n<!-- output -->\n```yaml\na\n```\n", "5: `output` stands before"),
        ("\n```sh\nls\n", "2: this block has no end"),
        ("<!-- sh\nls\n", "1: this comment has no end"),
    ],
)
def test_nothing_is_skipped_silently(page: str, wrong: str) -> None:
    with pytest.raises(blocks.Wrong, match=f"^{wrong}"):
        blocks.steps(page)


def test_a_fence_in_a_fence_and_in_a_list() -> None:
    page = "````markdown\n```sh\nexit 1\n```\n````\n- item\n\n  ```sh\n  if true; then\n    ls\n  fi\n  ```\n"
    assert blocks.steps(page) == [blocks.Step(8, "if true; then\n  ls\nfi\n")]
