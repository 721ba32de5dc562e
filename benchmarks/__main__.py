"""Measures what canaryfleet claims, on fleets made for it, and says which claims hold.

Everything that is compared is measured in one run, turn by turn, and medians count: so ratios say much
the same on every machine. Seconds don't: the claim about them wants one that is not busy, and the load
is printed. Exit code 1 if a claim does not hold.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

import canaryfleet
from benchmarks import clusters, decisions, differences, generator, moves, overlays, status
from benchmarks.measure import Run, Series, paired, process
from canaryfleet import kustomize
from canaryfleet.manifests import overlay_folder
from canaryfleet.output import table


class Scale(NamedTuple):
    """How much is measured; only the full scale is judged."""

    sizes: tuple[int, int, int]
    apps: int
    rounds: int
    pairs: int
    decisions: tuple[int, int, int, int]
    many: tuple[int, int]
    """Clusters and apps of a fleet of its own, which has many apps."""
    judged: bool


FULL = Scale(
    sizes=(100, 500, 1000),
    apps=10,
    rounds=7,
    pairs=40,
    decisions=(10, 100, 1000, 10000),
    many=(10, 100),
    judged=True,
)
QUICK = Scale(
    sizes=(4, 8, 16), apps=2, rounds=2, pairs=4, decisions=(10, 20, 40, 80), many=(4, 6), judged=False
)


class Figure(NamedTuple):
    """One line of the table; memory is known of processes alone."""

    what: str
    milliseconds: float
    cpu: float | None = None
    memory: float | None = None
    ratio: float | None = None
    """How many times as fast as kustomize."""


class Claim(NamedTuple):
    """What is promised: a value and the limit that it keeps."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value < self.limit

    def __str__(self) -> str:
        bound = "at least" if self.at_least else "under"
        return f"{self.what}: {self.value:.4g}, {bound} {self.limit:g}"


class Report(NamedTuple):
    """All that was measured."""

    figures: list[Figure]
    claims: list[Claim]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and tell by the exit code whether all claims hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a small fleet: shows that it works, judges nothing"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    scale = QUICK if options.quick else FULL
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="canaryfleet-bench-") as folder:
        report = measure(Path(folder), scale)
    machine = (
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs ({platform.machine()}), load {busy:.1f}"
    )
    if options.json:
        print(json.dumps(_data(report, scale, machine), indent=2))
    else:
        _show(report, scale, machine)
    return int(scale.judged and not all(claim.holds for claim in report.claims))


