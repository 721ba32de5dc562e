"""The bot as its pod runs it, where there are no pods: the service account's folder is elsewhere, Leases are shorter.

python replica.py FOLDER NAME reconcile --watch --lease …
"""

import sys
from functools import partial

from canaryfleet import cli, lease
from canaryfleet.sources import kubernetes

TIMES = lease.Times(duration=12.0, renew=8.0, turn=2.0)


def main() -> None:
    """Run a command line of canaryfleet."""
    folder, name, *sys.argv[1:] = sys.argv[1:]
    lease.InCluster = partial(lease.InCluster, service_account=folder)  # type: ignore[assignment, misc]
    lease.Leases = partial(lease.Leases, me=name, times=TIMES)  # type: ignore[assignment, misc]
    kubernetes.Kubernetes = partial(kubernetes.Kubernetes, service_account=folder)  # type: ignore[assignment, misc]
    cli.run()


if __name__ == "__main__":
    main()
