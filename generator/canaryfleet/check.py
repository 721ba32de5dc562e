"""`render --check`: proves that a tree is what canaryfleet writes, and says exactly what is not."""

from collections.abc import Iterator
from posixpath import join
from typing import NamedTuple

from canaryfleet import repo
from canaryfleet.digest import sha256, short
from canaryfleet.errors import Finding, Place, Problems
from canaryfleet.files import Tree
from canaryfleet.git import blob_id
from canaryfleet.models.release import Release
from canaryfleet.pointing import at_rest
from canaryfleet.render import App, Known, Waiting, candidate, candidate_path, load_app, stale
from canaryfleet.repo import OVERLAYS
from canaryfleet.syntax import load
from canaryfleet.workload.config import config_content

PARTS = frozenset({"candidate.yaml", "promotion.yaml", "config", "releases", "clusters"})


class Proof(NamedTuple):
    """What is wrong, what waits, and how much was proven."""

    findings: list[Finding]
    waiting: list[Waiting]
    overlays: int
    releases: int


def check(known: Known) -> Proof:
    """Check every app of the repository; findings include those of the specs."""
    findings = list(known.findings)
    waiting: list[Waiting] = []
    overlays = releases = 0
    for name in _apps(known):
        try:
            app = load_app(known.tree, name)
        except Problems as problems:
            findings += problems.findings
            continue
        overlays += len(app.overlays)
        for part in known.tree.list(join(OVERLAYS, name)):
            if part not in PARTS:
                findings.append(
                    Finding(
                        Place(join(OVERLAYS, name, part)),
                        "CF168",
                        "canaryfleet did not write this",
                        "move it out of `overlays/`",
                    )
                )
        for id in repo.release_names(known.tree, name):
            releases += 1
            findings += _release(known, name, id)
        for folder in known.tree.list(join(OVERLAYS, name, "config")):
            findings += _config(known, name, folder)
        findings += _overlays(known, app, waiting)
        findings += _candidate(known, name)
    return Proof(findings, waiting, overlays, releases)


def _apps(known: Known) -> list[str]:
    """Apps with a spec, and those that have only something in `overlays/`."""
    return sorted({*known.repository.specs, *known.tree.list(OVERLAYS)})


def _release(known: Known, app: str, id: str) -> Iterator[Finding]:
    home = join(OVERLAYS, app, "releases", id)
    try:
        release = repo.release(known.tree, app, id)
    except Problems as problems:
        yield from problems.findings
        return
    if release.id != id or release.metadata.name != app:
        yield Finding(
            Place(join(home, "release.yaml")),
            "CF163",
            f"it says that it is {release.metadata.name} {release.id}",
            "restore it from Git",
        )
    yield from _sums(known.tree, home, release)
    yield from _rewritten(known, home)


def _sums(tree: Tree, home: str, release: Release) -> Iterator[Finding]:
    there = {path.removeprefix(home + "/") for path in tree.walk(home)} - {"release.yaml"}
    for extra in sorted(there - set(release.files)):
        yield Finding(
            Place(join(home, extra)),
            "CF168",
            f"release {release.id} has no such file",
            "remove it: a release never changes",
        )
    for path, wanted in release.files.items():
        if path not in there:
            yield Finding(
                Place(join(home, path)), "CF169", "a file of the release is missing", "restore it from Git"
            )
        elif sha256(tree.read(join(home, path))) != wanted:
            yield Finding(
                Place(join(home, path)),
                "CF169",
                "its SHA-256 is not the one in release.yaml",
                "restore it from Git: a release never changes",
            )


def _rewritten(known: Known, home: str) -> Iterator[Finding]:
    """Files that are otherwise on the default branch: release.yaml itself could have been rewritten too."""
    if known.merged is None:
        return
    for path in known.tree.walk(home):
        merged = known.merged.get(path)
        if merged is not None and blob_id(known.tree.read(path), len(merged)) != merged:
            yield Finding(
                Place(path),
                "CF169",
                "the default branch has it with other content",
                "restore it from Git: a release never changes",
            )


def _config(known: Known, app: str, folder: str) -> Iterator[Finding]:
    """Configuration is named by its content, so its name proves it."""
    home = join(OVERLAYS, app, "config", folder)
    path = join(home, "config.yaml")
    try:
        item = load(known.tree.read(path), path)
        if not folder.removesuffix(".secret").endswith(short(config_content(item))):
            yield Finding(
                Place(path), "CF169", "its content is not the one that its name says", "restore it from Git"
            )
    except Problems as problems:
        yield from problems.findings
    except (KeyError, TypeError):
        yield Finding(Place(path), "CF163", "this is no ConfigMap or Secret", "restore it from Git")
    yield from _rewritten(known, home)


def _overlays(known: Known, app: App, waiting: list[Waiting]) -> Iterator[Finding]:
    frozen = known.frozen.get(app.name)
    if frozen is None:
        return
    calm = at_rest(app.pointers, app.releases)
    try:
        for cluster, found in stale(known, app, frozen):
            if cluster in calm:
                yield Finding(
                    Place(app.overlays[cluster].path),
                    "CF171",
                    "its live settings are not what the inventory says",
                    "run `canaryfleet render`",
                )
            else:
                waiting.append(Waiting(app.name, cluster, found.present, found.live))
    except Problems as problems:
        yield from problems.findings


def _candidate(known: Known, app: str) -> Iterator[Finding]:
    """The spec is released: its candidate is named, and the candidate's files are there."""
    frozen = known.frozen.get(app)
    if frozen is None:
        return
    release = frozen.release
    path = candidate_path(app)
    place = known.repository.specs[app].document.place(("version",))
    if not known.tree.exists(path) or not known.tree.exists(
        join(OVERLAYS, app, "releases", release.id, "release.yaml")
    ):
        yield Finding(
            place,
            "CF170",
            f"the spec resolves to release {release.id}, which is not rendered",
            "run `canaryfleet render`",
        )
        return
    present = load(known.tree.read(path), path)
    named = present.get("release") if isinstance(present, dict) else None
    if named != release.id:
        yield Finding(
            Place(path),
            "CF170",
            f"it names {named}, and the spec resolves to {release.id}",
            "run `canaryfleet render`",
        )
    elif known.tree.read(path) != candidate(release):
        yield Finding(Place(path), "CF167", "it is not what canaryfleet writes", "run `canaryfleet render`")
