"""Never two holders at a time: over clocks of different speeds, lost and late messages, and pauses.

The bound is `duration / renew` = 1.5: clocks that differ less in speed are safe. What is in flight may be
stored at any later time, its answer may come late or never, and a replica may sleep at any point.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from canaryfleet.lease import Election, Times

TIMES = Times(duration=30.0, renew=20.0, turn=5.0)
REPLICAS = 3
WHO = st.integers(0, REPLICAS - 1)


class Sharing(RuleBasedStateMachine):
    """Three replicas, one lease, and a network that does what it likes; `now` is the true time."""

    @initialize(
        speeds=st.lists(st.sampled_from([0.82, 1.0, 1.2]), min_size=REPLICAS, max_size=REPLICAS),
        offsets=st.lists(st.floats(0, 1e6), min_size=REPLICAS, max_size=REPLICAS),
    )
    def begin(self, speeds: list[float], offsets: list[float]) -> None:
        self.now, self.version = 0.0, 0
        self.speeds, self.offsets = speeds, offsets
        self.spec: dict[str, Any] | None = None
        self.replicas = [Election(str(n), TIMES) for n in range(REPLICAS)]
        self.read: list[tuple[int, dict[str, Any] | None] | None] = [None] * REPLICAS
        self.flying: list[tuple[int, int, dict[str, Any], float]] = []
        self.answers: list[tuple[int, bool, float]] = []

    def clock(self, who: int) -> float:
        return self.offsets[who] + self.speeds[who] * self.now

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 5.0, 10.0, 19.0, 26.0, 31.0, 40.0]))
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @rule(who=WHO)
    def reads(self, who: int) -> None:
        self.read[who] = (self.version, self.spec)

    @rule(who=WHO)
    def asks(self, who: int) -> None:
        if self.read[who] is None:
            return
        version, spec = self.read[who] or (0, None)
        wanted = self.replicas[who].wanted(spec, self.clock(who))
        if wanted is not None:
            self.flying.append((who, version, wanted, self.clock(who)))

    @rule(number=st.integers(0, 5))
    def arrives(self, number: int) -> None:
        if number < len(self.flying):
            who, version, spec, asked = self.flying.pop(number)
            stored = version == self.version
            if stored:
                self.version, self.spec = self.version + 1, {**spec, "renewTime": str(self.version)}
            self.answers.append((who, stored, asked))

    @rule(number=st.integers(0, 5), lost=st.booleans())
    def is_answered(self, number: int, lost: bool) -> None:
        if number < len(self.answers):
            who, stored, asked = self.answers.pop(number)
            if not lost and stored:
                self.replicas[who].won(asked)
            elif not lost:
                self.replicas[who].lost()

    @rule(who=WHO)
    def whole_turn(self, who: int) -> None:
        """Most turns are undisturbed."""
        self.reads(who)
        before = len(self.flying)
        self.asks(who)
        if len(self.flying) > before:
            self.arrives(before)
            self.is_answered(len(self.answers) - 1, lost=False)

    @rule(who=WHO)
    def gives_up(self, who: int) -> None:
        """Stops acting before it says so."""
        if self.spec and self.spec["holderIdentity"] == str(who):
            self.replicas[who].lost()
            self.version, self.spec = self.version + 1, {**self.spec, "holderIdentity": ""}
            self.flying = [item for item in self.flying if item[0] != who]
            self.answers = [item for item in self.answers if item[0] != who]

    @invariant()
    def one_holds_it_at_most(self) -> None:
        if hasattr(self, "replicas"):
            held = [n for n, replica in enumerate(self.replicas) if replica.held(self.clock(n))]
            assert len(held) <= 1, held


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
