"""`canaryfleet serve`."""

import os

from canaryfleet.commands import arguments
from canaryfleet.errors import UsageError

VARIABLE = "CANARYFLEET_APPLICATIONSET_TOKEN"


def run(given: list[str]) -> int:
    """Run the command; the return value is the exit code."""
    parser = arguments.parser(
        "serve",
        "Answer Argo CD's ApplicationSet plugin generator: one set of parameters for each app and cluster.",
        output=False,
    )
    parser.add_argument(
        "--revision", default="HEAD", metavar="REF", help="what is served, of this clone (default: HEAD)"
    )
    parser.add_argument("--listen", default=":4355", metavar="ADDRESS", help="default: :4355")
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"the token that Argo CD sends (default: the variable {VARIABLE})",
    )
    options = arguments.parse(parser, given)
    from canaryfleet.applicationset import serve
    from canaryfleet.web import address

    host, port = address(options.listen)
    found = arguments.tree(options.root).root
    # what was named, and not what it leads to now: git-sync turns its link to another folder with each commit
    root = os.path.abspath(options.root) if options.root else found
    return serve(root, options.revision, _token(options.token_file), host, port)


def _token(path: str | None) -> str:
    """The secret, without the line end that files have."""
    try:
        if path:
            with open(path, encoding="utf-8") as file:
                token = file.read(4096).strip()
        else:
            token = os.environ.get(VARIABLE, "").strip()
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"--token-file: {path} can't be read as text") from None
    if len(token) < 16:
        raise UsageError(f"a token of 16 characters or more is needed: in {path or VARIABLE}")
    return token
