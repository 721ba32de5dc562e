"""The pod template: containers, environment, resources and settings (CF228 to CF230)."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from canaryfleet.engines.argo_rollouts.validate.names import is_label, is_qualified, is_subdomain
from canaryfleet.engines.argo_rollouts.validate.plain import (
    Entry,
    Object,
    Path,
    as_list,
    as_map,
    as_text,
    as_whole,
    at,
    each,
    entries,
    maps,
    short,
)
from canaryfleet.engines.argo_rollouts.validate.world import Rule, Violation, World, bad, kind_of
from canaryfleet.quantity import kubernetes_quantity

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")


def pod_path(*rest: str | int) -> Path:
    return ("spec", "template", "spec", *rest)


def has_own_template(item: Object) -> bool:
    return kind_of(item) != "Rollout" or at(item, "spec", "workloadRef") is None


def containers_of(item: Object) -> Iterator[Entry]:
    for field in ("containers", "initContainers"):
        yield from entries(item, *pod_path(field))


def port_names(container: dict[Any, Any]) -> set[str]:
    return {as_text(port, "name") for port in maps(container, "ports")}


def name_faults(
    item: Object, path: Path, one: dict[Any, Any], what: str, code: str, seen: set[str]
) -> Iterator[Violation]:
    """The name of a container or volume, which is added to those that were seen."""
    name, here = as_text(one, "name"), (*path, "name")
    if not is_label(name):
        message = f"{short(name)} can't name a {what}" if name else f"the {what} has no name"
        yield bad(item, here, code, message)
    elif name in seen:
        yield bad(item, here, code, f"two {what}s are named {name}")
    seen.add(name)


def _container_basics(item: Object, world: World) -> Iterator[Violation]:
    """Containers and their environment (CF228)."""
    if not has_own_template(item):
        return
    listed = at(item, *pod_path("containers"))
    if listed is None or listed == []:
        yield bad(item, pod_path("containers"), "CF228", "the pod template has no containers")
    seen: set[str] = set()
    for path, container in containers_of(item):
        yield from name_faults(item, path, container, "container", "CF228", seen)
        image = as_text(container, "image")
        if not image or image != image.strip():
            message = "the image has spaces around it" if image else "the container has no image"
            yield bad(item, (*path, "image"), "CF228", message)
        policy = container.get("imagePullPolicy")
        if policy is not None and policy not in PULL_POLICIES:
            message = f"{short(policy)} is not a pull policy"
            yield bad(item, (*path, "imagePullPolicy"), "CF228", message, ", ".join(PULL_POLICIES))
        yield from _environment(item, path, container)


def _environment(item: Object, path: Path, container: dict[Any, Any]) -> Iterator[Violation]:
    for here, variable in each(container, path, "env"):
        name = as_text(variable, "name")
        if not _ENV_NAME.fullmatch(name) or name == "." or name.startswith(".."):
            message = f"{short(name)} can't name a variable" if name else "the variable has no name"
            yield bad(item, (*here, "name"), "CF228", message, "letters, digits, -, _ and ., no digit first")
        if variable.get("value") and variable.get("valueFrom") is not None:
            yield bad(item, here, "CF228", f"{short(name)} has both value and valueFrom", "keep one of them")
        source = variable.get("valueFrom")
        if isinstance(source, dict) and len([key for key, value in source.items() if value is not None]) != 1:
            yield bad(item, (*here, "valueFrom"), "CF228", f"{short(name)} has not exactly one source")
        for key in ("configMapKeyRef", "secretKeyRef"):
            yield from reference_faults(item, (*here, "valueFrom", key), at(source, key), "CF228", key=True)
    for here, one in each(container, path, "envFrom"):
        given = [key for key in ("configMapRef", "secretRef") if one.get(key) is not None]
        if len(given) != 1:
            yield bad(item, here, "CF228", "not exactly one of configMapRef and secretRef")
        for key in given:
            yield from reference_faults(item, (*here, key), one[key], "CF228")


def reference_faults(
    item: Object, path: Path, reference: Any, code: str, *, name: str = "name", key: bool = False
) -> Iterator[Violation]:
    """A pod's reference to a ConfigMap or Secret has a name, and a key where it needs one."""
    if not isinstance(reference, dict):
        return
    text = as_text(reference, name)
    if not is_subdomain(text):
        message = f"{short(text)} can't name an object" if text else "the reference names nothing"
        yield bad(item, (*path, name), code, message)
    if key and not CONFIG_KEY.fullmatch(as_text(reference, "key")):
        yield bad(item, (*path, "key"), code, "the reference has no key")


