"""`canaryfleet report html` on a repository with a history: a good release, and a bad one under way."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from canaryfleet import cli, overview, status
from canaryfleet.files import Tree
from canaryfleet.models.report import Report
from canaryfleet.schema import schema_of
from canaryfleet.sources.snapshot import Recording
from pages import parse, tiles, with_class
from story import Story

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, Path]:
    """A story in which a bad release is under way on its first cluster, and a snapshot of the clusters."""
    folder = tmp_path_factory.mktemp("story")
    story = Story(folder)
    story.until_rest()
    story.moods["2.0.0"] = "bad"
    story.release("2.0.0")
    story.turn(minutes=30)
    story.sync()
    story.now += timedelta(minutes=30)
    path = folder / "seen.json"
    recording = Recording()
    found = status.plan(Tree(story.people))
    for sighting in status.look(story.box, status.targets(found), 10):
        recording.add(sighting)
    recording.write(str(path))
    return story, path


@pytest.fixture
def run(told: tuple[Story, Path], capsys: pytest.CaptureFixture[str]) -> Run:
    """The command on that repository: exit code, output, messages."""
    story, snapshot = told

    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(["report", "html", *words, "--root", str(story.people), "--snapshot", str(snapshot)])
        return code, *capsys.readouterr()

    return run


def test_the_page_says_what_failed_and_what_is_next(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "fleet.html"
    assert run("--to", str(target)) == (0, f"{target} is written\n", "")
    elements = parse(target.read_text())
    (one,) = tiles(elements)["one"]
    assert one[0] == "Failed"
    assert "BeyondThreshold" in one[1]
    assert tiles(elements)["two"][0][1] == "two Verified 1.0.0 100% of the traffic"
    (headline,) = with_class(elements, "headline")
    assert headline.text == "Rollback back from 2.0.0 on one"
    past = with_class(elements, "history")[0].text
    assert "Start 2.0.0 to wave first: one" in past
    assert "Released 2.0.0 is the candidate" in past
    assert "Done 1.0.0: every wave of it is complete" in past
    assert "ann@acme.example" not in target.read_text()


def test_each_decision_of_the_bot_names_its_record(run: Run, told: tuple[Story, Path]) -> None:
    report = _report(run)
    (app,) = report["apps"]
    decided = [item for item in app["history"] if item["by"] == "bot"]
    assert len(decided) > 3
    assert all(len(item["record"]) == 64 for item in decided)
    story, _ = told
    subjects = [item["subject"] for item in app["history"]]
    assert subjects == story.log()[::-1][: len(subjects)], "in Git's order, newest first"


def test_charts_are_of_the_release_with_what_each_measurement_proves(run: Run) -> None:
    (app,) = _report(run)["apps"]
    clusters = {item["status"]["cluster"]: item for wave in app["waves"] for item in wave["clusters"]}
    measured = {item["name"]: item for item in clusters["one"]["series"]}
    (rate,) = [item for name, item in measured.items() if "error-rate" in name]
    assert {point["word"] for point in rate["points"]} >= {"bad"}
    assert rate["rollback"].startswith("> ")
    assert [point["at"] for point in rate["points"]] == sorted(point["at"] for point in rate["points"])


def test_json_is_what_the_schema_says(run: Run) -> None:
    Draft202012Validator(schema_of(Report)).validate(_report(run))


def _report(run: Run) -> Any:
    code, out, said = run("--output", "json")
    assert (code, said) == (0, "")
    return json.loads(out)


def test_the_same_snapshot_is_the_same_page(run: Run) -> None:
    assert run() == run()


def test_an_app_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    code, _, said = run("chart", "--to", str(tmp_path / "page.html"))
    assert code == 1
    assert "there is no app chart" in said
    assert not list(tmp_path.iterdir())


def test_a_file_that_can_not_be_written_is_said(run: Run, tmp_path: Path) -> None:
    code, _, said = run("--to", str(tmp_path / "none" / "page.html"))
    assert code == 1
    assert "there is no such folder" in said


def test_without_a_history_the_page_says_so_and_shows_the_rest(
    told: tuple[Story, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story, snapshot = told
    shallow = tmp_path / "shallow"
    story.git("clone", "-q", "--depth", "1", story.bare.as_uri(), str(shallow), at=tmp_path)
    assert cli.main(["report", "html", "--root", str(shallow), "--snapshot", str(snapshot)]) == 0
    out, said = capsys.readouterr()
    assert "CF023" in said
    assert tiles(parse(out)).keys() == {"one", "two", "three"}
    assert "the clone is shallow, and the history is evidence" in out


def test_a_folder_that_may_only_be_read_still_has_a_board(
    told: tuple[Story, Path], monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(overview.commits, "worktree", refused)
    code, out, _ = run()
    assert code == 0
    assert "can&#x27;t be looked at beside the working tree: Permission denied" in out
    assert tiles(parse(out))["one"][0][0] == "Failed"


@pytest.mark.parametrize(
    "words", [["--key", "none", "--", "html"], ["--key", "none", "html"], ["--", "html", "--key", "none"]]
)
def test_a_cluster_may_be_called_html(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`report html` is the page. What begins otherwise is about a cluster, whatever its name."""
    monkeypatch.chdir(ROOT)
    try:
        code = cli.main(["report", *words])
    except SystemExit as exit_:
        code = exit_.code  # type: ignore[assignment]
    said = capsys.readouterr().err
    assert (code, "there is no cluster html" in said) in {(1, True), (2, False)}
    assert "report html" not in said
