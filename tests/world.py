"""A small world to decide in: a tree of pointers, clusters with true states, and a forge; all in memory.

It knows what is true and keeps every commit, so that what must never happen is checked from outside:
`checks` look at commits and at what had been read before them, and never ask what decides.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from canaryfleet import limits
from canaryfleet.case import SKEW
from canaryfleet.decide import decide
from canaryfleet.models.base import Metadata
from canaryfleet.models.decision import (
    Decision,
    Load,
    Member,
    Merged,
    Move,
    Pointed,
    Policy,
    ReleaseFacts,
    Request,
    Review,
    Site,
    Situation,
)
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.observation import Evidence, RunEvidence, Verdict
from canaryfleet.models.promotion import Excuse, HoldEntry, Promotion
from canaryfleet.models.release import ReleaseWave

API: Any = "canaryfleet.dev/v1alpha1"
BEGIN = datetime(2026, 11, 2, 9, tzinfo=UTC)  # a Monday
EARLY = "2026-01-01T00:00:00Z"
Fate = Literal["good", "bad", "vague", "late"]


def release(id: str, workload: str, waves: tuple[ReleaseWave, ...], **more: Any) -> ReleaseFacts:
    """A release whose pods are its workload's, with two thousandths of a GPU a cluster."""
    members = [name for wave in waves for name in wave.members]
    clusters = {name: Member(pod=f"pod-{workload}", takes={"gpu": 2}) for name in members}
    return ReleaseFacts(**({"id": id, "workload": workload, "waves": waves, "clusters": clusters} | more))


def fleet(**more: Any) -> Fleet:
    """Settings of the repository."""
    return Fleet(apiVersion=API, kind="Fleet", metadata=Metadata(name="fleet"), **more)


def promotion(**entries: Any) -> Promotion:
    """A promotion.yaml."""
    return Promotion(apiVersion=API, kind="Promotion", metadata=Metadata(name="app"), **entries)


def verdict(cluster: str, id: str, kind: str, since: datetime | None, **more: Any) -> Verdict:
    """A verdict; one that is Verified by an analysis has a bake too."""
    reasons = {"Verified": "Proven", "Progressing": "Stepping", "Failed": "BeyondThreshold"}
    more = {"reason": reasons.get(kind, "RunMissing"), "message": kind.lower()} | more
    if kind == "Verified":
        more = {"basis": "Analysis", "evidence": Evidence(runs=(BAKE,))} | more
    hash = f"{cluster}/{id}/{kind}/{since}"
    return Verdict(app="app", cluster=cluster, release=id, kind=kind, since=since, hash=hash, **more)  # type: ignore[arg-type]


BAKE = RunEvidence(name="bake", uid="1", role="bake")


class Commit(NamedTuple):
    """A commit of main: what it was made on, what it says afterwards, and what had been read for it."""

    merged: Merged
    before: dict[str, Pointed]
    pointers: dict[str, Pointed]
    promotion: Promotion
    reading: Situation | None
    gated: bool
    stamp: datetime
    """When it was made, by the clock of who made it."""


class True_:  # noqa: N801
    """A cluster as it is: what runs there, since when, and how far it is."""

    def __init__(self) -> None:
        self.live: str | None = None
        self.since = BEGIN
        self.ripe = BEGIN
        self.state = "verified"
        self.reachable = True


