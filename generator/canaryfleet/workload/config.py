"""Configuration that pods read, as objects named by their content."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from canaryfleet.digest import short
from canaryfleet.emit import emit
from canaryfleet.errors import Issue
from canaryfleet.models.canary import Canary
from canaryfleet.workload.objects import APP_LABEL, MANAGED_BY, Object


def own_config(spec: Canary, files: Mapping[str, bytes]) -> tuple[dict[str, Object], list[Issue]]:
    """ConfigMaps of the spec's prompts and config files, by `prompts` and `config`."""
    made: dict[str, Object] = {}
    issues: list[Issue] = []
    for kind in ("prompts", "config"):
        paths: tuple[str, ...] = getattr(spec.workload, kind)
        data: dict[str, str] = {}
        for index, path in enumerate(paths):
            key = path.rsplit("/", 1)[-1]
            if key in data:
                issues.append(
                    Issue(
                        ("workload", kind, index),
                        "CF115",
                        f"two files are named {key}",
                        "rename one: both are mounted into one folder",
                    )
                )
            text = _text(files[path])
            if text is None:
                issues.append(
                    Issue(
                        ("workload", kind, index),
                        "CF115",
                        f"{path} is not plain UTF-8 text",
                        "mount binary data as a volume",
                    )
                )
            data[key] = text or ""
        if sum(map(len, data.values())) > 1_000_000:
            issues.append(
                Issue(
                    ("workload", kind),
                    "CF115",
                    f"the {kind} are larger than a ConfigMap can be (1 MiB)",
                    "put them into the image or a volume",
                )
            )
        if data:
            made[kind] = _config_map(f"{spec.metadata.name}-{kind}", spec, data)
    return made, issues


def _text(data: bytes) -> str | None:
    """The text of a file; None for what a ConfigMap's `data` would not give back as it is."""
    try:
        text = data.decode()
        emit(text)
    except ValueError:
        return None
    return text


def _config_map(stem: str, spec: Canary, data: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{stem}-{short({'data': data})}",
            "namespace": spec.metadata.namespace,
            "labels": {APP_LABEL: spec.metadata.name} | MANAGED_BY,
        },
        "data": data,
    }


def mount(spec: Canary, template: Object, container: Object, own: Mapping[str, Object]) -> None:
    """Mount the spec's own configuration into the serving container."""
    for kind, item in own.items():
        path = spec.workload.promptsDir if kind == "prompts" else spec.workload.configDir
        name = f"canaryfleet-{kind}"
        template["spec"].setdefault("volumes", []).append(
            {"name": name, "configMap": {"name": item["metadata"]["name"]}}
        )
        container.setdefault("volumeMounts", []).append({"name": name, "mountPath": path, "readOnly": True})


def content_named(template: Object, carried: Sequence[Object]) -> tuple[list[Object], list[Object]]:
    """Take the base's ConfigMaps and Secrets that pods read out of `carried`, named by content.

    Stable pods that restart during a canary must find what they were started with, so an object
    whose name stays while its content changes won't do. Its old name stays for other readers.
    """
    config: list[Object] = []
    rest: list[Object] = []
    renamed: dict[tuple[str, str], str] = {}
    mounted = _mounted(template)
    for item in carried:
        kind, name = str(item.get("kind")), item["metadata"]["name"]
        if kind not in ("ConfigMap", "Secret") or (kind, name) not in mounted:
            rest.append(item)
            continue
        content = config_content(item)
        final = name if name.endswith(f"-{short(content)}") else f"{name}-{short(content)}"
        renamed[kind, name] = final
        config.append(item | {"metadata": item["metadata"] | {"name": final}})
    kept = [item for item in carried if (item.get("kind"), item["metadata"]["name"]) in renamed]
    rest += [item for item in kept if any(_names_it(other, item["metadata"]["name"]) for other in rest)]
    _rename(template, renamed)
    return config, rest


def config_content(item: Object) -> Object:
    """The part of a ConfigMap or Secret that its name is a digest of."""
    return {key: item[key] for key in ("data", "binaryData", "stringData", "type") if key in item}


# Where a pod names a ConfigMap or Secret: (key of the reference, key of the name, kind).
REFERENCES = (
    ("configMap", "name", "ConfigMap"),
    ("configMapRef", "name", "ConfigMap"),
    ("configMapKeyRef", "name", "ConfigMap"),
    ("secret", "secretName", "Secret"),
    ("secret", "name", "Secret"),
    ("secretRef", "name", "Secret"),
    ("secretKeyRef", "name", "Secret"),
)


def _visit(value: Any, found: Callable[[Object, str, str], None]) -> None:
    """Call `found(reference, key of the name, kind)` for each reference in a pod."""
    if isinstance(value, dict):
        for key, name_key, kind in REFERENCES:
            reference = value.get(key)
            if isinstance(reference, dict) and isinstance(reference.get(name_key), str):
                found(reference, name_key, kind)
        for item in value.values():
            _visit(item, found)
    elif isinstance(value, list):
        for item in value:
            _visit(item, found)


def _mounted(template: Object) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    _visit(template["spec"], lambda reference, key, kind: found.add((kind, reference[key])))
    return found


def _rename(template: Object, renamed: Mapping[tuple[str, str], str]) -> None:
    def rename(reference: Object, key: str, kind: str) -> None:
        reference[key] = renamed.get((kind, reference[key]), reference[key])

    _visit(template["spec"], rename)


def _names_it(value: Any, name: str) -> bool:
    if isinstance(value, dict):
        return any(_names_it(item, name) for item in value.values())
    if isinstance(value, list):
        return any(_names_it(item, name) for item in value)
    return bool(value == name)
