"""What lint finds, in the forms that people, scripts, code scanning and GitHub's runner read."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from driver import SPEC, Repo
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from canaryfleet import annotations, codes, sarif
from canaryfleet.errors import ERROR, WARNING, Finding, Place
from canaryfleet.schema import FILES, schema_of
from support import PROPERTY

JUMP = SPEC.replace("{code: CF301, reason: short}, ", "")
COMMAND = re.compile(r"::(error|warning) ([^:]*)::(.*)")


def valid(data: Any, name: str) -> Any:
    """What a script gets, after a look at the schema that it was promised."""
    Draft202012Validator(schema_of(FILES[name])).validate(data)
    return data


@pytest.fixture
def dangerous(repo: Repo) -> Repo:
    """One warning that is told, and one that is not."""
    repo.write("specs/chat/canary.yaml", JUMP)
    return repo


def test_a_warning_is_told_and_ends_well(dangerous: Repo) -> None:
    result = dangerous.run("lint")
    (line,) = [line for line in result.err.splitlines() if "CF301" in line]
    assert line == (
        "specs/chat/canary.yaml:13:14: warning CF301: the canary goes from 10% to 100% of the requests in one step "
        "(put a weight of 55% or so between them)"
    )
    assert (result.code, result.out) == (0, "")


def test_silence_is_told_where_nothing_is_wrong(repo: Repo) -> None:
    result = repo.run("lint")
    assert result.out == "1 spec and 2 clusters: nothing is wrong; the specs silence 2 of what is dangerous\n"


def test_json_is_what_the_schema_says(dangerous: Repo) -> None:
    data = valid(dangerous.run("lint", "--output", "json").json, "findings")
    assert [item["code"] for item in data["findings"]] == ["CF301"]
    assert data["silenced"] == [{"app": "chat", "code": "CF312", "reason": "short"}]
    dangerous.write("fleet.yaml", "no: fleet\n")
    assert valid(dangerous.run("lint", "--output", "json").json, "findings")["findings"]


# SARIF


def _only(**fields: Any) -> dict[str, Any]:
    """An object with these fields, all of them, and no others."""
    return {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}


STRING, POSITIVE = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}
LEVEL = {"enum": ["error", "warning"]}
RULE = _only(
    id=STRING,
    shortDescription=_only(text=STRING),
    fullDescription=_only(text=STRING),
    help=_only(text=STRING, markdown=STRING),
    defaultConfiguration=_only(level=LEVEL),
)
WHERE = _only(
    artifactLocation=_only(uri={**STRING, "pattern": "^[^/:][^:]*$"}, uriBaseId=STRING),
    region=_only(startLine=POSITIVE, startColumn=POSITIVE),
)
RESULT = _only(
    ruleId=STRING,
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=_only(text=STRING),
    locations={"type": "array", "items": _only(physicalLocation=WHERE), "minItems": 1},
    partialFingerprints=_only(primaryLocationLineHash={**STRING, "pattern": "^[0-9a-f]+:[0-9]+$"}),
)
DRIVER = _only(
    name=STRING, semanticVersion=STRING, rules={"type": "array", "items": RULE, "uniqueItems": True}
)
RUN = _only(
    tool=_only(driver=DRIVER),
    columnKind={"const": "unicodeCodePoints"},
    results={"type": "array", "items": RESULT},
)
# What of SARIF 2.1.0 is written, with the names and types that its schema has; other fields it would refuse.
SARIF = _only(**{"$schema": STRING, "version": {"const": "2.1.0"}, "runs": {"type": "array", "items": RUN}})


def log(repo: Repo) -> dict[str, Any]:
    result = repo.run("lint", "--output", "sarif")
    assert result.err == ""
    Draft202012Validator(SARIF).validate(result.json)
    (found,) = result.json["runs"]
    return dict(found)


def test_sarif_has_rules_results_and_places(dangerous: Repo) -> None:
    dangerous.replace("specs/chat/canary.yaml", "port: 8000", "prt: 8000")
    dangerous.write("specs/more/canary.yaml", JUMP.replace("name: chat", "name: more"))
    dangerous.write("specs/more/system.md", "x")
    found = log(dangerous)
    rules = found["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["CF030", "CF301"]
    for rule in rules:
        known = codes.find(rule["id"])
        assert known is not None
        assert rule["shortDescription"]["text"] == known.title
        assert known.remedy in rule["help"]["text"]
        assert known.bad in rule["help"]["markdown"] + "\n"
    levels = [(item["level"], item["ruleId"]) for item in found["results"]]
    assert levels == [("error", "CF030"), ("warning", "CF301")]
    for item in found["results"]:
        assert rules[item["ruleIndex"]]["id"] == item["ruleId"]
        (place,) = item["locations"]
        where = place["physicalLocation"]
        assert (dangerous.root / where["artifactLocation"]["uri"]).is_file()
        assert where["region"]["startLine"] >= 1
        assert where["region"]["startColumn"] >= 1


def test_a_fingerprint_stays_where_lines_and_numbers_move(dangerous: Repo) -> None:
    (before,) = log(dangerous)["results"]
    dangerous.write("specs/chat/canary.yaml", "# a comment\n" + JUMP.replace("weight: 10%", "weight: 20%"))
    (after,) = log(dangerous)["results"]
    assert before["partialFingerprints"] == after["partialFingerprints"]
    assert before["locations"] != after["locations"]


def test_equal_findings_have_different_fingerprints() -> None:
    alike = [Finding(Place("a.yaml", line, 1), "CF301", f"from {line}%") for line in (1, 2, 3)]
    other = [Finding(Place("b.yaml", 1, 1), "CF301", "from 1%")]
    results = sarif.log([*alike, *other], "1.0")["runs"][0]["results"]
    prints = [
        (
            item["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            *item["partialFingerprints"].values(),
        )
        for item in results
    ]
    assert len(set(prints)) == 4


def test_nothing_found_is_a_run_without_results(repo: Repo) -> None:
    found = log(repo)
    assert (found["results"], found["tool"]["driver"]["rules"]) == ([], [])


def test_a_file_as_a_whole_is_its_first_line() -> None:
    results = sarif.log([Finding(Place("specs/a b.yaml"), "CF012", "no")], "1.0")["runs"][0]["results"]
    where = results[0]["locations"][0]["physicalLocation"]
    assert where == {
        "artifactLocation": {"uri": "specs/a%20b.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 1, "startColumn": 1},
    }


# Annotations


def test_github_gets_an_annotation_beside_the_line(dangerous: Repo) -> None:
    result = dangerous.run("lint", "--output", "github")
    assert result.out == (
        "::warning file=specs/chat/canary.yaml,line=13,col=14,title=CF301%3A weight steps that jump::"
        "the canary goes from 10%25 to 100%25 of the requests in one step (put a weight of 55%25 or so between them)\n"
    )
    assert result.err == "0 errors, 1 warning\n"
    assert result.code == 0


def test_github_shows_ten_of_each_and_the_rest_is_text(repo: Repo) -> None:
    names = [f"x{number}" for number in range(12)]
    for name in names:
        repo.write(f"clusters/{name}.txt", "")
    repo.write("specs/chat/canary.yaml", JUMP)
    result = repo.run("lint", "--output", "github")
    kinds = [line.split(" ")[0] for line in result.out.splitlines()]
    assert kinds == ["::error"] * 10 + ["::warning"]
    assert result.err.splitlines()[-1] == "12 errors, 1 warning"
    assert len(result.err.splitlines()) == 3
    assert result.code == 1


def test_places_are_counted_from_the_top_of_git(tmp_path: Path) -> None:
    outer = Repo(tmp_path)
    outer.git("init", "-q")
    inner = Repo(tmp_path / "fleet", JUMP)
    result = inner.run("lint", "--output", "github")
    assert result.out.startswith("::warning file=fleet/specs/chat/canary.yaml,line=13")
    where = log(inner)["results"][0]["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "fleet/specs/chat/canary.yaml"


def test_a_repository_that_is_none_is_an_annotation_too(repo: Repo) -> None:
    repo.write("fleet.yaml", "- no fleet\n")
    result = repo.run("lint", "--output", "github")
    assert result.code == 1
    assert "::error file=fleet.yaml,line=1,col=1,title=CF0" in result.out


def unescaped(text: str) -> str:
    """As GitHub's runner reads it (ActionCommand.cs): percent comes last."""
    for character, escape in (("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C"), ("%", "%25")):
        text = text.replace(escape, character)
    return text


TEXT = st.text(st.sampled_from("ab:,%\n\r=;]05ACD\u2028\x1b"), max_size=12)


@PROPERTY
@given(TEXT, TEXT, st.sampled_from([ERROR, WARNING]))
def test_no_text_becomes_another_command_or_another_field(file: str, message: str, severity: str) -> None:
    line = annotations.command(Finding(Place(f"specs/{file}", 3, 4), "CF301", message, "", severity))
    assert line.isprintable()
    match = COMMAND.fullmatch(line)
    assert match is not None
    assert match[1] == severity
    fields = dict(part.split("=", 1) for part in match[2].split(","))
    assert list(fields) == ["file", "line", "col", "title"]
    assert unescaped(fields["file"]).startswith("specs/")
    assert sarif.log([Finding(Place(f"specs/{file}", 3, 4), "CF301", message)], "1")
    uri = sarif.log([Finding(Place(f"specs/{file}", 3, 4), "CF301", message)], "1")["runs"][0]["results"][0]
    assert unquote(uri["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]) == f"specs/{file}"
