"""Overlays whose live settings are not what the inventory says, and how an overlay differs from what we write."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from canaryfleet import overlay
from canaryfleet.errors import Finding, Place, Problems
from canaryfleet.live import Live, Settings, kept, resolve
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.release import Release
from canaryfleet.repo import App, Committed


class Stale(NamedTuple):
    """An overlay whose live settings are not what the inventory says."""

    present: Live
    live: Live
    text: str


def stale(app: App, settings: Settings, clusters: Mapping[str, Cluster]) -> Iterator[tuple[str, Stale]]:
    """Overlays that differ from what the inventory says in their live settings alone.

    Raises Problems for one that differs otherwise: nobody but canaryfleet may have written it.
    """
    baking = {id: overlay.bakes(release) for id, release in app.releases.items()}
    findings: list[Finding] = []
    for cluster, committed in app.overlays.items():
        pointer = app.pointers[cluster]
        release = app.releases[pointer.release]
        at = overlay.target(release, cluster, baking[pointer.release])
        member = clusters.get(cluster)
        if at is None or member is None:
            what = (
                f"release {pointer.release} has no cluster {cluster}"
                if at is None
                else f"there is no clusters/{cluster}.yaml"
            )
            findings.append(
                Finding(
                    Place(committed.path),
                    "CF166",
                    what,
                    "an app leaves a cluster through `lifecycle: retiring`",
                )
            )
            continue
        config = app.releases[pointer.fallback].config if pointer.fallback else ()
        live = resolve(settings, member)
        wanted = overlay.text(app.name, at, pointer.fallback, config, live)
        if wanted.encode() == committed.data:
            continue
        present = present_live(committed, release)
        if present is not None:
            live = kept(live, present)
            wanted = overlay.text(app.name, at, pointer.fallback, config, live)
            if wanted.encode() == committed.data:
                continue
        if (
            present is None
            or overlay.text(app.name, at, pointer.fallback, config, present).encode() != committed.data
        ):
            findings.append(differs(committed, wanted))
        else:
            yield cluster, Stale(present, live, wanted)
    if findings:
        raise Problems(findings)


def present_live(committed: Committed, release: Release) -> Live | None:
    """The live settings that an overlay carries; None if it was not written by canaryfleet."""
    try:
        return overlay.read_live(committed.data, committed.path, release.live)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, Problems):
        return None


def differs(committed: Committed, wanted: str) -> Finding:
    """Says in which line a generated file is not what it should be."""
    present = committed.data.decode(errors="replace").splitlines()
    lines = wanted.splitlines()
    line = next(
        (index for index, pair in enumerate(zip(present, lines, strict=False)) if pair[0] != pair[1]),
        min(len(present), len(lines)),
    )
    has = present[line].strip() if line < len(present) else "nothing"
    should = lines[line].strip() if line < len(lines) else "nothing"
    return Finding(
        Place(committed.path, line + 1, 1),
        "CF167",
        f"it has {has!r} where canaryfleet writes {should!r}",
        "generated files are not edited: restore it from Git, or change the spec or the cluster",
    )