class World:
    """Everything that the bot, people and time work on."""

    def __init__(self, waves: tuple[ReleaseWave, ...], policy: Policy | None = None) -> None:
        self.now = BEGIN
        self.policy = policy or Policy()
        self.fleet = fleet()
        self.promotion = promotion()
        self.readable = True
        self.rewritten: set[str] = set()
        """Releases of which somebody changed a frozen file, past the gate."""
        self.waves = waves
        self.releases: dict[str, ReleaseFacts] = {}
        self.made: dict[str, ReleaseFacts] = {}
        """Also those that were pruned since."""
        self.fates: dict[tuple[str, str], Fate] = {}
        self.commits: list[Commit] = []
        self.by_hand: set[int] = set()
        """Commits that are the bot's proposals and a person's merges: who merges them wants them."""
        self.requests: list[Request] = []
        self.proposals: dict[int, Decision] = {}
        self.seen: list[dict[str, Verdict]] = []
        self.clock = timedelta(0)
        """How far the bot's clock is ahead of the time."""
        names = [name for wave in waves for name in wave.members]
        self.sites = {name: Site(resources={"gpu": 8}) for name in names}
        self.clusters = {name: True_() for name in names}
        old = self.new("v0", "w0")
        self.pointers = {name: Pointed(release=old.id) for name in names}
        for cluster in self.clusters.values():
            cluster.live = old.id
        self.proved = {(name, old.id) for name in names}
        """Clusters with the releases that really were good there at some time."""

    # what people release

    def new(
        self, id: str, workload: str, waves: tuple[ReleaseWave, ...] | None = None, **more: Any
    ) -> ReleaseFacts:
        """A release that the spec resolves to from now on."""
        self.releases[id] = release(id, workload, self.waves if waves is None else waves, **more)
        self.made[id] = self.releases[id]
        self.candidate = id
        return self.releases[id]

    # what is true

    def fate(self, cluster: str, id: str) -> Fate:
        """How a release turns out on a cluster in the end."""
        return self.fates.get((self.made[id].workload, cluster), "good")

    def sync(self, name: str) -> None:
        """The cluster takes what main names."""
        cluster, pointer = self.clusters[name], self.pointers.get(name)
        wanted = pointer.release if pointer else None
        if wanted == cluster.live:
            return
        was, state = cluster.live, cluster.state
        cluster.live, cluster.since = wanted, self.now
        if wanted is None:
            return
        same = was is not None and self._pods(was, name) == self._pods(wanted, name)
        back = was is not None and self._last(name).kind == "Rollback"
        cluster.state = (
            "same" if same and state in ("verified", "same") else "reverted" if back else "progressing"
        )
        cluster.ripe = self.now
        if cluster.state == "same":
            self.proved.add((name, wanted))

    def _pods(self, id: str, name: str) -> str | None:
        member = self.made[id].clusters.get(name)
        return member.pod if member else None

    def _last(self, name: str) -> Merged:
        moved = [c.merged for c in self.commits if any(move.cluster == name for move in c.merged.moves)]
        return moved[-1] if moved else Merged(commit="", at=BEGIN)

    def ripen(self, name: str) -> None:
        """The cluster's analysis comes to its end, after the bake if that is long enough ago."""
        cluster = self.clusters[name]
        if cluster.live is None or cluster.state not in ("progressing", "vague"):
            return
        fate = self.fate(name, cluster.live)
        done = {"good": "verified", "late": "verified", "bad": "failed", "vague": "vague"}[fate]
        wave = next((w for w in self.made[cluster.live].waves if name in w.members), None)
        bake = timedelta(hours=1) if wave and wave.minSuccessTime == "1h" else timedelta(0)
        if done == "verified" and self.now < cluster.since + bake:
            return
        cluster.state, cluster.ripe = done, self.now
        if done == "verified":
            self.proved.add((name, cluster.live))

    def sour(self, name: str) -> None:
        """What was good turns bad, where that is its fate."""
        cluster = self.clusters[name]
        if cluster.live and cluster.state == "verified" and self.fate(name, cluster.live) == "late":
            cluster.state, cluster.ripe = "failed", self.now

    def forget(self, name: str) -> None:
        """The AnalysisRuns are gone."""
        if self.clusters[name].state == "verified":
            self.clusters[name].state = "forgotten"

    # what is seen

    def verdict(self, name: str) -> Verdict:
        """What can be seen of a cluster now, of what main points it at."""
        pointer, cluster = self.pointers[name], self.clusters.get(name)
        if cluster is None or not cluster.reachable:
            return verdict(name, pointer.release, "Unknown", None, reason="Unreachable")
        if cluster.live != pointer.release:
            return verdict(name, pointer.release, "Progressing", self.now, reason="NotSynced")
        kinds: dict[str, tuple[str, dict[str, Any]]] = {
            "verified": ("Verified", {}),
            "same": ("Verified", {"basis": "SameWorkload"}),
            "reverted": ("Verified", {"basis": "Reverted"}),
            "failed": ("Failed", {}),
            "vague": ("Inconclusive", {}),
            "forgotten": ("Unknown", {}),
            "progressing": ("Progressing", {}),
        }
        kind, more = kinds[cluster.state]
        return verdict(name, pointer.release, kind, cluster.ripe, **more)

    def look(self, late: int = 0, behind: int = 0) -> Situation:
        """What the bot reads: verdicts of `late` readings ago, main as it was `behind` commits ago."""
        self.seen.append({name: self.verdict(name) for name in self.pointers})
        upto = max(0, len(self.commits) - behind)
        main = self.commits[upto - 1] if upto else None
        pointers = self.pointers if upto == len(self.commits) else (main.pointers if main else self._first())
        carried = {
            name: cluster.since
            for name, cluster in self.clusters.items()
            if cluster.reachable
            and cluster.live
            and name in pointers
            and cluster.live == pointers[name].release
        }
        now = self.now + self.clock
        return Situation(
            app="app",
            now=now,
            policy=self.policy,
            fleet=self.fleet,
            sites=self.sites,
            candidate=self.candidate,
            releases=self.releases,
            pointers=dict(pointers),
            promotion=self.promotion if self.readable else None,
            unreadable=self._unreadable(),
            rewritten=tuple(sorted(self.rewritten & self.releases.keys())),
            verdicts=self.seen[max(0, len(self.seen) - 1 - late)],
            carried=carried,
            absent=tuple(name for name, c in self.clusters.items() if c.live is None),
            history=tuple(self._dated(upto, now)),
            latest=max((c.stamp for c in self.commits[:upto] if c.merged.by == "bot"), default=None),
            requests=tuple(self.requests),
        )

    def _unreadable(self) -> str | None:
        if self.rewritten & self.releases.keys():
            return "it was frozen, and is otherwise now"
        return None if self.readable else "line 3: not YAML"

    def _dated(self, upto: int, now: datetime) -> Iterator[Merged]:
        """The history as a reader with this clock has it: a time that is still to come is none."""
        latest: datetime | None = None
        for commit in self.commits[:upto]:
            if commit.stamp <= now + SKEW:
                latest = max(latest or commit.stamp, commit.stamp)
            yield replace(commit.merged, at=latest or now)

    def _first(self) -> dict[str, Pointed]:
        return self.commits[0].before if self.commits else self.pointers

    # what the bot does

    def bot(self, late: int = 0, behind: int = 0, crash: str = "") -> Decision:
        """One run: decide, find or open the pull request, decide anew, merge; it may die in between."""
        decision = decide(self.look(late, behind))
        if crash == "decided":
            return decision
        for obsolete in decision.obsolete:
            self.change(obsolete.number, state="closed", closedBy="bot")
        if not decision.key:
            return decision
        found = [r for r in self.requests if r.key == decision.key and r.state == "open"]
        number = found[0].number if found else self.open(decision)
        if crash == "opened" or self.requests[number - 1].touched:
            return decision
        self.proposals[number] = decision
        reading = self.look(late)
        again = decide(reading)
        if again.key == decision.key and again.ready:
            self.merge(number, again, reading)
        return again

    def open(self, decision: Decision) -> int:
        """Open a pull request; its number."""
        number = len(self.requests) + 1
        self.requests.append(
            Request(
                number=number, branch=f"canaryfleet/app/{decision.key}", key=decision.key, head=f"{number}.0",
                state="open", kind=decision.kind, release=decision.release, wave=decision.wave, moves=decision.moves,
            )
        )  # fmt: skip
        self.proposals[number] = decision
        return number

    def change(self, number: int, **fields: Any) -> None:
        """Something happens to a pull request."""
        self.requests[number - 1] = replace(self.requests[number - 1], **fields)

    def merge(
        self, number: int, decision: Decision, reading: Situation | None, *, gated: bool = True
    ) -> bool:
        """Merge a pull request of the bot; git refuses if main has moved on in what it changes."""
        request = self.requests[number - 1]
        at = {name: pointer.release for name, pointer in self.pointers.items()}
        if any(at.get(move.cluster) != move.from_ for move in decision.moves):
            return False
        self.change(number, state="merged")
        merged = Merged(
            commit=f"c{len(self.commits)}", at=self.now, kind=decision.kind, release=decision.release,
            wave=decision.wave, moves=decision.moves, ends=decision.ends,
            proofs=tuple(proof for proof in decision.evidence if at.get(proof.cluster) == proof.release),
            bars=decision.bars, owes=decision.owes,
            approvedBy=tuple(r.by for r in request.reviews if r.state == "approved" and r.head == request.head),
        )  # fmt: skip
        if decision.bars:
            self.promotion = replace(self.promotion, bars=(*self.promotion.bars, *decision.bars))
        self.commit(merged, reading, gated=gated)
        return True

    def commit(self, merged: Merged, reading: Situation | None = None, *, gated: bool = True) -> None:
        """A commit on main."""
        before = dict(self.pointers)
        stamp = self.now + (self.clock if merged.by == "bot" else timedelta(0))
        for move in merged.moves:
            if move.to is None:
                self.pointers.pop(move.cluster, None)
            else:
                self.pointers[move.cluster] = Pointed(release=move.to, fallback=move.fallback)
        self.commits.append(
            Commit(merged, before, dict(self.pointers), self.promotion, reading, gated, stamp)
        )

    # what people do

    def person_moves(self, name: str, to: str | None, fallback: str | None = None) -> None:
        """A person moves a pointer on main, whatever the gate says."""
        was = self.pointers.get(name)
        move = Move(cluster=name, from_=was.release if was else None, to=to, fallback=fallback)
        self.commit(
            Merged(commit=f"c{len(self.commits)}", at=self.now, by="person", moves=(move,)), gated=False
        )

    def person_names(self, name: str, fallback: str | None) -> None:
        """A person changes a fallback on main, and nothing else, whatever the gate says."""
        commit, release = f"c{len(self.commits)}", self.pointers[name].release
        merged = Merged(commit=commit, at=self.now, by="person", fallbacks=(name,))
        before, named = dict(self.pointers), Pointed(release=release, fallback=fallback)
        self.pointers[name] = named
        after = dict(self.pointers)
        self.commits.append(Commit(merged, before, after, self.promotion, None, False, self.now))

    def person_merges(self, number: int) -> None:
        """A person merges a pull request of the bot, if the required status lets them."""
        reading, request = self.look(), self.requests[number - 1]
        after = dict(self.pointers)
        for move in request.moves:
            after.pop(move.cluster, None)
            if move.to is not None:
                after[move.cluster] = Pointed(release=move.to, fallback=move.fallback)
        if request.state == "open" and not limits.broken(reading, after):
            before = len(self.commits)
            self.merge(number, self.proposals[number], reading)
            self.by_hand |= set(range(before, len(self.commits)))

    def approve(self, number: int) -> None:
        """A person approves the head of a pull request."""
        head = self.requests[number - 1].head
        self.change(number, reviews=(Review(by="ann", state="approved", head=head),))

    def hold(self, **what: Any) -> None:
        """A person writes a hold."""
        entry = HoldEntry(by="ann", since=EARLY, why="wait", **what)
        self.promotion = replace(self.promotion, holds=(entry,))

    def excuse(self, *names: str) -> None:
        """A person excuses clusters."""
        entries = tuple(Excuse(cluster=name, by="ann", since=EARLY, why="it burns") for name in names)
        self.promotion = replace(self.promotion, excused=entries)

    def lift(self) -> None:
        """A person removes all bars."""
        self.promotion = replace(self.promotion, bars=())

    def others(self, name: str, under_way: int) -> None:
        """Other apps are under way on a cluster."""
        loads = tuple(Load(app=f"other-{n}", underWay=True, takes={"gpu": 1}) for n in range(under_way))
        self.sites[name] = replace(self.sites[name], others=loads)

    # all of it, as long as it goes

    def turn(self, hours: float = 2) -> Decision:
        """Clusters take what main says and come to an end with it, and the bot runs."""
        for name in sorted(self.clusters):
            self.sync(name)
        self.now += timedelta(hours=hours)
        for name in sorted(self.clusters):
            self.ripen(name)
        decision = self.bot()
        self.now += timedelta(minutes=5)
        return decision

    def until_rest(self, most: int = 60) -> Decision:
        """Turns until two in a row change nothing; pull requests that wait for approval get it."""
        quiet, decision = 0, self.turn()
        for _ in range(most):
            before = len(self.commits)
            for request in self.requests:
                if request.state == "open" and not request.touched:
                    self.approve(request.number)
            decision = self.turn()
            quiet = quiet + 1 if len(self.commits) == before else 0
            if quiet == 2:
                return decision
        raise AssertionError("it never comes to rest")


