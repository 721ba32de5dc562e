"""`canaryfleet plan` on real files, and its times and batches against the rules that the bot goes by."""

import json
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec.structs import replace

from canaryfleet import cli, pointing, schedule
from canaryfleet.engines.argo_rollouts.course import Course, Stage, Watch, least
from canaryfleet.models.base import API_VERSION, Metadata
from canaryfleet.models.canary import Wave, Window
from canaryfleet.models.fleet import Fleet, Freeze
from canaryfleet.models.release import Release, ReleaseCluster, ReleaseMetadata, ReleaseWave
from canaryfleet.overlay import Pointer
from canaryfleet.plan import Given, opens, way
from canaryfleet.pointing import State
from canaryfleet.schema import FILES, schema_of
from support import PROPERTY

ROOT = Path(__file__).resolve().parents[2]
AT = "2026-11-06T10:00:00Z"  # a Friday
SPEC = "specs/mcp-tools/canary.yaml"
PROMOTION = "overlays/mcp-tools/promotion.yaml"
HEAD = "apiVersion: canaryfleet.dev/v1alpha1\nkind: Promotion\nmetadata: {name: mcp-tools}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the example repository with one app, without Git."""
    shutil.copy(ROOT / "fleet.yaml", tmp_path)
    shutil.copytree(ROOT / "clusters", tmp_path / "clusters")
    take(tmp_path, "mcp-tools")
    return tmp_path


def take(tree: Path, app: str) -> None:
    for folder in ("specs", "overlays"):
        shutil.copytree(ROOT / folder / app, tree / folder / app)


def edit(tree: Path, path: str, old: str, new: str) -> None:
    text = (tree / path).read_text()
    assert old in text
    (tree / path).write_text(text.replace(old, new, 1))


