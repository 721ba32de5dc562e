"""From a fixed number of pods to an autoscaler: while nobody owns the field, the controller runs one pod."""

from driver import Repo

SPEC = "specs/chat/canary.yaml"


def test_an_autoscaler_for_what_has_a_fixed_number_is_warned_of(repo: Repo) -> None:
    repo.rendered()
    repo.replace(SPEC, "  port: 8000\n", "  port: 8000\n  autoscaler: {min: 1, max: 4}\n")
    result = repo.run("lint")
    assert result.code == 0
    assert "CF305" in result.codes
    assert "stable pods may fall to one" in result.err


def test_another_number_is_none_and_neither_is_an_app_that_runs_nowhere(repo: Repo) -> None:
    repo.replace(SPEC, "  port: 8000\n", "  port: 8000\n  autoscaler: {min: 1, max: 4}\n")
    assert "CF305" not in repo.run("lint").codes
    repo.replace(SPEC, "autoscaler: {min: 1, max: 4}", "replicas: 3")
    repo.rendered()
    repo.replace(SPEC, "replicas: 3", "replicas: 5")
    assert "CF305" not in repo.run("lint").codes
