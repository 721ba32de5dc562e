"""`pin`: the images that an app's files name, with the digests that their registries say."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from posixpath import basename, join
from typing import Any, NamedTuple

from canaryfleet import edit, images, kustomize, repo
from canaryfleet.errors import Finding, Place, Problems
from canaryfleet.files import Tree, resolve
from canaryfleet.syntax import Document, parse, parse_manifests

UNRESOLVED = "CF043"
UNPINNED = "CF044"
Path = tuple[str | int, ...]
_CONTAINERS = ("containers", "initContainers")


class Use(NamedTuple):
    """An image where it stands: in which document of which file, and whose it is."""

    app: str
    file: str
    number: int
    path: Path
    place: Place
    image: str

    @property
    def is_pinned(self) -> bool:
        """Whether it has a digest."""
        known = images.parse(self.image)
        return known is not None and known.digest is not None


class Found(NamedTuple):
    """The images of an app's files; and what in its base gives them other tags, whatever is written for them."""

    uses: list[Use]
    retagged: list[Finding]


class Change(NamedTuple):
    """A use of an image, and how it has to be written."""

    use: Use
    new: str


def find(tree: Tree, app: str) -> Found:
    """The images that an app's spec and its base name, where a file has them as text.

    None of an app that says `mutable`. Raises Problems.
    """
    path = join(repo.SPECS, app, "canary.yaml")
    document = parse(tree.read(path), path)
    workload = _mapping(_mapping(document.data).get("workload"))
    found = Found([], [])
    if workload.get("mutable") is not True:
        found.uses.extend(_of_spec(app, document, workload))
        if isinstance(workload.get("base"), str):
            _of_base(tree, app, workload["base"], document, found)
    return found


def _of_spec(app: str, document: Document, workload: Mapping[str, Any]) -> Iterator[Use]:
    if isinstance(workload.get("image"), str):
        yield _use(app, document, 0, ("workload", "image"))
    metrics = _mapping(_mapping(document.data).get("analysis")).get("metrics")
    for number, metric in enumerate(metrics if isinstance(metrics, list) else ()):
        at = ("analysis", "metrics", number, "provider", "job")
        job = _mapping(_mapping(_mapping(metric).get("provider")).get("job"))
        yield from (_use(app, document, 0, (*at, *below)) for below in _images(job))


def _of_base(tree: Tree, app: str, base: str, document: Document, found: Found) -> None:
    try:
        folder = resolve(join(repo.SPECS, app), base)
    except ValueError as error:
        raise Problems([Finding(document.place(("workload", "base")), "CF011", str(error))]) from None
    scan = kustomize.scan(tree, folder)
    if scan.findings:
        raise Problems(scan.findings)
    for file in scan.files:
        is_kustomization = basename(file) in kustomize.FILE_NAMES
        if not file.endswith((".yaml", ".yml")) and not is_kustomization:
            continue
        for number, part in enumerate(parse_manifests(tree.read(file), file)):
            found.uses.extend(_use(app, part, number, path) for path in _images(part.data))
            if is_kustomization:
                found.retagged.extend(_retagged(part))


def _retagged(kustomization: Document) -> Iterator[Finding]:
    """Entries of `images` that set a tag and no digest: kustomize drops the digest that stands in the manifest."""
    entries = kustomization.data.get("images")
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        known = _mapping(entry)
        if "digest" not in known and ("newTag" in known or "newName" in known):
            text = f"kustomize gives the image {known.get('name')} a tag without a digest"
            remedy = "write `digest: sha256:…` there instead of `newTag`, or take the entry out and run `canaryfleet pin`"
            yield Finding(kustomization.place(("images", number)), UNPINNED, text, remedy)


def _images(data: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of the containers' images in an object, or in a part of one."""
    steps = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, value in steps:
        if step in _CONTAINERS and isinstance(value, list):
            for number, part in enumerate(value):
                if isinstance(_mapping(part).get("image"), str):
                    yield (*path, step, number, "image")
        else:
            yield from _images(value, (*path, step))


def _use(app: str, document: Document, number: int, path: Path) -> Use:
    value = document.data
    for step in path:
        value = value[step]
    return Use(app, document.file, number, path, document.place(path), value)


def changes(found: Iterable[Use], resolve: Callable[[str], str]) -> list[Change]:
    """What has to be written otherwise. `resolve` may raise ValueError, whose first words are the reason and the second
    the remedy; all of them become the `Problems` (CF043) of this."""
    changed, findings = [], []
    for use in found:
        try:
            new = resolve(use.image)
        except ValueError as error:
            findings.append(Finding(use.place, UNRESOLVED, *map(str, error.args[:2])))
            continue
        if new != use.image:
            changed.append(Change(use, new))
    if findings:
        raise Problems(findings)
    return changed


def files(tree: Tree, changed: Iterable[Change]) -> dict[str, bytes]:
    """The files with the changes, and otherwise as people wrote them. Raises Problems."""
    by_file: dict[str, dict[tuple[int, Path], str]] = {}
    for change in changed:
        by_file.setdefault(change.use.file, {})[change.use.number, change.use.path] = change.new
    return {file: edit.respell(tree.read(file), file, wanted) for file, wanted in by_file.items()}


def unpinned(found: Iterable[Use]) -> list[Finding]:
    """A finding for each image without a digest."""
    remedy = "`canaryfleet pin` asks its registry for the digest"
    return [
        Finding(use.place, UNPINNED, f"the image {use.image} has no digest", remedy)
        for use in found
        if not use.is_pinned
    ]


def moved(changed: Iterable[Change]) -> list[Finding]:
    """A finding for each image whose registry says another digest than the file."""
    return [
        Finding(
            change.use.place,
            UNPINNED,
            f"the registry says {change.new}, not {change.use.image}",
            "canaryfleet pin --update",
        )
        for change in changed
    ]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