def text(tree: Path, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert cli.main(["plan", *words, "--at", AT, "--root", str(tree)]) == code
    return capsys.readouterr().out


def plan(tree: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The one app of the JSON, which is what its schema says."""
    found = json.loads(text(tree, capsys, *words, "--output", "json"))
    schema = json.loads((ROOT / "schemas/plan.schema.json").read_text())
    Draft202012Validator(schema).validate(found)
    (app,) = found["apps"]
    return dict(app)


GOLDEN = """\
mcp-tools in agents: 4.2.0-e4eaed6c58a9 (canary)
Git has 4.1.0-c18cea2cbbc1 on 8; 4.2.0-e4eaed6c58a9 on 4
WAVE   CLUSTERS                                OF FLEET  CAPACITY  AT A TIME            EACH  BEGINS                 ENDS                   NEEDS
pilot  all 1 have it                           8%        2%        -                    -     -                      -
share  all 3 have it                           25%       27%       -                    -     -                      -
rest   ap-east-1a, ap-northeast-1a and 6 more  67%       71%       3 (2 times), then 2  20m   Fri 2026-11-06 10:00Z  Fri 2026-11-06 11:00Z
at least 1h from Fri 2026-11-06 10:00Z; ends Fri 2026-11-06 11:00Z at the earliest
"""


def test_a_plan_as_people_read_it(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert text(tree, capsys) == GOLDEN


def test_times_wait_for_windows_and_freezes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take(tree, "assistant")
    rest = plan(tree, capsys, "assistant")["waves"][-1]
    # the tenth ends on Saturday: Mon-Thu from 9 in Berlin
    assert rest["begins"] == "2026-11-09T08:00:00Z"
    assert rest["batches"] == [1] * 6
    assert rest["approval"]
    # an hour each, the window closes at 16: all six are through
    assert rest["ends"] == "2026-11-09T14:00:00Z"
    edit(tree, "fleet.yaml", "2026-12-20T00:00:00Z", "2026-11-09T10:30:00Z")
    edit(tree, "fleet.yaml", "2027-01-04T00:00:00Z", "2026-11-16T10:30:00Z")
    assert plan(tree, capsys, "assistant")["waves"][-1]["ends"] == "2026-11-16T13:30:00Z"


@pytest.mark.parametrize(
    ("entry", "begins", "said"),
    [
        ("holds: [{by: ann, since: '2026-11-01T00:00:00Z', until: '2026-11-07T08:00:00Z', why: a}]", "2026-11-07T08:00:00Z", "held by ann"),
        ("holds: [{by: ann, since: '2026-11-01T00:00:00Z', why: \"x\\e[31m\\ny\"}]", None, "x\\x1b[31m\\ny"),
        ("bars: [{release: 4.2.0-e4eaed6c58a9, by: bot, since: '2026-11-01T00:00:00Z', why: bad}]", None, "barred by bot"),
    ],
)  # fmt: skip
def test_what_stops_it_is_named(
    tree: Path, capsys: pytest.CaptureFixture[str], entry: str, begins: str | None, said: str
) -> None:
    (tree / PROMOTION).write_text(f"{HEAD}{entry}\n")
    assert plan(tree, capsys)["waves"][-1].get("begins") == begins
    shown = text(tree, capsys)
    assert said in shown
    assert ("no end is known" in shown) is (begins is None)


def test_excused_clusters_are_in_no_batch(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / PROMOTION).write_text(
        f"{HEAD}excused: [{{cluster: us-east-1a, by: ann, since: '2026-11-01T00:00:00Z', why: a}}]\n"
    )
    rest = plan(tree, capsys)["waves"][-1]
    assert rest["excused"] == ["us-east-1a"]
    assert rest["batches"] == [3, 3, 1]
    assert "nobody waits for us-east-1a" in text(tree, capsys)


def test_a_spec_that_is_not_rendered_is_planned_as_render_would_make_it(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(tree, SPEC, "{weight: 10%, for: 5m}", "{weight: 10%, for: manual}")
    edit(tree, SPEC, "maxConcurrency: 3", "maxConcurrency: 5, approval: required")
    app = plan(tree, capsys)
    assert app["rendered"] is False
    assert app["manual"] == ["10%"]
    assert [wave["batches"] for wave in app["waves"]] == [[1], [3], [5, 3]]
    shown = text(tree, capsys)
    assert "which is not rendered: `canaryfleet render`" in shown
    assert "a person's approval of rest" in shown
    assert cli.main(["render", "--root", str(tree)]) == 0
    capsys.readouterr()
    after = plan(tree, capsys)
    assert after["rendered"] is True
    assert after == app | {"rendered": True}


def test_a_base_is_built_on_request_alone(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take(tree, "fraud")
    app = plan(tree, capsys, "fraud")
    assert app["rendered"] is None
    assert "--build" in app["notes"][0]
    assert plan(tree, capsys, "fraud", "--build")["rendered"] is True
    edit(tree, "specs/fraud/base/detector.yaml", "maxReplicas: 20", "maxReplicas: 24")
    built = plan(tree, capsys, "fraud", "--build")
    assert [item["setting"] for item in built["outside"]] == ["maxReplicas"]


def test_live_settings_that_follow_the_inventory(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(tree, SPEC, "max: 12", "max: 20")
    edit(tree, SPEC, "hosts: [tools.acme.example]", "hosts: [tools.acme.example, t.acme.example]")
    outside = plan(tree, capsys)["outside"]
    assert {(item["setting"], item["before"], item["after"]) for item in outside} == {
        ("maxReplicas", "12", "20"),
        ("hosts", "tools.acme.example", "tools.acme.example, t.acme.example"),
    }
    shown = text(tree, capsys)
    assert "outside of the canary: maxReplicas 12 becomes 20 on" in shown
    # those that `render` writes now, and those that it lets wait
    said = {
        when: {name for item in outside if item["when"] == when for name in item["clusters"]}
        for when in ("render", "rest")
    }
    assert cli.main(["render", "--output", "json", "--root", str(tree)]) == 0
    rendered = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of(FILES["rendered"])).validate(rendered)
    assert {item["cluster"] for item in rendered["waiting"]} == said["rest"]
    overlays = [path for path in rendered["changed"] if path.startswith("overlays/")]
    assert {path.split("/")[3] for path in overlays} == said["render"]
    assert len(said["rest"] | said["render"]) == 12


def test_what_merging_the_tree_changes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "one")
    git(tree, "checkout", "-qb", "change")
    assert text(tree, capsys) == GOLDEN
    edit(tree, SPEC, "max: 12", "max: 20")
    assert cli.main(["render", "--at-rest", "all", "--root", str(tree)]) == 0
    assert cli.main(["point", "mcp-tools", "--wave", "rest", "--verified", "all", "--root", str(tree)]) == 0
    capsys.readouterr()
    app = plan(tree, capsys)
    (change,) = app["outside"]
    assert (change["setting"], change["when"], len(change["clusters"])) == ("maxReplicas", "merge", 9)
    (move,) = app["moves"]
    assert (move["before"], move["after"]) == ("4.1.0-c18cea2cbbc1", "4.2.0-e4eaed6c58a9")
    assert len(move["clusters"]) == 3
    assert "at once, when this is merged" in text(tree, capsys)


def git(tree: Path, *words: str) -> None:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@acme.example"]
    subprocess.run(["git", *who, *words], cwd=tree, check=True, capture_output=True)


def test_a_freeze_for_ever_and_years_of_waiting_have_no_known_end(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(tree, SPEC, "port: 3000", "port: 3001")
    waves = "waves: [{name: all, maxConcurrency: 1, minSuccessTime: 9999d9999h999999m9999999s}]"
    path = tree / SPEC
    path.write_text(re.sub(r"^waves:\n(- .*\n|  .*\n)*", waves + "\n", path.read_text(), flags=re.MULTILINE))
    made = plan(tree, capsys)
    assert made["waves"][0]["ends"][:1] == "2"
    edit(tree, SPEC, "maxConcurrency: 1,", "windows: [{days: Mon, from: '09:00', to: '10:00'}],")
    for_ever = "freezes:\n- {name: ever, from: '2020-01-01T00:00:00Z', to: '9999-12-31T23:59:59Z', why: x}"
    edit(tree, "fleet.yaml", "freezes:", for_ever)
    assert "ends" not in plan(tree, capsys)


def test_one_bad_app_hides_no_other(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take(tree, "embeddings")
    edit(tree, SPEC, "port: 3000", "prot: 3000")
    assert cli.main(["plan", "--root", str(tree)]) == 1
    shown = capsys.readouterr()
    assert "CF030" in shown.err
    assert "embeddings in inference" in shown.out


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("    duration: 5m", "    duration: soon", 1),
        ("- setWeight: 10", "- setWeight: [10]", 1),
        ("templateName: mcp-tools-steps", "templateName: none", 1),
        ("  - ap-southeast-2a", "  - atlantis", 1),
        ("namespace: agents", 'namespace: "age\\x1b[31mnts"', 0),
    ],
)
def test_a_release_that_somebody_wrote(
    tree: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, code: int
) -> None:
    edit(tree, "overlays/mcp-tools/releases/4.2.0-e4eaed6c58a9/release.yaml", old, new)
    for words in (["plan"], ["forecast", "mcp-tools", "--runs", "2"]):
        assert cli.main([*words, "--root", str(tree)]) == code
        shown = capsys.readouterr()
        assert "\033" not in shown.out + shown.err
        assert ("CF163" in shown.err) is bool(code)


@pytest.mark.parametrize(
    "at",
    [
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
        "soon",
        "2026-11-06T10:00:00",
        "2026-13-06T10:00:00Z",
        "99999999999d",
    ],
)
def test_a_time_that_is_none(tree: Path, capsys: pytest.CaptureFixture[str], at: str) -> None:
    assert cli.main(["plan", "--at", at, "--root", str(tree)]) == 2
    assert "--at" in capsys.readouterr().err


def test_a_table_fits_the_terminal(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = text(tree, capsys).split("\n")
    assert lines[2].startswith("\033[1mWAVE")
    assert all(len(line.removeprefix("\033[1m").removesuffix("\033[0m")) <= 100 for line in lines[2:6])


# Against the rules


def given_waves(
    waves: Sequence[ReleaseWave], windows: Sequence[Window] = (), had: Collection[str] = ()
) -> Given:
    """`had`: clusters that have the release before."""
    names = [name for wave in waves for name in wave.members]
    release = Release(
        apiVersion=API_VERSION, kind="Release", metadata=ReleaseMetadata(name="app", namespace="ns"),
        id="1-a", version="1", digest="d", workload="w", selector={}, engine="argo-rollouts", routing="istio",
        strategy="canary", tools={}, waves=tuple(waves), files={},
        clusters={name: ReleaseCluster(pod="p") for name in names},
    )  # fmt: skip
    fleet = Fleet(apiVersion=API_VERSION, kind="Fleet", metadata=Metadata(name="f"))
    live = {wave.name: Wave(name=wave.name, windows=tuple(windows)) for wave in waves}
    now = datetime.fromisoformat(AT)
    before = replace(release, id="0-b", workload="v")
    pointers = dict.fromkeys(had, Pointer(before.id, None))
    releases = {item.id: item for item in (before, release)}
    state = State(release, releases, pointers, None, fleet, live, (), now)
    return Given(release, state, Course((Stage("5%", 5, 600),), (), 0, {}), {}, 0)


@PROPERTY
@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 5) | st.sampled_from(["10%", "34%", "100%"])),
        min_size=1,
        max_size=4,
    )
)
def test_batches_are_those_that_the_rules_give(sizes: list[tuple[int, int | str]]) -> None:
    """Pointing the waves batch by batch, everything verified each time, takes exactly the plan's batches."""
    waves = [
        ReleaseWave(
            name=f"w{place}", members=tuple(f"c{place}-{n}" for n in range(size)), maxConcurrency=most
        )
        for place, (size, most) in enumerate(sizes)
    ]
    about = given_waves(waves, had=[name for wave in waves for name in wave.members])
    taken: list[tuple[str, int]] = []
    state = about.state
    for wave in waves:
        while found := pointing.batch(state, wave, pointing.waiting(state, wave)).pointers:
            taken.append((wave.name, len(found)))
            pointers = {**state.pointers, **found}
            state = state._replace(pointers=pointers, verified=_given(pointers, about))
    made = way(about)
    assert [(wave.name, size) for wave in made.waves for size in wave.batches] == taken
    assert made.least == 600 * len(taken)
    assert made.ends == about.state.now + timedelta(seconds=made.least)


DAYS = st.sampled_from(["Mon", "Tue-Thu", "Fri,Sun", "Sat-Mon", "Mon-Sun"])
CLOCK = st.sampled_from(["00:00", "02:30", "09:00", "23:30"])


@PROPERTY
@given(
    windows=st.lists(st.builds(lambda d, f, t, z: Window(days=d, from_=f, to=t, timezone=z), DAYS, CLOCK,
                               st.sampled_from(["01:00", "08:00", "16:00", "24:00"]),
                               st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])), max_size=3),
    minutes=st.integers(0, 60 * 24 * 400),
    freezes=st.lists(st.tuples(st.integers(-100, 100), st.integers(0, 200)), max_size=2),
)  # fmt: skip
def test_a_wave_begins_as_soon_as_nothing_stops_it(
    windows: list[Window], minutes: int, freezes: list[tuple[int, int]]
) -> None:
    about = given_waves([ReleaseWave(name="w", members=("c",))], windows)
    since = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    frozen = [
        Freeze(name="f", from_=schedule.written(begin), to=schedule.written(begin + timedelta(hours=length)))
        for begin, length in ((since + timedelta(hours=start), length) for start, length in freezes)
    ]
    state = about.state._replace(fleet=replace(about.state.fleet, freezes=tuple(frozen)))
    found = opens(state, about.release.waves[0], since)
    assert found is not None
    assert found >= since

    def stopped(at: datetime) -> bool:
        return bool(pointing.stops(state._replace(now=at), about.release.waves[0]))

    assert not stopped(found)
    quarters = (found - since) // timedelta(minutes=15)
    assert all(stopped(found - timedelta(minutes=15 * step)) for step in range(1, quarters + 1))


