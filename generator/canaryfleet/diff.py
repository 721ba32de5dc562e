"""`diff`: what a change of spec, inventory or pointers does to which clusters.

What is merged takes effect in two ways. Live settings and pointers do at once; another release goes from
wave to wave. Clusters that are alike are built once, and those on which the same happens are one group.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from canaryfleet import difference, repo
from canaryfleet.errors import Place, problem
from canaryfleet.files import Tree
from canaryfleet.inputs import asked
from canaryfleet.lint import inputs
from canaryfleet.live import Live, Patch, frozen_part, patches, room
from canaryfleet.models.base import API_VERSION
from canaryfleet.models.cluster import Cluster
from canaryfleet.models.diff import AppDiff, Change, Diff, Group, Members, ObjectDiff, ReleaseDiff
from canaryfleet.models.release import Release, ReleaseWave
from canaryfleet.nearest import nearest
from canaryfleet.overlay import Target
from canaryfleet.phrases import some
from canaryfleet.sides import Ground, Side, errors, fitted, ground, merged, nothing
from canaryfleet.variables import CLUSTER_PREFIX

NAMED = 5  # clusters that are named where members change
SHORTEST = 3  # characters of a variable's value that is told apart from other text


def diff(before: Tree, after: Tree, commit: str, wanted: Sequence[str] = ()) -> Diff:
    """What `after` does that `before`, the tree of `commit`, does not; for some apps or all.

    In a `before` without fleet.yaml nothing was anybody's, whatever else is in it.

    Raises Problems: an app that is in neither, and what is wrong with the specs of `after`.
    """
    there = [repo.apps(tree) for tree in (before, after)]
    known = sorted({*there[0], *there[1]})
    for app in wanted:
        if app not in known:
            raise problem(Place(repo.SPECS), "CF015", f"there is no app {app}", nearest(app, known))
    new = ground(after, list(wanted or known))
    old = ground(before, list(wanted or known)) if before.exists(repo.FLEET) else nothing(before, new)
    errors(new.findings)
    apps = [_App(Side(old, app), Side(new, app)) for app in wanted or known]
    errors([finding for app in apps for finding in app.new.findings])
    found = [app.diff() for app in apps]
    return Diff(
        apiVersion=API_VERSION,
        kind="Diff",
        from_=commit,
        fleet=tuple(_fleet(old, new)),
        inventory=tuple(_inventory(old, new)),
        apps=tuple(item for item in found if item != AppDiff(app=item.app)),
    )


def _plain(model: Any) -> Any:
    from msgspec import to_builtins

    return to_builtins(model)


def _fleet(old: Ground, new: Ground) -> list[Change]:
    return difference.changes(_plain(old.repository.fleet), _plain(new.repository.fleet))


def _inventory(old: Ground, new: Ground) -> Iterator[Members]:
    """Clusters whose files say something else, those with equal changes together."""
    before, after = old.repository.clusters, new.repository.clusters
    groups: dict[tuple[Any, ...], list[tuple[str, tuple[Change, ...]]]] = {}
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if one == other:
            continue
        what = "added" if one is None else "removed" if other is None else "changed"
        said = tuple(difference.changes(_plain(one), _plain(other))) if one and other else ()
        common = _common_changes(said, _common(one, other)) if one and other else ()
        groups.setdefault((what, common), []).append((name, said))
    for (what, common), found in groups.items():
        shown = common if len(found) > 1 else found[0][1]
        yield Members(clusters=tuple(name for name, _ in found), what=what, changes=shown)


class _Key(NamedTuple):
    """What makes groups the same, but for what happens."""

    from_: str | None
    to: str | None
    waits: bool


_Happens = tuple[str, _Key, tuple[ObjectDiff, ...]]
"""A cluster, and what happens there."""


class _App:
    """One app on both sides."""

    def __init__(self, old: Side, new: Side) -> None:
        self.old, self.new = old, new
        self._known: dict[tuple[Any, ...], tuple[ObjectDiff, ...]] = {}

    def diff(self) -> AppDiff:
        return AppDiff(
            app=self.new.name,
            release=self._release(),
            settings=tuple(difference.changes(_settings(self.old), _settings(self.new))),
            atOnce=tuple(self._grouped(self._at_once())),
            byWaves=tuple(self._grouped(self._by_waves())) if self._is_released else (),
        )

    # The release

    @property
    def _is_released(self) -> bool:
        before, after = self.old.candidate, self.new.candidate
        return after is not None and (before is None or before.id != after.id)

    def _release(self) -> ReleaseDiff | None:
        before, after = self.old.candidate, self.new.candidate
        if (before and before.id) == (after and after.id):
            return None
        return ReleaseDiff(
            from_=before.id if before else None,
            to=after.id if after else None,
            effect=_effect(before, after),
            inputs=tuple(self._inputs()) if before and after else (),
            waves=tuple(_waves(before, after)) if before and after else (),
        )

    def _inputs(self) -> list[Change]:
        if not self.old.spec or not self.new.spec:
            return []
        made = difference.changes(_made_of(self.old), _made_of(self.new))
        order = Change(path="spec", old="variables or ports", new="the same in another order")
        return made or [order]

    # What takes effect when it is merged

    def _at_once(self) -> Iterator[_Happens]:
        before, after = self.old.app.pointers, self.new.app.pointers
        for name in sorted({*before, *after}):
            one, other = before.get(name), after.get(name)
            moved = (one and one.release) != (other and other.release)
            if not moved and not self._may_differ(name):
                continue
            live, waits = self._live(name)
            objects = [*self._moved(name, live)] if moved else []
            if other is not None and one is not None:
                objects = [*self._overlay(name), *self._settings_of(name, live), *objects]
            if objects or moved:
                ends = (
                    (one.release if one else None, other.release if other else None) if moved else (None,) * 2
                )
                yield name, _Key(*ends, waits), tuple(objects)

    def _may_differ(self, cluster: str) -> bool:
        one, other = (side.app.overlays[cluster].data for side in (self.old, self.new))
        return one != other or self.old.wanted(cluster) != self.new.wanted(cluster)

    def _live(self, cluster: str) -> tuple[Live, bool]:
        """The live settings that this leads to, and whether they are still to be rendered.

        What the inventory said before, and waits, is not of this change.
        """
        pointer = self.new.app.pointers.get(cluster)
        wanted = self.new.wanted(cluster)
        if pointer is None:
            return self.old.present(cluster) or wanted or Live(), False
        release = self.new.release(pointer.release)
        was, now = fitted(self.old.wanted(cluster), release), fitted(wanted, release)
        present = self.new.present(cluster)
        if present is None:
            return now or Live(), False
        if now is None or now in (was, present):
            return present, False
        return now, True

    def _overlay(self, cluster: str) -> Iterator[ObjectDiff]:
        one, other = (side.app.pointers[cluster].fallback for side in (self.old, self.new))
        said = difference.changes({"fallback": one} if one else {}, {"fallback": other} if other else {})
        if said:
            yield ObjectDiff(kind="Overlay", name=self.new.name, what="changed", changes=tuple(said))

    def _settings_of(self, cluster: str, live: Live) -> Iterator[ObjectDiff]:
        """Live settings as the overlay's patches say them; of what both releases have room for."""
        one, other = (side.app.overlays[cluster].data for side in (self.old, self.new))
        present = (self.new if one == other else self.old).present(cluster)
        if present is None:
            return
        releases = [side.release(side.app.pointers[cluster].release) for side in (self.old, self.new)]
        shape, common = releases[1].live, room(releases[0].live) & room(releases[1].live)
        unchanged = {name: value for name, value in live._asdict().items() if name not in common}
        said = [_said(patches(item, shape, self.new.name)) for item in (present._replace(**unchanged), live)]
        for kind, name in said[0] | said[1]:
            before, after = (side.get((kind, name), {}) for side in said)
            if changes := difference.changes(before, after):
                yield ObjectDiff(kind=kind, name=name, what="changed", changes=tuple(changes))

    def _moved(self, cluster: str, live: Live) -> tuple[ObjectDiff, ...]:
        ends = [
            (side, side.app.pointers[cluster].release) if cluster in side.app.pointers else None
            for side in (self.old, self.new)
        ]
        return self._between(ends[0], ends[1], cluster, live)

    # What goes from wave to wave

    def _by_waves(self) -> Iterator[_Happens]:
        release = self.new.candidate
        assert release is not None
        for name in sorted(release.clusters):
            pointer = self.new.app.pointers.get(name)
            if pointer and pointer.release == release.id:
                continue
            here = (self.new, pointer.release) if pointer else None
            live, _ = self._live(name) if pointer else (self.new.wanted(name) or Live(), False)
            if pointer:
                wanted = self.new.wanted(name) or live
                live = merged(live, wanted, self.new.release(pointer.release), release)
            key = _Key(pointer.release if pointer else None, release.id, waits=False)
            yield name, key, self._between(here, (self.new, release.id), name, live)

    def _between(
        self, one: tuple[Side, str] | None, other: tuple[Side, str] | None, cluster: str, live: Live
    ) -> tuple[ObjectDiff, ...]:
        """The manifests of a cluster with one release and with another, by the same live settings."""
        ends = [(end[0], end[0].target(end[1], cluster)) if end else None for end in (one, other)]
        rooms = [room(end[1].shape) if end and end[1] else frozenset[str]() for end in ends]
        # where both have room for it, it is the same on both sides: it makes no difference
        own = tuple((name, getattr(live, name)) for name in sorted(rooms[0] ^ rooms[1])) if all(ends) else ()
        key = (*((id(end[0]), end[1]) if end else None for end in ends), own)
        if key not in self._known:
            before, after = (_built(end, live) for end in ends)
            stamps = [end[0].stamps(end[1], cluster) if end else {} for end in (one, other)]
            self._known[key] = difference.objects(before, after, stamps[0], stamps[1])
        return self._known[key]

    # Equal changes read as one

    def _grouped(self, found: Iterable[_Happens]) -> Iterator[Group]:
        """Of all to whom the same happens: first what does to all of them, then what does to fewer."""
        groups: dict[_Key, dict[str, tuple[ObjectDiff, ...]]] = {}
        for name, key, objects in found:
            groups.setdefault(key, {})[name] = objects
        for key, by_name in sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0]))):
            members = _alike(by_name, self._words)
            everybody = tuple(sorted(by_name))
            parts: dict[tuple[str, ...], list[ObjectDiff]] = {everybody: []}
            for item, names in members.items():
                parts.setdefault(tuple(sorted(names)), []).append(item)
            for names_, items in sorted(parts.items(), key=lambda part: (-len(part[0]), part[0])):
                yield Group(
                    clusters=names_, from_=key.from_, to=key.to, waits=key.waits, objects=tuple(items)
                )

    def _words(self, cluster: str) -> dict[str, str]:
        """What is peculiar to a cluster, and the same on both sides."""
        one, other = self.old.clusters.get(cluster), self.new.clusters.get(cluster)
        return _peculiar(one) | _peculiar(other) if one is None or other is None else _common(one, other)


