"""What a promotion.yaml names and nobody knows: a hold, bar or excuse about nothing stops nothing, and looks as if it did.

Releases that were pruned are known to nobody, and their bars stay. So of a bar only its form is judged, and
whether it is nearly, but not quite, what is there.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from canaryfleet import schedule
from canaryfleet.digest import ID_LENGTH, STAMP_LENGTH
from canaryfleet.errors import WARNING, Finding, Place
from canaryfleet.models.canary import Canary
from canaryfleet.models.decision import ReleaseFacts
from canaryfleet.models.promotion import Bar, Promotion
from canaryfleet.models.release import Release
from canaryfleet.nearest import nearest, typo
from canaryfleet.proposal import BOT
from canaryfleet.syntax import Document

CODE = "CF189"
NAME = "promotion.yaml"
_RELEASE = re.compile(rf".+-[0-9a-f]{{{ID_LENGTH}}}")
_WORKLOAD = re.compile(rf"[0-9a-f]{{{STAMP_LENGTH}}}")


class There(NamedTuple):
    """What a promotion.yaml can name. `releases`: the workload of each by its id."""

    clusters: Collection[str]
    waves: Collection[str]
    releases: Mapping[str, str]


def there(
    clusters: Iterable[str], releases: Mapping[str, Release | ReleaseFacts], spec: Canary | None
) -> There:
    """What the inventory, the releases in the tree by id, and the spec (if it can be read) have."""
    members = {name for item in releases.values() for name in item.clusters}
    waves = {wave.name for item in releases.values() for wave in item.waves}
    waves |= {wave.name for wave in (*spec.waves, *spec.hotfixWaves)} if spec else set()
    return There({*clusters, *members}, waves, {id: item.workload for id, item in releases.items()})


def unknown(
    document: Document, promotion: Promotion, app: str, there: There, now: datetime
) -> Iterator[Finding]:
    """What the app's file names and is not there; what is over names nothing any more.

    An excuse about nothing stops nothing and lets nothing through, so that is a warning.
    """
    if promotion.metadata.name != app:
        what = f"it is in the folder of {app}, and says that it is of {promotion.metadata.name}"
        yield Finding(document.place(("metadata", "name")), "CF017", what, "give both the same name")
    for number, hold in enumerate(promotion.holds):
        if not schedule.lasts(hold.until, now):
            continue
        at = ("holds", number)
        yield from _known(document, (*at, "wave"), "wave", hold.wave, there.waves)
        yield from _known(document, (*at, "cluster"), "cluster", hold.cluster, there.clusters)
    for number, excuse in enumerate(promotion.excused):
        if schedule.lasts(excuse.until, now):
            place = ("excused", number, "cluster")
            for item in _known(document, place, "cluster", excuse.cluster, there.clusters):
                yield item._replace(severity=WARNING)
    for number, bar in enumerate(promotion.bars):
        if bar.by != BOT and schedule.lasts(bar.until, now):  # the bot names what there was, however long ago
            yield from _bar(document, number, bar, there)


def misnamed(folder: str, names: Collection[str]) -> Iterator[Finding]:
    """Files of an app's folder that are meant to be its promotion.yaml, and that nobody reads."""
    for name in sorted(names):
        if name == NAME or name.startswith("."):  # editors leave such behind
            continue
        if name.lower().startswith("promotion") or typo(name.lower(), (NAME,)):
            what = f"nobody reads a file named {name}: what it holds or bars is not"
            yield Finding(Place(f"{folder}/{name}"), "CF017", what, f"name it {NAME}")


def _known(
    document: Document, path: tuple[str | int, ...], what: str, name: str | None, known: Collection[str]
) -> Iterator[Finding]:
    if name is not None and name not in known:
        yield Finding(document.place(path), CODE, f"there is no {what} {name}", nearest(name, known))


def _bar(document: Document, number: int, bar: Bar, there: There) -> Iterator[Finding]:
    field = "release" if bar.release is not None else "workload"
    name = bar.release if bar.release is not None else bar.workload or ""
    known = there.releases if field == "release" else set(there.releases.values())
    if name in known:
        return
    place = document.place(("bars", number, field))
    if not (_RELEASE if field == "release" else _WORKLOAD).fullmatch(name):
        what = "id of a release" if field == "release" else "digest of a workload"
        remedy = _meant(name, there) or nearest(name, known)
        yield Finding(place, CODE, f"{name} is no {what}, so it bars nothing", remedy)
    elif close := typo(name, known):
        yield Finding(
            place, CODE, f"there is no {field} {name}, so it bars nothing", f"did you mean {close}?"
        )


def _meant(name: str, there: There) -> str:
    """Somebody wrote a version, or an id where the digest of a workload belongs."""
    same = [id for id in sorted(there.releases) if name in (id, id.rpartition("-")[0])]
    return f"did you mean `release: {same[0]}`?" if same else ""