# Fields of the pod: the field, what is wrong with its value, the message about it, the remedy.
_SETTINGS: tuple[tuple[str, Callable[[Any], bool], str, str], ...] = (
    ("restartPolicy", lambda it: it not in (None, "Always"), "restartPolicy is {}", "Always is the only one here"),
    ("serviceAccountName", lambda it: as_text(it) != "" and not is_subdomain(as_text(it)), "{} can't name a ServiceAccount", ""),
    ("activeDeadlineSeconds", lambda it: it is not None, "activeDeadlineSeconds is for Jobs", "remove it"),
    ("terminationGracePeriodSeconds", lambda it: (as_whole(it) or 0) < 0, "terminationGracePeriodSeconds is negative", ""),
    ("ephemeralContainers", lambda it: as_list(it) != [], "ephemeralContainers are not for templates", "remove them"),
)  # fmt: skip


def _pod_settings(item: Object, world: World) -> Iterator[Violation]:
    """Settings of the pod (CF229)."""
    for field, is_wrong, message, remedy in _SETTINGS:
        value = at(item, *pod_path(field))
        if is_wrong(value):
            yield bad(item, pod_path(field), "CF229", message.format(short(value)), remedy)


def _resources(item: Object, world: World) -> Iterator[Violation]:
    """Resources (CF230)."""
    for path, container in containers_of(item):
        amounts: dict[str, dict[str, Decimal]] = {"limits": {}, "requests": {}}
        for field, found in amounts.items():
            for name, value in as_map(container, "resources", field).items():
                here = (*path, "resources", field, str(name))
                if not isinstance(name, str) or not _is_resource(name):
                    message = f"{short(name)} is not a resource of containers"
                    yield bad(item, here, "CF230", message, "cpu, memory, or like nvidia.com/gpu")
                try:
                    found[str(name)] = kubernetes_quantity(value)
                except ValueError as error:
                    yield bad(item, here, "CF230", str(error))
        for field, found in amounts.items():
            for name, amount in found.items():
                if not _overcommits(name) and amount != amount.to_integral_value():
                    here = (*path, "resources", field, name)
                    yield bad(item, here, "CF230", f"{name} comes in whole numbers")
        yield from _requests_within(item, (*path, "resources", "requests"), **amounts)


def _requests_within(
    item: Object, path: Path, limits: Mapping[str, Decimal], requests: Mapping[str, Decimal]
) -> Iterator[Violation]:
    for name, amount in requests.items():
        here, limit, exact = (*path, name), limits.get(name), not _overcommits(name)
        if limit is not None and amount > limit:
            message = f"more {name} is requested than its limit"
            yield bad(item, here, "CF230", message, "lower the request or raise the limit")
        elif limit is None and exact:
            message = f"{name} is requested without a limit"
            yield bad(item, here, "CF230", message, "set the limit to the same")
        elif amount != limit and exact:
            message = f"request and limit of {name} differ"
            yield bad(item, here, "CF230", message, "set both to the same")


def _is_resource(name: str) -> bool:
    if "/" not in name:
        return name in STANDARD_RESOURCES or name.startswith("hugepages-")
    return is_qualified(name) and not name.startswith("requests.")


def _overcommits(name: str) -> bool:
    return ("/" not in name or "kubernetes.io/" in name) and not name.startswith("hugepages-")


RULES: tuple[Rule, ...] = (
    _container_basics,
    _pod_settings,
    _resources,
)
