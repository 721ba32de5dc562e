"""The command line: `python -m rig build | up | apply`."""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from rig import tools
from rig.kube import Kube, Object
from rig.manifests import apply_path
from rig.rollouts import describe, get_rollout, observed, phase
from rig.session import Rig
from rig.waiting import RigError, WaitTimeoutError, wait_until

STATE = "current.json"
SETTLED = ("Healthy", "Degraded", "Paused")


def main(argv: list[str] | None = None) -> int:
    """Run one command."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except RigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return code


def build(arguments: argparse.Namespace) -> int:
    """Build the programs that are missing, or those named."""
    for name, seconds in tools.build(arguments.names or None).items():
        print(f"{name}: {seconds:.0f} s")
    return 0


def up(arguments: argparse.Namespace) -> int:
    """Start a rig and keep it until interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    start = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), Rig() as rig:
        clusters = rig.start_clusters(arguments.clusters, arguments.rollouts)
        for cluster in clusters:
            print(f"{cluster.name}: KUBECONFIG={cluster.kube.kubeconfig}")
            if arguments.traffic:
                mesh = rig.start_mesh(cluster)
                print(f"{cluster.name}: gateway http://127.0.0.1:{mesh.gateway_port}")
                print(f"{cluster.name}: in-mesh HTTP proxy http://127.0.0.1:{mesh.proxy_port}")
        if arguments.prometheus:
            print(f"prometheus: {rig.start_prometheus().url}")
        _write_state(rig)
        print(f"logs: {rig.supervisor.logs}")
        print(f"up after {time.monotonic() - start:.1f} s; interrupt to end", flush=True)
        while True:
            rig.supervisor.check()
            time.sleep(1)
    (tools.RUN / STATE).unlink(missing_ok=True)
    return 0


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


def _write_state(rig: Rig) -> None:
    state = {
        "pid": os.getpid(),
        "clusters": {
            c.name: {
                "server": c.kube.server,
                "token": c.kube.token,
                "kubeconfig": str(c.kube.kubeconfig),
                "cache": str(c.kube.cache),
            }
            for c in rig.clusters
        },
    }
    (tools.RUN / STATE).write_text(json.dumps(state, indent=2))


def _cluster(name: str) -> Kube:
    path = tools.RUN / STATE
    if not path.exists():
        raise RigError("no rig is up: run `python -m rig up` first")
    clusters = json.loads(path.read_text())["clusters"]
    if name not in clusters:
        raise RigError(f"no cluster {name}; there are: {', '.join(clusters)}")
    found = clusters[name]
    return Kube(
        server=found["server"],
        token=found["token"],
        kubeconfig=Path(found["kubeconfig"]),
        cache=Path(found["cache"]),
    )


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rig", description=__doc__)
    commands = parser.add_subparsers(required=True)

    build_command = commands.add_parser("build", help="build the programs")
    build_command.add_argument("names", nargs="*", help="only these")
    build_command.set_defaults(run=build)

    up_command = commands.add_parser("up", help="start clusters and keep them")
    up_command.add_argument("--clusters", type=int, default=1)
    up_command.add_argument("--rollouts", choices=tools.ROLLOUTS_VERSIONS, default="1.10")
    up_command.add_argument("--traffic", action="store_true", help="with pilot and Envoys")
    up_command.add_argument("--prometheus", action="store_true")
    up_command.set_defaults(run=up)

    apply_command = commands.add_parser("apply", help="apply a folder or file")
    apply_command.add_argument("path", type=Path)
    apply_command.add_argument("--cluster", default="c0")
    apply_command.add_argument("--wait", type=float, default=30.0, help="seconds")
    apply_command.set_defaults(run=apply)
    return parser


if __name__ == "__main__":
    sys.exit(main())