def _alike(
    by_name: Mapping[str, tuple[ObjectDiff, ...]], words: Callable[[str], dict[str, str]]
) -> dict[ObjectDiff, list[str]]:
    """The clusters of each difference. What is only one's is also looked at without its name and variables."""
    exact: dict[ObjectDiff, list[str]] = {}
    for name, objects in by_name.items():
        for item in objects:
            exact.setdefault(item, []).append(name)
    common: dict[ObjectDiff, list[tuple[ObjectDiff, str]]] = {}
    for item, names in exact.items():
        if len(names) == 1 and len(by_name) > 1:
            common.setdefault(_abstract(item, words(names[0])), []).append((item, names[0]))
    found = {item: names for item, names in exact.items() if len(names) > 1 or len(by_name) == 1}
    for item, alone in common.items():
        shown = item if len(alone) > 1 else alone[0][0]
        found.setdefault(shown, []).extend(name for _, name in alone)
    return found


def _built(end: tuple[Side, Target | None] | None, live: Live) -> list[dict[str, Any]]:
    return end[0].built(end[1], live) if end and end[1] else []


def _said(made: Iterable[Patch]) -> dict[tuple[str, str], dict[str, Any]]:
    """What the patches of an overlay say: by object, and by path as in a manifest."""
    return {
        (patch.kind, patch.name or "…"): {
            re.sub(r"/(\d+)", r"[\1]", path).removeprefix("/").replace("/", "."): (
                list(value) if isinstance(value, tuple) else value
            )
            for path, value in patch.values
        }
        for patch in made
    }


