"""Recordings of the real controller: `recordings/<scenario>-<version of Argo Rollouts>.json`.

Each holds the release as Git had it, the subject, and what a source saw one reading after the other.
Those named `verified-raw` have whole objects; the others only what `observe` reads of them.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import convert

from canaryfleet.engines.argo_rollouts.observe import observe
from canaryfleet.models.observation import Sighting, Subject, Verdict
from canaryfleet.models.release import Release
from canaryfleet.verdict import Expected, judge

FOLDER = Path(__file__).parent / "recordings"
VERSIONS = ("1.10.1", "1.9.2")


class Recording(NamedTuple):
    """One recorded scenario."""

    release: Release
    subject: Subject
    sightings: tuple[Sighting, ...]

    def expected(self, **changes: Any) -> Expected:
        """What Git said: this release, and a fallback, so that it is no first deployment."""
        first = self.sightings[0]
        known = {"fallback": "an-earlier-one", "uid": first.identity} | changes
        return Expected(first.cluster, self.release, **known)

    def verdict(self, sighting: Sighting, now: datetime | None = None, **changes: Any) -> Verdict:
        """The verdict of one reading, judged when it ended."""
        seen = observe(sighting, self.subject)
        return judge(seen, self.expected(**changes), now=now or sighting.ended)


def recording(name: str) -> Recording:
    """A recording by its name."""
    raw = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return Recording(
        convert(raw["release"], Release),
        convert(raw["subject"], Subject),
        convert(raw["sightings"], tuple[Sighting, ...]),
    )
