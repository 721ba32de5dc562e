"""What runs: images and models that can become something else under a release."""

import re
from collections.abc import Iterator

from canaryfleet.advice.subject import Path, Subject, warning
from canaryfleet.errors import Issue
from canaryfleet.workload.pod import MUTABLE_VERSIONS, has_digest


def no_pods(subject: Subject) -> Iterator[Issue]:
    """CF306: clusters that are told to run no pod, so that no release is ever proven there."""
    spec = subject.plan.inputs.spec
    if spec.lifecycle == "retiring":
        return
    work = spec.workload
    places: list[tuple[Path, str]] = [
        (("overrides", number, "replicas"), "some clusters run no pods")
        for number, item in enumerate(spec.overrides)
        if item.replicas == 0
    ]
    if subject.plan.workload.bounds.replicas == 0:
        places.insert(0, (("workload", "base" if work.base else "replicas"), "no pods run"))
    for path, what in places:
        yield warning(
            path,
            "CF306",
            f"`replicas: 0`: {what}, so nothing is measured there and no release is ever proven",
            "give it pods, or take the app away with `lifecycle: retiring`",
        )


def mutable(subject: Subject) -> Iterator[Issue]:
    """CF117: what `mutable: true` lets pass, and a model that is loaded from where the newest one is."""
    work = subject.plan.inputs.spec.workload
    pods = subject.plan.workload.template["spec"]
    images = dict.fromkeys(
        str(item.get("image")) for item in (*pods.get("initContainers", []), *pods.get("containers", []))
    )
    for image in images:
        if not has_digest(image):
            yield warning(
                ("workload", "base" if work.base else "image"),
                "CF117",
                f"the image {image} can be another one tomorrow: pods that restart would run what nobody tested",
                "pin it by digest, `@sha256:…`",
            )
    if work.model is None or work.model.checksum:
        return
    for field in ("version", "uri"):
        words = set(re.split(r"[/@:?#=&]", (getattr(work.model, field) or "").lower()))
        if found := sorted(words & MUTABLE_VERSIONS):
            yield warning(
                ("workload", "model", field),
                "CF117",
                f"the model's {field} says {found[0]}: pods that restart would load what nobody tested",
                "name an immutable version, or give a `checksum`",
            )
