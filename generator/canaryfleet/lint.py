"""All that is wrong with a repository, before anything is written: each finding with its place."""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from datetime import datetime
from posixpath import join
from types import MappingProxyType
from typing import NamedTuple

from canaryfleet import images, overlay, silence
from canaryfleet.emit import Unwritable
from canaryfleet.engines.argo_rollouts.validate import validate
from canaryfleet.errors import ERROR, WARNING, Finding, Issue, Problems
from canaryfleet.freeze import Frozen, freeze
from canaryfleet.inputs import Inputs
from canaryfleet.live import Settings, resolve
from canaryfleet.manifests import Builder, Object, immutable, sort_key
from canaryfleet.models.release import Release
from canaryfleet.repo import OVERLAYS, Repository, Spec, overlay_path
from canaryfleet.resolve import Plan
from canaryfleet.silence import Heard

# Where in the spec a violation of a generated object most likely comes from.
SOURCES: dict[str, tuple[str, ...]] = {
    "AnalysisTemplate": ("analysis",),
    "AnalysisRun": ("analysis",),
    "VirtualService": ("exposure",),
    "DestinationRule": ("exposure",),
    "EnvoyFilter": ("exposure", "sticky"),
}


class Checked(NamedTuple):
    """Releases that the specs resolve to, by app, and what was found."""

    frozen: dict[str, Frozen]
    findings: list[Finding]
    plans: Mapping[str, Plan] = MappingProxyType({})
    silenced: Mapping[str, frozenset[str]] = MappingProxyType({})
    """Codes of which a spec ignored a warning, by app."""


