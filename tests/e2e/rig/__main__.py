"""The command line: `python -m rig build | up | test | apply`."""

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from rig import fleet, tools
from rig.kube import Kube, Object
from rig.manifests import apply_path
from rig.processes import die_with_parent, resources
from rig.rollouts import describe, get_rollout, observed, phase
from rig.session import Rig
from rig.waiting import RigError, WaitTimeoutError, wait_until

SETTLED = ("Healthy", "Degraded", "Paused")
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run one command."""
    parser = _parser()
    arguments, others = parser.parse_known_args(argv)
    if others and arguments.run is not test:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    arguments.others = others
    return in_order(lambda: arguments.run(arguments))


def in_order(act: Callable[[], int]) -> int:
    """The exit code of a command that ends what it started, also when it is interrupted."""
    _heed_signals()
    try:
        return act()
    except RigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def build(arguments: argparse.Namespace) -> int:
    """Build the programs that are missing, or those named."""
    tools.require()
    tools.build(arguments.names or None)
    return 0


def up(arguments: argparse.Namespace) -> int:
    """Start the fleet and keep it until interrupted."""
    tools.require()
    fleet.refuse_a_second()
    start = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), Rig() as rig:
        running = fleet.start(rig)
        for member in running.members:
            print(f"{member.name} (Argo Rollouts {member.rollouts}): KUBECONFIG={member.kube.kubeconfig}")
            print(f"    gateway http://127.0.0.1:{member.client.gateway_port}")
            print(f"    a proxy as a pod in the mesh has it http://127.0.0.1:{member.client.proxy_port}")
        print(f"prometheus: {running.prometheus}, scrapes what stands in {running.targets}")
        print(f"logs: {running.logs}")
        print("to try it, in another terminal, from tests/e2e:")
        print("    ../../.venv/bin/python -m rig apply ../../overlays/mcp-tools/clusters/eu-west-1a")
        kubectl = shlex.join([str(tools.kubectl()), "--kubeconfig", str(running.members[0].kube.kubeconfig)])
        print(f"    {kubectl} get rollouts,analysisruns,pods --all-namespaces")
        gateway = f"http://127.0.0.1:{running.members[0].client.gateway_port}"
        print(f"    curl -H 'Host: tools.acme.example' {gateway}")
        print(f"up after {time.monotonic() - start:.1f} s; interrupt to end", flush=True)
        try:
            while True:
                rig.supervisor.check()
                time.sleep(1)
        finally:
            fleet.stopped()
    return 0


def test(arguments: argparse.Namespace) -> int:
    """Build what is missing, start the fleet, run pytest on it, and end everything."""
    with own_rig() as rig:
        report = rig.directory / "tests.xml"
        with _pytest([f"--junitxml={report}", *arguments.others]) as tests:
            bring_up(rig)  # while the tests are collected
            try:
                return tests.wait()
            finally:
                print(f"what ran: {report}")


@contextlib.contextmanager
def own_rig() -> Iterator[Rig]:
    """Build what is missing, and have a rig for a fleet that the tests that this process starts will find."""
    tools.require()
    tools.build()
    start = time.monotonic()
    with Rig() as rig:
        os.environ[fleet.STATE] = str(rig.directory / "fleet.json")  # its own: other fleets may be up
        try:
            yield rig
            rig.supervisor.check()
            print(f"tests: {time.monotonic() - start:.0f} s in all; {resources(rig.supervisor)}")
        finally:
            fleet.stopped()


def bring_up(rig: Rig) -> None:
    """Start the fleet, and say so."""
    start = time.monotonic()
    running = fleet.start(rig)
    print(f"fleet up after {time.monotonic() - start:.1f} s; logs: {running.logs}", flush=True)


@contextlib.contextmanager
def _pytest(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """pytest in a session of its own, ended with us: a Ctrl-C reaches it once."""
    command = [*die_with_parent(), sys.executable, "-m", "pytest", *arguments]
    # Where a machine keeps no byte code (containers say so), each of hundreds of processes would compile all of it.
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tools.RUN / "bytecode")}
    with subprocess.Popen(command, start_new_session=True, env={**os.environ, **kept}) as child:
        try:
            yield child
        except BaseException:
            _end(child)
            raise


def _end(child: subprocess.Popen[bytes]) -> None:
    begun = Path(os.environ[fleet.STATE]).exists()  # before that nearly all tests wait for the fleet
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGINT)
    try:
        child.wait(30 if begun else 3)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)


def apply(arguments: argparse.Namespace) -> int:
    """Apply a folder or file and print what the controller makes of its Rollouts."""
    kube = _cluster(arguments.cluster)
    objects = apply_path(kube, arguments.path)
    print(f"applied {len(objects)} objects")
    failed = False
    for rollout in (o for o in objects if o["kind"] == "Rollout"):
        print(describe(_settle(kube, rollout, arguments.wait)))
        failed = failed or phase(_read(kube, rollout)) == "Degraded"
    return 1 if failed else 0


def _settle(kube: Kube, rollout: Object, seconds: float) -> Object:
    def settled() -> Object | None:
        current = _read(kube, rollout)
        return current if observed(current) and phase(current) in SETTLED else None

    try:
        return wait_until(settled, "the Rollout settles", seconds, interval=0.3)
    except WaitTimeoutError:
        return _read(kube, rollout)


def _read(kube: Kube, rollout: Object) -> Object:
    metadata = rollout["metadata"]
    return get_rollout(kube, metadata.get("namespace", "default"), metadata["name"])


def _cluster(name: str) -> Kube:
    members = {member.name: member for member in fleet.attach().members}
    if name not in members:
        raise RigError(f"no cluster {name}; there are: {', '.join(members)}")
    return members[name].kube


def _heed_signals() -> None:
    """Let what ends a program end it in order; a hangup that is ignored (nohup) stays ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rig", description=__doc__)
    commands = parser.add_subparsers(required=True)

    build_command = commands.add_parser("build", help="build the programs")
    build_command.add_argument("names", nargs="*", help="only these")
    build_command.set_defaults(run=build)

    up_command = commands.add_parser("up", help="start the fleet and keep it")
    up_command.set_defaults(run=up)

    test_command = commands.add_parser(
        "test", help="start the fleet and run pytest on it; all else is for pytest"
    )
    test_command.set_defaults(run=test)

    apply_command = commands.add_parser("apply", help="apply a folder or file")
    apply_command.add_argument("path", type=Path)
    apply_command.add_argument("--cluster", default="c0")
    apply_command.add_argument("--wait", type=float, default=30.0, help="seconds")
    apply_command.set_defaults(run=apply)
    return parser


if __name__ == "__main__":
    sys.exit(main())
