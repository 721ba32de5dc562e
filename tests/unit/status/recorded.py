"""Recordings of the real controllers as what a source would have seen: `recordings/<scenario>-<version>.json`.

A reading for each change of an object: from the moment at which Git had the scenario's last release, on the
cluster as it was then. The objects are whole; how they are made anew stands in `recordings/README.md`.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

import recordings
from canaryfleet.case import Expected
from canaryfleet.engines.argo_rollouts.observe import observe
from canaryfleet.models.observation import Sighting, Subject, Verdict
from canaryfleet.models.release import Release
from canaryfleet.verdict import judge

FOLDER = Path(__file__).parent / "recordings"
FILES = sorted(FOLDER.glob("*.json"))


class Recording(NamedTuple):
    """One recorded scenario: its last release, and what was seen after Git had that."""

    release: Release
    subject: Subject
    sightings: tuple[Sighting, ...]

    @property
    def cluster(self) -> str:
        """The cluster that was read."""
        return self.sightings[0].cluster

    @property
    def steps(self) -> list[int]:
        """The canary's steps that are an analysis, by their number."""
        return [at for at, step in enumerate(self.release.steps) if "analysis" in step]

    def expected(self, **changes: Any) -> Expected:
        """What Git said: this release, and a fallback, so that it is no first deployment."""
        known = {"fallback": "an-earlier-one", "uid": self.sightings[0].identity} | changes
        return Expected(self.cluster, self.release, **known)

    def verdict(self, sighting: Sighting, now: datetime | None = None, **changes: Any) -> Verdict:
        """The verdict of one reading, judged when it ended."""
        seen = observe(sighting, self.subject)
        return judge(seen, self.expected(**changes), now=now or sighting.ended)

    def turns(self) -> Iterator[Sighting]:
        """The readings at which the reason of the verdict changes, and the last one."""
        before = None
        for sighting in self.sightings[:-1]:
            reason = self.verdict(sighting).reason
            if reason != before:
                yield sighting
            before = reason
        yield self.sightings[-1]

    def torn(self) -> Sighting:
        """A reading that began before a change of the Rollout, and ended after it."""
        pairs = zip(self.sightings, self.sightings[1:], strict=False)
        before, after = next(pair for pair in pairs if _rollout(pair[0]) != _rollout(pair[1]))
        look = before.apps[0]
        answers = look.answers | {"rolloutAgain": _rollout(after)}
        return replace(before, ended=after.ended, apps=(replace(look, answers=answers),))

    def unbaked(self) -> "Recording":
        """The same release if Git had no bake of it: what is to be proven ends with the controller's part."""
        files = {path: sum for path, sum in self.release.files.items() if not path.startswith("waves/")}
        owned = lambda run: "ownerReferences" in run["metadata"]  # noqa: E731
        asked = {key: sum for key, sum in self.release.analyses.items() if not key.startswith("bake/")}
        return Recording(
            replace(self.release, files=files, analyses=asked),
            self.subject,
            tuple(with_runs(sighting, owned) for sighting in self.sightings),
        )


def with_runs(sighting: Sighting, keep: Callable[[Any], bool]) -> Sighting:
    """The reading with some of the runs that were seen."""
    look = sighting.apps[0]
    raw = look.answers["analysisRuns"]
    kept = {**raw, "items": [run for run in raw["items"] if keep(run)]}
    return replace(sighting, apps=(replace(look, answers={**look.answers, "analysisRuns": kept}),))


def _rollout(sighting: Sighting) -> Any:
    return sighting.apps[0].answers["rollout"]


def _split(path: Path) -> tuple[str, str]:
    """Scenario and version of a file."""
    scenario, _, version = path.stem.rpartition("-")
    return scenario, version


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


VERSIONS = sorted({_split(path)[1] for path in FILES}, key=_number, reverse=True)
"""Those of Argo Rollouts that there are recordings of, the newest first."""
SCENARIOS = sorted({_split(path)[0] for path in FILES})


@cache
def whole(scenario: str, version: str = VERSIONS[0]) -> recordings.Recording:
    """A recording as it stands in its file: all that happened, from the first release on."""
    return recordings.read(FOLDER / f"{scenario}-{version}.json")


@cache
def recording(scenario: str, version: str = VERSIONS[0]) -> Recording:
    """What was seen of a scenario."""
    return readings(whole(scenario, version))


def readings(recorded: recordings.Recording) -> Recording:
    """What a source would have seen of a recording's last release."""
    last = recorded.about["applied"][-1]
    release, since = recorded.release(last["release"]), datetime.fromisoformat(last["at"])
    subject, before = recorded.subject(release), dict[tuple[str, str], Any]()
    seen = []
    for event, state in recorded.states():
        if event.at < since:
            before = state
        else:
            seen.append(recorded.sighting(subject, state, event.at))
    return Recording(release, subject, (recorded.sighting(subject, before, since), *seen))


def renamed(recorded: Recording, names: Mapping[str, str]) -> Recording:
    """The same on a cluster or in a namespace of another name; `names`: the new ones, by the old ones."""

    def text(value: str) -> str:
        for old, new in names.items():
            value = value.replace(f'"{old}"', f'"{new}"')
        return value

    def moved(value: Any, kind: Any) -> Any:
        return msgspec.json.decode(text(msgspec.json.encode(value).decode()), type=kind)

    release, subject = moved(recorded.release, Release), moved(recorded.subject, Subject)
    return Recording(release, subject, moved(recorded.sightings, tuple[Sighting, ...]))
