"""From the raw objects of Argo Rollouts to an observation: which objects, and what they mean."""

from canaryfleet.models.observation import Read, Subject

GROUP, VERSION = "argoproj.io", "v1alpha1"
HASH = "rollouts-pod-template-hash"


def reads(subject: Subject) -> tuple[Read, ...]:
    """What to ask about an app, in this order: the Rollout comes first and again last.

    Anything may move while it is read; a reading whose two Rollouts differ is dropped (argo-rollouts.md D6).
    Runs are found by the release, which `analysisRunMetadata` and the bake carry as a label.
    """
    space = subject.namespace
    selector = ",".join(f"{key}={value}" for key, value in sorted(subject.selector.items()))
    rollout = Read(
        name="rollout",
        group=GROUP,
        version=VERSION,
        resource="rollouts",
        namespace=space,
        object=subject.app,
    )
    return (
        rollout,
        Read(
            name="replicaSets",
            group="apps",
            version="v1",
            resource="replicasets",
            namespace=space,
            labels=f"{HASH},{selector}",
        ),
        Read(
            name="analysisRuns",
            group=GROUP,
            version=VERSION,
            resource="analysisruns",
            namespace=space,
            labels=f"canaryfleet.dev/release={subject.release}",
        ),
        Read(name="pods", version="v1", resource="pods", namespace=space, labels=f"{HASH},{selector}"),
        Read(
            name="rolloutAgain",
            group=GROUP,
            version=VERSION,
            resource="rollouts",
            namespace=space,
            object=subject.app,
        ),
    )
