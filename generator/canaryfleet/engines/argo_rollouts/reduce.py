"""What may be recorded of the raw answers: only what `observe` reads, and of that no secret.

An allow-list in two parts. `trim` keeps the fields that shapes.py names: no environment, no pull
secrets, no providers of metrics with their headers, no managedFields. Here the fields that hold
anything anybody wrote are narrowed to what is asked of them. `observe` understands the rest as it
understood the whole.

Kept as they are: steps, which stand in Git as part of the release, and measured values.
"""

import re
from collections.abc import Iterator

from msgspec.structs import replace

from canaryfleet.engines.argo_rollouts.analysis import CANARY_HASH, CLUSTER, REVISION, STABLE_HASH
from canaryfleet.engines.argo_rollouts.observe import HASH, REVISION_ANNOTATION, trim
from canaryfleet.engines.argo_rollouts.rollout import RELEASE_LABEL
from canaryfleet.models.observation import Look, Problem, Raw
from canaryfleet.workload.objects import POD_ANNOTATION, REVISION_LABEL, WORKLOAD_ANNOTATION

ANNOTATIONS = {POD_ANNOTATION, WORKLOAD_ANNOTATION, REVISION_ANNOTATION}  # so not last-applied-configuration
LABELS = {RELEASE_LABEL, REVISION_LABEL, HASH, "rollout-type", "step-index"}
ARGUMENTS = {CANARY_HASH, CLUSTER, REVISION, STABLE_HASH}
# The controller quotes what a provider answered, or the address with all that is in it.
_QUOTED = re.compile(r'"?Error Message:.*', re.DOTALL)
_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s\"']*", re.IGNORECASE)
TERMINATED = "Terminated"


def reduced(look: Look) -> Look:
    """The look without what must not leave the cluster; reducing it again changes nothing."""
    kept = trim(look)
    odd = sorted(look.answers.keys() - kept.answers.keys())
    if odd and not kept.problem:
        kept = replace(kept, problem=_odd(odd))
    commands: dict[str, int] = {}
    for answer in kept.answers.values():
        for item in answer.get("items") or [answer]:
            _narrow_metadata(item)
            _narrow_spec(item.get("spec", {}), commands)
            _narrow_status(item.get("status", {}))
    return kept


def _odd(names: list[str]) -> Problem:
    what = f"{', '.join(names)}: not of the form in which Argo Rollouts is known to answer"
    return Problem(kind="unparsable", message=what, remedy="see which versions of it are supported")


def _narrow_metadata(item: Raw) -> None:
    metadata = item.get("metadata", {})
    for field, names in (("annotations", ANNOTATIONS), ("labels", LABELS)):
        if field in metadata:
            metadata[field] = {name: text for name, text in metadata[field].items() if name in names}


def _narrow_spec(spec: Raw, commands: dict[str, int]) -> None:
    template = spec.get("template", {})
    _narrow_metadata(template)
    for container in _containers(template):
        # Whether two containers run the same is asked, never what: equal commands get equal numbers.
        written = repr((container.pop("command", ()), container.pop("args", ())))
        container["args"] = [f"#{commands.setdefault(written, len(commands))}"]
    if "args" in spec:
        spec["args"] = [item for item in spec["args"] if item["name"] in ARGUMENTS]


def _containers(template: Raw) -> Iterator[Raw]:
    spec = template.get("spec", {})
    for kind in ("initContainers", "containers"):
        yield from spec.get(kind, ())


def _narrow_status(status: Raw) -> None:
    if "metricResults" in status:  # of a run: that it was told to stop is all that is asked of its texts
        texts = [
            status,
            *(item for result in status["metricResults"] for item in result.get("measurements", ())),
        ]
        for item in texts:
            if TERMINATED in item.pop("message", ""):
                item["message"] = TERMINATED
        return
    for item in (status, *status.get("conditions", ())):
        if "message" in item:
            item["message"] = _plain(item["message"])


def _plain(text: str) -> str:
    """A message without what it quotes from elsewhere."""
    return _ADDRESS.sub(r"\1…", _QUOTED.sub("…", text))
