"""The command line as a person or a script meets it: exit codes, output, and that bad input writes nothing."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from canaryfleet import cli
from canaryfleet.schema import FILES, schema_of

ROOT = Path(__file__).resolve().parents[2]
SPEC = "specs/mcp-tools/canary.yaml"
OVERLAY = "overlays/mcp-tools/clusters/ap-south-1a/kustomization.yaml"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the example repository with one app, without Git: everything in it counts as frozen.

    Nothing is told to Argo CD: what is, is of all apps.
    """
    fleet = (ROOT / "fleet.yaml").read_text()
    (tmp_path / "fleet.yaml").write_text(re.sub(r"^argocd:\n(  .*\n)+", "", fleet, flags=re.MULTILINE))
    shutil.copytree(ROOT / "clusters", tmp_path / "clusters")
    for folder in ("specs", "overlays"):
        shutil.copytree(ROOT / folder / "mcp-tools", tmp_path / folder / "mcp-tools")
    return tmp_path


def run(tree: Path, *arguments: str) -> int:
    return cli.main([*arguments, "--root", str(tree)])


def content(tree: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}


def edit(tree: Path, path: str, old: str, new: str) -> None:
    file = tree / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_good_repository(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tree, "lint") == 0
    assert "nothing is wrong" in capsys.readouterr().out
    assert run(tree, "render", "--check") == 0
    before = content(tree)
    assert run(tree, "render") == 0
    assert "0 files changed" in capsys.readouterr().out
    assert content(tree) == before


BAD_SPECS = [
    ("port: 3000", "prot: 3000", "CF030", "did you mean port?"),
    ("port: 3000", 'port: "3000"', "CF033", "is not a whole number"),
    ("version: 4.2.0", "version: 4.2", "CF033", "quote it"),
    ("port: 3000", "port: 3000\n  port: 3001", "CF003", ""),
    ("weight: 10%", "weight: 10%, mirror: 5%", "CF032", "exactly one of"),
    ("weight: 10%", "weight: 0.5%", "CF122", ""),
    ("config/tools.json", "config/none.json", "CF010", ""),
    ("config/tools.json", "../../fleet.yaml/../../../etc/passwd", "CF011", ""),
    ("istio/error-rate", "istio/error-rat", "CF131", "did you mean istio/error-rate?"),
    ("promoteBelow: 1%", "promoteBelow: 5%", "CF137", "at once"),
    ("@sha256:", ":latest #", "CF117", "not pinned"),
    ("[ap-southeast-2a]", "[ap-southeast-2]", "CF104", "did you mean"),
    ("$(selector)", "$(selectr)", "CF139", "did you mean"),
    ("name: tool-errors", "name: istio-error-rate", "CF130", "a second metric"),
    ("name: tool-errors", "name: istio-error-rate-stable", "CF130", "is how canaryfleet calls"),
    ("error_type!=", "a={{args.x}},error_type!=", "CF139", "begins an argument"),
]


@pytest.mark.parametrize(
    ("old", "new", "code", "words"), BAD_SPECS, ids=[f"{row[2]}-{row[1][:24]}" for row in BAD_SPECS]
)
def test_a_bad_spec_is_explained_and_writes_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, code: str, words: str
) -> None:
    edit(tree, SPEC, old, new)
    before = content(tree)
    assert run(tree, "render") == 1
    said = capsys.readouterr()
    assert f"error {code}:" in said.err
    assert words in said.err
    assert said.err.startswith(f"{SPEC}:"), "the place: file, line and column"
    assert "Traceback" not in said.err
    assert content(tree) == before


