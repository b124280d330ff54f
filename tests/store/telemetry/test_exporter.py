"""The export while the proxy runs, to a receiver on a real socket."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from sqlalchemy import Engine

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.telemetry import exporter as exporter_module
from moonpalace_addons.store.telemetry.export_state import ExportState, read, written
from moonpalace_addons.store.telemetry.left_out import LeftOut
from moonpalace_addons.store.telemetry.spans import CallSpan, span_id
from moonpalace_addons.store.telemetry.stored import stored_span
from tests.exchanges import an_exchange
from tests.otlp_receiver import RESET, SILENT, OtlpReceiver, attributes
from tests.store.telemetry.conftest import Start
from tests.waiting import until

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
KEY = "sk-of-the-exporter-0123456789"


def calls(count: int, first: int = 1) -> list[Exchange]:
    """Return calls with different ids."""
    return [an_exchange(id=number, uuid=f"{number:036}") for number in range(first, first + count)]


def test_spans_and_metrics_arrive(start: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver decodes them, with the client's span as the parent, and the sender's name."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"api-key={KEY}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    exporter = start()
    call = an_exchange(request_headers=f"traceparent: 00-{TRACE}-{SPAN}-01\r\ntracestate: a=1\r\n")
    exporter.add(call, {"temperature": 0.5, "messages": [], "prompt": "never sent"})
    exporter.add(an_exchange(path="/v1/models", method="GET", completion_tokens=None), {})
    exporter.stop()
    (span,) = receiver.spans(1)
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, SPAN, "a=1")
    assert span.span_id == span_id(call.uuid).to_bytes(8)
    assert (span.name, span.kind, span.end_time_unix_nano - span.start_time_unix_nano) == ("chat kimi-k3", 3, 1_676_003)
    assert attributes(list(span.attributes))["gen_ai.request.temperature"] == 0.5
    assert attributes(list(span.attributes))["gen_ai.response.finish_reasons"] == ["stop"]
    resource = receiver.resource()
    assert (resource["service.name"], resource["service.instance.id"]) == ("moonpalace", "run-1")
    assert resource["deployment.environment.name"] == "test"
    assert {headers["api-key"] for _, headers, _ in receiver.requests} == {KEY}
    assert b"never sent" not in receiver.bodies
    tokens = receiver.metrics()["gen_ai.client.token.usage"].histogram
    assert tokens.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    assert [(point.count, point.sum) for point in tokens.data_points] == [(1, 11), (1, 7)]
    assert receiver.metrics()["gen_ai.client.inference.usage.input_tokens"].sum.is_monotonic


@pytest.mark.parametrize("status", [201, 202])
def test_each_status_of_success_is_one(
    start: Start, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """Any successful status means that the receiver accepted the calls."""
    receiver.answer = status
    exporter = start()
    exporter.add(an_exchange(), {})
    receiver.spans(1)
    exporter.stop()
    assert caplog.messages == []


def test_a_failed_call(start: Start, receiver: OtlpReceiver) -> None:
    """Its span has an error status, and its kind."""
    exporter = start()
    exporter.add(an_exchange(refused=True), {})
    (span,) = receiver.spans(1)
    assert (span.status.code, span.status.message) == (2, "connect")


@pytest.mark.parametrize(
    ("sampler", "flags", "count"),
    [("", "00", 0), ("", "01", 1), ("always_on", "00", 1), ("always_off", "01", 0)],
)
def test_sampling(
    start: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, sampler: str, flags: str, count: int
) -> None:
    """As usual with OpenTelemetry, the client decides unless OTEL_TRACES_SAMPLER does; metrics count all."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    exporter = start()
    exporter.add(an_exchange(request_headers=f"traceparent: 00-{TRACE}-{SPAN}-{flags}\r\n"), {})
    exporter.stop()
    receiver.spans(count)
    assert receiver.metrics()["gen_ai.client.operation.duration"].histogram.data_points[0].count == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [(503, "answers 503 Service Unavailable"), (RESET, "resets the connection"), (SILENT, "does not answer in time")],
)
def test_a_receiver_that_is_away_for_a_while(
    start: Start, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture, answer: int | str, words: str
) -> None:
    """Calls wait; one line reports the beginning, one the end; nothing else is logged."""
    receiver.answer = answer
    exporter = start()
    for call in calls(3):
        exporter.add(call, {})
    until(lambda: caplog.messages)
    state = read(str(exporter.status()["export"]))
    assert state is not None
    assert (state.sent, state.waiting, state.problem, state.is_over) == (0, 3, words, False)
    receiver.answer = 200
    receiver.spans(3)
    until(lambda: len(caplog.messages) == 2)
    state = read(str(exporter.status()["export"]))
    assert state is not None
    assert (state.sent, state.waiting, state.left_out, state.problem, state.is_over) == (3, 0, 0, words, True)
    place = f"otel: {receiver.url}/v1/traces"
    assert caplog.messages == [
        f"{place} {words}; calls are stored, and exported once that is over",
        f"{place} accepts calls again; no call was left out",
    ]


