"""Reading what the Argo Rollouts controller says."""

import threading
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from rig.kube import Kube, Object
from rig.waiting import wait_until

API = "/apis/argoproj.io/v1alpha1"
HASH_LABEL = "rollouts-pod-template-hash"
WATCH_SECONDS = 600.0


def get_rollout(kube: Kube, namespace: str, name: str) -> Object:
    """Return a Rollout."""
    rollout: Object = kube.raw_json(f"{API}/namespaces/{namespace}/rollouts/{name}")
    return rollout


def analysis_runs(kube: Kube, namespace: str) -> list[Object]:
    """Return the AnalysisRuns of a namespace, oldest first."""
    runs = kube.raw_json(f"{API}/namespaces/{namespace}/analysisruns")["items"]
    return sorted(runs, key=lambda run: str(run["metadata"]["creationTimestamp"]))


def observed(rollout: Object) -> bool:
    """Tell whether the status speaks of the spec that is stored now."""
    seen = rollout.get("status", {}).get("observedGeneration", "0")
    return bool(int(seen) == rollout["metadata"]["generation"])


def phase(rollout: Object) -> str:
    """Return the phase, "" if there is none yet."""
    return str(rollout.get("status", {}).get("phase", ""))


def canary_weight(rollout: Object) -> int | None:
    """Return the canary's weight as the controller last wrote it."""
    weights = rollout.get("status", {}).get("canary", {}).get("weights")
    return None if weights is None else int(weights["canary"].get("weight", 0))


def complete(rollout: Object) -> bool:
    """Tell whether the newest template is healthy and stable, and traffic is settled on it.

    At the last step the status passes through Healthy with weight 100.
    """
    status = rollout.get("status", {})
    return (
        observed(rollout)
        and phase(rollout) == "Healthy"
        and status.get("stableRS") == status.get("currentPodHash")
        and canary_weight(rollout) in (None, 0)
    )


def wait_for_phase(kube: Kube, namespace: str, name: str, phases: AbstractSet[str], timeout: float) -> Object:
    """Wait until the controller has seen the present spec and reports one of the phases."""

    def reached() -> Object | None:
        rollout = get_rollout(kube, namespace, name)
        return rollout if observed(rollout) and phase(rollout) in phases else None

    what = f"{namespace}/{name} is {' or '.join(sorted(phases))}"
    return wait_until(reached, what, timeout, interval=0.2)


def wait_for_completion(kube: Kube, namespace: str, name: str, timeout: float) -> Object:
    """Wait until the Rollout's newest template has become the stable one."""

    def reached() -> Object | None:
        rollout = get_rollout(kube, namespace, name)
        return rollout if complete(rollout) else None

    return wait_until(reached, f"{namespace}/{name} is complete", timeout, interval=0.2)


def describe(rollout: Object) -> str:
    """Return phase, step, weight and conditions for a person to read."""
    status: dict[str, Any] = rollout.get("status", {})
    steps = rollout["spec"].get("strategy", {}).get("canary", {}).get("steps", [])
    lines = [
        f"{rollout['metadata'].get('namespace')}/{rollout['metadata']['name']}: "
        f"{phase(rollout) or 'no status yet'}"
        f" (step {status.get('currentStepIndex', '-')}/{len(steps)},"
        f" weight {canary_weight(rollout)}, observed {observed(rollout)})"
    ]
    if status.get("message"):
        lines.append(f"  message: {status['message']}")
    lines += [
        f"  {c['type']}={c['status']} {c.get('reason', '')}: {c.get('message', '')}"
        for c in status.get("conditions", [])
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class Moment:
    """What a Rollout looked like at one time."""

    at: float
    phase: str
    step: int | None
    weight: int | None
    aborted: bool

    def same_as(self, other: "Moment") -> bool:
        """Compare all but the time."""
        return (self.phase, self.step, self.weight, self.aborted) == (
            other.phase,
            other.step,
            other.weight,
            other.aborted,
        )


@dataclass
class RolloutTrail:
    """Records each state a Rollout goes through, from a watch: nothing is missed by polling."""

    kube: Kube
    namespace: str
    name: str
    moments: list[Moment] = field(default_factory=list)

    def __enter__(self) -> "RolloutTrail":
        self._started = time.monotonic()
        threading.Thread(target=self._follow, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True

    _closed: bool = False
    _started: float = 0.0

    def _follow(self) -> None:
        path = f"{API}/namespaces/{self.namespace}/rollouts?fieldSelector=metadata.name={self.name}"
        while not self._closed:
            try:
                for event in self.kube.watch(path, WATCH_SECONDS):
                    if self._closed:
                        return
                    self._note(event["object"])
            except (OSError, ValueError):
                time.sleep(0.2)

    def _note(self, rollout: Object) -> None:
        status = rollout.get("status", {})
        moment = Moment(
            at=round(time.monotonic() - self._started, 2),
            phase=phase(rollout),
            step=status.get("currentStepIndex"),
            weight=canary_weight(rollout),
            aborted=bool(status.get("abort")),
        )
        if not self.moments or not self.moments[-1].same_as(moment):
            self.moments.append(moment)
