"""`canaryfleet status` as people and scripts meet it: tables, JSON, exit codes, a board that follows."""

import io
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec.structs import replace
from recorded import VERSIONS, Recording, recording, renamed

from canaryfleet import board, cli, status, view
from canaryfleet.emit import emit
from canaryfleet.engines.argo_rollouts.observe import observe
from canaryfleet.errors import EXIT_VERDICT, Problems
from canaryfleet.files import Tree
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.observation import (
    Evidence,
    MetricEvidence,
    Problem,
    RunEvidence,
    Sighting,
    Verdict,
)
from canaryfleet.models.release import Candidate
from canaryfleet.models.status import Status
from canaryfleet.schema import schema_of
from canaryfleet.sources.snapshot import Recorded, encode


def member(scenario: str, cluster: str, version: str = VERSIONS[0]) -> Recording:
    """A recording as of one of two clusters that get the same releases, each in the same namespace."""
    found = recording(scenario, version)
    found = renamed(found, {found.cluster: cluster, found.subject.namespace: "status"})
    pod = found.release.clusters[cluster]
    (wave,) = found.release.waves
    both = dict.fromkeys(MEMBERS, pod)
    release = replace(found.release, clusters=both, waves=(replace(wave, members=MEMBERS),))
    return found._replace(release=release)


MEMBERS = ("c0", "c1")
BAD, GOOD = member("bad-aborted", "c0"), member("good", "c1", VERSIONS[-1])
NOW = datetime(2026, 11, 3, 10, tzinfo=UTC)


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


