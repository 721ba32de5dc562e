"""Argo CD's config-management plugin: what a call asks for, which parameters it announces, and its plugin.yaml.

Argo CD (cmpserver/plugin, v3.5) gives `spec.source.plugin.parameters` as JSON in ARGOCD_APP_PARAMETERS, and
`spec.source.plugin.env` as ARGOCD_ENV_<NAME>; defaults that are announced never arrive here. It takes exit 0
without output for an application without resources, and prunes everything: whatever is in doubt is an error.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from canaryfleet.errors import Place, Problems, problem

GIVEN = "ARGOCD_APP_PARAMETERS"
VARIABLE = "ARGOCD_ENV_"
NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_REMEDY = "name it in spec.source.plugin.parameters, or let spec.source.path be its overlay"


class Parameter(NamedTuple):
    """What an Application may say; where it says nothing, its path does."""

    name: str
    title: str
    tooltip: str


PARAMETERS = (
    Parameter(
        "app", "App", "Which app of the repository; default: that of overlays/<app>/clusters/<cluster>"
    ),
    Parameter("cluster", "Cluster", "On which cluster of the fleet; default: that of the path"),
)


def asked(environment: Mapping[str, str], path: str) -> tuple[str, str]:
    """App and cluster of a call. `path`: the working folder, from the repository's root.

    A parameter goes before a variable, and that before the path. Raises Problems (CF190) for one that is
    missing, empty, given twice or no name.
    """
    given, defaults = _given(environment.get(GIVEN)), of_path(path)
    app, cluster = (_value(item.name, given, environment, defaults) for item in PARAMETERS)
    return app, cluster


def _value(
    name: str, given: Mapping[str, str], environment: Mapping[str, str], defaults: Mapping[str, str]
) -> str:
    variable = VARIABLE + name.upper()
    found, place = next(
        (
            (values[key], place)
            for values, key, place in ((given, name, GIVEN), (environment, variable, variable))
            if key in values
        ),
        (defaults.get(name), "spec.source.path"),
    )
    if found is None:
        raise _wrong("spec.source.plugin", f"nothing says which {name} this is")
    if not NAME.fullmatch(found):
        raise _wrong(place, f"the {name} is {'empty' if not found else 'no name of one'}")
    return found


def _given(text: str | None) -> dict[str, str]:
    """The parameters that an Application gives; what it says may be missing, or null."""
    if not text:
        return {}
    import json

    try:
        entries = json.loads(text) or []
        pairs = [(entry["name"], entry["string"]) for entry in entries]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise _wrong(GIVEN, "this is no list of parameters, each with a name and a string") from None
    known = {item.name for item in PARAMETERS}
    if (
        not all(isinstance(word, str) for pair in pairs for word in pair)
        or {name for name, _ in pairs} - known
    ):
        raise _wrong(GIVEN, f"each parameter is a string, and one of {', '.join(sorted(known))}")
    if len(dict(pairs)) != len(pairs):
        raise _wrong(GIVEN, "a parameter is given twice")
    return dict(pairs)


def of_path(path: str) -> dict[str, str]:
    """The app and the cluster that a path of the repository names, as far as it does."""
    match path.split("/"):
        case ["overlays", app, "clusters", cluster]:
            return {"app": app, "cluster": cluster}
        case ["overlays" | "specs", app]:
            return {"app": app}
        case _:
            return {}


def _wrong(place: str, message: str) -> Problems:
    return problem(Place(place), "CF190", message, _REMEDY)


def announcements(path: str) -> list[dict[str, Any]]:
    """What Argo CD's form shows of each parameter, with the path's values (ParameterAnnouncement, as JSON)."""
    defaults = of_path(path)
    return [
        {
            "name": item.name,
            "title": item.title,
            "tooltip": item.tooltip,
            "required": item.name not in defaults,
            "itemType": "string",
            "collectionType": "string",
            "string": defaults.get(item.name, ""),
        }
        for item in PARAMETERS
    ]


def manifest() -> dict[str, Any]:
    """plugin.yaml. Without `discover`, which sends the whole repository twice: Applications name the plugin.

    Without a version too, or they would have to name that.
    """
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ConfigManagementPlugin",
        "metadata": {"name": "canaryfleet"},
        "spec": {
            "generate": {"command": ["canaryfleet"], "args": ["cmp", "generate"]},
            "parameters": {"dynamic": {"command": ["canaryfleet"], "args": ["cmp", "parameters"]}},
        },
    }
