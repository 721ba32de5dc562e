"""Replicas of the bot share the apps: a Kubernetes Lease for each, as client-go's leader election has it.

https://pkg.go.dev/k8s.io/client-go/tools/leaderelection. Whoever holds an app's lease acts for it. A
holder that could not renew in time stops acting before anybody else may begin: others wait longer, from
the moment at which they themselves last saw the lease change, each by its own clock. Clocks are never
compared, and may differ in speed as `Times` says.

What it guarantees: two replicas seldom do the same work. Nothing rests on it: a replica may be paused
between asking `held` and a side effect, and every side effect is safe to make twice, or at once with
another. Apps are taken in random order and some at a time, so that replicas that start together get about
equal shares; nobody gives an app up for the sake of fairness.
"""

import asyncio
import contextlib
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from canaryfleet.errors import UsageError
from canaryfleet.models.observation import LEASES, Raw
from canaryfleet.sources.kubernetes.http import Stage
from canaryfleet.sources.kubernetes.kubeconfig import SERVICE_ACCOUNT, Way, in_cluster
from canaryfleet.sources.kubernetes.session import Session
from canaryfleet.sources.kubernetes.trouble import Trouble

SHARE = 10
"""A replica takes at most a tenth of the apps in one turn, so that others get some too."""
LONGEST = 600.0
"""Seconds that a lease may ask for at most: no version says more than a minute, and apps must not stand still."""


class Times(NamedTuple):
    """Seconds. Clocks may run `duration / renew` apart in speed before two could hold at once."""

    duration: float = 30.0
    """Without a change for so long, others take the lease over."""
    renew: float = 20.0
    """A holder that has not renewed for so long acts no more."""
    turn: float = 5.0
    """Between turns, and the limit of one request."""


