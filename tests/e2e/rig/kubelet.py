"""A kubelet's part, played by a test: pods labelled `NEVER_READY` are left alone by KWOK.

The statuses are those that a kubelet of Kubernetes 1.34 writes, field by field.
"""

import hashlib
import time

from rig.kube import Kube, Object

BACK_OFF = (10, 20, 40, 80, 160, 300)  # seconds that a kubelet waits before the next start
EXIT_CODE = 1


def starting(kube: Kube, pod: Object) -> None:
    """Its containers run, and its readiness probe has not succeeded yet."""
    _write(kube, pod, [_container(pod, c, 0, {"running": {"startedAt": now()}}) for c in _containers(pod)])


def ready(kube: Kube, pod: Object) -> None:
    """Its containers run and are ready."""
    running = {"running": {"startedAt": now()}}
    _write(kube, pod, [_container(pod, c, 0, running) | {"ready": True} for c in _containers(pod)])


def crash(kube: Kube, pod: Object, restarts: int) -> None:
    """Its containers ended for the n-th time, and wait before the next start."""
    started = ended = now()
    statuses = []
    for container in _containers(pod):
        terminated = {
            "exitCode": EXIT_CODE,
            "reason": "Error",
            "startedAt": started,
            "finishedAt": ended,
            "containerID": _container_id(pod, container, restarts),
        }
        if restarts == 0:  # the first end is followed by a start without delay
            statuses.append(_container(pod, container, 0, {"terminated": terminated}))
            continue
        delay = BACK_OFF[min(restarts, len(BACK_OFF)) - 1]
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        waiting = {
            "reason": "CrashLoopBackOff",
            "message": f"back-off {f'{delay}s' if delay < 60 else f'{delay // 60}m{delay % 60}s'} restarting"
            f" failed container={container['name']} pod={name}_{namespace}({pod['metadata']['uid']})",
        }
        status = _container(pod, container, restarts, {"waiting": waiting})
        statuses.append(status | {"lastState": {"terminated": terminated}})
    _write(kube, pod, statuses)


def now() -> str:
    """This moment as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _containers(pod: Object) -> list[Object]:
    found: list[Object] = pod["spec"]["containers"]
    return found


def _container(pod: Object, container: Object, restarts: int, state: Object) -> Object:
    digest = container["image"].rpartition("@")[2]
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"{container['image'].partition(':')[0]}@{digest}",
        "containerID": _container_id(pod, container, restarts),
        "ready": False,
        "started": "running" in state,
        "restartCount": restarts,
        "state": state,
        "lastState": {},
    }


def _container_id(pod: Object, container: Object, restarts: int) -> str:
    name = f"{pod['metadata']['uid']}/{container['name']}/{restarts}"
    return f"containerd://{hashlib.sha256(name.encode()).hexdigest()}"


def _write(kube: Kube, pod: Object, containers: list[Object]) -> None:
    generation = pod["metadata"].get("generation", 1)
    names = " ".join(c["name"] for c in containers if not c["ready"])
    serving = "True" if all(c["ready"] for c in containers) else "False"
    why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{names}]"}
    unready = {} if serving == "True" else why
    before = {condition["type"]: condition for condition in pod["status"].get("conditions", [])}
    conditions = [
        _condition("PodReadyToStartContainers", "True", generation, before),
        _condition("Initialized", "True", generation, before),
        _condition("Ready", serving, generation, before) | unready,
        _condition("ContainersReady", serving, generation, before) | unready,
        _condition("PodScheduled", "True", generation, before),
    ]
    status = {
        "observedGeneration": generation,
        "phase": "Running",
        "conditions": conditions,
        "containerStatuses": containers,
        "hostIP": "10.0.0.1",
        "hostIPs": [{"ip": "10.0.0.1"}],
        "podIP": "10.1.0.1",
        "podIPs": [{"ip": "10.1.0.1"}],
        "startTime": pod["status"].get("startTime", now()),
        "qosClass": pod["status"].get("qosClass", "BestEffort"),
    }
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
    kube.patch_at(path, {"status": status})


def _condition(kind: str, status: str, generation: int, before: dict[str, Object]) -> Object:
    known = before.get(kind, {})
    since = known["lastTransitionTime"] if known.get("status") == status else now()
    return {
        "type": kind,
        "status": status,
        "observedGeneration": generation,
        "lastProbeTime": None,
        "lastTransitionTime": since,
    }
