"""`render --check`: proves that a tree is what canaryfleet writes, and says exactly what is not."""

from collections.abc import Iterator, Mapping
from posixpath import join
from typing import NamedTuple

from canaryfleet import applications, configs, repo
from canaryfleet.digest import sha256
from canaryfleet.errors import Finding, Place, Problems
from canaryfleet.files import Tree
from canaryfleet.freeze import Frozen
from canaryfleet.generated import load
from canaryfleet.git import blob_id
from canaryfleet.models.release import Release
from canaryfleet.render import Known, Waiting, candidate, resting, stale
from canaryfleet.repo import OVERLAYS, App, Committed
from canaryfleet.stale import differs

Merged = Mapping[str, list[tuple[str, str]]]
RESTORE = "restore it from Git: a release never changes"
PARTS = frozenset({"candidate.yaml", "promotion.yaml", repo.DONE, "config", "releases", "clusters"})


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
    merged = _merged(known)
    for name in _apps(known):
        if not known.tree.is_dir(join(OVERLAYS, name)) and name not in known.repository.specs:
            findings.append(_stray(join(OVERLAYS, name)))
            continue
        for part in known.tree.list(join(OVERLAYS, name)):
            if part not in PARTS:
                findings.append(_stray(join(OVERLAYS, name, part)))
        running = known.running.get(name)
        read = {running.id: running} if running else {}
        for id in repo.release_names(known.tree, name):
            releases += 1
            findings += _all(_release(known, merged, name, id, read))
        for folder in known.tree.list(join(OVERLAYS, name, "config")):
            findings += _all(_config(known, merged, name, folder))
        findings += _all(_candidate(known, name))
        try:
            app = repo.load_app(known.tree, name, read)
        except Problems as problems:
            findings += problems.findings
            continue
        overlays += len(app.overlays)
        for item in app.overlays.values():
            home = item.path.rsplit("/", 1)[0]
            findings += [_stray(path) for path in known.tree.walk(home) if path != item.path]
        findings += _all(_overlays(known, app, waiting))
    findings += _all(applications.check(known.tree, known.repository, known.frozen))
    return Proof(list(dict.fromkeys(findings)), waiting, overlays, releases)


def _all(found: Iterator[Finding]) -> Iterator[Finding]:
    """The same; a problem that ends one check is a finding, and does not end the others."""
    try:
        yield from found
    except Problems as problems:
        yield from problems.findings


def _stray(path: str) -> Finding:
    return Finding(Place(path), "CF168", "canaryfleet did not write this", "move it out of `overlays/`")


def _apps(known: Known) -> list[str]:
    """Apps with a spec, and those that have only something in `overlays/`."""
    return sorted({*known.repository.specs, *known.tree.list(OVERLAYS)})


def _release(known: Known, merged: Merged, app: str, id: str, read: dict[str, Release]) -> Iterator[Finding]:
    home = join(OVERLAYS, app, "releases", id)
    if not known.tree.is_dir(home):
        yield _stray(home)
        return
    yield from _rewritten(known, merged, home)
    if id not in read:
        read[id] = repo.release(known.tree, app, id)
    yield from _sums(known.tree, home, read[id])


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


def _merged(known: Known) -> Merged:
    """Path and blob id of each immutable file that is on the default branch, by its folder."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path, blob in (known.merged or {}).items():
        found.setdefault("/".join(path.split("/", 4)[:4]), []).append((path, blob))
    return found


def _rewritten(known: Known, merged: Merged, home: str) -> Iterator[Finding]:
    """Files that are otherwise on the default branch: release.yaml itself could have been rewritten too."""
    for path, blob in merged.get(home, ()):
        if not known.tree.exists(path):
            yield Finding(Place(path), "CF169", "the default branch has it, and here it is missing", RESTORE)
        elif blob_id(known.tree.read(path), len(blob)) != blob:
            yield Finding(Place(path), "CF169", "the default branch has it with other content", RESTORE)


def _config(known: Known, merged: Merged, app: str, folder: str) -> Iterator[Finding]:
    """Configuration is named by its content, so its name proves it."""
    home = join(OVERLAYS, app, "config", folder)
    if not known.tree.is_dir(home):
        yield _stray(home)
        return
    yield from _rewritten(known, merged, home)
    for path in known.tree.walk(home):
        if path.removeprefix(home + "/") not in ("config.yaml", "kustomization.yaml"):
            yield Finding(Place(path), "CF168", "canaryfleet did not write this", "remove it")
    yield from configs.wrong(known.tree, app, folder)


def _overlays(known: Known, app: App, waiting: list[Waiting]) -> Iterator[Finding]:
    frozen = known.frozen.get(app.name)
    if frozen is None:
        return
    calm = resting(known, app)
    for cluster, found in stale(known, app, frozen):
        if cluster in calm:
            has = differs(app.overlays[cluster], found.text)
            yield has._replace(
                code="CF171", remedy="run `canaryfleet render`: live settings follow the inventory"
            )
        else:
            waiting.append(Waiting(app.name, cluster, found.present, found.live))


def _candidate(known: Known, app: str) -> Iterator[Finding]:
    """The spec is released: its candidate is named, and the candidate's files are there."""
    frozen = known.frozen.get(app)
    if frozen is None:
        return
    release = frozen.release
    path = repo.candidate_path(app)
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
    yield from _unmerged(known, app, frozen)


def _unmerged(known: Known, app: str, frozen: Frozen) -> Iterator[Finding]:
    """A candidate that is not on the default branch yet is what its inputs make, byte for byte.

    Its own sums would not show that: whoever edits a file can edit them too.
    """
    for below, data in sorted(frozen.files.items()):
        path = join(OVERLAYS, app, below)
        if known.merged is None or path in known.merged or not known.tree.exists(path):
            continue
        committed = Committed(path, known.tree.read(path))
        if committed.data != data:
            yield differs(committed, data.decode())._replace(code="CF169", remedy="run `canaryfleet render`")
