"""What a decision depends on (Situation), and what it is (Decision): a record of both reproduces it.

A situation is everything that the bot looked at, and nothing else is looked at: the default branch at
one commit (specs, releases, pointers, history), the clusters' verdicts, the forge, and the time.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from canaryfleet.models.base import Model
from canaryfleet.models.canary import Canary, Wave
from canaryfleet.models.fleet import Fleet
from canaryfleet.models.observation import Basis, Time, Verdict, VerdictKind
from canaryfleet.models.promotion import Bar, Promotion
from canaryfleet.models.release import Release, ReleaseWave

Kind = Literal["Start", "Advance", "Retry", "Hold", "Rollback", "Done"]
FORWARD: frozenset[Kind] = frozenset(["Start", "Advance", "Retry"])
"""Decisions that give clusters a release; the others give nobody anything new."""
Amounts = Annotated[
    dict[str, int], Meta(description="By resource, in thousandths of its unit: exact, and of one scale.")
]


# What the tree says


class Policy(Model, frozen=True, kw_only=True):
    """What the spec says now, and what is obeyed now, whatever the release was frozen with."""

    waves: tuple[Wave, ...] = ()
    hotfixWaves: tuple[Wave, ...] = ()
    onNewRelease: Literal["queue", "replace"] = "queue"
    lifecycle: Literal["active", "retiring"] = "active"
    automatic: Annotated[bool, Meta(description="The bot merges rollbacks itself.")] = True

    def waves_of(self, urgency: str) -> dict[str, Wave]:
        """The live waves of releases of an urgency, by name."""
        chosen = self.hotfixWaves if urgency == "hotfix" and self.hotfixWaves else self.waves
        return {wave.name: wave for wave in chosen}


class Member(Model, frozen=True, kw_only=True):
    """A cluster of a release: what its pods are, and what all of them ask for."""

    pod: str
    takes: Amounts = {}


class ReleaseFacts(Model, frozen=True, kw_only=True):
    """What of a release matters to a decision."""

    id: str
    workload: str
    urgency: Literal["normal", "hotfix"] = "normal"
    waves: tuple[ReleaseWave, ...]
    clusters: Annotated[dict[str, Member], Meta(description="Clusters that can be given it.")]


class Pointed(Model, frozen=True, kw_only=True):
    """What one cluster's overlay names."""

    release: str
    fallback: str | None = None


class Load(Model, frozen=True, kw_only=True):
    """What another app has on a cluster; while it is under way, of its old and its new version together."""

    app: str
    underWay: bool = False
    takes: Amounts = {}


class Site(Model, frozen=True, kw_only=True):
    """A cluster of the inventory, and what else is there."""

    lifecycle: Literal["active", "retiring"] = "active"
    maxConcurrentCanaries: int | None = None
    resources: Amounts = {}
    others: tuple[Load, ...] = ()


# What the history of the default branch says


class Move(Model, frozen=True, kw_only=True):
    """One cluster's pointer before and after; None: no overlay."""

    cluster: str
    from_: str | None = field(name="from", default=None)
    to: str | None = None
    fallback: Annotated[str | None, Meta(description="What the overlay names as fallback afterwards.")] = None


class Proof(Model, frozen=True, kw_only=True):
    """A verdict as a merged commit records it; its evidence is found by the hash."""

    cluster: str
    release: str
    kind: VerdictKind
    basis: Basis | None = None
    reason: str = ""
    since: Time | None = None
    hash: str


class Merged(Model, frozen=True, kw_only=True):
    """One commit of the default branch that changed pointers of the app or records proofs, oldest first."""

    commit: str
    at: Time
    by: Literal["bot", "person"] = "bot"
    kind: Kind | None = None
    key: Annotated[str | None, Meta(description="Of the decision that it carried out.")] = None
    release: str | None = None
    wave: str | None = None
    moves: tuple[Move, ...] = ()
    fallbacks: Annotated[
        tuple[str, ...], Meta(description="Clusters whose fallback it changed, beside a pointer that stayed.")
    ] = ()
    proofs: tuple[Proof, ...] = ()
    ends: Annotated[
        tuple[str, ...], Meta(description="Releases that it ended: proofs from before count no more.")
    ] = ()
    bars: Annotated[tuple[Bar, ...], Meta(description="Bars that it wrote.")] = ()
    owes: Annotated[tuple[Bar, ...], Meta(description="Bars that it could not write.")] = ()
    approvedBy: tuple[str, ...] = ()


# What the forge says


class Review(Model, frozen=True, kw_only=True):
    """A person's newest review of a pull request, and the head that it is of."""

    by: str
    state: Literal["approved", "changesRequested", "other"]
    head: str


class Request(Model, frozen=True, kw_only=True):
    """A pull request of the bot; what it does is read from its branch, never from its text."""

    number: int
    branch: str
    key: str
    head: str
    state: Literal["open", "merged", "closed"]
    closedBy: Literal["bot", "person"] | None = None
    touched: Annotated[bool, Meta(description="A person has committed on its branch.")] = False
    kind: Kind = "Advance"
    release: str | None = None
    wave: str | None = None
    moves: tuple[Move, ...] = ()
    reviews: tuple[Review, ...] = ()


