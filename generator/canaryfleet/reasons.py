"""Every reason of a verdict: what it means, and what a person should do. A code never changes its meaning."""

from typing import NamedTuple

from canaryfleet.models.observation import VerdictKind


class Reason(NamedTuple):
    """What a reason code means, and what a person should do about it, if anything."""

    kind: VerdictKind
    meaning: str
    remedy: str = ""


READ = "read it again; if it stays so, look at what answers"
REASONS: dict[str, Reason] = {
    # Verified
    "Proven": Reason("Verified", "every step, the background and the bake proved it good"),
    "FirstDeployment": Reason("Verified", "the first release here, healthy, and its bake passed"),
    "SameWorkload": Reason(
        "Verified", "the live object carries it, and its workload was verified here before"
    ),
    "Reverted": Reason("Verified", "the cluster went back to it and runs; it advances nothing"),
    # Progressing
    "NotThere": Reason("Progressing", "the app is not on the cluster yet", "see why it is not synced"),
    "NotSynced": Reason("Progressing", "the cluster has another release yet", "see why it is not synced"),
    "OtherPods": Reason(
        "Progressing",
        "the live object says the release, but has other pods",
        "sync it again, with server-side apply and the cluster's own overlay; stop what changes the Rollout there (an image updater, "
        "a reloader, mutating policies, labels or images that Argo CD's own kustomize options add)",
    ),
    "OtherSteps": Reason(
        "Progressing", "the live object says the release, but has other steps", "sync it again, server-side"
    ),
    "Leaving": Reason("Progressing", "the live object is being deleted", "see what deletes it"),
    "NotObserved": Reason("Progressing", "the controller has not seen the change yet", "is it running?"),
    "OldVersion": Reason("Progressing", "the controller still speaks of the version before"),
    "Stepping": Reason("Progressing", "the controller goes through its steps"),
    "StepPaused": Reason("Progressing", "a step lasts as long as the spec says, or waits to be promoted"),
    "NotAvailable": Reason("Progressing", "its pods are not all available", "look at its pods"),
    "Unschedulable": Reason("Progressing", "no node takes its pods", "make room, or lower what they ask for"),
    "Baking": Reason("Progressing", "it has all the traffic and is watched for minSuccessTime"),
    # Inconclusive
    "InvalidSpec": Reason(
        "Inconclusive", "the controller refuses the live object and stands still", "sync a complete release"
    ),
    "Aborted": Reason(
        "Inconclusive",
        "the controller aborted it, and nothing measured proves it bad",
        "look at the analysis; was the metric server there?",
    ),
    "Stopped": Reason("Inconclusive", "a person paused it in the cluster", "resume it there, or roll back"),
    "TooLittleProof": Reason(
        "Inconclusive",
        "the analysis ended with too few requests, or between the thresholds",
        "resume it in the cluster, which measures anew, or roll back",
    ),
    "Overdue": Reason("Inconclusive", "its pods did not come up in time", "look at its pods"),
    "StableAsBad": Reason(
        "Inconclusive",
        "it is bad, and the stable version beside it is as bad",
        "look for what both depend on; it is not barred, and goes back when progressDeadline is over",
    ),
    "Unproven": Reason(
        "Inconclusive",
        "it is complete, but an analysis was stopped or did not prove it",
        "was it promoted by hand? Roll out again, or roll back",
    ),
    "BakeUnproven": Reason(
        "Inconclusive",
        "the bake ended without proof, or measured before the release was stable",
        "delete the bake's AnalysisRun, and sync: it starts anew",
    ),
    "DeadlinePassed": Reason(
        "Inconclusive", "progressDeadline is over, and nothing is proven", "look why; it goes back, unbarred"
    ),
    # Failed
    "BeyondThreshold": Reason("Failed", "measured beyond the rollback threshold"),
    "BakeBeyondThreshold": Reason("Failed", "measured beyond the rollback threshold after it was stable"),
    "Crashing": Reason("Failed", "most of the canary's pods crash again and again"),
    # Unknown: not seen
    "Unreachable": Reason("Unknown", "the cluster can't be reached", "check the address, the network, TLS"),
    "Timeout": Reason("Unknown", "the cluster did not answer in time", "check it, or allow more time"),
    "Unauthorized": Reason("Unknown", "the cluster refuses the credentials", "renew them"),
    "Forbidden": Reason(
        "Unknown", "the credentials may not read this", "grant what `canaryfleet rbac` prints"
    ),
    "Missing": Reason("Unknown", "what should be read does not exist", "is Argo Rollouts installed there?"),
    "Stale": Reason("Unknown", "it was seen too long ago", "see why nothing newer arrives"),
    "TooLarge": Reason("Unknown", "an answer is larger than the limit", READ),
    "Unsigned": Reason("Unknown", "the snapshot has no valid signature", "see who pushed it"),
    "Misconfigured": Reason(
        "Unknown",
        "nothing says how to reach it, or what says so leads nowhere",
        "write `access` into its file, and its context into the kubeconfig",
    ),
    "ServerError": Reason("Unknown", "the cluster answered with an error", READ),
    # Unknown: not usable
    "Lost": Reason("Unknown", "an answer is missing", READ),
    "Truncated": Reason("Unknown", "a list was cut off", READ),
    "Unparsable": Reason("Unknown", "an answer is not what it should be", READ),
    "Contradictory": Reason("Unknown", "what was read contradicts itself, or the release", READ),
    "Foreign": Reason("Unknown", "an answer is about something else, or of another cluster", READ),
    "Moved": Reason("Unknown", "it changed while it was read", "read it again"),
    "Clock": Reason("Unknown", "it is from the future, or ended before it began", "set the clocks"),
    "OtherCluster": Reason(
        "Unknown", "the cluster is not the one whose identity is recorded", "check `uid` and its address"
    ),
    "NoIdentity": Reason(
        "Unknown",
        "nothing proves which cluster it is",
        "let kube-system be read, and record its UID as `uid`",
    ),
    "NotMember": Reason(
        "Unknown", "the release does not know the cluster", "it joined later; give it a release of its own"
    ),
    "VersionMissing": Reason("Unknown", "the ReplicaSet of the current hash was not seen", READ),
    "RunMissing": Reason(
        "Unknown",
        "an analysis that should be there is not: it was skipped, is gone, or was changed in the cluster",
        "only a person can tell; roll out again, or roll back",
    ),
    "RunOlder": Reason(
        "Unknown",
        "its analyses began before the commit that moved its pointer, by the clocks of both",
        "if the clock that made that commit was ahead, set it, and excuse the cluster or release another version; else roll out again",
    ),
    "BakeMissing": Reason("Unknown", "the bake's AnalysisRun is not there", "sync it"),
}