def _given(pointers: Mapping[str, Pointer], about: Given) -> set[str]:
    return {name for name, pointer in pointers.items() if pointer.release == about.release.id}


def test_a_first_deployment_takes_no_steps() -> None:
    """The bake begins with it; one cluster of a wave that has the app already takes the steps, and the wave with it."""
    waves = [ReleaseWave(name=name, members=(name, f"{name}2"), minSuccessTime="1h") for name in "ab"]
    watch = Watch("errors", 60, 600, 30, 0, 3)
    course = Course((Stage("5%", 5, 600, (watch,)),), (), 0, {"a": (watch,), "b": (watch,)})
    about = given_waves(waves, had=["b2"])._replace(course=course, startup=300)
    assert [wave.least for wave in way(about).waves] == [300 + 3600, 300 + 600 + 2 * 60 + 3600]


def test_the_least_time_of_a_cluster() -> None:
    watch = Watch("errors", 60, 600, 30, 0, 3)
    course = Course((Stage("5%", 5, 600, (watch,)), Stage("50%", 50, None)), (), 0, {"a": (watch,)})
    assert course.manual == ("50%",)
    wave = ReleaseWave(name="a", members=(), minSuccessTime="1h")
    assert least(course, wave, 300) == 300 + 600 + 2 * 60 + 3600
    # minSuccessTime of a wave in which nothing is measured is no time
    assert least(course, ReleaseWave(name="b", members=(), minSuccessTime="1h"), 0) == 720
