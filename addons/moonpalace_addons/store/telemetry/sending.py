"""Send spans and metrics with the exporters of OpenTelemetry's SDK.

What OpenTelemetry itself logs is not shown: it logs every attempt, and the exporter's headers if they are malformed.
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
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.span import TraceFlags, TraceState

from moonpalace_addons.store.telemetry.connection import Connection, Failure
from moonpalace_addons.store.telemetry.measures import Measures
from moonpalace_addons.store.telemetry.names import SCOPE
from moonpalace_addons.store.telemetry.points import metrics_data
from moonpalace_addons.store.telemetry.spans import CallSpan
from moonpalace_addons.version import __version__
from moonpalace_addons.wire.otlp_environment import is_delta, url_of

UNKNOWN = Failure("cannot be used", is_final=True)
"""Where no request was made, as spans could not be encoded."""


class Sender:
    """The SDK's exporters, configured by OpenTelemetry's variables; `instance` tells processes apart.

    `timeout` is the number of seconds for a request with all of its attempts, if not that of the variables.
    """

    def __init__(self, instance: str, timeout: float | None = None) -> None:
        silence()
        ours = {SERVICE_NAME: SCOPE, SERVICE_VERSION: __version__, SERVICE_INSTANCE_ID: instance}
        self._resource = Resource.create({**ours, **OTELResourceDetector().detect().attributes})
        self._scope = InstrumentationScope(SCOPE, __version__)
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler  # reads OTEL_TRACES_SAMPLER
        self._connection = Connection()
        self._spans = OTLPSpanExporter(url_of("traces", os.environ), session=self._connection, timeout=timeout)
        self._metrics = OTLPMetricExporter(url_of("metrics", os.environ), session=self._connection)
        self._is_delta = is_delta(os.environ)
        self._began = time.time_ns()

    def send_spans(self, spans: Sequence[ReadableSpan]) -> Failure | None:
        """Send spans, with several attempts within OTEL_EXPORTER_OTLP_TIMEOUT; return why they were not taken."""
        self._connection.failure = None
        if self._spans.export(spans) is SpanExportResult.SUCCESS:
            return self._connection.rejected()
        return self._connection.failure or UNKNOWN

    def send_metrics(self, measures: Measures) -> Failure | None:
        """Send what has been measured so far; return why it was not taken."""
        now = time.time_ns()
        data = metrics_data(measures, self._resource, self._scope, (self._began, now), is_delta=self._is_delta)
        self._connection.failure = None
        if self._metrics.export(data) is not MetricExportResult.SUCCESS:
            return self._connection.failure or UNKNOWN
        if self._is_delta:
            measures.clear()
            self._began = now
        return None

    def stop(self) -> None:
        """End the pauses between attempts, and close the connection; thread-safe."""
        self._spans.shutdown()  # type: ignore[no-untyped-call]
        self._metrics.shutdown()

    def span(self, call: CallSpan) -> ReadableSpan | None:
        """Return the span of a call as the SDK has it, None if OTEL_TRACES_SAMPLER leaves it out."""
        parent, context = None, Context()
        if call.parent is not None:
            state = TraceState.from_header([call.parent.state])
            parent = SpanContext(call.trace_id, call.parent.span_id, True, TraceFlags(call.parent.flags), state)
            context = set_span_in_context(NonRecordingSpan(parent), context)
        chosen = self._sampler.should_sample(context, call.trace_id, call.name, SpanKind.CLIENT, call.attributes)
        if not chosen.decision.is_sampled():  # type: ignore[no-untyped-call]
            return None
        flags = TraceFlags(TraceFlags.SAMPLED)
        return ReadableSpan(
            call.name,
            SpanContext(call.trace_id, call.span_id, False, flags, chosen.trace_state),
            parent,
            self._resource,
            call.attributes,
            kind=SpanKind.CLIENT,
            status=Status() if call.problem is None else Status(StatusCode.ERROR, call.problem),
            start_time=call.began,
            end_time=call.ended,
            instrumentation_scope=self._scope,
        )


def silence() -> None:
    """Keep what OpenTelemetry and its HTTP client log out of our log."""
    for name in ("opentelemetry", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
