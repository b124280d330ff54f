"""A receiver of OTLP over HTTP on a real socket, which decodes requests and answers as a test requires."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.waiting import until

RESET, SILENT = "reset", "silent"


def value_of(value: AnyValue) -> object:
    """Return the value of an attribute."""
    if value.WhichOneof("value") == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, str(value.WhichOneof("value")))


def attributes(pairs: list[KeyValue]) -> dict[str, object]:
    """Return attributes as a dictionary."""
    return {pair.key: value_of(pair.value) for pair in pairs}


class Handler(BaseHTTPRequestHandler):
    """Answers one connection as configured in the receiver."""

    protocol_version = "HTTP/1.1"
    receiver: OtlpReceiver

    def do_POST(self) -> None:
        """Answer a request, or fail."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = self.receiver.answer
        if isinstance(answer, int):
            self._answer(answer, body)
            return
        self.close_connection = True
        if answer == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        else:
            self.receiver.closing.wait()

    def _answer(self, status: int, body: bytes) -> None:
        data = b""
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            self.receiver.requests.append((self.path, dict(self.headers), body))
            said = ExportTracePartialSuccess(rejected_spans=self.receiver.rejects)
            data = ExportTraceServiceResponse(partial_success=said).SerializeToString()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def handle(self) -> None:
        """Serve until either side has closed the connection."""
        with suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        """Close everything that is still open."""
        with suppress(OSError, ValueError):
            super().finish()


class OtlpReceiver:
    """Takes spans and metrics; `answer` is the status of its answers, or the way it fails: `RESET` or `SILENT`."""

    def __init__(self, port: int = 0) -> None:
        self.answer: int | str = 200
        self.rejects = 0
        self.requests: list[tuple[str, Mapping[str, str], bytes]] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), type("Ours", (Handler,), {"receiver": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Return its port."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """Return the value for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a proxy that exports to it."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def bodies(self) -> bytes:
        """Return the bodies of all requests, joined."""
        return b"".join(body for _, _, body in self.requests)

    def spans(self, count: int, call: int | None = None) -> list[Span]:
        """Return the received spans, optionally of one call, after there are `count`."""
        until(lambda: len(self._spans(call)) >= count)
        found = self._spans(call)
        assert len(found) == count
        return found

    def _spans(self, call: int | None = None) -> list[Span]:
        sent = [ExportTraceServiceRequest.FromString(body) for path, _, body in self.requests if path == "/v1/traces"]
        return [
            span
            for each in sent
            for resource in each.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if call is None or attributes(list(span.attributes))["moonpalace.id"] == call
        ]

    def resource(self) -> dict[str, object]:
        """Return the attributes of the process that sent the first spans."""
        body = next(body for path, _, body in self.requests if path == "/v1/traces")
        return attributes(list(ExportTraceServiceRequest.FromString(body).resource_spans[0].resource.attributes))

    def metrics(self) -> dict[str, Metric]:
        """Return the latest metrics by name."""
        body = next(body for path, _, body in reversed(self.requests) if path == "/v1/metrics")
        (resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
        return {metric.name: metric for metric in resource.scope_metrics[0].metrics}
