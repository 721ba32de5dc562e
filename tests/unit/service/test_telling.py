"""Figures, log and traces: well-formed whatever others have written."""

import io
import json
import math
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaryfleet.errors import UsageError
from canaryfleet.exposition import Figure, Histogram, text
from canaryfleet.journal import Journal
from canaryfleet.models.decision import Decision, Reason
from canaryfleet.models.outcome import Action, Outcome, Stage
from canaryfleet.traces import Laps, Traces, configured

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
VALUE = re.compile(r"[+-]?(?:Inf|[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)|NaN")


class Family(NamedTuple):
    """One metric and its samples: (name, labels) to value."""

    type: str
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parse(page: str) -> dict[str, Family]:
    """What a strict reader of the format finds; refuses everything that is not of the form."""
    assert page.endswith("\n")
    families: dict[str, Family] = {}
    helped = ""
    for line in page[:-1].split("\n"):
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
            assert NAME.fullmatch(helped)
            assert helped not in families
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == helped
            assert kind in ("counter", "gauge", "histogram")
            families[name] = Family(kind, {})
            continue
        name, labels, value = _sample(line)
        family = families[helped]
        suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        assert name in {helped + suffix for suffix in suffixes}
        assert (name, labels) not in family.samples
        family.samples[name, labels] = value
    for name, family in families.items():
        _check_histogram(name, family)
    return families


def _sample(line: str) -> tuple[str, tuple[tuple[str, str], ...], float]:
    found = NAME.match(line)
    assert found, line
    name, rest, labels = found.group(), line[found.end() :], []
    if rest.startswith("{"):
        at = 1
        while True:
            pair = LABEL.match(rest, at)
            assert pair, line
            plain = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), pair.group(2))
            labels.append((pair.group(1), plain))
            at = pair.end() + 1
            if rest[pair.end()] == "}":
                break
            assert rest[pair.end()] == ","
        rest = rest[at:]
    assert len(dict(labels)) == len(labels)
    assert rest[0] == " "
    assert VALUE.fullmatch(rest[1:]), line
    return name, tuple(labels), float(rest[1:])


def _check_histogram(name: str, family: Family) -> None:
    """Buckets add up, end with all, and agree with the count."""
    if family.type != "histogram":
        return
    series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for (sample, labels), value in family.samples.items():
        if sample == name + "_bucket":
            series.setdefault(labels[:-1], []).append((float(labels[-1][1]), value))
    for labels, buckets in series.items():
        assert buckets == sorted(buckets)
        assert [count for _, count in buckets] == sorted(count for _, count in buckets)
        assert buckets[-1] == (math.inf, family.samples[name + "_count", labels])
        assert (name + "_sum", labels) in family.samples


# figures


@given(st.lists(st.tuples(st.text(), st.text(), st.floats(0, 1e9)), max_size=8))
def test_figures_are_well_formed_whatever_apps_are_called(said: list[tuple[str, str, float]]) -> None:
    counter, times = (
        Figure("counter", "a_total", "Things.", ("app", "kind")),
        Histogram("b_seconds", "Times.", ("app",)),
    )
    for app, kind, value in said:
        counter.add(app, kind)
        times.observe(value, app)
    found = parse(text([counter, times]))
    assert sum(found["a_total"].samples.values()) == len(said)
    assert sum(v for (name, _), v in found["b_seconds"].samples.items() if name.endswith("_count")) == len(
        said
    )
    assert text([counter, times]).encode()
    assert all(line.isprintable() for line in text([counter, times])[:-1].split("\n"))


@pytest.mark.parametrize("evil", ['x"} 1\nfake_total 7', "\\", 'a\\"', "\x1b[31m", "\u2028", "\r\n"])
def test_a_name_can_not_forge_a_figure(evil: str) -> None:
    counter = Figure("counter", "a_total", "Things.", ("app",))
    counter.add(evil)
    found = parse(text([counter]))
    assert list(found) == ["a_total"]
    assert list(found["a_total"].samples.values()) == [1.0]


