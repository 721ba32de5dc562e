"""`canaryfleet init`."""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from canaryfleet.commands import arguments, outcome, questions
from canaryfleet.errors import ERROR, EXIT_OK, Finding, UsageError
from canaryfleet.phrases import count

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from canaryfleet.files import Tree
    from canaryfleet.init import Answers, Given
    from canaryfleet.registry import Registries

_CLUSTER = re.compile(r"(?P<name>[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?)(?::(?P<labels>.*))?")
_APP = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LARGEST = 4 << 20  # bytes of manifests
SCHEMAS = "schemas/"


def parser() -> "ArgumentParser":
    found = arguments.parser(
        "init",
        "Make a new GitOps repository, or a new app in one: by questions at a terminal, or by these options. "
        "Nothing that is there is changed.",
    )
    found.add_argument("app", nargs="?", metavar="APP", help="the new app; without one, only the repository")
    new = found.add_argument_group("the repository, if it is new")
    new.add_argument("--name", help="of the fleet (default: the folder's)")
    new.add_argument(
        "--prometheus", metavar="URL", help="where metrics are asked for (default: Istio's sample)"
    )
    new.add_argument(
        "--cluster",
        action="append",
        default=[],
        metavar="NAME[:LABEL=VALUE,…]",
        help="a new cluster, read by the context of its name; may be repeated",
    )
    _add_workload(found)
    how = found.add_argument_group("how it goes")
    how.add_argument("--yes", action="store_true", help="ask nothing: take what follows from the options")
    how.add_argument(
        "--unpinned", action="store_true", help="ask no registry for digests; `pin` does that later"
    )
    return found


def _add_workload(found: "ArgumentParser") -> None:
    what = found.add_argument_group("what the app runs: one of these")
    what.add_argument("--image", help="a container image; its tag is pinned to a digest by its registry")
    what.add_argument(
        "--from-deployment", metavar="FILE|-", help="manifests: a Deployment, its Service, and more"
    )
    what.add_argument(
        "--from-flagger", metavar="FILE|-", help="a Flagger Canary, its MetricTemplates, and its Deployment"
    )
    more = found.add_argument_group("more about the app")
    more.add_argument("--namespace", help="default: the manifest's, or the app's name")
    more.add_argument("--version", help="names the first release (default: the image's tag, or 1.0.0)")
    more.add_argument("--port", type=int, help="of an image (default: 8080), or which one of the Service")
    more.add_argument("--replicas", type=int, help="pods per cluster (default: 2, or the manifest's)")
    more.add_argument("--protocol", choices=("http", "http2", "grpc"), help="of an image (default: http)")
    more.add_argument("--host", action="append", default=[], help="a host outside the mesh; may be repeated")
    more.add_argument(
        "--gateway", action="append", default=[], metavar="NAMESPACE/NAME", help="takes the hosts"
    )
    more.add_argument("--startup", metavar="TIME", help="longest start, with the model's load: 5m")
    more.add_argument("--mutable", action="store_true", help="the image may change under its name")
    more.add_argument(
        "--deployment", metavar="NAME", help="which one of --from-deployment, if it has several"
    )
    adopt = more.add_mutually_exclusive_group()
    adopt.add_argument(
        "--adopt", action="store_true", default=None, help="it runs: take it over without a gap"
    )
    adopt.add_argument("--no-adopt", dest="adopt", action="store_false", help="it does not run")


def run(given: list[str]) -> int:
    options = arguments.parse(parser(), given)
    from canaryfleet import files
    from canaryfleet.init import start

    tree = _tree(options.root)
    answers = _answers(tree, options)
    files.recover(tree.root)
    made = start(tree, answers, _pinner(options))
    written = files.apply(tree.root, files.Changes(made.writes))
    left = [*made.findings, *_lint(tree, made.app)]
    _tell(made.app, written, left, as_json=options.output == "json")
    return EXIT_OK


def _tree(root: str | None) -> "Tree":
    """The repository that this is in, or the one that this folder becomes."""
    from canaryfleet import files

    return files.Tree(root or arguments.nearest_root() or os.getcwd())


def _pinner(options: "Namespace") -> Callable[[str], str]:
    """How images get their digests; who asks for one says where it was found."""
    if options.unpinned:
        return lambda image: image
    place = options.from_deployment or options.from_flagger or "--image"
    made: list[Registries] = []

    def pin(image: str) -> str:
        from canaryfleet import images

        known = images.parse(image)
        if known and known.digest:
            return image
        from canaryfleet.errors import Place, problem
        from canaryfleet.registry import Registries, Unresolved

        made.extend([] if made else [Registries(os.environ)])
        try:
            return made[0].pinned(image)
        except Unresolved as error:
            remedy = f"{error.remedy}; or --unpinned, and `canaryfleet pin` later"
            raise problem(Place(place), "CF043", str(error), remedy) from None

    return pin


def _lint(tree: "Tree", app: str | None) -> Sequence[Finding]:
    if app is None:
        return ()
    from canaryfleet.render import know

    return know(tree, [app]).findings


# From options and questions to answers


