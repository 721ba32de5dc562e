"""Digests of what an API server and the controller hold: the same as of what stands in Git, however it is written.

The controller reads a whole Rollout into Go's structs and writes it back with each revision (rollout/sync.go,
setRolloutRevision), and makes runs out of templates: what says nothing is left out (`omitempty`) or comes in
(structs that are no pointers), quantities get their canonical form, and the CRDs have defaults. All of that
is taken off on both sides. What is a pointer in Go, a map of texts or anybody's JSON goes through as it is.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from canaryfleet.digest import stamp
from canaryfleet.models.observation import Raw
from canaryfleet.quantity import kubernetes_quantity

# Of the CRDs (manifests/crds) and of Go's structs: the name, and where it is not everywhere, what it stands in.
DEFAULTS = {
    ("", "protocol", "TCP"),
    ("", "divisor", "0"),
    ("datadog", "interval", "5m"),
    ("datadog", "apiVersion", "v1"),
    ("datadog", "requestTimeout", "10s"),
}
AMOUNTS = frozenset({"limits", "requests", "overhead"})  # maps of quantities
AMOUNT = frozenset({"sizeLimit", "divisor"})
# Pointers everywhere (core/v1, batch/v1, analysis_types.go): their zero stays, and is something else than nothing.
ZEROS = frozenset(
    [
        "activeDeadlineSeconds",
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "backoffLimit",
        "backoffLimitPerIndex",
        "completions",
        "consecutiveErrorLimit",
        "defaultMode",
        "enableServiceLinks",
        "fsGroup",
        "hostUsers",
        "maxFailedIndexes",
        "mode",
        "parallelism",
        "priority",
        "readOnlyRootFilesystem",
        "returnData",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "storageClassName",
        "terminationGracePeriodSeconds",
        "timeout",
        "tolerationSeconds",
        "ttlSecondsAfterFinished",
    ]
)
# Maps of texts, of which an empty one says something; and what is anybody's JSON.
TEXTS = frozenset({"labels", "annotations", "matchLabels", "nodeSelector", "volumeAttributes"})
FREE = frozenset({"jsonBody", "plugin"})


def content(template: Raw) -> str:
    """Digest of a pod template, with the stamps in it."""
    return stamp(_plain(template))


def environment(template: Raw) -> list[Any]:
    """What each container of a pod template is given as environment, without what the API server adds to a pod."""
    spec = template["spec"]
    found = [*spec.get("initContainers", ()), *spec.get("containers", ())]
    return [
        _plain([item["name"], list(_without_version(item.get("env", ()))), item.get("envFrom")])
        for item in found
    ]


def _without_version(variables: Iterable[Raw]) -> Iterator[Raw]:
    """`fieldRef.apiVersion` is v1 where nobody says so (core/v1/defaults.go, SetDefaults_ObjectFieldSelector)."""
    for item in variables:
        source = item.get("valueFrom") or {}
        field = source.get("fieldRef") or {}
        if field.get("apiVersion") == "v1":
            plain = {key: value for key, value in field.items() if key != "apiVersion"}
            yield item | {"valueFrom": source | {"fieldRef": plain}}
        else:
            yield item


def measures(spec: Raw, window: str | None) -> str:
    """Digest of what a run or a template measures, and of the window that it is given for that."""
    asked = {key: spec.get(key) for key in ("metrics", "dryRun", "measurementRetention")}
    return stamp(_plain(asked | {"window": window}))


def given(name: str, arguments: Iterable[Raw]) -> str | None:
    """The one value that arguments have for a name; None if there is none, or more than one."""
    found = [item.get("value") for item in arguments if item.get("name") == name]
    return found[0] if len(found) == 1 else None


def _plain(value: Any, name: str = "") -> Any:
    """A value that stands under a name, without what says nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _said(value, name)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _literal(value)


def _literal(value: Any) -> Any:
    """Data as it is; a whole number is the same with and without a point, and Go writes none."""
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_literal(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**63 else value


def _said(value: Raw, name: str) -> Raw:
    texts, amounts, found = name in TEXTS, name in AMOUNTS, {}
    for key, item in value.items():
        if item is None:
            continue
        if texts or key in FREE:
            found[key] = _literal(item)
            continue
        plain = _amount(item) if amounts or key in AMOUNT else _plain(item, key)
        if (plain or key in ZEROS) and not (isinstance(plain, str) and _default(name, key, plain)):
            found[key] = plain
    return found


def _default(name: str, key: str, text: str) -> bool:
    return ("", key, text) in DEFAULTS or (name, key, text) in DEFAULTS


def _amount(value: Any) -> Any:
    try:
        return str(kubernetes_quantity(value).normalize())
    except ValueError:
        return value
