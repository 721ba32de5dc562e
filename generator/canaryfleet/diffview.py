"""A difference for people: as text for a terminal, as Markdown for a pull request within a limit of characters."""

from collections.abc import Iterable, Iterator, Sequence

from canaryfleet import markdown
from canaryfleet.models.diff import AppDiff, Change, Diff, Group, Members, ObjectDiff, ReleaseDiff

NAMES = 5  # clusters that are named
INDENT = "  "
SIGNS = {"added": "+", "removed": "-", "changed": " "}
EFFECTS = {
    "workload": "other pods, which go from wave to wave",
    "policy": "the same pods by other rules: nothing restarts, and it still goes from wave to wave",
    "first": "a new app",
    "gone": "the spec is gone; what runs is left alone",
}
WAITS = " (rendered, it waits where a Rollout may be in the middle of a canary)"
NOTHING = "nothing is another"
LEFT_OUT = 160  # characters for what says that something is missing


def text(diff: Diff) -> str:
    """Everything, for a terminal or a file."""
    lines = [f"compared with {diff.from_[:12]}"]
    for title, blocks in _sections(diff):
        lines += ["", title]
        for said, below in blocks:
            lines += [INDENT + said, *(INDENT * 2 + line for line in below)]
    return "\n".join(lines if len(lines) > 1 else [*lines, NOTHING])


def as_markdown(diff: Diff, limit: int) -> str:
    """As much as `limit` characters hold, as Markdown: whole fences, and how much is left out."""
    made: list[str] = [f"Compared with {markdown.code(diff.from_[:12])}."]
    sections = list(_sections(diff))
    if not sections:
        return f"{made[0]} Nothing is another.\n"
    parts = [
        part
        for title, blocks in sections
        for part in (f"### {markdown.text(title)}", *(_part(*block) for block in blocks))
    ]
    room = limit - len(made[0]) - LEFT_OUT
    for number, part in enumerate(parts):
        fit = part if len(part) + 2 <= room else _cut(part, room - 2)
        made += [fit] if fit else []
        room -= len(fit) + 2
        if fit != part:
            made.append(_missing(len(parts) - number - 1))
            break
    return "\n\n".join(made) + "\n"


def _missing(parts: int) -> str:
    more = f", and {parts} more sections" if parts else ""
    return f"*The rest of this{more}: run `canaryfleet diff` in a clone.*"


def _part(said: str, below: Sequence[str]) -> str:
    """A sentence, and its lines in a fence that nothing in them can end."""
    if not below:
        return markdown.text(said)
    body = "\n".join(below)
    fence = "```"
    while fence in body:
        fence += "`"
    return f"{markdown.text(said)}\n\n{fence}\n{body}\n{fence}"


def _cut(part: str, room: int) -> str:
    """As many lines of a part as there is room for, with the fence closed; empty if that is none."""
    head, _, rest = part.partition("\n\n")
    first, *lines = rest.split("\n")
    closing = first
    room -= len(head) + 2 + 2 * (len(closing) + 1)
    kept: list[str] = []
    for line in lines[:-1]:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([head, "", first, *kept, closing]) if kept else ""


Blocks = list[tuple[str, tuple[str, ...]]]


def _sections(diff: Diff) -> Iterator[tuple[str, Blocks]]:
    for app in diff.apps:
        yield _title(app), list(_app(app))
    if diff.inventory:
        yield "clusters", [_members(item) for item in diff.inventory]
    if diff.fleet:
        yield "fleet.yaml", [("in force at once", tuple(_changes(diff.fleet)))]


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
