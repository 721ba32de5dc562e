"""From a spec's workload to pods: the pod template, its Service, and everything that comes along.

A workload comes from an image, or from a kustomize base whose Deployment it takes over. Whatever
of it is live (replicas, autoscaler bounds) is taken out here, so that it reaches neither the
frozen manifests nor any digest.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from canaryfleet.digest import stamp
from canaryfleet.errors import Issue
from canaryfleet.models.canary import Canary
from canaryfleet.workload.base import from_base
from canaryfleet.workload.config import content_named, mount, own_config
from canaryfleet.workload.image import from_image
from canaryfleet.workload.objects import Object, Workload
from canaryfleet.workload.pod import add_env, add_lifecycle, add_model, add_resources, drop_empty, pinned

IMAGE_ONLY = (
    "command", "args", "ports", "serviceAccount", "imagePullSecrets", "labels", "annotations", "nodeSelector",
    "tolerations", "volumes", "readiness", "liveness", "autoscaler",
)  # fmt: skip

BASE_ONLY = ("deployment", "container", "service", "adopt")


class Built(NamedTuple):
    """A workload, or the issues (paths in the spec) that are in its way."""

    workload: Workload | None
    issues: tuple[Issue, ...]


def build(spec: Canary, base: Sequence[Object] | None, files: Mapping[str, bytes]) -> Built:
    """The workload of a spec.

    `base`: objects of the built kustomize base, if the spec names one; `files`: content of the
    prompt and config files by the path written in the spec.
    """
    issues = list(_misplaced(spec))
    if base is None:
        parts = from_image(spec)
    else:
        found = from_base(spec, base)
        if isinstance(found, Issue):
            return Built(None, (*issues, found))
        parts = found
    template = copy.deepcopy(parts.template)
    container = template["spec"]["containers"][parts.container]
    own, more = own_config(spec, files)
    issues += more
    carried_config, carried = content_named(template, parts.carried)
    mount(spec, template, container, own)
    issues += add_model(spec, container)
    issues += add_env(spec, container, from_base=base is not None)
    add_resources(container, spec)
    add_lifecycle(spec, template, container, parts.port)
    issues += pinned(spec, template)
    config = tuple(carried_config) + tuple(own.values())
    if issues:
        return Built(None, tuple(issues))
    drop_empty(template)
    digest = stamp(template)
    return Built(parts._replace(template=template, config=config, carried=tuple(carried), digest=digest), ())


def _misplaced(spec: Canary) -> list[Issue]:
    wrong, where = (IMAGE_ONLY, "the base") if spec.workload.base else (BASE_ONLY, "a kustomize base")
    return [
        Issue(
            ("workload", name),
            "CF110",
            f"`{name}` belongs {'into' if spec.workload.base else 'to'} {where}",
            "write it there" if spec.workload.base else "use `base` instead of `image`, or remove it",
        )
        for name in wrong
        if getattr(spec.workload, name) not in (None, (), {}, False)
    ]
