"""`$(name)` in specs: where they may stand, and what they become.

`$(VAR)` with other names is Kubernetes' own expansion in env and args and passes untouched there;
cluster variables therefore all begin with `cluster.`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

REFERENCE = re.compile(r"\$\(([A-Za-z][A-Za-z0-9_.-]*)\)")
CLUSTER_PREFIX = "cluster."


def substitute(text: str, lookup: Callable[[str], str | None]) -> str:
    """Replace each `$(name)` for which `lookup` has a value; leave the others as they are."""
    if "$(" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        value = lookup(match.group(1))
        return match.group(0) if value is None else value

    return REFERENCE.sub(replace, text)


def substitute_all(value: Any, lookup: Callable[[str], str | None]) -> Any:
    """`substitute` on every string of plain data."""
    if isinstance(value, str):
        return substitute(value, lookup)
    if isinstance(value, dict):
        return {key: substitute_all(item, lookup) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [substitute_all(item, lookup) for item in value]
    return value


def names(value: Any) -> set[str]:
    """Names of all `$(name)` in the strings of plain data."""
    if isinstance(value, str):
        return set(REFERENCE.findall(value)) if "$(" in value else set()
    if isinstance(value, dict):
        return set().union(*(names(item) for item in value.values())) if value else set()
    if isinstance(value, list | tuple):
        return set().union(*(names(item) for item in value)) if value else set()
    return set()


def of_cluster(name: str, labels: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """What `$(cluster.X)` is on one cluster: its name, its variables, and `labels.KEY`."""
    known = {f"{CLUSTER_PREFIX}labels.{key}": value for key, value in labels.items()}
    known |= {CLUSTER_PREFIX + key: value for key, value in variables.items()}
    known[CLUSTER_PREFIX + "name"] = name
    return known
