"""Questions to the person at the terminal, each with the answer that Enter gives."""

import sys

from canaryfleet.errors import UsageError


def can_ask() -> bool:
    """Whether somebody is there who reads the questions and can answer them."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, default: str = "") -> str:
    """One answer. The question goes to standard error: standard output is the result's. Raises UsageError at the end."""
    print(f"{question}{f' [{default}]' if default else ''}: ", end="", file=sys.stderr, flush=True)
    try:
        return input().strip() or default
    except EOFError:
        print(file=sys.stderr)
        raise UsageError("there are no more answers; nothing has been written") from None
