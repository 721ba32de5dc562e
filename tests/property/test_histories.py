"""What must never happen, over histories of everything that can: see `world.py` for what is checked.

`CANARYFLEET_HISTORIES` says how many are played (nightly: 100000); a failure names its seed:
`world.player(SEED)` plays it again.
"""

import os
from datetime import timedelta
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

import world as worlds
from canaryfleet import limits
from canaryfleet.decide import decide
from canaryfleet.models.decision import Decision, Situation
from canaryfleet.models.fleet import Freeze
from world import Action, World

HISTORIES = int(os.environ.get("CANARYFLEET_HISTORIES", "3000"))
PARTS = 8
FORWARD = ("Start", "Advance", "Retry")


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_that_must_never_happen_does(part: int) -> None:
    kinds: set[str] = set()
    for seed in range(part, HISTORIES, PARTS):
        try:
            played = worlds.player(seed, steps=36)
        except Exception as error:
            raise AssertionError(f"world.player({seed}, steps=36): {error}") from error
        kinds |= {str(commit.merged.kind) for commit in played.commits}
    assert {"Start", "Advance", "Rollback"} <= kinds


# The same as a state machine, which finds the shortest history


class Histories(RuleBasedStateMachine):
    """Each action of a world is a rule; what must hold is checked on every commit."""

    @initialize(seed=st.integers(0, 10**6))
    def begin(self, seed: int) -> None:
        random = Random(seed)
        self.world = World(*worlds.random_start(random))
        worlds.new_release(self.world, random)
        self.checked = 0

    @invariant()
    def nothing_is_broken(self) -> None:
        if not hasattr(self, "world"):
            return
        for index in range(self.checked, len(self.world.commits)):
            worlds.check_commit(self.world, index)
        self.checked = len(self.world.commits)
        worlds.check_requests(self.world)


def _rule(action: Action) -> object:
    def happens(self: Histories, seed: int) -> None:
        action(self.world, Random(seed))

    happens.__name__ = action.__name__
    return rule(seed=st.integers(0, 1000))(happens)


for _action in [*worlds.LIKELY, *worlds.TROUBLES]:
    setattr(Histories, _action.__name__, _rule(_action))

TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=max(50, HISTORIES // 40),
    stateful_step_count=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


# Where the same is done in other ways, the end is the same


def calm(seed: int, *, trouble: bool) -> World:
    """A release on a fleet that nobody disturbs, except that the bot dies, is late, behind or there twice."""
    random = Random(seed)
    world = World(*worlds.random_start(random))
    world.policy = replace(world.policy, automatic=True)
    worlds.new_release(world, random)
    disturbed = Random(seed + 1)
    for _ in range(30):
        for name in sorted(world.clusters):
            world.sync(name)
        world.now += timedelta(minutes=90)
        for name in sorted(world.clusters):
            world.ripen(name)
        for request in world.requests:
            if request.state == "open" and request.kind != "Retry":
                world.approve(request.number)
        if trouble:
            worst = disturbed.choice(
                [worlds.bot_dies, worlds.bot_is_late, worlds.bot_is_behind, worlds.bot_runs]
            )
            worst(world, disturbed)
            if disturbed.random() < 0.3:
                worlds.runs_vanish_if_recorded(world)
        world.bot()
    return world


@pytest.mark.parametrize("part", range(4))
def test_crashes_stale_reads_and_second_bots_lead_to_the_same_end(part: int) -> None:
    for seed in range(part, max(40, HISTORIES // 60), 4):
        plain, disturbed = calm(seed, trouble=False), calm(seed, trouble=True)
        assert plain.pointers == disturbed.pointers, seed
        assert [bar.workload for bar in plain.promotion.bars] == [
            bar.workload for bar in disturbed.promotion.bars
        ], seed
        given_once = [
            (move.cluster, move.to)
            for commit in disturbed.commits
            for move in commit.merged.moves
            if commit.merged.kind in ("Start", "Advance")
        ]
        assert len(given_once) == len(set(given_once)), seed


# Single decisions in the middle of histories


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """What the bot reads in the middle of some history."""
    return worlds.player(draw(st.integers(0, 5000)), draw(st.integers(5, 40))).look()


PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def goes_forward(decision: Decision) -> bool:
    return decision.kind in FORWARD and any(move.to for move in decision.moves)


@PROPERTY
@given(situations())
def test_a_record_reproduces_the_decision(situation: Situation) -> None:
    written = msgspec.json.encode(situation)
    again = msgspec.json.decode(written, type=Situation)
    assert again == situation
    assert decide(again) == decide(situation)
    assert msgspec.json.decode(msgspec.json.encode(decide(situation)), type=Decision) == decide(situation)


@PROPERTY
@given(situations(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_read_decides_nothing(situation: Situation, random: Random) -> None:
    def shuffled(items: dict[str, object]) -> dict[str, object]:
        keys = list(items)
        random.shuffle(keys)
        return {key: items[key] for key in keys}

    fields = ("sites", "releases", "pointers", "verdicts", "carried")
    mixed = replace(situation, **{name: shuffled(getattr(situation, name)) for name in fields})
    assert decide(mixed) == decide(situation)


@PROPERTY
@given(situations(), st.randoms(use_true_random=False))
def test_less_evidence_never_completes_a_wave(situation: Situation, random: Random) -> None:
    good = sorted(name for name, verdict in situation.verdicts.items() if verdict.kind == "Verified")
    assume(good)
    lost = set(random.sample(good, random.randint(1, len(good))))
    less = {name: verdict for name, verdict in situation.verdicts.items() if name not in lost}
    before, after = decide(situation), decide(replace(situation, verdicts=less))
    if before.release == after.release and before.kind != "Rollback" != after.kind:
        assert set(after.complete) <= set(before.complete)


@PROPERTY
@given(situations(), st.randoms(use_true_random=False))
def test_a_cluster_that_vanishes_is_unknown_and_not_fewer(situation: Situation, random: Random) -> None:
    lost = random.choice(sorted(situation.sites))
    sites = {name: site for name, site in situation.sites.items() if name != lost}
    verdicts = {name: verdict for name, verdict in situation.verdicts.items() if name != lost}
    before, after = decide(situation), decide(replace(situation, sites=sites, verdicts=verdicts))
    assume(before.kind != "Rollback" and situation.sites[lost].lifecycle == "active")
    assume(not (situation.verdicts.get(lost) and situation.verdicts[lost].kind == "Failed"))
    assert set(after.complete) <= set(before.complete) or before.release != after.release


@PROPERTY
@given(situations())
def test_time_alone_never_moves_anything_forward(situation: Situation) -> None:
    before = decide(situation)
    assume(not goes_forward(before))
    for hours in (1, 12, 48, 1000):
        later = decide(replace(situation, now=situation.now + timedelta(hours=hours)))
        assert not goes_forward(later)


ALWAYS = Freeze(name="always", from_="2020-01-01T00:00:00Z", to="2040-01-01T00:00:00Z")


@PROPERTY
@given(situations(), st.sampled_from(["paused", "frozen", "held", "unreadable"]))
def test_what_stops_everything_stops_everything_but_going_back(situation: Situation, what: str) -> None:
    fleet, promotion = situation.fleet, situation.promotion
    stopped = {
        "paused": replace(situation, fleet=replace(fleet, paused=True)),
        "frozen": replace(situation, fleet=replace(fleet, freezes=(ALWAYS,))),
        "held": replace(situation, promotion=_held(situation), unreadable=None),
        "unreadable": replace(situation, promotion=None, unreadable="no YAML"),
    }[what]
    before, after = decide(situation), decide(stopped)
    assert not goes_forward(after)
    if before.kind == "Rollback" and promotion is not None:
        going = {move.cluster for move in before.moves}
        assert going <= {move.cluster for move in after.moves} or not (before.moves or before.owes)


def _held(situation: Situation) -> object:
    world = World(())
    world.promotion = situation.promotion or world.promotion
    world.hold()
    return world.promotion


def test_what_is_recorded_stays_though_all_runs_are_gone() -> None:
    tried = 0
    for seed in range(60):
        played = worlds.player(seed, steps=30)
        for index, commit in enumerate(played.commits):
            reading, kind = commit.reading, commit.merged.kind
            if reading is None or kind not in ("Start", "Advance") or commit.merged.wave is None:
                continue
            complete = decide(reading).complete
            history = tuple(item.merged for item in played.commits[: index + 1])
            later = replace(reading, pointers=commit.pointers, verdicts={}, history=history, requests=())
            begun = {wave for wave in complete if wave != commit.merged.wave}
            if decide(later).release == commit.merged.release:
                assert begun <= set(decide(later).complete), (seed, index)
                tried += bool(begun)
    assert tried > 5


@PROPERTY
@given(situations())
def test_nothing_needed_may_be_pruned(situation: Situation) -> None:
    needed = limits.needed(situation)
    for pointer in situation.pointers.values():
        for id in {pointer.release, pointer.fallback} & set(situation.releases):
            fewer = {name: item for name, item in situation.releases.items() if name != id}
            assert id in needed
            assert limits.broken(situation, situation.pointers, fewer)
    assert {move.to for move in decide(situation).moves} - {None} <= needed
