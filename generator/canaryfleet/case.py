"""One release on one cluster, as a verdict looks at it: what Git expects there beside what was seen.

D and G are the sections of reference/argo-rollouts.md that a fact rests on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from canaryfleet import evidence as measures
from canaryfleet.evidence import Judged
from canaryfleet.models.observation import Basis, Live, Observation, Run, Time
from canaryfleet.models.release import Release, ReleaseWave

SKEW = timedelta(minutes=2)  # between the clocks of the reader, the forge and the cluster
MEASURED: frozenset[Basis] = frozenset(
    ["Analysis", "FirstDeployment"]
)  # at a time; that pods are the same was not


class Proof(NamedTuple):
    """An earlier verification, as it was recorded: of which pods, on the cluster with which identity."""

    pod: str
    identity: str
    hash: str


class Expected(NamedTuple):
    """What Git says of one cluster.

    `promoted`: when it began to point at the release; evidence is newer. `reverted`: it went back to it.
    """

    cluster: str
    release: Release
    fallback: str | None = None
    uid: str | None = None
    promoted: datetime | None = None
    reverted: bool = False
    proof: Proof | None = None


@dataclass(frozen=True)
class Case:
    """What the guards look at."""

    seen: Observation
    expected: Expected
    now: datetime
    fresh: timedelta
    _judged: dict[int, dict[str, Judged]] = field(default_factory=dict)  # several guards ask for the same

    @property
    def live(self) -> Live:
        """The live object; the guards before have made sure that there is one."""
        assert self.seen.live is not None
        return self.seen.live

    @property
    def release(self) -> Release:
        """What Git points at."""
        return self.expected.release

    @property
    def wave(self) -> ReleaseWave | None:
        """The cluster's wave in the release."""
        return self.release.wave_by_cluster.get(self.expected.cluster)

    @property
    def pod(self) -> str:
        """The digest of the pods that the release gives to this cluster."""
        return self.release.clusters[self.expected.cluster].pod

    @property
    def complete(self) -> bool:
        """What is rolled out has become stable (D2)."""
        live = self.live
        return bool(live.current and live.stable and live.current.uid == live.stable.uid)

    @cached_property
    def attempt(self) -> list[Run]:
        """The runs of this rollout: of the release, its pods, hash and revision, made after it began (D5).

        A run of a step replaces those of this and later steps, which were of an attempt before (a retry, or a
        person's resume); of every other kind the newest counts (field.md 6 and 7). A second background run comes of
        an abort and a retry, and steps measured before it are of no account, unless the first was inconclusive:
        then a person has resumed. Last go those that do not measure what the release asks: they were changed.
        """
        latest: dict[tuple[str, int], Run] = {}
        for run in self._bound:
            before = latest.get((run.role, run.step or 0))
            if run.role == "background" and before is not None and before.phase != "Inconclusive":
                latest = {key: one for key, one in latest.items() if key[0] != "steps"}
            if run.role == "steps" and run.step is not None:
                later = [key for key in latest if key[0] == "steps" and key[1] >= run.step]
                for key in later:
                    del latest[key]
            latest[run.role, run.step or 0] = run
        return [run for run in latest.values() if self._as_asked(run)]

    def _as_asked(self, run: Run) -> bool:
        """Whether a run measures what the release asks for, with its thresholds and limits."""
        key = run.role if run.step is None else f"{run.role}/{run.step}"
        if run.role == "bake":
            key = f"bake/{self.wave.name}" if self.wave else ""
        return bool(run.measures) and run.measures == self.release.analyses.get(key)

    @property
    def _bound(self) -> Iterator[Run]:
        current = self.live.current
        promoted = self.expected.promoted - SKEW if self.expected.promoted else None
        for run in sorted(self.seen.runs, key=lambda run: run.created):
            whose = (run.release, run.pod, run.cluster) == (self.release.id, self.pod, self.expected.cluster)
            which = run.role == "bake" or (
                current is not None
                and (run.hash, run.revision) == (current.hash, self.live.revision)
                and run.created >= current.created
            )
            if whose and which and (promoted is None or run.created >= promoted):
                yield run

    def older(self, what: str, step: int | None) -> Run | None:
        """A run of the release that would be asked for, had it not begun before the pointer moved as Git has it."""
        runs = (
            run
            for run in self.seen.runs
            if (run.role, run.release, run.pod) == (what, self.release.id, self.pod)
        )
        promoted = self.expected.promoted
        mine = (
            run for run in runs if run.cluster == self.expected.cluster and (step is None or run.step == step)
        )
        return next((run for run in mine if promoted and run.created < promoted - SKEW), None)

    def runs(self, role: str) -> list[Run]:
        """This rollout's runs of a role."""
        return [run for run in self.attempt if run.role == role]

    @property
    def bakes(self) -> bool:
        """Whether the release measures minSuccessTime here, as `overlay.bakes` has it."""
        return self.wave is not None and f"waves/{self.wave.name}/kustomization.yaml" in self.release.files

    @property
    def serving(self) -> Time | None:
        """Since when it has all the traffic: stable, or switched to, which the run after the switch dates.

        rollout/analysis.go, skipPostPromotionAnalysisRun: that run is made only when the active Service has it.
        """
        if not self.complete:
            return None
        switched = [run.created for run in self.runs("steps")] if self.live.strategy == "blueGreen" else []
        return min([*switched, self.live.changed]) if self.live.changed else None

    @property
    def carried(self) -> Time | None:
        """Since when the live object carries the release: the controller began with it then.

        Completed turns false with a new template (rollout/sync.go, calculateRolloutConditions); a release that
        replaces one under way has younger pods.
        """
        current, changed = self.live.current, self.live.changed
        if not self.complete:
            return latest(changed, current.created if current else None)
        made = [run.created for run in self.attempt if run.role != "bake"]
        return min(made, default=latest(changed, *(run.created for run in self.runs("bake"))))

    @property
    def settled(self) -> bool:
        """It became stable by what the controller measured: what its pods do later is no progress of a canary."""
        return self.complete and not self.first

    @property
    def first(self) -> bool:
        """Nothing ran here before: the controller made it stable without any analysis (D2).

        Without a bake nothing would tell a first deployment from a canary whose runs are lost but the revision.
        """
        ran = any(run.role != "bake" for run in self._bound)  # whatever it measured
        return self.expected.fallback is None and not ran and (self.bakes or self.live.revision == 1)

    def judged(self, run: Run) -> dict[str, Judged]:
        """The run's metrics; of the bake only what was measured while the release had all the traffic (F10)."""
        if id(run) not in self._judged:
            metrics = measures.judged(self.release, run)
            if run.role == "bake":
                metrics = {name: item.only(self.serving) for name, item in metrics.items()}
            self._judged[id(run)] = metrics
        return self._judged[id(run)]


def latest(*times: Time | None) -> Time | None:
    """The last of some times; None if there is none."""
    return max((time for time in times if time), default=None)
