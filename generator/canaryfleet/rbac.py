"""What a cluster has to allow, so that its status can be read: derived from the questions, and nothing more.

Roles are of the apps' namespaces. A question about one object allows to get every object of that kind
there, for a list of the pods beside it tells more, and a new app in the namespace needs no new Role; of
the cluster itself, one namespace may be seen, by its name: https://kubernetes.io/docs/reference/access-authn-authz/rbac/.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from canaryfleet.emit import emit_all
from canaryfleet.models.observation import IDENTITY, LEASES, Read

GROUP = "rbac.authorization.k8s.io"
NAME = "canaryfleet-reader"
BOT = "canaryfleet-bot"
NAMESPACE = "canaryfleet"
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
}
"""Of the bot's namespace, as deploy/bot has them: whoever applies both would take away what one of them leaves out."""
HEADER = "# What canaryfleet needs to read the status of this fleet's apps, made by `canaryfleet rbac`.\n"

Object = dict[str, Any]
Subject = Mapping[str, str]


def account(name: str = NAME, namespace: str = NAMESPACE) -> Subject:
    """A service account as the reader; `objects` makes it, and its namespace."""
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def user(name: str) -> Subject:
    """A user as the reader, as the cluster's authentication names them."""
    return {"kind": "User", "apiGroup": GROUP, "name": name}


def group(name: str) -> Subject:
    """A group of users as the readers."""
    return {"kind": "Group", "apiGroup": GROUP, "name": name}


def text(reads: Iterable[Read], reader: Subject | None = None, *, bot: bool = False) -> str:
    """The manifests as YAML, for `kubectl apply -f -`: everything that `objects` makes."""
    return HEADER + emit_all(objects(reads, reader, bot=bot))


def objects(reads: Iterable[Read], reader: Subject | None = None, *, bot: bool = False) -> list[Object]:
    """Roles and bindings that let `reader` (default: a service account) ask these questions.

    `reads`: of all apps of the fleet; which cluster a reader is on is always a question. `bot`: its
    replicas run on this cluster too, and share the work by Leases in their own namespace.
    """
    reader = reader or account()
    scopes: dict[str | None, list[Read]] = {}
    for read in (IDENTITY, *reads):
        scopes.setdefault(read.namespace, []).append(read)
    made = _account_objects(reader, RESTRICTED if bot else {})
    for scope in sorted(scopes, key=lambda scope: scope or ""):
        made += _role(scope, _rules(scopes[scope]), reader)
    return made + (_role(reader.get("namespace", NAMESPACE), [_SHARING], reader, BOT) if bot else [])


_SHARING: Object = {
    "apiGroups": [LEASES.group],
    "resources": [LEASES.resource],
    "verbs": ["create", "list", "update"],
}


def _rules(reads: Iterable[Read]) -> list[Object]:
    """One rule a resource; of what belongs to no namespace only the named objects."""
    verbs: dict[tuple[str, str, str], set[str]] = {}
    for read in reads:
        named = read.object if read.namespace is None and read.object else ""
        verbs.setdefault((read.group, read.resource, named), set()).add(read.verb)
    return [
        {"apiGroups": [api], "resources": [resource]}
        | ({"resourceNames": [named]} if named else {})
        | {"verbs": sorted(verbs[api, resource, named])}
        for api, resource, named in sorted(verbs)
    ]


def _role(scope: str | None, rules: list[Object], reader: Subject, name: str = NAME) -> list[Object]:
    kind = "Role" if scope else "ClusterRole"
    metadata = {"name": name} | ({"namespace": scope} if scope else {})
    api = {"apiVersion": f"{GROUP}/v1"}
    return [
        {**api, "kind": kind, "metadata": metadata, "rules": rules},
        {
            **api,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name},
            "subjects": [dict(reader)],
        },
    ]


def _account_objects(reader: Subject, labels: Mapping[str, str]) -> list[Object]:
    if reader["kind"] != "ServiceAccount":
        return []
    namespace = reader["namespace"]
    metadata = {"name": namespace} | ({"labels": dict(labels)} if labels else {})
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": reader["name"], "namespace": namespace},
        },
    ]
