"""What an app asks of its clusters: a release by its pods, and all that the app has there at the moment."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from canaryfleet import pointing, repo, standing, takes
from canaryfleet.errors import Problems
from canaryfleet.files import Tree
from canaryfleet.ground import Ground, Half
from canaryfleet.live import Live, Settings, kept
from canaryfleet.live import resolve as live_settings
from canaryfleet.manifests import KUSTOMIZATION, Builder, Object, immutable
from canaryfleet.models.decision import Amounts, Load, Site
from canaryfleet.models.release import Release
from canaryfleet.standing import Facts
from canaryfleet.takes import Scale


def takes_of(
    ground: Ground, half: Half, release: Release, sites: Mapping[str, Site], unreadable: list[str]
) -> dict[str, Amounts]:
    """What a release asks for, by cluster; where that can't be known, all that the cluster has."""
    resources = {name: site.resources for name, site in sites.items() if site.resources}
    if resources.keys().isdisjoint(release.clusters):
        return {}
    try:
        scales = _Scales(ground, half, release)
        return takes.takes(release, _builder(ground.tree, half.app.name, release), scales.of, resources)
    except (Problems, ValueError, KeyError, TypeError, AttributeError) as error:
        unreadable.append(f"what {release.id} asks for: {error}")
        return {name: dict(resources[name]) for name in release.clusters if name in resources}


_HEAD = "apiVersion: {}\nkind: {}\n".format(*KUSTOMIZATION)


def _builder(tree: Tree, app: str, release: Release) -> Callable[[str | None], Sequence[Object]]:
    """Builds a release with a variant, as an overlay would."""
    asked = f"{repo.OVERLAYS}/{app}/clusters/-"  # no cluster has that name
    at = f"../../releases/{release.id}"

    def build(variant: str | None) -> Sequence[Object]:
        text = f"{_HEAD}resources:\n- {at}\n" + (
            f"components:\n- {at}/variants/{variant}\n" if variant else ""
        )
        made[f"{asked}/kustomization.yaml"] = text.encode()
        return builder.build(asked)

    made: dict[str, bytes] = {}
    builder = Builder(lambda path: made[path] if path in made else tree.read(path), immutable)
    return build


class _Scales:
    """How many pods a release has on a cluster: what its overlay says, or the spec where that has no room for it."""

    def __init__(self, ground: Ground, half: Half, release: Release) -> None:
        self._ground, self._half, self._release = ground, half, release
        self._settings: Settings | None = None

    def of(self, cluster: str) -> Scale:
        """What is live there. Raises Problems or ValueError."""
        committed = self._half.app.overlays.get(cluster)
        live = takes.scale(committed.data) if committed else Scale()
        if (live.most if self._release.live.autoscaler else live.replicas) is not None:
            return live
        resolved = live_settings(self._spec(), self._ground.plan.clusters[cluster])
        resolved = kept(resolved, Live(live.replicas, live.fewest, live.most))
        return Scale(resolved.replicas, resolved.maximum)

    def _spec(self) -> Settings:
        if self._settings is None:
            from canaryfleet.workload import build

            spec = repo.spec(self._ground.tree, self._half.app.name)
            workload = build(spec.model, spec.base, spec.files).workload
            if workload is None:
                raise ValueError("the spec makes no workload")
            self._settings = Settings(spec.model, workload.bounds, self._ground.fleet)
        return self._settings


def on_clusters(facts: Facts) -> Iterator[tuple[str, Load]]:
    """What an app has on each cluster, also where it is still leaving."""
    situation = facts.situation
    for name, pointer in facts.pointers.items():
        under_way = _is_under_way(facts, name)
        old = _before(facts, name) if under_way else {}
        yield (
            name,
            Load(app=situation.app, underWay=under_way, takes=_sum(_of(facts, pointer.release, name), old)),
        )
    for name, placed in facts.placed.items():
        if name not in facts.pointers and name not in situation.absent:
            yield name, Load(app=situation.app, takes=_of(facts, placed.move.from_, name))


def _is_under_way(facts: Facts, cluster: str) -> bool:
    """True unless what the cluster has is proven, and nothing moves there."""
    verdict = standing.seen(facts, cluster)
    moving = verdict is not None and verdict.kind == "Progressing"
    return moving or not standing.stands(facts, cluster)


def _before(facts: Facts, cluster: str) -> Amounts:
    """What the version before asks for, the larger one where it may be either of two."""
    pointer, placed = facts.pointers[cluster], facts.placed.get(cluster)
    present = facts.situation.releases.get(pointer.release)
    found: Amounts = {}
    for id in {pointer.fallback, placed.move.from_ if placed else None} - {None, pointer.release}:
        before = facts.situation.releases.get(id or "")
        if before and present and pointing.same_pods(before, present, cluster):
            continue
        for resource, amount in _of(facts, id, cluster).items():
            found[resource] = max(found.get(resource, 0), amount)
    return found


def _of(facts: Facts, release: str | None, cluster: str) -> Amounts:
    known = facts.situation.releases.get(release or "")
    member = known.clusters.get(cluster) if known else None
    return member.takes if member else {}


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return {resource: one.get(resource, 0) + other.get(resource, 0) for resource in {**one, **other}}
