"""Comparing generated trees with the expected ones, and renewing these."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import pytest

SHOWN = 80


@pytest.fixture
def compare(request: pytest.FixtureRequest) -> Callable[[Path, Mapping[str, bytes]], None]:
    """Compare files with an expected folder, or make it the same with `--renew`."""
    return _renew if request.config.getoption("--renew") else _compare


def _compare(folder: Path, files: Mapping[str, bytes]) -> None:
    lines = list(islice(_difference(_read(folder), files), SHOWN + 1))
    if lines:
        more = ["..."] if len(lines) > SHOWN else []
        advice = "If this is meant, renew the expected files with `make golden`, and read the difference."
        pytest.fail("\n".join([*lines[:SHOWN], *more, "", advice]), pytrace=False)


def _difference(expected: Mapping[str, bytes], files: Mapping[str, bytes]) -> Iterator[str]:
    for path in sorted({*expected, *files}):
        before, after = expected.get(path), files.get(path)
        if before != after:
            yield from difflib.unified_diff(
                _lines(before),
                _lines(after),
                "/dev/null" if before is None else f"expected/{path}",
                "/dev/null" if after is None else f"generated/{path}",
                lineterm="",
            )


def _lines(data: bytes | None) -> list[str]:
    """Lines as they are: `splitlines` would hide the ends of lines and of the file."""
    return [] if data is None else data.decode().split("\n")


def _renew(folder: Path, files: Mapping[str, bytes]) -> None:
    present = _read(folder)
    for path in set(present) - set(files):
        (folder / path).unlink()
    for path, data in files.items():
        if present.get(path) != data:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    _remove_empty(folder)


def _read(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _remove_empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
