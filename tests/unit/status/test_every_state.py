"""After every change of an object, in every recorded scenario, the verdict agrees with the real controller."""

from collections import Counter
from pathlib import Path

import pytest
from recorded import FILES

from agreed import PROVEN, disagreements, moments, truth
from canaryfleet import verdict
from recordings import read


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_verdict_contradicts_the_controller_at_any_moment(path: Path) -> None:
    assert disagreements(read(path)) == []


def test_the_recordings_have_every_kind_of_state() -> None:
    """Else the test above would show little: in each of these states the verdict has no choice."""
    forced: Counter[str] = Counter()
    for path in FILES:
        recording = read(path)
        for moment in moments(recording):
            allowed, why = truth(recording, moment)
            forced[why] += 1
            if allowed == PROVEN or len(allowed) == 1:
                forced[f"{moment.said} alone"] += 1
    assert {"Failed alone", "Inconclusive alone", "Progressing alone", "Analysis alone"} <= set(forced)
    assert forced["the controller has not begun with it"] > 100
    assert forced["it went back to it"] > 10


@pytest.mark.parametrize("guard", ["_synced", "_measured_bad", "_held", "_under_way", "_same_workload"])
def test_without_a_guard_some_moment_would_be_misjudged(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out here is guarded twice, or against faults that no controller shows (test_verdict.py)."""
    (named,) = [one for one in verdict.GUARDS if guard in (one.__name__, _inner(one))]
    rest = tuple(one for one in verdict.GUARDS if one is not named)
    monkeypatch.setattr(verdict, "GUARDS", rest)
    assert any(disagreements(read(path)) for path in FILES)


def _inner(guard: object) -> str:
    """The name of the guard that a wrapper has inside."""
    cells = getattr(guard, "__closure__", None) or ()
    return next((cell.cell_contents.__name__ for cell in cells), "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bake_that_the_release_does_not_ask_for_is_no_obstacle(path: Path) -> None:
    """A run may be left of an earlier policy: whatever it measured so far, there is a verdict."""
    recording = read(path)
    for release in recording.about["releases"].values():
        release["files"] = {name: hash for name, hash in release["files"].items() if "waves/" not in name}
    assert list(moments(recording))