# What must never happen, seen from outside


def waves_of(world: World, commit: Commit, move: Move) -> tuple[ReleaseFacts, int | None]:
    """The release that a move gives, and which of its waves the cluster is in."""
    given = world.made[move.to or ""]
    found = [index for index, wave in enumerate(given.waves) if move.cluster in wave.members]
    return given, found[0] if found else None


def allowed(limit: int | str, total: int) -> int:
    """A count or a percentage of a total, rounded down."""
    return total * int(str(limit)[:-1]) // 100 if str(limit).endswith("%") else int(limit)


def is_forward(world: World, commit: Commit, move: Move) -> bool:
    """True unless the move takes a cluster back to what really was good there, whatever its overlay says."""
    if move.to is None:
        return False
    before = commit.before.get(move.cluster)
    back = commit.merged.kind == "Rollback" or (before is not None and before.fallback == move.to)
    return not (back and (move.cluster, move.to) in world.proved)


def witnessed(world: World, index: int, name: str, id: str, reading: Situation) -> bool:
    """True if a reading, or a commit since the cluster has the release, saw it proven there, and not failed."""
    pointer = reading.pointers.get(name)
    if pointer is None or pointer.release != id:
        return False
    moved = [n for n, c in enumerate(world.commits[:index]) if any(m.cluster == name for m in c.merged.moves)]
    begin = moved[-1] if moved else -1
    since = world.commits[begin].merged.at if moved else BEGIN - timedelta(days=1)
    seen = reading.verdicts.get(name)
    if seen is not None and seen.release == id and seen.kind == "Failed" and (seen.since or since) >= since:
        return False
    live = seen is not None and (seen.kind, seen.release) == ("Verified", id) and seen.basis != "Reverted"
    if live and seen is not None and (seen.basis == "SameWorkload" or (seen.since or BEGIN) >= since):
        return True
    proofs = [
        p
        for c in world.commits[begin + 1 : index]
        if id not in c.merged.ends
        for p in c.merged.proofs
        if (p.cluster, p.release, p.kind) == (name, id, "Verified") and p.basis != "Reverted"
    ]
    return bool(proofs)