def _peculiar(cluster: Cluster | None) -> dict[str, str]:
    if cluster is None:
        return {}
    found = {value: key for key, value in cluster.variables.items() if len(value) >= SHORTEST}
    return found | {cluster.metadata.name: "name"}


def _common(one: Cluster, other: Cluster) -> dict[str, str]:
    both = _peculiar(one).items() & _peculiar(other).items()
    return dict(sorted(both))


def _abstract(item: ObjectDiff, words: Mapping[str, str]) -> ObjectDiff:
    """The same with a cluster's name and variables in place of their values."""
    changes = _common_changes(item.changes, words)
    return ObjectDiff(
        kind=item.kind, name=item.name, namespace=item.namespace, what=item.what, changes=changes
    )


def _common_changes(changes: tuple[Change, ...], words: Mapping[str, str]) -> tuple[Change, ...]:
    if not words:
        return changes
    longest = sorted(words, key=len, reverse=True)
    pattern = re.compile(rf"(?<![A-Za-z0-9-])(?:{'|'.join(map(re.escape, longest))})(?![A-Za-z0-9-])")

    def common(text: str | None) -> str | None:
        return text and pattern.sub(lambda match: f"$({CLUSTER_PREFIX}{words[match[0]]})", text)

    def change(item: Change) -> Change:
        lines = tuple(str(common(line)) for line in item.text)
        return Change(path=item.path, old=common(item.old), new=common(item.new), text=lines)

    return tuple(map(change, changes))


