"""`diff` of one value of the inventory, as a whole process: on many clusters, and of many apps."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Run, Series, paired

BEFORE, AFTER = ".acme.example}", ".acme.test}"


def measure(fleets: Mapping[str, Path], rounds: int, diff: Callable[[Path], Run]) -> dict[str, Series]:
    """`diff` of each committed fleet by its name, in turns, while one cluster has another domain."""
    calls = {name: lambda root=root: _compared(root, diff) for name, root in fleets.items()}
    paired(1, calls)
    return paired(rounds, calls)


def _compared(root: Path, diff: Callable[[Path], Run]) -> Run:
    with another_domain(root):
        return diff(root)


@contextmanager
def another_domain(root: Path) -> Iterator[None]:
    """One cluster of the fleet is reached by another name, which every app's hosts follow at once."""
    file = min((root / "clusters").iterdir())
    text = file.read_text()
    changed = text.replace(BEFORE, AFTER)
    if changed == text:
        raise SystemExit(f"{file} has no domain to change")
    file.write_text(changed)
    try:
        yield
    finally:
        file.write_text(text)