def check_clock(world: World, index: int, commit: Commit, move: Move, reading: Situation) -> None:
    """By a clock that is behind what the bot itself has written nothing goes forward."""
    stamps = [c.stamp for c in world.commits[:index] if c.merged.by == "bot"]
    assert not stamps or reading.now >= max(stamps) - SKEW, f"{move.cluster} moved by a clock that is behind"


def check_order(world: World, index: int, commit: Commit, move: Move, reading: Situation) -> None:
    """Invariants 1, 3 and 5: every earlier wave is complete on that release, by the members it was frozen with."""
    given, mine = waves_of(world, commit, move)
    for wave in given.waves[: mine or 0]:
        excused = excused_in(reading) & set(wave.members)
        counted = [name for name in wave.members if name not in excused]
        proven = [name for name in counted if witnessed(world, index, name, given.id, reading)]
        quorum = len(wave.members) - allowed(wave.maxFailures, len(wave.members)) - len(excused)
        assert len(proven) >= quorum, f"{move.cluster} got {given.id} before wave {wave.name} was complete"
        assert proven or not counted, (
            f"{move.cluster} got {given.id}, and nobody in wave {wave.name} proved it"
        )
        failed = known_failures(world, index, given, wave, reading)
        assert len(failed) <= allowed(wave.maxFailures, len(wave.members)), f"went on after {failed} failed"


def check_blind(world: World, index: int, commit: Commit, move: Move, reading: Situation) -> None:
    """Invariant 3: where nobody before a wave has ever proven a release, a person wanted it, a cluster at a time."""
    given, mine = waves_of(world, commit, move)
    before = [name for wave in given.waves[: mine or 0] for name in wave.members]
    among = [*before, *(given.waves[mine].members if mine is not None else ())]
    if not before or any(_ever(world, index, name, given.id, reading) for name in among):
        return
    alone = [
        other for other in commit.merged.moves if other.to == given.id and is_forward(world, commit, other)
    ]
    assert len(alone) == 1, f"{len(alone)} clusters got {given.id} at once, and nobody has proven it"
    wanted = commit.merged.by != "bot" or commit.merged.approvedBy or index in world.by_hand
    assert wanted, f"{move.cluster} got {given.id}, and nobody has proven or approved it"


