"""A spec from a Flagger Canary: how it exposes and judges a version, and what has no counterpart here.

Fields and meanings as in Flagger's API flagger.app/v1beta1 (1.x): a step lasts `interval`; a check fails when a metric
is out of its range, and the `threshold`-th failed check rolls back; `iterations` without weights is blue-green, or an
A/B test with `match`. Flagger's queries have `{{ name }}` for its variables.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from canaryfleet.errors import Finding, problem
from canaryfleet.models.canary import Analysis
from canaryfleet.quantity import duration, go_duration
from canaryfleet.scaffold import ANALYSIS, STEPS, flagger_metrics
from canaryfleet.scaffold.manifests import UNFIT, Manifest, mapping, sequence

_MESH = "mesh"
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9.-]+")
# How Flagger's documentation writes the match of one cookie: ^(.*?;)?(canary=always)(;.*)?$
_COOKIE = re.compile(r"\^\(\.\*\??;\)\?\(?([A-Za-z0-9_-]+)=([A-Za-z0-9_-]+)\)?\(;\.\*\)\?\$")

# Words for what is not taken over: where it stands, why, and what to do.
_NO_COUNTERPART = (
    (("spec", "service", "trafficPolicy"), "the generated DestinationRule has a policy of its own", ""),
    (("spec", "service", "match"), "all paths of the service are routed", "route paths at the gateway"),
    (("spec", "service", "rewrite"), "paths go to the pods as they come", "rewrite them at the gateway"),
    (("spec", "service", "headers"), "headers are left alone", "change them at the gateway"),
    (("spec", "service", "corsPolicy"), "the service answers browsers itself", "answer them in the service"),
    (("spec", "service", "delegation"), "the generated VirtualService owns its hosts", ""),
    (("spec", "service", "gatewayRefs"), "routing is by Istio's own VirtualService", "name an Istio gateway"),
    (("spec", "ingressRef"), "routing is by Istio's VirtualService", "let requests come by an Istio gateway"),
    (("spec", "routeRef"), "routing is by Istio's VirtualService", "let requests come by an Istio gateway"),
    (("spec", "upstreamRef"), "routing is by Istio's VirtualService", "let requests come by an Istio gateway"),
    (("spec", "skipAnalysis"), "every release is measured", "`urgency: hotfix` takes a shorter way"),
    (("spec", "suspend"), "people hold an app with `canaryfleet hold`", "hold it after its first release"),
    (("spec", "analysis", "alerts"), "fleet.yaml says who is told", "`notify` there, `rollback.notify` in the spec"),
    (("spec", "analysis", "stepWeightPromotion"), "the last step moves all traffic at once", "add weight steps"),
    (("spec", "analysis", "primaryReadyThreshold"), "all pods have to be ready", ""),
    (("spec", "analysis", "canaryReadyThreshold"), "all pods have to be ready", ""),
    (("spec", "progressDeadlineSeconds"), "it is told from `startup`, and a wave has its `progressDeadline`",
     "give `startup` if the pods need long"),
)  # fmt: skip
_HOOKS = {
    "confirm-rollout": "`approval: required` on a wave asks a person",
    "confirm-promotion": "`for: manual` on the last step, or `approval: required` on a wave, asks a person",
    "confirm-traffic-increase": "`for: manual` on a step asks a person",
    "pre-rollout": "measure a job: a metric with `provider: {job: …}`",
    "rollout": "measure a job: a metric with `provider: {job: …}`",
    "load-test": "analysis counts real requests; let a load test run beside it",
    "rollback": "`canaryfleet bar` and `hold` are a person's way",
    "event": "`notify` in fleet.yaml tells others",
    "post-rollout": "`notify` in fleet.yaml tells others when a release is done",
}


class Read(NamedTuple):
    """A Flagger Canary as parts of a spec; the Service that Flagger makes for it; and what is left out."""

    name: str
    target: str
    service: dict[str, Any]
    exposure: dict[str, Any]
    analysis: dict[str, Any]
    autoscaler: str | None
    findings: tuple[Finding, ...]

    def service_of(self, deployment: Manifest) -> dict[str, Any]:
        """The Service, which leads to the pods of the target: Flagger makes it, so no manifest has it."""
        selector = mapping(deployment.spec.get("selector")).get("matchLabels")
        return self.service | {"spec": self.service["spec"] | {"selector": selector}}


def read(canary: Manifest, templates: Sequence[Manifest]) -> Read:
    """What a Canary says; `templates`: MetricTemplates that its metrics may name. Raises `Problems` CF041."""
    if not str(canary.data["apiVersion"]).startswith("flagger.app/"):
        text = f"{canary.name} is a Canary of {canary.data['apiVersion']}, not of Flagger"
        raise problem(canary.place(), UNFIT, text)
    target = canary.spec.get("targetRef")
    if (
        not isinstance(target, dict)
        or target.get("kind") != "Deployment"
        or not isinstance(target.get("name"), str)
    ):
        kind = target.get("kind") if isinstance(target, dict) else None
        text = f"Canary {canary.name} is of a {kind}" if kind else f"Canary {canary.name} has no targetRef"
        raise problem(canary.place("spec", "targetRef"), UNFIT, text, "Argo Rollouts moves Deployments only")
    findings: list[Finding] = []
    reader = _Reader(canary, findings)
    exposure, analysis = reader.exposure(), reader.analysis(templates)
    reader.leave()
    scaler = canary.spec.get("autoscalerRef")
    name = scaler.get("name") if isinstance(scaler, dict) else None
    return Read(
        canary.name, target["name"], reader.service_object(), exposure, analysis, name, tuple(findings)
    )


class _Reader:
    """Reads one Canary; what it leaves out is added to `findings`."""

    def __init__(self, canary: Manifest, findings: list[Finding]) -> None:
        self.canary, self.findings = canary, findings
        self.service = mapping(canary.spec.get("service"))
        self.key = "analysis" if "analysis" in canary.spec else "canaryAnalysis"
        self.given = mapping(canary.spec.get(self.key))
        self.interval = _time(self.given.get("interval"), "1m")

    def left(self, what: str, remedy: str, *below: str | int) -> None:
        self.findings.append(self.canary.left(f"Canary {self.canary.name}: {what}", remedy, *below))

    # ---- how requests come, and the steps

    def service_object(self) -> dict[str, Any]:
        """The Service as Flagger makes it, leading to the pods of the target."""
        port = self.service.get("port") or 80
        name = self.service.get("portName") or self.protocol()
        own: dict[str, Any] = {
            "name": name,
            "port": port,
            "targetPort": self.service.get("targetPort") or port,
        }
        if self.service.get("appProtocol"):
            own["appProtocol"] = self.service["appProtocol"]
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": self.service.get("name") or self.canary.spec["targetRef"]["name"]},
            "spec": {"ports": [own]},
        }

    def protocol(self) -> str:
        said = f"{self.service.get('appProtocol') or self.service.get('portName') or 'http'}".partition("-")[
            0
        ]
        return said if said in ("grpc", "http2") else "http"

    def exposure(self) -> dict[str, Any]:
        """`exposure` of the spec."""
        found: dict[str, Any] = {}
        gateways = list(self._gateways())
        hosts = list(self._hosts()) if gateways else []
        if hosts:
            found |= {"hosts": hosts, "gateways": gateways}
        if self.protocol() != "http":
            found["protocol"] = self.protocol()
        if self.service.get("timeout"):
            found["timeout"] = _time(self.service["timeout"], "0")
        retries = mapping(self.service.get("retries"))
        if retries.get("attempts"):
            found["retries"] = _retries(retries)
        found |= self._sticky()
        return found | self._steps()

    def _gateways(self) -> Iterator[str]:
        for name in sequence(self.service.get("gateways")):
            if name == _MESH:
                continue
            first, _, rest = str(name).partition(".")  # NAME.NAMESPACE.svc.cluster.local
            namespace = rest.partition(".")[0]
            yield f"{namespace}/{first}" if namespace and "/" not in str(name) else str(name)

    def _hosts(self) -> Iterator[str]:
        for number, name in enumerate(sequence(self.service.get("hosts"))):
            if isinstance(name, str) and _HOST.fullmatch(name):
                yield name
            else:
                what = f"the host {name} is not taken over: it would take the requests of others"
                self.left(
                    what,
                    "name the service's own hosts in `exposure.hosts`",
                    "spec",
                    "service",
                    "hosts",
                    number,
                )

    def _sticky(self) -> dict[str, Any]:
        affinity = mapping(self.given.get("sessionAffinity"))
        name = affinity.get("cookieName")
        if not affinity:
            return {}
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            at = ("spec", self.key, "sessionAffinity")
            self.left("its cookie has no name that is taken here", "name it in `exposure.sticky`", *at)
            return {}
        return {"sticky": {"cookie": name, "maxAge": go_duration(affinity.get("maxAge") or 86_400)}}

    def _steps(self) -> dict[str, Any]:
        weights = list(self._weights())
        looks = _number(self.given.get("iterations")) or 0
        lasting = go_duration(max(1, looks) * int(duration(self.interval)))
        if not weights and looks and not self.given.get("match") and not self.given.get("mirror"):
            return {"blueGreen": {"promoteAfter": lasting}}
        steps: list[dict[str, Any]] = []
        found: dict[str, Any] = {}
        if self.given.get("mirror"):
            found["idempotent"] = True
            share = _number(self.given.get("mirrorWeight")) or 100
            steps.append({"mirror": f"{share}%", "for": self.interval if weights else lasting})
        steps += self._matches(lasting)
        steps += [{"weight": f"{weight}%", "for": self.interval} for weight in weights]
        if not weights:
            self.left(
                "it has no weights, and a version is proven by weight", "5%, 25% and 50% are added", "spec"
            )
            steps += [dict(step) for step in STEPS]
        return found | {"steps": steps}

    def _weights(self) -> Iterator[int]:
        """Each weight below 100, which is what follows the last step."""
        listed = self.given.get("stepWeights")
        if isinstance(listed, list):
            yield from (weight for weight in listed if _number(weight) and weight < 100)
            return
        by, most = _number(self.given.get("stepWeight")), _number(self.given.get("maxWeight")) or 100
        if by:
            yield from (weight for weight in (*range(by, most, by), most) if weight < 100)

    def _matches(self, lasting: str) -> Iterator[dict[str, Any]]:
        """A/B tests: one header or cookie a step, since the controller would take any of several."""
        for number, match in enumerate(sequence(self.given.get("match"))):
            headers = mapping(mapping(match).get("headers"))
            at = ("spec", self.key, "match", number)
            if len(headers) != 1 or set(mapping(match)) - {"headers"}:
                self.left("only matches by one header each are taken over", "write its step yourself", *at)
                continue
            name, wanted = next(iter(headers.items()))
            rule = {
                key: value for key, value in mapping(wanted).items() if key in ("exact", "prefix", "regex")
            }
            cookie = _COOKIE.fullmatch(str(rule.get("regex", ""))) if str(name).lower() == "cookie" else None
            if cookie:
                yield {"cookie": {cookie[1]: cookie[2]}, "for": lasting}
            elif len(rule) == 1:
                yield {"header": {str(name): rule.get("exact") or rule}, "for": lasting}
            else:
                self.left(f"the match of {name} is not taken over", "write its step yourself", *at)

    # ---- what proves a version

    def analysis(self, templates: Sequence[Manifest]) -> dict[str, Any]:
        """`analysis` of the spec."""
        found: dict[str, Any] = {"interval": self.interval}
        failures = _number(self.given.get("threshold")) or 1
        if failures > 1:
            found["failureLimit"] = failures - 1  # the threshold-th failed check rolls back
        metrics: list[dict[str, Any]] = []
        for number, metric in enumerate(sequence(self.given.get("metrics"))):
            at = ("spec", self.key, "metrics", number)
            metrics += self._metric(mapping(metric), templates, at)
        if not metrics:
            self.left(
                "none of its metrics is taken over", "istio/error-rate is measured instead", "spec", self.key
            )
            return found | {"metrics": ANALYSIS["metrics"]}
        samples = max(
            flagger_metrics.samples(mapping(metric)) for metric in sequence(self.given.get("metrics"))
        )
        return (
            found
            | ({"minimumSamples": samples} if samples > Analysis().minimumSamples else {})
            | {"metrics": metrics}
        )

    def _metric(
        self, metric: Mapping[str, Any], templates: Sequence[Manifest], at: tuple[str | int, ...]
    ) -> Iterator[dict[str, Any]]:
        name, (least, most) = str(metric.get("name", "")), flagger_metrics.limits(metric)
        ready = flagger_metrics.preset(name, least, most)
        if ready:
            yield ready
            return
        query = self._query(metric, templates, at)
        if query is not None and least is None and most is None:
            self.left(f"metric {name} has no range", "write it with thresholds", *at)
        elif query is not None:
            yield from flagger_metrics.judged(name, query, least, most)

    def _query(
        self, metric: Mapping[str, Any], templates: Sequence[Manifest], at: tuple[str | int, ...]
    ) -> str | None:
        """The PromQL of a metric, with our variables; None if it has none, which is said."""
        name, query = metric.get("name"), metric.get("query")
        reference = mapping(metric.get("templateRef"))
        if reference:
            known = [item for item in templates if item.name == reference.get("name")]
            if not known:
                text = f"metric {name} names MetricTemplate {reference.get('name')}, which is not in the file"
                self.left(text, "give its manifest too: `kubectl get metrictemplate -o yaml`", *at)
                return None
            provider = mapping(known[0].spec.get("provider")).get("type")
            if provider != "prometheus":
                text = f"metric {name} is measured by {provider}"
                self.left(text, "write it as a metric with `provider`, as Argo Rollouts has it", *at)
                return None
            query = known[0].spec.get("query")
        if not isinstance(query, str):
            self.left(f"metric {name} is none that is known here", "write it with a `query`", *at)
            return None
        written, vague = flagger_metrics.translated(query, mapping(metric.get("templateVariables")))
        if "{{" in written:
            self.left(
                f"the query of metric {name} has a template that is not known", "write it with a `query`", *at
            )
            return None
        if vague:
            text = f"the query of metric {name} does not say which pods are the canary's"
            self.left(text, "pick its series with `$(selector)`", *at)
        return written

    # ---- the rest

    def leave(self) -> None:
        """Say what has no counterpart."""
        for path, why, remedy in _NO_COUNTERPART:
            at = tuple(self.key if name == "analysis" else name for name in path)
            if _at(self.canary.data, at):
                self.left(f"{'.'.join(at[1:])} is not taken over: {why}", remedy, *at)
        for number, hook in enumerate(sequence(self.given.get("webhooks"))):
            kind = str(mapping(hook).get("type", "rollout"))
            kind = "load-test" if "load" in str(mapping(hook).get("name")) else kind
            self.left(
                f"webhook {mapping(hook).get('name')} is not taken over",
                _HOOKS.get(kind, ""),
                "spec",
                self.key,
                "webhooks",
                number,
            )
        provider = self.canary.spec.get("provider")
        if provider not in (None, "istio", "kubernetes"):
            self.left(f"its provider is {provider}, and routing here is by Istio", "", "spec", "provider")


def _retries(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"attempts": given["attempts"]}
    if given.get("perTryTimeout"):
        found["perTryTimeout"] = _time(given["perTryTimeout"], "2s")
    if given.get("retryOn"):
        found["retryOn"] = given["retryOn"]
    return found


_GO_TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:\d+ms)?")


def _time(value: Any, default: str) -> str:
    """A Go duration as the spec writes it; what is below a second is a second."""
    found = _GO_TIME.fullmatch(str(value or ""))
    if not value or not found:
        return default
    total = sum(
        Decimal(number or 0) * unit for number, unit in zip(found.groups(), (3600, 60, 1), strict=True)
    )
    return go_duration(max(1, int(total)))


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _at(data: Any, path: Sequence[str]) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data
