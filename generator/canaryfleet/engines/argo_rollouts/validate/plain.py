"""Reading plain data of any shape: a value of the wrong type is taken for an absent one.

Each reader takes a value and the path below it: `as_text(item, "metadata", "name")`. Only the rule in
shapes.py reports what has the wrong type.
"""

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]
Path = tuple[str | int, ...]
Entry = tuple[Path, dict[Any, Any]]


def at(value: Any, *path: str | int) -> Any:
    """What stands at a path, or None."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def as_map(value: Any, *path: str | int) -> dict[Any, Any]:
    found = at(value, *path)
    return found if isinstance(found, dict) else {}


def map_or_none(value: Any, *path: str | int) -> dict[Any, Any] | None:
    """A mapping if there is one, an empty one too."""
    found = at(value, *path)
    return found if isinstance(found, dict) else None


def as_list(value: Any, *path: str | int) -> list[Any]:
    found = at(value, *path)
    return found if isinstance(found, list) else []


def as_text(value: Any, *path: str | int) -> str:
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def as_whole(value: Any, *path: str | int) -> int | None:
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def as_strings(value: Any, *path: str | int) -> dict[str, str]:
    """The part of a mapping that is text to text."""
    return {k: v for k, v in as_map(value, *path).items() if isinstance(k, str) and isinstance(v, str)}


def each(value: Any, path: Path, *below: str | int) -> Iterator[Entry]:
    """The mappings in the list below a value that stands at `path`, each with its path."""
    listed = enumerate(as_list(value, *below))
    return (((*path, *below, i), one) for i, one in listed if isinstance(one, dict))


def entries(item: Object, *path: str | int) -> list[Entry]:
    """The mappings in a list of an object, each with its path."""
    return list(each(item, (), *path))


def maps(value: Any, *path: str | int) -> list[dict[Any, Any]]:
    """The mappings in a list."""
    return [one for one in as_list(value, *path) if isinstance(one, dict)]


def short(value: Any) -> str:
    """A value in a message."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:60] + "..."