def _ever(world: World, index: int, name: str, id: str, reading: Situation) -> bool:
    """True if a reading or a commit since it was last ended saw a release proven on a cluster."""
    ends = [n for n, c in enumerate(world.commits[:index]) if id in c.merged.ends]
    proofs = [
        p
        for c in world.commits[(ends[-1] + 1 if ends else 0) : index]
        for p in c.merged.proofs
        if (p.cluster, p.release, p.kind) == (name, id, "Verified") and p.basis != "Reverted"
    ]
    return bool(proofs) or witnessed(world, index, name, id, reading)


def excused_in(reading: Situation) -> set[str]:
    """Who is excused or leaves."""
    entries = reading.promotion.excused if reading.promotion else ()
    return {e.cluster for e in entries} | {n for n, s in reading.sites.items() if s.lifecycle == "retiring"}


def known_failures(
    world: World, index: int, given: ReleaseFacts, wave: ReleaseWave, reading: Situation
) -> set[str]:
    """Members on which the release failed, as read or as a commit records since it was last ended."""
    ends = [n for n, c in enumerate(world.commits[:index]) if given.id in c.merged.ends]
    begin = ends[-1] + 1 if ends else 0
    failed: set[str] = set()
    for commit in world.commits[begin:index]:
        for proof in commit.merged.proofs:
            if proof.release == given.id and proof.cluster in wave.members:
                (failed.add if proof.kind == "Failed" else failed.discard)(proof.cluster)
    for name in wave.members:
        seen, pointer = reading.verdicts.get(name), reading.pointers.get(name)
        if seen and pointer and seen.release == given.id == pointer.release and seen.kind == "Verified":
            failed.discard(name)
    return failed


def check_limits(world: World, index: int, commit: Commit, move: Move, reading: Situation) -> None:
    """Invariant 8: limits hold on the tree that the merge produced."""
    given, mine = waves_of(world, commit, move)
    if mine is not None and given.waves[mine].maxConcurrency is not None:
        wave = given.waves[mine]
        has = [n for n in wave.members if n in commit.pointers and commit.pointers[n].release == given.id]
        busy = [n for n in has if not witnessed(world, index, n, given.id, reading)]
        most = max(1, allowed(wave.maxConcurrency or 0, len(wave.members)))
        assert len(busy) <= most, f"{busy} are under way at once in wave {wave.name}, and {most} may"
    site = reading.sites[move.cluster]
    busy_apps = sum(load.underWay for load in site.others) + 1
    assert busy_apps <= (site.maxConcurrentCanaries or busy_apps), f"too many canaries on {move.cluster}"
    takes = given.clusters[move.cluster].takes["gpu"]
    before = commit.before.get(move.cluster)
    if before is not None and world.made[before.release].workload != given.workload:
        takes += world.made[before.release].clusters[move.cluster].takes["gpu"]
    total = takes + sum(load.takes["gpu"] for load in site.others)
    assert total <= site.resources["gpu"], f"{move.cluster} has no room for {given.id}"


def check_people(world: World, index: int, commit: Commit, move: Move, reading: Situation) -> None:
    """What people said is obeyed: bars, holds, `paused`, files that can't be read, pointers they moved."""
    assert reading.unreadable is None, "moved although promotion.yaml can't be read"
    assert not reading.fleet.paused, "moved although paused"
    given, mine = waves_of(world, commit, move)
    for bar in reading.promotion.bars if reading.promotion else ():
        assert given.workload != bar.workload, f"{move.cluster} got the barred {given.workload}"
        assert given.id != bar.release, f"{move.cluster} got the barred {given.id}"
    for hold in reading.promotion.holds if reading.promotion else ():
        name = given.waves[mine].name if mine is not None else ""
        members = given.waves[mine].members if mine is not None else (move.cluster,)
        assert hold.wave not in (None, name) or (hold.cluster and hold.cluster not in members), "moved a hold"
    theirs = [
        m
        for c in world.commits[:index]
        if c.merged.by == "person"
        for m in c.merged.moves
        if m.cluster == move.cluster
    ]
    last = world.commits[:index]
    moved = [c.merged for c in last if any(m.cluster == move.cluster for m in c.merged.moves)]
    if (
        theirs
        and moved
        and moved[-1].by == "person"
        and theirs[-1].from_ == move.to
        and _by_bot(world, index, move)
        and index not in world.by_hand
    ):
        assert move.cluster in excused_in(reading), f"overwrote what a person did to {move.cluster}"


def _by_bot(world: World, index: int, move: Move) -> bool:
    """True if the bot's last move of the cluster gave it this very release."""
    found = [
        m.to
        for c in world.commits[:index]
        if c.merged.by == "bot"
        for m in c.merged.moves
        if m.cluster == move.cluster
    ]
    return bool(found) and found[-1] == move.to