def _answers(tree: "Tree", options: "Namespace") -> "Answers":
    from canaryfleet import git, scaffold
    from canaryfleet.init import Answers

    new = not tree.exists("fleet.yaml")
    asking = questions.can_ask() and not options.yes
    if asking:
        _ask(options, os.path.basename(tree.root), new=new, has_clusters=bool(tree.list("clusters")))
    _complain(options, new=new, has_clusters=bool(tree.list("clusters")))
    return Answers(
        fleet=options.name or _fleet_name(os.path.basename(tree.root)),
        prometheus=options.prometheus or scaffold.PROMETHEUS,
        branch=(git.main_branch(tree.root) if new else None) or "main",
        clusters=dict(map(_cluster, options.cluster)),
        app=_named(options.app, _APP, "APP"),
        namespace=_named(options.namespace, _NAMESPACE, "--namespace"),
        version=options.version,
        image=options.image,
        port=options.port,
        replicas=options.replicas,
        protocol=options.protocol or "http",
        hosts=tuple(options.host),
        gateways=tuple(options.gateway),
        startup=options.startup,
        mutable=options.mutable,
        adopt=options.adopt,
        deployment=_given(options.from_deployment),
        named_deployment=options.deployment,
        flagger=_given(options.from_flagger),
    )


def _ask(options: "Namespace", folder: str, *, new: bool, has_clusters: bool) -> None:
    """Ask for what no option says."""
    from canaryfleet import scaffold

    ask = questions.ask
    if new:
        options.name = options.name or ask("Name of the fleet", _fleet_name(folder))
        options.prometheus = options.prometheus or ask("Address of Prometheus", scaffold.PROMETHEUS)
    if not options.cluster and not has_clusters:
        options.cluster = ask("Clusters (NAME[:LABEL=VALUE,…], with spaces between)").split()
    made_of = options.from_deployment or options.from_flagger
    if not options.app and not options.image and not made_of:
        options.app = ask("Name of the first app (Enter: none yet)" if new else "Name of the app") or None
    if not options.app or made_of:
        return
    options.image = options.image or ask("Container image") or None
    options.namespace = options.namespace or ask("Namespace", options.app)
    options.port = options.port or _whole(ask("Port that it serves", "8080"), "--port")
    options.replicas = options.replicas or _whole(ask("Pods per cluster", "2"), "--replicas")
    options.host = options.host or ask("Hosts outside the mesh (Enter: none)").split()
    if options.host and not options.gateway:
        options.gateway = ask("Istio gateway that takes them", "istio-ingress/public").split()


def _complain(options: "Namespace", *, new: bool, has_clusters: bool) -> None:
    """Say which options are missing, or don't go together. Raises UsageError."""
    made_of = options.from_deployment or options.from_flagger
    missing = []
    if not options.cluster and not has_clusters:
        missing.append("--cluster NAME")
    if not options.app and not made_of and (not new or options.image):
        missing.append("APP")
    if options.app and not made_of and not options.image:
        missing.append("--image, --from-deployment or --from-flagger")
    if missing:
        raise UsageError(
            f"init needs {', and '.join(missing)}: there is no terminal to ask at, or no answer was given"
        )
    if options.from_deployment and options.image:
        raise UsageError("--image and --from-deployment are two ways to say what runs: give one")
    if options.from_deployment == "-" == options.from_flagger:
        raise UsageError("standard input can't be read twice: put one of the two into a file")
    if options.host and not options.gateway and not options.from_flagger:
        raise UsageError("--host needs --gateway NAMESPACE/NAME: which Istio gateway takes its requests")


def _fleet_name(folder: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-") or "fleet"


def _whole(text: str, option: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"{option}: {text!r} is no whole number")
    return int(text)


def _named(text: str | None, pattern: re.Pattern[str], option: str) -> str | None:
    if text is not None and not pattern.fullmatch(text):
        rule = (
            "small letters, digits and `-`, beginning with a letter"
            if option == "APP"
            else "small letters, digits and `-`"
        )
        raise UsageError(f"{option}: {text!r} is no name: {rule}")
    return text


def _cluster(text: str) -> tuple[str, Mapping[str, str]]:
    found = _CLUSTER.fullmatch(text)
    pairs = [part.partition("=") for part in (found["labels"] or "").split(",") if part] if found else []
    if not found or any(not name or not sign for name, sign, _ in pairs):
        raise UsageError(f"--cluster: {text!r} is not of the form NAME or NAME:LABEL=VALUE,LABEL=VALUE")
    return found["name"], {name: value for name, _, value in pairs}


def _given(file: str | None) -> "Given | None":
    """The manifests of an option; the person names the file, so it may be anywhere."""
    from canaryfleet.errors import Place, problem
    from canaryfleet.init import Given

    if file is None:
        return None
    try:
        if file == "-":
            data = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with open(file, "rb") as opened:
                data = opened.read(_LARGEST + 1)
    except OSError as error:
        raise problem(Place(file), "CF012", f"cannot be read: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise problem(Place(file), "CF012", f"is larger than {_LARGEST} bytes")
    return Given(file, data)


# What is told


def _tell(app: str | None, written: Sequence[str], left: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        _print_json(app, written, left)
        return
    schemas = count(sum(path.startswith(SCHEMAS) for path in written), "file")
    together = f"{SCHEMAS} ({schemas}, for editors and programs)"
    for line in dict.fromkeys(together if path.startswith(SCHEMAS) else path for path in written):
        print(line)
    outcome.show(left, as_json=False)
    steps = ["pin"] * any(item.code == "CF117" and item.severity == ERROR for item in left) + [
        "lint",
        "render",
    ]
    then = (
        "; ".join(f"canaryfleet {step} {app}" for step in steps)
        if app
        else "canaryfleet init APP --image IMAGE"
    )
    print(f"{count(len(written), 'file')} written. Next: {then}")


def _print_json(app: str | None, written: Sequence[str], left: Sequence[Finding]) -> None:
    from msgspec import convert

    from canaryfleet import output
    from canaryfleet.models.started import Left, Started

    found = tuple(convert(output.finding_data(item), Left) for item in sorted(left))
    told: Any = Started(app=app, written=tuple(written), left=found)
    output.print_model(told)
