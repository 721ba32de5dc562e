"""What ends a question, or all questions to a cluster, before it is answered."""

from canaryfleet.models.observation import Problem, ProblemKind

_FINAL: frozenset[ProblemKind] = frozenset(
    ("unreachable", "timeout", "unauthorized", "foreign", "misconfigured")
)
_LONGEST = 300  # characters of what somebody else said


class Trouble(Exception):
    """Why there is no answer. `final`: there will be none to any other question either."""

    def __init__(self, kind: ProblemKind, message: str, remedy: str = "") -> None:
        self.problem = Problem(kind=kind, message=message, remedy=remedy)
        self.final = kind in _FINAL
        super().__init__(message)


def quoted(text: str, secrets: tuple[str, ...] = ()) -> str:
    """What somebody else said, as one short line, without the secrets that we told them."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"
