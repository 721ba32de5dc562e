"""Clusters that nobody may reach: each pushes a signed snapshot of itself to a Git ref of its own.

`canaryfleet report` runs in such a cluster. What it pushes is one commit without a parent, with the
snapshot and its SSH signature, and replaces the one before: the repository does not grow. Whoever may
push to the ref can at most take the snapshot away or put an old one back. So a reader asks for a
signature by one of the keys in the cluster's file, for its name in the signed text, for an age below
`maxAge`, and never goes back behind what it has accepted before, which a ref of the clone remembers.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from canaryfleet import git
from canaryfleet.errors import Problems
from canaryfleet.models.observation import Problem, ProblemKind, Sighting
from canaryfleet.quantity import duration
from canaryfleet.signing import NO_SSH, Signers, sign, signers
from canaryfleet.sources import Target, unseen
from canaryfleet.sources.snapshot import Held, Refused, decode, encode, pick, sightings

if TYPE_CHECKING:
    from canaryfleet.commits import Remote

STATUS = "refs/canaryfleet/status/"  # in the shared repository
FETCHED, ACCEPTED = "refs/canaryfleet/fetched/", "refs/canaryfleet/accepted/"  # in the clone
SNAPSHOT, SIGNATURE = "snapshot.json", "snapshot.json.sig"
NAMESPACE = "status@canaryfleet.dev"
REMOTE = "origin"
LARGEST = 8 << 20
SKEW = timedelta(minutes=1)
"""How far the cluster's clock may be ahead of ours: what is signed for tomorrow would be fresh for ever."""


def push(root: str, sighting: Sighting, key: str) -> str:
    """Sign a snapshot of one sighting with a private key and push it; gives the ref that has it now.

    Raises Problems: CF027, CF028 (signing), CF024, CF025 (git).
    """
    data = encode([sighting])
    files = {SNAPSHOT: data, SIGNATURE: sign(data, key, NAMESPACE)}
    who, said = "canaryfleet <report@canaryfleet.invalid>", f"Status of {sighting.cluster}"
    made = git.alone(root, files, who, said, sighting.ended)
    ref = STATUS + sighting.cluster
    git.run(root, ["push", "--quiet", "--force", "--no-verify", REMOTE, f"{made}:{ref}"])
    return ref


class _Pushed(NamedTuple):
    """What was fetched of one cluster."""

    commit: str
    snapshot: bytes | None
    signature: bytes | None
    accepted: str | None
    """The commit that was accepted last."""
    before: bytes | None
    """Its snapshot, if it is another one."""


class Pushed:
    """Reads what clusters pushed, from the shared repository."""

    def __init__(self, root: str, remote: "Callable[[], Remote] | None" = None) -> None:
        """`remote`: where that is, with credentials; if not given, the remote `origin` and git's own."""
        self._root, self._remote = root, remote

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        """One sighting for each target; all are fetched at once, and each is checked by itself."""
        wanted = list(targets)
        try:
            self._fetch(timeout)
            found = self._read([target.cluster.metadata.name for target in wanted])
        except Problems as problems:
            problem = _unreachable(problems)
            yield from (unseen(target, "pushed", problem) for target in wanted)
            return
        accepted: list[str] = []
        keys = {target.cluster.metadata.name: _keys(target) for target in wanted}
        with signers(NAMESPACE, keys) as known, ThreadPoolExecutor(os.cpu_count()) as pool:
            work = {
                pool.submit(_sighting, target, found.get(target.cluster.metadata.name), known): target
                for target in wanted
            }
            for done in as_completed(work):
                target = work[done]
                try:
                    yield done.result()
                    accepted.append(target.cluster.metadata.name)
                except Refused as refused:
                    yield unseen(target, "pushed", refused.problem)
        self._remember({name: found[name] for name in accepted})

    def _fetch(self, timeout: float) -> None:
        refs = f"+{STATUS}*:{FETCHED}*"
        quiet = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-gc"]
        remote = self._remote() if self._remote else None
        address, environment = (remote.address, remote.environment) if remote else (REMOTE, {})
        words = ["fetch", *quiet, "--refmap=", "--prune", "--", address, refs]
        git.run(self._root, words, timeout=timeout, environment=environment)

    def _read(self, names: list[str]) -> dict[str, _Pushed]:
        commits = git.refs(self._root, FETCHED, ACCEPTED)
        paths: dict[str, tuple[str, str, str]] = {}
        for name in names:
            if commit := commits.get(FETCHED + name):
                before = commits.get(ACCEPTED + name, commit)
                older = "" if before == commit else f"{before}:{SNAPSHOT}"
                paths[name] = (f"{commit}:{SNAPSHOT}", f"{commit}:{SIGNATURE}", older)
        blobs = git.blobs(self._root, {path for three in paths.values() for path in three if path}, LARGEST)
        return {
            name: _Pushed(
                commits[FETCHED + name],
                blobs.get(snapshot),
                blobs.get(signature),
                commits.get(ACCEPTED + name),
                blobs.get(older),
            )
            for name, (snapshot, signature, older) in paths.items()
        }

    def _remember(self, accepted: dict[str, _Pushed]) -> None:
        """A reader that is quicker has remembered it already: then git refuses, and there is nothing to do."""
        for name, found in accepted.items():
            if found.commit != found.accepted:
                zero = "0" * len(found.commit)
                words = ["update-ref", ACCEPTED + name, found.commit, found.accepted or zero]
                try:
                    git.run(self._root, words)
                except Problems:
                    continue


