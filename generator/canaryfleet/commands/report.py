"""`canaryfleet report CLUSTER`; `report html` is another command, and its first word decides: see page.py."""

import sys

from canaryfleet.commands import arguments, outcome
from canaryfleet.errors import EXIT_FINDINGS


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    if given[:1] == ["html"]:  # a cluster of that name is reported by `report -- html`
        from canaryfleet.commands import page

        return page.run(given[1:])
    parser = arguments.parser(
        "report",
        "Read the cluster that this runs in, sign what was seen, and push it to a Git ref of its own.",
        output=False,
    )
    parser.add_argument("cluster", metavar="CLUSTER", help="which one it is: clusters/<cluster>.yaml")
    parser.add_argument(
        "--key",
        required=True,
        metavar="FILE",
        help="private SSH key; the public one is in the cluster's file",
    )
    parser.add_argument(
        "--context", metavar="NAME", help="read it by a context of the kubeconfig, to try this from outside"
    )
    parser.add_argument(
        "--timeout", default="30s", metavar="TIME", help="limit for reading the cluster (default: 30s)"
    )
    options = arguments.parse(parser, given)
    timeout = arguments.seconds(options.timeout, "--timeout")
    from canaryfleet import status
    from canaryfleet.sources.pushed import push

    tree = arguments.tree(options.root)
    found = status.plan(tree)
    sighting = status.own(found, options.cluster, options.context, arguments.source(None, tree.root), timeout)
    ref = push(tree.root, sighting, options.key)
    outcome.show(found.findings, as_json=False)
    if sighting.problem:
        print(f"pushed to {ref} that nothing was seen: {sighting.problem.message}", file=sys.stderr)
        return EXIT_FINDINGS
    print(f"{len(sighting.apps)} apps of {options.cluster} pushed to {ref}")
    return outcome.code(found.findings)
