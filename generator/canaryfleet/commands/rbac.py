"""`canaryfleet rbac`."""

import sys

from canaryfleet.commands import arguments, outcome


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "rbac",
        "Print what a cluster has to allow, so that its status can be read: `kubectl apply -f -`.",
        output=False,
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--user", metavar="NAME", help="for this user, instead of a service account")
    who.add_argument("--group", metavar="NAME", help="for this group of users")
    parser.add_argument(
        "--bot",
        action="store_true",
        help="the bot runs on this cluster too: its replicas share apps by Leases",
    )
    options = arguments.parse(parser, given)
    from canaryfleet import rbac, status

    found = status.plan(arguments.tree(options.root), options.apps)
    outcome.show(found.findings, as_json=False)
    reader = rbac.user(options.user) if options.user else rbac.group(options.group) if options.group else None
    sys.stdout.write(rbac.text(status.questions(found), reader, bot=options.bot))
    return outcome.code(found.findings)