class Election:
    """What one replica knows of one app's lease. Pure: the caller brings what it read, and its clock."""

    def __init__(self, me: str, times: Times) -> None:
        self._me, self._times = me, times
        self._until: float | None = None
        self._seen: tuple[Raw, float] | None = None

    def held(self, now: float) -> bool:
        """Whether this replica may act."""
        return self._until is not None and now < self._until

    def wanted(self, found: Raw | None, now: float) -> Raw | None:
        """What to write to take or keep the lease, as its spec; None: it is somebody else's.

        `found`: the spec that was read; None if there is no lease. `now`: after it was read.
        """
        spec = found or {}
        holder = spec.get("holderIdentity")
        if holder == self._me:
            return self._spec(spec, holder)
        self.lost()
        if not holder:
            return self._spec(spec, holder)
        if self._seen is None or self._seen[0] != spec:
            self._seen = (spec, now)
        return self._spec(spec, holder) if now - self._seen[1] > self._patience(spec) else None

    def won(self, asked: float) -> None:
        """The server has stored what was wanted. `asked`: before it was told to."""
        self._until = asked + self._times.renew

    def lost(self) -> None:
        """Somebody else has written, or this replica gives it up."""
        self._until = None

    def _patience(self, spec: Raw) -> float:
        """As long as the holder said, if that is longer than ours: it may be of another version. Never for ever."""
        said = spec.get("leaseDurationSeconds")
        return max(self._times.duration, min(said, LONGEST) if isinstance(said, int) else 0)

    def _spec(self, spec: Raw, holder: Any) -> Raw:
        """Times in it are for people: nobody compares them with a clock."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        changes = {
            "holderIdentity": self._me,
            "leaseDurationSeconds": round(self._times.duration),
            "renewTime": now,
        }
        if holder != self._me:
            before = spec.get("leaseTransitions")
            times = before + 1 if isinstance(before, int) else 0
            changes |= {"acquireTime": now, "leaseTransitions": times}
        return {**spec, **changes}


class Store(Protocol):
    """Where leases are kept. Raises Trouble."""

    async def all(self) -> dict[str, Raw]:
        """Every lease of the namespace, by name."""
        ...

    async def write(self, name: str, lease: Raw | None, spec: Raw) -> Raw | None:
        """Change a lease that was read, or make it (None); None: somebody else was faster."""
        ...

    def close(self) -> None:
        """Nothing more will be asked."""
        ...


class Leases:
    """The leases of all apps: kept by a thread of its own, asked by everybody."""

    def __init__(
        self,
        store: Store,
        *,
        me: str = "",
        prefix: str = "canaryfleet",
        times: Times = Times(),  # noqa: B008  (frozen)
        clock: Callable[[], float] | None = None,
        chance: random.Random | None = None,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`prefix`: of the leases' names, for several fleets in one namespace. `tell`: of what goes wrong."""
        self.me = me or f"{socket.gethostname()}_{uuid.uuid4()}"
        self._store, self._prefix, self._times, self._tell = store, prefix, times, tell
        self._clock, self._chance = clock or awake_clock, chance or random.Random()  # noqa: S311
        self._apps: tuple[str, ...] = ()
        self._elections: dict[str, Election] = {}
        self._told = ""
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def held(self, app: str) -> bool:
        """Whether this replica may act for an app now; ask again before each side effect."""
        election = self._elections.get(app)
        return election is not None and election.held(self._clock())

    def want(self, apps: Iterable[str]) -> None:
        """Which apps there are; those that are no more are given up."""
        self._apps = tuple(apps)

    def start(self) -> None:
        """Begin to take and keep leases."""
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._forever()), name="canaryfleet-lease", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Give all up, so that others need not wait. Only after the last side effect."""
        self._end.set()
        if self._thread:
            self._thread.join(2 * self._times.turn)

    async def _forever(self) -> None:
        with contextlib.closing(self._store):
            while not self._end.is_set():
                await self._safely()
                await asyncio.to_thread(self._end.wait, self._times.turn * self._chance.uniform(0.8, 1.0))
            self._apps = ()
            await self._safely()
        await asyncio.sleep(0)  # the connection that was aborted closes in the next turn

    async def _safely(self) -> None:
        """Whatever goes wrong, the next turn may be better; meanwhile what is held runs out by itself."""
        said = ""
        try:
            await self.turn()
        except Trouble as trouble:
            said = str(trouble)
        except TimeoutError:
            said = "the API server does not answer in time"
        except Exception as error:
            said = type(error).__name__
        if said and said != self._told:
            self._tell(said)
        self._told = said

    async def turn(self) -> None:
        """Keep what is held, take what is free, give up what is no app's. Raises Trouble, TimeoutError."""
        async with asyncio.timeout(self._times.turn):
            found = await self._store.all()
        now, apps = self._clock(), self._chance.sample(self._apps, len(self._apps))
        for app in [app for app in self._elections if app not in apps]:
            await self._give_up(app, found.get(self._name(app)))
        room = -(-len(apps) // SHARE)
        for app in sorted(apps, key=self.held, reverse=True):  # a slow server should cost no lease
            lease = found.get(self._name(app))
            spec = self._elections.setdefault(app, Election(self.me, self._times)).wanted(
                _spec_of(lease), now
            )
            mine = _spec_of(lease).get("holderIdentity") == self.me
            if spec is not None and (mine or room > 0):
                room -= not mine
                await self._write(app, lease, spec)

    async def _write(self, app: str, lease: Raw | None, spec: Raw) -> None:
        asked, stored = self._clock(), None
        try:
            async with asyncio.timeout(self._times.turn):
                stored = await self._store.write(self._name(app), lease, spec)
        except Trouble as trouble:
            if trouble.final:
                raise
            self._tell(f"{self._name(app)}: {trouble}")  # of one app: others go on
            return
        if stored is None:
            self._elections[app].lost()
        else:
            self._elections[app].won(asked)

    async def _give_up(self, app: str, lease: Raw | None) -> None:
        """As client-go does: no holder, so that whoever comes next need not wait."""
        del self._elections[app]
        spec = _spec_of(lease)
        if lease is not None and spec.get("holderIdentity") == self.me:
            async with asyncio.timeout(self._times.turn):
                await self._store.write(
                    self._name(app), lease, {**spec, "holderIdentity": "", "leaseDurationSeconds": 1}
                )

    def _name(self, app: str) -> str:
        return f"{self._prefix}-{app}"


def _spec_of(lease: Raw | None) -> Raw:
    spec = (lease or {}).get("spec")
    return spec if isinstance(spec, dict) else {}


def awake_clock() -> float:
    """Seconds that go on while the machine sleeps, where there is such a clock: a lease does too."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class InCluster:
    """The leases of the namespace that this pod runs in, with its service account."""

    def __init__(
        self, environment: Mapping[str, str] = os.environ, service_account: str = SERVICE_ACCOUNT
    ) -> None:
        """Raises UsageError if this runs in no cluster."""
        self._environment, self._folder = environment, service_account
        try:
            self._way()
            with open(os.path.join(service_account, "namespace"), encoding="utf-8") as file:
                self._namespace = file.read().strip()
        except (Trouble, OSError, UnicodeError) as error:
            raise UsageError(f"leases need a pod's service account: {error}") from None
        self._session: Session | None = None
        self._used: Way | None = None

    async def all(self) -> dict[str, Raw]:
        """All that are there: one that a person made is an app's too."""
        found = await self._ask().ask(replace(LEASES, namespace=self._namespace))
        items = [item for item in found["items"] if isinstance(item, dict)]
        return {
            str(item["metadata"].get("name")): item
            for item in items
            if isinstance(item.get("metadata"), dict)
        }

    async def write(self, name: str, lease: Raw | None, spec: Raw) -> Raw | None:
        """By `resourceVersion`: the server refuses what was changed since it was read."""
        read = replace(LEASES, namespace=self._namespace)
        body = {"apiVersion": f"{LEASES.group}/{LEASES.version}", "kind": "Lease", "spec": spec}
        if lease is None:
            made = {"name": name, "namespace": self._namespace, "labels": {_LABEL: _MANAGER}}
            return await self._ask().write("create", read, {**body, "metadata": made})
        return await self._ask().write(
            "update", replace(read, object=name), {**body, "metadata": lease["metadata"]}
        )

    def close(self) -> None:
        """End the connection."""
        if self._session:
            self._session.close()
        self._session = None

    def _ask(self) -> Session:
        """The connection, made anew when the kubelet has replaced the token."""
        way = self._way()
        if self._session is None or way != self._used:
            self.close()
            self._session, self._used = Session(way, way.credentials, Stage()), way
        return self._session

    def _way(self) -> Way:
        return in_cluster(self._environment, self._folder)


_LABEL, _MANAGER = "app.kubernetes.io/managed-by", "canaryfleet"