class Fleet:
    """A repository with one app, and a file with what is seen of its clusters."""

    def __init__(self, root: Path) -> None:
        self.root, self.file = root, root / "seen.json"
        self.write("fleet.yaml", {"apiVersion": API_VERSION, "kind": "Fleet", "metadata": {"name": "acme"}})
        for name in MEMBERS:
            self.cluster(name)
        for found in (BAD, GOOD):
            home = f"overlays/chat/releases/{found.release.id}/release.yaml"
            self.write(home, msgspec.to_builtins(found.release))
        candidate = Candidate(
            apiVersion=API_VERSION,
            kind="Candidate",
            metadata=BAD.release.metadata,
            release=BAD.release.id,
            workload=BAD.release.workload,
        )
        self.write("overlays/chat/candidate.yaml", msgspec.to_builtins(candidate))

    def write(self, path: str, data: Any) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(emit(data))

    def cluster(self, name: str, **fields: Any) -> None:
        head = {"apiVersion": API_VERSION, "kind": "Cluster", "metadata": {"name": name}}
        self.write(f"clusters/{name}.yaml", head | fields)

    def point(self, cluster: str, release: str, fallback: str | None = None) -> None:
        body: dict[str, Any] = {"metadata": {"name": "chat"}, "resources": [f"../../releases/{release}"]}
        if fallback:
            body["metadata"]["annotations"] = {"canaryfleet.dev/fallback": fallback}
        self.write(f"overlays/chat/clusters/{cluster}/kustomization.yaml", body)

    def withdraw(self, cluster: str) -> None:
        shutil.rmtree(self.root / "overlays/chat/clusters" / cluster)

    def see(self, *sightings: Sighting) -> None:
        self.file.write_bytes(encode(sightings))

    def run(self, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
        code = cli.main(["status", "--root", str(self.root), "--snapshot", str(self.file), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    def status(self) -> Status:
        return status.read(status.plan(Tree(self.root)), Recorded.of_file(str(self.file)), 1)


def at(found: Recording, reason: str) -> Sighting:
    """The last reading with a reason."""
    return [item for item in found.sightings if found.verdict(item).reason == reason][-1]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """c0 has failed on the candidate, c1 is in the middle of the release before."""
    made = Fleet(tmp_path)
    made.point("c0", BAD.release.id, GOOD.release.id)
    made.point("c1", GOOD.release.id, BAD.release.id)
    made.see(at(BAD, "BeyondThreshold"), at(GOOD, "StepPaused"))
    return made


def unseen(name: str, problem: Problem) -> Sighting:
    return Sighting(cluster=name, source="kubernetes", began=NOW, ended=NOW, problem=problem)


GOLDEN = """\
chat in status: candidate {bad}
WAVE  CLUSTER  RELEASE             VERDICT      REASON           STEP  WEIGHT  SINCE  NEAREST METRIC
all   c0       {bad}  Failed       BeyondThreshold  0/{steps}   0%      {failed}  {metric} {worst} (> {limit})
all   c1       {good}  Progressing  StepPaused       {step}/{steps}   {weight}%     {paused}  {metric} 0 (> {limit})
c0: Failed, BeyondThreshold: {metric} was {value}, and > {limit} is too bad ({run})
"""


def ago(found: Recording, reason: str) -> str:
    """How long the verdict of a reading has been so when the last cluster is read, as wide as its column."""
    since = found.verdict(at(found, reason)).since
    assert since
    now = max(at(BAD, "BeyondThreshold").ended, at(GOOD, "StepPaused").ended)
    seconds = (now - since).seconds
    return (f"{seconds}s" if seconds < 120 else f"{seconds // 60}m").ljust(5)


def test_the_table(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = BAD.verdict(at(BAD, "BeyondThreshold")).evidence.runs
    (worst,) = run.metrics
    live = observe(at(GOOD, "StepPaused"), GOOD.subject).live
    assert live
    assert worst.value
    code, out, err = fleet.run(capsys)
    assert (code, err) == (0, "")
    assert out == GOLDEN.format(
        bad=BAD.release.id,
        good=GOOD.release.id,
        steps=len(GOOD.release.steps),
        step=live.step,
        weight=live.weight,
        failed=ago(BAD, "BeyondThreshold"),
        paused=ago(GOOD, "StepPaused"),
        metric=worst.name,
        value=worst.value,
        worst=f"{float(worst.value.strip('[]')):.4g}",
        limit=GOOD.release.metrics[0].rollback.removeprefix("> "),
        run=run.name,
    )


def test_json_is_what_its_schema_says(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = fleet.run(capsys, "--output", "json")
    found = json.loads(out)
    Draft202012Validator(schema_of(Status)).validate(found)
    (app,) = found["apps"]
    rows = {row["cluster"]: row for wave in app["waves"] for row in wave["clusters"]}
    assert (code, app["app"], app["candidate"]) == (0, "chat", BAD.release.id)
    assert {name: row["verdict"]["kind"] for name, row in rows.items()} == {
        "c0": "Failed",
        "c1": "Progressing",
    }
    assert rows["c0"]["nearest"]["distance"] < 0
    assert rows["c0"]["seen"] == at(BAD, "BeyondThreshold").ended.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("found", "reason", "code"),
    [
        (GOOD, "Proven", 0),
        (GOOD, "StepPaused", 10),
        (member("too-few-samples", "c1", VERSIONS[-1]), "TooLittleProof", 11),
        (GOOD, "Moved", 12),
        (BAD, "BeyondThreshold", 13),
    ],
)
def test_the_worst_verdict_is_the_exit_code_when_asked(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], found: Recording, reason: str, code: int
) -> None:
    sighting = found.torn() if reason == "Moved" else at(found, reason)
    assert found.verdict(sighting).reason == reason
    for name in MEMBERS:
        fleet.withdraw(name)
    home = f"overlays/chat/releases/{found.release.id}/release.yaml"
    fleet.write(home, msgspec.to_builtins(found.release))
    fleet.point(sighting.cluster, found.release.id, GOOD.release.id)
    fleet.see(sighting)
    assert fleet.run(capsys)[0] == 0
    assert fleet.run(capsys, "--exit-code")[0] == code
    assert code in EXIT_VERDICT.values()


def test_a_cluster_that_was_not_seen_says_why_and_what_to_do(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    why = Problem(kind="unreachable", message="c1.example does not answer", remedy="see its network")
    fleet.see(at(BAD, "BeyondThreshold"), unseen("c1", why))
    code, out, _ = fleet.run(capsys, "--exit-code")
    assert code == 13
    assert "Unknown  Unreachable" in out
    assert "\nc1: Unknown, Unreachable: c1.example does not answer (see its network)\n" in out


def test_equal_words_of_many_clusters_are_said_once(tmp_path: Path) -> None:
    why = {"kind": "timeout", "remedy": "allow more time"}
    rows = [_row(f"c{n}", Problem(message=f"c{n} took longer than 10 s", **why)) for n in range(9)]
    said = [line for line in view.text(_status(rows), io.StringIO()).split("\n") if "took longer" in line]
    assert said == [
        "c0, c1, c2 and 6 more: Unknown, Timeout: CLUSTER took longer than 10 s (allow more time)"
    ]
    one = view.text(_status(rows[:1]), io.StringIO())
    assert one.endswith("\nc0: Unknown, Timeout: c0 took longer than 10 s (allow more time)")


def _verdict(cluster: str, kind: str = "Unknown", reason: str = "Timeout", **fields: Any) -> Verdict:
    return Verdict(
        app="chat", cluster=cluster, release="1", kind=kind, reason=reason, message="no", hash="", **fields
    )


def _row(name: str, problem: Problem | None = None, **fields: Any) -> board.ClusterStatus:
    verdict = _verdict(name, **fields)
    remedy = problem.remedy if problem else ""
    return board.ClusterStatus(
        cluster=name, release="1.0.0-0123456789ab", verdict=verdict, problem=problem, remedy=remedy
    )


def _status(rows: Iterable[board.ClusterStatus]) -> Status:
    waves = (board.WaveStatus(name="all", clusters=tuple(rows)),)
    app = board.AppStatus(app="chat", namespace="chats", candidate="1", waves=waves)
    return Status(apiVersion=API_VERSION, kind="Status", at=NOW, apps=(app,))


def test_a_member_that_nothing_points_at_is_shown_as_not_deployed(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.withdraw("c1")
    code, out, _ = fleet.run(capsys, "--exit-code")
    assert re.search(r"^\S+ +c1 +- +- +not deployed$", out, re.MULTILINE)
    assert code == 13


def test_an_overlay_of_a_cluster_without_a_file_is_not_passed_over(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    (fleet.root / "clusters/c1.yaml").unlink()
    code, out, _ = fleet.run(capsys)
    assert "c1: Unknown, Misconfigured: there is no clusters/c1.yaml that can be read" in out.replace(
        "CLUSTER", "c1"
    )
    assert code == 0


def test_one_broken_file_does_not_hide_the_others(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    (fleet.root / "clusters/c1.yaml").write_text("kind: 1\n")
    (fleet.root / "overlays/other/clusters/c0").mkdir(parents=True)
    (fleet.root / "overlays/other/clusters/c0/kustomization.yaml").write_text("resources: []\n")
    code, out, err = fleet.run(capsys, "--exit-code")
    assert "CF164" in err
    assert "clusters/c1.yaml" in err
    assert "Failed" in out
    assert code == 1


def test_an_unknown_app_is_told(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = fleet.run(capsys, "chta")
    assert (code, "CF015" in err, "chat" in err) == (1, True, True)


def test_an_empty_repository_has_no_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fleet.yaml").write_text("")
    assert cli.main(["status", "--root", str(tmp_path), "--exit-code"]) == 0
    assert capsys.readouterr().out == "no app is here\n"


@pytest.mark.parametrize(
    "words",
    [
        ("--timeout", "soon"),
        ("--timeout", "0"),
        ("--every=-1s",),
        ("--watch", "--record", "x"),
        ("--watch",),
        ("--watch", "--output", "json"),
    ],
)
def test_wrong_usage(fleet: Fleet, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code, out, err = fleet.run(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("canaryfleet: --")


def test_what_is_recorded_says_the_same(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    again = fleet.root / "again.json"
    first = fleet.run(capsys, "--output", "json", "--record", str(again))
    fleet.file = again
    assert fleet.run(capsys, "--output", "json") == first


def test_a_record_that_can_not_be_written_is_told(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = fleet.run(capsys, "--record", str(fleet.root / "none/s.json"))
    assert (code, out) == (1, "")
    assert "there is no such folder" in err


# A terminal


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_a_table_fits_the_terminal(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    shown = view.text(fleet.status(), Terminal())
    assert max(map(len, shown.split("\n"))) <= max(width, 75)
    assert "\033" not in shown


def test_colour_is_for_terminals_alone(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = view.text(fleet.status(), Terminal())
    plain = view.text(fleet.status(), io.StringIO())
    assert "\033[31mFailed\033[0m" in coloured
    assert re.sub(r"\033\[[0-9;]*m", "", coloured) == plain


def test_text_of_a_cluster_can_not_draw() -> None:
    why = Problem(kind="timeout", message="\033[2J\nc0: Verified", remedy="")
    shown = view.text(_status([_row("c0", why)]), io.StringIO())
    assert "\033" not in shown
    assert "\\x1b[2J\\nc0: Verified" in shown


def test_a_board_on_a_terminal_is_drawn_in_place(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "5")
    stream = Terminal()
    with view.Board(stream) as shown:
        shown.show(fleet.status(), whole=True)
    drawn = stream.getvalue()
    assert drawn.startswith("\033[?1049h\033[?25l\033[H")
    assert drawn.endswith("\033[J\033[?25h\033[?1049l")
    assert drawn.count("\n") == 4
    assert "more lines" in drawn


def test_a_board_elsewhere_is_a_line_for_each_change() -> None:
    stream = io.StringIO()
    with view.Board(stream) as shown:
        for kind, reason in (
            ("Progressing", "Stepping"),
            ("Progressing", "Stepping"),
            ("Verified", "Proven"),
        ):
            shown.show(_status([_row("c0", kind=kind, reason=reason)]), whole=True)
    assert stream.getvalue().split("\n") == [
        "2026-11-03 10:00:00Z chat all c0 1.0.0-0123456789ab Progressing Stepping",
        "2026-11-03 10:00:00Z chat all c0 1.0.0-0123456789ab Verified Proven",
        "",
    ]


def test_the_board_follows_until_it_is_interrupted(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = []

    def sleep(seconds: float) -> None:
        if seconds < 1:  # subprocess, while git runs
            return
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    for name, sighting in (("c0", at(BAD, "BeyondThreshold")), ("c1", at(GOOD, "StepPaused"))):
        (fleet.root / f"{name}.json").write_bytes(encode([sighting]))
        fleet.cluster(name, access={"snapshot": f"{name}.json"})
    assert cli.main(["status", "--watch", "--every", "7s", "--root", str(fleet.root)]) == 130
    out = capsys.readouterr().out
    assert slept == [7, 7]
    assert (out.count("\n"), out.count(" c0 "), out.count(" c1 ")) == (2, 1, 1)


# The metric nearest to its threshold


def nearest(*metrics: MetricEvidence) -> tuple[str, float] | None:
    runs = (RunEvidence(name="r", uid="u", role="steps", metrics=metrics),)
    found = board.nearest(_verdict("c0", evidence=Evidence(runs=runs)))
    return (found.name, found.distance) if found else None


def metric(name: str, value: str | None, promote: str | None, rollback: str | None) -> MetricEvidence:
    return MetricEvidence(name=name, value=value, promote=promote, rollback=rollback)


def test_the_nearest_metric_is_the_one_with_the_least_room() -> None:
    low = metric("errors", "[0.002]", "< 0.005", "> 0.01")
    high = metric("success", "[0.97]", "> 0.99", "< 0.95")
    beyond = metric("latency", "[0.6]", "< 0.2", "> 0.5")
    assert nearest(low) == ("errors", 0.8)
    assert nearest(low, high) == ("success", pytest.approx(0.0211, abs=1e-4))
    assert nearest(low, high, beyond) == ("latency", pytest.approx(-0.2))
    assert nearest(metric("only", "[3]", "< 4", None)) == ("only", 0.25)
    assert nearest(metric("zero", "[0.5]", None, "> 0")) == ("zero", -0.5)


@pytest.mark.parametrize("value", [None, "", "[]", "[NaN]", "NaN", "+Inf", "{}", "text", "[1e999]"])
def test_what_is_no_number_is_no_metric(value: str | None) -> None:
    assert nearest(metric("m", value, "< 1", "> 2")) is None


def test_no_threshold_no_distance() -> None:
    assert nearest(metric("job", "[1]", None, None)) is None


# Report


def test_a_report_needs_a_cluster_that_pushes(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    def report(name: str) -> str:
        assert cli.main(["report", name, "--key", "k", "--root", str(fleet.root)]) == 1
        return capsys.readouterr().err

    assert "CF104: there is no cluster c7" in report("c7")
    assert "CF029: nobody would believe what it pushes" in report("c0")


def test_a_report_outside_of_a_cluster_pushes_that_nothing_was_seen(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    fleet.cluster("c0", access={"pushed": {"keys": [public]}})
    for words in (
        ["init", "-q", "--bare", "shared.git"],
        ["init", "-q"],
        ["remote", "add", "origin", "shared.git"],
    ):
        subprocess.run(["git", *words], cwd=fleet.root, check=True)
    assert cli.main(["report", "c0", "--key", str(key), "--root", str(fleet.root)]) == 1
    assert "pushed to refs/canaryfleet/status/c0 that nothing was seen: " in capsys.readouterr().err
    found = status.plan(Tree(fleet.root))
    from canaryfleet.sources.many import Many

    rows = status.read(found, Many(str(fleet.root)), 10).apps[0].waves[0].clusters
    assert (rows[0].source, rows[0].verdict and rows[0].verdict.reason) == ("pushed", "Misconfigured")


def test_a_report_reads_this_cluster_alone(fleet: Fleet) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfDNZ1hOhxP4YkCgmPTqkzQvTkoOq8T8VPPGCLbZwh"
    fleet.cluster("c1", access={"pushed": {"keys": [key]}})
    asked: list[Mapping[str, Any]] = []

    class Inside:
        def look(self, targets: Iterable[Any], *, timeout: float) -> Iterable[Sighting]:
            for target in targets:
                asked.append(msgspec.to_builtins(target.cluster.access))
                assert [question.app for question in target.questions] == ["chat"]
                yield at(GOOD, "Proven")

    found = status.plan(Tree(fleet.root))
    assert status.own(found, "c1", None, Inside(), 1).cluster == "c1"
    assert status.own(found, "c1", "there", Inside(), 1).apps[0].answers
    assert asked == [{"inCluster": True}, {"context": "there"}]


def test_a_broken_candidate_is_told(fleet: Fleet) -> None:
    (fleet.root / "overlays/chat/candidate.yaml").write_text("release: 1\n")
    found = status.plan(Tree(fleet.root))
    assert [item.code for item in found.findings] == ["CF163"]
    with pytest.raises(Problems, match="CF015"):
        status.plan(Tree(fleet.root), ["none"])


def test_since_is_said_in_one_unit() -> None:
    for seconds, said in (
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7200, "2h"),
        (90_000, "25h"),
        (172_800, "2d"),
    ):
        row = _row("c0", kind="Verified", reason="Proven", since=NOW - timedelta(seconds=seconds))
        assert re.search(rf"Proven +{said}$", view.text(_status([row]), io.StringIO()), re.MULTILINE)
