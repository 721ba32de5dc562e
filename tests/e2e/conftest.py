"""The fleet, and apps on it; what happened to them is written down when a test fails."""

import itertools
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from app import App
from recording import record, recording
from rig import Fleet, Member, RigError, attach
from rig.gate import PASS, Gate, Reply
from rig.gitea import Gitea
from rig.processes import Supervisor

from agreed import disagreements

__all__ = ["record"]
VERSIONS = ("1.10", "1.9")
NEWEST = pytest.mark.parametrize("member", VERSIONS[:1], indirect=True)
"""For tests of what does not depend on the release of Argo Rollouts."""
AnyApp = TypeVar("AnyApp", bound=App)


def alternating(names: str, cases: Iterable[Any]) -> pytest.MarkDecorator:
    """Parametrize a test with cases, each on one release of Argo Rollouts in turn.

    For cases of one behaviour of the controller that differ in what is generated: each release has half of them.
    """
    in_turn = itertools.cycle((*VERSIONS, *reversed(VERSIONS)))  # so that pairs of pairs are mixed
    several = "," in names
    values = [
        (version, *case) if several else (version, case)
        for version, case in zip(in_turn, cases, strict=False)
    ]
    return pytest.mark.parametrize(f"member,{names}", values, indirect=["member"])


LONG = {
    "test_a_whole_fleet", "test_argocd", "test_forge", "test_bot_in_a_cluster", "test_lifecycle", "test_restarts", "test_status",
}  # fmt: skip
"""Modules and tests that take long."""
LATER = {"test_abort_time", "test_analysis", "test_features", "test_rollout_rules", "test_web_metrics"}
"""What is over soon, or times what the first minute, when all begin, would slow down."""
BUSY = {
    "test_every_committed_overlay_is_accepted_by_the_api_server", "test_istioctl_finds_nothing_in_what_is_generated",
    "test_everything_that_is_generated_is_accepted_by_the_api_server",
}  # fmt: skip
BRIEF = {"test_argocd_plugin", "test_rig"}
"""What waits for nothing but a processor: at once, and in small pieces."""
ORDER = (LONG, set[str](), LATER, BUSY, BRIEF)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that at the end nobody waits for one long test (with `--dist load`).

    What is busy comes last: it has the processors while the last canaries wait for their time to pass.
    """
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    """The last of `ORDER` that names the test, or its module; the second for all else."""
    names = {item.path.stem, item.name.partition("[")[0]}
    return max((place for place, those in enumerate(ORDER) if names & those), default=1)


APPS = pytest.StashKey[list[App]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--record DIR`: keep what the controllers did in some tests, for the unit tests to replay."""
    parser.addoption("--record", type=Path, help="folder to write recordings of the tests' scenarios to")


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    """The running fleet."""
    try:
        return attach()
    except RigError as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture(params=VERSIONS)
def member(request: pytest.FixtureRequest, fleet: Fleet) -> Member:
    """A cluster with each supported release of Argo Rollouts in turn."""
    return fleet.on(request.param, request.node.name)


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Iterator[Callable[[AnyApp], AnyApp]]:
    """Start an app, and close it when the test is over.

    Whatever the test is about: at no moment of it may a verdict have contradicted the controller.
    """
    apps: list[App] = []
    request.node.stash[APPS] = apps

    def start(app: AnyApp) -> AnyApp:
        apps.append(app)
        app.start()
        return app

    yield start
    rendered = [app for app in apps if app.applied and (app.overlays / "releases").exists()]
    try:
        contradictions = [
            line for app in rendered for line in disagreements(recording(app, request.node.name))
        ]
    finally:
        for app in apps:
            app.close()
    assert not contradictions, "\n".join(contradictions)


@pytest.fixture
def make_app(fleet: Fleet, member: Member, tmp_path: Path, keep: Callable[[App], App]) -> Callable[..., App]:
    """Make an app on the test's cluster: a name, and fields of its spec (`exposure__split="host"`)."""
    number = itertools.count()

    def make(name: str = "chat", **changes: Any) -> App:
        return keep(App(fleet, member, tmp_path / f"{name}-{next(number)}", name, changes))

    return make


@pytest.fixture
def make_gate(fleet: Fleet) -> Iterator[Callable[..., Gate]]:
    """Make a server before the fleet's Prometheus that answers so; `App.ask` leads an app to it."""
    gates: list[Gate] = []

    def make(*replies: Reply) -> Gate:
        gates.append(Gate(fleet.prometheus))
        gates[-1].behave(*(replies or (PASS,)))
        return gates[-1]

    yield make
    for gate in gates:
        gate.close()


@pytest.fixture
def programs(fleet: Fleet) -> Iterator[Supervisor]:
    """Where programs of a test's own are started; they end with it."""
    supervisor = Supervisor(fleet.logs)
    yield supervisor
    supervisor.stop_all()


@pytest.fixture
def gitea(fleet: Fleet, request: pytest.FixtureRequest) -> Iterator[Gitea]:
    """A real forge of the test's own; its log is beside those of the fleet."""
    supervisor = Supervisor(fleet.logs / _slug(request.node.name))
    server: Gitea | None = None
    try:
        server = Gitea.start(supervisor)
        yield server
    finally:
        supervisor.stop_all()
        if server:
            server.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure says what the controller did, and where everything that was seen is."""
    report = yield
    if report.when in {"setup", "call"} and report.failed:
        for app in item.stash.get(APPS, []):
            folder = app.fleet.logs.parent / "failures" / _slug(item.name)
            report.sections.append((f"{app.namespace} on {app.member.name}", app.story()))
            report.sections.append(("where", f"{app.dump(folder)}; programs' logs: {app.fleet.logs}"))
    return report


def _slug(name: str) -> str:
    """A test's name as a folder's."""
    return re.sub(r"\W+", "-", name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests have measured on the way, such as how soon an abort reached the users."""
    measured = {report.nodeid: report.user_properties for report in terminalreporter.getreports("passed")}
    if any(measured.values()):
        terminalreporter.section("measured")
    for test, found in sorted(measured.items()):
        for what, value in found:
            terminalreporter.write_line(f"{test}: {what}: {value}")