def test_a_wave_in_which_nothing_is_measured_is_refused(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(tree, SPEC, "rollbackAbove: 3%}", "rollbackAbove: 3%, during: [bake]}")
    edit(tree, SPEC, "  - name: tool-errors", "  - during: [bake]\n    name: tool-errors")
    assert run(tree, "lint") == 1
    said = capsys.readouterr().err
    assert "CF105" in said, said
    assert "{name: rest" in (tree / SPEC).read_text().splitlines()[int(said.split(":")[1]) - 1]


def test_all_problems_of_all_files_in_one_run(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(tree, SPEC, "port: 3000", "prot: 3000")
    edit(tree, SPEC, "version: 4.2.0", "version: 4.2")
    edit(tree, "clusters/eu-west-1a.yaml", "capacity: 20", "capacity: many")
    (tree / "clusters/us-east-1a.yaml").write_bytes(b"\xff\xfe")
    assert run(tree, "lint", "--output", "json") == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {(item["file"], item["code"]) for item in found} >= {
        (SPEC, "CF030"),
        (SPEC, "CF033"),
        ("clusters/eu-west-1a.yaml", "CF033"),
        ("clusters/us-east-1a.yaml", "CF001"),
    }
    assert all(item["line"] and item["column"] for item in found if item["file"] == SPEC)


@pytest.mark.parametrize(
    "link", ["specs/mcp-tools/config/tools.json", "clusters/eu-west-1a.yaml", "specs/mcp-tools/config"]
)
def test_a_link_is_never_followed(
    tree: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], link: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "tools.json").write_text("secret")
    place = tree / link
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    place.symlink_to(outside if link.endswith("config") else outside / "tools.json")
    assert run(tree, "render") == 1
    said = capsys.readouterr().err
    assert "CF011" in said
    assert "secret" not in said


def test_an_edited_overlay_is_found_with_its_line(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(tree, OVERLAY, "kind: HorizontalPodAutoscaler", "kind: HorizontalPodAutoscaling")
    line = (tree / OVERLAY).read_text().splitlines().index("    kind: HorizontalPodAutoscaling") + 1
    assert run(tree, "render", "--check") == 1
    assert f"{OVERLAY}:{line}:1: error CF167" in capsys.readouterr().err
    assert run(tree, "render", "--check", "--output", "json") == 1
    told = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of(FILES["checked"])).validate(told)
    assert [(item["file"], item["line"]) for item in told["findings"]] == [(OVERLAY, line)]


def test_a_pointer_to_nothing_is_refused(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(tree, OVERLAY, "releases/4.2.0-", "releases/9.9.9-")
    assert run(tree, "render", "--check") == 1
    assert "CF165" in capsys.readouterr().err


def test_a_changed_release_is_found(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rollout,) = tree.glob("overlays/mcp-tools/releases/4.2.0-*/rollout.yaml")
    rollout.write_text(rollout.read_text().replace("setWeight: 10", "setWeight: 90"))
    assert run(tree, "render", "--check") == 1
    assert "rollout.yaml: error CF169" in capsys.readouterr().err


def test_a_release_rewritten_with_its_sums_is_found_through_git(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "-qm", "all"],
    ):
        subprocess.run(["git", *command], cwd=tree, check=True)
    assert run(tree, "render", "--check") == 0
    (folder,) = tree.glob("overlays/mcp-tools/releases/4.2.0-*")
    rollout, sums = folder / "rollout.yaml", folder / "release.yaml"
    from canaryfleet.digest import sha256

    old = rollout.read_bytes()
    new = old.replace(b"setWeight: 10", b"setWeight: 90")
    rollout.write_bytes(new)
    sums.write_text(sums.read_text().replace(sha256(old), sha256(new)))
    assert run(tree, "render", "--check") == 1
    said = capsys.readouterr().err
    assert "the default branch has it with other content" in said


def test_a_spec_that_is_not_rendered_is_reported(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(tree, SPEC, "weight: 50%", "weight: 40%")
    assert run(tree, "render", "--check") == 1
    assert f"{SPEC}:5:10: error CF170" in capsys.readouterr().err


def test_live_settings_wait_where_a_canary_may_run(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(tree, SPEC, "tools.acme.example", "tools2.acme.example")
    before = content(tree)
    assert run(tree, "render") == 0
    said = capsys.readouterr().out
    assert "once the Rollout is at rest" in said
    assert content(tree)[str(tree / OVERLAY)] == before[str(tree / OVERLAY)]
    assert run(tree, "render", "--at-rest", "ap-south-1a") == 0
    assert b"tools2.acme.example" in content(tree)[str(tree / OVERLAY)]


def test_point_says_why_not(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(tree)
    assert run(tree, "point", "mcp-tools", "--wave", "rest") == 1
    assert "nothing moved: wave pilot is not complete" in capsys.readouterr().err
    assert content(tree) == before
    assert run(tree, "point", "mcp-tools", "--wave", "rest", "--output", "json") == 1
    told = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of(FILES["pointed"])).validate(told)
    assert (told["wave"], told["pointers"]) == ("rest", {})
    assert "wave pilot is not complete" in told["reasons"][0]


def test_an_unreadable_promotion_holds_everything(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "overlays/mcp-tools/promotion.yaml").write_text("bars: [unclosed")
    assert run(tree, "point", "mcp-tools", "--wave", "rest", "--verified", "all") == 1
    assert "overlays/mcp-tools/promotion.yaml:2:1: error CF002" in capsys.readouterr().err


def test_build_prints_what_kustomize_would(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tree, "build", "mcp-tools", "ap-south-1a") == 0
    assert capsys.readouterr().out.count("\nkind: ") >= 8
    assert run(tree, "build", "mcp-tools", "nowhere") == 1


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--version"], 0), (["--help"], 0), (["lnt"], 2)])
def test_exit_codes_without_a_repository(arguments: list[str], code: int) -> None:
    assert cli.main(arguments) == code


def test_no_repository_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lint"]) == 2


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "canaryfleet", command, "--help"], capture_output=True, text=True, check=True
    )
    assert f"usage: canaryfleet {command}" in done.stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "canaryfleet", command, "--no-such-thing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2


def test_a_bug_says_so(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("canaryfleet.render.know", lambda *_: 1 / 0)
    assert run(tree, "lint") == 3
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "this is a bug" in said
