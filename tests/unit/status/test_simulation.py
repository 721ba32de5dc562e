"""Simulated clusters are read as real ones are: through a source, on a repository."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from canaryfleet import board, status
from canaryfleet.engines.argo_rollouts.simulate import Event, Script, Trouble, act, objects, replay
from canaryfleet.files import Tree
from canaryfleet.manifests import Builder, overlay_folder
from canaryfleet.sources import Target
from canaryfleet.sources.simulation import Simulation

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 11, 3, 10, tzinfo=UTC)
TREE = Tree(ROOT)
PLAN = status.plan(TREE, ["assistant"])


def script(cluster: str, ago: timedelta, *troubles: Trouble) -> Script:
    """A cluster that was given what Git says some time ago."""
    given = Builder(TREE.read).build(overlay_folder("assistant", cluster))
    event, uid = Event(NOW - ago, "apply", given), PLAN.clusters[cluster].uid
    return Script(cluster, "assistant", "inference", [event], troubles=troubles, uid=uid)


def test_each_cluster_is_seen_as_its_script_has_it() -> None:
    broken = Trouble(NOW - timedelta(hours=1), NOW + timedelta(hours=1), "timeout")
    scripts = (
        script("ap-east-1a", timedelta(hours=3)),
        script("us-east-1a", timedelta(seconds=1)),
        script("us-west-2a", timedelta(hours=3), broken),
    )
    found = status.read(PLAN, Simulation(scripts, lambda: NOW), 1)
    said = {item.cluster: (item.kind, item.reason) for item in board.verdicts(found)}
    assert said.pop("ap-east-1a") == ("Verified", "FirstDeployment")
    assert said.pop("us-east-1a")[0] == "Progressing"
    assert said.pop("us-west-2a") == ("Unknown", "Timeout")
    assert set(said.values()) == {("Progressing", "NotThere")}


def test_the_same_is_seen_whenever_one_looks() -> None:
    scripts = [script("ap-east-1a", timedelta(minutes=1))]
    targets = status.targets(PLAN)
    first, second = (list(Simulation(scripts, lambda: NOW).look(targets, timeout=1)) for _ in range(2))
    assert first == second


def test_a_cluster_without_apps_says_which_one_it_is() -> None:
    cluster = PLAN.clusters["eu-west-1a"]
    (found,) = Simulation([], lambda: NOW).look([Target(cluster, ())], timeout=1)
    assert (found.cluster, found.problem, found.apps) == ("eu-west-1a", None, ())
    assert found.identity


def test_what_was_read_stays_as_it_was_and_so_do_gits_objects() -> None:
    given = script("ap-east-1a", timedelta(hours=1))
    world = replay(given, NOW - timedelta(minutes=59))
    kept = [given.events[0].objects, list(objects(world))]
    before = json.dumps(kept)
    for minutes, what in enumerate(("pause", "unpause", "abort", "retry", "delete")):
        world.advance(NOW + timedelta(minutes=10 * minutes))
        act(world, Event(world.now, what))
    assert json.dumps(kept) == before != json.dumps([kept[0], list(objects(world))])
