"""Whether a cluster has what it is pointed at: since when it surely does, or that it surely has nothing."""

from collections.abc import Iterator
from datetime import datetime

from canaryfleet.case import SKEW
from canaryfleet.models.observation import Observation


def carried(seen: Observation, release: str, pod: str, promoted: datetime | None) -> datetime | None:
    """Since when at the latest the live object carries a release with these pods; None if it does not, or was not seen.

    `promoted`: when the cluster was pointed there. A deadline that is counted from here may begin late, never
    early: what was made for the release since then was made by an object that carried it. Where a policy alone
    changed nothing is made, and what is known is only that it was not before `promoted`.
    """
    live = seen.live
    if live is None or live.leaving or (live.release, live.pod) != (release, pod):
        return None
    proofs = sorted(_made(seen, release, pod))
    since = [at for at in proofs if at <= seen.ended + SKEW and (promoted is None or at >= promoted - SKEW)]
    if promoted is None:  # so what was made may be from before: the last of it counts
        return since[-1] if since else None
    return since[0] if since else promoted


def _made(seen: Observation, release: str, pod: str) -> Iterator[datetime]:
    """When pods and analyses were made for the release; one that is of pods from before is told by its time."""
    if seen.live and seen.live.current and seen.live.current.pod == pod:
        yield seen.live.current.created
    for run in seen.runs:
        if (run.release, run.pod, run.cluster) == (release, pod, seen.cluster):
            yield run.created


def absent(seen: Observation, uid: str | None, removed: datetime | None) -> bool:
    """True if the app was seen to be absent from this very cluster, after it was taken away."""
    if seen.unread is not None or seen.live is not None:
        return False
    known = seen.identity is not None and uid in (None, seen.identity)
    return known and (removed is None or seen.began > removed)
