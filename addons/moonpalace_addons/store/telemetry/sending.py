"""Send spans and metrics with the exporters of OpenTelemetry's SDK.

OpenTelemetry's own log is not shown: it logs every attempt, and the exporter's headers if they are malformed.
"""

import logging
import os
import time
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, set_span_in_context
from opentelemetry.trace.span import TraceFlags

from moonpalace_addons.store.telemetry import encoding
from moonpalace_addons.store.telemetry.connection import Connection, Failure
from moonpalace_addons.store.telemetry.measures import Measures
from moonpalace_addons.store.telemetry.names import SCOPE
from moonpalace_addons.store.telemetry.points import metrics_data
from moonpalace_addons.store.telemetry.spans import Attributes, CallSpan
from moonpalace_addons.version import __version__
from moonpalace_addons.wire.otlp_environment import is_delta, url_of

UNKNOWN = Failure("cannot be used", is_final=True)
"""The status if no request was made."""
NOTHING = ReadableSpan("", SpanContext(1, 1, is_remote=False))
"""A placeholder for the SDK's exporter: `Connection` sends our encoded data instead."""


class Sender:
    """The SDK's exporters, configured by OpenTelemetry's variables; `instance` distinguishes processes.

    `timeout` is the number of seconds for a request including all attempts; by default that of the variables.
    """

    def __init__(self, instance: str, timeout: float | None = None) -> None:
        silence()
        ours = {SERVICE_NAME: SCOPE, SERVICE_VERSION: __version__, SERVICE_INSTANCE_ID: instance}
        self._resource = Resource.create({**ours, **OTELResourceDetector().detect().attributes})
        self._process: Attributes = {
            name: value if isinstance(value, str | bool | int | float) else str(value)
            for name, value in self._resource.attributes.items()
        }
        self._scope = InstrumentationScope(SCOPE, __version__)
        # Without the variable the client decides, which needs no sampler.
        chosen = os.environ.get("OTEL_TRACES_SAMPLER")
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler if chosen else None
        self._connection = Connection()
        self._spans = OTLPSpanExporter(url_of("traces", os.environ), session=self._connection, timeout=timeout)
        self._metrics = OTLPMetricExporter(url_of("metrics", os.environ), session=self._connection)
        self._is_delta = is_delta(os.environ)
        self._began = time.time_ns()

    def send_spans(self, spans: Sequence[bytes]) -> Failure | None:
        """Send spans, with several attempts within OTEL_EXPORTER_OTLP_TIMEOUT; return why they were not accepted."""
        self._connection.failure = None
        self._connection.body = encoding.request(self._process, (SCOPE, __version__), spans)
        try:
            done = self._spans.export([NOTHING])
        finally:
            self._connection.body = None
        if done is SpanExportResult.SUCCESS:
            return self._connection.failure or self._connection.rejected()
        return self._connection.failure or UNKNOWN

    def send_metrics(self, measures: Measures) -> Failure | None:
        """Send the measurements so far; return why they were not accepted."""
        now = time.time_ns()
        data = metrics_data(measures, self._resource, self._scope, (self._began, now), is_delta=self._is_delta)
        self._connection.failure = None
        done = self._metrics.export(data)
        if done is not MetricExportResult.SUCCESS or self._connection.failure is not None:
            return self._connection.failure or UNKNOWN
        if self._is_delta:
            measures.clear()
            self._began = now
        return None

    def stop(self) -> None:
        """End the pauses between attempts, and close the connection; thread-safe."""
        self._spans.shutdown()  # type: ignore[no-untyped-call]
        self._metrics.shutdown()

    def span(self, call: CallSpan) -> bytes | None:
        """Return the span of a call as it is sent; None if OTEL_TRACES_SAMPLER excludes it."""
        return encoding.span(call) if self._is_sampled(call) else None

    def _is_sampled(self, call: CallSpan) -> bool:
        if self._sampler is None:
            return call.parent is None or call.parent.is_sampled
        context = Context()
        if call.parent is not None:
            parent = SpanContext(call.trace_id, call.parent.span_id, True, TraceFlags(call.parent.flags))
            context = set_span_in_context(NonRecordingSpan(parent), context)
        chosen = self._sampler.should_sample(context, call.trace_id, call.name, SpanKind.CLIENT, call.attributes)
        return bool(chosen.decision.is_sampled())  # type: ignore[no-untyped-call]


def silence() -> None:
    """Keep the log of OpenTelemetry and its HTTP client out of ours."""
    for name in ("opentelemetry", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
