"""Names, labels and annotations of objects (CF201 to CF203)."""

import re
from collections.abc import Iterator

from canaryfleet.engines.argo_rollouts.validate.plain import (
    Object,
    Path,
    as_map,
    as_strings,
    as_text,
    at,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.world import (
    Rule,
    Violation,
    World,
    bad,
    group_of,
    identity_of,
    kind_of,
    name_of,
)

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LOOSE_NAMES = frozenset({"rbac.authorization.k8s.io"})


def is_label(text: str) -> bool:
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_label_value(text: str) -> bool:
    return len(text) <= 63 and (not text or _WORD.fullmatch(text) is not None)


def is_qualified(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return (not slash or is_subdomain(prefix)) and len(name) <= 63 and _WORD.fullmatch(name) is not None


def _named(item: Object, world: World) -> Iterator[Violation]:
    """Names of objects (CF201)."""
    path: Path = ("metadata", "name")
    name, kind = name_of(item), kind_of(item)
    fits = is_label(name) if kind == "Namespace" else is_subdomain(name)
    if not name:
        yield bad(item, path, "CF201", "the object has no name")
    elif kind == "Service" and not (len(name) <= 63 and _SERVICE_NAME.fullmatch(name)):
        remedy = "at most 63 of a-z, 0-9 and -, a letter first"
        yield bad(item, path, "CF201", f"{short(name)} can't name a Service", remedy)
    elif kind in ("VirtualService", "DestinationRule") and "." in name:
        message = f"{short(name)} has a dot: after it, Argo Rollouts reads a namespace"
        yield bad(item, path, "CF201", message, "use -")
    elif group_of(item) not in _LOOSE_NAMES and not fits:
        remedy = "at most 253 of a-z, 0-9, - and ."
        yield bad(item, path, "CF201", f"{short(name)} can't name an object", remedy)
    namespace = at(item, "metadata", "namespace")
    if namespace is not None and not is_label(as_text(namespace)):
        yield bad(item, ("metadata", "namespace"), "CF201", f"{short(namespace)} can't name a namespace")


def _labelled(item: Object, world: World) -> Iterator[Violation]:
    """Labels and annotations of objects and of pods, and the labels of nodes that pods ask for (CF202)."""
    canary: Path = ("spec", "strategy", "canary")
    places: tuple[Path, ...] = (
        ("metadata",),
        ("spec", "template", "metadata"),
        (*canary, "canaryMetadata"),
        (*canary, "stableMetadata"),
    )
    for path in places:
        yield from _label_faults(item, (*path, "labels"), "label", "a label")
        yield from _label_faults(item, (*path, "annotations"), "annotation", "an annotation")
    yield from _label_faults(item, ("spec", "template", "spec", "nodeSelector"), "label", "a label")


def _label_faults(item: Object, path: Path, word: str, one: str) -> Iterator[Violation]:
    """Labels or annotations; the values of annotations are free, and their keys may have capitals."""
    found = at(item, *path)
    if found is not None and not isinstance(found, dict):
        yield bad(item, path, "CF202", f"{word}s are not a mapping")
    for key, value in as_map(found).items():
        here = (*path, str(key))
        if not isinstance(key, str) or not is_qualified(key if word == "label" else key.lower()):
            yield bad(item, here, "CF202", f"{short(key)} can't be the key of {one}")
        if not isinstance(value, str):
            yield bad(item, here, "CF202", f"the {word} {short(key)} is not text", "quote it")
        elif word == "label" and not is_label_value(value):
            remedy = "at most 63 letters, digits, -, _ and ., with a letter or digit at both ends"
            yield bad(item, here, "CF202", f"{short(value)} can't be the value of a label", remedy)
    texts = as_strings(found).items()
    size = sum(
        len(key.encode(errors="replace")) + len(value.encode(errors="replace")) for key, value in texts
    )
    if word == "annotation" and size > 256 * 1024:
        yield bad(item, path, "CF202", "the annotations are larger than 256 KiB")


def unique(item: Object, world: World) -> Iterator[Violation]:
    """One object of a name (CF203)."""
    if world.names[identity_of(item)] is not item and name_of(item):
        message = "another object has this kind, namespace and name"
        yield bad(item, ("metadata", "name"), "CF203", message, "keep one")


RULES: tuple[Rule, ...] = (_named, _labelled)
