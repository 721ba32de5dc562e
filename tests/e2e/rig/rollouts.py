"""Reading what the Argo Rollouts controller says."""

from typing import Any

from rig.kube import Kube, Object

API = "/apis/argoproj.io/v1alpha1"
HASH_LABEL = "rollouts-pod-template-hash"
WATCH_SECONDS = 600.0


def get_rollout(kube: Kube, namespace: str, name: str) -> Object:
    """Return a Rollout."""
    rollout: Object = kube.raw_json(f"{API}/namespaces/{namespace}/rollouts/{name}")
    return rollout


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
