"""The semantic difference of plain data and of Kubernetes objects.

Lists are matched by what their items are called, objects by kind, namespace and name; what a name or a
stamp says of content is left out on both sides, for the content itself is compared. Everything that
differs is said: no change at all means that both are the same but for these names.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher, unified_diff
from typing import Any

from canaryfleet import masked
from canaryfleet.digest import ID_LENGTH
from canaryfleet.errors import one_line
from canaryfleet.masked import HIDDEN, Hidden
from canaryfleet.models.diff import Change, ObjectDiff

Object = dict[str, Any]
SHOWN = 160  # characters of a value
LINES, WIDTH = 40, 200  # of a text
LARGEST = 1_000_000  # pairs of lines or items that are compared
# What an item of a list is called: the first of these that it has.
KEYS = ("name", "preset", "mountPath", "containerPort", "port", "key", "templateName", "metricName", "host")
NAMED_BY_CONTENT = frozenset(["AnalysisRun", "AnalysisTemplate", "ConfigMap", "Secret"])
_CONTENT = re.compile(rf"^(.+-)[0-9a-f]{{{ID_LENGTH}}}$")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NOTHING = object()


# Plain data


def changes(old: Any, new: Any, at: str = "") -> list[Change]:
    """Everything in which two pieces of plain data differ, by path; secrets are hidden."""
    return list(_walk(masked.hide(old), masked.hide(new), at))


def _walk(old: Any, new: Any, at: str) -> Iterator[Change]:
    if old is new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}, key=str):
            yield from _walk(old.get(key, _NOTHING), new.get(key, _NOTHING), _member(at, str(key)))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(old, new, at)
    elif type(old) is not type(new) or old != new:
        yield _change(old, new, at)


def _member(at: str, key: str) -> str:
    if not _PLAIN_KEY.fullmatch(key):
        return f"{at}[{_clipped(key)}]" if at else _clipped(key)
    return f"{at}.{key}" if at else key


def _lists(old: Sequence[Any], new: Sequence[Any], at: str) -> Iterator[Change]:
    before, after = _by_name(old), _by_name(new)
    if before is None or after is None:
        yield from _by_place(old, new, at)
        return
    for name in {**before, **after}:
        yield from _walk(before.get(name, _NOTHING), after.get(name, _NOTHING), f"{at}[{_clipped(name)}]")
    kept = [[name for name in one if name in other] for one, other in ((before, after), (after, before))]
    if kept[0] != kept[1]:
        shown = _pair(", ".join(kept[0]), ", ".join(kept[1]))
        yield Change(path=f"{at} (order)", old=shown[0], new=shown[1])


def _by_name(items: Sequence[Any]) -> dict[str, Any] | None:
    """Items by what they are called; None if one has no name, or two have the same."""
    found = {name: item for item in items if isinstance(item, dict) and (name := _name(item)) is not None}
    return found if items and len(found) == len(items) else None


def _name(item: Mapping[str, Any]) -> str | None:
    name = next((item[key] for key in KEYS if key in item), None)
    return str(name) if isinstance(name, str | int) and not isinstance(name, Hidden) else None


def _by_place(old: Sequence[Any], new: Sequence[Any], at: str) -> Iterator[Change]:
    """Items without names: what stands between equal ones is compared, where there are as many of both."""
    if len(old) * len(new) > LARGEST:
        yield Change(path=at, old=f"{len(old)} items", new=f"{len(new)} others")
        return
    before, after = ([_json(item) for item in items] for items in (old, new))
    for what, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        same = min(j - i, m - k)
        for step in range(same):
            yield from _walk(old[i + step], new[k + step], f"{at}[{k + step}]")
        yield from (_change(old[index], _NOTHING, f"{at}[{index}]") for index in range(i + same, j))
        yield from (_change(_NOTHING, new[index], f"{at}[{index}]") for index in range(k + same, m))


def _change(old: Any, new: Any, at: str) -> Change:
    if isinstance(old, Hidden) and isinstance(new, Hidden):
        return Change(path=at, old=HIDDEN, new=f"{HIDDEN} (another)")
    if isinstance(old, str) and isinstance(new, str) and "\n" in old + new:
        return Change(path=at, text=tuple(_text(old, new)))
    shown = _pair(*(None if value is _NOTHING else _shown(value) for value in (old, new)))
    same = shown[0] == shown[1]  # but for what is hidden
    return Change(path=at, old=shown[0], new=f"{shown[1]} (another)" if same else shown[1])


def _text(old: str, new: str) -> Iterator[str]:
    """The lines that differ, each with `-` or `+`, and a little around them."""
    if isinstance(old, Hidden) or isinstance(new, Hidden):
        yield f"{HIDDEN} (another)"
        return
    # not splitlines: it takes more for the end of a line, and hides whether there is a last one
    before, after = old.split("\n"), new.split("\n")
    if len(before) * len(after) > LARGEST:
        yield f"{len(before)} lines, {len(after)} other ones"
        return
    lines = list(unified_diff(before, after, n=1, lineterm=""))[2:]
    lines = lines[:-1] if lines[-1] == " " else lines  # what stands behind the last end of a line
    for number, line in enumerate(lines):
        if number == LINES:
            yield f"… {len(lines) - LINES} more lines"
            return
        yield "@@" if line.startswith("@@") else one_line(_cut(masked.line(line[1:]), line[0]))


def _cut(text: str, sign: str) -> str:
    return sign + (text if len(text) <= WIDTH else text[: WIDTH - 1] + "…")


def _shown(value: Any) -> str:
    """A value as JSON, a string without quotes where it can be taken for nothing else."""
    if isinstance(value, Hidden):
        return HIDDEN
    if isinstance(value, str) and not _looks_otherwise(value):
        return masked.line(value)
    whole = isinstance(value, float) and value.is_integer()
    return _json(int(value) if whole else _uncovered(value))


def _looks_otherwise(text: str) -> bool:
    """Whether a string without quotes would be taken for nothing, a number, a list, or something of ours."""
    try:
        json.loads(text)
    except ValueError:
        return not text or text != text.strip() or text == HIDDEN or text[0] in "\"'[{"
    return True


def _uncovered(value: Any) -> Any:
    """For JSON: what is hidden says so, and texts are masked by themselves."""
    if isinstance(value, dict):
        return {key: _uncovered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_uncovered(item) for item in value]
    if isinstance(value, Hidden):
        return HIDDEN
    return "\n".join(map(masked.line, value.split("\n"))) if isinstance(value, str) else value


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _pair(old: str | None, new: str | None) -> tuple[str | None, str | None]:
    """Both clipped so that one sees in what they differ."""
    if old is None or new is None or max(len(old), len(new)) <= SHOWN:
        return (None if old is None else _clipped(old)), (None if new is None else _clipped(new))
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    begin = max(0, at - SHOWN // 4)
    head = "…" if begin else ""
    return _clipped(head + old[begin:]), _clipped(head + new[begin:])


def _clipped(text: str) -> str:
    return one_line(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


# Objects


def objects(
    old: Iterable[Object],
    new: Iterable[Object],
    before: Mapping[str, str] | None = None,
    after: Mapping[str, str] | None = None,
) -> tuple[ObjectDiff, ...]:
    """What differs between the objects that a cluster has and would have.

    `before`, `after`: what on each side stands for an identity, such as a release's id, and its common name.
    """
    sides = [_by_identity(side, names or {}) for side, names in ((old, before), (new, after))]
    found = []
    for key in sorted({*sides[0], *sides[1]}):
        one, other = sides[0].get(key), sides[1].get(key)
        namespace, kind, name = key[1], key[2], key[3]
        if one is not None and other is not None:
            differs = changes(one, other)
            what = "changed"
        else:
            differs, what = [], "removed" if other is None else "added"
        if differs or what != "changed":
            found.append(
                ObjectDiff(kind=kind, name=name, namespace=namespace, what=what, changes=tuple(differs))  # type: ignore[arg-type]
            )
    return tuple(found)


def _by_identity(side: Iterable[Object], known: Mapping[str, str]) -> dict[tuple[str, ...], Object]:
    items = list(side)
    names = {**known, **_content_names(items)}
    if names:
        pattern = re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)))
        items = [_renamed(item, pattern, names) for item in items]
    return {
        (
            item["apiVersion"].rpartition("/")[0],
            item["metadata"].get("namespace", ""),
            item["kind"],
            item["metadata"]["name"],
        ): item
        for item in items
    }


def _content_names(items: Iterable[Object]) -> dict[str, str]:
    """Names that end with a digest of content, and what they are without; not those that would be the same then."""
    found: dict[str, str] = {}
    for item in items:
        name = item["metadata"]["name"]
        match = _CONTENT.match(name) if item["kind"] in NAMED_BY_CONTENT else None
        if match:
            found[name] = match[1] + "…"
    plain = list(found.values())
    return {name: common for name, common in found.items() if plain.count(common) == 1}


def _renamed(value: Any, pattern: re.Pattern[str], names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(lambda match: names[match[0]], value)
    if isinstance(value, dict):
        return {key: _renamed(item, pattern, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(item, pattern, names) for item in value]
    return value