def test_a_receiver_that_is_not_there(
    start: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The queue is bounded: the log says how many calls were left out, and how to send them."""
    port = receiver.port
    receiver.close()
    monkeypatch.setattr(exporter_module, "MAX_WAITING", 10 * 5_000)
    exporter = start()
    for call in calls(100):
        exporter.add(call, {})
    until(lambda: caplog.messages)
    with OtlpReceiver(port) as again:
        until(lambda: len(caplog.messages) == 2)
        taken = again._spans()
    assert 10 <= len(taken) < 20
    left = 100 - len(taken)
    state = read(str(exporter.status()["export"]))
    assert state is not None
    assert (state.sent, state.left_out, state.left_out_since) == (len(taken), left, 1_795_368_422_000_000)
    assert (
        f"accepts calls again; {left} were left out, which this command sends: mpal otel --since '"
        in caplog.messages[1]
    )
    assert "refuses the connection" in caplog.messages[0] or "takes fewer calls than there are" in caplog.messages[0]


def test_a_full_batch_does_not_wait(start: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that arrive faster than a batch is gathered are sent immediately: otherwise they would fill the queue."""
    monkeypatch.setattr(exporter_module, "GATHER_TIME", 3600.0)
    monkeypatch.setattr(exporter_module, "MAX_BATCH", 4)
    exporter = start()
    for call in calls(4):
        exporter.add(call, {})
    receiver.spans(4)


def test_adding_costs_nothing(start: Start, receiver: OtlpReceiver) -> None:
    """The thread that stores calls does not wait for the receiver."""
    receiver.answer = SILENT
    exporter = start()
    began = time.monotonic()
    for call in calls(200):
        exporter.add(call, {})
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("status", ["401 Unauthorized", "301 Moved Permanently"])
def test_a_receiver_that_refuses(
    start: Start, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    """Rejected calls are left out; the next ones are tried. A redirection is not followed."""
    receiver.answer = int(status.split()[0])
    exporter = start()
    exporter.add(calls(1)[0], {})
    until(lambda: caplog.messages)
    receiver.answer = 200
    exporter.add(calls(1, 2)[0], {})
    receiver.spans(1)
    until(lambda: len(caplog.messages) == 2)
    assert f"answers {status};" in caplog.messages[0]
    assert "1 were left out" in caplog.messages[1]


def test_a_receiver_that_rejects_some(start: Start, receiver: OtlpReceiver, caplog: pytest.LogCaptureFixture) -> None:
    """If a receiver accepts a request but rejects some of its spans, these are counted."""
    receiver.rejects = 1
    exporter = start()
    for call in calls(2):
        exporter.add(call, {})
    exporter.stop()
    assert "rejects some of the calls" in caplog.messages[0]
    assert "the proxy ends before all calls are exported; 1 were left out" in caplog.messages[1]


@pytest.mark.parametrize("status", ["404 Not Found", "301 Moved Permanently"])
def test_a_receiver_without_metrics(
    start: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    """A receiver that only accepts spans is reported once; spans continue."""
    monkeypatch.setattr(exporter_module, "METRICS_INTERVAL", 0.0)
    with OtlpReceiver() as refusing:
        refusing.answer = int(status.split()[0])
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{refusing.url}/v1/metrics")
        exporter = start()
        for call in calls(2):
            exporter.add(call, {})
            time.sleep(0.03)
        exporter.stop()
    receiver.spans(2)
    assert caplog.messages == [f"otel: {refusing.url}/v1/metrics answers {status}; metrics are not exported"]


def test_the_end(
    start: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A silent receiver delays the end by a few seconds at most; the calls left out are reported."""
    monkeypatch.setattr(exporter_module, "FLUSH_TIME", 0.05)
    receiver.answer = SILENT
    exporter = start()
    exporter.add(an_exchange(), {})
    began = time.monotonic()
    exporter.stop()
    assert time.monotonic() - began < 2
    assert "the proxy ends before all calls are exported; 1 were left out" in caplog.messages[-1]


def test_no_secret_is_logged(
    start: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the exporter's headers nor its URL are in the log, even if they are malformed."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"Authorization: Bearer {KEY}")
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"http://user:{KEY}@127.0.0.1:{receiver.port}/v1/traces?k={KEY}"
    )
    receiver.answer = 403
    exporter = start()
    exporter.add(an_exchange(), {})
    exporter.stop()
    assert "answers 403 Forbidden" in caplog.text
    assert KEY not in caplog.text


def test_a_fault_of_ours(
    start: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It loses the span of one call, and is logged once; others are exported."""
    right = stored_span

    def fail(engine: Engine, call: Exchange, *more: Any, **named: Any) -> CallSpan | None:
        if call.id < 3:
            raise ZeroDivisionError
        return right(engine, call, *more, **named)

    monkeypatch.setattr(exporter_module, "stored_span", fail)
    exporter = start()
    for call in calls(3):
        exporter.add(call, {})
    exporter.stop()
    receiver.spans(1)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "2 were left out" in caplog.messages[1]


def test_a_fault_at_the_end(start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and not raised: the proxy waits for later messages of the writer's process."""
    exporter = start()
    with monkeypatch.context() as patch:
        patch.setattr(LeftOut, "close", lambda _: 1 / 0)
        exporter.stop()
    assert "because of a fault in MoonPalace" in caplog.text


def test_a_setting_that_is_not_valid(
    start: Start, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Invalid OpenTelemetry variables do no harm, and are not shown."""
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", f"missing-{KEY}")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "nonsense")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "nonsense")
    exporter = start()
    exporter.add(an_exchange(), {})
    exporter.stop()
    receiver.spans(1)
    assert caplog.text == ""


def test_a_state_of_odd_text_can_be_stored() -> None:
    """A variable may contain bytes that are not UTF-8, whose representation in Python no database accepts."""
    written(ExportState("http://host/\udcff")).encode()