def check_approval(world: World, index: int, commit: Commit, move: Move, reading: Situation) -> None:
    """Invariant 1: where a wave asks for approval, some batch of it since it was last ended has one."""
    given, mine = waves_of(world, commit, move)
    if mine is None or given.waves[mine].approval == "none":
        return
    ends = [n for n, c in enumerate(world.commits[:index]) if given.id in c.merged.ends]
    batches = world.commits[(ends[-1] + 1 if ends else 0) : index + 1]
    wave = given.waves[mine].name
    approved = any(
        c.merged.approvedBy for c in batches if (c.merged.release, c.merged.wave) == (given.id, wave)
    )
    assert approved, f"{move.cluster} got {given.id} without an approval of wave {wave}"


FORWARD: tuple[Callable[..., None], ...] = (
    check_clock,
    check_order,
    check_blind,
    check_limits,
    check_people,
    check_approval,
)


def check_commit(world: World, index: int) -> None:
    """Everything that must hold of one commit of main that the bot made or the gate let pass."""
    commit = world.commits[index]
    for name, pointer in commit.pointers.items():
        for id in (pointer.release, pointer.fallback):
            assert id is None or id in world.releases, f"{name} names {id}, which is pruned"
    if not commit.gated or commit.reading is None:
        return
    check_record(world, index, commit)
    check_content(world, index, commit)
    for move in commit.merged.moves:
        if is_forward(world, commit, move):
            assert commit.merged.kind != "Rollback", (
                f"{move.cluster} went back to {move.to}, and that never was good there"
            )
            for check in FORWARD:
                if check is check_approval and commit.merged.by != "bot":
                    continue
                check(world, index, commit, move, commit.reading)
    check_back(world, index, commit)


def check_record(world: World, index: int, commit: Commit) -> None:
    """What the last wave proved is recorded once, and only of who has it; nobody moves by it."""
    if commit.merged.kind != "Done":
        return
    id, before = commit.merged.release, world.commits[:index]
    assert not commit.merged.moves, "a record moves something"
    assert any(p.release == id for p in commit.merged.proofs), f"it records nothing of {id}"
    earlier = [n for n, c in enumerate(before) if (c.merged.kind, c.merged.release) == ("Done", id)]
    given = [n for n, c in enumerate(before) if any(m.to == id for m in c.merged.moves)]
    later = [p for p in commit.merged.proofs if earlier and p.since and p.since > before[earlier[-1]].stamp]
    assert not earlier or later or (given and given[-1] > earlier[-1]), f"{id} is recorded twice"


def check_content(world: World, index: int, commit: Commit) -> None:
    """Invariant 2: no way leads to files that are not those which anything was proven with, not even back."""
    assert commit.reading is not None
    for move in commit.merged.moves:
        assert move.to not in commit.reading.rewritten or index in world.by_hand, (
            f"{move.cluster} was given {move.to}, which is rewritten"
        )


def check_back(world: World, index: int, commit: Commit) -> None:
    """Invariant 6: nothing goes forward beside a failure beyond the limit; a rollback takes all, and bars."""
    reading = commit.reading
    assert reading is not None
    beyond = [id for id in sorted(world.made) if _beyond(world, index, id, reading)]
    if not beyond:
        return
    assert commit.merged.kind == "Rollback", f"{commit.merged.kind} beside a failure beyond the limit"
    for id in beyond:
        workload = world.made[id].workload
        written = [*commit.promotion.bars, *commit.merged.owes]
        assert any(workload == b.workload or id == b.release for b in written), f"{id} is not barred"
        for name, pointer in commit.pointers.items():
            bars = {b.workload or b.release for b in written} | {*reading.rewritten}
            assert pointer.release != id or _is_stuck(world, index, name, pointer, bars), (
                f"{name} stays on the failed {id}"
            )


def _is_stuck(world: World, index: int, name: str, pointer: Pointed, bars: set[str | None]) -> bool:
    """True if there is nothing to go back to: nothing at all, or nothing that anybody but a person says is good there."""
    back = pointer.fallback
    if back is None or back not in world.releases or bool({back, world.made[back].workload} & bars):
        return True
    return _named_by_hand(world, index, name) and not _recorded(world, index, name, back)


def _named_by_hand(world: World, index: int, name: str) -> bool:
    """True if a person was the last to write a cluster's fallback."""
    wrote = [
        c.merged.by
        for c in world.commits[:index]
        if name in c.merged.fallbacks or any(m.cluster == name for m in c.merged.moves)
    ]
    return bool(wrote) and wrote[-1] == "person"


def _recorded(world: World, index: int, name: str, id: str) -> bool:
    """True if the newest record of a release on a cluster since it was ended is a proof, or the bot named it there."""
    ends = [n for n, c in enumerate(world.commits[:index]) if id in c.merged.ends]
    since = world.commits[(ends[-1] + 1 if ends else 0) : index]
    kinds = [p.kind for c in since for p in c.merged.proofs if (p.cluster, p.release) == (name, id)]
    by_bot = any(
        (m.cluster, m.fallback) == (name, id) for c in since if c.merged.by == "bot" for m in c.merged.moves
    )
    return by_bot or kinds[-1:] == ["Verified"]