def check(
    repository: Repository,
    previous: Mapping[str, Release],
    ran: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Checked:
    """Freeze every spec in memory and judge the result.

    `previous`: a release of each app that runs; `ran`: the images of it.
    """
    frozen: dict[str, Frozen] = {}
    findings: list[Finding] = []
    plans: dict[str, Plan] = {}
    silenced: dict[str, frozenset[str]] = {}
    owners: dict[tuple[str, ...], str] = {}
    for app, spec in repository.specs.items():
        outcome = freeze(inputs(repository, spec))
        issues = list(outcome.issues)
        if outcome.frozen is not None:
            issues += _moved(outcome.frozen.release, previous.get(app))
            issues += _handed_over(spec, outcome.frozen.release, previous.get(app))
            samples = _built(repository, spec, outcome.frozen, issues)
            issues += violations(spec, samples)
            issues += _shared(app, samples, owners)
            frozen[app] = outcome.frozen
            if outcome.plan is not None:
                issues += _retagged(outcome.plan, ran.get(app, ()))
        if outcome.plan is not None:
            plans[app] = outcome.plan
        heard = _heard(spec, issues)
        silenced[app] = heard.silenced
        findings += (located(spec, issue) for issue in heard.issues)
    return Checked(frozen, findings, plans, silenced)


def _heard(spec: Spec, issues: list[Issue]) -> Heard:
    """What the spec does not ignore, and what is wrong with that it ignores."""
    if not spec.model.lint.ignore:
        return Heard(issues, frozenset())
    heard = silence.hear(spec.model, issues)
    return heard._replace(issues=[*heard.issues, *silence.impossible(spec.model)])


class Advised(NamedTuple):
    """Warnings of what is legal and dangerous, and by app what the specs ignored of all warnings."""

    findings: list[Finding]
    silenced: Mapping[str, frozenset[str]]


def advise(
    repository: Repository, checked: Checked, pointed: Collection[str], now: datetime, *, all_apps: bool
) -> Advised:
    """Judge the specs in which nothing is wrong.

    `pointed`: apps of which every cluster is pointed at the release that the spec resolves to; `all_apps`: whether
    `repository` has all there are, so that sums over them are sums.
    """
    from canaryfleet import advice

    apps = {
        app: advice.App(checked.plans[app], frozen.release, app in pointed)
        for app, frozen in checked.frozen.items()
    }
    findings: list[Finding] = []
    silenced = dict(checked.silenced)
    for app, issues in advice.advise(apps, now).items():
        spec = repository.specs[app]
        heard = silence.hear(spec.model, issues)
        silenced[app] = checked.silenced.get(app, frozenset()) | heard.silenced
        useless = silence.useless(spec.model, silenced[app], all_apps=all_apps)
        findings += (located(spec, issue) for issue in (*heard.issues, *useless))
    return Advised(findings, silenced)


def inputs(repository: Repository, spec: Spec) -> Inputs:
    """What `freeze` needs of one app."""
    from canaryfleet import __version__

    tools = {"canaryfleet": __version__} | (repository.tools if spec.base is not None else {})
    return Inputs(
        spec.model, spec.document.data, spec.base, spec.files, repository.fleet, repository.clusters, tools
    )


def located(spec: Spec, issue: Issue) -> Finding:
    """An issue with its place in the spec's file."""
    return Finding(spec.document.place(issue.path), issue.code, issue.message, issue.remedy, issue.severity)


def _moved(release: Release, previous: Release | None) -> Iterator[Issue]:
    """Namespace and selector never change: the API server refuses it, and pods would be orphaned."""
    if previous is None:
        return
    if release.metadata.namespace != previous.metadata.namespace:
        yield Issue(
            ("metadata", "namespace"),
            "CF142",
            f"the app runs in namespace {previous.metadata.namespace}",
            "a move is a new app",
        )
    if release.selector != previous.selector:
        yield Issue(
            ("workload",),
            "CF142",
            f"the selector would change from {previous.selector} to {release.selector}",
            "a selector never changes; make a new app",
        )


def _handed_over(spec: Spec, release: Release, previous: Release | None) -> Iterator[Issue]:
    """CF305: what runs has its replicas in Git, and the release leaves them to an autoscaler.

    Whoever applies it takes the field away that only it owned (server-side apply), and the controller takes a Rollout
    without one for one pod (utils/defaults, GetReplicasOrDefault) until the autoscaler has acted.
    """
    if previous is None or not previous.live.replicas or release.live.replicas:
        return
    name, space = release.metadata.name, release.metadata.namespace
    yield Issue(
        ("workload", "base" if spec.model.workload.base else "autoscaler"),
        "CF305",
        "what runs has a fixed number of pods, and this release an autoscaler: stable pods may fall to one meanwhile",
        f"before each wave give spec.replicas of Rollout {space}/{name} a second owner: `canaryfleet explain CF305`",
        WARNING,
    )


def _retagged(plan: Plan, ran: Collection[str]) -> Iterator[Issue]:
    """CF304: content that runs already, under another tag."""
    work, pods = plan.inputs.spec.workload, plan.workload.template["spec"]
    named = [
        str(item.get("image")) for item in (*pods.get("initContainers", []), *pods.get("containers", []))
    ]
    for image, tag in images.retagged(named, ran):
        yield Issue(
            ("workload", "base" if work.base else "image"),
            "CF304",
            f"{image} has the digest of {tag}, which runs: it is the same content under another tag",
            f"`canaryfleet pin --update {plan.inputs.spec.metadata.name}` asks what the tag is now",
            WARNING,
        )


def _shared(app: str, samples: Iterable[list[Object]], owners: dict[tuple[str, ...], str]) -> Iterator[Issue]:
    """Objects that another app has too: whichever is applied last would win."""
    for key in sorted({sort_key(item) for objects in samples for item in objects}):
        other = owners.setdefault(key, app)
        if other != app:
            what = f"{key[1]} {key[3]} in namespace {key[2]}" if key[2] else f"{key[1]} {key[3]}"
            yield Issue(
                ("metadata", "name"), "CF143", f"{what} is made by {other} too", "give it to one of them"
            )


def violations(spec: Spec, samples: Iterable[list[Object]]) -> Iterator[Issue]:
    """What the controller would refuse or misroute, judged on the final objects of each variant."""
    seen: set[tuple[str, str]] = set()
    for objects in samples:
        for item in validate(objects):
            if (item.code, item.message) in seen:
                continue
            seen.add((item.code, item.message))
            at = _source(spec, item.kind, item.path, objects)
            where = ".".join(map(str, item.path))
            yield Issue(
                at,
                item.code,
                f"{item.kind} {item.name}: {item.message}" + (f" (at {where})" if where else ""),
                item.remedy,
                ERROR,
            )


def _source(
    spec: Spec, kind: str, path: tuple[str | int, ...], objects: Iterable[Object]
) -> tuple[str | int, ...]:
    default: tuple[str, ...] = ("workload", "base") if spec.model.workload.base else ("workload",)
    if kind == "Rollout" and path[:2] == ("spec", "strategy"):
        return ("exposure",)
    return SOURCES.get(kind, default)


def _built(repository: Repository, spec: Spec, frozen: Frozen, issues: list[Issue]) -> list[list[Object]]:
    """The final objects to judge; an object that canaryfleet itself can't build is an issue."""
    try:
        return list(_samples(repository, spec, frozen))
    except Unwritable as error:
        issues.append(
            Issue((), "CF126", str(error), "remove it from hosts, gateways, addresses and variables")
        )
    except Problems as problems:
        at = ("workload", "base") if spec.base is not None else ("workload",)
        issues += [Issue(at, item.code, item.message, _remedy(item)) for item in problems.findings]
    return []


def _remedy(finding: Finding) -> str:
    """What a person can do: the objects are not written yet, so rendering them again is no help."""
    if finding.code == "CF161":
        return "canaryfleet makes one of this name itself: remove it from the base, or rename it"
    return "an object of the base looks like one of canaryfleet's own: change its name or labels"


def _samples(repository: Repository, spec: Spec, frozen: Frozen) -> Iterator[list[Object]]:
    """The final objects of clusters that have each variant and each wave: all that can differ but live values."""
    release = frozen.release
    baking = overlay.bakes(release)
    settings = Settings(spec.model, frozen.bounds, repository.fleet)
    files = {join(OVERLAYS, spec.app, below): data for below, data in frozen.files.items()}
    builder = Builder(files.__getitem__, immutable)
    for name in _spread(release, baking, repository.clusters):
        at = overlay.target(release, name, baking)
        assert at is not None
        path = overlay_path(spec.app, name)
        live = resolve(settings, repository.clusters[name])
        files[path] = overlay.text(spec.app, at, None, (), live).encode()
        yield builder.build(path.removesuffix("/kustomization.yaml"))


def _spread(release: Release, baking: Mapping[str, str], known: Container[str]) -> Iterator[str]:
    """A few clusters that together have every variant and every wave: first those that bring one of both."""
    variants: set[str | None] = set()
    waves: set[str | None] = set()
    for wanted in (2, 1):
        for name, member in release.clusters.items():
            variant, wave = member.variant, baking.get(name)
            if (variant not in variants) + (wave not in waves) >= wanted and name in known:
                variants.add(variant)
                waves.add(wave)
                yield name
