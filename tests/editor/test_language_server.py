"""What an author sees in an editor: completion, explanations and errors, of a real YAML language server."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import PROGRAM, Server

from canaryfleet.syntax import load

ROOT = Path(__file__).resolve().parents[2]
HEAD = """\
# yaml-language-server: $schema=../../schemas/canary.schema.json
apiVersion: canaryfleet.dev/v1alpha1
kind: Canary
metadata: {name: new, namespace: new}
version: "1.0.0"
"""
REST = "workload: {image: x}\nwaves: [{name: all}]\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all tests."""
    assert shutil.which("node"), "the YAML language server needs node"
    assert PROGRAM.exists(), "`make editor` installs the language server"
    made = Server(ROOT)
    yield made
    made.close()


_NUMBERS = itertools.count()


def new() -> str:
    """A spec that was never open."""
    return f"specs/new-{next(_NUMBERS)}/canary.yaml"


def offered(server: Server, text: str) -> dict[str, str]:
    """What is inserted, by what is offered, where `|` stands in a new spec."""
    before = text.split("|", maxsplit=1)[0]
    path = new()
    server.open(path, text.replace("|", "", 1))
    found = server.complete(path, before.count("\n"), len(before.rpartition("\n")[2]))
    return {label: item.get("insertText", "") for label, item in found.items()}


def said(server: Server, text: str) -> dict[str, str]:
    """Messages by the text that is underlined."""
    lines, found = text.splitlines(), {}
    for item in server.open(new(), text):
        start, end = item["range"]["start"], item["range"]["end"]
        found[lines[start["line"]][start["character"] : end["character"]]] = item["message"]
    return found


@pytest.mark.parametrize(
    "path", sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("specs/*/canary.yaml"))
)
def test_the_examples_are_right(server: Server, path: str) -> None:
    assert server.open(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", ["fleet.yaml", "clusters/eu-west-1a.yaml"])
def test_fleet_and_clusters_are_right(server: Server, path: str) -> None:
    assert server.open(path, (ROOT / path).read_text()) == []


def test_an_empty_spec_can_become_a_new_app(server: Server) -> None:
    found = offered(server, HEAD.splitlines()[0] + "\n|")
    text = found["a new app"]
    for number, value in enumerate(["search", "ai", "1.0.0", "acme/search:1", "8080", "2", "eu-1"], 1):
        start = text.index(f"${{{number}:")
        text = text[:start] + value + text[text.index("}", start) + 1 :]
    spec = load(text.encode(), "snippet")
    assert spec["workload"] == {"image": "acme/search:1", "port": 8080, "replicas": 2}
    assert [step["weight"] for step in spec["exposure"]["steps"]] == ["5%", "25%", "50%"]


@pytest.mark.parametrize(
    ("text", "label", "inserted"),
    [
        (f"{HEAD}|", "exposure", "exposure:\n  "),
        (f"{HEAD}|", "waves", "waves:\n  - name: "),
        (f"{HEAD}workload:\n  |", "startup", "startup: ${1:5m}"),
        (f"{HEAD}workload:\n  |", "model", "model:\n  name: $1\n  version: $2"),
        (f"{HEAD}exposure:\n  steps:\n  - |", "weight", "weight: ${1:5%}"),
        (f"{HEAD}exposure:\n  protocol: |", "grpc", "grpc"),
        (f"{HEAD}analysis:\n  metrics:\n  - preset: |", "istio/latency", "istio/latency"),
    ],
)
def test_completion(server: Server, text: str, label: str, inserted: str) -> None:
    found = offered(server, text)
    assert found[label] == inserted
    assert "null" not in found


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("startup", ["Longest start, model load included", "5m"]),
        ("minimumSamples", ["fewer prove nothing", "Default: `100`"]),
        ("promoteBelow", ["Good if below"]),
        ("header", ["`{}` ends it"]),
        ("approval", ["a person approves", "`none`", "`required`"]),
    ],
)
def test_hover(server: Server, field: str, wanted: list[str]) -> None:
    path = "specs/assistant/canary.yaml"
    text = (ROOT / path).read_text()
    server.open(path, text)
    line = next(number for number, each in enumerate(text.splitlines()) if f"{field}:" in each)
    shown = server.hover(path, line, text.splitlines()[line].index(f"{field}:") + 1)
    for words in wanted:
        assert words in shown, shown


@pytest.mark.parametrize(
    ("text", "underlined", "message"),
    [
        (HEAD + REST + "exposre: {}\n", "exposre", "Property exposre is not allowed."),
        (
            HEAD + "workload: {image: x, base: y}\nwaves: [{name: all}]\n",
            "base",
            "Property base is not allowed.",
        ),
        (HEAD + REST + "exposure: {protocol: htp}\n", "htp", 'Valid values: "grpc", "http", "http2"'),
        (HEAD + REST + "exposure: {steps: [{weight: 5}]}\n", "5", 'Expected "string"'),
        (HEAD + REST + "exposure: {steps: [{weight: 5 %}]}\n", "5 %", "such as 5%"),
        (HEAD + REST + "exposure: {timeout: }\n", "", 'Expected "string"'),
        (HEAD + "workload: {image: x}\n", HEAD.splitlines()[1], 'Missing property "waves"'),
    ],
)
def test_diagnostics(server: Server, text: str, underlined: str, message: str) -> None:
    found = said(server, text)
    assert any(message in said for said in found.values()), found
    assert any(key.startswith(underlined) or underlined.startswith(key) for key in found), found