def _beyond(world: World, index: int, id: str, reading: Situation) -> bool:
    """True if a release that somebody has failed on more members of a wave than it may, as far as was read."""
    mine = {name: pointer for name, pointer in reading.pointers.items() if pointer.release == id}
    bars = {bar.workload or bar.release for bar in (reading.promotion.bars if reading.promotion else ())}
    bars |= {*reading.rewritten}  # nothing goes back to those either
    named = {world.made[id].workload, id} & bars
    if not mine or (
        named and all(_is_stuck(world, index, name, pointer, bars) for name, pointer in mine.items())
    ):
        return False
    for wave in world.made[id].waves:
        failed = known_failures(world, index, world.made[id], wave, reading)
        for name in wave.members:
            seen, pointer = reading.verdicts.get(name), reading.pointers.get(name)
            # by the clock that moved it: by one that was ahead, what was measured since is from before
            moved = [c.stamp for c in world.commits[:index] if any(m.cluster == name for m in c.merged.moves)]
            fresh = seen and (not moved or seen.since is None or seen.since >= moved[-1])
            if seen and pointer and fresh and seen.release == id == pointer.release and seen.kind == "Failed":
                failed.add(name)
        if len(failed) > allowed(wave.maxFailures, len(wave.members)):
            return True
    return False


def check_requests(world: World) -> None:
    """Invariant 7: no two open pull requests do the same, and the bot merged none that a person touched."""
    keys = [request.key for request in world.requests if request.state == "open"]
    assert len(keys) == len(set(keys)), "two open pull requests do the same"


# Histories

Action = Callable[[World, Random], None]


def player(seed: int, steps: int = 50) -> World:
    """A random history, checked after each step; of what goes wrong each history has its own few kinds."""
    random = Random(seed)
    world = World(*random_start(random))
    new_release(world, random)
    troubles = random.sample(TROUBLES, random.randint(1, 8))
    checked = 0
    for _ in range(steps):
        happens = random.choice(LIKELY) if random.random() < 0.85 else random.choice(troubles)
        happens(world, random)
        while checked < len(world.commits):
            check_commit(world, checked)
            checked += 1
        check_requests(world)
    return world


def random_start(random: Random) -> tuple[tuple[ReleaseWave, ...], Policy]:
    """Waves of one to four clusters with all kinds of limits."""
    names = [f"c{n}" for n in range(random.randint(3, 9))]
    waves: list[ReleaseWave] = []
    while names:
        size = random.randint(1, min(4, len(names)))
        waves.append(
            ReleaseWave(
                name=f"w{len(waves)}",
                members=tuple(names[:size]),
                maxConcurrency=random.choice([None, 1, 2, "50%"]),
                maxFailures=random.choice([0, 0, 0, 1, "30%"]),
                minSuccessTime=random.choice(["0", "0", "1h"]),
                progressDeadline=random.choice(["1d", "6h"]),
                approval=random.choice(["none", "none", "none", "required"]),
            )
        )
        names = names[size:]
    policy = Policy(
        onNewRelease=random.choice(["queue", "replace"]), automatic=random.choice([True, True, True, False])
    )
    return tuple(waves), policy


def bot_runs(world: World, random: Random) -> None:
    world.bot()


def bot_dies(world: World, random: Random) -> None:
    world.bot(crash=random.choice(["decided", "opened"]))


def bot_is_late(world: World, random: Random) -> None:
    world.bot(late=random.randint(1, 6))


def bot_is_behind(world: World, random: Random) -> None:
    world.bot(behind=random.randint(1, 3))


def clusters_follow(world: World, random: Random) -> None:
    for name in sorted(world.clusters):
        if random.random() < 0.8:
            world.sync(name)


def clusters_ripen(world: World, random: Random) -> None:
    world.now += timedelta(minutes=90)
    for name in sorted(world.clusters):
        if random.random() < 0.8:
            world.ripen(name)


def time_passes(world: World, random: Random) -> None:
    world.now += timedelta(minutes=random.choice([5, 60, 600, 1500]))


def new_release(world: World, random: Random) -> None:
    workload = f"w{len(world.made)}"
    waves = tuple(replace(w, members=tuple(m for m in w.members if m in world.sites)) for w in world.waves)
    joined = tuple(sorted(set(world.sites) - {m for w in waves for m in w.members}))
    waves = (*waves[:-1], replace(waves[-1], members=(*waves[-1].members, *joined)))
    world.new(f"v{len(world.made)}", workload, waves)
    chances: list[Fate] = random.choice([["good"], ["good"], ["bad"], ["good", "bad", "vague", "late"]])
    world.fates |= {(workload, name): random.choice(chances) for name in world.clusters}


def hotfix(world: World, random: Random) -> None:
    new_release(world, random)
    world.releases[world.candidate] = replace(world.releases[world.candidate], urgency="hotfix")


def policy_only(world: World, random: Random) -> None:
    base = world.releases[world.candidate]
    world.new(f"v{len(world.made)}", base.workload, base.waves)


def spec_reverted(world: World, random: Random) -> None:
    world.candidate = random.choice(sorted(world.releases))


def cluster_lost(world: World, random: Random) -> None:
    world.clusters[random.choice(sorted(world.clusters))].reachable = False


def cluster_back(world: World, random: Random) -> None:
    for cluster in world.clusters.values():
        cluster.reachable = True


def runs_vanish(world: World, random: Random) -> None:
    for name in sorted(world.clusters):
        if random.random() < 0.5:
            world.forget(name)


def runs_vanish_if_recorded(world: World) -> None:
    """AnalysisRuns vanish of what a commit has recorded since."""
    for name, cluster in sorted(world.clusters.items()):
        proofs = [p for c in world.commits for p in c.merged.proofs if p.cluster == name]
        if proofs and (proofs[-1].release, proofs[-1].kind) == (cluster.live, "Verified"):
            world.forget(name)


