"""Clusters that are asked themselves: by a context of the kubeconfig, or the one that we run in.

All at once, each with its own limit of time, which holds for everything: the credential plugin, names,
connecting, TLS, answers. One connection a cluster, whose first question is which cluster it is. Nothing
is asked twice: whoever wants to know more looks again. Lists are not paged: they are one app's objects,
and one answer shows one moment.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

from canaryfleet.models.cluster import Cluster
from canaryfleet.models.observation import Look, Problem, Raw, Sighting
from canaryfleet.sources import Target
from canaryfleet.sources.kubernetes.crowd import each
from canaryfleet.sources.kubernetes.http import Stage
from canaryfleet.sources.kubernetes.kubeconfig import SERVICE_ACCOUNT, Kubeconfig, Way, in_cluster
from canaryfleet.sources.kubernetes.plugin import Kept, Plugins
from canaryfleet.sources.kubernetes.session import Session
from canaryfleet.sources.kubernetes.trouble import Trouble, quoted

__all__ = ["Kubernetes"]


class Kubernetes:
    """Reads clusters with `access: {context: …}` and `access: {inCluster: true}`."""

    def __init__(
        self,
        kubeconfig: str | None = None,
        *,
        environment: Mapping[str, str] = os.environ,
        service_account: str = SERVICE_ACCOUNT,
    ) -> None:
        """`kubeconfig`: a file, instead of those of $KUBECONFIG or `~/.kube/config`."""
        self._file, self._environment, self._folder = kubeconfig, environment, service_account
        self._kept: Kept = {}

    def look(self, targets: Iterable[Target], *, timeout: float) -> Iterator[Sighting]:
        """One sighting for each target, each as soon as it is there, as `Source` promises."""
        kubeconfig = Kubeconfig(self._file, self._environment)
        plugins = Plugins(self._environment, self._kept)
        return each(partial(self._see, kubeconfig, plugins, timeout), targets, plugins.end)

    async def _see(
        self, kubeconfig: Kubeconfig, plugins: Plugins, timeout: float, target: Target
    ) -> Sighting:
        reading = _Reading(target)
        problem = None
        try:
            await reading.read(self._way(kubeconfig, target.cluster), plugins, timeout)
        except Trouble as trouble:
            problem = trouble.problem
        except Exception as error:  # what nobody thought of must not end the other clusters
            text = f"canaryfleet can't read this cluster: {type(error).__name__}"
            problem = Problem(
                kind="unparsable", message=text, remedy="this is a bug in canaryfleet; please report it"
            )
        return reading.sighting(problem)

    def _way(self, kubeconfig: Kubeconfig, cluster: Cluster) -> Way:
        access = cluster.access
        if access and access.context:
            return kubeconfig.way(access.context)
        if access and access.inCluster:
            return in_cluster(self._environment, self._folder)
        name = cluster.metadata.name
        raise Trouble(
            "misconfigured",
            f"nothing says how to reach {name}",
            f"name its context in clusters/{name}.yaml: `access: {{context: …}}`",
        )


class _Reading:
    """What one cluster answered until now."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._began = datetime.now(UTC)
        self._identity: str | None = None
        self._answers: list[dict[str, Raw]] = [{} for _ in target.questions]
        self._problems: list[Problem | None] = [None for _ in target.questions]

    async def read(self, way: Way, plugins: Plugins, timeout: float) -> None:
        """Ask everything; raises Trouble where nothing more can be asked."""
        stage = Stage()
        try:
            async with plugins.turn(way):
                self._began = datetime.now(UTC)
                deadline = asyncio.get_running_loop().time() + timeout
                async with asyncio.timeout_at(deadline):
                    stage.now = "running the credential plugin"
                    credentials = await plugins.credentials(way, timeout)
            async with asyncio.timeout_at(deadline):
                await self._converse(Session(way, credentials, stage))
        except TimeoutError:
            text = f"{way.origin}: {timeout:g} s were over while {stage.now}"
            raise Trouble(
                "timeout", text, "check the network and the cluster, or give it more time"
            ) from None
        except Trouble as trouble:
            if trouble.problem.kind == "unauthorized":
                plugins.forget(way)
            raise

    async def _converse(self, session: Session) -> None:
        with closing(session):
            self._identity = await session.identity()
            expected = self._target.cluster.uid
            if expected and self._identity != expected:
                text = f"this is another cluster: its kube-system has the UID {quoted(self._identity)}, not {expected}"
                raise Trouble("foreign", text, _other(self._target.cluster))
            for number, question in enumerate(self._target.questions):
                try:
                    for read in question.reads:
                        self._answers[number][read.name] = await session.ask(read)
                except Trouble as trouble:
                    if trouble.final:
                        raise
                    self._problems[number] = trouble.problem
            if session.connections > 1 and await session.identity() != self._identity:
                self._identity = None
                raise Trouble(
                    "foreign",
                    "several clusters answer at this address, one after the other",
                    "make the server in the kubeconfig that of one cluster",
                )

    def sighting(self, problem: Problem | None) -> Sighting:
        """Everything that was seen; `problem` is why the rest was not."""
        seen = self._identity is not None and not (problem and problem.kind == "foreign")
        return Sighting(
            cluster=self._target.cluster.metadata.name,
            source="kubernetes",
            began=self._began,
            ended=datetime.now(UTC),
            identity=self._identity,
            problem=None if seen else problem,
            apps=tuple(self._look(number, problem) for number in range(len(self._answers))) if seen else (),
        )

    def _look(self, number: int, problem: Problem | None) -> Look:
        question, answers = self._target.questions[number], self._answers[number]
        missing = len(answers) < len(question.reads)
        return Look(
            app=question.app,
            namespace=question.namespace,
            answers=answers,
            problem=(self._problems[number] or problem) if missing else None,
        )


def _other(cluster: Cluster) -> str:
    name = cluster.metadata.name
    context = cluster.access.context if cluster.access else None
    where = f"does the context {context} lead" if context else "does this run"
    there = "to" if context else "in"
    return f"{where} {there} {name}? if it was made anew, change `uid` in clusters/{name}.yaml"
