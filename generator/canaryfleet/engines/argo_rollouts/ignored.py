"""What the controller writes into objects that stand in Git, so that a GitOps tool must not undo it.

Facts (rollout/trafficrouting/istio of v1.9.2 and v1.10.1): weights of the managed routes; the routes that
steps make, which stand before them until they are done; a label with the pod-template hash in the two
subsets. Nothing else needs a word, for Git says nothing of it: managed Services have no selector
there, and a Rollout with an autoscaler has no replicas. Annotations that the controller adds are nobody's difference.
"""

from typing import NamedTuple

from canaryfleet.routing import istio

HASH = "rollouts-pod-template-hash"


class Ignored(NamedTuple):
    """An object, and jq paths of what another than Git writes there."""

    group: str
    kind: str
    name: str
    paths: tuple[str, ...]


def ignored(app: str, namespace: str) -> tuple[Ignored, ...]:
    """What of an app's objects the controller writes, whatever the release: clusters may have different ones."""
    made = " or ".join(f'.name == "{name}"' for name in istio.managed_routes(app, namespace).values())
    routes = (".spec.http[]?.route[]?.weight", f".spec.http[]? | select({made})")
    labels = (f'.spec.subsets[]?.labels["{HASH}"]',)
    group = "networking.istio.io"
    return (
        Ignored(group, "VirtualService", app, routes),
        Ignored(group, "DestinationRule", app, labels),
    )