def turns_bad(world: World, random: Random) -> None:
    for name in sorted(world.clusters):
        world.sour(name)


def person_moves(world: World, random: Random) -> None:
    if not world.pointers:
        return
    name = random.choice(sorted(world.pointers))
    pointer = world.pointers[name]
    to = random.choice([pointer.fallback or pointer.release, *sorted(world.releases)])
    if to != pointer.release and name in world.releases[to].clusters:
        world.person_moves(name, to, random.choice([None, pointer.fallback, pointer.release]))


def person_names(world: World, random: Random) -> None:
    if not world.pointers:
        return
    name = random.choice(sorted(world.pointers))
    known = [id for id in sorted(world.releases) if name in world.releases[id].clusters]
    fallback = random.choice([None, world.candidate, *known])
    if fallback in world.releases and fallback != world.pointers[name].fallback:
        world.person_names(name, fallback)


def person_moves_and_names(world: World, random: Random) -> None:
    if not world.pointers:
        return
    name = random.choice(sorted(world.pointers))
    known = [id for id in sorted(world.releases) if name in world.releases[id].clusters]
    to = random.choice([id for id in known if id != world.pointers[name].release] or [None])
    if to is not None:
        world.person_moves(name, to, random.choice(known))


def clock_jumps(world: World, random: Random) -> None:
    world.clock = timedelta(minutes=random.choice([0, 0, 0, 1, 15, 300, -1, -3, -15, -300]))


def _any_open(world: World, random: Random) -> Request | None:
    found = [request for request in world.requests if request.state == "open"]
    return random.choice(found) if found else None


def person_closes(world: World, random: Random) -> None:
    request = _any_open(world, random)
    if request:
        world.change(request.number, state="closed", closedBy="person")


def person_merges(world: World, random: Random) -> None:
    request = _any_open(world, random)
    if request and not request.touched and request.kind != "Rollback":
        if any(world.releases[m.to].waves and needs(world, m) for m in request.moves if m.to):
            world.approve(request.number)
        world.person_merges(request.number)


def needs(world: World, move: Move) -> bool:
    """Whether the forge's own rules ask for an approval before a person merges."""
    waves = world.releases[move.to or ""].waves
    return any(wave.approval == "required" for wave in waves if move.cluster in wave.members)


def person_approves(world: World, random: Random) -> None:
    request = _any_open(world, random)
    if request:
        world.approve(request.number)


def person_pushes(world: World, random: Random) -> None:
    request = _any_open(world, random)
    if request:
        world.change(request.number, touched=True, head=f"{request.number}.1")


def person_holds(world: World, random: Random) -> None:
    wave = random.choice(world.waves)
    what = random.choice([{}, {"wave": wave.name}, {"cluster": wave.members[0]}, None])
    if what is None:
        world.promotion = replace(world.promotion, holds=())
    else:
        world.hold(**what)


def person_excuses(world: World, random: Random) -> None:
    world.excuse(*random.sample(sorted(world.clusters), random.randint(0, 2)))


def person_lifts(world: World, random: Random) -> None:
    world.lift()


def pauses(world: World, random: Random) -> None:
    world.fleet = fleet(paused=random.choice([True, False, False]))


def file_breaks(world: World, random: Random) -> None:
    world.readable = random.choice([True, False])


def somebody_rewrites(world: World, random: Random) -> None:
    """A frozen file is changed past the gate, most often of a release that somebody falls back to; or all are restored."""
    backs = sorted({p.fallback for p in world.pointers.values() if p.fallback in world.releases})
    some = random.choice([backs, backs, sorted(world.releases)])
    world.rewritten = {random.choice(some)} if some and random.random() < 0.6 else set()


def others_busy(world: World, random: Random) -> None:
    name = random.choice(sorted(world.sites))
    world.sites[name] = replace(world.sites[name], maxConcurrentCanaries=random.choice([None, 1, 2]))
    world.others(name, random.randint(0, 5))


def cluster_retires(world: World, random: Random) -> None:
    name = random.choice(sorted(world.sites))
    world.sites[name] = replace(world.sites[name], lifecycle=random.choice(["active", "retiring"]))


def cluster_joins(world: World, random: Random) -> None:
    name = f"j{len(world.clusters)}"
    world.sites[name] = Site(resources={"gpu": 8})
    world.clusters[name] = True_()


def prune(world: World, random: Random) -> None:
    kept = limits.needed(world.look())
    world.releases = {id: item for id, item in world.releases.items() if id in kept or random.random() < 0.3}


LIKELY: list[Action] = [
    bot_runs, clusters_follow, clusters_ripen, bot_runs, clusters_follow, clusters_ripen, bot_runs,
    person_approves,
]  # fmt: skip
TROUBLES: list[Action] = [
    new_release, new_release, policy_only, spec_reverted, hotfix, time_passes, bot_dies, bot_is_late, bot_is_behind, cluster_lost,
    cluster_back, runs_vanish, turns_bad, person_moves, person_moves, person_names, person_names, person_moves_and_names, clock_jumps, person_closes, person_merges, person_pushes,
    person_holds, person_excuses, person_lifts, pauses, file_breaks, somebody_rewrites, others_busy, cluster_retires, cluster_joins,
    prune,
]  # fmt: skip
