"""The part of an API server that keeps Leases: optimistic concurrency as the real one has it."""

import json
import threading
from typing import Any

from fake_api import Answer, Asked, ok, status

SPACE = "/apis/coordination.k8s.io/v1/namespaces/fleet/leases"
MICRO = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"


class Conflict(Exception):
    """Somebody else was faster."""


class Shelf:
    """Leases by name, each with a resourceVersion that every change renews."""

    def __init__(self) -> None:
        self.leases: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self._lock = threading.Lock()

    def all(self) -> list[dict[str, Any]]:
        """A copy of all, as of one moment."""
        with self._lock:
            return json.loads(json.dumps(list(self.leases.values())))

    def create(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Raises Conflict if there is one of the name."""
        with self._lock:
            if lease["metadata"]["name"] in self.leases or "resourceVersion" in lease["metadata"]:
                raise Conflict
            return self._store(lease)

    def update(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Raises Conflict if it has changed since it was read, KeyError if it is gone."""
        with self._lock:
            there = self.leases[lease["metadata"]["name"]]
            if there["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]:
                raise Conflict
            return self._store(lease)

    def _store(self, lease: dict[str, Any]) -> dict[str, Any]:
        self.writes += 1
        lease = json.loads(json.dumps(lease))
        lease["metadata"]["resourceVersion"] = str(self.writes)
        self.leases[lease["metadata"]["name"]] = lease
        return lease

    def holder(self, name: str) -> str:
        """Who has it, as everybody can read."""
        return str(self.leases[name]["spec"]["holderIdentity"])


def serving(shelf: Shelf) -> Answer:
    """The API over HTTP."""

    def answer(asked: Asked) -> bytes:
        name = asked.path.removeprefix(SPACE).lstrip("/")
        details = {"group": "coordination.k8s.io", "kind": "leases"}
        try:
            if not asked.path.startswith(SPACE):
                return status(404, "NotFound")
            if asked.method == "GET" and not name:
                return ok({"kind": "LeaseList", "metadata": {"resourceVersion": "1"}, "items": shelf.all()})
            body = json.loads(asked.body)
            if asked.method == "POST" and not name:
                return ok(shelf.create(body)).replace(b"200 Words", b"201 Created")
            if asked.method == "PUT" and name == body["metadata"]["name"]:
                return ok(shelf.update(body))
        except Conflict:
            return status(409, "Conflict", name=name, **details)
        except KeyError:
            return status(404, "NotFound", name=name, **details)
        return status(405, "MethodNotAllowed")

    return answer
