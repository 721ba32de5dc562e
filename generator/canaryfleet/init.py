"""`init`: what to write for a new GitOps repository, or for a new app of one. Nothing that is there is changed."""

import re
from collections.abc import Callable, Iterator, Mapping
from posixpath import join
from typing import Any, NamedTuple

from canaryfleet import repo, scaffold, schema
from canaryfleet.emit import Unwritable
from canaryfleet.errors import Finding, Place, Problems, problem
from canaryfleet.files import Tree
from canaryfleet.scaffold import deployment, flagger, manifests
from canaryfleet.scaffold.deployment import Taken, Wish
from canaryfleet.scaffold.manifests import Manifest

THERE = "CF040"
_VERSION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,38}[A-Za-z0-9])?")
_FIRST_VERSION = "1.0.0"


class Given(NamedTuple):
    """Manifests as they were given: the file's name for messages, and its content."""

    file: str
    data: bytes


class Answers(NamedTuple):
    """What the person wants; None: what follows from the rest."""

    fleet: str
    prometheus: str = scaffold.PROMETHEUS
    branch: str = "main"
    clusters: Mapping[str, Mapping[str, str]] = {}
    app: str | None = None
    namespace: str | None = None
    version: str | None = None
    image: str | None = None
    port: int | None = None
    replicas: int | None = None
    protocol: str = "http"
    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    startup: str | None = None
    mutable: bool = False
    adopt: bool | None = None
    deployment: Given | None = None
    named_deployment: str | None = None
    flagger: Given | None = None

    @property
    def wants_app(self) -> bool:
        """Whether a spec is to be written, not only a repository."""
        return bool(self.app or self.image or self.deployment or self.flagger)


class Start(NamedTuple):
    """What to write, and what was not taken over."""

    app: str | None
    writes: dict[str, bytes]
    findings: tuple[Finding, ...]


class _App(NamedTuple):
    """One app: its names, its spec's parts, and further files by their path below the spec's folder."""

    name: str
    namespace: str
    version: str
    parts: scaffold.Parts
    files: dict[str, bytes]
    findings: tuple[Finding, ...]


def start(tree: Tree, answers: Answers, pin: Callable[[str], str]) -> Start:
    """The new files. `pin`: an image to the same with its digest.

    Raises `Problems`: CF040 a file is there already; CF041 manifests of which no app can be made; CF126 text that no
    YAML can carry; what `pin` raises; what the models refuse.
    """
    try:
        return _start(tree, answers, pin)
    except Unwritable as error:
        file = answers.flagger or answers.deployment
        raise problem(Place(file.file if file else "."), "CF126", str(error), "leave it out") from None


def _start(tree: Tree, answers: Answers, pin: Callable[[str], str]) -> Start:
    capacities = _capacities(tree, answers)
    writes: dict[str, bytes] = {}
    if not tree.exists(repo.FLEET):
        writes[repo.FLEET] = scaffold.fleet(answers.fleet, answers.prometheus, answers.branch)
    for name, labels in answers.clusters.items():
        writes[join(repo.CLUSTERS, f"{name}.yaml")] = scaffold.cluster(name, labels)
    app = _app(answers, pin) if answers.wants_app else None
    if app:
        home, waves = join(repo.SPECS, app.name), scaffold.waves(capacities)
        writes |= {join(home, path): data for path, data in app.files.items()}
        writes[join(home, "canary.yaml")] = scaffold.canary(
            app.name, app.namespace, app.version, app.parts, waves
        )
    _refuse_what_is_there(tree, writes)
    if not tree.exists(".gitignore"):
        writes[".gitignore"] = scaffold.GITIGNORE
    if not all(map(tree.exists, schema.paths())):
        writes |= {path: data for path, data in schema.files().items() if not tree.exists(path)}
    return Start(app.name if app else None, writes, app.findings if app else ())


def _capacities(tree: Tree, answers: Answers) -> dict[str, float]:
    """The clusters that a spec's waves are made of: those that are there, and the new ones."""
    findings: list[Finding] = []
    known = repo.read_clusters(tree, findings)
    if findings:
        raise Problems(findings)
    active = {name: cluster.capacity for name, cluster in known.items() if cluster.lifecycle == "active"}
    capacities = {**active, **dict.fromkeys(answers.clusters, 1.0)}
    if not capacities:
        raise problem(Place(repo.CLUSTERS), THERE, "there is no cluster yet", "name the first with --cluster")
    return capacities


def _refuse_what_is_there(tree: Tree, writes: Mapping[str, bytes]) -> None:
    there = [path for path in sorted(writes) if tree.exists(path)]
    if there:
        remedy = "init changes nothing that is there: move it away, or give another name"
        raise Problems(Finding(Place(path), THERE, "is there already", remedy) for path in there)


def _app(answers: Answers, pin: Callable[[str], str]) -> _App:
    if answers.flagger:
        return _of_flagger(answers, answers.flagger, pin)
    if answers.deployment:
        found = manifests.read(answers.deployment.data, answers.deployment.file)
        chosen = _deployment(found, answers, answers.named_deployment or answers.app, answers.deployment.file)
        taken = deployment.take(found, chosen, _wish(answers), None)
        parts = scaffold.Parts({}, _exposure(answers, taken.protocol), dict(scaffold.ANALYSIS))
        return _of_base(answers, answers.app or chosen.name, chosen, taken, parts, pin)
    return _of_image(answers, pin)


def _of_image(answers: Answers, pin: Callable[[str], str]) -> _App:
    assert answers.app is not None
    parts = scaffold.Parts({}, _exposure(answers, answers.protocol), dict(scaffold.ANALYSIS))
    return _with_image(answers, answers.app, answers.namespace or answers.app, parts, pin, 8080)


