"""A difference for people: as text for a terminal, as Markdown for a pull request within a limit of characters."""

from collections.abc import Iterable, Iterator, Sequence

from canaryfleet import excerpt, markdown
from canaryfleet.excerpt import INDENT, Section
from canaryfleet.models.diff import AppDiff, Change, Diff, Group, Members, ObjectDiff, ReleaseDiff

NAMES = 5  # clusters that are named
SIGNS = {"added": "+", "removed": "-", "changed": " "}
EFFECTS = {
    "workload": "other pods, which go from wave to wave",
    "policy": "the same pods by other rules: nothing restarts, and it still goes from wave to wave",
    "first": "a new app",
    "gone": "the spec is gone; what runs is left alone",
}
WAITS = " (rendered, it waits where a Rollout may be in the middle of a canary)"
NOTHING = "nothing is another"


def text(diff: Diff) -> str:
    """Everything, for a terminal or a file."""
    said = list(excerpt.lines(sections(diff)))
    before = diff.from_[:12] or "nothing: no commit is here yet"
    return "\n".join([f"compared with {before}", *(said or [NOTHING])])


def as_markdown(diff: Diff, limit: int) -> str:
    """As much as `limit` characters hold, as Markdown: whole fences, and how much is left out."""
    first = f"Compared with {markdown.code(diff.from_[:12])}."
    found = sections(diff)
    if not found:
        return f"{first} Nothing is another.\n"
    fits = excerpt.fit(excerpt.parts(found), limit - len(first) - 2, "run `canaryfleet diff` in a clone")
    return "\n\n".join([first, *fits]) + "\n"


def sections(diff: Diff) -> list[Section]:
    """What is another: an app in each section, then clusters, then the fleet."""
    found: list[Section] = [(_title(app), list(_app(app))) for app in diff.apps]
    if diff.inventory:
        found.append(("clusters", [_members(item) for item in diff.inventory]))
    if diff.fleet:
        found.append(("fleet.yaml", [("in force at once", tuple(_changes(diff.fleet)))]))
    return found


def _title(app: AppDiff) -> str:
    release = app.release
    if release is None:
        return f"{app.app}: the same release"
    if release.from_ is None or release.to is None:
        return f"{app.app}: {release.from_ or release.to}: {EFFECTS[release.effect]}"
    return f"{app.app}: {release.from_} becomes {release.to}: {EFFECTS[release.effect]}"


def _app(app: AppDiff) -> Iterator[tuple[str, tuple[str, ...]]]:
    if app.release is not None:
        yield from _release(app.release)
    if app.settings:
        yield "at once, in the spec alone", tuple(_changes(app.settings))
    for group in app.atOnce:
        yield (
            f"at once, {_where(group)}{_pointer(group)}{WAITS if group.waits else ''}",
            tuple(_objects(group)),
        )
    for group in app.byWaves:
        has = f" (now {group.from_})" if group.from_ else " (nothing yet)"
        yield f"with the release, {_where(group)}{has}", tuple(_objects(group))


def _release(release: ReleaseDiff) -> Iterator[tuple[str, tuple[str, ...]]]:
    if release.inputs:
        yield "what it is made of", tuple(_changes(release.inputs))
    if release.waves:
        yield "its waves", tuple(_changes(release.waves))


def _pointer(group: Group) -> str:
    if group.from_ == group.to:
        return ""
    return f": {group.from_ or 'nothing'} → {group.to or 'nothing'}"


def _where(group: Group) -> str:
    return f"on {_clusters(group.clusters)}"


def _clusters(names: Sequence[str]) -> str:
    if len(names) <= NAMES:
        return ", ".join(names)
    return f"{len(names):,} clusters ({', '.join(names[:3])}, …)"


def _members(item: Members) -> tuple[str, tuple[str, ...]]:
    said = {"added": "new", "removed": "gone", "changed": "changed"}[item.what]
    return f"{said}: {_clusters(item.clusters)}", tuple(_changes(item.changes))


def _objects(group: Group) -> Iterator[str]:
    for item in group.objects:
        yield f"{SIGNS[item.what]} {_object(item)}"
        yield from (f"{INDENT * 2}{line}" for line in _changes(item.changes))


def _object(item: ObjectDiff) -> str:
    return f"{item.kind} {item.name}"


def _changes(changes: Iterable[Change]) -> Iterator[str]:
    for item in changes:
        if item.text:
            yield f"{item.path}:"
            yield from (INDENT + line for line in item.text)
        elif item.old is None:
            yield f"{item.path}: + {item.new}"
        elif item.new is None:
            yield f"{item.path}: - {item.old}"
        else:
            yield f"{item.path}: {item.old} → {item.new}"
