"""Access to one API server: kubectl for what changes, plain GETs for what is polled."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rig import tools
from rig.net import get_json, open_stream, send_json
from rig.processes import run
from rig.waiting import RigError

FIELD_MANAGER = "canaryfleet-e2e"
Object = dict[str, Any]


@dataclass(frozen=True)
class Kube:
    """A client with cluster-admin rights."""

    server: str
    token: str
    kubeconfig: Path
    cache: Path

    def write_kubeconfig(self, name: str) -> None:
        """Write the kubeconfig that kubectl and the controllers use."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": self.server, "insecure-skip-tls-verify": True},
                }
            ],
            "users": [{"name": name, "user": {"token": self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def raw_json(self, path: str) -> Any:
        """GET a path of the API and decode it."""
        return get_json(self.server + path, self.token)

    def watch(self, path: str, seconds: float) -> Iterator[Object]:
        """Yield the events of a watch on `path` until the server closes it."""
        joint = "&" if "?" in path else "?"
        url = f"{self.server}{path}{joint}watch=1&timeoutSeconds={int(seconds)}"
        with open_stream(url, self.token, seconds + 5) as lines:
            for line in lines:
                yield json.loads(line)

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl against this cluster and return what it printed."""
        base = (tools.kubectl(), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.cache}")
        return run([*base, *args], stdin=stdin)

    def apply(self, objects: Sequence[Object], *flags: str) -> str:
        """Server-side apply; conflicts are taken over, as a GitOps tool with `Force` does.

        JSON, because kubectl's YAML reads more words as booleans (`n`, `y`) than PyYAML quotes.
        """
        return self.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            f"--field-manager={FIELD_MANAGER}",
            *flags,
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}),
        )

    def apply_objects(self, objects: Sequence[Object]) -> None:
        """Server-side apply in order of kinds, with force and strict validation, without kubectl."""
        for one in sorted(objects, key=lambda o: rank(o["kind"])):
            self.apply_at(self.path_of(one), one)

    def path_of(self, one: Object) -> str:
        """The API path of an object, from the API's own discovery."""
        group = one["apiVersion"]
        base = f"/apis/{group}" if "/" in group else f"/api/{group}"
        known = _plurals(self, base)
        if one["kind"] not in known:
            raise RigError(f"{base} serves no {one['kind']}")
        plural, namespaced = known[one["kind"]]
        scope = f"/namespaces/{one['metadata'].get('namespace', 'default')}" if namespaced else ""
        return f"{base}{scope}/{plural}/{one['metadata']['name']}"

    def items_at(self, path: str) -> list[Object]:
        """The objects of a list, with the kind that the API server leaves out of items."""
        listed = self.raw_json(path)
        head = {"apiVersion": listed["apiVersion"], "kind": listed["kind"].removesuffix("List")}
        return [head | item for item in listed["items"]]

    def patch_at(self, path: str, patch: Object) -> None:
        """Merge-patch an object, or its status, without kubectl."""
        send_json("PATCH", self.server + path, self.token, patch, "application/merge-patch+json")

    def apply_at(self, path: str, manifest: Object, manager: str = FIELD_MANAGER) -> None:
        """Server-side apply one object without kubectl, where milliseconds matter."""
        url = f"{self.server}{path}?fieldManager={manager}&force=true&fieldValidation=Strict"
        send_json("PATCH", url, self.token, manifest, "application/apply-patch+yaml")

    def delete_at(self, path: str) -> None:
        """Delete one object without kubectl."""
        send_json("DELETE", self.server + path, self.token, {}, "application/json")

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        """Return one object."""
        scope = ["-n", namespace] if namespace else []
        found: Object = json.loads(self.kubectl("get", kind, name, *scope, "-o", "json"))
        return found

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Object]:
        """Return all objects of a kind, in one namespace or in all."""
        scope = ["-n", namespace] if namespace else ["-A"]
        chosen = ["-l", selector] if selector else []
        listed = json.loads(self.kubectl("get", kind, *scope, *chosen, "-o", "json"))
        items: list[Object] = listed["items"]
        return items

    def patch(self, kind: str, name: str, namespace: str | None, patch: Object) -> None:
        """Merge-patch one object."""
        scope = ["-n", namespace] if namespace else []
        self.kubectl("patch", kind, name, *scope, "--type=merge", "-p", json.dumps(patch))

    def delete(self, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete one object, if it is there, without waiting for finalizers."""
        scope = ["-n", namespace] if namespace else []
        self.kubectl("delete", kind, name, *scope, "--ignore-not-found", "--wait=false")

    def define(self, files: Sequence[Path]) -> None:
        """Apply definitions of kinds, without waiting until they are served."""
        words = (word for path in files for word in ("-f", str(path)))
        self.kubectl("apply", "--server-side", "--force-conflicts", "--validate=false", *words)

    def ensure_namespace(self, name: str) -> None:
        """Make a namespace exist."""
        self.apply([namespace(name)])


def namespace(name: str) -> Object:
    """A namespace's manifest."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


FIRST_KINDS = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ConfigMap", "Secret")


def rank(kind: str) -> int:
    """Where a kind stands when a GitOps tool applies; the Rollout after what it names."""
    if kind in FIRST_KINDS:
        return FIRST_KINDS.index(kind)
    return len(FIRST_KINDS) + (kind == "Rollout")


@cache
def _plurals(kube: Kube, base: str) -> dict[str, tuple[str, bool]]:
    resources = kube.raw_json(base)["resources"]
    return {r["kind"]: (r["name"], r["namespaced"]) for r in resources if "/" not in r["name"]}
