"""`prune`: takes releases and configuration away that nothing needs any more (DESIGN.md, invariant 11).

What is needed is for `limits.needed` to say, as it is for the gate. Beside that stays what any branch or other ref
names that is not merged, the pull requests of people and of the bot among them, and what is younger than thirty days.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from posixpath import join
from typing import NamedTuple

from canaryfleet import after, applications, commits, git, limits, situation
from canaryfleet.errors import ERROR, Place, Problems, problem
from canaryfleet.files import Changes, Tree
from canaryfleet.ground import Ground, survey
from canaryfleet.models.release import Release
from canaryfleet.past import WHOLE
from canaryfleet.render import Known
from canaryfleet.repo import OVERLAYS

CANT = "CF175"
REMEDIES = {
    "promotion-unreadable": "repair it",
    "clock-behind": "set the clock of this machine, or the bot's if that was ahead",
}
"""What a person does who wants to prune; that nothing goes forward meanwhile, the bot says."""


class Pruned(NamedTuple):
    """What goes, by app; and the files."""

    releases: Mapping[str, tuple[str, ...]]
    config: Mapping[str, tuple[str, ...]]
    changes: Changes


def prune(known: Known, now: datetime) -> Pruned:
    """What nothing needs, of the apps that are known.

    Raises `Problems`: what is wrong with the repository, CF182 the history is not all there, CF175 what is needed
    can't be known.
    """
    if any(item.severity == ERROR for item in known.findings):
        raise Problems(known.findings)
    tree = known.tree
    ref = git.default_ref(tree.root, known.repository.fleet.defaultBranch)
    commit = commits.resolve(tree.root, ref) if ref else ""
    ground = survey(tree, commit, now)
    seen = situation.read(ground, situation.weigh(ground, ()), (), "", now, list(known.repository.specs))
    elsewhere = list(_elsewhere(tree.root, ref or ""))
    releases: dict[str, tuple[str, ...]] = {}
    config: dict[str, tuple[str, ...]] = {}
    gone: set[str] = set()
    for app, found in seen.items():
        half = ground.halves[app]
        for reason in (*limits.unreadable(found), *limits.behind(found)):
            raise problem(Place(join(OVERLAYS, app)), CANT, reason.message, REMEDIES[reason.code])
        there = half.app.releases
        kept = (
            limits.needed(found)
            | set(_named(tree.root, app, [commit, *elsewhere]))
            | {known.frozen[app].release.id}
        )
        kept |= set(_young(ground, app, now))
        releases[app] = tuple(sorted(there.keys() - kept))
        config[app] = tuple(_config(tree, app, [there[id] for id in there.keys() & kept], known))
        for part, names in (("releases", releases[app]), ("config", config[app])):
            gone |= {path for name in names for path in tree.walk(join(OVERLAYS, app, part, name))}
    told = applications.changes(tree, known.repository, known.frozen, gone)
    return Pruned(releases, config, Changes(told.writes if gone else {}, frozenset(gone)))


def _elsewhere(root: str, default: str) -> Iterator[str]:
    """Commits of refs that the default branch does not have: where somebody's work is, or what a pull request is of."""
    merged = [
        "for-each-ref",
        "--format=%(objectname)",
        f"--no-merged={default}",
        "refs/heads/",
        "refs/remotes/",
        "refs/pull/",
    ]
    yield from sorted(set(git.run(root, merged).decode().split()))
    yield commits.resolve(root, "HEAD")


def _named(root: str, app: str, trees: Iterable[str]) -> Iterator[str]:
    """What overlays name in these commits, be it as a pointer or as a fallback."""
    for commit in trees:
        for pointer in after.read(root, commit, app).pointers.values():
            yield from (id for id in pointer or () if id)


def _young(ground: Ground, app: str, now: datetime) -> Iterator[str]:
    """Releases that came to the default branch within thirty days, or are not there yet."""
    home = join(OVERLAYS, app, "releases")
    added: dict[str, datetime] = {}
    logged = git.log(
        ground.tree.root, ground.commit, [home], below=ground.below, most=WHOLE.commits, timeout=WHOLE.seconds
    )
    for item in logged:
        for path, file in item.files.items():
            words = path.split("/")
            if (
                path.startswith(home + "/")
                and words[-1] == "release.yaml"
                and file.new
                and item.at is not None
            ):
                added.setdefault(words[3], datetime.fromtimestamp(item.at, UTC))
    for id in ground.halves[app].app.releases:
        if id not in added or added[id] >= now - limits.YOUNG:
            yield id


def _config(tree: Tree, app: str, kept: Iterable[Release], known: Known) -> Iterator[str]:
    """Configuration that no release mounts which stays."""
    used = {name for release in (*kept, known.frozen[app].release) for name in release.config}
    yield from (name for name in tree.list(join(OVERLAYS, app, "config")) if name not in used)