def test_a_histogram_counts_what_is_exactly_a_bound_below_it() -> None:
    times = Histogram("b_seconds", "Times.", buckets=(1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        times.observe(value)
    samples = parse(text([times]))["b_seconds"].samples
    assert [v for (name, _), v in samples.items() if name.endswith("_bucket")] == [2, 4, 5]
    assert samples["b_seconds_sum", ()] == 8.0


def test_an_app_that_is_no_more_has_no_figures() -> None:
    gauge = Figure("gauge", "a", "Things.", ("app",))
    gauge.set(1, "chat"), gauge.set(2.5, "web")
    gauge.keep(["web"])
    assert parse(text([gauge]))["a"].samples == {("a", (("app", "web"),)): 2.5}


def test_numbers_are_written_as_prometheus_reads_them() -> None:
    gauge = Figure("gauge", "a", "Things.", ("app",))
    for number, value in enumerate([0, 1e20, -1.5, math.inf, -math.inf, 1e-7, math.nan]):
        gauge.set(value, str(number))
    values = list(parse(text([gauge]))["a"].samples.values())
    assert values[:6] == [0, 1e20, -1.5, math.inf, -math.inf, 1e-7]
    assert math.isnan(values[6])


# log


def journal() -> tuple[Journal, io.StringIO]:
    stream = io.StringIO()
    return Journal(stream, lambda: datetime(2026, 11, 2, 9, tzinfo=UTC)), stream


@given(st.text(), st.lists(st.text()), st.text())
def test_an_event_is_one_line_of_ascii_whatever_is_in_it(app: str, codes: list[str], error: str) -> None:
    log, stream = journal()
    log.say("error", "failed", app=app, reasons=codes, error=error + "\n\x1b[31m\x7f\u202e\ud800\x85")
    (line,) = stream.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    said = json.loads(line)
    assert (said["time"], said["level"], said["event"]) == (
        "2026-11-02T09:00:00.000+00:00",
        "error",
        "failed",
    )
    assert said.get("app", "") == app[:2000]


def test_the_outcome_of_a_run_is_in_the_log() -> None:
    log, stream = journal()
    reasons = (Reason(code="room-in-wave", message="there is room"),)
    decision = Decision(app="chat", kind="Advance", release="2-y", wave="rest", key="k1", reasons=reasons)
    log.outcome(
        Outcome(app="chat", decision=decision, actions=(Action(verb="opened", number=7),), seconds=1.5)
    )
    log.outcome(
        Outcome(
            app="chat", problem="the forge is down", kind="CF180", actions=(Action(verb="closed", number=8),)
        )
    )
    good, bad = map(json.loads, stream.getvalue().splitlines())
    assert good | {"time": ""} == {
        "time": "", "level": "info", "event": "decided", "app": "chat", "kind": "Advance", "key": "k1",
        "release": "2-y", "wave": "rest", "reasons": ["room-in-wave"], "actions": ["opened"], "pullRequests": [7],
        "seconds": 1.5,
    }  # fmt: skip
    assert (bad["level"], bad["event"], bad["errorKind"], bad["error"]) == (
        "error",
        "failed",
        "CF180",
        "the forge is down",
    )
    assert bad["pullRequests"] == [8]


def test_secrets_are_in_no_line() -> None:
    log, stream = journal()
    log.hide(["s3cr3t-t0ken", "s3cr3t-t0ken-and-more", "", "abc"])
    log.say("error", "failed", error="with s3cr3t-t0ken-and-more, abc", others=["a s3cr3t-t0ken"])
    said = json.loads(stream.getvalue())
    assert said["error"] == "with ***, abc"
    assert said["others"] == ["a ***"]


def test_a_log_that_nobody_reads_ends_nothing() -> None:
    log, stream = journal()
    stream.close()
    log.say("info", "started")


# traces


def test_laps_measure_each_stage_also_one_that_fails() -> None:
    now = iter([10.0, 11.0, 13.0, 13.5, 14.5, 20.0])
    laps = Laps(lambda: next(now))
    with laps.stage("read"):
        pass
    with pytest.raises(KeyError), laps.stage("act"):
        raise KeyError
    assert laps.stages == (Stage(name="read", began=1, seconds=2), Stage(name="act", began=3.5, seconds=1))
    assert laps.seconds == 10


@pytest.mark.parametrize(
    "environment", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_TRACES_EXPORTER": "otlp"}]
)
def test_without_an_endpoint_there_are_no_traces(environment: dict[str, str]) -> None:
    assert type(configured(environment, print)) is Traces


def test_traces_that_are_configured_but_not_installed_are_a_wrong_usage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(UsageError, match=r"canaryfleet\[otel\]"):
        configured({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, print)
    disabled = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}
    assert type(configured(disabled, print)) is Traces


def test_a_run_becomes_a_span_with_its_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otel` is not installed")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from webhooks import Receiver

    said: list[str] = []
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        traces = configured({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, said.append)
        stages = (Stage(name="read", began=0.5, seconds=1.0), Stage(name="decide", began=1.5, seconds=0.25))
        traces.run(
            Outcome(app="chat", problem="no", kind="CF180", seconds=2.0, stages=stages), 10_000_000_000
        )
        traces.close()
    (got,) = receiver.got
    assert got.path == "/v1/traces"
    resource = ExportTraceServiceRequest.FromString(got.body).resource_spans[0]
    named: dict[str, Any] = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert named["service.name"] == "canaryfleet"
    spans = {span.name: span for span in resource.scope_spans[0].spans}
    assert set(spans) == {"run", "read", "decide"}
    assert spans["read"].parent_span_id == spans["decide"].parent_span_id == spans["run"].span_id
    times = {
        name: (span.start_time_unix_nano / 1e9, span.end_time_unix_nano / 1e9) for name, span in spans.items()
    }
    assert times == {"run": (8.0, 10.0), "read": (8.5, 9.5), "decide": (9.5, 9.75)}
    assert spans["run"].status.message == "no"
    assert {a.key: a.value.string_value for a in spans["run"].attributes}["canaryfleet.app"] == "chat"
