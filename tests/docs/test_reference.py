"""The reference is what the models and the parsers say, and says something of everything."""

import re
from pathlib import Path

import blocks
import commandline
import contents
import fields
import made
import pytest

from canaryfleet import cli, codes, presets

ROOT = Path(__file__).resolve().parents[2]
MADE = made.files()


@pytest.mark.parametrize("path", MADE)
def test_what_is_made_is_current(path: str) -> None:
    assert (ROOT / path).read_text() == MADE[path], "run `make reference`"


@pytest.mark.parametrize("name", made.PAGES)
def test_every_field_is_explained(name: str) -> None:
    rows = re.findall(r"^\| `.*\|$", MADE[f"docs/reference/{name}.md"], re.MULTILINE)
    assert rows
    for row in rows:
        _, field, what, _, meaning, _ = re.split(r"(?<!\\)\|", row)
        assert what.strip(), field
        assert meaning.strip(), field


def test_every_kind_of_text_in_the_models_has_words() -> None:
    kinds = {
        name
        for name, alias in vars(fields.base).items()
        if not name.startswith("_") and fields._pattern(alias) is not None
    }
    assert {fields._pattern(getattr(fields.base, name)) for name in kinds} == set(fields.PATTERNS)


def test_every_command_is_there_with_every_option() -> None:
    page = MADE["docs/reference/commands.md"]
    assert set(commandline.ORDER) == set(cli.COMMANDS)
    for name, command in cli.COMMANDS.items():
        assert f"\n### `{name}`\n" in page
        for action in commandline.parser_of(cli.function(command))._actions:
            assert all(
                option in page for option in action.option_strings if option != "-h" and option != "--help"
            )


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in cli.COMMANDS if not re.search(rf"`{name}`", readme)] == []


def test_every_code_and_preset_has_its_place() -> None:
    of_codes, of_presets = (ROOT / "docs" / f"{name}.md" for name in ("codes", "presets"))
    for code in codes.every():
        assert f"\n### {code}\n" in of_codes.read_text()
    for name in presets.all_names():
        assert f"`{name}`" in of_presets.read_text()


def test_every_page_is_in_the_list_once() -> None:
    listed = [each.name for entries in contents.contents().values() for each in entries]
    there = {str(page.relative_to(contents.DOCS).with_suffix("")) for page in blocks.pages(ROOT)[1:]}
    assert sorted(listed) == sorted(there - {"index"})