class Situation(Model, frozen=True, kw_only=True):
    """Everything that the decision for one app depends on."""

    app: str
    now: Time
    policy: Policy
    fleet: Fleet
    sites: Annotated[dict[str, Site], Meta(description="The inventory, by cluster.")] = {}
    candidate: Annotated[str | None, Meta(description="The release that the spec resolves to.")] = None
    releases: Annotated[dict[str, ReleaseFacts], Meta(description="Releases in the tree.")] = {}
    pointers: dict[str, Pointed] = {}
    promotion: Promotion | None = None
    latest: Annotated[
        Time | None, Meta(description="When the bot last committed, by the clock that it had.")
    ] = None
    unreadable: Annotated[
        str | None, Meta(description="Why promotion.yaml, or what else may hold the app, can't be read.")
    ] = None
    rewritten: Annotated[
        tuple[str, ...], Meta(description="Releases whose frozen files are not what clusters were given.")
    ] = ()
    verdicts: dict[str, Verdict] = {}
    carried: Annotated[
        dict[str, Time], Meta(description="Since when the live Rollout carries the release it is pointed at.")
    ] = {}
    absent: Annotated[
        tuple[str, ...], Meta(description="Clusters on which the app was seen to be absent.")
    ] = ()
    history: tuple[Merged, ...] = ()
    requests: tuple[Request, ...] = ()

    @property
    def takes_bars(self) -> bool:
        """Whether promotion.yaml can be written: whatever else can't be read, that could, or is not there."""
        return self.unreadable is None or self.promotion is not None


# What follows

Code = Literal[
    # nothing may move
    "promotion-unreadable", "clock-behind", "paused", "frozen", "held", "window-closed", "barred",
    "no-candidate", "no-release", "no-wave", "persons-pointer", "breaks-limit",
    # evidence
    "wave-incomplete", "under-way", "inconclusive", "unknown", "failed", "overdue", "not-at-rest", "no-evidence",
    # limits
    "max-concurrency", "max-failures", "max-canaries", "capacity", "unknown-to-release",
    "to-nothing", "other-fallback", "still-needed", "pointer-removed", "has-all",
    # somebody's pull request, to the gate
    "conflicts", "forged", "rewritten", "promotion-wrong", "no-file",
    # people
    "declined", "touched", "approval-missing", "changes-requested", "by-hand", "excused", "retiring",
    # the forge
    "merged-already",
    # why something moves
    "first-wave", "room-in-wave", "bar-lifted", "went-back", "catches-up", "joins", "leaves", "reverted",
    "beyond-limit", "within-limit", "bar-owed",
    # nothing is left to do
    "queued", "done", "gone",
]  # fmt: skip


class Reason(Model, frozen=True, kw_only=True):
    """Why: a stable code, a sentence, and what would change it."""

    code: Code
    message: str
    remedy: str = ""
    clusters: tuple[str, ...] = ()
    alarm: Annotated[bool, Meta(description="Somebody should look now.")] = False


class Obsolete(Model, frozen=True, kw_only=True):
    """An open pull request of the bot that nothing speaks for any more."""

    number: int
    reason: str


class Decision(Model, frozen=True, kw_only=True):
    """What to do for one app, and why. `moves`, `bars`, `ends`, `owes` and `evidence` become one commit."""

    app: str
    kind: Kind
    release: str | None = None
    wave: str | None = None
    moves: tuple[Move, ...] = ()
    bars: tuple[Bar, ...] = ()
    owes: tuple[Bar, ...] = ()
    ends: tuple[str, ...] = ()
    reasons: tuple[Reason, ...]
    evidence: tuple[Proof, ...] = ()
    complete: Annotated[tuple[str, ...], Meta(description="Waves of the release that are complete.")] = ()
    key: Annotated[str, Meta(description="The same for the same decision: names its branch.")] = ""
    ready: Annotated[bool, Meta(description="It may be merged now, not only proposed.")] = False
    obsolete: tuple[Obsolete, ...] = ()


def release_facts(release: Release, takes: dict[str, dict[str, int]] | None = None) -> ReleaseFacts:
    """What of a frozen release matters; `takes`: what its pods ask for, by cluster."""
    return ReleaseFacts(
        id=release.id,
        workload=release.workload,
        urgency=release.urgency,
        waves=release.waves,
        clusters={
            name: Member(pod=member.pod, takes=(takes or {}).get(name, {}))
            for name, member in release.clusters.items()
        },
    )


def policy(spec: Canary) -> Policy:
    """What of a spec is obeyed live."""
    return Policy(
        waves=spec.waves,
        hotfixWaves=spec.hotfixWaves,
        onNewRelease=spec.onNewRelease,
        lifecycle=spec.lifecycle,
        automatic=spec.rollback.automatic,
    )
