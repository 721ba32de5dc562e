"""What runs: images and models that can become something else under a release."""

import re
from collections.abc import Iterator, Mapping

from canaryfleet.advice.subject import Path, Subject, warning
from canaryfleet.errors import Issue
from canaryfleet.masked import is_secret
from canaryfleet.workload.pod import MUTABLE_VERSIONS, has_digest

# The path of a file with the secret, what a variable or another one has, a number, a switch.
ELSEWHERE = re.compile(r"/|\./|file:|.*\$\(|[0-9.]+\Z|(?:true|false)\Z", re.IGNORECASE | re.DOTALL)


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


def exposed(subject: Subject) -> Iterator[Issue]:
    """CF307: variables whose name says that they are secret, with the value in the spec."""
    spec = subject.plan.inputs.spec
    overrides = (("overrides", number, "env") for number in range(len(spec.overrides)))
    places: list[tuple[Path, Mapping[str, object]]] = [
        (("workload", "env"), spec.workload.env),
        *zip(overrides, (item.env for item in spec.overrides), strict=True),
    ]
    for path, variables in places:
        for name, value in variables.items():
            if isinstance(value, str) and value and not ELSEWHERE.match(value) and is_secret(name, value):
                yield warning(
                    (*path, name),
                    "CF307",
                    f"{name} stands here in plain text: in Git, in every release, and in the cluster's objects",
                    "put it into a Secret, and name that: {secret: NAME, key: KEY}",
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
