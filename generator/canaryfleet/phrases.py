"""How many there are, and which the first ones are: the same words wherever people read them."""

from collections.abc import Iterable, Sequence


def count(number: int, noun: str) -> str:
    """`1 wave`, `2 waves`, `1,000 waves`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def some(names: Sequence[str], most: int = 4) -> str:
    """The first names, and how many more there are: `a, b and 3 more`."""
    return listed(names[:most], len(names))


def listed(shown: Iterable[str], total: int) -> str:
    """The same of names that are written in another way already."""
    first = list(shown)
    more = f" and {total - len(first):,} more" if total > len(first) else ""
    return ", ".join(first) + more
