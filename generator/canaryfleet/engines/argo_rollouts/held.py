"""Digests of what an API server and the controller hold: the same as of what stands in Git, however it is written.

The controller reads a whole Rollout into Go's structs and writes it back with each revision (rollout/sync.go,
setRolloutRevision), and makes runs out of templates: what says nothing is left out (`omitempty`) or comes in
(structs that are no pointers), quantities get their canonical form, and the CRDs have defaults. All of that
is taken off on both sides, and with it the difference between a zero and nothing.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from canaryfleet.digest import stamp
from canaryfleet.engines.argo_rollouts.analysis import WINDOW
from canaryfleet.models.observation import Raw
from canaryfleet.quantity import kubernetes_quantity

# Of the CRDs (manifests/crds) and of Go's structs: the name, and where it is not everywhere, what it stands in.
DEFAULTS = {
    ("", "protocol", "TCP"),
    ("", "divisor", "0"),
    ("datadog", "interval", "5m"),
    ("datadog", "apiVersion", "v1"),
}
AMOUNTS = frozenset({"limits", "requests"})  # maps of quantities
AMOUNT = frozenset({"sizeLimit", "divisor"})


def content(template: Raw) -> str:
    """Digest of a pod template, with the stamps in it."""
    return stamp(_plain(template))


def measures(spec: Raw, window: str | None) -> str:
    """Digest of what a run or a template measures, and of the window that it is given for that."""
    asked = {key: spec.get(key) for key in ("metrics", "dryRun", "measurementRetention")}
    return stamp(_plain(asked | {"window": window}))


def given_window(arguments: Iterable[Raw]) -> str | None:
    """The window among arguments; None if there is none."""
    return next((item.get("value") for item in arguments if item.get("name") == WINDOW), None)


def _plain(value: Any, name: str = "") -> Any:
    """A value that stands under a name, without what says nothing."""
    if isinstance(value, dict):
        return dict(_said(value, name))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _said(value: Raw, name: str) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        plain = _amount(item) if name in AMOUNTS or key in AMOUNT else _plain(item, key)
        if plain and not (isinstance(plain, str) and _default(name, key, plain)):
            yield key, plain


def _default(name: str, key: str, text: str) -> bool:
    return ("", key, text) in DEFAULTS or (name, key, text) in DEFAULTS


def _amount(value: Any) -> Any:
    try:
        return str(kubernetes_quantity(value).normalize())
    except ValueError:
        return value