def _keys(target: Target) -> tuple[str, ...]:
    access = target.cluster.access
    return access.pushed.keys if access and access.pushed else ()


def _sighting(target: Target, found: _Pushed | None, known: Signers) -> Sighting:
    """What a cluster pushed, if it holds; raises Refused with what is wrong with it."""
    name = target.cluster.metadata.name
    if found is None:
        raise _refused("missing", f"it has pushed nothing to {STATUS}{name}", f"run {_report(name)}")
    if found.snapshot is None or found.signature is None:
        raise _refused(
            "too-large" if found.signature else "unsigned",
            f"{STATUS}{name} has no {SNAPSHOT} of at most {LARGEST >> 20} MB with its signature",
            f"run {_report(name)}, and find out who else pushes there",
        )
    try:
        signed = known.signed(name, found.snapshot, found.signature)
    except Problems as problems:
        finding = problems.findings[0]
        kind: ProblemKind = "misconfigured" if finding.code == NO_SSH else "timeout"
        raise _refused(kind, finding.message, finding.remedy) from None
    if not signed:
        raise _refused(
            "unsigned",
            f"none of the keys in clusters/{name}.yaml has signed what was pushed",
            "add the public key that it signs with, or find out who else pushes there",
        )
    sighting = pick(decode(found.snapshot), target, "pushed")
    _check_age(target, sighting, datetime.now(UTC))
    if found.before and (before := _ended(decode(found.before), name)) and sighting.ended < before:
        raise _refused(
            "stale",
            f"a snapshot of {sighting.ended:%F %T}Z was pushed over a newer one of {before:%F %T}Z",
            f"find out who may push to {STATUS}{name} and did; {_report(name)} puts it right",
        )
    return sighting


def _check_age(target: Target, sighting: Sighting, now: datetime) -> None:
    name, access = target.cluster.metadata.name, target.cluster.access
    most = timedelta(seconds=float(duration(access.pushed.maxAge if access and access.pushed else "0")))
    age = now - sighting.began
    if age > most:
        said = f"it last reported {_ago(age)} ago, and what is older than {_ago(most)} says nothing"
        raise _refused("stale", said, f"see why {_report(name)} does not run there any more")
    if sighting.ended - now > SKEW:
        said = f"its report says {sighting.ended:%F %T}Z, which is still to come"
        raise _refused("stale", said, "set the clocks of the cluster and of this machine right")


def _ended(held: Held, name: str) -> datetime | None:
    return max((sighting.ended for sighting in sightings(held, name)), default=None)


def _ago(age: timedelta) -> str:
    return str(timedelta(seconds=int(age.total_seconds())))


def _report(name: str) -> str:
    return f"`canaryfleet report {name}` in the cluster"


def _refused(kind: ProblemKind, message: str, remedy: str) -> Refused:
    return Refused(Problem(kind=kind, message=message, remedy=remedy))


def _unreachable(problems: Problems) -> Problem:
    finding = problems.findings[0]
    remedy = finding.remedy or f"see whether `git fetch {REMOTE}` works here"
    return Problem(
        kind="timeout" if "took longer" in finding.message else "unreachable",
        message=finding.message,
        remedy=remedy,
    )