def _with_image(
    answers: Answers, app: str, namespace: str, parts: scaffold.Parts, pin: Callable[[str], str], port: int
) -> _App:
    assert answers.image is not None
    image = answers.image if answers.mutable else pin(answers.image)
    workload = scaffold.from_image(image, answers.port or port, answers.replicas or 2, answers.startup)
    if answers.mutable:
        workload["mutable"] = True
    version = answers.version or _version_of(answers.image)
    return _App(app, namespace, version, parts._replace(workload=workload), {}, ())


def _deployment(found: list[Manifest], answers: Answers, wanted: str | None, file: str) -> Manifest:
    """The Deployment of that name; the only one may have another name than the app."""
    deployments = [item for item in found if item.kind == "Deployment"]
    named = answers.named_deployment is None and len(deployments) == 1
    return manifests.only(found, "Deployment", None if named else wanted, file, "--deployment")


def _wish(answers: Answers) -> Wish:
    return Wish(answers.port, answers.replicas, answers.adopt, answers.startup)


def _of_base(
    answers: Answers,
    app: str,
    chosen: Manifest,
    taken: Taken,
    parts: scaffold.Parts,
    pin: Callable[[str], str],
) -> _App:
    """An app whose base is a Deployment. One that runs and is adopted keeps its images: others would restart it."""
    namespace = answers.namespace or chosen.namespace or app
    workload, comments = dict(taken.workload), list(parts.comments)
    if workload.get("adopt") and any("@" not in image for image in taken.images):
        workload["mutable"] = True
        comments.append(_ADOPTED)
    elif answers.mutable:
        workload["mutable"] = True
    else:
        taken = taken.with_images({image: pin(image) for image in taken.images})
    files = {join("base", name): data for name, data in taken.base(app, namespace).items()}
    made = parts._replace(workload=workload, comments=tuple(comments))
    return _App(app, namespace, answers.version or _version_of(taken.image), made, files, taken.findings)


def _of_flagger(answers: Answers, given: Given, pin: Callable[[str], str]) -> _App:
    found = manifests.read(given.data, given.file)
    canary = manifests.only(found, "Canary", answers.app if _several(found) else None, given.file, "APP")
    read = flagger.read(canary, [item for item in found if item.kind == "MetricTemplate"])
    app, namespace = answers.app or canary.name, answers.namespace or canary.namespace or canary.name
    own = {key: value for key, value in _exposure(answers, "http").items() if key in ("hosts", "gateways")}
    parts = scaffold.Parts({}, read.exposure | own, read.analysis, tuple(_comments(read.findings)))
    objects = found
    if answers.deployment:
        objects = manifests.read(answers.deployment.data, answers.deployment.file)
    if not any(item.kind == "Deployment" and item.name == read.target for item in objects):
        if answers.image is None:
            remedy = "give its manifest with --from-deployment, or --image"
            text = f"the Deployment {read.target} is not in it"
            raise problem(canary.place("spec", "targetRef"), manifests.UNFIT, text, remedy)
        port = read.service["spec"]["ports"][0]["targetPort"]
        made = _with_image(answers, app, namespace, parts, pin, port if isinstance(port, int) else 8080)
        return made._replace(findings=read.findings)
    chosen = manifests.only(objects, "Deployment", read.target, given.file, "--deployment")
    # Flagger scales its target down to nothing and runs a copy: there is nothing to adopt before it is gone
    wish = Wish(
        None, answers.replicas or chosen.spec.get("replicas") or 2, answers.adopt or False, answers.startup
    )
    taken = deployment.take(objects, chosen, wish, read.service_of(chosen))
    scaled = any(item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject") for item in taken.others)
    if scaled:
        taken.workload.pop("replicas")
    more = (
        [canary.left(_unscaled(read), _SCALE_IT, "spec", "autoscalerRef")]
        if read.autoscaler and not scaled
        else []
    )
    made = _of_base(answers._replace(namespace=namespace), app, chosen, taken, parts, pin)
    return made._replace(findings=(*read.findings, *more, *taken.findings))


_SCALE_IT = "put its manifest into the base, leading to the Deployment"


def _unscaled(read: flagger.Read) -> str:
    return f"Canary {read.name}: its autoscaler {read.autoscaler} is not in the file"


def _several(found: list[Manifest]) -> bool:
    return sum(item.kind == "Canary" for item in found) > 1


_ADOPTED = (
    "The Deployment that runs is adopted with its images as they are, so `mutable`. Pin them, and take `adopt` and "
    "`mutable` away, in the first release after it."
)
_FROM_FLAGGER = (
    "From a Flagger Canary. Two controllers must not move one service's traffic: before the first release, give that "
    "Canary `revertOnDeletion: true` and delete it."
)


def _comments(findings: tuple[Finding, ...]) -> Iterator[str]:
    """What Flagger was told, for those who read the spec and not what the command said."""
    yield _FROM_FLAGGER
    if findings:
        yield "What has no counterpart here:"
    for finding in findings:
        yield f"- {finding.message.partition(': ')[2]}" + (f" ({finding.remedy})" if finding.remedy else "")


def _exposure(answers: Answers, protocol: str) -> dict[str, Any]:
    return scaffold.exposure(answers.hosts, answers.gateways, protocol)


def _version_of(image: str) -> str:
    """The image's tag, if it can name a release."""
    name = image.partition("@")[0].rpartition("/")[2]
    tag = name.partition(":")[2]
    return tag if tag != "latest" and _VERSION.fullmatch(tag) else _FIRST_VERSION
