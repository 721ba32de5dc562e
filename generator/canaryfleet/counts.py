"""Metrics by counts: the share of what failed, its test against the stable version, and the minimum of samples."""

from collections.abc import Iterator, Sequence

from canaryfleet import sequential
from canaryfleet.errors import ERROR, WARNING, Issue
from canaryfleet.models.canary import Analysis, Metric, SequentialTest, Step
from canaryfleet.presets import Preset
from canaryfleet.quantity import percent, seconds
from canaryfleet.sequential import Sequential
from canaryfleet.thresholds import Bad
from canaryfleet.variables import names

VERSION = frozenset({"hash", "revision"})  # variables that tell one version from another


def share(metric: Metric) -> str:
    """The query of a metric without a preset: as it is given, or the share of what failed. Raises Bad."""
    if metric.failures is None:
        return metric.query or ""
    for field, text in (("failures", metric.failures), ("samples", metric.samples or "")):
        if not text.strip():
            remedy = "`samples` counts all requests, and `failures` those of them that failed"
            raise Bad((field,), "CF139", "a share needs two counts", remedy)
    return f"(({metric.failures}) or vector(0)) / on() ({metric.samples})"


def tested(
    metric: Metric, test: SequentialTest, preset: Preset | None, analysis: Analysis, steps: Sequence[Step]
) -> Sequential:
    """The sequential test of a metric that says what failed, as it is written. Raises Bad."""
    failures = preset.failures if preset else metric.failures
    if not failures:
        raise Bad(
            ("test",),
            "CF138",
            "a test counts what failed, and this metric says no number of that",
            "use a preset of errors such as istio/error-rate, or `failures` and `samples`",
        )
    if not (analysis.minimumSamples if metric.minimumSamples is None else metric.minimumSamples):
        raise Bad(
            ("minimumSamples",),
            "CF138",
            "a test that finds nothing proves nothing without a minimum of samples",
            "give `minimumSamples`",
        )
    return Sequential(
        failures=failures,
        margin=percent(test.margin),
        window=seconds(test.window),
        reach=sequential.reach(steps, analysis),
    )


def unsound(
    metric: Metric, provider: str, query: str, samples: str, at: tuple[str | int, ...]
) -> Iterator[Issue]:
    """What is said of a minimum of samples and can't hold; `query`, `samples`: PromQL, none of other providers."""
    if provider != "prometheus":
        for field in ("samples", "minimumSamples"):
            if getattr(metric, field):
                yield Issue(
                    (*at, field),
                    "CF147",
                    "only what asks Prometheus has a minimum of samples: this is not asked for",
                    "remove it; beside a Prometheus metric in the same steps nothing is promoted without its minimum",
                    WARNING,
                )
    if samples and names(query) & VERSION and not names(samples) & VERSION:
        yield Issue(
            (*at, "samples"),
            "CF147",
            "the samples are those of canary and stable together",
            "select one version's series with `{$(selector)}`",
            ERROR if metric.comparedTo or metric.failures else WARNING,
        )
