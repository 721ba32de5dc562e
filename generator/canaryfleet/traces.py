"""OpenTelemetry traces of runs, where the environment says where they go; else nothing is imported.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. Runs know nothing of it:
they measure their stages, and a span is made of what they measured.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from canaryfleet import __version__
from canaryfleet.errors import UsageError
from canaryfleet.models.outcome import Outcome, Stage

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_LAST = 5000  # milliseconds that the last spans have to get away


class Laps:
    """Measures the stages of a run, for its outcome."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._begin = clock, clock()
        self.stages: tuple[Stage, ...] = ()

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return self._clock() - self._begin

    @contextmanager
    def stage(self, name: Literal["read", "decide", "act"]) -> Iterator[None]:
        """What is done meanwhile is this stage, also if it fails."""
        began = self.seconds
        try:
            yield
        finally:
            self.stages = (*self.stages, Stage(name=name, began=began, seconds=self.seconds - began))


class Traces:
    """Nobody wants any."""

    def run(self, outcome: Outcome, ended: int) -> None:
        """A run that is over. `ended`: nanoseconds since 1970."""

    def close(self) -> None:
        """Send what is left, within a limit."""


def configured(environment: Mapping[str, str], tell: Callable[[str], object]) -> Traces:
    """Traces, if an endpoint is set. Raises UsageError if the packages are missing. `tell`: of what fails."""
    if (
        not any(environment.get(name) for name in ENDPOINTS)
        or environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    ):
        return Traces()
    try:
        return _Exported(environment, tell)
    except ImportError:
        raise UsageError(
            "traces are configured, but OpenTelemetry is not installed: "
            f"`pip install 'canaryfleet[otel]'`, or unset {' and '.join(ENDPOINTS)}"
        ) from None


class _Exported(Traces):
    """Sent by OTLP over HTTP, in batches, by a thread of the SDK's own."""

    def __init__(self, environment: Mapping[str, str], tell: Callable[[str], object]) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        _redirect_log(tell)
        named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        attributes = {"service.version": __version__} | ({} if named else {"service.name": "canaryfleet"})
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("canaryfleet", __version__)

    def run(self, outcome: Outcome, ended: int) -> None:
        """A span of the run, with one below it for each stage."""
        from opentelemetry.trace import StatusCode, set_span_in_context

        began = ended - _nanoseconds(outcome.seconds)
        span = self._tracer.start_span("run", start_time=began, attributes=_attributes(outcome))
        for stage in outcome.stages:
            at = began + _nanoseconds(stage.began)
            child = self._tracer.start_span(stage.name, set_span_in_context(span), start_time=at)
            child.end(at + _nanoseconds(stage.seconds))
        if outcome.problem is not None:
            span.set_status(StatusCode.ERROR, outcome.problem)
        span.end(ended)

    def close(self) -> None:
        """Spans that nobody takes in time are lost."""
        self._provider.force_flush(_LAST)
        self._provider.shutdown()


def _attributes(outcome: Outcome) -> dict[str, Any]:
    decision = outcome.decision
    said = {
        "canaryfleet.app": outcome.app,
        "canaryfleet.decision.kind": decision.kind if decision else None,
        "canaryfleet.decision.key": decision.key if decision else None,
        "canaryfleet.release": decision.release if decision else None,
        "canaryfleet.wave": decision.wave if decision else None,
        "canaryfleet.reasons": [reason.code for reason in decision.reasons] if decision else None,
        "canaryfleet.actions": [action.verb for action in outcome.actions],
        "error.type": outcome.kind,
    }
    return {name: value for name, value in said.items() if value}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _redirect_log(tell: Callable[[str], object]) -> None:
    """The SDK complains to `logging`, which nobody else here uses: let it be lines of our journal."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(f"{record.name}: {record.getMessage()}")

    log = logging.getLogger("opentelemetry")
    log.handlers, log.propagate = [Handler(logging.WARNING)], False
