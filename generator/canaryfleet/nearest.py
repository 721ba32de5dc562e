"""The known name that somebody probably meant."""

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """A remedy: "did you mean X?", or the list of what is known if nothing is near (at most 12).

    Of names with a `/` only those of the group that was named, if there is one: `vllm/ttft` finds vllm's.
    """
    from difflib import get_close_matches  # only when something is wrong: start-up time

    candidates = sorted(known)
    close = get_close_matches(name, candidates, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    group = name.partition("/")[0] + "/"
    candidates = [item for item in candidates if item.startswith(group)] or candidates
    shown = ", ".join(candidates[:12]) + (", …" if len(candidates) > 12 else "")
    return f"known: {shown}" if candidates else "none is known"


def typo(name: str, known: Iterable[str]) -> str | None:
    """The known name that this nearly is; None if it is one of them, or like none: then it is another name."""
    from difflib import get_close_matches

    candidates = sorted(known)
    close = get_close_matches(name, candidates, n=1, cutoff=0.8)
    return close[0] if close and name not in candidates else None
