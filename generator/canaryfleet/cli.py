"""The command line. Each command imports what it needs, when it is called: start-up is a feature."""

import itertools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from canaryfleet import __version__
from canaryfleet.errors import (
    ERROR,
    EXIT_BUG,
    EXIT_FINDINGS,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    EXIT_VERDICT,
    Finding,
    Problems,
    UsageError,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from canaryfleet.files import Tree
    from canaryfleet.models.status import Status
    from canaryfleet.overlay import Pointer
    from canaryfleet.render import Known, Rendering, Waiting
    from canaryfleet.sight import Bot
    from canaryfleet.sources import Source
    from canaryfleet.status import Plan

USAGE = """\
canaryfleet: progressive delivery across a fleet of clusters, by GitOps

usage: canaryfleet COMMAND [options]

  lint      say everything that is wrong with specs and clusters
  render    freeze releases and refresh overlays; --check proves the tree
  point     point the next clusters of a wave at a release
  build     print the final objects of an app on a cluster
  status    say what runs where, by wave, and what is true of it
  report    push a signed status of the cluster that this runs in
  reconcile look, decide, and move the next wave by a pull request
  gate      mark pull requests that would break a limit
  hold      hold an app, a wave or a cluster; resume ends it
  bar       bar a release and its workload; unbar lifts it
  excuse    let nobody wait for a cluster
  explain   decide a recorded decision again, and say what would change it
  rbac      print what a cluster has to allow, so that it can be read
  schema    write the JSON Schemas that editors use

`canaryfleet COMMAND --help` explains a command. Exit codes: 0 fine, 1 findings or bad input,
2 wrong usage, 3 a bug, 130 interrupted; `status --exit-code` has more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code. A bug gets a traceback and exit 3."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(given)
    except Problems as problems:
        _show(problems.findings, _wants_json(given))
        return EXIT_FINDINGS
    except UsageError as error:
        print(f"canaryfleet: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stdout = None  # the reader has gone; nothing to flush
        return EXIT_OK
    except Exception:  # the last line of defence, which says that it is a bug
        import traceback

        traceback.print_exc()
        print(
            "canaryfleet: this is a bug in canaryfleet; please report it with the lines above",
            file=sys.stderr,
        )
        return EXIT_BUG


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(USAGE, file=sys.stdout if given else sys.stderr)
        return EXIT_OK if given else EXIT_USAGE
    if given[0] == "--version":
        print(f"canaryfleet {__version__}")
        return EXIT_OK
    if given[0] not in COMMANDS:
        from canaryfleet.nearest import nearest

        raise UsageError(f"there is no command {given[0]}; {nearest(given[0], COMMANDS)}")
    return COMMANDS[given[0]](given[1:])


def _parser(command: str, description: str, *, output: bool = True) -> "ArgumentParser":
    from argparse import ArgumentParser

    parser = ArgumentParser(prog=f"canaryfleet {command}", description=description, allow_abbrev=False)
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="the GitOps repository (default: the nearest folder above with a fleet.yaml)",
    )
    if output:
        parser.add_argument(
            "--output", choices=("text", "json"), default="text", help="how to print the result"
        )
    return parser


def _add_timeout(parser: "ArgumentParser") -> None:
    parser.add_argument(
        "--timeout", default="10s", metavar="TIME", help="limit for each cluster by itself (default: 10s)"
    )


def _parse(parser: "ArgumentParser", given: list[str]) -> "Namespace":
    try:
        return parser.parse_args(given)
    except SystemExit as exit_:  # argparse has printed its message, or its help
        raise _Exit(int(exit_.code or 0)) from None


class _Exit(SystemExit):
    """argparse's own end; its codes are ours already."""


def _tree(root: str | None, *, to_write: bool = False) -> "Tree":
    """The repository; what an interrupted writer left behind is rolled back before it is read."""
    from canaryfleet import files

    tree = files.Tree(root or _nearest_root())
    if to_write:
        files.recover(tree.root)
    return tree


def _nearest_root() -> str:
    import os

    folder = os.getcwd()
    while not os.path.isfile(os.path.join(folder, "fleet.yaml")):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            raise UsageError("there is no fleet.yaml here or above; use --root, or go to a GitOps repository")
    return folder


def _wants_json(given: list[str]) -> bool:
    return any(word == "--output=json" for word in given) or "json" in [
        after for word, after in itertools.pairwise(given) if word == "--output"
    ]


def _show(findings: Sequence[Finding], as_json: bool) -> None:
    from canaryfleet import output

    if as_json:
        output.print_json({"findings": [output.finding_data(item) for item in sorted(findings)]})
    else:
        output.findings_text(findings, sys.stderr)


def _lint(given: list[str]) -> int:
    parser = _parser("lint", "Say everything that is wrong with the specs and clusters of a repository.")
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    options = _parse(parser, given)
    from canaryfleet.render import know

    known = know(_tree(options.root), options.apps)
    _show(known.findings, options.output == "json")
    if not known.findings and options.output == "text":
        print(
            f"{len(known.repository.specs)} specs and {len(known.repository.clusters)} clusters: nothing is wrong"
        )
    return _exit(known.findings)


def _exit(findings: Sequence[Finding]) -> int:
    return EXIT_FINDINGS if any(finding.severity == ERROR for finding in findings) else EXIT_OK


def _render(given: list[str]) -> int:
    parser = _parser(
        "render", "Freeze the releases that the specs resolve to, and let live settings follow the inventory."
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; say what in the tree is not what canaryfleet writes",
    )
    parser.add_argument(
        "--at-rest",
        action="append",
        default=[],
        metavar="CLUSTER",
        help="you have seen that its Rollout is at rest, so its live settings need not wait (or `all`)",
    )
    options = _parse(parser, given)
    from canaryfleet.render import know

    tree = _tree(options.root, to_write=not options.check)
    known = know(tree, options.apps)
    if options.check:
        return _check(known, options.output == "json")
    return _write_release(tree, known, options)


def _check(known: "Known", as_json: bool) -> int:
    from canaryfleet import output
    from canaryfleet.check import check

    proof = check(known)
    if as_json:
        output.print_json(
            {
                "findings": [output.finding_data(item) for item in sorted(proof.findings)],
                "waiting": [_waiting_data(item) for item in proof.waiting],
                "overlays": proof.overlays,
                "releases": proof.releases,
            }
        )
        return _exit(proof.findings)
    output.findings_text(proof.findings, sys.stderr)
    _tell_waiting(proof.waiting)
    if not _exit(proof.findings):
        print(f"{proof.overlays} overlays and {proof.releases} releases are what canaryfleet writes")
    return _exit(proof.findings)


def _write_release(tree: "Tree", known: "Known", options: "Namespace") -> int:
    from canaryfleet import files, output
    from canaryfleet.render import render

    rendering = render(known, options.at_rest)
    changed = files.apply(tree.root, rendering.changes)
    if options.output == "json":
        output.print_json(
            {
                "changed": sorted(changed),
                "releases": rendering.made,
                "waiting": [_waiting_data(item) for item in rendering.waiting],
                "findings": [output.finding_data(item) for item in sorted(rendering.findings)],
            }
        )
        return EXIT_OK
    output.findings_text(rendering.findings, sys.stderr)
    _tell_rendered(known, rendering, changed)
    return EXIT_OK


def _tell_rendered(known: "Known", rendering: "Rendering", changed: Sequence[str]) -> None:
    from canaryfleet.output import table

    rows = []
    for app, frozen in known.frozen.items():
        release = frozen.release
        state = "new" if rendering.made[release.id] else "there already"
        rows.append(
            (
                app,
                release.id,
                state,
                len(release.waves),
                len(release.clusters),
                len(rendering.refreshed.get(app, ())),
            )
        )
    print(table(rows, ("APP", "RELEASE", "STATE", "WAVES", "CLUSTERS", "LIVE SETTINGS REFRESHED")))
    _tell_waiting(rendering.waiting)
    print(f"{len(changed)} files changed")


def _tell_waiting(waiting: "Sequence[Waiting]") -> None:
    """Equal changes of many clusters read as one."""
    clusters: dict[tuple[str, str, str], list[str]] = {}
    for item in waiting:
        clusters.setdefault((item.app, *_difference(item)), []).append(item.cluster)
    for (app, old, new), names in clusters.items():
        where = (
            names[0]
            if len(names) == 1
            else f"{len(names)} clusters ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        )
        print(
            f"{app} on {where}: {old} becomes {new} once the Rollout is at rest (`render --at-rest CLUSTER` says that it is)"
        )


def _difference(item: "Waiting") -> tuple[str, str]:
    names = [
        name for name in item.present._fields if getattr(item.present, name) != getattr(item.wanted, name)
    ]
    shown = [
        ", ".join(f"{name} {getattr(live, name)}" for name in names) for live in (item.present, item.wanted)
    ]
    return shown[0], shown[1]


def _waiting_data(item: "Waiting") -> dict[str, object]:
    return {
        "app": item.app,
        "cluster": item.cluster,
        "present": item.present._asdict(),
        "wanted": item.wanted._asdict(),
    }


def _point(given: list[str]) -> int:
    parser = _parser(
        "point", "Point the next clusters of a wave at a release, by the rules that the bot uses."
    )
    parser.add_argument("app", metavar="APP")
    parser.add_argument("--wave", required=True, help="the wave to move")
    parser.add_argument("--release", metavar="ID", help="default: the candidate")
    parser.add_argument(
        "--verified",
        action="append",
        default=[],
        metavar="CLUSTER",
        help="you have seen it verified on what it has now (or `all`)",
    )
    options = _parse(parser, given)
    from datetime import UTC, datetime

    from canaryfleet import files, output
    from canaryfleet.point import point
    from canaryfleet.render import know

    tree = _tree(options.root, to_write=True)
    known = know(tree, [options.app])
    if _exit(known.findings):
        raise Problems(known.findings)
    moved = point(known, options.app, options.wave, options.release, options.verified, datetime.now(UTC))
    files.apply(tree.root, files.Changes(moved.writes, frozenset()))
    if options.output == "json":
        pointers = {name: pointer._asdict() for name, pointer in moved.pointers.items()}
        output.print_json(
            {"release": moved.release.id, "wave": moved.wave, "pointers": pointers, "reasons": moved.reasons}
        )
    else:
        _tell_pointed(moved.release.id, moved.pointers, moved.reasons)
    return EXIT_FINDINGS if moved.reasons else EXIT_OK


def _tell_pointed(release: str, pointers: "dict[str, Pointer]", reasons: Sequence[str]) -> None:
    for reason in reasons:
        print(f"nothing moved: {reason}", file=sys.stderr)
    for name, pointer in pointers.items():
        print(
            f"{name} -> {release}"
            + (f" (falls back to {pointer.fallback})" if pointer.fallback else " (nothing to fall back to)")
        )


def _overrule(command: str, description: str) -> Callable[[list[str]], int]:
    """A command that edits promotion.yaml, and leaves the rest of its text as people wrote it."""

    def run(given: list[str]) -> int:
        options = _parse(_overruling(command, description), given)
        from datetime import UTC, datetime

        from canaryfleet import files, output, overrule

        tree = _tree(options.root, to_write=True)
        if command in ("resume", "unbar") or getattr(options, "end", False):
            changes = overrule.end(tree, command, vars(options))
        else:
            now = datetime.now(UTC)
            changes = overrule.begin(tree, command, vars(options), now)
            if command == "excuse":
                left = overrule.last_witness(tree, options.app, options.cluster, now)
                output.findings_text(left, sys.stderr)
        (path,) = files.apply(tree.root, changes)
        if options.output == "json":
            output.print_json({"changed": path})
        else:
            print(f"{path} changed; it is in force once it is on the default branch")
        return EXIT_OK

    return run


def _overruling(command: str, description: str) -> "ArgumentParser":
    parser = _parser(command, description)
    parser.add_argument("app", metavar="APP")
    if command in ("hold", "resume"):
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--wave", metavar="WAVE", help="only this wave")
        where.add_argument("--cluster", metavar="CLUSTER", help="only the wave of this cluster")
    elif command == "excuse":
        parser.add_argument("cluster", metavar="CLUSTER")
        parser.add_argument("--end", action="store_true", help="wait for it again")
    else:
        parser.add_argument("release", metavar="RELEASE", help="its id, or its version if only one has it")
    if command == "bar":
        parser.add_argument("--alone", action="store_true", help="only this release, not its workload")
    if command in ("hold", "bar", "excuse"):
        parser.add_argument("--why", help="for everybody who meets it (needed)")
        parser.add_argument("--by", metavar="WHO", help="default: user.name of git")
        parser.add_argument(
            "--until", metavar="TIME", help="2h, 3d or 2026-11-20T10:00:00Z; default: until it is ended"
        )
    return parser


def _build(given: list[str]) -> int:
    app, cluster, root = _build_words(given)
    from canaryfleet.emit import emit_all
    from canaryfleet.manifests import Builder, overlay_folder

    tree = _tree(root)
    sys.stdout.write(emit_all(Builder(tree.read).build(overlay_folder(app, cluster))))
    return EXIT_OK


def _build_words(given: list[str]) -> tuple[str, str, str | None]:
    """App, cluster and root. The plugin starts this for every application: as it calls it, without argparse."""
    root, words = (given[1], given[2:]) if given[:1] == ["--root"] and given[1:] else (None, given)
    if len(words) == 2 and not any(word.startswith("-") for word in (root or "", *words)):
        return words[0], words[1], root
    parser = _parser(
        "build",
        "Print the final objects of an app on a cluster: what `kustomize build` of its overlay gives.",
        output=False,
    )
    parser.add_argument("app", metavar="APP")
    parser.add_argument("cluster", metavar="CLUSTER")
    options = _parse(parser, given)
    return options.app, options.cluster, options.root


def _status(given: list[str]) -> int:
    parser = _parser(
        "status",
        "Say what runs where, by wave: release, verdict, step, weight, and the metric nearest to its threshold.",
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    parser.add_argument("--watch", action="store_true", help="look again and again, until interrupted")
    parser.add_argument(
        "--every", default="5s", metavar="TIME", help="with --watch: time between looks (default: 5s)"
    )
    _add_timeout(parser)
    parser.add_argument("--record", metavar="FILE", help="write what was seen to a file, without secrets")
    parser.add_argument("--snapshot", metavar="FILE", help="judge a recorded file instead of the clusters")
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="end with the worst verdict: 0 Verified, 10 Progressing, 11 Inconclusive, 12 Unknown, 13 Failed",
    )
    options = _parse(parser, given)
    timeout, every = _seconds(options.timeout, "--timeout"), _seconds(options.every, "--every")
    if options.watch and (options.record or options.snapshot or options.output == "json"):
        raise UsageError("--watch shows clusters as they are: it goes with no --record, --snapshot or json")
    from canaryfleet import status

    tree = _tree(options.root)
    source = _source(options.snapshot, tree.root)
    if options.watch:
        return _watch(tree, options.apps, source, timeout, every)
    found = status.remember(tree, status.plan(tree, options.apps))
    _show(found.findings, as_json=False)
    shown = (
        _record(found, source, timeout, options.record)
        if options.record
        else status.read(found, source, timeout)
    )
    _tell_status(shown, options.output == "json")
    return _exit(found.findings) or (_worst(shown) if options.exit_code else EXIT_OK)


def _record(found: "Plan", source: "Source", timeout: float, path: str) -> "Status":
    from canaryfleet.sources.snapshot import Recording
    from canaryfleet.status import read

    recording = Recording()
    shown = read(found, source, timeout, recording.add)
    recording.write(path)
    return shown


def _seconds(text: str, option: str) -> float:
    from canaryfleet.quantity import duration

    try:
        seconds = float(duration(text))
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if not seconds:
        raise UsageError(f"{option}: it has to be more than nothing, such as 10s")
    return seconds


def _source(snapshot: str | None, root: str) -> "Source":
    if snapshot:
        from canaryfleet.sources.snapshot import Recorded

        return Recorded.of_file(snapshot)
    from canaryfleet.sources.many import Many

    return Many(root)


def _watch(tree: "Tree", apps: Sequence[str], source: "Source", timeout: float, every: float) -> int:
    """Until it is interrupted. The repository is read anew each time: a pull may have moved pointers."""
    import gc
    import time

    from canaryfleet import status
    from canaryfleet.view import Board

    gc.enable()  # unlike every other command, this one lives long
    with Board(sys.stdout) as board:
        while True:
            found = status.remember(tree, status.plan(tree, apps))
            for shown, whole in status.follow(found, source, timeout):
                board.show(shown, whole=whole)
            time.sleep(every)


def _tell_status(status: "Status", as_json: bool) -> None:
    if as_json:
        from msgspec import json

        print(json.format(json.encode(status), indent=2).decode())
        return
    from canaryfleet import view

    print(view.text(status, sys.stdout))


def _worst(status: "Status") -> int:
    from canaryfleet.board import verdicts
    from canaryfleet.verdict import worst

    found = worst(verdicts(status))
    return EXIT_VERDICT[found.kind] if found else EXIT_OK


def _report(given: list[str]) -> int:
    parser = _parser(
        "report",
        "Read the cluster that this runs in, sign what was seen, and push it to a Git ref of its own.",
        output=False,
    )
    parser.add_argument("cluster", metavar="CLUSTER", help="which one it is: clusters/<cluster>.yaml")
    parser.add_argument(
        "--key",
        required=True,
        metavar="FILE",
        help="private SSH key; the public one is in the cluster's file",
    )
    parser.add_argument(
        "--context", metavar="NAME", help="read it by a context of the kubeconfig, to try this from outside"
    )
    parser.add_argument(
        "--timeout", default="30s", metavar="TIME", help="limit for reading the cluster (default: 30s)"
    )
    options = _parse(parser, given)
    timeout = _seconds(options.timeout, "--timeout")
    from canaryfleet import status
    from canaryfleet.sources.pushed import push

    tree = _tree(options.root)
    found = status.plan(tree)
    sighting = status.own(found, options.cluster, options.context, _source(None, tree.root), timeout)
    ref = push(tree.root, sighting, options.key)
    _show(found.findings, as_json=False)
    if sighting.problem:
        print(f"pushed to {ref} that nothing was seen: {sighting.problem.message}", file=sys.stderr)
        return EXIT_FINDINGS
    print(f"{len(sighting.apps)} apps of {options.cluster} pushed to {ref}")
    return _exit(found.findings)


def _bot(options: "Namespace") -> "Bot":
    """The bot of the clone that the options name."""
    from canaryfleet import bot

    tree = _tree(options.root)
    return bot.make(tree, _source(None, tree.root), _seconds(options.timeout, "--timeout"))


def _reconcile(given: list[str]) -> int:
    parser = _parser(
        "reconcile",
        "Look at Git, the forge and the clusters; decide; and move the next wave by one pull request an app.",
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="only say what it would do, and why")
    how.add_argument("--watch", action="store_true", help="as a service: again and again, until it is ended")
    parser.add_argument(
        "--every",
        default="1m",
        metavar="TIME",
        help="with --watch: time between runs of an app (default: 1m)",
    )
    parser.add_argument(
        "--listen",
        default=":8080",
        metavar="ADDRESS",
        help="with --watch: where /healthz, /readyz and /metrics answer (default: :8080)",
    )
    parser.add_argument(
        "--lease", action="store_true", help="with --watch, in a cluster: share the apps among replicas"
    )
    _add_timeout(parser)
    options = _parse(parser, given)
    if options.watch and options.output == "json":
        raise UsageError("--watch writes a log of JSON lines, and goes with no --output json")
    from canaryfleet import bot

    made = _bot(options)
    if options.watch:
        every = _seconds(options.every, "--every")
        return bot.run_forever(made, options.apps, every=every, listen=options.listen, lease=options.lease)
    return bot.run_once(made, options.apps, dry=options.dry_run, as_json=options.output == "json")


def _gate(given: list[str]) -> int:
    parser = _parser(
        "gate", "Judge open pull requests by the tree that merging them would produce, and mark their heads."
    )
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="only these pull requests")
    _add_timeout(parser)
    options = _parse(parser, given)
    from canaryfleet import bot

    made = _bot(options)
    return bot.run_gate(made, options.numbers, as_json=options.output == "json")


def _explain(given: list[str]) -> int:
    parser = _parser(
        "explain",
        "Decide a recorded decision again: is it the same, what decided it, and what would have to change for another?",
    )
    parser.add_argument(
        "record",
        metavar="NUMBER|FILE|HASH|-",
        help="a pull request of the bot, a file with its text or a record, a record's hash, or standard input",
    )
    parser.add_argument(
        "--input",
        action="store_true",
        help="print what was decided on, as JSON: change it, and explain it again",
    )
    options = _parse(parser, given)
    from canaryfleet import explain, output
    from canaryfleet.record import canonical

    loaded = explain.load(options.record, lambda: _tree(options.root))
    if options.input:
        sys.stdout.write(canonical(loaded.record).decode() + "\n")
        return EXIT_OK
    found = explain.explain(loaded)
    if options.output == "json":
        output.print_json(explain.data(found))
    else:
        print(explain.text(found))
    return EXIT_FINDINGS if found.differences else EXIT_OK


def _rbac(given: list[str]) -> int:
    parser = _parser(
        "rbac",
        "Print what a cluster has to allow, so that its status can be read: `kubectl apply -f -`.",
        output=False,
    )
    parser.add_argument("apps", nargs="*", metavar="APP", help="only these apps")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--user", metavar="NAME", help="for this user, instead of a service account")
    who.add_argument("--group", metavar="NAME", help="for this group of users")
    parser.add_argument(
        "--bot",
        action="store_true",
        help="the bot runs on this cluster too: its replicas share apps by Leases",
    )
    options = _parse(parser, given)
    from canaryfleet import rbac, status

    found = status.plan(_tree(options.root), options.apps)
    _show(found.findings, as_json=False)
    reader = rbac.user(options.user) if options.user else rbac.group(options.group) if options.group else None
    sys.stdout.write(rbac.text(status.questions(found), reader, bot=options.bot))
    return _exit(found.findings)


def _schema(given: list[str]) -> int:
    parser = _parser(
        "schema", "Write the JSON Schemas of specs, clusters and the other files to schemas/.", output=False
    )
    parser.add_argument("--check", action="store_true", help="write nothing; say which are not current")
    options = _parse(parser, given)
    from canaryfleet import files, schema
    from canaryfleet.errors import Place

    tree = _tree(options.root, to_write=not options.check)
    wanted = schema.files()
    if not options.check:
        changed = files.apply(tree.root, files.Changes(wanted, frozenset()))
        print(f"{len(changed)} of {len(wanted)} schemas changed")
        return EXIT_OK
    findings = [
        Finding(Place(path), "CF172", "the schema is not current", "run `canaryfleet schema`")
        for path, data in wanted.items()
        if not tree.exists(path) or tree.read(path) != data
    ]
    _show(findings, as_json=False)
    return _exit(findings)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "lint": _lint,
    "render": _render,
    "point": _point,
    "build": _build,
    "status": _status,
    "report": _report,
    "reconcile": _reconcile,
    "gate": _gate,
    "hold": _overrule("hold", "Hold an app, one wave or one cluster: nothing moves forward there."),
    "resume": _overrule("resume", "End what `hold` began."),
    "bar": _overrule("bar", "Bar a release and its workload: no cluster is given it."),
    "unbar": _overrule("unbar", "Lift what bars a release, by people or the bot."),
    "excuse": _overrule("excuse", "Let nobody wait for a cluster; it catches up in a last wave."),
    "explain": _explain,
    "rbac": _rbac,
    "schema": _schema,
}


def run() -> None:
    """The console script. What a command makes is needed until it ends: looking for garbage costs a third."""
    import gc

    gc.disable()
    sys.exit(main())
