"""In which order the clusters get it: a first wave that risks most, and waves that protect nobody."""

from collections.abc import Iterator

from canaryfleet.advice.subject import Subject, warning, waves_key
from canaryfleet.errors import Issue
from canaryfleet.phrases import some
from canaryfleet.pointing import limit

MOST = 0.5  # of the fleet's capacity at once: beyond it, the waves before protect fewer than they don't


def largest_first(subject: Subject) -> Iterator[Issue]:
    """CF320: the first wave has a cluster that no other is larger than, and there are smaller ones."""
    sizes = {name: member.capacity for name, member in subject.release.clusters.items()}
    first = next((index for index, wave in enumerate(subject.release.waves) if wave.members), None)
    if first is None or len(set(sizes.values())) < 2:
        return
    wave = subject.release.waves[first]
    large = [name for name in wave.members if sizes[name] == max(sizes.values())]
    if large and len(wave.members) < len(sizes):
        yield warning(
            (waves_key(subject), first),
            "CF320",
            f"wave {wave.name} is the first, and has the largest cluster: {some(large)}",
            f"begin with a small one, such as {min(sorted(sizes), key=sizes.__getitem__)}",
        )


def most_at_once(subject: Subject) -> Iterator[Issue]:
    """CF321: a wave that may have more than `MOST` of the capacity under way, on more than one cluster."""
    clusters = subject.release.clusters
    total = sum(member.capacity for member in clusters.values())
    for index, wave in enumerate(subject.release.waves):
        sizes = sorted((clusters[name].capacity for name in wave.members), reverse=True)[: limit(wave)]
        share = sum(sizes) / total if total else 0
        if len(sizes) > 1 and share > MOST:
            yield warning(
                (waves_key(subject), index),
                "CF321",
                f"wave {wave.name} may have {len(sizes)} clusters with {share:.0%} of the capacity under way at once",
                "split it, or lower its maxConcurrency",
            )
