"""Everything that a decision looks at: Git at one commit, what was seen of the clusters, and what the forge says.

    ground = survey(tree, commit, now)                    # Git (ground.py)
    evidence = look(ground, source, timeout)              # the clusters
    situations = read(ground, evidence, requests, forge.me, now)

What can't be read holds the app that it is of, and lets it go back all the same.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from msgspec.structs import replace

from canaryfleet import branches, loads, presence, standing, status, takes
from canaryfleet.ground import Ground, Half
from canaryfleet.models import decision
from canaryfleet.models.decision import Load, Pointed, Policy, Site, Situation
from canaryfleet.models.forge import PullRequest
from canaryfleet.models.observation import Sighting, Verdict
from canaryfleet.sources import Source

# The clusters


class Evidence(NamedTuple):
    """What was seen, by app and cluster."""

    verdicts: Mapping[str, Mapping[str, Verdict]]
    carried: Mapping[str, Mapping[str, datetime]]
    absent: Mapping[str, Collection[str]]
    read: Mapping[str, datetime]
    """When each cluster was read."""


def look(ground: Ground, source: Source, timeout: float) -> Evidence:
    """What a source sees of all clusters now. `timeout`: seconds for each by itself."""
    sightings = status.look(source, status.targets(ground.plan), timeout)
    return see(ground, chain(status.strangers(ground.plan), sightings))


def see(ground: Ground, sightings: Iterable[Sighting]) -> Evidence:
    """What sightings mean."""
    read: dict[str, datetime] = {}

    def seen() -> Iterator[status.Seen]:
        for sighting in sightings:
            read[sighting.cluster] = sighting.began
            yield from status.seen(ground.plan, sighting)

    return weigh(ground, seen())._replace(read=read)


def weigh(ground: Ground, found: Iterable[status.Seen]) -> Evidence:
    """What was seen, as evidence; of it nobody says when each cluster was read."""
    verdicts: dict[str, dict[str, Verdict]] = {name: {} for name in ground.halves}
    carried: dict[str, dict[str, datetime]] = {name: {} for name in ground.halves}
    absent: dict[str, set[str]] = {name: set() for name in ground.halves}
    moved = {name: _moved(half) for name, half in ground.halves.items()}
    for item in found:
        app, name = item.seat
        if item.verdict is not None:
            verdicts[app][name] = item.verdict
        since = _carried(item)
        if since is not None:
            carried[app][name] = since
        if presence.absent(item.observation, _uid(ground, name), moved[app].get(name)):
            absent[app].add(name)
    return Evidence(verdicts, carried, absent, {})


def _carried(item: status.Seen) -> datetime | None:
    expected, seen = item.expected, item.observation
    member = expected.release.clusters.get(expected.cluster) if expected else None
    if expected is None or member is None or expected.uid not in (None, seen.identity):
        return None
    return presence.carried(seen, expected.release.id, member.pod, expected.promoted)


def _uid(ground: Ground, cluster: str) -> str | None:
    known = ground.plan.clusters.get(cluster)
    return known.uid if known else None


def _moved(half: Half) -> dict[str, datetime]:
    """When each cluster's pointer was changed last."""
    return {move.cluster: merged.at for merged in half.history for move in merged.moves}


# The forge, and all of it together


def read(
    ground: Ground,
    evidence: Evidence,
    requests: Iterable[PullRequest],
    me: str,
    now: datetime,
    apps: Collection[str] | None = None,
) -> dict[str, Situation]:
    """The situation of each app, or of some. `me`: the bot's name on the forge. Raises `Problems` CF025."""
    alone = {name: _alone(ground, evidence, name, now) for name in ground.halves}
    had = {name: dict(loads.on_clusters(standing.gather(item))) for name, item in alone.items()}
    asked = branches.requests(ground, requests, me)
    return {
        name: replace(item, sites=dict(_sites(item.sites, name, had)), requests=tuple(asked.get(name, ())))
        for name, item in alone.items()
        if apps is None or name in apps
    }


def _alone(ground: Ground, evidence: Evidence, name: str, now: datetime) -> Situation:
    """An app without its neighbours and without the forge."""
    half = ground.halves[name]
    sites = {
        cluster: Site(
            lifecycle=item.lifecycle,
            maxConcurrentCanaries=item.maxConcurrentCanaries,
            resources=takes.room(item.resources),
        )
        for cluster, item in ground.plan.clusters.items()
    }
    unreadable = [half.unreadable] if half.unreadable else []
    releases = {
        id: decision.release_facts(release, loads.takes_of(ground, half, release, sites, unreadable))
        for id, release in half.app.releases.items()
    }
    return Situation(
        app=name,
        now=now,
        policy=decision.policy(half.spec) if half.spec else Policy(),
        fleet=ground.fleet,
        sites=sites,
        candidate=half.candidate,
        releases=releases,
        pointers={c: Pointed(release=p.release, fallback=p.fallback) for c, p in half.app.pointers.items()},
        promotion=half.promotion,
        latest=ground.latest,
        unreadable="; ".join(unreadable) or None,
        rewritten=tuple(sorted(half.rewritten)),
        verdicts=dict(evidence.verdicts.get(name, {})),
        carried=dict(evidence.carried.get(name, {})),
        absent=tuple(sorted(evidence.absent.get(name, ()))),
        history=half.history,
    )


def _sites(
    sites: Mapping[str, Site], app: str, had: Mapping[str, Mapping[str, Load]]
) -> Iterator[tuple[str, Site]]:
    """The clusters with what the other apps have there."""
    for name, site in sites.items():
        others = tuple(found[name] for whose, found in sorted(had.items()) if whose != app and name in found)
        yield name, replace(site, others=others) if others else site