def measure(folder: Path, scale: Scale) -> Report:
    """Make the fleets in a folder, and measure on them."""
    environment = _environment(folder)
    fleets = {size: folder / str(size) for size in scale.sizes}
    for size, root in fleets.items():
        _fleet(root, size, scale.apps, environment)
    largest = fleets[scale.sizes[-1]]
    # Processes first: the kernel counts this one's memory as theirs, and it is still small.
    checks = _checks(fleets, scale, environment)
    starts = _starts(largest, scale, environment)
    served = generator.measure(largest, scale.sizes[-1] * scale.apps, scale.rounds, environment)
    plans = _plans(scale, environment)
    diffs = _diffs(folder / "many", largest, scale, environment)
    statuses = _statuses(folder / "status", largest, scale, environment)
    read = clusters.measure(scale.sizes[-1], scale.rounds, folder, environment)
    pairs = overlays.measure(largest, scale.pairs)
    decided = decisions.measure(scale.decisions, scale.rounds)
    moved = moves.measure(_begun(folder, scale, environment), scale.rounds)
    return Report(
        [
            *_check_figures(checks, scale),
            *_overlay_figures(pairs),
            *_start_figures(starts),
            *_served_figures(served, scale),
            Figure(
                "process: canaryfleet plan, example fleet",
                plans[PLAN].seconds * 1e3,
                plans[PLAN].cpu * 1e3,
                plans[PLAN].memory,
            ),
            Figure(
                f"process: reading {scale.sizes[-1]} clusters over HTTPS, 75 KB each",
                read.all.seconds * 1e3,
                read.all.cpu * 1e3,
                read.all.memory,
            ),
            *_process_figures(diffs),
            *_process_figures(statuses),
            *(
                Figure(f"a decision for one app, {size} clusters", took * 1e3)
                for size, took in decided.items()
            ),
            *(
                Figure(f"from observations to the files of a pull request, {size} clusters", took.move * 1e3)
                for size, took in moved.items()
            ),
            *(
                Figure(f"reading Git before that, {size} clusters", took.git * 1e3)
                for size, took in moved.items()
            ),
        ],
        [
            Claim(
                "one overlay in process, warm, times as fast as kustomize",
                overlays.ratio(pairs, "warm"),
                100,
                True,
            ),
            Claim("the plugin, times as cheap as kustomize in processor time", _cheaper(starts), 1, True),
            Claim("the plugin, MB", starts[PLUGIN].memory, 60),
            Claim(f"serve, first answer of a commit, {_named(scale, -1)}, seconds", served.first, 5),
            Claim(f"serve, {_named(scale, -1)}, MB", served.process.memory, 200),
            Claim(f"render --check, {_named(scale, -1)}, seconds", checks[scale.sizes[-1]].seconds, 2),
            Claim(f"render --check, {_named(scale, -1)}, MB", checks[scale.sizes[-1]].memory, 300),
            Claim("plan of the example fleet, seconds beyond the bare interpreter", _beyond(plans), 0.1),
            Claim(f"status of {scale.sizes[-1]} clusters, seconds", statuses[SOURCE].seconds, 3),
            Claim(f"status of {scale.sizes[-1]} clusters, MB", _most(statuses), 200),
            Claim("CPU time of one more cluster, upper half to lower half", _growth(checks, scale), 1.3),
            Claim(f"reading {scale.sizes[-1]} clusters over HTTPS, MB", read.all.memory, 200),
            Claim("a cluster that hangs, seconds beyond its own limit", read.beyond, 0.5),
            Claim(f"a decision, {scale.decisions[2]} clusters, seconds", decided[scale.decisions[2]], 1),
            Claim(
                "a decision, time of a cluster, on the largest fleet to a tenth of it",
                _linear(decided, scale),
                1.5,
            ),
            Claim(
                f"from observations to the files of a pull request, {scale.decisions[2]} clusters, seconds",
                moved[scale.decisions[2]].move,
                1,
            ),
            Claim(
                "the same, time of a cluster, on the largest fleet to a tenth of it",
                _linear({size: took.move for size, took in moved.items()}, scale),
                1.5,
            ),
        ],
    )


