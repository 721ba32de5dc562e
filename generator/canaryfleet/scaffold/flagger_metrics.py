"""Metrics of Flagger as metrics of a spec: its ranges as thresholds, and its queries with our variables."""

import math
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from canaryfleet.scaffold.manifests import mapping

_LONGEST_NAME = 40


def preset(name: str, least: Decimal | None, most: Decimal | None) -> dict[str, Any] | None:
    """One of the metrics that Flagger has ready; None if the name or its range is none of theirs.

    Three times the errors, and twice the time, roll back: Flagger has one threshold, and what is nearer to it than that
    is judged by chance.
    """
    if name == "request-success-rate" and least is not None:
        worse = max(Decimal(0), 100 - 3 * (100 - least))
        bounds = {"promoteAbove": f"{_plain(least)}%", "rollbackBelow": f"{_plain(worse)}%"}
        return {"preset": "istio/success-rate", **bounds}
    if name == "request-duration" and most is not None:
        bounds = {"promoteBelow": f"{_plain(most)}ms", "rollbackAbove": f"{_plain(2 * most)}ms"}
        return {"preset": "istio/latency", "quantile": 0.99, **bounds}
    return None


def samples(metric: Mapping[str, Any]) -> int:
    """How many requests tell a success rate's two thresholds apart: where two errors are expected of a good version.

    Of a version at the rollback threshold six are expected then, and by chance (Poisson) fewer than two in 2% of the
    steps; of one at the promote threshold more than six in half a percent.
    """
    least, _ = limits(metric)
    if metric.get("name") != "request-success-rate" or least is None or not 0 < least < 100:
        return 0
    return math.ceil(200 / (100 - least))


def judged(title: str, query: str, least: Decimal | None, most: Decimal | None) -> Iterator[dict[str, Any]]:
    """A metric for each end of its range, since one has one direction. The same value promotes and rolls back."""
    name = _metric_name(title)
    both = least is not None and most is not None
    if least is not None:
        bounds = {"promoteAbove": _number_of(least), "rollbackBelow": _number_of(least)}
        yield {"name": f"{name}-min" if both else name, "query": query, **bounds}
    if most is not None:
        bounds = {"promoteBelow": _number_of(most), "rollbackAbove": _number_of(most)}
        yield {"name": f"{name}-max" if both else name, "query": query, **bounds}


_VARIABLE = re.compile(r"\{\{-?\s*(?:variables\.)?([A-Za-z_][A-Za-z0-9_]*)\s*-?\}\}")
_MATCHER = re.compile(r"""([A-Za-z_][A-Za-z0-9_]*)\s*(=~|=)\s*"([^"]*\{\{-?\s*target\s*-?\}\}[^"]*)\"""")
_POD_LABELS = frozenset({"pod", "pod_name", "kubernetes_pod_name", "exported_pod"})
_KNOWN = {
    "name": "$(app)", "namespace": "$(namespace)", "target": "$(rollout)", "service": "$(service)",
    "interval": "$(window)",
}  # fmt: skip


def translated(query: str, variables: Mapping[str, Any]) -> tuple[str, bool]:
    """A query with our variables for Flagger's; and whether its target is named where versions are not told apart."""
    text = _MATCHER.sub(_matcher, query)
    vague = "target" in _VARIABLE.findall(text)
    known = _KNOWN | {name: str(value) for name, value in variables.items()}
    text = _VARIABLE.sub(lambda found: known.get(found[1], found[0]), text)
    return " ".join(text.split()), vague


def _matcher(found: re.Match[str]) -> str:
    """A matcher that names the Deployment of the canary, as one that picks the pods of one version."""
    label = found[1]
    if label in _POD_LABELS:
        return f'{label}=~"$(rollout)-$(hash)-[a-z0-9]+"'
    if label == "destination_workload":  # Istio names the Rollout there, for canary and stable alike
        return "destination_canonical_revision$(revision)"
    return found[0]


def limits(metric: Mapping[str, Any]) -> tuple[Decimal | None, Decimal | None]:
    """The least and the most that a metric may be, as far as it says so."""
    given = mapping(metric.get("thresholdRange"))
    old = metric.get("threshold")  # before ranges: the least of a success rate, the most of all others
    if not given and old is not None:
        given = {"min" if metric.get("name") == "request-success-rate" else "max": old}
    return _decimal(given.get("min")), _decimal(given.get("max"))


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return Decimal(str(value))


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _number_of(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _metric_name(name: str) -> str:
    made = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    return made if made[:1].isalpha() else f"m-{made}"[:_LONGEST_NAME].strip("-")