# Releases and specs


def _effect(before: Release | None, after: Release | None) -> Any:
    if before is None or after is None:
        return "first" if before is None else "gone"
    pods = [{name: item.pod for name, item in release.clusters.items()} for release in (before, after)]
    same = all(pods[0][name] == pods[1][name] for name in pods[0].keys() & pods[1].keys())
    return "policy" if before.workload == after.workload and same else "workload"


def _made_of(side: Side) -> dict[str, Any]:
    """What a release's digest is of, by what people call it: see `inputs.release_digest`."""
    from canaryfleet.digest import ID_LENGTH, sha256

    assert side.spec is not None
    made: dict[str, Any] = {"spec": frozen_part(side.spec.document.data)}
    made |= {f"file {path}": sha256(data)[:ID_LENGTH] for path, data in side.spec.files.items()}
    for item in side.spec.base or ():
        made[f"base {item['kind']} {item['metadata']['name']}"] = item
    return made | {"fleet": asked(inputs(side.ground.repository, side.spec))}


def _waves(before: Release, after: Release) -> list[Change]:
    """Waves by name: their limits, their order and who is in them."""
    members = [{wave.name: set(wave.members) for wave in release.waves} for release in (before, after)]
    limits = ([_limits(wave) for wave in release.waves] for release in (before, after))
    found = difference.changes(next(limits), next(limits), "waves")
    for name in sorted(members[0].keys() & members[1].keys()):
        gone, come = members[0][name] - members[1][name], members[1][name] - members[0][name]
        if gone or come:
            found.append(Change(path=f"waves[{name}].members", old=_names(gone), new=_names(come)))
    return found


def _limits(wave: ReleaseWave) -> dict[str, Any]:
    return {key: value for key, value in _plain(wave).items() if key != "members"}


def _names(names: set[str]) -> str | None:
    return some(sorted(names), NAMED) if names else None


def _settings(side: Side) -> dict[str, Any]:
    """What of a spec is in force at once, and stands in no manifest."""
    data = side.spec.document.data if side.spec else {}
    rollback = data.get("rollback", {})
    found = {key: data[key] for key in ("lifecycle", "onNewRelease") if key in data}
    found |= {f"rollback.{key}": rollback[key] for key in ("automatic", "notify") if key in rollback}
    for key in ("waves", "hotfixWaves"):
        windows = [
            {"name": wave["name"], "windows": wave["windows"]}
            for wave in data.get(key, ())
            if "windows" in wave
        ]
        found |= {key: windows} if windows else {}
    return found