def _environment(folder: Path) -> dict[str, str]:
    """This one's, with canaryfleet to import, and compiled once as an installed package is."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    sources = (Path(canaryfleet.__file__).parent.parent, Path(__file__).parent.parent)
    return kept | {
        "PYTHONPATH": os.pathsep.join(map(str, sources)),
        "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
    }


def _fleet(root: Path, size: int, apps: int, environment: Mapping[str, str]) -> None:
    """A committed fleet, made by a process of its own."""
    root.mkdir()
    _python(("benchmarks.fleet", str(root), str(size), str(apps)), root, environment)


def _python(words: tuple[str, ...], root: Path, environment: Mapping[str, str]) -> Run:
    return process((sys.executable, "-m", *words), root, environment)


def _checks(fleets: Mapping[int, Path], scale: Scale, environment: Mapping[str, str]) -> dict[int, Series]:
    """`render --check` as a whole process on each fleet, in turns."""
    calls = {
        str(size): lambda root=root: _python(("canaryfleet", "render", "--check"), root, environment)
        for size, root in fleets.items()
    }
    paired(1, calls)
    return {int(size): series for size, series in paired(scale.rounds, calls).items()}


PLUGIN, KUSTOMIZE = "canaryfleet cmp generate, as Argo CD starts it", "kustomize build of the same"


def _starts(root: Path, scale: Scale, environment: Mapping[str, str]) -> dict[str, Series]:
    """Short commands as whole processes, beside the bare interpreter and kustomize."""
    tool = kustomize.find()
    app, cluster = "app-00", min(path.stem for path in (root / "clusters").iterdir())
    overlay = overlay_folder(app, cluster)
    program = (sys.executable, "-m", "canaryfleet")
    commands: dict[str, tuple[tuple[str, ...], Path]] = {
        "the bare interpreter": ((sys.executable, "-c", "pass"), root),
        "canaryfleet --version": ((*program, "--version"), root),
        "canaryfleet build APP CLUSTER": ((*program, "build", app, cluster), root),
        PLUGIN: ((*program, "cmp", "generate"), root / overlay),
        KUSTOMIZE: ((*tool.argv, overlay), root),
    }
    calls = {
        name: lambda argv=argv, folder=folder: process(argv, folder, {**environment, "GOGC": "off"})
        for name, (argv, folder) in commands.items()
    }
    paired(1, calls)
    return paired(scale.rounds, calls)


def _cheaper(starts: Mapping[str, Series]) -> float:
    """Processor time of kustomize over that of the plugin right before it."""
    pairs = zip(starts[KUSTOMIZE].runs, starts[PLUGIN].runs, strict=True)
    return median(theirs.cpu / ours.cpu for theirs, ours in pairs)


BARE, PLAN = "the bare interpreter", "plan of the example fleet"


def _plans(scale: Scale, environment: Mapping[str, str]) -> dict[str, Series]:
    """`plan` of this repository, which is the example fleet, and the bare interpreter, in pairs."""
    root = Path(__file__).parent.parent
    calls = {
        BARE: lambda: process((sys.executable, "-c", "pass"), root, environment),
        PLAN: lambda: _python(("canaryfleet", "plan"), root, environment),
    }
    paired(1, calls)
    return paired(scale.rounds, calls)


def _beyond(plans: Mapping[str, Series]) -> float:
    """What `plan` takes longer than the bare interpreter right before it."""
    pairs = zip(plans[PLAN].runs, plans[BARE].runs, strict=True)
    return median(one.seconds - bare.seconds for one, bare in pairs)


def _diffs(many: Path, largest: Path, scale: Scale, environment: Mapping[str, str]) -> dict[str, Series]:
    """`diff` of one value of the inventory, where there are many clusters, and where there are many apps."""
    _fleet(many, *scale.many, environment)
    fleets = {(scale.sizes[-1], scale.apps): largest, scale.many: many}
    named = {
        f"diff of one value, {apps} apps on {size} clusters": root for (size, apps), root in fleets.items()
    }
    return differences.measure(
        named, scale.rounds, lambda root: _python(("canaryfleet", "diff"), root, environment)
    )


def _begun(folder: Path, scale: Scale, environment: Mapping[str, str]) -> dict[int, Path]:
    """Repositories in the middle of a first release."""
    roots = {size: folder / f"begun-{size}" for size in scale.decisions}
    for size, root in roots.items():
        root.mkdir()
        _python(("benchmarks.moves", str(root), str(size)), root, environment)
    return roots


SOURCE, SIMULATED, FILE = "status, as clusters answer", "status, of simulated ones", "status, from a snapshot"


def _statuses(root: Path, largest: Path, scale: Scale, environment: Mapping[str, str]) -> dict[str, Series]:
    """The status of one app on the most clusters, as whole processes."""
    root.mkdir()
    _python(("benchmarks.status", "make", str(root), str(scale.sizes[-1])), root, environment)
    words = {
        SOURCE: ("benchmarks.status", "read", str(root)),
        SIMULATED: ("benchmarks.status", "simulate", str(largest)),
        FILE: ("canaryfleet", "status", "--snapshot", str(root / status.SEEN)),
    }
    calls = {name: lambda argv=argv: _python(argv, root, environment) for name, argv in words.items()}
    paired(1, calls)
    return paired(scale.rounds, calls)


def _most(statuses: Mapping[str, Series]) -> float:
    return max(series.memory for series in statuses.values())


def _growth(checks: Mapping[int, Series], scale: Scale) -> float:
    """What a cluster more costs in the upper half of the sizes, over what it costs in the lower half.

    In CPU time, which a busy machine changes less; 1 is linear.
    """
    low, middle, high = scale.sizes
    lower = (checks[middle].cpu - checks[low].cpu) / (middle - low)
    upper = (checks[high].cpu - checks[middle].cpu) / (high - middle)
    return upper / lower if lower > 0 < upper else 1.0


def _linear(decided: Mapping[int, float], scale: Scale) -> float:
    """What a cluster costs on the largest fleet, over what it costs on the one before; 1 is linear."""
    small, large = scale.decisions[-2:]
    return (decided[large] / large) / (decided[small] / small)


def _named(scale: Scale, size: int) -> str:
    return f"{scale.apps} apps on {scale.sizes[size]} clusters"


def _check_figures(checks: Mapping[int, Series], scale: Scale) -> list[Figure]:
    return [
        Figure(
            f"render --check, {_named(scale, index)}",
            checks[size].seconds * 1e3,
            checks[size].cpu * 1e3,
            checks[size].memory,
        )
        for index, size in enumerate(scale.sizes)
    ]


def _overlay_figures(pairs: list[overlays.Pair]) -> list[Figure]:
    names = {
        "kustomize": "one overlay, one kustomize process",
        "cold": "  in process, nothing read before",
        "warm": "  in process, release read before",
        "text": "  in process, release read before, as YAML",
    }
    return [
        Figure(name, median(getattr(pair, way) for pair in pairs) * 1e3, ratio=overlays.ratio(pairs, way))
        for way, name in names.items()
    ]


def _start_figures(starts: Mapping[str, Series]) -> list[Figure]:
    theirs = [run.seconds for run in starts[KUSTOMIZE].runs]
    return [
        Figure(
            f"process: {name}",
            series.seconds * 1e3,
            series.cpu * 1e3,
            series.memory,
            median(one / run.seconds for one, run in zip(theirs, series.runs, strict=True)),
        )
        for name, series in starts.items()
    ]


def _served_figures(served: generator.Served, scale: Scale) -> list[Figure]:
    every = _named(scale, -1)
    return [
        Figure(f"serve, first answer of a commit, {every}", served.first * 1e3),
        Figure("serve, the same asked again", served.again * 1e3),
        Figure(
            f"process: serve, {scale.rounds + 1} answers",
            served.process.seconds * 1e3,
            served.process.cpu * 1e3,
            served.process.memory,
        ),
    ]


def _process_figures(found: Mapping[str, Series]) -> list[Figure]:
    return [
        Figure(name, series.seconds * 1e3, series.cpu * 1e3, series.memory) for name, series in found.items()
    ]


def _show(report: Report, scale: Scale, machine: str) -> None:
    print(machine)
    rows = [
        (
            figure.what,
            f"{figure.milliseconds:.2f}",
            "" if figure.cpu is None else f"{figure.cpu:.0f}",
            "" if figure.memory is None else f"{figure.memory:.0f}",
            "" if figure.ratio is None else f"{figure.ratio:.1f}",
        )
        for figure in report.figures
    ]
    print(table(rows, ("WHAT", "MS", "CPU MS", "PEAK MB", "TIMES AS FAST AS KUSTOMIZE")))
    for claim in report.claims:
        print(f"{_verdict(claim, scale)}  {claim}")


def _verdict(claim: Claim, scale: Scale) -> str:
    if not scale.judged:
        return "not judged"
    return "PASS" if claim.holds else "FAIL"


def _data(report: Report, scale: Scale, machine: str) -> dict[str, object]:
    return {
        "machine": machine,
        "figures": [figure._asdict() for figure in report.figures],
        "claims": [{**claim._asdict(), "verdict": _verdict(claim, scale)} for claim in report.claims],
    }


if __name__ == "__main__":
    sys.exit(main())
