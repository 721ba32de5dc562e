"""The benchmarks run at a small size and say something sane; how fast it is, only a quiet machine can tell."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def report() -> Any:
    """What `python -m benchmarks --quick --json` prints."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_everything_is_measured(report: Any) -> None:
    figures = {figure["what"].strip(): figure for figure in report["figures"]}
    assert len(figures) == len(report["figures"]) == 34
    assert all(figure["milliseconds"] > 0 for figure in figures.values())
    processes = [figure for figure in figures.values() if figure["memory"] is not None]
    assert len(processes) == 16
    assert all(5 < figure["memory"] < 1000 for figure in processes)


def test_every_claim_has_a_value_and_a_small_run_judges_none(report: Any) -> None:
    assert len(report["claims"]) == 17
    assert all(claim["value"] > 0 and claim["limit"] > 0 for claim in report["claims"])
    assert {claim["verdict"] for claim in report["claims"]} == {"not judged"}


def test_what_is_in_process_does_not_start_one(report: Any) -> None:
    ratios = {figure["what"].strip(): figure["ratio"] for figure in report["figures"]}
    assert ratios["in process, release read before"] > 1
    assert ratios["in process, nothing read before"] > 1
